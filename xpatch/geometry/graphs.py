"""Neighborhoods by distance, and by rank of distance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from xpatch.domain import Lattice, Sites
from xpatch.geometry import near, search, spans
from xpatch.geometry.base import MemberGeometry, Places, members_of
from xpatch.neighborhood import Members


class NearGeometry(MemberGeometry):
    """Base of the geometries whose members may have to be near in more than space."""

    within: Mapping[Hashable, Any] | None

    def candidates(self, domain: Lattice) -> Places:
        sites = self.outline(domain)
        if self.within is None:
            return Places.at(sites, sites.known)
        known = spans.spans_of(self.within, domain, sites).known
        return Places.at(sites, sites.known[known[sites.known]])

    def compared(self, domain: Lattice, anchors: Places) -> spans.Spans | None:
        """Give what members are compared by with their anchor, apart from where they are."""
        if self.within is None:
            return None
        spans.check_anchors(anchors, self.within)
        return spans.spans_of(self.within, domain, self.outline(domain))


@dataclasses.dataclass(frozen=True, repr=False)
class SphericalCap(NearGeometry):
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
    within : mapping, optional
        Coordinates of the elements, and how far members may lie from their anchor in each:
        ``{"time": "10D", "pressure": 50.0}`` takes floats up to ten days before and after it, and up
        to 50 dbar above and below. Numbers for numbers, durations (no months) for times. The anchors
        are elements; those without a value are left out.

    Examples
    --------
    >>> grid = xr.DataArray(
    ...     np.zeros((3, 4)), {"lat": [-1, 0, 1], "lon": [0, 90, 180, 270]}
    ... )
    >>> caps = grid.patch.split(geometry=xpatch.SphericalCap(150.0))
    >>> dict(caps.sizes), caps.isel(patch=4).cell.values
    ({'patch': 12, 'cell': 3}, array([4, 0, 8], dtype=int32))
    """

    radius_km: float
    dim: Hashable | None = None
    within: Mapping[Hashable, Any] | None = None

    def __post_init__(self) -> None:
        search.check_positive(self.radius_km, "radius_km of SphericalCap")
        object.__setattr__(self, "within", spans.checked(self.within, "SphericalCap"))

    def neighborhood(self, domain: Lattice, places: Places) -> Members:
        sites, by = self.outline(domain), self.compared(domain, places)
        found = found_within(sites, places, float(self.radius_km), "haversine", by)
        scales = np.full(len(places), float(self.radius_km))
        return members_of(sites, *found, scales, len(places), places.elements)


@dataclasses.dataclass(frozen=True, repr=False)
class RadiusGraph(NearGeometry):
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
    within : mapping, optional
        As in `SphericalCap`.

    Raises
    ------
    ValueError
        If the radius is not positive; in the split, if polygons lie in a geographic CRS.

    Examples
    --------
    >>> stations = xr.DataArray(
    ...     [1.0, 2.0, 3.0],
    ...     {"x": ("id", [0.0, 3.0, 9.0]), "y": ("id", [0.0, 4.0, 0.0])},
    ...     dims="id",
    ... )
    >>> near = stations.patch.split(geometry=xpatch.RadiusGraph(6))
    >>> near.values
    array([[ 1.,  2.],
           [ 2.,  1.],
           [ 3., nan]])
    >>> near.patch.distance.values
    array([[ 0.,  5.],
           [ 0.,  5.],
           [ 0., nan]])
    """

    radius: float
    metric: str | Callable[[Any, Any], float] = "auto"
    dim: Hashable | None = None
    within: Mapping[Hashable, Any] | None = None

    def __post_init__(self) -> None:
        search.check_positive(self.radius, "radius of RadiusGraph")
        search.check_metric(self.metric)
        object.__setattr__(self, "within", spans.checked(self.within, "RadiusGraph"))

    def neighborhood(self, domain: Lattice, places: Places) -> Members:
        sites, by = self.outline(domain), self.compared(domain, places)
        metric, radius = search.resolve(self.metric, sites), float(self.radius)
        if sites.polygonal and metric == "euclidean" and by is not None:
            found = near.polygons_within(sites, places, radius, by)
        elif sites.polygonal and metric == "euclidean":
            found = search.polygons_within(sites, places, radius)
        elif sites.polygonal and metric == "haversine":
            raise ValueError(
                "RadiusGraph measures the distance of polygons in units of their CRS, which is "
                "geographic: reproject them (xvec.to_crs), or use SphericalCap(radius_km), which "
                "goes by centroids"
            )
        else:
            found = found_within(sites, places, radius, metric, by)
        scales = np.full(len(places), radius)
        return members_of(sites, *found, scales, len(places), places.elements)


@dataclasses.dataclass(frozen=True, repr=False)
class KNNGraph(NearGeometry):
    """The k nearest elements, the nearest first; of equally near ones the lower number.

    Parameters
    ----------
    k : int
        Number of members, the anchor itself included if it is an element.
    metric : "auto", "euclidean", "haversine" or callable
        As in `RadiusGraph`. Polygons count by their centroid.
    dim : hashable, optional
        Dimension of the elements, where the field has several.
    within : mapping, optional
        As in `SphericalCap`: the k nearest among those that lie within it. Where there are fewer,
        the last of the k slots are empty.

    Examples
    --------
    >>> stations = xr.DataArray(
    ...     [1.0, 2.0, 3.0],
    ...     {"lon": ("id", [0, 1, 5]), "lat": ("id", [0, 0, 0])},
    ...     dims="id",
    ... )
    >>> stations.patch.split(geometry=xpatch.KNNGraph(2)).values
    array([[1., 2.],
           [2., 1.],
           [3., 2.]])
    >>> floats = stations.assign_coords(day=("id", [0.0, 40.0, 1.0]))
    >>> floats.patch.split(geometry=xpatch.KNNGraph(2, within={"day": 10})).values
    array([[ 1.,  3.],
           [ 2., nan],
           [ 3.,  1.]])
    """

    k: int
    metric: str | Callable[[Any, Any], float] = "auto"
    dim: Hashable | None = None
    within: Mapping[Hashable, Any] | None = None

    def __post_init__(self) -> None:
        search.check_count(self.k, "k of KNNGraph")
        search.check_metric(self.metric)
        object.__setattr__(self, "within", spans.checked(self.within, "KNNGraph"))

    def neighborhood(self, domain: Lattice, places: Places) -> Members:
        sites, by = self.outline(domain), self.compared(domain, places)
        k, n = int(self.k), len(sites.known)
        if by is not None:
            return self._within(sites, places, by)
        if k > n:
            raise ValueError(
                f"KNNGraph(k={k}) asks for more neighbors than the {n} elements that have a place, of "
                f"{len(sites)}; use a k of at most {n}"
            )
        elements, distances = search.nearest(sites, places, k, search.resolve(self.metric, sites))
        own = places.elements[:, None]
        lost = np.flatnonzero((own[:, 0] >= 0) & ~(elements == own).any(axis=1))
        elements[lost, -1], distances[lost, -1] = own[lost, 0], 0  # k others are at its very place
        patches = np.repeat(np.arange(len(places)), k)
        scales = distances.max(axis=1) * (k + 1) / k
        args = (elements.ravel(), distances.ravel(), scales, len(places), places.elements)
        return members_of(sites, patches, *args)

    def _within(self, sites: Sites, anchors: Places, by: spans.Spans) -> Members:
        """Take up to k of those that are near in more than space."""
        metric, count = search.resolve(self.metric, sites), len(anchors)
        found = near.nearest(sites, anchors, int(self.k), metric, by)
        counts = np.maximum(np.bincount(found[0], minlength=count), 1)
        farthest = np.zeros(count)
        np.maximum.at(farthest, found[0], found[2])
        scales = farthest * (counts + 1) / counts
        members = members_of(sites, *found, scales, count, anchors.elements)
        return dataclasses.replace(members, width=int(self.k))


def found_within(
    sites: Sites, anchors: Places, radius: float, metric: Any, by: spans.Spans | None
) -> search.Found:
    """Find the elements within a radius, and within widths if there are any."""
    if by is None:
        return search.within(sites, anchors, radius, metric)
    return near.within(sites, anchors, radius, metric, by)
