"""Reducers that need all contributions of a cell at once: quantiles, mode, models, those of flox."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpatch.engine import dtypes
from xpatch.engine.grouping import by_flox
from xpatch.engine.reducers import Reducer, State


class Stacked(Reducer):
    """Base of the reducers that need all contributions of a cell at once."""

    needs_offsets = False
    flox: Any = None  # a reduction of flox, which takes all contributions in one call

    @property
    def working(self) -> np.dtype:
        """Dtype in which contributions are stacked."""
        return self.source

    @property
    def absent(self) -> Any:
        """What stands in an empty slot; it sorts behind every value."""
        null = dtypes.missing(self.working)
        if null is not None:
            return null
        return True if self.working.kind == "b" else np.iinfo(self.working).max

    def reduce(
        self,
        stack: NDArray[Any],
        count: NDArray[Any],
        offsets: NDArray[Any] | None,
        where: tuple[Any, ...],
    ) -> NDArray[Any]:
        """Reduce the slots of ``stack`` (slot, *cells).

        ``count`` (*cells) says how many slots are taken, the others hold `absent`; ``offsets``
        (dim, slot, *cells) are the normalized offsets of each contribution from its patch's
        center; ``where`` says which part of the result this is.
        """
        raise NotImplementedError


class Averaging(Stacked):
    """Base of the reducers whose result lies between the contributions."""

    @property
    def dtype(self) -> np.dtype:
        return dtypes.average(self.source)

    @property
    def working(self) -> np.dtype:
        return dtypes.accumulator(self.source)


class Quantiles(Averaging):
    """A quantile of the contributions, interpolated linearly."""

    def __init__(self, dtype: DTypeLike, skipna: bool, q: float):
        super().__init__(dtype, skipna)
        if self.source.kind not in "biuf":
            raise TypeError(
                f"values of dtype {self.source} cannot be interpolated; "
                "use 'min', 'max', 'mode' or 'first'"
            )
        self.q = q

    def reduce(
        self,
        stack: NDArray[Any],
        count: NDArray[Any],
        offsets: NDArray[Any] | None,
        where: tuple[Any, ...],
    ) -> NDArray[Any]:
        ranked = np.sort(stack, axis=0)
        place = self.q * np.maximum(count - 1, 0)
        low = np.floor(place).astype(np.intp)
        part = (place - low).astype(stack.dtype)
        below = np.take_along_axis(ranked, low[None], 0)[0]
        above = np.take_along_axis(ranked, np.minimum(low + 1, len(stack) - 1)[None], 0)[0]
        mixed = (part > 0) & (above != below)
        with np.errstate(over="ignore", invalid="ignore"):  # inf − inf
            step = np.subtract(above, below, out=np.zeros_like(below), where=mixed)
            out = below + np.multiply(step, part, out=np.zeros_like(below), where=mixed)
            far = mixed & ~np.isfinite(step)  # the two are further apart than any number says
            np.copyto(out, below * (1 - part) + above * part, where=far)
        found: NDArray[Any] = out
        return found


class Modal(Stacked):
    """The most frequent contribution; the smallest of those that are equally frequent."""

    chooses = True

    def __init__(self, dtype: DTypeLike, skipna: bool):
        super().__init__(dtype, skipna)
        if self.source.kind not in "biufcmM":
            raise TypeError(f"values of dtype {self.source} cannot be ranked; use 'first'")

    def reduce(
        self,
        stack: NDArray[Any],
        count: NDArray[Any],
        offsets: NDArray[Any] | None,
        where: tuple[Any, ...],
    ) -> NDArray[Any]:
        ranked = np.sort(stack, axis=0)
        best = ranked[0].copy()
        votes = np.ones(best.shape, np.int32)
        run = np.ones(best.shape, np.int32)
        for k in range(1, len(ranked)):
            run = np.where(ranked[k] == ranked[k - 1], run + 1, 1)
            better = (run > votes) & (k < count)
            np.copyto(best, ranked[k], where=better)
            np.copyto(votes, run, where=better)
        found: NDArray[Any] = best
        return found


class Modeled(Averaging):
    """What ``predict(values, offsets)`` makes of the contributions of each cell.

    ``collect(values, offsets, where, cells)``, if given, is called instead and may look at them.
    """

    needs_offsets = True

    def __init__(
        self,
        dtype: DTypeLike,
        skipna: bool,
        predict: Callable[..., NDArray[Any]],
        collect: Callable[..., None] | None = None,
    ):
        super().__init__(dtype, skipna)
        self.predict = predict
        self.collect = collect

    def again(
        self, predict: Callable[..., NDArray[Any]], collect: Callable[..., None] | None = None
    ) -> Modeled:
        """Give another model of the same contributions."""
        out = Modeled(self.source, self.skipna, predict, collect)
        out.reading = self.reading
        return out

    def reduce(
        self,
        stack: NDArray[Any],
        count: NDArray[Any],
        offsets: NDArray[Any] | None,
        where: tuple[Any, ...],
    ) -> NDArray[Any]:
        out = np.full(count.shape, np.nan, self.working)
        cells = count > 0
        if offsets is None or not cells.any():
            return out
        if self.collect is not None:
            self.collect(stack[:, cells], offsets[:, :, cells], where, cells)
            return out
        out[cells] = self._checked(
            self.predict(stack[:, cells], offsets[:, :, cells]), int(cells.sum())
        )
        return out

    def _checked(self, given: Any, n: int) -> NDArray[Any]:
        """Give what the model gave, if that is one number for each cell."""
        try:
            values = np.asarray(given)
            what = f"an array of dtype {values.dtype} and shape {values.shape}"
        except ValueError:  # ragged
            values, what = np.empty(0, object), f"a ragged {type(given).__name__}"
        if values.dtype.kind not in "biuf" or values.shape != (n,):
            raise ValueError(
                f"the model of Learned must give one real number for each of the {n} cells, shape "
                f"({n},), from values of shape (slot, {n}) and offsets of shape (dim, slot, {n}); it "
                f"gave {what}"
            )
        return values


class Grouped(Stacked):
    """What an aggregation of flox makes of the contributions of each cell."""

    def __init__(self, dtype: DTypeLike, skipna: bool, flox: Any):
        super().__init__(dtype, skipna)
        if self.source.kind not in "biufc":
            raise TypeError(
                f"aggregations of flox take numbers here, not values of dtype {self.source}"
            )
        self.flox = flox

    @cached_property
    def result(self) -> np.dtype:
        """Dtype of the result, which flox says of one contribution."""
        return by_flox(np.ones((1, 1), self.source), np.zeros(1, int), 1, self.flox, 0).dtype

    @property
    def dtype(self) -> np.dtype:
        return self.result

    def grouped(
        self, values: NDArray[Any], codes: NDArray[Any], n: int, key: NDArray[Any]
    ) -> State:
        null, valid = dtypes.missing(self.dtype), self.valid(values)
        fill = 0 if null is None else null
        if valid is None:
            return [by_flox(values, codes, n, self.flox, fill)]
        width = values.shape[1]
        cells = (codes[:, None] * width + np.arange(width))[valid]
        out = by_flox(values[valid][:, None], cells, n * width, self.flox, fill)
        out = out.astype(self.dtype)
        if null is not None:
            out[np.bincount(cells, minlength=n * width) == 0] = null
        return [out.reshape(n, width)]
