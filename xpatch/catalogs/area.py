"""Areas that are asked for, in the CRS of a table: boxes and geometries, across the dateline and poles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch.catalogs.optional import optional
from xpatch.domain.places import mover
from xpatch.domain.turns import TURN

PIECES = 256  # into which the longer side of an area is cut before it is transformed
MOST_PIECES = 2**16
AT_POLE = 90 - 1e-9
STEP = 30.0  # degrees of longitude between vertices, above which an edge is too near to a pole

Move = Callable[[Any, Any], tuple[NDArray, NDArray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Area:
    """An area in the CRS of a table; of longitudes with its copies one turn to the west and east.

    Parameters
    ----------
    parts : tuple of shapely geometries
        The area and its copies.
    geographic : bool
        Whether x is a longitude.
    """

    parts: tuple[Any, ...]
    geographic: bool

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Bounds of the parts, (part, 4)."""
        found: NDArray[np.float64] = optional("shapely").bounds(np.array(self.parts))
        return found

    def touches(self, footprints: Any) -> NDArray[np.bool_]:
        """Whether footprints intersect or touch the area, (footprint,)."""
        shapely = optional("shapely")
        found = np.zeros(len(footprints), bool)
        for part in self.parts:
            shapely.prepare(part)
            found |= shapely.intersects(part, footprints)
        return found


def area_of(bounds: Any, crs: Any, table_crs: Any) -> Area:
    """Give the area that is asked for in the CRS of a table.

    Parameters
    ----------
    bounds : tuple, shapely geometry, GeoSeries or GeoDataFrame
        (west, south, east, north), or what footprints are to intersect.
    crs
        CRS of the bounds, if they do not say it themselves; None: that of the table.
    table_crs
        CRS of the table, or None.

    Raises
    ------
    TypeError, ValueError
        If the bounds are no bounds, a CRS is missing, or they reach to where it is not defined.
    """
    source = getattr(bounds, "crs", None)
    source = crs if source is None else source
    source = None if source is None else ax.as_crs(source)
    if source is not None and table_crs is None:
        raise ValueError(
            f"bounds are in {ax.crs_name(source)}, and the table has no CRS; say which it is in: "
            "gdf.set_crs(…), or that the bounds are in the same: crs=None"
        )
    source = table_crs if source is None else source
    geometry = _geometry(bounds, source is not None and source.is_geographic)
    if source is not None and not ax.same_crs(source, table_crs):
        geometry = moved(geometry, source, table_crs)
    if table_crs is None or not table_crs.is_geographic:
        return Area((geometry,), False)
    return Area(tuple(_shifted(geometry, turns) for turns in (-1, 0, 1)), True)


def _geometry(bounds: Any, geographic: bool) -> Any:
    """Give bounds as a geometry; longitudes of a box across the dateline go on beyond 180."""
    shapely = optional("shapely")
    if hasattr(bounds, "geom_type") or hasattr(bounds, "geometry"):
        one = isinstance(bounds, shapely.Geometry)
        found = bounds if one else shapely.union_all(np.asarray(bounds.geometry))
        if found.is_empty:
            raise ValueError(f"bounds must be a geometry that is not empty, got {bounds!r}")
        return found
    try:
        west, south, east, north = (float(v) for v in bounds)
    except (TypeError, ValueError):
        raise TypeError(
            "bounds must be (west, south, east, north), a shapely geometry or a GeoSeries, got "
            f"{bounds!r}"
        ) from None
    if not np.isfinite([west, south, east, north]).all() or south > north:
        raise ValueError(f"bounds must be finite (west, south ≤ north, east …), got {bounds!r}")
    reach = max(abs(south), abs(north)), max(abs(west), abs(east))
    if geographic and (reach[0] > 90 or reach[1] > TURN):
        raise ValueError(
            f"bounds={bounds!r} are no (west, south, east, north) in degrees; name their CRS: crs=…"
        )
    if west > east and not geographic:
        raise ValueError(
            f"bounds must be (west, south, east, north) with west ≤ east, got {bounds!r}"
        )
    return shapely.box(west, south, east + TURN * (west > east), north)


def _shifted(geometry: Any, turns: int) -> Any:
    """Move a geometry by whole turns of longitude."""
    return optional("shapely").transform(geometry, lambda xy: xy + np.array([turns * TURN, 0.0]))


# ----------------------------------------------------------------------------------- other CRSs


def moved(geometry: Any, source: Any, target: Any) -> Any:
    """Transform a geometry, with vertices added so that edges stay where they are.

    Longitudes that come out are continuous: they may lie beyond ±180. What holds a pole reaches to it.

    Raises
    ------
    ValueError
        If part of it is not defined in the other CRS.
    """
    shapely = optional("shapely")
    to_target, to_source = mover(source, target), mover(target, source)
    if target.is_geographic:
        parts = [_unwrapped(p, to_target, to_source) for p in _simple(geometry)]
        return shapely.union_all(parts)
    if source.is_geographic:
        world = shapely.box(-180, -90, 180, 90)
        pieces = [shapely.intersection(_shifted(geometry, k), world) for k in (-1, 0, 1)]
        geometry = shapely.union_all(pieces)
    return shapely.union_all([_flat(p, to_target) for p in _simple(geometry)])


def _simple(geometry: Any) -> list[Any]:
    """Give the points, lines and polygons of a geometry."""
    if not hasattr(geometry, "geoms"):
        return [] if geometry.is_empty else [geometry]
    return [p for part in geometry.geoms for p in _simple(part)]


def _dense(geometry: Any, pieces: int) -> Any:
    shapely = optional("shapely")
    west, south, east, north = geometry.bounds
    longest = max(east - west, north - south)
    return shapely.segmentize(geometry, longest / pieces) if longest else geometry


def _flat(part: Any, move: Move) -> Any:
    """Transform to a plane, where an edge that jumps has left what the CRS is made for."""
    shapely = optional("shapely")
    dense = _dense(part, PIECES)
    rings = [dense.exterior, *dense.interiors] if part.geom_type == "Polygon" else [dense]
    for ring in rings:
        before = shapely.get_coordinates(ring)
        after = np.stack(move(*before.T), axis=-1)
        middle = np.stack(move(*((before[1:] + before[:-1]) / 2).T), axis=-1)
        bend = np.linalg.norm(middle - (after[1:] + after[:-1]) / 2, axis=1)
        length = np.linalg.norm(after[1:] - after[:-1], axis=1)
        if not np.isfinite(after).all() or not (bend <= length / 4 + 1e-6).all():
            raise ValueError(
                f"bounds {part.bounds} reach beyond where the CRS of the table is defined; ask for "
                "less, or give them in that CRS"
            )
    found = shapely.transform(dense, lambda xy: np.stack(move(*xy.T), axis=-1))
    return found if found.is_valid else shapely.make_valid(found)


def _unwrapped(part: Any, move: Move, back: Move) -> Any:
    """Transform to longitude and latitude without jumps of longitude."""
    shapely = optional("shapely")
    if part.geom_type != "Polygon":
        found = _path(part, move)
        return shapely.Point(found[0]) if len(found) == 1 else shapely.LineString(found)
    shell = _ring(part.exterior, move, back)
    holes = shapely.union_all([_ring(hole, move, back) for hole in part.interiors])
    turns = [_shifted(holes, k) for k in (-1, 0, 1)] if part.interiors else []
    return shapely.difference(shell, shapely.union_all(turns)) if turns else shell


def _path(line: Any, move: Move) -> NDArray[np.float64]:
    """Give the vertices of a transformed line, (vertex, 2), so near that longitudes can be followed."""
    shapely, pieces = optional("shapely"), PIECES
    while pieces <= MOST_PIECES:
        lon, lat = move(*shapely.get_coordinates(_dense(line, pieces)).T)
        if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
            raise ValueError(f"bounds {line.bounds} reach to where their CRS has no longitudes")
        if line.geom_type == "LinearRing":
            lon, lat = _corners_at_poles(lon, lat)
        lon = np.unwrap(lon, period=TURN)
        steps = np.abs(np.diff(lon))[np.abs(lat[1:]) < AT_POLE]
        if not steps.size or steps.max() <= STEP:
            return np.stack([lon, lat], axis=-1)
        pieces *= 4
    raise ValueError(
        f"an edge of the bounds {line.bounds} comes too near to a pole to be followed; move it"
    )


def _corners_at_poles(lon: NDArray, lat: NDArray) -> tuple[NDArray, NDArray]:
    """Give a vertex at a pole the longitudes of both edges that meet there, one after the other."""
    for k in np.flatnonzero(np.abs(lat) >= AT_POLE)[::-1]:
        # a ring ends where it starts
        before, after = lon[k - 1 if k else -2], lon[k + 1 if k + 1 < len(lon) else 1]
        if abs((after - before + TURN / 2) % TURN - TURN / 2) > TURN / 2 - STEP:
            raise ValueError(
                "an edge of the bounds goes through a pole, where it has no longitude; move it"
            )
        lon = np.concatenate([lon[:k], [before, after], lon[k + 1 :]])
        lat = np.insert(lat, k, lat[k])
    return lon, lat


def _ring(ring: Any, move: Move, back: Move) -> Any:
    """Transform a ring to the polygon that it encloses; around a pole it reaches to the pole."""
    shapely = optional("shapely")
    path = _path(ring, move)
    if abs(path[-1, 0] - path[0, 0]) > TURN / 2:
        x, y = back(np.zeros(2), np.array([90.0, -90.0]))
        inside = shapely.contains_xy(shapely.Polygon(ring), x, y)
        if inside.sum() != 1:
            raise ValueError(f"bounds {ring.bounds} hold {inside.sum()} poles; ask for less")
        pole = 90.0 if inside[0] else -90.0
        path = np.vstack([path, [path[-1, 0], pole], [path[0, 0], pole]])
    found = shapely.Polygon(path)
    return found if found.is_valid else shapely.make_valid(found)
