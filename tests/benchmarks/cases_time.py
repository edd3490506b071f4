"""Slow corners: windows in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.lib.stride_tricks import sliding_window_view

import xpatch
from tests.benchmarks.case import Timed, close, corner, record

PAST, FUTURE, STEP = 30, 5, 5


def windows(values: np.ndarray, first: int, length: int, count: int) -> np.ndarray:
    """Copy windows along the first axis."""
    view = sliding_window_view(values, length, axis=0)[first::STEP][:count]
    return np.ascontiguousarray(np.moveaxis(view, -1, 1))


VIEW, VIEWS = "sliding windows", "sliding windows, two copies"
STEPS: Any = {"length": (PAST, FUTURE)}
DAYS: Any = {"length": (f"{PAST}D", f"{FUTURE}D")}


@corner("split, LookbackHorizon 30 + 5 / 5, 32²", VIEW, 1.3, side=32, parts=False, **STEPS)
@corner("split, LookbackHorizon 30D + 5D / 5, 32²", VIEW, 1.3, side=32, parts=False, **DAYS)
@corner("split, .lookback, .horizon, 30 + 5 / 5, 32²", VIEWS, 1.3, side=32, **STEPS)
@corner("split, .lookback, .horizon, 30 + 5 / 5, 64²", VIEWS, 1.3, side=64, **STEPS)
@corner("split, .lookback, .horizon, 30D + 5D / 5, 32²", VIEWS, 1.3, side=32, **DAYS)
@corner("split, .lookback, .horizon, 30D + 5D / 5, 64²", VIEWS, 1.3, side=64, **DAYS)
def forecasts(side: int, length: tuple[Any, Any], parts: bool = True) -> Timed:
    source = record(40 if side == 32 else 10, side, side)  # patches of 0.4 GB
    patcher = xpatch.TimePatcher(xpatch.LookbackHorizon(*length), xpatch.RegularTimeStride(STEP))

    def ours() -> Any:
        patches = source.patch.split(patcher)
        return (patches.patch.lookback, patches.patch.horizon) if parts else patches

    count = source.patch.split(patcher).sizes["patch"]
    spans = [(0, PAST), (PAST, FUTURE)] if parts else [(0, PAST + FUTURE)]

    def beside() -> Any:
        copies = tuple(windows(source.values, *span, count) for span in spans)
        return copies if parts else copies[0]

    def same(a: Any, b: Any) -> bool:
        return all(map(close, a, b)) if parts else close(a, b)

    return Timed(ours, beside, same)


@corner("split, 30 days at each month's start, 40 years of 32²", "stack of slices", 1.3)
def months() -> Timed:
    source = record(40, 32, 32)
    patcher = xpatch.TimePatcher(xpatch.FixedLookback("30D"), xpatch.RegularTimeStride("1MS"))
    last = source.patch.split(patcher).time.values[:, -1]
    at = source.indexes["time"].get_indexer(last)

    def stacked() -> np.ndarray:
        values = source.values
        return np.stack([values[k - 29 : k + 1] for k in at])

    return Timed(lambda: source.patch.split(patcher), stacked)


@corner("apply, mean of 30 days at every day, 40 years of 8²", "xpatch, split, mean, merge", 1.2)
@corner(
    "apply, batch_size=512, mean of 30 days at every day",
    "xpatch, split, mean, merge",
    1.2,
    batch_size=512,
)
def rolled(batch_size: int | None = None) -> Timed:
    source = record(40, 8, 8)
    patcher = xpatch.TimePatcher(xpatch.FixedLookback(30), xpatch.RegularTimeStride(1))

    def mean(patches: xr.DataArray) -> xr.DataArray:
        return patches.mean("time")

    return Timed(
        lambda: source.patch.apply(mean, patcher, aggregation="mean", batch_size=batch_size),
        lambda: mean(source.patch.split(patcher)).patch.merge("mean"),
    )


@corner("90th percentile of 11-day phase windows, 40 years of 6²", "one sort", 1.5)
def percentiles() -> Timed:
    source = record(40, 6, 6)
    days = xpatch.ExplicitTimes(source.time.sel(time="2004"))
    patcher = xpatch.TimePatcher(xpatch.PhaseWindow("1YS", "10D"), days)
    patches = source.patch.split(patcher)
    values = patches.values
    has = hasattr(patches.patch, "quantile")

    def one_sort() -> np.ndarray:
        ranked = np.sort(values, axis=1)  # NaN come last
        rank = 0.9 * (np.isfinite(values).sum(1) - 1)
        low, high = (f(rank).astype(int)[:, None] for f in (np.floor, np.ceil))
        below = np.take_along_axis(ranked, low, 1)[:, 0]
        above = np.take_along_axis(ranked, high, 1)[:, 0]
        return below + (above - below) * (rank - low[:, 0])

    def ours() -> xr.DataArray:
        return (patches.patch if has else patches).quantile(0.9, "time")

    return Timed(ours, one_sort, note="by .patch.quantile" if has else "by patches.quantile")
