"""Anchors at an even distance over the extent of elements, which have no rows and columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.domain.turns import begun_at_gap
from xpatch.geometry import Places
from xpatch.geometry.around import TURN, in_units, is_east
from xpatch.sampler.reading import free_places
from xpatch.spec import check_amount, is_integer

ROUNDING = 1e-9


def is_over_extent(step: Any, domain: Lattice) -> bool:
    """Whether a stride is one of coordinates, not of rows and columns."""
    if step is None or not (domain.element_dims or domain.curved):
        return False
    if isinstance(step, Mapping):
        return not set(step) & set(domain.sizes) and not any(map(is_integer, step.values()))
    return bool(domain.element_dims) and not isinstance(step, tuple) and not is_integer(step)


def over_extent(step: Any, domain: Lattice, sites: Sites) -> Places:
    """Anchor at rows of y, and in each at as many x as reach over all elements.

    Raises
    ------
    ValueError
        If the stride is not given along both.
    """
    steps = step if isinstance(step, Mapping) else dict.fromkeys(("y", "x"), step)
    found = {is_east(name, domain, sites): (name, value) for name, value in steps.items()}
    if len(found) < 2:
        raise ValueError(
            f"a stride over the extent of elements is one along x and one along y, got {dict(steps)!r}: "
            "RegularStride(lat=1.0, lon=1.0), or x and y"
        )
    x, y = sites.x[sites.known], sites.y[sites.known]
    x = begun_at_gap(x) if sites.geographic else x
    (east, across), (north, down) = found[True], found[False]
    step_y = float(np.max(in_units(down, north, False, domain, sites, np.zeros(1))))
    rows = _even(y, step_y, math.inf)
    rows = np.minimum(rows, 90.0) if sites.geographic else rows
    widths = np.broadcast_to(in_units(across, east, True, domain, sites, rows), rows.shape)
    counts = np.floor(np.ptp(x) / widths + 0.5 + ROUNDING) + 1 if len(x) else np.zeros(0)
    check_amount(float(np.sum(counts)), "a stride over the extent", "use a larger step")
    columns = [_even(x, float(w), TURN if sites.geographic else math.inf) for w in widths]
    places = np.concatenate([np.empty(0), *columns])
    return free_places(places, np.repeat(rows, list(map(len, columns))), sites)


def _even(values: NDArray[np.float64], step: float, turn: float) -> NDArray[np.float64]:
    """Give values at a distance, the first at the lowest, of which each other is no farther than half of it."""
    if not len(values):
        return np.empty(0)
    low, span = float(values.min()), float(np.ptp(values))
    count = math.floor(span / step + 0.5 + ROUNDING) + 1
    check_amount(count, "a stride over the extent", "use a larger step")
    count = max(1, min(count, math.ceil(turn / step - ROUNDING))) if turn < math.inf else count
    return low + step * np.arange(count, dtype=float)
