"""The grid that a field over many files lies on, and where the files lie on it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.catalogs.footprints import Rasters
from xpatch.domain import domain_of
from xpatch.domain.affine import Affine, is_straight, moved, raster_dims, read
from xpatch.domain.bounds import crs_code, read_crs
from xpatch.domain.turns import TURN

Transform = Affine
Cells = tuple[int, int, int, int]  # first row and column, and the ones after the last

FAR = 1 << 12  # cells: multiples of the blocks of all views
WHOLE = 1e-6  # of a cell, within which borders are the same


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Rows and columns in a CRS.

    Parameters
    ----------
    crs : str
        As `crs_code` writes it.
    transform : tuple of float
        The affine (a, b, c, d, e, f), in the order of rasterio.
    shape : tuple of int
        Rows and columns.
    dims : tuple of hashable
        Names of rows and columns.
    labels : tuple of array, optional
        Labels of rows and of columns, where the field takes those of another one.
    """

    crs: str
    transform: Transform
    shape: tuple[int, int]
    dims: tuple[Hashable, Hashable] = ("y", "x")
    labels: tuple[Any, Any] | None = None

    @classmethod
    def over(cls, bounds: Sequence[float], resolution: tuple[float, float], crs: str) -> Grid:
        """Cover bounds, with edges on whole multiples of the resolution."""
        (left, bottom, right, top), (dx, dy) = map(float, bounds), resolution
        west, north = math.floor(left / dx + WHOLE), math.ceil(top / dy - WHOLE)
        east, south = math.ceil(right / dx - WHOLE), math.floor(bottom / dy + WHOLE)
        transform = (dx, 0.0, west * dx, 0.0, -dy, north * dy)
        return cls(crs, transform, (max(north - south, 0), max(east - west, 0)))

    @property
    def resolution(self) -> tuple[float, float]:
        """Width and height of a cell."""
        a, b, _, d, e, _ = self.transform
        return math.hypot(a, d), math.hypot(b, e)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Outer edges: left, bottom, right, top."""
        x, y = at(self.transform, *corners(*self.shape))
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def coordinate(self, axis: int) -> NDArray[np.float64]:
        """Give the labels of rows (0) or columns (1).

        Those on whole multiples of the resolution are counted from zero, so that fields with other bounds
        have equal labels.
        """
        if self.labels is not None:
            return np.asarray(self.labels[axis])
        step, first = self.transform[4 if axis == 0 else 0], self.transform[5 if axis == 0 else 2]
        count, k = first / step, np.arange(self.shape[axis])
        if abs(count - round(count)) < WHOLE:
            return np.asarray((round(count) + k + 0.5) * step)
        return np.asarray(first + (k + 0.5) * step)

    def part(self, row: int, column: int, turn: float = 0.0) -> Transform:
        """Give the affine of the part that begins at a row and a column, as other fields on the lattice give it."""
        a, b, c, d, e, f = self.transform
        if is_straight(self.transform) and all(abs(v - round(v)) < WHOLE for v in (c / a, f / e)):
            return a, b, (round(c / a) + column) * a - turn, d, e, (round(f / e) + row) * e
        a, b, c, d, e, f = moved(self.transform, row, column)
        return a, b, c - turn, d, e, f


def at(transform: Transform, row: Any, column: Any) -> tuple[NDArray, NDArray]:
    """Give x and y of borders between cells."""
    a, b, c, d, e, f = transform
    row, column = np.asarray(row, float), np.asarray(column, float)
    return a * column + b * row + c, d * column + e * row + f


def cells(transform: Transform, x: Any, y: Any) -> tuple[NDArray, NDArray]:
    """Undo `at`: give row and column."""
    a, b, c, d, e, f = transform
    dx, dy, det = np.asarray(x, float) - c, np.asarray(y, float) - f, a * e - b * d
    return (a * dy - d * dx) / det, (e * dx - b * dy) / det


def corners(rows: float, columns: float) -> tuple[list[float], list[float]]:
    """Give row and column of the corners."""
    return [0, 0, rows, rows], [0, columns, columns, 0]


def as_window(cells: Cells) -> Any:
    """Give cells as a window of rasterio."""
    from rasterio.windows import Window

    top, left, bottom, right = cells
    return Window(left, top, right - left, bottom - top)


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """The cells of a grid in which each file lies; in degrees a file may lie in two places.

    Parameters
    ----------
    files : int array (box,)
        Number of the file.
    cells : int array (box, 4)
        First row, first column, and the ones after the last; also beyond the grid.
    turns : float array (box,)
        By how many degrees the grid is east of the file, a multiple of 360.
    scales : float array (file, 2)
        Cells of the grid along one of the file, to x and to y.
    """

    files: NDArray[np.int64]
    cells: NDArray[np.int64]
    turns: NDArray[np.float64]
    scales: NDArray[np.float64]


def boxes_on(grid: Grid, rasters: Rasters, margin: float = 0.0) -> Placement:
    """Find the cells of files on a grid; a file that leaves the area of its CRS may lie anywhere.

    ``margin`` are cells around those of a file that is warped that also get values.
    """
    bounds, bend = rasters.bounds(grid.crs)
    lost = ~np.isfinite(bounds).all(axis=1)
    bounds[lost], bend[lost] = grid.bounds, 0.0
    turns = [0.0]
    if read_crs(grid.crs).is_geographic:
        low, high = bounds[:, 0].min(), bounds[:, 2].max()
        first = math.ceil((grid.bounds[0] - high) / TURN)
        turns = [k * TURN for k in range(first, math.floor((grid.bounds[2] - low) / TURN) + 1)]
    aligned = offsets(grid.transform, rasters.transforms)[1] & (np.array(rasters.codes) == grid.crs)
    grow = bend / min(grid.resolution) + np.where(aligned, 0.0, margin)
    found = [_shifted(grid, bounds, grow, turn) for turn in turns]
    for part in found:
        part[lost] = _anchored(grid, part[lost])
    files = np.tile(np.arange(len(rasters)), len(turns))
    cells = np.concatenate(found) if found else np.empty((0, 4), np.int64)
    rows, columns = grid.shape
    inside = (cells[:, :2] < [rows, columns]).all(axis=1) & (cells[:, 2:] > 0).all(axis=1)
    inside &= (cells[:, 2:] > cells[:, :2]).all(axis=1)
    every = np.repeat(np.asarray(turns, float), len(rasters))
    return Placement(files[inside], cells[inside], every[inside], scales(grid, rasters))


def _anchored(grid: Grid, boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Let boxes begin and end at multiples of `FAR`, counted from where x and y are 0, whatever the bounds."""
    row, column = cells(grid.transform, 0.0, 0.0)
    zero = np.tile(np.rint([row, column]).astype(np.int64), 2)
    out = boxes - zero
    out[:, :2], out[:, 2:] = out[:, :2] // FAR * FAR, -(-out[:, 2:] // FAR) * FAR
    return out + zero


def _shifted(grid: Grid, bounds: NDArray, grow: NDArray, turn: float) -> NDArray[np.int64]:
    left, bottom, right, top = bounds.T
    x = np.stack([left, right, right, left]) + turn
    y = np.stack([bottom, bottom, top, top])
    row, column = cells(grid.transform, x, y)
    low = np.stack([row.min(axis=0), column.min(axis=0)], axis=-1) - grow[:, None]
    high = np.stack([row.max(axis=0), column.max(axis=0)], axis=-1) + grow[:, None]
    edges = [np.floor(low + WHOLE), np.ceil(high - WHOLE)]
    return np.concatenate(edges, axis=-1).astype(np.int64)


def scales(grid: Grid, rasters: Rasters) -> NDArray[np.float64]:
    """Give how many cells of the grid there are along one of each file (file, 2), to x and to y of the grid.

    Found in the middle of a file; NaN of one that leaves the area of the CRS.
    """
    middle, (rows, columns) = rasters.transforms, rasters.shapes.T
    row = rows[:, None] / 2 + np.array([0.0, 1.0, 0.0])
    column = columns[:, None] / 2 + np.array([0.0, 0.0, 1.0])
    x, y = at(tuple(middle.T[..., None]), row, column)
    points = rasters.moved(np.stack([x, y], axis=-1), grid.crs)
    r, c = cells(grid.transform, points[..., 0], points[..., 1])
    if read_crs(grid.crs).is_geographic:
        turn = TURN / grid.resolution[0]
        c = c - np.rint((c - c[:, :1]) / turn) * turn
    steps = np.stack(
        [r[:, 1:] - r[:, :1], c[:, 1:] - c[:, :1]], axis=1
    )  # of the grid, by row and column of the file
    det = steps[:, 0, 0] * steps[:, 1, 1] - steps[:, 0, 1] * steps[:, 1, 0]
    known = np.isfinite(det) & (det != 0) & np.isfinite(rasters.bounds(grid.crs)[0]).all(axis=1)
    steps[~known] = np.eye(2)
    back = np.linalg.inv(steps)  # cells of the file by one row, and one column, of the grid
    out = 1 / np.hypot(back[:, 0], back[:, 1])[:, ::-1]
    return np.where(known[:, None], out, np.nan)


def offset(own: Transform, other: Transform) -> tuple[int, int] | None:
    """Give the row and column of a raster at which another begins, if both are on one lattice."""
    starts, same = offsets(own, np.array([other]))
    row, column = starts[0].tolist()
    return (row, column) if same[0] else None


def offsets(own: Transform, others: NDArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give the rows and columns at which rasters (raster, 6) begin, and which are on the lattice of one."""
    steps = [0, 1, 3, 4]
    mine = np.asarray(own)[steps]
    same = (np.abs(others[:, steps] - mine) <= 1e-9 * np.abs(mine)).all(axis=1)
    begin = np.stack(cells(own, others[:, 2], others[:, 5]), axis=-1)
    whole = np.rint(begin)
    same &= (np.abs(begin - whole) < WHOLE).all(axis=1)
    return whole.astype(np.int64), same


def grid_of(field: Any, what: str) -> Grid:
    """Give the grid that a field lies on.

    Raises
    ------
    ValueError
        If it has no CRS, or is no raster with even rows and columns; ``what`` is its name there.
    """
    domain = domain_of(field)
    crs = domain.crs if domain.crs is not None else ("EPSG:4326" if domain.geographic else None)
    if crs is None:
        raise ValueError(
            f"{what} has no CRS, so that nothing says where its cells are; write one: {what}.rio.write_crs(…)"
        )
    dims = raster_dims(domain) or domain.spatial_dims
    if len(dims) != 2 or domain.curvilinear:
        raise ValueError(
            f"{what} must be a raster with rows and columns, not {type(domain).__name__} along {list(dims)}"
        )
    shape = (domain.sizes[dims[0]], domain.sizes[dims[1]])
    if domain.affine is not None:
        return Grid(crs_code(crs), domain.affine, shape, dims)
    steps: list[Any] = [domain.spacing(d) for d in dims]
    labels = [domain.coordinate(d) for d in dims]
    if any(s is None for s in steps) or any(v is None for v in labels):
        uneven = dims[0] if steps[0] is None else dims[1]
        raise ValueError(
            f"{what} has uneven or single labels along {uneven!r}, so that the size of its cells is not known"
        )
    y, x = (np.asarray(v) for v in labels)
    if (told := read(domain.transform)) is not None:  # the same numbers as it was made of
        return Grid(crs_code(crs), told, shape, dims, (y, x))
    dy, dx = map(float, steps)
    left, top = float(x[0]) - dx / 2, float(y[0]) - dy / 2
    return Grid(crs_code(crs), (dx, 0.0, left, 0.0, dy, top), shape, dims, (y, x))
