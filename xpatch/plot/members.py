"""Pictures of patches that are lists of members."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Sites
from xpatch.domain.places import DEGREES
from xpatch.patches import member_properties as listed
from xpatch.patches.outlines import cell_edges
from xpatch.patches.plan import Plan
from xpatch.plot.boxes import draw_outlines, flat
from xpatch.plot.canvas import COLORS, Canvas, around, in_plane, same_bounds
from xpatch.plot.cells import MOST_MEMBERS, RIM, draw_sites, fill, outlines_of, rings_of
from xpatch.plot.coverage import element_counts
from xpatch.plot.held import element_of, with_article
from xpatch.plot.picture import OUTLINES, Picture, label_of

FEW = len(COLORS)  # patches whose members are drawn


def draw(picture: Picture) -> Any:
    """Draw elements, outlines and anchors, the members of a few, and how many patches hold each element."""
    plan, entries = picture.placed
    sites = listed.sites_of(plan)
    assert plan.places is not None
    canvas = canvas_of(sites)
    axes = picture.panels(*canvas.extent(sites.x, sites.y), canvas)
    values = None if picture.field is None else flat(picture.field, sites)
    drawn = draw_sites(axes[0], sites, canvas, values, **picture.kwargs)
    if picture.field is not None:
        picture.color_bar(axes[0], drawn, label_of(picture.field, picture.field.name))
    at = entries[picture.shown(OUTLINES)]
    few = at if len(at) <= FEW else at[np.linspace(0, len(at) - 1, FEW + 2).astype(int)[1:-1]]
    _draw_outlines(axes[0], picture, at, few, canvas)
    for k, color in zip(few, COLORS, strict=False):
        _draw_members(axes[0], plan, k, sites, canvas, color)
    dots = {"color": picture.color, "markersize": 3, **canvas.transform(axes[0])}
    axes[0].plot(canvas.turned(plan.places.x[at]), plan.places.y[at], ".", **dots)
    canvas.dress(axes[0], picture.title(len(at)))
    if len(axes) > 1:
        _draw_coverage(picture, axes[1], sites, canvas)
    same_bounds(axes)
    return axes[0].figure


def canvas_of(sites: Sites) -> Canvas:
    """Give the map of elements, or their plane."""
    if not sites.geographic or sites.rotated:
        return Canvas(in_plane(sites.crs), level=True, crs=sites.crs)
    if sites.axes is None:
        return Canvas.of_map(sites.x)
    west = around(cell_edges(np.sort(sites.axes[1])))
    return Canvas(("longitude", "latitude"), True, True, west, DEGREES)


def _draw_outlines(
    ax: Any, picture: Picture, at: NDArray[Any], few: NDArray[Any], canvas: Canvas
) -> None:
    """Draw caps and polygons; of other lists members alone say where they are."""
    plan, _ = picture.placed
    assert plan.places is not None
    cap = (plan.spec.get("geometry") or {}).get("radius_km") is not None and canvas.degrees
    if plan.places.shapes is None and not cap:
        return
    source = dataclasses.replace(picture.source, ordinals=at)
    rings = [rings_of(shape) for shape in listed.outlines(source, plan)[0]]
    draw_outlines(ax, rings, canvas, picture.color)
    for k, color in zip(few, COLORS, strict=False):
        draw_outlines(ax, [rings[int(np.flatnonzero(at == k)[0])]], canvas, color, thick=True)


def _draw_coverage(picture: Picture, ax: Any, sites: Sites, canvas: Canvas) -> None:
    plan, entries = picture.placed
    held = element_counts(plan, plan.lists[0], entries)
    assert held is not None
    most = max(int(held.max(initial=0)), 1)
    scale = {"vmin": 0, "vmax": most} if sites.axes is not None else {"clim": (0, most)}
    drawn = draw_sites(ax, sites, canvas, held, **scale)
    element = element_of(plan.domain, plan.lists[0].dims)
    picture.color_bar(ax, drawn, f"{picture.counted} on {with_article(element)}", counts=True)
    canvas.dress(ax, "coverage")


def _draw_members(ax: Any, plan: Plan, k: int, sites: Sites, canvas: Canvas, color: str) -> None:
    """Draw the members of a patch: those that have an extent filled, others joined to the anchor."""
    assert plan.places is not None
    own = plan.hood.members(np.array([k])).elements
    if sites.polygonal or len(sites.shape) == 1:  # of a grid every so many rows and columns
        own = own[:: -(-len(own) // MOST_MEMBERS) or 1]
    outlines = outlines_of(sites, own, canvas.degrees)
    if outlines is None:
        _join(ax, sites, own, (plan.places.x[k], plan.places.y[k]), canvas, color)
    elif outlines:
        fill(ax, outlines, canvas, color)


def _join(
    ax: Any, sites: Sites, own: NDArray[Any], anchor: Any, canvas: Canvas, color: str
) -> None:
    """Draw points, and lines from the anchor to them."""
    from matplotlib.collections import LineCollection

    x, y = sites.x[own], sites.y[own]
    how = canvas.transform(ax)
    if canvas.degrees:
        x = x - 360 * np.round((x - anchor[0]) / 360)
    spokes = [np.array([anchor, end]) for end in zip(x, y, strict=True)]
    ax.add_collection(LineCollection(canvas.lines(spokes), colors=color, linewidths=0.8, **how))
    size = float(np.clip(4e3 / max(len(own), 1), 1, 12))
    rim = {"linewidths": 0.4, "edgecolors": RIM}
    ax.scatter(canvas.turned(x), y, s=size, color=color, zorder=2.5, **{**rim, **how})
