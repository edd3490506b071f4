"""Coordinates of a merged field, and dates, which are merged as numbers: what is not averaged."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex

from xpatch.aggregation import First
from xpatch.domain import Lattice
from xpatch.domain.dates import calendar_of, counted, dated
from xpatch.domain.lonlat import bounds_name

__all__ = ["is_bounds", "merge_dates", "refined", "restored_coords", "through_counts"]


def restored_coords(
    patches: xr.DataArray | xr.Dataset,
    domain: Lattice,
    cut: tuple[Hashable, ...],
    dim: Hashable,
    sizes: Mapping[Hashable, int],
    scale: Mapping[Hashable, int],
) -> xr.Coordinates:
    """Give the coordinates of the merged field.

    Those with a cut dimension come from the domain. The others come from the patches, because a
    model may have selected or added some; where they are equal, or lazy so that reading them
    would run the model again, or lost, those of the domain are taken, with attrs and encoding.
    """
    template = domain.template
    variables: dict[Hashable, Variable] = {}
    indexes: dict[Hashable, Any] = {}

    def take(source: Any, name: Hashable) -> None:
        variables[name] = source.coords[name].variable
        indexes.pop(name, None)
        if name in source.xindexes:
            indexes[name] = source.xindexes[name]

    for name, coord in template.coords.items():
        if set(coord.dims) & set(cut):
            if all(sizes.get(d) == domain.sizes[d] * scale.get(d, 1) for d in coord.dims):
                if any(scale.get(d, 1) != 1 for d in coord.dims):
                    variables[name] = refined(coord.variable, scale)
                else:
                    take(template, name)
        elif name not in patches.coords and all(sizes.get(d) == coord.sizes[d] for d in coord.dims):
            take(template, name)
    for name, coord in patches.coords.items():
        if dim in coord.dims or name == dim or name in variables or name in domain.made_labels:
            continue
        if name not in template.coords and set(coord.dims) & set(cut):
            continue  # of cells in a patch, such as the lead
        if any(sizes.get(d) != coord.sizes[d] for d in coord.dims):
            continue
        known = name in template.coords and template.coords[name].dims == coord.dims
        if known and _stands_for(coord.variable, template.coords[name].variable):
            take(template, name)
        else:
            take(patches, name)
    for name, variable in variables.items():
        if variable.dims == (name,) and name in cut and any(scale.get(d, 1) != 1 for d in cut):
            indexes.setdefault(name, PandasIndex.from_variables({name: variable}, options={}))
    kept = {id(i): i for i in indexes.values()}
    for key, index in kept.items():  # an index over several coordinates needs them all
        names = [n for n, i in indexes.items() if id(i) == key]
        every = index.create_variables({n: variables[n] for n in names})
        if set(every) - set(names):
            for n in names:
                del indexes[n]
    return xr.Coordinates(variables, indexes=indexes)


def _stands_for(mine: Variable, original: Variable) -> bool:
    """Whether the original coordinate may be taken in place of that of the patches."""
    if mine.shape != original.shape:
        return False
    if mine.chunks is not None or not mine._in_memory:
        return True
    return bool(mine.equals(original))


def refined(variable: Variable, scale: Mapping[Hashable, int]) -> Variable:
    """Give a coordinate on cells that are finer by integer factors: their centers."""
    out = variable.load()
    for axis, d in enumerate(variable.dims):
        factor = scale.get(d, 1)
        if factor == 1:
            continue
        n = out.shape[axis]
        if n > 1 and calendar_of(out) is not None:
            out = through_counts(out, partial(refined, scale={d: factor}))
            continue
        position = (np.arange(n * factor) + 0.5) / factor - 0.5
        if out.dtype.kind not in "iufmM" or n < 2:
            cells = np.arange(n * factor) // factor
            out = out.isel({d: cells})
            continue
        left = np.clip(np.floor(position).astype(int), 0, n - 2)
        part = position - left
        along = [1] * out.ndim
        along[axis] = -1
        low, high = out.isel({d: left}).to_numpy(), out.isel({d: left + 1}).to_numpy()
        part = part.reshape(along)
        if out.dtype.kind in "mM":
            data = low + ((high - low).astype(float) * part).astype("i8").astype((high - low).dtype)
        else:
            kind = out.dtype if out.dtype.kind == "f" else np.dtype(float)
            data = (low + (high - low) * part).astype(kind)
        out = Variable(out.dims, data, out.attrs)
    return out


def is_bounds(domain: Lattice, name: Hashable, variable: Any) -> bool:
    """Whether a variable holds the labels between which the cells of a coordinate lie."""
    if variable.dtype.kind not in "iufmMO" or name is None:
        return False
    named = map(bounds_name, domain.template.coords.values())
    return name in named and (variable.dtype.kind != "O" or calendar_of(variable) is not None)


def merge_dates(
    merge: Callable[..., Variable],
    variable: Variable,
    name: Hashable,
    aggregation: Any,
    domain: Lattice,
) -> Variable:
    """Merge a variable; one of bounds, which patches have in common, is placed."""
    how = First() if is_bounds(domain, name, variable) else aggregation
    return through_counts(variable, lambda v: merge(v, name, how))


def through_counts(variable: Variable, merge: Callable[[Variable], Variable]) -> Variable:
    """Merge dates of cftime as datetime64, which is as good as any number; others as they are."""
    calendar = calendar_of(variable)
    if calendar is None:
        return merge(variable)
    merged = merge(_mapped(variable, _as_counts, calendar, np.dtype("M8[us]")))
    if merged.dtype.kind != "M":  # a count
        return merged
    return _mapped(merged, _as_dates, calendar, np.dtype(object))


def _mapped(
    variable: Variable, function: Callable[..., NDArray[Any]], calendar: str, dtype: np.dtype
) -> Variable:
    if variable.chunks is None:
        return Variable(variable.dims, function(variable.to_numpy(), calendar), variable.attrs)
    import dask.array as da

    data = da.map_blocks(function, variable.data, calendar, dtype=dtype)
    return Variable(variable.dims, data, variable.attrs)


def _as_counts(dates: NDArray[Any], calendar: str) -> NDArray[np.datetime64]:
    known = ~pd.isnull(dates)
    out = np.full(dates.shape, np.array("NaT", "M8[us]"))
    out[known] = counted(dates[known], calendar).view("M8[us]")
    return out


def _as_dates(counts: NDArray[Any], calendar: str) -> NDArray[np.object_]:
    known = ~np.isnat(counts)
    out = np.full(counts.shape, None, object)
    out[known] = dated(counts[known].astype("M8[us]").view("i8"), calendar)
    return out
