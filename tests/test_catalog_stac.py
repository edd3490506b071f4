"""STAC items as rows of a catalog."""

from __future__ import annotations

import datetime as dt
import json
import warnings

import geopandas
import numpy as np
import odc.stac
import pyproj
import pystac
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

import xpatch
from tests.catalog_files import write
from xpatch.catalogs.stac import absolute, is_raster, rows_of_item

UTM = Affine(10, 0, 5e5, 0, -10, 5.2e6)
COARSE = UTM @ Affine.scale(2)
DAYS = ("2024-06-01T10:30:00Z", "2024-06-03T10:30:00Z")


def values(day, kind, size):
    return np.random.default_rng([day, kind]).integers(1, 900, (1, size, size)).astype("uint16")


def asset(href, transform, size, **more):
    bands = [{"data_type": "uint16", "nodata": 0, "scale": 0.0001}]
    known = {"href": href, "type": "image/tiff; application=geotiff", "roles": ["data"]}
    shape = {"proj:transform": list(transform)[:6], "proj:shape": [size, size]}
    return known | shape | {"raster:bands": bands} | more


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Two items of red and nir at 10 m, swir at 20 m, a picture and metadata."""
    folder = tmp_path_factory.mktemp("stac")
    out = []
    for day, date in enumerate(DAYS):
        assets = {}
        for kind, (name, size, transform) in enumerate(
            [("red", 60, UTM), ("nir", 60, UTM), ("swir", 30, COARSE)]
        ):
            path = write(
                folder / f"{name}_{day}.tif",
                values(day, kind, size),
                transform,
                "EPSG:32632",
                nodata=0,
            )
            assets[name] = asset(path, transform, size)
        assets["thumbnail"] = {"href": "a.tif", "type": "image/tiff", "roles": ["thumbnail"]}
        assets["metadata"] = {"href": "a.json", "type": "application/json"}
        square = geopandas.GeoSeries([shapely.box(5e5, 5.2e6 - 600, 5e5 + 600, 5.2e6)], crs=32632)
        outline = square.to_crs(4326).item()
        out.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": f"scene-{day}",
                "collection": "s2",
                "geometry": shapely.geometry.mapping(outline),
                "bbox": list(outline.bounds),
                "links": [],
                "properties": {
                    "datetime": date,
                    "proj:code": "EPSG:32632",
                    "eo:cloud_cover": 10.0 * day,
                    "platform": "sentinel-2a",
                    "s2:tile": {"not": "scalar"},
                },
                "assets": assets,
            }
        )
    return out


@pytest.fixture
def unopened(monkeypatch):
    """Fail if a file is opened."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"{args} is opened")

    monkeypatch.setattr(rasterio, "open", refuse)


def as_pystac(items):
    return [pystac.Item.from_dict(json.loads(json.dumps(item))) for item in items]


FORMS = {
    "dictionaries": lambda items: items,
    "collection": lambda items: {"type": "FeatureCollection", "features": items},
    "pystac": as_pystac,
    "pystac collection": lambda items: pystac.ItemCollection(as_pystac(items)),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_asset_that_is_a_raster_is_a_row_and_no_file_is_opened(items, form, unopened):
    cat = xpatch.catalog(FORMS[form](items))
    assert cat["asset"].tolist() == ["red", "nir", "swir"] * 2
    assert cat["id"].tolist() == ["scene-0"] * 3 + ["scene-1"] * 3
    assert cat["collection"].unique().tolist() == ["s2"]
    assert cat["eo:cloud_cover"].tolist() == [0, 0, 0, 10, 10, 10]
    assert (
        cat["datetime"].iloc[3] == np.datetime64("2024-06-03T10:30")
        or str(cat["datetime"].iloc[3]) == "2024-06-03 10:30:00+00:00"
    )
    assert cat["proj:code"].unique().tolist() == ["EPSG:32632"]
    assert list(cat["proj:transform"][2]) == [20, 0, 5e5, 0, -20, 5.2e6]
    assert list(cat["proj:shape"][2]) == [30, 30]
    assert cat[["dtype", "nodata", "bands", "raster:scale"]].drop_duplicates().values.tolist() == [
        ["uint16", 0, 1, 0.0001]
    ]
    assert "s2:tile" not in cat
    assert shapely.equals_exact(
        cat.geometry[0], shapely.geometry.shape(items[0]["geometry"]), 1e-12
    )
    assert len(xpatch.catalog(FORMS[form](items), where="`eo:cloud_cover` < 5")) == 3


@pytest.mark.parametrize("form", FORMS)
def test_assets_are_bands_of_a_field(items, form):
    cat = xpatch.catalog(FORMS[form](items))
    out = cat.patch.field(bands=["red", "nir"], resolution=10)
    want = [[values(day, kind, 60)[0] for kind in (0, 1)] for day in (0, 1)]
    np.testing.assert_array_equal(out, want)
    assert out.band.values.tolist() == ["red", "nir"]
    assert out.attrs["scale_factor"] == 0.0001
    coarse = cat.patch.field(bands=["swir"], resolution=10)
    np.testing.assert_array_equal(coarse[0, 0], np.kron(values(0, 2, 30)[0], np.ones((2, 2))))


def test_one_item_is_a_source(items):
    assert len(xpatch.catalog(items[0])) == 3
    assert len(xpatch.catalog(as_pystac(items)[0])) == 3


@pytest.mark.parametrize("level", ["asset", "item"])
@pytest.mark.parametrize(
    "crs",
    [
        {"proj:code": "EPSG:32632"},
        {"proj:epsg": 32632},
        {"proj:code": None, "proj:epsg": None, "proj:wkt2": pyproj.CRS(32632).to_wkt()},
        {"proj:projjson": pyproj.CRS(32632).to_json_dict()},
    ],
)
def test_every_way_to_write_a_crs(level, crs):
    place = {"proj:transform": [*list(UTM)[:6], 0, 0, 1], "proj:shape": [60, 60], **crs}
    one = {"href": "/a.tif", "bands": [{"data_type": "uint8", "nodata": None}]}
    wrong = {"proj:epsg": 4326}
    item = {
        "properties": place if level == "item" else wrong,
        "assets": {"a": one | (place if level == "asset" else {})},
    }
    (row,) = rows_of_item(item, None)
    assert row["proj:code"] == "EPSG:32632"
    assert row["proj:transform"] == list(UTM)[:6]
    assert row["nodata"] is None


@pytest.mark.parametrize(
    ("bands", "want"),
    [
        ({"raster:bands": [{"data_type": "int16", "nodata": "nan"}] * 2}, (2, "int16", None, None)),
        (
            {
                "bands": [{"name": "r", "nodata": -1}, {"name": "g", "nodata": -1}],
                "data_type": "float32",
                "raster:scale": 2,
            },
            (2, "float32", -1, ["r", "g"]),
        ),
        (
            {
                "raster:bands": [{"data_type": "int16", "nodata": 0, "scale": 2}],
                "eo:bands": [{"name": "B04", "common_name": "red"}],
            },
            (1, "int16", 0, ["B04"]),
        ),
    ],
)
def test_every_way_to_write_bands(bands, want):
    place = {"proj:epsg": 32632, "proj:transform": list(UTM)[:6], "proj:shape": [6, 6]}
    (row,) = rows_of_item({"assets": {"a": {"href": "/a.tif", **place, **bands}}}, None)
    nodata = None if row["nodata"] is None or np.isnan(row["nodata"]) else row["nodata"]
    assert (row["bands"], row["dtype"], nodata, row.get("band_names")) == want


def test_what_items_do_not_tell_is_read_from_the_header(items):
    bare = json.loads(json.dumps(items[0]))
    del bare["properties"]["proj:code"]
    for one in bare["assets"].values():
        for name in ("proj:transform", "proj:shape", "raster:bands"):
            one.pop(name, None)
    full, read = xpatch.catalog(items[0]), xpatch.catalog(bare)
    for column in ("proj:code", "bands", "dtype", "nodata", "datetime", "asset"):
        assert full[column].tolist() == read[column].tolist()
    for column in ("proj:transform", "proj:shape"):
        assert [list(v) for v in full[column]] == [list(v) for v in read[column]]


def test_without_nodata_in_the_item_that_of_the_file_counts(items):
    bare = json.loads(json.dumps(items[0]))
    del bare["assets"]["red"]["raster:bands"][0]["nodata"]
    assert xpatch.catalog(bare)["nodata"].tolist() == [0, 0, 0]


def test_dates_of_composites_are_their_starts(items):
    item = json.loads(json.dumps(items[0]))
    span = {"datetime": None, "start_datetime": DAYS[1], "end_datetime": "2024-07-01T00:00:00Z"}
    item["properties"] |= span
    assert str(xpatch.catalog(item)["datetime"][0]) == "2024-06-03 10:30:00+00:00"
    whole = pystac.Item.from_dict(item)
    assert str(xpatch.catalog(whole)["datetime"][0]) == "2024-06-03 10:30:00+00:00"


@pytest.mark.parametrize(
    ("href", "self_link", "want"),
    [
        ("./a.tif", "/data/items/x.json", "/data/items/a.tif"),
        ("../a.tif", "https://host/c/items/x.json?key=1", "https://host/c/a.tif"),
        ("https://host/a.tif", "/data/x.json", "https://host/a.tif"),
        ("/a.tif", "/data/x.json", "/a.tif"),
        ("s3://bucket/a.tif", None, "s3://bucket/a.tif"),
        ("./a.tif", "s3://bucket/items/x.json", "s3://bucket/items/a.tif"),
        ("a.tif", None, "a.tif"),
    ],
)
def test_relative_addresses_count_from_the_item(href, self_link, want):
    links = [] if self_link is None else [{"rel": "self", "href": self_link}]
    assert absolute(href, {"links": links}) == want


def test_relative_addresses_of_pystac(items, tmp_path):
    item = as_pystac(items)[0]
    item.set_self_href(str(tmp_path / "item.json"))
    item.assets["red"].href = "./red.tif"
    assert xpatch.catalog(item)["href"][0] == str(tmp_path / "red.tif")


@pytest.mark.parametrize(
    ("one", "raster"),
    [
        ({"href": "a", "type": "image/tiff; application=geotiff; profile=cloud-optimized"}, True),
        ({"href": "a", "type": "image/vnd.stac.geotiff; cloud-optimized=true"}, True),
        ({"href": "a", "type": "image/jp2"}, True),
        ({"href": "https://host/a.TIF?sig=x.json"}, True),
        ({"href": "a.jp2"}, True),
        ({"href": "a.png", "type": "image/png", "roles": ["data"]}, True),
        ({"href": "a.png", "type": "image/png"}, False),
        ({"href": "a.tif", "type": "image/tiff", "roles": ["overview"]}, False),
        ({"href": "a.tif", "type": "image/tiff", "roles": ["thumbnail"]}, False),
        ({"href": "a.nc", "type": "application/x-netcdf", "roles": ["data"]}, False),
        ({"href": "a.xml", "roles": ["data"]}, False),
    ],
)
def test_which_assets_are_rasters(one, raster):
    assert is_raster(one) is raster


def test_bad_items_are_refused(items):
    bad = json.loads(json.dumps(items[0]))
    bad["assets"]["red"]["proj:transform"] = list(UTM.to_gdal())
    with pytest.raises(ValueError, match=r"red_0.tif' is .* in the order of GDAL"):
        xpatch.catalog(bad)
    bad["assets"] = {"metadata": bad["assets"]["metadata"]}
    with pytest.raises(
        ValueError, match=r"no asset of item 'scene-0' .*\{'metadata': 'application/json'"
    ):
        xpatch.catalog(bad)
    with pytest.raises(TypeError, match="a STAC item has assets, and this mapping has"):
        xpatch.catalog({"href": "a.tif"})
    with pytest.raises(ValueError, match="listed 2 times"):
        xpatch.catalog([items[0], items[0]])
    mixed = json.loads(json.dumps(items[0]))
    mixed["assets"]["red"]["raster:bands"] *= 2
    mixed["assets"]["red"]["raster:bands"][1] = {"data_type": "uint8", "nodata": 0}
    with pytest.raises(ValueError, match=r"red_0.tif' differ in 'data_type'"):
        xpatch.catalog(mixed)


def test_a_table_of_items_is_a_catalog(items, tmp_path):
    frame = geopandas.GeoDataFrame(
        [
            {"id": i["id"], "collection": "s2", "links": i["links"], "assets": i["assets"]}
            | {n: v for n, v in i["properties"].items() if np.ndim(v) == 0 and n != "s2:tile"}
            | {"datetime": dt.datetime.fromisoformat(i["properties"]["datetime"])}
            for i in items
        ],
        geometry=[shapely.geometry.shape(i["geometry"]) for i in items],
        crs="OGC:CRS84",
    )
    frame.to_parquet(tmp_path / "items.parquet", write_covering_bbox=True)
    want = xpatch.catalog(items)
    for source in (frame, tmp_path / "items.parquet"):
        got = xpatch.catalog(source)
        for column in ("href", "asset", "datetime", "eo:cloud_cover", "nodata", "dtype"):
            assert got[column].tolist() == want[column].tolist()
        words = {"bands": ["nir"], "resolution": 10}
        xr.testing.assert_identical(got.patch.field(**words), want.patch.field(**words))
    assert len(xpatch.catalog(tmp_path / "items.parquet", where="`eo:cloud_cover` > 5")) == 3


# Fields of odc.stac


@pytest.fixture
def loaded(items):
    words = {"crs": "EPSG:32632", "resolution": 10, "bands": ["red", "nir"], "chunks": {}}
    return odc.stac.load(as_pystac(items), **words)


def test_fields_of_odc_are_split_and_merged(loaded):
    patches = loaded.patch.split(geometry={"y": 20, "x": 25})
    assert patches.sizes["patch"] == 9
    merged = patches.patch.merge()
    xr.testing.assert_identical(merged.load(), loaded.load())
    assert merged.odc.geobox == loaded.odc.geobox
    assert patches["red"].patch[3].odc.geobox.transform.f == 5.2e6 - 200


@pytest.mark.parametrize("kind", ["field", "geobox", "degrees"])
def test_a_field_like_one_of_odc_has_its_grid(items, loaded, kind):
    box = GeoBox.from_bbox((9.0, 46.945, 9.009, 46.952), crs="EPSG:4326", resolution=1e-4)
    other = odc.stac.load(as_pystac(items), geobox=box, bands=["red"], chunks={})
    like = {"field": loaded, "geobox": loaded.odc.geobox, "degrees": other}[kind]
    out = xpatch.catalog(items).patch.field(like=like, bands=["red"])
    want = other if kind == "degrees" else loaded
    assert out.odc.geobox.crs.epsg == want.odc.geobox.crs.epsg
    np.testing.assert_allclose(out.odc.geobox.transform, want.odc.geobox.transform, atol=1e-9)
    assert all(out.indexes[d].equals(want.indexes[d]) for d in want.odc.spatial_dims)
    red = want["red"]
    assert out.isel(band=0).shape == red.shape
    same = out.isel(band=0).values == red.values
    assert same.mean() > (0.99 if kind == "degrees" else 0.9999)
    np.testing.assert_array_equal(out.time.values, red.time.values)


# -------------------------------------------------------------- one file a band, without items


def one_file_a_band(folder, names=False):
    """Write bands of 10 m and of 20 m of one scene, of two dates, as products in folders have them."""
    for day in (1, 2):
        for k, (band, step) in enumerate((("B04", 10), ("B08", 10), ("B11", 20))):
            n = 120 // step
            write(
                folder / f"S_2024060{day}T101559_{band}_{step}m.tif",
                np.full((1, n, n), 100 * day + k, "u2"),
                Affine(step, 0, 6e5, 0, -step, 5.2e6),
                32632,
                nodata=0,
                names=[band] if names else (),
            )
    return {"time": r"_(\d{8}T\d{6})"}


def test_files_of_one_band_each_are_bands_by_their_names(tmp_path):
    words = one_file_a_band(tmp_path)
    cat = xpatch.catalog(tmp_path / "*.tif", **words, asset=r"_(B\d\d)_")
    assert cat["asset"].tolist() == ["B04", "B08", "B11"] * 2
    field = cat.patch.field(resolution=10)
    assert field.dims == ("time", "band", "y", "x")
    assert field.band.values.tolist() == ["B04", "B08", "B11"]
    assert field.shape == (2, 3, 12, 12)
    np.testing.assert_array_equal(field[..., 5, 7], [[100, 101, 102], [200, 201, 202]])
    again = xpatch.catalog(cat.drop(columns="asset"), asset=r"_(B\d\d)_")
    assert again.patch.field(resolution=10).equals(field)
    with pytest.raises(
        ValueError, match=r"no asset in the name of '.*B04_10m\.tif' by the pattern"
    ):
        xpatch.catalog(tmp_path / "*.tif", asset=r"_(Q\d\d)_")
    with pytest.raises(ValueError, match=r"asset is a regular expression .* got '_\(B'"):
        xpatch.catalog(tmp_path / "*.tif", asset="_(B")


def test_files_that_others_of_the_same_scene_hide(tmp_path):
    words = one_file_a_band(tmp_path)
    cat = xpatch.catalog(tmp_path / "*.tif", **words)
    with pytest.warns(UserWarning, match=r"6 files of one band .* asset=r'_\(B\\d\\d\)_'"):
        assert cat.patch.field(resolution=10).sizes["band"] == 1
    with pytest.raises(KeyError, match=r"no band 'B04'; its bands have no names; .*asset="):
        cat.patch.field(resolution=10, bands=["B04", "B11"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert int(cat.patch.field(resolution=10, overlap="count").max()) == 3
        cat[cat.href.str.contains("B04")].patch.field(time=None)  # dates are no bands
        list(cat.patch.scenes())


def test_named_bands_of_files_of_one_scene_are_bands_of_one_field(tmp_path):
    words = one_file_a_band(tmp_path, names=True)
    cat = xpatch.catalog(tmp_path / "*.tif", **words)
    field = cat.patch.field(resolution=10)
    assert field.band.values.tolist() == ["B04", "B08", "B11"]
    np.testing.assert_array_equal(field[..., 5, 7], [[100, 101, 102], [200, 201, 202]])
    two = cat.patch.field(resolution=10, bands=["B11", "B04"])
    assert two.equals(field.sel(band=["B11", "B04"]))
    lacking = cat.drop(index=4)  # of the second date
    with pytest.raises(KeyError, match=r"row 3, .* has no band 'B08'; its bands have"):
        lacking.patch.field(resolution=10, bands=["B04", "B08"])
