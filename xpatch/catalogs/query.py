"""Queries of catalogs: by bounds, interval and condition, of tables in files and in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch.catalogs.area import Area, area_of
from xpatch.catalogs.engines import ROW, Query, engine_of
from xpatch.catalogs.optional import optional
from xpatch.catalogs.parquet import Parts, parts_of
from xpatch.catalogs.terms import Condition
from xpatch.catalogs.where import condition, during, names_in


def read(
    path: Any,
    *,
    bounds: Any = None,
    crs: Any = 4326,
    interval: Any = None,
    where: str | None = None,
    engine: str | None = None,
) -> Any:
    """Read the rows of a GeoParquet file that match, in their order.

    Parameters
    ----------
    path : str or path
        A file, a folder of files, or a glob pattern; several files are taken in order of their names.
    bounds : tuple, shapely geometry, GeoSeries or GeoDataFrame, optional
        (west, south, east, north), or a geometry: rows whose footprint intersects or touches it. West
        of a box across the dateline is larger than east (RFC 7946). The rows need a column of their
        bounds, as geopandas writes it: ``gdf.to_parquet(path, write_covering_bbox=True)``.
    crs : optional
        CRS of the bounds, if they do not say it themselves; None: that of the file.
    interval : pair, optional
        (start, end): rows with a ``datetime`` in [start, end), in UTC; either may be None, and equal ends are
        one moment.
    where : str, optional
        An expression of columns, as pandas' query writes it. NaN is a missing value, and a comparison
        with a missing value is not true, and neither is its negation.
    engine : {"duckdb", "pyarrow"}, optional
        What reads; duckdb where it is installed. Rows are the same.

    Returns
    -------
    GeoDataFrame
        Columns, dtypes and index as `geopandas.read_parquet` gives them, in the CRS of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    KeyError
        If a column is not there.
    TypeError
        If a condition compares values of different kinds.
    ValueError
        If no row matches, the file is no GeoParquet, or what is asked cannot be read.
    ImportError
        If a package is missing; the message says which.

    Examples
    --------
    >>> import geopandas, shapely
    >>> squares = shapely.box([7, 8, 9], 46, [8, 9, 10], 47)
    >>> catalog = geopandas.GeoDataFrame(
    ...     {"href": ["a.tif", "b.tif", "c.tif"], "eo:cloud_cover": [5.0, 80.0, np.nan]},
    ...     geometry=squares,
    ...     crs=4326,
    ... )
    >>> folder = getfixture("tmp_path")
    >>> catalog.to_parquet(folder / "scenes.parquet", write_covering_bbox=True)
    >>> read(
    ...     folder / "scenes.parquet",
    ...     bounds=(7.5, 46, 8, 47),
    ...     where="`eo:cloud_cover` < 20",
    ... ).href.tolist()
    ['a.tif']
    """
    parts, find = parts_of(path), engine_of(engine)
    asked = _condition(parts.schema, parts.usable, interval, where)
    area = None if bounds is None else area_of(bounds, crs, parts.crs)
    if area is not None:
        parts.need_covering()
    boxes = None if area is None else area.boxes
    wraps = area is not None and area.geographic
    table = find(Query(parts, boxes, wraps, asked), parts.columns)
    if area is not None:
        table = table.filter(_touching(parts, table, area))
    if not table.num_rows:
        what = f"{parts.source!r} ({len(parts)} rows)"
        dates = parts.dates() if interval is not None else None
        raise _empty(what, bounds, interval, where, (parts.bounds(), parts.crs, crs), dates)
    rows = table[ROW].to_numpy()
    missing = [n for n in parts.columns if n not in table.column_names]
    rest = parts.take(rows, missing)
    for name in missing:
        table = table.append_column(rest.schema.field(name), rest[name])
    return parts.frame(table.select(parts.columns), rows)


def select(
    gdf: Any,
    *,
    bounds: Any = None,
    crs: Any = 4326,
    interval: Any = None,
    where: str | None = None,
) -> Any:
    """Select the rows of a table in memory that match, in their order, by its spatial index.

    Parameters
    ----------
    gdf : GeoDataFrame
        A catalog.
    bounds, crs, interval, where : optional
        As of `read`, whose rows are the same.

    Returns
    -------
    GeoDataFrame
        The rows, with their index.

    Raises
    ------
    KeyError, TypeError, ValueError
        As `read`.

    Examples
    --------
    >>> import geopandas, shapely
    >>> squares = shapely.box([7, 8, 9], 46, [8, 9, 10], 47)
    >>> catalog = geopandas.GeoDataFrame(
    ...     {"cloud": [5, 80, 10]}, geometry=squares, crs=4326
    ... )
    >>> select(catalog, bounds=(8.5, 46, 9, 47), where="cloud < 20").index.tolist()
    [2]
    """
    keep = np.ones(len(gdf), bool)
    if interval is not None or where is not None:
        keep &= _matching(gdf, interval, where)
    if bounds is not None:
        area = area_of(bounds, crs, gdf.crs)
        keep &= _indexed(gdf, area)
    if not keep.any():
        what = f"the catalog of {len(gdf)} rows"
        dates = (gdf["datetime"].min(), gdf["datetime"].max()) if interval is not None else None
        extent = gdf.total_bounds if len(gdf) else None
        raise _empty(what, bounds, interval, where, (extent, gdf.crs, crs), dates)
    return gdf[keep]


def _condition(schema: Any, known: list[str], interval: Any, where: str | None) -> Condition | None:
    """Join the condition on dates and the condition on columns."""
    found = None if interval is None else during(interval, schema)
    if where is None:
        return found
    asked = condition(where, schema, known)
    return asked if found is None else found & asked


def _touching(parts: Parts, table: Any, area: Area) -> Any:
    """Whether the footprints of rows intersect the area, as an array of Arrow."""
    primary = parts.primary
    if primary in table.column_names:
        found = table.select([primary])
    else:
        found = parts.take(table[ROW].to_numpy(), [primary])
    return optional("pyarrow").array(area.touches(np.asarray(parts.geometries(found)[primary])))


def _indexed(gdf: Any, area: Area) -> NDArray[np.bool_]:
    """Whether footprints intersect the area, by the spatial index."""
    keep = np.zeros(len(gdf), bool)
    for part in area.parts:
        keep[gdf.sindex.query(part, predicate="intersects")] = True
    return keep


def _matching(gdf: Any, interval: Any, where: str | None) -> NDArray[np.bool_]:
    """Whether rows of a table in memory match, by the same expression of Arrow as in files."""
    pa = optional("pyarrow")
    levels = {n: gdf.index.get_level_values(n) for n in gdf.index.names if isinstance(n, str)}
    geometries = set(gdf.columns[gdf.dtypes == "geometry"])
    known = [n for n in (*gdf.columns, *levels) if isinstance(n, str) and n not in geometries]
    used = [
        *(names_in(where) if where is not None else []),
        *(["datetime"] * (interval is not None)),
    ]
    columns = {n: _arrow(n, levels[n] if n in levels else gdf[n]) for n in used if n in known}
    table = pa.table({**columns, ROW: np.arange(len(gdf))})
    asked = _condition(table.select(list(columns)).schema, known, interval, where)
    keep = np.zeros(len(gdf), bool)
    if asked is not None:
        keep[table.filter(asked.arrow)[ROW].to_numpy()] = True
    return keep


def _arrow(name: str, column: Any) -> Any:
    pa = optional("pyarrow")
    if getattr(column, "ndim", 1) > 1:
        raise ValueError(f"{column.shape[1]} columns are named {name!r}; rename them")
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise TypeError(
            f"the column {name!r} holds values that cannot be compared ({error}); conditions are on columns "
            "of numbers, strings, times and truth values"
        ) from None


def _empty(
    what: str, bounds: Any, interval: Any, where: str | None, extent: Any, dates: Any
) -> ValueError:
    """Say what the catalog holds instead of what was asked for."""
    asked = {"bounds": bounds, "interval": interval, "where": where}
    given = ", ".join(
        f"{name}={value!r}"[:120] for name, value in asked.items() if value is not None
    )
    holds = []
    reach, table_crs, crs = extent
    if reach is not None and np.isfinite(reach).all():
        holds.append(f"bounds {_in_crs(reach, table_crs, getattr(bounds, 'crs', None) or crs)}")
    if dates is not None:
        first, last = dates
        holds.append(f"dates from {first} to {last}" if first is not None else "no dates")
    said = f"; it has {' and '.join(holds)}" if holds else ""
    return ValueError(f"no row of {what} matches {given or 'anything'}{said}")


def _in_crs(reach: NDArray, source: Any, target: Any) -> str:
    """Write bounds in the CRS that was asked in, or in their own where they cannot be written so."""
    found, name = reach, source
    if source is not None and target is not None:
        pyproj = optional("pyproj")
        target = ax.as_crs(target)
        move = pyproj.Transformer.from_crs(source, target, always_xy=True)
        moved = np.array(move.transform_bounds(*reach))
        found, name = (moved, target) if np.isfinite(moved).all() else (reach, source)
    text = ", ".join(f"{value:.10g}" for value in found)
    return f"({text})" + ("" if name is None else f" in {ax.crs_name(ax.as_crs(name))}")
