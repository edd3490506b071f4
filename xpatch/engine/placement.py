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

BLOCK_BYTES = 1 << 18  # of patches visited at a time: what a core's cache holds twice
SHORT = 128  # rows below this many cells are handled many patches at once


@dataclasses.dataclass(frozen=True)
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

    @classmethod
    def of(cls, full: NDArray[np.float64]) -> AxisWeights:
        """Find the distinct rows of ``full``, taking differences of rounding as none."""
        _, first, pick = np.unique(
            np.round(full, 13), axis=0, return_index=True, return_inverse=True
        )
        return cls(full[first], pick.reshape(-1))


class Segment(NamedTuple):
    """Windows of one dimension that do not overlap, at an even distance."""

    picks: slice  # of the axis
    start: int  # first cell in the region
    stride: int  # cells from window to window
    windows: int
    inner: slice  # cells of the window that lie in the region
    label: int  # of the weights: windows of one label have the same
    slot: int  # no two overlapping windows have the same

    @property
    def length(self) -> int:
        return self.inner.stop - self.inner.start

    def parts(self, most: int) -> Iterator[Segment]:
        """Cut into segments of at most ``most`` windows."""
        if self.windows <= most:
            yield self
            return
        step = self.picks.step or 1
        for low in range(0, self.windows, most):
            count = min(most, self.windows - low)
            first = self.picks.start + low * step
            yield self._replace(
                picks=slice(first, first + (count - 1) * step + 1, step),
                start=self.start + low * self.stride,
                windows=count,
            )


@dataclasses.dataclass(frozen=True)
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

    def segments(self, labels: NDArray | None) -> list[Segment]:
        """Group the windows into runs of equal distance and weights that do not overlap."""
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
            for first in range(i, min(stop, i + depth)):
                count = -(-(stop - first) // depth)
                low = max(0, -int(start[first]))
                high = min(self.size, self.length - int(start[first]))
                at = int(index[first])
                out.append(
                    Segment(
                        picks=slice(at, at + (count - 1) * depth + 1, depth),
                        start=int(start[first]) + low,
                        stride=int(step[i]) * depth,
                        windows=count,
                        inner=slice(low, high),
                        label=int(label[first]),
                        slot=first % depth,
                    )
                )
            i = stop
        return out


class Visit(NamedTuple):
    """Some patches and the cells of the region they fall on; no two of them overlap."""

    patches: NDArray | slice  # positions among the patches
    ordinals: slice  # positions among the arranged boxes
    source: tuple[slice, ...]  # of one patch, by geometry dimension
    target: tuple[slice, ...]  # of the region; of the last geometry dimension the first of `run`
    run: Segment
    entries: tuple[slice, ...]  # of the weights, by geometry dimension
    kind: tuple[Any, ...]  # visits of one kind have the same weights and cells of the patch
    slot: int


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
        return Placement(
            self.boxes, self.position, self.weights, self.mass, low, high, self.labels
        )

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
        total = np.zeros(axis.length)
        windows = np.arange(len(axis.index))
        rows = None if self.mass is None else self.mass[k].rows
        pick = None if self.mass is None else self.mass[k].pick[axis.index]
        for j in range(axis.size):  # one cell of every window at a time
            cell = axis.start + j
            inside = (cell >= 0) & (cell < axis.length)
            values = 1.0 if rows is None or pick is None else rows[pick[inside], j]
            np.add.at(total, cell[windows[inside]], values)
        return total

    def weight(
        self,
        weights: Sequence[AxisWeights] | None,
        visit: Visit,
        axes: Sequence[int],
        ndim: int,
    ) -> NDArray[np.float64] | None:
        """Multiply weights out for ``visit``, dimensions at ``axes`` of ``ndim``; None: all one.

        The leading dimension has one entry, or one for each patch where they differ.
        """
        if weights is None:
            return None
        out = np.ones((1,) * (ndim + 1))
        for axis, w, pick, part in zip(axes, weights, visit.entries, visit.source, strict=True):
            rows = w.full(pick)[:, part]
            shape = [len(rows)] + [1] * ndim
            shape[axis + 1] = part.stop - part.start
            out = out * rows.reshape(shape)
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
        if self.boxes.sizes[-1] < SHORT:  # laid out together, patches may as well differ in weights
            labels[-1] = None
        segments = [a.segments(p) for a, p in zip(axes, labels, strict=True)]
        most = max(1, BLOCK_BYTES // max(1, itemsize * int(np.prod(self.boxes.sizes))))
        runs = [part for s in segments[-1] for part in s.parts(most)]
        ends = [slice(run.start, run.start + run.length) for run in runs]
        entries_of = [_entries(run.picks, last) for run in runs]
        outer = [[part for s in ss for part in s.parts(1)] for ss in segments[:-1]]
        outer = [sorted(ss, key=lambda s: (s.picks.start, s.start)) for ss in outer]
        depths = [a.depth() for a in axes]
        grid = self.boxes.grid
        for chosen in itertools.product(*outer):
            base = slot = 0
            for s, n, d in zip(chosen, grid, depths, strict=False):
                base = base * n + s.picks.start
                slot = slot * d + s.slot
            source = tuple([s.inner for s in chosen])
            target = tuple([slice(s.start, s.start + s.length) for s in chosen])
            entries = tuple([s.picks for s in chosen])
            kind = tuple([(s.label, s.inner.start, s.inner.stop) for s in chosen])
            for run, end, (entry, label) in zip(runs, ends, entries_of, strict=True):
                picks, inner = run.picks, run.inner
                low = base * grid[-1]
                ordinals = slice(low + picks.start, low + picks.stop, picks.step)
                yield Visit(
                    ordinals if self.position is None else self.position[ordinals],
                    ordinals,
                    (*source, inner),
                    (*target, end),
                    run,
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
            at = int(i) if self.position is None else int(self.position[i])
            options = [range(g[i], g[i + 1]) for g in by_patch]
            for choice in itertools.product(*options):
                source, target = [], []
                for a, c in zip(images, choice, strict=True):
                    start = int(a.start[c])
                    low, high = max(0, -start), min(a.size, a.length - start)
                    source.append(slice(low, high))
                    target.append(slice(start + low, start + high))
                last = target[-1]
                run = Segment(slice(0, 1, 1), last.start, 0, 1, source[-1], 0, 0)
                kind = (*kinds[i], *((part.start, part.stop) for part in source))
                here, this = slice(at, at + 1), slice(int(i), int(i) + 1)
                entries = (this,) * len(images)
                yield Visit(here, this, tuple(source), tuple(target), run, entries, kind, -1)


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
    if visit.run.windows == 1:
        return view[None]
    stride = array.strides[axes[-1]] * visit.run.stride
    return as_strided(view, (visit.run.windows, *view.shape), (stride, *view.strides))


def source_view(patches: NDArray, visit: Visit, axes: Sequence[int]) -> NDArray:
    """Values of the patches of ``visit`` that lie in the region, patches first."""
    index: list[slice] = [slice(None)] * patches.ndim
    for axis, part in zip(axes, visit.source, strict=True):
        index[axis + 1] = part
    if isinstance(visit.patches, slice):
        index[0] = visit.patches
        return patches[tuple(index)]
    return patches[visit.patches][tuple(index)]
