"""The reducer of variances, which cannot be told from sums without losing digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpatch.engine import dtypes
from xpatch.engine.grouping import by_flox
from xpatch.engine.reducers import How, Reducer, State


class Moments(Reducer):
    """The variance, or the standard deviation, by Welford's and Chan's updates."""

    def __init__(self, dtype: DTypeLike, skipna: bool, ddof: int, root: bool):
        super().__init__(dtype, skipna)
        self.working = dtypes.accumulator(self.source)
        self.ddof = ddof
        self.root = root

    @property
    def dtype(self) -> np.dtype:
        return np.empty(0, dtypes.average(self.source)).real.dtype

    def start(self, shape: Sequence[int]) -> State:
        real = np.empty(0, self.working).real.dtype
        return [np.zeros(shape, real), np.zeros(shape, self.working), np.zeros(shape, real)]

    def update(self, state: State, values: NDArray[Any], how: How) -> None:
        count, mean, spread = state
        valid = self.valid(values)
        if (inside := how.inside()) is not None:
            inside = np.broadcast_to(inside, values.shape)
            valid = inside if valid is None else valid & inside
        if valid is None:
            count += 1
            delta = values.astype(self.working) - mean
            mean += delta / count
        else:
            count += valid
            delta = np.where(valid, values - mean, 0).astype(self.working)
            mean += delta / np.maximum(count, 1)
        change = delta * np.conj(values - mean)
        spread += change.real if valid is None else np.where(valid, change.real, 0)

    def combine(self, state: State, other: State) -> None:
        count, mean, spread = state
        n, m, s = other
        total = np.maximum(count + n, 1)
        delta = m - mean
        spread += s + (np.abs(delta) ** 2 * count * n / total).astype(spread.dtype)
        mean += delta * n / total
        count += n

    def grouped(
        self, values: NDArray[Any], codes: NDArray[Any], n: int, key: NDArray[Any]
    ) -> State:
        valid, real = self.valid(values), np.empty(0, self.working).real.dtype
        if valid is None:
            count = np.bincount(codes, minlength=n).astype(real)[:, None]
        else:
            count = by_flox(np.where(valid, 1.0, np.nan), codes, n, "count", 0).astype(real)
        values = values.astype(self.working, copy=False)
        nan = "" if valid is None else "nan"
        mean = by_flox(values, codes, n, f"{nan}mean", np.nan)
        if self.working.kind == "c":  # of which flox takes no variance
            apart = np.abs(values - mean[codes]) ** 2
            spread = by_flox(apart, codes, n, f"{nan}sum", np.nan)
        else:
            spread = by_flox(values, codes, n, f"{nan}var", np.nan, ddof=0) * count
        spread = np.where(np.isfinite(mean), spread, np.nan)  # inf − inf
        mean, spread = (np.where(count > 0, a, 0) for a in (mean, spread))
        shape = (n, values.shape[1])
        return [np.broadcast_to(count, shape).copy(), mean, spread.astype(real)]

    def finish(self, state: State) -> NDArray[Any]:
        count, _, spread = state
        free = count - self.ddof
        out = np.full(spread.shape, np.nan, spread.dtype)
        np.divide(spread, free, out=out, where=free > 0)
        if self.root:
            np.sqrt(out, out=out)
        return out.astype(self.dtype, copy=False)
