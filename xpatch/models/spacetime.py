"""Merge patches in space and time one after the other: time within each place, places within each time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex

from xpatch.patches.index import PatchIndex
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.patches.sides import Sides, sides_of

OTHER = "__other__"  # what is carried while the rest is merged
Merger = Callable[[xr.Dataset], xr.Dataset]


def grouped(outer: NDArray, inner: NDArray) -> list[tuple[NDArray, NDArray, NDArray]]:
    """Group the entries of ``outer`` that go with the same entries of ``inner``.

    Gives for each group its outer entries, their inner entries, and which patches these are, shape
    (outer, inner).
    """
    if not len(outer):
        return [(outer, inner, np.empty((0, 0), np.int64))]
    order = np.lexsort((inner, outer))
    cuts = np.flatnonzero(np.diff(outer[order])) + 1
    groups: dict[bytes, list[NDArray]] = {}
    for which in np.split(order, cuts):
        groups.setdefault(inner[which].tobytes(), []).append(which)
    return [(outer[w[:, 0]], inner[w[0]], w) for w in (np.stack(g) for g in groups.values())]


def regrouped(
    patches: xr.Dataset, dim: Hashable, which: NDArray, inner: NDArray, plan: Plan, crop: Any
) -> xr.Dataset:
    """Give patches along ``inner`` alone; the others are one carried dimension."""
    part = patches.isel({dim: which.reshape(-1)})
    shape, found = which.shape, {}
    for name, v in part.data_vars.items():
        if dim not in v.dims:
            found[name] = v.variable
            continue
        own = v.variable.transpose(dim, ...)
        data = own.data.reshape(*shape, *own.shape[1:])
        found[name] = Variable((OTHER, dim, *own.dims[1:]), data, own.attrs).transpose(dim, ...)
    index = PatchIndex(PandasIndex(np.asarray(inner), dim), (plan,), crop)
    lost = {n for n, c in part.coords.items() if dim in c.dims or n in plan.domain.sizes}
    kept = {n: c.variable for n, c in part.coords.items() if n not in lost}
    all_of = part.xindexes.get_all_coords
    indexes = {n: x for n, x in part.xindexes.items() if set(all_of(n)) <= set(kept)}
    coords = xr.Coordinates(
        {**kept, **index.create_variables({dim: Variable(dim, inner)})},
        indexes={**indexes, dim: index},
    )
    return xr.Dataset(found, coords, patches.attrs)


def merged_over(
    patches: xr.Dataset, dim: Hashable, sides: Sides, over: str, crop: Any, merge: Merger
) -> tuple[xr.Dataset, NDArray]:
    """Merge over time or over space, for each of the others. Gives the result, and which others."""
    outer, inner, plan = (
        (sides.where, sides.when, sides.time)
        if over == "time"
        else (sides.when, sides.where, sides.space)
    )
    own = {d: c for d, c in crop.items() if d in plan.inner}
    parts, names = [], []
    for others, entries, which in grouped(outer, inner):
        part = merge(regrouped(patches, dim, which, entries, plan, own))
        parts.append(part)
        names.append(others)
    whole = parts[0]
    if len(parts) > 1:
        whole = xr.concat(
            parts, OTHER, data_vars="minimal", coords="minimal", compat="override", join="override"
        )
    every = np.concatenate(names)
    order = np.argsort(every, kind="stable")
    return whole.isel({OTHER: order}), every[order]


def merge_in_turn(
    patches: xr.Dataset, source: Provenance, crop: Any, in_time: Merger, in_space: Merger
) -> xr.Dataset:
    """Merge time first, within each place, and then space."""
    dim = source.dim
    sides = sides_of(source.plans[0], source.ordinals)
    series, places = merged_over(patches, dim, sides, "time", crop, in_time)
    return in_space(at_places(series.rename({OTHER: dim}), dim, places, sides.space, crop))


def at_places(
    found: xr.Dataset, dim: Hashable, places: NDArray, plan: Plan, crop: Any
) -> xr.Dataset:
    """Label what stands along ``dim`` as patches in space alone."""
    own = {d: c for d, c in crop.items() if d in plan.inner}
    index = PatchIndex(PandasIndex(places, dim), (plan,), own)
    coords = index.create_variables({dim: Variable(dim, places)})
    lost = [n for n, c in found.coords.items() if n in plan.dims or dim in c.dims]
    data = {n: v.variable.transpose(dim, ...) for n, v in found.data_vars.items() if dim in v.dims}
    bare = found.drop_vars(lost).assign(data)
    return bare.assign_coords(xr.Coordinates(coords, indexes={dim: index}))
