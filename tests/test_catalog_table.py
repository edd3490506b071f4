"""The table of many files: its columns, where files lie, and what cannot be one."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine

import xpatch
from tests.catalog_files import centers, scenes, write

CRS = "EPSG:32632"
NORTH_UP = Affine(10, 0, 500000, 0, -10, 5200000)
ONES = np.ones((1, 20, 30), "uint8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("table")
    scenes(path, size=40, lap=4, nodata=-9999.0)
    return path


@pytest.fixture(scope="module")
def cat(folder):
    return xpatch.catalog(folder / "*.tif", time=r"_(\d{8})\.tif")


def test_a_row_a_file_with_the_columns_of_stac_geoparquet(folder, cat):
    assert list(cat.columns) == [
        *("href", "geometry", "datetime", "proj:code", "proj:transform", "proj:shape"),
        *("bands", "dtype", "nodata"),
    ]
    assert cat.href.tolist() == sorted(str(p) for p in folder.glob("*.tif"))
    assert cat.crs == 4326
    for row in cat.itertuples(index=False):
        with rasterio.open(row.href) as file:
            assert row[3] == str(file.crs)
            assert row[4] == list(file.transform)[:6]
            assert row[5] == list(file.shape)
            assert (row.bands, row.dtype, row.nodata) == (1, "float32", -9999.0)
        assert row.datetime == pd.Timestamp(row.href[-12:-4], tz="UTC")


def test_a_list_keeps_its_order_and_a_glob_is_sorted(folder):
    paths = sorted(folder.glob("*.tif"))[:3][::-1]
    assert xpatch.catalog(paths).href.tolist() == list(map(str, paths))
    assert (
        xpatch.catalog([folder / "T33*.tif", folder / "T32*.tif"]).href.is_monotonic_increasing
        is False
    )


def test_footprints_hold_the_centers_of_all_cells(folder, cat):
    for row in cat.iloc[::5].itertuples():
        with rasterio.open(row.href) as file:
            lon, lat = centers(file.transform, file.shape, file.crs)
            corners = centers(
                file.transform
                @ Affine.translation(-0.5, -0.5)
                @ Affine.scale(file.width, file.height),
                (2, 2),
                file.crs,
            )
        assert shapely.contains_xy(row.geometry, lon.ravel(), lat.ravel()).all()
        hull = shapely.MultiPoint(np.stack([c.ravel() for c in corners], -1)).convex_hull
        assert abs(row.geometry.area / hull.area - 1) < 1e-3


def test_footprints_in_another_crs(folder):
    own = xpatch.catalog(folder / "T32_00_20240601.tif", crs=32632)
    assert own.crs == 32632
    with rasterio.open(own.href[0]) as file:
        assert own.geometry[0].equals(shapely.box(*file.bounds))


@pytest.mark.parametrize(
    ("code", "corner", "bounds"),
    [
        (32601, (200000, 1000000), None),
        (32660, (700000, 1000000), None),
        (32601, (140000, 1000000), "split"),
        (3832, (3000000, 500000), "split"),
        (3413, (-50000, 50000), (-180, 89.3, 180, 90)),
        (3031, (-50000, 50000), (-180, -90, 180, -89.3)),
        (3413, (-500000, 900000), None),
    ],
)
def test_footprints_at_the_dateline_and_around_the_poles(tmp_path, code, corner, bounds):
    transform = Affine(1000, 0, corner[0], 0, -1000, corner[1])
    if code == 3832:  # centered on 150 degrees east: the dateline is at 3,339,585 m
        transform = Affine(5000, 0, corner[0], 0, -5000, corner[1])
    path = write(tmp_path / "a.tif", np.ones((1, 100, 100), "uint8"), transform, f"EPSG:{code}")
    (footprint,) = xpatch.catalog(path).geometry
    lon, lat = centers(transform, (100, 100), f"EPSG:{code}")
    near = (np.abs(np.abs(lon) - 180) < 1e-6) | (np.abs(lat) > 89.99)
    assert footprint.is_valid
    assert shapely.contains_xy(footprint, lon[~near], lat[~near]).all()
    assert (np.abs(footprint.bounds[:3:2]) <= 180).all()
    if bounds == "split":
        assert footprint.geom_type == "MultiPolygon"
        assert footprint.bounds[0] == -180
        assert footprint.bounds[2] == 180
        assert footprint.area < 60
    elif bounds is not None:
        np.testing.assert_allclose(footprint.bounds, bounds, atol=0.1)


def test_valid_data_footprints_are_not_needed_to_read(folder, cat):
    """The geometry is for queries; cells are where the transform says."""
    away = cat.set_geometry(cat.geometry.translate(50, 0))
    some = {"crs": CRS, "resolution": 10}
    np.testing.assert_array_equal(away.patch.field(**some).values, cat.patch.field(**some).values)


def test_band_names_choose_bands(tmp_path):
    values = np.stack([np.full((20, 30), k, "uint8") for k in (1, 2, 3)])
    path = write(tmp_path / "a.tif", values, NORTH_UP, CRS, names=["blue", "green", "red"])
    cat = xpatch.catalog(path)
    assert cat["band_names"][0] == ["blue", "green", "red"]
    field = cat.patch.field(bands=["red", "blue"])
    assert field.band.values.tolist() == ["red", "blue"]
    assert field[:, 0, 0].values.tolist() == [3, 1]
    assert cat.patch.field(bands=[2])[:, 0, 0].values.tolist() == [2]


def test_scale_and_offset_come_along_and_must_agree(tmp_path):
    paths = [write(tmp_path / f"{k}.tif", ONES, NORTH_UP, CRS, nodata=0) for k in range(2)]
    for path in paths:
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (1e-4,), (-0.1,)
    assert xpatch.catalog(paths).patch.field().attrs == {
        "scale_factor": 1e-4,
        "add_offset": -0.1,
        "_FillValue": 0,
    }
    with rasterio.open(paths[1], "r+") as file:
        file.offsets = (0.0,)
    with pytest.raises(ValueError, match=r"'raster:offset'.*-0.1 in 1.*0.0 in 1.*field \* scale"):
        xpatch.catalog(paths).patch.field()


def test_a_table_that_was_written_is_as_good(tmp_path, cat):
    cat.to_parquet(tmp_path / "cat.parquet", write_covering_bbox=True)
    back = xpatch.catalog(tmp_path / "cat.parquet")
    assert back["datetime"].dtype == cat["datetime"].dtype
    some = {"crs": CRS, "resolution": 10}
    np.testing.assert_array_equal(back.patch.field(**some).values, cat.patch.field(**some).values)


def test_time_and_bounds_select_from_files_and_tables(cat):
    june = xpatch.catalog(cat, time=("2024-06-01", "2024-06-11"))
    assert len(june) == len(cat) // 2
    assert set(june["datetime"].dt.day) == {1}
    one = cat.geometry[0].centroid
    near = xpatch.catalog(cat, bounds=(one.x, one.y, one.x + 1e-6, one.y + 1e-6))
    assert near.href.tolist() == [
        h for h, g in zip(cat.href, cat.geometry, strict=True) if g.contains(one)
    ]


# ------------------------------------------------------------------ what cannot be a table


def test_no_files(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no files: nothing matches 'none/\*\.tif' in '.*"):
        xpatch.catalog("none/*.tif")
    with pytest.raises(ValueError, match="no files: the source of the catalog is empty"):
        xpatch.catalog([])
    with pytest.raises(ValueError, match=rf"'{folder}' is a directory.*\*\.tif"):
        xpatch.catalog(folder)


def test_no_crs_names_the_file(tmp_path):
    path = write(tmp_path / "bare.tif", ONES, NORTH_UP, None)
    with pytest.raises(ValueError, match=r"bare\.tif' has no CRS.*write_crs"):
        xpatch.catalog(path)


def test_a_file_twice(cat):
    with pytest.raises(
        ValueError, match=r"T32_00_20240601\.tif' is listed 2 times, in rows \[0, 1\]"
    ):
        xpatch.catalog([cat.href[0], cat.href[0]])
    with pytest.raises(ValueError, match=r"listed 2 times, in rows \[0, 16\].*drop_duplicates"):
        pd.concat([cat, cat.iloc[:1]]).patch.field()


def test_no_time_in_a_name(cat, tmp_path):
    with pytest.raises(
        ValueError, match=r"no time in the name of '.*T32_00_20240601\.tif' by the pattern '_\(x\)'"
    ):
        xpatch.catalog(list(cat.href), time="_(x)")
    path = write(tmp_path / "a_20241399.tif", ONES, NORTH_UP, CRS)
    with pytest.raises(ValueError, match=r"'20241399' in the name of .* is no date"):
        xpatch.catalog(path, time=r"_(\d{8})")
    with pytest.raises(ValueError, match="time is a regular expression"):
        xpatch.catalog(path, time="(")


def test_start_after_end(cat):
    with pytest.raises(ValueError, match="after its end"):
        xpatch.catalog(cat, time=("2024-07-01", "2024-06-01"))


def test_nothing_left(cat):
    with pytest.raises(ValueError, match="bounds"):
        xpatch.catalog(cat, bounds=(0, 0, 1, 1))
    with pytest.raises(ValueError, match="the catalog has no row"):
        cat[cat.nodata == 5].patch.field()


def test_zones_of_dates_that_are_mixed(cat):
    mixed = cat.assign(datetime=cat["datetime"].astype(object))
    mixed.loc[3, "datetime"] = pd.Timestamp("2024-06-01")
    with pytest.raises(ValueError, match="mixes dates with and without a time zone: that of row 3"):
        mixed.patch.field(crs=CRS, resolution=10)
    naive = cat.assign(datetime=cat["datetime"].dt.tz_localize(None))
    aware = cat.assign(datetime=cat["datetime"].dt.tz_convert("Asia/Tokyo"))
    some = {"crs": CRS, "resolution": 10}
    for other in (naive, aware):
        assert other.patch.field(**some).time.equals(cat.patch.field(**some).time)


def test_a_date_that_is_missing(cat):
    some = cat.assign(datetime=cat["datetime"].where(cat.index != 2))
    with pytest.raises(ValueError, match=r"row 2, '.*\.tif', has no datetime.*time=None"):
        some.patch.field(crs=CRS, resolution=10)


def test_a_frame_that_is_no_catalog():
    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(KeyError, match=r"no catalog: it has no column 'href'.*xpatch\.catalog"):
        frame.patch.field()
    assert "no catalog" in repr(frame.patch)


def test_bands_dtypes_and_nodata_that_differ(tmp_path):
    one = write(tmp_path / "one.tif", ONES, NORTH_UP, CRS, nodata=0)
    two = write(tmp_path / "two.tif", np.ones((2, 20, 30), "uint8"), NORTH_UP, CRS, nodata=0)
    wide = write(tmp_path / "wide.tif", ONES.astype("int16"), NORTH_UP, CRS, nodata=0)
    other = write(tmp_path / "other.tif", ONES, NORTH_UP, CRS, nodata=255)
    with pytest.raises(
        ValueError, match=r"different numbers of bands: 1 in 1 \(.*one.*2 in 1 \(.*two"
    ):
        xpatch.catalog([one, two]).patch.field()
    assert xpatch.catalog([one, two]).patch.field(bands=[1]).shape == (1, 20, 30)
    with pytest.raises(ValueError, match=r"different dtypes: 'uint8' in 1.*'int16' in 1"):
        xpatch.catalog([one, wide]).patch.field()
    with pytest.raises(ValueError, match=r"different nodata: 0 in 1.*255 in 1"):
        xpatch.catalog([one, other]).patch.field()
    assert xpatch.catalog([one, other]).patch.field(fill_value=9).attrs["_FillValue"] == 9
    with pytest.raises(KeyError, match=r"row 0, '.*one\.tif', has 1 bands.*no band 2"):
        xpatch.catalog([one, two]).patch.field(bands=[2])
    with pytest.raises(KeyError, match=r"has no band 'red'"):
        xpatch.catalog(one).patch.field(bands=["red"])


def test_gaps_in_integers_need_a_number(tmp_path):
    west = write(tmp_path / "w.tif", ONES, NORTH_UP, CRS)
    east = write(tmp_path / "e.tif", ONES, NORTH_UP @ Affine.translation(30, 0), CRS)
    far = write(tmp_path / "f.tif", ONES, NORTH_UP @ Affine.translation(31, 0), CRS)
    assert xpatch.catalog([west, east]).patch.field().shape == (1, 20, 60)
    with pytest.raises(
        ValueError, match=r"no nodata, and there are cells that no file.*fill_value=255"
    ):
        xpatch.catalog([west, far]).patch.field()
    with pytest.raises(ValueError, match=r"fill_value=300 is none that uint8 holds.*0 to 255"):
        xpatch.catalog([west, far]).patch.field(fill_value=300)


def test_words(cat):
    some = {"crs": CRS, "resolution": 10}
    with pytest.raises(ValueError, match=r"overlap must be one of 'first', 'last', .*got 'median'"):
        cat.patch.field(**some, overlap="median")
    with pytest.raises(ValueError, match=r"resampling must be one of 'nearest', .*got 'linear'"):
        cat.patch.field(**some, resampling="linear")
    with pytest.raises(ValueError, match=r"time must be 'exact', time='solar_day'.*got 'daily'"):
        cat.patch.field(**some, time="daily")


def test_a_file_that_changed_since(tmp_path):
    path = write(tmp_path / "a.tif", ONES, NORTH_UP, CRS)
    cat = xpatch.catalog(path)
    field = cat.patch.field()
    assert (field.values == 1).all()
    write(path, 2 * ONES, NORTH_UP, CRS)
    assert (field.copy().isel(band=0).values == 2).all()  # never what an open handle remembers
    write(path, ONES[:, :10], NORTH_UP, CRS)
    with pytest.raises(ValueError, match=r"a\.tif' has another shape than the catalog says"):
        cat.patch.field().load()
    write(path, ONES, NORTH_UP, "EPSG:32633")
    with pytest.raises(ValueError, match=r"another CRS than the catalog says"):
        cat.patch.field().load()


def test_a_file_that_is_gone_or_broken_names_itself_and_its_window(tmp_path):
    path = write(tmp_path / "a.tif", ONES, NORTH_UP, CRS)
    cat = xpatch.catalog(path)
    patches = cat.patch.field().patch.split({"y": 10, "x": 10})
    (tmp_path / "a.tif").unlink()
    with pytest.raises(OSError, match=r"a\.tif") as error:
        patches.isel(patch=[4]).load()
    notes = " ".join(error.value.__notes__)
    assert re.search(r"'.*a\.tif' was read at 10:20, 10:20", notes)
    assert "patches with labels [4]" in notes


def test_nothing_is_imported_before_it_is_used():
    code = (
        "import sys, pandas, xpatch; frame = pandas.DataFrame({'a': [1]}); frame.patch; xpatch.catalog; "
        "print([m for m in ('rasterio', 'geopandas', 'pyarrow.dataset', 'duckdb', 'shapely') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_column_of_a_frame_that_is_called_patch_stays_a_column():
    frame = pd.DataFrame({"patch": [1, 2], "a": [3, 4]})
    assert (frame.patch < 2).tolist() == [True, False]
    frame.patch = [5, 6]
    frame["patch"] += 1
    assert frame.patch.tolist() == frame["patch"].tolist() == [6, 7]
    assert [row.patch for row in frame.itertuples()] == [6, 7]
    told = pd.DataFrame({"patch": [1], "href": ["a"]})
    assert told.patch.tolist() == [1]
    kept = pd.DataFrame({"a": [1]})
    kept.patch = 5
    assert kept.patch == 5
    assert "no catalog" in repr(pd.DataFrame({"a": [1]}).patch)
