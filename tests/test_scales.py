"""Windows of several scales: against slices, coarsen and rolling, and that nothing leaks from the future."""

from __future__ import annotations

import json
import pickle
import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from xpatch import HierarchicalCombine, MultiScale, TimePatcher, painting
from xpatch.engine import coarsen
from xpatch.spec import decode

CALENDARS = ["datetime64", "standard", "noleap", "360_day", "julian"]


def times(n, freq="D", calendar="datetime64"):
    if calendar == "datetime64":
        return pd.date_range("2000-01-01", periods=n, freq=freq)
    return xr.date_range("2000-01-01", periods=n, freq=freq, calendar=calendar, use_cftime=True)


def series(n=120, calendar="datetime64", freq="D", holes=0.0, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.random((n, 3))
    values[rng.random((n, 3)) < holes] = np.nan
    coords = {"time": times(n, freq, calendar), "place": np.arange(3)}
    coords["number"] = ("time", np.arange(n))
    return xr.DataArray(values, coords, ("time", "place"), name="v", attrs={"units": "K"})


def cube(n=40, dtype="f8"):
    values = np.random.default_rng(1).random((n, 8, 9)).astype(dtype)
    return xr.DataArray(values, {"time": times(n)}, ("time", "y", "x"), name="v")


def cut(field, scales, sampler=None, window=None, **kwargs):
    return field.patch.split(TimePatcher(MultiScale(scales, **kwargs), sampler, window))


def painted(patches, stops, factor, n, weight=None):
    """Put coarse patches (patch, step, …) back on ``n`` steps by hand."""
    fine = np.repeat(np.asarray(patches), factor, axis=1)
    size = fine.shape[1]
    weight = np.ones(size) if weight is None else weight
    above = np.zeros((n, *fine.shape[2:]))
    below = np.zeros_like(above)
    for values, stop in zip(fine, stops, strict=True):
        w = weight.reshape(-1, *(1,) * (values.ndim - 1)) * ~np.isnan(values)
        above[stop - size : stop] += w * np.nan_to_num(values)
        below[stop - size : stop] += w
    with np.errstate(invalid="ignore"):
        return above / below


# ------------------------------------------------------------------------------------------ split


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("holes", [0.0, 0.6])
def test_each_scale_is_a_coarsened_slice(calendar, holes):
    field = series(calendar=calendar, holes=holes)
    tree = cut(field, ["5D", 20, "40D"], xpatch.RegularTimeStride(7))
    assert list(tree.children) == ["5D", "20", "40D"]
    anchors = np.arange(39, 120, 7)
    for name, steps in (("5D", 5), ("20", 20), ("40D", 40)):
        node = tree[name]
        assert node["v"].dims == ("patch", "time", "place")
        assert node["v"].attrs == field.attrs
        assert node["patch"].values.tolist() == list(range(len(anchors)))
        assert node.lead.values.tolist() == list(range(-(steps - steps // 5), 1, steps // 5))
        for k, anchor in enumerate(anchors):
            window = field.isel(time=slice(anchor - steps + 1, anchor + 1))
            mean = window.coarsen(time=steps // 5).mean()
            np.testing.assert_allclose(node["v"][k], mean)
            last = window.isel(time=slice(steps // 5 - 1, None, steps // 5))
            np.testing.assert_array_equal(node.time[k], last.time)
            np.testing.assert_array_equal(node.number[k], last.number)
    assert np.isnan(tree["5D"]["v"]).any() == bool(holes)


@pytest.mark.parametrize("closed", ["right", "left"])
def test_a_coarse_step_is_the_rolling_mean_at_its_label(closed):
    field = series(holes=0.3)
    tree = cut(field, ["1W", "4W"], closed=closed)
    rolled = field.rolling(time=4, min_periods=1).mean()
    node = tree["4W"]
    np.testing.assert_allclose(node["v"], rolled.sel(time=node.time.drop_vars("time")))
    assert node.lead.values[-1] == (0 if closed == "right" else -1)
    rolling = cut(field, ["1W", "4W"], xpatch.CausalRolling(3))
    assert rolling["4W"].lead.values[-1] == -1


@pytest.mark.parametrize("calendar", CALENDARS)
def test_months_on_monthly_data(calendar):
    field = series(50, calendar, "MS")
    tree = cut(field, ["3MS", "12MS"])
    assert tree["12MS"].sizes["time"] == 3
    np.testing.assert_allclose(tree["12MS"]["v"][0], field[:12].coarsen(time=4).mean())
    np.testing.assert_allclose(tree["3MS"]["v"][5], field[14:17])


def test_months_on_daily_data_need_equal_months():
    tree = cut(series(200, "360_day"), ["1MS", "3MS"], xpatch.RegularTimeStride("1MS"))
    assert dict(tree["3MS"].sizes) == {"patch": 4, "time": 30, "place": 3}
    with pytest.raises(
        ValueError, match=r"scale '1MS' of MultiScale hold 30 to 31 steps.*resample"
    ):
        cut(series(200, "noleap"), ["1MS", "3MS"])


def test_irregular_records_take_steps():
    keep = np.sort(np.random.default_rng(0).choice(120, 70, replace=False))
    field = series().isel(time=keep)
    node = cut(field, [3, 9])["9"]
    np.testing.assert_allclose(node["v"][4], field[4:13].coarsen(time=3).mean())
    np.testing.assert_array_equal(node.time[4], field.time[[6, 9, 12]])
    with pytest.raises(ValueError, match=r"scale '3D' .* hold \d to \d steps along 'time'"):
        cut(field, ["3D", "9D"])
    gap = series().isel(time=[*range(60), *range(70, 120)])
    dropped = cut(gap, [3, 9], gaps="drop")["3"]
    assert dropped.sizes["patch"] == cut(gap, [3, 9])["3"].sizes["patch"] - 8


def test_random_anchors_are_those_of_all_scales():
    tree = cut(series(), [4, 8], xpatch.RandomTime(9))
    a, b = (tree[name].to_dataset().patch.anchors for name in ("4", "8"))
    xr.testing.assert_identical(a, b)
    xr.testing.assert_identical(tree.patch.anchors, a)


def test_what_else_a_field_may_hold():
    n = 60
    days = times(n)
    data = xr.Dataset(
        {
            "f4": ("time", np.arange(n, dtype="f4")),
            "i2": ("time", np.arange(n, dtype="i2")),
            "wet": ("time", np.arange(n) % 4 == 0),
            "date": ("time", days.values.copy()),
            "word": ("time", np.arange(n).astype("U3")),
            "static": ("place", [1, 2]),
        },
        {"time": ("time", days, {"bounds": "time_bnds"})},
    ).assign_coords(time_bnds=(("time", "b"), np.stack([days, days + pd.Timedelta("1D")], -1)))
    data["date"][3] = np.datetime64("NaT", "s")
    data["date"][8:12] = np.datetime64("NaT", "s")
    node = cut(data, [5, 20])["20"].to_dataset()
    first = data.isel(time=slice(0, 20))
    assert node.f4.dtype == "f4"
    assert node.i2.dtype == node.wet.dtype == "f8"
    assert node.i2[0].values.tolist() == [1.5, 5.5, 9.5, 13.5, 17.5]
    assert (node.wet == 0.25).all()
    assert node.date.dtype == data.date.dtype
    assert node.date.values[0, 0] == days[1].to_datetime64()
    assert np.isnat(node.date.values[0, 2])
    assert node.date.values[0, 4] - days[17].to_datetime64() == np.timedelta64(12, "h")
    assert node.word[0].values.tolist() == ["3", "7", "11", "15", "19"]
    assert node.static.dims == ("place",)
    assert (node.time_bnds.values[0, 1] == first.time_bnds.values[[4, 7], [0, 1]]).all()
    cut_ = xpatch.HierarchicalCombine(combine="mean", within="first")
    assert cut(data[["date", "static"]], [5, 20]).patch.merge(cut_).static.identical(data.static)
    numbers = data.drop_vars(["f4", "date", "word"])
    whole = cut(numbers, [5]).patch.merge()
    xr.testing.assert_allclose(whole, numbers.astype(float))
    assert whole.static.dtype == int
    assert whole.time_bnds.identical(data.time_bnds)


def test_an_integer_mean_of_dates_is_exact():
    late = np.array(["2250-01-01", "2250-01-02", "2250-01-04", "NaT"], "M8[ns]")
    assert coarsen.mean_of(np.tile(late, 100), 0, 400)[0] == np.datetime64("2250-01-02T08", "ns")
    spans = np.array([[1, -2, 4]], "m8[s]")
    assert coarsen.mean_of(spans, 1, 3)[0, 0] == np.timedelta64(1, "s")


@pytest.mark.parametrize("window", [None, xpatch.ExponentialDecay(6.0)])
def test_dask_and_data_on_disk_give_the_same(window, tmp_path, monkeypatch):
    field = cube(60)
    field[20:30, 2] = np.nan
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"y": 4, "x": 3}, xpatch.RegularStride(2)),
        TimePatcher(MultiScale([4, 16]), xpatch.RegularTimeStride(3), window),
    )
    expected = field.patch.split(patcher)
    field.to_netcdf(tmp_path / "v.nc")
    stored = xr.open_dataarray(tmp_path / "v.nc").patch.split(patcher)
    lazy = field.chunk(time=17, y=5).patch.split(patcher)
    monkeypatch.setattr(coarsen, "BLOCK_BYTES", 20_000)  # some patches at a time
    blocks = field.patch.split(patcher)
    for name in ("4", "16"):
        assert isinstance(lazy[name]["v"].data, da.Array)
        assert not stored[name]["v"].variable._in_memory
        assert lazy[name]["patch"].values.tolist() == lazy["4"]["patch"].values.tolist()
        few = stored[name].to_dataset().isel(patch=slice(7, 9))
        xr.testing.assert_allclose(few.load(), expected[name].to_dataset().isel(patch=[7, 8]))
        for other in (stored[name], lazy[name].to_dataset().sortby("patch"), blocks[name]):
            np.testing.assert_allclose(other["v"], expected[name]["v"], rtol=1e-12)
    merged = lazy.patch.merge()
    assert isinstance(merged.data, da.Array)
    assert merged.chunks == field.chunk(time=17, y=5).chunks
    for other in (
        merged,
        stored.patch.merge(),
        lazy.isel(patch=slice(None, None, -1)).patch.merge(),
    ):
        xr.testing.assert_allclose(other.compute(), expected.patch.merge())


def test_graphs_grow_with_chunks_not_with_patches():
    field = xr.DataArray(np.zeros(4000, "f4"), {"time": times(4000)}, ("time",)).chunk(time=1000)
    tree = cut(field, [7, 28])
    assert tree["28"].sizes["patch"] == 3973
    assert len(tree["28"]["unnamed"].__dask_graph__()) < 50
    assert len(tree.patch.merge().__dask_graph__()) < 300


# ------------------------------------------------------------------------------------- causality


@pytest.mark.parametrize("chunks", [None, 13])
@pytest.mark.parametrize(
    ("kwargs", "sampler", "last"),
    [
        ({}, xpatch.RegularTimeStride(9), 0),
        ({"closed": "left"}, xpatch.RegularTimeStride(9), -1),
        ({"gaps": "drop"}, xpatch.CausalRolling(9), -1),
    ],
)
def test_nothing_leaks_from_the_future(kwargs, sampler, last, chunks):
    field = series(holes=0.1)
    tree = cut(field, [4, 8, 24], sampler, **kwargs)
    steps = tree.patch.anchors.cell_time.values
    for k, step in enumerate(steps):
        poisoned = field.copy()
        poisoned[step + 1 + last :] = np.inf
        poisoned = poisoned if chunks is None else poisoned.chunk(time=chunks)
        again = cut(poisoned, [4, 8, 24], sampler, **kwargs)
        for name in tree.children:
            ours = again[name].to_dataset().sortby("patch")["v"][k]
            np.testing.assert_array_equal(ours, tree[name]["v"][k])


# ----------------------------------------------------------------------------------------- merge


@pytest.mark.parametrize("calendar", CALENDARS)
def test_the_finest_scale_alone_is_the_identity(calendar):
    field = series(calendar=calendar)
    merged = cut(field, [6, 30]).patch.merge(HierarchicalCombine(6))
    assert np.isnan(merged[:24]).all()
    xr.testing.assert_allclose(merged[24:], field[24:], rtol=1e-12)
    xr.testing.assert_identical(merged.coords.to_dataset(), field.coords.to_dataset())
    assert merged.attrs == field.attrs
    assert merged.name == "v"
    tiles = cut(field, [6, 30], xpatch.RegularTimeStride(6)).patch.merge(HierarchicalCombine([6]))
    xr.testing.assert_identical(tiles[24:], field[24:])
    floats = cut(field.astype("f4"), [6, 30])
    assert (
        floats.patch.merge().dtype == floats.patch.merge(HierarchicalCombine(combine=[1, 2])).dtype
    )
    assert floats.patch.merge().dtype == np.float32
    assert cut(field.rename(None), [6, 30]).patch.merge().name is None


@pytest.mark.parametrize("analysis", [None, xpatch.ExponentialDecay(5.0), xpatch.Hann()])
@pytest.mark.parametrize("synthesis", [None, xpatch.ExponentialDecay(3.0)])
def test_coarse_steps_paint_what_they_stand_for(analysis, synthesis):
    field = series(holes=0.2)
    tree = cut(field, [5, 20], xpatch.RegularTimeStride(3), analysis)
    how = HierarchicalCombine(combine="stack", within=xpatch.TemporalMean(synthesis))
    fields = tree.patch.merge(how)
    plain = cut(field, [5, 20], xpatch.RegularTimeStride(3))
    stops = tree.patch.anchors.cell_time.values + 1
    assert fields.dims == ("scale", "time", "place")
    for name, size in (("5", 5), ("20", 20)):
        lead = np.arange(size) - size + 1.0
        weight = np.ones(size)
        if isinstance(analysis, xpatch.Hann):
            weight = analysis.profile((2 * np.arange(size) + 1 - size) / size)
        elif analysis is not None:
            weight = np.exp(lead / 5)
        weight = np.repeat(weight.reshape(5, -1).mean(-1), size // 5)  # constant in a coarse step
        cells = weight[:: size // 5, None]
        np.testing.assert_allclose(tree[name]["v"][7], plain[name]["v"][7] * cells)
        weight = weight if synthesis is None else weight * np.exp(lead / 3)
        by_hand = painted(plain[name]["v"], stops, size // 5, 120, weight)
        np.testing.assert_allclose(fields.sel(scale=name), by_hand, rtol=1e-9)
        node = tree[name].to_dataset()
        xr.testing.assert_identical(
            node.patch.merge(xpatch.TemporalMean(synthesis))["v"].drop_attrs(),
            fields.sel(scale=name, drop=True).drop_attrs(),
        )
        np.testing.assert_array_equal(node.patch.weights[0], cells[:, 0] if analysis else 1)
    one = series() * 0 + 1
    for name in ("5", "20"):
        node = cut(one, [5, 20], window=analysis)[name].to_dataset()
        np.testing.assert_allclose(node.patch.merge()["v"].dropna("time"), 1)


def test_how_scales_are_combined():
    tree = cut(series(holes=0.1), [5, 20, 40])
    each = [tree[n].to_dataset().patch.merge()["v"] for n in tree.children]
    values = np.stack(each)
    assert np.isnan(values[0, :30]).all() != np.isnan(values[2, :30]).all()

    def merge(*args, **kwargs):
        return tree.patch.merge(HierarchicalCombine(*args, **kwargs))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of steps that no scale covers
        np.testing.assert_allclose(tree.patch.merge(), np.nanmean(values, 0))
        np.testing.assert_allclose(merge([20, "40"]), np.nanmean(values[1:], 0))
    weights = np.array([4.0, 0.5, 1.0])
    there = ~np.isnan(values) * weights[:, None, None]
    with np.errstate(invalid="ignore"):
        expected = (np.nan_to_num(values) * there).sum(0) / there.sum(0)
    np.testing.assert_allclose(merge(combine=weights), expected)
    np.testing.assert_allclose(merge(combine={40: 1.0, 5: 4, "20": 0.5}), expected)
    stack = merge(combine=None)
    assert stack.scale.values.tolist() == ["5", "20", "40"]
    np.testing.assert_array_equal(stack, values)
    detail = merge(combine=lambda f: f.diff("scale").sum("scale", skipna=False))
    np.testing.assert_allclose(detail, values[2] - values[0], atol=1e-12)
    assert detail.name == "v"
    within = merge("20", within="max")
    np.testing.assert_array_equal(within, tree["20"].to_dataset().patch.merge("max")["v"])


def test_large_windows_are_painted_some_at_a_time(monkeypatch):
    field = cube(60)
    field[5:9] = np.nan
    tree = (
        field.to_dataset()
        .assign(w=("time", np.arange(60.0)))
        .patch.split(TimePatcher(MultiScale([4, 20]), None, xpatch.ExponentialDecay(4.0)))
    )
    tree = tree.isel(patch=np.random.default_rng(0).permutation(41))
    expected = tree.patch.merge()
    monkeypatch.setattr(painting, "BLOCK_BYTES", 20_000)
    merged = tree.patch.merge()
    assert not merged.chunks
    xr.testing.assert_allclose(merged, expected)
    median = HierarchicalCombine(within="max", combine="stack")
    plain = field.patch.split(TimePatcher(MultiScale([4, 20]))).patch.merge(median)
    assert plain.chunks is None
    monkeypatch.undo()
    again = field.patch.split(TimePatcher(MultiScale([4, 20]))).patch.merge(median)
    xr.testing.assert_identical(plain, again)


def test_a_fill_value_where_no_scale_reaches():
    field = series()
    tree = cut(field, [5, 20], xpatch.ExplicitTimes(field.time.values[[60, 63]]))
    merged = tree.patch.merge(fill_value=-9)
    np.testing.assert_allclose(merged[:41], -9)
    np.testing.assert_allclose(merged[64:], -9)
    plain = tree.patch.merge()
    np.testing.assert_allclose(merged[41:64], plain[41:64])
    assert (plain[41:64] > 0).all()


def test_models_on_scales():
    field = series()
    tree = cut(field, [5, 20], xpatch.RegularTimeStride(4))
    doubled = tree.map_over_datasets(lambda ds: ds * 2 if "v" in ds else ds)
    xr.testing.assert_allclose(doubled.patch.merge(), 2 * tree.patch.merge())
    channels = xr.DataArray([1.0, 2.0], dims="channel")
    more = tree.map_over_datasets(lambda ds: ds * channels if "v" in ds else ds).patch.merge()
    assert more.dims == ("time", "place", "channel")
    xr.testing.assert_allclose(more.isel(channel=1), 2 * tree.patch.merge())
    flat = tree.map_over_datasets(lambda ds: ds.mean("time") if "v" in ds else ds)
    stops = tree.patch.anchors.cell_time.values + 1
    by_hand = painted(flat["20"]["v"].values[:, None], stops, 20, 120)
    merged = flat.patch.merge(HierarchicalCombine("20"))
    np.testing.assert_allclose(merged, by_hand)
    finer = tree["20"].to_dataset().isel(time=np.repeat(np.arange(5), 2)).drop_vars("time")
    refined = finer.patch.merge(scale={"time": 2})["v"]
    np.testing.assert_allclose(
        refined, tree["20"].patch.merge()["v"].isel(time=np.arange(240) // 2)
    )
    both = tree.map_over_datasets(lambda ds: ds.assign(w=ds.v + 1) if "v" in ds else ds)
    out = both.patch.merge()
    assert list(out.data_vars) == ["v", "w"]
    xr.testing.assert_allclose(out.w, out.v + 1)


def test_patches_of_a_scale_know_their_place():
    field = series()
    tree = cut(field, [5, 20])
    expected = tree.patch.merge()
    order = np.random.default_rng(0).permutation(tree["5"].sizes["patch"])
    for same in (tree.isel(patch=order), pickle.loads(pickle.dumps(tree)), tree.copy(deep=True)):
        xr.testing.assert_allclose(same.patch.merge(), expected)
    node = tree["20"].to_dataset()
    whole = node.patch.merge()["v"]
    halves = xr.concat([node.isel(patch=slice(50, None)), node.isel(patch=slice(50))], "patch")
    xr.testing.assert_allclose(halves.patch.merge()["v"], whole)
    xr.testing.assert_allclose(tree["20"].patch.merge()["v"], whole)
    xr.testing.assert_allclose(tree["20"]["v"].patch.merge(), whole)
    one = node.isel(patch=3).patch.merge()["v"]
    np.testing.assert_array_equal(one[3:23], np.repeat(node["v"][3].values, 4, axis=0))
    assert np.isnan(one[:3]).all()
    newest = node.isel(time=slice(2, None))
    for part in (
        newest,
        node.patch.crop(time=(2, 0)),
        newest.drop_vars("patch").assign_coords(
            patch=("patch", node["patch"].values, node["patch"].attrs)
        ),
    ):
        stops = tree.patch.anchors.cell_time.values + 1
        by_hand = painted(node["v"][:, 2:], stops, 4, 120)
        np.testing.assert_allclose(part.patch.merge()["v"], by_hand)
    blocks = node.chunk(patch=10).map_blocks(lambda b: b * 1, template=node.chunk(patch=10))
    xr.testing.assert_allclose(blocks.patch.merge()["v"].compute(), whole)
    assert node.patch.mask.shape == node["v"].shape[:2]
    assert "20: 101 of 101 patches, time: 5 means of 4 steps" in repr(tree.patch)
    assert "101 of 101 patches, time: 5 means of 4 steps" in repr(tree["20"].patch)
    xr.testing.assert_identical(node.patch.lookback, node)
    renamed = node.rename(time="t")
    np.testing.assert_allclose(renamed.patch.merge()["v"], whole)


def as_cftime(merged, field):
    """Files of the standard calendar are decoded to datetime64."""
    if merged.time.dtype.kind != field.time.dtype.kind:
        merged = merged.convert_calendar("standard", use_cftime=True)
    return merged.drop_vars("number", errors="ignore")


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("kind", ["zarr", "nc"])
def test_files(calendar, kind, tmp_path):
    field = series(calendar=calendar)
    sampler = xpatch.EventTriggered(field.time.values[[40, 90, 77, 50]])
    tree = cut(field, ["5D", "20D"], sampler, xpatch.ExponentialDecay(4.0))
    store = tmp_path / f"tree.{kind}"
    tree.to_zarr(store) if kind == "zarr" else tree.to_netcdf(store)
    back = xr.open_datatree(store, engine="zarr" if kind == "zarr" else "netcdf4")
    merged = back.patch.merge()
    xr.testing.assert_allclose(as_cftime(merged, field), tree.patch.merge().drop_vars("number"))
    merged = as_cftime(merged, field)
    assert merged.indexes["time"].equals(field.indexes["time"])
    lazy = xr.open_datatree(store, engine="zarr" if kind == "zarr" else "netcdf4", chunks={})
    assert lazy.patch.merge().chunks
    np.testing.assert_allclose(lazy.patch.merge(), merged)
    node = back["20D"].to_dataset()
    expected = tree["20D"].to_dataset().patch.merge()["v"]
    np.testing.assert_allclose(node.patch.merge()["v"], expected)
    newest = node.isel(time=slice(3, None)).patch.merge()["v"]
    by_index = tree["20D"].to_dataset().patch.crop(time=(3, 0)).patch.merge()["v"]
    np.testing.assert_allclose(newest, by_index)
    one = node.isel(patch=1).patch.merge()["v"]
    expected = tree["20D"].to_dataset().isel(patch=[1]).patch.merge()["v"]
    np.testing.assert_allclose(one, expected)
    assert back.patch.spec["geometry"]["scales"] == ["5D", "20D"]


def test_scales_are_not_taken_for_other_windows():
    coarse = cut(series(), [5, 20])["20"].to_dataset()
    plain = series().patch.split(TimePatcher(xpatch.FixedLookback(20)))
    mine, other = (p.xindexes["patch"].plans[0] for p in (coarse, plain))
    assert not mine.equals(other)
    assert mine.anchor_id == other.anchor_id
    assert list(mine.inner.values()) == [5]


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_a_function_is_not_stored(tmp_path):
    how = HierarchicalCombine(combine=lambda stack: stack.max("scale"))
    patcher = TimePatcher(MultiScale([5, 20]), aggregation=how)
    tree = series().patch.split(patcher)
    np.testing.assert_array_equal(tree.patch.merge(), tree.patch.merge(how))
    tree.to_zarr(tmp_path / "tree.zarr")
    back = xr.open_datatree(tmp_path / "tree.zarr", engine="zarr")
    with pytest.raises(ValueError, match="was a function, which is not stored"):
        back.patch.merge()
    np.testing.assert_allclose(back.patch.merge(how), tree.patch.merge())
    np.testing.assert_allclose(back["5"].patch.merge()["v"], tree["5"].patch.merge()["v"])


# --------------------------------------------------------------------------------- space and time


def test_space_and_time(tmp_path):
    field = cube(dtype="f4")
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(
            {"y": 4, "x": 6}, xpatch.RegularStride(2), aggregation=xpatch.OverlapAdd("hann")
        ),
        TimePatcher(MultiScale([4, 12]), xpatch.RegularTimeStride(4), xpatch.ExponentialDecay(3.0)),
    )
    tree = field.patch.split(patcher)
    plain = field.patch.split(dataclass_without_window(patcher))
    assert dict(tree["12"].sizes) == {"patch": 9 * 8, "time": 4, "y": 4, "x": 6}
    window = field[4:16, 2:6, 3:9]
    third = plain["12"]["v"][(1 * 3 + 2) * 8 + 1]
    np.testing.assert_allclose(third, window.coarsen(time=3).mean(), rtol=1e-6)
    assert tree["12"]["v"].dtype == np.float32
    merged = tree.patch.merge(HierarchicalCombine("4", within=xpatch.OverlapAdd("hann")))
    np.testing.assert_allclose(merged[8:], field[8:], rtol=1e-5)
    assert tree.patch.merge().equals(
        tree.patch.merge(HierarchicalCombine(within=xpatch.OverlapAdd("hann")))
    )
    pair = HierarchicalCombine(within=("median", "mean"))
    one = plain["4"].to_dataset().patch.merge(("median", "mean"))["v"]
    xr.testing.assert_allclose(plain.patch.merge(HierarchicalCombine(4, within=pair.within)), one)
    assert decode(pair.to_dict()) == pair
    default = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(patcher.spatial.geometry, patcher.spatial.sampler),
        TimePatcher(MultiScale([4, 12]), patcher.temporal.sampler, aggregation=pair),
    )
    xr.testing.assert_allclose(field.patch.split(default)["4"].patch.merge()["v"], one)
    tree.to_netcdf(tmp_path / "tree.nc")
    back = xr.open_datatree(tmp_path / "tree.nc")
    xr.testing.assert_allclose(back.patch.merge(), tree.patch.merge())
    assert merged.dtype == np.float32


def dataclass_without_window(patcher):
    bare = TimePatcher(patcher.temporal.geometry, patcher.temporal.sampler)
    return xpatch.SpatioTemporalPatcher(patcher.spatial, bare)


def test_coupled_events():
    field = cube()
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"y": 3, "x": 3}, xpatch.Explicit([(1, 1), (4, 5), (6, 7)])),
        TimePatcher(MultiScale([4, 12]), xpatch.EventTriggered(field.time.values[[5, 20, 33]])),
        coupling="coupled",
    )
    tree = field.patch.split(patcher)
    assert tree["4"].sizes["patch"] == 2
    expected = field[22:34, 5:8, 6:9].coarsen(time=3).mean()
    np.testing.assert_allclose(tree["12"]["v"][1], expected)
    merged = tree.patch.merge(HierarchicalCombine("12"))
    np.testing.assert_allclose(merged[22:34, 5:8, 6:9], np.repeat(expected.values, 3, axis=0))
    assert int(merged.notnull().sum()) == 2 * 12 * 9


def test_batches_hold_all_scales():
    tree = cut(series().chunk(time=40), [5, 20], xpatch.RegularTimeStride(3))
    batches = tree.patch.batches(8)
    got = list(batches)
    assert len(batches) == len(got) == 5
    for batch in got:
        assert batch["5"]["patch"].values.tolist() == batch["20"]["patch"].values.tolist()
        assert not batch["20"].to_dataset().chunks
    whole = xr.concat([b["20"].to_dataset() for b in got], "patch")
    xr.testing.assert_equal(whole, tree["20"].to_dataset().compute())
    odd = xr.DataTree.from_dict(
        {"5": tree["5"].to_dataset().isel(patch=slice(3)), "20": got[0]["20"].to_dataset()}
    )
    with pytest.raises(ValueError, match=r"patches of '20' are not those of '5'.*tree\.isel"):
        odd.patch.batches(2)


# ---------------------------------------------------------------------------------------- errors


def test_scales_are_checked_and_printed():
    assert repr(MultiScale(["7D", 28])) == "MultiScale(('7D', 28))"
    spans = [pd.Timedelta("36h"), np.timedelta64(3, "D"), pd.offsets.MonthBegin(2), np.int64(4)]
    assert MultiScale(spans).names == ("36h", "3D", "2MS", "4")
    combine = HierarchicalCombine(pd.Timedelta("36h"), combine={"36h": 2}, within="median")
    patcher = TimePatcher(MultiScale(spans), aggregation=combine)
    assert decode(json.loads(json.dumps(patcher.to_dict()))) == patcher
    for bad, error, message in (
        ("7D", TypeError, "sequence of lengths"),
        (7, TypeError, "sequence of lengths"),
        ([], ValueError, "one or more different"),
        (["7D", "7D"], ValueError, "one or more different"),
        (["7D", 0], ValueError, "must be positive"),
        (["7D", "often"], ValueError, "'30D', '6h' or '3MS'"),
    ):
        with pytest.raises(error, match=message):
            MultiScale(bad)
    with pytest.raises(ValueError, match="closed of MultiScale must be 'right' or 'left'"):
        MultiScale([4, 8], closed="both")
    with pytest.raises(
        ValueError, match=r"multiples of the smallest, '7D'.* '30D' has 30\. Take .* 28 or 35"
    ):
        cut(series(), ["7D", "30D"])
    with pytest.raises(ValueError, match=r"no window of MultiScale.* fits in the record"):
        cut(series(), ["7D", "700D"])


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"combine": "max"}, TypeError, "'mean', 'stack', weights, or a function"),
        ({"combine": [1, -1]}, ValueError, "at least 0"),
        ({"combine": [0, 0]}, ValueError, "not all 0"),
        ({"scales": [5], "combine": [1, 2]}, ValueError, "2 weights for the scales"),
        ({"within": HierarchicalCombine()}, TypeError, "aggregation of one scale"),
    ],
)
def test_combinations_are_checked(kwargs, error, message):
    with pytest.raises(error, match=message):
        HierarchicalCombine(**kwargs)


def test_errors_of_merge():
    field = series()
    tree = cut(field, [5, 20])
    for how, error, message in (
        ("median", ValueError, r"HierarchicalCombine\(within=Median\(\)\)"),
        (HierarchicalCombine([7]), KeyError, r"asks for scale '7'; the patches have \['5', '20'\]"),
        (HierarchicalCombine(combine=[1, 2, 3]), ValueError, "a weight for each of the scales"),
        (HierarchicalCombine(combine={5: 1}), ValueError, "a weight for each of the scales"),
        (HierarchicalCombine(combine=lambda s: s.values), TypeError, "must return a DataArray"),
    ):
        with pytest.raises(error, match=message):
            tree.patch.merge(how)
    with pytest.raises(ValueError, match="these patches have one"):
        field.patch.split(TimePatcher(xpatch.FixedLookback(5))).patch.merge(HierarchicalCombine())
    with pytest.raises(ValueError, match="no child of this DataTree has patches of a scale"):
        xr.DataTree.from_dict({"a": field.to_dataset()}).patch.merge()
    with pytest.raises(ValueError, match=r"apply works on one kind.*tree\.map_over_datasets"):
        field.patch.apply(lambda p: p, TimePatcher(MultiScale([5, 20])))
    with pytest.raises(ValueError, match=r"HierarchicalCombine\(within=Median\(\)\)"):
        TimePatcher(MultiScale([5, 20]), aggregation="median")
    node = tree["20"].to_dataset()
    with pytest.raises(ValueError, match="steps were reordered"):
        node.isel(time=[1, 0, 2, 3, 4]).patch.merge()
    with pytest.raises(ValueError, match=r"have 3 steps along 'time', but were split with 5"):
        node.isel(time=[1, 2, 3]).drop_vars("time").patch.merge()
    joined = xr.merge([tree["5"].to_dataset(), node.rename(v="w")], compat="override", join="outer")
    with pytest.raises(ValueError, match="of several scales"):
        joined.patch.merge()
    odd = xr.DataTree.from_dict({"5": tree["5"].to_dataset(), "20": node.rename(v="w")[["w"]]})
    with pytest.raises(ValueError, match="different variables"):
        odd.patch.merge()
    points = xr.Dataset(
        {"v": (("time", "obs"), np.zeros((30, 4)))},
        {"time": times(30), "lat": ("obs", np.arange(4.0)), "lon": ("obs", np.arange(4.0))},
    )
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(xpatch.SphericalCap(200)), TimePatcher(MultiScale([2, 4]))
    )
    with pytest.raises(ValueError, match="lists of members"):
        points.patch.split(patcher)
