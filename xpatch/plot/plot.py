"""Pictures of patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.patches.placed import only_time
from xpatch.patches.provenance import NEVER_SPLIT, Provenance, provenance
from xpatch.patches.scene import alone, scene_rows
from xpatch.plot import boxes, line, members
from xpatch.plot import time as plot_time
from xpatch.plot.picture import BOXES, Picture
from xpatch.spec import is_integer

__all__ = ["plot"]

MOST_SCENES = 12


def plot(
    patches: xr.DataArray | xr.Dataset,
    field: xr.DataArray | None = None,
    *,
    coverage: bool = True,
    axes: Any = None,
    ax: Any = None,
    most: int | None = None,
    color: str = "black",
    **kwargs: Any,
) -> Any:
    """Draw the outlines of patches over the field, and how often each cell is covered.

    Cells are drawn as what they are: rows and columns, quadrangles of a curvilinear or rotated grid,
    faces of a mesh, polygons, dots. Places in degrees are a map, which begins where the field leaves a
    gap; what lies across its end is drawn at both. One of the outlines is thicker, and of lists the
    members of a few patches are drawn, those of stations joined to the anchor.

    Boxes along one dimension are bars, one below the other. So are windows in time alone: the past in blue,
    the future in orange, a mark at each anchor. Dates of cftime are drawn as years. Of every place with every window
    each place is drawn once. Patches of several scenes have axes of their own.

    Parameters
    ----------
    patches : DataArray or Dataset
        Patches.
    field : DataArray, optional
        Field over the dimensions that are drawn, to draw underneath; for windows in time a series;
        default: none.
    coverage : bool, default: True
        Whether to draw a second picture with the number of patches on each cell or step.
    axes : matplotlib Axes or pair of them, optional
        Where to draw; default: a new figure. On a single Axes only the outlines are drawn. They may be
        axes of cartopy.
    ax : matplotlib Axes, optional
        The same, as xarray calls it.
    most : int, optional
        Largest number of outlines or bars; of more, an even choice is drawn. Default: 400 boxes or bars, 50
        outlines of lists.
    color : str, default: "black"
        Color of the outlines, of windows in time that of the anchors.
    **kwargs
        How the field is drawn: ``cmap``, ``vmin``, ``norm`` and others of matplotlib.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If these are no patches, or the field has other dimensions than those drawn.

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
    if ax is not None and axes is not None:
        raise TypeError("give plot(ax=…) or plot(axes=…), not both")
    axes = ax if axes is None else axes
    _check(field, axes, most)
    groups = scene_rows(patches)
    if groups is not None and len(groups[1]) > 1:
        return _scenes(plt, patches, groups, field, axes, most=most, color=color, **kwargs)
    source = _known(patches)
    many = 2 if coverage else 1
    given = None if axes is None else np.ravel(axes)[:many]
    picture = Picture(alone(patches), source, field, coverage, given, most, color, kwargs)
    plan = picture.placed[0]
    if only_time(source.plans[0]):
        rows = _rows(plt, many) if given is None else given
        return plot_time.draw(patches, source, field, rows, most or BOXES, color, kwargs)
    if plan.members is not None:
        return members.draw(picture)
    if len(plan.dims) == 1 and not boxes.is_bent(plan):
        return line.draw(picture, _rows(plt, many) if given is None else given)
    return boxes.draw(picture)


def _check(field: Any, axes: Any, most: Any) -> None:
    """Raise unless there is something to draw, and something to draw it on."""
    if field is not None and not isinstance(field, xr.DataArray):
        raise TypeError(
            f"field must be the DataArray to draw underneath, got {type(field).__name__}"
        )
    if axes is not None and not all(hasattr(ax, "add_collection") for ax in np.ravel(axes)):
        raise TypeError(f"axes must be an Axes of matplotlib or a pair of them, got {axes!r}")
    if most is not None and (not is_integer(most) or most < 1):
        raise ValueError(f"most must be an int of at least 1, got {most!r}")


def _known(obj: Any) -> Provenance:
    """Say where patches come from, and of a field how to look before it is cut."""
    try:
        return provenance(obj)
    except ValueError as error:
        if error.args != (NEVER_SPLIT,):
            raise
    raise ValueError(
        f"plot draws patches, and this field over {[str(d) for d in obj.dims]} has not been split, or lost what "
        "says how: field.patch.split(geometry=…, sampler=…).patch.plot(field). Where patches would be, before "
        "anything is cut, says xpatch.Patcher(geometry, sampler).anchors(field)"
    )


def _rows(plt: Any, pictures: int) -> NDArray[Any]:
    """Make axes one below the other."""
    rows = {"height_ratios": [3, 1][:pictures], "sharex": True}
    rows["figsize"] = (7.0, 3.2 + 1.2 * (pictures - 1))
    grid: NDArray[Any] = plt.subplots(pictures, squeeze=False, layout="constrained", **rows)[1]
    return grid.ravel()


def _scenes(plt: Any, patches: Any, groups: Any, field: Any, axes: Any, **how: Any) -> Any:
    """Draw patches of several scenes, each scene on axes of its own."""
    dim, scenes = groups
    if field is not None:
        raise ValueError(
            f"these are patches of {len(scenes)} scenes, which are no one field; draw them without, or one scene "
            f"over its own: patches.isel({dim}=(patches['scene'] == {scenes[0][0]!r})).patch.plot(field)"
        )
    scenes = scenes[:MOST_SCENES]
    columns = min(len(scenes), 4)
    rows = -(-len(scenes) // columns)
    if axes is None:
        size = (3.6 * columns, 3.4 * rows)
        made = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")[1]
        axes = made.ravel()
        for spare in axes[len(scenes) :]:
            spare.set_axis_off()
    axes = np.ravel(axes)
    if len(axes) < len(scenes):
        raise ValueError(
            f"patches of {len(scenes)} scenes need as many axes, got {len(axes)}: "
            f"plt.subplots(1, {len(scenes)})"
        )
    for (name, rows_of), ax in zip(scenes, axes, strict=False):
        plot(patches.isel({dim: rows_of}), axes=ax, coverage=False, **how)
        ax.set_title(f"{name}: {ax.get_title() or ax.get_title(loc='left')}")
        ax.set_title("", loc="left")
    return axes[0].figure
