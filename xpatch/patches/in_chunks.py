"""A reduction as patch blocks and output chunks of dask see it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import boxes as bx
from xpatch.engine import elements as el
from xpatch.engine import reducers as r
from xpatch.engine.arrangement import arranged
from xpatch.engine.chunked_merge import Block, Recent, Tile, tiles_of_list, tiles_of_product
from xpatch.engine.tiles import in_tiles, put_together
from xpatch.neighborhood import Slices

CROWDED = 4  # the region around boxes may have so many times their cells


@dataclasses.dataclass(frozen=True, eq=False)
class Fill:
    """Writes the fill value where nothing covers a cell."""

    value: Any
    dtype: np.dtype
    reducer: r.Reducer

    def __call__(self, merged: NDArray[Any], axes: Sequence[int], cover: bx.Cover) -> NDArray[Any]:
        out = self.reducer.back(merged).astype(self.dtype, copy=False)
        if self.value is None:  # every cell is covered, or counts
            return out
        if isinstance(cover, list):
            for axis, vector in zip(axes, cover, strict=True):
                if (empty := vector <= 0).any():
                    out[(slice(None),) * axis + (empty,)] = self.value
            return out
        if (cover > 0).all():
            return out
        shape = [out.shape[k] if k in axes else 1 for k in range(out.ndim)]
        empty = (cover <= 0).transpose(np.argsort(axes)) if len(axes) else cover <= 0
        np.copyto(out, self.value, where=empty.reshape(shape))
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class InChunks:
    """A reduction as patch blocks and output chunks see it."""

    job: Any  # the Reduction, without its ordinals
    reducer: r.Reducer
    fill: Fill
    by_element: bool
    recent: Recent = dataclasses.field(default_factory=Recent)

    @property
    def slots(self) -> tuple[int, ...]:
        """Which axes of a patch hold its slots."""
        slots: tuple[int, ...] = self.job.slots
        return slots

    @property
    def axes(self) -> tuple[int, ...]:
        """Which axes of the result were cut."""
        axes: tuple[int, ...] = self.job.axes
        return axes

    @property
    def dtype(self) -> np.dtype:
        """Of the result."""
        return self.fill.dtype

    def touched(self, ordinals: NDArray[Any], edges: Sequence[NDArray[Any]]) -> dict[Tile, int]:
        """Find the output chunks that the patches of one block fall on."""
        hood = self.job.hood
        if not len(ordinals):
            return {}
        if not hood.lists:
            where = arranged(hood, ordinals)
            spans = [
                _spans(p, p.starts[e]) for p, e in zip(hood.slices, where.entries, strict=True)
            ]
            if where.product:
                return tiles_of_product(spans, edges)
        both = list(zip(hood.parts, hood.entries(ordinals), strict=True))
        low, high = (np.concatenate([p.extent[k][e] for p, e in both], axis=1) for k in (0, 1))
        return tiles_of_list(low, high + 1, edges)

    def pieces(
        self,
        patches: NDArray[Any],
        block: Block,
        edges: Sequence[NDArray[Any]],
        present: NDArray[Any] | None,
    ) -> dict[Tile, list[Any]]:
        """Add the patches of one block up, for each output chunk that they fall on."""
        self._check(patches, block)
        ordinals, labels = block.ordinals, block.labels
        if present is not None and not present.all():
            ordinals, labels, patches = ordinals[present], labels[present], patches[present]
        if not len(patches):
            return {}
        patches = self.job.repeated(patches)
        if self.by_element:
            given = self.job.group(ordinals, labels).contributions(patches, min(self.slots))
            return el.in_tiles(el.added(given, self.reducer), self.job.hood.shape, edges)
        if len(ordinals) < len(block.ordinals):
            clusters = self._clusters(ordinals, labels)
        else:
            clusters = self.recent.get(block, lambda: self._clusters(ordinals, labels))
        out: dict[Tile, list[Any]] = {}
        for which, boxes in clusters:
            total = boxes.add(patches if which is None else patches[which], self.reducer)
            for tile, pieces in in_tiles(total, boxes, edges).items():
                out.setdefault(tile, []).extend(pieces)
        return out

    def _clusters(
        self, ordinals: NDArray[Any], labels: NDArray[Any]
    ) -> list[tuple[NDArray[Any] | None, bx.Boxes]]:
        """Give patches as boxes, those that lie far from each other apart, and which they are; None: all.

        They are added up on the region around them, which of a few patches here and there is large.
        """
        boxes = self.job.boxes(ordinals, labels)
        entries = self.job.hood.entries(ordinals)
        if (near := _halved(boxes, entries)) is None:
            return [(None, boxes)]
        out = []
        for half in (np.flatnonzero(near), np.flatnonzero(~near)):
            for which, own in self._clusters(ordinals[half], labels[half]):
                out.append((half if which is None else half[which], own))
        return out

    def _check(self, patches: NDArray[Any], block: Block) -> None:
        """Raise a ValueError if a model returned a block of another shape than it announced."""
        hood = self.job.hood
        repeats = self.job.repeats or (1,) * len(hood.parts)
        coarse = [n // k for n, k in zip(hood.inner.values(), repeats, strict=True)]
        expected = [len(block.ordinals), *coarse]
        got = [patches.shape[k] for k in (0, *(a + 1 for a in self.slots))]
        if got != expected:
            raise ValueError(
                f"a block of {expected[0]} patches of {tuple(expected[1:])} cells along "
                f"{list(hood.inner)} came as {got[0]} of {tuple(got[1:])}: the model that "
                "dask runs on each block must return as many patches as it is given, of the size "
                "that its result announces (map_blocks(…, chunks=…)); or use patch.apply"
            )

    def finish(self, pieces: list[Any], low: Sequence[int], shape: Sequence[int]) -> NDArray[Any]:
        """Put the pieces of one output chunk together."""
        cells = [shape[a] for a in self.axes]
        if not self.by_element:
            merged, cover = put_together(pieces, low, shape, self.axes, self.reducer)
            return self.fill(merged, self.axes, cover)
        n, place = math.prod(cells), min(self.axes)
        others = [k for k in range(len(shape)) if k not in self.axes]
        sizes = [shape[k] for k in others]
        merged, covered = el.put_together(pieces, n, math.prod(sizes), self.reducer)
        before = sum(k < place for k in others)
        full = np.moveaxis(merged.reshape(n, *sizes), 0, before)
        full = full.reshape(*sizes[:before], *cells, *sizes[before:])
        order = [*others[:before], *self.axes, *others[before:]]
        full = full.transpose(np.argsort(order))
        return self.fill(full, self.axes, covered.reshape(cells).astype(float))


def _halved(boxes: bx.Boxes, entries: Sequence[NDArray[Any]]) -> NDArray[np.bool_] | None:
    """Say which boxes lie in the first half of the region around all; None where they fill it well.

    ``entries`` (patch,) of each part say where every one lies.
    """
    low, high = boxes.region()
    sizes = [p.size for p in boxes.parts]
    cells = math.prod(b - a for a, b in zip(low, high, strict=True))
    if len(boxes.labels) < 2 or cells <= CROWDED * len(boxes.labels) * math.prod(sizes):
        return None
    reach = [(b - a) / n for a, b, n in zip(low, high, sizes, strict=True)]
    k = reach.index(max(reach))
    found: NDArray[np.bool_] = boxes.parts[k].starts[entries[k]] < (low[k] + high[k] - sizes[k]) / 2
    return found


def _spans(part: Slices, starts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the first cells of windows, and those behind them: of a periodic one those of each turn."""
    stops = starts + part.size
    if not part.wrap:
        return starts, stops
    turns = np.arange(starts.min() // part.n, (stops.max() - 1) // part.n + 1) * part.n
    return (starts[:, None] - turns).reshape(-1), (stops[:, None] - turns).reshape(-1)
