"""Gather, put off: patches and labels that are computed when they are indexed."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from xpatch.engine.buffers import available_threads
from xpatch.engine.cut import Cut
from xpatch.engine.gather import needs_whole_axes, padded
from xpatch.engine.joined import Joined, outer, read
from xpatch.engine.reading import listed
from xpatch.engine.regions import Piece, bounds_of, spans_of

BLOCK_BYTES = 1 << 26  # of patches that are cut at a time before they are made smaller
CROWDED = 4  # reading the region around some patches pays up to this many times their cells


class Selected(indexing.LazilyIndexedArray):
    """An array that is made when it is looked at. Pickled, a part of it does not take the whole along."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        whole = self.array
        if isinstance(whole, Deferred) and self.size < math.prod(whole.shape):
            source = whole.make.source if isinstance(whole.make, Rows) else None
            if isinstance(source, np.ndarray) and self.size * whole.dtype.itemsize < source.nbytes:
                return np.asarray, (self.get_duck_array(),)
        return super().__reduce_ex__(protocol)

    def __copy__(self) -> Selected:  # which else goes by what is pickled
        return Selected(self.array, self.key)

    def __deepcopy__(self, memo: object) -> Selected:
        return copy.copy(self)


def lazily(array: BackendArray) -> indexing.LazilyIndexedArray:
    """Wrap so that xarray indexes without reading."""
    return Selected(array)


class Deferred(BackendArray):
    """An array of patches whose rows are made by ``make(ordinals)``. Copies are itself."""

    def __init__(
        self,
        make: Callable[[NDArray[Any]], NDArray[Any]],
        ordinals: NDArray[Any],
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

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        first = key[0]
        wanted = self.ordinals[first]
        make, cells = self.make, key[1:]
        if isinstance(make, Rows):
            make, cells = make.narrowed(cells)
        try:
            rows = make(np.atleast_1d(wanted))
        except Exception as error:
            labels = listed(np.atleast_1d(wanted).tolist())
            error.add_note(f"raised for the patches with labels {labels}")
            raise
        if np.ndim(wanted) == 0:
            rows = rows[0]
            return outer(rows, cells)
        return outer(rows, (slice(None), *cells))

    def __copy__(self) -> Deferred:
        return self

    def __deepcopy__(self, memo: object) -> Deferred:
        return self


class Turned(BackendArray):
    """An array of which nothing was read, with its axes in another order. Copies are itself."""

    def __init__(self, array: Any, axes: tuple[int, ...]):
        self.array, self.axes = array, axes
        self.shape = tuple(array.shape[k] for k in axes)
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        values = read(self.array, tuple(key[self.axes.index(k)] for k in range(len(key))))
        kept = [
            k
            for k, part in zip(self.axes, key, strict=True)
            if np.ndim(part) or isinstance(part, slice)
        ]
        return values.transpose([sorted(kept).index(k) for k in kept])

    def __copy__(self) -> Turned:
        return self

    def __deepcopy__(self, memo: object) -> Turned:
        return self


class Rows:
    """Makes patches of a field that may still be on disk: reads the region around them once.

    Parameters
    ----------
    source : array or Stored
        The field.
    cut : Cut
        How patches are made of it.
    stored : sequence of tuple of int, optional
        Sizes of the stored chunks along the cut dimensions; while chunks are kept these are read
        whole.
    """

    def __init__(self, source: Any, cut: Cut, stored: Sequence[Sequence[int]] = ()):
        self.source, self.cut = source, cut
        self.stored = tuple(map(tuple, stored))
        self.kept: Kept | None = None
        self.extended: tuple[NDArray[Any], Cut] | None = None

    @property
    def in_memory(self) -> bool:
        """Whether the field is in memory."""
        return isinstance(self.source, np.ndarray)

    def __call__(self, ordinals: NDArray[Any]) -> NDArray[Any]:
        ordinals = np.asarray(ordinals)
        if self._needs_all(ordinals):
            array, cut = self._extended()
            return cut.out_of(array, ordinals)
        if self.in_memory:
            return self._in_batches(ordinals)
        if not len(ordinals):  # some readers cannot read nothing
            shape = [0 if k in self.cut.axes else n for k, n in enumerate(self.source.shape)]
            return self.cut.out_of(np.empty(shape, self.source.dtype), ordinals)
        low, high = self.cut.hood.reach(ordinals)
        around = np.prod(np.subtract(high, low), dtype=float)
        if around <= CROWDED * len(ordinals) * self.cut.hood.fine.width or self.cut.hood.lists:
            return self._region(ordinals)
        return np.concatenate([self._region(ordinals[k : k + 1]) for k in range(len(ordinals))])

    def narrowed(self, key: tuple[Any, ...]) -> tuple[Rows, tuple[Any, ...]]:
        """Read no more along axes that are not cut than ``key`` asks for; gives what is left to index."""
        if self.in_memory or self.kept is not None:
            return self, key
        rest, cells = list(key), {}
        for at, d in enumerate(self.cut.patch_dims):
            k = self.cut.dims.index(d) if d in self.cut.dims else -1
            if k < 0 or k in self.cut.axes or _is_whole(rest[at]):
                continue
            cells[k] = np.atleast_1d(np.arange(self.source.shape[k])[rest[at]])
            rest[at] = slice(None) if np.ndim(rest[at]) or isinstance(rest[at], slice) else 0
        if not cells or not all(map(len, cells.values())):  # some readers cannot read nothing
            return self, key
        return Rows(self.source.keeping(cells), self.cut), tuple(rest)

    def _in_batches(self, ordinals: NDArray[Any]) -> NDArray[Any]:
        """Cut in parts where patches are made smaller afterwards."""
        cut, threads = self.cut, available_threads()
        if not cut.hood.coarse:
            return cut.out_of(self.source, ordinals, threads)
        inner = [n for k, n in enumerate(self.source.shape) if k not in cut.axes]
        patch = math.prod(inner) * cut.hood.fine.width * cut.dtype.itemsize
        count = -(-len(ordinals) // max(1, BLOCK_BYTES // max(1, patch)))
        parts = np.array_split(ordinals, max(1, count))
        return np.concatenate([cut.out_of(self.source, part, threads) for part in parts])

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

    def _needs_all(self, ordinals: NDArray[Any]) -> bool:
        """Whether padding needs whole axes; if those are kept, they serve all patches."""
        hood = self.cut.hood
        if not len(ordinals) or not needs_whole_axes(hood.parts):
            return False
        if self.kept is not None or self.in_memory:
            return True
        low, high = hood.reach(ordinals)
        return any(a < 0 or b > n for a, b, n in zip(low, high, hood.shape, strict=True))

    def _extended(self) -> tuple[NDArray[Any], Cut]:
        """Extend the whole field for all patches; a ramp depends on how far the farthest reaches."""
        if self.extended is not None:
            return self.extended
        whole = [slice(None)] * len(self.cut.axes)
        array = self.source if self.in_memory else self._read(whole)
        array, hood = padded(array, self.cut.dims, self.cut.hood, np.pad)
        extended = array, dataclasses.replace(self.cut, hood=hood)
        if self.kept is not None or self.in_memory:
            self.extended = extended
        return extended

    def _region(self, ordinals: NDArray[Any]) -> NDArray[Any]:
        """Cut patches that lie close to each other out of the region around them."""
        edges = self._edges()
        spans = spans_of(self.cut.hood, ordinals, edges)

        def fetch(pieces: Sequence[Piece]) -> tuple[NDArray[Any], Sequence[int]]:
            base = [int(e[p.chunk]) for e, p in zip(edges, pieces, strict=True)]
            if self.kept is not None:
                cells = [slice(o, o + p.size) for o, p in zip(base, pieces, strict=True)]
                chunk = tuple(p.chunk for p in pieces)
                with suppress(Exception):  # of a chunk that cannot be read a part may be
                    return self.kept(chunk, lambda: self._read(cells)), [0] * len(pieces)
            bounds = [bounds_of(p.source) for p in pieces]
            cells = [slice(o + a, o + b) for o, (a, b) in zip(base, bounds, strict=True)]
            return self._read(cells), [a for a, _ in bounds]

        return self.cut.out_of_parts(ordinals, spans, fetch)

    def _edges(self) -> list[NDArray[Any]]:
        """Give the borders between the parts that are read: stored chunks, or almost none.

        A periodic axis has two parts, so that patches across the seam read its ends alone.
        """
        if self.kept is not None and self.stored:
            return [np.concatenate([[0], np.cumsum(c)]) for c in self.stored]
        wrapped = {p.dim for p in self.cut.hood.slices if p.wrap and p.n > 1}
        axes = zip(self.cut.hood.dims, self.cut.hood.shape, strict=True)
        return [np.array([0, n // 2, n] if d in wrapped else [0, n]) for d, n in axes]

    def _read(self, cells: Sequence[slice]) -> NDArray[Any]:
        region = dict(zip(self.cut.axes, cells, strict=True))
        key = tuple(region.get(k, slice(None)) for k in range(len(self.source.shape)))
        found: NDArray[Any] = self.source.read(key)
        return found


class Kept:
    """The chunks that were read last, up to some bytes."""

    def __init__(self, limit: int):
        self.limit, self.bytes = limit, 0
        self.chunks: dict[Any, NDArray[Any]] = {}

    def __call__(self, which: Any, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
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
def keeping(
    arrays: Iterable[Any], limit: int, enough: Callable[[Rows], float] = lambda rows: math.inf
) -> Iterator[None]:
    """Keep stored chunks while patches are read from disk: up to ``limit`` bytes for all arrays.

    And no more than is ``enough`` for one of them.
    """
    parts = [part for array in arrays for part in parts_of(array)]
    found = [rows for part in parts if (rows := rows_of(part)) is not None]
    with ExitStack() as stack:
        for rows in found:
            stack.enter_context(rows.keeping(int(min(limit // len(found), enough(rows)))))
        yield


def apart(array: Any) -> Any:
    """Give a lazily indexed array that keeps chunks of its own; others are given as they are."""
    if isinstance(array, Joined):
        return Joined([apart(p) for p in array.parts], array.shape[1:], array.dtype, array.fills)
    if isinstance(array, Deferred) and isinstance(array.make, Rows):
        rows = Rows(array.make.source, array.make.cut, array.make.stored)
        return Deferred(rows, array.ordinals, array.shape[1:], array.dtype)
    if not hasattr(array, "array") or isinstance(array, np.ndarray):
        return array
    out = copy.copy(array)
    out.array = apart(array.array)
    return out


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


def _is_whole(key: Any) -> bool:
    return isinstance(key, slice) and key == slice(None)
