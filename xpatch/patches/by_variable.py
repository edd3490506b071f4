"""An aggregation for each variable of a Dataset."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import xarray as xr

from xpatch.aggregation import as_aggregation

REST = ("...", "…", ...)  # keys of the aggregation of all variables that are not named


def by_variable(patches: Any, aggregations: Any, merge: Callable[[Any, Any], Any]) -> Any:
    """Merge variables that have one aggregation together, and give all of them in their order.

    Parameters
    ----------
    patches : DataArray or Dataset
        The patches.
    aggregations : mapping, or Aggregation, str, pair or None
        The aggregation of each variable of a Dataset by name, and under ``...`` that of the rest; or one for all.
    merge : callable
        Merges a part of the Dataset by one aggregation; None is the default of the split.

    Raises
    ------
    TypeError
        If a mapping is given for a DataArray.
    KeyError
        If a name is none of the Dataset.
    """
    parts = [merge(part, how) for how, part in grouped(patches, aggregations)]
    if len(parts) == 1:
        return parts[0]
    merged = xr.merge(parts, combine_attrs="override", compat="override", join="outer")
    order = [n for n in patches.data_vars if n in merged.data_vars]
    order += [n for n in merged.data_vars if n not in order]
    own = {n: merged.variables[n] for n in order}
    had, has = (
        {d for v in some for d in v.dims} for some in (patches.data_vars.values(), own.values())
    )
    lost = [n for n, c in merged.coords.items() if {*c.dims} & (had - has)]  # such as classes
    return xr.Dataset(own, merged.drop_vars(lost).coords, merged.attrs)


def grouped(patches: Any, aggregations: Any) -> list[tuple[Any, Any]]:
    """Give each aggregation, and the part of the patches that it is for."""
    if not isinstance(aggregations, Mapping):
        return [(aggregations, patches)]
    if not isinstance(patches, xr.Dataset):
        raise TypeError(
            f"{dict(aggregations)!r} has an aggregation for each variable of a Dataset, and these patches are a "
            "DataArray: merge these one by one, patches.patch.merge(aggregation)"
        )
    unknown = [n for n in aggregations if n not in REST and n not in patches.data_vars]
    if unknown:
        raise KeyError(
            f"merge names an aggregation for {unknown[0]!r}, which is no variable of the patches; these are "
            f"{list(patches.data_vars)}, and all others are merged by {{...: aggregation}}"
        )
    rest = next((aggregations[n] for n in REST if n in aggregations), None)
    asked = {name: _aggregation(how) for name, how in aggregations.items()}
    rest = _aggregation(rest)
    both = {n: how for how in asked.values() for n in getattr(how, "variables", None) or ()}
    groups: list[tuple[Any, list[Hashable]]] = []
    for name in patches.data_vars:
        how = asked.get(name, both.get(name, rest))
        for known, names in groups:
            if known is how or (type(known) is type(how) and known == how):
                names.append(name)
                break
        else:
            groups.append((how, [name]))
    every = [*patches.data_vars]  # picking some would lose coordinates that none lies along
    return [(how, patches.drop_vars([n for n in every if n not in own])) for how, own in groups]


def _aggregation(given: Any) -> Any:
    return given if given is None or isinstance(given, tuple | list) else as_aggregation(given)
