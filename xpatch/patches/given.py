"""Patches that were given as anchors to split another field: what samplers ask them, by their accessor."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.patches.decoding import find_recipe
from xpatch.patches.encoding import RECIPE
from xpatch.patches.index import patch_index
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance, provenance, with_part
from xpatch.time.finding import is_time, time_axis

__all__ = ["as_places", "as_times"]

MIXED = (
    "the patches given to Explicit come from different splits and have no common anchors; give the "
    "patches of one split"
)


def as_places(obj: xr.DataArray | xr.Dataset) -> tuple[Plan, NDArray[np.int64]] | None:
    """Give the plan of patches in space, and their labels; None of what is no patches.

    Patches that were read from a file know it from their recipe. The plan is that of the part of them
    that there is: where crops are, not what they are of.
    """
    index = patch_index(obj)
    if index is not None:
        if index.mixed:
            raise ValueError(MIXED)
        source = Provenance.of(index)
    elif any(RECIPE in c.attrs and c.ndim <= 1 for c in obj.coords.values()):
        source = provenance(obj)
    else:
        return None
    crop = with_part(obj, source).crop
    return source.plans[0].placed.part(crop), source.ordinals


def as_times(obj: xr.DataArray | xr.Dataset) -> tuple[Any, set[Hashable]] | None:
    """Give the times that patches are anchored at, and all names that they have; None of plain times.

    A DataArray of times is taken as it is, also where it is one of patches, such as that of their anchors.
    """
    known = patch_index(obj) is not None
    if isinstance(obj, xr.DataArray) and is_time(obj):
        return (obj, set()) if known else None
    if isinstance(obj, xr.DataArray) and not known and find_recipe(obj) is None:
        return None
    source = provenance(obj)
    names = {n for plan in source.plans for n in plan.own_names.values()}  # also of dropped ones
    return _anchored(source), {*obj.coords, *names}


def _anchored(source: Provenance) -> NDArray[Any]:
    """Give the times that patches are anchored at."""
    plan = next((p for p in source.plans if p.hood.time_dims), source.plans[0])
    axis, steps = time_axis(plan.domain, plan.time_dim), plan.steps(source.ordinals)
    if plan.spec.get("coupling") == "product":  # which has every time in every place
        steps = steps[np.sort(np.unique(steps, return_index=True)[1])]
    return axis.values[steps]
