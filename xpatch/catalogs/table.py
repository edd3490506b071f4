"""`catalog`: many files as a table, one row a file."""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xpatch.catalogs import times
from xpatch.catalogs.carriers import is_geodata, rows_of_carrier
from xpatch.catalogs.footprints import Rasters
from xpatch.catalogs.headers import row_of_file
from xpatch.catalogs.optional import optional
from xpatch.catalogs.stac import holds_items, items_of, rows_of_item
from xpatch.domain.areas import moved
from xpatch.domain.bounds import crs_code, same
from xpatch.domain.geoslice import GeoSlice
from xpatch.domain.interval import as_interval

OPEN_AT_ONCE = 16  # headers are small: waiting for a disk or a network takes the time
NEEDED = ("href", "proj:code", "proj:transform", "proj:shape", "bands", "dtype", "nodata")
SCHEME = re.compile(r"/vsi|[A-Za-z0-9_+.-]{2,}:")  # addresses, and what is in a file: netcdf:a.nc:t
PARQUET = (".parquet", ".geoparquet", ".pq")


def catalog(
    source: Any,
    *,
    time: Any = None,
    asset: Any = None,
    bounds: Any = None,
    crs: Any = 4326,
    where: str | None = None,
) -> Any:
    r"""List many files in a table, of which ``.patch.field`` makes one lazy field.

    Parameters
    ----------
    source : path, glob, or sequence of them, of STAC items, rasters or readers; or a table
        - Paths and globs of rasters, opened by rasterio to read their headers. Files of a glob are
          sorted, others keep their order.
        - STAC items (pystac's, or dictionaries): each asset that is a raster; nothing is opened where the
          projection extension tells all.
        - DataArrays with a CRS, each time of which is a row; readers and tensors of georeader, as `xpatch.field`
          takes them: a ``fill_value_default`` is missing. They are read in windows, and stay in the table as ``reader``.
        - The path of a GeoParquet file, of which the rows that match are read: by duckdb if that is
          installed, else by pyarrow.
        - A GeoDataFrame, of which the rows that match are taken.
    time : str, or pair of times, optional
        For paths a regular expression: what its groups match in the name of a file, one after the other, is its date,
        such as ``r"_(\d{8})\.tif"``. For all that has dates (start, end), half-open, [start, end) in UTC.
    asset : str, optional
        For files of one band each a regular expression: what its groups match in the name of a file is the band that it
        is of, such as ``r"_(B\d\d)_"``. Files of one place and time are then the bands of one field, as assets of
        a STAC item are.
    bounds : tuple, GeoSlice or geometry, optional
        Rows whose footprint intersects these (west, south, east, north) in ``crs``, or a geometry; touching counts.
        West greater than east is across the dateline. Of a `GeoSlice` the interval counts as well.
    crs : optional
        CRS of the footprints of files, and of ``bounds``.
    where : str, optional
        Condition on columns, as of `pandas.DataFrame.query`: ``"`eo:cloud_cover` < 20"``. What is missing matches
        no condition.

    Returns
    -------
    GeoDataFrame
        With the columns ``href``, ``geometry``, ``datetime`` (UTC, if there are dates), ``asset`` (if it is asked
        for, or of items), ``proj:code``, ``proj:transform``, ``proj:shape``, ``bands`` (their number), ``dtype`` and ``nodata``, as stac-geoparquet names
        them. The order of rows is their priority where files overlap. It is selected, joined and
        written as any table, ``cat.to_parquet(path, write_covering_bbox=True)``.

    Raises
    ------
    ValueError
        If there is no file, one twice, one without CRS or date, or none that matches.
    KeyError
        If ``where`` names a column that there is not.

    Examples
    --------
    >>> import rasterio, tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> for k, day in enumerate(("20240601", "20240611")):
    ...     transform = rasterio.Affine(10, 0, 5e5 + 200 * k, 0, -10, 5.2e6)
    ...     raster = dict(
    ...         width=32, height=32, count=1, dtype="uint8", nodata=0, transform=transform
    ...     )
    ...     with rasterio.open(
    ...         folder / f"a_{day}.tif", "w", crs="EPSG:32632", **raster
    ...     ) as file:
    ...         file.write(np.full((1, 32, 32), k + 1, "uint8"))
    >>> cat = xpatch.catalog(folder / "*.tif", time=r"_(\d{8})\.tif")
    >>> cat[["datetime", "proj:code", "bands", "dtype"]]
                       datetime   proj:code  bands  dtype
    0 2024-06-01 00:00:00+00:00  EPSG:32632      1  uint8
    1 2024-06-11 00:00:00+00:00  EPSG:32632      1  uint8
    >>> dict(cat.patch.field().sizes)
    {'time': 2, 'band': 1, 'y': 32, 'x': 52}
    """
    stored = is_parquet(source) or (isinstance(source, pd.DataFrame) and not holds_items(source))
    interval = time if stored or isinstance(time, tuple | list) else None
    if isinstance(bounds, GeoSlice):
        interval = bounds.interval if interval is None else interval
        bounds, crs_of = bounds.bounds, bounds.crs if bounds.crs is not None else crs
    else:
        crs_of = crs
    asked = {"bounds": bounds, "crs": crs_of, "interval": as_interval(interval), "where": where}
    if is_parquet(source):
        from xpatch.catalogs import query

        found = query.read(source, **asked)
        return with_assets(as_table(found, None, crs_code(crs)), asset)
    pattern = None if interval is time else times.as_pattern(time)
    table = with_assets(as_table(source, pattern, crs_code(crs)), asset)
    if asked["interval"] is not None and "datetime" not in table:
        raise ValueError(
            f"the files have no dates, of which {interval!r} could select; say where they stand in the names of files, "
            r"cat = xpatch.catalog(files, time=r'_(\d{8})\.tif'), and then xpatch.catalog(cat, time=(start, end))"
        )
    if bounds is None and asked["interval"] is None and where is None:
        return table
    from xpatch.catalogs import query

    return query.select(table, **asked)


def is_parquet(source: Any) -> bool:
    """Whether a source is the path of a table on disk."""
    path = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
    return path.lower().endswith(PARQUET)


def as_table(source: Any, pattern: Any, crs: str) -> Any:
    """Make the table of all files."""
    geopandas = optional("geopandas")
    if isinstance(source, pd.DataFrame):
        if not holds_items(source):
            return dated(source)
        source = list(items_of(source))
    rows = list(rows_of(source, pattern))
    if not rows:
        raise ValueError("no files: the source of the catalog is empty")
    check_duplicates([row["href"] for row in rows])
    check_duplicates([os.path.realpath(row["href"]) for row in rows if os.path.exists(row["href"])])
    missing = [row["href"] for row in rows if row["proj:code"] is None]
    if missing:
        raise ValueError(
            f"{missing[0]!r} has no CRS, so that nothing says where it is{_more(missing)}; write one, such as by rio "
            "edit-info --crs, or open it and give the field: xr.open_dataset(…)[name].rio.write_crs(4326)"
        )
    outlines = rasters_of(pd.DataFrame(rows)).footprints(crs)
    lost = [row["href"] for row, o in zip(rows, outlines, strict=True) if o.is_empty]
    if lost:
        raise ValueError(
            f"{lost[0]!r} reaches beyond the area of {crs}, in which its footprint shall be{_more(lost)}; take "
            "crs=4326"
        )
    given = [row.pop("geometry", None) for row in rows]
    for k, polygon in enumerate(given):  # of valid data, in degrees as STAC has them
        if polygon is not None:
            parts = [polygon] if same(crs, 4326) else moved(polygon, 4326, crs)
            outlines[k] = parts[0] if len(parts) == 1 else optional("shapely").union_all(parts)
    table = geopandas.GeoDataFrame(rows, geometry=outlines, crs=crs)
    if "datetime" in table:
        table["datetime"] = times.as_utc(table["datetime"])
    first = [n for n in ("href", "geometry", "datetime", *NEEDED[1:]) if n in table]
    return table[[*first, *(n for n in table if n not in first)]]


def rows_of(source: Any, pattern: Any) -> Iterator[dict[str, Any]]:
    """Give the columns of each file of a source."""
    sources = [source] if is_one(source) else listed(source)
    paths = [p for s in sources for p in (expanded(s) if isinstance(s, str | os.PathLike) else [s])]
    if not paths:
        raise ValueError("no files: the source of the catalog is empty")
    with ThreadPoolExecutor(OPEN_AT_ONCE) as pool:
        for rows in pool.map(lambda one: list(rows_of_one(one, pattern)), paths):
            yield from rows


def is_one(source: Any) -> bool:
    """Whether a source is one file, item or raster, rather than several."""
    lone = (str, os.PathLike, Mapping, xr.DataArray, xr.Dataset)
    alone = isinstance(source, lone) or hasattr(source, "assets") or is_geodata(source)
    return alone and not is_collection(source)


def is_collection(source: Any) -> bool:
    """Whether a source is a dictionary that lists STAC items."""
    return isinstance(source, Mapping) and source.get("type") == "FeatureCollection"


def listed(source: Any) -> list[Any]:
    """Give the files, items and rasters of several; what is no sequence is refused by its row."""
    found = source["features"] if is_collection(source) else source
    return list(found) if isinstance(found, Iterable) else [found]


def expanded(path: Any) -> list[str]:
    """Give the files of a path or a glob, sorted.

    Raises
    ------
    ValueError
        If there is none.
    """
    path = os.fspath(path)
    if SCHEME.match(path):
        return [path]
    if os.path.isdir(path):
        raise ValueError(
            f"{path!r} is a directory; say which files of it, {os.path.join(path, '*.tif')!r}"
        )
    found = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
    if not found:
        raise ValueError(f"no files: nothing matches {path!r} in {os.getcwd()!r}")
    return list(map(os.path.abspath, found))  # wherever they are read from


def rows_of_one(source: Any, pattern: Any) -> Iterable[dict[str, Any]]:
    """Give the columns of one file, of the assets of an item, or of a raster in memory."""
    if isinstance(source, str | os.PathLike):
        return [row_of_file(os.fspath(source), pattern)]
    mapping = isinstance(source, Mapping) and not isinstance(source, xr.Dataset)
    if mapping or hasattr(source, "assets"):
        return rows_of_item(source, row_of_file)
    return rows_of_carrier(source, pattern)


def check_table(table: Any) -> Any:
    """Raise unless a table has the columns of a catalog.

    Raises
    ------
    KeyError
        If columns are missing.
    ValueError
        If there is no row, or a file twice.
    TypeError
        If it is no table.
    """
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"expected the GeoDataFrame of xpatch.catalog, got {type(table).__name__}")
    missing = [n for n in NEEDED if n not in table]
    if missing:
        raise KeyError(
            f"this table is no catalog: it has no column {missing[0]!r} (it has {list(table.columns)[:8]}); "
            "xpatch.catalog(files) makes one, and of a table of stations "
            "table.to_xarray().set_coords(['lon', 'lat']) a field"
        )
    if not len(table):
        raise ValueError("the catalog has no row: no file is left after what it was selected by")
    check_duplicates(list(table["href"]))
    return table


def with_assets(table: Any, pattern: Any) -> Any:
    """Give a table with the assets that stand in the names of files."""
    if pattern is None:
        return table
    try:
        known = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(
            "asset is a regular expression whose groups are the band in the name of a file, such as "
            f"r'_(B\\d\\d)_'; got {pattern!r}: {error}"
        ) from None
    return table.assign(asset=[times.in_name(known, h, "asset") for h in table["href"]])


def dated(table: Any) -> Any:
    """Give a table with its dates in UTC; what else it needs to be read is asked by its field."""
    if "datetime" not in table or str(table["datetime"].dtype).endswith("UTC]"):
        return table
    return table.assign(datetime=times.as_utc(table["datetime"]))


def check_duplicates(hrefs: list[str]) -> None:
    """Raise a ValueError if a file is listed twice."""
    seen = pd.Series(hrefs, dtype=object)
    twice = seen[seen.duplicated()]
    if len(twice):
        rows = np.flatnonzero(seen == twice.iloc[0]).tolist()
        raise ValueError(
            f"{twice.iloc[0]!r} is listed {len(rows)} times, in rows {rows}{_more(list(twice))}; leave one, "
            "cat.drop_duplicates('href')"
        )


def rasters_of(table: Any) -> Rasters:
    """Give where the files lie.

    Raises
    ------
    ValueError
        If a row does not say so.
    """
    for name in ("proj:code", "proj:transform", "proj:shape"):
        lost = [k for k, v in enumerate(table[name]) if v is None or (np.ndim(v) == 0 and v != v)]
        if lost:
            raise ValueError(
                f"row {lost[0]}, {table['href'].iloc[lost[0]]!r}, has no {name!r}, which says where it is"
            )
    codes = {c: crs_code(c) for c in table["proj:code"].unique()}
    for name in ("proj:transform", "proj:shape"):
        text = [k for k, v in enumerate(table[name]) if isinstance(v, str)]
        if text:
            raise ValueError(
                f"row {text[0]}, {table['href'].iloc[text[0]]!r}, has {name}={table[name].iloc[text[0]]!r} as text; make it "
                "numbers, table[name].map(json.loads), or write tables as GeoParquet"
            )
    transforms = [np.asarray(t, float)[:6] for t in table["proj:transform"]]
    shapes = [np.asarray(s, np.int64)[-2:] for s in table["proj:shape"]]
    own = tuple(codes[c] for c in table["proj:code"])
    return _rasters(own, np.stack(transforms).tobytes(), np.stack(shapes).tobytes())


@functools.lru_cache(2)  # outlines of a table are asked for several times
def _rasters(codes: tuple[str, ...], transforms: bytes, shapes: bytes) -> Rasters:
    places = np.frombuffer(transforms).reshape(-1, 6)
    return Rasters(codes, places, np.frombuffer(shapes, np.int64).reshape(-1, 2))


def _more(found: list[Any]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""
