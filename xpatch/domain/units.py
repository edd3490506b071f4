"""Units of lengths and of angles, and the CRS of labels that are in other units than it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

__all__ = [
    "LIKE_OWN",
    "SHORT",
    "check_degrees",
    "in_radians",
    "in_units_of_labels",
    "meters_of",
    "to_degrees",
]

LIKE_OWN = 1e-5  # relative: where a CRS is in US survey feet, labels in "ft" are in these
SHORT = "km, m, cm, mm, ft, us-ft, mi, nmi"
LENGTHS = {  # words of CF (UDUNITS) and of PROJ, as `_word` has them
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), 1000.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 0.01),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 0.001),
    **dict.fromkeys(("ft", "foot", "feet", "international foot", "international feet"), 0.3048),
    **dict.fromkeys(("us-ft", "ftus", "us survey foot", "us survey feet"), 1200 / 3937),
    **dict.fromkeys(("mi", "mile", "miles", "statute mile", "international mile"), 1609.344),
    **dict.fromkeys(("nmi", "nmile", "nautical mile", "nautical miles"), 1852.0),
}
NAMES = {
    1.0: "metre",
    1000.0: "kilometre",
    0.01: "centimetre",
    0.001: "millimetre",
    0.3048: "foot",
    1200 / 3937: "US survey foot",
    1609.344: "Statute mile",
    1852.0: "nautical mile",
}


def meters_of(unit: str) -> float | None:
    """Give how many meters a unit is; None if it is no length that is known."""
    return LENGTHS.get(_word(unit))


def _word(unit: str) -> str:
    """Write a unit as the table does; short ones as they are, because "Mm" is not "mm"."""
    words = unit.replace("_", " ").split()
    short = len("".join(words)) < 3 and unit not in ("KM", "Km")
    return " ".join(words) if short else " ".join(words).lower()


def in_units_of_labels(crs: Any, coords: xr.Dataset, roles: Mapping[Hashable, str]) -> Any:
    """Give a projected CRS with the unit of the labels: sea ice and satellite disks come in km under a CRS in m.

    Without it a place in km would be taken for one in m, next to the origin of the projection.
    """
    said = {
        str(c.attrs.get("units", ""))
        for n, c in coords.variables.items()
        if roles.get(n) in ("X", "Y")
    }
    factors = {meters_of(unit) for unit in said}
    own = next((a.unit_conversion_factor for a in crs.axis_info), None)
    factor = next(iter(factors), None)
    if not crs.is_projected or len(factors) != 1 or factor is None:
        return crs
    if own is not None and abs(factor - own) <= LIKE_OWN * own:
        return crs
    made = crs.to_json_dict()
    _rescale(made, {"type": "LinearUnit", "name": NAMES[factor], "conversion_factor": factor})
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
