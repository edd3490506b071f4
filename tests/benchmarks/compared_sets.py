"""Sets, draws, files and times that are cut by xpatch, torchgeo, MONAI and xbatcher; see `comparison`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import torch
import xarray as xr

import xpatch
from tests.benchmarks.compared import SIZE, row, scene

HALF: Any = {"geometry": {"y": SIZE, "x": SIZE}, "sampler": xpatch.RegularStride(SIZE // 2)}
SHARES = {"train": 0.8, "test": 0.2}
LEAK = "patches of the test that share cells with one to train on: a scene of 1024², patches 64 every 32"
FIVE = "the same of five scenes of 512² that overlap by a tenth"
RARE = "cells of a class of 1 %, in 400 draws"
NODATA = "draws with a cell of nodata, in a scene of which a quarter is"
ZONES = "files in two UTM zones: CRS of the patches, cells as they are stored"
TIFF = "a GeoTIFF of 4 bands of uint16"
TIME = "windows of 10 days, of days without those of June: windows that span more"


def leaks(train: Any, test: Any) -> str:
    """Count rectangles that share an area with others."""
    tree = shapely.STRtree(shapely.buffer(train, -1))  # borders are no area
    hit = np.unique(tree.query(shapely.buffer(test, -1), predicate="intersects")[0])
    return f"{len(hit)} of {len(test)}"


def outlines(patches: Any) -> Any:
    """Give the rectangles of patches."""
    x, y = patches["x"].values, patches["y"].values
    return shapely.box(x.min(1) - 5, y.min(1) - 5, x.max(1) + 5, y.max(1) + 5)


def five(bands: int = 1) -> list[xr.DataArray]:
    """Give scenes side by side that overlap."""
    return [scene(512, 512, bands, 600_000 + 4600 * k) for k in range(5)]


@contextlib.contextmanager
def files(fields: list[xr.DataArray]) -> Iterator[Any]:
    """Write fields, and give the dataset of torchgeo."""
    from torchgeo.datasets import RasterDataset

    with tempfile.TemporaryDirectory() as folder:
        for k, field in enumerate(fields):
            field.rio.to_raster(f"{folder}/{k}.tif")
        yield RasterDataset(sorted(map(str, Path(folder).glob("*.tif"))))


def split_of_torchgeo(fields: list[xr.DataArray], how: str, sampler: str = "Grid") -> str:
    """Divide by a function of torchgeo, and count the leaks of chips."""
    from torchgeo import samplers
    from torchgeo.datasets import splits

    seed = torch.Generator().manual_seed(0)
    with files(fields) as data:
        sets = getattr(splits, how)(data, list(SHARES.values()), generator=seed)
        at: dict[str, Any] = {"stride": SIZE // 2} if sampler == "Grid" else {"generator": seed}
        cut = [getattr(samplers, f"{sampler}GeoSampler")(part, SIZE, **at) for part in sets]
        return leaks(
            *[
                shapely.box(*np.transpose([(x.start, y.start, x.stop, y.stop) for x, y, _ in c]))
                for c in cut
            ]
        )


def own(fields: list[xr.DataArray], random: bool = False) -> str:
    """Divide by `sets`, or at random."""
    patches = xpatch.concat([f.patch.split(**HALF) for f in fields])
    sets = patches.patch.sets(SHARES, block=256).values
    if random:
        sets = np.random.default_rng(0).choice([*SHARES], sets.size, p=[*SHARES.values()])
    left = f", {(sets == '').mean():.0%} of the patches left out" if "" in sets else ""
    return leaks(*(outlines(patches.isel(patch=sets == n)) for n in SHARES)) + left


row(LEAK, "torch, at random")(lambda: own([scene(1024, 1024, 1)], random=True))
row(LEAK, "xpatch sets, blocks of 256")(lambda: own([scene(1024, 1024, 1)]))
for name in ("Grid", "Random"):
    row(LEAK, f"torchgeo random_grid_cell_assignment, {name}GeoSampler")(
        lambda name=name: split_of_torchgeo(
            [scene(1024, 1024, 1)], "random_grid_cell_assignment", name
        )
    )
row(FIVE, "xpatch sets, blocks of 256")(lambda: own(five()))
for name in ("random_grid_cell_assignment", "random_bbox_assignment"):
    row(FIVE, f"torchgeo {name}, RandomGeoSampler")(
        lambda name=name: split_of_torchgeo(five(), name, "Random")
    )


def rare() -> xr.DataArray:
    """Give labels of which 1 % are 1, in 8 squares."""
    labels = xr.zeros_like(scene(1024, 1024, 1).squeeze(drop=True))
    for y, x in np.random.default_rng(1).integers(100, 900, (8, 2)):
        labels[y : y + 36, x : x + 36] = 1
    return labels


def drawn(sampler: Any) -> str:
    """Give the share of the rare class in the patches of a sampler."""
    return f"{float(rare().patch.split(SIZE, sampler=sampler).mean()):.1%}"


row(RARE, "xpatch Random")(lambda: drawn(xpatch.Random(400, seed=0)))
row(RARE, "xpatch ByClass")(lambda: drawn(xpatch.ByClass(400, rare().astype(int), seed=0)))


@row(RARE, "monai RandCropByLabelClasses")
def _() -> str:
    from monai.transforms import RandCropByLabelClasses

    labels = torch.from_numpy(rare().values[None])
    crop = RandCropByLabelClasses(SIZE, num_classes=2, num_samples=400).set_random_state(0)
    return f"{float(torch.stack(crop(labels, labels)).mean()):.1%}"


def random_chips(field: xr.DataArray) -> torch.Tensor:
    """Give the chips of torchgeo's random sampler."""
    from torchgeo.samplers import RandomGeoSampler

    with files([field]) as data:
        seed = torch.Generator().manual_seed(0)
        return torch.stack(
            [data[b]["image"] for b in RandomGeoSampler(data, SIZE, 400, generator=seed)]
        )


row(RARE, "torchgeo RandomGeoSampler")(lambda: f"{float(random_chips(rare()).mean()):.1%}")


def holed() -> xr.DataArray:
    """Give a scene with a corner of nodata."""
    field = scene(1024, 1024, 1)
    inside = (field["x"] < field["x"][512]) & (field["y"] < field["y"][512])
    return field.where(~inside).rio.write_nodata(np.nan)


@row(NODATA, "xpatch Valid(Random)")
def _() -> str:
    chips = holed().patch.split(HALF["geometry"], sampler=xpatch.Valid(xpatch.Random(400, seed=0)))
    return f"{int(chips.isnull().any(('band', 'y', 'x')).sum())} of {chips.sizes['patch']}"


@row(NODATA, "torchgeo RandomGeoSampler")
def _() -> str:
    return f"{int(random_chips(holed()).isnan().any(-1).any(-1).any(-1).sum())} of 400"


def two_zones() -> list[xr.DataArray]:
    """Give scenes in two zones."""
    west, east = scene(512, 512, 1), scene(512, 512, 1, 300_000)
    return [west, east.rio.write_crs(32633)]


@row(ZONES, "xpatch concat")
def _() -> str:
    cut = xpatch.concat([f.patch.split({"y": SIZE, "x": SIZE}) for f in two_zones()])
    one = [cut.isel(patch=cut["scene"].values == k).patch.merge() for k in (0, 1)]
    same = all(np.array_equal(a, b) for a, b in zip(one, two_zones(), strict=True))
    return f"{[m.rio.crs.to_epsg() for m in one]}, {'as stored' if same else 'not as stored'}"


@row(ZONES, "torchgeo RasterDataset")
def _() -> str:
    from torchgeo.samplers import GridGeoSampler

    with files(two_zones()) as data:
        chips = [data[b]["image"] for b in GridGeoSampler(data, SIZE)]
        cells = sum(c.numel() for c in chips)
        empty = sum(int((c == 0).sum()) for c in chips)
        return f"{data.crs.to_epsg()} for both, warped to it on reading; {empty / cells:.0%} of the cells are 0"


@row(TIFF, "monai LoadImage")
def _() -> str:
    from monai.transforms import LoadImage

    with tempfile.TemporaryDirectory() as folder:
        scene(40, 50).astype("u2").rio.to_raster(f"{folder}/a.tif")
        try:
            return f"{tuple(LoadImage()(f'{folder}/a.tif').shape)}"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:48]}"


def days() -> xr.DataArray:
    """Give three years without their Junes."""
    time = np.arange("2001-01-01", "2004-01-01", dtype="M8[D]").astype("M8[ns]")
    record = xr.DataArray(np.arange(len(time)), {"time": time}, ("time",), name="t")
    return record[record["time.month"] != 6]


@row(TIME, "xpatch FixedLookback('10D')")
def _() -> str:
    cut = days().patch.split(xpatch.TimePatcher(xpatch.FixedLookback("10D")))
    first = np.sort(cut.values.reshape(cut.sizes["patch"], -1), 1)
    return f"{int((np.nanmax(first, 1) - np.nanmin(first, 1) > 9).sum())} of {len(first)}"


@row(TIME, "xbatcher")
def _() -> str:
    import xbatcher

    spans = [
        int(b.max() - b.min()) for b in xbatcher.BatchGenerator(days(), {"time": 10}, {"time": 9})
    ]
    return f"{sum(s > 9 for s in spans)} of {len(spans)}"
