"""`TimeAxis`: the times of a field as integers, and calendar-true durations on them."""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
import reprlib
import warnings
from collections.abc import Hashable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xpatch.domain.calendars import Calendar
from xpatch.domain.dates import counted

DAY, MONTH = np.timedelta64(1, "D"), np.timedelta64(1, "M")
MICRO = 1_000_000  # cftime counts in microseconds
DAY_TICKS = 86_400 * MICRO
EARLIEST, LATEST = np.iinfo(np.int64).min + 1, np.iinfo(np.int64).max  # the first is NaT
FIXED = {"weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"}
LONG_AGO = 12 * 280_000  # months: microseconds in int64 reach further
SECONDS_OF_MONTH = 365.2425 / 12 * 86_400
MONTHS = {"M": 1, "MS": 1, "ME": 1, "BM": 1, "Q": 3, "QS": 3, "QE": 3}
MONTHS |= {"Y": 12, "YS": 12, "YE": 12, "A": 12, "AS": 12}


@dataclasses.dataclass(frozen=True)
class Duration:
    """A length of time: so many steps of the axis, seconds, or months of the calendar."""

    steps: int | None = None
    seconds: float | None = None
    months: int | None = None

    @classmethod
    def or_none(cls, value: Any, what: str) -> Duration | None:
        """Read a duration that may be zero: None."""
        if isinstance(value, int | np.integer) and not isinstance(value, bool):
            return cls.of(value, what) if value else None
        if isinstance(value, str):
            zero = re.fullmatch(r"0+ *[A-Za-z]*", value) is not None
        else:
            timed = isinstance(value, datetime.timedelta | np.timedelta64)
            zero = timed and value == type(value)(0)
        return None if zero else cls.of(value, what)

    @classmethod
    def of(cls, value: Any, what: str) -> Duration:
        """Read a duration: an int (steps), "30D", "6h", "3MS", a timedelta, or an offset.

        Raises
        ------
        TypeError, ValueError
            If it is none, or not positive.
        """
        if isinstance(value, Duration):
            return value
        if isinstance(value, np.timedelta64) and np.datetime_data(value)[0] in ("Y", "M"):
            return cls(months=_positive(int(value.astype("m8[M]").astype(int)), what))
        if isinstance(value, datetime.timedelta | np.timedelta64):
            return cls(seconds=_positive(pd.Timedelta(value).total_seconds(), what))
        if isinstance(value, int | np.integer) and not isinstance(value, bool):
            return cls(steps=min(_positive(int(value), what), LATEST // 4))
        if isinstance(value, str):
            try:
                with warnings.catch_warnings():  # by which pandas 2 takes leave of "1Y"
                    warnings.simplefilter("error", FutureWarning)
                    value = pd.tseries.frequencies.to_offset(value)
            except (ValueError, FutureWarning):
                raise ValueError(
                    f"{what} must be a number of steps, or a duration such as '30D', '6h' or '3MS' "
                    f"(months; years are '1YS'); got {value!r}"
                ) from None
        kwds = getattr(value, "kwds", None) or {}  # those of pandas.DateOffset(months=3)
        if kwds and set(kwds) <= {"months", "years"}:
            months = (kwds.get("months", 0) + 12 * kwds.get("years", 0)) * value.n
            return cls(months=_positive(months, what))
        if kwds and set(kwds) <= FIXED:
            return cls(seconds=_positive(pd.Timedelta(**kwds).total_seconds() * value.n, what))
        if isinstance(value, pd.offsets.Tick | pd.offsets.Day | pd.offsets.Week):
            weeks = value.n * 7 if isinstance(value, pd.offsets.Week) else value.n
            days = isinstance(value, pd.offsets.Day | pd.offsets.Week)
            seconds = weeks * 86_400.0 if days else pd.Timedelta(value).total_seconds()
            return cls(seconds=_positive(seconds, what))
        if hasattr(value, "as_timedelta"):
            seconds = value.as_timedelta().total_seconds()
            return cls(seconds=_positive(seconds, what))
        bare = type(value) is pd.DateOffset  # which has no name
        name = "" if bare else str(getattr(value, "_freq", "") or getattr(value, "rule_code", ""))
        name = name.split("-")[0]
        if name == "D":  # of cftime
            return cls(seconds=_positive(86_400.0 * value.n, what))
        if name in MONTHS and hasattr(value, "n"):
            return cls(months=_positive(MONTHS[name] * int(value.n), what))
        raise TypeError(
            f"{what} must be a number of steps or a duration ('30D', '3MS', timedelta, an offset of "
            f"pandas or cftime in either months or days), got {value!r}"
        )


def _positive(value: Any, what: str) -> Any:
    if not value > 0:
        raise ValueError(f"{what} must be positive, got {value!r}")
    return value


@dataclasses.dataclass(frozen=True, eq=False)
class TimeAxis:
    """The times of a field along its time dimension, in order.

    Parameters
    ----------
    dim : hashable
        The dimension.
    values : array of datetime64 or cftime
        Its times.
    name : hashable, optional
        The coordinate that they are; default: that of the dimension.
    """

    dim: Hashable
    values: NDArray
    name: Hashable | None = None

    def __post_init__(self) -> None:
        steps = np.diff(self.ticks)
        if len(steps) and not (steps > 0).all():
            kind = (
                "occur twice" if (steps == 0).any() and not (steps < 0).any() else "are not sorted"
            )
            name = self.dim if self.name is None else self.name
            swap = "" if name == self.dim else f"swap_dims({{{self.dim!r}: {name!r}}})."
            raise ValueError(
                f"the times along {self.dim!r} {kind}; windows in time need increasing times: "
                f"{swap}sortby({name!r}).drop_duplicates({name!r})"
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def calendar(self) -> str | None:
        """The calendar of cftime; None for datetime64."""
        return None if self.values.dtype.kind == "M" else str(self.values[0].calendar)

    @property
    def rate(self) -> int:
        """Ticks in a second."""
        if self.calendar is not None:
            return MICRO
        unit: Any = np.datetime_data(self.values.dtype)[0]
        return int(np.timedelta64(1, "s") / np.timedelta64(1, unit))

    @cached_property
    def ticks(self) -> NDArray[np.int64]:
        """The times as integers."""
        return self.ticks_of(self.values)

    @cached_property
    def step(self) -> int:
        """The usual step in ticks."""
        return int(np.median(np.diff(self.ticks))) if len(self) > 1 else 1

    @property
    def pauses(self) -> tuple[NDArray, Any]:
        """Distances of the steps, and the usual one."""
        return np.diff(self.ticks), self.step

    @cached_property
    def months(self) -> int:
        """Months in the usual step; 0 if steps are not whole months."""
        months = round(self.step / (self.rate * SECONDS_OF_MONTH))
        if not months:
            return 0
        moved = self._by_months(self.ticks[:-1], months)
        near = np.abs(moved - self.ticks[1:]) <= 3 * 86_400 * self.rate
        return months if near.mean() > 0.5 else 0

    @cached_property
    def ends(self) -> tuple[int, int]:
        """Where a step before the first, and one after the last, would be."""
        low, high = self.beside(self.ticks[:1], -1), self.beside(self.ticks[-1:], 1)
        return int(low[0]), int(high[0])

    def beside(self, ticks: NDArray[np.int64], sign: int) -> NDArray[np.int64]:
        """Give the times a usual step before or after; by months if steps are."""
        if self.months:
            return self._by_months(ticks, sign * self.months)
        return ticks + sign * self.step

    def month_starts(self, months: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the times at which months begin, counted as in `month_numbers`."""
        if self.calendar is None:
            return months.astype("M8[M]").astype(self.values.dtype).astype(np.int64)
        return Calendar(self.calendar).days(months, 0) * DAY_TICKS

    @cached_property
    def month_numbers(self) -> NDArray[np.int64]:
        """Months from the beginning of an era to each time."""
        if self.calendar is None:
            return self.values.astype("M8[M]").astype(np.int64)
        return self.months_and_days[0]

    @cached_property
    def months_and_days(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Months from the beginning of an era to each time of cftime, and days in its month."""
        return Calendar(str(self.calendar)).split(self.ticks // DAY_TICKS)

    def exact(self, steps: NDArray[np.int64]) -> NDArray:
        """Give what tells steps of different fields apart: their times, whatever the unit."""
        times = self.values[steps]
        if times.dtype.kind == "M":
            return times.astype("M8[ns]").astype(np.int64)
        return self.ticks[steps]

    def ticks_of(self, times: Any) -> NDArray[np.int64]:
        """Turn times of the same calendar into integers.

        Raises
        ------
        TypeError
            If they are times of another calendar.
        """
        return self.whole_ticks(times)[0]

    def whole_ticks(self, times: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Turn times into integers, rounded down, and say which of them lie after theirs.

        Times that the unit of the record cannot hold become the first or the last that it can.
        """
        if self.calendar is not None:
            ticks = np.atleast_1d(_cftime_ticks(np.asarray(times), self.values[0]))
            return ticks, np.zeros(ticks.shape, bool)
        given = np.atleast_1d(_as_datetime64(times))
        if np.isnat(given).any():
            number = int(np.flatnonzero(np.isnat(given))[0])
            raise ValueError(f"time number {number} is NaT; leave it out")
        found = _within(given, self.values.dtype).astype(self.values.dtype)
        changed = found.astype(given.dtype) != given
        if np.promote_types(given.dtype, found.dtype) != found.dtype:
            return found.astype(np.int64), changed
        ends = np.where(given > np.datetime64(0, "s"), LATEST, EARLIEST)
        return np.where(changed, ends, found.astype(np.int64)), np.zeros(found.shape, bool)

    def shifted(
        self, ticks: NDArray[np.int64], duration: Duration, sign: int, up: bool | None = None
    ) -> NDArray[np.int64]:
        """Move times by a duration that is not counted in steps; at most to the ends of time.

        What is no whole number of ticks is rounded: to the nearest, or as ``up`` says.
        """
        if duration.months is not None:
            return self._by_months(ticks, sign * min(duration.months, LONG_AGO))
        assert duration.seconds is not None
        exact = duration.seconds * self.rate
        length = round(exact)
        if up is not None and abs(exact - length) > 1e-6:
            length = math.ceil(exact) if up else math.floor(exact)
        length = min(length, LATEST)
        if sign > 0:
            return np.minimum(ticks, LATEST - length) + length
        return np.maximum(ticks, EARLIEST + length) - length

    @cached_property
    def at_month_ends(self) -> bool:
        """Whether every time is on the last day of its month, as in monthly data labeled by ends."""
        if self.calendar is None:
            month = self.values.astype("M8[M]")
            return bool(((self.values.astype("M8[D]") + DAY).astype("M8[M]") > month).all())
        month, day = self.months_and_days
        return bool((day + 1 == Calendar(self.calendar).lengths(month)).all())

    def multiples(self, tick: int, months: int) -> NDArray[np.int64]:
        """Give a time, and those that are whole multiples of some months later, within the record.

        Each is counted from the first: added up, the days that a month does not have would be lost.
        """
        ends = np.array([tick, self.ticks[-1]])
        if self.calendar is None:
            low, high = ends.view(self.values.dtype).astype("M8[M]").astype(np.int64).tolist()
        else:
            low, high = Calendar(self.calendar).split(ends // DAY_TICKS)[0].tolist()
        found = self._by_months(ends[:1], np.arange(0, high - low + 1, months))
        return found[found <= ends[1]]

    def _by_months(self, ticks: NDArray[np.int64], months: Any) -> NDArray[np.int64]:
        """Move times by months, as many for all or for each; a day that the month has not becomes its last.

        If all times are at ends of months they stay there.
        """
        if self.calendar is None:
            times = ticks.view(self.values.dtype)
            month = times.astype("M8[M]")
            rest = times - month.astype(self.values.dtype)
            known = int(LATEST / (self.rate * SECONDS_OF_MONTH)) - 12
            wanted = month.astype(np.int64) + months
            target = np.clip(wanted, -known, known).astype("M8[M]")
            last = (target + MONTH).astype("M8[D]") - target.astype("M8[D]") - DAY
            days = last // DAY if self.at_month_ends else np.minimum(rest // DAY, last // DAY)
            whole = days * DAY + rest % DAY
            moved = (target.astype(self.values.dtype) + whole).astype(np.int64)
            return np.where(wanted < -known, EARLIEST, np.where(wanted > known, LATEST, moved))
        calendar = Calendar(self.calendar)
        number, rest = np.divmod(ticks, DAY_TICKS)
        month, day = calendar.split(number)
        wanted = month + months
        last = calendar.lengths(wanted) - 1
        found = calendar.days(wanted, last if self.at_month_ends else np.minimum(day, last))
        early = found < EARLIEST // DAY_TICKS + 1
        if not calendar.has_year_zero:
            early |= (wanted < 12) & (month >= 12)  # in a year that does not exist
        moved = (
            np.clip(found, EARLIEST // DAY_TICKS + 1, LATEST // DAY_TICKS - 1) * DAY_TICKS + rest
        )
        return np.where(early, EARLIEST, np.where(found >= LATEST // DAY_TICKS, LATEST, moved))


def _cftime_ticks(given: NDArray, like: Any) -> NDArray[np.int64]:
    if not given.size:
        return np.empty(given.shape, np.int64)
    if given.dtype.kind in "US" or (given.size and isinstance(given.ravel()[0], str)):
        given = np.array([_parsed(str(t), like) for t in given.ravel()], dtype=object)
    kinds = [getattr(t, "calendar", None) for t in given.ravel()]
    if set(kinds) != {like.calendar}:
        k = next(k for k, kind in enumerate(kinds) if kind != like.calendar)
        what = repr(given.ravel()[k]) if kinds[k] is None else f"one of the {kinds[k]} calendar"
        raise TypeError(
            f"expected times of the {like.calendar} calendar ({type(like).__name__}), got {what} "
            f"(number {k}); convert with convert_calendar({like.calendar!r}), and leave missing ones "
            "out"
        )
    return counted(given, like.calendar)


DATE = r"\d{4}(-\d{1,2}(-\d{1,2}([ T]\d{1,2}(:\d{1,2}){0,2})?)?)?"


def _parsed(text: str, like: Any) -> Any:
    """Read an ISO time in the calendar of ``like``, which may have a 30th of February."""
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    if not re.fullmatch(DATE, text.strip()):
        raise ValueError(f"{text!r} is no time such as '2001-02-03' or '2001-02-03T04:05:06'")
    try:
        return type(like)(*numbers, *(1, 1)[len(numbers) - 1 :])  # "2001-02" is its first day
    except ValueError:
        raise ValueError(f"{text!r} is no date of the {like.calendar} calendar") from None


def _within(times: NDArray, dtype: np.dtype) -> NDArray:
    """Bring times into what ``dtype`` can hold, which numpy 2.5 raises for, and others wrap."""
    if times.dtype == dtype or np.promote_types(times.dtype, dtype) != dtype:
        return times
    last = np.array([LATEST]).view(dtype).astype(times.dtype).astype(np.int64)[0] - 1
    return np.clip(times.astype(np.int64), -last, last).astype(times.dtype)


def _as_datetime64(times: Any) -> NDArray:
    if hasattr(times, "columns"):
        raise TypeError(
            f"expected times, got a table with the columns {list(times.columns)}; give the one that "
            "holds times: table['time']"
        )
    given = np.asarray(times)
    if given.dtype.kind == "M":
        return given
    listed = np.atleast_1d(np.asarray(times, dtype=object))
    try:
        if any(isinstance(t, int | float | np.number) for t in listed.flat):
            raise TypeError("numbers are no times")
        try:
            found = pd.DatetimeIndex(listed)
        except pd.errors.OutOfBoundsDatetime:  # of nanoseconds, which pandas 2 reads text as
            found = pd.DatetimeIndex(listed.astype("M8[us]"))
        return np.asarray(found if found.tz is None else found.tz_convert(None))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"expected times that pandas can read (datetime64), got {type(times).__name__} "
            f"{reprlib.repr(times)}: {error}"
        ) from None
