"""What models do to patches: other sizes, channels, one value per patch, other orders, subsets."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import xarray as xr

import xpatch


@pytest.fixture(params=["numpy", "dask"])
def field(request):
    values = np.random.default_rng(0).normal(size=(3, 20, 24))
    out = xr.DataArray(
        values,
        {"band": [1, 2, 3], "y": np.arange(20)[::-1] * 10.0, "x": np.arange(24) * 10.0 + 5},
        ("band", "y", "x"),
        name="f",
    )
    return out.chunk(y=7, x=10) if request.param == "dask" else out


def overlapping(field, **kwargs):
    return field.patch.split(
        geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(y=4, x=4), **kwargs
    )


@pytest.mark.parametrize("aggregation", ["mean", "median", xpatch.OverlapAdd("hann")])
def test_cropped_patches_are_found_by_their_labels(field, aggregation):
    patches = overlapping(field).isel(y=slice(2, -2), x=slice(1, -3))
    merged = patches.patch.merge(aggregation)
    inner = field.isel(y=slice(2, -2), x=slice(1, -3)).load()
    xr.testing.assert_allclose(merged.sel(y=inner.y, x=inner.x).load(), inner)
    assert merged.isel(y=[0, 1, -2, -1]).isnull().all()


def test_crop_ahead_of_map_blocks(field):
    patches = overlapping(field, window="hann").patch.crop(y=2, x=(1, 3))
    merged = patches.map_blocks(lambda p: p).patch.merge()
    inner = field.isel(y=slice(2, -2), x=slice(1, -3)).load()
    xr.testing.assert_allclose(merged.sel(y=inner.y, x=inner.x).load(), inner)


@pytest.mark.parametrize("aggregation", ["mean", "max", xpatch.OverlapAdd("hann")])
def test_scaled_patches(field, aggregation):
    patches = overlapping(field).load()
    fine = xr.DataArray(
        patches.values.repeat(2, axis=2).repeat(3, axis=3),
        {"patch": patches["patch"], "band": patches["band"]},
        patches.dims,
    )
    merged = fine.patch.merge(aggregation, scale={"y": 2, "x": 3})
    assert dict(merged.sizes) == {"band": 3, "y": 40, "x": 72}
    np.testing.assert_allclose(merged, field.values.repeat(2, 1).repeat(3, 2))
    np.testing.assert_allclose(merged.y[:4], [192.5, 187.5, 182.5, 177.5])
    np.testing.assert_allclose(merged.x[:4], [5 - 10 / 3, 5, 5 + 10 / 3, 15 - 10 / 3])
    assert merged.indexes["x"].is_monotonic_increasing


@pytest.mark.parametrize("axis", [1, 2, 4])
def test_new_channels_keep_their_place(field, axis):
    patches = overlapping(field)
    parts = xr.concat([patches, patches * 2], xr.Variable("channel", ["a", "b"]))
    dims = [d for d in parts.dims if d != "channel"]
    dims.insert(axis, "channel")
    merged = parts.transpose(*dims).patch.merge()
    assert merged.dims == tuple(d for d in dims if d != "patch")
    xr.testing.assert_allclose(
        merged.sel(channel="b", drop=True).load(), (field * 2).load().drop_attrs()
    )


def test_one_value_per_patch_paints_its_footprint(field):
    tiles = field.patch.split(geometry={"y": 10, "x": 12})
    merged = tiles.mean(["y", "x"]).patch.merge()
    assert merged.dims == ("band", "y", "x")
    coarse = field.coarsen(y=10, x=12).mean().values.repeat(10, 1).repeat(12, 2)
    np.testing.assert_allclose(merged, coarse)
    xr.testing.assert_identical(merged.y.load(), field.y.load())


def test_a_reduced_dimension_paints_along_it(field):
    tiles = field.patch.split(geometry={"y": 10, "x": 12})
    merged = tiles.max("x").patch.merge()
    expected = field.values.reshape(3, 20, 2, 12).max(-1).repeat(12, -1)
    np.testing.assert_allclose(merged, expected)
    assert merged.dims == field.dims


def test_reductions_over_other_dims(field):
    merged = overlapping(field).mean("band").patch.merge()
    assert merged.dims == ("y", "x")
    xr.testing.assert_allclose(merged.load(), field.mean("band").load())


def test_a_selected_band_keeps_its_own_coordinates(field):
    merged = overlapping(field).isel(band=[2, 0]).patch.merge()
    xr.testing.assert_allclose(merged.load(), field.isel(band=[2, 0]).load())
    assert merged.band.values.tolist() == [3, 1]


def test_subset_of_patches_leaves_the_rest_missing(field):
    patches = overlapping(field).sortby("patch")
    merged = patches.isel(patch=[0]).patch.merge(fill_value=-1.0)
    np.testing.assert_allclose(merged[:, :8, :8], field.values[:, :8, :8])
    assert (merged[:, 8:] == -1).all()
    assert (merged[:, :, 8:] == -1).all()


def test_dataset_variables_with_some_of_the_dims():
    ds = xr.Dataset(
        {
            "t": (("x", "y"), np.random.default_rng(0).random((12, 8))),
            "mask": ("y", np.arange(8) % 3 == 0),
            "scalar": 5,
            "profile": ("z", [1.0, 2.0]),
            "flipped": (("y", "z", "x"), np.random.default_rng(0).random((8, 2, 12)).astype("f4")),
        },
        {"y": np.arange(8), "x": np.arange(12.0)},
        {"title": "kept"},
    )
    patches = ds.patch.split(geometry={"y": 4, "x": 6}, sampler=xpatch.RegularStride(y=2, x=3))
    assert patches["t"].dims == ("patch", "x", "y")
    assert patches["mask"].dims == ("patch", "y")
    assert patches["profile"].dims == ("z",)
    merged = patches.patch.merge("first")
    xr.testing.assert_identical(merged, ds)
    xr.testing.assert_allclose(patches.drop_vars("mask").patch.merge(), ds.drop_vars("mask"))


def test_dataset_of_numpy_and_dask_with_a_dimension_that_only_labels():
    values = np.random.default_rng(0).random((12, 16))
    ds = xr.Dataset(
        {"a": (("y", "x"), values), "b": (("y", "x"), values)},
        {"y": np.arange(12), "x": np.arange(16), "t": [1, 2]},
    )
    ds["b"] = ds["b"].chunk(y=5, x=6)
    patches = ds.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(2))
    merged = patches.patch.merge("first")
    assert merged["a"].chunks is None
    assert merged["b"].chunks == ds["b"].chunks
    xr.testing.assert_identical(merged.compute(), ds.compute())


def test_ocean_model_output_stays_masked_on_land():
    field = xr.DataArray(np.random.default_rng(0).random((30, 40)), dims=("y", "x"))
    land = xr.DataArray(np.zeros((30, 40), bool), dims=("y", "x"))
    land[5:15, 10:30] = True
    sea = field.where(~land)
    patches = sea.patch.split(geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(3))
    merged = patches.patch.merge(xpatch.OverlapAdd("hann"))
    xr.testing.assert_allclose(merged, sea)
    assert bool((merged.isnull() == land).all())


def split_and_merge(n, size, step, window):
    """Split and merge a field of n by n, and measure the memory of both beyond what is there."""
    values = np.random.default_rng(0).random((n, n), dtype="f4")
    field = xr.DataArray(values, {"y": np.arange(float(n))}, ("y", "x"))
    tracemalloc.start()
    try:
        patches = field.patch.split(geometry=(size, size), sampler=xpatch.RegularStride(step))
        split_peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        merged = patches.patch.merge(xpatch.OverlapAdd(window))
        merge_peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return split_peak / patches.nbytes, merge_peak / merged.nbytes, patches


@pytest.mark.parametrize("window", [None, "hann"])
@pytest.mark.parametrize(("size", "step"), [(128, 64), (64, 32), (16, 8)])
def test_memory_of_a_regular_split_and_merge(size, step, window):
    """Beyond the output, split and merge need less than a third of it."""
    split_and_merge(128, 32, 16, window)  # imports what is imported late
    split, merge, _ = split_and_merge(3072, size, step, window)
    assert split < 1.3
    assert merge < 1.3


def test_labels_are_not_stored():
    patches = split_and_merge(64, 4, 2, None)[2]
    assert not patches.y.variable._in_memory
    assert patches.isel(patch=3).y.values.tolist() == [0, 1, 2, 3]
