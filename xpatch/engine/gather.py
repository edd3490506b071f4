"""Gather: patches out of a NumPy array that holds all their cells, or a whole domain."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from xpatch.engine.buffers import THREADED_BYTES, available_threads, copy, in_threads
from xpatch.engine.slices import INDEX_PADS, Slices, source_cells

COPY_BYTES = 1 << 22  # of patches that a thread copies at a time
PAIRS = 1 << 9  # of windows and their copies that are made before they are copied
LARGE_BYTES = 1 << 12  # of a patch: larger ones are copied one by one
BLOCK_CELLS = 1 << 19  # of patches that are looked up together
LONG = 64  # lists with more members are copied one by one


def patch_dims(hood: Any, dims: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """Give the dims that patches of an array with ``dims`` have: those of lists become one."""
    names = {d: next(iter(p.inner)) for p in hood.parts for d in p.dims}
    return tuple(dict.fromkeys(names.get(d, d) for d in dims))


def dtype_and_fills(dtype: np.dtype, hood: Any, empty: Any = None) -> tuple[np.dtype, list[Any]]:
    """Give the dtype of patches, and what slots of each part without a cell hold in it."""
    for part in hood.parts:
        dtype = part.fill(dtype, empty)[0]
    return dtype, [part.fill(dtype, empty)[1] for part in hood.parts]


def gather(
    array: NDArray[Any],
    dims: Sequence[Hashable],
    hood: Any,
    dtype: np.dtype,
    fills: Sequence[Any],
    threads: int = 1,
) -> NDArray[Any]:
    """Cut patches out of an array.

    Parameters
    ----------
    array : ndarray
        The field, or a part of it that ``hood`` is moved to.
    dims : sequence of hashable
        Names of its axes; all that ``hood`` cuts are among them.
    hood : Neighborhood
        What to cut.
    dtype, fills
        Of the patches, and what slots of each part without a cell hold; see `dtype_and_fills`.
    threads : int, default: 1
        How many threads copy, if the result is large.

    Returns
    -------
    ndarray
        Patches, shape (patch, *dims), with one axis of slots in place of the first dim of a list.
    """
    sizes = dict(zip(dims, array.shape, strict=True)) | hood.inner
    shape = tuple(sizes[d] for d in patch_dims(hood, dims))
    out = np.empty((len(hood), *shape), dtype)
    boxed = all(p.box for p in hood.parts)
    if not out.size:
        return out
    if boxed and hood.parts and hood.picks is None:
        axes = tuple(dims.index(p.dim) for p in hood.parts)
        grid = out.reshape(*map(len, hood.parts), *shape)
        threads = threads if out.nbytes >= THREADED_BYTES else 1
        _product(array, axes, hood.parts, grid, fills, threads)
        _emptied(dims, hood, out, fills)
    elif boxed and out.nbytes > LARGE_BYTES * len(out):
        _one_by_one(array, dims, hood, out, fills)
        _emptied(dims, hood, out, fills)
    elif len(hood.parts) == 1 and not boxed:
        _members(array, dims, hood, out, fills[0])
    else:
        _looked_up(array, dims, hood, out, fills)
    return out


def _emptied(dims: Sequence[Hashable], hood: Any, out: NDArray[Any], fills: Sequence[Any]) -> None:
    """Fill the slots of windows that are shorter than others; objects know nothing that is missing."""
    entries = hood.entries(np.arange(len(hood)))
    for part, which, fill in zip(hood.parts, entries, fills, strict=True):
        if part.ragged and out.dtype != object:
            np.moveaxis(out, 1 + dims.index(part.dim), 1)[part.empty(which)] = fill


# ------------------------------------------------------------------------------- outer products


def _product(
    array: NDArray[Any],
    axes: tuple[int, ...],
    parts: Sequence[Slices],
    out: NDArray[Any],
    fills: Sequence[Any],
    threads: int,
) -> None:
    """Copy windows; those that overhang band by band out of a region that is extended."""
    if not any(p.overhangs for p in parts):
        _windows(array, axes, [p.starts for p in parts], out, threads)
        return
    k = max(range(len(axes)), key=lambda j: abs(array.strides[axes[j]]))
    for chosen in itertools.product(*map(_alike, parts)):
        own = [p.take(np.arange(c.start, c.stop)) for p, c in zip(parts, chosen, strict=True)]
        part = out[chosen]
        if not any(p.overhangs for p in own):
            _windows(array, axes, [p.starts for p in own], part, threads)
            continue
        for band in _bands(own[k], part.nbytes):
            near = list(own)
            near[k] = own[k].take(np.arange(band.start, band.stop))
            region, starts = extended(array, axes, near, fills, out.dtype)
            _windows(region, axes, starts, part[(slice(None),) * k + (band,)], threads)


def _alike(part: Slices) -> list[slice]:
    """Cut windows into runs of which all, or none, overhang; if that is no more than a few."""
    inside = (part.starts >= 0) & (part.starts + part.size <= part.n)
    edges = [0, *(np.flatnonzero(np.diff(inside)) + 1).tolist(), len(part)]
    return (
        [slice(*e) for e in itertools.pairwise(edges)] if len(edges) < 5 else [slice(0, len(part))]
    )


def _bands(part: Slices, nbytes: int) -> list[slice]:
    """Cut windows into runs that lie close to each other, of some megabytes of patches."""
    step = max(1, len(part) * COPY_BYTES // max(1, nbytes))
    bands = [slice(i, min(i + step, len(part))) for i in range(0, len(part), step)]
    near = []
    for band in bands:
        starts = part.starts[band]
        reach = int(starts.max() - starts.min()) + part.size
        if reach <= 2 * part.size * len(starts):
            near.append(band)
        else:
            near.extend(slice(i, i + 1) for i in range(band.start, band.stop))
    return near


def extended(
    array: NDArray[Any],
    axes: Sequence[int],
    parts: Sequence[Slices],
    fills: Sequence[Any],
    dtype: np.dtype,
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Give the region around windows, with what lies beyond the domain, and their starts in it."""
    starts, later = [], []
    for axis, part, fill in zip(axes, parts, fills, strict=True):
        low, high = int(part.starts.min()), int(part.starts.max()) + part.size
        starts.append(part.starts - low)
        if low >= 0 and high <= part.n:
            array = array[(slice(None),) * axis + (slice(low, high),)]
        else:
            later.append((axis, part, fill, low, high))
    for axis, part, fill, low, high in later:  # on what is left after the others were cut
        cells = source_cells(np.arange(low, high), part.n, part.wrap, part.pad_mode)
        array = np.take(array, np.maximum(cells, 0), axis=axis)
        if (cells < 0).any():
            array = array.astype(dtype, copy=False)
            array[(slice(None),) * axis + (cells < 0,)] = fill
    return array, starts


def _even(starts: NDArray[Any]) -> list[tuple[slice, int, int]]:
    """Find runs of starts at one distance: which entries, the first start, and the distance."""
    step = np.diff(starts)
    out, i, n = [], 0, len(starts)
    turns = np.flatnonzero(step[1:] != step[:-1]) + 1  # entries at which the distance changes
    ends = iter([*turns.tolist(), n - 1])
    last = next(ends)
    while i < n:
        while last <= i and last < n - 1:
            last = next(ends)
        distance = int(step[i]) if i + 1 < n else 1
        stop = last + 1 if distance > 0 and i + 1 < n else i + 1
        out.append((slice(i, stop), int(starts[i]), max(distance, 1)))
        i = stop
    return out


def _windows(
    array: NDArray[Any],
    axes: Sequence[int],
    starts: Sequence[NDArray[Any]],
    out: NDArray[Any],
    threads: int,
) -> None:
    """Copy an outer product of windows that lie inside, (*grid, *dims); block by block."""
    k = len(axes)
    slowest = max(range(k), key=lambda j: abs(array.strides[axes[j]]))
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = []

    def flush() -> None:
        in_threads(_copy_all, pairs, threads)
        pairs.clear()

    for chosen in itertools.product(*map(_even, starts)):
        index: list[slice] = [slice(None)] * array.ndim
        counts, strides = [], []
        for axis, (run, first, step) in zip(axes, chosen, strict=True):
            count = run.stop - run.start
            size = out.shape[k + axis]
            index[axis] = slice(first, first + size)
            counts.append(count)
            strides.append(array.strides[axis] * step)
        inner = array[tuple(index)]
        view = as_strided(inner, (*counts, *inner.shape), (*strides, *inner.strides))
        target = out[tuple(run for run, _, _ in chosen)]
        pairs.extend(_blocks(target, view, slowest))
        if len(pairs) >= PAIRS:  # views take memory, too
            flush()
    flush()


def _copy_all(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> None:
    for target, source in pairs:
        copy(target, source)


def _blocks(
    target: NDArray[Any], source: NDArray[Any], axis: int
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Cut arrays into pairs of blocks to copy, along an axis of windows.

    It is the one along which the field is stored in the largest steps, so that the part of the
    field that all windows of a block share stays in the cache, in whatever order patches follow
    each other.
    """
    n = target.shape[axis]
    step = max(1, n * COPY_BYTES // max(1, target.nbytes))
    index = (slice(None),) * axis
    cuts: list[Any] = [(*index, slice(i, i + step)) for i in range(0, n, step)]
    return [(target[c], source[c]) for c in cuts] if n > step else [(target, source)]


# ----------------------------------------------------------------------------------- one by one


def _one_by_one(
    array: NDArray[Any],
    dims: Sequence[Hashable],
    hood: Any,
    out: NDArray[Any],
    fills: Sequence[Any],
) -> None:
    """Copy large boxes; those that overhang out of a region that is extended around each."""
    axes = [dims.index(p.dim) for p in hood.parts]
    entries = hood.entries(np.arange(len(hood)))
    columns = [p.starts[e] for p, e in zip(hood.parts, entries, strict=True)]
    inside = np.ones(len(hood), bool)
    for p, starts in zip(hood.parts, columns, strict=True):
        inside &= (starts >= 0) & (starts + p.size <= p.n)
    index: list[slice] = [slice(None)] * array.ndim
    sizes = [p.size for p in hood.parts]
    for i, (within, *starts) in enumerate(
        zip(inside.tolist(), *(c.tolist() for c in columns), strict=True)
    ):
        if within:
            for axis, first, size in zip(axes, starts, sizes, strict=True):
                index[axis] = slice(first, first + size)
            out[i] = array[tuple(index)]
        else:
            lone = [p.take(e[i : i + 1]) for p, e in zip(hood.parts, entries, strict=True)]
            out[i] = extended(array, axes, lone, fills, out.dtype)[0]


# ------------------------------------------------------------------------------------ looked up


def flattened(array: NDArray[Any], axes: Sequence[int]) -> tuple[NDArray[Any], int]:
    """Flatten ``axes``, in that order, to one that takes the place of the first of them."""
    place = sum(k not in axes for k in range(min(axes)))
    others = [k for k in range(array.ndim) if k not in axes]
    order = [*others[:place], *axes, *others[place:]]
    shape = [array.shape[k] for k in others]
    return array.transpose(order).reshape(*shape[:place], -1, *shape[place:]), place


def _members(
    array: NDArray[Any], dims: Sequence[Hashable], hood: Any, out: NDArray[Any], fill: Any
) -> None:
    """Take lists of members; long ones one by one, on threads, because new memory takes the most."""
    (part,) = hood.parts
    (entries,) = hood.entries(np.arange(len(hood)))
    flat, place = flattened(array, [dims.index(d) for d in part.dims])
    lead = (slice(None),) * place
    counts = part.counts[entries]

    def one_by_one(patches: NDArray[Any]) -> None:
        for k in patches.tolist():
            own = part.members(int(entries[k]))
            out[k][(*lead, slice(0, len(own)))] = flat.take(own, axis=place)
            if len(own) < part.width:
                out[k][(*lead, slice(len(own), None))] = fill

    if counts.sum() >= LONG * len(out) and out.dtype != object and part.at is None:
        threads = available_threads() if out.nbytes >= THREADED_BYTES else 1
        in_threads(one_by_one, np.arange(len(out)), threads)
        return
    step = max(1, BLOCK_CELLS // part.width)
    for low in range(0, len(out), step):
        block = out[low : low + step]
        cells = part.cells(entries[low : low + step])
        none = cells < 0 if part.ragged else None
        if none is not None:
            cells = _repeated(cells) if out.dtype == object else np.maximum(cells, 0)
        if not flat.shape[place]:
            pass
        elif place == 0 and flat.dtype == block.dtype:
            flat.take(cells, axis=0, out=block, mode="clip")  # "raise" would copy it once more
        else:
            np.moveaxis(block, 0, place)[...] = flat.take(cells, axis=place)
        if none is not None and out.dtype != object:
            np.moveaxis(block, 0, place)[(*lead, none)] = fill


def _looked_up(
    array: NDArray[Any],
    dims: Sequence[Hashable],
    hood: Any,
    out: NDArray[Any],
    fills: Sequence[Any],
) -> None:
    """Look up the cells of every slot, some patches at a time."""
    cut = [d for p in hood.parts for d in p.dims]
    others = [d for d in dims if d not in cut]
    flat = array.transpose([dims.index(d) for d in (*cut, *others)])
    order = patch_dims(hood, dims)
    into = out.transpose(0, *(1 + order.index(d) for d in (*hood.inner, *others)))
    step = max(1, BLOCK_CELLS * len(out) // out.size)
    for low in range(0, len(out), step):
        block = into[low : low + step]
        entries = hood.entries(np.arange(low, low + len(block)))
        index: list[NDArray[Any]] = []
        holes = []
        for k, (part, which) in enumerate(zip(hood.parts, entries, strict=True)):
            cells = part.cells(which, mirrored=True)
            along = [len(block), *(1,) * len(hood.parts)]
            along[k + 1] = cells.shape[1]
            if (none := cells < 0).any():
                holes.append((none.reshape(along), fills[k]))
                cells = np.maximum(_repeated(cells) if out.dtype == object else cells, 0)
            # in one row: NumPy 2.4 gives wrong ones for more than 8,192 with a last axis of one
            at = np.unravel_index(cells.ravel(), part.shape) if len(part.shape) > 1 else [cells]
            index += [a.reshape(along) for a in at]
        if array.size:
            block[...] = flat[tuple(index)]
        for none, fill in holes:
            if out.dtype != object:
                block[np.broadcast_to(none, block.shape[: none.ndim])] = fill


def _repeated(cells: NDArray[Any]) -> NDArray[Any]:
    """Let slots without a cell hold the last cell of their patch again.

    cftime and text in objects know no missing value that can be written to files.
    """
    last = np.maximum.accumulate(np.where(cells >= 0, np.arange(cells.shape[1]), 0), axis=1)
    found: NDArray[Any] = np.maximum(np.take_along_axis(cells, last, axis=1), 0)
    return found


# ------------------------------------------------------------------------- padding of whole axes


def needs_whole_axes(parts: Sequence[Any]) -> bool:
    """Whether windows are padded by what a whole axis says (mean, linear_ramp …)."""
    return any(p.overhangs and not p.wrap and p.pad_mode not in INDEX_PADS for p in parts)


def padded(array: Any, dims: Sequence[Hashable], hood: Any, pad: Any) -> tuple[Any, Any]:
    """Extend a whole array by ``pad``, `numpy.pad` or dask's, and move the windows along."""
    widths = [(0, 0)] * array.ndim
    moved, mode, value, missing = [], "constant", None, None
    for part in hood.parts:
        if part.wrap or not part.overhangs:
            moved.append(part)
            continue
        low = max(0, -int(part.starts.min()))
        high = max(0, int(part.starts.max()) + part.size - part.n)
        widths[dims.index(part.dim)] = (low, high)
        mode, value, missing = part.pad_mode, part.pad_value, part.missing
        moved.append(part.moved([-low], [part.n + low + high]))
    ramp = {"end_values": value or 0} if mode == "linear_ramp" else {}
    found = pad(array, widths, mode=mode, **ramp)
    if missing is not None:  # NaN spreads where the numbers would be averaged
        lost = pad(np.where(missing.where(array), np.nan, 0.0), widths, mode=mode)
        found = np.where(lost != lost, missing.fill, found).astype(found.dtype)
    return found, hood.with_parts(moved)
