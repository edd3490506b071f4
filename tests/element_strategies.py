"""Hypothesis strategies for fields of elements, geometries that fit them, and samplers."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import shapely
import xarray as xr

import xpatch
from tests.strategies import values

KINDS = ["sphere", "plane", "vector", "polygons", "grid", "columns", "curved", "raster", "mesh"]


def triangles():
    """A small closed mesh of triangles on the sphere."""
    import uxarray as ux
    from scipy.spatial import ConvexHull

    lon, lat = xpatch.sphere.fibonacci(24)
    faces = ConvexHull(xpatch.sphere.unit_vectors(lon, lat)).simplices
    return ux.Grid.from_topology(lon, lat, faces, fill_value=-1)


_MESH = []


def mesh():
    if not _MESH:
        _MESH.append(triangles())
    return _MESH[0]


@st.composite
def element_fields(draw, kind, dtypes=("f4", "f8", "i2", "?")):
    """A small field of elements of one kind, with other dims before or after them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 25))
    dtype = draw(st.sampled_from(dtypes))
    coords, dims, sizes = {}, ["obs"], [n]
    if kind == "sphere":
        lon = rng.uniform(-180, 180, n) + draw(st.sampled_from([0, 180]))
        coords = {"lon": ("obs", lon), "lat": ("obs", np.rad2deg(np.arcsin(rng.uniform(-1, 1, n))))}
    elif kind == "plane":
        coords = {"x": ("obs", rng.integers(0, 9, n) * 1.0), "y": ("obs", rng.uniform(0, 9, n))}
    elif kind == "vector":
        dims = ["geometry"]
        coords = {"geometry": shapely.points(rng.uniform(0, 9, (n, 2)))}
    elif kind == "polygons":
        dims = ["geometry"]
        corner = rng.integers(0, 6, (n, 2)) * 1.0
        coords = {"geometry": shapely.box(*corner.T, *(corner + 1).T)}
    elif kind == "mesh":
        dims, sizes = ["n_face"], [mesh().n_face]
    elif kind == "curved":
        dims, sizes = ["j", "i"], [draw(st.integers(1, 6)), draw(st.integers(1, 6))]
        lat = rng.uniform(-90, 90, sizes)
        coords = {"lat": (("j", "i"), lat), "lon": (("j", "i"), rng.uniform(0, 360, sizes))}
    else:
        dims = ["lat", "lon"] if kind != "raster" else ["y", "x"]
        sizes = [draw(st.integers(1, 7)), draw(st.integers(1, 9))]
        y, x = np.linspace(-80, 90, sizes[0]), np.linspace(-180, 150, sizes[1])
        coords = {dims[0]: y[:: draw(st.sampled_from([1, -1]))], dims[1]: x + rng.uniform(0, 30)}
        if kind == "columns":
            dims, sizes = dims[::-1], sizes[::-1]
    place = draw(st.integers(0, 2))
    if draw(st.booleans()):
        dims.insert(min(place, len(dims)), "band")
        sizes.insert(min(place, len(sizes)), 2)
    data = draw(values(tuple(sizes), dtype))
    field = xr.DataArray(data, coords, dims, name="field", attrs={"units": "K"})
    if kind == "mesh":
        import uxarray as ux

        return ux.UxDataArray(field, uxgrid=mesh())
    return field


@st.composite
def member_geometries(draw, kind, n):
    """A geometry that makes sense on fields of that kind with ``n`` elements."""
    great = kind in ("sphere", "grid", "columns", "curved", "mesh")
    options = ["knn", "radius", "polygon"] + (["cap"] if great else [])
    options += ["hops"] if kind == "mesh" else []
    kind_of = draw(st.sampled_from(options))
    if kind_of == "knn":
        return xpatch.KNNGraph(draw(st.integers(1, n)))
    if kind_of == "radius":
        top = 8000.0 if great else 60.0 if kind == "raster" else 5.0
        return xpatch.RadiusGraph(draw(st.floats(0.5, top)))
    if kind_of == "cap":
        return xpatch.SphericalCap(draw(st.floats(10.0, 20000.0)))
    if kind_of == "hops":
        return xpatch.KHopGraph(draw(st.integers(1, 4)))
    wide = great or kind == "raster"
    low = -180 if wide else -1
    size = 90 if wide else 6
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x, y = rng.uniform(low, low + 4 * size, 4), rng.uniform(low / 2, low / 2 + 2 * size, 4)
    touched = draw(st.booleans()) and kind != "curved"
    return xpatch.PolygonIntersection(shapely.box(x, y, x + size, y + size), all_touched=touched)


@st.composite
def element_samplers(draw, kind, count):
    """A sampler of elements, or of polygons, of which there are ``count``."""
    seed = draw(st.integers(0, 99))
    name = draw(st.sampled_from(["every", "random", "explicit", "default"]))
    if name == "every":
        return xpatch.EveryElement()
    if name == "random":
        return xpatch.Random(draw(st.integers(1, 8)), seed, replace=True)
    if name == "explicit":
        return xpatch.Explicit(draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=6)))
    return None
