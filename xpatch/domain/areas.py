"""Areas: points, lines and polygons in another CRS, across the date line and around poles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch.domain.bounds import Bounds, read_crs
from xpatch.domain.places import mover
from xpatch.domain.turns import TURN

ROUNDS = 24  # in which an edge is halved, so that it follows a bent line
NEAR = 1e-7  # of the extent of an area, by which its edges may be off where nobody says
ROUNDING = 1e-9  # relative to coordinates
POINT = 1e-6  # relative, in which a pole is a point: authalic ones are off by decimeters
BESIDE = 1e-4  # of an edge, as far from a pole as its longitude is looked for
WORLD = (-180.0, -90.0, 180.0, 90.0)
MOST_TURNS = (-2, -1, 0, 1, 2)  # by which longitudes of one polygon differ

Move = Callable[[Any, Any], tuple[NDArray[Any], NDArray[Any]]]
Floats = NDArray[np.float64]


def moved(shapes: Any, source: Any, target: Any, near: float | None = None) -> NDArray[Any]:
    """Give geometries in another CRS; their edges stay lines of the first.

    Parameters
    ----------
    shapes : shapely geometry or array of geometries
        Valid ones of any kind.
    source, target
        Anything that pyproj takes.
    near : float, optional
        By how much an edge may be off, in units of the target. Default: 1e-7 of the extent.

    Returns
    -------
    array of shapely points, lines and polygons
        The parts, in any order. Longitudes are continuous, and may lie beyond ±180; a polygon around a
        pole reaches up to it, from −180 to 180.

    Raises
    ------
    ValueError
        If they reach where the other CRS has no coordinates or is torn, or around the Earth.

    Examples
    --------
    >>> import shapely
    >>> cap = shapely.Point(0, 0).buffer(1e6)
    >>> [polygon] = moved(cap, 3413, 4326)
    >>> shapely.bounds(polygon).round(1)
    array([-180. ,   80.8,  180. ,   90. ])
    """
    import shapely

    own, other = read_crs(source), read_crs(target)
    parts = parts_of(shapes)
    flat = shapely.get_type_id(parts) == 3
    rings, owner = shapely.get_rings(parts[flat], return_index=True)
    lines = np.concatenate([rings, parts[~flat]])
    if not len(lines):
        return parts
    turning = bool(other.is_geographic)
    poles = _poles(mover(other, own)) if turning else []
    there, line = _followed(lines, poles, mover(own, other), near, ax.crs_name(other), turning)
    ends = np.searchsorted(line, len(rings))
    if turning:
        out = _less_holes(there[:ends], line[:ends], rings, owner, poles)
    else:
        out = shapely.linearrings(there[:ends], indices=line[:ends])
        out = shapely.polygons(out, indices=owner)
    bad = ~shapely.is_valid(out)  # rings that now touch themselves
    out[bad] = shapely.make_valid(out[bad])
    single = shapely.get_type_id(parts[~flat]) == 0
    others = _points_and_lines(single, there[ends:], line[ends:] - len(rings))
    return parts_of(np.concatenate([out, others]))


def parts_of(shapes: Any) -> NDArray[Any]:
    """Give the points, lines and polygons of geometries that are not empty."""
    import shapely

    parts = np.atleast_1d(np.asarray(shapes, object)).ravel()
    while (shapely.get_type_id(parts) > 3).any():
        parts = shapely.get_parts(parts)
    return np.asarray(parts[shapely.is_geometry(parts) & ~shapely.is_empty(parts)])


def shifted(shapes: Any, x: float) -> Any:
    """Move geometries along x."""
    import shapely

    return shapes if not x else shapely.transform(shapes, lambda p: p + np.array([x, 0.0]))


def cut(shapes: Any, bounds: Bounds = WORLD) -> NDArray[Any]:
    """Cut geometries in longitude and latitude to a box within ±180, where they are a turn further, too.

    What only touches the box is left as points and lines.
    """
    import shapely

    parts, box, found = parts_of(shapes), shapely.box(*bounds), []
    left, _, right, _ = shapely.bounds(parts).T
    for turn in (-TURN, 0.0, TURN):
        near = (left + turn <= bounds[2]) & (right + turn >= bounds[0])
        found.append(parts_of(shapely.intersection(shifted(parts[near], turn), box)))
    return np.concatenate(found)


def cap(ring: NDArray, pole: float) -> Any:
    """Give the polygon between a pole and a ring around it, from −180 to 180.

    Parameters
    ----------
    ring : array (point, 2)
        Continuous longitudes, and latitudes, without the first point at the end.
    pole : float
        90 or −90.
    """
    import shapely

    ring = ring if ring[-1, 0] >= ring[0, 0] else ring[::-1]
    copies = np.concatenate([ring + np.array([k * TURN, 0]) for k in MOST_TURNS])
    ends = [[copies[-1, 0], pole], [copies[0, 0], pole]]
    whole = shapely.make_valid(shapely.Polygon(np.concatenate([copies, ends])))
    return shapely.intersection(whole, shapely.box(*WORLD))


# -------------------------------------------------------------------------------- along edges


def _followed(
    lines: NDArray[Any],
    poles: list[tuple[float, Floats]],
    move: Move,
    near: float | None,
    name: str,
    turning: bool,
) -> tuple[Floats, NDArray[np.intp]]:
    """Halve edges until their images are straight; give the images, and which line each is of."""
    import shapely

    points, line = shapely.get_coordinates(lines, return_index=True)
    there = _images(points, move, name)
    if near is None:
        extent = np.ptp(_continuous(there, line) if turning else there, axis=0)
        near = max(NEAR * float(extent.max()), _tiny(there))
    for pole, at in poles:
        points, there, line = _at_pole(points, there, line, move, pole, at)
    for _ in range(ROUNDS):
        first = np.flatnonzero(line[1:] == line[:-1])
        steps = points[first + 1] - points[first], there[first + 1] - there[first]
        bent = np.zeros(len(first), bool)
        for share in (0.2, 0.5):  # a line that bends to both sides may cross its middle
            between = points[first] + share * steps[0]
            image = _images(between, move, name)
            off = image - there[first] - share * _turned(steps[1], turning)
            bent |= np.hypot(*_turned(off, turning).T) > near
        bent &= steps[0].any(axis=1)  # along a pole there are two images of one point
        if not bent.any():
            return (_continuous(there, line) if turning else there), line
        second = first[bent] + 1
        points = np.insert(points, second, between[bent], axis=0)
        there = np.insert(there, second, image[bent], axis=0)
        line = np.insert(line, second, line[second])
    raise ValueError(
        f"an edge of the area goes through a pole, or a line along which {name} is torn; cut the area there, "
        "and give the parts"
    )


def _images(points: Floats, move: Move, name: str) -> Floats:
    there = np.stack(move(*points.T), axis=-1)
    if not np.isfinite(there).all():
        raise ValueError(
            f"the area reaches where {name} has no coordinates; cut it first to where there are some"
        )
    return there


def _turned(step: Floats, turning: bool) -> Floats:
    """Give steps in longitude the short way."""
    return step - np.array([TURN, 0.0]) * np.round(step[:, :1] / TURN) if turning else step


def _continuous(there: Floats, line: NDArray[np.intp]) -> Floats:
    """Let longitudes along lines go on past the date line."""
    first = np.diff(line, prepend=-1) != 0
    turns = np.round(np.diff(there[:, 0], prepend=0.0) / TURN)
    turns[first] = 0
    turns = np.cumsum(turns)
    return there - np.array([TURN, 0.0]) * (turns - turns[first][line])[:, None]


# ------------------------------------------------------------------------------------- at poles


def _poles(back: Move) -> list[tuple[float, Floats]]:
    """Give the latitudes and places of the poles that are points of a CRS."""
    found = []
    for pole in (90.0, -90.0):
        at = np.stack(back([0.0, 120.0], [pole, pole]), axis=-1)
        if np.isfinite(at).all() and np.ptp(at, axis=0).max() <= POINT * np.abs(at).max():
            found.append((pole, at[0]))
    return found


def _tiny(points: Floats) -> float:
    return ROUNDING * max(1.0, float(np.abs(points).max()))


def _at_pole(
    points: Floats, there: Floats, line: NDArray[np.intp], move: Move, pole: float, at: Floats
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Give a vertex at a pole the longitudes of both edges that meet there, one after the other."""
    for k in np.flatnonzero(np.abs(points - at).max(axis=1) <= _tiny(points))[::-1]:
        first, last = np.searchsorted(line, line[k]), np.searchsorted(line, line[k], "right") - 1
        closed = (points[first] == points[last]).all()
        before = k - 1 if k > first else None
        after = k + 1 if k < last else first + 1 if closed and first < last else None
        beside = [p for p in (before, after) if p is not None]
        if not beside:  # a point
            continue
        longitudes = [_leaving(points[k], points[p], move) for p in beside]
        there = np.concatenate([there[:k], [[lon, pole] for lon in longitudes], there[k + 1 :]])
        often = np.ones(len(points), np.intp)
        often[k] = len(beside)
        points, line = np.repeat(points, often, axis=0), np.repeat(line, often)
    return points, there, line


def _leaving(pole: Floats, other: Floats, move: Move) -> float:
    """Give the longitude along which an edge leaves a pole."""
    near = pole + BESIDE * np.array([[1], [2]]) * (other - pole)
    one, two = _continuous(np.stack(move(*near.T), axis=-1), np.zeros(2, np.intp))[:, 0]
    return float(2 * one - two)


# ----------------------------------------------------------------------------------- as polygons


def _less_holes(
    there: Floats,
    line: NDArray[np.intp],
    rings: NDArray[Any],
    owner: NDArray[np.intp],
    poles: list[tuple[float, Floats]],
) -> NDArray[Any]:
    """Give polygons in longitude and latitude, whose holes may be a turn further, or reach a pole, too."""
    import shapely

    if not len(rings):
        return rings
    first = np.flatnonzero(np.diff(line, prepend=-1))
    around = np.abs(there[np.append(first[1:], len(line)) - 1, 0] - there[first, 0]) > TURN / 2
    _check_one_pole(rings[~around], poles)
    left, _, right, _ = shapely.bounds(shapely.linearrings(there, indices=line)).T
    shell = np.flatnonzero(np.diff(owner, prepend=-1))
    turns = np.round(((left + right)[shell][owner] - (left + right)) / 2 / TURN)
    there = there + np.array([TURN, 0.0]) * turns[line][:, None]
    out = shapely.polygons(shapely.linearrings(there, indices=line), indices=owner)
    paths = np.split(there, first[1:])
    for k in np.unique(owner[around | (right - left > TURN)]):
        pieces = [
            cap(paths[j][:-1], _pole_in(rings[j], poles))
            if around[j]
            else shapely.make_valid(shapely.Polygon(paths[j]))
            for j in np.flatnonzero(owner == k)
        ]
        holes = shapely.union_all(pieces[1:])
        gone = shapely.union_all([shifted(holes, n * TURN) for n in MOST_TURNS])
        out[k] = shapely.difference(pieces[0], gone)
    return np.asarray(out)


def _pole_in(ring: Any, poles: list[tuple[float, Floats]]) -> float:
    """Give the latitude of the pole that a ring goes around."""
    import shapely

    shape = shapely.Polygon(ring)
    for pole, at in poles:
        if shapely.dwithin(shape, shapely.Point(at), _tiny(at)):
            return pole
    raise ValueError("a polygon of the area goes around the Earth; cut it at the date line")


def _check_one_pole(rings: NDArray[Any], poles: list[tuple[float, Floats]]) -> None:
    """Raise a ValueError if rings hold both poles, so that what is outside of them is inside on the Earth."""
    import shapely

    shapes = shapely.polygons(rings)
    inside = [shapely.contains_xy(shapes, *at) for _, at in poles]
    if len(inside) == 2 and (inside[0] & inside[1]).any():
        raise ValueError("a polygon of the area holds both poles; cut it between them")


def _points_and_lines(
    single: NDArray[np.bool_], there: Floats, line: NDArray[np.intp]
) -> NDArray[Any]:
    """Give points, and lines."""
    import shapely

    alone, number = single[line], np.cumsum(~single) - 1
    lines = shapely.linestrings(there[~alone], indices=number[line[~alone]])
    return np.concatenate([shapely.points(there[alone]), lines])
