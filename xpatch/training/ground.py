"""Boxes on the ground, in the coordinates of one CRS or moved to another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain.places import mover

Floats = NDArray[np.float64]
SIDE = 8  # points on each side of a box, of which the box in another CRS is made
MARGIN = 0.01  # of its size, by which sides bend between them
MOST = 16  # sizes that are told apart
TOUCH = 1e-3  # of a cell, by which boxes that are beside each other may overlap


@dataclasses.dataclass(frozen=True, eq=False)
class Extents:
    """From where to where boxes reach.

    Parameters
    ----------
    low, high : float arrays (box, dim)
        Edges. NaN: nowhere; infinite: nobody knows how far.
    step : float array (dim,)
        The length of a cell.
    """

    low: Floats
    high: Floats
    step: Floats

    @property
    def middle(self) -> Floats:
        """Mid-points; NaN where nobody knows how far boxes reach."""
        with np.errstate(invalid="ignore"):
            return (self.low + self.high) / 2

    @property
    def around(self) -> Extents:
        """The one box that holds all."""
        return Extents(self.low.min(axis=0)[None], self.high.max(axis=0)[None], self.step)

    def take(self, which: NDArray[Any]) -> Extents:
        """Keep some."""
        return Extents(self.low[which], self.high[which], self.step)

    @classmethod
    def joined(cls, each: Sequence[Extents]) -> Extents:
        """Put several together."""
        low, high = (np.concatenate([getattr(e, n) for e in each]) for n in ("low", "high"))
        return cls(low, high, np.min([e.step for e in each], axis=0))

    @cached_property
    def kinds(self) -> list[tuple[Floats, NDArray[np.int64]]]:
        """Boxes of one size: half of it, and which they are."""
        half = (self.high - self.low) / 2
        known = np.flatnonzero(~np.isnan(half).any(axis=1))
        sizes, which = np.unique(half[known].round(9), axis=0, return_inverse=True)
        if (
            len(sizes) > MOST
        ):  # moved from another CRS: each as large as the largest that is about so
            about = np.ceil(half[known] / self.step)
            sizes, which = np.unique(about, axis=0, return_inverse=True)
        groups = [known[which.reshape(-1) == k] for k in range(len(sizes))]
        return [(half[g].max(axis=0), g) for g in groups]


def near_extents(boxes: Extents, others: Extents, buffer: Any, period: Floats) -> NDArray[np.bool_]:
    """Say which boxes overlap one of some others along all dimensions, or come within the buffer."""
    out = np.asarray(np.isinf(boxes.low).any(axis=1))
    a, b = boxes.middle, others.middle
    slack = TOUCH * np.minimum(boxes.step, others.step)
    for half, own in boxes.kinds:
        own = own[~out[own]]
        for other_half, some in others.kinds:
            if len(own):
                reach = half + other_half + buffer - slack
                out[own] |= _within(a[own], b[some], reach, period)
    return out


def _within(points: Floats, others: Floats, reach: Floats, period: Floats) -> NDArray[np.bool_]:
    """Say which points lie nearer than ``reach`` to one of some others along every dimension."""
    from scipy.spatial import cKDTree

    size = period / reach
    turns = np.flatnonzero(period)
    scaled = []
    for values in (points, others):
        at = (values - others.min(axis=0)) / reach
        at[:, turns] = np.mod(at[:, turns], size[turns])
        at[:, turns] = np.where(at[:, turns] >= size[turns], 0.0, at[:, turns])
        scaled.append(at)
    tree = cKDTree(scaled[1], boxsize=size if len(turns) else None)
    distance, _ = tree.query(scaled[0], p=np.inf, distance_upper_bound=1.0)
    return np.asarray(distance < 1.0)


def moved_extents(boxes: Extents, source: Any, target: Any) -> Extents:
    """Give the boxes in another CRS that hold some, not much larger than need be.

    Parameters
    ----------
    boxes : Extents
        In the coordinates of ``source``.
    source, target : OnGround
        Scenes: what the boxes are from, and in whose CRS they are to be.

    Returns
    -------
    Extents
        Boxes that lie beyond the other CRS are nowhere; of those that do in part nobody knows how far
        they reach.
    """
    dims = source.hood.dims
    columns = [dims.index(d) for d in source.pair]
    x, y = (_outline(boxes, k, first) for k, first in zip(columns, (True, False), strict=True))
    moved = mover(source.crs, target.crs)(x, y)
    low, high = boxes.low.copy(), boxes.high.copy()
    lost = ~(np.isfinite(moved[0]) & np.isfinite(moved[1]))
    for k, values in zip(columns, moved, strict=True):
        at = np.where(lost, 0.0, values)
        period = target.periods[k]
        if period:
            at = at - period * np.round((at - at[:, :1]) / period)
        margin = MARGIN * (at.max(axis=1) - at.min(axis=1))
        low[:, k], high[:, k] = at.min(axis=1) - margin, at.max(axis=1) + margin
        if period:
            low[:, k], high[:, k] = _polar(at, low[:, k], high[:, k], period)
    for ends, value in ((low, -np.inf), (high, np.inf)):
        for k in columns:
            ends[lost.any(axis=1), k] = value
            ends[lost.all(axis=1), k] = np.nan
    return Extents(low, high, target.extents.step)


def _polar(at: Floats, low: Floats, high: Floats, period: float) -> tuple[Floats, Floats]:
    """Let boxes around a pole, whose outline goes once around it, be unknown."""
    turn = np.diff(at, axis=1, append=at[:, :1])
    around = np.abs((turn - period * np.round(turn / period)).sum(axis=1)) > period / 2
    return np.where(around, -np.inf, low), np.where(around, np.inf, high)


def _outline(boxes: Extents, k: int, first: bool) -> Floats:
    """Give one coordinate of points around boxes, shape (box, point)."""
    up = np.linspace(0, 1, SIDE, endpoint=False)
    one, zero = np.ones(SIDE), np.zeros(SIDE)
    part = [up, one, 1 - up, zero] if first else [zero, up, one, 1 - up]
    share = np.concatenate(part)
    return boxes.low[:, [k]] + (boxes.high - boxes.low)[:, [k]] * share
