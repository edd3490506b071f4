"""Reducers of comparisons: whether any or all contributions are true, and which is the largest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpatch.engine import dtypes
from xpatch.engine.grouping import by_flox
from xpatch.engine.reducers import Extreme, How, State


class Truth(Extreme):
    """Whether any contribution is true, or with ``largest=False`` all: the extreme of their truth."""

    chooses = False

    def __init__(self, dtype: DTypeLike, skipna: bool, largest: bool):
        if np.dtype(dtype).kind not in "biufc":
            raise TypeError(
                f"values of dtype {np.dtype(dtype)} are not true or false; compare them first"
            )
        super().__init__(bool, skipna, largest)

    def _truth(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which are true; missing ones that are left out decide nothing."""
        valid, true = self.valid(values), values != 0
        if valid is None:
            found: NDArray[np.bool_] = true
            return found
        found = true & valid if self.largest else true | ~valid
        return found

    def update(self, state: State, values: NDArray[Any], how: How) -> None:
        super().update(state, self._truth(values), how)

    def grouped(
        self, values: NDArray[Any], codes: NDArray[Any], n: int, key: NDArray[Any]
    ) -> State:
        func = "any" if self.largest else "all"
        return [by_flox(self._truth(values), codes, n, func, self._neutral())]


class Largest(Extreme):
    """The number of the patch with the largest contribution, from one; 0 where there is none.

    Of equals the lowest number wins; missing contributions that are not left out are the largest, as in
    `numpy.argmax`.
    """

    by = "first"  # what comes as the key is the number
    NONE = np.iinfo(np.int64).max

    def __init__(self, dtype: DTypeLike, skipna: bool):
        super().__init__(dtype, skipna, largest=True)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int64)

    def start(self, shape: Sequence[int]) -> State:
        return [np.full(shape, self._neutral(), self.source), np.full(shape, self.NONE)]

    def update(self, state: State, values: NDArray[Any], how: How) -> None:
        self._take(state, values, how.key, how.inside())

    def combine(self, state: State, other: State) -> None:
        self._take(state, other[0], other[1], None)

    def _take(
        self, state: State, values: NDArray[Any], key: NDArray[Any], inside: NDArray[Any] | None
    ) -> None:
        better, equal = values > state[0], values == state[0]
        null = None if self.skipna else dtypes.isnull(values)
        if null is not None and null.any():
            known = np.isnan(state[0]) if self.source.kind in "fc" else np.isnat(state[0])
            better, equal = better | (null & ~known), equal | (null & known)
        better |= equal & (key < state[1])
        if inside is not None:
            better &= inside
        np.copyto(state[0], values, where=better)
        np.copyto(state[1], key, where=better)

    def grouped(
        self, values: NDArray[Any], codes: NDArray[Any], n: int, key: NDArray[Any]
    ) -> State:
        null = dtypes.isnull(values)
        gaps = null is not None and bool(null.any())
        func = "nanargmax" if gaps and self.source.kind == "f" else "argmax"
        rows = by_flox(_ordered(values), codes, n, func, -1).astype(np.int64)
        if gaps:
            assert null is not None
            rows = self._of_missing(rows, null, codes, n)
        rows = np.broadcast_to(rows, (n, values.shape[1]))
        state = self.start((n, values.shape[1]))
        there = rows >= 0
        state[0][there] = values[rows[there], np.nonzero(there)[1]]
        state[1][there] = key[rows[there]]
        return state

    def _of_missing(
        self, rows: NDArray[Any], null: NDArray[Any], codes: NDArray[Any], n: int
    ) -> NDArray[Any]:
        """Correct groups with missing values, of which flox takes one where others are as low as can be."""
        numbers = np.arange(len(null))[:, None]
        asked = np.where(null != self.skipna, numbers, self.NONE)
        first = by_flox(asked, codes, n, "min", self.NONE)
        if not self.skipna:
            return np.where(first == self.NONE, rows, first)
        first = np.where(first == self.NONE, -1, first)
        lost = (rows < 0) | np.take_along_axis(null, np.maximum(rows, 0), axis=0)
        return np.where(lost, first, rows)

    def finish(self, state: State) -> NDArray[Any]:
        out = state[1] + 1
        out[state[1] == self.NONE] = 0
        return out


def _ordered(values: NDArray[Any]) -> NDArray[Any]:
    """Give numbers that flox compares, in the same order; missing ones come first, but for NaN."""
    kind = values.dtype.kind
    if kind == "c":
        ranks = np.unique(values, return_inverse=True)[1].reshape(values.shape)
        return np.where(np.isnan(values), -1, ranks)
    if kind == "b":
        return values.astype("u1")
    return values.view("i8") if kind in "mM" else values
