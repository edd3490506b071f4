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
FEW = 64  # vertices of polygons that are cut into rows one by one, not by halves
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

    def at(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give row and column of boxes by their number."""
        ends = np.cumsum(self.counts)
        which = np.searchsorted(ends, numbers, "right")
        return self.row[which], self.behind[which] - (ends[which] - numbers)

    def every(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give row and column of all boxes, row by row."""
        check_amount(len(self), "Within", "use a larger step, or a smaller area")
        counts = self.counts
        shift = np.repeat(self.behind - np.cumsum(counts), counts)
        return np.repeat(self.row, counts), np.arange(len(shift)) + shift


def meeting(shapes: NDArray[Any], rows: Spans, columns: Spans) -> Stretches:
    """Give the boxes that overlap any of some polygons.

    A polygon cut to a row of boxes is made of connected parts. The inside of each has points at all x
    between its ends, so that it overlaps every box that reaches in between.

    Parameters
    ----------
    shapes : array of polygons
        In coordinates of the plane.
    rows, columns : pair of arrays
        Lower and upper edges of the boxes, both ascending.
    """
    import shapely

    bounds = shapely.bounds(shapes)
    first, behind = _reached(rows, bounds[:, 1], bounds[:, 3])
    some = behind > first
    shapes, bounds, first, behind = shapes[some], bounds[some], first[some], behind[some]
    area = (bounds[:, 2] - bounds[:, 0]) * (bounds[:, 3] - bounds[:, 1])
    straight = np.abs(shapely.area(shapes) - area) <= 1e-12 * area
    row, which = _spread(first[straight], behind[straight])
    ends = [bounds[straight][which][:, [0, 2]]]
    found = [row]
    for row, low, high in _by_rows(shapes[~straight], first[~straight], behind[~straight], rows):
        found.append(row)
        ends.append(np.stack([low, high], axis=-1))
    row, (low, high) = np.concatenate(found), np.concatenate(ends).T
    return _joined(row, *_reached(columns, low, high), len(columns[0]))


def _reached(spans: Spans, low: Any, high: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the first box that overlaps what is between, and the one behind the last."""
    first = np.searchsorted(spans[1], low + TINY, "right")
    return first, np.searchsorted(spans[0], high - TINY, "left")


def _spread(first: NDArray, behind: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give all numbers of ranges, and which range each is of."""
    counts = behind - first
    which = np.repeat(np.arange(len(counts)), counts)
    return np.arange(len(which)) + np.repeat(behind - np.cumsum(counts), counts), which


def _by_rows(shapes: NDArray[Any], first: NDArray, behind: NDArray, rows: Spans) -> Any:
    """Cut polygons to rows of boxes; give the row of each part, and its ends."""
    import shapely

    while len(shapes):
        plain = (behind - first == 1) | (shapely.get_num_coordinates(shapes) <= FEW)
        row, which = _spread(first[plain], behind[plain])
        for k in range(0, len(row), BLOCK):
            yield _ends(shapes[plain][which[k : k + BLOCK]], row[k : k + BLOCK], rows)
        shapes, first, behind = shapes[~plain], first[~plain], behind[~plain]
        middle = (first + behind) // 2
        shapes = np.concatenate([shapes, shapes])
        first, behind = np.concatenate([first, middle]), np.concatenate([middle, behind])
        pieces, which = _cut(shapes, rows[0][first], rows[1][behind - 1])
        shapes, first, behind = pieces, first[which], behind[which]


def _ends(shapes: NDArray[Any], row: NDArray, rows: Spans) -> Any:
    import shapely

    pieces, which = _cut(shapes, rows[0][row], rows[1][row])
    low, bottom, high, top = shapely.bounds(pieces).T
    thick = top - bottom > TINY
    return row[which][thick], low[thick], high[thick]


def _cut(shapes: NDArray[Any], low: NDArray, high: NDArray) -> tuple[NDArray[Any], NDArray]:
    """Cut polygons to what is between two heights; give the parts that have an area."""
    import shapely

    if not len(shapes):
        return shapes, np.empty(0, np.int64)
    left, _, right, _ = shapely.bounds(shapes).T
    found = shapely.intersection(shapes, shapely.box(left - 1, low, right + 1, high))
    parts, which = shapely.get_parts(found, return_index=True)
    parts, inner = shapely.get_parts(parts, return_index=True)
    some = shapely.area(parts) > 0
    return parts[some], which[inner][some]


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
        few = shapely.get_num_coordinates(shapes) <= 4 * FEW
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
