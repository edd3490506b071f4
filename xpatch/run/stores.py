"""Stores that `write` may write to: of zarr, and begun for the same field."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping, MutableMapping
from typing import Any

import numpy as np
import xarray as xr

from xpatch.patches.record import differences

MARK = "xpatch_write_in_progress"  # an array: 0 until the metadata are complete, then 1
RECORD = "xpatch_write"  # a group: the tag, and how the field was merged
RASTERS = (".gtiff", ".jp2", ".vrt", ".img", ".png", ".jpg", ".grib", ".grb")
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
            f"write makes zarr stores and GeoTIFFs (.tif), and {path!r} is another raster file, which "
            f"rioxarray writes: merged.rio.to_raster({path!r})"
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


def check_record(group: Any, store: Any, record: Mapping[str, Any]) -> None:
    """Raise a ValueError if the store was begun with another tag, or merged in another way."""
    known = json.loads(group[RECORD].attrs["record"]) if RECORD in group else {}
    other = differences(known.get("merged", {}), record["merged"])
    if known.get("tag") != record["tag"]:
        other.insert(0, f"tag {known.get('tag')!r} there, {record['tag']!r} here")
    if other:
        raise ValueError(
            f"{store} was begun as another field: {'; '.join(other)}; write to another store, or "
            "resume with what it was begun with"
        )


def check_names(field: xr.Dataset, group: Any) -> None:
    """Raise a ValueError if the store holds variables that the field has not."""
    extra = sorted(set(group) - {MARK, RECORD} - set(map(str, field.variables)))
    if extra:
        raise ValueError(f"the store holds {extra}, which the field does not; write elsewhere")


def check_same(field: xr.Dataset, group: Any, store: Any, expected: Any) -> None:
    """Raise a ValueError if the store is not as ``expected``, were it written for this field now."""
    check_names(field, group)
    if _comparable(group) != _comparable(expected):
        raise ValueError(
            f"{store} is not the store of this field: it has attributes {dict(group.attrs)}, the "
            f"field {dict(expected.attrs)}; write to another store"
        )
    for name, variable in field.variables.items():
        if str(name) not in group:
            raise ValueError(f"{store} has no {name!r}: it is not the store of this field")
        array, model = group[str(name)], expected[str(name)]
        for what in ("shape", "dtype", "chunks", "shards"):
            found, wanted = getattr(array, what), getattr(model, what)
            if found != wanted:
                raise ValueError(_other(store, name, what, found, wanted))
        names = [getattr(a.metadata, "dimension_names", None) for a in (array, model)]
        if names[0] != names[1]:  # version 2 of zarr has them among the attributes
            raise ValueError(_other(store, name, "dimensions", *names))
        if not _same(array.fill_value, model.fill_value):
            fills = array.fill_value, model.fill_value
            raise ValueError(_other(store, name, "fill value", *fills))
        if _comparable(array) != _comparable(model):
            attrs = dict(array.attrs), dict(model.attrs)
            raise ValueError(_other(store, name, "attributes", *attrs))
        if variable.chunks is None and not _same(array[...], model[...]):
            raise ValueError(f"{store} is not the store of this field: {name!r} has other values")


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind in "fc")


def _comparable(array: Any) -> dict[str, str]:
    return {k: str(v) for k, v in array.attrs.asdict().items()}


def _other(store: Any, name: Hashable, what: str, found: Any, expected: Any) -> str:
    return (
        f"{store} is not the store of this field: {name!r} there has {what} {found}, here "
        f"{expected}; write to another store"
    )
