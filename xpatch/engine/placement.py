"""Where patches land in a region of the lattice, as few large slices."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from xpatch.neighborhood import Boxes

BLOCK_BYTES = 1 << 20  # of small patches handled at a time: what a core's cache holds
SHORT = 128  # patches with shorter rows are small


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

    picks: slice  # of the axis
    block: slice  # of the axis: the consecutive windows that these are some of
    start: int  # first cell in the region
    stride: int  # cells from window to window
    windows: int
    inner: slice  # cells of the window that lie in the region
    label: int  # of the weights: windows of one label have the same
    slot: int  # no two overlapping windows have the same

    @property
    def length(self) -> int:
        return self.inner.stop - self.inner.start

    @property
    def local(self) -> slice:
        """Which windows of the block these are."""
        low = self.block.start
        return slice(self.picks.start - low, self.picks.stop - low, self.picks.step)


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

    def segments(self, labels: NDArray | None, most: int) -> list[Segment]:
        """Group windows of equal distance and label into segments of at most ``most``.

        Segments of one block follow each other.
        """
        depth = self.depth()
        order = np.argsort(self.start, kind="stable")
        index, start = self.index[order], self.start[order]
        label = np.zeros(len(start), int) if labels is None else labels[index]
        inside = (start >= 0) & (start + self.size <= self.length)
        step = np.diff(start, append=start[-1:])
        # a run goes on while the distance, the weights and the step of the index stay the same
        same = inside[1:] & inside[:-1] & (label[1:] == label[:-1]) & (np.diff(index) == 1)
        same &= step[:-1] > 0
        out: list[Segment] = []
        i = 0
        while i < len(start):
            stop = i + 1
            while stop < len(start) and same[stop - 1] and step[stop - 1] == step[i]:
                stop += 1
            for low in range(i, stop, most * depth):
                high = min(low + most * depth, stop)
                for first in range(low, min(high, low + depth)):
                    windows = -(-(high - first) // depth)
                    at, begin = int(index[first]), int(index[low])
                    cell = int(start[first])
                    inner = slice(max(0, -cell), min(self.size, self.length - cell))
                    alone = slice(at, at + 1)
                    out.append(
                        Segment(
                            picks=slice(at, at + (windows - 1) * depth + 1, depth),
                            block=slice(begin, begin + high - low) if most > 1 else alone,
                            start=cell + inner.start,
                            stride=int(step[i]) * depth,
                            windows=windows,
                            inner=inner,
                            label=int(label[first]),
                            slot=first % depth,
                        )
                    )
            i = stop
        return out


class Visit(NamedTuple):
    """Some patches and the cells of the region they fall on; no two of them overlap.

    They are some (``local``) of a block of patches that follow each other.
    """

    block: slice  # positions among the arranged boxes
    local: slice  # of the block
    source: tuple[slice, ...]  # of one patch, by geometry dimension
    target: tuple[slice, ...]  # of the region; of the last geometry dimension the first window
    windows: int
    stride: int  # cells from window to window along the last geometry dimension
    entries: tuple[slice, ...]  # of the weights of the block, by geometry dimension
    kind: tuple[Any, ...]  # blocks of one kind have the same weights and cells of the patch
    slot: int

    @property
    def ordinals(self) -> slice:
        """Positions of the patches among the arranged boxes."""
        low = self.block.start
        return slice(low + self.local.start, low + self.local.stop, self.local.step)


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
        for visit in self.visits():
            weight = self.weight(self.mass, visit, dims, len(dims))
            field[visit.target] += 1.0 if weight is None else weight[0]
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

        The leading dimension has one entry, or one for each patch where they differ.
        """
        if weights is None:
            return None
        out = np.ones((1,) * (ndim + 1), dtype)
        for axis, w, pick, part in zip(axes, weights, visit.entries, visit.source, strict=True):
            rows = w.full(pick)[:, part]
            shape = [len(rows)] + [1] * ndim
            shape[axis + 1] = part.stop - part.start
            out = out * rows.reshape(shape).astype(dtype)
        return out

    def visits(self, itemsize: int = 8) -> Iterator[Visit]:
        """Walk over all patches in blocks; ``itemsize`` is the bytes of a cell, all bands of it."""
        return self._product(itemsize) if self.boxes.product else self._listed()

    def _labels(self) -> list[NDArray | None]:
        """Label the starts of each dimension so that equal labels have equal weights."""
        given = [w for w in (self.weights, self.mass) if w is not None]
        if not given:
            return [None] * len(self.boxes.dims)
        if len(given) == 1 or given[0] is given[1]:
            return [w.pick for w in given[0]]
        return [a.pick * len(b.rows) + b.pick for a, b in zip(*given, strict=True)]

    def _product(self, itemsize: int) -> Iterator[Visit]:
        axes = self.axes()
        if any(not len(a.index) for a in axes):
            return
        labels = self._labels()
        last = labels[-1]
        small = self.boxes.sizes[-1] < SHORT
        if small:  # handled many at a time, patches may as well differ in weights
            labels[-1] = None
        depths = [a.depth() for a in axes]
        patch = itemsize * int(np.prod(self.boxes.sizes))
        most = max(2, BLOCK_BYTES // max(1, patch * depths[-1])) if small else 1
        runs = axes[-1].segments(labels[-1], most)
        ends = [slice(run.start, run.start + run.length) for run in runs]
        entries_of = [_entries(run.block, last) for run in runs]
        locals_of = [run.local for run in runs]
        outer = [a.segments(p, 1) for a, p in zip(axes[:-1], labels[:-1], strict=True)]
        outer = [sorted(ss, key=lambda s: (s.picks.start, s.start)) for ss in outer]
        grid = self.boxes.grid
        for chosen in itertools.product(*outer):
            base = slot = 0
            for s, n, d in zip(chosen, grid, depths, strict=False):
                base = base * n + s.picks.start
                slot = slot * d + s.slot
            base *= grid[-1]
            source = tuple([s.inner for s in chosen])
            target = tuple([slice(s.start, s.start + s.length) for s in chosen])
            entries = tuple([s.picks for s in chosen])
            kind = tuple([(s.label, s.inner.start, s.inner.stop) for s in chosen])
            for run, end, (entry, label), local in zip(
                runs, ends, entries_of, locals_of, strict=True
            ):
                inner = run.inner
                yield Visit(
                    slice(base + run.block.start, base + run.block.stop),
                    local,
                    (*source, inner),
                    (*target, end),
                    run.windows,
                    run.stride,
                    (*entries, entry),
                    (kind, label, inner.start, inner.stop),
                    slot * depths[-1] + run.slot,
                )

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
        for i in np.flatnonzero(touched):
            options = [range(g[i], g[i + 1]) for g in by_patch]
            for choice in itertools.product(*options):
                source, target = [], []
                for a, c in zip(images, choice, strict=True):
                    start = int(a.start[c])
                    low, high = max(0, -start), min(a.size, a.length - start)
                    source.append(slice(low, high))
                    target.append(slice(start + low, start + high))
                kind = (*kinds[i], *((part.start, part.stop) for part in source))
                this = slice(int(i), int(i) + 1)
                entries = (this,) * len(images)
                whole = slice(0, 1, 1)
                yield Visit(this, whole, tuple(source), tuple(target), 1, 0, entries, kind, -1)


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
    """Cells of ``array`` that ``visit`` falls on: one leading dimension of patches, writeable."""
    index: list[slice] = [slice(None)] * array.ndim
    for axis, part in zip(axes, visit.target, strict=True):
        index[axis] = part
    view = array[tuple(index)]
    if visit.windows == 1:
        return view[None]
    stride = array.strides[axes[-1]] * visit.stride
    return as_strided(view, (visit.windows, *view.shape), (stride, *view.strides))


def source_view(
    patches: NDArray, placement: Placement, visit: Visit, axes: Sequence[int]
) -> NDArray:
    """Values of the block of ``visit`` that lie in the region, patches first."""
    index: list[slice] = [slice(None)] * patches.ndim
    for axis, part in zip(axes, visit.source, strict=True):
        index[axis + 1] = part
    if placement.position is None:
        index[0] = visit.block
        return patches[tuple(index)]
    return patches[placement.position[visit.block]][tuple(index)]
