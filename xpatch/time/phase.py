"""Phase: where in a cycle a time lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xpatch.time.axis import DAY_TICKS, Duration, TimeAxis

LEAP = 366  # days of the year to which dates of calendars with leap years are mapped
LEAP_MONTHS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
EVEN_YEARS = {"noleap": 365, "365_day": 365, "all_leap": 366, "366_day": 366, "360_day": 360}


def months_of(axis: TimeAxis) -> NDArray[np.int64]:
    """Give the days of the months of a year that has every date."""
    year = EVEN_YEARS.get(str(axis.calendar), LEAP)
    days = np.full(12, 30) if year == 360 else np.array(LEAP_MONTHS)
    days[1] -= year == 365
    return days


def cycle_length(axis: TimeAxis, period: Duration) -> float:
    """Give the length of a cycle in ticks."""
    if period.steps is not None:
        return float(period.steps * axis.step)
    if period.seconds is not None:
        return period.seconds * axis.rate
    assert period.months is not None
    months = months_of(axis)
    years = period.months % 12 == 0
    days = months.sum() * period.months // 12 if years else months.max() * period.months
    return float(days * 86_400 * axis.rate)


def reach(axis: TimeAxis, width: Duration) -> float:
    """Give a width in ticks; that of months is the longest run of so many."""
    if width.months is None:
        return cycle_length(axis, width)
    days = months_of(axis)
    years, months = divmod(width.months, 12)
    runs = np.convolve(np.tile(days, 2), np.ones(months), "valid") if months else np.zeros(1)
    return float((years * days.sum() + runs.max()) * 86_400 * axis.rate)


def span(axis: TimeAxis, period: Duration) -> float:
    """Give the length in ticks of the cycle that begins with the record."""
    if period.months is None:
        return cycle_length(axis, period)
    first = axis.ticks[:1]
    return float(axis.shifted(first, period, 1)[0] - first[0])


def phases(axis: TimeAxis, period: Duration) -> NDArray[np.float64]:
    """Give the place of each time in its cycle, in ticks from its beginning.

    In periods of years the first of March lies at one place, in leap years as in others. Shorter
    periods of the calendar must divide a year, and every month of them is as long as the longest, so
    that its first day lies at one place.

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
    year, month, rest = _in_month(axis)
    days = months_of(axis)
    if period.months % 12:
        before = month % period.months * days.max()
    else:
        before = np.concatenate([[0], np.cumsum(days)])[month]
        before += year % (period.months // 12) * days.sum()
    return before * float(86_400 * axis.rate) + rest


def _in_month(axis: TimeAxis) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Give the year, the month from 0 on, and the ticks since its beginning."""
    if axis.calendar is None:
        month = axis.values.astype("M8[M]")
        rest = (axis.values - month.astype(axis.values.dtype)).astype(float)
        number = month.astype(np.int64) + 1970 * 12
        return number // 12, number % 12, rest
    months, day = axis.months_and_days
    rest = (day * DAY_TICKS + axis.ticks % DAY_TICKS).astype(float)
    return months // 12, months % 12, rest
