"""Fields on arrays of other libraries than NumPy and dask, which are cut as NumPy's."""

from __future__ import annotations

from typing import Any

import xarray as xr

from xpatch.engine.duck import check_units, is_duck, plain
from xpatch.patches.index import whole_of, with_variables


def on_numpy(obj: Any, what: str = "the field") -> Any:
    """Give a field, or patches, with NumPy's arrays in the place of those of jax, cupy, sparse and the like.

    What is on disk, or chunks of NumPy, stays as it is.

    Raises
    ------
    TypeError
        If an array has units of its own, which would be lost.
    """
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        return obj
    ducks = {n: v for n, v in whole_of(obj).variables.items() if is_duck(v)}
    for name, v in ducks.items():
        check_units(v._data, f"{name!r} of {what}" if isinstance(name, str) else what)
    return with_variables(obj, {n: plain(v) for n, v in ducks.items()}) if ducks else obj
