"""What the geometries share."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.neighborhood import Boxes, Members
from xpatch.spec import Spec


class Geometry(Spec):
    """Base of the geometries.

    A geometry says two things of a domain: the `frame` in which a sampler may place anchors, and
    the neighborhood of each anchor.
    """

    def frame(self, domain: Lattice) -> Frame:
        """Resolve sizes and boundaries on a domain."""
        raise NotImplementedError

    def neighborhood(self, domain: Lattice, anchors: Any) -> Boxes | Members:
        """Give the neighborhood of each anchor."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False)
class Anchors:
    """Where patches are: the start of each box along each dimension.

    With ``product`` they are the outer product of ``axes`` in row-major order, otherwise all axes
    have one entry per patch. Anchors taken from other patches keep their identity (``origin``) and
    say which of them are wanted (``ordinals``).
    """

    axes: tuple[NDArray[np.int64], ...]
    product: bool = False
    ordinals: NDArray[np.int64] | None = None
    origin: str | None = None


@dataclasses.dataclass(frozen=True)
class Frame:
    """A geometry on a domain: what a sampler needs to place boxes."""

    dims: tuple[Hashable, ...]
    sizes: tuple[int, ...]
    shape: tuple[int, ...]
    boundary: tuple[str, ...]

    def limits(self, k: int) -> tuple[int, int]:
        """Give the first and the last allowed start along dimension number ``k``."""
        size, n = self.sizes[k], self.shape[k]
        if self.boundary[k] == "wrap":
            return 0, n - 1
        if self.boundary[k] == "pad":
            return 1 - size, n - 1
        return 0, n - size

    def settle(self, starts: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """Apply the boundary to any starts, shape (patch, dim): move, leave out, keep or refuse.

        Raises
        ------
        ValueError
            If a box overhangs where the boundary is "raise".
        """
        starts = np.array(starts, dtype=np.int64)
        keep = np.ones(len(starts), bool)
        for k, dim in enumerate(self.dims):
            column, size, n = starts[:, k], self.sizes[k], self.shape[k]
            if self.boundary[k] == "wrap":
                column %= n
                continue
            low, high = self.limits(k)
            over = (column < low) | (column > high)
            if self.boundary[k] in ("shift", "pad"):
                np.clip(column, low, high, out=column)
            elif self.boundary[k] == "drop":
                keep &= ~over
            elif over.any():
                raise ValueError(
                    f"{what}: a patch of {size} cells starting at {int(column[over][0])} along "
                    f"{dim!r} overhangs the {n} cells of the field; "
                    "move it, or use boundary='shift', 'drop', 'pad' or 'wrap'"
                )
        return starts[keep]


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
    """Where lists of members are anchored: at elements, at any places, or nowhere (polygons).

    ``elements`` holds element numbers, −1 where an anchor is none; ``x`` and ``y`` places in the
    coordinates of the field. The others are as in `Anchors`.
    """

    elements: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    ordinals: NDArray[np.int64] | None = None
    origin: str | None = None
    optional: bool = False  # whether an anchor without any member may be left out
    polygons: NDArray[np.int64] | None = None  # numbers of polygons, where these are the anchors
    shapes: NDArray | None = None  # and the polygons, in the coordinates of the field

    def __len__(self) -> int:
        return len(self.elements)

    def take(self, which: NDArray) -> Places:
        """Give some of them."""
        return dataclasses.replace(
            self,
            elements=self.elements[which],
            x=self.x[which],
            y=self.y[which],
            polygons=None if self.polygons is None else self.polygons[which],
            shapes=None if self.shapes is None else self.shapes[which],
        )

    @classmethod
    def at(cls, sites: Sites, elements: NDArray) -> Places:
        """Anchor at elements."""
        elements = np.asarray(elements, np.int64)
        return cls(elements, sites.x[elements], sites.y[elements])


class MemberGeometry(Geometry):
    """Base of the geometries whose neighborhoods are lists of elements."""

    dim: Hashable | None

    def sites(self, domain: Lattice) -> Sites:
        """Give the elements that members are chosen from."""
        return domain.sites(self.dim)

    def candidates(self, domain: Lattice) -> Places:
        """Give all anchors there are: by default every element that has a place."""
        sites = self.sites(domain)
        return Places.at(sites, sites.known)

    def neighborhood(self, domain: Lattice, anchors: Places) -> Members:
        """Give the members of each anchor."""
        raise NotImplementedError


def members_of(
    sites: Sites,
    patches: NDArray,
    elements: NDArray,
    distances: NDArray | None,
    scales: NDArray,
    count: int,
    anchors: NDArray | None = None,
) -> Members:
    """Put members, sorted by patch, together; an anchor that is an element comes first."""
    counts = np.bincount(patches, minlength=count)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    if anchors is not None and len(patches) and (anchors >= 0).any():
        own = np.flatnonzero(elements == anchors[patches])
        order = own_first(own, offsets[patches[own]], len(elements))
        elements = elements[order]
        distances = None if distances is None else distances[order]
    width = max(1, int(counts.max(initial=0)))
    return Members(
        sites.dims,
        sites.shape,
        sites.dim,
        offsets.astype(np.int64),
        elements.astype(np.int32, copy=False),
        distances,
        np.asarray(scales, float),
        width,
    )


def own_first(own: NDArray, first: NDArray, n: int) -> NDArray[np.intp]:
    """Give the order in which the members at ``own`` stand at ``first``, and others one slot on."""
    order = np.arange(n)
    before = own - first
    moved = np.arange(before.sum()) + np.repeat(first - (np.cumsum(before) - before), before)
    order[moved + 1] = moved
    order[first] = own
    return order
