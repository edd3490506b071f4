"""Forecasts as a cube over when they were made and how far they look ahead."""

from __future__ import annotations

from typing import Any

import numpy as np
from xarray import Variable

from xpatch.neighborhood import Members
from xpatch.parts import horizon, time_dim
from xpatch.restoring import provenance


def forecast_cube(patches: Any) -> Any:
    """Give the horizons over ``forecast_reference_time`` and ``forecast_period`` (CF), in steps.

    ``valid_time`` has both dimensions.

    Raises
    ------
    ValueError
        If the patches were cut in space, too, or their horizons differ in length.
    """
    part = horizon(patches)
    source = provenance(part, None)
    plan, dim = source.plans[0], source.dim
    time = time_dim(plan)
    if plan.dims != (time,):
        others = [d for d in plan.dims if d != time]
        raise ValueError(
            f"a cube of forecasts is made of patches that were cut in time only, these were also cut "
            f"along {others}; merge in space first, for each lead: patches.isel(…)"
        )
    hood, axis = plan.hood, plan.domain.coordinate(time)
    if isinstance(hood, Members):
        assert plan.places is not None
        at = plan.places.elements[source.ordinals]
        steps = hood.take(source.ordinals).elements.reshape(len(at), hood.width)
    else:
        at = plan.anchor_cells(source.ordinals)[time]
        low, high = source.crop.get(time, (0, 0))
        cells = np.arange(low, hood.sizes[0] - high)
        steps = hood.starts(source.ordinals)[:, :1] + cells
    lead = steps - at[:, None]
    if not (lead == lead[:1]).all():
        raise ValueError("the horizons differ in their leads, so that they make no cube")
    assert axis is not None
    names = ("forecast_reference_time", "forecast_period")
    lost = [n for n, c in part.coords.items() if {dim, time} & {n, *c.dims} or n in names]
    bare = part.drop_vars(lost)
    cube = bare.rename({dim: names[0], time: names[1]})
    return cube.assign_coords(
        {
            names[0]: Variable(names[0], axis[at], {"standard_name": names[0]}),
            names[1]: Variable(names[1], lead[0], {"standard_name": names[1], "units": "steps"}),
            "valid_time": Variable(names, axis[steps], {"standard_name": "time"}),
        }
    )
