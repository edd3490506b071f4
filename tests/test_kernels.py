"""Kernels of merge where they take a way of their own: against plain loops, and memory against dask."""

from __future__ import annotations

import tracemalloc
import warnings

import dask
import numpy as np
import pytest
import xarray as xr

import xpatch


def field(*shape, dtype="f4"):
    dims = ("band", "y", "x")[-len(shape) :]
    return xr.DataArray(np.random.default_rng(0).normal(size=shape).astype(dtype), dims=dims)


@pytest.mark.parametrize("bands", [(4, 4, 2), (9, 1), (1, 9), (6, 4)])
def test_weights_of_blocks_of_other_bands_are_their_own(bands):
    """Tasks of one block of patches share tables of weights; how much a block holds depends on its bands."""
    source = field(sum(bands), 128, 128)
    lazy = source.chunk({"band": bands, "y": 128, "x": 128})
    window = xpatch.OverlapAdd(xpatch.Boxcar(margin=8))
    axes = {"geometry": {"y": 64, "x": 64}, "sampler": xpatch.RegularStride(y=32, x=32)}
    with dask.config.set(scheduler="synchronous"):
        merged = lazy.patch.split(**axes).patch.merge(window).compute()
    np.testing.assert_allclose(merged, source, rtol=1e-6)


@pytest.mark.parametrize("word", ["mean", "max", "first"])
@pytest.mark.parametrize(
    "size", [{"y": 1500, "x": 300}, {"y": 2100, "x": 300}, {"y": 2100, "x": 2100}]
)
def test_windows_of_which_all_are_near_each_other(word, size):
    """Large fields are summed in rounds of groups, of which one may be empty."""
    source = field(2100, 2100)
    patches = source.patch.split(geometry=size, sampler=xpatch.RegularStride({"y": 600, "x": 150}))
    np.testing.assert_allclose(patches.patch.merge(word), source, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["i8", "u1", "f2", "f4"])
def test_inverse_variances_of_any_numbers(dtype):
    values = {
        "mean": (("y", "x"), np.full((8, 8), 300.0)),
        "variance": (("y", "x"), np.full((8, 8), 2)),
    }
    source = xr.Dataset(values).astype({"mean": "f2" if dtype == "f2" else "f8", "variance": dtype})
    if dtype == "f2":
        source["variance"] = source.variance * np.float16(0.001)
    patches = source.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(2))
    merged = patches.patch.merge(xpatch.InvVarWeightedMean())
    np.testing.assert_allclose(merged["mean"], 300, rtol=1e-3)
    lazy = patches.chunk({"patch": 2}).patch.merge(xpatch.InvVarWeightedMean())
    assert lazy.dtypes == lazy.compute().dtypes == merged.dtypes


@pytest.mark.parametrize("word", ["first", "last", "most_central"])
@pytest.mark.parametrize("kind", ["M8[ns]", "m8[ns]"])
@pytest.mark.parametrize("sampler", [xpatch.RegularStride(1), xpatch.Random(12, seed=0)])
def test_missing_dates_are_passed_over_in_memory_as_on_dask(word, kind, sampler):
    source = xr.DataArray(np.arange(40).astype(kind).reshape(5, 8), dims=("y", "x"))
    patches = source.patch.split(geometry={"y": 3, "x": 3}, sampler=sampler)
    values = patches.values.copy()
    values[np.random.default_rng(0).random(values.shape) < 0.3] = "NaT"
    patches = patches.copy(data=values)
    lazy = patches.chunk(patch=3).patch.merge(word)
    xr.testing.assert_equal(patches.patch.merge(word), lazy.compute())


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("spoiled", [False, True])
def test_what_weighs_nothing_is_missing_whatever_its_values(chunk, spoiled):
    """Where the analysis window is zero a model may write what it likes."""
    window = xpatch.Custom(lambda u: np.where(abs(u) > 0.8, 0, 1 - abs(u)))
    source = xr.DataArray(np.ones(12), dims="x")
    patches = source.patch.split(
        geometry={"x": 6}, sampler=xpatch.RegularStride(x=6), window=window
    )
    patches = patches + 1
    if spoiled:
        patches[0, 2] = np.nan
    patches = patches if chunk is None else patches.chunk(patch=1)
    merged = patches.patch.merge("mean").values
    assert np.isnan(merged[[0, 5, 6, 11]]).all()
    assert np.isfinite(merged[[1, 3, 4, 7, 8, 9, 10]]).all()


@pytest.mark.parametrize("word", ["median", xpatch.Quantile(0.3), "mode"])
def test_a_left_out_patch_spoils_nothing(word):
    """The place of a patch that is missing holds the values of another one, which do not count."""
    patches = xr.DataArray(np.ones((12, 12)), dims=("y", "x")).patch.split(
        geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(2)
    )
    patches = patches.isel(patch=[i for i in range(patches.sizes["patch"]) if i != 6])
    values = patches.values.copy()
    values[-1] = np.nan
    patches = patches.copy(data=values)
    merged = patches.patch.merge(word, skipna=False)
    assert merged.isnull().sum() == 16
    xr.testing.assert_equal(
        merged, patches.chunk(patch=5).patch.merge(word, skipna=False).compute()
    )


@pytest.mark.parametrize("word", ["mean", "sum", xpatch.OverlapAdd("hann")])
@pytest.mark.parametrize("chunk", [None, 7])
def test_left_out_patches_of_numbers_of_which_zero_is_missing(word, chunk):
    values = np.full((12, 12), 5, "i2")
    source = xr.DataArray(values, dims=("y", "x"), attrs={"_FillValue": np.int16(0)})
    axes = {"geometry": {"y": 4, "x": 4}, "sampler": xpatch.RegularStride(2)}
    patches = source.patch.split(**axes)
    plain = source.drop_attrs().patch.split(**axes)
    kept = [i for i in range(patches.sizes["patch"]) if i != 6]
    patches, plain = patches.isel(patch=kept), plain.isel(patch=kept)
    patches = patches if chunk is None else patches.chunk(patch=chunk)
    merged = patches.patch.merge(word, skipna=False)
    np.testing.assert_allclose(merged, plain.patch.merge(word), rtol=1e-6)


def test_threads_do_not_warn_of_what_is_missing():
    window = xpatch.Custom(lambda u: np.where(abs(u) > 0.9, 0, 1.0))
    patches = field(3000, 3000).patch.split(
        geometry={"y": 64, "x": 64}, sampler=xpatch.RegularStride(48)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        patches.patch.merge(xpatch.OverlapAdd(window))


def test_irregular_starts_are_cut_without_a_view_of_each():
    from xpatch.engine.gather import gather
    from xpatch.neighborhood import Neighborhood

    rng = np.random.default_rng(0)
    starts = [np.sort(rng.choice(5000, 300, replace=False)) for _ in range(2)]
    hood = Neighborhood.boxes(("y", "x"), (3, 3), (5003, 5003), starts)
    values = np.broadcast_to(np.float32(1), (5003, 5003))
    gather(values, ("y", "x"), hood, values.dtype, [None, None])
    tracemalloc.start()
    out = gather(values, ("y", "x"), hood, values.dtype, [None, None])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * out.nbytes


@pytest.mark.parametrize("q", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("pair", [(-np.inf, 1.0), (1.0, np.inf), (-3e38, 3e38), (2.0, 2.0)])
def test_quantiles_between_numbers_that_are_far_apart(pair, q):
    patches = xr.DataArray(np.zeros(4, "f4"), dims="x").patch.split(
        geometry={"x": 4}, sampler=xpatch.Explicit([[0], [0]])
    )
    patches = patches.copy(data=np.repeat(np.float32(pair)[:, None], 4, axis=1))
    a, b = np.float64(pair)
    expected = a * (1 - q) + b * q
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merged = patches.patch.merge(xpatch.Quantile(q))
    np.testing.assert_allclose(merged, np.full(4, expected), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_one_value_a_patch_where_it_weighs_nothing(bad):
    patches = field(12, 12).patch.split(geometry={"y": 6, "x": 6}, sampler=xpatch.RegularStride(3))
    window = xpatch.OverlapAdd(lambda u: np.maximum(0, 1 - 1.5 * abs(u)))
    one = patches.mean(("y", "x"))
    one[4] = bad
    written = patches.copy(data=np.broadcast_to(one.values[:, None, None], patches.shape).copy())
    expected = written.patch.merge(window, skipna=False)
    for given in (one, one.chunk(patch=3)):
        merged = given.patch.merge(window, skipna=False)
        np.testing.assert_allclose(merged, expected, rtol=1e-5)


@pytest.mark.parametrize("skipna", [None, False])
@pytest.mark.parametrize("chunk", [None, 1])
def test_sums_of_numbers_of_which_zero_is_missing_need_not_cover_the_field(skipna, chunk):
    values = np.arange(1, 65, dtype="u2").reshape(8, 8)
    source = xr.DataArray(values, dims=("y", "x"), attrs={"_FillValue": 0})
    patches = source.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(4))
    patches = patches.isel(patch=[0])
    patches = patches if chunk is None else patches.chunk(patch=chunk)
    merged = patches.patch.merge("sum", skipna=skipna)
    np.testing.assert_array_equal(merged[:4, :4], values[:4, :4])
    assert (merged[4:] == 0).all()
    assert (merged[:, 4:] == 0).all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "bool", "f4"])
def test_the_largest_of_no_contributions(dtype):
    source = xr.DataArray(np.ones((4, 4), dtype), dims=("y", "x"))
    patches = source.patch.split(geometry={"y": 2, "x": 2}).isel(patch=[])
    assert (patches.patch.merge("argmax") == -1).all()


@pytest.mark.parametrize(
    "word", ["mean", "median", "min", "count", "std", "argmax", "any", "first"]
)
@pytest.mark.parametrize("lazy", [False, True])
def test_lists_beside_a_dimension_without_cells(word, lazy):
    coords = {"lon": ("x", np.arange(6.0)), "lat": ("x", np.arange(6.0))}
    patches = xr.DataArray(np.zeros((0, 6)), coords, ("t", "x")).patch.split(
        geometry=xpatch.KNNGraph(2)
    )
    patches = patches.chunk(patch=2) if lazy else patches
    assert patches.patch.merge(word).compute().shape == (0, 6)
