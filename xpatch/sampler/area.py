"""Areas: polygons in any CRS, and where they are in that of a field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch.domain import places as pl
from xpatch.domain.bounds import Bounds, checked_bounds, halves, moved_bounds, read_crs, same
from xpatch.domain.turns import TURN
from xpatch.sampler.reading import crs_of, is_geometry
from xpatch.sampler.slices import slices_in
from xpatch.spec import is_number

ROUNDS = 18  # in which an edge is halved, so that it follows a bent line
SNAP = 1e-9  # degrees, by which the borders of holes are rounded
Group = tuple[NDArray[Any], Any]  # polygons, and their CRS; None: that of the field


def read_area(given: Any, crs: Any, target: Any) -> list[Group]:
    """Read polygons, with the CRS of each group of them.

    Parameters
    ----------
    given : shapely geometries, GeoSeries, GeoDataFrame, GeoSlice or several, four bounds, or WKT
        The polygons.
    crs, target : optional
        CRS of those that do not know it, and that of the field.

    Raises
    ------
    TypeError, ValueError
        If these are no polygons, or none that has an area.
    """
    slices = slices_in(given)
    if slices is not None:
        return [(polygons(_box(s.bounds)), s.crs if s.crs is not None else crs) for s in slices]
    if isinstance(given, str):
        return [(polygons(_of_text(given)), crs)]
    if is_geometry(given):
        known = crs_of(given)
        if hasattr(given, "set_crs") and known is None and crs is None and target is not None:
            raise ValueError(
                f"the area knows no CRS, but the field is in {pl.named_crs(target)}; say which one it is in: "
                "area.set_crs(…), or Within(sampler, area, crs=…)"
            )
        return [(polygons(getattr(given, "geometry", given)), crs if known is None else known)]
    if isinstance(given, tuple | list | np.ndarray) and not len(given):
        raise ValueError("the area is empty")
    if isinstance(given, tuple | list | np.ndarray) and all(map(is_number, given)):
        return [(polygons(_box(checked_bounds(given, crs))), crs)]
    raise TypeError(
        "area must be polygons of shapely or geopandas, GeoSlice, or bounds (left, bottom, right, top), got "
        f"{type(given).__name__}"
    )


def _of_text(text: str) -> Any:
    import shapely

    try:
        return shapely.from_wkt(text)
    except shapely.errors.GEOSException as error:
        raise ValueError(f"area={text[:60]!r} is no WKT of polygons: {error}") from None


def _box(bounds: Bounds) -> Any:
    import shapely

    left, bottom, right, top = bounds
    return shapely.box(left, bottom, right if left < right else right + TURN, top)


def polygons(given: Any) -> NDArray[Any]:
    """Give polygons one by one, those of several parts in parts; empty ones are left out.

    Raises
    ------
    TypeError
        If there are other geometries.
    ValueError
        If one is missing, is not valid, or all are empty.
    """
    import shapely

    shapes = np.ravel(np.atleast_1d(np.asarray(getattr(given, "values", given), dtype=object)))
    if not shapely.is_geometry(shapes).all():
        raise ValueError("a polygon of the area is missing; leave it out: area.dropna()")
    kinds = shapely.get_type_id(shapes)
    if not np.isin(kinds, (3, 6, 7)).all():
        other = shapes[~np.isin(kinds, (3, 6, 7))][0].geom_type
        raise TypeError(f"the area must be polygons, got a {other}; buffer it first")
    parts = shapely.get_parts(shapely.get_parts(shapes))
    parts = parts[~shapely.is_empty(parts)]
    if not np.isin(shapely.get_type_id(parts), 3).all():
        raise TypeError("the area must be polygons; buffer the lines and points among them first")
    if not np.isfinite(shapely.bounds(parts)).all():
        raise ValueError("a polygon of the area has NaN coordinates")
    valid = shapely.is_valid(parts)
    if not valid.all():
        reason = shapely.is_valid_reason(parts[~valid][0])
        raise ValueError(
            f"a polygon of the area is not valid ({reason}), so that it is not clear what lies in it; mend it: "
            "shapely.make_valid(area)"
        )
    if not len(parts):
        raise ValueError("the area is empty")
    return np.asarray(shapely.force_2d(parts))


# -------------------------------------------------------------------------------- in another CRS


def on_ground(group: Group, target: Any, around: Bounds, near: float) -> NDArray[Any]:
    """Give polygons in the CRS of a field, as far as they may lie on it.

    Parameters
    ----------
    group : tuple
        The polygons and their CRS.
    target : optional
        CRS of the field.
    around : tuple of float
        Bounds of the field; polygons may reach beyond.
    near : float
        By how much an edge may be off.

    Raises
    ------
    ValueError
        If only one of both CRSs is known, or they reach where the other has no coordinates.
    """
    shapes, source = group
    if source is None:
        return shapes
    pl.check_known(source, target, "the polygons of the area")
    if same(source, target):
        return shapes
    own, other = read_crs(source), read_crs(target)
    if own.is_geographic:
        shapes = _clipped(shapes, around, target, source)
    return moved(shapes, own, other, near)


def _clipped(shapes: NDArray[Any], around: Bounds, crs: Any, source: Any) -> NDArray[Any]:
    """Cut polygons in longitude and latitude to what is around a field, and at the date line."""
    import shapely

    found = []
    for left, bottom, right, top in _around(around, crs, source):
        margin = 1e-3 * max(right - left, top - bottom)
        low, high = max(left - margin, -180.0), min(right + margin, 180.0)
        box = shapely.box(low, max(bottom - margin, -90.0), high, min(top + margin, 90.0))
        for turn in (-TURN, 0.0, TURN):
            bounds = shapely.bounds(shapes) + np.array([turn, 0, turn, 0])
            near = shapes[(bounds[:, 0] < high) & (bounds[:, 2] > low)]
            near = shifted(near, turn)
            part = shapely.get_parts(shapely.get_parts(shapely.intersection(near, box)))
            found.append(part[shapely.area(part) > 0])
    return np.concatenate(found)


def _around(bounds: Bounds, crs: Any, source: Any) -> list[Bounds]:
    """Give the longitudes and latitudes of a field: all, if parts of it are nowhere on Earth."""
    left, bottom, right, top = bounds
    corners = pl.mover(crs, source)([left, left, right, right], [bottom, top, bottom, top])
    if not np.isfinite(corners).all():
        return [(-180.0, -90.0, 180.0, 90.0)]
    return halves(moved_bounds(bounds, crs, source))


def shifted(shapes: NDArray[Any], x: float) -> NDArray[Any]:
    """Move polygons along x."""
    import shapely

    return (
        shapes if not x else np.asarray(shapely.transform(shapes, lambda p: p + np.array([x, 0])))
    )


def moved(shapes: NDArray[Any], source: Any, target: Any, near: float) -> NDArray[Any]:
    """Give polygons in another CRS; their edges stay lines of the first.

    Raises
    ------
    ValueError
        If one reaches where the other CRS has no coordinates, or is torn there.
    """
    import shapely

    if not len(shapes):
        return shapes
    rings, owner = shapely.get_rings(shapes, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    turning = bool(target.is_geographic)
    move = pl.mover(source, target)
    points, there, ring = _followed(points, ring, move, near, turning)
    if not np.isfinite(there).all():
        raise ValueError(
            f"the area reaches where {ax.crs_name(target)} has no coordinates; cut it to the field first"
        )
    if turning:
        there, ring = _unturned(there, ring, rings, pl.mover(target, source))
    lines = shapely.linearrings(there, indices=ring)
    out = _less_holes(lines, owner) if turning else shapely.polygons(lines, indices=owner)
    valid = shapely.is_valid(out)
    if not valid.all():  # rings that now touch themselves
        out[~valid] = shapely.make_valid(out[~valid])
        out = shapely.get_parts(shapely.get_parts(out))
    return out[shapely.area(out) > 0]


Move = Callable[[Any, Any], tuple[NDArray[Any], NDArray[Any]]]


def _followed(
    points: NDArray[Any], ring: NDArray[Any], move: Move, near: float, turning: bool
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Halve edges until their images are straight; give the points, their images, and their rings."""
    there = np.stack(move(*points.T), axis=-1)
    for _ in range(ROUNDS):
        if not np.isfinite(there).all():
            return points, there, ring
        first = np.flatnonzero(ring[1:] == ring[:-1])
        steps = points[first + 1] - points[first], there[first + 1] - there[first]
        bent = np.zeros(len(first), bool)
        for share in (0.2, 0.5):  # a line that bends to both sides may cross its middle
            between = points[first] + share * steps[0]
            image = np.stack(move(*between.T), axis=-1)
            off = image - there[first] - share * _turned(steps[1], turning)
            bent |= ~(np.hypot(*_turned(off, turning).T) <= near)
        if not bent.any():
            return points, there, ring
        at = first[bent] + 1
        points = np.insert(points, at, between[bent], axis=0)
        there = np.insert(there, at, image[bent], axis=0)
        ring = np.insert(ring, at, ring[at])
    raise ValueError(
        "the area lies across a line along which the CRS of the field is torn; cut it there, and give the parts"
    )


def _turned(step: NDArray[Any], turning: bool) -> NDArray[Any]:
    """Give steps in longitude the short way."""
    if not turning:
        return step
    turns = TURN * np.round(step[:, :1] / TURN)
    return step - np.concatenate([turns, np.zeros_like(turns)], axis=1)


def _unturned(
    there: NDArray[Any], ring: NDArray[Any], rings: NDArray[Any], back: Move
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Let longitudes along rings go on past the date line; a ring around a pole goes along it."""
    out, which = [], []
    starts = np.flatnonzero(np.diff(ring, prepend=-1))
    for k, part in enumerate(np.split(there, starts[1:])):
        xy = part.copy()
        xy[:, 0] = np.unwrap(xy[:, 0], period=TURN)
        if abs(xy[-1, 0] - xy[0, 0]) > TURN / 2:
            pole = _pole_in(rings[k], back)
            xy = np.concatenate([xy, [[xy[-1, 0], pole], [xy[0, 0], pole], xy[0]]])
        out.append(xy)
        which.append(np.full(len(xy), k))
    return np.concatenate(out), np.concatenate(which)


def _less_holes(lines: NDArray[Any], owner: NDArray[Any]) -> NDArray[Any]:
    """Give polygons in longitude and latitude, whose holes may be a turn further, or reach a pole, too."""
    import shapely

    parts = shapely.polygons(lines)
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    out = parts[first]
    for k in np.unique(np.delete(owner, first)):
        holes = parts[owner == k][1:]
        every = [shifted(holes, k * TURN) for k in (-2, -1, 0, 1, 2)]
        gone = shapely.union_all(np.concatenate(every), grid_size=SNAP)  # no slit between turns
        out[k] = shapely.difference(out[k], gone)
    return np.asarray(shapely.get_parts(out))


def _pole_in(ring: Any, back: Move) -> float:
    """Give the latitude of the pole that a ring goes around."""
    import shapely

    shape = shapely.polygons(ring)
    for pole in (90.0, -90.0):
        x, y = (float(v) for v in back(0.0, pole))
        if np.isfinite([x, y]).all() and shapely.intersects_xy(shape, x, y):
            return pole
    raise ValueError("a polygon of the area goes around the Earth; cut it at the date line")
