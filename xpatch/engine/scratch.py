"""Scratch memory that is used again from block to block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Scratch:
    """Memory for one block of contributions."""

    def __init__(self) -> None:
        self._flat = np.empty(0)
        self._zeros: tuple[NDArray, NDArray | None] | None = None
        self._orders: dict[tuple[int, ...], tuple[list[int], list[int]]] = {}

    def __reduce__(self) -> Any:
        return (Scratch, ())

    def _take(self, size: int, dtype: np.dtype) -> NDArray:
        if self._flat.size < size or self._flat.dtype != dtype:
            self._flat = np.empty(size, dtype)
        return self._flat[:size]

    def like(self, view: NDArray, values: NDArray) -> NDArray:
        """Copy ``values`` into the axis order that ``view`` has in memory."""
        strides = view.strides
        if strides not in self._orders:
            order = sorted(range(len(strides)), key=lambda k: -strides[k])
            self._orders[strides] = order, sorted(range(len(order)), key=order.__getitem__)
        order, back = self._orders[strides]
        shape = [view.shape[k] for k in order]
        out = self._take(view.size, view.dtype).reshape(shape).transpose(back)
        np.copyto(out, values, casting="unsafe")
        return out

    def product(self, values: NDArray, weight: NDArray, dtype: np.dtype) -> NDArray:
        """Multiply values by weights; where a weight is zero, so is the product, even of NaN."""
        out = self._take(values.size, dtype).reshape(values.shape)
        np.multiply(values, weight, out=out, casting="unsafe")
        if self._zeros is None or self._zeros[0] is not weight:
            zeros = weight == 0
            self._zeros = weight, zeros if zeros.any() else None
        if self._zeros[1] is not None:
            np.copyto(out, 0, where=self._zeros[1])
        return out
