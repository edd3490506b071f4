"""Windows in time against pandas, xarray and xclim, at the ends of records and of time."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from tests.test_time_laws import cut, series, steps_of

# ------------------------------------------------------------------- what others make of it


@pytest.mark.parametrize("closed", ["right", "left", "both", "neither"])
@pytest.mark.parametrize("length", ["30D", "36h", "6h", 5])
def test_rolling_of_pandas_on_a_record_with_gaps(closed, length):
    hours = np.sort(np.random.default_rng(1).choice(np.arange(0, 4000, 6), 300, replace=False))
    time = pd.Timestamp("1999-12-20") + pd.to_timedelta(hours, "h")
    field = xr.DataArray(np.random.default_rng(0).random(300), {"time": time}, ("time",))
    if length == "6h" and closed == "neither":
        with pytest.raises(ValueError, match="no window"):
            cut(field, xpatch.FixedLookback(length, closed))
        return
    patches = cut(field, xpatch.FixedLookback(length, closed))
    at = steps_of(patches)[1]
    rolling = field.to_pandas().rolling(length, closed=closed, min_periods=1)
    for name in ("mean", "min", "sum", "count"):
        np.testing.assert_allclose(
            getattr(patches, name)("time"), getattr(rolling, name)().iloc[at]
        )
    for k, step in enumerate(at[::17]):  # and by a search in the times
        here = time[step]
        if isinstance(length, int):
            break
        low = np.searchsorted(
            time, here - pd.Timedelta(length), "left" if closed in ("left", "both") else "right"
        )
        high = np.searchsorted(time, here, "right" if closed in ("right", "both") else "left")
        got = patches.isel(patch=17 * k)
        np.testing.assert_array_equal(got[got.notnull().values], field[low:high])


def test_construct_of_xarray():
    field = series(60)
    for n, stride in ((5, 1), (7, 3), (1, 2)):
        built = field.rolling(time=n).construct("window").isel(time=slice(n - 1, None, stride))
        patches = cut(field, xpatch.FixedLookback(n), xpatch.RegularTimeStride(stride))
        np.testing.assert_array_equal(patches, built)
        np.testing.assert_array_equal(patches.time[:, -1], built.time)


@pytest.mark.parametrize("calendar", [None, "noleap", "360_day", "julian"])
def test_groups_of_xarray(calendar):
    months = series(12 * 9, "MS", calendar=calendar)
    alike = cut(months, xpatch.PhaseWindow("1YS", 0))
    means = months.groupby("time.month").mean()
    np.testing.assert_allclose(alike.mean("time"), means.sel(month=months.time.dt.month))
    seasons = months.isel(time=slice(2, -1))  # whole ones: from March on
    middle = seasons.time.dt.month.isin([1, 4, 7, 10]).values
    around = cut(
        seasons, xpatch.PhaseWindow("1YS", "2MS"), xpatch.ExplicitTimes(seasons.time.values[middle])
    )
    means = seasons.groupby("time.season").mean()
    np.testing.assert_allclose(
        around.mean("time"), means.sel(season=seasons.time.dt.season[middle])
    )
    hours = series(24 * 9, "h", calendar=calendar)
    alike = cut(hours, xpatch.PhaseWindow("1D", 0))
    means = hours.groupby("time.hour").mean()
    np.testing.assert_allclose(alike.mean("time"), means.sel(hour=hours.time.dt.hour))


@pytest.mark.parametrize("calendar", [None, "noleap", "360_day", "standard"])
@pytest.mark.parametrize(("window", "stride"), [(3, 3), (3, 1), (2, 1), (4, 2)])
@pytest.mark.parametrize("freq", ["D", "MS", "ME", "YS"])
def test_periods_of_years(calendar, window, stride, freq):
    """As `xclim.core.calendar.stack_periods`: runs of whole years, which may overlap."""
    years = np.arange(2001, 2010)
    field = series(9 * 366 if freq == "D" else 120, freq, "2001-01-01", calendar)
    field = field.isel(time=field.time.dt.year.isin(years).values)
    year = field.time.dt.year.values
    ends = [
        y for y in years if (y - years[0] - window + 1) % stride == 0 and y >= years[0] + window - 1
    ]
    last = [np.flatnonzero(year == y)[-1] for y in ends]
    geometry = xpatch.FixedLookback(f"{window}YS")
    patches = cut(field, geometry, xpatch.RegularTimeStride(f"{stride}YS"))
    held, at = steps_of(patches)
    assert at.tolist() == last
    for k, y in enumerate(ends):
        want = np.flatnonzero((year > y - window) & (year <= y))
        np.testing.assert_array_equal(held[k], want)
        np.testing.assert_array_equal(patches[k, : len(want)], field[want])
    if stride == window:
        merged = patches.patch.merge("first")
        np.testing.assert_array_equal(merged.dropna("time"), field[: last[-1] + 1])


# ------------------------------------------------------------ ends of the record and of time


def test_a_window_of_years_is_whole_from_the_first_year_on():
    for calendar in (None, "standard", "noleap"):
        field = series(8, "YS", "2001-01-01", calendar)  # 2000, which is not there, has 366 days
        assert cut(field, xpatch.FixedLookback("3YS")).sizes == {"patch": 6, "time": 3}


def test_one_year_is_a_cycle_whether_it_is_a_leap_year_or_not():
    for start in ("2000-01-01", "2001-01-01"):
        for n, freq in ((365 + (start == "2000-01-01"), "D"), (12, "MS")):
            patches = cut(series(n, freq, start), xpatch.PhaseWindow("1YS", 0))
            assert dict(patches.sizes) == {"patch": n, "time": 1}
            with pytest.raises(ValueError, match="shorter than the period"):
                cut(series(n - 1, freq, start), xpatch.PhaseWindow("1YS", 0))


@pytest.mark.parametrize("calendar", [None, "standard", "360_day"])
def test_ends_of_months_go_to_ends_of_months(calendar):
    field = series(40, "ME", calendar=calendar)
    patches = cut(field, xpatch.FixedLookback("3ME"), xpatch.RegularTimeStride("3ME"))
    assert patches.lead.values.tolist() == [-2, -1, 0]
    assert np.diff(steps_of(patches)[1]).tolist() == [3] * 12


@pytest.mark.parametrize(("width", "far"), [("1MS", 0), ("2MS", 1), ("3MS", 1), (3, 1), (1, 0)])
def test_a_width_of_months_is_the_full_width(width, far):
    field = series(48, "MS")
    held, at = steps_of(cut(field, xpatch.PhaseWindow("1YS", width)))
    for steps, k in zip(held, at, strict=True):
        assert set(steps % 12) == {(k + d) % 12 for d in range(-far, far + 1)}


@pytest.mark.parametrize(
    ("width", "days"), [("11D", 11), ("10D", 11), (11, 11), (3, 3), (1, 1), (0, 1)]
)
def test_a_phase_window_of_days_has_its_full_width(width, days):
    field = series(365 * 10, calendar="noleap")
    patches = cut(field, xpatch.PhaseWindow("1YS", width), xpatch.ExplicitTimes(["2003-07-20"]))
    there = patches.time.values[0][patches.notnull().values[0]]
    assert len(there) == 10 * days
    offsets = {t.dayofyr - 201 for t in there}
    assert offsets == set(range(-(days // 2), days // 2 + 1))


@pytest.mark.parametrize("unit", ["ns", "s", "standard"])
@pytest.mark.parametrize("length", ["585YS", "2000YS", "110000D", 10**19, "99999999D"])
def test_lengths_beyond_what_a_unit_holds_fit_no_record(unit, length):
    field = series(400, calendar="standard" if unit == "standard" else None)
    if unit != "standard":
        field = field.assign_coords(time=field.time.values.astype(f"M8[{unit}]"))
    for geometry in (xpatch.FixedLookback(length), xpatch.LookbackHorizon(3, length)):
        with pytest.raises(ValueError, match=r"no window .* fits in the record"):
            cut(field, geometry)


def test_events_beyond_what_a_unit_holds_or_between_its_ticks():
    field = series(30).assign_coords(time=np.arange(30).astype("M8[D]").astype("M8[ns]"))
    with pytest.raises(ValueError, match=r"1 of 1 events have no step .*2554-07-2"):
        cut(
            field, xpatch.FixedLookback(3), xpatch.EventTriggered(np.array(["2554-07-29"], "M8[s]"))
        )
    field = field.assign_coords(time=field.time.values.astype("M8[s]"))
    late = field.time.values[[9]].astype("M8[ms]") + np.timedelta64(500, "ms")
    for method, step in (("pad", 9), ("backfill", 10), ("nearest", 9)):
        patches = cut(field, xpatch.FixedLookback(3), xpatch.EventTriggered(late, method))
        assert steps_of(patches)[1].tolist() == [step]
    with pytest.raises(ValueError, match="1 of the times of ExplicitTimes are not times"):
        cut(field, xpatch.FixedLookback(3), xpatch.ExplicitTimes(late))


def test_a_stride_much_shorter_than_a_step_is_every_step():
    field = series(5000)
    fast = cut(field, xpatch.FixedLookback(3), xpatch.RegularTimeStride("1s"))
    np.testing.assert_array_equal(fast, cut(field, xpatch.FixedLookback(3)))


@pytest.mark.parametrize(
    "length",
    [
        np.timedelta64(3, "D"),
        np.timedelta64(3 * 86_400_000_000_000, "ns"),
        datetime.timedelta(days=3),
        pd.Timedelta("3D"),
        pd.DateOffset(days=3),
        pd.offsets.Day(3),
        "3D",
    ],
    ids=repr,
)
def test_any_duration_is_written_with_the_patches(length):
    from xpatch.spec import decode

    patches = cut(series(20), xpatch.FixedLookback(length), xpatch.RegularTimeStride(length))
    assert patches.sizes == {"patch": 6, "time": 3}
    if not isinstance(length, pd.DateOffset):
        geometry = decode(patches.patch.spec["geometry"])
        np.testing.assert_array_equal(cut(series(20), geometry)[::3], patches)
    zero = length * 0 if not isinstance(length, str) else "0D"
    if not isinstance(length, pd.offsets.BaseOffset):
        assert steps_of(cut(series(20), xpatch.LookbackHorizon(3, 3, gap=zero)))[1][0] == 2
        assert cut(series(20), xpatch.PhaseWindow("5D", zero)).sizes["time"] == 4
