"""Gram matrices of patches: counts, sums and products of samples, about a center of their own.

Products of raw values lose the digits in which large values differ (pressure in Pa, years, northings);
those about a center do not, and can be moved and added up (Chan, Golub and LeVeque 1983).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.buffers import THREADED_BYTES, Scratch, available_threads, in_threads

# Of samples as float64 in a block: less waits for Python, more leaves the cache
BLOCK_BYTES = 1 << 21
# Standard deviations that a center may be off; their square are the digits that are lost
FAR = 100.0
Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Gram:
    """Sums over the samples of each group; columns are the x, and last the y.

    Parameters
    ----------
    count : float64 array (…)
        Samples of positive weight.
    weight : float64 array (…)
        Sum of the weights.
    center : float64 array (…, column)
        What was taken off the values.
    first : float64 array (…, column)
        Weighted sums of what was left.
    second : float64 array (…, column, column)
        Weighted sums of its products.
    """

    count: Floats
    weight: Floats
    center: Floats
    first: Floats
    second: Floats

    @property
    def columns(self) -> int:
        """The number of x, and one for the y."""
        return int(self.center.shape[-1])

    def packed(self) -> Floats:
        """Give everything in one array, (…, numbers)."""
        flat = self.second.reshape(*self.count.shape, -1)
        head = self.count[..., None], self.weight[..., None]
        return np.concatenate([*head, self.center, self.first, flat], axis=-1)

    @classmethod
    def unpacked(cls, packed: Floats) -> Gram:
        """Undo `packed`."""
        q = math.isqrt(packed.shape[-1] - 1) - 1  # 2 + 2q + q² numbers
        center, first, flat = np.split(packed[..., 2:], [q, 2 * q], axis=-1)
        second = flat.reshape(*packed.shape[:-1], q, q)
        return cls(packed[..., 0], packed[..., 1], center, first, second)

    def moved(self, center: Floats) -> Gram:
        """Give the sums about another center."""
        far = self.center - center
        first = self.first + self.weight[..., None] * far
        cross = self.first[..., :, None] * far[..., None, :]
        square = self.weight[..., None, None] * far[..., :, None] * far[..., None, :]
        second = self.second + cross + np.swapaxes(cross, -1, -2) + square
        return Gram(self.count, self.weight, np.broadcast_to(center, far.shape), first, second)

    def grouped(self, codes: NDArray[np.int64], groups: int) -> Gram:
        """Add up the rows that have the same code."""
        if groups == len(codes) and (codes == np.arange(groups)).all():
            return self
        weight = np.bincount(codes, self.weight, groups)
        means = summed(self.weight[:, None] * self.center + self.first, codes, groups)
        center = means / np.where(weight > 0, weight, 1)[:, None]
        packed = self.moved(center[codes]).packed()
        total = self.unpacked(summed(packed, codes, groups))
        return dataclasses.replace(total, center=center)


def summed(values: Floats, codes: NDArray[np.int64], groups: int) -> Floats:
    """Add up the rows of a table that have the same code."""
    columns = [np.bincount(codes, column, groups) for column in values.T]
    return np.stack(columns, axis=-1) if columns else np.zeros((groups, 0))


def gram_of(columns: Sequence[NDArray[Any]], weights: NDArray[Any] | None, axes: int = 1) -> Gram:
    """Give the sums of rows of samples.

    A sample that is not finite in a column, or has no weight, is left out.

    Parameters
    ----------
    columns : sequence of arrays (row, *axes, *samples)
        The x and the y, of one shape; they may be broadcast.
    weights : array (row, *axes, *samples), optional
        Not negative; NaN leaves the sample out.
    axes : int
        So many leading axes are rows, the others samples.
    """
    shape, rows = columns[0].shape[:axes], math.prod(columns[0].shape[:axes])
    samples, q = math.prod(columns[0].shape[axes:]), len(columns)
    out = np.zeros((rows, 2 + 2 * q + q * q))
    if rows and samples:
        lead = columns[0].shape[0]
        step = max(1, BLOCK_BYTES * lead // (rows * samples * q * 8))
        blocks = range(0, lead, step)
        each = rows // lead

        def run(firsts: Sequence[int]) -> None:
            scratch = Scratch()  # new memory for each block takes as long as the block
            for low in firsts:
                block = slice(low, low + step)
                own = [c[block] for c in columns]
                own_weights = None if weights is None else weights[block]
                at = slice(low * each, min(low + step, lead) * each)
                out[at] = _block(own, own_weights, samples, scratch)

        large = rows * samples * q * 8 > THREADED_BYTES
        in_threads(run, blocks, available_threads() if large else 1)
    return Gram.unpacked(out.reshape(*shape, -1))


def _block(
    columns: list[NDArray[Any]], weights: NDArray[Any] | None, samples: int, scratch: Scratch
) -> Floats:
    """Sum up one block; where something is missing, or far from its center, once more."""
    rows = math.prod(columns[0].shape) // samples
    q = len(columns)
    table = scratch.room((q, rows, samples), np.dtype(float))
    center = np.zeros((rows, q))
    own, some = None, np.full(rows, samples // 2)
    bad: Any = np.zeros(rows, bool)
    if weights is not None:  # what weighs nothing may be anything
        own = np.ascontiguousarray(weights, float).reshape(rows, samples)
        bad = ~(own > 0).all(axis=1)
        some = (own > 0).argmax(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        for k, column in enumerate(columns):
            np.copyto(table[k].reshape(column.shape), column, casting="unsafe")
            if abs(table[k, 0, some[0]]) <= FAR * table[k, 0].std():
                continue  # zero is as good a center as any, and saves a pass over the data
            center[:, k] = table[k, np.arange(rows), some]  # as good as the mean
            center[~np.isfinite(center[:, k]), k] = 0
            table[k] -= center[:, k, None]
        out = _products(table, own, center)
        square = np.diagonal(out[:, 2 + 2 * q :].reshape(rows, q, q), axis1=1, axis2=2)
        spread = square - out[:, 2 + q : 2 + 2 * q] ** 2 / out[:, 1, None]
        bad = bad | ~(np.isfinite(out).all(axis=1) & (spread * FAR**2 > square).all(axis=1))
        if bad.any():
            rest = None if own is None else own[bad]
            out[bad] = _without_missing(table[:, bad], rest, center[bad])
    return out


def _products(
    table: Floats, weights: Floats | None, center: Floats, there: NDArray[Any] | None = None
) -> Floats:
    """Multiply all columns by each other: one dot product after the other.

    ``matmul`` of so few columns takes ten times as long (NumPy 2.4, OpenBLAS).
    """
    rows, q = center.shape
    out = np.empty((rows, 2 + 2 * q + q * q))
    second = out[:, 2 + 2 * q :].reshape(rows, q, q)
    ones = np.ones(table.shape[-1])
    if weights is None:
        out[:, 0] = out[:, 1] = table.shape[-1] if there is None else there.sum(axis=1)
    else:
        out[:, 0], out[:, 1] = (weights > 0).sum(axis=1), weights @ ones
    out[:, 2 : 2 + q] = center
    for j in range(q):
        own = table[j] if weights is None else table[j] * weights
        out[:, 2 + q + j] = own @ ones
        for k in range(j, q):
            second[:, j, k] = second[:, k, j] = np.vecdot(own, table[k])
    return out


def _without_missing(table: Floats, weights: Floats | None, center: Floats) -> Floats:
    """Do the same about the first sample that is finite, without those that are not."""
    there = np.logical_and.reduce(np.isfinite(table), axis=0)
    if weights is not None:
        there &= np.isfinite(weights) & (weights > 0)
        weights = np.where(there, weights, 0)
    first = there.argmax(axis=1)
    far = np.take_along_axis(table, first[None, :, None], 2)
    far[:, ~there.any(axis=1)] = 0
    kept = np.where(there, table - far, 0)
    return _products(kept, weights, center + far[..., 0].T, there)
