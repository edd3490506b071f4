"""Dates among the variables of a field: bounds are placed, and dates of cftime merged as numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import Variable

from xpatch.aggregation import First
from xpatch.domain import Lattice
from xpatch.domain.dates import calendar_of, counted, dated
from xpatch.domain.lonlat import bounds_name

__all__ = ["is_bounds", "merge_dates", "through_counts"]


def is_bounds(domain: Lattice, name: Hashable, variable: Any) -> bool:
    """Whether a variable holds the labels between which the cells of a coordinate lie."""
    if variable.dtype.kind not in "iufmMO" or name is None:
        return False
    named = map(bounds_name, domain.template.coords.values())
    return name in named and (variable.dtype.kind != "O" or calendar_of(variable) is not None)


def merge_dates(
    merge: Callable[..., Variable],
    variable: Variable,
    name: Hashable,
    aggregation: Any,
    domain: Lattice,
) -> Variable:
    """Merge a variable; one of bounds, which patches have in common, is placed."""
    how = First() if is_bounds(domain, name, variable) else aggregation
    return through_counts(variable, lambda v: merge(v, name, how))


def through_counts(variable: Variable, merge: Callable[[Variable], Variable]) -> Variable:
    """Merge dates of cftime as datetime64, which is as good as any number; others as they are."""
    calendar = calendar_of(variable)
    if calendar is None:
        return merge(variable)
    merged = merge(_mapped(variable, _as_counts, calendar, np.dtype("M8[us]")))
    if merged.dtype.kind != "M":  # a count
        return merged
    return _mapped(merged, _as_dates, calendar, np.dtype(object))


def _mapped(
    variable: Variable, function: Callable[..., NDArray], calendar: str, dtype: np.dtype
) -> Variable:
    if variable.chunks is None:
        return Variable(variable.dims, function(variable.to_numpy(), calendar), variable.attrs)
    import dask.array as da

    data = da.map_blocks(function, variable.data, calendar, dtype=dtype)
    return Variable(variable.dims, data, variable.attrs)


def _as_counts(dates: NDArray, calendar: str) -> NDArray[np.datetime64]:
    known = ~pd.isnull(dates)
    out = np.full(dates.shape, np.array("NaT", "M8[us]"))
    out[known] = counted(dates[known], calendar).view("M8[us]")
    return out


def _as_dates(counts: NDArray, calendar: str) -> NDArray[np.object_]:
    known = ~np.isnat(counts)
    out = np.full(counts.shape, None, object)
    out[known] = dated(counts[known].astype("M8[us]").view("i8"), calendar)
    return out
