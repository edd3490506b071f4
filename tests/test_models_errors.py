"""What is wrong with fits, pools and predictions is said where it is asked for, with a way out."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import xarray as xr
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor

import xpatch
from tests.test_models_fit import BOXES, LS, field, product


@pytest.fixture
def patches():
    return field().patch.split(**BOXES)


@pytest.fixture
def theta(patches):
    return patches.patch.fit(LS, y="t", x="g")


# ------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"y": "t", "x": ["g", "t"]}, ValueError, "'t' is among x"),
        ({"y": "q", "x": "g"}, KeyError, "y names 'q'.*'elev'"),
        ({"y": "t", "x": ["g", "q"]}, KeyError, "x names 'q'"),
        ({"y": "t", "x": ["g", "g"]}, ValueError, "twice"),
        ({"x": "g"}, ValueError, "name y"),
        ({"y": "t", "x": 3}, TypeError, "x must be a name"),
        ({"y": "t", "x": "g", "over": "place"}, ValueError, "'time', 'space', 'patch'"),
        ({"y": "t", "x": "g", "over": "time"}, ValueError, "patches in space and time"),
        ({"y": "t", "x": "g", "over": "space"}, ValueError, "patches in space and time"),
        ({"y": "t", "x": "g", "independent": "lat"}, ValueError, "independent .*'time', 'y', 'x'"),
        ({"y": "t", "x": "g", "independent": "patch"}, ValueError, "independent .* in-patch"),
        ({"y": "t", "x": "g", "features": "y"}, ValueError, "features are for models"),
        ({"y": "t", "x": "g", "on_error": "skip"}, ValueError, "'raise' or 'nan'"),
        ({"y": "t", "x": "g", "min_samples": 0}, ValueError, "min_samples"),
        ({"y": "t", "x": "g", "min_samples": 2.5}, ValueError, "min_samples"),
        ({"y": "t", "x": "g", "progress": "yes"}, TypeError, "progress"),
    ],
)
def test_wrong_arguments_of_fit(patches, kwargs, error, message):
    with pytest.raises(error, match=message):
        patches.patch.fit(LS, **kwargs)


def test_over_names_of_which_patches_they_are():
    one = field(0, times=12)
    windows = one.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(4)))
    with pytest.raises(ValueError, match=r"cut along \['time'\] alone"):
        windows.patch.fit(LS, y="t", x="g", over="time")
    coupled = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"y": 4, "x": 4}, xpatch.Explicit([(0, 0), (4, 4)])),
        xpatch.TimePatcher(xpatch.FixedLookback(4), xpatch.ExplicitTimes([5, 8])),
        "coupled",
    )
    events = one.patch.split(coupled)
    with pytest.raises(ValueError, match="coupled one to one"):
        events.patch.fit(LS, y="t", x="g", over="time")
    assert events.patch.fit(LS, y="t", x="g", over="patch").coef.notnull().all()


def test_fields_are_not_patches():
    with pytest.raises(ValueError, match="split"):
        field().patch.fit(LS, y="t", x="g")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LinearRegression, "LinearRegression\\(\\)"),
        (xpatch.LeastSquares, "LeastSquares\\(\\)"),
        (len, "fit\\(X, y\\)"),
        ("ols", "fit\\(X, y\\)"),
        (None, "fit\\(X, y\\)"),
    ],
)
def test_models_are_objects_with_fit(patches, model, message):
    with pytest.raises(TypeError, match=message):
        patches.patch.fit(model, y="t", x="g")


@pytest.mark.parametrize("ridge", [-1, np.inf, np.nan, "1", True, None])
def test_ridge_is_a_number(ridge):
    with pytest.raises((TypeError, ValueError), match="ridge"):
        xpatch.LeastSquares(ridge=ridge)


def test_a_model_without_any_term(patches):
    with pytest.raises(ValueError, match="name x"):
        patches.patch.fit(xpatch.LeastSquares(intercept=False), y="t")


def test_a_variable_that_is_called_as_the_intercept(patches):
    named = patches.assign({"1": patches.g})
    with pytest.raises(ValueError, match="'1'"):
        patches.assign({"1": patches.g}).patch.fit(LS, y="t", x=["1"])
    theta = patches.patch.fit(LS, y="t", x="elev")  # and one that is none of the x is left alone
    xr.testing.assert_allclose(theta.patch.predict(named), theta.patch.predict(patches))


@pytest.mark.parametrize("model", [LS, Ridge()], ids=["ours", "sklearn"])
def test_no_patches(patches, model):
    with pytest.raises(ValueError, match="no patch"):
        patches.isel(patch=[]).patch.fit(model, y="t", x="g")


# ------------------------------------------------------------------------------------ values


def test_dates_and_text_are_no_regressors():
    one = field(0, times=12).assign_coords(
        time=np.datetime64("2000-01-01", "ns") + np.arange(12) * np.timedelta64(1, "D"),
        name=("y", list("abcdefghijklmn")),
    )
    patches = one.patch.split(**BOXES)
    for model in (LS, Ridge()):
        with pytest.raises(TypeError, match=r"x='time' holds dates.*assign_coords\(year="):
            patches.patch.fit(model, y="t", x=["g", "time"])
        with pytest.raises(TypeError, match=r"x='name' holds <U1.*encode"):
            patches.patch.fit(model, y="t", x=["g", "name"])


def test_text_as_y_of_a_regression(patches):
    patches["kind"] = xr.where(patches["t"] > 5, "warm", "cold")
    with pytest.raises(TypeError, match=r"LeastSquares takes numbers.*'kind' holds"):
        patches.patch.fit(LS, y="kind", x="g")


def test_objects_as_x(patches):
    patches["thing"] = patches.g.astype(object)
    with pytest.raises(TypeError, match="'thing' holds object"):
        patches.patch.fit(LS, y="t", x="thing")


def test_regressors_along_what_y_has_not():
    one = field(0)
    one["levels"] = one.g.expand_dims(level=2)
    with pytest.raises(ValueError, match="'levels' lies along 'level'"):
        one.patch.split(**BOXES).patch.fit(LS, y="t", x="levels")


@pytest.mark.parametrize("chunks", [None, {"y": 7}])
def test_nothing_but_missing_values(chunks):
    one = field(0)
    one["t"] = one["t"] * np.nan
    one = one if chunks is None else one.chunk(chunks)
    with pytest.raises(ValueError, match="no patch has a fit: all have fewer than 3 samples"):
        one.patch.split(**BOXES).patch.fit(LS, y="t", x="g").compute()
    with pytest.raises(ValueError, match="no patch has a fit"):
        one.patch.split(**BOXES).patch.fit(Ridge(), y="t", x="g")


def test_regressors_that_are_constant(patches):
    patches["one"] = xr.full_like(patches.g, 7.0)
    with pytest.raises(ValueError, match="no patch has a fit: their x are constant"):
        patches.patch.fit(LS, y="t", x="one")
    without = xpatch.LeastSquares(intercept=False)
    assert patches.patch.fit(without, y="t", x="one").coef.notnull().all()


def test_regressors_that_are_the_same(patches):
    with pytest.raises(ValueError, match="no patch has a fit: their x are constant or depend"):
        patches.assign(h=2 * patches.g - 3).patch.fit(LS, y="t", x=["g", "h"])


def test_one_value_a_patch_tells_nothing_within_it(patches):
    patches["size"] = patches.elev.mean(("y", "x"))
    with pytest.raises(ValueError, match="constant"):
        patches.patch.fit(LS, y="t", x=["g", "size"])
    with pytest.raises(ValueError, match="'elev' lies along 'y', along which y='size'"):
        patches.patch.fit(LS, y="size", x=["elev"])


def test_few_samples_are_told(patches):
    patches["t"] = patches["t"].where(patches["patch"] > 1)
    with pytest.warns(UserWarning, match="2 of 20 patches have no fit and are NaN: 2 have fewer"):
        theta = patches.patch.fit(LS, y="t", x="g")
    assert theta.coef[:2].isnull().all()


def test_a_field_that_was_not_cut(patches):
    patches["once"] = xr.DataArray(np.arange(4.0), dims="once_dim")
    with pytest.raises(ValueError, match="'once' has no dimension 'patch'"):
        patches.patch.fit(LS, y="once")


def test_analysis_windows_bend_a_regression():
    windowed = field(0).patch.split(**BOXES, window="hann")
    with pytest.raises(ValueError, match=r"analysis window Hann.*weights"):
        windowed.patch.fit(LS, y="t", x="g")


def test_windows_as_weights_are_the_way_out(patches):
    windowed = field().patch.split(**BOXES, window="hann")
    weights = windowed.patch.weights
    theta = patches.patch.fit(LS, y="t", x="g", weights=weights)
    k = 6
    g, t, w = (
        v.broadcast_like(patches["t"])[k].values.ravel() for v in (patches.g, patches["t"], weights)
    )
    ok = np.isfinite(g + t)
    own = LinearRegression().fit(g[ok, None], t[ok], w[ok])
    np.testing.assert_allclose(theta.coef[k], [own.intercept_, own.coef_[0]], rtol=1e-9)


def test_too_few_clusters():
    patches = field(0, times=2).patch.split(**BOXES)
    with pytest.raises(ValueError, match=r"2 clusters in a patch.* 2 terms"):
        patches.patch.fit(LS, y="t", x="g", independent="time")


# ----------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("bad", [-0.5, np.inf])
@pytest.mark.parametrize("model", [LS, Ridge()], ids=["ours", "sklearn"])
def test_weights_are_not_negative(patches, bad, model):
    weights = xr.ones_like(patches["t"])
    weights[2, 0, 1, 1] = bad
    with pytest.raises(ValueError, match=f"finite and not negative, got {bad}"):
        patches.patch.fit(model, y="t", x="g", weights=weights)
    if model is LS:
        with pytest.raises(ValueError, match="finite and not negative"):
            patches.patch.fit(model, y="t", x="g", weights=weights.chunk(patch=3)).compute()


def test_weights_that_are_all_zero(patches):
    with pytest.raises(ValueError, match=r"weight|fewer than"):
        patches.patch.fit(LS, y="t", x="g", weights=xr.zeros_like(patches["t"]))


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (lambda p: np.ones(3), ValueError, r"shape \(3,\).*DataArray with named"),
        (lambda p: p.g.isel(y=slice(3)) ** 2, ValueError, "differ along 'y'"),
        (lambda p: p.g.rename(y="z").drop_vars("z", errors="ignore") ** 2, ValueError, "'z'"),
        (lambda p: p.g.isel(patch=[0, 1]) ** 2, ValueError, "lack patches"),
        (lambda p: p.g.drop_vars("patch").isel(patch=[0, 1]) ** 2, ValueError, "of 2 patches"),
        (lambda p: "w", KeyError, "weights names 'w'"),
        (lambda p: p.g.astype(str), TypeError, "numbers"),
        (
            lambda p: field().patch.split(geometry={"y": 6, "x": 5}).g ** 2,
            ValueError,
            "another split",
        ),
    ],
)
def test_wrong_weights(patches, weights, error, message):
    with pytest.raises(error, match=message):
        patches.patch.fit(LS, y="t", x="g", weights=weights(patches))


def test_weights_of_another_split_with_as_many_patches(patches):
    other = (
        field(n=14)
        .isel(y=slice(None, None, -1))
        .patch.split(geometry={"y": 6, "x": 5}, sampler=xpatch.JitteredStride(3, seed=1))
    )
    other = other.isel(patch=np.arange(20) % other.sizes["patch"])
    with pytest.raises(ValueError, match="another split"):
        patches.patch.fit(LS, y="t", x="g", weights=np.abs(other.g))


def test_weights_in_another_order_are_put_in_order(patches):
    weights = np.abs(patches.g).fillna(0)
    order = np.random.default_rng(0).permutation(20)
    for model in (LS, Ridge()):
        expected = patches.patch.fit(model, y="t", x="g", weights=weights)
        theta = patches.patch.fit(model, y="t", x="g", weights=weights.isel(patch=order))
        for name in set(expected.data_vars) - {"model"}:
            xr.testing.assert_allclose(theta[name], expected[name])
        some = patches.isel(patch=[4, 2]).patch.fit(model, y="t", x="g", weights=weights)
        name = "coef" if model is LS else "coef_"
        np.testing.assert_allclose(some[name], expected[name][[4, 2]])


def test_names_of_weights(patches):
    weights = np.abs(patches.g).fillna(0)
    xr.testing.assert_allclose(
        patches.assign(w=weights).patch.fit(LS, y="t", x="g", weights="w"),
        patches.patch.fit(LS, y="t", x="g", weights=weights),
    )


def test_models_that_take_no_weights(patches):
    with pytest.raises(ValueError, match=r"KNeighborsRegressor.fit takes no sample_weight"):
        patches.patch.fit(KNeighborsRegressor(), y="t", x="g", weights=np.abs(patches.g))


def test_dask_beside_numpy():
    one = field()
    expected = one.patch.split(**BOXES).patch.fit(LS, y="t", x=["g", "elev"])
    for lazy in (["g"], ["t"], ["elev"]):
        mixed = one.assign({n: one[n].chunk(y=5) for n in lazy})
        patches = mixed.patch.split(**BOXES)
        theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
        assert theta.coef.chunks is not None
        xr.testing.assert_allclose(theta.compute().sortby("patch"), expected)
        ridge = patches.patch.fit(Ridge(), y="t", x=["g", "elev"])
        own = one.patch.split(**BOXES).patch.fit(Ridge(), y="t", x=["g", "elev"])
        xr.testing.assert_allclose(ridge.coef_.sortby("patch"), own.coef_)


# -------------------------------------------------------------------------------- estimators


class Stuck:
    """Cannot be copied."""

    def __init__(self):
        self.lock = threading.Lock()

    def fit(self, X, y):
        return self


def test_models_that_cannot_be_copied(patches):
    with pytest.raises(TypeError, match=r"cannot be copied.*__deepcopy__"):
        patches.patch.fit(Stuck(), y="t", x="g")


def test_independent_is_for_least_squares(patches):
    with pytest.raises(ValueError, match="independent= changes the cov of LeastSquares"):
        patches.patch.fit(Ridge(), y="t", x="g", independent="time")


def test_y_along_the_features(patches):
    with pytest.raises(ValueError, match=r"y lies along 'y'.*average"):
        patches.patch.fit(Ridge(), y="t", x="g", features=("y", "x"))


def test_every_patch_fails(patches):
    class Bad:
        def fit(self, X, y):
            raise RuntimeError("no luck")

    with pytest.raises(ValueError, match=r"no patch has a fit.*no luck"):
        patches.patch.fit(Bad(), y="t", x="g", on_error="nan")
    with pytest.raises(RuntimeError, match="no luck") as caught:
        patches.patch.fit(Bad(), y="t", x="g")
    assert "on patch 0" in "\n".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("over", "told"), [("time", "patches"), ("space", "patches"), ("patch", "all")]
)
def test_groups_that_fail_name_their_patches(over, told):
    class Bad:
        def fit(self, X, y):
            raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck") as caught:
        product().patch.fit(Bad(), y="t", x="g", over=over)
    assert told in "\n".join(caught.value.__notes__)


# -------------------------------------------------------------------------------------- pool


def test_pool_needs_covariances(patches):
    with pytest.raises(KeyError, match="no 'coef'"):
        patches.patch.fit(Ridge(), y="t", x="g").patch.pool()
    with pytest.raises(KeyError, match="fit with LeastSquares, or pass cov="):
        patches.patch.fit(Ridge(), y="t", x="g").patch.pool(coef="coef_")
    with pytest.raises(KeyError, match="fit with LeastSquares, or pass cov="):
        patches.patch.fit(LS, y="t", x="g").drop_vars("cov").patch.pool()


def test_pool_needs_several_patches(patches):
    theta = patches.isel(patch=[3]).patch.fit(LS, y="t", x="g")
    with pytest.raises(ValueError, match=r"1 patches with an estimate|1 patch with"):
        theta.patch.pool()
    with pytest.raises(ValueError, match=r"nothing to pool.*over=None"):
        patches.patch.fit(LS, y="t", x="g", over="patch").patch.pool()


@pytest.mark.parametrize("missing", [0, 2])
def test_pool_needs_more_estimates_than_terms_and_populations(patches, missing):
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    few = theta.isel(patch=slice(0, 5 + missing))
    few["coef"] = few.coef.where(few["patch"] >= missing)
    with pytest.raises(ValueError, match=r"5 patches with an estimate.*at least 6"):
        few.patch.pool()
    enough = theta.isel(patch=slice(0, 6)).patch.pool()
    assert enough.between.notnull().all()


def test_pool_needs_estimates_beyond_the_populations():
    patches = product().isel(patch=slice(0, 9))  # three places of three windows
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    assert theta.patch.pool("time").population.shape == (3, 3)
    with pytest.raises(
        ValueError, match=r"7 patches with an estimate, of 3 populations.*at least 8"
    ):
        theta.isel(patch=[0, 1, 2, 3, 4, 6, 8]).patch.pool("time")


@pytest.mark.parametrize("over", ["time", "space"])
def test_pool_over_parts_that_there_are_not(theta, over):
    with pytest.raises(ValueError, match="patches in space and time"):
        theta.patch.pool(over)


@pytest.mark.parametrize("over", ["patch", "place", 1])
def test_wrong_words_of_pool(theta, over):
    with pytest.raises(ValueError, match="over must be None, 'time'"):
        theta.patch.pool(over)


def test_pool_takes_parameters(theta):
    with pytest.raises(TypeError, match="Dataset that fit gives"):
        theta.coef.patch.pool()
    with pytest.raises(ValueError, match=r"must have dims \(patch, term\)"):
        theta.patch.pool(coef="n")
    with pytest.raises(ValueError, match=r"\(patch, term, term\)"):
        theta.patch.pool(cov="coef")


def test_negative_variances(theta):
    with pytest.raises(ValueError, match="negative variances"):
        theta.assign(cov=-theta["cov"]).patch.pool()


# ----------------------------------------------------------------------------------- predict


def test_predict_is_asked_of_parameters(patches):
    with pytest.raises(TypeError, match=r"theta.patch.predict"):
        patches.patch.predict(patches)


def test_parameters_of_another_split(theta):
    one = field()
    other = one.patch.split(geometry={"y": 6, "x": 5})
    with pytest.raises(ValueError, match="another split"):
        theta.patch.predict(other)
    black = one.patch.split(**BOXES).patch.fit(Ridge(), y="t", x="g")
    with pytest.raises(ValueError, match="another split"):
        black.patch.predict(other)


def test_patches_without_parameters(theta, patches):
    with pytest.raises(ValueError, match="no parameters of patch 0, nor of 17 more"):
        theta.isel(patch=[3, 5]).patch.predict(patches)


def test_black_boxes_are_not_merged(patches):
    black = patches.patch.fit(Ridge(), y="t", x="g")
    with pytest.raises(ValueError, match="on patches, then merge"):
        black.patch.predict(field())


@pytest.mark.parametrize("aggregation", ["median", "max", "std", "mode"])
def test_aggregations_that_are_not_linear(theta, aggregation):
    with pytest.raises(ValueError, match="not linear"):
        theta.patch.predict(field(), aggregation)


def test_a_default_that_is_not_linear():
    one = field(0)
    patcher = xpatch.Patcher({"y": 6, "x": 5}, xpatch.RegularStride(2), aggregation="median")
    theta = one.patch.split(patcher).patch.fit(LS, y="t", x="g")
    with pytest.raises(ValueError, match=r"Median.*not linear.*'mean'"):
        theta.patch.predict(one)
    assert theta.patch.predict(one, "mean").notnull().all()


def test_nothing_is_merged_on_patches_nor_of_one_fit(theta, patches):
    with pytest.raises(ValueError, match=r"merge\(aggregation\)"):
        theta.patch.predict(patches, "mean")
    whole = patches.patch.fit(LS, y="t", x="g", over="patch")
    with pytest.raises(ValueError, match="leave aggregation out"):
        whole.patch.predict(field(), "mean")


def test_terms_that_are_not_there(theta, patches):
    for obj in (field()[["t"]], patches[["t"]]):
        with pytest.raises(KeyError, match=r"term 'g'.*'t'"):
            theta.patch.predict(obj)


def test_fields_with_other_labels(theta):
    one = field()
    for other in (
        one.assign_coords(x=one.x + 1),
        one.isel(y=slice(None, None, -1)),
        one.isel(x=slice(10)),
    ):
        with pytest.raises(
            ValueError, match=r"its '[xy]' differs|it has 10 cells along 'x', not 16"
        ):
            theta.patch.predict(other)
    with pytest.raises(ValueError, match="'y', which this field has not"):
        theta.patch.predict(one[["g"]].isel(y=0))


def test_fields_without_labels_are_taken_by_position():
    one = field().drop_vars(["y", "x"])
    theta = one.patch.split(**BOXES).patch.fit(LS, y="t", x="g")
    assert theta.patch.predict(one).notnull().any()
    with pytest.raises(ValueError, match="it has 10 cells along 'x', not 16"):
        theta.patch.predict(one.isel(x=slice(10)))


def test_labels_that_wrap_are_no_terms_of_a_field():
    lon = np.arange(0, 360, 20.0)
    one = xr.Dataset(
        {"t": (("lat", "lon"), np.random.default_rng(0).random((9, 18)))},
        {"lat": np.linspace(-80, 80, 9), "lon": lon},
    )
    geometry = xpatch.Rectangular(lat=4, lon=6, boundary={"lon": "wrap"})
    patches = one.patch.split(geometry=geometry, sampler=xpatch.RegularStride(4))
    theta = patches.patch.fit(LS, y="t", x=["lat", "lon"])
    with pytest.raises(ValueError, match="'lon' is the label of a dimension that wraps"):
        theta.patch.predict(one)
    assert theta.patch.predict(patches).patch.merge().notnull().all()
    safe = patches.patch.fit(LS, y="t", x=["lat"])
    xr.testing.assert_allclose(safe.patch.predict(one), safe.patch.predict(patches).patch.merge())


def test_components_of_maps_have_no_prediction(patches):
    whole = patches.fillna(0.0).patch.fit(PCA(2), x="t", features=("y", "x"))
    with pytest.raises(TypeError, match=r"theta\.components_\)\.sum"):
        whole.patch.predict(patches.fillna(0.0))
    with pytest.raises(ValueError, match="predict on patches"):
        patches.fillna(0.0).patch.fit(
            PCA(2), x="t", features=("y", "x"), over="patch"
        ).patch.predict(field())


@pytest.mark.parametrize("word", ["place", "window"])
def test_the_names_of_parts_say_what_is_shared(patches, word):
    shared = {"place": "time", "window": "space"}[word]
    with pytest.raises(ValueError, match=f"One set of parameters a {word} is over='{shared}'"):
        patches.patch.fit(LS, y="t", x="g", over=word)


def test_a_field_is_told_to_be_split():
    with pytest.raises(ValueError, match=r"split first, field\.patch\.split\(…\)\.patch\.fit"):
        field().patch.fit(LS, y="t", x="g")


def test_arrays_are_no_names(patches):
    with pytest.raises(TypeError, match="got a DataArray: x='g'"):
        patches.patch.fit(LS, y="t", x=patches.g)


def test_clusters_are_named_by_dimensions_or_what_lies_along_one(patches):
    with pytest.raises(ValueError, match="or a coordinate along one of them"):
        patches.patch.fit(LS, y="t", x="g", independent="year")


def test_models_without_predict(patches):
    theta = patches.patch.fit(PCA(1), x=["g", "elev"])
    with pytest.raises(TypeError, match=r"PCA has no predict"):
        theta.patch.predict(patches)


def test_predictions_of_another_shape(patches):
    class Wide:
        def fit(self, X, y):
            return self

        def predict(self, X):
            return np.zeros((len(X), 2))

    theta = patches.patch.fit(Wide(), y="t", x="g")
    with pytest.raises(ValueError, match=r"Wide gave shape .*one value a sample"):
        theta.patch.predict(patches)


def test_a_failing_prediction_names_its_patch(patches):
    class Broken:
        def fit(self, X, y):
            return self

        def predict(self, X):
            raise RuntimeError("no luck")

    theta = patches.patch.fit(Broken(), y="t", x="g")
    with pytest.raises(RuntimeError, match="no luck") as caught:
        theta.patch.predict(patches.isel(patch=[4, 5]))
    assert "patch 4" in "\n".join(getattr(caught.value, "__notes__", []))
