"""`CalendarPeriod`: windows that are the months, seasons or years of the calendar."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xpatch.neighborhood import Part
from xpatch.time.axis import TimeAxis
from xpatch.time.geometry import TimeGeometry, windows_as
from xpatch.time.steps import StepAxis

PARTIAL = ("drop", "keep")
MONTHS = {"MS": 1, "QS": 3, "YS": 12, "AS": 12}
NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
ENDS = {"ME": "MS", "M": "MS", "QE": "QS", "Q": "QS", "YE": "YS", "Y": "YS", "A": "YS"}


class Period(NamedTuple):
    """So many times a number of months that begins with one of the year, or so many seconds."""

    number: int
    months: int = 0
    first: int = 0  # month from 0 on
    seconds: float = 0.0


def read_period(text: Any) -> Period:
    """Read "1MS", "QS-DEC", "2YS-JUL", "1D", "6h".

    Raises
    ------
    TypeError, ValueError
        If it is none, or begins where no period of the calendar does.
    """
    if isinstance(text, int | float | np.number):
        raise TypeError(
            f"period of CalendarPeriod must be one of the calendar, such as '1MS', '1QS-DEC' or '1YS', got "
            f"{text!r}; so many steps, one after the other, are FixedLookback(n) at RegularTimeStride(n)"
        )
    try:
        offset = pd.tseries.frequencies.to_offset(text)
    except (ValueError, TypeError):
        offset = None
    if offset is None or not offset.n > 0:
        raise ValueError(
            "period of CalendarPeriod must be a number of months '1MS', quarters '1QS-DEC', years "
            f"'1YS-JUL', days '1D' or hours '6h', got {text!r}"
        )
    name, _, anchor = str(offset.rule_code).partition("-")
    if name in MONTHS:
        first = NAMES.index(anchor) % MONTHS[name] if anchor else 0
        return Period(int(offset.n), MONTHS[name], first)
    if name in ENDS:
        raise ValueError(
            f"period of CalendarPeriod is named by its start, got {text!r}, which is by its end; the same "
            f"groups are {offset.n}{ENDS[name]}, of quarters and years with the month that comes first"
        )
    if name == "D" or isinstance(offset, pd.offsets.Tick):
        seconds = 86_400.0 if name == "D" else pd.Timedelta(offset).total_seconds() / offset.n
        return Period(int(offset.n), seconds=seconds)
    raise ValueError(
        f"period of CalendarPeriod must be one of 'MS', 'QS', 'YS', 'D', 'h', 'min' or 's', got {text!r}; "
        "seven days are '7D'"
    )


@dataclasses.dataclass(frozen=True, repr=False)
class CalendarPeriod(TimeGeometry):
    """The months, seasons or years of the calendar, side by side, each with its length.

    The groups are those of ``field.resample(time=period)``, without the empty ones. A patch is
    anchored at its first step.

    Parameters
    ----------
    period : str or offset
        "1MS" months, "1QS-DEC" seasons, "1YS" or "1YS-JUL" years, "1D" days, "6h" hours, and
        multiples of these, on the calendar of the field.
    partial : {"drop", "keep"}, default: "drop"
        Whether periods that the record does not fill are kept. One is complete if the step before its
        first would lie before its start, and the step after its last beyond its end, by the usual
        step of the record; gaps within do not count.
    dim : hashable, optional
        The time dimension, where the field has several.

    Notes
    -----
    Anchors are first steps of periods: the default sampler takes all, ``RegularTimeStride("1YS")``
    one month of each year, `RandomTime` draws from them, and `ExplicitTimes` must name them. A
    sampler that leaves the anchor out of its window, as `CausalRolling` does, is refused.

    Examples
    --------
    >>> time = np.arange("2000-01-15", "2000-05-01", dtype="M8[D]").astype("M8[ns]")
    >>> series = xr.DataArray(np.arange(107.0), {"time": time}, ("time",))
    >>> months = series.patch.split(xpatch.CalendarPeriod("1MS"))
    >>> (months.time_number >= 0).sum("time").values
    array([29, 31, 30])
    >>> months.mean("time").values  # NaN in empty slots is left out
    array([31. , 61. , 91.5])
    >>> bool(months.patch.merge()[17:].equals(series[17:]))
    True
    """

    period: Any
    partial: str = "drop"
    dim: Hashable | None = None

    def __post_init__(self) -> None:
        read_period(self.period)
        if self.partial not in PARTIAL:
            raise ValueError(f"partial must be one of {list(PARTIAL)}, got {self.partial!r}")

    def complete(self, axis: TimeAxis, closed: str | None = None) -> NDArray[np.bool_]:
        if closed == "left":
            raise ValueError(
                f"CausalRolling leaves the anchor out, which is the first step of {self!r}; use "
                "RegularTimeStride(…), or for what came before FixedLookback('1MS') with CausalRolling"
            )
        start, _, whole = self._runs(axis)
        found = np.zeros(len(axis), bool)
        found[start[whole] if self.partial == "drop" else start] = True
        return found

    def neighborhood(
        self, axis: TimeAxis, anchors: NDArray[np.int64], closed: str | None = None
    ) -> Part:
        start, stop, _ = self._runs(axis)
        which = np.searchsorted(start, anchors, side="right") - 1
        return windows_as(axis, anchors, start[which], stop[which])

    def check_anchors(self, axis: TimeAxis, steps: NDArray[np.int64], sampler: Any) -> None:
        """Raise a ValueError if a step is not the first of a period."""
        start, _, _ = self._runs(axis)
        other = np.setdiff1d(steps, start)
        if len(other):
            k = other[0]
            own = start[np.searchsorted(start, k, side="right") - 1]
            raise ValueError(
                f"{self!r} is anchored at the first step of each period, but {sampler!r} asks for step {k}, "
                f"{axis.values[k]}, of the one that begins at {axis.values[own]}: leave the sampler out for "
                "all periods, give a stride of whole periods such as RegularTimeStride('1YS'), or "
                "ExplicitTimes with the times at which they begin"
            )

    def _runs(self, axis: TimeAxis) -> tuple[NDArray, NDArray, NDArray[np.bool_]]:
        """Give the first step of each period, the one behind its last, and whether it is complete."""
        if isinstance(axis, StepAxis):
            raise ValueError(
                f"{self!r} needs dates (datetime64 or cftime), and {axis.dim!r} has none; so many steps, one "
                "after the other, are FixedLookback(n) at RegularTimeStride(n)"
            )
        if not len(axis):
            empty = np.empty(0, np.int64)
            return empty, empty, empty.astype(bool)
        period = read_period(self.period)
        groups, edges = _by_months(axis, period) if period.months else _by_ticks(axis, period)
        start = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
        stop = np.append(start[1:], len(axis))
        low, high = edges(groups[start]), edges(groups[start] + 1)
        before = axis.beside(axis.ticks[start], -1) < low
        after = axis.beside(axis.ticks[stop - 1], 1) >= high
        return start, stop, before & after


def _by_months(axis: TimeAxis, period: Period) -> tuple[NDArray[np.int64], Any]:
    """Number the period of each step, and give a function of these numbers: where periods begin."""
    units = (axis.month_numbers - period.first) // period.months
    origin = units[0]  # several are counted from the first in which there are data

    def edges(groups: NDArray[np.int64]) -> NDArray[np.int64]:
        months = (origin + groups * period.number) * period.months + period.first
        return axis.month_starts(months)

    return (units - origin) // period.number, edges


def _by_ticks(axis: TimeAxis, period: Period) -> tuple[NDArray[np.int64], Any]:
    day = 86_400 * axis.rate
    length = max(1, round(period.number * period.seconds * axis.rate))
    origin = axis.ticks[0] // day * day  # the beginning of the first day

    def edges(groups: NDArray[np.int64]) -> NDArray[np.int64]:
        return origin + groups * length

    return (axis.ticks - origin) // length, edges
