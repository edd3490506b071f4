"""How the benchmarks measure: times as ratios to a reference in the same run, and peak memory."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

ENOUGH = 0.3  # seconds after which quick calls need not be repeated more often


def timed(function: Callable[..., Any], *arguments: Any) -> float:
    """Give the seconds of one call."""
    gc.collect()
    start = time.perf_counter()
    result = function(*arguments)
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


def least(
    calls: Sequence[tuple[Callable[..., Any], Callable[[], list[Any]]]], repeats: int
) -> list[float]:
    """Give the shortest seconds of calls that are made in turn, quick ones more than ``repeats`` times.

    Each is a function and what gives its arguments, which is not timed.
    """
    gc.collect()
    gc.freeze()  # what the modules hold, which takes longer to look through than a quick call
    seconds: list[list[float]] = [[] for _ in calls]
    enough = time.perf_counter() + ENOUGH
    try:
        while len(seconds[0]) < repeats or time.perf_counter() < enough:
            for spent, (function, arguments) in zip(seconds, calls, strict=True):
                spent.append(timed(function, *arguments()))
    finally:
        gc.unfreeze()
    return [min(spent) for spent in seconds]


def traced(function: Callable[[], Any]) -> tuple[int, Any]:
    """Give the peak memory of a call, in bytes, and its result."""
    gc.collect()
    tracemalloc.start()
    try:  # a call that fails must not slow down those after it
        result = function()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def memory(function: Callable[[], Any]) -> float:
    """Give the peak memory of a call beyond its result, as a share of the result."""
    peak, result = traced(function)
    return peak / result.nbytes - 1
