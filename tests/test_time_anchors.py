"""Anchors in time: events and which of them are left, times of other patches, names, and errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from xpatch import (
    EventTriggered,
    ExplicitTimes,
    FixedLookback,
    LookbackHorizon,
    MultiScale,
    Patcher,
    PhaseWindow,
    RandomTime,
    RegularTimeStride,
    SpatioTemporalPatcher,
    TimePatcher,
)

DAYS = pd.date_range("2001-01-01", periods=100)
SERIES = xr.DataArray(np.arange(100.0), {"time": DAYS}, ("time",), name="t")
EVENTS = DAYS[[3, 40, 60, 98]]  # the first and the last have no complete window


def cut(geometry, sampler=None, field=SERIES, **kwargs):
    return field.patch.split(TimePatcher(geometry, sampler, **kwargs))


# ---------------------------------------------------------------------------------------- events


def test_patches_say_which_event_they_are_of():
    temporal = TimePatcher(LookbackHorizon(10, 5), EventTriggered(EVENTS))
    patches = SERIES.patch.split(temporal)
    assert patches.event.values.tolist() == [1, 2]
    np.testing.assert_array_equal(patches.patch.anchors.time, EVENTS[patches.event.values])
    table = pd.Series([0.5, 1.0, 2.0, 4.0])  # what is known of the events
    assert (patches * table[patches.event.values].to_numpy()[:, None]).sizes == patches.sizes
    cube = SERIES.expand_dims(x=[1.0, 2.0, 3.0])
    both = cube.patch.split(SpatioTemporalPatcher(Patcher({"x": 1}), temporal))
    assert both.event.values.tolist() == [1, 2] * 3
    assert "event" not in cut(LookbackHorizon(10, 5), ExplicitTimes(EVENTS)).coords


@pytest.mark.parametrize("method", ["nearest", "pad", "backfill"])
def test_no_step_stands_for_an_event_far_outside_of_the_record(method):
    for event in ("2100-01-01", "1900-01-01"):
        with pytest.raises(ValueError, match="runs from 2001-01-01"):
            cut(FixedLookback(3), EventTriggered([event], method))
    late = cut(FixedLookback(3), EventTriggered(["2001-04-10T18:00"], "pad"))
    assert late.time.values[0, -1] == DAYS[-1]
    far = cut(FixedLookback(3), EventTriggered(["2001-04-20"], "pad", tolerance="11D"))
    assert far.time.values[0, -1] == DAYS[-1]


def test_events_between_the_ticks_of_a_coarse_record_go_to_the_nearer_step():
    field = SERIES.assign_coords(time=DAYS.to_numpy().astype("M8[s]"))
    event = np.array(["2001-01-10T12:00:00.500"], "M8[ms]")
    oracle = DAYS.get_indexer(pd.DatetimeIndex(event), method="nearest")
    patches = cut(FixedLookback(3), EventTriggered(event), field)
    assert patches.time.values[0, -1] == DAYS[oracle[0]]
    hour = np.array(["2001-01-10T01:00:00.900"], "M8[ms]")
    with pytest.raises(ValueError, match="within tolerance='1h'"):
        cut(FixedLookback(3), EventTriggered(hour, "pad", tolerance="1h"), field)


def test_times_of_the_anchors_of_other_patches():
    pairs = cut(LookbackHorizon(20, 5), RegularTimeStride(7))
    hours = xr.DataArray(
        np.arange(2400.0), {"hour": pd.date_range(DAYS[0], periods=2400, freq="h")}, ("hour",)
    )
    fine = cut(FixedLookback("48h"), ExplicitTimes(pairs), hours)
    np.testing.assert_array_equal(fine.hour[:, -1], pairs.patch.anchors.time)
    both = xr.Dataset({"pairs": pairs, "fine": fine.drop_vars("lead")})  # which align by anchors
    assert both.sizes["patch"] == pairs.sizes["patch"]
    anchors = pairs.patch.anchors.time  # a DataArray of times, with the index of patches
    xr.testing.assert_identical(cut(FixedLookback("48h"), ExplicitTimes(anchors), hours), fine)


def test_a_target_beside_coarse_windows_is_merged():
    horizon = cut(LookbackHorizon(20, 5)).patch.horizon
    scales = cut(MultiScale([5, 20]), ExplicitTimes(horizon))
    coarse = scales["20"].to_dataset().t.rename(time="coarse", lead="lead_coarse")
    merged = (xr.zeros_like(horizon) + coarse.mean("coarse")).patch.merge("forecast")
    expected = SERIES.rolling(time=20).mean().shift(time=1)
    np.testing.assert_allclose(merged[20:96], expected[20:96])


# ---------------------------------------------------------------------------------------- phases


@pytest.mark.parametrize("calendar", ["datetime64", "noleap", "360_day", "all_leap", "julian"])
@pytest.mark.parametrize("months", [1, 2, 3, 4, 6])
def test_phases_of_months_are_days_of_the_month(calendar, months):
    cf = calendar != "datetime64"
    time = xr.date_range(
        "1999-01-01", periods=1100, calendar=calendar if cf else "standard", use_cftime=cf
    )
    days = xr.DataArray(np.arange(1100), {"time": time}, ("time",))
    labels = [(t.month - 1) % months * 100 + t.day for t in time]
    for anchor in (0, 27, 58, 370):
        patch = cut(PhaseWindow(f"{months}MS", 0), ExplicitTimes(days.time[[anchor]]), days)
        alike = [k for k, label in enumerate(labels) if label == labels[anchor]]
        assert patch.time_number.values[0].tolist() == alike


def test_quarters_of_monthly_data():
    time = pd.date_range("2000-01-01", periods=48, freq="MS")
    months = xr.DataArray(np.arange(48), {"time": time}, ("time",))
    first = cut(PhaseWindow("3MS", 0), field=months).isel(patch=1)
    assert first.time_number.values.tolist() == list(range(1, 48, 3))


def test_decay_goes_by_the_lead_in_phase_windows():
    days = xr.DataArray(np.ones(730), {"time": pd.date_range("2001-01-01", periods=730)}, ("time",))
    window = xpatch.ExponentialDecay(100)
    anchor = ExplicitTimes(["2002-06-01"])
    patch = cut(PhaseWindow("1YS", 0), anchor, days, window=window).isel(patch=0)
    np.testing.assert_allclose(patch, np.exp([-3.65, 0]))


# ----------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("kind", ["dim", "coordinate", "variable"])
@pytest.mark.parametrize(
    ("name", "geometry", "sampler"),
    [
        ("lead", FixedLookback(5), None),
        ("time_number", PhaseWindow("7D", 0), None),
        ("anchor_step", PhaseWindow("7D", 0), None),
        ("event", FixedLookback(5), EventTriggered(EVENTS[1:])),
    ],
)
def test_names_of_the_field_are_not_overwritten(kind, name, geometry, sampler):
    field = SERIES.to_dataset()
    if kind == "dim":
        field = field.expand_dims({name: [6, 12]})
    else:
        field = field.assign({name: ("time", np.arange(100))})
        field = field.set_coords(name) if kind == "coordinate" else field
    patches = cut(geometry, sampler, field)
    renamed = cut(geometry, sampler, field.rename({name: "other"}))
    np.testing.assert_array_equal(patches[name], renamed["other"])
    np.testing.assert_array_equal(patches[f"patch_{name}"], renamed[name])
    merged = patches.patch.merge()
    assert merged.t.notnull().any()
    xr.testing.assert_allclose(merged.t, field.t.where(merged.t.notnull()))
    if kind != "variable":
        xr.testing.assert_equal(merged[name], field[name])


def test_a_patch_is_a_field_that_can_be_split_again():
    weeks = cut(FixedLookback(20), RegularTimeStride(20))
    again = weeks.isel(patch=1).patch.split(
        TimePatcher(FixedLookback(5), RegularTimeStride(5)), dim="day"
    )
    xr.testing.assert_equal(again.patch.merge().variable, weeks.isel(patch=1).variable)
    square = xr.DataArray(np.arange(48.0).reshape(6, 8), dims=("y", "x"))
    crops = square.patch.split(geometry={"y": 4, "x": 6}, sampler=xpatch.Random(3, seed=0))
    small = crops.isel(patch=0).patch.split(
        geometry={"y": 2, "x": 2}, sampler=xpatch.Random(3, seed=0), dim="crop"
    )
    assert dict(small.sizes) == {"crop": 3, "y": 2, "x": 2}


def test_a_lead_of_the_field_is_not_lost():
    patches = cut(FixedLookback(5), field=SERIES.assign_coords(lead=3))
    assert patches.lead.item() == 3
    assert patches.patch_lead.values.tolist() == [-4, -3, -2, -1, 0]
    xr.testing.assert_allclose(patches.patch.merge(), SERIES.assign_coords(lead=3))


def test_times_of_a_product_are_taken_once():
    cube = SERIES.expand_dims(x=[1.0, 2.0, 3.0])
    space = Patcher({"x": 1})
    whole = cube.patch.split(SpatioTemporalPatcher(space, TimePatcher(LookbackHorizon(5, 2))))
    at = TimePatcher(FixedLookback(5), ExplicitTimes(whole))
    again = cube.patch.split(SpatioTemporalPatcher(space, at))
    np.testing.assert_array_equal(again, whole.patch.lookback)


# ---------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: cut(FixedLookback(3), EventTriggered(pd.DataFrame({"time": EVENTS}))),
            r"columns \['time'\].*table\['time'\]",
        ),
        (
            lambda: SERIES.patch.split(geometry={"time": 31}, sampler=RegularTimeStride(1)),
            r"one in time: split\(xpatch\.TimePatcher",
        ),
        (lambda: Patcher(FixedLookback(3)), r"xpatch\.TimePatcher\(geometry.*split\(geometry="),
        (lambda: TimePatcher(FixedLookback(3), SERIES), r"ExplicitTimes\(times or patches\)"),
        (lambda: TimePatcher(FixedLookback(3), SERIES), r"^.{0,300}$"),
        (
            lambda: cut(FixedLookback(3), RandomTime(3, weights=np.zeros(100))),
            "0 complete windows of weight above 0",
        ),
        (
            lambda: cut(
                FixedLookback(1),
                field=SERIES.rename(time="profile").assign_coords(
                    juld=("profile", DAYS[::-1]), profile=np.arange(100)
                ),
            ),
            r"swap_dims\(\{'profile': 'juld'\}\)\.sortby\('juld'\)",
        ),
    ],
)
def test_errors_say_how_to_mend_it(call, says):
    with pytest.raises((TypeError, ValueError), match=rf"(?s){says}"):
        call()


# ------------------------------------------------------------------------------- labels alone


@pytest.mark.parametrize("calendar", [None, "360_day"])
@pytest.mark.parametrize(
    "geometry",
    [FixedLookback(5), PhaseWindow("7D", "1D"), LookbackHorizon(4, 2, gap=1), FixedLookback("1MS")],
    ids=str,
)
def test_labels_are_enough_for_merge_like(calendar, geometry):
    time = xr.date_range(
        "2001-01-01", periods=100, calendar=calendar or "standard", use_cftime=calendar is not None
    )
    field = SERIES.assign_coords(time=time)
    patches = cut(geometry, field=field)
    bare = xr.DataArray(
        patches.values, {"time": (patches.time.dims, patches.time.values)}, patches.dims
    )
    expected = patches.patch.merge()
    xr.testing.assert_allclose(bare.patch.merge(like=field), expected.rename(None))
    with pytest.raises(ValueError, match="do not occur in like"):
        bare.patch.merge(like=field.isel(time=slice(None, 50)))


def test_labels_with_holes_do_not_move_values():
    holes = np.array([["NaT", "NaT", "2001-01-01", "2001-01-02"]], "M8[ns]")
    patches = xr.DataArray(
        [[7.0, 8, 0, 1]], {"time": (("patch", "time"), holes)}, ("patch", "time")
    )
    with pytest.raises(ValueError, match="do not occur in like"):
        patches.patch.merge(like=SERIES)
    field = xr.DataArray(np.arange(36.0), {"lon": np.arange(0, 360, 10)}, ("lon",))
    geometry = xpatch.Rectangular(lon=8, boundary="wrap")
    turned = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(lon=8))
    xr.testing.assert_equal(turned.drop_vars("patch").patch.merge(like=field), field)


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
@pytest.mark.parametrize(("text", "date"), [("2001-02", "2001-02-01"), ("2001", "2001-01-01")])
def test_a_month_is_its_first_day_on_every_calendar(calendar, text, date):
    time = xr.date_range("2000-12-01", periods=100, calendar=calendar, use_cftime=True)
    series = xr.DataArray(np.arange(100.0), {"time": time}, ("time",))
    days = xpatch.FixedLookback(1)
    found = series.patch.split(days, sampler=xpatch.ExplicitTimes(text))
    same = series.patch.split(days, sampler=xpatch.ExplicitTimes(date))
    xr.testing.assert_equal(found, same)
    assert found.time.size == 1
