"""Square windows on scattered elements, against brute force: great circles, shapely boxes."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xpatch
from xpatch import EveryElement, Explicit, FibonacciSphere, Rectangular, RegularStride

R = 6371.0088


def stations(n=150, seed=0, west=0.0):
    rng = np.random.default_rng(seed)
    lat = np.r_[np.rad2deg(np.arcsin(rng.uniform(-1, 1, n - 4))), 90, -90, 89.9, -89.95]
    lon = rng.uniform(west, west + 360, n)
    coords = {"lat": ("station", lat), "lon": ("station", lon), "time": np.arange(3)}
    return xr.DataArray(rng.random((n, 3)), coords, ("station", "time"), name="t")


def points(n=120, **attrs):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(3e5, 4e5, n), rng.uniform(5e6, 5.1e6, n)
    return xr.DataArray(
        rng.random(n), {"x": ("p", x, attrs), "y": ("p", y, attrs)}, ("p",), name="v"
    )


def members(patches, dim):
    return [set(row[row >= 0].tolist()) for row in patches[dim].values]


def in_box(field, lat0, lon0, high, wide):
    """The elements in a box of so many km."""
    lat, lon = field.lat.values, field.lon.values
    east = np.abs((lon - lon0 + 180) % 360 - 180)
    up = np.deg2rad(np.abs(lat - lat0)) * R <= high / 2
    across = np.deg2rad(east) * np.cos(np.deg2rad(lat0)) * R <= wide / 2
    return set(np.flatnonzero(up & across).tolist())


# -------------------------------------------------------------------------------- who is inside


@pytest.mark.parametrize("west", [0.0, -180.0])
@pytest.mark.parametrize(("high", "wide"), [(300, 300), (1000, 4000), (6000, 900), (30000, 50000)])
def test_boxes_in_km_hold_what_great_circles_say(high, wide, west):
    field = stations(west=west)
    patches = field.patch.split(geometry=Rectangular(lat=f"{high}km", lon=f"{wide}km"))
    assert patches.sizes["patch"] == 150
    for k, found in enumerate(members(patches, "station")):
        lat, lon = field.lat.values[k], field.lon.values[k]
        assert found == in_box(field, lat, lon, high, wide)
    assert (patches.station.values[:, 0] == np.arange(150)).all()  # the anchor comes first
    xr.testing.assert_allclose(patches.patch.merge(), field)


@settings(max_examples=25, deadline=None)
@given(
    lat=st.sampled_from([-90.0, -89.99, -45.0, 0.0, 60.0, 90.0]),
    lon=st.floats(-720, 720),
    km=st.sampled_from([200, 2000, 12000]),
)
def test_any_place_at_the_poles_and_across_the_dateline(lat, lon, km):
    field = stations()
    at = Explicit(lat=[lat], lon=[lon], empty="keep")
    patches = field.patch.split(geometry=Rectangular(f"{km}km"), sampler=at)
    assert members(patches, "station") == [in_box(field, lat, lon, km, km)]


def test_at_a_pole_a_box_holds_all_longitudes():
    field = stations(west=-180)
    near = field.patch.split(
        geometry=Rectangular("1000km"), sampler=Explicit(lat=[90.0], lon=[0.0])
    )
    far = np.deg2rad(90 - field.lat.values) * R
    assert members(near, "station") == [set(np.flatnonzero(far <= 500).tolist())]


@pytest.mark.parametrize(("lat", "count"), [(89.5, 7), (89.57, 7), (89.58, 8)])
def test_all_longitudes_are_in_a_box_wider_than_its_parallel(lat, count):
    """300 km are 2π R cos 89.571°; short of that the station on the other side is outside."""
    field = xr.DataArray(
        np.zeros(8), {"lat": ("s", np.full(8, lat)), "lon": ("s", np.arange(0, 360, 45.0))}, ("s",)
    )
    assert {*map(len, members(field.patch.split(geometry=Rectangular("300km")), "s"))} == {count}


@pytest.mark.parametrize("size", [{"lat": 2.0, "lon": 40.0}, {"lat": "300km", "lon": "2000km"}])
@pytest.mark.parametrize(("west", "east"), [(-720.0, 720.0), (-700.0, 100.0)])
def test_longitudes_may_go_around_several_times(size, west, east):
    """As those of a drifting buoy, or of a ship, that were made continuous."""
    lon = np.linspace(west, east, 300)
    coords = {"lon": ("s", lon), "lat": ("s", 10 * np.sin(lon))}
    field = xr.DataArray(np.arange(300.0), coords, ("s",))
    once = field.assign_coords(lon=("s", lon % 360)).patch.split(geometry=Rectangular(size))
    patches = field.patch.split(geometry=Rectangular(size))
    assert members(patches, "s") == members(once, "s")
    assert {*np.unique(patches.lon.values[patches.s.values >= 0])} == {*lon}


@pytest.mark.parametrize(("lat", "size"), [(-90, "10m"), (85, "1m")])
def test_little_is_looked_at_for_small_boxes(lat, size, monkeypatch):
    from xpatch.geometry.around import _Table

    looked, checked = [], _Table._checked
    monkeypatch.setattr(
        _Table,
        "_checked",
        lambda self, p, low, end, *rest: (
            looked.append((len(p), int((end - low).sum()))) or checked(self, p, low, end, *rest)
        ),
    )
    rng = np.random.default_rng(0)
    coords = {"lat": ("s", rng.uniform(lat, 90, 400)), "lon": ("s", rng.uniform(0, 360, 400))}
    field = xr.DataArray(np.zeros(400), coords, ("s",))
    assert field.patch.split(geometry=Rectangular(size)).sizes == {"patch": 400, "s": 1}
    rows, elements = np.sum(looked, axis=0)
    assert rows <= 9 * 400
    assert elements < 5 * 400


def test_degrees_are_degrees_of_longitude():
    field = stations()
    lat, lon = field.lat.values, field.lon.values
    patches = field.patch.split(geometry=Rectangular(lat=20.0, lon=30.0))
    for k, found in enumerate(members(patches, "station")):
        east = np.abs((lon - lon[k] + 180) % 360 - 180)
        assert found == set(np.flatnonzero((np.abs(lat - lat[k]) <= 10) & (east <= 15)).tolist())
    same = field.patch.split(geometry=Rectangular(latitude="20deg", longitude="30°"))
    assert members(same, "station") == members(patches, "station")


def test_both_edges_are_inside():
    lat = np.array([10.0, 11.0, 9.0, 11.001, 10.0, 10.0, 10.0])
    lon = np.array([179.9, 179.9, 179.9, 179.9, -179.1, -179.099, 178.9])
    field = xr.DataArray(np.zeros(7), {"lat": ("s", lat), "lon": ("s", lon)}, ("s",))
    patches = field.patch.split(geometry=Rectangular(lat=2.0, lon=2.0))
    assert members(patches, "s")[0] == {0, 1, 2, 4, 6}
    halves = xr.DataArray(
        np.zeros(5), {"x": ("s", np.arange(5.0)), "y": ("s", np.zeros(5))}, ("s",)
    )
    patches = halves.patch.split(geometry=Rectangular(x=2.0, y=1.0))
    assert members(patches, "s")[2] == {1, 2, 3}


def test_one_name_is_a_band():
    field = stations()
    patches = field.patch.split(geometry=Rectangular(lat="1500km"), window="hann")
    lat = field.lat.values
    for k, found in enumerate(members(patches, "station")):
        assert found == set(np.flatnonzero(np.deg2rad(np.abs(lat - lat[k])) * R <= 750).tolist())
    xr.testing.assert_allclose(patches.patch.merge(), field)


@pytest.mark.parametrize("size", [{"x": 2e4, "y": 1e4}, {"x": "20km", "y": "10000m"}])
def test_projected_points_as_shapely_has_it(size):
    shapely = pytest.importorskip("shapely")
    field = points(units="m")
    patches = field.patch.split(geometry=Rectangular(size))
    x, y = field.x.values, field.y.values
    for k, found in enumerate(members(patches, "p")):
        box = shapely.box(x[k] - 1e4, y[k] - 5e3, x[k] + 1e4, y[k] + 5e3)
        assert found == set(np.flatnonzero(shapely.intersects_xy(box, x, y)).tolist())
    far = np.hypot(x - x[3], y - y[3])
    own = patches.p.values[3]
    np.testing.assert_allclose(patches.patch.distance[3][own >= 0], far[own[own >= 0]])


def test_polygons_count_by_their_centroid():
    geopandas = pytest.importorskip("geopandas")
    xvec = pytest.importorskip("xvec")
    import shapely

    rng = np.random.default_rng(0)
    at = rng.uniform(0, 1e5, (40, 2))
    shapes = geopandas.GeoSeries(shapely.box(*at.T, *(at + 4000).T), crs=32632)
    field = xr.DataArray(rng.random(40), {"geom": shapes.values}, ("geom",))
    field = field.drop_indexes("geom").set_xindex("geom", xvec.GeometryIndex, crs=32632)
    patches = field.patch.split(geometry=Rectangular("30km"))
    for k, found in enumerate(members(patches, "geom")):
        assert found == set(np.flatnonzero((np.abs(at - at[k]) <= 15000).all(axis=1)).tolist())
    np.testing.assert_allclose(patches.patch.merge(), field)


def test_cells_of_a_curvilinear_grid():
    y, x = np.mgrid[0:12, 0:15]
    coords = {"lat": (("y", "x"), 40 + 0.5 * y + 0.1 * x), "lon": (("y", "x"), 0.6 * x - 0.1 * y)}
    field = xr.DataArray(np.random.default_rng(0).random((12, 15)), coords, ("y", "x"))
    patches = field.patch.split(geometry=Rectangular(lat="300km", lon="200km"))
    flat = field.stack(station=("y", "x"), create_index=False)
    for k, found in enumerate(members(patches, "cell")):
        lat, lon = flat.lat.values[k], flat.lon.values[k]
        assert found == in_box(flat, lat, lon, 300, 200)
    xr.testing.assert_allclose(patches.patch.merge(), field)


# -------------------------------------------------------------------------------------- samplers


def test_each_element_is_the_default():
    field = stations()
    geometry = Rectangular("2000km")
    every = field.patch.split(geometry=geometry, sampler=EveryElement())
    assert field.patch.split(geometry=geometry).equals(every)
    assert field.patch.split(xpatch.Patcher.from_spec(every.patch.spec)).equals(every)


@pytest.mark.parametrize("step", ["1500km", {"lat": 12.0, "lon": 20.0}])
def test_a_moving_grid_covers_every_element(step):
    field = stations()
    geometry = Rectangular(step)
    patches = field.patch.split(geometry=geometry, sampler=RegularStride(step), window="hann")
    xr.testing.assert_allclose(patches.patch.merge(), field)
    places = patches.patch.places
    for k, found in enumerate(members(patches, "station")):
        lat, lon = places.lat.values[k], places.lon.values[k]
        if step == "1500km":
            assert found == in_box(field, lat, lon, 1500, 1500)
    rows = np.unique(places.lat)
    step_y = 12.0 if step != "1500km" else np.rad2deg(1500 / R)
    from_south = (rows - field.lat.values.min()) / step_y
    inner = rows < 90
    np.testing.assert_allclose(from_south[inner], np.rint(from_south[inner]), atol=1e-9)


def test_a_moving_grid_of_projected_points():
    field = points(units="m")
    patches = field.patch.split(geometry=Rectangular("20km"), sampler=RegularStride(x=1e4, y=2e4))
    x, y = patches.patch.places.x.values, patches.patch.places.y.values
    west, south = field.x.values.min(), field.y.values.min()
    assert {*np.rint((x - west) / 1e4)} == set(range(11))
    assert {*np.rint((y - south) / 2e4)} == set(range(6))
    np.testing.assert_allclose(patches.patch.merge(), field)


def test_other_samplers():
    field = stations()
    geometry = Rectangular(lat="3000km", lon=30.0)
    for sampler, count in [
        (FibonacciSphere(50), 50),
        (xpatch.Random(9, seed=0), 9),
        (xpatch.AlongTrack({"lon": [0.0, 90.0], "lat": [0.0, 60.0]}, 1000.0), 11),
    ]:
        patches = field.patch.split(geometry=geometry, sampler=sampler)
        assert 0 < patches.sizes["patch"] <= count
    alone = Explicit(lat=[0.0, 45.0], lon=[359.9, 3.0])
    assert field.patch.split(geometry=geometry, sampler=alone).sizes["patch"] == 2
    caps = field.patch.split(
        geometry=xpatch.SphericalCap(2000), sampler=RegularStride(lat=30.0, lon=30.0)
    )
    assert caps.sizes["patch"] > 50  # a stride over the extent goes with lists of any kind


# ---------------------------------------------------------------------------------------- patches


def test_windows_end_at_the_corners():
    field = points(units="m")
    patches = field.patch.split(geometry=Rectangular("20km"), window="hann")
    corner = np.hypot(1e4, 1e4)
    far = patches.patch.distance.values[5]
    count = np.isfinite(far).sum()
    offset = np.minimum(far / corner, 1 - 0.5 / count)
    expected = np.where(np.isfinite(far), 0.5 + 0.5 * np.cos(np.pi * offset), 0)
    np.testing.assert_allclose(patches.patch.weights[5], expected, atol=1e-12)
    xr.testing.assert_allclose(patches.patch.merge(), field)


def test_files_dask_and_time(tmp_path):
    field = stations()
    geometry = Rectangular("3000km")
    patches = field.patch.split(geometry=geometry, window="hann")
    patches.to_netcdf(tmp_path / "p.nc")
    again = xr.open_dataarray(tmp_path / "p.nc")
    xr.testing.assert_allclose(again.patch.merge(like=field), field)
    lazy = field.chunk(station=40, time=2).patch.split(geometry=geometry)
    xr.testing.assert_allclose(lazy.patch.merge("median").compute(), field)
    both = field.patch.split(geometry=[geometry, xpatch.FixedLookback(2)])
    xr.testing.assert_allclose(both.patch.merge(), field)
    boxes = field.patch.split(geometry=Rectangular(time=2))
    assert dict(boxes.sizes) == {"patch": 2, "station": 150, "time": 2}


def test_stations_without_a_place_and_none_at_all():
    field = stations()
    lat = field.lat.values.copy()
    lat[[3, 7]] = np.nan
    lost = field.assign_coords(lat=("station", lat))
    with pytest.warns(UserWarning, match="2 of 150 without a place"):
        patches = lost.patch.split(geometry=Rectangular("2000km"))
    assert patches.sizes["patch"] == 148
    assert not {3, 7} & set.union(*members(patches, "station"))
    with pytest.raises(ValueError, match="finds no element around 1 of 1 anchors"):
        field.patch.split(geometry=Rectangular("1km"), sampler=Explicit(lat=[0.123], lon=[0.456]))


# ---------------------------------------------------------------------------------------- refusals


def split(size, field=None, **more):
    field = stations() if field is None else field
    return lambda: field.patch.split(geometry=Rectangular(size, **more))


REFUSED = {
    "cells": (
        split({"lat": 2, "lon": 2}),
        TypeError,
        r"the int 2.*no order in space.*2\.0.*'300km'",
    ),
    "cells for all": (split(8), TypeError, r"the int 8.*8\.0"),
    "no names": (split((2.0, 2.0)), ValueError, r"Rectangular\(lat=2.0, lon=2.0\)"),
    "the elements themselves": (
        split({"station": 5}),
        ValueError,
        r"'station' counts elements.*Rectangular\(lat='300km', lon='300km'\)",
    ),
    "with another dimension": (
        split({"lat": 2.0, "lon": 2.0, "time": 2}),
        ValueError,
        r"geometry=\[Rectangular\(…\), FixedLookback\(…\)\]",
    ),
    "a boundary": (split("300km", boundary="drop"), ValueError, "boundary='drop' is that of boxes"),
    "degrees of projected points": (split({"lat": 2.0}, points()), KeyError, "x and y"),
    "km of points without a CRS": (
        split("3km", points()),
        ValueError,
        "nothing says it.*units='m'",
    ),
    "degrees of meters": (split("3deg", points(units="m")), ValueError, "'y' is not"),
    "negative": (split({"lat": -2.0}), ValueError, "must be positive"),
    "a stride of rows": (
        lambda: stations().patch.split(geometry=Rectangular("9km"), sampler=RegularStride(2)),
        ValueError,
        r"RegularStride\(lat=1.0, lon=1.0\)",
    ),
    "a stride along one": (
        lambda: stations().patch.split(
            geometry=Rectangular("900km"), sampler=RegularStride(lat=2.0)
        ),
        ValueError,
        "one along x and one along y",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=f"(?s){message}"):
        call()


def test_strides_across_the_dateline_are_those_at_greenwich():
    lon = np.array([-2.0, -1, -0.5, 0.5, 1, 2])

    def anchors(first):
        at = {"lon": ("station", (first + lon + 180) % 360 - 180), "lat": ("station", lon * 0)}
        patcher = xpatch.Patcher(
            xpatch.Rectangular(lat=1.0, lon=1.0), xpatch.RegularStride(lat=1.0, lon=1.0)
        )
        return patcher.anchors(xr.DataArray(lon, at, ("station",)))

    there, here = anchors(180.0), anchors(0.0)
    assert len(there) == len(here) == 5


def test_strides_around_the_earth_make_one_turn():
    lon = np.arange(0.0, 360)
    field = xr.DataArray(lon, {"lon": ("station", lon), "lat": ("station", lon * 0)}, ("station",))
    patches = field.patch.split(
        geometry=xpatch.Rectangular(lat=40.0, lon=40.0),
        sampler=xpatch.RegularStride(lat=40.0, lon=40.0),
    )
    assert patches.sizes["patch"] == 9  # a tenth would be the first one again


def test_windows_end_at_the_corners_which_are_nearer_at_high_latitudes():
    lon = np.array([0.0, 0.5])
    at = {"lon": ("station", lon), "lat": ("station", np.full(2, 60.0))}
    field = xr.DataArray([1.0, 3.0], at, ("station",))
    patches = field.patch.split(
        geometry=xpatch.Rectangular(lat=2.0, lon=2.0),
        sampler=xpatch.Explicit({"lon": [0.0], "lat": [60.0]}),
    )
    degree = np.pi * 6371.0088 / 180
    corner = np.hypot(degree * np.cos(np.pi / 3), degree)
    far = float(patches.patch.distance[0, 1])
    np.testing.assert_allclose(far, 0.5 * degree / 2, rtol=1e-3)
    (part,) = patches.xindexes["patch"].plans[0].lists
    np.testing.assert_allclose(part.scales, corner, rtol=1e-6)
