"""Patches as matrices and back, and bare arrays that become patches."""

from __future__ import annotations

import itertools

import dask.array
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from sklearn.decomposition import PCA

import xpatch
from tests.test_offsets import grid, series, stations

BOXES = {"geometry": {"y": 4, "x": 3}, "sampler": xpatch.RegularStride(2)}


def field(labels=True):
    values = np.random.default_rng(0).normal(size=(2, 8, 9))
    coords = {"y": np.arange(8) * 2.0, "x": np.arange(9.0)} if labels else {}
    coords |= {"band": ["a", "b"], "run": 7}
    return xr.DataArray(values, coords, ("band", "y", "x"), name="t", attrs={"units": "K"})


def boxes(labels=True):
    return field(labels).patch.split(**BOXES)


def splits():
    dims = ("patch", "band", "y", "x")
    for n in range(1, 5):
        for sample in itertools.combinations(dims, n):
            if "patch" in sample:
                yield sample, tuple(d for d in dims if d not in sample)


# ------------------------------------------------------------------------------------- flatten


@pytest.mark.parametrize(("sample", "feature"), [*splits()], ids=str)
@pytest.mark.parametrize("labels", [True, False])
def test_there_and_back(sample, feature, labels):
    patches = boxes(labels)
    matrix = patches.patch.flatten(sample=sample, feature=feature)
    assert matrix.dims == ("sample", "feature")
    rows = int(np.prod([patches.sizes[d] for d in sample]))
    expected = patches.transpose(*sample, *feature).values.reshape(rows, -1)
    np.testing.assert_array_equal(matrix, expected)
    assert not any(isinstance(i, pd.MultiIndex) for i in matrix.indexes.values())
    for back in (matrix.patch.unflatten(patches), matrix.patch.unflatten()):
        xr.testing.assert_equal(back.drop_vars("band", errors="ignore"), patches.drop_vars("band"))
        assert (back.name, back.attrs) == (patches.name, patches.attrs)
        assert isinstance(back.xindexes["patch"], xpatch.PatchIndex)
        np.testing.assert_allclose(back.patch.merge(), field(labels))


@pytest.mark.parametrize("sample", ["patch", ("patch", "y"), ("patch", "band")], ids=str)
def test_labels_that_nobody_cut_come_back(sample):
    matrix = boxes().patch.flatten(sample=sample)
    for back in (matrix.patch.unflatten(boxes()), matrix.patch.unflatten()):
        assert back["band"].values.tolist() == ["a", "b"]
        xr.testing.assert_allclose(back.patch.merge(), field())


@pytest.mark.parametrize("sample", [None, "patch", ("patch",), ["y", "patch"]], ids=str)
def test_what_is_not_named_is_the_rest(sample):
    patches = boxes()
    matrix = patches.patch.flatten(sample=sample)
    rows = (sample if isinstance(sample, list) else ["patch"]) if sample else ["patch"]
    assert matrix.sizes["sample"] == np.prod([patches.sizes[d] for d in rows])
    xr.testing.assert_equal(matrix.patch.unflatten(patches), patches)


def test_features_alone_may_be_named():
    matrix = boxes().patch.flatten(feature=("x", "y"))
    assert matrix.shape == (24, 12)
    xr.testing.assert_equal(matrix, boxes().patch.flatten(("patch", "band"), ("x", "y")))
    xr.testing.assert_equal(matrix.patch.unflatten(boxes()), boxes())


def test_rows_know_their_patch_and_their_labels():
    patches = boxes()
    matrix = patches.patch.flatten(sample=("patch", "y"), feature=("band", "x"))
    assert matrix["patch"].dims == ("sample",)
    np.testing.assert_array_equal(matrix["patch"], np.repeat(np.arange(12), 4))
    np.testing.assert_array_equal(matrix["y"], patches["y"].values.ravel())
    np.testing.assert_array_equal(matrix["band"], np.repeat(["a", "b"], 3))
    assert matrix["band"].dims == ("feature",)
    assert int(matrix["run"]) == 7
    one = matrix.isel(sample=matrix["patch"].values == 5)
    np.testing.assert_array_equal(
        one, patches.sel(patch=5).transpose("y", "band", "x").values.reshape(4, 6)
    )


def test_dask_stays_dask():
    lazy = field().chunk(y=4, x=5).patch.split(**BOXES, chunks=5)
    matrix = lazy.patch.flatten(sample=("patch", "band"))
    assert isinstance(matrix.data, dask.array.Array)
    back = matrix.patch.unflatten(lazy)
    assert isinstance(back.data, dask.array.Array)
    xr.testing.assert_equal(back.compute(), lazy.compute())
    assert isinstance(matrix.patch.unflatten().data, dask.array.Array)


@pytest.mark.parametrize("geometry", [xpatch.KNNGraph(4), xpatch.SphericalCap(1500.0)], ids=str)
@pytest.mark.parametrize("sample", ["patch", ("patch", "time"), ("patch", "obs")], ids=str)
def test_members_come_back_with_their_patches(geometry, sample):
    source = stations(30)
    patches = source.patch.split(geometry=geometry)
    matrix = patches.patch.flatten(sample=sample)
    back = matrix.patch.unflatten(patches)
    xr.testing.assert_equal(back, patches)
    xr.testing.assert_allclose(back.patch.merge(), source)


@pytest.mark.parametrize("pick", [range(40), range(0, 37, 3)], ids=["even", "with gaps"])
@pytest.mark.parametrize("length", [4, "10D"])
def test_windows_in_time_come_back(pick, length):
    source = series().isel(time=[k for k in pick if k != 18])
    patches = source.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(length)))
    for sample in ("patch", ("patch", "time")):
        back = patches.patch.flatten(sample=sample).patch.unflatten(patches)
        xr.testing.assert_equal(back, patches)
        xr.testing.assert_equal(back.patch.merge(), patches.patch.merge())


def test_space_and_time_come_back():
    source = grid(30.0).expand_dims(time=pd.date_range("2000-01-01", periods=6))
    windows = xpatch.TimePatcher(xpatch.FixedLookback(3))
    patcher = xpatch.SpatioTemporalPatcher(xpatch.Patcher({"lat": 3, "lon": 4}), windows)
    patches = source.patch.split(patcher)
    matrix = patches.patch.flatten(sample=("patch", "time"))
    xr.testing.assert_equal(matrix.patch.unflatten(patches), patches)
    xr.testing.assert_allclose(matrix.patch.unflatten().patch.merge(), patches.patch.merge())


@settings(deadline=None, max_examples=20)
@given(
    which=st.lists(st.integers(0, 11), min_size=2, max_size=6, unique=True),
    sample=st.permutations(["patch", "band", "y", "x"]),
    n=st.integers(1, 4),
)
def test_any_selection_comes_back(which, sample, n):
    patches = boxes().isel(patch=which)
    rows = sample[:n] if "patch" in sample[:n] else [*sample[:n], "patch"]
    matrix = patches.patch.flatten(sample=rows)
    xr.testing.assert_equal(matrix.patch.unflatten(patches), patches)


@pytest.mark.parametrize("which", [[5], [5, 5, 5], [0, 3, 0]], ids=str)
@pytest.mark.parametrize("sample", ["patch", ("patch", "band"), ("y", "patch")], ids=str)
def test_one_patch_and_repeated_ones_come_back(which, sample):
    patches = boxes().isel(patch=which)
    xr.testing.assert_equal(patches.patch.flatten(sample).patch.unflatten(patches), patches)


def test_patches_of_one_cell_come_back():
    patches = field().patch.split(geometry={"y": 1, "x": 3})
    for sample in (("patch", "y"), ("patch", "x"), ("patch", "y", "x")):
        matrix = patches.patch.flatten(sample)
        xr.testing.assert_equal(matrix.patch.unflatten(patches), patches)
        assert matrix.patch.unflatten()["y"].dims == ("patch", "y")


def test_integers_and_dates_keep_their_dtype():
    for values in (np.arange(12), np.arange(12).astype("M8[D]").astype("M8[ns]")):
        patches = xr.DataArray(values, dims="x").patch.split(geometry={"x": 4})
        matrix = patches.patch.flatten()
        assert matrix.dtype == patches.dtype
        xr.testing.assert_equal(matrix.patch.unflatten(), patches)


@pytest.mark.parametrize(
    ("sample", "feature", "message"),
    [
        ("y", ("patch", "band", "x"), "'patch' must be among the samples"),
        ("patch", "y", "must name each of the dimensions"),
        (("patch", "y"), ("y", "band", "x"), "must name each of the dimensions"),
        (("patch", "z"), None, "must name each of the dimensions"),
    ],
)
def test_wrong_dimensions(sample, feature, message):
    with pytest.raises(ValueError, match=message):
        boxes().patch.flatten(sample=sample, feature=feature)


def test_wrong_objects():
    with pytest.raises(TypeError, match="flatten takes one variable"):
        boxes().to_dataset().patch.flatten()
    with pytest.raises(ValueError, match="these are not patches"):
        field().patch.flatten()
    with pytest.raises(ValueError, match="have 'sample' already"):
        boxes().rename(band="sample").patch.flatten()
    with pytest.raises(TypeError, match="sample must be a name"):
        boxes().patch.flatten(sample=3)
    with pytest.raises(ValueError, match=r"what patches\.patch\.flatten"):
        boxes().patch.unflatten()


# ----------------------------------------------------------------------------------- unflatten


def test_one_value_a_sample_is_one_a_patch():
    patches = boxes()
    matrix = patches.patch.flatten()
    score = matrix.isel(feature=0, drop=True).copy(data=np.arange(12.0))
    back = score.patch.unflatten(patches)
    assert back.dims == ("patch",)
    merged = back.patch.merge("max")
    assert merged.dims == ("y", "x")
    assert float(merged[-1, -1]) == 11
    xr.testing.assert_equal(score.patch.unflatten().patch.merge("max"), merged)
    by_mean = matrix.mean("feature", keep_attrs=True).patch.unflatten(patches)
    np.testing.assert_allclose(by_mean, patches.mean(["band", "y", "x"]))


def test_one_value_a_cell_has_the_dims_of_the_samples():
    patches = boxes()
    matrix = patches.patch.flatten(sample=("patch", "y", "x"))
    labels = matrix.isel(feature=0, drop=True).copy(data=np.arange(144))
    for back in (labels.patch.unflatten(patches), labels.patch.unflatten()):
        assert back.dims == ("patch", "y", "x")
        np.testing.assert_array_equal(back.values.ravel(), np.arange(144))
        np.testing.assert_array_equal(back["y"], patches["y"])
        assert back.patch.merge("first").dims == ("y", "x")


def test_other_columns_stand_along_a_dimension_of_their_own():
    patches = boxes()
    matrix = patches.patch.flatten(sample=("patch", "y", "x"))
    values = np.random.default_rng(0).normal(size=(144, 5))
    wide = xr.DataArray(
        values,
        {n: c for n, c in matrix.coords.items() if c.dims == ("sample",)},
        ("sample", "component"),
        attrs=matrix.attrs,
    )
    back = wide.patch.unflatten(patches)
    assert dict(back.sizes) == {"patch": 12, "y": 4, "x": 3, "component": 5}
    np.testing.assert_array_equal(
        back.transpose("patch", "y", "x", "component").values.reshape(144, 5), values
    )
    fewer = matrix.isel(feature=[0]).patch.unflatten(patches)
    assert fewer.sizes["feature"] == 1
    assert back.patch.merge("mean").sizes["component"] == 5


def test_maps_of_components_are_those_of_scikit_learn():
    patches = boxes()
    matrix = patches.patch.flatten(sample=("patch", "band"))
    pca = PCA(3).fit(matrix)
    scores = matrix.isel(feature=slice(3)).copy(data=pca.transform(matrix))
    back = scores.patch.unflatten(patches)
    assert dict(back.sizes) == {"patch": 12, "band": 2, "feature": 3}
    same = patches.transpose("patch", "band", "y", "x").values.reshape(24, 12)
    np.testing.assert_allclose(np.abs(scores), np.abs(PCA(3).fit_transform(same)), atol=1e-10)
    smooth = matrix.copy(data=pca.inverse_transform(pca.transform(matrix)))
    merged = smooth.patch.unflatten(patches).patch.merge()
    assert merged.dims == ("band", "y", "x")
    full = matrix.copy(data=PCA(12).fit(matrix).inverse_transform(PCA(12).fit_transform(matrix)))
    xr.testing.assert_allclose(full.patch.unflatten().patch.merge(), field())


def test_rows_that_were_left_out_or_moved_are_told():
    patches = boxes()
    matrix = patches.patch.flatten()
    with pytest.raises(ValueError, match="has 9 rows, and was made of 12"):
        matrix.isel(sample=slice(9)).patch.unflatten(patches)
    backwards = matrix.isel(sample=slice(None, None, -1))
    with pytest.raises(
        ValueError, match=r"rows of the matrix (are not those of these patches|were moved)"
    ):
        backwards.patch.unflatten(patches)
    cells = patches.patch.flatten(sample=("patch", "y"))
    shuffled = cells.isel(sample=np.random.default_rng(0).permutation(48))
    with pytest.raises(ValueError, match=r"moved|not those"):
        shuffled.patch.unflatten(patches)
    with pytest.raises(ValueError, match=r"moved|not those"):
        shuffled.patch.unflatten()


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_rows_that_were_moved_within_a_patch_are_told(labels, known):
    patches = boxes(labels)
    matrix = patches.patch.flatten(sample=("patch", "y"))
    moved = matrix.isel(sample=np.arange(48).reshape(12, 4)[:, ::-1].ravel())
    with pytest.raises(ValueError, match=r"moved|not those"):
        moved.patch.unflatten(patches if known else None)


@pytest.mark.parametrize("known", [True, False])
def test_columns_that_were_moved_are_told(known):
    patches = boxes()
    moved = patches.patch.flatten().isel(feature=slice(None, None, -1))
    with pytest.raises(ValueError, match=r"moved|not those"):
        moved.patch.unflatten(patches if known else None)


def test_patches_of_another_selection_are_told():
    patches = boxes()
    matrix = patches.isel(patch=slice(0, 6)).patch.flatten()
    with pytest.raises(ValueError, match="not those of these patches"):
        matrix.patch.unflatten(patches.isel(patch=slice(6, 12)))
    with pytest.raises(ValueError, match="not those of these patches"):
        matrix.patch.unflatten(patches)


def test_matrices_of_files_come_back(tmp_path):
    patches = boxes()
    patches.patch.flatten().to_netcdf(tmp_path / "m.nc")
    again = xr.load_dataset(tmp_path / "m.nc")["t"]
    xr.testing.assert_equal(again.patch.unflatten(patches), patches)
    back = again.patch.unflatten()
    assert isinstance(back.xindexes["patch"], xpatch.PatchIndex)
    np.testing.assert_allclose(back.patch.merge(), field())


# ---------------------------------------------------------------------------------------- like


def test_arrays_become_patches():
    patches = boxes()
    score = patches.patch.like(xr.DataArray(np.arange(12.0), dims="patch", name="score"))
    assert isinstance(score.xindexes["patch"], xpatch.PatchIndex)
    assert score.name == "score"
    assert float(score.patch.merge("max")[0, 0]) == 0
    again = patches.patch.like(xr.DataArray(patches.values, dims=patches.dims))
    np.testing.assert_array_equal(again["y"], patches["y"])
    xr.testing.assert_allclose(again.patch.merge(), field())
    xr.testing.assert_equal(
        patches + again.drop_vars("patch").pipe(patches.patch.like), 2 * patches
    )


def test_datasets_become_patches():
    patches = boxes()
    bare = xr.Dataset(
        {"a": (("patch", "y", "x"), np.ones((12, 4, 3))), "b": ("patch", np.arange(12)), "c": 3}
    )
    found = patches.patch.like(bare)
    assert set(found.data_vars) == {"a", "b", "c"}
    merged = found[["a"]].patch.merge()
    assert bool((merged["a"] == 1).all())
    xr.testing.assert_equal(
        merged["x"].drop_vars("run", errors="ignore"), field()["x"].drop_vars("run")
    )
    assert found.attrs == {}


def test_arrays_of_other_sizes_leave_labels_out():
    patches = boxes()
    fine = patches.patch.like(xr.DataArray(np.zeros((12, 8, 6)), dims=("patch", "y", "x")))
    assert "y" not in fine.coords
    merged = fine.patch.merge(scale=2)
    assert dict(merged.sizes) == {"y": 16, "x": 18}
    channels = patches.patch.like(xr.DataArray(np.zeros((12, 5)), dims=("patch", "channel")))
    assert dict(channels.patch.merge("mean").sizes) == {"channel": 5, "y": 8, "x": 9}


def test_selected_patches_give_their_own_index():
    some = boxes().isel(patch=[7, 2])
    score = some.patch.like(xr.DataArray([1.0, 2.0], dims="patch"))
    assert score["patch"].values.tolist() == [7, 2]
    merged = score.patch.merge("max")
    expected = (some.isel(band=0) * 0 + score).patch.merge("max")
    np.testing.assert_array_equal(merged, expected)


def test_members_become_patches():
    patches = stations(30).patch.split(geometry=xpatch.KNNGraph(4))
    bare = xr.DataArray(patches.values, dims=patches.dims)
    found = patches.patch.like(bare)
    xr.testing.assert_equal(found["obs"], patches["obs"])
    np.testing.assert_allclose(found.patch.merge(), stations(30))


def test_dask_arrays_stay_lazy():
    bare = xr.DataArray(dask.array.zeros((12, 4, 3), chunks=5), dims=("patch", "y", "x"))
    found = boxes().patch.like(bare)
    assert isinstance(found.data, dask.array.Array)
    assert not found.patch.merge().compute().any()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: np.zeros(12), TypeError, "like takes a DataArray or Dataset"),
        (
            lambda p: xr.DataArray(np.zeros(11), dims="patch"),
            ValueError,
            "12 patches along 'patch'",
        ),
        (lambda p: xr.DataArray(np.zeros(12), dims="obs"), ValueError, "12 patches along 'patch'"),
        (
            lambda p: xr.DataArray(np.zeros(12), {"patch": np.arange(12)[::-1]}, ("patch",)),
            ValueError,
            "not those of the patches, or in another order",
        ),
        (lambda p: p.isel(patch=slice(None, None, -1)), ValueError, "in another order"),
        (
            lambda p: field().patch.split(geometry={"y": 4, "x": 3}, sampler=xpatch.Random(12, 0)),
            ValueError,
            "patches of another split",
        ),
    ],
)
def test_what_does_not_belong_is_told(make, error, message):
    patches = boxes()
    with pytest.raises(error, match=message):
        patches.patch.like(make(patches))


def test_labels_that_are_the_same_may_stay():
    patches = boxes()
    bare = xr.DataArray(np.arange(12.0), {"patch": patches["patch"].values}, ("patch",))
    assert isinstance(patches.patch.like(bare).xindexes["patch"], xpatch.PatchIndex)
    mine = patches.isel(band=0) + 1
    xr.testing.assert_identical(patches.patch.like(mine), mine)
