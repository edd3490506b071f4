"""Dates of files: read from their names, and made the times of a field."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xpatch.domain.interval import instant

DIGITS = {4: "%Y", 6: "%Y%m", 7: "%Y%j", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M"}
GROUP = r"; put the date alone into a group, r'_(\d{8})\.tif'"
MOST = 10_000  # times of a field that takes each date for itself
EXACT = "time='solar_day', an offset such as time='1D' or '1MS', or time=None for one mosaic of all"


def from_name(pattern: re.Pattern[str], href: str) -> pd.Timestamp:
    """Read the date in the name of a file: what the groups of a pattern match, one after the other.

    Raises
    ------
    ValueError
        If the pattern does not match, or it is no date.
    """
    text = in_name(pattern, href, "time")
    try:
        known = DIGITS.get(len(text)) if text.isdigit() else None
        found = pd.to_datetime(text, format=known) if known else instant(text)
        if not 1850 <= found.year <= 2150:
            raise ValueError(f"the year would be {found.year}")
    except ValueError as error:
        raise ValueError(
            f"{text!r} in the name of {href!r}, by the pattern {pattern.pattern!r}, is no date as YYYYMMDD or ISO 8601 have "
            f"it: {error}{GROUP if not pattern.groups else ''}"
        ) from None
    return utc(found)


def in_name(pattern: re.Pattern[str], href: str, what: str) -> str:
    """Give what the groups of a pattern match in the name of a file, one after the other.

    Raises
    ------
    ValueError
        If the pattern does not match.
    """
    name = os.path.basename(href.split("?")[0].rstrip("/"))
    match = pattern.search(name)
    if match is None:
        raise ValueError(f"no {what} in the name of {href!r} by the pattern {pattern.pattern!r}")
    return "".join(g or "" for g in match.groups()) or match.group()


def as_pattern(time: Any) -> re.Pattern[str] | None:
    """Compile the pattern of dates in names."""
    if time is None or isinstance(time, re.Pattern):
        return time
    try:
        return re.compile(time)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"time is a regular expression whose groups are the date in the name of a file, such as "
            f"r'_(\\d{{8}})\\.tif', or (start, end) for tables that have dates; got {time!r}: {error}"
        ) from None


def utc(time: Any) -> pd.Timestamp:
    """Give a time in UTC; naive ones are."""
    found = pd.Timestamp(time)
    return found.tz_localize("UTC") if found.tzinfo is None else found.tz_convert("UTC")


def as_utc(column: pd.Series) -> pd.Series:
    """Give a column of dates in UTC; naive ones are.

    Raises
    ------
    ValueError
        If some have a time zone and others have none, or they are no dates.
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.tz_convert("UTC")
    if column.dtype.kind in "iufb":
        raise ValueError(
            f"'datetime' must hold dates, got {column.dtype} such as {column.iloc[0]!r}; make it dates, "
            "pd.to_datetime(column, format='%Y%m%d')"
        )
    if column.dtype.kind != "M":
        zones = [getattr(t, "tzinfo", None) is not None for t in column if not pd.isna(t)]
        if any(zones) and not all(zones):
            k = next(k for k, t in enumerate(column) if not pd.isna(t) and t.tzinfo is None)
            raise ValueError(
                f"'datetime' mixes dates with and without a time zone: that of row {k}, {column.iloc[k]!r}, "
                "has none; make all aware, pd.to_datetime(column, utc=True), if naive ones are in UTC"
            )
    try:
        return pd.to_datetime(column, utc=True)
    except (ValueError, TypeError) as error:
        raise ValueError(f"'datetime' must hold dates: {error}") from None


def steps(
    table: Any, time: Any, longitude: Any
) -> tuple[NDArray[np.int64], NDArray[np.datetime64] | None]:
    """Give which time each file is of, and the times; None where there are none.

    Parameters
    ----------
    table : GeoDataFrame
        With or without a column ``datetime``.
    time : "exact", "solar_day", offset or None
        What is one time.
    longitude : callable
        Gives the longitude that says when a solar day begins.
    """
    none = np.zeros(len(table), np.int64), None
    if time is None:
        return none
    dates = as_utc(table["datetime"]) if "datetime" in table else pd.Series(dtype="M8[ns, UTC]")
    if dates.isna().all() and time == "exact":
        return none
    if "datetime" not in table or dates.isna().any():
        k = int(np.flatnonzero(dates.isna())[0]) if len(dates) else 0
        raise ValueError(
            f"row {k}, {table['href'].iloc[k]!r}, has no datetime, of which time={time!r} makes the times of the "
            "field: leave such rows out, or take time=None for one mosaic of all"
        )
    found = pd.DatetimeIndex(dates).tz_localize(None)
    with contextlib.suppress(pd.errors.OutOfBoundsDatetime):  # of other centuries
        found = found.as_unit("ns")
    begin = _floored(found, time, longitude).as_unit(found.unit)
    labels, which = np.unique(begin.values, return_inverse=True)
    if time == "exact" and len(labels) > MOST:
        raise ValueError(
            f"the files have {len(labels):,} dates, more than {MOST:,}, each of which would be a time of the "
            f"field; group them: {EXACT}"
        )
    return which.astype(np.int64), labels


def _floored(dates: pd.DatetimeIndex, time: Any, longitude: Any) -> pd.DatetimeIndex:
    if isinstance(time, str) and time == "exact":
        return dates
    if isinstance(time, str) and time == "solar_day":
        return (dates + pd.Timedelta(hours=longitude() / 15)).floor("D")
    try:
        offset = pd.tseries.frequencies.to_offset(time)
    except (ValueError, TypeError):
        offset = None
    if offset is None:
        raise ValueError(f"time must be 'exact', {EXACT}; got {time!r}")
    if offset.n < 1:
        raise ValueError(f"time must be a positive offset, such as '1D', got {time!r}")
    try:
        return dates.floor(offset)
    except ValueError:  # of the calendar, without a fixed length
        return pd.DatetimeIndex([_rolled(day, offset) for day in dates.normalize()])


def _rolled(day: pd.Timestamp, offset: Any) -> pd.Timestamp:
    """Give the first day of the period: months and years are counted from the year 0."""
    months = {"MonthBegin": 1, "YearBegin": 12}.get(type(offset).__name__)
    if offset.n == 1 and isinstance(offset, pd.offsets.Week | pd.offsets.QuarterBegin):
        return offset.rollback(day)
    if months is None or getattr(offset, "month", 1) != 1:
        raise ValueError(
            f"time={offset.freqstr!r} is no period that files can be grouped by their beginning: take 'MS', '3MS', 'QS', "
            "'YS', 'W', days or hours"
        )
    first = (day.year * 12 + day.month - 1) // (offset.n * months) * offset.n * months
    return pd.Timestamp(first // 12, first % 12 + 1, 1)
