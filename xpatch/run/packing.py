"""How values of a field become numbers of a GeoTIFF."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain.nodata import Nodata, nodata_of

__all__ = ["TYPES", "Packing", "named", "packed"]

PACKED = ("dtype", "scale_factor", "add_offset", "_FillValue")
OPTIONS = (  # of GDAL's COG driver
    "bigtiff",
    "blocksize",
    "compress",
    "level",
    "max_z_error",
    "nbits",
    "num_threads",
    "overview_compress",
    "overview_count",
    "overview_predictor",
    "overview_quality",
    "overview_resampling",
    "overviews",
    "predictor",
    "quality",
    "sparse_ok",
    "statistics",
)
TYPES = {  # of GDAL
    np.dtype(k): v
    for k, v in {
        "u1": "Byte",
        "i1": "Int8",
        "u2": "UInt16",
        "i2": "Int16",
        "u4": "UInt32",
        "i4": "Int32",
        "u8": "UInt64",
        "i8": "Int64",
        "f4": "Float32",
        "f8": "Float64",
        "c8": "CFloat32",
        "c16": "CFloat64",
    }.items()
}
WIDER = {np.dtype(bool): np.dtype("u1"), np.dtype("f2"): np.dtype("f4")}


@dataclasses.dataclass(frozen=True)
class Packing:
    """How values become numbers of a file: number = (value − offset) / scale.

    Parameters
    ----------
    dtype : dtype
        Of the file.
    scale, offset : float
        Value = number · scale + offset.
    fill : number, optional
        What missing values become.
    nodata : Nodata, optional
        The numbers that are missing in the field.
    """

    dtype: np.dtype
    scale: float = 1.0
    offset: float = 0.0
    fill: Any = None
    nodata: Nodata | None = None

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        gone = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
        if self.nodata is not None:
            gone = gone | self.nodata.where(values)
        if self.scale != 1 or self.offset != 0:
            values = (values - self.offset) / self.scale
        if self.dtype.kind in "iu" and values.dtype.kind in "iuf" and values.dtype != self.dtype:
            values = self._whole(values, gone)
        elif self.dtype.kind == "f" and values.dtype.kind == "f":
            values = self._narrowed(values, gone)
        if self.fill is None or not gone.any():
            return values.astype(self.dtype, copy=False)
        return np.where(gone, self.dtype.type(self.fill), values.astype(self.dtype))

    def _narrowed(self, values: NDArray[Any], gone: NDArray[Any]) -> NDArray[Any]:
        """Give floats in the dtype, which must not make infinite ones of them."""
        if values.dtype.itemsize <= self.dtype.itemsize:
            return values
        with np.errstate(over="ignore"):
            out = values.astype(self.dtype)
        lost = np.isinf(out) & np.isfinite(values) & ~gone
        if lost.any():
            raise ValueError(
                f"values such as {values[lost][0]} do not fit {self.dtype}; ask for another dtype, or a scale_factor"
            )
        return out

    def _whole(self, values: NDArray[Any], gone: NDArray[Any]) -> NDArray[Any]:
        """Round values, all of which the integers must hold."""
        if gone.any() and self.fill is None:
            raise ValueError(
                f"missing values cannot be {self.dtype}: name a number for them, "
                f"encoding={{…: {{'dtype': '{self.dtype}', '_FillValue': {np.iinfo(self.dtype).min}}}}}"
            )
        whole = np.where(gone, 0, np.rint(values) if values.dtype.kind == "f" else values)
        info = np.iinfo(self.dtype)
        # limits are even powers of two, which floats hold as well
        if not ((whole >= info.min) & (whole < info.max + 1)).all():
            raise ValueError(
                f"values from {whole.min()} to {whole.max()} do not fit {self.dtype}, which holds {info.min} to "
                f"{info.max}; ask for another dtype, or a scale_factor"
            )
        return whole


def named(name: Any) -> str:
    """Give the name of a variable as text."""
    return "" if name is None else str(name)


def packed(
    arrays: list[xr.DataArray], encoding: Mapping[Hashable, Mapping[str, Any]]
) -> tuple[Packing, dict[str, Any]]:
    """Give how all variables are packed, which a GeoTIFF has one way for, and the options of GDAL."""
    unknown = [n for n in encoding if n not in [a.name for a in arrays]]
    if unknown:
        raise ValueError(
            f"encoding names {unknown[0]!r}, but the field has the variables {[a.name for a in arrays]}"
        )
    given = [dict(encoding.get(a.name, {})) for a in arrays]
    found = [_packing(a, own) for a, own in zip(arrays, given, strict=True)]
    packing = found[0]
    for array, other in zip(arrays[1:], found[1:], strict=True):
        if other.dtype != packing.dtype:
            raise TypeError(
                f"bands of a GeoTIFF have one dtype, and {arrays[0].name!r} is {packing.dtype}, {array.name!r} "
                f"{other.dtype}; write them one by one, or convert them: field.astype('{packing.dtype}')"
            )
        if repr(other) != repr(packing):
            raise ValueError(
                f"bands of a GeoTIFF share the number that means missing, scale and offset, and those of "
                f"{arrays[0].name!r} and {array.name!r} differ; write them one by one"
            )
    chosen: dict[str, Any] = {}
    for own in given:
        chosen |= {k: v for k, v in own.items() if k not in PACKED}
    kind = arrays[0].dtype.kind
    options: dict[str, Any] = {
        "compress": "DEFLATE",
        "bigtiff": "IF_SAFER",
        "overview_resampling": "AVERAGE" if kind == "f" else "NEAREST",
    }
    options |= {"nbits": 1} if kind == "b" else {}
    compress = str(chosen.get("compress", "DEFLATE")).upper()
    if kind in "iuf" and compress in ("DEFLATE", "LZW", "ZSTD"):
        options["predictor"] = "YES"
    return packing, options | chosen


def _packing(array: xr.DataArray, given: Mapping[str, Any]) -> Packing:
    wrong = [k for k in given if k not in (*PACKED, *OPTIONS)]
    if wrong:
        raise ValueError(
            f"encoding of a GeoTIFF takes {', '.join(PACKED)} and the options of GDAL's COG driver, "
            f"{', '.join(OPTIONS)}; got {wrong[0]!r}"
        )
    if array.dtype.kind in "mM":
        raise TypeError(
            f"{named(array.name)!r} holds dates or durations ({array.dtype}), which a GeoTIFF cannot; write numbers: "
            "(field - np.datetime64('2000-01-01')) / np.timedelta64(1, 'D'), of durations field / np.timedelta64(1, 'D')"
        )
    own = array.dtype
    dtype = np.dtype(given.get("dtype", WIDER.get(own, own))).newbyteorder("=")
    if dtype not in TYPES or own.kind not in "biufc" or (own.kind == "c") != (dtype.kind == "c"):
        raise TypeError(
            f"{named(array.name)!r} is {own}, to be written as {dtype}; a GeoTIFF holds "
            f"{', '.join(map(str, TYPES))}: convert it, field.astype('float32')"
        )
    nodata = nodata_of(array)
    fill = given.get("_FillValue", None if nodata is None else nodata.fill)
    if fill is None and dtype.kind == "f":
        fill = np.nan
    if fill is not None:
        fill = _fitting(fill, dtype)
    scale, offset = float(given.get("scale_factor", 1)), float(given.get("add_offset", 0))
    if not np.isfinite([scale, offset]).all() or not scale:
        raise ValueError(
            f"scale_factor must be a number that is not 0, and add_offset a number, got {scale} and {offset}"
        )
    return Packing(dtype, scale, offset, fill, nodata)


def _fitting(fill: Any, dtype: np.dtype) -> Any:
    """Give the number that means missing as a plain number, if the dtype holds it."""
    value = fill.item() if isinstance(fill, np.generic) else fill
    try:
        held = np.array(value).astype(dtype).item() if dtype.kind != "c" else value
    except (OverflowError, ValueError, TypeError):
        held = None
    if held is None or (held != value and value == value and dtype.kind != "f"):
        raise ValueError(f"_FillValue {fill!r} is no number that {dtype} holds")
    return held
