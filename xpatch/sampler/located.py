"""Samplers that put anchors at given places."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import Lattice, Sites
from xpatch.geometry import (
    Anchors,
    Frame,
    Geometry,
    MemberGeometry,
    Places,
    RadiusGraph,
    SphericalCap,
)
from xpatch.index import patch_index
from xpatch.sampler.base import Sampler, check_integer, check_positive, listed, not_empty
from xpatch.sampler.placing import (
    crs_of,
    free_places,
    is_geometry,
    labeled_places,
    matched_places,
    numbered_places,
    point_xy,
    rotated_cells,
    same_sites,
)

MIXED = (
    "the patches given to Explicit come from different splits and have no common anchors; give the "
    "patches of one split"
)


@dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)
class Explicit(Sampler):
    """Anchors at given places.

    Parameters
    ----------
    anchors : array-like, mapping, shapely points, GeoSeries or patches
        Index positions, shape (patch, dim) in the order of the field's dimensions (of a Dataset:
        of the variable with most of them), or (patch,) for one dimension; a mapping (or Dataset) of labels for each cut dimension, each
        of shape (patch,); shapely points or a GeoSeries; or the patches of another field, whose
        anchors are taken and whose labels then align with the new patches.
    at : {"start", "center"}, optional
        Whether an anchor is the first or the middle cell (number ``size // 2``) of its patch.
        Default: start for index positions, center for all else.
    crs : optional
        CRS of shapely points that do not know it; default: that of the field.

    Examples
    --------
    >>> xpatch.Explicit([(0, 0), (8, 4)])
    Explicit([(0, 0), (8, 4)])
    """

    anchors_: Any
    at: str | None = None
    crs: Any = None

    def __init__(self, anchors: Any = None, at: str | None = None, crs: Any = None, **kw: Any):
        if anchors is None:
            anchors = kw.pop("anchors_", None)
        if anchors is None or kw:
            raise TypeError("Explicit needs anchors: index positions, labels, points or patches")
        if at not in (None, "start", "center"):
            raise ValueError(f"at must be 'start' or 'center', got {at!r}")
        object.__setattr__(self, "anchors_", anchors)
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "crs", crs)

    def anchors(
        self, domain: Lattice, geometry: Geometry, field: xr.DataArray | xr.Dataset | None = None
    ) -> Anchors:
        """Find the cell of each anchor and apply the boundary of the geometry."""
        frame = geometry.frame(domain)
        given = self.anchors_
        if isinstance(given, xr.DataArray | xr.Dataset) and patch_index(given) is not None:
            return self._of_patches(given, domain, frame)
        at = self.at or "center"
        if isinstance(given, Mapping | xr.Dataset):
            cells = label_cells(given, domain, frame)
        elif is_geometry(given):
            x, y = point_xy(given)
            cells = cells_at(x, y, crs_of(given) or self.crs, domain, frame)
        else:
            cells = index_cells(given, frame)
            at = self.at or "start"
        return listed(self._settled(cells, at, frame))

    def _settled(self, cells: NDArray[np.int64], at: str, frame: Frame) -> NDArray[np.int64]:
        for k, dim in enumerate(frame.dims):
            n = frame.shape[k]
            low, high = frame.limits(k) if frame.boundary[k] == "pad" else (0, n - 1)
            out = (cells[:, k] < low) | (cells[:, k] > high)
            if out.any() and frame.boundary[k] != "wrap":
                raise ValueError(
                    f"Explicit anchor {int(cells[:, k][out][0])} along {dim!r} is out of range; "
                    f"the field has cells 0 to {n - 1}"
                )
        if at == "center":
            cells = cells - np.array(frame.sizes) // 2
        starts = frame.settle(cells, "Explicit")
        if len(starts) < len(cells):
            raise ValueError(
                f"{len(cells) - len(starts)} patches at Explicit anchors overhang the field and "
                "boundary='drop' would leave them out; use boundary='shift' or 'pad', or remove "
                "these anchors"
            )
        return not_empty(starts, "Explicit")

    def _of_patches(self, patches: Any, domain: Lattice, frame: Frame) -> Anchors:
        index = patch_index(patches)
        if index is None or index.mixed:
            raise ValueError(MIXED)
        plan = index.plans[0].placed
        kept = np.unique(index.ordinals)
        if plan.places is not None or not set(frame.dims) <= set(plan.dims):
            return self._at_points(plan, kept, index.ordinals, domain, frame)
        labels: dict[Hashable, NDArray] = plan.anchor_labels(kept)
        missing = [d for d in frame.dims if d not in labels]
        if missing:
            bare = [d for d in missing if d in plan.dims and domain.coordinate(d) is None]
            if bare != missing:
                raise ValueError(
                    f"the patches given to Explicit have no label along {missing[0]!r}; they were "
                    f"cut along {list(plan.dims)}"
                )
        cells = np.empty((len(kept), len(frame.dims)), np.int64)
        positions = plan.anchor_cells(kept)
        for k, dim in enumerate(frame.dims):
            beyond = frame.boundary[k] in ("pad", "wrap")
            if dim in missing:
                cells[:, k] = positions[dim]
            else:
                cells[:, k] = domain.nearest(dim, labels[dim], beyond)
        return self._matched(cells, plan, kept, index.ordinals, frame)

    def _at_points(
        self, plan: Any, kept: NDArray, ordinals: NDArray, domain: Lattice, frame: Frame
    ) -> Anchors:
        """Center boxes at the places of anchors of another kind, or of another lattice."""
        x, y, crs = plan.points(kept)
        cells = cells_at(x, y, crs, domain, frame)
        if plan.places is not None and set(frame.dims) <= set(plan.dims):
            elements = plan.places.elements[kept]
            if same_sites(
                plan, domain.sites()
            ):  # cells may coincide, as at the fold of ocean grids
                at = dict(
                    zip(
                        plan.dims,
                        np.unravel_index(np.maximum(elements, 0), plan.hood.shape),
                        strict=True,
                    )
                )
                own = np.stack([at[d] for d in frame.dims], axis=-1)
                cells = np.where(elements[:, None] >= 0, own, cells)
        return self._matched(cells, plan, kept, ordinals, frame)

    def _matched(
        self, cells: NDArray, plan: Any, kept: NDArray, ordinals: NDArray, frame: Frame
    ) -> Anchors:
        starts = np.zeros((len(plan), len(frame.dims)), np.int64)
        starts[kept] = self._settled(cells, self.at or "center", frame)
        found = listed(starts)
        return dataclasses.replace(found, ordinals=ordinals, origin=plan.anchor_id)

    def places(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Find the anchors of lists of members: elements stay elements, places stay where they are."""
        given, sites = self.anchors_, geometry.sites(domain)
        if self.at == "start":
            raise ValueError(
                f"at='start' means boxes; the anchors of {type(geometry).__name__} are centers"
            )
        if isinstance(given, xr.DataArray | xr.Dataset) and patch_index(given) is not None:
            index = patch_index(given)
            if index is None or index.mixed:
                raise ValueError(MIXED)
            return matched_places(index.plans[0].placed, index.ordinals, sites)
        if isinstance(given, Mapping | xr.Dataset):
            return labeled_places(given, domain, sites)
        if is_geometry(given):
            x, y = point_xy(given)
            crs = crs_of(given) or self.crs
            return free_places(*sites.from_crs(x, y, crs), sites)
        return numbered_places(given, geometry.candidates(domain), sites)

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-able values; objects that are not numbers or labels become None."""
        out = super().to_dict()
        return {("anchors" if k == "anchors_" else k): v for k, v in out.items()}


def index_cells(given: Any, frame: Frame) -> NDArray[np.int64]:
    """Read index positions of shape (patch, dim)."""
    cells = np.asarray(given)
    if cells.size == 0:
        raise ValueError("Explicit was given no anchors")
    if cells.dtype.kind not in "iu":
        raise TypeError(
            f"index positions must be ints, got dtype {cells.dtype}; give labels as a mapping "
            f"{{{', '.join(f'{d!r}: …' for d in frame.dims)}}}"
        )
    if cells.ndim == 1 and len(frame.dims) == 1:
        cells = cells[:, None]
    if cells.ndim != 2 or cells.shape[1] != len(frame.dims):
        raise ValueError(
            f"Explicit index positions must have shape (patch, {len(frame.dims)}) for the "
            f"dimensions {list(frame.dims)}, got shape {cells.shape}"
        )
    return cells.astype(np.int64)


def label_cells(given: Any, domain: Lattice, frame: Frame) -> NDArray[np.int64]:
    """Find the cells nearest to labels by dimension."""
    if domain.curvilinear and not all(d in given for d in frame.dims):
        lat, lon = domain.curvilinear
        if lat in given and lon in given:
            found = domain.nearest_on_sphere(np.ravel(given[lat]), np.ravel(given[lon]))
            return np.stack([found[d] for d in frame.dims], axis=-1)
    missing = [d for d in frame.dims if d not in given]
    if missing:
        raise KeyError(f"anchor labels lack dimension {missing[0]!r}; give {list(frame.dims)}")
    unknown = [d for d in given if d not in frame.dims] if not isinstance(given, xr.Dataset) else []
    if unknown:
        raise KeyError(f"anchor labels name {unknown[0]!r}, which is not cut: {list(frame.dims)}")
    placed = rotated_cells(given, domain, frame)
    columns = [
        placed[d]
        if d in placed
        else domain.nearest(d, np.ravel(np.asarray(given[d])), b in ("pad", "wrap"))
        for d, b in zip(frame.dims, frame.boundary, strict=True)
    ]
    lengths = {len(c) for c in columns}
    if len(lengths) > 1:
        raise ValueError(
            f"anchor labels must be equally many along {list(frame.dims)}, got "
            f"{[len(c) for c in columns]}; they are taken one by one, not as a product"
        )
    if 0 in lengths:
        raise ValueError("Explicit was given no anchors")
    return np.stack(columns, axis=-1)


def horizontal(domain: Lattice, frame: Frame) -> tuple[Hashable, Hashable]:
    """Give the x and the y dimension among the cut ones."""
    found = {}
    for dim in frame.dims:
        role = domain.roles.get(dim)
        if role in ("X", "longitude"):
            found["x"] = dim
        elif role in ("Y", "latitude"):
            found["y"] = dim
    extra = [d for d in frame.dims if d not in found.values()]
    if set(found) != {"x", "y"} or extra:
        raise ValueError(
            f"points place x and y, but the patches are cut along {list(frame.dims)}; give "
            "anchors as a mapping of labels by dimension"
        )
    return found["x"], found["y"]


def cells_at(x: NDArray, y: NDArray, crs: Any, domain: Lattice, frame: Frame) -> NDArray[np.int64]:
    """Find the cells nearest to places in ``crs`` (None: the coordinates of the field)."""
    if domain.curvilinear and domain.crs is None:
        x, y = domain.sites().from_crs(x, y, crs)
        found = domain.nearest_on_sphere(y, x)
        return np.stack([found[d] for d in frame.dims], axis=-1)
    names = horizontal(domain, frame)
    x, y = (x, y) if crs is None else domain.sites().from_crs(x, y, crs)
    return label_cells(dict(zip(names, (x, y), strict=True)), domain, frame)


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
    """

    track: Any
    spacing: float
    crs: Any = None

    def __post_init__(self) -> None:
        check_positive(self.spacing, "spacing of AlongTrack")

    def anchors(
        self, domain: Lattice, geometry: Geometry, field: xr.DataArray | xr.Dataset | None = None
    ) -> Anchors:
        """Center a patch at every ``spacing`` along the track, from its first vertex on."""
        frame = geometry.frame(domain)
        if isinstance(self.track, Mapping | xr.Dataset) or is_geometry(self.track):
            cells = self._labeled(domain, frame)
        else:
            vertices = np.asarray(self.track, float)
            if vertices.ndim != 2 or vertices.shape[1] != len(frame.dims):
                raise ValueError(
                    f"index positions of a track must have shape (vertex, {len(frame.dims)}), got "
                    f"{vertices.shape}"
                )
            cells = np.rint(walk(vertices, self.spacing)).astype(np.int64)
        starts = frame.settle(cells - np.array(frame.sizes) // 2, "AlongTrack")
        return listed(not_empty(starts, "AlongTrack"))

    def _labeled(self, domain: Lattice, frame: Frame) -> NDArray[np.int64]:
        x_dim, y_dim = horizontal(domain, frame) if not domain.curvilinear else ("x", "y")
        if isinstance(self.track, Mapping | xr.Dataset):
            names = (x_dim, y_dim) if not domain.curvilinear else domain.curvilinear[::-1]
            x, y = (np.ravel(np.asarray(self.track[n], float)) for n in names)
        else:
            x, y = point_xy(self.track)
            crs = crs_of(self.track) or self.crs
            x, y = (x, y) if crs is None else domain.sites().from_crs(x, y, crs)
        if domain.geographic or domain.curvilinear:
            x, y = sphere.along(x, y, self.spacing)
        else:
            x, y = walk(np.stack([x, y], axis=-1), self.spacing).T
        if domain.curvilinear:
            found = domain.nearest_on_sphere(y, x)
            return np.stack([found[d] for d in frame.dims], axis=-1)
        return label_cells({x_dim: x, y_dim: y}, domain, frame)

    def places(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Anchor at every ``spacing`` along the track; places without any member are left out."""
        sites = geometry.sites(domain)
        if isinstance(self.track, Mapping | xr.Dataset):
            vertices = labeled_places(self.track, domain, sites)
            x, y = vertices.x, vertices.y
        elif is_geometry(self.track):
            crs = crs_of(self.track) or self.crs
            x, y = sites.from_crs(*point_xy(self.track), crs)
        else:
            raise TypeError(
                f"the track of lists of members must be a line, points or labels, got {self.track!r}"
            )
        if sites.geographic:
            x, y = sphere.along(x, y, self.spacing)
        else:
            x, y = walk(np.stack([x, y], axis=-1), self.spacing).T
        return dataclasses.replace(free_places(x, y, sites), optional=True)


@dataclasses.dataclass(frozen=True, repr=False)
class FibonacciSphere(Sampler):
    """Anchors that are spread evenly over the whole sphere, each for an equal area.

    Those outside of the field, or with no member, are left out.

    Parameters
    ----------
    n : int
        Number of anchors on the whole sphere.

    References
    ----------
    González, Á. (2010). Measurement of areas on a sphere using Fibonacci and latitude–longitude
    lattices. Mathematical Geosciences, 42, 49–64.

    Examples
    --------
    >>> grid = xr.DataArray(
    ...     np.zeros((18, 36)), {"lat": np.arange(-85, 90, 10), "lon": np.arange(0, 360, 10)}
    ... )
    >>> caps = grid.patch.split(
    ...     geometry=xpatch.SphericalCap(2000), sampler=xpatch.FibonacciSphere(50)
    ... )
    >>> caps.sizes["patch"]
    50
    """

    n: int

    def __post_init__(self) -> None:
        check_integer(self.n, "n of FibonacciSphere", 1)

    def anchors(
        self, domain: Lattice, geometry: Geometry, field: xr.DataArray | xr.Dataset | None = None
    ) -> Anchors:
        """Center boxes at the cells nearest to the anchors that lie in the field."""
        frame = geometry.frame(domain)
        lon, lat = sphere.fibonacci(self.n)
        inside = in_field(lon, lat, domain)
        if not inside.any():
            raise ValueError(f"none of the {self.n} anchors of FibonacciSphere lies in the field")
        x, y = domain.sites().from_lonlat(lon[inside], lat[inside])
        cells = cells_at(x, y, None, domain, frame)
        starts = frame.settle(cells - np.array(frame.sizes) // 2, "FibonacciSphere")
        return listed(not_empty(starts, "FibonacciSphere"))

    def places(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        sites = geometry.sites(domain)
        x, y = sites.from_lonlat(*sphere.fibonacci(self.n))
        known = np.isfinite(x) & np.isfinite(y)
        if not isinstance(geometry, SphericalCap | RadiusGraph):  # others find members everywhere
            known &= near_elements(*sphere.fibonacci(self.n), sites)
        if not known.any():
            raise ValueError(f"none of the {self.n} anchors of FibonacciSphere lies in the field")
        return dataclasses.replace(free_places(x[known], y[known], sites), optional=True)


def in_field(lon: NDArray, lat: NDArray, domain: Lattice) -> NDArray[np.bool_]:
    """Whether places lie in a cell; on curvilinear grids, no farther from one than the next ones."""
    sites = domain.sites()
    if sites.axes is not None and sites.geographic:
        (y, y_half), (x, x_half) = ((a, np.abs(np.diff(a)).max(initial=0) / 2) for a in sites.axes)
        middle = (x.min() + x.max()) / 2
        lon = lon - 360 * np.round((lon - middle) / 360)
        in_rows = (lat >= y.min() - y_half) & (lat <= y.max() + y_half)
        return in_rows & (lon >= x.min() - x_half) & (lon <= x.max() + x_half)
    return near_elements(lon, lat, sites)


def near_elements(lon: NDArray, lat: NDArray, sites: Sites) -> NDArray[np.bool_]:
    """Whether places are no farther from an element than its fourth neighbor is."""
    far, near = sites.globe.query(sphere.unit_vectors(lon, lat))
    spacing, _ = sites.globe.query(sites.globe.data[near], [min(5, len(sites.known))])
    return far <= spacing[:, 0]


def walk(vertices: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """Give points at every ``spacing`` along straight segments."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(vertices, axis=0), axis=1))])
    at = np.arange(0, along[-1] * (1 + 1e-12), spacing) if along[-1] else np.zeros(1)
    return np.stack([np.interp(at, along, column) for column in vertices.T], axis=-1)
