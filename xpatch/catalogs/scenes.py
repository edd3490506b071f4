"""What is known of one file of a catalog, and reading its own cells."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.catalogs.grid import Cells, Transform, as_window, at, corners
from xpatch.catalogs.handles import opened
from xpatch.catalogs.storage import EXACT
from xpatch.domain.bounds import read_crs, same
from xpatch.domain.turns import TURN

NEAR = 1e-6  # degrees
# Cells of the grid along one of the file, above which nothing is averaged. GDAL finds the scale for each
# window anew, and takes a turned file for a finer one, which at equal resolution only blurs.
SAME = 0.95
CHECKED = {"CHECK_WITH_INVERT_PROJ": "YES"}  # else there are values beyond the edge of the Earth
OPTIONS = {
    "tolerance": 0.001,  # of a cell, by which GDAL may misplace one: a 125th of its own, for a 20th of the time
    "UNIFIED_SRC_NODATA": "NO",  # bands are missing each for itself
}


@dataclasses.dataclass(frozen=True)
class SceneFile:
    """One row of a catalog: a raster, and how it is opened.

    Parameters
    ----------
    href : str
        Path or address, as GDAL opens it.
    code, transform, shape, dtype, nodata
        As the table has them.
    carrier : object, optional
        What is read in place of a file: see `carriers`.
    """

    href: str
    code: str
    transform: Transform
    shape: tuple[int, int]
    dtype: str
    nodata: float | None
    carrier: Any = dataclasses.field(default=None, compare=False, hash=False)

    @contextmanager
    def reading(self, cells: Cells) -> Iterator[None]:
        """Name the file and the cells in an error."""
        try:
            yield
        except Exception as error:
            top, left, bottom, right = cells
            error.add_note(f"raised while {self.href!r} was read at {top}:{bottom}, {left}:{right}")
            raise

    def window(self, bands: Sequence[int], cells: Cells) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read own cells, which may lie beyond the raster: values (band, row, column), and which are there."""
        top, left, bottom, right = cells
        rows, columns = self.shape
        r0, r1 = max(top, 0), min(bottom, rows)
        c0, c1 = max(left, 0), min(right, columns)
        values = np.zeros((len(bands), bottom - top, right - left), self.dtype)
        there = np.zeros(values.shape, bool)
        if r1 > r0 and c1 > c0:
            part = (slice(None), slice(r0 - top, r1 - top), slice(c0 - left, c1 - left))
            with self.reading((r0, c0, r1, c1)):
                values[part], there[part] = self._read(bands, (r0, c0, r1, c1))
        return values, there

    def _read(self, bands: Sequence[int], cells: Cells) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if self.carrier is not None:
            from xpatch.catalogs.carriers import window_of

            values = window_of(self, bands, cells)
            return values, valid(values, self.nodata)
        source, window = self.open(), as_window(cells)
        values = read(source, list(bands), window)
        mask = masking(source)
        there = valid(values, self.nodata)
        if mask == "alpha":
            there &= read(source, alpha_band(source), window) > 0
        elif mask == "mask":
            there &= source.dataset_mask(window=window) > 0
        return values, there

    @property
    def beyond(self) -> bool:
        """Whether longitudes go on past ±180, where GDAL, which counts from −180 to 180, finds no file."""
        if not read_crs(self.code).is_geographic:
            return False
        x, _ = at(self.transform, *corners(*self.shape))
        return bool(x.min() < -TURN / 2 - NEAR or x.max() > TURN / 2 + NEAR)

    def read(self, bands: Sequence[int], cells: Cells) -> NDArray[Any]:
        """Read own cells as a carrier gives them, in which a number says what is missing.

        Raises
        ------
        ValueError
            If it is a mask or an alpha band that says so.
        """
        if self.nodata is None and masking(self.open()) is not None:
            raise ValueError(
                f"{self.href!r} has longitudes past ±180 and a mask, which cannot be warped together: write the file from "
                "−180 to 180, or with nodata"
            )
        return self.window(bands, cells)[0]

    def open(self) -> Any:
        """Give the open file of this thread."""
        return opened((self, self.version), self.opened)

    @property
    def version(self) -> tuple[int, ...] | None:
        """Tell apart what a file was and is: one that was written anew is opened anew."""
        path = self.href.removeprefix("file://")
        if "://" in path or path.startswith("/vsi") or not os.path.isabs(path):
            return None
        found = os.stat(path)
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size

    @property
    def known_version(self) -> tuple[int, ...] | None:
        """The version, or None of a file that is gone, and of what is no file."""
        if self.carrier is not None:
            return None
        try:
            return self.version
        except OSError:
            return None

    def opened(self, level: int | None = None) -> Any:
        """Open the file, or one of its overviews."""
        import rasterio

        source = rasterio.open(self.href, **({} if level is None else {"overview_level": level}))
        if level is None:
            self._check(source)
        return source

    def _check(self, source: Any) -> None:
        """Raise a ValueError if the file is not what the table says."""
        mine, theirs = (self.shape, self.dtype), (source.shape, source.dtypes[0])
        other = [n for n, a, b in zip(("shape", "dtype"), mine, theirs, strict=True) if a != b]
        if not np.allclose(self.transform, tuple(source.transform)[:6], 1e-9, 0):
            other.append("transform")
        if source.nodata is not None and not same_number(source.nodata, self.nodata):
            other.append("nodata")
        if source.crs is not None and not same(self.code, source.crs):
            other.append("CRS")
        if other:
            source.close()
            raise ValueError(
                f"{self.href!r} has another {', '.join(other)} than the catalog says: it was changed since, or what described "
                "it, such as a STAC item, is wrong; make the catalog again of the files themselves, xpatch.catalog(paths)"
            )


def read(source: Any, bands: Any, window: Any) -> NDArray[Any]:
    """Read from an open dataset: the one place where values of files come from."""
    return np.asarray(source.read(bands, window=window))


def same_number(a: float, b: float | None) -> bool:
    """Whether two nodata are one; None is that of floats without one, NaN."""
    return a == b or (a != a and (b is None or b != b))


def valid(values: NDArray, nodata: float | None) -> NDArray[np.bool_]:
    """Say which values are there."""
    there = np.ones(values.shape, bool) if nodata is None or nodata != nodata else values != nodata
    return there & (values == values) if values.dtype.kind in "fc" else there


def alpha_band(source: Any) -> int | None:
    """Give the number of the band that says where a file has values."""
    names = [c.name for c in source.colorinterp]
    return names.index("alpha") + 1 if "alpha" in names else None


def masking(source: Any) -> str | None:
    """Say by what a file tells where it has values, beside a number: by a band, or a mask."""
    if alpha_band(source) is not None:
        return "alpha"
    return "mask" if "per_dataset" in {f.name for f in source.mask_flag_enums[0]} else None


def warping_words(scale: tuple[float, float]) -> dict[str, Any]:
    """Say how GDAL warps; ``scale`` are cells of the grid along one of the file, to x and to y."""
    x, y = (repr(1.0 if own > SAME else float(own)) for own in scale)
    return {**OPTIONS, "XSCALE": x, "YSCALE": y}


def check_doubles(values: NDArray, href: str) -> None:
    """Raise a ValueError if integers were warped that doubles, in which GDAL warps, do not hold."""
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8 and values.size:
        most = max(abs(int(values.min())), abs(int(values.max())))
        if most >= EXACT:
            raise ValueError(
                f"{href!r} has integers as large as {most}, which GDAL, that warps in doubles, would change: read it on "
                "its own grid, or convert it"
            )
