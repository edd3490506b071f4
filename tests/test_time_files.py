"""Windows in time that were written to files, and lengths that are no whole number of ticks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from tests.test_space_time import field


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
@pytest.mark.parametrize("kind", ["series", "stations", "grid"])
def test_months_of_cftime_are_written(calendar, kind, tmp_path):
    one = field("grid" if kind == "grid" else "stations", calendar)
    one = one.assign_coords(
        season=("time", np.where(one.time.dt.month < 3, "djf", "mam").astype(object))
    )
    patcher = xpatch.TimePatcher(xpatch.FixedLookback("1MS"), xpatch.RegularTimeStride(3))
    if kind != "series":
        space = {"y": 3, "x": 4} if kind == "grid" else xpatch.KNNGraph(3)
        patcher = xpatch.SpatioTemporalPatcher(xpatch.Patcher(space), patcher)
    patches = one.isel(time=np.r_[0:20, 22:48]).patch.split(patcher)
    ragged = patches.isel(patch=0)
    slots = ragged.time_number.values if "time_number" in ragged.coords else np.zeros(1)
    if (slots < 0).any():  # empty slots hold the last date again
        assert (ragged.time.values[slots < 0] == ragged.time.values[slots >= 0][-1]).all()
    patches.to_netcdf(tmp_path / "p.nc")
    patches.to_zarr(tmp_path / "p.zarr")
    for back in (xr.open_dataarray(tmp_path / "p.nc"), xr.open_zarr(tmp_path / "p.zarr")["v"]):
        merged = back.load().patch.merge()
        xr.testing.assert_allclose(
            merged.drop_vars(merged.coords), patches.patch.merge().drop_vars(one.coords)
        )
        assert merged.time.dt.calendar == calendar


@pytest.mark.parametrize("kind", ["series", "lists", "stations", "mixed", "boxes"])
def test_coordinates_of_several_dims_come_back_from_files(kind, tmp_path):
    one = field("stations" if kind == "stations" else "grid")
    labels = np.arange(one.size, dtype=float).reshape(one.shape)
    dims = ("time", "obs") if kind == "stations" else ("y", "time")
    lab = xr.DataArray(labels, dims=one.dims).isel({d: 0 for d in one.dims if d not in dims})
    one = one.assign_coords(lab=lab)
    months = xpatch.TimePatcher(xpatch.FixedLookback("1MS"), xpatch.RegularTimeStride(4))
    days = xpatch.TimePatcher(xpatch.FixedLookback(9), xpatch.RegularTimeStride(4))
    patcher = {
        "series": days,
        "lists": months,
        "stations": xpatch.SpatioTemporalPatcher(xpatch.Patcher(xpatch.KNNGraph(3)), months),
        "mixed": xpatch.SpatioTemporalPatcher(xpatch.Patcher({"y": 3, "x": 4}), months),
        "boxes": xpatch.SpatioTemporalPatcher(xpatch.Patcher({"y": 3, "x": 4}), days),
    }[kind]
    one.patch.split(patcher).to_netcdf(tmp_path / "p.nc")
    merged = xr.open_dataarray(tmp_path / "p.nc").load().patch.merge()
    assert set(merged.lab.dims) == set(dims)
    there = merged.lab.notnull()
    assert int(there.sum()) > 100
    np.testing.assert_array_equal(
        merged.lab.where(there).values, lab.transpose(*merged.lab.dims).where(there).values
    )


@pytest.mark.parametrize("length", ["2500ms", "1500ms", "3500ms", "3s", "2001ms", "500ms"])
@pytest.mark.parametrize("closed", ["right", "left", "both", "neither"])
def test_lengths_between_ticks_hold_what_lies_within(length, closed):
    time = np.arange("2000-01-01T00:00:00", "2000-01-01T00:00:30", dtype="M8[s]")
    series = xr.DataArray(np.arange(30.0), {"time": time}, ("time",))
    span = pd.Timedelta(length) / pd.Timedelta("1s")
    low = np.arange(30)[:, None] - span
    steps = np.arange(30)
    inside = (steps >= low) if closed in ("left", "both") else (steps > low)
    inside &= (steps <= steps[:, None]) if closed in ("right", "both") else (steps < steps[:, None])
    expected = inside[20].sum()
    geometry = xpatch.FixedLookback(length, closed=closed)
    if not expected:
        with pytest.raises(ValueError, match="no window of"):
            series.patch.split(xpatch.TimePatcher(geometry))
        return
    patches = series.patch.split(xpatch.TimePatcher(geometry))
    at = patches.patch.anchors.cell_time.values.tolist().index(20)
    np.testing.assert_array_equal(patches[at].values, steps[inside[20]])


@pytest.mark.parametrize(
    ("gap", "horizon"), [("1500ms", "2500ms"), ("2s", "1500ms"), ("700ms", "3s")]
)
def test_horizons_between_ticks(gap, horizon):
    time = np.arange("2000-01-01T00:00:00", "2000-01-01T00:00:30", dtype="M8[s]")
    series = xr.DataArray(np.arange(30.0), {"time": time}, ("time",))
    patches = series.patch.split(xpatch.TimePatcher(xpatch.LookbackHorizon("2s", horizon, gap=gap)))
    at = patches.patch.anchors.cell_time.values.tolist().index(10)
    begin = 10 + pd.Timedelta(gap) / pd.Timedelta("1s")
    end = begin + pd.Timedelta(horizon) / pd.Timedelta("1s")
    steps = np.arange(30)
    np.testing.assert_array_equal(
        patches.patch.horizon[at].values, steps[(steps > begin) & (steps <= end)]
    )


def test_what_cannot_be_told_is_refused():
    one = field("grid")
    time = xpatch.TimePatcher(xpatch.LookbackHorizon(6, 3), xpatch.RegularTimeStride(4))
    patches = one.patch.split(xpatch.SpatioTemporalPatcher(xpatch.Patcher({"y": 3, "x": 4}), time))
    with pytest.raises(ValueError, match="skipna=False"):
        patches.patch.merge(("mean", "mean"), skipna=False)
    with pytest.raises(ValueError, match="before the model refines"):
        patches.patch.merge(xpatch.Forecast("latest"), scale={"time": 2})
