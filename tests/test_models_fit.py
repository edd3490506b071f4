"""Fits against loops of NumPy and scikit-learn: one a patch, one a place or a window, one for all."""

from __future__ import annotations

import threading
import warnings

import dask
import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDRegressor

import xpatch

LS = xpatch.LeastSquares()
BOXES = {"geometry": {"y": 6, "x": 5}, "sampler": xpatch.RegularStride(3)}


def field(missing=0.1, times=3, n=14, seed=0, dtype="f8"):
    """A Dataset of t(time, y, x), which depends on g(time, y, x) and on elev(y, x)."""
    rng = np.random.default_rng(seed)
    coords = {"time": np.arange(times), "y": np.arange(n) * 2.0, "x": np.arange(n + 2) * 1.0}
    g = rng.normal(3, 2, (times, n, n + 2))
    elev = rng.normal(500, 90, (n, n + 2))
    slope = 1 + np.arange(n)[:, None] / n
    t = 4 + slope * g - 0.01 * elev + rng.normal(size=g.shape)
    t[rng.random(t.shape) < missing] = np.nan
    g[rng.random(g.shape) < missing / 2] = np.nan
    data = {"t": (("time", "y", "x"), t.astype(dtype)), "g": (("time", "y", "x"), g.astype(dtype))}
    return xr.Dataset(data | {"elev": (("y", "x"), elev)}, coords)


def matrices(patches, k, x=("g", "elev"), weights=None):
    """Give X with a column of ones, y and the weights of some patches; only what is complete."""
    own = patches.isel(patch=np.atleast_1d(k))
    first, *rest = xr.broadcast(own["t"], *(own[n] for n in x))
    table = np.stack([v.transpose(*first.dims).values.ravel() for v in (first, *rest)], -1)
    w = np.ones(first.shape) if weights is None else weights.isel(patch=np.atleast_1d(k))
    w = np.broadcast_to(w if weights is None else w.broadcast_like(first), first.shape).ravel()
    ok = np.isfinite(table).all(1) & (w > 0)
    return np.column_stack([np.ones(ok.sum()), table[ok, 1:]]), table[ok, 0], w[ok]


def coverage(patches):
    """Count, for each cell of each patch, how many patches have it."""
    y, x = (np.searchsorted(np.unique(patches[d]), patches[d]) for d in "yx")
    count = np.zeros((y.max() + 1, x.max() + 1))
    for k in range(patches.sizes["patch"]):
        count[np.ix_(y[k], x[k])] += 1
    own = np.stack([count[np.ix_(y[k], x[k])] for k in range(patches.sizes["patch"])])
    return xr.DataArray(own, {"patch": patches["patch"]}, ("patch", "y", "x"))


# ----------------------------------------------------------------------------- least squares


def test_each_patch_has_its_own_regression():
    patches = field().patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    assert theta.term.values.tolist() == ["1", "g", "elev"]
    rss, freedom, inverses = [], 0, []
    for k in range(patches.sizes["patch"]):
        X, y, _ = matrices(patches, k)
        coef, left, *_ = np.linalg.lstsq(X, y)
        np.testing.assert_allclose(theta.coef[k], coef, rtol=1e-9)
        assert int(theta.n[k]) == len(y)
        rss.append(left[0])
        freedom += len(y) - 3
        inverses.append(np.linalg.inv(X.T @ X))
    np.testing.assert_allclose(theta.rss, rss, rtol=1e-9)
    np.testing.assert_allclose(theta["cov"], np.array(inverses) * sum(rss) / freedom, rtol=1e-8)


@pytest.mark.parametrize("missing", [0, 0.2])
def test_one_fit_of_all_patches_is_that_of_their_stacked_cells(missing):
    patches = field(missing).patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"], over="patch")
    assert theta.coef.dims == ("term",)
    X, y, _ = matrices(patches, np.arange(patches.sizes["patch"]))
    own = LinearRegression().fit(X[:, 1:], y)
    np.testing.assert_allclose(theta.coef, [own.intercept_, *own.coef_], rtol=1e-9)
    assert int(theta.n) == len(y)


def test_cells_that_count_once_give_the_fit_of_the_field():
    one = field()
    patches = one.patch.split(**BOXES)
    count = coverage(patches)
    assert count.max() > 3
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"], over="patch", weights=1 / count)
    whole = one.expand_dims(patch=1)
    X, y, _ = matrices(whole, 0)
    own = LinearRegression().fit(X[:, 1:], y)
    np.testing.assert_allclose(theta.coef, [own.intercept_, *own.coef_], rtol=1e-9)


def test_the_fit_of_all_is_the_mean_of_fits_weighted_by_their_gram_matrices():
    patches = field().patch.split(**BOXES)
    each = patches.patch.fit(LS, y="t", x=["g", "elev"])
    grams = [np.linalg.multi_dot([(m := matrices(patches, k)[0]).T, m]) for k in range(len(each.n))]
    mean = np.linalg.solve(
        sum(grams), sum(g @ c for g, c in zip(grams, each.coef.values, strict=True))
    )
    whole = patches.patch.fit(LS, y="t", x=["g", "elev"], over="patch")
    np.testing.assert_allclose(whole.coef, mean, rtol=1e-10)


def test_weights_are_those_of_scikit_learn():
    patches = field().patch.split(**BOXES)
    rng = np.random.default_rng(1)
    weights = xr.zeros_like(patches["t"]).fillna(0) + rng.random(patches["t"].shape)
    weights = weights.where(weights > 0.2, 0).where(weights < 0.95)  # nothing, and missing
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"], weights=weights)
    for k in (0, 5):
        X, y, w = matrices(patches, k, weights=weights)
        own = LinearRegression().fit(X[:, 1:], y, w)
        np.testing.assert_allclose(theta.coef[k], [own.intercept_, *own.coef_], rtol=1e-9)
        assert int(theta.n[k]) == len(y)
        np.testing.assert_allclose(theta.rss[k], (w * (y - own.predict(X[:, 1:])) ** 2).sum())
        variance = float(theta.rss.sum() / (theta.n - 3).sum())
        np.testing.assert_allclose(
            theta["cov"][k], variance * np.linalg.inv(X.T * w @ X), rtol=1e-8
        )


def test_weights_along_some_dimensions_are_broadcast():
    patches = field().patch.split(**BOXES)
    kernel = xr.DataArray([1.0, 2, 3, 3, 2, 1], dims="y")
    theta = patches.patch.fit(LS, y="t", x="g", weights=kernel)
    full = patches.patch.fit(LS, y="t", x="g", weights=kernel.broadcast_like(patches["t"]))
    xr.testing.assert_allclose(theta, full)
    assert not np.allclose(theta.coef, patches.patch.fit(LS, y="t", x="g").coef)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("ridge", [0.0, 40.0])
def test_ridge_and_intercept_are_those_of_scikit_learn(intercept, ridge):
    patches = field().patch.split(**BOXES)
    model = xpatch.LeastSquares(intercept=intercept, ridge=ridge)
    theta = patches.patch.fit(model, y="t", x=["g", "elev"])
    for k in (0, 7):
        X, y, _ = matrices(patches, k)
        own = Ridge(ridge, fit_intercept=intercept, solver="svd").fit(X[:, 1:], y)
        expected = [own.intercept_, *own.coef_] if intercept else own.coef_
        np.testing.assert_allclose(theta.coef[k], expected, rtol=1e-8)


def test_without_x_the_mean_is_fitted():
    patches = field(0).patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t")
    np.testing.assert_allclose(theta.coef.sel(term="1"), patches["t"].mean(("time", "y", "x")))
    samples = patches["t"][0].size
    variance = patches["t"].var(("time", "y", "x"), ddof=1).mean()
    np.testing.assert_allclose(theta["cov"].values.ravel(), float(variance) / samples)


def test_coordinates_and_labels_can_be_x():
    patches = field(0).patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t", x=["g", "y", "time"])
    own = patches.isel(patch=4)
    flat = [v.values.ravel() for v in xr.broadcast(own["t"], own.g, own.y, own.time)]
    fitted = LinearRegression().fit(np.stack(flat[1:], -1), flat[0])
    np.testing.assert_allclose(theta.coef[4], [fitted.intercept_, *fitted.coef_], rtol=1e-9)


def test_one_value_a_patch_is_broadcast():
    patches = field(0).patch.split(**BOXES)
    patches["size"] = patches.elev.mean(("y", "x"))
    theta = patches.patch.fit(LS, y="t", x=["g", "size"], over="patch")
    X, y, _ = matrices(patches, np.arange(patches.sizes["patch"]), ("g", "size"))
    np.testing.assert_allclose(theta.coef, np.linalg.lstsq(X, y)[0], rtol=1e-8)


# ---------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("offset", [1e5, 1e7])
def test_large_offsets_lose_no_digits(offset):
    one = field(0.1)
    moved = one.assign(t=one["t"] + offset, g=one.g + 2 * offset)
    theta, far = (
        f.patch.split(**BOXES).patch.fit(LS, y="t", x=["g", "elev"]) for f in (one, moved)
    )
    np.testing.assert_allclose(far.coef[:, 1:], theta.coef[:, 1:], rtol=1e-7)
    np.testing.assert_allclose(far.rss, theta.rss, rtol=1e-7)


def test_float32_is_as_accurate_as_its_values():
    one = field(0.1)
    single = (one[["t", "g"]] + 101_325).astype("f4").assign(elev=one.elev.astype("f4"))
    theta = single.patch.split(**BOXES).patch.fit(LS, y="t", x=["g", "elev"])
    assert theta.coef.dtype == theta.rss.dtype == "f8"
    double = single.astype("f8") - xr.Dataset({"t": 101_325.0, "g": 101_325.0, "elev": 500.0})
    exact = double.patch.split(**BOXES).patch.fit(LS, y="t", x=["g", "elev"])
    np.testing.assert_allclose(theta.coef[:, 1:], exact.coef[:, 1:], rtol=1e-9)
    np.testing.assert_allclose(theta.rss, exact.rss, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["i2", "u1", "?"])
def test_integers_and_bool_are_numbers(dtype):
    one = field(0)
    x = (one.g > 3) if dtype == "?" else one.g.clip(0).round()
    t = one["t"].clip(0).round()
    wide = one.assign(g=x.astype("f8"), t=t)
    narrow = one.assign(g=x.astype(dtype), t=t.astype("u1"))
    expected, theta = (
        f.patch.split(**BOXES).patch.fit(LS, y="t", x=["g", "elev"]) for f in (wide, narrow)
    )
    xr.testing.assert_allclose(theta, expected)


@pytest.mark.parametrize("attribute", ["_FillValue", "missing_value"])
def test_numbers_for_missing_are_missing(attribute):
    one = field(0.2).assign(elev=lambda d: d.elev.where(d.elev > 400))
    numbers = one.assign(
        t=(one["t"] * 50).round().fillna(-999).astype("i2").assign_attrs({attribute: -999}),
        elev=one.elev.fillna(-1).assign_attrs({attribute: -1.0}),
    )
    wide = one.assign(t=(one["t"] * 50).round())
    expected, theta = (
        f.patch.split(**BOXES).patch.fit(LS, y="t", x=["g", "elev"]) for f in (wide, numbers)
    )
    xr.testing.assert_allclose(theta, expected)
    local, right = (
        m.patch.predict(f.patch.split(**BOXES)) for m, f in ((theta, numbers), (expected, wide))
    )
    xr.testing.assert_allclose(local, right)


def test_infinite_values_are_left_out():
    one = field(0)
    one["t"][:, 3, 3] = np.inf
    one["g"][1, 8, 8] = -np.inf
    holes = one.where(np.isfinite(one))
    xr.testing.assert_allclose(
        one.patch.split(**BOXES).patch.fit(LS, y="t", x="g"),
        holes.patch.split(**BOXES).patch.fit(LS, y="t", x="g"),
    )


def test_patches_without_a_fit_are_missing_and_counted_once():
    one = field(0)
    one["t"][:, :6, :5] = np.nan  # no sample
    one["elev"][8:14, 11:16] = 7.0  # a constant
    patches = one.patch.split(geometry={"y": 6, "x": 5}, sampler=xpatch.RegularStride(3))
    with pytest.warns(UserWarning, match="2 of 20 patches have no fit") as caught:
        theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    assert len(caught) == 1
    lost = np.flatnonzero(theta.coef.isnull().any("term"))
    assert lost.tolist() == [0, 19]
    assert theta.coef[lost].isnull().all()
    assert theta["cov"][lost].isnull().all()
    assert theta.n[lost].values.tolist() == [0, 3 * 6 * 5]


@pytest.mark.parametrize(("least", "lost"), [(None, [0, 3]), (2, [3]), (1, [3]), (4, [0, 1, 3])])
def test_min_samples(least, lost):
    t = np.r_[1.0, 2, np.nan, np.nan, 1, 2, 4, np.nan, 1, 2, 5, 4, 1, np.nan, np.nan, np.nan]
    one = xr.Dataset({"t": ("i", t), "x": ("i", np.arange(16.0))})
    patches = one.patch.split(geometry={"i": 4})
    with pytest.warns(UserWarning, match=f"{len(lost)} of 4 patches have no fit"):
        theta = patches.patch.fit(LS, y="t", x="x", min_samples=least)
    assert np.flatnonzero(theta.coef.isnull().any("term")).tolist() == lost
    assert theta.n.values.tolist() == [2, 3, 4, 1]


# ---------------------------------------------------------------------------- places, windows


def product(one=None, times=12, stride=4):
    one = field(0.1, times=times) if one is None else one
    space = xpatch.Patcher({"y": 6, "x": 5}, xpatch.RegularStride(4))
    time = xpatch.TimePatcher(xpatch.FixedLookback(4), xpatch.RegularTimeStride(stride))
    return one.patch.split(xpatch.SpatioTemporalPatcher(space, time))


@pytest.mark.parametrize(("over", "own"), [("time", ["y", "x"]), ("space", ["time"])])
def test_places_and_windows_share_a_fit(over, own):
    patches = product()
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"], over=over)
    windows = 3
    places = patches.sizes["patch"] // windows
    assert theta.sizes["patch"] == (places if over == "time" else windows)
    number = np.arange(patches.sizes["patch"])
    code = number // windows if over == "time" else number % windows
    for group in range(theta.sizes["patch"]):
        X, y, _ = matrices(patches, np.flatnonzero(code == group))
        np.testing.assert_allclose(theta.coef[group], np.linalg.lstsq(X, y)[0], rtol=1e-8)
    merged = theta.coef.patch.merge()
    assert sorted(merged.dims) == sorted(["term", *own])
    shuffled = patches.isel(patch=np.random.default_rng(0).permutation(len(number)))
    xr.testing.assert_allclose(
        shuffled.patch.fit(LS, y="t", x=["g", "elev"], over=over).sortby("patch"), theta
    )


def test_a_map_of_places_is_that_of_the_patcher_in_space():
    one = field(0.1, times=12)
    theta = product(one).patch.fit(LS, y="t", x="g", over="time")
    places = one.patch.split(geometry={"y": 6, "x": 5}, sampler=xpatch.RegularStride(4))
    alone = places.patch.fit(LS, y="t", x="g")  # windows are side by side: the same samples
    np.testing.assert_allclose(theta.coef, alone.coef)
    xr.testing.assert_allclose(theta.coef.patch.merge(), alone.coef.patch.merge())


def test_a_series_of_windows_is_that_of_the_patcher_in_time():
    one = field(0, times=12, n=8)
    space = xpatch.Patcher({"y": 4, "x": 5})
    time = xpatch.TimePatcher(xpatch.FixedLookback(4), xpatch.RegularTimeStride(2))
    both = one.patch.split(xpatch.SpatioTemporalPatcher(space, time))
    theta = both.patch.fit(LS, y="t", x="g", over="space")
    alone = one.patch.split(time).patch.fit(LS, y="t", x="g")
    np.testing.assert_allclose(theta.coef, alone.coef)
    xr.testing.assert_allclose(theta.coef.patch.merge(), alone.coef.patch.merge())


# -------------------------------------------------------------------- samples that depend


def sandwich(patches, theta, groups, labels):
    """Give the mean of tr(iid⁻¹ sandwich) / terms over groups, by a loop over clusters."""
    ratios, terms = [], theta.sizes["term"]
    variance = float(theta.rss.sum() / (theta.n - terms).sum())
    for g, own in enumerate(groups):
        coef = theta.coef.values if "patch" not in theta.dims else theta.coef.values[g]
        gram, scores = 0, {}
        for k in own:
            part = patches.isel(patch=k)
            for step in range(part.sizes["time"]):
                X, y, _ = matrices(part.isel(time=[step]).expand_dims("patch"), 0, ("g",))
                if len(y):
                    gram = gram + X.T @ X
                    key = labels[k][step]
                    scores[key] = scores.get(key, 0) + X.T @ (y - X @ coef)
        meat = sum(np.outer(s, s) for s in scores.values())
        count = len(scores)
        bread = np.linalg.inv(gram)
        full = bread @ meat @ bread * count / (count - terms)
        ratios.append(np.trace(np.linalg.solve(bread * variance, full)) / terms)
    return np.mean(ratios)


def test_the_design_effect_is_that_of_the_sandwich():
    patches = field(0.15, times=9).patch.split(**BOXES)
    iid, theta = (patches.patch.fit(LS, y="t", x="g", independent=i) for i in (None, ["time"]))
    xr.testing.assert_allclose(theta.drop_vars("cov"), iid.drop_vars("cov"))
    number = np.arange(patches.sizes["patch"])
    labels = np.broadcast_to(np.arange(9), (len(number), 9))
    effect = sandwich(patches, iid, number[:, None], labels)
    np.testing.assert_allclose(theta["cov"], iid["cov"] * effect, rtol=1e-9)


@pytest.mark.parametrize("over", ["patch", "time"])
def test_a_label_that_patches_of_a_group_share_is_one_cluster(over):
    patches = product(field(0.1, times=16, n=10), stride=2)
    iid, theta = (
        patches.patch.fit(LS, y="t", x="g", over=over, independent=i) for i in (None, "time")
    )
    windows = len(np.unique(patches.time[:, -1]))
    number = np.arange(patches.sizes["patch"])
    groups = [number] if over == "patch" else number.reshape(-1, windows)
    effect = sandwich(patches, iid, groups, patches.time.values)
    np.testing.assert_allclose(theta["cov"], iid["cov"] * effect, rtol=1e-9)


def test_equal_cells_of_a_cluster_count_once():
    rng = np.random.default_rng(0)
    times, m = 400, 12
    g = rng.normal(size=times)
    t = 1 + 2 * g + rng.normal(size=times)
    one = xr.Dataset({"t": ("time", t), "g": ("time", g)}).expand_dims(y=m, x=1).copy(deep=True)
    one["t"] = one["t"].transpose("time", "y", "x") + 0.0
    patches = one.patch.split(geometry={"y": m, "x": 1})
    iid, theta = (patches.patch.fit(LS, y="t", x="g", independent=i) for i in (None, "time"))
    assert float(theta["cov"][0, 1, 1] / iid["cov"][0, 1, 1]) == pytest.approx(m, rel=0.15)


@settings(deadline=None, max_examples=15)
@given(scale=st.floats(1e-3, 1e4), shift=st.floats(-100, 100))
def test_the_design_effect_knows_no_units(scale, shift):
    one = field(0, times=8, n=8)
    effects = []
    for f in (one, one.assign(g=one.g * scale + shift)):
        patches = f.patch.split(geometry={"y": 4, "x": 5})
        iid, own = (
            patches.patch.fit(LS, y="t", x="g", independent=i)["cov"] for i in (None, "time")
        )
        effects.append(float((own / iid)[0, 1, 1]))
    assert effects[1] == pytest.approx(effects[0], rel=1e-6)


# ------------------------------------------------------------------------------------- dask


@settings(deadline=None, max_examples=20)
@given(
    chunks=st.sampled_from(
        [{"y": 5}, {"y": 7, "x": 8}, {"time": 1, "y": 7}, {"time": 2, "x": 4}, {"time": -1}]
    ),
    inner=st.sampled_from([{}, {"y": 2}, {"time": 1, "x": 3}]),
    independent=st.sampled_from([None, "time", ["time", "x"]]),
    weighted=st.booleans(),
    over=st.sampled_from([None, "patch"]),
    static=st.booleans(),
)
def test_numpy_and_dask_agree(chunks, inner, independent, weighted, over, static):
    one = field(0.2, times=7)
    patches, lazy = one.patch.split(**BOXES), one.chunk(chunks).patch.split(**BOXES).chunk(inner)
    if static:
        lazy["elev"] = lazy.elev.compute()
    kwargs = {"y": "t", "x": ["g", "elev"], "independent": independent, "over": over}
    weights = coverage(patches) if weighted else None
    expected = patches.patch.fit(LS, weights=weights, **kwargs)
    theta = lazy.patch.fit(LS, weights=weights.chunk() if weighted else None, **kwargs)
    assert all(theta[n].chunks is not None for n in ("coef", "cov", "n", "rss"))
    assert {n: v.dtype for n, v in theta.items()} == {n: v.dtype for n, v in expected.items()}
    computed = theta.compute().sortby("patch") if "patch" in theta.dims else theta.compute()
    xr.testing.assert_allclose(computed, expected)
    assert set(computed.coords) == set(expected.coords)


@pytest.mark.parametrize("over", ["time", "space"])
def test_numpy_and_dask_agree_on_places_and_windows(over):
    one = field(0.2, times=12)
    kwargs = {"y": "t", "x": ["g", "elev"], "over": over, "independent": "time"}
    expected = product(one).patch.fit(LS, **kwargs)
    theta = product(one.chunk(time=3, y=6)).patch.fit(LS, **kwargs)
    xr.testing.assert_allclose(theta.compute().sortby("patch"), expected)


class Counted:
    """Counts how often each chunk is made."""

    def __init__(self):
        self.lock, self.made = threading.Lock(), {}

    def __call__(self, block, block_info=None):
        if block_info:
            at = tuple(block_info[0]["chunk-location"])
            with self.lock:
                self.made[at] = self.made.get(at, 0) + 1
        return block


@pytest.mark.parametrize(("size", "stride"), [(8, 8), (8, 4), (12, 6)])
@pytest.mark.parametrize("chunks", [{"y": 8, "x": 8}, {"time": 2, "y": 16, "x": 16}])
@pytest.mark.parametrize("independent", [None, "time"])
def test_few_tasks_and_every_chunk_read_once(size, stride, chunks, independent):
    one = field(0.1, times=6, n=40).isel(x=slice(40)).chunk(chunks)
    counted = {n: Counted() for n in one.data_vars}
    watched = one.assign(
        {n: one[n].copy(data=v.data.map_blocks(counted[n], dtype=v.dtype)) for n, v in one.items()}
    )
    kwargs = {"geometry": {"y": size, "x": size}, "sampler": xpatch.RegularStride(stride)}
    theta = watched.patch.split(**kwargs).patch.fit(
        LS, y="t", x=["g", "elev"], independent=independent
    )
    there = sum(v.data.npartitions for v in one.data_vars.values())
    assert len(theta.__dask_graph__()) <= 15 * there
    assert not any(c.made for c in counted.values())
    with dask.config.set(scheduler="threads"):
        computed = theta.compute().sortby("patch") if "patch" in theta.dims else theta.compute()
    for name, c in counted.items():
        assert len(c.made) == one[name].data.npartitions
        assert set(c.made.values()) == {1}
    expected = (
        one.compute()
        .patch.split(**kwargs)
        .patch.fit(LS, y="t", x=["g", "elev"], independent=independent)
    )
    xr.testing.assert_allclose(computed, expected)


def test_lazy_fits_warn_where_they_are_computed():
    one = field(0)
    one["t"][:, :6, :5] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theta = one.chunk(y=5).patch.split(**BOXES).patch.fit(LS, y="t", x="g")
    with pytest.warns(UserWarning, match="1 of 20 patches have no fit"):
        theta.load(scheduler="sync")
    assert theta.coef[0].isnull().all()


@pytest.mark.parametrize("over", [None, "patch"])
def test_data_on_disk_are_read_some_patches_at_a_time(tmp_path, monkeypatch, over):
    one = field(0.1)
    one.to_netcdf(tmp_path / "f.nc")
    monkeypatch.setattr("xpatch.models.design.READ_BYTES", 6000)
    with xr.open_dataset(tmp_path / "f.nc") as disk:
        patches = disk.patch.split(**BOXES)
        assert not patches["t"].variable._in_memory
        theta = patches.patch.fit(LS, y="t", x=["g", "elev"], over=over, independent=["time", "y"])
        assert theta.coef.chunks is None
        assert not patches["t"].variable._in_memory
        ridge = patches.patch.fit(Ridge(), y="t", x=["g", "elev"], over=over)
    own = one.patch.split(**BOXES)
    expected = own.patch.fit(LS, y="t", x=["g", "elev"], over=over, independent=["time", "y"])
    xr.testing.assert_allclose(theta, expected)
    expected = own.patch.fit(Ridge(), y="t", x=["g", "elev"], over=over)
    xr.testing.assert_allclose(ridge.drop_vars("model"), expected.drop_vars("model"))


def test_what_is_given_stays_as_it_is():
    patches = field().patch.split(**BOXES)
    weights = coverage(patches)
    before, known = patches.copy(deep=True), weights.copy(deep=True)
    patches.patch.fit(LS, y="t", x=["g", "elev"], weights=weights, independent="y")
    patches.patch.fit(Ridge(), y="t", x=["g", "elev"], weights=weights)
    xr.testing.assert_identical(patches, before)
    xr.testing.assert_identical(weights, known)


# -------------------------------------------------------------------------------- estimators


@pytest.mark.parametrize("missing", [0, 0.2])
def test_each_patch_has_a_clone(missing):
    patches = field(missing).patch.split(**BOXES)
    model = Ridge(3.0)
    theta = patches.patch.fit(model, y="t", x=["g", "elev"])
    assert not hasattr(model, "coef_")
    models = theta["model"].values
    assert len({id(m) for m in models}) == len(models) == patches.sizes["patch"]
    assert {m.alpha for m in models} == {3.0}
    assert theta.coef_.dims == ("patch", "feature")
    assert theta.intercept_.dims == ("patch",)
    assert theta.feature.values.tolist() == ["g", "elev"]
    for k in (0, 9):
        X, y, _ = matrices(patches, k)
        own = Ridge(3.0).fit(X[:, 1:], y)
        np.testing.assert_allclose(theta.coef_[k], own.coef_)
        np.testing.assert_allclose(theta.intercept_[k], own.intercept_)
    merged = theta.coef_.patch.merge()
    assert sorted(merged.dims) == ["feature", "x", "y"]


@pytest.mark.parametrize("over", ["time", "space", "patch"])
def test_estimators_of_places_windows_and_all(over):
    patches = product()
    theta = patches.patch.fit(Ridge(2.0), y="t", x=["g", "elev"], over=over)
    expected = patches.patch.fit(xpatch.LeastSquares(ridge=2.0), y="t", x=["g", "elev"], over=over)
    np.testing.assert_allclose(theta.coef_, expected.coef[..., 1:], rtol=1e-7)
    if over != "patch":
        xr.testing.assert_equal(theta.coords["patch"], expected.coords["patch"])


def test_sample_weights_are_handed_on():
    patches = field().patch.split(**BOXES)
    weights = coverage(patches)
    theta = patches.patch.fit(Ridge(0.1), y="t", x=["g", "elev"], weights=weights)
    X, y, w = matrices(patches, 6, weights=weights)
    np.testing.assert_allclose(theta.coef_[6], Ridge(0.1).fit(X[:, 1:], y, w).coef_)


def test_maps_are_samples_of_a_regional_eof():
    one = field(0, times=9)
    land = np.random.default_rng(2).random((14, 16)) < 0.3
    one["t"] = one["t"].where(~land)
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(PCA(2), x="t", features=("y", "x"))
    assert theta.components_.dims == ("patch", "components_0", "y", "x")
    assert theta.explained_variance_.dims[0] == "patch"
    for k in (0, 8):
        maps = patches["t"][k].stack(cell=("y", "x")).dropna("cell")
        own = PCA(2).fit(maps.values)
        found = theta.components_[k].stack(cell=("y", "x"))
        assert found.isnull().any("components_0").sum() == land_cells(patches, k)
        np.testing.assert_allclose(found.dropna("cell").values, own.components_, atol=1e-9)
        np.testing.assert_allclose(theta.mean_[k].stack(cell=("y", "x")).dropna("cell"), own.mean_)


def land_cells(patches, k):
    return int(patches["t"][k].isnull().all("time").sum())


def test_patches_are_samples_of_a_patch_pca():
    patches = field(0).patch.split(**BOXES)
    theta = patches.patch.fit(PCA(3), x="t", features=("y", "x"), over="patch")
    own = PCA(3).fit(patches["t"].transpose("patch", "time", "y", "x").values.reshape(-1, 30))
    assert theta.components_.dims == ("components_0", "y", "x")
    np.testing.assert_allclose(theta.components_.values.reshape(3, 30), own.components_, atol=1e-9)


def test_numbers_of_components_and_classes_are_not_those_of_features():
    patches = field(0).patch.split(**BOXES)
    theta = patches.patch.fit(PCA(2), x=["g", "elev"])  # as many components as features
    assert theta.components_.dims == ("patch", "components_0", "feature")
    assert theta.mean_.dims == ("patch", "feature")
    for name in ("explained_variance_", "explained_variance_ratio_", "singular_values_"):
        assert "feature" not in theta[name].dims, name
    patches["warm"] = (patches["t"] > 5).astype(int)
    theta = patches.patch.fit(LogisticRegression(), y="warm", x=["g", "elev"])
    assert theta.coef_.dims == ("patch", "coef_0", "feature")
    assert "feature" not in theta.classes_.dims


class Summer:
    """Sums up what it is given, batch by batch; without scikit-learn."""

    def __init__(self):
        self.total_, self.n_, self.batches = np.zeros(2), 0, 0

    def fit(self, X, y):
        raise AssertionError("what is on disk is fitted in batches")

    def partial_fit(self, X, y):
        self.total_ = self.total_ + y @ X
        self.n_ += len(y)
        self.batches += 1

    def predict(self, X):
        return X @ self.total_


@pytest.mark.parametrize("where", ["dask", "disk"])
def test_models_learn_batch_by_batch_out_of_core(tmp_path, monkeypatch, where):
    monkeypatch.setattr("xpatch.models.design.READ_BYTES", 9000)
    one = field()
    one.to_netcdf(tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc", chunks={"y": 7} if where == "dask" else None) as disk:
        theta = disk.patch.split(**BOXES).patch.fit(Summer(), y="t", x=["g", "elev"], over="patch")
    X, y, _ = matrices(one.patch.split(**BOXES), np.arange(20))
    np.testing.assert_allclose(theta.total_, y @ X[:, 1:])
    assert int(theta.n_) == len(y)
    assert theta["model"].item().batches > 2


def test_classes_of_all_batches_are_told_first(monkeypatch):
    from sklearn.linear_model import SGDClassifier

    monkeypatch.setattr("xpatch.models.design.READ_BYTES", 5000)
    one = field(0)
    one["kind"] = (one["t"] > one["t"].mean()) + 2 * (one.y > 20)
    patches = one.chunk(y=7).patch.split(**BOXES)
    theta = patches.patch.fit(SGDClassifier(random_state=0), y="kind", x="g", over="patch")
    assert theta["model"].item().classes_.tolist() == [0, 1, 2, 3]


class Picky(BaseEstimator):
    """Fails where the mean of y is large."""

    def fit(self, X, y):
        if y.mean() > 0:
            raise RuntimeError("too warm")
        self.level_ = float(y.mean())
        return self

    def predict(self, X):
        return np.full(len(X), self.level_)


def warm_and_cold():
    one = xr.Dataset({"t": ("i", np.r_[-np.ones(8), np.ones(4), -np.ones(4)])})
    return one.assign(x=("i", np.arange(16.0))).patch.split(geometry={"i": 4})


def test_a_patch_that_fails_names_itself():
    with pytest.raises(RuntimeError, match="too warm") as caught:
        warm_and_cold().isel(patch=[3, 2, 0]).patch.fit(Picky(), y="t", x="x")
    assert "on patch 2" in "\n".join(caught.value.__notes__)


def test_failures_can_be_missing():
    patches = warm_and_cold().isel(patch=[3, 2, 0])
    with pytest.warns(xpatch.PatchFailure, match="too warm") as caught:
        theta = patches.patch.fit(Picky(), y="t", x="x", on_error="nan")
    assert len(caught) == 1
    assert list(caught[0].message.failures) == [2]  # labels of patches
    assert theta["model"].values[1] is None
    np.testing.assert_array_equal(theta.level_, [-1, np.nan, -1])
    predicted = theta.patch.predict(patches)
    assert predicted[1].isnull().all()
    np.testing.assert_array_equal(predicted[0], -1.0)


def test_min_samples_of_estimators():
    one = field(0)
    one["t"][:, :6, :5] = np.nan
    one["t"][0, 0, 0] = 1.0
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(Ridge(), y="t", x="g")
    assert theta["model"].notnull().all()
    with pytest.warns(UserWarning, match="1 of 20 patches have no fit"):
        theta = patches.patch.fit(Ridge(), y="t", x="g", min_samples=2)
    assert theta.coef_[0].isnull().all()
    assert theta.coef_[1:].notnull().all()


@pytest.mark.parametrize("kind", ["i8", "U5", "?"])
def test_classifiers_give_labels_of_the_same_dtype(kind):
    one = field(0)
    warm = one["t"] > one["t"].median()
    labels = {"i8": [3, 9], "U5": ["cold", "warm"], "?": [False, True]}[kind]
    one["kind"] = xr.where(warm, labels[1], labels[0])
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(LogisticRegression(), y="kind", x=["g", "elev"])
    found = theta.patch.predict(patches)
    assert found.dtype.kind == np.dtype(kind).kind
    assert found.dims == patches.kind.dims
    assert set(np.unique(found)) == set(labels)
    assert float((found == patches.kind).mean()) > 0.7
    np.testing.assert_array_equal(
        found[3].values.ravel(),
        theta["model"]
        .values[3]
        .predict(
            np.stack([v.values.ravel() for v in xr.broadcast(patches.g[3], patches.elev[3])], -1)
        ),
    )


def test_text_that_is_missing_somewhere():
    one = field(0)
    one["kind"] = xr.where(one["t"] > 5, "warm", "cold")
    one["g"][:, 0, 0] = np.nan
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(DummyClassifier(strategy="most_frequent"), y="kind", x="g")
    found = theta.patch.predict(patches)
    assert found.dtype.kind in "UO"
    assert set(np.unique(found[0, :, 0, 0].values.astype(str))) <= {"", "nan", "None"}


class Own:
    """Knows nothing of scikit-learn, and its fit returns nothing."""

    made = 0

    def __init__(self, power):
        self.power, self.memory = power, []

    def fit(self, X, y):
        self.memory.append(len(y))
        self.level_ = y.mean() ** self.power
        self.pair_ = np.array([y.min(), y.max()])
        self.name_ = "own"
        self.ragged_ = y[: int(abs(y[0]) * 10) % 7]

    def predict(self, X):
        return np.full(len(X), self.level_)


def test_classes_of_ones_own():
    patches = field(0).patch.split(**BOXES)
    model = Own(2)
    theta = patches.patch.fit(model, y="t", x="g")
    assert model.memory == []
    assert [m.memory for m in theta["model"].values] == [[90]] * 20
    assert set(theta.data_vars) == {"model", "level_", "pair_"}
    np.testing.assert_allclose(theta.level_, patches["t"].mean(("time", "y", "x")) ** 2)
    assert theta.pair_.dims == ("patch", "pair_0")
    found = theta.patch.predict(patches)
    np.testing.assert_allclose(found, theta.level_.broadcast_like(found).transpose(*found.dims))


class Unsupervised:
    def fit(self, X):
        self.mean_ = X.mean(0)
        return self


def test_without_y_only_x_is_handed_on():
    patches = field().patch.split(**BOXES)
    theta = patches.patch.fit(Unsupervised(), x=["g", "elev"])
    assert "y" not in theta.attrs
    own = patches.isel(patch=2)
    g, elev = xr.broadcast(own.g, own.elev)
    np.testing.assert_allclose(theta.mean_[2], [g.mean(), elev.where(g.notnull()).mean()])


def test_float32_stays_float32_for_estimators():
    seen = []

    class Watch:
        def fit(self, X, y):
            seen.append((X.dtype, y.dtype))

        def __deepcopy__(self, memo):
            return Watch()

    one = field(dtype="f4")[["t", "g"]]
    one.patch.split(**BOXES).patch.fit(Watch(), y="t", x="g")
    assert set(seen) == {(np.dtype("f4"), np.dtype("f4"))}


def test_random_states_are_cloned():
    patches = field(0).patch.split(**BOXES)
    model = SGDRegressor(random_state=3, max_iter=5, tol=None)
    theta = patches.patch.fit(model, y="t", x="g")
    X, y, _ = matrices(patches, 11, ("g",))
    own = SGDRegressor(random_state=3, max_iter=5, tol=None).fit(X[:, 1:], y)
    np.testing.assert_allclose(theta.coef_[11], own.coef_)


def test_clusters_may_be_labels_of_a_coordinate():
    rng = np.random.default_rng(2)
    years = np.repeat(np.arange(10), 6)
    one = xr.Dataset(
        {
            "t": (("time", "y", "x"), rng.normal(size=(60, 4, 4))),
            "g": ("time", rng.normal(size=60)),
        },
        {"time": np.arange(60), "year": ("time", years)},
    )
    one["t"] = one.t + rng.normal(size=10)[years][:, None, None]
    patches = one.patch.split(geometry={"y": 4, "x": 4})
    iid = patches.patch.fit(xpatch.LeastSquares(), y="t", x="g")
    found = patches.patch.fit(xpatch.LeastSquares(), y="t", x="g", independent="year")
    design = np.stack([np.ones(960), np.repeat(one.g.values, 16)], -1)
    rest = one.t.values.ravel() - design @ iid.coef.values[0]
    scores = (design * rest[:, None]).reshape(10, 96, 2).sum(1)
    bread = np.linalg.inv(design.T @ design)
    sandwich = bread @ scores.T @ scores @ bread * 10 / 8
    factor = np.trace(np.linalg.solve(iid["cov"].values[0], sandwich)) / 2
    np.testing.assert_allclose(found["cov"], iid["cov"] * factor, rtol=1e-10)
    lazy = one.chunk(time=12).patch.split(geometry={"y": 4, "x": 4})
    again = lazy.patch.fit(xpatch.LeastSquares(), y="t", x="g", independent="year")
    np.testing.assert_allclose(again["cov"], found["cov"], rtol=1e-10)


def test_importances_that_are_computed_when_asked_are_parameters():
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(0)
    one = xr.Dataset({n: (("y", "x"), rng.normal(size=(8, 8))) for n in "tab"})
    theta = one.patch.split(geometry={"y": 4, "x": 4}).patch.fit(
        RandomForestRegressor(2, random_state=0), y="t", x=["a", "b"]
    )
    assert theta.feature_importances_.dims == ("patch", "feature")
    np.testing.assert_allclose(theta.feature_importances_.sum("feature"), 1)


def test_arrays_predict_themselves():
    one = xr.DataArray(np.arange(12.0) * 3, {"i": np.arange(12)}, name="t")
    theta = one.patch.split(geometry={"i": 6}).patch.fit(xpatch.LeastSquares(), x="i")
    np.testing.assert_allclose(theta.coef.sel(term="i"), 3)
    assert theta.attrs["y"] == "t"
