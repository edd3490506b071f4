"""Files that are opened by a function of the caller, also by an asynchronous one."""

from __future__ import annotations

import asyncio
import functools
import os
import pickle
import threading
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import async_geotiff
import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from georeader.geotensor import GeoTensor
from obstore.store import LocalStore

import xpatch
from tests.catalog_files import scenes
from xpatch.catalogs import loop

WARPED = {"crs": "EPSG:32632", "resolution": 13.0, "resampling": "bilinear"}


def dated(files):
    """Give the catalog of some files."""
    return xpatch.catalog(files, time=r"_(\d{8})\.tif")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return scenes(tmp_path_factory.mktemp("async") / "a", bands=2, dtype="int16", nodata=-9)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Give each test a loop of its own, so that readers of others are not found."""
    monkeypatch.setattr(loop, "_loops", {})
    Reader.log = Log()


class Log:
    """What readers did."""

    def __init__(self):
        self.opened, self.threads = Counter(), set()
        self.now = self.most = 0

    async def busy(self):
        self.threads.add(threading.current_thread().name)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.005)
        self.now -= 1


class Reader:
    """A file that is read asynchronously."""

    log = Log()

    def __init__(self, href):
        self.href = href
        self.log.opened[href] += 1

    @classmethod
    async def open(cls, href):
        await cls.log.busy()
        return cls(href)

    async def read_from_window(self, window):
        await self.log.busy()
        with rasterio.open(self.href) as file:
            return file.read(window=window)


class AsyncGeoTIFF:
    """What reads a window of a file of async-geotiff."""

    def __init__(self, file):
        self.file = file

    @classmethod
    async def open(cls, href, store):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return cls(await async_geotiff.GeoTIFF.open(href.lstrip("/"), store=store))

    async def read_from_window(self, window):
        own = async_geotiff.Window(window.col_off, window.row_off, window.width, window.height)
        return (await self.file.read(window=own)).data


class Values:
    """What has its values as georeader's tensors, or loads them, perhaps to await."""

    def __init__(self, values, awaitable=False):
        self._values, self.awaitable = values, awaitable

    def load(self):
        out = xr.DataArray(self._values)
        return asyncio.sleep(0, out) if self.awaitable else out


@pytest.mark.parametrize(
    "words", [{}, WARPED, WARPED | {"resampling": "average", "resolution": 35.0}]
)
def test_async_geotiff_reads_as_rasterio_does(files, words):
    zone = dated([f for f in files if "T33" in f])
    open_ = functools.partial(AsyncGeoTIFF.open, store=LocalStore("/"))
    want, got = zone.patch.field(**words), zone.patch.field(**words, open=open_)
    if not words:
        np.testing.assert_array_equal(got, want)
    else:
        assert (np.abs(got.astype(int) - want.astype(int)) <= 1).mean() > 0.995
    plain = zone.patch.field(**words, open=rasterio_reader)
    np.testing.assert_array_equal(got, plain)


class Plain:
    """A file that is read by the thread that asks."""

    def __init__(self, href):
        self.file = rasterio.open(href)

    def read_from_window(self, window):
        return self.file.read(window=window)

    def close(self):
        self.file.close()


def rasterio_reader(href):
    return Plain(href)


@pytest.mark.parametrize(
    "open_",
    [
        Reader.open,
        Reader,
        lambda href: Reader.open(href),
        functools.partial(Reader.open),
        rasterio_reader,
    ],
)
@pytest.mark.parametrize("words", [{"crs": "EPSG:32632", "resolution": 10.0}, WARPED])
def test_every_way_to_open_reads_the_same(files, open_, words):
    cat = dated(files)
    want = cat.patch.field(**words, open=rasterio_reader).values
    lazy = cat.patch.field(**words, open=open_)
    np.testing.assert_array_equal(lazy, want)
    part = (slice(1, 2), [1], slice(70, 213), slice(100, 240))
    np.testing.assert_array_equal(lazy[part], want[1:2, [1], 70:213, 100:240])


@pytest.mark.parametrize("gives", ["array", "row, column", "load", "awaitable load"])
def test_what_readers_give(files, gives):
    class Other(Reader):
        async def read_from_window(self, window):
            values = await super().read_from_window(window)
            if gives == "row, column":
                return values[0]
            return values if gives == "array" else Values(values, gives == "awaitable load")

    one = dated(files[0])
    want = one.patch.field(bands=[1])
    np.testing.assert_array_equal(one.patch.field(bands=[1], open=Other.open), want)


def test_blocks_are_awaited_together_on_one_thread_and_not_too_many(files):
    zone = dated([f for f in files if "T33" in f])
    lazy = zone.patch.field(crs="EPSG:32632", resolution=1.5, bands=[1], open=Reader.open)
    lazy[0, 0, :900, :900].load()  # of the first file more than 32 blocks
    assert Reader.log.most == loop.FLIGHT
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: lazy[0, 0, 300 * k : 300 * k + 300, :900].load(), range(4)))
    assert Reader.log.most == loop.FLIGHT
    assert Reader.log.threads == {"xpatch-loop"}
    assert set(Reader.log.opened.values()) == {1}


def test_readers_are_kept_and_bounded(files, monkeypatch):
    cat = dated([f for f in files if "T32" in f])
    lazy = cat.patch.field(crs="EPSG:32632", resolution=10, open=Reader.open)
    lazy.load()
    cat.patch.field(crs="EPSG:32632", resolution=20, open=Reader.open).load()
    opened = Reader.log.opened.total()
    assert opened == len(set(Reader.log.opened))
    monkeypatch.setattr(loop, "LIMIT", 1)
    again = cat.patch.field(crs="EPSG:32632", resolution=10, open=Reader.open)
    np.testing.assert_array_equal(again, lazy)
    assert Reader.log.opened.total() > opened
    assert len(loop.running()._readers) == 1


def test_readers_of_threads_are_closed(files, monkeypatch):
    closed = []
    monkeypatch.setattr("xpatch.catalogs.handles.LIMIT", 1)

    class Closing(Plain):
        def close(self):
            closed.append(self.file.name)

    zone = [f for f in files if "T32" in f]
    dated(zone).patch.field(crs="EPSG:32632", resolution=10, open=Closing).load()
    assert len(closed) == len(set(closed)) == len(zone) - 2


def test_a_field_over_asynchronous_readers_pickles(files):
    lazy = dated(files[:2]).patch.field(open=Reader.open)
    want = lazy.values
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy)), want)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_has_a_loop_of_its_own(files):
    lazy = dated(files[:1]).patch.field(open=Reader.open)
    want = lazy.values
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads do not come along
        child = os.fork()
    if not child:
        same = np.array_equal(lazy[..., :50].values, want[..., :50])
        os.write(write, b"y" if same else b"n")
        os._exit(0)
    assert os.read(read, 1) == b"y"
    os.waitpid(child, 0)


def test_errors_name_the_file_and_the_cells(files):
    class Broken(Reader):
        async def read_from_window(self, window):
            if window.row_off > 50:
                raise OSError("the line is dead")
            return await super().read_from_window(window)

    lazy = dated(files[0]).patch.field(open=Broken.open)
    lazy[..., :40, :].load()
    with pytest.raises(OSError, match="the line is dead") as caught:
        lazy[0, 0, 60:70, 10:30].load()
    assert f"{files[0]!r} was read at 60:70, 10:30" in caught.value.__notes__[0]
    zone = next(f for f in files if "T33" in f)
    warped = dated(zone).patch.field(**WARPED | {"resolution": 5.0}, open=Broken.open)
    with pytest.raises(OSError, match="the line is dead") as caught:
        warped.load()
    assert f"{zone!r} was read at" in caught.value.__notes__[0]


def test_a_file_that_does_not_open_is_tried_again(files):
    fails = [True]

    async def open_(href):
        if fails:
            raise OSError("not now")
        return Reader(href)

    lazy = dated(files[0]).patch.field(open=open_)
    with pytest.raises(OSError, match="not now"):
        lazy[0, 0, :5].load()
    fails.clear()
    assert lazy[0, 0, :5].load().notnull().all()


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (
            lambda w: np.ma.masked_equal(np.zeros((2, w.height, w.width), "int16"), 0),
            "masked arrays",
        ),
        (lambda w: np.zeros((2, w.height, w.width)), "gives float64 of shape"),
        (
            lambda w: np.zeros((2, w.height, w.width + 1), "int16"),
            r"gives int16 of shape \(2, 3, 5\)",
        ),
        (lambda w: np.zeros((1, w.height, w.width), "int16"), r"bands \[1, 2\] are to be read"),
        (lambda w: "values", "must give an array .* got str"),
    ],
)
def test_what_is_no_window_is_refused(files, values, error):
    class Other(Reader):
        async def read_from_window(self, window):
            return values(window)

    lazy = dated(files[0]).patch.field(open=Other.open)
    with pytest.raises((TypeError, ValueError), match=error):
        lazy[0, :, :3, :4].load()


def test_only_files_are_opened(files):
    with rasterio.open(files[0]) as file:
        values, place = file.read(), {"transform": file.transform, "crs": file.crs}
    east = GeoTensor(values, place["transform"] @ Affine.translation(150, 0), place["crs"], -9)
    out = xpatch.catalog([files[0], east]).patch.field(open=Reader.open)
    np.testing.assert_array_equal(out, np.concatenate([values, values], axis=-1))
    assert list(Reader.log.opened) == [files[0]]


def test_functions_that_return_awaitables_are_awaited_together(files):
    class Returning(Reader):
        def read_from_window(self, window):
            return super().read_from_window(window)

    words = {**WARPED, "resolution": 4.0}  # of several blocks
    some = dated(files[:1]).patch.field(**words, open=Returning)
    np.testing.assert_array_equal(some, dated(files[:1]).patch.field(**words, open=Plain))
    assert Reader.log.most > 1
    assert Reader.log.threads == {"xpatch-loop"}
