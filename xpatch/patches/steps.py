"""The coordinates of windows in time: which steps they hold, and how far those are from the anchor."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.engine.lazy import Deferred, lazily
from xpatch.neighborhood import lead_of
from xpatch.patches.names import LEAD_ATTRS, STEP_ATTRS
from xpatch.patches.plan import Plan

__all__ = ["lead_coordinate", "step_coordinates"]


class StepNumbers:
    """Makes the numbers of the steps in windows that are boxes."""

    def __init__(self, plan: Plan):
        self.plan = plan

    def __call__(self, ordinals: NDArray[Any]) -> NDArray[Any]:
        part: Any
        part, entries = self.plan.in_time(ordinals)
        steps = part.starts[entries, None] + np.arange(part.size)
        return np.asarray(steps, np.int32)


def number_attrs(dims: tuple[Hashable, ...]) -> dict[str, Any]:
    """Give the attributes of numbers of elements, or of steps."""
    along = ", ".join(map(str, dims))
    return {"long_name": f"number of the element along {along}", "empty_slot": -1}


def step_coordinates(plan: Plan, dim: Hashable, ordinals: NDArray[Any]) -> dict[Hashable, Variable]:
    """Give the step of each anchor and, of boxes, the number of each step, computed when looked at."""
    part = plan.hood.in_time
    if part is None:
        return {}
    found: dict[Hashable, Variable] = {}
    if part.box:
        numbers = Deferred(StepNumbers(plan), ordinals, (part.size,), np.dtype(np.int32))
        attrs = number_attrs(part.dims)
        found[plan.called("number")] = Variable((dim, part.dim), lazily(numbers), attrs)
    steps = Deferred(plan.steps, ordinals, (), np.dtype(np.int64))
    return {plan.called("step"): Variable(dim, lazily(steps), STEP_ATTRS), **found}


def lead_coordinate(plan: Plan, past: bool | None = None) -> dict[Hashable, Variable]:
    """Steps relative to the anchor, where all windows in time are equally long.

    ``past``: these are the past, or the future, of windows that may have been read back in part. It
    gets no index: one on a coordinate that is no dimension breaks `xarray.map_blocks`.
    """
    part = plan.hood.in_time
    halves = part.halves if part is not None and past is not None else None
    if part is not None and halves is not None and halves[not past][1]:
        part = part.take(np.flatnonzero(part.counts)[:1])
    found = lead_of(part)
    return {} if found is None else {plan.called("lead"): Variable(*found, LEAD_ATTRS)}
