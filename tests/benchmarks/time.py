"""Benchmark of windows in time, and of space and time together.

``python -m tests.benchmarks.time`` prints ratios to a copy of the patches, as in
`tests.benchmarks.run`, the seconds that plans of long records take, and how often chunks are read.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import xarray as xr

import xpatch
from tests.benchmarks.large import OWN
from tests.benchmarks.measure import memory, ratio

DAYS, SIDE, LENGTH, STEP = 3652, 64, 30, 15
HOURS = 100 * 365 * 24 + 24 * 24  # of a century with its leap days


def windows() -> xpatch.TimePatcher:
    """Give lookbacks of thirty steps, each half over the one before."""
    return xpatch.TimePatcher(xpatch.FixedLookback(LENGTH), xpatch.RegularTimeStride(STEP))


def both(size: int, step: int) -> xpatch.SpatioTemporalPatcher:
    """Give the same windows of every square."""
    squares = xpatch.Patcher({"y": size, "x": size}, xpatch.RegularStride(step))
    return xpatch.SpatioTemporalPatcher(squares, windows())


def field() -> xr.DataArray:
    """Give ten years of daily fields, float32, time first."""
    days = np.datetime64("2000-01-01", "ns") + np.arange(DAYS) * np.timedelta64(1, "D")
    values = np.random.default_rng(0).random((DAYS, SIDE, SIDE), dtype="f4")
    labels = np.arange(float(SIDE))
    return xr.DataArray(values, {"time": days, "y": labels, "x": labels}, ("time", "y", "x"))


def copies(repeats: int) -> None:
    """Print how split and merge in memory compare with a copy of the patches."""
    source = field()
    print(f"\nten years of days, {SIDE}² float32, lookback {LENGTH}/{STEP}, ratios to a copy")
    print(f"{'':>24} {'split':>7} {'merge':>7} {'memory split':>13} {'merge':>7}")
    for label, patcher in [
        ("time", windows()),
        ("time × space 16/8", both(16, 8)),
        ("time × space 32/16", both(32, 16)),
    ]:

        def split(patcher: Any = patcher) -> xr.DataArray:
            return source.patch.split(patcher)

        patches = split()
        values = patches.values

        def merge(patches: xr.DataArray = patches) -> xr.DataArray:
            return patches.patch.merge(xpatch.TemporalMean())

        cut, merged = ratio(split, values.copy, repeats), ratio(merge, values.copy, repeats)
        print(
            f"{label:>24} {cut:7.2f} {merged:7.2f} {memory(split):13.2f} {memory(merge):7.2f}",
            flush=True,
        )


def century(cftime: bool) -> xr.DataArray:
    """Give a hundred years of hours, of which no value takes memory."""
    if cftime:
        hours: Any = xr.date_range(
            "1900-01-01", periods=HOURS - 24 * 24, freq="h", calendar="noleap", use_cftime=True
        )
    else:
        hours = np.datetime64("1900-01-01T00", "ns") + np.arange(HOURS) * np.timedelta64(1, "h")
    values = np.broadcast_to(np.float32(0), (len(hours),))
    return xr.DataArray(values, {"time": hours}, ("time",))


def plans() -> None:
    """Print how long the windows of a century of hours take to plan, without cutting any."""
    print(f"\n{'a window of a day at every hour of 100 years':>50} {'windows':>9} {'seconds':>8}")
    for label, cftime in [("datetime64", False), ("cftime, noleap", True)]:
        hours = century(cftime)
        lazy = hours.chunk(time=24 * 365)
        patcher = xpatch.TimePatcher(xpatch.FixedLookback(24))
        start = time.perf_counter()
        patches = lazy.patch.split(patcher)
        seconds = time.perf_counter() - start
        print(f"{label:>50} {patches.sizes['patch']:9} {seconds:8.2f}", flush=True)


def chunked() -> None:
    """Print how often chunks along time are read, and how many tasks a chunk takes."""
    import dask
    import dask.array as da

    source = field()
    reads: list[int] = []

    def read(block: np.ndarray, block_id: Any = None) -> np.ndarray:
        reads.append(block_id[0])
        return block

    for label, patcher in [("time", windows()), ("time × space 16/8", both(16, 8))]:
        blocks = da.from_array(source.values, chunks=(365, SIDE, SIDE)).map_blocks(
            read, dtype="f4", meta=np.empty((0, 0, 0), "f4")
        )
        reads.clear()
        merged = source.copy(data=blocks).patch.split(patcher).patch.merge(xpatch.TemporalMean())
        graph = merged.__dask_graph__()
        own = sum(str(k[0]).startswith(OWN) for k in graph if isinstance(k, tuple))
        with dask.config.set(scheduler="synchronous"):
            merged.compute()
        n = len(set(reads))
        print(
            f"\n{label}, {n} chunks along time: each read {len(reads) / n:.2f} times, "
            f"{own / n:.2f} tasks a chunk",
            flush=True,
        )


def table(repeats: int = 7) -> None:
    """Print all."""
    copies(repeats)
    plans()
    chunked()


if __name__ == "__main__":
    table()
