"""`GeoSlice`, against rasterio, pyproj, shapely and pandas."""

from __future__ import annotations

import datetime
import json
import pickle

import numpy as np
import pandas as pd
import pytest

import xpatch
from xpatch import GeoSlice
from xpatch.domain.geoslice import as_bounds
from xpatch.spec import decode

pyproj = pytest.importorskip("pyproj")
shapely = pytest.importorskip("shapely")
rasterio = pytest.importorskip("rasterio")
geopandas = pytest.importorskip("geopandas")

UTM = "EPSG:32632"
TILE = GeoSlice((500000, 5200000, 502560, 5201280), resolution=10, crs=UTM)


def points_in(slice_, n=60):
    """Points all over a box, in longitude and latitude or its own coordinates."""
    left, bottom = slice_.bounds[:2]
    width, height = slice_.extent
    x, y = np.meshgrid(left + width * np.linspace(0, 1, n), bottom + height * np.linspace(0, 1, n))
    return x.ravel(), y.ravel()


# ------------------------------------------------------------------------------------- a value


def test_compares_by_value_and_prints_as_written():
    same = GeoSlice([500000.0, 5.2e6, 502560, np.float64(5201280)], None, (10, 10.0), 32632)
    assert same == TILE
    assert hash(same) == hash(TILE)
    assert len({same, TILE, GeoSlice(TILE.bounds)}) == 2
    assert GeoSlice(TILE.bounds, resolution=10) != TILE
    assert GeoSlice(TILE.bounds, resolution=10, crs="EPSG:32633") != TILE
    assert GeoSlice(TILE.bounds, "2024-06-01", 10, UTM) != TILE
    assert TILE != 3
    for one in (
        TILE,
        GeoSlice((7, 46, 8, 47), ("2024-06", None), crs=4326),
        GeoSlice((0, 0, 1, 1)),
    ):
        assert eval(repr(one)) == one
        assert pickle.loads(pickle.dumps(one)) == one
        assert decode(json.loads(json.dumps(one.to_dict()))) == one
    assert repr(TILE) == (
        "GeoSlice((500000, 5200000, 502560, 5201280), resolution=10, crs='EPSG:32632')"
    )


def test_a_crs_without_a_code_is_written_whole():
    laea = pyproj.CRS("+proj=laea +lat_0=30 +lon_0=7 +ellps=GRS80")
    one = GeoSlice((0, 0, 1, 1), crs=laea)
    assert decode(json.loads(json.dumps(one.to_dict()))) == one
    assert "laea" in repr(one).lower() or "azimuthal" in repr(one).lower()


def test_axis_order_and_spelling_of_the_crs_do_not_matter():
    assert GeoSlice((7, 46, 8, 47), crs="EPSG:4326") == GeoSlice(
        (7, 46, 8, 47), crs=pyproj.CRS(4326)
    )
    assert GeoSlice((7, 46, 8, 47), crs="EPSG:4326") == GeoSlice((7, 46, 8, 47), crs="OGC:CRS84")


@pytest.mark.parametrize(
    ("bounds", "crs", "error", "says"),
    [
        ((8, 46, 7, 47), None, ValueError, "left 8 is not smaller than right 7, which means"),
        ((8, 46, 7, 47), UTM, ValueError, "geographic CRS only"),
        ((7, 46, 7, 47), 4326, ValueError, "left 7"),
        ((7, 47, 8, 46), 4326, ValueError, "bottom 47 is not smaller than top 46"),
        ((200, 0, -170, 1), 4326, ValueError, "left 200"),
        ((7, 46, np.inf, 47), None, ValueError, "finite"),
        ((7, np.nan, 8, 47), None, ValueError, "finite"),
        ((7, 46, 8), None, TypeError, "four numbers"),
        (("7", 46, 8, 47), None, TypeError, "four numbers"),
        ("7,46,8,47", None, TypeError, "four numbers"),
        ((7, 46, 8, 47), "nonsense", ValueError, "no CRS that pyproj can read"),
    ],
)
def test_bounds_are_checked(bounds, crs, error, says):
    with pytest.raises(error, match=says):
        GeoSlice(bounds, crs=crs)


# ------------------------------------------------------------------------------------ on a grid


def test_shape_and_transform_are_those_of_rasterio():
    assert TILE.shape == (128, 256)
    assert TILE.transform == rasterio.transform.from_bounds(*TILE.bounds, 256, 128)
    wide = GeoSlice((0, 0, 60, 40), resolution=(20, 10))
    assert wide.shape == (4, 3)
    assert wide.transform == rasterio.transform.from_bounds(0, 0, 60, 40, 3, 4)
    assert GeoSlice((0, 0, 0.3, 0.7), resolution=0.1).shape == (7, 3)  # 0.7 / 0.1 < 7 in floats


@pytest.mark.parametrize(
    ("resolution", "error", "says"),
    [
        (30, ValueError, "100 along x is 3.33333333 cells of 30"),
        ((10, 30), ValueError, "50 along y is 1.66666667 cells of 30"),
        (10.00002, ValueError, "9.99998 cells"),
        (1000, ValueError, "no whole number"),
        (-10, ValueError, "positive"),
        ((10, -10), ValueError, "positive"),
        (0, ValueError, "positive"),
        (np.nan, ValueError, "positive"),
        ("10", TypeError, "a number or"),
        ((10, 10, 10), TypeError, "a number or"),
        (True, TypeError, "a number or"),
    ],
)
def test_resolution_is_checked(resolution, error, says):
    with pytest.raises(error, match=says):
        GeoSlice((0, 0, 100, 50), resolution=resolution)


def test_no_resolution_no_shape():
    for name in ("shape", "transform"):
        with pytest.raises(ValueError, match="has no resolution"):
            getattr(GeoSlice((0, 0, 1, 1)), name)


def test_across_the_date_line():
    pacific = GeoSlice((177.5, -20, -178, -18), resolution=0.5, crs=4326)
    assert pacific.shape == (4, 9)
    assert pacific.center == (179.75, -19)
    assert tuple(pacific.transform)[:6] == (0.5, 0, 177.5, 0, -0.5, -18)


@pytest.mark.parametrize("transform", [(10, 0, 499000, 0, -10, 5202000), (20, 0, 0, 0, -5, 6e6)])
@pytest.mark.parametrize("shift", [0, 3.7])
def test_window_is_that_of_rasterio(transform, shift):
    one = GeoSlice(np.array(TILE.bounds) + shift)
    affine = rasterio.Affine(*transform)
    expected = rasterio.windows.from_bounds(*one.bounds, affine)
    for given in (transform, affine, np.array(transform), list(affine)):
        found = one.to_window(given)
        np.testing.assert_allclose(found.flatten(), expected.flatten(), atol=1e-6)
    assert all(isinstance(v, int) for v in found.flatten()) == (shift == 0)


def test_window_on_rows_that_run_north():
    south_up = (10, 0, 0, 0, 10, 100)  # row 0 is the southernmost
    window = GeoSlice((20, 130, 50, 150)).to_window(south_up)
    assert window.flatten() == (2, 3, 3, 2)
    flipped = GeoSlice((20, 130, 50, 150)).to_window((-10, 0, 100, 0, 10, 100))
    assert flipped.flatten() == (5, 3, 3, 2)


def test_window_may_overhang_and_is_refused_on_rotated_rasters():
    assert GeoSlice((-20, 0, 20, 10)).to_window((10, 0, 0, 0, -10, 10)).flatten() == (-2, 0, 4, 1)
    with pytest.raises(ValueError, match="rotated"):
        TILE.to_window((10, 1, 0, 0, -10, 0))
    with pytest.raises(ValueError, match="six numbers"):
        TILE.to_window((10, 0, 0))


# -------------------------------------------------------------------------------- to other CRSs


def test_the_same_crs_keeps_the_resolution():
    assert TILE.to_crs(32632) == TILE
    assert TILE.to_crs(4326).resolution is None


@pytest.mark.parametrize(
    ("bounds", "source", "target"),
    [
        ((7, 40, 12, 60), 4326, UTM),  # the middle of the edge at 40° N lies lowest
        ((-10, 30, 40, 70), 4326, 3035),
        ((-180, 60, 180, 90), 4326, 3413),
        ((-180, -90.5, 180, -60), 4326, 3031),
        ((100000, 4000000, 900000, 8000000), UTM, 4326),
        ((100000, 4000000, 900000, 8000000), UTM, "EPSG:32633"),
        ((170, -10, -170, 10), 4326, 32660),
        ((170, -10, -170, 10), 4326, 3832),
        ((170, -10, 190, 10), 4326, 3832),
        ((-190, -10, -170, 10), 4326, 3832),
    ],
)
def test_the_box_holds_every_point_and_no_more(bounds, source, target):
    one = GeoSlice(bounds, ("2024", None), crs=source)
    found = one.to_crs(target)
    x, y = points_in(one, 401)
    y = np.clip(y, -90, 90) if source == 4326 else y
    x, y = pyproj.Transformer.from_crs(source, target, always_xy=True).transform(x, y)
    left, bottom, right, top = found.bounds
    slack = 2e-5 * max(right - left, top - bottom)
    for low, high, values in ((left, right, x), (bottom, top, y)):
        assert values.min() == pytest.approx(low, abs=slack)
        assert values.max() == pytest.approx(high, abs=slack)
    assert found.interval == one.interval
    assert found.crs == target


def test_bent_edges_are_followed():
    corners = pyproj.Transformer.from_crs(4326, UTM, always_xy=True).transform([4, 14], [40, 40])[1]
    bottom = GeoSlice((4, 40, 14, 60), crs=4326).to_crs(UTM).bounds[1]
    assert bottom < min(corners) - 10_000


def test_poles_and_the_date_line_of_projected_boxes():
    polar = GeoSlice((-1e6, -1e6, 1e6, 1e6), crs=3413).to_crs(4326)
    assert (polar.bounds[0], polar.bounds[2], polar.bounds[3]) == (-180, 180, 90)
    fiji = GeoSlice((500000, 8e6, 900000, 8.1e6), crs="EPSG:32760").to_crs(4326)
    assert fiji.bounds[0] == pytest.approx(177)
    assert -180 < fiji.bounds[2] < -179
    back = fiji.to_crs("EPSG:32760")
    assert back.bounds[0] == pytest.approx(500000, abs=1)
    assert back.bounds[2] == pytest.approx(900000, abs=5000)


def test_the_date_line_from_one_geographic_crs_to_another():
    moved = GeoSlice((170, 0, -170, 10), crs=4326).to_crs(4269)
    np.testing.assert_allclose(moved.bounds, (170, 0, -170, 10), atol=1e-4)
    beyond = GeoSlice((350, 0, 370, 10), crs=4326).to_crs(4269)
    np.testing.assert_allclose(beyond.bounds, (-10, 0, 10, 10), atol=1e-4)
    whole = GeoSlice((-0.5, -90.5, 359.5, 90.5), crs=4326).to_crs(4269)
    np.testing.assert_allclose(whole.bounds, (-180, -90, 180, 90), atol=1e-4)


def test_where_a_crs_has_no_coordinates():
    with pytest.raises(ValueError, match="has no coordinates"):
        GeoSlice((-180, -90, 180, 90), crs=4326).to_crs("+proj=gnom +lat_0=90 +lon_0=0")
    with pytest.raises(ValueError, match="has no crs"):
        GeoSlice((0, 0, 1, 1)).to_crs(4326)


# ------------------------------------------------------------------------------------- as bounds


def test_bounds_of_whatever_has_some():
    box = shapely.box(*TILE.bounds)
    degrees = geopandas.GeoSeries([box], crs=UTM).to_crs(4326)
    assert as_bounds(TILE, UTM) == as_bounds(TILE.bounds, UTM) == as_bounds(box, UTM) == TILE.bounds
    assert as_bounds(GeoSlice(TILE.bounds), UTM) == TILE.bounds
    assert as_bounds(TILE, 4326) == TILE.to_crs(4326).bounds
    found = as_bounds(degrees, UTM)
    assert shapely.box(*found).buffer(1e-3).covers(box)
    assert as_bounds(degrees.to_frame("geometry"), UTM) == found
    for given, error, says in (
        (TILE, ValueError, "nothing says"),
        (shapely.Point(), ValueError, "empty"),
        ("everywhere", TypeError, "four numbers"),
    ):
        with pytest.raises(error, match=says):
            as_bounds(given, None)


# --------------------------------------------------------------------------------------- in time


@pytest.mark.parametrize(
    "given",
    [
        ("2024-06-01", "2024-07-01"),
        ["2024-06", "2024-07"],
        (datetime.date(2024, 6, 1), datetime.datetime(2024, 7, 1)),
        (np.datetime64("2024-06"), pd.Timestamp("2024-07-01")),
        np.array(["2024-06", "2024-07"], "M8[M]"),
        pd.DatetimeIndex(["2024-06-01", "2024-07-01"]),
        ("2024-06-01T02:00+02:00", "2024-06-30T19:00-05:00"),
        (pd.Timestamp("2024-06-01T02:00", tz="Europe/Zurich"), "2024-07-01T00:00Z"),
    ],
)
def test_intervals_are_naive_utc(given):
    one = GeoSlice((0, 0, 1, 1), given)
    assert one.interval == (pd.Timestamp("2024-06-01"), pd.Timestamp("2024-07-01"))
    assert all(t.tzinfo is None for t in one.interval)
    assert one == GeoSlice((0, 0, 1, 1), ("2024-06-01", "2024-07-01"))
    assert hash(one) == hash(GeoSlice((0, 0, 1, 1), ("2024-06-01", "2024-07-01")))


@pytest.mark.parametrize(
    ("interval", "error", "says"),
    [
        (("2024-07", "2024-06"), ValueError, "after its end"),
        (("2024-07", "soon"), ValueError, "no time that pandas can read"),
        (("2024-07", pd.NaT), ValueError, "give None"),
        ("2024-07", ValueError, "names a period"),
        ("2024", ValueError, "names a period"),
        (2024, TypeError, "one instant or None"),
        ((2024, 2025), TypeError, "a time must be text"),
        (("2024",) * 3, TypeError, "one instant or None"),
    ],
)
def test_intervals_are_checked(interval, error, says):
    with pytest.raises(error, match=says):
        GeoSlice((0, 0, 1, 1), interval)


def test_which_times_lie_in_an_interval():
    times = pd.DatetimeIndex(["2024-05-31", "2024-06-01", "2024-06-02T12", "2024-06-03", None])

    def during(interval, given=times):
        return GeoSlice((0, 0, 1, 1), interval).during(given).tolist()

    assert during(("2024-06-01", "2024-06-03")) == [False, True, True, False, False]
    assert during(("2024-06-01", None)) == [False, True, True, True, False]
    assert during((None, "2024-06-01")) == [True, False, False, False, False]
    assert during("2024-06-03") == during(("2024-06-03",) * 2) == [False, False, False, True, False]
    assert during(None) == during((None, None)) == [True] * 4 + [False]
    two = ("2024-05-31", "2024-06-01")
    east = pd.Series(times[:3]).dt.tz_localize("Asia/Tokyo")  # nine hours earlier
    assert during(two, east) == [False, True, False]
    assert during(two, times.values) == during(two)
    assert during("2024-06-01", np.datetime64("2024-06-01T00", "h")) == [True]
    assert during(two, []) == []
    assert during(two, ["2024-05-31T23:59", "2024-06-01"]) == [True, False]


def test_times_of_other_calendars_are_refused():
    cftime = pytest.importorskip("cftime")
    days = [cftime.DatetimeNoLeap(2024, 6, 1)]
    with pytest.raises(TypeError, match="standard calendar"):
        GeoSlice((0, 0, 1, 1), ("2024", "2025")).during(days)
    with pytest.raises(TypeError, match="text, a datetime"):
        GeoSlice((0, 0, 1, 1), (days[0], None))


def test_exported():
    assert xpatch.GeoSlice is GeoSlice


def test_the_crs_of_rasterio_is_one():
    for code in (4326, 32632):
        crs = rasterio.crs.CRS.from_epsg(code)
        mine, plain = GeoSlice((0, 0, 1, 1), crs=crs), GeoSlice((0, 0, 1, 1), crs=code)
        assert mine == plain
        assert mine.to_dict() == {**plain.to_dict(), "crs": f"EPSG:{code}"}
        assert mine.to_crs(3857).bounds == plain.to_crs(3857).bounds
