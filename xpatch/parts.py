"""The past and the future part of windows in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.indexes import PandasIndex

from xpatch.index import PatchIndex, patch_index, with_index
from xpatch.neighborhood import Boxes, Members
from xpatch.plan import Plan
from xpatch.restoring import provenance


def lookback(patches: Any) -> Any:
    """Give the part of patches up to their anchor: the input of a forecast."""
    return _part(patches, past=True)


def horizon(patches: Any) -> Any:
    """Give the part of patches after their anchor: the target of a forecast."""
    return _part(patches, past=False)


def time_dim(plan: Plan) -> Hashable:
    """Give the in-patch dimension of time.

    Raises
    ------
    ValueError
        If there is none.
    """
    hood = plan.hood
    if isinstance(hood, Members) and hood.numbers is not None:
        return hood.dim
    if isinstance(hood, Boxes):
        found = [d for d, at in zip(hood.dims, hood.anchors, strict=True) if at is not None]
        if found:
            return found[0]
    raise ValueError(
        "these patches have no windows in time; split with TimePatcher(LookbackHorizon(…))"
    )


def anchor_steps(plan: Plan) -> NDArray[np.int64]:
    """Give the step that each patch of a plan is anchored at."""
    if isinstance(plan.hood, Members):
        assert plan.places is not None
        return plan.places.elements
    return plan.anchor_cells()[time_dim(plan)]


def in_time_order(patches: Any) -> Any:
    """Number patches whose anchors were drawn or given in any order by the times of their anchors."""
    index = patch_index(patches)
    assert index is not None
    plan = index.plans[0]
    steps = anchor_steps(plan)
    if isinstance(plan.hood, Boxes) and plan.hood.product:
        steps = steps[: plan.hood.grid[-1]]  # of each place
    if (steps[1:] >= steps[:-1]).all():
        return patches
    order = np.argsort(anchor_steps(plan), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    plans = tuple(
        dataclasses.replace(
            p,
            hood=p.hood.take(order),
            places=None if p.places is None else p.places.take(order),
            origin=None,
        )
        for p in index.plans
    )
    labels = PandasIndex(rank[index.ordinals], index.dim)
    return with_index(patches, PatchIndex(labels, plans, index.crop))


def first_future(plan: Plan) -> int:
    """Give the lead at which the future begins: 1, or 0 where the anchor is left out of the past."""
    spec = plan.spec.get("temporal") or plan.spec
    return 0 if (spec.get("sampler") or {}).get("class") == "CausalRolling" else 1


def _part(patches: Any, past: bool) -> Any:
    source = provenance(patches, None)
    plan = source.plans[0]
    dim = time_dim(plan)
    index = patch_index(patches)
    if index is None:
        raise ValueError(
            "lookback and horizon need patches with their index; those read from a file have lost it"
        )
    if dim not in patches.dims:
        raise ValueError(
            f"these patches have no dimension {dim!r} any more; put one value a window on the part that "
            "it is meant for: xr.zeros_like(patches.patch.horizon) + value"
        )
    begin = first_future(plan)
    if isinstance(plan.hood, Members):
        return _of_lists(patches, index, plan, plan.hood, begin, past)
    k = plan.hood.dims.index(dim)
    at, size = plan.hood.anchors[k], plan.hood.sizes[k]
    assert at is not None
    low, high = source.crop.get(dim, (0, 0))
    cut = min(max(at + begin, low), size - high)
    cells = slice(0, cut - low) if past else slice(cut - low, size - high - low)
    more = (0, size - high - cut) if past else (cut - low, 0)
    _not_empty(cells.stop - cells.start, past, plan)
    return with_index(patches.isel({dim: cells}), index.cropped({dim: more}))


def _of_lists(
    patches: Any, index: PatchIndex, plan: Plan, members: Members, begin: int, past: bool
) -> Any:
    """Keep the slots of one part; lists have it in the same slots if they are equally long."""
    assert plan.places is not None
    lead = members.elements - np.repeat(plan.places.elements, members.counts)
    wanted = (lead < begin) if past else (lead >= begin)
    table = members.padded(wanted, False)
    if not (table == table[:1]).all():
        raise ValueError(
            "the past parts of these windows differ in length, so that they share no slots; give "
            "lengths in steps, or a record with even steps"
        )
    slots = np.flatnonzero(table[0])
    _not_empty(len(slots), past, plan)
    keep = np.flatnonzero(wanted)
    counts = np.full(len(members), len(slots))
    part = dataclasses.replace(
        members,
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        elements=members.elements[keep],
        distances=None if members.distances is None else members.distances[keep],
        width=len(slots),
    )
    own = dataclasses.replace(plan, hood=part, origin=plan.anchor_id)
    inner = patches.isel({members.dim: slots})
    return with_index(inner, PatchIndex(index._index, (own,), index.crop))


def _not_empty(size: int, past: bool, plan: Plan) -> None:
    if size <= 0:
        part, need = ("past", "FixedLookback") if past else ("future", "LookbackHorizon")
        raise ValueError(f"these patches have no {part} part; split with {need}(…)")
