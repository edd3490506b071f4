"""Where cells along a straight axis begin and end: bounds that hold their labels, turns of longitude."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from xpatch.domain.turns import TURN

Floats = NDArray[np.float64]
Edges = tuple[Floats, Floats]

ROUNDED = 1e-3  # of a cell, by which labels and bounds of single precision may be off


def midway(values: Floats, step: float | None = None) -> Edges:
    """Give edges midway between labels, of even ones by their mean step: single ones are rounded."""
    if step is not None:
        edges = values[0] + step * (np.arange(len(values) + 1) - 0.5)
        return edges[:-1], edges[1:]
    middle = (values[1:] + values[:-1]) / 2
    ends = 2 * values[0] - middle[0], 2 * values[-1] - middle[-1]
    edges = np.concatenate([ends[:1], middle, ends[1:]])
    return edges[:-1], edges[1:]


def widths_of(dim: Hashable, values: Floats, edges: Edges) -> Floats:
    """Give the widths in radians of cells of longitude, of labels that go on past the seam.

    A column that is there twice, such as 0° and 360°, has half of its width at each place.

    Raises
    ------
    ValueError
        If cells go around more than once.
    """
    width = np.abs(edges[1] - edges[0])
    if not len(width):
        return width
    span, first, last = abs(values[-1] - values[0]), width[0], width[-1]
    if len(width) > 2 and abs(span - TURN) <= ROUNDED * min(first, last):
        width = width.copy()
        width[[0, -1]] /= 2
    elif span < TURN < width.sum() - ROUNDED * width.min():  # uneven: the seam lies midway, too
        outward = np.array([_outer(values, edges, k) for k in (0, -1)])
        width = width.copy()
        width[[0, -1]] += (TURN - span) / 2 - outward
    if width.sum() > TURN + ROUNDED * width.min():
        raise ValueError(
            f"cells along {dim!r} make {width.sum():g} degrees, more than one turn, so that areas would count ground "
            f"more than once; leave out what is there twice: field.isel({dim}=…)"
        )
    return np.deg2rad(width)


def _outer(values: Floats, edges: Edges, k: int) -> float:
    """Give how far the first or the last cell reaches outward from its label."""
    return float(abs((edges[0] if k == 0 else edges[1])[k] - values[k]))


def checked(dim: Hashable, name: Hashable, values: Floats, edges: Edges, turning: bool) -> Edges:
    """Give bounds from the lower to the upper; of longitudes those that the label lies between.

    Raises
    ------
    ValueError
        If they do not hold their labels, have no width, or overlap.
    """
    low, high = np.minimum(*edges), np.maximum(*edges)
    far = np.zeros(len(values), bool)
    if turning:
        width = high - low
        near = ROUNDED * np.minimum(width, TURN - width).clip(0)
        inside = (values - low + near) % TURN <= width + 2 * near
        beside = (values - high + near) % TURN <= TURN - width + 2 * near
        across = beside & (~inside | (width > TURN / 2)) & (width < TURN * (1 - 1e-6))
        low, high = np.where(across, high, low), np.where(across, low + TURN, high)
        turns = TURN * np.floor((values - low + near) / TURN)
        low, high = low + turns, high + turns
        far = high - low > np.maximum(width, TURN / 2)  # all but what is written
    near = ROUNDED * (high - low)
    wrong = ~((high > low) & (low - near <= values) & (values <= high + near))
    start = low % TURN if turning else low
    order = np.argsort(start, kind="stable")
    if turning and len(values) > 2 and abs(abs(values[-1] - values[0]) - TURN) <= near.min():
        order = order[order != len(values) - 1]  # the same cell as the first
    over = (start + high - low)[order][:-1] - start[order][1:] > near[order][1:]
    if over.any() or (high - low)[order].sum() > TURN + near.max():
        wrong |= far
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"the bounds {name!r} are none of the labels along {dim!r}: cell {k}, at {values[k]:g}, is said to go from "
            f"{edges[0][k]:g} to {edges[1][k]:g}; are they in other units, or in another order? Leave them out, "
            f"field.drop_vars({name!r}), and cells end midway between labels"
        )
    if over.any():
        k = int(order[np.flatnonzero(over)[0]])
        raise ValueError(
            f"the bounds {name!r} overlap: cell {k} along {dim!r}, at {values[k]:g}, reaches into the next, so that "
            f"areas would count ground twice; leave them out, field.drop_vars({name!r}), and cells end midway between "
            "labels"
        )
    return low, high
