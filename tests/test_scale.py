"""Larger than memory: graph sizes, reads, model calls and what tasks carry."""

from __future__ import annotations

import collections
import contextlib
import gc
import pickle
import threading

import dask
import dask.array as da
import dask.order
import numpy as np
import pytest
import xarray as xr
from dask._task_spec import convert_legacy_graph

import xpatch

OWN = (
    "xpatch-split",
    "xpatch-rim",
    "xpatch-sum",
    "xpatch-piece",
    "xpatch-rest",
    "xpatch-order",
    "xpatch-merge",
)
HANN = xpatch.OverlapAdd("hann")


def lazy(n=64, chunk=16, dtype="f4"):
    """A labeled field of n by n cells that costs nothing until it is computed."""
    values = da.random.default_rng(0).random((n, n), chunks=chunk, dtype=dtype)
    return xr.DataArray(values, {"y": np.arange(float(n)), "x": np.arange(float(n))}, ("y", "x"))


def cut(field, size=4, step=2, **kwargs):
    geometry = xpatch.Rectangular(y=size, x=size, **kwargs)
    return field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(step))


def own_tasks(obj):
    graph = obj.__dask_graph__()
    return [k for k in graph if isinstance(k, tuple) and str(k[0]).startswith(OWN)]


class Reads:
    """Counts how often each chunk is made."""

    def __init__(self, array):
        self.counts, self.lock = {}, threading.Lock()
        self.lazy = da.map_blocks(
            self._count, da.from_array(array, chunks=(5, 7)), dtype=array.dtype
        )

    def _count(self, block, block_info=None):
        if block_info:
            with self.lock:
                place = tuple(block_info[0]["chunk-location"])
                self.counts[place] = self.counts.get(place, 0) + 1
        return block


@pytest.mark.parametrize("step", [2, 8], ids=["64 patches a chunk", "4 patches a chunk"])
def test_at_most_ten_tasks_a_chunk(step):
    field = lazy()
    chunks = field.data.npartitions
    merged = cut(field, 2 * step, step).patch.merge(HANN)
    assert len(own_tasks(merged)) <= 10 * chunks


def test_the_number_of_tasks_does_not_grow_with_the_patches():
    few, many = (len(own_tasks(cut(lazy(128, 64), 2 * s, s).patch.merge())) for s in (16, 2))
    assert few == many


@pytest.mark.parametrize("boundary", ["shift", "drop", "pad", "wrap"])
@pytest.mark.parametrize("aggregation", [HANN, "median", "max", "first"], ids=str)
def test_every_chunk_is_read_once(boundary, aggregation):
    reads = Reads(np.random.default_rng(0).random((23, 30)))
    field = xr.DataArray(reads.lazy, dims=("y", "x"))
    merged = cut(field, 6, 3, boundary=boundary).patch.merge(aggregation)
    assert not reads.counts
    merged.compute()
    assert set(reads.counts.values()) == {1}
    assert len(reads.counts) == 5 * 5


def test_the_model_runs_once_for_each_patch_block():
    seen, lock = [], threading.Lock()

    def model(block):
        if block.sizes["patch"]:
            with lock:
                seen.extend(block["patch"].values.tolist())
        return block * 2

    field = lazy()
    patches = cut(field)
    merged = patches.map_blocks(model, template=patches).patch.merge(HANN)
    xr.testing.assert_allclose(merged.compute(), field.compute() * 2)
    assert sorted(seen) == list(range(patches.sizes["patch"]))


def test_one_missing_value_does_not_spread_beyond_itself():
    values = np.random.default_rng(0).random((40, 40)).astype("f4")
    values[7, 30] = np.nan
    field = xr.DataArray(values, dims=("y", "x"))
    merged = cut(field.chunk(y=9, x=11), 6, 3).patch.merge(HANN).compute()
    xr.testing.assert_allclose(merged, field)
    patches = cut(field.chunk(y=9, x=11), 6, 3)
    spoiled = patches.where(patches["patch"] != 20)
    expected = cut(field, 6, 3)
    expected = expected.where(expected["patch"] != 20).patch.merge(HANN)
    xr.testing.assert_allclose(spoiled.patch.merge(HANN).compute(), expected)


def kept_at_most(compute):
    """Walk the graph that ``compute`` hands to the scheduler in dask's order.

    Gives the largest number of results of each kind that are kept at one time.
    """
    seen = {}

    class Stop(Exception):
        pass

    class Look(dask.callbacks.Callback):
        def _start(self, graph):
            seen.update(graph)
            raise Stop

    with Look(), contextlib.suppress(Stop):
        compute()
    graph = convert_legacy_graph(seen)
    needs = {key: set(task.dependencies) for key, task in graph.items()}
    users = collections.Counter(d for own in needs.values() for d in own)
    assert sum(not users[key] for key in graph) == 1, "something is computed that nobody asked for"
    kept, most = collections.Counter(), collections.Counter()

    def kind(key):
        return str(key[0] if isinstance(key, tuple) else key).rsplit("-", 1)[0]

    place = dask.order.order(graph)
    for key in sorted(graph, key=place.__getitem__):
        kept[kind(key)] += 1
        most |= kept
        for d in needs[key]:
            users[d] -= 1
            kept[kind(d)] -= not users[d]
    return most


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("through", ["apply", "map_blocks"])
@pytest.mark.parametrize("written", ["to_zarr", "write"])
@pytest.mark.parametrize("rows", [5, 13, 26])
def test_one_row_of_chunks_is_kept(through, written, rows, tmp_path):
    columns = 12  # with more than ten of them the order of numbers is not that of their text
    values = da.random.default_rng(0).random((rows * 8, columns * 8), chunks=8, dtype="f4")
    field = xr.DataArray(values, dims=("y", "x"), name="t")
    axes = {"geometry": {"y": 4, "x": 4}, "sampler": xpatch.RegularStride(2)}
    if through == "apply":
        merged = field.patch.apply(lambda p: p, aggregation=HANN, **axes)
    else:
        patches = field.patch.split(**axes)
        merged = patches.map_blocks(lambda p: p, template=patches).patch.merge(HANN)
    store = tmp_path / "out.zarr"
    most = kept_at_most(
        lambda: merged.to_zarr(store) if written == "to_zarr" else xpatch.write(merged, store)
    )
    assert most["random"] <= 1.5 * columns
    for name, count in most.items():  # dask.order is not quite deterministic; a row is the bound
        if name.startswith(("xpatch-rest", "xpatch-sum", "xpatch-split", "xpatch-apply", "t-")):
            assert count <= (2 if name == "xpatch-rest" else 1) * columns, name


@pytest.mark.parametrize("aggregation", ["mean", "max", HANN])
def test_what_waits_keeps_nothing_else_alive(aggregation):
    """Small pieces are handed on to the next row of chunks: they are no views of the whole sum."""

    class Look(dask.callbacks.Callback):
        held = 0

        def _posttask(self, key, result, dsk, state, worker_id):
            if isinstance(key, tuple) and key[0].startswith("xpatch-rest"):
                arrays = [a for pieces in result for p in pieces or [] for a in p.state]
                self.held += sum((a if a.base is None else a.base).nbytes for a in arrays)

    field = lazy(256, 64)
    with Look() as seen:
        cut(field, 8, 4).patch.merge(aggregation).compute(scheduler="synchronous")
    rim = 8 * 256 * (3 + 3)  # cells: patches reach over six inner borders of chunks
    assert 0 < seen.held <= 4 * rim * field.dtype.itemsize


def test_what_blocks_make_is_not_kept_as_long_as_the_graph():
    """Weights of a block are kept for the tasks of the next chunks, not those of thousands of blocks."""
    from xpatch.engine.scatter import Layout

    merged = cut(lazy(256, 16), 8, 4).patch.merge(HANN)
    assert merged.data.npartitions == 256
    before = sum(isinstance(o, Layout) for o in gc.get_objects())
    merged.compute(scheduler="synchronous")
    assert sum(isinstance(o, Layout) for o in gc.get_objects()) - before <= 32


def test_layers_that_nobody_needs_are_dropped():
    patches = cut(lazy(64, 16))
    mapped = patches.map_blocks(lambda p: p, template=patches)
    layers = mapped.patch.merge(HANN).__dask_graph__().layers
    assert not [name for name in layers if name.startswith(("y-", "x-"))]


def test_a_part_needs_no_tasks_of_rows_before_it():
    merged = cut(lazy(16 * 60, 16)).patch.merge(HANN)
    (part,) = dask.optimize(merged[-3:, -3:])
    assert len(part.__dask_graph__()) < 60


def test_a_few_patches_need_a_few_tasks():
    patches = cut(lazy(256, 16))
    one = patches.isel(patch=[patches.sizes["patch"] // 2])
    (pruned,) = dask.optimize(one)
    assert len(pruned.__dask_graph__()) < 20


def test_tasks_are_small_and_pickle():
    field = lazy(4096, 64).assign_coords(y=np.random.default_rng(0).random(4096).cumsum())
    graph = cut(field, 32, 16).patch.merge(HANN).__dask_graph__()
    own = [graph[k] for k in graph if isinstance(k, tuple) and str(k[0]).startswith(OWN)]
    sizes = [len(pickle.dumps(task)) for task in own[:: len(own) // 200]]
    assert max(sizes) < 8_000  # the coordinates alone have 64 kB


def test_groups_are_cut_into_outer_products():
    field = lazy(64, 64)
    patches = field.patch.split(
        geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(4), chunks=20
    )
    assert max(patches.chunksizes["patch"]) <= 20
    assert sum(patches.chunksizes["patch"]) == patches.sizes["patch"] == 225
    assert set(patches.chunksizes["patch"]) == {15}
    xr.testing.assert_allclose(patches.patch.merge(HANN).compute(), field.compute())


def test_names_are_deterministic():
    a, b = (cut(lazy()).patch.merge(HANN).data.name for _ in range(2))
    assert a == b
    assert a != cut(lazy(), 4, 3).patch.merge(HANN).data.name


def test_random_integer_tiles_know_whether_they_cover_the_field():
    field = xr.DataArray(np.arange(60).reshape(6, 10), dims=("y", "x"))
    tiles = [(y, x) for y in (0, 3) for x in (0, 5)]
    for anchors in (tiles, tiles[:-1], [*tiles, (1, 1)]):
        sampler = xpatch.Explicit(anchors[::-1])
        want = field.patch.split(geometry={"y": 3, "x": 5}, sampler=sampler)
        got = field.chunk(y=4, x=3).patch.split(geometry={"y": 3, "x": 5}, sampler=sampler)
        for aggregation in (None, "first", "max", "count"):
            a, b = want.patch.merge(aggregation), got.patch.merge(aggregation)
            assert a.dtype == b.dtype
            xr.testing.assert_allclose(a, b.compute())


def test_shuffled_patches_merge_to_the_same():
    field = lazy()
    patches = cut(field)
    order = np.random.default_rng(0).permutation(patches.sizes["patch"])
    shuffled = patches.isel(patch=order).chunk(patch=100)
    for aggregation in (HANN, "median", "last"):
        xr.testing.assert_allclose(
            shuffled.patch.merge(aggregation).compute(), patches.patch.merge(aggregation).compute()
        )


def test_batches_run_the_model_once_for_each_patch_block():
    seen, lock = [], threading.Lock()

    def model(block):
        with lock:
            seen.extend(block["patch"].values.tolist())
        return block * 2

    patches = cut(lazy(32, 8))
    mapped = patches.map_blocks(model, template=patches)
    for size in (1, 5, 16, 1000):
        seen.clear()
        batches = list(mapped.patch.batches(size))
        assert sorted(seen) == list(range(patches.sizes["patch"]))
        assert {b.sizes["patch"] for b in batches[:-1]} <= {size}
        xr.testing.assert_allclose(xr.concat(batches, "patch"), patches.compute() * 2)


@pytest.mark.parametrize("call", ["split", "merge"])
def test_unknown_chunk_sizes_are_refused(call):
    values = lazy(20, 5).data
    unknown = xr.DataArray(values[values[:, 0] > 0.5], dims=("y", "x"))
    patches = cut(lazy(20, 5))
    patches = patches.copy(data=patches.data)
    broken = patches.isel(patch=slice(0, 4)).drop_vars(["y", "x"])
    broken.variable._data = broken.data[da.ones(4, chunks=2, dtype=bool)]
    with pytest.raises(ValueError, match=rf"{call} needs to know .* unknown .*compute_chunk_sizes"):
        unknown.patch.split(geometry={"y": 4, "x": 4}) if call == "split" else broken.patch.merge()


@pytest.mark.parametrize(
    ("model", "template", "error", "message"),
    [
        (lambda b: b.isel(patch=slice(1)), lambda p: p, ValueError, "length 1"),
        (lambda b: b[::-1], lambda p: p, ValueError, "Expected index 'patch'"),
        (lambda b: b, lambda p: p.drop_vars("patch"), ValueError, "made from the patches"),
        (
            lambda b: b.astype(object),
            lambda p: p.astype(object),
            TypeError,
            "object dtype, which cannot be merged",
        ),
    ],
    ids=["fewer patches", "another order", "a template without index", "objects"],
)
def test_models_and_templates_that_do_not_fit(model, template, error, message):
    patches = cut(lazy())
    with pytest.raises(error, match=message):
        patches.map_blocks(model, template=template(patches)).patch.merge().compute()


@pytest.mark.parametrize("aggregation", ["mean", "max", "median"])
@pytest.mark.parametrize(
    "model",
    [lambda b: b[:-1], lambda b: np.concatenate([b, b]), lambda b: b[:, :-1]],
    ids=["fewer", "more", "smaller"],
)
def test_a_model_that_returns_another_number_of_patches(model, aggregation):
    patches = cut(lazy())
    data = patches.data.map_blocks(model, dtype="f4", meta=np.empty((0, 0, 0), "f4"))
    merged = patches.copy(data=data).patch.merge(aggregation)
    with pytest.raises(
        ValueError, match=r"a block of \d+ patches of \(4, 4\) cells along .* came as"
    ):
        merged.compute()
