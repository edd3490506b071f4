"""Where windows in time are anchored."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.engine.distinct import distinct
from xpatch.sampler.base import check_integer
from xpatch.spec import Spec, check_seed
from xpatch.time.axis import Duration, TimeAxis
from xpatch.time.geometry import TimeGeometry

METHODS = ("nearest", "pad", "backfill")


class TimeSampler(Spec):
    """Base of the samplers in time. ``closed`` replaces that of the geometry, if it is not None."""

    @property
    def closed(self) -> str | None:
        return None

    def places(self, axis: TimeAxis, geometry: TimeGeometry) -> NDArray[np.int64]:
        """Give the steps that are anchors: of those whose window is complete."""
        raise NotImplementedError


def complete_steps(
    axis: TimeAxis, geometry: TimeGeometry, closed: str | None = None
) -> NDArray[np.int64]:
    """Give all steps whose window is complete.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = np.flatnonzero(geometry.complete(axis, closed))
    if not len(found):
        raise ValueError(
            f"no window of {geometry!r} fits in the record along {axis.dim!r}, which has {len(axis)} "
            f"steps from {axis.values[0]} to {axis.values[-1]}; use a shorter one"
            + (", or gaps='keep'" if getattr(geometry, "gaps", "") == "drop" else "")
            + (", or partial='keep'" if getattr(geometry, "partial", "") == "drop" else "")
            if len(axis)
            else f"the field has no steps along {axis.dim!r}"
        )
    return found


@dataclasses.dataclass(frozen=True, repr=False)
class RegularTimeStride(TimeSampler):
    """An anchor at every so many steps, or days or months, from the first complete window on.

    Parameters
    ----------
    step : int, str, timedelta or offset, default: 1
        Distance of anchors; with a duration the last step not after each multiple of it.

    Raises
    ------
    TypeError
        If ``step`` is neither a number of steps nor a duration.
    ValueError
        If it is not positive, or text of another kind; in the split, if no window is complete.

    Notes
    -----
    The newest steps may be in no window. `ExplicitTimes` with ``field.time[::-step][::-1]`` counts
    back from the end.

    Examples
    --------
    >>> days = np.arange("2001-01-01", "2001-01-11", dtype="M8[D]").astype("M8[ns]")
    >>> series = xr.DataArray(np.arange(10), {"time": days}, dims="time")
    >>> every = xpatch.RegularTimeStride("4D")
    >>> patches = series.patch.split(xpatch.FixedLookback(3), sampler=every)
    >>> patches.patch.anchors.time.dt.day.values
    array([3, 7])
    """

    step: Any = 1

    def __post_init__(self) -> None:
        Duration.of(self.step, f"step of {type(self).__name__}")

    def places(self, axis: TimeAxis, geometry: TimeGeometry) -> NDArray[np.int64]:
        whole = complete_steps(axis, geometry, self.closed)
        step = Duration.of(self.step, "step")
        first = int(whole[0])
        if step.steps is not None:
            wanted = np.arange(first, len(axis), step.steps)
        else:
            at = multiples(axis, first, step)
            wanted = distinct(np.searchsorted(axis.ticks, at, side="right") - 1)
        if step != Duration(steps=1):
            geometry.check_anchors(axis, wanted, self)
        complete = np.zeros(len(axis), bool)
        complete[whole] = True
        return wanted[complete[wanted]]


def multiples(axis: TimeAxis, first: int, step: Duration) -> NDArray[np.int64]:
    """Give the times at multiples of a duration after a step, of which steps stand for some.

    Those are left out that lie between two steps and are not the first to do so.
    """
    if step.months is not None:
        return axis.multiples(int(axis.ticks[first]), step.months)
    assert step.seconds is not None
    since = axis.ticks[first:] - axis.ticks[first]
    length = int(np.clip(round(step.seconds * axis.rate), 1, since[-1] + 1))
    after = distinct(-(-since // length)) * length
    return axis.ticks[first] + after[after <= since[-1]]


@dataclasses.dataclass(frozen=True, repr=False)
class CausalRolling(RegularTimeStride):
    """Like `RegularTimeStride`, but windows end before their anchor: [anchor − length, anchor).

    A horizon then starts at the anchor.

    Examples
    --------
    >>> series = xr.DataArray(np.arange(6), dims="time")
    >>> patches = series.patch.split(
    ...     xpatch.LookbackHorizon(3, 1), sampler=xpatch.CausalRolling()
    ... )
    >>> patches.values
    array([[0, 1, 2, 3],
           [1, 2, 3, 4],
           [2, 3, 4, 5]])
    >>> patches.lead.values
    array([-3, -2, -1,  0])
    """

    @property
    def closed(self) -> str | None:
        return "left"


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class EventTriggered(TimeSampler):
    """An anchor at each event.

    Parameters
    ----------
    event_times : array-like of times
        Shape (event,): datetime64, strings, or cftime of the calendar of the field.
    method : {"nearest", "pad", "backfill"}, default: "nearest"
        Which step stands for an event: the nearest, the last not after it, or the first not before.
    tolerance : str, timedelta or offset, optional
        Largest distance of an event from its step.

    Raises
    ------
    ValueError
        If ``method`` is another word; in the split, if an event has no step, or none near enough, or
        if no event has a complete window.

    Examples
    --------
    >>> days = np.arange("2001-01-01", "2001-01-11", dtype="M8[D]").astype("M8[ns]")
    >>> series = xr.DataArray(np.arange(10), {"time": days}, dims="time")
    >>> storm = xpatch.EventTriggered(["2001-01-04T15:00"], method="pad")
    >>> series.patch.split(xpatch.FixedLookback(3), sampler=storm).values
    array([[1, 2, 3]])
    """

    event_times: Any
    method: str = "nearest"
    tolerance: Any = None

    @property
    def others(self) -> frozenset[Hashable]:
        """Names that patches have whose anchors were taken: other fields may be cut at the same."""
        return frozenset()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {list(METHODS)}, got {self.method!r}")
        if self.tolerance is not None:
            Duration.of(self.tolerance, "tolerance")

    def steps(self, axis: TimeAxis) -> NDArray[np.int64]:
        """Give the step of each event.

        Raises
        ------
        ValueError
            If one has none, or none near enough.
        """
        events, beyond = axis.whole_ticks(self.event_times)
        if not len(events):
            raise ValueError(f"{type(self).__name__} was given no times")
        n = len(axis)
        before = np.searchsorted(axis.ticks, events, side="right") - 1
        after = np.searchsorted(axis.ticks, events + beyond, side="left")
        if self.method == "pad":
            found = before
        elif self.method == "backfill":
            found = after
        else:
            low, high = np.clip(before, 0, n - 1), np.clip(after, 0, n - 1)
            later = np.abs(axis.ticks[high] - events) - np.abs(events - axis.ticks[low])
            found = np.where((later < 0) | (beyond & (later == 0)), high, low)
        lost = (found < 0) | (found >= n)
        at = axis.ticks[np.clip(found, 0, n - 1)]
        far = np.abs(at - events) + (beyond & (at <= events))
        if self.tolerance is not None:
            allowed = Duration.of(self.tolerance, "tolerance")
            some = axis.ticks[:1]
            lost |= far > (
                allowed.steps * axis.step
                if allowed.steps is not None
                else int(axis.shifted(some, allowed, 1)[0] - some[0])
            )
        else:  # nothing beyond the record by more than a step
            outside = (events < axis.ticks[0]) | (events > axis.ticks[-1])
            lost |= (far > axis.step) & outside
        if lost.any():
            k = int(np.flatnonzero(lost)[0])
            raise ValueError(
                f"{int(lost.sum())} of {len(events)} events have no step by method={self.method!r} "
                f"within tolerance={self.tolerance!r}, the first is number {k}, "
                f"{np.ravel(np.asarray(self.event_times, dtype=object))[k]}; the record along "
                f"{axis.dim!r} runs from {axis.values[0]} to {axis.values[-1]}; leave out those events"
            )
        return found.astype(np.int64)

    def places(self, axis: TimeAxis, geometry: TimeGeometry) -> NDArray[np.int64]:
        return self.kept(axis, geometry)[0]

    def kept(
        self, axis: TimeAxis, geometry: TimeGeometry
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the steps of events whose window is complete, and which of the events these are.

        Raises
        ------
        ValueError
            If there is none.
        """
        steps = self.steps(axis)
        geometry.check_anchors(axis, steps, self)
        which = np.flatnonzero(geometry.complete(axis, self.closed)[steps])
        if not len(which):
            complete_steps(axis, geometry, self.closed)
            raise ValueError(
                f"none of the {len(steps)} events has a complete window of {geometry!r} in the record, "
                f"from {axis.values[0]} to {axis.values[-1]}"
            )
        return steps[which], which


class ExplicitTimes(EventTriggered):
    """An anchor at each of the given times, which must be times of the field.

    Parameters
    ----------
    times : array-like of times, or patches
        datetime64, strings, or cftime of the calendar of the field; or the patches of another field,
        to take the times of their anchors.

    Raises
    ------
    ValueError
        In the split, if a time is none of the field.

    Examples
    --------
    >>> days = np.arange("2001-01-01", "2001-01-11", dtype="M8[D]").astype("M8[ns]")
    >>> series = xr.DataArray(np.arange(10), {"time": days}, dims="time")
    >>> chosen = xpatch.ExplicitTimes(["2001-01-04", "2001-01-09"])
    >>> series.patch.split(xpatch.FixedLookback(3), sampler=chosen).values
    array([[1, 2, 3],
           [6, 7, 8]])
    """

    of_patches = False  # whether the times are those of the anchors of other patches

    def __init__(self, times: Any):
        told = times.patch._as_times() if isinstance(times, xr.DataArray | xr.Dataset) else None
        times, names = (times, ()) if told is None else told
        object.__setattr__(self, "of_patches", told is not None)
        object.__setattr__(self, "_others", frozenset(names))
        super().__init__(times, "nearest", None)

    @property
    def others(self) -> frozenset[Hashable]:
        return frozenset(getattr(self, "_others", ()))

    def steps(self, axis: TimeAxis) -> NDArray[np.int64]:
        found = super().steps(axis)
        events, beyond = axis.whole_ticks(self.event_times)
        off = (axis.ticks[found] != events) | beyond
        if off.any():
            k = int(np.flatnonzero(off)[0])
            raise ValueError(
                f"{int(off.sum())} of the times of ExplicitTimes are not times of the field, the first "
                f"is number {k}; use EventTriggered(times, method='nearest') to take the nearest"
            )
        return found


@dataclasses.dataclass(frozen=True, repr=False)
class RandomTime(TimeSampler):
    """Anchors drawn from the complete windows, without replacement.

    Parameters
    ----------
    n : int
        Number of anchors.
    seed : int, optional
        The same seed gives the same anchors; None: different ones at each call.
    weights : array-like, optional
        How likely each step of the record is drawn, relative to the others; shape (step,).

    Raises
    ------
    ValueError
        In the split, if there are fewer complete windows than ``n``, or if weights are negative, or not
        one for each step.

    Examples
    --------
    >>> series = xr.DataArray(np.arange(100), dims="time")
    >>> late = xpatch.RandomTime(5, seed=0, weights=series >= 50)
    >>> patches = series.patch.split(xpatch.FixedLookback(3), sampler=late)
    >>> dict(patches.sizes), bool((patches.isel(time=-1) >= 50).all())
    ({'patch': 5, 'time': 3}, True)
    """

    n: int
    seed: int | None = None
    weights: Any = None

    def __post_init__(self) -> None:
        check_integer(self.n, "n of RandomTime", 1)
        check_seed(self.seed, "RandomTime")

    def places(self, axis: TimeAxis, geometry: TimeGeometry) -> NDArray[np.int64]:
        whole = complete_steps(axis, geometry, self.closed)
        share = None
        if self.weights is not None:
            given = np.asarray(self.weights, float)
            if given.shape != (len(axis),) or (given < 0).any() or not np.isfinite(given).all():
                raise ValueError(
                    f"weights of RandomTime must be one finite number ≥ 0 for each of the {len(axis)} "
                    f"steps, got shape {given.shape}, least {given.min(initial=np.inf)}"
                )
            share = given[whole]
            whole, share = whole[share > 0], share[share > 0]
            share = share / share.sum() if len(share) else None
        if self.n > len(whole):
            weighed = "" if self.weights is None else " of weight above 0"
            raise ValueError(
                f"RandomTime(n={self.n}) asks for more than the {len(whole)} complete windows{weighed} "
                "there are"
            )
        return np.random.default_rng(self.seed).choice(whole, self.n, replace=False, p=share)
