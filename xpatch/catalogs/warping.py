"""Cells of a file on the grid of a field: its own ones where the grids agree, else warped.

A cell has one value, whoever asks. GDAL does not give that: it approximates coordinates, and chooses what
to sample, by the window that is asked for. So each file has one view on the lattice of the grid, that starts
where the file starts whatever the bounds of the field, with one scale, and it is read block by block.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.catalogs.grid import Grid, Transform, as_window, offset
from xpatch.catalogs.handles import opened
from xpatch.catalogs.scenes import (
    CHECKED,
    Cells,
    SceneFile,
    alpha_band,
    check_doubles,
    masking,
    read,
    valid,
    warping_words,
)

SMOOTH = ("nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average")
FINER = 1.05  # an overview may be coarser than the grid by this


@dataclasses.dataclass(frozen=True)
class View:
    """A file on the grid of a field.

    Parameters
    ----------
    scene : SceneFile
        The file.
    crs : str
        CRS of the grid.
    transform : tuple of float
        The affine of the view, in the order of rasterio.
    cells : tuple of int
        Its cells on the grid.
    scale : tuple of float
        Cells of the grid along one of the file, to x and to y; 1 where that is unknown, so that nothing is averaged.
    resampling : str
        A word of rasterio.
    """

    scene: SceneFile
    crs: str
    transform: Transform
    cells: Cells
    scale: tuple[float, float]
    resampling: str

    @classmethod
    def on(
        cls,
        grid: Grid,
        scene: SceneFile,
        cells: Cells,
        turn: float,
        scale: tuple[float, float],
        resampling: str,
    ) -> View:
        """Put a file on a grid."""
        transform = grid.part(cells[0], cells[1], turn)
        known = scale if all(s == s for s in scale) else (1.0, 1.0)
        return cls(scene, grid.crs, transform, cells, known, resampling)

    @property
    def own(self) -> tuple[int, int] | None:
        """The row and column of the file at which the view starts, if both are on one lattice."""
        same = self.scene.code == self.crs
        return offset(self.scene.transform, self.transform) if same else None

    def read(self, bands: Sequence[int], cells: Cells) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read cells of the grid: values (band, row, column), and which are there."""
        top, left = self.cells[:2]
        inner = (cells[0] - top, cells[1] - left, cells[2] - top, cells[3] - left)
        if (own := self.own) is not None:
            row, column = own
            shifted = (inner[0] + row, inner[1] + column, inner[2] + row, inner[3] + column)
            return self.scene.window(bands, shifted)
        if self.scene.carrier is not None or self.scene.beyond:
            from xpatch.catalogs.arrays import warped

            return warped(self, bands, inner)
        with self.scene.reading(inner):
            return self._warped(bands, inner)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.cells[2] - self.cells[0], self.cells[3] - self.cells[1]

    def _warped(self, bands: Sequence[int], cells: Cells) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        view = opened((self, self.scene.version), lambda: Warped(self))
        vrt, masked = view.vrt, view.masked
        wanted = [*bands, vrt.count] if masked else list(bands)
        values = np.empty((len(wanted), cells[2] - cells[0], cells[3] - cells[1]), vrt.dtypes[0])
        for part, window in blocks(cells, vrt.block_shapes[0]):
            values[part] = read(vrt, wanted, window)
        check_doubles(values, self.scene.href)
        if not masked:
            return values, valid(values, vrt.nodata)
        return values[:-1], np.broadcast_to(values[-1] > 0, values[:-1].shape)

    def source(self) -> tuple[Any, tuple[float, float]]:
        """Open what is warped: the coarsest overview that is fine enough; and its cells of the grid.

        Overviews hold means, as a rule: sums, extremes and quantiles are those of the cells themselves.
        """
        file = self.scene.opened()
        factors = file.overviews(1) if self.resampling in SMOOTH else []
        fits = [k for k, factor in enumerate(factors) if factor * max(self.scale) <= FINER]
        if not fits:
            return file, self.scale
        file.close()
        best = max(fits, key=lambda k: factors[k])
        x, y = (own * factors[best] for own in self.scale)
        return self.scene.opened(best), (x, y)

    def words(self, file: Any, scale: tuple[float, float]) -> dict[str, Any]:
        """Say how GDAL warps a file.

        Raises
        ------
        ValueError
            If both a number and a mask say what is missing, of which GDAL takes one.
        """
        words = warping_words(scale)
        nodata, by = self.scene.nodata, masking(file)
        if nodata is not None and by is not None:
            raise ValueError(
                f"{self.scene.href!r} has nodata={nodata!r} and {'an alpha band' if by == 'alpha' else 'a mask'}, of which "
                "GDAL takes one where it warps: write the file with one of them, or read it on its own grid"
            )
        if nodata is None and by is None and np.dtype(self.scene.dtype).kind == "f":
            nodata = np.nan  # which would spread else
        if nodata is not None:
            return words | {"src_nodata": nodata, "nodata": nodata}
        return words if by == "alpha" else words | {"add_alpha": True}


class Warped:
    """A view that is open, with a file of its own: GDAL does not see that one was closed under it."""

    def __init__(self, view: View):
        import rasterio
        from affine import Affine
        from rasterio.enums import Resampling
        from rasterio.vrt import WarpedVRT

        self.file, scale = view.source()
        rows, columns = view.shape
        with rasterio.Env(**CHECKED):
            self.vrt = WarpedVRT(
                self.file,
                crs=view.crs,
                transform=Affine(*view.transform),
                height=rows,
                width=columns,
                resampling=Resampling[view.resampling],
                **view.words(self.file, scale),
            )
        self.masked = alpha_band(self.vrt) is not None

    def close(self) -> None:
        """Close both."""
        self.vrt.close()
        self.file.close()


def blocks(cells: Cells, block: tuple[int, int]) -> Iterator[tuple[Any, Any]]:
    """Give the parts of some cells along the blocks of a view: slices of the values, and windows.

    GDAL warps requests of several bands beyond a block in another way, with other values.
    """
    top, left, bottom, right = cells
    for r in range(top // block[0] * block[0], bottom, block[0]):
        for c in range(left // block[1] * block[1], right, block[1]):
            r0, r1 = max(r, top), min(r + block[0], bottom)
            c0, c1 = max(c, left), min(c + block[1], right)
            part = (slice(None), slice(r0 - top, r1 - top), slice(c0 - left, c1 - left))
            yield part, as_window((r0, c0, r1, c1))
