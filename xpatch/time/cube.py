"""Forecasts as a cube over when they were made and how far they look ahead."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.folding import OTHER, Merger, is_both, merged_over, sides_of
from xpatch.index import as_given, whole_of
from xpatch.neighborhood import Members
from xpatch.parts import horizon, time_dim
from xpatch.plan import Plan
from xpatch.restoring import provenance

UNEVEN = (
    "the horizons differ in length or in their leads, so that they make no cube; give the horizon in "
    "steps, LookbackHorizon(…, horizon=7)"
)
REFERENCE, PERIOD = "forecast_reference_time", "forecast_period"


def forecast_cube(patches: Any, crop: Any, in_space: Merger) -> Any:
    """Give the horizons over ``forecast_reference_time`` and ``forecast_period`` (CF), in steps.

    ``valid_time`` has both dimensions. Patches in space and time are merged in space first, for each
    reference time.

    Raises
    ------
    ValueError
        If the horizons differ in length.
    """
    part = horizon(patches)
    source = provenance(part, None)
    plan, dim = source.plans[0], source.dim
    time = time_dim(plan)
    at, steps = _steps(plan, source.ordinals, source.crop)
    known = at, steps
    if not len(at) and len(plan):  # of no patch, the leads of the others
        known = _steps(plan, np.zeros(1, np.int64), source.crop)
    lead = known[1] - known[0][:, None]
    if not (lead == lead[:1]).all():
        raise ValueError(UNEVEN)
    cube = part
    if is_both(plan):
        sides = sides_of(plan, source.ordinals)
        merged, _ = merged_over(whole_of(part), dim, sides, "space", crop, in_space)
        _, first = np.unique(sides.when, return_index=True)
        at, steps = at[first], steps[first]
        cube = merged.drop_vars([time], errors="ignore").rename({OTHER: dim})
        order = [dim, time]
        inner = {n: v.variable for n, v in cube.data_vars.items()}
        data = {n: v.transpose(*(d for d in order if d in v.dims), ...) for n, v in inner.items()}
        cube = as_given(cube.assign(data), part)
    axis = plan.domain.coordinate(time)
    assert axis is not None
    lost = [
        n for n, c in cube.coords.items() if {dim, time} & {n, *c.dims} or n in (REFERENCE, PERIOD)
    ]
    cube = cube.drop_vars(lost).rename({dim: REFERENCE, time: PERIOD})
    return cube.assign_coords(
        {
            REFERENCE: Variable(REFERENCE, axis[at], {"standard_name": REFERENCE}),
            PERIOD: Variable(PERIOD, lead[0], {"standard_name": PERIOD, "units": "steps"}),
            "valid_time": Variable((REFERENCE, PERIOD), axis[steps], {"standard_name": "time"}),
        }
    )


def _steps(plan: Plan, ordinals: NDArray, crop: Any) -> tuple[NDArray, NDArray]:
    """Give the steps that patches are anchored at, and those that they hold, (patch, time)."""
    hood, entries = plan.in_time(ordinals)
    at = plan.steps(ordinals)
    if isinstance(hood, Members):
        if hood.ragged:
            raise ValueError(UNEVEN)
        return at, hood.take(entries).elements.reshape(len(at), hood.width)
    k = hood.dims.index(time_dim(plan))
    low, high = crop.get(hood.dims[k], (0, 0))
    cells = np.arange(low, hood.sizes[k] - high)
    return at, hood.starts(entries)[:, k, None] + cells
