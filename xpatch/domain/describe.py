"""What every domain knows of a field: coordinates, dimensions, chunks, CRS."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import xarray as xr

import xpatch.domain.axes as ax
from xpatch.domain.affine import mapping_of

Described = tuple[Any, ...]  # the arguments of `xpatch.domain.base.Domain`


def described(obj: xr.DataArray | xr.Dataset) -> Described:
    """Give the arguments by which domains are built."""
    check_named_once(obj)
    template = coordinates_of(obj)
    orders: dict[Hashable | None, tuple[Hashable, ...]] = {}
    chunks: dict[Hashable | None, Any] = {}
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
    return template, sizes, orders, chunks, crs, mappings, mapping_of(obj, mapping)


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


def _ordered_dims(obj: xr.DataArray | xr.Dataset) -> list[Hashable]:
    """Order dimensions as the variable with most of them does, wherever it stands in a Dataset."""
    variables = sorted(variables_of(obj).items(), key=lambda v: (-len(v[1].dims), str(v[0])))
    return list(dict.fromkeys([d for _, v in variables for d in v.dims] + list(obj.dims)))


def variables_of(obj: xr.DataArray | xr.Dataset) -> dict[Hashable | None, xr.Variable]:
    """Give the data variables by name; that of a DataArray under None."""
    if isinstance(obj, xr.DataArray):
        return {None: obj.variable}
    return {name: array.variable for name, array in obj.data_vars.items()}
