"""Non-maximum suppression: of shapes that overlap, the one of the highest score stays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["kept"]

AT_ONCE = 1 << 14  # shapes whose neighbors are looked up at a time


def kept(
    shapes: NDArray[Any],
    scores: NDArray[Any] | None,
    groups: NDArray[np.int64],
    threshold: float,
    smaller: bool = False,
    last: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Say which shapes stay (greedy, as `torchvision.ops.batched_nms`).

    Parameters
    ----------
    shapes : array of shapely geometries (n,)
        Polygons, in coordinates in which areas compare.
    scores : float array (n,), optional
        The highest first; among equals, and without any, the largest first, then as given.
    groups : int64 array (n,)
        Shapes of different groups never suppress each other.
    threshold : float
        Overlaps above it are one object.
    smaller : bool
        Divide the common area by that of the smaller shape, in place of that of the union.
    last : bool array (n,), optional
        Which come after all others, whatever their score.

    Returns
    -------
    bool array (n,)
        Which stay.
    """
    import shapely

    areas = shapely.area(shapes)
    first = np.zeros(len(shapes)) if scores is None else -scores.astype(float)
    rank = np.empty(len(shapes), np.int64)
    last = np.zeros(len(shapes), bool) if last is None else last
    rank[np.lexsort((-areas, first, last))] = np.arange(len(shapes))
    alive = np.ones(len(shapes), bool)
    order = np.argsort(groups, kind="stable")
    ends = np.flatnonzero(np.diff(groups[order])) + 1
    for own in np.split(order, ends):
        if len(own) > 1:
            own = own[np.argsort(rank[own])]
            alive[own] = _greedy(shapes[own], areas[own], threshold, smaller)
    return alive


def _greedy(
    shapes: NDArray[Any], areas: NDArray[Any], threshold: float, smaller: bool
) -> NDArray[np.bool_]:
    """Go through shapes, the best first, and drop those behind that overlap one that stays."""
    better, worse = _pairs(shapes, areas, threshold, smaller)
    alive = np.ones(len(shapes), bool)
    heads, begins = np.unique(better, return_index=True)
    for head, behind in zip(heads, np.split(worse, begins[1:]), strict=False):
        if alive[head]:
            alive[behind] = False
    return alive


def _pairs(
    shapes: NDArray[Any], areas: NDArray[Any], threshold: float, smaller: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the pairs that are one object, ordered by the better of them."""
    import shapely

    tree, bounds = shapely.STRtree(shapes), shapely.bounds(shapes)
    x0, y0, x1, y1 = bounds.T
    straight = np.isclose(areas, (x1 - x0) * (y1 - y0), rtol=1e-12, atol=0)
    found = [np.empty((2, 0), np.int64)]
    for start in range(0, len(shapes), AT_ONCE):
        pairs = tree.query(shapes[start : start + AT_ONCE])
        a, b = pairs[0] + start, pairs[1]
        a, b = a[a < b], b[a < b]
        width = np.minimum(x1[a], x1[b]) - np.maximum(x0[a], x0[b])
        height = np.minimum(y1[a], y1[b]) - np.maximum(y0[a], y0[b])
        common = np.maximum(width, 0) * np.maximum(height, 0)
        bent = ~(straight[a] & straight[b])
        common[bent] = shapely.area(shapely.intersection(shapes[a[bent]], shapes[b[bent]]))
        whole = np.minimum(areas[a], areas[b]) if smaller else areas[a] + areas[b] - common
        same = common > threshold * whole
        found.append(np.stack([a[same], b[same]]))
    every = np.concatenate(found, axis=1)
    better, worse = every[:, np.argsort(every[0], kind="stable")]
    return better, worse
