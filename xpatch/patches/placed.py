"""Of which plan patches are, and whether their cells are those that were cut, in order."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.neighborhood import Members
from xpatch.patches.labels import part_of, same_numbers
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance, provenance, with_part


def plan_of(obj: xr.DataArray | xr.Dataset) -> tuple[Provenance, Plan]:
    """Give where patches come from, and the plan of the first field."""
    source = provenance(obj)
    return source, source.plans[0]


def own_plan_of(obj: xr.DataArray | xr.Dataset) -> tuple[Provenance, Plan]:
    """Give where patches come from, and the plan that has the in-patch dimensions of a DataArray.

    Samples of profiles have one of their own.
    """
    source, plan = plan_of(obj)
    if isinstance(obj, xr.DataArray) and len(source.plans) > 1:
        own = [p for p in source.plans if set(p.inner) <= set(obj.dims)]
        plan = own[0] if len(own) == 1 else plan
    return source, plan


def placed_plan_of(obj: xr.DataArray | xr.Dataset) -> tuple[Provenance, Plan]:
    """Give the same, and which part of the patches there is.

    Raises
    ------
    ValueError
        If cells of the patches were reordered, or some left out.
    """
    source, plan = own_plan_of(obj)
    source = with_part(obj, source)
    check_in_order(obj, source, plan)
    return source, plan


def left_plan_of(obj: xr.DataArray | xr.Dataset) -> tuple[Provenance, Plan]:
    """Give the same, and lists with the members that are left, in the slots where they stand now.

    Raises
    ------
    ValueError
        If cells of boxes were reordered, or nothing tells which members are left.
    """
    source, plan = own_plan_of(obj)
    source = with_part(obj, source)
    for members in plan.lists:
        left = _left(obj, source, plan, members)
        if left is not members:
            plan = dataclasses.replace(plan, hood=plan.hood.replaced(members, left))
    check_in_order(obj, source, plan)
    return source, plan


def _left(obj: Any, source: Provenance, plan: Plan, members: Members) -> Members:
    """Give the members that are left, as their numbers tell; all of them where these do not."""
    d = members.dim
    name = members.numbers or d
    if d not in obj.dims or name not in obj.coords:
        return members
    numbers = obj.coords[name].variable
    if d not in numbers.dims or not {*numbers.dims} <= {source.dim, d}:
        return members
    numbers = numbers.set_dims({source.dim: len(source.ordinals), d: obj.sizes[d]})
    whole = obj.sizes[d] == members.width
    if whole and same_numbers(numbers, source.ordinals, source.dim, plan, members):
        return members
    entries = plan.hood.of_part(members, source.ordinals)
    kinds, first, which = np.unique(entries, return_index=True, return_inverse=True)
    given: NDArray[Any] = numbers.transpose(source.dim, d).to_numpy()
    alike = given.dtype.kind in "iu" and np.array_equal(given, given[first][which.reshape(-1)])
    found = members.take(kinds).slotted(given[first]) if alike else None
    return members if found is None else found.spread(kinds, len(members))


def check_in_order(obj: Any, source: Provenance, plan: Plan) -> None:
    """Raise a ValueError if cells of patches are no run of those that were cut, as labels and sizes tell."""
    for d, n in plan.inner.items():
        if d not in obj.dims or d in plan.hood.coarse:
            continue
        low, high = source.crop.get(d, (0, 0))
        labels = obj.coords[d].variable if d in obj.coords else None
        told = obj.sizes[d] == n - low - high
        if told and labels is not None and labels.chunks is None and plan.boxed is not None:
            labeled = d in plan.boxed.dims and plan.domain.coordinate(d) is not None
            if labeled and {*labels.dims} <= {source.dim, d} and labels.dims:
                where = (source.ordinals, source.dim, plan.boxed, d)
                told = part_of(labels, *where, source.crop.get(d)) is not None
        for members in plan.lists:
            numbers = obj.coords.get(members.numbers or members.dim)
            known = numbers is not None and numbers.chunks is None and members.dim == d
            if told and known and {*numbers.dims} == {source.dim, d}:
                given = numbers.variable
                told = same_numbers(given, source.ordinals, source.dim, plan, members)
        if not told and any(d == m.dim for m in plan.lists):
            raise ValueError(
                f"the slots along {d!r} are not those of their patch, in order, and no numbers along {d!r} tell which "
                "members are left: ask the patches as split gave them, and select of what they say, such as "
                f"patches.patch.distance.isel({d}=…)"
            )
        if not told:
            raise ValueError(
                f"the cells along {d!r} are not those of their patch, in order: they were reordered, left out or "
                "averaged, so that it is not known where they are; ask the patches as split gave them, or crop with "
                f"patches.patch.crop({d}=…)"
            )


def in_space(obj: xr.DataArray | xr.Dataset, left: bool = False) -> tuple[Provenance, Plan]:
    """Give the patches in space alone, with all of their members, or those that are left."""
    source, plan = left_plan_of(obj) if left else plan_of(obj)
    source = with_part(obj, source)
    own, entries = plan.in_space(source.ordinals)
    return dataclasses.replace(source, ordinals=entries), own


def only_time(plan: Plan) -> bool:
    """Whether patches are windows in time, and nothing else."""
    return set(plan.hood.time_dims) == set(plan.dims)
