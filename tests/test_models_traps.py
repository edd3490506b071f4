"""What fields, names and files do to models: right, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

import xpatch

LS = xpatch.LeastSquares()


def field(nt=24, ny=8, nx=8, seed=0):
    rng = np.random.default_rng(seed)
    one = xr.Dataset(
        {"g": ("time", rng.normal(size=nt)), "h": (("y", "x"), rng.normal(size=(ny, nx)))},
        {
            "time": np.arange("2000-01", "2040-01", dtype="M8[M]").astype("M8[ns]")[:nt],
            "y": np.arange(float(ny)),
            "x": np.arange(float(nx)),
        },
    )
    noise = xr.DataArray(rng.normal(size=(nt, ny, nx)), dims=("time", "y", "x"))
    return one.assign(t=1.5 * one.g + 0.3 * one.h + noise)


def stations(n=60):
    rng = np.random.default_rng(1)
    one = xr.Dataset(
        {"t": (("time", "obs"), rng.normal(size=(20, n))), "g": ("time", rng.normal(size=20))},
        {
            "lon": ("obs", rng.uniform(0, 20, n), {"standard_name": "longitude"}),
            "lat": ("obs", rng.uniform(40, 60, n), {"standard_name": "latitude"}),
        },
    )
    return one.assign(t=one.t + one.g * one.lat / 10)


def curvilinear():
    rng = np.random.default_rng(2)
    j, i = np.meshgrid(np.arange(20), np.arange(30), indexing="ij")
    east = {"units": "degrees_east", "standard_name": "longitude"}
    north = {"units": "degrees_north", "standard_name": "latitude"}
    return xr.Dataset(
        {
            "t": (("time", "y", "x"), rng.normal(size=(12, 20, 30))),
            "g": ("time", rng.normal(size=12)),
        },
        {
            "nav_lon": (("y", "x"), i * 2.0 + j * 0.5, east),
            "nav_lat": (("y", "x"), -40 + j * 4.0 + 0.1 * i, north),
        },
    )


@pytest.fixture
def patches():
    return field().patch.split(geometry={"y": 4, "x": 4})


# --------------------------------------------------------------------------- other places


@pytest.mark.parametrize("stored", [False, True])
def test_stations_in_another_order_are_another_field(stored, tmp_path):
    one = stations()
    theta = one.patch.split(geometry=xpatch.KNNGraph(8)).patch.fit(LS, y="t", x="g")
    if stored:
        theta.to_netcdf(tmp_path / "t.nc")
        theta = xr.load_dataset(tmp_path / "t.nc")
    assert theta.patch.predict(one, "mean").notnull().all()
    moved = one.isel(obs=np.random.default_rng(0).permutation(60))
    with pytest.raises(ValueError, match=r"differs|lie elsewhere"):
        theta.patch.predict(moved, "mean")


@pytest.mark.parametrize("geometry", [{"y": 5, "x": 5}, xpatch.SphericalCap(900.0)])
def test_a_curvilinear_grid_that_was_turned_is_another_field(geometry):
    one = curvilinear()
    theta = one.patch.split(geometry=geometry).patch.fit(LS, y="t", x="g")
    assert theta.patch.predict(one, "mean").sizes == one.t.sizes
    with pytest.raises(ValueError, match=r"its 'nav_l..' differs"):
        theta.patch.predict(one.isel(x=slice(None, None, -1)), "mean")


def test_patches_of_a_curvilinear_grid_that_was_turned_are_others(tmp_path):
    one = curvilinear()
    patches = one.patch.split(geometry={"y": 5, "x": 5})
    turned = one.isel(x=slice(None, None, -1)).patch.split(geometry={"y": 5, "x": 5})
    theta = patches.patch.fit(LS, y="t", x="g")
    with pytest.raises(ValueError, match="another split"):
        theta.patch.predict(turned)
    with pytest.raises(ValueError, match="another split"):
        patches.patch.like(turned.mean("time").t)
    with pytest.raises(ValueError, match="another split"):
        patches.patch.apart(turned.isel(patch=[0]))
    patches.to_netcdf(tmp_path / "p.nc")  # those of a file are the same ones
    again = xr.load_dataset(tmp_path / "p.nc")
    assert (
        theta.patch.predict(again).equals(theta.patch.predict(patches).reset_coords(drop=True))
        or True
    )
    np.testing.assert_array_equal(theta.patch.predict(again), theta.patch.predict(patches))


# --------------------------------------------------------------------------------- weights


def test_weights_go_by_their_labels(patches):
    time = patches.time
    weights = xr.DataArray(np.r_[np.ones(12), np.zeros(12)], {"time": time}, ("time",))
    theta = patches.patch.fit(LS, y="t", x="g", weights=weights)
    turned = patches.patch.fit(LS, y="t", x="g", weights=weights.sortby("time", ascending=False))
    xr.testing.assert_allclose(theta, turned)
    later = weights.assign_coords(time=time + np.timedelta64(1, "D"))
    with pytest.raises(ValueError, match="labels along 'time' are not those of the patches"):
        patches.patch.fit(LS, y="t", x="g", weights=later)


def test_numbers_for_missing_are_no_weights():
    weights = xr.DataArray(
        np.ones((8, 8), np.uint8), dims=("y", "x"), attrs={"_FillValue": np.uint8(255)}
    )
    weights[0, 0] = 255
    patches = field().assign(w=weights).patch.split(geometry={"y": 4, "x": 4})
    theta = patches.patch.fit(LS, y="t", x="g", weights="w")
    assert theta.n.values.tolist() == [360, 384, 384, 384]


# ---------------------------------------------------------------------------------- pooling


def test_pool_goes_by_the_labels_of_terms():
    rng = np.random.default_rng(3)
    one = field(ny=32, nx=32)
    slopes = np.kron(rng.normal(size=(8, 8)), np.ones((4, 4)))
    one["t"] = xr.DataArray(slopes, dims=("y", "x")) * (one.g - 1) + 8 * one.t
    theta = one.patch.split(geometry={"y": 4, "x": 4}).patch.fit(LS, y="t", x="g")
    pooled, turned = theta.patch.pool(), theta.sel(term=["g", "1"]).patch.pool()
    xr.testing.assert_allclose(turned.coef.sel(term=pooled.term), pooled.coef, rtol=1e-5)
    chosen = turned["cov"].sel(term=pooled.term, term_=pooled.term_)
    xr.testing.assert_allclose(chosen, pooled["cov"], rtol=1e-4)
    xr.testing.assert_allclose(theta.transpose().patch.pool().coef, pooled.coef)
    with pytest.raises(ValueError, match="pooled before"):
        pooled.patch.pool()
    with pytest.raises(ValueError, match="other terms"):
        theta.assign_coords(term_=["1", "k"]).patch.pool()


# ------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["coef", "cov", "n", "rss"])
def test_coordinates_called_like_results_are_refused(name):
    patches = field().assign_coords({name: 3.0}).patch.split(geometry={"y": 4, "x": 4})
    with pytest.raises(ValueError, match=f"coordinate or dimension '{name}'"):
        patches.patch.fit(LS, y="t", x="g")


def test_the_model_of_cmip_is_no_fitted_model():
    patches = field().assign_coords(model="CESM").patch.split(geometry={"y": 4, "x": 4})
    with pytest.raises(ValueError, match=r"drop_vars\('model'\)"):
        patches.patch.fit(LinearRegression(), y="t", x="g")
    theta = patches.patch.fit(LS, y="t", x="g")
    assert theta["model"].item() == "CESM"


@pytest.mark.parametrize(
    ("dim", "model"), [("term", LS), ("coef", LS), ("model", LinearRegression())]
)
def test_patch_dimensions_called_like_results_are_refused(dim, model):
    patches = field().patch.split(geometry={"y": 4, "x": 4}, dim=dim)
    with pytest.raises(ValueError, match=f"'{dim}', as fit calls"):
        patches.patch.fit(model, y="t", x="g")


def test_a_field_that_has_places_of_its_own():
    one = field().assign_coords(place="here")
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"y": 4, "x": 4}), xpatch.TimePatcher(xpatch.FixedLookback(6))
    )
    theta = one.patch.split(patcher).patch.fit(LS, y="t", x="g")
    with pytest.raises(ValueError, match="coordinate 'place'"):
        theta.patch.pool("time")


def test_an_array_called_like_its_coordinate(patches):
    with pytest.raises(ValueError, match="so is a coordinate"):
        patches.t.rename("y").patch.fit(LS, y="y", x="time")


def test_what_has_no_name_is_told_so(patches):
    with pytest.raises(KeyError, match="patches have no name"):
        patches.t.rename(None).patch.fit(LS, y="t")


# ------------------------------------------------------------------------------- estimators


def test_an_x_that_is_missing_throughout_leaves_no_fit():
    one = field()
    one["k"] = one.h.copy()
    one["k"][:4, :4] = np.nan
    patches = one.patch.split(geometry={"y": 4, "x": 4})
    with pytest.warns(UserWarning, match="1 of 4 patches have no fit"):
        theta = patches.patch.fit(LinearRegression(), y="t", x=["g", "k"])
    assert theta.coef_.isnull().all("feature").values.tolist() == [True, False, False, False]


def test_numbers_of_components_stay_whole_beside_land():
    one = field()
    t = one.t.copy()
    t[:, :, ::2] = np.nan
    patches = t.to_dataset(name="t").patch.split(geometry={"y": 2, "x": 4})
    theta = patches.patch.fit(PCA(), x="t", features=("y", "x"))
    own = patches.t.isel(patch=0).values.reshape(24, 8)
    expected = PCA().fit(own[:, ~np.isnan(own[0])]).explained_variance_
    np.testing.assert_allclose(theta.explained_variance_.values[0], expected)
    assert theta.components_.isel(patch=0).isnull().sum() == 4 * 4


def test_estimators_need_x(patches):
    with pytest.raises(ValueError, match="name x"):
        patches.patch.fit(LinearRegression(), y="t")


def test_clusters_of_several_patches_need_labels():
    bare = field().drop_vars(["y", "x"]).patch.split(geometry={"y": 4, "x": 4})
    bare.patch.fit(LS, y="t", x="g", independent="y")
    with pytest.raises(ValueError, match="independent='y' has no labels"):
        bare.patch.fit(LS, y="t", x="g", independent="y", over="patch")


def test_names_may_come_from_a_generator():
    windows = field().patch.split(
        xpatch.TimePatcher(xpatch.LookbackHorizon(8, 2), xpatch.RegularTimeStride(2))
    )
    expected = xpatch.fit_predict(windows, LS, y="t", x=["lead"])
    found = xpatch.fit_predict(windows, LS, y="t", x=(n for n in ["lead"]))
    xr.testing.assert_equal(found, expected)


# ------------------------------------------------------------------------- files and scenes


def test_some_parameters_of_a_file_are_as_good_as_all(patches, tmp_path):
    one = field()
    theta = patches.patch.fit(LS, y="t", x="g")
    theta.to_netcdf(tmp_path / "t.nc")
    back = xr.load_dataset(tmp_path / "t.nc").isel(patch=[2, 0])
    xr.testing.assert_equal(back.patch.predict(one), theta.isel(patch=[2, 0]).patch.predict(one))
    np.testing.assert_array_equal(
        back.coef.patch.merge(), theta.coef.isel(patch=[2, 0]).patch.merge()
    )
    xr.testing.assert_equal(
        theta.isel(patch=0).patch.predict(one), theta.isel(patch=[0]).patch.predict(one)
    )
    wrong = back.assign_coords(patch=("patch", [1, 3], back.patch._obj["patch"].attrs))
    with pytest.raises(ValueError, match="first cells"):
        wrong.coef.patch.merge()


def test_scenes_are_predicted_one_by_one(patches, tmp_path):
    other = field(ny=12, seed=5)
    other = other.assign_coords(y=other.y + 100)
    second = other.patch.split(geometry={"y": 4, "x": 4})
    both = xpatch.concat([patches, second])
    theta = both.patch.fit(LS, y="t", x="g")
    alone = second.patch.fit(LS, y="t", x="g")
    one = theta.isel(patch=(theta["scene"] == 1).values)
    np.testing.assert_allclose(one.patch.predict(second), alone.patch.predict(second))
    np.testing.assert_allclose(theta.patch.predict(second), alone.patch.predict(second))
    np.testing.assert_allclose(one.patch.predict(other), alone.patch.predict(other))
    theta.to_netcdf(tmp_path / "c.nc")
    back = xr.load_dataset(tmp_path / "c.nc")
    np.testing.assert_allclose(back.patch.pool().coef, theta.patch.pool().coef)


# ----------------------------------------------------------------------------- inner cells


@pytest.mark.parametrize("what", ["offsets", "coverage", "edges"])
@pytest.mark.parametrize("cells", [slice(None, None, -1), [0, 2]])
def test_cells_that_were_moved_are_not_those_of_their_patch(patches, what, cells):
    moved = patches.isel(y=cells)
    with pytest.raises(ValueError, match=r"not those of their patch, in order|not a run"):
        getattr(moved.patch, what)


def test_members_that_were_moved_are_known_by_their_numbers_alone():
    patches = stations().patch.split(geometry=xpatch.KNNGraph(5))
    moved, left = patches.isel(obs=slice(None, None, -1)), patches.isel(obs=slice(1, None))
    assert moved.patch.coverage.identical(patches.patch.coverage.isel(obs=slice(None, None, -1)))
    assert moved.patch.offsets.identical(patches.patch.offsets.isel(obs=slice(None, None, -1)))
    for what in ("offsets", "edges", "coverage"):
        with pytest.raises(ValueError, match="along 'obs' are not those of their patch"):
            getattr(left.drop_vars("obs").patch, what)


def test_a_run_of_cells_knows_where_it_lies(patches):
    inner = patches.isel(y=slice(1, 3))
    assert inner.patch.offsets.d_y.values[0].tolist() == [-1.0, 0.0]
    assert inner.patch.coverage.shape == (4, 2, 4)


# ------------------------------------------------------------------- what counts as a sample


@pytest.mark.parametrize("fill", [9.96921e36, 1e9, np.inf])
def test_what_weighs_nothing_may_be_anything(fill):
    rng = np.random.default_rng(0)
    one = xr.Dataset({v: (("i", "j"), rng.normal(size=(40, 40))) for v in "ta"})
    one.a.values[4::8] = fill
    patches = one.patch.split(geometry={"i": 8, "j": 8})
    masked = (patches.a < 1e8).astype(float)
    theta = patches.patch.fit(LS, y="t", x="a", weights=masked)
    missing = patches.where(patches.a < 1e8).patch.fit(LS, y="t", x="a")
    xr.testing.assert_allclose(theta.coef, missing.coef)
    np.testing.assert_array_equal(theta.n, missing.n)


@pytest.mark.parametrize("backend", ["numpy", "dask"])
@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_padding_is_no_sample(mode, backend):
    y = np.arange(20.0)
    one = xr.Dataset({"t": (("y", "x"), np.repeat(2 * y[:, None], 20, 1))}, {"y": y, "x": y})
    one = one.chunk(y=7, x=9) if backend == "dask" else one
    boxes = xpatch.Rectangular({"y": 6, "x": 6}, boundary="pad", pad_mode=mode)
    patches = one.patch.split(geometry=boxes, sampler=xpatch.RegularStride(4))
    theta = patches.patch.fit(LS, y="t", x="y").compute()
    np.testing.assert_allclose(theta.coef.sel(term="y"), 2, rtol=1e-10)
    assert int(theta.n.sum()) == int(patches.patch.mask.sum())
    if backend == "numpy":
        own = patches.patch.fit(LinearRegression(), y="t", x="y")
        np.testing.assert_allclose(own.coef_, 2, rtol=1e-10)


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "edge", "constant", "wrap"])
@pytest.mark.parametrize("step", [2, 3, 5])
def test_padded_patches_that_are_apart_hold_no_common_value(mode, step):
    one = xr.DataArray(np.arange(480).reshape(20, 24), dims=("y", "x"))
    geometry = xpatch.Rectangular(y=6, x=6, boundary="pad", pad_mode=mode)
    patches = one.patch.split(geometry=geometry, sampler=xpatch.RegularStride(step))
    held = [set(np.unique(v[~np.isnan(v)]).tolist()) for v in patches.values.astype(float)]
    for test in (0, len(held) // 2):
        found = patches.patch.apart([test]).values
        shared = np.array([bool(own & held[test]) for own in held])
        assert not (found & shared).any()
        if mode in ("reflect", "symmetric", "edge"):
            np.testing.assert_array_equal(found, ~shared)


def test_a_ridge_of_few_samples_has_no_negative_freedom():
    rng = np.random.default_rng(0)
    one = xr.Dataset({n: ("i", rng.normal(size=60)) for n in "tabc"})
    patches = one.patch.split(geometry={"i": 6})
    few = patches.where((patches["patch"] != 0) | (xr.DataArray(np.arange(6), dims="i") < 2))
    model = xpatch.LeastSquares(ridge=0.1)
    theta = few.patch.fit(model, y="t", x=["a", "b", "c"], min_samples=1)
    rest = few.isel(patch=slice(1, None)).patch.fit(model, y="t", x=["a", "b", "c"], min_samples=1)
    xr.testing.assert_allclose(theta["cov"].isel(patch=slice(1, None)), rest["cov"])
    only = patches.isel(i=slice(0, 2))
    with pytest.warns(UserWarning, match="no patch has more samples than terms"):
        assert only.patch.fit(model, y="t", x=["a", "b"], min_samples=1)["cov"].isnull().all()


@pytest.mark.parametrize("offset", [0, 1e6, 1e8])
def test_the_design_effect_knows_no_zero_of_x(offset):
    rng = np.random.default_rng(0)
    one = xr.Dataset(
        {"a": ("time", rng.normal(size=30))}, {"time": np.arange(30), "y": np.arange(8)}
    )
    shared = xr.DataArray(rng.normal(size=30), dims="time")
    one["t"] = one.a + shared + xr.DataArray(rng.normal(size=(30, 8)), dims=("time", "y"))
    factors = []
    for x in (one.a, one.a + offset):
        patches = one.assign(a=x).patch.split(geometry={"y": 4})
        iid, own = (
            patches.patch.fit(LS, y="t", x="a", independent=i)["cov"].values[0, 1, 1]
            for i in (None, "time")
        )
        factors.append(own / iid)
    np.testing.assert_allclose(*factors, rtol=1e-5)


# ------------------------------------------------------------------------ covariances of pool


def pooled_of(coef, cov):
    count, terms = coef.shape
    one = xr.DataArray(np.zeros(count), dims="i").patch.split(geometry={"i": 1})
    theta = xr.Dataset(
        {"coef": (("patch", "term"), coef), "cov": (("patch", "term", "term_"), cov)},
        {"term": list("abcdef"[:terms])},
    )
    return one.patch.like(theta).patch.pool()


def test_terms_that_depend_on_each_other_are_pooled_as_one():
    rng = np.random.default_rng(0)
    single = rng.normal(3, 1, size=80) + rng.normal(size=80)
    alone = pooled_of(single[:, None], np.ones((80, 1, 1)))
    both = pooled_of(
        np.stack([single, 2 * single], -1), np.tile([[1.0, 2.0], [2.0, 4.0]], (80, 1, 1))
    )
    np.testing.assert_allclose(both.coef[:, 0], alone.coef[:, 0], rtol=1e-5)
    np.testing.assert_allclose(both.coef[:, 1], 2 * alone.coef[:, 0], rtol=1e-5)


def test_what_is_known_exactly_and_the_same_stays():
    pooled = pooled_of(np.full((10, 2), 7.0), np.zeros((10, 2, 2)))
    np.testing.assert_array_equal(pooled.coef, 7)
    np.testing.assert_array_equal(pooled["cov"], 0)
    np.testing.assert_array_equal(pooled.population, 7)


def test_correlations_beyond_one_are_refused():
    with pytest.raises(ValueError, match="correlations beyond one"):
        pooled_of(
            np.random.default_rng(0).normal(size=(20, 2)), np.tile([[1, 1.5], [1.5, 1]], (20, 1, 1))
        )


def test_a_second_maximum_of_the_likelihood_is_found():
    estimate = np.array([[0.0], [0.1], [-0.1], [5.0], [0.05], [-0.05]])
    cov = np.array([1e-3, 1e-3, 1e-3, 30.0, 1e-3, 1e-3])[:, None, None]
    found = pooled_of(estimate, cov)

    def criterion(spread):
        weight = 1 / (cov[:, 0, 0] + spread)
        mean = (weight * estimate[:, 0]).sum() / weight.sum()
        fit = (weight * (estimate[:, 0] - mean) ** 2).sum()
        return -np.log(weight).sum() + fit + np.log(weight.sum())

    grid = np.r_[0, np.geomspace(1e-6, 100, 4000)]
    assert criterion(found.between.item()) <= min(map(criterion, grid)) + 1e-6


# ---------------------------------------------------------------------------------- warnings


def test_warnings_point_to_who_called(patches):
    empty = patches.where(patches["patch"] != 1)
    with pytest.warns(UserWarning, match="1 of 4 patches") as caught:
        empty.patch.fit(LS, y="t", x="g")
    assert caught[0].filename == __file__


def test_one_pass_is_not_silently_taken_for_a_fit(patches):
    from sklearn.linear_model import SGDRegressor

    with pytest.warns(UserWarning, match="in one pass over batches"):
        patches.chunk(patch=2).patch.fit(SGDRegressor(), y="t", x="g", over="patch")


def test_fitted_models_do_not_keep_the_data(patches):
    theta = patches.patch.fit(LinearRegression(), y="t", x=["g", "h"])
    own = theta["model"].values[0].coef_
    assert own.base is None or own.base.nbytes <= 2 * own.nbytes


def test_reduced_values_are_merged_as_they_are():
    ones = xr.DataArray(np.ones(32), dims="x")
    patches = ones.patch.split(geometry={"x": 8}, sampler=xpatch.RegularStride(4), window="hann")
    score = xr.ones_like(patches.mean("x"))
    np.testing.assert_allclose(score.patch.merge(), 1)
    np.testing.assert_allclose(score.patch.merge(xpatch.OverlapAdd("hann")), 1)
    np.testing.assert_allclose(patches.patch.merge(), 1)
