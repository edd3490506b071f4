"""Gather, put off: patches and labels that are computed when they are indexed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from xpatch.engine import memory
from xpatch.engine.joined import Joined, outer
from xpatch.engine.reading import listed
from xpatch.engine.regions import Piece, assembled, bounds_of, span_of, within
from xpatch.engine.threads import available_threads
from xpatch.neighborhood import Boxes

CROWDED = 4  # reading the region around some patches pays up to this many times their cells


def lazily(array: BackendArray) -> indexing.LazilyIndexedArray:
    """Wrap so that xarray indexes without reading."""
    return indexing.LazilyIndexedArray(array)


class Deferred(BackendArray):
    """An array of patches whose rows are made by ``make(ordinals)``. Copies are itself."""

    def __init__(
        self,
        make: Callable[[NDArray], NDArray],
        ordinals: NDArray,
        inner: tuple[int, ...],
        dtype: np.dtype,
    ):
        self.make = make
        self.ordinals = ordinals
        self.shape = (len(ordinals), *inner)
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> NDArray:
        first = key[0]
        wanted = self.ordinals[first]
        try:
            rows = self.make(np.atleast_1d(wanted))
        except Exception as error:
            labels = listed(np.atleast_1d(wanted).tolist())
            error.add_note(f"raised for the patches with labels {labels}")
            raise
        if np.ndim(wanted) == 0:
            rows = rows[0]
            return outer(rows, key[1:])
        return outer(rows, (slice(None), *key[1:]))

    def __copy__(self) -> Deferred:
        return self

    def __deepcopy__(self, memo: object) -> Deferred:
        return self


class Rows:
    """Makes patches of a field that may still be on disk: reads the region around them once.

    Parameters
    ----------
    source : array or Stored
        The field.
    axes : sequence of int
        Axes of ``source`` that are cut.
    boxes : Boxes
        All patches.
    finish : callable, optional
        What is done to patches, given them and their boxes.
    stored : sequence of tuple of int, optional
        Sizes of the stored chunks along ``axes``; while chunks are kept these are read whole.
    """

    def __init__(
        self,
        source: Any,
        axes: Sequence[int],
        boxes: Boxes,
        finish: Callable | None = None,
        stored: Sequence[Sequence[int]] = (),
    ):
        self.source, self.axes, self.boxes, self.finish = source, tuple(axes), boxes, finish
        self.stored = tuple(map(tuple, stored))
        self.kept: Kept | None = None
        self.extended: tuple[NDArray, Boxes] | None = None

    def __call__(self, ordinals: NDArray) -> NDArray:
        whole = len(ordinals) == len(self.boxes) and (ordinals == np.arange(len(ordinals))).all()
        boxes = self.boxes if whole else self.boxes.take(ordinals)
        if self._needs_all(boxes):
            array, every = self._extended()
            out = memory.gather(array, self.axes, every if whole else every.take(ordinals))
        elif isinstance(self.source, np.ndarray):
            out = memory.gather(self.source, self.axes, boxes, available_threads())
        else:
            out = self._from_disk(boxes)
        # some of the boxes may not overhang, and would keep a dtype that cannot hold the padding
        out = out.astype(memory.gather_dtype(self.source.dtype, self.boxes)[0], copy=False)
        return out if self.finish is None else self.finish(out, boxes)

    @contextmanager
    def keeping(self, limit: int) -> Iterator[None]:
        """Read stored chunks whole and keep the last ones, up to ``limit`` bytes.

        A field that is extended by whole axes is kept as it is, whatever it takes.
        """
        self.kept = Kept(limit)
        try:
            yield
        finally:
            self.kept = self.extended = None

    def _needs_all(self, boxes: Boxes) -> bool:
        """Whether padding needs whole axes; if those are kept, they serve all boxes."""
        if not len(boxes) or self.boxes.pad_mode in memory.INDEX_PADS:
            return False
        kept = self.kept is not None or isinstance(self.source, np.ndarray)
        return self.boxes.overhangs if kept else boxes.overhangs

    def _extended(self) -> tuple[NDArray, Boxes]:
        """Extend the whole field for all boxes; a ramp depends on how far the farthest reaches."""
        if self.extended is not None:
            return self.extended
        stored = not isinstance(self.source, np.ndarray)
        array = self._read([slice(None)] * len(self.axes)) if stored else self.source
        extended = memory.extended(array, self.axes, self.boxes, np.pad)
        if self.kept is not None or not stored:
            self.extended = extended
        return extended

    def _from_disk(self, boxes: Boxes) -> NDArray:
        if not len(boxes):
            shape = [0 if k in self.axes else n for k, n in enumerate(self.source.shape)]
            nothing = np.empty(shape, self.source.dtype)  # some readers cannot read nothing
            return memory.gather(nothing, self.axes, boxes)
        starts = boxes.starts()
        extent = starts.max(axis=0) - starts.min(axis=0) + boxes.sizes
        if np.prod(extent, dtype=float) <= CROWDED * len(starts) * np.prod(boxes.sizes):
            return self._region(boxes)
        parts = [self._region(boxes.take(np.array([k]))) for k in range(len(starts))]
        return np.concatenate(parts)

    def _region(self, boxes: Boxes) -> NDArray:
        """Cut boxes that lie close to each other out of the region around them."""
        _, fill = memory.gather_dtype(self.source.dtype, self.boxes)
        edges, spans = self._edges(), []
        for k, starts in enumerate(boxes.axes):
            first, last = int(starts.min()), int(starts.max()) + boxes.sizes[k]
            args = (boxes.shape[k], boxes.wrap[k], boxes.pad_mode, edges[k])
            spans.append(span_of(first, last, *args))

        def fetch(pieces: Sequence[Piece]) -> tuple[NDArray, Sequence[int]]:
            base = [int(e[p.chunk]) for e, p in zip(edges, pieces, strict=True)]
            if self.kept is None:
                bounds = [bounds_of(p.source) for p in pieces]
                cells = [slice(o + a, o + b) for o, (a, b) in zip(base, bounds, strict=True)]
                return self._read(cells), [a for a, _ in bounds]
            cells = [slice(o, o + p.size) for o, p in zip(base, pieces, strict=True)]
            chunk = tuple(p.chunk for p in pieces)
            return self.kept(chunk, lambda: self._read(cells)), [0] * len(pieces)

        return memory.gather(
            assembled(spans, self.axes, fetch, fill), self.axes, within(boxes, spans)
        )

    def _edges(self) -> list[NDArray]:
        """Give the borders between the parts that are read: stored chunks, or almost none.

        A periodic axis has two parts, so that patches across the seam read its ends alone.
        """
        if self.kept is not None and self.stored:
            return [np.concatenate([[0], np.cumsum(c)]) for c in self.stored]
        axes = zip(self.boxes.shape, self.boxes.wrap, strict=True)
        return [np.array([0, n // 2, n] if wrap and n > 1 else [0, n]) for n, wrap in axes]

    def _read(self, cells: Sequence[slice]) -> NDArray:
        region = dict(zip(self.axes, cells, strict=True))
        key = tuple(region.get(k, slice(None)) for k in range(len(self.source.shape)))
        return self.source.read(key)


class Kept:
    """The chunks that were read last, up to some bytes."""

    def __init__(self, limit: int):
        self.limit, self.bytes = limit, 0
        self.chunks: dict[Any, NDArray] = {}

    def __call__(self, which: Any, read: Callable[[], NDArray]) -> NDArray:
        chunk = self.chunks.pop(which, None)
        if chunk is None:
            chunk = read()
            self.bytes += chunk.nbytes
        self.chunks[which] = chunk  # the last used comes last
        while self.bytes > self.limit and len(self.chunks) > 1:
            oldest = next(iter(self.chunks))
            self.bytes -= self.chunks.pop(oldest).nbytes
        return chunk


@contextmanager
def keeping(arrays: Iterable[Any], limit: int) -> Iterator[None]:
    """Keep stored chunks while patches are read from disk: up to ``limit`` bytes for all arrays."""
    parts = [part for array in arrays for part in parts_of(array)]
    found = [rows for part in parts if (rows := rows_of(part)) is not None]
    with ExitStack() as stack:
        for rows in found:
            stack.enter_context(rows.keeping(limit // len(found)))
        yield


def rows_of(array: Any) -> Rows | None:
    """Find what makes the rows of a lazily indexed array; None if its data are not on disk."""
    while hasattr(array, "array"):
        array = array.array
    make = array.make if isinstance(array, Deferred) else None
    return make if isinstance(make, Rows) and not isinstance(make.source, np.ndarray) else None


def parts_of(array: Any) -> list[Any]:
    """Give the arrays that one was joined of, or it alone."""
    inner = array
    while hasattr(inner, "array"):
        inner = inner.array
    return (
        [p for part in inner.parts for p in parts_of(part)]
        if isinstance(inner, Joined)
        else [array]
    )
