"""Which of many boxes meet polygons, in time that goes with those that do, not with all.

Coordinates are those of a `Plane`: boxes have straight sides, and cells are about 1 large.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.spec import check_amount

TINY = 1e-8  # of a cell: overlaps that are narrower are touching, by rounding
FEW = 256  # vertices of polygons that are not divided
BLOCK = 1 << 17  # boxes that are looked at together

Spans = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclasses.dataclass(frozen=True, eq=False)
class Stretches:
    """Boxes of an outer product: in each row those from a column to another, none of them twice.

    Parameters
    ----------
    row, first, behind : int64 array (stretch,)
        Row, first column, and the one behind the last; sorted.
    """

    row: NDArray[np.int64]
    first: NDArray[np.int64]
    behind: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Boxes of each."""
        return self.behind - self.first

    def __len__(self) -> int:
        return int(self.counts.sum())

    def holds(self, row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which boxes are among them."""
        if not len(self.row):
            return np.zeros(len(row), bool)
        wide = int(max(column.max(initial=0), self.behind.max())) + 1
        at = np.searchsorted(self.row * wide + self.first, row * wide + column, "right") - 1
        inside = (self.row[at] == row) & (column < self.behind[at])
        return np.asarray(inside & (at >= 0))

    def every(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give row and column of all boxes, row by row."""
        check_amount(len(self), "Within", "use a larger step, or a smaller area")
        counts = self.counts
        shift = np.repeat(self.behind - np.cumsum(counts), counts)
        return np.repeat(self.row, counts), np.arange(len(shift)) + shift


def meeting(shapes: NDArray[Any], rows: Spans, columns: Spans) -> tuple[Stretches, Stretches]:
    """Give the boxes that overlap any of some polygons, and some that lie in one as a whole.

    A box overlaps a polygon if an edge runs through its inside, or if it lies in the polygon as a whole.
    Between the edges of a polygon in a row, boxes lie in it or beside it, as the number of edges before
    them is odd or even.

    Parameters
    ----------
    shapes : array of polygons
        In coordinates of the plane.
    rows, columns : pair of arrays
        Lower and upper edges of the boxes, both ascending.
    """
    edges = Edges.of(shapes, rows)
    first, behind = _reached(columns, edges.low, edges.high)
    row, low, high = edges.filled()
    inner = (
        np.searchsorted(columns[0], low - TINY),
        np.searchsorted(columns[1], high + TINY, "right"),
    )
    n = len(columns[0])
    whole = _joined(row, *inner, n)
    every = (
        np.concatenate([edges.row, whole.row]),
        np.concatenate([first, whole.first]),
        np.concatenate([behind, whole.behind]),
    )
    return _joined(*every, n), whole


@dataclasses.dataclass(frozen=True, eq=False)
class Edges:
    """The edges of polygons in rows of boxes, sorted by polygon, row and x.

    Parameters
    ----------
    owner, row : int64 array (edge,)
        The polygon and the row.
    low, high : float64 array (edge,)
        The ends along x of what of an edge is in the row.
    crossing : float64 array (edge,)
        Where it crosses the middle of the row, NaN if it does not.
    """

    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    crossing: NDArray[np.float64]

    @classmethod
    def of(cls, shapes: NDArray[Any], rows: Spans) -> Edges:
        """Find the edges in each row; those along its side only are not."""
        import shapely

        rings, ring_owner = shapely.get_rings(shapes, return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        edge = np.flatnonzero(ring[1:] == ring[:-1])
        a, b, owner = points[edge], points[edge + 1], ring_owner[ring[edge]]
        falls = (a[:, 1] > b[:, 1])[:, None]
        a, b = np.where(falls, b, a), np.where(falls, a, b)
        row, which = _spread(*_reached(rows, a[:, 1], b[:, 1]))
        (ax, ay), (bx, by), owner = a[which].T, b[which].T, owner[which]
        height = by - ay
        slope = np.divide(bx - ax, height, out=np.zeros_like(height), where=height > 0)

        def at(y: NDArray) -> NDArray:
            return np.clip(ax + slope * (y - ay), np.minimum(ax, bx), np.maximum(ax, bx))

        ends = at(np.maximum(ay, rows[0][row])), at(np.minimum(by, rows[1][row]))
        low = np.where(height > 0, np.minimum(*ends), np.minimum(ax, bx))
        high = np.where(height > 0, np.maximum(*ends), np.maximum(ax, bx))
        middle = (rows[0][row] + rows[1][row]) / 2
        crossing = np.where((ay <= middle) & (middle < by), at(middle), np.nan)
        order = np.lexsort((low, row, owner))
        return cls(owner[order], row[order], low[order], high[order], crossing[order])

    def filled(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Give the gaps between edges that lie in their polygon: row and ends."""
        line = np.cumsum(
            (np.diff(self.row, prepend=-1) != 0) | (np.diff(self.owner, prepend=-1) != 0)
        )
        far = _running(self.high, line)
        gap = np.flatnonzero((line[1:] == line[:-1]) & (self.low[1:] > far[:-1]))
        crosses = ~np.isnan(self.crossing)
        # edges that begin before a gap lie before it, and so does where they cross
        before = np.concatenate([[0], np.cumsum(crosses)])
        firsts = np.flatnonzero(np.diff(line, prepend=0))
        odd = (before[gap + 1] - before[firsts[line[gap] - 1]]) % 2 == 1
        gap = gap[odd]
        return self.row[gap], far[gap], self.low[gap + 1]


def _running(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the largest value so far within each group."""
    rank = np.empty(len(values), np.int64)
    order = np.argsort(values, kind="stable")
    rank[order] = np.arange(len(values))
    best = np.maximum.accumulate(group * np.int64(len(values) + 1) + rank)
    return values[order[best - group * np.int64(len(values) + 1)]]


def _reached(spans: Spans, low: Any, high: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the first box that overlaps what is between, and the one behind the last."""
    first = np.searchsorted(spans[1], low + TINY, "right")
    return first, np.searchsorted(spans[0], high - TINY, "left")


def _spread(first: NDArray, behind: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give all numbers of ranges, and which range each is of."""
    counts = behind - first
    which = np.repeat(np.arange(len(counts)), counts)
    return np.arange(len(which)) + np.repeat(behind - np.cumsum(counts), counts), which


def _joined(row: NDArray, first: NDArray, behind: NDArray, n: int) -> Stretches:
    """Join stretches of a row that overlap, or follow each other."""
    some = behind > first
    row, first, behind = (np.asarray(a[some], np.int64) for a in (row, first, behind))
    order = np.lexsort((first, row))
    row, first, behind = row[order], first[order], behind[order]
    far = np.maximum.accumulate(row * (n + 1) + behind)  # later rows are farther
    begins = np.ones(len(row), bool)
    begins[1:] = row[1:] * (n + 1) + first[1:] > far[:-1]
    lasts = np.flatnonzero(np.append(begins[1:], True)) if len(row) else np.empty(0, np.int64)
    kept = row[begins]
    return Stretches(kept, first[begins], far[lasts] - kept * (n + 1))


class Shares:
    """Which share of each of some boxes lies in polygons that may overlap."""

    def __init__(self, shapes: NDArray[Any]):
        import shapely

        self.pieces, self.owner = _divided(shapes)
        self.tree = shapely.STRtree(self.pieces)
        shapely.prepare(self.pieces)

    def meets(self, low: NDArray, high: NDArray) -> NDArray[np.bool_]:
        """Tell which boxes, from ``low`` to ``high``, shape (box, 2), overlap any."""
        sides = high - low
        return np.asarray(self(low, high) * sides.prod(axis=1) > TINY * sides.max(axis=1))

    def __call__(self, low: NDArray, high: NDArray) -> NDArray[np.float64]:
        """Give the share of each box."""
        blocks = range(0, len(low), BLOCK)
        found = [self._some(low[k : k + BLOCK], high[k : k + BLOCK]) for k in blocks]
        return np.concatenate([np.empty(0), *found])

    def _some(self, low: NDArray, high: NDArray) -> NDArray[np.float64]:
        import shapely

        boxes = shapely.box(*low.T, *high.T)
        box, piece = self.tree.query(boxes)
        whole = np.zeros(len(boxes), bool)
        whole[box[shapely.covers(self.pieces[piece], boxes[box])]] = True
        left = ~whole[box]
        box, piece = box[left], piece[left]
        parts, area = shapely.intersection(self.pieces[piece], boxes[box]), shapely.area(boxes)
        total = np.bincount(box, shapely.area(parts), len(boxes))
        for k, own in _of_several(box, self.owner[piece]):
            total[k] = shapely.area(shapely.union_all(parts[own]))
        return np.where(whole, 1.0, np.minimum(total / area, 1.0))


def _of_several(box: NDArray, owner: NDArray) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Give boxes that reach into several polygons, which may overlap, and where their parts are."""
    order = np.lexsort((owner, box))
    box, owner = box[order], owner[order]
    other = (box[1:] == box[:-1]) & (owner[1:] != owner[:-1])
    for k in np.unique(box[1:][other]).tolist():
        first, behind = np.searchsorted(box, [k, k + 1])
        yield k, order[first:behind]


def _divided(shapes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Cut polygons of many vertices to pieces of few; give these, and which polygon each is of."""
    import shapely

    owner, found, owners = np.arange(len(shapes)), [], []
    while len(shapes):
        few = shapely.get_num_coordinates(shapes) <= FEW
        found.append(shapes[few])
        owners.append(owner[few])
        shapes, owner = shapes[~few], owner[~few]
        left, bottom, right, top = shapely.bounds(shapes).T
        x, y, tall = (left + right) / 2, (bottom + top) / 2, top - bottom > right - left
        lower = shapely.box(
            left - 1, bottom - 1, np.where(tall, right + 1, x), np.where(tall, y, top + 1)
        )
        upper = shapely.box(
            np.where(tall, left - 1, x), np.where(tall, y, bottom - 1), right + 1, top + 1
        )
        halves = shapely.intersection(
            np.concatenate([shapes, shapes]), np.concatenate([lower, upper])
        )
        parts, which = shapely.get_parts(halves, return_index=True)
        parts, inner = shapely.get_parts(parts, return_index=True)
        some = shapely.area(parts) > 0
        shapes, owner = parts[some], np.concatenate([owner, owner])[which[inner][some]]
    return np.concatenate(found), np.concatenate(owners)
