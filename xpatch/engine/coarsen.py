"""Coarsen: the mean of every so many cells along one axis of patches, without missing ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes
from xpatch.engine.nodata import Nodata

PICKED = "SUVO"  # kinds without a mean: text


def mean_dtype(dtype: Any) -> np.dtype:
    """Dtype of a plain mean, as xarray gives it; text stays."""
    dtype = np.dtype(dtype)
    return np.dtype("f8") if dtype.kind in "biu" else dtype


def mean_of(
    values: NDArray[Any], axis: int, factor: int, nodata: Nodata | None = None
) -> NDArray[Any]:
    """Average every ``factor`` cells along ``axis``, skipping missing ones; text is that of the last."""
    if factor == 1:
        return values.astype(mean_dtype(values.dtype), copy=False)
    if nodata is not None:
        return nodata.filled(mean_of(nodata.masked(values), axis, factor))
    shape = values.shape
    parts = values.reshape(*shape[:axis], shape[axis] // factor, factor, *shape[axis + 1 :])
    within = axis + 1
    if values.dtype.kind in PICKED:
        found: NDArray[Any] = parts.take(factor - 1, within)
        return found
    if values.dtype.kind in "mM":
        return _mean_of_dates(parts, within)
    with np.errstate(invalid="ignore"):
        out: NDArray[Any] = parts.mean(within)
    if values.dtype.kind in "biu" or not np.isnan(out).any():
        return out
    valid = ~np.isnan(parts)
    total = parts.sum(within, dtype=dtypes.accumulator(values.dtype), where=valid)
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = (total / valid.sum(within)).astype(out.dtype)
    found = np.where(np.isnan(out), rest, out)
    return found


def _mean_of_dates(parts: NDArray[Any], axis: int) -> NDArray[Any]:
    """Average dates or durations in integers, which neither round nor overflow."""
    valid = ~np.isnat(parts)
    count = valid.sum(axis)
    by = np.maximum(count, 1)
    whole, rest = np.divmod(np.where(valid, parts.view("i8"), 0), np.expand_dims(by, axis))
    out = (whole.sum(axis) + rest.sum(axis) // by).view(parts.dtype)
    return np.where(count > 0, out, np.array("NaT", parts.dtype))
