"""Calendars by arithmetic against cftime, and months against pandas and cftime."""

from __future__ import annotations

import cftime
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import assume, given

import xpatch
from xpatch.domain.calendars import Calendar
from xpatch.domain.dates import counted, dated
from xpatch.time.axis import DAY_TICKS, EARLIEST, TimeAxis

CALENDARS = (
    "standard",
    "gregorian",
    "julian",
    "proleptic_gregorian",
    "noleap",
    "365_day",
    "all_leap",
    "366_day",
    "360_day",
)


@pytest.mark.parametrize("name", CALENDARS)
@given(
    st.lists(
        st.integers(0, 1_000_000) | st.integers(577_600, 577_900) | st.integers(-400_000, 800),
        min_size=1,
        max_size=20,
    )
)
def test_days_are_those_of_cftime(name, days):
    calendar = Calendar(name)
    days = np.array(days) if calendar.has_year_zero else np.abs(days)
    dates = dated(days * DAY_TICKS, name)
    months, day = calendar.split(days)
    assert months.tolist() == [d.year * 12 + d.month - 1 for d in dates]
    assert day.tolist() == [d.day - 1 for d in dates]
    assert calendar.lengths(months).tolist() == [d.daysinmonth for d in dates]
    np.testing.assert_array_equal(calendar.days(months, day), days)
    assert calendar.has_year_zero == dates[0].has_year_zero


def moved(date, months, at_ends):
    """Move a date of cftime by months."""
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    first = date.replace(year=year, month=month + 1, day=1)
    day = first.daysinmonth if at_ends else min(date.day, first.daysinmonth)
    # cftime refuses the days that October 1582 lacks
    assume(
        date.calendar != "standard" or (first.year, first.month) != (1582, 10) or not 4 < day < 15
    )
    return first.replace(day=day)


@pytest.mark.parametrize("name", CALENDARS)
@given(
    st.lists(st.integers(584_000 * 24, 900_000 * 24), min_size=2, max_size=9, unique=True),
    st.integers(-600, 600),
)
def test_months_of_cftime(name, hours, months):
    ticks = np.sort(hours) * (DAY_TICKS // 24)
    axis = TimeAxis("time", dated(ticks, name))
    wanted = np.array([moved(d, months, axis.at_month_ends) for d in axis.values])
    np.testing.assert_array_equal(axis._by_months(ticks, months), counted(wanted, name))
    np.testing.assert_array_equal(
        axis.month_numbers, [d.year * 12 + d.month - 1 for d in axis.values]
    )
    starts = [d.replace(day=1, hour=0) for d in axis.values]
    np.testing.assert_array_equal(
        axis.month_starts(axis.month_numbers), counted(np.array(starts), name)
    )


@pytest.mark.parametrize("unit", ["s", "ns"])
@given(
    st.lists(st.integers(-400_000, 400_000), min_size=2, max_size=9, unique=True),
    st.lists(st.integers(-600, 600), min_size=1, max_size=9),
)
def test_months_of_pandas(unit, hours, months):
    times = pd.Timestamp("2000-02-29T05").as_unit(unit) + pd.to_timedelta(np.sort(hours), "h")
    axis = TimeAxis("time", np.asarray(times, f"M8[{unit}]"))
    if axis.at_month_ends:
        return
    one = axis._by_months(axis.ticks, months[0])
    expected = [t + pd.DateOffset(months=months[0]) for t in times]
    np.testing.assert_array_equal(one, np.array(expected, f"M8[{unit}]").astype(np.int64))
    several = axis._by_months(axis.ticks[:1], np.array(months))
    expected = [times[0] + pd.DateOffset(months=m) for m in months]
    np.testing.assert_array_equal(several, np.array(expected, f"M8[{unit}]").astype(np.int64))


def test_the_ends_of_months_and_of_time():
    ends = xr.date_range("2000-01-31", periods=24, freq="ME", calendar="noleap", use_cftime=True)
    axis = TimeAxis("time", np.asarray(ends))
    assert axis.at_month_ends
    np.testing.assert_array_equal(axis._by_months(axis.ticks[:-3], 3), axis.ticks[3:])
    first = TimeAxis("time", np.array([cftime.datetime(1, 3, 1, calendar="julian")]))
    assert first._by_months(first.ticks, -3).tolist() == [EARLIEST]
    assert first._by_months(first.ticks, -2).tolist() == [0]


@pytest.mark.parametrize("step", ["1MS", "5MS", "1YS"])
@pytest.mark.parametrize("calendar", [None, "noleap", "360_day", "standard"])
def test_strides_of_months_are_counted_from_the_first(step, calendar, monkeypatch):
    moves = []
    by_months = TimeAxis._by_months
    monkeypatch.setattr(
        TimeAxis, "_by_months", lambda self, *args: moves.append(1) or by_months(self, *args)
    )
    options = {} if calendar is None else {"calendar": calendar, "use_cftime": True}
    time = np.asarray(xr.date_range("1990-01-30", periods=12_000, freq="D", **options))
    field = xr.DataArray(np.arange(12_000.0), {"time": time}, ("time",))
    patches = field.patch.split(
        xpatch.TimePatcher(xpatch.FixedLookback(2), xpatch.RegularTimeStride(step))
    )
    assert len(moves) < 4
    anchors, every = patches.patch.anchors["time"].values, {"1MS": 1, "5MS": 5, "1YS": 12}[step]
    months = np.arange(len(anchors)) * every
    if calendar is None:
        expected = [pd.Timestamp(time[1]) + pd.DateOffset(months=int(m)) for m in months]
        np.testing.assert_array_equal(anchors, np.array(expected, "M8[ns]"))
        after = pd.Timestamp(time[1]) + pd.DateOffset(months=int(months[-1] + every))
    else:
        assert anchors.tolist() == [moved(time[1], int(m), False) for m in months]
        after = moved(time[1], int(months[-1] + every), False)
    assert after > time[-1]


def test_steps_without_dates_have_no_months():
    field = xr.DataArray(np.arange(40.0), dims="time")
    with pytest.raises(ValueError, match="'time' has no dates"):
        field.patch.split(
            xpatch.TimePatcher(xpatch.FixedLookback(2), xpatch.RegularTimeStride("1MS"))
        )
