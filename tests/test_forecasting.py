"""Fits on the past of each window, and predictions of what comes after it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch

GEOMETRIES = [
    xpatch.LookbackHorizon(20, 5),
    xpatch.LookbackHorizon(20, 5, expanding=True),
    xpatch.LookbackHorizon("20D", "5D", gap="2D"),
    xpatch.LookbackHorizon("1MS", "1MS"),
    xpatch.LookbackHorizon("1MS", "1MS", expanding=True),
]


def series(n=150, calendar=None, places=3):
    values = np.random.default_rng(0).normal(size=(n, places)).cumsum(axis=0)
    time = xr.date_range(
        "2000-01-10", periods=n, calendar=calendar or "standard", use_cftime=calendar is not None
    )
    return xr.DataArray(
        values, {"time": time, "place": list("abc")[:places]}, ("time", "place"), name="v"
    )


def cut(field, geometry, sampler=None):
    return field.patch.split(xpatch.TimePatcher(geometry, sampler or xpatch.RegularTimeStride(10)))


def line(past):
    return np.polyfit(np.arange(-len(past.time), 0), past.transpose("time", ...), 1)


def extended(model, future):
    ahead = np.arange(future.sizes["time"])
    return future.copy(data=np.outer(ahead, model[0]) + model[1])


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("calendar", [None, "360_day"])
@pytest.mark.parametrize(
    "sampler", [xpatch.RegularTimeStride(10), xpatch.CausalRolling(10)], ids=str
)
def test_predictions_are_those_of_a_loop(geometry, calendar, sampler):
    field = series(calendar=calendar)
    patches = cut(field, geometry, sampler)
    predicted = xpatch.fit_predict(patches, line, extended)
    assert predicted.dims == ("patch", "time", "place")
    at = patches.patch.anchors.time.values
    future = patches.patch.horizon
    first = 0 if isinstance(sampler, xpatch.CausalRolling) else 1
    for k, anchor in enumerate(at):
        here = int(np.flatnonzero(field.time.values == anchor)[0])
        steps = [
            int(np.flatnonzero(field.time.values == t)[0])
            for t in future.isel(patch=k).time.values
            if t is not None and t == t
        ]
        known = patches.patch.lookback.isel(patch=k)
        held = known.notnull().all("place").values.sum()
        past = field.isel(time=slice(here + first - held, here + first))
        expected = np.arange(len(steps))[:, None] * line(past)[0] + line(past)[1]
        np.testing.assert_allclose(predicted.isel(patch=k)[: len(steps)], expected, atol=1e-9)
        if getattr(geometry, "expanding", False):
            assert held == here + first
    merged = predicted.patch.merge(xpatch.Forecast("latest"))
    xr.testing.assert_equal(merged.time, field.time)
    np.testing.assert_array_equal(
        merged.notnull(), future.patch.merge(xpatch.Forecast("latest")).notnull()
    )


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("space", [False, True])
def test_no_prediction_knows_the_future(geometry, space):
    field = series()
    if space:
        patcher = xpatch.SpatioTemporalPatcher(
            xpatch.Patcher({"place": 2}, xpatch.RegularStride(1)),
            xpatch.TimePatcher(geometry, xpatch.RegularTimeStride(10)),
        )
    else:
        patcher = xpatch.TimePatcher(geometry, xpatch.RegularTimeStride(10))
    patches = field.patch.split(patcher)
    predicted = xpatch.fit_predict(patches, line, extended)
    steps = patches.patch.anchors.cell_time.values
    for step in np.unique(steps):
        poisoned = field.where(np.arange(field.sizes["time"])[:, None] <= step)
        which = np.flatnonzero(steps == step)
        again = xpatch.fit_predict(poisoned.patch.split(patcher).isel(patch=which), line, extended)
        xr.testing.assert_equal(again, predicted.isel(patch=which))


def test_what_predict_is_given_holds_no_value_of_the_future():
    field = series().assign_coords(
        leak=("time", np.arange(150.0)), month=("time", np.arange(150) // 30)
    )
    ds = field.to_dataset().assign(forcing=("time", np.arange(150.0)))

    def predict(model, future):
        assert "leak" not in future.coords
        assert future["month"].notnull().all()
        assert future["forcing"].notnull().all()
        assert future["v"].isnull().all()
        assert future.lead.values.tolist() == [1, 2, 3, 4, 5]
        return future.v.fillna(model)

    patches = cut(ds, GEOMETRIES[0])
    found = xpatch.fit_predict(
        patches,
        lambda past: float(past.v.isel(time=-1, place=0)),
        predict,
        known=["forcing", "month"],
    )
    last = field.isel(time=patches.patch.anchors.cell_time.values, place=0)
    np.testing.assert_array_equal(found.isel(time=0, place=1), last)
    with pytest.raises(ValueError, match="'wind', which the patches have not"):
        xpatch.fit_predict(patches, len, predict, known="wind")


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize(
    "sampler", [xpatch.RegularTimeStride(10), xpatch.CausalRolling(10)], ids=str
)
def test_leads_are_there_whether_windows_are_equally_long_or_not(geometry, sampler):
    patches = cut(series(), geometry, sampler)
    first = 0 if isinstance(sampler, xpatch.CausalRolling) else 1
    gap = 2 if geometry.gap else 0

    def fit(past):
        n = past.sizes["time"]
        np.testing.assert_array_equal(past.lead, np.arange(first - n, first))

    def predict(model, future):
        n = future.sizes["time"]
        np.testing.assert_array_equal(future.lead, np.arange(n) + first + gap)
        return future.fillna(0) + future.lead

    found = xpatch.fit_predict(patches, fit, predict)
    assert ("lead" in found.coords) == ("lead" in patches.patch.horizon.coords)
    if geometry.horizon != "1MS":
        cube = found.patch.merge(xpatch.Forecast("cube"))
        np.testing.assert_array_equal(found.lead, cube.forecast_period)
        assert bool((cube == cube.forecast_period).all())


def test_horizons_after_windows_that_expand_have_leads_and_the_windows_none():
    patches = cut(series(), xpatch.LookbackHorizon(20, 5, expanding=True))
    assert "lead" not in patches.coords
    assert "lead" not in patches.patch.lookback.coords
    assert patches.patch.horizon.lead.values.tolist() == [1, 2, 3, 4, 5]
    merged = patches.patch.horizon.patch.merge()
    assert set(merged.coords) == {"time", "place"}


def test_ensembles_and_lazy_patches():
    field = series()
    patches = cut(field.chunk(time=30), GEOMETRIES[0])

    def predict(model, future):
        return xr.concat([extended(model, future) + k for k in range(3)], "member")

    found = xpatch.fit_predict(patches, line, predict)
    cube = found.patch.merge(xpatch.Forecast("cube"))
    assert cube.sizes["member"] == 3
    assert {"forecast_reference_time", "forecast_period"} < set(cube.dims)
    one = xpatch.fit_predict(patches, line, extended)
    xr.testing.assert_allclose(found.isel(member=1), one + 1)


def test_predictions_that_do_not_fit_are_refused():
    patches = cut(series(), GEOMETRIES[0])
    with pytest.raises(ValueError, match="returned shape"):
        xpatch.fit_predict(patches, line, lambda model, future: np.zeros(3))
    with pytest.raises(ValueError, match="4 values along 'time'"):
        xpatch.fit_predict(patches, line, lambda model, future: future.isel(time=slice(4)))
    mean = patches.patch.lookback.mean("time")
    right = xr.zeros_like(patches.patch.horizon) + mean
    swapped = mean + xr.zeros_like(patches.patch.horizon)  # the lead tells where these are
    xr.testing.assert_equal(swapped.patch.merge("forecast"), right.patch.merge("forecast"))
    with pytest.raises(ValueError, match=r"comes first in a sum: xr.zeros_like\(patches.patch.hor"):
        patches.patch.lookback.patch.merge("forecast")
    with pytest.raises(ValueError, match="future part"):
        xpatch.fit_predict(cut(series(), xpatch.FixedLookback(5)), line, extended)


def test_expanding_windows_are_those_of_pandas():
    field = series(places=1).squeeze("place", drop=True)
    geometry = xpatch.FixedLookback(12, expanding=True)
    patches = field.patch.split(xpatch.TimePatcher(geometry))
    ours = patches.mean("time")
    theirs = pd.Series(field.values).expanding(12).mean().dropna()
    np.testing.assert_allclose(ours, theirs)
    merged = patches.patch.merge()
    xr.testing.assert_allclose(merged, field)
    with pytest.raises(ValueError, match="no window of"):
        field.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(999, expanding=True)))


def test_progress_is_drawn_only_when_asked_for(capsys):
    patches = cut(series(), GEOMETRIES[0]).isel(patch=slice(3))
    xpatch.fit_predict(patches, line, extended)
    assert capsys.readouterr() == ("", "")
    xpatch.fit_predict(patches, line, extended, progress=True)
    assert "3/3 patches" in capsys.readouterr().err


@pytest.mark.parametrize("length", [20, "1MS"])
def test_blocks_of_a_lazy_model_are_made_once(length):
    made = []

    def model(block):
        made.extend(block["patch"].values.tolist())
        return block * 2

    field = series().chunk(time=40)
    time = xpatch.TimePatcher(xpatch.LookbackHorizon(length, 5), xpatch.RegularTimeStride(5))
    space = xpatch.Patcher({"place": 1})
    patches = field.patch.split(xpatch.SpatioTemporalPatcher(space, time), chunks=4)
    lazy = xr.map_blocks(model, patches, template=patches)
    expected = patches.compute() * 2
    shared = max(patches.chunksizes["patch"])  # the lead of all is made with one of the blocks

    def step(state, patch):
        return 0, patch

    merged = lazy.patch.merge(xpatch.Sequential(step))
    xr.testing.assert_allclose(merged, expected.patch.merge(xpatch.Sequential(step)))
    assert len(made) <= len(patches) + shared
    made.clear()
    out = xpatch.fit_predict(lazy, lambda past: past.mean(), lambda m, f: f.copy(data=f * 0 + m))
    assert len(made) <= len(patches) + 2 * shared
    again = xpatch.fit_predict(expected, lambda p: p.mean(), lambda m, f: f.copy(data=f * 0 + m))
    np.testing.assert_allclose(out, again)
