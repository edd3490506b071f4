"""Units of lengths and of angles, and the CRS of labels that are in other units than it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["LENGTHS", "check_degrees", "in_radians", "in_units_of_labels", "to_degrees"]

LENGTHS = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), 1000.0),
}
NAMES = {1.0: "metre", 1000.0: "kilometre"}


def in_units_of_labels(crs: Any, coords: xr.Dataset, roles: Mapping[Hashable, str]) -> Any:
    """Give a projected CRS with the unit of the labels: sea ice and satellite disks come in km under a CRS in m.

    Without it a place in km would be taken for one in m, next to the origin of the projection.
    """
    said = {
        str(c.attrs.get("units", "")).lower()
        for n, c in coords.variables.items()
        if roles.get(n) in ("X", "Y")
    }
    factors = {LENGTHS.get(unit) for unit in said}
    own = next((a.unit_conversion_factor for a in crs.axis_info), None)
    if not crs.is_projected or len(factors) != 1 or factors <= {None, own}:
        return crs
    factor = next(f for f in factors if f is not None)
    made = crs.to_json_dict()
    made.pop("id", None)
    unit = {"type": "LinearUnit", "name": NAMES[factor], "conversion_factor": factor}
    for axis in made["coordinate_system"]["axis"]:
        axis["unit"] = unit
    made["name"] = f"{made['name']} in {NAMES[factor]}"
    return type(crs).from_json_dict(made)


def in_radians(coord: Any) -> bool:
    """Whether a coordinate says that it is in radians, as those of ICON and MPAS."""
    return str(coord.attrs.get("units", "")).lower() in ("rad", "radian", "radians")


def to_degrees(coord: Any, units: Any = None) -> Any:
    """Give a longitude or a latitude, or the bounds of ``units``, in degrees."""
    if not in_radians(coord if units is None else units):
        return coord
    return coord.copy(data=np.rad2deg(coord.data.astype(float)))


def check_degrees(domain: Any, dims: Iterable[Hashable]) -> None:
    """Raise a ValueError if the labels of rows or columns are in radians.

    They are the labels of dimensions, by which patches are found again, so that what is asked in degrees or in
    km does not quietly go by others.
    """
    for d in dims:
        coords = domain.template.coords
        if d in coords and in_radians(coords[d]):
            raise ValueError(
                f"labels along {d!r} are in {coords[d].attrs['units']}, and places on Earth are in degrees: "
                f"field.assign_coords({{{d!r}: np.rad2deg(field[{d!r}]).assign_attrs(units='degrees')}})"
            )
