"""Boxes: what patches that are boxes add up to on the region around them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.arrangement import Arrangement
from xpatch.engine.choose import chosen, separable
from xpatch.engine.cover import all_of, as_slice, images, line_cover, spread
from xpatch.engine.dtypes import has_nan
from xpatch.engine.listed import Listed
from xpatch.engine.reducers import Choose, Reducer, Total, WeightedMean
from xpatch.engine.scatter import Lane, Layout, scatter
from xpatch.engine.slices import Factors, Slices

SLAB_CELLS = 1 << 24  # of the domain that are looked at together
SAMPLE = 32  # patches that are looked at for missing values
Cover = list[NDArray[Any]] | NDArray[Any]  # a vector for each dimension, or a field


class Sum(NamedTuple):
    """What patches add up to on a region."""

    low: tuple[int, ...]  # the first cell, which may lie outside the domain
    state: list[NDArray[Any]]
    cover: Cover  # the sum of the masses; empty where that is not asked for


# ----------------------------------------------------------------------------------------- sums


@dataclasses.dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of some patches, and their weights: all that a task needs to add them up.

    Parameters
    ----------
    parts : sequence of Slices
        All entries along each dimension.
    axes : sequence of int
        Which axes of a patch (*dims) these dimensions are.
    arrangement : Arrangement
        Which entries the patches take.
    labels : int64 array (patch,)
        By which the first and the last are told.
    weights, masses : Factors
        What values are multiplied by, and what that adds to the denominator.
    """

    parts: tuple[Slices, ...]
    axes: tuple[int, ...]
    arrangement: Arrangement
    labels: NDArray[np.int64]
    weights: Factors
    masses: Factors
    known: dict[Any, Layout] = dataclasses.field(default_factory=dict)  # layouts, by region

    @classmethod
    def of(
        cls,
        hood: Any,
        axes: Sequence[int],
        where: Arrangement,
        labels: NDArray[Any],
        weights: Factors,
        masses: Factors,
    ) -> Boxes:
        """Give the boxes of patches that stand ``where`` they do among all of a neighborhood."""
        return cls(hood.parts, tuple(axes), where, labels, weights, masses)

    @property
    def starts(self) -> list[NDArray[np.int64]]:
        """The first cells of the entries that are taken along each dimension."""
        entries = self.arrangement.entries
        return [p.starts[e] for p, e in zip(self.parts, entries, strict=True)]

    @property
    def folded(self) -> bool:
        """Whether boxes reach over the seam of a periodic dimension."""
        return any(p.wrap and p.overhangs for p in self.parts)

    def region(self, whole: bool = False) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Give the first cells of the region around the boxes, and those behind it.

        With ``whole`` the domain is part of it.
        """
        low, high = [], []
        for part, starts in zip(self.parts, self.starts, strict=True):
            first = int(starts.min()) if len(starts) else 0
            last = int(starts.max()) + part.size if len(starts) else 0
            low.append(min(first, 0) if whole else first)
            high.append(max(last, part.n) if whole else last)
        return tuple(low), tuple(high)

    def layout(self, low: Sequence[int], high: Sequence[int]) -> Layout:
        """Give where the boxes of a product lie in a region; kept for other arrays of the same."""
        key = (*low, *high)
        if key not in self.known:
            self.known[key] = self._layout(low, high)
        return self.known[key]

    def _layout(self, low: Sequence[int], high: Sequence[int]) -> Layout:
        lanes = []
        each = zip(self.starts, self.parts, self.arrangement.entries, low, high, strict=True)
        for k, (starts, part, entries, a, b) in enumerate(each):
            own, below = self.weights[k], self.masses[k]
            weights = None if own is None else own.take(entries)
            mass = weights if below is own else None if below is None else below.take(entries)
            lanes.append(Lane(starts - a, part.size, b - a, weights, mass))
        position = self.arrangement.position
        labels = self.labels
        if position is not None:
            labels = labels[np.maximum(position, 0)]
        return Layout(lanes, self.axes, position, labels, self.weights, self.masses)

    def listed(self, low: Sequence[int], high: Sequence[int]) -> Listed:
        """Give where boxes that are no product lie in a region."""
        taken = [
            (None if w is None else w.take(e), None if m is None or m is w else m.take(e), m is w)
            for w, m, e in zip(self.weights, self.masses, self.arrangement.entries, strict=True)
        ]
        return Listed(
            tuple(p.size for p in self.parts),
            self.axes,
            tuple(b - a for a, b in zip(low, high, strict=True)),
            tuple(s - a for s, a in zip(self.starts, low, strict=True)),
            self.labels,
            Factors.of([w for w, _, _ in taken], self.weights.table),
            Factors.of([w if same else m for w, m, same in taken], self.masses.table),  # told once
        )

    def near(self, first: Sequence[int], behind: Sequence[int]) -> Boxes:
        """Give the boxes that fall on a part of the domain, on that part alone.

        Periodic ones come as often as they do; those of a product in the order of their starts.
        """
        starts, found = [], []
        for part, own, a, b in zip(self.parts, self.starts, first, behind, strict=True):
            which, at = images(own, part, a, b)
            starts.append(at)
            found.append(which)
        if self.arrangement.product:
            grid = tuple(map(len, self.arrangement.entries))
            every = np.ravel_multi_index(np.ix_(*found), grid)
            position = self.arrangement.position
            where = (every if position is None else position[every]).reshape(-1)
            picked = [e[w] for e, w in zip(self.arrangement.entries, found, strict=True)]
            arrangement = Arrangement(tuple(map(np.arange, map(len, found))), where, True)
            labels = self.labels
        else:
            rows, columns = all_of(found, starts)
            starts = columns
            picked = [e[rows] for e in self.arrangement.entries]
            each = np.arange(len(rows))
            arrangement = Arrangement((each,) * len(self.parts), None, False)
            labels = self.labels[rows]
        moved = zip(self.parts, starts, first, behind, strict=True)
        parts = [dataclasses.replace(p, starts=s - a, n=b - a, wrap=False) for p, s, a, b in moved]
        weights, masses = (
            Factors.of(
                [None if w is None else w.take(e) for w, e in zip(given, picked, strict=True)],
                given.table,
            )
            for given in (self.weights, self.masses)
        )
        return Boxes(tuple(parts), self.axes, arrangement, labels, weights, masses)

    def slabs(self) -> Iterator[Boxes]:
        """Give the boxes on parts of the domain of some millions of cells."""
        shape = [p.n for p in self.parts]
        step = max(1, SLAB_CELLS // max(1, math.prod(shape[1:])))
        for a in range(0, shape[0], step):
            first, behind = [a, *(0 for _ in shape[1:])], [min(a + step, shape[0]), *shape[1:]]
            yield self.near(first, behind)

    def add(
        self,
        patches: NDArray[Any],
        reducer: Reducer,
        whole: bool = False,
        threads: int = 1,
    ) -> Sum:
        """Add the patches up on the region around them.

        With ``whole`` this is the domain, and these are all patches: the cover is left out.
        """
        low, high = self.region(whole)
        if not self.arrangement.product:
            listed = self.listed(low, high)
            state = listed.add(patches, reducer, plain=whole and not self.folded)
            return Sum(low, state, [] if whole else listed.cover())
        layout = self.layout(low, high)
        cover: Cover = [] if whole else self.cover(layout)
        quick = None
        if isinstance(reducer, WeightedMean):
            quick = self._summed(patches, layout, reducer, threads)
        elif whole and isinstance(reducer, Choose):
            quick = self._chosen(patches, layout, reducer)
        if quick is not None:
            return Sum(low, quick, cover)
        return Sum(low, scatter(patches, layout, reducer, threads), cover)

    def _chosen(
        self, patches: NDArray[Any], layout: Layout, reducer: Choose
    ) -> list[NDArray[Any]] | None:
        """Put the result together of parts of patches, if none of these is missing."""
        read = reducer.reading is not None and reducer.reading.working is not None
        if self.folded or read or not separable(layout):
            return None
        out = [reducer.blank(layout.full_shape(patches.shape[1:]))]
        chosen(patches, layout, reducer.by, out[0])
        if not reducer.skips(patches.dtype):
            return out
        index: list[Any] = [slice(None)] * out[0].ndim
        for axis, lane in zip(self.axes, layout.lanes, strict=True):
            index[axis] = as_slice(np.flatnonzero(line_cover(lane) > 0))
        if all(isinstance(i, slice) for i in index) and not has_nan(out[0][tuple(index)]):
            return out
        return None

    def _summed(
        self, patches: NDArray[Any], layout: Layout, reducer: WeightedMean, threads: int
    ) -> list[NDArray[Any]] | None:
        """Give the sum alone, if nothing is missing: the mass is known beforehand.

        It is made first, and contributions are masked only if it turns out to hold a NaN; a few
        patches tell that mostly beforehand.
        """
        plain, skips = reducer.plain(), reducer.skips(patches.dtype)
        if skips and has_nan(reducer.read(patches[:: max(1, len(patches) // SAMPLE)])):
            return None
        painted = self._painted(patches, layout, plain)
        total = scatter(patches, layout, plain, threads)[0] if painted is None else painted
        return None if skips and has_nan(total) else [total]

    def _painted(
        self, patches: NDArray[Any], layout: Layout, reducer: Total
    ) -> NDArray[Any] | None:
        """Sum patches of one value each, one dimension after the other: 2 s adds in place of s²."""
        if not self.axes or any(patches.strides[a + 1] for a in self.axes) or layout.holes:
            return None
        if layout.weights.table is not None:
            return None
        if reducer.working.kind not in "fiu" or reducer.reading is not None:
            return None
        index = [slice(None)] * patches.ndim
        for a in self.axes:
            index[a + 1] = slice(0, 1)
        values = patches[tuple(index)]
        if layout.position is not None:
            values = values[layout.position.reshape(-1)]
        zeros = [lane.weights is not None and not lane.weights.rows.all() for lane in layout.lanes]
        if any(zeros) and not np.isfinite(values).all():
            return None  # zero times infinity is no contribution
        values = values.reshape(*layout.grid, *values.shape[1:]).astype(reducer.working)
        for k, (axis, lane) in enumerate(zip(self.axes, layout.lanes, strict=True)):
            values = np.swapaxes(values, k, len(layout.grid) + axis)
            values = spread(values, len(layout.grid) + axis, lane, lane.weights)
        return values.reshape(layout.full_shape(patches.shape[1:]))

    # ------------------------------------------------------------------------------------ cover

    def cover(self, layout: Layout) -> Cover:
        """Sum the mass over the patches: a vector for each dimension of a product, else a field."""
        found: Cover = layout.kept("cover", lambda: self._cover(layout))
        return found

    def _cover(self, layout: Layout) -> Cover:
        if layout.masses.table is not None:  # as patches of ones are summed
            lanes = [lane._replace(weights=lane.mass) for lane in layout.lanes]
            position = None if layout.position is None else layout.position.reshape(-1)
            axes = range(len(lanes))
            alone = Layout(lanes, axes, position, None, layout.masses, layout.masses)
            n = math.prod(layout.grid) if position is None else int(position.max()) + 1
            ones = np.broadcast_to(1.0, (n, *(lane.size for lane in lanes)))
            return scatter(ones, alone, Total(float, False, float))[0]
        if not layout.holes:
            return [line_cover(lane) for lane in layout.lanes]
        assert layout.position is not None
        field = (layout.position >= 0).astype(float)
        for k, lane in enumerate(layout.lanes):
            field = spread(field, k, lane, lane.mass)
        return field
