"""Which rows of GeoParquet files match a condition on columns and on bounds: by Arrow and by duckdb.

Neither looks at geometries; both find the rows whose bounds meet one of some boxes.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import operator
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.catalogs.optional import optional
from xpatch.catalogs.parquet import Parts
from xpatch.catalogs.terms import Condition, identifier, quoted

ROW = "__row__"
DUCKDB = {  # settings that older versions do not all have
    "parquet_can_have_nan": "true",  # else groups of rows are skipped by bounds that leave NaN out
    "enable_geoparquet_conversion": "false",
    "ieee_floating_point_ops": "true",
    "enable_progress_bar": "false",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Query:
    """What is asked of files before geometries are looked at.

    Parameters
    ----------
    parts : Parts
        Files.
    boxes : array (box, 4), optional
        Rows whose bounds meet none of them are left out.
    wraps : bool
        Whether bounds with xmin > xmax lie across the dateline, as GeoParquet has it.
    condition : Condition, optional
        Condition on columns.
    """

    parts: Parts
    boxes: NDArray[np.float64] | None
    wraps: bool
    condition: Condition | None


def engine_of(name: str | None) -> Any:
    """Give the function of an engine: duckdb where it is installed, else pyarrow.

    Raises
    ------
    ValueError
        If there is no engine of that name.
    """
    if name is None:
        name = "duckdb" if importlib.util.find_spec("duckdb") else "pyarrow"
        return functools.partial(by_duckdb, strict=False) if name == "duckdb" else by_pyarrow
    engines = {"pyarrow": by_pyarrow, "duckdb": by_duckdb}
    if name not in engines:
        raise ValueError(f"engine must be one of {sorted(engines)} or None, got {name!r}")
    return engines[name]


def sides_of(query: Query) -> list[list[tuple[str, int, float]]]:
    """Give, for each box, what the four bounds of a row are compared with: (sign, side, value)."""
    assert query.boxes is not None
    return [
        [("<=", 0, east), ("<=", 1, north), (">=", 2, west), (">=", 3, south)]
        for west, south, east, north in _rounded(query).tolist()
    ]


def _rounded(query: Query) -> NDArray[np.float64]:
    """Give the boxes, larger by the rounding of bounds that are stored in single precision."""
    pa, boxes = optional("pyarrow"), query.boxes
    assert boxes is not None
    field = query.parts.schema.field(query.parts.need_covering()[0][0])
    single = field.type.field("xmin").type if pa.types.is_struct(field.type) else field.type
    if single != pa.float32():
        return boxes
    away = np.array([-np.inf, -np.inf, np.inf, np.inf], np.float32)
    return np.nextafter(boxes.astype(np.float32), away).astype(float)


# ------------------------------------------------------------------------------------- pyarrow


def by_pyarrow(query: Query, columns: list[str]) -> Any:
    """Give the numbers of the rows that match, as a table of Arrow.

    Groups of rows are left out by their statistics, and of others the columns of the query are read.
    """
    pa, parts = optional("pyarrow"), query.parts
    boxes, asked = _arrow_boxes(query), query.condition
    predicates = [p for p in (boxes, asked and asked.arrow) if p is not None]
    if not predicates:
        return pa.table({ROW: np.arange(len(parts))})
    skips = [p for p in (boxes, asked and asked.skips) if p is not None]
    predicate = functools.reduce(operator.and_, predicates)
    skip = functools.reduce(operator.and_, skips) if skips else None
    names = list(asked.columns) if asked is not None else []
    if boxes is not None:
        names += [path[0] for path in parts.need_covering()]
    found, offset = [pa.table({ROW: np.zeros(0, np.int64)})], 0
    for fragment, count in zip(parts.fragments, parts.counts, strict=True):
        sizes = [fragment.metadata.row_group(k).num_rows for k in range(fragment.num_row_groups)]
        starts = offset + np.cumsum([0, *sizes])
        for group in fragment.split_by_row_group(skip, schema=parts.schema):
            k = group.row_groups[0].id
            table = group.to_table(schema=parts.schema, columns=list(dict.fromkeys(names)))
            rows = np.arange(starts[k], starts[k + 1])
            found.append(table.append_column(ROW, pa.array(rows)).filter(predicate).select([ROW]))
        offset += count
    return pa.concat_tables(found)


def _arrow_boxes(query: Query) -> Any:
    if query.boxes is None:
        return None
    pc = optional("pyarrow.compute")
    sides = [pc.field(*path) for path in query.parts.need_covering()]
    compare = {"<=": operator.le, ">=": operator.ge}
    boxes = [
        functools.reduce(operator.and_, [compare[s](sides[k], v) for s, k, v in box])
        for box in sides_of(query)
    ]
    if query.wraps:
        # Signs and not only xmin > xmax, by which no group of rows could be left out; bounds that wrap
        # and are wider than half of the globe would be missed, and are written as -180 to 180.
        boxes.append((sides[0] >= 0) & (sides[2] <= 0) & (sides[0] > sides[2]))
    return functools.reduce(operator.or_, boxes)


# -------------------------------------------------------------------------------------- duckdb


def by_duckdb(query: Query, columns: list[str], strict: bool = True) -> Any:
    """Give the numbers of the rows that match, with those columns that duckdb holds as the file does.

    No extension is loaded; geometries are bytes.
    """
    duckdb, pa, parts = optional("duckdb", "duckdb"), optional("pyarrow"), query.parts
    off = ("autoinstall_known_extensions", "autoload_known_extensions")
    with duckdb.connect(":memory:", config=dict.fromkeys(off, "false")) as connection:
        known = {row[0] for row in connection.sql("SELECT name FROM duckdb_settings()").fetchall()}
        for name in known & set(DUCKDB):
            connection.execute(f"SET {name} = {DUCKDB[name]}")
        kinds = _types(connection, parts)
        reason = _unfit(kinds, query)
        if reason and strict:
            raise ValueError(f"duckdb cannot ask {parts.source!r}: {reason}; use engine='pyarrow'")
        if reason:
            return by_pyarrow(query, columns)
        alike = [n for n in columns if _same(parts.schema.field(n).type, kinds[n])]
        tables, offset = [], 0
        for path, count in zip(parts.paths, parts.counts, strict=True):
            chosen = [f"file_row_number + {offset} AS {identifier(ROW)}", *map(identifier, alike)]
            text = f"SELECT {', '.join(chosen)} FROM {_source(path)} WHERE {_sql_predicate(query)}"
            tables.append(connection.sql(text).to_arrow_table())
            offset += count
    found = pa.concat_tables(tables).sort_by(ROW)
    fields = [pa.field(ROW, pa.int64()), *(parts.schema.field(n) for n in alike)]
    casts = [found[f.name].cast(f.type) for f in fields]
    return pa.table(casts, schema=pa.schema(fields))


def _source(path: str) -> str:
    """Write a file as a table of duckdb, which takes a path for a glob pattern."""
    literal = "".join(f"[{c}]" if c in "*?[" else c for c in path)
    return f"read_parquet({quoted(literal)}, file_row_number=true, hive_partitioning=false)"


def _types(connection: Any, parts: Parts) -> dict[str, Any]:
    """Give the types of Arrow in which duckdb gives columns."""
    empty = connection.sql(f"SELECT * FROM {_source(parts.paths[0])} LIMIT 0").to_arrow_table()
    return {field.name: field.type for field in empty.schema}


def _unfit(kinds: dict[str, Any], query: Query) -> str:
    """Say why duckdb would ask something else; nothing if it does not."""
    schema = query.parts.schema
    same = [n for n, count in Counter(n.lower() for n in schema.names).items() if count > 1]
    if same:
        return f"names of columns differ only in their case ({same[0]!r})"
    if "file_row_number" in (n.lower() for n in schema.names):
        return "a column is named 'file_row_number'"
    types = optional("pyarrow").types
    for name in query.condition.columns if query.condition is not None else ():
        kind = schema.field(name).type
        if types.is_timestamp(kind) and not _same(kind, kinds[name]):
            return f"it rounds the times of the column {name!r}"
    return ""


def _same(file: Any, given: Any) -> bool:
    """Whether values of a type of the file come back as they are."""
    return bool(_plain(file) == _plain(given) is not None)


def _plain(kind: Any) -> Any:
    """Give a type without what is another way to write it; None of what is left to pyarrow."""
    of = optional("pyarrow").types
    if of.is_timestamp(kind):
        return "time", kind.unit == "ns", kind.tz is None
    for name in ("string", "binary"):
        if getattr(of, f"is_{name}")(kind) or getattr(of, f"is_large_{name}")(kind):
            return name
    if of.is_list(kind) or of.is_large_list(kind):
        inner = _plain(kind.value_type) if kind.value_field.nullable else None
        return None if inner is None else ("list", inner)
    numbers = of.is_integer(kind) or of.is_floating(kind) or of.is_boolean(kind)
    return kind if numbers or of.is_date32(kind) else None


def _sql_predicate(query: Query) -> str:
    found = []
    if query.boxes is not None:
        paths = query.parts.need_covering()
        sides = [".".join(map(identifier, path)) for path in paths]
        boxes = [
            " AND ".join(f"{sides[k]} {sign} CAST('{value!r}' AS DOUBLE)" for sign, k, value in box)
            for box in sides_of(query)
        ]
        if query.wraps:
            boxes.append(f"{sides[0]} >= 0 AND {sides[2]} <= 0 AND {sides[0]} > {sides[2]}")
        found.append("(" + " OR ".join(f"({box})" for box in boxes) + ")")
    if query.condition is not None:
        found.append(query.condition.sql)
    return " AND ".join(found) or "TRUE"
