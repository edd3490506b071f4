"""Stores of patches: blocks of one length, and shards that `xr.open_mfdataset` reads."""

from __future__ import annotations

import itertools
import tracemalloc

import dask
import numpy as np
import pytest
import xarray as xr

import xpatch

zarr = pytest.importorskip("zarr", reason="stores of patches are those of zarr")
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")


def grid(shape=(50, 70), seed=0):
    values = np.random.default_rng(seed).random(shape).astype("f4")
    y, x = (np.arange(float(n)) for n in shape)
    return xr.DataArray(values, {"y": y, "x": x}, ("y", "x"), name="t")


def weather():
    t = grid()
    return xr.Dataset(
        {
            "t": t.chunk(y=17, x=20),
            "wind": t.expand_dims(time=3).copy().chunk(y=17, x=20),
            "across": t[0].drop_vars("y").chunk(x=20),
            "lapse": ("time", np.arange(3)),
        }
    )


def stations():
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(0, 9, 40), rng.uniform(40, 49, 40)
    coords = {"lon": ("station", lon), "lat": ("station", lat)}
    return xr.DataArray(rng.random((6, 40)), coords, ("time", "station"), name="t").chunk(time=2)


def series():
    time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
    return (
        grid((60, 7)).drop_vars(["y", "x"]).rename(y="time").assign_coords(time=time).chunk(time=11)
    )


STRIDE = {"geometry": {"y": 8, "x": 8}, "sampler": xpatch.RegularStride(4)}
KINDS = {
    "boxes": (lambda: grid().chunk(y=17, x=20), STRIDE),
    "random": (
        lambda: grid().chunk(y=17, x=20),
        {"geometry": {"y": 8, "x": 8}, "sampler": xpatch.Random(50, seed=0)},
    ),
    "variables": (weather, STRIDE),
    "members": (stations, {"geometry": xpatch.KNNGraph(5)}),
    "windows": (series, {"geometry": xpatch.FixedLookback(7)}),
    "windows in boxes": (
        lambda: grid().expand_dims(time=series()["time"][:9]).copy().chunk(y=20, time=4),
        {"geometry": [{"y": 10, "x": 14}, xpatch.FixedLookback(3)]},
    ),
    "curvilinear": (
        lambda: (
            grid().drop_vars(["y", "x"]).assign_coords(lon=(("y", "x"), grid().values)).chunk(y=17)
        ),
        STRIDE,
    ),
}


def whole(obj):
    return obj if isinstance(obj, xr.Dataset) else obj.to_dataset(name="t")


def lengths(obj):
    return {
        v.chunksizes["patch"]
        for v in whole(obj).data_vars.values()
        if v.chunks and "patch" in v.dims
    }


def is_even(blocks):
    return len({*blocks[:-1]}) <= 1 and blocks[-1] <= blocks[0]


@pytest.fixture(params=KINDS, ids=str)
def kind(request):
    make, how = KINDS[request.param]
    return make(), how


# ------------------------------------------------------------------------------ even blocks


def test_even_patches_go_to_plain_zarr(kind, tmp_path):
    field, how = kind
    patches = whole(field.patch.split(**how, chunks="even"))
    (blocks,) = lengths(patches)  # all variables share them
    assert is_even(blocks)
    patches.to_zarr(tmp_path / "even.zarr")
    back = xr.open_zarr(tmp_path / "even.zarr")
    expected = whole(field.compute().patch.split(**how)).patch.merge()
    xr.testing.assert_allclose(back.patch.merge().load(), expected)
    xr.testing.assert_allclose(patches.patch.merge().load(), expected)
    xr.testing.assert_equal(
        back.sortby("patch").load().drop_attrs(),
        whole(field.compute().patch.split(**how)).sortby("patch").drop_attrs(),
    )


def test_blocks_are_no_longer_than_those_of_chunks_and_follow_neighbors():
    field = grid((90, 80)).chunk(y=30, x=20)
    auto = field.patch.split(**STRIDE)
    even = field.patch.split(**STRIDE, chunks="even")
    assert max(even.chunks[0]) == max(auto.chunks[0])
    bounds = np.concatenate([[0], np.cumsum(even.chunks[0])])
    y, x = (even[d].values[:, 0] for d in ("y", "x"))
    for a, b in itertools.pairwise(bounds):  # never from one end of a row to the other
        assert np.ptp(y[a:b]) * np.ptp(x[a:b]) <= 2 * 30 * 20


def test_the_bytes_of_a_block_follow_dask():
    field = grid((64, 64)).chunk(y=32, x=32)
    with dask.config.set({"array.chunk-size": 20 * 8 * 8 * 4}):
        even = field.patch.split(
            geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(2), chunks="even"
        )
    assert max(even.chunks[0]) <= 20


def test_source_chunks_are_read_once_in_a_pass():
    read = []

    def block(values, block_info=None):
        read.append(tuple(block_info[0]["chunk-location"]))
        return values

    field = grid().chunk(y=17, x=20)
    counted = field.copy(data=field.data.map_blocks(block, dtype="f4", meta=np.empty((0, 0), "f4")))
    patches = counted.patch.split(**STRIDE, chunks="even")
    read.clear()
    patches.compute(scheduler="synchronous")
    assert len(read) == len({*read}) == field.data.npartitions


def test_the_graph_grows_with_the_blocks_alone():
    big = dask.array.zeros((20_000, 20_000), chunks=1000, dtype="f4")
    field = xr.DataArray(big, dims=("y", "x"))
    how = {"geometry": {"y": 100, "x": 100}, "sampler": xpatch.RegularStride(90)}
    auto, even = field.patch.split(**how), field.patch.split(**how, chunks="even")
    assert len(even.__dask_graph__()) < len(auto.__dask_graph__()) + 4 * auto.data.numblocks[0]
    merged = even.patch.merge()
    assert merged.chunks == field.chunks
    assert len(merged.__dask_graph__()) < 3 * len(auto.patch.merge().__dask_graph__())


def test_fields_in_memory_and_words():
    field = grid()
    xr.testing.assert_identical(
        field.patch.split(**STRIDE, chunks="even"), field.patch.split(**STRIDE)
    )
    with pytest.raises(TypeError, match=r"chunks must be 'even', 'auto', None or a number"):
        field.patch.split(**STRIDE, chunks="odd")
    with pytest.raises(TypeError, match=r"chunks must be 'auto', None or a number"):
        field.patch.apply(lambda p: p, **STRIDE, chunks="even")
    assert (
        not field.chunk(y=17)
        .patch.split(geometry={"y": 8, "x": 8}, chunks="even")
        .isel(patch=[])
        .size
    )


def test_scales_share_even_blocks():
    tree = series().patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])), chunks="even")
    (blocks,) = {b for node in tree.children.values() for b in lengths(node.to_dataset())}
    assert is_even(blocks)


# ------------------------------------------------------------------------------------ write


def test_write_takes_uneven_patches_and_resumes(kind, tmp_path):
    field, how = kind
    patches = whole(field.patch.split(**how))
    store = tmp_path / "patches.zarr"
    count = xpatch.write(patches, store)
    chunk = next(p for p in (store / "t" / "c").rglob("*") if p.is_file())
    chunk.unlink()
    marked = zarr.open_group(store, mode="r+")
    from xpatch.run.stores import MARK

    marked.create_array(MARK, data=np.array(1, "i1"))  # as a run that was killed leaves it
    assert xpatch.write(patches, store, resume=True) == 1 < count
    back = xr.open_zarr(store)
    xr.testing.assert_allclose(back.patch.merge().load(), patches.patch.merge().load())
    assert back.patch.spec == patches.patch.spec


# ----------------------------------------------------------------------------------- shards


def by_part(patches, n=3):
    ends = np.linspace(0, patches.sizes["patch"], n + 1).astype(int)
    return [patches.isel(patch=slice(a, b)) for a, b in itertools.pairwise(ends)]


def by_set(patches):
    own = np.random.default_rng(0).integers(0, 3, patches.sizes["patch"])
    return [patches.isel(patch=own == k) for k in range(3)]


def stored(shards, folder, engine):
    paths = []
    for k, shard in enumerate(shards):
        paths.append(folder / f"{k}.{engine}")
        if engine == "zarr":
            xpatch.write(shard, paths[-1])
        else:
            shard.to_netcdf(paths[-1])
    return paths


NESTED = {"combine": "nested", "concat_dim": "patch"}
LEAN = {**NESTED, "data_vars": "minimal", "coords": "minimal", "compat": "override"}


@pytest.mark.parametrize(("engine", "cut"), [("zarr", by_part), ("nc", by_set)])
def test_shards_are_read_with_open_mfdataset(kind, engine, cut, tmp_path):
    field, how = kind
    patches = whole(field.patch.split(**how))
    expected = patches.patch.merge().load()
    paths = stored(cut(patches), tmp_path, engine)
    kind_of = {"engine": "zarr"} if engine == "zarr" else {}
    for options in (NESTED, LEAN) if cut is by_part else (LEAN,):
        with xr.open_mfdataset(paths, **kind_of, **options) as back:
            assert back["t"].chunks is not None
            xr.testing.assert_allclose(back.patch.merge().load(), expected)
            merger = back.patch.merger()
            for batch in back.patch.batches(50, shuffle=True, seed=0):
                merger.add(batch)
            xr.testing.assert_allclose(merger.result(), expected)


def test_one_set_of_shards_is_a_part_of_the_field(tmp_path):
    patches = whole(grid().patch.split(**STRIDE))
    train, test, _ = by_set(patches)
    paths = stored([train, test], tmp_path, "zarr")
    with xr.open_mfdataset(paths[1:], engine="zarr", **NESTED) as back:
        xr.testing.assert_allclose(back.patch.merge().load(), test.patch.merge())


def test_shards_of_two_fields_are_refused(tmp_path):
    west, east = grid(), grid(seed=1).assign_coords(x=np.arange(70.0) + 500)
    paths = stored([whole(f.patch.split(**STRIDE)) for f in (west, east)], tmp_path, "zarr")
    for options in (NESTED, LEAN):
        with (
            xr.open_mfdataset(paths, engine="zarr", **options) as back,
            pytest.raises(ValueError, match="occurs more than once"),
        ):
            back.patch.merge().load()
    scenes = xpatch.concat([xr.open_zarr(p) for p in paths], scenes=["west", "east"])
    own = scenes.isel(patch=scenes["scene"].values == "east")
    xr.testing.assert_allclose(own.patch.merge()["t"].load(), east)


def test_shards_of_several_scenes(tmp_path):
    west, east = grid(), grid(seed=1).assign_coords(x=np.arange(70.0) + 500)
    cut = [whole(f.patch.split(**STRIDE)) for f in (west, east)]
    scenes = xpatch.concat(cut, scenes=["west", "east"])
    paths = stored(by_set(scenes), tmp_path, "zarr")
    with xr.open_mfdataset(paths, engine="zarr", **NESTED) as back:
        again = xpatch.concat([back])  # which knows the scenes again
        assert sum(b.sizes["patch"] for b in again.patch.batches(30)) == scenes.sizes["patch"]
        names = back["scene"].compute()
        for name, field in (("west", west), ("east", east)):
            own = back.isel(patch=(names == name).values)
            xr.testing.assert_allclose(own.patch.merge()["t"].load(), field)


def test_patches_in_no_order_are_merged_in_little_memory():
    field = xr.DataArray(np.random.default_rng(0).random((768, 768)), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 32, "x": 32}, sampler=xpatch.RegularStride(30))
    order = np.random.default_rng(0).permutation(patches.sizes["patch"])[:240]
    some = patches.isel(patch=order).chunk(patch=20)
    for how in ("mean", "last"):
        merged = some.patch.merge(how)
        tracemalloc.start()
        found = merged.compute(scheduler="synchronous")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        xr.testing.assert_allclose(found, patches.isel(patch=order).patch.merge(how))
        assert peak < 8 * field.nbytes  # 12 blocks, each of which reaches over all of the field


@pytest.mark.parametrize("boundary", ["shift", "pad", {"x": "wrap"}])
def test_patches_far_from_each_other_are_merged_apart(boundary):
    field = grid((90, 120)).drop_vars(["y", "x"])
    geometry = xpatch.Rectangular(y=17, x=18, boundary=boundary)
    patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(16))
    rng = np.random.default_rng(0)
    for size in (2, 3, 9):  # rows of a grid with gaps, grids with holes, and anything
        chosen = patches.isel(patch=rng.permutation(patches.sizes["patch"])[:18])
        for how in ("mean", "last", "most_central", "max", "count", xpatch.OverlapAdd("hann")):
            found = chosen.chunk(patch=size).patch.merge(how)
            xr.testing.assert_allclose(found.compute(), chosen.patch.merge(how))
