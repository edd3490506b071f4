"""Names that the examples in docstrings use."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xpatch

# Examples of what needs an optional package that no test of the README's command does
collect_ignore = [] if find_spec("torch") else ["xpatch/torch.py"]


@pytest.fixture(autouse=True)
def examples(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace.update(np=np, xr=xr, xpatch=xpatch)
