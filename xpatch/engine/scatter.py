"""Scatter: add windows up on a region of the lattice, as few large slices.

Windows of one dimension at an even distance are taken apart into classes that do not overlap; an
outer product of classes falls on a strided view of the state, which is updated in one go. The
region holds all windows as a whole: what lies beyond the domain is folded back, or cut off, later.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from xpatch.engine.buffers import THREADED_BYTES, Scratch, in_threads
from xpatch.engine.central import Keys
from xpatch.engine.reducers import How, Reducer, Total
from xpatch.engine.shares import Shares
from xpatch.engine.slices import AxisWeights, Factors

BLOCK_BYTES = 1 << 21  # of patches handled at a time: calls of NumPy weigh less, caches still help
ROW_BYTES = 3 << 20  # of patches: smaller rows of windows are handled together
SHORT = 8  # windows of fewer cells, close to each other, are added up cell by cell
TABLE_CELLS = 1 << 18  # of windows whose weights are multiplied out for each of them
PLAIN = Factors()
GROUPS = 8  # of windows along the slowest dimension, which threads share out


class Segment(NamedTuple):
    """Windows of one dimension that do not overlap, at an even distance."""

    block: slice  # entries that are read together: these windows and others of their kind
    local: slice  # of the block: which windows these are
    windows: int
    cell: int  # of the region, the first of the first window
    stride: int  # cells from window to window
    inner: slice  # cells of the window
    kind: int  # windows of one kind have the same weights, if these are handled apart
    slot: int  # no two overlapping windows have the same

    @property
    def entries(self) -> slice:
        """Which windows these are."""
        low, local = self.block.start, self.local
        return slice(low + local.start, low + local.stop, local.step)


class Lane(NamedTuple):
    """How windows lie along one dimension of a region."""

    starts: NDArray[np.int64]
    size: int
    length: int  # cells of the region
    weights: AxisWeights | None = None  # what values are multiplied by; None: one
    mass: AxisWeights | None = None  # what they add to the denominator; None: one
    apart: bool = True  # whether windows of other weights are handled apart

    @property
    def kinds(self) -> NDArray[np.intp]:
        """Label windows so that equal labels may be handled together."""
        zero = np.zeros(len(self.starts), np.intp)
        if not self.apart:
            return zero
        a = zero if self.weights is None else self.weights.pick
        if self.mass is None or self.mass is self.weights:
            return a
        return a * len(self.mass.rows) + self.mass.pick

    def depth(self) -> int:
        """Give the largest number of windows that cover one cell."""
        order = np.sort(self.starts)
        first = np.searchsorted(order, order - self.size, side="right")
        return int((np.arange(len(order)) - first).max(initial=0)) + 1

    @property
    def short(self) -> bool:
        """Whether windows are so short that one cell of many of them is more than a whole one."""
        return self.size <= SHORT < len(self.starts)

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Find runs of windows of one kind at one distance: first, behind last, distance."""
        kinds, n = self.kinds, len(self.starts)
        step = np.diff(self.starts)
        same = (step > 0) & (kinds[1:] == kinds[:-1])  # whether a window may go on the last one
        turns = np.flatnonzero(~same[1:] | (step[1:] != step[:-1])) + 1
        last, i = iter([*turns.tolist(), n - 1]), 0
        end = next(last)
        while i < n:
            while end <= i and end < n - 1:
                end = next(last)
            goes_on = i + 1 < n and bool(same[i])
            stop = end + 1 if goes_on else i + 1
            yield i, stop, int(step[i]) if goes_on else self.size
            i = stop

    def segments(self, most: int, depth: int, by_cell: bool = True) -> list[Segment]:
        """Take windows apart into segments of at most ``most``, block by block."""
        kinds, starts, size = self.kinds.tolist(), self.starts.tolist(), self.size
        out: list[Segment] = []
        for first, behind, step in self.runs():
            count = behind - first
            if by_cell and self.short and 2 * step <= size < count:
                out += self._by_cell(first, count, step, most)
                continue
            apart = -(-size // step) if by_cell else depth  # so that slots tell them apart
            for low in range(first, behind, most * apart):
                high = min(low + most * apart, behind)
                for k in range(low, min(high, low + apart)):
                    windows = -(-(high - k) // apart)
                    local = slice(k - low, k - low + (windows - 1) * apart + 1, apart)
                    where = (windows, starts[k], step * apart, slice(0, size))
                    out.append(Segment(slice(low, high), local, *where, kinds[k], k % depth))
        return out

    def _by_cell(self, first: int, count: int, step: int, most: int) -> Iterator[Segment]:
        """Take one cell of many windows at a time: these do not overlap, and are many."""
        kind, start = int(self.kinds[first]), int(self.starts[first])
        block = max(1, most * -(-self.size // step))
        for low in range(0, count, block):
            windows = min(block, count - low)
            part, local = slice(first + low, first + low + windows), slice(0, windows)
            for cell in range(self.size):
                where = (windows, start + low * step + cell, step, slice(cell, cell + 1))
                yield Segment(part, local, *where, kind, -1)


class Layout:
    """Where the patches of an outer product lie in a region; some of them may be missing.

    Parameters
    ----------
    lanes : sequence of Lane
        The dimensions that were cut.
    axes : sequence of int
        Which axes of a patch these are.
    position : int array, optional
        For each window of the product, row-major, where its patch stands, −1 where there is none;
        None: at its own number.
    labels : int array, optional
        For each window, by what the first and the last are told; default: 0, 1 …
    weights, masses : Factors
        Of which tables are multiplied with what the lanes hold.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        axes: Sequence[int],
        position: NDArray[Any] | None = None,
        labels: NDArray[Any] | None = None,
        weights: Factors = PLAIN,
        masses: Factors = PLAIN,
    ):
        cells = math.prod(len(lane.starts) * lane.size for lane in lanes)
        self.apart = cells > TABLE_CELLS  # few windows have a table of all their weights
        self.lanes = tuple([lane._replace(apart=self.apart) for lane in lanes])
        self.axes = tuple(axes)
        self.grid = tuple(len(lane.starts) for lane in lanes)
        self.position = None if position is None else position.reshape(self.grid)
        self.holes = position is not None and bool((position < 0).any())
        self._labels = labels
        self.weights, self.masses = weights, masses
        self.by_cell = True  # whether short windows may be added up cell by cell
        self._known: dict[Any, Any] = {}

    @property
    def in_order(self) -> bool:
        """Whether labels ascend from window to window."""
        return self._labels is None or bool((np.diff(self._labels) > 0).all())

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Labels of the windows, in the grid."""
        given = np.arange(math.prod(self.grid)) if self._labels is None else self._labels
        return given.reshape(self.grid)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells of the region along the cut dimensions."""
        return tuple(lane.length for lane in self.lanes)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """How many windows cover a cell at most, along each dimension."""
        return tuple(lane.depth() for lane in self.lanes)

    @property
    def weighted(self) -> bool:
        """Whether any values are multiplied by another weight than one."""
        return self.weights.table is not None or any(n.weights is not None for n in self.lanes)

    def full_shape(self, patch: Sequence[int]) -> list[int]:
        """Give the shape of the state, of a patch of another."""
        shape = list(patch)
        for axis, lane in zip(self.axes, self.lanes, strict=True):
            shape[axis] = lane.length
        return shape

    def visits(self, patch: Sequence[int], itemsize: int) -> list[tuple[Segment, ...]]:
        """Give an outer product of segments, in the order in which the region is stored."""
        found: list[tuple[Segment, ...]] = self.kept(
            (*patch, itemsize), lambda: self._visits(patch, itemsize)
        )
        return found

    def kept(self, key: Any, make: Callable[[], Any]) -> Any:
        """Make something once: other arrays, and chunks of the other dims, have the same layout."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def _visits(self, patch: Sequence[int], itemsize: int) -> list[tuple[Segment, ...]]:
        order = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        first, most = order[0] if order else 0, [1] * len(order)
        nbytes = itemsize * max(1, math.prod(patch))
        room = BLOCK_BYTES // nbytes
        for k in reversed(order[1:] or order):  # row by row of windows, but for one dimension
            most[k] = max(1, room // self.depths[k])
            room //= max(1, self.grid[k])
            nbytes *= self.grid[k]
        if order[1:] and nbytes < ROW_BYTES:
            most[first] = max(1, ROW_BYTES // nbytes // self.depths[first])
        found = [
            lane.segments(m, d, self.by_cell)
            for lane, m, d in zip(self.lanes, most, self.depths, strict=True)
        ]
        back = sorted(range(len(order)), key=order.__getitem__)
        blocks = [list(_by_block(found[k])) for k in order]
        visits = []
        for chosen in itertools.product(*blocks):  # all visits of a block follow each other
            visits += [tuple([v[k] for k in back]) for v in itertools.product(*chosen)]
        return visits

    # --------------------------------------------------------------------------------- views

    def target(self, array: NDArray[Any], visit: Sequence[Segment]) -> NDArray[Any]:
        """Cells of ``array`` that ``visit`` falls on, windows of each dimension first; writeable."""
        index: list[slice] = [slice(None)] * array.ndim
        counts, strides = [], []
        for axis, s in zip(self.axes, visit, strict=True):
            index[axis] = slice(s.cell, s.cell + s.inner.stop - s.inner.start)
            counts.append(s.windows)
            strides.append(array.strides[axis] * s.stride)
        view = array[tuple(index)]
        return as_strided(view, (*counts, *view.shape), (*strides, *view.strides))

    def source(self, patches: NDArray[Any], visit: Sequence[Segment]) -> NDArray[Any]:
        """Values of the patches of the block of ``visit``, windows of each dimension first."""
        block = tuple([s.block for s in visit])
        if self.position is None:
            return patches.reshape(*self.grid, *patches.shape[1:])[block]
        found: NDArray[Any] = patches[self.position[block]]  # a hole takes any patch
        return found

    def local(self, block: NDArray[Any], visit: Sequence[Segment]) -> NDArray[Any]:
        """Take what ``visit`` has of a block; an axis of one entry is the same for all of these."""
        n = len(visit)
        index: list[slice] = [slice(None)] * block.ndim
        for k, (axis, s) in enumerate(zip(self.axes, visit, strict=True)):
            index[k] = s.local if block.shape[k] > 1 else slice(None)
            index[n + axis] = s.inner if block.shape[n + axis] > 1 else slice(None)
        return block[tuple(index)]

    def present(self, visit: Sequence[Segment], ndim: int) -> NDArray[np.bool_] | None:
        """Say which windows of the block of ``visit`` have a patch; None: all."""
        if not self.holes:
            return None
        assert self.position is not None
        there = self.position[tuple([s.block for s in visit])] >= 0
        return None if there.all() else there.reshape(*there.shape, *(1,) * ndim)

    def weight(
        self, mass: bool, visit: Sequence[Segment], ndim: int, dtype: Any
    ) -> NDArray[Any] | None:
        """Multiply the weights of a patch of ``visit`` out, or of each of its block; None: all one."""
        grid = len(self.lanes)
        out: NDArray[Any] | None = None
        if (factors := self.masses if mass else self.weights).table is not None:
            out = factors.wide([grid + a for a in self.axes], grid + ndim).astype(dtype)
        for k, (axis, lane, s) in enumerate(zip(self.axes, self.lanes, visit, strict=True)):
            w = lane.mass if mass else lane.weights
            if w is None:
                continue
            rows = w.rows[w.pick[s.block][: 1 if self.apart else None]]
            rows = rows[:1] if (rows == rows[0]).all() else rows
            rows = rows[:, :1] if (rows == rows[:, :1]).all() else rows
            shape = [1] * (grid + ndim)
            shape[k], shape[grid + axis] = rows.shape
            row = rows.reshape(shape).astype(dtype)
            out = row if out is None else out * row
        return out


def scatter(
    patches: NDArray[Any], layout: Layout, reducer: Reducer, threads: int = 1
) -> list[NDArray[Any]]:
    """Add all contributions of ``patches`` (patch, *dims) up in the state of ``reducer``.

    Of a large region windows are added in two rounds of groups that do not touch each other, so
    that threads never write the same cell and the result does not depend on their number.
    """
    shape = layout.full_shape(patches.shape[1:])
    state = reducer.start(shape)
    visits = layout.visits(patches.shape[1:], max(patches.dtype.itemsize, 4))
    if not layout.lanes or state[0].nbytes < THREADED_BYTES:
        _add(state, patches, layout, reducer, visits, (Scratch(), Scratch()))
        return state
    for turn in _rounds(layout, visits):

        def run(groups: list[list[tuple[Segment, ...]]]) -> None:
            scratch = Scratch(), Scratch()  # new memory takes longer than what is done in it
            for group in groups:
                _add(state, patches, layout, reducer, group, scratch)

        in_threads(run, turn, threads)
    return state


def _rounds(layout: Layout, visits: list[Any]) -> list[list[list[Any]]]:
    """Cut visits into groups by where they lie along the slowest dimension; even ones, then odd."""
    k = min(range(len(layout.axes)), key=layout.axes.__getitem__)
    ends = [v[k].cell + (v[k].windows - 1) * v[k].stride + layout.lanes[k].size for v in visits]
    reach = max(e - v[k].cell for e, v in zip(ends, visits, strict=True))
    width = max(reach, -(-layout.lanes[k].length // GROUPS))
    groups: dict[int, list[Any]] = {}
    for v in visits:
        groups.setdefault(v[k].cell // width, []).append(v)
    return [[groups[g] for g in sorted(groups) if g % 2 == odd] for odd in (0, 1)]


@np.errstate(invalid="ignore", over="ignore")  # inf − inf is NaN, as in any mean
def _add(
    state: list[NDArray[Any]],
    patches: NDArray[Any],
    layout: Layout,
    reducer: Reducer,
    visits: Sequence[tuple[Segment, ...]],
    scratch: tuple[Scratch, Scratch],
) -> None:
    ndim = patches.ndim - 1
    keys = Keys(reducer.by, layout, ndim)
    dtype = state[0].dtype
    shares = layout.kept(("shares", ndim, dtype), lambda: Shares(layout, ndim, dtype))
    weighted, added = scratch
    lean = reducer.by is None and type(reducer) is Total  # which asks for no more
    how = How(None, None, added)
    block, values, mass = None, patches, None
    for visit in visits:
        if (here := tuple([s.block.start for s in visit])) != block:
            block = here
            weight, zeros, mass = shares(layout, visit)
            values, there = layout.source(patches, visit), layout.present(visit, ndim)
            if there is not None and not lean:
                mass = there if mass is None else there * mass
            values = reducer.read(values)
            if there is not None and reducer.weighted:  # of a copy, in which holes hold any patch
                values[~there.reshape(there.shape[: len(visit)])] = 0
            if weight is not None and reducer.weighted:
                values = weighted.product(values, weight, zeros, state[0].dtype)
        views = [layout.target(s, visit) for s in state]
        if not lean:
            share = None if mass is None else layout.local(mass, visit)
            how = How(share, keys(visit), added)
        reducer.update(views, layout.local(values, visit), how)


def _by_block(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Group segments by the block that they are of."""
    for _, group in itertools.groupby(segments, key=lambda s: s.block.start):
        yield list(group)
