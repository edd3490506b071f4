"""Windows in time: against pandas and by hand, on every calendar, and that nothing leaks from the future."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from xpatch.time.axis import Duration, TimeAxis

CALENDARS = [
    "datetime64",
    "standard",
    "noleap",
    "all_leap",
    "360_day",
    "julian",
    "proleptic_gregorian",
]


def times(n, freq="D", calendar="datetime64", start="2000-01-01"):
    if calendar == "datetime64":
        return pd.date_range(start, periods=n, freq=freq)
    return xr.date_range(start, periods=n, freq=freq, calendar=calendar, use_cftime=True)


def series(n=400, calendar="datetime64", freq="D", places=3, seed=0):
    values = np.random.default_rng(seed).random((n, places))
    coords = {"time": times(n, freq, calendar), "place": np.arange(places)}
    return xr.DataArray(values, coords, ("time", "place"), name="v", attrs={"units": "K"})


def cut(field, geometry, sampler=None, window=None):
    return field.patch.split(xpatch.TimePatcher(geometry, sampler, window))


def identical_where_covered(patches, field, aggregation=None):
    merged = patches.patch.merge(aggregation)
    covered = (patches.patch.merge("count") > 0).values
    assert merged.dims == field.dims
    assert merged.attrs == field.attrs
    xr.testing.assert_identical(merged.coords.to_dataset(), field.coords.to_dataset())
    np.testing.assert_allclose(merged.values[covered], field.values[covered], rtol=1e-9)
    assert np.isnan(merged.values[~covered]).all()
    return covered


# ------------------------------------------------------------------------------------ geometry


@pytest.mark.parametrize("closed", ["right", "left", "both", "neither"])
@pytest.mark.parametrize("freq", ["D", "6h"])
def test_lookback_is_the_rolling_of_pandas(closed, freq):
    field = series(200, freq=freq)
    patches = cut(field, xpatch.FixedLookback("5D", closed=closed))
    rolled = field.to_pandas().rolling("5D", closed=closed)
    anchors = patches.patch.anchors.time.values
    for name in ("mean", "max", "sum"):
        mine = getattr(patches, name)("time")
        np.testing.assert_allclose(mine, getattr(rolled, name)().loc[anchors])
    lead = patches.lead.values
    assert lead.min() == -(5 if freq == "D" else 20) + (closed in ("right", "neither"))
    assert lead.max() == (0 if closed in ("right", "both") else -1)


def test_lookback_on_an_irregular_record_is_the_rolling_of_pandas():
    rng = np.random.default_rng(0)
    hours = np.sort(rng.choice(3000, 300, replace=False))
    time = pd.Timestamp("2001-01-01") + pd.to_timedelta(hours, "h")
    field = xr.DataArray(rng.random(300), {"time": time}, ("time",))
    patches = cut(field, xpatch.FixedLookback("4D"))
    rolled = field.to_pandas().rolling("4D").mean()
    anchors = field.time.values[patches.anchor_step.values]
    np.testing.assert_allclose(patches.mean("time"), rolled.loc[anchors])
    assert patches.isel(patch=7).time.dtype.kind == "M"
    identical_where_covered(patches, field)
    identical_where_covered(patches, field, "median")
    dropped = cut(field, xpatch.FixedLookback("2D", gaps="drop"))
    assert 0 < dropped.sizes["patch"] < patches.sizes["patch"]


GAPLESS = {
    **{f"5D {c}": xpatch.FixedLookback("5D", closed=c, gaps="drop") for c in ("right", "left")},
    **{f"5D {c}": xpatch.FixedLookback("5D", closed=c, gaps="drop") for c in ("both", "neither")},
    "horizon": xpatch.LookbackHorizon("5D", "3D", gaps="drop"),
    "gap": xpatch.LookbackHorizon("5D", "3D", gap="2D", gaps="drop"),
    "steps and days": xpatch.LookbackHorizon(5, "3D", gap=2, gaps="drop"),
    "days and steps": xpatch.LookbackHorizon("5D", 3, gaps="drop"),
}


@pytest.mark.parametrize("name", GAPLESS)
@pytest.mark.parametrize(
    "sampler", [xpatch.RegularTimeStride(), xpatch.CausalRolling()], ids=lambda s: type(s).__name__
)
def test_windows_without_gaps_are_those_of_the_whole_record(name, sampler):
    whole = series(300)
    there = np.ones(300, bool)
    there[np.random.default_rng(2).choice(300, 18, replace=False)] = False
    there[100:104] = there[200:210] = False
    expected = cut(whole, GAPLESS[name], sampler)
    steps = expected.patch.anchors.cell_time.values
    low, high = expected.lead.values[[0, -1]]
    low, high = min(low, 0), max(high, 0)
    unbroken = np.array([there[s + low : s + high + 1].all() for s in steps])
    found = cut(whole.isel(time=there), GAPLESS[name], sampler)
    assert 0 < unbroken.sum() < len(unbroken)
    np.testing.assert_array_equal(found.patch.anchors.time, expected.patch.anchors.time[unbroken])
    np.testing.assert_array_equal(found, expected[unbroken])
    np.testing.assert_array_equal(found.lead, expected.lead)


@pytest.mark.parametrize(
    ("length", "closed", "leads"),
    [
        (3, "right", [-2, -1, 0]),
        (3, "left", [-3, -2, -1]),
        (3, "both", [-3, -2, -1, 0]),
        (3, "neither", [-2, -1]),
    ],
)
def test_steps_are_counted_as_documented(length, closed, leads):
    patches = cut(series(10), xpatch.FixedLookback(length, closed=closed))
    assert patches.lead.values.tolist() == leads
    first = int(patches.patch.anchors.cell_time[0])
    assert first == -leads[0]
    np.testing.assert_array_equal(
        patches.isel(patch=0).time, series(10).time.values[first + np.array(leads)]
    )


@pytest.mark.parametrize("calendar", CALENDARS)
def test_months_follow_the_calendar(calendar):
    field = series(800, calendar, places=1)
    patches = cut(field, xpatch.FixedLookback("2MS"), xpatch.RegularTimeStride("1MS"))
    index = field.indexes["time"]
    steps = (
        patches.anchor_step.values
        if "anchor_step" in patches.coords
        else patches.patch.anchors.cell_time.values
    )
    for k, step in enumerate(steps):
        anchor = index[step]
        year, month = divmod(anchor.year * 12 + anchor.month - 1 - 2, 12)
        low = [t for t in index if (t.year, t.month - 1) == (year, month)]
        begin = low[min(anchor.day, len(low)) - 1] if low else None
        inside = [t for t in index if t <= anchor and (begin is None or t > begin)]
        held = patches.isel(patch=k)
        there = held.time_number.values >= 0 if "time_number" in held.coords else slice(None)
        got = held.time.values[there]
        assert len(got) == len(inside)
        assert got[-1] == field.time.values[step]
    identical_where_covered(patches, field, "median")


@pytest.mark.parametrize("calendar", CALENDARS)
def test_an_annual_phase_gathers_the_same_dates_of_all_years(calendar):
    field = series(1200, calendar, places=1)
    patches = cut(field, xpatch.PhaseWindow("1YS", "10D"), xpatch.RegularTimeStride(97))
    index = field.indexes["time"]
    for k in range(patches.sizes["patch"]):
        anchor = index[int(patches.anchor_step[k])]
        got = patches.isel(patch=k).time_number.values
        got = index[got[got >= 0]]
        assert len({t.year for t in got}) >= 3
        for t in got:  # the same date, or a few days from it, in every year
            gap = abs(
                (t.dayofyr if hasattr(t, "dayofyr") else t.day_of_year)
                - (anchor.dayofyr if hasattr(anchor, "dayofyr") else anchor.day_of_year)
            )
            assert min(gap, abs(gap - 365), abs(gap - 360), abs(gap - 366)) <= 6
    identical_where_covered(patches, field, "median")


def test_a_diurnal_phase_is_groupby_hour():
    field = series(24 * 20, freq="h", places=1)
    patches = cut(field, xpatch.PhaseWindow("1D", 0), xpatch.RegularTimeStride(7))
    mean = patches.mean("time").squeeze()
    by_hour = field.groupby("time.hour").mean().squeeze()
    hours = field.time.dt.hour.values[patches.anchor_step.values]
    np.testing.assert_allclose(mean, by_hour.sel(hour=xr.DataArray(hours, dims="patch")))
    wide = cut(field, xpatch.PhaseWindow("1D", "4h"), xpatch.ExplicitTimes(field.time.values[[48]]))
    got = field.time.dt.hour.values[wide.time_number.values.ravel()]
    assert sorted(set(got)) == [0, 1, 2, 22, 23]


@pytest.mark.parametrize("gap", [0, 3, "3D"])
def test_lookback_and_horizon(gap):
    field = series(100)
    patches = cut(field, xpatch.LookbackHorizon(10, 5, gap=gap), xpatch.RegularTimeStride(7))
    past, future = patches.patch.lookback, patches.patch.horizon
    steps = np.arange(9, 100 - 5 - (3 if gap else 0), 7)
    assert past.sizes["patch"] == len(steps)
    for k, step in enumerate(steps):
        np.testing.assert_array_equal(past.isel(patch=k).time, field.time[step - 9 : step + 1])
        first = step + 1 + (3 if gap else 0)
        np.testing.assert_array_equal(future.isel(patch=k).time, field.time[first : first + 5])
    identical_where_covered(patches, field)
    for part in (past, future):
        identical_where_covered(part, field)
    merged = (future * 0 + past.mean("time")).patch.merge(xpatch.Forecast("latest"))
    assert merged.dims == field.dims


def test_rolling_without_the_anchor():
    field = series(60)
    patches = cut(field, xpatch.FixedLookback(5), xpatch.CausalRolling(2))
    assert patches.lead.values.tolist() == [-5, -4, -3, -2, -1]
    both = cut(field, xpatch.LookbackHorizon(5, 3), xpatch.CausalRolling(2))
    assert both.patch.lookback.lead.values.tolist() == [-5, -4, -3, -2, -1]
    assert both.patch.horizon.lead.values.tolist() == [0, 1, 2]


# ---------------------------------------------------------------------------------- causality


CAUSAL = [
    xpatch.FixedLookback(7),
    xpatch.FixedLookback("7D", closed="left"),
    xpatch.FixedLookback("1MS"),
    xpatch.FixedLookback("7D", gaps="drop"),
    xpatch.PhaseWindow("30D", "2D", causal=True),
]
SAMPLERS = [
    xpatch.RegularTimeStride(3),
    xpatch.CausalRolling(3),
    xpatch.RandomTime(9, seed=0),
    xpatch.EventTriggered(["2000-04-03", "2000-05-20"]),
]


@pytest.mark.parametrize("geometry", CAUSAL, ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("irregular", [False, True])
def test_nothing_leaks_from_the_future(geometry, sampler, irregular):
    field = series(200, places=1)
    if irregular:
        field = field.isel(time=np.sort(np.random.default_rng(1).choice(200, 150, replace=False)))
    patches = cut(field, geometry, sampler)
    steps = patches.patch.anchors["cell_time"].values
    last = -1 if isinstance(sampler, xpatch.CausalRolling) else 0
    for k, step in enumerate(steps):
        poisoned = field.copy()
        poisoned[step + 1 + last :] = np.nan
        again = cut(poisoned, geometry, sampler)
        np.testing.assert_array_equal(again.isel(patch=k), patches.isel(patch=k))


def test_the_past_of_a_forecast_knows_no_future():
    field = series(90, places=1)
    for sampler, last in ((xpatch.RegularTimeStride(4), 0), (xpatch.CausalRolling(4), -1)):
        geometry = xpatch.LookbackHorizon(8, 6, gap=2)
        past = cut(field, geometry, sampler).patch.lookback
        steps = cut(field, geometry, sampler).anchor_step.values
        for k, step in enumerate(steps):
            poisoned = field.copy()
            poisoned[step + 1 + last :] = np.nan
            again = cut(poisoned, geometry, sampler).patch.lookback
            np.testing.assert_array_equal(again.isel(patch=k), past.isel(patch=k))


# ------------------------------------------------------------------------------------ samplers


def test_events_take_their_steps():
    field = series(50)
    events = pd.to_datetime(["2000-01-20 08:00", "2000-02-03 20:00"])
    for method, steps in (("nearest", [19, 34]), ("pad", [19, 33]), ("backfill", [20, 34])):
        patches = cut(field, xpatch.FixedLookback(3), xpatch.EventTriggered(events, method))
        assert patches.patch.anchors.cell_time.values.tolist() == steps
    sampler = xpatch.EventTriggered(events, "pad", tolerance="9h")
    with pytest.raises(ValueError, match=r"1 of 2 events have no step .*tolerance='9h'.* number 1"):
        cut(field, xpatch.FixedLookback(3), sampler)
    with pytest.raises(ValueError, match="not times of the field"):
        cut(field, xpatch.FixedLookback(3), xpatch.ExplicitTimes(events))
    with pytest.raises(ValueError, match="runs from"):
        cut(field, xpatch.FixedLookback(3), xpatch.EventTriggered(["2010-01-01"]))
    with pytest.raises(TypeError, match="360_day calendar"):
        cut(
            series(90, "360_day"),
            xpatch.FixedLookback(3),
            xpatch.EventTriggered(times(2, calendar="noleap")),
        )


def test_random_times_are_seeded_and_weighted():
    field = series(100)
    a, b = (cut(field, xpatch.FixedLookback(9), xpatch.RandomTime(20, seed=4)) for _ in range(2))
    xr.testing.assert_identical(a, b)
    steps = a.patch.anchors.cell_time.values
    assert len(set(steps)) == 20
    assert steps.min() >= 8
    weights = (field.time.dt.month == 2).values.astype(float)
    winter = cut(field, xpatch.FixedLookback(9), xpatch.RandomTime(20, seed=4, weights=weights))
    assert set(winter.patch.anchors.time.dt.month.values) == {2}
    with pytest.raises(TypeError, match="windows in time are chosen after the split"):
        xpatch.Valid(xpatch.RandomTime(3))
    with pytest.raises(ValueError, match="more than the 92"):
        cut(field, xpatch.FixedLookback(9), xpatch.RandomTime(93, seed=4))


# ----------------------------------------------------------------------- windows, aggregations


WINDOWS = [
    None,
    xpatch.CausalBoxcar(),
    xpatch.ExponentialDecay(3.0),
    xpatch.TaperedTukey(0.6),
    xpatch.Periodic(7.0),
    xpatch.Hann(),
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize(
    "geometry", [xpatch.FixedLookback(12), xpatch.PhaseWindow("30D", "3D")], ids=str
)
@pytest.mark.parametrize("chunks", [None, 45])
def test_windows_analyse_and_synthesise(window, geometry, chunks):
    field = series(130)
    source = field if chunks is None else field.chunk(time=chunks)
    patches = cut(source, geometry, xpatch.RegularTimeStride(2), window)
    merged = patches.patch.merge(xpatch.TemporalMean(window))
    covered = merged.notnull().values
    np.testing.assert_allclose(merged.values[covered], field.values[covered])
    assert covered.mean() > 0.9


def test_windows_in_time_weigh_by_lead():
    field = series(60, places=1)
    patches = cut(field, xpatch.FixedLookback(4))
    noise = patches + np.random.default_rng(0).normal(size=patches.shape)
    merged = noise.patch.merge(xpatch.TemporalMean(xpatch.ExponentialDecay(2.0)))
    weight = np.exp(-np.abs(patches.lead.values) / 2.0)
    total, below = np.zeros(60), np.zeros(60)
    for k, step in enumerate(patches.patch.anchors.cell_time.values):
        total[step - 3 : step + 1] += weight * noise.values[k, :, 0]
        below[step - 3 : step + 1] += weight
    np.testing.assert_allclose(merged.squeeze(), total / below)
    with pytest.raises(ValueError, match="window in time"):
        xr.DataArray(np.zeros((4, 4)), dims=("y", "x")).patch.split(
            geometry={"y": 2, "x": 2}, window=xpatch.CausalBoxcar()
        )


def test_forecasts_are_put_together_by_lead():
    field = series(80, places=1)
    patches = cut(field, xpatch.LookbackHorizon(10, 5), xpatch.RegularTimeStride(2))
    tagged = patches.patch.horizon.copy()
    steps = patches.patch.anchors.cell_time.values
    tagged.values[:] = steps[:, None, None]
    latest = tagged.patch.merge(xpatch.Forecast("latest")).squeeze().values
    mean = tagged.patch.merge(xpatch.Forecast("mean")).squeeze().values
    for valid in range(80):
        made = [s for s in steps if s < valid <= s + 5]
        assert (latest[valid] == max(made)) if made else np.isnan(latest[valid])
        assert np.isnan(mean[valid]) if not made else mean[valid] == pytest.approx(np.mean(made))
    whole = patches.patch.merge(xpatch.Forecast("latest")).squeeze().values
    assert np.isnan(whole[:10]).all(), "the past is no forecast"
    weighted = tagged.patch.merge(xpatch.Forecast("mean", window=xpatch.ExponentialDecay(1.0)))
    assert not np.allclose(weighted.squeeze().values[20:60], mean[20:60])


@pytest.mark.parametrize("gap", [0, 2])
def test_a_cube_of_forecasts(gap):
    field = series(60)
    patches = cut(field, xpatch.LookbackHorizon(10, 4, gap=gap), xpatch.RegularTimeStride(7))
    cube = patches.patch.merge(xpatch.Forecast("cube"))
    assert cube.dims == ("forecast_reference_time", "forecast_period", "place")
    assert cube.forecast_period.values.tolist() == [gap + k for k in (1, 2, 3, 4)]
    for k in range(cube.sizes["forecast_reference_time"]):
        one = cube.isel(forecast_reference_time=k)
        np.testing.assert_array_equal(one, field.sel(time=one.valid_time.values))
        step = pd.to_timedelta(cube.forecast_period.values, "D")
        made = pd.Timestamp(one.forecast_reference_time.values)
        assert (one.valid_time.values == np.array(made + step)).all()


def test_windows_weigh_months_as_they_weigh_as_many_days():
    field = series(200, places=1)
    for window in (xpatch.Hann(), xpatch.Gaussian(0.4), xpatch.Tukey(), xpatch.TaperedTukey(0.5)):
        patcher = xpatch.TimePatcher(xpatch.FixedLookback("1MS"), window=window)
        months = field.patch.split(patcher).patch.weights
        for days in (30, 31):
            row = months[int((months > 0).sum("time").values.tolist().index(days))]
            boxes = xpatch.TimePatcher(xpatch.FixedLookback(days), window=window)
            np.testing.assert_allclose(row[:days], field.patch.split(boxes).patch.weights[0])


def test_parts_of_months_are_weighed_as_parts():
    field = series(200, places=1)
    geometry = xpatch.LookbackHorizon("2MS", "1MS", gap=3)
    patches = field.patch.split(xpatch.TimePatcher(geometry, window="hann"))
    for part in (patches.patch.lookback, patches.patch.horizon):
        merged = part.isel(patch=[3, 50, 51, 90]).patch.merge()
        xr.testing.assert_allclose(merged, field.where(merged.notnull()))


def test_the_aggregation_of_a_patcher_is_the_default():
    field = series(60)
    for aggregation in (xpatch.Forecast("latest"), xpatch.Forecast("cube"), "median"):
        patcher = xpatch.TimePatcher(xpatch.LookbackHorizon(10, 4), aggregation=aggregation)
        patches = field.patch.split(patcher)
        xr.testing.assert_identical(patches.patch.merge(), patches.patch.merge(aggregation))


def test_a_state_is_carried_through_the_windows_in_order():
    field = series(60, places=1).squeeze("place", drop=True)
    patches = cut(field, xpatch.FixedLookback(5), xpatch.RegularTimeStride(5))
    seen = []

    def step(state, patch):
        seen.append(int(patch["patch"]))
        state = state + float(patch.sum())
        return state, patch * 0 + state

    expected = np.repeat(np.cumsum(field.values.reshape(12, 5).sum(axis=1)), 5)
    order = np.random.default_rng(0).permutation(patches.sizes["patch"])
    merged = patches.isel(patch=order).patch.merge(xpatch.Sequential(step, 0.0))
    assert seen == sorted(seen)
    np.testing.assert_allclose(merged, expected)


# ----------------------------------------------------------------------------- space and time


def cube(chunks=None):
    values = np.random.default_rng(0).random((40, 12, 16))
    field = xr.DataArray(
        values,
        {"time": times(40), "y": np.arange(12.0), "x": np.arange(16.0)},
        ("time", "y", "x"),
        name="c",
    )
    return field if chunks is None else field.chunk(chunks)


@pytest.mark.parametrize("chunks", [None, {"time": 11, "y": 5}])
@pytest.mark.parametrize(
    "aggregation",
    [
        None,
        "median",
        "max",
        xpatch.OverlapAdd("hann"),
        xpatch.TemporalMean(xpatch.ExponentialDecay(3.0)),
    ],
    ids=str,
)
def test_product_of_space_and_time(chunks, aggregation):
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(
            {"y": 4, "x": 6},
            xpatch.RegularStride(2),
            window="hann" if aggregation is None else None,
        ),
        xpatch.TimePatcher(xpatch.FixedLookback(8), xpatch.RegularTimeStride(4)),
    )
    field = cube(chunks)
    patches = field.patch.split(patcher)
    assert set(patches.dims) == {"patch", "time", "y", "x"}
    merged = patches.patch.merge(aggregation)
    assert merged.chunks == field.chunks
    xr.testing.assert_allclose(merged.compute(), cube())
    ordered = patches.sortby("patch") if chunks else patches
    at = ordered.patch.anchors
    count = len(np.unique(at.cell_time))
    assert at.cell_time.values[:count].tolist() == sorted(set(at.cell_time.values.tolist()))
    assert len(set(at.cell_y.values[:count])) == 1


def test_coupled_events_have_a_place_and_a_time():
    places = [(2, 3), (5, 9), (8, 12)]
    events = cube().time.values[[3, 20, 33]]
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"y": 4, "x": 4}, xpatch.Explicit(places)),
        xpatch.TimePatcher(xpatch.FixedLookback(6), xpatch.EventTriggered(events)),
        coupling="coupled",
    )
    patches = cube().patch.split(patcher)
    assert patches.sizes["patch"] == 2  # the first has no complete window
    np.testing.assert_array_equal(patches[0], cube()[15:21, 5:9, 9:13])
    np.testing.assert_array_equal(patches[1], cube()[28:34, 8:12, 12:16])
    few = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"y": 4, "x": 4}, xpatch.Explicit(places[:2])), patcher.temporal, "coupled"
    )
    with pytest.raises(ValueError, match="2 in space and 3 in time"):
        cube().patch.split(few)


# -------------------------------------------------------------------------------- files, errors


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize(
    "geometry", [xpatch.FixedLookback(6), xpatch.FixedLookback("1MS")], ids=str
)
def test_files(geometry, tmp_path):
    field = series(90)
    patches = cut(field, geometry, xpatch.RegularTimeStride(5))
    patches.to_zarr(tmp_path / "p.zarr")
    back = xr.open_zarr(tmp_path / "p.zarr")["v"]
    np.testing.assert_allclose(back.patch.merge("median"), patches.patch.merge("median"))
    np.testing.assert_allclose(
        back.patch.merge(xpatch.TemporalMean(xpatch.ExponentialDecay(2.0)), like=field),
        patches.patch.merge(xpatch.TemporalMean(xpatch.ExponentialDecay(2.0))),
    )


def test_map_blocks_takes_windows_in_time():
    patches = cut(series(100).chunk(time=30), xpatch.FixedLookback(6))
    mapped = patches.map_blocks(lambda b: b * 2, template=patches)
    merged = mapped.patch.merge()
    covered = merged.notnull().compute()
    np.testing.assert_allclose(merged.compute().where(covered), (series(100) * 2).where(covered))


ERRORS = {
    "no time": (
        lambda: xr.DataArray(np.zeros(9), dims="x"),
        xpatch.FixedLookback(3),
        "no time axis",
    ),
    "unsorted": (lambda: series(9)[::-1], xpatch.FixedLookback(3), "not sorted.*sortby"),
    "twice": (lambda: series(9).isel(time=[0, 1, 1, 2]), xpatch.FixedLookback(2), "occur twice"),
    "too long": (lambda: series(9), xpatch.FixedLookback(10), "no window .* fits in the record"),
    "too long in days": (lambda: series(9), xpatch.FixedLookback("30D"), "no window .* fits"),
    "no data for the horizon": (
        lambda: series(9),
        xpatch.LookbackHorizon(5, 5),
        "no window .* fits",
    ),
    "a period shorter than a step": (
        lambda: series(9),
        xpatch.PhaseWindow("1h", "1h"),
        "shorter than the usual step",
    ),
    "a period longer than the record": (
        lambda: series(9),
        xpatch.PhaseWindow("1YS", "1D"),
        "shorter than the period",
    ),
    "an odd period": (
        lambda: series(900),
        xpatch.PhaseWindow("5MS", "1D"),
        "neither divides a year",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    make, geometry, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        cut(make(), geometry)


def test_times_of_a_zone_are_those_of_utc():
    time = pd.date_range("2001-01-01", periods=9, tz="Asia/Tokyo")
    field = xr.DataArray(np.arange(9.0), {"time": time}, ("time",))
    patches = field.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(3)))
    naive = field.assign_coords({"time": field.indexes["time"].tz_convert(None)})
    xr.testing.assert_equal(patches, naive.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(3))))


def test_several_time_coordinates_are_asked_for():
    field = xr.DataArray(
        np.zeros((5, 6)),
        {"reference": times(5), "valid": times(6, start="2001-01-01")},
        ("reference", "valid"),
    )
    with pytest.raises(ValueError, match=r"times along \['reference', 'valid'\].*say which"):
        cut(field, xpatch.FixedLookback(2))
    assert cut(field, xpatch.FixedLookback(2, dim="valid")).dims == ("patch", "reference", "valid")
    with pytest.raises(ValueError, match=r"called 'time', but the field has times along \['refer"):
        cut(field, xpatch.FixedLookback(2, dim="time"))
    slower = times(5, freq="2D")
    for name in ("run", "zulu"):  # before and behind the coordinate of the dimension
        two = field.isel(valid=0, drop=True).assign_coords({name: ("reference", slower)})
        assert cut(two, xpatch.FixedLookback("4D")).sizes["reference"] == 4
        assert cut(two, xpatch.FixedLookback("4D", dim=name)).sizes["reference"] == 2


@pytest.mark.parametrize("calendar", ["datetime64", "noleap", "360_day"])
@pytest.mark.parametrize("freq", ["MS", "ME", "QS"])
def test_a_period_of_steps_counts_months(calendar, freq):
    cycle = 12 if freq != "QS" else 4
    field = xr.DataArray(np.arange(240), {"time": times(240, freq, calendar)}, ("time",))
    for period in (cycle, "1YS"):
        patches = cut(field, xpatch.PhaseWindow(period, 0 if freq != "ME" else "4D"))
        assert patches.sizes == {"patch": 240, "time": 240 // cycle}
        assert (patches % cycle == patches["patch"] % cycle).all()
    beside = cut(field, xpatch.PhaseWindow(cycle, 3)).isel(patch=17)
    near = sorted({n % cycle for n in (16, 17, 18)})
    assert sorted(set((beside[beside.notnull()] % cycle).values)) == near
    gappy = field.isel(time=np.r_[0:70, 73:240])
    patches = cut(gappy, xpatch.PhaseWindow(cycle, 0))
    values = gappy.isel(time=patches.anchor_step)
    assert (
        (patches % cycle == (values % cycle).drop_vars("time")).where(patches.notnull(), True).all()
    )


@pytest.mark.parametrize("value", [0, -3, "0D", "-1D"])
def test_durations_must_be_positive(value):
    with pytest.raises(ValueError, match="must be positive"):
        xpatch.FixedLookback(value)


def test_durations():
    assert Duration.of(3, "x") == Duration(steps=3)
    assert (
        Duration.of("36h", "x")
        == Duration.of(np.timedelta64(36, "h"), "x")
        == Duration(seconds=129600.0)
    )
    assert (
        Duration.of("3MS", "x") == Duration.of(pd.DateOffset(months=3), "x") == Duration(months=3)
    )
    assert (
        Duration.of("2YE", "x") == Duration.of(pd.DateOffset(years=2), "x") == Duration(months=24)
    )
    from xarray.coding.cftime_offsets import to_offset

    for text in ("3D", "6h", "3MS", "1YE", "2QS"):
        assert Duration.of(to_offset(text), "x") == Duration.of(text, "x")
    with pytest.raises(ValueError, match="'30D', '6h' or '3MS'"):
        Duration.of("thirty days", "x")
    with pytest.raises(ValueError, match="years are '1YS'"):
        Duration.of("1Y", "x")
    with pytest.raises(TypeError, match="number of steps or a duration"):
        Duration.of(2.5, "x")


@pytest.mark.parametrize("window", [xpatch.ExponentialDecay, xpatch.Periodic])
def test_windows_are_measured_in_steps(window):
    with pytest.raises(TypeError, match="must be a number of steps, got '5D'"):
        window("5D")
    with pytest.raises(ValueError, match="must be positive"):
        window(0)


def test_a_day_that_a_month_does_not_have_becomes_its_last():
    axis = TimeAxis("time", np.array(["2001-03-31", "2001-05-30"], "M8[ns]"))
    moved = axis.shifted(axis.ticks, Duration(months=1), -1).view("M8[ns]")
    assert moved.astype("M8[D]").astype(str).tolist() == ["2001-02-28", "2001-04-30"]
    leap = TimeAxis("time", np.array(["2004-02-29"], "M8[s]"))
    moved = leap.shifted(leap.ticks, Duration(months=12), -1).view("M8[s]")
    assert moved.astype("M8[D]").astype(str).tolist() == ["2003-02-28"]


def test_what_a_user_tries_first():
    field = series(60)
    assert field.patch.split(geometry=xpatch.LookbackHorizon(10, 5)).sizes["time"] == 15
    patches = cut(field, xpatch.LookbackHorizon(10, 5, gap=2), xpatch.RegularTimeStride(7))
    assert patches.patch.horizon.lead.values.tolist() == [3, 4, 5, 6, 7]
    with pytest.raises(ValueError, match=r"zeros_like\(patches.patch.horizon\) \+ value"):
        patches.patch.lookback.mean("time").patch.merge("forecast")
    dates = series(90, "360_day")
    at = cut(
        dates, xpatch.FixedLookback(3), xpatch.ExplicitTimes(["2000-02-30", "2000-03-01T00:00"])
    )
    assert at.patch.anchors.cell_time.values.tolist() == [59, 60]
    with pytest.raises(ValueError, match="'May 5' is no time"):
        cut(dates, xpatch.FixedLookback(3), xpatch.ExplicitTimes(["May 5"]))
    bounds = xr.Dataset(
        {"v": dates, "time_bnds": (("time", "b"), np.stack([dates.time.values] * 2, -1))}
    )
    odd = bounds.assign(odd=("time", [{}] * 90))
    with pytest.raises(TypeError, match=r"drop_vars\('odd'\)"):
        cut(odd, xpatch.FixedLookback(3))
    patches = cut(bounds.set_coords("time_bnds"), xpatch.FixedLookback(3))
    assert patches.time_bnds.isel(patch=4).values[0, 0] == dates.time.values[4]
    assert (patches.patch.merge().time_bnds.values == bounds.time_bnds.values).all()
