"""Pictures of cells and elements: meshes of rows and columns, polygons, lines, dots."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import Sites
from xpatch.plot.canvas import Canvas

MOST_POLYGONS = 30_000  # that are drawn; more elements are dots
MOST_CELLS = 90_000  # of a bent grid; of more every so many
GRAY = "#c9d0d6"


def draw_sites(
    ax: Any, sites: Sites, canvas: Canvas, values: NDArray[Any] | None, **how: Any
) -> Any:
    """Draw elements as what they are, colored by value; in gray without values."""
    if sites.axes is not None:
        return draw_straight(ax, sites, values, {**canvas.transform(ax), **how})
    if sites.geometries is not None and sites.polygonal:
        which = _some(len(sites), MOST_POLYGONS)
        return draw_shapes(ax, sites.geometries[which], canvas, _at(values, which), **how)
    if sites.outlines is not None and len(sites) <= MOST_POLYGONS and len(sites.shape) == 1:
        shapes = sites.outlines(np.arange(len(sites)))
        return draw_shapes(ax, shapes, canvas, values, **how)
    if len(sites.shape) > 1 and sites.outlines is not None:
        return draw_bent(ax, sites, canvas, values, **how)
    return draw_dots(ax, sites, canvas, values, **how)


def _at(values: NDArray[Any] | None, which: NDArray[Any]) -> NDArray[Any] | None:
    return None if values is None else values[which]


def _some(n: int, most: int) -> NDArray[np.int64]:
    """Give all of ``n``, or an even choice of at most ``most``."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)


def draw_straight(ax: Any, sites: Sites, values: NDArray[Any] | None, how: dict[str, Any]) -> Any:
    """Draw cells of straight axes as a mesh, of many every so many."""
    if values is None:
        return None
    assert sites.axes is not None
    y, x = sites.axes
    grid = values.reshape(sites.shape)
    grid = grid if sites.y_first else grid.T
    rows, columns = (-(-n // 1000) for n in grid.shape)
    some = grid[::rows, ::columns]
    return ax.pcolormesh(x[::columns], y[::rows], some, shading="nearest", **how)


def draw_dots(
    ax: Any, sites: Sites, canvas: Canvas, values: NDArray[Any] | None, **how: Any
) -> Any:
    """Draw elements as dots where they are, the smaller the more there are."""
    size = float(np.clip(4e4 / max(len(sites), 1), 1.5, 22))
    how = {**canvas.transform(ax), "s": size, "linewidths": 0, **how}
    x = canvas.turned(sites.x)
    if values is None:
        return ax.scatter(x, sites.y, color=GRAY, **how)
    return ax.scatter(x, sites.y, c=values, **how)


def draw_shapes(
    ax: Any, shapes: NDArray[Any], canvas: Canvas, values: NDArray[Any] | None, **how: Any
) -> Any:
    """Draw geometries: polygons with their holes, others as lines."""
    from matplotlib.collections import LineCollection, PathCollection

    own = [list(rings_of(shape)) for shape in shapes]
    closed = any(hasattr(shape, "exterior") for s in shapes[:1] for shape in _parts(s))
    line = {"linewidths": 0.2 if len(shapes) > 2000 else 0.5}
    if not closed:
        lines = [line for rings in own for line in canvas.lines(rings)]
        made: Any = LineCollection(lines, **{**canvas.transform(ax), **line, "colors": GRAY})
        return _added(ax, made, None)
    paths, whose = _paths(own, canvas)
    face: dict[str, Any] = {"edgecolors": "face", "antialiaseds": False}
    if values is None:
        face = {"facecolors": "none", "edgecolors": GRAY}
    made = PathCollection(paths, **{**canvas.transform(ax), **line, **face, **how})
    return _added(ax, made, None if values is None else values[whose])


def _paths(own: Sequence[Any], canvas: Canvas) -> tuple[list[Any], NDArray[np.int64]]:
    """Give a path for each polygon, two of one that goes on past the end of the map, and whose they are."""
    from matplotlib.path import Path

    paths, whose = [], []
    for k, rings in enumerate(own):
        turns = [canvas.lines([ring]) for ring in rings]
        for same in itertools.zip_longest(*turns):
            there = [Path(ring, closed=True) for ring in same if ring is not None]
            paths.append(Path.make_compound_path(*there) if len(there) > 1 else there[0])
            whose.append(k)
    return paths, np.array(whose, np.int64)


def _parts(shape: Any) -> list[Any]:
    return list(getattr(shape, "geoms", [shape])) if shape is not None else []


def rings_of(shape: Any) -> list[NDArray[np.float64]]:
    """Give the rings of polygons, and lines as they are."""
    out = []
    for part in _parts(shape):
        lines = [part.exterior, *part.interiors] if hasattr(part, "exterior") else [part]
        out += [np.asarray(line.coords)[:, :2] for line in lines if not line.is_empty]
    return out


def draw_bent(
    ax: Any, sites: Sites, canvas: Canvas, values: NDArray[Any] | None, **how: Any
) -> Any:
    """Draw cells of a bent grid as quadrangles around their centers, of many every so many."""
    from matplotlib.collections import PolyCollection

    by = max(1, math.isqrt(-(-len(sites) // MOST_CELLS) - 1) + 1)
    every = (..., slice(None, None, by), slice(None, None, by))
    x, y = (v.reshape(sites.shape)[every] for v in (sites.x, sites.y))
    quads: Any = corners(x, y, canvas.degrees).reshape(-1, 4, 2)
    some = None if values is None else values.reshape(sites.shape)[every].ravel()
    if canvas.west is not None:
        quads, some = _around(quads, some, canvas.west)
    face: dict[str, Any] = {"edgecolors": "none", "antialiaseds": False}  # no gaps between them
    if some is None:
        face = {"facecolors": "none", "edgecolors": GRAY, "linewidths": 0.2}
    return _added(ax, PolyCollection(quads, **{**canvas.transform(ax), **face, **how}), some)


def _around(quads: NDArray[Any], values: NDArray[Any] | None, west: float) -> tuple[Any, Any]:
    """Turn quadrangles into a map; those across its end are drawn at both."""
    first = quads[..., 0].min(axis=1, keepdims=True)
    quads = quads.copy()
    quads[..., 0] -= 360 * np.floor((first - west) / 360)
    across = np.flatnonzero(quads[..., 0].max(axis=1) > west + 360)
    again = quads[across] - [360, 0]
    values = None if values is None else np.concatenate([values, values[across]])
    return np.concatenate([quads, again]), values


def corners(x: NDArray[Any], y: NDArray[Any], degrees: bool) -> NDArray[np.float64]:
    """Give the corners of cells in the middle of their centers, shape (…, y, x, 4, 2).

    In degrees they are in the middle on the sphere, and the longitudes of a cell are near each other.
    """
    points = sphere.unit_vectors(x, y) if degrees else np.stack([x, y], axis=-1)
    for axis in (-3, -2):
        points = _between(points, axis)
    if degrees:
        points = np.stack(sphere.degrees_of(points), axis=-1)
    a, b = points[..., :-1, :, :], points[..., 1:, :, :]
    out = np.stack([a[..., :-1, :], a[..., 1:, :], b[..., 1:, :], b[..., :-1, :]], axis=-2)
    if degrees:
        out[..., 0] -= 360 * np.round((out[..., 0] - x[..., None]) / 360)
    return np.where(np.isfinite(x)[..., None, None], out, np.nan)


def _between(points: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """Give the points in the middle along an axis, and at both ends half a step further."""
    p = np.moveaxis(points, axis, 0)
    middle = (p[1:] + p[:-1]) / 2
    if len(p) == 1:
        return np.moveaxis(np.concatenate([p, p]), 0, axis)
    ends = [2 * p[:1] - middle[:1], middle, 2 * p[-1:] - middle[-1:]]
    return np.moveaxis(np.concatenate(ends), 0, axis)


def _added(ax: Any, made: Any, values: NDArray[Any] | None) -> Any:
    """Put a collection on the axes."""
    if values is not None:
        made.set_array(values)
    ax.add_collection(made)
    ax.autoscale_view()
    return made
