"""Search for neighbors: on lattices by rows and columns, elsewhere by trees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import Sites
from xpatch.geometry.base import Places
from xpatch.spec import is_integer, is_number

METRICS = ("auto", "euclidean", "haversine")
BLOCK = 1 << 22  # members looked at in one go
PAIRS = 1 << 19  # members that a tree is asked for in one go
ROUNDING = 1e-12  # relative: what lies on the rim is inside
TIE = 1e-9  # relative: distances that differ by less are equal

Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def check_positive(value: Any, what: str) -> None:
    """Raise unless ``value`` is a positive finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        alone = "; give the number alone, without its unit" if isinstance(value, str) else ""
        raise TypeError(f"{what} must be a number, got {value!r}{alone}")
    if not (value > 0 and np.isfinite(value)):
        raise ValueError(f"{what} must be positive and finite, got {value!r}")


def check_count(value: Any, what: str) -> None:
    """Raise unless ``value`` is an int of at least 1."""
    if not is_integer(value):
        raise TypeError(f"{what} must be an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{what} must be at least 1, got {value!r}")


def check_metric(metric: Any) -> None:
    """Raise unless ``metric`` is a known word or a function."""
    if not callable(metric) and metric not in METRICS:
        raise ValueError(f"metric must be one of {list(METRICS)} or a callable, got {metric!r}")


def check_radius(radius: float, metric: Any) -> None:
    """Raise a ValueError if a great circle is longer than half around the Earth."""
    if metric == "haversine" and radius > np.pi * sphere.EARTH_RADIUS_KM:
        raise ValueError(
            f"a radius of {radius:g} km is more than half around the Earth (20015 km); great-circle "
            "radii are in km. For metres, reproject the field to a CRS in metres"
        )


def resolve(metric: Any, sites: Sites) -> Any:
    """Choose the metric of "auto", and refuse one that would measure degrees."""
    if metric == "auto":
        return "haversine" if sites.geographic else "euclidean"
    if metric == "euclidean" and sites.geographic:
        raise ValueError(
            "metric='euclidean' on longitude and latitude would measure degrees, which are no "
            "length; use metric='haversine' (km), or reproject the field to a CRS in metres"
        )
    return metric


def places_of(sites: Sites, anchors: Places, metric: Any) -> NDArray[np.float64]:
    """Give the anchors as points of the space in which the tree of ``metric`` lies."""
    if metric == "haversine":
        return sphere.unit_vectors(*sites.to_lonlat(anchors.x, anchors.y))
    return np.stack([anchors.x, anchors.y], axis=-1)


# ----------------------------------------------------------------------------- within a distance


def within(sites: Sites, anchors: Places, radius: float, metric: Any) -> Found:
    """Find the elements within ``radius`` of each anchor.

    Returns
    -------
    patches, elements, distances : arrays (member,)
        Sorted by patch, then by element.
    """
    check_radius(radius, metric)
    if callable(metric):
        return _by_function(sites, anchors, radius, metric)
    straight = _straight(sites, metric)
    parts = (
        _on_lattice(sites, anchors, radius, metric)
        if straight
        else _by_tree(sites, anchors, radius, metric)
    )
    found = list(parts)
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    patches, elements, distances = (np.concatenate(column) for column in zip(*found, strict=True))
    if straight == "unsorted":
        order = np.lexsort((elements, patches))
        return patches[order], elements[order], distances[order]
    return patches, elements, distances


def _straight(sites: Sites, metric: Any) -> str:
    """Whether rows and columns can be searched, and whether they come sorted."""
    if sites.axes is None or (metric == "haversine") != sites.geographic:
        return ""
    steps = [np.diff(a) for a in sites.axes]
    if not all((s > 0).all() or (s < 0).all() for s in steps):
        return ""
    return "sorted" if sites.y_first and (steps[1] > 0).all() else "unsorted"


def _on_lattice(sites: Sites, anchors: Places, radius: float, metric: str) -> Iterator[Found]:
    """Search the rows that come near each anchor, and in each the columns."""
    assert sites.axes is not None
    axes = [(a, False) if len(a) < 2 or a[0] < a[-1] else (a[::-1], True) for a in sites.axes]
    (y, y_down), (x, x_down) = axes
    round_earth = metric == "haversine"
    reach = np.rad2deg(radius / sphere.EARTH_RADIUS_KM) if round_earth else radius
    reach *= 1 + ROUNDING
    tiny = 1e-9 * max(1.0, np.abs(y).max(initial=0), np.abs(x).max(initial=0))
    first = np.searchsorted(y, anchors.y - reach - tiny)
    last = np.searchsorted(y, anchors.y + reach + tiny, side="right")
    if y_down:
        first, last = len(y) - last, len(y) - first
        y = y[::-1]
    rows_of = np.maximum(last - first, 0)
    start = 0
    most = max(1, BLOCK // max(1, len(x)))
    while start < len(anchors):  # blocks of anchors whose rows, if whole, would fill one
        stop = start + max(1, int(np.searchsorted(np.cumsum(rows_of[start:]), most, "right")))
        part = slice(start, stop)
        patch = np.repeat(np.arange(start, min(stop, len(anchors))), rows_of[part])
        begin = np.cumsum(rows_of[part]) - rows_of[part]
        row = np.arange(len(patch)) - np.repeat(begin - first[part], rows_of[part])
        start = stop
        if not len(patch):
            continue
        spans = (_round_spans if round_earth else _flat_spans)(
            y[row], anchors.y[patch], x, anchors.x[patch], radius, tiny
        )
        counts = (spans[1] - spans[0]).ravel()
        turns = spans[0].shape[1]
        total = int(counts.sum())
        pair = np.repeat(np.arange(len(patch)).repeat(turns), counts)
        column = np.arange(total) - np.repeat(np.cumsum(counts) - counts - spans[0].ravel(), counts)
        dy, x0 = y[row] - anchors.y[patch], anchors.x[patch]
        if round_earth:
            a = np.sin(np.deg2rad(dy) / 2) ** 2
            b = np.cos(np.deg2rad(y[row])) * np.cos(np.deg2rad(anchors.y[patch]))
            s = np.sin(np.deg2rad(x[column] - x0[pair]) / 2)
            s *= s
            s *= b[pair]
            s += a[pair]
            distance = 2 * sphere.EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(s, 1, out=s)))
        else:
            distance = np.hypot(dy[pair], x[column] - x0[pair])
        inside = distance <= radius * (1 + ROUNDING)
        pair, column, distance = pair[inside], column[inside], distance[inside]
        column = len(x) - 1 - column if x_down else column
        elements = row[pair] * len(x) + column if sites.y_first else column * len(y) + row[pair]
        yield patch[pair].astype(np.int32), elements.astype(np.int32), distance


def _flat_spans(
    y: NDArray, y0: NDArray, x: NDArray, x0: NDArray, radius: float, tiny: float
) -> tuple[NDArray, NDArray]:
    """Give the first column, and that behind the last, that a disc takes of each row."""
    radius = min(radius, 1e150)  # whose square is finite
    half = np.sqrt(np.maximum(radius**2 - (y - y0) ** 2, 0)) + tiny
    low, high = np.searchsorted(x, x0 - half), np.searchsorted(x, x0 + half, side="right")
    return low[:, None], np.maximum(low, high)[:, None]


def _round_spans(
    y: NDArray, y0: NDArray, x: NDArray, x0: NDArray, radius: float, tiny: float
) -> tuple[NDArray, NDArray]:
    """Give the same for a cap, one turn further west, here, and one turn further east."""
    phi, phi0 = np.deg2rad(y), np.deg2rad(y0)
    across = np.cos(phi) * np.cos(phi0)
    rest = np.cos(min(radius / sphere.EARTH_RADIUS_KM, np.pi)) - np.sin(phi) * np.sin(phi0)
    cosine = np.where(across > 1e-12, rest / np.maximum(across, 1e-12), -1.0)
    half = np.rad2deg(np.arccos(np.clip(cosine - 1e-12, -1, 1))) + tiny
    middle = (x[0] + x[-1]) / 2
    x0 = x0 - 360 * np.round((x0 - middle) / 360)
    turns = x0[:, None] + np.array([-360.0, 0.0, 360.0])
    low = np.searchsorted(x, turns - half[:, None])
    high = np.maximum(np.searchsorted(x, turns + half[:, None], side="right"), low)
    whole = half >= 180 - 1e-4  # the turns would meet
    low[whole], high[whole] = 0, [0, len(x), 0]
    return low, np.maximum(low, high)


def _by_tree(sites: Sites, anchors: Places, radius: float, metric: str) -> Iterator[Found]:
    """Ask a tree, for as many anchors at a time as have some hundred thousand members.

    A tree gives pairs in half the time of lists, which also hold every number as an object.
    """
    from scipy.spatial import cKDTree

    tree = sites.globe if metric == "haversine" else sites.tree
    points = places_of(sites, anchors, metric)
    reach = (sphere.chord(radius) if metric == "haversine" else radius) * (1 + 1e-9) + 1e-15
    behind = np.cumsum(tree.query_ball_point(points, reach, return_length=True, workers=-1))
    start = 0
    while start < len(points):
        before = behind[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(behind, before + PAIRS, side="right")))
        pairs = cKDTree(points[start:stop]).sparse_distance_matrix(
            tree, reach, output_type="ndarray"
        )
        keys = pairs["i"] * len(sites.known) + pairs["j"]
        keys.sort()
        patches, columns = np.divmod(keys, max(1, len(sites.known)))
        patches += start
        elements = sites.known[columns]
        distances = distance_of(sites, anchors, patches, elements, metric)
        inside = distances <= radius * (1 + ROUNDING)
        yield (
            patches[inside].astype(np.int32),
            elements[inside].astype(np.int32),
            distances[inside],
        )
        start = stop


def distance_of(
    sites: Sites, anchors: Places, patches: NDArray, elements: NDArray, metric: Any
) -> NDArray[np.float64]:
    """Give the distance of elements from the anchors of ``patches``."""
    if metric == "haversine":
        lon, lat = sites.lonlat
        lon0, lat0 = sites.to_lonlat(anchors.x, anchors.y)
        return sphere.haversine(lon[elements], lat[elements], lon0[patches], lat0[patches])
    return np.hypot(sites.x[elements] - anchors.x[patches], sites.y[elements] - anchors.y[patches])


def _by_function(sites: Sites, anchors: Places, radius: float, metric: Any) -> Found:
    parts = []
    for start, table in tables(sites, anchors, metric):
        patches, columns = np.nonzero(table <= radius * (1 + ROUNDING))
        parts.append((patches + start, sites.known[columns], table[patches, columns]))
    columns_of = (np.concatenate(column) for column in zip(*parts, strict=True))
    return tuple(columns_of)  # type: ignore[return-value]


def tables(sites: Sites, anchors: Places, metric: Any) -> Iterator[tuple[int, NDArray]]:
    """Measure from some anchors to all elements, block by block."""
    from scipy.spatial.distance import cdist

    all_places = np.stack([sites.x, sites.y], axis=-1)[sites.known]
    points = places_of(sites, anchors, None)
    step = max(1, BLOCK // max(1, len(all_places)))
    if len(points) and len(all_places):
        check_measure(metric(points[0], all_places[0]))
    for start in range(0, len(points), step):
        table = cdist(points[start : start + step], all_places, metric=metric)
        wrong = ~(table >= 0)
        if wrong.any():
            k, element = np.argwhere(wrong)[0]
            raise ValueError(
                f"the metric gave {_shown(table[k, element])} for the distance of anchor {points[start + k].tolist()} from "
                f"element {int(sites.known[element])}; it must give a number ≥ 0 for every pair"
            )
        yield start, table


def _shown(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:g}"


def check_measure(value: Any) -> None:
    """Raise a TypeError unless what a metric gave is a number."""
    if not is_number(value):
        raise TypeError(
            f"the metric must give one number ≥ 0 for two points of shape (2,), got {value!r}"
        )


def polygons_within(sites: Sites, anchors: Places, radius: float) -> Found:
    """Find the geometries that come within ``radius`` of each anchor, itself a geometry or a point."""
    import shapely

    assert sites.geometries is not None
    shapes = shapely.points(anchors.x, anchors.y).astype(object)
    own = anchors.elements >= 0
    shapes[own] = sites.geometries[anchors.elements[own]]
    tree = shapely.STRtree(sites.geometries)
    patches, elements = tree.query(shapes, predicate="dwithin", distance=radius)
    order = np.lexsort((elements, patches))
    patches, elements = patches[order], elements[order]
    distances = shapely.distance(shapes[patches], sites.geometries[elements])
    return patches, elements, distances


# ------------------------------------------------------------------------------------- nearest


def nearest(
    sites: Sites, anchors: Places, k: int, metric: Any
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the ``k`` nearest elements of each anchor, shape (patch, k), equal ones by number."""
    if callable(metric):
        parts = []
        for _, table in tables(sites, anchors, metric):
            order = np.argsort(table, axis=1, kind="stable")[:, :k]
            parts.append((sites.known[order], np.take_along_axis(table, order, 1)))
        return tuple(np.concatenate(c) for c in zip(*parts, strict=True))  # type: ignore[return-value]
    return nearest_to(sites, places_of(sites, anchors, metric), k, metric)


def nearest_to(
    sites: Sites, points: NDArray, k: int, metric: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the ``k`` nearest elements of points in the space of the tree, equal ones by number."""
    from scipy.spatial import cKDTree

    tree = sites.globe if metric == "haversine" else sites.tree
    near = np.empty((len(points), k), np.intp)
    far = np.empty((len(points), k))
    rows, asked, n, kept = np.arange(len(points)), k, len(sites.known), np.arange(len(sites.known))
    while len(rows):  # ask for one more, then for twice as many, while the last one is not alone
        if asked == k + 1:
            kept = first_of_places(tree.data, k)
            tree, n = (tree if len(kept) == n else cKDTree(tree.data[kept])), len(kept)
        asked = min(asked + 1 if asked == k else 2 * asked, n)
        distances, numbers = tree.query(points[rows], np.arange(1, asked + 1), workers=-1)
        cut = np.zeros(len(rows), bool)
        if asked < n:
            cut = distances[:, -1] - distances[:, k - 1] <= TIE * distances[:, -1]
        done = ~cut
        near[rows[done]], far[rows[done]] = ranked(distances[done], kept[numbers[done]], k)
        rows = rows[cut]
    elements = sites.known[near]
    return elements, sphere.arc(far) if metric == "haversine" else far


def first_of_places(points: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """Give the first ``k`` of the points at each place, in order.

    Of elements at one place, as of a mooring, no others can be among the k nearest of anything.
    """
    order = np.lexsort(points.T)  # which is stable
    new = np.ones(len(points), bool)
    new[1:] = (points[order[1:]] != points[order[:-1]]).any(axis=1)
    begin = np.flatnonzero(new)
    rank = np.arange(len(points)) - np.repeat(begin, np.diff(np.append(begin, len(points))))
    return np.sort(order[rank < k])


def ranked(
    distances: NDArray[np.float64], numbers: NDArray[np.intp], k: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Give the first ``k`` of rows sorted by distance, those at equal distance by number."""
    equal = np.diff(distances, axis=1) <= TIE * distances[:, 1:]
    some = np.flatnonzero(equal.any(axis=1))
    if len(some):
        level = np.zeros(distances[some].shape, int)
        np.cumsum(~equal[some], axis=1, out=level[:, 1:])
        order = np.lexsort((numbers[some], level), axis=-1)
        numbers, distances = numbers.copy(), distances.copy()
        numbers[some] = np.take_along_axis(numbers[some], order, 1)
        distances[some] = np.take_along_axis(distances[some], order, 1)
    return numbers[:, :k], distances[:, :k]
