"""Coarsen: the mean of every so many cells along one axis of patches, without missing ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes
from xpatch.engine.lazy import Rows
from xpatch.engine.nodata import Nodata
from xpatch.neighborhood import Boxes

BLOCK_BYTES = 1 << 26  # of patches that are cut at a time before they are coarsened
PICKED = "SUVO"  # kinds without a mean: text


def mean_dtype(dtype: Any) -> np.dtype:
    """Dtype of a plain mean, as xarray gives it; text stays."""
    dtype = np.dtype(dtype)
    return np.dtype("f8") if dtype.kind in "biu" else dtype


def mean_of(values: NDArray, axis: int, factor: int, nodata: Nodata | None = None) -> NDArray:
    """Average every ``factor`` cells along ``axis``, skipping missing ones; text is that of the last."""
    if factor == 1:
        return values.astype(mean_dtype(values.dtype), copy=False)
    if nodata is not None:
        return nodata.filled(mean_of(nodata.masked(values), axis, factor))
    shape = values.shape
    parts = values.reshape(*shape[:axis], shape[axis] // factor, factor, *shape[axis + 1 :])
    within = axis + 1
    if values.dtype.kind in PICKED:
        return parts.take(factor - 1, within)
    if values.dtype.kind in "mM":
        return _mean_of_dates(parts, within)
    with np.errstate(invalid="ignore"):
        out = parts.mean(within)
    if values.dtype.kind in "biu" or not np.isnan(out).any():
        return out
    valid = ~np.isnan(parts)
    total = parts.sum(within, dtype=dtypes.accumulator(values.dtype), where=valid)
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = (total / valid.sum(within)).astype(out.dtype)
    return np.where(np.isnan(out), rest, out)


def _mean_of_dates(parts: NDArray, axis: int) -> NDArray:
    """Average dates or durations in integers, which neither round nor overflow."""
    valid = ~np.isnat(parts)
    count = valid.sum(axis)
    by = np.maximum(count, 1)
    whole, rest = np.divmod(np.where(valid, parts.view("i8"), 0), np.expand_dims(by, axis))
    out = (whole.sum(axis) + rest.sum(axis) // by).view(parts.dtype)
    return np.where(count > 0, out, np.array("NaT", parts.dtype))


def coarsened(array: Any, axis: int, factor: int, nodata: Nodata | None = None) -> Any:
    """Average every ``factor`` cells along an axis of a dask array of patches."""
    chunks = list(array.chunks)
    chunks[axis] = tuple(c // factor for c in chunks[axis])
    meta = np.empty((0,) * array.ndim, mean_dtype(array.dtype))
    return array.map_blocks(
        mean_of, axis, factor, nodata, dtype=meta.dtype, chunks=tuple(chunks), meta=meta
    )


class CoarseRows(Rows):
    """Makes patches that are averaged over every ``factor`` cells along the patch axis ``axis``."""

    def __init__(
        self,
        axis: int,
        factor: int,
        nodata: Nodata | None,
        source: Any,
        axes: Sequence[int],
        boxes: Boxes,
        finish: Callable | None = None,
        stored: Sequence[Sequence[int]] = (),
    ):
        super().__init__(source, axes, boxes, finish, stored)
        self.axis, self.factor, self.nodata = axis, factor, nodata

    def __call__(self, ordinals: NDArray) -> NDArray:
        cut = super().__call__
        if self.factor == 1:
            return mean_of(cut(ordinals), self.axis, 1)
        inner = [n for k, n in enumerate(self.source.shape) if k not in self.axes]
        patch = math.prod([*inner, *self.boxes.sizes]) * np.dtype(self.source.dtype).itemsize
        count = -(-len(ordinals) // max(1, BLOCK_BYTES // max(1, patch)))
        parts = np.array_split(np.asarray(ordinals), max(1, count))
        how = (self.axis, self.factor, self.nodata)
        means = [mean_of(cut(part), *how) for part in parts]
        return means[0] if len(means) == 1 else np.concatenate(means)
