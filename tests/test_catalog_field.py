"""The field over many files: a cell has one value, whoever asks, and it is the right one."""

from __future__ import annotations

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import odc.stac
import pandas as pd
import pyproj
import pystac
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.merge import merge
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

import xpatch
from tests.catalog_files import BORDER, DAYS, centers, counting, scenes, truth, write, zone_start

CRS = "EPSG:32632"
NORTH_UP = Affine(10, 0, 500000, 0, -10, 5200000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def cat(folder):
    scenes(folder / "one", nodata=-9999.0, hole=True)
    return xpatch.catalog(folder / "one" / "*.tif", time=r"_(\d{8})\.tif")


@pytest.fixture(scope="module")
def two_bands(folder):
    scenes(folder / "two", bands=2, dtype="uint16", nodata=0, hole=True)
    return xpatch.catalog(folder / "two" / "*.tif", time=r"_(\d{8})\.tif")


def truth_on(field, day=0, band=0):
    """Give the truth at the centers of the cells of a field."""
    step = float(field.x[1] - field.x[0])
    transform = Affine(
        step, 0, float(field.x[0]) - step / 2, 0, -step, float(field.y[0]) + step / 2
    )
    lon, lat = centers(transform, field.shape[-2:], pyproj.CRS(field.spatial_ref.attrs["crs_wkt"]))
    return truth(lon, lat, day, band)


# ------------------------------------------------------------------ a cell has one value

WORDS = ("nearest", "bilinear", "cubic", "average")
whole: dict[tuple[int, str], tuple[xr.DataArray, np.ndarray]] = {}


def of(cat, bands, resampling):
    """Give a field, and all its values."""
    if (bands, resampling) not in whole:
        field = cat.patch.field(crs=CRS, resolution=10, resampling=resampling)
        whole[bands, resampling] = field, field.values
    return whole[bands, resampling]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_window_is_that_of_the_whole_field(cat, two_bands, data):
    bands = data.draw(st.sampled_from([1, 2]))
    field, values = of(cat if bands == 1 else two_bands, bands, data.draw(st.sampled_from(WORDS)))
    key = []
    for n in field.shape:
        start = data.draw(st.integers(0, n - 1))
        key.append(
            slice(
                start, data.draw(st.integers(start + 1, n)), data.draw(st.sampled_from([1, 1, 3]))
            )
        )
    np.testing.assert_array_equal(field[tuple(key)].values, values[tuple(key)])


@pytest.mark.parametrize("resampling", WORDS)
def test_a_whole_file_in_two_bands_is_read_as_its_windows(two_bands, resampling):
    field, values = of(two_bands, 2, resampling)
    for row, column in itertools.product(
        range(0, field.sizes["y"], 100), range(0, field.sizes["x"], 170)
    ):
        part = field[:, 1:, row : row + 100, column : column + 170]
        np.testing.assert_array_equal(
            part.values, values[:, 1:, row : row + 100, column : column + 170]
        )


@pytest.fixture(scope="module")
def large(folder):
    """Two files of three bands, larger than the blocks that GDAL warps at a time, which are 128 × 512."""
    paths = []
    for k, zone in enumerate((32, 33)):
        left, top = zone_start(zone, 700, 10)
        transform = Affine(10, 0, left, 0, -10, top)
        lon, lat = centers(transform, (640, 700), 32600 + zone)
        values = np.rint(np.stack([10 * truth(lon, lat, 0, b) for b in range(3)])).astype("uint16")
        path, tiles = folder / f"large{k}.tif", {"blockxsize": 256, "blockysize": 256}
        paths.append(write(path, values, transform, 32600 + zone, nodata=0, **tiles))
    return xpatch.catalog(paths)


@pytest.mark.parametrize(
    ("resampling", "resolution"), [("cubic", 10), ("cubic", 4), ("bilinear", 23)]
)
def test_files_that_are_larger_than_the_blocks_of_gdal(large, resampling, resolution):
    """GDAL warps requests of several blocks and bands at once in another way, with other values."""
    words = {"crs": CRS, "resolution": resolution, "resampling": resampling}
    field = large.patch.field(**words)
    values, random = field.values, np.random.default_rng(0)
    rows, columns = field.sizes["y"], field.sizes["x"]
    for k in range(12):
        height, width = random.integers(1, (min(rows, 400), min(columns, 400)))
        r, c = random.integers(0, rows - height), random.integers(0, columns - width)
        bands = ([0], [2, 0], [0, 1, 2], [1])[k % 4]
        got = field[bands, r : r + height, c : c + width].values
        np.testing.assert_array_equal(got, values[bands, r : r + height, c : c + width])
    left, top = float(field.x[101]) - resolution / 2, float(field.y[57]) + resolution / 2
    bounds = (left, top - 200 * resolution, left + 150 * resolution, top)
    part = large.patch.field(**words, bounds=bounds, bands=[3])
    np.testing.assert_array_equal(part.values, values[2:, 57:257, 101:251])


def test_the_error_to_the_truth_is_no_larger_than_that_of_others(cat):
    """As windows are warped by hand, and as `odc.stac` loads the same files on the same grid."""
    own = cat[cat.href.str.contains(DAYS[0])]
    field = own.patch.field(crs=CRS, resolution=10, resampling="bilinear", time=None)
    transform = Affine(10, 0, float(field.x[0]) - 5, 0, -10, float(field.y[0]) + 5)
    words = {"crs": CRS, "transform": transform}
    words |= {"width": field.sizes["x"], "height": field.sizes["y"]}
    hand = np.full(field.shape[1:], np.nan)
    for href in own.href:
        with rasterio.open(href) as file, WarpedVRT(file, resampling=1, **words) as view:
            hand = np.where(np.isnan(hand), view.read(1, masked=True).filled(np.nan), hand)
    other = loaded_by_odc(own, GeoBox(field.shape[1:], transform, CRS))
    right, ours = truth_on(field), field.values[0]
    common = np.isfinite(ours) & np.isfinite(hand) & np.isfinite(other)
    assert common.mean() > 0.85
    error = {
        k: np.sqrt(np.mean((v[common] - right[common]) ** 2))
        for k, v in enumerate((ours, hand, other))
    }
    assert error[0] < 1.001 * error[1]
    assert error[0] < 1.001 * error[2]


def loaded_by_odc(table, box):
    items = []
    for row in table.itertuples():
        outline = shapely.geometry.mapping(row.geometry)
        item = pystac.Item(row.href, outline, row.geometry.bounds, row.datetime, {})
        names = ("proj:code", "proj:transform", "proj:shape")
        item.properties |= dict(zip(names, row[4:7], strict=True))
        band = {"raster:bands": [{"data_type": "float32", "nodata": -9999}]}
        kind = pystac.MediaType.COG
        item.add_asset("data", pystac.Asset(row.href, media_type=kind, extra_fields=band))
        items.append(item)
    words = {"geobox": box, "resampling": "bilinear", "groupby": "solar_day"}
    values = odc.stac.load(items, bands=["data"], **words)["data"].values[0]
    return np.where(values == -9999, np.nan, values)


def test_threads_processes_pickles_and_chunks_see_the_same(cat):
    field, values = of(cat, 1, "bilinear")
    rows = range(0, field.sizes["y"], 37)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda r: field[:, :, r : r + 37].values, rows))
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), values)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(field)).values, values)
    chunked = field.chunk(time=1, y=97, x=131)
    np.testing.assert_array_equal(chunked.compute(scheduler="threads").values, values)
    few = field.isel(y=slice(0, 120)).chunk(time=1, y=60, x=-1)
    np.testing.assert_array_equal(few.compute(scheduler="processes").values, values[:, :, :120])


def test_rows_and_columns_that_lie_apart_are_read_alone(cat, monkeypatch):
    field, values = of(cat, 1, "bilinear")
    found = counting(monkeypatch)
    rows, columns = [3, 0, 299], [400, 2, 2]
    got = field.isel(time=1, y=rows, x=columns).values
    np.testing.assert_array_equal(got, values[1][:, rows][:, :, columns])
    assert sum((c[2] - c[0]) * (c[3] - c[1]) for _, c in found) < 1000


def test_bounds_do_not_change_the_values(cat):
    field, values = of(cat, 1, "cubic")
    left, bottom = float(field.x[37]) - 5, float(field.y[203]) - 5
    part = cat.patch.field(
        crs=CRS, resolution=10, resampling="cubic", bounds=(left, bottom, left + 900, bottom + 700)
    )
    assert part.sizes["y"] == 70
    np.testing.assert_array_equal(part.x.values, field.x.values[37:127])
    np.testing.assert_array_equal(part.values, values[:, :, 134:204, 37:127])


# ------------------------------------------------------------------ and it is right


@pytest.mark.parametrize("overlap", ["first", "last", "min", "max"])
def test_overlaps_are_those_of_rasterio_merge(cat, overlap):
    field = cat.patch.field(crs=CRS, resolution=10, overlap=overlap)
    left, top = float(field.x[0]) - 5, float(field.y[0]) + 5
    bounds = (left, float(field.y[-1]) - 5, float(field.x[-1]) + 5, top)
    for k, day in enumerate(DAYS):
        views = [on_the_grid(h) for h in cat.href if day in h]
        expected, _ = merge(views, bounds=bounds, res=10, method=overlap, nodata=-9999)
        expected = np.where(expected == -9999, np.nan, expected)
        np.testing.assert_array_equal(field.values[k], expected)


def on_the_grid(href):
    """Warp a file, as it would be by hand: from its first cell on the grid."""
    file = rasterio.open(href)
    left, bottom, right, top = transform_bounds(file.crs, CRS, *file.bounds, densify_pts=99)
    x0, x1, y0, y1 = (
        np.floor(left / 10),
        np.ceil(right / 10),
        np.floor(bottom / 10),
        np.ceil(top / 10),
    )
    return WarpedVRT(
        file,
        crs=CRS,
        transform=Affine(10, 0, x0 * 10, 0, -10, y1 * 10),
        width=int(x1 - x0),
        height=int(y1 - y0),
        XSCALE="1",
        YSCALE="1",
    )


def test_mean_and_count_are_those_of_each_file(cat):
    words = {"crs": CRS, "resolution": 10, "resampling": "bilinear", "time": None}
    mean, count = (cat.patch.field(overlap=w, **words).values for w in ("mean", "count"))
    like = cat.patch.field(**words)
    each = np.stack(
        [
            cat.iloc[[k]].patch.field(like=like, resampling="bilinear", time=None).values
            for k in range(len(cat))
        ]
    )
    np.testing.assert_array_equal(count, np.isfinite(each).sum(axis=0))
    expected = np.where(count, np.nansum(each, axis=0) / np.maximum(count, 1), np.nan)
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    assert mean.dtype == np.float32
    assert count.dtype == np.int64
    assert count.max() == 8


@pytest.mark.parametrize(("resampling", "most"), [("bilinear", 0.05), ("cubic", 0.03)])
def test_the_truth_goes_on_across_the_border_of_zones(cat, resampling, most):
    field = cat.patch.field(crs=CRS, resolution=10, resampling=resampling)
    for day in (0, 1):
        wrong = field.values[day, 0] - truth_on(field, day)
        inner = wrong[20:-20, 20:-20]
        assert np.nanstd(inner) < most
        assert np.isfinite(wrong).mean() > 0.85


def test_own_cells_are_read_as_they_are(cat):
    field = cat[cat["proj:code"] == CRS].patch.field()
    for row in cat[(cat["proj:code"] == CRS)].itertuples():
        with rasterio.open(row.href) as file:
            own, transform = file.read(1, masked=True).filled(np.nan), file.transform
        x, y = transform.c + 10 * (np.arange(150) + 0.5), transform.f - 10 * (np.arange(150) + 0.5)
        there = field.sel(time=row.datetime.tz_localize(None), band=1).sel(x=x, y=y).values
        first = np.isfinite(own) & np.isfinite(there)
        assert first.mean() > 0.9
        apart = (np.abs(there - own) > 0) & first  # of tiles that overlap the first one is taken
        assert apart.mean() == 0  # here all show the same


def test_nodata_of_one_band_does_not_spread_to_the_other(tmp_path):
    values = np.full((2, 40, 40), 50.0, "float32")
    values[0, 10:20, 10:20] = -9999
    cat = xpatch.catalog(write(tmp_path / "a.tif", values, NORTH_UP, CRS, nodata=-9999))
    for resampling in ("nearest", "bilinear", "cubic"):
        field = cat.patch.field(crs="EPSG:32633", resolution=10, resampling=resampling).values
        assert np.nanmin(field) > 49.9
        assert np.isnan(field[0]).sum() - np.isnan(field[1]).sum() in range(70, 115)


def test_nan_without_nodata_does_not_spread(tmp_path):
    values = np.full((1, 40, 40), 50.0, "float32")
    values[0, 20, 20] = np.nan
    cat = xpatch.catalog(write(tmp_path / "a.tif", values, NORTH_UP, CRS))
    field = cat.patch.field(crs="EPSG:32633", resolution=10, resampling="bilinear").values[0]
    around = field[10:35, 10:35]
    assert np.isnan(around).sum() <= 2
    assert np.nanmin(field) > 49.9


@pytest.mark.parametrize("how", ["alpha", "mask"])
@pytest.mark.parametrize("crs", [CRS, "EPSG:32633"])
def test_alpha_and_masks_are_missing(tmp_path, how, crs):
    values = np.full((1, 40, 40), 7, "uint8")
    there = np.full((40, 40), 255, "uint8")
    there[:10] = 0
    cat = xpatch.catalog(write(tmp_path / "a.tif", values, NORTH_UP, CRS, **{how: there}))
    assert cat["bands"].tolist() == [1]
    field = cat.patch.field(crs=crs, resolution=10, fill_value=np.nan)
    assert field.dtype == np.float32
    assert set(np.unique(field.values[np.isfinite(field.values)])) == {7.0}
    assert abs(np.isfinite(field.values).sum() - 1200) < (1 if crs == CRS else 40)
    numbers = cat.patch.field(crs=crs, resolution=10, fill_value=255)
    assert numbers.dtype == np.uint8
    assert numbers.attrs["_FillValue"] == 255
    np.testing.assert_array_equal(numbers.values == 255, np.isnan(field.values))


@pytest.mark.parametrize("how", ["alpha", "mask"])
def test_integers_that_a_mask_leaves_out_need_a_number(tmp_path, how):
    there = np.full((40, 40), 255, "uint8")
    there[:10] = 0
    path = write(
        tmp_path / "a.tif", np.full((1, 40, 40), 7, "uint8"), NORTH_UP, CRS, **{how: there}
    )
    field = xpatch.catalog(path).patch.field()
    assert (field[:, 10:].values == 7).all()
    with pytest.raises(ValueError, match=r"400 cells of uint8 without a value.*fill_value=255"):
        field.load()


def test_integers_keep_their_dtype_and_their_nodata(two_bands):
    field, values = of(two_bands, 2, "nearest")
    assert field.dtype == np.uint16
    assert field.attrs == {"_FillValue": 0}
    assert (values == 0).any()
    assert values[values > 0].min() > 40
    floats = two_bands.patch.field(crs=CRS, resolution=10, fill_value=np.nan)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(floats.values), values == 0)
    other = two_bands.patch.field(crs=CRS, resolution=10, fill_value=65535)
    np.testing.assert_array_equal(other.values == 65535, values == 0)


def test_a_file_of_a_coarser_grid_in_another_zone_comes_as_classes(folder, cat):
    """An image and a mask of 30 m in another CRS in one Dataset: one split, integers stay, cells are right."""
    image = cat.patch.field(crs=CRS, resolution=10, time=None)
    edges = image.x.values[[0, -1]], image.y.values[[-1, 0]]
    left, _, _, top = transform_bounds(
        CRS, 32633, edges[0][0], edges[1][0], edges[0][1], edges[1][1]
    )
    transform = Affine(30, 0, left // 30 * 30 - 300, 0, -30, top // 30 * 30 + 300)
    lon, _ = centers(transform, (160, 240), "EPSG:32633")
    classes = np.where(lon < BORDER, 1, 2).astype("uint8")[None]
    path = write(folder / "mask30.tif", classes, transform, "EPSG:32633", nodata=0)
    mask = xpatch.catalog(path).patch.field(like=image)
    both = xr.Dataset({"image": image, "mask": mask})
    patches = both.patch.split({"y": 64, "x": 64}, sampler=xpatch.RegularStride(48))
    assert patches["mask"].dtype == np.uint8
    back = patches.patch.merge("first")
    lon, _ = centers(
        Affine(10, 0, float(image.x[0]) - 5, 0, -10, float(image.y[0]) + 5), image.shape[-2:], CRS
    )
    known = back["mask"].values[0] > 0
    right = back["mask"].values[0] == np.where(lon < BORDER, 1, 2)
    far = np.abs(lon - BORDER) > 30 / 70000  # a cell of the mask is 30 m wide
    assert known.mean() > 0.9
    assert right[known & far].all()
    np.testing.assert_array_equal(back["image"].values, image.values)


# ------------------------------------------------------------------ overviews and pyramids


def test_overviews_are_read_where_they_are_fine_enough(tmp_path):
    """Each overview holds another number, which says which one was read."""
    path = write(
        tmp_path / "a.tif", np.zeros((1, 256, 256), "float32"), NORTH_UP, CRS, overviews=(2, 4)
    )
    with rasterio.open(path, "r+") as file:
        file.write(np.full((1, 256, 256), 1.0, "float32"))
    for level, number in ((0, 2.0), (1, 4.0)):
        with rasterio.open(path, "r+", overview_level=level) as file:
            file.write(np.full(file.shape, number, "float32"), 1)
    cat = xpatch.catalog(path)
    read = {
        resolution: float(
            np.nanmedian(
                cat.patch.field(crs="EPSG:32633", resolution=resolution, resampling=word).values
            )
        )
        for resolution in (10, 15, 20, 25, 40, 80)
        for word in ("nearest",)
    }
    assert read == {10: 1.0, 15: 1.0, 20: 2.0, 25: 2.0, 40: 4.0, 80: 4.0}


def test_a_list_of_resolutions_is_a_tree_on_the_same_ground(cat):
    tree = cat.patch.field(crs=CRS, resolution=[10, 20, 40], resampling="average")
    assert list(tree.children) == ["10", "20", "40"]
    fields = {n: node.to_dataset()["data"] for n, node in tree.children.items()}
    edges = {
        n: (float(f.x[0]) - int(n) / 2, float(f.y[0]) + int(n) / 2, float(f.x[-1]) + int(n) / 2)
        for n, f in fields.items()
    }
    assert len(set(edges.values())) == 1
    assert not any(f.variable._in_memory for f in fields.values())
    fine = fields["10"].patch.split({"y": 32, "x": 32})
    around = fields["40"].patch.split(
        xpatch.Rectangular(y=24, x=24, boundary="pad"), sampler=xpatch.Explicit(fine)
    )
    xr.testing.assert_allclose(
        fine.y.mean("y").reset_coords(drop=True), around.y.mean("y").reset_coords(drop=True)
    )
    wrong = fields["40"].values[0, 0] - truth_on(fields["40"])
    assert np.nanstd(wrong[5:-5, 5:-5]) < 3


# ------------------------------------------------------------------ times


def test_times_are_exact_days_of_the_sun_or_periods(tmp_path):
    """Files of one instant overlap; a solar day begins where the sun does."""
    stamps = ["20240601T233000", "20240602T003000", "20240715T120000", "20240715T120000"]
    paths = []
    for k, stamp in enumerate(stamps):
        transform = Affine(10, 0, 500000 + 200 * k, 0, -10, 5200000)
        paths.append(
            write(
                tmp_path / f"{k}_{stamp}.tif",
                np.full((1, 40, 40), k + 1, "uint8"),
                transform,
                "EPSG:32655",
                nodata=0,
            )
        )
    cat = xpatch.catalog(paths, time=r"_(\d{8})T(\d{6})")
    assert str(cat["datetime"].dtype).endswith("UTC]")
    exact = cat.patch.field()
    assert [str(t)[:16] for t in exact.time.values] == [
        "2024-06-01T23:30",
        "2024-06-02T00:30",
        "2024-07-15T12:00",
    ]
    assert exact.values[2].max() == 4
    assert exact.isel(time=2, band=0, y=0).values[60:].tolist() == [3] * 20 + [4] * 20
    # 147 degrees east are 9.8 hours: both nights are the morning of the 2nd
    solar = cat.patch.field(time="solar_day")
    assert [str(t)[:10] for t in solar.time.values] == ["2024-06-02", "2024-07-15"]
    assert solar.values[0, 0, 0].tolist() == [1] * 40 + [2] * 20 + [0] * 40
    months = cat.patch.field(time="1MS")
    assert [str(t)[:10] for t in months.time.values] == ["2024-06-01", "2024-07-01"]
    days = cat.patch.field(time="1D")
    assert [str(t)[:10] for t in days.time.values] == ["2024-06-01", "2024-06-02", "2024-07-15"]
    mosaic = cat.patch.field(time=None)
    assert mosaic.dims == ("band", "y", "x")
    assert "time" not in mosaic.coords
    assert mosaic.values[0, 0].tolist() == [1] * 40 + [2] * 20 + [3] * 20 + [4] * 20


def test_dates_are_those_of_pandas(tmp_path):
    names = {
        "a_2024.tif": "2024-01-01",
        "a_202403.tif": "2024-03-01",
        "a_2024060.tif": "2024-02-29",
    }
    for name, date in names.items():
        path = write(tmp_path / name, np.ones((1, 8, 8), "uint8"), NORTH_UP, CRS)
        cat = xpatch.catalog(path, time=r"_(\d+)\.tif")
        assert cat["datetime"].iloc[0] == pd.Timestamp(date, tz="UTC")


def test_files_without_dates_have_no_time(tmp_path):
    path = write(tmp_path / "dem.tif", np.ones((1, 8, 8), "float32"), NORTH_UP, CRS)
    assert xpatch.catalog(path).patch.field().dims == ("band", "y", "x")
