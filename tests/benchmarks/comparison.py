"""What torchgeo, MONAI and xbatcher do with the same patches: ``python -m tests.benchmarks.comparison``.

Each line is something that can be counted, for each tool that has a way to do it; docs/howto/comparison.md is written
from it; the table of the README comes first. `pip install 'xarray-patch[bench]'`; a tool that is missing prints "not
installed". ``… comparison rows`` leaves out time and memory.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from typing import Any

import rioxarray
import torch
from torch import nn

import xpatch
from tests.benchmarks import compared_networks, compared_sets, peers_readme  # noqa: F401  rows
from tests.benchmarks.compared import ROWS, row, scene
from tests.benchmarks.large import peak_memory

PACKAGES = ("xpatch", "torch", "torchgeo", "monai", "xbatcher")
LARGE, EVERY, BATCH = 256, 192, 4
HAVE = "what comes along"


@row(HAVE, "torchgeo")
def _() -> str:
    from torchgeo import datasets, models

    weights = sum(
        len(models.get_model_weights(n))
        for n in models.list_models()
        if n in models.api._model_weights
    )
    return f"{weights} sets of weights of {len(models.list_models())} architectures, {len(classes(datasets, torch.utils.data.Dataset))} data sets"


@row(HAVE, "monai")
def _() -> str:
    from monai import losses, metrics, transforms
    from monai.networks import nets

    one_by_one = set(classes(transforms, transforms.Transform)) - set(
        classes(transforms, transforms.MapTransform)
    )
    return (
        f"{len(classes(nets, nn.Module))} networks, {len(one_by_one)} transforms, "
        f"{len(classes(losses, nn.Module))} losses, {len(classes(metrics, metrics.Metric))} metrics"
    )


def classes(module: Any, base: type) -> set[type]:
    """Give the classes of a module that derive from one."""
    return {c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base)}


def wide() -> nn.Module:
    """Give the network whose time is taken."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(4, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(16, 3, 1)).eval()


def cost(how: str, folder: str) -> dict[str, float]:
    """Run a network on a file, and tell seconds of processors and MB that came on top."""
    network, path = wide(), f"{folder}/a.tif"
    if importlib.util.find_spec(how.split(",")[0]):
        importlib.import_module("torchgeo.datasets" if "torchgeo" in how else how.split(",")[0])
    if "monai" in how:
        import monai.inferers  # noqa: F401
    before, start = peak_memory(), time.process_time()
    RUNS[how](network, path)
    busy, peak = time.process_time() - start, peak_memory() - before
    return {"busy": busy, "peak": peak / 1024}


def bare(network: nn.Module, path: str) -> None:
    """Run the network alone, as often as all do."""
    side = rioxarray.open_rasterio(path).sizes["y"]
    n = len(range(0, side - LARGE, EVERY)) + 1
    with torch.no_grad():
        for first in range(0, n * n, BATCH):
            network(torch.zeros(min(BATCH, n * n - first), 4, LARGE, LARGE))


def by_xpatch(network: nn.Module, path: str, to: str = "", chunks: Any = None) -> None:
    """Run `apply`, in memory or written as it goes."""
    field = rioxarray.open_rasterio(path, chunks=chunks).rename("t")
    out = field.patch.apply(
        network,
        geometry={"y": LARGE, "x": LARGE},
        sampler=xpatch.RegularStride(EVERY),
        aggregation=xpatch.OverlapAdd("gaussian"),
        output_dims=compared_networks.CLASSES,
        batch_size=BATCH,
    )
    if to:
        xpatch.write(out, to)


def by_monai(network: nn.Module, path: str) -> None:
    """Run the inferer on the whole file in memory."""
    from monai.inferers import sliding_window_inference

    values = torch.from_numpy(rioxarray.open_rasterio(path).values[None])
    with torch.no_grad():
        sliding_window_inference(values, LARGE, BATCH, network, 0.25, "gaussian")


def by_monai_to_zarr(network: nn.Module, path: str) -> None:
    """Run the inferer that averages in a zarr store."""
    from monai.inferers import PatchInferer, SlidingWindowSplitter, ZarrAvgMerger

    values = torch.from_numpy(rioxarray.open_rasterio(path).values[None])
    store = os.path.join(os.path.dirname(path), "b.zarr")
    infer = PatchInferer(
        SlidingWindowSplitter(LARGE, 0.25), ZarrAvgMerger, batch_size=BATCH, store=store
    )
    with torch.no_grad():
        infer(values, network)


def by_torchgeo(network: nn.Module, path: str) -> None:
    """Run a loop over torchgeo's grid."""
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    data = RasterDataset([path])
    sampler = GridGeoSampler(data, LARGE, EVERY)
    side = rioxarray.open_rasterio(path).sizes["y"]
    total, count = torch.zeros(3, side, side), torch.zeros(side, side)
    left, top = data.index.geometry.iloc[0].bounds[0], data.index.geometry.iloc[0].bounds[3]
    loader = torch.utils.data.DataLoader(data, BATCH, sampler=sampler, collate_fn=stack_samples)
    for batch in loader:
        with torch.no_grad():
            outs = network(batch["image"])
        for out, (x, y, _) in zip(outs, batch["bounds"], strict=True):
            row, column = round((top - y.stop) / 10), round((x.start - left) / 10)
            cut, r = max(0, -row), max(0, row)
            part = out[:, cut : side - row, : side - column]
            total[:, r : row + LARGE, column : column + LARGE] += part
            count[r : row + LARGE, column : column + LARGE] += 1
    total /= count


RUNS: dict[str, Any] = {
    "bare": bare,
    "xpatch": by_xpatch,
    "xpatch, to zarr": lambda n, p: by_xpatch(n, p, f"{p}.zarr", {"y": 1024, "x": 1024}),
    "monai": by_monai,
    "monai, to zarr": by_monai_to_zarr,
    "torchgeo, by hand": by_torchgeo,
}


def costs(side: int) -> None:
    """Print time and memory, each run in a process of its own."""
    print(
        f"\na network on a GeoTIFF of {side}² × 4 float32, patches {LARGE} every {EVERY}, batches of {BATCH}"
    )
    known = None
    for how in RUNS:
        if how != "bare" and not importlib.util.find_spec(how.split(",")[0]):
            print(f"  {how:<24} not installed")
            continue
        busy, peak = run(how, side).values()
        known = known or busy
        print(f"  {how:<24} {busy / known:5.2f} × the network alone, {peak:5.0f} MB", flush=True)


def run(how: str, side: int) -> dict[str, float]:
    """Run one case in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.comparison", "cost", how]
    with tempfile.TemporaryDirectory() as folder:
        blocks = {"tiled": True, "blockxsize": 512, "blockysize": 512}
        scene(side, side).rio.to_raster(f"{folder}/a.tif", **blocks)
        small = os.environ | {"GDAL_CACHEMAX": "64"}  # else it keeps the file, for all of them
        done = subprocess.run(
            [*command, folder], capture_output=True, text=True, check=True, env=small
        )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print all rows."""
    names = {"xpatch": "xarray-patch"}
    here = {p: bool(importlib.util.find_spec(p)) for p in PACKAGES}
    print(
        ", ".join(
            f"{p} {version(names.get(p, p)) if ok else 'not installed'}" for p, ok in here.items()
        )
    )
    print("", *peers_readme.table(), sep="\n")
    for name, cells in ROWS.items():
        print(f"\n{name}")
        for tool, cell in cells.items():
            need = tool.split(",")[0].split()[0]
            print(f"  {tool:<62} {cell() if here[need] else 'not installed'}", flush=True)
    if "rows" not in sys.argv:
        for side in (2048, 4096, 6144):
            costs(side)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["cost"]:
        print(json.dumps(cost(*sys.argv[2:])))
    else:
        main()
