"""Gather, put off: patches and labels that are computed when they are indexed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from xpatch.engine import memory
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
        rows = self.make(np.atleast_1d(wanted))
        if np.ndim(wanted) == 0:
            rows = rows[0]
            return _outer(rows, key[1:])
        return _outer(rows, (slice(None), *key[1:]))

    def __copy__(self) -> Deferred:
        return self

    def __deepcopy__(self, memo: object) -> Deferred:
        return self


def _outer(array: NDArray, key: tuple[Any, ...]) -> NDArray:
    """Index each axis on its own."""
    axis = 0
    for part in key:
        array = array[(slice(None),) * axis + (part,)]
        axis += 0 if np.ndim(part) == 0 and not isinstance(part, slice) else 1
    return array


class Rows:
    """Makes patches of a field that may still be on disk: reads each region once."""

    def __init__(
        self, source: Any, axes: Sequence[int], boxes: Boxes, finish: Callable | None = None
    ):
        self.source, self.axes, self.boxes, self.finish = source, tuple(axes), boxes, finish

    def __call__(self, ordinals: NDArray) -> NDArray:
        whole = len(ordinals) == len(self.boxes) and (ordinals == np.arange(len(ordinals))).all()
        boxes = self.boxes if whole else self.boxes.take(ordinals)
        if isinstance(self.source, np.ndarray):
            out = memory.gather(self.source, self.axes, boxes)
        else:
            out = self._from_disk(boxes)
        return out if self.finish is None else self.finish(out, boxes)

    def _from_disk(self, boxes: Boxes) -> NDArray:
        starts = boxes.starts()
        if not len(starts) or boxes.overhangs:
            return memory.gather(self._read({}), self.axes, boxes)
        low, high = starts.min(axis=0), starts.max(axis=0) + np.array(boxes.sizes)
        if np.prod(high - low) <= CROWDED * len(starts) * np.prod(boxes.sizes):
            region = dict(zip(self.axes, map(slice, low, high), strict=True))
            return memory.gather(self._read(region), self.axes, _moved(boxes, low, high - low))
        parts = []
        for start in starts:
            region = dict(zip(self.axes, map(slice, start, start + boxes.sizes), strict=True))
            parts.append(self._read(region))
        return np.stack(parts)

    def _read(self, region: dict[int, slice]) -> NDArray:
        ndim = len(self.source.shape)
        key = tuple(region.get(k, slice(None)) for k in range(ndim))
        array = self.source[indexing.BasicIndexer(key)]
        return np.asarray(array.get_duck_array() if hasattr(array, "get_duck_array") else array)


def _moved(boxes: Boxes, low: NDArray, shape: NDArray) -> Boxes:
    import dataclasses

    axes = tuple(a - o for a, o in zip(boxes.axes, low, strict=True))
    return dataclasses.replace(boxes, axes=axes, shape=tuple(int(n) for n in shape))
