"""What can be asked of patches: anchors, weights, masks, outlines, batches."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Domain, domain_of
from xpatch.domain.places import DEGREES
from xpatch.neighborhood import Neighborhood
from xpatch.patches import member_properties as listed
from xpatch.patches.around import on_maps
from xpatch.patches.encoding import ANCHOR, RECIPE
from xpatch.patches.index import labels_of, patch_index, with_index
from xpatch.patches.placed import in_space, left_plan_of, only_time, plan_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance, provenance, with_part
from xpatch.patches.recall import indexed
from xpatch.patches.rows import PatchRows
from xpatch.patches.scene import scene_rows
from xpatch.patches.sides import is_product, numbered
from xpatch.patches.times import times_of
from xpatch.patches.told import points_of
from xpatch.patches.weights import box_table, part_weights
from xpatch.spec import is_integer


def domain(obj: xr.DataArray | xr.Dataset) -> Domain:
    """What the field lies on, or the patches were cut from.

    Returns
    -------
    Domain
        `RasterDomain`, `GridDomain`, `PointDomain`, `VectorDomain` or `MeshDomain`, without values.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((4, 6)), {"lat": np.arange(4), "lon": np.arange(6)})
    >>> field.patch.domain.spatial_dims
    ('lat', 'lon')
    """
    index = patch_index(obj)
    return index.plans[0].domain if index is not None and index.plans else domain_of(obj)


def _each(source: Provenance, plan: Plan) -> list[tuple[Provenance, Plan]]:
    """Give the patches as boxes, and as lists of each part."""
    found = [] if plan.boxed is None else [(source, plan.boxed)]
    for part in plan.lists:
        own = dataclasses.replace(source, ordinals=plan.hood.of_part(part, source.ordinals))
        found.append((own, dataclasses.replace(plan, hood=Neighborhood((part,)))))
    return sorted(found, key=lambda each: not each[1].hood.time_dims)  # time before space


def distance(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Distance of each member from its anchor, NaN in empty slots.

    Returns
    -------
    DataArray
        Floats (patch, dimension of the members): km by great circles on longitude and latitude,
        steps for `KHopGraph`, units of the CRS otherwise.

    Raises
    ------
    ValueError
        If the patches are boxes, or were read from a file.

    Examples
    --------
    >>> place = {"lon": ("id", [0, 1, 5]), "lat": ("id", [0, 0, 0])}
    >>> stations = xr.DataArray(np.zeros(3), place, dims="id")
    >>> near = stations.patch.split(geometry=xpatch.KNNGraph(2))
    >>> near.patch.distance.values.round()
    array([[  0., 111.],
           [  0., 111.],
           [  0., 445.]])
    """
    source, plan = in_space(obj, left=True)
    if only_time(plan):
        steps = f"patches[{plan.called('lead')!r}]"
        for members in plan.lists:
            steps = f"patches[{members.numbers!r}] - patches[{plan.called('step')!r}]"
        raise ValueError(
            f"windows in time have no distances in space; {steps} says how many steps each is from "
            "the anchor"
        )
    if plan.members is None:
        raise ValueError("boxes have no distances; these are those of lists of members")
    return on_maps(listed.distance(obj, source, plan), obj)


def geometries(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """The shapely geometry of each member, None in empty slots (needs shapely).

    Returns
    -------
    DataArray
        Objects (patch, dimension of the members): points, polygons, or faces of a mesh.

    Examples
    --------
    >>> place = {"lon": ("id", [0, 1, 5]), "lat": ("id", [0, 0, 0])}
    >>> stations = xr.DataArray(np.zeros(3), place, dims="id")
    >>> near = stations.patch.split(geometry=xpatch.KNNGraph(2))
    >>> near.patch.geometries.values[2, 1]
    <POINT (1 0)>
    """
    source, plan = in_space(obj, left=True)
    if only_time(plan):
        raise ValueError("windows in time have no geometries; patches.patch.plot() draws them")
    if plan.members is None or plan.places is None:
        raise ValueError(
            "boxes have no geometries; patches.patch.footprints() gives their outlines"
        )
    return listed.geometries(obj, source, plan)


def anchors(obj: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Where patches are: the middle cell of boxes, the place of members.

    Returns
    -------
    Dataset
        Variables ``y``, ``x`` … (patch): labels, or positions where there are none; coordinates
        ``cell_y``, ``cell_x`` … (patch) are the positions. Of windows in time also the times of
        their anchors. Of patches in space and time coordinates ``place`` and ``window`` (patch)
        number the places and the windows. Its length, ``len``, is the number of patches.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(8), {"x": 10.0 * np.arange(8)})
    >>> field.patch.split(geometry={"x": 4}).patch.anchors.x.values
    array([20., 60.])
    """
    source, plan = plan_of(obj)
    template, at = plan.domain.template, source.ordinals
    out: dict[Hashable, Any] = {}
    coords: dict[Hashable, Any] = {source.dim: np.ravel(obj.coords[source.dim].values)}
    cells: dict[Hashable, NDArray[Any]] = {}
    boxed = plan.boxed
    if boxed is not None:
        cells |= boxed.anchor_cells(at)
    for members in plan.lists:
        if members.numbers is not None:
            cells[members.dim] = plan.steps(at)
    for d, cell in cells.items():
        wrap = boxed is not None and d in boxed.dims and boxed.boxes.wrap[boxed.dims.index(d)]
        labels = plan.domain.labels_at(d, cell, wrap)
        attrs = template.coords[d].attrs if d in template.coords else {}
        out[d] = (source.dim, cell if labels is None else labels, attrs)
        coords[f"cell_{d}"] = (source.dim, cell)
    if plan.hood.time_dims:
        name, times = times_of(obj, source)
        if name not in out:  # times that are not the labels of their dimension
            out[name] = (source.dim, times.values[plan.steps(at)], times.attrs)
    if is_product(plan):
        sides = numbered(plan, at)
        numbers = {"place": sides.where, "window": sides.when}
        coords |= {n: (source.dim, k) for n, k in numbers.items() if n not in out}
    found = PatchRows(out, coords=coords)
    space, entries = plan.in_space(at)
    if space.places is None:
        return found
    placed = listed.anchors(obj, dataclasses.replace(source, ordinals=entries), space)
    return found.assign(placed.drop_vars([source.dim]).variables).set_coords(ANCHOR)


def mask(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Which cells of each patch lie in the field (others are padding), which slots hold a member.

    Returns
    -------
    DataArray
        Booleans (patch, in-patch dims).

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(5), dims="x")
    >>> geometry = xpatch.Rectangular(x=3, boundary="pad")
    >>> field.patch.split(geometry=geometry).patch.mask.sum("x").values
    array([3, 2])
    """
    source, plan = left_plan_of(obj)
    parts = [_mask(obj, *part) for part in _each(source, plan)]
    return on_maps(functools.reduce(operator.and_, parts), obj)


def _mask(obj: Any, source: Provenance, plan: Plan) -> xr.DataArray:
    if plan.lists:
        return listed.per_slot(obj, source, plan, lambda m: np.ones(len(m.elements), bool), False)
    boxes, entries = plan.boxes, plan.boxes.entries(source.ordinals)
    out: NDArray[Any] = np.ones((len(source.ordinals),), bool)
    for k, (part, which) in enumerate(zip(boxes.slices, entries, strict=True)):
        inside = part.cells(which) >= 0
        out = out[..., None] & inside.reshape(len(inside), *(1,) * k, part.size)
    return _per_cell(obj, source, plan, out)


def weights(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """The analysis window on each cell of each patch, 0 outside of the field and in empty slots.

    Returns
    -------
    DataArray
        Floats (patch, in-patch dims), by which `split` multiplied the patches and merge divides.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(8), dims="x")
    >>> field.patch.split(geometry={"x": 4}, window="hann").patch.weights.values[0].round(
    ...     2
    ... )
    array([0.15, 0.85, 0.85, 0.15])
    """
    source, plan = left_plan_of(obj)
    parts = [_weights(obj, *part) for part in _each(source, plan)]
    return on_maps(functools.reduce(operator.mul, parts), obj)


def _weights(obj: Any, source: Provenance, plan: Plan) -> xr.DataArray:
    if plan.lists:
        return listed.weights(obj, source, plan)
    boxes, entries = plan.boxes, plan.boxes.entries(source.ordinals)
    out: NDArray[Any] = np.ones((len(source.ordinals),))
    found = part_weights(plan.window, boxes)
    for k, (part, w, which) in enumerate(zip(boxes.slices, found, entries, strict=True)):
        own = np.ones((1, part.size)) if w is None else w.full(which)
        out = out[..., None] * own.reshape(len(own), *(1,) * k, part.size)
    if (table := box_table(plan.window, boxes)) is not None:
        out = out * table
    inside = _mask(obj, source, plan)
    full = _per_cell(obj, source, plan, out)
    return full if bool(inside.all()) else full.where(inside, 0.0)


def _per_cell(obj: Any, source: Provenance, plan: Plan, values: NDArray[Any]) -> xr.DataArray:
    crop = source.crop
    inner = tuple(
        slice(crop.get(d, (0, 0))[0], n - crop.get(d, (0, 0))[1]) for d, n in plan.inner.items()
    )
    for k, d in enumerate(plan.dims):
        if d in plan.hood.coarse:
            values = values.take(plan.offsets(d), k + 1)
    dims = (source.dim, *plan.dims)
    return xr.DataArray(values[(slice(None), *inner)], labels_of(obj, dims), dims)


def spec(obj: xr.DataArray | xr.Dataset) -> dict[str, Any]:
    """The specification of the split as JSON-able values; `Patcher.from_spec` rebuilds it.

    Returns
    -------
    dict
        Geometry, sampler with explicit anchors, window and aggregation; it has no dimensions.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(6), dims="x")
    >>> spec = field.patch.split(geometry={"x": 4}).patch.spec
    >>> xpatch.Patcher.from_spec(spec).geometry
    Rectangular(x=4)
    """
    _, plan = plan_of(obj)
    out = {k: v for k, v in plan.spec.items() if k != "class"}
    sampler = dict(out.get("sampler") or {})
    if "anchors" in sampler and plan.places is not None:
        numbers = plan.places.elements if plan.places.polygons is None else plan.places.polygons
        anchors = numbers.tolist() if bool((numbers >= 0).all()) else None
        out["sampler"] = {"class": sampler["class"], "anchors": anchors, "at": None}
    elif "anchors" in sampler:
        starts = plan.boxes.starts().tolist()
        out["sampler"] = {"class": sampler["class"], "anchors": starts, "at": "start"}
    return out


def crop(obj: Any, cuts: Any, more: Mapping[str, Any]) -> Any:
    """Cut cells off both ends of in-patch dimensions and tell the index."""
    if not isinstance(cuts, Mapping):
        raise TypeError(f"crop takes cells by dimension, such as crop(y=2, x=(0, 1)), got {cuts!r}")
    cuts = {**cuts, **more}
    if patch_index(obj) is None and any(RECIPE in c.attrs for c in obj.coords.values() if c.ndim):
        obj = indexed(obj)  # labels of dask would not tell merge which cells these are
    scenes = scene_rows(obj)  # whose patches have the same sizes
    source, plan = plan_of(obj if scenes is None else obj.isel({scenes[0]: scenes[1][0][1]}))
    listed_dims = [d for m in plan.lists for d in (m.dim, *m.dims) if d in cuts]
    if listed_dims:
        raise ValueError(
            f"crop cuts the sides of boxes off; lists of members along {listed_dims[0]!r} have none. "
            f"Leave slots out by patches.isel({listed_dims[0]}=slice(1, None)), members by distance: "
            "patches.where(patches.patch.distance < …)"
        )
    sizes = {}
    for d, cut in cuts.items():
        if d not in source.plans[0].dims:
            raise KeyError(
                f"crop names dimension {d!r}, but the patches were cut along "
                f"{list(source.plans[0].dims)}"
            )
        pair = tuple(cut) if isinstance(cut, tuple | list | np.ndarray) else (cut, cut)
        if len(pair) != 2 or any(not is_integer(c) or c < 0 for c in pair):
            raise ValueError(f"crop along {d!r} must be an int ≥ 0 or a pair of them, got {cut!r}")
        if d in obj.sizes and sum(pair) >= obj.sizes[d]:
            raise ValueError(f"crop of {pair} along {d!r} leaves nothing of {obj.sizes[d]} cells")
        sizes[d] = (int(pair[0]), int(pair[1]))
    slices = {d: slice(a, obj.sizes[d] - b) for d, (a, b) in sizes.items() if d in obj.dims}
    out = obj.isel(slices)
    index = patch_index(obj)
    return out if index is None else with_index(out, index.cropped(sizes))


def places(obj: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """The places of patches with their CRS, for `Explicit` on any other field.

    The place of a box is its mid-point, between two cells where its size is even, and on a
    curvilinear grid the mean on the sphere of its middle cells; that of a list of members where it
    is anchored. Of windows in time it is the time of the anchor.

    Returns
    -------
    Dataset
        Variables ``lon`` and ``lat``, or those of the dimensions (patch), and where the CRS is
        known a coordinate ``spatial_ref`` without dimensions that rioxarray reads.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(8), {"x": np.arange(8.0)})
    >>> field.patch.split(geometry={"x": 4}).patch.places.x.values
    array([1.5, 5.5])
    """
    source = with_part(obj, provenance(obj))
    plan = source.plans[0].part(source.crop)
    found = points_of(obj, source, plan)
    attrs = {n: dict(c.attrs) for n, c in plan.domain.template.coords.items()}
    data = {n: (source.dim, c, attrs.get(n, {})) for n, c in found.columns.items()}
    coords: dict[Any, Any] = {source.dim: source.ordinals}
    if found.ids is not None:
        coords["anchor"] = (source.dim, found.ids)
    elif "anchor" in obj.coords and obj.coords["anchor"].dims == (source.dim,):  # of a file
        coords["anchor"] = obj.coords["anchor"].variable
    if found.crs is not None and found.pair is not None:
        coords["spatial_ref"] = ((), 0, crs_attrs(found.crs))
    return xr.Dataset(data, coords)


def crs_attrs(crs: Any) -> dict[str, Any]:
    """Give the attributes by which rioxarray and CF know a CRS."""
    from xpatch.domain.axes import as_crs

    if crs == DEGREES:
        try:
            crs = as_crs(crs)
        except ImportError:
            return {"grid_mapping_name": "latitude_longitude"}
    wkt = crs.to_wkt()
    return {"crs_wkt": wkt, "spatial_ref": wkt}
