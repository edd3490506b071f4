"""Windows in steps along axes that have no dates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from xpatch import (
    CausalRolling,
    EventTriggered,
    ExplicitTimes,
    FixedLookback,
    LookbackHorizon,
    MultiScale,
    PhaseWindow,
    RandomTime,
    RegularTimeStride,
)

N = 36
LABELS = {
    "years": np.arange(1900, 1900 + N),
    "none": None,
    "timedelta": pd.timedelta_range("0h", periods=N, freq="6h"),
    "descending": np.arange(N)[::-1] * 10,
    "floats": np.sort(np.random.default_rng(0).random(N)),
    "text": [f"step {k:02}" for k in range(N)],
    "repeated": np.zeros(N),
}


def series(axis):
    coords = {} if LABELS[axis] is None else {"t": LABELS[axis]}
    return xr.DataArray(np.arange(float(N)), coords, ("t",), name="s")


def sliding(n, first=0):
    return np.lib.stride_tricks.sliding_window_view(np.arange(float(N)), n)[first:]


@pytest.mark.parametrize("axis", LABELS)
def test_windows_are_sliding_windows(axis):
    field = series(axis)
    lookback = field.patch.split(geometry=FixedLookback(3, dim="t"))
    np.testing.assert_array_equal(lookback, sliding(3))
    assert lookback.lead.values.tolist() == [-2, -1, 0]
    np.testing.assert_array_equal(lookback.t_number, sliding(3))
    np.testing.assert_array_equal(lookback.anchor_step, np.arange(2, N))
    if "t" in field.coords:
        np.testing.assert_array_equal(lookback.t, field.t.values[sliding(3).astype(int)])
    pairs = field.patch.split(LookbackHorizon(4, 2), sampler=RegularTimeStride(2))
    np.testing.assert_array_equal(pairs, sliding(6)[::2])
    np.testing.assert_array_equal(pairs.patch.horizon, sliding(6)[::2, 4:])
    rolling = field.patch.split(LookbackHorizon(4, 2), sampler=CausalRolling(1))
    np.testing.assert_array_equal(rolling.patch.horizon, sliding(6)[:, 4:])
    drawn = field.patch.split(FixedLookback(5), sampler=RandomTime(6, seed=0))
    np.testing.assert_array_equal(drawn, sliding(5)[drawn.anchor_step.values - 4])
    grown = field.patch.split(FixedLookback(3, expanding=True))
    np.testing.assert_array_equal(grown.count("t"), np.arange(3, N + 1))
    scales = field.patch.split(MultiScale([2, 4]))
    np.testing.assert_allclose(scales["4"].s, sliding(4).reshape(-1, 2, 2).mean(-1))
    cycles = field.patch.split(PhaseWindow(6, 3), sampler=RegularTimeStride(6))
    assert set((cycles.values[3][~np.isnan(cycles.values[3])] % 6).tolist()) == {5.0, 0.0, 1.0}
    for patches in (lookback, pairs, drawn, grown, cycles):
        merged = patches.patch.merge()
        xr.testing.assert_allclose(merged, field.where(merged.notnull()))
        assert set(merged.indexes) == set(field.indexes)


@pytest.mark.parametrize("axis", [a for a in LABELS if a != "repeated"])
def test_anchors_are_labels(axis):
    field = series(axis)
    labels = np.arange(N) if LABELS[axis] is None else field.t.values
    at = field.patch.split(FixedLookback(3), sampler=ExplicitTimes(labels[[20, 7]]))
    np.testing.assert_array_equal(at.anchor_step, [20, 7])
    events = field.patch.split(FixedLookback(3), sampler=EventTriggered(labels[[1, 20]]))
    assert (events.anchor_step.item(), events.event.item()) == (20, 1)
    again = field.patch.split(FixedLookback(5), sampler=ExplicitTimes(at))
    np.testing.assert_array_equal(again[:, 2:], at)
    with pytest.raises((TypeError, ValueError)):
        field.patch.split(FixedLookback(3), sampler=ExplicitTimes([pd.Timestamp("2000")]))


def test_events_between_labels_go_where_they_are_sent():
    up, down = series("years"), series("descending")
    for field, wanted in ((up, [1910.4, 1910.6]), (down, [246.0, 244.0])):
        for method, steps in (("nearest", [10, 11]), ("pad", [10, 10]), ("backfill", [11, 11])):
            at = EventTriggered(wanted, method)
            assert (
                field.patch.split(FixedLookback(2), sampler=at).anchor_step.values.tolist() == steps
            )
    with pytest.raises(ValueError, match="are not times of the field"):
        up.patch.split(FixedLookback(2), sampler=ExplicitTimes([1910.5]))
    with pytest.raises(ValueError, match="1 of 1 events have no step"):
        up.patch.split(FixedLookback(2), sampler=EventTriggered([1980]))
    with pytest.raises(ValueError, match="is no label along 't'"):
        series("text").patch.split(FixedLookback(2), sampler=ExplicitTimes(["step 99"]))
    with pytest.raises(ValueError, match="occur twice"):
        series("repeated").patch.split(FixedLookback(2), sampler=ExplicitTimes([0.0]))


def test_a_gap_is_a_gap_of_labels():
    gappy = series("years").isel(t=np.r_[0:10, 14:N])
    whole = gappy.patch.split(FixedLookback(3, gaps="drop"))
    assert whole.sizes["patch"] == (10 - 2) + (N - 14 - 2)
    assert gappy.patch.split(FixedLookback(3)).sizes["patch"] == N - 4 - 2


@pytest.mark.parametrize(
    "call",
    [
        lambda f: f.patch.split(FixedLookback("3D")),
        lambda f: f.patch.split(FixedLookback("1MS", dim="t")),
        lambda f: f.patch.split(LookbackHorizon(3, "3D")),
        lambda f: f.patch.split(LookbackHorizon(3, 3, gap="1D")),
        lambda f: f.patch.split(FixedLookback(3), sampler=RegularTimeStride("3D")),
        lambda f: f.patch.split(MultiScale(["3D", "6D"])),
        lambda f: f.patch.split(PhaseWindow("1YS", 3)),
        lambda f: f.patch.split(PhaseWindow(6, pd.Timedelta("6h"))),
        lambda f: f.patch.split(FixedLookback(3), sampler=EventTriggered([3], tolerance="3D")),
    ],
)
@pytest.mark.parametrize("axis", ["none", "years", "timedelta"])
def test_durations_need_dates(call, axis):
    field = series(axis)
    if axis == "timedelta":
        field = field.assign_coords(t=np.arange(N) * np.timedelta64(1, "ns"))
    with pytest.raises(ValueError, match=r"'t' has no dates.*FixedLookback\(30, dim='t'\)"):
        call(field)


def test_which_axis_is_meant():
    field = xr.DataArray(
        np.random.default_rng(0).random((5, 8, 12)),
        {"init": pd.date_range("2000", periods=12, freq="MS")},
        ("x", "lag", "init"),
    )
    assert field.patch.split(FixedLookback(3)).sizes["init"] == 3
    lags = field.patch.split(FixedLookback(3, dim="lag"))
    assert lags.dims == ("patch", "x", "lag", "init")
    assert lags.sizes["patch"] == 6
    years = field.isel(init=0).rename(lag="c").assign_coords(year=("c", np.arange(8)))
    named = years.patch.split(FixedLookback(3, dim="year"), sampler=ExplicitTimes([5]))
    np.testing.assert_array_equal(named.values[0], years.values[:, 3:6])
    with pytest.raises(ValueError, match=r"dim=….*counted in steps"):
        field.drop_vars("init").rename(init="k").patch.split(FixedLookback(3))
    with pytest.raises(ValueError, match="called 'y'"):
        field.patch.split(FixedLookback(3, dim="y"))
    both = field.patch.split(geometry=[{"x": 2}, FixedLookback(3, dim="lag")])
    xr.testing.assert_allclose(both.patch.merge(), field)


@pytest.mark.parametrize("axis", ["none", "years", "timedelta", "text"])
def test_steps_through_files_and_aggregations(axis, tmp_path):
    field = series(axis)
    patches = field.patch.split(LookbackHorizon(4, 2), sampler=RegularTimeStride(2))
    patches.to_netcdf(tmp_path / "p.nc")
    back = xr.open_dataset(tmp_path / "p.nc", decode_timedelta=True)["s"]
    for how in (None, "forecast", "last", xpatch.Forecast("cube")):
        ours, theirs = patches.patch.merge(how), back.patch.merge(how)
        np.testing.assert_allclose(theirs, ours)
        if axis != "text":
            xr.testing.assert_allclose(theirs, ours)
    cube = patches.patch.merge(xpatch.Forecast("cube"))
    np.testing.assert_array_equal(cube, sliding(6)[::2, 4:])
    total = field.patch.split(FixedLookback(1)).patch.merge(
        xpatch.Sequential(lambda state, patch: (state + patch.sum(), patch * 0 + state), 0.0)
    )
    np.testing.assert_allclose(total, np.cumsum(np.arange(N)) - np.arange(N))
