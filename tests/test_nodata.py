"""Numbers that stand for missing values: the law is that of NaN, with NaN replaced."""

from __future__ import annotations

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings

import xpatch

TIME = pd.date_range("2000-01-01", periods=18)
LARGE = 2**60  # integers that no float holds one by one


def field(dtype="i2", nodata=-9999, seed=0, low=0, high=50):
    rng = np.random.default_rng(seed)
    values = rng.integers(low, high, (18, 10, 12)).astype(dtype)
    coords = {"time": TIME, "y": np.arange(10.0)[::-1], "x": np.arange(12.0)}
    return xr.DataArray(values, coords, ("time", "y", "x"), "v", {"_FillValue": nodata})


CUTS = {
    "boxes": {"geometry": {"y": 4, "x": 5}, "sampler": xpatch.RegularStride(y=3, x=3)},
    "listed": {"geometry": {"y": 4, "x": 5}, "sampler": xpatch.Random(30, seed=1)},
    "members": {
        "geometry": xpatch.KNNGraph(5),
        "sampler": xpatch.Explicit([(j, i) for j in range(0, 10, 2) for i in range(0, 12, 2)]),
    },
    "joint": {
        "patcher": xpatch.SpatioTemporalPatcher(
            xpatch.Patcher(xpatch.KNNGraph(5), xpatch.Explicit([(2, 2), (4, 5), (5, 5), (8, 9)])),
            xpatch.TimePatcher(xpatch.FixedLookback(6), xpatch.RegularTimeStride(3)),
        )
    },
    "time": {
        "patcher": xpatch.TimePatcher(xpatch.FixedLookback("6D"), xpatch.RegularTimeStride(4))
    },
}
CHOOSE = ["first", "last", "min", "max", "mode", "most_central"]
AVERAGE = ["overlap_add", "mean", xpatch.OverlapAdd("hann"), "median", xpatch.Quantile(0.3)]
AVERAGE += ["var", "std", "sum", xpatch.WeightedSum("hann")]
AVERAGE += [xpatch.Learned(lambda values, offsets: np.nanmax(values, axis=0))]


def spoiled(patches, nodata, seed=0, share=0.5):
    """Give patches of which a model gave up half of the values, some of them whole."""
    rng = np.random.default_rng(seed)
    lost = rng.random(patches.shape) < share
    lost[rng.random(len(lost)) < 0.2] = True
    data = np.where(lost, np.asarray(nodata, patches.dtype), patches.values)
    return patches.copy(data=data.astype(patches.dtype)), patches.astype(float).where(~lost)


def as_law(merged, nodata):
    return np.where(np.isnan(merged.values), float(nodata), merged.values)


@pytest.mark.parametrize("chunks", [None, 7], ids=["memory", "dask"])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "how", CHOOSE + AVERAGE, ids=lambda h: h if isinstance(h, str) else type(h).__name__
)
def test_the_law(cut, how, chunks):
    cases = [("i2", -9999, None), ("f4", np.float32(-1e30), None), ("u1", 255, None)]
    if not isinstance(how, xpatch.Learned):  # which is given what is there
        cases.append(("i2", -9999, False))
    for dtype, nodata, skipna in cases:
        p = field(dtype, nodata).patch.split(**CUTS[cut])
        p, nan = spoiled(p, nodata)
        nan = nan.drop_attrs(deep=False).astype("f4" if dtype == "f4" else "f8")
        if chunks:
            p, nan = p.chunk(patch=chunks), nan.chunk(patch=chunks)
        got, law = p.patch.merge(how, skipna=skipna), nan.patch.merge(how, skipna=skipna)
        assert got.attrs == {"_FillValue": nodata}
        assert (got.chunks is None) == (chunks is None)
        whole = {"sum": np.sum(np.zeros(1, dtype)).dtype}.get(str(how), np.dtype(dtype))
        assert got.dtype == (whole if how in [*CHOOSE, "sum"] else law.dtype)
        np.testing.assert_allclose(got, as_law(law, nodata))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("chunks", [None, 7], ids=["memory", "dask"])
def test_counts_are_of_what_is_there(cut, chunks):
    p, nan = spoiled(field(nodata=0).patch.split(**CUTS[cut]), 0)
    p, nan = (q.chunk(patch=chunks) if chunks else q for q in (p, nan.where(nan != 0)))
    got = p.patch.merge("count")
    np.testing.assert_array_equal(got, nan.patch.merge("count"))
    assert got.dtype == "i8"
    assert not got.attrs


@pytest.mark.parametrize("dtype", ["i8", "u8"])
@pytest.mark.parametrize("cut", ["boxes", "members", "joint"])
@pytest.mark.parametrize("chunks", [None, 7], ids=["memory", "dask"])
def test_integers_beyond_floats(dtype, cut, chunks):
    info = np.iinfo(dtype)
    for nodata in (info.min, info.max, info.min + 1, LARGE + 3):
        f = field(dtype, nodata)
        rng = np.random.default_rng(1)
        ends = [info.min, info.min + 1, info.min + 2, info.max - 1, info.max]
        pool = np.array([*ends, *range(LARGE, LARGE + 7)], dtype)
        f = f.copy(data=rng.choice(pool, f.shape))
        p = f.patch.split(**CUTS[cut])
        lost = rng.random(p.shape) < 0.3
        p = p.copy(data=np.where(lost, np.asarray(nodata, dtype), p.values))
        valid = p.values != p.dtype.type(nodata)
        q = p.chunk(patch=chunks) if chunks else p
        # the same numbers as ranks, which floats do hold
        names, ranks = np.unique(p.values, return_inverse=True)
        rank = xr.DataArray(ranks.reshape(p.shape).astype(float), p.coords, p.dims).where(valid)
        for how in CHOOSE:
            law = rank.patch.merge(how).values
            expected = np.where(
                np.isnan(law), np.asarray(nodata, dtype), names[np.nan_to_num(law).astype(int)]
            )
            got = q.patch.merge(how)
            assert got.dtype == dtype
            np.testing.assert_array_equal(got, expected)


@given(
    st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]),
    st.sampled_from([*CHOOSE, "mean", "overlap_add", "median", "std"]),
    st.sampled_from(["boxes", "listed", "members", "joint", "time"]),
    st.sampled_from([None, 3]),
    st.integers(0, 99),
    st.booleans(),
    st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_the_law_of_any_dtype(dtype, how, cut, chunks, seed, negative, share):
    negative &= dtype[0] != "u"
    nodata = -100 if negative else 100
    p = field(dtype, nodata, seed).patch.split(**CUTS[cut])
    p, nan = spoiled(p, nodata, seed, share)
    nan = nan.drop_attrs(deep=False).astype(dtype if dtype[0] == "f" else "f8")
    few = np.random.default_rng(seed).permutation(len(p))[: 1 + seed % len(p)]
    p, nan = p.isel(patch=few), nan.isel(patch=few)
    if chunks:
        p, nan = p.chunk(patch=chunks), nan.chunk(patch=chunks)
    got, law = p.patch.merge(how), nan.patch.merge(how)
    tiles = {np.dtype(dtype)} if how in ("mean", "overlap_add") else set()  # which keep it
    assert got.dtype == dtype if how in CHOOSE else got.dtype in {law.dtype, *tiles}
    rtol = 2e-3 if dtype == "f2" else 1e-6
    np.testing.assert_allclose(got.astype(float), as_law(law.astype(float), nodata), rtol)


def test_identity_of_what_a_raster_holds():
    f = field()
    f[:, 3:6, 2:9] = -9999
    for cut in CUTS:
        merged = f.patch.split(**CUTS[cut]).patch.merge("first")
        covered = (
            xr.ones_like(f)
            .astype(float)
            .drop_attrs(deep=False)
            .patch.split(**CUTS[cut])
            .patch.merge()
        )
        xr.testing.assert_identical(merged, f.where(covered.notnull(), -9999))
    tiles = f.patch.split(geometry={"y": 5, "x": 4})
    xr.testing.assert_identical(tiles.patch.merge(), f)


# ------------------------------------------------------------------------------ which numbers


@pytest.mark.parametrize(
    ("attrs", "missing", "fill"),
    [
        ({"_FillValue": -1}, [-1], -1),
        ({"missing_value": -2.0}, [-2], -2),
        ({"_FillValue": -1, "missing_value": [-1, -2]}, [-1, -2], -1),
        ({"_FillValue": np.int16(-1), "missing_value": np.array([-3], "i4")}, [-1, -3], -1),
        ({"nodata": -4}, [-4], -4),
        ({"fill_value": -5, "nodata": -4}, [-5, -4], -5),
        ({"_FillValue": -1, "nodata": -4}, [-1], -1),
        ({"_FillValue": 10**9}, [], None),
        ({"_FillValue": -1.5, "missing_value": np.nan}, [], None),
        ({"_FillValue": "-1", "missing_value": None}, [], None),
        ({"_FillValue": False, "missing_value": [[1, 2], [3, 4]]}, [], None),
        ({"_FillValue": {"a": 1}, "missing_value": [1, [2]]}, [1], 1),
        ({"_FillValue": 10**30, "missing_value": np.array(-1.0, "f4")}, [-1], -1),
        ({"_FillValue": np.timedelta64(1, "s"), "nodata": float("inf")}, [], None),
    ],
)
def test_which_attributes(attrs, missing, fill):
    f = xr.DataArray(np.arange(-6, 6, dtype="i2"), dims="x", attrs=attrs)
    p = f.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    merged = p.isel(patch=[0, 1]).patch.merge("max")
    assert merged.attrs == attrs
    if fill is None:
        assert merged.dtype == "f4"
        assert merged.isnull().sum() == 6
        return
    expected = np.where(np.isin(f, missing), fill, f)
    expected[6:] = fill
    np.testing.assert_array_equal(merged, expected.astype("i2"))
    count = p.patch.merge("count")
    assert set(np.flatnonzero(count == 0)) == {6 + m for m in missing}


def test_unsigned_bytes_cannot_be_negative():
    f = xr.DataArray(np.arange(12, dtype="u1"), dims="x", attrs={"_FillValue": -9999})
    p = f.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    assert p.patch.merge("max").dtype == "u1"
    assert p.isel(patch=[0]).patch.merge("max").isnull().sum() == 8


def test_what_else_is_no_nodata():
    flags = xr.DataArray(np.arange(12) % 2 == 0, dims="x", attrs={"_FillValue": 0})
    p = flags.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    xr.testing.assert_identical(p.patch.merge("max"), flags)
    decoded = xr.DataArray(np.arange(12.0) - 1, dims="x")
    decoded.encoding["_FillValue"] = -1.0  # NaN stands for it already
    p = decoded.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    np.testing.assert_array_equal(p.patch.merge(), decoded)
    nan = decoded.where(decoded > 3).assign_attrs(_FillValue=np.nan)
    p = nan.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    np.testing.assert_array_equal(p.patch.merge(), nan)
    both = nan.fillna(-7).assign_attrs(_FillValue=np.nan, missing_value=-7)
    p = both.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    np.testing.assert_array_equal(p.patch.merge(), nan)


def test_the_attributes_of_the_patches_count():
    f = field().isel(time=0)
    f[2:5, 2:5] = -9999
    p = f.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(2))
    bare = p.drop_attrs(deep=False)
    assert bare.patch.merge("min").min() == -9999
    assert bare.isel(patch=[0]).patch.merge().isnull().any()
    said = bare.assign_attrs(_FillValue=-9999).isel(patch=[0])
    assert (said.patch.merge() == -9999).sum() > 0
    assert said.patch.merge().notnull().all()
    ds = xr.Dataset({"a": p, "b": bare})
    merged = ds.isel(patch=[0]).patch.merge("max")
    assert merged.a.dtype == "i2"
    assert merged.b.dtype == "f4"


def test_results_are_told_from_missing():
    f = xr.DataArray(np.array([-1.0, -1, 1, 1]), dims="x", attrs={"_FillValue": 0.0})
    p = f.patch.split(geometry={"x": 2}, sampler=xpatch.RegularStride(1))
    q = p.copy(data=np.array([[-1.0, -1], [1.0, -1], [1.0, 0]]))
    got = q.patch.merge()
    assert got[1] != 0
    assert abs(got[1]) < 1e-300
    assert got[3] == 0
    assert (p.patch.merge("std") != 0).all()
    small = xr.DataArray(np.array([250, 5, 5], "u1"), dims="x", attrs={"_FillValue": 255})
    p = small.patch.split(geometry={"x": 2}, sampler=xpatch.RegularStride(1))
    assert list(p.patch.merge("sum").values) == [250, 10, 5]
    hit = p.copy(data=np.array([[250, 250], [5, 5]], "u1"))
    with pytest.raises(ValueError, match="sum to 255"):
        hit.patch.merge("sum")
    with pytest.raises(ValueError, match="sum to 255"):
        hit.chunk(patch=1).patch.merge("sum").compute()
    many = (p.astype("i8") + 2**53).assign_attrs(_FillValue=-1)
    with pytest.raises(ValueError, match="2\\*\\*53"):
        many.patch.merge("sum")


@pytest.mark.parametrize("chunks", [None, 2])
def test_fill_value_overrides(chunks):
    p = field().patch.split(**CUTS["boxes"]).isel(patch=[0, 1])
    q = p.copy(data=p.values)
    q.values[0] = -9999
    q = q.chunk(patch=chunks) if chunks else q
    for how in ("first", "mean", "sum"):
        got = q.patch.merge(how, fill_value=-5)
        assert (got[:, 0, 0] == -9999).all()
        assert (got[:, -1, -1] == -5).all()
    assert q.patch.merge("max", fill_value=-5).dtype == "i2"


# ------------------------------------------------------------------------------ made of others


@pytest.mark.parametrize("attrs", [{}, {"_FillValue": -9999.0}])
@pytest.mark.parametrize("chunks", [None, 1])
def test_fill_value_of_votes_and_variances(attrs, chunks):
    f = xr.DataArray(np.linspace(0.1, 0.8, 8), dims="x", attrs=attrs)
    p = f.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2)).isel(patch=[0, 1])
    p = p.chunk(patch=chunks) if chunks else p
    two = xr.concat([1 - p, p], "class")
    vote = two.patch.merge(xpatch.SoftVote(keep_probabilities=True), fill_value=9)
    assert list(vote.label.values) == [0, 0, 0, 0, 0, 1, 9, 9]
    assert list(vote.probability[1].values[-2:]) == [9, 9]
    np.testing.assert_allclose(vote.probability[1, :6], f[:6])
    both = xr.Dataset({"mean": p, "variance": p})
    merged = both.patch.merge("inv_var_weighted_mean", fill_value=-1)
    np.testing.assert_allclose(merged["mean"], [*f[:6], -1, -1])
    assert list(merged.variance.values[-2:]) == [-1, -1]


@pytest.mark.parametrize("chunks", [None, 4])
def test_votes_and_variances(chunks):
    f = field("f4", low=1).isel(time=0, drop=True)
    f[:, 4:9] = -9999
    cut = {"geometry": {"y": 4, "x": 4}, "sampler": xpatch.RegularStride(2)}
    p = (f.chunk(x=chunks) if chunks else f).patch.split(**cut)
    nan = p.where(p != -9999).drop_attrs(deep=False)
    ds = xr.Dataset({"mean": p, "variance": xr.where(p == -9999, p, 1 + p, keep_attrs=True)})
    law = xr.Dataset({"mean": nan, "variance": 1 + nan})
    got = ds.patch.merge(xpatch.InvVarWeightedMean())
    law = law.patch.merge(xpatch.InvVarWeightedMean())
    for name in ("mean", "variance"):
        assert got[name].attrs["_FillValue"] == -9999
        np.testing.assert_allclose(got[name], law[name].fillna(-9999), rtol=1e-5)
    few = p.isel(patch=slice(0, 12))
    two = xr.concat([few, xr.where(few == -9999, few, 25, keep_attrs=True)], "class")
    vote = two.patch.merge(xpatch.SoftVote(keep_probabilities=True))
    masked = two.where(two != -9999).drop_attrs(deep=False)
    law = masked.patch.merge(xpatch.SoftVote(keep_probabilities=True))
    np.testing.assert_array_equal(vote.label, law.label.fillna(-9999))
    np.testing.assert_allclose(vote.probability, law.probability.fillna(-9999))
    assert vote.label.dtype.kind == "i"
    assert vote.label.attrs["_FillValue"] == -9999
    zero = two.where(two != -9999, 0).assign_attrs(_FillValue=0)  # which is a class as well
    vote = zero.patch.merge("soft_vote")
    np.testing.assert_array_equal(vote, law.label)
    assert "_FillValue" not in vote.attrs


def test_models_that_are_fitted():
    from sklearn.linear_model import LinearRegression

    f = field("i2").isel(time=0, drop=True)
    f[:3] = -9999
    p = f.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(2))
    nan = p.where(p != -9999).drop_attrs(deep=False)
    for target in (None, f):
        law = nan.patch.merge(
            xpatch.Learned(
                LinearRegression(),
                target=None if target is None else f.where(f != -9999).drop_attrs(deep=False),
            )
        )
        got = p.patch.merge(xpatch.Learned(LinearRegression(), target=target))
        np.testing.assert_allclose(got, law.fillna(-9999))


@pytest.mark.parametrize("chunks", [None, {"time": 5}])
def test_time(chunks):
    f = field("i2")
    f[3:5] = -9999
    f[:, 2, 2] = -9999
    f = f.chunk(chunks) if chunks else f
    nan = f.where(f != -9999).drop_attrs(deep=False)
    horizons = xpatch.TimePatcher(xpatch.LookbackHorizon(4, 3), xpatch.RegularTimeStride(2))
    p, q = f.patch.split(horizons), nan.patch.split(horizons)
    for select in ("latest", "mean", "cube"):
        got, law = (x.patch.merge(xpatch.Forecast(select)) for x in (p, q))
        np.testing.assert_allclose(got, law.fillna(-9999))
        assert got.dtype == ("f8" if select == "mean" else "i2")
        assert got.attrs["_FillValue"] == -9999

    def step(state, patch):
        return state, patch

    got, law = (x.patch.merge(xpatch.Sequential(step)) for x in (p, q))
    np.testing.assert_allclose(got, law.fillna(-9999))
    months = xpatch.TimePatcher(xpatch.FixedLookback("1MS"), xpatch.RegularTimeStride(3))
    t = pd.date_range("2000-01-01", periods=100)
    s = xr.DataArray(np.arange(100, dtype="i2"), {"time": t}, ("time",), attrs={"_FillValue": -1})
    p = s.patch.split(months)
    assert p.dtype == "i2"
    assert (p == -1).any()
    assert p.patch.merge("last").dtype == "i2"
    both = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"y": 4, "x": 4}, xpatch.RegularStride(3)),
        xpatch.TimePatcher(xpatch.FixedLookback(5), xpatch.RegularTimeStride(3)),
    )
    for pair in (("first", "max"), ("mean", "last")):
        got, law = (x.patch.split(both).patch.merge(pair) for x in (f, nan))
        np.testing.assert_allclose(got, law.fillna(-9999))


def test_unequal_parts_of_windows_keep_integers():
    t = pd.date_range("2000-01-01", periods=100)
    s = xr.DataArray(np.arange(100, dtype="i2"), {"time": t}, ("time",), attrs={"_FillValue": -1})
    p = s.patch.split(
        xpatch.TimePatcher(xpatch.LookbackHorizon("1MS", 3), xpatch.RegularTimeStride(3))
    )
    past = p.patch.lookback
    assert past.dtype == "i2"
    nan = s.astype(float).drop_attrs(deep=False)
    q = nan.patch.split(
        xpatch.TimePatcher(xpatch.LookbackHorizon("1MS", 3), xpatch.RegularTimeStride(3))
    )
    np.testing.assert_array_equal(past, q.patch.lookback.fillna(-1))


@pytest.mark.parametrize("chunks", [None, {"time": 7}])
@pytest.mark.parametrize(
    "combine",
    ["mean", "stack", [1, 3], lambda s: s.sel(scale="2") - s.sel(scale="8")],
    ids=["mean", "stack", "weights", "function"],
)
def test_scales(chunks, combine):
    f = field("i2")
    f[3:6] = -9999
    f[:, 2, 2] = -9999
    f = f.chunk(chunks) if chunks else f
    nan = f.where(f != -9999).astype(float).drop_attrs(deep=False)
    patcher = xpatch.TimePatcher(xpatch.MultiScale([2, 8]), xpatch.RegularTimeStride(3))
    tree, law = f.patch.split(patcher), nan.patch.split(patcher)
    for node in ("2", "8"):
        got, expected = (next(iter(x[node].to_dataset().data_vars.values())) for x in (tree, law))
        np.testing.assert_allclose(got, expected.fillna(-9999))
    how = xpatch.HierarchicalCombine(combine=combine)
    got, expected = tree.patch.merge(how), law.patch.merge(how)
    np.testing.assert_allclose(got, expected if callable(combine) else expected.fillna(-9999))
    assert ("_FillValue" in got.attrs) != callable(combine)


# ------------------------------------------------------------------------------ split


@pytest.mark.parametrize("cut", ["boxes", "members", "joint", "time"])
@pytest.mark.parametrize(("dtype", "nodata"), [("i2", -9999), ("f4", -9999), ("i8", 2**62 + 1)])
@pytest.mark.parametrize("chunks", [None, {"y": 5, "time": 7}])
def test_analysis_windows_keep_nodata(cut, dtype, nodata, chunks):
    f = field(dtype, nodata, low=1)
    f[4:9, 2:6, 3:8] = nodata
    f = f.chunk(chunks) if chunks else f
    args = dict(CUTS[cut])
    if (patcher := args.pop("patcher", None)) is not None:
        if isinstance(patcher, xpatch.SpatioTemporalPatcher):
            space = dataclasses.replace(patcher.spatial, window=xpatch.Hann())
            args["patcher"] = dataclasses.replace(patcher, spatial=space)
        else:
            args["patcher"] = dataclasses.replace(patcher, window=xpatch.TaperedTukey(0.7))
    else:
        args["window"] = "hann"
    p, q = f.patch.split(**args), f.where(f != nodata).drop_attrs(deep=False).patch.split(**args)
    assert p.dtype == ("f4" if dtype == "f4" else "f8")
    np.testing.assert_allclose(p, q.fillna(float(nodata)), rtol=1e-6)
    got, law = p.patch.merge(), q.patch.merge()
    np.testing.assert_allclose(got, law.fillna(float(nodata)), rtol=1e-5)


@pytest.mark.parametrize("on", ["memory", "dask", "disk"])
def test_padding_with_nothing_keeps_integers(on, tmp_path):
    f = field().isel(time=0, drop=True)
    if on == "dask":
        f = f.chunk(y=4, x=5)
    elif on == "disk":
        f.to_netcdf(tmp_path / "f.nc")
        f = xr.open_dataset(tmp_path / "f.nc", mask_and_scale=False).v
    padded = xpatch.Rectangular(y=4, x=5, boundary="pad", pad_mode="constant")
    p = f.patch.split(geometry=padded, sampler=xpatch.RegularStride(y=2, x=3))
    p = p.sortby("patch")
    assert p.dtype == "i2"
    assert int(p[0, 0, 0]) == -9999
    law = (
        f.load()
        .drop_attrs(deep=False)
        .patch.split(geometry=padded, sampler=xpatch.RegularStride(y=2, x=3))
    )
    np.testing.assert_array_equal(p, law.fillna(-9999))
    np.testing.assert_array_equal(p.patch.merge("max"), f)
    given = xpatch.Rectangular(y=4, x=5, boundary="pad", pad_mode="constant", pad_value=7)
    assert int(f.patch.split(geometry=given, sampler=xpatch.RegularStride(2))[0, 0, 0]) == 7
    caps = f.rename(y="lat", x="lon").patch.split(geometry=xpatch.SphericalCap(250.0))
    assert caps.dtype == "i2"
    assert (caps == -9999).any()
    np.testing.assert_array_equal(caps.patch.merge("first"), f)


WHOLE_AXES = ["mean", "minimum", "maximum", "linear_ramp"]


@pytest.mark.parametrize(
    ("mode", "chunks"),
    [
        ("median", None),
        *((m, c) for m in WHOLE_AXES for c in (None, {"y": 4})),
    ],  # dask has no median
)
def test_padding_out_of_whole_axes(mode, chunks):
    f = field("f4").isel(time=0, drop=True)
    f[0, 3:6] = -9999
    f = f.chunk(chunks) if chunks else f
    padded = xpatch.Rectangular(y=4, x=5, boundary="pad", pad_mode=mode)
    p, q = (
        x.patch.split(geometry=padded, sampler=xpatch.RegularStride(2))
        for x in (f, f.where(f != -9999).drop_attrs(deep=False))
    )
    np.testing.assert_allclose(p, q.fillna(-9999), rtol=1e-6)


@pytest.mark.parametrize("on", ["memory", "dask", "disk"])
def test_valid(on, tmp_path):
    f = xr.Dataset(
        {
            "a": field("i2").isel(time=0, drop=True),
            "b": field("f4", -1.0, low=5).isel(time=0, drop=True),
        }
    )
    f.a[:, :4] = -9999
    f.b[6:] = -1.0
    if on == "dask":
        f = f.chunk(y=4)
    if on == "disk":
        f.to_netcdf(tmp_path / "f.nc")
        f = xr.open_dataset(tmp_path / "f.nc", mask_and_scale=False)
    law = (
        xr.Dataset({"a": f.a.where(f.a != -9999), "b": f.b.where(f.b != -1)})
        .load()
        .drop_attrs(deep=False)
    )
    for geometry, sampler in (
        ({"y": 2, "x": 2}, xpatch.RegularStride(1)),
        (xpatch.KNNGraph(4), xpatch.EveryElement()),
    ):
        for name in ("a", "b", ["a", "b"]):
            p, q = (
                x[name].patch.split(geometry=geometry, sampler=xpatch.Valid(sampler, 0.5))
                for x in (f, law)
            )
            assert p.sizes["patch"] == q.sizes["patch"]
            np.testing.assert_array_equal(
                p["y" if "y" in p.coords else "cell"], q["y" if "y" in q.coords else "cell"]
            )


@pytest.mark.parametrize("on_error", ["nan", "skip"])
@pytest.mark.parametrize("chunks", [None, {"y": 5, "x": 6}])
@pytest.mark.filterwarnings("ignore::xpatch.PatchFailure")
def test_apply(on_error, chunks):
    f = field(low=1).isel(time=0, drop=True)
    f[0:2, 0:3] = -9999
    f = f.chunk(chunks) if chunks else f

    def model(p):
        if (p == 7).any():
            raise ValueError("seven")
        return p

    cut = {"geometry": {"y": 2, "x": 3}, "sampler": xpatch.RegularStride(1)}
    for how in ("first", "mean"):
        got = f.patch.apply(model, **cut, aggregation=how, on_error=on_error)
        law = (
            f.where(f != -9999)
            .drop_attrs(deep=False)
            .patch.apply(model, **cut, aggregation=how, on_error=on_error)
        )
        assert got.dtype == ("i2" if how == "first" else "f8")
        np.testing.assert_allclose(got, law.fillna(-9999), rtol=1e-6)


def test_what_is_carried_may_be_missing_in_some_patches():
    f = field().isel(time=0, drop=True)
    ds = xr.Dataset({"a": f, "names": ("band", np.array([1, 2, 3], "i2"), {"_FillValue": -9999})})
    p = ds.patch.split(**CUTS["boxes"])
    many = p.names.expand_dims(patch=p.sizes["patch"]).copy()
    many[::2] = -9999
    for chunk in ({}, {"patch": 3}):
        q = p.assign(names=many.chunk(chunk) if chunk else many)
        np.testing.assert_array_equal(q.patch.merge("first").names, [1, 2, 3])


def test_comparisons_have_no_numbers_that_are_missing():
    numbers = np.arange(144, dtype="u1").reshape(12, 12)
    f = xr.DataArray(numbers, dims=("y", "x"), attrs={"_FillValue": 0, "units": "m"})
    truth = f.patch.split({"y": 4, "x": 4}, sampler=xpatch.RegularStride(2)) > 50
    truth.attrs = f.attrs  # which xarray keeps, or not
    merged = truth.patch.merge("mean")
    np.testing.assert_array_equal(merged, f > 50)
    assert merged.attrs == {"units": "m"}
    assert truth.patch.merge("first").attrs == f.attrs  # bool again, of which it says nothing


def test_files_of_rasters(tmp_path):
    rioxarray = pytest.importorskip("rioxarray")
    f = field("f4").isel(time=0, drop=True).rename("band")
    f[:, :5] = -9999
    f.drop_attrs(deep=False).rio.write_crs(32633).rio.write_nodata(-9999).rio.to_raster(
        tmp_path / "f.tif"
    )
    g = rioxarray.open_rasterio(tmp_path / "f.tif").squeeze("band", drop=True)
    p = g.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(2))
    some = p.isel(patch=slice(0, 9)).patch.merge(xpatch.OverlapAdd("hann"))
    some.rio.to_raster(tmp_path / "m.tif")
    back = rioxarray.open_rasterio(tmp_path / "m.tif", masked=True).squeeze("band", drop=True)
    np.testing.assert_allclose(back.fillna(-9999), some)
    whole = p.patch.merge()
    np.testing.assert_allclose(whole, g)
    mean = field("i2").isel(time=0).patch.split(**CUTS["boxes"]).isel(patch=[3]).patch.merge("mean")
    mean.to_netcdf(tmp_path / "m.nc")
    assert xr.open_dataset(tmp_path / "m.nc").v.isnull().sum() == 100


@pytest.mark.parametrize("dtype", ["f4", "i2"])
@pytest.mark.parametrize("chunks", [{}, {"x": 4}])
def test_nan_that_is_asked_for_is_nan(dtype, chunks):
    f = xr.DataArray(np.arange(10).astype(dtype), {"x": np.arange(10)}, attrs={"_FillValue": -9})
    tiles = xpatch.Rectangular(x=4, boundary="drop")
    p = f.chunk(chunks).patch.split(tiles).isel(patch=[0])
    assert (p.patch.merge()[4:] == -9).all()
    merged = p.patch.merge(fill_value=np.nan)
    np.testing.assert_array_equal(merged, [0, 1, 2, 3] + [np.nan] * 6)
    assert merged.dtype == "f4"
    same = f.patch.apply(lambda b: b, geometry=tiles, fill_value=np.nan)
    np.testing.assert_array_equal(same, [0, 1, 2, 3, 4, 5, 6, 7, np.nan, np.nan])
