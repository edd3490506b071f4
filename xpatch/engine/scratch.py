"""Scratch memory that is laid out like what it is added to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.placement import SHORT


class Scratch:
    """Memory for blocks of contributions, laid out like the views of the state they fall on."""

    def __init__(self) -> None:
        self._flat = np.empty(0)
        self._zeros: dict[int, tuple[NDArray, NDArray | None]] = {}
        self._spread: dict[Any, tuple[NDArray, NDArray]] = {}
        self._orders: dict[tuple[int, ...], tuple[list[int], list[int]]] = {}

    def __deepcopy__(self, memo: object) -> Scratch:
        return Scratch()

    def __reduce__(self) -> Any:
        return (Scratch, ())

    def _order(self, strides: tuple[int, ...]) -> tuple[list[int], list[int]]:
        if strides not in self._orders:
            order = sorted(range(len(strides)), key=lambda k: -strides[k])
            self._orders[strides] = order, sorted(range(len(order)), key=order.__getitem__)
        return self._orders[strides]

    def like(self, view: NDArray) -> NDArray:
        """Give an uninitialized array of the shape, dtype and axis order in memory of ``view``."""
        if self._flat.size < view.size or self._flat.dtype != view.dtype:
            self._flat = np.empty(view.size, view.dtype)
        order, back = self._order(view.strides)
        shape = [view.shape[k] for k in order]
        return self._flat[: view.size].reshape(shape).transpose(back)

    def zeros(self, weight: NDArray) -> NDArray | None:
        """Where weights are zero; None if nowhere."""
        if id(weight) not in self._zeros:
            if len(self._zeros) > 16:
                self._zeros.clear()
            where = weight == 0
            self._zeros[id(weight)] = weight, where if where.any() else None
        return self._zeros[id(weight)][1]

    def spread(self, weight: NDArray, view: NDArray) -> NDArray:
        """Lay weights out like ``view``, once for each patch, where its rows are short."""
        order, back = self._order(view.strides)
        if len(view) == 1 or view.shape[order[-1]] >= SHORT:
            return weight
        key = (id(weight), len(view), view.strides)
        if key not in self._spread:
            if len(self._spread) > 12:
                self._spread.clear()
            shape = (len(view), *weight.shape[1:])
            full = np.broadcast_to(weight, shape).transpose(order)
            self._spread[key] = weight, np.ascontiguousarray(full).transpose(back)
        return self._spread[key][1]
