"""Shares: the weights of blocks of patches, multiplied out once for all blocks of a kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT_BYTES = 1 << 21  # of weights that are kept for the next blocks of their kind


class Shares:
    """What a block of patches is multiplied by, where that is zero, and what it adds to the mass.

    Those of the last kinds of blocks, or of the last blocks where windows are not told apart, are kept.
    """

    def __init__(self, layout: Any, ndim: int, dtype: np.dtype):
        real = np.empty(0, dtype).real.dtype
        self.ndim = ndim  # the layout, which keeps this, is no part of it: both would wait for the collector
        self.dtype = real if real.kind == "f" else np.dtype(float)
        self.kept: dict[
            Any, tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]
        ] = {}
        self.bytes = 0
        lanes = layout.lanes
        self.same = all(lane.mass is lane.weights for lane in lanes)
        self.same = self.same and layout.masses.table is layout.weights.table
        self.plain = self.same and not layout.weighted

    def __call__(
        self, layout: Any, visit: Sequence[Any]
    ) -> tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]:
        if self.plain:
            return None, None, None
        apart = layout.apart
        key = tuple([s.kind if apart else (s.block.start, s.block.stop) for s in visit])
        found = self.kept.get(key)
        if found is None:  # threads may share this: each has what it made itself
            found = self._made(layout, visit)
            if self.bytes > KEPT_BYTES:
                self.kept, self.bytes = {}, 0
            self.kept[key] = found
            self.bytes += sum(w.nbytes for w in found if w is not None)
        return found

    def _made(
        self, layout: Any, visit: Sequence[Any]
    ) -> tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]:
        weight = layout.weight(False, visit, self.ndim, self.dtype)
        mass = weight if self.same else layout.weight(True, visit, self.ndim, self.dtype)
        zeros = None if weight is None else weight == 0
        return weight, zeros if zeros is not None and zeros.any() else None, mass
