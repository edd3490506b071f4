"""What the geometries share."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.domain import places as pl
from xpatch.neighborhood import Members, Neighborhood
from xpatch.spec import Spec, per_dim


class Geometry(Spec):
    """Base of the geometries.

    A geometry says two things of a domain: what a sampler must know to place anchors, and the
    neighborhood of each anchor. Lists of elements derive from `MemberGeometry`.

    Examples
    --------
    >>> geometry = xpatch.Rectangular(4)
    >>> domain = xr.DataArray(np.zeros(10), dims="x").patch.domain
    >>> geometry.outline(domain).sizes
    (4,)
    >>> anchors = xpatch.RegularStride(3).places(domain, geometry)
    >>> geometry.neighborhood(domain, anchors).parts[0].starts
    array([0, 3, 6])
    """

    def on(self, domain: Lattice) -> Geometry:
        """Give what this is on ``domain``: sizes are boxes on lattices, and lists on elements."""
        return self

    def outline(self, domain: Lattice) -> Any:
        """Give what a sampler must know: the frame of boxes, or the sites that members are chosen from."""
        raise NotImplementedError

    def neighborhood(self, domain: Lattice, places: Any) -> Neighborhood | Members:
        """Give the neighborhood of each anchor: of `Anchors` boxes, of `Places` lists of members."""
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
    ids: NDArray | None = None  # names of the anchors, such as those of facilities
    centered: bool = False  # whether each box has its place in the middle: the boundary moved none


@dataclasses.dataclass(frozen=True)
class Frame:
    """A geometry on a domain: what a sampler needs to place boxes."""

    dims: tuple[Hashable, ...]
    sizes: tuple[int, ...]
    shape: tuple[int, ...]
    boundary: tuple[str, ...]
    snap: tuple[int, ...] | None = None  # of what starts are multiples

    @property
    def order(self) -> list[int]:
        """The dimensions by number, in the order in which their starts are settled."""
        return list(range(len(self.dims)))

    def cells(self, k: int, starts: NDArray[np.int64]) -> Any:
        """Give the size of boxes with some starts along dimension number ``k``."""
        return self.sizes[k]

    def nearest(self, located: Any) -> NDArray[np.int64]:
        """Give the starts of the boxes whose mid-points are nearest to places, shape (place, dim)."""
        return pl.nearest_starts(located, self.sizes)

    def centered(self, cells: NDArray[Any]) -> NDArray[np.int64]:
        """Give the starts of the boxes that have cells, (patch, dim), for their middle ones."""
        return np.asarray(cells - np.array(self.sizes) // 2, np.int64)

    def widened(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the starts of boxes of those that draws take, which know of one size alone."""
        return starts

    def keeping(self, keep: Any) -> Any:
        """Give what says which of these are kept, ``keep`` and what the boundary leaves."""
        return keep

    def multiple(self, k: int) -> int:
        """Give of what starts along dimension number ``k`` are multiples."""
        return 1 if self.snap is None else self.snap[k]

    def snapped(self, snap: Any) -> Frame:
        """Give the frame in which starts are multiples, counted from the first cell.

        Raises
        ------
        ValueError
            If along a periodic dimension they would not be.
        """
        if snap is None:
            return self
        asked = per_dim(snap, self.dims, "snap")
        steps = tuple(asked.get(d, 1) for d in self.dims)
        for d, n, step, word in zip(self.dims, self.shape, steps, self.boundary, strict=True):
            if word == "wrap" and n % step:
                raise ValueError(
                    f"snap={step} along {d!r} does not divide its {n} cells, so that patches across the seam "
                    "would not start at multiples; use a divisor, or another boundary"
                )
        return dataclasses.replace(self, snap=steps)

    def limits(self, k: int, size: Any = None) -> tuple[Any, Any]:
        """Give the first and the last allowed start along dimension number ``k``, of boxes of some size."""
        n, step = self.shape[k], self.multiple(k)
        size = self.sizes[k] if size is None else size
        low, high = 0, n - size
        if self.boundary[k] == "wrap":
            low, high = 0, n - 1
        elif self.boundary[k] == "pad":
            low, high = 1 - size, n - 1
        return -(-low // step) * step, high // step * step

    def settle(
        self, starts: NDArray[np.int64], what: str
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Apply the boundary to any starts, shape (patch, dim): move, leave out, keep or refuse.

        Gives the starts, and which of them are kept.

        Raises
        ------
        ValueError
            If a box overhangs where the boundary is "raise".
        """
        starts = np.array(starts, dtype=np.int64)
        keep = np.ones(len(starts), bool)
        for k in self.order:
            dim, column, n = self.dims[k], starts[:, k], self.shape[k]
            if self.boundary[k] == "wrap":
                column %= n
                continue
            size = self.cells(k, starts)
            low, high = self.limits(k, size)
            over = (column < low) | (column > high)
            if self.boundary[k] in ("shift", "pad"):
                np.clip(column, low, high, out=column)
            elif self.boundary[k] == "drop":
                keep &= ~over
            elif over.any():
                size = int(np.broadcast_to(size, len(starts))[over][0])
                raise ValueError(
                    f"{what}: a patch of {size} cells starting at {int(column[over][0])} along "
                    f"{dim!r} overhangs the {n} cells of the field; "
                    "move it, or use boundary='shift', 'drop', 'pad' or 'wrap'"
                )
        return starts, keep


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
    empty: str | None = (
        None  # what becomes of anchors without any member; default: as the geometry says
    )
    ids: NDArray | None = None  # names of the anchors
    polygons: NDArray[np.int64] | None = None  # numbers of polygons, where these are the anchors
    shapes: NDArray | None = None  # and the polygons, in the coordinates of the field
    headings: NDArray | None = None  # where anchors head, degrees clockwise from north

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
            ids=None if self.ids is None else self.ids[which],
            headings=None if self.headings is None else self.headings[which],
        )

    @classmethod
    def at(cls, sites: Sites, elements: NDArray) -> Places:
        """Anchor at elements."""
        elements = np.asarray(elements, np.int64)
        return cls(elements, sites.x[elements], sites.y[elements])


class MemberGeometry(Geometry):
    """Base of the geometries whose neighborhoods are lists of elements."""

    dim: Hashable | None
    empty = "raise"  # what becomes of anchors without any member, where the sampler does not say
    lonely = "use a larger radius"  # what else mends that there is none

    @property
    def turns(self) -> bool:
        """Whether neighborhoods turn with their anchors."""
        return False

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a table of anchors that the geometry looks at."""
        return ()

    def headed(self, domain: Lattice, places: Places, given: Any = None) -> Places:
        """Say where anchors head, in the order of a track, if neighborhoods turn with it."""
        return places

    def named(self, domain: Lattice, places: Places) -> Places:
        """Give places the names that the geometry has for them, where the user gave none."""
        return places

    def slot_offsets(
        self, domain: Lattice
    ) -> dict[str, tuple[NDArray[np.float64], dict[str, str]]]:
        """Give where the slots of all patches lie around the anchor, by name, where they do so alike."""
        return {}

    def outline(self, domain: Lattice) -> Sites:
        """Give the elements that members are chosen from."""
        return domain.sites(self.dim)

    def candidates(self, domain: Lattice) -> Places:
        """Give all anchors there are: by default every element that has a place."""
        sites = self.outline(domain)
        return Places.at(sites, sites.known)

    def neighborhood(self, domain: Lattice, places: Places) -> Members:
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
