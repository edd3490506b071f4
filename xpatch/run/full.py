"""Full batches: blocks of patches are joined, and cut where a batch ends; what comes back is cut as they were.

A run is as many whole batches as end in one block, with what the block before has left over. So each block is
made once, at most one batch of it waits for its neighbor, and merge gets the blocks that it knows how to add up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.engine.chunked_gather import Part

Key = tuple[Any, ...]


class Share(NamedTuple):
    """Patches ``low`` to ``high`` of a block or run, of ``size`` patches, for one of the others."""

    source: int
    low: int
    high: int
    size: int

    @property
    def whole(self) -> bool:
        """Whether that is all."""
        return self.high - self.low == self.size


def runs_of(blocks: Sequence[int], batch: int | None) -> list[int]:
    """Give the sizes of runs: multiples of ``batch``, but for the last."""
    if batch is None:
        return list(blocks)
    ends = np.cumsum(blocks)
    cuts = ends // batch * batch
    cuts[-1] = ends[-1]
    return np.diff(np.unique([0, *cuts])).tolist() or [0]


def shares_of(wanted: Sequence[int], given: Sequence[int]) -> list[list[Share]]:
    """Find, for each of some blocks, what it has of others, which hold the same patches in the same order."""
    edges = np.concatenate([[0], np.cumsum(given)])
    out = []
    stop = 0
    for size in wanted:
        start, stop = stop, stop + size
        first = int(np.searchsorted(edges, start, side="right")) - 1
        last = max(first + 1, int(np.searchsorted(edges, stop, side="left")))
        own = []
        for k in range(min(first, len(given) - 1), min(last, len(given))):
            low, high = int(edges[k]), int(edges[k + 1])
            own.append(Share(k, max(start, low) - low, min(stop, high) - low, high - low))
        out.append(own)
    return out


class Sources:
    """The chunked variables of patches, block by block, as runs take them.

    What a block leaves to the next run is copied by a task of its own, for which the run that takes the rest
    waits: so the block is freed at once.
    """

    def __init__(self, chunked: Mapping[Hashable, Variable], dim: Hashable, blocks: Sequence[int]):
        self.dim = dim
        self.variables = {
            n: v.chunk(
                {d: -1 for d in v.dims if d != dim}
                | ({dim: tuple(blocks)} if dim in v.dims else {})
            )
            for n, v in chunked.items()
        }

    def add(self, name: str, shares: Sequence[Share], graph: dict[Key, Any]) -> list[list[Key]]:
        """Give the keys of what a run takes of each variable; tasks that cut it out go into ``graph``."""
        return [
            self._keys(name, k, v, shares, graph) for k, v in enumerate(self.variables.values())
        ]

    def left(self, name: str, shares: Sequence[Share]) -> list[Key]:
        """Give the keys of what blocks of a run leave to the next."""
        cut = [s for s in shares if s.high < s.size]
        own = [k for k, v in enumerate(self.variables.values()) if self.dim in v.dims]
        return [(f"{name}-rest", k, s.source) for s in cut for k in own]

    def _keys(
        self, name: str, k: int, v: Variable, shares: Sequence[Share], graph: dict[Key, Any]
    ) -> list[Key]:
        if self.dim not in v.dims:
            return [(v.data.name, *[0] * v.ndim)]
        axis, keys = v.get_axis_num(self.dim), []
        for share in shares:
            key: Key = (v.data.name, *[share.source if d == self.dim else 0 for d in v.dims])
            if share.low:
                rest = (f"{name}-rest", k, share.source)
                graph[rest] = (Part((axis,), ((share.low, share.high),)), key)
                key = rest
            keys.append(key)
        return keys


def joined(parts: Sequence[NDArray[Any]], sizes: Sequence[int], axis: int) -> NDArray[Any]:
    """Put the first of ``sizes`` patches of arrays one after the other."""
    first = [
        p if p.shape[axis] == n else p[(slice(None),) * axis + (slice(n),)]
        for p, n in zip(parts, sizes, strict=True)
    ]
    return first[0] if len(first) == 1 else np.concatenate(first, axis)


@dataclasses.dataclass(frozen=True, eq=False)
class Item:
    """Takes the k-th array of a block out of what runs gave."""

    shares: tuple[Share, ...]
    k: int

    def __call__(self, runs: list[list[NDArray[Any]]]) -> NDArray[Any]:
        parts = [
            r[self.k] if s.whole else r[self.k][s.low : s.high]
            for r, s in zip(runs, self.shares, strict=True)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
