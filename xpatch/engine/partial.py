"""Scatter on dask arrays: patch blocks are summed where they are, output chunks add the pieces.

One task per patch block reduces its patches on every output chunk that they touch, so that the
patches are freed at once; one task hands the small pieces on, so that the large one is freed on its
own; one task per output chunk puts the pieces together.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from xpatch.engine import memory
from xpatch.engine.layers import layered, uncollected
from xpatch.engine.placement import AxisWeights, Placement
from xpatch.engine.reduce import Choose, Place, Reducer
from xpatch.engine.sequence import sequence
from xpatch.engine.spans import Region, Shares, Spans, Tile, nearby, outer
from xpatch.engine.stacked import Stacked
from xpatch.neighborhood import Boxes, arranged


@uncollected
def reduce(
    patches: da.Array,
    axes: Sequence[int],
    boxes: Boxes,
    ordinals: NDArray,
    weights: Sequence[AxisWeights],
    mass: Sequence[AxisWeights],
    reducer: Reducer,
    finish: Any,
    chunks: dict[int, tuple[int, ...]],
    dtype: np.dtype,
    token: str,
    shares: bool = False,
    full: bool = False,
    present: da.Array | None = None,
) -> da.Array:
    """Merge patches (patch, *dims) by partial results per patch block and output chunk.

    Parameters
    ----------
    weights, mass : sequence of AxisWeights
        What values are multiplied by, and what that adds to the denominator, along each dimension
        of ``boxes``.
    finish : callable
        Takes a merged block and its coverage and fills what is uncovered.
    chunks : dict
        Output chunks of each axis of a geometry dimension.
    token : str
        Tells this merge from any other of the same patches.
    shares : bool
        Whether the weights of every cell sum to one.
    full : bool
        Whether every cell is known to be covered.
    present : dask array of bool, optional
        Which patches take part, if that is known only when they are computed.
    """
    if isinstance(reducer, Place):
        reducer = Choose(reducer.source, reducer.skipna, "first")  # what it places it need not read
    patches = patches.rechunk({a + 1: -1 for a in axes})
    out_chunks = [tuple(chunks.get(k, c)) for k, c in enumerate(patches.chunks[1:])]
    if present is not None:
        present = present.rechunk({0: patches.chunks[0]})
    token = tokenize(
        patches.name, token, out_chunks, dtype, None if present is None else present.name
    )
    name, block_name, piece_name = (f"xpatch-{w}-{token}" for w in ("merge", "sum", "piece"))
    rest_name = f"xpatch-rest-{token}"
    edges = [np.concatenate([[0], np.cumsum(out_chunks[a])]) for a in axes]
    others = [k for k in range(patches.ndim - 1) if k not in axes]
    rests = list(itertools.product(*(range(len(out_chunks[k])) for k in others)))

    def index(tile: Tile, rest: Tile) -> Tile:
        both = (*tile, *rest)
        return tuple([both[k] for k in order])

    order = np.argsort([*axes, *others]).tolist()
    spans = Spans(edges)
    graph: dict[Any, Any] = {}
    inputs: dict[Tile, Inputs] = {}
    bounds = np.concatenate([[0], np.cumsum(patches.chunks[0])])
    ranks = ranked(ordinals)
    zero = (0,) * len(axes)
    known: dict[Any, Any] = {}
    for b, (start, stop) in enumerate(itertools.pairwise(bounds.tolist())):
        some = slice(start, stop)
        block = Block.of(boxes, ordinals[some], ranks[some], weights, mass, known)
        tiles, regions = spans.pieces(block.boxes)
        main = main_piece(regions)
        job = Partial(reducer, tuple(axes), block, regions, shares)
        for rest in rests:
            inner = index(zero, rest)
            key = (block_name, b, *inner)
            mask = () if present is None else ((present.name, b),)
            graph[key] = (job, (patches.name, b, *inner), *mask)
            small = (rest_name, b, *inner)
            if main is not None and len(tiles) > 1:
                graph[small] = (Without(main), key)
            for k, tile in enumerate(tiles):
                place = index(tile, rest)
                given = inputs.setdefault(place, Inputs([], [], []))
                if main is None:
                    piece = (piece_name, b, *place)
                    graph[piece] = (Pick(k), key)
                    given.add(piece, 0)
                elif k != main:
                    given.add(small, k)
                else:
                    given.add(key, k)
                    given.after.extend([small] if len(tiles) > 1 else [])
    form = (boxes.sizes, boxes.shape, boxes.wrap)
    rows = len(edges[0]) - 1 if edges else 1
    hints, turns = sequence(f"xpatch-order-{token}", rows * len(rests))
    graph |= hints
    for tile in itertools.product(*(range(len(e) - 1) for e in edges)):
        low = tuple(spans.region(tile)[0])
        for r, rest in enumerate(rests):
            place = index(tile, rest)
            given = inputs.get(place, Inputs([], [], []))
            if turns:
                given.after.append(turns[r * rows + tile[0]])
            shape = tuple(out_chunks[k][i] for k, i in enumerate(place))
            end = Finish(reducer, tuple(axes), low, shape, form, finish, dtype, shares, full)
            graph[(name, *place)] = (end, *given)
    sources: list[Any] = [patches] if present is None else [patches, present]
    layers = layered(name, graph, sources)
    meta = np.empty((0,) * (patches.ndim - 1), dtype)
    return da.Array(layers, name, tuple(out_chunks), meta=meta)


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


def main_piece(regions: Sequence[Region]) -> int | None:
    """Give the number of the piece that is a third or more of all, if there is one."""
    cells = [math.prod(b - a for a, b in zip(low, high, strict=True)) for low, high in regions]
    best = max(range(len(cells)), key=cells.__getitem__, default=None)
    return best if best is not None and 3 * cells[best] >= sum(cells) else None


def ranked(ordinals: NDArray) -> NDArray[np.int64]:
    """Rank patches by their labels, and those with the same label by their place."""
    ranks = np.empty(len(ordinals), np.int64)
    ranks[np.argsort(ordinals, kind="stable")] = np.arange(len(ordinals))
    return ranks


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Where the patches of one block land, and their weights: all that its tasks need to know."""

    boxes: Boxes
    position: NDArray | None
    labels: NDArray
    weights: tuple[AxisWeights, ...]
    mass: tuple[AxisWeights, ...]

    @classmethod
    def of(
        cls,
        boxes: Boxes,
        ordinals: NDArray,
        ranks: NDArray,
        weights: Sequence[AxisWeights],
        mass: Sequence[AxisWeights],
        known: dict[Any, AxisWeights],
    ) -> Block:
        """Take the patches with ``ordinals``, ranked among those of all blocks; what is ``known`` of an axis is shared."""
        part, position, picks = arranged(boxes, ordinals)
        own = tuple(_taken(w, p, known) for w, p in zip(weights, picks, strict=True))
        below = tuple(_taken(w, p, known) for w, p in zip(mass, picks, strict=True))
        labels = ranks if position is None else ranks[position]
        return cls(part, position, labels, own, below)

    def some(self, present: NDArray[np.bool_]) -> Block:
        """Keep some of the patches."""
        kept = np.flatnonzero(present if self.position is None else present[self.position])
        position = None
        if self.position is not None:
            position = (np.cumsum(present) - 1)[self.position[kept]]
        entries = self.boxes.entries(kept)
        weights = tuple(w.take(e) for w, e in zip(self.weights, entries, strict=True))
        mass = tuple(w.take(e) for w, e in zip(self.mass, entries, strict=True))
        return Block(self.boxes.take(kept), position, self.labels[kept], weights, mass)

    def placement(self, low: Sequence[int], high: Sequence[int]) -> Placement:
        """Give where the patches land in a region."""
        same = all(a is b for a, b in zip(self.weights, self.mass, strict=True))
        mass = None if same else self.mass
        return Placement(self.boxes, self.position, self.weights, mass, low, high, self.labels)

    def near(self, low: Sequence[int], high: Sequence[int]) -> tuple[NDArray, Listed]:
        """Give the positions of the patches that fall on a region, and their places."""
        starts = self.boxes.starts()
        near = np.flatnonzero(nearby(self.boxes, starts, low, high))
        entries = self.boxes.entries(near)
        mass = [w.full()[e] for w, e in zip(self.mass, entries, strict=True)]
        where = near if self.position is None else self.position[near]
        return where, Listed(starts[near], self.labels[near], mass)


def _taken(weights: AxisWeights, which: NDArray, known: dict[Any, AxisWeights]) -> AxisWeights:
    key = (id(weights), which.tobytes())
    if key not in known:
        known[key] = weights.take(which)
    return known[key]


class Listed(NamedTuple):
    """Starts (patch, dim), labels and masses of patches, one row for each."""

    starts: NDArray[np.int64]
    labels: NDArray[np.int64]
    mass: list[NDArray[np.float64]]


class Piece(NamedTuple):
    """What the patches of one block add up to on the region that begins at ``low``."""

    low: list[int]
    state: list[NDArray]
    cover: Shares | NDArray[np.float64]


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
class Partial:
    """Reduces the patches of one block on every output chunk that they touch.

    Weights that are shares, and sum to one over all patches, give the mean as a mere sum. Only a
    block with a missing value tells its denominator.
    """

    reducer: Reducer
    axes: tuple[int, ...]
    block: Block
    regions: tuple[Region, ...]
    shares: bool

    def __call__(self, patches: NDArray, present: NDArray | None = None) -> list[Any]:
        self._check(patches)
        return self._pieces(patches, present)

    def _check(self, patches: NDArray) -> None:
        """Raise a ValueError if a model returned a block of another shape than it announced."""
        expected = [len(self.block.labels), *self.block.boxes.sizes]
        got = [patches.shape[k] for k in (0, *(a + 1 for a in self.axes))]
        if got != expected:
            raise ValueError(
                f"a block of {expected[0]} patches of {tuple(expected[1:])} cells along "
                f"{list(self.block.boxes.dims)} came as {got[0]} of {tuple(got[1:])}: the model that "
                "dask runs on each block must return as many patches as it is given, of the size "
                "that its result announces (map_blocks(…, chunks=…)); or use patch.apply"
            )

    def _pieces(self, patches: NDArray, present: NDArray | None) -> list[Any]:
        if present is not None and not present.all():
            part = dataclasses.replace(self, block=self.block.some(present))
            return part._pieces(patches[present], None)
        if isinstance(self.reducer, Stacked):
            return [self._near(patches, *region) for region in self.regions]
        return [self._sum(patches, *region) for region in self.regions]

    def _near(self, patches: NDArray, low: list[int], high: list[int]) -> tuple[NDArray, Listed]:
        where, listed = self.block.near(low, high)
        return patches[where], listed

    def _sum(self, patches: NDArray, low: list[int], high: list[int]) -> Piece:
        placement = self.block.placement(low, high)
        cover = placement.cover()
        reducer: Any = self.reducer
        if self.shares:
            state = memory.scatter(patches, self.axes, placement, reducer.plain())
            if not reducer.skips(patches.dtype) or not memory.has_nan(state[0]):
                return Piece(low, state, cover)
        state = memory.scatter(patches, self.axes, placement, reducer)
        return Piece(low, state, cover)


@dataclasses.dataclass(frozen=True, eq=False)
class Finish:
    """Puts the pieces of one output chunk together."""

    reducer: Reducer
    axes: tuple[int, ...]
    low: tuple[int, ...]
    shape: tuple[int, ...]
    boxes: tuple[Any, ...]  # sizes, shape and wrap of the boxes
    fill: Any
    dtype: np.dtype
    shares: bool
    full: bool  # whether every cell is known to be covered

    def __call__(self, lists: list[Any], which: list[int], after: list[Any]) -> NDArray:
        pieces = [given[k] for given, k in zip(lists, which, strict=True)]
        cells = [self.shape[a] for a in self.axes]
        if isinstance(self.reducer, Stacked):
            merged, cover = self._stacked(pieces, cells)
        else:
            cover = np.full(cells, self.full)
            if not self.full:
                for piece in pieces:
                    some = outer(piece.cover)
                    cover[self._place(piece, some.shape)] |= some > 0
            merged = self._summed(pieces)
        return self.fill(merged, self.axes, cover).astype(self.dtype, copy=False)

    def _place(self, piece: Piece, cells: Sequence[int]) -> tuple[slice, ...]:
        """Give where a piece of some cells lies, in the order of the geometry's dimensions."""
        return tuple(
            [slice(a - o, a - o + n) for a, o, n in zip(piece.low, self.low, cells, strict=True)]
        )

    def _views(self, state: list[NDArray], piece: Piece) -> list[NDArray]:
        """Give the part of the state that a piece falls on."""
        shape = piece.state[0].shape
        index = [slice(None)] * len(self.shape)
        for axis, part in zip(
            self.axes, self._place(piece, [shape[a] for a in self.axes]), strict=True
        ):
            index[axis] = part
        return [s[tuple(index)] for s in state]

    @np.errstate(invalid="ignore", over="ignore")  # inf − inf is NaN, as in any mean
    def _summed(self, pieces: list[Piece]) -> NDArray:
        reducer: Any = self.reducer
        if self.shares and all(len(piece.state) == 1 for piece in pieces):
            reducer = reducer.plain()
        state = reducer.start(self.shape)
        for piece in pieces:
            views = self._views(state, piece)
            if len(piece.state) == len(state):
                reducer.combine(views, piece.state)
            else:
                views[0] += piece.state[0]
                views[1] += self._spread(outer(piece.cover))
        return reducer.finish(state)

    def _spread(self, field: NDArray) -> NDArray:
        """Lay a field over the geometry's dimensions, in their order, along those of the output."""
        shape = [1] * len(self.shape)
        for axis, n in zip(self.axes, field.shape, strict=True):
            shape[axis] = n
        return field.transpose(np.argsort(self.axes)).reshape(shape)

    def _stacked(self, pieces: list[Any], cells: list[int]) -> tuple[NDArray, NDArray[np.bool_]]:
        if not pieces:
            return np.zeros(self.shape, self.reducer.dtype), np.zeros(cells, bool)
        patches = np.concatenate([p for p, _ in pieces])
        placement = self._placement([listed for _, listed in pieces], cells)
        merged = memory.reduce(patches, self.axes, placement, self.reducer)
        return merged, outer(placement.cover()) > 0

    def _placement(self, parts: list[Listed], cells: list[int]) -> Placement:
        starts = np.concatenate([p.starts for p in parts])
        labels = np.concatenate([p.labels for p in parts])
        mass = [np.concatenate(rows) for rows in zip(*(p.mass for p in parts), strict=True)]
        high = tuple(lo + n for lo, n in zip(self.low, cells, strict=True))
        order = np.argsort(labels, kind="stable")
        found = [np.unique(s, return_index=True, return_inverse=True) for s in starts.T]
        grid = tuple(len(values) for values, *_ in found)
        product = len(found) > 0 and int(np.prod(grid, dtype=np.int64)) == len(order)
        if product:
            flat = np.ravel_multi_index([i.reshape(-1) for *_, i in found], grid)
            order = np.argsort(flat, kind="stable")
            product = bool((flat[order] == np.arange(len(flat))).all())
        if product:
            axes = tuple(values for values, *_ in found)
            rows = [m[first] for m, (_, first, _) in zip(mass, found, strict=True)]
        else:
            order = np.argsort(labels, kind="stable")
            axes = tuple(starts[order].T)
            rows = [m[order] for m in mass]
        weights = [AxisWeights.of(r) for r in rows]
        names = tuple(range(len(axes)))
        boxes = Boxes(names, self.boxes[0], self.boxes[1], axes, product, self.boxes[2])
        return Placement(boxes, order, None, weights, self.low, high)
