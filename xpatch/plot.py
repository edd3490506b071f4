"""Pictures of patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xpatch.inspecting import cell_edges, rectangles
from xpatch.restoring import provenance

__all__ = ["plot"]


def plot(
    patches: xr.DataArray | xr.Dataset,
    field: xr.DataArray | None = None,
    *,
    coverage: bool = True,
    axes: Any = None,
    most: int = 400,
    color: str = "black",
    **kwargs: Any,
) -> Any:
    """Draw the outlines of patches over the field, and how often each cell is covered.

    Parameters
    ----------
    patches : DataArray or Dataset
        Patches.
    field : DataArray, optional
        Two-dimensional field to draw underneath; default: none.
    coverage : bool, default: True
        Whether to draw a second picture with the number of patches on each cell.
    axes : matplotlib Axes or pair of them, optional
        Where to draw; default: a new figure.
    most : int, default: 400
        Largest number of outlines; of more, an even choice is drawn.
    color : str, default: "black"
        Color of the outlines.
    **kwargs
        Passed to ``field.plot``.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    try:
        import matplotlib.pyplot as plt
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Rectangle
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'xarray-patch[plot]'") from error
    outlines, (y, x) = rectangles(patches)
    if axes is None:
        columns = 2 if coverage else 1
        _, axes = plt.subplots(
            1, columns, figsize=(5.2 * columns, 4.2), squeeze=False, layout="constrained"
        )
    axes = np.ravel(axes)
    if field is not None:
        field.plot(ax=axes[0], x=x, y=y, **{"add_labels": False, **kwargs})
    shown = outlines[np.unique(np.linspace(0, len(outlines) - 1, most).astype(int))]
    boxes = [Rectangle((a, b), c - a, d - b) for a, b, c, d in shown]
    axes[0].add_collection(
        PatchCollection(boxes, facecolor="none", edgecolor=color, linewidth=0.8, alpha=0.7)
    )
    axes[0].autoscale_view()
    some = "" if len(shown) == len(outlines) else f", {len(shown)} drawn"
    axes[0].set(title=f"{len(outlines)} patches{some}", xlabel=x, ylabel=y)
    if coverage and len(axes) > 1:
        _draw_coverage(patches, axes[1], y, x)
    return axes[0].figure


def _draw_coverage(patches: Any, ax: Any, y: Any, x: Any) -> None:
    source = provenance(patches, None)
    plan = source.plans[0]
    from xpatch.engine.placement import Placement
    from xpatch.neighborhood import arrange

    arranged, _ = arrange(plan.boxes.only((y, x)).inner(source.crop), source.ordinals)
    total = Placement(arranged).cover()
    count = np.multiply.outer(*total) if isinstance(total, list) else total
    edges = []
    for k, d in enumerate((y, x)):
        values = plan.domain.coordinate(d)
        numeric = values is not None and values.dtype.kind in "iuf"
        edges.append(cell_edges(values if numeric else np.arange(count.shape[k])))
    mesh = ax.pcolormesh(edges[1], edges[0], count, cmap="viridis", vmin=0)
    ax.figure.colorbar(mesh, ax=ax, label="patches on a cell")
    ax.set(title="coverage", xlabel=x, ylabel=y)
