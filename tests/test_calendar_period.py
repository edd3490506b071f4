"""`CalendarPeriod` has the groups of `resample`, on every calendar."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from xpatch import CalendarPeriod, ExplicitTimes, Patcher, RandomTime, RegularTimeStride

CALENDARS = [None, "noleap", "360_day"]


def series(n, freq, start, calendar=None):
    if calendar is None:
        time = pd.date_range(start, periods=n, freq=freq)
    else:
        time = xr.date_range(start, periods=n, freq=freq, calendar=calendar, use_cftime=True)
    values = np.random.default_rng(n).random(n)
    return xr.DataArray(values, {"time": time}, ("time",), name="t")


def groups(field, freq):
    """Give the groups of xarray that are not empty: values, and the first step of each."""
    found = field.resample(time=freq).groups.values()
    slices = [s if isinstance(s, slice) else slice(s, s + 1) for s in found]
    values = [field.values[s] for s in slices]
    starts = [range(*s.indices(field.size))[0] for s in slices if field.values[s].size]
    return [v for v in values if v.size], starts


def held(patches):
    rows = zip(patches.values, patches.time_number.values, strict=True)
    return [values[number >= 0] for values, number in rows]


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize(
    "freq", ["1MS", "2MS", "1QS-DEC", "1QS", "1YS", "1YS-JUL", "1D", "7D", "12h"]
)
@pytest.mark.parametrize(
    ("n", "step", "start"),
    [(700, "D", "2000-01-17"), (1500, "6h", "2001-11-30T18:00"), (50, "MS", "2000-02-01")],
)
def test_groups_are_those_of_resample(calendar, freq, n, step, start):
    field = series(n, step, start, calendar)
    field = field.isel(time=np.r_[0 : n // 3, n // 2 : n])  # with a gap
    patches = field.patch.split(CalendarPeriod(freq, partial="keep"))
    expected, starts = groups(field, freq)
    assert patches.anchor_step.values.tolist() == starts
    for got, want in zip(held(patches), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    xr.testing.assert_identical(patches.patch.merge(), field)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_a_complete_period_is_filled_by_the_usual_step(calendar):
    daily = series(30 + 366 + 20, "D", "2000-01-03", calendar)
    months = daily.patch.split(CalendarPeriod("1MS"))
    first, last = months.time.values[0, 0], months.time.values[-1]
    assert (pd.Timestamp(str(first)).month, pd.Timestamp(str(first)).day) == (2, 1)
    counts = daily.resample(time="1MS").count()
    assert (months.time_number >= 0).sum("time").values.tolist() == counts.values[1:-1].tolist()
    assert months.sizes["patch"] == counts.size - 2, last
    for freq, whole in (("MS", 12), ("ME", 12)):
        monthly = series(30, freq, "2000-01-01", calendar)
        assert monthly.patch.split(CalendarPeriod("1YS")).sizes == {"patch": 2, "time": whole}
        assert monthly.patch.split(CalendarPeriod("1YS", "keep")).sizes["patch"] == 3
        seasons = monthly.patch.split(CalendarPeriod("1QS-DEC"))
        assert seasons.sizes == {
            "patch": 9,
            "time": 3,
        }  # of January and February of 2000 none is whole
    noon = daily.assign_coords(time=daily.indexes["time"] + pd.Timedelta("12h"))
    assert noon.patch.split(CalendarPeriod("1MS")).sizes == months.sizes
    middle = series(48, "MS", "2000-01-01", calendar)
    middle = middle.assign_coords(time=middle.indexes["time"] + pd.Timedelta("15D"))
    assert middle.patch.split(CalendarPeriod("1YS")).sizes["patch"] == 4


def test_periods_of_equal_length_are_boxes():
    hours = series(24 * 5, "h", "2000-01-01")
    days = hours.patch.split(CalendarPeriod("1D"))
    assert days.sizes == {"patch": 5, "time": 24}
    assert days.lead.values.tolist() == list(range(24))
    xr.testing.assert_identical(days.patch.merge(), hours)


def test_months_through_space_and_files(tmp_path):
    time = pd.date_range("2000-01-01", "2001-12-31")
    values = np.random.default_rng(0).random((731, 4, 6))
    field = xr.DataArray(values, {"time": time}, ("time", "y", "x"), name="t")
    patches = field.patch.split(geometry=[{"y": 2, "x": 3}, CalendarPeriod("1QS-DEC")])
    assert patches.sizes["patch"] == 4 * 7
    merged = patches.patch.merge()
    inside = slice("2000-03-01", "2001-11-30")
    xr.testing.assert_allclose(merged.sel(time=inside), field.sel(time=inside))
    assert bool(merged.sel(time="2001-12").isnull().all())
    months = field.chunk(time=100).patch.split(CalendarPeriod("1MS"))
    assert months.chunks is not None
    months.to_netcdf(tmp_path / "m.nc")
    back = xr.open_dataset(tmp_path / "m.nc")["t"]
    xr.testing.assert_allclose(back.patch.merge(), field)
    xr.testing.assert_allclose(back.patch.merge(like=field), field)
    spec = xpatch.TimePatcher.from_spec(months.patch.spec)
    assert spec.geometry == CalendarPeriod("1MS")


def test_samplers_that_mean_something():
    field = series(800, "D", "2000-01-10")
    julys = field.patch.split(CalendarPeriod("1MS"), sampler=RandomTime(5, seed=0))
    assert {pd.Timestamp(t).day for t in julys.time.values[:, 0]} == {1}
    years = field.patch.split(CalendarPeriod("1MS"), sampler=RegularTimeStride("1YS"))
    assert [pd.Timestamp(t).month for t in years.time.values[:, 0]] == [2, 2, 2]
    one = field.patch.split(CalendarPeriod("1MS"), sampler=ExplicitTimes(["2000-07-01"]))
    np.testing.assert_array_equal(one.values[0], field.sel(time="2000-07"))
    hours = series(800 * 24, "h", "2000-01-10").rename(time="hour")
    fine = hours.patch.split(CalendarPeriod("1MS"), sampler=ExplicitTimes(julys))
    both = xr.Dataset({"d": julys, "h": fine})
    assert both.sizes["patch"] == 5
    assert fine.sizes["hour"] == 31 * 24
    xr.testing.assert_allclose(
        both["h"].patch.merge().dropna("hour").rename("t"),
        hours.isel(hour=np.unique(fine.hour_number.values[fine.hour_number.values >= 0])),
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda f: f.patch.split(CalendarPeriod("1ME")), "same groups are 1MS"),
        (lambda f: f.patch.split(CalendarPeriod("1W")), "seven days are '7D'"),
        (lambda f: f.patch.split(CalendarPeriod("month")), "got 'month'"),
        (lambda f: f.patch.split(CalendarPeriod("1MS", "yes")), "partial must be one of"),
        (
            lambda f: f.patch.split(CalendarPeriod("1MS"), sampler=xpatch.CausalRolling(1)),
            "leaves the anchor out.*RegularTimeStride",
        ),
        (
            lambda f: f.patch.split(CalendarPeriod("1MS"), sampler=RegularTimeStride(12)),
            "first step of each period.*RegularTimeStride.step=12.*ExplicitTimes",
        ),
        (
            lambda f: f.patch.split(
                CalendarPeriod("1MS"), sampler=xpatch.EventTriggered(["2000-02-10"])
            ),
            "first step of each period",
        ),
        (lambda f: f.drop_vars("time").patch.split(CalendarPeriod("1MS")), "needs dates"),
        (
            lambda f: f[:20].patch.split(CalendarPeriod("1MS")),
            "use a shorter one, or partial='keep'",
        ),
    ],
)
def test_errors(call, says):
    with pytest.raises(ValueError, match=says):
        call(series(100, "D", "2000-01-05"))
    with pytest.raises(TypeError, match=r"FixedLookback\(n\) at RegularTimeStride"):
        CalendarPeriod(30)


def test_places_that_pair_with_a_month():
    field = series(366, "D", "2000-01-01").expand_dims(x=[0.0, 1.0]).transpose("time", "x")
    patcher = xpatch.SpatioTemporalPatcher(
        Patcher({"x": 1}), xpatch.TimePatcher(CalendarPeriod("1MS"))
    )
    xr.testing.assert_allclose(field.patch.split(patcher).patch.merge(), field)
