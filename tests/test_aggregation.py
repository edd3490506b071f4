"""Aggregations against NumPy, pandas and flox on the same contributions."""

from __future__ import annotations

import dask
import flox
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr

import xpatch

SHAPE = (11, 13)
GEOMETRY = xpatch.Rectangular(y=5, x=4)
SAMPLERS = {
    "regular": xpatch.RegularStride(y=2, x=3),
    "random": xpatch.Random(60, seed=1, replace=True),
}


def contributions(seed=0, sampler="regular", dtype="f8", missing=0.2, boundary="shift"):
    """Patches that disagree, and a table of what falls on each cell."""
    rng = np.random.default_rng(seed)
    field = xr.DataArray(np.zeros(SHAPE), dims=("y", "x"))
    geometry = xpatch.Rectangular(y=5, x=4, boundary=boundary)
    patches = field.patch.split(geometry=geometry, sampler=SAMPLERS[sampler])
    data = rng.integers(-9, 9, patches.shape).astype(dtype)
    if data.dtype.kind == "f":
        data[rng.random(patches.shape) < missing] = np.nan
        data[:, 2, 2] = np.nan if missing else data[:, 2, 2]
    patches = patches.copy(data=data)
    boxes = patches.xindexes["patch"].plans[0].boxes
    rows = []
    for i, (y, x) in enumerate(boxes.starts()):
        j, k = np.meshgrid(np.arange(5), np.arange(4), indexing="ij")
        cell_y, cell_x = (y + j) % SHAPE[0], (x + k) % SHAPE[1]
        inside = np.full(j.shape, True)
        if boundary == "pad":
            inside = (y + j >= 0) & (y + j < SHAPE[0]) & (x + k >= 0) & (x + k < SHAPE[1])
        rows.append(
            pd.DataFrame(
                {
                    "cell": (cell_y * SHAPE[1] + cell_x)[inside],
                    "patch": i,
                    "value": data[i][inside],
                    "uy": ((2 * j + 1 - 5) / 5)[inside],
                    "ux": ((2 * k + 1 - 4) / 4)[inside],
                }
            )
        )
    return patches, pd.concat(rows, ignore_index=True)


def on_cells(series):
    """Spread a result by cell over the field."""
    return series.reindex(np.arange(np.prod(SHAPE))).to_numpy().reshape(SHAPE)


REDUCTIONS = {
    "mean": lambda g: g.mean(),
    "sum": lambda g: g.sum(min_count=1),
    "median": lambda g: g.median(),
    "min": lambda g: g.min(),
    "max": lambda g: g.max(),
    "var": lambda g: g.var(ddof=0),
    "std": lambda g: g.std(ddof=0),
    "first": lambda g: g.first(),
    "last": lambda g: g.last(),
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("boundary", ["shift", "wrap", "pad"])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_groupby_oracle(name, sampler, boundary, chunked):
    patches, table = contributions(3, sampler, boundary=boundary)
    expected = on_cells(REDUCTIONS[name](table.groupby("cell")["value"]))
    patches = patches.chunk(patch=7) if chunked else patches
    merged = patches.patch.merge(name)
    assert merged.dims == ("y", "x")
    np.testing.assert_allclose(merged.values, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 0.77, 1.0])
def test_quantile(q):
    patches, table = contributions(4)
    expected = on_cells(table.groupby("cell")["value"].quantile(q))
    np.testing.assert_allclose(patches.patch.merge(xpatch.Quantile(q)), expected, rtol=1e-12)


@pytest.mark.parametrize("ddof", [0, 1, 2])
def test_degrees_of_freedom(ddof):
    patches, table = contributions(5)
    expected = on_cells(table.groupby("cell")["value"].var(ddof=ddof))
    merged = patches.patch.merge(xpatch.Var(ddof=ddof))
    np.testing.assert_allclose(merged, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("func", ["nanmean", "nanvar", "nanmin", "nanmax", "count", "nanfirst"])
def test_flox_agrees(func):
    patches, table = contributions(6)
    groups = pd.RangeIndex(np.prod(SHAPE))
    expected, _ = flox.groupby_reduce(
        table["value"].to_numpy(), table["cell"].to_numpy(), func=func, expected_groups=groups
    )
    merged = patches.patch.merge(func.removeprefix("nan"))
    np.testing.assert_allclose(merged.values.ravel(), expected, rtol=1e-12, atol=1e-12)


def test_count_is_zero_where_nothing_covers():
    patches, table = contributions(7)
    kept = patches.isel(patch=[0, 1])
    expected = on_cells(table[table.patch < 2].dropna().groupby("cell")["value"].count())
    merged = kept.patch.merge("count")
    assert merged.dtype == np.int64
    np.testing.assert_array_equal(merged, np.nan_to_num(expected))


@pytest.mark.parametrize("dtype", ["i8", "f8", "u1"])
def test_mode(dtype):
    patches, table = contributions(8, "random", "i8", missing=0)
    patches, table["value"] = patches.astype(dtype), table["value"].astype(dtype)
    best = table.groupby("cell")["value"].agg(lambda v: scipy.stats.mode(v).mode)
    merged = patches.patch.merge("mode")
    np.testing.assert_array_equal(
        np.nan_to_num(merged, nan=-1), np.nan_to_num(on_cells(best), nan=-1)
    )
    xr.testing.assert_identical(patches.patch.merge(xpatch.HardVote()), merged)


def test_mode_of_the_largest_integer_is_no_sentinel():
    field = xr.DataArray(np.full(6, np.iinfo("u1").max, "u1"), dims="x")
    field[2] = 3
    patches = field.patch.split(geometry={"x": 3}, sampler=xpatch.RegularStride(1))
    xr.testing.assert_identical(patches.patch.merge("mode"), field)


def test_most_central():
    patches, table = contributions(9, missing=0)
    far = np.maximum(table["uy"].abs(), table["ux"].abs())
    best = (
        table.assign(far=far.round(6))
        .sort_values(["far", "patch"])
        .groupby("cell")["value"]
        .first()
    )
    np.testing.assert_array_equal(patches.patch.merge("most_central"), on_cells(best))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_weighted_overlap_add(sampler):
    patches, table = contributions(10, sampler)
    hann = 0.25 * (1 + np.cos(np.pi * table["uy"])) * (1 + np.cos(np.pi * table["ux"]))
    table = table.assign(w=hann, wv=hann * table["value"]).dropna()
    sums = table.groupby("cell")[["w", "wv"]].sum()
    merged = patches.patch.merge(xpatch.OverlapAdd("hann"))
    np.testing.assert_allclose(merged, on_cells(sums["wv"] / sums["w"]), rtol=1e-12, atol=1e-12)
    plain = patches.patch.merge(xpatch.OverlapAdd("hann", normalize_by_window=False))
    np.testing.assert_allclose(plain, on_cells(sums["wv"]), rtol=1e-12, atol=1e-12)


def test_weighted_sum_takes_a_function_of_the_offset():
    patches, table = contributions(11)
    weight = (1 - table["uy"] ** 2) * (1 - table["ux"] ** 2)
    expected = (weight * table["value"]).groupby(table["cell"]).sum(min_count=1)
    merged = patches.patch.merge(xpatch.WeightedSum(lambda u: 1 - u**2))
    np.testing.assert_allclose(merged, on_cells(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("skipna", [True, False])
@pytest.mark.parametrize("name", ["mean", "min", "max", "median", "sum", "var"])
def test_skipna(name, skipna):
    patches, table = contributions(12)
    groups = table.groupby("cell")["value"]
    expected = REDUCTIONS[name](groups)
    if not skipna:
        expected = expected.where(groups.apply(lambda v: v.notna().all()))
    merged = patches.patch.merge(name, skipna=skipna)
    np.testing.assert_allclose(merged, on_cells(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "name", "result"),
    [
        ("i2", "mean", "f8"),
        ("?", "overlap_add", "f8"),
        ("f4", "mean", "f4"),
        ("f2", "mean", "f2"),
        ("f4", "median", "f4"),
        ("i4", "median", "f8"),
        ("i2", "sum", "i8"),
        ("u1", "sum", "u8"),
        ("?", "sum", "i8"),
        ("f4", "var", "f4"),
        ("i2", "std", "f8"),
        ("u1", "max", "u1"),
        ("i2", "first", "i2"),
        ("?", "last", "?"),
        ("?", "min", "?"),
        ("i8", "mode", "i8"),
        ("f4", "count", "i8"),
        ("c8", "mean", "c8"),
        ("M8[ns]", "max", "M8[ns]"),
    ],
)
def test_dtypes_where_everything_is_covered(dtype, name, result):
    field = xr.DataArray(np.ones(8).astype(dtype), dims="x")
    patches = field.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    assert patches.patch.merge(name).dtype == np.dtype(result)
    assert patches.chunk(patch=1).patch.merge(name).dtype == np.dtype(result)


@pytest.mark.parametrize(
    ("dtype", "fill", "result"),
    [
        ("i2", np.nan, "f4"),
        ("i4", np.nan, "f8"),
        ("?", np.nan, "f8"),
        ("i2", -999, "i2"),
        ("u1", -1, "i2"),
        ("?", False, "?"),
        ("f4", -999.0, "f4"),
        ("f4", np.nan, "f4"),
        ("M8[ns]", np.nan, "M8[ns]"),
        ("M8[ns]", np.datetime64("1900-01-01", "ns"), "M8[ns]"),
    ],
)
def test_fill_value_promotes_like_xarray(dtype, fill, result):
    field = xr.DataArray(np.ones(8).astype(dtype), dims="x")
    patches = field.patch.split(geometry={"x": 4}).isel(patch=[0])
    merged = patches.patch.merge("first", fill_value=fill)
    assert merged.dtype == np.dtype(result)
    outside = merged.values[4:]
    if fill != fill:
        assert pd.isna(outside).all()
    else:
        assert (outside == np.array(fill)).all()
    np.testing.assert_array_equal(merged.values[:4].astype(dtype), field.values[:4])
    lazy = patches.chunk(patch=1).patch.merge("first", fill_value=fill)
    assert lazy.dtype == lazy.compute().dtype == merged.dtype


@pytest.mark.parametrize("name", ["mean", "median", "max", "var", "std", "first", "mode"])
def test_no_patches_give_a_missing_field(name):
    field = xr.DataArray(np.ones((6, 8)), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 3, "x": 4}).isel(patch=slice(0))
    merged = patches.patch.merge(name)
    assert merged.shape == field.shape
    assert bool(merged.isnull().all())


def test_a_cell_that_is_missing_everywhere_is_missing_not_filled():
    field = xr.DataArray([1.0, np.nan, 3.0, 4.0], dims="x")
    patches = field.patch.split(geometry={"x": 2}, sampler=xpatch.RegularStride(1))
    for name in ("mean", "sum", "median", "max", "first", "var"):
        merged = patches.patch.merge(name, fill_value=-1)
        assert np.isnan(merged[1]), name


def test_inverse_variance():
    rng = np.random.default_rng(0)
    field = xr.DataArray(np.zeros(10), dims="x")
    patches = field.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    mean = patches.copy(data=rng.normal(size=patches.shape))
    variance = patches.copy(data=rng.uniform(0.5, 2, patches.shape))
    mean[1, 0] = np.nan
    merged = xr.Dataset({"mean": mean, "variance": variance}).patch.merge("inv_var_weighted_mean")
    # cell 2 has contributions of patch 0 (offset 2) and patch 1 (offset 0, missing)
    np.testing.assert_allclose(merged["mean"][2], mean[0, 2])
    np.testing.assert_allclose(merged["variance"][2], variance[0, 2])
    w = 1 / np.array([variance[0, 3], variance[1, 1]])
    v = np.array([mean[0, 3], mean[1, 1]])
    np.testing.assert_allclose(merged["mean"][3], (w * v).sum() / w.sum())
    np.testing.assert_allclose(merged["variance"][3], 1 / w.sum())
    assert merged["mean"].dims == ("x",)


def test_soft_vote():
    rng = np.random.default_rng(0)
    field = xr.DataArray(rng.random((6, 6)), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(2))
    probability = patches.expand_dims({"class": ["land", "sea", "ice"]}, axis=1)
    probability = probability * xr.DataArray([0.2, 0.5, 0.3], dims="class")
    labels = probability.patch.merge("soft_vote")
    assert labels.dims == ("y", "x")
    assert (labels == "sea").all()
    both = probability.patch.merge(xpatch.SoftVote(keep_probabilities=True))
    assert set(both) == {"label", "probability"}
    xr.testing.assert_allclose(both["probability"].sel({"class": "sea"}, drop=True), field * 0.5)
    lazy = probability.chunk(patch=2).patch.merge("soft_vote")
    xr.testing.assert_equal(lazy.compute().astype(str), labels.astype(str))


def test_soft_vote_without_labels_gives_class_numbers():
    field = xr.DataArray(np.ones(6), dims="x")
    patches = field.patch.split(geometry={"x": 3})
    probability = xr.concat([patches * 0.1, patches * 0.9], "class")
    labels = probability.patch.merge("soft_vote")
    assert labels.dtype.kind == "i"
    assert (labels == 1).all()


def test_learned_callable_sees_contributions_and_offsets():
    patches, table = contributions(13)
    seen = {}

    def model(values, offsets):
        seen["shapes"] = values.shape, offsets.shape
        weight = np.where(np.isnan(values), 0, (1 - offsets[0] ** 2) * (1 - offsets[1] ** 2))
        return np.nansum(weight * values, axis=0) / weight.sum(axis=0)

    merged = patches.patch.merge(xpatch.Learned(model))
    weight = (1 - table["uy"] ** 2) * (1 - table["ux"] ** 2)
    weight = weight.where(table["value"].notna())
    groups = table["cell"]
    expected = (weight * table["value"]).groupby(groups).sum() / weight.groupby(groups).sum()
    np.testing.assert_allclose(merged, on_cells(expected), rtol=1e-10, atol=1e-12)
    assert seen["shapes"][1] == (2, *seen["shapes"][0])


def test_learned_estimator_beats_the_mean_where_patches_are_biased_at_their_rim():
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    field = xr.DataArray(rng.normal(size=(40, 40)), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(4))
    slope = xr.DataArray(np.linspace(-1, 1, 8), dims="x")
    spoiled = patches + slope
    learned = spoiled.patch.merge(xpatch.Learned(LinearRegression(), target=field))
    plain = spoiled.patch.merge("mean")
    assert float(abs(learned - field).mean()) < 0.2 * float(abs(plain - field).mean())


def test_learned_estimator_is_an_identity_on_patches_that_agree():
    from sklearn.linear_model import LinearRegression

    field = xr.DataArray(np.random.default_rng(0).normal(size=(20, 24)), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 6, "x": 6}, sampler=xpatch.RegularStride(3))
    merged = patches.patch.merge(xpatch.Learned(LinearRegression()))
    xr.testing.assert_allclose(merged, field)
    lazy = field.chunk(y=7, x=9).patch.split(
        geometry={"y": 6, "x": 6}, sampler=xpatch.RegularStride(3)
    )
    merged = lazy.patch.merge(xpatch.Learned(LinearRegression()))
    assert merged.chunks == ((7, 7, 6), (9, 9, 6))
    xr.testing.assert_allclose(merged.compute(), field)


def test_repeated_patches_count_as_often_as_they_occur():
    field = xr.DataArray(np.arange(4.0), dims="x")
    patches = field.patch.split(geometry={"x": 2})
    double = patches.isel(patch=[0, 0, 1])
    np.testing.assert_array_equal(double.patch.merge("sum"), [0, 2, 2, 3])
    np.testing.assert_array_equal(double.patch.merge("count"), [2, 2, 1, 1])


def test_merges_of_the_same_dask_patches_do_not_take_each_others_results():
    field = xr.DataArray(np.random.default_rng(0).random((12, 14)), dims=("y", "x"))
    patches = field.chunk(y=6, x=7).patch.split(
        geometry={"y": 6, "x": 6}, sampler=xpatch.RegularStride(3)
    )
    patches = patches * xr.DataArray(np.arange(patches.sizes["patch"]), dims="patch")
    kinds = [
        xpatch.Quantile(0.1),
        xpatch.Quantile(0.9),
        xpatch.OverlapAdd("hann"),
        xpatch.OverlapAdd(xpatch.Gaussian(0.3)),
        xpatch.OverlapAdd(xpatch.Gaussian(0.5)),
        xpatch.OverlapAdd(xpatch.Custom(lambda u: 1 - 0.5 * abs(u))),
        "sum",
        "mean",
    ]
    lazy = [patches.patch.merge(kind) for kind in kinds]
    together = dask.compute(*lazy)
    for kind, got in zip(kinds, together, strict=True):
        xr.testing.assert_allclose(got, patches.compute().patch.merge(kind))
    assert lazy[0].data.name == patches.patch.merge(xpatch.Quantile(0.1)).data.name


@pytest.mark.parametrize("aggregation", ["first", "last", "most_central"])
@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 5, 7])
def test_of_equal_labels_the_place_decides(aggregation, chunk):
    x = xr.DataArray(np.arange(8.0), dims="x")
    patches = x.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    patches = patches.isel(patch=[1, 0, 2, 1, 0, 2, 1])
    patches = patches * 0 + xr.DataArray(np.arange(7.0), dims="patch")
    if chunk is not None:
        patches = patches.chunk(patch=chunk)
    merged = patches.patch.merge(aggregation)
    expected = {
        "first": [1, 1, 1, 1, 0, 0, 2, 2],
        "last": [4, 4, 6, 6, 5, 5, 5, 5],
        "most_central": [1, 1, 1, 0, 0, 2, 2, 2],
    }
    np.testing.assert_array_equal(merged, expected[aggregation])


@pytest.mark.parametrize("chunks", [None, 4])
def test_soft_vote_of_a_dataset_keeps_probabilities(chunks):
    values = np.random.default_rng(0).random((3, 8))
    p = xr.DataArray(values, {"class": ["ice", "land", "sea"]}, ("class", "x"))
    ds = xr.Dataset({"cover": p, "second": 1 - p, "scale": 2.0})
    ds = ds if chunks is None else ds.chunk(x=chunks)
    patches = ds.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    merged = patches.patch.merge(xpatch.SoftVote(keep_probabilities=True)).compute()
    names = {"cover", "second", "scale", "cover_probability", "second_probability"}
    assert set(merged.data_vars) == names
    np.testing.assert_array_equal(merged["cover"], p["class"].values[values.argmax(0)])
    np.testing.assert_array_equal(merged["second"], p["class"].values[values.argmin(0)])
    np.testing.assert_allclose(merged["cover_probability"], values)
    labels = patches.patch.merge(xpatch.SoftVote()).compute()
    xr.testing.assert_identical(labels["cover"], merged["cover"])
    taken = patches.rename(second="cover_probability")
    with pytest.raises(ValueError, match="have that already"):
        taken.patch.merge(xpatch.SoftVote(keep_probabilities=True))


def test_classes_that_were_voted_away_leave_no_dimension():
    values = np.random.default_rng(0).random((3, 8, 8))
    coords = {"class": [1, 4, 9], "color": ("class", ["r", "g", "b"])}
    field = xr.Dataset({"p": (("class", "y", "x"), values)}, coords)
    merged = field.patch.split({"y": 4, "x": 4}).patch.merge(xpatch.SoftVote())
    assert dict(merged.sizes) == {"y": 8, "x": 8}
    assert not merged.coords
    kept = field.patch.split({"y": 4, "x": 4}).patch.merge(xpatch.SoftVote(keep_probabilities=True))
    assert set(kept.coords) == {"class", "color"}
