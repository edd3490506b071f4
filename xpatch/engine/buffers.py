"""Copies of short rows, scratch memory that is used again, and a few threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROW_BYTES = 1 << 10  # shorter rows take longer to set out for than to copy
THREADED_BYTES = 1 << 25  # smaller results are not worth a second thread


def copy(target: NDArray[Any], source: NDArray[Any]) -> None:
    """Copy ``source`` into ``target``; a short row goes as one item, not number by number."""
    if source.dtype == target.dtype and not target.dtype.hasobject:
        row, k = target.itemsize, target.ndim
        while k and source.strides[k - 1] == target.strides[k - 1] == row:
            k -= 1
            row *= target.shape[k]
        if k < target.ndim and 0 < row <= ROW_BYTES:
            shape = (*target.shape[:k], -1)
            target = target.reshape(shape).view(f"V{row}")
            source = source.reshape(shape).view(f"V{row}")
    np.copyto(target, source, casting="unsafe")


class Scratch:
    """Memory for one block of contributions."""

    def __init__(self) -> None:
        self._flat = np.empty(0)
        self._orders: dict[Any, tuple[list[int], list[int], bool]] = {}

    def __reduce__(self) -> Any:
        return (Scratch, ())

    def room(self, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
        """Give an array that holds anything."""
        size = int(np.prod(shape, dtype=np.int64))
        if self._flat.size < size or self._flat.dtype != dtype:
            self._flat = np.empty(size, dtype)
        return self._flat[:size].reshape(shape)

    def like(self, view: NDArray[Any], values: NDArray[Any], anew: bool = False) -> NDArray[Any]:
        """Copy ``values`` into the axis order that ``view`` has in memory, if that is another.

        With ``anew`` they are copied in any case.
        """
        form = view.strides, view.shape
        if form not in self._orders:
            order = sorted(range(view.ndim), key=lambda k: (view.shape[k] > 1, -view.strides[k]))
            longer = [k for k in order if view.shape[k] > 1]
            back = sorted(range(len(order)), key=order.__getitem__)
            self._orders[form] = order, back, longer == sorted(longer)
        order, back, alike = self._orders[form]
        if alike and not anew:
            return values
        out = self.room(tuple(view.shape[k] for k in order), view.dtype).transpose(back)
        copy(out, values)
        return out

    def product(
        self,
        values: NDArray[Any],
        weight: NDArray[Any],
        zeros: NDArray[Any] | None,
        dtype: np.dtype,
    ) -> NDArray[Any]:
        """Multiply values by weights; where a weight is zero, so is the product, even of NaN."""
        out = self.room(np.broadcast_shapes(values.shape, weight.shape), dtype)
        np.multiply(values, weight, out=out, casting="unsafe")
        if zeros is not None:
            np.copyto(out, 0, where=zeros)
        return out


def available_threads() -> int:
    """Give how many threads a large result may take: the cores of this process, at most four."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, 4))


def in_threads(function: Callable[[Any], Any], blocks: Any, threads: int) -> None:
    """Call ``function`` on runs of ``blocks``, each on a thread of its own.

    The calling thread does the first: it would idle otherwise, and a core that idles takes long to wake.
    Threads that took the blocks in turn would wait for each other's new memory.
    """
    if not len(blocks):
        return
    step = -(-len(blocks) // threads)
    first, *rest = (blocks[k : k + step] for k in range(0, len(blocks), step))
    if not rest:
        function(first)
        return
    with ThreadPoolExecutor(len(rest)) as pool:
        jobs = [pool.submit(function, run) for run in rest]
        function(first)
        for job in jobs:
            job.result()
