"""Reducers: how contributions that fall on one cell become one value.

A reducer owns a few state arrays of the region's shape. The scatter walks over blocks of patches
that do not overlap and hands each block to `update` together with views of the state; `finish`
turns the state into the result. All states of one kind can be added up by `combine`, which is how
partial results of chunks become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpatch.engine import dtypes
from xpatch.engine.buffers import Scratch
from xpatch.engine.grouping import by_flox

State = list[NDArray[Any]]
SHORT = 128  # rows of fewer cells are laid out like the state before they are added


class How(NamedTuple):
    """How contributions count: their share of the denominator, and their rank.

    ``mass`` broadcasts against the values; None stands for one.
    """

    mass: NDArray[Any] | None = None
    key: Any = None
    scratch: Scratch | None = None

    def inside(self) -> NDArray[Any] | None:
        """Where contributions count at all; None: everywhere."""
        if self.mass is None or (self.mass > 0).all():
            return None
        return self.mass > 0


class Reducer:
    """Base of the reducers; ``skipna`` says whether missing contributions are left out.

    Reducers that are ``weighted`` get values that were multiplied by their weights, those that
    `chooses` give one of the contributions, or count them. ``reading`` says how numbers that stand for
    missing are read, None: there are none.
    """

    weighted = False
    chooses = False
    by: str | None = None
    reading: Any = None

    def __init__(self, dtype: DTypeLike, skipna: bool):
        self.source = np.dtype(dtype)
        self.skipna = skipna

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the result."""
        return self.source

    @property
    def leaves_missing(self) -> bool:
        """Whether cells with no contribution come out as NaN, or NaT, by themselves."""
        return False

    def start(self, shape: Sequence[int]) -> State:
        """Give the state before any contribution."""
        raise NotImplementedError

    def update(self, state: State, values: NDArray[Any], how: How) -> None:
        """Add a block of contributions; ``state`` holds views of the cells it falls on."""
        raise NotImplementedError

    def combine(self, state: State, other: State) -> None:
        """Add another state to ``state`` in place."""
        raise NotImplementedError

    def grouped(
        self, values: NDArray[Any], codes: NDArray[Any], n: int, key: NDArray[Any]
    ) -> State:
        """Give the state of contributions (row, other) on ``n`` elements, grouped by ``codes``.

        Rows come in the order of labels; ``key`` (row,) is what `Choose` compares.
        """
        raise NotImplementedError

    def finish(self, state: State) -> NDArray[Any]:
        """Give the result; cells with no contribution hold anything."""
        return state[0].astype(self.dtype, copy=False)

    def read(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give contributions as they are reduced."""
        return values if self.reading is None else self.reading(values)

    def back(self, merged: NDArray[Any]) -> NDArray[Any]:
        """Give the result of what was read as that of the contributions themselves."""
        return merged if self.reading is None else self.reading.back(merged)

    @property
    def final(self) -> np.dtype:
        """Dtype of that result."""
        return self.dtype if self.reading is None else self.reading.result

    def skips(self, dtype: np.dtype) -> bool:
        """Whether contributions of ``dtype`` may be missing, and are left out."""
        return self.skipna and (dtype.kind in "fcmM" or self.reading is not None)

    def valid(self, values: NDArray[Any]) -> NDArray[Any] | None:
        """Where the contributions count; None: everywhere."""
        null = dtypes.isnull(values) if self.skipna else None
        return None if null is None or not null.any() else ~null


class Total(Reducer):
    """The sum of weighted values, NaN spreading; weights that sum to one make it the mean."""

    weighted = True

    def __init__(self, dtype: DTypeLike, skipna: bool, result: DTypeLike):
        super().__init__(dtype, skipna)
        self._result = np.dtype(result)

    @property
    def dtype(self) -> np.dtype:
        return self._result

    @property
    def working(self) -> np.dtype:
        return np.dtype("f4") if self._result == np.float16 else self._result

    def start(self, shape: Sequence[int]) -> State:
        return [np.zeros(shape, self.working)]

    def update(self, state: State, values: NDArray[Any], how: How) -> None:
        if how.scratch is not None and 1 < values.shape[-1] < SHORT:
            # Copying into the layout of the state first makes the addition one long loop;
            # adding small patches where they lie is many loops of a few cells.
            values = how.scratch.like(state[0], values)
        np.add(state[0], values, out=state[0], casting="unsafe")

    def combine(self, state: State, other: State) -> None:
        state[0] += other[0]


class WeightedMean(Total):
    """The weighted mean, or with ``normalize=False`` the sum, of contributions that are present."""

    def __init__(self, dtype: DTypeLike, skipna: bool, result: DTypeLike, normalize: bool = True):
        super().__init__(dtype, skipna, result)
        self.normalize = normalize

    @property
    def leaves_missing(self) -> bool:
        return self.normalize and self.dtype.kind == "f"

    def plain(self) -> Total:
        """Give the sum, which is the mean where weights sum to one and nothing is missing."""
        out = Total(self.source, self.skipna, self.dtype)
        out.reading = self.reading
        return out

    def start(self, shape: Sequence[int]) -> State:
        real = np.empty(0, self.working).real.dtype
        real = np.dtype("f8") if real.kind in "iu" else real
        return [np.zeros(shape, self.working), np.zeros(shape, real)]

    def update(self, state: State, values: NDArray[Any], how: How) -> None:
        if not self.skipna or values.dtype.kind not in "fc":
            super().update(state, values, how)
            state[1] += 1 if how.mass is None else how.mass
            return
        scratch = how.scratch or Scratch()
        laid = scratch.like(state[0], values, anew=True)  # which may be changed
        null = np.isnan(laid)
        if not null.any():
            np.add(state[0], laid, out=state[0], casting="unsafe")
            state[1] += 1 if how.mass is None else how.mass
            return
        np.copyto(laid, 0, where=null)
        np.add(state[0], laid, out=state[0], casting="unsafe")
        mass = (
            laid.real if laid.real.dtype == state[1].dtype else np.empty(laid.shape, state[1].dtype)
        )
        np.logical_not(null, out=mass, casting="unsafe")
        if how.mass is not None:
            mass *= how.mass
        state[1] += mass

    def combine(self, state: State, other: State) -> None:
        state[0] += other[0]
        state[1] += other[1]

    def finish(self, state: State) -> NDArray[Any]:
        value, weight = state
        if self.leaves_missing:  # dividing all takes a third of the time of dividing some
            np.divide(value, dtypes.or_nan(weight), out=value)
            return value.astype(self.dtype, copy=False)
        empty = weight <= 0
        if self.normalize:
            np.divide(value, weight, out=value, where=~empty)
        null = dtypes.missing(value.dtype)
        if null is not None:
            value[empty] = null
        return value.astype(self.dtype, copy=False)


class Extreme(Reducer):
    """The smallest or the largest contribution."""

    chooses = True

    def __init__(self, dtype: DTypeLike, skipna: bool, largest: bool):
        super().__init__(dtype, skipna)
        if self.source.kind not in "biufcmM":
            raise TypeError(f"values of dtype {self.source} have no smallest or largest")
        self.largest = largest
        skip = (np.fmin, np.fmax)[largest]
        self._pick = skip if skipna else (np.minimum, np.maximum)[largest]

    def start(self, shape: Sequence[int]) -> State:
        null = dtypes.missing(self.source)
        if null is not None and self.skipna:
            return [np.full(shape, null)]
        return [np.full(shape, self._neutral(), self.source)]

    def _neutral(self) -> Any:
        value: float
        kind = self.source.kind
        if kind == "b":
            return not self.largest
        if kind in "iu":
            info = np.iinfo(self.source)
            return info.min if self.largest else info.max
        if kind in "mM":
            limit = np.iinfo(np.int64)
            value = limit.min + 1 if self.largest else limit.max
            return np.array(value, np.int64).view(self.source)[()]
        value = -np.inf if self.largest else np.inf
        return complex(value, value) if kind == "c" else value

    def update(self, state: State, values: NDArray[Any], how: How) -> None:
        if (inside := how.inside()) is not None:
            values = np.where(inside, values, state[0])
        self._pick(state[0], values, out=state[0])

    def _grouped_dates(
        self, values: NDArray[Any], codes: NDArray[Any], n: int, func: str
    ) -> NDArray[Any]:
        """Order dates as integers, in which a missing one is moved to where it loses, or wins."""
        lost, limits = np.isnat(values), np.iinfo(np.int64)
        aside = limits.min if self.largest == self.skipna else limits.max
        found = by_flox(np.where(lost, aside, values.view("i8")), codes, n, func, aside)
        if (null := found == aside).any():  # which a date may be, too
            many = by_flox((lost != self.skipna).astype("u1"), codes, n, "max", 0) > 0
            null &= many != self.skipna
        return np.where(null, limits.min, found).view(self.source)

    def combine(self, state: State, other: State) -> None:
        self._pick(state[0], other[0], out=state[0])

    def grouped(
        self, values: NDArray[Any], codes: NDArray[Any], n: int, key: NDArray[Any]
    ) -> State:
        if self.source.kind == "c":  # which flox does not order
            state = self.start((n, values.shape[1]))
            self._pick.at(state[0], codes, values)
            return state
        func = "max" if self.largest else "min"
        if self.source.kind in "mM":
            return [self._grouped_dates(values, codes, n, func)]
        skips = self.skipna and dtypes.has_nan(values)  # ten times as long as without
        fill = np.nan if self.source.kind == "f" else self._neutral()
        return [by_flox(values, codes, n, f"nan{func}" if skips else func, fill)]


class Choose(Reducer):
    """The contribution with the smallest key: ``by`` "first", "last" or "central"."""

    chooses = True
    LAST = np.iinfo(np.int64).max

    by: str

    def __init__(self, dtype: DTypeLike, skipna: bool, by: str):
        super().__init__(dtype, skipna)
        self.by = by

    @property
    def leaves_missing(self) -> bool:
        return dtypes.missing(self.source) is not None

    def blank(self, shape: Sequence[int]) -> NDArray[Any]:
        """Give the first part of the state, which holds the values."""
        null = dtypes.missing(self.source)
        return np.zeros(shape, self.source) if null is None else np.full(shape, null)

    def start(self, shape: Sequence[int]) -> State:
        return [self.blank(shape), np.full(shape, self.LAST)]

    def update(self, state: State, values: NDArray[Any], how: How) -> None:
        valid = self.valid(values)
        if (inside := how.inside()) is not None:
            valid = inside if valid is None else valid & inside
        better = how.key < state[1]
        if valid is not None:
            better = better & valid
        np.copyto(state[0], values, where=better)
        np.copyto(state[1], how.key, where=better)

    def combine(self, state: State, other: State) -> None:
        better = other[1] < state[1]
        np.copyto(state[0], other[0], where=better)
        np.copyto(state[1], other[1], where=better)

    def grouped(
        self, values: NDArray[Any], codes: NDArray[Any], n: int, key: NDArray[Any]
    ) -> State:
        order = np.argsort(key, kind="stable")
        rank = np.empty(len(key), np.int64)
        rank[order] = np.arange(len(key))
        valid = self.valid(values)
        ranks = rank[:, None] if valid is None else np.where(valid, rank[:, None], self.LAST)
        best = np.broadcast_to(by_flox(ranks, codes, n, "min", self.LAST), (n, values.shape[1]))
        state = self.start((n, values.shape[1]))
        there = best != self.LAST
        rows = order[best[there]]
        state[0][there] = values[rows, np.nonzero(there)[1]]
        state[1][there] = key[rows]
        return state


class Counted(Reducer):
    """The number of contributions that are present."""

    chooses = True

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int64)

    def start(self, shape: Sequence[int]) -> State:
        return [np.zeros(shape, np.int64)]

    def update(self, state: State, values: NDArray[Any], how: How) -> None:
        null = dtypes.isnull(values)
        inside = how.inside()
        one: Any = True if inside is None else inside
        state[0] += one if null is None else ~null & one

    def combine(self, state: State, other: State) -> None:
        state[0] += other[0]

    def grouped(
        self, values: NDArray[Any], codes: NDArray[Any], n: int, key: NDArray[Any]
    ) -> State:
        null = dtypes.isnull(values)
        if null is None:
            count = np.bincount(codes, minlength=n)[:, None]
            return [np.broadcast_to(count, (n, values.shape[1])).copy()]
        count = by_flox(np.where(null, np.nan, 1.0), codes, n, "count", 0)
        return [count.astype(np.int64, copy=False)]
