"""A few threads for large arrays in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

THREADED_BYTES = 1 << 25  # smaller results are not worth a second thread


def available_threads() -> int:
    """Give how many threads a large result may take: the cores of this process, at most four."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, 4))


def in_threads(function: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """Call ``function`` on each part, on threads of their own; the calling thread does the first.

    It would idle otherwise, and a core that idles takes long to wake.
    """
    first, *rest = parts
    if not rest:
        return [function(first)]
    with ThreadPoolExecutor(len(rest)) as pool:
        jobs = [pool.submit(function, part) for part in rest]
        return [function(first), *(job.result() for job in jobs)]
