"""Elements: stations, trajectories, polygons, meshes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch.domain.cell_areas import ON_SPHERE, STAND_FOR, polygon_areas, polygons_on_sphere
from xpatch.domain.lattice import Lattice
from xpatch.domain.sites import Sites, slot_name
from xpatch.domain.units import to_degrees

FEATURES = (
    "point",
    "timeseries",
    "trajectory",
    "profile",
    "timeseriesprofile",
    "trajectoryprofile",
)


class Elements(Lattice):
    """A field with elements along some dimensions, which have no order in space.

    Along its other dimensions, such as time, it is a lattice. ``places`` gives what is known of
    each element dimension.
    """

    places: Mapping[tuple[Hashable, ...], Any] = {}

    @property
    def element_dims(self) -> tuple[Hashable, ...]:
        """All dimensions of elements."""
        return tuple(dict.fromkeys(d for dims in self.places for d in dims))

    @cached_property
    def spatial_dims(self) -> tuple[Hashable, ...]:
        """The dimensions of elements."""
        return self.element_dims

    def with_places(self, places: Mapping[tuple[Hashable, ...], Any]) -> Any:
        """Give the domain with what is known of its element dimensions."""
        self.places = dict(places)
        return self

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Any:
        places = {
            tuple(names.get(d, d) for d in dims): self._renamed_place(what, names)
            for dims, what in self.places.items()
        }
        return super().renamed(names).with_places(places)

    def _renamed_place(self, what: Any, names: Mapping[Hashable, Hashable]) -> Any:
        return what

    def sites(self, dim: Hashable | None = None) -> Sites:
        dims = self._asked(dim)
        if dims not in self._known:
            self._known[dims] = self._sites(dims)
        return self._known[dims]

    @cached_property
    def _known(self) -> dict[tuple[Hashable, ...], Sites]:
        return {}

    def centers(self, dim: Hashable) -> tuple[NDArray[np.float64], ...]:
        """Give latitude and longitude in degrees of elements whose field has no coordinates of places.

        Empty where it has some, where elements are geometries, and where their places are projected.
        """
        coords, sites = self.located.coords.items(), self.sites(dim)
        roles = {self.roles.get(n) for n, c in coords if {*c.dims} & {*sites.dims}}
        if (
            roles & {"latitude", "longitude"}
            or not sites.geographic
            or sites.geometries is not None
        ):
            return ()
        lon, lat = sites.lonlat
        return lat.reshape(sites.shape), lon.reshape(sites.shape)

    def same_lattice(self, other: Lattice, dims: tuple[Hashable, ...]) -> str | None:
        different = super().same_lattice(other, dims)
        if different is not None or not isinstance(other, Elements):
            return different
        for own in (own for own in self.places if set(own) & set(dims)):
            if own not in other.places:
                return f"it has no elements along {list(own)}"
            mine, theirs = self.sites(own[0]), other.sites(own[0])
            pairs = ((mine.x, theirs.x), (mine.y, theirs.y))
            if not all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
                return f"its elements along {list(own)} lie elsewhere"
        return None

    def _asked(self, dim: Hashable | None) -> tuple[Hashable, ...]:
        if dim is None and len(self.places) == 1:
            return next(iter(self.places))
        found = [dims for dims in self.places if dim in dims]
        if len(found) == 1:
            return found[0]
        asked = "" if dim is None else f", not along {dim!r}"
        raise ValueError(
            f"the field has elements along {[d[0] if len(d) == 1 else d for d in self.places]}"
            f"{asked}; say which are meant: KNNGraph(…, dim={self.element_dims[0]!r})"
        )

    def _sites(self, dims: tuple[Hashable, ...]) -> Sites:
        raise NotImplementedError

    @property
    def geographic(self) -> bool:
        return self.sites(self.element_dims[0]).geographic


class PointDomain(Elements):
    """Points with coordinates of their own: stations, floats, profiles, trajectories (CF).

    Examples
    --------
    >>> place = {"lon": ("id", [0, 1, 5]), "lat": ("id", [0, 0, 0])}
    >>> stations = xr.DataArray([1.0, 2.0, 3.0], place, dims="id")
    >>> stations.patch.domain
    <PointDomain (id: 3)>
      points along id: lon, lat (longitude and latitude)
    """

    has_areas = False

    def cell_areas(self, dim: Hashable | None = None) -> xr.Variable:
        raise ValueError(f"points along {list(self.element_dims)} have no area; {STAND_FOR}")

    def _renamed_place(self, what: Any, names: Mapping[Hashable, Hashable]) -> Any:
        x, y, geographic = what
        return names.get(x, x), names.get(y, y), geographic

    def _sites(self, dims: tuple[Hashable, ...]) -> Sites:
        x, y, geographic = self.places[dims]
        at = [self.located.coords[n].transpose(*dims) for n in (x, y)]
        values = [np.asarray((to_degrees(c) if geographic else c).values, float) for c in at]
        shape = tuple(self.sizes[d] for d in dims)
        crs = None if geographic else self.crs
        name = dims[0] if len(dims) == 1 else slot_name(self)
        return Sites(dims, shape, name, values[0].ravel(), values[1].ravel(), geographic, crs)

    def _findings(self) -> list[str]:
        found = []
        for dims, (x, y, geographic) in self.places.items():
            kind = "longitude and latitude" if geographic else "projected"
            kind += ", data variables" if x in self.held else ""
            coords = self.located.coords
            here = dims in self._known or all(coords[n].variable._in_memory for n in (x, y))
            lost = self.sites(dims[0]).left_out if here else ""
            lost = f"; {lost}" if lost else ""
            found.append(f"  points along {', '.join(map(str, dims))}: {x}, {y} ({kind}){lost}")
        return found


class VectorDomain(Elements):
    """Shapely geometries: an xvec cube, or a plain coordinate of points or polygons.

    Examples
    --------
    >>> import shapely
    >>> plots = [shapely.box(0, 0, 1, 1), shapely.box(1, 0, 3, 1)]
    >>> field = xr.DataArray([2.0, 4.0], {"plot": plots}, dims="plot")
    >>> field.patch.domain
    <VectorDomain (plot: 2)>
      2 polygons along plot (plot): no CRS
    """

    def _renamed_place(self, what: Any, names: Mapping[Hashable, Hashable]) -> Any:
        return names.get(what, what)

    def _sites(self, dims: tuple[Hashable, ...]) -> Sites:
        name = self.places[dims]
        geometries = np.asarray(self.template.coords[name].values, dtype=object)
        x, y = _centers(geometries, name)
        crs = self._crs_of(name)
        geographic = crs is not None and bool(crs.is_geographic)
        if crs is None:
            geographic = self.roles.get(name) in ("longitude", "latitude")
        return Sites(dims, (len(x),), dims[0], x, y, geographic, crs, geometries=geometries)

    @property
    def has_areas(self) -> bool:
        every = [self.sites(dims[0]) for dims in self.places]
        return all(s.polygonal and (s.crs is not None or s.geographic) for s in every)

    def cell_areas(self, dim: Hashable | None = None) -> xr.Variable:
        return polygon_areas(self.sites(dim), self.places[self._asked(dim)])

    def _crs_of(self, name: Hashable) -> Any:
        index = self.template.xindexes.get(name)
        source = getattr(index, "crs", None) or self.template.coords[name].attrs.get("crs")
        if source is None:
            return self.crs
        return ax.as_crs(source)

    def _findings(self) -> list[str]:
        found = []
        for dims, name in self.places.items():
            sites = self.sites(dims[0])
            what = "polygons" if sites.polygonal else "points"
            crs = "no CRS" if sites.crs is None else ax.crs_name(sites.crs)
            found.append(f"  {len(sites)} {what} along {dims[0]} ({name}): {crs}")
        return found


class MeshDomain(Elements):
    """Faces, nodes or edges of an unstructured mesh (uxarray).

    Examples
    --------
    The faces of a tetrahedron, of which each touches all others:

    >>> import uxarray as ux
    >>> lon, lat = [0.0, 120.0, 240.0, 0.0], [-20.0, -20.0, -20.0, 90.0]
    >>> faces = np.array([[0, 1, 3], [1, 2, 3], [2, 0, 3], [0, 2, 1]])
    >>> grid = ux.Grid.from_topology(lon, lat, faces, fill_value=-1)
    >>> field = ux.UxDataArray(np.arange(4.0), dims="n_face", uxgrid=grid)
    >>> field.patch.domain
    <MeshDomain (n_face: 4)>
      faces of a mesh along n_face
    >>> dict(field.patch.split(xpatch.KHopGraph(1)).sizes)
    {'patch': 4, 'n_face': 4}
    """

    grid: Any = None

    def with_grid(self, grid: Any) -> MeshDomain:
        """Give the domain with the mesh of uxarray."""
        self.grid = grid
        return self

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Any:
        return super().renamed(names).with_grid(self.grid)

    @property
    def has_areas(self) -> bool:
        return "n_face" in self.places.values()

    def cell_areas(self, dim: Hashable | None = None) -> xr.Variable:
        from xpatch.domain import mesh

        faces = [dims for dims, kind in self.places.items() if kind == "n_face"]
        if not faces or dim not in (None, *faces[0]):
            raise ValueError(
                f"nodes and edges of a mesh, along {list(self.element_dims)}, have no area; its faces do: bring "
                "values of nodes to faces (field.topological_mean('face')), or weigh by the faces around each node or edge"
            )
        corners, at = mesh.corners(self.grid), mesh.centers(self.grid, "n_node")
        return xr.Variable(faces[0], polygons_on_sphere(corners, at), ON_SPHERE)

    def wrap(self, merged: Any) -> Any:
        import uxarray as ux

        if isinstance(merged, xr.Dataset):
            return ux.UxDataset(merged, uxgrid=self.grid)
        return ux.UxDataArray(merged, uxgrid=self.grid)

    def same_lattice(self, other: Lattice, dims: tuple[Hashable, ...]) -> str | None:
        mine, theirs = self.grid, getattr(other, "grid", None)
        if mine is not theirs and theirs is not None and mine != theirs:
            return "it lies on another mesh"
        return super().same_lattice(other, dims)

    def _sites(self, dims: tuple[Hashable, ...]) -> Sites:
        from xpatch.domain import mesh

        kind = self.places[dims]
        x, y = mesh.centers(self.grid, kind)
        return Sites(
            dims,
            (len(x),),
            dims[0],
            x,
            y,
            True,
            adjacency=partial(mesh.adjacency, self.grid, kind),
            holds=partial(mesh.holds, self.grid),
            outlines=partial(mesh.outlines, self.grid) if kind == "n_face" else None,
        )

    def _findings(self) -> list[str]:
        kinds = {"n_face": "faces", "n_node": "nodes", "n_edge": "edges"}
        return [f"  {kinds[kind]} of a mesh along {d[0]}" for d, kind in self.places.items()]


def _centers(geometries: NDArray, name: Hashable) -> tuple[NDArray, NDArray]:
    """Give x and y of the centroids; of points, which are their own, without making others."""
    import shapely

    kinds = shapely.get_type_id(geometries)
    if (kinds == 0).all():
        with suppress(shapely.errors.GEOSException):  # which GEOS raises for empty points
            x, y = shapely.get_x(geometries), shapely.get_y(geometries)
            if np.isfinite(x).all() and np.isfinite(y).all():
                return x, y
    _check_geometries(geometries, kinds, name)
    centers = shapely.centroid(geometries)
    return shapely.get_x(centers), shapely.get_y(centers)


def _check_geometries(geometries: NDArray, kinds: NDArray, name: Hashable) -> None:
    import shapely

    bad = (kinds < 0) | shapely.is_empty(geometries)
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of the geometries along {name!r} are missing or empty, the first at "
            f"position {int(np.flatnonzero(bad)[0])}; leave them out: field.isel({name}=…)"
        )
    points = kinds == 0
    areas = np.isin(kinds, (3, 6))
    if not (points.all() or areas.all() or (~points & ~areas).all()):
        raise ValueError(
            f"the geometries along {name!r} are of mixed types; points, lines and polygons cannot be "
            "neighbors of one kind: take their centroids, or one type at a time"
        )
    finite = np.isfinite(shapely.bounds(geometries)).all(axis=-1)
    if not finite.all():
        raise ValueError(f"some geometries along {name!r} have NaN coordinates; leave them out")


# ------------------------------------------------------------------------------------ detection


def vector_places(obj: xr.DataArray | xr.Dataset) -> dict[tuple[Hashable, ...], Hashable]:
    """Find the dimensions of shapely geometries, and the coordinates that hold them."""
    found: dict[tuple[Hashable, ...], Hashable] = {}
    for name, coord in obj.coords.variables.items():
        if coord.ndim != 1 or str(coord.dtype) not in ("object", "geometry"):
            continue  # the second is that of geopandas
        if not any(hasattr(value, "geom_type") for value in np.asarray(coord.values)[:1]):
            continue
        if coord.dims not in found or coord.dims == (name,):
            found[coord.dims] = name
    return found


def point_places(
    obj: xr.DataArray | xr.Dataset, located: xr.Dataset, roles: Mapping[Hashable, str]
) -> dict[tuple[Hashable, ...], Any]:
    """Find points with coordinates of their own: CF discrete sampling geometries.

    One-dimensional longitude and latitude, or x and y, along one dimension that is neither; or
    several dimensions if CF says so (``featureType``, ``cf_role``), as of trajectories.
    """
    found: dict[tuple[Hashable, ...], Any] = {}
    feature = str(obj.attrs.get("featureType", "")).lower() in FEATURES
    feature |= any("cf_role" in c.attrs for c in obj.coords.variables.values())
    variables = located.coords.variables
    for lon_role, lat_role in (("longitude", "latitude"), ("X", "Y")):
        geographic = lon_role == "longitude"
        for x in (n for n in variables if roles.get(n) == lon_role):
            for y in (n for n in variables if roles.get(n) == lat_role):
                dims = variables[x].dims
                if variables[y].dims != dims or not dims or (x,) == dims or (y,) == dims:
                    continue
                if len(dims) == 1 or (feature and geographic):
                    found.setdefault(dims, (x, y, geographic))
    return found
