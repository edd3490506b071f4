"""Rows of a catalog from STAC items: each asset that is a raster."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from xpatch.catalogs import times
from xpatch.domain.bounds import crs_code

KINDS = ("image/tiff", "image/vnd.stac.geotiff", "image/x.geotiff", "image/geotiff", "image/jp2")
ENDINGS = (".tif", ".tiff", ".jp2")
ASIDE = {"thumbnail", "overview", "metadata"}  # roles of what is no data
NEEDED = ("proj:code", "proj:transform", "proj:shape", "bands", "dtype", "nodata")
PACKED = {"scale": 1.0, "offset": 0.0}


def rows_of_item(item: Any, header: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Give a row for each asset of an item that is a raster.

    Parameters
    ----------
    item : Item of pystac, or mapping
        What has ``assets``: the extensions projection, raster and eo are read, in their versions 1 and 2, of the
        asset, and else of the item.
    header : callable
        Gives the columns of a file by its href; it is asked where the item does not tell all.

    Raises
    ------
    ValueError
        If no asset is a raster, or one has bands of several kinds.
    TypeError
        If it is no item.
    """
    if not isinstance(item, Mapping):
        item = as_mapping(item)
    assets = item.get("assets")
    if not isinstance(assets, Mapping):
        raise TypeError(f"a STAC item has assets, and this mapping has {list(item)[:8]}")
    found = {name: asset for name, asset in assets.items() if is_raster(asset)}
    if not found:
        kinds = {name: asset.get("type") for name, asset in assets.items()}
        raise ValueError(f"no asset of item {item.get('id')!r} is a raster: {kinds}")
    common = of_item(item)
    rows = []
    for name, asset in found.items():
        href = absolute(asset["href"], item)
        row = {**of_asset(asset, item.get("properties") or {}, href), "asset": name}
        lost = [column for column in NEEDED if column not in row]
        row = {**header(href), **row} if lost else row
        rows.append({"href": href, **common, **row})
    return rows


def as_mapping(item: Any) -> dict[str, Any]:
    """Give an item of pystac, or what is like one, as a mapping with absolute hrefs."""
    properties = dict(item.properties)
    if getattr(item, "datetime", None) is not None:
        properties["datetime"] = item.datetime
    assets = {}
    for name, asset in item.assets.items():
        whole = getattr(asset, "get_absolute_href", lambda: None)()
        assets[name] = {**asset.to_dict(), "href": whole or asset.href}
    return {
        "id": item.id,
        "collection": getattr(item, "collection_id", None),
        "geometry": item.geometry,
        "properties": properties,
        "assets": assets,
    }


def is_raster(asset: Mapping[str, Any]) -> bool:
    """Whether an asset is a raster of data: by its type, or else its role or the end of its name."""
    roles = set(asset.get("roles") or ())
    if roles & ASIDE:
        return False
    kind = str(asset.get("type") or "").lower()
    if kind:
        return kind.startswith(KINDS) or (kind.startswith("image/") and "data" in roles)
    return urlsplit(str(asset["href"])).path.lower().endswith(ENDINGS)


def absolute(href: str, item: Mapping[str, Any]) -> str:
    """Give the address of an asset; a relative one counts from that of the item, its link ``self``."""
    if urlsplit(href).scheme or os.path.isabs(href):
        return href
    links = [link for link in item.get("links") or () if link.get("rel") == "self"]
    base = urlsplit(str(links[0]["href"]) if links else "")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(base.path), href))
    return base._replace(path=path, query="", fragment="").geturl() if base.path else href


def of_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Give the columns that all assets of an item have: its footprint, date and scalar properties."""
    properties = item.get("properties") or {}
    plain = {
        n: v
        for n, v in properties.items()
        if isinstance(v, str | int | float) and not n.startswith("proj:")
    }
    for column in ("href", "geometry", "asset", "reader", "band_names", *NEEDED):
        plain.pop(column, None)
    date = properties.get("datetime") or properties.get("start_datetime")
    geometry = item.get("geometry")
    known = {"id": item.get("id"), "collection": item.get("collection")}
    out = plain | {n: v for n, v in known.items() if v is not None}
    out.pop("datetime", None)
    if date is not None:
        out["datetime"] = times.utc(date)
    if geometry is not None:
        import shapely.geometry

        out["geometry"] = shapely.geometry.shape(geometry)
    return out


def of_asset(asset: Mapping[str, Any], properties: Mapping[str, Any], href: str) -> dict[str, Any]:
    """Give the columns that an asset tells, or its item in place of it."""
    out: dict[str, Any] = {}
    code = next((c for c in map(crs_in, (asset, properties)) if c is not None), None)
    if code is not None:
        out["proj:code"] = code
    transform = _either(asset, properties, "proj:transform")
    shape = _either(asset, properties, "proj:shape")
    if transform is not None:
        out["proj:transform"] = checked(transform, href)
    if shape is not None:
        out["proj:shape"] = [int(n) for n in shape]
    return out | of_bands(asset, href)


def _either(asset: Mapping[str, Any], properties: Mapping[str, Any], name: str) -> Any:
    found = asset.get(name)
    return properties.get(name) if found is None else found


def crs_in(found: Mapping[str, Any]) -> str | None:
    """Give the CRS of a mapping, by any of the ways to write one."""
    for name in ("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson"):
        value = found.get(name)
        if value is not None:
            return crs_code(value if isinstance(value, str | int) else _from_json(value))
    return None


def _from_json(value: Any) -> Any:
    import pyproj

    return pyproj.CRS.from_json_dict(dict(value))


def checked(transform: Sequence[float], href: str) -> list[float]:
    """Give six numbers of a transform, in the order of rasterio.

    Raises
    ------
    ValueError
        If they are in that of GDAL, as some items have them, or are no transform.
    """
    numbers = [float(v) for v in transform]
    if len(numbers) not in (6, 9):
        raise ValueError(f"proj:transform of {href!r} must have 6 or 9 numbers, got {numbers}")
    a, b, c, d, e, _ = numbers[:6]
    if a * e - b * d == 0 or (c == 0 == e):
        raise ValueError(
            f"proj:transform of {href!r} is {numbers}, which is in the order of GDAL or no transform; STAC has (width of a "
            "cell, 0, left, 0, −height, top)"
        )
    return numbers[:6]


def of_bands(asset: Mapping[str, Any], href: str) -> dict[str, Any]:
    """Give the columns that the extensions raster and eo, or the common metadata, tell of bands."""
    bands = asset.get("bands") or asset.get("raster:bands") or ()
    named = asset.get("bands") or asset.get("eo:bands") or ()
    every = [{**asset, **band} for band in bands] or [dict(asset)]
    out: dict[str, Any] = {}
    if bands or named:
        out["bands"] = len(bands or named)
    if (dtype := same(every, ("data_type",), href)) is not None:
        out["dtype"] = str(dtype)
    if any("nodata" in band for band in every):
        nodata = same(every, ("nodata",), href)
        out["nodata"] = None if nodata is None else float(nodata)
    for word, none in PACKED.items():
        value = same(every, (f"raster:{word}", word), href)
        if value is not None and value != none:
            out[f"raster:{word}"] = float(value)
    names = [band.get("name") for band in named]
    if names and all(names) and len(names) == out["bands"]:
        out["band_names"] = names
    return out


def same(bands: Sequence[Mapping[str, Any]], names: tuple[str, ...], href: str) -> Any:
    """Give what all bands have under the first of some names.

    Raises
    ------
    ValueError
        If they differ in it.
    """
    values = [next((band[n] for n in names if band.get(n) is not None), None) for band in bands]
    if len({str(v) for v in values}) > 1:
        raise ValueError(
            f"the bands of {href!r} differ in {names[0]!r}: {values}; a field has one of each, so leave the asset out"
        )
    return values[0]


def holds_items(table: Any) -> bool:
    """Whether a table is one of items, as stac-geoparquet writes them, and none of files."""
    return "assets" in table and "href" not in table


def items_of(table: Any) -> Iterator[dict[str, Any]]:
    """Give the rows of a table of stac-geoparquet as items."""
    for row in table.to_dict("records"):
        known = {n: row.pop(n, None) for n in ("id", "collection", "geometry", "assets", "links")}
        assets = {n: _present(a) for n, a in known["assets"].items() if a is not None}
        links = [dict(link) for link in known["links"]] if known["links"] is not None else []
        yield {**known, "assets": assets, "links": links, "properties": _present(row)}


def _present(found: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is missing: a table has every column in every row."""
    out = {}
    for name, value in found.items():
        value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        if isinstance(value, list):
            value = [_present(v) if isinstance(v, Mapping) else v for v in value]
        if value is not None and not (np.ndim(value) == 0 and value != value):
            out[name] = value
    return out
