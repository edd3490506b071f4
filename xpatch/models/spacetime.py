"""Merge patches in space and time one after the other: time within each place, places within each time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex

from xpatch.geometry import Places
from xpatch.neighborhood import Neighborhood
from xpatch.patches.index import PatchIndex
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance

OTHER = "__other__"  # what is carried while the rest is merged
Merger = Callable[[xr.Dataset], xr.Dataset]


class Sides(NamedTuple):
    """The windows in time and the places of patches, each on its own."""

    time: Plan
    when: NDArray[np.int64]
    space: Plan
    where: NDArray[np.int64]


def is_both(plan: Plan) -> bool:
    """Whether patches were cut in time and in space."""
    return bool(plan.hood.time_dims) and len(plan.dims) > 1


def sides_of(plan: Plan, ordinals: NDArray) -> Sides:
    """Tell the windows in time of patches, and their places, apart."""
    hood, (part, when), space = plan.hood, plan.in_time(ordinals), plan.hood.in_space
    assert space is not None
    time, where = Neighborhood((part,)), hood.in_space_of(np.asarray(ordinals))
    if not hood.lists:
        time, when = distinct(time, when)
        space, where = distinct(space, where)
    elif hood.picks is not None:  # those read or coupled may repeat a window or a place
        when = first_alike(time)[when]
        where = first_alike(space, plan.places)[where]
    alone = dataclasses.replace(plan, hood=time, places=None)
    return Sides(alone, when, dataclasses.replace(plan, hood=space), where)


def distinct(boxes: Neighborhood, ordinals: NDArray) -> tuple[Neighborhood, NDArray[np.int64]]:
    """Give the boxes that some patches have, each once, and which each patch has."""
    starts, entries = np.unique(boxes.starts(ordinals), axis=0, return_inverse=True)
    each = zip(boxes.slices, starts.T, strict=True)
    parts = [dataclasses.replace(p, starts=np.ascontiguousarray(s)) for p, s in each]
    picks = (np.arange(len(starts)),) * len(parts)
    return Neighborhood(tuple(parts), picks), entries.reshape(-1)


def first_alike(hood: Neighborhood, places: Places | None = None) -> NDArray[np.int64]:
    """Give, for each neighborhood, the first one that is the same."""
    if not hood.lists:
        _, first, which = np.unique(hood.starts(), axis=0, return_index=True, return_inverse=True)
        return first[which.reshape(-1)]
    lists = hood.members(np.arange(len(hood)))
    known: dict[Any, int] = {}
    out = np.empty(len(hood), np.int64)
    for k, elements in enumerate(np.split(lists.elements, lists.offsets[1:-1])):
        at: tuple[Any, ...] = () if lists.anchors is None else (int(lists.anchors[k]),)
        if places is not None:
            at = (int(places.elements[k]), str(places.x[k]), str(places.y[k]))
        out[k] = known.setdefault((elements.tobytes(), *at), k)
    return out


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
