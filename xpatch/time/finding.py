"""Which dimension of a field is time, and what its steps are."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from xpatch.domain import Lattice
from xpatch.domain.dates import calendar_of, has_zone, values_of
from xpatch.time.axis import TimeAxis
from xpatch.time.steps import StepAxis


def time_axis(domain: Lattice, dim: Hashable | None = None) -> TimeAxis:
    """Find the time axis of a field, by CF attributes, type or name; times with a zone are in UTC.

    One that has no dates is an axis of steps, if it is asked for, or is called so.

    Raises
    ------
    ValueError
        If there is none, or several and none is asked for, or its times cannot be used.
    """
    try:
        time_dim, name = time_coordinate(domain, dim)
    except ValueError:
        undated = step_axis(domain, dim)
        if undated is None:
            raise
        return undated
    values = values_of(domain.template.coords[name].variable)
    if values.dtype.kind == "M" and np.isnat(values).any():
        raise ValueError(f"some times along {time_dim!r} are NaT; leave them out (dropna)")
    axis = TimeAxis(time_dim, values, name)
    if axis.calendar is not None:
        domain.counted[name] = axis.ticks
    return axis


def step_axis(domain: Lattice, dim: Hashable | None) -> StepAxis | None:
    """Find an axis without dates: the one that is asked for, or the only one that is called time."""
    coords = domain.template.coords
    if dim is None:
        found = [d for d in domain.sizes if domain.roles.get(d) == "T"]
        if len(found) != 1:
            return None
        dim = found[0]
    name = dim if dim in coords and coords[dim].ndim == 1 else None
    own = dim if name is None else coords[name].dims[0]
    if own not in domain.sizes or not domain.sizes[own]:
        return None
    labels = domain.coordinate(own) if name in (None, own) else np.asarray(coords[name].values)
    if labels is None:  # none, or several at once
        return StepAxis(own, np.arange(domain.sizes[own]))
    return None if labels.dtype.kind == "M" else StepAxis(own, labels, name)


def time_coordinate(domain: Lattice, dim: Hashable | None = None) -> tuple[Hashable, Hashable]:
    """Give the dimension of time, and the name of the coordinate that holds its times.

    Raises
    ------
    ValueError
        If there is none, or several and none is asked for.
    """
    found: dict[Hashable, Hashable] = {}
    coords = domain.template.coords
    for name, coord in coords.items():
        if coord.ndim != 1 or not is_time(coord):
            continue
        (own,) = coord.dims
        # Of several along one dimension the one that is asked for, else that of the dimension
        if own not in found or name == dim or (name == own and found[own] != dim):
            found[own] = name
    there = list(found)
    if dim is not None:
        found = {d: n for d, n in found.items() if dim in (d, n)}
    preferred = {d: n for d, n in found.items() if domain.roles.get(n) == "T" and n == d}
    if len(found) > 1 and len(preferred) == 1:
        found = preferred
    empty = [d for d, n in domain.sizes.items() if n == 0]
    if empty and set(found) <= set(empty):
        raise ValueError(f"the field has no steps along {empty[0]!r}, so that no window fits in it")
    if len(found) != 1:
        have = f"times along {there}" if there else "no time axis"
        asked = "" if dim is None else f" called {dim!r}"
        raise ValueError(
            f"windows in time need one time axis{asked}, but the field has {have}; it needs a "
            "coordinate of datetime64 or cftime (decode_times=True), or say which: FixedLookback(…, dim=…)"
            + ("" if there else "; without dates windows are counted in steps")
        )
    ((time_dim, name),) = found.items()
    return time_dim, name


def is_time(array: Any) -> bool:
    """Whether an array, or a coordinate, is of times: of datetime64, or of dates of cftime."""
    if array.dtype != object:
        return bool(array.dtype.kind == "M")
    return calendar_of(array) is not None or has_zone(array)
