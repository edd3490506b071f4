"""`xpatch.write` to a GeoTIFF: cloud optimized, streamed, complete or not there."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine

import xpatch

rasterio = pytest.importorskip("rasterio")
rioxarray = pytest.importorskip("rioxarray")

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:Use `@` matmul"),
]


def raster(height=70, width=90, dtype="f4", epsg=32632, north=True):
    y = 6_000_000 - 10 * (np.arange(height) + 0.5)
    x = 500_000 + 10 * (np.arange(width) + 0.5)
    values = np.random.default_rng(0).integers(0, 100, (height, width)).astype(dtype)
    field = xr.DataArray(values, {"y": y if north else y[::-1], "x": x}, ("y", "x"), name="b4")
    return field.rio.write_crs(epsg)


def tiles(field, size=16, stride=12):
    return field.patch.split(geometry={"y": size, "x": size}, sampler=xpatch.RegularStride(stride))


def read(path):
    with rasterio.open(path) as source:
        return source.read()


# ------------------------------------------------------------------------------- what is written


def test_a_merged_field_is_a_cog_with_its_values_and_its_place(tmp_path):
    field = raster(700, 600)
    merged = tiles(field.chunk(128), 64, 48).patch.merge(xpatch.OverlapAdd("hann"))
    path = tmp_path / "map.tif"
    assert xpatch.write(merged, path) == 6 * 5  # chunks
    with rasterio.open(path) as source:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert source.crs.to_epsg() == 32632
        assert source.transform == Affine(10, 0, 500_000, 0, -10, 6_000_000)
        assert source.overviews(1) == [2]
        assert source.block_shapes == [(512, 512)]
        assert np.isnan(source.nodata)
        assert source.descriptions == ("b4",)
        np.testing.assert_allclose(source.read(1), field, rtol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]
    opened = rioxarray.open_rasterio(path).squeeze("band", drop=True)
    np.testing.assert_array_equal(opened.x, field.x)
    np.testing.assert_array_equal(opened.y, field.y)


def test_headers_come_before_data_and_overviews_before_the_image(tmp_path):
    """The first directory, then those of overviews; tiles of overviews before those of the image."""
    path = tmp_path / "map.tif"
    xpatch.write(raster(1200, 1300, "u1"), path)
    head = path.read_bytes()[:4096]
    assert b"LAYOUT=IFDS_BEFORE_DATA" in head
    assert b"BLOCK_ORDER=ROW_MAJOR" in head

    def first_tile(**level):
        with rasterio.open(path, **level) as source:
            return int(source.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1))

    assert first_tile(overview_level=1) < first_tile(overview_level=0) < first_tile()


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", ">i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16"]
)
def test_dtypes_stay(tmp_path, dtype):
    field = raster(20, 30).astype(dtype)
    extreme = np.finfo(field.dtype).max if field.dtype.kind in "fc" else np.iinfo(field.dtype).max
    field[0, 0] = extreme
    path = tmp_path / "a.tif"
    xpatch.write(field, path)
    found = read(path)[0]
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, field)


def test_masks_take_a_bit_and_half_floats_become_floats(tmp_path):
    xpatch.write(raster() > 50, tmp_path / "mask.tif")
    with rasterio.open(tmp_path / "mask.tif") as source:
        assert source.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "1"
        np.testing.assert_array_equal(source.read(1), raster() > 50)
    xpatch.write(raster(dtype="f2"), tmp_path / "half.tif")
    np.testing.assert_array_equal(read(tmp_path / "half.tif")[0], raster())
    assert read(tmp_path / "half.tif").dtype == "f4"


def test_overviews_average_floats_and_never_mix_labels(tmp_path):
    labels = raster(600, 600, "u1") * 2
    xpatch.write(labels, tmp_path / "labels.tif")
    with rasterio.open(tmp_path / "labels.tif", overview_level=0) as source:
        coarse = source.read(1)
    assert coarse.shape == (300, 300)
    assert not (coarse % 2).any()
    xpatch.write(labels.astype("f4"), tmp_path / "floats.tif")
    with rasterio.open(tmp_path / "floats.tif", overview_level=0) as source:
        means = labels.values.reshape(300, 2, 300, 2).mean((1, 3))
        np.testing.assert_allclose(source.read(1), means, rtol=1e-6)


def test_bands_have_the_names_of_their_labels(tmp_path):
    field = xr.concat([raster(), raster() * 2, raster() * 3], "band").assign_coords(
        band=["red", "green", "nir"]
    )
    for k, given in enumerate((field, field.transpose("y", "x", "band").chunk(band=2, y=30))):
        xpatch.write(given, tmp_path / f"{k}.tif")
        with rasterio.open(tmp_path / f"{k}.tif") as source:
            assert source.descriptions == ("red", "green", "nir")
            np.testing.assert_array_equal(source.read(), field)
    dates = field.rename(band="time").assign_coords(
        time=np.array(["2024-01-01", "2024-02-01", "2024-03-01"], "M8[ns]")
    )
    xpatch.write(dates, tmp_path / "t.tif")
    with rasterio.open(tmp_path / "t.tif") as source:
        assert source.descriptions == ("2024-01-01", "2024-02-01", "2024-03-01")


def test_variables_of_a_dataset_are_bands(tmp_path):
    one, two = raster().assign_attrs(units="K"), raster() * 3
    field = xr.Dataset({"t": one, "u": two.chunk(y=32)})
    assert xpatch.write(field, tmp_path / "a.tif") == 1 + 3
    with rasterio.open(tmp_path / "a.tif") as source:
        assert source.descriptions == ("t", "u")
        assert source.units == ("K", None)
        assert source.crs.to_epsg() == 32632
        np.testing.assert_array_equal(source.read(), [one, two])


# --------------------------------------------------------------------------------- where it lies


def test_rows_from_south_to_north_are_written_as_they_are(tmp_path):
    field = raster(north=False)
    xpatch.write(field, tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as source:
        np.testing.assert_array_equal(source.read(1), field)
        assert source.transform.e == 10
        x, y = source.xy(0, 0)
    assert (x, y) == (field.x[0], field.y[0])


@pytest.mark.parametrize("labels", [True, False])
def test_rotated_rasters_and_those_without_labels(tmp_path, labels):
    transform = Affine(10, 0, 500_000, 0, -10, 6_000_000)
    transform = transform if labels else transform @ Affine.rotation(20)
    with rasterio.open(
        tmp_path / "in.tif", "w", driver="GTiff", height=40, width=50, count=1, dtype="float32",
        crs="EPSG:32633", transform=transform,
    ) as out:  # fmt: skip
        out.write(np.arange(2000, dtype="f4").reshape(1, 40, 50))
    field = rioxarray.open_rasterio(tmp_path / "in.tif", parse_coordinates=not labels and None)
    merged = tiles(field).patch.merge()
    xpatch.write(merged, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as source:
        assert source.transform.almost_equals(transform, 1e-9)
        assert source.crs.to_epsg() == 32633
        np.testing.assert_array_equal(source.read(), field)


def test_longitude_and_latitude_lie_in_degrees(tmp_path):
    field = xr.DataArray(
        np.arange(12.0).reshape(3, 4), {"lat": [10, 20, 30], "lon": [0, 90, 180, 270]}
    )
    xpatch.write(field.transpose("lon", "lat"), tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as source:
        assert source.crs.to_epsg() == 4326
        assert tuple(source.transform)[:6] == (90, 0, -45, 0, 10, 5)
        np.testing.assert_array_equal(source.read(1), field)


def test_a_crs_that_geotiffs_have_no_keys_for_is_refused_before_anything_is_computed(tmp_path):
    def fail(block):
        raise RuntimeError

    rotated = "+proj=ob_tran +o_proj=moll +o_lat_p=45 +o_lon_p=0 +R=6371000"
    field = raster().chunk(32).map_blocks(fail, template=raster().chunk(32)).rio.write_crs(rotated)
    with pytest.raises(ValueError, match="cannot hold the CRS"):
        xpatch.write(field, tmp_path / "a.tif")
    sphere = "+proj=lcc +lat_1=30 +lat_2=60 +lat_0=40 +lon_0=-97 +R=6370000"  # of WRF
    xpatch.write(raster().rio.write_crs(sphere), tmp_path / "b.tif")
    with rasterio.open(tmp_path / "b.tif") as source:
        assert source.crs == rasterio.crs.CRS.from_string(sphere)


def test_a_crs_that_stayed_behind_in_the_file_is_told_of(tmp_path):
    raster().to_zarr(tmp_path / "a.zarr")
    merged = tiles(xr.open_zarr(tmp_path / "a.zarr")["b4"]).patch.merge()
    with pytest.warns(UserWarning, match=r"no\.tif gets no CRS.*decode_coords='all'") as told:
        xpatch.write(merged, tmp_path / "no.tif")
    assert told[-1].filename == __file__
    whole = xr.open_zarr(tmp_path / "a.zarr", decode_coords="all")["b4"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        xpatch.write(xr.open_zarr(tmp_path / "a.zarr").load(), tmp_path / "whole.tif")
        xpatch.write(whole.load(), tmp_path / "b.tif")
    for name in ("whole.tif", "b.tif"):
        with rasterio.open(tmp_path / name) as source:
            assert source.crs.to_epsg() == 32632


def test_an_array_that_lies_nowhere_gets_no_place(tmp_path):
    xpatch.write(xr.DataArray(np.ones((4, 6)), dims=("row", "column")), tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as source:
        assert source.crs is None
        assert source.transform.is_identity


# ------------------------------------------------------------------------- missing, and packing


def test_what_is_missing_stays_so(tmp_path):
    field = raster(dtype="i2").assign_attrs(_FillValue=-1)
    field[3, 4] = -1
    xpatch.write(field, tmp_path / "i.tif")
    with rasterio.open(tmp_path / "i.tif") as source:
        assert source.nodata == -1
        assert np.argwhere(source.read(1, masked=True).mask).tolist() == [[3, 4]]
    floats = raster().assign_attrs(_FillValue=-9999.0)
    floats[3, 4], floats[5, 6] = -9999, np.nan  # both are missing
    xpatch.write(floats.chunk(32), tmp_path / "f.tif")
    with rasterio.open(tmp_path / "f.tif") as source:
        assert source.nodata == -9999
        assert np.argwhere(source.read(1, masked=True).mask).tolist() == [[3, 4], [5, 6]]


def test_packing_is_undone_by_readers_and_refused_where_values_do_not_fit(tmp_path):
    field = raster() / 100
    field[2, 2] = np.nan
    how = {"dtype": "u1", "scale_factor": 0.01, "_FillValue": 255}
    xpatch.write(field.rename("t"), tmp_path / "a.tif", encoding={"t": how})
    opened = rioxarray.open_rasterio(tmp_path / "a.tif", mask_and_scale=True)
    np.testing.assert_allclose(opened[0], field, atol=1e-6)
    for bad, said in (({"dtype": "u1", "scale_factor": 0.001, "_FillValue": 0}, "do not fit uint8"),
                      ({"dtype": "u1"}, "name a number"),
                      ({"dtype": "u1", "_FillValue": -1}, "no number that uint8 holds"),
                      ({"chunks": 3}, "got 'chunks'")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            xpatch.write(field.chunk(30), tmp_path / "b.tif", encoding={"b4": bad})
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_numbers_that_attributes_scale_are_so_in_the_file(tmp_path):
    """Oracle: what xarray decodes of the same field in zarr."""
    packed = raster(dtype="u2").assign_attrs(scale_factor=0.1, add_offset=-2.0)
    xpatch.write(packed, tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as source:
        assert (source.scales, source.offsets) == ((0.1,), (-2.0,))
        np.testing.assert_array_equal(source.read(1), packed)
    xpatch.write(packed, tmp_path / "a.zarr")
    stored = xr.open_zarr(tmp_path / "a.zarr")["b4"]
    opened = rioxarray.open_rasterio(tmp_path / "a.tif", mask_and_scale=True)
    np.testing.assert_allclose(opened[0], stored, atol=1e-6)
    with pytest.raises(ValueError, match="encoding has 'scale_factor', and the attributes of 'b4'"):
        xpatch.write(packed, tmp_path / "b.tif", encoding={"b4": {"scale_factor": 0.5}})
    for name in ("f.tif", "f.zarr"):  # a model may have scaled them: nothing tells
        with pytest.warns(UserWarning, match=r"attributes of 'b4' say \{'scale_factor': 0.1"):
            xpatch.write(packed.astype("f8"), tmp_path / name)
    with rasterio.open(tmp_path / "f.tif") as source:
        assert source.scales == (0.1,)


@pytest.mark.parametrize("store", ["a.tif", "a.zarr"])
def test_an_encoding_is_by_variable(tmp_path, store):
    flat = {"dtype": "u1"}
    with pytest.raises(ValueError, match=r"by variable, encoding=\{'b4': \{'dtype': 'u1'\}\}"):
        xpatch.write(raster(), tmp_path / store, encoding=flat)
    unnamed = raster().rename(None)
    with pytest.raises(ValueError, match="names 'v', but the field has no name; give it one"):
        xpatch.write(unnamed, tmp_path / store, encoding={"v": flat})
    assert not [*tmp_path.iterdir()]


def test_means_of_integers_are_rounded_where_integers_are_written(tmp_path):
    field = raster(dtype="u2") * 97 + 1
    merged = tiles(field).patch.merge(xpatch.OverlapAdd("hann"))
    xpatch.write(merged, tmp_path / "a.tif", encoding={"b4": {"dtype": "uint16"}})
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], field)


@pytest.mark.parametrize(
    ("values", "packing", "said"),
    [
        (1e300, {"dtype": "f4"}, "1e\\+300 do not fit float32"),
        (1.0, {"scale_factor": 0}, "scale_factor must be a number that is not 0"),
        (1.0, {"add_offset": np.nan}, "add_offset a number"),
    ],
)
def test_no_number_becomes_infinite(tmp_path, values, packing, said):
    field = raster(dtype="f8") * 0 + values
    with pytest.raises(ValueError, match=said):
        xpatch.write(field.rename("b4"), tmp_path / "a.tif", encoding={"b4": packing})
    assert not [*tmp_path.iterdir()]


def test_missing_and_infinite_values_stay_in_narrower_floats(tmp_path):
    field = raster(dtype="f8").copy()
    field.values[0, :3] = [np.nan, np.inf, -np.inf]
    xpatch.write(field, tmp_path / "a.tif", encoding={"b4": {"dtype": "f4"}})
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(1), field.values.astype("f4"))


def test_zeros_at_the_end_of_a_text_are_left_out(tmp_path):
    field = raster().assign_attrs(source="MODIS\0\0", other="a")
    xpatch.write(field, tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as file:
        assert (file.tags()["source"], file.tags()["other"]) == ("MODIS", "a")


def test_options_reach_gdal(tmp_path):
    how = {"compress": "LZW", "blocksize": 128, "overview_resampling": "MODE"}
    xpatch.write(raster(300, 300, "u1"), tmp_path / "a.tif", encoding={"b4": how})
    with rasterio.open(tmp_path / "a.tif") as source:
        assert source.profile["compress"] == "lzw"
        assert source.block_shapes == [(128, 128)]
        assert source.overviews(1) == [2, 4]


# -------------------------------------------------------------------------------------- streaming


def test_each_chunk_is_computed_once(tmp_path):
    seen = []

    def block(values, block_info=None):
        if block_info:
            seen.append(tuple(block_info[0]["chunk-location"]))
        return values

    data = da.from_array(raster(128, 160).values, chunks=32).map_blocks(block, dtype="f4")
    merged = tiles(raster(128, 160).copy(data=data)).patch.merge()
    assert xpatch.write(merged, tmp_path / "a.tif") == 20
    assert sorted(seen) == [(i, j) for i in range(4) for j in range(5)]


MEMORY = """
import resource, sys
import dask, dask.array as da, numpy as np, rasterio.shutil, xarray as xr, xpatch, rioxarray
dask.config.set(scheduler="threads", num_workers=2)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def block(block_info=None): return np.full((512, 512), block_info[None]["chunk-location"][0], "f4")
data = da.map_blocks(block, chunks=((512,) * 14,) * 2, dtype="f4")
field = xr.DataArray(data, dims=("y", "x"), name="a")
how = {"compress": "NONE", "overview_resampling": "NEAREST"}
xpatch.write(field[:512, :512], sys.argv[1] + "/warm.tif", encoding={"a": how})
before = peak()
assert xpatch.write(field, sys.argv[1] + "/map.tif", encoding={"a": how}) == 196
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_field(tmp_path):
    """A field of 205 MB takes less than half of it."""
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 100
    with rasterio.open(tmp_path / "map.tif") as source:
        assert source.shape == (7168, 7168)
        assert source.overviews(1) == [2, 4, 8, 16]
        assert (source.read(1, window=((512 * 7, 512 * 8), (0, 9))) == 7).all()


def test_a_field_on_disk_is_read_window_by_window(tmp_path, monkeypatch):
    monkeypatch.setattr("xpatch.run.cog.WINDOW", 2000)
    field = raster(60, 50, "i2")
    field.chunk(y=20).to_dataset().to_zarr(tmp_path / "a.zarr", consolidated=False)
    opened = xr.open_zarr(
        tmp_path / "a.zarr", chunks=None, consolidated=False, decode_coords="all"
    )["b4"]
    assert xpatch.write(opened, tmp_path / "a.tif") == 3  # whole chunks, once each
    assert not opened.variable._in_memory
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], field)


def test_workers_in_other_processes_write_too(tmp_path):
    with dask.config.set(scheduler="processes", num_workers=2):
        xpatch.write(raster().chunk(32), tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], raster())


# ------------------------------------------------------------------------------ complete, or not


def test_a_run_that_fails_leaves_nothing(tmp_path):
    def fail(block):
        raise RuntimeError("out of luck")

    field = raster()
    broken = field.copy(data=da.from_array(field.values, chunks=32).map_blocks(fail, dtype="f4"))
    with pytest.raises(RuntimeError, match="out of luck"):
        xpatch.write(broken, tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


def test_a_file_that_exists_stays(tmp_path):
    path = tmp_path / "a.TIFF"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="remove it"):
        xpatch.write(raster(), path)
    assert path.read_text() == "mine"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder .*maps.*make it"):
        xpatch.write(raster(), tmp_path / "maps" / "a.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [str, Path])
def test_there_is_no_resume(tmp_path, kind):
    with pytest.raises(ValueError, match=r"no resume.*zarr store"):
        xpatch.write(raster(), kind(tmp_path / "a.tif"), resume=True)
    for option in ({"tag": "v2"}, {"zarr_format": 3}):
        with pytest.raises(ValueError, match="is for zarr stores"):
            xpatch.write(raster(), kind(tmp_path / "a.tif"), **option)
    with pytest.raises(ValueError, match="local disk"):
        xpatch.write(raster(), "s3://bucket/a.tif")
    assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------------------------- what is none


def uneven():
    field = raster()
    return field.assign_coords(x=np.where(field.x < 500_500, field.x, field.x + 5))


def curvilinear():
    lat, lon = np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij")
    lat = lat + 0.1 * lon
    return xr.DataArray(
        np.ones((4, 5)), {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}, ("j", "i")
    )


def stations():
    return xr.DataArray(np.ones(3), {"lat": ("s", [1.0, 2, 4]), "lon": ("s", [1.0, 2, 3])}, ("s",))


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (lambda: tiles(raster()), TypeError, r"patches along 'patch'.*patches\.patch\.merge"),
        (stations, TypeError, "elements along"),
        (lambda: raster().values, TypeError, "got ndarray"),
        (uneven, ValueError, "'x' are not evenly spaced"),
        (curvilinear, ValueError, "curvilinear"),
        (lambda: raster().astype("M8[s]"), TypeError, r"np\.timedelta64\(1, 'D'\)"),
        (lambda: raster().astype("U3"), TypeError, "a GeoTIFF holds"),
        (lambda: raster().expand_dims(time=2, band=3), ValueError, r"isel\(band=0\)"),
        (lambda: raster().isel(x=slice(0)), ValueError, "no cells"),
        (lambda: xr.Dataset({"a": raster(), "b": raster(dtype="i2")}), TypeError, "one dtype"),
        (lambda: xr.Dataset({"a": raster(), "b": raster()[0]}), ValueError, "one by one"),
        (
            lambda: xr.Dataset({"a": raster(), "b": raster().assign_attrs(_FillValue=-1)}),
            ValueError,
            "share the number",
        ),
    ],
)  # fmt: skip
def test_what_a_geotiff_cannot_hold(tmp_path, given, kind, said):
    with pytest.raises(kind, match=said):
        xpatch.write(given(), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


def test_without_rasterio(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ImportError, match=r"xarray-patch\[raster\]"):
        xpatch.write(raster(), tmp_path / "a.tif")


def test_nothing_is_said(tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Use `@` matmul")
        xpatch.write(xr.DataArray(np.ones((600, 4)), dims=("y", "x")), tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")
