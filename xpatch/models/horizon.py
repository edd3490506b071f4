"""The past and the future part of windows in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex

from xpatch.domain.nodata import nodata_of
from xpatch.neighborhood import Members, Runs
from xpatch.patches.decoding import find_recipe
from xpatch.patches.fields import by_field, denied, of_one_field
from xpatch.patches.index import (
    PatchIndex,
    as_given,
    patch_index,
    whole_of,
    with_index,
    with_variables,
)
from xpatch.patches.names import is_lead
from xpatch.patches.plan import NO_WINDOWS, Plan
from xpatch.patches.provenance import NEVER_SPLIT, Provenance, of_index, provenance
from xpatch.patches.recall import indexed
from xpatch.patches.scene import alone
from xpatch.patches.steps import lead_coordinate


class NoPartError(ValueError):
    """Patches have no past, or no future."""


def lookback(patches: Any) -> Any:
    """The part of windows in time up to the anchor: the input of a forecast.

    Returns
    -------
    DataArray or Dataset
        Patches with the dimensions of these, fewer steps along that of time.

    Examples
    --------
    >>> series = xr.DataArray(np.arange(9.0), dims="time")
    >>> windows = series.patch.split(xpatch.LookbackHorizon(3, 2, dim="time"))
    >>> windows.patch.lookback.values[0]
    array([0., 1., 2.])
    """
    return _part(patches, past=True)


def horizon(patches: Any) -> Any:
    """The part of windows in time after the anchor: the target of a forecast.

    Returns
    -------
    DataArray or Dataset
        Patches with the dimensions of these, fewer steps along that of time.

    Examples
    --------
    >>> series = xr.DataArray(np.arange(9.0), dims="time")
    >>> windows = series.patch.split(xpatch.LookbackHorizon(3, 2, dim="time"))
    >>> windows.patch.horizon.values[0]
    array([3., 4.])
    """
    return _part(patches, past=False)


def ahead(patches: Any, source: Provenance) -> tuple[Any, Provenance]:
    """Give the horizons of patches of which it is known where they come from, and where these do."""
    part = _cut(patches, source, past=False)
    return part, of_index(part)


def forecasts(
    patches: Any, source: Provenance, how: Any = None, present: Any = None
) -> tuple[Any, Provenance, Any]:
    """Give the horizons of patches, the later made after the earlier."""
    part = in_time_order(_cut(patches, source, past=False))
    return part, of_index(part), present


def in_time_order(patches: Any) -> Any:
    """Number patches whose anchors were drawn or given in any order by the times of their anchors."""
    index = patch_index(patches)
    assert index is not None
    plan = index.plans[0]
    steps = plan.steps(np.arange(len(plan)))
    if (steps[1:] >= steps[:-1]).all():
        return patches
    order = np.argsort(steps, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    labels = PandasIndex(rank[index.ordinals], index.dim)
    plans = tuple(_reordered(p, order) for p in index.plans)
    return with_index(patches, PatchIndex(labels, plans, index.crop))


def _reordered(plan: Plan, order: NDArray) -> Plan:
    events = None if plan.events is None else plan.events[order]
    hood, places = plan.hood, plan.places
    if plan.members is not None and places is not None:
        hood, places = hood.alone(order), places.take(order)
    else:
        hood = hood.take(order)
    return dataclasses.replace(plan, hood=hood, places=places, events=events, origin=None)


def _part(patches: Any, past: bool) -> Any:
    if patch_index(patches) is None:
        patches = alone(patches)
    found = find_recipe(patches) if patch_index(patches) is None else None
    if found is not None and found[0] not in patches.dims:
        return _part(_with_dim(patches, found[0]), past).isel({found[0]: 0})
    patches = indexed(patches)
    mixed = patch_index(patches)
    if mixed is not None and (mixed.mixed or mixed.scenes):
        return _of_mixed(patches, mixed, past)
    patches = of_one_field(patches)
    return _cut(patches, provenance(patches), past)


def _cut(patches: Any, source: Provenance, past: bool) -> Any:
    """Cut a part out of patches of one split."""
    if len(source.plans) > 1:
        return _of_each(patches, source.plans, past)
    index = patch_index(patches)
    if index is None:  # of labels alone no windows are known
        raise ValueError(NEVER_SPLIT)
    plan = source.plans[0]
    dim = plan.time_dim
    if dim not in patches.dims:
        raise ValueError(
            f"these patches have no dimension {dim!r} any more; put one value a window on the part that "
            "it is meant for: xr.zeros_like(patches.patch.horizon) + value"
        )
    begin = plan.first_future
    part = plan.hood.in_time
    if part is not None and not part.box:
        return _of_lists(patches, index, plan, part, begin, past)
    assert part is not None
    if plan.hood.coarse:  # scales end with their anchor
        _not_empty(int(past), past)
        return patches
    at, size = part.anchor, part.size
    assert at is not None
    lead = patches.coords.get(plan.called("lead"))
    low, high = _kept(patches, dim, size, at, source.crop.get(dim, (0, 0)), lead)
    own = index.crop.get(dim, (0, 0))
    index = index.cropped({dim: (low - own[0], high - own[1])})
    cut = min(max(at + begin, low), size - high)
    cells = slice(0, cut - low) if past else slice(cut - low, size - high - low)
    more = (0, size - high - cut) if past else (cut - low, 0)
    _not_empty(cells.stop - cells.start, past)
    return with_index(patches.isel({dim: cells}), index.cropped({dim: more}))


def _of_each(patches: xr.Dataset, plans: tuple[Plan, ...], past: bool) -> xr.Dataset:
    """Cut the part of each field that has windows in time out of patches of several fields."""
    inner = {d for plan in plans for d in plan.inner}
    bare = {n: v for n, v in patches.data_vars.items() if not inner & {*v.dims}}
    parts = by_field(patches.drop_vars(list(bare)), plans, None)
    if not any(plan.hood.time_dims for plan in parts):
        raise ValueError(NO_WINDOWS)
    found, lacking = [], None
    for plan, part in parts.items():
        try:
            found.append(_cut(part, of_index(part), past) if plan.hood.time_dims else part)
        except NoPartError as error:  # such as the future of a lookback
            lacking = error
    if not found and lacking is not None:
        raise lacking
    merged = xr.merge(found, join="outer", compat="override", combine_attrs="override")
    merged = merged.assign({n: v.variable for n, v in bare.items()})
    return merged[[n for n in patches.data_vars if n in merged]].assign_attrs(patches.attrs)


def _of_mixed(patches: Any, index: PatchIndex, past: bool) -> Any:
    """Cut a part out of patches of different splits, whose windows have the same leads."""
    dim, lead, begin = index.leads or (None, (), 0)
    if dim is None or patches.sizes.get(dim) != len(lead):
        raise ValueError(
            "these patches come from different splits, of which it is not known that they have windows in "
            "time with the same leads; take lookback and horizon of each before xr.concat"
        )
    wanted = np.flatnonzero((np.array(lead) < begin) == past)
    _not_empty(len(wanted), past)
    out = patches.isel({dim: slice(wanted[0], wanted[-1] + 1)})
    if not index.scenes:
        return out
    return with_index(out, index.cropped({dim: (wanted[0], len(lead) - 1 - wanted[-1])}))


def _with_dim(patch: Any, dim: Hashable) -> Any:
    """Give a single patch its dimension back, on all that may differ from patch to patch."""
    dataset = whole_of(patch)
    same = {*dataset.xindexes, *(n for n, c in dataset.coords.items() if is_lead(c))}
    names = [n for n, v in dataset.variables.items() if v.ndim and n not in same]
    many = {n: dataset.variables[n].expand_dims(dim) for n in names}
    labels = dataset.variables[dim].expand_dims(dim)
    return with_variables(patch.drop_vars(dim), many).assign_coords({dim: labels})


def _kept(
    patches: Any,
    dim: Hashable,
    size: int,
    at: int | None,
    crop: tuple[int, int],
    coord: xr.DataArray | None = None,
) -> tuple[int, int]:
    """Find how many steps were cut off at both ends: from the lead, else as the index knows.

    Raises
    ------
    ValueError
        If nothing says which steps were left.
    """
    n = patches.sizes[dim]
    lead = None if coord is None else coord.variable
    if at is not None and n and lead is not None and lead.dims == (dim,) and lead.chunks is None:
        first = int(lead.values[0]) + at
        if first >= 0 and np.array_equal(lead.values, np.arange(n) + first - at):
            return first, size - first - n
    elif n == size - sum(crop):
        return crop
    raise ValueError(
        f"the patches have {n} steps along {dim!r}, of {size} that were cut, and these are not a run, or "
        "nothing says which they are; take lookback or horizon first, and select steps of that"
    )


def _of_lists(
    patches: Any, index: PatchIndex, plan: Plan, members: Members, begin: int, past: bool
) -> Any:
    """Keep the members of one part, which may stand in other slots of every patch."""
    assert members.anchors is not None
    _kept(patches, members.dim, members.width, None, (0, 0))
    if denied(patches, index, plan, members, slice(3)):
        raise ValueError(
            f"the steps along {members.dim!r} were reordered, so that past and future are not where they "
            "were cut; take lookback or horizon first"
        )
    part: Members
    if isinstance(members, Runs):
        edge = members.anchors + begin
        part = members.clipped(None, edge) if past else members.clipped(edge, None)
        first = np.zeros(len(members), np.int64) if past else members.counts - part.counts
    else:
        wanted = (members.leads < begin) == past
        counts = np.bincount(members.patches[wanted], minlength=len(members))
        keep = np.flatnonzero(wanted)
        part = dataclasses.replace(
            members,
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            elements=members.elements[keep],
            distances=None if members.distances is None else members.distances[keep],
            positions=None if members.positions is None else members.positions[keep],
            width=max(1, int(counts.max(initial=0))),
        )
        first = np.zeros(len(members), np.int64)
        some = counts > 0
        first[some] = members.slots[keep][part.offsets[:-1][some]]
    if members.halves is not None:  # of what was read back other patches may have longer windows
        none = (1, False)
        halves = (members.halves[0], none) if past else (none, members.halves[1])
        part = dataclasses.replace(part, width=members.halves[not past][0], halves=halves)
    counts = part.counts
    _not_empty(int(counts.max(initial=0)), past)
    hood = plan.hood.replaced(members, part)
    own = dataclasses.replace(plan, hood=hood, origin=plan.anchor_id)
    entries = plan.hood.of_part(members, index.ordinals)
    inner = _shifted(patches, members, part, first[entries], counts[entries], index.dim)
    inner = inner.assign_coords(
        lead_coordinate(own, past)
    )  # one part may be even where both are not
    return with_index(inner, PatchIndex(index._index, (own,), index.crop))


def _shifted(
    patches: Any, members: Members, part: Members, first: NDArray, counts: NDArray, dim: Hashable
) -> Any:
    """Take ``counts`` slots from ``first`` on, of each patch; slots beyond are empty."""
    if (first == first[:1]).all() and (counts == part.width).all():
        low = int(first[0]) if len(first) else 0
        slots = slice(low, low + part.width)
        return patches.isel({members.dim: slots})
    last = np.maximum(first + counts - 1, 0)[:, None]  # also in empty slots, which may keep it
    many = np.minimum(first[:, None] + np.arange(part.width), last)
    at = xr.Variable((dim, members.dim), many)
    there = xr.Variable((dim, members.dim), np.arange(part.width) < counts[:, None])

    def moved(variable: Variable) -> Variable:
        if dim not in variable.dims:
            return variable.isel({members.dim: slice(0, part.width)})
        if variable.chunks is not None:
            variable = variable.chunk({members.dim: -1})
        taken = _taken(variable, at, dim, members.dim)
        if (counts == part.width).all() or variable.dtype == object:
            return taken  # dates of cftime know no missing value
        if "empty_slot" in variable.attrs:
            return taken.where(there, -1)
        if variable.dtype.kind == "U":
            return taken.where(there, "")
        nodata = nodata_of(variable)
        empty = () if nodata is None or nodata.empty is None else (nodata.empty,)
        return taken.where(there, *empty)

    dataset = whole_of(patches)
    names = {n: moved(v) for n, v in dataset.variables.items() if members.dim in v.dims}
    bare = dataset.drop_vars(list(names))
    coords = {n: v for n, v in names.items() if n in dataset.coords}
    out = bare.assign({n: v for n, v in names.items() if n not in coords}).assign_coords(coords)
    return as_given(out[list(dataset.data_vars)], patches)


def _taken(variable: Variable, at: Variable, dim: Hashable, slot: Hashable) -> Variable:
    """Take slots of each patch, which differ from patch to patch."""
    axis, width = variable.get_axis_num(slot), at.shape[1]
    place = variable.get_axis_num(dim)
    shape = [1] * variable.ndim
    shape[place], shape[axis] = at.shape
    index = (at.values if place < axis else at.values.T).reshape(shape)
    if variable.chunks is None:
        data = np.take_along_axis(variable.to_numpy(), index, axis)
        return Variable(variable.dims, data, variable.attrs)
    import dask.array as da

    own = variable.chunksizes
    rows = {dim: own[dim], slot: (width,)}
    places = da.from_array(index, tuple(rows.get(d, (1,)) for d in variable.dims))
    chunks = tuple((width,) if d == slot else c for d, c in own.items())
    data = da.map_blocks(
        np.take_along_axis, variable.data, places, axis, dtype=variable.dtype, chunks=chunks
    )
    return Variable(variable.dims, data, variable.attrs)


def _not_empty(size: int, past: bool) -> None:
    if size <= 0:
        part, need = ("past", "FixedLookback") if past else ("future", "LookbackHorizon")
        name = "lookback" if past else "horizon"
        raise NoPartError(
            f"these patches have no {part} part; split with {need}(…), and where they are the other part "
            "of such windows, put the values on this one, which comes first in a sum: "
            f"xr.zeros_like(patches.patch.{name}) + values"
        )
