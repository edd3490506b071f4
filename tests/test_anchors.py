"""Where patches would be, before anything is cut."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

import xpatch
from tests.test_batches import on_disk

TIME = pd.date_range("2000-01-01", periods=40)
GRID = xr.DataArray(
    np.random.default_rng(0).random((40, 18, 36)),
    {"time": TIME, "lat": np.arange(-85, 90, 10.0), "lon": np.arange(0, 360, 10.0)},
    ("time", "lat", "lon"),
    name="t",
)
STATIONS = xr.DataArray(
    np.arange(30.0),
    {"lon": ("id", np.linspace(0, 50, 30)), "lat": ("id", np.linspace(-20, 60, 30))},
    ("id",),
)
BOXES = xpatch.Patcher({"lat": 6, "lon": 8}, xpatch.RegularStride(overlap=2))
WEEKS = xpatch.TimePatcher(xpatch.FixedLookback("7D"), xpatch.RegularTimeStride("5D"))
AREAS = gpd.GeoSeries([shapely.box(0, 0, 40, 40), shapely.box(100, -40, 160, 0)], crs=4326)
KINDS = {
    "boxes": (BOXES, GRID),
    "boxes around places": (
        xpatch.Patcher({"lat": 3, "lon": 3}, xpatch.Explicit({"lon": [3.0, 99], "lat": [1.0, 50]})),
        GRID,
    ),
    "periodic boxes": (
        xpatch.Patcher(xpatch.Rectangular(lon=9, boundary={"lon": "wrap"}), {"lon": 5}),
        GRID,
    ),
    "padded boxes": (xpatch.Patcher(xpatch.Rectangular(lat=5, boundary="pad")), GRID),
    "caps": (xpatch.Patcher(xpatch.SphericalCap(2000), xpatch.FibonacciSphere(50)), GRID),
    "stations": (xpatch.Patcher(xpatch.KNNGraph(4)), STATIONS),
    "polygons": (xpatch.Patcher(xpatch.PolygonIntersection(AREAS)), GRID),
    "drawn": (xpatch.Patcher({"lat": 4, "lon": 4}, xpatch.Random(9, seed=1)), GRID),
    "valid": (
        xpatch.Patcher({"lat": 6, "lon": 6}, xpatch.Valid(xpatch.RegularStride(), 0.9)),
        GRID.where(GRID.lon < 100),
    ),
    "windows": (WEEKS, GRID),
    "scales": (xpatch.TimePatcher(xpatch.MultiScale([5, 20])), GRID),
    "months": (
        xpatch.TimePatcher(xpatch.CalendarPeriod("1MS")),
        GRID.assign_coords(time=pd.date_range("2000-01-01", periods=40, freq="3D")),
    ),
    "space and time": (xpatch.SpatioTemporalPatcher(BOXES, WEEKS), GRID),
    "a Dataset": (BOXES, xr.Dataset({"t": GRID, "mask": GRID[0] > 0.5})),
}


@pytest.mark.parametrize("kind", KINDS)
def test_anchors_before_are_those_after(kind):
    patcher, field = KINDS[kind]
    before, patches = patcher.anchors(field), patcher.split(field)
    xr.testing.assert_identical(before, patches.patch.anchors)
    first = next(iter(patches.children.values())) if kind == "scales" else patches
    assert len(before) == first.sizes["patch"]


def test_the_length_is_that_of_a_selection():
    anchors = BOXES.anchors(GRID)
    north = anchors.isel(patch=(anchors.lat > 0).values)
    assert len(north) == int((anchors.lat > 0).sum()) < len(anchors)
    assert len(anchors.isel(patch=0)) == len(anchors.data_vars)  # one anchor is an ordinary Dataset


def test_the_length_counts_patches_under_any_name_and_never_another_dimension():
    anchors = BOXES.anchors(GRID)
    n = anchors.sizes["patch"]
    assert len(anchors.rename_dims(patch="box")) == len(anchors.drop_vars("patch")) == n
    several = anchors.expand_dims(run=[0, 1, 2])  # nobody can say which of them is meant
    assert len(several) == len(several.data_vars) != 3


def test_several_grids_are_placed_on_the_first():
    y, x = np.arange(40.0) * 10, np.arange(60.0) * 10
    bands = xr.Dataset(
        {
            "b2": (("y", "x"), np.zeros((40, 60))),
            "b5": (("y20", "x20"), np.zeros((20, 30))),
        },
        {"y": y, "x": x, "y20": y[::2] + 5, "x20": x[::2] + 5},
    )
    patcher = xpatch.Patcher({("y", "x"): 16, ("y20", "x20"): 8}, xpatch.RegularStride(8))
    patches = patcher.split(bands)
    before = patcher.anchors(bands)
    assert len(before) == patches.sizes["patch"]
    np.testing.assert_array_equal(before.y, patches.y.values[:, 8])
    np.testing.assert_array_equal(before.x, patches.x.values[:, 8])


def test_nothing_is_read():
    disk, field = on_disk()
    patcher = xpatch.Patcher({"y": 8, "x": 8}, xpatch.RegularStride(4))
    anchors = patcher.anchors(field)
    assert len(anchors) == patcher.split(field).sizes["patch"]
    assert not disk.reads


@pytest.mark.parametrize("other", [np.zeros((4, 4)), pd.DataFrame({"href": ["a.tif"]}), None])
def test_only_fields_have_anchors(other):
    with pytest.raises(TypeError, match="placed on a field"):
        BOXES.anchors(other)


def test_what_split_would_refuse_is_refused():
    with pytest.raises(KeyError, match="'lat'"):
        BOXES.anchors(GRID.rename(lat="row"))
    with pytest.raises(ValueError, match="patches along 'patch' already"):
        BOXES.anchors(BOXES.split(GRID))
