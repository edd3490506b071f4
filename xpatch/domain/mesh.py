"""What is asked of a mesh of uxarray: centers, neighbors, outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere

TINY = 1e-6  # radians, by which places beside an edge are on it


def centers(grid: Any, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give longitude and latitude in degrees of faces, nodes or edges."""
    name = kind.removeprefix("n_")
    lon, lat = getattr(grid, f"{name}_lon"), getattr(grid, f"{name}_lat")
    return np.array(lon.values, float), np.array(lat.values, float)


def corners(grid: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give the nodes of each face, and which of them there are, shape (face, corner)."""
    nodes = np.asarray(grid.face_node_connectivity.values)
    there = (nodes >= 0) & (nodes < grid.n_node)
    return np.where(there, nodes, 0).astype(np.int64), there


def sides(grid: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the face, and the two nodes in ascending order, of each side of each face."""
    nodes, there = corners(grid)
    count = there.sum(axis=1)
    slot = np.arange(nodes.shape[1])
    after = np.where(slot + 1 < count[:, None], slot + 1, 0)
    pairs = np.stack([nodes, np.take_along_axis(nodes, after, 1)], axis=-1)[there]
    face = np.repeat(np.arange(len(nodes)), count)
    return face, np.sort(pairs, axis=1)


def holds(grid: Any, lon: Any, lat: Any) -> NDArray[np.bool_]:
    """Say whether places lie in a face, whose edges are great circles; those on an edge do.

    Seen from a place, the corners of a face that holds it go once around.
    """
    from scipy.spatial import cKDTree

    nodes, there = corners(grid)
    nodes = np.where(there, nodes, nodes[:, :1])
    at = sphere.unit_vectors(*centers(grid, "n_node"))
    middle = sphere.unit_vectors(*centers(grid, "n_face"))
    reach = np.linalg.norm(at[nodes] - middle[:, None], axis=-1).max(axis=1)
    places = sphere.unit_vectors(lon, lat)
    near = cKDTree(places).query_ball_point(middle, reach * (1 + TINY) + TINY)
    face = np.repeat(np.arange(len(nodes)), [len(own) for own in near])
    place = np.concatenate([np.empty(0, np.intp), *near]).astype(np.intp)
    center = places[place][:, None]
    seen = at[nodes[face]]
    seen = seen - (seen * center).sum(-1, keepdims=True) * center
    after = np.roll(seen, -1, axis=1)
    angle = np.arctan2((np.cross(seen, after) * center).sum(-1), (seen * after).sum(-1))
    around = np.abs(angle.sum(axis=1)) > np.pi
    on_edge = (np.abs(angle) > np.pi - TINY).any(axis=1)
    on_corner = (np.linalg.norm(seen, axis=-1) < TINY).any(axis=1)
    out = np.zeros(len(places), bool)
    out[place[around | on_edge | on_corner]] = True
    return out


def adjacency(grid: Any, kind: str) -> Any:
    """Give the sparse matrix of neighbors.

    Faces are neighbors across an edge, nodes along one, edges at a common node.
    """
    from scipy.sparse import coo_matrix, csr_matrix

    face, pairs = sides(grid)
    n = {"n_face": grid.n_face, "n_node": grid.n_node}.get(kind, 0)
    if kind == "n_face":
        key = pairs[:, 0] * np.int64(grid.n_node) + pairs[:, 1]
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order][1:] == key[order][:-1])
        a, b = face[order][same], face[order][same + 1]
    elif kind == "n_node":
        a, b = pairs.T
    else:
        edges = np.asarray(grid.edge_node_connectivity.values).astype(np.int64)
        at = csr_matrix(
            (np.ones(edges.size, np.int8), (np.repeat(np.arange(len(edges)), 2), edges.ravel())),
            shape=(len(edges), grid.n_node),
        )
        a, b = (at @ at.T).nonzero()
        n = len(edges)
    apart = a != b
    both = np.concatenate([a[apart], b[apart]]), np.concatenate([b[apart], a[apart]])
    out = coo_matrix((np.ones(len(both[0]), np.int8), both), shape=(n, n)).tocsr()
    out.data[:] = 1
    return out


def outlines(grid: Any, which: NDArray) -> NDArray:
    """Give the polygons of faces; one across the dateline goes on past 180 degrees."""
    import shapely

    nodes, there = corners(grid)
    lon, lat = centers(grid, "n_node")
    middle = centers(grid, "n_face")[0]
    out = np.empty(len(which), dtype=object)
    for k, face in enumerate(which):
        own = nodes[face][there[face]]
        x = lon[own] - 360 * np.round((lon[own] - middle[face]) / 360)
        out[k] = shapely.Polygon(np.stack([x, lat[own]], axis=-1))
    return out
