"""Patches of several sets one after the other, without reading what is still on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable
from xarray.backends import BackendArray
from xarray.core import indexing


class Joined(BackendArray):
    """Arrays one after the other along their first axis; rows are read when they are indexed.

    Parameters
    ----------
    parts : sequence of array
        In memory or lazily indexed; the other axes may be shorter than those of the whole.
    inner : tuple of int
        Sizes of the other axes.
    dtype : dtype
        Of the whole.
    fills : sequence of scalar
        What stands where a part is shorter, for each.
    """

    def __init__(
        self, parts: Sequence[Any], inner: tuple[int, ...], dtype: np.dtype, fills: Sequence[Any]
    ):
        self.parts, self.fills = tuple(parts), tuple(fills)
        self.edges = np.cumsum([0, *(p.shape[0] for p in parts)])
        self.shape = (int(self.edges[-1]), *inner)
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        rows = np.arange(self.shape[0])[key[0]]
        wanted = np.atleast_1d(rows)
        part_of = np.searchsorted(self.edges, wanted, side="right") - 1
        pieces, order = [], []
        for k in dict.fromkeys(part_of.tolist()):
            mine = np.flatnonzero(part_of == k)
            pieces.append(self._rows(k, wanted[mine] - self.edges[k], key[1:]))
            order.append(mine)
        if not pieces:
            empty = np.empty((0, *self.shape[1:]), self.dtype)
            return outer(empty, (slice(None), *key[1:]))
        out = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        if len(pieces) > 1:
            out = out[np.argsort(np.concatenate(order))]
        return out[0] if np.ndim(rows) == 0 else out

    def _rows(self, k: int, rows: NDArray[Any], key: tuple[Any, ...]) -> NDArray[Any]:
        part = self.parts[k]
        short = part.shape[1:] != self.shape[1:]
        steps = np.diff(rows)
        run: Any = slice(int(rows[0]), int(rows[-1]) + 1) if (steps == 1).all() else rows
        whole = (slice(None),) * len(key)
        values = read(part, (run, *(whole if short else key)))
        if not short:
            return values.astype(self.dtype, copy=False)
        values = padded(values, self.shape[1:], self.dtype, self.fills[k])
        return outer(values, (slice(None), *key))

    def __copy__(self) -> Joined:
        return self

    def __deepcopy__(self, memo: object) -> Joined:
        return self


def read(array: Any, key: tuple[Any, ...]) -> NDArray[Any]:
    """Index each axis of an array, in memory or lazily indexed, on its own."""
    dims = [f"axis_{k}" for k in range(len(key))]
    return Variable(dims, array)[key].to_numpy()


def padded(
    values: NDArray[Any], inner: tuple[int, ...], dtype: np.dtype, fill: Any
) -> NDArray[Any]:
    """Fill the other axes up."""
    if values.shape[1:] == inner:
        return values.astype(dtype, copy=False)
    out = np.full((len(values), *inner), fill, dtype)
    out[tuple(map(slice, values.shape))] = values
    return out


def outer(array: NDArray[Any], key: tuple[Any, ...]) -> NDArray[Any]:
    """Index each axis on its own."""
    axis = 0
    for part in key:
        array = array[(slice(None),) * axis + (part,)]
        axis += 0 if np.ndim(part) == 0 and not isinstance(part, slice) else 1
    return array
