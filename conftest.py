"""Names that the examples in docstrings use."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import xpatch


@pytest.fixture(autouse=True)
def examples(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace.update(np=np, xr=xr, xpatch=xpatch)
