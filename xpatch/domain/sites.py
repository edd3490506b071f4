"""`Sites`: where the elements of a field are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain.cells import Line
from xpatch.domain.global_grid import GlobalGrid
from xpatch.domain.lonlat import off_by, off_earth, said_off_earth
from xpatch.domain.places import DEGREES, mover
from xpatch.domain.turns import TURN
from xpatch.domain.units import check_degrees

MESH_DIMS = ("n_face", "n_node", "n_edge")


@dataclasses.dataclass(frozen=True, eq=False)
class Sites:
    """Positions of the elements of a field: stations, polygons, mesh cells, cells of a lattice.

    Parameters
    ----------
    dims, shape
        The dimensions that are flattened to elements, in row-major order, and their sizes.
    dim : hashable
        Name of the in-patch dimension.
    x, y : float64 arrays (element,)
        Longitude and latitude in degrees, or projected coordinates. NaN where an element has no
        place; it is never a member.
    geographic : bool
        Whether ``x`` and ``y`` are degrees on the sphere: longitude and latitude, or (``rotated``)
        those of a rotated pole.
    crs : pyproj.CRS, optional
        CRS of ``x`` and ``y``; None for longitude and latitude of any sphere.
    axes : pair of arrays, optional
        (y, x) of each row and column, where the elements are their outer product.
    y_first : bool
        Whether y is the first of ``dims`` then.
    lines : callable, optional
        Gives the cells along y and along x then.
    geometries : array of shapely geometries (element,), optional
        The elements themselves.
    adjacency : callable, optional
        Gives the sparse matrix of neighbors, where something says who is one.
    outlines : callable, optional
        Gives the polygons of given elements, for what touches them.
    cells : GlobalGrid, optional
        The elements as cells of a discrete global grid, which have parents.
    holds : callable, optional
        Says of longitudes and latitudes whether they lie in what the elements are of: a mesh.
    """

    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    dim: Hashable
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    geographic: bool
    crs: Any = None
    axes: tuple[NDArray, NDArray] | None = None
    y_first: bool = True
    lines: Callable[[], tuple[Line, Line]] | None = None
    geometries: NDArray | None = None
    adjacency: Callable[[], Any] | None = None
    outlines: Callable[[NDArray], NDArray] | None = None
    cells: GlobalGrid | None = None
    holds: Callable[[NDArray, NDArray], NDArray] | None = None

    @property
    def rotated(self) -> bool:
        """Whether ``x`` and ``y`` are degrees around a pole that is not that of the Earth."""
        return self.geographic and self.crs is not None and bool(self.crs.is_derived)

    @property
    def known_crs(self) -> Any:
        """The CRS, of longitude and latitude of any sphere WGS 84; None where nothing says."""
        return DEGREES if self.crs is None and self.geographic else self.crs

    def __post_init__(self) -> None:
        if self.geographic and off_earth(self.x, self.y).any():
            raise ValueError(said_off_earth(self.x, self.y, f" along {list(self.dims)}"))

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def known(self) -> NDArray[np.intp]:
        """Elements that have a place."""
        return np.flatnonzero(np.isfinite(self.x) & np.isfinite(self.y))

    @property
    def left_out(self) -> str:
        """Say how many elements have no place, and so are members of no patch; empty if all have."""
        lost = len(self) - len(self.known)
        return f"{lost} of {len(self)} without a place, left out" if lost else ""

    @cached_property
    def polygonal(self) -> bool:
        """Whether elements have an extent."""
        if self.geometries is None:
            return False
        import shapely

        kinds = shapely.get_type_id(self.geometries)
        return bool((kinds[kinds >= 0] != 0).any())

    @cached_property
    def lonlat(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude of the elements in degrees.

        Raises
        ------
        ValueError
            If the coordinates are projected and nothing says how.
        """
        return self.to_lonlat(self.x, self.y)

    def to_lonlat(self, x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Turn places in the coordinates of the field into degrees."""
        if self.geographic and not self.rotated:
            return np.asarray(x, float), np.asarray(y, float)
        if self.crs is None:
            raise ValueError(
                f"great-circle distances need longitude and latitude, but the coordinates along "
                f"{list(self.dims)} are not marked as such and have no CRS; write one "
                "(field.rio.write_crs(…), xvec's set_geom_indexes(…, crs=…)) or open the file with "
                "decode_coords='all', if it has a grid mapping, name them lon and lat, "
                "or use RadiusGraph or KNNGraph with metric='euclidean'"
            )
        return mover(self.crs, DEGREES)(x, y)

    def from_lonlat(self, lon: Any, lat: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Turn degrees into the coordinates of the field."""
        if self.geographic and not self.rotated:
            return np.asarray(lon, float), np.asarray(lat, float)
        self.to_lonlat(0.0, 0.0)  # raises without a CRS
        return mover(DEGREES, self.crs)(lon, lat)

    def holding(self, x: Any, y: Any) -> NDArray[np.int64]:
        """Give the cells of straight axes that hold places in the coordinates of the field, −1 beside it."""
        assert self.lines is not None
        rows, columns = (line.find(at) for line, at in zip(self.lines(), (y, x), strict=True))
        at = (rows, columns) if self.y_first else (columns, rows)
        flat = np.ravel_multi_index([np.maximum(a, 0) for a in at], self.shape, mode="clip")
        return np.where((rows >= 0) & (columns >= 0), flat, -1)

    @cached_property
    def tree(self) -> Any:
        """KD-tree of the known elements in the plane."""
        from scipy.spatial import cKDTree

        places = np.stack([self.x, self.y], axis=-1)
        return cKDTree(places if len(self.known) == len(self) else places[self.known])

    @cached_property
    def globe(self) -> Any:
        """KD-tree of the known elements on the unit sphere: its chords are exact great circles."""
        from scipy.spatial import cKDTree

        lon, lat = self.lonlat
        return cKDTree(sphere.unit_vectors(lon[self.known], lat[self.known]))

    def __copy__(self) -> Sites:
        return self

    def __deepcopy__(self, memo: object) -> Sites:
        return self


def lattice_sites(domain: Any) -> Sites:
    """Give the cells of a lattice as elements.

    Raises
    ------
    ValueError
        If the lattice has no horizontal coordinates.
    """
    projected = domain.crs is not None and not domain.crs.is_geographic
    if domain.curvilinear and not (projected and not domain.curved):
        lat, lon = domain.latlon
        places = [np.asarray(c.values, float).ravel() for c in (lon, lat)]
        found = Sites(lat.dims, lat.shape, slot_name(domain), places[0], places[1], True)
        return dataclasses.replace(found, outlines=_no_outlines)
    if domain.rotated is not None:
        return _rotated_sites(domain)
    x, y = horizontal_dims(domain)
    axes = {d: domain.coordinate(d) for d in (x, y)}
    for d, values in axes.items():
        if values is None or values.dtype.kind not in "iuf":
            raise ValueError(
                f"distances need numeric coordinates along {d!r}, which has "
                f"{'none' if values is None else values.dtype}; assign them"
            )
    dims = tuple(d for d in domain.dims if d in (x, y))
    shape = tuple(domain.sizes[d] for d in dims)
    across = np.asarray(axes[x], float), np.asarray(axes[y], float)
    grid = np.meshgrid(*(across[0] if d == x else across[1] for d in dims), indexing="ij")
    values = [grid[dims.index(d)].ravel() for d in (x, y)]
    geographic = domain.geographic
    if geographic:
        check_degrees(domain, (x, y))
    crs = domain.crs
    found = Sites(dims, shape, slot_name(domain), values[0], values[1], geographic, crs)
    lines = partial(_lines, domain, y, x, geographic)
    return dataclasses.replace(
        found, axes=(across[1], across[0]), y_first=dims[0] == y, lines=lines
    )


def _lines(domain: Any, y: Hashable, x: Hashable, geographic: bool) -> tuple[Line, Line]:
    return Line.of(domain, y, 0.0), Line.of(domain, x, TURN if geographic else 0.0)


def labels_fit(domain: Any) -> bool:
    """Whether labels of rows and columns and a CRS put cells where latitude and longitude are."""
    if domain.crs is None:
        return False
    lat, lon = domain.latlon
    try:
        names = horizontal_dims(domain)
    except ValueError:
        return False
    axes = [domain.coordinate(d) for d in names]
    if set(lat.dims) != set(names) or any(a is None or a.dtype.kind not in "iuf" for a in axes):
        return False
    lat, lon = (c.variable.transpose(*reversed(names)) for c in (lat, lon))
    x, y = (np.asarray(a, float) for a in axes)
    far, apart = off_by(lon, lat, x, y, mover(domain.crs, DEGREES))
    return far <= apart / 2


def _rotated_sites(domain: Any) -> Sites:
    """Give the cells of a rotated raster as elements."""
    dims = tuple(d for d in domain.dims if d in domain.rotated)
    shape = tuple(domain.sizes[d] for d in dims)

    def places(which: NDArray, down: float = 0.0, right: float = 0.0) -> tuple[NDArray, NDArray]:
        at = dict(zip(dims, np.unravel_index(which, shape), strict=True))
        return domain.xy_at(at[domain.rotated[0]] + down, at[domain.rotated[1]] + right)

    def outlines(which: NDArray) -> NDArray:
        import shapely

        corners = [(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)]
        rings = [np.stack(places(which, *corner), axis=-1) for corner in corners]
        return shapely.polygons(np.stack(rings, axis=1))

    x, y = places(np.arange(int(np.prod(shape))))
    rest = (slot_name(domain), x, y, domain.geographic, domain.crs)
    return Sites(dims, shape, *rest, outlines=outlines)


def slot_name(domain: Any) -> str:
    """Give a name for the dimension of slots that the field does not use."""
    taken = {*domain.sizes, *domain.template.variables}
    return next(n for n in ("cell", "member", "slot", "patch_cell") if n not in taken)


def _no_outlines(which: NDArray) -> NDArray:
    raise ValueError(
        "all_touched needs the outlines of cells, and a curvilinear grid says only where their "
        "centers are; use all_touched=False, or give the grid to uxarray, with its corners"
    )


def horizontal_dims(domain: Any) -> tuple[Hashable, Hashable]:
    """Give the x and the y dimension of a lattice with straight axes."""
    roles = domain.roles
    found = [
        [d for d in domain.dims if roles.get(d) in kinds]
        for kinds in (("X", "longitude"), ("Y", "latitude"))
    ]
    if any(len(names) != 1 for names in found):
        lost = [d for d in domain.dims if d in MESH_DIMS]
        if lost:
            raise ValueError(
                f"{lost[0]!r} counts elements of a mesh, but the grid of uxarray is missing: "
                "apply_ufunc, map_blocks and others lose it. Put it back: "
                "ux.UxDataArray(field, uxgrid=grid)"
            )
        raise ValueError(
            f"distances need horizontal coordinates, but among the dimensions {list(domain.dims)} "
            f"those of x and y are {found[0]} and {found[1]}; name them x and y, or lon and lat, or "
            "give them CF attributes (axis, standard_name); variables of a Dataset become coordinates by "
            "ds.set_coords(['lon', 'lat']), and cells of HEALPix or H3 by xdggs.decode"
        )
    return found[0][0], found[1][0]
