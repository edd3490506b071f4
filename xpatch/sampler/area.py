"""Areas: polygons in any CRS, and where they are in that of a field."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import places as pl
from xpatch.domain.areas import cut, moved
from xpatch.domain.bounds import Bounds, checked_bounds, halves, moved_bounds, read_crs, same
from xpatch.domain.turns import TURN
from xpatch.sampler.reading import crs_of, is_geometry
from xpatch.sampler.slices import slices_in
from xpatch.spec import is_number

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
        known = target if crs is None else crs
        if known is None and given[0] > given[2]:
            known = 4326  # where that means across the date line; asked without a field
        bounds = checked_bounds(given, known)
        return [(polygons(_box(bounds)), crs)]
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
    import shapely

    shapes, source = group
    if source is None:
        return shapes
    pl.check_known(source, target, "the polygons of the area")
    if same(source, target):
        return shapes
    own, other = read_crs(source), read_crs(target)
    if own.is_geographic:
        shapes = _clipped(shapes, around, target, source)
    shapes = moved(shapes, own, other, near)
    return shapes[shapely.area(shapes) > 0]


def _clipped(shapes: NDArray[Any], around: Bounds, crs: Any, source: Any) -> NDArray[Any]:
    """Cut polygons in longitude and latitude to what is around a field, and at the date line."""
    found = []
    for left, bottom, right, top in _around(around, crs, source):
        margin = 1e-3 * max(right - left, top - bottom)
        low, high = max(left - margin, -180.0), min(right + margin, 180.0)
        found.append(cut(shapes, (low, max(bottom - margin, -90.0), high, min(top + margin, 90.0))))
    return np.concatenate(found)


def _around(bounds: Bounds, crs: Any, source: Any) -> list[Bounds]:
    """Give the longitudes and latitudes of a field: all, if parts of it are nowhere on Earth."""
    left, bottom, right, top = bounds
    corners = pl.mover(crs, source)([left, left, right, right], [bottom, top, bottom, top])
    if not np.isfinite(corners).all():
        return [(-180.0, -90.0, 180.0, 90.0)]
    return halves(moved_bounds(bounds, crs, source))
