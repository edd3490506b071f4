"""Fields of several scales: painted by hand, combined, from files, and what users get wrong."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import xarray as xr

import xpatch
from tests.test_scales import CALENDARS, cube, cut, series
from xpatch import HierarchicalCombine, MultiScale, TimePatcher
from xpatch.patches import reduction


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
    monkeypatch.setattr(reduction, "REPEATED_BYTES", 20_000)
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


# ---------------------------------------------------------------------------------------- errors


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
    with pytest.raises(ValueError, match="cells were reordered"):
        node.isel(time=[1, 0, 2, 3, 4]).patch.merge()
    with pytest.raises(ValueError, match=r"have 3 cells along 'time', but were cut with 5"):
        node.isel(time=[1, 2, 3]).drop_vars("time").patch.merge()
    joined = xr.merge([tree["5"].to_dataset(), node.rename(v="w")], compat="override", join="outer")
    with pytest.raises(ValueError, match="of several scales"):
        joined.patch.merge()
    odd = xr.DataTree.from_dict({"5": tree["5"].to_dataset(), "20": node.rename(v="w")[["w"]]})
    with pytest.raises(ValueError, match="different variables"):
        odd.patch.merge()
