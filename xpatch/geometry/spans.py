"""`within=`: how far members may lie from their anchor in coordinates of the elements, such as time."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.domain.dates import counted
from xpatch.geometry.base import Places
from xpatch.spec import DimMap
from xpatch.time.axis import MICRO, Duration

LIKE = "within={'time': '10D', 'pressure': 50.0}"


def checked(within: Any, what: str) -> DimMap | None:
    """Read ``within``: for each coordinate a positive number, or a duration.

    Raises
    ------
    TypeError
        If it is no mapping, or a width is neither.
    ValueError
        If it is empty, or a width is not positive, not finite, or counted in months.
    """
    if within is None:
        return None
    if not isinstance(within, Mapping):
        raise TypeError(
            f"within of {what} must be a mapping from coordinates to widths, {LIKE}, got {within!r}"
        )
    if not within:
        raise ValueError(f"within of {what} names no coordinate; leave it out, or say {LIKE}")
    for name, width in within.items():
        _check_width(width, f"within of {name!r}")
    return DimMap(within)


def _check_width(width: Any, what: str) -> None:
    if _is_number(width):
        if not (width > 0 and np.isfinite(width)):
            raise ValueError(f"{what} must be positive and finite, got {width!r}")
        return
    known = isinstance(width, str | datetime.timedelta | np.timedelta64 | pd.offsets.BaseOffset)
    if not known and not hasattr(width, "kwds") and not hasattr(width, "as_timedelta"):
        raise TypeError(
            f"{what} must be a number, or a duration such as '10D' or a timedelta, got {width!r}"
        )
    if isinstance(width, str):
        try:
            pd.tseries.frequencies.to_offset(width)
        except ValueError:
            raise ValueError(
                f"{what} must be a number, or a duration such as '10D' or '6h', got {width!r}; a distance is that of "
                "the geometry, RadiusGraph(300.0)"
            ) from None
    if Duration.of(width, what).months is not None:
        raise ValueError(
            f"{what} is counted in months, which are not equally long, so that two elements could be "
            f"within it of each other one way and not the other; say it in days: got {width!r}"
        )


def _is_number(value: Any) -> bool:
    timed = isinstance(value, bool | np.bool_ | np.timedelta64)
    return isinstance(value, int | float | np.number) and not timed


@dataclasses.dataclass(frozen=True, eq=False)
class Span:
    """One coordinate of the elements, and how far members may lie from their anchor in it.

    Parameters
    ----------
    values : int64 or float64 array (element,)
        Times are integers.
    known : bool array (element,)
        Whether an element has a value; others are members of nobody.
    width : int or float
        Largest difference, in the units of ``values``.
    rounding : float
        By which part of itself a value may be wrong.
    """

    values: NDArray
    known: NDArray[np.bool_]
    width: Any
    rounding: float = 0.0

    def inside(self, a: NDArray, b: NDArray) -> NDArray[np.bool_]:
        """Whether elements ``a`` lie within the width of elements ``b``."""
        one, other = self.values[a], self.values[b]
        if self.values.dtype.kind == "i":  # times of both ends of int64 are farther than it reaches
            far = np.maximum(one, other).view("u8") - np.minimum(one, other).view("u8")
            return far <= np.uint64(min(int(self.width), np.iinfo(np.int64).max))
        slack = self.rounding * np.maximum(np.abs(one), np.abs(other))
        return np.abs(one - other) <= self.width + slack

    @property
    def scaled(self) -> NDArray[np.float64]:
        """The values in units of the width, counted from the first; 0 where there is none."""
        if not self.known.any():
            return np.zeros(len(self.values))
        values = np.where(self.known, self.values, self.values[self.known].min()).astype(float)
        return (values - values.min()) / max(float(self.width), np.finfo(float).tiny)

    @property
    def slack(self) -> float:
        """By how much more than one width two values may differ that are within it."""
        if not self.rounding:
            return 0.0
        return self.rounding * float(np.abs(self.values[self.known]).max(initial=0)) / self.width


@dataclasses.dataclass(frozen=True, eq=False)
class Spans:
    """All coordinates that ``within`` names."""

    each: tuple[Span, ...]

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Elements that have a value of each."""
        return np.logical_and.reduce([span.known for span in self.each])

    @cached_property
    def scaled(self) -> NDArray[np.float64]:
        """The values in units of the widths, (element, coordinate)."""
        return np.stack([span.scaled for span in self.each], axis=-1)

    @cached_property
    def slack(self) -> float:
        """By how much more than one width values may differ that are within them."""
        return max(span.slack for span in self.each)

    def inside(self, a: NDArray, b: NDArray) -> NDArray[np.bool_]:
        """Whether elements ``a`` lie within all widths of elements ``b``."""
        return np.logical_and.reduce([span.inside(a, b) for span in self.each])


def spans_of(within: Mapping[Hashable, Any], domain: Lattice, sites: Sites) -> Spans:
    """Look the coordinates of ``within`` up.

    Raises
    ------
    KeyError
        If the field has no such coordinate.
    ValueError
        If it does not lie along the elements.
    TypeError
        If its values are no numbers and no times, or the width is of the other kind.
    """
    cache = vars(domain).setdefault("_spans", {})  # times may be on disk, and are asked for twice
    key = (sites.dims, DimMap(within))
    if key not in cache:
        cache[key] = Spans(tuple(_span(n, w, domain, sites) for n, w in within.items()))
    return cache[key]


def _span(name: Hashable, width: Any, domain: Lattice, sites: Sites) -> Span:
    coords = domain.template.coords
    if name not in coords:
        alike = [n for n, c in coords.items() if set(c.dims) == set(sites.dims)]
        mend = f"there are {alike}"
        if name in domain.orders:
            mend = f"it is a data variable: field.set_coords({name!r})"
        raise KeyError(f"within names {name!r}, which is no coordinate of the field; {mend}")
    coord = coords[name]
    if set(coord.dims) != set(sites.dims):
        raise ValueError(
            f"within names {name!r}, which lies along {list(coord.dims)} and not along the elements, "
            f"{list(sites.dims)}; each element needs one value of its own"
        )
    return read(coord.transpose(*sites.dims).values.ravel(), width, name)


def read(values: NDArray, width: Any, name: Hashable) -> Span:
    """Turn the values of a coordinate, and a width, into numbers that can be compared."""
    first = next((v for v in values if v == v and v is not None), None)
    if values.dtype == object and isinstance(first, pd.Timestamp):  # with a zone
        index = pd.to_datetime(values, utc=True).tz_localize(None)
        values = index.to_numpy()
    dates = values.dtype == object and hasattr(first, "calendar")
    timed = dates or values.dtype.kind in "mM"
    if not timed and values.dtype.kind not in "iuf":
        raise TypeError(
            f"within compares numbers or times, and {name!r} has {values.dtype}; leave it out, or "
            "convert it"
        )
    if timed == _is_number(width):
        kind, need = ("times", "'10D'") if timed else ("numbers", "50.0")
        raw = "" if timed else ", or xr.decode_cf(field), if these are times that count from a date"
        raise TypeError(
            f"{name!r} holds {kind}, and within={{{name!r}: {width!r}}} is no such width; say "
            f"within={{{name!r}: {need}}}{raw}"
        )
    if not timed:
        single = values.dtype == np.float32 or values.dtype == np.float16
        rounding = float(np.finfo(values.dtype if single else float).eps)
        numbers = values.astype(float)
        return Span(numbers, np.isfinite(numbers), float(width), rounding)
    seconds = Duration.of(width, f"within of {name!r}").seconds
    assert seconds is not None
    if dates:
        return _dates(values, seconds, str(first.calendar), name)  # type: ignore[union-attr]
    unit: Any = np.datetime_data(values.dtype)[0]
    rate = float(np.timedelta64(1, "s") / np.timedelta64(1, unit))
    return Span(values.astype(np.int64), ~np.isnat(values), _ticks(seconds, rate))


def _dates(values: NDArray, seconds: float, calendar: str, name: Hashable) -> Span:
    """Count dates of cftime."""
    known = np.array([getattr(v, "calendar", None) == calendar for v in values])
    strange = {getattr(v, "calendar", None) for v in values[~known]} - {None}
    if strange:
        raise TypeError(
            f"{name!r} holds dates of several calendars, {calendar} and {strange.pop()}; convert them "
            "to one"
        )
    ticks = np.zeros(len(values), np.int64)
    ticks[known] = counted(values[known], calendar)
    return Span(ticks, known, _ticks(seconds, MICRO))


def _ticks(seconds: float, rate: float) -> int:
    """Give a width in whole ticks: what lies between two of them reaches the lower one."""
    exact = seconds * rate
    near = round(exact)
    return near if abs(near - exact) <= 1e-6 else int(np.floor(exact))


def check_anchors(anchors: Places, within: Mapping[Hashable, Any]) -> None:
    """Raise a ValueError if an anchor is no element: it has no time, or whatever is compared."""
    loose = np.flatnonzero(anchors.elements < 0)
    if len(loose):
        raise ValueError(
            f"within={dict(within)!r} compares members with their anchor, and {len(loose)} of "
            f"{len(anchors)} anchors are places without {' and '.join(map(repr, within))}; anchor at "
            "elements: EveryElement(), Random, PoissonDisk or Explicit([element numbers]), or choose the "
            "elements of a time first, and leave within= out"
        )
