"""Gather and scatter of lists of members, on NumPy arrays."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes
from xpatch.engine.memory import has_nan
from xpatch.engine.reduce import Choose, How, Reducer, WeightedMean
from xpatch.engine.stacked import Stacked
from xpatch.engine.threads import THREADED_BYTES, available_threads, in_threads
from xpatch.joint import Joint
from xpatch.neighborhood import Members

LONG = 64  # patches with more members are copied one by one
BLOCK_CELLS = 1 << 20  # of the patches that are copied together otherwise
STACK_BYTES = 1 << 25


# --------------------------------------------------------------------------------------- gather


def gather_fill(
    dtype: np.dtype, members: Members | Joint, empty: Any = None
) -> tuple[np.dtype, Any]:
    """Give the dtype of patches, and the value of empty slots, ``empty`` or missing, in it."""
    if not members.ragged:
        return dtype, None
    if dtype.kind in "US":
        return dtype, np.zeros((), dtype)[()]
    if dtype.kind == "O":
        return dtype, None
    return dtypes.filled(dtype, empty)


def flattened(array: NDArray, axes: Sequence[int]) -> tuple[NDArray, int]:
    """Flatten ``axes``, in that order, to one that takes the place of the first of them."""
    place = sum(k not in axes for k in range(min(axes)))
    others = [k for k in range(array.ndim) if k not in axes]
    order = [*others[:place], *axes, *others[place:]]
    shape = [array.shape[k] for k in others]
    return array.transpose(order).reshape(*shape[:place], -1, *shape[place:]), place


def gather(
    array: NDArray,
    axes: Sequence[int],
    members: Members,
    dtype: np.dtype | None = None,
    empty: Any = None,
) -> NDArray:
    """Take the members of each patch out of ``array``.

    Parameters
    ----------
    array : ndarray
        The field.
    axes : sequence of int
        Which axes of ``array`` the dimensions of ``members`` are.
    members : Members
        What to take.
    dtype : dtype, optional
        Of the patches; default: that of the field, or one that can say that a slot is empty.
    empty : scalar, optional
        What an empty slot holds; default: a missing value.

    Returns
    -------
    ndarray
        Patches, shape (patch, *other dims), with one axis of slots in place of the first of
        ``axes``.
    """
    flat, place = flattened(array, axes)
    own, fill = gather_fill(array.dtype if dtype is None else dtype, members, empty)
    n, width = len(members), members.width
    if not members.ragged:
        rows = members.elements.reshape(n, width)
        out = np.take(flat, rows, axis=place).astype(own, copy=False)
        return np.moveaxis(out, place, 0)
    shape = (*flat.shape[:place], n, width, *flat.shape[place + 1 :])
    out = np.empty(shape, own)
    lead: tuple[Any, ...] = (slice(None),) * place
    offsets = members.offsets
    if len(members.elements) >= LONG * n:

        def copied(patches: NDArray) -> None:
            for k in patches.tolist():
                low, high = int(offsets[k]), int(offsets[k + 1])
                row = out[(*lead, k)]
                row[(*lead, slice(0, high - low))] = flat.take(
                    members.elements[low:high], axis=place
                )
                row[(*lead, slice(high - low, None))] = fill

        threads = available_threads() if out.nbytes >= THREADED_BYTES else 1
        in_threads(copied, np.array_split(np.arange(n), threads))  # new memory takes the most
        return np.moveaxis(out, place, 0)
    step = max(1, BLOCK_CELLS // width)
    slot = np.arange(width)
    for start in range(0, n, step):
        stop = min(start + step, n)
        there = slot < members.counts[start:stop, None]
        where = np.where(there, offsets[start:stop, None] + slot, 0)
        rows = members.elements[where] if len(members.elements) else where
        part = out[(*lead, slice(start, stop))]
        if flat.shape[place]:
            part[...] = np.take(flat, np.where(there, rows, 0), axis=place)
        part[(*lead, ~there)] = fill
    return np.moveaxis(out, place, 0)


def numbers(members: Members) -> NDArray[np.int32]:
    """Give the member numbers (patch, slot), −1 in empty slots."""
    return members.padded(members.elements, np.int32(-1))


# -------------------------------------------------------------------------------------- scatter


@dataclasses.dataclass(frozen=True, eq=False)
class Contributions:
    """What the members of patches contribute: one row each.

    ``values`` (member, other), ``elements``, ``weights`` (None: one), ``mass`` (what they add to the
    denominator, None: one), ``labels`` (of the patch) and ``radial`` (offset from the anchor, None
    where it is not needed). Rows are sorted by label.
    """

    values: NDArray
    elements: NDArray
    weights: NDArray | None
    mass: NDArray | None
    labels: NDArray[np.int64]
    radial: NDArray | None
    shape: tuple[int, ...]  # of a result of one element: the other dims before and after
    place: int  # where the elements go among them

    def take(self, which: NDArray) -> Contributions:
        """Keep some of them."""
        part: dict[str, Any] = {
            name: None if (value := getattr(self, name)) is None else value[which]
            for name in ("values", "elements", "weights", "mass", "labels", "radial")
        }
        return dataclasses.replace(self, **part)

    def unflattened(self, result: NDArray, shape: tuple[int, ...]) -> NDArray:
        """Lay results (element, other) out over the dims of the field."""
        full = result.reshape(len(result), *self.shape)
        full = np.moveaxis(full, 0, self.place)
        return full.reshape(*self.shape[: self.place], *shape, *self.shape[self.place :])


def contributions(
    patches: NDArray,
    axis: int,
    members: Members,
    labels: NDArray,
    weights: NDArray | None = None,
    mass: NDArray | None = None,
    radial: NDArray | None = None,
) -> Contributions:
    """Take what is in the slots of patches (patch, *dims), the slots at ``axis`` of dims, apart."""
    if (np.diff(labels) < 0).any():
        order = np.argsort(labels, kind="stable")
        rows = members.rows(order)
        weights, mass, radial = (None if w is None else w[rows] for w in (weights, mass, radial))
        patches, labels, members = patches[order], labels[order], members.take(order)
    shape = tuple(n for k, n in enumerate(patches.shape[1:]) if k != axis)
    moved = np.moveaxis(patches, axis + 1, 1)
    if members.ragged:
        values = moved[members.patches, members.slots]
    else:
        values = moved.reshape(len(members.elements), *shape)
    values = np.ascontiguousarray(values.reshape(len(members.elements), math.prod(shape)))
    out = Contributions(
        values, members.elements, weights, mass, labels[members.patches], radial, shape, axis
    )
    if mass is not None and not (mass > 0).all():
        out = out.take(np.flatnonzero(mass > 0))
    return out


def cover(members: Members, mass: NDArray | None) -> NDArray[np.float64]:
    """Sum the mass over the patches, for each element."""
    n = int(np.prod(members.shape, dtype=np.int64))
    return np.bincount(members.elements, mass, minlength=n).astype(float)


def compact(elements: NDArray) -> tuple[NDArray, NDArray]:
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


def reduce(given: Contributions, n: int, reducer: Reducer) -> NDArray:
    """Merge contributions on ``n`` elements, (element, other); those without any hold anything."""
    given = _read(given, reducer)
    if isinstance(reducer, Stacked):
        return _stacked(given, n, reducer)
    if isinstance(reducer, WeightedMean):
        total, below = sums(given, n, reducer)
        if below.shape != total.shape:  # the same for every column: divide row by row
            below[below <= 0] = np.nan
            if reducer.normalize:
                total /= below
            elif total.dtype.kind in "fc":
                total[np.isnan(below[:, 0])] = dtypes.missing(total.dtype)
            return total.astype(reducer.dtype, copy=False)
        return reducer.finish([total, below])
    return reducer.finish(state_of(given, n, reducer))


def _read(given: Contributions, reducer: Reducer) -> Contributions:
    if reducer.reading is None:
        return given
    return dataclasses.replace(given, values=reducer.read(given.values))


def state_of(given: Contributions, n: int, reducer: Any) -> list[NDArray]:
    """Add all contributions up in the state of ``reducer``."""
    if isinstance(reducer, WeightedMean):
        total, below = sums(given, n, reducer)
        return [total, np.broadcast_to(below, total.shape).copy()]
    state = reducer.start((n, given.values.shape[1]))
    order, edges = _layers(given.elements)
    by = reducer.by if isinstance(reducer, Choose) else None
    key = None if by is None else _keys(given, by)
    with np.errstate(invalid="ignore", over="ignore"):
        for low, high in itertools.pairwise(edges):
            which = order[low:high]  # no element twice
            where = given.elements[which]
            views = [s[where] for s in state]
            mass = None if given.mass is None else given.mass[which, None]
            here = None if key is None else key[which, None]
            reducer.update(views, given.values[which], How(mass, here))
            for s, view in zip(state, views, strict=True):
                s[where] = view
    return state


def sums(given: Contributions, n: int, reducer: WeightedMean) -> list[NDArray]:
    """Give the weighted sum of values and of weights, by a sparse product.

    The sum is made first, and contributions are masked only if it turns out to hold a NaN. Without
    one the weights are those of every column, shape (element, 1).
    """
    from scipy.sparse import csr_matrix

    start = reducer.start((0, 1))
    working, real = start[0].dtype, start[1].dtype
    values = given.values.astype(working, copy=False)
    m = len(given.elements)

    def added(weights: NDArray | None, what: NDArray, dtype: np.dtype) -> NDArray:
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
    below = np.bincount(given.elements, given.mass, minlength=n).astype(real)[:, None]
    return [total.astype(working, copy=False), below]


def _layers(elements: NDArray) -> tuple[NDArray, NDArray]:
    """Sort contributions into layers in which no element occurs twice.

    The first layer holds the first contribution to each element, the next the second, and so on.
    Gives the order, and where the layers begin in it.
    """
    by_element = np.argsort(elements, kind="stable")
    ordered = elements[by_element]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)])
    run = np.diff(np.append(first, len(ordered)))
    rank = np.arange(len(ordered)) - np.repeat(first, run)
    by_rank = np.argsort(rank, kind="stable")
    counts = np.bincount(rank) if len(rank) else np.zeros(0, int)
    return by_element[by_rank], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _keys(given: Contributions, by: str) -> NDArray[np.int64]:
    """Give what `Choose` compares: the label, its negative, or the offset from the anchor."""
    if by == "first":
        return given.labels
    if by == "last":
        return -given.labels
    assert given.radial is not None
    return (np.rint(given.radial * (1 << 22)).astype(np.int64) << 40) + given.labels


def _stacked(given: Contributions, n: int, reducer: Stacked) -> NDArray:
    """Stack the contributions of elements that have equally many of them."""
    width = given.values.shape[1]
    out = np.zeros((n, width), reducer.dtype)
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


def added(given: Contributions, reducer: Reducer) -> Any:
    """Add contributions up, on the elements that they touch; order statistics keep them."""
    if isinstance(reducer, Stacked):
        return given
    touched, local = compact(given.elements)
    given = _read(dataclasses.replace(given, elements=local), reducer)
    return touched, state_of(given, len(touched), reducer)


@np.errstate(invalid="ignore", over="ignore")  # inf − inf is NaN, as in any mean
def put_together(
    parts: Iterable[Any],
    reducer: Reducer,
    axis: int,
    shape: tuple[int, ...],
    others: tuple[int, ...],
    finish: Callable[[NDArray, NDArray[np.bool_]], NDArray],
    dtype: np.dtype,
) -> NDArray:
    """Put together what groups of patches came to, on the elements of a chunk."""
    n, width = math.prod(shape), math.prod(others)
    covered = np.zeros(n, bool)
    if isinstance(reducer, Stacked):
        whole = joined(list(parts))
        covered[whole.elements] = True
        merged = reduce(whole, n, reducer)
    else:
        state = reducer.start((n, width))
        for touched, part in parts:
            views = [s[touched] for s in state]
            reducer.combine(views, part)
            for s, view in zip(state, views, strict=True):
                s[touched] = view
            covered[touched] = True
        merged = reducer.finish(state)
    merged = finish(merged, covered)
    full = np.moveaxis(merged.reshape(n, *others), 0, axis)
    return full.reshape(*others[:axis], *shape, *others[axis:]).astype(dtype, copy=False)


def joined(parts: Sequence[Contributions]) -> Contributions:
    """Put contributions together, sorted by label."""

    def column(name: str) -> Any:
        values = [getattr(p, name) for p in parts]
        return None if any(v is None for v in values) else np.concatenate(values)

    names = ("values", "elements", "weights", "mass", "labels", "radial")
    whole = dataclasses.replace(parts[0], **{name: column(name) for name in names})
    return whole.take(np.argsort(whole.labels, kind="stable"))
