"""Regions: where the cells that some patches need lie in the chunks of an array."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.slices import source_cells

Cells = slice | NDArray[np.intp]


class Piece(NamedTuple):
    """Cells of one axis of a region that come from one chunk."""

    chunk: int
    size: int  # of the chunk
    source: Cells  # of the chunk
    target: Cells  # of the region


@dataclasses.dataclass(frozen=True, eq=False)
class Span:
    """The cells of one axis that a group of patches needs."""

    first: int
    length: int
    pieces: tuple[Piece, ...]
    holes: NDArray[np.bool_] | None


def span_of(first: int, last: int, n: int, wrap: bool, pad_mode: str, edges: NDArray[Any]) -> Span:
    """Find the chunks that hold cells ``first`` to ``last``, which may lie outside the field."""
    if first >= 0 and last <= n:
        low = int(np.searchsorted(edges, first, side="right")) - 1
        pieces = []
        while low < len(edges) - 1 and edges[low] < last:
            a, b = max(first, int(edges[low])), min(last, int(edges[low + 1]))
            if b > a:
                source = slice(a - int(edges[low]), b - int(edges[low]))
                pieces.append(
                    Piece(
                        low, int(edges[low + 1] - edges[low]), source, slice(a - first, b - first)
                    )
                )
            low += 1
        return Span(first, last - first, tuple(pieces), None)
    cells = source_cells(np.arange(first, last), n, wrap, pad_mode)
    where = np.searchsorted(edges, cells, side="right") - 1
    pieces = []
    for chunk in np.unique(where[cells >= 0]):
        target = np.flatnonzero((where == chunk) & (cells >= 0))
        size = int(edges[chunk + 1] - edges[chunk])
        pieces.append(Piece(int(chunk), size, cells[target] - int(edges[chunk]), target))
    holes = cells < 0
    return Span(first, last - first, tuple(pieces), holes if holes.any() else None)


def part_of(pieces: Sequence[Piece]) -> tuple[tuple[int, int], ...] | None:
    """Give the bounds of what is needed of a chunk; None if that is most of it."""
    share, bounds = 1.0, []
    for piece in pieces:
        low, high = bounds_of(piece.source)
        share *= (high - low) / piece.size
        bounds.append((low, high))
    return tuple(bounds) if share <= 0.5 else None


def bounds_of(cells: Cells) -> tuple[int, int]:
    """Give the first cell, and the one behind the last."""
    if isinstance(cells, slice):
        return cells.start, cells.stop
    return int(cells.min()), int(cells.max()) + 1


def _moved(cells: Cells, by: int) -> Cells:
    return slice(cells.start + by, cells.stop + by) if isinstance(cells, slice) else cells + by


def _index(array: NDArray[Any], axes: Sequence[int], cells: Sequence[Cells]) -> NDArray[Any]:
    for axis, c in zip(axes, cells, strict=True):
        array = array[(slice(None),) * axis + (c,)]
    return array


def _assign(
    array: NDArray[Any], axes: Sequence[int], cells: Sequence[Cells], values: NDArray[Any]
) -> None:
    """Assign to the outer product of cells."""
    index: list[Any] = [slice(None)] * array.ndim
    for axis, c in zip(axes, cells, strict=True):
        index[axis] = c
    if all(isinstance(c, slice) for c in cells):
        array[tuple(index)] = values
        return
    every = [
        np.arange(n)[i] if isinstance(i, slice) else i
        for n, i in zip(array.shape, index, strict=True)
    ]
    array[np.ix_(*every)] = values


def assembled(
    spans: Sequence[Span],
    axes: Sequence[int],
    fetch: Callable[[Sequence[Piece]], tuple[NDArray[Any], Sequence[int]]],
    fill: Any,
) -> NDArray[Any]:
    """Put the cells of ``spans`` together.

    ``fetch`` gives, for a piece of each axis, a part of the chunk, and its first cells in that.
    """
    combined = list(itertools.product(*(s.pieces for s in spans)))
    holes = any(s.holes is not None for s in spans)
    parts = []
    for pieces in combined:
        block, low = fetch(pieces)
        cells = [_moved(p.source, -o) for p, o in zip(pieces, low, strict=True)]
        parts.append(_index(block, axes, cells))
    if len(parts) == 1 and not holes:
        return parts[0]
    shape = list(parts[0].shape)
    for axis, span in zip(axes, spans, strict=True):
        shape[axis] = span.length
    dtype = parts[0].dtype
    if holes:
        region = np.full(shape, fill, np.result_type(dtype, np.asarray(fill).dtype))
    else:
        region = np.empty(shape, dtype)
    for pieces, part in zip(combined, parts, strict=True):
        _assign(region, axes, [p.target for p in pieces], part)
    return region


def spans_of(hood: Any, ordinals: NDArray[Any], edges: Sequence[NDArray[Any]]) -> list[Span]:
    """Find what patches need along each dimension; ``edges`` are the borders between chunks."""
    low, high = hood.reach(ordinals)
    out, k = [], 0
    for part in hood.parts:
        for n in part.shape:
            out.append(span_of(low[k], high[k], n, part.wrap, part.pad_mode, edges[k]))
            k += 1
    return out


def within(hood: Any, spans: Sequence[Span]) -> Any:
    """Give patches as they lie in the region that was assembled for them."""
    return hood.moved([s.first for s in spans], [s.length for s in spans])
