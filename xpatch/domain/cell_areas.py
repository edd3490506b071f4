"""Areas of cells: rectangles and polygons on the sphere, cells of a projection, faces, polygons."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

import xpatch.domain.axes as ax
from xpatch import sphere
from xpatch.domain.cell_edges import checked, midway, widths_of
from xpatch.domain.cells import step_told
from xpatch.domain.lonlat import GRID, bounds_in, bounds_name, steady
from xpatch.domain.places import horizontal_dims_of
from xpatch.domain.turns import TURN
from xpatch.domain.units import check_degrees, meters_of, to_degrees

Floats = NDArray[np.float64]
Dims = tuple[Hashable, ...]

RADIUS = 1000 * sphere.EARTH_RADIUS_KM
ON_SPHERE = {"standard_name": "cell_area", "units": "m2"}
NEAR_POLE = 1 / 3  # of the last step: the outermost Gaussian latitude leaves 0.27 to the pole
LIKE_ROWS = 1e-6  # degrees, by which positions of a row of a straight grid may differ


def lattice_areas(domain: Any) -> Variable:
    """Give the area of each cell of a lattice in m², with its horizontal dimensions.

    Raises
    ------
    ValueError
        If nothing says where on Earth cells are, or how large.
    """
    if domain.curved:
        return _curvilinear(domain)
    if domain.rotated is not None:
        return _skew(domain)
    pair = horizontal_dims_of(domain, domain.dims)
    if pair is None:
        raise ValueError(_no_place(domain))
    x, y = pair
    labels = [domain.coordinate(d) for d in pair]
    if any(v is None or v.dtype.kind not in "iuf" for v in labels):
        raise ValueError(_no_place(domain))
    if domain.geographic or _is_rotated_pole(domain, pair):
        _check_degrees(domain, pair)
        heights = _between_parallels(*_edges(domain, y, latitude=True))
        at = np.unwrap(np.asarray(domain.coordinate(x), float), period=TURN)
        widths = widths_of(x, at, _edges(domain, x, longitude=True))
        values, attrs = RADIUS**2 * np.multiply.outer(heights, widths), ON_SPHERE
    else:
        factor, attrs = _meters(domain, pair)
        sides = [np.abs(np.subtract(*_edges(domain, d))) * factor for d in (y, x)]
        values = _outer(*sides)
    return _ordered(Variable((y, x), values, attrs), domain)


def measured(domain: Any) -> bool:
    """Whether a lattice has areas, as far as names and attributes tell."""
    if domain.curvilinear or domain.rotated is not None:
        return bool(domain.curvilinear) or domain._crs is not None
    pair = horizontal_dims_of(domain, domain.dims)
    labels = [domain.coordinate(d) for d in pair or ()]
    known = bool(labels) and all(v is not None and v.dtype.kind in "iuf" for v in labels)
    alone = [d for d in pair or () if domain.sizes[d] == 1 and bounds_in(domain, d) is None]
    if any(step_told(domain, d) is None for d in alone):
        return False  # of one cell nothing says how large it is
    return known and (
        domain._crs is not None or domain.geographic or _is_rotated_pole(domain, pair)
    )


def _is_rotated_pole(domain: Any, dims: Any) -> bool:
    """Whether labels say that they are latitude and longitude around another pole."""
    coords = domain.template.coords
    said = {str(coords[d].attrs.get("standard_name")) for d in dims if d in coords}
    return said == GRID.keys()


def polygons_on_sphere(corners: tuple[NDArray, NDArray], lonlat: tuple[Floats, Floats]) -> Floats:
    """Give the areas in m² of polygons on the sphere.

    Parameters
    ----------
    corners : pair of arrays (polygon, corner)
        Which points each polygon goes around, and which of them there are: the first ones.
    lonlat : pair of arrays (point,)
        Longitude and latitude of the points in degrees.
    """
    nodes, there = corners
    nodes = np.where(there, nodes, nodes[:, :1])  # an edge of no length adds nothing
    return RADIUS**2 * sphere.excess(sphere.unit_vectors(*lonlat)[nodes])


def polygon_areas(sites: Any, name: Hashable) -> Variable:
    """Give the areas of polygons: on the sphere, along great circles, or in their projection.

    Raises
    ------
    ValueError
        If they are no polygons, or nothing says which CRS they are in.
    """
    import shapely

    kinds = shapely.get_type_id(sites.geometries)
    if not np.isin(kinds, (3, 6)).all():
        raise ValueError(
            f"the geometries along {name!r} are points or lines, which have no area; {STAND_FOR}"
        )
    if sites.geographic:
        pyproj = ax.import_pyproj()
        on_sphere = pyproj.Geod(a=RADIUS, b=RADIUS)
        wound = shapely.normalize(sites.geometries)  # holes against their shells
        found = [abs(on_sphere.geometry_area_perimeter(g)[0]) for g in wound]
        return Variable(sites.dims, np.array(found, float), ON_SPHERE)
    if sites.crs is None:
        raise ValueError(
            f"the polygons along {name!r} have no CRS, so that their areas are in no known unit; write one: "
            f"field.xvec.set_geom_indexes({name!r}, crs=…)"
        )
    factor = _unit_of(sites.crs)[0]
    return Variable(sites.dims, shapely.area(sites.geometries) * factor**2, _in_plane(sites.crs))


STAND_FOR = (
    "say what each stands for: the number of neighbors within 100 km, "
    "1 / field.patch.split(geometry=xpatch.RadiusGraph(100.0)).patch.mask.sum(…), or polygons around them "
    "(shapely.voronoi_polygons) as geometries"
)


# ---------------------------------------------------------------------------- polygons on the sphere


def _curvilinear(domain: Any) -> Variable:
    lat, lon = domain.latlon
    given = _corners_given(domain, lat, lon)
    if given is not None:
        return _ordered(Variable(lat.dims, _on_earth(sphere.excess(given)), ON_SPHERE), domain)
    values = [np.asarray(c.values, float) for c in (lat, lon)]
    straight = _straight(domain, lat.dims, *values)
    if straight is not None:
        return straight
    if not all(np.isfinite(v).all() for v in values) or min(lat.shape[-2:]) < 2:
        raise ValueError(
            f"the corners of cells are looked for between the positions {lat.name!r} and {lon.name!r}, of which "
            f"some are missing, or there is one row: give the corners as CF bounds, {lat.name}.attrs['bounds']"
        )
    plane = [lat.get_axis_num(d) for d in lat.dims if d in domain.spatial_dims]
    centers = np.moveaxis(sphere.unit_vectors(*values[::-1]), plane, [-3, -2])
    found = np.moveaxis(sphere.excess(sphere.corners_between(centers)), [-2, -1], plane)
    return _ordered(Variable(lat.dims, RADIUS**2 * found, ON_SPHERE), domain)


def _corners_given(domain: Any, lat: Any, lon: Any) -> Floats | None:
    """Give the corners that bounds of latitude and longitude say, as unit vectors (…, corner, 3)."""
    out = []
    for b in (_bounds(domain, n) for n in domain.curvilinear):
        if b is None:
            return None
        corner = b.dims[-1:]
        if corner[0] in lat.dims or b.sizes[corner[0]] < 3 or not {*lat.dims} <= {*b.dims}:
            return None
        same = {d: 0 for d in b.dims if d not in (*lat.dims, *corner)}
        out.append(np.asarray(b.isel(same).transpose(*lat.dims, *corner).to_numpy(), float))
    return sphere.unit_vectors(out[1], out[0])


def _straight(domain: Any, dims: Dims, lat: Floats, lon: Floats) -> Variable | None:
    """Give the areas of a grid that is straight though its positions have two dimensions."""
    whole = bool(np.isfinite(lat).all() and np.isfinite(lon).all())
    if lat.ndim != 2 or min(lat.shape) < 2 or not whole:
        return None
    for (y, x), rows, columns in ((dims, lat, lon), (dims[::-1], lat.T, lon.T)):
        if np.ptp(rows, axis=1).max() < LIKE_ROWS and np.ptp(columns, axis=0).max() < LIKE_ROWS:
            at = np.unwrap(columns[0], period=TURN)
            heights = _between_parallels(*_to_poles(*midway(rows[:, 0])))
            values = RADIUS**2 * np.multiply.outer(heights, widths_of(x, at, midway(at)))
            return _ordered(Variable((y, x), values, ON_SPHERE), domain)
    return None


def _skew(domain: Any) -> Variable:
    """Give the areas of cells of a raster whose rows run along no axis."""
    dims, affine = domain.rotated, domain.affine
    shape = tuple(domain.sizes[d] for d in dims)
    if not domain.geographic:
        factor, attrs = _meters(domain, dims)
        a, b, _, d, e, _ = affine
        return _ordered(
            Variable(dims, np.broadcast_to(abs(a * e - b * d) * factor**2, shape), attrs), domain
        )
    rows, columns = np.meshgrid(*(np.arange(n + 1) - 0.5 for n in shape), indexing="ij")
    at = sphere.unit_vectors(*domain.xy_at(rows, columns))
    four = np.stack([at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]], axis=-2)
    return _ordered(Variable(dims, RADIUS**2 * sphere.excess(four), ON_SPHERE), domain)


def _on_earth(areas: Floats) -> Floats:
    """Give areas in m², 0 of cells that have no place."""
    return RADIUS**2 * np.nan_to_num(areas, nan=0.0)


# ------------------------------------------------------------------------------------ straight axes


def _edges(
    domain: Any, dim: Hashable, latitude: bool = False, longitude: bool = False
) -> tuple[Floats, Floats]:
    """Give both edges of the cells along a straight axis: as bounds say, else midway between labels."""
    bounds = _bounds(domain, dim)
    if bounds is not None and bounds.ndim == 2 and bounds.dims[0] == dim and bounds.shape[1] == 2:
        low, high = np.asarray(bounds.to_numpy(), float).T
        if np.isfinite(low).all() and np.isfinite(high).all():
            labels = np.asarray(domain.coordinate(dim), float)
            name = bounds_name(domain.located.coords.get(dim))
            low, high = checked(dim, name, labels, (low, high), longitude)
            return (np.clip(low, -90, 90), np.clip(high, -90, 90)) if latitude else (low, high)
    values = np.asarray(domain.coordinate(dim), float)
    if not len(values):
        return values, values
    values = np.unwrap(values, period=TURN) if longitude else values
    if len(values) == 1:
        half = _size_told(domain, dim) / 2
        low, high = values - half, values + half
    else:
        step = domain.spacing(dim)
        mean = None if step is None else (values[-1] - values[0]) / (len(values) - 1)
        if not (np.diff(values) > 0).all() and not (np.diff(values) < 0).all():
            raise ValueError(
                f"labels along {dim!r} neither rise nor fall, so that nothing says where its cells end; sort "
                f"them: sortby({dim!r})"
            )
        low, high = midway(values, mean)
    return _to_poles(low, high) if latitude else (low, high)


def _to_poles(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """End cells at the poles; the outermost of uneven ones reach them, where no other cell fits between."""
    out = np.clip([low, high], -90, 90)
    size = np.abs(high - low)
    uneven = len(size) > 2 and np.ptp(size) > 1e-3 * size.max()
    for k in (0, -1) if uneven else ():
        side = 0 if k == 0 else 1  # the outer edge of the first cell, and of the last
        gap = 90 - abs(out[side, k])
        if gap < NEAR_POLE * size[k]:
            out[side, k] = np.copysign(90.0, out[side, k])
    return out[0], out[1]


def _between_parallels(low: Floats, high: Floats) -> Floats:
    """Give the areas between parallels for a radian of longitude, on the unit sphere."""
    return np.asarray(np.abs(np.sin(np.deg2rad(high)) - np.sin(np.deg2rad(low))))


def _outer(y: Floats, x: Floats) -> Floats:
    """Multiply sides of cells; of equal cells the area is stored once."""
    if all(np.ptp(v) <= 1e-9 * v.max() for v in (y, x)):
        return np.broadcast_to(y.mean() * x.mean(), (len(y), len(x)))
    return np.multiply.outer(y, x)


def _bounds(domain: Any, name: Hashable) -> Variable | None:
    """Give the bounds of a coordinate, if the field has them; the last dimension is that of corners.

    Raises
    ------
    ValueError
        If they change along a dimension that the coordinate does not have.
    """
    found = bounds_in(domain, name)
    if found is None:
        return None
    coord = domain.located.coords[name]
    for dim in [d for d in found.dims[:-1] if d not in coord.dims]:
        # of files that were joined: xr.open_mfdataset gives bounds the dimension of time
        if not steady(found, dim):
            raise ValueError(
                f"the bounds {bounds_name(coord)!r} of {name!r} change along {dim!r}, so that cells have no one area; take the "
                f"areas of one step, field.isel({dim}=0).patch.area"
            )
        found = found.isel({dim: 0})
    return to_degrees(found, coord)


def _size_told(domain: Any, dim: Hashable) -> float:
    """Give the size of the only cell along a dimension."""
    told = step_told(domain, dim)
    if told is None:
        raise ValueError(
            f"nothing says how large the one cell along {dim!r} is: give it CF bounds "
            f"(field[{dim!r}].attrs['bounds']), or take the areas of the whole field and select of those"
        )
    return told


# ------------------------------------------------------------------------------------------- units


def _meters(domain: Any, dims: Dims) -> tuple[float, dict[str, str]]:
    """Give the length of a unit of projected labels, and what an area in the projection is called."""
    crs = domain.crs
    if crs is None:
        raise ValueError(_no_place(domain))
    operation = crs.coordinate_operation
    if operation is not None and "geostationary" in operation.method_name.lower():
        raise ValueError(
            f"cells as a geostationary satellite sees them ({ax.crs_name(crs)}) have areas on the ground that their "
            "plane does not tell; take the areas of a grid that they are warped to: field.rio.reproject(…)"
        )
    factor, name = _unit_of(crs)
    coords = domain.template.coords
    said = {str(coords[d].attrs.get("units", "")) for d in dims if d in coords}
    said = {unit for unit in said if unit.lower() not in ("", name)}
    lengths = {meters_of(unit) for unit in said}
    if None in lengths or len(lengths) > 1:
        raise ValueError(
            f"labels along {list(dims)} are in {sorted(said)}, which is no length that is known, while their CRS "
            f"{ax.crs_name(crs)} is in {name}; convert them, and set attrs['units'] = 'm'"
        )
    return next(iter(lengths), None) or factor, _in_plane(crs)


def _unit_of(crs: Any) -> tuple[float, str]:
    axis = next(iter(crs.axis_info), None)
    if axis is None:
        return 1.0, "m"
    return float(axis.unit_conversion_factor), str(axis.unit_name).lower()


def _in_plane(crs: Any) -> dict[str, str]:
    return {**ON_SPHERE, "long_name": f"area of cells in the projection, {ax.crs_name(crs)}"}


def _check_degrees(domain: Any, dims: Dims) -> None:
    check_degrees(domain, dims)
    for d in dims:
        if (
            domain.roles.get(d) in ("latitude", "Y")
            and not (np.abs(domain.coordinate(d)) <= 90 + 1e-6).all()
        ):
            raise ValueError(
                f"labels along {d!r} are no latitudes: some are missing, or outside of ±90 degrees"
            )


def _ordered(areas: Variable, domain: Any) -> Variable:
    return areas.transpose(*(d for d in domain.dims if d in areas.dims))


def _no_place(domain: Any) -> str:
    dims = list(domain.spatial_dims or domain.dims)
    return (
        f"nothing says how large the cells along {dims} are on Earth: areas need labels for both latitude and "
        "longitude (named lat and lon, or with CF attributes), or labels and a CRS (field.rio.write_crs(…)), or the "
        "grid of a mesh (ux.UxDataArray(field, uxgrid=grid)). Of a mean over longitudes the weights are "
        "np.cos(np.deg2rad(field.lat)); cells of HEALPix are all equally large and need none"
    )
