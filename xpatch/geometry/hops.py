"""Neighborhoods by adjacency: what can be reached in some steps from neighbor to neighbor."""

from __future__ import annotations

import base64
import dataclasses
import math
import zlib
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.domain import positions as ps
from xpatch.domain.adjacency import lattice_cells
from xpatch.domain.on_cells import check_cells
from xpatch.geometry import search
from xpatch.geometry.base import MemberGeometry, Places, members_of
from xpatch.neighborhood import Members
from xpatch.spec import Spec, check_flag

ROOTS = 1 << 16  # anchors whose neighborhoods are looked for in one go


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class KHopGraph(MemberGeometry):
    """The elements within some steps from neighbor to neighbor, the nearest first.

    Cells of a lattice are neighbors across a side. Hops go on where a grid goes around the Earth: across
    the date line, across the fold of a tripolar grid, and from face to face of a cubed sphere, where sides
    of cells lie at the same place. They do not cross the poles of a latitude/longitude grid, and cells
    without a place have no neighbors. Faces of a mesh are neighbors across an edge, nodes along one,
    edges at a common node. The distance is the number of steps.

    Parameters
    ----------
    hops : int
        Largest number of steps.
    dim : hashable, optional
        Dimension of the elements, where the field has several (faces and nodes).
    where : DataArray of bool, optional
        Which elements can be gone through, over some or all dimensions in space: the sea, say. No step
        enters another one; these are in no patch, and no anchors.
    corners : bool, default: False
        Whether cells of a lattice that share a corner are neighbors, too: 8 in place of 4. A step over a
        corner is taken between two cells of land as well.

    Notes
    -----
    Anchors at any place begin at the cell they lie in; on a mesh, a curvilinear grid and a cubed sphere at
    the nearest center. Beside the field, and where none can be gone through, as on land, they have no members;
    ``empty`` of the sampler says what becomes of these.

    Cells that a grid holds twice, such as the halo of an ORCA grid, count as one: they have the neighbors of
    both, and are one step apart. What is reached is found by breadth-first search.

    Examples
    --------
    >>> sea = xr.DataArray([[1, 1, 1], [0, 0, 1], [1, 1, 1]], dims=("y", "x")) == 1
    >>> field = xr.DataArray(np.arange(9.0).reshape(3, 3), dims=("y", "x"))
    >>> around = field.patch.split(geometry=xpatch.KHopGraph(2, where=sea))
    >>> around.isel(patch=0).values
    array([ 0.,  1.,  2., nan, nan])
    >>> far = field.patch.split(geometry=xpatch.KHopGraph(9, where=sea)).patch.distance
    >>> far.isel(patch=0).values  # from one corner along the sea to the one below it
    array([0., 1., 2., 3., 4., 5., 6.])
    """

    lonely = "move them to where `where` of KHopGraph is True"

    hops: int
    dim: Hashable | None = None
    where: Any = None
    corners: bool = False

    def __post_init__(self) -> None:
        search.check_count(self.hops, "hops of KHopGraph")
        check_flag(self.corners, "corners of KHopGraph")
        if isinstance(self.where, Passable):
            object.__setattr__(self, "where", self.where.array())
        if self.where is None:
            return
        if not isinstance(self.where, xr.DataArray):
            raise TypeError(
                "where of KHopGraph must be a boolean DataArray, such as field.notnull(), got "
                f"{type(self.where).__name__}; give an array its dimensions: "
                "xr.DataArray(mask, dims=('y', 'x')) with those of the field"
            )
        if self.where.dtype != bool:
            raise TypeError(
                f"where of KHopGraph must be boolean, got dtype {self.where.dtype}: compare it, such as "
                "where=depth > 0 or where=field.notnull()"
            )
        # read once, and a copy: whoever changes the mask later does not change what was split
        object.__setattr__(self, "where", self.where.compute().copy())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KHopGraph) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((int(self.hops), self.dim, self.corners))

    def outline(self, domain: Lattice) -> Sites:
        """Give the elements that can be gone through, and who is a neighbor of whom.

        Raises
        ------
        ValueError
            If nothing says who is, or ``where`` lies on other cells.
        """
        sites = self._elements(domain)
        passable = self._passable(domain, sites)
        if passable is None:
            return sites
        x, y = np.where(passable, sites.x, np.nan), np.where(passable, sites.y, np.nan)
        linked = sites.adjacency
        assert linked is not None

        def adjacency() -> Any:
            return among(linked(), passable)

        return dataclasses.replace(sites, x=x, y=y, axes=None, adjacency=adjacency)

    def _elements(self, domain: Lattice) -> Sites:
        if not domain.element_dims:
            return lattice_cells(domain, self.dim, self.corners)
        sites = super().outline(domain)
        if sites.adjacency is None:
            raise ValueError(
                "KHopGraph goes from neighbor to neighbor of a mesh or a lattice, but the field lies on "
                f"{type(domain).__name__}: without the grid of uxarray nothing says what is "
                "adjacent. Open it with uxarray (ux.open_dataset(grid, data)), put the grid back "
                "(ux.UxDataArray(field, uxgrid=grid)), or go by distance: KNNGraph, RadiusGraph"
            )
        if self.corners:
            raise ValueError(
                "corners=True is for the cells of lattices, which have 4 or 8 neighbors; elements along "
                f"{list(sites.dims)} are neighbors as their mesh has it: leave it out"
            )
        return sites

    def _passable(self, domain: Lattice, sites: Sites) -> NDArray[np.bool_] | None:
        """Say which elements can be gone through; None if all can."""
        if self.where is None:
            return None
        what = "where of KHopGraph"
        extra = [d for d in self.where.dims if d in domain.sizes and d not in sites.dims]
        if extra:
            raise ValueError(
                f"{what} differs along {extra}, but neighbors are the same for all of it: say where one can "
                f"always go, where.all({extra[0]!r}), or take one, where.isel({extra[0]}=0)"
            )
        check_cells(self.where, domain, sites.dims, what)
        bare = self.where.variable
        missing = {d: n for d, n in zip(sites.dims, sites.shape, strict=True) if d not in bare.dims}
        flat = bare.set_dims({**missing, **bare.sizes}).transpose(*sites.dims).values.ravel()
        if not flat.any():
            raise ValueError(f"{what} is False everywhere: there is nowhere to go")
        return np.asarray(flat)

    def neighborhood(self, domain: Lattice, places: Places) -> Members:
        sites = self.outline(domain)
        roots = self._roots(domain, sites, places)
        assert sites.adjacency is not None
        patches, elements, hops = reached(sites.adjacency(), roots, int(self.hops))
        scales = np.full(len(roots), self.hops + 1.0)
        return members_of(sites, patches, elements, hops, scales, len(roots))

    def _roots(self, domain: Lattice, sites: Sites, places: Places) -> NDArray[np.int64]:
        """Give the elements that hops begin at, −1 where there is none: on land, or beside the field."""
        roots, loose = places.elements.copy(), np.flatnonzero(places.elements < 0)
        if len(loose):
            roots[loose] = holders(self._elements(domain), domain, places.take(loose))
        return np.where((roots >= 0) & np.isfinite(sites.x[roots]), roots, -1)

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-able values; ``where`` as compressed bits."""
        where = None if self.where is None else Passable.of(self.where).to_dict()
        return {**super().to_dict(), "where": where}


@dataclasses.dataclass(frozen=True, repr=False)
class Passable(Spec):
    """A boolean array as text: its bits, compressed."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    bits: str

    @classmethod
    def of(cls, where: xr.DataArray) -> Passable:
        """Write an array; its labels are those of the field."""
        data = zlib.compress(np.packbits(where.values).tobytes())
        names = tuple(map(str, where.dims))
        return cls(names, where.shape, base64.b64encode(data).decode())

    def array(self) -> xr.DataArray:
        """Read it.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        n = math.prod(self.shape)
        inflate = zlib.decompressobj()
        try:
            data = inflate.decompress(base64.b64decode(self.bits, validate=True), n // 8 + 2)
        except zlib.error as error:
            raise ValueError(f"where of KHopGraph is damaged ({error})") from None
        if len(data) != -(-n // 8):
            raise ValueError(f"where of KHopGraph is damaged: {len(data)} bytes for {n} cells")
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=n).astype(bool)
        return xr.DataArray(bits.reshape(self.shape), dims=self.dims)


def holders(sites: Sites, domain: Lattice, places: Places) -> NDArray[np.int64]:
    """Give the elements that places lie in, −1 beside the field; the nearest where only centers are known."""
    if sites.axes is not None:
        return sites.holding(places.x, places.y)
    if sites.cells is not None:
        return sites.cells.find(places.x, places.y)
    near = search.nearest(sites, places, 1, search.resolve("auto", sites))[0][:, 0]
    if sites.holds is not None:
        return np.where(sites.holds(*sites.to_lonlat(places.x, places.y)), near, -1)
    if domain.element_dims:
        return near
    return np.where(ps.near_cells(*sites.to_lonlat(places.x, places.y), sites), near, -1)


def among(adjacency: Any, passable: NDArray[np.bool_]) -> Any:
    """Give the neighbors that can be gone through, of those that can."""
    from scipy.sparse import csr_matrix

    found = adjacency.tocoo()
    kept = passable[found.row] & passable[found.col]
    pairs = found.row[kept], found.col[kept]
    return csr_matrix((np.ones(len(pairs[0]), bool), pairs), shape=found.shape)


# ---------------------------------------------------------------------------------------- search

Reached = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]


def reached(adjacency: Any, roots: NDArray, hops: int) -> Reached:
    """Find what can be reached in at most ``hops`` steps, and in how many.

    Sorted by patch, then by steps, then by element.
    """
    linked = adjacency.astype(bool)
    parts = [_block(linked, roots[k : k + ROOTS], k, hops) for k in range(0, len(roots), ROOTS)]
    if not parts:
        return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0)
    patches, elements, far = (np.concatenate(column) for column in zip(*parts, strict=True))
    return patches, elements, far


def _block(linked: Any, roots: NDArray, first: int, hops: int) -> Reached:
    """Put the fronts of some anchors together, patch by patch."""
    fronts = list(_fronts(linked, roots, hops))
    per_front = np.stack([np.diff(front.indptr) for front in fronts])
    counts = per_front.sum(axis=0)
    begin = np.cumsum(counts) - counts
    elements = np.empty(counts.sum(), np.int32)
    far = np.empty(counts.sum())
    for hop, (front, sizes) in enumerate(zip(fronts, per_front, strict=True)):
        slot = np.arange(front.nnz) + np.repeat(begin - front.indptr[:-1], sizes)
        elements[slot] = front.indices
        far[slot] = hop
        begin += sizes
    patches = np.repeat(np.arange(first, first + len(roots), dtype=np.int32), counts)
    return patches, elements, far


def _fronts(linked: Any, roots: NDArray, hops: int) -> Iterator[Any]:
    """Give the elements that each step reaches for the first time, as a sparse matrix (patch, element)."""
    from scipy.sparse import csr_matrix

    count = len(roots)
    shape = (count, linked.shape[0])
    begun = np.flatnonzero(roots >= 0)
    seen = front = csr_matrix((np.ones(len(begun), bool), (begun, roots[begun])), shape=shape)
    yield front
    for _ in range(hops):
        front = (front @ linked) > seen
        front.eliminate_zeros()
        front.sort_indices()
        if not front.nnz:
            return
        yield front
        seen = seen + front
