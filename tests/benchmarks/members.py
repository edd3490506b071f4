"""Benchmark of points, meshes and caps, against SciPy and NumPy in the same run.

``python -m tests.benchmarks.members`` prints seconds and ratios.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

import xpatch
from tests.benchmarks.large import peak_memory

POINTS, ANCHORS, K, TIMES = 100_000, 5_000, 16, 50


def best(function: Callable[[], Any], repeats: int = 5) -> float:
    """Give the shortest time of some calls, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def stations(great_circle: bool) -> xr.DataArray:
    """Give random points, in degrees or in metres, with values at 50 times."""
    rng = np.random.default_rng(0)
    values = rng.random((TIMES, POINTS), dtype="f4")
    if great_circle:
        lon, lat = rng.uniform(-180, 180, POINTS), np.rad2deg(np.arcsin(rng.uniform(-1, 1, POINTS)))
        coords = {"lon": ("obs", lon), "lat": ("obs", lat)}
    else:
        x, y = rng.uniform(0, 1e6, (2, POINTS))
        coords = {"x": ("obs", x), "y": ("obs", y)}
    return xr.DataArray(values, coords, ("time", "obs"))


def points(repeats: int) -> None:
    """Print how k nearest neighbors compare with a tree, `take` and `bincount`."""
    anchors = np.random.default_rng(1).choice(POINTS, ANCHORS, replace=False)
    axes: dict[str, Any] = {"geometry": xpatch.KNNGraph(K), "sampler": xpatch.Explicit(anchors)}
    plane = stations(False)
    xy = np.stack([plane.x.values, plane.y.values], axis=-1)

    def query_and_take() -> np.ndarray:
        _, near = cKDTree(xy).query(xy[anchors], K)
        return np.take(plane.values, near, axis=1)

    reference = best(query_and_take, repeats)
    flat = best(lambda: plane.patch.split(**axes), repeats)
    globe = stations(True)
    curved = best(lambda: globe.patch.split(**axes), repeats)
    patches = plane.patch.split(**axes)
    numbers = patches.obs.values.ravel()
    values = np.ascontiguousarray(patches.transpose("time", ...).values.reshape(TIMES, -1))

    def by_bincount() -> np.ndarray:
        count = np.bincount(numbers, minlength=POINTS)
        sums = [np.bincount(numbers, v, POINTS) for v in values]
        with np.errstate(invalid="ignore"):
            return np.stack(sums) / count

    counted = best(by_bincount, repeats)
    mean = best(lambda: patches.patch.merge("mean"), repeats)
    median = best(lambda: patches.patch.merge("median"), repeats)
    print(f"\n{POINTS} points, {ANCHORS} anchors, k={K}, {TIMES} times")
    print(f"{'':>34} {'s':>7} {'ratio':>6}  to")
    for label, seconds, other, name in [
        ("split, planar", flat, reference, "scipy's query and numpy.take"),
        ("split, great circle", curved, flat, "planar"),
        ("merge, mean", mean, counted, "numpy.bincount"),
        ("merge, median", median, mean, "the mean"),
    ]:
        print(f"{label:>34} {seconds:7.3f} {seconds / other:6.2f}  {name}", flush=True)


def mesh() -> None:
    """Print what two hops from every face of a mesh of a million triangles take."""
    import uxarray as ux

    n = 708
    number = np.arange(n * n).reshape(n, n)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (b, d, c))])
    lon, lat = (v.ravel() for v in np.meshgrid(np.linspace(0, 60, n), np.linspace(-30, 30, n)))
    grid = ux.Grid.from_topology(lon, lat, faces, fill_value=-1)
    values = np.random.default_rng(0).random(len(faces), dtype="f4")
    field = ux.UxDataArray(xr.DataArray(values, dims="n_face"), uxgrid=grid)
    before = peak_memory() / 2**20
    start = time.perf_counter()
    patches = field.patch.split(geometry=xpatch.KHopGraph(2))
    split = time.perf_counter() - start
    start = time.perf_counter()
    patches.patch.merge("mean")
    merge = time.perf_counter() - start
    peak = peak_memory() / 2**20
    print(f"\nmesh of {len(faces)} triangles, two hops from each: {dict(patches.sizes)}")
    print(f"{'split s':>34} {split:7.2f}\n{'merge s':>34} {merge:7.2f}")
    print(f"{'peak GB':>34} {peak:7.2f}  (before: {before:.2f})", flush=True)


def caps() -> None:
    """Print what 10,000 caps on a grid of a quarter degree take."""
    lat, lon = np.arange(-89.875, 90, 0.25), np.arange(0.125, 360, 0.25)
    values = np.random.default_rng(0).random((len(lat), len(lon)), dtype="f4")
    field = xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"))
    axes: dict[str, Any] = {
        "geometry": xpatch.SphericalCap(500),
        "sampler": xpatch.FibonacciSphere(10_000),
    }
    start = time.perf_counter()
    patches = field.patch.split(**axes)
    split = time.perf_counter() - start
    start = time.perf_counter()
    patches.patch.merge(xpatch.OverlapAdd("hann"))
    merge = time.perf_counter() - start
    print(f"\n0.25° global grid, 10,000 caps of 500 km: {dict(patches.sizes)}")
    print(f"{'split s':>34} {split:7.2f}\n{'merge s':>34} {merge:7.2f}", flush=True)


def table(repeats: int = 5) -> None:
    """Print all."""
    warnings.simplefilter("ignore")
    mesh()
    points(repeats)
    caps()


if __name__ == "__main__":
    table()
