"""Slow corners: batches, data on disk, and dask."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import xpatch
from tests.benchmarks.case import Timed, boxes, close, corner, field, noise

HANN = xpatch.OverlapAdd("hann")
SIDE, CHUNK, SIZE, STEP = 2048, 256, 32, 2  # a million patches
REGION, BLOCK = "reading the region", "its chunk of patches, in memory"


def stored() -> xr.DataArray:
    """Give a field that is on disk."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    place = Path(folder.name) / "field.zarr"
    field(SIDE).chunk(CHUNK).to_dataset(name="t").to_zarr(place)
    return xr.open_zarr(place, chunks=None)["t"]


def million(lazy: str) -> tuple[xr.DataArray, xr.DataArray, int, dict[str, slice]]:
    """Give a lazy field and its patches, the number of one in the middle, and its region."""
    source = stored() if lazy == "disk" else field(SIDE).chunk(CHUNK)
    patches = source.patch.split(**boxes(SIZE, STEP))
    along = (SIDE - SIZE) // STEP + 1
    y = x = along // 2
    first = STEP * y, STEP * x
    region = {d: slice(f, f + SIZE) for d, f in zip(("y", "x"), first, strict=True)}
    label = y * along + x
    number = int(np.flatnonzero(patches["patch"].values == label)[0])
    return source, patches, number, region


@corner("one of a million on disk, .patch[i]", REGION, 1.5, lazy="disk", how="item")
@corner("one of a million on disk, isel", REGION, 1.5, lazy="disk", how="isel")
@corner("one of a million on dask, .patch[i]", BLOCK, 1.5, lazy="dask", how="item")
@corner("one of a million on dask, isel", BLOCK, 1.5, lazy="dask", how="isel")
def one(lazy: str, how: str) -> Timed:
    source, patches, number, region = million(lazy)

    def ours() -> xr.DataArray:
        patch = patches.patch[number] if how == "item" else patches.isel(patch=number)
        return patch.compute()

    if lazy == "disk":
        return Timed(ours, lambda: source.isel(region).compute())
    return Timed(ours, in_memory(source, patches, np.array([number])))


def in_memory(source: xr.DataArray, patches: xr.DataArray, rows: np.ndarray) -> Callable[[], Any]:
    """Give what cuts the chunk of patches that holds ``rows`` in memory, and takes these.

    dask computes no less than a chunk.
    """
    values, stops = source.values, np.cumsum(patches.chunksizes["patch"])
    behind = int(stops[np.searchsorted(stops, rows[0], side="right")])
    low = behind - int(patches.chunksizes["patch"][np.searchsorted(stops, rows[0], side="right")])
    labels = patches["patch"].values[low:behind]
    along = (SIDE - SIZE) // STEP + 1
    y, x = (STEP * np.unique(n) for n in np.divmod(labels, along))

    def cut() -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(values, (SIZE, SIZE))
        block = windows[y[0] : y[-1] + 1 : STEP, x[0] : x[-1] + 1 : STEP].copy()
        return block.reshape(-1, SIZE, SIZE)[rows - low]

    return cut


@corner("first batch of 64 of a million on disk", "reading their region", 1.5, lazy="disk")
@corner("first batch of 64 of a million on dask", BLOCK, 1.5, lazy="dask")
def first_batch(lazy: str) -> Timed:
    source, patches, _, _ = million(lazy)
    head = patches["y"][:64].values, patches["x"][:64].values
    cells = {
        d: slice(int(v.min()), int(v.max()) + 1) for d, v in zip(("y", "x"), head, strict=True)
    }

    def beside() -> np.ndarray:
        values = source.isel(cells).values
        y, x = ((v - v.min()).astype(int) for v in head)
        return values[y[:, :, None], x[:, None, :]]

    if lazy == "dask":
        return Timed(
            lambda: next(iter(patches.patch.batches(64))), in_memory(source, patches, np.arange(64))
        )
    return Timed(lambda: next(iter(patches.patch.batches(64))), beside)


@corner("first of batches(64, shuffle) of a million in memory", "permutation, NumPy indexing", 5.0)
def shuffled() -> Timed:
    patches = field(1010).patch.split(**boxes(3, 1))
    values = patches.values
    return Timed(
        lambda: next(iter(patches.patch.batches(64, shuffle=True, seed=0))),
        lambda: values[np.random.default_rng(0).permutation(len(values))[:64]],
        lambda a, b: close(a, values[a["patch"].values]) and a.shape == b.shape,
    )


@corner("shuffled epoch of 3,969 patches of 32², by 16", "permutation, NumPy indexing", 10.0)
def epoch() -> Timed:
    patches = field(1024).patch.split(**boxes(32, 16))
    values = patches.values

    def ours() -> int:
        return sum(len(b.values) for b in patches.patch.batches(16, shuffle=True, seed=0))

    def beside() -> int:
        order = np.random.default_rng(0).permutation(len(values))
        return sum(len(values[order[k : k + 16]]) for k in range(0, len(order), 16))

    return Timed(ours, beside)


def merged(source: xr.DataArray, axes: dict[str, Any]) -> Callable[[], Any]:
    """Give what splits and merges with a Hann window."""
    return lambda: source.patch.split(**axes).patch.merge(HANN).compute()


@corner("dask, a time step a chunk, 120 × 256² 64/32, hann", "xpatch in memory", 2.0)
def steps() -> Timed:
    source = xr.DataArray(noise(120, 256, 256), dims=("time", "y", "x"))
    axes = boxes(64, 32)
    return Timed(merged(source.chunk(time=1), axes), merged(source, axes))


@corner("dask, 3-D, chunks two patches wide, hann", "xpatch in memory", 2.5)
def narrow() -> Timed:
    source = xr.DataArray(noise(64, 256, 256), dims=("z", "y", "x"))
    axes: dict[str, Any] = {
        "geometry": {"z": 16, "y": 32, "x": 32},
        "sampler": xpatch.RegularStride(z=8, y=16, x=16),
    }
    return Timed(merged(source.chunk(z=32, y=64, x=64), axes), merged(source, axes))


@corner("dask, 4096² 256/128, split · 2, merge hann", "map_overlap, without blending")
def overlapping() -> Timed:
    import dask.array as da

    values = da.from_array(noise(4096, 4096), chunks=1024)
    source = xr.DataArray(values, dims=("y", "x"))

    def twice(block: Any) -> Any:
        return block * 2

    how: Any = {"depth": 128, "boundary": "none", "dtype": "f4"}
    return Timed(
        lambda: twice(source.patch.split(**boxes(256, 128))).patch.merge(HANN).compute(),
        lambda: da.map_overlap(twice, values, **how).compute(),
    )
