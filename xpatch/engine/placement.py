"""Where patches land in a region of the lattice, as few large slices."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from xpatch.neighborhood import Boxes

BLOCK_BYTES = 1 << 22  # of patches handled at a time: calls of NumPy weigh less, caches still help
FEW = 16  # windows along a dimension: they are not worth cutting into those that are alike
LARGE_BYTES = 1 << 13  # of a patch: the weights of blocks of such are kept only if they are alike


@dataclasses.dataclass(frozen=True, eq=False)
class AxisWeights:
    """Weights along one dimension: a few distinct rows, and which row each start takes."""

    rows: NDArray[np.float64]
    pick: NDArray[np.intp]

    @property
    def ones(self) -> bool:
        """Whether every weight is exactly one."""
        return bool((self.rows == 1).all())

    def full(self, which: slice = slice(None)) -> NDArray[np.float64]:
        """Weights of each start, shape (start, size)."""
        return self.rows[self.pick[which]]

    def take(self, which: NDArray) -> AxisWeights:
        """Keep the weights of some starts, and the rows that these take."""
        if len(self.rows) == 1:
            return AxisWeights(self.rows, np.zeros(len(which), np.intp))
        kept, pick = np.unique(self.pick[which], return_inverse=True)
        return AxisWeights(self.rows[kept], pick.reshape(-1))

    def spread(self, which: NDArray, n: int) -> AxisWeights:
        """Give the weights as those of entries ``which`` of ``n``; nobody asks for the others."""
        pick = np.zeros(n, np.intp)
        pick[which] = self.pick
        return AxisWeights(self.rows, pick)

    @classmethod
    def of(cls, full: NDArray[np.float64]) -> AxisWeights:
        """Find the distinct rows of ``full``, taking differences of rounding as none."""
        known: dict[bytes, int] = {}
        rounded = np.round(full, 13)
        pick = np.array([known.setdefault(row.tobytes(), len(known)) for row in rounded], np.intp)
        return cls(full[np.unique(pick, return_index=True)[1]], pick)


class Segment(NamedTuple):
    """Windows of one dimension that do not overlap, at an even distance."""

    block: slice  # of the axis: the consecutive windows that these are some of
    local: slice  # of the block: which windows these are
    target: slice  # of the region: cells of the first window
    stride: int  # cells from window to window
    windows: int
    inner: slice  # cells of the window that lie in the region
    entries: slice  # of the weights of the block, one if all have the same
    kind: tuple[Any, ...]  # blocks of one kind have the same weights and cells of the window
    slot: int  # no two overlapping windows have the same

    @property
    def picks(self) -> slice:
        """Which windows of the axis these are."""
        low = self.block.start
        return slice(low + self.local.start, low + self.local.stop, self.local.step)


@dataclasses.dataclass(frozen=True, eq=False)
class Axis:
    """One dimension of a placement: which starts touch the region, and where in it they lie."""

    index: NDArray[np.intp]
    start: NDArray[np.int64]
    size: int
    length: int

    @classmethod
    def within(cls, starts: NDArray, size: int, n: int, wrap: bool, low: int, high: int) -> Axis:
        """Find the starts whose windows touch ``[low, high)``; periodic ones as often as they do."""
        index = np.arange(len(starts))
        if wrap:
            turns = np.arange(-((size - 1) // n) - 1, 2) * n
            index = np.repeat(index, len(turns))
            starts = (starts % n)[:, None] + turns
            starts = starts.ravel()
        touch = (starts < high) & (starts + size > low)
        return cls(index[touch], (starts - low)[touch], size, high - low)

    def depth(self) -> int:
        """Give the largest number of windows that cover one cell."""
        order = np.sort(self.start)
        first = np.searchsorted(order, order - self.size, side="right")
        return int((np.arange(len(order)) - first).max(initial=0)) + 1

    def segments(self, labels: NDArray | None, most: int, alike: bool = False) -> list[Segment]:
        """Group windows of equal distance into segments of at most ``most``, block by block.

        Windows that are alone come in the order of the axis. ``alike``: only windows of one label.
        """
        depth = self.depth()
        order = np.argsort(self.start, kind="stable")
        index, start = self.index[order], self.start[order]
        out: list[Segment] = []
        kinds = labels[index] if alike and labels is not None else np.zeros(len(index), int)
        for i, stop, step in self._even_runs(index, start, kinds):
            for low in range(i, stop, most * depth):
                high = min(low + most * depth, stop)
                for first in range(low, min(high, low + depth)):
                    windows = -(-(high - first) // depth)
                    at, begin = int(index[first]), int(index[low])
                    block = slice(begin, begin + high - low) if most > 1 else slice(at, at + 1)
                    local = at - block.start
                    cell = int(start[first])
                    inner = slice(max(0, -cell), min(self.size, self.length - cell))
                    entries, label = _entries(block, labels)
                    out.append(
                        Segment(
                            block=block,
                            local=slice(local, local + (windows - 1) * depth + 1, depth),
                            target=slice(cell + inner.start, cell + inner.stop),
                            stride=step * depth,
                            windows=windows,
                            inner=inner,
                            entries=entries,
                            kind=(label, inner.start, inner.stop),
                            slot=first % depth,
                        )
                    )
        return out if most > 1 else sorted(out, key=lambda s: (s.block.start, s.target.start))

    def _even_runs(
        self, index: NDArray, start: NDArray, kinds: NDArray
    ) -> Iterator[tuple[int, int, int]]:
        """Find runs of windows of a kind, in the region, at one distance: first, behind last, step."""
        inside = (start >= 0) & (start + self.size <= self.length)
        step = np.diff(start, append=start[-1:])
        same = inside[1:] & inside[:-1] & (np.diff(index) == 1) & (step[:-1] > 0)
        same &= kinds[1:] == kinds[:-1]
        i = 0
        while i < len(start):
            stop = i + 1
            while stop < len(start) and same[stop - 1] and step[stop - 1] == step[i]:
                stop += 1
            yield i, stop, int(step[i])
            i = stop


class Visit(NamedTuple):
    """Some patches and the cells of the region they fall on; no two of them overlap.

    They are the outer product of the windows of one segment for each geometry dimension.
    """

    segments: tuple[Segment, ...]
    block: tuple[slice, ...]  # of the grid of the arranged boxes
    local: tuple[slice, ...]  # of the block
    kind: tuple[Any, ...]  # blocks of one kind have the same weights and cells of the patch
    slot: int  # no two overlapping patches have the same; −1: unknown

    @classmethod
    def of(cls, segments: Sequence[Segment], slot: int) -> Visit:
        """Combine segments."""
        blocks, locals_, kinds = [], [], []
        for s in segments:
            blocks.append(s.block)
            locals_.append(s.local)
            kinds.append(s.kind)
        return cls(tuple(segments), tuple(blocks), tuple(locals_), tuple(kinds), slot)

    @property
    def picks(self) -> tuple[slice, ...]:
        """Which patches of the grid these are."""
        return tuple([s.picks for s in self.segments])

    @property
    def source(self) -> tuple[slice, ...]:
        """Cells of one patch."""
        return tuple([s.inner for s in self.segments])


class Placement:
    """Where patches land in a region of the lattice.

    Parameters
    ----------
    boxes : Boxes
        The boxes, arranged by `xpatch.neighborhood.arrange`.
    position : int array, optional
        Where the k-th box stands among the patches.
    weights : sequence of AxisWeights, optional
        What values are multiplied by, along each dimension.
    mass : sequence of AxisWeights, optional
        What that adds to the denominator; default: the weights.
    low, high : sequence of int, optional
        The region; default: the whole lattice.
    labels : int array, optional
        Labels of the arranged boxes, by which the first and the last are told; default: 0, 1 …
    """

    def __init__(
        self,
        boxes: Boxes,
        position: NDArray | None = None,
        weights: Sequence[AxisWeights] | None = None,
        mass: Sequence[AxisWeights] | None = None,
        low: Sequence[int] | None = None,
        high: Sequence[int] | None = None,
        labels: NDArray | None = None,
    ):
        self.boxes = boxes
        self.labels = labels
        self.position = position
        mass = weights if mass is None else mass
        self.weights = None if weights is None or all(w.ones for w in weights) else tuple(weights)
        self.mass = None if mass is None or all(w.ones for w in mass) else tuple(mass)
        self.low = tuple(low) if low is not None else (0,) * len(boxes.dims)
        self.high = tuple(high) if high is not None else boxes.shape
        self.shape = tuple(h - lo for lo, h in zip(self.low, self.high, strict=True))

    def within(self, low: Sequence[int], high: Sequence[int]) -> Placement:
        """Give the placement in a smaller region."""
        return Placement(self.boxes, self.position, self.weights, self.mass, low, high, self.labels)

    def axes(self) -> list[Axis]:
        """Give the axes of a product."""
        b = self.boxes
        return [
            Axis.within(*args)
            for args in zip(b.axes, b.sizes, b.shape, b.wrap, self.low, self.high, strict=True)
        ]

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Shape in which the arranged boxes are laid out, one dimension per geometry dimension."""
        b = self.boxes
        return b.grid if b.product else (len(b), *(1,) * (len(b.dims) - 1))

    def depth(self) -> int | None:
        """Give the number of slots that hold all contributions; None where it is not a product."""
        if not self.boxes.product:
            return None
        return int(np.prod([a.depth() for a in self.axes()], dtype=np.int64))

    def cover(self) -> list[NDArray[np.float64]] | NDArray[np.float64]:
        """Sum the mass over the patches: a vector per dimension of a product, else a field."""
        if self.boxes.product:
            return [self._cover_axis(k, axis) for k, axis in enumerate(self.axes())]
        field = np.zeros(self.shape)
        dims = range(len(self.shape))
        for visit in self.visits(dims, self.boxes.sizes):
            weight = self.weight(self.mass, visit, dims, len(dims))
            view = target_view(field, visit, dims)
            view += 1.0 if weight is None else weight
        return field

    def _cover_axis(self, k: int, axis: Axis) -> NDArray[np.float64]:
        total = np.zeros(axis.length + 2 * axis.size)
        rows = None if self.mass is None else self.mass[k].rows
        pick = None if self.mass is None else self.mass[k].pick[axis.index]
        start = axis.start + axis.size
        if len(start) < axis.size:  # one window at a time
            for i, first in enumerate(start):
                values = 1.0 if rows is None or pick is None else rows[pick[i]]
                total[first : first + axis.size] += values
        else:  # one cell of every window at a time
            for j in range(axis.size):
                values = 1.0 if rows is None or pick is None else rows[pick, j]
                np.add.at(total, start + j, values)
        return total[axis.size : axis.size + axis.length]

    def weight(
        self,
        weights: Sequence[AxisWeights] | None,
        visit: Visit,
        axes: Sequence[int],
        ndim: int,
        dtype: np.dtype | type = float,
    ) -> NDArray | None:
        """Multiply weights out for ``visit``, dimensions at ``axes`` of ``ndim``; None: all one.

        There is a leading dimension per geometry dimension, with one entry, or one for each window
        of the block where they differ; a dimension along which weights are even has one cell.
        """
        if weights is None:
            return None
        n = len(axes)
        out = np.ones((1,) * (n + ndim), dtype)
        for k, (axis, w, s) in enumerate(zip(axes, weights, visit.segments, strict=True)):
            rows = w.full(s.entries)[:, s.inner]
            rows = rows[:, :1] if (rows == rows[:, :1]).all() else rows
            shape = [1] * (n + ndim)
            shape[k], shape[n + axis] = rows.shape
            out = out * rows.reshape(shape).astype(dtype)
        return out

    def visits(
        self, axes: Sequence[int], shape: Sequence[int], itemsize: int = 8
    ) -> Iterator[Visit]:
        """Walk over all patches in blocks.

        ``shape`` is that of a patch, with the geometry dimensions at ``axes``; ``itemsize`` is the
        bytes of one of its numbers.
        """
        return self._product(axes, shape, itemsize) if self.boxes.product else self._listed()

    def _labels(self) -> list[NDArray | None]:
        """Label the starts of each dimension so that equal labels have equal weights."""
        given = [w for w in (self.weights, self.mass) if w is not None]
        if not given:
            return [None] * len(self.boxes.dims)
        if len(given) == 1 or given[0] is given[1]:
            return [w.pick for w in given[0]]
        return [a.pick * len(b.rows) + b.pick for a, b in zip(*given, strict=True)]

    def _product(self, axes: Sequence[int], shape: Sequence[int], itemsize: int) -> Iterator[Visit]:
        """Walk in the order in which the field is stored, which is not always that of the patches."""
        found = self.axes()
        if any(not len(a.index) for a in found):
            return
        order = sorted(range(len(axes)), key=axes.__getitem__)
        depths = [a.depth() for a in found]
        most = [1] * len(axes)
        patch = itemsize * math.prod(shape)
        room = BLOCK_BYTES // max(1, patch)
        for k in reversed(order[1:] or order):  # bands are cut along the first
            most[k] = max(1, room // depths[k])
            room //= len(found[k].index)
        many = max(len(found[k].index) for k in order[1:] or order) > FEW
        alike = patch >= LARGE_BYTES and many
        segments = [
            a.segments(p, m, alike) for a, p, m in zip(found, self._labels(), most, strict=True)
        ]
        back = sorted(range(len(order)), key=order.__getitem__)
        for chosen in itertools.product(*(segments[k] for k in order)):
            mine = [chosen[k] for k in back]
            slot = 0
            for s, d in zip(mine, depths, strict=True):
                slot = slot * d + s.slot
            yield Visit.of(mine, slot)

    def _listed(self) -> Iterator[Visit]:
        boxes = self.boxes
        images = []
        for k in range(len(boxes.dims)):
            args = (boxes.axes[k], boxes.sizes[k], boxes.shape[k], boxes.wrap[k])
            images.append(Axis.within(*args, self.low[k], self.high[k]))
        labels = [x if x is not None else np.zeros(len(boxes), int) for x in self._labels()]
        kinds = list(zip(*(x.tolist() for x in labels), strict=True))
        by_patch = [_grouped(a, len(boxes)) for a in images]
        touched = np.logical_and.reduce([np.diff(g) > 0 for g in by_patch])
        one = slice(0, 1)
        for i in np.flatnonzero(touched).tolist():
            this = slice(i, i + 1)
            options = [range(g[i], g[i + 1]) for g in by_patch]
            for choice in itertools.product(*options):
                segments = []
                for k, (a, c) in enumerate(zip(images, choice, strict=True)):
                    start = int(a.start[c])
                    inner = slice(max(0, -start), min(a.size, a.length - start))
                    kind = (kinds[i][k], inner.start, inner.stop)
                    block = one if k else this
                    at = slice(start + inner.start, start + inner.stop)
                    segments.append(Segment(block, one, at, 0, 1, inner, this, kind, 0))
                yield Visit.of(segments, -1)


def _entries(picks: slice, labels: NDArray | None) -> tuple[slice, Any]:
    """Give whose weights the windows ``picks`` take, the first one's if all have the same."""
    first = slice(picks.start, picks.start + 1)
    if labels is None:
        return first, None
    if (labels[picks] == labels[picks.start]).all():
        return first, int(labels[picks.start])
    return picks, (picks.start, picks.stop)


def _grouped(axis: Axis, n: int) -> NDArray:
    """Give where the windows of each patch begin in ``axis``, whose index is sorted."""
    return np.searchsorted(axis.index, np.arange(n + 1))


def target_view(array: NDArray, visit: Visit, axes: Sequence[int]) -> NDArray:
    """Cells of ``array`` that ``visit`` falls on, windows of each dimension first; writeable."""
    index: list[slice] = [slice(None)] * array.ndim
    for axis, s in zip(axes, visit.segments, strict=True):
        index[axis] = s.target
    view = array[tuple(index)]
    windows = [s.windows for s in visit.segments]
    if max(windows) == 1:
        return view[(None,) * len(windows)]
    strides = [array.strides[a] * s.stride for a, s in zip(axes, visit.segments, strict=True)]
    return as_strided(view, (*windows, *view.shape), (*strides, *view.strides))


def source_view(
    patches: NDArray, placement: Placement, visit: Visit, axes: Sequence[int]
) -> NDArray:
    """Values of the block of ``visit`` that lie in the region, windows of each dimension first."""
    inner: list[slice] = [slice(None)] * (patches.ndim - 1)
    for axis, part in zip(axes, visit.source, strict=True):
        inner[axis] = part
    grid = placement.grid
    if placement.position is None:
        return patches.reshape(*grid, *patches.shape[1:])[(*visit.block, *inner)]
    return patches[placement.position.reshape(grid)[visit.block]][(..., *inner)]


def some_of(weight: NDArray | None, local: tuple[slice, ...]) -> NDArray | None:
    """Take the weights of some windows of a block, where windows differ in them."""
    if weight is None or max(weight.shape[: len(local)]) == 1:
        return weight
    shape = weight.shape[: len(local)]
    return weight[tuple([p if n > 1 else slice(None) for p, n in zip(local, shape, strict=True)])]
