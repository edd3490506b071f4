"""Windows by name, arrays of weights, overlaps in percent, and votes and variances with a window."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import scipy.signal
import xarray as xr

import xpatch
from xpatch import InvVarWeightedMean, OverlapAdd, Patcher, Random, RegularStride, SoftVote
from xpatch.patches.index import patch_index

RNG = np.random.default_rng(0)
FIELD = xr.DataArray(RNG.random((30, 40)), dims=("y", "x"))
ROUND = np.exp(-np.hypot(*np.mgrid[-1:1:18j, -1:1:20j]))  # no product
HOLED = np.where(np.hypot(*np.mgrid[-1:1:18j, -1:1:20j]) > 1.2, 0, ROUND)
SIZE = {"x": 20, "y": 18}
SAMPLERS = [RegularStride(overlap=8), Random(25, seed=1)]


def patches_of(field=FIELD, sampler=SAMPLERS[0], seed=2, missing=0.0, **kwargs):
    """Patches that disagree, some of them with missing values."""
    patches = field.patch.split(geometry=SIZE, sampler=sampler, **kwargs)
    rng = np.random.default_rng(seed)
    noise = rng.random(patches.shape)
    return (patches + noise).where(rng.random(patches.shape) >= missing)


def by_hand(patches, weights, mass=None, skipna=True, shape=(30, 40)):
    """Weighted overlap-add, patch by patch."""
    mass = weights if mass is None else mass
    (plan,) = patch_index(patches).plans
    total, below = np.zeros(shape), np.zeros(shape)
    starts = plan.boxes.starts(patches["patch"].values)
    for values, (y, x) in zip(patches.values, starts, strict=True):
        inside = np.s_[y : y + weights.shape[0], x : x + weights.shape[1]]
        there = (mass > 0) & (~np.isnan(values) | (not skipna))
        total[inside] += np.where(there, weights * values, 0)
        below[inside] += np.where(there, mass, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, total / below, np.nan)


# ------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("n", [1, 2, 5, 16, 255])
@pytest.mark.parametrize("name", ["hamming", "blackman"])
def test_named_windows_are_those_of_scipy_at_half_samples(name, n):
    offset = (2 * np.arange(n) + 1 - n) / n
    own = OverlapAdd(name).window.profile(offset)
    np.testing.assert_allclose(
        own, scipy.signal.get_window(name, 2 * n + 1, fftbins=False)[1::2], atol=1e-14
    )
    assert (own > 0).all()


def test_weights_of_blackman_never_vanish():
    n = 1 << 20
    assert (xpatch.Blackman().profile((2 * np.arange(n) + 1 - n) / n) > 0).all()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (("tukey", 0.25), xpatch.Tukey(0.25)),
        (["Tukey", 0.25], xpatch.Tukey(0.25)),
        (("gaussian", 0.3), xpatch.Gaussian(0.3)),
        (("gaussian", 300.0, "distance"), xpatch.Gaussian(300.0, "distance")),
        (("boxcar", 2), xpatch.Boxcar(2)),
        (("hann",), xpatch.Hann()),
        ("gaussian", xpatch.Gaussian(0.25)),
        ("hamming", xpatch.Hamming()),
        (np.str_("hann"), xpatch.Hann()),
        (np.ones((2, 3)), xpatch.WeightMap(np.ones((2, 3)))),
    ],
)
def test_windows_are_taken_by_name_wherever_one_is_taken(given, meant):
    assert OverlapAdd(given).window == meant
    assert SoftVote(window=given).window == meant
    assert InvVarWeightedMean(window=given).window == meant
    assert xpatch.WeightedSum(given).synthesis == meant
    assert xpatch.TemporalMean(given).window == meant
    assert xpatch.Forecast("mean", window=given).window == meant
    assert Patcher({"x": 4}, window=given).window == meant


def test_gaussian_by_name_is_that_of_monai():
    """Its sigma is an eighth of the size."""
    n = 64
    cells = np.arange(n) - (n - 1) / 2
    patches = FIELD[0].patch.split(geometry={"x": 16}, window="gaussian")
    eighth = np.exp(-0.5 * ((np.arange(16) - 7.5) / 2) ** 2)
    np.testing.assert_allclose(patches.patch.weights[0], eighth)
    own = OverlapAdd("gaussian").window.profile(2 * cells / n)
    np.testing.assert_allclose(own, np.exp(-0.5 * (cells / (n / 8)) ** 2))


def test_pairs_of_windows_in_space_and_time_are_no_names_with_parameters():
    cube = xr.DataArray(
        np.ones((9, 8)),
        {"time": np.arange("2020-01-01", "2020-01-10", dtype="M8[D]")},
        ("time", "x"),
    )
    cut = {"geometry": [{"x": 4}, xpatch.FixedLookback(3)]}
    both = cube.patch.split(window=[("tukey", 0.25), None], **cut)
    tukey = xpatch.Tukey(0.25).profile(np.array([-0.75, -0.25, 0.25, 0.75]))
    np.testing.assert_allclose(both.patch.weights.isel(patch=0, time=0), tukey)
    xr.testing.assert_allclose(both.patch.merge(), cube)
    for one in (("tukey", 0.25), "hann", np.ones((2, 4))):
        with pytest.raises(TypeError, match=r"window of two geometries is a pair"):
            cube.patch.split(window=one, **cut)
    with pytest.raises(TypeError, match=r"a pair of windows.*two geometries"):
        cube.patch.split(geometry={"x": 4}, window=("hann", "hann"))


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (("tuckey", 0.25), ValueError, r"unknown window 'tuckey'; known are \['blackman'"),
        (("hann", 0.25), ValueError, r"'hann' has no parameter, got \('hann', 0.25\)"),
        (("tukey", 0.25, 3), ValueError, "'tukey' takes alpha"),
        (("tukey", "a"), TypeError, "Tukey alpha must be a number"),
        (("tukey", 1.5), ValueError, "Tukey alpha must lie between 0 and 1"),
        ((0.25, "tukey"), TypeError, "must be a name or an object of Window"),
        (np.array(0.5), ValueError, "shape of a patch, got an array of shape"),
        (np.zeros((3, 3)), ValueError, "not all 0"),
        (np.array([1.0, np.nan]), ValueError, "finite"),
        (np.array([1.0, -1.0]), ValueError, "≥ 0"),
        (np.array(["a"]), TypeError, "real numbers"),
        (np.array([1j]), TypeError, "real numbers"),
    ],
)
def test_what_is_no_window(given, error, text):
    with pytest.raises(error, match=text):
        OverlapAdd(given)


# ----------------------------------------------------------------------------- arrays of weights


@pytest.mark.parametrize("weights", [ROUND, HOLED], ids=["round", "holed"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=["grid", "random"])
@pytest.mark.parametrize("chunks", [None, {"y": 15, "x": 20}])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_weights_of_the_shape_of_a_patch(weights, sampler, chunks, missing):
    field = FIELD if chunks is None else FIELD.chunk(chunks)
    patches = patches_of(field, sampler, missing=missing)
    merged = patches.patch.merge(OverlapAdd(weights))
    np.testing.assert_allclose(merged, by_hand(patches, weights), rtol=1e-12)
    named = xr.DataArray(weights.T, dims=("x", "y"))
    xr.testing.assert_identical(patches.patch.merge(OverlapAdd(named)).compute(), merged.compute())
    strict = patches.patch.merge(OverlapAdd(weights), skipna=False)
    np.testing.assert_allclose(strict, by_hand(patches, weights, skipna=False), rtol=1e-12)
    covered = ~np.isnan(by_hand(patches.fillna(0), weights))
    filled = patches.patch.merge(OverlapAdd(weights), fill_value=-1)
    np.testing.assert_array_equal(filled, merged.where(covered, -1))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["grid", "random"])
@pytest.mark.parametrize("chunks", [None, {"y": 15, "x": 20}])
def test_an_array_as_analysis_window(sampler, chunks):
    field = FIELD if chunks is None else FIELD.chunk(chunks)
    tapered = field.patch.split(geometry=SIZE, sampler=sampler, window=HOLED)
    plain = field.patch.split(geometry=SIZE, sampler=sampler)
    np.testing.assert_allclose(tapered, plain * HOLED)
    np.testing.assert_allclose(tapered.patch.weights, np.broadcast_to(HOLED, plain.shape))
    covered = ~np.isnan(by_hand(plain, HOLED))
    for synthesis in (None, "hann", ROUND):
        merged = tapered.patch.merge(OverlapAdd(synthesis))
        np.testing.assert_allclose(merged, FIELD.where(covered), rtol=1e-12)
    changed = field.patch.split(geometry=SIZE, sampler=sampler, window=ROUND) + 1
    both = by_hand(changed, HOLED, ROUND * HOLED)
    np.testing.assert_allclose(changed.patch.merge(OverlapAdd(HOLED)), both, rtol=1e-12)


def test_a_product_of_profiles_as_an_array_is_the_window():
    hann = xpatch.Hann()
    y, x = (hann.profile((2 * np.arange(n) + 1 - n) / n) for n in (18, 20))
    patches = patches_of(missing=0.1)
    xr.testing.assert_allclose(
        patches.patch.merge(OverlapAdd(np.outer(y, x))), patches.patch.merge(OverlapAdd("hann"))
    )
    rows = xr.DataArray(y, dims="y")  # alike along x
    alike = patches.patch.merge(OverlapAdd(rows))
    np.testing.assert_allclose(alike, by_hand(patches, np.outer(y, np.ones(20))))


@pytest.mark.parametrize("boundary", ["wrap", "pad", "drop"])
@pytest.mark.parametrize("chunks", [None, {"y": 15, "x": 20}])
def test_arrays_at_boundaries_with_bands(boundary, chunks):
    bands = xr.concat([FIELD, 2 * FIELD], "band").astype("f4")
    bands = bands if chunks is None else bands.chunk(chunks)
    geometry = xpatch.Rectangular(**SIZE, boundary=boundary)
    patches = bands.patch.split(geometry=geometry, sampler=RegularStride(10))
    merged = patches.patch.merge(OverlapAdd(ROUND))
    assert merged.dtype == np.float32
    assert merged.dims == bands.dims
    known = merged.notnull().compute()
    assert known.all() or boundary == "drop"
    xr.testing.assert_allclose(merged, bands.where(known), rtol=1e-5)


def test_few_cells_and_few_patches():
    small = np.arange(1.0, 13).reshape(3, 4)
    patches = FIELD.patch.split(geometry={"y": 3, "x": 4}, sampler=Random(300, seed=0))
    patches = patches + np.random.default_rng(1).random(patches.shape)
    np.testing.assert_allclose(patches.patch.merge(OverlapAdd(small)), by_hand(patches, small))
    some = patches_of().isel(patch=[5, 0, 3, 3])
    np.testing.assert_allclose(some.patch.merge(OverlapAdd(ROUND)), by_hand(some, ROUND))


def test_arrays_on_what_a_model_cropped_or_refined():
    patches = patches_of()
    inner = ROUND[2:-3, 4:-1]
    cropped = patches.patch.crop(y=(2, 3), x=(4, 1))
    rim = np.zeros_like(ROUND)
    rim[2:-3, 4:-1] = inner
    expected = by_hand(patches, rim)
    for weights in (inner, ROUND):
        np.testing.assert_allclose(cropped.patch.merge(OverlapAdd(weights)), expected)
    finer = patches.values.repeat(2, 1).repeat(2, 2)
    twice = xr.DataArray(finer, {"patch": patches["patch"]}, ("patch", "y", "x"))
    merged = twice.patch.merge(OverlapAdd(ROUND), scale=2)
    np.testing.assert_allclose(merged[::2, 1::2], by_hand(patches, ROUND))
    again = twice.patch.merge(OverlapAdd(ROUND.repeat(2, 0).repeat(2, 1)), scale=2)
    xr.testing.assert_allclose(again, merged)


def test_arrays_do_not_depend_on_numbers_that_stand_for_missing():
    whole = xr.DataArray(np.arange(1200).reshape(30, 40).astype("i2"), dims=("y", "x"))
    whole[3:9, 4:20] = -99
    marked = whole.assign_attrs(_FillValue=-99)
    cut = {"geometry": SIZE, "sampler": RegularStride(5)}
    merged = marked.patch.split(**cut).patch.merge(OverlapAdd(ROUND))
    np.testing.assert_allclose(merged, marked, rtol=1e-6)
    dates = xr.DataArray(np.full((30, 40), "2020-01-01", "M8[ns]"), dims=("y", "x"))
    with pytest.raises(TypeError, match="cannot be averaged"):
        dates.patch.split(**cut).patch.merge(OverlapAdd(ROUND))
    waves = (FIELD + 1j * FIELD).patch.split(**cut)
    xr.testing.assert_allclose(waves.patch.merge(OverlapAdd(ROUND)), FIELD + 1j * FIELD)


def test_arrays_of_a_wrong_shape_say_which_is_right():
    patches = patches_of()
    for bad in (ROUND.T, ROUND[:-1], ROUND[None]):
        with pytest.raises(ValueError, match=r"do not fit patches of \{'y': 18, 'x': 20\}"):
            patches.patch.merge(OverlapAdd(bad))
        with pytest.raises(ValueError, match=r"give an array of shape \(18, 20\)"):
            FIELD.chunk().patch.split(geometry=SIZE, window=bad)
    with pytest.raises(ValueError, match=r"shape \{'z': 20\}"):
        patches.patch.merge(OverlapAdd(xr.DataArray(np.ones(20), dims="z")))


def test_lists_of_members_have_no_shape():
    stations = xr.DataArray(
        np.arange(9.0), {"lon": ("obs", np.arange(9.0)), "lat": ("obs", np.zeros(9))}, ("obs",)
    )
    patches = stations.patch.split(geometry=xpatch.KNNGraph(3))
    for how in (OverlapAdd(np.ones(3)), SoftVote(window=np.ones(3))):
        with pytest.raises(ValueError, match=r"lists of members along 'obs' have no\s+shape"):
            patches.patch.merge(how)


def test_windows_in_time_take_arrays_beside_those_of_space():
    time = np.arange("2020-01-01", "2020-01-13", dtype="M8[D]")
    cube = xr.DataArray(RNG.random((12, 8, 8)), {"time": time}, ("time", "y", "x"))
    space = np.exp(-np.hypot(*np.mgrid[-1:1:4j, -1:1:4j]))
    cut = {
        "geometry": [{"y": 4, "x": 4}, xpatch.FixedLookback(3)],
        "sampler": [RegularStride(2), None],
    }
    both = cube.patch.split(window=[space, np.array([1.0, 2, 4])], **cut)
    first = both.patch.weights.isel(patch=0).transpose("time", "y", "x")
    np.testing.assert_allclose(first, np.array([1, 2, 4])[:, None, None] * space)
    xr.testing.assert_allclose(both.patch.merge(), cube)
    plain = cube.patch.split(**cut)
    named = xr.DataArray(space, dims=("y", "x"))
    xr.testing.assert_allclose(plain.patch.merge(OverlapAdd(named)), cube)
    for unnamed in (space, np.ones((3, 4, 4)), np.ones((4, 4, 3))):
        with pytest.raises(ValueError, match=r"name them: xr.DataArray\(weights, dims="):
            plain.patch.merge(OverlapAdd(unnamed))


def test_what_is_lazy_tells_arrays_apart():
    patches = patches_of(FIELD.chunk(y=15))
    one, other = (patches.patch.merge(OverlapAdd(w)) for w in (ROUND, HOLED))
    assert one.data.name == patches.patch.merge(OverlapAdd(ROUND.copy())).data.name
    assert one.data.name != other.data.name


@pytest.mark.parametrize("chunks", [None, {"y": 15}])
def test_apply_takes_arrays_and_votes_keep_dtypes(chunks):
    field = FIELD if chunks is None else FIELD.chunk(chunks)
    cut = {"geometry": SIZE, "sampler": RegularStride(overlap="50%")}
    same = field.patch.apply(lambda p: p + 0, **cut, window=HOLED, aggregation=OverlapAdd(ROUND))
    xr.testing.assert_allclose(same, FIELD.where(same.notnull()))

    def model(patches):
        several = xr.concat([patches, 1 - patches], "class").transpose("patch", "class", ...)
        return several.assign_coords({"class": CLASSES["u1"][:2]})

    voted = field.patch.apply(model, **cut, aggregation=SoftVote(window=ROUND))
    assert voted.dtype == np.uint8
    np.testing.assert_array_equal(voted, np.where(FIELD >= 0.5, 3, 7))


def test_what_a_model_reduced_paints_with_the_array():
    patches = FIELD.patch.split(geometry=SIZE, sampler=SAMPLERS[0])
    scores = patches.mean(("y", "x"))
    painted = patches.copy(data=np.broadcast_to(scores.values[:, None, None], patches.shape))
    merged = scores.patch.merge(OverlapAdd(ROUND))
    np.testing.assert_allclose(merged, by_hand(painted, ROUND))
    tapered = FIELD.patch.split(geometry=SIZE, sampler=SAMPLERS[0], window=ROUND)
    alike = tapered.mean(("y", "x")) * 0 + 3
    np.testing.assert_allclose(alike.patch.merge(), 3)


def test_weight_maps_are_values():
    one, same = xpatch.WeightMap(ROUND), xpatch.WeightMap(ROUND.copy())
    assert one == same
    assert hash(one) == hash(same)
    assert one != xpatch.WeightMap(HOLED)
    assert one != xpatch.WeightMap(ROUND, dims=("y", "x"))
    assert one != xpatch.Hann()
    assert OverlapAdd(ROUND) == OverlapAdd(ROUND.copy()) != OverlapAdd(HOLED)
    assert repr(OverlapAdd(ROUND)) == "OverlapAdd(window=WeightMap(<ndarray (18, 20)>))"
    assert pickle.loads(pickle.dumps(one)) == one
    given = ROUND.copy()
    kept = xpatch.WeightMap(given)
    given[:] = 7
    assert kept == one


def test_arrays_survive_files(tmp_path):
    patcher = Patcher(
        SIZE, RegularStride(overlap="50%"), window=ROUND, aggregation=OverlapAdd(HOLED)
    )
    patches = FIELD.rename("a").patch.split(patcher)
    spec = json.loads(json.dumps(patches.patch.spec))
    assert Patcher.from_spec(spec) == patcher
    patches.to_dataset().to_zarr(tmp_path / "p.zarr")
    back = xr.open_zarr(tmp_path / "p.zarr")["a"]
    np.testing.assert_array_equal(back.patch.merge(), patches.patch.merge())
    large = Patcher({"x": 600, "y": 600}, window=np.ones((600, 600)))
    with pytest.raises(ValueError, match="'weights' that cannot be written"):
        Patcher.from_spec(json.loads(json.dumps(large.to_dict())))


# -------------------------------------------------------------------------------------- overlap


@pytest.mark.parametrize(
    ("size", "overlap", "step"),
    [
        (8, "50%", 4),
        (5, "50%", 3),
        (64, "25 %", 48),
        (8, "0%", 8),
        (1000, "1.1%", 989),
        (10, "99%", 1),
    ],
)
def test_overlap_in_percent_of_the_size(size, overlap, step):
    field = xr.DataArray(np.zeros(4 * size), dims="x")
    geometry = xpatch.Rectangular(x=size, boundary="drop")
    patches = field.patch.split(geometry=geometry, sampler=RegularStride(overlap=overlap))
    starts = patch_index(patches).plans[0].boxes.starts(patches["patch"].values)[:, 0]
    assert set(np.diff(starts)) == {step}


def test_overlap_in_percent_by_dimension():
    sampler = RegularStride(overlap={"y": "50%", "x": 5})
    patches = FIELD.patch.split(geometry={"y": 10, "x": 20}, sampler=sampler)
    starts = patch_index(patches).plans[0].boxes.starts(patches["patch"].values)
    assert set(starts[:, 0]) == {0, 5, 10, 15, 20}
    assert set(starts[:, 1]) == {0, 15, 20}
    assert Patcher.from_spec(patches.patch.spec).sampler == sampler


@pytest.mark.parametrize("bad", ["100%", "150%", "-5%", "half", "0.5", "%", "nan%"])
def test_overlap_in_text_is_a_share_below_one(bad):
    for overlap in (bad, {"x": bad}, ("10%", bad)):
        with pytest.raises(ValueError, match=r"from '0%' to below '100%'"):
            RegularStride(overlap=overlap)


@pytest.mark.parametrize("coord", [None, np.arange(40) * 10.0, np.arange(40) ** 2.0])
def test_an_overlap_of_one_half_says_how_a_share_is_written(coord):
    field = FIELD[0] if coord is None else FIELD[0].assign_coords(x=coord)
    with pytest.raises(ValueError, match=r"RegularStride\(overlap='50%'\)"):
        field.patch.split(geometry={"x": 8}, sampler=RegularStride(overlap=0.5))


# ---------------------------------------------------------------------------------------- votes

CLASSES = {
    "u1": np.array([3, 7, 200], "u1"),
    "i2": np.array([-1, 2, 3], "i2"),
    "text": np.array(["a", "bbb", "cc"]),
    "date": np.array(["2020", "2021", "2022"], "M8[ns]"),
    "bool": np.array([False, True]),
    "f4": np.array([0.5, 1, 2], "f4"),
    "none": None,
}


def probabilities(name, chunks=None, **kwargs):
    field = FIELD if chunks is None else FIELD.chunk(y=15, x=20)
    p = patches_of(field, **kwargs) / 2
    several = [p, 1 - p, p * 0 + 0.55][: 2 if name == "bool" else 3]
    out = xr.concat(several, "class").transpose("patch", "class", ...)
    return out if CLASSES[name] is None else out.assign_coords({"class": CLASSES[name]})


@pytest.mark.parametrize("window", [None, ("tukey", 0.25), ROUND], ids=["none", "tukey", "map"])
@pytest.mark.parametrize("chunks", [None, "dask"])
@pytest.mark.parametrize("name", CLASSES)
def test_votes_keep_the_dtype_of_the_classes(name, chunks, window):
    given = probabilities(name, chunks)
    asked = SoftVote(window=window, keep_probabilities=True)
    voted = given.patch.merge(asked)
    names = np.arange(3) if CLASSES[name] is None else CLASSES[name]
    assert voted["label"].dtype == names.dtype
    assert given.patch.merge(SoftVote(window=window)).dtype == names.dtype
    weights = np.ones((18, 20))
    if window is not None:
        weights = ROUND
    if isinstance(window, tuple):
        y, x = (xpatch.Tukey(0.25).profile((2 * np.arange(n) + 1 - n) / n) for n in (18, 20))
        weights = np.outer(y, x)
    means = np.stack([by_hand(given.isel({"class": k}), weights) for k in range(len(names))])
    np.testing.assert_allclose(voted["probability"].transpose("class", "y", "x"), means)
    np.testing.assert_array_equal(voted["label"], names[means.argmax(0)])


@pytest.mark.parametrize("name", CLASSES)
def test_uncovered_cells_of_votes_are_the_same_in_memory_and_on_dask(name):
    found = []
    for chunks in (None, "dask"):
        some = probabilities(name, chunks)
        some = some.isel(patch=some["patch"] < 2)
        found.append(some.patch.merge("soft_vote").compute())
    xr.testing.assert_identical(*found)
    assert found[0].dtype == found[1].dtype
    wanted = {"u1": "f4", "i2": "f4", "text": "O", "bool": "f8", "none": "f8"}
    assert found[0].dtype == wanted.get(name, getattr(CLASSES[name], "dtype", None))
    assert found[0].isnull().any()


@pytest.mark.parametrize("chunks", [None, "dask"])
def test_a_fill_value_of_that_dtype_keeps_it(chunks):
    for name, fill in (("u1", 255), ("text", "none"), ("date", np.datetime64("1900-01-01", "ns"))):
        some = probabilities(name, chunks)
        some = some.isel(patch=some["patch"] < 2)
        voted = some.patch.merge("soft_vote", fill_value=fill)
        assert voted.dtype.kind == CLASSES[name].dtype.kind
        assert voted.values[-1, -1] == fill
        assert set(np.unique(voted)) <= {*CLASSES[name], fill}


def test_missing_probabilities_of_dask_are_no_class():
    """What cannot be known before the values are computed is never written as a class."""
    for chunks in (None, "dask"):
        given = probabilities("u1", chunks)
        given = given.where(given["patch"] != 0)
        filled = given.patch.merge("soft_vote", fill_value=255)
        assert filled.dtype == np.uint8
        floats = given.patch.merge("soft_vote", fill_value=np.nan)
        assert floats.dtype == np.float32
        xr.testing.assert_equal(floats.fillna(255), filled.astype("f4"))
        assert floats.isnull().any()
    with pytest.raises(ValueError, match=r"missing probabilities.*uint8.*fill_value="):
        given.patch.merge("soft_vote").compute()


def test_votes_of_datasets_keep_dtypes_on_dask():
    ds = xr.Dataset(
        {"a": probabilities("u1", "dask"), "b": 1 - probabilities("u1", "dask", seed=4)}
    )
    voted = ds.patch.merge(SoftVote(keep_probabilities=True))
    assert (voted["a"].dtype, voted["b"].dtype) == (np.uint8, np.uint8)
    assert {"a_probability", "b_probability"} <= set(voted.data_vars)


# ----------------------------------------------------------------------------- inverse variance


@pytest.mark.parametrize(
    "window", ["hann", ROUND, HOLED, None], ids=["hann", "map", "holed", "none"]
)
@pytest.mark.parametrize("chunks", [None, "dask"])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_inverse_variances_times_a_window(window, chunks, missing):
    field = FIELD if chunks is None else FIELD.chunk(y=15, x=20)
    mean, variance = (
        patches_of(field, missing=missing),
        patches_of(field, seed=5, missing=missing) + 0.1,
    )
    y, x = (xpatch.Hann().profile((2 * np.arange(n) + 1 - n) / n) for n in (18, 20))
    weights = {"NoneType": np.ones((18, 20)), "str": np.outer(y, x)}.get(
        type(window).__name__, window
    )
    got = xr.Dataset({"mean": mean, "variance": variance}).patch.merge(
        InvVarWeightedMean(window=window)
    )
    sums = np.zeros((3, 30, 40))
    (plan,) = patch_index(mean).plans
    starts = plan.boxes.starts(mean["patch"].values)
    for m, v, (a, b) in zip(mean.values, variance.values, starts, strict=True):
        w = np.where(np.isnan(m + v), 0, weights)
        each = [w * m / v, w / v, w**2 / v]
        sums[:, a : a + 18, b : b + 20] += np.where(w > 0, each, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        np.testing.assert_allclose(got["mean"], sums[0] / sums[1], rtol=1e-10)
        np.testing.assert_allclose(got["variance"], sums[2] / sums[1] ** 2, rtol=1e-10)


def test_inverse_variances_of_members_times_a_window():
    rng = np.random.default_rng(3)
    stations = xr.DataArray(
        rng.random(12), {"lon": ("obs", rng.random(12)), "lat": ("obs", rng.random(12))}, ("obs",)
    )
    mean = stations.patch.split(geometry=xpatch.KNNGraph(4))
    mean = mean + rng.random(mean.shape)
    variance = mean * 0 + rng.random(mean.shape) + 0.1
    weights = stations.patch.split(geometry=xpatch.KNNGraph(4), window="hann").patch.weights.values
    got = xr.Dataset({"mean": mean, "variance": variance}).patch.merge(
        InvVarWeightedMean(window="hann")
    )
    (part,) = patch_index(mean).plans[0].lists
    cells = part.padded(part.elements, -1)
    for k in range(12):
        w, m, v = (a[cells == k] for a in (weights, mean.values, variance.values))
        np.testing.assert_allclose(got["mean"][k], (w * m / v).sum() / (w / v).sum())
        np.testing.assert_allclose(got["variance"][k], (w**2 / v).sum() / (w / v).sum() ** 2)
