"""Edges within patches against submatrices of graphs that are built by hand."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from scipy.sparse import csr_matrix
from sklearn.neighbors import kneighbors_graph, radius_neighbors_graph

import xpatch
from tests import element_strategies as own
from tests.test_offsets import grid, places, stations

WALLS = {"geometry": {"y": 3, "x": 4}, "sampler": xpatch.RegularStride(2)}


def plain(rows=7, columns=9, **coords):
    values = np.arange(float(rows * columns)).reshape(rows, columns)
    return xr.DataArray(values, coords, ("y", "x"), name="t")


def points(n=40):
    xy = np.random.default_rng(0).uniform(0, 100, (n, 2))
    coords = {"x": ("obs", xy[:, 0]), "y": ("obs", xy[:, 1])}
    return xr.DataArray(np.arange(float(n)), coords, ("obs",), name="t"), xy


def members(patches):
    """Give the numbers of members, −1 in empty slots."""
    (slot,) = patches.xindexes["patch"].plans[0].inner
    return patches[slot].values


def lattice(rows, columns, wrap=False):
    """Connect each cell with its four neighbors."""
    graph = np.zeros((rows * columns, rows * columns), bool)
    for j in range(rows):
        for i in range(columns):
            for b, a in ((j + 1, i), (j, i + 1)):
                if wrap and a == columns:
                    a = 0
                if b < rows and a < columns:
                    graph[j * columns + i, b * columns + a] = True
                    graph[b * columns + a, j * columns + i] = True
    return csr_matrix(graph)


def mesh_graph(grid, n_nodes):
    """Connect faces that have two nodes in common."""
    faces = [{*row.tolist()} for row in grid.face_node_connectivity.values[:, :n_nodes]]
    return csr_matrix([[len(a & b) == 2 for b in faces] for a in faces])


def expected(graph, rows):
    """Give slots and patches as the submatrix of the members of each patch has them."""
    found, patches = [], []
    for k, row in enumerate(rows):
        slots = np.flatnonzero(row >= 0)
        own = slots[np.array(graph[row[slots]][:, row[slots]].nonzero())]
        found.append(own[:, np.lexsort((own[1], own[0]))])
        patches += [k] * own.shape[1]
    return np.concatenate(found, axis=1), patches


def assert_edges(patches, graph, rows=None):
    edges = patches.patch.edges
    slots, which = expected(graph, members(patches) if rows is None else rows)
    assert edges.dims == ("end", "edge")
    assert edges.sizes["edge"] > 0
    np.testing.assert_array_equal(edges, slots)
    np.testing.assert_array_equal(edges["patch"], which)


# --------------------------------------------------------------------------------------- lists


@pytest.mark.parametrize("geometry", [xpatch.KNNGraph(8), xpatch.RadiusGraph(30.0)], ids=str)
def test_elements_are_connected_as_their_own_geometry_has_it(geometry):
    field, xy = points()
    patches = field.patch.split(geometry=geometry)
    if isinstance(geometry, xpatch.KNNGraph):
        graph = kneighbors_graph(xy, 7)
    else:
        graph = radius_neighbors_graph(xy, 30.0)
    assert_edges(patches, graph)
    some = patches.isel(patch=[20, 3, 3])
    assert_edges(some, graph)


def test_caps_of_stations_are_connected_on_the_sphere():
    field = stations()
    patches = field.patch.split(geometry=xpatch.SphericalCap(4000.0))
    radians = np.deg2rad(np.stack([field.lat, field.lon], -1))
    graph = radius_neighbors_graph(radians, 4000.0 / 6371.0088, metric="haversine")
    assert_edges(patches, graph)


def test_anchors_beside_the_elements_connect_them_all_the_same():
    field, xy = points()
    at = xpatch.Explicit({"x": [10.0, 55.0], "y": [20.0, 71.0]})
    patches = field.patch.split(geometry=xpatch.KNNGraph(9), sampler=at)
    assert_edges(patches, kneighbors_graph(xy, 8))


@pytest.mark.parametrize("geometry", [xpatch.KHopGraph(2), xpatch.SphericalCap(6000.0)], ids=str)
def test_faces_of_a_mesh_are_connected_across_edges(geometry):
    import uxarray as ux

    values = xr.DataArray(np.arange(float(own.mesh().n_face)), dims="n_face")
    patches = ux.UxDataArray(values, uxgrid=own.mesh()).patch.split(geometry=geometry)
    graph = mesh_graph(own.mesh(), 3)
    assert (graph.sum(axis=1) == 3).all()
    assert_edges(patches, graph)
    assert_edges(patches.isel(patch=[40, 2]), graph)


def test_nodes_of_a_mesh_are_connected_along_edges():
    import uxarray as ux

    values = xr.DataArray(np.arange(float(own.mesh().n_node)), dims="n_node")
    patches = ux.UxDataArray(values, uxgrid=own.mesh()).patch.split(geometry=xpatch.KHopGraph(1))
    graph = np.zeros((own.mesh().n_node,) * 2, bool)
    for a, b, c in own.mesh().face_node_connectivity.values[:, :3].tolist():
        for i, j in ((a, b), (b, c), (c, a)):
            graph[i, j] = graph[j, i] = True
    assert_edges(patches, csr_matrix(graph))


@pytest.mark.parametrize("west", [-180.0, 0.0])
def test_cells_of_a_grid_are_connected_around_the_seam(west):
    field = grid(30.0, west)
    patches = field.patch.split(geometry=xpatch.SphericalCap(5000.0))
    assert_edges(patches, lattice(7, 12, wrap=True))


def test_cells_of_a_region_are_not():
    field = grid(30.0).isel(lon=slice(0, 11))
    patches = field.patch.split(geometry=xpatch.SphericalCap(5000.0))
    assert_edges(patches, lattice(7, 11))


def test_cells_in_polygons_are_those_of_the_lattice():
    field = plain(y=np.arange(7.0), x=np.arange(9.0))
    shapes = [shapely.box(0.5, 0.5, 4.5, 3.5), shapely.Point(6, 4).buffer(2.2)]
    patches = field.patch.split(geometry=xpatch.PolygonIntersection(shapes))
    assert_edges(patches, lattice(7, 9))


def test_points_in_polygons_say_that_nothing_is_known():
    shapes = [shapely.box(-10, 45, 10, 60)]
    patches = places().patch.split(geometry=xpatch.PolygonIntersection(shapes))
    with pytest.raises(ValueError, match=r"nothing says which elements .* are neighbors"):
        _ = patches.patch.edges


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), n=st.integers(2, 25), k=st.integers(2, 9), data=st.data())
def test_any_points(seed, n, k, data):
    k = min(k, n)
    xy = np.random.default_rng(seed).uniform(0, 9, (n, 2))
    field = xr.DataArray(np.zeros(n), {"x": ("p", xy[:, 0]), "y": ("p", xy[:, 1])}, ("p",))
    which = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=5))
    patches = field.patch.split(geometry=xpatch.KNNGraph(k)).isel(patch=which)
    edges = patches.patch.edges
    slots, of = expected(kneighbors_graph(xy, k - 1), members(patches))
    np.testing.assert_array_equal(edges, slots)
    np.testing.assert_array_equal(edges["patch"], of)


# --------------------------------------------------------------------------------------- boxes


def cells_of(patches):
    """Give row-major numbers of the cells of boxes of the field `plain`."""
    inside = patches.patch.mask.transpose(*patches.dims)
    return np.where(inside, patches, -1).reshape(patches.sizes["patch"], -1).astype(int)


def test_cells_of_boxes_have_four_neighbors():
    patches = plain().patch.split(**WALLS)
    assert_edges(patches, lattice(7, 9), cells_of(patches))


def test_slots_are_counted_in_the_order_of_the_dimensions():
    patches = plain().patch.split(**WALLS).transpose("patch", "x", "y")
    assert_edges(patches, lattice(7, 9), cells_of(patches))


@pytest.mark.parametrize("boundary", ["pad", {"y": "pad"}], ids=str)
def test_cells_beyond_the_edge_have_none(boundary):
    geometry = xpatch.Rectangular(y=4, x=4, boundary=boundary)
    patches = plain().patch.split(geometry=geometry)
    assert not patches.patch.mask.all()
    assert_edges(patches, lattice(7, 9), cells_of(patches))


def test_patches_that_were_selected_are_counted_by_position():
    patches = plain().patch.split(**WALLS).isel(patch=[8, 1, 1])
    assert_edges(patches, lattice(7, 9), cells_of(patches))
    assert np.unique(patches.patch.edges["patch"]).tolist() == [0, 1, 2]


def test_cropped_boxes_have_those_that_are_left():
    patches = plain().patch.split(geometry={"y": 5, "x": 6}).patch.crop(y=(1, 0), x=(2, 1))
    rows = patches.values.reshape(patches.sizes["patch"], -1).astype(int)
    assert_edges(patches, lattice(7, 9), rows)


def world(wrap="shift", size=12):
    field = plain(5, 12, y=np.arange(-60.0, 61, 30), x=np.arange(0, 360, 30.0))
    field = field.rename(y="lat", x="lon")
    geometry = xpatch.Rectangular({"lat": 2, "lon": size}, boundary={"lon": wrap})
    return field.patch.split(geometry=geometry)


def test_whole_circles_of_latitude_close():
    patches = world()
    assert_edges(patches, lattice(5, 12, wrap=True), patches.values.reshape(3, -1).astype(int))


@pytest.mark.parametrize("size", [5, 12])
def test_boxes_across_the_seam_hold_the_edges_over_it(size):
    patches = world("wrap", size)
    rows = patches.values.reshape(patches.sizes["patch"], -1).astype(int)
    assert_edges(patches, lattice(5, 12, wrap=True), rows)


def test_all_but_one_cell_of_a_circle_do_not_close():
    patches = world("drop", 11)
    rows = patches.values.reshape(patches.sizes["patch"], -1).astype(int)
    assert_edges(patches, lattice(5, 12, wrap=True), rows)


def test_a_circle_that_was_cropped_does_not_close():
    patches = world().patch.crop(lon=(1, 0))
    rows = patches.values.reshape(patches.sizes["patch"], -1).astype(int)
    assert_edges(patches, lattice(5, 12, wrap=True), rows)


def test_three_dimensions_and_those_that_were_not_cut():
    values = np.arange(2 * 3.0 * 4 * 5).reshape(2, 3, 4, 5)
    field = xr.DataArray(values, dims=("band", "z", "y", "x"))
    patches = field.patch.split(geometry={"z": 2, "y": 2, "x": 3})
    found = patches.patch.edges
    inside = {
        (a, b)
        for a in range(12)
        for b in range(12)
        if np.abs(np.subtract(np.unravel_index(a, (2, 2, 3)), np.unravel_index(b, (2, 2, 3)))).sum()
        == 1
    }
    first = found.isel(edge=found["patch"].values == 0).values
    assert {*map(tuple, first.T.tolist())} == inside
    assert found.sizes["edge"] == len(inside) * patches.sizes["patch"]


# -------------------------------------------------------------------------------- other things


def test_the_formula_of_torch_geometric_finds_the_values():
    field, xy = points()
    lists = field.patch.split(geometry=xpatch.RadiusGraph(25.0)).isel(patch=[7, 30, 2, 2])
    boxes = plain().patch.split(**WALLS)
    graphs = radius_neighbors_graph(xy, 25.0), lattice(7, 9)
    for patches, graph in zip((lists, boxes), graphs, strict=True):
        width = int(np.prod([n for d, n in patches.sizes.items() if d != "patch"]))
        edges = patches.patch.edges
        index = (edges["patch"] * width + edges).transpose("end", "edge").values
        a, b = patches.values.reshape(-1)[index].astype(int)  # values are the numbers of cells
        assert graph[a, b].all()
        assert (a != b).all()
        assert (index // width == edges["patch"].values).all()


@pytest.mark.parametrize("geometry", [{"y": 3, "x": 4}, xpatch.KNNGraph(5)], ids=str)
def test_space_and_time_have_those_of_the_places(geometry):
    field = plain(y=np.arange(7.0), x=np.arange(9.0))
    cube = field.expand_dims(time=pd.date_range("2000-01-01", periods=9))
    windows = xpatch.TimePatcher(xpatch.FixedLookback(3), xpatch.RegularTimeStride(3))
    both = cube.patch.split(xpatch.SpatioTemporalPatcher(xpatch.Patcher(geometry), windows))
    alone, found = field.patch.split(geometry=geometry).patch.edges, both.patch.edges
    place = both.patch.anchors.place.values
    for k in (0, 1, len(place) - 1):
        mine = found.isel(edge=found["patch"].values == k)
        theirs = alone.isel(edge=alone["patch"].values == place[k])
        np.testing.assert_array_equal(mine, theirs)


def test_no_patches_have_no_edges():
    for patches in (
        plain().patch.split(**WALLS),
        points()[0].patch.split(geometry=xpatch.KNNGraph(3)),
    ):
        assert patches.isel(patch=[]).patch.edges.shape == (2, 0)


def test_windows_in_time_have_none():
    field = xr.DataArray(np.zeros(9), {"time": pd.date_range("2000", periods=9)}, ("time",))
    patches = field.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(3)))
    with pytest.raises(ValueError, match="windows in time alone have no neighbors"):
        _ = patches.patch.edges


@pytest.mark.parametrize("kind", ["boxes", "lists of cells"])
def test_lattices_that_were_read_back_have_the_same(tmp_path, kind):
    geometry = {"y": 3, "x": 4} if kind == "boxes" else xpatch.KNNGraph(6)
    patches = plain(y=np.arange(7.0), x=np.arange(9.0)).patch.split(geometry=geometry)
    patches.to_netcdf(tmp_path / "p.nc")
    again = xr.load_dataset(tmp_path / "p.nc")["t"]
    xr.testing.assert_equal(again.patch.edges, patches.patch.edges)


@pytest.mark.parametrize("geometry", [xpatch.KNNGraph(6), xpatch.RadiusGraph(30.0)], ids=str)
def test_points_that_were_read_back_are_not_connected_by_their_numbers(tmp_path, geometry):
    patches = points()[0].patch.split(geometry=geometry)
    patches.to_netcdf(tmp_path / "p.nc")
    again = xr.load_dataset(tmp_path / "p.nc")["t"]
    with pytest.raises(ValueError, match="read from a file do not know where"):
        _ = again.patch.edges
    with pytest.raises(ValueError, match="read from a file do not know where"):
        _ = patches.isel(patch=3).patch.edges


def test_faces_that_were_read_back_are_not_connected_by_their_numbers(tmp_path):
    import uxarray as ux

    values = xr.DataArray(np.arange(float(own.mesh().n_face)), dims="n_face", name="t")
    patches = ux.UxDataArray(values, uxgrid=own.mesh()).patch.split(geometry=xpatch.KHopGraph(1))
    xr.DataArray(patches).to_netcdf(tmp_path / "p.nc")
    again = xr.load_dataset(tmp_path / "p.nc")["t"]
    with pytest.raises(ValueError, match=r"nothing says|read from a file"):
        _ = again.patch.edges


class Swim(xpatch.KHopGraph):
    """A geometry of another package."""


class Nearby(xpatch.KNNGraph):
    """Another one."""


def test_geometries_derived_from_those_here_have_their_edges():
    field = plain()
    ours, theirs = (
        field.patch.split(geometry=kind(2, corners=True)) for kind in (xpatch.KHopGraph, Swim)
    )
    np.testing.assert_array_equal(theirs.patch.edges, ours.patch.edges)
    ours, theirs = (points()[0].patch.split(geometry=kind(3)) for kind in (xpatch.KNNGraph, Nearby))
    np.testing.assert_array_equal(theirs.patch.edges, ours.patch.edges)
