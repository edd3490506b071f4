"""Numbers that stand for missing values: NaN to the kernels, and the number again in the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes
from xpatch.engine.reducers import Reducer

EXACT = 2**53  # of integers, what float64 still counts one by one
TURN = np.uint64(1 << 63)  # signed integers as unsigned ones, in the same order


@dataclasses.dataclass(frozen=True)
class Nodata:
    """The numbers of one dtype that stand for a missing value.

    Parameters
    ----------
    dtype : dtype
        Of what holds them.
    values : tuple of scalar
        The numbers, in that dtype.
    fill : scalar
        What is written where a value is missing: one of them, or NaN.
    """

    dtype: np.dtype
    values: tuple[Any, ...]
    fill: Any

    @property
    def empty(self) -> Any:
        """What integers hold where there is nothing to take; None for floats, which have NaN."""
        return self.fill if self.dtype.kind in "iu" else None

    def where(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """Say where the numbers stand."""
        found: NDArray[np.bool_] = np.equal(array, self.values[0])
        for value in self.values[1:]:
            found |= array == value
        return found

    def masked(self, array: NDArray[Any], dtype: Any = None) -> NDArray[Any]:
        """Give floats with NaN in place of the numbers: the array itself if these are floats, and none is."""
        dtype = dtypes.average(array.dtype) if dtype is None else dtype
        null = self.where(array)
        if not null.any():
            return array.astype(dtype, copy=False)
        out = array.astype(dtype)
        np.copyto(out, np.nan, where=null)
        return out

    def kept(self, changed: NDArray[Any], array: NDArray[Any]) -> NDArray[Any]:
        """Let the numbers of ``array`` be as they were in what became of it, in place; no others come up."""
        null = self.where(array)
        for value in self.values:
            aside(changed, changed.dtype.type(value), ~null)
        np.copyto(changed, array, where=null, casting="unsafe")
        return changed

    def filled(self, array: NDArray[Any]) -> NDArray[Any]:
        """Write the number in place of NaN, in place; what comes to that number is the next to it."""
        fill = array.dtype.type(self.fill)
        if fill != fill:
            return array
        aside(array, fill)
        np.copyto(array, fill, where=np.isnan(array))
        return array


def aside(array: NDArray[Any], number: Any, where: Any = True) -> None:
    """Let floats that come to ``number`` by computation be the next float, in place."""
    toward = array.dtype.type(1 if number == 0 else 0)
    np.copyto(array, np.nextafter(number, toward), where=(array == number) & where)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a reducer reads contributions, and what its result is in the dtype of the patches.

    Floats have NaN in place of the numbers, small integers become floats that hold them, and those of
    64 bits, in their order, durations with NaT. So every kernel does with them what it does with
    missing values anyway. ``working`` is the dtype that is read, None if values are read as they are.
    """

    nodata: Nodata
    working: np.dtype | None
    result: np.dtype
    chosen: bool  # whether results are contributions, as they came

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Read some contributions."""
        if self.working is None:
            return values
        if self.working.kind == "m":
            return self._turned(values)
        return self.nodata.masked(values, self.working)

    def back(self, merged: NDArray[Any]) -> NDArray[Any]:
        """Give a result as that of the patches; it may be changed in place."""
        if merged.dtype.kind == "m":
            return self._unturned(merged)
        if merged.dtype.kind != "f":
            return merged
        if self.result.kind in "iu":
            return self._integers(merged)
        if not self.chosen:
            return self.nodata.filled(merged)
        np.copyto(merged, self.nodata.fill, where=np.isnan(merged))
        return merged

    def _integers(self, merged: NDArray[Any]) -> NDArray[Any]:
        null, fill = np.isnan(merged), self.result.type(self.nodata.fill)
        if not self.chosen and (np.abs(merged) >= EXACT).any():
            raise ValueError(
                "the sum of integers is beyond 2**53 in some cells, which is not exact beside missing values; "
                "merge them as floats, patches.astype(float), or without missing values"
            )
        if not self.chosen and (merged == float(fill)).any():
            raise ValueError(
                f"some cells sum to {fill}, which stands for missing in these patches; merge them as floats, "
                f"patches.where(patches != {fill}).drop_attrs(deep=False), where NaN does"
            )
        with np.errstate(invalid="ignore"):  # of cells that nothing covers
            out = merged.astype(self.result)
        np.copyto(out, fill, where=null)
        return out

    def _pivot(self) -> np.uint64:
        signed = self.nodata.dtype.kind == "i"
        return np.uint64(int(self.nodata.values[0]) + (int(TURN) if signed else 0))

    def _turned(self, values: NDArray[Any]) -> NDArray[Any]:
        """Make room for NaT, the smallest of durations: the first number goes there."""
        null, pivot = self.nodata.where(values), self._pivot()
        turned = values.view("u8") ^ (TURN if self.nodata.dtype.kind == "i" else np.uint64(0))
        turned += turned < pivot
        out = (turned ^ TURN).view("m8[ns]")
        np.copyto(out, np.timedelta64("NaT", "ns"), where=null)
        return out

    def _unturned(self, merged: NDArray[Any]) -> NDArray[Any]:
        turned, null = merged.view("u8") ^ TURN, np.isnat(merged)
        turned -= turned <= self._pivot()
        if self.nodata.dtype.kind == "i":
            turned ^= TURN
        out = turned.view(self.nodata.dtype)
        np.copyto(out, self.nodata.fill, where=null)
        return out


def reading(
    make: Callable[[np.dtype, bool], Reducer], dtype: np.dtype, skipna: bool, nodata: Nodata | None
) -> Reducer:
    """Make the reducer for contributions of ``dtype``, among which numbers stand for missing."""
    reducer = make(dtype, skipna)
    if nodata is None:
        return reducer
    working = dtypes.average(dtype)
    if reducer.chooses and dtype.kind in "iu":
        working = np.dtype({1: "f4", 2: "f4", 4: "f8", 8: "m8[ns]"}[dtype.itemsize])
    elif dtype.kind == "f":
        working = dtype
    result, reducer = reducer.dtype, make(working, skipna)
    reducer.reading = Reading(nodata, working, result, reducer.chooses)
    return reducer


def filling(dtype: np.dtype, fill_value: Any, nodata: Nodata | None) -> tuple[np.dtype, Any]:
    """Give the dtype that also holds what uncovered cells are, and that.

    None is what is missing: a number where one stands for it, otherwise NaN. NaN asks for NaN itself.
    """
    if fill_value is None:
        fill_value = np.nan if nodata is None else nodata.fill
    return dtypes.filled(dtype, fill_value)


def placing(reducer: Reducer, nodata: Nodata | None) -> Reducer:
    """Let a reducer of cells that have one contribution each take it as it comes."""
    if nodata is not None:
        reducer.reading = Reading(nodata, None, reducer.dtype, True)
    return reducer
