"""Places and windows of patches in space and time: which patches are of the same, and patches of them alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex

from xpatch.patches.index import PatchIndex
from xpatch.patches.plan import Plan
from xpatch.patches.sides import is_both, is_product, numbered
from xpatch.patches.split import anchor_coordinates, number_variable, start_coordinates
from xpatch.patches.steps import step_coordinates
from xpatch.time.finding import time_axis

WORDS = ("time", "space", "patch")


class Part(NamedTuple):
    """Patches in space alone, or in time alone, and which of them patches in both are."""

    plan: Plan
    codes: NDArray[np.int64]


def part_of(plan: Plan, ordinals: NDArray[Any], over: str) -> Part:
    """Give the patches that are left when windows in time (over "time"), or places, are shared.

    Raises
    ------
    ValueError
        If the patches are no product of space and time.
    """
    if not is_product(plan):
        kind = "coupled one to one" if is_both(plan) else f"cut along {list(plan.dims)} alone"
        raise ValueError(
            f"over={over!r} is for patches in space and time, every place with every window, and these are "
            f"{kind}: split(geometry=[{{'y': 64, 'x': 64}}, FixedLookback(30)]), or over='patch' for all"
        )
    sides = numbered(plan, ordinals)
    if over == "time":
        return Part(_alone(plan, sides.space, "spatial"), sides.where)
    return Part(_alone(plan, sides.time, "temporal"), sides.when)


def _alone(plan: Plan, part: Plan, side: str) -> Plan:
    """Give the plan of places, or of windows, as their own patcher would have made it."""
    own: Mapping[str, Any] = plan.spec.get(side) or {}
    spec = without_window(own)
    timed = side == "temporal"
    matched = bool(plan.helpers) and plan.origin is not None
    origin = f"{plan.origin}-{side}" if matched else None
    if timed and not matched:
        from xpatch.patches.planning import identity_of

        (windows,) = part.hood.parts
        if windows.anchors is not None:
            origin = identity_of(time_axis(part.domain, plan.time_dim), windows.anchors)
    first = None
    if not timed and plan.ids is not None:
        _, first = np.unique(plan.hood.in_space_of(np.arange(len(plan))), return_index=True)
    return dataclasses.replace(
        part,
        window=None,
        aggregation=_aggregation_of(plan, timed),
        spec=spec,
        origin=origin,
        places=None if timed else part.places,
        events=None,
        ids=None if first is None or plan.ids is None else plan.ids[first],
        given=None,
        names=plan.names if timed else {},
        closed=plan.closed if timed else None,
        landmarks=None if timed else plan.landmarks,
    )


def _aggregation_of(plan: Plan, timed: bool) -> Any:
    """Give the aggregation that merge uses of parameters, which are no forecasts and have no steps."""
    how = plan.aggregation
    if isinstance(how, tuple | list):
        how = how[timed]
    return None if how is None or how.preprocess is not None else how


def without_window(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Give a specification without analysis windows: parameters are not multiplied by them."""
    out = {k: None if k == "window" else v for k, v in spec.items()}
    for side in ("spatial", "temporal"):
        own = out.get(side)
        if isinstance(own, Mapping):
            out[side] = without_window(own)
    return out


def unweighted(index: PatchIndex) -> PatchIndex:
    """Give the index of one value a patch: merge divides by no analysis window, and takes no forecast."""
    if index.scenes or not index.plans:
        return index
    plans = tuple(map(_unweighted, index.plans))
    same = all(a is b for a, b in zip(plans, index.plans, strict=True))
    return index if same else PatchIndex(index._index, plans, index.crop, index.leads)


def _unweighted(plan: Plan) -> Plan:
    how = _aggregation_of(plan, False)
    if plan.window is None and how is plan.aggregation:
        return plan
    return dataclasses.replace(
        plan, window=None, aggregation=how, spec=without_window(plan.spec), origin=plan.anchor_id
    )


def coordinates(
    plan: Plan, dim: Hashable, entries: NDArray[np.int64], crop: Mapping[Hashable, tuple[int, int]]
) -> xr.Coordinates:
    """Give the coordinates by which patches of one part are found again, also in a file."""
    own = {d: cut for d, cut in crop.items() if d in plan.inner}
    index = PatchIndex(PandasIndex(entries, dim), (plan,), own)
    variables = {**anchor_coordinates(plan, dim, entries), **file_coordinates(plan, dim, entries)}
    variables |= index.create_variables({dim: Variable(dim, entries)})
    return xr.Coordinates(variables, indexes={dim: index})


def file_coordinates(plan: Plan, dim: Hashable, ordinals: NDArray[Any]) -> dict[Hashable, Variable]:
    """Give what recipes of patches do not hold: starts of some of all patches, steps, numbers of members."""
    found = start_coordinates(plan, dim, ordinals)
    step = plan.called("step") if plan.hood.time_dims else None
    found |= {n: v for n, v in step_coordinates(plan, dim, ordinals).items() if n == step}
    for members in plan.lists:
        number = number_variable(plan.hood, members, dim, ordinals)
        found[members.numbers or members.dim] = number
    return found
