"""Neighborhoods inside of polygons."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import Lattice, Sites
from xpatch.domain.axes import as_crs, crs_name, import_shapely
from xpatch.domain.places import mover
from xpatch.engine.distinct import distinct
from xpatch.geometry.base import MemberGeometry, Places, members_of
from xpatch.neighborhood import Members

BLOCK = 1 << 22  # cells looked at in one go


@dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)
class PolygonIntersection(MemberGeometry):
    """One patch per polygon: the elements in it, in the order of the field.

    An element is in a polygon if its center (cell center, centroid of a polygon, center of a mesh
    face) lies in it or on its border. A polygon that holds none gives an empty patch. Longitudes are
    also looked for one turn further east and west; a polygon across the dateline is given with
    longitudes that go on past 180 degrees (170 to 190), or as two parts.

    Parameters
    ----------
    polygons : GeoSeries, GeoDataFrame, array of shapely geometries, or DataArray of them
        The polygons; multipolygons and holes are allowed. If they know their CRS they are
        transformed to that of the field.
    all_touched : bool, default: False
        Take every element that touches the polygon: cells with any part in it, polygons that
        intersect it.
    crs : optional
        CRS of polygons that do not know it; default: that of the field.
    dim : hashable, optional
        Dimension of the elements, where the field has several.

    Raises
    ------
    TypeError
        If none are given; in the split, if they are lines or points.
    ValueError
        In the split, if some are missing or have NaN coordinates, if their CRS is known and that of
        the field is not (of a GeoSeries also the other way round), or if they cannot be transformed.

    Examples
    --------
    >>> import shapely
    >>> y = x = np.arange(4.0)
    >>> field = xr.DataArray(np.arange(16.0).reshape(4, 4), {"y": y, "x": x})
    >>> basins = [shapely.box(0, 0, 1, 0), shapely.Polygon([(1, 1), (3, 1), (3, 3)])]
    >>> patches = field.patch.split(geometry=xpatch.PolygonIntersection(basins))
    >>> patches.count("cell").values, patches.mean("cell").values
    (array([2, 6]), array([0.5, 9. ]))
    """

    polygons: Any
    all_touched: bool = False
    crs: Any = None
    dim: Hashable | None = None
    empty = "keep"

    def __init__(
        self,
        polygons: Any = None,
        all_touched: bool = False,
        crs: Any = None,
        dim: Hashable | None = None,
    ):
        if polygons is None:
            raise TypeError(
                "PolygonIntersection needs polygons: a GeoSeries, or shapely geometries"
            )
        values = {"polygons": polygons, "all_touched": all_touched, "crs": crs, "dim": dim}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def shapes(self) -> NDArray:
        """The polygons as they were given."""
        shapely = import_shapely()
        given = self.polygons
        given = getattr(given, "geometry", given)  # of a GeoDataFrame
        shapes = np.atleast_1d(np.asarray(getattr(given, "values", given), dtype=object))
        if shapes.ndim != 1 or not len(shapes) or not shapely.is_geometry(shapes).all():
            raise ValueError(
                "PolygonIntersection expects a one-dimensional, non-empty series of polygons "
                f"without missing ones, got {type(self.polygons).__name__} of shape {shapes.shape}"
            )
        kinds = shapely.get_type_id(shapes)
        if not np.isin(kinds, (3, 6)).all():
            other = shapes[~np.isin(kinds, (3, 6))][0].geom_type
            raise TypeError(f"PolygonIntersection expects polygons, got a {other}; buffer it first")
        if not np.isfinite(shapely.bounds(shapes))[~shapely.is_empty(shapes)].all():
            raise ValueError("some polygons have NaN coordinates")
        return shapes

    def transformed(self, sites: Sites) -> NDArray:
        """Give the polygons in the coordinates of the field."""
        source = getattr(self.polygons, "crs", None) or self.crs
        xindexes = getattr(self.polygons, "xindexes", {})
        for index in xindexes.values() if source is None else ():
            source = getattr(index, "crs", None) or source
        target = sites.known_crs
        if source is None and hasattr(self.polygons, "set_crs") and sites.crs is not None:
            raise ValueError(
                f"the polygons know no CRS, but the field is in {crs_name(sites.crs)}; say which "
                "one they are in: polygons.set_crs(…), or PolygonIntersection(polygons, crs=…)"
            )
        if source is None:
            return _in_degrees(self.shapes) if sites.geographic else self.shapes
        if target is None:
            raise ValueError(
                f"the polygons are in {crs_name(as_crs(source))}, but the field has no CRS; write "
                "one with field.rio.write_crs(…)"
            )
        source, target = as_crs(source), as_crs(target)
        if source == target:
            return self.shapes
        import shapely

        move = mover(source, target)

        def change(points: NDArray) -> NDArray:
            return np.stack(move(points[:, 0], points[:, 1]), axis=-1)

        out = shapely.transform(self.shapes, change)
        if target.is_geographic and not source.is_geographic:
            out = np.array([unwrapped(shape) for shape in out], dtype=object)
        if not np.isfinite(shapely.bounds(out))[~shapely.is_empty(out)].all():
            raise ValueError(
                f"some polygons cannot be transformed from {crs_name(source)} to "
                f"{crs_name(target)}: they reach beyond where that is defined"
            )
        return out

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-able values; the polygons are not written."""
        return {**super().to_dict(), "polygons": None}

    def candidates(self, domain: Lattice) -> Places:
        import shapely

        shapes = self.transformed(self.outline(domain))
        points = shapely.point_on_surface(shapes)
        x, y = np.full((2, len(points)), np.nan)
        there = np.flatnonzero(~shapely.is_empty(points))
        x[there], y[there] = shapely.get_x(points[there]), shapely.get_y(points[there])
        numbers = np.arange(len(points))
        return Places(np.full(len(points), -1), x, y, polygons=numbers, shapes=shapes)

    def neighborhood(self, domain: Lattice, places: Places) -> Members:
        sites = self.outline(domain)
        every = self.transformed(sites)
        numbers = places.polygons
        if numbers is None or numbers.max(initial=-1) >= len(every):
            raise ValueError(
                f"the patches of PolygonIntersection are its {len(every)} polygons; choose some of "
                "them by number, Explicit([0, 3]), by Random(n) or Valid(…), or give the patches of "
                "these polygons on another field"
            )
        shapes = every[numbers]
        patches, elements = inside(sites, shapes, self.all_touched)
        x, y = sites.x[elements], sites.y[elements]
        if sites.geographic:
            distances = sphere.haversine(x, y, places.x[patches], places.y[patches])
        else:
            distances = np.hypot(x - places.x[patches], y - places.y[patches])
        scales = np.zeros(len(shapes))
        np.maximum.at(scales, patches, distances)
        return members_of(sites, patches, elements, distances, scales, len(shapes))


def _in_degrees(shapes: NDArray) -> NDArray:
    """Raise a ValueError if polygons without CRS cannot be longitude and latitude."""
    import shapely

    bounds = shapely.bounds(shapes)
    far = (
        np.nanmax(np.abs(bounds[:, [0, 2]]), initial=0),
        np.nanmax(np.abs(bounds[:, [1, 3]]), initial=0),
    )
    if far[0] > 720 or far[1] > 360:  # no degrees, however they were turned
        raise ValueError(
            f"the field has longitude and latitude, but polygons without CRS reach to x = {far[0]:g}, "
            f"y = {far[1]:g}; say which CRS they are in: PolygonIntersection(polygons, crs=…)"
        )
    return shapes


def unwrapped(shape: Any) -> Any:
    """Let the longitudes of a polygon that a transformation cut at the dateline go on past it."""
    import shapely

    low, _, high, _ = shape.bounds if not shape.is_empty else (0, 0, 0, 0)
    if high - low <= 180:
        return shape
    parts = []
    for polygon in getattr(shape, "geoms", [shape]):
        rings = []
        for ring in (polygon.exterior, *polygon.interiors):
            xy = np.asarray(ring.coords)[:, :2].copy()
            xy[:, 0] = np.unwrap(xy[:, 0], period=360)
            rings.append(xy)
        parts.append(shapely.Polygon(rings[0], rings[1:]))
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def inside(
    sites: Sites, shapes: NDArray, all_touched: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the elements in each polygon, sorted by patch and then by element."""
    import shapely

    turns = (-360.0, 0.0, 360.0) if sites.geographic else (0.0,)
    patches, elements = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for turn in turns:
        moved = (
            shapely.transform(shapes, lambda p, t=turn: p + np.array([t, 0.0])) if turn else shapes
        )
        found = (
            _in_window(sites, moved, all_touched)
            if sites.axes
            else _by_tree(sites, moved, all_touched)
        )
        patches.append(found[0])
        elements.append(found[1])
    n = max(1, len(sites))
    pairs = distinct(np.concatenate(patches) * np.int64(n) + np.concatenate(elements))
    return pairs // n, pairs % n


def _by_tree(sites: Sites, shapes: NDArray, all_touched: bool) -> tuple[NDArray, NDArray]:
    import shapely

    known = sites.known
    if all_touched and sites.geometries is not None:
        parts = sites.geometries[known]
    elif all_touched and sites.outlines is not None:
        parts = sites.outlines(known)
    else:
        parts = shapely.points(sites.x[known], sites.y[known])
    found, element = shapely.STRtree(parts).query(shapes, predicate="intersects")
    return found.astype(np.int64), known[element]


def _in_window(sites: Sites, shapes: NDArray, all_touched: bool) -> tuple[NDArray, NDArray]:
    """Look at the rows and columns of a lattice that each polygon spans."""
    import shapely

    assert sites.axes is not None
    (y, y_edges), (x, x_edges) = ((a, _edges(a)) for a in sites.axes)
    patches, elements = [], []
    for k, (shape, bounds) in enumerate(zip(shapes, shapely.bounds(shapes), strict=True)):
        if not np.isfinite(bounds).all():
            continue
        rows = np.flatnonzero((y_edges.max(0) >= bounds[1]) & (y_edges.min(0) <= bounds[3]))
        columns = np.flatnonzero((x_edges.max(0) >= bounds[0]) & (x_edges.min(0) <= bounds[2]))
        if not len(rows) or not len(columns):
            continue
        shapely.prepare(shape)
        for some in np.array_split(rows, -(-len(rows) * len(columns) // BLOCK)):
            row, column = (a.ravel() for a in np.meshgrid(some, columns, indexing="ij"))
            if all_touched:
                low = x_edges[0, column], y_edges[0, row]
                high = x_edges[1, column], y_edges[1, row]
                hit = shapely.intersects(shape, shapely.box(*low, *high))
            else:
                hit = shapely.intersects_xy(shape, x[column], y[row])
            row, column = row[hit], column[hit]
            number = row * len(x) + column if sites.y_first else column * len(y) + row
            patches.append(np.full(len(number), k, np.int64))
            elements.append(number.astype(np.int64))
    if not patches:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate(patches), np.concatenate(elements)


def _edges(centers: NDArray) -> NDArray[np.float64]:
    """Give the lower and upper edge of cells, shape (2, cell)."""
    if len(centers) < 2:
        return np.stack([centers - 0.5, centers + 0.5])
    middle = (centers[1:] + centers[:-1]) / 2
    first, last = 2 * centers[0] - middle[0], 2 * centers[-1] - middle[-1]
    edges = np.concatenate([[first], middle, [last]])
    return np.sort(np.stack([edges[:-1], edges[1:]]), axis=0)
