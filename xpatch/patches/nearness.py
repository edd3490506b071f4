"""Which patches share a cell with some, or come near them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain.turns import closes
from xpatch.neighborhood import Members, Neighborhood, Part, Slices
from xpatch.patches.member_properties import sites_of
from xpatch.patches.near_boxes import near_boxes
from xpatch.patches.offsets import on_sphere
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.patches.sides import is_both, sides_of
from xpatch.spec import is_integer, is_number
from xpatch.time.axis import Duration, TimeAxis
from xpatch.time.finding import is_time, time_axis


class Nearness:
    """Finds the patches that share a cell with some, or come near them.

    With ``seam`` a buffer goes on past the ends of a longitude that is once around, also of a field
    that was split as if it ended there.
    """

    def __init__(self, source: Provenance, plan: Plan, buffer: Any, seam: bool = False):
        self.seam = seam
        self.plan, self.ordinals = plan, source.ordinals
        self.hood = plan.hood.cropped(source.crop)
        self.buffer = self._by_dim(buffer)

    def _by_dim(self, buffer: Any) -> dict[Hashable, Any]:
        """Give the buffer of each dimension of patches."""
        space = [d for p in self.hood.parts if not p.timed for d in p.inner]
        if not isinstance(buffer, Mapping):
            if not is_number(buffer):
                raise TypeError(
                    f"buffer must be a number, or numbers and durations by dimension, got {buffer!r}"
                )
            if buffer and not space:
                raise ValueError(
                    f"these are windows in time; name it: buffer={{{self.hood.time_dims[0]!r}: {buffer!r}}}"
                )
            buffer = dict.fromkeys(space, buffer)
        unknown = [d for d in buffer if d not in self.hood.inner]
        if unknown:
            raise KeyError(
                f"buffer names {unknown[0]!r}, but the patches were cut along {list(self.hood.inner)}"
            )
        for d, value in buffer.items():
            if isinstance(value, bool | np.bool_) or value is None:
                raise TypeError(f"buffer along {d!r} must be a number or a duration, got {value!r}")
            if is_number(value) and not 0 <= value < math.inf:
                raise ValueError(f"buffer along {d!r} must be a number ≥ 0, got {value!r}")
        return dict(buffer)

    def check(self) -> None:
        """Raise an error if the buffer does not fit the patches."""
        for part in self.hood.parts:
            if part.box:
                self._cells(part.dim, part.timed)
            elif part.timed:
                self._steps(part.dim, self.buffer.get(part.dim, 0))
            elif not is_number(self.buffer.get(part.dim, 0)):
                raise TypeError(
                    f"buffer along {part.dim!r} must be a distance, got {self.buffer[part.dim]!r}"
                )

    def __call__(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if not chosen.any():
            return np.zeros_like(chosen)
        if not self.hood.lists:
            return self._boxes(self.hood, self.ordinals, chosen)
        if not is_both(self.plan):
            return self._alone(self.hood.parts[0], self.ordinals, chosen)
        sides = sides_of(self.plan, self.ordinals)
        _, some, when = np.unique(sides.when, return_index=True, return_inverse=True)
        _, few, where = np.unique(sides.where, return_index=True, return_inverse=True)
        when, where = when.reshape(-1), where.reshape(-1)
        near = np.zeros_like(chosen)
        for places, windows in _products(where[chosen], when[chosen]):
            there = self._space(self.ordinals[few], np.isin(np.arange(len(few)), places))
            then = self._time(self.ordinals[some], np.isin(np.arange(len(some)), windows))
            near |= there[where] & then[when]
        return near

    def _space(self, ordinals: NDArray[Any], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find patches in places that are near."""
        lists = [p for p in self.hood.lists if not p.timed]
        if lists:
            return self._alone(lists[0], ordinals, chosen)
        dims = [d for d in self.hood.dims if d not in self.hood.time_dims]
        return self._boxes(self.hood.only(dims), ordinals, chosen)

    def _time(self, ordinals: NDArray[Any], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find patches whose windows are near."""
        part = self.hood.in_time
        assert part is not None
        return self._alone(part, ordinals, chosen)

    # -------------------------------------------------------------------------------- boxes

    def _boxes(
        self, hood: Neighborhood, ordinals: NDArray[Any], chosen: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Find boxes whose starts differ by less than size and buffer along every dimension."""
        buffers = [self._cells(p.dim, p.timed) for p in hood.slices]
        turns = [self._turns(p, b) for p, b in zip(hood.slices, buffers, strict=True)]
        return near_boxes(hood, ordinals, chosen, buffers, turns)

    def _turns(self, part: Slices, buffer: int) -> bool:
        """Whether both ends of a dimension are neighbors, as those of longitudes on the ground."""
        around = part.wrap or part.pad_mode == "wrap"  # padding of cells from the other end
        return around or (self.seam and buffer > 0 and closes(self.plan.domain, part.dim))

    def _cells(self, d: Hashable, timed: bool) -> int:
        """Give the buffer along a dimension in cells."""
        value = self.buffer.get(d, 0)
        if timed:
            return self._steps(d, value)
        if is_integer(value):
            self._check_within(d, int(value))
            return int(value)
        if not isinstance(value, float | np.floating):
            labels = self.plan.domain.coordinate(d)
            if labels is None or not is_time(labels):
                raise TypeError(f"buffer along {d!r} must be a number, got {value!r}")
            return self._steps(d, value)
        step = self.plan.domain.spacing(d)
        if value and step is None:
            raise ValueError(
                f"the labels along {d!r} are not evenly spaced, or there are none, so that {value!r} is no number "
                "of cells; give cells, an int"
            )
        return math.ceil(value / abs(float(step)) - 1e-9) if value else 0

    def _check_within(self, d: Hashable, cells: int) -> None:
        """Raise a ValueError if nothing could be so far away: meters are no cells."""
        size = self.plan.domain.sizes[d]
        if cells >= size:
            raise ValueError(
                f"a buffer of {cells} cells along {d!r} leaves nothing of a field of {size}; a length in the units "
                f"of labels is a float: {float(cells)}"
            )

    def _steps(self, d: Hashable, value: Any) -> int:
        """Give a duration in steps of a regular axis, rounded up."""
        if is_integer(value):
            return int(value)
        axis = time_axis(self.plan.domain, d)
        duration = Duration.or_none(value, f"buffer along {d!r}")
        if duration is None:
            return 0
        if not isinstance(axis, TimeAxis):
            raise ValueError(f"steps along {d!r} have no dates; give the buffer in steps")
        return in_steps(axis, duration)

    # -------------------------------------------------------------------------------- lists

    def _alone(
        self, part: Part, ordinals: NDArray[Any], chosen: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Find lists with an element that some have, or one that is near."""
        if part.box:
            return self._boxes(self.hood.only(part.dims), ordinals, chosen)
        entries = self.hood.of_part(part, ordinals)
        own = part.cover(np.unique(entries[chosen])) > 0
        near = own | (self._later(part, own) if part.timed else self._close(part, own))
        kinds, which = np.unique(entries, return_inverse=True)
        return part.holds(near, kinds)[which.reshape(-1)]

    def _later(self, part: Members, own: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark steps within the buffer of some."""
        far = self._steps(part.dim, self.buffer.get(part.dim, 0))
        at = np.flatnonzero(own)
        steps = np.arange(len(own))
        right = np.searchsorted(at, steps)
        after = at[np.minimum(right, len(at) - 1)] - steps
        before = steps - at[np.maximum(right - 1, 0)]
        after[right == len(at)] = len(own)
        before[right == 0] = len(own)
        return np.asarray(np.minimum(after, before) <= far)

    def _close(self, part: Members, own: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark elements within the buffer of some."""
        from scipy.spatial import cKDTree

        self.check()
        far = self.buffer.get(part.dim, 0)
        near = np.zeros(len(own), bool)
        if not far:
            return near
        space, _ = self.plan.in_space(self.ordinals)
        sites = sites_of(space)
        if on_sphere(space, sites):
            lon, lat = sites.lonlat
            points, limit = sphere.unit_vectors(lon, lat), float(sphere.chord(far))
        else:
            points, limit = np.stack([sites.x, sites.y], axis=-1), float(far)
        known = sites.known
        tree = cKDTree(points[np.intersect1d(known, np.flatnonzero(own))])
        distance, _ = tree.query(points[known], distance_upper_bound=limit * (1 + 1e-12))
        near[known] = distance < limit
        return near


def _products(
    places: NDArray[np.int64], windows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], list[int]]]:
    """Give pairs of places and windows as products: the windows in which the same places are."""
    order = np.lexsort((places, windows))
    kinds, begin = np.unique(windows[order], return_index=True)
    same: dict[bytes, list[int]] = {}
    for window, own in zip(kinds.tolist(), np.split(places[order], begin[1:]), strict=True):
        same.setdefault(np.unique(own).tobytes(), []).append(window)
    for key, found in same.items():
        yield np.frombuffer(key, np.int64), found


def in_steps(axis: TimeAxis, duration: Duration) -> int:
    """Give how many steps a duration has at most."""
    if duration.steps is not None:
        return duration.steps
    if duration.months is not None and axis.months:
        return math.ceil(duration.months / axis.months)
    seconds = duration.seconds
    if seconds is None:
        assert duration.months is not None
        seconds = duration.months * 31 * 86_400.0  # of the longest month
    steps = np.diff(axis.ticks)
    shortest = float(steps.min()) if len(steps) else 1.0
    return math.ceil(seconds * axis.rate / shortest - 1e-9)
