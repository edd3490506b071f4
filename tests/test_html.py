"""Cards in notebooks: well formed, escaped, small, right, and made without a look at the data."""

from __future__ import annotations

import base64
import struct
import xml.etree.ElementTree as ElementTree
import zlib

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

import xpatch
from xpatch.plot.held import held_by
from xpatch.plot.thumbnail import binned, png

MOST_BYTES = 30_000


class NeverRead(BackendArray):
    """An array on disk that must not be read."""

    def __init__(self, shape):
        self.shape, self.dtype = shape, np.dtype(float)

    def __getitem__(self, key):
        raise AssertionError("read")


def rows_of(obj):
    """Parse the card: what stands in each row, and the title."""
    text = obj.patch._repr_html_()
    assert len(text.encode()) < MOST_BYTES
    root = ElementTree.fromstring(text)
    assert root.get("class") == "xpatch-card"
    assert not [e for e in root.iter() if e.get("id") or e.tag == "script"]
    found = {row[0].text: "".join(row[1].itertext()) for row in root.iter("tr")}
    return found | {"title": root.find("div/b").text, "root": root}


def lazily(shape=(40, 60), **coords):
    """A field of dask that fails when it is computed."""

    def fail(block):
        raise AssertionError("computed")

    data = da.zeros(shape, chunks=10).map_blocks(fail, dtype=float, meta=np.empty((0, 0)))
    return xr.DataArray(data, coords, ("y", "x"))


def brute(patches, shape):
    """Count the patches on each cell, one after the other."""
    counts = np.zeros(shape, int)
    for i, j in zip(patches.patch.anchors.cell_y, patches.patch.anchors.cell_x, strict=True):
        rows = np.arange(int(i) - 4, int(i) + 4)
        columns = np.arange(int(j) - 3, int(j) + 3)
        inside = rows[(rows >= 0) & (rows < shape[0])], columns % shape[1]
        counts[np.ix_(*inside)] += 1
    return counts


def boxes(sampler, **how):
    geometry = xpatch.Rectangular(y=8, x=6, boundary={"y": "pad", "x": "wrap"})
    return lazily(**how).patch.split(geometry=geometry, sampler=sampler)


@pytest.mark.parametrize("sampler", [xpatch.Random(17, seed=3), xpatch.RegularStride(y=5, x=4)])
def test_coverage_is_that_of_brute_force(sampler):
    patches = boxes(sampler).isel(patch=slice(None, None, -1))
    counts = brute(patches, (40, 60))
    told = rows_of(patches)["coverage"]
    low, middle, high = counts.min(), np.median(counts), counts.max()
    assert told.startswith(f"{low} / {middle:g} / {high} patches on a cell")
    none = int((counts == 0).sum())
    assert told.endswith(f"{none:,} of 2,400 cells in none") == bool(none)


def test_the_thumbnail_holds_the_counts_north_up():
    y = np.arange(40.0)  # rising: the last row is on top
    patches = boxes(xpatch.Random(9, seed=1), y=y)
    (image,) = rows_of(patches)["root"].iter("img")
    data = base64.b64decode(image.get("src").removeprefix("data:image/png;base64,"))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    wide, high = struct.unpack(">II", data[16:24])
    pixels = zlib.decompress(data[data.index(b"IDAT") + 4 :])
    shown = np.frombuffer(pixels, np.uint8).reshape(high, wide + 1)[:, 1:]
    counts = brute(patches, (40, 60))
    np.testing.assert_array_equal(shown, np.rint(counts[::-1] / counts.max() * 255))


def test_the_png_is_read_by_others(tmp_path):
    from PIL import Image

    (tmp_path / "a.png").write_bytes(png(np.array([[0, 1], [2, 4.0]])))
    opacity = np.asarray(Image.open(tmp_path / "a.png").convert("RGBA"))[..., 3]
    assert opacity.tolist() == [[0, 64], [128, 255]]


def test_bins_are_means():
    values = np.arange(130.0)
    out = binned(values, 0, 64)
    assert out[0] == np.mean(values[:2])
    np.testing.assert_allclose(
        np.average(out, weights=np.diff(np.linspace(0, 130, 65).astype(int))), 64.5
    )


def test_nothing_is_read_or_computed():
    patches = boxes(xpatch.Random(5, seed=0))
    assert rows_of(patches)["title"] == "5 patches of y: 8, x: 6"
    variable = xr.Variable(("y", "x"), indexing.LazilyIndexedArray(NeverRead((40, 60))))
    field = xr.DataArray(variable)
    assert rows_of(field)["domain"] == "array (y: 40, x: 60)"
    assert rows_of(field.patch.split(geometry={"y": 10, "x": 10}))["title"].startswith("24 patches")


def test_positions_of_dask_are_not_computed():
    names = {"lat": "latitude", "lon": "longitude"}
    where = {n: (("y", "x"), lazily().data, {"standard_name": s}) for n, s in names.items()}
    field = lazily().assign_coords(where)
    found = rows_of(field)
    assert found["positions"] == "lat, lon, not in memory"
    assert found["domain"].startswith("curvilinear grid")
    assert "coverage" in rows_of(field.patch.split(geometry={"y": 10, "x": 10}))


def test_names_are_escaped():
    field = xr.DataArray(np.zeros((4, 6)), dims=("<b>&", "x\"'"), name="<script>")
    patches = field.patch.split(geometry={"<b>&": 2, "x\"'": 3})
    assert rows_of(patches)["title"] == "4 patches of <b>&: 2, x\"': 3"
    assert "<b>&" not in patches.patch._repr_html_()
    assert "<b>&: 4" in rows_of(field)["domain"]
    both = xpatch.concat([patches, patches], scenes=["<i>", "b"])
    assert rows_of(both)["<i>"] == "4 patches"


def test_a_million_patches_of_a_thousand_million_cells():
    field = xr.DataArray(da.zeros((40_000, 40_000), chunks=8000), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 64, "x": 64}, sampler=xpatch.RegularStride(40))
    found = rows_of(patches)
    assert found["title"] == "1,000,000 patches of y: 64, x: 64"  # 1000 starts along each
    # along each dimension 64 % 40 = 24 of 40 cells lie on two patches: 1, 2 and 4 with 0.16, 0.48, 0.36
    assert found["coverage"].startswith("1 / 2 / 4 patches on a cell")
    assert "one in 1,681 cells" in found["coverage"]  # every 41st along each


def test_lists_say_how_many_slots_are_empty():
    lon = np.array([0, 1, 2, 3, 50.0])
    field = xr.DataArray(
        np.zeros(5), {"lon": ("station", lon), "lat": ("station", np.zeros(5))}, ("station",)
    )
    patches = field.patch.split(geometry=xpatch.SphericalCap(120))
    found = rows_of(patches)
    counts = patches.patch.mask.sum("station").values  # 2, 3, 3, 2, 1
    assert found["title"] == "5 patches of station: ≤ 3"
    assert counts.sum() == 11
    assert found["members along station"] == "1 to 3 a patch; 4 of 15 slots are empty (NaN)"
    assert found["coverage"].startswith("1 / 2 / 3 patches on a point")
    assert found["root"].find(".//{*}path").get("d").count("M") == 5


def test_anchors_across_the_dateline_are_in_one_piece():
    lon = np.array([178.0, 179, -180, -179, -178])
    where = {"lon": ("station", lon), "lat": ("station", np.zeros(5))}
    field = xr.DataArray(np.zeros(5), where, ("station",))
    found = rows_of(field.patch.split(geometry=xpatch.KNNGraph(2)))
    path = found["root"].find(".//{*}path").get("d")
    left = [float(part.split()[0]) for part in path.split("M")[1:]]
    np.testing.assert_allclose(left, [5, 40, 75, 110, 145])  # 150 pixels with a border of 5


def test_grids_are_named():
    pyproj = pytest.importorskip("pyproj")
    pole = pyproj.CRS.from_cf(
        {
            "grid_mapping_name": "rotated_latitude_longitude",
            "grid_north_pole_latitude": 39.25,
            "grid_north_pole_longitude": -162.0,
        }
    )
    j, i = np.meshgrid(np.arange(-3.0, 3), np.arange(-4.0, 4), indexing="ij")
    lon, lat = pyproj.Transformer.from_crs(pole, 4326, always_xy=True).transform(i, j)
    coords = {
        "rlat": ("rlat", j[:, 0], {"standard_name": "grid_latitude"}),
        "rlon": ("rlon", i[0], {"standard_name": "grid_longitude"}),
        "spatial_ref": ((), 0, pole.to_cf()),
    }
    field = xr.DataArray(np.zeros((6, 8)), coords, ("rlat", "rlon"))
    assert rows_of(field)["domain"].startswith("rotated latitude–longitude grid")
    names = {"lat": (lat, "latitude"), "lon": (lon, "longitude")}
    both = {n: (field.dims, v, {"standard_name": s}) for n, (v, s) in names.items()}
    assert rows_of(field.assign_coords(both))["domain"].startswith("rotated latitude–longitude")
    dims = ("nf", "Ydim", "Xdim")
    names = {"lats": (lat, "latitude"), "lons": (lon, "longitude")}
    faces = {n: (dims, np.stack([v, v + 60]), {"standard_name": s}) for n, (v, s) in names.items()}
    cube = xr.DataArray(np.zeros((2, 6, 8)), faces, dims)
    assert rows_of(cube)["domain"].startswith("cubed sphere")


def test_northings_of_a_field_are_told_in_full():
    y, x = 5e6 - 10.0 * np.arange(200), 4e5 + 10.0 * np.arange(300)
    field = xr.DataArray(np.zeros((200, 300)), {"y": y, "x": x}, ("y", "x"))
    assert rows_of(field)["y"] == "5000000 to 4998010, step -10"


def test_a_catalog_says_of_what_it_is():
    gpd = pytest.importorskip("geopandas")
    pd = pytest.importorskip("pandas")
    shapely = pytest.importorskip("shapely")
    table = gpd.GeoDataFrame(
        {
            "href": ["a.tif", "b.tif"],
            "proj:code": ["EPSG:32632", "EPSG:32633"],
            "datetime": pd.to_datetime(["2024-06-01", "2024-06-11"], utc=True),
        },
        geometry=[shapely.box(11, 46, 12, 47), shapely.box(12, 46, 13, 47)],
        crs=4326,
    )
    found = rows_of(table)
    assert found["title"].startswith("2 files")
    assert found["crs"] == "EPSG:32632, EPSG:32633"
    assert found["times"] == "2024-06-01 to 2024-06-11"
    assert found["extent"] == "11 to 13, 46 to 47 (EPSG:4326)"
    assert rows_of(table.iloc[:0])["title"].startswith("0 files")
    said = r"asked of patches.*table\.patch\.split\(geometry, crs=…, resolution=…\)\.patch\.plot"
    with pytest.raises(AttributeError, match=said):
        table.patch.plot()
    with pytest.raises(AttributeError, match=r"asked of a field.*\.patch\.field\(.*\.patch\.apply"):
        table.patch.apply()


def test_places_and_windows_are_counted_on_their_own():
    time = np.arange("2000-01-01", "2000-01-21", dtype="M8[D]").astype("M8[ns]")
    field = xr.DataArray(np.zeros((20, 8, 8)), {"time": time}, ("time", "y", "x"))
    patcher = xpatch.SpatioTemporalPatcher(
        spatial=xpatch.Patcher({"y": 4, "x": 4}, xpatch.RegularStride(2)),
        temporal=xpatch.TimePatcher(xpatch.FixedLookback(5), xpatch.RegularTimeStride(5)),
    )
    found = rows_of(field.patch.split(patcher))
    assert found["coverage, places"].startswith("1 / 2 / 4 patches on a cell")
    assert found["coverage, windows"].startswith("1 / 1 / 1 patches on a step")
    assert found["geometry, spatial"] == "Rectangular(y=4, x=4)"


@pytest.mark.parametrize(
    "field",
    [
        xr.DataArray(np.zeros((8, 9)), dims=("y", "x")),
        xr.DataArray(np.zeros(50), dims=("x",)),
        xr.DataArray(np.zeros((3, 9)), dims=("band", "x")),
        xr.DataArray(
            np.zeros(50), {"time": np.arange("2000-01-01", "2000-02-20", dtype="M8[D]")}, ("time",)
        ),
        xr.DataArray(
            np.zeros(4),
            {"lon": ("s", np.arange(4.0)), "lat": ("s", np.arange(4.0))},
            ("s",),
        ),
    ],
    ids=lambda f: str(f.dims),
)
def test_what_to_type_next_works(field):
    found = rows_of(field)
    assert found["title"] == "a field, not patches"
    patches = eval(found["to split it"], {"field": field, "xpatch": xpatch})
    assert patches.sizes["patch"] >= 1
    xr.testing.assert_allclose(patches.patch.merge(), field)


def test_patches_of_a_file_and_those_that_lost_their_index(tmp_path):
    field = xr.DataArray(np.zeros((8, 9)), {"y": np.arange(8.0)}, ("y", "x"), name="v")
    patches = field.patch.split(geometry={"y": 4, "x": 3})
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        found = rows_of(read)
        assert found["title"] == "6 patches of y: 4, x: 3"
        assert found["geometry"] == "Rectangular(y=4, x=3)"
        assert found["cut from"] == "y: 8, x: 9"
    lost = rows_of(patches.drop_vars("patch"))
    assert lost["to merge"] == "patches.patch.merge(like=field)"
    broken = patches.drop_indexes("patch")
    broken["patch"].attrs["xpatch_recipe"] = '{"dims": 3, "geometry": [1]'
    assert rows_of(broken)["title"].startswith("6 patches")


def test_selections_crops_and_none():
    field = xr.DataArray(np.zeros((8, 9)), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 4, "x": 3})
    found = rows_of(patches.patch.crop(y=1).isel(patch=[0, 0]))
    assert found["title"] == "2 of 6 patches of y: 2, x: 3"
    assert found["coverage"] == (
        "0 / 0 / 2 patches on a cell (min / median / max); 66 of 72 cells in none"
    )
    assert rows_of(patches.isel(patch=[]))["title"] == "0 of 6 patches of y: 4, x: 3"
    assert rows_of(patches.isel(patch=0))["title"]


def test_trees_and_tables():
    time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
    series = xr.DataArray(np.ones(60), {"time": time}, ("time",), name="t")
    tree = series.patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
    assert rows_of(tree)["5"] == "41 of 41 patches, time: 5 means of 1 steps"


def test_counts_are_kept_small():
    patches = boxes(xpatch.RegularStride(1))
    (held,) = held_by(patches.xindexes["patch"].plans[0], patches.xindexes["patch"])
    assert held.counts.shape == (40, 60)
