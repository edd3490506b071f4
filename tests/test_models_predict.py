"""Predictions: of each patch and merged, or of merged parameters on the field, and after files."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor

import xpatch
from tests.test_models_fit import BOXES, LS, field, product

MEANS = [
    "mean",
    xpatch.OverlapAdd("hann"),
    xpatch.OverlapAdd(xpatch.Gaussian(0.5)),
    xpatch.OverlapAdd("tukey"),
]


def same(first, second, tolerance=1e-9):
    assert first.dims == second.dims
    np.testing.assert_array_equal(first.isnull(), second.isnull())
    scale = float(np.abs(second).max())
    np.testing.assert_allclose(first, second, rtol=tolerance, atol=tolerance * scale)


def both(theta, one, patches, aggregation=None):
    """Give the prediction on the field, and that on patches, merged."""
    on_field = theta.patch.predict(one, aggregation)
    local = theta.patch.predict(patches).patch.merge(aggregation)
    assert on_field.notnull().any()
    return on_field, local


# ------------------------------------------------------------------------- local and global


@pytest.mark.parametrize("aggregation", MEANS, ids=str)
@pytest.mark.parametrize("boundary", ["shift", "drop", "pad", "wrap", "raise"])
def test_local_is_global_on_boxes(aggregation, boundary):
    n = 14 if boundary == "raise" else 13  # which the stride tiles, or not
    one = field(0.1).isel(y=slice(n), x=slice(n))
    geometry = xpatch.Rectangular(y=5, x=5, boundary=boundary)
    patches = one.patch.split(geometry=geometry, sampler=xpatch.RegularStride(3))
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    on_field, local = both(theta, one, patches, aggregation)
    same(on_field, local)
    assert on_field.name == local.name == "t"
    covered = patches.elev.patch.merge().notnull()
    np.testing.assert_array_equal(on_field.notnull(), (one.g.notnull() & covered))


@settings(deadline=None, max_examples=20)
@given(
    size=st.tuples(st.integers(3, 7), st.integers(3, 7)),
    overlap=st.tuples(st.integers(0, 4), st.integers(0, 2)),
    boundary=st.sampled_from(["shift", "pad", "wrap", "drop"]),
    aggregation=st.sampled_from(MEANS),
    pooled=st.booleans(),
    seed=st.integers(0, 9),
)
def test_local_is_global_on_any_boxes(size, overlap, boundary, aggregation, pooled, seed):
    one = field(0.05, seed=seed)
    geometry = xpatch.Rectangular(y=size[0], x=size[1], boundary=boundary)
    step = {d: max(1, n - m) for d, n, m in zip("yx", size, overlap, strict=True)}
    patches = one.patch.split(geometry=geometry, sampler=xpatch.RegularStride(step))
    theta = patches.patch.fit(LS, y="t", x=["g"])
    if pooled and theta.sizes["patch"] > 4:
        theta = theta.patch.pool()
    same(*both(theta, one, patches, aggregation))


def lonlat(n=9, seed=0):
    rng = np.random.default_rng(seed)
    lat, lon = np.linspace(-80, 80, n), np.arange(0, 360, 360 / (2 * n))
    g = rng.normal(size=(4, n, 2 * n))
    t = 1 + np.cos(np.deg2rad(lat))[:, None] * g + 0.1 * rng.normal(size=g.shape)
    dims = ("time", "lat", "lon")
    return xr.Dataset({"t": (dims, t), "g": (dims, g)}, {"lat": lat, "lon": lon})


def stations(n=40, times=5, seed=0):
    rng = np.random.default_rng(seed)
    coords = {"lon": ("obs", rng.uniform(0, 60, n)), "lat": ("obs", rng.uniform(-50, 50, n))}
    g = rng.normal(size=(times, n))
    t = 2 + g * coords["lat"][1] / 30 + 0.2 * rng.normal(size=g.shape)
    return xr.Dataset({"t": (("time", "obs"), t), "g": (("time", "obs"), g)}, coords)


LISTS = {
    "caps": (lonlat, xpatch.SphericalCap(3000.0)),
    "knn": (stations, xpatch.KNNGraph(7)),
    "radius": (stations, xpatch.RadiusGraph(2500.0)),
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("aggregation", [None, *MEANS[1:3]], ids=str)
def test_local_is_global_on_lists(kind, aggregation):
    make, geometry = LISTS[kind]
    one = make()
    patches = one.patch.split(geometry=geometry)
    theta = patches.patch.fit(LS, y="t", x="g")
    on_field, local = both(theta, one, patches, aggregation)
    same(on_field, local)
    assert on_field.dims == one["t"].dims
    for k in (0, 3):
        own = patches.isel(patch=k)
        x, y = own.g.values.ravel(), own["t"].values.ravel()
        there = np.isfinite(y)
        line = LinearRegression().fit(x[there, None], y[there])
        np.testing.assert_allclose(theta.coef[k], [line.intercept_, line.coef_[0]], rtol=1e-9)


@pytest.mark.parametrize("times", [12, 13])
@pytest.mark.parametrize(
    "window", [xpatch.FixedLookback(5), xpatch.PhaseWindow("1YS", "91D")], ids=str
)
def test_local_is_global_in_time(window, times):
    one = field(0.1, times=times, n=8).assign_coords(
        time=np.datetime64("2000-01-01", "ns") + np.arange(times) * np.timedelta64(61, "D")
    )
    patches = one.patch.split(xpatch.TimePatcher(window))
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    same(*both(theta, one, patches))


@pytest.mark.parametrize("over", [None, "time", "space", "patch"])
def test_local_is_global_in_space_and_time(over):
    one = field(0.1, times=12)
    patches = product(one, stride=2)
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"], over=over)
    local = theta.patch.predict(patches).patch.merge()
    on_field = theta.patch.predict(one)
    covered = local.notnull()
    same(on_field.where(covered), local)
    if over is None:
        assert on_field.where(~covered).isnull().all()
        pair = ("mean", xpatch.TemporalMean())
        same(theta.patch.predict(one, pair), theta.patch.predict(patches).patch.merge(pair))


def test_ridge_of_all_patches_is_the_same_on_both():
    one = field(0.1)
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(Ridge(5.0), y="t", x=["g", "elev"], over="patch")
    same(theta.patch.predict(one), theta.patch.predict(patches).patch.merge(), 1e-12)


def test_the_aggregation_of_the_split_is_the_default():
    one = field(0)
    patcher = xpatch.Patcher(
        {"y": 6, "x": 5}, xpatch.RegularStride(2), aggregation=xpatch.OverlapAdd("hann")
    )
    patches = one.patch.split(patcher)
    theta = patches.patch.fit(LS, y="t", x="g")
    xr.testing.assert_allclose(
        theta.patch.predict(one), theta.patch.predict(one, xpatch.OverlapAdd("hann"))
    )
    assert not np.allclose(theta.patch.predict(one), theta.patch.predict(one, "mean"))
    same(*both(theta, one, patches))


def test_patches_that_are_left_out_leave_holes():
    one = field(0)
    patches = one.patch.split(geometry={"y": 7, "x": 8}).isel(patch=[0, 3])
    theta = patches.patch.fit(LS, y="t", x="g")
    on_field, local = both(theta, one, patches)
    same(on_field, local)
    assert int(on_field.isnull().sum()) == on_field.size // 2


# ------------------------------------------------------------------ geographic regression


@pytest.mark.parametrize("neighbors", [15, 30])
def test_neighbors_with_a_kernel_are_geographically_weighted_regression(neighbors, monkeypatch):
    from mgwr import kernels
    from mgwr.gwr import GWR

    plain = getattr(kernels.local_cdist, "py_func", kernels.local_cdist)  # takes long to compile
    monkeypatch.setattr(kernels, "local_cdist", plain)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 100, (2, 45))
    g, h = rng.normal(size=(2, 45))
    t = 1 + 0.02 * x + (2 + 0.03 * y) * g - h + rng.normal(size=45)
    one = xr.Dataset({n: ("obs", v) for n, v in {"t": t, "g": g, "h": h}.items()})
    patches = one.assign_coords(x=("obs", x), y=("obs", y)).patch.split(
        geometry=xpatch.KNNGraph(neighbors)
    )
    distance = patches.patch.distance
    z = distance / (distance.max("obs") * 1.0000001)  # the bandwidth of mgwr
    theta = patches.patch.fit(LS, y="t", x=["g", "h"], weights=(1 - z**2) ** 2)
    own = GWR(
        np.stack([x, y], -1), t[:, None], np.stack([g, h], -1), neighbors, kernel="bisquare"
    ).fit()
    np.testing.assert_allclose(theta.coef, own.params, rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------------- what comes back


def test_predictions_are_patches_with_the_dims_of_y():
    one = field(0).transpose("y", "time", "x")
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t", x=["elev"])
    predicted = theta.patch.predict(patches)
    assert predicted.dims == patches["t"].dims
    assert predicted.name == "t"
    assert isinstance(predicted.xindexes["patch"], xpatch.PatchIndex)
    assert set(predicted.coords) == set(patches["t"].coords)
    on_field = theta.patch.predict(one)
    assert on_field.dims == one["t"].dims
    xr.testing.assert_equal(on_field.coords.to_dataset(), one["t"].coords.to_dataset())


def test_values_on_patches_are_x_times_coefficients():
    patches = field(0.1).patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    predicted = theta.patch.predict(patches)
    for k in (0, 13):
        a, b, c = theta.coef.values[k]
        own = patches.isel(patch=k)
        np.testing.assert_allclose(predicted[k], (a + b * own.g + c * own.elev), rtol=1e-12)


def test_new_values_need_no_y():
    one = field(0)
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    new = one[["elev", "g"]].isel(time=[0, 2]) * 1.1
    on_field = theta.patch.predict(new)
    assert on_field.name == "t"
    assert set(on_field.dims) == {"time", "y", "x"}
    local = theta.patch.predict(new.patch.split(**BOXES))
    assert local.dims[0] == "patch"
    same(on_field.transpose("time", "y", "x"), local.patch.merge().transpose("time", "y", "x"))


def test_one_x_is_given_as_an_array():
    one = field(0)
    theta = one.patch.split(**BOXES).patch.fit(LS, y="t", x="g")
    xr.testing.assert_allclose(theta.patch.predict(one.g), theta.patch.predict(one))


def test_patches_in_another_order_find_their_parameters():
    patches = field(0).patch.split(**BOXES)
    for model in (LS, Ridge()):
        theta = patches.patch.fit(model, y="t", x="g")
        order = [7, 3, 12]
        xr.testing.assert_allclose(
            theta.patch.predict(patches.isel(patch=order)),
            theta.patch.predict(patches).isel(patch=order),
        )
        xr.testing.assert_allclose(
            theta.isel(patch=slice(None, None, -1)).patch.predict(patches),
            theta.patch.predict(patches),
        )


def test_patches_that_are_repeated_find_their_parameters():
    patches = field(0).patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t", x="g")
    twice = patches.isel(patch=[3, 3, 5])
    expected = theta.patch.predict(patches).isel(patch=[3, 3, 5])
    xr.testing.assert_allclose(theta.patch.predict(twice), expected)
    own = twice.patch.fit(LS, y="t", x="g")
    xr.testing.assert_allclose(own.patch.predict(twice), expected)


@pytest.mark.parametrize("over", ["time", "space"])
@pytest.mark.parametrize("model", [LS, LinearRegression()], ids=["ours", "sklearn"])
def test_patches_find_the_parameters_of_their_place_or_window(over, model):
    patches = product(field(0, times=12))
    theta = patches.patch.fit(model, y="t", x="g", over=over)
    coef = theta.coef.values if model is LS else np.c_[theta.intercept_, theta.coef_]
    order = np.random.default_rng(0).permutation(patches.sizes["patch"])
    shuffled = patches.isel(patch=order)
    predicted = theta.patch.predict(shuffled)
    code = order // 3 if over == "time" else order % 3
    expected = coef[code, 0][:, None, None, None] + coef[code, 1][:, None, None, None] * shuffled.g
    np.testing.assert_allclose(predicted, expected, rtol=1e-9)


@pytest.mark.parametrize("over", ["time", "space"])
@pytest.mark.parametrize("few", [[3], [7, 2, 11], range(9, 30)], ids=["one", "some", "most"])
def test_some_patches_find_the_parameters_of_their_place_or_window(over, few):
    patches = product(field(0, times=12))
    theta = patches.patch.fit(LS, y="t", x="g", over=over)
    xr.testing.assert_allclose(
        theta.patch.predict(patches.isel(patch=few)), theta.patch.predict(patches).isel(patch=few)
    )


def test_parameters_of_past_windows_are_evaluated_on_later_ones():
    patches = product(field(0, times=12))
    late = np.arange(patches.sizes["patch"]) % 3 == 2
    theta = patches.isel(patch=~late).patch.fit(LS, y="t", x="g", over="time")
    predicted = theta.patch.predict(patches.isel(patch=late))
    assert predicted.sizes["patch"] == theta.sizes["patch"] == late.sum()
    x = patches.g.isel(patch=late)
    a, b = (theta.coef.values[:, k, None, None, None] for k in (0, 1))
    np.testing.assert_allclose(predicted, a + b * x, rtol=1e-9)


def test_places_that_are_left_out_keep_their_numbers():
    patches = product(field(0, times=12))
    theta = patches.patch.fit(LS, y="t", x="g", over="time")
    some = patches.isel(patch=slice(6, 24)).patch.fit(LS, y="t", x="g", over="time")
    xr.testing.assert_allclose(some.coef, theta.coef.isel(patch=slice(2, 8)))
    pooled = patches.patch.fit(LS, y="t", x="g").isel(patch=slice(6, 24)).patch.pool("time")
    assert pooled.place.values.tolist() == list(range(2, 8))


def test_parameters_of_places_are_evaluated_at_other_times():
    one = field(0, times=12)
    theta = product(one).patch.fit(LS, y="t", x="g", over="time")
    later = one.isel(time=slice(0, 5)).assign_coords(time=np.arange(100, 105))
    on_field = theta.patch.predict(later)
    coef = theta.coef.patch.merge()
    expected = coef.sel(term="1") + coef.sel(term="g") * later.g
    same(on_field, expected.transpose(*on_field.dims))


def test_dask_stays_lazy():
    one = field(0.1)
    lazy = one.chunk(y=7, x=8)
    patches = lazy.patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    local, on_field = theta.patch.predict(patches), theta.patch.predict(lazy)
    assert local.chunks is not None
    assert on_field.chunks is not None
    own = one.patch.split(**BOXES)
    expected = own.patch.fit(LS, y="t", x=["g", "elev"])
    xr.testing.assert_allclose(on_field.compute(), expected.patch.predict(one))
    xr.testing.assert_allclose(
        local.compute().sortby("patch"), expected.patch.predict(own), rtol=1e-9
    )


def test_what_is_given_stays_as_it_is():
    one = field(0.1)
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    before = [v.copy(deep=True) for v in (one, patches, theta)]
    theta.patch.predict(one)
    theta.patch.predict(patches)
    for known, now in zip(before, (one, patches, theta), strict=True):
        xr.testing.assert_identical(known, now)


# ---------------------------------------------------------------------------- black boxes


def test_black_boxes_predict_their_patch():
    one = field(0.1)
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(KNeighborsRegressor(3), y="t", x=["g", "elev"])
    predicted = theta.patch.predict(patches)
    assert predicted.dims == patches["t"].dims
    assert predicted.name == "t"
    g, elev = xr.broadcast(patches.g[5], patches.elev[5])
    X = np.stack([g.values.ravel(), elev.values.ravel()], -1)
    there = np.isfinite(X).all(1)
    expected = np.full(len(X), np.nan)
    expected[there] = theta["model"].values[5].predict(X[there])
    np.testing.assert_allclose(predicted[5].values.ravel(), expected)
    merged = predicted.patch.merge()
    np.testing.assert_array_equal(merged.notnull(), one.g.notnull())


def test_integers_of_black_boxes_stay_integers():
    class Twice:
        def fit(self, X, y):
            return self

        def predict(self, X):
            return (2 * X[:, 0]).astype(int)

    one = xr.Dataset({"t": ("i", np.arange(8)), "x": ("i", np.arange(8))})
    patches = one.patch.split(geometry={"i": 4})
    predicted = patches.patch.fit(Twice(), y="t", x="x").patch.predict(patches)
    assert predicted.dtype.kind == "i"
    np.testing.assert_array_equal(predicted, 2 * patches.x)


def test_integers_of_black_boxes_are_numbers_where_some_are_missing():
    class Twice:
        def fit(self, X, y):
            return self

        def predict(self, X):
            return (2 * X[:, 0]).astype(int)

    x = np.arange(8.0)
    x[2] = np.nan
    one = xr.Dataset({"t": ("i", np.arange(8)), "x": ("i", x)})
    patches = one.patch.split(geometry={"i": 4})
    predicted = patches.patch.fit(Twice(), y="t", x="x").patch.predict(patches)
    np.testing.assert_array_equal(predicted, 2 * patches.x)


# --------------------------------------------------------------------------------- files


def written(theta, path, kind):
    """Write a Dataset and read it back."""
    if kind == "zarr":
        theta.drop_encoding().to_zarr(path / "theta.zarr", consolidated=False)
        return xr.open_zarr(path / "theta.zarr", consolidated=False).load()
    theta.drop_encoding().to_netcdf(path / "theta.nc")
    with xr.open_dataset(path / "theta.nc") as back:
        return back.load()


def lists():
    one = stations()
    return one, one.patch.split(geometry=xpatch.KNNGraph(7))


def boxes():
    one = field(0.1)
    return one, one.patch.split(**BOXES)


def dated(over=None):
    one = field(0.1, times=12)
    times = np.datetime64("2000-01-01", "ns") + np.arange(12) * np.timedelta64(1, "D")
    one = one.assign_coords(time=times)
    return one, product(one, stride=2)


def station_months():
    one = stations(12, 60)
    one = one.assign_coords(time=np.datetime64("2000-01-01", "ns") + np.arange(60) * 86400 * 10**9)
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(xpatch.KNNGraph(3)),
        xpatch.TimePatcher(xpatch.FixedLookback(20), xpatch.RegularTimeStride(10)),
    )
    return one, one.patch.split(patcher)


STORED = {
    "boxes": (boxes, None),
    "boxes of all": (boxes, "patch"),
    "members": (lists, None),
    "product": (dated, None),
    "places": (dated, "time"),
    "windows": (dated, "space"),
    "places of stations": (station_months, "time"),
    "windows of stations": (station_months, "space"),
}


@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
@pytest.mark.parametrize("case", STORED)
@pytest.mark.parametrize("pooled", [False, True])
def test_parameters_come_back_from_files(tmp_path, kind, case, pooled):
    make, over = STORED[case]
    one, patches = make()
    theta = patches.patch.fit(LS, y="t", x="g", over=over)
    if pooled and over != "patch":
        theta = theta.patch.pool()
    back = written(theta, tmp_path, kind)
    xr.testing.assert_allclose(back[list(theta.data_vars)], theta[list(theta.data_vars)])
    if over != "patch":
        xr.testing.assert_allclose(back.patch.merge(like=one), theta.patch.merge())
    xr.testing.assert_allclose(back.patch.predict(one), theta.patch.predict(one))
    xr.testing.assert_allclose(back.patch.predict(patches), theta.patch.predict(patches))
    if over is None and not pooled:
        xr.testing.assert_allclose(back.patch.pool().coef, theta.patch.pool().coef)
    few = {"patch": slice(0, 5)}
    xr.testing.assert_allclose(
        back.patch.predict(patches.isel(few)), theta.patch.predict(patches.isel(few))
    )


LISTED = ["members", "places of stations"]


@pytest.mark.parametrize("case", [c for c in STORED if c not in ("boxes of all", *LISTED)])
def test_coefficients_from_files_merge_alone(tmp_path, case):
    make, over = STORED[case]
    _, patches = make()
    theta = patches.patch.fit(LS, y="t", x="g", over=over)
    back = written(theta, tmp_path, "netcdf")
    xr.testing.assert_allclose(back.coef.patch.merge(), theta.coef.patch.merge())


@pytest.mark.parametrize("case", LISTED)
def test_coefficients_of_lists_from_files_merge_with_their_members(tmp_path, case):
    make, over = STORED[case]
    _, patches = make()
    theta = patches.patch.fit(LS, y="t", x="g", over=over)
    back = written(theta, tmp_path, "netcdf")
    merged = back.patch.merge()
    np.testing.assert_allclose(merged.coef, theta.patch.merge().coef, rtol=1e-12)
    with pytest.raises(ValueError, match=r"merge all variables, ds\.patch\.merge\(\)"):
        back.coef.patch.merge()  # xarray drops what says which elements patches hold


@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
def test_numbers_of_estimators_come_back_from_files(tmp_path, kind):
    _, patches = boxes()
    theta = patches.patch.fit(Ridge(), y="t", x=["g", "elev"])
    back = written(theta.drop_vars("model"), tmp_path, kind)
    xr.testing.assert_allclose(back.coef_.patch.merge(), theta.coef_.patch.merge())


@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
def test_fitted_objects_are_not_written(tmp_path, kind):
    _, patches = boxes()
    theta = patches.patch.fit(Ridge(), y="t", x=["g", "elev"])
    with pytest.raises(ValueError, match="drop_vars"):
        theta.to_netcdf(tmp_path / "t.nc") if kind == "netcdf" else theta.to_zarr(tmp_path / "t")


@pytest.mark.parametrize("aggregation", ["most_central", "first", "last"])
def test_picking_a_patch_is_the_same_for_parameters_and_predictions(aggregation):
    one = field(0)
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(LS, y="t", x=["g", "elev"])
    local = theta.patch.predict(patches).patch.merge(aggregation)
    same(local, theta.patch.predict(one, aggregation))


@pytest.mark.parametrize("over", [None, "patch"])
def test_maps_are_predicted_as_wholes(over):
    from sklearn.cluster import KMeans

    one = field(0).fillna(0.0)
    patches = one.patch.split(**BOXES)
    theta = patches.patch.fit(
        KMeans(2, n_init=1, random_state=0), x="t", features=("y", "x"), over=over
    )
    found = theta.patch.predict(patches)
    assert found.dims == ("patch", "time")
    models = np.ravel(theta["model"].values)
    for k in (0, 7):
        own = patches.t.isel(patch=k).values.reshape(patches.sizes["time"], -1)
        expected = models[k if over is None else 0].predict(own)
        np.testing.assert_array_equal(found[k], expected)
