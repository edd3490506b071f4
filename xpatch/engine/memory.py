"""Gather and scatter on NumPy arrays."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from xpatch.engine import dtypes
from xpatch.engine.copying import copy
from xpatch.engine.placement import (
    AxisWeights,
    Placement,
    Visit,
    some_of,
    source_view,
    target_view,
)
from xpatch.engine.reduce import Choose, How, Reducer, WeightedMean
from xpatch.engine.scratch import Scratch
from xpatch.engine.stacked import Stacked
from xpatch.engine.stacking import normalized_offsets, reduce_stacked
from xpatch.engine.threads import THREADED_BYTES, in_threads
from xpatch.neighborhood import Boxes, common_pad

INDEX_PADS = ("reflect", "symmetric", "edge", "wrap", "constant")
KEPT_BYTES = 1 << 21  # of weights that are kept for the next blocks of their kind
COPY_BYTES = 1 << 22  # of patches that a thread copies at a time


# --------------------------------------------------------------------------------------- gather


def gather_dtype(dtype: np.dtype, boxes: Boxes) -> tuple[np.dtype, Any]:
    """Give the dtype of the patches and the value of constant padding in it."""
    if boxes.overhangs and boxes.pad_mode == "constant" and not all(boxes.wrap):
        return dtypes.filled(dtype, boxes.pad_value)
    return dtype, None


def gather(array: NDArray, axes: Sequence[int], boxes: Boxes, threads: int = 1) -> NDArray:
    """Cut ``boxes`` out of ``array``.

    Parameters
    ----------
    array : ndarray
        The field.
    axes : sequence of int
        Which axes of ``array`` the dimensions of ``boxes`` are.
    boxes : Boxes
        What to cut.
    threads : int, default: 1
        How many threads copy, if the result is large.

    Returns
    -------
    ndarray
        Patches, shape (patch, *dims of array).
    """
    if boxes.overhangs and boxes.pad_mode not in INDEX_PADS:
        array, boxes = extended(array, axes, boxes, np.pad)
    dtype, fill = gather_dtype(array.dtype, boxes)
    shape = list(array.shape)
    for axis, size in zip(axes, boxes.sizes, strict=True):
        shape[axis] = size
    out = np.empty((len(boxes), *shape), dtype)
    if boxes.product and axes:
        grid = out.reshape(*boxes.grid, *shape)
        threads = threads if out.nbytes >= THREADED_BYTES else 1
        _gather_product(array, axes, boxes, grid, fill, threads)
    else:
        _gather_listed(array, axes, boxes, out, fill)
    return out


def extended(array: Any, axes: Sequence[int], boxes: Boxes, pad: Any) -> tuple[Any, Boxes]:
    """Extend an array by ``pad`` for the words that need a whole axis (mean, linear_ramp …)."""
    widths = [(0, 0)] * array.ndim
    starts = []
    pads = common_pad(boxes)
    for axis, width, periodic, a in zip(axes, pads, boxes.wrap, boxes.axes, strict=True):
        widths[axis] = (0, 0) if periodic else width
        starts.append(a if periodic else a + width[0])
    ramp = {"end_values": boxes.pad_value or 0} if boxes.pad_mode == "linear_ramp" else {}
    found = pad(array, widths, mode=boxes.pad_mode, **ramp)
    if boxes.missing is not None:  # NaN spreads where the numbers would be averaged
        lost = pad(np.where(boxes.missing.where(array), np.nan, 0.0), widths, mode=boxes.pad_mode)
        found = np.where(lost != lost, boxes.missing.fill, found).astype(found.dtype)
    array = found
    shape = tuple(array.shape[a] for a in axes)
    return array, dataclasses.replace(boxes, axes=tuple(starts), shape=shape)


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    """Windows of one dimension: a strided view, or one window through an index."""

    grid: slice
    start: int
    step: int
    cells: NDArray | None


def _runs(starts: NDArray, boxes: Boxes, k: int) -> list[_Run]:
    size, n = boxes.sizes[k], boxes.shape[k]
    inside = (starts >= 0) & (starts + size <= n)
    out = []
    i = 0
    while i < len(starts):
        if not inside[i]:
            cells = source_cells(starts[i] + np.arange(size), n, boxes.wrap[k], boxes.pad_mode)
            out.append(_Run(slice(i, i + 1), 0, 1, cells))
            i += 1
            continue
        stop = i + 1
        step = int(starts[stop] - starts[i]) if stop < len(starts) else 1
        while stop < len(starts) and inside[stop] and starts[stop] - starts[stop - 1] == step > 0:
            stop += 1
        out.append(_Run(slice(i, stop), int(starts[i]), max(step, 1), None))
        i = stop
    return out


def source_cells(cells: NDArray, n: int, wrap: bool, pad_mode: str) -> NDArray:
    """Find the cell of the domain whose value each position takes; −1 where it is a constant."""
    if wrap:
        return cells % n
    if pad_mode == "constant":
        return np.where((cells >= 0) & (cells < n), cells, -1)
    low, high = max(0, -int(cells.min())), max(0, int(cells.max()) + 1 - n)
    return np.pad(np.arange(n), (low, high), mode=pad_mode)[cells + low]  # type: ignore[call-overload]


def _gather_product(
    array: NDArray, axes: Sequence[int], boxes: Boxes, out: NDArray, fill: Any, threads: int
) -> None:
    """Copy runs of windows, block by block; each thread has blocks that follow each other."""
    slowest = max(range(len(axes)), key=lambda k: abs(array.strides[axes[k]]))
    runs = [_runs(starts, boxes, k) for k, starts in enumerate(boxes.axes)]
    for chosen in itertools.product(*runs):
        view, order = array, []
        for axis, run, size in zip(axes, chosen, boxes.sizes, strict=True):
            if run.cells is None:
                view = sliding_window_view(view, size, axis=axis)
                count = run.grid.stop - run.grid.start
                stop = run.start + (count - 1) * run.step + 1
                view = view[(slice(None),) * axis + (slice(run.start, stop, run.step),)]
            else:
                view = _take(view, run.cells, axis, fill, out.dtype)
                view = np.expand_dims(np.moveaxis(view, axis, -1), axis)
            order.append(axis)
        windows = {axis: array.ndim + k for k, axis in enumerate(order)}
        rest = [windows.get(k, k) for k in range(array.ndim)]
        target = out[tuple(run.grid for run in chosen)]
        pairs = list(zip(*_blocks(target, view.transpose(*order, *rest), slowest), strict=True))
        if threads == 1:
            _copy_all(pairs)
            continue
        step = -(-len(pairs) // threads)  # threads in turn would wait for each other's new memory
        in_threads(_copy_all, [pairs[i : i + step] for i in range(0, len(pairs), step)])


def _copy_all(pairs: Sequence[tuple[NDArray, NDArray]]) -> None:
    for target, source in pairs:
        copy(target, source)


def _blocks(
    target: NDArray, source: NDArray, axis: int
) -> tuple[Sequence[NDArray], Sequence[NDArray]]:
    """Cut arrays into pairs of blocks to copy, along an axis of windows.

    It is the one along which the field is stored in the largest steps, so that the part of the
    field that all windows of a block share stays in the cache, in whatever order patches follow
    each other.
    """
    n = target.shape[axis]
    step = max(1, n * COPY_BYTES // max(1, target.nbytes))
    index = (slice(None),) * axis
    cuts = [(*index, slice(i, i + step)) for i in range(0, n, step)] if n > step else [...]
    return [target[c] for c in cuts], [source[c] for c in cuts]


def _take(array: NDArray, cells: NDArray, axis: int, fill: Any, dtype: np.dtype) -> NDArray:
    out = np.take(array, cells, axis=axis)
    if fill is not None and (cells < 0).any():
        out = out.astype(dtype)
        out[(slice(None),) * axis + (cells < 0,)] = fill
    return out


def _gather_listed(
    array: NDArray, axes: Sequence[int], boxes: Boxes, out: NDArray, fill: Any
) -> None:
    starts = boxes.starts()
    index: list[slice] = [slice(None)] * array.ndim
    for i, start in enumerate(starts):
        view = array
        inside = True
        for axis, s, size, n in zip(axes, start, boxes.sizes, boxes.shape, strict=True):
            inside &= bool(s >= 0 and s + size <= n)
            index[axis] = slice(int(s), int(s) + size)
        if inside:
            out[i] = array[tuple(index)]
            continue
        for k, (axis, s) in enumerate(zip(axes, start, strict=True)):
            cells = s + np.arange(boxes.sizes[k])
            cells = source_cells(cells, boxes.shape[k], boxes.wrap[k], boxes.pad_mode)
            view = _take(view, cells, axis, fill, out.dtype)
        out[i] = view


def taper(
    patches: NDArray, axes: Sequence[int], boxes: Boxes, weights: Sequence[AxisWeights]
) -> None:
    """Multiply patches (patch, *dims) by an analysis window, in place."""
    picks = boxes.entries(np.arange(len(boxes)))
    for axis, w, pick in zip(axes, weights, picks, strict=True):
        shape = [1] * (patches.ndim - 1)
        shape[axis] = patches.shape[axis + 1]
        rows = w.rows.astype(np.empty(0, patches.dtype).real.dtype)
        if len(rows) == 1:
            weigh(patches, rows.reshape(1, *shape))
            continue
        chosen = w.pick[pick]
        for r, row in enumerate(rows):
            which = chosen == r
            patches[which] = weigh(patches[which], row.reshape(shape))


def weigh(patches: NDArray, weights: NDArray) -> NDArray:
    """Multiply patches by weights in place; zero times infinity is zero."""
    if (zeros := weights == 0).any():
        np.copyto(patches, 0, where=zeros & np.isinf(patches))
    patches *= weights
    return patches


# -------------------------------------------------------------------------------------- scatter


def scatter(
    patches: NDArray,
    axes: Sequence[int],
    placement: Placement,
    reducer: Reducer,
    threads: int = 1,
) -> list[NDArray]:
    """Add all contributions of ``patches`` (patch, *dims) up in the state of ``reducer``.

    Threads take bands of the output, so that no two write the same cell and the result does not
    depend on their number.
    """
    shape = list(patches.shape[1:])
    for axis, length in zip(axes, placement.shape, strict=True):
        shape[axis] = length
    state = reducer.start(shape)
    if threads == 1 or not axes or state[0].nbytes < THREADED_BYTES:
        _scatter_into(state, patches, axes, placement, reducer)
        return state
    bands = []
    k = min(range(len(axes)), key=axes.__getitem__)
    edges = np.linspace(placement.low[k], placement.high[k], threads + 1).astype(int)
    for first, last in itertools.pairwise(edges):
        low, high = list(placement.low), list(placement.high)
        low[k], high[k] = first, last
        cells = slice(first - placement.low[k], last - placement.low[k])
        mine = [s[(slice(None),) * axes[k] + (cells,)] for s in state]
        bands.append((mine, placement.within(low, high)))
    in_threads(lambda band: _scatter_into(band[0], patches, axes, band[1], reducer), bands)
    return state


@np.errstate(invalid="ignore", over="ignore")  # inf − inf is NaN, as in any mean
def _scatter_into(
    state: list[NDArray],
    patches: NDArray,
    axes: Sequence[int],
    placement: Placement,
    reducer: Reducer,
) -> None:
    ndim = patches.ndim - 1
    keys = _Keys(reducer, placement, axes, ndim)
    shares = _Shares(placement, axes, ndim, state[0].dtype)
    block, strip = None, patches
    weighted, added = Scratch(), Scratch()
    for visit in placement.visits(axes, patches.shape[1:], max(patches.dtype.itemsize, 4)):
        weight, zeros, mass = shares(visit)
        if (here := (visit.block, visit.kind)) != block:
            strip = reducer.read(source_view(patches, placement, visit, axes))
            if weight is not None and reducer.weighted:
                strip = weighted.product(strip, weight, zeros, state[0].dtype)
            block = here
        views = [target_view(s, visit, axes) for s in state]
        key = keys(visit) if keys.by is not None else None
        how = How(some_of(mass, visit.local), key, added)
        reducer.update(views, strip[visit.local], how)


class _Shares:
    """What a block of patches is multiplied by, where that is zero, and what it adds to the mass.

    Those of the last kinds of blocks are kept.
    """

    def __init__(self, placement: Placement, axes: Sequence[int], ndim: int, dtype: np.dtype):
        real = np.empty(0, dtype).real.dtype
        self.placement, self.axes, self.ndim = placement, axes, ndim
        self.dtype = real if real.kind == "f" else np.dtype(float)
        self.kept: dict[Any, tuple[NDArray | None, NDArray | None, NDArray | None]] = {}
        self.bytes = 0

    def __call__(self, visit: Visit) -> tuple[NDArray | None, NDArray | None, NDArray | None]:
        if visit.kind not in self.kept:
            if self.bytes > KEPT_BYTES:
                self.kept.clear()
                self.bytes = 0
            found = self._made(visit)
            self.kept[visit.kind] = found
            self.bytes += sum(w.nbytes for w in found if w is not None)
        return self.kept[visit.kind]

    def _made(self, visit: Visit) -> tuple[NDArray | None, NDArray | None, NDArray | None]:
        p, args = self.placement, (visit, self.axes, self.ndim, self.dtype)
        weight = p.weight(p.weights, *args)
        mass = weight if p.mass is p.weights else p.weight(p.mass, *args)
        zeros = None if weight is None else weight == 0
        return weight, zeros if zeros is not None and zeros.any() else None, mass


class _Keys:
    """What `Choose` compares: the ordinal, its negative, or the distance from the center."""

    def __init__(self, reducer: Reducer, placement: Placement, axes: Sequence[int], ndim: int):
        self.by = getattr(reducer, "by", None) if isinstance(reducer, Choose) else None
        self.placement, self.axes, self.ndim = placement, axes, ndim
        self.distances: dict[Any, NDArray] = {}
        if self.by is not None:
            labels = placement.labels
            labels = np.arange(len(placement.boxes)) if labels is None else labels
            self.labels = labels.reshape(*placement.grid, *(1,) * ndim)

    def __call__(self, visit: Visit) -> Any:
        ordinal = self.labels[visit.picks]
        if self.by == "first":
            return ordinal
        if self.by == "last":
            return -ordinal
        return (self._distance(visit) << 40) + ordinal

    def _distance(self, visit: Visit) -> NDArray:
        label = visit.kind
        if label not in self.distances:
            offsets = normalized_offsets(self.placement.boxes.sizes)
            far = np.zeros((1,) * self.ndim)
            for axis, offset, part in zip(self.axes, offsets, visit.source, strict=True):
                shape = [1] * self.ndim
                shape[axis] = -1
                far = np.maximum(far, np.abs(offset[part]).reshape(shape))
            self.distances[label] = np.rint(far * (1 << 22)).astype(np.int64)
        return self.distances[label]


def reduce(
    patches: NDArray,
    axes: Sequence[int],
    placement: Placement,
    reducer: Reducer,
    threads: int = 1,
) -> NDArray:
    """Merge ``patches`` (patch, *dims); cells without a contribution hold anything.

    The sum is made first, and contributions are masked only if it turns out to hold a NaN.
    """
    if isinstance(reducer, Stacked):
        return reduce_stacked(patches, axes, placement, reducer)
    if isinstance(reducer, WeightedMean) and placement.boxes.product:
        plain = reducer.plain()
        state = scatter(patches, axes, placement, plain, threads)
        if not reducer.skips(patches.dtype) or not has_nan(state[0], threads):
            return plain.finish(state)
        del state
    return reducer.finish(scatter(patches, axes, placement, reducer, threads))


def has_nan(array: NDArray, threads: int = 1) -> bool:
    """Whether any value is NaN, without a temporary of the array's size."""
    if array.dtype.kind == "c":
        return has_nan(array.real, threads) or has_nan(array.imag, threads)
    if threads > 1 and array.nbytes >= THREADED_BYTES:
        return any(in_threads(has_nan, np.array_split(array, threads)))
    return bool(array.size) and bool(np.isnan(np.min(array)))
