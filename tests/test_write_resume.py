"""`xpatch.write`: what a resumed run must share with the first, where it may write, several writers."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import xpatch

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")


def field(chunk=8):
    values = np.random.default_rng(0).random((24, 24))
    coords = {"y": np.arange(24.0), "x": np.arange(24.0)}
    return xr.DataArray(da.from_array(values, chunks=chunk), coords, ("y", "x"), name="t")


def merged(
    size=4, sampler=None, window=None, aggregation=None, boundary="shift", some=slice(None), **how
):
    geometry = xpatch.Rectangular(y=size, x=size, boundary=boundary)
    patches = field().patch.split(geometry=geometry, sampler=sampler, window=window)
    return patches.isel(patch=some).patch.merge(aggregation, **how)


def applied(size=4, **how):
    template = field()[:size, :size].expand_dims("patch")
    return field().patch.apply(
        lambda p: p, geometry={"y": size, "x": size}, template=template, **how
    )


def contents(store):
    root = Path(store)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def half(store, array="t"):
    """Undo the end of a run: it was killed while it wrote."""
    group = zarr.open_group(store, use_consolidated=False)
    group.create_array("xpatch_write_in_progress", shape=(), dtype="u1", fill_value=1)
    chunks = [p for p in (Path(store) / array / "c").rglob("*") if p.is_file()]
    for chunk in chunks[::2]:
        chunk.unlink()
    return len(chunks[::2])


RECIPES = {
    "size": ({"size": 8}, "geometry Rectangular"),
    "boundary": ({"boundary": "pad"}, "geometry Rectangular.*boundary=pad, .* here"),
    "step": (
        {"sampler": xpatch.RegularStride(2)},
        r"sampler RegularStride\(\) there, RegularStride\(step=2\) here",
    ),
    "seed": ({"sampler": xpatch.Random(300, seed=1)}, "Random.*seed=1.* here"),
    "window": ({"window": "hann"}, r"window None there, Hann\(\) here"),
    "aggregation": ({"aggregation": "max"}, r"aggregation OverlapAdd.* there, Max\(\) here"),
    "synthesis": ({"aggregation": xpatch.OverlapAdd("hann")}, r"window=Hann\(\)"),
    "skipna": ({"skipna": False}, "skipna None there, False here"),
    "fill": ({"fill_value": -1.0}, r"fill_value None there, -1.0 here"),
    "patches": ({"some": slice(0, 9)}, "patches None there, 9"),
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("finished", [True, False])
def test_another_recipe_is_refused_by_what_differs(tmp_path, name, finished):
    other, message = RECIPES[name]
    store = tmp_path / "a.zarr"
    xpatch.write(merged(), store)
    if not finished:
        half(store)
    before = contents(store)
    with pytest.raises(ValueError, match=message):
        xpatch.write(merged(**other), store, resume=True)
    assert contents(store) == before
    assert xpatch.write(merged(), store, resume=True) == (0 if finished else 5)
    np.testing.assert_array_equal(xr.open_zarr(store)["t"], field())


def test_other_places_are_refused_though_the_words_are_the_same(tmp_path):
    first, second = [xpatch.Explicit([(0, 0), (8, k)]) for k in (4, 12)]
    xpatch.write(merged(sampler=first), tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="other places of the anchors"):
        xpatch.write(merged(sampler=second), tmp_path / "a.zarr", resume=True)
    assert xpatch.write(merged(sampler=first), tmp_path / "a.zarr", resume=True) == 0


def test_recipes_outlive_arithmetic_casts_and_new_chunks(tmp_path):
    def post(f):
        return (f.astype("f4") * 2 + 1).chunk(y=12, x=24).rename("u").to_dataset()

    xpatch.write(post(merged()), tmp_path / "a.zarr")
    assert xpatch.write(post(merged()), tmp_path / "a.zarr", resume=True) == 0
    with pytest.raises(ValueError, match="geometry"):
        xpatch.write(post(merged(size=8)), tmp_path / "a.zarr", resume=True)


def test_apply_and_the_axes_of_space_and_time(tmp_path):
    xpatch.write(applied(), tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="geometry"):
        xpatch.write(applied(size=8), tmp_path / "a.zarr", resume=True)
    with pytest.raises(ValueError, match=r"aggregation .* Max\(\) here"):
        xpatch.write(applied(aggregation="max"), tmp_path / "a.zarr", resume=True)
    assert xpatch.write(applied(), tmp_path / "a.zarr", resume=True) == 0

    cube = field().expand_dims(time=np.arange("2000-01-01", "2000-01-07", dtype="M8[D]"))

    def in_both(lookback, how):
        space = xpatch.Patcher(xpatch.Rectangular(y=8, x=8), xpatch.RegularStride(8))
        times = xpatch.TimePatcher(xpatch.FixedLookback(lookback), xpatch.RegularTimeStride(1))
        patches = cube.patch.split(xpatch.SpatioTemporalPatcher(space, times))
        return patches.patch.merge(how)

    for how in (None, ("overlap_add", xpatch.TemporalMean())):
        store = tmp_path / f"{how is None}.zarr"
        xpatch.write(in_both(2, how), store)
        with pytest.raises(ValueError, match=r"temporal geometry FixedLookback.*length=3.* here"):
            xpatch.write(in_both(3, how), store, resume=True)
        assert xpatch.write(in_both(2, how), store, resume=True) == 0


def test_another_tag_is_refused(tmp_path):
    store = tmp_path / "a.zarr"
    xpatch.write(merged(), store, tag="model v1")
    left = half(store)
    for tag, message in [
        ("model v2", "tag 'model v1' there, 'model v2' here"),
        (None, "tag 'model v1' there, None here"),
    ]:
        with pytest.raises(ValueError, match=message):
            xpatch.write(merged(), store, resume=True, tag=tag)
    assert xpatch.write(merged(), store, resume=True, tag="model v1") == left
    with pytest.raises(TypeError, match="tag must be text"):
        xpatch.write(merged(), store, resume=True, tag=2)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_tag_counts_for_fields_that_were_not_merged_or_do_not_tell(tmp_path, zarr_format):
    how = {"zarr_format": zarr_format}
    xpatch.write(field(), tmp_path / "a.zarr", tag="v1", **how)
    with pytest.raises(ValueError, match="tag 'v1' there, 'v2' here"):
        xpatch.write(field(), tmp_path / "a.zarr", resume=True, tag="v2", **how)
    assert xpatch.write(field(), tmp_path / "a.zarr", resume=True, tag="v1", **how) == 0
    xpatch.write(merged(), tmp_path / "b.zarr", tag="v1", **how)
    with dask.config.set(scheduler="synchronous"):
        bare = merged(size=8).persist()
    assert xpatch.write(bare, tmp_path / "b.zarr", resume=True, tag="v1", **how) == 0
    with pytest.raises(ValueError, match="tag"):
        xpatch.write(bare, tmp_path / "b.zarr", resume=True, **how)


def test_what_xarray_reads_has_no_trace_of_the_recipe(tmp_path):
    xpatch.write(merged(), tmp_path / "a.zarr", tag="v1")
    merged().to_zarr(tmp_path / "b.zarr", write_empty_chunks=True)
    ours, theirs = (contents(tmp_path / f"{n}.zarr") for n in "ab")
    assert set(ours) - set(theirs) == {"xpatch_write/zarr.json"}
    assert {k: v for k, v in ours.items() if k in theirs and k != "zarr.json"} == {
        k: v for k, v in theirs.items() if k != "zarr.json"
    }
    for consolidated in (True, False):
        a, b = (xr.open_zarr(tmp_path / f"{n}.zarr", consolidated=consolidated) for n in "ab")
        xr.testing.assert_identical(a.load(), b.load())
    xpatch.write(field(), tmp_path / "c.zarr")
    field().to_zarr(tmp_path / "d.zarr", write_empty_chunks=True)
    assert contents(tmp_path / "c.zarr") == contents(tmp_path / "d.zarr")


def test_a_store_of_before_there_were_recipes_is_finished(tmp_path):
    store = tmp_path / "a.zarr"
    merged().to_zarr(store, write_empty_chunks=True)
    left = half(store)
    assert xpatch.write(merged(size=8), store, resume=True) == left


# -------------------------------------------------------------------------------- where to write


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("map.JP2", r"merged\.rio\.to_raster"),
        ("map.jp2", r"merged\.rio\.to_raster"),
        ("map.vrt", r"merged\.rio\.to_raster"),
        ("map.nc", r"merged\.to_netcdf\('.*map\.nc'\)"),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_files_of_other_formats_are_refused_with_the_call_that_writes_them(
    tmp_path, name, call, kind
):
    for resume in (False, True):
        with pytest.raises(ValueError, match=call):
            xpatch.write(merged(), kind(tmp_path / name), resume=resume)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("store", [None, 3, b"a.zarr", "", ["a.zarr"], np.ones(2)])
def test_what_is_no_store(store):
    with pytest.raises(TypeError, match="takes where to write as a path or a zarr store"):
        xpatch.write(merged(), store)


def test_a_file_is_in_the_way(tmp_path):
    (tmp_path / "a.zarr").write_text("mine")
    for resume in (False, True):
        with pytest.raises(FileExistsError, match="is a file"):
            xpatch.write(merged(), tmp_path / "a.zarr", resume=resume)
    assert (tmp_path / "a.zarr").read_text() == "mine"


@pytest.mark.parametrize("obj", [None, 3, "a", [xr.DataArray(1)], xr.DataTree()])
def test_what_is_no_field(tmp_path, obj):
    with pytest.raises(TypeError, match="takes a DataArray or a Dataset"):
        xpatch.write(obj, tmp_path / "a.zarr")
    assert not list(tmp_path.iterdir())


def test_stores_that_are_no_paths(tmp_path):
    for store in (zarr.storage.MemoryStore(), zarr.storage.LocalStore(tmp_path / "a"), {}):
        assert xpatch.write(merged(), store, tag="v1") == 9
        np.testing.assert_array_equal(zarr.open_group(store)["t"], field())
        assert xpatch.write(merged(), store, resume=True, tag="v1") == 0
        with pytest.raises(ValueError, match="geometry"):
            xpatch.write(merged(size=8), store, resume=True, tag="v1")


def test_a_bare_group_of_a_run_that_was_killed_at_once(tmp_path):
    zarr.create_group(tmp_path / "a.zarr")
    with pytest.raises(FileExistsError, match="resume=True"):
        xpatch.write(merged(), tmp_path / "a.zarr")
    assert xpatch.write(merged(), tmp_path / "a.zarr", resume=True) == 9
    xpatch.write(merged(), tmp_path / "b.zarr")
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")


# ------------------------------------------------------------------------------- several writers

WRITER = """
import sys, time
import dask.array as da, numpy as np, xarray as xr, xpatch

def slow(patches):
    time.sleep(0.02)
    return patches + 1

values = np.arange(576.0).reshape(24, 24)
field = xr.DataArray(da.from_array(values, chunks=4), dims=("y", "x"), name="t")
template = field[:4, :4].expand_dims("patch")
merged = field.patch.apply(slow, geometry={"y": 4, "x": 4}, template=template)
print("ready", flush=True)
sys.stdin.readline()
try:
    print(xpatch.write(merged, sys.argv[1], resume=sys.argv[2] == "resume"))
except FileExistsError as error:
    print("FileExistsError", error)
"""


@pytest.mark.parametrize("how", ["resume", "new"])
def test_two_processes_write_one_store(tmp_path, how):
    (tmp_path / "run.py").write_text(WRITER)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "a.zarr"), how]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for run in runs:
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    said = [run.communicate()[0].strip() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    counts = [int(text) for text in said if text.isdigit()]
    if how == "resume":
        assert len(counts) == 2
        assert sum(counts) >= 36
    else:
        assert counts == [36]
        assert any("resume=True" in text for text in said)
    expected = np.arange(576.0).reshape(24, 24) + 1
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "a.zarr")["t"], expected)
    group = zarr.open_group(tmp_path / "a.zarr", use_consolidated=False)
    assert set(group) == {"t", "xpatch_write"}


@pytest.mark.parametrize("wait", [0.0, 0.003, 0.01, 0.03])
def test_threads_that_begin_one_store_almost_at_once(tmp_path, wait):
    results, expected = [], merged().compute()

    def write(pause):
        time.sleep(pause)
        try:
            results.append(xpatch.write(merged(), tmp_path / "a.zarr", resume=True))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=write, args=(k * wait,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(r, int) for r in results), results
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "a.zarr")["t"], expected)
    assert xpatch.write(merged(), tmp_path / "a.zarr", resume=True) == 0


def test_a_second_writer_that_resumes_while_the_first_still_works(tmp_path):
    store, started, go = tmp_path / "a.zarr", threading.Event(), threading.Event()

    def held(block):
        started.set()
        go.wait(20)
        return block

    first = field().copy(data=field().data.map_blocks(held, meta=np.empty((0, 0))))
    counts = []
    thread = threading.Thread(target=lambda: counts.append(xpatch.write(first, store)))
    thread.start()
    assert started.wait(20)
    assert xpatch.write(field(), store, resume=True) == 9
    assert set(zarr.open_group(store, use_consolidated=False)) == {"t", "y", "x"}
    go.set()
    thread.join()
    assert counts == [9]
    np.testing.assert_array_equal(xr.open_zarr(store)["t"], field())
