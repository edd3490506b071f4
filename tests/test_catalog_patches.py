"""Patches of fields over many files: all that is done with patches, and what is read for it."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401  registers .rio
import shapely
import xarray as xr
from affine import Affine

import xpatch
from tests.catalog_files import counting, scenes, write
from xpatch.catalogs import handles

CRS = "EPSG:32632"
NORTH_UP = Affine(10, 0, 500000, 0, -10, 5200000)


@pytest.fixture(scope="module")
def cat(tmp_path_factory):
    path = tmp_path_factory.mktemp("patches")
    scenes(path, size=100, lap=12, nodata=-9999.0, hole=True)
    return xpatch.catalog(path / "*.tif", time=r"_(\d{8})\.tif")


@pytest.fixture(scope="module")
def field(cat):
    return cat.patch.field(crs=CRS, resolution=10, resampling="bilinear")


@pytest.fixture(scope="module")
def loaded(field):
    return field.copy(data=field.values)


@pytest.mark.parametrize("overlap", ["first", "last", "mean", "min", "max", "count"])
def test_identity_with_dates_nodata_and_every_overlap(cat, overlap):
    field = cat.patch.field(crs=CRS, resolution=10, overlap=overlap)
    patches = field.patch.split({"y": 40, "x": 40}, sampler=xpatch.RegularStride(40))
    merged = patches.patch.merge("first")
    xr.testing.assert_identical(merged.drop_attrs(deep=False), field.drop_attrs(deep=False))
    assert merged.dtype == field.dtype
    assert merged.rio.crs == field.rio.crs


def test_patches_stay_on_disk_and_have_their_own_transform(field, loaded):
    patches = field.patch.split({"y": 40, "x": 50})
    assert not patches.variable._in_memory
    one = patches.patch[7]
    ys, xs = one.y.values, one.x.values
    np.testing.assert_array_equal(one.values, loaded.sel(y=ys, x=xs).values)
    left, _, _, top = one.rio.bounds()
    assert (left, top) == (xs[0] - 5, ys[0] + 5)
    assert one.rio.crs == CRS


def test_what_is_read(cat, field, monkeypatch):
    found = counting(monkeypatch)
    patches = field.patch.split({"y": 40, "x": 40}, sampler=xpatch.RegularStride(30))
    repr(patches), repr(patches.patch), patches.patch.anchors, patches.patch.footprints()
    patches.patch.slices()
    assert found == []
    for k in (0, 9, 30):
        found.clear()
        patch = patches.isel(patch=[k], time=[1]).load()
        own = shapely.box(*patch.patch.footprints().total_bounds)
        outlines = cat[cat.href.str.contains("20240611")].to_crs(CRS)
        near = outlines[outlines.intersects(own.buffer(-0.1))].href
        assert {h for h, _ in found} <= set(near)
        assert all(c[2] - c[0] <= 40 and c[3] - c[1] <= 40 for _, c in found)


def test_first_stops_when_all_is_covered(cat, monkeypatch):
    own = cat[(cat["proj:code"] == CRS) & cat.href.str.contains("20240611")].iloc[[1, 0, 2, 3]]
    count = own.patch.field(overlap="count", time=None)
    row, column = np.argwhere(count.values[0] == 2)[40]
    part = {"band": 0, "y": slice(row, row + 1), "x": slice(column, column + 1)}
    found = counting(monkeypatch)
    own.patch.field(time=None).isel(part).load()
    assert len(found) == 1
    found.clear()
    count.isel(part).load()
    assert len(found) == 2


def test_batches_read_each_patch_once(field, loaded, monkeypatch):
    patches = field.patch.split({"y": 40, "x": 40})
    expected = loaded.patch.split({"y": 40, "x": 40})
    found = counting(monkeypatch)
    batches = list(patches.patch.batches(7))
    assert found
    assert len(found) == len(set(found))  # no cells of a file twice
    np.testing.assert_array_equal(np.concatenate([b.values for b in batches]), expected.values)


@pytest.mark.parametrize("chunks", [None, {"time": 1, "y": 64, "x": 80}])
def test_apply_and_write_resume(field, loaded, tmp_path, chunks):
    source = field if chunks is None else field.chunk(chunks)
    words = {"geometry": {"y": 40, "x": 40}, "sampler": xpatch.RegularStride(30), "batch_size": 5}
    out = source.patch.apply(lambda p: p * 2 + 1, aggregation=xpatch.OverlapAdd("hann"), **words)
    np.testing.assert_allclose(out.values, loaded.values * 2 + 1, rtol=1e-5)
    if chunks is None:
        return
    xpatch.write(out, tmp_path / "out.zarr")
    xpatch.write(out, tmp_path / "out.zarr", resume=True)
    back = xr.open_zarr(tmp_path / "out.zarr", decode_coords="all")
    np.testing.assert_array_equal(next(iter(back.data_vars.values())).values, out.values)


@pytest.mark.parametrize("on_error", ["raise", "nan", "skip"])
@pytest.mark.parametrize("chunks", [None, {"y": 10, "x": 10}])
def test_a_broken_file_is_named_and_on_error_is_honored(tmp_path, on_error, chunks):
    good = write(tmp_path / "good.tif", np.ones((1, 20, 20), "float32"), NORTH_UP, CRS)
    bad = write(
        tmp_path / "bad.tif",
        np.ones((1, 20, 20), "float32"),
        NORTH_UP @ Affine.translation(20, 0),
        CRS,
    )
    field = xpatch.catalog([good, bad]).patch.field()
    with open(bad, "r+b") as file:  # the header stays, cells are lost
        file.truncate(600)
    if chunks is not None:
        field = field.chunk(chunks)

    def run():
        words = {"geometry": {"y": 10, "x": 10}, "on_error": on_error}
        return field.patch.apply(lambda p: p + 1, **words).load()

    if on_error == "raise" or chunks is not None:  # chunks are read by the graph of the field
        with pytest.raises(Exception, match=r"bad\.tif|TIFF|tile|Read") as error:
            run()
        notes = " ".join(getattr(error.value, "__notes__", []))
        assert "bad.tif' was read at" in notes
        return
    with pytest.warns(xpatch.PatchFailure, match=r"failed on 4 patches") as caught:
        out = run()
    assert "bad.tif' was read at 0:10, 0:10" in next(iter(caught[0].message.failures.values()))
    assert (out.values[0, :, :20] == 2).all()
    assert np.isnan(out.values[0, :, 20:]).all()


def test_space_and_time_and_explicit_and_random(field, loaded):
    both = [{"y": 40, "x": 40}, xpatch.FixedLookback(2)]
    cut = field.patch.split(geometry=both)
    xr.testing.assert_equal(cut.load(), loaded.patch.split(geometry=both))
    random = xpatch.Random(20, seed=1)
    a, b = (f.patch.split({"y": 24, "x": 24}, sampler=random) for f in (field, loaded))
    np.testing.assert_array_equal(a.values, b.values)
    again = field.patch.split({"y": 24, "x": 24}, sampler=xpatch.Explicit(a.patch.slices()))
    np.testing.assert_array_equal(again.values, a.values)


def test_split_of_a_catalog_is_where_files_are(cat, field):
    far = cat.iloc[:2].assign(href=["a", "b"])
    transform = [[*t[:2], t[2] + 90_000, *t[3:]] for t in far["proj:transform"]]
    wide = pd.concat([cat, far.assign(**{"proj:transform": transform})], ignore_index=True)
    patches = wide.patch.split({"y": 40, "x": 40}, crs=CRS, resolution=10)
    whole = wide.patch.field(crs=CRS, resolution=10).patch.split({"y": 40, "x": 40})
    assert patches.sizes["patch"] < whole.sizes["patch"] / 10
    count = wide.patch.field(crs=CRS, resolution=10, overlap="count", time=None)
    near = count.isel(x=slice(0, field.sizes["x"])).patch.split(
        {"y": 40, "x": 40}, sampler=xpatch.RegularStride()
    )
    touched = int((near.load() > 0).any(("band", "y", "x")).sum())
    assert touched <= patches.sizes["patch"] <= touched + 12
    again = wide.patch.split(
        {"y": 40, "x": 40}, sampler=xpatch.Random(30, seed=0), crs=CRS, resolution=10
    )
    assert again.sizes["patch"] == 30
    both = cat.patch.split(
        geometry=[{"y": 40, "x": 40}, xpatch.FixedLookback(2)], crs=CRS, resolution=10
    )
    assert both.sizes["time"] == 2
    with pytest.raises(ValueError, match="split takes one resolution"):
        cat.patch.split({"y": 40, "x": 40}, crs=CRS, resolution=[10, 20])


def test_scenes_are_native_and_their_patches_are_joined(cat):
    fields = list(cat.patch.scenes())
    assert len(fields) == len(cat)
    for row, scene in zip(cat.itertuples(), fields, strict=True):
        with rasterio.open(row.href) as file:
            np.testing.assert_array_equal(scene.values, file.read(masked=True).filled(np.nan))
            assert scene.rio.transform() == file.transform
            assert scene.rio.crs == file.crs
        assert scene.href == row.href
        assert scene.time == row.datetime.tz_localize(None)
    sets = [f.patch.split({"y": 50, "x": 50}) for f in fields]
    patches = xpatch.concat(sets, scenes=[Path(h).stem for h in cat.href])
    assert set(patches["crs"].values) == {"EPSG:32632", "EPSG:32633"}
    assert set(patches["time"].values) == {np.datetime64("2024-06-01"), np.datetime64("2024-06-11")}
    assert not patches.variable._in_memory
    one = patches.isel(patch=patches["scene"] == "T33_01_20240611").patch.merge()
    xr.testing.assert_equal(
        one.drop_vars("scene", errors="ignore"),
        fields[cat.href.str.contains("T33_01_20240611").argmax()].load(),
    )


def test_the_field_of_forked_and_spawned_readers(tmp_path):
    """A handle is never used on the other side of a fork: here, where four children read at once."""
    values = np.random.default_rng(0).random((1, 1600, 1600), "f4")
    tiles = {"blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    field = xpatch.catalog(write(tmp_path / "a.tif", values, NORTH_UP, CRS, **tiles)).patch.field()
    field[:, :5].load()  # opens the file here
    theirs = {id(v) for v in handles._here.files.values()}
    for method, children in (("fork", 4), ("spawn", 1)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            with multiprocessing.get_context(method).Pool(children) as pool:
                got = pool.map(_rows, [(field, k, theirs) for k in range(0, 1600, 200)])
        for k, (part, same) in zip(range(0, 1600, 200), got, strict=True):
            np.testing.assert_array_equal(part, values[:, k : k + 200])
            assert not same or method == "spawn"


def _rows(args):
    field, k, theirs = args
    part = field[:, k : k + 200].values
    return part, any(id(v) in theirs for v in handles._here.files.values())


def test_few_files_are_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(handles, "LIMIT", 3 * threading.active_count())
    for k in range(8):
        write(
            tmp_path / f"{k}.tif",
            np.full((1, 8, 8), k, "float32"),
            NORTH_UP @ Affine.translation(8 * k, 0),
            CRS,
        )
    field = xpatch.catalog(tmp_path / "*.tif").patch.field(crs="EPSG:32633", resolution=10)
    first = field.values
    np.testing.assert_array_equal(field.values, first)
    assert len(handles._here.files) == 3


def test_all_of_europe_at_10_m_plans_in_little_memory():
    """2.5e11 cells, 5,000 files and 3.8 million patches of 256²: in a process of its own, with its peak."""
    code = """
import resource
import numpy as np, pandas as pd, pyproj, xpatch
random, n = np.random.default_rng(0), 5_000
lon, lat = random.uniform(-5, 25, n), random.uniform(38, 60, n)
zones = (32601 + np.floor((lon + 180) / 6)).astype(int)
corner = np.empty((n, 2))
for zone in np.unique(zones):
    own = zones == zone
    move = pyproj.Transformer.from_crs(4326, int(zone), always_xy=True).transform
    corner[own] = np.stack(move(lon[own], lat[own]), axis=-1) // 10 * 10
cat = pd.DataFrame({
    "href": [f"{k}.tif" for k in range(n)], "proj:code": [f"EPSG:{z}" for z in zones],
    "proj:transform": [[10.0, 0.0, x, 0.0, -10.0, y] for x, y in corner.tolist()],
    "proj:shape": [[800, 800]] * n, "bands": 1, "dtype": "uint16", "nodata": 0.0,
})
words = {"crs": 3035, "resolution": 10, "bounds": (2e6, 1e6, 7e6, 6e6)}
patches = cat.patch.split({"y": 256, "x": 256}, **words)
whole = cat.patch.field(**words).patch.split({"y": 256, "x": 256})
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(patches.sizes["patch"], whole.sizes["patch"], memory)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    some, every, memory = map(float, out.stdout.split())
    assert every == 1954**2
    assert 0.01 * every < some < every
    assert memory < 1.5  # GB


def test_memory_is_flat_in_the_size_of_the_grid(tmp_path):
    """2e11 cells of grid, of which one patch is read: in a process of its own, with its peak."""
    write(tmp_path / "a.tif", np.ones((1, 64, 64), "float32"), NORTH_UP, CRS)
    code = f"""
import resource, xpatch
cat = xpatch.catalog({str(tmp_path / "a.tif")!r})
cat.patch.field().load()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
field = cat.patch.field(crs=32632, resolution=10, bounds=(0, 4e6, 4e6, 9e6))
assert field.size == 2e11
patches = cat.patch.split({{"y": 256, "x": 256}}, crs=32632, resolution=10, bounds=(0, 4e6, 4e6, 9e6))
assert patches.load().max() == 1
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(out.stdout) < 150  # MB, of which labels are 7


def test_a_scene_in_tiles_and_a_tile_in_chips_in_one_expression(cat, monkeypatch):
    scene = next(cat.patch.scenes())
    found = counting(monkeypatch)
    chips = scene.patch.split({"y": 50, "x": 50}).patch.split({"y": 10, "x": 25}, dim="inner")
    assert dict(chips.sizes) == {"patch": 4, "inner": 10, "band": 1, "y": 10, "x": 25}
    assert found == []
    np.testing.assert_array_equal(
        chips.isel(patch=3, inner=4).values, scene.values[:, 70:80, 50:75]
    )
    back = (chips * 1).patch.merge().patch.merge()
    xr.testing.assert_equal(back, scene.load())
    means = chips.mean(("y", "x")).patch.merge().patch.merge()
    coarse = scene.coarsen(y=10, x=25).mean().values
    np.testing.assert_allclose(means.values[:, ::10, ::25], coarse, rtol=1e-6)


def test_chips_of_tiles_of_a_field_over_many_files(field, loaded):
    chips, expected = (
        f.patch.split({"y": 60, "x": 60}).patch.split({"y": 20, "x": 20}, dim="inner")
        for f in (field, loaded)
    )
    some = {"patch": [0, 7, 11], "inner": [8, 1], "time": 1}
    xr.testing.assert_equal(chips.isel(some).load(), expected.isel(some))
