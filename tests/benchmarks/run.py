"""Benchmark of split and merge: ``python -m tests.benchmarks.run``.

Every number is a ratio against a plain ``numpy.copy`` of the same patches in the same run, the
median of several repeats; memory is what is needed beyond the output, as a share of it.

``--corners`` prints the slow corners alone, `tests.benchmarks.corners`: common jobs against what would
be written without xpatch. ``--before CHECKOUT`` runs the same on the package of another checkout as well.
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
from tests.benchmarks import checkouts, corners, large, peers
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


def tables(sides: list[int], cells: int, repeats: int, with_peers: bool) -> None:
    """Print all tables but that of the slow corners."""
    own(cells, repeats)
    if with_peers:
        others(cells, repeats)
    imports(repeats)
    windows.table(repeats)
    sys.stdout.flush()
    members = [sys.executable, "-m", "tests.benchmarks.members"]  # its memory is its own
    subprocess.run(members, check=True)
    large.plans()
    large.table(sides, with_peers)


def main() -> None:
    """Print what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=4096, help="side of the field")
    parser.add_argument("--repeats", type=int, help="default: 7, of the slow corners 3")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument(
        "--sides", type=int, nargs="*", default=[16384, 32768, 65536], help="of the large fields"
    )
    parser.add_argument("--corners", action="store_true", help="the slow corners alone")
    parser.add_argument("--only", default="", metavar="PART", help="of the name of slow corners")
    parser.add_argument("--before", metavar="CHECKOUT", help="a checkout to compare with")
    options = parser.parse_args()
    if not (options.corners or options.only):
        sizes = options.sides, options.cells, options.repeats or 7, not options.no_peers
        if options.before is None:
            tables(*sizes)
        else:
            checkouts.side_by_side(tables, sizes, options.before)
    corners.table(options.repeats or corners.REPEATS, options.only, options.before)


if __name__ == "__main__":
    main()
