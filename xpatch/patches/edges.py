"""Which cells of a patch are neighbors: the edges of a graph for message passing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.domain.adjacency import lattice_cells, straight
from xpatch.domain.turns import closes
from xpatch.geometry import Geometry, KHopGraph, KNNGraph, Places, RadiusGraph, SphericalCap
from xpatch.geometry.base import MemberGeometry
from xpatch.neighborhood import Members, Slices
from xpatch.patches.member_properties import sites_of
from xpatch.patches.placed import left_plan_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.spec import decode_as, kind_of

PAIRS = 1 << 22  # that are looked up at a time


def edges(obj: Any) -> xr.DataArray:
    """The pairs of cells that are neighbors within each patch.

    Faces, nodes or edges of a mesh, and cells in lists of `KHopGraph`, are neighbors as hops have
    it; cells of other lattices along each dimension that was cut in space, around the seam of a
    global longitude as well; scattered elements as the geometry has it: an element and the members
    of its own neighborhood.

    Returns
    -------
    DataArray
        Slots (2, edge) of cells flattened in the order of the in-patch dimensions, both ways for
        each pair of a symmetric graph, sorted; and a coordinate ``patch`` (edge), the position of
        their patch. With ``width`` slots a patch, ``edges + edges["patch"] * width`` is the
        ``edge_index`` of torch-geometric. Of `KNNGraph` the first slot is an element, the second a
        member of its own neighborhood; torch-geometric sends from the first to the second, so flip
        them to gather from neighbors.

    Raises
    ------
    ValueError
        If nothing says who is a neighbor, as among points in polygons.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((2, 4)), dims=("y", "x"))
    >>> patches = field.patch.split(geometry={"y": 2, "x": 2})
    >>> patches.patch.edges.isel(edge=slice(4)).values
    array([[0, 0, 1, 1],
           [1, 2, 0, 3]])
    """
    source, plan = left_plan_of(obj)
    lists = [m for m in plan.lists if not m.timed]
    if lists:
        found = _of_lists(source, plan, lists[0])
    elif plan.domain.element_dims and set(plan.domain.element_dims) & set(plan.dims):
        found = _of_runs(source, plan)
    else:
        found = _of_boxes(obj, source, plan)
    slots, patches = found
    attrs = {"long_name": "slots of neighbors"}
    return xr.DataArray(slots, {source.dim: ("edge", patches)}, ("end", "edge"), "edges", attrs)


Found = tuple[NDArray[np.int64], NDArray[np.int64]]


def _of_lists(source: Provenance, plan: Plan, members: Members) -> Found:
    space, _ = plan.in_space(source.ordinals)
    part = members.take(plan.hood.of_part(members, source.ordinals))
    return within(part, graph_of(space, members))


def _of_runs(source: Provenance, plan: Plan) -> Found:
    """Give the edges of boxes along the elements of a mesh."""
    (part,) = (p for p in plan.hood.slices if p.dim in plan.domain.element_dims)
    cells = part.cells(plan.hood.of_part(part, source.ordinals))
    listed = Members.from_table((part.dim,), (part.n,), part.dim, cells, None)
    return within(listed, graph_of(plan, listed))


def graph_of(plan: Plan, members: Members) -> Any:
    """Give the sparse matrix of neighbors among all elements.

    Raises
    ------
    ValueError
        If nothing says who is a neighbor.
    """
    domain = plan.domain
    spec = plan.spec.get("geometry") or {}
    if members.dim not in members.dims:  # whose slots are cells of several rows
        if issubclass(kind_of(spec), KHopGraph):
            return _hop_graph(plan, members, spec)
        return straight(members.shape, [closes(domain, d) for d in members.dims])
    sites = sites_of(plan)  # which says what patches of a file do not know
    if sites.adjacency is not None:
        return sites.adjacency()
    if not issubclass(kind_of(spec), KNNGraph | RadiusGraph | SphericalCap):
        raise ValueError(
            f"nothing says which elements along {list(members.dims)} are neighbors: a mesh does with its grid "
            "of uxarray, a lattice does, and KNNGraph, RadiusGraph and SphericalCap have a graph of their own; "
            "patches.patch.offsets gives distances for one of yours"
        )
    geometry = decode_as(spec, Geometry)
    assert isinstance(geometry, MemberGeometry)
    return _own_graph(geometry, domain, sites)


def _hop_graph(plan: Plan, members: Members, spec: Mapping[str, Any]) -> Any:
    """Give the neighbors that hops went along; those that these cannot enter are no members."""
    if plan.recalled:  # positions that were not written might have closed a seam
        sites_of(plan)
    cells = lattice_cells(plan.domain, corners=bool(spec.get("corners")))
    if cells.dims != members.dims or cells.shape != members.shape:
        sites_of(plan)
    assert cells.adjacency is not None
    return cells.adjacency()


def _own_graph(geometry: MemberGeometry, domain: Lattice, sites: Sites) -> Any:
    """Connect each element with the members of the neighborhood that it anchors."""
    from scipy.sparse import csr_matrix

    places = Places.at(sites, sites.known)
    found = geometry.neighborhood(domain, places)
    rows = places.elements[found.patches]
    apart = rows != found.elements
    pairs = rows[apart], found.elements[apart]
    return csr_matrix((np.ones(len(pairs[0]), np.int8), pairs), shape=(len(sites), len(sites)))


def within(part: Members, graph: Any) -> Found:
    """Give the edges of a graph that lie in one list, as the submatrix of its members has them."""
    graph = graph.tocsr()
    n = graph.shape[0]
    patches, slots = part.patches, part.slots
    keys = patches * np.int64(n) + part.elements
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    degree = np.diff(graph.indptr)[part.elements]
    edges = np.cumsum(degree)
    found = []
    low = 0
    while low < len(keys):
        done = edges[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(edges, done + PAIRS, side="right")))
        rows = np.repeat(np.arange(low, high), degree[low:high])
        first = graph.indptr[part.elements[low:high]].astype(np.int64)
        begin = np.concatenate([[0], np.cumsum(degree[low:high])[:-1]])
        inner = np.arange(len(rows)) - np.repeat(begin, degree[low:high])
        other = graph.indices[np.repeat(first, degree[low:high]) + inner]
        wanted = patches[rows] * np.int64(n) + other
        at = np.minimum(np.searchsorted(ranked, wanted), len(ranked) - 1)
        there = ranked[at] == wanted
        found.append(np.stack([rows[there], order[at[there]]]))
        low = high
    pairs = np.concatenate(found, axis=1) if found else np.empty((2, 0), np.int64)
    pairs = pairs[:, np.lexsort((slots[pairs[1]], pairs[0]))]
    return slots[pairs], patches[pairs[0]]


def _of_boxes(obj: Any, source: Provenance, plan: Plan) -> Found:
    """Give the edges of boxes, which are the same for all that lie in the field."""
    parts = {p.dim: p for p in plan.hood.slices if not p.timed}
    if not parts:
        raise ValueError(
            "windows in time alone have no neighbors in space; steps follow each other"
        )
    dims = [d for d in obj.dims if d in parts] or list(parts)
    inside = [_inside(source, plan, parts[d]) for d in dims]
    shape = [there.shape[1] for there in inside]
    whole = [n == parts[d].n and n > 2 for d, n in zip(dims, shape, strict=True)]
    closed = [w and closes(plan.domain, d) for d, w in zip(dims, whole, strict=True)]
    both = np.stack(straight(shape, closed).nonzero()).astype(np.int64)  # sorted, both ways
    count, each = len(source.ordinals), both.shape[1]
    slots, patches = np.tile(both, count), np.repeat(np.arange(count), each)
    if all(there.all() for there in inside):
        return slots, patches
    cells = np.unravel_index(slots, shape)
    kept = np.logical_and.reduce(
        [there[patches, at].all(axis=0) for there, at in zip(inside, cells, strict=True)]
    )
    return slots[:, kept], patches[kept]


def _inside(source: Provenance, plan: Plan, part: Slices) -> NDArray[np.bool_]:
    """Say which cells along a dimension lie in the field, (patch, cell)."""
    low, high = source.crop.get(part.dim, (0, 0))
    cells = part.cells(plan.hood.of_part(part, source.ordinals))
    return np.asarray(cells[:, low : cells.shape[1] - high] >= 0)
