"""What becomes of a dtype, as xarray would have it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def accumulator(dtype: DTypeLike) -> np.dtype:
    """Dtype of weighted sums: float32 stays, float16 is summed in float32, integers in float64."""
    dtype = np.dtype(dtype)
    if dtype.kind in "biu":
        return np.dtype("f8")
    if dtype == np.float16:
        return np.dtype("f4")
    if dtype.kind in "fc":
        return dtype
    raise TypeError(
        f"values of dtype {dtype} cannot be averaged; use an aggregation that only picks values: "
        "'first', 'last', 'min', 'max', 'mode' or 'most_central'"
    )


def average(dtype: DTypeLike) -> np.dtype:
    """Dtype of a weighted mean."""
    return np.dtype(dtype) if np.dtype(dtype) == np.float16 else accumulator(dtype)


def total(dtype: DTypeLike) -> np.dtype:
    """Dtype of a plain sum, as `numpy.sum` gives it."""
    dtype = np.dtype(dtype)
    if dtype.kind in "biu":
        found: np.dtype = np.sum(np.zeros(1, dtype)).dtype
        return found
    accumulator(dtype)
    return dtype


def missing(dtype: DTypeLike) -> Any:
    """Give the value that stands for missing in ``dtype``, or None if it has none."""
    dtype = np.dtype(dtype)
    if dtype.kind in "mM":
        return np.array("NaT", dtype)[()]
    return np.array(np.nan, dtype)[()] if dtype.kind in "fc" else None


def isnull(values: NDArray[Any]) -> NDArray[Any] | None:
    """Where ``values`` are missing; None where the dtype cannot hold a missing value."""
    if values.dtype.kind in "fc":
        found: NDArray[Any] = np.isnan(values)
        return found
    if values.dtype.kind in "mM":
        found = np.isnat(values)
        return found
    return None


def has_nan(array: NDArray[Any]) -> bool:
    """Whether any value is NaN or NaT, without a temporary of the array's size."""
    if array.dtype.kind == "c":
        return has_nan(array.real) or has_nan(array.imag)
    if array.dtype.kind in "mM":
        return bool(array.size) and bool(np.isnat(np.min(array)))
    return array.dtype.kind == "f" and bool(array.size) and bool(np.isnan(np.min(array)))


def or_nan(mass: NDArray[Any]) -> NDArray[Any]:
    """Put NaN in place of masses that are not positive, in place: what is divided by them is missing."""
    np.copyto(mass, np.nan, where=mass <= 0)
    return mass


def of_empty(dtype: DTypeLike, empty: Any) -> tuple[np.dtype, Any]:
    """Give the dtype of patches with empty slots, and what these hold: ``empty``, or missing."""
    dtype = np.dtype(dtype)
    if dtype.kind == "O":
        return dtype, None
    if dtype.kind in "US":
        return dtype, np.zeros((), dtype)[()]
    return filled(dtype, empty)


def filled(dtype: DTypeLike, fill: Any) -> tuple[np.dtype, Any]:
    """Give the dtype that holds both ``dtype`` and ``fill``, and ``fill`` in it.

    NaN promotes integers as xarray does, to the float that holds them; where xarray would give
    objects (bool) it is float64. Dates take NaT.

    Raises
    ------
    TypeError
        If no such dtype exists (text).
    """
    dtype = np.dtype(dtype)
    if fill is None or (np.ndim(fill) == 0 and fill != fill):
        own = missing(dtype)
        if own is not None:
            return dtype, own
        if dtype.kind in "iu":
            return np.dtype("f4" if dtype.itemsize <= 2 else "f8"), np.nan
        if dtype.kind == "b":
            return np.dtype("f8"), np.nan
    elif dtype.kind in "iu" and np.asarray(fill).dtype.kind in "biuf":
        if float(fill).is_integer() and np.iinfo(dtype).min <= fill <= np.iinfo(dtype).max:
            return dtype, dtype.type(fill)
        return np.result_type(dtype, np.min_scalar_type(fill)), fill
    elif dtype.kind in "fc" and np.asarray(fill).dtype.kind in "biufc":
        if np.asarray(fill).dtype.kind == "c" and dtype.kind == "f":
            return np.result_type(dtype, np.complex64), fill
        return dtype, dtype.type(fill)
    elif dtype.kind == "b":
        if isinstance(fill, bool | np.bool_):
            return dtype, np.bool_(fill)
        if np.asarray(fill).dtype.kind in "iuf":
            return np.dtype(np.asarray(fill).dtype), fill
    elif dtype.kind in "mM" or dtype.kind in "US":
        value = np.asarray(fill)
        if value.dtype.kind == dtype.kind:
            return np.result_type(dtype, value.dtype), fill
    raise TypeError(
        f"cells that no patch covers cannot be filled with {fill!r} in dtype {dtype}; "
        "pass a fill_value of that dtype"
    )
