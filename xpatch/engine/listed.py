"""Listed: boxes that are no outer product are added up one after the other, or cell by cell."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.arrangement import ravel_each
from xpatch.engine.buffers import Scratch
from xpatch.engine.central import central_key, half_sample_offsets, ranked_distance
from xpatch.engine.cover import convolved, counted
from xpatch.engine.dtypes import has_nan
from xpatch.engine.reducers import Choose, How, Reducer, WeightedMean
from xpatch.engine.slices import Factors

BOX_TIME, CELL_TIME = 3000, 4  # ns: to add up a box of one cell; to sum up one cell of all boxes
PUT_CELLS = 1 << 7  # smaller boxes are written cell by cell


@dataclasses.dataclass(frozen=True, eq=False)
class Listed:
    """Boxes on a region, which holds all of them.

    Parameters
    ----------
    sizes, axes : sequence of int
        Cells of a box along each dimension, and which axes of a patch (*dims) these are.
    shape : sequence of int
        Cells of the region along each dimension.
    columns : sequence of int64 array (patch,)
        First cells of the boxes in the region, along each dimension.
    labels : int64 array (patch,)
        By which the first and the last are told.
    weights, masses : Factors
        What values are multiplied by, and what that adds to the denominator, of each box.
    """

    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    columns: tuple[NDArray[np.int64], ...]
    labels: NDArray[np.int64]
    weights: Factors
    masses: Factors

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The boxes by their labels: so rounding does not tell in which order they came."""
        return np.argsort(self.labels, kind="stable")

    # ------------------------------------------------------------------------------------- sums

    @np.errstate(invalid="ignore", over="ignore")
    def add(
        self,
        patches: NDArray[Any],
        reducer: Reducer,
        plain: bool = False,
        state: list[NDArray[Any]] | None = None,
    ) -> list[NDArray[Any]]:
        """Add patches up; with ``plain`` values may be written over each other, without their keys.

        A ``state`` of the region that others were added to goes on, in place.
        """
        shape = list(patches.shape[1:])
        for axis, n in zip(self.axes, self.shape, strict=True):
            shape[axis] = n
        quick = None if state else self._quick(patches, reducer, shape, plain)
        if quick is not None:
            return quick
        state = state or reducer.start(shape)
        ndim, scratch, far = len(shape), Scratch(), None
        same = all(a is b for a, b in zip(self.weights, self.masses, strict=True))
        same = same and self.weights.table is self.masses.table
        if reducer.by == "central":
            each = zip(self.sizes, self.axes, strict=True)
            far = ranked_distance([_along(half_sample_offsets(n), a, ndim) for n, a in each])
        for i, key in zip(self.order.tolist(), self._keys(self.axes, self.order), strict=True):
            values = reducer.read(patches[i])
            weight = _outer(self.weights, i, self.axes, ndim)
            if weight is not None and reducer.weighted:
                zeros = weight == 0
                values = scratch.product(
                    values, weight, zeros if zeros.any() else None, state[0].dtype
                )
            mass = weight if same else _outer(self.masses, i, self.axes, ndim)
            label = int(self.labels[i])
            rank: Any = -label if reducer.by == "last" else label
            rank = rank if far is None else central_key(far, np.asarray(label))
            reducer.update([s[key] for s in state], values, How(mass, rank))
        return state

    def _quick(
        self, patches: NDArray[Any], reducer: Reducer, shape: list[int], plain: bool
    ) -> list[NDArray[Any]] | None:
        """Sum without masks, or write one over the other, if nothing is missing and all weigh one."""
        sums = isinstance(reducer, WeightedMean)
        picks = plain and isinstance(reducer, Choose) and reducer.by in ("first", "last")
        if not (sums or picks) or reducer.reading is not None:
            return None
        if not (self.weights.plain and self.masses.plain):
            return None
        if reducer.skips(patches.dtype) and has_nan(patches):
            return None
        if isinstance(reducer, WeightedMean):
            (out,) = reducer.plain().start(shape)
            for i, key in zip(self.order.tolist(), self._keys(self.axes, self.order), strict=True):
                np.add(out[key], patches[i], out=out[key], casting="unsafe")
            return [out]
        assert isinstance(reducer, Choose)
        out = reducer.blank(shape)
        order = self.order[::-1] if reducer.by == "first" else self.order
        if len(shape) == len(self.columns) and math.prod(self.sizes) <= PUT_CELLS:
            _put(out, patches[order], [self.columns[k][order] for k in np.argsort(self.axes)])
            return [out]
        for i, key in zip(order.tolist(), self._keys(self.axes, order), strict=True):
            out[key] = patches[i]
        return [out]

    def _keys(self, axes: Sequence[int], order: NDArray[Any]) -> Iterator[tuple[slice, ...]]:
        """Give the cells of each box of an array that has the cut dimensions at ``axes``.

        One at a time: many slices that are all kept keep the garbage collector busy. Axes that are not
        cut repeat without end, so ends need not agree.
        """
        each: list[Any] = [itertools.repeat(slice(None))] * (max(axes, default=-1) + 1)
        for axis, size, starts in zip(axes, self.sizes, self.columns, strict=True):
            each[axis] = map(slice, starts[order].tolist(), (starts[order] + size).tolist())
        return zip(*each, strict=False) if len(axes) else itertools.repeat((), len(order))

    # ------------------------------------------------------------------------------------ cover

    def cover(self) -> NDArray[Any]:
        """Sum the mass of boxes: those of equal weights are counted where they start."""
        plain = self.masses.plain
        # one by one, or all cells of the region a few times
        alone = len(self.labels) * (BOX_TIME + math.prod(self.sizes))
        around = CELL_TIME * math.prod(self.shape) * (1 if plain else sum(self.sizes))
        if alone < around or self.masses.table is not None:
            return self._one_by_one(plain)
        if plain:
            return counted(self.columns, self.sizes, self.shape)
        total = np.zeros(self.shape)
        kinds = np.zeros(len(self.labels), np.int64)
        for w in self.masses:
            if w is not None:
                kinds = kinds * len(w.rows) + w.pick
        flat = ravel_each(self.columns, self.shape)
        for kind in np.unique(kinds):
            some = np.flatnonzero(kinds == kind)
            count = np.bincount(flat[some], minlength=total.size).reshape(self.shape).astype(float)
            for k, (size, w) in enumerate(zip(self.sizes, self.masses, strict=True)):
                row = np.ones(size) if w is None else w.rows[w.pick[some[0]]]
                count = convolved(count, k, row)
            total += count
        return total

    def _one_by_one(self, plain: bool) -> NDArray[Any]:
        axes = range(len(self.columns))
        total = np.zeros(self.shape, np.int32 if plain else float)
        for i, key in zip(self.order.tolist(), self._keys(axes, self.order), strict=True):
            mass = None if plain else _outer(self.masses, i, axes, len(axes))
            total[key] += 1 if mass is None else mass
        return total


def _along(row: NDArray[Any], axis: int, ndim: int) -> NDArray[Any]:
    shape = [1] * ndim
    shape[axis] = -1
    return row.reshape(shape)


def _outer(weights: Factors, i: int, axes: Sequence[int], ndim: int) -> NDArray[Any] | None:
    """Multiply the weights of one box out; None: all are one."""
    out = None if weights.table is None else weights.wide(axes, ndim)
    for axis, w in zip(axes, weights, strict=True):
        if w is not None:
            row = _along(w.rows[w.pick[i]], axis, ndim)
            out = row if out is None else out * row
    return out


def _put(out: NDArray[Any], patches: NDArray[Any], starts: Sequence[NDArray[Any]]) -> None:
    """Write boxes over each other, cell by cell, in one assignment.

    Of equal indices NumPy keeps the last value, as it documents.
    """
    shape = patches.shape[1:]
    inner = np.ravel_multi_index(np.indices(shape), out.shape).reshape(-1)
    cells = ravel_each(starts, out.shape)[:, None] + inner
    out.reshape(-1)[cells.reshape(-1)] = patches.reshape(-1)
