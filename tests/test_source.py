"""Sources: patches by number as arrays of NumPy, and how often the file is read. No framework is needed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

import xpatch
from tests.test_batches import cut, on_disk


def kinds(kind):
    """Give patches of each kind of data, and the same in memory."""
    disk, field = on_disk()
    field = field.rename("t")
    expected = cut(field.compute().chunk(8) if kind == "dask" else field.compute())
    if kind == "moved":
        patches = cut(field).transpose("y", "patch", "x").isel(patch=slice(5, 150, 3))
        return disk, patches, expected.isel(patch=slice(5, 150, 3))
    source = {"numpy": field.compute, "dask": lambda: field.compute().chunk(8)}
    return disk, cut(source.get(kind, lambda: field)()), expected


@pytest.mark.parametrize("kind", ["numpy", "dask", "disk", "moved"])
def test_samples_are_the_patches(kind):
    disk, patches, expected = kinds(kind)
    source = patches.patch.source()
    n = len(source)
    assert n == patches.sizes["patch"]
    disk.reads.clear()
    some = [7, 0, n - 1, 7, -1, 20]
    single = [source[k] for k in some]
    disk.reads.clear()
    together = source.__getitems__(some)
    assert not disk.reads or set(disk.reads.values()) == {1}
    for k, a, b in zip(some, single, together, strict=True):
        assert set(a) == {"t", "patch"}
        for sample in (a, b):
            np.testing.assert_array_equal(sample["t"], expected.values[k])
            assert int(sample["patch"]) == int(expected["patch"][k])
            assert isinstance(sample["t"], np.ndarray)
    assert source.__getitems__([]) == []


def test_a_batch_in_random_order_reads_each_chunk_once():
    disk, field = on_disk()
    patches = cut(field)
    source = patches.patch.source()
    disk.reads.clear()
    source.__getitems__(np.random.default_rng(0).permutation(len(source)))
    assert len(disk.reads) == 25
    assert set(disk.reads.values()) == {1}


def test_chunks_are_asked_one_after_the_other(monkeypatch):
    from xpatch.training import source as sources

    monkeypatch.setattr(sources, "KEPT_BYTES", 1)
    disk, field = on_disk()
    source = field.patch.split(geometry={"y": 4, "x": 4}).patch.source()
    disk.reads.clear()
    source.__getitems__(np.random.default_rng(0).permutation(len(source)).tolist())
    assert set(disk.reads.values()) == {1}


@pytest.mark.parametrize("kind", ["numpy", "disk"])
def test_writing_to_a_sample_leaves_the_patches(kind):
    _, patches, expected = kinds(kind)
    source = patches.patch.source()
    for sample in (source[3], *source.__getitems__([3, 3, 4])):
        sample["t"] *= 0
        sample["patch"][...] = 99
    np.testing.assert_array_equal(source[3]["t"], expected.values[3])
    assert int(source[3]["patch"]) == 3
    np.testing.assert_array_equal(patches.values, expected.values)


def test_datasets_scenes_and_what_is_left_out():
    field = on_disk()[1].compute().rename("t").assign_coords(lat=("y", np.arange(40.0)))
    data = xr.Dataset({"t": field, "b": (field * 9).astype(">u2"), "area": ("x", np.ones(40))})
    patches = cut(data.isel(x=slice(0, 12)))
    patches["label"] = ("patch", np.arange(patches.sizes["patch"], dtype="i4"))
    patches["const"] = ((), 3.0)
    source = patches.patch.source()
    sample = source[2]
    assert set(sample) == {"t", "b", "area", "label", "patch"}
    assert sample["b"].dtype == np.dtype("u2")
    assert sample["b"].dtype.isnative
    np.testing.assert_array_equal(sample["b"], patches["b"].values[2])
    assert sample["label"].shape == ()
    both = xpatch.concat([cut(on_disk(n)[1].rename("t")) for n in (40, 24)])
    source = both.patch.source()
    for k in (0, 168, 169, -1):
        np.testing.assert_array_equal(source[k]["t"], both.values[k])
        assert int(source[k]["patch"]) == int(both["patch"][k])


def test_unnamed_arrays_and_transforms():
    _, field = on_disk()
    source = cut(field.compute()).patch.source(lambda sample: sample["values"].mean())
    assert source[1] == pytest.approx(float(cut(field.compute())[1].mean()))
    assert source.__getitems__([1])[0] == source[1]


def test_patches_read_back_from_a_file(tmp_path):
    patches = cut(on_disk()[1].compute().rename("t")).to_dataset()
    patches.drop_encoding().to_netcdf(tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc") as opened:
        source = opened.patch.source()
        np.testing.assert_array_equal(source.__getitems__([9, 2])[1]["t"], patches["t"].values[2])
        again = pickle.loads(pickle.dumps(source))
        np.testing.assert_array_equal(again[5]["t"], patches["t"].values[5])


def test_threads_may_ask_while_batches_are_read():
    _, patches, expected = kinds("disk")
    source = patches.patch.source()
    jobs = np.random.default_rng(1).integers(0, len(source), (40, 5)).tolist()

    def job(numbers):
        return [source[numbers[0]], *source.__getitems__(numbers)]

    with ThreadPoolExecutor(4) as pool:
        for numbers, found in zip(jobs, pool.map(job, jobs), strict=True):
            for k, sample in zip([numbers[0], *numbers], found, strict=True):
                np.testing.assert_array_equal(sample["t"], expected.values[k])


def test_errors():
    patches = cut(on_disk()[1].compute().rename("t"))
    source = patches.patch.source()
    for k in (len(source), -len(source) - 1):
        with pytest.raises(IndexError, match="not among the 169"):
            source[k]
    with pytest.raises(IndexError):
        source.__getitems__([0, 169])
    with pytest.raises(TypeError, match="isel"):
        source[1:3]
    with pytest.raises(TypeError, match="transform"):
        patches.patch.source(transform=3)
    dates = patches.to_dataset().assign(day=("patch", np.zeros(169, "M8[ns]")))
    with pytest.raises(TypeError, match=r"'day' is of dtype datetime64.*drop_vars\('day'\)"):
        dates.patch.source()
    assert len(patches[3].patch.source()) == 1
    with pytest.raises(ValueError, match="not patches"):
        on_disk()[1].patch.source()
    with pytest.raises(ValueError, match="no data variable"):
        patches.to_dataset().drop_vars("t").patch.source()


def test_no_framework_is_imported():
    code = (
        "import sys, numpy as np, xarray as xr, xpatch\n"
        "p = xr.DataArray(np.ones((4, 4)), dims=('y', 'x')).patch.split(geometry={'y': 2, 'x': 2})\n"
        "p.patch.source()[0]; print([m for m in ('torch', 'jax', 'grain') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
