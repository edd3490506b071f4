"""Cells on the grid of a field of what is no file: windows of arrays that are warped block by block.

As of files a cell has one value, whoever asks: each block of a view, counted from its first cell, is
warped from a window that depends on the block only, band by band.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.catalogs.carriers import windows_of
from xpatch.catalogs.footprints import between
from xpatch.catalogs.grid import Cells, Transform, at, cells
from xpatch.catalogs.scenes import CHECKED, check_doubles, valid, warping_words
from xpatch.domain.affine import moved
from xpatch.domain.bounds import read_crs
from xpatch.domain.turns import TURN

BLOCK = 128  # cells along a block of the view
SOURCE = 1024  # cells that a block may take along the raster: what bounds memory
STEPS = 16  # along a block, between which the transformation is nearly linear
RADII = {"nearest": 1, "bilinear": 2, "cubic": 3, "cubic_spline": 3, "lanczos": 4}


def warped(view: Any, bands: Sequence[int], wanted: Cells) -> tuple[NDArray, NDArray[np.bool_]]:
    """Warp cells of a view, counted from its first one: values (band, row, column), and which are there."""
    top, left, bottom, right = wanted
    values = np.zeros((len(bands), bottom - top, right - left), view.scene.dtype)
    there = np.zeros(values.shape, bool)
    parts = [(block, *source) for block in blocks(view, wanted) for source in sources(view, block)]
    windows = windows_of(view.scene, bands, [own for _, own, _ in parts])
    for (block, own, turn), window in zip(parts, windows, strict=True):
        r0, r1 = max(block[0], top), min(block[2], bottom)
        c0, c1 = max(block[1], left), min(block[3], right)
        part = (slice(None), slice(r0 - top, r1 - top), slice(c0 - left, c1 - left))
        rows, columns = slice(r0 - block[0], r1 - block[0]), slice(c0 - block[1], c1 - block[1])
        new, known = (v[:, rows, columns] for v in reprojected(view, window, own, turn, block))
        np.copyto(values[part], new, where=known & ~there[part])
        there[part] |= known
    return values, there


def blocks(view: Any, wanted: Cells) -> Iterator[Cells]:
    """Give the whole blocks of a view in which cells lie."""
    top, left, bottom, right = wanted
    rows, columns = view.shape
    side = max(min(BLOCK, int(SOURCE * min(view.scale))), 1)
    for r in range(top // side * side, bottom, side):
        for c in range(left // side * side, right, side):
            yield r, c, min(r + side, rows), min(c + side, columns)


def sources(view: Any, block: Cells) -> Iterator[tuple[Cells, float]]:
    """Give the cells of the raster that a block is warped from, and by how many degrees they are shifted to the east.

    In degrees a block may take cells on both sides of the seam of a raster around the Earth.
    """
    row, column, around = located(view, *(np.linspace(a, b, STEPS + 1) for a, b in _sides(block)))
    if not np.isfinite(row + column).all():  # the block leaves the area of the CRS, somewhere
        centers = (np.arange(a, b) + 0.5 for a, b in _sides(block))
        row, column, around = located(view, *centers)
    turn = TURN / view.scene.transform[0] if read_crs(view.scene.code).is_geographic else 0.0
    whole = column + around * turn
    margin = 2 + RADII.get(view.resampling, 2) * max(1.0, 1 / min(view.scale))
    reach = margin + max(_step(row), _step(whole)) + _bend(row) + _bend(whole)
    rows, columns = view.scene.shape
    for k in np.unique(around[np.isfinite(whole)]):
        for shift in (-1, 0, 1) if turn else (0,):
            turned = column + shift * turn
            near = (around == k) & (turned > -reach) & (turned < columns + reach)
            near &= (row > -reach) & (row < rows + reach)
            if near.any():
                r0, r1 = _range(row[near], reach, rows)
                c0, c1 = _range(turned[near], reach, columns)
                if r1 > r0 and c1 > c0:
                    yield (r0, c0, r1, c1), shift * TURN


def _sides(block: Cells) -> tuple[tuple[int, int], tuple[int, int]]:
    return (block[0], block[2]), (block[1], block[3])


def _range(found: NDArray, margin: float, length: int) -> tuple[int, int]:
    low = np.clip(np.floor(found.min() - margin), 0, length)
    return int(low), int(np.clip(np.ceil(found.max() + margin), 0, length))


def _step(found: NDArray) -> float:
    steps = [np.abs(np.diff(found, axis=k)) for k in (0, 1)]
    return float(max(v[np.isfinite(v)].max(initial=0.0) for v in steps))


def _bend(found: NDArray) -> float:
    """Bound how far a transformation is from linear between points: an eighth of the bend along each axis."""
    bends = [np.abs(np.diff(found, 2, axis=k)) for k in (0, 1)]
    return float(sum(v[np.isfinite(v)].max(initial=0.0) for v in bends)) / 4  # twice the bound


def located(view: Any, row: NDArray, column: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Give rows and columns of the raster of those of a view, and how often each is further around the Earth."""
    scene = view.scene
    x, y = np.broadcast_arrays(*at(view.transform, row[:, None], column[None, :]))
    transformer, around = between(view.crs, scene.code), np.zeros(x.shape)
    if transformer is not None:
        x, y = transformer.transform(x, y)
        if read_crs(scene.code).is_geographic:
            smooth = np.unwrap(np.unwrap(x, period=TURN, axis=1), period=TURN, axis=0)
            around = np.rint((smooth - x) / TURN)
    return (*cells(scene.transform, x, y), around)


def reprojected(
    view: Any, window: NDArray, own: Cells, turn: float, block: Cells
) -> tuple[NDArray, NDArray[np.bool_]]:
    """Warp a window of the raster to a block: values (band, row, column), and which are there."""
    scene, dtype = view.scene, window.dtype
    nodata = np.nan if scene.nodata is None and dtype.kind == "f" else scene.nodata
    a, b, c, d, e, f = moved(scene.transform, own[0], own[1])
    source = (a, b, c - turn, d, e, f)
    target = moved(view.transform, block[0], block[1])
    shape = (block[2] - block[0], block[3] - block[1])
    wide = np.dtype("f4") if dtype == np.float16 else dtype  # which GDAL has not
    out = np.stack(
        [
            _warp(view, band.astype(wide, copy=False), source, target, shape, nodata)
            for band in window
        ]
    )
    if nodata is not None:
        return out.astype(dtype, copy=False), valid(out, nodata)
    ones = np.ones(window.shape[1:], np.uint8)
    inside = _warp(view, ones, source, target, shape, None) > 0
    return out, np.broadcast_to(inside, out.shape)


def _warp(
    view: Any,
    band: NDArray,
    own: Transform,
    target: Transform,
    shape: tuple[int, int],
    nodata: Any,
) -> NDArray[Any]:
    """Warp as files are warped; `rasterio.warp.reproject` takes no tolerance."""
    import rasterio
    from affine import Affine
    from rasterio.enums import Resampling
    from rasterio.io import MemoryFile
    from rasterio.vrt import WarpedVRT

    (rows, columns), words = shape, warping_words(view.scale)
    words |= {} if nodata is None else {"src_nodata": nodata, "nodata": nodata}
    profile = {"crs": view.scene.code, "transform": Affine(*own), "dtype": band.dtype}
    with rasterio.Env(**CHECKED), MemoryFile() as memory:
        sizes = {"height": band.shape[0], "width": band.shape[1], "count": 1}
        with memory.open(driver="GTiff", **sizes, **profile) as file:
            file.write(band, 1)
        words |= {"height": rows, "width": columns, "resampling": Resampling[view.resampling]}
        with (
            memory.open() as file,
            WarpedVRT(file, crs=view.crs, transform=Affine(*target), **words) as vrt,
        ):
            values = np.asarray(vrt.read(1))
    check_doubles(values, view.scene.href)
    return values
