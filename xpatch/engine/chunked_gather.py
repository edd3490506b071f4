"""Gather on dask arrays: one task for each patch block cuts it out of the source chunks around it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from xpatch.engine.cut import Cut
from xpatch.engine.gather import needs_whole_axes, padded
from xpatch.engine.graph import Node, layered, uncollected
from xpatch.engine.regions import Piece, Span, part_of, span_of, spans_of

__all__ = ["chunk_order", "gather"]

CROWDED = 4  # regions around groups may hold so many times the cells of the field


class Joined(list[NDArray[Any]]):
    """Groups of patches, of which several that follow each other make one block of ``length``.

    None of them reaches from one block into the next.
    """

    length: int

    @classmethod
    def of(cls, groups: list[NDArray[Any]]) -> Joined:
        """Join groups to blocks as long as the longest of them; only the last block is shorter."""
        order, length = np.concatenate(groups), max(map(len, groups))
        ends = {*np.cumsum([len(g) for g in groups]).tolist(), *range(0, len(order), length)}
        out = cls(np.split(order, sorted(ends - {0, len(order)})))
        out.length = length
        return out


@uncollected
def chunk_order(
    hood: Any, chunks: Sequence[Sequence[int]], ordinals: NDArray[Any], limit: int | None = None
) -> list[NDArray[np.int64]]:
    """Group patches by the chunk in which they start, windows in time by that of their anchor.

    Groups come in chunk-major order; those of more than ``limit`` patches are cut into parts.
    """
    most = max(1, len(ordinals) if limit is None else limit)
    places = _chunks_of(hood, chunks)
    every = len(ordinals) == len(hood) and bool((ordinals == np.arange(len(hood))).all())
    if hood.product and every:
        return _of_product([p for p, _ in places], [n for _, n in places], hood.grid, most)
    entries = hood.entries(ordinals)
    block = np.zeros(len(ordinals), np.int64)
    for (place, n), which in zip(places, entries, strict=True):
        block = block * n + place[which]
    order = np.argsort(block, kind="stable")
    cuts = np.flatnonzero(np.diff(block[order])) + 1
    return subdivide([ordinals[g] for g in np.split(order, cuts) if len(g)], most)


def winding(
    hood: Any, chunks: Sequence[Sequence[int]], groups: list[NDArray[Any]]
) -> list[NDArray[Any]]:
    """Put groups in an order in which the next chunk is a neighbor: every second row backwards."""
    first = np.array([g[0] for g in groups])
    rank = np.zeros(len(groups), np.int64)
    for (place, n), which in zip(_chunks_of(hood, chunks), hood.entries(first), strict=True):
        own = place[which]
        rank = rank * n + np.where(rank % 2 == 0, own, n - 1 - own)
    return [groups[k] for k in np.argsort(rank, kind="stable")]


def _chunks_of(hood: Any, chunks: Sequence[Sequence[int]]) -> list[tuple[NDArray[np.int64], int]]:
    """Give, for each part, the chunk of each entry, and how many chunks there are."""
    places, k = [], 0
    for part in hood.parts:
        at = part.anchors if part.timed and part.dims != () else getattr(part, "starts", None)
        sizes = chunks[k : k + len(part.dims)]
        k += len(part.dims)
        if at is None or (not part.timed and len(part.dims) != 1):
            places.append((np.zeros(len(part), np.int64), 1))  # lists have no one chunk
            continue
        edges = np.cumsum(sizes[0])[:-1]
        cells = np.clip(at, 0, part.shape[0] - 1)
        places.append((np.searchsorted(edges, cells, side="right"), len(sizes[0])))
    return places


def _of_product(
    places: Sequence[NDArray[Any]], counts: Sequence[int], grid: Sequence[int], most: int
) -> list[NDArray[np.int64]]:
    own = [[np.flatnonzero(p == c) for c in range(m)] for p, m in zip(places, counts, strict=True)]
    groups = []
    for chosen in itertools.product(*own):
        if all(map(len, chosen)):
            for part in _parts(chosen, most):
                groups.append(np.ravel_multi_index(np.ix_(*part), grid).ravel())
    return groups


def subdivide(groups: list[NDArray[Any]], limit: int) -> list[NDArray[Any]]:
    """Cut groups into parts of at most ``limit`` patches."""
    return [part for g in groups for part in np.array_split(g, max(1, -(-len(g) // max(1, limit))))]


def _parts(chosen: Sequence[NDArray[Any]], most: int) -> list[tuple[NDArray[Any], ...]]:
    """Cut an outer product into outer products of at most ``most``, along the first axes first."""
    pieces = []
    rest = int(np.prod([len(c) for c in chosen], dtype=np.int64))
    for c in chosen:
        rest //= len(c)
        count = min(len(c), -(-len(c) // max(1, most // max(1, rest))))
        pieces.append(np.array_split(c, count))
    return list(itertools.product(*pieces))


@uncollected
def gather(array: da.Array, cut: Cut, groups: list[NDArray[Any]]) -> da.Array:
    """Cut patches out of ``array``: one patch block and one task for each group.

    Where a group needs little of a chunk, a task of its own cuts that part out, so that the chunk
    itself need not be kept, or sent, for its rim. What patches consist of is one node of the graph.
    """
    if needs_whole_axes(cut.hood.parts):
        array, hood = padded(array, cut.dims, cut.hood, da.pad)
        cut = dataclasses.replace(cut, hood=hood)
    length = groups.length if isinstance(groups, Joined) else None
    groups = [np.asarray(g) for g in groups]
    if cut.hood.lists and _around(cut, groups) > CROWDED * math.prod(cut.hood.shape):
        array = array.rechunk(dict.fromkeys(cut.axes, -1))  # once, not for every group
    token = tokenize(array.name, cut.hood.identity, groups, cut.finish, str(cut.final), cut.dims)
    name, rim, node = f"xpatch-split-{token}", f"xpatch-rim-{token}", (f"xpatch-cut-{token}",)
    axes = cut.axes
    edges = [np.concatenate([[0], np.cumsum(array.chunks[a])]) for a in axes]
    others = [k for k in range(array.ndim) if k not in axes]
    blocks = list(itertools.product(*(range(array.numblocks[k]) for k in others)))
    order = [cut.dims.index(d) if d in cut.dims else None for d in cut.patch_dims]
    graph: dict[Any, Any] = {node: Node(cut)}
    known: dict[Any, Span] = {}
    for g, group in enumerate(groups):
        spans = _spans(cut, group, edges, known)
        take = Take(group, tuple(spans))
        for rest in blocks:
            at = dict(zip(others, rest, strict=True))
            keys = [
                _key(array, axes, pieces, at, graph, rim)
                for pieces in itertools.product(*(s.pieces for s in spans))
            ]
            index = [at.get(k, 0) if k is not None else 0 for k in order]
            graph[(name, g, *index)] = (take, node, keys)
    chunks = [
        (cut.sizes[d],) if d in cut.sizes else array.chunks[cut.dims.index(d)]
        for d in cut.patch_dims
    ]
    meta = np.empty((0,) * (len(chunks) + 1), cut.final)
    out = da.Array(
        layered(name, graph, [array]), name, (tuple(map(len, groups)), *chunks), meta=meta
    )
    return out if length is None else out.rechunk({0: length})


def _around(cut: Cut, groups: Sequence[NDArray[Any]]) -> float:
    """Count the cells of the regions around groups."""
    reach = [cut.hood.reach(g) for g in groups]
    return float(sum(np.prod(np.subtract(high, low), dtype=float) for low, high in reach))


def _spans(
    cut: Cut, group: NDArray[Any], edges: Sequence[NDArray[Any]], known: dict[Any, Span]
) -> list[Span]:
    """Find what a group needs along each dimension; groups share what they have in common."""
    hood = cut.hood
    if hood.lists:
        return spans_of(hood, group, edges)
    out = []
    for k, (part, low, high) in enumerate(zip(hood.slices, *hood.reach(group), strict=True)):
        if (k, low, high) not in known:
            args = (part.n, part.wrap, part.pad_mode, edges[k])
            known[k, low, high] = span_of(low, high, *args)
        out.append(known[k, low, high])
    return out


def _key(
    array: da.Array,
    axes: Sequence[int],
    pieces: Sequence[Piece],
    rest: dict[int, int],
    graph: dict[Any, Any],
    rim: str,
) -> tuple[Any, ...]:
    """Give the key of a source chunk, or of the part of it that is needed if that is little."""
    index = [rest.get(k, 0) for k in range(array.ndim)]
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

    def __call__(self, chunk: NDArray[Any]) -> NDArray[Any]:
        index = [slice(None)] * chunk.ndim
        for axis, (low, high) in zip(self.axes, self.bounds, strict=True):
            index[axis] = slice(low, high)
        return np.array(chunk[tuple(index)])


@dataclasses.dataclass(frozen=True, eq=False)
class Take:
    """Cuts the patches of one group out of the chunks, or parts of chunks, around them."""

    ordinals: NDArray[Any]
    spans: tuple[Span, ...]

    def __call__(self, node: Node, blocks: list[NDArray[Any]]) -> NDArray[Any]:
        given = iter(blocks)

        def fetch(pieces: Sequence[Piece]) -> tuple[NDArray[Any], Sequence[int]]:
            bounds = part_of(pieces)
            low = [0] * len(pieces) if bounds is None else [a for a, _ in bounds]
            return next(given), low

        cut: Cut = node.value
        return cut.out_of_parts(self.ordinals, self.spans, fetch)
