"""Anchors drawn at random from an area, each start that lies in it equally likely."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.geometry import Anchors, Frame
from xpatch.sampler.plane import Plane
from xpatch.sampler.random import Random, limits_of
from xpatch.sampler.regions import Shares, Stretches, meeting

FEW = 200_000  # starts that are listed rather than tried
TRIES = 1_000  # for each anchor, before it is taken that there are hardly any
Enough = Callable[[Shares, NDArray, NDArray], NDArray[np.bool_]]


@dataclasses.dataclass(frozen=True, eq=False)
class Starts:
    """All starts of boxes: evenly spaced along rows, columns and other dimensions.

    Parameters
    ----------
    plane : Plane
        Rows and columns.
    first, step, count : int64 array (3,)
        Along rows, along columns, and together along all others, which are only counted.
    """

    plane: Plane
    first: NDArray[np.int64]
    step: NDArray[np.int64]
    count: NDArray[np.int64]

    def sides(self, rows: NDArray, columns: NDArray) -> tuple[NDArray, NDArray]:
        """Give the corners of the boxes of starts by number."""
        low, high = [], []
        for axis, numbers in ((1, columns), (0, rows)):
            a, b = self.plane.spans(self.first[axis] + self.step[axis] * numbers, axis)
            low.append(a)
            high.append(b)
        return np.stack(low, axis=-1), np.stack(high, axis=-1)

    def meeting(self, shapes: NDArray[Any], block: int) -> Stretches:
        """Give the boxes that overlap polygons; with a ``block`` of several rows, some that do not."""
        rows = np.arange(0, self.count[0], block)
        last = np.minimum(rows + block, self.count[0]) - 1
        low, _ = self.plane.spans(self.first[0] + self.step[0] * rows, 0)
        _, high = self.plane.spans(self.first[0] + self.step[0] * last, 0)
        columns = self.first[1] + self.step[1] * np.arange(self.count[1])
        return meeting(shapes, (low, high), self.plane.spans(columns, 1))[0]


def drawn(
    sampler: Random, frame: Frame, plane: Plane, shapes: NDArray[Any], enough: Enough
) -> Anchors | None:
    """Draw anchors; None if no start is in the area.

    Raises
    ------
    ValueError
        If more are asked for than there are, without replacement.
    """
    frame = frame.snapped(sampler.snap)
    limits, cells = limits_of(frame)
    counts = (limits[:, 1] - limits[:, 0]) // cells + 1
    at = [frame.dims.index(d) if d in frame.dims else None for d in plane.dims]
    rest = [k for k in range(len(frame.dims)) if k not in at]
    several = int(np.prod(counts[rest], dtype=object)) if rest else 1

    def of(values: NDArray, missing: int) -> list[int]:
        return [missing if k is None else int(values[k]) for k in at]

    starts = Starts(
        plane,
        np.array(of(limits[:, 0], 0)),
        np.array(of(cells, 1)),
        np.array([*of(counts, 1), several]),
    )
    found = _drawn(sampler, starts, shapes, enough)
    if found is None:
        return None
    rows, columns, others = found
    numbers: dict[int | None, NDArray] = dict(zip(at, (rows, columns), strict=True))
    numbers |= zip(
        rest, np.unravel_index(others, counts[rest].tolist()) if rest else (), strict=True
    )
    return Anchors(tuple(limits[k, 0] + cells[k] * numbers[k] for k in range(len(frame.dims))))


def _drawn(
    sampler: Random, starts: Starts, shapes: NDArray[Any], enough: Enough
) -> tuple[NDArray, NDArray, NDArray] | None:
    """Draw numbers of starts along rows, columns, and the others."""
    block = max(1, int(starts.plane.sizes[0] // starts.step[0]))
    around = starts.meeting(shapes, block)
    depth = np.minimum(starts.count[0] - around.row * block, block)
    several = starts.count[2]
    weights = depth * around.counts * several
    most = int(weights.sum())
    rng, n = np.random.default_rng(sampler.seed), sampler.n_samples
    if most <= FEW or (n > most / 4 and not sampler.replace):
        return _chosen(sampler, starts, shapes, enough, rng)

    def propose(count: int) -> tuple[NDArray, NDArray, NDArray]:
        ends = np.cumsum(weights)
        numbers = rng.integers(0, most, count)
        which = np.searchsorted(ends, numbers, "right")
        number, other = np.divmod(numbers - (ends - weights)[which], several)
        row, column = np.divmod(number, around.counts[which])
        return around.row[which] * block + row, around.first[which] + column, other

    shares, tried = Shares(shapes), 0
    found = np.empty((0, 3), np.int64)
    while len(found) < n:
        if tried > TRIES * n + FEW:
            raise ValueError(
                f"{sampler!r} found {len(found)} patches in the area in {tried:,} draws, so that there are "
                "hardly any; ask for fewer, or for a smaller min_fraction"
            )
        batch = min(max(1024, 2 * (n - len(found))), 1 << 17)
        tried += batch
        several_ = np.stack(propose(batch), axis=-1)
        several_ = several_[enough(shares, *starts.sides(several_[:, 0], several_[:, 1]))]
        found = np.concatenate([found, several_])
        if not sampler.replace:
            _, first = np.unique(found, axis=0, return_index=True)
            found = found[np.sort(first)]
    return found[:n, 0], found[:n, 1], found[:n, 2]


def _chosen(
    sampler: Random, starts: Starts, shapes: NDArray[Any], enough: Enough, rng: Any
) -> tuple[NDArray, NDArray, NDArray] | None:
    """List the starts that are in the area, and choose among them."""
    rows, columns = starts.meeting(shapes, 1).every()
    kept = enough(Shares(shapes), *starts.sides(rows, columns))
    rows, columns = rows[kept], columns[kept]
    several = int(starts.count[2])
    total = len(rows) * several
    if not total:
        return None
    if sampler.n_samples > total and not sampler.replace:
        raise ValueError(
            f"n_samples={sampler.n_samples} is more than the {total} different patches there are in the "
            "area; draw fewer, or use replace=True"
        )
    number = rng.choice(total, sampler.n_samples, replace=sampler.replace, shuffle=True)
    place, other = np.divmod(number, several)
    return rows[place], columns[place], other
