"""Units of lengths, and the CRS of labels that are in other units than it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import xarray as xr

__all__ = ["LENGTHS", "in_units_of_labels"]

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
    _rescale(made, {"type": "LinearUnit", "name": NAMES[factor], "conversion_factor": factor})
    return type(crs).from_json_dict(made)


def _rescale(crs: dict[str, Any], unit: dict[str, Any]) -> None:
    """Write another unit of both horizontal axes into a CRS; of a bound or compound one into what it is made of."""
    crs.pop("id", None)
    inner = [crs["source_crs"]] if "source_crs" in crs else crs.get("components", [])[:1]
    for part in inner:
        _rescale(part, unit)
    if "name" in crs:
        crs["name"] = f"{crs['name']} in {unit['name']}"
    axes = crs["coordinate_system"]["axis"] if not inner else []
    for axis in axes[:2]:  # the third is a height, whose labels are others
        axis["unit"] = unit
