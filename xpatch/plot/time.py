"""Pictures of windows in time: a bar for each patch, from its first step to its last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xpatch.patches.outlines import cell_edges
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.patches.times import plan_steps, times_of
from xpatch.plot.picture import label_of

PAST, FUTURE = "#3b6fb6", "#d98032"
BAR = 0.8  # of the height that a patch has
MARKED = 60  # patches at most whose anchors are marked: of more the marks hide the bars


def draw(
    patches: Any,
    source: Provenance,
    field: xr.DataArray | None,
    axes: NDArray,
    most: int,
    color: str,
    kwargs: dict[str, Any],
) -> Any:
    """Draw bars on the first of the axes, and on the second how many windows hold each step."""
    plan, n = source.plans[0], len(source.ordinals)
    edges, label, dated = _axis(patches, source)
    middle = (edges[1:] + edges[:-1]) / 2
    shown = np.unique(np.linspace(0, max(n - 1, 0), min(most, max(n, 1))).astype(int))[:n]
    drawn = source.ordinals[shown]
    first, last = axes[0], axes[-1]
    draw_bars(first, _bars(plan, drawn, source.crop), edges, told=by_lead(plan))
    if len(drawn) <= MARKED:
        at = middle[plan.steps(drawn)]
        first.plot(at, np.arange(len(at)), "|", color=color, markersize=5, label="anchor")
    dress_rows(first, drawn, str(source.dim))
    first.set_title(
        f"{n} patches" + ("" if len(drawn) == n else f", {len(drawn)} drawn"), loc="left"
    )
    if field is not None:
        _check_series(field, plan.time_dim, len(middle))
        draw_series(first, field, middle, kwargs)
    if last is not first:
        many = coverage_of(plan, source.ordinals, source.crop)
        changes = np.flatnonzero(np.diff(many, prepend=-1))  # a record may have a million steps
        last.stairs(many[changes], edges[[*changes, -1]], fill=True, color=PAST)
        last.set(ylabel="coverage", xlim=first.get_xlim())
        last.yaxis.get_major_locator().set_params(integer=True)
    last.set_xlabel(label)
    if dated:
        write_dates(last.xaxis)
    return first.figure


def coverage_of(plan: Plan, ordinals: NDArray, crop: Any) -> NDArray[np.int64]:
    """Count the patches on each step of the field."""
    hood: Any
    hood, entries = plan.in_time(ordinals)
    if not hood.box:
        return np.asarray(hood.cover(entries), np.int64)
    n = hood.shape[0]
    kinds, many = np.unique(entries, return_counts=True)
    inner = hood.cropped(*crop.get(hood.dim, (0, 0)))
    starts, size = inner.starts[kinds], inner.size
    change = np.bincount(starts, many, n + 1) - np.bincount(starts + size, many, n + 1)
    return np.cumsum(change)[:n].astype(np.int64)


def _axis(patches: Any, source: Provenance) -> tuple[NDArray[np.float64], str, bool]:
    """Give where steps begin and end, what the axis is called, and whether it is of dates.

    Dates of cftime are years; where the times are not known steps are counted.
    """
    name, times = times_of(patches, source)
    values = times.values
    if values.dtype.kind == "M" and not pd.isnull(values).any():
        return (
            cell_edges((values - np.datetime64(0, "s")) / np.timedelta64(1, "D")),
            str(name),
            True,
        )
    if values.dtype == object and not pd.isnull(values).any() and hasattr(values[0], "calendar"):
        years = xr.DataArray(values, dims="step").dt.decimal_year.values
        return cell_edges(years), f"{name} (years, {values[0].calendar})", False
    return cell_edges(np.arange(len(values))), f"{source.plans[0].time_dim} (steps)", False


def by_lead(plan: Plan) -> bool:
    """Whether windows look back, or back and ahead, from their anchor: there is a past and a future."""
    spec = plan.spec.get("temporal") or plan.spec
    return (spec.get("geometry") or {}).get("class") in ("FixedLookback", "LookbackHorizon")


def _bars(plan: Plan, ordinals: NDArray, crop: Any) -> list[tuple[int, int, int, bool]]:
    """Give (patch, first step, the step behind the last, whether in the future) of all bars."""
    steps, there = plan_steps(plan, ordinals, crop)
    begin = plan.steps(ordinals) + plan.first_future if by_lead(plan) else [np.inf] * len(steps)
    out = []
    for k, (row, known) in enumerate(zip(steps, there, strict=True)):
        own = np.sort(row[known])
        cuts = np.flatnonzero((np.diff(own) != 1) | (own[1:] == begin[k])) + 1
        for run in np.split(own, cuts):
            if len(run):
                out.append((k, int(run[0]), int(run[-1]) + 1, bool(run[0] >= begin[k])))
    return out


def draw_bars(
    ax: Any, bars: list[tuple[int, int, int, bool]], edges: NDArray, told: bool = True
) -> None:
    """Draw (row, first cell, the one behind the last, whether in the future) as bars, and tell colors."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    high = (
        BAR if 1 + max((k for k, *_ in bars), default=0) <= MARKED else 1
    )  # else gaps come and go
    for future, color, name in ((False, PAST, "past"), (True, FUTURE, "future")):
        boxes = [
            Rectangle((edges[a], k - high / 2), edges[b] - edges[a], high)
            for k, a, b, late in bars
            if late == future
        ]
        if boxes:
            ax.add_collection(PatchCollection(boxes, facecolor=color, edgecolor="none"))
            if told:
                ax.plot([], [], "s", color=color, label=name)
    ax.set_xlim(edges[0], edges[-1])


def dress_rows(ax: Any, labels: NDArray, name: str) -> None:
    """Label rows by their patches, the first on top, and say what the colors are."""
    most = 10
    by = next(k * 10**e for e in range(19) for k in (1, 2, 5) if len(labels) <= k * 10**e * most)
    rows = np.arange(0, len(labels), by)
    ax.set_yticks(rows, [str(labels[k]) for k in rows])
    ax.set(ylabel=name, ylim=(max(len(labels), 1) - 0.5, -0.5))
    if ax.get_legend_handles_labels()[0]:
        corner = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
        ax.legend(ncols=3, frameon=False, fontsize="small", **corner)


def write_dates(axis: Any) -> None:
    """Write days since 1970 along an axis as dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    axis.set_major_locator(locator)
    axis.set_major_formatter(ConciseDateFormatter(locator))


def _check_series(field: xr.DataArray, dim: Any, n: int) -> None:
    if field.dims != (dim,) or n != field.size:
        raise ValueError(
            f"windows in time are drawn over a series of {n} steps along {dim!r}, this field has "
            f"{dict(field.sizes)}; select from it, or leave it out"
        )


def draw_series(ax: Any, field: xr.DataArray, at: NDArray, kwargs: Any) -> None:
    """Draw a series behind bars, on an axis of its own."""
    other = ax.twinx()
    other.plot(at, field.values, **{"color": "gray", "linewidth": 0.8, **kwargs})
    other.set_ylabel(label_of(field, field.name))
    ax.set_zorder(other.get_zorder() + 1)  # twins lie on top
    ax.patch.set_visible(False)
