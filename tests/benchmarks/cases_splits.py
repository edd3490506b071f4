"""Slow corners: splitting in memory, and what small fields cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.lib.stride_tricks import sliding_window_view

import xpatch
from tests.benchmarks.case import Timed, boxes, corner, field, rng


def windows(values: np.ndarray, size: int, step: int) -> np.ndarray:
    """Copy squares of the first two axes."""
    view = sliding_window_view(values, (size, size), axis=(0, 1))[::step, ::step]
    view = np.moveaxis(view, (-2, -1), (2, 3))
    return np.ascontiguousarray(view).reshape(-1, size, size, *values.shape[2:])


@corner("split, boundary pad, 2048² 64/32", "np.pad, sliding windows", 1.3, word="pad")
@corner("split, x wrap, 2048² 64/32", "np.pad, sliding windows", 1.3, word="wrap")
def edges(word: str) -> Timed:
    source = field(2048)
    boundary: Any = "pad" if word == "pad" else {"x": "wrap", "y": "shift"}
    geometry = xpatch.Rectangular(y=64, x=64, boundary=boundary)
    widths = 32 if word == "pad" else ((0, 0), (0, 32))
    mode: Any = "reflect" if word == "pad" else "wrap"
    return Timed(
        lambda: source.patch.split(geometry=geometry, sampler=xpatch.RegularStride(32)),
        lambda: windows(np.pad(source.values, widths, mode=mode), 64, 32),
    )


@corner("split, (y, x, 3) uint8, 2048² 64/32", "sliding windows", 1.3)
def colors() -> Timed:
    values = rng().integers(0, 256, (2048, 2048, 3), np.uint8)
    source = xr.DataArray(values, field(2048).coords, ("y", "x", "band"))
    return Timed(lambda: source.patch.split(**boxes(64, 32)), lambda: windows(values, 64, 32))


@corner("split, Valid, 2048² 64/32", "xpatch, plain stride", 3.0)
def valid() -> Timed:
    source = field(2048)
    sampler = xpatch.Valid(xpatch.RegularStride(32))
    return Timed(
        lambda: source.patch.split(geometry={"y": 64, "x": 64}, sampler=sampler),
        lambda: source.patch.split(**boxes(64, 32)),
    )


@corner("split and merge hann, 64² 16/8", "rolling.construct", most=4e-3)
def small() -> Timed:
    source = field(64)
    return Timed(
        lambda: source.patch.split(**boxes(16, 8)).patch.merge(xpatch.OverlapAdd("hann")),
        lambda: source.rolling(y=16, x=16).construct(y="v", x="u", stride=8),
        None,
    )


@corner("apply, 128² 32/16", "xpatch, split · 2, merge")
def small_apply() -> Timed:
    source = field(128)
    return Timed(
        lambda: source.patch.apply(lambda p: p * 2, **boxes(32, 16)),
        lambda: (source.patch.split(**boxes(32, 16)) * 2).patch.merge(),
    )


@corner("apply, mean of 21² at stride 1 on 300²", "xpatch, split, mean, merge", 1.2)
def smoothed() -> Timed:
    source = field(300)

    def mean(patches: xr.DataArray) -> xr.DataArray:
        return patches.mean(["y", "x"])

    return Timed(
        lambda: source.patch.apply(mean, aggregation="mean", **boxes(21, 1)),
        lambda: mean(source.patch.split(**boxes(21, 1))).patch.merge("mean"),
    )
