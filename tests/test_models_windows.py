"""Models by name on the past of windows: against loops, and blind for what comes after."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.linear_model import LinearRegression, Ridge

import xpatch

LS = xpatch.LeastSquares()
GEOMETRIES = [
    xpatch.LookbackHorizon(12, 4),
    xpatch.LookbackHorizon(12, 4, gap=2),
    xpatch.LookbackHorizon(12, 4, expanding=True),
    xpatch.LookbackHorizon("12D", "4D", gap="2D"),
    xpatch.LookbackHorizon("1MS", "5D"),
    xpatch.LookbackHorizon("1MS", "5D", expanding=True),
]
SAMPLERS = [xpatch.RegularTimeStride(7), xpatch.CausalRolling(7)]


def series(n=90, calendar=None, gaps=()):
    values = np.random.default_rng(0).normal(size=n).cumsum()
    time = xr.date_range(
        "2000-01-10", periods=n, calendar=calendar or "standard", use_cftime=calendar is not None
    )
    one = xr.DataArray(values, {"time": time}, ("time",), name="t")
    return one.isel(time=[k for k in range(n) if k not in gaps])


def cut(field, geometry=GEOMETRIES[0], sampler=SAMPLERS[0]):
    return field.patch.split(xpatch.TimePatcher(geometry, sampler))


def line(patches):
    """The trend of each past, drawn on, with a function."""
    return xpatch.fit_predict(
        patches,
        lambda past: np.polyfit(past.lead, past, 1),
        lambda model, future: np.polyval(model, future.lead),
    )


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("gaps", [(), (20, 21, 33, 60)], ids=["even", "with gaps"])
def test_least_squares_are_the_trend_of_a_loop(geometry, sampler, gaps):
    patches = cut(series(gaps=gaps), geometry, sampler)
    expected = line(patches)
    for model in (LS, LinearRegression()):
        found = xpatch.fit_predict(patches, model, x="lead")
        assert found.name == "t"
        assert found.dims == expected.dims
        np.testing.assert_allclose(found, expected, atol=1e-9)
        merged = found.patch.merge(xpatch.Forecast("latest"))
        xr.testing.assert_allclose(
            merged, expected.rename("t").patch.merge(xpatch.Forecast("latest"))
        )


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_other_calendars(calendar):
    patches = cut(series(calendar=calendar), GEOMETRIES[4])
    np.testing.assert_allclose(xpatch.fit_predict(patches, LS, x="lead"), line(patches), atol=1e-9)


def test_missing_values_of_the_past_are_left_out():
    field = series()
    field = field.where(np.random.default_rng(1).random(90) > 0.2)
    patches = cut(field)
    found = xpatch.fit_predict(patches, LS, x="lead")
    expected = xpatch.fit_predict(
        patches,
        lambda past: np.polyfit(past.lead[past.notnull()], past.dropna("time"), 1),
        lambda model, future: np.polyval(model, future.lead),
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert found.notnull().all()


def test_a_past_that_is_too_short_has_no_forecast():
    field = series()
    field[:14] = np.nan
    patches = cut(field)
    with pytest.warns(UserWarning, match="no fit"):
        found = xpatch.fit_predict(patches, LS, x="lead")
    assert found.isel(patch=0).isnull().all()
    assert found.isel(patch=slice(2, None)).notnull().all()


# ------------------------------------------------------------------------------ what is known


def forced():
    rng = np.random.default_rng(0)
    time = pd.date_range("2000-01-01", periods=90)
    g = rng.normal(size=90)
    values = np.where(np.arange(90) < 45, 2.0, -1.0) * g + 3 + 0.01 * rng.normal(size=90)
    month = ("time", (np.arange(90) // 30).astype(float))
    return xr.Dataset({"t": ("time", values), "g": ("time", g)}, {"time": time, "month": month})


@pytest.mark.parametrize("model", [LS, LinearRegression(), Ridge(0.5)], ids=str)
def test_a_forcing_is_known(model):
    patches = cut(forced())
    found = xpatch.fit_predict(patches, model, y="t", x=["g", "lead"], known="g")
    past, future = patches.patch.lookback, patches.patch.horizon
    other = model if isinstance(model, Ridge) else LinearRegression()
    for k in range(patches.sizes["patch"]):
        X = np.column_stack([past.g[k], past.lead])
        own = other.fit(X, past.t[k]).predict(np.column_stack([future.g[k], future.lead]))
        np.testing.assert_allclose(found[k], own, atol=1e-9)


def test_what_is_not_known_is_refused():
    patches = cut(forced())
    with pytest.raises(ValueError, match=r"x='g' changes in time.*known=\['g'\]"):
        xpatch.fit_predict(patches, LS, y="t", x=["g"])
    with pytest.raises(ValueError, match="x='month' changes in time"):
        xpatch.fit_predict(patches, LS, y="t", x=["lead", "month"])
    with pytest.raises(ValueError, match="x='t' changes in time"):
        xpatch.fit_predict(patches, LS, y="t", x="t")


@pytest.mark.parametrize("name", ["wind", "nothing"])
def test_known_names_that_are_not_there_are_told(name):
    patches = cut(forced())
    with pytest.raises(ValueError, match=f"known names '{name}', which the patches have not"):
        xpatch.fit_predict(patches, LS, y="t", x="lead", known=name)


def test_names_that_are_not_there_are_told():
    patches = cut(forced())
    with pytest.raises(ValueError, match="known names 'wind', which the patches have not"):
        xpatch.fit_predict(patches, LS, y="t", x="wind", known="wind")
    with pytest.raises(KeyError, match="wind"):
        xpatch.fit_predict(patches, LS, y="wind", x="lead")


def test_a_variable_that_is_not_there_is_not_said_to_change_in_time():
    with pytest.raises(KeyError, match="wind"):
        xpatch.fit_predict(cut(forced()), LS, y="t", x="wind")


def test_a_calendar_is_known_by_name():
    patches = cut(forced())
    found = xpatch.fit_predict(patches, Ridge(), y="t", x=["lead", "month"], known=["month"])
    assert found.notnull().all()


@pytest.mark.parametrize("poison", [np.nan, 1e30, np.inf], ids=str)
@pytest.mark.parametrize("model", [LS, LinearRegression()], ids=str)
@pytest.mark.parametrize("geometry", [GEOMETRIES[1], GEOMETRIES[2], GEOMETRIES[4]], ids=str)
def test_the_future_is_never_seen(poison, model, geometry):
    field = forced()
    patches = cut(field, geometry)
    steps = patches.patch.anchors.cell_time.values
    for k in (0, 4, len(steps) - 1):
        after = xr.DataArray(np.arange(90) > steps[k], dims="time")
        poisoned = cut(field.assign(t=field.t.where(~after, poison)), geometry)
        clean, found = (
            xpatch.fit_predict(p.isel(patch=[k]), model, y="t", x=["lead", "g"], known="g")
            for p in (patches, poisoned)
        )
        np.testing.assert_array_equal(found, clean)


def test_the_past_of_a_forcing_does_not_leak_from_its_future():
    field = forced()
    patches = cut(field)
    clean = xpatch.fit_predict(patches, LS, y="t", x=["g"], known="g")
    last = patches.patch.anchors.cell_time.values[0]
    later = xr.DataArray(np.arange(90) > last, dims="time")
    other = cut(field.assign(g=field.g.where(~later, field.g + 1)))
    found = xpatch.fit_predict(other, LS, y="t", x=["g"], known="g")
    slope, _ = np.polyfit(patches.patch.lookback.g[0], patches.patch.lookback.t[0], 1)
    np.testing.assert_allclose(found[0] - clean[0], slope, rtol=1e-8)


# --------------------------------------------------------------------------- kinds of patches


def test_dask_and_disk_give_what_numpy_gives(tmp_path):
    field = forced()
    expected = xpatch.fit_predict(cut(field), LS, y="t", x=["lead", "g"], known="g")
    field.to_netcdf(tmp_path / "f.nc")
    field.to_zarr(tmp_path / "f.zarr", consolidated=False)
    with (
        xr.open_dataset(tmp_path / "f.nc", chunks=None) as disk,
        xr.open_zarr(tmp_path / "f.zarr", consolidated=False) as chunked,
    ):
        for source in (field.chunk(time=17), disk, chunked):
            for model in (LS, LinearRegression()):
                patches = cut(source)
                found = xpatch.fit_predict(patches, model, y="t", x=["lead", "g"], known="g")
                found = found.compute().sortby("patch")
                np.testing.assert_allclose(found, expected, atol=1e-9)


def test_patches_that_were_read_back(tmp_path):
    patches = cut(series(), GEOMETRIES[2])
    patches.to_netcdf(tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc") as again:
        found = xpatch.fit_predict(again["t"], LS, x="lead")
        np.testing.assert_allclose(found, xpatch.fit_predict(patches, LS, x="lead"), atol=1e-9)
        merged = found.patch.merge("forecast")
    assert merged.sizes["time"] == 90


def test_an_array_without_a_name_has_no_y():
    with pytest.raises(ValueError, match=r"name y, .*patches\.rename\('t'\)"):
        xpatch.fit_predict(cut(series().rename(None)), LS, x="lead")
    assert line(cut(series().rename(None))).name is None


@pytest.mark.parametrize("geometry", [GEOMETRIES[0], GEOMETRIES[2], GEOMETRIES[4]], ids=str)
@pytest.mark.parametrize("lists", [False, True])
def test_space_and_time_have_one_model_a_patch(geometry, lists):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(90, 6)).cumsum(0)
    coords = {"time": pd.date_range("2000-01-01", periods=90)}
    coords |= {"x": ("s", np.arange(6.0)), "y": ("s", np.zeros(6))} if lists else {}
    coords |= {"height": ("s", rng.normal(size=6))}
    field = xr.DataArray(values, coords, ("time", "s"), name="t")
    space = xpatch.Patcher(xpatch.KNNGraph(3) if lists else {"s": 3})
    windows = xpatch.TimePatcher(geometry, SAMPLERS[0])
    patches = field.patch.split(xpatch.SpatioTemporalPatcher(space, windows))
    found = xpatch.fit_predict(patches, LS, x=["lead", "height"])
    past, future = patches.patch.lookback, patches.patch.horizon
    assert found.dims == future.dims
    for k in (0, 5, patches.sizes["patch"] - 1):
        own, ahead = past.isel(patch=k), future.isel(patch=k)
        own = own.dropna("time", how="all").transpose("time", "s")
        n = own.sizes["time"]
        lead = np.arange(1 - n, 1)
        X = np.column_stack([np.repeat(lead, 3), np.tile(own["height"], n)])
        model = LinearRegression().fit(X, own.values.ravel())
        m = ahead.sizes["time"]
        X = np.column_stack([np.repeat(np.arange(1, m + 1), 3), np.tile(ahead["height"], m)])
        predicted = found.isel(patch=k).transpose("time", "s").values.ravel()
        held = np.isfinite(predicted)
        np.testing.assert_allclose(predicted[held], model.predict(X)[held], atol=1e-8)
        assert held[:9].all()
    merged = found.patch.merge(xpatch.Forecast("latest"))
    assert set(merged.dims) == {"time", "s"}
    there = future.patch.merge(xpatch.Forecast("latest")).notnull()
    np.testing.assert_array_equal(merged.notnull(), there)


def test_selected_windows_are_forecast_as_before():
    patches = cut(series())
    whole = xpatch.fit_predict(patches, LS, x="lead")
    some = xpatch.fit_predict(patches.isel(patch=[5, 0, 2]), LS, x="lead")
    xr.testing.assert_allclose(some, whole.isel(patch=[5, 0, 2]))


def test_forecasts_lie_where_the_future_does():
    patches = cut(series(), GEOMETRIES[1])
    merged = xpatch.fit_predict(patches, LS, x="lead").patch.merge("forecast")
    future = patches.patch.horizon.patch.merge("forecast")
    np.testing.assert_array_equal(merged.notnull(), future.notnull())
    cube = xpatch.fit_predict(patches, LS, x="lead").patch.merge(xpatch.Forecast("cube"))
    assert cube.forecast_period.values.tolist() == [3, 4, 5, 6]


def test_names_that_the_field_has_of_its_own():
    field = series().assign_coords(lead=7.5)
    patches = cut(field)
    name = next(n for n in patches.coords if str(n) != "lead" and "lead" in str(n))
    found = xpatch.fit_predict(patches, LS, x=name)
    np.testing.assert_allclose(found, line(cut(series())), atol=1e-9)


# ------------------------------------------------------------------------------- by a function


@pytest.mark.parametrize("chunk", [None, 20], ids=["numpy", "dask"])
@pytest.mark.parametrize("geometry", [GEOMETRIES[0], GEOMETRIES[2], GEOMETRIES[4]], ids=str)
def test_a_function_may_write_into_the_horizon(chunk, geometry):
    field = series()
    source = field if chunk is None else field.chunk(time=chunk)
    patches = cut(source, geometry)
    before = patches.compute()

    def fill(model, future):
        assert future.isnull().all()
        future[:] = model
        return future

    found = xpatch.fit_predict(patches, lambda past: float(past.mean()), fill)
    mean = patches.patch.lookback.mean("time").compute()
    written = found.isel(time=0).sortby("patch")
    np.testing.assert_allclose(written, mean.sortby("patch"))
    xr.testing.assert_equal(patches.compute(), before)


def test_a_function_may_write_into_the_variables_of_a_dataset():
    def fill(model, future):
        future["t"].values[...] = model
        return future

    patches = cut(forced())
    found = xpatch.fit_predict(patches, lambda past: float(past.t[-1]), fill, known="g")
    np.testing.assert_allclose(found.t.isel(time=0), patches.patch.lookback.t.isel(time=-1))
    np.testing.assert_array_equal(found.g, patches.patch.horizon.g)


def test_patches_stay_as_they_are_if_a_function_writes_into_what_is_known():
    def fill(model, future):
        future["g"].values[...] = 0
        return future.assign(t=future.t.fillna(1.0))

    patches = cut(forced()).load()
    before = patches.copy(deep=True)
    xpatch.fit_predict(patches, lambda past: 0, fill, known="g")
    xr.testing.assert_equal(patches, before)


def test_patches_stay_as_they_are_if_a_function_writes_into_the_past():
    def spoil(past):
        past[:] = 0
        return 0.0

    patches = cut(series()).load()
    before = patches.copy(deep=True)
    xpatch.fit_predict(patches, spoil, lambda model, future: future.fillna(model))
    xr.testing.assert_equal(patches, before)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((LS, lambda m, f: f), TypeError, "LeastSquares predicts itself"),
        ((LinearRegression(), lambda m, f: f), TypeError, "LinearRegression predicts itself"),
        ((3,), TypeError, "fit must be a function, or a model"),
        ((lambda past: 0,), TypeError, "predict must be a function"),
    ],
)
def test_what_does_not_go_together(args, error, message):
    with pytest.raises(error, match=message):
        xpatch.fit_predict(cut(series()), *args)


def test_what_is_for_models_alone():
    patches = cut(series())
    with pytest.raises(TypeError, match="y and x are for models"):
        xpatch.fit_predict(patches, lambda past: 0, lambda m, f: f.fillna(m), x="lead")
    only_past = cut(series(), xpatch.FixedLookback(5))
    with pytest.raises(ValueError, match=r"horizon|future"):
        xpatch.fit_predict(only_past, LS, x="lead")


def test_a_class_is_no_model():
    with pytest.raises(TypeError, match="not the class"):
        xpatch.fit_predict(cut(series()), LinearRegression, x="lead")
