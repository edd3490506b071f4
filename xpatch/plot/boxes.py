"""Pictures of boxes of rows and columns, on straight axes and on bent ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.domain.places import crs_of_field
from xpatch.patches.outlines import axis_edges, bent_outlines, rectangles
from xpatch.patches.plan import Plan
from xpatch.plot.canvas import COLORS, Canvas, Lines, around, in_plane, same_bounds, unit_of
from xpatch.plot.cells import RIM, draw_bent, rings_of
from xpatch.plot.coverage import box_counts
from xpatch.plot.picture import BOXES, Picture, axis_label, check_dims, label_of
from xpatch.plot.time import write_dates

MANY = 100  # outlines; of more each is thinner and paler
MOST_LINES = 1000  # cells along an axis that are drawn; of more every so many


def draw(picture: Picture) -> Any:
    """Draw outlines of boxes, and on how many each cell lies."""
    plan, _ = picture.placed
    return _draw_bent(picture) if is_bent(plan) else _draw_straight(picture)


def is_bent(plan: Plan) -> bool:
    """Whether boxes are of a grid whose rows and columns are no axes of a map."""
    domain = plan.domain
    curved = bool(domain.curvilinear) and (domain.curved or is_rotated(domain))
    rows_columns = domain.latlon[0].dims if curved else domain.rotated or ()
    return not domain.element_dims and bool(set(plan.dims) & set(rows_columns))


# ------------------------------------------------------------------------------------- straight


def _draw_straight(picture: Picture) -> Any:
    plan, entries = picture.placed
    outlines, (y, x) = rectangles(picture.patches)
    outlines = outlines[picture.rows]
    domain = plan.domain
    edges = {d: axis_edges(domain, d) for d in (y, x)}
    canvas = _straight_canvas(domain, y, x)
    if canvas.degrees and plan.boxes.wrap[plan.dims.index(x)]:
        canvas = dataclasses.replace(canvas, west=around(edges[x]))
    spans = [abs(float(edges[d][-1] - edges[d][0])) for d in (x, y)]
    middle = float(edges[y].mean())
    axes = picture.panels(spans[0], spans[1] * canvas.stretch(middle), canvas)
    if picture.field is not None:
        _draw_field(picture, axes[0], canvas, y, x)
    shown = picture.shown(BOXES)
    _draw_rectangles(outlines[shown], axes[0], picture.color, canvas)
    canvas.dress(axes[0], picture.title(len(shown)))
    if len(axes) > 1:
        steps = [-(-domain.sizes[d] // MOST_LINES) for d in (y, x)]
        hood = plan.boxes.cropped(picture.source.crop)
        counts = box_counts(hood, entries, (y, x), steps)
        some = [
            np.append(edges[d][:-1:s], edges[d][-1]) for d, s in zip((y, x), steps, strict=True)
        ]
        mesh = axes[1].pcolormesh(*some[::-1], counts, vmin=0, **canvas.transform(axes[1]))
        picture.color_bar(axes[1], mesh, f"{picture.counted} on a cell", counts=True)
        canvas.dress(axes[1], "coverage")
    same_bounds(axes)
    for ax in axes:
        _dress_axes(ax, domain, y, x)
    return axes[0].figure


def _straight_canvas(domain: Lattice, y: Hashable, x: Hashable) -> Canvas:
    """Tell what rows and columns are: longitude and latitude, lengths in one unit, anything else."""
    coords, roles = domain.template.coords, domain.roles
    kinds = roles.get(y), roles.get(x)
    across = kinds in (("latitude", "longitude"), ("Y", "X"))
    if across and domain.geographic and not is_rotated(domain):
        return Canvas(("longitude", "latitude"), True, True)
    crs = crs_of_field(domain)
    labels = [domain.coordinate(d) for d in (y, x)]
    high, wide = (domain.sizes[d] for d in (y, x))
    bare = all(v is None for v in labels) and high < 4 * wide < 16 * high  # square pixels
    level = bare or (kinds == ("Y", "X") and all(v is not None for v in labels))
    unit = unit_of(crs) if across and crs is not None else None
    named = [axis_label(coords.get(d), d, unit) for d in (x, y)]
    return Canvas((named[0], named[1]), level=level, crs=crs)


def is_rotated(domain: Lattice) -> bool:
    """Whether labels are longitude and latitude around a pole that is not that of the Earth."""
    crs = domain.crs  # those of map projections are derived, too
    return crs is not None and bool(crs.is_geographic and crs.is_derived)


def _dress_axes(ax: Any, domain: Lattice, y: Hashable, x: Hashable) -> None:
    """Write dates as dates, and count rows without labels from the top, as arrays are printed."""
    for axis, d in ((ax.xaxis, x), (ax.yaxis, y)):
        values = domain.coordinate(d)
        if values is not None and values.dtype.kind == "M":
            write_dates(axis)
    if domain.coordinate(y) is None and not ax.yaxis_inverted():
        ax.invert_yaxis()


def _draw_field(picture: Picture, ax: Any, canvas: Canvas, y: Hashable, x: Hashable) -> None:
    field = picture.field
    assert field is not None
    check_dims(field, (y, x))
    few = {d: slice(None, None, -(-field.sizes[d] // MOST_LINES)) for d in (y, x)}
    for d in (y, x):  # labels that cannot be drawn: the outlines are in cells
        if d not in field.coords or field.coords[d].dtype.kind not in "iufM":
            field = field.assign_coords({d: np.arange(field.sizes[d])})
    how = {"add_labels": False, "add_colorbar": False, **canvas.transform(ax), **picture.kwargs}
    drawn = field.isel(few).plot.pcolormesh(ax=ax, x=x, y=y, **how)
    if not picture.kwargs.get("add_colorbar", True):
        return
    picture.color_bar(ax, drawn, label_of(field, field.name))


def _draw_rectangles(outlines: NDArray[Any], ax: Any, color: str, canvas: Canvas) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    if not len(outlines):
        return
    turned = canvas.boxes(outlines)
    boxes = [Rectangle((a, b), c - a, d - b) for a, b, c, d in turned]
    thin = min(1.0, math.sqrt(MANY / len(outlines)))  # many that overlap would hide the field
    line: dict[str, Any] = {"facecolor": "none", "edgecolor": color}
    line |= {"linewidth": 0.8 * thin, "alpha": 0.7 * thin}
    ax.add_collection(PatchCollection(boxes, **canvas.transform(ax), **line))
    if len(outlines) > 1:
        middle = outlines[len(outlines) // 2][None]
        for a, b, c, d in canvas.boxes(middle):
            own = {"color": COLORS[0], "linewidth": 2, **canvas.transform(ax)}
            ax.plot([a, c, c, a, a], [b, b, d, d, b], **own)
    x0, y0 = outlines[:, :2].min(axis=0).tolist()
    x1, y1 = outlines[:, 2:].max(axis=0).tolist()
    if hasattr(ax, "projection"):
        return
    ax.update_datalim([(x0, y0), (x1, y1)])
    ax.autoscale_view()
    low, high = ax.get_xbound()  # which the field may have fixed
    ax.set_xbound(min(low, x0), max(high, x1))
    low, high = ax.get_ybound()
    ax.set_ybound(min(low, y0), max(high, y1))


# ----------------------------------------------------------------------------------------- bent


def bent_sites(domain: Lattice) -> Sites:
    """Give the cells of a grid whose rows and columns are no axes of a map."""
    if not domain.curvilinear:
        return domain.sites()
    lat, lon = domain.latlon
    x, y = (np.asarray(c.values, float).ravel() for c in (lon, lat))
    return Sites(lat.dims, lat.shape, "cell", x, y, True)


def bent_canvas(domain: Lattice, sites: Sites) -> Canvas:
    """Give the map, or the plane of a rotated raster."""
    if sites.geographic:
        return Canvas.of_map(sites.x)
    crs = crs_of_field(domain)
    return Canvas(in_plane(crs), level=True, crs=crs)


def _draw_bent(picture: Picture) -> Any:
    plan, entries = picture.placed
    sites = bent_sites(plan.domain)
    canvas = bent_canvas(plan.domain, sites)
    axes = picture.panels(*canvas.extent(sites.x, sites.y), canvas)
    bar = picture.color_bar
    values = None if picture.field is None else flat(picture.field, sites)
    drawn = draw_bent(axes[0], sites, canvas, values, **picture.kwargs)
    if picture.field is not None:
        bar(axes[0], drawn, label_of(picture.field, picture.field.name))
    shown = picture.shown(BOXES)
    source = dataclasses.replace(picture.source, ordinals=entries[shown])
    rings = [list(ring) for ring in map(rings_of, bent_outlines(plan, source))]
    rings = [opened(ring) for ring in rings] if canvas.degrees else rings
    draw_outlines(axes[0], rings, canvas, picture.color)
    draw_outlines(axes[0], rings[len(rings) // 2 :][:1], canvas, COLORS[0], thick=True)
    canvas.dress(axes[0], picture.title(len(shown)))
    if len(axes) > 1:
        hood = plan.boxes.cropped(picture.source.crop)
        counts = _spread(box_counts(hood, entries, cut := _cut(plan, sites)), cut, sites)
        drawn = draw_bent(axes[1], sites, canvas, counts, clim=(0, max(int(counts.max()), 1)))
        bar(axes[1], drawn, f"{picture.counted} on a cell", counts=True)
        canvas.dress(axes[1], "coverage")
    same_bounds(axes)
    return axes[0].figure


def _cut(plan: Any, sites: Sites) -> list[Hashable]:
    return [d for d in sites.dims if d in plan.dims]


def _spread(counts: NDArray[Any], cut: list[Hashable], sites: Sites) -> NDArray[Any]:
    """Repeat counts along dimensions that patches hold whole."""
    shape = [n if d in cut else 1 for d, n in zip(sites.dims, sites.shape, strict=True)]
    return np.broadcast_to(counts.reshape(shape), sites.shape).ravel()


def flat(field: xr.DataArray, sites: Sites) -> NDArray[Any]:
    """Give the values of a field, one for each element."""
    check_dims(field, sites.dims)
    return field.transpose(*sites.dims).values.ravel()


def opened(rings: Lines) -> Lines:
    """Leave out the last side of a ring around a pole, which leads back across the map."""
    return [r[:-1] if len(r) > 1 and abs(r[-1, 0] - r[-2, 0]) > 180 else r for r in rings]


def draw_outlines(
    ax: Any, outlines: Sequence[Lines], canvas: Canvas, color: str, thick: bool = False
) -> None:
    """Draw the outlines of patches, each of which is a few lines."""
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import withStroke

    lines = [line for own in outlines for line in canvas.lines(own)]
    how: dict[str, Any] = {"linewidths": 0.8, "alpha": 0.7}
    if thick:
        how = {"linewidths": 2, "path_effects": [withStroke(linewidth=3.4, foreground=RIM)]}
    ax.add_collection(LineCollection(lines, colors=color, **canvas.transform(ax), **how))
    ax.autoscale_view()
