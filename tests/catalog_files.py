"""Small rasters in several zones of UTM, cut from an analytic truth, for tests of catalogs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from affine import Affine

BORDER = 12.0  # degrees east: between the zones 32 and 33
DAYS = ("20240601", "20240611")


def truth(lon: Any, lat: Any, day: int = 0, band: int = 0) -> Any:
    """Give the field that all files show: waves of some 500 m, brighter by day and band."""
    waves = 50 * np.sin(np.deg2rad(lon * 40000)) * np.cos(np.deg2rad(lat * 35000))
    return 100 + waves + 10 * day + 3 * band


def write(
    path: Path | str,
    values: Any,
    transform: Affine,
    crs: Any,
    *,
    nodata: float | None = None,
    overviews: Sequence[int] = (),
    mask: Any = None,
    alpha: Any = None,
    names: Sequence[str] = (),
    **words: Any,
) -> str:
    """Write values (band, row, column) as a tiled GeoTIFF."""
    values = np.asarray(values)
    if alpha is not None:
        values = np.concatenate([values, np.asarray(alpha, values.dtype)[None]])
    count, height, width = values.shape
    words = {"blockxsize": 64, "blockysize": 64, "tiled": True, **words}
    words |= {} if alpha is None else {"alpha": "YES"}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=count,
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
        **words,
    ) as file:
        file.write(values)
        if mask is not None:
            file.write_mask(mask)
        for k, name in enumerate(names):
            file.set_band_description(k + 1, name)
        if overviews:
            file.build_overviews(list(overviews), rasterio.enums.Resampling.average)
    return str(path)


def centers(transform: Affine, shape: tuple[int, int], crs: Any) -> tuple[Any, Any]:
    """Give longitude and latitude of the centers of cells."""
    column, row = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    x, y = transform @ (column, row)
    return pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)


def zone_start(zone: int, size: int, resolution: float) -> tuple[float, float]:
    """Give the upper left corner of the tiles of a zone: those of 32 end east of the border, 33 begins west of it."""
    x, y = pyproj.Transformer.from_crs(4326, 32600 + zone, always_xy=True).transform(BORDER, 46.5)
    west = x - (1.7 * size if zone == 32 else 0.3 * size) * resolution
    return np.floor(west / resolution) * resolution, np.floor(y / resolution) * resolution


def scenes(
    folder: Path,
    *,
    zones: Sequence[int] = (32, 33),
    days: Sequence[str] = DAYS,
    tiles: int = 2,
    size: int = 150,
    resolution: float = 10.0,
    lap: int = 20,
    bands: int = 1,
    dtype: str = "float32",
    nodata: float | None = None,
    overviews: Sequence[int] = (),
    hole: bool = False,
    **words: Any,
) -> list[str]:
    """Write tiles × tiles files a zone and day, which overlap by some cells, on both sides of a border of zones."""
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for zone, (d, day) in itertools.product(zones, enumerate(days)):
        x0, y0 = zone_start(zone, size, resolution)
        for i, j in itertools.product(range(tiles), repeat=2):
            step = (size - lap) * resolution
            transform = Affine(resolution, 0, x0 + j * step, 0, -resolution, y0 - i * step)
            lon, lat = centers(transform, (size, size), f"EPSG:{32600 + zone}")
            values = np.stack([truth(lon, lat, d, b) for b in range(bands)])
            values = np.rint(values) if np.dtype(dtype).kind in "iu" else values
            if hole:
                values[:, : size // 8, : size // 8] = np.nan if nodata is None else nodata
            path = folder / f"T{zone}_{i}{j}_{day}.tif"
            args = (path, values.astype(dtype), transform, f"EPSG:{32600 + zone}")
            out.append(write(*args, nodata=nodata, overviews=overviews, **words))
    return sorted(out)


def counting(monkeypatch: Any) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Record which cells are read of which file from now on."""
    from xpatch.catalogs.warping import View

    found: list[tuple[str, tuple[int, int, int, int]]] = []
    plain = View.read

    def read(self: View, bands: Any, cells: Any) -> Any:
        found.append((self.scene.href, cells))
        return plain(self, bands, cells)

    monkeypatch.setattr(View, "read", read)
    return found
