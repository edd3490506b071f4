"""Streams under torch's loader: ranks, workers, forks, epochs, and how often chunks are read."""

from __future__ import annotations

import copy
import os
import pickle
import signal
from collections import Counter

import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

import xpatch
from tests.test_batches import cut, on_disk

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

from xpatch.torch import Stream  # noqa: E402

WAIT = 60  # seconds after which a loader that hangs is an error


class Told(BackendArray):
    """Data on disk that tell a file which stored chunks are read, from whatever process."""

    def __init__(self, values, chunk, log):
        self.values, self.chunk, self.log = values, chunk, str(log)
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key):
        cells = [
            np.unique(np.arange(n)[k] // self.chunk) for n, k in zip(self.shape, key, strict=True)
        ]
        with open(self.log, "a") as file:
            file.write("".join(f"{i},{j}\n" for i in cells[0] for j in cells[1]))
        return self.values[key]


def told(log, n=32, chunk=8):
    """Give patches of 4 x 4 cells of a field in chunks, and its values."""
    values = np.random.default_rng(0).random((n, n))
    variable = xr.Variable(("y", "x"), indexing.LazilyIndexedArray(Told(values, chunk, log)))
    field = xr.DataArray(variable, name="t")
    field.encoding = {"preferred_chunks": {"y": chunk, "x": chunk}}
    return field.patch.split(geometry={"y": 4, "x": 4})


def loader(stream, workers=0, **words):
    if workers:
        words = {"timeout": WAIT, "multiprocessing_context": "fork", **words}
    return DataLoader(stream, batch_size=None, num_workers=workers, **words)


def walked(loaders):
    """Give the labels that each loader gives, batch by batch."""
    return [[b["patch"].tolist() for b in one] for one in loaders]


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_and_workers_share_patches_and_chunks(tmp_path, workers):
    log = tmp_path / "log"
    patches = told(log)
    values = patches.values
    streams = [Stream(patches, 4, rank=r, world=2) for r in range(2)]
    orders = []
    for epoch in range(2):
        log.write_text("")
        found = []
        for stream in streams:
            stream.set_epoch(epoch)
            batches = list(loader(stream, workers))
            assert len(batches) == len(stream) == 8
            for b in batches:
                np.testing.assert_array_equal(b["t"].numpy(), values[b["patch"].numpy()])
            found += [b["patch"].numpy() for b in batches]
        orders.append(np.concatenate(found).tolist())
        assert sorted(orders[-1]) == list(range(64))
        assert set(Counter(log.read_text().split()).values()) == {1}
        assert len(set(log.read_text().split())) == 16
    assert orders[0] != orders[1]


def test_spawned_workers_that_live_on_hear_of_epochs(tmp_path):
    patches = told(tmp_path / "log")
    stream = Stream(patches, 8)
    words = {"persistent_workers": True, "multiprocessing_context": "spawn"}
    loaded = loader(stream, 2, **words)
    found = []
    for epoch in (0, 1, 0):
        stream.set_epoch(epoch)
        found.append([p for b in loaded for p in b["patch"].tolist()])
        assert sorted(found[-1]) == list(range(64))
    assert found[0] != found[1]
    assert found[0] == found[2]
    assert copy.deepcopy(stream).epoch == pickle.loads(pickle.dumps(stream)).epoch == 0


@pytest.mark.parametrize("drop_last", [False, True])
def test_what_does_not_divide(tmp_path, drop_last):
    patches = told(tmp_path / "log").isel(patch=slice(3, None))
    for workers in (0, 2):
        loaders = [
            loader(Stream(patches, 5, rank=r, world=4, drop_last=drop_last), workers)
            for r in range(4)
        ]
        found = walked(loaders)
        flat = [p for batches in found for b in batches for p in b]
        assert len(set(flat)) == len(flat)
        assert {len(batches) for batches in found} == {len(loaders[0])} == {3 if drop_last else 4}
        assert drop_last or sorted(flat) == list(range(3, 64))


def test_validation_keeps_the_order():
    patches = cut(on_disk()[1].compute().rename("t"))
    stream = Stream(patches, 50, shuffle=False, drop_last=False)
    assert [p for b in stream for p in b["patch"].tolist()] == list(range(169))
    assert len(stream) == 4


def test_workers_compute_dask_that_the_parent_computed_on_threads():
    patches = cut(on_disk()[1].compute().rename("t").chunk(8))
    expected = patches.compute(scheduler="threads")
    stream = Stream(patches, 10, drop_last=False)
    found = list(loader(stream, 2))
    for b in found:
        right = expected.sel(patch=b["patch"].numpy()).values
        np.testing.assert_array_equal(b["t"].numpy(), right)
    assert sum(len(b["patch"]) for b in found) == 169


@pytest.mark.parametrize("kind", ["zarr", "h5", "nc3", "tif"])
def test_forked_workers_read_files_that_the_parent_has_open(tmp_path, kind):
    values = np.random.default_rng(0).integers(0, 60000, (96, 96)).astype("u2")
    field = xr.DataArray(values, dims=("y", "x"), name="t")
    if kind == "zarr":
        encoding = {"t": {"chunks": (16, 16)}}
        field.to_dataset().to_zarr(tmp_path / "a", encoding=encoding, consolidated=False)
        opened = xr.open_zarr(tmp_path / "a", chunks=None, consolidated=False)["t"]
    elif kind == "tif":
        rio = pytest.importorskip("rioxarray")
        field.rio.to_raster(tmp_path / "a.tif", tiled=True, blockxsize=16, blockysize=16)
        opened = rio.open_rasterio(tmp_path / "a.tif").squeeze("band", drop=True).rename("t")
    else:
        form = {"h5": "NETCDF4", "nc3": "NETCDF3_64BIT"}[kind]
        encoding = {"t": {"dtype": "u2" if kind == "h5" else "f8"}}
        if kind == "h5":
            encoding["t"]["chunksizes"] = (16, 16)
        field.to_dataset().to_netcdf(tmp_path / "a.nc", format=form, encoding=encoding)
        opened = xr.open_dataset(tmp_path / "a.nc", engine="netcdf4")["t"]
    patches = opened.patch.split(geometry={"y": 8, "x": 8})
    expected = patches.copy().values  # of a copy, so that the patches stay on disk
    np.testing.assert_array_equal(expected[0], values[:8, :8])
    for _ in range(2):
        seen = 0
        for b in loader(Stream(patches, 9, drop_last=False, buffer=30), 2):
            np.testing.assert_array_equal(b["t"].numpy(), expected[b["patch"].numpy()])
            seen += len(b["patch"])
        assert seen == 144


class Fail:
    """Does something to the batch that has patch 5."""

    def __init__(self, what):
        self.what = what

    def __call__(self, batch):
        if 5 in batch["patch"]:
            self.what()
        return batch


def stop():
    raise KeyError("no such band")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_fail_raise(tmp_path):
    with pytest.raises(KeyError, match="no such band"):
        list(loader(Stream(told(tmp_path / "log"), 4, transform=Fail(stop)), 1))


def test_workers_that_are_killed_raise(tmp_path):
    """In its first batch: of later ones torch may meet, before, a tensor that went with the worker."""
    stream = Stream(told(tmp_path / "log"), 8, shuffle=False, transform=Fail(die))
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        list(loader(stream, 1))


def test_workers_that_are_killed_later_raise(tmp_path):
    stream = Stream(told(tmp_path / "log"), 4, shuffle=False, transform=Fail(die))
    with pytest.raises((RuntimeError, OSError, EOFError)):
        list(loader(stream, 1))


def test_reads_that_fail_in_a_worker_say_where(tmp_path):
    patches = told(tmp_path / "log")
    (tmp_path / "log").mkdir()
    with pytest.raises(IsADirectoryError, match="raised for the patches with labels"):
        list(loader(Stream(patches, 4), 1))


def several():
    """Give patches of two grids, and labels of patches."""
    ten = xr.DataArray(np.arange(1600, dtype="u2").reshape(40, 40), dims=("y", "x"))
    twenty = xr.DataArray(np.arange(400, dtype=">f4").reshape(20, 20), dims=("y20", "x20"))
    data = xr.Dataset({"b2": ten, "b5": twenty, "clear": ten > 7}).assign_coords(
        {"y": np.arange(40) * 10.0 + 5, "x": np.arange(40) * 10.0 + 5}
        | {"y20": np.arange(20) * 20.0 + 10, "x20": np.arange(20) * 20.0 + 10}
    )
    geometry = xpatch.Rectangular({("y", "x"): 8, ("y20", "x20"): 4})
    patches = data.patch.split(geometry=geometry)
    return patches.assign(label=("patch", np.arange(25) % 3))


def test_dtypes_and_grids():
    patches = several()
    (batch,) = Stream(patches, 25, shuffle=False)
    assert {n: (tuple(v.shape), v.dtype) for n, v in batch.items()} == {
        "b2": ((25, 8, 8), torch.uint16),
        "b5": ((25, 4, 4), torch.float32),
        "clear": ((25, 8, 8), torch.bool),
        "label": ((25,), torch.int64),
        "patch": ((25,), torch.int64),
    }
    for name in ("b2", "b5", "clear", "label"):
        np.testing.assert_array_equal(batch[name].numpy(), patches[name].values)


def test_writing_to_a_batch_leaves_the_patches():
    patches = several()
    before = patches.copy(deep=True)
    for shuffle in (False, True):
        for batch in Stream(patches, 5, shuffle=shuffle):
            for tensor in batch.values():
                tensor.zero_()
    xr.testing.assert_identical(patches, before)


def test_axes_in_another_order_and_unnamed_arrays():
    patches = cut(on_disk()[1].compute()).transpose("y", "patch", "x")
    for batch in Stream(patches, 8, buffer=20):
        right = patches.sel(patch=batch["patch"].numpy()).transpose("patch", "y", "x")
        np.testing.assert_array_equal(batch["values"].numpy(), right)


def test_several_scenes(tmp_path):
    scenes = [told(tmp_path / "a"), told(tmp_path / "b", 16)]
    patches = xpatch.concat(scenes)
    values = patches.values
    for log in "ab":
        (tmp_path / log).write_text("")
    found = []
    for b in loader(Stream(patches, 8), 2):
        np.testing.assert_array_equal(b["t"].numpy(), values[b["patch"].numpy()])
        found += b["patch"].tolist()
    assert sorted(found) == list(range(80))
    for log in "ab":
        assert set(Counter((tmp_path / log).read_text().split()).values()) == {1}


def test_predictions_of_batches_merge():
    patches = cut(on_disk()[1].compute().rename("t"))
    parts = [
        patches.sel(patch=b["patch"].numpy()).copy(data=b["t"].numpy() * 2)
        for b in Stream(patches, 13)
    ]
    out = xr.concat(parts, "patch").patch.merge()
    np.testing.assert_allclose(out, on_disk()[0].values * 2)


def test_places_of_torch_distributed(tmp_path, monkeypatch):
    patches = told(tmp_path / "log")
    early = Stream(patches, 4)
    assert len(early) == 16
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for stream in (early, Stream(patches, 4)):
        sent = pickle.loads(pickle.dumps(stream))
        assert len(stream) == len(sent) == 8
        assert walked([sent]) == walked([stream])
    explicit = walked([Stream(patches, 4, rank=k, world=2) for k in range(2)])
    assert walked([early]) == explicit[1:]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an int"),
        ({"batch_size": 65}, ValueError, "64 patches make no batch of batch_size=65"),
        ({"batch_size": 33, "rank": 0, "world": 2}, ValueError, "batch_size=32"),
        ({"rank": 0}, ValueError, "belong together"),
        ({"world": 2}, ValueError, "belong together"),
        ({"rank": 2, "world": 2}, ValueError, "count from 0"),
        ({"rank": -1, "world": 2}, ValueError, "rank must be at least 0"),
        ({"rank": 0, "world": 0}, ValueError, "world must be at least 1"),
        ({"rank": True, "world": 2}, TypeError, "rank must be an int"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"seed": None}, TypeError, "seed must be"),
        ({"buffer": 0}, ValueError, "buffer must be"),
        ({"shuffle": 1}, TypeError, "shuffle"),
        ({"drop_last": "yes"}, TypeError, "drop_last"),
        ({"transform": 3}, TypeError, "transform"),
    ],
)
def test_wrong_arguments(tmp_path, words, error, message):
    with pytest.raises(error, match=message):
        Stream(told(tmp_path / "log"), **{"batch_size": 4, **words})


def test_wrong_epochs_and_patches(tmp_path):
    stream = Stream(told(tmp_path / "log"), 4)
    for epoch, error in ((-1, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="epoch"):
            stream.set_epoch(epoch)
    with pytest.raises(TypeError, match="'tag' is of dtype <U1"):
        Stream(several().assign(tag=("patch", list("abcde") * 5)), 4)
    with pytest.raises(ValueError, match="not patches"):
        Stream(xr.DataArray(np.ones((4, 4)), dims=("y", "x")), 4)


def test_two_walks_in_turn(tmp_path):
    patches = told(tmp_path / "log")
    values = patches.values
    a, b = Stream(patches, 8), Stream(patches, 8, seed=1)
    (tmp_path / "log").write_text("")
    for pair in zip(a, b, strict=True):
        for batch in pair:
            np.testing.assert_array_equal(batch["t"].numpy(), values[batch["patch"].numpy()])
    assert set(Counter((tmp_path / "log").read_text().split()).values()) == {2}


@pytest.mark.parametrize("kind", ["told", "dask", "nc"])
def test_a_source_under_the_loader(tmp_path, kind):
    patches = told(tmp_path / "log")
    if kind == "dask":
        patches = patches.chunk(patch=7)
        patches.compute(scheduler="threads")
    elif kind == "nc":
        patches.to_netcdf(tmp_path / "p.nc", format="NETCDF3_64BIT")
        patches = xr.open_dataarray(tmp_path / "p.nc", engine="netcdf4")
        patches[0].load()
    source = patches.patch.source()
    words = {"timeout": WAIT, "multiprocessing_context": "fork"}
    batches = list(DataLoader(source, batch_size=8, shuffle=True, num_workers=2, **words))
    labels = torch.cat([b["patch"] for b in batches]).numpy()
    np.testing.assert_array_equal(np.sort(labels), np.arange(64))
    values = torch.cat([b["t"] for b in batches]).numpy()
    np.testing.assert_array_equal(values, patches.values[labels])
