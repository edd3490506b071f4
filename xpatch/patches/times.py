"""When windows in time are: the times of the field along the dimension that was cut."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import Variable

from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.time.finding import is_time, time_coordinate

UNKNOWN = (
    "these patches were read from a file, and do not hold the time of every step along {dim!r} that is "
    "asked for, and none of {dim!r} itself; give the field that was split, merge(…, like=field)"
)


def times_of(patches: Any, source: Provenance) -> tuple[Hashable, Variable]:
    """Give the coordinate with the times of the field, and its name; as far as they are known.

    The labels of the dimension itself, if there are no times.
    """
    plan = source.plans[0]
    dim = plan.time_dim
    spec = plan.spec.get("temporal") or plan.spec
    asked = (spec.get("geometry") or {}).get("dim")
    for name in dict.fromkeys((asked, dim)):
        try:
            _, found = time_coordinate(plan.domain, name)
        except ValueError:
            continue
        return found, plan.domain.template.coords[found].variable
    for name, coord in patches.coords.items():
        if set(coord.dims) == {source.dim, dim} and is_time(coord):
            values = coord.variable.transpose(source.dim, dim)
            return name, Variable(dim, _along_field(values.to_numpy(), source), coord.attrs)
    labels = plan.domain.coordinate(dim)
    return dim, Variable(dim, np.arange(plan.domain.sizes[dim]) if labels is None else labels)


def _along_field(values: NDArray[Any], source: Provenance) -> NDArray[Any]:
    """Put the times in patches where they were cut, missing where no patch is."""
    plan: Plan = source.plans[0]
    steps, there = plan_steps(plan, source.ordinals, source.crop)
    n = plan.domain.sizes[plan.time_dim]
    missing: Any = None if values.dtype == object else np.array("NaT", values.dtype)
    out = np.full(n, missing, values.dtype)
    if values.shape == steps.shape:
        out[steps[there]] = values[there]
    return out


def plan_steps(
    plan: Plan, ordinals: NDArray[Any], crop: Any
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give the steps in the slots of patches, shape (patch, slot), and which slots hold one."""
    part, entries = plan.in_time(ordinals)
    if not part.box:
        table = part.cells(entries)
        return table, table >= 0
    low, high = crop.get(part.dim, (0, 0))
    steps = part.starts[entries, None] + np.arange(low, part.size - high)
    return steps, (steps >= 0) & (steps < part.n)


def at_steps(times: Variable, steps: NDArray[Any], dim: Hashable) -> NDArray[Any]:
    """Give the times of steps.

    Raises
    ------
    ValueError
        If they are not known.
    """
    found: NDArray[Any] = times.values[steps]
    if times.dtype.kind in "MO" and pd.isnull(found).any():
        raise ValueError(UNKNOWN.format(dim=dim))
    return found
