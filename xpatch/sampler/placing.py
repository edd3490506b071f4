"""Read places, and anchors of lists of members, from what a user gives."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.geometry import Frame, Places


def crs_of(given: Any) -> Any:
    """Give the CRS that a GeoSeries, or an xarray object with an index of xvec, knows; or None."""
    for index in getattr(given, "xindexes", {}).values():
        if getattr(index, "crs", None) is not None:
            return index.crs
    return getattr(given, "crs", None) if not hasattr(given, "xindexes") else None


def is_geometry(given: Any) -> bool:
    """Whether ``given`` is one or more shapely geometries."""
    if hasattr(given, "geom_type") or hasattr(given, "geometry"):
        return True
    first = next(iter(np.ravel(np.asarray(given, dtype=object))), None)
    return hasattr(first, "geom_type")


def point_xy(given: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give x and y of shapely points, and of the vertices of lines, as they are."""
    import shapely

    geometries = np.atleast_1d(np.asarray(getattr(given, "geometry", given), dtype=object))
    if not len(geometries) or not shapely.is_geometry(geometries).all():
        raise ValueError("expected shapely points, got none, or some that are missing")
    points = np.concatenate([_vertices(g) for g in geometries])
    if not np.isfinite(points).all():
        raise ValueError("an anchor geometry has NaN coordinates")
    return points[:, 0], points[:, 1]


def _vertices(geometry: Any) -> NDArray[np.float64]:
    if getattr(geometry, "is_empty", True):
        raise ValueError("an anchor geometry is empty or missing")
    if geometry.geom_type not in ("Point", "LineString"):
        raise TypeError(f"expected points, got a {geometry.geom_type}; use geometry.centroid")
    return np.asarray(geometry.coords)[:, :2]


def free_places(x: Any, y: Any, sites: Sites) -> Places:
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
    if sites.geographic and np.abs(y).max() > 90 + 1e-9:
        raise ValueError(
            f"an anchor has latitude {y[np.abs(y).argmax()]:g}, outside of ±90 degrees; are longitude "
            "and latitude swapped?"
        )
    return Places(np.full(len(x), -1, np.int64), x, y)


def labeled_places(given: Any, domain: Lattice, sites: Sites) -> Places:
    """Anchor at labels: longitude and latitude, or x and y, by the names that the field has."""
    given = given.variables if hasattr(given, "variables") else given
    if len(given) == 1 and next(iter(given)) in domain.element_dims:
        dim, labels = next(iter(given.items()))
        return Places.at(sites, labeled_elements(dim, labels, domain))
    found = []
    for kinds in (("longitude", "X"), ("latitude", "Y")):
        common = {"longitude": ("lon", "longitude", "x"), "latitude": ("lat", "latitude", "y")}
        names = [n for n in given if domain.roles.get(n) in kinds]
        names += [n for n in given if str(n).lower() in common[kinds[0]] and n not in names]
        if len(names) != 1:
            raise KeyError(
                f"anchor labels need one {kinds[0]} (or {kinds[1].lower()}), got {list(given)}"
            )
        found.append(np.ravel(np.asarray(given[names[0]], float)))
    return free_places(found[0], found[1], sites)


def labeled_elements(dim: Any, labels: Any, domain: Lattice) -> NDArray[np.int64]:
    """Find elements by the labels of their dimension, such as the names of stations."""
    known = domain.coordinate(dim)
    wanted = np.atleast_1d(np.asarray(labels))
    if known is None:
        raise KeyError(f"{dim!r} has no labels; give element numbers: Explicit([…])")
    where = {label: k for k, label in reversed(list(enumerate(known.tolist())))}
    lost = [label for label in wanted.tolist() if label not in where]
    if lost:
        raise KeyError(f"no element along {dim!r} is called {lost[0]!r}")
    return np.array([where[label] for label in wanted.tolist()], np.int64)


def numbered_places(given: Any, candidates: Places, sites: Sites) -> Places:
    """Anchor at elements by number, or by index along each dimension of a lattice."""
    numbers = np.asarray(given)
    if numbers.size == 0:
        raise ValueError("Explicit was given no anchors")
    if numbers.dtype.kind not in "iu":
        raise TypeError(
            f"element numbers must be ints, got dtype {numbers.dtype}; give places as shapely points "
            "or as a mapping {'lon': …, 'lat': …}"
        )
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
    where = np.searchsorted(known, numbers)  # sorted by construction
    found = known[np.minimum(where, len(known) - 1)] == numbers
    if not found.all():
        raise ValueError(
            f"Explicit anchor {int(numbers[~found][0])} is not one of the {len(candidates)} elements "
            "(or polygons) that have a place; they are counted from 0"
        )
    return candidates.take(where)


def matched_places(plan: Any, ordinals: NDArray[np.int64], sites: Sites) -> Places:
    """Take the anchors of other patches, in whatever coordinates they are."""
    kept = np.unique(ordinals)
    x, y, crs = plan.points(kept)
    x, y = sites.from_crs(x, y, crs)
    free_places(x, y, sites)  # checks them
    elements = np.full(len(plan), -1, np.int64)
    all_x, all_y = np.full(len(plan), np.nan), np.full(len(plan), np.nan)
    all_x[kept], all_y[kept] = x, y
    if plan.places is not None and same_sites(plan, sites):
        elements[kept] = plan.places.elements[kept]
    return Places(
        elements,
        all_x,
        all_y,
        ordinals=ordinals,
        origin=plan.anchor_id,
        polygons=None if plan.places is None else plan.places.polygons,
    )


def same_sites(plan: Any, sites: Sites) -> bool:
    """Whether lists of members were chosen from these elements."""
    theirs = plan.domain.sites(plan.dims[0] if plan.domain.element_dims else None)
    return (
        theirs.dims == sites.dims
        and theirs.shape == sites.shape
        and np.array_equal(theirs.x, sites.x, equal_nan=True)
        and np.array_equal(theirs.y, sites.y, equal_nan=True)
    )


def rotated_cells(given: Any, domain: Lattice, frame: Frame) -> dict[Hashable, NDArray[np.int64]]:
    """Find the rows and columns of places on a rotated raster; none on any other."""
    dims = domain.rotated
    if dims is None or not set(dims) <= set(frame.dims):
        return {}
    y, x = (np.ravel(np.asarray(given[d], float)) for d in dims)
    found = {}
    for d, exact in zip(dims, domain.rows_and_columns(x, y), strict=True):
        n, beyond = domain.sizes[d], frame.boundary[frame.dims.index(d)] in ("pad", "wrap")
        outside = ~((exact >= -0.5 - 1e-9) & (exact <= n - 0.5 + 1e-9)) & (not beyond)
        if outside.any() or not np.isfinite(exact).all():
            k = int(np.flatnonzero(outside | ~np.isfinite(exact))[0])
            raise ValueError(
                f"the anchor at x = {x[k]:g}, y = {y[k]:g} lies outside of the field, in row or column "
                f"{exact[k]:g} of the {n} along {d!r}; are the points in the CRS of the field?"
            )
        cells = np.rint(exact).astype(np.int64)
        found[d] = cells if beyond else np.clip(cells, 0, n - 1)
    return found
