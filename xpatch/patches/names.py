"""What the coordinates that say where windows in time lie are called."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

from xpatch.neighborhood import Neighborhood

LEAD_ATTRS = {"long_name": "steps from the anchor", "units": "1"}
STEP_ATTRS = {"long_name": "step of the anchor"}


def usual_names(dim: Hashable) -> dict[str, str]:
    """Give the names that the coordinates of windows along ``dim`` have, unless they are taken."""
    return {"lead": "lead", "event": "event", "step": "anchor_step", "number": f"{dim}_number"}


def free_names(
    taken: Collection[Hashable], dim: Hashable, others: Collection[Hashable] | None = None
) -> dict[str, str]:
    """Give names that neither the field has, nor patches whose anchors were taken.

    ``others`` are the names that these patches have; there are none where times were given. Fields
    at the same anchors may stand in one Dataset, and have other steps there.
    """
    names = usual_names(dim)
    if others is not None and dim != "time":
        names["step"] = f"{dim}_{names['step']}"
    for kind in ("step", "number"):
        names[kind] = _counted(names[kind], others or ())
    for kind, name in names.items():
        while name in taken:
            name = f"patch_{name}"
        names[kind] = name
    return names


def _counted(name: str, taken: Collection[Hashable]) -> str:
    """Give the name, or the first of ``name_2``, ``name_3`` … that is not taken."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    return found


def is_lead(coord: Any) -> bool:
    """Whether a coordinate says how many steps those of a window are from their anchor."""
    return bool(coord.attrs.get("long_name") == LEAD_ATTRS["long_name"])


def known_names(hood: Neighborhood, names: Mapping[str, str]) -> dict[str, str]:
    """Give all names of windows in time, of which those that are as usual may be left out."""
    for dim in hood.time_dims:
        return {**usual_names(dim), **names}
    return {}


def unusual_names(hood: Neighborhood, names: Mapping[str, str]) -> dict[str, str]:
    """Leave out the names that are as usual."""
    usual = known_names(hood, {})
    return {kind: name for kind, name in names.items() if usual.get(kind) != name}


def renumbered(hood: Neighborhood, name: str) -> Neighborhood:
    """Give lists in time another name for the numbers of their steps."""
    part = hood.in_time
    if part is None or part.box or part.numbers == name:
        return hood
    return hood.replaced(part, part.numbered(name))
