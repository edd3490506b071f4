"""Scatter for reducers that need all contributions of a cell at once, tile by tile."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes
from xpatch.engine.placement import Placement, Visit, some_of, source_view, target_view
from xpatch.engine.stacked import Stacked

STACK_BYTES = 1 << 25


def normalized_offsets(sizes: Sequence[int]) -> list[NDArray]:
    """Offsets from the center of a box at half-sample points, in (−1, 1)."""
    return [(2 * np.arange(n) + 1 - n) / n for n in sizes]


def reduce_stacked(
    patches: NDArray, axes: Sequence[int], placement: Placement, reducer: Stacked
) -> NDArray:
    """Reduce the contributions of each cell, one tile of the region after the other."""
    shape = list(patches.shape[1:])
    for axis, length in zip(axes, placement.shape, strict=True):
        shape[axis] = length
    out = np.zeros(shape, reducer.dtype)
    for tile in _tiles(placement, patches, reducer):
        index: list[slice] = [slice(None)] * out.ndim
        for axis, low, high, origin in zip(axes, tile.low, tile.high, placement.low, strict=True):
            index[axis] = slice(low - origin, high - origin)
        out[tuple(index)] = _reduce_tile(patches, axes, tile, reducer, tuple(index))
    return out


def _tiles(placement: Placement, patches: NDArray, reducer: Stacked) -> Iterator[Placement]:
    """Cut the region into parts whose stacked contributions fit in little memory."""
    sizes = placement.boxes.sizes
    bands = int(np.prod(patches.shape[1:], dtype=np.int64)) // max(
        1, int(np.prod(sizes, dtype=np.int64))
    )
    depth = placement.depth() or len(placement.boxes)
    budget = STACK_BYTES // max(1, bands * min(depth, 64) * reducer.working.itemsize)
    step = [max(s, 1) for s in sizes]
    for k in reversed(range(len(step))):  # grow along the last dimension first
        others = int(np.prod([s for j, s in enumerate(step) if j != k], dtype=np.int64))
        step[k] = max(step[k], min(placement.shape[k], budget // max(1, others)))
    ranges = [
        [(a, min(a + s, h)) for a in range(lo, h, s)]
        for lo, h, s in zip(placement.low, placement.high, step, strict=True)
    ]
    for part in itertools.product(*ranges):
        yield placement.within([p[0] for p in part], [p[1] for p in part])


def _reduce_tile(
    patches: NDArray,
    axes: Sequence[int],
    tile: Placement,
    reducer: Stacked,
    where: tuple[slice, ...],
) -> NDArray:
    shape = list(patches.shape[1:])
    for axis, length in zip(axes, tile.shape, strict=True):
        shape[axis] = length
    depth = tile.depth()
    if depth is None:
        counts = Placement(tile.boxes, low=tile.low, high=tile.high).cover()
        depth = int(np.max(counts, initial=0))
    stack = np.full((max(depth, 1), *shape), reducer.absent, reducer.working)
    count = np.zeros(shape, np.int32)
    spoiled = np.zeros(shape, bool)
    offsets = np.full((len(axes), *stack.shape), np.nan) if reducer.needs_offsets else None
    for visit in tile.visits(axes, patches.shape[1:]):
        values = reducer.read(source_view(patches, tile, visit, axes)[visit.local])
        null = dtypes.isnull(values)
        valid = np.ones(values.shape, bool) if null is None else ~null
        weight = tile.weight(tile.mass, visit, axes, len(shape))
        if (weight := some_of(weight, visit.local)) is not None:
            valid &= weight > 0
        counted = target_view(count, visit, axes)
        _put(stack, counted, np.where(valid, values, reducer.absent), valid, visit, axes)
        if offsets is not None:
            for k, axis in enumerate(axes):
                along = [1] * len(shape)
                along[axis] = -1
                offset = normalized_offsets(tile.boxes.sizes)[k][visit.source[k]].reshape(along)
                _put(offsets[k], counted, np.where(valid, offset, np.nan), valid, visit, axes)
        counted += valid
        if null is not None and not reducer.skipna:
            target_view(spoiled, visit, axes)[...] |= null
    result = reducer.reduce(stack, count, offsets, where)
    null = dtypes.missing(result.dtype)
    if null is not None:
        result[spoiled | (count == 0)] = null
    return result


def _put(
    stack: NDArray,
    counted: NDArray,
    values: NDArray,
    valid: NDArray,
    visit: Visit,
    axes: Sequence[int],
) -> None:
    """Write contributions into the slot of ``visit``, or where it has none into the next free one."""
    if visit.slot >= 0:
        np.copyto(target_view(stack[visit.slot], visit, axes), values, where=valid)
        return
    index: list[slice] = [slice(None)] * (stack.ndim - 1)
    for axis, s in zip(axes, visit.segments, strict=True):
        index[axis] = s.target
    view = stack[(slice(None), *index)]
    counted, values, valid = (a.reshape(1, *view.shape[1:]) for a in (counted, values, valid))
    slots = np.minimum(counted, len(stack) - 1)  # a cell that is full gets no valid value
    kept = np.take_along_axis(view, slots, 0)
    np.put_along_axis(view, slots, np.where(valid, values, kept), 0)
