"""Slow corners: points, meshes and polygons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

import xpatch
from tests.benchmarks.case import Held, Timed, close, corner, noise, rng

LISTED = 12  # bytes of a member: an int32 number and a float64 distance
LISTS = f"members, {LISTED} bytes each"


def sites(x: np.ndarray, y: np.ndarray) -> xr.DataArray:
    """Give values at points, which are not sorted."""
    return xr.DataArray(noise(len(x)), {"x": ("site", x), "y": ("site", y)}, ("site",))


def square(n: int, side: float = 1e6) -> tuple[np.ndarray, np.ndarray]:
    """Give points that fill a square."""
    x, y = rng().uniform(0, side, (2, n))
    return x, y


def members_bytes(patches: xr.DataArray) -> int:
    """Give the bytes of the lists of members; patches of fields without missing values."""
    return LISTED * int(np.isfinite(patches.values).sum())


def nearest(n: int, anchors: int, k: int) -> tuple[Callable[[], xr.DataArray], np.ndarray, Any]:
    """Give what cuts the k nearest of some points, the points, and the numbers of the anchors."""
    x, y = square(n)
    source, at = sites(x, y), rng().choice(n, anchors, replace=False)
    axes: Any = {"geometry": xpatch.KNNGraph(k), "sampler": xpatch.Explicit(at)}
    return lambda: source.patch.split(**axes), np.stack([x, y], axis=-1), at


def as_sorted(a: Any, b: np.ndarray) -> bool:
    """Whether patches have the same values, in any order."""
    return close(np.sort(np.asarray(a), axis=-1), np.sort(b, axis=-1))


@corner("split, 16 nearest of 1,000,000 points at 20,000", "cKDTree, take", 1.3)
def neighbors() -> Timed:
    split, xy, at = nearest(1_000_000, 20_000, 16)
    values = noise(len(xy))
    return Timed(split, lambda: values[cKDTree(xy).query(xy[at], 16, workers=-1)[1]], as_sorted)


@corner("merge mean, 16 nearest of 1,000,000 points at 20,000", "np.bincount", 1.5)
def neighbors_merged() -> Timed:
    split, xy, _ = nearest(1_000_000, 20_000, 16)
    patches = split()
    values, numbers = noise(*patches.shape), patches["site"].values.ravel()

    def counted() -> np.ndarray:
        with np.errstate(invalid="ignore"):
            total = np.bincount(numbers, values.ravel(), len(xy))
            return total / np.bincount(numbers, minlength=len(xy))

    return Timed(lambda p: p.patch.merge("mean"), counted, fresh=lambda: split().copy(data=values))


@corner("split, 16 nearest of 300,000 shapely points at 20,000", "cKDTree, take")
def geometries() -> Timed:
    import shapely
    import xvec  # noqa: F401

    xy, values = np.stack(square(300_000), axis=-1), noise(300_000)
    source = xr.DataArray(values, {"geom": shapely.points(xy)}, ("geom",))
    source = source.xvec.set_geom_indexes("geom", crs=32633)
    places = xy[rng().choice(len(xy), 20_000, replace=False)]
    sampler = xpatch.Explicit(shapely.points(places))
    return Timed(
        lambda: source.patch.split(geometry=xpatch.KNNGraph(16), sampler=sampler),
        lambda: values[cKDTree(xy).query(places, 16, workers=-1)[1]],
        as_sorted,
    )


@corner("peak memory, RadiusGraph with one dense cluster", LISTS, 2.0)
def cluster() -> Held:
    x, y = square(20_000)
    x[:2000], y[:2000] = 5e5 + x[:2000] / 1e3, 5e5 + y[:2000] / 1e3
    source = sites(x, y)
    return Held(lambda: source.patch.split(geometry=xpatch.RadiusGraph(10_000)), members_bytes)


def raster(n: int) -> xr.DataArray:
    """Give a raster in metres."""
    import rioxarray  # noqa: F401

    labels = np.arange(n) + 0.5
    source = xr.DataArray(noise(n, n), {"y": labels[::-1], "x": labels}, ("y", "x"))
    return source.rio.write_crs(32633)


def circles(n: int, small: float, large: float) -> Any:
    """Give circles in a raster of 1000² m."""
    import shapely

    places = shapely.points(rng().uniform(50, 950, (n, 2)))
    return shapely.buffer(places, rng().uniform(small, large, n))


@corner("peak memory, 99 small polygons and one large", LISTS, 2.0)
def unequal() -> Held:
    import geopandas as gpd
    import shapely

    polygons = gpd.GeoSeries([*circles(99, 20, 20), shapely.box(10, 10, 900, 900)], crs=32633)
    source = raster(1000)
    geometry = xpatch.PolygonIntersection(polygons)
    return Held(lambda: source.patch.split(geometry=geometry), members_bytes)


# xvec lets overlapping polygons take cells from each other
@corner("mean in 300 polygons on 1000²", "xvec.zonal_stats, rasterize")
@corner("mean in 99 small polygons and one large", "xvec.zonal_stats, rasterize", large=True)
def zonal(large: bool = False) -> Timed:
    import geopandas as gpd
    import shapely
    import xvec  # noqa: F401

    shapes = (
        [*circles(99, 20, 20), shapely.box(10, 10, 900, 900)] if large else circles(300, 10, 30)
    )
    polygons, source = gpd.GeoSeries(shapes, crs=32633), raster(1000)
    geometry = xpatch.PolygonIntersection(polygons)
    how: Any = {"x_coords": "x", "y_coords": "y", "stats": "mean", "method": "rasterize"}
    return Timed(
        lambda: source.patch.split(geometry=geometry).mean("cell"),
        lambda: source.xvec.zonal_stats(polygons, **how),
        None,
    )


def smoothed(split: Callable[[], xr.DataArray], number: str, whole: bool) -> Timed:
    """Compare putting means back on the anchors with an assignment, with or without the mean."""
    patches = split()
    values = patches.values
    at = np.arange(len(values))  # every element is an anchor
    means = np.nanmean(values, axis=1)

    def put(numbers: np.ndarray) -> np.ndarray:
        out = np.full(len(at), np.nan, "f4")
        out[at] = numbers
        return out

    def mean(patches: xr.DataArray) -> xr.DataArray:
        return patches.mean(number)

    if whole:
        return Timed(
            lambda p: mean(p).patch.merge("most_central"),
            lambda: put(np.nanmean(values, axis=1)),
            fresh=split,
        )
    return Timed(
        lambda p: p.patch.merge("most_central"), lambda: put(means), fresh=lambda: mean(split())
    )


PUT, MEAN_PUT = "out[anchor] = v", "np.nanmean, out[anchor] = v"


@corner("merge most_central, mean of 8 nearest of 100,000 stations", PUT, 5.0)
@corner("mean and merge most_central, 8 nearest of 100,000", MEAN_PUT, 5.0, whole=True)
def stations(whole: bool = False) -> Timed:
    source = sites(*square(100_000))
    return smoothed(lambda: source.patch.split(geometry=xpatch.KNNGraph(8)), "site", whole)


@corner("merge most_central, mean of 1 hop on a mesh of 80,000", PUT, 5.0)
@corner("mean and merge most_central, 1 hop on a mesh of 80,000", MEAN_PUT, 5.0, whole=True)
def mesh(whole: bool = False) -> Timed:
    import uxarray as ux

    n = 201
    number = np.arange(n * n).reshape(n, n)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (b, d, c))])
    lon, lat = (v.ravel() for v in np.meshgrid(np.linspace(0, 60, n), np.linspace(-30, 30, n)))
    grid = ux.Grid.from_topology(lon, lat, faces, fill_value=-1)
    source = ux.UxDataArray(xr.DataArray(noise(len(faces)), dims="n_face"), uxgrid=grid)
    return smoothed(lambda: source.patch.split(geometry=xpatch.KHopGraph(1)), "n_face", whole)
