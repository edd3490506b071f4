"""Search in space and in coordinates of the elements at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import Sites
from xpatch.geometry import search
from xpatch.geometry.base import Places
from xpatch.geometry.search import ROUNDING, TIE, Found
from xpatch.geometry.spans import Spans

FIRST = 1 << 9  # anchors that are asked for first
MOST = 1 << 18  # candidates that are looked at in one go
LEAST = 2.0**-30  # of the largest distance: below it anchors are taken to be at one place


def within(sites: Sites, anchors: Places, radius: float, metric: Any, spans: Spans) -> Found:
    """Find the elements within ``radius`` of each anchor that lie within all widths of it.

    Returns
    -------
    patches, elements, distances : arrays (member,)
        Sorted by patch, then by element.
    """
    search.check_radius(radius, metric)
    if callable(metric):
        blocks = _by_function(sites, anchors, metric, spans)
        return _joined([_at_most(found, radius) for found in blocks])
    return _joined(list(_by_tree(sites, anchors, radius, metric, spans)))


def polygons_within(sites: Sites, anchors: Places, radius: float, spans: Spans) -> Found:
    """Find the geometries that come within ``radius`` and lie within all widths."""
    parts = []
    for low in range(0, len(anchors), FIRST):
        some = anchors.take(np.arange(low, min(low + FIRST, len(anchors))))
        patches, elements, distances = search.polygons_within(sites, some, radius)
        kept = _inside(spans, some, patches, elements)
        parts.append((patches[kept] + low, elements[kept], distances[kept]))
    return _joined(parts)


def nearest(sites: Sites, anchors: Places, k: int, metric: Any, spans: Spans) -> Found:
    """Find the ``k`` nearest of the elements that lie within all widths, or all if there are fewer.

    Returns
    -------
    patches, elements, distances : arrays (member,)
        Sorted by patch; the anchor first, then by distance, equal ones by number.
    """
    if callable(metric):
        blocks = _by_function(sites, anchors, metric, spans)
        return _joined([_first(found, anchors.elements, k)[0] for found in blocks])
    return _joined(list(_growing(sites, anchors, k, metric, spans)))


# ------------------------------------------------------------------------------------- by a tree


def _by_tree(
    sites: Sites, anchors: Places, radius: float, metric: str, spans: Spans
) -> Iterator[Found]:
    """Search a tree of places and values, each in units of its reach, by the largest of them.

    So elements that are near in space and not in time are never candidates.
    """
    from scipy.spatial import cKDTree

    elements, known = _usable(sites, spans), spans.known
    asked = np.flatnonzero(known[anchors.elements])
    if not len(elements) or not len(asked):
        return
    reach = float(sphere.chord(radius)) if metric == "haversine" else radius
    scaled = spans.scaled
    every = np.hstack([_points(sites, elements, metric) / reach, scaled[elements]])
    here = search.places_of(sites, anchors.take(asked), metric) / reach
    points = np.hstack([here, scaled[anchors.elements[asked]]])
    tree = cKDTree(every)
    slack = 1 + 1e-9 + spans.slack + 8 * np.finfo(float).eps * float(np.abs(every).max())
    low, step = 0, FIRST
    while low < len(points):
        lists = tree.query_ball_point(points[low : low + step], slack, np.inf, return_sorted=True)
        counts = np.fromiter(map(len, lists), np.int64, len(lists))
        patches = np.repeat(asked[low : low + step], counts)
        found = elements[np.concatenate([[], *lists]).astype(np.intp)]
        low += step
        step = int(np.clip(MOST // max(1.0, counts.mean()), 1, 1 << 16))
        kept = _inside(spans, anchors, patches, found)
        patches, found = patches[kept], found[kept]
        distances = search.distance_of(sites, anchors, patches, found, metric)
        few = patches.astype(np.int32), found.astype(np.int32)  # which are kept until all are found
        yield _at_most((*few, distances), radius)


def _growing(sites: Sites, anchors: Places, k: int, metric: str, spans: Spans) -> Iterator[Found]:
    """Search within a radius that is doubled for the anchors that have not found enough."""
    limit = _largest(sites, metric)
    asked = np.flatnonzero(spans.known[anchors.elements])
    level = _guessed(sites, anchors.take(asked), k, metric, spans, limit)
    while len(asked):
        now = level == level.min()
        rows, last = asked[now], level[now][0] >= 0
        radius = limit if last else limit * 2.0 ** float(level[now][0])
        done = np.zeros(len(rows), bool)
        some = anchors.take(rows)
        for found in _by_tree(sites, some, radius, metric, spans):
            (patches, elements, distances), far = _first(found, some.elements, k)
            enough = (far >= 0) & (far <= radius * (1 - 2 * TIE)) | last
            done |= enough
            kept = enough[patches]
            yield rows[patches[kept]], elements[kept], distances[kept]
        if last:
            return
        level[np.flatnonzero(now)[~done]] += 1
        left = np.ones(len(asked), bool)
        left[np.flatnonzero(now)[done]] = False
        asked, level = asked[left], level[left]


def _guessed(
    sites: Sites, anchors: Places, k: int, metric: str, spans: Spans, limit: float
) -> NDArray[np.int64]:
    """Guess the radius that holds ``k`` members: how often it is to be doubled to be the largest.

    The distance of the k-th nearest of all, as much longer as there are fewer within the widths. Of
    anchors that do not have more than ``k`` anywhere it is the largest distance at once.
    """
    from scipy.spatial import cKDTree

    elements, scaled = _usable(sites, spans), spans.scaled
    if not len(elements) or not len(anchors):
        return np.zeros(len(anchors), np.int64)
    near = cKDTree(scaled[elements])
    slack = 1 + 1e-9 + spans.slack + 8 * np.finfo(float).eps * float(scaled.max())
    ask = scaled[anchors.elements]
    counts = near.query_ball_point(ask, slack, np.inf, return_length=True)
    points = search.places_of(sites, anchors, metric)
    far, _ = cKDTree(_points(sites, elements, metric)).query(points, [min(k, len(elements))])
    far = sphere.arc(far[:, 0]) if metric == "haversine" else far[:, 0]
    radius = far * np.sqrt(len(elements) / np.maximum(counts, 1))
    if (far == 0).any():  # as of moorings, at whose places there may be too few within the widths
        every = _points(sites, elements, metric)
        every = every[search.first_of_places(every, 1)]
        other, _ = cKDTree(every).query(points, [min(2, len(every))])
        other = sphere.arc(other[:, 0]) if metric == "haversine" else other[:, 0]
        radius = np.where(far == 0, other, radius)
    level = np.ceil(np.log2(np.clip(radius / limit, LEAST, 1))).astype(np.int64)
    return np.where(counts <= k, 0, level)


def _largest(sites: Sites, metric: str) -> float:
    """Give a distance that no two elements exceed."""
    if metric == "haversine":
        return math.pi * sphere.EARTH_RADIUS_KM
    x, y = sites.x[sites.known], sites.y[sites.known]
    return float(np.hypot(np.ptp(x), np.ptp(y))) * (1 + 1e-9) or 1.0 if len(x) else 1.0


def _usable(sites: Sites, spans: Spans) -> NDArray[np.intp]:
    """Give the elements that have a place and all values."""
    return sites.known[spans.known[sites.known]]


def _points(sites: Sites, elements: NDArray, metric: str) -> NDArray[np.float64]:
    if metric == "haversine":
        lon, lat = sites.lonlat
        return sphere.unit_vectors(lon[elements], lat[elements])
    return np.stack([sites.x[elements], sites.y[elements]], axis=-1)


# ---------------------------------------------------------------------------------- by a function


def _by_function(sites: Sites, anchors: Places, metric: Callable, spans: Spans) -> Iterator[Found]:
    """Measure from each anchor to all elements within the widths."""
    usable = spans.known[sites.known]
    for low, table in search.tables(sites, anchors, metric):
        rows = np.arange(low, low + len(table))
        own = anchors.elements[rows][:, None]
        there = spans.known[own] & usable & spans.inside(own, sites.known[None])
        patches, columns = np.nonzero(there)
        yield rows[patches], sites.known[columns], table[patches, columns]


# ------------------------------------------------------------------------------------ what is kept


def _inside(spans: Spans, anchors: Places, patches: NDArray, elements: NDArray) -> NDArray:
    known = spans.known
    own = anchors.elements[patches]
    return known[own] & known[elements] & spans.inside(own, elements)


def _at_most(found: Found, radius: float) -> Found:
    patches, elements, distances = found
    kept = distances <= radius * (1 + ROUNDING)
    return patches[kept], elements[kept], distances[kept]


def _first(found: Found, own: NDArray, k: int) -> tuple[Found, NDArray[np.float64]]:
    """Keep the first ``k`` of each patch, and give the distance of the k-th (−1: there is none)."""
    patches, elements, distances = found
    key = np.where(elements == own[patches], -1.0, distances)
    order = np.lexsort((key, patches))
    patches, elements, key = patches[order], elements[order], key[order]
    apart = np.ones(len(patches), bool)
    apart[1:] = (patches[1:] != patches[:-1]) | (np.diff(key) > TIE * key[1:])
    again = np.lexsort((elements, np.cumsum(apart)))
    order, elements = order[again], elements[again]
    counts = np.bincount(patches, minlength=len(own))
    rank = np.arange(len(patches)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = rank < k
    distances = distances[order]
    far = np.full(len(own), -1.0)
    last = rank == k - 1
    far[patches[last]] = distances[last]
    return (patches[kept], elements[kept], distances[kept]), far


def _joined(parts: list[Found]) -> Found:
    """Put blocks of anchors together, sorted by patch."""
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    patches, elements, distances = (np.concatenate(column) for column in zip(*parts, strict=True))
    if (np.diff(patches) < 0).any():
        order = np.argsort(patches, kind="stable")
        return patches[order], elements[order], distances[order]
    return patches, elements, distances
