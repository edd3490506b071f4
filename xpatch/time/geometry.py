"""Neighborhoods in time: lookback windows, lookback and horizon, phase windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.neighborhood import Members, Part, Runs, Slices
from xpatch.spec import Spec, is_integer
from xpatch.time.axis import Duration, TimeAxis
from xpatch.time.finding import time_axis
from xpatch.time.phase import cycle_length, phases, reach, span

CLOSED = ("right", "left", "both", "neither")
GAPS = ("keep", "drop")
MOST = 1 << 28  # steps in phase windows: lists of them take twelve bytes each
LONG_STEP = 1.5  # of the usual step: a longer one is a gap


class Ends(NamedTuple):
    """First steps of windows, and those behind their last, one for each step as anchor.

    Torn are those that begin or end within a gap of the record, which their steps do not show.
    """

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    complete: NDArray[np.bool_]
    torn: Any = False


class TimeGeometry(Spec):
    """Base of the geometries in time."""

    dim: Hashable | None

    def outline(self, domain: Lattice) -> TimeAxis:
        """Find the time axis of the field."""
        return time_axis(domain, self.dim)

    def complete(self, axis: TimeAxis, closed: str | None = None) -> NDArray[np.bool_]:
        """Say which steps can be anchors: those whose window lies in the record."""
        raise NotImplementedError

    def neighborhood(
        self, axis: TimeAxis, anchors: NDArray[np.int64], closed: str | None = None
    ) -> Part:
        """Give the window of each anchor (a step of the axis)."""
        raise NotImplementedError

    def check_anchors(self, axis: TimeAxis, steps: NDArray[np.int64], sampler: Any) -> None:
        """Raise a ValueError if a sampler asks for steps that can never be anchors."""


def past_window(axis: TimeAxis, length: Duration, closed: str, expanding: bool = False) -> Ends:
    """Give the window that ends at each step; one that expands begins with the record."""
    if expanding:
        found = past_window(axis, length, closed)
        return found._replace(start=np.where(found.complete, 0, found.start), torn=False)
    n = len(axis)
    here = np.arange(n)
    left, right = closed in ("left", "both"), closed in ("right", "both")
    if length.steps is not None:
        start = here - length.steps + (0 if left else 1)
        return Ends(start, here + (1 if right else 0), start >= 0)
    edge = axis.shifted(axis.ticks, length, -1, up=not left)
    start = np.searchsorted(axis.ticks, edge, side="left" if left else "right")
    stop = here + (1 if right else 0)
    first = axis.ticks[0] if left else axis.ends[0]
    at = np.clip(start, 0, n - 1)
    lacking = axis.ticks[at] - axis.step  # the step before the first that there is
    torn = gap_before(axis)[at] & ((lacking >= edge) if left else (lacking > edge))
    return Ends(start, np.maximum(stop, start), edge >= first, torn)


def future_window(axis: TimeAxis, gap: Duration | None, length: Duration, first: int) -> Ends:
    """Give the window that begins ``first`` steps (and a gap) after each step."""
    n = len(axis)
    here = np.arange(n)
    begin = here + first
    at = axis.ticks
    if gap is not None and gap.steps is not None:
        begin = begin + gap.steps
    elif gap is not None:
        at = axis.shifted(axis.ticks, gap, 1, up=not first)
        begin = np.searchsorted(axis.ticks, at, side="right" if first else "left")
    if length.steps is not None:
        return Ends(begin, begin + length.steps, begin + length.steps <= n)
    if gap is not None and gap.steps is not None:
        at = axis.ticks[np.clip(here + gap.steps, 0, n - 1)]
    if gap is not None and gap.seconds is not None and length.seconds is not None:
        both = Duration(seconds=gap.seconds + length.seconds)
        edge = axis.shifted(axis.ticks, both, 1, up=not first)
    else:
        edge = axis.shifted(at, length, 1, up=not first)
    stop = np.searchsorted(axis.ticks, edge, side="right" if first else "left")
    last = axis.ticks[-1] if first else axis.ends[1]
    lacking = axis.ticks[np.clip(stop - 1, 0, n - 1)] + axis.step
    torn = gap_before(axis)[np.clip(stop, 0, n - 1)] & (stop < n)
    torn &= (lacking <= edge) if first else (lacking < edge)
    return Ends(begin, np.maximum(stop, begin), edge <= last, torn)


def gap_before(axis: TimeAxis) -> NDArray[np.bool_]:
    """Say which steps come after a longer pause than usual."""
    pauses, usual = axis.pauses
    long = pauses > LONG_STEP * usual
    return np.concatenate([np.zeros(min(1, len(axis)), bool), long])


def without_gaps(axis: TimeAxis, start: NDArray, stop: NDArray) -> NDArray[np.bool_]:
    """Say which windows hold no step that is longer than usual."""
    long = np.cumsum(gap_before(axis))
    inside = np.clip(start, 0, len(axis) - 1), np.clip(stop - 1, 0, len(axis) - 1)
    return (stop <= start) | (long[inside[1]] == long[inside[0]])


def windows_as(axis: TimeAxis, anchors: NDArray, start: NDArray, stop: NDArray) -> Part:
    """Give windows as boxes if they are equally long and equally far from their anchors."""
    lengths, leads = stop - start, start - anchors
    even = bool(len(anchors)) and (lengths == lengths[0]).all() and (leads == leads[0]).all()
    if even and lengths[0]:
        return Slices(axis.dim, len(axis), start, int(lengths[0]), anchor=-int(leads[0]))
    return Runs(axis.dim, len(axis), start[:, None], stop[:, None], np.asarray(anchors, np.int64))


def listed(
    axis: TimeAxis,
    anchors: NDArray,
    counts: NDArray,
    elements: NDArray,
    distances: NDArray | None = None,
    scale: float | None = None,
) -> Members:
    """Give steps as lists; their distance is the lead in steps, signed, unless it is given."""
    lead = elements - np.repeat(anchors, counts) if distances is None else distances
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    scales = np.zeros(len(anchors))
    if scale is None:
        np.maximum.at(scales, np.repeat(np.arange(len(anchors)), counts), np.abs(lead) + 1.0)
    else:
        scales[:] = scale
    return Members(
        (axis.dim,),
        (len(axis),),
        axis.dim,
        offsets,
        elements.astype(np.int32),
        np.asarray(lead, float),
        scales,
        max(1, int(counts.max(initial=0))),
        numbers=f"{axis.dim}_number",
        anchors=np.asarray(anchors, np.int64),
    )


def _check_word(value: Any, words: tuple[str, ...], what: str) -> None:
    if value not in words:
        raise ValueError(f"{what} must be one of {list(words)}, got {value!r}")


@dataclasses.dataclass(frozen=True, repr=False)
class FixedLookback(TimeGeometry):
    """The last steps, or the last days or months, before each anchor.

    Parameters
    ----------
    length : int, str, timedelta or offset
        An int is a number of steps; "30D", "6h", a timedelta, an offset of pandas or cftime are
        durations; "3MS" is three months of the calendar.
    closed : {"right", "left", "both", "neither"}, default: "right"
        Which ends belong to the window: ``"right"`` is (anchor − length, anchor].
    gaps : {"keep", "drop"}, default: "keep"
        Whether windows across a gap in the record, a step longer than usual, are kept.
    dim : hashable, optional
        The time dimension, where the field has several.
    expanding : bool, default: False
        Begin every window with the record, so that it holds all that came before; the length is the
        shortest that there is.

    Notes
    -----
    Windows that begin before the record are left out.

    A month back from 29 February is 29 January, so windows of a month at the ends of months overlap.
    Calendar months are ``FixedLookback("1MS", closed="left")`` at the first of each month.

    Examples
    --------
    >>> days = np.arange("2001-01-01", "2001-01-11", dtype="M8[D]").astype("M8[ns]")
    >>> series = xr.DataArray(np.arange(10), {"time": days}, dims="time")
    >>> patches = series.patch.split(xpatch.FixedLookback("3D"))
    >>> dict(patches.sizes), patches.values[0], patches.lead.values
    ({'patch': 8, 'time': 3}, array([0, 1, 2]), array([-2, -1,  0]))
    """

    length: Any
    closed: str = "right"
    gaps: str = "keep"
    dim: Hashable | None = None
    expanding: bool = False

    def __post_init__(self) -> None:
        Duration.of(self.length, "length of FixedLookback")
        _check_word(self.closed, CLOSED, "closed")
        _check_word(self.gaps, GAPS, "gaps")

    def _window(self, axis: TimeAxis, closed: str | None) -> Ends:
        length = Duration.of(self.length, "length of FixedLookback")
        return past_window(axis, length, closed or self.closed, self.expanding)

    def complete(self, axis: TimeAxis, closed: str | None = None) -> NDArray[np.bool_]:
        found = self._window(axis, closed)
        whole = found.complete & (found.stop > found.start)
        if self.gaps == "drop":
            stop = np.maximum(found.stop, np.arange(len(axis)) + 1)
            whole &= without_gaps(axis, found.start, stop) & np.logical_not(found.torn)
        return whole

    def neighborhood(
        self, axis: TimeAxis, anchors: NDArray[np.int64], closed: str | None = None
    ) -> Part:
        found = self._window(axis, closed)
        return windows_as(axis, anchors, found.start[anchors], found.stop[anchors])


@dataclasses.dataclass(frozen=True, repr=False)
class LookbackHorizon(TimeGeometry):
    """The past of each anchor, and after a gap its future: the input and the target of a forecast.

    Parameters
    ----------
    lookback, horizon : int, str, timedelta or offset
        Lengths, as in `FixedLookback`. The lookback is (anchor − lookback, anchor], the horizon
        (anchor + gap, anchor + gap + horizon].
    gap : int, str, timedelta or offset, default: 0
        What lies between them and belongs to neither.
    gaps : {"keep", "drop"}, default: "keep"
        Whether windows across a gap in the record are kept.
    dim : hashable, optional
        The time dimension, where the field has several.
    expanding : bool, default: False
        Begin every lookback with the record, so that it holds all that came before; ``lookback`` is the
        shortest that there is.

    Examples
    --------
    >>> series = xr.DataArray(np.arange(10), dims="time")
    >>> patches = series.patch.split(xpatch.LookbackHorizon(4, 2, gap=1))
    >>> patches.patch.lookback.values[0], patches.patch.horizon.values[0]
    (array([0, 1, 2, 3]), array([5, 6]))
    >>> patches.lead.values
    array([-3, -2, -1,  0,  2,  3])
    """

    lookback: Any
    horizon: Any
    gap: Any = 0
    gaps: str = "keep"
    dim: Hashable | None = None
    expanding: bool = False

    def __post_init__(self) -> None:
        Duration.of(self.lookback, "lookback")
        Duration.of(self.horizon, "horizon")
        self._gap()
        _check_word(self.gaps, GAPS, "gaps")

    def _gap(self) -> Duration | None:
        return Duration.or_none(self.gap, "gap")

    def _windows(self, axis: TimeAxis, closed: str | None) -> tuple[Ends, Ends]:
        length = Duration.of(self.lookback, "lookback")
        past = past_window(axis, length, closed or "right", self.expanding)
        first = 0 if closed == "left" else 1
        horizon = Duration.of(self.horizon, "horizon")
        return past, future_window(axis, self._gap(), horizon, first)

    def complete(self, axis: TimeAxis, closed: str | None = None) -> NDArray[np.bool_]:
        past, future = self._windows(axis, closed)
        whole = past.complete & future.complete
        whole &= (past.stop > past.start) & (future.stop > future.start)
        if self.gaps == "drop":
            whole &= without_gaps(axis, past.start, future.stop)
            whole &= np.logical_not(past.torn) & np.logical_not(future.torn)
        return whole

    def neighborhood(
        self, axis: TimeAxis, anchors: NDArray[np.int64], closed: str | None = None
    ) -> Part:
        past, future = self._windows(axis, closed)
        parts = [(w.start[anchors], w.stop[anchors]) for w in (past, future)]
        if (parts[0][1] == parts[1][0]).all():
            return windows_as(axis, anchors, parts[0][0], parts[1][1])
        starts, stops = (np.stack(ends, axis=-1) for ends in zip(*parts, strict=True))
        return Runs(axis.dim, len(axis), starts, stops, np.asarray(anchors, np.int64))


@dataclasses.dataclass(frozen=True, repr=False)
class PhaseWindow(TimeGeometry):
    """All steps, of every cycle, at about the phase of the anchor: all Julys, all mornings.

    Parameters
    ----------
    period : int, str, timedelta or offset
        Length of a cycle: "1D" is diurnal, "1YS" annual, "1MS" the day of the month, on the calendar
        of the field. In years of 365 days the 28th of February is two days before the 1st of March,
        in cycles of less than a year every month is as long as the longest.
    phase_width : int, str, timedelta or offset
        Full width of the window: it holds the steps whose phase differs from that of the anchor by at
        most half of it, inclusive. "11D" and "10D" of daily data are eleven days. Steps are odd: 3 is
        the step of the anchor with one before and one after it; 0 and 1 are that step alone. Of months the longest
        count: "1MS" is 31 days.
    causal : bool, default: False
        Keep nothing later than the anchor.
    dim : hashable, optional
        The time dimension, where the field has several.

    Examples
    --------
    >>> months = np.arange("2001-01", "2004-01", dtype="M8[M]").astype("M8[ns]")
    >>> series = xr.DataArray(np.arange(36), {"time": months}, dims="time")
    >>> julys = series.patch.split(xpatch.PhaseWindow("1YS", 1)).isel(patch=6)
    >>> julys.time.dt.strftime("%Y-%m").values
    array(['2001-07', '2002-07', '2003-07'], dtype=object)
    """

    period: Any
    phase_width: Any
    causal: bool = False
    dim: Hashable | None = None

    def __post_init__(self) -> None:
        Duration.of(self.period, "period")
        Duration.or_none(self.phase_width, "phase_width")
        n = self.phase_width
        if is_integer(n) and n and n % 2 == 0:
            raise ValueError(
                f"phase_width of PhaseWindow counts all steps of a cycle, as many before the anchor as after "
                f"it: an odd number of them, got {n}; use {n - 1} or {n + 1}"
            )

    def complete(self, axis: TimeAxis, closed: str | None = None) -> NDArray[np.bool_]:
        period = Duration.of(self.period, "period")
        if axis.ends[1] - axis.ticks[0] < span(axis, period):
            raise ValueError(
                f"the record along {axis.dim!r} is shorter than the period {self.period!r}; a phase "
                "window needs at least one cycle"
            )
        whole = np.ones(len(axis), bool)
        if closed == "left":  # the anchor itself is left out: there must be a cycle before it
            counts = self._found(axis, np.arange(len(axis)), closed)[0]
            whole = counts > 0
        return whole

    def neighborhood(
        self, axis: TimeAxis, anchors: NDArray[np.int64], closed: str | None = None
    ) -> Part:
        counts, elements, far = self._found(axis, anchors, closed)
        width = self._width(axis) / axis.step
        return listed(axis, anchors, counts, elements, far / axis.step, width or 1.0)

    def _width(self, axis: TimeAxis) -> float:
        """Give the largest difference in phase, in ticks."""
        width = Duration.or_none(self.phase_width, "phase_width")
        return 0.0 if width is None else reach(axis, width) / 2

    def _found(
        self, axis: TimeAxis, anchors: NDArray, closed: str | None
    ) -> tuple[NDArray, NDArray, NDArray]:
        period = Duration.of(self.period, "period")
        length, phase = cycle_length(axis, period), phases(axis, period)
        width = min(self._width(axis), length / 2) * (1 + 1e-12)
        order = np.argsort(phase, kind="stable")
        three = np.concatenate([phase[order] - length, phase[order], phase[order] + length])
        low = np.searchsorted(three, phase[anchors] - width, side="left")
        high = np.searchsorted(three, phase[anchors] + width, side="right")
        high = np.minimum(high, low + len(axis))  # half a cycle to both sides is every step once
        counts = high - low
        if counts.sum() > MOST:
            raise ValueError(
                f"{len(anchors)} phase windows hold {counts.sum():,} steps along {axis.dim!r}, more "
                f"than the {MOST:,} that lists may have; anchor fewer of them (RegularTimeStride), or "
                "use a smaller phase_width"
            )
        place = np.arange(counts.sum()) + np.repeat(low - (np.cumsum(counts) - counts), counts)
        patch = np.repeat(np.arange(len(anchors)), counts)
        elements = order[place % len(axis)]
        far = three[place] - phase[anchors][patch]
        keep = np.ones(len(elements), bool)
        if self.causal or closed == "left":
            keep = elements < anchors[patch] + (0 if closed == "left" else 1)
        patch, elements, far = patch[keep], elements[keep], far[keep]
        by_time = np.lexsort((elements, patch))
        return np.bincount(patch, minlength=len(anchors)), elements[by_time], far[by_time]
