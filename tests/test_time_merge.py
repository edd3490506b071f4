"""Merge of windows in time: lists, parts, files, forecasts and states; and what is refused."""

from __future__ import annotations

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from tests import time_strategies as own
from tests.test_space_time import field as space_time_field
from tests.test_time_laws import cut, series

# ------------------------------------------------------------------ lists, files, aggregations


@pytest.mark.parametrize("window", own.WINDOWS, ids=str)
def test_a_list_weighs_the_same_whatever_stands_beside_it(window):
    field = series(400)
    noise = cut(field, xpatch.FixedLookback("2MS"), xpatch.RegularTimeStride(9))
    noise = noise + np.random.default_rng(0).random(noise.shape)
    one = noise.patch.merge(xpatch.TemporalMean(window))
    many = noise.chunk(patch=3).patch.merge(xpatch.TemporalMean(window))
    np.testing.assert_allclose(many, one)
    tapered = cut(field, xpatch.FixedLookback("2MS"), xpatch.RegularTimeStride(9), window)
    merged = tapered.isel(patch=[0]).patch.merge()
    assert merged.notnull().sum() >= 55
    np.testing.assert_allclose(merged, field.where(merged.notnull()))


@pytest.mark.parametrize("window", own.WINDOWS, ids=str)
def test_parts_of_lists_undo_their_window(window):
    field = series(90)
    patches = cut(field, xpatch.LookbackHorizon(8, 2, gap=5), None, window)
    for part in (patches.patch.lookback, patches.patch.horizon):
        merged = part.patch.merge()
        covered = merged.notnull().values
        np.testing.assert_allclose(merged[covered], field[covered])
        assert covered.sum() >= 70 or isinstance(window, xpatch.CausalBoxcar)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("window", [None, xpatch.ExponentialDecay(3.0), xpatch.Hann()], ids=str)
def test_phases_read_back_weigh_as_before(window, tmp_path):
    field = series(900)
    patches = cut(
        field, xpatch.PhaseWindow("1YS", pd.Timedelta("5D")), xpatch.CausalRolling(5), window
    )
    patches.to_zarr(tmp_path / "p.zarr")
    back = xr.open_zarr(tmp_path / "p.zarr")["v"].load()
    aggregation = xpatch.TemporalMean(xpatch.ExponentialDecay(2.0))
    xr.testing.assert_allclose(
        back.patch.merge(aggregation, like=field), patches.patch.merge(aggregation)
    )
    with pytest.raises(ValueError, match="like is not the field"):
        back.patch.merge(
            aggregation, like=field.assign_coords(time=field.time + np.timedelta64(1, "D"))
        )


def test_the_lead_is_no_coordinate_of_the_field():
    field = series(4)
    merged = cut(field, xpatch.FixedLookback(4)).patch.merge()
    xr.testing.assert_identical(merged, field)


def test_the_latest_forecast_is_the_latest_whatever_the_order():
    field = series(60)
    steps = [30, 10, 12, 11, 31, 10]
    for gap in (0, 2):
        at = xpatch.ExplicitTimes(field.time.values[steps])
        for chunks in (None, 2):
            made = cut(field, xpatch.LookbackHorizon(3, 4, gap=gap), at).patch.horizon
            made = xr.zeros_like(made) + xr.DataArray(steps, dims="patch")
            made = made if chunks is None else made.chunk(patch=chunks)
            latest = made.patch.merge("forecast").values
            for valid in range(60):
                known = [s for s in steps if s + gap < valid <= s + gap + 4]
                assert latest[valid] == max(known) if known else np.isnan(latest[valid])


@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("coupling", ["product", "coupled"])
def test_the_latest_forecast_in_space_and_time(gap, coupling):
    field = series(60).expand_dims(x=4).transpose("time", "x")
    steps = [30, 10, 12, 11] if coupling == "coupled" else [30, 10, 12]
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"x": 2}, xpatch.Explicit([1, 1, 0, 2])),
        xpatch.TimePatcher(
            xpatch.LookbackHorizon(3, 4, gap=gap), xpatch.ExplicitTimes(field.time.values[steps])
        ),
        coupling,
    )
    made = field.patch.split(patcher).patch.horizon
    made = xr.zeros_like(made) + xr.DataArray(np.resize(steps, made.sizes["patch"]), dims="patch")
    latest = made.patch.merge("forecast").values
    for x in range(4):
        pairs = [(s, p) for p in (1, 1, 0, 2) for s in steps]
        pairs = list(zip(steps, (1, 1, 0, 2), strict=True)) if coupling == "coupled" else pairs
        for valid in range(60):
            known = [s for s, p in pairs if p <= x < p + 2 and s + gap < valid <= s + gap + 4]
            assert latest[valid, x] == max(known) if known else np.isnan(latest[valid, x])


def test_steps_that_were_left_out_do_not_move_the_anchor():
    patches = cut(series(40), xpatch.LookbackHorizon(8, 4))
    few = patches.isel(time=slice(2, None))
    assert few.patch.lookback.lead.values.tolist() == [-5, -4, -3, -2, -1, 0]
    assert few.patch.horizon.lead.values.tolist() == [1, 2, 3, 4]
    xr.testing.assert_equal(
        few.patch.crop(time=(1, 0)).patch.lookback, patches.patch.lookback[:, 3:]
    )
    for lost in (patches.isel(time=slice(None, None, -1)), few.drop_vars("lead")):
        with pytest.raises(ValueError, match="12 that were cut"):
            _ = lost.patch.lookback
    months = cut(series(80), xpatch.LookbackHorizon("1MS", 4))
    with pytest.raises(ValueError, match="steps along 'time'"):
        _ = months.isel(time=slice(2, None)).patch.horizon
    with pytest.raises(ValueError, match="were reordered"):
        _ = months.isel(time=slice(None, None, -1)).patch.lookback


def test_the_latest_forecast_of_some_places_is_the_latest_of_all():
    field = series(200).expand_dims(x=3).transpose("time", "x")
    time = xpatch.TimePatcher(xpatch.LookbackHorizon("1MS", 9), xpatch.RegularTimeStride(2))
    space = xpatch.Patcher({"x": 2}, xpatch.RegularStride(x=1))
    made = field.patch.split(xpatch.SpatioTemporalPatcher(space, time)).patch.horizon
    steps = made.anchor_step.values
    made = (xr.zeros_like(made) + made.anchor_step)[
        np.random.default_rng(0).random(len(made)) < 0.4
    ]
    latest = made.patch.merge("forecast").values
    places, steps = made["patch"].values // len(set(steps)), made.anchor_step.values
    for x in range(3):
        for valid in range(200):
            known = steps[(steps < valid) & (valid <= steps + 9) & (places <= x) & (x < places + 2)]
            assert latest[valid, x] == max(known) if len(known) else np.isnan(latest[valid, x])


def test_a_state_goes_through_each_place_in_the_order_of_time():
    field = series(40).expand_dims(x=np.arange(6.0)).transpose("time", "x")
    time = xpatch.TimePatcher(xpatch.FixedLookback(2), xpatch.RandomTime(5, seed=3))
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"x": 2}, xpatch.Explicit([5, 1, 3])), time
    )
    patches = field.patch.split(patcher)
    seen = {}

    def step(state, patch):
        seen.setdefault(float(patch.x[0]), []).append(patch.time.values[-1])
        assert state == len(seen[float(patch.x[0])]) - 1
        return state + 1, patch

    order = np.random.default_rng(0).permutation(15)
    merged = patches.isel(patch=order).patch.merge(xpatch.Sequential(step, 0))
    assert sorted(seen) == [1, 3, 4]
    for times in seen.values():
        assert len(times) == 5
        assert times == sorted(times)
    np.testing.assert_allclose(merged.values, field.where(merged.notnull()).values)
    lost = cut(series(20), xpatch.FixedLookback(2)).isel(patch=[5, 1, 3]).drop_vars("patch")
    with pytest.raises(ValueError, match="these are not patches"):
        lost.patch.merge(xpatch.Sequential(step, 0))


# ------------------------------------------------------------------------------------- errors

DAYS = series(30)
NOLEAP = series(400, calendar="noleap")
MIXED = np.array([cftime.DatetimeNoLeap(2000, 1, d) for d in (1, 2, 4)], object)
MIXED[1] = cftime.Datetime360Day(2000, 1, 2)


def at(field, events, cls=xpatch.EventTriggered, **kwargs):
    return lambda: cut(field, xpatch.FixedLookback(3), cls(events, **kwargs))


def fold(step):
    return lambda: cut(DAYS, xpatch.FixedLookback(3)).patch.merge(xpatch.Sequential(step))


def on(times):
    field = xr.DataArray(np.zeros(len(times)), {"time": ("time", times)}, ("time",))
    return lambda: cut(field, xpatch.FixedLookback(2))


SQUARE = DAYS.expand_dims(y=4, x=4)
ERRORS = {
    "no steps": (
        lambda: cut(DAYS[:0], xpatch.FixedLookback("3D")),
        ValueError,
        "no steps along 'time'",
    ),
    "no steps, phase": (
        lambda: cut(DAYS[:0], xpatch.PhaseWindow("1D", 0)),
        ValueError,
        "no steps along",
    ),
    "no steps, cftime": (
        lambda: cut(NOLEAP[:0], xpatch.FixedLookback(3)),
        ValueError,
        "no steps along",
    ),
    "NaT": (on(np.array(["2000-01-01", "NaT"], "M8[ns]")), ValueError, "'time' are NaT.*dropna"),
    "numbers": (
        lambda: cut(DAYS.assign_coords(time=np.arange(DAYS.size)), xpatch.FixedLookback("2D")),
        ValueError,
        "datetime64 or cftime.*decode_times=True",
    ),
    "mixed calendars": (
        on(MIXED),
        TypeError,
        r"noleap calendar .*360_day calendar \(number 1\).*convert_calendar",
    ),
    "a missing date": (
        on(np.array([MIXED[0], None, MIXED[2]], object)),
        TypeError,
        r"None \(number 1\).*leave missing",
    ),
    "events of mixed calendars": (
        at(NOLEAP, MIXED),
        TypeError,
        r"one of the 360_day calendar \(number 1\)",
    ),
    "events of another calendar": (at(NOLEAP, DAYS.time.values), TypeError, "noleap calendar"),
    "dates for datetime64": (at(DAYS, MIXED), TypeError, "pandas can read .datetime64."),
    "numbers as events": (
        at(DAYS, [5]),
        TypeError,
        r"pandas can read .*\[5\]: numbers are no times",
    ),
    "no such date": (
        at(NOLEAP, ["2000-02-29"]),
        ValueError,
        "'2000-02-29' is no date of the noleap calendar",
    ),
    "no such month": (at(DAYS, ["2000-13-01"]), TypeError, "month must be in 1..12"),
    "a missing event": (at(DAYS, [pd.NaT]), ValueError, "time number 0 is NaT; leave it out"),
    "no events": (at(NOLEAP, []), ValueError, "was given no times"),
    "strings out of range": (
        at(DAYS, ["0001-01-01", "2000-01-09"]),
        ValueError,
        "1 of 2 events .*number 0, 0001-01-01; the record .*2000-01-01",
    ),
    "outside of the tolerance": (
        at(DAYS, ["2000-01-09T11:00"], tolerance="1h"),
        ValueError,
        "within tolerance='1h'",
    ),
    "before all": (
        at(DAYS, ["1999-12-31T12:00"], method="pad"),
        ValueError,
        "no step by method='pad'",
    ),
    "a method": (
        lambda: xpatch.EventTriggered(["2000"], "closest"),
        ValueError,
        "one of .*'closest'",
    ),
    "months and days": (
        lambda: xpatch.FixedLookback(pd.DateOffset(months=1, days=3)),
        TypeError,
        "either months or days",
    ),
    "business days": (
        lambda: xpatch.FixedLookback("3B"),
        TypeError,
        "number of steps or a duration",
    ),
    "a truth": (
        lambda: xpatch.LookbackHorizon(3, 3, gap=True),
        TypeError,
        "gap must be a number of steps",
    ),
    "a negative gap": (
        lambda: xpatch.LookbackHorizon(3, 3, gap=-1),
        ValueError,
        "gap must be positive, got -1",
    ),
    "a negative width": (
        lambda: xpatch.PhaseWindow("1D", "-1h"),
        ValueError,
        "phase_width must be positive",
    ),
    "a zero horizon": (
        lambda: xpatch.LookbackHorizon(3, "0D"),
        ValueError,
        "horizon must be positive",
    ),
    "a zero step": (
        lambda: xpatch.RegularTimeStride(0),
        ValueError,
        "step of RegularTimeStride must be positive",
    ),
    "negative weights": (
        lambda: cut(DAYS, xpatch.FixedLookback(3), xpatch.RandomTime(3, weights=-np.ones(30))),
        ValueError,
        "≥ 0 .*least -1.0",
    ),
    "time in space, too": (
        lambda: SQUARE.patch.split(
            xpatch.SpatioTemporalPatcher(
                xpatch.Patcher({"time": 2, "x": 2}), xpatch.TimePatcher(xpatch.FixedLookback(2))
            )
        ),
        ValueError,
        "cuts 'time', too.*leave 'time' out",
    ),
    "coupled, of unequal number": (
        lambda: SQUARE.patch.split(
            xpatch.SpatioTemporalPatcher(
                xpatch.Patcher({"x": 2}, xpatch.Explicit([1, 2])),
                xpatch.TimePatcher(xpatch.FixedLookback(2), xpatch.RandomTime(3, 0)),
                "coupled",
            )
        ),
        ValueError,
        "2 in space and 3 in time; use coupling='product'",
    ),
    "coupled, nothing complete": (
        lambda: SQUARE.patch.split(
            xpatch.SpatioTemporalPatcher(
                xpatch.Patcher({"x": 2}, xpatch.Explicit([1])),
                xpatch.TimePatcher(
                    xpatch.FixedLookback(9), xpatch.ExplicitTimes(DAYS.time.values[:1])
                ),
                "coupled",
            )
        ),
        ValueError,
        r"none of the 1 events has a complete window of FixedLookback\(9\)",
    ),
    "a step without state": (
        fold(lambda s, p: p),
        TypeError,
        "a state and an output, got DataArray",
    ),
    "a step that gives an array": (
        fold(lambda s, p: (s, p.values)),
        TypeError,
        "got ndarray; patch.copy",
    ),
    "a step that gives a mean": (
        fold(lambda s, p: (s, p.mean())),
        ValueError,
        r"zeros_like\(patch\) \+ value",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(
    "time", [xpatch.LookbackHorizon(6, 3, gap=1), xpatch.LookbackHorizon("1MS", "5D")], ids=str
)
@pytest.mark.parametrize("kind", ["series", "stations", "grid"])
def test_patches_that_were_read_know_their_parts_and_their_places(time, kind, tmp_path):
    one = space_time_field("grid" if kind == "grid" else "stations")
    patcher = xpatch.TimePatcher(time, xpatch.RegularTimeStride(4))
    if kind != "series":
        space = {"y": 3, "x": 4} if kind == "grid" else xpatch.KNNGraph(3)
        patcher = xpatch.SpatioTemporalPatcher(xpatch.Patcher(space), patcher)
    patches = one.patch.split(patcher)
    patches.to_netcdf(tmp_path / "p.nc")
    back = xr.open_dataarray(tmp_path / "p.nc").load()
    cube = [xpatch.Forecast("cube")] if time.horizon == 3 else []
    for how in (xpatch.Forecast("latest"), xpatch.Forecast("mean"), *cube):
        xr.testing.assert_allclose(back.patch.merge(how, like=one), patches.patch.merge(how))
    for part in ("lookback", "horizon"):
        merged = getattr(back.patch, part).patch.merge(like=one)
        xr.testing.assert_allclose(merged, getattr(patches.patch, part).patch.merge())

    def counted(state, patch):
        return state + 1, patch * 0 + state

    counts = xpatch.Sequential(counted, 0)
    xr.testing.assert_allclose(back.patch.merge(counts, like=one), patches.patch.merge(counts))
    if kind != "series":
        both = ("mean", "max")
        xr.testing.assert_allclose(back.patch.merge(both, like=one), patches.patch.merge(both))


def test_patchers_are_rebuilt_from_their_specification():
    time = xpatch.TimePatcher(
        xpatch.LookbackHorizon("3MS", 2, expanding=True),
        xpatch.RandomTime(3, seed=0),
        aggregation=xpatch.Forecast("mean", xpatch.ExponentialDecay(2.0)),
    )
    both = xpatch.SpatioTemporalPatcher(xpatch.Patcher({"y": 4}, window="hann"), time)
    for patcher in (time, both, xpatch.TimePatcher(xpatch.MultiScale(["7D", "28D"]))):
        assert type(patcher).from_spec(patcher.to_dict()) == patcher
