"""Phase: where in a cycle a time lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xpatch.time.axis import Duration, TimeAxis

LEAP = 366  # days of the year to which dates of calendars with leap years are mapped
DAYS_BEFORE = np.concatenate([[0], np.cumsum([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30])])
EVEN_YEARS = {"noleap": 365, "365_day": 365, "all_leap": 366, "366_day": 366, "360_day": 360}


def cycle_length(axis: TimeAxis, period: Duration) -> float:
    """Give the length of a cycle in ticks."""
    if period.steps is not None:
        return float(period.steps * axis.step)
    if period.seconds is not None:
        return period.seconds * axis.rate
    assert period.months is not None
    days = EVEN_YEARS.get(str(axis.calendar), LEAP)
    return days * 86_400 * axis.rate * period.months / 12


def reach(axis: TimeAxis, width: Duration) -> float:
    """Give a largest difference in phase in ticks; that of months is the longest run of so many."""
    if width.months is None:
        return cycle_length(axis, width)
    year = EVEN_YEARS.get(str(axis.calendar), LEAP)
    days = np.diff([*DAYS_BEFORE, LEAP]) if year != 360 else np.full(12, 30)
    days[1] -= year == 365
    years, months = divmod(width.months, 12)
    runs = np.convolve(np.tile(days, 2), np.ones(months), "valid") if months else np.zeros(1)
    return float((years * year + runs.max()) * 86_400 * axis.rate)


def span(axis: TimeAxis, period: Duration) -> float:
    """Give the length in ticks of the cycle that begins with the record."""
    if period.months is None:
        return cycle_length(axis, period)
    first = axis.ticks[:1]
    return float(axis.shifted(first, period, 1)[0] - first[0])


def phases(axis: TimeAxis, period: Duration) -> NDArray[np.float64]:
    """Give the place of each time in its cycle, in ticks from its beginning.

    In periods of years the first of March lies at one place, in leap years as in others; shorter
    periods of the calendar must divide a year.

    Raises
    ------
    ValueError
        If the period does not divide a year, or is shorter than a step.
    """
    length = cycle_length(axis, period)
    if length < axis.step:
        raise ValueError(
            f"the period along {axis.dim!r} is shorter than the usual step of the record; a phase "
            "needs several steps in a period"
        )
    if period.steps is not None and axis.months:  # which are not equally long
        cycle = axis.month_numbers % (period.steps * axis.months)
        return np.asarray(cycle * axis.step / axis.months, float)
    if period.months is None:
        origin = axis.ticks[0] if period.steps is not None else 0
        return np.asarray((axis.ticks - origin) % length, float)
    if period.months % 12 and 12 % period.months:
        raise ValueError(
            f"a period of {period.months} months neither divides a year nor consists of years"
        )
    year, place = _in_year(axis)
    whole = cycle_length(axis, Duration(months=12))
    if period.months >= 12:
        return (year % (period.months // 12)) * whole + place
    return place % length


def _in_year(axis: TimeAxis) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give the year, and the ticks since its beginning in a year that has every date."""
    day = 86_400 * axis.rate
    if axis.calendar is None:
        times = axis.values
        year = times.astype("M8[Y]")
        month = times.astype("M8[M]")
        rest = (times - month.astype(times.dtype)).astype(np.int64)
        before = DAYS_BEFORE[(month - year).astype(int)]
        return year.astype(np.int64) + 1970, before * float(day) + rest
    year = np.array([t.year for t in axis.values])
    even = axis.calendar in EVEN_YEARS
    days = np.array(
        [
            (t.dayofyr - 1 if even else DAYS_BEFORE[t.month - 1] + t.day - 1)
            + (t.hour * 3600 + t.minute * 60 + t.second + t.microsecond / 1e6) / 86_400
            for t in axis.values
        ]
    )
    return year, days * day
