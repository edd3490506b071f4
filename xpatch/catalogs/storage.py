"""Which bands a field over files has, in what dtype, and what stands for missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xpatch.catalogs.footprints import Rasters, rings
from xpatch.report import tell

ASSET = "asset"
NAMING = r"xpatch.catalog(…, asset=r'_(B\d\d)_')"
EXACT = 2**53  # up to which doubles hold integers
MEND = "shall stand for missing, fill_value=255, or fill_value=np.nan for floats"


def together(table: Any, rasters: Rasters) -> NDArray[np.int64]:
    """Give which files are of one scene: those of the same ground and date have the same number."""
    corners = np.round(rings(rasters.transforms, rasters.shapes, 1), 6).reshape(len(table), -1)
    known = pd.DataFrame(corners).assign(crs=rasters.codes)
    if "datetime" in table:
        known["datetime"] = table["datetime"].to_numpy()
    found = known.groupby(list(known), sort=False, dropna=False).ngroup()
    return found.to_numpy(np.int64)


def tell_hidden(table: Any, scenes: NDArray[np.int64], overlap: str) -> None:
    """Warn of bands that lie below others: files of one band of a scene, without a name."""
    if overlap not in ("first", "last") or assets_of(table) is not None:
        return
    alone = np.asarray(table["bands"], int) == 1
    alone &= np.array([own is None for own in names_of(table)])
    own = scenes[alone]
    several = np.bincount(own, minlength=1)[own] > 1
    if several.any():
        hrefs = table["href"][alone][several]
        few = list(hrefs[(own[several] == own[several][0])][:2])
        tell(
            f"{len(hrefs)} files of one band without a name lie on the same ground at the same time as others, such as {few}, "
            f"so that overlap={overlap!r} shows one of them only; if they are bands of one scene, say which: {NAMING}, or "
            "cat['asset'] = …; if they differ in their dates, say these: time="
        )


def band_numbers(
    table: Any, bands: Any, scenes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Give which band of each file (row, band) is which of the field, 0 where it has none, and their names.

    A file may lack a band that another one of its scene has, as those of 20 m those of 10 m.

    Raises
    ------
    ValueError
        If files differ in their bands and nothing says which are meant.
    KeyError
        If a band is in no file.
    """
    counts = np.asarray(table["bands"], int)
    assets = assets_of(table)
    if bands is None and assets is not None:
        bands = list(dict.fromkeys(assets))
        many = sorted({a for a, n in zip(assets, counts, strict=True) if n != 1})
        if many:
            raise ValueError(
                f"the assets {many} have several bands; take one asset, cat[cat['asset'] == {many[0]!r}]"
            )
    if bands is None:
        bands = _names_apart(table, scenes)
    if bands is None:
        if len(set(counts.tolist())) > 1:
            raise ValueError(
                f"files have different numbers of bands: {groups(table, counts.tolist())}; say which are meant, bands=[1]"
            )
        bands = list(range(1, int(counts[0]) + 1))
    one = isinstance(bands, str | int | np.integer)
    wanted: list[Any] = [bands] if one else np.asarray(bands, object).tolist()
    if not wanted:
        raise ValueError("bands is empty; give numbers from 1, or names")
    numbers = np.stack([_one(table, counts, assets, band, scenes) for band in wanted], axis=1)
    return numbers.astype(np.int64), np.asarray(wanted)


def assets_of(table: Any) -> list[str] | None:
    """Give the asset of each file, where the catalog has several: each is a band."""
    if ASSET not in table or table[ASSET].nunique() < 2:
        return None
    return list(table[ASSET])


def names_of(table: Any) -> list[list[str] | None]:
    """Give the names that the bands of each file have."""
    given = table["band_names"] if "band_names" in table else [None] * len(table)
    return [list(n) if isinstance(n, list | tuple | np.ndarray) else None for n in given]


def _names_apart(table: Any, scenes: NDArray[np.int64]) -> list[str] | None:
    """Give the names of all bands, where files of a scene have different ones."""
    names = names_of(table)
    apart = {(scene, *(own or ())) for scene, own in zip(scenes.tolist(), names, strict=True)}
    if None in names or len(apart) == len(set(scenes.tolist())):
        return None
    return list(dict.fromkeys(name for own in names for name in own or ()))


def _one(
    table: Any,
    counts: NDArray,
    assets: list[str] | None,
    band: Any,
    scenes: NDArray[np.int64],
) -> NDArray[np.int64]:
    if isinstance(band, bool) or not isinstance(band, str | int | np.integer):
        raise TypeError(f"bands are numbers from 1, or names, got {band!r}")
    if not isinstance(band, str):
        if assets is not None:
            raise ValueError(
                f"the files are of the assets {sorted(set(assets))}, each of which is a band: bands={sorted(set(assets))[:2]!r}"
            )
        if band < 1 or (counts < band).any():
            k = int(np.flatnonzero(counts < max(band, 1))[0]) if band >= 1 else 0
            raise KeyError(
                f"row {k}, {table['href'].iloc[k]!r}, has {counts[k]} bands, counted from 1, and no band {band}"
            )
        return np.full(len(table), band)
    if assets is not None:
        found = np.array([a == band for a in assets], int)
        if not found.any():
            raise KeyError(f"no file is of the asset {band!r}; there are {sorted(set(assets))}")
        return found
    names = names_of(table)
    found = np.array(
        [0 if own is None or band not in own else own.index(band) + 1 for own in names]
    )
    lost = ~np.isin(scenes, scenes[found > 0])
    if lost.any():
        k = int(np.flatnonzero(lost)[0])
        hint = (
            ""
            if names[k]
            else f"; files of one band each are named by the names of files: {NAMING}"
        )
        raise KeyError(
            f"row {k}, {table['href'].iloc[k]!r}, has no band {band!r}; its bands have {names[k] or 'no names'}{hint}"
        )
    return found


def storage(
    table: Any,
    numbers: NDArray[np.int64],
    overlap: str,
    fill_value: Any,
    gaps: Callable[[], bool],
) -> tuple[np.dtype, Any, dict[str, Any]]:
    """Give the dtype of a field, what stands for missing, and the attributes that say so.

    Raises
    ------
    ValueError
        If files differ in dtype, scale or nodata, or integers have gaps and no number for them.
    """
    dtypes = [str(d) for d in table["dtype"]]
    if len(set(dtypes)) > 1:
        raise ValueError(
            f"files have different dtypes: {groups(table, dtypes)}; make a field of each, and convert one, "
            "field.astype(…)"
        )
    attrs = packing(table, numbers)
    dtype = np.dtype(dtypes[0])
    check_kind(dtype, overlap)
    if overlap == "count":
        return np.dtype(np.int64), 0, {}
    nodata = [missing(v, dtype, h) for v, h in zip(table["nodata"], table["href"], strict=True)]
    if dtype.kind in "fc":
        fill = np.nan if fill_value is None else fill_value
        dtype = np.result_type(dtype, np.complex64) if isinstance(fill, complex) else dtype
        return dtype, fill, attrs | ({} if fill != fill else {"_FillValue": dtype.type(fill)})
    if overlap == "mean":
        fill = np.nan if fill_value is None else fill_value
        return np.dtype(float), fill, attrs | ({} if fill != fill else {"_FillValue": float(fill)})
    return _integers(table, dtype, nodata, fill_value, gaps, attrs)


def _integers(
    table: Any,
    dtype: np.dtype,
    nodata: list[Any],
    fill_value: Any,
    gaps: Callable[[], bool],
    attrs: Any,
) -> tuple[np.dtype, Any, dict[str, Any]]:
    if fill_value is not None and fill_value != fill_value:
        wide = np.dtype(np.float32 if dtype.itemsize < 3 else np.float64)
        return wide, np.nan, attrs
    known = set(nodata) - {None}
    if fill_value is None and len(set(nodata)) > 1:
        raise ValueError(
            f"files of {dtype} have different nodata: {groups(table, nodata)}; say what shall stand for missing, "
            "fill_value=0, or fill_value=np.nan for floats"
        )
    if fill_value is None and not known:
        if gaps():
            raise ValueError(
                f"files of {dtype} have no nodata, and there are cells that no file of a time covers: say what "
                f"{MEND}"
            )
        return dtype, None, attrs  # the mosaic raises where a mask leaves a gap
    fill = next(iter(known)) if fill_value is None else fill_value
    info = np.iinfo(dtype)
    if fill != int(fill) or not info.min <= fill <= info.max:
        raise ValueError(
            f"fill_value={fill!r} is none that {dtype} holds; give a whole number from {info.min} to "
            f"{info.max}, or np.nan for floats"
        )
    return dtype, dtype.type(fill), attrs | {"_FillValue": dtype.type(fill)}


def check_kind(dtype: np.dtype, overlap: str) -> None:
    """Raise a TypeError if values cannot be put together."""
    if dtype.kind not in "iufc":
        raise TypeError(f"files hold integers, floats or complex numbers, got {dtype}")
    if dtype.kind == "c" and overlap in ("min", "max"):
        raise TypeError(f"complex numbers have no {overlap}; take overlap='first' or 'mean'")


def missing(nodata: Any, dtype: np.dtype, href: str) -> Any:
    """Give the number that stands for missing in a file; None if there is none.

    Raises
    ------
    ValueError
        If it is none that the dtype holds.
    """
    if nodata is None or str(nodata) in ("nan", "<NA>"):
        return None
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if not info.min <= nodata <= info.max or int(nodata) != nodata:
            raise ValueError(
                f"{href!r} has nodata={nodata!r}, which is none that {dtype} holds; give a whole number from {info.min} to "
                f"{info.max}, or None, cat['nodata'] = …"
            )
        if abs(int(nodata)) >= EXACT:
            raise ValueError(
                f"{href!r} has nodata={nodata!r} of {dtype}, which readers of rasters keep as a double, that does not hold it; "
                "write the file with a smaller number"
            )
        return int(nodata)
    return float(nodata)


def packing(table: Any, numbers: NDArray[np.int64]) -> dict[str, Any]:
    """Give scale and offset of the values, which are left as they are stored.

    Raises
    ------
    ValueError
        If files differ in them, so that equal numbers mean different things.
    """
    out = {}
    for column, name, plain in (
        ("raster:scale", "scale_factor", 1.0),
        ("raster:offset", "add_offset", 0.0),
    ):
        values = list(table[column]) if column in table else [plain] * len(table)
        own = [_of_bands(v, n, plain) for v, n in zip(values, numbers, strict=True)]
        if len(set().union(*own)) > 1:
            each = [tuple(sorted(v)) if len(v) > 1 else v[0] for v in own]
            raise ValueError(
                f"files or bands differ in {column!r}, so that equal numbers mean different things: {groups(table, each)}; "
                "make a field of each and scale it, field * scale + offset"
            )
        out[name] = own[0][0]
    return out if out != {"scale_factor": 1.0, "add_offset": 0.0} else {}


def _of_bands(value: Any, numbers: NDArray[np.int64], plain: float) -> list[float]:
    """Give what the bands of a file that are taken have: one for all, or one for each."""
    if isinstance(value, list | tuple | np.ndarray):
        return [float(value[n - 1]) for n in numbers.tolist() if n]
    return [plain if value is None or value != value else float(value)]


def groups(table: Any, values: Any) -> str:
    """List which values there are, and how many files have each, with the first of them."""
    found: dict[Any, list[str]] = {}
    for value, href in zip(values, table["href"], strict=True):
        found.setdefault(value, []).append(href)
    return "; ".join(f"{v!r} in {len(h)} ({h[0]!r} …)" for v, h in found.items())
