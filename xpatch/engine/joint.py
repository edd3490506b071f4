"""Gather and scatter of neighborhoods in several groups of dimensions at once, on NumPy arrays.

Each group has a table of cells, shape (patch, slot); what a patch holds is their outer product.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import memory
from xpatch.engine.members import Contributions, gather_fill
from xpatch.joint import Joint, inner_sizes
from xpatch.neighborhood import Boxes, Members

BLOCK_CELLS = 1 << 20  # of the patches that are copied together


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Cells of one group of dimensions that patches hold, shape (patch, slot); −1 for none."""

    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]  # cells of the domain
    inner: tuple[tuple[Hashable, int], ...]  # in-patch dimensions and their sizes
    cells: NDArray[np.int64]

    def within(self, low: Sequence[int], shape: Sequence[int]) -> Table:
        """Give the same cells as those of a part of the domain."""
        if tuple(shape) == self.shape:
            return self
        there = self.cells >= 0
        axes = np.unravel_index(np.where(there, self.cells, 0), self.shape)
        local = np.zeros(self.cells.shape, np.int64)
        for cells, a, n in zip(axes, low, shape, strict=True):
            local = local * n + (cells - a)
        return dataclasses.replace(self, shape=tuple(shape), cells=np.where(there, local, -1))

    def filled(self) -> Table:
        """Let slots without a cell hold the last cell of their patch again."""
        there = self.cells >= 0
        last = np.maximum.accumulate(np.where(there, np.arange(self.cells.shape[1]), 0), axis=1)
        return dataclasses.replace(self, cells=np.take_along_axis(self.cells, last, axis=1))


def tables(joint: Joint, ordinals: NDArray, mirrored: bool = False) -> list[Table]:
    """Lay out which cells the patches with ``ordinals`` hold.

    Cells of boxes beyond the field are those that they mirror, or with ``mirrored`` False none.
    """
    found = []
    for part, entries in zip(joint.parts, joint.entries(ordinals), strict=True):
        which, inverse = np.unique(entries, return_inverse=True)
        if isinstance(part, Members):
            own = part.take(which)
            cells = own.padded(own.elements.astype(np.int64), -1)
        else:
            cells = _cells_of(part.take(which), mirrored)
        args = (part.dims, part.shape, tuple(inner_sizes(part).items()))
        found.append(Table(*args, cells[inverse.reshape(-1)]))
    return found


def _cells_of(boxes: Boxes, mirrored: bool) -> NDArray[np.int64]:
    """Give the cells of boxes, flattened, shape (box, cell)."""
    n = len(boxes)
    out, inside = np.zeros((n, 1), np.int64), np.ones((n, 1), bool)
    for k, size in enumerate(boxes.sizes):
        cells = boxes.axes[k][:, None] + np.arange(size)
        if n:
            mode = boxes.pad_mode if mirrored else "constant"
            cells = memory.source_cells(cells, boxes.shape[k], boxes.wrap[k], mode)
        there = cells >= 0
        width = out.shape[1] * size
        out = out[:, :, None] * boxes.shape[k] + np.where(there, cells, 0)[:, None]
        inside = inside[:, :, None] & there[:, None]
        out, inside = out.reshape(n, width), inside.reshape(n, width)
    return np.where(inside, out, -1)


def in_patch_dims(joint: Joint, dims: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """Give the dims that patches of an array with ``dims`` have: those of lists flatten to one."""
    out: list[Hashable] = []
    for d in dims:
        part = next((p for p in joint.parts if d in p.dims), None)
        name = part.dim if isinstance(part, Members) else d
        if name not in out:
            out.append(name)
    return tuple(out)


def dtype_and_fills(dtype: np.dtype, joint: Joint, empty: Any = None) -> tuple[np.dtype, list[Any]]:
    """Give the dtype of patches, and for each part what slots without a cell, which are ``empty``, hold."""
    own = gather_fill(dtype, joint, empty)[0] if joint.ragged else dtype
    for part in joint.parts:
        if isinstance(part, Boxes):
            own = memory.gather_dtype(own, part)[0]
    fills = []
    for part in joint.parts:
        if isinstance(part, Boxes):
            fills.append(memory.gather_dtype(own, part)[1])
        else:
            fills.append(gather_fill(own, part, empty)[1])
    return own, fills


def gather(
    array: NDArray,
    dims: Sequence[Hashable],
    joint: Joint,
    found: Sequence[Table],
    dtype: np.dtype,
    fills: Sequence[Any],
) -> NDArray:
    """Take what patches hold out of ``array``.

    Parameters
    ----------
    array : ndarray
        The field, or a part of it that holds all cells of ``found``.
    dims : sequence of hashable
        Names of its axes.
    joint : Joint
        The neighborhoods.
    found : sequence of Table
        Which cells of ``array`` the patches hold.
    dtype, fills
        Of the patches, and what slots of each part without a cell hold.

    Returns
    -------
    ndarray
        Patches, shape (patch, *dims), with one axis of slots in place of the first of the dims of
        a list.
    """
    cut = [d for t in found for d in t.dims]
    others = [d for d in dims if d not in cut]
    flat = array.transpose([*map(dims.index, cut), *map(dims.index, others)])
    inner = [item for t in found for item in t.inner]
    order = in_patch_dims(joint, dims)
    n = len(found[0].cells)
    sizes = dict(inner) | {d: array.shape[dims.index(d)] for d in others}
    out = np.empty((n, *(sizes[d] for d in order)), dtype)
    names = [*(d for d, _ in inner), *others]
    into = out.transpose(0, *(1 + order.index(d) for d in names))
    width = math.prod(size for _, size in inner) * max(1, math.prod(sizes[d] for d in others))
    step = max(1, BLOCK_CELLS // max(1, width))
    for low in range(0, n, step):
        index: list[NDArray] = []
        holes = []
        for k, t in enumerate(found):
            along = [1] * (len(found) + 1)
            cells = t.cells[low : low + step]
            along[0], along[k + 1] = cells.shape
            if (cells < 0).any():
                holes.append((cells.reshape(along) < 0, fills[k]))
            at = np.unravel_index(np.where(cells < 0, 0, cells), t.shape)
            index += [a.reshape(along) for a in at]
        part = flat[tuple(index)] if array.size else np.zeros(into[low : low + step].shape, dtype)
        if holes:
            part = part.astype(dtype, copy=False)
            for where, fill in holes:
                where = np.broadcast_to(where, part.shape[: where.ndim])
                part[where] = fill
        into[low : low + step] = part.reshape(into[low : low + step].shape)
    return out


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """What patches hold and weigh: a table of each part, and of its weights, masses, offsets."""

    tables: list[Table]
    labels: NDArray[np.int64]
    weights: list[NDArray | None]
    masses: list[NDArray | None]
    offsets: list[NDArray] | None = None

    @property
    def mass(self) -> Any:
        """None if everything has the same mass."""
        return None if all(m is None for m in self.masses) else self.masses

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells of the domain."""
        return tuple(n for t in self.tables for n in t.shape)

    def take(self, which: NDArray) -> Layout:
        """Keep some of the patches."""
        return Layout(
            [dataclasses.replace(t, cells=t.cells[which]) for t in self.tables],
            self.labels[which],
            [None if w is None else w[which] for w in self.weights],
            [None if m is None else m[which] for m in self.masses],
            None if self.offsets is None else [o[which] for o in self.offsets],
        )

    def _outer(self, factors: Sequence[NDArray | None], join: Any) -> NDArray | None:
        """Combine a table of each part, shape (patch, slot of all parts)."""
        if all(f is None for f in factors):
            return None
        n, out = len(self.labels), None
        for t, f in zip(self.tables, factors, strict=True):
            values = np.ones(t.cells.shape) if f is None else f
            if out is not None:
                width = out.shape[1] * values.shape[1]
                values = join(out[:, :, None], values[:, None]).reshape(n, width)
            out = values
        return out

    @property
    def elements(self) -> NDArray[np.int64]:
        """Cells of the domain, flattened, shape (patch, slot of all parts); −1 for none."""
        n = len(self.labels)
        out, there = np.zeros((n, 1), np.int64), np.ones((n, 1), bool)
        for t in self.tables:
            width = out.shape[1] * t.cells.shape[1]
            out = (out[:, :, None] * math.prod(t.shape) + t.cells[:, None]).reshape(n, width)
            there = (there[:, :, None] & (t.cells >= 0)[:, None]).reshape(n, width)
        out[~there] = -1
        return out

    def cover(self) -> NDArray[np.float64]:
        """Sum the mass over the patches, for each element."""
        elements, mass = self.elements, self._outer(self.masses, np.multiply)
        there = elements >= 0
        n = math.prod(self.shape)
        weights = None if mass is None else mass[there]
        return np.bincount(elements[there], weights, minlength=n).astype(float)

    def contributions(self, patches: NDArray, axis: int) -> Contributions:
        """Take what is in the slots of patches (patch, *dims), all slots at ``axis`` of dims."""
        if (np.diff(self.labels) < 0).any():
            order = np.argsort(self.labels, kind="stable")
            return self.take(order).contributions(patches[order], axis)
        elements = self.elements
        keep = elements >= 0
        weights = self._outer(self.weights, np.multiply)
        mass = self._outer(self.masses, np.multiply)
        radial = None if self.offsets is None else self._outer(self.offsets, np.maximum)
        if mass is not None:
            keep &= mass > 0
        others = tuple(n for k, n in enumerate(patches.shape[1:]) if k != axis)
        moved = np.moveaxis(patches, axis + 1, 1).reshape(*elements.shape, math.prod(others))
        every = bool(keep.all())

        def kept(values: NDArray) -> NDArray:
            flat = (elements.size, *values.shape[2:])
            return values.reshape(flat) if every else values[keep]

        labels = np.broadcast_to(self.labels[:, None], elements.shape)
        return Contributions(
            np.ascontiguousarray(kept(moved)),
            kept(elements),
            None if weights is None else kept(weights),
            None if mass is None else kept(mass),
            kept(labels),
            None if radial is None else kept(radial),
            others,
            axis,
        )
