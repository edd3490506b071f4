"""Neighborhoods by distance, by rank of distance, and by adjacency."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from xpatch.domain import Lattice, Sites
from xpatch.geometry import search
from xpatch.geometry.base import MemberGeometry, Places, members_of
from xpatch.neighborhood import Members


@dataclasses.dataclass(frozen=True, repr=False)
class SphericalCap(MemberGeometry):
    """All elements within a great-circle distance.

    Exact at the poles and across the dateline, on a sphere of radius 6371.0088 km. On any domain that
    has longitude and latitude or a CRS; polygons count by their centroid. The anchor, if it is an
    element, is the first member; the others follow in the order of the field.

    Parameters
    ----------
    radius_km : float
        Radius in km.
    dim : hashable, optional
        Dimension of the elements, where the field has several.

    Examples
    --------
    >>> grid = xr.DataArray(np.zeros((3, 4)), {"lat": [-1, 0, 1], "lon": [0, 90, 180, 270]})
    >>> caps = grid.patch.split(geometry=xpatch.SphericalCap(150.0))
    >>> dict(caps.sizes), caps.isel(patch=4).cell.values
    ({'patch': 12, 'cell': 3}, array([4, 0, 8], dtype=int32))
    """

    radius_km: float
    dim: Hashable | None = None

    def __post_init__(self) -> None:
        search.check_positive(self.radius_km, "radius_km of SphericalCap")

    def neighborhood(self, domain: Lattice, anchors: Places) -> Members:
        sites = self.sites(domain)
        found = search.within(sites, anchors, float(self.radius_km), "haversine")
        scales = np.full(len(anchors), float(self.radius_km))
        return members_of(sites, *found, scales, len(anchors), anchors.elements)


@dataclasses.dataclass(frozen=True, repr=False)
class RadiusGraph(MemberGeometry):
    """All elements within a radius.

    Polygons are members if they come within the radius of the anchor, that is if they intersect the
    buffered anchor. The anchor, if it is an element, is the first member; the others follow in the
    order of the field.

    Parameters
    ----------
    radius : float
        In km for great circles, in units of the CRS otherwise.
    metric : "auto", "euclidean", "haversine" or callable
        ``"auto"`` is great-circle for geographic coordinates, Euclidean for all others. A callable
        takes two points (x, y), as in `scipy.spatial.distance.cdist`, and is called for each pair.
    dim : hashable, optional
        Dimension of the elements, where the field has several.
    """

    radius: float
    metric: str | Callable[[Any, Any], float] = "auto"
    dim: Hashable | None = None

    def __post_init__(self) -> None:
        search.check_positive(self.radius, "radius of RadiusGraph")
        search.check_metric(self.metric)

    def neighborhood(self, domain: Lattice, anchors: Places) -> Members:
        sites = self.sites(domain)
        metric = search.resolve(self.metric, sites)
        if sites.polygonal and metric == "euclidean":
            found = search.polygons_within(sites, anchors, float(self.radius))
        elif sites.polygonal and metric == "haversine":
            raise ValueError(
                "RadiusGraph measures the distance of polygons in units of their CRS, which is "
                "geographic: reproject them (xvec.to_crs), or use SphericalCap(radius_km), which "
                "goes by centroids"
            )
        else:
            found = search.within(sites, anchors, float(self.radius), metric)
        scales = np.full(len(anchors), float(self.radius))
        return members_of(sites, *found, scales, len(anchors), anchors.elements)


@dataclasses.dataclass(frozen=True, repr=False)
class KNNGraph(MemberGeometry):
    """The k nearest elements, the nearest first; of equally near ones the lower number.

    Parameters
    ----------
    k : int
        Number of members, the anchor itself included if it is an element.
    metric : "auto", "euclidean", "haversine" or callable
        As in `RadiusGraph`. Polygons count by their centroid.
    dim : hashable, optional
        Dimension of the elements, where the field has several.

    Examples
    --------
    >>> stations = xr.DataArray(
    ...     [1.0, 2.0, 3.0], {"lon": ("id", [0, 1, 5]), "lat": ("id", [0, 0, 0])}, dims="id"
    ... )
    >>> stations.patch.split(geometry=xpatch.KNNGraph(2)).values
    array([[1., 2.],
           [2., 1.],
           [3., 2.]])
    """

    k: int
    metric: str | Callable[[Any, Any], float] = "auto"
    dim: Hashable | None = None

    def __post_init__(self) -> None:
        search.check_count(self.k, "k of KNNGraph")
        search.check_metric(self.metric)

    def neighborhood(self, domain: Lattice, anchors: Places) -> Members:
        sites = self.sites(domain)
        k, n = int(self.k), len(sites.known)
        if k > n:
            raise ValueError(
                f"KNNGraph(k={k}) asks for more neighbors than the {n} elements that have a place; "
                f"use a k of at most {n}"
            )
        elements, distances = search.nearest(sites, anchors, k, search.resolve(self.metric, sites))
        own = anchors.elements[:, None]
        lost = np.flatnonzero((own[:, 0] >= 0) & ~(elements == own).any(axis=1))
        elements[lost, -1], distances[lost, -1] = own[lost, 0], 0  # k others are at its very place
        patches = np.repeat(np.arange(len(anchors)), k)
        scales = distances.max(axis=1) * (k + 1) / k
        args = (elements.ravel(), distances.ravel(), scales, len(anchors), anchors.elements)
        return members_of(sites, patches, *args)


@dataclasses.dataclass(frozen=True, repr=False)
class KHopGraph(MemberGeometry):
    """The elements of a mesh within some steps from neighbor to neighbor, the nearest first.

    Faces are neighbors across an edge, nodes along one, edges at a common node. The distance is the
    number of steps.

    Parameters
    ----------
    hops : int
        Largest number of steps.
    dim : hashable, optional
        Dimension of the elements, where the field has several (faces and nodes).
    """

    hops: int
    dim: Hashable | None = None

    def __post_init__(self) -> None:
        search.check_count(self.hops, "hops of KHopGraph")

    def sites(self, domain: Lattice) -> Sites:
        sites = super().sites(domain)
        if sites.adjacency is None:
            raise ValueError(
                "KHopGraph goes from neighbor to neighbor of a mesh, but the field lies on "
                f"{type(domain).__name__}: without the grid of uxarray nothing says what is "
                "adjacent. Open it with uxarray (ux.open_dataset(grid, data)), put the grid back "
                "(ux.UxDataArray(field, uxgrid=grid)), or go by distance: KNNGraph, RadiusGraph"
            )
        return sites

    def neighborhood(self, domain: Lattice, anchors: Places) -> Members:
        sites = self.sites(domain)
        roots = anchors.elements
        if (roots < 0).any():
            loose = np.flatnonzero(roots < 0)
            near, _ = search.nearest(sites, anchors.take(loose), 1, "haversine")
            roots = roots.copy()
            roots[loose] = near[:, 0]
        assert sites.adjacency is not None
        patches, elements, hops = search.steps(sites.adjacency(), roots, int(self.hops))
        scales = np.full(len(roots), self.hops + 1.0)
        return members_of(sites, patches, elements, hops.astype(float), scales, len(roots))
