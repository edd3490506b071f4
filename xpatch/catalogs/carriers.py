"""What is read in place of a file: fields with a CRS, and readers and tensors of georeader."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xpatch.catalogs import times
from xpatch.catalogs.grid import Cells, Grid, Transform, as_window, grid_of
from xpatch.catalogs.opening import Opened, array_of, picked
from xpatch.domain.bounds import crs_code
from xpatch.domain.nodata import Nodata, nodata_of

__all__ = ["Opened", "is_geodata", "rows_of_carrier", "window_of", "windows_of"]

DATES = ("time", "times", "dates", "datetime")  # where readers may have theirs


@dataclasses.dataclass(frozen=True, eq=False)
class OfField:
    """A field (band, y, x), or (y, x), read in windows."""

    array: xr.DataArray
    nodata: Nodata | None

    def read(self, bands: Sequence[int], cells: Cells) -> NDArray[Any]:
        """Read a window: values (band, row, column)."""
        top, left, bottom, right = cells
        part = self.array[..., top:bottom, left:right]
        every = part.values[None] if part.ndim == 2 else None
        which = [b - 1 for b in bands]
        values = part[which].values if every is None else every[which]
        if self.nodata is not None and len(self.nodata.values) > 1:
            values = np.where(self.nodata.where(values), self.nodata.values[0], values)
        return np.asarray(values)


@dataclasses.dataclass(frozen=True, eq=False)
class OfReader:
    """An object of the GeoData protocol of georeader, read in windows if it can be.

    Parameters
    ----------
    source : object
        The reader or tensor.
    step : int, optional
        Which time of one with four dimensions.
    """

    source: Any
    step: int | None = None

    def read(self, bands: Sequence[int], cells: Cells) -> NDArray[Any]:
        """Read a window: values (band, row, column)."""
        if self._by_bands:
            return self._timed(
                np.asarray(self.source.read(window=as_window(cells), indexes=[*bands]))
            )
        if isinstance(self.source, np.ndarray) or not hasattr(self.source, "read_from_window"):
            top, left, bottom, right = cells
            return picked(self._timed(self._whole[..., top:bottom, left:right]), bands)
        return picked(self._timed(array_of(self.source.read_from_window(as_window(cells)))), bands)

    def _timed(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.step is None else values[self.step]

    @property
    def _by_bands(self) -> bool:
        """Whether it reads bands of files that it opens for each window, as RasterioReader does."""
        paths = getattr(self.source, "paths", ())
        return hasattr(self.source, "indexes") and (
            len(paths) == 1 or getattr(self.source, "stack", False)
        )

    @cached_property
    def _whole(self) -> NDArray[Any]:
        return array_of(self.source)

    def __getstate__(self) -> dict[str, Any]:
        source = np.asarray(self.source) if isinstance(self.source, np.ndarray) else self.source
        return {"source": source, "step": self.step}  # what is pickled of a tensor is an array


def window_of(scene: Any, bands: Sequence[int], cells: Cells) -> NDArray[Any]:
    """Read a window of the carrier of a scene, and check it.

    Raises
    ------
    ValueError
        If it is of another shape or dtype.
    """
    return checked(scene, scene.carrier.read(bands, cells), bands, cells)


def windows_of(scene: Any, bands: Sequence[int], parts: Sequence[Cells]) -> Iterator[NDArray[Any]]:
    """Read several windows, some at once if the carrier can, and check them."""
    carrier = scene if scene.carrier is None else scene.carrier
    many = getattr(carrier, "reads", None)
    found = many(bands, parts) if many else (carrier.read(bands, cells) for cells in parts)
    for cells in parts:
        with scene.reading(cells):
            values = checked(scene, next(found), bands, cells)
        yield values


def checked(scene: Any, values: NDArray, bands: Sequence[int], cells: Cells) -> NDArray[Any]:
    """Raise a ValueError unless values are what the catalog says."""
    shape = (len(bands), cells[2] - cells[0], cells[3] - cells[1])
    if values.shape != shape or values.dtype != np.dtype(scene.dtype):
        raise ValueError(
            f"{scene.href!r} gives {values.dtype} of shape {values.shape} for a window of {scene.dtype} of shape {shape}: "
            "its reader must read what the catalog says, (band, row, column)"
        )
    return values


def is_geodata(source: Any) -> bool:
    """Whether an object lies on the ground as georeader's do: by its transform, CRS and shape."""
    transform = getattr(source, "transform", None)
    readable = any(hasattr(source, n) for n in ("read_from_window", "values", "load"))
    if callable(transform) or not readable or not hasattr(source, "crs"):
        return False
    return hasattr(source, "shape") and np.size(tuple(transform or ())) in (6, 9)


def rows_of_carrier(source: Any, pattern: Any = None) -> list[dict[str, Any]]:
    """Give the columns of a raster that is no file: a row for each of its times.

    Parameters
    ----------
    source : DataArray, or reader or tensor of georeader
        The raster.
    pattern : compiled pattern, optional
        Finds the date in the names of the files of a reader.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If nothing says where or when it is.
    """
    if isinstance(source, xr.DataArray):
        rows = list(rows_of_field(source))
    elif isinstance(source, xr.Dataset):
        raise TypeError(
            f"a raster has one dtype and its bands: take a variable, dataset[{str(next(iter(source), 'red'))!r}], or "
            "dataset.to_dataarray('band')"
        )
    elif is_geodata(source):
        rows = list(rows_of_reader(source))
    else:
        known = "a path, a STAC item, a DataArray with a CRS, or a reader of georeader"
        path = getattr(source, "name", None)  # of an open file
        hint = f": xpatch.catalog({path!r})" if hasattr(source, "colorinterp") else ""
        raise TypeError(f"a row of a catalog is {known}, got {type(source).__name__}{hint}")
    if len(rows) > 1 and "datetime" not in rows[0] and pattern is None:
        raise ValueError(
            f"{type(source).__name__} of shape {tuple(source.shape)} has no dates, of which each row of a catalog needs "
            "one: give them, reader.attrs['time'] = [...], or say where they stand in the names of its files, "
            r"xpatch.catalog(reader, time=r'_(\d{8})')"
        )
    for row in rows:
        if pattern is not None and "datetime" not in row:
            row["datetime"] = times.from_name(pattern, row["href"])
    return rows


def rows_of_field(field: xr.DataArray) -> Iterator[dict[str, Any]]:
    """Give the rows of a field."""
    kind_of(field.dtype, "a field")
    grid = grid_of(field, "the field")
    others = [d for d in field.dims if d not in grid.dims]
    dated = [d for d in others if d == "time" or _dates(field, d) is not None]
    bands = [d for d in others if d not in dated]
    if len(dated) > 1 or len(bands) > 1:
        raise ValueError(
            f"a raster has rows, columns, bands and times, and this field has {list(field.dims)}: select along "
            f"{[*dated[1:], *bands[1:]]}, or stack them, field.stack(band={bands!r})"
        )
    array = field.transpose(*dated, *bands, *grid.dims)
    nodata = nodata_of(field)
    known = {} if nodata is None else {"nodata": nodata.values[0].item()}
    row = plain(grid, array.sizes[bands[0]] if bands else 1, array.dtype) | known
    row |= band_names(field, bands) | packing(field)
    source = str(field.encoding.get("source", ""))
    label = field.name if field.name is not None else os.path.basename(source) or "DataArray"
    href = f"memory:{label}-{id(field):x}"
    if not dated:
        date = _dates(field, "time") if "time" in field.coords else None
        when = {} if date is None else {"datetime": times.utc(date[()])}
        yield {"href": href, **row, **when, "reader": OfField(array, nodata)}
        return
    dates = _dates(field, dated[0])
    if dates is None:
        raise ValueError(
            f"the labels along {dated[0]!r} are no dates (datetime64), which each row of a catalog needs; give them, "
            f"field.assign_coords({dated[0]}=…), or call the dimension 'band'"
        )
    for k, date in enumerate(dates):
        carrier = OfField(array[k], nodata)
        when = {"datetime": times.utc(date)}
        yield {"href": f"{href}[{dated[0]}={date}]", **row, **when, "reader": carrier}


def rows_of_reader(source: Any) -> Iterator[dict[str, Any]]:
    """Give the rows of a reader or a tensor, with dates where it has some."""
    kind = type(source).__name__
    dtype = getattr(source, "dtype", None)
    if dtype is None or source.crs is None or not 2 <= len(source.shape) <= 4:
        raise ValueError(
            f"{kind} must have a dtype, a crs and two to four dimensions (time, band, row, column), got dtype={dtype}, "
            f"crs={source.crs}, shape={tuple(source.shape)}"
        )
    kind_of(dtype, kind)
    grid = grid_of_reader(source)
    shape = tuple(map(int, source.shape))
    nodata = nodata_of_reader(source)
    known = {} if nodata is None else {"nodata": nodata}
    row = plain(grid, shape[-3] if len(shape) > 2 else 1, dtype) | known | reader_names(source)
    dates = dates_of(source, shape[0] if len(shape) == 4 else 1)
    href = href_of(source)
    if len(shape) < 4:
        when = {} if dates is None else {"datetime": dates[0]}
        yield {"href": href, **row, **when, "reader": OfReader(source)}
        return
    paths = getattr(source, "paths", None)
    for k in range(shape[0]):
        # a reader of files would open all of them for each time
        part = source.isel({"time": [k]}) if paths else source
        own = href_of(part) if paths else f"{href}[time={k}]"
        when = {} if dates is None else {"datetime": dates[k]}
        yield {"href": own, **row, **when, "reader": OfReader(part, 0 if paths else k)}


def plain(grid: Grid, bands: int, dtype: Any) -> dict[str, Any]:
    """Give the columns that each raster has."""
    return {
        "proj:code": grid.crs,
        "proj:transform": list(grid.transform),
        "proj:shape": list(grid.shape),
        "bands": int(bands),
        "dtype": str(np.dtype(dtype)),
        "nodata": None,
    }


def kind_of(dtype: Any, what: str) -> None:
    """Raise a TypeError unless values of a dtype can be warped."""
    if np.dtype(dtype).kind not in "iuf":
        raise TypeError(
            f"rasters hold integers or floats, and {what} has {np.dtype(dtype)}: convert it, such as "
            "field.astype('uint8')"
        )


def band_names(field: xr.DataArray, bands: Sequence[Hashable]) -> dict[str, Any]:
    """Give the names of the bands of a field: its labels, those of rioxarray, or of one band its name."""
    if not bands:
        return {} if field.name is None else {"band_names": [str(field.name)]}
    count = field.sizes[bands[0]]
    long = field.attrs.get("long_name")
    if isinstance(long, list | tuple) and len(long) == count:
        return {"band_names": [str(n) for n in long]}
    labels = field.coords[bands[0]].values if bands[0] in field.coords else np.arange(0)
    return {"band_names": [str(v) for v in labels]} if labels.dtype.kind in "OUT" else {}


def packing(field: xr.DataArray) -> dict[str, Any]:
    """Give scale and offset of the values of a field that is not decoded."""
    given = (("raster:scale", "scale_factor"), ("raster:offset", "add_offset"))
    return {column: float(field.attrs[n]) for column, n in given if n in field.attrs}


def grid_of_reader(source: Any) -> Grid:
    """Give the grid of a reader or a tensor."""
    a, b, c, d, e, f = map(float, tuple(source.transform)[:6])
    own: Transform = (a, b, c, d, e, f)
    rows, columns = map(int, source.shape[-2:])
    return Grid(crs_code(source.crs), own, (rows, columns))


def nodata_of_reader(source: Any) -> Any:
    """Give what stands for missing in a reader or a tensor; None if nothing does.

    Raises
    ------
    ValueError
        If its window reaches beyond its file, where it reads what the file does not call missing.
    """
    fill = getattr(source, "fill_value_default", None)
    nodata = getattr(source, "nodata", fill)
    focus, whole = (getattr(source, n, None) for n in ("window_focus", "real_window"))
    beyond = focus is not None and whole is not None and _beyond(focus, whole)
    if beyond and (nodata is None or (nodata != fill and nodata == nodata)):
        raise ValueError(
            f"the window of the reader reaches beyond its file, where it reads {fill!r}, and the nodata of the file "
            f"is {nodata!r}: clip it, reader.set_window(window, boundless=False)"
        )
    if nodata is None or nodata != nodata:
        return None
    held = nodata_of(xr.Variable((), np.zeros((), source.dtype), {"_FillValue": nodata}))
    return None if held is None else held.values[0].item()


def _beyond(focus: Any, whole: Any) -> bool:
    low = focus.row_off < 0 or focus.col_off < 0
    high = focus.row_off + focus.height > whole.height or focus.col_off + focus.width > whole.width
    return bool(low or high)


def reader_names(source: Any) -> dict[str, Any]:
    """Give the names of bands that the files of a reader have."""
    names = list(getattr(source, "descriptions", None) or ())
    names = list(names[0]) if names and isinstance(names[0], list | tuple) else names
    known = {"band_names": [str(n or k + 1) for k, n in enumerate(names)]}
    return known if any(names) else {}


def dates_of(source: Any, count: int) -> list[pd.Timestamp] | None:
    """Give the dates of a reader, if it has any."""
    attrs = getattr(source, "attrs", None) or {}
    for name in DATES:
        found = getattr(source, name, attrs.get(name))
        if found is None or callable(found):
            continue
        dates = list(found) if np.ndim(found) or isinstance(found, pd.Index) else [found]
        if len(dates) != count:
            raise ValueError(
                f"{type(source).__name__} has {count} times and {len(dates)} dates in {name!r}"
            )
        return [times.utc(d) for d in dates]
    return None


def href_of(source: Any) -> str:
    """Name a reader: by its file, with the window and bands if it has not all; or a tensor."""
    paths = [os.fspath(p) for p in getattr(source, "paths", None) or ()]
    if not paths:
        return f"memory:{type(source).__name__}-{id(source):x}"
    href = paths[0] + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    focus, whole = (getattr(source, n, None) for n in ("window_focus", "real_window"))
    if focus is not None and focus != whole:
        href += f"#rows={focus.row_off}:{focus.row_off + focus.height},columns={focus.col_off}:{focus.col_off + focus.width}"
    indexes, every = (getattr(source, n, None) for n in ("indexes", "real_indexes"))
    return href if indexes == every else f"{href}#bands={indexes}"


def _dates(field: xr.DataArray, name: Hashable) -> NDArray[Any] | None:
    """Give the dates under a name."""
    found: NDArray[Any] = field.coords[name].values if name in field.coords else np.zeros(0)
    return found if found.dtype.kind == "M" else None
