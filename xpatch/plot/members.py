"""Pictures of patches that are lists of members."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.patches import member_properties as listed
from xpatch.patches.provenance import Provenance


def draw(
    patches: Any,
    source: Provenance,
    field: xr.DataArray | None,
    coverage: bool,
    axes: NDArray,
    most: int,
    color: str,
    kwargs: dict[str, Any],
) -> Any:
    """Draw outlines and anchors over the elements, and how many patches hold each element."""
    plan, entries = source.plans[0].in_space(source.ordinals)
    source = dataclasses.replace(source, ordinals=entries)
    sites = listed.sites_of(plan)
    assert plan.places is not None
    n = len(source.ordinals)
    shown = np.unique(np.linspace(0, max(n - 1, 0), min(most, max(n, 1))).astype(int))
    true = sites.geographic and not sites.rotated
    names = ("longitude", "latitude") if true else ("x", "y")
    values = None if field is None else _flat(field, sites)
    _elements(axes[0], sites, values, kwargs)
    if n:
        outlines, _ = listed.outlines(source, plan, shown)
        _draw_outlines(axes[0], outlines, color)
        at = source.ordinals[shown]
        axes[0].plot(plan.places.x[at], plan.places.y[at], ".", color=color, markersize=3)
    some = "" if len(shown) == n else f", {len(shown)} drawn"
    axes[0].set(title=f"{n} patches{some}", xlabel=names[0], ylabel=names[1])
    if coverage and len(axes) > 1:
        held = np.bincount(plan.hood.members(source.ordinals).elements, minlength=len(sites))
        mesh = _elements(axes[1], sites, held, {"vmin": 0})
        axes[1].figure.colorbar(mesh, ax=axes[1], label="patches that hold an element")
        axes[1].set(title="coverage", xlabel=names[0], ylabel=names[1])
    return axes[0].figure


def _flat(field: xr.DataArray, sites: Any) -> NDArray:
    others = [d for d in field.dims if d not in sites.dims]
    if others:
        raise ValueError(
            f"only a field over {list(sites.dims)} can be drawn, this one also has {others}; "
            f"select from it: field.isel({others[0]}=0)"
        )
    return field.transpose(*sites.dims).values.ravel()


def _elements(ax: Any, sites: Any, values: NDArray | None, kwargs: dict[str, Any]) -> Any:
    """Draw elements where they are: cells of straight axes as a mesh, others as dots."""
    if sites.axes is not None and values is not None:
        y, x = sites.axes
        grid = values.reshape(sites.shape)
        return ax.pcolormesh(x, y, grid if sites.y_first else grid.T, shading="nearest", **kwargs)
    if sites.axes is not None:
        return None
    size = float(np.clip(4e4 / max(len(sites), 1), 1, 20))
    if values is None:
        return ax.scatter(sites.x, sites.y, s=size, color="lightgray", linewidths=0)
    return ax.scatter(sites.x, sites.y, s=size, c=values, linewidths=0, **kwargs)


def _draw_outlines(ax: Any, outlines: NDArray, color: str) -> None:
    from matplotlib.collections import LineCollection

    lines = []
    for shape in outlines:
        for part in getattr(shape, "geoms", [shape]):
            rings = [part.exterior, *part.interiors] if hasattr(part, "exterior") else []
            lines += [np.asarray(r.coords)[:, :2] for r in rings]
    ax.add_collection(LineCollection(lines, colors=color, linewidths=0.8, alpha=0.7))
    ax.autoscale_view()
