"""What can be asked of patches that are lists of members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import Sites
from xpatch.domain.axes import import_shapely
from xpatch.geometry import Parents
from xpatch.neighborhood import Members
from xpatch.patches.centers import is_center
from xpatch.patches.encoding import ANCHOR
from xpatch.patches.index import labels_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.window import member_weights

RING = 64  # corners of the outline of a cap


def _members(plan: Plan) -> Members:
    (part,) = plan.lists
    return part


def sites_of(plan: Plan) -> Sites:
    """Give the elements that members were chosen from."""
    domain = plan.domain
    known = domain.element_dims or all(domain.coordinate(d) is not None for d in plan.dims)
    if not known and not domain.curvilinear and domain.rotated is None:
        if plan.recalled is None and set(plan.dims) <= set(domain.spatial_dims):
            raise ValueError(
                f"cells along {list(plan.dims)} have no labels that say where they are; assign coordinates before "
                "the split, field.assign_coords(…)"
            )
        raise ValueError(
            "patches that were read from a file do not know where all the elements are, and single ones neither; ask the "
            "patches that split gave, or split the field again, for edges, geometries, outlines and pictures"
        )
    return domain.sites(plan.dims[0] if domain.element_dims else None)


def anchors(obj: Any, source: Provenance, plan: Plan) -> xr.Dataset:
    """Give x and y of anchors, or longitude and latitude, and the elements that they are (or −1)."""
    assert plan.places is not None
    places = plan.places.take(source.ordinals)
    try:
        sites = sites_of(plan)
        names = ("lon", "lat") if sites.geographic and not sites.rotated else ("x", "y")
    except ValueError:  # read from a file, in which members may have positions
        degrees = any(is_center(c) for c in obj.coords.values())
        names = ("lon", "lat") if degrees else ("x", "y")
    values = dict(zip(names, (places.x, places.y), strict=True))
    return xr.Dataset(
        {n: (source.dim, v) for n, v in values.items()},
        coords={source.dim: source.ordinals, ANCHOR: (source.dim, places.elements)},
    )


def per_slot(
    obj: Any,
    source: Provenance,
    plan: Plan,
    values: Callable[[Members], NDArray[Any]],
    fill: Any,
) -> xr.DataArray:
    """Lay values of members out as (patch, slot), with the labels of the patches."""
    part = _members(plan).take(source.ordinals)
    dims = (source.dim, part.dim)
    return xr.DataArray(part.padded(values(part), fill), labels_of(obj, dims), dims)


def distance(obj: Any, source: Provenance, plan: Plan) -> xr.DataArray:
    """Give the distance of each member from its anchor."""

    def values(part: Members) -> NDArray[Any]:
        if part.distances is None and source.dim not in obj.dims:
            raise ValueError(
                f"a single patch does not know how far its members are; keep {source.dim!r}, "
                f"patches.isel({source.dim}=[{int(source.ordinals[0])}]).patch.distance"
            )
        if part.distances is None:
            _ = part.radial  # says that distances are not known
        assert part.distances is not None
        return part.distances

    return per_slot(obj, source, plan, values, np.nan).rename("distance")


def weights(obj: Any, source: Provenance, plan: Plan) -> xr.DataArray:
    """Give the analysis window on each member, 0 in empty slots."""

    def values(part: Members) -> NDArray[Any]:
        found = member_weights(plan.window, part)
        return np.ones(len(part.elements)) if found is None else found

    return per_slot(obj, source, plan, values, 0.0)


def geometries(obj: Any, source: Provenance, plan: Plan) -> xr.DataArray:
    """Give the geometry of each member: that of the field, or a point."""
    shapely = import_shapely()

    sites = sites_of(plan)
    shapes = sites.geometries
    if shapes is None:
        shapes = shapely.points(sites.x, sites.y)
    part = _members(plan).take(source.ordinals)
    out = np.full((len(part), part.width), None, dtype=object)
    out[part.patches, part.slots] = shapes[part.elements]
    return xr.DataArray(out, {source.dim: obj.coords[source.dim].values}, (source.dim, part.dim))


def outlines(
    source: Provenance, plan: Plan, which: NDArray[Any] | None = None
) -> tuple[NDArray[Any], Any]:
    """Give the outlines of patches: polygons, parents, caps as rings, otherwise the hull of the members."""
    import shapely

    sites = sites_of(plan)
    crs = sites.known_crs
    ordinals = source.ordinals if which is None else source.ordinals[which]
    part = _members(plan).take(ordinals)
    spec = plan.spec.get("geometry") or {}
    assert plan.places is not None
    places = plan.places.take(ordinals)
    if places.shapes is not None:
        return places.shapes, crs
    level = spec.get("level")
    if level is not None and sites.cells is not None:
        return Parents(level).anchored(sites, places).outlines(np.arange(len(places))), crs
    radius = spec.get("radius_km")
    if radius is not None and sites.geographic:
        middle = (np.nanmin(sites.x) + np.nanmax(sites.x)) / 2
        return _rings(places.x, places.y, float(radius), middle), crs
    points = shapely.points(sites.x, sites.y) if sites.geometries is None else sites.geometries
    out = np.empty(len(part), dtype=object)
    for k in range(len(part)):
        own = points[part.elements[part.offsets[k] : part.offsets[k + 1]]]
        if sites.geographic and sites.geometries is None:  # keep together what the dateline parts
            x = sites.x[part.elements[part.offsets[k] : part.offsets[k + 1]]]
            y = sites.y[part.elements[part.offsets[k] : part.offsets[k + 1]]]
            own = shapely.points(x - 360 * np.round((x - places.x[k]) / 360), y)
        out[k] = shapely.convex_hull(shapely.geometrycollections(own))
    return out, crs


def _rings(lon: NDArray[Any], lat: NDArray[Any], radius: float, middle: float) -> NDArray[Any]:
    """Give caps as polygons, whose longitudes go on past the dateline; one at a pole is a strip."""
    import shapely

    reach = radius / sphere.EARTH_RADIUS_KM
    turn = np.linspace(0, 2 * np.pi, RING, endpoint=False)
    phi, lam = np.deg2rad(lat)[:, None], np.deg2rad(lon)[:, None]
    rise = np.sin(phi) * np.cos(reach) + np.cos(phi) * np.sin(reach) * np.cos(turn)
    there = np.arcsin(np.clip(rise, -1, 1))
    shift = np.arctan2(
        np.sin(turn) * np.sin(reach) * np.cos(phi), np.cos(reach) - np.sin(phi) * np.sin(there)
    )
    x, y = np.rad2deg(lam + shift), np.rad2deg(there)
    out: NDArray[Any] = shapely.polygons(np.stack([x, y], axis=-1)).astype(object)
    polar = np.abs(lat) + np.rad2deg(reach) > 90
    for k in np.flatnonzero(polar):
        around = x[k] - 360 * np.round((x[k] - middle) / 360)
        order = np.argsort(around)
        seam = float(np.interp(middle + 180, around[order], y[k][order], period=360))
        pole = 90.0 if lat[k] > 0 else -90.0
        ring = list(zip(around[order], y[k][order], strict=True))
        west, east = middle - 180, middle + 180
        out[k] = shapely.Polygon([(west, pole), (west, seam), *ring, (east, seam), (east, pole)])
    return out
