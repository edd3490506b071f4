"""Windows of several scales: against slices, coarsen and rolling, and that nothing leaks from the future."""

from __future__ import annotations

import json
import tracemalloc

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from xpatch import HierarchicalCombine, MultiScale, TimePatcher
from xpatch.engine import coarsen
from xpatch.engine import lazy as engine_lazy
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
    monkeypatch.setattr(engine_lazy, "BLOCK_BYTES", 20_000)  # some patches at a time
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


def test_cells_that_are_averaged_are_cut_some_patches_at_a_time(monkeypatch):
    """The cells of all patches would take 33 MB, their means 2 MB."""
    monkeypatch.setattr(engine_lazy, "BLOCK_BYTES", 1 << 20)
    field = xr.DataArray(np.ones((1000, 8, 8)), dims=("time", "y", "x"))
    patcher = TimePatcher(MultiScale([4, 64]), xpatch.RegularTimeStride(1))
    field.patch.split(patcher)
    tracemalloc.start()
    tree = field.patch.split(patcher)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = sum(v.nbytes for node in tree.children.values() for v in node.data_vars.values())
    assert 3e6 < kept < 5e6
    assert peak < 3 * kept


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
