"""Catalogs of what is no file: fields in memory and on disk, readers and tensors of georeader."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyproj
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from georeader.dataarray import fromDataArray
from georeader.geotensor import GeoTensor
from georeader.rasterio_reader import RasterioReader
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

import xpatch
from tests.catalog_files import scenes, write

UTM = Affine(10, 0, 5e5, 0, -10, 5.2e6)
CARRIERS = {
    "field": lambda f: rioxarray.open_rasterio(f, chunks={"x": 70, "y": 70}),
    "disk": rioxarray.open_rasterio,
    "reader": RasterioReader,
    "tensor": lambda f: RasterioReader(f).load(),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carriers") / "a"
    return scenes(folder, days=("20240601",), dtype="uint16", nodata=0, hole=True)


@pytest.fixture(scope="module")
def floats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carriers") / "b"
    return scenes(folder, days=("20240601",), bands=2, nodata=-9.0)


class Fake:
    """A reader of the GeoData protocol, that counts its windows and is never read as a whole."""

    def __init__(self, values, transform=UTM, crs="EPSG:32632", nodata=0):
        self._values, self.windows = np.asarray(values), []
        self.transform, self.crs, self.fill_value_default = transform, crs, nodata
        self.shape, self.dtype = self._values.shape, self._values.dtype

    def read_from_window(self, window, boundless=True):
        self.windows.append((window.row_off, window.col_off, window.height, window.width))
        (top, bottom), (left, right) = window.toranges()
        return self._values[..., top:bottom, left:right]

    def load(self, boundless=True):
        raise AssertionError("the whole is read")

    values = property(load)


def image(shape=(2, 300, 200), dtype="uint8"):
    return np.random.default_rng(1).integers(1, 200, shape).astype(dtype)


def field(values=None, dims=("y", "x"), transform=UTM, crs="EPSG:32632", **words):
    values = image((40, 50)) if values is None else values
    rows, columns = (values.shape[dims.index(d)] for d in ("y", "x"))
    coords = {
        "x": transform.c + transform.a * (np.arange(columns) + 0.5),
        "y": transform.f + transform.e * (np.arange(rows) + 0.5),
    }
    return xr.DataArray(values, coords, dims, **words).rio.write_crs(crs)


# Equal to files


@pytest.mark.parametrize("kind", CARRIERS)
@pytest.mark.parametrize("bounds", [None, (5e5, 5e6, 8e5, 5.3e6)])
def test_own_cells_are_those_of_files(files, kind, bounds):
    zone = [f for f in files if "T33" in f]
    want = xpatch.catalog(zone).patch.field()
    got = xpatch.catalog([CARRIERS[kind](f) for f in zone]).patch.field()
    xr.testing.assert_identical(got.load(), want.load())


@pytest.mark.parametrize("kind", CARRIERS)
def test_nearest_cells_are_those_of_files_but_at_ties(files, kind):
    file = next(f for f in files if "T33" in f)
    words = {"crs": "EPSG:32632", "resolution": 7.0, "time": None, "fill_value": 0}
    want = xpatch.catalog(file).patch.field(**words)
    got = xpatch.catalog(CARRIERS[kind](file)).patch.field(**words)
    _, row, column = np.nonzero((got != want).values)
    with rasterio.open(file) as source:
        back = pyproj.Transformer.from_crs("EPSG:32632", source.crs, always_xy=True)
        position = ~source.transform @ back.transform(want.x.values[column], want.y.values[row])
    from_tie = [np.abs(p - np.rint(p)) for p in position]
    assert (np.minimum(*from_tie) < 1e-3).all()  # GDAL approximates coordinates of files
    assert len(row) < 1e-3 * want.size
    assert (want > 0).mean() > 0.5


@pytest.mark.parametrize("kind", CARRIERS)
@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average"])
@pytest.mark.parametrize("resolution", [10.0, 37.0])
def test_warped_cells_are_those_of_files(floats, kind, resampling, resolution):
    words = {"crs": "EPSG:32632", "resolution": resolution, "resampling": resampling}
    want = xpatch.catalog(floats).patch.field(**words)
    got = xpatch.catalog([CARRIERS[kind](f) for f in floats]).patch.field(**words)
    # waves of 50 with a slope of 6 a cell, and coordinates of files are off by 1e-3 cells
    np.testing.assert_allclose(got, want, rtol=0, atol=5e-3)
    assert np.isnan(want).any()


def test_readers_of_one_file_are_the_same_to_the_bit(floats):
    words = {"crs": "EPSG:32632", "resolution": 13.0, "resampling": "cubic"}
    found = [xpatch.catalog([make(f) for f in floats]) for make in CARRIERS.values()]
    first, *others = (cat.patch.field(**words).values for cat in found)
    for other in others:
        np.testing.assert_array_equal(other, first)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_window_is_the_whole(floats, data):
    resampling = data.draw(st.sampled_from(["nearest", "bilinear", "cubic", "average", "mode"]))
    resolution = data.draw(st.sampled_from([7.0, 10.0, 26.0]))
    words = {"crs": "EPSG:32632", "resolution": resolution, "resampling": resampling}
    cat = xpatch.catalog([RasterioReader(f).load() for f in floats[3:6]])
    lazy = cat.patch.field(**words)
    whole = lazy.values
    rows = sorted(data.draw(st.tuples(*[st.integers(0, lazy.sizes["y"])] * 2)))
    columns = sorted(data.draw(st.tuples(*[st.integers(0, lazy.sizes["x"])] * 2)))
    band = data.draw(st.sampled_from([slice(None), [1], [1, 0]]))
    part = (band, slice(*rows), slice(*columns))
    np.testing.assert_array_equal(cat.patch.field(**words)[part].values, whole[part])
    left, bottom, right, top = lazy.rio.bounds()
    bounds = (left + 5 * resolution, bottom, right, top - 3 * resolution)
    np.testing.assert_array_equal(cat.patch.field(**words, bounds=bounds), whole[:, 3:, 5:])


def test_threads_and_chunks_read_the_same(floats):
    words = {"crs": "EPSG:32632", "resolution": 12.0, "resampling": "bilinear"}
    lazy = xpatch.catalog([RasterioReader(f) for f in floats[1:5]]).patch.field(**words)
    whole = lazy.values
    np.testing.assert_array_equal(
        lazy.chunk({"y": 33, "x": 47}).compute(scheduler="threads"), whole
    )
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda k: lazy[:, k : k + 20].values, range(0, len(lazy.y), 20)))
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_a_strongly_shrunk_raster_is_read_in_bounded_windows():
    fake = Fake(np.ones((1, 6000, 6000), "uint8"))
    cat = xpatch.catalog(fake)
    out = cat.patch.field(resolution=400, crs="EPSG:32632", resampling="average")
    assert (out.values == 1).all()
    assert len(fake.windows) > 20
    assert max(h * w for _, _, h, w in fake.windows) < 1300**2


def test_integers_without_nodata_get_a_mask(tmp_path):
    values = image((1, 60, 60))
    file = write(tmp_path / "a.tif", values, UTM, "EPSG:32632")
    words = {"crs": "EPSG:32633", "resolution": 10, "fill_value": 255}
    want = xpatch.catalog(file).patch.field(**words, resampling="bilinear")
    got = xpatch.catalog(field(values[0])).patch.field(**words, resampling="bilinear")
    np.testing.assert_allclose(got.astype(int), want.astype(int), atol=1)
    assert got.dtype == np.uint8
    assert (got == 255).any()
    with pytest.raises(ValueError, match=r"no file of a time covers.*fill_value=255"):
        xpatch.catalog(field(values[0])).patch.field(crs="EPSG:32633", resolution=10)


@pytest.mark.parametrize("dtype", ["float16", "int64", "int8"])
def test_every_dtype_is_warped(dtype):
    values = image((50, 50)).astype(dtype)
    words = {"crs": "EPSG:32632", "resolution": 20, "resampling": "nearest", "fill_value": 0}
    out = xpatch.catalog(field(values)).patch.field(**words)
    assert out.dtype == dtype
    assert set(out.values.ravel()) <= set(values.ravel())


# In degrees


@pytest.mark.parametrize("start", [-180.0, 0.0])
def test_globes_in_degrees_are_read_on_both_sides_of_their_seam(start):
    lon, lat = start + np.arange(0.5, 360), np.arange(89.5, -90, -1)
    values = np.broadcast_to(np.cos(np.deg2rad(lat))[:, None], (180, 360)) * np.cos(np.deg2rad(lon))
    globe = xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"), name="wave")
    cat = xpatch.catalog(globe)
    assert cat["proj:code"].item() == "EPSG:4326"
    for zone in (1, 31, 60):  # at −180, 0 and 180 degrees
        code = f"EPSG:326{zone:02d}"
        x, y = pyproj.Transformer.from_crs(4326, code, always_xy=True).transform(zone * 6 - 183, 40)
        bounds = (x - 4e5, y - 4e5, x + 4e5, y + 4e5)
        words = {"crs": code, "resolution": 2e4, "bounds": bounds, "resampling": "bilinear"}
        got = cat.patch.field(**words).squeeze()
        mesh = np.meshgrid(got.x, got.y)
        x, y = pyproj.Transformer.from_crs(code, 4326, always_xy=True).transform(*mesh)
        want = np.cos(np.deg2rad(y)) * np.cos(np.deg2rad(x))
        slope = np.deg2rad(1)  # GDAL's coordinates are right to an eighth of a cell
        np.testing.assert_allclose(got, want, atol=slope / 8)


def test_a_pole_is_read():
    lon, lat = np.arange(0.5, 360), np.arange(-89.5, 90)
    globe = xr.DataArray(
        np.broadcast_to(lat[:, None], (180, 360)).copy(), {"lat": lat, "lon": lon}, ("lat", "lon")
    )
    words = {"crs": "EPSG:3413", "resolution": 5e4, "bounds": (-2e6, -2e6, 2e6, 2e6)}
    got = xpatch.catalog(globe).patch.field(**words).squeeze()
    back = pyproj.Transformer.from_crs(3413, 4326, always_xy=True)
    _, want = back.transform(*np.meshgrid(got.x, got.y))
    np.testing.assert_allclose(got, want, atol=0.5 + 1 / 8)


# Rows of fields


def test_rows_of_a_field():
    red = field(name="red", attrs={"_FillValue": np.uint8(7), "scale_factor": 0.1})
    cat = xpatch.catalog(red.assign_coords(time=np.datetime64("2024-06-01", "ns")))
    row = cat.iloc[0]
    assert row["href"].startswith("memory:red-")
    assert row[["proj:code", "bands", "dtype", "nodata"]].tolist() == ["EPSG:32632", 1, "uint8", 7]
    assert list(row["proj:transform"]) == list(UTM)[:6]
    assert list(row["proj:shape"]) == [40, 50]
    assert str(row["datetime"]) == "2024-06-01 00:00:00+00:00"
    out = cat.patch.field(bands=["red"])
    np.testing.assert_array_equal(out[0, 0], red)
    assert out.attrs == {"_FillValue": 7, "scale_factor": 0.1, "add_offset": 0.0}


def test_each_time_is_a_row():
    cube = field(image((3, 40, 2, 50)), ("time", "y", "band", "x"))
    days = np.array(["2024-01-01", "2024-02-01", "2024-03-01"], "M8[ns]")
    cat = xpatch.catalog(cube.assign_coords(time=days, band=["red", "nir"]))
    assert len(cat) == 3
    assert cat["href"].is_unique
    got = cat.patch.field(fill_value=0)
    np.testing.assert_array_equal(got, cube.transpose("time", "band", "y", "x"))
    np.testing.assert_array_equal(cat.patch.field(bands=["nir"], fill_value=0)[:, 0], cube[:, :, 1])
    assert list(got.time.values) == list(days)


def test_several_numbers_stand_for_missing():
    values = np.array([[1, -9], [-8, 4]], "int16")
    one = field(values, attrs={"_FillValue": -9, "missing_value": -8})
    out = xpatch.catalog(one).patch.field(fill_value=np.nan)
    np.testing.assert_array_equal(out[0], [[1, np.nan], [np.nan, 4]])


def test_a_rotated_field_lies_where_it_does():
    rotated = UTM @ Affine.rotation(30)
    whole = xr.DataArray(image((60, 60)), dims=("y", "x")).rio.write_crs("EPSG:32632")
    cat = xpatch.catalog(whole.rio.write_transform(rotated))
    np.testing.assert_allclose(cat["proj:transform"].item(), list(rotated)[:6])
    out = cat.patch.field(crs="EPSG:32632", resolution=5, fill_value=0).squeeze()
    mesh = np.meshgrid(out.x, out.y)
    column, row = (np.floor(v).astype(int) for v in ~rotated @ mesh)
    inside = (column >= 0) & (column < 60) & (row >= 0) & (row < 60)
    want = np.where(inside, whole.values[np.clip(row, 0, 59), np.clip(column, 0, 59)], 0)
    assert (out.values == want).mean() > 0.999


def test_files_and_fields_mix(tmp_path):
    values = image((1, 30, 30))
    file = write(tmp_path / "a.tif", values, UTM, "EPSG:32632", nodata=0)
    east = field(values[0] + 1, transform=UTM @ Affine.translation(30, 0), attrs={"nodata": 0})
    out = xpatch.catalog([file, east]).patch.field()
    np.testing.assert_array_equal(out[0], np.hstack([values[0], values[0] + 1]))


def test_fields_on_disk_are_read_in_windows(tmp_path):
    file = write(tmp_path / "a.tif", image((1, 300, 300)), UTM, "EPSG:32632", nodata=0)
    read = []

    class Source(xr.backends.BackendArray):
        shape, dtype = (300, 300), np.dtype("uint8")

        def __getitem__(self, key):
            read.append(key.tuple)
            with rasterio.open(file) as source:
                return source.read(1)[key.tuple]

    variable = xr.Variable(("y", "x"), xr.core.indexing.LazilyIndexedArray(Source()))
    disk = field(np.zeros((300, 300), "uint8"))
    disk.variable._data = variable._data
    out = xpatch.catalog(disk).patch.field(fill_value=0)
    assert not read
    np.testing.assert_array_equal(out[0, 10:20, 30:50], rasterio.open(file).read(1)[10:20, 30:50])
    assert read == [(slice(10, 20, 1), slice(30, 50, 1))]


def test_what_is_no_raster_is_refused():
    one = field()
    with pytest.raises(TypeError, match=r"take a variable, dataset\['red'\], or"):
        xpatch.catalog(one.to_dataset(name="red"))
    with pytest.raises(ValueError, match=r"the field has no CRS.*write_crs"):
        xpatch.catalog(one.drop_vars("spatial_ref"))
    with pytest.raises(TypeError, match=r"has bool: convert it"):
        xpatch.catalog(one > 3)
    with pytest.raises(ValueError, match="listed 2 times"):
        xpatch.catalog([one, one])
    with pytest.raises(ValueError, match=r"no dates \(datetime64\)"):
        xpatch.catalog(field(image((3, 40, 50)), ("time", "y", "x")))
    with pytest.raises(ValueError, match=r"select along \['kind'\]"):
        xpatch.catalog(field(image((3, 2, 40, 50)), ("band", "kind", "y", "x")))
    with pytest.raises(TypeError, match="got int"):
        xpatch.catalog([5])
    with pytest.raises(TypeError, match="got int"):
        xpatch.catalog(5)


# Readers


def test_rows_of_readers(files):
    reader = RasterioReader(files[0])
    part = reader.read_from_window(Window(10, 20, 50, 40))
    cat = xpatch.catalog([reader, part, GeoTensor(image(), UTM, "EPSG:32632", None)])
    assert cat["href"][0] == files[0]
    assert cat["href"][1] == f"{files[0]}#rows=20:60,columns=10:60"
    assert cat["href"][2].startswith("memory:GeoTensor-")
    assert cat["bands"].tolist() == [1, 1, 2]
    assert cat["nodata"].tolist()[:2] == [0, 0]
    got = cat.iloc[1:2].patch.field()
    np.testing.assert_array_equal(got.squeeze(), rasterio.open(files[0]).read(1)[20:60, 10:60])


def test_readers_of_several_times(tmp_path):
    names = [tmp_path / f"a_{day}.tif" for day in ("20240101", "20240201")]
    values = image((2, 3, 30, 40))
    paths = [write(n, v, UTM, "EPSG:32632", nodata=0) for n, v in zip(names, values, strict=True)]
    stack = RasterioReader(paths)
    with pytest.raises(ValueError, match=r"no dates.*reader.attrs\['time'\]"):
        xpatch.catalog(stack)
    dated = xpatch.catalog(stack, time=r"_(\d{8})\.tif")
    assert dated["href"].tolist() == paths
    got = dated.patch.field(bands=[3, 1])
    np.testing.assert_array_equal(got, values[:, [2, 0]])
    tensor = stack.load()
    tensor.attrs["time"] = ["2024-01-01", "2024-02-01T12:00"]
    other = xpatch.catalog(tensor)
    np.testing.assert_array_equal(other.patch.field(), values)
    assert str(other["datetime"][1]) == "2024-02-01 12:00:00+00:00"
    tensor.attrs["time"] = ["2024-01-01"]
    with pytest.raises(ValueError, match="2 times and 1 dates in 'time'"):
        xpatch.catalog(tensor)


def test_a_window_beyond_the_file_is_refused_where_nothing_is_missing(tmp_path):
    plain = write(tmp_path / "a.tif", image((1, 30, 30)), UTM, "EPSG:32632")
    missing = write(tmp_path / "b.tif", image((1, 30, 30)), UTM, "EPSG:32632", nodata=0)
    beyond = Window(-10, 0, 30, 30)
    with pytest.raises(ValueError, match="reaches beyond its file, where it reads 0"):
        xpatch.catalog(RasterioReader(plain).read_from_window(beyond))
    out = xpatch.catalog(RasterioReader(missing).read_from_window(beyond)).patch.field(
        fill_value=np.nan
    )
    assert np.isnan(out[0, :, :10]).all()
    assert not np.isnan(out[0, :, 10:]).any()


@pytest.mark.parametrize("kind", ["reader", "tensor"])
def test_fields_of_readers_pickle(floats, kind):
    cat = xpatch.catalog([CARRIERS[kind](f) for f in floats[:2]])
    lazy = cat.patch.field(resolution=10)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy)), lazy)


def test_a_reader_that_reads_otherwise_than_it_says_is_refused():
    fake = Fake(image())
    fake.dtype = np.dtype("float32")
    lazy = xpatch.catalog(fake).patch.field()
    with pytest.raises(
        ValueError, match=r"gives uint8 of shape.*for a window of float32"
    ) as caught:
        lazy[:, :5, 3:9].load()
    assert "was read at 0:5, 3:9" in caught.value.__notes__[0]


# One reader as a field


def test_one_reader_is_a_field():
    fake = Fake(image())
    out = xpatch.field(fake)
    assert not fake.windows
    assert out.dims == ("band", "y", "x")
    assert out.rio.crs == "EPSG:32632"
    assert out.rio.transform() == UTM
    assert out.rio.nodata == 0
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[1, 10:20, 5:9], fake._values[1, 10:20, 5:9])
    assert fake.windows == [(10, 5, 10, 4)]


@pytest.mark.parametrize("shape", [(30, 40), (2, 30, 40), (3, 2, 30, 40)])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_values_are_as_the_tensor_has_them(shape, dtype):
    values = image(shape).astype(dtype)
    values[..., 0, 0] = 0 if dtype == "int16" else np.nan
    tensor = GeoTensor(values, UTM, "EPSG:32632", 0)
    out = xpatch.field(tensor)
    assert out.dims == tensor.dims
    np.testing.assert_array_equal(out, values)
    assert out.dtype == dtype
    assert out.attrs["_FillValue"] == 0


def test_a_rotated_reader_keeps_its_transform():
    rotated = UTM @ Affine.rotation(30)
    out = xpatch.field(Fake(image(), rotated))
    assert "x" not in out.coords
    patches = out.patch.split(geometry={"y": 100, "x": 100})
    assert patches.patch[3].rio.transform().almost_equals(rotated @ Affine.translation(100, 100))


def test_times_of_a_reader_are_labels():
    tensor = GeoTensor(image((2, 1, 20, 20)), UTM, "EPSG:32632", 0)
    assert "time" not in xpatch.field(tensor).coords
    tensor.attrs["time"] = ["2024-01-01", "2024-02-01"]
    assert (
        xpatch.field(tensor).time.values.astype("M8[D]").astype(str).tolist()
        == tensor.attrs["time"]
    )


def test_split_takes_readers_and_reads_a_window_a_patch():
    fake = Fake(image())
    patches = xpatch.split(fake, geometry={"y": 100, "x": 100})
    repr(patches), patches.patch.anchors, patches.patch.footprints()
    assert not fake.windows
    np.testing.assert_array_equal(patches.patch[3], fake._values[:, 100:200, 100:])
    assert fake.windows == [(100, 100, 100, 100)]
    merged = patches.patch.merge()
    np.testing.assert_array_equal(merged, fake._values)
    assert merged.dtype == np.uint8


def test_the_way_back_to_georeader(files):
    reader = RasterioReader(files[0])
    patches = xpatch.split(reader, geometry={"y": 64, "x": 50})
    for k in (0, 4):
        tensor = fromDataArray(patches.patch[k])
        window = Window(50 * (k % 3), 64 * (k // 3), 50, 64)
        want = reader.read_from_window(window).load()
        np.testing.assert_array_equal(tensor.values, want.values)
        assert tensor.transform == want.transform
        assert rasterio.crs.CRS.from_user_input(tensor.crs) == want.crs
        assert tensor.fill_value_default == want.fill_value_default
    whole = fromDataArray(patches.patch.merge())
    covered = (slice(None), slice(0, whole.shape[1]), slice(0, whole.shape[2]))
    np.testing.assert_array_equal(whole.values, reader.load().values[covered])
    assert whole.same_extent(reader.load()[covered])


def test_what_is_no_reader_is_refused(files):
    with pytest.raises(TypeError, match="a DataArray is a field already"):
        xpatch.field(field())
    with pytest.raises(TypeError, match="expected an object with transform"):
        xpatch.field(image())
    with pytest.raises(TypeError, match="expected a DataArray"):
        xpatch.split(xpatch.catalog(files), geometry={"y": 2, "x": 2})
    with pytest.raises(ValueError, match="Fake must have a dtype, a crs"):
        xpatch.field(Fake(image(), crs=None))
    with rasterio.open(files[0]) as source, pytest.raises(TypeError, match=r"xpatch.catalog\('"):
        xpatch.catalog([source])


def test_what_cannot_be_read_in_windows_is_read_once():
    class Whole:
        transform, crs, shape, dtype = UTM, "EPSG:32632", (2, 30, 20), np.dtype("uint8")
        loads = 0

        def load(self):
            Whole.loads += 1
            return image(self.shape)

    out = xpatch.field(Whole())
    assert not Whole.loads
    np.testing.assert_array_equal(out[:, 3:9], image((2, 30, 20))[:, 3:9])
    np.testing.assert_array_equal(out[1], image((2, 30, 20))[1])
    assert Whole.loads == 1
    assert xpatch.catalog(Whole())["nodata"].isna().all()


@pytest.mark.parametrize("turn", [0, 30])
def test_scenes_are_fields_on_their_own_grids(turn):
    transform = UTM @ Affine.rotation(turn)
    tensor = GeoTensor(image((2, 30, 20)), transform, "EPSG:32632", 0)
    cat = xpatch.catalog(tensor)
    for out in (next(cat.patch.scenes()), cat.patch.field()):
        assert ("x" in out.coords) == (turn == 0)
        place = (
            ~out.rio.transform() @ transform
        )  # of a rotated lattice a field covers a box along the axes
        column, row = round(place.c), round(place.f)
        assert place.almost_equals(Affine.translation(column, row), 1e-6)
        part = out[:, row : row + 30, column : column + 20]
        np.testing.assert_array_equal(part, tensor.values)
        assert (out > 0).sum() == (part > 0).sum()


def test_bands_of_a_reader_have_their_names(tmp_path):
    values = image((3, 20, 20))
    names = ["red", "nir", "swir"]
    file = write(tmp_path / "a.tif", values, UTM, "EPSG:32632", nodata=0, names=names)
    reader = RasterioReader(file, indexes=[3, 1])
    assert xpatch.field(reader).band.values.tolist() == ["swir", "red"]
    cat = xpatch.catalog([reader, RasterioReader(file)])
    assert cat["href"].tolist() == [f"{file}#bands=[3, 1]", file]
    np.testing.assert_array_equal(cat.iloc[:1].patch.field(bands=["red"])[0], values[0])
    np.testing.assert_array_equal(xpatch.field(reader), values[[2, 0]])
