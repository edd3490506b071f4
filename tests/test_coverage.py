"""How many patches hold each cell, counted by hand; places and windows that anchors number."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings

import xpatch
from tests.test_apart import cells, cube, numbered
from tests.test_offsets import grid, mesh, series, stations


def by_hand(patches):
    """Count for each cell of each patch the patches that hold it; NaN where there is none."""
    inside = patches.patch.mask.broadcast_like(patches).transpose(*patches.dims).values
    held = cells(patches.where(inside))  # padding is not held
    count = [0.0] * (1 + max(max(own) for own in held))
    for own in held:
        for cell in own:
            count[cell] += 1
    numbers = np.where(inside, patches.values, 0).astype(int)
    return np.where(inside, np.array(count)[numbers], np.nan)


def assert_counted(patches):
    found = patches.patch.coverage
    assert found.dims == tuple(d for d in patches.dims if d in found.dims)
    assert set(found.dims) == set(patches.patch.mask.dims)
    np.testing.assert_array_equal(found.broadcast_like(patches), by_hand(patches))
    return found


@settings(deadline=None, max_examples=30)
@given(
    n=st.tuples(st.integers(5, 10), st.integers(5, 10)),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    step=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    boundary=st.tuples(*[st.sampled_from(["shift", "drop", "pad", "wrap"])] * 2),
    data=st.data(),
)
def test_cells_of_boxes_are_counted(n, size, step, boundary, data):
    geometry = xpatch.Rectangular(
        dict(zip("yx", size, strict=True)), boundary=dict(zip("yx", boundary, strict=True))
    )
    steps = {d: min(s, k) for d, s, k in zip("yx", step, size, strict=True)}
    sampler = xpatch.RegularStride(steps)
    patches = numbered(y=n[0], x=n[1]).patch.split(geometry=geometry, sampler=sampler)
    assert_counted(patches)
    row = st.integers(0, patches.sizes["patch"] - 1)
    some = data.draw(st.lists(row, min_size=1, max_size=6, unique=True))
    assert_counted(patches.isel(patch=some))


BOXES = {"geometry": {"y": 4, "x": 5}, "sampler": xpatch.RegularStride(2)}


def test_a_patch_that_is_there_twice_counts_twice():
    patches = numbered(y=8, x=9).patch.split(**BOXES)
    some = patches.isel(patch=[4, 0, 4, 4])
    found = assert_counted(some)
    assert float(found[0].min()) == 3
    assert found.dtype.kind == "i"


def test_the_order_of_patches_and_of_dimensions_is_kept():
    patches = numbered(y=8, x=9).patch.split(**BOXES)
    found = patches.patch.coverage
    backwards = slice(None, None, -1)
    xr.testing.assert_equal(
        patches.isel(patch=backwards).patch.coverage, found.isel(patch=backwards)
    )
    turned = patches.transpose("patch", "x", "y").patch.coverage
    assert turned.dims == ("patch", "x", "y")
    xr.testing.assert_equal(turned.transpose(*found.dims), found)
    last = patches.transpose("y", "x", "patch").patch.coverage
    xr.testing.assert_equal(last.transpose(*found.dims), found)


def test_cells_that_were_cropped_away_are_held_by_nobody():
    patches = numbered(y=8, x=9).patch.split(**BOXES).patch.crop(y=1, x=(0, 2))
    found = assert_counted(patches)
    assert float(found.max()) < 6


@pytest.mark.parametrize("boundary", ["pad", "wrap"])
def test_cells_outside_have_no_count_and_those_around_the_seam_one(boundary):
    geometry = xpatch.Rectangular(y=4, x=5, boundary={"x": boundary})
    patches = numbered(y=8, x=9).patch.split(geometry=geometry, sampler=xpatch.RegularStride(2))
    found = assert_counted(patches)
    assert bool(found.isnull().any()) == (boundary == "pad")


def test_dimensions_that_were_carried_are_left_out():
    patches = numbered(band=2, y=6, x=6).patch.split(geometry={"y": 3, "x": 4})
    assert patches.patch.coverage.dims == ("patch", "y", "x")
    assert patches.mean(["y", "x"]).patch.coverage.dims == ("patch", "y", "x")
    every = patches.to_dataset(name="t").patch.coverage
    xr.testing.assert_equal(every, patches.patch.coverage)


LISTS = [
    (lambda: stations().isel(time=0, drop=True), xpatch.KNNGraph(5)),
    (lambda: stations().isel(time=0, drop=True), xpatch.SphericalCap(2500.0)),
    (lambda: grid(20.0), xpatch.SphericalCap(3000.0)),
    (mesh, xpatch.KHopGraph(2)),
]


@pytest.mark.parametrize(("make", "geometry"), LISTS)
def test_members_are_counted(make, geometry):
    field = make()
    field = field.copy(data=np.arange(float(field.size)).reshape(field.shape))
    patches = field.patch.split(geometry=geometry)
    assert_counted(patches)
    assert_counted(patches.isel(patch=[9, 3, 9, 20]))


@pytest.mark.parametrize("length", [4, "4D"])
def test_steps_of_windows_are_counted(length):
    field = series().isel(time=[k for k in range(40) if k not in (7, 8, 20)])
    field = field.copy(data=np.arange(float(field.size)))
    stride = xpatch.RegularTimeStride(2)
    patches = field.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(length), stride))
    found = assert_counted(patches)
    assert bool(found.isnull().any()) == isinstance(length, str)
    ahead = field.patch.split(xpatch.TimePatcher(xpatch.LookbackHorizon(length, 2), stride))
    if length == 4:
        assert_counted(ahead.patch.lookback)
        assert_counted(ahead.patch.horizon)


@pytest.mark.parametrize("gappy", [False, True])
@pytest.mark.parametrize("geometry", [{"lat": 3, "lon": 4}, xpatch.KNNGraph(4)], ids=str)
def test_cells_in_space_and_time_are_counted(gappy, geometry):
    length = "4D" if gappy else 4
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(geometry, None if isinstance(geometry, dict) else xpatch.Random(9, 0)),
        xpatch.TimePatcher(xpatch.FixedLookback(length), xpatch.RegularTimeStride(2)),
    )
    patches = cube(gappy).patch.split(patcher)
    assert_counted(patches)
    assert_counted(patches.isel(patch=[5, 0, 12]))


def test_an_analysis_window_and_a_default_of_merge_count_for_nothing():
    field = numbered(y=8, x=9)
    plain = field.patch.split(**BOXES).patch.coverage
    patcher = xpatch.Patcher(*BOXES.values(), window="hann", aggregation="median")
    xr.testing.assert_equal(field.patch.split(patcher).patch.coverage, plain)


def test_dask_and_files_have_the_same(tmp_path):
    field = numbered(y=8, x=9).assign_coords(y=np.arange(8.0), x=np.arange(9.0))
    patches = field.patch.split(**BOXES)
    expected = patches.patch.coverage
    lazy = field.chunk(y=3).patch.split(**BOXES).patch.coverage
    np.testing.assert_array_equal(lazy, expected)
    patches.to_netcdf(tmp_path / "p.nc")
    again = xr.load_dataset(tmp_path / "p.nc")["t"].patch.coverage
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("boundary", ["shift", "pad", "wrap"])
def test_a_fit_of_patches_where_cells_count_once_is_that_of_the_field(boundary):
    rng = np.random.default_rng(0)
    g = xr.DataArray(rng.normal(size=(10, 12)), dims=("y", "x"))
    field = xr.Dataset(
        {"g": g, "t": 3 + 2 * g + xr.DataArray(rng.normal(size=(10, 12)), g.coords, g.dims)}
    )
    geometry = xpatch.Rectangular(y=4, x=5, boundary=boundary, pad_mode="constant")
    patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(2))
    weights = 1 / patches.patch.coverage
    theta = patches.patch.fit(xpatch.LeastSquares(), y="t", x="g", weights=weights, over="patch")
    slope, level = np.polyfit(field.g.values.ravel(), field.t.values.ravel(), 1)
    np.testing.assert_allclose(theta.coef, [level, slope], rtol=1e-10)
    plain = patches.patch.fit(xpatch.LeastSquares(), y="t", x="g", over="patch")
    assert boundary == "wrap" or not np.allclose(plain.coef, [level, slope], rtol=1e-4)


def test_means_of_cells_are_held_by_no_patch_alone():
    tree = series(n=60).patch.split(xpatch.TimePatcher(xpatch.MultiScale([4, 12])))
    coarse = [node.dataset for node in tree.leaves][-1]
    with pytest.raises(ValueError, match="cells of several scales are means"):
        _ = coarse.patch.coverage


# ------------------------------------------------------------------------------------- anchors


def product(geometry, coupling="product", **coords):
    field = cube().assign_coords(coords)
    boxes = isinstance(geometry, dict)
    sampler = None if boxes else xpatch.Explicit([3, 50, 17])
    count = field.isel(time=0).patch.split(geometry=geometry, sampler=sampler).sizes["patch"]
    stride = xpatch.RegularTimeStride(3)
    if coupling == "coupled":
        stride = xpatch.ExplicitTimes(np.resize(field.time.values[4::2], count))
    windows = xpatch.TimePatcher(xpatch.FixedLookback(3), stride)
    patcher = xpatch.SpatioTemporalPatcher(xpatch.Patcher(geometry, sampler), windows, coupling)
    return field.patch.split(patcher), count


@pytest.mark.parametrize("geometry", [{"lat": 3, "lon": 4}, xpatch.KNNGraph(4)], ids=str)
def test_places_are_outer_and_windows_inner(geometry):
    patches, count = product(geometry)
    at = patches.patch.anchors
    shape = (count, patches.sizes["patch"] // count)
    place, window = np.unravel_index(patches["patch"].values, shape)
    np.testing.assert_array_equal(at.place, place)
    np.testing.assert_array_equal(at.window, window)
    for name in ("cell_time", "place", "window"):
        assert at[name].dims == ("patch",)
    some = patches.isel(patch=[7, 2, 9])
    kept = some.patch.anchors
    np.testing.assert_array_equal(kept.place, place[[7, 2, 9]])
    np.testing.assert_array_equal(kept.window, window[[7, 2, 9]])


@pytest.mark.parametrize("geometry", [{"lat": 3, "lon": 4}, xpatch.KNNGraph(4)], ids=str)
def test_coupled_anchors_have_no_numbers_of_both(geometry):
    patches, _ = product(geometry, "coupled")
    assert not {"place", "window"} & set(patches.patch.anchors.variables)


def test_space_alone_and_time_alone_have_no_numbers():
    for patches in (
        numbered(y=8, x=9).patch.split(**BOXES),
        series().patch.split(xpatch.TimePatcher(xpatch.FixedLookback(3))),
    ):
        assert not {"place", "window"} & set(patches.patch.anchors.variables)


def test_names_that_the_field_has_stay_its_own():
    field = cube().rename(time="window", lat="place")
    windows = xpatch.TimePatcher(xpatch.FixedLookback(3), xpatch.RegularTimeStride(3))
    patcher = xpatch.SpatioTemporalPatcher(xpatch.Patcher({"place": 3, "lon": 4}), windows)
    at = field.patch.split(patcher).patch.anchors
    assert at["window"].dtype.kind == "M"
    assert set(at["place"].values.tolist()) <= set(field["place"].values.tolist())
    assert {"place", "window"} <= set(at.data_vars)


def test_numbers_of_patches_that_were_read_back(tmp_path):
    patches, _ = product({"lat": 3, "lon": 4})
    patches.to_netcdf(tmp_path / "p.nc")
    again = xr.load_dataset(tmp_path / "p.nc")["t"].patch.anchors
    for name in ("place", "window"):
        np.testing.assert_array_equal(again[name], patches.patch.anchors[name])
    lists, _ = product(xpatch.KNNGraph(4))
    lists.to_netcdf(tmp_path / "q.nc")
    again = xr.load_dataset(tmp_path / "q.nc")["t"].patch.anchors
    for name in ("place", "window"):
        np.testing.assert_array_equal(again[name], lists.patch.anchors[name])


def test_places_number_the_patches_of_the_spatial_patcher():
    patches, _ = product({"lat": 3, "lon": 4})
    alone = cube().isel(time=0).patch.split(geometry={"lat": 3, "lon": 4})
    at, of = patches.patch.anchors, alone.patch.anchors
    for d in ("lat", "lon"):
        np.testing.assert_array_equal(at[d], of[d].values[at.place])
    assert pd.unique(at.time.values).tolist() == sorted(pd.unique(at.time.values).tolist())
