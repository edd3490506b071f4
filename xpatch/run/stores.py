"""Where `write` may write to: zarr stores, not files of other formats."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any

RASTERS = (".tif", ".tiff", ".gtiff", ".jp2", ".vrt", ".img", ".png", ".jpg", ".grib", ".grb")
NETCDF = (".nc", ".nc4", ".netcdf", ".cdf", ".h5", ".hdf5", ".hdf")


def check_store(zarr: Any, store: Any) -> None:
    """Raise a TypeError or ValueError unless ``store`` can be a zarr store."""
    if isinstance(store, zarr.abc.store.Store | zarr.storage.StorePath | MutableMapping):
        return
    if not isinstance(store, str | os.PathLike) or not os.fspath(store):
        raise TypeError(
            "write takes where to write as a path or a zarr store, such as 'field.zarr', got "
            f"{store!r}"
        )
    path = os.fspath(store)
    suffix = os.path.splitext(path)[1].lower()
    if suffix in RASTERS:
        raise ValueError(
            f"write makes zarr stores, and {path!r} is a raster file, which rioxarray writes: "
            f"merged.rio.to_raster({path!r}, tiled=True)"
        )
    if suffix in NETCDF:
        raise ValueError(
            f"write makes zarr stores, and {path!r} is a netCDF file, which xarray writes: "
            f"merged.to_netcdf({path!r})"
        )
    if suffix != ".zip" and os.path.isfile(path):
        raise FileExistsError(
            f"{path!r} is a file, and write makes a zarr store, which is a directory; write to "
            "another path, such as 'field.zarr'"
        )
