"""`patches.patch.slices()`: boxes on the ground, and back by `Explicit`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xpatch
from xpatch import Explicit, GeoSlice, RegularStride, TimePatcher
from xpatch.time.geometry import LookbackHorizon

rioxarray = pytest.importorskip("rioxarray")
geopandas = pytest.importorskip("geopandas")
pyproj = pytest.importorskip("pyproj")
rasterio = pytest.importorskip("rasterio")

TILES = {"y": 4, "x": 6}


def plane(ny=12, nx=18, res=10.0, x0=500_000.0, y0=6_000_000.0, crs=32633):
    """A raster whose cells hold their number."""
    y, x = y0 - res * (np.arange(ny) + 0.5), x0 + res * (np.arange(nx) + 0.5)
    field = xr.DataArray(np.arange(ny * nx).reshape(ny, nx), {"y": y, "x": x}, ("y", "x"), name="t")
    return field if crs is None else field.rio.write_crs(crs).rio.write_transform()


def globe(res=10.0, first=0.0):
    lon, lat = first + res * (np.arange(36) + 0.5), -90 + res * (np.arange(18) + 0.5)
    return xr.DataArray(
        np.arange(18 * 36).reshape(18, 36), {"lat": lat, "lon": lon}, ("lat", "lon")
    )


def again(field, patches, geometry, **how):
    return field.patch.split(geometry=geometry, sampler=Explicit(patches.patch.slices()), **how)


# ------------------------------------------------------------------------------------ in space


def test_bounds_are_those_that_rasterio_gives_each_patch():
    patches = plane().patch.split(geometry=TILES, sampler=RegularStride(overlap=2))
    found = patches.patch.slices()
    assert len(found) == patches.sizes["patch"]
    for k, one in enumerate(found):
        alone = patches.patch[k]
        assert one.bounds == alone.rio.bounds()
        assert one.shape == alone.shape
        assert one.transform == alone.rio.transform()
        assert one.crs == "EPSG:32633"
        assert one.interval is None


def test_windows_read_the_same_cells():
    field = plane()
    patches = field.patch.split(geometry=TILES, sampler=RegularStride(overlap=1))
    for k, one in enumerate(patches.patch.slices()):
        rows, columns = one.to_window(field.rio.transform()).toslices()
        np.testing.assert_array_equal(field.values[rows, columns], patches.values[k])


def test_order_and_selection_of_patches():
    patches = plane().patch.split(geometry=TILES)
    found = patches.patch.slices()
    some = patches.isel(patch=[5, 0, 3])
    assert some.patch.slices() == [found[5], found[0], found[3]]
    assert patches.isel(patch=4).patch.slices() == [found[4]]
    written = xr.Dataset({"t": patches}).drop_indexes("patch")  # as of a file
    assert written.patch.slices() == found


def test_what_is_cropped_is_not_there():
    patches = plane().patch.split(geometry=TILES)
    whole, inner = patches.patch.slices()[0], patches.patch.crop(y=1, x=(2, 1)).patch.slices()[0]
    left, bottom, right, top = whole.bounds
    assert inner.bounds == (left + 20, bottom + 10, right - 10, top - 10)
    assert patches.isel(y=slice(1, -1), x=slice(2, -1)).patch.slices()[0] == inner
    with pytest.raises(ValueError, match="not those of their patch"):
        patches.isel(x=slice(None, None, 2)).patch.slices()


def test_padding_counts_and_what_is_not_cut_is_whole():
    field = plane()
    padded = field.patch.split(
        geometry=xpatch.Rectangular(TILES, boundary="pad"), sampler=RegularStride(3)
    )
    assert padded.patch.slices()[0].bounds[0] < 500_000
    assert padded.patch.slices()[0].shape == (4, 6)
    strips = field.patch.split(geometry={"y": 4}).patch.slices()
    assert [s.bounds for s in strips] == [
        (500_000, 6_000_000 - 40 * k - 40, 500_180, 6_000_000 - 40 * k) for k in range(3)
    ]


def test_patches_of_one_row_know_its_height_by_the_transform():
    row = plane(ny=1).rio.write_transform(rasterio.Affine(10, 0, 500_000, 0, -10, 6_000_000))
    found = row.patch.split(geometry={"y": 1, "x": 6}).patch.slices()
    assert found[0].shape == (1, 6)
    assert found[0].bounds == (500_000, 5_999_990, 500_060, 6_000_000)
    bare = row.drop_vars("spatial_ref").patch.split(geometry={"y": 1, "x": 6})
    with pytest.raises(ValueError, match="how large the one cell along 'y' is"):
        bare.patch.slices()


def test_scenes_keep_their_crs():
    fields = [plane(), plane(crs=32634, ny=8)]
    every = xpatch.concat([f.patch.split(geometry=TILES) for f in fields])
    shuffled = every.isel(patch=np.random.default_rng(0).permutation(every.sizes["patch"]))
    expected = [s for f in fields for s in f.patch.split(geometry=TILES).patch.slices()]
    assert every.patch.slices() == expected
    assert {s.crs for s in expected} == {"EPSG:32633", "EPSG:32634"}
    back = shuffled.patch.slices()
    assert [expected[k] for k in shuffled["patch"].values] == back


def test_averages_over_several_steps_are_refused():
    spatial = xpatch.Patcher({"y": 4, "x": 6})
    both = xpatch.SpatioTemporalPatcher(spatial, TimePatcher(xpatch.MultiScale([1, 2])))
    tree = timed(DAYS).patch.split(both)
    assert len(set(intervals(tree["1"].to_dataset()))) == 5
    with pytest.raises(ValueError, match="averages over several"):
        tree["2"].to_dataset().patch.slices()


@pytest.mark.parametrize(
    ("patches", "says"),
    [
        (lambda: globe().patch.split(geometry=xpatch.SphericalCap(2000)), "lists of members"),
        (
            lambda: (
                plane()
                .drop_vars(["x", "y"])
                .rio.write_transform(rasterio.Affine(10, 2, 0, 2, -10, 0))
                .patch.split(geometry=TILES)
            ),
            "rotated",
        ),
        (
            lambda: (
                globe()
                .assign_coords(lat=np.arange(18.0) ** 1.5)
                .patch.split(geometry={"lat": 3, "lon": 3})
            ),
            "evenly spaced labels along 'lat'",
        ),
        (
            lambda: xr.DataArray(np.zeros(8), {"z": np.arange(8)}).patch.split(geometry={"z": 2}),
            "cut along \\['z'\\]",
        ),
        (
            lambda: xr.DataArray(np.zeros((8, 8)), dims=("y", "x")).patch.split(geometry=2),
            "where the cells along 'x' are",
        ),
    ],
)
def test_what_is_no_box_is_refused(patches, says):
    with pytest.raises(ValueError, match=says):
        patches().patch.slices()


def test_curvilinear_grids_are_refused():
    lon, lat = np.meshgrid(np.arange(8.0), np.arange(8.0))
    swath = xr.DataArray(
        np.zeros((8, 8)), {"lon": (("j", "i"), lon + lat / 9), "lat": (("j", "i"), lat)}, ("j", "i")
    )
    with pytest.raises(ValueError, match="curvilinear"):
        swath.patch.split(geometry={"j": 4, "i": 4}).patch.slices()


# -------------------------------------------------------------------------------- and back again


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([10.0, 0.1, 1 / 3]),
)
def test_explicit_of_slices_has_the_same_patches(rows, columns, step, up, left, crs, res):
    field = plane(11, 13, res, crs=32633 if crs else None)
    field = field.isel(y=slice(None, None, -1 if up else 1), x=slice(None, None, -1 if left else 1))
    geometry = {"y": rows, "x": columns}
    step = min(step, rows, columns)
    patches = field.patch.split(geometry=geometry, sampler=RegularStride(step))
    xr.testing.assert_equal(
        again(field, patches, geometry).drop_vars(
            ["start_y", "start_x", "dx", "dy"], errors="ignore"
        ),
        patches.drop_vars(["start_y", "start_x", "dx", "dy"], errors="ignore"),
    )


@pytest.mark.parametrize("factor", [2, 5])
def test_on_a_finer_grid_they_have_the_same_ground(factor):
    coarse, fine = plane(), plane(12 * factor, 18 * factor, 10 / factor)
    patches = coarse.patch.split(geometry=TILES, sampler=RegularStride(overlap=1))
    found = again(fine, patches, {d: n * factor for d, n in TILES.items()})
    for one, other in zip(patches.patch.slices(), found.patch.slices(), strict=True):
        np.testing.assert_allclose(one.bounds, other.bounds, rtol=0, atol=1e-6)


def test_in_another_crs_the_nearest_boxes():
    patches = plane().patch.split(geometry=TILES)
    lon = 14.99 + 1e-4 * np.arange(300)
    lat = 54.16 - 1e-4 * np.arange(300)
    degrees = xr.DataArray(np.zeros((300, 300)), {"lat": lat, "lon": lon}, ("lat", "lon"))
    found = again(degrees, patches, {"lat": 4, "lon": 4})
    x, y = np.array([s.center for s in patches.patch.slices()]).T
    x, y = pyproj.Transformer.from_crs(32633, 4326, always_xy=True).transform(x, y)
    mid = found.patch.places
    assert np.abs(mid.lon - x).max() <= 0.5e-4 + 1e-9
    assert np.abs(mid.lat - y).max() <= 0.5e-4 + 1e-9


def test_slices_of_several_crss():
    a, b = plane(), plane(crs=32634)
    to_degrees = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    lon, lat = to_degrees.transform(500_063, 5_999_942)
    mixed = [
        a.patch.split(geometry=TILES).patch.slices()[4],
        GeoSlice((lon - 1e-3, lat - 1e-3, lon + 1e-3, lat + 1e-3), crs=4326),
    ]
    found = a.patch.split(geometry=TILES, sampler=Explicit(mixed, outside="drop"))
    assert found.patch.slices()[0] == mixed[0]
    assert found.patch.slices()[1].bounds == (500_030, 5_999_920, 500_090, 5_999_960)
    alone = a.patch.split(geometry=TILES, sampler=Explicit(mixed[1]))
    assert alone.patch.slices() == found.patch.slices()[1:]
    with pytest.raises(ValueError, match="lies outside"):
        a.patch.split(
            geometry=TILES, sampler=Explicit(b.patch.split(geometry=TILES).patch.slices())
        )
    with pytest.raises(ValueError, match="slice 1 has no crs"):
        a.patch.split(geometry=TILES, sampler=Explicit([mixed[0], GeoSlice(mixed[0].bounds)]))
    with pytest.raises(TypeError, match="among them"):
        a.patch.split(geometry=TILES, sampler=Explicit([mixed[0], mixed[0].bounds]))
    bare = Explicit([mixed[0], GeoSlice(mixed[0].bounds)], crs=32633)
    assert a.patch.split(geometry=TILES, sampler=bare).patch.slices() == [mixed[0]] * 2


def test_slices_anchor_lists_of_members_too():
    tile = GeoSlice((30, 10, 50, 30), crs=4326)
    caps = globe().patch.split(geometry=xpatch.SphericalCap(2000), sampler=Explicit([tile]))
    assert (caps.patch.places.lon.item(), caps.patch.places.lat.item()) == (40, 20)


@pytest.mark.parametrize("first", [0.0, -180.0])
def test_across_the_seam_of_a_periodic_longitude(first):
    field = globe(first=first)
    boxes = xpatch.Rectangular({"lat": 6, "lon": 6}, boundary={"lon": "wrap"})
    patches = field.patch.split(geometry=boxes, sampler=RegularStride(4))
    found = patches.patch.slices()
    assert max(s.bounds[2] for s in found) == first + 380
    assert all(s.shape == (6, 6) for s in found)
    back = again(field, patches, boxes)
    np.testing.assert_array_equal(back.values, patches.values)
    # the same places by GeoJSON, on a globe that begins elsewhere
    other = globe(first=-180.0 - first)
    moved = other.patch.split(
        geometry=boxes, sampler=Explicit([s.to_crs(4269).to_crs(4326) for s in found])
    )
    np.testing.assert_allclose(moved.patch.places.lat, patches.patch.places.lat, atol=1e-6)
    turns = (moved.patch.places.lon.values - patches.patch.places.lon.values) / 360
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-6)


# --------------------------------------------------------------------------------------- in time


def timed(times, **coords):
    field = plane(crs=None).expand_dims(time=len(times)).copy()
    return field.assign_coords(time=times, **coords)


DAYS = pd.date_range("2024-06-01", periods=6)


def intervals(patches):
    return [
        None if s.interval is None else tuple(map(str, s.interval)) for s in patches.patch.slices()
    ]


def test_windows_along_time():
    found = timed(DAYS).patch.split(geometry={"time": 3, **TILES})
    ends = (
        ("2024-06-01 00:00:00", "2024-06-04 00:00:00"),
        ("2024-06-04 00:00:00", "2024-06-07 00:00:00"),
    )
    assert sorted(set(intervals(found))) == list(ends)
    for one, patch in zip(found.patch.slices(), found, strict=True):
        np.testing.assert_array_equal(one.during(DAYS), np.isin(DAYS, patch.time))
    single = timed(DAYS).patch.split(geometry={"time": 1, **TILES})
    assert intervals(single)[0] == ("2024-06-01 00:00:00",) * 2


def test_times_that_are_carried_or_dropped():
    patches = timed(DAYS).patch.split(geometry=TILES)
    assert set(intervals(patches)) == {("2024-06-01 00:00:00", "2024-06-07 00:00:00")}
    assert set(intervals(patches.isel(time=2))) == {("2024-06-03 00:00:00",) * 2}
    assert set(intervals(patches.isel(time=[0, 1]))) == {
        ("2024-06-01 00:00:00", "2024-06-03 00:00:00")
    }
    assert set(intervals(patches.drop_vars("time"))) == {None}


def test_uneven_times_end_just_behind_the_last():
    times = DAYS[[0, 1, 4]]
    (one, *_) = timed(times).patch.split(geometry=TILES).patch.slices()
    assert one.interval == (times[0], times[-1] + pd.Timedelta(1, "ns"))
    assert one.during(DAYS[4:]).tolist() == [True, False]


def test_windows_of_a_time_patcher():
    spatial = xpatch.Patcher({"y": 4, "x": 6})
    both = xpatch.SpatioTemporalPatcher(spatial, TimePatcher(LookbackHorizon(2, 1)))
    patches = timed(DAYS).patch.split(both)
    for one, patch in zip(patches.patch.slices(), patches, strict=True):
        assert one.during(DAYS).sum() == patch.sizes["time"]
        np.testing.assert_array_equal(DAYS[one.during(DAYS)], np.sort(patch.time.values.ravel()))
    alone = timed(DAYS).patch.split(TimePatcher(LookbackHorizon(2, 1)))
    with pytest.raises(ValueError, match="windows in time alone"):
        alone.patch.slices()


def test_times_with_a_zone_are_in_utc():
    zone = DAYS[:1].tz_localize("Asia/Tokyo")
    field = plane(crs=None).assign_coords(time=((), zone[0]))
    found = set(intervals(field.patch.split(geometry=TILES)))
    assert found == {("2024-05-31 15:00:00",) * 2}


def test_of_several_times_the_dimension_is_meant():
    run = DAYS - pd.Timedelta("6h")
    field = timed(DAYS, forecast_reference_time=("time", run))
    assert intervals(field.patch.split(geometry=TILES))[0][0] == str(DAYS[0])
    two = plane(crs=None).assign_coords(sensed=DAYS[0], made=DAYS[1])
    with pytest.raises(ValueError, match="several times"):
        two.patch.split(geometry=TILES).patch.slices()


def test_other_calendars_and_unknown_times_are_refused():
    cftime = pytest.importorskip("cftime")
    days = [cftime.DatetimeNoLeap(2024, 6, 1 + k) for k in range(6)]
    with pytest.raises(ValueError, match=r"noleap.*convert_calendar"):
        timed(days).patch.split(geometry=TILES).patch.slices()
    unknown = plane(crs=None).assign_coords(time=np.datetime64("NaT", "ns"))
    with pytest.raises(ValueError, match="NaT"):
        unknown.patch.split(geometry=TILES).patch.slices()
