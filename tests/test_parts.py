"""Past and future of windows: of sums, of one patch, of several fields, on dask, and in apply."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from xpatch import (
    CausalRolling,
    ExplicitTimes,
    FixedLookback,
    LookbackHorizon,
    Patcher,
    RegularStride,
    RegularTimeStride,
    Sequential,
    SpatioTemporalPatcher,
    TimePatcher,
)

DAYS = pd.date_range("2000-01-01", periods=160)
PLACES = Patcher({"x": 2}, RegularStride(1))
EQUAL_LISTS = LookbackHorizon("10D", "10D")  # on a record with a gap
GEOMETRIES = [
    LookbackHorizon(10, 10),
    LookbackHorizon(8, 4),
    EQUAL_LISTS,
    LookbackHorizon("1MS", "1MS"),
    LookbackHorizon(8, 4, gap=2),
    LookbackHorizon(8, 4, expanding=True),
]


def field():
    values = np.random.default_rng(0).normal(size=(len(DAYS), 3))
    whole = xr.DataArray(values, {"time": DAYS, "x": [1.0, 2.0, 3.0]}, ("time", "x"), name="v")
    return whole.drop_sel(time=["2000-03-05"])


def mean_of_past(patches):
    return xr.zeros_like(patches.patch.horizon) + patches.patch.lookback.mean("time")


def by_hand(source, geometry, sampler):
    """The latest mean of the past at every step, by a loop over anchors."""
    windows = source.patch.split(TimePatcher(geometry, sampler))
    times = pd.DatetimeIndex(source.time.values)
    found = np.full(source.shape, np.nan)
    past, future = windows.patch.lookback, windows.patch.horizon
    order = np.argsort(windows.patch.anchors.time.values)
    for k in order:
        before = pd.DatetimeIndex(past.time.values[k]).dropna()
        after = pd.DatetimeIndex(future.time.values[k]).dropna()
        anchor = windows.patch.anchors.time.values[k]
        assert before.max() <= anchor <= after.min()
        assert not set(before) & set(after)
        mean = source.values[times.get_indexer(before)].mean(axis=0)
        found[times.get_indexer(after)] = mean
    return found


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("sampler", [RegularTimeStride(7), CausalRolling(7)], ids=str)
@pytest.mark.parametrize("chunk", [None, 40], ids=["numpy", "dask"])
@pytest.mark.parametrize("how", ["past first", "future first", "map_blocks", "apply"])
def test_means_of_the_past_lie_where_the_future_does(geometry, sampler, chunk, how):
    source = field()
    patcher = TimePatcher(geometry, sampler)
    expected = by_hand(source, geometry, sampler)
    source = source if chunk is None else source.chunk(time=chunk)
    patches = source.patch.split(patcher)
    if how == "apply":
        merged = source.patch.apply(mean_of_past, patcher, aggregation="forecast", batch_size=3)
    else:
        made = mean_of_past(patches)
        if how == "past first":
            made = patches.patch.lookback.mean("time") + xr.zeros_like(patches.patch.horizon)
        if how == "map_blocks":
            made = patches.map_blocks(mean_of_past, template=patches.patch.horizon)
        merged = made.patch.merge("forecast")
    np.testing.assert_allclose(merged.transpose("time", "x"), expected)


def test_sums_of_values_of_both_parts_without_steps_are_not_guessed():
    patches = field().patch.split(TimePatcher(EQUAL_LISTS, RegularTimeStride(7)))
    both = patches.patch.lookback.drop_vars(["time", "time_number", "lead"], errors="ignore")
    both = both + patches.patch.horizon.drop_vars(["time", "time_number", "lead"], errors="ignore")
    with pytest.raises(ValueError, match=r"patches\.patch\.horizon\.copy\(data=values\)"):
        both.patch.merge("forecast")


@pytest.mark.parametrize("geometry", [LookbackHorizon(8, 4), LookbackHorizon(8, 4, gap=2)], ids=str)
@pytest.mark.parametrize("space", [False, True])
@pytest.mark.parametrize("dataset", [False, True])
def test_one_patch_has_a_past_and_a_future(geometry, space, dataset):
    source = field()
    if dataset:
        source = source.to_dataset().assign(area=("x", [1.0, 2.0, 4.0]), scalar=3)
    patcher = TimePatcher(geometry, RegularTimeStride(7))
    patches = source.patch.split(SpatioTemporalPatcher(PLACES, patcher) if space else patcher)
    for k in (0, 5):
        for part in ("lookback", "horizon"):
            of_all = getattr(patches.patch, part).isel(patch=k)
            xr.testing.assert_identical(getattr(patches.isel(patch=k).patch, part), of_all)


# ------------------------------------------------------------------------------ several fields


def two_fields(chunk, gap):
    hours = xr.DataArray(
        np.arange(24.0 * 60),
        {"hour": pd.date_range("2000-01-01", periods=24 * 60, freq="h")},
        ("hour",),
    )
    days = xr.DataArray(np.arange(60.0), {"time": DAYS[:60]}, ("time",))
    if chunk:
        hours, days = hours.chunk(hour=100), days.chunk(time=7)
    at = ExplicitTimes(DAYS[10:40:5])
    daily = days.patch.split(TimePatcher(LookbackHorizon(5, 3, gap=gap), at))
    hourly = hours.patch.split(TimePatcher(LookbackHorizon(24, 12), at))
    return xr.merge(
        [daily.to_dataset(name="d"), hourly.to_dataset(name="h")], join="outer", compat="override"
    )


@pytest.mark.parametrize("chunk", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("gap", [0, 1], ids=["boxes", "lists"])
def test_nothing_of_the_future_of_any_field_is_in_the_past(chunk, gap):
    both = two_fields(chunk, gap)
    past, future = both.patch.lookback, both.patch.horizon
    assert (past.sizes["time"], past.sizes["hour"]) == (5, 24)
    assert (future.sizes["time"], future.sizes["hour"]) == (3, 12)
    anchors = DAYS[10:40:5].to_numpy()[:, None]
    assert (past.hour.values <= anchors).all()
    assert (past.time.values <= anchors).all()
    assert (future.hour.values > anchors).all()
    assert (future.time.values > anchors).all()
    fitted, predicted = [], []

    def fit(before):
        fitted.append((before.time.values.max(), before.hour.values.max()))
        return before.d.mean(), before.h.mean()

    def predict(model, after):
        predicted.append(int(after.d.notnull().sum()) + int(after.h.notnull().sum()))
        return after.assign(d=after.d.fillna(model[0]), h=after.h.fillna(model[1]))

    merged = xpatch.fit_predict(both, fit, predict).patch.merge("forecast")
    assert fitted == [(a, a) for a in DAYS[10:40:5].to_numpy()]
    assert predicted == [0] * 6
    assert int(merged.d.count()) == 6 * 3
    assert int(merged.h.count()) == 6 * 12
    at = pd.Timestamp(DAYS[10])
    assert (
        float(merged.h.sel(hour=at + pd.Timedelta("1h")))
        == np.arange(10 * 24 - 23, 10 * 24 + 1).mean()
    )
    assert float(merged.d.sel(time=at + pd.Timedelta(days=1 + gap))) == np.arange(6, 11).mean()


# ---------------------------------------------------------------------------------- Sequential


def counting(state, patch):
    state["seen"] += 1
    return state, xr.zeros_like(patch) + state["seen"]


def test_each_place_and_each_merge_begins_with_its_own_state():
    source = field()
    windows = TimePatcher(FixedLookback(5), RegularTimeStride(5))
    patches = source.patch.split(SpatioTemporalPatcher(Patcher({"x": 1}), windows))
    fold = Sequential(counting, {"seen": 0})
    first = patches.patch.merge(fold)
    np.testing.assert_array_equal(first.isel(time=slice(0, 15, 5)), [[1] * 3, [2] * 3, [3] * 3])
    xr.testing.assert_identical(patches.patch.merge(fold), first)
    assert fold.init == {"seen": 0}


@pytest.mark.parametrize("dtype", ["i8", "f8"])
@pytest.mark.parametrize("chunk", [None, 10], ids=["numpy", "dask"])
def test_a_fold_is_not_told_of_patches_that_were_skipped(dtype, chunk):
    source = xr.DataArray(np.arange(30, dtype=dtype), {"time": DAYS[:30]}, ("time",))
    source = source if chunk is None else source.chunk(time=chunk)
    seen = []

    def model(batch):
        if (batch["patch"] == 2).any():
            raise RuntimeError("no")
        return batch

    def step(count, patch):
        seen.append(int(patch[0]))
        return count + 1, patch * 0 + count

    windows = TimePatcher(FixedLookback(5), RegularTimeStride(5))
    with pytest.warns(xpatch.PatchFailure):
        merged = source.patch.apply(
            model, windows, aggregation=Sequential(step, 1), on_error="skip"
        ).compute()
    assert seen == [0, 5, 15, 20, 25]
    np.testing.assert_array_equal(merged[::5], [1, 2, np.nan, 3, 4, 5])


def test_a_state_that_cannot_be_copied():
    import threading

    windows = TimePatcher(FixedLookback(5), RegularTimeStride(5))
    fold = Sequential(lambda lock, patch: (lock, patch), threading.Lock())
    source = field()
    merged = source.patch.split(windows).patch.merge(fold)
    xr.testing.assert_allclose(merged, source.where(merged.notnull()))
    places = source.patch.split(SpatioTemporalPatcher(PLACES, windows))
    with pytest.raises(TypeError, match="must be copied for each of 2 places"):
        places.patch.merge(fold)


def test_errors_say_in_which_patch():
    patches = field().patch.split(TimePatcher(LookbackHorizon(5, 2), RegularTimeStride(5)))

    def step(state, patch):
        if state == 3:
            raise RuntimeError("no")
        return (state or 0) + 1, patch

    with pytest.raises(RuntimeError) as caught:
        patches.patch.merge(Sequential(step))
    assert "patch 3" in caught.value.__notes__[0]
    with pytest.raises(ZeroDivisionError) as caught:
        xpatch.fit_predict(patches, lambda past: 1, lambda model, future: 1 / 0)
    assert "patch 0" in caught.value.__notes__[0]


def test_a_patch_that_comes_back_in_another_order_is_refused():
    patches = field().patch.split(TimePatcher(LookbackHorizon(5, 2), RegularTimeStride(5)))
    backwards = slice(None, None, -1)
    with pytest.raises(ValueError, match="keep the order"):
        patches.patch.merge(Sequential(lambda state, patch: (state, patch.isel(time=backwards))))
    with pytest.raises(ValueError, match="keep the order"):
        xpatch.fit_predict(
            patches, lambda past: 0, lambda model, future: future.isel(time=backwards).fillna(0)
        )


def test_labels_that_are_no_cells_may_change():
    source = field().assign_coords(depth=("x", [1.0, 2.0, 4.0]), x=[0.1, 0.2, 0.3])
    patches = source.patch.split(TimePatcher(LookbackHorizon(5, 2), RegularTimeStride(5)))
    deeper = Sequential(lambda s, p: (s, p.assign_coords(depth=2 * p.depth)))
    assert patches.patch.merge(deeper).sizes == source.sizes
    made = xpatch.fit_predict(
        patches, lambda past: 0, lambda m, future: future.assign_coords(x=future.x.astype("f4"))
    )
    assert made.sizes == patches.patch.horizon.sizes


@pytest.mark.parametrize("dataset", [False, True])
def test_a_model_before_a_fold_or_a_fit_runs_once(dataset):
    source = field().chunk(time=40)
    source = source.to_dataset().assign(area=("x", [1.0, 2.0, 4.0])) if dataset else source
    patches = source.patch.split(TimePatcher(LookbackHorizon(5, 3), RegularTimeStride(5)))
    runs = []

    def model(block):
        runs.append(int(block["patch"][0]))
        return block * 2

    made = patches.map_blocks(model, template=patches)
    made.patch.merge(Sequential(lambda state, patch: (state, patch)))
    assert len(runs) == len(set(runs)) == len(patches.chunksizes["patch"])
    runs.clear()
    xpatch.fit_predict(made, lambda past: past.mean(), lambda model, future: future.fillna(model))
    assert len(runs) == len(set(runs)) == len(patches.chunksizes["patch"])


@pytest.mark.parametrize("order", [("pairs", "weeks"), ("weeks", "pairs")], ids=str)
def test_a_field_without_a_future_is_no_part_of_the_horizon(order):
    source = field().isel(x=0, drop=True)
    pairs = source.patch.split(TimePatcher(LookbackHorizon(8, 4), RegularTimeStride(7)))
    weeks = source.patch.split(TimePatcher(FixedLookback(7), ExplicitTimes(pairs)))
    both = {"pairs": pairs, "weeks": weeks.rename(time="day", lead="lead_day")}
    both = xr.Dataset({name: both[name] for name in order})
    assert dict(both.patch.horizon.sizes) == {"patch": pairs.sizes["patch"], "time": 4}
    assert dict(both.patch.lookback.sizes) == {**both.patch.horizon.sizes, "time": 8, "day": 7}
    for part in ("horizon", "lookback"):
        cut = getattr(both.patch, part).pairs
        np.testing.assert_array_equal(cut, getattr(pairs.patch, part))


@pytest.mark.parametrize("sampler", [RegularTimeStride(7), CausalRolling(7)], ids=str)
def test_training_sets_of_several_splits_have_a_past_and_a_future(sampler):
    patcher = TimePatcher(LookbackHorizon(8, 4), sampler)
    several = [f.patch.split(patcher) for f in (field(), 2 * field().isel(time=slice(9, None)))]
    every = xr.concat(several, "patch")
    for part in ("lookback", "horizon"):
        parts = [getattr(p.patch, part).values for p in several]
        cut = getattr(every.patch, part)
        np.testing.assert_array_equal(cut, np.concatenate(parts))
        np.testing.assert_array_equal(cut.lead, getattr(several[0].patch, part).lead)
    other = field().patch.split(TimePatcher(LookbackHorizon(6, 6), RegularTimeStride(7)))
    mixed = xr.concat([several[0], other], "patch", coords="different", compat="equals")
    with pytest.raises(ValueError, match="take lookback and horizon of each"):
        _ = mixed.patch.lookback


def test_leads_of_several_splits_are_not_taken_from_the_first():
    unlike = [LookbackHorizon(3, 2), LookbackHorizon(2, 3)]
    several = [field().patch.split(TimePatcher(g, RegularTimeStride(7))) for g in unlike]
    mixed = xr.concat(several, "patch", coords="minimal", compat="override")
    with pytest.raises(ValueError, match="take lookback and horizon of each"):
        _ = mixed.patch.lookback
    past = [f.patch.split(TimePatcher(FixedLookback(5))) for f in (field(), 2 * field()[:40])]
    with pytest.raises(ValueError, match="no future part"):
        _ = xr.concat(past, "patch").patch.horizon


@pytest.mark.parametrize("how", ["file", "one patch"])
def test_files_and_single_patches_know_all_fields(how, tmp_path):
    both = two_fields(False, 0)
    past = both.patch.lookback
    if how == "file":
        both.to_netcdf(tmp_path / "both.nc")
        both = xr.open_dataset(tmp_path / "both.nc")
    else:
        both, past = both.isel(patch=0), past.isel(patch=0)
    assert dict(both.patch.lookback.sizes) == dict(past.sizes)
    for name in ("d", "h"):
        np.testing.assert_array_equal(both.patch.lookback[name], past[name])
    assert both.drop_vars(["h", "hour"]).patch.lookback.sizes["time"] == 5


def test_values_of_patches_stay_beside_the_parts_of_several_fields():
    both = two_fields(False, 0).assign(label=("patch", np.arange(6)))
    np.testing.assert_array_equal(both.patch.horizon.label, np.arange(6))


def test_a_fit_of_no_patches_is_none():
    patches = field().patch.split(TimePatcher(LookbackHorizon(5, 2), RegularTimeStride(5)))
    none = xpatch.fit_predict(patches.isel(patch=[]), lambda past: 0, lambda model, future: future)
    merged = none.patch.merge("forecast")
    assert merged.sizes == field().sizes
    assert not merged.notnull().any()


def test_text_of_uneven_horizons_stays_text():
    words = xr.DataArray(np.array(["abc", "de"] * 80), {"time": DAYS}, ("time",))
    horizon = words.patch.split(TimePatcher(LookbackHorizon(5, "1MS"))).patch.horizon
    assert horizon.dtype == words.dtype
    merged = horizon.patch.merge("last", fill_value="")
    np.testing.assert_array_equal(merged[5:], words[5:])


def test_empty_slots_of_the_past_hold_no_later_date():
    time = xr.date_range("2000-01-01", periods=300, calendar="noleap", use_cftime=True)
    series = xr.DataArray(np.arange(300.0), {"time": time}, ("time",))
    patches = series.patch.split(TimePatcher(LookbackHorizon("3MS", "1MS")))
    anchors = patches.patch.anchors.time.values[:, None]
    assert (patches.patch.lookback.time.values <= anchors).all()
