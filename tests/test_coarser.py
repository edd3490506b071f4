"""Outputs that are coarser than their patches, and one value a patch as a field of its own."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate

import xpatch
from xpatch.domain.coarser import coarser

KERNEL = np.random.default_rng(1).random((5, 5)) / 25


def raster(ny=64, nx=96, dtype="f8"):
    values = np.random.default_rng(0).random((ny, nx)).astype(dtype)
    coords = {"y": 600_000 - 10.0 * np.arange(ny) - 5, "x": 5 + 10.0 * np.arange(nx)}
    out = xr.DataArray(values, coords, ("y", "x"), name="t")
    return out.rio.write_crs("EPSG:32633").rio.write_transform()


def strided(values, stride):
    """A network: one convolution that pads with zeros, and the mean of every so many cells."""
    out = np.stack([correlate(v, KERNEL, mode="constant") for v in values])
    n, h, w = out.shape
    return out.reshape(n, h // stride, stride, w // stride, stride).mean((2, 4))


def on_patches(stride):
    def network(patches):
        return xr.DataArray(
            strided(patches.values, stride), {"patch": patches["patch"]}, ("patch", "y", "x")
        )

    return network


# ------------------------------------------------------------------------- a strided network


@pytest.mark.parametrize("boundary", ["shift", "drop", "pad", "wrap", "raise"])
@pytest.mark.parametrize(
    ("stride", "size", "step", "margin"), [(2, 16, 8, 1), (4, 32, 16, 1), (16, 64, 32, 1)]
)
@pytest.mark.parametrize("chunks", [None, 40])
def test_strided_network_is_that_on_the_whole_field(boundary, stride, size, step, margin, chunks):
    field = raster(128, 192)
    if chunks:
        field = field.chunk(chunks)
    merged = field.patch.apply(
        on_patches(stride),
        geometry=xpatch.Rectangular(y=size, x=size, boundary=boundary),
        sampler=xpatch.RegularStride(step),
        aggregation=xpatch.OverlapAdd(xpatch.Boxcar(margin=margin)),
        scale=1 / stride,
    )
    whole = strided(field.values[None], stride)[0]
    inner = slice(margin, -margin)
    np.testing.assert_allclose(merged.values[inner, inner], whole[inner, inner], rtol=1e-12)
    if boundary == "wrap":
        around = np.pad(field.values, 16, mode="wrap")
        own = strided(around[None], stride)[0][
            16 // stride : -16 // stride, 16 // stride : -16 // stride
        ]
        np.testing.assert_allclose(merged, own, rtol=1e-12)


@pytest.mark.parametrize("window", ["hann", xpatch.Tukey(0.25), xpatch.Gaussian(0.5), None])
@pytest.mark.parametrize("stride", [2, 4, 16])
def test_outputs_that_agree_merge_to_themselves_under_every_window(window, stride):
    field = raster(96, 128)
    patches = field.patch.split({"y": 48, "x": 32}, sampler=xpatch.RegularStride(16))
    merged = (
        patches.coarsen(y=stride, x=stride)
        .mean()
        .patch.merge(xpatch.OverlapAdd(window), scale=Fraction(1, stride))
    )
    np.testing.assert_allclose(merged, field.coarsen(y=stride, x=stride).mean(), rtol=1e-12)


def test_a_patch_that_becomes_one_token_needs_no_margin():
    field = raster()
    patches = field.patch.split({"y": 16, "x": 16})
    tokens = patches.mean(("y", "x")).expand_dims(y=1, x=1, axis=(1, 2))
    merged = tokens.patch.merge(scale=1 / 16)
    np.testing.assert_allclose(merged, field.coarsen(y=16, x=16).mean())
    assert merged.rio.transform() == field.rio.transform() * Affine.scale(16)


# ---------------------------------------------------------------------------- where cells are


def test_cells_lie_on_the_ground_of_those_they_stand_for():
    field = raster()
    merged = field.patch.split({"y": 16, "x": 32}).coarsen(y=4, x=8).mean()
    merged = merged.patch.merge(scale={"y": 1 / 4, "x": 1 / 8})
    assert merged.rio.bounds() == field.rio.bounds()
    assert merged.rio.transform() == field.rio.transform() * Affine.scale(8, 4)
    assert merged.spatial_ref.attrs["GeoTransform"] == "0.0 80.0 0.0 600000.0 0.0 -40.0"
    np.testing.assert_array_equal(merged.x, field.x.values.reshape(-1, 8).mean(1))
    assert merged.indexes["y"].is_unique
    assert merged.rio.crs == field.rio.crs


def test_rasters_without_labels_keep_their_affine():
    turned = Affine(8, 6, 500_000, 6, -8, 4_000_000)
    field = raster().drop_vars(["y", "x"]).rio.write_transform(turned)
    merged = field.patch.split({"y": 16, "x": 16})
    merged = merged.coarsen(y=4, x=4).mean().patch.merge(scale=1 / 4)
    assert merged.rio.transform() == turned * Affine.scale(4)
    assert "x" not in merged.coords


def test_longitudes_average_around_the_dateline():
    lon = np.array([178.5, 179.5, -179.5, -178.5])
    coords = {"lat": ("lat", [10.0, 11]), "lon": ("lon", lon)}
    field = xr.DataArray(np.ones((2, 4)), coords, ("lat", "lon"))
    merged = field.patch.split({"lat": 2, "lon": 4}).coarsen(lat=2, lon=4).mean().drop_vars("lon")
    lon = float(merged.patch.merge(scale={"lat": 1 / 2, "lon": 1 / 4}).lon[0])
    assert lon % 360 == 180


def test_curvilinear_coordinates_are_averaged():
    y, x = np.mgrid[:8, :8]
    lat, lon = 50 + y + 0.1 * x, 5 + x - 0.2 * y
    coords = {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}
    field = xr.DataArray(np.ones((8, 8)), coords, ("j", "i"))
    merged = field.patch.split({"j": 4, "i": 4}).coarsen(j=2, i=2).mean()
    merged = merged.patch.merge(scale=1 / 2)
    np.testing.assert_allclose(merged.lat, lat.reshape(4, 2, 4, 2).mean((1, 3)))
    np.testing.assert_allclose(merged.lon, lon.reshape(4, 2, 4, 2).mean((1, 3)))


@pytest.mark.parametrize("flip", [False, True])
def test_bounds_reach_over_what_a_cell_stands_for(flip):
    lat = np.arange(8.0)[:: -1 if flip else 1]
    half = -0.5 if flip else 0.5
    bounds = np.stack([lat - half, lat + half], axis=1)
    coords = {"lat": ("lat", lat, {"bounds": "lat_bnds"}), "lat_bnds": (("lat", "v"), bounds)}
    domain = xpatch.domain_of(xr.Dataset({"t": ("lat", np.arange(8.0))}, coords))
    coarse = coarser(domain, {"lat": 4}).template
    np.testing.assert_array_equal(coarse.lat_bnds, bounds.reshape(2, 4, 2)[:, [0, -1], [0, 1]])
    np.testing.assert_array_equal(coarse.lat, coarse.lat_bnds.mean("v"))


@pytest.mark.parametrize("calendar", ["proleptic_gregorian", "noleap", "360_day"])
def test_weeks_of_days(calendar):
    cf = calendar != "proleptic_gregorian"
    time = xr.date_range("2000-02-26", periods=42, calendar=calendar, use_cftime=cf)
    field = xr.DataArray(np.arange(42.0), {"time": time}, ("time",))
    patcher = xpatch.TimePatcher(xpatch.FixedLookback(14), xpatch.RegularTimeStride(7))
    windows = field.patch.split(patcher)
    out = xr.DataArray(
        windows.values.reshape(-1, 2, 7).mean(-1), {"patch": windows["patch"]}, ("patch", "time")
    )
    merged = out.patch.merge("mean", scale={"time": 1 / 7})
    np.testing.assert_array_equal(merged, np.arange(3.0, 42, 7))
    assert list(merged.time.values) == list(field.time.values[3::7])
    once = xpatch.TimePatcher(xpatch.FixedLookback(14), xpatch.ExplicitTimes(time[[15]]))
    with pytest.raises(ValueError, match="start at multiples of 7"):
        field.patch.split(once).patch.merge(scale={"time": 1 / 7})


def test_a_field_read_back_from_a_store(tmp_path):
    patches = raster().patch.split({"y": 16, "x": 16}, sampler=xpatch.RegularStride(8))
    patches.coarsen(y=4, x=4).mean().to_zarr(tmp_path / "p.zarr")
    read = xr.open_zarr(tmp_path / "p.zarr", chunks=None, decode_coords="all")["t"]
    merged = read.isel(patch=slice(None, None, -1)).patch.merge(scale=1 / 4)
    expected = raster().coarsen(y=4, x=4).mean()
    np.testing.assert_allclose(merged, expected)
    np.testing.assert_array_equal(merged.x, expected.x)


def test_finer_along_one_dimension_and_coarser_along_the_other():
    field = raster()
    patches = field.patch.split({"y": 16, "x": 16})
    out = patches.coarsen(y=4).mean().values.repeat(2, axis=2)
    out = xr.DataArray(out, {"patch": patches["patch"]}, ("patch", "y", "x"))
    merged = out.patch.merge(scale={"y": 0.25, "x": 2.0})
    assert merged.shape == (16, 192)
    np.testing.assert_allclose(merged.x[:2], [2.5, 7.5])
    assert merged.rio.transform() == field.rio.transform() * Affine.scale(0.5, 4)


def test_labels_of_the_first_of_every_four_cells_are_taken_for_those_of_coarse_cells():
    field = raster()
    patches = field.patch.split({"y": 16, "x": 16})
    merged = patches.isel(y=slice(None, None, 4), x=slice(None, None, 4)).patch.merge(scale=1 / 4)
    np.testing.assert_array_equal(merged, field[::4, ::4])
    np.testing.assert_array_equal(merged.y, field.y.values.reshape(-1, 4).mean(1))
    moved = patches.isel(y=slice(None, None, 4)).roll(y=1, roll_coords=True)
    with pytest.raises(ValueError, match="not a run"):
        moved.patch.merge(scale={"y": 1 / 4})


@pytest.mark.parametrize("calendar", ["proleptic_gregorian", "noleap"])
@pytest.mark.parametrize("pick", ["mean", "first"])
def test_dates_of_coarse_steps(calendar, pick):
    cf = calendar == "noleap"
    time = xr.date_range("2000-02-26", periods=12, calendar=calendar, use_cftime=cf)
    field = xr.DataArray(np.arange(12.0), {"time": time}, ("time",))
    windows = field.patch.split({"time": 4})
    out = windows.coarsen(time=2).mean() if pick == "mean" else windows[:, ::2]
    merged = out.patch.merge(scale={"time": 1 / 2})
    np.testing.assert_array_equal(merged, np.arange(12.0)[::2] + (0.5 if pick == "mean" else 0))
    half = (field.time.values[1] - field.time.values[0]) / 2
    assert list(merged.time.values) == [t + half for t in field.time.values[::2]]
    with pytest.raises(ValueError, match="labels along 'time'"):
        out.roll(time=1, roll_coords=True).patch.merge(scale={"time": 1 / 2})


def test_a_crop_counts_in_cells_of_the_field():
    field = raster()
    patches = field.patch.split({"y": 32, "x": 32}, sampler=xpatch.RegularStride(16))
    cropped = patches.patch.crop(y=8, x=8)
    out = cropped[:, ::4, ::4].copy(data=strided(patches.values, 4)[:, 2:-2, 2:-2])
    merged = out.patch.merge(scale=1 / 4)
    whole = strided(field.values[None], 4)[0]
    np.testing.assert_allclose(merged[2:-2, 2:-2], whole[2:-2, 2:-2])
    assert merged[0].isnull().all()
    with pytest.raises(ValueError, match="cropped by 2 and 2 cells along 'y'"):
        patches.patch.crop(y=2).patch.merge(scale={"y": 1 / 4})


def test_an_analysis_window_is_averaged_with_the_cells():
    field = raster(dtype="f8") * 0 + 3
    patches = field.patch.split({"y": 16, "x": 16}, sampler=xpatch.RegularStride(4), window="hann")
    merged = patches.coarsen(y=4, x=4).mean().patch.merge(scale=1 / 4)
    np.testing.assert_allclose(merged, 3)


def test_an_analysis_window_of_which_a_dimension_was_reduced():
    field = xr.DataArray(np.ones((4, 16, 16)), dims=("time", "y", "x"))
    step = xpatch.RegularStride({"time": 4, "y": 4, "x": 4})
    patches = field.patch.split({"time": 4, "y": 8, "x": 8}, sampler=step, window="hann")
    made = patches.isel(time=1).coarsen(y=4, x=4).mean()
    merged = made.patch.merge("mean", scale={"y": 1 / 4, "x": 1 / 4})
    assert merged.sizes == {"time": 4, "y": 4, "x": 4}
    np.testing.assert_allclose(merged, (1 + np.cos(np.pi / 4)) / 2)  # the taper of that step


def test_chunks_of_coarse_cells_and_one_read(tmp_path):
    field = raster().chunk(y=20, x=33)
    lazy = field.patch.apply(lambda p: p.coarsen(y=4, x=4).mean(), {"y": 16, "x": 16}, scale=1 / 4)
    assert lazy.chunks == ((5, 5, 5, 1), (8, 8, 8))
    np.testing.assert_allclose(lazy, raster().coarsen(y=4, x=4).mean())


def test_what_no_patch_covers_is_missing():
    field = raster()
    patches = field.patch.split({"y": 16, "x": 16}).isel(patch=slice(1, None))
    merged = patches.coarsen(y=4, x=4).mean().patch.merge(scale=1 / 4)
    assert merged[:4, :4].isnull().all()
    assert merged[:4, 4:].notnull().all()


def test_an_odd_end_of_the_field_is_dropped():
    field = raster(62, 96)
    patches = field.patch.split(xpatch.Rectangular(y=16, x=16, boundary="drop"))
    merged = patches.coarsen(y=4, x=4).mean().patch.merge(scale=1 / 4)
    assert merged.sizes == {"y": 15, "x": 24}
    np.testing.assert_allclose(merged[:12], field[:48].coarsen(y=4, x=4).mean())
    assert merged[12:].isnull().all()


@settings(max_examples=15, deadline=None)
@given(
    factor=st.sampled_from([2, 3, 4]),
    tiles=st.integers(1, 3),
    step=st.integers(1, 2),
    n=st.integers(4, 7),
    boundary=st.sampled_from(["shift", "pad", "drop", "wrap"]),
)
def test_coarse_identity(factor, tiles, step, n, boundary):
    size, length = factor * tiles, factor * n
    x = np.arange(length) * 0.5
    field = xr.DataArray(np.random.default_rng(n).random(length), {"x": x}, ("x",))
    patches = field.patch.split(
        xpatch.Rectangular(x=size, boundary=boundary),
        sampler=xpatch.RegularStride(factor * min(step, tiles)),
    )
    expected = field.coarsen(x=factor).mean()
    merged = patches.coarsen(x=factor).mean().patch.merge(scale={"x": Fraction(1, factor)})
    covered = merged.notnull()
    assert covered.all() or boundary == "drop"
    np.testing.assert_allclose(merged.where(covered, 0), expected.where(covered, 0))
    np.testing.assert_array_equal(merged.x, expected.x)


# ------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("scale", [0.3, 0, -1, 2.5, float("nan"), Fraction(3, 4), {"y": "half"}])
def test_scales_that_are_neither(scale):
    patches = raster().patch.split({"y": 16, "x": 16})
    with pytest.raises(ValueError, match="one over an int"):
        patches.patch.merge(scale=scale)


@pytest.mark.parametrize("scale", [True, "2", [2]])
def test_scales_of_other_kinds(scale):
    with pytest.raises(TypeError, match="scale must be a number"):
        raster().patch.split({"y": 16, "x": 16}).patch.merge(scale=scale)


def test_errors_say_what_to_do():
    field = raster()
    with pytest.raises(
        ValueError, match=r"multiple of 4 cells along 'y'.*have 18: split with 16 or 20"
    ):
        field.patch.split({"y": 18, "x": 16}).patch.merge(scale=1 / 4)
    stride = xpatch.RegularStride(6)
    with pytest.raises(
        ValueError, match="such as the one at 6: give a stride that is a multiple of 4"
    ):
        field.patch.split({"y": 16, "x": 16}, sampler=stride).patch.merge(scale=1 / 4)
    with pytest.raises(
        ValueError, match=r"at 46: the last one was moved in.*isel\(y=slice\(60\)\)"
    ):
        field[:62].patch.split({"y": 16, "x": 16}).patch.merge(scale=1 / 4)
    padded = xpatch.Rectangular(y=16, x=16, boundary="pad")
    with pytest.raises(ValueError, match=r"62 cells along 'y'.*isel\(y=slice\(60\)\)"):
        field[:62].patch.split(padded).patch.merge(scale=1 / 4)
    stations = xr.DataArray(
        np.ones(9), {"lat": ("s", np.arange(9.0)), "lon": ("s", np.arange(9.0))}, ("s",)
    )
    with pytest.raises(ValueError, match="lists of members"):
        stations.patch.split(xpatch.KNNGraph(3)).patch.merge(scale={"s": 1 / 3})


def test_an_output_that_came_back_smaller_is_told_of_scale():
    patches = raster().patch.split({"y": 16, "x": 16})
    out = xr.DataArray(strided(patches.values, 4), {"patch": patches["patch"]}, ("patch", "y", "x"))
    with pytest.raises(ValueError, match=r"coarsens the grid pass merge\(scale=\{'y': 1/4\}\)"):
        out.patch.merge()
    with pytest.raises(
        ValueError, match=r"1/8.* makes 2 cells .* of 16, and these have 4: scale=\{'y': 1/4\}"
    ):
        out.patch.merge(scale=1 / 8)
    with pytest.raises(ValueError, match=r"makes 64 cells .*: scale=\{'y': 1/4\}"):
        out.patch.merge(scale=4)


# ------------------------------------------------------------------------------- at the anchors


def test_one_value_a_tile_is_a_grid_of_tiles():
    field = raster()
    merged = field.patch.split({"y": 16, "x": 16}).mean(("y", "x")).patch.merge(to="anchors")
    np.testing.assert_allclose(merged, field.coarsen(y=16, x=16).mean())
    np.testing.assert_array_equal(merged.x, field.x.values.reshape(-1, 16).mean(1))
    assert merged.rio.transform() == field.rio.transform() * Affine.scale(16)
    assert merged.rio.crs == field.rio.crs
    assert merged.name == "t"


def test_left_out_patches_are_missing_and_repeated_ones_count():
    field = raster()
    values = field.patch.split({"y": 16, "x": 16}).mean(("y", "x"))
    merged = values.isel(patch=[7, 0, 3]).patch.merge(to="anchors")
    assert merged.notnull().sum() == 3
    assert float(merged[1, 1]) == float(values[7])
    twice = values.isel(patch=[0, 0, 1]).patch.merge("sum", to="anchors")
    np.testing.assert_allclose(twice[0, :2], [2 * values[0], values[1]])


def test_a_stride_of_which_patches_were_left_out_is_still_a_grid():
    field = raster()
    few = field.where((field.x > 300) & (field.y > 599_700))
    valid = xpatch.Valid(xpatch.RegularStride(8), 0.9)
    merged = few.patch.split({"y": 16, "x": 16}, sampler=valid).mean(("y", "x"))
    merged = merged.patch.merge(to="anchors")
    np.testing.assert_allclose(np.diff(merged.x), 80)
    np.testing.assert_allclose(np.diff(merged.y), -80)


def test_scattered_anchors_along_a_line_are_as_many_cells_as_there_are():
    n = 10**6
    field = xr.DataArray(np.zeros(n, "i1"), {"x": np.arange(n)}, "x")
    some = [10, 11, n - 20, n - 10]
    patches = field.patch.split({"x": 4}, sampler=xpatch.Explicit({"x": some}))
    merged = patches.mean("x").patch.merge(to="anchors")
    assert merged.sizes == {"x": 4}
    np.testing.assert_array_equal(merged.x, np.array(some) - 0.5)


def test_windows_in_time_are_at_their_anchors():
    time = pd.date_range("2000-01-01", periods=40)
    field = xr.DataArray(np.arange(40.0), {"time": time}, ("time",))
    patcher = xpatch.TimePatcher(xpatch.FixedLookback("10D"), xpatch.RegularTimeStride(10))
    merged = field.patch.split(patcher).mean("time").patch.merge(to="anchors")
    assert list(merged.time.values) == list(field.time.values[9::10])
    np.testing.assert_array_equal(merged, [4.5, 14.5, 24.5, 34.5])


def test_boxes_by_windows_are_a_cube():
    time = pd.date_range("2000-01-01", periods=20)
    values = np.random.default_rng(0).random((20, 8, 12))
    coords = {"time": time, "y": np.arange(8.0), "x": np.arange(12.0)}
    field = xr.DataArray(values, coords, ("time", "y", "x"))
    windows = xpatch.TimePatcher(xpatch.FixedLookback(5), xpatch.RegularTimeStride(5))
    patches = field.patch.split(
        xpatch.SpatioTemporalPatcher(xpatch.Patcher({"y": 4, "x": 4}), windows)
    )
    merged = patches.mean(("time", "y", "x")).patch.merge(to="anchors")
    expected = values.reshape(4, 5, 2, 4, 3, 4).mean((1, 3, 5))
    np.testing.assert_allclose(merged.transpose("time", "y", "x"), expected)


def test_a_value_for_each_neighborhood_is_at_its_station():
    rng = np.random.default_rng(0)
    coords = {"lat": ("s", rng.random(30)), "lon": ("s", rng.random(30))}
    field = xr.DataArray(rng.random(30), coords, ("s",))
    patches = field.patch.split(xpatch.KNNGraph(5))
    merged = patches.mean("s").patch.merge(to="anchors")
    np.testing.assert_array_equal(merged, patches.mean("s"))
    np.testing.assert_array_equal(merged.lat, field.lat)


@pytest.mark.parametrize("dtype", [str, object])
def test_names_have_no_middle(dtype):
    field = xr.DataArray(np.arange(16.0).reshape(4, 4), {"y": list("abcd")}, ("y", "x"))
    field = field.assign_coords(y=field.y.astype(dtype), x=np.arange(4))
    means = field.patch.split({"y": 2, "x": 2}).mean(("y", "x"))
    merged = means.patch.merge(to="anchors")
    np.testing.assert_array_equal(merged, [[2.5, 4.5], [10.5, 12.5]])
    assert "y" not in merged.coords
    assert merged.x.values.tolist() == [0.5, 2.5]
    odd = field.patch.split({"y": 3}, sampler=xpatch.RegularStride(1)).mean("y")
    assert odd.patch.merge(to="anchors").y.values.tolist() == ["b", "c"]


def test_lazily():
    patches = raster().chunk(20).patch.split({"y": 16, "x": 16})
    merged = patches.mean(("y", "x")).patch.merge(to="anchors")
    assert merged.chunks is not None
    np.testing.assert_allclose(merged, raster().coarsen(y=16, x=16).mean())


@pytest.mark.parametrize("where", ["memory", "dask", "disk"])
def test_apply_gives_a_thumbnail_of_overlapping_patches(where, tmp_path):
    field = raster()
    source = field.chunk(20) if where == "dask" else field
    if where == "disk":
        field.to_netcdf(tmp_path / "f.nc")
        source = xr.open_dataarray(tmp_path / "f.nc", chunks=None, decode_coords="all")
    how = {"geometry": {"y": 16, "x": 16}, "sampler": xpatch.RegularStride(8), "batch_size": 5}
    merged = source.patch.apply(lambda p: p.mean(("y", "x")), to="anchors", **how)
    expected = field.rolling(y=16, x=16).mean()[15::8, 15::8]
    np.testing.assert_allclose(merged, expected)
    np.testing.assert_allclose(merged.x, expected.x - 75)
    assert (merged.chunks is not None) == (where == "dask")
    with pytest.raises(ValueError, match="one value per patch"):
        source.patch.apply(lambda p: p, to="anchors", **how)


def test_anchors_that_are_no_grid_are_refused():
    field = raster(200, 200)
    scattered = field.patch.split({"y": 16, "x": 16}, sampler=xpatch.Random(50, seed=0))
    with pytest.raises(ValueError, match=r"scattered over .* crossings"):
        scattered.mean(("y", "x")).patch.merge(to="anchors")
    patches = field.patch.split({"y": 16, "x": 16})
    with pytest.raises(ValueError, match="one value per patch"):
        patches.patch.merge(to="anchors")
    with pytest.raises(ValueError, match="to must be 'anchors'"):
        patches.patch.merge(to="centers")
    with pytest.raises(ValueError, match="has no scale"):
        patches.patch.merge(to="anchors", scale=2)


# ----------------------------------------------------------------- an aggregation a variable


def heads():
    field = raster(dtype="f4")
    values = {"height": field, "label": (field * 5).astype("u1"), "depth": field * 2}
    return xr.Dataset(values)


@pytest.mark.parametrize("rest", ["...", "…", ...])
@pytest.mark.parametrize("chunks", [None, 20])
def test_each_head_has_its_aggregation(rest, chunks):
    field = heads().chunk(chunks) if chunks else heads()
    patches = field.patch.split({"y": 16, "x": 16}, sampler=xpatch.RegularStride(8))
    how = {"height": xpatch.OverlapAdd("hann"), "label": "mode", rest: "max"}
    merged = patches.patch.merge(how)
    assert list(merged) == ["height", "label", "depth"]
    for name, own in {"height": how["height"], "label": "mode", "depth": "max"}.items():
        xr.testing.assert_identical(
            merged[name].compute(), patches[name].patch.merge(own).compute()
        )
    assert merged.label.dtype == "u1"
    assert merged.rio.crs == field.height.rio.crs


def test_what_is_not_named_is_merged_as_the_patcher_says():
    patcher = xpatch.Patcher({"y": 16, "x": 16}, xpatch.RegularStride(8), aggregation="max")
    patches = heads().patch.split(patcher)
    merged = patches.patch.merge({"label": "mode"})
    xr.testing.assert_identical(merged.depth, patches.depth.patch.merge("max"))


def test_means_and_variances_are_merged_together():
    patches = heads().patch.split({"y": 16, "x": 16}, sampler=xpatch.RegularStride(8)) + 1
    both = xpatch.InvVarWeightedMean("height", "depth")
    merged = patches.patch.merge({"height": both, "depth": both, "label": "mode"})
    expected = patches[["height", "depth"]].patch.merge(both)
    xr.testing.assert_identical(merged[["height", "depth"]], expected)
    xr.testing.assert_identical(patches.patch.merge({"height": both, ...: "mode"}), merged)


def test_names_that_are_none_of_the_dataset():
    patches = heads().patch.split({"y": 16, "x": 16})
    with pytest.raises(KeyError, match="'hight', which is no variable"):
        patches.patch.merge({"hight": "mean"})
    with pytest.raises(TypeError, match="DataArray"):
        patches.height.patch.merge({"height": "mean"})


def test_coordinates_that_no_variable_has_come_back_as_with_one_aggregation():
    field = xr.Dataset(
        {n: (("y", "x"), np.ones((8, 8))) for n in "ab"},
        {"wavelength": ("q", [1.0, 2.0]), "y": np.arange(8), "run": 3},
    )
    patches = field.patch.split({"y": 4, "x": 4})
    one, each = (patches.patch.merge(how) for how in ("mean", {"a": "max", ...: "mean"}))
    xr.testing.assert_identical(each, one)


def test_classes_that_were_voted_on_are_no_dimension_of_the_result():
    chance = xr.DataArray(np.stack([np.ones((8, 8)), np.zeros((8, 8))]), dims=("class", "y", "x"))
    field = xr.Dataset({"height": chance[0], "kind": chance}, {"class": [3, 7]})
    patches = field.patch.split({"y": 4, "x": 4})
    merged = patches.patch.merge({"kind": xpatch.SoftVote("class"), ...: "mean"})
    assert merged.sizes == {"y": 8, "x": 8}
    assert (merged["kind"] == 3).all()
    assert (merged["height"] == 1).all()
