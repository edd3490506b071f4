"""Homes: the stored chunk that each patch starts in, so that patches of one chunk can be loaded together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.core import indexing

from xpatch.engine.chunked_gather import chunk_order
from xpatch.engine.joined import Joined
from xpatch.engine.lazy import Deferred, Rows, Turned, rows_of

RUN = 64  # lists of members that follow each other: as a rule they lie close to each other

Homes = NDArray[np.intp]


def homes_of(array: Any, axis: int) -> Homes | None:
    """Number the stored chunks that the patches along ``axis`` start in; None if that is not known."""
    found = _patches(array, axis)
    if found is None:
        return None
    inner, rows = found
    if isinstance(inner, Joined):
        return _of_parts(inner, rows)
    own = _of_rows(inner.make, inner.ordinals) if rows_of(inner) is not None else None
    return None if own is None else _counted(own[rows])


def _patches(array: Any, axis: int) -> tuple[Any, NDArray[np.intp]] | None:
    """Look through what indexes and turns an array of patches: what makes them, and which they are."""
    rows = np.arange(array.shape[axis])
    while not isinstance(array, Deferred | Joined):
        if isinstance(array, indexing.LazilyIndexedArray):
            kept = [k for k, part in enumerate(array.key.tuple) if not _is_number(part)]
            axis = kept[axis]
            rows = np.arange(array.array.shape[axis])[array.key.tuple[axis]][rows]
        elif isinstance(array, Turned):
            axis = array.axes[axis]
        elif isinstance(array, indexing.LazilyVectorizedIndexedArray):
            return None
        if not hasattr(array, "array"):
            return None
        array = array.array
    return (array, rows) if axis == 0 else None


def _is_number(key: Any) -> bool:
    return not isinstance(key, slice) and np.ndim(key) == 0


def _of_parts(joined: Joined, rows: NDArray[np.intp]) -> Homes | None:
    parts = [homes_of(part, 0) for part in joined.parts]
    if all(part is None for part in parts):
        return None
    out, first = [], 0
    for part, n in zip(parts, np.diff(joined.edges).tolist(), strict=True):
        own = np.arange(n) if part is None else part  # in memory each patch is as near as any
        out.append(own + first)
        first += int(own.max(initial=-1)) + 1
    return _counted(np.concatenate(out)[rows])


def _of_rows(rows: Rows, ordinals: NDArray[Any]) -> Homes | None:
    hood = rows.cut.hood
    if hood.lists:
        return np.arange(len(ordinals)) // RUN
    if not rows.stored:
        return None
    every, place = np.unique(ordinals, return_inverse=True)
    home = np.empty(len(hood), np.intp)
    for k, group in enumerate(chunk_order(hood, rows.stored, every)):
        home[group] = k
    found: Homes = home[every][place.ravel()]
    return found


def _counted(homes: Homes) -> Homes:
    """Number them from 0 on, those alone that there are."""
    found: Homes = np.unique(homes, return_inverse=True)[1].ravel()
    return found
