"""Choose: cells of an outer product of windows take the first, last or most central one.

Each dimension decides on its own which window a cell takes, so that the merged field is put
together of parts of patches, each cell written once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.buffers import copy
from xpatch.engine.scatter import Lane, Layout, Segment


def separable(layout: Layout) -> bool:
    """Whether each dimension decides on its own: no patch is missing, nothing weighs zero."""
    plain = all(lane.mass is None or bool((lane.mass.rows > 0).all()) for lane in layout.lanes)
    ordered = all(bool((np.diff(lane.starts) > 0).all()) for lane in layout.lanes)
    return plain and ordered and not layout.holes and layout.in_order


def chosen(patches: NDArray[Any], layout: Layout, by: str, out: NDArray[Any]) -> None:
    """Write the contributions that are chosen into ``out``, in the cells that have any."""
    found = [_segments(lane, by) for lane in layout.lanes]
    grid = patches.reshape(*layout.grid, *patches.shape[1:]) if layout.position is None else None
    for visit in itertools.product(*found):
        view = layout.target(out, visit)
        block = layout.source(patches, visit) if grid is None else grid
        copy(view, layout.local(block, visit) if grid is None else _of(grid, layout.axes, visit))


def _of(grid: NDArray[Any], axes: Sequence[int], visit: Sequence[Segment]) -> NDArray[Any]:
    index: list[slice] = [slice(None)] * grid.ndim
    for k, (axis, s) in enumerate(zip(axes, visit, strict=True)):
        index[k], index[len(visit) + axis] = s.entries, s.inner
    return grid[tuple(index)]


def _segments(lane: Lane, by: str) -> list[Segment]:
    """Find the runs of cells that take equal parts of windows at an even distance."""
    first, behind = _shares(lane, by)
    inner = first - lane.starts
    size = behind - first
    kept = np.flatnonzero(size > 0)
    out: list[Segment] = []
    i = 0
    step, away = np.diff(kept), np.diff(first[kept])
    same = (np.diff(inner[kept]) == 0) & (np.diff(size[kept]) == 0) & (away > 0)
    while i < len(kept):
        stop = i + 1
        if stop < len(kept) and same[i]:
            changes = ~same[i:] | (step[i:] != step[i]) | (away[i:] != away[i])
            turn = int(changes.argmax())
            stop = i + turn + 1 if changes[turn] else len(kept)
        k, low, n = int(kept[i]), int(inner[kept[i]]), stop - i
        apart = int(step[i]) if n > 1 else 1
        block = slice(k, k + (n - 1) * apart + 1)
        where = (n, int(first[k]), int(away[i]) if n > 1 else 0)
        cells = slice(low, low + int(size[k]))
        out.append(Segment(block, slice(0, block.stop - k, apart), *where, cells, 0, 0))
        i = stop
    return out


def _shares(lane: Lane, by: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the first cell, and that behind the last, that each window has for itself.

    Windows of one size come in the order of their starts.
    """
    starts, stops = lane.starts, lane.starts + lane.size
    if by == "first":
        return np.maximum(starts, np.concatenate([starts[:1], stops[:-1]])), stops
    if by == "last":
        return starts, np.minimum(stops, np.concatenate([starts[1:], stops[-1:]]))
    # halfway between centers a cell lies as near to both, and the first one takes it
    middle = (starts[:-1] + starts[1:] + lane.size - 1) // 2 + 1
    first = np.maximum(starts, np.concatenate([starts[:1], middle]))
    return first, np.minimum(stops, np.concatenate([middle, stops[-1:]]))
