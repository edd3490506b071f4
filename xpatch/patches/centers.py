"""Where elements are whose field has no coordinates that say so, such as the faces of a mesh."""

from __future__ import annotations

from collections.abc import Container, Hashable
from typing import Any

from xarray import Variable

from xpatch.patches.plan import Plan

__all__ = ["center_variables", "is_center"]

SAID = "of the center of the element"  # by which merge knows them: the field has none
ROLES = {"lat": ("latitude", "degrees_north"), "lon": ("longitude", "degrees_east")}


def center_variables(plan: Plan, taken: Container[Hashable]) -> dict[Hashable, Variable]:
    """Give latitude and longitude of the elements that lists choose from, where the field has none.

    They are called lat and lon; where these names are taken latitude and longitude, or lat_n_face and lon_n_face.
    """
    found: dict[Hashable, Variable] = {}
    own = plan.domain.element_dims  # samples of ragged arrays have none
    for part in (p for p in plan.lists if not p.timed and p.dims[0] in own):
        at = plan.domain.centers(part.dims[0])
        pairs = [*ROLES], [role for role, _ in ROLES.values()], [f"{n}_{part.dim}" for n in ROLES]
        names = next((p for p in pairs if not any(n in taken or n in found for n in p)), ())
        for name, values, (role, units) in zip(names, at, ROLES.values(), strict=False):
            attrs = {"standard_name": role, "long_name": f"{role} {SAID}", "units": units}
            found[name] = Variable(part.dims, values, attrs)
    return found


def is_center(coord: Any) -> bool:
    """Whether a coordinate was made of the places of elements, and is none of the field."""
    return str(coord.attrs.get("long_name", "")).endswith(SAID)
