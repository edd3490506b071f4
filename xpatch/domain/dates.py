"""Dates that are no numbers: those of cftime counted, and those with a time zone in UTC."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DATE_UNITS = "microseconds since 0001-01-01"


def first_value(array: Any) -> Any:
    """Give the first value of a variable, of which no more is read; None if it has none."""
    if not array.size:
        return None
    one = array[(slice(0, 1),) * array.ndim]
    return next(iter(np.asarray(one.values).flat))


def calendar_of(array: Any) -> str | None:
    """Give the calendar of dates of cftime; None for anything else."""
    if array.dtype != object:
        return None
    found = getattr(first_value(array), "calendar", None)
    return None if found is None else str(found)


def has_zone(array: Any) -> bool:
    """Whether a coordinate is of times with a time zone."""
    if array.dtype == object:
        return getattr(first_value(array), "tzinfo", None) is not None
    return isinstance(array.dtype, pd.DatetimeTZDtype)


def values_of(array: Any) -> NDArray:
    """Give the values of a coordinate; of times with a zone in UTC."""
    if not has_zone(array):
        return np.asarray(array.values)
    unit = getattr(array.dtype, "unit", None)
    aware = pd.DatetimeIndex(_objects(array).ravel())
    naive = aware.tz_convert("UTC").tz_localize(None)
    found = (naive if unit is None else naive.as_unit(unit)).to_numpy()
    return found.reshape(array.shape)


def _objects(array: Any) -> NDArray[np.object_]:
    """Give times with a zone one by one; an index of another xarray would lose the zone."""
    known = getattr(array, "to_index", None)
    values = known() if array.ndim == 1 and known is not None else array.values
    return np.asarray(values, dtype=object)


def zone_of(array: Any) -> str | None:
    """Give the name of the time zone of a coordinate."""
    if not has_zone(array):
        return None
    zone = getattr(array.dtype, "tz", None) or first_value(array).tzinfo
    return str(zone)


def in_zone(times: NDArray, zone: str) -> pd.DatetimeIndex:
    """Undo `values_of`: give times in UTC their zone."""
    return pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(zone)


def counted(dates: NDArray, calendar: str) -> NDArray[np.int64]:
    """Count dates of cftime in microseconds since the year 1."""
    import cftime

    if not dates.size:
        return np.empty(dates.shape, np.int64)
    return np.asarray(cftime.date2num(dates, DATE_UNITS, calendar=calendar)).astype(np.int64)


def dated(counts: NDArray[np.int64], calendar: str) -> NDArray:
    """Undo `counted`."""
    import cftime

    if not counts.size:
        return np.empty(counts.shape, object)
    return np.asarray(cftime.num2date(counts, DATE_UNITS, calendar=calendar), dtype=object)


def continued(
    dates: NDArray, counts: NDArray[np.int64], cells: NDArray[np.int64]
) -> NDArray[np.object_]:
    """Give dates at any cells of an axis; past its edges they go on evenly, or by whole months.

    On an uneven axis they stay at the edge: there is no missing date of cftime that files could hold.
    """
    n, calendar = len(dates), dates[0].calendar
    clipped = np.clip(cells, 0, n - 1)
    out = dates[clipped]
    outside = cells != clipped
    steps = np.diff(counts)
    if not len(steps) or not outside.any():
        return out
    beyond = (cells - clipped)[outside]
    if (steps == steps[0]).all():
        out[outside] = dated(counts[clipped][outside] + beyond * steps[0], calendar)
    elif months := _whole_months(dates):
        pairs = zip(out[outside], beyond * months, strict=True)
        out[outside] = [_moved(date, int(by)) for date, by in pairs]
    return out


def _whole_months(dates: NDArray) -> int:
    """Give how many months each date is after the one before, on the same day; 0 if they are not so."""
    months = np.diff([d.year * 12 + d.month for d in dates])
    first = dates[0]
    same = all(
        (d.hour, d.minute, d.second) == (first.hour, first.minute, first.second) for d in dates
    )
    near = max(d.day for d in dates) - min(d.day for d in dates) <= 3
    return int(months[0]) if same and near and (months == months[0]).all() else 0


def _moved(date: Any, months: int) -> Any:
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    first = date.replace(year=year, month=month + 1, day=1)
    return first.replace(day=min(date.day, first.daysinmonth))
