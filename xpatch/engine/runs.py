"""`Runs`: lists of members that are runs of steps, of which only the ends are kept."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.members import Members

__all__ = ["Runs"]


class Runs(Members):
    """Windows in time of unequal length: one run of steps or several, one after the other.

    Every month before every hour of 40 years is 250 million members, but 350,000 runs.

    Parameters
    ----------
    dim : hashable
        The dimension of time.
    length : int
        Steps of the record.
    starts, stops : int64 arrays (patch, run)
        First step of each run, and the one behind its last.
    anchors : int64 array (patch,)
        The steps that the windows are anchored at.
    before, whole : int64 arrays (patch,), optional
        Of a part of windows: how many steps of each come before it, and how many there are in all.
    numbers : hashable, optional
        Name of the coordinate with the numbers of the steps.
    """

    def __init__(
        self,
        dim: Hashable,
        length: int,
        starts: NDArray[Any],
        stops: NDArray[Any],
        anchors: NDArray[Any],
        before: NDArray[Any] | None = None,
        whole: NDArray[Any] | None = None,
        numbers: Hashable | None = None,
    ):
        stops = np.maximum(starts, stops)
        counts = stops - starts
        far = np.maximum(np.abs(starts - anchors[:, None]), np.abs(stops - 1 - anchors[:, None]))
        far = np.where(counts > 0, far + 1.0, 0.0).max(axis=1, initial=0)
        total = counts.sum(axis=1)
        own = {
            "dims": (dim,),
            "shape": (length,),
            "dim": dim,
            "offsets": np.concatenate([[0], np.cumsum(total)]).astype(np.int64),
            "scales": far,
            "width": max(1, int(total.max(initial=0))),
            "numbers": f"{dim}_number" if numbers is None else numbers,
            "anchors": np.asarray(anchors, np.int64),
            "starts": starts,
            "stops": stops,
            "before": np.zeros(len(total), np.int64) if before is None else before,
            "whole": total if whole is None else whole,
        }
        for name, value in own.items():
            object.__setattr__(self, name, value)

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    before: NDArray[np.int64]
    whole: NDArray[np.int64]

    @property
    def is_part(self) -> bool:
        """Whether some windows had more steps."""
        return bool((self.whole != self.counts).any())

    @property
    def lead(self) -> NDArray[np.int64] | None:
        """Steps from the anchor, if they are the same for all patches."""
        assert self.anchors is not None
        full = self.stops > self.starts
        begin = np.where(full, self.starts - self.anchors[:, None], 0)
        end = np.where(full, self.stops - self.anchors[:, None], 0)
        if not full.any() or (begin != begin[0]).any() or (end != end[0]).any():
            return None
        return np.concatenate([np.arange(a, b) for a, b in zip(begin[0], end[0], strict=True)])

    def halves_at(self, begin: int) -> list[tuple[int, bool]]:
        """Give slots, and whether leads are the same for all, before and from lead ``begin`` on."""
        assert self.anchors is not None
        edge = self.anchors + begin
        both = self.clipped(None, edge), self.clipped(edge, None)
        return [(part.width, part.lead is not None) for part in both]

    @cached_property
    def elements(self) -> NDArray[np.int32]:
        """Numbers of the steps."""
        counts = (self.stops - self.starts).reshape(-1)
        begin = np.cumsum(counts) - counts
        steps = np.arange(counts.sum()) + np.repeat(self.starts.reshape(-1) - begin, counts)
        found: NDArray[np.int32] = steps.astype(np.int32)
        return found

    @cached_property
    def distances(self) -> NDArray[np.float64]:
        """Leads of the steps."""
        return self.leads.astype(float)

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """Places of the steps in the whole window, from −1 to 1."""
        whole = np.repeat(self.whole, self.counts)
        return (2 * (self.slots + np.repeat(self.before, self.counts)) + 1 - whole) / whole

    @property
    def identity(self) -> tuple[object, ...]:
        """All that patches and merges depend on."""
        own = (self.starts, self.stops, self.anchors, self.before, self.whole)
        return (self.dims, self.shape, *own)

    @property
    def extent(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last step of each patch, (patch, 1)."""
        empty = self.stops <= self.starts
        low = np.where(empty, self.shape[0], self.starts).min(axis=1, keepdims=True)
        high = np.where(empty, 0, self.stops - 1).max(axis=1, keepdims=True)
        return np.minimum(low, high), high

    def cover(self, ordinals: NDArray[Any]) -> NDArray[np.float64]:
        """Count the patches that hold each step."""
        n = self.shape[0] + 1
        begin = np.bincount(self.starts[ordinals].reshape(-1), minlength=n)
        end = np.bincount(self.stops[ordinals].reshape(-1), minlength=n)
        return np.cumsum(begin - end)[:-1].astype(float)

    def holds(self, marked: NDArray[np.bool_], entries: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which entries have a step that is marked, by the ends of their runs alone."""
        before = np.concatenate([[0], np.cumsum(marked)])
        found = before[self.stops[entries]] - before[self.starts[entries]]
        return np.asarray(found.sum(axis=1) > 0)

    def members(self, entry: int) -> NDArray[np.int32]:
        """Give the steps of one entry."""
        pairs = zip(self.starts[entry], self.stops[entry], strict=True)
        return np.concatenate([np.arange(a, b, dtype=np.int32) for a, b in pairs])

    def cells(self, entries: NDArray[Any], mirrored: bool = False) -> NDArray[np.int64]:
        """Give the steps of entries, shape (entry, slot); −1 in empty slots."""
        out = np.full((len(entries), self.width), -1, np.int64)
        part = self.some(entries)
        out[part.patches, part.slots] = part.elements
        return out

    def moved(self, low: Sequence[int], shape: Sequence[int]) -> Runs:
        """Give the windows as steps of a part of the record, which holds all of them."""
        assert self.anchors is not None
        ends = (self.starts - low[0], self.stops - low[0], self.anchors - low[0])
        return Runs(self.dim, shape[0], *ends, self.before, self.whole, self.numbers)

    def take(self, ordinals: NDArray[Any]) -> Members:
        """Give some patches as lists."""
        part = self.some(np.asarray(ordinals))
        return Members(
            self.dims,
            self.shape,
            self.dim,
            part.offsets,
            part.elements,
            part.distances,
            part.scales,
            self.width,
            self.numbers,
            part.anchors,
            part.positions,
        )

    def some(self, ordinals: NDArray[Any]) -> Runs:
        """Give some patches as runs."""
        assert self.anchors is not None
        own = (self.starts, self.stops, self.anchors, self.before, self.whole)
        found = Runs(self.dim, self.shape[0], *(values[ordinals] for values in own))
        return found if self.numbers == found.numbers else found.numbered(self.numbers)

    def clipped(self, low: NDArray[Any] | None, high: NDArray[Any] | None) -> Runs:
        """Keep the steps of each patch from ``low`` on, and before ``high``."""
        starts, stops = self.starts, self.stops
        assert self.anchors is not None
        if low is not None:
            starts = np.minimum(np.maximum(starts, low[:, None]), stops)
        before = self.before + (starts - self.starts).sum(axis=1)
        if high is not None:
            stops = np.maximum(np.minimum(stops, high[:, None]), starts)
        own = (starts, stops, self.anchors, before, self.whole)
        return Runs(self.dim, self.shape[0], *own, numbers=self.numbers)

    def numbered(self, name: Hashable | None) -> Runs:
        """Give the same windows with another name for the numbers of their steps."""
        assert self.anchors is not None
        own = (self.starts, self.stops, self.anchors, self.before, self.whole)
        return Runs(self.dim, self.shape[0], *own, numbers=name)

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Runs:
        """Give the same runs along a dimension of another name."""
        assert self.anchors is not None
        dim = names.get(self.dim, self.dim)
        own = (self.starts, self.stops, self.anchors, self.before, self.whole)
        numbers = names.get(self.numbers, self.numbers)
        return Runs(dim, self.shape[0], *own, numbers=numbers)

    def equals(self, other: object) -> bool:
        """Whether both are the same windows in the same order."""
        if isinstance(other, Runs):
            same = (self.dims, self.shape) == (other.dims, other.shape)
            return same and all(
                np.array_equal(getattr(self, name), getattr(other, name))
                for name in ("starts", "stops", "anchors", "before", "whole")
            )
        return super().equals(other)
