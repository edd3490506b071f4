"""Forecasts as a cube over when they were made and how far they look ahead."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.aggregation import Mean
from xpatch.domain.nodata import nodata_of
from xpatch.models.spacetime import OTHER, Merger, at_places, merged_over
from xpatch.patches.carried import carried, on_cells
from xpatch.patches.index import as_given, whole_of
from xpatch.patches.plan import Plan, is_carried
from xpatch.patches.provenance import Provenance
from xpatch.patches.sides import Sides, is_both, sides_of
from xpatch.patches.times import at_steps, plan_steps

UNEVEN = (
    "the horizons differ in length or in their leads, so that they make no cube; give the horizon in "
    "steps, LookbackHorizon(…, horizon=7)"
)
REFERENCE, PERIOD, VALID = "forecast_reference_time", "forecast_period", "valid_time"


def forecast_cube(
    part: Any,
    source: Provenance,
    times: Variable,
    crop: Any,
    in_space: Merger,
    skipna: bool | None = None,
) -> Any:
    """Give horizons over ``forecast_reference_time`` and ``forecast_period`` (CF), in steps.

    ``valid_time`` has both dimensions. Reference times are sorted; of the same one forecasts are
    averaged, or the last is taken of what has no mean. Patches in space and time are merged in space
    first, for each reference time.

    Raises
    ------
    ValueError
        If the horizons differ in length, or the field has coordinates of these names.
    """
    plan, dim = source.plans[0], source.dim
    time = plan.time_dim
    _check_names(part, dim, time)
    lead = _leads(plan, source)
    at, which = np.unique(plan.steps(source.ordinals), return_inverse=True)
    whole = whole_of(part)
    if is_both(plan):
        cube = _in_space(whole, source, sides_of(plan, source.ordinals), crop, in_space)
    else:
        cube = _in_order(whole, source, which, len(at), skipna)
    lost = [n for n, c in cube.coords.items() if {dim, time} & {n, *c.dims}]
    cube = cube.drop_vars(lost).rename({dim: REFERENCE, time: PERIOD})
    made, valid = (at_steps(times, steps, time) for steps in (at, at[:, None] + lead))
    dated = {"standard_name": REFERENCE} if times.dtype.kind in "MO" else {}
    valid_attrs = {"standard_name": "time"} if dated else {}
    cube = cube.assign_coords(
        {
            REFERENCE: Variable(REFERENCE, made, dated),
            PERIOD: Variable(PERIOD, lead, {"standard_name": PERIOD, "units": "steps"}),
            VALID: Variable((REFERENCE, PERIOD), valid, valid_attrs),
        }
    )
    return as_given(cube, part)


def _check_names(part: Any, dim: Hashable, time: Hashable) -> None:
    """Raise a ValueError if the field has what a cube is going to be called."""
    own = {n for n, v in whole_of(part).variables.items() if not {dim, time} & {n, *v.dims}}
    own |= set(whole_of(part).data_vars) | (set(part.dims) - {dim, time})
    for name in (REFERENCE, PERIOD, VALID):
        if name in own:
            raise ValueError(
                f"Forecast('cube') names its dimensions and times {REFERENCE!r}, {PERIOD!r} and {VALID!r}, "
                f"but the field has {name!r} already; rename it first: patches.rename({name}=…)"
            )


def check_same_times(cubes: list[xr.Dataset]) -> None:
    """Raise a ValueError if cubes of several fields are not of the same times."""
    for cube in cubes[1:]:
        first = cubes[0]
        if any(not first[n].equals(cube[n]) for n in (REFERENCE, PERIOD, VALID)):
            own, other = (next(iter(c.data_vars), None) for c in (first, cube))
            raise ValueError(
                f"the forecasts of {own!r} and of {other!r} are for different times, so that one cube over "
                f"{PERIOD!r} (steps) cannot hold both; merge each on its own: "
                f"patches[[{own!r}]].patch.merge(Forecast('cube')), patches[[{other!r}]].…"
            )


def _in_order(
    whole: xr.Dataset, source: Provenance, which: NDArray, count: int, skipna: bool | None
) -> xr.Dataset:
    """Sort patches by their reference times, and average those of the same one.

    Of what has no mean, such as text, the last is taken.
    """
    dim, data = source.dim, {}
    for name, array in whole.data_vars.items():
        variable = array.variable
        if dim in variable.dims and is_carried(source.plans[0], name, variable.dims):
            data[name] = carried(variable, name, dim)
        elif dim in variable.dims and count < len(which) and variable.dtype.kind not in "fciu":
            variable = variable.isel({dim: slice(None, None, -1)})
            data[name] = variable.isel({dim: np.unique(which[::-1], return_index=True)[1]})
        elif dim in variable.dims and count < len(which):
            lacks = variable.dtype.kind in "fc" or nodata_of(variable) is not None
            skip = lacks if skipna is None else skipna
            data[name] = on_cells(variable, dim, which, count, Mean(), skip)
        elif dim in variable.dims and (np.diff(which) < 0).any():
            data[name] = variable.isel({dim: np.argsort(which)})
        else:
            data[name] = variable
    kept = {n: c for n, c in whole.coords.items() if dim not in c.dims}
    return xr.Dataset(data, kept, whole.attrs)


def _in_space(
    whole: xr.Dataset, source: Provenance, sides: Sides, crop: Any, in_space: Merger
) -> xr.Dataset:
    """Merge patches in space for each reference time; what the field has once, for all of them."""
    dim, time = source.dim, sides.time.time_dim
    own = {n: v.dims for n, v in whole.data_vars.items() if dim in v.dims}
    once = [n for n, dims in own.items() if is_carried(sides.time, n, dims)]
    merged, _ = merged_over(whole.drop_vars(once), dim, sides, "space", crop, in_space)
    merged = merged.drop_vars([time], errors="ignore").rename({OTHER: dim})
    first = [dim, time]
    data = {
        n: v.variable.transpose(*(d for d in first if d in v.dims), ...)
        for n, v in merged.data_vars.items()
    }
    if once:
        places = at_places(whole[once], dim, sides.where, sides.space, crop)
        data |= {n: v.variable for n, v in in_space(places).data_vars.items()}
    return merged.assign({n: data[n] for n in whole.data_vars})[list(whole.data_vars)]


def _leads(plan: Plan, source: Provenance) -> NDArray[np.int64]:
    """Give how far the horizons look ahead, in steps.

    Raises
    ------
    ValueError
        If they differ.
    """
    ordinals = source.ordinals
    if not len(ordinals) and len(plan):  # of no patch, the leads of the others
        hood, entries = plan.in_time(np.arange(len(plan)))
        there = hood.counts[entries] > 0
        ordinals = np.flatnonzero(there)[:1]
    steps, there = plan_steps(plan, ordinals, source.crop)
    lead = steps - plan.steps(ordinals)[:, None]
    if not plan.in_time(ordinals)[0].box and not there.all():
        raise ValueError(UNEVEN)
    if not (lead == lead[:1]).all():
        raise ValueError(UNEVEN)
    return lead[0] if len(lead) else np.arange(steps.shape[1])
