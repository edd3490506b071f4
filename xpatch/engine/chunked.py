"""Gather and scatter on dask arrays, by a plan over chunks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from xpatch.engine import memory
from xpatch.engine.placement import Placement
from xpatch.engine.reduce import Choose, Place, Reducer
from xpatch.engine.stacked import Stacked
from xpatch.neighborhood import Boxes, arrange

# --------------------------------------------------------------------------------------- gather


def chunk_order(boxes: Boxes, chunks: Sequence[Sequence[int]]) -> list[NDArray[np.int64]]:
    """Group patches by the chunk in which they start; groups come in chunk-major order."""
    places = []
    for starts, sizes, n in zip(boxes.axes, chunks, boxes.shape, strict=True):
        edges = np.cumsum(sizes)[:-1]
        places.append(np.searchsorted(edges, np.clip(starts, 0, n - 1), side="right"))
    shape = [len(c) for c in chunks]
    if boxes.product:
        members = [
            [np.flatnonzero(p == c) for c in range(m)] for p, m in zip(places, shape, strict=True)
        ]
        groups = [
            np.ravel_multi_index(np.meshgrid(*chosen, indexing="ij"), boxes.grid).ravel()
            for chosen in itertools.product(*members)
        ]
    else:
        block = np.ravel_multi_index(places, shape) if places else np.zeros(len(boxes), int)
        order = np.argsort(block, kind="stable")
        cuts = np.searchsorted(block[order], np.arange(1, int(np.prod(shape))))
        groups = np.split(order, cuts)
    return [g.astype(np.int64) for g in groups if len(g)]


def subdivide(groups: list[NDArray], limit: int) -> list[NDArray]:
    """Cut groups into parts of at most ``limit`` patches."""
    return [part for g in groups for part in np.array_split(g, max(1, -(-len(g) // max(1, limit))))]


def gather(
    array: da.Array, axes: Sequence[int], boxes: Boxes, groups: list[NDArray], finish: Any = None
) -> da.Array:
    """Cut ``boxes`` out of ``array``: one patch chunk for each group."""
    if boxes.overhangs and boxes.pad_mode not in memory.INDEX_PADS:
        array, boxes = memory.extended(array, axes, boxes, da.pad)
    dtype, fill = memory.gather_dtype(array.dtype, boxes)
    if finish is not None:
        probe = np.empty((0, *(1 for _ in array.shape)), dtype)
        dtype = finish(probe, boxes.take(np.empty(0, np.int64))).dtype
    inner = list(array.chunks)
    for axis, size in zip(axes, boxes.sizes, strict=True):
        inner[axis] = (size,)
    blocks = [_gather_group(array, axes, boxes, g, fill, finish, inner, dtype) for g in groups]
    return da.concatenate(blocks, axis=0) if len(blocks) > 1 else blocks[0]


def _gather_group(
    array: da.Array,
    axes: Sequence[int],
    boxes: Boxes,
    group: NDArray,
    fill: Any,
    finish: Any,
    inner: list,
    dtype: np.dtype,
) -> da.Array:
    part, position = arrange(boxes, group)
    region = array
    low, shape = [], []
    holes: list[NDArray | None] = []
    for k, axis in enumerate(axes):
        first, last = int(part.axes[k].min()), int(part.axes[k].max()) + boxes.sizes[k]
        low.append(first)
        shape.append(last - first)
        holes.append(None)
        if first >= 0 and last <= boxes.shape[k]:
            region = region[(slice(None),) * axis + (slice(first, last),)]
            continue
        cells = memory.source_cells(
            np.arange(first, last), boxes.shape[k], boxes.wrap[k], boxes.pad_mode
        )
        if (cells < 0).any():
            holes[-1] = cells < 0
        region = da.take(region, np.maximum(cells, 0), axis=axis)
    region = region.rechunk(dict.fromkeys(axes, -1))
    moved = tuple(a - o for a, o in zip(part.axes, low, strict=True))
    local = dataclasses.replace(part, axes=moved, shape=tuple(shape), wrap=(False,) * len(shape))
    job = _Cut(tuple(axes), local, part, position, holes, fill, finish, dtype)
    return region.map_blocks(
        job,
        dtype=dtype,
        chunks=((len(group),), *inner),
        new_axis=[0],
        name="xpatch-split-" + tokenize(region.name, moved, boxes.sizes, position, finish, fill),
        meta=np.empty((0,) * (array.ndim + 1), dtype),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Cut:
    """Cuts the patches of one group out of the region around them."""

    axes: tuple[int, ...]
    local: Boxes
    boxes: Boxes
    position: NDArray | None
    holes: list[NDArray | None]
    fill: Any
    finish: Any
    dtype: np.dtype

    def __call__(self, region: NDArray) -> NDArray:
        for axis, hole in zip(self.axes, self.holes, strict=True):
            if hole is not None:
                region = region.astype(np.result_type(region.dtype, np.asarray(self.fill).dtype))
                region[(slice(None),) * axis + (hole,)] = self.fill
        out = memory.gather(region, self.axes, self.local)
        if self.finish is not None:
            out = self.finish(out, self.boxes)
        if self.position is not None:
            back = np.empty_like(self.position)
            back[self.position] = np.arange(len(back))
            out = out[back]
        return out.astype(self.dtype, copy=False)


# -------------------------------------------------------------------------------------- scatter


def reduce(
    patches: da.Array,
    axes: Sequence[int],
    boxes: Boxes,
    ordinals: NDArray,
    weights: Any,
    reducer: Reducer,
    finish: Any,
    chunks: dict[int, tuple[int, ...]],
    dtype: np.dtype,
    token: str,
) -> da.Array:
    """Merge patches (patch, *dims) by partial results per patch block and output chunk.

    Parameters
    ----------
    weights : callable
        Gives weights and mass along each dimension of arranged boxes.
    finish : callable
        Takes a merged block and its coverage and fills what is uncovered.
    chunks : dict
        Output chunks of each axis of a geometry dimension.
    token : str
        Tells this merge from any other of the same patches.
    """
    if isinstance(reducer, Place):
        reducer = Choose(reducer.source, reducer.skipna, "first")
    patches = patches.rechunk({a + 1: -1 for a in axes})
    out_chunks = [chunks.get(k, c) for k, c in enumerate(patches.chunks[1:])]
    token = tokenize(patches.name, token, out_chunks, dtype)
    bounds = np.concatenate([[0], np.cumsum(patches.chunks[0])])
    parts: list[Placement] = []
    touched: dict[tuple[int, ...], list[int]] = {}
    edges = [np.concatenate([[0], np.cumsum(out_chunks[a])]) for a in axes]
    for b in range(len(bounds) - 1):
        block = ordinals[bounds[b] : bounds[b + 1]]
        part, position = arrange(boxes, block)
        weight, mass = weights(part)
        whole = Placement(part, position, weight, mass, labels=np.sort(block))
        parts.append(whole)
        for place in _touched(part, edges):
            touched.setdefault(place, []).append(b)
    others = [k for k in range(patches.ndim - 1) if k not in axes]
    graph: dict[Any, Any] = {}
    name, piece = f"xpatch-merge-{token}", f"xpatch-piece-{token}"
    for place in itertools.product(*(range(len(e) - 1) for e in edges)):
        low = [int(e[p]) for e, p in zip(edges, place, strict=True)]
        high = [int(e[p + 1]) for e, p in zip(edges, place, strict=True)]
        blocks = touched.get(place, [])
        for rest in itertools.product(*(range(len(out_chunks[k])) for k in others)):
            index = [0] * (patches.ndim - 1)
            for k, i in (*zip(axes, place, strict=True), *zip(others, rest, strict=True)):
                index[k] = i
            inner = [0 if k in axes else i for k, i in enumerate(index)]
            shape = [out_chunks[k][i] for k, i in enumerate(index)]
            keys = [(patches.name, b, *inner) for b in blocks]
            places = [parts[b].within(low, high) for b in blocks]
            end = _Finish(reducer, tuple(axes), tuple(shape), finish, dtype)
            if isinstance(reducer, Stacked):
                job = _Stack(end, boxes, ordinals_of(ordinals, bounds, blocks), weights, low, high)
                graph[(name, *index)] = (job, keys)
                continue
            pieces = []
            for b, key, p in zip(blocks, keys, places, strict=True):
                pieces.append((piece, b, *index))
                graph[pieces[-1]] = (_Partial(reducer, tuple(axes), p), key)
            graph[(name, *index)] = (end, pieces)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[patches])  # type: ignore[list-item]
    meta = np.empty((0,) * (patches.ndim - 1), dtype)
    return da.Array(layers, name, tuple(map(tuple, out_chunks)), meta=meta)


def ordinals_of(ordinals: NDArray, bounds: NDArray, blocks: list[int]) -> NDArray:
    """Give the labels of some patch blocks, one after the other."""
    parts = [ordinals[bounds[b] : bounds[b + 1]] for b in blocks]
    return np.concatenate(parts) if parts else ordinals[:0]


def _touched(part: Boxes, edges: list[NDArray]) -> set[tuple[int, ...]]:
    """Find the output chunks that some boxes fall on."""
    spans = []
    for starts, size, n, wrap, edge in zip(
        part.axes, part.sizes, part.shape, part.wrap, edges, strict=True
    ):
        cells = starts[:, None] + np.arange(size)
        cells = cells % n if wrap else np.clip(cells, 0, n - 1)
        ends = cells if wrap else cells[:, [0, -1]]
        where = np.searchsorted(edge, ends, side="right") - 1
        if wrap:
            spans.append([np.unique(row) for row in where])
        else:
            spans.append([np.arange(a, b + 1) for a, b in where])
    if part.product:
        kept = [np.unique(np.concatenate(s)) for s in spans]
        return set(itertools.product(*(k.tolist() for k in kept)))
    found: set[tuple[int, ...]] = set()
    for per_dim in zip(*spans, strict=True):
        found.update(itertools.product(*(k.tolist() for k in per_dim)))
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class _Partial:
    """Adds one patch block up on one output chunk."""

    reducer: Reducer
    axes: tuple[int, ...]
    placement: Placement

    def __call__(self, patches: NDArray) -> tuple[list[NDArray], NDArray]:
        state = memory.scatter(patches, self.axes, self.placement, self.reducer)
        return state, covered(self.placement)


def covered(placement: Placement) -> NDArray[np.bool_]:
    """Where the weights add up to more than nothing."""
    total = placement.cover()
    if isinstance(total, list):
        out = np.ones((), bool)
        for vector in total:
            out = out[..., None] & (vector > 0)
        return out
    return total > 0


@dataclasses.dataclass(frozen=True, eq=False)
class _Finish:
    """Puts the partial results of one output chunk together."""

    reducer: Reducer
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    finish: Any
    dtype: np.dtype

    def __call__(self, pieces: list[tuple[list[NDArray], NDArray]]) -> NDArray:
        state = self.reducer.start(self.shape)
        cover = np.zeros([self.shape[a] for a in self.axes], bool)
        for other, some in pieces:
            self.reducer.combine(state, other)
            cover |= some
        return self.fill(self.reducer.finish(state), cover)

    def fill(self, merged: NDArray, cover: NDArray[np.bool_]) -> NDArray:
        return self.finish(merged, self.axes, cover).astype(self.dtype, copy=False)


@dataclasses.dataclass(frozen=True, eq=False)
class _Stack:
    """Gathers the contributions to one output chunk and reduces them."""

    end: _Finish
    boxes: Boxes
    ordinals: NDArray
    weights: Any
    low: list[int]
    high: list[int]

    def __call__(self, blocks: list[NDArray]) -> NDArray:
        shape = [h - lo for lo, h in zip(self.low, self.high, strict=True)]
        if not blocks:
            empty = np.zeros(self.end.shape, self.end.reducer.dtype)
            return self.end.fill(empty, np.zeros(shape, bool))
        near = self._near()
        patches = np.concatenate(blocks)[near]
        part, position = arrange(self.boxes, self.ordinals[near])
        weight, mass = self.weights(part)
        placement = Placement(part, position, weight, mass, self.low, self.high)
        merged = memory.reduce(patches, self.end.axes, placement, self.end.reducer)
        return self.end.fill(merged, covered(placement))

    def _near(self) -> NDArray[np.bool_]:
        """Which patches fall on the chunk."""
        starts = self.boxes.starts(self.ordinals)
        out = np.ones(len(starts), bool)
        for k, (lo, hi) in enumerate(zip(self.low, self.high, strict=True)):
            size, n = self.boxes.sizes[k], self.boxes.shape[k]
            here = np.zeros(len(starts), bool)
            for turn in (-n, 0, n) if self.boxes.wrap[k] else (0,):
                first = starts[:, k] + turn
                here |= (first < hi) & (first + size > lo)
            out &= here
        return out
