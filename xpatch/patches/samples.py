"""Plans of the samples of ragged arrays: those of the instances that a patch has."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import domain_of
from xpatch.domain.ragged import Counts, counts_of, is_count
from xpatch.neighborhood import Members, Neighborhood
from xpatch.patches.measured import measured
from xpatch.patches.plan import Plan


def sample_plans(obj: Any, plan: Plan) -> tuple[Plan, ...]:
    """Give a plan for the samples of each dimension of instances that a plan cuts.

    Samples may have samples of their own: observations of profiles of stations.

    Raises
    ------
    ValueError
        If the patches are of a kind in which samples cannot be cut.
    """
    counts, found = counts_of(obj), dict.fromkeys(plan.dims, plan)
    ahead = True
    while ahead:
        ahead = False
        for one in counts:
            if one.instance in found and one.sample not in found:
                found[one.sample] = _expanded(obj, one, found[one.instance])
                ahead = True
    return tuple(p for p in found.values() if p is not plan)


def ragged_domain(obj: xr.Dataset) -> Any:
    """Give the domain of a field, which knows its counts as coordinates: merge puts them back."""
    return domain_of(obj.set_coords([c.name for c in counts_of(obj)]))


def _expanded(obj: xr.Dataset, counts: Counts, plan: Plan) -> Plan:
    """Give the same patches along the samples of their instances."""
    instances = _instances(counts, plan)
    offsets, samples = counts.samples(obj)
    each = np.diff(offsets)[instances.elements]
    begin = np.concatenate([[0], np.cumsum(each)])
    first = offsets[instances.elements] - begin[:-1]
    elements = samples[np.arange(begin[-1]) + np.repeat(first, each)]
    edges = begin[instances.offsets]
    members = dataclasses.replace(
        instances,
        dims=(counts.sample,),
        shape=(obj.sizes[counts.sample],),
        dim=counts.sample,
        offsets=edges,
        at=None,
        elements=elements.astype(np.int32),
        distances=_repeated(instances.distances, each),
        positions=_repeated(instances.positions, each),
        width=max(1, int(np.diff(edges).max(initial=0))),
    )
    return dataclasses.replace(
        plan, hood=Neighborhood((members,)), origin=plan.anchor_id, places=None, events=None
    )


def _repeated(values: NDArray[Any] | None, each: NDArray[Any]) -> NDArray[Any] | None:
    return None if values is None else np.repeat(values, each)


def _instances(counts: Counts, plan: Plan) -> Members:
    """Give the instances of each patch as a list."""
    hood, listed = plan.hood, plan.members
    if listed is not None and listed.dims == (counts.instance,):
        return listed
    if hood.lists or hood.anchors[hood.dims.index(counts.instance)] is not None:
        raise refusal(counts, f"patches along {list(plan.dims)} are joined of several parts")
    boxes = hood.only([counts.instance])
    if boxes.ragged or (boxes.overhangs and not boxes.wrap[0]):
        raise refusal(counts, "padding has none")
    (size,), (n,) = boxes.sizes, boxes.shape
    cells = (boxes.starts() + np.arange(size)) % n
    listed = Members.from_table(boxes.dims, boxes.shape, counts.instance, cells, None)
    place = (2 * np.arange(size) + 1 - size) / size
    return dataclasses.replace(listed, positions=np.tile(place, len(boxes)))


def refusal(counts: Counts, why: str) -> ValueError:
    """Say that samples cannot be cut, and what can be done."""
    return ValueError(
        f"{counts.name!r} says which samples along {counts.sample!r} each {counts.instance!r} has, and "
        f"these cannot be cut along with it here: {why}. Leave them out, "
        f"field.drop_dims({counts.sample!r}), or split with a geometry along {counts.instance!r} alone"
    )


def completed(merged: xr.Dataset, patches: xr.Dataset, plans: tuple[Plan, ...]) -> xr.Dataset:
    """Put counts, and coordinates of instances that have no variable, back as they were."""
    for plan in plans:
        template = plan.domain.template
        known = any(is_count(c.variable) for c in template.coords.values())
        if known and {*plan.inner} <= {*patches.dims} and not {*plan.dims} <= {*merged.dims}:
            own = {n: c for n, c in template.coords.items() if {*c.dims} & {*plan.dims}}
            merged = merged.assign_coords(own)
    names = [n for n in merged.coords if n in patches.data_vars and is_count(merged[n].variable)]
    return in_order(merged.reset_coords(names), patches) if names else merged


def in_order(obj: xr.Dataset, like: xr.Dataset) -> xr.Dataset:
    """Put the data variables in the order of those of ``like``, and keep all coordinates."""
    own = [n for n in like.data_vars if n in obj.data_vars]
    return obj[[*own, *(n for n in obj.data_vars if n not in own)]].assign_coords(obj.coords)


def found_again(plans: Sequence[Plan], like: Any) -> list[Plan]:
    """Find members that were read back again on ``like``, and the samples of those that are instances.

    Raises
    ------
    ValueError
        If they are not those of the patches, or it is not known whose samples these are.
    """
    counts = counts_of(like) if isinstance(like, xr.Dataset) else ()
    domain = ragged_domain(like) if counts else None
    instances = {c.sample: c.instance for c in counts}
    out: list[Plan] = []
    found: dict[Hashable, Plan] = {}  # by the dimensions that they cut
    for plan in plans:
        sample = next((d for d in plan.dims if plan.lists and d in instances), None)
        if sample is None:
            again = measured(plan, like)
            again = again if domain is None else dataclasses.replace(again, domain=domain)
        else:
            again = _expanded_again(plan, sample, found.get(instances[sample]), like, instances)
        out.append(again)
        found |= dict.fromkeys(plan.dims, again)
    return out


def _expanded_again(
    plan: Plan, sample: Hashable, of: Plan | None, like: Any, instances: dict[Hashable, Hashable]
) -> Plan:
    if of is None:
        raise ValueError(
            f"these patches lost the coordinate {instances[sample]!r}, so that it is not known whose samples "
            f"along {sample!r} they have. Merge them without like, or the Dataset that they are from"
        )
    (again,) = (p for p in sample_plans(like, of) if p.dims == plan.dims)
    (old,), (new,) = plan.lists, again.lists
    same = np.array_equal(old.offsets, new.offsets)
    if not same or not np.array_equal(old.elements, new.elements):
        raise ValueError(
            f"like is not the field that was split: there the instances of these patches have other "
            f"samples along {sample!r}"
        )
    found = dataclasses.replace(new, width=old.width)
    return dataclasses.replace(again, hood=Neighborhood((found,)))
