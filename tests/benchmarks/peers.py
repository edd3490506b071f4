"""Split and merge by other libraries, all behind one signature, for the benchmarks.

A peer splits a 2-D float32 array into square patches, ``split(array, size, step)``, and blends them
back with a Hann window, ``merge(patches, shape, size, step)``. Every split returns patches that own
their memory, ``(patch, y, x)``, as a model needs them: a strided view costs nothing and says nothing.

Run as a script, it prints what each peer does to a field when the model is the identity.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.metadata
import itertools
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Split = Callable[[Array, int, int], Array]
Merge = Callable[[Array, tuple[int, int], int, int], "Array | None"]


@dataclasses.dataclass(frozen=True)
class Peer:
    """One library and how it does the two steps.

    Parameters
    ----------
    name : str
        Name in tables.
    distribution : str
        What has to be installed; its module has the same name.
    split : callable
        ``split(array, size, step)`` gives the patches, shape (patch, size, size).
    merge : callable, optional
        ``merge(patches, shape, size, step)`` gives the field, or None where the library cannot
        merge patches of this size and step. None for a library that only splits.
    blends : bool
        Whether overlapping patches are blended; otherwise the last one written stays.
    """

    name: str
    distribution: str
    split: Split
    merge: Merge | None = None
    blends: bool = False

    @property
    def version(self) -> str | None:
        """Version of the installed distribution, None if there is none."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None


def split_xbatcher(array: Array, size: int, step: int) -> Array:
    """Iterate over a BatchGenerator; a remainder of the field is dropped."""
    import xarray as xr
    import xbatcher

    batches = xbatcher.BatchGenerator(
        xr.DataArray(array, dims=("y", "x")),
        input_dims={"y": size, "x": size},
        input_overlap={"y": size - step, "x": size - step} if step < size else {},
    )
    return np.stack([batch.values for batch in batches])


def split_rolling(array: Array, size: int, step: int) -> Array:
    """Xarray's rolling windows; a remainder of the field is dropped.

    ``construct(stride=…)`` counts from the first cell, whose window lies outside of the field, so
    that no window would start at 0. The view of all windows costs nothing: select from that.
    """
    import xarray as xr

    windows = (
        xr.DataArray(array, dims=("y", "x"))
        .rolling(y=size, x=size)
        .construct(y="window_y", x="window_x")
        .isel(y=slice(size - 1, None, step), x=slice(size - 1, None, step))
    )
    ordered = windows.transpose("y", "x", "window_y", "window_x").values
    return np.ascontiguousarray(ordered).reshape(-1, size, size)


def split_patchify(array: Array, size: int, step: int) -> Array:
    """Copy the view that patchify gives; a remainder of the field is dropped."""
    import patchify

    view = patchify.patchify(array, (size, size), step=step)
    return np.ascontiguousarray(view).reshape(-1, size, size)


def merge_patchify(patches: Array, shape: tuple[int, int], size: int, step: int) -> Array | None:
    """Overwrite: patchify does not blend, and needs a step that divides ``shape - size``."""
    import patchify

    if any((n - size) % step for n in shape):
        return None
    counts = [(n - size) // step + 1 for n in shape]
    merged: Array = patchify.unpatchify(patches.reshape(*counts, size, size), shape)
    return merged


def split_tiler(array: Array, size: int, step: int) -> Array:
    """Cut all tiles; the last ones are padded with zeros beyond the field."""
    from tiler import Tiler

    tiler = Tiler(data_shape=array.shape, tile_shape=(size, size), overlap=size - step)
    tiles: Array = tiler.get_all_tiles(array, copy_data=False)
    return tiles


def merge_tiler(patches: Array, shape: tuple[int, int], size: int, step: int) -> Array:
    """Blend by the Hann window of tiler, which is 0 on the outermost cells."""
    from tiler import Merger, Tiler

    merger = Merger(
        Tiler(data_shape=shape, tile_shape=(size, size), overlap=size - step),
        window="hann",
        save_visits=False,
    )
    for number, patch in enumerate(patches):
        merger.add(number, patch)
    merged: Array = merger.merge()
    return merged


def _corners(shape: tuple[int, int], size: int, step: int) -> list[tuple[int, int]]:
    """First cells of the patches of torchio's grid: the last patch is moved to the edge."""
    starts = [sorted({*range(0, n - size + 1, step), n - size}) for n in shape]
    return list(itertools.product(*starts))


def split_loop(array: Array, size: int, step: int) -> Array:
    """Slice in a Python loop, as torchio's GridSampler does."""
    return np.stack(
        [array[y : y + size, x : x + size] for y, x in _corners(array.shape, size, step)]
    )


def merge_loop(patches: Array, shape: tuple[int, int], size: int, step: int) -> Array:
    """Add weighted patches and weights in a Python loop, as torchio's GridAggregator does."""
    profile = np.hanning(size + 2)[1:-1].astype(patches.dtype)
    window = np.outer(profile, profile)
    total = np.zeros(shape, patches.dtype)
    weights = np.zeros(shape, patches.dtype)
    for patch, (y, x) in zip(patches, _corners(shape, size, step), strict=True):
        total[y : y + size, x : x + size] += patch * window
        weights[y : y + size, x : x + size] += window
    return total / weights


PEERS = (
    Peer("xbatcher", "xbatcher", split_xbatcher),
    Peer("rolling.construct", "xarray", split_rolling),
    Peer("patchify", "patchify", split_patchify, merge_patchify),
    Peer("tiler", "tiler", split_tiler, merge_tiler, blends=True),
    Peer("torchio loop", "numpy", split_loop, merge_loop, blends=True),
)


def installed() -> tuple[Peer, ...]:
    """Give the peers that import here: an installed one may refuse this version of NumPy."""
    found = []
    for peer in PEERS:
        with contextlib.suppress(ImportError):
            importlib.import_module(peer.distribution)
            found.append(peer)
    return tuple(found)


def report(peer: Peer, field: Array, size: int, step: int) -> str:
    """Time one split and merge of an identity model, and say how many cells came back wrong."""
    peer.split(field[: 2 * size, : 2 * size], size, step)  # imports are not timed
    start = time.perf_counter()
    patches = peer.split(field, size, step)
    cut = time.perf_counter()
    merged = peer.merge(patches, field.shape, size, step) if peer.merge else None
    done = time.perf_counter()
    line = f"{peer.name:18} {len(patches):6} patches  split {cut - start:7.3f} s"
    if merged is None:
        return f"{line}  no merge"
    wrong = np.count_nonzero(~np.isclose(merged, field, rtol=1e-5))
    return f"{line}  merge {done - cut:7.3f} s  {wrong} of {field.size} cells wrong"


if __name__ == "__main__":
    elevation = np.random.default_rng(0).random((512, 512), dtype=np.float32) + 1
    for entry in installed():
        print(report(entry, elevation, size=64, step=32))
