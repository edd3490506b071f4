"""dask.distributed: several processes, a worker that dies, and what travels between them."""

from __future__ import annotations

import os
import pickle
import signal
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xpatch

distributed = pytest.importorskip("distributed")

N, CHUNK = 96, 16
CUT = {"geometry": {"y": 8, "x": 8}, "sampler": xpatch.RegularStride(4)}
HANN = xpatch.OverlapAdd("hann")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def field():
    values = np.random.default_rng(0).random((N, N))
    lon, lat = np.meshgrid(np.arange(float(N)), np.arange(float(N)))
    coords = {
        "y": np.arange(float(N)),
        "x": np.arange(float(N)),
        "lat": (("y", "x"), lat),
        "lon": (("y", "x"), lon),
    }
    return xr.DataArray(values, coords, ("y", "x"), name="t")


def double(patches):
    return patches * 2


def slow(patches):
    time.sleep(0.05)
    return patches * 2


class Slow:
    """Multiplies, and takes its time."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, patches):
        time.sleep(0.05)
        return patches * self.factor


class Fragile:
    """Kills the process that it runs in, once, when it comes to some patch."""

    def __init__(self, path):
        self.path = str(path)

    def __call__(self, patches):
        time.sleep(0.01)
        if 200 in patches["patch"].values and not Path(self.path).exists():
            Path(self.path).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return patches * 2


def broken(patches):
    if 3 in patches["patch"].values:
        raise RuntimeError("out of order")
    return patches * 2


@pytest.mark.parametrize("aggregation", [HANN, "median", "first"], ids=str)
def test_split_map_blocks_merge(client, aggregation):
    source = field()
    patches = source.chunk(CHUNK).patch.split(**CUT)
    merged = patches.map_blocks(double, template=patches).patch.merge(aggregation).compute()
    xr.testing.assert_allclose(merged, source * 2)


def test_apply(client):
    merged = field().chunk(CHUNK).patch.apply(double, aggregation=HANN, **CUT).compute()
    xr.testing.assert_allclose(merged, field() * 2)


def test_failures_are_told_where_the_client_is(client):
    merged = field().chunk(CHUNK).patch.apply(broken, on_error="skip", batch_size=5, **CUT)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        merged = merged.compute()
        deadline = time.time() + 10
        while not failures(caught) and time.time() < deadline:
            time.sleep(0.05)
    assert failures(caught) == [{3: "RuntimeError: out of order"}]
    xr.testing.assert_allclose(merged[:, 32:], field()[:, 32:] * 2)


def failures(caught):
    return [w.message.failures for w in caught if isinstance(w.message, xpatch.PatchFailure)]


def test_write_from_several_processes(client, tmp_path):
    merged = field().chunk(CHUNK).patch.apply(slow, aggregation=HANN, **CUT)
    chunks = (N // CHUNK) ** 2
    assert xpatch.write(merged, tmp_path / "a.zarr") == 3 * chunks  # with lat and lon
    xr.testing.assert_allclose(xr.open_zarr(tmp_path / "a.zarr")["t"].load(), field() * 2)


@pytest.mark.parametrize("how", ["apply", "map_blocks"])
def test_a_worker_that_is_killed(client, tmp_path, how):
    model = Fragile(tmp_path / "killed")
    source = field().chunk(CHUNK)
    if how == "apply":
        merged = source.patch.apply(model, aggregation=HANN, **CUT)
    else:
        patches = source.patch.split(**CUT)
        merged = patches.map_blocks(model, template=patches).patch.merge(HANN)
    xpatch.write(merged, tmp_path / "a.zarr")
    assert (tmp_path / "killed").exists()
    xr.testing.assert_allclose(xr.open_zarr(tmp_path / "a.zarr")["t"].load(), field() * 2)


def test_a_package_that_workers_lack(client, tmp_path):
    package = tmp_path / "only_here.py"
    package.write_text("def double(patches):\n    return patches * 2\n")
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        import only_here

        merged = field().chunk(CHUNK).patch.apply(only_here.double, **CUT)
        with pytest.raises(ImportError, match=r"cannot load the function.*only_here"):
            merged.compute()
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("only_here", None)


def test_tasks_are_small():
    source = field().chunk({"y": CHUNK, "x": CHUNK})
    merged = source.patch.apply(double, aggregation=HANN, **CUT)
    graph = merged.__dask_graph__()
    frames = [k for k in graph if "-frame" in str(k) or "-func" in str(k)]
    assert len(frames) == 2  # the coordinates, and the model, travel once
    for key in graph:
        if "xpatch" in str(key) and key not in frames:
            assert len(pickle.dumps(graph[key])) < 8_000, key


def test_two_fields_are_written_at_once(client, tmp_path):
    one = field().chunk(CHUNK).patch.apply(slow, geometry={"y": 8, "x": 8})
    two = field().chunk(CHUNK).patch.apply(Slow(3), geometry={"y": 8, "x": 8})
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(xpatch.write, merged, tmp_path / name)
            for name, merged in (("one.zarr", one), ("two.zarr", two))
        ]
    assert [job.result() for job in jobs] == [3 * (N // CHUNK) ** 2] * 2  # with lat and lon
    for name, factor in (("one.zarr", 2), ("two.zarr", 3)):
        np.testing.assert_allclose(xr.open_zarr(tmp_path / name)["t"], field() * factor)


@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:Sending large graph")
def test_a_store_that_workers_cannot_reach(client):
    from zarr.storage import MemoryStore

    with pytest.raises(RuntimeError, match="lacks 108 chunks after all were written"):
        xpatch.write(field().chunk(CHUNK), MemoryStore())
