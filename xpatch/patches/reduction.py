"""Merge of one array: weights, the choice of a kernel, and what is uncovered."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.aggregation import Aggregation, Learned
from xpatch.domain.nodata import as_floats
from xpatch.engine import boxes as bx
from xpatch.engine import dtypes
from xpatch.engine import elements as el
from xpatch.engine import reducers as r
from xpatch.engine.arrangement import Arrangement, arranged
from xpatch.engine.buffers import available_threads
from xpatch.engine.chunked_merge import merge
from xpatch.engine.contributions import Group
from xpatch.engine.nodata import Nodata, filling, placing, reading
from xpatch.engine.slices import Factors
from xpatch.engine.stacked import Modeled, Stacked
from xpatch.engine.tiles import (
    coverage,
    decided,
    domain_cover,
    finished,
    fold,
    outer,
    reduce_stacked,
)
from xpatch.neighborhood import Neighborhood
from xpatch.patches.composite import fitted_model
from xpatch.patches.in_chunks import Fill, InChunks
from xpatch.patches.weights import Weights, offsets

BATCH = 1 << 24  # slots of patches that are looked at together in memory
REPEATED_BYTES = 1 << 26  # of coarse patches, cell by cell, in memory at a time
FEW_CELLS = 1 << 8  # boxes of fewer cells, anywhere, are merged cell by cell


@dataclasses.dataclass(frozen=True, eq=False)
class Reduction:
    """The merge of one array (patch, *dims).

    Parameters
    ----------
    hood : Neighborhood
        The neighborhoods of all patches, as far as they came back.
    ordinals : int64 array (patch,)
        Which patches the array has.
    slots : tuple of int
        Which axes of a patch hold the slots of each part of ``hood``, in its order.
    weights : Weights
        The analysis and the synthesis window.
    aggregation, skipna, fill_value
        As in `merge`.
    nodata : Nodata, optional
        The numbers that stand for missing.
    anchors : int64 array, optional
        The element of each patch of the plan that is its anchor, or −1.
    repeats : tuple of int
        How many slots of each part stand for one of the patches that come, which are coarser.
    """

    hood: Neighborhood
    ordinals: NDArray[np.int64]
    slots: tuple[int, ...]
    weights: Weights
    aggregation: Aggregation
    skipna: bool
    fill_value: Any
    nodata: Nodata | None = None
    anchors: NDArray[np.int64] | None = None
    repeats: tuple[int, ...] = ()

    # ------------------------------------------------------------------------------- how

    def at(self, slots: tuple[int, ...]) -> Reduction:
        """Give the same of an array that has its slots at other axes."""
        out = dataclasses.replace(self, slots=slots)
        if "_arranged" in self.__dict__:  # which takes its time, and does not depend on them
            out.__dict__["_arranged"] = self._arranged
        return out

    @cached_property
    def by_element(self) -> bool:
        """Whether contributions are told apart by the element that they fall on."""
        if self.hood.lists or not self.hood.parts:
            return bool(self.hood.lists)
        if getattr(self._kind, "flox", None) is None and self._arranged.product:
            return False
        return self.by_cell or self.takes_all

    @property
    def by_cell(self) -> bool:
        """Whether boxes are small, or each has a middle of its own."""
        return self.hood.width <= FEW_CELLS or (self.hood.ragged and self._kind.by == "central")

    @property
    def takes_all(self) -> bool:
        """Whether all contributions to a cell are looked at together."""
        return isinstance(self._kind, Stacked)

    @cached_property
    def _kind(self) -> r.Reducer:
        """The reducer of floats, which tells what it asks for."""
        return self._reducer(np.dtype(float), False)

    @cached_property
    def sampled(self) -> tuple[Factors, Factors]:
        """What values are multiplied by, and what that adds to the denominator."""
        return self.weights()

    @property
    def axes(self) -> tuple[int, ...]:
        """Which axes of the result were cut, in the order of the dims of the neighborhood."""
        if not self.hood.lists:
            return self.slots
        first, count = min(self.slots), len(self.hood.dims)
        return tuple(range(first, first + count))

    def _reducer(self, dtype: np.dtype, lone: bool) -> r.Reducer:
        """Choose the reducer; where no cell has two contributions values are placed bit by bit."""
        if lone and self.weights.plain and self.aggregation.linear and self.aggregation.normalize:
            return placing(r.Choose(dtype, self.skipna, "first"), self.nodata)
        return reading(self.aggregation.reducer, dtype, self.skipna, self.nodata)

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """Patches ranked by their labels, and those with the same label by their place."""
        ranks = np.arange(len(self.ordinals))
        if not (self.ordinals[1:] > self.ordinals[:-1]).all():
            ranks[np.argsort(self.ordinals, kind="stable")] = ranks.copy()
        return ranks

    def boxes(self, ordinals: NDArray[Any], labels: NDArray[Any]) -> bx.Boxes:
        """Give some patches as boxes."""
        where = self._arranged if ordinals is self.ordinals else arranged(self.hood, ordinals)
        return bx.Boxes.of(self.hood, self.slots, where, labels, *self.sampled)

    @cached_property
    def _arranged(self) -> Arrangement:
        return arranged(self.hood, self.ordinals)

    def group(self, ordinals: NDArray[Any], labels: NDArray[Any]) -> Group:
        """Give some patches as they are merged by elements."""
        needs = self._kind.by == "central" or getattr(self._kind, "needs_offsets", False)
        far = offsets(self.hood) if needs else None
        own = self.anchors[ordinals] if self.anchors is not None else None
        return Group(self.hood.take(ordinals), labels, *self.sampled, far, own)

    def _group(self, which: slice) -> Group:
        """Give some patches; all of them are kept, because their elements are asked for twice."""
        some = which.stop - which.start < len(self.ordinals)
        return self.group(self.ordinals[which], self.ranks[which]) if some else self._all

    @cached_property
    def _all(self) -> Group:
        return self.group(self.ordinals, self.ranks)

    @cached_property
    def every(self) -> bx.Boxes:
        """All patches, as boxes."""
        return self.boxes(self.ordinals, self.ranks)

    # ----------------------------------------------------------------------------- cover

    @cached_property
    def cover(self) -> bx.Cover:
        """The sum of the masses on the domain."""
        if self.hood.lists:
            return self._cover.reshape(self.hood.shape)
        return domain_cover(self.every)

    @cached_property
    def covers(self) -> tuple[bool, bool]:
        """Whether every cell is covered, and whether none has two contributions."""
        return decided(self.cover) if self.by_element else coverage(self.every)

    @property
    def binary(self) -> bool:
        """Whether every mass is zero or one."""
        masses = self.sampled[1]
        return masses.plain if self.hood.lists else masses.binary

    @cached_property
    def _cover(self) -> NDArray[np.float64]:
        """Sum the mass over the patches, for each element."""
        hood, n = self.hood, len(self.ordinals)
        every = n == len(hood) and bool((np.diff(self.ordinals) > 0).all())
        if hood.product and every and len(hood.parts) > 1:  # each part on its own
            total = np.ones(1)
            for part, mass in zip(hood.parts, self.sampled[1], strict=True):
                alone = Neighborhood((part,))
                group = Group(alone, np.arange(len(part)), Factors((None,)), Factors((mass,)))
                total = np.multiply.outer(total, group.cover()).reshape(-1)
            return total
        if self.binary and len(hood.parts) == 1:
            return hood.lists[0].cover(hood.entries(self.ordinals)[0])
        total = np.zeros(math.prod(hood.shape))
        for which in self._batches():
            total += self._group(which).cover()
        return total

    def _batches(self) -> list[slice]:
        """Cut the patches into runs of which at most so many slots, or members, are looked at."""
        hood, slots = self.hood, self.hood.width
        if len(hood.parts) == 1 and hood.lists:  # no table is made of them
            slots = 1 + len(hood.lists[0].elements) // max(1, len(hood.lists[0]))
        step = max(1, BATCH // max(1, slots))
        return [slice(a, a + step) for a in range(0, max(1, len(self.ordinals)), step)]

    def _planned(
        self, dtype: np.dtype, covers: Callable[[], tuple[bool, bool]], present: Any = None
    ) -> tuple[r.Reducer, Fill]:
        """Choose the reducer, and what is written in uncovered cells; not all need ask ``covers``."""
        if isinstance(self._kind, r.Choose) and self.nodata is None:
            picks = self._reducer(dtype, False)
            if picks.leaves_missing and self._filling(picks)[1] is None:
                return picks, Fill(None, picks.final, picks)
        full, lone = covers()
        reducer = self._reducer(dtype, lone and self.binary)
        if self.aggregation.covers_zero or (full and present is None):
            return reducer, Fill(None, reducer.final, reducer)
        final, value = self._filling(reducer)
        return reducer, Fill(value, final, reducer)

    def _filling(self, reducer: r.Reducer) -> tuple[np.dtype, Any]:
        """Give the dtype that holds what is written in uncovered cells, and that; None: it is there."""
        final, value = filling(reducer.final, self.fill_value, self.nodata)
        alone = reducer.leaves_missing and reducer.reading is None and final == reducer.final
        return final, None if alone and value != value else value

    def _asked(self, reducer: r.Reducer, fill: Fill) -> bx.Cover:
        """Give the cover, or an empty list where nothing depends on it: it takes time for listed boxes."""
        return self.cover if fill.value is not None or isinstance(reducer, r.WeightedMean) else []

    # --------------------------------------------------------------------------- in memory

    def repeated(self, patches: NDArray[Any]) -> NDArray[Any]:
        """Let each coarse slot stand for all of its cells."""
        for axis, factor in zip(self.slots, self.repeats, strict=False):
            patches = patches if factor == 1 else np.repeat(patches, factor, axis + 1)
        return patches

    def in_memory(self, patches: NDArray[Any]) -> NDArray[Any]:
        """Merge a NumPy array; coarse patches, which become many times as large, some at a time."""
        factor = math.prod(self.repeats)
        if factor > 1 and patches.nbytes * factor > REPEATED_BYTES:
            import dask.array as da

            rows = max(1, REPEATED_BYTES // (patches[:1].nbytes * factor))
            lazily = da.from_array(patches, (rows, *patches.shape[1:]), name=False)
            whole: NDArray[Any] = self.chunked(lazily, [(n,) for n in self.hood.shape]).compute()
            return whole
        patches = self.repeated(patches)
        if (own := self._at_anchors(patches)) is not None:
            return own
        reducer, fill = self._planned(patches.dtype, lambda: decided(self.cover))
        if self.by_element and not self._overwrites(patches, reducer):
            return self._of_elements(patches, reducer, fill)
        boxes, threads = self.every, available_threads()
        if isinstance(reducer, Stacked):
            shape = list(patches.shape[1:])
            for axis, n in zip(self.slots, self.hood.shape, strict=True):
                shape[axis] = n
            if isinstance(reducer, Modeled) and isinstance(self.aggregation, Learned):
                look = partial(reduce_stacked, patches, boxes)
                target = self._target(tuple(shape))
                reducer = fitted_model(self.aggregation, reducer, self.hood.shape, look, target)
                fill = dataclasses.replace(fill, reducer=reducer)
            merged = reduce_stacked(patches, boxes, reducer)
        else:
            total = boxes.add(patches, reducer, whole=True, threads=threads)
            cover = self._asked(reducer, fill)
            merged = finished(fold(total, boxes, reducer), cover, self.axes, reducer)
        return fill(merged, self.axes, self._asked(reducer, fill))

    def _overwrites(self, patches: NDArray[Any], reducer: r.Reducer) -> bool:
        """Whether boxes are merged by writing one over the other, which needs no elements."""
        picks = isinstance(reducer, r.Choose) and reducer.by in ("first", "last")
        if self.hood.lists or self.every.folded or not picks or reducer.reading is not None:
            return False
        return not (reducer.skips(patches.dtype) and dtypes.has_nan(patches))

    def _at_anchors(self, patches: NDArray[Any]) -> NDArray[Any] | None:
        """Give each element the value of its own patch, which is the most central one of all."""
        if self.anchors is None:
            return None
        reducer = self._reducer(patches.dtype, False)
        if reducer.by != "central" or reducer.reading is not None:
            return None
        (part,), at = self.hood.lists, self.anchors[self.ordinals]
        n = math.prod(self.hood.shape)
        if len(at) != n or part.at is not None or not self.binary:
            return None
        if bool((np.bincount(at[at >= 0], minlength=n) != 1).any()):
            return None
        entries = self.hood.entries(self.ordinals)[0]
        first = part.offsets[entries]
        if not part.counts[entries].all() or (part.elements[first] != at).any():
            return None  # its element may come after others
        values = patches.take(0, axis=1 + self.slots[0])
        if reducer.skips(values.dtype) and dtypes.has_nan(values):
            return None
        out = np.empty_like(values)
        out[at] = values
        full = np.moveaxis(out, 0, self.slots[0])
        shape = (*full.shape[: self.slots[0]], *self.hood.shape, *full.shape[self.slots[0] + 1 :])
        placed: NDArray[Any] = full.reshape(shape)
        return placed

    def _of_elements(self, patches: NDArray[Any], reducer: r.Reducer, fill: Fill) -> NDArray[Any]:
        place, n, shape = min(self.slots), math.prod(self.hood.shape), self.hood.shape
        batches = self._batches()
        if len(batches) == 1 or isinstance(reducer, Stacked):
            given = self._all.contributions(patches, place)
            if isinstance(reducer, Modeled) and isinstance(self.aggregation, Learned):
                target = self._target((*given.shape[:place], *shape, *given.shape[place:]))
                if target is not None:
                    flat = target.reshape(*given.shape[:place], n, *given.shape[place:])
                    target = np.moveaxis(flat, place, 0).reshape(n, -1)
                look = partial(el.reduce, given, n)
                cells = (n, given.values.shape[1])
                reducer = fitted_model(self.aggregation, reducer, cells, look, target)
            cover = self._asked(reducer, fill)
            merged = el.reduce(given, n, reducer, outer(cover).ravel())
        else:
            groups = ((self._group(b), patches[b]) for b in batches)
            parts = (el.added(g.contributions(rows, place), reducer) for g, rows in groups)
            width = math.prod(patches.shape[1:]) // self.hood.width
            merged, _ = el.put_together(parts, n, width, reducer)
        slots = len(self.hood.inner)
        others = (*patches.shape[1 : 1 + place], *patches.shape[1 + place + slots :])
        full = np.moveaxis(merged.reshape(n, *others), 0, place)
        full = full.reshape(*others[:place], *shape, *others[place:])
        return fill(full, self.axes, self._asked(reducer, fill))

    def _target(self, shape: tuple[int, ...]) -> NDArray[Any] | None:
        target = getattr(self.aggregation, "target", None)
        if target is None:
            return None
        values = as_floats(target)
        if values.shape != shape:
            raise ValueError(
                f"the target of Learned has shape {values.shape}, the merged field {shape}"
            )
        return values

    # -------------------------------------------------------------------------------- dask

    def chunked(self, patches: Any, chunks: Sequence[Sequence[int]], present: Any = None) -> Any:
        """Merge a dask array, but for the patches that are not ``present``."""
        from dask.base import tokenize

        if isinstance(self.aggregation, Learned) and self.aggregation.fits:
            return self._whole(patches, chunks, present)

        reducer, fill = self._planned(patches.dtype, lambda: self.covers, present)
        token = tokenize(
            self.hood.identity,
            self.ordinals,
            self.slots,
            (self.weights.analysis, self.weights.synthesis, self.weights.crop, self.weights.scale),
            self.aggregation,
            self.skipna,
            self.fill_value,
            self.nodata,
            self.repeats,
        )
        job = dataclasses.replace(self, ordinals=self.ordinals[:0])  # which stand in the tasks
        merger = InChunks(job, reducer, fill, self.by_element or self.takes_all)
        return merge(patches, merger, self.ordinals, self.ranks, chunks, token, present)

    def _whole(self, patches: Any, chunks: Sequence[Sequence[int]], present: Any) -> Any:
        """Merge in one task, for models that are fitted on all contributions at once."""
        import dask
        import dask.array as da

        others = [n for k, n in enumerate(patches.shape[1:]) if k not in self.slots]
        blocks = [c for k, c in enumerate(patches.chunks[1:]) if k not in self.slots]
        sizes = dict(zip(self.axes, self.hood.shape, strict=True))
        ndim = len(others) + len(sizes)
        free, cut = iter(others), dict(zip(self.axes, chunks, strict=True))
        shape = tuple(sizes[k] if k in sizes else next(free) for k in range(ndim))
        own = iter(blocks)
        out = [tuple(cut[k]) if k in cut else next(own) for k in range(ndim)]
        merged = dask.delayed(self._of_present)(patches, present)
        return da.from_delayed(merged, shape, dtypes.average(patches.dtype)).rechunk(tuple(out))

    def _of_present(self, patches: NDArray[Any], present: NDArray[Any] | None) -> NDArray[Any]:
        if present is None:
            return self.in_memory(patches)
        job = dataclasses.replace(self, ordinals=self.ordinals[present])
        return job.in_memory(patches[present])
