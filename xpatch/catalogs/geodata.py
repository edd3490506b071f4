"""`field`: one raster of georeader as a lazily read xarray object."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import xarray as xr

from xpatch.catalogs.carriers import grid_of_reader, is_geodata, rows_of_reader

DIMS = ("time", "band", "y", "x")


def field(geo: Any) -> xr.DataArray:
    """Give a reader or a tensor of georeader as a field on its own grid, of which windows are read when looked at.

    Parameters
    ----------
    geo : RasterioReader, GeoTensor, or another object of georeader's GeoData protocol
        It has ``transform``, ``crs``, ``shape`` and ``dtype``, and ``read_from_window(window)``; or else
        ``load()`` or ``values``, which are read as a whole. The shape is (row, column), (band, row, column) or
        (time, band, row, column).

    Returns
    -------
    DataArray
        Dimensions ``(time, band, y, x)``, or the last ones of them, with the values as they are read. What stands for missing is
        the attribute ``_FillValue``: the nodata of a reader, ``fill_value_default`` of what knows no nodata, as
        georeader's ``validmask`` has it. The attributes ``crs`` and ``fill_value_default`` are those that
        ``georeader.dataarray.fromDataArray`` looks for, the way back. Times have labels if the object has
        dates: ``times``, ``dates``, or ``attrs["time"]``.

    Raises
    ------
    TypeError
        If it is no such object, or its values are no numbers.
    ValueError
        If it has no CRS, or reads beyond its file what the file does not call missing.

    See Also
    --------
    xpatch.split : Takes such objects as they are.
    xpatch.catalog : Many of them on one grid.

    Examples
    --------
    >>> from rasterio import Affine
    >>> class Reader:
    ...     transform, crs = Affine(10, 0, 5e5, 0, -10, 5.2e6), "EPSG:32632"
    ...     shape, dtype, fill_value_default = (3, 200, 100), np.dtype("uint8"), 0
    ...
    ...     def read_from_window(self, window):
    ...         return np.full((3, window.height, window.width), window.row_off, "uint8")
    >>> image = xpatch.field(Reader())
    >>> dict(image.sizes)
    {'band': 3, 'y': 200, 'x': 100}
    >>> image[0, 50:52, 10].values
    array([50, 50], dtype=uint8)
    """
    if isinstance(geo, xr.DataArray | xr.Dataset):
        raise TypeError(
            f"xpatch.field is for readers and tensors of georeader, and a {type(geo).__name__} is a field already"
        )
    if not is_geodata(geo):
        files = isinstance(geo, str | os.PathLike) or hasattr(geo, "columns")
        hint = "; files are xpatch.catalog(…).patch.field(…)" if files else ""
        raise TypeError(
            "expected an object with transform, crs, shape and read_from_window, values or load, got "
            f"{type(geo).__name__}{hint}"
        )
    from xpatch.catalogs.field import labels_of

    rows, dims = list(rows_of_reader(geo)), DIMS[-len(geo.shape) :]
    coords: dict[Any, Any] = labels_of(grid_of_reader(geo))
    if "band" in dims:
        coords["band"] = ("band", rows[0].get("band_names", np.arange(rows[0]["bands"]) + 1))
    if "time" in dims and "datetime" in rows[0]:
        dates = np.array([r["datetime"].tz_localize(None) for r in rows], "M8[ns]")
        coords["time"] = ("time", dates, {"standard_name": "time"})
    variable = xr.Variable(DIMS, values_of(geo, rows), attributes(rows[0]))
    out = xr.DataArray(variable[(0,) * (4 - len(dims))], coords)
    out.encoding["grid_mapping"] = "spatial_ref"
    return out


def values_of(geo: Any, rows: list[dict[str, Any]]) -> Any:
    """Give the values of the rows as an array (time, band, row, column) that is read when it is indexed."""
    from xarray.core import indexing

    from xpatch.catalogs.footprints import Rasters
    from xpatch.catalogs.grid import boxes_on
    from xpatch.catalogs.mosaic import Mosaic
    from xpatch.catalogs.scenes import SceneFile

    grid, count, dtype = grid_of_reader(geo), len(rows), np.dtype(rows[0]["dtype"])
    # nodata is left to the attributes: values are as the reader gives them
    own = (grid.crs, grid.transform, grid.shape, str(dtype), None)
    scenes = [SceneFile(row["href"], *own, row["reader"]) for row in rows]
    transforms, shapes = (np.array([v] * count) for v in (grid.transform, grid.shape))
    boxes = boxes_on(grid, Rasters((grid.crs,) * count, transforms, shapes))
    numbers = np.tile(np.arange(int(rows[0]["bands"])) + 1, (count, 1))
    fill = np.nan if dtype.kind == "f" else None
    args = (numbers, np.arange(count), grid, boxes, "nearest", "first", dtype, fill)
    return indexing.LazilyIndexedArray(Mosaic(scenes, *args))


def attributes(row: dict[str, Any]) -> dict[str, Any]:
    """Give the attributes that say what is missing, for us and for georeader."""
    out = {"crs": row["proj:code"]}
    if row["nodata"] is not None:
        nodata = np.dtype(row["dtype"]).type(row["nodata"])
        out |= {"_FillValue": nodata, "fill_value_default": nodata}
    return out


def as_field(obj: Any) -> Any:
    """Give what has a transform, a CRS and a shape as a field, and anything else as it is."""
    known = isinstance(obj, xr.DataArray | xr.Dataset)
    return field(obj) if not known and is_geodata(obj) else obj
