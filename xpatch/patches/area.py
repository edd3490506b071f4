"""The area of each cell of a field, and of each cell of its patches."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain import domain_of
from xpatch.domain.dggs import areas_told
from xpatch.domain.lonlat import bounds_name
from xpatch.engine.cut import Cut
from xpatch.patches.around import on_maps
from xpatch.patches.decoding import find_recipe
from xpatch.patches.index import labels_of, patch_index, whole_of
from xpatch.patches.placed import left_plan_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.patches.recall import as_one
from xpatch.patches.scene import alone, scene_rows
from xpatch.patches.split import cut_dims, made


def area(obj: Any) -> xr.DataArray:
    """The area of each cell in m², for means that weigh by it.

    Cells of patches outside of the field, and empty slots, have none: 0. On the sphere of radius
    6371.0088 km, where cells lie in longitude and latitude: between meridians and parallels, as CF
    bounds say, else midway between labels; on curvilinear grids and meshes polygons of great
    circles. In a projection the area there. xarray leaves the bounds of a Dataset behind where a
    variable is taken out of it: ask the Dataset, or its patches.

    Returns
    -------
    DataArray
        Of a field with its horizontal dimensions, of patches (patch, in-patch dims of these). On
        dask if the patches are. No data are read.

    Raises
    ------
    ValueError
        If cells have no area, such as stations, or nothing says how large they are.

    Examples
    --------
    >>> lat, lon = [-67.5, -22.5, 22.5, 67.5], np.arange(0, 360, 45)
    >>> field = xr.DataArray(np.ones((4, 8)), {"lat": lat, "lon": lon}, ("lat", "lon"))
    >>> patches = field.patch.split(geometry={"lat": 2, "lon": 4})
    >>> patches.weighted(patches.patch.area).mean(("lat", "lon")).values
    array([1., 1., 1., 1.])
    """
    scenes = scene_rows(obj)
    if scenes is not None:
        return _of_scenes(obj, *scenes)
    found = find_recipe(obj) if patch_index(obj) is None else None
    if patch_index(obj) is None and found is None:
        return _of_field(obj)
    if found is not None and found[0] not in obj.dims:  # a single patch
        one = as_one(obj, found[0], ())
        return _of_patches(one).isel({found[0]: 0}, missing_dims="ignore")
    return on_maps(_of_patches(obj), obj)


def _of_field(obj: Any) -> xr.DataArray:
    domain = domain_of(obj)
    return _named(obj, domain.cell_areas(), domain.mapping and domain.mapping.name)


def _named(obj: Any, areas: Variable, mapping: Hashable | None = None) -> xr.DataArray:
    """Give areas the coordinates of the cells."""
    names = [n for n, c in obj.coords.items() if c.dims and {*c.dims} <= {*areas.dims}]
    names += [mapping] if mapping in obj.coords else []
    coords = obj.coords.to_dataset()[names].coords
    return xr.DataArray(areas, coords, name="cell_area")


def _of_patches(obj: Any) -> xr.DataArray:
    source, plan = left_plan_of(obj)
    if isinstance(obj, xr.Dataset) and len(source.plans) > 1:
        raise ValueError(
            "patches of several fields have cells of several sizes; ask those of one variable, "
            f"patches[{next(iter(obj.data_vars))!r}].patch.area"
        )
    told = _told(obj, plan)
    if told is not None:
        return told
    areas = _areas(obj, plan)
    if not cut_dims(areas, plan):  # windows in time
        return _named(obj, areas)
    out = _cut(obj, source, plan, areas)
    order = [d for d in obj.dims if d in out.dims]
    out = out.transpose(*order, *(d for d in out.dims if d not in order))
    return xr.DataArray(out, labels_of(obj, out.dims), name="cell_area")


def _told(obj: Any, plan: Plan) -> xr.DataArray | None:
    """Give the areas of cells of a global grid, which patches of files and single ones name by their ids."""
    slots = [m.dim for m in plan.lists if not m.timed]
    areas = areas_told(obj, slots[0]) if plan.recalled is not None and slots else None
    if areas is None:
        return None
    return xr.DataArray(areas, labels_of(obj, areas.dims), name="cell_area")


def _areas(obj: Any, plan: Plan) -> Variable:
    """Give the areas of all cells of the field that was split."""
    domain = plan.domain
    own = [m.dims[0] for m in plan.lists if not m.timed and m.dims[0] in domain.element_dims]
    try:
        if plan.recalled is not None:
            _check_edges(obj, plan)
        return domain.cell_areas(*own)
    except ValueError as error:
        if plan.recalled is None:
            raise
        raise ValueError(
            "a single patch, or patches of a file, do not know the corners of all cells of their field: split the field "
            "again, or take areas along, patches.assign_coords(area=patches.patch.area), before they are written"
        ) from error


def _check_edges(obj: Any, plan: Plan) -> None:
    """Raise a ValueError if bounds, which no recipe holds, may lie elsewhere than midway between labels."""
    for d in plan.domain.spatial_dims:
        bounded = bounds_name(obj.coords.get(d)) is not None
        if bounded and plan.domain.spacing(d) is None:
            raise ValueError(f"the bounds of all {d!r} are not known")


def _cut(obj: Any, source: Provenance, plan: Plan, areas: Variable) -> Variable:
    """Cut areas as the data are, in memory, lazily or on dask, with 0 outside of the field."""
    hood = plan.hood.fine.only(cut_dims(areas, plan)).padded_by(pad_mode="constant", pad_value=0.0)
    cut = Cut.of(hood, areas.dims, areas.dtype, None, 0.0)
    data = [v for v in whole_of(obj).data_vars.values() if source.dim in v.dims]
    chunks = next((v.chunksizes[source.dim] for v in data if v.chunks is not None), None)
    lazily = any(not v.variable._in_memory for v in data)
    groups = None if chunks is None else np.split(source.ordinals, np.cumsum(chunks)[:-1])
    areas = areas if chunks is None else areas.chunk()
    out = made(areas, cut, source.dim, source.ordinals, groups, lazily)
    cells = {d: slice(a, out.sizes[d] - b) for d, (a, b) in source.crop.items() if d in out.dims}
    return out.isel(cells)


def _of_scenes(obj: Any, dim: Hashable, rows: list[tuple[Any, NDArray[Any]]]) -> xr.DataArray:
    """Give the areas in patches of scenes, those of each on its own."""
    parts = [area(alone(obj.isel({dim: which}))).variable for _, which in rows]
    parts = [  # the slots that others have more of are empty
        v.pad({d: (0, obj.sizes[d] - n) for d, n in v.sizes.items() if d != dim}, constant_values=0)
        for v in parts
    ]
    back = np.argsort(np.concatenate([which for _, which in rows]))
    joined = Variable.concat([v.transpose(*parts[0].dims) for v in parts], dim).isel({dim: back})
    return xr.DataArray(joined, labels_of(obj, joined.dims), name="cell_area")
