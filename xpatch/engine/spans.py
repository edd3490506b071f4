"""Which output chunks patches fall on, and what they cover of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.placement import AxisWeights, Placement
from xpatch.neighborhood import Boxes

Tile = tuple[int, ...]
Region = tuple[list[int], list[int]]
Shares = list[NDArray[np.float64]]


class Spans:
    """Output chunks as regions, and which of them boxes fall on."""

    def __init__(self, edges: Sequence[NDArray]):
        self.edges = edges
        self.bounds = [e.tolist() for e in edges]
        self.known: dict[Any, list[Iterable[int]]] = {}

    def region(self, tile: Tile) -> Region:
        """Give the first cells of an output chunk, and those behind it."""
        low = [e[i] for e, i in zip(self.bounds, tile, strict=True)]
        return low, [e[i + 1] for e, i in zip(self.bounds, tile, strict=True)]

    def pieces(self, boxes: Boxes) -> tuple[list[Tile], tuple[Region, ...]]:
        """Find the output chunks that boxes fall on, and the part of each around the boxes."""
        extent = [self._extent(boxes, k) for k in range(len(boxes.dims))]
        tiles, regions = [], []
        for tile in self.touched(boxes):
            low, high = self.region(tile)
            low = [max(lo, a) for lo, (a, _) in zip(low, extent, strict=True)]
            high = [min(hi, b) for hi, (_, b) in zip(high, extent, strict=True)]
            if all(lo < hi for lo, hi in zip(low, high, strict=True)):
                tiles.append(tile)
                regions.append((low, high))
        return tiles, tuple(regions)

    def _extent(self, boxes: Boxes, k: int) -> tuple[int, int]:
        starts, size, n = boxes.axes[k], boxes.sizes[k], boxes.shape[k]
        if not len(starts):
            return 0, 0
        if boxes.wrap[k]:
            starts = starts % n
        low, high = int(starts.min()), int(starts.max()) + size
        return (0, n) if boxes.wrap[k] and high > n else (max(low, 0), min(high, n))

    def touched(self, boxes: Boxes) -> list[Tile]:
        """Find the output chunks that some boxes fall on, in order."""
        spans = [self._along(boxes, k) for k in range(len(boxes.dims))]
        if boxes.product:
            return list(itertools.product(*(sorted(set().union(*s)) for s in spans)))
        found: set[Tile] = set()
        for per_dim in zip(*spans, strict=True):
            found.update(itertools.product(*per_dim))
        return sorted(found)

    def _along(self, boxes: Boxes, k: int) -> list[Iterable[int]]:
        starts, size, n, edge = boxes.axes[k], boxes.sizes[k], boxes.shape[k], self.edges[k]
        key = (k, starts.tobytes())
        if key in self.known:
            return self.known[key]
        if boxes.wrap[k]:
            cells = (starts[:, None] + np.arange(size)) % n
            rows = (np.searchsorted(edge, cells, "right") - 1).tolist()
            out: list[Iterable[int]] = [set(row) for row in rows]
        else:
            first = np.searchsorted(edge, np.clip(starts, 0, n - 1), "right") - 1
            last = np.searchsorted(edge, np.clip(starts + size - 1, 0, n - 1), "right") - 1
            out = [range(a, b + 1) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        if boxes.product:
            self.known[key] = out
        return out


def coverage(
    boxes: Boxes, mass: Sequence[AxisWeights], edges: Sequence[NDArray]
) -> tuple[bool, bool]:
    """Say whether every cell is covered, and whether any is covered twice.

    Listed boxes are looked at one output chunk after the other, until both are decided.
    """
    placement = Placement(boxes, None, mass)
    if boxes.product:
        vectors = placement.cover()
        lone = placement.mass is None or all(np.isin(w.rows, (0, 1)).all() for w in mass)
        full = all(bool((v > 0).all()) for v in vectors)
        return full, not (lone and all(bool((v <= 1).all()) for v in vectors))
    full, twice = (
        True,
        placement.mass is not None and not all(np.isin(w.rows, (0, 1)).all() for w in mass),
    )
    spans = Spans(edges)
    for tile in itertools.product(*(range(len(e) - 1) for e in edges)):
        low, high = spans.region(tile)
        near = np.flatnonzero(nearby(boxes, boxes.starts(), low, high))
        part = Placement(boxes.take(near), None, [w.take(near) for w in mass], None, low, high)
        cover = outer(part.cover())
        full &= bool((cover > 0).all())
        twice |= bool((cover > 1).any())
        if twice and not full:
            break
    return full, twice


def nearby(boxes: Boxes, starts: NDArray, low: Sequence[int], high: Sequence[int]) -> NDArray:
    """Which boxes, given their starts (patch, dim), fall on a region."""
    out = np.ones(len(starts), bool)
    for k, (lo, hi) in enumerate(zip(low, high, strict=True)):
        size, n = boxes.sizes[k], boxes.shape[k]
        here = np.zeros(len(starts), bool)
        turns = range(-(size // n) - 1, 2) if boxes.wrap[k] else range(1)
        start = starts[:, k] % n if boxes.wrap[k] else starts[:, k]
        for turn in turns:
            first = start + turn * n
            here |= (first < hi) & (first + size > lo)
        out &= here
    return out


def outer(cover: Shares | NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply vectors out."""
    if not isinstance(cover, list):
        return cover
    out = np.ones(())
    for vector in cover:
        out = out[..., None] * vector
    return out
