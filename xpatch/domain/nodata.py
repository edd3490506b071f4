"""Which numbers stand for missing values: attributes of CF and of rioxarray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.engine.nodata import Nodata
from xpatch.neighborhood import Neighborhood

__all__ = [
    "Nodata",
    "as_floats",
    "beside",
    "masked",
    "nodata_of",
    "refilled",
    "valid",
    "without_nodata",
]

CF = ("_FillValue", "missing_value")
OTHERS = ("fill_value", "nodata")  # where rioxarray looks if there is none of CF
NAMES = (*CF, *OTHERS)
EXCESS = 2**1024  # which no float holds


def nodata_of(variable: Variable | xr.DataArray) -> Nodata | None:
    """Give the numbers that stand for missing in a variable; None if there are none.

    They are those of ``_FillValue`` and ``missing_value`` in the attributes of integers and floats;
    of neither, those of rioxarray. What the dtype cannot hold cannot occur, and is nothing.
    """
    attrs, dtype = variable.attrs, variable.dtype
    if not attrs or not isinstance(dtype, np.dtype) or dtype.kind not in "iuf":
        return None
    found = _held(attrs, CF, dtype) or _held(attrs, OTHERS, dtype)
    values = tuple(dict.fromkeys(v for v in found if v == v))
    return Nodata(dtype, values, found[0]) if values else None


def _held(attrs: Mapping[Any, Any], names: tuple[str, ...], dtype: np.dtype) -> list[Any]:
    """Give the numbers under some names that a dtype holds, in that dtype."""
    given: list[Any] = []
    for name in names:
        value: Any = attrs.get(name)
        many = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim)
        given += list(value) if many else [value]
    numbers = [
        v.item() if isinstance(v, np.generic | np.ndarray) else v for v in given if np.ndim(v) == 0
    ]
    plain = [v for v in numbers if isinstance(v, int | float) and not isinstance(v, bool)]
    return [held for v in plain if (held := _as(v, dtype)) is not None]


def _as(number: Any, dtype: np.dtype) -> Any:
    """Give a number in a dtype; None if that cannot hold it."""
    infinite = number in (np.inf, -np.inf)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            held = dtype.type(np.inf if abs(number) >= EXCESS and not infinite else number)
        return held if bool(np.isinf(held)) == infinite else None
    if number != number or infinite or int(number) != number:
        return None
    info = np.iinfo(dtype)
    return dtype.type(int(number)) if info.min <= int(number) <= info.max else None


def beside(hood: Neighborhood, nodata: Nodata) -> Neighborhood:
    """Let cells outside of a field be missing as those inside are."""
    constant = any(p.pad_mode == "constant" and p.pad_value is None for p in hood.slices)
    return hood.padded_by(pad_value=nodata.empty) if constant else hood.padded_by(missing=nodata)


def without_nodata(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Leave out the attributes that say what stands for missing."""
    return {n: v for n, v in attrs.items() if n not in NAMES}


def valid(array: xr.DataArray) -> xr.DataArray:
    """Say which values are there; what is chunked or on disk is read as `notnull` reads it."""
    nodata = nodata_of(array)
    if nodata is None:
        return array.notnull()

    def there(values: Any) -> Any:
        return ~(nodata.where(values) | (values != values))

    return xr.apply_ufunc(there, array, dask="parallelized", output_dtypes=[bool])


def masked(array: xr.DataArray) -> xr.DataArray:
    """Give floats with NaN in place of the numbers, and without the attributes that name these."""
    nodata = nodata_of(array)
    if nodata is None:
        return array
    dtype = nodata.masked(np.zeros(0, array.dtype)).dtype
    out = xr.apply_ufunc(nodata.masked, array, dask="parallelized", output_dtypes=[dtype])
    out.attrs = without_nodata(array.attrs)
    return out


def as_floats(values: Any) -> NDArray[np.float64]:
    """Give the values of an array, or of what has them, as floats, NaN where they are missing."""
    if isinstance(values, xr.DataArray):
        values = masked(values).values
    return np.asarray(values, float)


def refilled(array: Any, like: xr.DataArray, fill_value: Any = None) -> Any:
    """Write the number of ``like`` in place of NaN, with the attributes that name it, or ``fill_value``."""
    nodata = nodata_of(like)
    asked = fill_value is not None
    if array.dtype.kind != "f" or (nodata is None and not asked):
        return array

    def filled(values: Any) -> Any:
        if asked or nodata is None:
            return np.where(np.isnan(values), values.dtype.type(fill_value), values)
        return nodata.filled(values.copy())

    out = xr.apply_ufunc(filled, array, dask="parallelized", output_dtypes=[array.dtype])
    out.attrs = {**array.attrs, **{n: v for n, v in like.attrs.items() if n in NAMES}}
    return out
