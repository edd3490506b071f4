"""Chunks that cannot be read: who tells which, and how a run goes on without them."""

from __future__ import annotations

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import xpatch

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")
BROKEN = (slice(8, 16), slice(16, 24))  # the cells y, x of the chunk that cannot be read


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Give a store of two variables; one chunk of one of them is not what was written."""
    path = tmp_path_factory.mktemp("stores") / "broken.zarr"
    rng = np.random.default_rng(0)
    whole = xr.Dataset(
        {n: (("y", "x"), rng.random((24, 32)).astype("f4")) for n in ("t", "u")},
        {"y": np.arange(24.0)[::-1], "x": np.arange(32.0)},
    )
    whole.to_zarr(path, encoding={n: {"chunks": (8, 8)} for n in ("t", "u")})
    chunk = path / "t" / "c" / "1" / "2"
    chunk.write_bytes(chunk.read_bytes()[:10] + b"rubbish" * 5)
    return path


@pytest.fixture
def field(path):
    return xr.open_zarr(path, chunks=None)


def notes(call):
    """Give what is noted on the error that a call raises, of whatever type."""
    with pytest.raises(Exception, match=r".") as caught:
        call()
    return "\n".join(caught.value.__notes__)


def right(path):
    """Give what could be read, and what could not as missing."""
    whole = xr.open_zarr(path, chunks=None)["t"]
    values = np.full(whole.shape, np.nan, "f4")
    array = zarr.open_group(path)["t"]
    for y in range(0, 24, 8):
        for x in range(0, 32, 8):
            if (y, x) != (8, 16):
                values[y : y + 8, x : x + 8] = array[y : y + 8, x : x + 8]
    return xr.DataArray(values, whole.coords, whole.dims, name="t")


CUTS = {
    "boxes": ({"geometry": {"y": 8, "x": 8}}, "y=8:16, x=16:24", [6]),
    "wide": ({"geometry": {"y": 12, "x": 16}}, "y=0:12, x=16:32", [1]),
    "padded": (
        {
            "geometry": xpatch.Rectangular(y=8, x=8, boundary="pad"),
            "sampler": xpatch.RegularStride(8),
        },
        "y=8:16, x=16:24",
        [6],
    ),
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("one", [True, False])
def test_loading_patches_tells_variable_region_and_patches(field, name, one):
    cut, region, labels = CUTS[name]
    patches = (field["t"] if one else field).patch.split(**cut)
    for some in labels:
        said = notes(patches.isel(patch=[some]).load)
        assert f"raised while 't' was read at the cells {region}" in said
        assert f"raised for the patches with labels [{some}]" in said
    patches.isel(patch=[0]).load()
    if not one:
        patches[["u"]].load()


def test_many_labels_are_cut_short(field):
    patches = field["t"].patch.split(geometry={"y": 2, "x": 2})
    said = notes(patches.load)
    assert "labels [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] and 182 more" in said
    assert "raised while 't' was read" in said


def test_members_and_windows_in_time_tell_as_well(tmp_path):
    rng = np.random.default_rng(0)
    coords = {
        "time": np.arange("2000-01-01", "2000-01-13", dtype="M8[D]").astype("M8[ns]"),
        "lon": ("obs", rng.uniform(0, 10, 12)),
        "lat": ("obs", rng.uniform(0, 10, 12)),
    }
    stations = xr.DataArray(rng.random((12, 12)), coords, ("time", "obs"), name="t")
    stations.to_zarr(tmp_path / "a.zarr", encoding={"t": {"chunks": (4, 4)}})
    (tmp_path / "a.zarr" / "t" / "c" / "1" / "1").write_bytes(b"rubbish")
    field = xr.open_zarr(tmp_path / "a.zarr", chunks=None)["t"]
    space = xpatch.Patcher(xpatch.KNNGraph(3))
    times = xpatch.TimePatcher(xpatch.FixedLookback(3))
    for patches in (
        field.patch.split(space),
        field.patch.split(times),
        field.patch.split(xpatch.SpatioTemporalPatcher(space, times)),
    ):
        said = notes(patches.load)
        assert "raised while 't' was read" in said
        assert "raised for the patches with labels [0, 1" in said


@pytest.mark.parametrize("how", [{}, {"shuffle": True, "seed": 0}])
def test_batches_of_data_on_disk_and_of_chunks(path, how):
    cut = {"geometry": {"y": 8, "x": 8}}
    for chunks, where in [
        (None, "raised while 't' was read"),
        ({}, "at the cells y=8:16, x=16:24"),
    ]:
        patches = xr.open_zarr(path, chunks=chunks)["t"].patch.split(**cut)
        seen = []
        batches = patches.patch.batches(1, **how)
        said = notes(lambda: seen.extend(int(b["patch"][0]) for b in batches))  # noqa: B023
        assert 6 not in seen
        assert where in said
        assert "labels [6]" in said


def test_apply_tells_by_default(field):
    said = notes(lambda: field["t"].patch.apply(lambda p: p + 1, geometry={"y": 8, "x": 8}))
    assert "raised while 't' was read" in said
    assert "raised for the patches with labels" in said


@pytest.mark.parametrize("on_error", ["nan", "skip"])
@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_apply_goes_on_without_what_cannot_be_read(path, field, on_error, batch_size):
    calls = []

    def func(patches):
        calls.append(patches.sizes["patch"])
        return patches + 1

    with pytest.warns(xpatch.PatchFailure) as caught:
        out = field["t"].patch.apply(
            func, geometry={"y": 8, "x": 8}, on_error=on_error, batch_size=batch_size
        )
    assert list(caught[0].message.failures) == [6]
    said = caught[0].message.failures[6]
    assert "raised while 't' was read at the cells y=8:16, x=16:24" in said
    assert str(caught[0].message).startswith("apply failed on 1 patches (6): ")
    xr.testing.assert_equal(out, right(path) + 1)
    assert sum(calls) == 11
    assert max(calls) <= (batch_size or 12)


@pytest.mark.parametrize("on_error", ["nan", "skip"])
def test_patches_that_overlap_fill_what_they_can(path, field, on_error):
    cut = {"geometry": {"y": 8, "x": 8}, "sampler": xpatch.RegularStride(4)}
    with pytest.warns(xpatch.PatchFailure) as caught:
        out = field["t"].patch.apply(lambda p: p, on_error=on_error, **cut)
    touch = [
        k
        for k, (y, x) in enumerate((y, x) for y in range(0, 17, 4) for x in range(0, 25, 4))
        if y < 16 and y + 8 > 8 and x < 24 and x + 8 > 16
    ]
    assert list(caught[0].message.failures) == touch
    known = right(path)
    there = ~np.isnan(out.values)
    assert not there[BROKEN].any()
    np.testing.assert_allclose(out.values[there], known.values[there], rtol=1e-6)
    assert there.sum() == 24 * 32 - 64


@pytest.mark.parametrize("on_error", ["nan", "skip"])
def test_a_func_and_a_read_that_fail(path, field, on_error):
    def picky(patches):
        if 3 in patches["patch"]:
            raise RuntimeError("does not converge")
        return patches

    with pytest.warns(xpatch.PatchFailure) as caught:
        out = field["t"].patch.apply(picky, geometry={"y": 8, "x": 8}, on_error=on_error)
    assert list(caught[0].message.failures) == [3, 6]
    assert caught[0].message.failures[3] == "RuntimeError: does not converge"
    expected = right(path).values.copy()
    expected[:8, 24:] = np.nan
    np.testing.assert_array_equal(out, expected)


def test_a_dataset_of_which_one_variable_cannot_be_read(path, field):
    with pytest.warns(xpatch.PatchFailure):
        out = field.patch.apply(
            lambda p: p["t"] + p["u"], geometry={"y": 8, "x": 8}, on_error="nan"
        )
    xr.testing.assert_allclose(out, (right(path) + field["u"]).rename(out.name))


def test_integers_that_cannot_be_read_are_left_out(tmp_path):
    whole = xr.DataArray(np.arange(64, dtype="i2").reshape(8, 8), dims=("y", "x"), name="n")
    whole.to_zarr(tmp_path / "a.zarr", encoding={"n": {"chunks": (4, 4)}})
    (tmp_path / "a.zarr" / "n" / "c" / "0" / "1").write_bytes(b"rubbish")
    field = xr.open_zarr(tmp_path / "a.zarr", chunks=None)["n"]
    for on_error in ("nan", "skip"):
        with pytest.warns(xpatch.PatchFailure):
            out = field.patch.apply(lambda p: p, geometry={"y": 4, "x": 4}, on_error=on_error)
        expected = whole.astype(float)
        expected[:4, 4:] = np.nan
        np.testing.assert_array_equal(out, expected)
    with pytest.warns(xpatch.PatchFailure):
        kept = field.patch.apply(
            lambda p: p,
            geometry={"y": 4, "x": 4},
            on_error="skip",
            fill_value=-1,
            aggregation="max",
        )
    np.testing.assert_array_equal(kept, whole.where(expected.notnull(), -1))


def test_the_first_patch_cannot_be_read(tmp_path):
    """The probe, by which apply finds out what func returns, goes on to others."""
    whole = xr.DataArray(np.ones((8, 8)), dims=("y", "x"), name="n")
    whole.to_zarr(tmp_path / "a.zarr", encoding={"n": {"chunks": (4, 4)}})
    (tmp_path / "a.zarr" / "n" / "c" / "0" / "0").write_bytes(b"rubbish")
    field = xr.open_zarr(tmp_path / "a.zarr", chunks=None)["n"]

    def func(patches):
        if not patches.size:
            raise ValueError("nothing to do")
        return patches * 2

    with pytest.warns(xpatch.PatchFailure):
        out = field.patch.apply(func, geometry={"y": 4, "x": 4}, on_error="nan")
    assert (out == 2).sum() == 48
    said = notes(lambda: field.patch.apply(func, geometry={"y": 4, "x": 4}))
    assert "'n' was read at the cells y=0:4, x=0:4" in said


def test_a_file_that_is_gone(tmp_path):
    whole = xr.DataArray(np.ones((8, 8)), dims=("y", "x"), name="n")
    whole.to_zarr(tmp_path / "a.zarr", encoding={"n": {"chunks": (4, 4)}})
    field = xr.open_zarr(tmp_path / "a.zarr", chunks=None)["n"]
    for chunk in (tmp_path / "a.zarr" / "n" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"rubbish")
    with pytest.warns(xpatch.PatchFailure) as caught:
        out = field.patch.apply(lambda p: p, geometry={"y": 4, "x": 4}, on_error="nan")
    assert list(caught[0].message.failures) == [0, 1, 2, 3]
    assert out.isnull().all()


def test_nothing_is_read_twice_where_all_can_be_read(tmp_path, monkeypatch):
    from xpatch.engine.reading import Stored

    whole = xr.DataArray(np.ones((32, 32)), dims=("y", "x"), name="n")
    whole.to_zarr(tmp_path / "a.zarr", encoding={"n": {"chunks": (8, 8)}})
    field = xr.open_zarr(tmp_path / "a.zarr", chunks=None)["n"]
    reads, read = [], Stored.read
    monkeypatch.setattr(Stored, "read", lambda self, key: reads.append(key) or read(self, key))
    counts = []
    for on_error in ("raise", "nan"):
        reads.clear()
        field.patch.apply(lambda p: p, geometry={"y": 8, "x": 8}, on_error=on_error)
        counts.append(len([k for k in reads if all(s.stop > s.start for s in k)]))
    assert counts == [16, 16]


def test_netcdf(tmp_path):
    """A file that was cut off: the library says nothing of where."""
    whole = xr.DataArray(np.random.default_rng(0).random((64, 64)), dims=("y", "x"), name="n")
    path = tmp_path / "a.nc"
    whole.to_netcdf(path, engine="netcdf4", encoding={"n": {"chunksizes": (16, 16), "zlib": True}})
    data = bytearray(path.read_bytes())
    data[-6000:-5900] = bytes(100)
    path.write_bytes(data)
    with (
        xr.open_dataset(path, engine="netcdf4") as ds,
        warnings.catch_warnings(record=True) as said,
    ):
        warnings.simplefilter("always")
        out = ds["n"].patch.apply(lambda p: p, geometry={"y": 16, "x": 16}, on_error="nan")
    (failed,) = [w.message.failures for w in said if isinstance(w.message, xpatch.PatchFailure)]
    assert 1 <= len(failed) <= 2
    assert all("raised while 'n' was read at the cells y=" in text for text in failed.values())
    assert int(out.isnull().sum()) == 256 * len(failed)


def test_a_chunk_of_dask_ends_the_run_whatever_on_error_says(path):
    """It fails before the task of apply begins; read without chunks what may fail."""
    lazy = xr.open_zarr(path, chunks={})["t"].patch.apply(
        lambda p: p, geometry={"y": 8, "x": 8}, on_error="nan"
    )
    with pytest.raises(Exception, match=r"."), dask.config.set(scheduler="synchronous"):
        lazy.compute()


def test_names_come_along_after_a_rename_and_for_arrays_without_one(field):
    named = field["t"].rename("v").patch.split(geometry={"y": 8, "x": 8})
    bare = field["t"].rename(None).patch.split(geometry={"y": 8, "x": 8})
    for patches, what in [(named, "'v' was read"), (bare, "the field was read")]:
        assert what in notes(patches.isel(patch=[6]).load)


def test_dask_patches_say_nothing_wrong(path):
    patches = xr.open_zarr(path, chunks={})["u"].patch.split(geometry={"y": 8, "x": 8})
    assert isinstance(patches.data, da.Array)
    assert sum(b.sizes["patch"] for b in patches.patch.batches(5)) == 12
