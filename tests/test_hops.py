"""Hops on lattices: land as a barrier, seams of the Earth, cubed spheres."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import dask
import dask.array as da
import iris_sample_data
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

import xpatch
from tests.element_strategies import mesh
from tests.test_layouts import cordex, cubed, lambert
from xpatch.domain.adjacency import Side, _seams

ORCA = Path(iris_sample_data.path) / "orca2_votemper.nc"
CROSS = ndimage.generate_binary_structure(2, 1)
rng = np.random.default_rng(7)


def latlon(ny=6, nx=12, west=0.0, down=False, width=360.0):
    lon = west + (np.arange(nx) + 0.5) * width / nx
    lat = -90 + (np.arange(ny) + 0.5) * 180 / ny
    coords = {
        "lat": ("lat", lat[::-1] if down else lat, {"units": "degrees_north"}),
        "lon": ("lon", lon, {"units": "degrees_east"}),
    }
    return xr.DataArray(np.arange(1.0 * ny * nx).reshape(ny, nx), coords, ("lat", "lon"), name="t")


def curved(ny=9, nx=18, west=0.0):
    """The same with longitude and latitude of two dimensions, so that nothing but places says what closes."""
    flat = latlon(ny, nx, west)
    lon, lat = np.meshgrid(flat.lon, flat.lat)
    coords = {
        "LON": (("j", "i"), lon, {"units": "degrees_east", "standard_name": "longitude"}),
        "LAT": (("j", "i"), lat, {"units": "degrees_north", "standard_name": "latitude"}),
    }
    return xr.DataArray(flat.values, coords, ("j", "i"), name="t")


def plain(ny=6, nx=8):
    return xr.DataArray(np.arange(1.0 * ny * nx).reshape(ny, nx), dims=("y", "x"), name="t")


def neighbors(field, **kwargs):
    """Which elements are one hop from each, as hops on the field have it."""
    hop = xpatch.KHopGraph(1, **kwargs)
    patches = field.patch.split(geometry=hop)
    anchors = patches.patch.anchors["anchor_element"].values
    table = {}
    for a, row in zip(anchors, patches["cell"].values, strict=True):
        assert row[0] == a
        table[int(a)] = set(row[row >= 0].tolist()) - {int(a)}
    return table


def by_hand(shape, around=(False, False), corners=False):
    """Neighbors written out cell by cell."""
    steps = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if corners else []
    out = {}
    for cell in np.ndindex(*shape):
        own = set()
        for step in steps:
            to = [
                (c + s) % n if w else c + s
                for c, s, n, w in zip(cell, step, shape, around, strict=True)
            ]
            if all(0 <= t < n for t, n in zip(to, shape, strict=True)):
                own.add(int(np.ravel_multi_index(to, shape)))
        out[int(np.ravel_multi_index(cell, shape))] = own - {int(np.ravel_multi_index(cell, shape))}
    return out


def matrix_of(table, n):
    pairs = [(a, b) for a, own in table.items() for b in own]
    rows, columns = np.array(pairs).reshape(-1, 2).T
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n))


def hops_by_dijkstra(table, n, limit):
    return dijkstra(matrix_of(table, n), unweighted=True, limit=limit)


def as_table(patches, n):
    """Lay hops out as (anchor, element), inf where an element is no member."""
    out = np.full((patches.sizes["patch"], n), np.inf)
    cells, far = patches["cell"].values, patches.patch.distance.values
    rows = np.broadcast_to(np.arange(len(cells))[:, None], cells.shape)
    out[rows[cells >= 0], cells[cells >= 0]] = far[cells >= 0]
    return out


# ------------------------------------------------------------------------------ who is a neighbor

GRIDS = {
    "closed": (latlon(), (False, True)),
    "closed at 180": (latlon(west=-180.0), (False, True)),
    "descending latitude": (latlon(down=True), (False, True)),
    "half of the Earth": (latlon(width=180.0), (False, False)),
    "all but one column": (latlon().isel(lon=slice(1, None)), (False, False)),
    "unlabeled": (plain(), (False, False)),
    "rotated pole": (cordex(8, 9), (False, False)),
    "projected": (lambert(), (False, False)),
    "curved, closed": (curved(), (False, True)),
    "curved, closed at 180": (curved(west=-180.0), (False, True)),
    "curved, a region": (curved(8, 16).isel(i=slice(0, 9)), (False, False)),
}


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("name", GRIDS)
def test_neighbors_on_lattices(name, corners):
    field, around = GRIDS[name]
    assert neighbors(field, corners=corners) == by_hand(field.shape, around, corners)


def test_time_and_the_order_of_dimensions_say_nothing_of_neighbors():
    field = latlon().expand_dims(time=3).transpose("lon", "time", "lat")
    patches = field.patch.split(geometry=xpatch.KHopGraph(2))
    assert patches.sizes == {"patch": 72, "time": 3, "cell": 13}
    table = by_hand((12, 6), (True, False))
    np.testing.assert_array_equal(as_table(patches, 72), hops_by_dijkstra(table, 72, 2))
    xr.testing.assert_allclose(patches.patch.merge(), field)


def gnomonic(n):
    """Corners of the cells of an equiangular cubed sphere, (6, n + 1, n + 1, 3)."""
    at = np.tan(np.linspace(-np.pi / 4, np.pi / 4, n + 1))
    a, b = np.meshgrid(at, at)
    one = np.ones_like(a)
    faces = [(one, a, b), (-a, one, b), (-b, a, one), (-one, -b, -a), (b, -one, -a), (b, a, -one)]
    v = np.stack([np.stack(face, -1) for face in faces])
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


@pytest.mark.parametrize("n", [2, 3, 8, 12])
def test_cubed_spheres_are_closed_all_around(n):
    """Cells are neighbors where two of their corners are the same."""
    v = np.round(gnomonic(n), 9) + 0.0
    sides = {}
    for f, j, i in np.ndindex(6, n, n):
        corner = [tuple(v[f, j + dj, i + di]) for dj, di in ((0, 0), (0, 1), (1, 1), (1, 0))]
        for k in range(4):
            sides.setdefault(frozenset((corner[k], corner[k - 1])), []).append((f * n + j) * n + i)
    wanted = {k: set() for k in range(6 * n * n)}
    for a, b in sides.values():
        wanted[a].add(b)
        wanted[b].add(a)
    found = neighbors(cubed(n))
    assert found == wanted
    assert {len(own) for own in found.values()} == {4}


def test_corners_of_cubed_spheres():
    """Cells with a corner in common: eight, and seven around the corners of the cube."""
    n = 5
    v = np.round(gnomonic(n), 9) + 0.0
    at = {}
    for f, j, i in np.ndindex(6, n, n):
        for dj, di in ((0, 0), (0, 1), (1, 1), (1, 0)):
            at.setdefault(tuple(v[f, j + dj, i + di]), set()).add((f * n + j) * n + i)
    wanted = {k: set() for k in range(6 * n * n)}
    for own in at.values():
        for k in own:
            wanted[k] |= own - {k}
    assert neighbors(cubed(n), corners=True) == wanted


def test_the_faces_may_be_any_dimension():
    field = cubed(4).transpose("Ydim", "nf", "Xdim")
    order = np.arange(96).reshape(6, 4, 4)
    wanted = neighbors(cubed(4))
    sites = xpatch.domain_of(field).sites()
    named = order.transpose([("nf", "Ydim", "Xdim").index(d) for d in sites.dims]).ravel()
    back = {int(named[k]): {int(named[m]) for m in own} for k, own in neighbors(field).items()}
    assert back == wanted


def test_no_links_over_missing_places():
    field = curved()
    hole = np.zeros(field.shape, bool)
    hole[3, :4] = hole[5, -1] = True
    lost = field.assign_coords(LON=field.LON.where(~hole), LAT=field.LAT.where(~hole))
    wanted = by_hand(field.shape, (False, True))
    gone = set(np.flatnonzero(hole).tolist())
    assert neighbors(lost) == {k: own - gone for k, own in wanted.items() if k not in gone}


def test_places_that_are_fill_values_are_not_beside_others():
    """Models write 0, 0 where no processor computed."""
    field = curved(18, 36)
    fill = np.zeros(field.shape, bool)
    fill[4:8, 15:20] = True
    filled = field.assign_coords(LON=field.LON.where(~fill, 0.0), LAT=field.LAT.where(~fill, 0.0))
    gone = set(np.flatnonzero(fill).tolist())
    found, wanted = neighbors(filled), by_hand(field.shape, (False, True))
    assert all(found[k] == own - gone for k, own in wanted.items() if k not in gone)


# ------------------------------------------------------------------------------------- tripolar


@pytest.fixture(scope="module")
def orca():
    with xr.open_dataset(ORCA, decode_times=False) as ds:
        field = ds["votemper"].load().reset_coords(["deptht", "time_counter"], drop=True)
    return field


def vectors(field):
    lon, lat = np.deg2rad(field.nav_lon.values.astype(float)), np.deg2rad(field.nav_lat.values)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)


def test_orca_goes_on_across_the_seam_and_the_fold(orca):
    """The last row lies on the fold: column i is column 180 − i, and what comes after the one is the other's."""
    v = vectors(orca)
    np.testing.assert_allclose(v[-1, 1:], v[-1, :0:-1], atol=2e-6)
    found = neighbors(orca.where(orca.notnull(), 0))

    def cell(j, i):
        return j * 180 + i % 180

    for j in (20, 80, 140):
        assert found[cell(j, 0)] == {cell(j, 1), cell(j, 179), cell(j - 1, 0), cell(j + 1, 0)}
    for i in (20, 40, 150):
        twin = 180 - i
        beside = {cell(147, i - 1), cell(147, i + 1), cell(147, twin - 1), cell(147, twin + 1)}
        assert found[cell(147, i)] == {cell(147, twin), cell(146, i), cell(146, twin)} | beside


def test_a_fold_between_rows(orca):
    """Grids that fold along the sides of the last cells, as ORCA1 does: half of a row is left off."""
    v = vectors(orca)
    with np.errstate(invalid="ignore"):
        half = (v[:, 1:] + v[:, :-1]) / 2
    half = half[:-1] + half[1:]  # corners of cells, whose last row mirrors itself at the fold
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    lon = np.rad2deg(np.arctan2(half[..., 1], half[..., 0]))
    coords = {
        "lon": (("j", "i"), lon, {"standard_name": "longitude"}),
        "lat": (("j", "i"), np.rad2deg(np.arcsin(half[..., 2])), {"standard_name": "latitude"}),
    }
    found = neighbors(xr.DataArray(np.zeros(lon.shape), coords, ("j", "i")))
    last = (lon.shape[0] - 1) * 179
    for i in (20, 40, 60, 140):
        wanted = {last + i - 1, last + i + 1, last + i - 179, last + 179 - i}
        assert found[last + i] == wanted


def test_the_halo_of_a_grid_is_passed_in_one_step():
    """Columns that are there twice: from the last to the first it is one step."""
    field = curved(9, 18)
    halo = xr.concat([field.isel(i=[-1]), field, field.isel(i=[0])], "i")
    far = as_table(halo.patch.split(geometry=xpatch.KHopGraph(4)), halo.size).reshape(-1, 9, 20)
    bare = hops_by_dijkstra(by_hand(field.shape, (False, True)), field.size, 4)
    bare = bare.reshape(9, 18, 9, 18)
    own = far.reshape(9, 20, 9, 20)[:, 1:-1, :, 1:-1]
    np.testing.assert_array_equal(own, bare)


@pytest.mark.parametrize("corners", [False, True])
def test_a_column_that_is_there_twice_is_one(corners):
    """Longitudes from 0 to 360 with both ends, in one dimension and in two."""
    field = xr.concat([latlon(), latlon().isel(lon=[0]).assign_coords(lon=[375.0])], "lon")
    lon, lat = field.lon.values, field.lat.values
    assert lon[-1] - lon[0] == 360
    table = neighbors(field, corners=corners)
    bare = by_hand((6, 12), (False, True), corners)
    where = np.arange(78).reshape(6, 13)
    of = np.concatenate(
        [np.arange(72).reshape(6, 12), np.arange(72).reshape(6, 12)[:, :1]], axis=1
    ).ravel()
    for cell, own in table.items():
        assert {of[o] for o in own} - {of[cell]} == bare[of[cell]]
        twins = set(np.flatnonzero(of == of[cell])) - {cell}
        assert twins <= own
    assert table[where[2, 0]] - {where[2, 12]} == table[where[2, 12]] - {where[2, 0]}
    two = xr.DataArray(
        field.values,
        {"lon": (("j", "i"), np.tile(lon, (6, 1))), "lat": (("j", "i"), np.tile(lat[:, None], 13))},
        ("j", "i"),
    )
    assert neighbors(two, corners=corners) == table


def test_places_begin_in_the_cell_that_holds_them():
    """Near a pole the nearest center is often that of the next row."""
    field = latlon(18, 12)
    lon, lat = rng.uniform(0, 360, 300), rng.uniform(-90, 90, 300)
    at = xpatch.Explicit(lon=lon, lat=lat)
    first = field.patch.split(geometry=xpatch.KHopGraph(1), sampler=at)["cell"].values[:, 0]
    rows = np.abs(lat[:, None] - field.lat.values).argmin(axis=1)
    off = (lon[:, None] - field.lon.values + 180) % 360 - 180
    np.testing.assert_array_equal(first, rows * 12 + np.abs(off).argmin(axis=1))


# ------------------------------------------------------------------------------------- barriers


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.3, 0.95))
@settings(max_examples=20, deadline=None)
def test_hops_are_shortest_paths_through_the_sea(seed, hops, share):
    r = np.random.default_rng(seed)
    field = latlon(5, 8) if seed % 2 else plain(5, 8)
    sea = xr.DataArray(r.random((5, 8)) < share, dims=field.dims)
    if not sea.any():
        return
    wet = set(np.flatnonzero(sea.values).tolist())
    table = by_hand((5, 8), (False, seed % 2 == 1))
    table = {k: own & wet if k in wet else set() for k, own in table.items()}
    patches = field.patch.split(geometry=xpatch.KHopGraph(hops, where=sea))
    anchors = patches.patch.anchors["anchor_element"].values
    assert set(anchors.tolist()) == wet
    wanted = hops_by_dijkstra(table, 40, hops)[anchors]
    np.testing.assert_array_equal(as_table(patches, 40), wanted)


def test_members_grow_like_a_dilation():
    sea = xr.DataArray(rng.random((30, 40)) < 0.7, dims=("y", "x"))
    field = plain(30, 40)
    some = np.flatnonzero(sea.values)[::97]
    hop = xpatch.KHopGraph(7, where=sea)
    patches = field.patch.split(geometry=hop, sampler=xpatch.Explicit(some))
    for k, start in enumerate(some):
        seed = np.zeros(sea.shape, bool)
        seed.ravel()[start] = True
        grown = ndimage.binary_dilation(seed, CROSS, iterations=7, mask=sea.values)
        members = patches["cell"].values[k]
        assert set(members[members >= 0].tolist()) == set(np.flatnonzero(grown).tolist())


def test_distances_and_windows_count_hops():
    sea = plain(3, 3).isin([0, 1, 2, 5, 8, 7, 6])
    patches = plain(3, 3).patch.split(geometry=xpatch.KHopGraph(6, where=sea), window="hann")
    first = patches.isel(patch=0)
    assert first["cell"].values.tolist() == [0, 1, 2, 5, 8, 7, 6]
    assert patches.patch.distance.isel(patch=0).values.tolist() == list(range(7))
    hann = np.cos(np.pi / 2 * np.arange(7) / 7) ** 2  # zero at hops + 1
    np.testing.assert_allclose(patches.patch.weights.isel(patch=0), hann)
    np.testing.assert_allclose(first, np.array([0, 1, 2, 5, 8, 7, 6]) * hann)


def test_land_stays_missing_and_the_sea_comes_back():
    field = latlon().expand_dims(time=2).copy()
    sea = xr.DataArray(rng.random((6, 12)) < 0.8, dims=("lat", "lon"))
    for source in (field, field.chunk(lat=3)):
        patches = source.patch.split(geometry=xpatch.KHopGraph(2, where=sea), window="hann")
        xr.testing.assert_allclose(patches.patch.merge().compute(), field.where(sea))


def test_where_of_one_dimension_and_with_labels():
    field = latlon()
    tropics = abs(field.lat) < 40
    wanted = by_hand(field.shape, (False, True))
    wet = {k for k in wanted if abs(field.lat.values[k // 12]) < 40}
    assert neighbors(field, where=tropics) == {k: wanted[k] & wet for k in wet}
    whole = (field >= 0) & tropics
    assert neighbors(field, where=whole.T) == {k: wanted[k] & wet for k in wet}


def test_every_sampler_anchors_in_the_sea():
    field = latlon(18, 36)
    sea = xr.DataArray(rng.random((18, 36)) < 0.6, dims=("lat", "lon"))
    wet = set(np.flatnonzero(sea.values).tolist())
    hop = xpatch.KHopGraph(2, where=sea)
    stride = field.patch.split(geometry=hop, sampler=xpatch.RegularStride(3))
    on = {(j * 36 + i) for j in range(0, 18, 3) for i in range(0, 36, 3)} & wet
    assert set(stride.patch.anchors["anchor_element"].values.tolist()) == on
    for sampler in (xpatch.Random(20, seed=0), xpatch.PoissonDisk(2000.0, seed=0)):
        anchors = field.patch.split(geometry=hop, sampler=sampler).patch.anchors["anchor_element"]
        assert set(anchors.values.tolist()) <= wet


def test_anchors_at_places():
    field = latlon()
    at = xpatch.Explicit(lon=[359.0, 2.0], lat=[10.0, -14.0])
    patches = field.patch.split(geometry=xpatch.KHopGraph(1), sampler=at)
    table = by_hand(field.shape, (False, True))
    for row, cell in zip(patches["cell"].values, (3 * 12 + 11, 2 * 12), strict=True):
        assert row[0] == cell
        assert set(row[1:].tolist()) == table[cell]


LAND = {
    "a place": ({"lon": [16.0, 50.0], "lat": [-14.0, 10.0]}, r"around 1 of 2 anchors.*`where`"),
    "beside the field": ({"lon": [200.0, 50.0], "lat": [-14.0, 10.0]}, "around 1 of 2 anchors"),
    "a number": ([24, 27], "anchor 24 is not one of the 35 elements"),
    "a cell": ([[4, 0], [3, 1]], "Explicit anchor 24 is not one of the 35 elements"),
}


@pytest.mark.parametrize("name", LAND)
def test_anchors_on_land_do_not_move_to_the_sea(name):
    at, text = LAND[name]
    field = latlon(6, 6, width=180.0)
    sea = field != (12 if name == "a place" else 24)
    hop = xpatch.KHopGraph(1, where=sea)
    with pytest.raises(ValueError, match=text):
        field.patch.split(geometry=hop, sampler=xpatch.Explicit(at))
    if isinstance(at, dict):
        some = field.patch.split(geometry=hop, sampler=xpatch.Explicit(at, empty="drop"))
        assert some["cell"].values[:, 0].tolist() == [3 * 6 + 1]


def test_samplers_of_the_globe_leave_out_land():
    field = latlon(18, 36)
    sea = xr.DataArray(rng.random((18, 36)) < 0.6, dims=("lat", "lon"))
    wet = set(np.flatnonzero(sea.values).tolist())
    hop = xpatch.KHopGraph(2, where=sea)
    for source in (field, curved(18, 36)):
        hop = xpatch.KHopGraph(2, where=sea.rename(dict(zip(sea.dims, source.dims, strict=True))))
        for sampler in (xpatch.FibonacciSphere(200), xpatch.JitteredStride(3, seed=0)):
            first = source.patch.split(geometry=hop, sampler=sampler)["cell"].values[:, 0]
            assert len(first) > 20
            assert set(first.tolist()) <= wet


# ------------------------------------------------------------------- meshes, edges, files, refusals


def test_where_on_a_mesh():
    import uxarray as ux

    grid = mesh()
    n = grid.n_face
    field = ux.UxDataArray(xr.DataArray(np.arange(1.0 * n), dims="n_face"), uxgrid=grid)
    free = field.patch.split(geometry=xpatch.KHopGraph(1))
    table = {int(r[0]): set(r[r >= 0].tolist()) - {int(r[0])} for r in free["n_face"].values}
    sea = xr.DataArray(np.arange(n) % 5 != 0, dims="n_face")
    wet = set(np.flatnonzero(sea.values).tolist())
    table = {k: table[k] & wet if k in wet else set() for k in range(n)}
    patches = field.patch.split(geometry=xpatch.KHopGraph(3, where=sea))
    cells, far = patches["n_face"].values, patches.patch.distance.values
    wanted = hops_by_dijkstra(table, n, 3)
    assert set(cells[:, 0].tolist()) == wet
    for row, steps in zip(cells, far, strict=True):
        found = np.full(n, np.inf)
        found[row[row >= 0]] = steps[row >= 0]
        np.testing.assert_array_equal(found, wanted[row[0]])


def edges_by_hand(patches, table):
    out = []
    width = patches.sizes["cell"]
    for p, row in enumerate(patches["cell"].values):
        slot = {int(c): k for k, c in enumerate(row) if c >= 0}
        out += [
            (p * width + slot[a], p * width + slot[b]) for a in slot for b in table[a] if b in slot
        ]
    return set(out)


@pytest.mark.parametrize("field", [latlon(), curved(), plain(6, 12)], ids=["lonlat", "2d", "none"])
@pytest.mark.parametrize("corners", [False, True])
def test_edges_are_the_steps_that_hops_take(field, corners):
    sea = xr.DataArray(rng.random(field.shape) < 0.8, dims=field.dims)
    table = by_hand(field.shape, (False, field.dims != ("y", "x")), corners)
    wet = set(np.flatnonzero(sea.values).tolist())
    table = {k: own & wet for k, own in table.items()}
    patches = field.patch.split(geometry=xpatch.KHopGraph(2, where=sea, corners=corners))
    edges = patches.patch.edges
    flat = edges.values + edges["patch"].values * patches.sizes["cell"]
    assert set(map(tuple, flat.T.tolist())) == edges_by_hand(patches, table)


@pytest.mark.parametrize("window", [None, "hann"])
def test_files(window, tmp_path):
    """With a window distances are asked of the field, which finds the same members by the mask of the recipe."""
    field = latlon()
    sea = xr.DataArray(rng.random((6, 12)) < 0.8, dims=("lat", "lon"))
    hop = xpatch.KHopGraph(2, where=sea)
    patches = field.patch.split(geometry=hop, window=window)
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        like = None if window is None else field
        patcher = xpatch.Patcher.from_spec(read.patch.spec)
        assert patcher.geometry == hop
        xr.testing.assert_equal(field.patch.split(patcher), patches)
        xr.testing.assert_allclose(read.patch.merge(like=like), field.where(sea))
        held = read.isel(patch=[5, 3]).patch.merge(like=like).notnull().values
        cells = patches["cell"].isel(patch=[5, 3]).values
        assert set(np.flatnonzero(held).tolist()) == set(cells[cells >= 0].tolist())
        np.testing.assert_array_equal(read.patch.edges, patches.patch.edges)


def test_patches_of_a_file_do_not_make_up_the_edges_of_a_curved_grid(tmp_path):
    patches = curved().patch.split(geometry=xpatch.KHopGraph(2))
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        xr.testing.assert_allclose(read.patch.merge(), curved())
        with pytest.raises(ValueError, match="do not know where all the elements are"):
            _ = read.patch.edges


def test_a_stretched_region_does_not_close():
    """From the last column to the first it is little more than from the one before it."""
    field = curved(8, 16).isel(i=[0, 1, 4])
    assert neighbors(field) == by_hand((8, 3))


def test_a_large_coast_in_a_file(tmp_path):
    """Bits that do not compress, of more than the 64 kB that a plain attribute of HDF5 holds."""
    sea = xr.DataArray(rng.random((800, 900)) < 0.5, dims=("y", "x"))
    field = plain(800, 900)
    at = xpatch.Explicit(np.flatnonzero(sea.values)[:3])
    patches = field.patch.split(geometry=xpatch.KHopGraph(2, where=sea), sampler=at)
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        where = xpatch.Patcher.from_spec(read.patch.spec).geometry.where
    np.testing.assert_array_equal(where, sea)


def test_a_mask_on_dask_is_computed():
    sea = xr.DataArray(rng.random((6, 12)) < 0.8, dims=("lat", "lon"))
    one, lazy = (neighbors(latlon(), where=w) for w in (sea, sea.chunk(lat=2)))
    assert one == lazy


def test_disk_and_datasets(tmp_path):
    field = xr.Dataset({"a": latlon().expand_dims(time=3), "b": 2 * latlon()})
    field.to_zarr(tmp_path / "field.zarr")
    sea = field.b > 20
    with xr.open_zarr(tmp_path / "field.zarr", chunks=None) as stored:
        patches = stored.patch.split(geometry=xpatch.KHopGraph(3, where=sea))
        merged = patches.patch.merge()
    xr.testing.assert_allclose(merged, field.where(sea))


def test_space_times_windows():
    days = np.datetime64("2001-01-01") + np.arange(10)
    field = latlon().expand_dims(time=days.astype("M8[ns]")) + xr.DataArray(
        np.arange(10.0), dims="time"
    )
    sea = latlon() % 7 != 0
    space = xpatch.Patcher(xpatch.KHopGraph(2, where=sea))
    time = xpatch.TimePatcher(xpatch.FixedLookback(5), xpatch.RegularTimeStride(5))
    patches = field.patch.split(xpatch.SpatioTemporalPatcher(space, time))
    assert patches.sizes["patch"] == 2 * int(sea.sum())
    xr.testing.assert_allclose(patches.patch.merge(), field.where(sea).transpose(*field.dims))


def test_where_is_compared_and_printed():
    sea = xr.DataArray(np.eye(3) == 0, dims=("y", "x"))
    one, same, other = (xpatch.KHopGraph(2, where=w) for w in (sea, sea.copy(), ~sea))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != xpatch.KHopGraph(2)
    assert repr(one) == "KHopGraph(2, where=<DataArray (3, 3)>)"
    assert dataclasses.replace(one, hops=3).hops == 3
    json.dumps(one.to_dict())


SEA = latlon() > 3
REFUSED = {
    "an array": (lambda: xpatch.KHopGraph(1, where=SEA.values), TypeError, "DataArray.*ndarray"),
    "numbers": (
        lambda: xpatch.KHopGraph(1, where=latlon()),
        TypeError,
        "boolean, got dtype float64",
    ),
    "corners": (lambda: xpatch.KHopGraph(1, corners=2), TypeError, "corners of KHopGraph"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_where(name):
    make, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        make()


MISFITS = {
    "another size": (SEA.isel(lon=slice(3)), "has 3 cells along 'lon', the field has 12"),
    "other labels": (SEA.assign_coords(lon=SEA.lon + 5), "other labels along 'lon'.*reindex_like"),
    "other names": (SEA.rename(lat="y"), r"dimensions \['y', 'lon'\].*rename"),
    "time": (SEA.expand_dims(time=2), r"differs along \['time'\].*where.all\('time'\)"),
    "nowhere": (SEA & False, "False everywhere"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_where_that_does_not_fit(name):
    where, text = MISFITS[name]
    field = latlon().expand_dims(time=2)
    with pytest.raises(ValueError, match=text):
        field.patch.split(geometry=xpatch.KHopGraph(1, where=where))


def test_what_has_no_neighbors():
    stations = xr.DataArray(
        np.zeros(4), {"lon": ("s", np.arange(4.0)), "lat": ("s", np.zeros(4))}, ("s",)
    )
    with pytest.raises(ValueError, match=r"lies on PointDomain.*KNNGraph"):
        stations.patch.split(geometry=xpatch.KHopGraph(1))
    for dims in ("station", "n_face"):
        with pytest.raises(ValueError, match=r"goes along the rows|grid of uxarray"):
            xr.DataArray(np.zeros(4), dims=dims).patch.split(geometry=xpatch.KHopGraph(1))


def test_damaged_bits_are_refused():
    text = xpatch.KHopGraph(1, where=SEA).to_dict()
    for bits, shape in (
        ("eJwDAAAAAAE=", [6, 12]),
        (text["where"]["bits"], [600, 1200]),
        ("?", [6, 12]),
    ):
        damaged = {**text, "where": {**text["where"], "bits": bits, "shape": shape}}
        with pytest.raises(ValueError, match=r"damaged|cannot be built|base64"):
            xpatch.Patcher.from_spec({"class": "Patcher", "geometry": damaged})


def test_a_mask_is_read_once_and_does_not_change_later():
    field, reads = latlon(), []

    def read():
        reads.append(1)
        return field.values % 5 > 0

    lazy = da.from_delayed(dask.delayed(read, pure=False)(), field.shape, bool)
    sea = field.copy(data=lazy)
    hops = xpatch.KHopGraph(2, where=sea)
    patches = field.patch.split(geometry=hops)
    assert len(reads) == 1
    told = hops.to_dict()
    mask = sea.compute()
    same = xpatch.KHopGraph(2, where=mask)
    mask[:] = True
    assert same.to_dict() == told
    xr.testing.assert_identical(field.patch.split(geometry=same), patches)


@pytest.mark.parametrize(
    "geometry",
    [
        xpatch.KHopGraph(1),
        xpatch.KNNGraph(1),
        xpatch.RadiusGraph(100.0),
        xpatch.SphericalCap(100),
        xpatch.CenteredGrid("1000km", "1000km", "500km"),
    ],
)
def test_fields_without_cells(geometry):
    with pytest.raises(ValueError, match="no cells along 'lat'; there is nothing to split"):
        latlon().isel(lat=slice(0)).patch.split(geometry=geometry)


OUTSIDE = {  # labels of latitude, its bounds, places in the field, places beside it
    "even": (np.arange(4.0), None, [-0.4, 3.4], [-0.6, 3.6]),
    "one long step": (np.array([0.0, 1, 2, 3, 23]), None, [-0.4, 12, 32], [-8, -0.6, 34]),
    "falling": (np.array([23.0, 3, 2, 1, 0]), None, [-0.4, 12, 32], [-8, -0.6, 34]),
    "bounds": (np.array([1.0, 2]), [[-5, 1.5], [1.5, 2.1]], [-4, 2.05], [-6, 2.3]),
    "one row is as high as wide": (np.array([5.0]), None, [4.6, 5.4], [4.4, 60]),
    "one row with bounds": (np.array([5.0]), [[0, 30]], [1, 29], [-1, 31]),
}


@pytest.mark.parametrize("kind", ["hops", "boxes", "slots"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_places_are_in_the_field_that_lie_within_the_edges_of_cells(name, kind):
    lat, bounds, inside, outside = OUTSIDE[name]
    field = xr.DataArray(
        np.ones((len(lat), 5)), {"lat": lat, "lon": np.arange(5.0)}, ("lat", "lon")
    )
    field = field.to_dataset(name="v")
    if bounds is not None:
        field = field.assign_coords(lat_bnds=(("lat", "nv"), np.array(bounds, float)))
        field.lat.attrs["bounds"] = "lat_bnds"
    geometry = {
        "hops": xpatch.KHopGraph(1),
        "boxes": xpatch.Rectangular(lat=1, lon=1),
        "slots": xpatch.CenteredGrid(dy=1, dx=1, step=1),
    }[kind]
    for at, count in ((inside, len(inside)), (outside, 0)):
        sampler = xpatch.Explicit(
            {"lat": np.array(at, float), "lon": np.full(len(at), 2.0)}, outside="drop", empty="drop"
        )
        try:
            found = field.patch.split(geometry=geometry, sampler=sampler).sizes["patch"]
        except ValueError as error:
            assert "leave" in str(error) or "no anchors" in str(error)  # noqa: PT017
            found = 0
        assert found == count


def test_longitudes_in_any_order_leave_their_gap_out():
    lon = np.array([350.0, 355, 0, 5])
    field = xr.DataArray(
        np.arange(8.0).reshape(2, 4), {"lat": [0.0, 5], "lon": lon}, ("lat", "lon")
    )

    def roots(at):
        keep = xpatch.Explicit({"lon": at, "lat": [0.0] * len(at)}, empty="keep")
        found = field.patch.split(geometry=xpatch.KHopGraph(1), sampler=keep)
        return found.isel(cell=0).values

    np.testing.assert_array_equal(roots([-9.0, 356, 2, 5]), [0, 1, 2, 3])
    assert np.isnan(roots([180.0, 10])).all()


def test_where_three_sides_meet_no_two_are_one():
    sides = [
        Side(0, np.array([k]), np.array([[1.0, 0, 1e-3 * k]]), np.array([1.0])) for k in range(3)
    ]
    assert sum(m.nnz for m in _seams(sides[:2], 3)) == 2
    assert sum(m.nnz for m in _seams(sides, 3)) == 0


def test_masks_and_neighbors_are_not_pickled_with_every_patch():
    n = 300
    lat, lon = np.linspace(-60, 60, n), np.linspace(0, 100, n)
    field = xr.DataArray(np.zeros((n, n), "f4"), {"lat": lat, "lon": lon}, ("lat", "lon"))
    sea = xr.DataArray(np.ones((n, n), bool), dims=("lat", "lon"))
    patches = field.patch.split(xpatch.KHopGraph(3, where=sea), sampler=xpatch.Random(5, seed=0))
    assert patches.patch.places.sizes["patch"] == 5  # which looks the cells up
    assert len(pickle.dumps(patches)) < 30_000  # 1.4 MB are the positions of the cells
    xr.testing.assert_identical(
        pickle.loads(pickle.dumps(patches)).patch.merge("mean"), patches.patch.merge("mean")
    )
