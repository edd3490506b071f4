"""Intervals of time: [start, end) in UTC."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Interval = tuple[pd.Timestamp | None, pd.Timestamp | None]
TIMES = (str, datetime.date, np.datetime64)  # a datetime, and a Timestamp, are dates
ISO = re.compile(r"\s*\d{4}(-\d\d|\d{4}|\s*$)")  # pandas reads "now" and "01/02/2024", too
PERIOD = re.compile(r"\s*\d{4}(-?\d{2})?\s*")  # a year, or a month


def as_interval(value: Any) -> Interval | None:
    """Read an interval, or one instant, as a pair of naive times in UTC.

    Parameters
    ----------
    value : pair of times, time or None
        Text, dates, `numpy.datetime64` or `pandas.Timestamp`; naive ones count as UTC. One end may be None.

    Raises
    ------
    TypeError
        If these are no times.
    ValueError
        If the start is after the end, or a time cannot be read.
    """
    if value is None:
        return None
    if isinstance(value, TIMES):
        if isinstance(value, str) and PERIOD.fullmatch(value):
            raise ValueError(
                f"interval={value!r} names a period, of which an instant cannot be meant; give its start and "
                "the start of the next, as ('2024-06', '2024-07')"
            )
        return (instant(value),) * 2
    if not isinstance(value, tuple | list | np.ndarray | pd.DatetimeIndex) or len(value) != 2:
        raise TypeError(f"interval must be (start, end), one instant or None, got {value!r}")
    start, end = (None if v is None else instant(v) for v in value)
    if start is None and end is None:
        return None
    if start is not None and end is not None and start > end:
        raise ValueError(f"interval starts at {start}, after its end {end}; swap them")
    return start, end


def instant(value: Any) -> pd.Timestamp:
    """Read one time, as naive UTC."""
    if not isinstance(value, TIMES):
        raise TypeError(
            f"a time must be text, a datetime, numpy.datetime64 or pandas.Timestamp, got {value!r}"
        )
    try:
        if isinstance(value, str) and not ISO.match(value):
            raise ValueError("it does not begin with a year, as ISO 8601 has it")
        found = pd.Timestamp(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is no time that pandas can read: {error}") from None
    if found is pd.NaT:
        raise ValueError(f"{value!r} is no time: of an open interval give None for the missing end")
    return found if found.tzinfo is None else found.tz_convert("UTC").tz_localize(None)


def within(times: Any, interval: Interval | None) -> NDArray[np.bool_]:
    """Whether times, naive ones in UTC, lie in an interval; NaT does not, even where there is none.

    Raises
    ------
    TypeError
        If these are no times, or of another calendar.
    """
    known = utc(times)
    if interval is None:
        return ~known.isna()
    start, end = interval
    if start is not None and start == end:
        return np.asarray(known == start)
    inside = ~known.isna()
    if start is not None:
        inside &= known >= start
    if end is not None:
        inside &= known < end
    return np.asarray(inside)


def utc(times: Any) -> pd.DatetimeIndex:
    """Give times as naive UTC."""
    values = getattr(times, "values", times) if hasattr(times, "dims") else times
    flat = np.atleast_1d(values) if np.ndim(values) == 0 else values
    first = next((t for t in flat if t is not None), None)
    if first is not None and not isinstance(first, TIMES):
        raise TypeError(f"expected times of the standard calendar, got {first!r}")
    found = pd.to_datetime(pd.Index(flat), utc=True, format="ISO8601")
    return pd.DatetimeIndex(found).tz_localize(None)


def written(time: pd.Timestamp | None) -> str | None:
    """Write a time as text that reads as it."""
    if time is None:
        return None
    return time.isoformat().removesuffix("T00:00:00")
