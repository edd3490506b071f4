"""How many patches hold each cell: arrays only, of every cell or of every so many."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.neighborhood import Members, Neighborhood
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import provenance
from xpatch.patches.sides import is_product, numbered

MEMBERS_AT_ONCE = 1 << 22  # that are counted
MOST_CELLS = 1 << 20  # of which patches are counted; of more cells every so many


def coverage_of(
    patches: xr.DataArray | xr.Dataset, dims: tuple[Hashable, ...], steps: Any = None
) -> NDArray[np.int64]:
    """Count the patches on each cell of the field along ``dims``, whatever their values."""
    source = provenance(patches)
    boxed = source.plans[0].boxed
    assert boxed is not None
    return box_counts(boxed.hood.cropped(source.crop), source.ordinals, dims, steps)


def box_counts(
    hood: Neighborhood,
    ordinals: NDArray[Any],
    dims: Sequence[Hashable],
    steps: Sequence[int] | None = None,
) -> NDArray[np.int64]:
    """Count boxes on every ``steps``-th cell along ``dims``, exactly.

    Boxes add one at their first cell and take it away behind their last, in each dimension; sums of
    these along all dimensions are the counts. It takes as long as there are boxes and cells that are
    counted, however large boxes are.
    """
    at = [hood.dims.index(d) for d in dims]
    shape, wraps = [hood.shape[k] for k in at], [hood.wrap[k] for k in at]
    steps = [1] * len(at) if steps is None else steps
    first = hood.starts(ordinals)[:, at]
    entries = hood.entries(ordinals)
    behind = first + np.stack([hood.slices[k].counts[entries[k]] for k in at], axis=-1)
    counted = [-(-n // s) for n, s in zip(shape, steps, strict=True)]
    wide = tuple(n + 1 for n in counted)
    change = np.zeros(math.prod(wide), np.int64)
    for turn in itertools.product(*[(-1, 0, 1) if w else (0,) for w in wraps]):
        by = np.array(turn) * shape
        ends = [np.clip(e + by, 0, shape) for e in (first, behind)]
        here = (ends[1] > ends[0]).all(axis=1)
        low, high = (-(-e[here] // np.array(steps)) for e in ends)
        for corner in itertools.product((0, 1), repeat=len(at)):
            cells = np.where(np.array(corner, bool), high, low)
            sign = -1 if sum(corner) % 2 else 1
            flat = np.ravel_multi_index(tuple(cells.T), wide)
            change += sign * np.bincount(flat, minlength=change.size)
    out = change.reshape(wide)
    for axis in range(len(at)):
        out = np.cumsum(out, axis=axis)
    return out[tuple(slice(n) for n in counted)]


def steps_for(shape: Sequence[int], most: int = MOST_CELLS) -> list[int]:
    """Give by how many cells to go along each dimension to count at most so many cells."""
    steps = [1] * len(shape)
    while math.prod(-(-n // s) for n, s in zip(shape, steps, strict=True)) > most:
        longest = max(range(len(shape)), key=lambda k: shape[k] / steps[k])
        steps[longest] += max(1, steps[longest] // 8)
    return steps


def element_counts(
    plan: Plan, part: Members, ordinals: NDArray[Any], most: float = np.inf
) -> NDArray[np.int64] | None:
    """Count the patches that hold each element, block by block; None where there are too many members."""
    which = plan.hood.of_part(part, ordinals)
    members = np.cumsum(part.counts[which])
    total = int(members[-1]) if len(members) else 0
    if total > most:
        return None
    out = np.zeros(math.prod(part.shape), np.int64)
    cuts = np.searchsorted(members, np.arange(MEMBERS_AT_ONCE, total, MEMBERS_AT_ONCE))
    for block in np.split(which, np.unique(cuts)):
        out += np.bincount(part.take(block).elements, minlength=len(out))
    return out


def places_once(plan: Plan, ordinals: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Say which patches have each place once, and how many windows in time there are.

    All of those that are not every place with every window, and no windows.
    """
    if not is_product(plan) or not len(ordinals):
        return np.arange(len(ordinals)), 0
    sides = numbered(plan, ordinals)
    first = np.unique(sides.where, return_index=True)[1]
    return np.sort(first), len(np.unique(sides.when))
