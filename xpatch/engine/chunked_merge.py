"""Merge on dask arrays: patch blocks are added up where they are, output chunks put pieces together.

One task per patch block adds its patches up, and cuts the sum where output chunks end, so that the
patches are freed at once; one task hands the small pieces on, so that the large one is freed on its
own; one task per output chunk puts the pieces together.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from xpatch.engine.graph import Node, layered, sequence, uncollected

RECENT = 16  # blocks
Tile = tuple[int, ...]


class Merger(Protocol):
    """How the patches of one array are merged: what a block adds up to, and what pieces come to.

    Axes are those of a patch (*dims) that hold its slots, and those of the result that were cut.
    """

    @property
    def slots(self) -> tuple[int, ...]: ...
    @property
    def axes(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def by_element(self) -> bool: ...

    def pieces(
        self,
        patches: NDArray[Any],
        block: Block,
        edges: Sequence[NDArray[Any]],
        present: NDArray[Any] | None,
    ) -> dict[Tile, list[Any]]:
        """Add the patches of one block up, for each output chunk that they fall on."""

    def finish(self, pieces: list[Any], low: Sequence[int], shape: Sequence[int]) -> NDArray[Any]:
        """Put the pieces of one output chunk together."""

    def touched(self, ordinals: NDArray[Any], edges: Sequence[NDArray[Any]]) -> dict[Tile, int]:
        """Find the output chunks that patches fall on, and about how many cells of each."""


@uncollected
def merge(
    patches: da.Array,
    merger: Merger,
    ordinals: NDArray[Any],
    labels: NDArray[Any],
    chunks: Sequence[Sequence[int]],
    token: str,
    present: da.Array | None = None,
) -> da.Array:
    """Merge patches (patch, *dims) by partial results per patch block and output chunk.

    Parameters
    ----------
    patches : dask array
        The patches.
    merger : Merger
        How they are merged.
    ordinals, labels : int64 array (patch,)
        Which patches these are, and by what the first and the last are told.
    chunks : sequence of sequence of int
        Output chunks along each cut dimension.
    token : str
        Tells this merge from any other of the same patches.
    present : dask array of bool, optional
        Which patches take part, if that is known only when they are computed.
    """
    patches = patches.rechunk({k + 1: -1 for k in merger.slots})
    if present is not None:
        present = present.rechunk({0: patches.chunks[0]})
    chunks = [tuple(c) for c in chunks]
    token = tokenize(patches.name, token, chunks, None if present is None else present.name)
    names = [f"xpatch-{w}-{token}" for w in ("merge", "sum", "piece", "rest")]
    name, block_name, piece_name, rest_name = names
    edges = [np.concatenate([[0], np.cumsum(c)]) for c in chunks]
    others = [k for k in range(patches.ndim - 1) if k not in merger.slots]
    rests = list(itertools.product(*(range(patches.numblocks[k + 1]) for k in others)))
    node = (f"xpatch-merger-{token}",)
    graph: dict[Any, Any] = {node: Node((merger, edges))}
    ndim = len(others) + len(merger.axes)
    free = [k for k in range(ndim) if k not in merger.axes]

    def place(tile: Tile, rest: Tile) -> Tile:
        index = [0] * ndim
        for k, i in zip((*merger.axes, *free), (*tile, *rest), strict=True):
            index[k] = i
        return tuple(index)

    def source(b: int, rest: Tile) -> Tile:
        index = [b] + [0] * (patches.ndim - 1)
        for k, i in zip(others, rest, strict=True):
            index[k + 1] = i
        return (patches.name, *index)

    inputs: dict[Tile, Inputs] = {}
    bounds = np.concatenate([[0], np.cumsum(patches.chunks[0])])
    for b, (start, stop) in enumerate(itertools.pairwise(bounds.tolist())):
        which = slice(start, stop)
        touched = merger.touched(ordinals[which], edges)
        tiles = sorted(touched)
        main = main_piece([touched[t] for t in tiles])
        job = Block(ordinals[which], labels[which], tuple(tiles))
        for rest in rests:
            key = (block_name, b, *rest)
            mask = () if present is None else ((present.name, b),)
            graph[key] = (job, node, source(b, rest), *mask)
            small = (rest_name, b, *rest)
            if main is not None and len(tiles) > 1 and not merger.by_element:
                graph[small] = (Without(main), key)
            for k, tile in enumerate(tiles):
                given = inputs.setdefault(place(tile, rest), Inputs([], [], []))
                if merger.by_element:  # small anyway: a task more would weigh more
                    given.add(key, k)
                elif main is None:
                    piece = (piece_name, b, *tile, *rest)
                    graph[piece] = (Pick(k), key)
                    given.add(piece, 0)
                elif k != main:
                    given.add(small, k)
                else:
                    given.add(key, k)
                    given.after.extend([small] if len(tiles) > 1 else [])
    rows = len(chunks[0]) if chunks else 1
    hints, turns = sequence(f"xpatch-order-{token}", rows * len(rests))
    graph |= hints
    sizes = [patches.chunks[k + 1] for k in others]
    for tile in itertools.product(*(range(len(c)) for c in chunks)):
        low = tuple(int(e[i]) for e, i in zip(edges, tile, strict=True))
        cut = [c[i] for c, i in zip(chunks, tile, strict=True)]
        for r, rest in enumerate(rests):
            at = place(tile, rest)
            given = inputs.get(at, Inputs([], [], []))
            if turns:
                given.after.append(turns[r * rows + tile[0]])
            shape = place(tuple(cut), tuple(c[i] for c, i in zip(sizes, rest, strict=True)))
            graph[(name, *at)] = (Finish(low, shape), node, *given)
    out: list[Any] = [None] * ndim
    for k, c in zip((*merger.axes, *free), (*chunks, *sizes), strict=True):
        out[k] = c
    sources = [patches] if present is None else [patches, present]
    meta = np.empty((0,) * ndim, merger.dtype)
    return da.Array(layered(name, graph, sources), name, tuple(out), meta=meta)


class Inputs(NamedTuple):
    """What the task of an output chunk takes: the ``which``-th piece of each of ``lists``.

    The main piece of a block comes from the list of the block itself, the small ones from a list
    without it. The task that takes the main piece also waits for that list (``after``), which it
    does not use: so the small pieces are handed on at once, and nothing holds the main piece when
    it has been used. Otherwise `dask.order` puts this off until a neighbor needs them, a row of
    chunks later, and visits the chunks in an order that holds many rows.
    """

    lists: list[Any]
    which: list[int]
    after: list[Any]

    def add(self, key: Any, k: int) -> None:
        self.lists.append(key)
        self.which.append(k)


def main_piece(cells: Sequence[int]) -> int | None:
    """Give the number of the piece that is a third or more of all, if there is one."""
    best = max(range(len(cells)), key=cells.__getitem__, default=None)
    return best if best is not None and 3 * cells[best] >= sum(cells) else None


class Recent:
    """What was made of the last few blocks: tasks of one block, for other chunks of other dims, share it.

    A graph has thousands of blocks and lives as long as its array, so that not all can be kept.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Any, Any]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return (Recent, ())

    def get(self, block: Any, make: Callable[[], Any]) -> Any:
        """Give what ``make`` gives for a block, made now or known."""
        with self._lock:
            found = self._kept.pop(id(block), None)
        found = (block, make()) if found is None else found
        with self._lock:
            self._kept[id(block)] = found  # the newest comes last
            while len(self._kept) > RECENT:
                del self._kept[next(iter(self._kept))]
        return found[1]


class Block:
    """Adds the patches of one block up, for each output chunk that they fall on."""

    def __init__(self, ordinals: NDArray[Any], labels: NDArray[Any], tiles: tuple[Tile, ...]):
        self.ordinals, self.labels, self.tiles = ordinals, labels, tiles

    def __call__(
        self, node: Node, patches: NDArray[Any], present: NDArray[Any] | None = None
    ) -> list[Any]:
        merger, edges = node.value
        found = merger.pieces(patches, self, edges, present)
        return [found.get(tile, []) for tile in self.tiles]


@dataclasses.dataclass(frozen=True, eq=False)
class Pick:
    """Hands one piece of a block on, so that it can be freed, or sent, without the others."""

    k: int

    def __call__(self, pieces: list[Any]) -> list[Any]:
        return [pieces[self.k]]


@dataclasses.dataclass(frozen=True, eq=False)
class Without:
    """Hands the small pieces of a block on, so that the main one can be freed without them."""

    main: int

    def __call__(self, pieces: list[Any]) -> list[Any]:
        return [None if k == self.main else piece for k, piece in enumerate(pieces)]


@dataclasses.dataclass(frozen=True, eq=False)
class Finish:
    """Puts the pieces of one output chunk together."""

    low: tuple[int, ...]
    shape: tuple[int, ...]

    def __call__(
        self, node: Node, lists: list[Any], which: list[int], after: list[Any]
    ) -> NDArray[Any]:
        merger, _ = node.value
        pieces = [p for given, k in zip(lists, which, strict=True) for p in given[k]]
        out: NDArray[Any] = merger.finish(pieces, self.low, self.shape)
        return out


def tiles_of_product(
    spans: Sequence[tuple[NDArray[Any], NDArray[Any]]], edges: Sequence[NDArray[Any]]
) -> dict[Tile, int]:
    """Find the chunks that an outer product of windows falls on, and how many cells of each.

    ``spans`` are the first cells of windows along each dimension, and those behind them.
    """
    own = []
    for (low, high), edge in zip(spans, edges, strict=True):
        over = np.minimum(high[:, None], edge[1:]) - np.maximum(low[:, None], edge[:-1])
        cells = np.maximum(over, 0).sum(axis=0)
        own.append([(int(k), int(cells[k])) for k in np.flatnonzero(cells)])
    found = itertools.product(*own)
    return {tuple([k for k, _ in f]): math.prod(n for _, n in f) for f in found}


def tiles_of_list(
    low: NDArray[Any], high: NDArray[Any], edges: Sequence[NDArray[Any]]
) -> dict[Tile, int]:
    """Find the chunks that patches fall on, (patch, dim) from ``low`` to behind ``high``.

    The second figure counts patches, as far as one fills all that lies between its ends.
    """
    columns = []
    for k, edge in enumerate(edges):
        columns.append(np.searchsorted(edge, low[:, k], side="right") - 1)
        columns.append(
            np.searchsorted(edge, np.maximum(high[:, k] - 1, low[:, k]), side="right") - 1
        )
    out: dict[Tile, int] = {}
    if not columns:
        return {(): len(low)}
    rows, counts = np.unique(np.stack(columns, axis=-1), axis=0, return_counts=True)
    for row, count in zip(rows.reshape(len(rows), -1, 2).tolist(), counts.tolist(), strict=True):
        for tile in itertools.product(*(range(a, b + 1) for a, b in row)):
            out[tile] = out.get(tile, 0) + count
    return out
