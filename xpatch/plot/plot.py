"""Pictures of patches."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.engine.arrangement import arranged
from xpatch.engine.boxes import Boxes
from xpatch.engine.slices import Factors
from xpatch.engine.tiles import domain_cover, outer
from xpatch.patches.outlines import axis_edges, rectangles
from xpatch.patches.properties import only_time
from xpatch.patches.provenance import provenance
from xpatch.plot import members as plot_members
from xpatch.plot import time as plot_time
from xpatch.spec import is_integer

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

    Windows in time alone are bars over the time, one below the other: the past in blue, the future in
    orange, a mark at each anchor. Dates of cftime are drawn as years.

    Parameters
    ----------
    patches : DataArray or Dataset
        Patches.
    field : DataArray, optional
        Two-dimensional field to draw underneath, for windows in time a series; default: none.
    coverage : bool, default: True
        Whether to draw a second picture with the number of patches on each cell or step.
    axes : matplotlib Axes or pair of them, optional
        Where to draw; default: a new figure. On a single Axes only the outlines are drawn.
    most : int, default: 400
        Largest number of outlines or bars; of more, an even choice is drawn.
    color : str, default: "black"
        Color of the outlines, of windows in time that of the anchors.
    **kwargs
        Passed to ``field.plot``.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If a single dimension was cut that is not time, or the field has others than those drawn.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((8, 8)), {"y": np.arange(8), "x": np.arange(8)})
    >>> patches = field.patch.split(geometry={"y": 4, "x": 4})
    >>> len(patches.patch.plot(field).axes) > 1
    True
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'xarray-patch[plot]'") from error
    _check(field, axes, most)
    source = provenance(patches)
    timed = only_time(source.plans[0])
    if axes is None:
        axes = _figure(plt, 2 if coverage else 1, timed)
    axes = np.ravel(axes)[: None if coverage else 1]
    if timed:
        return plot_time.draw(patches, source, field, axes, most, color, kwargs)
    if source.plans[0].in_space(source.ordinals)[0].members is not None:
        return plot_members.draw(patches, source, field, coverage, axes, most, color, kwargs)
    outlines, (y, x) = rectangles(patches)
    if field is not None:
        _draw_field(field, axes[0], y, x, kwargs)
    shown = outlines[np.unique(np.linspace(0, len(outlines) - 1, most).astype(int))]
    _draw_outlines(shown, axes[0], color)
    some = "" if len(shown) == len(outlines) else f", {len(shown)} drawn"
    axes[0].set(title=f"{len(outlines)} patches{some}", xlabel=x, ylabel=y)
    if coverage and len(axes) > 1:
        _draw_coverage(patches, axes[1], y, x)
    return axes[0].figure


def _check(field: Any, axes: Any, most: Any) -> None:
    """Raise unless there is something to draw, and something to draw it on."""
    if field is not None and not isinstance(field, xr.DataArray):
        raise TypeError(
            f"field must be the DataArray to draw underneath, got {type(field).__name__}"
        )
    if axes is not None and not all(hasattr(ax, "add_collection") for ax in np.ravel(axes)):
        raise TypeError(f"axes must be an Axes of matplotlib or a pair of them, got {axes!r}")
    if not is_integer(most) or most < 1:
        raise ValueError(f"most must be an int of at least 1, got {most!r}")


def _figure(plt: Any, pictures: int, timed: bool) -> Any:
    """Make axes side by side, for windows in time one below the other."""
    if timed:
        rows = {"height_ratios": [3, 1][:pictures], "sharex": True}
        rows["figsize"] = (7.0, 3.2 + 1.2 * (pictures - 1))
        return plt.subplots(pictures, squeeze=False, layout="constrained", **rows)[1]
    size = (5.2 * pictures, 4.2)
    return plt.subplots(1, pictures, figsize=size, squeeze=False, layout="constrained")[1]


def coverage_of(patches: xr.DataArray | xr.Dataset, dims: tuple[Hashable, ...]) -> NDArray:
    """Count the patches on each cell of the field along ``dims``, whatever their values."""
    source = provenance(patches)
    boxed = source.plans[0].boxed
    assert boxed is not None
    hood, none = boxed.boxes.only(dims).cropped(source.crop), Factors((None,) * len(dims))
    at = source.ordinals
    boxes = Boxes.of(hood, range(len(dims)), arranged(hood, at), at, none, none)
    cover = outer(domain_cover(boxes))
    return cover.transpose([hood.dims.index(d) for d in dims])


def _draw_field(field: xr.DataArray, ax: Any, y: Any, x: Any, kwargs: dict[str, Any]) -> None:
    if not {y, x} <= set(field.dims):
        raise ValueError(
            f"field must lie over {[y, x]}, along which the patches were cut, got {list(field.dims)}"
        )
    others = [d for d in field.dims if d not in (y, x)]
    if others:
        raise ValueError(
            f"only a field over {[y, x]} can be drawn, this one also has {others}; "
            f"select from it: field.isel({others[0]}=0)"
        )
    for d in (y, x):  # labels that cannot be drawn: the outlines are in cells
        if d in field.coords and field.coords[d].dtype.kind not in "iufM":
            field = field.assign_coords({d: np.arange(field.sizes[d])})
    field.plot(ax=ax, x=x, y=y, **{"add_labels": False, **kwargs})


def _draw_outlines(outlines: NDArray, ax: Any, color: str) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    boxes = [Rectangle((a, b), c - a, d - b) for a, b, c, d in outlines]
    ax.add_collection(
        PatchCollection(boxes, facecolor="none", edgecolor=color, linewidth=0.8, alpha=0.7)
    )
    x0, y0 = outlines[:, :2].min(axis=0).tolist()
    x1, y1 = outlines[:, 2:].max(axis=0).tolist()
    ax.update_datalim([(x0, y0), (x1, y1)])
    ax.autoscale_view()
    low, high = ax.get_xbound()  # which the field may have fixed
    ax.set_xbound(min(low, x0), max(high, x1))
    low, high = ax.get_ybound()
    ax.set_ybound(min(low, y0), max(high, y1))


def _draw_coverage(patches: Any, ax: Any, y: Any, x: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    domain = provenance(patches).plans[0].domain
    edges = [axis_edges(domain, d) for d in (x, y)]
    mesh = ax.pcolormesh(*edges, coverage_of(patches, (y, x)), cmap="viridis", vmin=0)
    for axis, d in ((ax.xaxis, x), (ax.yaxis, y)):
        values = domain.coordinate(d)
        if values is not None and values.dtype.kind == "M":
            axis.axis_date()
    whole = MaxNLocator(integer=True, min_n_ticks=1)
    ax.figure.colorbar(mesh, ax=ax, label="patches on a cell", ticks=whole)
    ax.set(title="coverage", xlabel=x, ylabel=y)
