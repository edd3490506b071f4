"""Moments and intervals in UTC, as whole numbers of the units that columns of times count in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from xpatch.domain.interval import as_interval, instant

NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
LAST = 2**63 - 2  # the last whole number but one is the infinity of duckdb


def moment(value: Any, what: str) -> int:
    """Give a moment in nanoseconds since 1970 in UTC; without a zone it is taken for UTC.

    Raises
    ------
    TypeError
        If it is a number or anything else that is no date.
    ValueError
        If it is a text that is no date, or NaT.
    """
    try:
        return nanoseconds(instant(value))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what} must be a date, such as '2024-06-01T12:00Z': {error}") from None


def nanoseconds(time: pd.Timestamp) -> int:
    """Count a naive time."""
    return int(time.asm8.astype(np.int64)) * NANOSECONDS[time.unit]


def ticks(nanoseconds: int, unit: str, up: bool) -> int:
    """Give a moment in units of a column, rounded up or down where it lies between two of them."""
    whole, rest = divmod(nanoseconds, NANOSECONDS[unit])
    return min(max(whole + (up and rest > 0), -LAST), LAST)


def interval_of(interval: Any) -> tuple[int | None, int | None]:
    """Give start and end of an interval in nanoseconds since 1970 in UTC; None where it is open."""
    start, end = as_interval(interval) or (None, None)
    return (
        None if start is None else nanoseconds(start),
        None if end is None else nanoseconds(end),
    )
