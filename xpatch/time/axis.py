"""`TimeAxis`: the times of a field as integers, and calendar-true durations on them."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Hashable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xpatch.domain import Lattice

MICRO = 1_000_000  # cftime counts in microseconds
MONTHS = {"M": 1, "MS": 1, "ME": 1, "BM": 1, "Q": 3, "QS": 3, "QE": 3}
MONTHS |= {"Y": 12, "YS": 12, "YE": 12, "A": 12, "AS": 12}


@dataclasses.dataclass(frozen=True)
class Duration:
    """A length of time: so many steps of the axis, seconds, or months of the calendar."""

    steps: int | None = None
    seconds: float | None = None
    months: int | None = None

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
        if isinstance(value, datetime.timedelta | np.timedelta64):
            return cls(seconds=_positive(pd.Timedelta(value).total_seconds(), what))
        if isinstance(value, int | np.integer) and not isinstance(value, bool):
            return cls(steps=_positive(int(value), what))
        if isinstance(value, str):
            try:
                value = pd.tseries.frequencies.to_offset(value)
            except ValueError:
                raise ValueError(
                    f"{what} must be a number of steps, or a duration such as '30D', '6h' or '3MS'; "
                    f"got {value!r}"
                ) from None
        kwds = getattr(value, "kwds", None) or {}  # those of pandas.DateOffset(months=3)
        if set(kwds) & {"months", "years"}:
            months = (kwds.get("months", 0) + 12 * kwds.get("years", 0)) * value.n
            return cls(months=_positive(months, what))
        if isinstance(value, pd.offsets.Tick | pd.offsets.Day | pd.offsets.Week):
            weeks = value.n * 7 if isinstance(value, pd.offsets.Week) else value.n
            days = isinstance(value, pd.offsets.Day | pd.offsets.Week)
            seconds = weeks * 86_400.0 if days else pd.Timedelta(value).total_seconds()
            return cls(seconds=_positive(seconds, what))
        if hasattr(value, "as_timedelta"):
            seconds = value.as_timedelta().total_seconds()
            return cls(seconds=_positive(seconds, what))
        name = str(getattr(value, "_freq", "") or getattr(value, "rule_code", "")).split("-")[0]
        if name == "D":  # of cftime
            return cls(seconds=_positive(86_400.0 * value.n, what))
        if name in MONTHS and hasattr(value, "n"):
            return cls(months=_positive(MONTHS[name] * int(value.n), what))
        raise TypeError(
            f"{what} must be a number of steps or a duration ('30D', '3MS', timedelta, an offset of "
            f"pandas or cftime), got {value!r}"
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
    """

    dim: Hashable
    values: NDArray

    def __post_init__(self) -> None:
        steps = np.diff(self.ticks)
        if len(steps) and not (steps > 0).all():
            kind = (
                "occur twice" if (steps == 0).any() and not (steps < 0).any() else "are not sorted"
            )
            raise ValueError(
                f"the times along {self.dim!r} {kind}; windows in time need increasing times: "
                f"sortby({self.dim!r}), drop_duplicates({self.dim!r})"
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

    @cached_property
    def even(self) -> bool:
        """Whether all steps are the same."""
        return len(np.unique(np.diff(self.ticks))) <= 1

    def ticks_of(self, times: Any) -> NDArray[np.int64]:
        """Turn times of the same calendar into integers.

        Raises
        ------
        TypeError
            If they are times of another calendar.
        """
        given = np.asarray(times)
        if self.values.dtype.kind == "M":
            if given.dtype.kind != "M":
                given = _as_datetime64(times, self.values.dtype)
            if np.isnat(given).any():
                raise ValueError("a time is NaT; leave it out")
            return given.astype(self.values.dtype).astype(np.int64)
        return _cftime_ticks(given, self.values[0])

    def shifted(self, ticks: NDArray[np.int64], duration: Duration, sign: int) -> NDArray[np.int64]:
        """Move times by a duration that is not counted in steps."""
        if duration.months is not None:
            return self._by_months(ticks, sign * duration.months)
        assert duration.seconds is not None
        return ticks + sign * round(duration.seconds * self.rate)

    def _by_months(self, ticks: NDArray[np.int64], months: int) -> NDArray[np.int64]:
        """Move times by months; a day that the month does not have becomes its last."""
        if self.calendar is None:
            times = ticks.view(self.values.dtype)
            month = times.astype("M8[M]")
            rest = times - month.astype(self.values.dtype)
            target = month + months
            day = np.timedelta64(1, "D")
            last = (target + 1).astype("M8[D]") - target.astype("M8[D]") - day
            whole = np.minimum(rest // day, last // day) * day + rest % day
            return (target.astype(self.values.dtype) + whole).astype(np.int64)
        import cftime

        times = cftime.num2date(ticks, _units(), calendar=self.calendar)
        moved = []
        for t in np.atleast_1d(times):
            year, month = divmod(t.year * 12 + t.month - 1 + months, 12)
            first = t.replace(year=year, month=month + 1, day=1)
            moved.append(first.replace(day=min(t.day, first.daysinmonth)))
        return _cftime_ticks(np.array(moved, dtype=object), self.values[0])


def _units() -> str:
    return "microseconds since 0001-01-01"


def _cftime_ticks(given: NDArray, like: Any) -> NDArray[np.int64]:
    import cftime

    if given.dtype.kind in "US" or (given.size and isinstance(given.ravel()[0], str)):
        given = np.array([_parsed(str(t), like) for t in given.ravel()], dtype=object)
    kinds = {type(t) for t in given.ravel()[:1]} | {type(t) for t in given.ravel()[-1:]}
    if kinds and (not issubclass(kinds.pop(), cftime.datetime) or kinds):
        raise TypeError(
            f"expected times of the {like.calendar} calendar ({type(like).__name__}), got "
            f"{type(given.ravel()[0]).__name__}; convert with convert_calendar"
        )
    calendars = {t.calendar for t in (*given.ravel()[:1], *given.ravel()[-1:])}
    if calendars - {like.calendar}:
        raise TypeError(
            f"expected times of the {like.calendar} calendar, got {calendars.pop()}; convert with "
            f"convert_calendar({like.calendar!r})"
        )
    return np.asarray(cftime.date2num(given, _units(), calendar=like.calendar)).astype(np.int64)


def _parsed(text: str, like: Any) -> Any:
    """Read an ISO time in the calendar of ``like``, which may have a 30th of February."""
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    if not re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}(:\d{1,2}){0,2})?", text.strip()):
        raise ValueError(f"{text!r} is no time such as '2001-02-03' or '2001-02-03T04:05:06'")
    return type(like)(*numbers)


def _as_datetime64(times: Any, dtype: np.dtype) -> NDArray:
    try:
        return np.asarray(pd.DatetimeIndex(np.atleast_1d(np.asarray(times, dtype=object))), dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"expected times that pandas can read (datetime64), got {times!r}: {error}"
        ) from None


def time_axis(domain: Lattice, dim: Hashable | None = None) -> TimeAxis:
    """Find the time axis of a field, by CF attributes, type or name.

    Raises
    ------
    ValueError
        If there is none, or several and none is asked for.
    """
    found: dict[Hashable, Hashable] = {}
    coords = domain.template.coords
    for name, coord in coords.items():
        if coord.ndim != 1 or not _is_time(coord):
            continue
        if coord.dims[0] not in found or name == coord.dims[0]:
            found[coord.dims[0]] = name
    if dim is not None:
        found = {d: n for d, n in found.items() if dim in (d, n)}
    preferred = {d: n for d, n in found.items() if domain.roles.get(n) == "T" and n == d}
    if len(found) > 1 and len(preferred) == 1:
        found = preferred
    if len(found) != 1:
        have = "no time axis" if not found else f"times along {list(found)}"
        asked = "" if dim is None else f" called {dim!r}"
        raise ValueError(
            f"windows in time need one time axis{asked}, but the field has {have}; it needs a "
            "coordinate of datetime64 or cftime (decode_times=True), or say which: FixedLookback(…, dim=…)"
        )
    ((time_dim, name),) = found.items()
    values = np.asarray(coords[name].values)
    if values.dtype.kind == "M" and np.isnat(values).any():
        raise ValueError(f"some times along {time_dim!r} are NaT; leave them out (dropna)")
    return TimeAxis(time_dim, values)


def _is_time(coord: Any) -> bool:
    if coord.dtype.kind == "M":
        return True
    return (
        coord.dtype == object
        and coord.size > 0
        and hasattr(coord.variable.values.flat[0], "calendar")
    )
