"""Patches of several fields, or of parts of one, at the same anchors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xpatch.domain import domain_of
from xpatch.neighborhood import Members
from xpatch.patches.index import PatchIndex, patch_index, with_index
from xpatch.patches.plan import Plan, is_carried

__all__ = ["at_home", "best_plan", "by_field", "denied", "of_one_field", "told_plans"]


def told_plans(obj: Any, index: PatchIndex) -> tuple[Plan, ...]:
    """Give the plans of patches, of parts of one field only those whose members the coordinates show.

    So the sum of something on the horizon and something on the lookback is the one whose steps it has.
    """
    if len(index.plans) < 2:
        return index.plans
    lost = [p for p in index.plans if any(denied(obj, index, p, part) for part in p.lists)]
    told = [p for p in index.plans if p not in lost]
    return tuple(p for p in index.plans if p in told or not any(_of_one(p, q) for q in told))


def _of_one(plan: Plan, other: Plan) -> bool:
    """Whether plans are of parts of the patches of one field."""
    return plan.dims == other.dims and plan.domain.same_lattice(other.domain, plan.dims) is None


def denied(
    obj: Any, index: PatchIndex, plan: Plan, part: Members, rows: slice = slice(None)
) -> bool:
    """Whether the members that patches, or some rows, say they have are not those of a part of a plan."""
    name = part.dim if part.numbers is None else part.numbers
    said = obj.coords[name].variable if name in obj.coords else None
    if said is None or set(said.dims) != {index.dim, part.dim} or said.chunks is not None:
        return False
    if said.sizes[part.dim] != part.width:  # best_plan goes by sizes
        return False
    own = plan.hood.of_part(part, index.ordinals[rows])
    given = said.transpose(index.dim, part.dim).isel({index.dim: rows})
    return not np.array_equal(given.to_numpy(), part.cells(own))


def by_field(patches: xr.Dataset, plans: tuple[Plan, ...], like: Any) -> dict[Plan, xr.Dataset]:
    """Give the variables of patches of several fields field by field.

    Variables without a dimension of any of them, such as one value a patch, go where all others go, or
    where the field has them.
    """
    index = patch_index(patches)
    assert index is not None
    inner = {d for plan in plans for d in plan.inner}
    sizes = {n: v.sizes for n, v in patches.data_vars.items()}
    found = {n: best_plan(plans, s, like, n) for n, s in sizes.items() if inner & set(s)}
    common = next(iter(found.values())) if len(set(found.values())) == 1 else None
    groups: dict[Plan, list[Hashable]] = {}
    for name, own in sizes.items():
        bare = index.dim not in own
        carrying = (p for p in plans if bare or is_carried(p, name, own))
        home = at_home(plans, name)
        known = found.get(name) or (home[0] if len(home) == 1 else common)
        plan = known or next(carrying, None) or best_plan(plans, own, like)
        groups.setdefault(plan, []).append(name)
    parts = {}
    for plan, names in groups.items():
        part = with_index(patches, index.only(plan))[names]
        others = {d for p in plans for d in (*p.dims, *p.inner)} - {*plan.dims, *plan.inner}
        foreign = [n for n, c in part.coords.items() if others & {n, *c.dims}]
        parts[plan] = part.drop_vars(foreign)
    return parts


def of_one_field(patches: Any, like: Any = None) -> Any:
    """Leave out what patches know of other fields, or parts of one, that they are not of.

    Of a DataArray one is left.

    Raises
    ------
    ValueError
        If nothing says which of them it is.
    """
    known = isinstance(patches, xr.DataArray | xr.Dataset)  # of others merge says what it takes
    index = patch_index(patches) if known else None
    if index is None or len(index.plans) < 2:
        return patches
    plans = told_plans(patches, index)
    if isinstance(patches, xr.DataArray):
        if not {d for plan in plans for d in plan.inner} & set(patches.dims):
            plans = at_home(plans, patches.name)
        plans = (best_plan(plans, patches.sizes, like, patches.name),)
    return with_index(patches, PatchIndex(index._index, plans, index.crop))


def at_home(plans: tuple[Plan, ...], name: Hashable) -> tuple[Plan, ...]:
    """Leave, of the plans of one field, those along whose dimensions it has a variable."""
    orders = plans[0].domain.orders
    own = tuple(p for p in plans if set(orders.get(name, ())) & set(p.dims))
    return own if own and all(p.domain.orders == orders for p in plans) else plans


def best_plan(
    plans: tuple[Plan, ...],
    sizes: Mapping[Hashable, int],
    like: Any = None,
    name: Hashable | None = None,
) -> Plan:
    """Choose the plan with most in-patch dimensions, and of these sizes, among ``sizes``.

    Among equal ones that of the field which alone has a variable called ``name``.

    Raises
    ------
    ValueError
        If several fit alike, as where a model reduced all of them away, and ``like`` is not given.
    """
    if like is not None and len(plans) > 1:
        domain = domain_of(like)
        plans = tuple(p for p in plans if p.domain.same_lattice(domain, p.dims) is None) or plans

    def fit(plan: Plan) -> tuple[int, int]:
        own = plan.inner
        return len(set(own) & set(sizes)), sum(sizes.get(d) == n for d, n in own.items())

    best = max(plans, key=fit)
    alike = [p for p in plans if fit(p) == fit(best)]
    told = [p for p in alike if name is not None and name in p.domain.orders]
    if len(told) == 1:
        return told[0]
    called = [p.variable for p in alike]  # of DataArrays, all of which must have had a name
    if not fit(best)[0]:  # what a model reduced may be of any, whatever it is called
        called = []
    if name is not None and None not in called and called.count(str(name)) == 1:
        return alike[called.index(str(name))]
    if len(alike) > 1:
        raise ValueError(
            "these are patches of several fields at the same anchors, over "
            f"{[list(p.dims) for p in alike]}, and nothing says on which of them they shall be "
            "merged. merge(like=field) does, and where they are parts of one field, such as lookback "
            "and horizon, the coordinates of the one that is meant: "
            "patches.patch.horizon.copy(data=values)"
        )
    return best
