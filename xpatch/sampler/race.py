"""Draws in one pass: every cell has a random time of arrival, and the first to arrive are drawn.

The time hangs on the seed and on the number of the cell alone, so that it does not matter in what order
cells are read, and in what chunks.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.geometry import Frame
from xpatch.sampler.cells import blocks

SLAB = 1 << 18  # cells that are looked at in one go
WIDE = 1 << 21  # where patches are looked at, which overlap from one slab to the next
WAITING = 1 << 16  # candidates that are gathered before the later ones are left out
Keep = Callable[
    [NDArray[np.int64]], NDArray[np.bool_]
]  # of starts (patch, dim) those that are kept


def uniforms(key: np.uint64, numbers: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Give a random number in [0, 1) of each cell (SplitMix64; Steele, Lea & Flood, OOPSLA 2014)."""
    z = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z += key
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    z >>= np.uint64(11)
    return np.asarray(z * 2.0**-53, np.float64)


def key_of(rng: np.random.Generator) -> np.uint64:
    """Draw the key of a race."""
    return rng.integers(2**64, dtype=np.uint64)


@dataclasses.dataclass(frozen=True, eq=False)
class Spots:
    """Cells that patches may be drawn at, and where the patch of each starts: an outer product.

    Parameters
    ----------
    frame : Frame
        Of the boxes.
    cells, starts : tuple of int64 arrays (cell,)
        Along each dimension; cells are in ascending order.
    """

    frame: Frame
    cells: tuple[NDArray[np.int64], ...]
    starts: tuple[NDArray[np.int64], ...]

    @classmethod
    def centers(cls, frame: Frame) -> Spots:
        """Take the cells that are the center of a patch: cell ``size // 2`` of it."""
        return cls._of(frame, [_centers(frame, k) for k in range(len(frame.dims))])

    @classmethod
    def around(cls, frame: Frame) -> Spots:
        """Take every cell that a patch holds, with the patch that has it nearest to its center."""
        return cls._of(frame, [_around(frame, k) for k in range(len(frame.dims))])

    @classmethod
    def every(cls, frame: Frame) -> Spots:
        """Take every start, numbered as if starts were cells."""
        spans = [(*frame.limits(k), frame.multiple(k)) for k in range(len(frame.dims))]
        starts = [np.arange(low, high + 1, step) for low, high, step in spans]
        numbered = dataclasses.replace(frame, shape=tuple(map(len, starts)))
        return cls._of(numbered, [(np.arange(len(s)), s) for s in starts])

    @classmethod
    def _of(cls, frame: Frame, pairs: list[tuple[NDArray, NDArray]]) -> Spots:
        cells, starts = zip(*pairs, strict=True)
        return cls(frame, cells, starts)

    def __len__(self) -> int:
        return int(np.prod([len(c) for c in self.cells], dtype=object))

    def at(self, numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Give the starts, shape (patch, dim), of the patches of cells by number."""
        index = np.unravel_index(numbers.astype(np.int64), self.frame.shape)
        every = zip(self.cells, self.starts, index, strict=True)
        found = [starts[np.searchsorted(cells, at)] for cells, starts, at in every]
        return self.frame.widened(np.stack(found, -1))

    def slabs(
        self, array: xr.DataArray | None, most: int = SLAB
    ) -> Iterator[tuple[NDArray[np.uint64], Any]]:
        """Read an array, each chunk once: the numbers of some cells, and its values there."""
        dims = self.frame.dims
        own = () if array is None else tuple(d for d in dims if d in array.dims)
        whole = [((), None)] if array is None else blocks(array.transpose(*own))
        for where, values in whole:
            place = dict(zip(own, where, strict=True))
            spans = [
                (0, len(cells)) if d not in place else _span(cells, place[d])
                for d, cells in zip(dims, self.cells, strict=True)
            ]
            for ranges in slabs(spans, most):
                cells = [c[a:b] for c, (a, b) in zip(self.cells, ranges, strict=True)]
                numbers = self._numbers(cells)
                if values is None:
                    yield numbers, None
                    continue
                local = [c - place[d].start for d, c in zip(dims, cells, strict=True) if d in place]
                part = values[np.ix_(*local)]
                missing = tuple(k for k, d in enumerate(dims) if d not in place)
                shape = tuple(map(len, cells))
                yield numbers, np.broadcast_to(np.expand_dims(part, missing), shape).ravel()

    def _numbers(self, cells: list[NDArray[np.int64]]) -> NDArray[np.uint64]:
        """Number cells as they follow each other in the field."""
        out = np.zeros((), np.uint64)
        for own, n in zip(cells, self.frame.shape, strict=True):
            out = out[..., None] * np.uint64(n) + own.astype(np.uint64)
        return out.ravel()


def _centers(frame: Frame, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    low, high = frame.limits(k)
    starts = np.arange(low, high + 1, frame.multiple(k))
    cells = starts + frame.sizes[k] // 2
    if frame.boundary[k] == "wrap":
        cells %= frame.shape[k]
    order = np.argsort(cells)
    order = order[(cells[order] >= 0) & (cells[order] < frame.shape[k])]
    return cells[order], starts[order]


def _around(frame: Frame, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    size, n, multiple = frame.sizes[k], frame.shape[k], frame.multiple(k)
    low, high = frame.limits(k)
    cells = np.arange(n)
    wanted = cells - size // 2
    starts = (wanted + multiple // 2) // multiple * multiple
    if frame.boundary[k] == "wrap":
        starts %= n
        inside = (cells - starts) % n < size
    else:
        starts = starts.clip(low, high)
        inside = (cells >= starts) & (cells < starts + size)
        if frame.boundary[k] in ("drop", "raise"):  # under which no patch moves inward
            inside &= np.abs(starts - wanted) <= multiple // 2
    return cells[inside], starts[inside]


def _span(cells: NDArray[np.int64], where: slice) -> tuple[int, int]:
    first, last = np.searchsorted(cells, [where.start, where.stop]).tolist()
    return first, last


def slabs(spans: list[tuple[int, int]], most: int) -> Iterator[list[tuple[int, int]]]:
    """Cut a box into parts of at most so many cells, whole rows as long as these fit."""
    lengths = [b - a for a, b in spans]
    if np.prod(lengths, dtype=object) <= most:
        if all(lengths):
            yield spans
        return
    (low, high), *rest = spans
    inner = int(np.prod(lengths[1:], dtype=object))
    step = max(1, most // inner)
    for first in range(low, high, step):
        own = (first, min(first + step, high))
        if inner <= most:
            yield [own, *rest]
        else:
            yield from ([own, *others] for others in slabs(rest, most))


class Race:
    """Keeps of each group the ``most`` candidates that arrive first."""

    def __init__(self, most: int):
        self.most = most
        self.bounds = np.array(
            [-1.0]
        )  # when the last one of each group arrives; the last is no group
        self.groups, self.times = np.empty(0, np.int64), np.empty(0)
        self.numbers, self.rates = np.empty(0, np.uint64), np.empty(0)
        self._waiting: list[tuple[NDArray, ...]] = []

    def grow(self, count: int) -> None:
        """Let there be so many groups."""
        more = count + 1 - len(self.bounds)
        self.bounds = np.concatenate([self.bounds[:-1], np.full(more, np.inf), [-1.0]])

    def add(self, groups: NDArray, times: NDArray, numbers: NDArray, rates: NDArray) -> None:
        """Let candidates in."""
        if not len(times):
            return
        self._waiting.append((groups, times, numbers, rates))
        if sum(len(w[0]) for w in self._waiting) > max(WAITING, len(self.times)):
            self.finish()

    def finish(self) -> Race:
        """Leave out those that arrive too late; the others are in order, group by group."""
        kept = (self.groups, self.times, self.numbers, self.rates)
        columns = [np.concatenate(c) for c in zip(kept, *self._waiting, strict=True)]
        self._waiting = []
        groups, times, numbers = columns[:3]
        order = np.lexsort((numbers, times, groups))
        groups = groups[order]
        rank = np.arange(len(groups)) - np.searchsorted(groups, groups)
        first = rank < self.most
        self.groups, self.times, self.numbers, self.rates = (c[order[first]] for c in columns)
        last = rank[first] == self.most - 1
        self.bounds[self.groups[last]] = self.times[last]
        return self

    def of_group(self, group: int) -> NDArray[np.uint64]:
        """Give the numbers of one group in the order of their arrival."""
        low, high = np.searchsorted(self.groups, [group, group + 1])
        return self.numbers[low:high]


def kept_of(spots: Spots, numbers: NDArray, near: NDArray, keep: Keep | None) -> NDArray[np.intp]:
    """Leave out candidates whose patch is not kept."""
    return near[keep(spots.at(numbers[near]))] if keep is not None and len(near) else near


@dataclasses.dataclass(frozen=True, eq=False)
class Arrivals:
    """Cells in the order of their arrival, at rates that are their weights.

    Parameters
    ----------
    numbers, rates : arrays (cell,)
        The first ones, and their weights.
    positive : int
        How many cells have a weight at all, those included whose patch is not kept.
    total : float
        Sum of their weights.
    """

    numbers: NDArray[np.uint64]
    rates: NDArray[np.float64]
    positive: int
    total: float

    def with_replacement(self, n: int, rng: np.random.Generator) -> NDArray[np.uint64]:
        """Draw that are drawn before again, as often as they would be.

        In a draw with replacement the cells follow each other, as they come for the first time, as in one
        without; each time the chance that it is one of those before is their share of all weights.
        """
        ends = np.cumsum(self.rates).tolist()
        out, seen = [], 0
        for at in (rng.random(n) * self.total).tolist():
            if (seen and at < ends[seen - 1]) or seen == len(ends):
                out.append(min(bisect_right(ends, at, 0, seen), seen - 1))
            else:
                out.append(seen)
                seen += 1
        return self.numbers[out]


def arrivals(
    spots: Spots,
    array: xr.DataArray | None,
    weigh: Callable[[NDArray], NDArray[np.float64]],
    n: int,
    key: np.uint64,
    keep: Keep | None = None,
    every: bool = False,
) -> Arrivals:
    """Find the ``n`` cells that arrive first of those whose patch is kept (Efraimidis & Spirakis 2006).

    ``every`` looks at each patch, so that ``total`` is that of those which are kept; otherwise only at those
    that arrive early enough.
    """
    race, positive, total = Race(n), 0, 0.0
    race.grow(1)
    for numbers, values in spots.slabs(array, SLAB if keep is None else WIDE):
        rates = np.ones(len(numbers)) if values is None else weigh(values)
        there = np.flatnonzero(rates)
        positive += len(there)
        numbers, rates = numbers[there], rates[there]
        if every:
            some = kept_of(spots, numbers, np.arange(len(numbers)), keep)
            numbers, rates = numbers[some], rates[some]
        total += float(rates.sum())
        u, bound = uniforms(key, numbers), race.bounds[0]
        near = np.flatnonzero(u <= bound * rates)  # -log(1 - u) is never less than u
        near = near[-np.log1p(-u[near]) <= bound * rates[near]]
        near = near if every else kept_of(spots, numbers, near, keep)
        times = -np.log1p(-u[near]) / rates[near]
        race.add(np.zeros(len(near), np.int64), times, numbers[near], rates[near])
    race.finish()
    return Arrivals(race.numbers, race.rates, positive, total)
