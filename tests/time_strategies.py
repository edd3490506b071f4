"""Hypothesis strategies for records and their windows in time, with a second opinion on both.

What a geometry means is said once more here, date by date on cftime objects, without xpatch.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import cftime
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import xarray as xr

import xpatch
from tests.strategies import PICKING, values

UNITS = ["M8[ns]", "M8[s]"]
CALENDARS = [
    *UNITS,
    "standard",
    "noleap",
    "all_leap",
    "360_day",
    "julian",
    "proleptic_gregorian",
]
DAYS = {"noleap": 365, "all_leap": 366, "360_day": 360}  # of every year
FREQS = {"h": 3600, "6h": 6 * 3600, "D": 86_400, "5D": 5 * 86_400, "MS": None, "ME": None}
DTYPES = ("f4", "f8", "i2", "?", "M8[s]")
WINDOWS = [
    xpatch.CausalBoxcar(),
    xpatch.ExponentialDecay(2.5),
    xpatch.TaperedTukey(0.7),
    xpatch.Periodic(4.0),
    xpatch.Hann(),
    xpatch.Gaussian(0.4),
]
AVERAGES = ["mean", "median", "overlap_add", *(xpatch.TemporalMean(w) for w in (None, *WINDOWS))]
PICKS = [*PICKING, "most_central"]


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """A field with a time axis, and its times as dates of cftime and as microseconds."""

    field: xr.DataArray
    dates: np.ndarray

    @property
    def calendar(self) -> str:
        return self.dates[0].calendar

    @property
    def ticks(self) -> np.ndarray:
        return self.ticks_of(self.dates)

    def ticks_of(self, dates) -> np.ndarray:
        found = cftime.date2num(dates, "microseconds since 1900-01-01", calendar=self.calendar)
        return np.asarray(found, np.int64)

    @property
    def step(self) -> int:
        return int(np.median(np.diff(self.ticks))) if len(self.dates) > 1 else 0

    @property
    def months(self) -> int:
        """Months in the usual step; 0 if that is not a number of months."""
        months = round(self.step / (365.2425 / 12 * 86_400e6))
        if months:
            by_months = self.ticks_of(self.moved(self.dates[:-1], Length(0, months=months)))
            if np.mean(abs(by_months - self.ticks[1:]) <= 3 * 86_400e6) > 0.5:
                return months
        return 0

    def ends(self) -> tuple[int, int]:
        """When a step before the first and one after the last would be."""
        t = self.ticks
        if self.months:
            one = Length(0, months=self.months)
            ends = [*self.moved(self.dates[:1], one, -1), *self.moved(self.dates[-1:], one)]
            return tuple(self.ticks_of(np.array(ends)).tolist())
        return int(t[0]) - self.step, int(t[-1]) + self.step

    def moved(self, dates, length, sign=1) -> np.ndarray:
        """Move dates by a length that is not counted in steps."""
        if length.months is None:
            return np.array([d + sign * timedelta(seconds=length.seconds) for d in dates])
        stay = all(d.day == d.daysinmonth for d in self.dates)
        out = []
        for d in dates:
            year, month = divmod(d.year * 12 + d.month - 1 + sign * length.months, 12)
            first = d.replace(year=year, month=month + 1, day=1)
            last = first.daysinmonth
            out.append(first.replace(day=last if stay else min(d.day, last)))
        return np.array(out)


@dataclasses.dataclass(frozen=True)
class Length:
    """What is given to a geometry, and what it means."""

    value: Any
    steps: int | None = None
    seconds: int | None = None
    months: int | None = None


@st.composite
def records(draw, dtypes=DTYPES, freqs=tuple(FREQS), even=False, most=40):
    """Fields along time, with other dims before and after it."""
    calendar, freq = draw(st.sampled_from(CALENDARS)), draw(st.sampled_from(freqs))
    n = draw(st.integers(2, 3 * most if freq == "5D" else most))
    start = draw(st.sampled_from(["2000-01-01", "2001-02-28", "2003-12-15T06:00:00"]))
    cf = calendar not in UNITS
    kw = {"calendar": calendar, "use_cftime": True} if cf else {}
    time = xr.date_range(start, periods=n, freq=freq, **kw)
    if not (even or draw(st.booleans())):
        keep = draw(st.lists(st.booleans(), min_size=n, max_size=n))
        time = time[np.array(keep) | (np.arange(n) < 2)]
    dims = ["time"]
    for d in ("level", "x"):
        if draw(st.booleans()):
            dims.insert(draw(st.integers(0, len(dims))), d)
    shape = tuple(len(time) if d == "time" else 2 for d in dims)
    data = draw(values(shape, draw(st.sampled_from(dtypes))))
    times = np.asarray(time) if cf else np.asarray(time).astype(calendar)
    coords = {"time": times, "season": ("time", np.arange(len(time)) % 4)}
    field = xr.DataArray(data, coords, dims, name="field", attrs={"units": "K"})
    make = cftime.DatetimeProlepticGregorian
    dates = [t if cf else make(*t.timetuple()[:6]) for t in time]
    return Record(field, np.array(dates))


@st.composite
def lengths(draw, record):
    """Numbers of steps, durations about as long as some steps, and months."""
    kind = draw(st.sampled_from(["steps", "seconds", "months"]))
    k = draw(st.integers(1, 7))
    if kind == "steps":
        return Length(k, steps=k)
    if kind == "months":
        k = draw(st.integers(1, 3))
        forms = [f"{k}MS", np.timedelta64(k, "M"), pd.DateOffset(months=k)]
        return Length(draw(st.sampled_from(forms)), months=k)
    seconds = max(1, k * record.step // draw(st.sampled_from([1, 1, 2])) // 1_000_000)
    delta = timedelta(seconds=seconds)
    forms = [f"{seconds}s", delta, np.timedelta64(seconds, "s"), pd.Timedelta(delta)]
    return Length(draw(st.sampled_from(forms)), seconds=seconds)


Windows = list  # one array of steps for each step as anchor; None where there is no whole window


def past(record, length, closed) -> Windows:
    t, n = record.ticks, len(record.dates)
    left, right = closed in ("left", "both"), closed in ("right", "both")
    if length.steps is not None:
        spans = [np.arange(i - length.steps + (not left), i + right) for i in range(n)]
        return [s if len(s) and s[0] >= 0 else None for s in spans]
    edges = record.ticks_of(record.moved(record.dates, length, -1))
    out = []
    for here, edge in zip(t, edges, strict=True):
        inside = ((t > edge) | (left & (t == edge))) & ((t < here) | (right & (t == here)))
        whole = edge >= (t[0] if left else record.ends()[0])
        out.append(np.flatnonzero(inside) if whole and inside.any() else None)
    return out


def future(record, gap, length, with_anchor) -> Windows:
    t, n = record.ticks, len(record.dates)
    after = (lambda a, b: a >= b) if with_anchor else (lambda a, b: a > b)
    out = []
    for i in range(n):
        at, first = record.dates[i], i + (not with_anchor)
        if gap is not None and gap.steps is not None:
            at, first = record.dates[min(i + gap.steps, n - 1)], first + gap.steps
        elif gap is not None:
            at = record.moved([at], gap)[0]
            first = int(np.flatnonzero(np.append(after(t, record.ticks_of(at)), True))[0])
        if length.steps is not None:
            steps, whole = np.arange(first, first + length.steps), first + length.steps <= n
        else:
            end = record.ticks_of(record.moved([at], length))[0]
            steps = np.arange(n)[(np.arange(n) >= first) & ~after(t, end)]
            whole = end <= (record.ends()[1] if with_anchor else t[-1])
        out.append(steps if whole and len(steps) else None)
    return out


def in_year(record) -> tuple[np.ndarray, int]:
    """Year and place in a year that has every date, in microseconds, and its length."""
    days = DAYS.get(record.calendar, 366)
    out = []
    for d in record.dates:
        same = d if record.calendar in DAYS else cftime.DatetimeAllLeap(2000, d.month, d.day)
        clock = d.hour * 3600 + d.minute * 60 + d.second
        out.append((d.year * days + same.dayofyr - 1) * 86_400_000_000 + clock * 1_000_000)
    return np.array(out, np.int64), days * 86_400_000_000


def in_months(record, months) -> tuple[np.ndarray, int]:
    """Place in so many months, each as long as the longest, in microseconds, and their length."""
    longest = 30 if record.calendar == "360_day" else 31
    out = []
    for d in record.dates:
        clock = d.hour * 3600 + d.minute * 60 + d.second
        out.append(((d.month - 1) % months * longest + d.day - 1) * 86_400 + clock)
    return np.array(out, np.int64) * 1_000_000, months * longest * 86_400_000_000


def same_phase(record, period, width, causal, closed) -> Windows:
    t, n = record.ticks, len(record.dates)
    if period.months is not None:
        t, cycle = in_year(record) if period.months % 12 == 0 else in_months(record, period.months)
        cycle = cycle * max(period.months // 12, 1)
        if cycle < record.step:
            return [None] * n
        end = record.ticks_of(record.moved(record.dates[:1], period))[0]
        if record.ends()[1] < end:
            return [None] * n
    else:
        cycle = period.steps * record.step if period.steps else period.seconds * 1_000_000
        if record.ends()[1] - t[0] < cycle:
            return [None] * n
        if period.steps and record.months:  # counted, times their length
            t = np.array([d.year * 12 + d.month for d in record.dates]) * record.step
            cycle, width = cycle * record.months, width * record.months
    far = (t[:, None] - t) % cycle
    near = np.minimum(far, cycle - far) <= width
    if causal or closed == "left":
        near &= np.tri(n, k=-1 if closed == "left" else 0, dtype=bool)
    return [np.flatnonzero(row) if row.any() else None for row in near]


@st.composite
def geometries(draw, record):
    """A geometry, and a function that finds its windows by hand, given ``closed`` of a sampler."""
    kind = draw(st.sampled_from(["past", "past", "horizon", "phase"]))
    if kind == "past":
        length = draw(lengths(record))
        closed = draw(st.sampled_from(["right", "left", "both", "neither"]))
        geometry = xpatch.FixedLookback(length.value, closed)
        return geometry, lambda own: past(record, length, own or closed)
    if kind == "horizon":
        back, ahead = draw(lengths(record)), draw(lengths(record))
        gap = draw(st.one_of(st.none(), lengths(record)))
        geometry = xpatch.LookbackHorizon(back.value, ahead.value, gap.value if gap else 0)

        def both(own):
            a = past(record, back, own or "right")
            b = future(record, gap, ahead, own == "left")
            pairs = zip(a, b, strict=True)
            return [None if p is None or f is None else np.append(p, f) for p, f in pairs]

        return geometry, both
    k = draw(st.integers(2, 6))
    options = [Length(k, steps=k), Length("1YS", months=12), Length("2YE", months=24)]
    options += [Length("6MS", months=6), Length("1QS", months=3)]
    if record.step <= 43_200_000_000:
        options += [Length("1D", seconds=86_400)]
    period = draw(st.sampled_from(options))
    wide = draw(st.integers(0, 3)) * record.step // 1_000_000
    form = 0 if not wide else draw(st.sampled_from([f"{2 * wide}s", timedelta(seconds=2 * wide)]))
    causal = draw(st.booleans())
    geometry = xpatch.PhaseWindow(period.value, form, causal)
    return geometry, lambda own: same_phase(record, period, wide * 1_000_000, causal, own)


@st.composite
def samplers(draw, record):
    """A sampler, and a function that finds its anchors among complete windows by hand."""
    n, times = len(record.dates), record.field.time.values
    kind = draw(st.sampled_from(["every", "stride", "rolling", "events", "explicit", "random"]))

    def complete(windows, steps):
        return [s for s in steps if windows[s] is not None]

    if kind == "every":
        return None, lambda w: complete(w, range(n))
    if kind in ("stride", "rolling"):
        step = draw(lengths(record))
        cls = xpatch.RegularTimeStride if kind == "stride" else xpatch.CausalRolling

        def strided(windows):
            first = complete(windows, range(n))[0]
            if step.steps is not None:
                return complete(windows, range(first, n, step.steps))
            found, k, t = [], 0, record.ticks
            while True:
                many = {
                    "months": k * (step.months or 0) or None,
                    "seconds": k * (step.seconds or 0),
                }
                at = record.ticks_of(record.moved([record.dates[first]], Length(0, **many)))[0]
                if at > t[-1]:
                    return complete(windows, sorted(set(found)))
                found.append(int(np.flatnonzero(t <= at)[-1]))
                k += 1

        return cls(step.value), strided
    steps = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=6))
    if kind == "explicit":
        return xpatch.ExplicitTimes(times[steps]), lambda w: complete(w, steps)
    if kind == "events":
        late = timedelta(seconds=1)
        if times.dtype == object:
            events = [times[s] + late for s in steps]
        else:
            events = times[steps] + np.timedelta64(1, "s")
        return xpatch.EventTriggered(events), lambda w: complete(w, steps)
    return xpatch.RandomTime(draw(st.integers(1, 4)), draw(st.integers(0, 99))), None
