"""Offsets from the anchor against great circles of PROJ, differences of labels, and distances."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings

import xpatch
from tests import element_strategies as own

RADIUS = 6371008.8
GEOD = pyproj.Geod(a=RADIUS, b=RADIUS)
CAP, KNN, RING = xpatch.SphericalCap(4500.0), xpatch.KNNGraph(7), xpatch.RadiusGraph(4500.0)


def stations(n=80, seed=0):
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-180, 180, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    coords = {"lon": ("obs", lon), "lat": ("obs", lat), "time": np.arange(2)}
    return xr.DataArray(rng.random((2, n)), coords, ("time", "obs"), name="t")


def grid(step=15.0, west=-180.0, dims=("lat", "lon")):
    lat, lon = np.arange(-90, 91, step), np.arange(west, west + 360, step)
    values = np.random.default_rng(0).random((len(lat), len(lon)))
    return xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"), name="t").transpose(*dims)


def curvilinear(rows=7, columns=9):
    j, i = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    lon, lat = 170 + 3.0 * i - 0.7 * j, 60 + 2.0 * j + 0.4 * i
    coords = {
        "lat": (("j", "i"), lat, {"units": "degrees_north"}),
        "lon": (("j", "i"), (lon + 180) % 360 - 180, {"units": "degrees_east"}),
    }
    return xr.DataArray(lon * 1.0, coords, ("j", "i"), name="t")


def raster(n=9, step=1000.0):
    import rioxarray  # noqa: F401

    x, y = 500_000 + np.arange(n) * step, 5_400_000 - np.arange(n + 1) * step
    values = np.arange(float(n * (n + 1))).reshape(n + 1, n)
    return xr.DataArray(values, {"y": y, "x": x}, ("y", "x"), name="t").rio.write_crs(32633)


def places(polygons=False):
    import xvec  # noqa: F401

    xy = np.random.default_rng(0).uniform((-20, 40), (20, 70), (30, 2))
    shapes = shapely.buffer(shapely.points(xy), 0.5) if polygons else shapely.points(xy)
    field = xr.DataArray(np.arange(30.0), {"geometry": shapes}, ("geometry",), name="t")
    return field.xvec.set_geom_indexes("geometry", crs=4326)


def mesh():
    import uxarray as ux

    values = xr.DataArray(np.arange(float(own.mesh().n_face)), dims="n_face", name="t")
    return ux.UxDataArray(values, uxgrid=own.mesh())


def lonlat(field):
    """Longitude and latitude of all elements, or of all cells of a grid, in order."""
    sites = xpatch.domain_of(field).sites()
    return sites.lonlat


def by_proj(lon0, lat0, lon, lat):
    """East and north of PROJ in km."""
    azimuth, _, meters = GEOD.inv(lon0, lat0, lon, lat)
    return np.sin(np.deg2rad(azimuth)) * meters / 1e3, np.cos(np.deg2rad(azimuth)) * meters / 1e3


FIELDS = {
    "stations": stations,
    "grid": grid,
    "grid from 0 to 360": lambda: grid(west=0.0),
    "columns first": lambda: grid(dims=("lon", "lat")),
    "curvilinear": curvilinear,
    "points": places,
    "mesh": mesh,
}


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("geometry", [CAP, KNN, RING], ids=str)
def test_the_length_is_the_distance(kind, geometry):
    patches = FIELDS[kind]().patch.split(geometry=geometry)
    found, distance = patches.patch.offsets, patches.patch.distance
    assert set(found.data_vars) == {"east", "north"}
    assert found.east.dims == distance.dims
    assert found.east.attrs["units"] == "km"
    np.testing.assert_allclose(np.hypot(found.east, found.north), distance, rtol=1e-9, atol=1e-9)
    assert float(distance.max()) > 100


@pytest.mark.parametrize("geometry", [xpatch.SphericalCap(400.0), xpatch.KNNGraph(4)], ids=str)
def test_polygons_count_by_their_centroids(geometry):
    patches = places(polygons=True).patch.split(geometry=geometry)
    found = patches.patch.offsets
    length = np.hypot(found.east, found.north)
    np.testing.assert_allclose(length, patches.patch.distance, rtol=1e-9, atol=1e-9)


def test_caps_of_a_projected_raster_are_on_the_sphere():
    field = raster()
    patches = field.patch.split(geometry=xpatch.SphericalCap(2.5))
    found = patches.patch.offsets
    length = np.hypot(found.east, found.north)
    np.testing.assert_allclose(length, patches.patch.distance, rtol=1e-9, atol=1e-9)
    to_lonlat = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    lon, lat = to_lonlat.transform(*np.meshgrid(field.x, field.y))
    k = 44
    cells = patches.cell.values[k]
    cells = cells[cells >= 0]
    expected = by_proj(
        np.full(len(cells), lon.flat[k]),
        np.full(len(cells), lat.flat[k]),
        lon.flat[cells],
        lat.flat[cells],
    )
    np.testing.assert_allclose(found.east[k, : len(cells)], expected[0], atol=1e-6)
    np.testing.assert_allclose(found.north[k, : len(cells)], expected[1], atol=1e-6)


@pytest.mark.parametrize("kind", ["stations", "grid", "curvilinear", "mesh"])
def test_directions_are_those_of_proj(kind):
    field = FIELDS[kind]()
    patches = field.patch.split(geometry=KNN)
    lon, lat = lonlat(field)
    (slot,) = patches.patch.distance.dims[1:]
    members, anchor = patches[slot].values, patches.anchor_element.values
    regular = np.abs(lat[anchor]) < 89.999  # at a pole azimuths are a matter of convention
    anchor, members = anchor[regular], members[regular]
    lon0, lat0 = (np.broadcast_to(v[anchor][:, None], members.shape) for v in (lon, lat))
    east, north = by_proj(lon0, lat0, lon[members], lat[members])
    found = patches.patch.offsets.isel(patch=regular)
    np.testing.assert_allclose(found.east, east, atol=1e-5)
    np.testing.assert_allclose(found.north, north, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(
    lon0=st.floats(-180, 360),
    lat0=st.floats(-90, 90),
    lon=st.floats(-180, 360),
    lat=st.floats(-90, 90),
)
def test_any_two_points(lon0, lat0, lon, lat):
    coords = {"lon": ("obs", [lon0, lon]), "lat": ("obs", [lat0, lat])}
    field = xr.DataArray([0.0, 1.0], coords, ("obs",))
    patches = field.patch.split(geometry=xpatch.KNNGraph(2))
    found = patches.patch.offsets
    length = np.hypot(found.east, found.north)
    np.testing.assert_allclose(length, patches.patch.distance, rtol=1e-9, atol=1e-4)
    assert np.hypot(found.east, found.north).max() <= np.pi * RADIUS / 1e3 * (1 + 1e-12)


def test_empty_slots_have_none():
    patches = stations().patch.split(geometry=CAP)
    found = patches.patch.offsets
    assert not patches.patch.mask.all()
    for name in ("east", "north"):
        np.testing.assert_array_equal(found[name].notnull(), patches.patch.mask)


@pytest.mark.parametrize("geometry", [KNN, xpatch.RadiusGraph(25.0)], ids=str)
def test_in_the_plane_they_are_differences_of_coordinates(geometry):
    xy = np.random.default_rng(0).uniform(0, 100, (40, 2))
    coords = {"x": ("obs", xy[:, 0]), "y": ("obs", xy[:, 1])}
    patches = xr.DataArray(np.zeros(40), coords, ("obs",)).patch.split(geometry=geometry)
    found = patches.patch.offsets
    assert set(found.data_vars) == {"d_x", "d_y"}
    distance = patches.patch.distance
    np.testing.assert_allclose(np.hypot(found.d_x, found.d_y), distance, rtol=1e-9, atol=1e-9)
    members = patches["obs"].values
    at = np.where(members >= 0, members, 0)
    expected = xy[at, 0] - xy[np.arange(40), 0][:, None]
    np.testing.assert_allclose(found.d_x.where(found.d_x.notnull(), 0), (members >= 0) * expected)


def test_discs_on_a_projected_raster_are_in_its_units():
    field = raster()
    patches = field.patch.split(geometry=xpatch.RadiusGraph(1500.0))
    found = patches.patch.offsets
    np.testing.assert_allclose(np.hypot(found.d_x, found.d_y), patches.patch.distance, atol=1e-9)
    assert set(np.unique(found.d_y.values[44]).tolist()) >= {-1000.0, 0.0, 1000.0}
    row, column = divmod(int(patches.cell.values[44, 1]), 9)
    assert float(found.d_y[44, 1]) == float(field.y[row] - field.y[44 // 9])
    assert float(found.d_x[44, 1]) == float(field.x[column] - field.x[44 % 9])


def test_selected_and_repeated_patches_keep_theirs():
    patches = stations().patch.split(geometry=KNN)
    found = patches.patch.offsets
    some = [5, 70, 5, 0]
    xr.testing.assert_equal(patches.isel(patch=some).patch.offsets, found.isel(patch=some))


@pytest.mark.parametrize("geometry", [{"lat": 4, "lon": 3}, CAP], ids=str)
def test_a_single_patch_has_its_own(geometry):
    patches = grid().patch.split(geometry=geometry)
    found = patches.isel(patch=3).patch.offsets
    assert patches.isel(patch=3).patch.mask.sizes["patch"] == 1  # as other properties have it
    np.testing.assert_allclose(found.east, patches.patch.offsets.east[3:4])


def test_anchors_beside_the_elements():
    at = {"lon": [179.0, -30.0], "lat": [89.5, 12.0]}
    patches = stations().patch.split(geometry=KNN, sampler=xpatch.Explicit(at))
    found = patches.patch.offsets
    length = np.hypot(found.east, found.north)
    np.testing.assert_allclose(length, patches.patch.distance, rtol=1e-9)
    lon, lat = lonlat(stations())
    members = patches.obs.values
    shape = members.shape
    lon0, lat0 = (np.broadcast_to(np.array(at[d])[:, None], shape) for d in ("lon", "lat"))
    east, north = by_proj(lon0, lat0, lon[members], lat[members])
    np.testing.assert_allclose(found.east, east, atol=1e-6)
    np.testing.assert_allclose(found.north, north, atol=1e-6)


# --------------------------------------------------------------------------------------- boxes


def anchor_labels(patches, field):
    at = patches.patch.anchors
    return at["lon"].values % 360, at["lat"].values


@pytest.mark.parametrize("dims", [("lat", "lon"), ("lon", "lat")])
@pytest.mark.parametrize("boundary", ["shift", {"lon": "wrap"}], ids=str)
@pytest.mark.parametrize("west", [-180.0, 0.0])
def test_boxes_on_the_sphere_are_those_of_proj(dims, boundary, west):
    field = grid(10.0, west, dims).isel(lat=slice(1, -1))
    geometry = xpatch.Rectangular({"lat": 4, "lon": 5}, boundary=boundary)
    patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(3))
    found = patches.patch.offsets
    assert set(found.data_vars) == {"east", "north"}
    at = patches.patch.anchors
    lon, lat, lon0, lat0 = xr.broadcast(patches.lon, patches.lat, at.lon, at.lat)
    order = found.east.dims
    args = (v.transpose(*order).values for v in (lon0, lat0, lon, lat))
    east, north = by_proj(*args)
    np.testing.assert_allclose(found.east, east, atol=1e-5)
    np.testing.assert_allclose(found.north, north, atol=1e-5)
    middle = found.isel(lat=2, lon=2)
    assert float(abs(middle.east).max()) == float(abs(middle.north).max()) == 0


def test_boxes_across_the_seam_go_on_to_the_east():
    field = grid(10.0, 0.0).isel(lat=slice(8, 11))
    geometry = xpatch.Rectangular({"lat": 3, "lon": 6}, boundary={"lon": "wrap"})
    patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(lat=3, lon=3))
    east = patches.patch.offsets.east.values
    assert (np.diff(east, axis=2) > 0).all()
    np.testing.assert_allclose(east, np.broadcast_to(east[:1], east.shape), atol=1e-8)


@pytest.mark.parametrize("down", [True, False])
def test_projected_boxes_have_differences_of_labels(down):
    field = raster()
    field = field if down else field.isel(y=slice(None, None, -1))
    patches = field.patch.split(geometry={"y": 4, "x": 3}, sampler=xpatch.RegularStride(2))
    found = patches.patch.offsets
    assert {n: v.dims for n, v in found.data_vars.items()} == {
        "d_y": ("patch", "y"),
        "d_x": ("patch", "x"),
    }
    at = patches.patch.anchors
    np.testing.assert_allclose(found.d_y, patches.y - at.y)
    np.testing.assert_allclose(found.d_x, patches.x - at.x)
    assert found.d_y[0, 0] == (2000 if down else -2000)


def test_cells_are_counted_where_there_are_no_labels():
    field = xr.DataArray(np.zeros((9, 8)), dims=("y", "x"))
    found = field.patch.split(geometry={"y": 4, "x": 3}).patch.offsets
    np.testing.assert_array_equal(found.d_y, np.broadcast_to([-2.0, -1, 0, 1], (9, 4)))
    np.testing.assert_array_equal(found.d_x, np.broadcast_to([-1.0, 0, 1], (9, 3)))


@pytest.mark.parametrize("boundary", ["pad", "wrap"])
def test_cells_beyond_the_edge_go_on(boundary):
    field = xr.DataArray(np.zeros(10), {"x": np.arange(10) * 2.0}, ("x",))
    geometry = xpatch.Rectangular(x=4, boundary=boundary)
    found = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(3)).patch.offsets
    assert found.sizes["patch"] > 3
    np.testing.assert_allclose(found.d_x, np.broadcast_to([-4.0, -2, 0, 2], found.d_x.shape))


def test_crop_leaves_the_anchor_where_it_was():
    field = raster()
    patches = field.patch.split(geometry={"y": 5, "x": 5})
    whole, inner = patches.patch.offsets, patches.patch.crop(y=(2, 1), x=1).patch.offsets
    np.testing.assert_array_equal(inner.d_y, whole.d_y[:, 2:4])
    np.testing.assert_array_equal(inner.d_x, whole.d_x[:, 1:4])
    globe = grid().patch.split(geometry={"lat": 5, "lon": 5})
    cropped = globe.patch.crop(lat=(0, 2), lon=(1, 1)).patch.offsets
    xr.testing.assert_equal(cropped, globe.patch.offsets.isel(lat=slice(0, 3), lon=slice(1, 4)))


def test_curvilinear_boxes_are_those_of_proj():
    field = curvilinear()
    patches = field.patch.split(geometry={"j": 3, "i": 4}, sampler=xpatch.RegularStride(2))
    found = patches.patch.offsets
    assert found.east.dims == ("patch", "j", "i")
    lon0, lat0 = (patches[d].isel(j=1, i=2) for d in ("lon", "lat"))
    args = xr.broadcast(lon0, lat0, patches.lon, patches.lat)
    east, north = by_proj(*(v.transpose("patch", "j", "i").values for v in args))
    np.testing.assert_allclose(found.east, east, atol=1e-6)
    np.testing.assert_allclose(found.north, north, atol=1e-6)


def test_padded_curvilinear_boxes_have_none_beyond_the_edge():
    field = curvilinear()
    patches = field.patch.split(geometry=xpatch.Rectangular({"j": 4, "i": 4}, boundary="pad"))
    found = patches.patch.offsets
    inside = patches.patch.mask
    assert not inside.all()
    np.testing.assert_array_equal(found.east.notnull(), inside)
    assert found.east.dtype == "f8"


def test_vertical_dimensions_and_others_stand_beside():
    lat, lon = np.arange(40, 60, 2.0), np.arange(0, 20, 2.0)
    coords = {"level": [1000.0, 850, 500, 200], "lat": lat, "lon": lon}
    field = xr.DataArray(np.zeros((4, 10, 10)), coords, ("level", "lat", "lon"))
    found = field.patch.split(geometry={"level": 3, "lat": 5, "lon": 5}).patch.offsets
    assert set(found.data_vars) == {"east", "north", "d_level"}
    assert found.d_level.dims == ("patch", "level")
    assert found.d_level.values[0].tolist() == [150, 0, -350]
    alone = field.patch.split(geometry={"level": 3, "lat": 5}).patch.offsets
    assert set(alone.data_vars) == {"d_level", "d_lat"}  # without a longitude there is no east
    assert alone.d_lat.values[0].tolist() == [-4, -2, 0, 2, 4]


# ---------------------------------------------------------------------------------------- time


def series(calendar=None, n=40):
    time = xr.date_range(
        "2000-01-01", periods=n, calendar=calendar or "standard", use_cftime=calendar is not None
    )
    return xr.DataArray(np.arange(float(n)), {"time": time}, ("time",), name="t")


@pytest.mark.parametrize("calendar", [None, "noleap", "360_day"])
def test_windows_have_durations(calendar):
    patches = series(calendar).patch.split(
        xpatch.TimePatcher(xpatch.LookbackHorizon(3, 2), xpatch.RegularTimeStride(5))
    )
    found = patches.patch.offsets.d_time
    assert found.dims == ("patch", "time")
    days = found.values / np.timedelta64(1, "D")
    np.testing.assert_array_equal(days, np.broadcast_to([-2.0, -1, 0, 1, 2], days.shape))


@pytest.mark.parametrize("calendar", [None, "noleap"])
def test_windows_of_a_record_with_gaps_have_durations_too(calendar):
    field = series(calendar).isel(time=[k for k in range(40) if k not in (7, 8, 20)])
    patches = field.patch.split(
        xpatch.TimePatcher(xpatch.FixedLookback("5D"), xpatch.RegularTimeStride(3))
    )
    found = patches.patch.offsets.d_time
    assert found.dtype.kind == "m"
    anchors = patches.patch.anchors.time.values
    numbers = patches.time_number.values
    for k, row in enumerate(numbers):
        held = row >= 0
        far = [pd.Timedelta(t - anchors[k]) for t in field.time.values[row[held]]]
        assert [pd.Timedelta(v) for v in found.values[k][held]] == far
        assert np.isnat(found.values[k][~held]).all()


def test_windows_of_numbered_steps():
    field = xr.DataArray(np.zeros(20), {"time": np.arange(20) * 10}, ("time",))
    patches = field.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(3)))
    found = patches.patch.offsets.d_time
    np.testing.assert_array_equal(found, np.broadcast_to([-20.0, -10, 0], found.shape))


@pytest.mark.parametrize("geometry", [{"lat": 4, "lon": 4}, xpatch.SphericalCap(2000.0)], ids=str)
def test_space_and_time_have_those_of_both(geometry):
    time = pd.date_range("2000-01-01", periods=12)
    field = grid().expand_dims(time=time)
    windows = xpatch.TimePatcher(xpatch.FixedLookback(3), xpatch.RegularTimeStride(4))
    patches = field.patch.split(xpatch.SpatioTemporalPatcher(xpatch.Patcher(geometry), windows))
    found = patches.patch.offsets
    assert set(found.data_vars) == {"east", "north", "d_time"}
    places = field.isel(time=0).patch.split(geometry=geometry).patch.offsets
    at = patches.patch.anchors
    np.testing.assert_array_equal(found.east, places.east.values[at.place])
    days = found.d_time.values / np.timedelta64(1, "D")
    np.testing.assert_array_equal(days, np.broadcast_to([-2.0, -1, 0], days.shape))


# --------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("store", ["zarr", "netcdf"])
def test_boxes_that_were_read_back_have_the_same(tmp_path, store):
    patches = raster().drop_vars("spatial_ref").patch.split(geometry={"y": 4, "x": 3})
    again = read_back(patches, tmp_path, store)
    xr.testing.assert_equal(
        again.patch.offsets.drop_vars(["y", "x"], errors="ignore"),
        patches.patch.offsets.drop_vars(["y", "x"], errors="ignore"),
    )


def read_back(patches, path, store):
    if store == "zarr":
        patches.to_zarr(path / "p.zarr", consolidated=False)
        return xr.open_zarr(path / "p.zarr", consolidated=False)["t"].load()
    patches.to_netcdf(path / "p.nc")
    return xr.load_dataset(path / "p.nc")["t"]


@pytest.mark.parametrize("store", ["zarr", "netcdf"])
def test_latitude_and_longitude_that_were_read_back(tmp_path, store):
    patches = grid().patch.split(geometry={"lat": 4, "lon": 4})
    again = read_back(patches, tmp_path, store).patch.offsets
    for name in ("east", "north"):
        np.testing.assert_allclose(again[name], patches.patch.offsets[name])


@pytest.mark.parametrize("store", ["zarr", "netcdf"])
@pytest.mark.parametrize(
    "make",
    [lambda: stations().patch.split(geometry=KNN), lambda: stations().patch.split(geometry=CAP)],
    ids=["knn", "caps"],
)
def test_stations_that_were_read_back_say_what_is_missing(tmp_path, store, make):
    again = read_back(make(), tmp_path, store)
    with pytest.raises(ValueError, match="read from a file do not know where"):
        _ = again.patch.offsets


def test_grids_in_lists_that_were_read_back_know_their_labels(tmp_path):
    patches = grid().patch.split(geometry=CAP)
    again = read_back(patches, tmp_path, "netcdf").patch.offsets
    np.testing.assert_allclose(again.east, patches.patch.offsets.east)


def test_curvilinear_boxes_that_were_read_back_say_what_is_missing(tmp_path):
    again = read_back(curvilinear().patch.split(geometry={"j": 3, "i": 4}), tmp_path, "netcdf")
    with pytest.raises(ValueError, match="read from a file do not know where"):  # no cells instead
        _ = again.patch.offsets


def test_windows_that_were_read_back_have_durations(tmp_path):
    patches = series().patch.split(xpatch.TimePatcher(xpatch.FixedLookback("5D")))
    again = read_back(patches, tmp_path, "netcdf").patch.offsets
    np.testing.assert_array_equal(again.d_time, patches.patch.offsets.d_time)
