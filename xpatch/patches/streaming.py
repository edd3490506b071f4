"""A reduction of patches that come batch by batch: one state is held, and nothing of what was added.

The states are those of the blocks of a merge on dask, of which there is one here that all batches go
into. What order statistics are made of is kept, in memory or on disk.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import boxes as bx
from xpatch.engine import dtypes
from xpatch.engine import elements as el
from xpatch.engine import reducers as r
from xpatch.engine.arrangement import Arrangement
from xpatch.engine.tiles import along, decided, finished, fold
from xpatch.patches.in_chunks import Fill
from xpatch.patches.reduction import Reduction

BLOCK_BYTES = 1 << 25  # of patches on disk that are read at a time
TURN = 31  # bits for the turn in which a patch came, behind its label


class Streamed(Reduction):
    """A reduction as one batch sees it, or at last all that came."""

    @classmethod
    def of(cls, job: Reduction) -> Streamed:
        """Take over what a reduction of a merge says."""
        return cls(**{f.name: getattr(job, f.name) for f in dataclasses.fields(job)})

    def some(self, ordinals: NDArray[Any]) -> Streamed:
        """Give the same for other patches; windows are sampled once."""
        out = dataclasses.replace(self, ordinals=ordinals)
        out.__dict__["sampled"] = self.sampled
        return out

    @property
    def listed(self) -> bool:
        """Whether a row for each contribution is made: members of lists, and small boxes."""
        return bool(self.hood.lists) or self.by_cell

    @property
    def places(self) -> bool:
        """Whether contributions that have a cell alone are taken as they are."""
        plain = self.weights.plain
        return plain and self.aggregation.linear and self.aggregation.normalize and self.binary

    def alone(self) -> bool:
        """Whether no cell has two contributions of these patches."""
        return self.places and decided(self.cover)[1]

    def reducer_of(self, dtype: np.dtype, alone: bool) -> r.Reducer:
        """Choose the reducer."""
        return self._reducer(dtype, alone)

    # ------------------------------------------------------------------------------- shapes

    @property
    def together(self) -> tuple[int, ...]:
        """Axes side by side, on which slots are looked at element by element."""
        first = min(self.slots)
        return tuple(range(first, first + len(self.slots)))

    def gathered(self, patches: Any) -> Any:
        """Let the slots of patches stand side by side."""
        here, there = ([1 + k for k in axes] for axes in (self.slots, self.together))
        return patches if here == there else np.moveaxis(patches, here, there)

    def apart(self, merged: Any) -> Any:
        """Undo that in a result."""
        if self.hood.lists or self.slots == self.together:
            return merged
        return np.moveaxis(merged, self.together, self.slots)

    @property
    def region(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The first cells of what holds the domain and all boxes, and those behind it."""
        ends = [(p.starts, p.starts + p.size, p.n) for p in self.hood.slices]
        low = tuple(min(0, int(a.min(initial=0))) for a, _, _ in ends)
        return low, tuple(max(n, int(b.max(initial=0))) for _, b, n in ends)

    def others(self, patch: Sequence[int]) -> list[int]:
        """Give the sizes of a patch along which nothing was cut."""
        return [n for k, n in enumerate(patch) if k not in self.slots]

    def shape_of(self, patch: Sequence[int]) -> tuple[int, ...]:
        """Give the shape of a state."""
        if self.listed:
            return math.prod(self.hood.shape), math.prod(self.others(patch))
        shape = list(patch)
        for axis, a, b in zip(self.slots, *self.region, strict=True):
            shape[axis] = b - a
        return tuple(shape)

    def boxes_of(self, labels: NDArray[Any]) -> bx.Boxes:
        """Give these patches as boxes, each for itself."""
        each = Arrangement(tuple(map(np.asarray, self.hood.entries(self.ordinals))), None, False)
        return bx.Boxes.of(self.hood, self.slots, each, labels, *self.sampled)

    def mass(self, ndim: int) -> NDArray[Any]:
        """Sum the masses of these patches on the region, to stand beside a state."""
        cover = self.boxes_of(self.ordinals).listed(*self.region).cover()
        return along(cover, self.axes, ndim)

    # ------------------------------------------------------------------------------- adding

    def add(
        self,
        state: list[NDArray[Any]],
        patches: NDArray[Any],
        labels: NDArray[Any],
        reducer: r.Reducer,
    ) -> None:
        """Add patches to a state, in place."""
        patches = self.repeated(patches)
        if not self.listed:
            self.boxes_of(labels).listed(*self.region).add(patches, reducer, state=state)
            return
        group = self.group(self.ordinals, labels)
        part: Any = el.added(group.contributions(self.gathered(patches), min(self.slots)), reducer)
        views = [s[part.elements] for s in state]
        with np.errstate(invalid="ignore", over="ignore"):
            reducer.combine(views, part.state)
        for s, view in zip(state, views, strict=True):
            s[part.elements] = view

    # ----------------------------------------------------------------------------- finishing

    def finish(
        self,
        state: list[NDArray[Any]],
        reducer: r.Reducer,
        dtype: np.dtype,
        patch: Sequence[int],
    ) -> NDArray[Any]:
        """Give what the state of these patches comes to; it stays as it is."""
        planned, fill = self._planned(dtype, lambda: decided(self.cover))
        fill = Fill(fill.value, fill.dtype, reducer)
        asked = self._asked(planned, fill)
        with np.errstate(invalid="ignore"):  # of cells that nothing covers, written afterwards
            return fill(self._finished(state, reducer, patch), self.axes, asked)

    def _finished(
        self, state: list[NDArray[Any]], reducer: r.Reducer, patch: Sequence[int]
    ) -> NDArray[Any]:
        state = [s.copy() for s in state]
        if not self.listed:
            total = bx.Sum(self.region[0], state, [])
            cover = self.cover if len(state) == 1 and isinstance(reducer, r.WeightedMean) else []
            folded = fold(total, self.boxes_of(self.ordinals), reducer)
            return finished(folded, cover, self.axes, reducer)
        place = min(self.slots)
        others = self.others(patch)
        merged = np.moveaxis(reducer.finish(state).reshape(-1, *others), 0, place)
        full = merged.reshape(*others[:place], *self.hood.shape, *others[place:])
        found: NDArray[Any] = self.apart(full)
        return found


class Summed:
    """The state of one variable, of an aggregation that combines.

    Parameters
    ----------
    job : Streamed
        The reduction, of the patches that are expected.
    patch : tuple of int
        Shape of a patch.
    dtype : dtype
        Of the patches.
    """

    def __init__(self, job: Streamed, patch: tuple[int, ...], dtype: np.dtype):
        self.job, self.patch, self.dtype = job, patch, dtype
        self.placing = job.alone()
        self.reducer = job.reducer_of(dtype, self.placing)
        sums = isinstance(self.reducer, r.WeightedMean) and not job.listed
        self.lean = sums  # the sum alone, as long as nothing was missing
        self.state = self._adding().start(job.shape_of(patch))

    def _adding(self) -> r.Reducer:
        if self.lean and isinstance(self.reducer, r.WeightedMean):
            return self.reducer.plain()
        return self.reducer

    def add(self, patches: NDArray[Any], ordinals: NDArray[Any], before: Before) -> None:
        """Add patches; ``before`` says which there were."""
        if self.placing and before.again:
            self._sum_up()
        skips = self.lean and self.reducer.skips(self.dtype)
        if skips and dtypes.has_nan(self.reducer.read(patches)):
            self._spell_out(before())
        labels = ordinals
        if self.reducer.by == "last":  # of equal labels the one that comes last
            labels = (ordinals << TURN) + before.count + np.arange(len(ordinals))
        self.job.some(ordinals).add(self.state, patches, labels, self._adding())

    def _sum_up(self) -> None:
        """Go on with sums where contributions were placed, one to a cell."""
        values, key = self.state
        there = key != r.Choose.LAST
        self.placing = False
        self.reducer = self.job.reducer_of(self.dtype, False)
        self.state = self.reducer.start(values.shape)
        known = np.where(there, values, np.zeros((), values.dtype))
        self.reducer.update(self.state, self.reducer.read(known), r.How(there))

    def _spell_out(self, ordinals: NDArray[Any]) -> None:
        """Let the mass stand beside the sum, as it was before anything was missing."""
        self.lean = False
        (total,) = self.state
        real = self.reducer.start((0,) * total.ndim)[1].dtype
        mass = self.job.some(ordinals).mass(total.ndim)
        self.state = [total, np.broadcast_to(mass, total.shape).astype(real)]

    def result(self, ordinals: NDArray[Any], chunks: Callable[[], Any]) -> NDArray[Any]:
        """Give the merge of all that came."""
        return self.job.some(ordinals).finish(self.state, self.reducer, self.dtype, self.patch)


class Kept:
    """The contributions of one variable, of an aggregation that looks at all of them together."""

    def __init__(self, job: Streamed, patch: tuple[int, ...], dtype: np.dtype, file: Path | None):
        job.reducer_of(dtype, False)  # which refuses what cannot be ranked
        self.job, self.patch, self.dtype, self.file = job, patch, dtype, file
        self.rows: list[NDArray[Any]] = []
        self.nbytes = 0

    def add(self, patches: NDArray[Any], ordinals: NDArray[Any], before: Before) -> None:
        """Keep patches."""
        if self.file is not None:
            with self.file.open("ab") as stream:
                stream.write(np.ascontiguousarray(patches).tobytes())
            return
        self.rows.append(own := compact(patches))
        self.nbytes += held(own)

    def result(self, ordinals: NDArray[Any], chunks: Callable[[], Any]) -> Any:
        """Give the merge of all that came; of what is on disk lazily."""
        job = self.job.at(self.job.together)
        if self.file is None:
            rows = self.job.gathered(np.concatenate(self.rows))
            return self.job.apart(dataclasses.replace(job, ordinals=ordinals).in_memory(rows))
        shape = (len(ordinals), *self.patch)
        lazily, order = on_disk(self.file, shape, self.dtype, job.hood, ordinals, chunks())
        job = dataclasses.replace(job, ordinals=ordinals[order])
        return self.job.apart(job.chunked(self.job.gathered(lazily), chunks()))


class Before:
    """Which patches came before a batch.

    Parameters
    ----------
    batches : list of int64 array
        Their ordinals, batch by batch.
    again : bool
        Whether one of the batch, or of those, came twice or was not expected.
    """

    def __init__(self, batches: list[NDArray[np.int64]], again: bool):
        self.batches, self.again = batches, again

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(map(len, self.batches))

    def __call__(self) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(0, np.int64), *self.batches])


def stream_of(job: Streamed, patch: tuple[int, ...], dtype: np.dtype, file: Path | None) -> Any:
    """Give what holds the patches of one variable."""
    if job.takes_all:
        return Kept(job, patch, dtype, file)
    return Summed(job, patch, dtype)


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """Copy an array; an axis along which it repeats still takes no memory."""
    once = tuple(slice(0, 1) if s == 0 else slice(None) for s in values.strides)
    return np.broadcast_to(values[once].copy(), values.shape)


def held(values: NDArray[Any]) -> int:
    """Count the bytes of an array without what it repeats."""
    each = zip(values.shape, values.strides, strict=True)
    return math.prod([int(values.itemsize), *(n for n, stride in each if stride)])


def on_disk(
    file: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    hood: Any,
    ordinals: NDArray[Any],
    chunks: Sequence[Sequence[int]],
) -> tuple[Any, NDArray[np.intp]]:
    """Give patches of a file as a dask array, neighbors in one block, and their places in the file."""
    import dask
    import dask.array as da

    from xpatch.engine.chunked_gather import chunk_order

    most = max(1, BLOCK_BYTES // max(1, dtype.itemsize * math.prod(shape[1:])))
    known, which = np.unique(ordinals, return_inverse=True)
    rows = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    groups = chunk_order(hood, chunks, known, most) if len(known) else []
    blocks = [np.concatenate([rows[k] for k in np.searchsorted(known, g)]) for g in groups]

    def read(block: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.memmap(file, dtype, "r", shape=shape)[block])

    parts = [
        da.from_delayed(dask.delayed(read, pure=False)(b), (len(b), *shape[1:]), dtype)
        for b in blocks
    ]
    if not parts:
        return da.zeros(shape, dtype=dtype), np.zeros(0, np.intp)
    return da.concatenate(parts), np.concatenate(blocks)
