"""Samplers that put anchors at given places."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain.axes import as_crs, import_pyproj
from xpatch.geometry import Anchors, Frame, Geometry
from xpatch.index import patch_index
from xpatch.sampler.base import Sampler, check_positive, listed, not_empty

EARTH_RADIUS_KM = 6371.0088


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
            cells = point_cells(given, self.crs, domain, frame)
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
            raise ValueError(
                "the patches given to Explicit come from different splits and have no common "
                "anchors; give the patches of one split"
            )
        plan = index.plans[0]
        kept = np.unique(index.ordinals)
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
        starts = np.zeros((len(plan), len(frame.dims)), np.int64)
        starts[kept] = self._settled(cells, self.at or "center", frame)
        found = listed(starts)
        return dataclasses.replace(found, ordinals=index.ordinals, origin=plan.anchor_id)

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
    columns = [
        domain.nearest(d, np.ravel(np.asarray(given[d])), b in ("pad", "wrap"))
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


def is_geometry(given: Any) -> bool:
    """Whether ``given`` is one or more shapely geometries."""
    if hasattr(given, "geom_type") or hasattr(given, "geometry"):
        return True
    first = next(iter(np.ravel(np.asarray(given, dtype=object))), None)
    return hasattr(first, "geom_type")


def point_xy(given: Any, crs: Any, domain: Lattice) -> tuple[NDArray, NDArray]:
    """Give x and y of points, in the CRS of the field."""
    import shapely

    source = getattr(given, "crs", None) or crs
    geometries = np.atleast_1d(np.asarray(getattr(given, "geometry", given), dtype=object))
    points = np.concatenate([_vertices(g) for g in geometries]) if len(geometries) else None
    if points is None or not shapely.is_geometry(geometries).all():
        raise ValueError("expected shapely points, got none")
    target = domain.crs
    if source is not None:
        source = as_crs(source)
        if domain.curvilinear or (target is None and domain.geographic):
            target = as_crs("EPSG:4326")
        if target is None:
            raise ValueError(
                f"the points are in {source.to_string()}, but the field has no CRS; write one with "
                "field.rio.write_crs(…), or give points in the coordinates of the field and no crs"
            )
        if source != target:
            transform = import_pyproj().Transformer.from_crs(source, target, always_xy=True)
            x, y = transform.transform(points[:, 0], points[:, 1])
            return np.asarray(x), np.asarray(y)
    return points[:, 0], points[:, 1]


def _vertices(geometry: Any) -> NDArray[np.float64]:
    if getattr(geometry, "is_empty", True):
        raise ValueError("an anchor geometry is empty or missing")
    if geometry.geom_type not in ("Point", "LineString"):
        raise TypeError(f"expected points, got a {geometry.geom_type}; use geometry.centroid")
    return np.asarray(geometry.coords)[:, :2]


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


def point_cells(given: Any, crs: Any, domain: Lattice, frame: Frame) -> NDArray[np.int64]:
    """Find the cells nearest to shapely points."""
    x, y = point_xy(given, crs, domain)
    if domain.curvilinear and domain.crs is None:
        found = domain.nearest_on_sphere(y, x)
        return np.stack([found[d] for d in frame.dims], axis=-1)
    dims = dict(zip(horizontal(domain, frame), (x, y), strict=True))
    return label_cells(dims, domain, frame)


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
            x, y = point_xy(self.track, self.crs, domain)
        if domain.geographic or domain.curvilinear:
            x, y = great_circle(x, y, self.spacing)
        else:
            x, y = walk(np.stack([x, y], axis=-1), self.spacing).T
        if domain.curvilinear:
            found = domain.nearest_on_sphere(y, x)
            return np.stack([found[d] for d in frame.dims], axis=-1)
        return label_cells({x_dim: x, y_dim: y}, domain, frame)


def walk(vertices: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """Give points at every ``spacing`` along straight segments."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(vertices, axis=0), axis=1))])
    at = np.arange(0, along[-1] * (1 + 1e-12), spacing) if along[-1] else np.zeros(1)
    return np.stack([np.interp(at, along, column) for column in vertices.T], axis=-1)


def great_circle(lon: NDArray, lat: NDArray, spacing: float) -> tuple[NDArray, NDArray]:
    """Give longitude and latitude at every ``spacing`` km along great-circle segments."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    xyz = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
    cross = np.linalg.norm(np.cross(xyz[:-1], xyz[1:]), axis=1)
    angle = np.arctan2(cross, (xyz[:-1] * xyz[1:]).sum(axis=1))
    along = np.concatenate([[0], np.cumsum(angle)])
    at = (
        np.arange(0, along[-1] * (1 + 1e-12), spacing / EARTH_RADIUS_KM)
        if along[-1]
        else np.zeros(1)
    )
    segment = np.clip(np.searchsorted(along, at, side="right") - 1, 0, max(len(angle) - 1, 0))
    if not len(angle):
        return lon[:1], lat[:1]
    part = at - along[segment]
    total = np.where(angle[segment] > 0, angle[segment], 1)
    a = np.where(angle[segment] > 0, np.sin(total - part) / np.sin(total), 1)
    b = np.where(angle[segment] > 0, np.sin(part) / np.sin(total), 0)
    p = a[:, None] * xyz[segment] + b[:, None] * xyz[segment + 1]
    return np.rad2deg(np.arctan2(p[:, 1], p[:, 0])), np.rad2deg(
        np.arctan2(p[:, 2], np.hypot(p[:, 0], p[:, 1]))
    )
