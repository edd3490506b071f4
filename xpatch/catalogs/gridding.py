"""Which grid a field over files lies on: that of another field, of a CRS and a resolution, or their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.catalogs.footprints import Rasters
from xpatch.catalogs.grid import WHOLE, Grid, Placement, Transform, cells, grid_of, offsets
from xpatch.catalogs.storage import groups
from xpatch.catalogs.table import rasters_of
from xpatch.domain.affine import is_straight, moved
from xpatch.domain.bounds import crs_code, read_crs, same
from xpatch.domain.geoslice import GeoSlice, as_bounds
from xpatch.domain.turns import TURN
from xpatch.spec import is_number

MARGIN = 1e-3  # of a cell, by which a warped file may reach over the border of one
EXTREME = 1e4  # cells of the grid along one of a file: such a resolution is in other units


def grid_for(table: Any, crs: Any, resolution: Any, bounds: Any, like: Any) -> Grid:
    """Give the grid of a field.

    Raises
    ------
    ValueError
        If nothing says which.
    """
    if like is not None:
        given = {"crs": crs, "resolution": resolution, "bounds": bounds}
        both = [n for n, v in given.items() if v is not None]
        if both:
            raise ValueError(f"like is the grid of the field, so leave out {both[0]}")
        return grid_like(like)
    rasters = rasters_of(table)
    code = code_of(table, rasters, crs, bounds)
    if isinstance(bounds, GeoSlice) and resolution is None and same(code, bounds.crs):
        resolution = bounds.resolution  # in other units elsewhere
    if resolution is None:
        lattice, starts = common_lattice(table, rasters, code)
        if bounds is None and not (read_crs(code).is_geographic and is_straight(lattice)):
            low, high = starts.min(axis=0), (starts + rasters.shapes).max(axis=0)
            return part_of(lattice, low.tolist(), high.tolist(), code)
        return covering(lattice, area_of(table, rasters, code, bounds), code)
    return Grid.over(area_of(table, rasters, code, bounds), pair_of(resolution), code)


def pair_of(resolution: Any) -> tuple[float, float]:
    """Check of a resolution: a number, or one along x and one along y."""
    pair = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    if len(pair) != 2 or not all(map(is_number, pair)):
        raise TypeError(
            f"resolution must be a number, (x, y), or a list of them for a pyramid, got {resolution!r}"
        )
    if not all(np.isfinite(v) and v > 0 for v in pair):
        raise ValueError(f"resolution must be positive, got {resolution!r}")
    return float(pair[0]), float(pair[1])


def code_of(table: Any, rasters: Rasters, crs: Any, bounds: Any) -> str:
    """Give the CRS of a field: as asked for, that of a slice, or that of all files."""
    if crs is None and isinstance(bounds, GeoSlice):
        crs = bounds.crs
    return crs_code(crs) if crs is not None else one_crs(table, rasters.codes)


def one_crs(table: Any, codes: tuple[str, ...]) -> str:
    """Give the CRS that all files have."""
    if len(set(codes)) > 1:
        raise ValueError(
            f"the files are in several CRSs, {groups(table, codes)}, so say which that of the field is: "
            f"field(crs={codes[0]!r}, resolution=…)"
        )
    return codes[0]


def common_lattice(table: Any, rasters: Rasters, code: str) -> tuple[Transform, NDArray[np.int64]]:
    """Give the transform of the first file, and at which row and column of its lattice each file begins.

    Raises
    ------
    ValueError
        If they do not lie on it.
    """
    first: Transform = transform_of(rasters, 0)
    if any(c != code for c in rasters.codes):
        raise ValueError(
            f"field(crs={code!r}) needs a resolution in its units, as files are in other CRSs: "
            f"{groups(table, rasters.codes)}"
        )
    starts, same_lattice = offsets(first, rasters.transforms)
    if not same_lattice.all():
        k = int(np.flatnonzero(~same_lattice)[0])
        other = transform_of(rasters, k)
        raise ValueError(
            f"the files do not lie on one lattice: row {k}, {table['href'].iloc[k]!r}, has cells of "
            f"{abs(other[0]):g} from {other[2]:.12g}, {other[5]:.12g}, row 0 of {abs(first[0]):g} from "
            f"{first[2]:.12g}, {first[5]:.12g}; say the resolution of the field, or like=another field"
        )
    return first, starts


def covering(lattice: Transform, bounds: Any, code: str) -> Grid:
    """Cover bounds with the cells of a lattice."""
    left, bottom, right, top = bounds
    row, column = cells(lattice, [left, right, left, right], [bottom, bottom, top, top])
    low = [math.floor(row.min() + WHOLE), math.floor(column.min() + WHOLE)]
    high = [math.ceil(row.max() - WHOLE), math.ceil(column.max() - WHOLE)]
    return part_of(lattice, low, high, code)


def part_of(lattice: Transform, low: Sequence[int], high: Sequence[int], code: str) -> Grid:
    """Give the part of a lattice from one row and column to those after the last."""
    (r0, c0), (r1, c1) = low, high
    return Grid(code, moved(lattice, r0, c0), (max(r1 - r0, 0), max(c1 - c0, 0)))


def area_of(
    table: Any, rasters: Rasters, code: str, bounds: Any
) -> tuple[float, float, float, float]:
    """Give the bounds of a field: as asked for, or those of all files."""
    each, _ = rasters.bounds(code)
    known = np.isfinite(each).all(axis=1)
    geographic = read_crs(code).is_geographic
    if bounds is None:
        if not known.all():
            k = int(np.flatnonzero(~known)[0])
            raise ValueError(
                f"row {k}, {table['href'].iloc[k]!r}, reaches beyond the area of {code}; say which part of it is meant, "
                "bounds=(left, bottom, right, top)"
            )
        return narrowest(each) if geographic else total(each)
    left, bottom, right, top = as_bounds(bounds, code)
    if left > right:
        right += TURN
    grid = (left, bottom, right, top)
    if not meets(each[known], grid, geographic) and known.all():
        mine = tuple(round(v, 6) for v in total(each))
        hint = (
            "; they look like degrees, and this CRS counts others: give them as xpatch.GeoSlice(bounds, crs=4326)"
            if not geographic and max(map(abs, grid)) <= TURN
            else ""
        )
        raise ValueError(
            f"no file lies in bounds={bounds!r} of {code}; the files lie in {mine} there{hint}"
        )
    return grid


def total(each: NDArray) -> tuple[float, float, float, float]:
    """Give the bounds of all."""
    low, high = each[:, :2].min(axis=0), each[:, 2:].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def narrowest(each: NDArray) -> tuple[float, float, float, float]:
    """Give the bounds of all in degrees, across the dateline where that is the shorter way."""
    left, bottom, right, top = total(each)
    starts = each[:, 0] % TURN
    order = np.argsort(starts)
    starts, ends = starts[order], (starts + each[:, 2] - each[:, 0])[order]
    reach = np.maximum(np.maximum.accumulate(ends), ends.max() - TURN)
    gaps = np.append(starts[1:], starts[0] + TURN) - reach
    k = int(np.argmax(gaps))
    width = TURN - max(float(gaps[k]), 0.0)
    if right - left <= width + 1e-9:
        return left, bottom, right, top
    first = float(starts[(k + 1) % len(starts)]) if gaps[k] > 0 else -TURN / 2
    first -= TURN * np.floor((first + TURN / 2) / TURN)
    return first, bottom, first + width, top


def meets(each: NDArray, bounds: tuple[float, float, float, float], geographic: bool) -> bool:
    """Whether any of some boxes lies in others, to whole turns in degrees."""
    left, bottom, right, top = bounds
    turns = (-TURN, 0.0, TURN) if geographic else (0.0,)
    tall = (each[:, 1] < top) & (each[:, 3] > bottom)
    return any(
        bool((tall & (each[:, 0] + t < right) & (each[:, 2] + t > left)).any()) for t in turns
    )


def own_grid(row: Any) -> Grid:
    """Give the grid of one file."""
    rasters = rasters_of(row)
    rows, columns = rasters.shapes[0].tolist()
    return Grid(rasters.codes[0], transform_of(rasters, 0), (rows, columns))


def transform_of(rasters: Rasters, k: int) -> Transform:
    """Give the affine of a raster as plain numbers."""
    a, b, c, d, e, f = rasters.transforms[k].tolist()
    return a, b, c, d, e, f


def grid_like(like: Any) -> Grid:
    """Give the grid of a field, a `GeoSlice`, or a GeoBox of odc."""
    if isinstance(like, GeoSlice):
        if like.crs is None:
            raise ValueError(f"like={like!r} has no crs; give one, GeoSlice(…, crs=…)")
        return Grid(crs_code(like.crs), tuple(like.transform)[:6], like.shape)
    transform = getattr(like, "transform", getattr(like, "affine", None))
    transform = None if callable(transform) else transform
    if hasattr(like, "crs") and hasattr(like, "shape") and transform is not None:
        if like.crs is None:
            raise ValueError("like has no crs")
        rows, columns = (int(n) for n in tuple(like.shape)[-2:])
        return Grid(crs_code(like.crs), tuple(map(float, tuple(transform)[:6])), (rows, columns))  # type: ignore[arg-type]
    if not hasattr(like, "dims"):
        raise TypeError(
            f"like must be a DataArray, a Dataset, a GeoSlice or a GeoBox, got {type(like).__name__}"
        )
    return grid_of(like, "like")


def check_scale(table: Any, grid: Grid, boxes: Placement, shapes: NDArray) -> None:
    """Raise a ValueError if the resolution is in other units than the CRS."""
    if 0 in grid.shape:
        raise ValueError(
            f"the field would have {grid.shape[0]} × {grid.shape[1]} cells of {grid.resolution[0]:g} × "
            f"{grid.resolution[1]:g}: its bounds are thinner than one; give wider ones, or a finer resolution"
        )
    if not len(boxes.files):
        raise ValueError(
            f"no file lies on the grid, which is {tuple(round(v, 6) for v in grid.bounds)} in {grid.crs}"
        )
    files = np.unique(boxes.files)
    files = files[np.isfinite(boxes.scales[files]).all(axis=1)]
    if not len(files):
        return
    scale = boxes.scales[files].max(axis=1)
    across = scale * shapes[files].max(axis=1)
    k = int(files[np.argmax(scale)])
    units = "degrees" if read_crs(grid.crs).is_geographic else "meters or feet"
    if (across < 1).all() or scale.max() > EXTREME:
        cells = boxes.scales[k][::-1] * shapes[k]
        size = f"{grid.resolution[0]:g} × {grid.resolution[1]:g}"
        raise ValueError(
            f"cells of {size} in {grid.crs}, which counts {units}: row {k}, {table['href'].iloc[k]!r}, of "
            f"{shapes[k, 0]} × {shapes[k, 1]} cells would be {cells[0]:.3g} × {cells[1]:.3g} cells of the field; give the "
            f"resolution in {units}"
        )
