"""Outlines of patches."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xpatch.domain import Lattice, domain_of
from xpatch.domain.axes import crs_name
from xpatch.patches import member_properties as listed
from xpatch.patches.placed import in_space, only_time, plan_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.patches.recall import indexed
from xpatch.patches.scene import alone, scene_rows


def cell_edges(values: NDArray[Any]) -> NDArray[np.float64]:
    """Give the edges of cells from their centers, n + 1 for n cells."""
    values = values.astype(float)
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def axis_edges(domain: Lattice, dim: Hashable) -> NDArray[np.float64]:
    """Give the edges of cells along ``dim`` as they are drawn.

    They are in coordinate units, for dates in days since 1970 as matplotlib counts, and in cells
    where there are no such labels.
    """
    values = domain.coordinate(dim)
    if values is not None and values.dtype.kind == "M":
        values = (values - np.datetime64(0, "s")) / np.timedelta64(1, "D")
    elif values is None or values.dtype.kind not in "iuf":
        values = np.arange(domain.sizes[dim])
    return cell_edges(values)


def plane(domain: Lattice, dims: tuple[Hashable, ...]) -> tuple[Hashable, Hashable]:
    """Give the (y, x) dimensions of the plane in which patches are drawn."""
    roles = domain.roles
    x = [d for d in dims if roles.get(d) in ("X", "longitude")]
    y = [d for d in dims if roles.get(d) in ("Y", "latitude")]
    if x and y:
        return y[0], x[0]
    if len(dims) < 2:
        raise ValueError(
            f"outlines need two cut dimensions, the patches were cut along {list(dims)}; where they are "
            "says patches.patch.anchors"
        )
    return dims[-2], dims[-1]


def rectangles(obj: Any) -> tuple[NDArray[np.float64], tuple[Hashable, Hashable]]:
    """Give the outline of each patch as (x0, y0, x1, y1), shape (patch, 4), and the (y, x) dims."""
    source, plan = in_space(obj)
    if plan.domain.above is not None:
        plan.domain.above.check_placed(plan.dims)
    boxes = plan.boxes.cropped(source.crop)
    starts, cells = boxes.starts(source.ordinals), boxes.cells(source.ordinals)
    y, x = plane(plan.domain, plan.dims)
    columns = {}
    for d in (y, x):
        k = plan.dims.index(d)
        start, size, n = starts[:, k], cells[:, k], boxes.shape[k]
        edges = axis_edges(plan.domain, d)
        step = (edges[-1] - edges[0]) / n
        ends = []
        for at in (start, start + size):
            inside = np.clip(at, 0, n)
            ends.append(edges[inside] + (at - inside) * step)
        columns[d] = np.sort(np.stack(ends), axis=0)
    return np.stack([columns[x][0], columns[y][0], columns[x][1], columns[y][1]], axis=-1), (y, x)


def footprints(obj: Any, to_crs: Any = None) -> Any:
    """Outlines of the patches as a GeoDataFrame in the CRS of the field (needs geopandas).

    Parameters
    ----------
    to_crs : optional
        CRS to transform them to, anything that pyproj takes; patches of scenes in several CRSs need one.

    Returns
    -------
    GeoDataFrame
        One polygon a patch, indexed by its label; of several scenes with a column ``scene``.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((4, 6)), {"y": np.arange(4), "x": np.arange(6)})
    >>> field.patch.split(geometry={"y": 4, "x": 3}).patch.footprints().area.tolist()
    [12.0, 12.0]
    """
    try:
        import geopandas
        import shapely
    except ImportError as error:
        raise ImportError(
            "footprints need geopandas: pip install 'xarray-patch[vector]'"
        ) from error
    groups = scene_rows(obj)
    if groups is not None:
        return _of_scenes(obj, *groups, to_crs)
    obj = indexed(
        obj
    )  # else labels of a file would be compared each time that the plan is asked for
    source, plan = in_space(obj)
    _check_in_space(plan)
    if plan.domain.above is not None:  # also of curved and rotated grids
        plan.domain.above.check_placed(plan.dims)
    if plan.members is not None:
        outlines, crs = listed.outlines(source, plan)
    elif plan.domain.curved:
        outlines, crs = bent_outlines(plan, source), "EPSG:4326"
    elif plan.domain.rotated is not None:
        outlines, crs = bent_outlines(plan, source), plan.domain.crs
    else:
        outlines, crs = shapely.box(*rectangles(obj)[0].T), _crs(obj, plan)
    index = pd.Index(plan_of(obj)[0].ordinals, name=source.dim)
    found = geopandas.GeoDataFrame(geometry=outlines, index=index, crs=crs)
    if to_crs is None or found.crs is not None:
        return found if to_crs is None else found.to_crs(to_crs)
    raise ValueError(
        "footprints(to_crs=…) needs a field with a CRS, and this one has none; write one before it is "
        "split: field.rio.write_crs(…)"
    )


def _of_scenes(obj: Any, dim: Hashable, scenes: list[tuple[Any, NDArray[Any]]], to_crs: Any) -> Any:
    """Give the outlines of patches of several scenes, in one CRS."""
    import geopandas

    found = {name: footprints(alone(obj.isel({dim: rows})), to_crs) for name, rows in scenes}
    several = {frame.crs: _named(frame.crs) for frame in found.values()}
    if len(several) > 1:
        raise ValueError(
            f"these patches lie in several CRSs, {' and '.join(sorted(several.values()))}; say in which one their "
            "outlines shall be: footprints(to_crs='EPSG:4326')"
        )
    labels = obj.coords[dim].values
    parts = []
    for name, rows in scenes:
        frame = found[name].set_axis(pd.Index(labels[rows], name=dim))
        parts.append(frame.assign(scene=name))
    every = geopandas.GeoDataFrame(pd.concat(parts))
    back = np.argsort(np.concatenate([rows for _, rows in scenes]))
    return every.iloc[back]


def _named(crs: Any) -> str:
    return "none" if crs is None else crs_name(crs)


def _check_in_space(plan: Plan) -> None:
    """Raise a ValueError if outlines would be over time, or over height."""
    if plan.members is not None and not only_time(plan):
        return
    horizontal = plan.domain.spatial_dims
    if only_time(plan):
        wrong = True
    elif plan.domain.curvilinear:
        wrong = not set(plan.dims) & set(horizontal)
    else:
        wrong = bool(horizontal) and not set(plane(plan.domain, plan.dims)) <= set(horizontal)
    if wrong:
        over = f" over {list(horizontal)}" if horizontal else ""
        raise ValueError(
            f"footprints are outlines in space{over}, and these patches were cut along {list(plan.dims)}; "
            "patches.patch.plot() draws them as they are"
        )


def _crs(obj: Any, plan: Plan) -> Any:
    if plan.domain.crs is not None:
        return plan.domain.crs
    found = domain_of(obj).crs
    return "EPSG:4326" if found is None and plan.domain.geographic else found


def bent_outlines(plan: Plan, source: Provenance) -> NDArray[Any]:
    """Give the outlines of boxes of a grid whose rows and columns are no axes of a map."""
    if plan.domain.rotated is not None and not plan.domain.curvilinear:
        return np.asarray(_rotated(plan, source))
    return np.asarray(_curved(plan.part(source.crop), source.ordinals))


def _rotated(plan: Plan, source: Provenance) -> Any:
    """Outlines of patches of a rotated raster."""
    import shapely

    rotated = plan.domain.rotated
    assert rotated is not None
    boxes = plan.boxes.take(source.ordinals).cropped(source.crop)
    sides = []
    for d in rotated:
        k = plan.dims.index(d) if d in plan.dims else None
        low = np.zeros(len(boxes)) if k is None else boxes.starts()[:, k]
        sides.append((low, low + (plan.domain.sizes[d] if k is None else boxes.sizes[k])))
    ring = ((0, 0), (0, 1), (1, 1), (1, 0))
    corners = [plan.domain.xy_at(sides[0][j] - 0.5, sides[1][i] - 0.5) for j, i in ring]
    return shapely.polygons(np.stack([np.stack(c, axis=-1) for c in corners], axis=1))


def _curved(plan: Plan, ordinals: NDArray[Any]) -> Any:
    """Outlines of patches of a curvilinear grid through the centers of their border cells."""
    import shapely

    rows_columns = plan.domain.spatial_dims
    beside = [d for d in plan.domain.latlon[0].dims if d not in rows_columns]
    lat, lon = (c.transpose(*beside, *rows_columns).values for c in plan.domain.latlon)
    shape = lat.shape[-2:]
    for d, n in zip(beside, lat.shape, strict=False):
        if plan.inner.get(d, n) != 1:
            raise ValueError(
                f"patches that hold several of {d!r} have no one outline; cut them with "
                f"Rectangular({{{d!r}: 1, …}})"
            )
    boxes = plan.boxes.only([d for d in plan.dims if d in (*beside, *rows_columns)]).take(ordinals)
    out = []
    for start in boxes.starts():
        spans = dict(zip(boxes.dims, zip(start, start + boxes.sizes, strict=True), strict=True))
        face = tuple(spans.get(d, (0, 1))[0] for d in beside)
        j, i = (
            np.arange(*spans.get(d, (0, n)))[[0, -1]]
            for d, n in zip(rows_columns, shape, strict=True)
        )
        rows, columns = np.arange(j[0], j[1] + 1), np.arange(i[0], i[1] + 1)
        ring_j = np.concatenate(
            [np.full(len(columns), j[0]), rows, np.full(len(columns), j[1]), rows[::-1]]
        )
        ring_i = np.concatenate(
            [columns, np.full(len(rows), i[1]), columns[::-1], np.full(len(rows), i[0])]
        )
        at = (*face, ring_j % shape[0], ring_i % shape[1])
        xy = np.stack([lon[at], lat[at]], axis=-1)
        xy = xy[np.isfinite(xy).all(axis=1)]
        xy[:, 0] = np.unwrap(xy[:, 0], period=360)  # goes on past the dateline
        out.append(shapely.Polygon(xy) if len(xy) > 3 else shapely.Polygon())
    return np.array(out, dtype=object)
