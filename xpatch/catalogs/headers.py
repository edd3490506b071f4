"""The row of a file, read from its header."""

from __future__ import annotations

import warnings
from typing import Any

from xpatch.catalogs import times
from xpatch.catalogs.optional import optional
from xpatch.catalogs.scenes import alpha_band
from xpatch.domain.bounds import crs_code

NOWHERE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # what readers give files that lie nowhere
PACKED = {"raster:scale": ("scales", 1.0), "raster:offset": ("offsets", 0.0)}


def row_of_file(href: str, pattern: Any = None) -> dict[str, Any]:
    """Read the columns of a raster from its header.

    Raises
    ------
    ValueError
        If it does not say where it lies, has bands of several kinds, or no date where one is looked for.
    """
    rasterio = optional("rasterio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # refused below
        try:
            file = rasterio.open(href)
        except rasterio.errors.RasterioIOError as error:
            error.add_note(f"raised while the header of {href!r} was read")
            raise
        with file:
            check_file(file, href)
            row = columns_of(file, href)
    if pattern is not None:
        row["datetime"] = times.from_name(pattern, href)
    return row


def columns_of(file: Any, href: str) -> dict[str, Any]:
    """Give the columns of an open file."""
    alpha = alpha_band(file)
    count = file.count - (alpha is not None)
    row: dict[str, Any] = {
        "href": href,
        "proj:code": None if file.crs is None else crs_code(file.crs),
        "proj:transform": list(map(float, tuple(file.transform)[:6])),
        "proj:shape": [file.height, file.width],
        "bands": count,
        "dtype": file.dtypes[0],
        "nodata": file.nodata,
    }
    if any(file.descriptions[:count]):
        row["band_names"] = [d or str(k + 1) for k, d in enumerate(file.descriptions[:count])]
    for column, (name, plain) in PACKED.items():
        values = list(map(float, getattr(file, name)[:count]))
        if any(v != plain for v in values):
            row[column] = values[0] if len(set(values)) == 1 else values
    return row


def check_file(file: Any, href: str) -> None:
    """Raise a ValueError unless a file lies somewhere, and its bands are alike."""
    if tuple(file.transform)[:6] == NOWHERE:
        hint = " (it has ground control points: warp it to a grid first)" if file.gcps[0] else ""
        raise ValueError(f"{href!r} has no transform, so that nothing says where it is{hint}")
    kinds = {(d, str(n)) for d, n in zip(file.dtypes, file.nodatavals, strict=True)}
    if len(kinds) > 1:
        raise ValueError(
            f"the bands of {href!r} differ in dtype or nodata: {sorted(kinds)}; a field has one of each, so write "
            "them as files of their own"
        )
    alpha = alpha_band(file)
    if alpha is not None and alpha != file.count:
        raise ValueError(
            f"{href!r} has its alpha band at {alpha} of {file.count}, between others; write it as the last one"
        )
