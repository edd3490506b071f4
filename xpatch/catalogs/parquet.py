"""GeoParquet: the files of a table, what their metadata say, and rows of them as geopandas reads them."""

from __future__ import annotations

import dataclasses
import functools
import glob
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.catalogs.optional import optional

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The files of a table, in order.

    Parameters
    ----------
    source : str
        What was asked for.
    paths : tuple of str
        Files.
    """

    source: str
    paths: tuple[str, ...]

    # ------------------------------------------------------------------------------- metadata

    @functools.cached_property
    def fragments(self) -> list[Any]:
        """The files as fragments of Arrow; all have the columns of the first."""
        ds = optional("pyarrow.dataset")
        form = ds.ParquetFileFormat()
        fs = optional("pyarrow.fs").LocalFileSystem()
        return [form.make_fragment(os.path.abspath(path), fs) for path in self.paths]

    @functools.cached_property
    def schema(self) -> Any:
        """Schema of Arrow, with the metadata of the first file."""
        first, *others = (self._schema_of(k) for k in range(len(self.paths)))
        for path, other in zip(self.paths[1:], others, strict=True):
            same_geo = _geo(other, path)["columns"].keys() == _geo(first, path)["columns"].keys()
            same_crs = same_geo and all(
                meta.get("crs", "") == _geo(other, path)["columns"][name].get("crs", "")
                for name, meta in _geo(first, path)["columns"].items()
            )
            if not same_crs or not other.equals(first, check_metadata=False):
                raise ValueError(
                    f"{path!r} has other columns, types or CRS than {self.paths[0]!r}; write both alike, "
                    "or read one at a time"
                )
        return first

    def _schema_of(self, k: int) -> Any:
        try:
            return self.fragments[k].physical_schema
        except optional("pyarrow").ArrowInvalid as error:
            raise ValueError(f"{self.paths[k]!r} is no parquet file: {error}") from None

    @functools.cached_property
    def geo(self) -> dict[str, Any]:
        """What the metadata of GeoParquet say."""
        return _geo(self.schema, self.paths[0])

    @property
    def primary(self) -> str:
        """Name of the geometry column."""
        return str(self.geo["primary_column"])

    @functools.cached_property
    def crs(self) -> Any:
        """CRS of the geometry column, of pyproj; None if it is not known."""
        return self.frame(self.schema.empty_table().select(self.columns), np.zeros(0, int)).crs

    @functools.cached_property
    def counts(self) -> list[int]:
        """Rows of each file."""
        return [fragment.metadata.num_rows for fragment in self.fragments]

    def __len__(self) -> int:
        return sum(self.counts)

    @functools.cached_property
    def covering(self) -> tuple[tuple[str, ...], ...] | None:
        """Paths of xmin, ymin, xmax and ymax of each row; None if the file has none."""
        said = self.geo["columns"][self.primary].get("covering", {}).get("bbox")
        if said is not None:
            return tuple(tuple(said[side]) for side in SIDES)
        types = optional("pyarrow").types
        kind = self.schema.field("bbox").type if "bbox" in self.schema.names else None
        if kind is not None and types.is_struct(kind) and set(SIDES) <= {f.name for f in kind}:
            return tuple(("bbox", side) for side in SIDES)
        return None

    def need_covering(self) -> tuple[tuple[str, ...], ...]:
        """Give the paths of the bounds of rows, or raise a ValueError that says how to write them."""
        if self.covering is None:
            raise ValueError(
                f"bounds= needs the bounds of each row, and {self.paths[0]!r} has no column of them; "
                "write it with: gdf.to_parquet(path, write_covering_bbox=True)"
            )
        return self.covering

    @functools.cached_property
    def columns(self) -> list[str]:
        """Names of the columns that are read: all but those of the bounds, as geopandas does."""
        said = self.geo["columns"][self.primary].get("covering", {}).get("bbox")
        hidden = said["xmin"][0] if said else None
        return [name for name in self.schema.names if name != hidden]

    @functools.cached_property
    def usable(self) -> list[str]:
        """Names of the columns that a condition may name."""
        hidden = {n for n in self.schema.names if n.startswith("__index_level_")}
        return [n for n in self.columns if n not in hidden and n not in self.geo["columns"]]

    @functools.cached_property
    def _pandas(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.schema.metadata or {}).get(b"pandas", b"{}"))
        return found

    # ----------------------------------------------------------------------------------- rows

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Any:
        """Give columns of some rows, in order, as a table of Arrow; only their row groups are read."""
        pa = optional("pyarrow")
        coded = [n for n in columns if pa.types.is_dictionary(self.schema.field(n).type)]
        plain = [n for n in columns if n not in coded]
        pieces, start = [self.schema.empty_table().select(plain)], 0
        for group, count in self._groups():
            mine = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + count)]
            if len(mine) and plain:
                table = group.to_table(schema=self.schema, columns=plain)
                pieces.append(table.take(pa.array(mine - start)))
            start += count
        plain_columns = pa.concat_tables(pieces)
        found = dict(zip(plain, plain_columns.columns, strict=True))
        for name in coded:  # categories are those of the whole table, not of a row group
            whole = pa.concat_tables(
                f.to_table(schema=self.schema, columns=[name]) for f in self.fragments
            )
            found[name] = whole[name].unify_dictionaries().take(pa.array(rows))
        fields = [self.schema.field(n) for n in columns]
        return pa.table([found[n] for n in columns], schema=pa.schema(fields))

    def _groups(self) -> list[tuple[Any, int]]:
        """Give the row groups of all files, in order, with their numbers of rows."""
        return [
            (group, group.row_groups[0].num_rows)
            for fragment in self.fragments
            for group in fragment.split_by_row_group()
        ]

    def geometries(self, table: Any) -> Any:
        """Give the geometry columns of a table of Arrow as a GeoDataFrame."""
        pa, geopandas = optional("pyarrow"), optional("geopandas")
        names = [n for n in table.column_names if n in self.geo["columns"]]
        fields = []
        for name in names:
            said = self.geo["columns"][name]
            encoding = str(said.get("encoding", "WKB"))
            crs = said.get("crs", "OGC:CRS84")  # as GeoParquet says of files that do not
            meta = {
                "ARROW:extension:name": f"geoarrow.{encoding.lower()}",
                "ARROW:extension:metadata": json.dumps({} if crs is None else {"crs": crs}),
            }
            fields.append(pa.field(name, table.schema.field(name).type, metadata=meta))
        columns = [table[n] for n in names]
        bare = pa.table(columns, schema=pa.schema(fields))
        first = self.primary if self.primary in names else names[0]
        return geopandas.GeoDataFrame.from_arrow(bare, geometry=first)

    def frame(self, table: Any, rows: NDArray[np.int64]) -> Any:
        """Give a table of Arrow as geopandas reads it: dtypes, index and order of the columns."""
        table = table.replace_schema_metadata(self.schema.metadata)
        geometries = self.geometries(table)
        rest = table.drop(list(geometries.columns))
        found = rest.to_pandas()
        order = list(table.slice(0, 0).to_pandas().columns)
        for name in list(found.columns):
            dtype = self._dtype_of_whole(name, found[name].dtype)
            found[name] = found[name].astype(dtype) if dtype is not None else found[name]
        for name in sorted(geometries.columns, key=order.index):
            found.insert(order.index(name), name, geometries[name].array)
        index = self._index()
        if index is not None:
            found.index = index[rows]
        attrs = (self.schema.metadata or {}).get(b"PANDAS_ATTRS")
        found.attrs = json.loads(attrs) if attrs else {}
        return optional("geopandas").GeoDataFrame(found, geometry=self.primary)

    def _index(self) -> Any:
        """Give the index of the whole table where none is stored, None where one is."""
        import pandas as pd

        said = self._pandas.get("index_columns", [])
        if any(isinstance(name, str) for name in said):
            return None
        if len(said) == 1 and said[0].get("kind") == "range":
            index = pd.RangeIndex(said[0]["start"], said[0]["stop"], said[0]["step"])
            if len(index) == len(self):
                return index.rename(said[0].get("name"))
        return pd.RangeIndex(len(self))

    def _dtype_of_whole(self, name: str, dtype: Any) -> Any:
        """Give the dtype of integers and truth values among which others of the table are missing."""
        if not isinstance(dtype, np.dtype) or dtype.kind not in "iub" or not self._has_nulls(name):
            return None
        return np.dtype(object if dtype.kind == "b" else float)

    def _has_nulls(self, name: str) -> bool:
        for fragment in self.fragments:
            metadata = fragment.metadata
            leaf = [metadata.schema.column(k).path for k in range(metadata.num_columns)].index(name)
            for k in range(metadata.num_row_groups):
                statistics = metadata.row_group(k).column(leaf).statistics
                if statistics is None or not statistics.has_null_count:
                    return bool(fragment.to_table(columns=[name])[name].null_count)
                if statistics.null_count:
                    return True
        return False

    # -------------------------------------------------------------------------------- extents

    def bounds(self) -> NDArray[np.float64] | None:
        """Give (xmin, ymin, xmax, ymax) of all rows; None if it is not known."""
        pc = optional("pyarrow.compute")
        if self.covering is None or not len(self):
            return None
        values = []
        for path, reduce in zip(self.covering, (pc.min, pc.min, pc.max, pc.max), strict=True):
            whole = [f.to_table(columns={"side": pc.field(*path)})["side"] for f in self.fragments]
            ends = [reduce(side).as_py() for side in whole]
            known = [end for end in ends if end is not None]
            values.append((min if reduce is pc.min else max)(known) if known else np.nan)
        return np.array(values, float)

    def dates(self) -> Any:
        """Give the first and the last date, or None twice."""
        pc = optional("pyarrow.compute")
        whole = [f.to_table(columns=["datetime"])["datetime"] for f in self.fragments]
        firsts = [v for v in (pc.min(c) for c in whole) if v.is_valid]
        lasts = [v for v in (pc.max(c) for c in whole) if v.is_valid]
        if not firsts:
            return None, None
        return min(map(str, firsts)), max(map(str, lasts))


def parts_of(path: Any) -> Parts:
    """Find the files of a path, a folder or a glob pattern, sorted by name.

    Raises
    ------
    FileNotFoundError
        If there are none.
    TypeError, ValueError
        If it is no path, or a folder whose subfolders hold values (key=value).
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be one path of a GeoParquet file, got {path!r}")
    text = os.fspath(path)
    here = Path(text)
    if here.is_file():
        found = [text]
    elif here.is_dir():
        found = sorted(str(p) for p in here.rglob("*.parquet") if p.is_file())
        if any("=" in folder for p in found for folder in Path(p).relative_to(here).parts[:-1]):
            raise ValueError(
                f"{text!r} has folders named key=value, whose values would be lost; where files hold them, "
                f"too, ask for the files: {os.path.join(text, '**', '*.parquet')!r}"
            )
    else:
        found = sorted(p for p in glob.glob(text, recursive=True) if os.path.isfile(p))
    if not found:
        raise FileNotFoundError(f"no parquet file at {text!r}")
    return Parts(text, tuple(found))


def _geo(schema: Any, path: str) -> dict[str, Any]:
    said = (schema.metadata or {}).get(b"geo")
    if said is None:
        raise ValueError(
            f"{path!r} is no GeoParquet, it lacks the 'geo' metadata; write it by geopandas: "
            "gdf.to_parquet(path, write_covering_bbox=True)"
        )
    found: dict[str, Any] = json.loads(said)
    return found
