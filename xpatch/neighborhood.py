"""Neighborhoods as the engine sees them: `Boxes`, a start per patch and dimension, or `Members`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Boxes", "Members"]


@dataclasses.dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of one size on a lattice.

    Parameters
    ----------
    dims : tuple of hashable
        The dimensions that are cut.
    sizes : tuple of int
        Cells of a box along each of ``dims``.
    shape : tuple of int
        Cells of the domain along each of ``dims``.
    axes : tuple of int64 arrays
        Starts along each of ``dims``, which may lie outside ``[0, shape − size]`` where the
        dimension is wrapped or padded. With ``product`` the boxes are the outer product of the
        axes in row-major order; otherwise all axes have one entry per box.
    product : bool
        Whether the boxes form an outer product.
    wrap : tuple of bool
        Whether each dimension is periodic.
    pad_mode, pad_value
        How cells outside the domain are filled, in the words of :meth:`xarray.DataArray.pad`.
    anchor : tuple of int or None, optional
        Which cell of a box is its anchor, along dimensions of time; it may lie outside of the box.
        None: the middle, cell ``size // 2``.
    missing : Nodata, optional
        Numbers that stand for missing, which padding out of a whole axis does not reckon with.
    """

    dims: tuple[Hashable, ...]
    sizes: tuple[int, ...]
    shape: tuple[int, ...]
    axes: tuple[NDArray[np.int64], ...]
    product: bool
    wrap: tuple[bool, ...]
    pad_mode: str = "reflect"
    pad_value: float | None = None
    anchor: tuple[int | None, ...] | None = None
    missing: Any = None

    def __len__(self) -> int:
        if self.product:
            return math.prod(self.grid)
        return len(self.axes[0]) if self.axes else 1

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of starts along each dimension of a product."""
        return tuple(len(a) for a in self.axes)

    @property
    def anchors(self) -> tuple[int | None, ...]:
        """Which cell of a box is the anchor of a window in time; None along other dimensions."""
        return self.anchor or (None,) * len(self.dims)

    def starts(self, ordinals: NDArray | None = None) -> NDArray[np.int64]:
        """Give the start of each box, shape (patch, dim)."""
        if ordinals is None:
            ordinals = np.arange(len(self))
        picks = self.entries(ordinals)
        columns = [a[p] for a, p in zip(self.axes, picks, strict=True)]
        return np.stack(columns, axis=-1) if columns else np.empty((len(ordinals), 0), np.int64)

    def entries(self, ordinals: NDArray) -> tuple[NDArray, ...]:
        """Give, for each dimension, which entry of its axis the boxes with ``ordinals`` take."""
        if self.product and len(self.dims):
            return np.unravel_index(ordinals, self.grid)
        return (np.asarray(ordinals),) * len(self.dims)

    def take(self, ordinals: NDArray) -> Boxes:
        """Give the boxes with ``ordinals`` as a list."""
        starts = self.starts(ordinals)
        return dataclasses.replace(self, axes=tuple(starts.T), product=False)

    def only(self, dims: Sequence[Hashable]) -> Boxes:
        """Give the same patches along some of the dimensions."""
        if tuple(dims) == self.dims:
            return self
        keep = [self.dims.index(d) for d in dims]
        starts = self.starts()
        return dataclasses.replace(
            self,
            dims=tuple(dims),
            sizes=tuple(self.sizes[k] for k in keep),
            shape=tuple(self.shape[k] for k in keep),
            axes=tuple(starts[:, k] for k in keep),
            product=False,
            wrap=tuple(self.wrap[k] for k in keep),
            anchor=tuple(self.anchors[k] for k in keep),
        )

    def inner(self, crop: Mapping[Hashable, tuple[int, int]]) -> Boxes:
        """Leave out the first and last cells of each box: ``{dim: (before, after)}``."""
        if not any(any(crop.get(d, (0, 0))) for d in self.dims):
            return self
        cuts = [crop.get(d, (0, 0)) for d in self.dims]
        return dataclasses.replace(
            self,
            sizes=tuple(s - a - b for s, (a, b) in zip(self.sizes, cuts, strict=True)),
            axes=tuple(x + a for x, (a, _) in zip(self.axes, cuts, strict=True)),
            anchor=tuple(
                None if at is None else at - a
                for at, (a, _) in zip(self.anchors, cuts, strict=True)
            ),
        )

    def scaled(self, factors: Mapping[Hashable, int]) -> Boxes:
        """Give the boxes on a lattice that is finer by integer factors."""
        f = [factors.get(d, 1) for d in self.dims]
        return dataclasses.replace(
            self,
            sizes=tuple(s * k for s, k in zip(self.sizes, f, strict=True)),
            shape=tuple(n * k for n, k in zip(self.shape, f, strict=True)),
            axes=tuple(x * k for x, k in zip(self.axes, f, strict=True)),
            anchor=tuple(
                None if at is None else at * k for at, k in zip(self.anchors, f, strict=True)
            ),
        )

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Boxes:
        """Give the same boxes with other names of dimensions."""
        return dataclasses.replace(self, dims=tuple(names.get(d, d) for d in self.dims))

    @cached_property
    def overhangs(self) -> bool:
        """Whether any box reaches outside the domain."""
        return any(
            len(a) and (a.min() < 0 or a.max() + s > n)
            for a, s, n in zip(self.axes, self.sizes, self.shape, strict=True)
        )

    def equals(self, other: Boxes) -> bool:
        """Whether both are the same boxes in the same order."""
        return self is other or (
            (self.dims, self.sizes, self.shape, self.wrap, self.anchors)
            == (other.dims, other.sizes, other.shape, other.wrap, other.anchors)
            and len(self) == len(other)
            and bool(np.array_equal(self.starts(), other.starts()))
        )

    def __copy__(self) -> Boxes:
        return self

    def __deepcopy__(self, memo: object) -> Boxes:
        return self


def arrange(boxes: Boxes, ordinals: NDArray) -> tuple[Boxes, NDArray | None]:
    """Put the boxes with ``ordinals`` in the order in which the engine visits them.

    A set of boxes that is itself an outer product, in whatever order it comes, is found to be
    one. The second result says where the k-th visited box stands among ``ordinals`` (None: at k),
    so that what is merged does not depend on the order of the patches.
    """
    return arranged(boxes, ordinals)[:2]


def arranged(boxes: Boxes, ordinals: NDArray) -> tuple[Boxes, NDArray | None, tuple[NDArray, ...]]:
    """Arrange, and say which entries of the axes of ``boxes`` those of the result are."""
    ordinals = np.asarray(ordinals)
    n = len(ordinals)
    in_order = bool(n == 0 or np.all(ordinals[1:] > ordinals[:-1]))
    if boxes.product and in_order and n == len(boxes):
        return boxes, None, tuple(np.arange(len(a)) for a in boxes.axes)
    position = None if in_order else np.argsort(ordinals, kind="stable")
    ordered = ordinals if position is None else ordinals[position]
    entries = boxes.entries(ordered)
    if boxes.product and n and in_order:  # a run along each axis is found without sorting
        runs = tuple(np.arange(e[0], e[-1] + 1) for e in entries)
        if math.prod(map(len, runs)) == n and (ravel(runs, boxes.grid) == ordered).all():
            axes = tuple(a[r[0] : r[-1] + 1] for a, r in zip(boxes.axes, runs, strict=True))
            return dataclasses.replace(boxes, axes=axes), None, runs
    if boxes.product and n and not (ordered[1:] == ordered[:-1]).any():
        kept = tuple(np.unique(e) for e in entries)
        if np.prod([len(k) for k in kept], dtype=np.int64) == n:
            axes = tuple(a[k] for a, k in zip(boxes.axes, kept, strict=True))
            return dataclasses.replace(boxes, axes=axes), position, kept
    return boxes.take(ordered), position, entries


def ravel(entries: Sequence[NDArray], grid: Sequence[int]) -> NDArray[np.int64]:
    """Give the ordinals of an outer product of entries."""
    out = np.zeros((), np.int64)
    for e, n in zip(entries, grid, strict=True):
        out = out[..., None] * n + e
    return out.ravel()


def common_pad(boxes: Boxes) -> tuple[tuple[int, int], ...]:
    """Cells by which the domain must be extended at both ends of each dimension."""
    out = []
    for starts, size, n in zip(boxes.axes, boxes.sizes, boxes.shape, strict=True):
        low = int(starts.min()) if len(starts) else 0
        high = int(starts.max()) + size if len(starts) else n
        out.append((max(0, -low), max(0, high - n)))
    return tuple(out)


@dataclasses.dataclass(frozen=True, eq=False)
class Members:
    """Lists of elements of any length.

    Parameters
    ----------
    dims : tuple of hashable
        The dimensions of the field that are flattened, in row-major order, to elements.
    shape : tuple of int
        Cells of the domain along each of ``dims``.
    dim : hashable
        Name of the in-patch dimension.
    offsets : int64 array (patch + 1,)
        Where the members of each patch begin in ``elements``.
    elements : int32 array (member,)
        Numbers of the elements.
    distances : float64 array (member,), optional
        Distance of each from its anchor; None where nothing says.
    scales : float64 array (patch,)
        The distance at which a window ends.
    width : int
        Slots of a patch: at least the largest number of members.
    numbers : hashable, optional
        Name of the coordinate of member numbers; default: that of the in-patch dimension. Lists in
        time have another, because their in-patch dimension is labeled by times; their distances
        are signed: negative before the anchor.
    anchors : int64 array (patch,), optional
        Of lists in time the steps that they are anchored at.
    positions : float64 array (member,), optional
        Of runs of steps the place of each in its window, from −1 to 1, which is its offset.
    halves : pair of (int, bool), optional
        Of lists in time that were read back, of which some may be left: slots of the past and of the
        future of all, and whether the leads there are the same for all.
    """

    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    dim: Hashable
    offsets: NDArray[np.int64]
    elements: NDArray[np.int32]
    distances: NDArray[np.float64] | None
    scales: NDArray[np.float64]
    width: int
    numbers: Hashable | None = None
    anchors: NDArray[np.int64] | None = None
    positions: NDArray[np.float64] | None = None
    halves: Sequence[tuple[int, bool]] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Slots of a patch along its one dimension."""
        return (self.width,)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of members of each patch."""
        return np.diff(self.offsets)

    @cached_property
    def ragged(self) -> bool:
        """Whether any slot is empty."""
        return bool((self.counts < self.width).any())

    @classmethod
    def from_table(
        cls,
        dims: tuple[Hashable, ...],
        shape: tuple[int, ...],
        dim: Hashable,
        table: NDArray[np.int64],
        numbers: Hashable | None,
    ) -> Members:
        """Take the members of patches from (patch, slot), −1 in empty slots, which come last."""
        there = table >= 0
        offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64)
        elements, scales = table[there].astype(np.int32), np.zeros(len(table))
        return cls(dims, shape, dim, offsets, elements, None, scales, table.shape[1], numbers)

    @property
    def leads(self) -> NDArray[np.int64]:
        """Steps of each member, in time, from its anchor."""
        assert self.anchors is not None
        return self.elements.astype(np.int64) - np.repeat(self.anchors, self.counts)

    @property
    def lead(self) -> NDArray[np.int64] | None:
        """Steps from the anchor, in time, if they are the same for all patches."""
        if self.anchors is None or self.ragged or not len(self):
            return None
        lead = self.leads.reshape(len(self), self.width)
        return lead[0] if (lead == lead[0]).all() else None

    @property
    def patches(self) -> NDArray[np.int64]:
        """The patch of each member."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def slots(self) -> NDArray[np.int64]:
        """The slot of each member."""
        return np.arange(len(self.elements)) - np.repeat(self.offsets[:-1], self.counts)

    @property
    def radial(self) -> NDArray[np.float64]:
        """Offset of each member from its anchor, or from the middle of its run, in [0, 1).

        Distance / scale, but at most 1 − 1 / (2 · members), so that no window is ever zero there; of
        lists in time, of which a part may be taken, 1 − 1 / (2 · scale).

        Raises
        ------
        ValueError
            If the distances are not known.
        """
        if self.positions is not None:
            return np.abs(self.positions)
        if self.distances is None:
            raise ValueError(
                "the distances of the members are not known: they are not written with patches. "
                "Give the field that was split, merge(like=field), or split again"
            )
        scale = np.repeat(np.where(self.scales > 0, self.scales, 1), self.counts)
        cells = self.counts if self.numbers is None else self.scales
        most = 1 - 0.5 / np.repeat(np.maximum(cells, 1), self.counts)
        return np.minimum(np.abs(self.distances) / scale, most)

    @property
    def identity(self) -> tuple[object, ...]:
        """All that patches and merges depend on."""
        lists = (self.offsets, self.elements, self.distances, self.scales)
        return (*lists, self.dims, self.shape, self.dim, self.width)

    def rows(self, ordinals: NDArray) -> NDArray[np.int64]:
        """Give the positions of the members of the patches with ``ordinals``, one after the other."""
        counts = self.counts[ordinals]
        begin = np.cumsum(counts) - counts
        return np.arange(counts.sum()) + np.repeat(self.offsets[ordinals] - begin, counts)

    def take(self, ordinals: NDArray) -> Members:
        """Give the patches with ``ordinals``."""
        ordinals = np.asarray(ordinals)
        if len(ordinals) == len(self) and (ordinals == np.arange(len(self))).all():
            return self
        where = self.rows(ordinals)
        offsets = np.concatenate([[0], np.cumsum(self.counts[ordinals])])
        return dataclasses.replace(
            self,
            offsets=offsets,
            elements=self.elements[where],
            distances=None if self.distances is None else self.distances[where],
            scales=self.scales[ordinals],
            anchors=None if self.anchors is None else self.anchors[ordinals],
            positions=None if self.positions is None else self.positions[where],
        )

    def numbered(self, name: Hashable | None) -> Members:
        """Give the same lists in time with another name for their numbers."""
        return dataclasses.replace(self, numbers=name)

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Members:
        """Give the same lists with other names of dimensions."""
        dims = tuple(names.get(d, d) for d in self.dims)
        numbers = None if self.numbers is None else names.get(self.numbers, self.numbers)
        dim = names.get(self.dim, self.dim)
        return dataclasses.replace(self, dims=dims, dim=dim, numbers=numbers)

    def only(self, dims: Sequence[Hashable]) -> Members:
        """Give the same members as elements of some of the dimensions."""
        if tuple(dims) == self.dims:
            return self
        keep = [self.dims.index(d) for d in dims]
        cells = np.unravel_index(self.elements, self.shape)
        shape = tuple(self.shape[k] for k in keep)
        elements = np.zeros(len(self.elements), np.int64)
        for k in keep:
            elements = elements * self.shape[k] + cells[k]
        return dataclasses.replace(
            self, dims=tuple(dims), shape=shape, elements=elements.astype(np.int32)
        )

    def spread(self, ordinals: NDArray, n: int) -> Members:
        """Give the patches as those with ``ordinals``, in ascending order, of ``n``; others are empty."""
        counts, scales = np.zeros(n, np.int64), np.zeros(n)
        counts[ordinals], scales[ordinals] = self.counts, self.scales
        offsets = np.concatenate([[0], np.cumsum(counts)])
        anchors = None
        if self.anchors is not None:
            anchors = np.full(n, -1)
            anchors[ordinals] = self.anchors
        return dataclasses.replace(self, offsets=offsets, scales=scales, anchors=anchors)

    def padded(self, values: NDArray, fill: object) -> NDArray:
        """Lay one value per member out as (patch, slot); empty slots hold ``fill``."""
        out = np.full((len(self), self.width), fill, np.result_type(values.dtype, np.asarray(fill)))
        out[self.patches, self.slots] = values
        return out

    def equals(self, other: object) -> bool:
        """Whether both are the same members in the same order."""
        return self is other or (
            isinstance(other, Members)
            and (self.dims, self.shape, self.width) == (other.dims, other.shape, other.width)
            and bool(np.array_equal(self.offsets, other.offsets))
            and bool(np.array_equal(self.elements, other.elements))
            and bool(np.array_equal(self.scales, other.scales))
        )

    def __copy__(self) -> Members:
        return self

    def __deepcopy__(self, memo: object) -> Members:
        return self
