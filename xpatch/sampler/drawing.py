"""Anchors drawn at random from an area, each start that lies in it equally likely."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.geometry import Anchors, Frame
from xpatch.sampler.base import limits_of, listed
from xpatch.sampler.filters import KeepAny
from xpatch.sampler.plane import Plane
from xpatch.sampler.random import Random
from xpatch.sampler.regions import Shares, Stretches, meeting

FEW = 4_096  # starts that are listed rather than tried
TRIES = 1_000, 50_000  # for each anchor and in all, before it is taken that there are hardly any
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
    sampler: Random,
    frame: Frame,
    plane: Plane,
    shapes: NDArray[Any],
    enough: Enough,
    keep: KeepAny | None = None,
) -> Anchors | None:
    """Draw anchors of which ``keep`` takes the starts; None if no start is in the area.

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

    def placed(found: NDArray) -> NDArray[np.int64]:
        """Give the starts along each dimension of rows, columns and others by number."""
        numbers: dict[int | None, NDArray] = dict(zip(at, found.T[:2], strict=True))
        others = np.unravel_index(found[:, 2], counts[rest].tolist()) if rest else ()
        numbers |= zip(rest, others, strict=True)
        every = [limits[k, 0] + cells[k] * numbers[k] for k in range(len(frame.dims))]
        return np.stack(every, axis=-1)

    also = None if keep is None else lambda numbers: keep(placed(numbers))
    found = _drawn(sampler, starts, shapes, enough, also)
    return None if found is None else listed(placed(found))


def _drawn(
    sampler: Random, starts: Starts, shapes: NDArray[Any], enough: Enough, also: KeepAny | None
) -> NDArray[np.int64] | None:
    """Draw numbers of starts along rows, columns, and the others, shape (patch, 3)."""
    block = max(1, int(starts.plane.sizes[0] // starts.step[0]))
    around = starts.meeting(shapes, block)
    depth = np.minimum(starts.count[0] - around.row * block, block)
    several = starts.count[2]
    weights = depth * around.counts * several
    most = int(weights.sum())
    rng, n = np.random.default_rng(sampler.seed), sampler.n_samples
    if most <= FEW or (n > most / 4 and not sampler.replace):
        return _chosen(sampler, starts, shapes, enough, rng, also)

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
        if tried > TRIES[0] * n + TRIES[1]:
            raise ValueError(
                f"{sampler!r} found {len(found)} patches in the area in {tried:,} draws, so that there are "
                "hardly any; ask for fewer, or for a smaller min_fraction"
            )
        batch = min(max(1024, 2 * (n - len(found))), 1 << 17)
        tried += batch
        several_ = np.stack(propose(batch), axis=-1)
        several_ = several_[enough(shares, *starts.sides(several_[:, 0], several_[:, 1]))]
        if also is not None and len(several_):
            several_ = several_[also(several_)]
        found = np.concatenate([found, several_])
        if not sampler.replace:
            _, first = np.unique(found, axis=0, return_index=True)
            found = found[np.sort(first)]
    return found[:n]


def _chosen(
    sampler: Random,
    starts: Starts,
    shapes: NDArray[Any],
    enough: Enough,
    rng: Any,
    also: KeepAny | None,
) -> NDArray[np.int64] | None:
    """List the starts that are in the area, and choose among them."""
    rows, columns = starts.meeting(shapes, 1).every()
    kept = enough(Shares(shapes), *starts.sides(rows, columns))
    rows, columns = rows[kept], columns[kept]
    several = int(starts.count[2])
    total = len(rows) * several
    if not total:
        return None
    found, word = np.arange(total), "in the area"
    if also is not None:
        found, word = found[also(_numbered(found, rows, columns, several))], "in the area and kept"
    if sampler.n_samples > len(found) and not (sampler.replace and len(found)):
        raise ValueError(
            f"n_samples={sampler.n_samples} is more than the {len(found)} different patches there are {word}; "
            "draw fewer, or use replace=True"
        )
    chosen = rng.choice(len(found), sampler.n_samples, replace=sampler.replace, shuffle=True)
    return _numbered(found[chosen], rows, columns, several)


def _numbered(numbers: NDArray, rows: NDArray, columns: NDArray, several: int) -> NDArray[np.int64]:
    """Give rows, columns and others of starts that were listed."""
    place, other = np.divmod(numbers, several)
    return np.stack([rows[place], columns[place], other], axis=-1)
