"""Arrangement: patches as an outer product of entries, in which patches may be missing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.distinct import distinct

SPARSE = 2  # a grid of windows up to so many times the patches is taken as one with holes


@dataclasses.dataclass(frozen=True, eq=False)
class Arrangement:
    """Windows of some patches as an outer product, in which patches may be missing.

    Parameters
    ----------
    entries : sequence of int array
        For each dimension the entries, in order; of patches that are no outer product those of each.
    position : int array, optional
        Where the patch of each window of the product stands, −1 where there is none; None: at its
        own number.
    product : bool
        Whether these are an outer product.
    """

    entries: tuple[NDArray[np.int64], ...]
    position: NDArray[np.int64] | None
    product: bool

    @property
    def full(self) -> bool:
        """Whether no patch of the product is missing."""
        return self.product and (self.position is None or bool((self.position >= 0).all()))


def arranged(hood: Any, ordinals: NDArray[Any]) -> Arrangement:
    """Find the smallest outer product of entries that holds the patches with ``ordinals``."""
    ordinals, n = np.asarray(ordinals), len(ordinals)
    grid, plain = tuple(map(len, hood.parts)), not any(p.ragged for p in hood.parts)
    if (
        plain
        and n
        and hood.picks is None
        and n == len(hood)
        and bool((np.diff(ordinals) == 1).all())
    ):
        return Arrangement(tuple(map(np.arange, grid)), None, True)
    entries = hood.entries(ordinals)
    if not plain:  # each window is of a size of its own
        return Arrangement(tuple(map(np.asarray, entries)), None, False)
    if hood.picks is None and n and bool((np.diff(ordinals) > 0).all()):
        runs = tuple(np.arange(e[0], e[-1] + 1) for e in entries)  # found without sorting
        if math.prod(map(len, runs)) == n and (ravel(runs, grid) == ordinals).all():
            return Arrangement(runs, None, True)
    # listed windows that start at the same cell are the same, whatever their number
    keys = [
        np.asarray(own) if hood.picks is None else part.starts[own]
        for part, own in zip(hood.parts, entries, strict=True)
    ]
    values = [distinct(k) for k in keys]
    size = math.prod(map(len, values))
    if n and size <= SPARSE * n:
        which = [np.searchsorted(v, k) for v, k in zip(values, keys, strict=True)]
        flat = ravel_each(which, list(map(len, values)))
        position = np.full(size, -1)
        position[flat] = np.arange(n)
        if (position[flat] == np.arange(n)).all():  # no window twice
            same = size == n and bool((position == np.arange(n)).all())
            kept = tuple(_first(own, w) for own, w in zip(entries, which, strict=True))
            return Arrangement(kept, None if same else position, True)
    return Arrangement(tuple(map(np.asarray, entries)), None, False)


def _first(entries: NDArray[Any], which: NDArray[Any]) -> NDArray[np.int64]:
    """Give the entry of the first patch that has the k-th start, for each k."""
    out = np.zeros(int(which.max()) + 1, np.int64)
    out[which[::-1]] = np.asarray(entries)[::-1]
    return out


def ravel(entries: Sequence[NDArray[Any]], grid: Sequence[int]) -> NDArray[np.int64]:
    """Give the ordinals of an outer product of entries."""
    out = np.zeros((), np.int64)
    for e, n in zip(entries, grid, strict=True):
        out = out[..., None] * n + e
    return out.ravel()


def ravel_each(entries: Sequence[NDArray[Any]], grid: Sequence[int]) -> NDArray[np.int64]:
    """Give the ordinals of patches, given the entries of each."""
    out = np.zeros(len(entries[0]), np.int64)
    for e, n in zip(entries, grid, strict=True):
        out = out * n + e
    return out
