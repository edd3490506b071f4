"""Batches: order, shuffling, and how often the source is read."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing

import xpatch


class Disk(BackendArray):
    """Data on disk that count how often each stored chunk is read."""

    def __init__(self, values, chunk):
        self.values, self.chunk = values, chunk
        self.shape, self.dtype = values.shape, values.dtype
        self.reads: dict[tuple[int, int], int] = {}

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key):
        cells = [np.arange(n)[k] for n, k in zip(self.shape, key, strict=True)]
        for i in np.unique(cells[0] // self.chunk):
            for j in np.unique(cells[1] // self.chunk):
                self.reads[i, j] = self.reads.get((i, j), 0) + 1
        return self.values[key]


def on_disk(n=40, chunk=8):
    disk = Disk(np.random.default_rng(0).random((n, n)), chunk)
    variable = xr.Variable(("y", "x"), indexing.LazilyIndexedArray(disk))
    coords = {"y": np.arange(float(n)), "x": np.arange(float(n))}
    field = xr.DataArray(variable, coords)
    field.encoding = {"preferred_chunks": {"y": chunk, "x": chunk}}
    return disk, field


def cut(field, boundary="shift", size=6, step=3):
    geometry = xpatch.Rectangular(y=size, x=size, boundary=boundary)
    return field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(step))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("boundary", ["shift", "pad", "wrap"])
def test_a_stored_chunk_is_read_once(boundary, shuffle):
    disk, field = on_disk()
    patches = cut(field, boundary)
    expected = cut(xr.DataArray(disk.values, field.coords, field.dims), boundary)
    batches = patches.patch.batches(7, shuffle=shuffle, seed=0 if shuffle else None)
    assert not disk.reads
    if boundary == "shift":
        next(iter(batches))
        assert 0 < len(disk.reads) < 20
        disk.reads.clear()
    walked = xr.concat(list(batches), "patch")
    assert set(disk.reads.values()) == {1}
    assert len(disk.reads) == 25
    xr.testing.assert_equal(walked.sortby("patch"), expected)
    assert (walked["patch"].values == expected["patch"].values).all() != shuffle


def test_a_batch_reads_its_own_region_once():
    disk, field = on_disk()
    cut(field).isel(patch=slice(0, 3)).load()
    assert disk.reads == {(0, 0): 1, (0, 1): 1}


@pytest.mark.parametrize("boundary", ["pad", "wrap"])
def test_a_patch_across_the_border_reads_only_what_it_needs(boundary):
    disk, field = on_disk()
    cut(field, boundary).isel(patch=[0, -1]).load()
    rows = {i for i, _ in disk.reads}
    assert rows <= {0, 4}


def test_chunks_that_do_not_fit_are_read_again(monkeypatch):
    from xpatch.run import batches as batching

    monkeypatch.setattr(batching, "KEPT_BYTES", 1)
    disk, field = on_disk()
    patches = cut(field)
    walked = xr.concat(list(patches.patch.batches(7)), "patch")
    assert max(disk.reads.values()) > 1
    np.testing.assert_array_equal(walked.values, patches.values)


@pytest.mark.parametrize("boundary", ["shift", "pad", "wrap"])
@pytest.mark.parametrize(("block", "rows"), [(1 << 12, 2), (1 << 14, 4), (1 << 25, 5)])
def test_apply_reads_a_stored_chunk_once(monkeypatch, boundary, block, rows):
    from xpatch.run import application as applying

    monkeypatch.setattr(applying, "BLOCK_BYTES", block)
    rows += boundary == "wrap"  # the last patches reach into the first row
    monkeypatch.setattr(applying, "KEPT_BYTES", rows * 5 * 8 * 8 * 8)
    disk, field = on_disk()
    geometry = xpatch.Rectangular(y=6, x=6, boundary=boundary)
    sampler = xpatch.RegularStride(3)
    template = xr.DataArray(np.zeros((1, 6, 6)), dims=("patch", "y", "x"))
    merged = field.patch.apply(
        lambda p: p * 2, geometry=geometry, sampler=sampler, template=template
    )
    np.testing.assert_allclose(merged, disk.values * 2)
    assert len(disk.reads) == 25
    assert sum(disk.reads.values()) <= (35 if boundary == "wrap" else 25)


@pytest.mark.parametrize("mode", ["mean", "linear_ramp", "maximum"])
def test_pads_that_need_whole_axes_read_the_field_once(monkeypatch, mode):
    from xpatch.run import application as applying

    monkeypatch.setattr(applying, "BLOCK_BYTES", 1 << 12)
    disk, field = on_disk()
    geometry = xpatch.Rectangular(y=6, x=6, boundary="pad", pad_mode=mode)
    options = {"geometry": geometry, "sampler": xpatch.RegularStride(3)}
    loaded = xr.DataArray(disk.values, field.coords, field.dims)
    expected = loaded.patch.split(**options)
    seen = []

    def model(patches):
        seen.append(patches)
        return patches

    for source in (field, loaded):
        seen.clear()
        source.patch.apply(model, **options)
        walked = xr.concat([p for p in seen if p.sizes["patch"]], "patch").sortby("patch")
        np.testing.assert_allclose(walked, expected)
    assert set(disk.reads.values()) == {1}
    disk.reads.clear()
    few = field.patch.split(**options).isel(patch=[0, 5])
    np.testing.assert_allclose(few, expected.isel(patch=[0, 5]))


@pytest.mark.parametrize("kind", ["numpy", "dask", "disk"])
def test_shuffled_batches_hold_every_patch_once(kind):
    disk, field = on_disk()
    field = {
        "numpy": field.compute,
        "dask": lambda: field.compute().chunk(8),
        "disk": lambda: field,
    }[kind]()
    patches = cut(field)
    batches = patches.patch.batches(16, shuffle=True, seed=1)
    assert len(batches) == -(-patches.sizes["patch"] // 16)
    first, again = (np.concatenate([b["patch"].values for b in batches]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(np.sort(first), np.sort(patches["patch"].values))
    assert abs(np.diff(first)).mean() > 3
    for batch in batches:
        assert batch.variable._in_memory
        np.testing.assert_array_equal(batch, patches.sel(patch=batch["patch"].values))
    reseeded = patches.patch.batches(16, shuffle=True, seed=2)
    other = np.concatenate([b["patch"].values for b in reseeded])
    assert not np.array_equal(first, other)
    merged = xr.concat(list(batches), "patch").patch.merge()
    np.testing.assert_allclose(merged, disk.values)


def test_zarr(tmp_path):
    values = np.random.default_rng(0).random((40, 40))
    field = xr.Dataset({"t": (("y", "x"), values)})
    field.to_zarr(tmp_path / "a.zarr", encoding={"t": {"chunks": (8, 8)}}, consolidated=False)
    assert zarr.open_group(tmp_path / "a.zarr")["t"].chunks == (8, 8)
    opened = xr.open_zarr(tmp_path / "a.zarr", chunks=None, consolidated=False)
    walked = xr.concat(list(cut(opened).patch.batches(5, shuffle=True, seed=3)), "patch")
    np.testing.assert_allclose(walked.patch.merge()["t"], values)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"batch_size": 4, "buffer_size": 0, "shuffle": True},
            ValueError,
            "buffer_size must be at",
        ),
        ({"batch_size": 4, "seed": 3}, ValueError, "shuffle=True"),
        ({"batch_size": 4, "shuffle": True, "shard": (0, 2)}, ValueError, "need a seed"),
        ({"batch_size": 4, "shard": (2, 2)}, ValueError, "count from 0"),
        ({"batch_size": 4, "shard": 2}, TypeError, "pair of ints"),
        ({"batch_size": 90, "shard": (0, 2), "drop_last": True}, ValueError, "batch_size=84"),
        ({"batch_size": 1, "shard": (0, 2)}, ValueError, "as many batches"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        cut(on_disk()[1]).patch.batches(**options)


def counted(field, chunk):
    """Give a field on dask that counts how often each chunk is computed."""
    counts = {}

    def look(block, block_info=None):
        if block_info:
            place = tuple(block_info[0]["chunk-location"])
            counts[place] = counts.get(place, 0) + 1
        return block

    return counts, field.copy(data=field.chunk(chunk).data.map_blocks(look, dtype=field.dtype))


@pytest.mark.parametrize("shuffle", [False, True])
def test_one_patch_block_is_computed_once(shuffle):
    _, field = on_disk()
    counts, lazy = counted(field.compute(), 40)
    patches = cut(lazy)
    assert patches.data.numblocks[0] == 1
    walked = list(patches.patch.batches(16, shuffle=shuffle, seed=0 if shuffle else None))
    assert counts == {(0, 0): 1}
    xr.testing.assert_equal(xr.concat(walked, "patch").sortby("patch"), cut(field).compute())


def test_variables_that_are_chunked_differently():
    _, field = on_disk()
    counts, lazy = counted(field.compute(), 40)
    patches = cut(lazy)
    ds = xr.Dataset({"a": patches.chunk(patch=10), "b": patches.chunk(patch=15)})
    walked = xr.concat(list(ds.patch.batches(7)), "patch")
    xr.testing.assert_equal(walked["b"].variable, patches.variable.compute())
    assert counts[0, 0] <= 1 + -(-patches.sizes["patch"] // 30)


@pytest.mark.parametrize("kind", ["numpy", "dask"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_patches_of_several_scenes(kind, shuffle):
    scenes = [on_disk(n)[1].compute() for n in (40, 24)]
    scenes = [s.chunk(8) for s in scenes] if kind == "dask" else scenes
    patches = xr.concat([cut(s) for s in scenes], "patch")
    batches = patches.patch.batches(16, shuffle=shuffle, seed=0 if shuffle else None)
    sizes = [b.sizes["patch"] for b in batches]
    assert sum(sizes) == patches.sizes["patch"]
    total = sum(float(b.sum()) for b in batches)
    np.testing.assert_allclose(total, float(patches.sum()))


def several_fields(kind):
    """Give patches of a Dataset with everything that a batch has rows of, or does not."""
    field = on_disk()[1].compute()
    if kind != "array":
        lat = field.y + 0 * field.x
        field = field.assign_coords(lat=lat, tag=("y", list("abcdefgh") * 5), run=3)
        field = xr.Dataset({"a": field, "b": field * 2, "area": ("x", np.arange(40.0))})
    if kind == "mixed":
        field["b"] = field["b"].chunk(8)
    patches = cut(field.chunk(8) if kind == "dask" else field)
    if kind == "moved":
        patches = patches.transpose("y", "patch", "x").isel(patch=slice(3, 90, 2), x=slice(1, 4))
    return patches.assign_coords(day=("patch", np.arange(patches.sizes["patch"])))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", ["array", "dataset", "moved", "mixed", "dask"])
def test_a_batch_is_what_isel_gives(kind, shuffle):
    patches = several_fields(kind)
    patches = patches.set_xindex("day") if kind == "dataset" else patches
    options = {"shuffle": shuffle, "seed": 0 if shuffle else None}
    where = {label: k for k, label in enumerate(patches["patch"].values.tolist())}
    for batch in patches.patch.batches(11, **options):
        rows = [where[label] for label in batch["patch"].values.tolist()]
        expected = patches.isel(patch=rows).load()
        xr.testing.assert_identical(batch, expected)
        assert list(batch.xindexes) == list(expected.xindexes)
        assert type(batch.xindexes["patch"]) is type(patches.xindexes["patch"])
        data = batch.data_vars.values() if isinstance(batch, xr.Dataset) else [batch]
        assert all(array.variable._in_memory for array in data)


def test_labels_of_batches_are_made_when_they_are_looked_at(monkeypatch):
    from xpatch.patches.labels import Labels

    made = []
    make = Labels.__call__
    monkeypatch.setattr(
        Labels, "__call__", lambda self, rows: made.append(len(rows)) or make(self, rows)
    )
    patches = several_fields("array")
    batches = list(patches.patch.batches(16, shuffle=True, seed=0))
    assert not made
    np.testing.assert_array_equal(batches[1]["y"], patches["y"].values[batches[1]["patch"].values])
    assert made == [169, 16]
    made.clear()
    batches[0].patch.merge()
    assert not made


def test_shuffling_many_patches_makes_no_object_for_each():
    patches = cut(xr.DataArray(np.zeros((300, 300), "f4"), dims=("y", "x")), size=3, step=1)
    n = patches.sizes["patch"]
    tracemalloc.start()
    next(iter(patches.patch.batches(64, shuffle=True, seed=0)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 24 * n


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", ["numpy", "dask", "disk", "scenes"])
def test_shards_share_the_patches(kind, shuffle, drop_last):
    field = on_disk()[1]
    if kind == "scenes":
        patches = xpatch.concat([cut(field), cut(on_disk(24)[1])])
    else:
        patches = cut(
            {"numpy": field.compute, "dask": lambda: field.compute().chunk(8)}.get(
                kind, lambda: field
            )()
        )
    n, size, of = patches.sizes["patch"], 8, 3
    found = []
    for k in range(of):
        words = {"shuffle": shuffle, "seed": 4 if shuffle else None, "drop_last": drop_last}
        batches = patches.patch.batches(size, shard=(k, of), **words)
        loaded = list(batches)
        assert (
            len(batches) == len(loaded) == (n // of // size if drop_last else -(-n // of // size))
        )
        for batch in loaded:
            np.testing.assert_array_equal(batch, patches.sel(patch=batch["patch"].values))
        found.append(np.concatenate([b["patch"].values for b in loaded]))
    every = np.concatenate(found)
    assert len(set(every.tolist())) == len(every)
    assert len(every) == (of * (n // of // size) * size if drop_last else n)
    if not shuffle:
        np.testing.assert_array_equal(found[0], patches["patch"].values[: len(found[0])])


def test_shards_read_their_own_chunks_alone():
    for buffer in (1, 40):
        for k in range(5):
            disk, field = on_disk()
            patches = field.patch.split(geometry={"y": 4, "x": 4})
            disk.reads.clear()
            list(patches.patch.batches(5, shuffle=True, seed=0, shard=(k, 5), buffer_size=buffer))
            assert len(disk.reads) == 5
            assert set(disk.reads.values()) == {1}


def test_shuffled_patches_read_a_chunk_once_however_many_are_mixed(monkeypatch):
    from xpatch.run import batches as batching

    monkeypatch.setattr(batching, "KEPT_BYTES", 1)
    disk, field = on_disk()
    patches = field.patch.split(geometry={"y": 4, "x": 4})
    disk.reads.clear()
    list(patches.patch.batches(7, shuffle=True, seed=0, buffer_size=100))
    assert len(disk.reads) == 25
    assert set(disk.reads.values()) == {1}


def test_the_patches_of_a_chunk_are_cut_in_parts(monkeypatch):
    from xpatch.run import batches as batching

    monkeypatch.setattr(batching, "BLOCK_BYTES", 3 * 36 * 8)
    disk, field = on_disk()
    patches = cut(field)
    walked = xr.concat(list(patches.patch.batches(7, shuffle=True, seed=0)), "patch")
    assert set(disk.reads.values()) == {1}
    xr.testing.assert_equal(walked.sortby("patch"), cut(field.compute()))


def test_scenes_on_disk_are_read_chunk_by_chunk():
    disks, fields = zip(*(on_disk(n) for n in (40, 24)), strict=True)
    patches = xpatch.concat([f.patch.split(geometry={"y": 4, "x": 4}) for f in fields])
    patches = patches.isel(patch=slice(None, None, -1))
    for disk in disks:
        disk.reads.clear()
    batches = list(patches.patch.batches(8, shuffle=True, seed=0))
    assert [len(d.reads) for d in disks] == [25, 9]
    assert all(set(d.reads.values()) == {1} for d in disks)
    walked = np.concatenate([b["patch"].values for b in batches])
    np.testing.assert_array_equal(np.sort(walked), np.arange(136))


def test_the_remainder_differs_between_seeds():
    """A chunk alone: what is left out is not always the same patch."""
    field = on_disk(chunk=40)[1]
    patches = field.patch.split(geometry={"y": 8, "x": 8})
    left = set()
    for seed in range(20):
        batches = patches.patch.batches(4, shuffle=True, seed=seed, shard=(0, 2), drop_last=True)
        others = patches.patch.batches(4, shuffle=True, seed=seed, shard=(1, 2), drop_last=True)
        seen = np.concatenate([b["patch"].values for b in [*batches, *others]])
        left |= set(range(25)) - set(seen.tolist())
    assert len(left) > 10


def test_who_walks_beside_another_keeps_chunks_of_its_own(tmp_path):
    from xpatch.engine.lazy import apart, rows_of

    xr.Dataset({"t": (("y", "x"), np.zeros((8, 8)))}).to_netcdf(tmp_path / "t.nc")
    with xr.open_dataset(tmp_path / "t.nc") as field:
        given = field["t"].patch.split(geometry={"y": 4, "x": 4}).variable._data
        rows = rows_of(given)
        other = rows_of(apart(given))
        assert rows is not None
        assert other is not None
        assert other is not rows
        assert rows_of(given) is rows  # what was given is left as it is
