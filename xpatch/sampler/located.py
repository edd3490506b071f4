"""Samplers that put anchors along tracks, and over the sphere."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import Lattice, Sites
from xpatch.domain import places as pl
from xpatch.domain import positions as ps
from xpatch.geometry import (
    Anchors,
    Frame,
    Geometry,
    MemberGeometry,
    Places,
    RadiusGraph,
    SphericalCap,
)
from xpatch.geometry.around import BoxOfElements
from xpatch.sampler.base import (
    Sampler,
    check_empty,
    check_integer,
    check_outside,
    check_positive,
    listed,
    not_empty,
    unmoved,
)
from xpatch.sampler.reading import free_places, read_points, xy_on_sites
from xpatch.spec import check_amount


@dataclasses.dataclass(frozen=True, repr=False)
class AlongTrack(Sampler):
    """Anchors at an even distance along a track.

    Parameters
    ----------
    track : shapely LineString, GeoSeries, mapping or array-like
        The vertices: a line or points, labels by dimension, or index positions of shape
        (vertex, dim).
    spacing : float
        Distance of anchors along the track: km on geographic coordinates (great circles on a
        sphere of radius 6371.0088 km), CRS units on projected ones, cells for index positions.
    crs : optional
        CRS of a line that does not know it; default: that of the field.
    outside : {"raise", "drop"}, default: "raise"
        What becomes of anchors of boxes that lie outside of the field.
    empty : {"raise", "keep", "drop"}, optional
        What becomes of lists without any member: default "drop".

    Raises
    ------
    ValueError
        If ``spacing`` is not positive; in the split, if a vertex has no place, or boxes lie outside of
        the field and ``outside`` is "raise".
    TypeError
        In the split, if the track of lists of members is one of index positions.

    Examples
    --------
    >>> lat, lon = np.arange(11.0), np.arange(15.0)
    >>> field = xr.DataArray(np.zeros((11, 15)), {"lat": lat, "lon": lon})
    >>> ship = xpatch.AlongTrack({"lon": [2, 12], "lat": [5, 5]}, spacing=300)
    >>> caps = field.patch.split(xpatch.SphericalCap(150), sampler=ship)
    >>> caps.patch.anchors["lon"].values.round(1)
    array([ 2. ,  4.7,  7.4, 10.1])
    """

    track: Any
    spacing: float
    crs: Any = None
    outside: str = "raise"
    empty: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.spacing, str):
            raise TypeError(
                "spacing of AlongTrack must be a number, km on longitude and latitude, else units of the coordinates, "
                f"got {self.spacing!r}; give the number alone"
            )
        check_positive(self.spacing, "spacing of AlongTrack")
        check_outside(self.outside)
        check_empty(self.empty)

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Center a patch at every ``spacing`` along the track, from its first vertex on."""
        frame = geometry.outline(domain)
        points = self._points(domain, frame.dims)
        if points is None:
            vertices = np.asarray(self.track, float)
            if vertices.ndim != 2 or vertices.shape[1] != len(frame.dims):
                raise ValueError(
                    f"index positions of a track must have shape (vertex, {len(frame.dims)}), got "
                    f"{vertices.shape}"
                )
            cells = np.rint(walk(vertices, self.spacing)).astype(np.int64)
            starts = frame.centered(cells)
            return boxes_at(starts, np.zeros(len(starts), bool), frame, self)
        if pl.curved(domain):
            lon, lat = sphere.along(*pl.moved_to(points, pl.DEGREES, "the track"), self.spacing)
            walked = pl.Points({"lon": lon, "lat": lat}, ("lon", "lat"), pl.DEGREES)
        else:
            walked = self._walked(points, domain, frame.dims)
        located = pl.locate(walked, domain, frame.dims, frame.sizes, frame.boundary, "the track")
        return boxes_at(frame.nearest(located), located.outside, frame, self)

    def _points(self, domain: Lattice, dims: tuple) -> pl.Points | None:
        """Read the vertices; None where they are index positions."""
        return read_points(self.track, domain, dims, self.crs)

    def _walked(self, points: pl.Points, domain: Lattice, dims: tuple) -> pl.Points:
        """Walk along a track on straight axes."""
        columns = {
            d: values for d, (_, values) in pl.assigned(points, domain, dims, "the track").items()
        }
        flat = pl.horizontal_dims_of(domain, dims)
        if flat is None or set(flat) != set(dims):
            raise ValueError(
                f"a track leads over x and y, but the patches are cut along {list(dims)}; give anchors as a "
                "mapping of labels by dimension, Explicit({…})"
            )
        x, y = (np.asarray(columns[d], float) for d in flat)
        if domain.geographic:
            x, y = sphere.along(x, y, self.spacing)
        else:
            x, y = walk(np.stack([x, y], axis=-1), self.spacing).T
        return pl.Points(dict(zip(flat, (x, y), strict=True)), flat, None, True)

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Anchor at every ``spacing`` along the track; places without any member are left out."""
        sites = geometry.outline(domain)
        points = self._points(domain, ())
        if points is None:
            raise TypeError(
                f"the track of lists of members must be a line, points or labels, got {self.track!r}"
            )
        x, y = xy_on_sites(points, sites, "the track")
        if sites.geographic:
            x, y = sphere.along(x, y, self.spacing)
        else:
            x, y = walk(np.stack([x, y], axis=-1), self.spacing).T
        found = dataclasses.replace(free_places(x, y, sites), empty=self.empty or "drop")
        return geometry.headed(domain, found)


def boxes_at(
    starts: NDArray[np.int64], outside: NDArray[np.bool_], frame: Frame, sampler: Any
) -> Anchors:
    """Apply the boundary to boxes, some of whose places lie outside of the field."""
    name = type(sampler).__name__
    if outside.any() and sampler.outside == "raise":
        raise ValueError(
            f"{int(outside.sum())} of {len(outside)} anchors of {name} lie outside of the field, the first "
            f"is number {int(np.flatnonzero(outside)[0])}; leave them out with outside='drop'"
        )
    settled, keep = frame.settle(starts[~outside], name)
    found = listed(not_empty(settled[keep], name))
    return dataclasses.replace(found, centered=unmoved(starts[~outside], frame))


@dataclasses.dataclass(frozen=True, repr=False)
class FibonacciSphere(Sampler):
    """Anchors that are spread evenly over the whole sphere, each for an equal area.

    Those outside of the field, or with no member, are left out.

    Parameters
    ----------
    n : int
        Number of anchors on the whole sphere.
    empty : {"raise", "keep", "drop"}, optional
        What becomes of lists without any member: default "drop".

    References
    ----------
    González, Á. (2010). Measurement of areas on a sphere using Fibonacci and latitude–longitude
    lattices. Mathematical Geosciences, 42, 49–64.

    Examples
    --------
    >>> grid = xr.DataArray(
    ...     np.zeros((18, 36)),
    ...     {"lat": np.arange(-85, 90, 10), "lon": np.arange(0, 360, 10)},
    ... )
    >>> caps = grid.patch.split(
    ...     geometry=xpatch.SphericalCap(2000), sampler=xpatch.FibonacciSphere(50)
    ... )
    >>> caps.sizes["patch"]
    50
    """

    n: int
    empty: str | None = None

    def __post_init__(self) -> None:
        check_integer(self.n, "n of FibonacciSphere", 1)
        check_empty(self.empty)

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Center boxes at the cells nearest to the anchors that lie in the field."""
        frame = geometry.outline(domain)
        lon, lat = sphere.fibonacci(self.n)
        inside = in_field(lon, lat, domain.sites())
        if not inside.any():
            raise ValueError(f"none of the {self.n} anchors of FibonacciSphere lies in the field")
        points = pl.Points({"lon": lon[inside], "lat": lat[inside]}, ("lon", "lat"), pl.DEGREES)
        located = pl.locate(points, domain, frame.dims, frame.sizes, frame.boundary)
        starts = frame.nearest(located)[~located.outside]
        settled, keep = frame.settle(starts, "FibonacciSphere")
        found = listed(not_empty(settled[keep], "FibonacciSphere"))
        return dataclasses.replace(found, centered=unmoved(starts, frame))

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        sites = geometry.outline(domain)
        x, y = sites.from_lonlat(*sphere.fibonacci(self.n))
        known = np.isfinite(x) & np.isfinite(y)
        if not isinstance(
            geometry, SphericalCap | RadiusGraph | BoxOfElements
        ):  # others find members everywhere
            known &= in_field(*sphere.fibonacci(self.n), sites)
        if not known.any():
            raise ValueError(f"none of the {self.n} anchors of FibonacciSphere lies in the field")
        found = free_places(x[known], y[known], sites)
        return dataclasses.replace(found, empty=self.empty or "drop")


def in_field(lon: NDArray, lat: NDArray, sites: Sites) -> NDArray[np.bool_]:
    """Whether places lie in a cell; on curvilinear grids, no farther from one than the next ones."""
    if sites.axes is not None:
        return sites.holding(*sites.from_lonlat(lon, lat)) >= 0
    return ps.near_cells(lon, lat, sites)


def walk(vertices: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """Give points at every ``spacing`` along straight segments."""
    if not np.isfinite(vertices).all():
        raise ValueError(
            "the track has a vertex without a place (NaN or infinite); drop it: dropna"
        )
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(vertices, axis=0), axis=1))])
    check_amount(along[-1] / spacing, "the track", "use a larger spacing")
    at = np.arange(0, along[-1] * (1 + 1e-12), spacing) if along[-1] else np.zeros(1)
    return np.stack([np.interp(at, along, column) for column in vertices.T], axis=-1)
