"""`Joint`: neighborhoods in several groups of dimensions, such as time and space, at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xpatch.neighborhood import Boxes, Members

__all__ = ["Hood", "Joint"]

SLOTS = "__slots__"  # the slots of all parts, flattened


@dataclasses.dataclass(frozen=True, eq=False)
class Joint:
    """Neighborhoods in several groups of dimensions, and which entry of each a patch takes.

    Boxes in space with boxes in time are boxes again; this is for the others.

    Parameters
    ----------
    parts : tuple of Boxes or Members
        Time before space.
    picks : tuple of int64 arrays (patch,), optional
        Which entry of each part each patch takes. None: the outer product, in which entries of the
        first part vary fastest.
    """

    parts: tuple[Boxes | Members, ...]
    picks: tuple[NDArray[np.int64], ...] | None = None

    def __len__(self) -> int:
        return math.prod(map(len, self.parts)) if self.picks is None else len(self.picks[0])

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The dimensions that are cut."""
        return tuple(d for part in self.parts for d in part.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells of the domain along each of ``dims``."""
        return tuple(n for part in self.parts for n in part.shape)

    @property
    def slots(self) -> dict[Hashable, int]:
        """In-patch dimensions and their sizes."""
        return {d: n for part in self.parts for d, n in inner_sizes(part).items()}

    @property
    def dim(self) -> Hashable:
        """Name of the one dimension that the slots of all parts are flattened to."""
        return SLOTS

    @property
    def width(self) -> int:
        """Slots of a patch."""
        return math.prod(self.slots.values())

    @cached_property
    def ragged(self) -> bool:
        """Whether any slot is empty."""
        return any(isinstance(part, Members) and part.ragged for part in self.parts)

    @property
    def lists(self) -> tuple[Members, ...]:
        """The parts that are lists of members."""
        return tuple(p for p in self.parts if isinstance(p, Members))

    @property
    def identity(self) -> tuple[object, ...]:
        """All that patches and merges depend on."""
        parts = [p.identity if isinstance(p, Members) else p for p in self.parts]
        return (*parts, self.picks)

    def entries(self, ordinals: NDArray) -> tuple[NDArray[np.int64], ...]:
        """Give which entry of each part the patches with ``ordinals`` take."""
        if self.picks is not None:
            return tuple(p[ordinals] for p in self.picks)
        grid = tuple(map(len, self.parts))[::-1]
        return tuple(np.unravel_index(ordinals, grid)[::-1])

    def only(self, dims: Sequence[Hashable]) -> Hood:
        """Give the same patches along some of the dimensions."""
        entries = self.picks
        if set(dims) == set(self.dims):
            return self
        if entries is None:
            entries = self.entries(np.arange(len(self)))
        kept = [k for k, part in enumerate(self.parts) if set(dims) & set(part.dims)]
        parts = [self.parts[k].only([d for d in self.parts[k].dims if d in dims]) for k in kept]
        if len(kept) == 1 and isinstance(parts[0], Boxes):
            return parts[0].take(entries[kept[0]])
        return Joint(tuple(parts), tuple(entries[k] for k in kept))

    @property
    def boxed(self) -> Boxes | None:
        """The boxes among the parts, one for each patch."""
        boxes = [p for p in self.parts if isinstance(p, Boxes)]
        if not boxes:
            return None
        found = self.only([d for p in boxes for d in p.dims])
        assert isinstance(found, Boxes)
        return found

    def take(self, ordinals: NDArray) -> Members:
        """Give the lists of some patches, where there is but one part.

        Raises
        ------
        TypeError
            If there are several.
        """
        (part,) = self.parts
        if not isinstance(part, Members):
            raise TypeError("these patches are not only lists of members")
        return part.take(self.entries(np.asarray(ordinals))[0])

    def inner(self, crop: Mapping[Hashable, tuple[int, int]]) -> Joint:
        """Leave out the first and last cells of each box: ``{dim: (before, after)}``."""
        parts = tuple(p.inner(crop) if isinstance(p, Boxes) else p for p in self.parts)
        return dataclasses.replace(self, parts=parts)

    def replaced(self, old: Boxes | Members, new: Boxes | Members) -> Joint:
        """Give the same patches with another part in place of one."""
        parts = tuple(new if p is old else p for p in self.parts)
        return dataclasses.replace(self, parts=parts)

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Joint:
        """Give the same with other names of dimensions."""
        return dataclasses.replace(self, parts=tuple(p.renamed(names) for p in self.parts))

    def equals(self, other: object) -> bool:
        """Whether both are the same patches in the same order."""
        if self is other:
            return True
        if not isinstance(other, Joint) or len(self.parts) != len(other.parts):
            return False
        every = np.arange(len(self))
        return (
            len(self) == len(other)
            and all(
                type(a) is type(b) and a.equals(b)  # type: ignore[arg-type]
                for a, b in zip(self.parts, other.parts, strict=True)
            )
            and all(map(np.array_equal, self.entries(every), other.entries(every)))
        )

    def __copy__(self) -> Joint:
        return self

    def __deepcopy__(self, memo: object) -> Joint:
        return self


Hood = Boxes | Members | Joint


def inner_sizes(hood: Hood) -> dict[Hashable, int]:
    """Give in-patch dimensions and their sizes."""
    if isinstance(hood, Joint):
        return hood.slots
    if isinstance(hood, Members):
        return {hood.dim: hood.width}
    return dict(zip(hood.dims, hood.sizes, strict=True))


def time_part(hood: Hood) -> Boxes | Members | None:
    """Give the part that is windows in time."""
    parts = hood.parts if isinstance(hood, Joint) else (hood,)
    return next((p for p in parts if in_time(p)), None)


def time_dims(part: Boxes | Members | None) -> tuple[Hashable, ...]:
    """Give the dimension along which a part has windows in time, if there is one."""
    if part is None:
        return ()
    if isinstance(part, Members):
        return () if part.numbers is None else part.dims
    return tuple(d for d, at in zip(part.dims, part.anchors, strict=True) if at is not None)


def along(hood: Hood, part: Members) -> Members | Joint:
    """Give the patches along the dimensions of one of their lists alone."""
    found = hood.only(part.dims) if isinstance(hood, Joint) else part
    assert not isinstance(found, Boxes)
    return found


def lead_of(part: Boxes | Members) -> tuple[Hashable, NDArray[np.int64]] | None:
    """Give the dimension of windows in time, and the steps from the anchor, if all have the same."""
    if isinstance(part, Members):
        return None if part.lead is None else (part.dim, part.lead)
    for d, size, at in zip(part.dims, part.sizes, part.anchors, strict=True):
        if at is not None:
            return d, np.arange(size) - at
    return None


def space_part(hood: Hood) -> Boxes | Members | None:
    """Give the part that is not only windows in time."""
    if isinstance(hood, Joint):
        return next((p for p in hood.parts if not in_time(p)), None)
    return None if isinstance(hood, Members) and in_time(hood) else hood


def in_time(part: Boxes | Members) -> bool:
    """Whether a part has windows in time."""
    return bool(time_dims(part))
