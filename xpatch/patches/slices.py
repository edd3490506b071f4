"""Patches as boxes on the ground: one `GeoSlice` each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import GeoSlice, Lattice
from xpatch.domain import affine as af
from xpatch.domain import places as pl
from xpatch.domain.axes import coordinate_roles
from xpatch.domain.bounds import crs_text
from xpatch.domain.cells import evenly
from xpatch.domain.dates import calendar_of, values_of
from xpatch.patches.placed import only_time, placed_plan_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.patches.recall import indexed
from xpatch.patches.scene import alone, scene_rows
from xpatch.time.finding import is_time

Pair = tuple[NDArray[Any], NDArray[Any]]


def slices(obj: xr.DataArray | xr.Dataset) -> list[GeoSlice]:
    """The patches as boxes on the ground: outer edges, times, resolution and CRS.

    Returns
    -------
    list of GeoSlice
        One a patch, in order. Bounds are the outer edges of the cells that there are, half a cell
        beyond their centers: without what was cropped, with padding, and across the seam of a
        periodic longitude they go on (350 to 370). Along dimensions that are not cut they are
        those of the field. The interval is None without times, one time is that instant, evenly
        spaced ones end one step after the last, others one nanosecond. `Explicit` takes the list.

    Raises
    ------
    ValueError
        If patches are no boxes along x and y: lists of members, rotated or curvilinear rasters,
        windows in time alone; if labels are not evenly spaced, or times are of a calendar that is
        not that of UTC.

    Examples
    --------
    >>> axis = np.arange(4) + 0.5
    >>> field = xr.DataArray(np.zeros((4, 4)), {"y": axis[::-1], "x": axis})
    >>> field.patch.split(geometry={"y": 2, "x": 4}).patch.slices()[0]
    GeoSlice((0.0, 2.0, 4.0, 4.0), resolution=1.0)
    """
    groups = scene_rows(obj)
    if groups is None:
        return _slices(indexed(obj))
    dim, scenes = groups
    found: dict[int, GeoSlice] = {}
    for _, rows in scenes:
        found |= zip(rows.tolist(), slices(alone(obj.isel({dim: rows}))), strict=True)
    return [found[k] for k in sorted(found)]


def _slices(obj: Any) -> list[GeoSlice]:
    source, plan = placed_plan_of(obj)
    space, entries = plan.in_space(source.ordinals)
    y, x = _plane(space)
    (left, right), dx = _sides(space, entries, source, x)
    (bottom, top), dy = _sides(space, entries, source, y)
    crs = pl.crs_of_field(space.domain)
    crs = None if crs is None else crs_text(crs)
    resolution = dx if dx == dy else (dx, dy)
    bounds = np.stack([left, bottom, right, top], axis=-1).tolist()
    intervals = _intervals(obj, source, plan)
    return [GeoSlice(b, t, resolution, crs) for b, t in zip(bounds, intervals, strict=True)]


# ------------------------------------------------------------------------------------ in space


def _plane(plan: Plan) -> tuple[Hashable, Hashable]:
    """Give the dimensions of y and x.

    Raises
    ------
    ValueError
        If patches are no boxes along them.
    """
    domain, what = plan.domain, "slices are boxes along x and y"
    if only_time(plan):
        raise ValueError(f"{what}, and these patches are windows in time alone")
    if max(plan.hood.coarse.values(), default=1) > 1:
        raise ValueError(
            f"{what} and an interval, and these patches are averages over several steps, whose labels are the "
            "last ones; ask those of the smallest scale"
        )
    if plan.hood.lists:
        raise ValueError(
            f"{what}, and these patches are lists of members; see patches.patch.places"
        )
    if domain.rotated is not None or pl.curved(domain):
        kind = "rotated raster" if domain.rotated is not None else "curvilinear grid"
        raise ValueError(f"{what}, and those of a {kind} are none; see patches.patch.footprints()")
    found = af.raster_dims(domain)
    if found is None or not set(found) & set(plan.dims):
        raise ValueError(
            f"{what}, and these patches were cut along {list(plan.dims)} of a field with the dimensions "
            f"{list(domain.dims)}"
        )
    return found


def _sides(
    plan: Plan, entries: NDArray[Any], source: Provenance, dim: Hashable
) -> tuple[Pair, float]:
    """Give the lower and the upper edge of each patch along ``dim``, and the size of a cell."""
    edge, step = _even(plan.domain, dim)
    if dim in plan.dims:
        boxes = plan.boxes.cropped(source.crop)
        k = plan.dims.index(dim)
        start, size = boxes.starts(entries)[:, k], boxes.cells(entries)[:, k]
    else:
        start = np.zeros(len(entries), np.int64)
        size = start + plan.domain.sizes[dim]
    ends = edge + start * step, edge + (start + size) * step
    low, high = ends if step > 0 else ends[::-1]
    return (low, high), abs(step)


def _even(domain: Lattice, dim: Hashable) -> tuple[float, float]:
    """Give the outer edge of the first cell along a dimension, and the step from cell to cell.

    Raises
    ------
    ValueError
        If cells differ in size.
    """
    found = evenly(domain, dim)
    if found is None:
        raise ValueError(
            f"slices need evenly spaced labels along {dim!r}, so that cells have one size"
        )
    return found


# ------------------------------------------------------------------------------------- in time


def _intervals(obj: Any, source: Provenance, plan: Plan) -> list[Any]:
    """Give the interval of each patch."""
    count = len(source.ordinals)
    name = _time_name(obj, plan)
    if name is None:
        return [None] * count
    times = obj.coords[name].variable
    if calendar_of(times) is not None:
        raise ValueError(
            f"the times {name!r} are of cftime, in the calendar {calendar_of(times)!r}, and intervals of slices "
            f"are in UTC; convert the field before it is split, field.convert_calendar('standard', dim={name!r}), "
            f"or leave them out: patches.drop_vars({name!r})"
        )
    values = values_of(times)
    if source.dim not in times.dims:
        return [_interval(values.ravel(), name)] * count
    rows = np.moveaxis(values, times.dims.index(source.dim), 0).reshape(count, -1)
    unique, which = np.unique(rows.astype(np.int64), axis=0, return_inverse=True)
    found = [_interval(row, name) for row in unique.view(rows.dtype)]
    return [found[k] for k in which.ravel()]


def _time_name(obj: Any, plan: Plan) -> Hashable | None:
    """Give the name of the times of patches: of the dimension, or those that are called so.

    Raises
    ------
    ValueError
        If there are several.
    """
    found: list[Hashable] = [n for n, c in obj.coords.items() if is_time(c.variable)]
    roles = coordinate_roles(obj.coords.to_dataset()[found].reset_coords(), ()) if found else {}
    axes = {*plan.hood.time_dims, *obj.dims}
    for chosen in (
        [n for n in found if n in axes],
        [n for n in found if roles.get(n) == "T"],
        found,
    ):
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            raise ValueError(
                f"these patches have several times, {chosen}, of which an interval could be; leave all but one "
                f"out: patches.drop_vars({chosen[1:]})"
            )
    return None


def _interval(times: NDArray[Any], name: Hashable) -> Any:
    """Give the half-open interval of times: an instant, or up to one step after the last."""
    known = np.unique(times[~np.isnat(times)])
    if not len(known):
        raise ValueError(f"a patch has no time, {name!r} is NaT; leave such patches out")
    first, last = pd.Timestamp(known[0]), pd.Timestamp(known[-1])
    steps = np.diff(known)
    if not len(steps):
        return first, first
    if (steps == steps[0]).all():
        return first, last + pd.Timedelta(steps[0])
    return first, last + pd.Timedelta(1, "ns")
