"""Pictures of boxes along a single dimension that is not time: bars, one below the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.neighborhood import Neighborhood
from xpatch.patches.outlines import axis_edges
from xpatch.plot.coverage import box_counts
from xpatch.plot.picture import BOXES, Picture, axis_label, check_dims
from xpatch.plot.time import PAST, draw_bars, draw_series, dress_rows, write_dates


def draw(picture: Picture, axes: Any) -> Any:
    """Draw bars on the first of the axes, and on the second how many patches hold each cell."""
    plan, entries = picture.placed
    (dim,) = plan.dims
    domain, hood = plan.domain, plan.boxes.cropped(picture.source.crop)
    edges, n = axis_edges(domain, dim), domain.sizes[dim]
    shown = picture.shown(BOXES)
    at = entries[shown]
    draw_bars(axes[0], _bars(hood, at, n), edges, told=False)
    dress_rows(axes[0], at, str(picture.source.dim))
    axes[0].set_title(picture.title(len(shown)), loc="left")
    if picture.field is not None:
        check_dims(picture.field, (dim,))
        draw_series(axes[0], picture.field, (edges[1:] + edges[:-1]) / 2, picture.kwargs)
    if len(axes) > 1:
        counts = box_counts(hood, entries, (dim,))
        axes[1].stairs(counts, edges, fill=True, color=PAST)
        axes[1].set(ylabel="coverage", xlim=axes[0].get_xlim())
        axes[1].yaxis.get_major_locator().set_params(integer=True)
    axes[-1].set_xlabel(axis_label(domain.template.coords.get(dim), dim))
    values = domain.coordinate(dim)
    if values is not None and values.dtype.kind == "M":
        write_dates(axes[-1].xaxis)
    return axes[0].figure


def _bars(hood: Neighborhood, at: NDArray[Any], n: int) -> list[tuple[int, int, int, bool]]:
    """Give where bars begin and end; what goes around an edge is a second one."""
    (part,), (entries,) = hood.slices, hood.entries(at)
    first = part.starts[entries]
    behind = first + part.counts[entries]
    out = []
    for turn in (-n, 0, n) if part.wrap else (0,):
        ends = np.clip(first + turn, 0, n), np.clip(behind + turn, 0, n)
        out += [
            (k, int(a), int(b), False) for k, (a, b) in enumerate(zip(*ends, strict=True)) if a < b
        ]
    return out
