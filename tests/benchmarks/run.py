"""Benchmark of split and merge: ``python -m tests.benchmarks.run``.

Every number is a ratio against a plain ``numpy.copy`` of the same patches in the same run, the
median of several repeats; memory is what is needed beyond the output, as a share of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

import xpatch
from tests.benchmarks import large, peers
from tests.benchmarks import time as windows
from tests.benchmarks.measure import memory, ratio

CASES = [(256, 128), (64, 32), (16, 8)]


def field(n: int) -> xr.DataArray:
    """Give a labeled float32 field of n by n cells."""
    values = np.random.default_rng(0).random((n, n), dtype="f4")
    return xr.DataArray(values, {"y": np.arange(float(n)), "x": np.arange(float(n))}, ("y", "x"))


def steps(source: xr.DataArray, size: int, step: int) -> tuple[Any, Any, np.ndarray]:
    """Give functions that split and merge with xpatch, and the patches."""

    def split() -> xr.DataArray:
        sampler = xpatch.RegularStride(step)
        return source.patch.split(geometry={"y": size, "x": size}, sampler=sampler)

    patches = split()
    return split, lambda: patches.patch.merge(xpatch.OverlapAdd("hann")), patches.values


def own(n: int, repeats: int) -> None:
    """Split and merge with xpatch."""
    source = field(n)
    print(f"xpatch, float32 {n}², times as ratios to a copy of the patches")
    print(f"{'size/step':>10} {'split':>7} {'merge':>7} {'memory split':>13} {'merge':>7}")
    for size, step in CASES:
        split, merge, patches = steps(source, size, step)
        cut, merged = ratio(split, patches.copy, repeats), ratio(merge, patches.copy, repeats)
        print(
            f"{f'{size}/{step}':>10} {cut:7.2f} {merged:7.2f} "
            f"{memory(split):13.2f} {memory(merge):7.2f}",
            flush=True,
        )


def others(n: int, repeats: int) -> None:
    """Split and merge with xpatch and every installed peer, on the same work."""
    source = field(n)
    print(f"\npeers, float32 {n}², times as ratios to a copy of the patches")
    print(f"{'size/step':>10} {'':>24} {'split':>8} {'merge':>8}")
    for size, step in CASES:
        split, merge, patches = steps(source, size, step)
        rows: list[tuple[str, Any, Any, int]] = [("xpatch", split, merge, repeats)]
        for peer in peers.PEERS:
            if peer.version is not None:
                rows.append((peer.name, *_peer_steps(peer, source.values, size, step), 1))
        for name, cut, put, times in rows:
            merged = "-" if put is None else f"{ratio(put, patches.copy, times):.2f}"
            taken = ratio(cut, patches.copy, times)
            print(f"{f'{size}/{step}':>10} {name:>24} {taken:8.2f} {merged:>8}", flush=True)


def _peer_steps(peer: peers.Peer, array: np.ndarray, size: int, step: int) -> tuple[Any, Any]:
    def split() -> Any:
        return peer.split(array, size, step)

    merge = peer.merge
    if merge is None:
        return split, None
    patches = split()
    if merge(patches, array.shape, size, step) is None:
        return split, None
    return split, lambda: merge(patches, array.shape, size, step)


def imports(repeats: int) -> None:
    """Measure what importing xpatch adds to importing xarray."""

    def load(module: str) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True)

    added = ratio(load("xpatch"), load("xarray"), repeats)
    print(f"\nimport xpatch / import xarray: {added:.2f}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=4096, help="side of the field")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument(
        "--sides", type=int, nargs="*", default=[16384, 32768, 65536], help="of the large fields"
    )
    options = parser.parse_args()
    own(options.cells, options.repeats)
    if not options.no_peers:
        others(options.cells, options.repeats)
    imports(options.repeats)
    windows.table(options.repeats)
    members = [sys.executable, "-m", "tests.benchmarks.members"]  # its memory is its own
    subprocess.run(members, check=True)
    large.plans()
    large.table(options.sides, not options.no_peers)


if __name__ == "__main__":
    main()
