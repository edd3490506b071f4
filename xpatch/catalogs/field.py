"""`field`: the files of a catalog on one grid, as an xarray object that is read when it is looked at."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from xpatch.catalogs import times
from xpatch.catalogs.footprints import Rasters
from xpatch.catalogs.grid import Grid, at, boxes_on, corners
from xpatch.catalogs.gridding import MARGIN, check_scale, grid_for, own_grid, transform_of
from xpatch.catalogs.mosaic import OVERLAPS, Mosaic
from xpatch.catalogs.optional import optional
from xpatch.catalogs.scenes import SceneFile
from xpatch.catalogs.storage import band_numbers, missing, storage, tell_hidden, together
from xpatch.catalogs.table import check_table, rasters_of
from xpatch.domain.affine import is_straight, written
from xpatch.domain.bounds import read_crs
from xpatch.domain.geoslice import GeoSlice
from xpatch.domain.turns import TURN

CHUNK = 256  # cells that are best read together: the tiles of most files
NAME = "data"  # of the variable in the nodes of a pyramid


def field(
    table: Any,
    *,
    crs: Any = None,
    resolution: Any = None,
    bounds: Any = None,
    like: Any = None,
    time: Any = "exact",
    bands: Any = None,
    resampling: str = "nearest",
    overlap: str = "first",
    fill_value: Any = None,
    open: Any = None,
) -> Any:
    """Give the files of a catalog as one field, which is read when it is looked at.

    A cell has one value, whichever window, thread, process, set of bands or chunking asks for it. Cells
    of files on the lattice of the field are read as they are; others are warped by GDAL, from the overview
    that fits.

    Parameters
    ----------
    table : GeoDataFrame
        A catalog, or a selection of its rows.
    crs : optional
        CRS of the field; default: that of the files, if they have one.
    resolution : float, (x, y), or list of them, optional
        Size of a cell in units of the CRS; edges of the field are whole multiples of it. Default: that of the files, with
        their edges, if they lie on one lattice. A list gives a DataTree with a field for each, the nodes
        ``"10"``, ``"20"`` …
    bounds : (left, bottom, right, top), GeoSlice, shapely geometry, GeoSeries or GeoDataFrame, optional
        What the field covers, in its CRS, or in that which they bring; default: all files. Of a `GeoSlice` the
        interval and the resolution count as well, and its CRS is that of the field if ``crs`` is not given.
    like : DataArray, Dataset, GeoSlice or GeoBox of odc, optional
        The grid of the field, in place of ``crs``, ``resolution`` and ``bounds``.
    time : "exact", "solar_day", offset or None, default: "exact"
        What is one time of the field: each date of the files; the days of the sun at the centroid of the catalog; the
        periods of an offset (``"1MS"``); None: all files are one mosaic. Files of one time overlap.
    bands : sequence of int or str, optional
        Bands by number from 1, by description, or by asset of STAC items; default: all.
    resampling : str, default: "nearest"
        How cells are warped, a word of rasterio: "nearest", "bilinear", "cubic", "average", "mode" …
    overlap : {"first", "last", "mean", "min", "max", "count"}, default: "first"
        What a cell is of which several files of one time have a value, in the order of the rows.
    fill_value : scalar, optional
        What stands for missing; default: NaN for floats, the nodata of the files for integers. NaN makes
        integers floats, which arithmetic needs.
    open : callable, optional
        Opens a file in place of rasterio: takes the href and gives a reader with a method ``read_from_window(window)``;
        both may be awaitable. All bands of the window are to come, (band, row, column). Of what a file leaves out only
        its nodata is known then, no mask or alpha band.

    Returns
    -------
    DataArray, or DataTree
        Dimensions ``(time, band, y, x)``, without time if no file has a date. What no file covers, and what
        their nodata, masks and alpha bands leave out, is missing.

    Raises
    ------
    ValueError
        If files differ in CRS, bands, dtype, nodata or scale and nothing says which is meant; if integers would have
        gaps without a number for them; if the resolution is not in the units of the CRS.
    KeyError
        If the table is no catalog, or has not the bands.

    See Also
    --------
    xpatch.catalog : Makes the table.

    Examples
    --------
    >>> import rioxarray
    >>> at = {"y": 5.2e6 - 10.0 * np.arange(8), "x": 5e5 + 10.0 * np.arange(8)}
    >>> scene = xr.DataArray(np.ones((8, 8), "f4"), at, ("y", "x")).rio.write_crs(32632)
    >>> east = scene.assign_coords(x=scene.x + 80)
    >>> cat = xpatch.catalog([scene, east])
    >>> dict(cat.patch.field().sizes)
    {'band': 1, 'y': 8, 'x': 16}
    """
    check_table(table)
    check_word(overlap, OVERLAPS, "overlap")
    check_resampling(resampling)
    slices = [v for v in (bounds, like) if isinstance(v, GeoSlice)]
    for part in slices:
        table = during(table, part)
    words = {"time": time, "bands": bands, "resampling": resampling, "overlap": overlap}
    words |= {"fill_value": fill_value, "open": open}
    if isinstance(resolution, list):
        from xpatch.catalogs.pyramid import pyramid

        grids = pyramid(table, crs, resolution, bounds, like)
        return xr.DataTree.from_dict(
            {n: on_grid(table, g, **words).to_dataset(name=NAME) for n, g in grids.items()}
        )
    return on_grid(table, grid_for(table, crs, resolution, bounds, like), **words)


def during(table: Any, part: GeoSlice) -> Any:
    """Leave out the files of other times than those of a slice."""
    if part.interval is None:
        return table
    if "datetime" not in table:
        raise ValueError(f"{part!r} has an interval, and the files of the catalog have no datetime")
    chosen = table[part.during(times.as_utc(table["datetime"]))]
    if not len(chosen):
        dates = times.as_utc(table["datetime"])
        raise ValueError(
            f"no file is of the interval of {part!r}; the catalog has dates from {dates.min()} to {dates.max()}"
        )
    return chosen


def on_grid(
    table: Any,
    grid: Grid,
    *,
    time: Any,
    bands: Any,
    resampling: str,
    overlap: str,
    fill_value: Any,
    open: Any,
) -> xr.DataArray:
    """Put the files on a grid."""
    rasters = rasters_of(table)
    steps, labels = times.steps(table, time, functools.partial(central_longitude, rasters))
    scene = together(table, rasters)
    numbers, names = band_numbers(table, bands, scene)
    tell_hidden(table, scene, overlap)
    boxes = boxes_on(grid, rasters, MARGIN)
    check_scale(table, grid, boxes, rasters.shapes)
    gaps = functools.partial(gaps_in, grid, rasters, steps)
    dtype, fill, attrs = storage(table, numbers, overlap, fill_value, gaps)
    scenes = scenes_of(table, rasters, open)
    attrs |= long_names(table, numbers) if names.dtype.kind in "iu" else {}
    mosaic = Mosaic(scenes, numbers, steps, grid, boxes, resampling, overlap, dtype, fill)
    dims = ("time", "band", *grid.dims)
    chunks = {"time": 1, "band": len(names), grid.dims[0]: CHUNK, grid.dims[1]: CHUNK}
    sizes = dict(zip(dims, mosaic.shape, strict=True))
    encoding = {"preferred_chunks": {d: min(n, max(sizes[d], 1)) for d, n in chunks.items()}}
    variable = xr.Variable(dims, indexing.LazilyIndexedArray(mosaic), attrs, encoding)
    coords: dict[Any, Any] = {"band": ("band", names), **labels_of(grid)}
    if labels is not None:
        coords["time"] = ("time", labels, {"standard_name": "time"})
    out = xr.DataArray(variable if labels is not None else variable[0], coords)
    out.encoding["grid_mapping"] = "spatial_ref"
    return out


def long_names(table: Any, numbers: NDArray[np.int64]) -> dict[str, Any]:
    """Give the names of bands, if all files have the same, as rioxarray has them."""
    given = table.get("band_names", [None])
    known = {tuple(n) if isinstance(n, list | tuple | np.ndarray) else None for n in given}
    names = next(iter(known))
    if len(known) > 1 or names is None or (numbers != numbers[0]).any():
        return {}
    return {"long_name": tuple(str(names[n - 1]) for n in numbers[0].tolist())}


def labels_of(grid: Grid) -> dict[Any, Any]:
    """Give the coordinates of rows and columns, and the grid mapping."""
    crs = read_crs(grid.crs)
    words = (
        (("latitude", "degrees_north", "Y"), ("longitude", "degrees_east", "X"))
        if crs.is_geographic
        else (("projection_y_coordinate", None, "Y"), ("projection_x_coordinate", None, "X"))
    )
    out: dict[Any, Any] = {}
    straight = is_straight(
        grid.transform
    )  # cells of a rotated grid have no labels along one dimension
    named = list(zip(grid.dims, words, strict=True)) if straight else []
    for axis, (dim, (name, units, kind)) in enumerate(named):
        attrs = {"axis": kind, "standard_name": name, "units": units or _units(crs, axis)}
        out[dim] = (dim, grid.coordinate(axis), attrs)
    attrs = {"crs_wkt": crs.to_wkt(), "spatial_ref": crs.to_wkt()} | _cf(crs)
    attrs["GeoTransform"] = written(grid.transform)
    out["spatial_ref"] = ((), 0, attrs)
    return out


def _units(crs: Any, axis: int) -> str:
    infos = crs.axis_info
    return str(infos[min(axis, len(infos) - 1)].unit_name) if infos else "metre"


def _cf(crs: Any) -> dict[str, Any]:
    return {k: v for k, v in crs.to_cf().items() if k != "crs_wkt"}


def central_longitude(rasters: Rasters) -> float:
    """Give the longitude of the centroid of all footprints, also of ones at the dateline."""
    import shapely

    parts = shapely.get_parts(rasters.footprints("EPSG:4326"))
    turn = np.deg2rad(shapely.get_x(shapely.centroid(parts)))
    area = shapely.area(parts)
    return float(np.rad2deg(np.arctan2((area * np.sin(turn)).sum(), (area * np.cos(turn)).sum())))


def scenes_of(table: Any, rasters: Rasters, open: Any) -> list[SceneFile]:
    """Give what is read of each file."""
    readers = list(table["reader"]) if "reader" in table else [None] * len(table)
    readers = [r if hasattr(r, "read") else None for r in readers]  # those of files are NaN
    if open is not None:
        from xpatch.catalogs.carriers import Opened

        readers = [
            Opened(open, href) if reader is None else reader
            for href, reader in zip(table["href"], readers, strict=True)
        ]
    out = []
    every = zip(table["href"], table["dtype"], table["nodata"], readers, strict=True)
    for k, (href, dtype, nodata, reader) in enumerate(every):
        number = missing(nodata, np.dtype(dtype), href)
        own, (rows, columns) = transform_of(rasters, k), rasters.shapes[k].tolist()
        out.append(
            SceneFile(
                os.fspath(href), rasters.codes[k], own, (rows, columns), str(dtype), number, reader
            )
        )
    return out


def gaps_in(grid: Grid, rasters: Rasters, steps: NDArray[np.int64]) -> bool:
    """Whether there are cells that no file of a time covers: by the outlines, without reading."""
    import shapely

    ring = np.stack(at(grid.transform, *corners(*grid.shape)), axis=-1)  # which may be turned
    whole = shapely.Polygon(ring).buffer(-1e-3 * min(grid.resolution))
    polygons = rasters.footprints(grid.crs)
    if read_crs(grid.crs).is_geographic:  # whose longitudes may be counted otherwise
        turned = [
            shapely.transform(polygons, lambda p, t=t: p + np.array([t, 0.0]))
            for t in (-TURN, TURN)
        ]
        polygons, steps = np.concatenate([polygons, *turned]), np.tile(steps, 3)
    times = (polygons[steps == step] for step in range(int(steps.max(initial=0)) + 1))
    return not all(shapely.covers(shapely.union_all(own), whole) for own in times)


def scenes(
    table: Any, *, bands: Any = None, fill_value: Any = None, open: Any = None
) -> Iterator[Any]:
    """Give each file of a catalog as a field of its own, on its own grid, in the order of the rows.

    Parameters
    ----------
    table : GeoDataFrame
        A catalog.
    bands : sequence of int or str, optional
        Bands by number from 1, by description, or by asset of STAC items; default: all.
    fill_value : scalar, optional
        What stands for missing; default: NaN for floats, the nodata of the files for integers.
    open : callable, optional
        Opens a file in place of rasterio: takes the href and gives a reader with a method
        ``read_from_window(window)``.

    Returns
    -------
    iterator of DataArray
        Dimensions ``(band, y, x)``, read when it is looked at, with the coordinates ``href`` and, if there is a date,
        ``time``. `xpatch.concat` joins their patches.

    Examples
    --------
    >>> import rioxarray
    >>> at = {"y": 5.2e6 - 10.0 * np.arange(8), "x": 5e5 + 10.0 * np.arange(8)}
    >>> scene = xr.DataArray(np.ones((8, 8), "f4"), at, ("y", "x")).rio.write_crs(32632)
    >>> east = scene.assign_coords(x=scene.x + 80)
    >>> cat = xpatch.catalog([scene, east])
    >>> [float(scene.x[0]) for scene in cat.patch.scenes()]
    [500000.0, 500080.0]
    """
    check_table(table)
    for k in range(len(table)):
        row = table.iloc[k : k + 1]
        yield scene(row, bands, fill_value, open)


def scene(row: Any, bands: Any, fill_value: Any, open: Any) -> xr.DataArray:
    """Give one file as a field."""
    dated = "datetime" in row and not row["datetime"].isna().any()
    out = on_grid(
        row,
        own_grid(row),
        time="exact" if dated else None,
        bands=bands,
        resampling="nearest",
        overlap="first",
        fill_value=fill_value,
        open=open,
    )
    out = out.isel(time=0) if "time" in out.dims else out
    return out.assign_coords(href=row["href"].iloc[0])


def check_word(word: Any, words: Sequence[str], what: str) -> None:
    """Raise a ValueError unless a word is one of some."""
    if word not in words:
        raise ValueError(f"{what} must be one of {', '.join(map(repr, words))}; got {word!r}")


def check_resampling(word: Any) -> None:
    """Raise a ValueError unless a word is a resampling of GDAL."""
    optional("rasterio")
    from rasterio.enums import Resampling

    check_word(word, [r.name for r in Resampling if r.name != "gauss"], "resampling")
