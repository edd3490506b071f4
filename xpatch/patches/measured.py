"""Lists of members that were read back: found again on the field, with their distances."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites, domain_of
from xpatch.geometry import Places
from xpatch.neighborhood import Members
from xpatch.patches.plan import Plan
from xpatch.spec import decode


def measured(plan: Plan, like: Any) -> Plan:
    """Find the members again on ``like``, with their distances, which were not written.

    Raises
    ------
    ValueError
        If they are not those of the patches.
    """
    if like is None or not plan.lists:
        return plan
    domain, hood = domain_of(like), plan.hood
    for part in plan.lists:
        if part.numbers is not None:
            different = plan.domain.same_lattice(domain, part.dims)
            if different is not None:
                raise ValueError(f"like is not the field that was split: {different}")
            found = timed(part, plan, domain)
        else:
            assert plan.places is not None
            found = around(part, plan.places, plan.spec, domain)
        hood = hood.replaced(part, found)
    return dataclasses.replace(plan, hood=hood, domain=domain)


def around(members: Members, places: Places, given: Mapping[str, Any], domain: Lattice) -> Members:
    """Find lists in space again."""
    for d, n in zip(members.dims, members.shape, strict=True):
        if domain.sizes.get(d) != n:
            raise ValueError(
                f"like is not the field that was split: it has {domain.sizes.get(d)} cells along "
                f"{d!r}, not {n}"
            )
    spec = given.get("spatial") or given
    try:
        geometry = decode(spec.get("geometry")).on(domain)
    except (ValueError, TypeError):  # polygons and functions are not written
        return members
    if geometry.turns:
        return members  # with tracks, which are not written
    kept = np.flatnonzero(members.counts)
    at = located(places.take(kept), geometry.outline(domain))
    return same_lists(members, geometry.neighborhood(domain, at), kept, geometry)


def timed(members: Members, plan: Plan, domain: Lattice) -> Members:
    """Find lists in time again."""
    from xpatch.time.geometry import listed

    spec = plan.spec.get("temporal") or plan.spec
    geometry = decode(spec.get("geometry"))
    assert members.anchors is not None
    kept = np.flatnonzero(members.anchors >= 0)
    axis = geometry.outline(domain)
    if len(axis) != members.shape[0]:
        raise ValueError(
            f"like is not the field that was split: it has {len(axis)} steps along {axis.dim!r}, not "
            f"{members.shape[0]}"
        )
    found = geometry.neighborhood(axis, members.anchors[kept], plan.closed)
    if found.box:  # of the few patches that there are
        cells = found.starts[:, None] + np.arange(found.size)
        counts = np.full(len(kept), found.size)
        found = listed(axis, members.anchors[kept], counts, cells.reshape(-1))
    return same_lists(members, found, kept, geometry)


def same_lists(members: Members, found: Members, kept: NDArray[Any], geometry: Any) -> Members:
    """Give the lists that were found again, with their distances.

    Raises
    ------
    ValueError
        If they are others.
    """
    found = found.take(np.arange(len(found))).spread(kept, len(members))
    same = np.array_equal(found.offsets, members.offsets)
    if not same or not np.array_equal(found.elements, members.elements):
        raise ValueError(
            f"like is not the field that was split: there {geometry!r} finds other members around "
            "the anchors of these patches"
        )
    return dataclasses.replace(found, width=members.width)


def located(places: Places, sites: Sites) -> Places:
    """Give anchors that are elements the places of these."""
    known = (places.elements >= 0) & (places.elements < len(sites))
    at = np.where(known, places.elements, 0)
    x, y = np.where(known, sites.x[at], places.x), np.where(known, sites.y[at], places.y)
    return dataclasses.replace(places, x=x, y=y)
