"""Scratch memory that is used again from block to block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.copying import copy


class Scratch:
    """Memory for one block of contributions."""

    def __init__(self) -> None:
        self._flat = np.empty(0)
        self._orders: dict[Any, tuple[list[int], list[int]] | None] = {}

    def __reduce__(self) -> Any:
        return (Scratch, ())

    def _take(self, size: int, dtype: np.dtype) -> NDArray:
        if self._flat.size < size or self._flat.dtype != dtype:
            self._flat = np.empty(size, dtype)
        return self._flat[:size]

    def like(self, view: NDArray, values: NDArray) -> NDArray:
        """Copy ``values`` into the axis order that ``view`` has in memory, if that is another."""
        form = view.strides, view.shape
        if form not in self._orders:
            order = sorted(range(view.ndim), key=lambda k: (view.shape[k] > 1, -view.strides[k]))
            longer = [k for k in order if view.shape[k] > 1]
            back = sorted(range(len(order)), key=order.__getitem__)
            self._orders[form] = None if longer == sorted(longer) else (order, back)
        if (orders := self._orders[form]) is None:
            return values
        order, back = orders
        shape = [view.shape[k] for k in order]
        out = self._take(view.size, view.dtype).reshape(shape).transpose(back)
        copy(out, values)
        return out

    def product(
        self, values: NDArray, weight: NDArray, zeros: NDArray | None, dtype: np.dtype
    ) -> NDArray:
        """Multiply values by weights; where a weight is zero, so is the product, even of NaN."""
        out = self._take(values.size, dtype).reshape(values.shape)
        np.multiply(values, weight, out=out, casting="unsafe")
        if zeros is not None:
            np.copyto(out, 0, where=zeros)
        return out
