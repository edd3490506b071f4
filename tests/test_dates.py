"""Dates of cftime wherever datetime64 works, and times with a zone."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from xpatch import EventTriggered, ExplicitTimes, FixedLookback

CFTIME = xr.coders.CFDatetimeCoder(use_cftime=True)


def dates(n, freq="D", calendar="noleap"):
    return xr.date_range("2000-01-01", periods=n, freq=freq, calendar=calendar, use_cftime=True)


def with_bounds(n=60, calendar="noleap"):
    t = dates(n, calendar=calendar)
    bounds = np.stack([t, t + pd.Timedelta("1D")], 1)
    own = {"time": ("time", t, {"bounds": "time_bnds"}, {"units": "days since 1999-01-01"})}
    return xr.Dataset(
        {"v": ("time", np.arange(float(n))), "time_bnds": (("time", "b"), bounds)}, own
    )


@pytest.fixture(scope="module", params=["noleap", "360_day", "standard"])
def stored(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("dates") / "c.nc"
    with_bounds(calendar=request.param).to_netcdf(path)
    return path


@pytest.mark.parametrize("coords", [True, "all"])
@pytest.mark.parametrize("chunks", [None, {"time": 20}], ids=["disk", "dask"])
@pytest.mark.parametrize(
    "geometry", [FixedLookback("20D"), FixedLookback("1MS"), {"time": 20}], ids=str
)
def test_bounds_on_disk(stored, coords, chunks, geometry, tmp_path):
    field = xr.open_dataset(stored, chunks=chunks, decode_coords=coords, decode_times=CFTIME)
    patches = field.patch.split(geometry=geometry)
    known = xr.open_dataset(stored, decode_times=CFTIME).load()
    assert patches.time_bnds.dims == ("patch", "time", "b")
    assert patches.time_bnds.dtype == object
    if not isinstance(geometry, dict) or chunks is None:
        there = patches.time_number.values[0] if "time_number" in patches.coords else np.arange(20)
        expected = known.time_bnds.values[there[there >= 0]]
        np.testing.assert_array_equal(patches.time_bnds.load()[0, there >= 0], expected)
    for found in (patches, _through(patches, tmp_path, coords)):
        merged = found.patch.merge()
        np.testing.assert_allclose(merged.v, known.v)
        np.testing.assert_array_equal(merged.time_bnds, known.time_bnds)
        assert merged.indexes["time"].equals(known.indexes["time"])


def _through(patches, path, coords):
    file = path / f"{len(list(path.iterdir()))}.nc"
    with warnings.catch_warnings():  # xarray warns where it chooses the units of times itself
        warnings.simplefilter("ignore", UserWarning)
        patches.drop_encoding().to_netcdf(file)
    return xr.open_dataset(file, decode_coords=coords, decode_times=CFTIME)


def test_nothing_is_read_to_plan(stored, monkeypatch):
    field = xr.open_dataset(stored, decode_times=CFTIME)
    patches = field.patch.split(FixedLookback("20D"))
    assert not field.time_bnds.variable._in_memory
    assert not patches.time_bnds.variable._in_memory


@pytest.mark.parametrize("how", ["coordinate", "variable"])
@pytest.mark.parametrize("cf", [True, False], ids=["cftime", "datetime64"])
def test_bounds_of_scales_and_windows(how, cf):
    field = with_bounds()
    if not cf:
        days = pd.date_range("2001-01-01", periods=60)
        bounds = (("time", "b"), np.stack([days, days + pd.Timedelta("1D")], 1))
        own = {"time": ("time", days, {"bounds": "time_bnds"})}
        field = xr.Dataset({"v": field.v.variable, "time_bnds": bounds}, own)
    given = field.set_coords("time_bnds") if how == "coordinate" else field
    tree = given.patch.split(xpatch.MultiScale([4, 8]))
    first = tree["8"].time_bnds.values[0]
    np.testing.assert_array_equal(first[:, 0], field.time_bnds.values[0:8:2, 0])
    np.testing.assert_array_equal(first[:, 1], field.time_bnds.values[1:8:2, 1])
    tapered = given.patch.split(FixedLookback(8), window="hann").patch.merge()
    np.testing.assert_array_equal(tapered.time_bnds, field.time_bnds)


def test_dates_among_the_variables_are_picked():
    t = dates(30)
    field = xr.Dataset(
        {"first": (("x", "time"), np.stack([t, t + pd.Timedelta("3h")]))}, {"time": t}
    )
    patches = field.patch.split(FixedLookback(5))
    for how in ("first", "last", "min", "max"):
        np.testing.assert_array_equal(patches.patch.merge(how)["first"], field["first"])
    some = patches.isel(patch=[0]).patch.merge("max")["first"]
    assert all(v is None for v in some.values[:, 5:].ravel())
    with pytest.raises(TypeError, match="cannot be averaged"):
        patches.patch.merge("mean")


@pytest.mark.parametrize("freq", ["D", "6h", "MS"])
@pytest.mark.parametrize("factor", [2, 4])
def test_refined_axes_are_those_of_datetime64(freq, factor):
    t = dates(48, freq, "standard")
    naive = t.to_datetimeindex(time_unit="us")
    found = []
    for time in (t, naive):
        field = xr.DataArray(np.arange(48.0), {"time": time}, ("time",))
        patches = field.patch.split(geometry={"time": 12})
        values = np.repeat(patches.values, factor, 1)
        finer = xr.DataArray(values, {"patch": patches["patch"]}, ("patch", "time"))
        merged = finer.patch.merge(scale={"time": factor})
        assert merged.indexes["time"].is_unique
        assert merged.indexes["time"].is_monotonic_increasing
        found.append(merged.indexes["time"])
    assert found[0].to_datetimeindex(time_unit="us").equals(found[1])


AXES = {
    "days": dates(24),
    "months": dates(24, "MS"),
    "uneven": dates(40)[[0, 1, 3, 4, 7, 8, 12, 20, 21, 22, 30, 33]],
}


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("mode", ["reflect", "constant", "edge"])
def test_labels_past_the_edge_survive_files(axis, mode, tmp_path):
    field = xr.DataArray(
        np.arange(float(len(AXES[axis]))), {"time": AXES[axis]}, ("time",), name="v"
    )
    boxes = xpatch.Rectangular(time=6, boundary="pad", pad_mode=mode)
    patches = field.patch.split(geometry=boxes, sampler=xpatch.RegularStride(4))
    labels = patches.time.values[0]
    inside = np.isin(labels, field.time.values)
    assert inside.sum() < 6 or axis == "uneven"
    steps = set(np.diff([t.year * 12 + t.month for t in labels])) if axis == "months" else {1}
    assert steps == {1}
    patches.to_netcdf(tmp_path / "p.nc")
    back = xr.open_dataset(tmp_path / "p.nc", decode_times=CFTIME)["v"]
    np.testing.assert_array_equal(back.time, patches.time)
    xr.testing.assert_allclose(back.patch.merge(), field)


def test_times_of_two_dimensions(tmp_path):
    init, lag = dates(6, "MS"), np.arange(8)
    valid = np.array([[t + pd.Timedelta(days=int(k)) for k in lag] for t in init])
    field = xr.DataArray(
        np.random.default_rng(0).random((6, 8, 4)),
        {"init": init, "lag": lag, "valid": (("init", "lag"), valid)},
        ("init", "lag", "x"),
        name="v",
    )
    field.to_netcdf(tmp_path / "f.nc")
    for given in (field, xr.open_dataset(tmp_path / "f.nc", decode_times=CFTIME)["v"]):
        for geometry in (FixedLookback(2), {"lag": 3}, {"x": 2}, {"init": 2, "lag": 4}):
            patches = given.patch.split(geometry=geometry)
            xr.testing.assert_allclose(patches.patch.merge(), field)
            back = _through(patches.to_dataset(), tmp_path, True)["v"]
            merged = back.patch.merge()
            np.testing.assert_allclose(merged, field)
            np.testing.assert_array_equal(merged.valid.transpose("init", "lag"), field.valid)


# ------------------------------------------------------------------------------------------- zones


def zoned(zone="Europe/Berlin"):
    time = pd.date_range(
        "2001-03-20", periods=24 * 12, freq="h", tz=zone
    )  # across a change of clocks
    values = np.random.default_rng(0).random((time.size, 4))
    return xr.DataArray(values, {"time": time}, ("time", "x"), name="v")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "+05:30"])
@pytest.mark.parametrize(
    "geometry",
    [
        FixedLookback("3D"),
        FixedLookback("1D", expanding=True),
        xpatch.CalendarPeriod("1D", "keep"),
        [{"x": 2}, FixedLookback(5)],
        {"time": 24},
    ],
    ids=str,
)
def test_zones_come_back(zone, geometry, tmp_path):
    field = zoned(zone)
    utc = field.assign_coords(time=field.indexes["time"].tz_convert(None))
    for chunks in ({}, {"time": 100}):
        patches = field.chunk(chunks).patch.split(geometry=geometry)
        ordered = patches.time.sortby("patch")
        np.testing.assert_array_equal(ordered, utc.patch.split(geometry=geometry).time)
        patches.to_netcdf(tmp_path / f"{len(chunks)}.nc")
        back = xr.open_dataset(tmp_path / f"{len(chunks)}.nc")["v"]
        for found in (patches, back):
            merged = found.patch.merge().compute()
            np.testing.assert_allclose(merged, field)
            assert merged.indexes["time"].equals(field.indexes["time"])
            assert str(merged.indexes["time"].tz) == str(field.indexes["time"].tz)


def test_splits_in_space_keep_the_zone():
    field = zoned()
    patches = field.patch.split(geometry={"x": 2})
    assert patches.indexes["time"].equals(field.indexes["time"])
    assert patches.patch.merge().indexes["time"].equals(field.indexes["time"])
    local = field.assign_coords(local=("time", field.indexes["time"]))
    utc = field.indexes["time"].tz_convert(None)[:24]
    np.testing.assert_array_equal(local.patch.split(geometry={"time": 24}).local[0], utc)


@pytest.mark.parametrize("kind", [list, pd.Series, pd.DatetimeIndex, np.asarray])
@pytest.mark.parametrize("sampler", [EventTriggered, ExplicitTimes])
def test_anchors_with_a_zone_are_those_of_utc(kind, sampler):
    field = zoned().isel(x=0, drop=True)
    times = kind(field.indexes["time"][[100, 200]])
    naive = field.assign_coords(time=field.indexes["time"].tz_convert(None))
    for one in (field, naive):
        found = one.patch.split(FixedLookback(5), sampler=sampler(times))
        assert found.anchor_step.values.tolist() == [100, 200]
    again = naive.patch.split(FixedLookback(9), sampler=ExplicitTimes(found))
    np.testing.assert_array_equal(again[:, 4:], found)
