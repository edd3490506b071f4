"""Laws of windows in time: what they hold, that merge puts it back, and that nothing leaks."""

from __future__ import annotations

import os

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, assume, given, settings

import xpatch
from tests import time_strategies as own
from tests.test_roundtrip import assert_field

common = settings(
    deadline=None, suppress_health_check=list(HealthCheck), derandomize="CI" in os.environ
)
many = settings(common, max_examples=120)
some = settings(common, max_examples=40)


def series(n, freq="D", start="2000-01-01", calendar=None, seed=0):
    kw = {} if calendar is None else {"calendar": calendar, "use_cftime": True}
    time = xr.date_range(start, periods=n, freq=freq, **kw)
    return xr.DataArray(np.random.default_rng(seed).random(n), {"time": time}, ("time",), name="v")


def cut(field, geometry, sampler=None, window=None, **kwargs):
    return field.patch.split(xpatch.TimePatcher(geometry, sampler, window), **kwargs)


def steps_of(patches):
    """Give the steps that hold each patch, and that it is anchored at, by its coordinates."""
    if "time_number" in patches.coords:
        table = patches.time_number.transpose("patch", "time").values
        return [row[row >= 0] for row in table], patches.anchor_step.values
    at = patches.patch.anchors.cell_time.values
    return list(at[:, None] + patches.lead.values), at


def draw_split(data, record, window=None):
    """Cut a record, and say what every patch must hold; refuse where nothing fits, as by hand."""
    geometry, find = data.draw(own.geometries(record))
    sampler, chosen = data.draw(own.samplers(record))
    closed = getattr(sampler, "closed", None)
    windows = find(closed)
    if isinstance(geometry, xpatch.PhaseWindow) and geometry.period == "1D":
        assume(record.step < 86_400_000_000)
    there = [k for k, w in enumerate(windows) if w is not None]
    wanted = chosen(windows) if chosen and there else there[: getattr(sampler, "n", 0)]
    if not there or not wanted or len(there) < getattr(sampler, "n", 0):
        with pytest.raises(ValueError, match=r"no window|none of|more than the|shorter than"):
            cut(record.field, geometry, sampler, window)
        return None
    patches = cut(record.field, geometry, sampler, window)
    held, at = steps_of(patches)
    if chosen is not None:
        assert at.tolist() == wanted
    assert len(set(at.tolist())) == len(at) or not isinstance(sampler, xpatch.RandomTime)
    for steps, k in zip(held, at, strict=True):
        assert windows[k] is not None
        np.testing.assert_array_equal(steps, windows[k])
    return patches, [windows[k] for k in at], at, (geometry, sampler)


def covered_by(field, held):
    """Say which cells of a field some window holds."""
    there = np.zeros(field.sizes["time"], bool)
    for steps in held:
        there[steps] = True
    like = xr.DataArray(there, dims="time").broadcast_like(field.drop_vars(list(field.coords)))
    return like.transpose(*field.dims).values


# ------------------------------------------------------------------------------- the identity


@many
@given(data=st.data())
def test_patches_hold_their_windows_and_merge_gives_them_back(data):
    record = data.draw(own.records())
    found = draw_split(data, record)
    if found is None:
        return
    patches, held = found[:2]
    field = record.field
    inner = patches.transpose("patch", "time", ...).values
    outer = field.transpose("time", ...).values
    for row, steps in zip(inner, held, strict=True):
        np.testing.assert_array_equal(row[: len(steps)], outer[steps].astype(inner.dtype))
    averages = own.AVERAGES if field.dtype.kind in "fib" else []
    aggregation = data.draw(st.sampled_from([*own.PICKS, *averages]))
    window = getattr(aggregation, "window", None)
    assume(not isinstance(window, xpatch.CausalBoxcar))  # see below
    merged = patches.patch.merge(aggregation)
    covered = covered_by(field, held)
    promoted = field.astype(patches.dtype)  # integers in lists with empty slots become floats
    assert_field(merged, promoted, covered)
    if covered.all() and aggregation in own.PICKS and patches.dtype == field.dtype:
        assert merged.dtype == field.dtype


@many
@given(data=st.data())
def test_windows_of_analysis_and_synthesis_cancel(data):
    record = data.draw(own.records(dtypes=("f4", "f8")))
    window = data.draw(st.sampled_from(own.WINDOWS))
    found = draw_split(data, record, window)
    if found is None:
        return
    patches, held, at = found[:3]
    synthesis = data.draw(st.sampled_from([None, *own.WINDOWS]))
    if xpatch.CausalBoxcar() in (window, synthesis):
        held = [steps[steps <= k] for steps, k in zip(held, at, strict=True)]
    pick = data.draw(st.permutations(range(len(held))))[: data.draw(st.integers(1, len(held)))]
    merged = patches.isel(patch=pick).patch.merge(xpatch.TemporalMean(synthesis))
    assert_field(merged, record.field, covered_by(record.field, [held[k] for k in pick]))
    assert merged.dtype == record.field.dtype


@some
@given(data=st.data())
def test_dask_and_the_order_of_patches_change_nothing(data):
    record = data.draw(own.records())
    window = None
    if record.field.dtype.kind == "f":
        window = data.draw(st.sampled_from([None, *own.WINDOWS]))
    found = draw_split(data, record, window)
    if found is None:
        return
    plain = found[0]
    chunks = {d: data.draw(st.integers(1, n)) for d, n in record.field.sizes.items()}
    order = data.draw(st.permutations(range(len(found[2]))))
    most = data.draw(st.sampled_from(["auto", 1, 3]))
    lazy = cut(record.field.chunk(chunks), *found[3], window, chunks=most)
    xr.testing.assert_equal(lazy.sortby("patch").compute(), plain)
    linear = ["mean", *(a for a in own.AVERAGES if isinstance(a, xpatch.TemporalMean))]
    averages = linear if window is not None else [*own.PICKS, "count"]
    averages += [] if window is not None or record.field.dtype.kind == "M" else own.AVERAGES
    aggregation = data.draw(st.sampled_from(averages))
    expected = plain.patch.merge(aggregation)
    turned = plain.isel(patch=list(order)).patch.merge(aggregation)
    exact = window is None and getattr(aggregation, "window", None) is None
    if exact or expected.dtype.kind != "f":
        xr.testing.assert_identical(turned, expected)
    else:  # sums of weighted values are rounded in their order
        xr.testing.assert_allclose(turned, expected, rtol=1e-5 if expected.dtype == "f4" else 1e-9)
    merged = lazy.patch.merge(aggregation)
    assert merged.chunks == record.field.chunk(chunks).chunks
    assert merged.dtype == expected.dtype
    if expected.dtype.kind in "fiu":
        rtol = 1e-5 if expected.dtype == "f4" else 1e-9
        np.testing.assert_allclose(merged.values, expected.values, rtol=rtol, atol=rtol * 100)
    else:
        np.testing.assert_array_equal(merged.values, expected.values)


# ---------------------------------------------------------------------------- space and time


@some
@given(data=st.data())
def test_space_and_time_together_are_an_identity(data):
    record = data.draw(own.records(dtypes=("f8", "i2"), freqs=("h", "D"), even=True, most=16))
    rng = np.random.default_rng(0)
    shape = {d: data.draw(st.integers(2, 5)) for d in ("y", "x")}
    bare = record.field.isel({d: 0 for d in record.field.dims if d != "time"}, drop=True)
    noise = rng.integers(0, 99, tuple(shape.values())).astype(bare.dtype)
    field = bare + xr.DataArray(noise, {d: np.arange(n) * 5.0 for d, n in shape.items()})
    field = field.transpose(*data.draw(st.permutations(["time", "y", "x"])))
    field = field.where(np.isfinite(field), 0) if field.dtype.kind == "f" else field
    geometry, find = data.draw(own.geometries(record))
    window = data.draw(st.sampled_from([None, *own.WINDOWS[1:]]))
    size = {d: data.draw(st.integers(1, n)) for d, n in shape.items()}
    windows = find(None)
    there = [k for k, w in enumerate(windows) if w is not None]
    coupling = data.draw(st.sampled_from(["product", "coupled"]))
    place = st.tuples(*(st.integers(0, shape[d] - size[d]) for d in field.dims if d != "time"))
    places = data.draw(st.lists(place, min_size=1, max_size=4, unique=True))
    steps = data.draw(
        st.lists(st.sampled_from(there or [0]), min_size=len(places), max_size=len(places))
    )
    sampler = (
        xpatch.Explicit(places)
        if coupling == "coupled"
        else data.draw(st.sampled_from([xpatch.Explicit(places), xpatch.RegularStride(1)]))
    )
    at = xpatch.ExplicitTimes(field.time.values[steps])
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(size, sampler, window=data.draw(st.sampled_from([None, "hann"]))),
        xpatch.TimePatcher(geometry, at, window),
        coupling,
    )
    if not there:
        with pytest.raises(ValueError, match=r"no window|none of|shorter"):
            field.patch.split(patcher)
        return
    patches = field.patch.split(patcher)
    count = (
        len(places)
        if isinstance(sampler, xpatch.Explicit)
        else np.prod([n - size[d] + 1 for d, n in shape.items()])
    )
    assert patches.sizes["patch"] == count * (len(steps) if coupling == "product" else 1)
    covered = np.zeros([field.sizes[d] for d in field.dims], bool)
    for k in range(patches.sizes["patch"]):
        one = patches.isel(patch=k)
        spot = steps[k % len(steps)] if coupling == "product" else steps[k]
        one = one.isel(time=slice(len(windows[spot])))  # behind it slots are empty
        np.testing.assert_array_equal(one.time, field.time[windows[spot]])
        where = {d: np.searchsorted(field[d], one[d]) for d in ("y", "x")} | {"time": windows[spot]}
        covered[np.ix_(*(where[d] for d in field.dims))] = True
        if patcher.spatial.window is None and window is None:
            np.testing.assert_array_equal(one, field.isel(where))
    linear = ["mean", xpatch.TemporalMean(xpatch.ExponentialDecay(2.0)), xpatch.OverlapAdd("hann")]
    plain = patcher.spatial.window is None and window is None
    aggregation = data.draw(st.sampled_from([*linear, *own.PICKS, "median"] if plain else linear))
    merged = patches.patch.merge(aggregation)
    assert_field(merged, field.astype(patches.dtype), covered)
    chunks = {d: data.draw(st.integers(1, n)) for d, n in field.sizes.items()}
    lazy = field.chunk(chunks).patch.split(patcher)
    xr.testing.assert_allclose(lazy.patch.merge(aggregation).compute(), merged)


# ---------------------------------------------------------------------------------- causality


@some
@given(data=st.data())
def test_no_causal_window_knows_what_comes_after_its_anchor(data):
    record = data.draw(own.records(dtypes=("f8",)))
    geometry, _ = data.draw(own.geometries(record))
    sampler, _ = data.draw(own.samplers(record))
    if isinstance(geometry, xpatch.PhaseWindow):
        geometry = xpatch.PhaseWindow(geometry.period, geometry.phase_width, causal=True)
    n = record.field.sizes["time"]
    last = data.draw(st.integers(0, n - 1))
    rolling = isinstance(sampler, xpatch.CausalRolling)
    spoiled = record.field.copy()
    spoiled[{"time": slice(last + (not rolling), None)}] = np.nan
    try:
        whole = cut(record.field, geometry, sampler)
    except ValueError:
        return
    known = cut(spoiled, geometry, sampler)
    if isinstance(geometry, xpatch.LookbackHorizon):
        table = np.diff([len(h[h <= k]) for h, k in zip(*steps_of(whole), strict=True)])
        assume(not table.any())  # else they share no slots
        whole, known = whole.patch.lookback, known.patch.lookback
    held, at = steps_of(whole)
    early = np.flatnonzero(at <= last)
    for k in early:
        assert held[k].max(initial=-1) < at[k] + (not rolling)
    np.testing.assert_array_equal(known.isel(patch=early), whole.isel(patch=early))
