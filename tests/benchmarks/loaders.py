"""Benchmark of loaders: ``python -m tests.benchmarks.loaders``.

One epoch of shuffled patches on disk, in one process: patches a second, and how often a stored chunk is read.
`xpatch.torch.Stream` and `Source` beside the datasets of xbatcher on zarr, and beside the samplers of torchgeo
on Cloud Optimized GeoTIFFs, where these are installed (`pip install xarray-patch[bench]`). All give tensors of
the same shape, by torch's own loader.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
import xarray as xr
import zarr
from torch.utils.data import DataLoader
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, WrapperStore

import xpatch
from xpatch.torch import Stream

SIDE, CHUNK, SIZE, BATCH = 2048, 512, 64, 32
CRS = "EPSG:32632"


class Counting(WrapperStore[LocalStore]):
    """A store that counts how often each chunk is read."""

    reads: Counter[str]

    def __init__(self, store: LocalStore):
        super().__init__(store)
        self.reads = Counter()

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read, and count."""
        if "/c/" in key:
            self.reads[key] += 1
        return await self._store.get(key, prototype, byte_range)


def rate(loader: Iterable[Any], labels: Callable[[Any], int]) -> tuple[int, float]:
    """Walk once, and give patches and seconds."""
    start = time.perf_counter()
    count = sum(map(labels, loader))
    return count, time.perf_counter() - start


def patches_in(batch: Any) -> int:
    """Count the patches of a batch of anyone."""
    if isinstance(batch, dict):
        return len(batch["t"] if "t" in batch else batch["image"])
    return len(batch)


def row(name: str, loader: Iterable[Any], told: Callable[[], str]) -> float:
    """Print one line, and give patches a second."""
    count, seconds = rate(loader, patches_in)
    print(f"{name:>42} {count:7,} patches {count / seconds:9,.0f} /s   {told()}", flush=True)
    return count / seconds


def on_zarr(folder: Path, step: int, repeats: int) -> None:
    """Compare with xbatcher on chunks of zarr."""
    path = folder / "a.zarr"
    print(
        f"\nzarr: {SIDE}² float32 in chunks of {CHUNK}², patches of {SIZE}² every {step}, batches of {BATCH}"
    )
    store = Counting(LocalStore(path, read_only=True))

    def opened(chunks: Any = None) -> Any:
        store.reads.clear()
        data = xr.open_zarr(store, chunks=chunks, consolidated=False)
        return (
            data["t"] if chunks is None else data
        )  # xbatcher takes a DataArray of dask for true or false

    def told() -> str:
        chunks = (SIDE // CHUNK) ** 2
        return f"{sum(store.reads.values()) / chunks:.2f} reads a chunk"

    def split() -> Any:
        return opened().patch.split(
            geometry={"y": SIZE, "x": SIZE}, sampler=xpatch.RegularStride(step)
        )

    own = max(
        row("Stream", DataLoader(Stream(split(), BATCH), batch_size=None), told)
        for _ in range(repeats)
    )
    row(
        "Stream, in the order of the patches",
        DataLoader(Stream(split(), BATCH, shuffle=False), batch_size=None),
        told,
    )
    row("Source, shuffled", DataLoader(split().patch.source(), BATCH, shuffle=True), told)
    if not importlib.util.find_spec("xbatcher"):
        print("xbatcher is not installed")
        return
    import xbatcher
    import xbatcher.loaders.torch as theirs

    lap = {"y": SIZE - step, "x": SIZE - step} if step < SIZE else {}

    def made(chunks: Any = None, **words: Any) -> Any:
        return xbatcher.BatchGenerator(
            opened(chunks), {"y": SIZE, "x": SIZE}, input_overlap=lap, **words
        )

    found = [
        row(
            "xbatcher, MapDataset, in order",
            DataLoader(theirs.MapDataset(made()), BATCH),
            told,
        ),
        row(
            "xbatcher, MapDataset, shuffled",
            DataLoader(theirs.MapDataset(made()), BATCH, shuffle=True),
            told,
        ),
    ]

    class Iterated(torch.utils.data.IterableDataset):  # theirs wants two generators
        def __iter__(self) -> Any:
            for batch in made():
                yield torch.tensor(batch.values)

    found.append(row("xbatcher, generator, in order", DataLoader(Iterated(), BATCH), told))

    class OfChunks(torch.utils.data.IterableDataset):
        def __iter__(self) -> Any:
            whole = {"batch_dims": {"y": CHUNK, "x": CHUNK}, "concat_input_dims": True}
            for batch in made({}, **whole):
                yield torch.tensor(batch["t"].values)

    name = "xbatcher, generator, a chunk of dask a batch"
    found.append(row(name, DataLoader(OfChunks(), batch_size=None), told))
    print(f"{'Stream / the fastest of xbatcher':>42} {own / max(found):7.1f}")


def read_bytes() -> int:
    """Count the bytes that this process has read."""
    found = re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())
    return int(found[1]) if found else 0


def on_files(folder: Path, repeats: int) -> None:
    """Compare with torchgeo on COGs."""
    paths = sorted(folder.glob("*.tif"))
    print(
        f"\n{len(paths)} COGs of 2048² uint16 in blocks of {CHUNK}², patches of {SIZE}², batches of {BATCH}"
    )
    cat = xpatch.catalog(paths)
    size, before = sum(p.stat().st_size for p in paths), [0]

    def told() -> str:
        return f"{(read_bytes() - before[0]) / size:.2f} times the bytes of the files"

    def split() -> Any:
        before[0] = read_bytes()
        field = cat.patch.field().squeeze(drop=True).rename("t")
        return field.patch.split({"y": SIZE, "x": SIZE})

    # the first walk finds nothing that GDAL remembers, all others do: those of torchgeo, too
    own = row(
        "Stream of a catalog, cold", DataLoader(Stream(split(), BATCH), batch_size=None), told
    )
    for _ in range(repeats):
        row("Stream of a catalog", DataLoader(Stream(split(), BATCH), batch_size=None), told)
    import rioxarray

    def each() -> Any:
        before[0] = read_bytes()
        fields = [rioxarray.open_rasterio(p).squeeze(drop=True).rename("t") for p in paths]
        return xpatch.concat([f.patch.split({"y": SIZE, "x": SIZE}) for f in fields])

    row("Stream of scenes by concat", DataLoader(Stream(each(), BATCH), batch_size=None), told)
    row("Source, shuffled", DataLoader(split().patch.source(), BATCH, shuffle=True), told)
    if not importlib.util.find_spec("torchgeo"):
        print("torchgeo is not installed")
        return
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler, RandomGeoSampler

    data = RasterDataset([str(p) for p in paths])
    found = []
    for sampler in (GridGeoSampler(data, SIZE), RandomGeoSampler(data, SIZE, len(paths) * 1024)):
        loader = DataLoader(data, BATCH, sampler=sampler, collate_fn=stack_samples)
        before[0] = read_bytes()
        found.append(row(f"torchgeo, {type(sampler).__name__}", loader, told))
    print(f"{'Stream / the fastest of torchgeo':>42} {own / max(found):7.1f}")


def made(folder: Path) -> None:
    """Write the files."""
    random = np.random.default_rng(0)
    values = random.integers(0, 3000, (SIDE, SIDE)).astype("f4")
    field = xr.DataArray(values, dims=("y", "x"), name="t")
    encoding = {"t": {"chunks": (CHUNK, CHUNK)}}
    field.to_dataset().to_zarr(folder / "a.zarr", encoding=encoding, consolidated=False)
    for k in range(4):
        profile = {"driver": "COG", "width": 2048, "height": 2048, "count": 1, "dtype": "uint16"}
        profile |= {"crs": CRS, "blocksize": CHUNK, "compress": "deflate", "overviews": "none"}
        left, top = 600000 + 20480 * (k % 2), 5200000 - 20480 * (k // 2)
        transform = rasterio.Affine(10, 0, left, 0, -10, top)
        with rasterio.open(folder / f"{k}.tif", "w", transform=transform, **profile) as file:
            file.write(random.integers(0, 3000, (1, 2048, 2048)).astype("u2"))


def main(repeats: int = 2) -> None:
    """Print all."""
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}, zarr {zarr.__version__}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(folder)
        for step in (SIZE, SIZE // 2):
            on_zarr(folder, step, repeats)
        on_files(folder, repeats)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
