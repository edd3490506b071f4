"""What patches in space and time survive: batches, models on dask, files, indexes, other fields."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from tests.test_space_time import SPACE, field, patcher

KINDS = ["stations", "grid", "mesh", "polygons"]
TIME = [xpatch.FixedLookback(6), xpatch.FixedLookback("1MS"), xpatch.PhaseWindow("7D", "1D")]
each = pytest.mark.parametrize(
    ("kind", "time"), [(k, t) for k in KINDS for t in TIME], ids=lambda v: str(v)
)


def split(kind, time, chunks=None):
    return field(kind, chunks=chunks).patch.split(patcher(SPACE[kind][0], time))


@each
def test_batches_and_models_on_dask(kind, time):
    patches, lazy = split(kind, time), split(kind, time, {"time": 12})
    merged = patches.patch.merge()
    batches = list(lazy.patch.batches(7))
    assert all(b.sizes["patch"] <= 7 for b in batches)
    whole = xr.concat(batches, "patch").sortby("patch")
    np.testing.assert_array_equal(whole.values, patches.values)
    doubled = lazy.map_blocks(lambda block: block * 2, template=lazy)
    np.testing.assert_allclose(doubled.patch.merge().compute().values, 2 * merged.values)


@each
def test_indexes_survive(kind, time):
    patches = split(kind, time)
    merged = patches.patch.merge()
    back = pickle.loads(pickle.dumps(patches))
    parts = xr.concat([patches[5:], patches[:5]], "patch")
    for other in (back, parts, patches + 0, patches.sortby("patch")):
        np.testing.assert_allclose(other.patch.merge().values, merged.values)
    renamed = patches.rename({"time": "when"}).patch.merge()
    assert renamed.dims == tuple("when" if d == "time" else d for d in merged.dims)
    np.testing.assert_array_equal(renamed.values, merged.values)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("kind", ["stations", "grid"])
@pytest.mark.parametrize("time", TIME, ids=str)
def test_what_is_merged_is_written_in_chunks(kind, time, tmp_path):
    merged = split(kind, time, {"time": 12}).patch.merge()
    expected = split(kind, time).patch.merge()
    chunks = len(merged.chunksizes["time"])
    assert chunks <= xpatch.write(merged, tmp_path / "a.zarr") <= chunks + 2  # and coordinates
    merged.to_zarr(tmp_path / "b.zarr")
    for name in "ab":
        np.testing.assert_array_equal(xr.open_zarr(tmp_path / f"{name}.zarr")["v"].values, expected)


@each
def test_another_field_at_the_same_anchors(kind, time):
    patches = split(kind, time)
    times = xpatch.ExplicitTimes(patches.patch.anchors.time.values)
    again = field(kind).patch.split(
        xpatch.SpatioTemporalPatcher(
            xpatch.Patcher(SPACE[kind][0], xpatch.Explicit(patches)),
            xpatch.TimePatcher(time, times),
            "coupled",
        )
    )
    np.testing.assert_array_equal(again.values, patches.values)


def test_two_fields_with_other_steps_share_their_anchors():
    days = pd.date_range("2000-01-01", periods=40, freq="D")
    hours = pd.date_range("2000-01-01", periods=160, freq="6h")
    rng = np.random.default_rng(0)
    lon, lat = ("obs", rng.uniform(0, 50, 6)), ("obs", rng.uniform(0, 50, 6))
    daily = xr.DataArray(
        rng.random((40, 6)), {"time": days, "lon": lon, "lat": lat}, ("time", "obs")
    )
    often = xr.DataArray(rng.random(160), {"hour": hours}, ("hour",))
    a = daily.patch.split(
        xpatch.TimePatcher(xpatch.FixedLookback("5D"), xpatch.RegularTimeStride("3D"))
    )
    at = xpatch.ExplicitTimes(a.patch.anchors.time.values)
    b = often.patch.split(xpatch.TimePatcher(xpatch.FixedLookback("2D"), at))
    both = xr.Dataset({"a": a.drop_vars("lead"), "b": b.drop_vars("lead")})
    merged = both.patch.merge()
    xr.testing.assert_allclose(merged.a, daily.rename("a").where(merged.a.notnull()))
    xr.testing.assert_allclose(merged.b, often.rename("b").where(merged.b.notnull()))
    other = often.patch.split(
        xpatch.TimePatcher(xpatch.FixedLookback("2D"), xpatch.RegularTimeStride(12))
    )
    with pytest.raises(ValueError, match="do not belong together"):
        _ = a.mean("time") + other.mean("hour")


def test_tiles_and_the_stations_around_them_through_time():
    grid, stations = field("grid"), field("stations")
    stations = stations.assign_coords(
        lon=("obs", np.linspace(0, 7, 9)), lat=("obs", np.linspace(0, 6, 9))
    )
    grid = grid.rename(y="lat", x="lon")
    tiles = xpatch.Patcher(xpatch.Rectangular(lat=3, lon=4))
    time = xpatch.TimePatcher(xpatch.FixedLookback("1MS"), xpatch.RegularTimeStride(4))
    a = grid.patch.split(xpatch.SpatioTemporalPatcher(tiles, time))
    near = xpatch.Patcher(xpatch.KNNGraph(2), xpatch.Explicit(grid.patch.split(tiles)))
    b = stations.patch.split(xpatch.SpatioTemporalPatcher(near, time))
    both = xr.merge([a.rename("a"), b.rename("b")], join="outer", compat="override")
    assert both.a.dims == ("patch", "lat", "time", "lon")
    assert both.b.dims == ("patch", "time", "obs")
    merged = both.a.patch.merge(like=grid)
    xr.testing.assert_allclose(merged.rename("v"), grid.where(merged.notnull()))


def test_apply_returns_other_variables():
    for kind in ("stations", "grid"):
        ds = field(kind).to_dataset(name="v")
        many = patcher(SPACE[kind][0], xpatch.FixedLookback("1MS"))

        def model(patches):
            return patches.assign(w=patches.v.mean([d for d in patches.v.dims if d != "patch"]))

        out = ds.patch.apply(model, many)
        lazy = ds.chunk(time=9).patch.apply(model, many, aggregation="median").compute()
        assert set(out) == {"v", "w"}
        xr.testing.assert_allclose(out.v, lazy.v)


@pytest.mark.parametrize("chunks", [None, {"time": 11}])
@pytest.mark.parametrize("kind", KINDS)
def test_several_scales_in_every_kind_of_place(kind, chunks, tmp_path):
    one, space = field(kind), xpatch.Patcher(SPACE[kind][0])

    def split(geometry, window=None, chunks=None):
        time = xpatch.TimePatcher(geometry, xpatch.RegularTimeStride(4), window=window)
        return field(kind, chunks=chunks).patch.split(xpatch.SpatioTemporalPatcher(space, time))

    for window in (None, xpatch.ExponentialDecay(3.0)):
        tree = split(xpatch.MultiScale([4, 12]), window, chunks)
        fine = tree.patch.merge(xpatch.HierarchicalCombine([4])).compute()
        xr.testing.assert_allclose(fine, one.where(fine.notnull()))
        coarse = tree["12"].to_dataset().sortby("patch").compute()["v"]
        expected = split(xpatch.FixedLookback(12)).coarsen(time=3).mean()
        if window is None:
            np.testing.assert_allclose(coarse.values, expected.values)
        both = tree.patch.merge().compute()
        if kind != "mesh":
            tree.to_netcdf(tmp_path / f"{window}.nc")
            back = xr.open_datatree(tmp_path / f"{window}.nc").load()
            xr.testing.assert_allclose(back.patch.merge(like=one), both)


def test_every_field_at_the_same_anchors_is_merged_on_its_own():
    grid = field("grid").rename(y="lat", x="lon")
    stations = field("stations").assign_coords(
        lon=("obs", np.linspace(0, 7, 9)), lat=("obs", np.linspace(0, 6, 9))
    )
    tiles = xpatch.Patcher(xpatch.Rectangular(lat=3, lon=4))
    near = xpatch.Patcher(xpatch.KNNGraph(2), xpatch.Explicit(grid.patch.split(tiles)))
    time = xpatch.TimePatcher(xpatch.LookbackHorizon(5, 3))
    a = grid.patch.split(xpatch.SpatioTemporalPatcher(tiles, time))
    b = stations.patch.split(xpatch.SpatioTemporalPatcher(near, time))
    both = xr.merge([a.rename("a"), b.rename("b")], join="outer", compat="override")
    for how in (("mean", "median"), "forecast", xpatch.Forecast("cube")):
        for name, alone in (("a", a), ("b", b)):
            merged = both[name].patch.merge(how)
            xr.testing.assert_equal(merged.rename("v"), alone.patch.merge(how).rename("v"))
            if not isinstance(how, tuple):
                together = both.patch.merge(how)[name]
                assert together.dims == merged.dims
                np.testing.assert_array_equal(together, merged)
    with pytest.raises(ValueError, match="takes those of one"):
        both.patch.merge(("mean", "mean"))
    np.testing.assert_array_equal(both.b.patch.horizon, b.patch.horizon)


@pytest.mark.parametrize("time", ["1MS", 5], ids=str)
def test_no_patch_leaves_everything_missing(time):
    one = field("grid")
    windows = xpatch.TimePatcher(xpatch.LookbackHorizon(time, 3))
    space = xpatch.Patcher(xpatch.Rectangular(y=3, x=4))
    for patcher_ in (windows, xpatch.SpatioTemporalPatcher(space, windows)):
        none = one.patch.split(patcher_).isel(patch=[])
        assert none.patch.horizon.sizes["time"] == 3
        merged = none.patch.merge("forecast")
        assert merged.dims == one.dims
        assert merged.isnull().all()
        assert none.patch.merge(xpatch.Forecast("cube")).sizes["forecast_period"] == 3
    both = none.patch.merge(("mean", "mean"))
    assert both.dims == one.dims
    assert both.isnull().all()


@pytest.mark.parametrize("how", [xpatch.Forecast("cube"), ("mean", "mean")], ids=str)
def test_what_is_no_merge_of_blocks_is_refused_by_apply(how):
    space = xpatch.Patcher(xpatch.Rectangular(y=3, x=4))
    both = xpatch.SpatioTemporalPatcher(space, xpatch.TimePatcher(xpatch.LookbackHorizon(5, 3)))
    with pytest.raises(ValueError, match="block by block"):
        field("grid").patch.apply(lambda p: p, both, aggregation=how)
