"""Tables of places and times of which a split in space takes the places alone."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import xarray as xr

from xpatch.domain import Lattice
from xpatch.geometry.base import MemberGeometry
from xpatch.report import tell
from xpatch.sampler.reading import meaning
from xpatch.time.axis import TimeAxis
from xpatch.time.finding import is_time

__all__ = ["axis_beside", "tell_product", "tell_untimed"]


def _dated(given: Any, domain: Lattice) -> list[Hashable]:
    """Give the columns of a table that hold times, one for each place."""
    if not isinstance(given, xr.DataArray | xr.Dataset):
        return [c for c in getattr(given, "columns", ()) if given[c].dtype.kind == "M"]
    table = given.coords.to_dataset() if isinstance(given, xr.DataArray) else given
    times = [n for n, v in table.variables.items() if v.ndim == 1 and v.dtype.kind == "M"]
    if not times:
        return []
    placed = {v.dims for n, v in table.variables.items() if meaning(n, domain, table) == "lon"}
    return [n for n in times if table.variables[n].dims in placed]


def _coupled(name: Hashable) -> str:
    return (
        "SpatioTemporalPatcher(Patcher(geometry, Explicit(table)), TimePatcher(FixedLookback(1), "
        f"EventTriggered(table[{name!r}])), coupling='coupled')"
    )


def tell_product(domain: Lattice, sampler: Any, windows: int) -> None:
    """Warn of as many windows in time as a table with times has places: each place comes with all of them."""
    given: Any = getattr(sampler, "anchors_", None)
    dated = _dated(given, domain)
    if dated and windows > 1 and windows == len(given[dated[0]]):
        tell(
            f"each of {windows} places comes with each of {windows} windows in time, {windows * windows:,} patches, and "
            f"the table of Explicit has a time for each place in {dated[0]!r}. For each place at its own time: "
            f"{_coupled(dated[0])}; to take all of them leave the column out"
        )


def axis_beside(
    domain: Lattice, temporal: Any, spatial: Any, cut: tuple[Hashable, ...]
) -> TimeAxis:
    """Find the times of windows that come with patches in space.

    Raises
    ------
    ValueError
        If there are none, or the patches in space cut them, too.
    """
    own = {*domain.element_dims} if isinstance(spatial, MemberGeometry) else set()
    times = [n for n, c in domain.template.coords.items() if {*c.dims} & own and is_time(c)]
    mend = ""
    if times and own <= {*cut}:
        mend = (
            f". Elements with a time of their own are near in space and time by one geometry, {type(spatial).__name__}"
            f"(…, within={{{times[0]!r}: '30D'}})"
        )
    try:
        axis: TimeAxis = temporal.outline(domain)
    except ValueError as error:
        if not mend:
            raise
        raise ValueError(f"{error}{mend}") from None
    if axis.dim in cut:
        raise ValueError(
            f"{spatial!r} cuts {axis.dim!r}, too, along which {temporal!r} puts windows in time; "
            f"leave {axis.dim!r} out of the geometry in space{mend}"
        )
    return axis


def tell_untimed(domain: Lattice, sampler: Any, cut: tuple[Any, ...]) -> None:
    """Warn of anchors that have times, where the field has times and each place would come with all of them."""
    given: Any = getattr(sampler, "anchors_", None)
    dated = _dated(given, domain)
    if not dated:  # as nearly always: whether the field has times takes longer to see
        return
    coords = domain.template.coords
    dims = [d for d, n in domain.sizes.items() if n > 1 and d in coords and is_time(coords[d])]
    out = (
        f"drop_vars({dated[0]!r})" if hasattr(given, "drop_vars") else f"drop(columns={dated[0]!r})"
    )
    if left := [d for d in dims if d not in cut]:
        tell(
            f"the table of Explicit has times in {dated[0]!r}, which a split in space does not look at: each place "
            f"comes with all {domain.sizes[left[0]]} steps of {left[0]!r}. For each place at its own time: "
            f"{_coupled(dated[0])}; to take the places alone leave the column out, "
            f"Explicit(table.{out})"
        )
