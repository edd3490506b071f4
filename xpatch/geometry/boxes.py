"""Boxes."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Container, Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xpatch.domain import Lattice
from xpatch.domain.turns import check_closes
from xpatch.geometry.around import on_elements
from xpatch.geometry.base import Anchors, Frame, Geometry
from xpatch.geometry.lengths import cells_of, goes_with_latitude, size_of
from xpatch.geometry.rows import RowFrame, row_frame
from xpatch.neighborhood import Neighborhood
from xpatch.spec import MOST, DimMap, by_dim, is_integer, is_number, per_dim

BOUNDARIES = ("shift", "drop", "pad", "wrap", "raise")
PAD_MODES = (
    "constant",
    "edge",
    "linear_ramp",
    "maximum",
    "mean",
    "median",
    "minimum",
    "reflect",
    "symmetric",
    "wrap",
)


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Rectangular(Geometry):
    """Boxes along any dimensions, in cells, in coordinate units or in km; around elements lists of what is in them.

    Parameters
    ----------
    size : int, float, str, sequence or mapping, optional
        Size of a patch: an int in cells, a float in coordinate units (evenly spaced coordinates
        only), text a length on the ground, "300km", "500m" or "2deg". A scalar or a sequence means the spatial dimensions of the field, in its order; a
        mapping names dimensions, which may be any, vertical and time included. Dimensions not
        named are carried whole. Several grids of a Dataset are named by groups of dimensions,
        ``{("y", "x"): 64, ("y20", "x20"): 32}``: the sampler places the patches of the first, and
        those of the others lie at the same places.
    boundary : str or mapping, default: "shift"
        What happens at the edge of the field, for all dimensions or by dimension: ``"shift"`` the
        last patch moves inward, ``"drop"`` only patches that fit on the stride, ``"pad"`` the
        field is extended, ``"wrap"`` the dimension is periodic, ``"raise"`` an error unless the
        stride tiles the field exactly.
    pad_mode : str, default: "reflect"
        How ``"pad"`` fills cells outside of the field, as in :meth:`xarray.DataArray.pad`. Those
        that need whole axes (``"mean"``, ``"median"``, ``"maximum"``, ``"minimum"``,
        ``"linear_ramp"``) load a field that is on disk whole.
    pad_value : scalar, optional
        The value of ``pad_mode="constant"`` and the end of ``"linear_ramp"``; default: missing, of
        integers whose attributes name a number for that this number.
    **dims
        Sizes by dimension, in place of ``size``.

    Notes
    -----
    In km, cells of longitude go with the latitude φ in the middle of each box: the nearest whole number to
    ``km / (R · Δλ · cos φ)`` on a sphere of radius R = 6371.0088 km, at least one, and no more than one turn. All
    patches are as wide as the widest, so leave polar rows out that are not needed,
    ``field.sel(lat=slice(-80, 80))``. Boxes
    that have fewer than others end in empty slots: missing values, missing labels, False in ``patches.patch.mask``.
    On a rotated pole these are rows and columns of the rotated grid, on a raster units of its CRS.

    On stations, polygons (by their centroid), meshes, and with ``lat`` and ``lon`` on curvilinear grids, sizes
    are named by coordinates, ``Rectangular(lat=2.0, lon="300km")``, and patches are lists of the elements
    with ``|Δφ| ≤ height / 2`` and ``|Δλ| cos φ₀ ≤ width / 2`` of the anchor, both edges included. Along a coordinate
    that is not named the box has no end.

    Examples
    --------
    >>> xpatch.Rectangular(y=256, x=256)
    Rectangular(y=256, x=256)
    >>> grid = xr.DataArray(
    ...     np.zeros((18, 36)),
    ...     {"lat": np.arange(-85, 90, 10.0), "lon": np.arange(0, 360, 10.0)},
    ... )
    >>> boxes = grid.patch.split(geometry=xpatch.Rectangular(lat="2000km", lon="2000km"))
    >>> boxes.sizes["lat"], boxes.patch.mask.isel(lat=0).sum("lon").values[[0, 40]]
    (2, array([10,  2]))
    >>> xpatch.Rectangular({"lat": 10.0, "lon": 10.0}, boundary={"lon": "wrap"})
    Rectangular(lat=10.0, lon=10.0, boundary={'lon': 'wrap'})
    """

    size: Any
    boundary: Any = "shift"
    pad_mode: str = "reflect"
    pad_value: Any = None

    def __init__(
        self,
        size: Any = None,
        *,
        boundary: str | Mapping[Any, str] = "shift",
        pad_mode: str = "reflect",
        pad_value: Any = None,
        **dims: Any,
    ):
        size = by_dim(size, dims, "the size of Rectangular")
        if size is None or (isinstance(size, Mapping) and not size):
            raise TypeError(
                "Rectangular needs a size: Rectangular(256) or Rectangular(y=256, x=256)"
            )
        if isinstance(size, Mapping):
            size = DimMap({d: by_dim(n, {}, "the size of Rectangular") for d, n in size.items()})
        for one in size.values() if isinstance(size, Mapping) else np.ravel(np.array(size, object)):
            size_of(one, "size")  # which raises
        boundary = DimMap(boundary) if isinstance(boundary, Mapping) else boundary
        for word in boundary.values() if isinstance(boundary, DimMap) else [boundary]:
            if word not in BOUNDARIES:
                raise ValueError(f"boundary must be one of {list(BOUNDARIES)}, got {word!r}")
        if pad_mode not in PAD_MODES:
            raise ValueError(f"pad_mode must be one of {list(PAD_MODES)}, got {pad_mode!r}")
        if np.ndim(pad_value) or isinstance(pad_value, Mapping):
            raise TypeError(
                f"pad_value must be one value for all cells outside of the field, got {pad_value!r}"
            )
        values = {"size": size, "boundary": boundary, "pad_mode": pad_mode, "pad_value": pad_value}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def on(self, domain: Lattice) -> Geometry:
        """Give boxes of cells, or lists of the elements in boxes where there are no cells."""
        return on_elements(self.size, domain, self.boundary) or self

    def outline(self, domain: Lattice) -> Frame:
        """Resolve sizes and boundaries on ``domain``; dimensions come in its order."""
        if several_grids(self, domain.sizes):
            raise ValueError(
                f"{self!r} names several grids of a Dataset; these are cut by "
                "split(geometry=Rectangular(…), sampler=…) alone"
            )
        if isinstance(self.size, Mapping):
            domain.check_dims(self.size, "Rectangular")
        elif not domain.spatial_dims:
            raise ValueError(
                f"the field has no spatial dimensions among {list(domain.dims)}; "
                "name the dimensions to cut: Rectangular({dim: size})"
            )
        asked = (
            per_dim(self.size, domain.spatial_dims, "the size of Rectangular")
            if not isinstance(self.size, Mapping)
            else dict(self.size)
        )
        asked = {d: size_of(n, "size") for d, n in asked.items()}
        dims = tuple(d for d in domain.dims if d in asked)
        _check_ordered(dims, domain)
        boundary = dict.fromkeys(dims, "shift")
        if isinstance(self.boundary, Mapping):
            boundary |= per_dim(self.boundary, dims, "boundary")
        else:
            boundary = dict.fromkeys(dims, self.boundary)
        domain.check_cells(dims)
        across = [d for d in dims if goes_with_latitude(domain, d, asked[d])]
        sizes = []
        for dim in dims:
            size, n = 1, domain.sizes[dim]
            if dim not in across:
                size = cells_of(domain, dim, asked[dim], "size")
            if size > n and boundary[dim] != "pad":
                raise ValueError(
                    f"a patch of {size} cells does not fit in the {n} cells of {dim!r}; use a size "
                    f"of at most {n}, or boundary='pad' to extend the field{_as_length(domain, dim, asked[dim])}"
                )
            if size > max(n, MOST):
                raise ValueError(
                    f"a patch of {size:,} cells along {dim!r} is {size - n:,} cells of padding around the {n} of "
                    f"the field, more than {MOST:,} cells in all; use a smaller size"
                )
            if boundary[dim] == "wrap":
                check_closes(domain, dim)
            sizes.append(size)
        shape = tuple(domain.sizes[d] for d in dims)
        frame = Frame(dims, tuple(sizes), shape, tuple(boundary[d] for d in dims))
        if not across:
            return frame
        return row_frame(domain, frame, dims.index(across[0]), asked[across[0]])

    def neighborhood(self, domain: Lattice, places: Anchors) -> Neighborhood:
        """Give the boxes at ``places``."""
        frame = self.outline(domain)
        if isinstance(frame, RowFrame):
            return frame.neighborhood(places, pad_mode=self.pad_mode, pad_value=self.pad_value)
        wrap = [word == "wrap" for word in frame.boundary]
        axes = [np.asarray(a, dtype=np.int64) for a in places.axes]
        lattice = (frame.dims, frame.sizes, frame.shape, axes, places.product, wrap)
        pad = {"pad_mode": self.pad_mode, "pad_value": self.pad_value}
        return Neighborhood.boxes(*lattice, **pad)


def _as_length(domain: Lattice, dim: Hashable, size: Any) -> str:
    """Say how a size is typed that would fit as a length, in units of the labels."""
    step = domain.spacing(dim) if is_integer(size) else None
    if step is None or isinstance(step, np.timedelta64):
        return ""
    fits = 1 <= round(size / abs(float(step))) <= domain.sizes[dim]
    return f"; {size} is in cells, and {float(size)} in units of {dim!r}" if fits else ""


def _check_ordered(dims: tuple[Any, ...], domain: Lattice) -> None:
    """Raise a ValueError if there is a dimension of elements whose order means nothing."""
    for dim in dims:
        if dim in domain.element_dims and domain.roles.get(dim) != "T" and not domain.held:
            raise ValueError(
                f"Rectangular cuts boxes out of lattices, but {dim!r} counts elements, which have no "
                "order in space; use KNNGraph(k), RadiusGraph(radius), SphericalCap(radius_km), "
                "PolygonIntersection(polygons), on a mesh KHopGraph(hops), of cells of a global grid "
                "Parents(level), or what lies in a box by the names of coordinates, "
                "Rectangular(lat='300km', lon='300km')"
            )


def is_size(value: Any) -> bool:
    """Whether ``value`` is short for `Rectangular`: a number, one for each dimension, or a mapping."""
    if isinstance(value, Mapping | list | tuple):
        return not isinstance(value, xr.Dataset)
    return is_number(value) or (isinstance(value, np.ndarray) and value.dtype.kind in "iuf")


def several_grids(geometry: Any, dims: Container[Any]) -> bool:
    """Whether sizes are given for groups of dimensions, each of which is a grid of a Dataset."""
    size = getattr(geometry, "size", geometry)
    return isinstance(size, Mapping) and any(isinstance(d, tuple) and d not in dims for d in size)


def as_geometry(value: Any) -> Geometry:
    """Turn a mapping, sizes or a Geometry into a Geometry."""
    if isinstance(value, Geometry):
        return value
    if is_size(value):
        return Rectangular(value)
    hint = f"; call it, {value.__name__}(…)" if isinstance(value, type) else ""
    hint = f"; a length is a size of Rectangular({value!r})" if isinstance(value, str) else hint
    raise TypeError(
        "geometry must be a Geometry or sizes by dimension such as {'y': 64, 'x': 64}, got "
        f"{reprlib.repr(value)}{hint}"
    )
