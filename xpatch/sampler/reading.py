"""Read places from what a user gives: labels, tables, shapely points, fields, patches."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch.domain import Lattice, Sites, domain_of
from xpatch.domain.lonlat import off_earth, said_off_earth
from xpatch.domain.places import (
    DEGREES,
    Points,
    axis_role,
    crs_of_field,
    curved,
    horizontal_dims_of,
    moved_to,
)
from xpatch.geometry import Places
from xpatch.sampler.checked import checked
from xpatch.sampler.slices import points_of_slices, slices_in

LONGITUDE = ("lon", "longitude")
LATITUDE = ("lat", "latitude")
X, Y = ("x", "easting"), ("y", "northing")


# ------------------------------------------------------------------------------------- points


def read_points(
    given: Any, domain: Lattice, dims: tuple[Hashable, ...], crs: Any = None, drop: bool = False
) -> Points | None:
    """Read places; None where index positions were given.

    Parameters
    ----------
    given : object
        Shapely points, a GeoSeries or GeoDataFrame, slices, a mapping, Dataset or data frame of labels, or
        a field, whose sites are taken.
    domain : Lattice
        The field that will be cut.
    dims : tuple of hashable
        Its dimensions that are cut, whose names are those of labels.
    crs : optional
        CRS of x and y, where they do not know it.
    drop : bool
        Whether to leave out places of which a label is missing, or which are none on Earth.
    """
    found = _read(given, domain, dims, crs)
    return None if found is None else checked(found, drop)


def _read(given: Any, domain: Lattice, dims: tuple[Hashable, ...], crs: Any) -> Points | None:
    """Read places as they are."""
    slices = slices_in(given)
    if slices is not None:
        return points_of_slices(slices, domain, crs)
    if is_geometry(given):
        x, y = point_xy(given)
        known = crs_of(given) or crs
        named = [n for n in getattr(given, "columns", ()) if n in dims]
        own = {
            n: as_labels(given[n], n) for n in named if axis_role(domain.roles, n) not in ("X", "Y")
        }
        columns, roles = {"x": x, "y": y, **own}, domain.roles if own else {}
        return Points(columns, ("x", "y"), known, known is None, roles, ids=ids_of(given))
    if isinstance(given, xr.Dataset) and is_table(given, domain, dims):
        mapping = ax.grid_mapping(given)
        known = None if mapping is None else ax.crs_source(given, mapping)
        columns = {n: v.values for n, v in given.variables.items() if v.ndim == 1}
        return _of_columns(columns, domain, dims, known or crs, strict=False)
    if isinstance(given, xr.DataArray | xr.Dataset):
        return points_of_field(given, crs)
    if hasattr(given, "columns") and hasattr(given, "index"):
        columns = {n: np.asarray(given[n]) for n in given.columns}
        return _of_columns(columns, domain, dims, crs, strict=False, ids=ids_of(given))
    if isinstance(given, Mapping):
        return _of_columns(given, domain, dims, crs, strict=True)
    return None


def is_table(given: xr.Dataset, domain: Lattice, dims: tuple[Hashable, ...]) -> bool:
    """Whether the labels in a Dataset share a dimension; those of a field lie on different ones."""
    known = [n for n in given.variables if n in dims or meaning(n, domain, given) is not None]
    found = {given.variables[n].dims for n in known if given.variables[n].ndim <= 1}
    return len(found) == 1 and len(known) >= min(2, len(dims))


def meaning(name: Hashable, domain: Lattice, given: Any = None) -> str | None:
    """Tell what a column is by its name: lon, lat, x or y; None if it is none of them."""
    word = str(name).lower()
    for found, names in (("lon", LONGITUDE), ("lat", LATITUDE), ("x", X), ("y", Y)):
        if word in names:
            return found
    role = domain.roles.get(name)
    if role is None and isinstance(given, xr.Dataset):
        role = ax.coordinate_roles(given[[name]].reset_coords(), ()).get(name)
    return {"longitude": "lon", "latitude": "lat", "X": "x", "Y": "y"}.get(role or "")


def _of_columns(
    columns: Mapping[Any, Any],
    domain: Lattice,
    dims: tuple[Hashable, ...],
    crs: Any,
    strict: bool,
    ids: NDArray | None = None,
) -> Points:
    """Read labels by name: of dimensions that are cut, longitude and latitude in degrees, or x and y."""
    own = {n: as_labels(v, n) for n, v in columns.items() if n in dims}
    kinds = {n: meaning(n, domain) for n in columns if n not in own}
    unknown = [n for n, kind in kinds.items() if kind is None]
    if unknown and strict:
        raise KeyError(
            f"anchor labels name {unknown[0]!r}, which {_uncut(unknown[0], domain, dims)}"
        )
    for pair, known in ((("lon", "lat"), DEGREES), (("x", "y"), crs)):
        names = [[n for n, kind in kinds.items() if kind == word] for word in pair]
        several = [n for n in names if len(n) > 1]
        if several:
            raise KeyError(f"anchor labels name {several[0]}, of which only one can be meant")
        if all(names):
            x, y = names[0][0], names[1][0]
            twice = [d for d in own if axis_role(domain.roles, d) in ("X", "Y")]
            if twice:
                raise KeyError(f"anchor labels name both {twice} and {[x, y]}; give one of them")
            both = {x: as_labels(columns[x], x, float), y: as_labels(columns[y], y, float)}
            if known is None and domain.curvilinear and {x, y} <= set(domain.dims):
                known = crs_of_labels(domain, (x, y))
            return Points({**both, **own}, (x, y), known, known is None, domain.roles, ids=ids)
        if any(names) and strict:
            kind = {"lon": "longitude", "lat": "latitude"}
            lost = pair[bool(names[0])]
            raise KeyError(
                f"anchor labels need one {kind.get(lost, lost)} as well, got {list(columns)} alone"
            )
    if not own:
        raise KeyError(
            f"anchor labels need one longitude (or x) and one latitude (or y), or labels of {list(dims)}, "
            f"got {list(columns)}"
        )
    flat = None if crs is None else horizontal_dims_of(domain, tuple(own))
    return Points(own, flat, crs, flat is None, domain.roles, ids=ids)


def _uncut(name: Hashable, domain: Lattice, dims: tuple[Hashable, ...]) -> str:
    """Say what labels of no dimension that is cut may be instead."""
    coords = domain.template.coords
    if name in coords and coords[name].dims and {*coords[name].dims} <= {*domain.element_dims}:
        return (
            "is no dimension of the elements; anchor at those that have it: "
            f"Explicit(np.flatnonzero(field[{name!r}].isin([…])))"
        )
    if not dims:
        alone = f", or labels of {domain.element_dims[0]!r} alone" if domain.element_dims else ""
        return f"says no place; give 'lon' and 'lat' in degrees, or 'x' and 'y'{alone}"
    return f"is not cut: {list(dims)}; give labels of these, or 'lon' and 'lat' in degrees"


def crs_of_labels(domain: Lattice, names: tuple[Hashable, Hashable]) -> Any:
    """Give the CRS of rows and columns beside which a field has longitude and latitude.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not curved(domain):
        return crs_of_field(domain)
    raise ValueError(
        f"the labels of {list(names)} have no CRS that says where on Earth they are, and members are found "
        f"by {list(domain.curvilinear)}; give anchors as {{'lon': …, 'lat': …}}, or as index positions"
    )


def as_labels(values: Any, name: Hashable, dtype: Any = None) -> NDArray:
    """Give a column of labels."""
    try:
        return np.ravel(np.asarray(values, dtype))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"anchor labels along {name!r} must be a list of numbers: {error}"
        ) from None


def points_of_field(given: xr.DataArray | xr.Dataset, crs: Any = None) -> Points:
    """Take the sites of another field: its stations, or the cells of its grid, in ``crs`` if it has none."""
    other = domain_of(given)
    sites = other.sites(other.element_dims[0] if other.element_dims else None)
    known = sites.known
    if not len(known):
        raise ValueError("no site of the field given to Explicit has a place")
    ids = other.coordinate(sites.dims[0]) if other.element_dims and len(sites.dims) == 1 else None
    named = None if ids is None else names_of(ids[known])
    points = Points.of(sites.x[known], sites.y[known], sites, named)
    return points if points.crs is not None else dataclasses.replace(points, crs=crs)


# ----------------------------------------------------------------------------------- geometries


def crs_of(given: Any) -> Any:
    """Give the CRS that a GeoSeries, or an xarray object with an index of xvec, knows; or None."""
    for index in getattr(given, "xindexes", {}).values():
        if getattr(index, "crs", None) is not None:
            return index.crs
    return getattr(given, "crs", None) if not hasattr(given, "xindexes") else None


def ids_of(given: Any) -> NDArray | None:
    """Give the index of a GeoSeries or a data frame: names of its places."""
    index = getattr(given, "index", None)
    if index is None or not hasattr(index, "get_indexer"):
        return None
    return names_of(np.asarray(index))


def names_of(values: NDArray) -> NDArray | None:
    """Give names as they can be written to files: numbers, dates, or text."""
    if values.dtype.kind != "O":
        return values
    if any(hasattr(v, "geom_type") for v in values[:1]):
        return None
    return np.array([str(v) for v in values])


def is_geometry(given: Any) -> bool:
    """Whether ``given`` is one or more shapely geometries."""
    if hasattr(given, "geom_type") or hasattr(given, "geometry"):
        return True
    if isinstance(given, Mapping | xr.Dataset | str) or hasattr(given, "columns"):
        return False
    if isinstance(given, np.ndarray | xr.DataArray):
        if given.dtype.kind != "O" and str(given.dtype) != "geometry":
            return False
        given = np.ravel(np.asarray(given, dtype=object))
    elif not isinstance(given, Iterable):
        return False
    return hasattr(next(iter(given), None), "geom_type")


def point_xy(given: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give x and y of shapely points, and of the vertices of lines, as they are."""
    import shapely

    geometries = np.atleast_1d(np.asarray(getattr(given, "geometry", given), dtype=object))
    if not len(geometries) or not shapely.is_geometry(geometries).all():
        raise ValueError("expected shapely points, got none, or some that are missing")
    if shapely.is_empty(geometries).any():
        raise ValueError("an anchor geometry is empty or missing")
    kinds = shapely.get_type_id(geometries)
    if not np.isin(kinds, (0, 1)).all():
        kind = geometries[~np.isin(kinds, (0, 1))][0].geom_type
        raise TypeError(f"expected points, got a {kind}; use geometry.centroid")
    points = shapely.get_coordinates(geometries)
    if not np.isfinite(points).all():
        raise ValueError("an anchor geometry has NaN coordinates")
    return points[:, 0], points[:, 1]


# --------------------------------------------------------------------------- lists of members


def free_places(x: Any, y: Any, sites: Sites, ids: NDArray | None = None) -> Places:
    """Anchor at any places in the coordinates of the field.

    Raises
    ------
    ValueError
        If there is none, or one is not on Earth.
    """
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    if len(x) != len(y):
        raise ValueError(f"anchors need as many x as y, got {len(x)} and {len(y)}")
    if not len(x):
        raise ValueError("no anchors were given")
    if not (np.isfinite(x) & np.isfinite(y)).all():
        raise ValueError("an anchor is NaN, or cannot be transformed to the CRS of the field")
    if sites.geographic and off_earth(x, y).any():
        raise ValueError(said_off_earth(x, y, " of an anchor"))
    return Places(np.full(len(x), -1, np.int64), x, y, ids=ids)


def xy_on_sites(points: Points, sites: Sites, what: str = "the points") -> tuple[NDArray, NDArray]:
    """Give x and y of points in the coordinates of elements.

    Raises
    ------
    KeyError
        If they have none.
    """
    if points.pair is None:
        pairs = [[n for n in points.columns if points.role(n) == kind] for kind in ("X", "Y")]
        if any(len(p) != 1 for p in pairs):
            raise KeyError(
                f"{what} need one longitude (or x) and one latitude (or y), got {list(points.columns)}"
            )

        points = dataclasses.replace(points, pair=(pairs[0][0], pairs[1][0]))
    return moved_to(points, sites.known_crs, what)


def labeled_elements(dim: Any, labels: Any, domain: Lattice) -> NDArray[np.int64]:
    """Find elements by the labels of their dimension, such as the names of stations."""
    known = domain.coordinate(dim)
    wanted = np.atleast_1d(np.asarray(labels))
    if known is None:
        raise KeyError(f"{dim!r} has no labels; give element numbers: Explicit([…])")
    index = pd.Index(known)
    first = np.flatnonzero(~index.duplicated())  # of elements called alike the first is meant
    found = index[first].get_indexer(pd.Index(wanted))
    if (found < 0).any():
        raise KeyError(f"no element along {dim!r} is called {wanted[found < 0].tolist()[0]!r}")
    return first[found]


def numbered_places(given: Any, candidates: Places, sites: Sites) -> Places:
    """Anchor at elements by number, or by index along each dimension of a lattice."""
    numbers = as_numbers(given, "element numbers")
    if numbers.ndim == 2 and numbers.shape[1] == len(sites.shape) and len(sites.shape) > 1:
        shape = np.array(sites.shape)
        if ((numbers < 0) | (numbers >= shape)).any():
            raise ValueError(f"an Explicit anchor lies outside of the cells {tuple(sites.shape)}")
        numbers = np.ravel_multi_index(tuple(numbers.T), sites.shape)
    if numbers.ndim != 1:
        raise ValueError(
            f"Explicit takes element numbers of shape (patch,), got shape {numbers.shape}"
        )
    known = candidates.elements if candidates.polygons is None else candidates.polygons
    if (known < 0).all():  # parents of cells, which are counted
        known = np.arange(len(known))
    where = np.searchsorted(known, numbers)  # sorted by construction
    found = known[np.minimum(where, len(known) - 1)] == numbers
    if not found.all():
        raise ValueError(
            f"Explicit anchor {int(numbers[~found][0])} is not one of the {len(candidates)} elements "
            "(or polygons) that have a place and can be anchors; they are counted from 0"
        )
    return candidates.take(where)


def as_numbers(given: Any, what: str, hint: str = "") -> NDArray:
    """Read whole numbers, in one column or several."""
    try:
        numbers = np.asarray(given)
    except ValueError:
        raise ValueError(
            f"{what} must all have the same length, got a list of lists of different lengths"
        ) from None
    if numbers.size == 0:
        raise ValueError("Explicit was given no anchors")
    if numbers.dtype.kind not in "iu":
        hint = hint or "give places as shapely points or as a mapping {'lon': …, 'lat': …}"
        raise TypeError(f"{what} must be ints, got dtype {numbers.dtype}; {hint}")
    return numbers


def same_sites(plan: Any, sites: Sites) -> bool:
    """Whether lists of members were chosen from these elements."""
    theirs = plan.domain.sites(plan.dims[0] if plan.domain.element_dims else None)
    return (
        theirs.dims == sites.dims
        and theirs.shape == sites.shape
        and np.array_equal(theirs.x, sites.x, equal_nan=True)
        and np.array_equal(theirs.y, sites.y, equal_nan=True)
    )
