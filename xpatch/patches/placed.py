"""Of which plan patches are, and whether their cells are those that were cut, in order."""

from __future__ import annotations

import dataclasses
from typing import Any

import xarray as xr

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
        if not told:
            raise ValueError(
                f"the cells along {d!r} are not those of their patch, in order: they were reordered, left out or "
                "averaged, so that it is not known where they are; ask the patches as split gave them, or crop with "
                f"patches.patch.crop({d}=…)"
            )


def in_space(obj: xr.DataArray | xr.Dataset, array: bool = False) -> tuple[Provenance, Plan]:
    """Give the patches in space alone."""
    source, plan = own_plan_of(obj) if array else plan_of(obj)
    source = with_part(obj, source)
    own, entries = plan.in_space(source.ordinals)
    return dataclasses.replace(source, ordinals=entries), own


def only_time(plan: Plan) -> bool:
    """Whether patches are windows in time, and nothing else."""
    return set(plan.hood.time_dims) == set(plan.dims)
