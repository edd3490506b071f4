"""Gather and scatter of neighborhoods in time and in space at once, on dask arrays.

A group of patches reads the chunks that it reaches into; what it adds up is cut where output chunks
end. What patches consist of is one node of the graph; lists are laid out in the tasks.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from xpatch.engine import members as listed
from xpatch.engine.chunked import subdivide
from xpatch.engine.chunked_members import Listed
from xpatch.engine.layers import layered, uncollected
from xpatch.engine.reduce import Reducer
from xpatch.engine.stacked import Stacked
from xpatch.joint import Joint
from xpatch.neighborhood import Boxes, Members
from xpatch.runs import Runs

Finish = Callable[[NDArray, NDArray[np.bool_]], NDArray]
Part = tuple[
    NDArray, NDArray
]  # the first cell of each entry of a part along each dim, and the last

# --------------------------------------------------------------------------------------- extent


def extents(joint: Joint) -> list[Part]:
    """Give the first and the last cell of each entry of each part, shape (entry, dim)."""
    out = []
    for part in joint.parts:
        if isinstance(part, Runs):
            low, high = part.extent
        elif isinstance(part, Members):
            cells = np.stack(np.unravel_index(part.elements, part.shape), axis=-1)
            low = np.full((len(part), len(part.dims)), np.iinfo(np.int64).max)
            high = np.full((len(part), len(part.dims)), -1)
            np.minimum.at(low, part.patches, cells)
            np.maximum.at(high, part.patches, cells)
            empty = part.counts == 0
            low[empty], high[empty] = 0, 0
        else:
            low = part.starts()
            high = low + np.array(part.sizes) - 1
            n = np.array(part.shape)
            beyond = (low < 0) | (high >= n)  # wrapped or mirrored: anywhere
            low, high = np.where(beyond, 0, low), np.where(beyond, n - 1, high)
        out.append((low, high))
    return out


def reach(parts: list[Part], entries: Iterable[NDArray]) -> tuple[NDArray, NDArray]:
    """Give the first and the last cell of some patches along each dim."""
    low, high = [], []
    for (first, last), which in zip(parts, entries, strict=True):
        low.append(first[which].min(axis=0) if len(which) else first.min(axis=0))
        high.append(last[which].max(axis=0) if len(which) else first.min(axis=0))
    return np.concatenate(low), np.concatenate(high)


def groups_of(
    joint: Joint, chunks: dict[Any, tuple[int, ...]], ordinals: NDArray, most: int
) -> Any:
    """Group patches by the chunks in which their boxes start, and their windows in time end."""
    keys = []
    for part, entries in zip(joint.parts, joint.entries(ordinals), strict=True):
        if isinstance(part, Boxes):
            at = np.clip(part.starts(entries), 0, np.array(part.shape) - 1)
        elif part.anchors is not None:
            at = part.anchors[entries][:, None]
        else:
            continue
        for k, d in enumerate(part.dims):
            edges = np.cumsum(chunks.get(d, (part.shape[k],)))[:-1]
            keys.append(np.searchsorted(edges, at[:, k], side="right"))
    if not keys or not len(ordinals):
        return subdivide([ordinals], most)
    order = np.lexsort(keys[::-1])
    table = np.stack(keys, axis=-1)[order]
    cuts = np.flatnonzero((table[1:] != table[:-1]).any(axis=1)) + 1
    return subdivide(np.split(ordinals[order], cuts), most)


def _within(chunks: tuple[int, ...], low: int, high: int) -> range:
    """Give the chunks that hold cells ``low`` to ``high``."""
    edges = np.cumsum(chunks)
    first = int(np.searchsorted(edges, low, side="right"))
    last = int(np.searchsorted(edges, high, side="right"))
    return range(min(first, len(chunks) - 1), min(last, len(chunks) - 1) + 1)


# --------------------------------------------------------------------------------------- gather


@uncollected
def gather(array: da.Array, cut: Any, groups: list[NDArray]) -> da.Array:
    """Cut patches out of ``array``: one task for each group and block of the other dims."""
    joint, dims, sizes = cut.joint, cut.dims, cut.sizes
    how = (str(cut.final), cut.window, cut.coarse, cut.nodata)
    token = tokenize(array.name, joint.identity, groups, *how)
    name, node = f"xpatch-split-{token}", (f"xpatch-joint-{token}",)
    order = cut.patch_dims
    inside = [d for part in joint.parts for d in part.dims]
    others = [d for d in order if d not in sizes]
    axis = {d: dims.index(d) for d in dims}
    blocks = {d: range(array.numblocks[axis[d]]) for d in others}
    parts = extents(joint)
    graph: dict[Any, Any] = {node: Listed(cut)}
    for g, group in enumerate(groups):
        low, high = reach(parts, joint.entries(group))
        held = dict(zip(inside, zip(low.tolist(), high.tolist(), strict=True), strict=True))
        spans = {d: _within(array.chunks[axis[d]], *held[d]) for d in inside}
        region = {
            d: (sum(array.chunks[axis[d]][: s[0]]), sum(array.chunks[axis[d]][: s[-1] + 1]))
            for d, s in spans.items()
        }
        take = Take(group, region)
        for block in itertools.product(*blocks.values()):
            at = dict(zip(blocks, block, strict=True))
            key = (name, g, *(at.get(d, 0) for d in order))
            ranges = [spans.get(d) or [at[d]] for d in dims]
            graph[key] = (take, node, _nested(array.name, ranges))
    chunks = [(sizes[d],) if d in sizes else array.chunks[axis[d]] for d in order]
    counts = tuple(map(len, groups))
    meta = np.empty((0,) * (len(chunks) + 1), cut.final)
    return da.Array(layered(name, graph, [array]), name, (counts, *chunks), meta=meta)


def _nested(name: str, ranges: list[Any], at: tuple[int, ...] = ()) -> Any:
    """Give keys of blocks, nested as `numpy.block` takes them."""
    if len(at) == len(ranges):
        return (name, *at)
    return [_nested(name, ranges, (*at, b)) for b in ranges[len(at)]]


def _assembled(blocks: Any, ndim: int) -> NDArray:
    inner = blocks
    while isinstance(inner, list) and len(inner) == 1:
        inner = inner[0]
    return np.asarray(np.block(blocks) if isinstance(inner, list) and ndim else inner)


@dataclasses.dataclass(frozen=True, eq=False)
class Take:
    """Cuts the patches of one group out of the blocks that they reach into."""

    ordinals: NDArray
    region: dict[Any, tuple[int, int]]

    def __call__(self, node: Listed, blocks: Any) -> NDArray:
        cut = node.value
        array = _assembled(blocks, len(cut.dims))
        return cut(array, self.ordinals, cut.tables(self.ordinals), self.region)


# --------------------------------------------------------------------------------------- reduce


@dataclasses.dataclass(frozen=True, eq=False)
class Add:
    """Adds the patches of one block up, and cuts the sum where output chunks end."""

    ordinals: NDArray
    reducer: Reducer
    chunks: tuple[tuple[int, ...], ...]

    def __call__(self, node: Listed, patches: NDArray, present: NDArray | None = None) -> Any:
        job, ordinals = node.value, self.ordinals
        if present is not None and not present.all():
            ordinals, patches = ordinals[present], patches[present]
        contributions = job.group(ordinals).contributions(patches, job.axis)
        given = listed.added(contributions, self.reducer)
        stacked = isinstance(self.reducer, Stacked)
        elements = given.elements if stacked else given[0]
        cells = np.unravel_index(elements, tuple(map(sum, self.chunks)))
        chunk, local = np.zeros(len(elements), np.int64), np.zeros(len(elements), np.int64)
        for c, sizes in zip(cells, self.chunks, strict=True):
            edges = np.concatenate([[0], np.cumsum(sizes)])
            k = np.searchsorted(edges, c, side="right") - 1
            chunk = chunk * len(sizes) + k
            local = local * np.asarray(sizes)[k] + (c - edges[k])
        out = {}
        for c in np.unique(chunk).tolist():
            which = np.flatnonzero(chunk == c)
            if stacked:
                part = given.take(which)
                out[c] = dataclasses.replace(part, elements=local[which])
            else:
                out[c] = local[which], [s[which] for s in given[1]]
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class End:
    """Puts the parts of one output chunk together."""

    chunk: int
    args: tuple[Any, ...]

    def __call__(self, parts: list[dict[int, Any]]) -> NDArray:
        own = [p[self.chunk] for p in parts if self.chunk in p]
        _, _, shape, others, finish, dtype = self.args
        if own or not isinstance(self.args[0], Stacked):
            return listed.put_together(own, *self.args)
        n, width = math.prod(shape), math.prod(others)
        empty = finish(np.zeros((n, width), self.args[0].dtype), np.zeros(n, bool))
        full = np.moveaxis(empty.reshape(n, *others), 0, self.args[1])
        lead, rest = others[: self.args[1]], others[self.args[1] :]
        return full.reshape(*lead, *shape, *rest).astype(dtype, copy=False)


@uncollected
def reduce(
    patches: da.Array,
    job: Any,
    chunks: tuple[tuple[int, ...], ...],
    reducer: Reducer,
    finish: Any,
    present: da.Array | None = None,
) -> da.Array:
    """Merge patches (patch, *dims), the slots at ``job.axis`` of dims, on chunks of the cut dims.

    One task for each patch block adds its patches up; one for each output chunk, and block of the
    other dims, puts together what reaches into it.
    """
    axis, joint = job.axis, job.members
    patches = patches.rechunk({axis + 1: -1})
    others = [k for k in range(1, patches.ndim) if k != axis + 1]
    token = tokenize(
        patches.name,
        joint.identity,
        job.ordinals,
        axis,
        job.analysis,
        job.aggregation,
        job.skipna,
        job.fill_value,
        job.nodata,
        chunks,
        None if present is None else present.name,
    )
    name, sum_name, node = (
        f"xpatch-merge-{token}",
        f"xpatch-sum-{token}",
        (f"xpatch-joint-{token}",),
    )
    graph: dict[Any, Any] = {node: Listed(job)}
    if present is not None:
        present = present.rechunk({0: patches.chunks[0]})
    bounds = np.concatenate([[0], np.cumsum(patches.chunks[0])])
    groups = [job.ordinals[a:b] for a, b in itertools.pairwise(bounds)]
    touching = _touching(joint, chunks, groups)
    numblocks = tuple(map(len, chunks))
    for block in itertools.product(*(range(patches.numblocks[k]) for k in others)):
        before, after = block[:axis], block[axis:]
        for g, group in enumerate(groups):
            some = () if present is None else ((present.name, g),)
            source = (patches.name, g, *before, 0, *after)
            graph[(sum_name, g, *block)] = (Add(group, reducer, chunks), node, source, *some)
        sizes = tuple(patches.chunks[k][b] for k, b in zip(others, block, strict=True))
        for at in itertools.product(*map(range, numblocks)):
            shape = tuple(c[k] for c, k in zip(chunks, at, strict=True))
            number = int(np.ravel_multi_index(at, numblocks))
            args = (reducer, axis, shape, sizes, finish, finish.dtype)
            parts = [(sum_name, g, *block) for g in touching.get(at, ())]
            graph[(name, *before, *at, *after)] = (End(number, args), parts)
    out = [patches.chunks[k] for k in others]
    out[axis:axis] = list(chunks)
    sources = [patches] if present is None else [patches, present]
    meta = np.empty((0,) * len(out), finish.dtype)
    return da.Array(layered(name, graph, sources), name, tuple(out), meta=meta)


def _touching(
    joint: Joint, chunks: tuple[tuple[int, ...], ...], groups: list[NDArray]
) -> dict[tuple[int, ...], list[int]]:
    """Give, for each output chunk, the groups that may reach into it."""
    parts = extents(joint)
    out: dict[tuple[int, ...], list[int]] = {}
    for g, group in enumerate(groups):
        if len(group):
            low, high = reach(parts, joint.entries(group))
            spans = map(_within, chunks, low.tolist(), high.tolist())
            for at in itertools.product(*spans):
                out.setdefault(at, []).append(g)
    return out
