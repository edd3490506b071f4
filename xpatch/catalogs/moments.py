"""Moments and intervals in UTC, as whole numbers of the units that columns of times count in."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np
import pandas as pd

NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
LAST = 2**63 - 2  # the last whole number but one is the infinity of duckdb
ISO = re.compile(r"\d{4}(-\d\d|\d{4}|$)")  # pandas reads "now" and "01/02/2024", too


def moment(value: Any, what: str) -> int:
    """Give a moment in nanoseconds since 1970 in UTC; without a zone it is taken for UTC.

    Raises
    ------
    TypeError
        If it is a number or anything else that is no date.
    ValueError
        If it is a text that is no ISO 8601 date, or NaT.
    """
    if not isinstance(value, str | datetime.date | np.datetime64):
        raise TypeError(
            f"{what} must be a date, '2024-06-01' or a datetime, got {value!r} "
            f"({type(value).__name__})"
        )
    try:
        if isinstance(value, str) and not ISO.match(value):
            raise ValueError("it does not start with a year")
        stamp = pd.Timestamp(value)
        if stamp is pd.NaT:
            raise ValueError("it is missing")
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{what} must be a date as ISO 8601 writes it, '2024-06-01T12:00Z', got {value!r}: {error}"
        ) from None
    naive = stamp if stamp.tzinfo is None else stamp.tz_convert("UTC").tz_localize(None)
    return int(naive.asm8.astype(np.int64)) * NANOSECONDS[naive.unit]


def ticks(nanoseconds: int, unit: str, up: bool) -> int:
    """Give a moment in units of a column, rounded up or down where it lies between two of them."""
    whole, rest = divmod(nanoseconds, NANOSECONDS[unit])
    return min(max(whole + (up and rest > 0), -LAST), LAST)


def interval_of(interval: Any) -> tuple[int | None, int | None]:
    """Give start and end of an interval in nanoseconds since 1970 in UTC; None where it is open.

    Raises
    ------
    TypeError, ValueError
        If it is no pair of dates, or ends before it starts.
    """
    if isinstance(interval, str) or not isinstance(interval, list | tuple) or len(interval) != 2:
        raise ValueError(
            f"interval must be a pair (start, end), either of which may be None, got {interval!r}"
        )
    start, end = (
        None if value is None else moment(value, f"the {name} of the interval")
        for name, value in zip(("start", "end"), interval, strict=True)
    )
    if start is not None and end is not None and start > end:
        raise ValueError(f"interval={interval!r} ends before it starts; give (start, end)")
    return start, end
