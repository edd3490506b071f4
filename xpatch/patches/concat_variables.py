"""The variables of patches of several fields, put one after the other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray import Variable

from xpatch.domain.dggs import grid_attrs, no_cell
from xpatch.engine import dtypes
from xpatch.engine.joined import Joined, padded
from xpatch.engine.lazy import lazily
from xpatch.patches.index import PatchIndex

TOLD = ("units", "_FillValue", "missing_value")  # attributes that say what numbers mean


def absent(given: Variable | None, found: list[Any], dim: Hashable, count: int) -> Variable:
    """Give missing values in place of a coordinate that other sets have."""
    if given is not None:
        return given
    model = next(v for v in found if v is not None)
    fill, dtype = _fill(model)
    shape = [count if d == dim else n for d, n in model.sizes.items()]
    return Variable(model.dims, np.full(shape, fill, dtype), model.attrs)


def _fill(variable: Variable) -> tuple[Any, np.dtype]:
    """Give what stands for missing values, and a dtype that holds it."""
    if "empty_slot" in variable.attrs:
        return -1, variable.dtype
    grid = grid_attrs(variable.attrs)
    if grid:  # floats do not hold all ids of H3
        return grid.get("nodata", no_cell(grid["grid_name"], variable.dtype)), variable.dtype
    if variable.dtype.kind in "OT":
        return None, np.dtype(object)
    dtype, fill = dtypes.filled(variable.dtype, "" if variable.dtype.kind in "US" else None)
    return fill, dtype


def all_equal(variables: list[Variable]) -> bool:
    """Whether all are the same; data that are not in memory are taken for different ones."""
    first = variables[0]
    for other in variables[1:]:
        if other._data is first._data:
            continue
        if not (first._in_memory and other._in_memory) or not first.identical(other):
            return False
    return True


def per_patch(variable: Variable, dim: Hashable, count: int) -> Variable:
    """Give a variable a value for each patch."""
    if dim in variable.dims:
        return variable.transpose(dim, ...)
    spread: Variable = variable.set_dims({dim: count, **variable.sizes})
    return spread


def joined(parts: list[Variable], sizes: dict[Hashable, int]) -> Variable:
    """Put variables one after the other along their first dimension, and leave data where they are."""
    first = parts[0]
    dims = first.dims
    parts = [p.transpose(*dims) for p in parts]
    inner = tuple(sizes[d] for d in dims[1:])
    dtype, fills = _common_dtype(parts, inner)
    if any(p.chunks is not None for p in parts):
        data = _of_dask(parts, inner, dtype, fills)
    elif all(p._in_memory for p in parts):
        whole = [padded(p.to_numpy(), inner, dtype, f) for p, f in zip(parts, fills, strict=True)]
        data = np.concatenate(whole)
    else:
        arrays = [p.to_numpy() if p._in_memory else p._data for p in parts]
        data = lazily(Joined(arrays, inner, dtype, fills))
    return Variable(dims, data, first.attrs, _common_encoding(parts))


def common_attrs(name: Hashable, variables: list[Variable]) -> dict[str, Any]:
    """Give the attributes that all have alike.

    Raises
    ------
    ValueError
        If numbers mean different things.
    """
    first = variables[0].attrs
    for key in TOLD:
        said = list(dict.fromkeys(_said(v.attrs.get(key)) for v in variables if v.size))
        if key == "units" and name in variables[0].dims:  # of labels, which warping writes down
            said = [unit for unit in said if unit != str(None)]
        if len(said) > 1:
            raise ValueError(
                f"{key!r} of {name!r} differs between the sets of concat: {' and '.join(said)}; convert the "
                f"patches first, so that all numbers mean the same"
            )
    others = [v.attrs for v in variables[1:]]
    grids = [grid_attrs(v.attrs) for v in variables]
    if any(_less(g, "nodata") != _less(grids[0], "nodata") for g in grids):
        first = _less(first, *(n for g in grids for n in g))  # half of them would say another grid
    return {k: a for k, a in first.items() if all(k in o and _alike(o[k], a) for o in others)}


def own_grids(variables: list[Variable]) -> list[dict[str, Any]]:
    """Give what cell ids of each set say of their grid, where they do not say the same; else nothing."""
    grids = [grid_attrs(v.attrs) for v in variables]
    return grids if any(g != grids[0] for g in grids) else [{} for _ in grids]


def _less(attrs: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {n: v for n, v in attrs.items() if n not in names}


def _said(value: Any) -> str:
    """Say what an attribute tells: that NaN is missing, as writers note, is so without a word."""
    missing = isinstance(value, float | np.floating) and value != value
    return str(None if missing else value)


def _alike(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray | list | tuple) else bool(a == b)


def _common_dtype(parts: list[Variable], inner: tuple[int, ...]) -> tuple[np.dtype, list[Any]]:
    """Give a dtype that holds all, and for each what its empty slots hold."""
    kinds = [p.dtype for p in parts]
    if len({k.kind for k in kinds}) > 1 and any(grid_attrs(p.attrs) for p in parts):
        raise ValueError(
            f"the cell ids of the sets of concat are {' and '.join(sorted({str(k) for k in kinds}))}, of which no "
            "integer holds all; convert those of the fields before they are split: "
            "field.assign_coords(cell_ids=field.cell_ids.astype('uint64'))"
        )
    if len({k.kind for k in kinds}) > 1 and any(k.kind in "OUSTmM" for k in kinds):
        dtype = np.dtype(object)
    else:
        dtype = kinds[0] if len(set(kinds)) == 1 else np.result_type(*kinds)
    if all(p.shape[1:] == inner for p in parts):
        return dtype, [None] * len(parts)
    found = [_fill(Variable((), np.zeros((), dtype), p.attrs)) for p in parts]
    return found[0][1], [fill for fill, _ in found]


def _common_encoding(parts: list[Variable]) -> dict[str, Any]:
    same = [p.encoding.get("grid_mapping") for p in parts]
    return {"grid_mapping": same[0]} if same[0] is not None and len(set(same)) == 1 else {}


def _of_dask(
    parts: list[Variable], inner: tuple[int, ...], dtype: np.dtype, fills: list[Any]
) -> Any:
    import dask.array as da

    arrays = []
    for part, fill in zip(parts, fills, strict=True):
        whole = part if part.chunks is not None else part.chunk()
        array: Any = whole.data
        if array.shape[1:] != inner:
            pads = [(0, 0), *((0, n - m) for m, n in zip(array.shape[1:], inner, strict=True))]
            array = da.pad(array.astype(dtype), pads, mode="constant", constant_values=fill)
            array = array.rechunk({k: -1 for k, (_, b) in enumerate(pads) if b})
        arrays.append(array.astype(dtype))
    return da.concatenate(arrays)


# ------------------------------------------------------------------------- index and recipe


def assembled(
    model: xr.Dataset, variables: dict[Hashable, Variable], index: PatchIndex, labels: Variable
) -> xr.Dataset:
    """Put variables and coordinates together, in the order that the first set has."""
    coords = {n: v for n, v in variables.items() if n not in model.data_vars}
    indexes: dict[Hashable, Any] = {
        n: i for n, i in model.xindexes.items() if n in coords and coords[n].dims == model[n].dims
    }
    coords |= index.create_variables({index.dim: labels})
    indexes[index.dim] = index
    data = {n: variables[n] for n in model.data_vars}
    out = xr.Dataset(data, xr.Coordinates(coords, indexes=indexes), model.attrs)
    for name, variable in data.items():
        out[name].encoding = dict(variable.encoding)
    return out
