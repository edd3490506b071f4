"""Partial pooling against mixed models of statsmodels, and against a likelihood written down plainly."""

from __future__ import annotations

import os

import hypothesis.strategies as st
import numpy as np
import pytest
import statsmodels.api as sm
import xarray as xr
from hypothesis import given, settings
from scipy import optimize

import xpatch

LS = xpatch.LeastSquares()


def grouped_field(groups=60, cells=40, seed=0, spread=(1.0, 0.5), noise=1.0):
    """Patches of a line, whose intercepts and slopes scatter around 3 and 2."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(np.diag(spread) ** 2 + 0.3 * np.prod(spread) * (1 - np.eye(2)))
    true = np.array([3.0, 2.0]) + rng.normal(size=(groups, 2)) @ root.T
    g = rng.normal(0.5, 1, (groups, cells))
    t = true[:, :1] + true[:, 1:] * g + noise * rng.normal(size=g.shape)
    one = xr.Dataset({"t": ("i", t.ravel()), "g": ("i", g.ravel())})
    return one.patch.split(geometry={"i": cells}), true


def by_loops(estimate, cov, groups):
    """Find T by a search without gradient, and all that follows, one patch after the other."""
    p, known = estimate.shape[1], np.isfinite(estimate).all(1)
    lower = np.tril_indices(p)

    def given(numbers):
        root = np.zeros((p, p))
        root[lower] = numbers
        spread, phi, certain, total = root @ root.T, {}, {}, 0.0
        for g in np.unique(groups[known]):
            own = np.flatnonzero(known & (groups == g))
            weights = [np.linalg.inv(cov[k] + spread) for k in own]
            precision = sum(weights)
            certain[g] = np.linalg.inv(precision)
            phi[g] = certain[g] @ sum(w @ estimate[k] for w, k in zip(weights, own, strict=True))
            total += np.linalg.slogdet(precision)[1]
            for w, k in zip(weights, own, strict=True):
                r = estimate[k] - phi[g]
                total += r @ w @ r - np.linalg.slogdet(w)[1]
        return total, spread, phi, certain

    start = np.linalg.cholesky(np.cov(estimate[known].T).reshape(p, p))[lower]
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 9000, "maxfev": 9000}
    result = optimize.minimize(lambda n: given(n)[0], start, method="Nelder-Mead", options=options)
    _, spread, phi, certain = given(result.x)
    mean, full = np.full(estimate.shape, np.nan), np.full(cov.shape, np.nan)
    for k, g in enumerate(groups):
        gain = spread @ np.linalg.inv(cov[k] + spread) if known[k] else np.zeros((p, p))
        rest = np.eye(p) - gain
        mean[k] = phi[g] + (gain @ (estimate[k] - phi[g]) if known[k] else 0)
        full[k] = rest @ spread + rest @ certain[g] @ rest.T
    return mean, full, phi, spread


def theta_of(estimate, cov):
    """Give estimates as parameters of patches."""
    n, p = estimate.shape
    one = xr.DataArray(np.zeros(2 * n), dims="i").patch.split(geometry={"i": 2})
    theta = one.mean("i").to_dataset(name="coef").drop_vars("coef")
    terms = [f"x{k}" for k in range(p)]
    return theta.assign(
        coef=(("patch", "term"), estimate), cov=(("patch", "term", "term_"), cov)
    ).assign_coords(term=terms, term_=terms)


def drawn(n=80, p=2, seed=0, scale=1.0, spread=1.0):
    """Draw estimates whose covariances differ."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(n, p, p)) * 0.4 + np.eye(p)
    cov = scale * roots @ roots.transpose(0, 2, 1) * rng.uniform(0.2, 3, (n, 1, 1))
    true = rng.normal(size=(n, p)) * spread + np.arange(p)
    noise = np.einsum("nij,nj->ni", np.linalg.cholesky(cov), rng.normal(size=(n, p)))
    return true + noise, cov, true


# ----------------------------------------------------------------------------- mixed models


@pytest.mark.parametrize("seed", [0, 1])
def test_pooling_is_the_mixed_model_of_statsmodels(seed):
    patches, _ = grouped_field(100, 60, seed)
    pooled = patches.patch.fit(LS, y="t", x="g").patch.pool()
    X = sm.add_constant(patches.g.values.ravel())
    number = np.repeat(np.arange(100), 60)
    mixed = sm.MixedLM(patches["t"].values.ravel(), X, number, exog_re=X).fit(reml=True)
    np.testing.assert_allclose(pooled.population, mixed.fe_params, rtol=1e-3)
    np.testing.assert_allclose(pooled.between, mixed.cov_re, rtol=2e-3, atol=1e-3)
    blup = mixed.fe_params + np.array([mixed.random_effects[k] for k in range(100)])
    np.testing.assert_allclose(pooled.coef, blup, atol=1e-3)
    assert not np.allclose(blup, patches.patch.fit(LS, y="t", x="g").coef, atol=0.05)


def test_pooling_of_means_is_the_analysis_of_variance():
    patches, _ = grouped_field(80, 10, 3, spread=(0.6, 0.3))
    pooled = patches.patch.fit(LS, y="t").patch.pool()
    means = patches["t"].mean("i").values
    within = float(patches["t"].var("i", ddof=1).mean())
    between = means.var(ddof=1) - within / 10
    share = between / (between + within / 10)
    np.testing.assert_allclose(pooled.between, [[between]], rtol=1e-5)
    np.testing.assert_allclose(pooled.population, [means.mean()], rtol=1e-9)
    blup = means.mean() + share * (means - means.mean())
    np.testing.assert_allclose(pooled.coef[:, 0], blup, rtol=1e-5)


@pytest.mark.parametrize(("p", "seed"), [(1, 0), (2, 1), (3, 2)])
def test_pooling_is_the_restricted_likelihood(p, seed):
    estimate, cov, _ = drawn(40, p, seed)
    estimate[7] = np.nan
    pooled = theta_of(estimate, cov).patch.pool()
    mean, full, phi, spread = by_loops(estimate, cov, np.zeros(40, int))
    np.testing.assert_allclose(pooled.between, spread, atol=1e-4)
    np.testing.assert_allclose(pooled.population, phi[0], atol=1e-4)
    np.testing.assert_allclose(pooled.coef, mean, atol=1e-4)
    np.testing.assert_allclose(pooled["cov"], full, atol=1e-4)


# ------------------------------------------------------------------------------------ limits


def test_sure_estimates_stay_and_unsure_ones_become_the_population():
    estimate, cov, _ = drawn()
    sure = theta_of(estimate, cov * 1e-9).patch.pool()
    np.testing.assert_allclose(sure.coef, estimate, atol=1e-6)
    np.testing.assert_allclose(sure.between, np.cov(estimate.T), rtol=1e-3)
    unsure = theta_of(estimate, cov * 1e9).patch.pool()
    weights = np.linalg.inv(cov)
    complete = np.linalg.solve(weights.sum(0), np.einsum("nij,nj->i", weights, estimate))
    np.testing.assert_allclose(unsure.coef, np.broadcast_to(complete, (80, 2)), atol=1e-6)
    np.testing.assert_allclose(unsure.population, complete, atol=1e-6)


@pytest.mark.parametrize("certain", [1e-6, 1e-12, 1e-18])
@pytest.mark.parametrize("n", [6, 40])
def test_the_spread_of_sure_estimates_is_their_covariance(certain, n):
    estimate, cov, _ = drawn(n)
    pooled = theta_of(estimate, cov * certain).patch.pool()
    np.testing.assert_allclose(pooled.between, np.cov(estimate.T), rtol=1e-3)


@pytest.mark.parametrize("factor", [1e6, 1e12])
def test_a_patch_that_knows_nothing_does_not_spoil_the_others(factor):
    estimate, cov, _ = drawn(40)
    cov[11] *= factor
    pooled = theta_of(estimate, cov).patch.pool().drop_sel(patch=11)
    expected = theta_of(np.delete(estimate, 11, 0), np.delete(cov, 11, 0)).patch.pool()
    np.testing.assert_allclose(pooled.between, expected.between, rtol=1e-3)
    np.testing.assert_allclose(pooled.coef, expected.coef, rtol=1e-3, atol=1e-3)


def test_exact_regressions_stay():
    patches, true = grouped_field(30, 10, noise=0.0)
    pooled = patches.patch.fit(LS, y="t", x="g").patch.pool()
    np.testing.assert_allclose(pooled.coef, true, rtol=1e-9)
    np.testing.assert_allclose(pooled.population, true.mean(0), rtol=1e-6)
    np.testing.assert_allclose(pooled.between, np.cov(true.T), rtol=1e-3)


def test_noise_alone_pools_completely():
    patches, _ = grouped_field(60, 8, spread=(1e-9, 1e-9), noise=1.0)
    pooled = patches.patch.fit(LS, y="t", x="g").patch.pool()
    own = patches.patch.fit(LS, y="t", x="g", over="patch")
    assert float(pooled.coef.std("patch").max()) < 0.2
    np.testing.assert_allclose(pooled.population, own.coef, atol=0.05)


@settings(deadline=None, max_examples=20)
@given(
    scale=st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3),
    shift=st.floats(-1e3, 1e3),
    seed=st.integers(0, 5),
)
def test_neither_units_nor_the_zero_of_x_matter(scale, shift, seed):
    estimate, cov, _ = drawn(30, 3, seed)
    change = np.diag(scale)
    change[0, 1] = shift * change[0, 0]  # t = a + b (x - shift)
    moved = theta_of(estimate @ change.T, change @ cov @ change.T).patch.pool()
    pooled = theta_of(estimate, cov).patch.pool()
    back = np.linalg.inv(change)
    np.testing.assert_allclose(moved.coef.values @ back.T, pooled.coef, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(back @ moved.between.values @ back.T, pooled.between, atol=1e-3)


def test_units_of_a_field_do_not_matter():
    patches, _ = grouped_field(40, 12)
    other = patches.assign(g=patches.g * 250 - 1e4, t=patches["t"] * 1e-3)
    pooled, moved = (p.patch.fit(LS, y="t", x="g").patch.pool() for p in (patches, other))
    np.testing.assert_allclose(
        moved.patch.predict(other) * 1e3, pooled.patch.predict(patches), rtol=1e-5, atol=1e-5
    )


def test_intervals_cover_what_they_promise():
    hits = []
    for seed in range(6):
        patches, true = grouped_field(200, 8, seed)
        pooled = patches.patch.fit(LS, y="t", x="g").patch.pool()
        sd = np.sqrt(np.einsum("nii->ni", pooled["cov"].values))
        hits.append(np.abs(pooled.coef.values - true) < 1.96 * sd)
    assert 0.93 <= np.mean(hits) <= 0.97


def test_pooled_parameters_are_nearer_to_the_truth():
    patches, true = grouped_field(100, 6)
    theta = patches.patch.fit(LS, y="t", x="g")
    error = [((c.coef - true) ** 2).mean().item() for c in (theta, theta.patch.pool())]
    assert error[1] < 0.8 * error[0]


# --------------------------------------------------------------------------- what is missing


def test_patches_without_a_fit_have_the_population():
    patches, _ = grouped_field(40, 10)
    patches = patches.where(patches["patch"] != 7)
    with pytest.warns(UserWarning, match="1 of 40 patches have no fit"):
        theta = patches.patch.fit(LS, y="t", x="g")
    pooled = theta.patch.pool()
    np.testing.assert_allclose(pooled.coef[7], pooled.population)
    assert (pooled["cov"][7].values.diagonal() > pooled.between.values.diagonal()).all()
    assert pooled.coef.patch.merge().notnull().all()
    assert theta.coef[7].isnull().all()  # as it was
    others = theta.isel(patch=np.delete(np.arange(40), 7)).patch.pool()
    xr.testing.assert_allclose(others.between, pooled.between)
    np.testing.assert_allclose(others.coef, pooled.coef.drop_sel(patch=7))


def test_what_is_pooled_keeps_everything_else():
    patches, _ = grouped_field(30, 10)
    theta = patches.patch.fit(LS, y="t", x="g").assign(more=("patch", np.arange(30.0)))
    theta.coef.attrs["units"] = "K"
    before = theta.copy(deep=True)
    pooled = theta.patch.pool()
    xr.testing.assert_identical(theta, before)
    assert set(pooled.data_vars) == {*theta.data_vars, "population", "between"}
    assert pooled.population.dims == ("term",)
    assert pooled.between.dims == ("term", "term_")
    assert pooled.coef.attrs == {"units": "K"}
    assert pooled.attrs == theta.attrs
    xr.testing.assert_equal(pooled.more, theta.more)
    assert isinstance(pooled.xindexes["patch"], xpatch.PatchIndex)


def test_order_of_patches_does_not_matter():
    theta = grouped_field(30, 10)[0].patch.fit(LS, y="t", x="g")
    order = np.random.default_rng(0).permutation(30)
    xr.testing.assert_allclose(
        theta.isel(patch=order).patch.pool().sortby("patch"), theta.patch.pool(), atol=1e-6
    )


def test_other_names_and_parameters_of_xarray():
    patches, _ = grouped_field(25, 12)
    line = patches.swap_dims(i="cell") if "i" in patches.coords else patches
    line = line["t"].assign_coords(g=(("patch", "i"), patches.g.values))
    fitted = line.curvefit("g", lambda g, a, b: a + b * g, reduce_dims="i")
    pooled = fitted.patch.pool(coef="curvefit_coefficients", cov="curvefit_covariance")
    mean, *_ = by_loops(
        fitted.curvefit_coefficients.values, fitted.curvefit_covariance.values, np.zeros(25, int)
    )
    np.testing.assert_allclose(pooled.curvefit_coefficients, mean, atol=1e-3)


@pytest.mark.parametrize("p", [1, 3])
def test_dask_is_computed(p):
    estimate, cov, _ = drawn(30, p)
    theta = theta_of(estimate, cov)
    xr.testing.assert_allclose(theta.chunk(patch=7).patch.pool().compute(), theta.patch.pool())


# ----------------------------------------------------------------------------- populations


def space_and_time(places=6, windows=5, seed=0):
    """Two by (places / 2) boxes of 4 cells a side, and windows of 4 steps side by side."""
    rng = np.random.default_rng(seed)
    shape = (4 * windows, 8, 2 * places)
    place = np.kron(rng.normal(size=(2, places // 2)), np.ones((4, 4)))
    window = np.repeat(rng.normal(size=windows), 4)[:, None, None]
    g = rng.normal(size=shape)
    own = np.repeat(rng.normal(size=(windows, 8, 2 * places)), 4, 0)
    own[:] = np.kron(own[::4, ::4, ::4], np.ones((4, 4, 4)))
    t = 1 + 2 * place + window + (1 + place + 0.5 * own) * g + 2 * rng.normal(size=shape)
    dims = ("time", "y", "x")
    one = xr.Dataset(
        {"t": (dims, t), "g": (dims, g)},
        {d: np.arange(n) for d, n in zip(dims, shape, strict=True)},
    )
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"y": 4, "x": 4}),
        xpatch.TimePatcher(xpatch.FixedLookback(4), xpatch.RegularTimeStride(4)),
    )
    return one, one.patch.split(patcher)


@pytest.mark.parametrize(("over", "name", "count"), [("time", "place", 6), ("space", "window", 5)])
def test_populations_share_one_spread(over, name, count):
    _, patches = space_and_time()
    theta = patches.patch.fit(LS, y="t", x="g")
    pooled = theta.patch.pool(over)
    number = np.arange(30)
    groups = number // 5 if over == "time" else number % 5
    mean, full, phi, spread = by_loops(theta.coef.values, theta["cov"].values, groups)
    assert pooled.population.dims == (name, "term")
    assert pooled.sizes[name] == count
    np.testing.assert_allclose(pooled.between, spread, atol=1e-4)
    np.testing.assert_allclose(pooled.population, np.array(list(phi.values())), atol=1e-4)
    np.testing.assert_allclose(pooled.coef, mean, atol=1e-4)
    np.testing.assert_allclose(pooled["cov"], full, atol=1e-4)
    assert not np.allclose(pooled.coef, theta.patch.pool().coef, atol=0.05)


def test_a_window_without_a_fit_has_the_population_of_its_place():
    _, patches = space_and_time()
    hole = patches.where(~patches["patch"].isin([3, *range(10, 15)]))
    with pytest.warns(UserWarning, match="6 of 30 patches have no fit"):
        pooled = hole.patch.fit(LS, y="t", x="g").patch.pool("time")
    np.testing.assert_allclose(pooled.coef[3], pooled.population[0])
    assert pooled.population[2].isnull().all()  # a place without any fit
    assert pooled.coef[10:15].isnull().all()
    assert pooled["cov"][10:15].isnull().all()
    assert pooled.coef.drop_sel(patch=range(10, 15)).notnull().all()


NINE = {  # spatial, temporal
    ("none", "none"): lambda f: f(None),
    ("none", "partial"): lambda f: f(None).patch.pool("time"),
    ("none", "complete"): lambda f: f("time"),
    ("partial", "none"): lambda f: f(None).patch.pool("space"),
    ("partial", "partial"): lambda f: f(None).patch.pool(),
    ("partial", "complete"): lambda f: f("time").patch.pool(),
    ("complete", "none"): lambda f: f("space"),
    ("complete", "partial"): lambda f: f("space").patch.pool(),
    ("complete", "complete"): lambda f: f("patch"),
}


@pytest.mark.parametrize("cell", NINE, ids="-".join)
def test_nine_ways_to_share(cell):
    one, patches = space_and_time(8, 6)
    space, time = cell
    theta = NINE[cell](lambda over: patches.patch.fit(LS, y="t", x="g", over=over))
    places = 1 if space == "complete" else 8
    windows = 1 if time == "complete" else 6
    assert theta.sizes.get("patch", 1) == places * windows
    number = np.arange(48)
    code = (number // 6 if places > 1 else 0 * number) * windows + (
        number % 6 if windows > 1 else 0 * number
    )
    each = []
    for k in range(places * windows):
        own = patches.isel(patch=np.flatnonzero(code == k))
        X = np.stack([np.ones(own.g.size), own.g.values.ravel()], -1)
        y = own["t"].values.ravel()
        each.append((np.linalg.inv(X.T @ X), *np.linalg.lstsq(X, y)[:2], len(y)))
    inverse, coef, rss, count = (np.array(v) for v in zip(*each, strict=True))
    if "partial" in cell:
        cov = inverse * rss.sum() / (count - 2).sum()
        own = np.arange(places * windows)
        groups = {"none": own // windows, "partial": 0 * own, "complete": 0 * own}[space]
        groups = own % windows if (space, time) == ("partial", "none") else groups
        coef, *_ = by_loops(coef, cov, groups)
    np.testing.assert_allclose(theta.coef.values.reshape(-1, 2), coef, atol=2e-4)
    on_field = theta.patch.predict(one)
    local = theta.patch.predict(patches).patch.merge()
    xr.testing.assert_allclose(on_field.transpose(*local.dims), local)
    assert on_field.notnull().all()
    if places * windows > 1:
        merged = theta.coef.patch.merge()
        lies = {"y", "x"} if places > 1 else set()
        assert set(merged.dims) == {"term"} | lies | ({"time"} if windows > 1 else set())


# --------------------------------------------------------------------------- on real data


@pytest.fixture(scope="module")
def warming():
    """Annual temperature of a scenario, from that of its first years, and its mean of the region."""
    import iris_sample_data

    path = os.path.join(iris_sample_data.path, "A1B_north_america.nc")
    coder = xr.coders.CFDatetimeCoder(use_cftime=True)
    with xr.open_dataset(path, decode_times=coder) as raw:
        t = raw.air_temperature.load().astype("f8")
    t = t.drop_vars([c for c in t.coords if c not in t.dims])
    t = t - t[:30].mean("time")
    weights = np.cos(np.deg2rad(t.latitude))
    return xr.Dataset({"t": t, "g": t.weighted(weights).mean(("latitude", "longitude"))}), weights


def test_pattern_scaling_of_few_years_is_worth_pooling(warming):
    one, weights = warming
    past, future = one.isel(time=slice(110, 140)), one.isel(time=slice(190, 240))
    patches = past.patch.split(geometry={"latitude": 4, "longitude": 4})

    def error(theta):
        square = (theta.patch.predict(future) - future["t"]) ** 2
        return float(np.sqrt(square.weighted(weights).mean()))

    complete = error(patches.patch.fit(LS, y="t", x="g", over="patch"))
    iid, theta = (patches.patch.fit(LS, y="t", x="g", independent=i) for i in (None, "time"))
    none = error(theta)
    assert error(theta.patch.pool()) <= 0.92 * min(none, complete)
    assert error(iid.patch.pool()) > 0.92 * min(none, complete)
    assert none == pytest.approx(error(iid))
