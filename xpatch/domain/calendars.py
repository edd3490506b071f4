"""Calendars by arithmetic: days of years and months, without an object of cftime for each date.

Months are numbered from the year 0 on, 12 * year + month, and days from the first of January of year 1;
the months of a year and the days of a month are counted from 0.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Days = NDArray[np.int64]

LENGTHS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
EVEN = {"noleap": 365, "365_day": 365, "all_leap": 366, "366_day": 366, "360_day": 360}
YEAR = {"julian": 365.25, "proleptic_gregorian": 365.2425}
SWITCH = 1582 * 12 + 9  # October 1582, whose 4th was followed by the 15th
APART = 2  # days by which the calendar of Gregory, counted back, begins before that of Julius


@dataclasses.dataclass(frozen=True)
class Calendar:
    """A calendar of CF, by its name."""

    name: str

    @property
    def has_year_zero(self) -> bool:
        """Whether cftime counts a year 0."""
        return self.name not in ("standard", "gregorian", "julian")

    def days(self, months: Any, day: Any) -> Days:
        """Give the numbers of the days ``day`` of months."""
        months, day = np.asarray(months, np.int64), np.asarray(day, np.int64)
        if self.name not in ("standard", "gregorian"):
            return _days(self.name, months, day)
        old = (months < SWITCH) | ((months == SWITCH) & (day < 14))
        new = _days("proleptic_gregorian", months, day) + APART
        return np.where(old, _days("julian", months, day), new)

    def split(self, days: Any) -> tuple[Days, Days]:
        """Undo `days`: give months, and the days in them."""
        days = np.asarray(days, np.int64)
        if self.name not in ("standard", "gregorian"):
            return _split(self.name, days)
        old = days < self.days(SWITCH, 14)
        pairs = zip(
            _split("julian", days), _split("proleptic_gregorian", days - APART), strict=True
        )
        month, day = (np.where(old, a, b) for a, b in pairs)
        return month, day

    def lengths(self, months: Any) -> Days:
        """Give how many days months have; October 1582 as many as any other."""
        months = np.asarray(months, np.int64)
        if self.name not in ("standard", "gregorian"):
            return _lengths(self.name, months)
        new = _lengths("proleptic_gregorian", months)
        return np.where(months <= SWITCH, _lengths("julian", months), new)


def _leap(name: str, year: Days) -> Days:
    """Give 1 for years with a leap day, otherwise 0."""
    if name in EVEN:
        return np.full(year.shape, EVEN[name] == 366, np.int64)
    leap = year % 4 == 0
    leap = leap if name == "julian" else leap & ((year % 100 != 0) | (year % 400 == 0))
    return leap.astype(np.int64)


def _before(name: str, year: Days) -> Days:
    """Give the days before a year."""
    past = year - 1
    if name in EVEN:
        return past * EVEN[name]
    leaps = past // 4 if name == "julian" else past // 4 - past // 100 + past // 400
    return past * 365 + leaps


@functools.cache
def _tables(name: str) -> tuple[Days, Days]:
    """Give the day of the year at which months begin, and the month of days, of years without and with a leap day."""
    lengths = np.stack([LENGTHS, LENGTHS + (np.arange(12) == 1)])
    lengths = np.full((2, 12), 30) if EVEN.get(name) == 360 else lengths
    begins = np.concatenate([np.zeros((2, 1), np.int64), np.cumsum(lengths, axis=1)], axis=1)
    days = np.arange(366)
    return begins, np.stack([np.searchsorted(b[1:], days, side="right") for b in begins])


def _days(name: str, months: Days, day: Days) -> Days:
    year, month = np.divmod(months, 12)
    begins, _ = _tables(name)
    return _before(name, year) + begins[_leap(name, year), month] + day


def _split(name: str, days: Days) -> tuple[Days, Days]:
    year = np.floor(days / EVEN.get(name, YEAR.get(name, 0))).astype(np.int64) + 1
    year -= _before(name, year) > days  # which is off by one at most
    year += _before(name, year + 1) <= days
    rest, leap = days - _before(name, year), _leap(name, year)
    begins, month_of = _tables(name)
    month = month_of[leap, rest]
    return year * 12 + month, rest - begins[leap, month]


def _lengths(name: str, months: Days) -> Days:
    year, month = np.divmod(months, 12)
    begins, _ = _tables(name)
    return np.diff(begins)[_leap(name, year), month]
