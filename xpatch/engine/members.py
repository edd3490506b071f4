"""`Members`: lists of elements of any length."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes

__all__ = ["Members"]


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
    at : int32 array (member,), optional
        The slot of each member, where empty slots may stand between others; in a patch they ascend,
        and an element may be in several. None: members stand in the first slots.
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
    at: NDArray[np.int32] | None = None

    box: ClassVar[Literal[False]] = False
    wrap: ClassVar[bool] = False
    pad_mode: ClassVar[str] = "constant"
    overhangs: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def is_part(self) -> bool | None:
        """Whether some windows in time had more steps; None: nobody knows."""
        return None

    def halves_at(self, begin: int) -> Sequence[tuple[int, bool]] | None:
        """Give slots, and whether leads are the same for all, before and from lead ``begin`` on."""
        return self.halves

    @property
    def inner(self) -> dict[Hashable, int]:
        """The in-patch dimension and its size."""
        return {self.dim: self.width}

    @property
    def timed(self) -> bool:
        """Whether these are windows in time."""
        return self.numbers is not None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of members of each patch."""
        return np.diff(self.offsets)

    @cached_property
    def ragged(self) -> bool:
        """Whether any slot is empty."""
        return bool((self.counts < self.width).any())

    @cached_property
    def extent(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last cell of each entry along each of ``dims``, shape (entry, dim)."""
        low = np.zeros((len(self), len(self.dims)), np.int64)
        high = np.zeros_like(low)
        full = np.flatnonzero(self.counts)
        if len(full):
            begin = self.offsets[full]
            for k, cells in enumerate(np.unravel_index(self.elements, self.shape)):
                low[full, k] = np.minimum.reduceat(cells, begin)
                high[full, k] = np.maximum.reduceat(cells, begin)
        return low, high

    def reach(self, entries: NDArray[Any]) -> tuple[list[int], list[int]]:
        """Give the first cell of some entries along each of ``dims``, and that behind the last."""
        if not len(entries):
            return [0] * len(self.dims), [0] * len(self.dims)
        first, last = (ends[entries] for ends in self.extent)
        return first.min(axis=0).tolist(), (last.max(axis=0) + 1).tolist()

    def fill(self, dtype: np.dtype, empty: Any) -> tuple[np.dtype, Any]:
        """Give the dtype of patches, and what empty slots, which are ``empty`` or missing, hold."""
        return dtypes.of_empty(dtype, empty) if self.ragged else (dtype, None)

    def cover(self, entries: NDArray[Any]) -> NDArray[Any]:
        """Count the patches that hold each element."""
        if len(entries) == len(self) and (entries == np.arange(len(self))).all():
            return np.bincount(self.elements, minlength=math.prod(self.shape))
        kinds, many = np.unique(entries, return_counts=True)
        weights = np.repeat(many, self.counts[kinds])
        elements = self.elements[self.rows(kinds)]
        return np.bincount(elements, weights, math.prod(self.shape)).astype(float)

    def holds(self, marked: NDArray[np.bool_], entries: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which entries have an element that is marked, shape (entry,)."""
        at = np.repeat(np.arange(len(entries)), self.counts[entries])
        found = marked[self.elements[self.rows(entries)]]
        return np.asarray(np.bincount(at, found, len(entries)) > 0)

    def cropped(self, before: int, after: int) -> Members:
        """Lists have no sides that could be cut off."""
        return self

    factor: ClassVar[int] = 1  # cells of a slot

    def averaged(self, factor: int | None) -> Members:
        """Lists have no cells that could be averaged."""
        return self

    def scaled(self, factor: int) -> Members:
        """Lists have no finer cells."""
        return self

    def padded_by(self, **pad: Any) -> Members:
        """Lists hold nothing outside of the domain."""
        return self

    def same(self, other: Any, mine: NDArray[Any], theirs: NDArray[Any]) -> bool:
        """Whether patches take the same of both, given the entries of each."""
        return bool(np.array_equal(mine, theirs))

    def cells(self, entries: NDArray[Any], mirrored: bool = False) -> NDArray[np.int64]:
        """Give the elements of entries, shape (entry, slot); −1 in empty slots."""
        return self.laid_out(self.elements, entries, -1, np.int64)

    def laid_out(
        self, values: NDArray[Any], entries: NDArray[Any], fill: Any, dtype: Any
    ) -> NDArray[Any]:
        """Lay values of members out as (entry, slot); empty slots hold ``fill``."""
        counts, rows = self.counts[entries], self.rows(entries)
        out = np.full((len(entries), self.width), fill, dtype)
        if self.at is None:
            out[np.arange(self.width) < counts[:, None]] = values[rows]
        else:
            out[np.repeat(np.arange(len(entries)), counts), self.at[rows]] = values[rows]
        return out

    def moved(self, low: Sequence[int], shape: Sequence[int]) -> Members:
        """Give the lists as elements of a region that begins at ``low`` and holds all of them."""
        if tuple(shape) == self.shape:
            return self
        cells = np.unravel_index(self.elements, self.shape)
        local = np.zeros(len(self.elements), np.int64)
        for k, n in enumerate(shape):
            local = local * n + cells[k] - low[k]
        return dataclasses.replace(self, shape=tuple(shape), elements=local.astype(np.int32))

    @classmethod
    def from_table(
        cls,
        dims: tuple[Hashable, ...],
        shape: tuple[int, ...],
        dim: Hashable,
        table: NDArray[np.int64],
        numbers: Hashable | None,
    ) -> Members:
        """Take the members of patches from (patch, slot), −1 in empty slots."""
        there = table >= 0
        offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64)
        elements, scales = table[there].astype(np.int32), np.zeros(len(table))
        between = bool((there[:, 1:] & ~there[:, :-1]).any())
        at = np.nonzero(there)[1].astype(np.int32) if between else None
        found = cls(dims, shape, dim, offsets, elements, None, scales, table.shape[1], numbers)
        return found if at is None else dataclasses.replace(found, at=at)

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
        if self.at is not None:
            return self.at.astype(np.int64)
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
                "the distances of the members are not known: single patches do not hold them, and they are not written "
                "with patches. Those of one are patches.patch.distance.isel(patch=0) of the patches that split gave; of a "
                "file give the field that was split, merge(like=field), or split again"
            )
        scale = np.repeat(np.where(self.scales > 0, self.scales, 1), self.counts)
        cells = self.counts if self.numbers is None else self.scales
        most = 1 - 0.5 / np.repeat(np.maximum(cells, 1), self.counts)
        found: NDArray[np.float64] = np.minimum(np.abs(self.distances) / scale, most)
        return found

    @property
    def identity(self) -> tuple[object, ...]:
        """All that patches and merges depend on."""
        lists = (self.offsets, self.elements, self.distances, self.scales)
        return (*lists, self.dims, self.shape, self.dim, self.width, self.at)

    def members(self, entry: int) -> NDArray[np.int32]:
        """Give the elements of one entry."""
        return self.elements[self.offsets[entry] : self.offsets[entry + 1]]

    def rows(self, ordinals: NDArray[Any]) -> NDArray[np.int64]:
        """Give the positions of the members of the patches with ``ordinals``, one after the other."""
        counts = self.counts[ordinals]
        begin = np.cumsum(counts) - counts
        found: NDArray[np.int64] = np.arange(counts.sum()) + np.repeat(
            self.offsets[ordinals] - begin, counts
        )
        return found

    def take(self, ordinals: NDArray[Any]) -> Members:
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
            at=None if self.at is None else self.at[where],
        )

    def slotted(self, numbers: NDArray[Any]) -> Members | None:
        """Keep the members with some numbers, (patch, slot), in these slots; −1 leaves one empty.

        None: a patch has no such member, or several.
        """
        n = math.prod(self.shape)
        keys = self.patches * n + self.elements
        order = np.argsort(keys, kind="stable")
        ranked = keys[order]
        patches, slots = np.nonzero(numbers >= 0)
        asked = patches * n + numbers[patches, slots]
        begin = np.searchsorted(ranked, asked)
        if (np.searchsorted(ranked, asked, side="right") != begin + 1).any() or (
            numbers >= n
        ).any():
            return None
        kept = order[begin]
        return dataclasses.replace(
            self,
            offsets=np.concatenate([[0], np.cumsum((numbers >= 0).sum(axis=1))]),
            elements=self.elements[kept],
            distances=None if self.distances is None else self.distances[kept],
            positions=None if self.distances is None else self.radial[kept],
            width=numbers.shape[1],
            at=slots.astype(np.int32),
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
        shape = tuple(self.shape[k] for k in keep)
        elements = np.zeros_like(self.elements)
        for k in keep:  # in small integers: there may be hundreds of millions
            n, behind = self.shape[k], math.prod(self.shape[k + 1 :])
            cells = self.elements // behind if behind > 1 else self.elements
            elements = elements * n + (cells % n if k else cells)
        return dataclasses.replace(self, dims=tuple(dims), shape=shape, elements=elements)

    def spread(self, ordinals: NDArray[Any], n: int) -> Members:
        """Give the patches as those with ``ordinals``, in ascending order, of ``n``; others are empty."""
        counts, scales = np.zeros(n, np.int64), np.zeros(n)
        counts[ordinals], scales[ordinals] = self.counts, self.scales
        offsets = np.concatenate([[0], np.cumsum(counts)])
        anchors = None
        if self.anchors is not None:
            anchors = np.full(n, -1)
            anchors[ordinals] = self.anchors
        return dataclasses.replace(self, offsets=offsets, scales=scales, anchors=anchors)

    def padded(self, values: NDArray[Any], fill: object) -> NDArray[Any]:
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
            and bool(np.array_equal(self.slots, other.slots))
            and bool(np.array_equal(self.scales, other.scales))
        )

    def __copy__(self) -> Members:
        return self

    def __deepcopy__(self, memo: object) -> Members:
        return self
