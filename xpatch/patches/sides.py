"""Places and windows: the sides of patches that were cut in space and in time."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpatch.geometry import Places
from xpatch.neighborhood import Neighborhood
from xpatch.patches.plan import Plan


class Sides(NamedTuple):
    """The windows in time and the places of patches, each on its own."""

    time: Plan
    when: NDArray[np.int64]
    space: Plan
    where: NDArray[np.int64]


def is_both(plan: Plan) -> bool:
    """Whether patches were cut in time and in space."""
    return bool(plan.hood.time_dims) and len(plan.dims) > 1


def is_product(plan: Plan) -> bool:
    """Whether patches are every place with every window in time."""
    return is_both(plan) and plan.spec.get("coupling") != "coupled"


def sides_of(plan: Plan, ordinals: NDArray[Any]) -> Sides:
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


def numbered(plan: Plan, ordinals: NDArray[Any]) -> Sides:
    """Tell windows and places apart, numbered as their own patchers number them, whichever patches there are."""
    hood, ordinals = plan.hood, np.asarray(ordinals)
    if hood.picks is None:
        part, when = plan.in_time(ordinals)
        space = hood.in_space
        assert space is not None
        alone = dataclasses.replace(plan, hood=Neighborhood((part,)), places=None)
        where = hood.in_space_of(ordinals)
        return Sides(alone, when, dataclasses.replace(plan, hood=space), where)
    # of patches of a file only those that were written are known
    every = np.arange(len(plan)) if plan.recalled is None else ordinals
    sides = sides_of(plan, every)
    windows, when = _ranked(sides.time, sides.when)
    places, where = _ranked(sides.space, sides.where)
    own = ordinals if plan.recalled is None else slice(None)
    return Sides(windows, when[own], places, where[own])


def _ranked(plan: Plan, entries: NDArray[np.int64]) -> tuple[Plan, NDArray[np.int64]]:
    """Count those that occur from zero on."""
    kept, rank = np.unique(entries, return_inverse=True)
    if len(kept) == len(plan.hood):
        return plan, entries
    places = None if plan.places is None else plan.places.take(kept)
    hood = plan.hood.alone(kept) if len(plan.hood.parts) == 1 else plan.hood.take(kept)
    return dataclasses.replace(plan, hood=hood, places=places), rank.reshape(-1)


def distinct(boxes: Neighborhood, ordinals: NDArray[Any]) -> tuple[Neighborhood, NDArray[np.int64]]:
    """Give the boxes that some patches have, each once, and which each patch has."""
    _, first, entries = np.unique(
        boxes.extents(ordinals), axis=0, return_index=True, return_inverse=True
    )
    own = boxes.entries(np.asarray(ordinals)[first])
    parts = [p.take(e) for p, e in zip(boxes.slices, own, strict=True)]
    picks = (np.arange(len(first)),) * len(parts)
    return Neighborhood(tuple(parts), picks), entries.reshape(-1)


def first_alike(hood: Neighborhood, places: Places | None = None) -> NDArray[np.int64]:
    """Give, for each neighborhood, the first one that is the same."""
    if not hood.lists:
        _, first, which = np.unique(hood.extents(), axis=0, return_index=True, return_inverse=True)
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
