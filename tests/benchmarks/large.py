"""Benchmark of fields larger than memory: each case runs in a process of its own.

``python -m tests.benchmarks.large CASE SIDE`` runs one and prints seconds, peak memory and bytes of
patches as JSON. `table` runs many.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import xpatch
from tests.benchmarks import peers

SIZE, STEP, CHUNK, DEPTH = 256, 128, 1024, 128
CUT: dict[str, Any] = {"geometry": {"y": SIZE, "x": SIZE}, "sampler": xpatch.RegularStride(STEP)}
HANN = xpatch.OverlapAdd("hann")
OWN = (
    "xpatch-split",
    "xpatch-rim",
    "xpatch-sum",
    "xpatch-piece",
    "xpatch-rest",
    "xpatch-order",
    "xpatch-merge",
)


def identity(patches: Any) -> Any:
    """Do what a model would, in no time."""
    return patches


def lazy(side: int) -> xr.DataArray:
    """Give a labeled float32 field that is made chunk by chunk."""
    import dask.array as da

    values = da.random.default_rng(0).random((side, side), chunks=CHUNK, dtype="f4")
    labels = np.arange(float(side))
    return xr.DataArray(values, {"y": labels, "x": labels}, ("y", "x"), name="t")


def build(how: str, field: xr.DataArray) -> tuple[xr.DataArray, float]:
    """Give the processed field, lazily, and how often it lies in the patches or blocks."""
    import dask.array as da

    patches = len(range(0, field.sizes["y"] - SIZE + 1, STEP)) ** 2 * SIZE**2 / field.size
    if how == "apply":
        return field.patch.apply(identity, aggregation=HANN, **CUT), patches
    if how == "map_blocks":
        cut = field.patch.split(**CUT)
        return cut.map_blocks(identity, template=cut).patch.merge(HANN), patches
    if how == "map_overlap":
        out = da.map_overlap(identity, field.data, depth=DEPTH, boundary="none", dtype=field.dtype)
        blocks = sum(min(CHUNK + DEPTH, CHUNK + 2 * DEPTH) for _ in range(2))
        inner = max(0, field.sizes["y"] // CHUNK - 2) * (CHUNK + 2 * DEPTH)
        return field.copy(data=out), ((blocks + inner) / field.sizes["y"]) ** 2
    peer = next(p for p in peers.PEERS if p.name == how)
    array = field.values
    cut = peer.split(array, SIZE, STEP)
    merged = None if peer.merge is None else peer.merge(cut, array.shape, SIZE, STEP)
    return field.copy(data=array if merged is None else merged), patches


def case(how: str, side: int, source: str) -> dict[str, float]:
    """Run one case, from a lazy field or a zarr store, to a zarr store."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        field = lazy(side)
        if source == "zarr":
            code = (
                "import sys, warnings; warnings.simplefilter('ignore');"
                "from tests.benchmarks.large import lazy;"
                "lazy(int(sys.argv[1])).to_zarr(sys.argv[2])"
            )
            place = str(Path(folder) / "in.zarr")
            subprocess.run([sys.executable, "-c", code, str(side), place], check=True)
            field = xr.open_zarr(place)["t"]
        start = time.perf_counter()
        merged, times = build(how, field)
        planned = time.perf_counter() - start
        merged.to_zarr(Path(folder) / "out.zarr")
        seconds = time.perf_counter() - start
    peak = peak_memory() / 2**20
    gigabytes = times * field.nbytes / 1e9
    return {"plan": planned, "seconds": seconds, "peak": peak, "patches": gigabytes}


def peak_memory() -> int:
    """Give the most memory in KiB that this process held, without what it inherited by fork."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(how: str, side: int, source: str = "lazy") -> dict[str, float]:
    """Run one case in a new process."""
    command = [sys.executable, "-m", "tests.benchmarks.large", how, str(side), source]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(sides: list[int], with_peers: bool) -> None:
    """Print peak memory and time against the size of the field, and zarr in and out."""
    print(f"\nlarger than memory, float32, chunks {CHUNK}², patches {SIZE}/{STEP}, Hann, to zarr")
    head = f"{'field':>8} {'':>24} {'plan s':>7} {'all s':>7} {'GB':>6} {'s per GB of patches':>20}"
    print(head)
    for side in sides:
        for how in ("apply", "map_blocks", "map_overlap"):
            _row(f"{side}²", how, run(how, side))
    print("\nzarr in, zarr out\n" + head)
    names = ["apply", "map_blocks", "map_overlap"]
    if with_peers:
        names += [p.name for p in peers.PEERS if p.version is not None]
    for how in names:
        _row("8192²", how, run(how, 8192, "zarr"))


def _row(field: str, how: str, found: dict[str, float]) -> None:
    print(
        f"{field:>8} {how:>24} {found['plan']:7.2f} {found['seconds']:7.1f} {found['peak']:6.2f} "
        f"{found['seconds'] / found['patches']:20.2f}",
        flush=True,
    )


def plans() -> None:
    """Print what the graphs and plans cost."""
    print(f"\n{'plan':>32} {'patches':>9} {'chunks':>7} {'tasks a chunk':>14} {'seconds':>8}")
    for label, side, chunk, size, step in [
        ("64 patches a chunk", 65536, 1024, 256, 128),
        ("4 patches a chunk", 65536, 1024, 1024, 512),
        ("a million patches", 65536, 2048, 128, 64),
    ]:
        field = lazy(side).chunk(chunk) if chunk != CHUNK else lazy(side)
        start = time.perf_counter()
        geometry = {"y": size, "x": size}
        patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(step))
        merged = patches.patch.merge(HANN)
        seconds = time.perf_counter() - start
        own = sum(
            str(k[0]).startswith(OWN) for k in merged.__dask_graph__() if isinstance(k, tuple)
        )
        chunks = field.data.npartitions
        n = patches.sizes["patch"]
        print(f"{label:>32} {n:9} {chunks:7} {own / chunks:14.2f} {seconds:8.2f}", flush=True)


if __name__ == "__main__":
    print(json.dumps(case(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
