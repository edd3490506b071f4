"""Cubes of forecasts: their times, their order, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xpatch

CUBE = xpatch.Forecast("cube")
DAYS = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
SERIES = xr.DataArray(np.arange(60.0), {"time": DAYS}, ("time",), name="t")
GAP = xpatch.TimePatcher(xpatch.LookbackHorizon(6, 4, gap=1))


def forecasts(stride=10, horizon=4):
    return xpatch.TimePatcher(xpatch.LookbackHorizon(6, horizon), xpatch.RegularTimeStride(stride))


def observations(calendar=None, labeled=True):
    """Twenty observations, numbered from 100, whose dates are another coordinate."""
    dates = DAYS[:20]
    if calendar is not None:
        dates = xr.date_range("2000-02-25", periods=20, calendar=calendar, use_cftime=True)
    coords = {"date": ("obs", np.asarray(dates))}
    coords |= {"obs": np.arange(100, 120)} if labeled else {}
    return xr.DataArray(np.arange(20.0), coords, ("obs",), name="o")


@pytest.mark.parametrize("labeled", [True, False])
@pytest.mark.parametrize("calendar", [None, "noleap", "360_day"])
def test_times_that_are_not_the_labels_of_their_dimension(labeled, calendar, tmp_path):
    field = observations(calendar, labeled)
    patcher = xpatch.TimePatcher(xpatch.LookbackHorizon(3, 2), xpatch.RegularTimeStride(4))
    patches = field.patch.split(patcher)
    dates = field["date"].values
    np.testing.assert_array_equal(patches.patch.anchors["date"], dates[[2, 6, 10, 14]])
    cube = patches.patch.merge(CUBE)
    assert cube.values.tolist() == [[3, 4], [7, 8], [11, 12], [15, 16]]
    np.testing.assert_array_equal(cube.forecast_reference_time, dates[[2, 6, 10, 14]])
    np.testing.assert_array_equal(cube.valid_time, dates[cube.values.astype(int)])
    assert cube.valid_time.attrs["standard_name"] == "time"
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        again = read.isel(patch=[2, 1]).patch.merge(CUBE, like=None if labeled else field)
        np.testing.assert_array_equal(again.forecast_reference_time, dates[[6, 10]])
        np.testing.assert_array_equal(read.patch.anchors["date"], dates[[2, 6, 10, 14]])
        bare = read.drop_vars("date").patch.merge(CUBE, like=field)
        np.testing.assert_array_equal(bare.valid_time, cube.valid_time)


def test_dates_that_no_patch_holds_are_asked_for(tmp_path):
    """The horizons alone do not hold their anchors."""
    patcher = xpatch.TimePatcher(xpatch.LookbackHorizon(3, 2), xpatch.RegularTimeStride(6))
    patches = observations().patch.split(patcher).patch.horizon
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        with pytest.raises(ValueError, match="like=field"):
            read.patch.merge(CUBE)
        found = read.patch.merge(CUBE, like=observations())
        np.testing.assert_array_equal(found.forecast_reference_time, DAYS[[2, 8, 14]])


@pytest.mark.parametrize("which", [slice(1, 4), [5], [3, 2]], ids=str)
def test_some_patches_of_a_file(which, tmp_path):
    SERIES.patch.split(GAP).to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        cube = read.isel(patch=which).patch.merge(CUBE)
    numbers = sorted(np.arange(50)[which].tolist())
    # the first window ends on day 5, a day is left out, the horizon begins on day 7
    assert cube.values.tolist() == [[k + lead for lead in (7, 8, 9, 10)] for k in numbers]
    np.testing.assert_array_equal(cube.forecast_reference_time, DAYS[5 + np.array(numbers)])
    assert cube.forecast_period.values.tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("name", ["forecast_period", "forecast_reference_time", "valid_time"])
def test_a_field_that_has_these_names_is_refused(name):
    for field in (SERIES.expand_dims({name: 3}), SERIES.assign_coords({name: 3})):
        with pytest.raises(ValueError, match=rf"rename\({name}=…\)"):
            field.patch.split(forecasts()).patch.merge(CUBE)
    cube = SERIES.rename(time=name).patch.split(forecasts()).patch.merge(CUBE)
    assert cube.dims == ("forecast_reference_time", "forecast_period")
    assert cube.values[0].tolist() == [6, 7, 8, 9]


def test_fields_of_different_times_make_no_cube():
    hours = DAYS[0] + np.arange(24 * 60) * np.timedelta64(1, "h")
    hourly = xr.DataArray(np.arange(24.0 * 60), {"hour": hours.astype("M8[ns]")}, ("hour",))
    days = SERIES.patch.split(forecasts(horizon=12))
    at = xpatch.ExplicitTimes(days.patch.anchors["time"].values)
    both = hourly.patch.split(xpatch.TimePatcher(xpatch.LookbackHorizon(6, 12), at))
    both = xr.Dataset({"d": days.drop_vars("lead"), "h": both.drop_vars("lead")})
    both["s"] = ("x", [1, 2])
    with pytest.raises(ValueError, match=r"patches\[\['d'\]\]\.patch\.merge"):
        both.patch.merge(CUBE)
    for cube in (both[["h"]].patch.merge(CUBE)["h"], both["h"].patch.merge(CUBE)):
        assert cube.values[0].tolist() == list(range(24 * 5 + 1, 24 * 5 + 13))
        np.testing.assert_array_equal(cube.valid_time[0], hours[24 * 5 + 1 : 24 * 5 + 13])
    assert both["d"].patch.merge(CUBE)[0].values.tolist() == list(range(6, 18))
    assert both.patch.merge("forecast")["s"].values.tolist() == [1, 2]


def test_fields_of_the_same_times_make_one_cube():
    patches = SERIES.patch.split(forecasts())
    other = (2 * SERIES).rename(time="day").patch.split(forecasts()).drop_vars("lead")
    cube = xr.Dataset({"a": patches.drop_vars("lead"), "b": other}).patch.merge(CUBE)
    np.testing.assert_array_equal(cube["b"], 2 * cube["a"])


@pytest.mark.parametrize("chunks", [None, {"time": 20}], ids=["numpy", "dask"])
def test_places_that_no_patch_covers_are_filled(chunks):
    values = np.arange(60 * 6).reshape(60, 6)
    field = xr.DataArray(values, {"time": DAYS, "x": np.arange(6)}, ("time", "x"))
    field = field if chunks is None else field.chunk(chunks)
    patches = field.patch.split(xpatch.SpatioTemporalPatcher(xpatch.Patcher({"x": 2}), forecasts()))
    some = patches.isel(patch=patches.patch.anchors.cell_x.values < 4)
    for how in (CUBE, ("mean", CUBE)):
        cube = some.patch.merge(how, fill_value=-1)
        assert cube.dtype == int
        assert cube[0, 0].values.tolist() == [36, 37, 38, 39, -1, -1]
    assert SERIES.patch.split(forecasts()).patch.merge(CUBE, fill_value=-1)[0, 0] == 6


@pytest.mark.parametrize("chunks", [None, {"time": 20}], ids=["numpy", "dask"])
def test_reference_times_are_sorted_and_occur_once(chunks):
    field = SERIES.astype(int) if chunks is None else SERIES.astype(int).chunk(chunks)
    patches = field.patch.split(forecasts())
    order = patches.isel(patch=[3, 1]).patch.merge(CUBE)
    assert order.dtype == int
    assert order.values.tolist() == [[16, 17, 18, 19], [36, 37, 38, 39]]
    np.testing.assert_array_equal(order.forecast_reference_time, DAYS[[15, 35]])
    twice = xr.concat([patches.isel(patch=[3, 1]), patches.isel(patch=[3]) + 2], "patch")
    cube = twice.patch.merge(CUBE)
    assert (cube.chunks is None) == (chunks is None)
    assert cube.values.tolist() == [[16, 17, 18, 19], [37, 38, 39, 40]]
    np.testing.assert_array_equal(cube.forecast_reference_time, DAYS[[15, 35]])
    lost = twice.where(xr.DataArray([True, True, False], dims="patch"))
    assert lost.patch.merge(CUBE).values.tolist() == [[16, 17, 18, 19], [36, 37, 38, 39]]
    assert bool(lost.patch.merge(CUBE, skipna=False)[1].isnull().all())


def test_the_order_of_a_pair_is_said():
    field = SERIES.expand_dims(x=4).transpose("time", "x")
    space = xpatch.Patcher({"x": 2})
    patches = field.patch.split(xpatch.SpatioTemporalPatcher(space, forecasts()))
    with pytest.raises(ValueError, match=r"\(spatial, temporal\), in this order"):
        patches.patch.merge((CUBE, xpatch.OverlapAdd("hann")))


@pytest.mark.parametrize("dtype", ["U3", "?", "M8[ns]"])
def test_of_repeated_forecasts_without_a_mean_the_last_is_taken(dtype):
    values = np.arange(40).astype("i8").astype(dtype)
    field = xr.DataArray(values, {"time": xr.date_range("2000-01-01", periods=40)}, ("time",))
    patches = field.patch.split(xpatch.TimePatcher(xpatch.LookbackHorizon(5, 3)))
    twice = patches.isel(patch=[7, 3, 7])
    cube = twice.patch.merge(xpatch.Forecast("cube"))
    assert cube.dtype == field.dtype
    np.testing.assert_array_equal(cube, patches.patch.horizon.isel(patch=[3, 7]))
