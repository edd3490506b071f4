"""Files as they come: what would give a wrong field without a word."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import rioxarray
import shapely
import xarray as xr
from affine import Affine
from rasterio.vrt import WarpedVRT

import xpatch
from tests.catalog_files import counting, write
from xpatch.catalogs import query
from xpatch.catalogs.mosaic import SPAN, runs

CRS = "EPSG:32632"
NORTH_UP = Affine(10, 0, 500000, 0, -10, 5200000)


def numbered(shape=(20, 20), dtype="float32"):
    return np.arange(np.prod(shape), dtype=dtype).reshape(1, *shape)


def one(path, **words):
    return xpatch.catalog(path).patch.field(**words)


# ------------------------------------------------------------------ places


def test_like_a_field_whose_columns_come_first(tmp_path):
    path = write(tmp_path / "a.tif", numbered((40, 60)), Affine(0.01, 0, 10, 0, -0.01, 11), 4326)
    like = xr.DataArray(
        np.zeros((20, 30)),
        {"lat": 10.895 - 0.01 * np.arange(20), "lon": 10.105 + 0.01 * np.arange(30)},
        ("lat", "lon"),
    ).rio.write_crs(4326)
    with rasterio.open(path) as file:
        expected = next(file.sample([(10.205, 10.805)]))[0]
    for field in (one(path, like=like), one(path, like=like.T)):
        assert field.dims == ("band", "lat", "lon")
        assert field.sel(lon=10.205, lat=10.805, method="nearest").item() == expected


def test_like_a_field_gives_its_cells_bit_for_bit(tmp_path):
    path = write(tmp_path / "a.tif", numbered((60, 60)), NORTH_UP, CRS)
    for crs, resolution in ((4326, 1e-4), ("EPSG:3035", 7.3)):
        field = one(path, crs=crs, resolution=resolution, resampling="bilinear")
        same = one(path, like=field, resampling="bilinear")
        np.testing.assert_array_equal(same.values, field.values)


def test_a_file_that_leaves_the_area_of_the_crs_does_not_look_at_the_bounds(tmp_path):
    path = write(tmp_path / "g.tif", numbered((180, 360)), Affine(1, 0, -180, 0, -1, 90), 4326)
    words = {"crs": 32632, "resolution": 10000, "resampling": "bilinear"}
    whole = one(path, **words, bounds=(0, 4e6, 1e6, 6e6))
    part = one(path, **words, bounds=(250000, 4.5e6, 750000, 5.5e6))
    np.testing.assert_array_equal(part.values, whole.sel(x=part.x, y=part.y).values)


def test_tiles_of_one_lattice_on_both_sides_of_the_dateline(tmp_path):
    west = write(tmp_path / "w.tif", numbered((10, 10)), Affine(0.1, 0, 179, 0, -0.1, 1), 4326)
    east = write(tmp_path / "e.tif", numbered((10, 10)), Affine(0.1, 0, -180, 0, -0.1, 1), 4326)
    field = xpatch.catalog([west, east]).patch.field()
    assert field.shape == (1, 10, 20)
    np.testing.assert_array_equal(
        field.values[0], np.concatenate([numbered((10, 10))[0]] * 2, axis=1)
    )


def test_bounds_thinner_than_a_cell(tmp_path):
    path = write(tmp_path / "a.tif", numbered(), NORTH_UP, CRS)
    with pytest.raises(ValueError, match="thinner than one"):
        one(path, crs=CRS, resolution=10, bounds=(500050, 5199900, 500050 + 1e-7, 5199950))


def test_files_that_lie_nowhere(tmp_path):
    path = write(tmp_path / "a.tif", numbered(), Affine.identity(), CRS)
    with pytest.raises(ValueError, match=r"a\.tif' has no transform"):
        xpatch.catalog(path)


# ------------------------------------------------------------------ which file


def test_each_table_is_held_against_the_file(tmp_path):
    """Also where somebody has opened the new file before."""
    path = write(tmp_path / "a.tif", numbered(), NORTH_UP, CRS)
    old = xpatch.catalog(path)
    write(path, numbered(), NORTH_UP @ Affine.translation(100, 0), CRS)
    xpatch.catalog(path).patch.field().load()
    with pytest.raises(ValueError, match="another transform than the catalog says"):
        old.patch.field().load()


def test_nodata_that_changed_since(tmp_path):
    path = write(tmp_path / "a.tif", numbered(dtype="int16"), NORTH_UP, CRS, nodata=0)
    cat = xpatch.catalog(path)
    write(path, numbered(dtype="int16"), NORTH_UP, CRS, nodata=5)
    with pytest.raises(ValueError, match="another nodata than the catalog says"):
        cat.patch.field().load()
    write(path, numbered(dtype="int16"), NORTH_UP, CRS)
    told = xpatch.catalog(path).assign(nodata=7)  # what the file does not say, its reader knows
    assert told.patch.field().attrs["_FillValue"] == 7


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_file_of_equal_size_and_date_that_was_replaced(tmp_path, prefix):
    path, new = (write(tmp_path / n, numbered() + k, NORTH_UP, CRS) for k, n in enumerate("ab"))
    field = xpatch.catalog(prefix + path).patch.field()
    assert field.values.max() == 399
    stat = os.stat(path)
    os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(new, path)
    assert xpatch.catalog(prefix + path).patch.field().values.max() == 400


def test_relative_paths_stay_where_they_were(tmp_path, monkeypatch):
    for k in (1, 2):
        (tmp_path / str(k)).mkdir()
        write(tmp_path / str(k) / "a.tif", numbered() + 1000 * k, NORTH_UP, CRS)
    monkeypatch.chdir(tmp_path / "1")
    field = xpatch.catalog("a.tif").patch.field()
    monkeypatch.chdir(tmp_path / "2")
    assert field.values.min() == 1000


def test_one_file_under_two_names(tmp_path):
    path = write(tmp_path / "a.tif", numbered(), NORTH_UP, CRS)
    os.symlink(path, tmp_path / "b.tif")
    with pytest.raises(ValueError, match="listed 2 times"):
        xpatch.catalog(tmp_path / "*.tif")


def test_what_is_in_a_file_of_several(tmp_path):
    data = xr.Dataset({n: (("y", "x"), numbered()[0] + k) for k, n in enumerate("tu")})
    x, y = 500005 + 10 * np.arange(20.0), 5199995 - 10 * np.arange(20.0)
    data = data.assign_coords(x=x, y=y).rio.write_crs(CRS)
    data = data.rio.write_coordinate_system()
    data.to_netcdf(tmp_path / "a.nc")
    cat = xpatch.catalog([f"netcdf:{tmp_path / 'a.nc'}:{n}" for n in "tu"])
    np.testing.assert_array_equal(cat.iloc[[1]].patch.field().values[0], data["u"].values)


# ------------------------------------------------------------------ what is missing


@pytest.mark.parametrize("how", ["mask", "alpha"])
def test_a_mask_beside_nodata_is_read_and_not_warped(tmp_path, how):
    values, there = np.full((1, 20, 20), 7, "uint8"), np.full((20, 20), 255, "uint8")
    there[:5], values[0, 10] = 0, 9
    path = write(tmp_path / "a.tif", values, NORTH_UP, CRS, nodata=9, **{how: there})
    own = one(path).values
    assert (own == 9).sum() == 120
    with pytest.raises(ValueError, match=r"nodata=9 and .*, of which GDAL takes one"):
        one(path, crs=CRS, resolution=5).load()


def test_alpha_between_other_bands(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((3, 8, 8), "uint8"), NORTH_UP, CRS)
    kinds = rasterio.enums.ColorInterp
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [kinds.gray, kinds.alpha, kinds.undefined]
    with rasterio.open(path) as file:
        assert "alpha" in [c.name for c in file.colorinterp]
    with pytest.raises(ValueError, match="alpha band at 2 of 3, between others"):
        xpatch.catalog(path)


def test_nodata_of_some_files_is_no_value_of_others(tmp_path):
    zeros = np.zeros((1, 8, 8), "uint8")
    a = write(tmp_path / "a.tif", zeros, NORTH_UP, CRS, nodata=0)
    b = write(tmp_path / "b.tif", zeros, NORTH_UP @ Affine.translation(8, 0), CRS)
    with pytest.raises(ValueError, match=r"different nodata: 0 in 1.*None in 1"):
        xpatch.catalog([a, b]).patch.field()
    field = xpatch.catalog([a, b]).patch.field(fill_value=255)
    assert (field.values[0, :, 8:] == 0).all()
    assert (field.values[0, :, :8] == 255).all()


def test_nodata_that_the_dtype_does_not_hold(tmp_path):
    cat = xpatch.catalog(write(tmp_path / "a.tif", numbered(dtype="uint16"), NORTH_UP, CRS))
    for nodata in (-9999, 1.5, np.inf):
        with pytest.raises(ValueError, match=r"a\.tif' has nodata=.*none that uint16 holds"):
            cat.assign(nodata=nodata).patch.field(fill_value=0)
    assert cat.assign(nodata=pd.NA).patch.field().attrs == {}


# ------------------------------------------------------------------ values


@pytest.mark.parametrize("word", ["sum", "max", "min", "med", "q1", "rms", "mode"])
def test_extremes_are_those_of_cells_and_not_of_overviews(tmp_path, word):
    values = np.random.default_rng(0).random((1, 64, 64), "f4")
    path = write(tmp_path / "a.tif", values, NORTH_UP, CRS, overviews=(2, 4))
    plain = write(tmp_path / "b.tif", values, NORTH_UP, CRS)
    words = {"crs": CRS, "resolution": 40, "resampling": word}
    np.testing.assert_array_equal(one(path, **words).values, one(plain, **words).values)


def test_cells_that_are_long_keep_what_is_fine(tmp_path):
    values = np.zeros((1, 64, 64), "float32")
    values[..., 1::2] = 100
    for name, overviews in (("a.tif", ()), ("b.tif", (2, 4))):
        path = write(tmp_path / name, values, NORTH_UP, CRS, overviews=overviews)
        for word in ("nearest", "bilinear", "average"):
            field = one(path, crs=CRS, resolution=(10, 160), resampling=word)
            np.testing.assert_allclose(
                field.values[0, 1:-1], np.tile([0, 100], 32) + 0 * field.values[0, 1:-1]
            )


def test_cells_that_are_long_on_the_ground(tmp_path):
    """A degree of longitude is half as long at 60° north: neither axis is blurred by the other."""
    values = np.zeros((1, 200, 100), "float32")
    values[:, 1::2] = 100
    transform = Affine(2e-4, 0, 9, 0, -1e-4, 60.02)
    path = write(tmp_path / "a.tif", values, transform, 4326)
    field = one(path, crs=32632, resolution=11, resampling="average")
    with rasterio.open(path) as file, WarpedVRT(file, crs=32632, resampling=0) as exact:
        assert np.ptp(exact.read(1)) == 100
    inner = field.values[0, 20:-20, 20:-20]
    assert inner.max() > 90
    assert inner.min() < 10


def test_scales_of_bands(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((2, 8, 8), "int16"), NORTH_UP, CRS, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1, 0.01), (0.0, -5.0)
    cat = xpatch.catalog(path)
    with pytest.raises(ValueError, match=r"files or bands differ in 'raster:scale'.*\(0.01, 0.1\)"):
        cat.patch.field()
    assert cat.patch.field(bands=[2]).attrs == {
        "scale_factor": 0.01,
        "add_offset": -5,
        "_FillValue": 0,
    }
    assert cat.patch.field(bands=[1]).attrs["scale_factor"] == 0.1


def test_integers_that_doubles_do_not_hold_are_not_warped(tmp_path):
    values = np.full((1, 8, 8), 2**53 + 1, "int64")
    path = write(tmp_path / "a.tif", values, NORTH_UP, CRS)
    assert (one(path).values == 2**53 + 1).all()
    with pytest.raises(ValueError, match="warps in doubles"):
        one(path, crs="EPSG:32633", resolution=10, fill_value=0).load()


def test_complex_numbers(tmp_path):
    values = (numbered() + 1j).astype("complex64")
    path = write(tmp_path / "a.tif", values, NORTH_UP, CRS)
    np.testing.assert_array_equal(one(path).values, values)
    np.testing.assert_array_equal(one(path, overlap="mean").values, values)
    with pytest.raises(TypeError, match="complex numbers have no max"):
        one(path, overlap="max")


def test_bands_in_any_sequence(tmp_path):
    path = write(tmp_path / "a.tif", np.stack([numbered()[0], numbered()[0] + 1]), NORTH_UP, CRS)
    for bands in (
        np.array([2, 1]),
        pd.Index([2, 1]),
        pd.Series([2, 1]),
        (2, 1),
        xr.DataArray([2, 1]),
    ):
        field = one(path, bands=bands)
        assert field.band.values.tolist() == [2, 1]
        assert field[:, 0, 0].values.tolist() == [1, 0]


# ------------------------------------------------------------------ dates


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("a_240601.tif", r"_(\d{6})"),
        ("a_now.tif", "_(now)"),
        ("a_01-02-2024.tif", r"_(\d\d-\d\d-\d{4})"),
    ],
)
def test_dates_that_could_be_others(tmp_path, name, pattern):
    path = write(tmp_path / name, numbered(), NORTH_UP, CRS)
    with pytest.raises(ValueError, match=r"is no date as YYYYMMDD or ISO 8601"):
        xpatch.catalog(path, time=pattern)


def test_numbers_are_no_dates(tmp_path):
    cat = xpatch.catalog(write(tmp_path / "a.tif", numbered(), NORTH_UP, CRS))
    with pytest.raises(
        ValueError, match=r"must hold dates, got float64 such as .*20240601.*to_datetime"
    ):
        cat.assign(datetime=20240601.0).patch.field()


def test_dates_of_other_centuries(tmp_path):
    cat = xpatch.catalog(write(tmp_path / "a.tif", numbered(), NORTH_UP, CRS))
    old = cat.assign(datetime=pd.to_datetime(np.array(["1600-02-03"], "M8[s]")))
    assert str(old.patch.field().time.values[0])[:10] == "1600-02-03"


@pytest.mark.parametrize("offset", ["ME", "YE", "QE", "BMS", "2QS"])
def test_periods_that_end_somewhere_else(tmp_path, offset):
    path = write(tmp_path / "a_20240530.tif", numbered(), NORTH_UP, CRS)
    with pytest.raises(ValueError, match=r"no period that files can be grouped by.*'MS'"):
        xpatch.catalog(path, time=r"_(\d{8})").patch.field(time=offset)


@pytest.mark.parametrize("offset", ["MS", "YS", "QS", "W-SUN", "1D", "6h"])
def test_periods_are_those_of_pandas(tmp_path, offset):
    dates = pd.to_datetime(
        ["2024-05-30T05:00", "2024-05-31T23:00", "2024-06-01T00:00", "2024-07-01T13:00"]
    )
    paths = [write(tmp_path / f"{k}.tif", numbered(), NORTH_UP, CRS) for k in range(4)]
    field = xpatch.catalog(paths).assign(datetime=dates).patch.field(time=offset)
    words = {"W-SUN": {"closed": "left", "label": "left"}}.get(offset, {})
    counts = pd.Series(1, dates).resample(offset, **words).sum()
    assert [t for t, n in counts.items() if n] == list(pd.to_datetime(field.time.values))


# ------------------------------------------------------------------ costs


def test_every_hundredth_cell_does_not_take_the_memory_of_all(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif", numbered((300, 300)), NORTH_UP, CRS)
    field = one(path, crs=CRS, resolution=10, bounds=(0, 4e6, 1e6, 6e6))  # 2e10 cells
    found = counting(monkeypatch)
    thin = field[:, ::100, ::100]
    near = thin.sel(x=slice(499000, 504000), y=slice(5201000, 5196000)).values
    assert np.isfinite(near).sum() == 9
    assert max((c[2] - c[0]) * (c[3] - c[1]) for _, c in found) <= SPAN**2
    assert {s.stop - s.start for s in runs(np.arange(10_000))} == {SPAN, 10_000 % SPAN}


def test_threads_share_what_may_be_open(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from xpatch.catalogs import handles

    paths = [
        write(tmp_path / f"{k:02}.tif", numbered(), NORTH_UP @ Affine.translation(20 * k, 0), CRS)
        for k in range(40)
    ]
    field = xpatch.catalog(paths).patch.field()

    def work(_):
        field.copy().load()
        return len(handles._here.files)

    with ThreadPoolExecutor(16) as pool:
        held = list(pool.map(work, range(16)))
    assert max(held) <= handles.LIMIT // 2


# ------------------------------------------------------------------ what is typed first


def test_a_field_of_the_whole_earth_on_the_grid_of_a_scene(tmp_path):
    lon, lat = np.arange(0, 360, 0.25), np.arange(90, -90.1, -0.25)
    values = np.add.outer(lat, lon).astype("f4")
    globe = xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"))
    scene = one(write(tmp_path / "a.tif", numbered(), NORTH_UP, CRS))
    field = xpatch.catalog([globe]).patch.field(like=scene, resampling="bilinear")
    assert abs(float(field[0, 10, 10]) - (9.0013 + 46.9524)) < 0.01
    twice = field.isel(band=[0, 0])
    assert (twice[0].values == twice[1].values).all()


def test_files_on_both_sides_of_the_dateline_leave_no_gap(tmp_path):
    ones = np.ones((1, 100, 100), "uint8")
    west = write(tmp_path / "w.tif", ones, Affine(0.1, 0, 170, 0, -0.1, 5), 4326)
    east = write(tmp_path / "e.tif", 2 * ones, Affine(0.1, 0, -180, 0, -0.1, 5), 4326)
    cat = xpatch.catalog([west, east])
    for bounds in (xpatch.GeoSlice((175, -4, -175, 4), crs=4326), (175, -4, 185, 4)):
        field = cat.patch.field(crs=4326, resolution=0.1, bounds=bounds)
        assert np.unique(field.values).tolist() == [1, 2]


def test_an_area_of_interest_and_files_are_both_kept(tmp_path):
    paths = [
        write(
            tmp_path / f"{k}.tif",
            numbered((50, 50)),
            NORTH_UP @ Affine.translation(200 * k, 0),
            CRS,
        )
        for k in range(3)
    ]
    cat, area = xpatch.catalog(paths), (500200, 5190000, 503000, 5200000)
    words = {"crs": CRS, "resolution": 10, "bounds": (490000, 5190000, 510000, 5210000)}
    for sampler in (xpatch.Random(40, seed=0), xpatch.RegularStride(8)):
        chips = cat.patch.split(8, sampler=xpatch.Within(sampler, area), **words)
        assert chips.notnull().any(("band", "y", "x")).all()
        assert chips.x.max("x").min() > area[0]
        if isinstance(sampler, xpatch.Random):
            assert chips.sizes["patch"] == 40


def test_a_slice_asks_for_files(tmp_path):
    paths = [
        write(
            tmp_path / f"a_2024060{k + 1}.tif",
            numbered(),
            NORTH_UP @ Affine.translation(100 * k, 0),
            CRS,
        )
        for k in range(3)
    ]
    cat = xpatch.catalog(paths, time=r"_(\d{8})")
    part = xpatch.GeoSlice(
        (501010, 5199900, 502100, 5199950), ("2024-06-01", "2024-06-03"), crs=CRS
    )
    assert xpatch.catalog(cat, bounds=part).href.tolist() == [paths[1]]
    cat.to_parquet(tmp_path / "c.parquet", write_covering_bbox=True)
    assert xpatch.catalog(tmp_path / "c.parquet", bounds=part).href.tolist() == [paths[1]]


def test_times_that_are_no_interval(tmp_path):
    path = write(tmp_path / "a_20240601.tif", numbered(), NORTH_UP, CRS)
    cat = xpatch.catalog(path, time=r"_(\d{8})")
    assert len(xpatch.catalog(cat, time="2024-06-01")) == 1
    with pytest.raises(ValueError, match="names a period"):
        xpatch.catalog(cat, time="2024-06")
    with pytest.raises(ValueError, match="no time that pandas can read"):
        xpatch.catalog(cat, time=r"_(\d{8})")
    with pytest.raises(ValueError, match=r"the files have no dates.*xpatch\.catalog\(files, time="):
        xpatch.catalog(path, time=("2024-06-01", "2024-06-02"))
    with pytest.raises(ValueError, match=r"put the date alone into a group"):
        xpatch.catalog(path, time=r"_\d{8}\.tif")


def test_names_of_bands_come_along_as_rioxarray_has_them(tmp_path):
    path = write(
        tmp_path / "a.tif", np.ones((2, 8, 8), "uint8"), NORTH_UP, CRS, names=["red", "nir"]
    )
    field = one(path)
    assert (
        field.attrs["long_name"]
        == ("red", "nir")
        == rioxarray.open_rasterio(path).attrs["long_name"]
    )
    field.rio.to_raster(tmp_path / "b.tif")
    with rasterio.open(tmp_path / "b.tif") as file:
        assert file.descriptions == ("red", "nir")


def test_what_is_asked_of_tables_and_meant_of_fields(tmp_path):
    cat = xpatch.catalog(write(tmp_path / "a.tif", numbered(), NORTH_UP, CRS))
    with pytest.raises(
        AttributeError, match=r"table\.patch\.field\(crs=…, resolution=…\)\.patch\.apply"
    ):
        cat.patch.apply  # noqa: B018
    with pytest.raises(AttributeError, match="has field, split and scenes"):
        cat.patch.fields  # noqa: B018
    with pytest.raises(TypeError, match=r"table\.patch\.split"):
        xpatch.split(cat, 8)
    with pytest.raises(TypeError, match="like must be a DataArray"):
        cat.patch.field(like=cat)


def test_a_header_that_cannot_be_read_names_its_file(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\x00broken")
    with pytest.raises(rasterio.errors.RasterioIOError) as error:
        xpatch.catalog(tmp_path / "*.tif")
    assert f"the header of '{tmp_path / 'a.tif'}' was read" in error.value.__notes__[0]


# ------------------------------------------------------------------ further traps


def test_turned_integers_without_nodata_leave_no_gap_on_their_own_grid(tmp_path):
    values = numbered((20, 30), "uint16")
    path = write(tmp_path / "a.tif", values, Affine(6, 8, 500000, 8, -6, 5200000), CRS)
    (scene,) = xpatch.catalog(path).patch.scenes()
    np.testing.assert_array_equal(scene.values, values)


def test_values_end_where_the_earth_does(tmp_path):
    ones = np.ones((1, 180, 360), "uint8")
    path = write(tmp_path / "g.tif", ones, Affine(1, 0, -180, 0, -1, 90), 4326, nodata=0)
    bounds = (-17.3e6, -8.4e6, 17.3e6, 8.4e6)
    field = one(path, crs=8857, resolution=200000, bounds=bounds)
    move = pyproj.Transformer.from_crs(8857, 4326, always_xy=True).transform
    x, y = np.meshgrid(field.x.values, field.y.values)
    there = move(x, y)
    back = np.stack(move(*there, direction="INVERSE")) - np.stack([x, y])
    earth = np.isfinite(there[0]) & (np.abs(back) < 1).all(axis=0)
    assert 0.8 < earth.mean() < 0.95
    np.testing.assert_array_equal(field.values[0] == 1, earth)


def test_footprints_of_items_in_another_crs(tmp_path):
    path = write(tmp_path / "a.tif", numbered((200, 200)), NORTH_UP, CRS)
    outline = shapely.box(9.001, 46.94, 9.003, 46.942)
    item = {
        "type": "Feature",
        "id": "a",
        "geometry": shapely.geometry.mapping(outline),
        "properties": {"datetime": "2024-06-01T00:00:00Z"},
        "assets": {"data": {"href": path, "type": "image/tiff; application=geotiff"}},
    }
    own, other = xpatch.catalog([item]), xpatch.catalog([item], crs=3857)
    assert own.geometry[0].equals(outline)
    assert other.crs == 3857
    assert other.to_crs(4326).geometry[0].symmetric_difference(outline).area < 1e-9


def test_naive_dates_of_a_table_are_in_utc(tmp_path):
    cat = xpatch.catalog(
        write(tmp_path / "a_20240601.tif", numbered(), NORTH_UP, CRS), time=r"_(\d{8})"
    )
    naive = cat.assign(datetime=cat["datetime"].dt.tz_localize(None))
    assert str(xpatch.catalog(naive)["datetime"].dtype).endswith("UTC]")


def test_names_in_the_graph_tell_files_apart_that_were_written_anew(tmp_path):
    path = write(tmp_path / "a.tif", numbered(), NORTH_UP, CRS)
    names = [one(path).chunk(y=10).data.name for _ in range(2)]
    write(path, numbered() + 1, NORTH_UP, CRS)
    names.append(one(path).chunk(y=10).data.name)
    assert names[0] == names[1] != names[2]


def test_nodata_that_readers_do_not_hold(tmp_path):
    path = write(tmp_path / "a.tif", numbered(dtype="int64"), NORTH_UP, CRS)
    with pytest.raises(ValueError, match="keep as a double"):
        xpatch.catalog(path).assign(nodata=2**53 + 1).patch.field(fill_value=-1)


def test_more_dates_than_a_field_takes(tmp_path):
    cat = xpatch.catalog(write(tmp_path / "a.tif", numbered(), NORTH_UP, CRS))
    many = pd.concat([cat] * 10_001, ignore_index=True)
    many["href"] = [f"{k}.tif" for k in range(len(many))]
    many["datetime"] = pd.Timestamp("2000-01-01", tz="UTC") + pd.to_timedelta(range(len(many)), "h")
    with pytest.raises(ValueError, match=r"10,001 dates, more than 10,000.*'solar_day'"):
        many.patch.field()
    assert many.patch.field(time="1MS").sizes["time"] == 14


# ------------------------------------------------------------------ queries, items, areas


def test_zero_has_two_signs_and_one_value(tmp_path, monkeypatch):
    cat = xpatch.catalog(
        [write(tmp_path / f"{k}.tif", numbered(), NORTH_UP, CRS) for k in range(3)]
    )
    cat["cc"] = [0.0, -0.0, 1.0]
    cat.to_parquet(tmp_path / "c.parquet", write_covering_bbox=True)
    for where, rows in (("cc in [0]", [0, 1]), ("cc in [-0.0, 5]", [0, 1]), ("cc not in [0]", [2])):
        for engine in ("duckdb", "pyarrow", None):
            found = (
                query.select(cat, where=where)
                if engine is None
                else query.read(tmp_path / "c.parquet", where=where, engine=engine)
            )
            assert found["href"].tolist() == [cat["href"][k] for k in rows]


@pytest.mark.parametrize("engine", ["duckdb", "pyarrow"])
def test_large_integers_beside_floats(tmp_path, engine):
    cat = xpatch.catalog(
        [write(tmp_path / f"{k}.tif", numbered(), NORTH_UP, CRS) for k in range(2)]
    )
    cat["size"] = [2**60, 2**60 + 1]
    cat.to_parquet(tmp_path / "c.parquet")
    for where, count in (
        ("size > 0.5", 2),
        ("size in [0.5, 1152921504606846976]", 2),
        ("size / 2 > 1.5", 2),
    ):
        assert len(query.read(tmp_path / "c.parquet", where=where, engine=engine)) == count


def test_periods_have_the_unit_of_dates(tmp_path):
    path = write(tmp_path / "a_20240602.tif", numbered(), NORTH_UP, CRS)
    cat = xpatch.catalog(path, time=r"_(\d{8})")
    for offset in ("exact", "1D", "MS", "2MS", "YS", "QS", "solar_day"):
        assert cat.patch.field(time=offset).time.dtype == "M8[ns]"


def test_bounds_across_the_dateline_on_a_field_in_degrees():
    globe = xr.DataArray(
        np.zeros((36, 72)),
        {"lat": 87.5 - 5 * np.arange(36), "lon": -177.5 + 5 * np.arange(72)},
        ("lat", "lon"),
    ).rio.write_crs(4326)
    near = xpatch.Within(xpatch.RegularStride(2), (170, -10, -170, 10))
    found = globe.patch.split({"lat": 2, "lon": 2}, sampler=near)
    told = xpatch.Within(xpatch.RegularStride(2), (170, -10, -170, 10), crs=4326)
    assert found.sizes["patch"] == 4
    assert found.equals(globe.patch.split({"lat": 2, "lon": 2}, sampler=told))


def test_a_coordinate_that_is_called_as_the_second_patch_dimension():
    field = xr.DataArray(np.zeros((8, 12)), {"inner": ("y", np.arange(8))}, ("y", "x"))
    tiles = field.patch.split({"y": 4, "x": 4})
    with pytest.raises(
        ValueError, match=r"already has 'inner'; name the patch dimension otherwise"
    ):
        tiles.patch.split({"y": 2, "x": 2}, dim="inner")
