"""Pictures of patches that are lists of members."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Sites
from xpatch.domain.places import DEGREES
from xpatch.patches import member_properties as listed
from xpatch.plot.boxes import draw_outlines, flat
from xpatch.plot.canvas import COLORS, Canvas, same_bounds
from xpatch.plot.cells import draw_shapes, draw_sites, rings_of
from xpatch.plot.coverage import element_counts
from xpatch.plot.picture import OUTLINES, Picture, label_of

FEW = len(COLORS)  # patches whose members are drawn
MOST_MEMBERS = 2000  # of each of them


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
    few = at[np.unique(np.linspace(0, len(at) - 1, FEW + 2).astype(int)[1:-1])] if len(at) else at
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
        return Canvas(("x", "y"), level=True, crs=sites.crs)
    if sites.axes is None:
        return Canvas.of_map(sites.x)
    x = np.sort(sites.axes[1])
    step = (x[-1] - x[0]) / max(len(x) - 1, 1)
    around = x[-1] - x[0] + step > 359
    west = float(x[0] - step / 2) if around else None
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
    picture.color_bar(ax, drawn, f"{picture.counted} that hold an element", counts=True)
    canvas.dress(ax, "coverage")


def _draw_members(ax: Any, plan: Any, k: int, sites: Sites, canvas: Canvas, color: str) -> None:
    """Draw the members of a patch: those that have an extent filled, others joined to the anchor."""
    own = plan.hood.members(np.array([k])).elements
    own = own[:: -(-len(own) // MOST_MEMBERS) or 1]
    anchor = plan.places.x[k], plan.places.y[k]
    if sites.polygonal:
        assert sites.geometries is not None
        _fill(ax, sites.geometries[own], canvas, color)
    elif sites.outlines is not None and len(sites.shape) == 1:
        _fill(ax, sites.outlines(own), canvas, color)
    else:
        _join(ax, sites, own, anchor, canvas, color)


def _fill(ax: Any, shapes: NDArray[Any], canvas: Canvas, color: str) -> None:
    made = draw_shapes(ax, shapes, canvas, None)
    made.set(facecolor=color, edgecolor=color, alpha=0.85)


def _join(
    ax: Any, sites: Sites, own: NDArray[Any], anchor: Any, canvas: Canvas, color: str
) -> None:
    """Draw members as dots; of points, lines from the anchor to them."""
    from matplotlib.collections import LineCollection

    x, y = sites.x[own], sites.y[own]
    how = canvas.transform(ax)
    if len(sites.shape) == 1 and sites.axes is None:
        if canvas.degrees:
            x = x - 360 * np.round((x - anchor[0]) / 360)
        spokes = [np.array([anchor, end]) for end in zip(x, y, strict=True)]
        ax.add_collection(LineCollection(canvas.lines(spokes), colors=color, linewidths=0.8, **how))
    size = float(np.clip(4e3 / max(len(own), 1), 1, 12))
    ax.scatter(canvas.turned(x), y, s=size, color=color, linewidths=0, zorder=2.5, **how)
