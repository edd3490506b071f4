"""Which cells of a lattice are neighbors: along rows and columns, and across the seams of the Earth.

Where rows and columns end, a grid that goes around the Earth goes on elsewhere: at the other end of
the same row, in the mirrored column beyond the fold of a tripolar grid, on another face of a cubed
sphere. All of these are found in one way: two sides of cells that lie at the same place are one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain.places import horizontal_dims_of
from xpatch.domain.sites import MESH_DIMS, Sites, slot_name
from xpatch.domain.turns import closes, repeats

Numbers = NDArray[np.int64]
SAME_SIDE = 0.3  # of a cell: sides whose middles are no farther apart are one
SAME_CELL = 0.01  # of a cell: centers that are no farther apart are those of one cell
TEAR = 4.0  # a step that is so much longer than those before and behind it leads elsewhere
CLOSED = 1.5  # steps from the last cell of a row to its first, where it goes around
NARROW = 0.2  # of a cell: a side that is shorter lies at a pole, where all columns meet
HALO = 4  # rows and columns at the rim that may repeat others


def lattice_cells(domain: Any, dim: Hashable | None = None, corners: bool = False) -> Sites:
    """Give the cells of a lattice, and who is a neighbor of whom; without labels, they are counted."""
    sites = domain.sites(dim) if _placed(domain) else _counted(domain)
    if sites.adjacency is not None and not corners:  # domains of other packages may know better
        return sites
    return dataclasses.replace(sites, adjacency=partial(adjacency, domain, sites, corners))


def _placed(domain: Any) -> bool:
    """Whether something says where cells are."""
    if domain.curvilinear or domain.rotated is not None or set(domain.dims) & set(MESH_DIMS):
        return True  # or says in full what is missing
    pair = horizontal_dims_of(domain, domain.dims)
    axes = [None if pair is None else domain.coordinate(d) for d in pair or (None,)]
    return all(a is not None and a.dtype.kind in "iuf" for a in axes)


def _counted(domain: Any) -> Sites:
    """Give cells whose x and y are the numbers of their columns and rows.

    Raises
    ------
    ValueError
        If there are no rows and columns.
    """
    dims = domain.spatial_dims
    if len(dims) < 2:
        raise ValueError(
            "KHopGraph goes along the rows and columns of a lattice, but the dimensions in space are "
            f"{list(dims)}: the order of elements along one does not say who is a neighbor. Go by distance, "
            "KNNGraph or RadiusGraph, or give a mesh to uxarray, and cells of HEALPix or H3 to xdggs.decode"
        )
    shape = tuple(domain.sizes[d] for d in dims)
    *_, y, x = (i.ravel().astype(float) for i in np.indices(shape))
    return Sites(dims, shape, slot_name(domain), x, y, False)


def adjacency(domain: Any, sites: Sites, corners: bool = False) -> Any:
    """Give the sparse matrix of neighbors: cells that share a side, or with ``corners`` a corner."""
    if sites.axes is None and domain.curvilinear:
        return _on_curves(sites, corners)
    links = straight(sites.shape, [closes(domain, d) for d in sites.dims], corners)
    again = [k for k, d in enumerate(sites.dims) if repeats(domain, d)]
    return _as_one(links, _along(sites.shape, again[0], True, slice(0))) if again else links


def _as_one(links: Any, twins: Any) -> Any:
    """Give a cell that is there twice the neighbors of both."""
    return _joined([twins, links, twins @ links, links @ twins, twins @ links @ twins])


def straight(shape: Sequence[int], closed: Sequence[bool], corners: bool = False) -> Any:
    """Give the neighbors along the axes of a lattice, of which some are ``closed``: the last cell is beside the first."""
    steps = [_along(shape, k, around) for k, around in enumerate(closed)]
    diagonal = [a @ b for k, a in enumerate(steps) for b in steps[:k]] if corners else []
    return _joined([*steps, *diagonal])


def _along(shape: Sequence[int], axis: int, around: Any = False, kept: Any = ...) -> Any:
    """Give the links of each cell with the next ones along one axis, or those that are ``kept``.

    ``around`` says whether the last is beside the first, of all lines or of each.
    """
    line = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), axis, 0)
    first = np.append(line[:-1][kept], line[-1][around])
    return _links(first, np.append(line[1:][kept], line[0][around]), line.size)


def _links(first: Numbers, second: Numbers, n: int) -> Any:
    """Give links both ways as a sparse matrix."""
    from scipy.sparse import csr_matrix

    both = np.concatenate([first, second]), np.concatenate([second, first])
    return csr_matrix((np.ones(len(both[0]), bool), both), shape=(n, n))


def _joined(parts: Sequence[Any], known: NDArray[np.bool_] | None = None) -> Any:
    """Put links together: none of a cell with itself, nor with those that are not ``known``."""
    found = sum(parts[1:], parts[0]).tocoo()
    kept = found.row != found.col
    if known is not None:
        kept &= known[found.row] & known[found.col]
    return _links(found.row[kept], found.col[kept], found.shape[0])


# ------------------------------------------------------------------------------------- on curves


def _on_curves(sites: Sites, corners: bool) -> Any:
    """Link cells by their places on the sphere."""
    lon, lat = sites.lonlat
    globe = sphere.unit_vectors(lon, lat).reshape(*sites.shape, 3)
    plane = _plane(globe)
    steps = [_along(sites.shape, k, _closing(globe, k), _untorn(globe, k)) for k in plane]
    seams = _seams([s for axis in plane for s in _sides(globe, axis, plane)], len(sites))
    parts = [*steps, *seams]
    if corners:
        parts += [steps[0] @ steps[1], seams[0] @ steps[1], seams[1] @ steps[0]]
    links = _joined(parts)
    twins = _twins(globe, plane, sites)
    if twins.nnz:
        links = _as_one(links, twins)
    return _joined([links], np.isfinite(globe).all(axis=-1).ravel())


def _plane(globe: NDArray) -> tuple[int, int]:
    """Give the two axes along which cells lie side by side: not that from face to face."""
    far = [
        np.nanmedian(np.linalg.norm(np.diff(globe, axis=k), axis=-1)) if n > 1 else np.inf
        for k, n in enumerate(globe.shape[:-1])
    ]
    first, second = sorted(np.argsort(far, kind="stable")[:2].tolist())
    return first, second


def _untorn(globe: NDArray, axis: int) -> NDArray[np.bool_]:
    """Whether the next cell along an axis lies next to a cell: not beyond a tear, nor at fill values."""
    far = np.moveaxis(np.linalg.norm(np.diff(globe, axis=axis), axis=-1), axis, 0)
    none = np.full_like(far[:1], np.nan)
    around = np.fmax(np.concatenate([none, far[:-1]]), np.concatenate([far[1:], none]))
    return ~(far > TEAR * around)


def _closing(globe: NDArray, axis: int) -> NDArray[np.bool_]:
    """Whether the last cell of each line lies as near to the first as the next ones do."""
    line = np.moveaxis(globe, axis, 0)
    if len(line) < 3:
        return np.zeros(line.shape[1:-1], bool)
    gap, *ends = (
        np.linalg.norm(line[a] - line[b], axis=-1) for a, b in ((0, -1), (0, 1), (-1, -2))
    )
    return np.asarray(gap <= CLOSED * np.fmin(*ends))


class Side(NamedTuple):
    """The outer sides of the cells at one end of an axis."""

    axis: int  # which of the two axes ends here
    cells: Numbers
    middle: NDArray[np.float64]  # (side, 3), on the unit sphere
    reach: NDArray[np.float64]  # the smaller of the length and the breadth of the cell


def _sides(globe: NDArray, axis: int, plane: tuple[int, int]) -> list[Side]:
    """Give the sides at both ends of an axis, without those that shrink to a point."""
    numbers = np.arange(globe[..., 0].size).reshape(globe.shape[:-1])
    ends = (globe, numbers), (np.flip(globe, axis), np.flip(numbers, axis))
    return [
        _side(np.moveaxis(g, axis, 0), n.take([0], axis).squeeze(axis), axis, plane)
        for g, n in ends
    ]


def _side(inward: NDArray, cells: Numbers, axis: int, plane: tuple[int, int]) -> Side:
    if len(inward) < 2:
        return Side(plane.index(axis), np.empty(0, np.int64), np.empty((0, 3)), np.empty(0))
    center, last = inward[0], inward[min(2, len(inward) - 1)]
    middle = 1.5 * center - 0.5 * inward[1]
    if len(inward) > 2:  # rows that bend, where three are known
        bent = (15 * center - 10 * inward[1] + 3 * last) / 8
        middle = np.where(np.isfinite(bent), bent, middle)
    middle = middle / np.linalg.norm(middle, axis=-1, keepdims=True)
    along = plane[plane.index(axis) - 1]
    along -= along > axis
    breadth = _breadth(middle, along)
    length = np.linalg.norm(center - inward[1], axis=-1)
    narrow = breadth <= NARROW * _breadth(center, along)
    good = np.isfinite(middle).all(axis=-1) & ~narrow
    reach = np.fmin(length, breadth)
    return Side(plane.index(axis), cells[good], middle[good], reach[good])


def _breadth(points: NDArray, axis: int) -> NDArray[np.float64]:
    """Give how far the next points along an axis are."""
    far = np.linalg.norm(np.diff(points, axis=axis), axis=-1)
    ends = np.full_like(far.take([0], axis) if far.size else points[..., 0], np.nan)
    if not far.size:
        return ends
    before, after = (np.concatenate(p, axis) for p in ([ends, far], [far, ends]))
    return np.asarray(np.fmin(before, after))


def _seams(sides: Sequence[Side], n: int) -> list[Any]:
    """Link cells whose outer sides are one: for each axis, those that are entered along it."""
    from scipy.sparse import csr_matrix
    from scipy.spatial import cKDTree

    axis = np.concatenate([np.full(len(s.cells), s.axis) for s in sides])
    cells, middle, reach = (
        np.concatenate([s[k] for s in sides]) for k in range(1, len(Side._fields))
    )
    if len(cells) < 2:
        return [csr_matrix((n, n), dtype=bool)] * 2
    far, near = cKDTree(middle).query(middle, np.arange(1, min(3, len(cells)) + 1))
    own = np.arange(len(cells))
    other = np.where(near[:, 0] == own, near[:, 1], near[:, 0])
    mutual = other[other] == own
    limit = SAME_SIDE * np.fmin(reach, reach[other])
    one = mutual & (far[:, 1] <= limit)
    if far.shape[1] > 2:
        one &= far[:, 2] > limit  # where three meet, nothing says which two are one
    pairs = cells[one], cells[other[one]]
    entered = axis[other[one]]
    made = [(pairs[0][entered == k], pairs[1][entered == k]) for k in (0, 1)]
    return [csr_matrix((np.ones(len(a), bool), (a, b)), shape=(n, n)) for a, b in made]


def _twins(globe: NDArray, plane: tuple[int, int], sites: Sites) -> Any:
    """Link cells at the rim with others at the same place, such as those of a halo."""
    step = np.full(globe.shape[:-1], np.inf)
    rim = np.zeros(globe.shape[:-1], bool)
    for axis in plane:
        step = np.fmin(step, _breadth(globe, axis))
        at = np.arange(globe.shape[axis])
        line = (at < HALO) | (at >= len(at) - HALO)
        rim |= line.reshape([-1 if k == axis else 1 for k in range(rim.ndim)])
    known = np.isfinite(globe).all(axis=-1).ravel()
    cells = np.flatnonzero(rim.ravel() & known)
    far, near = sites.globe.query(globe.reshape(-1, 3)[cells], np.arange(1, 6))
    there = np.isfinite(far)
    row = np.broadcast_to(cells[:, None], far.shape)[there]
    column = sites.known[near[there]]
    limit = SAME_CELL * np.fmin(step.ravel()[row], step.ravel()[column])
    same = (row != column) & (far[there] < limit)
    return _links(row[same], column[same], known.size)
