"""`split`: patches of the field over a catalog, where there is a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

from xpatch.catalogs.field import field
from xpatch.catalogs.optional import optional
from xpatch.catalogs.table import check_table, rasters_of
from xpatch.domain.bounds import crs_code
from xpatch.patcher import TimeAxes
from xpatch.patches.planning import chosen
from xpatch.sampler import EveryElement, Explicit, Within


def split(
    table: Any,
    patcher: Any = None,
    *,
    geometry: Any = None,
    sampler: Any = None,
    window: Any = None,
    dim: Hashable = "patch",
    chunks: Any = "auto",
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
    """Cut the field over the files of a catalog into patches, where there is a file.

    Short for ``table.patch.field(…).patch.split(…)`` with a sampler `Within` the files, so that planning takes
    as long as there are files, however large the grid is.

    Parameters
    ----------
    table : GeoDataFrame
        A catalog.
    patcher, geometry, sampler, window, dim, chunks
        Shape and places of patches, as in `xpatch.split`; default: side by side.
    crs, resolution, bounds, like
        The grid of the field, as in ``table.patch.field``; one resolution. Default: that of the files.
    time : "exact", "solar_day", offset or None, default: "exact"
        What is one time of the field.
    bands : sequence of int or str, optional
        Bands by number from 1, by description, or by asset of STAC items; default: all.
    resampling : str, default: "nearest"
        How cells are warped, a word of rasterio.
    overlap : {"first", "last", "mean", "min", "max", "count"}, default: "first"
        What a cell is of which several files of one time have a value.
    fill_value : scalar, optional
        What stands for missing; default: NaN for floats, the nodata of the files for integers.
    open : callable, optional
        Opens a file in place of rasterio.

    Returns
    -------
    DataArray
        Patches ``(patch, time, band, y, x)``, which are read when they are looked at.

    Raises
    ------
    ValueError, KeyError, TypeError
        As `field` and `xpatch.split` do.

    Examples
    --------
    >>> import rioxarray
    >>> at = {"y": 5.2e6 - 10.0 * np.arange(8), "x": 5e5 + 10.0 * np.arange(8)}
    >>> scene = xr.DataArray(np.ones((8, 8), "f4"), at, ("y", "x")).rio.write_crs(32632)
    >>> east = scene.assign_coords(x=scene.x + 80)
    >>> cat = xpatch.catalog([scene, east])
    >>> dict(cat.patch.split(geometry={"y": 4, "x": 4}).sizes)
    {'patch': 8, 'band': 1, 'y': 4, 'x': 4}
    """
    check_table(table)
    if isinstance(resolution, list):
        raise ValueError(
            f"split takes one resolution, got {resolution!r}; of a pyramid split the fields: "
            "tree = cat.patch.field(resolution=[…]), fine = tree['10'].to_dataset().patch.split(…), and the others with "
            "sampler=Explicit(fine)"
        )
    whole = field(
        table,
        crs=crs,
        resolution=resolution,
        bounds=bounds,
        like=like,
        time=time,
        bands=bands,
        resampling=resampling,
        overlap=overlap,
        fill_value=fill_value,
        open=open,
    )
    axes = within(chosen(patcher, geometry, sampler, window), outlines(table, whole))
    return whole.patch.split(axes, dim=dim, chunks=chunks)


def outlines(table: Any, whole: Any) -> Any:
    """Give where files lie, in the CRS of a field over them."""
    code = crs_code(whole["spatial_ref"].attrs["crs_wkt"])
    return optional("geopandas").GeoSeries(rasters_of(table).footprints(code), crs=code)


def within(axes: Any, area: Any) -> Any:
    """Let patches in space be anchored in an area; those at given places are where they are."""
    spatial = getattr(axes, "spatial", None)
    if spatial is not None:
        return dataclasses.replace(axes, spatial=within(spatial, area))
    if isinstance(axes, TimeAxes):
        return axes
    return dataclasses.replace(axes, sampler=narrowed(axes.sampler, area))


def narrowed(sampler: Any, area: Any) -> Any:
    """Let a sampler propose anchors in an area, also inside another area."""
    if isinstance(sampler, Within):
        return dataclasses.replace(sampler, sampler=narrowed(sampler.sampler, area))
    known = isinstance(sampler, Explicit | EveryElement)
    return sampler if known else Within(sampler, area)
