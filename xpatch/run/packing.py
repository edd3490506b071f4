"""How values of a field become numbers of a GeoTIFF."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain.nodata import Nodata, nodata_of
from xpatch.report import tell

__all__ = ["TYPES", "Packing", "check_encoding", "named", "packed", "tell_scale"]

PACKED = ("dtype", "scale_factor", "add_offset", "_FillValue")
SCALE = {"scale_factor": 1.0, "add_offset": 0.0}
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
    raw : bool
        Whether the field holds numbers already, as its attributes say that have scale and offset.
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
    raw: bool = False

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        gone = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
        if self.nodata is not None:
            gone = gone | self.nodata.where(values)
        if not self.raw and (self.scale != 1 or self.offset != 0):
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


def check_encoding(encoding: Mapping[Hashable, Any], names: list[Any]) -> None:
    """Raise a ValueError unless an encoding is one by variable, and of those that there are."""
    unknown = [n for n in encoding if n not in names]
    if not unknown:
        return
    if names[:1] == [None]:
        mend = "but the field has no name; give it one, field.rename('t')"
    else:
        mend = f"but the field has the variables {names}"
    flat = not isinstance(encoding[unknown[0]], Mapping)
    example = next((n for n in names if n is not None), "t")
    hint = f"; it is by variable, encoding={{{example!r}: {dict(encoding)!r}}}" if flat else ""
    raise ValueError(f"encoding names {unknown[0]!r}, {mend}{hint}")


def packed(
    arrays: list[xr.DataArray], encoding: Mapping[Hashable, Mapping[str, Any]]
) -> tuple[Packing, dict[str, Any]]:
    """Give how all variables are packed, which a GeoTIFF has one way for, and the options of GDAL."""
    check_encoding(encoding, [a.name for a in arrays])
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
    told = scale_of(array)
    twice = [k for k in SCALE if told and k in given]
    if twice:
        raise ValueError(
            f"encoding has {twice[0]!r}, and the attributes of {named(array.name)!r} say {told} of its values already: leave "
            "the encoding out, or drop the attributes of values that are scaled, field.drop_attrs()"
        )
    scale, offset = (float((told or given).get(k, plain)) for k, plain in SCALE.items())
    if not np.isfinite([scale, offset]).all() or not scale:
        raise ValueError(
            f"scale_factor must be a number that is not 0, and add_offset a number, got {scale} and {offset}"
        )
    return Packing(dtype, scale, offset, fill, nodata, bool(told))


def scale_of(array: xr.DataArray) -> dict[str, float]:
    """Give what the attributes say of values that are not decoded: how numbers are scaled."""
    known = {k: array.attrs[k] for k in SCALE if k in array.attrs}
    found = {k: float(v) for k, v in known.items() if isinstance(v, int | float | np.number)}
    return {} if {**SCALE, **found} == SCALE else found


def tell_scale(obj: Any) -> None:
    """Warn of floats that readers will scale: whether a model did so already only its author knows."""
    arrays = obj.data_vars.values() if isinstance(obj, xr.Dataset) else [obj]
    for array in arrays:
        told = scale_of(array) if isinstance(array, xr.DataArray) else {}
        if told and array.dtype.kind == "f":
            tell(
                f"the attributes of {named(array.name) or 'the field'!r} say {told} of its floats, and readers will scale what is "
                "written; if they are scaled already, as by a model, drop what the field said: field.drop_attrs()"
            )


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
