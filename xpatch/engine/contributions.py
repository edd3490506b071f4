"""Contributions: what is in the slots of patches, one row for each, with the element it falls on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.slices import Factors

COLUMNS = ("values", "elements", "weights", "mass", "labels", "radial", "squares")


@dataclasses.dataclass(frozen=True, eq=False)
class Contributions:
    """What patches contribute: one row for each slot that has an element.

    ``values`` (row, other), ``elements``, ``weights`` (None: one), ``mass`` (what they add to the
    denominator, None: one), ``labels`` (of the patch) and ``radial`` (offset from the anchor, None
    where it is not needed), and where several parts have offsets ``squares``, the mean of the squares of
    these. Rows are sorted by label.
    """

    values: NDArray[Any]
    elements: NDArray[Any]
    weights: NDArray[Any] | None
    mass: NDArray[Any] | None
    labels: NDArray[np.int64]
    radial: NDArray[Any] | None
    shape: tuple[int, ...]  # of a result of one element: the other dims before and after
    place: int  # where the elements go among them
    squares: NDArray[Any] | None = None

    def take(self, which: NDArray[Any]) -> Contributions:
        """Keep some of them."""
        part: dict[str, Any] = {
            name: None if (value := getattr(self, name)) is None else value[which]
            for name in COLUMNS
        }
        return dataclasses.replace(self, **part)


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Some patches as they are merged by elements.

    Parameters
    ----------
    hood : Neighborhood
        Their neighborhoods.
    labels : int64 array (patch,)
        Their labels.
    weights, masses : Factors
        For each part what gives weights, ``full(entries)`` of shape (patch, slot); None: all one.
    offsets : sequence, optional
        For each part what gives how far slots are from the middle, in the same way.
    anchors : int64 array (patch,), optional
        The element of each patch that is its anchor, which comes before others at its place.
    """

    hood: Any
    labels: NDArray[np.int64]
    weights: Factors
    masses: Factors
    offsets: Sequence[Any] | None = None
    anchors: NDArray[np.int64] | None = None

    def take(self, which: NDArray[Any]) -> Group:
        """Keep some of the patches."""
        anchors = None if self.anchors is None else self.anchors[which]
        hood, labels = self.hood.take(which), self.labels[which]
        return dataclasses.replace(self, hood=hood, labels=labels, anchors=anchors)

    def _table(self, factors: Sequence[Any], join: Any) -> NDArray[Any] | None:
        """Combine what each part gives, shape (patch, slot of all parts)."""
        table = getattr(factors, "table", None)
        if table is None and all(f is None for f in factors):
            return None
        out: Any = None
        entries = self.hood.entries(np.arange(len(self.hood)))
        for part, f, which in zip(self.hood.parts, factors, entries, strict=True):
            values = np.ones((1, part.width)) if f is None else f.full(which)
            out = values if out is None else join(out[:, :, None], values[:, None])
            out = out.reshape(len(out), math.prod(out.shape[1:]))
        out = out if table is None else out * table.reshape(-1)
        return np.broadcast_to(out, (len(self.hood), out.shape[1]))

    @cached_property
    def elements(self) -> NDArray[np.int64]:
        """Cells of the domain, flattened, shape (patch, slot of all parts); −1 for none."""
        out: Any = None
        none: Any = None
        entries = self.hood.entries(np.arange(len(self.hood)))
        for part, which in zip(self.hood.parts, entries, strict=True):
            cells = part.cells(which)
            if out is None:
                out, none = cells, cells < 0
                continue
            out = out[:, :, None] * math.prod(part.shape) + cells[:, None]
            none = none[:, :, None] | (cells < 0)[:, None]
            width = math.prod(out.shape[1:])
            out, none = out.reshape(len(out), width), none.reshape(len(none), width)
        out[none] = -1
        found: NDArray[np.int64] = out
        return found

    def cover(self) -> NDArray[np.float64]:
        """Sum the mass over the patches, for each element."""
        n = math.prod(self.hood.shape)
        if self.listed is not None:
            mass = self._of_members(self.masses)
            return np.bincount(self.listed.elements, mass, minlength=n).astype(float)
        elements, mass = self.elements, self._table(self.masses, np.multiply)
        there = elements >= 0
        weights = None if mass is None else mass[there]
        return np.bincount(elements[there], weights, minlength=n).astype(float)

    def contributions(self, patches: NDArray[Any], place: int) -> Contributions:
        """Take what is in the slots of patches (patch, *before, *slots, *after) apart.

        ``place`` is the number of dims before the slots.
        """
        if (np.diff(self.labels) < 0).any():
            order = np.argsort(self.labels, kind="stable")
            return self.take(order).contributions(patches[order], place)
        slots = len(self.hood.inner)
        others = (*patches.shape[1 : 1 + place], *patches.shape[1 + place + slots :])
        moved = np.moveaxis(patches, range(1 + place, 1 + place + slots), range(1, 1 + slots))
        if self.listed is not None:
            return self._of_list(moved, others, place, self.listed)
        elements = self.elements
        keep = elements >= 0
        weights = self._table(self.weights, np.multiply)
        mass = self._table(self.masses, np.multiply)
        radial, squares = self._far()
        if radial is not None and self.anchors is not None:
            radial = np.where(elements == self.anchors[:, None], -1.0, radial)
        if mass is not None:
            keep &= mass > 0
        every = bool(keep.all())
        values = moved.reshape(*elements.shape, math.prod(others))
        labels = np.broadcast_to(self.labels[:, None], elements.shape)

        def kept(table: NDArray[Any]) -> NDArray[Any]:
            return table.reshape(elements.size, *table.shape[2:]) if every else table[keep]

        return Contributions(
            np.ascontiguousarray(kept(values)),
            kept(elements),
            None if weights is None else kept(weights),
            None if mass is None else kept(mass),
            kept(labels),
            None if radial is None else kept(radial),
            others,
            place,
            None if squares is None else kept(squares),
        )

    @cached_property
    def listed(self) -> Any:
        """Lists that are all there is, of which no table is made that empty slots make wide; or None."""
        if len(self.hood.parts) != 1 or not self.hood.lists:
            return None
        return self.hood.members(np.arange(len(self.hood)))

    def _of_members(self, factors: Sequence[Any] | None) -> NDArray[np.float64] | None:
        """Give what the only part gives, of each member."""
        if factors is None or factors[0] is None:
            return None
        found: NDArray[np.float64] = factors[0].members(
            self.hood.entries(np.arange(len(self.hood)))[0]
        )
        return found

    def _of_list(
        self, moved: NDArray[Any], others: tuple[int, ...], place: int, part: Any
    ) -> Contributions:
        """Take members as they stand."""
        patch = part.patches
        rows = moved[patch, part.slots] if part.ragged else moved
        values = np.ascontiguousarray(rows.reshape(len(part.elements), math.prod(others)))
        weights, mass = self._of_members(self.weights), self._of_members(self.masses)
        radial = self._of_members(self.offsets)
        if radial is not None and self.anchors is not None:
            radial = np.where(part.elements == self.anchors[patch], -1.0, radial)
        labels = self.labels[patch]
        every = Contributions(values, part.elements, weights, mass, labels, radial, others, place)
        if mass is None or (there := mass > 0).all():
            return every
        return every.take(there)

    def _far(self) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        """Give the largest offset of each slot, and of several the mean of their squares."""
        if self.offsets is None:
            return None, None
        radial = self._table(self.offsets, np.maximum)
        if len(self.offsets) == 1:
            return radial, None
        length = self._table(self.offsets, np.hypot)
        return radial, None if length is None else length**2 / len(self.offsets)
