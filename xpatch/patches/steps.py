"""The coordinates of windows in time: which steps they hold, and how far those are from the anchor."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.engine.lazy import Deferred, lazily
from xpatch.joint import lead_of, time_dims, time_part
from xpatch.neighborhood import Boxes, Members
from xpatch.patches.listing import number_attrs
from xpatch.patches.names import LEAD_ATTRS, STEP_ATTRS
from xpatch.patches.plan import Plan

__all__ = ["lead_coordinate", "step_coordinates"]


class StepNumbers:
    """Makes the numbers of the steps in windows that are boxes."""

    def __init__(self, plan: Plan, dim: Hashable):
        self.plan, self.dim = plan, dim

    def __call__(self, ordinals: NDArray) -> NDArray:
        part, entries = self.plan.in_time(ordinals)
        assert isinstance(part, Boxes)
        k = part.dims.index(self.dim)
        starts = part.axes[k][part.entries(entries)[k]]
        return (starts[:, None] + np.arange(part.sizes[k])).astype(np.int32)


def step_coordinates(plan: Plan, dim: Hashable, ordinals: NDArray) -> dict[Hashable, Variable]:
    """Give the step of each anchor and, of boxes, the number of each step, computed when looked at."""
    part = time_part(plan.hood)
    if part is None:
        return {}
    found: dict[Hashable, Variable] = {}
    if isinstance(part, Boxes):
        (time,) = time_dims(part)
        size = part.sizes[part.dims.index(time)]
        numbers = Deferred(StepNumbers(plan, time), ordinals, (size,), np.dtype(np.int32))
        found[plan.called("number")] = Variable((dim, time), lazily(numbers), number_attrs((time,)))
    steps = Deferred(plan.steps, ordinals, (), np.dtype(np.int64))
    return {plan.called("step"): Variable(dim, lazily(steps), STEP_ATTRS), **found}


def lead_coordinate(plan: Plan, past: bool | None = None) -> dict[Hashable, Variable]:
    """Steps relative to the anchor, where all windows in time are equally long.

    ``past``: these are the past, or the future, of windows that may have been read back in part. It
    gets no index: one on a coordinate that is no dimension breaks `xarray.map_blocks`.
    """
    part = time_part(plan.hood)
    halves = part.halves if isinstance(part, Members) and past is not None else None
    if isinstance(part, Members) and halves is not None and halves[not past][1]:
        part = part.take(np.flatnonzero(part.counts)[:1])
    found = None if part is None else lead_of(part)
    return {} if found is None else {plan.called("lead"): Variable(*found, LEAD_ATTRS)}
