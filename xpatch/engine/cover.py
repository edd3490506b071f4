"""Cover: how much weight windows put on each cell, and where they lie, one dimension at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.arrangement import ravel_each
from xpatch.engine.scatter import Lane
from xpatch.engine.slices import AxisWeights, Slices


def line_cover(lane: Lane) -> NDArray[np.float64]:
    """Sum the mass of windows along one dimension."""
    if lane.mass is None:
        ends = np.bincount(lane.starts, minlength=lane.length + 1).astype(float)
        stops = np.bincount(lane.starts + lane.size, minlength=lane.length + 1)
        return np.cumsum(ends - stops).astype(float)[: lane.length]
    total = np.zeros(lane.length)
    rows, pick = lane.mass.rows, lane.mass.pick
    if len(lane.starts) < lane.size:  # one window at a time
        for start, kind in zip(lane.starts.tolist(), pick.tolist(), strict=True):
            total[start : start + lane.size] += rows[kind]
    else:  # one cell of every window at a time
        for j in range(lane.size):
            total += np.bincount(lane.starts + j, rows[pick, j], minlength=lane.length)
    return total


def spread(
    values: NDArray[Any], axis: int, lane: Lane, weights: AxisWeights | None
) -> NDArray[Any]:
    """Let each window paint its value, times its weights, along an axis: (window) to (cell)."""
    from scipy.sparse import csr_matrix

    n, size = len(lane.starts), lane.size
    cells = lane.starts[:, None] + np.arange(size)
    data = np.ones((n, size)) if weights is None else weights.full()
    matrix = csr_matrix(
        (data.reshape(-1).astype(values.dtype), cells.reshape(-1), np.arange(n + 1) * size),
        shape=(n, lane.length),
    )
    moved = np.moveaxis(values, axis, 0)
    out = matrix.T.tocsr() @ moved.reshape(n, -1)
    return np.moveaxis(np.asarray(out).reshape(lane.length, *moved.shape[1:]), 0, axis)


def counted(
    columns: Sequence[NDArray[Any]], sizes: Sequence[int], shape: Sequence[int]
) -> NDArray[np.int32]:
    """Count the boxes on each cell: their corners are marked, and summed up along each dimension.

    So does a summed-area table (Crow 1984), read backwards.
    """
    count = np.zeros([n + 1 for n in shape], np.int32)
    flat = count.reshape(-1)
    for corner in itertools.product((0, 1), repeat=len(shape)):
        at = [c + s * far for c, s, far in zip(columns, sizes, corner, strict=True)]
        np.add.at(flat, ravel_each(at, count.shape), np.int32((-1) ** sum(corner)))
    for k in range(len(shape)):
        moved = np.moveaxis(count, k, 0)
        if k == len(shape) - 1:
            np.add.accumulate(count, axis=k, out=count)
        else:  # row by row: accumulate along a slow axis jumps through memory, 3 times as long
            for i in range(1, len(moved)):
                moved[i] += moved[i - 1]
    return count[tuple(slice(n) for n in shape)]


def convolved(count: NDArray[Any], axis: int, row: NDArray[Any]) -> NDArray[Any]:
    """Lay ``row`` from every cell on, as often as ``count`` says, along an axis."""
    n = count.shape[axis]
    if (row == 1).all():
        total = np.cumsum(count, axis=axis)
        behind = np.moveaxis(total, axis, 0)
        out = behind.copy()
        out[len(row) :] -= behind[: n - len(row)]
        return np.moveaxis(out, 0, axis)
    moved = np.moveaxis(count, axis, 0)
    out = np.zeros_like(moved)
    for k, weight in enumerate(row.tolist()):
        out[k:] += weight * moved[: n - k]
    return np.moveaxis(out, 0, axis)


def images(
    starts: NDArray[Any], part: Slices, low: int, high: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the windows that touch ``[low, high)``, in the order of their starts, and these."""
    index = np.arange(len(starts))
    if part.wrap:
        turns = np.arange(-((part.size - 1) // part.n) - 1, 2) * part.n
        index = np.repeat(index, len(turns))
        starts = ((starts % part.n)[:, None] + turns).reshape(-1)
    touch = np.flatnonzero((starts < high) & (starts + part.size > low))
    touch = touch[np.argsort(starts[touch], kind="stable")]
    return index[touch], starts[touch]


def all_of(
    found: Sequence[NDArray[Any]], starts: Sequence[NDArray[Any]]
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Give the patches that touch a part of the domain along every dimension, and their starts."""
    rows, columns = found[0], [starts[0]]
    for which, at in zip(found[1:], starts[1:], strict=True):
        order = np.argsort(which, kind="stable")
        first = np.searchsorted(which[order], rows, side="left")
        count = np.searchsorted(which[order], rows, side="right") - first
        again = np.repeat(np.arange(len(rows)), count)
        begin = np.repeat(first - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
        mine = order[begin + np.arange(len(again))]
        rows, columns = rows[again], [*(c[again] for c in columns), at[mine]]
    return rows, columns


def as_slice(cells: NDArray[Any]) -> slice | None:
    """Give cells that follow each other as a slice; None: they do not."""
    if not len(cells):
        return slice(0, 0)
    whole = int(cells[-1]) - int(cells[0]) + 1 == len(cells)
    return slice(int(cells[0]), int(cells[-1]) + 1) if whole else None
