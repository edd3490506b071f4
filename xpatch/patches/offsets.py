"""How far the cells of patches are from their anchor: what kernels and positional encodings take."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import places as pl
from xpatch.domain.lonlat import PARTS, said_role
from xpatch.geometry import CenteredGrid, SphericalCap
from xpatch.neighborhood import Members, Slices
from xpatch.patches.around import MAP, on_maps
from xpatch.patches.index import labels_of
from xpatch.patches.member_properties import sites_of
from xpatch.patches.placed import left_plan_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.spec import kind_of

KM = {"units": "km"}


def offsets(obj: Any) -> xr.Dataset:
    """How far cells are from the anchor of their patch: east and north in km, or along each dimension.

    The anchor of a box is its middle cell, as in ``patches.patch.anchors``. Where slots are equally
    far from it in all patches, around given places and in `CenteredGrid`, the patches carry the
    coordinates ``dx`` and ``dy``, which composites keep.

    Returns
    -------
    Dataset
        On the sphere ``east`` and ``north`` in km, of which `numpy.hypot` is the great-circle
        distance; otherwise ``d_y``, ``d_x`` … in units of the labels, or in cells where there are
        none. Dimensions (patch, …) of the cells that differ in them; NaN in empty slots.

    Raises
    ------
    ValueError
        If patches that were read from a file do not know where their members are.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(8), {"x": 10.0 * np.arange(8)})
    >>> field.patch.split(geometry={"x": 4}).patch.offsets.d_x.values[0]
    array([-20., -10.,   0.,  10.])
    """
    source, plan = left_plan_of(obj)
    if plan.domain.above is not None:
        plan.domain.above.check_placed(plan.dims)
    found: dict[Hashable, Any] = {}
    for members in plan.lists:
        if members.timed:
            found |= _in_time(source, plan, members)
        else:
            found |= _of_members(source, plan, members)
    if plan.boxed is not None:
        _check_places(obj, plan.boxed)
        found |= _of_boxes(source, plan.boxed)
    if source.dim not in obj.dims:  # a single patch
        return xr.Dataset(found, {source.dim: source.ordinals})
    dims = (source.dim, *plan.inner)
    out = xr.Dataset(found, labels_of(obj, [d for d in dims if d in obj.dims]))
    return out.map(on_maps, keep_attrs=True, args=(obj,)) if {*MAP} <= {*obj.dims} else out


def _check_places(obj: Any, plan: Plan) -> None:
    """Raise a ValueError if boxes of a file were cut from a curvilinear grid, whose places it has not."""
    for name, dims in (plan.recalled or {}).items():
        attrs = obj.coords[name].attrs if name in obj.coords else {}
        if len({*dims} & {*plan.dims}) > 1 and (said_role(attrs) or PARTS.fullmatch(str(name))):
            raise ValueError(
                "patches that were read from a file do not know where all cells of a curvilinear grid are; split "
                f"the field again, or measure from {name!r} of the patches"
            )


# --------------------------------------------------------------------------------- lists


def _of_members(source: Provenance, plan: Plan, members: Members) -> dict[Hashable, Any]:
    """Give the offsets of lists in space, the way that their distances were measured."""
    space, entries = plan.in_space(source.ordinals)
    part = members.take(plan.hood.of_part(members, source.ordinals))
    sites = sites_of(dataclasses.replace(space, hood=space.hood.only(members.dims)))
    assert space.places is not None
    places = space.places.take(entries)
    dims = (source.dim, part.dim)
    x0, y0 = (np.repeat(v, part.counts) for v in (places.x, places.y))
    x, y = sites.x[part.elements], sites.y[part.elements]
    if on_sphere(space, sites):
        lon, lat = sites.to_lonlat(x, y)
        moved = sphere.azimuthal(lon, lat, *sites.to_lonlat(x0, y0))
        names, attrs = ("east", "north"), KM
    else:
        moved, names, attrs = (x - x0, y - y0), ("d_x", "d_y"), {}
    return {n: (dims, part.padded(v, np.nan), attrs) for n, v in zip(names, moved, strict=True)}


def on_sphere(plan: Plan, sites: Any) -> bool:
    """Whether distances are those of great circles."""
    spec = plan.spec.get("geometry") or {}
    if issubclass(kind_of(spec), CenteredGrid):
        return sites.known_crs is not None
    if issubclass(kind_of(spec), SphericalCap) or spec.get("metric") == "haversine":
        return True
    return bool(sites.geographic) and spec.get("metric") != "euclidean"


def _in_time(source: Provenance, plan: Plan, members: Members) -> dict[Hashable, Any]:
    """Give the times of lists of steps relative to that of their anchor; of steps without dates their number."""
    part = members.take(plan.hood.of_part(members, source.ordinals))
    assert part.anchors is not None
    (d,) = part.dims
    at = np.repeat(part.anchors, part.counts)
    first = plan.domain.labels_at(d, part.elements.astype(np.int64), False)
    second = plan.domain.labels_at(d, at, False)
    far: NDArray[Any] = part.leads.astype(float)
    if first is not None and second is not None:
        far = _difference(np.asarray(first), np.asarray(second))
    fill: Any = np.timedelta64("NaT") if far.dtype.kind == "m" else np.nan
    return {f"d_{d}": ((source.dim, part.dim), part.padded(far, fill))}


# ---------------------------------------------------------------------------------- boxes


def _of_boxes(source: Provenance, plan: Plan) -> dict[Hashable, Any]:
    cells = {p.dim: _cells(source, plan, p) for p in plan.hood.slices}
    anchors = plan.anchor_cells(source.ordinals)
    found: dict[Hashable, Any] = {}
    domain = plan.domain
    if pl.curved(domain) and set(domain.spatial_dims) <= set(cells):
        flat = domain.sites().dims
        found |= _on_curved(source, plan, flat, cells, anchors)
    elif domain.rotated is not None and set(domain.rotated) <= set(cells):
        flat = domain.rotated
        found |= _on_affine(source, plan, flat, cells, anchors)
    else:
        flat = _sphere_dims(plan)
        found |= _on_grid(source, plan, flat, cells, anchors) if flat else {}
    for d in (d for d in cells if d not in flat):
        found[f"d_{d}"] = ((source.dim, d), _along(plan, d, cells[d], anchors[d]))
    for part in (p for p in plan.hood.slices if p.ragged):
        found = {n: _without_empty(source, plan, part, v) for n, v in found.items()}
    return found


def _without_empty(source: Provenance, plan: Plan, part: Slices, given: Any) -> Any:
    """Let empty slots of boxes have no offset."""
    dims, values, *attrs = given
    if part.dim not in dims:
        return given
    low, high = source.crop.get(part.dim, (0, 0))
    holes = part.empty(plan.hood.of_part(part, source.ordinals))[:, low : part.size - high]
    shape = [
        n if d in (source.dim, part.dim) else 1 for d, n in zip(dims, values.shape, strict=True)
    ]
    fill = np.timedelta64("NaT") if values.dtype.kind == "m" else np.nan
    return (dims, np.where(holes.reshape(shape), fill, values), *attrs)


def _cells(source: Provenance, plan: Plan, part: Slices) -> NDArray[np.int64]:
    """Give the cells of patches along one dimension, without those that were cut off; not yet around the seam."""
    entries = plan.hood.of_part(part, source.ordinals)
    cells = part.starts[entries][:, None] + plan.offsets(part.dim)
    low, high = source.crop.get(part.dim, (0, 0))
    return np.asarray(cells[:, low : cells.shape[1] - high], np.int64)


def _sphere_dims(plan: Plan) -> tuple[Hashable, ...]:
    """Give the longitude and latitude dimensions, where both are cut."""
    domain = plan.domain
    pair = pl.horizontal_dims_of(domain, plan.dims)
    if pair is None or not domain.geographic:
        return ()
    labels = [domain.coordinate(d) for d in pair]
    return pair if all(v is not None and v.dtype.kind in "iuf" for v in labels) else ()


def _on_grid(
    source: Provenance, plan: Plan, pair: Any, cells: Any, anchors: Any
) -> dict[Hashable, Any]:
    x, y = pair
    lon, lat = (np.asarray(plan.domain.labels_at(d, cells[d], True), float) for d in pair)
    lon0, lat0 = (np.asarray(plan.domain.labels_at(d, anchors[d], True), float) for d in pair)
    if plan.domain.crs is not None and plan.domain.crs.is_derived:  # a rotated pole
        return {f"d_{d}": ((source.dim, d), _along(plan, d, cells[d], anchors[d])) for d in pair}
    east, north = sphere.azimuthal(
        lon[:, None, :], lat[:, :, None], lon0[:, None, None], lat0[:, None, None]
    )
    return {n: ((source.dim, y, x), v, KM) for n, v in (("east", east), ("north", north))}


def _on_curved(
    source: Provenance, plan: Plan, dims: Any, cells: Any, anchors: Any
) -> dict[Hashable, Any]:
    sites = plan.domain.sites()
    lon, lat = (v.reshape(sites.shape) for v in sites.lonlat)
    rows, columns = (cells[d] for d in dims)
    wraps = dict(zip(plan.dims, plan.boxes.wrap, strict=True))
    inside = [
        np.ones(c.shape, bool) if wraps[d] else (c >= 0) & (c < n)
        for d, c, n in zip(dims, (rows, columns), sites.shape, strict=True)
    ]
    at = (rows % sites.shape[0])[:, :, None], (columns % sites.shape[1])[:, None, :]
    zero = tuple(anchors[d] % n for d, n in zip(dims, sites.shape, strict=True))
    moved = sphere.azimuthal(lon[at], lat[at], lon[zero][:, None, None], lat[zero][:, None, None])
    there = inside[0][:, :, None] & inside[1][:, None, :]
    values = zip(("east", "north"), moved, strict=True)
    return {n: ((source.dim, *dims), np.where(there, v, np.nan), KM) for n, v in values}


def _on_affine(
    source: Provenance, plan: Plan, dims: Any, cells: Any, anchors: Any
) -> dict[Hashable, Any]:
    rows, columns = (cells[d].astype(float) for d in dims)
    x, y = plan.domain.xy_at(*np.broadcast_arrays(rows[:, :, None], columns[:, None, :]))
    x0, y0 = plan.domain.xy_at(*(anchors[d].astype(float) for d in dims))
    values = (("d_x", x - x0[:, None, None]), ("d_y", y - y0[:, None, None]))
    return {n: ((source.dim, *dims), v) for n, v in values}


def _along(plan: Plan, d: Hashable, cells: NDArray[Any], anchor: NDArray[Any]) -> NDArray[Any]:
    """Give labels relative to that of the anchor, or cells where there are none."""
    wrap = dict(zip(plan.dims, plan.boxes.wrap, strict=True))[d]
    labels = plan.domain.labels_at(d, cells, wrap)
    if labels is None or np.asarray(labels).dtype.kind not in "iufmMO":
        return np.asarray(cells - anchor[:, None], float)
    return _difference(
        np.asarray(labels), np.asarray(plan.domain.labels_at(d, anchor, wrap))[:, None]
    )


def _difference(labels: NDArray[Any], anchor: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind in "iuf":
        return np.asarray(labels.astype(float) - anchor.astype(float))
    far = np.asarray(labels - anchor)
    return far.astype("m8[us]") if far.dtype == object else far  # of cftime
