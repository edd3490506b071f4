"""Benchmark of catalogs: ``python -m tests.benchmarks.catalogs``.

Files of two zones as one field, beside what would be run without xpatch: `rasterio.merge`, `odc.stac.load`
and torchgeo's index, where these are installed. Values first: the share of cells that depend on who reads,
and the error to the truth that all files show.
"""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.merge import merge
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

import xpatch
from tests.benchmarks.measure import ratio, timed, traced
from tests.catalog_files import DAYS, centers, scenes, truth
from xpatch.catalogs import handles

CRS, STEP = "EPSG:32632", 10.0
SIZE = 800


def field_of(cat: Any, resampling: str, **words: Any) -> Any:
    """Give the files as a field in one zone."""
    return cat.patch.field(crs=CRS, resolution=STEP, resampling=resampling, **words)


def views(cat: Any, day: str, resampling: str) -> list[Any]:
    """Warp each file to the grid, as it is done by hand."""
    found = []
    for href in [h for h in cat.href if day in h]:
        file = rasterio.open(href)
        left, bottom, right, top = transform_bounds(file.crs, CRS, *file.bounds, densify_pts=99)
        x0, x1 = np.floor(left / STEP), np.ceil(right / STEP)
        y0, y1 = np.floor(bottom / STEP), np.ceil(top / STEP)
        found.append(
            WarpedVRT(
                file,
                crs=CRS,
                transform=Affine(STEP, 0, x0 * STEP, 0, -STEP, y1 * STEP),
                width=int(x1 - x0),
                height=int(y1 - y0),
                resampling=Resampling[resampling],
                XSCALE="1",
                YSCALE="1",
            )
        )
    return found


def cold(field: Any) -> Any:
    """Read the field with no file open, and so nothing warped that GDAL remembers."""
    held = getattr(handles._here, "files", {})
    while held:
        held.popitem()[1].close()
    return field.copy(deep=False).values


def merged(cat: Any, bounds: Any, resampling: str) -> Any:
    """Give the same mosaics by rasterio."""
    words = {"bounds": bounds, "res": STEP, "nodata": -9999}
    return np.stack([merge(views(cat, day, resampling), **words)[0] for day in DAYS])


def bounds_of(field: Any) -> tuple[float, float, float, float]:
    """Give the outer edges."""
    x, y = field.x.values, field.y.values
    return x[0] - STEP / 2, y[-1] - STEP / 2, x[-1] + STEP / 2, y[0] + STEP / 2


def speed(cat: Any, repeats: int) -> None:
    """Print ratios to `rasterio.merge` of the whole field, and seconds of patches."""
    print(f"\n{len(cat)} files of {SIZE}² in 2 zones, float32; the field / rasterio.merge")
    for resampling in ("nearest", "bilinear", "cubic"):
        field = field_of(cat, resampling)
        bounds = bounds_of(field)
        found = ratio(
            lambda f=field: cold(f),
            lambda b=bounds, r=resampling: merged(cat, b, r),
            repeats,
        )
        theirs = merged(cat, bounds, resampling)
        theirs = np.where(theirs == -9999, np.nan, theirs)
        other = (~np.isclose(field.values, theirs, rtol=0, atol=0, equal_nan=True)).sum()
        print(f"{resampling:>10} {found:6.2f}   {other} of {theirs.size} cells differ", flush=True)
    own = cat[cat["proj:code"] == CRS]
    field = own.patch.field()
    bounds = bounds_of(field)
    found = ratio(lambda: cold(field), lambda: merged(own, bounds, "nearest"), repeats)
    print(f"{'own cells':>10} {found:6.2f}")


def planned(cat: Any) -> None:
    """Print how long it takes to plan, and what that needs."""
    europe = {"crs": 3035, "resolution": 10, "bounds": (2e6, 1e6, 7e6, 6e6), "time": None}
    many = 50_000
    random = np.random.default_rng(0)
    rows = cat.iloc[np.zeros(many, int)].reset_index(drop=True)
    lon, lat = random.uniform(-5, 25, many), random.uniform(38, 60, many)
    zones = (32601 + np.floor((lon + 180) / 6)).astype(int)
    corners = np.empty((many, 2))
    for zone in np.unique(zones):
        there = zones == zone
        move = pyproj.Transformer.from_crs(4326, int(zone), always_xy=True).transform
        corners[there] = np.stack(move(lon[there], lat[there]), axis=-1) // 10 * 10
    rows["href"] = [f"{k}.tif" for k in range(many)]
    rows["proj:code"] = [f"EPSG:{z}" for z in zones]
    rows["proj:transform"] = [[10.0, 0.0, x, 0.0, -10.0, y] for x, y in corners.tolist()]
    print("\nall of Europe at 10 m, 2.5e11 cells, patches of 256²")
    for name, table in ((f"{len(cat)} files", cat), (f"{many:,} files of {SIZE}²", rows)):
        seconds = timed(lambda t=table: t.patch.split({"y": 256, "x": 256}, **europe))
        peak, patches = traced(lambda t=table: t.patch.split({"y": 256, "x": 256}, **europe))
        count = patches.sizes["patch"]
        print(f"{name:>24}: {count:,} patches in {seconds:.2f} s, {peak / 1e9:.2f} GB")
    whole = rows.patch.field(**europe)
    seconds = timed(lambda: whole.patch.split({"y": 256, "x": 256}))
    print(
        f"{'the whole grid':>24}: {whole.patch.split({'y': 256, 'x': 256}).sizes['patch']:,} patches in {seconds:.2f} s"
    )


def dependent(cat: Any) -> None:
    """Print the share of cells of 256² windows that depend on who reads them, and errors to the truth."""
    print(
        "\nbilinear: cells that differ between windows of 256² and the whole, and error to the truth"
    )
    field = field_of(cat, "bilinear")
    bounds, values = bounds_of(field), field.values[0, 0]
    lon, lat = centers(Affine(STEP, 0, bounds[0], 0, -STEP, bounds[3]), values.shape, CRS)
    right = truth(lon, lat)
    windows = [
        (r, c) for r in range(0, values.shape[0], 250) for c in range(0, values.shape[1], 250)
    ]

    def told(name: str, whole: Any, part: Any) -> None:
        other = total = 0
        for r, c in windows:
            inside = whole[r : r + 256, c : c + 256]
            own = part(r, c, *inside.shape)
            there = np.isfinite(inside) | np.isfinite(own)
            other += int((there & ~((inside == own) | (np.isnan(inside) & np.isnan(own)))).sum())
            total += int(there.sum())
        wrong = np.abs(whole - right)
        error = np.sqrt(np.nanmean(wrong**2))
        print(f"{name:>24}: {100 * other / total:5.1f} %   rmse {error:.4f}", flush=True)

    told("xpatch", values, lambda r, c, h, w: field[0, 0, r : r + h, c : c + w].values)
    day = [h for h in cat.href if DAYS[0] in h]
    told("a VRT a window", *by_windows(day, bounds, values.shape))
    if importlib.util.find_spec("odc") and importlib.util.find_spec("pystac"):
        told("odc.stac.load", *by_odc(day, bounds, values.shape))
    else:
        print("odc-stac is not installed")
    if importlib.util.find_spec("torchgeo"):
        told("torchgeo", *by_torchgeo(day, bounds, values.shape))
    else:
        print("torchgeo is not installed")


def by_windows(day: list[str], bounds: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
    """Read the whole, and windows, by a new warped view for each."""

    def part(r: int, c: int, h: int, w: int) -> Any:
        out = np.full((h, w), np.nan, "f4")
        for href in day:
            with rasterio.open(href) as file:
                transform = Affine(STEP, 0, bounds[0] + c * STEP, 0, -STEP, bounds[3] - r * STEP)
                words = {"crs": CRS, "transform": transform, "width": w, "height": h}
                with WarpedVRT(file, resampling=Resampling.bilinear, **words) as view:
                    read = view.read(1, window=Window(0, 0, w, h))
            read = np.where(read == -9999, np.nan, read)
            out = np.where(np.isnan(out), read, out)
        return out

    return part(0, 0, *shape), part


def by_odc(day: list[str], bounds: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
    """Read the whole, and windows, by `odc.stac`."""
    from odc.geo.geobox import GeoBox
    from odc.stac import load

    items = [item_of(href) for href in day]
    words = {"bands": ["data"], "resampling": "bilinear", "groupby": "solar_day"}

    def read(transform: Affine, h: int, w: int) -> Any:
        box = GeoBox((h, w), transform, CRS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load(items, geobox=box, **words)["data"].values[0]
        return np.where(found == -9999, np.nan, found)

    def part(r: int, c: int, h: int, w: int) -> Any:
        return read(Affine(STEP, 0, bounds[0] + c * STEP, 0, -STEP, bounds[3] - r * STEP), h, w)

    return part(0, 0, *shape), part


def item_of(href: str) -> Any:
    """Describe a file as an item of STAC."""
    import pystac
    import shapely

    with rasterio.open(href) as file:
        outline = shapely.box(*transform_bounds(file.crs, 4326, *file.bounds, densify_pts=21))
        properties = {
            "proj:code": str(file.crs),
            "proj:shape": list(file.shape),
            "proj:transform": list(file.transform)[:6],
        }
    date = pd.Timestamp(Path(href).stem[-8:]).to_pydatetime()
    item = pystac.Item(
        Path(href).stem, shapely.geometry.mapping(outline), outline.bounds, date, properties
    )
    bands = [{"data_type": "float32", "nodata": -9999}]
    media = "image/tiff; application=geotiff"
    item.add_asset(
        "data",
        pystac.Asset(href, media_type=media, roles=["data"], extra_fields={"raster:bands": bands}),
    )
    return item


def by_torchgeo(day: list[str], bounds: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
    """Read the whole, and windows, by a dataset of torchgeo."""
    from torchgeo.datasets import RasterDataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = RasterDataset(day, crs=rasterio.CRS.from_string(CRS), res=(STEP, STEP))

    def part(r: int, c: int, h: int, w: int) -> Any:
        left, top = bounds[0] + c * STEP, bounds[3] - r * STEP
        out = np.full((h, w), np.nan, "f4")
        try:
            found = data[left : left + w * STEP, top - h * STEP : top]["image"].numpy()[0]
        except IndexError:  # no file is there
            return out
        part = out[: found.shape[0], : found.shape[1]]
        part[...] = np.where(found == -9999, np.nan, found)[: part.shape[0], : part.shape[1]]
        return np.where(out == 0, np.nan, out)

    return part(0, 0, *shape), part


def main(repeats: int = 3) -> None:
    """Print all."""
    with tempfile.TemporaryDirectory() as folder:
        scenes(
            Path(folder), tiles=3, size=SIZE, lap=60, nodata=-9999.0, blockxsize=256, blockysize=256
        )
        cat = xpatch.catalog(Path(folder) / "*.tif", time=r"_(\d{8})\.tif")
        speed(cat, repeats)
        dependent(cat)
        planned(cat)


if __name__ == "__main__":
    main()
