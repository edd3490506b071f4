"""Sums on the region around boxes: folded back to the domain, cut where chunks end, finished."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes
from xpatch.engine.boxes import Boxes, Cover, Sum
from xpatch.engine.buffers import THREADED_BYTES, available_threads, in_threads
from xpatch.engine.central import half_sample_offsets
from xpatch.engine.reducers import Reducer, WeightedMean
from xpatch.engine.stacked import Stacked

STACK_BYTES = 1 << 25
ROW_BYTES = 1 << 20  # of a result that are divided at a time


class Stretch(NamedTuple):
    """Cells of one dimension of a region that lie in the domain one after the other."""

    local: slice  # of the region
    first: int  # cell of the domain


def stretches(low: int, length: int, n: int, wrap: bool) -> list[Stretch]:
    """Find where the cells of a region lie in the domain: periodic ones once for each turn."""
    turns = range(low // n, (low + length - 1) // n + 1) if wrap and length else range(1)
    out = []
    for turn in turns:
        a, b = max(low, turn * n), min(low + length, (turn + 1) * n)
        if a < b:
            out.append(Stretch(slice(a - low, b - low), a - turn * n))
    return out


def combined(reducer: Reducer, state: Sequence[NDArray[Any]]) -> Reducer:
    """Give the reducer that combines a state, which may be the sum alone."""
    lone = isinstance(reducer, WeightedMean) and len(state) == 1
    return reducer.plain() if lone and isinstance(reducer, WeightedMean) else reducer


@np.errstate(invalid="ignore", over="ignore")  # inf − inf is NaN, as in any mean
def fold(total: Sum, boxes: Boxes, reducer: Reducer) -> list[NDArray[Any]]:
    """Give the state on the domain, of a sum on a region that holds it whole."""
    state, how = list(total.state), combined(reducer, total.state)
    for axis, part, low in zip(boxes.axes, boxes.parts, total.low, strict=True):
        lead = (slice(None),) * axis
        length = state[0].shape[axis]
        inside = [s[(*lead, slice(-low, -low + part.n))] for s in state]
        for local, first in stretches(low, length, part.n, part.wrap):
            if local.start == -low and first == 0:
                continue
            other = [s[(*lead, local)] for s in state]
            cells = slice(first, first + local.stop - local.start)
            how.combine([s[(*lead, cells)] for s in inside], other)
        state = inside
    return state


def domain_cover(boxes: Boxes) -> Cover:
    """Sum the mass over the patches on the domain."""
    low, high = boxes.region(whole=True)
    if boxes.arrangement.product:
        cover = boxes.cover(boxes.layout(low, high))
    else:
        cover = boxes.listed(low, high).cover()
    if not isinstance(cover, list):
        for k, (part, a) in enumerate(zip(boxes.parts, low, strict=True)):
            if a or cover.shape[k] > part.n:
                moved = np.moveaxis(cover, k, 0)
                cover = np.moveaxis(_folded(moved, a, part.n, part.wrap), 0, k)
        return cover
    each = zip(cover, low, boxes.parts, strict=True)
    return [_folded(vector, a, part.n, part.wrap) for vector, a, part in each]


def _folded(cover: NDArray[Any], low: int, n: int, wrap: bool) -> NDArray[Any]:
    """Fold the first axis of a cover back to the domain."""
    inside = cover[-low : -low + n].copy()  # others may ask for the cover of the region
    for local, first in stretches(low, len(cover), n, wrap):
        if local.start != -low or first:
            inside[first : first + local.stop - local.start] += cover[local]
    return inside


def coverage(boxes: Boxes) -> tuple[bool, bool]:
    """Say whether every cell is covered, and whether none has two contributions.

    Boxes that are no outer product are looked at slab by slab, until both are decided.
    """
    full, lone = True, boxes.masses.binary
    for part in [boxes] if boxes.arrangement.full else boxes.slabs():
        own = decided(domain_cover(part))
        full, lone = full and own[0], lone and own[1]
        if not (full or lone):
            break
    return full, lone


def decided(cover: Cover) -> tuple[bool, bool]:
    """Say whether every cell has a contribution, and whether none has two."""
    fields = cover if isinstance(cover, list) else [cover]
    return all(bool((f > 0).all()) for f in fields), all(bool((f <= 1).all()) for f in fields)


def outer(cover: Cover) -> NDArray[np.float64]:
    """Multiply vectors out."""
    if not isinstance(cover, list):
        return cover
    out = np.ones(())
    for vector in cover:
        out = out[..., None] * vector
    return out


def along(field: NDArray[Any], axes: Sequence[int], ndim: int) -> NDArray[Any]:
    """Lay a field over cut dimensions, in their order, along ``axes`` of an array."""
    shape = [1] * ndim
    for axis, n in zip(axes, field.shape, strict=True):
        shape[axis] = n
    return (field.transpose(np.argsort(axes)) if len(axes) else field).reshape(shape)


@np.errstate(invalid="ignore", divide="ignore", over="ignore")
def finished(
    state: list[NDArray[Any]], cover: Cover, axes: Sequence[int], reducer: Reducer
) -> NDArray[Any]:
    """Give the result; the sum alone is divided by the cover, which is its mass."""
    if not isinstance(reducer, WeightedMean) or len(state) == 2:
        return reducer.finish(state)
    (total,) = state
    factors = cover if isinstance(cover, list) else [cover]
    if not reducer.normalize:
        if reducer.reading is not None and total.dtype.kind == "f":  # 0 may stand for missing there
            for k, factor in enumerate(factors):
                own = [axes[k]] if isinstance(cover, list) else axes
                np.copyto(total, np.nan, where=along(factor <= 0, own, total.ndim))
        return reducer.plain().finish(state)
    if all((f == 1).all() for f in factors):
        return total.astype(reducer.dtype, copy=False)
    real = np.empty(0, total.dtype).real.dtype
    real = real if real.kind == "f" else np.dtype(float)
    if isinstance(cover, list):
        each = zip(cover, axes, strict=True)
        wide = [along(dtypes.or_nan(v.astype(real)), [a], total.ndim) for v, a in each]
    else:
        wide = [along(dtypes.or_nan(cover.astype(real)), axes, total.ndim)]
    n = total.shape[0] if total.ndim else 1
    step = max(1, ROW_BYTES * n // max(1, total.nbytes))

    @np.errstate(invalid="ignore", over="ignore")  # threads do not have that of their caller
    def divide(rows: range) -> None:
        for low in rows:
            part: Any = slice(low, low + step) if total.ndim else ...
            mass: Any = 1  # multiplied out for some rows; division gives equal values back exactly
            for w in wide:
                mass = mass * (w[part] if total.ndim and w.shape[0] > 1 else w)
            np.divide(total[part], mass, out=total[part])

    threads = available_threads() if total.nbytes >= THREADED_BYTES else 1
    in_threads(divide, range(0, n, step), threads)
    return total.astype(reducer.dtype, copy=False)


# ---------------------------------------------------------------------------------------- pieces


class Piece(NamedTuple):
    """What the patches of one block add up to on a part of a chunk, from cell ``low`` of the domain on."""

    low: tuple[int, ...]
    state: list[NDArray[Any]]
    cover: Cover


def in_tiles(
    total: Sum, boxes: Boxes, edges: Sequence[NDArray[Any]]
) -> dict[tuple[int, ...], list[Piece]]:
    """Cut a sum where chunks end; several parts are copies, so that none keeps the others alive."""
    own: list[list[tuple[int, Stretch]]] = []
    for axis, part, low, edge in zip(boxes.axes, boxes.parts, total.low, edges, strict=True):
        found: list[tuple[int, Stretch]] = []
        for s in stretches(low, total.state[0].shape[axis], part.n, part.wrap):
            found += _between(s, edge)
        own.append(found)
    out: dict[tuple[int, ...], list[Piece]] = {}
    lone = math.prod(map(len, own)) == 1
    for chosen in itertools.product(*own):
        index: list[slice] = [slice(None)] * total.state[0].ndim
        for axis, (_, s) in zip(boxes.axes, chosen, strict=True):
            index[axis] = s.local
        cells = tuple([s.local for _, s in chosen])
        if isinstance(total.cover, list):
            cover: Cover = [v[c] for v, c in zip(total.cover, cells, strict=True)]
        else:
            cover = total.cover[cells] if lone else total.cover[cells].copy()
        state = [a[tuple(index)] for a in total.state]
        state = state if lone else [a.copy() for a in state]
        piece = Piece(tuple([s.first for _, s in chosen]), state, cover)
        out.setdefault(tuple([k for k, _ in chosen]), []).append(piece)
    return out


def _between(s: Stretch, edge: NDArray[Any]) -> Iterator[tuple[int, Stretch]]:
    """Cut a stretch where chunks end."""
    first, behind = s.first, s.first + s.local.stop - s.local.start
    k = int(np.searchsorted(edge, first, side="right")) - 1
    while k < len(edge) - 1 and edge[k] < behind:
        a, b = max(first, int(edge[k])), min(behind, int(edge[k + 1]))
        if a < b:
            begin = s.local.start + a - first
            yield k, Stretch(slice(begin, begin + b - a), a)
        k += 1


@np.errstate(invalid="ignore", over="ignore")
def put_together(
    pieces: Sequence[Piece],
    low: Sequence[int],
    shape: Sequence[int],
    axes: Sequence[int],
    reducer: Reducer,
) -> tuple[NDArray[Any], Cover]:
    """Combine the pieces of one chunk, and give what it comes to, and the cover."""
    cells = [shape[a] for a in axes]
    if len(pieces) == 1 and pieces[0].state[0].shape == tuple(shape):
        state = [s.copy() for s in pieces[0].state]  # which other tasks may ask for
        return finished(state, pieces[0].cover, axes, reducer), pieces[0].cover
    cover = np.zeros(cells)
    alone = isinstance(reducer, WeightedMean) and all(len(p.state) == 1 for p in pieces)
    how = reducer.plain() if alone and isinstance(reducer, WeightedMean) else reducer
    state = how.start(shape)
    for piece in pieces:
        own = [slice(a - o, None) for a, o in zip(piece.low, low, strict=True)]
        field = outer(piece.cover)
        where = tuple(slice(s.start, s.start + n) for s, n in zip(own, field.shape, strict=True))
        cover[where] += field
        index: list[slice] = [slice(None)] * len(shape)
        for axis, part in zip(axes, where, strict=True):
            index[axis] = part
        views = [s[tuple(index)] for s in state]
        if len(piece.state) == len(state):
            how.combine(views, piece.state)
        else:  # no contribution was missing: the cover is the mass
            views[0] += piece.state[0]
            views[1] += along(field, axes, len(shape))
    return finished(state, cover, axes, reducer), cover


# --------------------------------------------------------------------------------------- stacked


def reduce_stacked(patches: NDArray[Any], boxes: Boxes, reducer: Stacked) -> NDArray[Any]:
    """Reduce the contributions of each cell of a product, one tile of the domain after the other."""
    shape = list(patches.shape[1:])
    for axis, part in zip(boxes.axes, boxes.parts, strict=True):
        shape[axis] = part.n
    out = np.zeros(shape, reducer.dtype)
    for first, behind in _tiles(boxes, patches, reducer):
        index: list[slice] = [slice(None)] * out.ndim
        for axis, a, b in zip(boxes.axes, first, behind, strict=True):
            index[axis] = slice(a, b)
        tile = boxes.near(first, behind)
        out[tuple(index)] = _reduce_tile(patches, tile, reducer, tuple(index))
    return out


def _tiles(
    boxes: Boxes, patches: NDArray[Any], reducer: Stacked
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Cut the domain into parts whose stacked contributions fit in little memory."""
    sizes = [p.size for p in boxes.parts]
    bands = math.prod(patches.shape[1:]) // max(1, math.prod(sizes))
    depth = math.prod(boxes.layout(*boxes.region()).depths)
    budget = STACK_BYTES // max(1, bands * min(depth, 64) * reducer.working.itemsize)
    step = [2 * s for s in sizes]
    for k in reversed(range(len(step))):  # grow along the last dimension first
        others = math.prod(s for j, s in enumerate(step) if j != k)
        step[k] = max(step[k], min(boxes.parts[k].n, budget // max(1, others)))
    each = zip(boxes.parts, step, strict=True)
    ranges = [[(a, min(a + s, p.n)) for a in range(0, p.n, s)] for p, s in each]
    for part in itertools.product(*ranges):
        yield tuple(a for a, _ in part), tuple(b for _, b in part)


def _reduce_tile(
    patches: NDArray[Any], boxes: Boxes, reducer: Stacked, where: tuple[slice, ...]
) -> NDArray[Any]:
    """Stack what falls on one tile, and reduce it."""
    low, high = boxes.region(whole=True)
    layout = boxes.layout(low, high)
    layout.by_cell = False  # every window has a slot of its own
    shape = layout.full_shape(patches.shape[1:])
    depth, ndim = max(1, math.prod(layout.depths)), len(shape)
    stack = np.full((depth, *shape), reducer.absent, reducer.working)
    count = np.zeros(shape, np.int32)
    spoiled = np.zeros(shape, bool)
    offsets = np.full((len(boxes.axes), *stack.shape), np.nan) if reducer.needs_offsets else None
    for visit in layout.visits(patches.shape[1:], patches.dtype.itemsize):
        values = layout.local(reducer.read(layout.source(patches, visit)), visit)
        null = dtypes.isnull(values)
        inside = np.ones(values.shape, bool)
        for mask in (layout.present(visit, ndim), layout.weight(True, visit, ndim, float)):
            if mask is not None:
                inside &= layout.local(mask, visit) > 0
        valid = inside if null is None else inside & ~null
        slot = 0
        for s, d in zip(visit, layout.depths, strict=True):
            slot = slot * d + s.slot
        np.copyto(layout.target(stack[slot], visit), values, where=valid)
        if offsets is not None:
            for k, (axis, s, part) in enumerate(zip(boxes.axes, visit, boxes.parts, strict=True)):
                offset = half_sample_offsets(part.size)[s.inner]
                wide = along(offset, [axis], ndim)
                np.copyto(layout.target(offsets[k, slot], visit), wide, where=valid)
        view = layout.target(count, visit)
        view += valid
        if null is not None and not reducer.skipna:
            layout.target(spoiled, visit)[...] |= null & inside
    index: list[slice] = [slice(None)] * ndim
    for axis, a, part in zip(boxes.axes, low, boxes.parts, strict=True):
        index[axis] = slice(-a, -a + part.n)
    own_cells = tuple(index)
    if offsets is not None:
        offsets = offsets[(slice(None), slice(None), *own_cells)]
    stack, count = stack[(slice(None), *own_cells)], count[own_cells]
    result = reducer.reduce(stack, count, offsets, where)
    null = dtypes.missing(result.dtype)
    if null is not None:
        result[spoiled[own_cells] | (count == 0)] = null
    return result
