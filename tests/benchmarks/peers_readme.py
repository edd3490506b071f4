"""The README's table of tools, each run on one small field: ``python -m tests.benchmarks.peers_readme``.

A row is printed as it stands in the README, every number of it counted; a tool that is missing prints "not installed".
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import rioxarray  # noqa: F401
import xarray as xr

import xpatch

SIZE, STEP = 16, 8
SIZES = {"y": SIZE, "x": SIZE}
HOLE = {"y": slice(20, 25), "x": slice(40, 50)}
INSIDE = 8 * 100 + 8 + 1  # first value of a patch all of whose cells lie in others too
Cells = tuple[str, str, str, str]
ROWS: dict[str, tuple[str, Callable[[], Cells]]] = {}


def row(package: str, name: str) -> Callable[[Any], Any]:
    """Note a function as the row of a tool: what it gives, borders, NaN, the way back to a field."""
    return lambda function: ROWS.setdefault(name, (package, function))


def field(hole: bool = True) -> xr.DataArray:
    """Give 60 × 100 cells of 10 m, each with a value of its own, and 50 without one."""
    values = np.arange(1, 6001, dtype="f4").reshape(60, 100)
    coords = {"y": 5e6 - 10 * (np.arange(60) + 0.5), "x": 6e5 + 10 * (np.arange(100) + 0.5)}
    whole = xr.DataArray(values, coords, ("y", "x"), name="t").rio.write_crs(32632)
    if hole:
        whole[HOLE] = np.nan
    return whole


def wrong(found: Any, expected: Any) -> int:
    """Count cells that differ."""
    return int((~np.isclose(found, expected, rtol=1e-5, equal_nan=True)).sum())


def unseen(patches: Iterable[Any]) -> int:
    """Count cells of the field that no patch holds."""
    held = np.unique(np.concatenate([np.ravel(p) for p in patches]))
    return int((~np.isin(field(hole=False), held)).sum())


def passed(cut: Callable[[xr.DataArray], Iterable[Any]], each: int) -> str:
    """Tell whether the cells without a value, each of them in so many patches, come out as they are."""
    whole, holed = (sum(int(np.isnan(p).sum()) for p in cut(field(h))) for h in (False, True))
    return "as it is" if holed - whole == 50 * each else f"{holed - whole} cells of patches"


def kept(found: Any) -> list[str]:
    """Tell what of the field came back."""
    like = field()
    parts = {
        "coordinates": found.coords.equals(like.coords),
        "CRS": found.rio.crs == like.rio.crs,
        "dtype": found.dtype == like.dtype,
    }
    return [name for name, same in parts.items() if same]


def spoil(patch: Any) -> Any:
    """Be a model that gives NaN for one patch."""
    return patch * np.nan if float(patch[0, 0]) == INSIDE else patch


@row("xarray", "`rolling.construct(stride=)`")
def _() -> Cells:
    def cut(there: xr.DataArray) -> list[xr.DataArray]:
        return [there.rolling(y=SIZE, x=SIZE).construct(y="j", x="i", stride=STEP)]

    empty = 100 * float(cut(field(hole=False))[0].isnull().mean())
    gives = "a view with window dimensions, no copy; a window ends at its label"
    nan = f"{passed(cut, 4)}, and like the head"
    return gives, f"{empty:.0f} % of it is NaN, at the head", nan, "by hand"


@row("xarray", "`coarsen.construct`")
def _() -> Cells:
    def cut(there: xr.DataArray) -> list[xr.DataArray]:
        tiles = there.coarsen(SIZES, boundary="trim")
        return [tiles.construct({"y": ("y", "j"), "x": ("x", "i")})]

    borders = f"trims ({unseen(cut(field(hole=False))):,} cells), pads or raises"
    back = "by reshaping, where tiles fit"
    return "a reshaped view, no overlap", borders, passed(cut, 1), back


@row("xbatcher", "xbatcher `BatchGenerator`")
def _() -> Cells:
    import xbatcher

    def cut(there: xr.DataArray) -> list[Any]:
        return list(xbatcher.BatchGenerator(there, SIZES, dict.fromkeys("yx", STEP)))

    batches = cut(field(hole=False))
    gives = f"an iterator of {len(batches)} small arrays, with loaders for torch and keras"
    return gives, f"{unseen(batches)} cells are in no batch", passed(cut, 4), "by hand"


@row("dask", "`dask.array.map_overlap`")
def _() -> Cells:
    import dask.array as da

    def cut(there: xr.DataArray) -> list[Any]:
        blocks, halo = da.from_array(there.values, chunks=SIZE), {"depth": STEP, "dtype": "f4"}
        return [da.map_overlap(lambda b: b, blocks, boundary="reflect", **halo).compute()]

    gives = "your function on every chunk and its halo, parallel"
    back = (
        f"a plain array, {wrong(cut(field())[0], field())} cells wrong; neighbors are not blended"
    )
    return gives, "reflect, periodic, nearest, constant", passed(cut, 1), back


@row("geopatcher", "geopatcher `SpatialPatcher`")
def _() -> Cells:
    from geopatcher import SpatialPatcher, fields, spatial

    def run(there: Any, boundary: str, window: Any, model: Any = lambda p: p) -> Any:
        box = spatial.geometry.Rectangular((SIZE, SIZE), boundary=boundary)
        at, mean = spatial.sampler.RegularStride(STEP), spatial.aggregation.OverlapAdd()
        patcher, source = SpatialPatcher(box, at, window, mean), fields.RioXarrayField(there)
        patches = [p.with_data(model(p.data)) for p in patcher.split(source)]
        return patches, patcher.merge_to_xarray(patches, source)

    whole, flat = field(hole=False), spatial.window.Boxcar()
    patches, plain = run(whole, "drop", flat)
    padded, (some, spoilt) = run(whole, "pad", flat)[1], run(whole, "pad", flat, spoil)
    assert sum(int(np.isnan(p.data).sum()) for p in some) == SIZE**2
    assert wrong(padded, whole) == wrong(spoilt, whole) == 0
    hole = run(field(), "pad", flat)[1]
    assert wrong(hole, field()) == 0
    rim = run(whole, "pad", spatial.window.Hann())[1]
    lost = int(rim.isnull().sum())
    assert wrong(rim, whole) == lost
    gives, missed = f"an iterator of {len(patches)} patches", unseen(p.data for p in patches)
    borders = f"{missed} cells are in no patch; or pad, reflect, shrink, raise"
    nan = f"left out of means; {int(hole.isnull().sum())} of 50 cells come back as NaN"
    back = (
        f"`merge_to_xarray`: {', '.join(kept(plain))}; under Hann {lost} cells at the rim are NaN"
    )
    return gives, borders, nan, back


@row("torchgeo", "torchgeo `GridGeoSampler`")
def _() -> Cells:
    from torchgeo.datasets import RasterDataset
    from torchgeo.samplers import GridGeoSampler

    def cut(there: xr.DataArray) -> list[Any]:
        with tempfile.TemporaryDirectory() as folder:
            there.rio.to_raster(f"{folder}/a.tif")
            data = RasterDataset([f"{folder}/a.tif"])
            return [data[box]["image"].numpy() for box in GridGeoSampler(data, SIZE, STEP)]

    chips = cut(field(hole=False))
    assert unseen(chips) == 0
    gives = f"{len(chips)} dicts of tensors, from files, with bounds and CRS"
    beyond = 100 * np.mean([chip == 0 for chip in chips])
    borders = f"the last chips reach out: {beyond:.0f} % of all cells are 0, or nodata"
    return gives, borders, passed(cut, 4), "by hand"


@row("monai", "MONAI `sliding_window_inference`")
def _() -> Cells:
    import torch
    from monai.inferers import sliding_window_inference

    def run(there: xr.DataArray, model: Any) -> Any:
        values = torch.from_numpy(there.values[None, None].copy())
        each = lambda batch: torch.stack([model(p[0])[None] for p in batch])  # noqa: E731
        return sliding_window_inference(values, SIZE, 4, each, 0.5, "gaussian")[0, 0].numpy()

    seen: list[Any] = []
    same = run(field(hole=False), lambda p: seen.append(p.numpy()) or p)
    assert unseen(seen) == 0
    assert wrong(run(field(), lambda p: p), field()) == 0
    spoilt = int(np.isnan(run(field(hole=False), spoil)).sum())
    back = f"a tensor, {wrong(same, field(hole=False))} cells wrong; flat or Gaussian weights"
    gives = f"your network on {len(seen)} patches of a tensor"
    nan = f"as it is; an output of NaN takes all its {spoilt} cells"
    return gives, "the last patches move in", nan, back


@row("xpatch", "xpatch")
def _() -> Cells:
    box: Any = {"geometry": SIZES, "sampler": xpatch.RegularStride(STEP)}
    there, whole, hann = field(), field(hole=False), xpatch.OverlapAdd("hann")
    patches, some = whole.patch.split(**box), there.patch.split(**box)
    spoilt = patches.where(patches.isel(y=0, x=0, drop=True) != INSIDE)
    assert int(spoilt.isnull().sum()) == SIZE**2
    assert unseen([patches]) == 0
    assert wrong(spoilt.patch.merge(hann), whole) == 0
    order = np.random.default_rng(0).permutation(some.sizes["patch"])
    back = some.isel(patch=order).patch.merge(hann)
    gives = f"one xarray object of {some.sizes['patch']} patches"
    nan = f"left out of means; {int(back.isnull().sum())} of 50 cells come back as NaN"
    end = f"`merge`: {', '.join(kept(back))}; {wrong(back, there)} cells wrong, in any order"
    return gives, "the last patches move in; or pad, wrap, drop, raise", nan, end


def release(package: str) -> str:
    """Give the version of a package, also of one that was not installed but put on the path."""
    try:
        return version({"xpatch": "xarray-patch"}.get(package, package))
    except PackageNotFoundError:
        return str(getattr(importlib.import_module(package), "__version__", "of unknown version"))


def table() -> list[str]:
    """Give the lines of the table."""
    lines = ["| | gives | borders | NaN | back to a field |", "|---|---|---|---|---|"]
    for name, (package, cells) in ROWS.items():
        here = importlib.util.find_spec(package)
        lines += [f"| {' | '.join((name, *cells()))} |" if here else f"| {name} | not installed |"]
    return lines


def main() -> None:
    """Print versions and rows."""
    packages = dict.fromkeys(package for package, _ in ROWS.values())
    print(", ".join(f"{p} {release(p)}" for p in packages if importlib.util.find_spec(p)))
    print("\n".join(table()))


if __name__ == "__main__":
    main()
