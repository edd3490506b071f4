"""How the benchmarks measure: times as ratios to a reference in the same run, and peak memory."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any


def timed(function: Callable[[], Any]) -> float:
    """Give the seconds of one call."""
    gc.collect()
    start = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    del result
    return seconds


def ratio(function: Callable[[], Any], reference: Callable[[], Any], repeats: int) -> float:
    """Give the median ratio of two calls that are made in turn, so that both see the same machine."""
    function(), reference()
    ratios = []
    for _ in range(repeats):
        before, seconds, after = timed(reference), timed(function), timed(reference)
        ratios.append(2 * seconds / (before + after))
    return statistics.median(ratios)


def memory(function: Callable[[], Any]) -> float:
    """Give the peak memory of a call beyond its result, as a share of the result."""
    tracemalloc.start()
    result = function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / result.nbytes - 1
