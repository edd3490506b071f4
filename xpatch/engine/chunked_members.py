"""Gather and scatter of lists of members on dask arrays.

The elements of one block of the other dimensions are in memory as a whole. What a group of patches
consists of is one node of the graph, however many blocks there are.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from xpatch.engine import members as own
from xpatch.engine.layers import layered
from xpatch.engine.reduce import Reducer
from xpatch.neighborhood import Members


def gather(
    array: da.Array,
    axes: Sequence[int],
    members: Members,
    groups: list[NDArray],
    dtype: np.dtype,
    finish: Callable[[NDArray, Members], NDArray] | None = None,
    empty: Any = None,
) -> da.Array:
    """Take members out of ``array``: one task for each group of patches and block of other dims."""
    array = array.rechunk(dict.fromkeys(axes, -1))
    token = tokenize(array.name, tuple(axes), members.identity, groups, str(dtype), finish, empty)
    name, list_name = f"xpatch-split-{token}", f"xpatch-members-{token}"
    others = [k for k in range(array.ndim) if k not in axes]
    place = sum(k < min(axes) for k in others)
    graph: dict[Any, Any] = {}
    for g, group in enumerate(groups):
        graph[(list_name, g)] = Listed(members.take(group))
        for block in itertools.product(*(range(array.numblocks[k]) for k in others)):
            source = [0] * array.ndim
            for k, b in zip(others, block, strict=True):
                source[k] = b
            key = (name, g, *block[:place], 0, *block[place:])
            take = Take(tuple(axes), finish, dtype, empty)
            graph[key] = (take, (array.name, *source), (list_name, g))
    chunks = [array.chunks[k] for k in others]
    chunks.insert(place, (members.width,))
    sizes = tuple(map(len, groups))
    meta = np.empty((0,) * (len(chunks) + 1), dtype)
    return da.Array(layered(name, graph, [array]), name, (sizes, *chunks), meta=meta)


class Listed:
    """A node of the graph that holds some lists."""

    def __init__(self, value: Any):
        self.value = value

    def __dask_tokenize__(self) -> Any:
        return id(self)


@dataclasses.dataclass(frozen=True, eq=False)
class Take:
    """Takes the members of one group out of a block."""

    axes: tuple[int, ...]
    finish: Callable[[NDArray, Members], NDArray] | None
    dtype: np.dtype
    empty: Any = None

    def __call__(self, block: NDArray, listed: Listed) -> NDArray:
        out = own.gather(block, self.axes, listed.value, self.dtype, self.empty)
        if self.finish is not None:
            out = self.finish(out, listed.value)
        return out.astype(self.dtype, copy=False)


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """The members of the patches of one block, and what they weigh."""

    members: Members
    labels: NDArray[np.int64]
    weights: NDArray | None
    mass: NDArray | None
    radial: NDArray | None

    def some(self, present: NDArray[np.bool_]) -> Group:
        """Keep some of the patches."""
        kept = np.flatnonzero(present)
        rows = self.members.rows(kept)
        weights, mass, radial = (
            None if w is None else w[rows] for w in (self.weights, self.mass, self.radial)
        )
        return Group(self.members.take(kept), self.labels[kept], weights, mass, radial)

    def contributions(self, patches: NDArray, axis: int) -> own.Contributions:
        """Give what the patches contribute."""
        return own.contributions(
            patches, axis, self.members, self.labels, self.weights, self.mass, self.radial
        )


def reduce(
    patches: da.Array,
    axis: int,
    groups: list[Group],
    shape: tuple[int, ...],
    reducer: Reducer,
    finish: Callable[[NDArray, NDArray[np.bool_]], NDArray],
    dtype: np.dtype,
    token: str,
    present: da.Array | None = None,
) -> da.Array:
    """Merge patches (patch, *dims), whose slots are at ``axis`` of dims, on elements of ``shape``.

    One task for each patch block adds its patches up on the elements that they touch; one task for
    each block of the other dims puts these together. Order statistics gather the contributions.
    """
    patches = patches.rechunk({axis + 1: -1})
    others = [k for k in range(1, patches.ndim) if k != axis + 1]
    token = tokenize(patches.name, token, None if present is None else present.name)
    name, sum_name, list_name = (f"xpatch-{w}-{token}" for w in ("merge", "sum", "members"))
    graph: dict[Any, Any] = {(list_name, g): Listed(group) for g, group in enumerate(groups)}
    if present is not None:
        present = present.rechunk({0: patches.chunks[0]})
    for block in itertools.product(*(range(patches.numblocks[k]) for k in others)):
        before, after = block[:axis], block[axis:]
        parts = []
        for g in range(len(groups)):
            key = (sum_name, g, *block)
            source = (patches.name, g, *before, 0, *after)
            some = () if present is None else ((present.name, g),)
            graph[key] = (Add(reducer, axis), source, (list_name, g), *some)
            parts.append(key)
        sizes = [patches.chunks[k][b] for k, b in zip(others, block, strict=True)]
        end = End(reducer, axis, shape, tuple(sizes), finish, dtype)
        graph[(name, *before, *(0 for _ in shape), *after)] = (end, parts)
    chunks = [patches.chunks[k] for k in others]
    chunks[axis:axis] = [(n,) for n in shape]
    sources = [patches] if present is None else [patches, present]
    meta = np.empty((0,) * len(chunks), dtype)
    return da.Array(layered(name, graph, sources), name, tuple(chunks), meta=meta)


@dataclasses.dataclass(frozen=True, eq=False)
class Add:
    """Adds the patches of one block up, on the elements that they touch."""

    reducer: Reducer
    axis: int

    def __call__(self, patches: NDArray, listed: Listed, present: NDArray | None = None) -> Any:
        group: Group = listed.value
        if present is not None and not present.all():
            group, patches = group.some(present), patches[present]
        return own.added(group.contributions(patches, self.axis), self.reducer)


@dataclasses.dataclass(frozen=True, eq=False)
class End:
    """Puts together what the patch blocks came to."""

    reducer: Reducer
    axis: int
    shape: tuple[int, ...]
    others: tuple[int, ...]
    finish: Callable[[NDArray, NDArray[np.bool_]], NDArray]
    dtype: np.dtype

    def __call__(self, parts: list[Any]) -> NDArray:
        where = (self.axis, self.shape, self.others)
        return own.put_together(parts, self.reducer, *where, self.finish, self.dtype)
