"""Neighborhoods of the cells of discrete global grids: those with one parent."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

import numpy as np

from xpatch import sphere
from xpatch.domain import Lattice, Sites
from xpatch.domain.global_grid import GlobalGrid
from xpatch.geometry.base import MemberGeometry, Places, members_of
from xpatch.neighborhood import Members
from xpatch.spec import is_integer


@dataclasses.dataclass(frozen=True, repr=False)
class Parents(MemberGeometry):
    """The cells of a discrete global grid (HEALPix, H3) by their parents at a lower level.

    One patch for each parent of which the field has any cell, in the order of the numbers of parents,
    which patches carry as ``anchor``; its children in the order of the field. Of a grid with all
    cells each patch of HEALPix has ``4 ** (level of the field - level)``; of H3 some have six children
    in place of seven. Anchored at any place it is the parent that holds the place.

    Parameters
    ----------
    level : int
        Level of the parents; that of the field gives patches of one cell.
    dim : hashable, optional
        Dimension of the cells, where the field has several of elements.

    See Also
    --------
    KHopGraph : Rings of neighbors around each cell.

    Examples
    --------
    >>> attrs = {"grid_name": "healpix", "level": 1, "indexing_scheme": "nested"}
    >>> cells = xr.DataArray(
    ...     np.arange(48.0), {"cell_ids": ("cells", np.arange(48), attrs)}, dims="cells"
    ... )
    >>> patches = cells.patch.split(geometry=xpatch.Parents(level=0))
    >>> dict(patches.sizes), patches.isel(patch=2).values
    ({'patch': 12, 'cells': 4}, array([ 8.,  9., 10., 11.]))
    """

    level: int
    dim: Hashable | None = None

    def __post_init__(self) -> None:
        if not is_integer(self.level):
            raise TypeError(f"level of Parents must be an int, got {self.level!r}")
        if self.level < 0:
            raise ValueError(f"level of Parents must be at least 0, got {self.level!r}")

    def outline(self, domain: Lattice) -> Sites:
        sites = super().outline(domain)
        if sites.cells is None:
            raise ValueError(
                "Parents are those of cells of a discrete global grid, but the field lies on "
                f"{type(domain).__name__}; say which grid its cell ids are of, "
                "field.dggs.decode({'grid_name': 'healpix', 'level': …}), or split a lattice with Rectangular"
            )
        return sites

    def candidates(self, domain: Lattice) -> Places:
        parents = self._cells(self.outline(domain)).coarser(self.level)
        return Places(np.full(len(parents.ids), -1), *parents.centers, ids=parents.ids)

    def named(self, domain: Lattice, places: Places) -> Places:
        if places.ids is not None:
            return places
        return dataclasses.replace(places, ids=self.anchored(self.outline(domain), places).ids)

    def neighborhood(self, domain: Lattice, places: Places) -> Members:
        sites = self.outline(domain)
        of_cells, wanted = self._cells(sites).parents(self.level), self.anchored(sites, places).ids
        order = np.argsort(of_cells, kind="stable")
        ranked = of_cells[order]
        first, last = (np.searchsorted(ranked, wanted, side) for side in ("left", "right"))
        counts = last - first
        patches = np.repeat(np.arange(len(places)), counts)
        begin = np.cumsum(counts) - counts
        elements = order[np.arange(counts.sum()) + np.repeat(first - begin, counts)]
        x, y = sites.x[elements], sites.y[elements]
        distances = sphere.haversine(x, y, places.x[patches], places.y[patches])
        scales = np.zeros(len(places))
        np.maximum.at(scales, patches, distances)
        scales *= (counts + 1) / np.maximum(counts, 1)
        return members_of(sites, patches, elements, distances, scales, len(places))

    def anchored(self, sites: Sites, places: Places) -> GlobalGrid:
        """Give the parent that each patch is anchored at."""
        cells = self._cells(sites)
        above = cells.coarser(self.level)
        ids = above.at(places.x, places.y)
        own = places.elements >= 0  # whose centers may lie beyond their parent, of H3
        ids[own] = cells.parents(self.level)[places.elements[own]]
        return GlobalGrid(above.info, ids)

    def _cells(self, sites: Sites) -> GlobalGrid:
        assert sites.cells is not None
        return sites.cells
