"""Fields on discrete global grids, against the geometry of their cells and bit arithmetic on their ids."""

import pickle
import sys

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xpatch

xdggs = pytest.importorskip("xdggs")
shapely = pytest.importorskip("shapely")

RADIUS = 6371.0088


def healpix(level=2, scheme="nested", which=None, dtype="i8", decode=True, extra=None):
    """Give a field on HEALPix cells, with values that tell them apart."""
    ids = np.arange(12 * 4**level) if which is None else np.asarray(which)
    attrs = {"grid_name": "healpix", "level": level, "indexing_scheme": scheme}
    return on_cells(ids.astype(dtype), attrs, decode, extra)


def h3(level=1, keep=None, decode=True):
    """Give a field on the H3 cells that a fine grid of places falls in: all of them."""
    from h3ronpy.vector import coordinates_to_cells

    lon, lat = np.meshgrid(np.linspace(-180, 180, 361), np.linspace(-90, 90, 181))
    ids = np.unique(np.asarray(coordinates_to_cells(lat.ravel(), lon.ravel(), level)))
    assert len(ids) == 2 + 120 * 7**level
    ids = ids if keep is None else ids[keep]
    return on_cells(ids, {"grid_name": "h3", "level": level}, decode)


def on_cells(ids, attrs, decode=True, extra=None):
    values = np.random.default_rng(0).random(ids.size) + 1
    field = xr.DataArray(values, {"cell_ids": ("cells", ids, attrs)}, "cells", name="t")
    field = field.assign_attrs(units="K")
    field = field if extra is None else field.assign_coords(extra)
    return field.pipe(xdggs.decode) if decode else field


def xyz(lon, lat):
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def corners(field):
    """Give the corners of each cell as a set of rounded places on the unit sphere."""
    info, ids = field.dggs.grid_info, field.cell_ids.values
    shapes = info.cell_boundaries(ids.astype("u8"))
    points, owner = shapely.get_coordinates(shapes, return_index=True)
    keys = [tuple(p) for p in np.round(xyz(*points.T), 6) + 0.0]
    out = [set() for _ in ids]
    for key, k in zip(keys, owner, strict=True):
        out[k].add(key)
    return out


def touching(field, common):
    """Give the neighbors of each cell: those with so many common corners."""
    own = corners(field)
    at = {}
    for k, keys in enumerate(own):
        for key in keys:
            at.setdefault(key, []).append(k)
    found = []
    for k, keys in enumerate(own):
        near = [other for key in keys for other in at[key] if other != k]
        found.append({o for o in near if near.count(o) >= common})
    return found


def rings(neighbors, hops):
    """Walk: the cells within some steps, and the steps."""
    found = []
    for k in range(len(neighbors)):
        far, front = {k: 0}, {k}
        for hop in range(1, hops + 1):
            front = {o for c in front for o in neighbors[c]} - set(far)
            far |= dict.fromkeys(front, hop)
        found.append(far)
    return found


def members(patches, dim="cells"):
    return [row[row >= 0].tolist() for row in patches[dim].values]


def identical(merged, field):
    xr.testing.assert_identical(merged, field)
    assert type(merged.xindexes["cell_ids"]) is type(field.xindexes["cell_ids"])
    assert merged.dggs.grid_info == field.dggs.grid_info
    assert merged.cell_ids.dtype == field.cell_ids.dtype


# ------------------------------------------------------------------------------------ what is found


def test_a_domain_says_which_cells_it_has():
    text = repr(xpatch.domain_of(healpix(3, which=np.arange(100))))
    assert "DGGSDomain" in text
    assert "100 of 768 cells along cells (cell_ids): healpix level 3, nested" in text
    assert "842 of 842 cells along cells (cell_ids): h3 level 1" in repr(xpatch.domain_of(h3()))


@pytest.mark.parametrize("field", [healpix(decode=False), h3(decode=False)], ids=["healpix", "h3"])
def test_attributes_tell_what_is_not_decoded(field):
    domain = xpatch.domain_of(field)
    assert isinstance(domain, xpatch.DGGSDomain)
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    xr.testing.assert_identical(patches.patch.merge("first"), field)
    assert not isinstance(patches.patch[0].xindexes.get("cell_ids"), xdggs.DGGSIndex)
    assert patches.patch[0].cell_ids.attrs == field.cell_ids.attrs


@pytest.mark.parametrize(
    "attrs",
    [
        {"nside": np.int64(4), "nest": False},
        {"order": 2, "indexing_scheme": "ring"},
        {"level": np.int32(2), "indexing_scheme": "ring", "long_name": "cell"},
    ],
)
def test_grids_are_known_by_any_of_the_words_for_them(attrs):
    field = healpix(2, "ring")
    other = xr.DataArray(
        field.values,
        {"cell_ids": ("cells", np.arange(192), {"grid_name": "healpix", **attrs})},
        "cells",
    )
    mine, theirs = (f.patch.split(geometry=xpatch.KHopGraph(1)) for f in (field, other))
    np.testing.assert_array_equal(mine.cells, theirs.cells)


def test_latitude_and_longitude_do_not_hide_the_grid():
    field = healpix().dggs.assign_latlon_coords()
    assert isinstance(xpatch.domain_of(field), xpatch.DGGSDomain)
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    assert patches.latitude.dims == ("patch", "cells")
    identical(patches.patch.merge("first"), field)


def test_without_xdggs_other_fields_are_split_and_cells_say_what_they_need(monkeypatch):
    field = healpix(decode=False)
    monkeypatch.setitem(sys.modules, "xdggs", None)
    grid = xr.DataArray(np.ones((4, 4)), dims=("y", "x"))
    assert grid.patch.split(geometry=2).sizes["patch"] == 4
    with pytest.raises(ImportError, match=r"xarray-patch\[dggs\]"):
        field.patch.split(geometry=xpatch.KHopGraph(1))
    assert "xarray-patch[dggs]" in repr(xpatch.domain_of(field))


# ------------------------------------------------------------------------------------ rings


@pytest.mark.parametrize("scheme", ["nested", "ring"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_rings_of_healpix_are_the_cells_that_touch(level, scheme):
    field = healpix(level, scheme)
    expected = touching(field, 1)
    counts = np.array([len(e) for e in expected])
    if level == 2:
        assert (counts == 7).sum() == 24
        assert (counts == 8).sum() == 168
    patches = field.patch.split(geometry=xpatch.KHopGraph(hops=1))
    for k, found in enumerate(members(patches)):
        assert found == [k, *sorted(expected[k])]


def test_rings_of_h3_are_the_cells_with_a_common_side():
    field = h3(1)
    expected = touching(field, 2)
    counts = np.array([len(e) for e in expected])
    assert (counts == 5).sum() == 12
    assert (counts == 6).sum() == 830
    patches = field.patch.split(geometry=xpatch.KHopGraph(hops=1))
    for k, found in enumerate(members(patches)):
        assert found == [k, *sorted(expected[k])]
    assert patches.cell_ids.dtype == np.uint64  # which floats do not hold
    assert {*np.unique(patches.cell_ids)} == {0, *field.cell_ids.values}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["nested", "ring"]), st.integers(1, 3))
def test_hops_go_only_through_cells_that_exist(seed, scheme, hops):
    rng = np.random.default_rng(seed)
    which = rng.permutation(192)[:120]  # in any order
    field = healpix(2, scheme, which)
    expected = rings(touching(field, 1), hops)
    patches = field.patch.split(geometry=xpatch.KHopGraph(hops))
    far = patches.patch.distance.values
    for k, found in enumerate(members(patches)):
        assert dict(zip(found, far[k], strict=False)) == expected[k]
    np.testing.assert_array_equal(
        patches.cell_ids.values, np.where(patches.cells >= 0, which[patches.cells], -1)
    )
    identical(patches.patch.merge("first"), field)


def test_edges_are_neighbors_within_patches():
    field = healpix(2)
    near = touching(field, 1)
    patches = field.patch.split(geometry=xpatch.Parents(0))
    edges, own = patches.patch.edges, patches.cells.values
    found = {
        (own[p, a], own[p, b])
        for (a, b), p in zip(edges.values.T, edges["patch"].values, strict=True)
    }
    assert found == {(a, b) for a in range(192) for b in near[a] if a // 16 == b // 16}


# ------------------------------------------------------------------------------------ distances


def brute(field):
    lon, lat = field.dggs.index.cell_centers()
    dots = xyz(np.asarray(lon), np.asarray(lat)) @ xyz(np.asarray(lon), np.asarray(lat)).T
    return RADIUS * np.arccos(np.clip(dots, -1, 1))


@pytest.mark.parametrize(
    "field", [healpix(2), healpix(2, "ring"), h3(0)], ids=["nest", "ring", "h3"]
)
def test_nearest_are_those_of_great_circles(field):
    patches = field.patch.split(geometry=xpatch.KNNGraph(9))
    table, far = brute(field), patches.patch.distance.values
    expected = np.sort(table, axis=1)[:, :9]
    np.testing.assert_allclose(far, expected, atol=1e-3)
    rows = np.arange(len(table))[:, None]
    np.testing.assert_allclose(table[rows, patches.cells.values], expected, atol=1e-3)
    caps = field.patch.split(geometry=xpatch.SphericalCap(2500.0))
    for k, found in enumerate(members(caps)):
        assert set(found) == set(np.flatnonzero(table[k] <= 2500))
    graph = field.patch.split(geometry=xpatch.RadiusGraph(2500.0))
    np.testing.assert_array_equal(graph.cells, caps.cells)


def test_anchors_at_places():
    field = healpix(3)
    places = {"lon": [179.99, -179.99, 10.0, 359.0], "lat": [0.0, 0.0, 89.9, -90.0]}
    patches = field.patch.split(geometry=xpatch.KNNGraph(4), sampler=xpatch.Explicit(places))
    lon, lat = field.dggs.index.cell_centers()
    dots = xyz(np.array(places["lon"]), np.array(places["lat"])) @ xyz(lon, lat).T
    far = RADIUS * np.arccos(np.clip(dots, -1, 1))
    np.testing.assert_allclose(patches.patch.distance, np.sort(far, axis=1)[:, :4], atol=1e-3)


# ------------------------------------------------------------------------------------ parents


def above(ids, level):
    """Give parents of nested HEALPix: two bits a level."""
    return ids >> (2 * level)


def h3_parent(ids, level):
    """Give parents of H3: the level in bits 52 to 55, digits of three bits that are not used all ones."""
    ids = ids.astype("u8")
    out = (ids & ~(np.uint64(15) << np.uint64(52))) | (np.uint64(level) << np.uint64(52))
    for digit in range(level + 1, 16):
        out |= np.uint64(7) << np.uint64(3 * (15 - digit))
    return out


def check_parents(field, parents, level):
    patches = field.patch.split(geometry=xpatch.Parents(level))
    every = np.unique(parents)
    np.testing.assert_array_equal(patches["anchor"], every)
    for parent, found in zip(every, members(patches), strict=True):
        assert found == np.flatnonzero(parents == parent).tolist()
    identical(patches.patch.merge(), field)
    identical(patches.patch.merge("first"), field)
    return patches


@pytest.mark.parametrize("level", [0, 1, 3])
def test_parents_of_healpix(level):
    patches = check_parents(healpix(3), above(np.arange(768), 3 - level), level)
    assert patches.sizes == {"patch": 12 * 4**level, "cells": 4 ** (3 - level)}


def test_parents_of_some_cells_in_any_order():
    which = np.random.default_rng(1).permutation(768)[:300]
    patches = check_parents(healpix(3, which=which), above(which, 2), 1)
    assert patches.patch.mask.sum() == 300


def test_parents_in_rings():
    from healpix_geo import nested

    field, ids = healpix(3, "ring"), np.arange(768, dtype="u8")
    ring = nested.to_ring(ids, 3)  # of each nested number
    parents = np.empty(768, "i8")
    parents[ring] = nested.to_ring(above(ids, np.uint64(1)), 2)
    check_parents(field, parents, 2)


def test_parents_of_h3():
    field = h3(2)
    for level in (0, 1):
        check_parents(field, h3_parent(field.cell_ids.values, level), level)
    some = h3(2, keep=slice(None, None, 3))
    patches = check_parents(some, h3_parent(some.cell_ids.values, 1), 1)
    assert patches["anchor"].dtype == np.uint64


def test_places_are_anchors_of_the_parent_that_holds_them():
    field = healpix(3)
    at = {"lon": [45.0, 300.0], "lat": [20.0, -70.0]}
    patches = field.patch.split(geometry=xpatch.Parents(1), sampler=xpatch.Explicit(at))
    parents = xdggs.HealpixInfo(1, indexing_scheme="nested").geographic2cell_ids(
        lon=at["lon"], lat=at["lat"]
    )
    for parent, found in zip(parents, members(patches), strict=True):
        assert found == np.flatnonzero(above(np.arange(768), 2) == parent).tolist()


def test_parents_are_anchors_on_another_field():
    coarse, fine = healpix(2), healpix(3)
    some = coarse.patch.split(geometry=xpatch.Parents(1), sampler=xpatch.Explicit([5, 40, 7]))
    np.testing.assert_array_equal(some["anchor"], [5, 40, 7])
    patches = fine.patch.split(geometry=xpatch.Parents(1), sampler=xpatch.Explicit(some))
    np.testing.assert_array_equal(patches["anchor"], [5, 40, 7])
    np.testing.assert_array_equal(patches.cell_ids // 16, np.repeat([[5], [40], [7]], 16, axis=1))


def test_means_of_parents_are_a_coarser_field():
    field = healpix(3)
    means = field.patch.split(geometry=xpatch.Parents(1)).mean("cells")
    grid = {"grid_name": "healpix", "level": 1, "indexing_scheme": "nested"}
    coarse = means.pipe(xdggs.decode, grid, name="anchor")
    np.testing.assert_allclose(coarse, field.values.reshape(48, 16).mean(axis=1))
    assert coarse.dggs.grid_info.level == 1


@pytest.mark.parametrize("scheme", ["nested", "ring"])
@pytest.mark.parametrize("level", [0, 1, 3])
def test_outlines_of_healpix_hold_their_children(level, scheme):
    """Edges are curves, and four cells meet at a pole, each a quarter of the way around."""
    field = healpix(5, scheme)
    parents = xpatch.Parents(level)
    found = field.patch.split(geometry=parents).patch.footprints()
    shapes = np.asarray(found.geometry if hasattr(found, "geometry") else found)
    numbers = field.patch.split(geometry=parents)["cells"].values
    center = field.dggs.cell_centers()
    lon, lat = center.longitude.values, center.latitude.values
    for shape, own in zip(shapes, numbers, strict=True):
        own = own[own >= 0]
        west, _, east, _ = shape.bounds
        x = lon[own] - 360 * np.round((lon[own] - (west + east) / 2) / 360)
        assert shapely.contains_xy(shape, x, lat[own]).all()
    flat = shapely.transform(
        shapes, lambda p: np.deg2rad(p) * [1, 0] + np.sin(np.deg2rad(p)) * [0, 1]
    )
    np.testing.assert_allclose(shapely.area(flat), np.pi / 3 / 4**level, rtol=0.01)


def test_footprints_of_parents_are_their_cells():
    pytest.importorskip("geopandas")
    field = healpix(3)
    found = field.patch.split(geometry=xpatch.Parents(1)).patch.footprints()
    expected = xdggs.HealpixInfo(1, indexing_scheme="nested").cell_boundaries(
        np.arange(48, dtype="u8")
    )
    turned = shapely.transform(
        found.geometry.values, lambda p: np.stack([p[:, 0] % 360, p[:, 1]], -1)
    )
    same = shapely.transform(expected, lambda p: np.stack([p[:, 0] % 360, p[:, 1]], -1))
    for mine, theirs in zip(
        turned, same, strict=True
    ):  # corners of a pole are there on two meridians
        corners = shapely.points([p for p in theirs.exterior.coords if abs(p[1]) < 89.9])
        assert shapely.distance(shapely.MultiPoint(mine.exterior.coords), corners).max() < 1e-9
    assert (found.bounds.maxx - found.bounds.minx <= 90).all()
    polar = h3(1).patch.split(geometry=xpatch.Parents(0)).patch.footprints()
    assert polar.is_valid.all()
    north = polar.bounds.maxy == 90
    assert north.sum() == 1
    assert (polar.bounds.maxx - polar.bounds.minx)[north].item() == pytest.approx(360)


def test_polygons_take_the_cells_that_they_touch():
    field = healpix(3)
    area = shapely.box(170, -5, 190, 5)  # across the dateline
    touched = field.patch.split(geometry=xpatch.PolygonIntersection([area], all_touched=True))
    shapes = field.dggs.grid_info.cell_boundaries(np.arange(768, dtype="u8"))
    hit = np.zeros(768, bool)
    for turn in (-360, 0, 360):
        moved = shapely.transform(area, lambda p, t=turn: p + np.array([t, 0]))
        hit |= shapely.intersects(shapes, moved)
    assert members(touched) == [np.flatnonzero(hit).tolist()]


# ------------------------------------------------------------------------------------ the way back

FIELDS = {
    "nested": lambda: healpix(2),
    "ring": lambda: healpix(2, "ring"),
    "unsigned": lambda: healpix(2, dtype="u8"),
    "partial": lambda: healpix(2, which=np.arange(40, 150)[::-1]),
    "h3": lambda: h3(1),
    "h3 partial": lambda: h3(1, keep=slice(100, 300)),
}
GEOMETRIES = {
    "rings": xpatch.KHopGraph(1),
    "parents": xpatch.Parents(0),
    "nearest": xpatch.KNNGraph(5),
    "caps": xpatch.SphericalCap(2000.0),
}


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
def test_the_way_back_from_memory_and_files(make, geometry, tmp_path):
    field = make()
    patches = field.patch.split(geometry=geometry)
    identical(patches.patch.merge("first"), field)
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        identical(read.patch.merge("first"), field)
        identical(read.patch.merge("first", like=field), field)
        one = read.patch[3]
        assert one.dggs.grid_info == field.dggs.grid_info
        np.testing.assert_array_equal(one.cell_ids, field.cell_ids[members(patches)[3]])


def test_zarr_and_dask(tmp_path):
    field = h3(1).expand_dims(time=3).copy()
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    patches.to_dataset().to_zarr(tmp_path / "p.zarr", consolidated=False)
    read = xr.open_zarr(tmp_path / "p.zarr", consolidated=False).t
    identical(read.patch.merge("first").compute(), field)
    lazy = field.chunk(cells=200, time=1).patch.split(geometry=xpatch.Parents(0))
    assert isinstance(lazy.data, da.Array)
    identical(lazy.patch.merge().compute(), field)


def test_fields_on_disk_stay_there(tmp_path):
    source = healpix(3, decode=False).expand_dims(band=2).copy()
    source.to_netcdf(tmp_path / "field.nc")
    with xr.open_dataarray(tmp_path / "field.nc") as opened:
        field = opened.pipe(xdggs.decode)
        patches = field.patch.split(geometry=xpatch.Parents(2))
        assert not patches.variable._in_memory
        np.testing.assert_array_equal(patches.isel(patch=7), source.values[:, 28:32])
        assert patches.patch.merge().dggs.grid_info == field.dggs.grid_info


def test_what_no_patch_covers_has_no_id(tmp_path):
    field = h3(1)
    patches = field.patch.split(geometry=xpatch.KHopGraph(1)).isel(patch=[0, 5])
    identical(patches.patch.merge("first").fillna(field), field)
    patches.to_netcdf(tmp_path / "some.nc")
    with xr.open_dataarray(tmp_path / "some.nc") as read:
        merged = read.patch.merge("first")
        covered = merged.notnull().values
        np.testing.assert_array_equal(merged.cell_ids.values[covered], field.cell_ids[covered])
        assert not merged.cell_ids.values[~covered].any()
        identical(read.patch.merge("first", like=field).fillna(field), field)


@pytest.mark.parametrize(
    "ellipsoid", ["WGS84", {"semimajor_axis": 6_378_137.0, "inverse_flattening": 298.257}]
)
def test_grids_on_an_ellipsoid_come_back(ellipsoid, tmp_path):
    grid = {"grid_name": "healpix", "level": 2, "indexing_scheme": "nested", "ellipsoid": ellipsoid}
    field = healpix(2).drop_indexes("cell_ids").pipe(xdggs.decode, grid)
    assert field.dggs.grid_info != healpix(2).dggs.grid_info
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    identical(patches.patch.merge("first"), field)
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        identical(read.patch.merge("first"), field)
    with pytest.raises(ValueError, match="another grid"):
        patches.patch.merge(like=healpix(2))


def test_scenes_on_several_grids(tmp_path):
    fields = [healpix(2), healpix(1, "ring")]
    cut = [f.patch.split(geometry=xpatch.KHopGraph(1)) for f in fields]
    patches = xpatch.concat(cut, scenes=["a", "b"])
    for name, field in zip("ab", fields, strict=True):
        some = patches.isel(patch=(patches["scene"] == name).values)
        identical(some.patch.merge("first"), field)
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        some = read.isel(patch=(read["scene"] == "b").values)
        np.testing.assert_array_equal(some.patch.merge("first"), fields[1])


def grid_of(patches):
    """Give what attributes say of a grid; not what empty slots hold, of which there may be none."""
    return {n: v for n, v in patches.cell_ids.attrs.items() if n != "nodata"}


WGS84 = {"grid_name": "healpix", "level": 2, "indexing_scheme": "nested", "ellipsoid": "WGS84"}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (healpix(2, "ring"), healpix(2)),
        (healpix(2), healpix(2, decode=False).pipe(xdggs.decode, WGS84)),
        (healpix(2, which=np.arange(50), dtype="u8"), h3(1)),
        (h3(1), healpix(2, "ring", dtype="u8")),
    ],
    ids=["scheme", "ellipsoid", "kind", "kind, other way"],
)
@pytest.mark.parametrize("geometry", [xpatch.Parents(0), xpatch.KHopGraph(1)])
def test_each_scene_says_which_grid_it_is_on(a, b, geometry, tmp_path):
    """Attributes of cell ids hold what is common to scenes, and half of them would say another grid."""
    alone = {n: f.patch.split(geometry=geometry) for n, f in {"a": a, "b": b}.items()}
    patches = xpatch.concat(list(alone.values()), scenes=list(alone))
    assert "grid_name" not in patches.cell_ids.attrs
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        assert np.isclose(read.patch.area.sum(), sum(p.patch.area.sum() for p in alone.values()))
        for name, field in {"a": a, "b": b}.items():
            for joined in (patches, read):
                rows = np.flatnonzero(joined.scene.values == name)
                some = joined.isel(patch=rows)
                identical(some.patch.merge("first"), field)
                one, own = joined.patch[int(rows[3])], alone[name].patch[3]
                np.testing.assert_array_equal(one.cell_ids, own.cell_ids)
                assert one.dggs.grid_info == field.dggs.grid_info
                again = xpatch.concat([some, some.isel(patch=[0])], scenes=["x", "y"])
                assert grid_of(again) == grid_of(alone[name])


@pytest.mark.parametrize("chunks", [None, {"patch": 100}])
def test_ids_of_scenes_with_unequally_many_members_stay_integers(chunks, tmp_path):
    """Of H3 they have more digits than a float."""
    field = h3(1)
    few, many = (field.patch.split(geometry=xpatch.KHopGraph(k)) for k in (1, 2))
    for k, patches in enumerate([few, many]):
        patches.to_netcdf(tmp_path / f"{k}.nc")
    read = [xr.open_dataarray(tmp_path / f"{k}.nc", chunks=chunks) for k in range(2)]
    for sets in ([few, many], read):
        joined = xpatch.concat(sets, scenes=["few", "many"])
        assert joined.cell_ids.dtype == field.cell_ids.dtype
        some = joined.isel(patch=slice(0, 842))
        np.testing.assert_array_equal(some.cell_ids[:, :7], few.cell_ids)
        assert not some.cell_ids[:, 7:].any()
        identical(some.patch.merge("first").compute(), field)


def test_ids_of_which_no_integer_holds_all_are_refused():
    sets = [healpix(1, dtype=d).patch.split(geometry=xpatch.Parents(0)) for d in ("i8", "u8")]
    with pytest.raises(ValueError, match="int64 and uint64, of which no integer"):
        xpatch.concat(sets, scenes=["a", "b"])


@pytest.mark.parametrize("kind", ["pandas", "moc"])
def test_one_patch_is_a_field_of_its_own(kind):
    field = healpix(2, decode=False).pipe(xdggs.decode, index_kind=kind)
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    one = patches.patch[17]
    own = members(patches)[17]
    np.testing.assert_array_equal(one.cell_ids, field.cell_ids.values[own])
    assert one.dggs.grid_info == field.dggs.grid_info
    assert one.cell_ids.attrs == field.cell_ids.attrs
    again = one.drop_vars(["cells", *(n for n in one.coords if one[n].ndim == 0)])
    assert again.patch.split(geometry=xpatch.KHopGraph(1)).sizes["patch"] == len(own)
    merged = patches.patch.merge("first")
    xr.testing.assert_equal(merged.drop_indexes("cell_ids"), field.drop_indexes("cell_ids"))
    assert merged.dggs.grid_info == field.dggs.grid_info


def test_ids_that_are_labels_of_their_dimension():
    attrs = {"grid_name": "healpix", "level": 1, "indexing_scheme": "nested"}
    ids = np.arange(48)[::-1].copy()
    field = xr.DataArray(np.arange(48.0), {"cell_ids": ("cell_ids", ids, attrs)}, "cell_ids")
    field = field.pipe(xdggs.decode)
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    identical(patches.patch.merge("first"), field)
    one = patches.patch[0]
    np.testing.assert_array_equal(one.cell_ids, ids[members(patches, "cell_ids")[0]])
    assert one.dggs.grid_info == field.dggs.grid_info


def test_other_names():
    field = healpix(1)
    patches = field.patch.split(geometry=xpatch.Parents(0)).rename(cells="c", cell_ids="number")
    merged = patches.patch.merge()
    assert merged.dims == ("c",)
    assert merged.dggs.grid_info == field.dggs.grid_info
    np.testing.assert_array_equal(merged, field)
    np.testing.assert_array_equal(merged.isel(c=[3, 4]).number, [3, 4])


def test_datasets_dims_in_any_order_and_time():
    field = healpix(2)
    time = np.array("2000-01-01", "M8[D]") + np.arange(6)
    ds = xr.Dataset(
        {
            "a": field * xr.DataArray(np.arange(6.0), {"time": time}, "time"),
            "b": (field * xr.DataArray([1.0, 2.0], dims="band")).transpose("cells", "band"),
            "c": ((), 3.0),
        }
    )
    for geometry in GEOMETRIES.values():
        identical(ds.patch.split(geometry=geometry).patch.merge("first"), ds)
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(xpatch.KHopGraph(1)), xpatch.TimePatcher(xpatch.LookbackHorizon(2, 1))
    )
    patches = ds["a"].patch.split(patcher)
    assert {*patches.dims} == {"patch", "time", "cells"}
    merged = patches.patch.merge("first")
    xr.testing.assert_allclose(merged.transpose(*ds["a"].dims).fillna(0), ds["a"])
    assert merged.dggs.grid_info == field.dggs.grid_info


@pytest.mark.parametrize(
    "sampler",
    [
        xpatch.Random(9, seed=0),
        xpatch.FibonacciSphere(30),
        xpatch.PoissonDisk(2500.0, seed=0),
        xpatch.Valid(xpatch.EveryElement(), min_fraction=0.8),
        xpatch.Within(xpatch.EveryElement(), shapely.box(-20, -40, 80, 60)),
    ],
    ids=lambda s: type(s).__name__,
)
def test_samplers(sampler):
    field = healpix(2).where(lambda f: f.cell_ids > 20)
    for geometry in GEOMETRIES.values():
        patches = field.patch.split(geometry=geometry, sampler=sampler)
        assert patches.sizes["patch"]
        merged = patches.patch.merge("first")
        there = merged.notnull()
        xr.testing.assert_equal(merged.where(there), field.where(there))


def test_samplers_by_values_of_cells():
    field = healpix(2)
    labels = field.cell_ids // 96
    for sampler in (
        xpatch.ByClass(6, labels=labels, seed=0),
        xpatch.Random(6, weights=field, seed=0),
    ):
        assert field.patch.split(geometry=xpatch.KHopGraph(1), sampler=sampler).sizes["patch"] == 6
        with pytest.raises(ValueError, match="patches of Parents are anchored at none"):
            field.patch.split(geometry=xpatch.Parents(1), sampler=sampler)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_windows_go_by_distance_and_cancel(geometry):
    field = healpix(2)
    patches = field.patch.split(geometry=geometry, window=xpatch.Hann())
    xr.testing.assert_allclose(patches.patch.merge(xpatch.OverlapAdd("hann")), field)
    mean = (field.patch.split(geometry=geometry) + 1).patch.merge("mean")
    xr.testing.assert_allclose(mean, field + 1)


def test_models_and_writing(tmp_path):
    field = healpix(2)
    smooth = field.patch.apply(lambda p: p.mean("cells"), geometry=xpatch.KHopGraph(1))
    table = touching(field, 1)
    means = [field.values[[k, *near]].mean() for k, near in enumerate(table)]
    expected = [np.mean([means[o] for o in [k, *near]]) for k, near in enumerate(table)]
    np.testing.assert_allclose(smooth, expected)
    assert smooth.dggs.grid_info == field.dggs.grid_info
    lazy = field.chunk(cells=50).patch.apply(lambda p: p * 2, geometry=xpatch.KHopGraph(1))
    xpatch.write(lazy, tmp_path / "out.zarr")
    with xr.open_zarr(tmp_path / "out.zarr") as read:
        found = read.t.pipe(xdggs.decode, field.dggs.grid_info.to_dict())
        xr.testing.assert_allclose(found, field * 2)
        assert found.dggs.grid_info == field.dggs.grid_info


# ------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (healpix(1, which=[0, 1, 1, 5]), "more than once, the first is 1"),
        (healpix(1, which=[0, 48]), "no cells of healpix level 1, nested, .* position 1 is 48"),
        (healpix(1, which=[-1, 0, 1]), "position 0 is -1"),
        (on_cells(h3(1).cell_ids.values[:5], {"grid_name": "h3", "level": 2}), "no cells of h3"),
        (on_cells(np.array([7, 8], "u8"), {"grid_name": "h3", "level": 2}), "position 0 is 7"),
        (on_cells(np.arange(4), {"grid_name": "healpix"}, False), "which is no grid of xdggs"),
    ],
)
def test_wrong_ids_are_refused(field, message):
    for geometry in (xpatch.KNNGraph(2), xpatch.KHopGraph(1), xpatch.Parents(0)):
        with pytest.raises(ValueError, match=message):
            field.patch.split(geometry=geometry)


def test_boxes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"of cells of a global grid Parents\(level\)"):
        healpix(1).patch.split(geometry={"cells": 4})


def test_parents_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match=r"the field has cells of level 2; .*: Parents\(1\)"):
        healpix(2).patch.split(geometry=xpatch.Parents(3))
    grid = xr.DataArray(np.ones((3, 4)), {"lat": [0, 1, 2], "lon": [0, 1, 2, 3]})
    with pytest.raises(ValueError, match="field lies on GridDomain"):
        grid.patch.split(geometry=xpatch.Parents(0))
    for level, error in ((1.5, TypeError), (True, TypeError), (-1, ValueError)):
        with pytest.raises(error, match="level of Parents"):
            xpatch.Parents(level)


def test_cells_of_several_levels_have_places_but_no_neighbors():
    from healpix_geo import nested

    if "zuniq" not in xdggs.HealpixInfo.valid_parameters["indexing_scheme"]:
        pytest.skip("an xdggs without them")
    ids = nested.to_zuniq(np.arange(40, dtype="u8"), 2)
    attrs = {"grid_name": "healpix", "level": None, "indexing_scheme": "zuniq"}
    field = on_cells(ids, attrs)
    one = healpix(2, which=np.arange(40))
    mine, theirs = (f.patch.split(geometry=xpatch.KNNGraph(4)) for f in (field, one))
    np.testing.assert_array_equal(mine.cells, theirs.cells)
    with pytest.raises(ValueError, match="nothing says which cells"):
        field.patch.split(geometry=xpatch.KHopGraph(1))
    with pytest.raises(ValueError, match="cells of several levels"):
        field.patch.split(geometry=xpatch.Parents(1))


def test_patches_of_another_grid_are_refused():
    nested, ring = healpix(1), healpix(1, "ring")
    patches = nested.patch.split(geometry=xpatch.KHopGraph(1))
    with pytest.raises(ValueError, match="another grid, healpix level 1, ring"):
        patches.patch.merge(like=ring)
    with pytest.raises(ValueError, match="another grid, healpix level 2, nested"):
        patches.patch.merge(like=healpix(2))


@pytest.mark.parametrize("scheme", ["nested", "ring"])
def test_cells_of_healpix_are_equally_large(scheme):
    field = healpix(2, scheme)
    area = field.patch.area
    np.testing.assert_allclose(area, 4 * np.pi * 6371008.8**2 / 192, rtol=1e-12)
    assert area.attrs == {"standard_name": "cell_area", "units": "m2"}
    patches = field.isel(cells=slice(50)).patch.split(geometry=xpatch.Parents(1))
    found = patches.patch.area
    assert found.dims == patches.dims
    np.testing.assert_array_equal(found > 0, patches.patch.mask)


def test_cells_of_h3_are_polygons_that_fill_the_globe():
    areas = h3(1).patch.area.values
    np.testing.assert_allclose(areas.sum(), 4 * np.pi * 6371008.8**2, rtol=1e-9)
    ranked = np.sort(areas)  # the twelve pentagons are the smallest
    assert ranked[11] * 1.1 < ranked[12]


# ------------------------------------------------------------------------------------ hops at places


@pytest.mark.parametrize(
    "field", [healpix(3), healpix(3, "ring"), h3(2)], ids=["nested", "ring", "h3"]
)
def test_hops_begin_in_the_cell_that_holds_a_place(field):
    r = np.random.default_rng(2)
    lon, lat = r.uniform(-180, 180, 400), np.rad2deg(np.arcsin(r.uniform(-1, 1, 400)))
    at = xpatch.Explicit(lon=lon, lat=lat)
    patches = field.patch.split(geometry=xpatch.KHopGraph(1), sampler=at)
    held = field.dggs.grid_info.geographic2cell_ids(lon=lon, lat=lat)
    np.testing.assert_array_equal(field.cell_ids.values[patches["cells"].values[:, 0]], held)


@pytest.mark.parametrize("geometry", [xpatch.KHopGraph(1), xpatch.Parents(2)], ids=repr)
def test_places_outside_of_a_region_have_no_cells(geometry):
    whole = healpix(3)
    center = whole.dggs.cell_centers()
    north = whole[(center.latitude > 0).values]
    at = {"lon": [10.0, 20.0, 30.0], "lat": [40.0, -60.0, 50.0]}
    with pytest.raises(ValueError, match="1 of 3 anchors, the first at \\(20, -60\\)"):
        north.patch.split(geometry, sampler=xpatch.Explicit(at))
    kept = north.patch.split(geometry, sampler=xpatch.Explicit(at, empty="keep"))
    assert kept.isnull().all("cells").values.tolist() == [False, True, False]
    dropped = north.patch.split(geometry, sampler=xpatch.Explicit(at, empty="drop"))
    assert dropped.sizes["patch"] == 2


# ------------------------------------------------------------------- what comes along on other cells


GIVEN = {
    "where of KHopGraph": lambda f, g: f.patch.split(xpatch.KHopGraph(1, where=g > 1.5)),
    "where of Valid": lambda f, g: f.patch.split(
        xpatch.KHopGraph(1), sampler=xpatch.Valid(xpatch.EveryElement(), 0.5, where=g > 1.5)
    ),
    "weights": lambda f, g: f.patch.split(
        xpatch.KHopGraph(1), sampler=xpatch.Random(9, seed=0, weights=g)
    ),
    "labels": lambda f, g: f.patch.split(
        xpatch.KHopGraph(1), sampler=xpatch.ByClass(3, (g > 1.5).astype(int), seed=0)
    ),
}


@pytest.mark.parametrize("what", GIVEN)
@pytest.mark.parametrize("grid", [healpix, h3])
@pytest.mark.parametrize("plain", [False, True])
def test_what_comes_along_lies_on_the_cells_of_the_field(what, grid, plain):
    field = grid()
    turned = field[::-1]
    turned = turned.drop_indexes("cell_ids") if plain else turned
    with pytest.raises(ValueError, match="'cell_ids' in another order"):
        GIVEN[what](field, turned)
    there = GIVEN[what](field, field)
    assert GIVEN[what](field, field[::-1].reindex_like(field)).equals(there)
    assert GIVEN[what](field, field.drop_vars("cell_ids")).equals(there)


@pytest.mark.parametrize("what", GIVEN)
def test_cells_beside_those_of_the_field(what):
    field, other = healpix(which=range(100)), healpix(which=range(50, 150))
    with pytest.raises(ValueError, match="other labels along 'cell_ids'"):
        GIVEN[what](field, other)


# ------------------------------------------------------------------------------- names and numbers


def test_a_renamed_dimension_says_how_to_mend_the_index():
    field = healpix(2).rename(cells="pix")
    with pytest.raises(ValueError, match=r"'cell_ids' lie along 'cells'.*drop_vars") as said:
        field.patch.split(geometry=xpatch.KHopGraph(1))
    call = str(said.value).split("anew: ")[1]
    mended = eval(call, {"field": field, "xdggs": xdggs})
    assert mended.patch.split(geometry=xpatch.KHopGraph(1)).sizes == {"patch": 192, "pix": 9}


def test_parents_at_places_carry_their_number():
    field = healpix(3)
    at = {"lon": [3.0, 50.0, -120.0], "lat": [4.0, -7.0, 80.0]}
    patches = field.patch.split(geometry=xpatch.Parents(1), sampler=xpatch.Explicit(at))
    held = xdggs.HealpixInfo(1, indexing_scheme="nested").geographic2cell_ids(**at)
    np.testing.assert_array_equal(patches.anchor, held)
    np.testing.assert_array_equal(patches.cell_ids // 16, np.repeat(held[:, None], 16, axis=1))
    numbered = field.patch.split(geometry=xpatch.Parents(1), sampler=xpatch.Explicit([5, 40]))
    assert numbered.anchor.values.tolist() == [5, 40]


def test_integers_with_a_number_that_means_missing_stay_what_they_are():
    large = healpix(3).copy(data=np.arange(768) + 2**60).assign_attrs(_FillValue=-1)
    patches = large.patch.split(geometry=xpatch.KHopGraph(1))
    assert patches.dtype == "i8"
    assert patches.patch.merge("first").identical(large)


def test_patches_of_a_file_know_where_they_are_anchored(tmp_path):
    field = healpix(3)
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        xr.testing.assert_allclose(read.patch.places, patches.patch.places)
        division = {"shares": {"train": 0.6, "test": 0.4}, "block": 30.0}
        shares, block = division.values()
        xr.testing.assert_equal(
            read.patch.sets(shares, block=block).drop_vars(read.coords, errors="ignore"),
            patches.patch.sets(shares, block=block).drop_vars(patches.coords, errors="ignore"),
        )
        assert repr(read.patch).splitlines()[1:] == repr(patches.patch).splitlines()[1:]
        with pytest.raises(ValueError, match="edges, geometries, outlines and pictures"):
            _ = read.patch.edges


def test_labels_come_back_under_their_name_from_files(tmp_path):
    attrs = {"grid_name": "healpix", "level": 2, "indexing_scheme": "nested"}
    ids = np.arange(192, dtype="u8")
    field = xr.DataArray(np.arange(192.0), {"cell_ids": ("cell_ids", ids, attrs)}, name="v")
    field.patch.split(xpatch.Parents(1)).to_netcdf(tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc") as stored:
        merged = stored["v"].patch.merge()
    assert list(merged.coords) == ["cell_ids"]
    np.testing.assert_array_equal(merged.cell_ids, ids)
    xr.testing.assert_identical(merged, field.dggs.decode(name="cell_ids"))


def test_few_patches_are_pickled_without_what_is_found_again():
    field = healpix(5)
    patches = field.patch.split(xpatch.Parents(1))
    few = patches.isel(patch=[0])
    assert len(pickle.dumps(few)) < 3 * field.cell_ids.nbytes + len(
        pickle.dumps(patches.xindexes["patch"].plans[0].hood)
    )
    xr.testing.assert_identical(pickle.loads(pickle.dumps(few)), few.load())


def test_slots_of_no_cell_have_no_area_in_patches_of_files(tmp_path):
    field = healpix(2, which=np.arange(5, 60), dtype="u8")
    patches = field.patch.split(geometry=xpatch.Parents(0))
    patches.to_netcdf(tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc") as stored:
        areas = stored["t"].patch.area.load()
    assert (areas.values == 0).sum() == patches.isnull().sum() == 4 * 16 - 55
    np.testing.assert_allclose(areas.sum(), field.patch.area.sum())


def test_cells_are_anchors_of_their_parent_where_their_center_lies_beyond_it():
    from h3ronpy.vector import coordinates_to_cells

    field = h3(2)
    field = field.assign_coords(cells=np.arange(field.size))
    parents = h3_parent(field.cell_ids.values, 0)
    lat, lon = (np.asarray(a) for a in xpatch.domain_of(field).sites().lonlat[::-1])
    beyond = np.flatnonzero(np.asarray(coordinates_to_cells(lat, lon, 0)) != parents)
    assert len(beyond)
    at = xpatch.Explicit({"cells": beyond[:5]})
    patches = field.patch.split(geometry=xpatch.Parents(0), sampler=at)
    for k, found in zip(beyond, members(patches), strict=False):
        assert found == np.flatnonzero(parents == parents[k]).tolist()


def test_windows_do_not_end_at_the_outermost_child():
    patches = healpix(3).patch.split(geometry=xpatch.Parents(1))
    (part,) = patches.xindexes["patch"].plans[0].lists
    np.testing.assert_allclose(part.scales, patches.patch.distance.max("cells") * 17 / 16)


@pytest.mark.parametrize("field", [healpix(2), h3(1)], ids=["healpix", "h3"])
def test_outlines_lie_around_their_centers_across_the_dateline_too(field):
    cells = xpatch.domain_of(field).sites().cells
    lon, lat = cells.centers
    which = np.flatnonzero(np.abs(lat) < 60)
    west, _, east, _ = shapely.bounds(cells.outlines(which)).T
    assert ((west < lon[which]) & (lon[which] < east)).all()
    assert (east - west).max() < 60
