"""Copies of arrays whose rows are short."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROW_BYTES = 1 << 10  # shorter rows take longer to set out for than to copy


def copy(target: NDArray, source: NDArray) -> None:
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
