"""`domain_of`: tell what a field lies on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import xarray as xr

from xpatch.domain.describe import Described, described
from xpatch.domain.dggs import DGGSDomain, cell_places
from xpatch.domain.elements import (
    MeshDomain,
    PointDomain,
    VectorDomain,
    point_places,
    vector_places,
)
from xpatch.domain.lattice import GridDomain, Lattice, lattice_of
from xpatch.domain.lonlat import held_bounds, held_positions
from xpatch.domain.sites import MESH_DIMS


def domain_of(obj: xr.DataArray | xr.Dataset) -> Lattice:
    """Tell what a field lies on from its coordinates.

    Parameters
    ----------
    obj : DataArray or Dataset
        A field: an object of uxarray, cells of a discrete global grid (xdggs), an xvec cube or shapely
        coordinates, stations or trajectories (CF), a raster with a CRS, a latitude-longitude or curvilinear grid, any other
        labeled or unlabeled array.

    Returns
    -------
    Domain
        A `MeshDomain`, `DGGSDomain`, `VectorDomain` or `PointDomain` where there are elements; a
        `RasterDomain` if there is a CRS (``spatial_ref``, CF ``grid_mapping``) and projection
        axes; otherwise a `GridDomain`. Its repr says what was found.

    Raises
    ------
    TypeError
        If ``obj`` is not an xarray object.

    See Also
    --------
    register_domain : What other packages make of their fields comes first.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((3, 4)), {"lat": [0, 1, 2], "lon": [0, 1, 2, 3]})
    >>> xpatch.domain_of(field)
    <GridDomain (lat: 3, lon: 4)>
      spatial dims: lat, lon
      lat: 0 to 2, step 1
      lon: 0 to 3, step 1
    """
    if isinstance(obj, Lattice):
        return obj
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        hint = ": xr.DataArray(values, dims=('y', 'x'))" if hasattr(obj, "shape") else ""
        if isinstance(obj, str | os.PathLike) or type(obj).__name__ == "DatasetReader":
            hint = ": of a raster rioxarray.open_rasterio(path) is one, of netCDF xr.open_dataset(path)"
        if hasattr(obj, "columns"):  # a data frame
            hint = ": of a catalog of files, table.patch.field(…) is one, and table.patch.split(…) its patches"
        raise TypeError(f"expected a DataArray or a Dataset, got {type(obj).__name__}{hint}")
    found = next((cls.of(obj) for predicate, cls in reversed(REGISTERED) if predicate(obj)), None)
    if found is None:
        args = described(obj)
        found = next(own for detect in BUILT_IN if (own := detect(obj, args)) is not None)
    return found.with_borders(held_bounds(obj)) if isinstance(obj, xr.Dataset) else found


def register_domain(predicate: Callable[[Any], bool], cls: type[Lattice]) -> None:
    """Let fields for which ``predicate`` is true lie on a domain of another package.

    Parameters
    ----------
    predicate : callable
        Takes a DataArray or a Dataset, says whether ``cls`` is what it lies on. It is asked at each
        split and ahead of all that xpatch knows, so it looks at names, attributes and dtypes only.
        Of several for which it is true the last registered wins.
    cls : type
        A subclass of `GridDomain`, `RasterDomain`, `PointDomain`, `VectorDomain` or `MeshDomain`.
        It may say otherwise what the spatial dimensions are (``spatial_dims``), where cells are
        (``sites``), their labels (``coordinate``), and how it is built of a field (``of``).

    Raises
    ------
    TypeError
        If ``predicate`` cannot be called, or ``cls`` is no such class.

    See Also
    --------
    register_aggregation : The same for aggregations.

    Examples
    --------
    >>> class TransectDomain(xpatch.GridDomain):
    ...     spatial_dims = ("distance",)
    >>> xpatch.register_domain(lambda obj: "distance" in obj.dims, TransectDomain)
    >>> depths = xr.DataArray(np.zeros((3, 100)), dims=("depth", "distance"))
    >>> xpatch.domain_of(depths)
    <TransectDomain (depth: 3, distance: 100)>
      spatial dims: distance
      distance: no labels
    >>> depths.patch.split(geometry=25).sizes["patch"]
    4
    """
    if not callable(predicate):
        raise TypeError(
            f"the predicate of register_domain must be a function of a field, got {predicate!r}: "
            "lambda obj: 'beam' in obj.dims"
        )
    if not (isinstance(cls, type) and issubclass(cls, Lattice)):
        raise TypeError(
            "register_domain takes a subclass of GridDomain, RasterDomain, PointDomain, VectorDomain or "
            f"MeshDomain, got {cls!r}"
        )
    REGISTERED.append((predicate, cls))


REGISTERED: list[tuple[Callable[[Any], bool], type[Lattice]]] = []


def mesh_of(obj: Any, args: Described) -> Lattice | None:
    """Give the mesh of an object of uxarray."""
    grid = ux_grid(obj)
    dims = [d for d in MESH_DIMS if d in args[1]]
    if grid is None or not dims:
        return None
    return MeshDomain(*args).with_grid(grid).with_places({(d,): d for d in dims})


def cells_of(obj: Any, args: Described) -> Lattice | None:
    """Give the cells of a discrete global grid."""
    found = cell_places(obj)
    for dims, name in found.items():
        if not {*dims} <= {*obj.dims}:
            own = [d for d in obj.dims if obj.sizes[d] == obj.coords[name].size]
            raise ValueError(
                f"the cell ids {name!r} lie along {dims[0]!r}, which the field does not have: the index of xdggs keeps "
                f"the name of a dimension that was renamed. Give them anew: field.drop_vars({name!r}).assign_coords("
                f"{name}=({own[0] if own else '…'!r}, field.{name}.values)).pipe(xdggs.decode, "
                "field.dggs.grid_info.to_dict())"
            )
    return DGGSDomain(*args).with_places(found) if found else None


def vectors_of(obj: Any, args: Described) -> Lattice | None:
    """Give shapely coordinates."""
    found = vector_places(obj)
    return VectorDomain(*args).with_places(found) if found else None


def points_or_lattice_of(obj: Any, args: Described) -> Lattice:
    """Give stations and trajectories, or else a raster or a grid."""
    found = GridDomain(*args)
    if held := held_positions(obj, found.roles):
        found = GridDomain(*args).with_held(held)
    if points := point_places(obj, found.located, found.roles):
        return PointDomain(*args).with_held(held).with_places(points)
    return lattice_of(found, *args)


# The first that gives a domain wins. Points and grids are one entry: both begin with the roles of
# the coordinates, which take longest to find.
BUILT_IN: tuple[Callable[[Any, Described], Lattice | None], ...] = (
    mesh_of,
    cells_of,
    vectors_of,
    points_or_lattice_of,
)


def ux_grid(obj: Any) -> Any:
    """Give the mesh of an object of uxarray, without importing it."""
    named = any(t.__module__.split(".")[0] == "uxarray" for t in type(obj).__mro__)
    return getattr(obj, "uxgrid", None) if named else None
