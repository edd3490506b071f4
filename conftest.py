"""Names that the examples in docstrings use."""

from importlib.util import find_spec
from typing import Any

import hypothesis
import numpy as np
import pytest
import xarray as xr

import xpatch

# How long an example takes says more of what else the machine does than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Examples of what needs an optional package that no test of the README's command does
collect_ignore = [] if find_spec("torch") else ["xpatch/torch.py"]


@pytest.fixture(autouse=True)
def examples(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace.update(np=np, xr=xr, xpatch=xpatch)
