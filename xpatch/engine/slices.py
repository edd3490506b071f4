"""`Slices`: runs of cells of one size along one dimension, each from its start on."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes

__all__ = ["AxisWeights", "Factors", "Slices", "source_cells"]

INDEX_PADS = ("reflect", "symmetric", "edge", "wrap", "constant")


@dataclasses.dataclass(frozen=True, eq=False)
class Slices:
    """Windows of one size along one dimension.

    Parameters
    ----------
    dim : hashable
        The dimension.
    n : int
        Cells of the domain along it.
    starts : int64 array (entry,)
        First cell of each window, which may lie outside ``[0, n − size]`` where the dimension is
        wrapped or padded.
    size : int
        Cells of a window.
    wrap : bool
        Whether the dimension is periodic.
    pad_mode, pad_value
        How cells outside the domain are filled, in the words of :meth:`xarray.DataArray.pad`.
    anchor : int, optional
        Of windows in time, which cell is the anchor; it may lie outside. None: these are in space.
    missing : Nodata, optional
        Numbers that stand for missing, which padding out of a whole axis does not reckon with.
    coarse : int, optional
        How many cells of a window each slot of a patch is the mean of, of patches of several scales;
        None: a slot is a cell.
    filled : int64 array (entry,), optional
        How many slots of each window, from the first on, have a cell; the others are empty. None: all.
    """

    dim: Hashable
    n: int
    starts: NDArray[np.int64]
    size: int
    wrap: bool = False
    pad_mode: str = "reflect"
    pad_value: Any = None
    anchor: int | None = None
    missing: Any = None
    coarse: int | None = None
    filled: NDArray[np.int64] | None = None

    box: ClassVar[Literal[True]] = (
        True  # whether entries are runs of cells, of which each patch has as many slots
    )
    numbers: ClassVar[Any] = None
    halves: ClassVar[Any] = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The one dimension."""
        return (self.dim,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells of the domain."""
        return (self.n,)

    @property
    def factor(self) -> int:
        """Cells of a slot."""
        return self.coarse or 1

    @property
    def width(self) -> int:
        """Slots of a patch."""
        return self.size // self.factor

    @property
    def inner(self) -> dict[Hashable, int]:
        """The in-patch dimension and its size."""
        return {self.dim: self.width}

    @property
    def last(self) -> NDArray[np.int64]:
        """The last cell of each slot."""
        return np.arange(self.factor - 1, self.size, self.factor)

    @property
    def timed(self) -> bool:
        """Whether these are windows in time."""
        return self.anchor is not None

    @property
    def lead(self) -> NDArray[np.int64]:
        """Steps of each cell from the anchor."""
        return np.arange(self.size) - (0 if self.anchor is None else self.anchor)

    @property
    def anchors(self) -> NDArray[np.int64]:
        """The cells of windows in time that they are anchored at."""
        return self.starts + (0 if self.anchor is None else self.anchor)

    @cached_property
    def ragged(self) -> bool:
        """Whether any slot is empty."""
        return self.filled is not None and bool((self.filled < self.size).any())

    @cached_property
    def overhangs(self) -> bool:
        """Whether any slot is outside of the domain, or empty."""
        if not len(self.starts):
            return False
        if self.ragged:
            return True
        return bool(self.starts.min() < 0 or self.starts.max() + self.size > self.n)

    @property
    def side_by_side(self) -> bool:
        """Whether no two windows share a cell."""
        starts = np.sort(self.starts % self.n if self.wrap else self.starts)
        around = self.wrap and len(starts) and starts[0] + self.n - starts[-1] < self.size
        return not around and bool((np.diff(starts) >= self.size).all())

    @cached_property
    def extent(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last cell of the domain that each entry may hold, shape (entry, 1)."""
        low, high = self.starts[:, None], self.starts[:, None] + self.size - 1
        beyond = (low < 0) | (high >= self.n)  # wrapped or mirrored: anywhere
        return np.where(beyond, 0, low), np.where(beyond, self.n - 1, high)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of cells of each entry."""
        return np.full(len(self), self.size) if self.filled is None else self.filled

    def empty(self, entries: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which slots of entries are empty, shape (entry, size)."""
        return np.asarray(np.arange(self.size) >= self.counts[entries, None])

    def reach(self, entries: NDArray[Any]) -> tuple[list[int], list[int]]:
        """Give the first cell of some entries, and that behind the last; both may lie outside."""
        starts = self.starts[entries]
        if not len(starts):
            return [0], [0]
        return [int(starts.min())], [int(starts.max()) + self.size]

    def fill(self, dtype: np.dtype, empty: Any) -> tuple[np.dtype, Any]:
        """Give the dtype of patches, and what cells outside of the domain, and empty slots, hold in it."""
        constant = self.pad_mode == "constant" and self.overhangs and not self.wrap
        if self.ragged and not (constant and self.pad_value is not None):
            return dtypes.of_empty(dtype, empty)
        return dtypes.filled(dtype, self.pad_value) if constant else (dtype, None)

    def cells(self, entries: NDArray[Any], mirrored: bool = False) -> NDArray[np.int64]:
        """Give the cells of entries, shape (entry, size).

        Those beyond the domain are −1, or with ``mirrored`` the cells whose values they take.
        """
        cells = self.starts[entries, None] + np.arange(self.size)
        if not len(cells) or not (self.overhangs or self.wrap):
            return cells
        mode = self.pad_mode if mirrored else "constant"
        found = source_cells(cells, self.n, self.wrap, mode)
        return np.where(self.empty(entries), -1, found) if self.ragged else found

    def take(self, entries: NDArray[Any]) -> Slices:
        """Keep some entries."""
        filled = None if self.filled is None else self.filled[entries]
        return dataclasses.replace(self, starts=self.starts[entries], filled=filled)

    def only(self, dims: Sequence[Hashable]) -> Slices:
        """Give the same windows along their dimension, which is all there is."""
        return self

    def cropped(self, before: int, after: int) -> Slices:
        """Leave out the first and last slots of each window."""
        if not (before or after):
            return self
        before, after = before * self.factor, after * self.factor
        size = self.size - before - after
        at = None if self.anchor is None else self.anchor - before
        filled = None if self.filled is None else (self.filled - before).clip(0, size)
        starts = self.starts + before
        return dataclasses.replace(self, size=size, starts=starts, anchor=at, filled=filled)

    def scaled(self, factor: int) -> Slices:
        """Give the windows on cells that are finer by an integer."""
        if factor == 1:
            return self
        at = None if self.anchor is None else self.anchor * factor
        n, size, starts = self.n * factor, self.size * factor, self.starts * factor
        filled = None if self.filled is None else self.filled * factor
        return dataclasses.replace(self, n=n, size=size, starts=starts, anchor=at, filled=filled)

    def averaged(self, factor: int | None) -> Slices:
        """Give the same windows, of which each slot is the mean of so many cells."""
        return self if factor == self.coarse else dataclasses.replace(self, coarse=factor)

    def moved(self, low: Sequence[int], shape: Sequence[int]) -> Slices:
        """Give the windows in a region that begins at ``low`` and holds all of them."""
        return dataclasses.replace(self, starts=self.starts - low[0], n=shape[0], wrap=False)

    def padded_by(self, **pad: Any) -> Slices:
        """Let cells outside of the domain be filled in another way."""
        return dataclasses.replace(self, **pad)

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Slices:
        """Give the same windows along a dimension of another name."""
        return dataclasses.replace(self, dim=names.get(self.dim, self.dim))

    @property
    def identity(self) -> tuple[object, ...]:
        """All that patches and merges depend on."""
        pad = (self.pad_mode, self.pad_value, self.missing)
        own = (self.dim, self.n, self.starts, self.size, self.wrap, self.anchor, self.factor)
        return (*own, *pad, self.filled)

    def equals(self, other: object) -> bool:
        """Whether both are windows of the same kind; their starts may differ."""
        return isinstance(other, Slices) and (
            (self.dim, self.n, self.size, self.wrap, self.anchor, self.coarse)
            == (other.dim, other.n, other.size, other.wrap, other.anchor, other.coarse)
        )

    def same(self, other: Any, mine: NDArray[Any], theirs: NDArray[Any]) -> bool:
        """Whether patches take the same of both, given the entries of each."""
        starts = np.array_equal(self.starts[mine], other.starts[theirs])
        return starts and bool(np.array_equal(self.counts[mine], other.counts[theirs]))

    def __copy__(self) -> Slices:
        return self

    def __deepcopy__(self, memo: object) -> Slices:
        return self


def source_cells(cells: NDArray[Any], n: int, wrap: bool, pad_mode: str) -> NDArray[np.int64]:
    """Find the cell of the domain whose value each position takes; −1 where it is a constant."""
    if wrap:
        return cells % n
    if pad_mode == "constant":
        return np.where((cells >= 0) & (cells < n), cells, -1)
    low, high = max(0, -int(cells.min())), max(0, int(cells.max()) + 1 - n)
    found: NDArray[np.int64] = np.pad(np.arange(n), (low, high), mode=pad_mode)[cells + low]  # type: ignore[call-overload]
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class AxisWeights:
    """Weights of the slots of one part: a few distinct rows, and which row each entry takes."""

    rows: NDArray[np.float64]
    pick: NDArray[np.intp]

    def averaged(self, factor: int) -> AxisWeights:
        """Give each cell the mean of the ``factor`` cells that it is averaged with."""
        if factor == 1:
            return self
        means = self.rows.reshape(len(self.rows), -1, factor).mean(axis=-1)
        return AxisWeights(np.repeat(means, factor, axis=1), self.pick)

    @property
    def ones(self) -> bool:
        """Whether every weight is exactly one."""
        return bool((self.rows == 1).all())

    @property
    def binary(self) -> bool:
        """Whether every weight is zero or one."""
        return bool(((self.rows == 0) | (self.rows == 1)).all())

    def full(self, which: Any = slice(None)) -> NDArray[np.float64]:
        """Weights of each entry, shape (entry, slot)."""
        found: NDArray[np.float64] = self.rows[self.pick[which]]
        return found

    def take(self, which: NDArray[Any]) -> AxisWeights:
        """Keep the weights of some entries, and the rows that these take."""
        if len(self.rows) == 1:
            return AxisWeights(self.rows, np.zeros(len(which), np.intp))
        kept, pick = np.unique(self.pick[which], return_inverse=True)
        return AxisWeights(self.rows[kept], pick.reshape(-1))

    def times(self, other: AxisWeights) -> AxisWeights:
        """Multiply by other weights of the same entries."""
        if other.ones:
            return self
        kinds = self.pick * len(other.rows) + other.pick
        which, pick = np.unique(kinds, return_inverse=True)
        rows = self.rows[which // len(other.rows)] * other.rows[which % len(other.rows)]
        return AxisWeights(rows, pick.reshape(-1))

    @classmethod
    def of(cls, full: NDArray[np.float64]) -> AxisWeights:
        """Find the distinct rows of ``full``, taking differences of rounding as none."""
        known: dict[bytes, int] = {}
        rounded = np.round(full, 13)
        pick = np.array([known.setdefault(row.tobytes(), len(known)) for row in rounded], np.intp)
        return cls(full[np.unique(pick, return_index=True)[1]], pick)


class Factors(tuple[Any, ...]):
    """The weights of each part, None where all are one; a slot has their product.

    ``table`` is multiplied as well: weights of the cells of a box that are no product, with an axis for
    each part in their order; None: all one.
    """

    table: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, parts: Iterable[Any], table: NDArray[np.float64] | None = None) -> Factors:
        """Give the weights of some parts, and those that are no product."""
        out = cls(parts)
        out.table = table
        return out

    @property
    def plain(self) -> bool:
        """Whether every weight is one."""
        return self.table is None and all(w is None for w in self)

    @property
    def binary(self) -> bool:
        """Whether every weight of boxes is zero or one."""
        table = self.table is None or bool(((self.table == 0) | (self.table == 1)).all())
        return table and all(w is None or w.binary for w in self)

    def wide(self, axes: Sequence[int], ndim: int) -> NDArray[np.float64]:
        """Lay the table along some axes, one for each part, of an array of ``ndim``."""
        assert self.table is not None
        shape = [1] * ndim
        for axis, n in zip(axes, self.table.shape, strict=True):
            shape[axis] = n
        return self.table.transpose(np.argsort(axes)).reshape(shape)
