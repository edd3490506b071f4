"""`xpatch.write`: streams to zarr, and a run that was killed is finished, not repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import xpatch

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")


def merged(calls=None, n=24, chunk=8, fail_at=None):
    """Give a lazy merged field; ``calls`` collects the chunks of the source that are read."""

    def read(block, block_info=None):
        place = tuple(block_info[0]["chunk-location"]) if block_info else ()
        if calls is not None and block_info:
            calls.append(place)
        if fail_at is not None and place == fail_at:
            raise RuntimeError("killed")
        return block

    values = np.random.default_rng(0).random((n, n))
    data = da.from_array(values, chunks=chunk).map_blocks(
        read, dtype="f8", name=f"source-{n}-{chunk}"
    )
    coords = {
        "y": np.arange(float(n)),
        "x": np.arange(float(n)),
        "time": np.datetime64("2020-01-01", "ns"),
    }
    field = xr.DataArray(data, coords, ("y", "x"), name="t", attrs={"units": "K"})
    return field.patch.apply(
        lambda p: p * 2, geometry={"y": 4, "x": 4}, template=field[:4, :4].expand_dims("patch") * 2
    )


def contents(store):
    root = Path(store)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def plain():
    """Give the merged field without how it was merged, which `write` would keep in the store."""
    return merged().persist(scheduler="synchronous")


def test_the_store_is_that_of_xarray(tmp_path):
    assert xpatch.write(plain(), tmp_path / "a.zarr") == 9
    plain().to_zarr(tmp_path / "b.zarr", write_empty_chunks=True)
    ours, theirs = (xr.open_zarr(tmp_path / f"{n}.zarr") for n in "ab")
    xr.testing.assert_identical(ours.load(), theirs.load())
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")
    assert zarr.open_group(tmp_path / "a.zarr")["t"].chunks == (8, 8)


def test_resume_computes_only_what_is_missing(tmp_path):
    xpatch.write(merged(), tmp_path / "whole.zarr")
    store = tmp_path / "killed.zarr"
    with dask.config.set(scheduler="synchronous"), pytest.raises(RuntimeError, match="killed"):
        xpatch.write(merged(fail_at=(2, 0)), store)
    there = len(list((store / "t" / "c").rglob("*/*")))
    assert 0 < there < 9
    calls = []
    assert xpatch.write(merged(calls), store, resume=True) == 9 - there
    assert contents(store) == contents(tmp_path / "whole.zarr")
    calls.clear()
    assert xpatch.write(merged(calls), store, resume=True) == 0
    assert not calls


def test_resume_reads_only_what_missing_chunks_need(tmp_path):
    store = tmp_path / "a.zarr"
    xpatch.write(merged(), tmp_path / "whole.zarr")
    xpatch.write(merged(), store)
    group = zarr.open_group(store)
    group.create_array("xpatch_write_in_progress", shape=(), dtype="u1", fill_value=1)
    (store / "t" / "c" / "1" / "1").unlink()
    calls = []
    assert xpatch.write(merged(calls), store, resume=True) == 1
    assert set(calls) == {(1, 1)}
    assert contents(store) == contents(tmp_path / "whole.zarr")


KILLED = """
import sys, time
import dask.array as da, xarray as xr, xpatch

def slow(patches):
    time.sleep(0.2)
    return patches + 1

field = xr.DataArray(da.arange(400, chunks=400).reshape(20, 20).rechunk(4) * 1.0, dims=("y", "x"), name="t")
merged = field.patch.apply(slow, geometry={"y": 4, "x": 4}, template=field[:4, :4].expand_dims("patch"))
print(xpatch.write(merged, sys.argv[1], resume="resume" in sys.argv))
"""


def test_a_killed_process(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    store = tmp_path / "killed.zarr"
    run = [sys.executable, str(script)]
    process = subprocess.Popen([*run, str(store)])
    chunks = store / "t" / "c"
    while process.poll() is None and len(list(chunks.glob("*/*"))) < 3:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    there = len([p for p in chunks.glob("*/*") if p.name.isdigit()])
    assert 3 <= there < 25
    again = subprocess.run([*run, str(store), "resume"], capture_output=True, text=True, check=True)
    assert int(again.stdout) == 25 - there
    subprocess.run([*run, str(tmp_path / "whole.zarr")], check=True, capture_output=True)
    whole = contents(tmp_path / "whole.zarr")
    assert {k: v for k, v in contents(store).items() if k in whole} == whole
    xr.testing.assert_identical(*(xr.open_zarr(p).load() for p in (store, tmp_path / "whole.zarr")))


def test_dates_integers_and_uneven_chunks(tmp_path):
    dates = np.datetime64("2000-01-01", "ns") + np.arange(10).astype("m8[D]")
    ds = xr.Dataset(
        {
            "date": ("x", da.from_array(dates, chunks=(3, 5, 2))),
            "zero": ("x", da.zeros(10, chunks=5, dtype="i2")),
            "packed": ("x", da.linspace(0, 1, 10, chunks=5)),
            "memory": ("x", np.arange(10)),
        }
    )
    ds["packed"].encoding = {
        "scale_factor": 0.01,
        "add_offset": 0.0,
        "dtype": "i2",
        "_FillValue": -1,
    }
    assert xpatch.write(ds, tmp_path / "a.zarr") == 2 + 2 + 2
    ds["date"] = ds["date"].chunk(5)
    ds.to_zarr(tmp_path / "b.zarr", write_empty_chunks=True)
    ours, theirs = (xr.open_zarr(tmp_path / f"{n}.zarr").load() for n in "ab")
    xr.testing.assert_identical(ours, theirs)
    np.testing.assert_array_equal(ours["date"], dates)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "packing",
    [
        {"scale_factor": 0.01, "add_offset": 5.0, "dtype": "i2", "_FillValue": -9999},
        {"dtype": "f4", "_FillValue": -1.0},
        {"dtype": "i4", "_FillValue": -7, "scale_factor": 0.5},
    ],
)
def test_packing_that_is_given_when_writing(tmp_path, packing, zarr_format):
    values = np.array([0.0, 1.25, 2.5, np.nan, 4.0, 5.0])
    ds = xr.Dataset({"t": ("x", da.from_array(values, chunks=2))})
    ds["t"].encoding = {"dtype": "f4", "_FillValue": -5.0}  # which the argument replaces
    options = {"encoding": {"t": packing}, "zarr_format": zarr_format}
    xpatch.write(ds, tmp_path / "a.zarr", **options)
    ds.to_zarr(tmp_path / "b.zarr", write_empty_chunks=True, **options)
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")
    np.testing.assert_allclose(xr.open_zarr(tmp_path / "a.zarr")["t"], values, atol=0.25)
    assert xpatch.write(ds, tmp_path / "a.zarr", resume=True, **options) == 0


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["bool", "U3", "S2", "M8[ns]", "m8[ns]", "c16", "u1"])
def test_every_dtype_that_xarray_writes(tmp_path, dtype, zarr_format):
    values = np.array([0, 1, 1, 0, 1]).astype(dtype)
    ds = xr.Dataset({"v": ("x", da.from_array(values, chunks=2))})
    options = {"zarr_format": zarr_format}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that zarr 3 does not specify
        assert xpatch.write(ds, tmp_path / "a.zarr", **options) == 3
        ds.to_zarr(tmp_path / "b.zarr", write_empty_chunks=True, **options)
        assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")
        np.testing.assert_array_equal(xr.open_zarr(tmp_path / "a.zarr")["v"], values)


@pytest.mark.parametrize("encoding", [{"u": {"dtype": "i2"}}, {"t": {"compresor": None}}])
def test_a_wrong_encoding_leaves_nothing_behind(tmp_path, encoding):
    with pytest.raises(ValueError, match="encoding"):
        xpatch.write(merged(), tmp_path / "a.zarr", encoding=encoding)
    assert not (tmp_path / "a.zarr").exists()
    assert xpatch.write(merged(), tmp_path / "a.zarr") == 9


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_resume_after_a_kill_before_the_metadata_were_consolidated(tmp_path, zarr_format):
    store, other = tmp_path / "a.zarr", tmp_path / "b.zarr"
    xpatch.write(plain(), other, zarr_format=zarr_format)
    plain().to_zarr(store, zarr_format=zarr_format, consolidated=False, write_empty_chunks=True)
    assert contents(store) != contents(other)
    assert xpatch.write(plain(), store, resume=True, zarr_format=zarr_format) == 0
    assert contents(store) == contents(other)


def test_an_old_zarr_is_told_before_anything_is_begun(tmp_path, monkeypatch):
    monkeypatch.delattr(zarr.Array, "with_config")
    with pytest.raises(ImportError, match=r"needs zarr 3.1.6 or later"):
        xpatch.write(merged(), tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


def test_a_store_that_exists_is_not_touched(tmp_path):
    store = tmp_path / "a.zarr"
    xpatch.write(merged(), store)
    before = contents(store)
    with pytest.raises(FileExistsError, match="pass resume=True"):
        xpatch.write(merged(), store)
    for other, message in [
        (merged(n=16), "has shape"),
        (merged(chunk=12), "has chunks"),
        (merged().astype("f4"), "has dtype"),
        (merged().assign_attrs(units="C"), "has attributes"),
        (merged().rename("u"), "the store holds"),
        (merged().assign_coords(y=np.arange(24.0) + 1), "'y' has other values"),
    ]:
        with pytest.raises(ValueError, match=message):
            xpatch.write(other, store, resume=True)
    assert contents(store) == before


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_another_field_of_the_same_shape_is_refused(tmp_path, zarr_format):
    square = xr.Dataset(
        {"t": (("y", "x"), da.ones((4, 4), chunks=2))}, attrs={"made": "by the first model"}
    )
    filled = {"t": {"_FillValue": -1.0}}
    xpatch.write(square, tmp_path / "a.zarr", zarr_format=zarr_format, encoding=filled)
    for other, encoding, message in [
        (square.transpose("x", "y"), filled, "has (dimensions|attributes)"),
        (square, {"t": {"_FillValue": -2.0}}, "has (fill value|attributes)"),
        (square.assign_attrs(made="by the second"), filled, "it has attributes"),
    ]:
        with pytest.raises(ValueError, match=message):
            xpatch.write(
                other, tmp_path / "a.zarr", resume=True, encoding=encoding, zarr_format=zarr_format
            )


def test_a_store_half_written_by_something_else(tmp_path):
    store = tmp_path / "a.zarr"
    merged().to_zarr(store, compute=False)
    zarr.open_group(store)["t"][:8, :8] = 1
    before = contents(store)
    with pytest.raises(ValueError, match="lacks 8 chunks, but was not begun"):
        xpatch.write(merged(), store, resume=True)
    assert contents(store) == before


def test_what_is_not_a_field(tmp_path):
    with pytest.raises(TypeError, match="takes a DataArray or a Dataset"):
        xpatch.write(np.ones(3), tmp_path / "a.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(3,), dtype="f4")
    with pytest.raises(ValueError, match="holds a zarr array"):
        xpatch.write(merged(), tmp_path / "array.zarr", resume=True)


def test_a_field_in_memory(tmp_path):
    field = xr.DataArray(np.ones((3, 4)), dims=("y", "x"), name="t")
    xpatch.write(field, tmp_path / "a.zarr")
    xr.testing.assert_identical(xr.open_zarr(tmp_path / "a.zarr")["t"].load(), field)
    assert xpatch.write(field, tmp_path / "a.zarr", resume=True) == 0
