"""`Neighborhood`: an outer product of parts, windows along dimensions and lists of elements."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.arrangement import arranged
from xpatch.engine.members import Members
from xpatch.engine.runs import Runs
from xpatch.engine.slices import Slices

__all__ = ["Members", "Neighborhood", "Part", "Runs", "Slices"]

Part = Slices | Members


@dataclasses.dataclass(frozen=True, eq=False)
class Neighborhood:
    """Which cells patches hold: parts, and which entry of each part a patch takes.

    Parameters
    ----------
    parts : tuple of Slices or Members
        Each along other dimensions; windows in time come last.
    picks : tuple of int64 arrays (patch,), optional
        Which entry of each part each patch takes. None: the outer product, in which entries of the
        last part vary fastest.
    """

    parts: tuple[Part, ...]
    picks: tuple[NDArray[np.int64], ...] | None = None

    def __len__(self) -> int:
        return math.prod(self.grid) if self.picks is None else len(self.picks[0])

    @classmethod
    def boxes(
        cls,
        dims: Sequence[Hashable],
        sizes: Sequence[int],
        shape: Sequence[int],
        axes: Sequence[NDArray[Any]],
        product: bool = True,
        wrap: Sequence[bool] | None = None,
        **pad: Any,
    ) -> Neighborhood:
        """Give boxes: starts along each dimension, of their outer product or one for each box."""
        wrap = [False] * len(sizes) if wrap is None else wrap
        given = zip(dims, shape, axes, sizes, wrap, strict=True)
        parts = tuple(Slices(d, n, np.asarray(a), s, bool(w), **pad) for d, n, a, s, w in given)
        if product:
            return cls(parts)
        each = np.arange(len(parts[0]) if parts else 1)
        return cls(parts, (each,) * len(parts))

    # ---------------------------------------------------------------------------- what it holds

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The dimensions that are cut."""
        return tuple(d for part in self.parts for d in part.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells of the domain along each of ``dims``."""
        return tuple(n for part in self.parts for n in part.shape)

    @property
    def inner(self) -> dict[Hashable, int]:
        """In-patch dimensions and their sizes."""
        return {d: n for part in self.parts for d, n in part.inner.items()}

    @property
    def width(self) -> int:
        """Slots of a patch."""
        return math.prod(part.width for part in self.parts)

    @property
    def grid(self) -> tuple[int, ...]:
        """Entries of each part."""
        return tuple(map(len, self.parts))

    @property
    def product(self) -> bool:
        """Whether patches are the outer product of the entries."""
        return self.picks is None

    @cached_property
    def ragged(self) -> bool:
        """Whether any slot is empty."""
        return any(part.ragged for part in self.parts)

    @cached_property
    def overhangs(self) -> bool:
        """Whether any window reaches outside the domain."""
        return any(part.overhangs for part in self.slices)

    @cached_property
    def tiles(self) -> bool:
        """Whether these are an outer product of windows of which no two share a cell."""
        return self.product and all(p.box and p.side_by_side and not p.ragged for p in self.parts)

    @property
    def slices(self) -> tuple[Slices, ...]:
        """The parts that are windows along one dimension."""
        return cast(tuple[Slices, ...], tuple(p for p in self.parts if p.box))

    @property
    def lists(self) -> tuple[Members, ...]:
        """The parts that are lists of elements."""
        return cast(tuple[Members, ...], tuple(p for p in self.parts if not p.box))

    @property
    def boxed(self) -> Neighborhood | None:
        """The same patches along the dimensions in which they are boxes; None: along none."""
        if not self.lists:
            return self
        return self.only([p.dim for p in self.slices]) if self.slices else None

    @property
    def in_time(self) -> Part | None:
        """The part that is windows in time."""
        return next((p for p in self.parts if p.timed), None)

    @property
    def time_dims(self) -> tuple[Hashable, ...]:
        """The dimension along which there are windows in time, if there is one."""
        part = self.in_time
        return () if part is None else part.dims

    @property
    def in_space(self) -> Neighborhood | None:
        """The parts that are not windows in time, with entries of their own; None: there are none."""
        kept = [k for k, p in enumerate(self.parts) if not p.timed]
        if len(kept) == len(self.parts):
            return self
        if not kept:
            return None
        parts = tuple(self.parts[k] for k in kept)
        if self.picks is None:
            return Neighborhood(parts)
        if len(kept) == 1:
            return Neighborhood(parts, (np.arange(len(parts[0])),))
        return Neighborhood(parts, tuple(self.picks[k] for k in kept))

    def in_space_of(self, ordinals: NDArray[Any]) -> NDArray[np.int64]:
        """Give which patches of `in_space` those with ``ordinals`` are."""
        kept = [k for k, p in enumerate(self.parts) if not p.timed]
        entries = [self.entries(ordinals)[k] for k in kept]
        if len(kept) == len(self.parts) or (self.picks is not None and len(kept) > 1):
            return np.asarray(ordinals)
        out = np.zeros(len(ordinals), np.int64)
        for e, k in zip(entries, kept, strict=True):
            out = out * len(self.parts[k]) + e
        return out

    # ------------------------------------------------------------------- boxes, along each dim

    @property
    def sizes(self) -> tuple[int, ...]:
        """Cells of a box along each dimension."""
        return tuple(p.size for p in self._boxes())

    @property
    def wrap(self) -> tuple[bool, ...]:
        """Whether each dimension of boxes is periodic."""
        return tuple(p.wrap for p in self._boxes())

    @property
    def anchors(self) -> tuple[int | None, ...]:
        """Which cell of a box is the anchor of a window in time; None along other dimensions."""
        return tuple(p.anchor for p in self._boxes())

    def starts(self, ordinals: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """Give the first cells of boxes, shape (patch, dim)."""
        return self._of_boxes(lambda part: part.starts, ordinals)

    def cells(self, ordinals: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """Give how many cells boxes have, shape (patch, dim)."""
        return self._of_boxes(lambda part: part.counts, ordinals)

    def extents(self, ordinals: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """Give the first cells of boxes and how many they have, (patch, 2 · dim): alike are the same boxes."""
        return np.hstack([self.starts(ordinals), self.cells(ordinals)])

    def _of_boxes(
        self, of: Callable[[Slices], NDArray[np.int64]], ordinals: NDArray[Any] | None
    ) -> NDArray[np.int64]:
        """Give what there is of each entry of each part, of patches, shape (patch, dim)."""
        ordinals = np.arange(len(self)) if ordinals is None else ordinals
        picks = self.entries(np.asarray(ordinals))
        columns = [of(p)[e] for p, e in zip(self._boxes(), picks, strict=True)]
        return np.stack(columns, axis=-1) if columns else np.empty((len(ordinals), 0), np.int64)

    def _boxes(self) -> tuple[Slices, ...]:
        if len(self.slices) < len(self.parts):
            dims = [m.dim for m in self.lists]
            raise TypeError(
                f"this needs patches that are boxes; these are lists of members along {dims}"
            )
        return self.slices

    # ------------------------------------------------------------------------------- of patches

    def entries(self, ordinals: NDArray[Any]) -> tuple[NDArray[np.int64], ...]:
        """Give which entry of each part the patches with ``ordinals`` take."""
        if self.picks is not None:
            return tuple(p[ordinals] for p in self.picks)
        if len(self.parts) == 1:
            return (np.asarray(ordinals),)
        return tuple(np.unravel_index(ordinals, self.grid)) if self.parts else ()

    def of_part(self, part: Part, ordinals: NDArray[Any]) -> NDArray[np.int64]:
        """Give which entry of one part the patches with ``ordinals`` take."""
        k = next(k for k, p in enumerate(self.parts) if p is part)
        return self.entries(ordinals)[k]

    def members(self, ordinals: NDArray[Any], part: Members | None = None) -> Members:
        """Give the lists of patches: those of one part, or of the only one that there is."""
        found = self.lists[0] if part is None else part
        return found.take(self.of_part(found, np.asarray(ordinals)))

    def reach(self, ordinals: NDArray[Any]) -> tuple[list[int], list[int]]:
        """Give the first cell of some patches along each dim, and that behind the last.

        Windows may reach beyond the domain, lists do not.
        """
        low: list[int] = []
        high: list[int] = []
        for part, which in zip(self.parts, self.entries(ordinals), strict=True):
            first, behind = part.reach(which)
            low += first
            high += behind
        return low, high

    def take(self, ordinals: NDArray[Any]) -> Neighborhood:
        """Give the patches with ``ordinals``."""
        ordinals = np.asarray(ordinals)
        if len(ordinals) == len(self) and bool((ordinals == np.arange(len(self))).all()):
            return self
        return Neighborhood(self.parts, self.entries(ordinals))

    def alone(self, ordinals: NDArray[Any]) -> Neighborhood:
        """Give patches so that those of one part are its entries, one by one."""
        if len(self.parts) != 1:
            return self.take(ordinals)
        return Neighborhood((self.parts[0].take(self.entries(np.asarray(ordinals))[0]),))

    def arranged(self, ordinals: NDArray[Any]) -> tuple[Neighborhood, NDArray[np.int64] | None]:
        """Give patches, as an outer product where boxes are one, and where each stands then.

        The second result says where the k-th patch of the first stands among ``ordinals``; None: at k.
        """
        if self.lists or not self.parts:
            return self.take(ordinals), None
        found = arranged(self, ordinals)
        if not found.full:
            return self.take(ordinals), None
        parts = [p.take(e) for p, e in zip(self.parts, found.entries, strict=True)]
        return Neighborhood(tuple(parts)), found.position

    def only(self, dims: Sequence[Hashable]) -> Neighborhood:
        """Give the same patches along some of the dimensions."""
        if set(dims) == set(self.dims):
            return self
        picks = self.entries(np.arange(len(self)))
        kept = [k for k, part in enumerate(self.parts) if set(dims) & set(part.dims)]
        parts = [self.parts[k].only([d for d in self.parts[k].dims if d in dims]) for k in kept]
        return Neighborhood(tuple(parts), tuple(picks[k] for k in kept))

    # --------------------------------------------------------------------------------- changed

    def with_parts(self, parts: Iterable[Part]) -> Neighborhood:
        """Give the same patches with other parts."""
        return Neighborhood(tuple(parts), self.picks)

    def replaced(self, old: Part, new: Part) -> Neighborhood:
        """Give the same patches with another part in place of one."""
        return self.with_parts(new if p is old else p for p in self.parts)

    def cropped(self, crop: Mapping[Hashable, tuple[int, int]]) -> Neighborhood:
        """Leave out the first and last slots of each window: ``{dim: (before, after)}``."""
        if not any(any(crop.get(p.dim, (0, 0))) for p in self.slices):
            return self
        return self.with_parts(p.cropped(*crop.get(p.dim, (0, 0))) for p in self.parts)

    @property
    def coarse(self) -> dict[Hashable, int]:
        """How many cells each slot is the mean of, along dimensions of patches of several scales."""
        return {p.dim: p.coarse for p in self.slices if p.coarse is not None}

    def averaged(self, factors: Mapping[Hashable, int]) -> Neighborhood:
        """Give the same patches, of which each slot is the mean of so many cells."""
        return self.with_parts(p.averaged(factors.get(p.dim)) for p in self.parts)

    @cached_property
    def fine(self) -> Neighborhood:
        """The same patches cell by cell."""
        return self.averaged({}) if self.coarse else self

    def scaled(self, factors: Mapping[Hashable, int]) -> Neighborhood:
        """Give the windows on cells that are finer by integer factors."""
        return self.with_parts(p.scaled(factors.get(p.dim, 1)) for p in self.parts)

    def moved(self, low: Sequence[int], shape: Sequence[int]) -> Neighborhood:
        """Give the patches in a region, of which cells are counted from ``low`` on."""
        parts: list[Part] = []
        k = 0
        for p in self.parts:
            n = len(p.dims)
            parts.append(p.moved(low[k : k + n], shape[k : k + n]))
            k += n
        return self.with_parts(parts)

    def padded_by(self, **pad: Any) -> Neighborhood:
        """Let cells of windows outside of the domain be filled in another way."""
        return self.with_parts(p.padded_by(**pad) for p in self.parts)

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Neighborhood:
        """Give the same with other names of dimensions."""
        return self.with_parts(p.renamed(names) for p in self.parts)

    # -------------------------------------------------------------------------------- compared

    @property
    def identity(self) -> tuple[object, ...]:
        """All that patches and merges depend on."""
        return (*(p.identity for p in self.parts), self.picks)

    def equals(self, other: object) -> bool:
        """Whether both are the same patches in the same order."""
        if self is other:
            return True
        if not isinstance(other, Neighborhood) or len(self.parts) != len(other.parts):
            return False
        if len(self) != len(other):
            return False
        every = np.arange(len(self))
        both = zip(self.parts, other.parts, self.entries(every), other.entries(every), strict=True)
        return all(a.equals(b) and a.same(b, e, f) for a, b, e, f in both)

    def __copy__(self) -> Neighborhood:
        return self

    def __deepcopy__(self, memo: object) -> Neighborhood:
        return self


def lead_of(part: Part | None) -> tuple[Hashable, NDArray[np.int64]] | None:
    """Give the dimension of windows in time, and the steps from the anchor, if all have the same."""
    lead = None if part is None or not part.timed else part.lead
    return None if part is None or lead is None else (next(iter(part.inner)), lead)
