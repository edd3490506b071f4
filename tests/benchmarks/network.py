"""Benchmark of a network on a large field: what `apply` adds to the network, and how much memory it takes.

``python -m tests.benchmarks.network [SIDE]`` writes a field of SIDE² cells and 4 bands to zarr, and runs a small UNet
on it by `apply`, from disk and on dask, and by a loop over patches of an array in memory, each in a process of its own.
"""

from __future__ import annotations

import json
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
from tests.benchmarks.large import peak_memory

# in larger batches the arrays between layers are mapped anew each time, which blurs what is compared
SIZE, STEP, BATCH, CLASSES = 256, 256, 2, 5
AXES: dict[str, Any] = {
    "geometry": {"y": SIZE, "x": SIZE},
    "sampler": xpatch.RegularStride(STEP),
}
HOW = ("bare", "loop", "disk", "dask")


def unet() -> Any:
    """Give a network of three levels, 16, 32 and 64 channels, with weights that are always the same."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    def twice(a: int, b: int) -> nn.Module:
        layers = [
            nn.Conv2d(a, b, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(b, b, 3, padding=1),
            nn.ReLU(),
        ]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList([twice(4, 16), twice(16, 32), twice(32, 64)])
            self.up = nn.ModuleList([twice(96, 32), twice(48, 16)])
            self.head = nn.Conv2d(16, CLASSES, 1)

        def forward(self, x: Any) -> Any:
            x = x / 10_000
            skips = []
            for k, level in enumerate(self.down):
                x = level(x if k == 0 else nn.functional.max_pool2d(x, 2))
                skips.append(x)
            for level, skip in zip(self.up, skips[-2::-1], strict=True):
                x = level(torch.cat([nn.functional.interpolate(x, scale_factor=2), skip], 1))
            return self.head(x).argmax(1).to(torch.uint8)

    return UNet().eval()


def write(side: int, store: str) -> None:
    """Write a field with structures of many sizes, chunk by chunk."""
    import dask.array as da

    def part(block: Any, block_info: Any = None) -> Any:
        at = block_info[None]["array-location"]
        band, y, x = (np.arange(*span, dtype="f4") for span in at)
        waves = np.sin(y[:, None] / 37) * np.cos(x / 53) + np.sin((y[:, None] + x) / 11)
        noise = np.random.default_rng(at[1][0] * side + at[2][0]).random((len(y), len(x)), "f4")
        return (2500 + 800 * (waves + noise) + 300 * band[:, None, None]).astype("u2")

    values = da.zeros((4, side, side), chunks=(4, 1024, 1024), dtype="u2").map_blocks(
        part, dtype="u2"
    )
    labels = np.arange(float(side))
    coords = {"band": list("rgbn"), "y": labels, "x": labels}
    xr.DataArray(values, coords, ("band", "y", "x"), name="t").to_zarr(store)


class Timed:
    """Counts the seconds of processors that a network takes, which other processes do not change, and its batches."""

    def __init__(self, net: Any):
        self.net, self.seconds, self.sizes = net, 0.0, []

    def __call__(self, batch: Any) -> Any:
        from xpatch.run.network import Network

        start = time.process_time()
        out = Network(self.net)(batch)
        self.seconds += time.process_time() - start
        self.sizes.append(batch.sizes["patch"])
        return out


def case(how: str, store: str, out: str) -> dict[str, float]:
    """Run one case in this process."""
    import torch

    warnings.simplefilter("ignore")
    net = unet()
    timed = Timed(net)
    field = xr.open_dataset(store, engine="zarr", chunks=None if how != "dask" else {})["t"]
    side = field.sizes["y"]
    before = peak_memory()
    start, busy = time.perf_counter(), time.process_time()
    if how == "bare":
        with torch.no_grad():
            batch = torch.zeros(BATCH, 4, SIZE, SIZE)
            for _ in range((side // SIZE) ** 2 // BATCH):
                net(batch)
        labels = None
    elif how == "loop":
        labels = loop(net, field.values)
    else:
        options = {"output_dims": ("patch", "y", "x"), "aggregation": "mode", "batch_size": BATCH}
        merged = field.patch.apply(timed, **options, **AXES)
        labels = merged.compute(scheduler="synchronous").values
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    if labels is not None:
        np.save(out, labels)
    return {
        "seconds": seconds,
        "busy": busy,
        "network": timed.seconds or busy,
        "peak": (peak_memory() - before) / 2**20,
        "full": float(all(n == BATCH for n in timed.sizes[1:])),
    }


def loop(net: Any, values: Any) -> Any:
    """Give the labels by two loops over tiles, which do not overlap."""
    import torch

    out = np.empty(values.shape[1:], "u1")
    with torch.no_grad():
        for y in range(0, out.shape[0], SIZE):
            for x in range(0, out.shape[1], SIZE):
                tile = values[None, :, y : y + SIZE, x : x + SIZE].astype("f4")
                out[y : y + SIZE, x : x + SIZE] = net(torch.from_numpy(tile))[0]
    return out


def main(side: int) -> None:
    """Run all cases and print what they take."""
    module = [sys.executable, "-m", "tests.benchmarks.network"]
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "in.zarr")
        subprocess.run([*module, "write", str(side), store], check=True)
        print(f"UNet on {side}² × 4 uint16 from zarr, patches {SIZE}/{STEP}, batches of {BATCH}")
        print(
            f"{'':>6} {'all s':>8} {'CPU s':>8} {'network CPU s':>14} {'added':>7} {'peak GiB':>9} {'cells that differ':>18}"
        )
        known = None
        for how in HOW:
            out = str(Path(folder) / f"{how}.npy")
            done = subprocess.run(
                [*module, how, store, out], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            labels = None if how == "bare" else np.load(out)
            known = labels if how == "loop" else known
            differ = "" if labels is None else int((labels != known).sum())
            added = found["busy"] / found["network"] - 1
            print(
                f"{how:>6} {found['seconds']:8.1f} {found['busy']:8.1f} {found['network']:14.1f} {added:7.1%} "
                f"{found['peak']:9.2f} "
                f"{differ:>18}",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) < 4:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 6144)
    elif sys.argv[1] == "write":
        write(int(sys.argv[2]), sys.argv[3])
    else:
        print(json.dumps(case(*sys.argv[1:])))
