"""Areas that are asked for, in the CRS of a table: boxes and geometries, across the dateline and poles."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch.catalogs.optional import optional
from xpatch.domain.areas import cut, moved, shifted
from xpatch.domain.bounds import checked_bounds, read_crs, same
from xpatch.domain.turns import TURN


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
    source = None if source is None else read_crs(source)
    if source is not None and table_crs is None:
        raise ValueError(
            f"bounds are in {ax.crs_name(source)}, and the table has no CRS; say which it is in: "
            "gdf.set_crs(…), or that the bounds are in the same: crs=None"
        )
    source = table_crs if source is None else source
    geometry = _geometry(bounds, source)
    if not same(source, table_crs):
        parts = geometry
        if source.is_geographic and not table_crs.is_geographic:
            parts = cut(parts)
        geometry = optional("shapely").union_all(moved(parts, source, table_crs))
    if table_crs is None or not table_crs.is_geographic:
        return Area((geometry,), False)
    return Area(tuple(shifted(geometry, turns * TURN) for turns in (-1, 0, 1)), True)


def _geometry(bounds: Any, crs: Any) -> Any:
    """Give bounds as a geometry; longitudes of a box across the dateline go on beyond 180."""
    shapely = optional("shapely")
    if hasattr(bounds, "geom_type") or hasattr(bounds, "geometry"):
        one = isinstance(bounds, shapely.Geometry)
        found = bounds if one else shapely.union_all(np.asarray(bounds.geometry))
        if found.is_empty:
            raise ValueError(f"bounds must be a geometry that is not empty, got {bounds!r}")
        return found
    values = bounds if isinstance(bounds, tuple | list) else np.asarray(bounds)
    west, south, east, north = checked_bounds(values, crs, flat=True)
    if (
        crs is not None
        and crs.is_geographic
        and (max(abs(south), abs(north)) > 90 or max(abs(west), abs(east)) > TURN)
    ):
        raise ValueError(
            f"bounds={bounds!r} are no (west, south, east, north) in degrees; name their CRS: crs=…"
        )
    box = shapely.box(west, south, east + TURN * (west > east), north)
    return box if box.area > 0 else shapely.make_valid(box)  # a line or a point
