"""Gather on dask arrays: one task per patch block cuts it out of the source chunks around it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from xpatch.engine import memory
from xpatch.engine.layers import layered, uncollected
from xpatch.engine.regions import Piece, Span, assembled, part_of, span_of, within
from xpatch.neighborhood import Boxes, arrange, ravel


@uncollected
def chunk_order(
    boxes: Boxes, chunks: Sequence[Sequence[int]], limit: int | None = None
) -> list[NDArray[np.int64]]:
    """Group patches by the chunk in which they start; groups come in chunk-major order.

    Groups of more than ``limit`` patches are cut into parts.
    """
    most = len(boxes) if limit is None else max(1, limit)
    places = []
    for starts, sizes, n in zip(boxes.axes, chunks, boxes.shape, strict=True):
        edges = np.cumsum(sizes)[:-1]
        places.append(np.searchsorted(edges, np.clip(starts, 0, n - 1), side="right"))
    shape = [len(c) for c in chunks]
    if not boxes.product:
        block = np.ravel_multi_index(places, shape) if places else np.zeros(len(boxes), int)
        order = np.argsort(block, kind="stable")
        cuts = np.searchsorted(block[order], np.arange(1, int(np.prod(shape))))
        return subdivide([g for g in np.split(order, cuts) if len(g)], most)
    members = [
        [np.flatnonzero(p == c) for c in range(m)] for p, m in zip(places, shape, strict=True)
    ]
    groups = []
    for chosen in itertools.product(*members):
        if all(map(len, chosen)):
            for part in _parts(chosen, most):
                groups.append(ravel(part, boxes.grid))
    return groups


def subdivide(groups: list[NDArray], limit: int) -> list[NDArray]:
    """Cut groups into parts of at most ``limit`` patches."""
    return [part for g in groups for part in np.array_split(g, max(1, -(-len(g) // max(1, limit))))]


def _parts(chosen: Sequence[NDArray], most: int) -> list[tuple[NDArray, ...]]:
    """Cut an outer product into outer products of at most ``most``, along the first axes first."""
    pieces = []
    rest = int(np.prod([len(c) for c in chosen], dtype=np.int64))
    for c in chosen:
        rest //= len(c)
        count = min(len(c), -(-len(c) // max(1, most // max(1, rest))))
        pieces.append(np.array_split(c, count))
    return list(itertools.product(*pieces))


@uncollected
def gather(
    array: da.Array, axes: Sequence[int], boxes: Boxes, groups: list[NDArray], finish: Any = None
) -> da.Array:
    """Cut ``boxes`` out of ``array``: one patch block and one task for each group.

    Where a group needs little of a chunk, a task of its own cuts that part out, so that the chunk
    itself need not be kept, or sent, for its rim.
    """
    if boxes.overhangs and boxes.pad_mode not in memory.INDEX_PADS:
        array, boxes = memory.extended(array, axes, boxes, da.pad)
    dtype, fill = memory.gather_dtype(array.dtype, boxes)
    if finish is not None:
        probe = np.empty((0, *(1 for _ in array.shape)), dtype)
        dtype = finish(probe, boxes.take(np.empty(0, np.int64))).dtype
    token = tokenize(array.name, tuple(axes), boxes, np.concatenate(groups), finish)
    token = tokenize(token, [len(g) for g in groups])
    name, rim = f"xpatch-split-{token}", f"xpatch-rim-{token}"
    edges = [np.concatenate([[0], np.cumsum(array.chunks[a])]) for a in axes]
    others = [range(len(c)) for k, c in enumerate(array.chunks) if k not in axes]
    chunks = list(array.chunks)
    for axis, size in zip(axes, boxes.sizes, strict=True):
        chunks[axis] = (size,)
    graph: dict[Any, Any] = {}
    spans: dict[Any, Span] = {}
    for g, group in enumerate(groups):
        part, position = arrange(boxes, group)
        found = []
        for k in range(len(axes)):
            low, high = _extent(part.axes[k])
            key = (k, low, high)
            if key not in spans:
                args = (boxes.shape[k], boxes.wrap[k], boxes.pad_mode, edges[k])
                spans[key] = span_of(low, high + boxes.sizes[k], *args)
            found.append(spans[key])
        job = Cut(tuple(axes), part, position, tuple(found), fill, finish, dtype)
        for rest in itertools.product(*others):
            keys = [
                _key(array, axes, pieces, rest, graph, rim)
                for pieces in itertools.product(*(s.pieces for s in found))
            ]
            index = [0] * array.ndim
            for k, i in zip((k for k in range(array.ndim) if k not in axes), rest, strict=True):
                index[k] = i
            graph[(name, g, *index)] = (job, keys)
    layers = layered(name, graph, [array])
    meta = np.empty((0,) * (array.ndim + 1), dtype)
    return da.Array(layers, name, (tuple(map(len, groups)), *map(tuple, chunks)), meta=meta)


def _extent(starts: NDArray) -> tuple[int, int]:
    return int(starts.min()), int(starts.max())


def _key(
    array: da.Array,
    axes: Sequence[int],
    pieces: Sequence[Piece],
    rest: Sequence[int],
    graph: dict[Any, Any],
    rim: str,
) -> tuple[Any, ...]:
    """Give the key of a source chunk, or of the part of it that is needed if that is little."""
    index = [0] * array.ndim
    left = iter(rest)
    for k in range(array.ndim):
        if k not in axes:
            index[k] = next(left)
    for axis, piece in zip(axes, pieces, strict=True):
        index[axis] = piece.chunk
    chunk = (array.name, *index)
    bounds = part_of(pieces)
    if bounds is None:
        return chunk
    key = (f"{rim}-" + "-".join(f"{a}:{b}" for a, b in bounds), *index)
    graph[key] = (Part(tuple(axes), bounds), chunk)
    return key


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Copies a part of a chunk."""

    axes: tuple[int, ...]
    bounds: tuple[tuple[int, int], ...]

    def __call__(self, chunk: NDArray) -> NDArray:
        index = [slice(None)] * chunk.ndim
        for axis, (low, high) in zip(self.axes, self.bounds, strict=True):
            index[axis] = slice(low, high)
        return np.array(chunk[tuple(index)])


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """Cuts the patches of one group out of the chunks, or parts of chunks, around them."""

    axes: tuple[int, ...]
    boxes: Boxes
    position: NDArray | None
    spans: tuple[Span, ...]
    fill: Any
    finish: Any
    dtype: np.dtype

    def __call__(self, blocks: list[NDArray]) -> NDArray:
        given = iter(blocks)

        def fetch(pieces: Sequence[Piece]) -> tuple[NDArray, Sequence[int]]:
            bounds = part_of(pieces)
            low = [0] * len(pieces) if bounds is None else [a for a, _ in bounds]
            return next(given), low

        region = assembled(self.spans, self.axes, fetch, self.fill)
        out = memory.gather(region, self.axes, within(self.boxes, self.spans))
        if self.finish is not None:
            out = self.finish(out, self.boxes)
        if self.position is not None:
            back = np.empty_like(self.position)
            back[self.position] = np.arange(len(back))
            out = out[back]
        return out.astype(self.dtype, copy=False)
