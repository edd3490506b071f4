"""Merge by elements: one row for each contribution, grouped by the element that it falls on.

Sums are a sparse product; what is picked, counted or spread is grouped by flox; order statistics
stack the contributions of elements that have equally many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes
from xpatch.engine.central import ALONE, FAR, MEAN, central_key
from xpatch.engine.contributions import COLUMNS, Contributions
from xpatch.engine.dtypes import has_nan
from xpatch.engine.reducers import Reducer, WeightedMean
from xpatch.engine.stacked import Stacked

STACK_BYTES = 1 << 25


# ------------------------------------------------------------------------------------ reductions


def reduce(
    given: Contributions, n: int, reducer: Reducer, cover: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Merge contributions on ``n`` elements, (element, other); those without any hold anything.

    ``cover`` is the sum of their masses, where that is known.
    """
    given = _read(given, reducer)
    if isinstance(reducer, Stacked):
        return stacked(given, n, reducer)
    if isinstance(reducer, WeightedMean):
        total, below = sums(given, n, reducer, cover)  # the last may be the same for every column
        if reducer.leaves_missing:
            total /= dtypes.or_nan(below)
            return total.astype(reducer.dtype, copy=False)
        empty = below <= 0
        with np.errstate(invalid="ignore", divide="ignore"):  # of elements without any mass
            if reducer.normalize:
                total /= below
        null = dtypes.missing(total.dtype)
        if null is not None and empty.any():
            total[np.broadcast_to(empty, total.shape)] = null
        return total.astype(reducer.dtype, copy=False)
    return reducer.finish(state_of(given, n, reducer))


def _read(given: Contributions, reducer: Reducer) -> Contributions:
    if reducer.reading is None:
        return given
    return dataclasses.replace(given, values=reducer.read(given.values))


def state_of(given: Contributions, n: int, reducer: Any) -> list[NDArray[Any]]:
    """Add all contributions up in the state of ``reducer``."""
    if isinstance(reducer, WeightedMean):
        total, below = sums(given, n, reducer)
        return [total, np.broadcast_to(below, total.shape).copy()]
    if reducer.by == "central":
        assert given.radial is not None
        if given.squares is None:
            key = central_key(np.rint(given.radial * ALONE).astype(np.int64), given.labels)
        else:
            far = np.rint(given.radial * FAR).astype(np.int64) << 14
            key = central_key(far + np.rint(given.squares * MEAN).astype(np.int64), given.labels)
    else:
        key = -given.labels if reducer.by == "last" else given.labels
    with np.errstate(invalid="ignore", over="ignore"):
        state: list[NDArray[Any]] = reducer.grouped(given.values, given.elements, n, key)
    return state


def sums(
    given: Contributions, n: int, reducer: WeightedMean, cover: NDArray[Any] | None = None
) -> list[NDArray[Any]]:
    """Give the weighted sum of values and of weights, by a sparse product.

    The sum is made first, and contributions are masked only if it turns out to hold a NaN. Without
    one the weights are those of every column, shape (element, 1).
    """
    from scipy.sparse import csr_matrix

    start = reducer.start((0, 1))
    working, real = start[0].dtype, start[1].dtype
    values = given.values.astype(working, copy=False)
    m = len(given.elements)

    def added(weights: NDArray[Any] | None, what: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
        if what.shape[1] == 1 and what.dtype == dtype == np.float64:  # half the time of the product
            column = what[:, 0] if weights is None else what[:, 0] * weights
            return np.bincount(given.elements, column, minlength=n)[:, None]
        data = np.ones(m, dtype) if weights is None else weights.astype(dtype)
        spread = csr_matrix((data, given.elements, np.arange(m + 1)), shape=(m, n))
        return np.asarray(spread.T @ what)

    weight_dtype = working if working.kind in "iu" else np.empty(0, working).real.dtype
    with np.errstate(invalid="ignore", over="ignore"):
        total = added(given.weights, values, weight_dtype)
        if reducer.skipna and given.values.dtype.kind in "fc" and has_nan(total):
            valid = ~np.isnan(given.values)
            total = added(given.weights, np.where(valid, values, working.type(0)), weight_dtype)
            below = added(given.mass, valid.astype(real), real)
            return [total.astype(working, copy=False), below]
    if cover is None:
        cover = np.bincount(given.elements, given.mass, minlength=n)
    below = cover.astype(real)[:, None]
    return [total.astype(working, copy=False), below]


def stacked(given: Contributions, n: int, reducer: Stacked) -> NDArray[Any]:
    """Stack the contributions of elements that have equally many of them."""
    width = given.values.shape[1]
    out = np.zeros((n, width), reducer.dtype)
    if reducer.flox is not None:
        out[...] = reducer.grouped(given.values, given.elements, n, given.labels)[0]
        return out
    null_out = dtypes.missing(out.dtype)
    order = np.argsort(given.elements, kind="stable")
    ordered = given.elements[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)])
    depth = np.diff(np.append(first, len(ordered)))
    by_depth = np.argsort(depth, kind="stable")
    counts = np.bincount(depth) if len(depth) else np.zeros(0, int)
    begin = np.concatenate([[0], np.cumsum(counts)])
    for d in np.flatnonzero(counts):
        most = max(1, STACK_BYTES // max(1, d * width * reducer.working.itemsize))
        for low in range(int(begin[d]), int(begin[d + 1]), most):
            runs = first[by_depth[low : min(low + most, int(begin[d + 1]))]]
            rows = order[runs + np.arange(d)[:, None]]  # (slot, element)
            where = ordered[runs]
            values = given.values[rows].astype(reducer.working, copy=False)
            null = dtypes.isnull(values)
            count = np.full(values.shape[1:], d, np.int32)
            if null is not None and null.any():
                values = np.where(null, reducer.absent, values)
                count = count - null.sum(axis=0, dtype=np.int32)
            offsets = None
            if reducer.needs_offsets and given.radial is not None:
                offsets = np.broadcast_to(given.radial[rows][None, :, :, None], (1, *values.shape))
                offsets = offsets if null is None else np.where(null[None], np.nan, offsets)
            result = reducer.reduce(values, count, offsets, (where, slice(None)))
            if null_out is not None:
                lost = count == 0
                if null is not None and not reducer.skipna:
                    lost |= null.any(axis=0)
                result[lost] = null_out
            out[where] = result
    return out


# ---------------------------------------------------------------------------------- in parts


@dataclasses.dataclass(frozen=True, eq=False)
class Touched:
    """What patches add up to on the elements that they touch."""

    elements: NDArray[np.int64]  # in order, none twice
    state: list[NDArray[Any]]  # (element, other)

    def take(self, which: NDArray[Any]) -> Touched:
        """Keep some of the elements."""
        return Touched(self.elements[which], [s[which] for s in self.state])


def added(given: Contributions, reducer: Reducer) -> Contributions | Touched:
    """Add contributions up, on the elements that they touch; order statistics keep them."""
    if isinstance(reducer, Stacked):
        return given
    touched, local = compact(given.elements)
    given = _read(dataclasses.replace(given, elements=local), reducer)
    return Touched(touched, state_of(given, len(touched), reducer))


def compact(elements: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the different elements, in order, and which of these each is."""
    if not len(elements):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    low = int(elements.min())
    n = int(elements.max()) + 1 - low
    if n > 4 * len(elements):
        touched, local = np.unique(elements, return_inverse=True)
        return touched, local.reshape(-1)
    there = np.zeros(n, bool)
    there[elements - low] = True
    touched = np.flatnonzero(there) + low
    if len(touched) == n:
        return touched, elements - low
    return touched, (np.cumsum(there) - 1)[elements - low]


@np.errstate(invalid="ignore", over="ignore")  # inf − inf is NaN, as in any mean
def put_together(
    parts: Iterable[Any], n: int, width: int, reducer: Reducer
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Merge what groups of patches came to on ``n`` elements, and say which are covered."""
    covered = np.zeros(n, bool)
    if isinstance(reducer, Stacked):
        given = list(parts)
        if not given:
            return np.zeros((n, width), reducer.dtype), covered
        whole = joined(given)
        covered[whole.elements] = True
        return reduce(whole, n, reducer), covered
    state = reducer.start((n, width))
    for part in parts:
        views = [s[part.elements] for s in state]
        reducer.combine(views, part.state)
        for s, view in zip(state, views, strict=True):
            s[part.elements] = view
        covered[part.elements] = True
    return reducer.finish(state), covered


def joined(parts: Sequence[Contributions]) -> Contributions:
    """Put contributions together, sorted by label."""

    def column(name: str) -> Any:
        values = [getattr(p, name) for p in parts]
        return None if any(v is None for v in values) else np.concatenate(values)

    whole = dataclasses.replace(parts[0], **{name: column(name) for name in COLUMNS})
    return whole.take(np.argsort(whole.labels, kind="stable"))


def in_tiles(
    given: Contributions | Touched, shape: Sequence[int], edges: Sequence[NDArray[Any]]
) -> dict[tuple[int, ...], list[Any]]:
    """Cut what was added up where chunks of the domain end; elements are counted in each chunk."""
    cells = np.unravel_index(given.elements, tuple(shape))
    numblocks = tuple(len(e) - 1 for e in edges)
    chunk = np.zeros(len(given.elements), np.int64)
    local = np.zeros(len(given.elements), np.int64)
    for c, edge in zip(cells, edges, strict=True):
        k = np.searchsorted(edge, c, side="right") - 1
        chunk = chunk * (len(edge) - 1) + k
        local = local * np.diff(edge)[k] + c - edge[k]
    given = dataclasses.replace(given, elements=local)
    if len(chunk) and (chunk == chunk[0]).all():
        return {tuple(map(int, np.unravel_index(chunk[0], numblocks))): [given]}
    order = np.argsort(chunk, kind="stable")
    cuts = np.flatnonzero(np.diff(chunk[order])) + 1
    out = {}
    for which in np.split(order, cuts) if len(order) else ():
        tile = tuple(map(int, np.unravel_index(chunk[which[0]], numblocks)))
        out[tile] = [given.take(which)]
    return out
