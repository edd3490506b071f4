"""Write a field as a Cloud Optimized GeoTIFF, chunk by chunk."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import warnings
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xpatch.domain.axes import crs_name
from xpatch.report import tell
from xpatch.run.bands import Bands, bands_of
from xpatch.run.packing import Packing
from xpatch.run.vrt import vrt

__all__ = ["is_cog", "write_cog"]

SUFFIXES = (".tif", ".tiff")
WINDOW = 1 << 26  # bytes that are read at a time of a field that has no chunks
CACHE = 32  # megabytes of GDAL, which else takes a twentieth of all there is


def is_cog(store: Any) -> bool:
    """Whether a place to write to has the name of a GeoTIFF."""
    return isinstance(store, str | os.PathLike) and os.fspath(store).lower().endswith(SUFFIXES)


def write_cog(
    obj: xr.DataArray | xr.Dataset,
    path: Any,
    encoding: Mapping[Hashable, Mapping[str, Any]],
    **of_zarr: Any,
) -> int:
    """Write a field to a Cloud Optimized GeoTIFF; see `xpatch.write`.

    Values go to a file of plain numbers beside the target, in any order and from any process, and
    from there through GDAL's COG driver, which needs all of them for the overviews.

    Returns
    -------
    int
        The number of chunks written; of a field without chunks, that of windows of rows.
    """
    path = _checked(path, of_zarr)
    bands = bands_of(obj, encoding)
    if bands.crs is None and bands.affine is not None:
        tell(
            f"{path} gets no CRS, because the field has none: open its file with decode_coords='all', or call "
            "field.rio.write_crs(…)"
        )
    _check_crs(bands.crs)
    folder, name = os.path.split(os.path.abspath(path))
    work = tempfile.mkdtemp(prefix=f".{name}.", dir=folder)
    try:
        total = _filled(bands, os.path.join(work, "values"))
        _copied(bands, os.path.join(work, "field.vrt"), os.path.join(work, name))
        _check_free(path)
        os.replace(os.path.join(work, name), path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return total


def _checked(path: Any, of_zarr: Mapping[str, Any]) -> str:
    try:
        import rasterio  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "writing a GeoTIFF needs rasterio: pip install 'xarray-patch[raster]'"
        ) from error
    path = os.fspath(path)
    if of_zarr["resume"]:
        raise ValueError(
            f"resume=True finishes a zarr store, chunk by chunk, and {path!r} is a GeoTIFF, which has no resume: "
            "it appears when it is complete. Write a zarr store that can be resumed, and the GeoTIFF of that: "
            f"xpatch.write(xr.open_zarr(store, decode_coords='all')[name], {path!r})"
        )
    for option, value in of_zarr.items():
        if option != "resume" and value is not None:
            raise ValueError(f"{option}={value!r} is for zarr stores, and {path!r} is a GeoTIFF")
    if "://" in path or path.startswith("/vsi"):
        raise ValueError(
            f"a GeoTIFF is put together on a local disk, got {path!r}; write it there and upload it"
        )
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"there is no folder {folder!r} to write {os.path.basename(path)!r} to; make it first, "
            "os.makedirs(folder), or write elsewhere"
        )
    _check_free(path)
    return path


def _check_free(path: str) -> None:
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists; remove it, or write elsewhere")


def _check_crs(crs: Any) -> None:
    """Raise a ValueError if GeoTIFFs have no keys for a CRS, as for a rotated pole: GDAL would leave it out."""
    if crs is None:
        return
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    one = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "uint8"}
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.MemoryFile() as file:
            with file.open(**one, crs=crs.to_wkt()):
                pass
            with file.open() as written:
                held = written.crs is not None
    if not held:
        raise ValueError(
            f"a GeoTIFF cannot hold the CRS of this field, {crs_name(crs)}; put the field in another one first, "
            "field.rio.reproject(…), or write it to zarr"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class RawFile:
    """A part of a file of plain numbers, that is written to as an array is.

    Chunks do not share numbers, so that no lock is needed, of threads or of processes.
    """

    path: str
    packing: Packing
    shape: tuple[int, ...]
    offset: int

    def __setitem__(self, region: tuple[slice, ...], block: Any) -> None:
        values = np.ascontiguousarray(self.packing(np.asarray(block)))
        first = [s.start for s in region[:-1]]
        with open(self.path, "r+b") as file:  # closed, so that other machines see what was written
            for row in np.ndindex(values.shape[:-1]):
                line = int(np.ravel_multi_index(np.add(first, row), self.shape[:-1]))
                cell = line * self.shape[-1] + region[-1].start
                file.seek(self.offset + cell * values.itemsize)
                file.write(values[row].data)


def _filled(bands: Bands, path: str) -> int:
    """Write all values, each chunk computed once, and give the number of chunks."""
    import dask.array as da

    plane = bands.height * bands.width * bands.dtype.itemsize
    with open(path, "wb") as file:
        file.truncate(plane * len(bands.names))
    total = 0
    lazy: list[Any] = []
    targets: list[Any] = []  # which dask writes to as to arrays
    for first, variable in bands.parts:
        target = RawFile(path, bands.packing, variable.shape, plane * first)
        if variable.chunks is not None:
            lazy.append(variable.data)
            targets.append(target)
            total += variable.data.npartitions
            continue
        for window in _windows(variable):
            target[window] = variable[window].values
            total += 1
    if lazy:
        da.store(lazy, targets, lock=False)
    return total


def _windows(variable: xr.Variable) -> Iterator[tuple[Any, ...]]:
    """Give runs of rows that are read at a time, whole chunks of what is on disk."""
    *_, height, _ = variable.shape
    own = variable.encoding.get("preferred_chunks", {}).get(variable.dims[-2], 1)
    own = own if isinstance(own, int) and 0 < own <= height else 1
    row = max(1, variable.nbytes // height)
    rows = max(1, WINDOW // (row * own)) * own
    whole = [slice(0, n) for n in variable.shape]
    for start in range(0, height, rows):
        yield *whole[:-2], slice(start, min(start + rows, height)), whole[-1]


def _copied(bands: Bands, source: str, target: str) -> None:
    """Let GDAL make the file, with its overviews."""
    import rasterio
    import rasterio.shutil
    from rasterio.errors import NotGeoreferencedWarning

    with open(source, "w", encoding="utf-8") as file:
        file.write(vrt(bands, "values"))
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=CACHE):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        rasterio.shutil.copy(source, target, driver="COG", **bands.options)
