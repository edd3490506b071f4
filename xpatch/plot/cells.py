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
from xpatch.patches.outlines import cell_edges
from xpatch.plot.canvas import Canvas
from xpatch.plot.poles import on_map, quads_on_map

MOST_POLYGONS = 30_000  # that are drawn; more elements are dots
MOST_CELLS = 90_000  # of a bent grid; of more every so many
MOST_MEMBERS = 5000  # of a patch that is filled
GRAY, RIM = "#c9d0d6", "#20242a"


def draw_sites(
    ax: Any, sites: Sites, canvas: Canvas, values: NDArray[Any] | None, **how: Any
) -> Any:
    """Draw elements as what they are, colored by value; in gray without values."""
    if sites.axes is not None:
        return draw_straight(ax, sites, values, {**canvas.transform(ax), **how})
    if sites.geometries is not None and sites.polygonal:
        which = _some(len(sites), MOST_POLYGONS)
        return draw_rings(ax, sites, which, canvas, _at(values, which), **how)
    if sites.outlines is not None and len(sites) <= MOST_POLYGONS and len(sites.shape) == 1:
        return draw_rings(ax, sites, np.arange(len(sites)), canvas, values, **how)
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


def draw_rings(
    ax: Any,
    sites: Sites,
    which: NDArray[Any],
    canvas: Canvas,
    values: NDArray[Any] | None,
    **how: Any,
) -> Any:
    """Draw elements by their outlines: polygons with their holes, others as lines."""
    from matplotlib.collections import LineCollection, PathCollection

    own = outlines_of(sites, which, canvas.degrees)
    assert own is not None
    line: dict[str, Any] = {"linewidths": 0.2 if len(own) > 2000 else 0.5}
    if not _closed(sites):
        lines = [line for rings in own for line in canvas.lines(rings)]
        made: Any = LineCollection(lines, **{**canvas.transform(ax), **line, "colors": GRAY})
        return _added(ax, made, None)
    paths, whose = paths_of(own, canvas)
    face: dict[str, Any] = {"edgecolors": "face", "antialiaseds": False}
    if values is None:
        face = {"facecolors": "none", "edgecolors": GRAY}
    made = PathCollection(paths, **{**canvas.transform(ax), **line, **face, **how})
    return _added(ax, made, None if values is None else values[whose])


def _closed(sites: Sites) -> bool:
    """Whether elements are polygons; those of a field are of one kind, or it is not drawn filled."""
    if sites.geometries is None:
        return True
    return any(hasattr(part, "exterior") for s in sites.geometries[:1] for part in _parts(s))


def fill(ax: Any, own: Sequence[Any], canvas: Canvas, color: str) -> None:
    """Fill elements in one color, with a dark rim around all of them that is seen on any field."""
    from matplotlib.collections import PathCollection

    paths, _ = paths_of(own, canvas)
    for edge, width in ((RIM, 1.8), (color, 0.1)):  # of the rim the outer half remains
        how: dict[str, Any] = {"facecolor": color, "edgecolor": edge, "linewidth": width}
        how |= {"antialiased": False, **canvas.transform(ax)}
        ax.add_collection(PathCollection(paths, **how))


def outlines_of(sites: Sites, which: NDArray[Any], degrees: bool) -> list[Any] | None:
    """Give the rings of elements that have an extent; None of points."""
    if sites.polygonal:
        assert sites.geometries is not None
        return [rings_of(shape) for shape in sites.geometries[which]]
    if len(sites.shape) > 1:
        usual, polar, _ = quads_on_map(_quads(sites, which, degrees))
        return [[ring] for ring in (*usual[:, [0, 1, 2, 3, 0]], *polar)]
    if sites.outlines is None:
        return None
    own = [rings_of(shape) for shape in sites.outlines(which)]
    return [[on_map(ring) for ring in rings] for rings in own] if degrees else own


def _quads(sites: Sites, which: NDArray[Any], degrees: bool) -> NDArray[np.float64]:
    """Give cells of a grid as quadrangles; of many every so many rows and columns, as much larger."""
    by = _every(len(which), MOST_MEMBERS)
    *faces, rows, columns = np.unravel_index(which, sites.shape)
    keep = (rows % by == 0) & (columns % by == 0)
    rows, columns = rows[keep] // by, columns[keep] // by
    if sites.axes is None:
        x, y = (v.reshape(sites.shape)[..., ::by, ::by] for v in (sites.x, sites.y))
        found = corners(x, y, degrees)[(*(f[keep] for f in faces), rows, columns)]
        return found[np.isfinite(found).all(axis=(-2, -1))]
    y, x = (cell_edges(axis[::by]) for axis in sites.axes)
    j, i = (rows, columns) if sites.y_first else (columns, rows)
    ring = [(0, 0), (0, 1), (1, 1), (1, 0)]
    return np.stack([np.stack([x[i + b], y[j + a]], axis=-1) for a, b in ring], axis=1)


def _every(n: int, most: int) -> int:
    """Give by how many rows and columns to go, that at most about so many cells are drawn."""
    return max(1, math.isqrt(max(-(-n // most) - 1, 0)) + 1)


def paths_of(own: Sequence[Any], canvas: Canvas) -> tuple[list[Any], NDArray[np.int64]]:
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

    by = _every(len(sites), MOST_CELLS)
    every = (..., slice(None, None, by), slice(None, None, by))
    x, y = (v.reshape(sites.shape)[every] for v in (sites.x, sites.y))
    quads: Any = corners(x, y, canvas.degrees).reshape(-1, 4, 2)
    some = None if values is None else values.reshape(sites.shape)[every].ravel()
    if canvas.west is not None:
        quads, some = _around(quads, some, canvas, canvas.west)
    face: dict[str, Any] = {"edgecolors": "none", "antialiaseds": False}  # no gaps between them
    if some is None:
        face = {"facecolors": "none", "edgecolors": GRAY, "linewidths": 0.2}
    return _added(ax, PolyCollection(quads, **{**canvas.transform(ax), **face, **how}), some)


def _around(
    quads: NDArray[Any], values: NDArray[Any] | None, canvas: Canvas, west: float
) -> tuple[Any, Any]:
    """Turn quadrangles into a map; those across its end are drawn at both."""
    usual, polar, order = quads_on_map(quads)
    usual[..., 0] -= 360 * np.floor((usual[..., 0].min(axis=1, keepdims=True) - west) / 360)
    across = np.flatnonzero(usual[..., 0].max(axis=1, initial=-np.inf) > west + 360 + 1e-9)
    turned = [canvas.lines([ring]) for ring in polar]
    many = np.repeat(len(usual) + np.arange(len(polar)), [len(t) for t in turned])
    whose = np.concatenate([np.arange(len(usual)), across, many]).astype(np.int64)
    found = [*usual, *(usual[across] - [360, 0]), *itertools.chain(*turned)]
    return found, None if values is None else values[order[whose]]


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
