"""`domain_of`: tell what a field lies on."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import xarray as xr

import xpatch.domain.axes as ax
from xpatch.domain.affine import mapping_of
from xpatch.domain.base import Chunks, Domain
from xpatch.domain.elements import (
    MeshDomain,
    PointDomain,
    VectorDomain,
    point_places,
    vector_places,
)
from xpatch.domain.lattice import GridDomain, Lattice, lattice_of
from xpatch.domain.lonlat import held_positions
from xpatch.domain.sites import MESH_DIMS


def domain_of(obj: xr.DataArray | xr.Dataset) -> Lattice:
    """Tell what a field lies on from its coordinates.

    Parameters
    ----------
    obj : DataArray or Dataset
        A field: an object of uxarray, an xvec cube or shapely coordinates, stations or
        trajectories (CF), a raster with a CRS, a latitude-longitude or curvilinear grid, any other
        labeled or unlabeled array.

    Returns
    -------
    Domain
        A `MeshDomain`, `VectorDomain` or `PointDomain` where there are elements; a
        `RasterDomain` if there is a CRS (``spatial_ref``, CF ``grid_mapping``) and projection
        axes; otherwise a `GridDomain`. Its repr says what was found.

    Raises
    ------
    TypeError
        If ``obj`` is not an xarray object.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((3, 4)), {"lat": [0, 1, 2], "lon": [0, 1, 2, 3]})
    >>> xpatch.domain_of(field)
    <GridDomain (lat: 3, lon: 4)>
      spatial dims: lat, lon
      lat: 0 to 2, step 1
      lon: 0 to 3, step 1
    """
    if isinstance(obj, Lattice):
        return obj
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        hint = ": xr.DataArray(values, dims=('y', 'x'))" if hasattr(obj, "shape") else ""
        raise TypeError(f"expected a DataArray or a Dataset, got {type(obj).__name__}{hint}")
    check_named_once(obj)
    template = coordinates_of(obj)
    orders: dict[Hashable | None, tuple[Hashable, ...]] = {}
    chunks: dict[Hashable | None, Chunks] = {}
    for name, variable in variables_of(obj).items():
        orders[name] = variable.dims
        if variable.chunks is not None:
            chunks[name] = dict(variable.chunksizes)
    sizes = {d: obj.sizes[d] for d in _ordered_dims(obj)}
    mapping = ax.grid_mapping(obj)
    crs = ax.crs_source(obj, mapping)
    mappings = {
        name: variable.encoding["grid_mapping"]
        for name, variable in variables_of(obj).items()
        if "grid_mapping" in variable.encoding
    }
    args = (template, sizes, orders, chunks, crs, mappings, mapping_of(obj, mapping))
    grid = ux_grid(obj)
    if grid is not None and (dims := [d for d in MESH_DIMS if d in sizes]):
        return MeshDomain(*args).with_grid(grid).with_places({(d,): d for d in dims})
    if vectors := vector_places(obj):
        return VectorDomain(*args).with_places(vectors)
    found = GridDomain(*args)
    if held := held_positions(obj, found.roles):
        found = GridDomain(*args).with_held(held)
    if points := point_places(obj, found.located, found.roles):
        return PointDomain(*args).with_held(held).with_places(points)
    return lattice_of(found, *args)


def coordinates_of(obj: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Give the coordinates with their indexes, none of the data or attributes."""
    if isinstance(obj, xr.DataArray):  # a Dataset made anew checks what xarray has checked
        return obj.coords.to_dataset()
    return xr.Dataset(coords=obj.coords)


def check_named_once(obj: xr.DataArray | xr.Dataset) -> None:
    """Raise a ValueError if a variable has a dimension twice, which xarray hardly works with."""
    for variable in (*variables_of(obj).values(), *obj.coords.variables.values()):
        dims = variable.dims
        if len(set(dims)) < len(dims):
            raise ValueError(
                f"the field has a dimension twice, {list(dims)}; give each a name of its own: "
                "xr.DataArray(field.values, dims=(…))"
            )


def ux_grid(obj: Any) -> Any:
    """Give the mesh of an object of uxarray, without importing it."""
    named = any(t.__module__.split(".")[0] == "uxarray" for t in type(obj).__mro__)
    return getattr(obj, "uxgrid", None) if named else None


def _ordered_dims(obj: xr.DataArray | xr.Dataset) -> list[Hashable]:
    """Order dimensions as the variable with most of them does, wherever it stands in a Dataset."""
    variables = sorted(variables_of(obj).items(), key=lambda v: (-len(v[1].dims), str(v[0])))
    return list(dict.fromkeys([d for _, v in variables for d in v.dims] + list(obj.dims)))


def variables_of(obj: xr.DataArray | xr.Dataset) -> dict[Hashable | None, xr.Variable]:
    """Give the data variables by name; that of a DataArray under None."""
    if isinstance(obj, xr.DataArray):
        return {None: obj.variable}
    return {name: array.variable for name, array in obj.data_vars.items()}


__all__ = ["Domain", "domain_of", "variables_of"]
