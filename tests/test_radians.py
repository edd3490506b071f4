"""Longitudes and latitudes in radians, as of ICON and MPAS: places are those of the same field in degrees."""

import numpy as np
import pytest
import xarray as xr

import xpatch
from tests.test_layouts import cubed

RNG = np.random.default_rng(0)
NAMES = {"icon": ("clon", "clat", "radian"), "mpas": ("lonCell", "latCell", "rad")}


def stations(kind="icon", radians=True, held=False, n=200):
    lon_name, lat_name, unit = NAMES[kind]
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(-180, 180, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    field = xr.Dataset({"t": ("cells", np.arange(float(n)))})
    for name, values, said in ((lon_name, lon, "longitude"), (lat_name, lat, "latitude")):
        attrs = {"units": unit if radians else "degrees"}
        attrs |= {"standard_name": said} if kind == "icon" else {}
        field[name] = ("cells", np.deg2rad(values) if radians else values, attrs)
    return field if held else field.set_coords([lon_name, lat_name])["t"]


def in_radians(field):
    """Give the same field with its longitude and latitude in radians."""
    lon, lat = (
        np.deg2rad(field[n]).assign_attrs(field[n].attrs | {"units": "radians"})
        for n in ("lon", "lat")
    )
    return field.assign_coords(lon=lon, lat=lat)


def curvilinear(n=12):
    lat, lon = np.meshgrid(
        np.arange(0, 5.0 * n, 5), np.arange(150, 150 + 5.0 * n, 5), indexing="ij"
    )
    lon = lon + lat / 7
    coords = {"lon": (("y", "x"), lon, {"standard_name": "longitude", "bounds": "lon_b"})}
    coords |= {"lat": (("y", "x"), lat, {"standard_name": "latitude", "bounds": "lat_b"})}
    return xr.DataArray(RNG.random((n, n)), coords, ("y", "x"), name="t")


def with_corners(field, radians):
    """Give a Dataset with bounds, whose units are those of their coordinates."""
    off = np.array([[-2.5, -2.4], [-2.5, 2.5], [2.5, 2.5], [2.5, -2.5]])
    found = in_radians(field).to_dataset() if radians else field.to_dataset()
    for k, name in enumerate(("lat", "lon")):
        corners = field[name].values[..., None] + off[:, k]
        found[f"{name}_b"] = ("y", "x", "c"), np.deg2rad(corners) if radians else corners
    return found


def same(mine, theirs):
    assert mine.sizes == theirs.sizes
    np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(mine.patch.distance, theirs.patch.distance, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(
    "geometry",
    [
        xpatch.KNNGraph(5),
        xpatch.SphericalCap(1500.0),
        xpatch.Rectangular(lat="2000km", lon="2000km"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("sampler", [None, xpatch.Explicit(lon=[120.0, -7.0], lat=[-40.0, 50.0])])
def test_stations(kind, geometry, sampler):
    mine = stations(kind).patch.split(geometry, sampler=sampler)
    theirs = stations(kind, radians=False).patch.split(geometry, sampler=sampler)
    np.testing.assert_array_equal(mine, theirs)
    if not isinstance(geometry, xpatch.Rectangular):
        same(mine, theirs)
    lat = NAMES[kind][1]  # what the user sees stays as it is
    np.testing.assert_allclose(np.rad2deg(mine[lat]), theirs[lat])
    assert mine[lat].attrs["units"] == NAMES[kind][2]
    np.testing.assert_allclose(mine.patch.places["lon"], theirs.patch.places["lon"])
    assert mine.patch.merge().equals(stations(kind)) or sampler is not None


def test_data_variables():
    cut = xpatch.KNNGraph(4)
    mine, theirs = (stations(radians=r, held=True).patch.split(cut)["t"] for r in (True, False))
    same(mine, theirs)


def test_curvilinear():
    field = curvilinear()
    other = in_radians(field)
    bounded = [with_corners(field, radians).patch.area for radians in (True, False)]
    np.testing.assert_allclose(*bounded)
    assert not np.allclose(bounded[1], field.patch.area, rtol=1e-3)
    np.testing.assert_allclose(other.patch.area, field.patch.area)
    at = xpatch.Explicit(lon=[181.0, -165.0], lat=[31.0, 21.0])
    for geometry in (xpatch.SphericalCap(900.0), xpatch.KHopGraph(2), xpatch.KNNGraph(3)):
        same(other.patch.split(geometry), field.patch.split(geometry))
        same(other.patch.split(geometry, sampler=at), field.patch.split(geometry, sampler=at))
    mine, theirs = (f.patch.split({"y": 3, "x": 3}, sampler=at) for f in (other, field))
    np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(np.rad2deg(mine.lon), theirs.lon)
    again, known = (
        f.patch.split({"y": 3, "x": 3}, sampler=xpatch.Explicit(theirs)) for f in (other, field)
    )
    np.testing.assert_array_equal(again, known)
    coarse = in_radians(curvilinear()).patch.split({"y": 4, "x": 4}).mean(("y", "x"))
    assert coarse.sizes == {"patch": 9}


def test_cubed_sphere():
    other = cubed().rename(lons="lon", lats="lat")
    for geometry in (xpatch.KHopGraph(2), xpatch.SphericalCap(2000.0)):
        same(in_radians(other).patch.split(geometry), other.patch.split(geometry))


REFUSED = {
    "cap": lambda f: f.patch.split(xpatch.SphericalCap(500.0)),
    "nearest": lambda f: f.patch.split(xpatch.KNNGraph(3)),
    "area": lambda f: f.patch.area,
    "km": lambda f: f.patch.split({"lat": "5000km", "lon": "5000km"}),
    "points": lambda f: f.patch.split(
        {"lat": 2, "lon": 2}, sampler=xpatch.Explicit(stations(radians=False))
    ),
    "sphere": lambda f: f.patch.split({"lat": 2, "lon": 2}, sampler=xpatch.FibonacciSphere(50)),
}


@pytest.mark.parametrize("asked", REFUSED)
def test_axes(asked):
    """Labels of dimensions in radians stay what they are, and are taken for no degrees."""
    field = xr.DataArray(
        RNG.random((9, 18)),
        {"lat": np.arange(-80, 90, 20.0), "lon": np.arange(0, 360, 20.0)},
        ("lat", "lon"),
    )
    other = in_radians(field)
    with pytest.raises(ValueError, match="rad2deg"):
        REFUSED[asked](other)
    np.testing.assert_array_equal(other.patch.split({"lat": 3, "lon": 3}).patch.merge(), field)
    mended = other.assign_coords(
        lat=np.rad2deg(other.lat).assign_attrs(units="degrees"),
        lon=np.rad2deg(other.lon).assign_attrs(units="degrees"),
    )
    REFUSED[asked](mended)
