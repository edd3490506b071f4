"""Lengths on the ground, such as "300km", in cells and in coordinate units."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpatch.domain.units import LIKE_OWN, SHORT, check_degrees, meters_of
from xpatch.sphere import EARTH_RADIUS_KM

KM_PER_DEGREE = math.pi * EARTH_RADIUS_KM / 180
UNEVEN = 0.05  # of a step: Gaussian latitudes differ by less, the cells of a stretched grid by more
DEGREES = ("deg", "degree", "degrees", "°")
SPAN = re.compile(r"\d+(min|[sh]|D|W|MS|QS|YS)")
TEXT = re.compile(
    r"\s*([0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+)\s*([a-zA-Z°][a-zA-Z_ -]*?)\s*"
)


class Length(NamedTuple):
    """A length in km, or in degrees."""

    value: float
    degrees: bool
    text: str


def length_of(text: str, what: str) -> Length:
    """Read "300km", "500 m", "0.5 km", "5000ft", "2deg".

    Raises
    ------
    ValueError
        If it is no positive length.
    """
    found = TEXT.fullmatch(text)
    degrees = found is not None and found[2] in DEGREES
    meters = None if found is None else 1000.0 if degrees else meters_of(found[2])
    if found is None or meters is None or not 0 < float(found[1]) < math.inf:
        raise ValueError(
            f"{what} in text is a positive length with its unit, '300km', '500m' or '2deg', got {text!r}; units are "
            f"{SHORT} and deg, cells are an int, coordinate units a float, and {_in_time(text, what)}"
        )
    return Length(float(found[1]) * meters / 1000, degrees, text)


def _in_time(text: str, what: str) -> str:
    """Say what a duration may have meant."""
    if what.startswith("the step"):
        return f"strides in time RegularTimeStride({text if SPAN.fullmatch(text) else '5D'!r})"
    return "windows in time FixedLookback('30D')"


def size_of(size: Any, what: str) -> Any:
    """Read a size, or a stride, that may be text."""
    return length_of(size, what) if isinstance(size, str) else size


def in_degrees(domain: Any, dim: Hashable) -> bool:
    """Whether labels are longitudes or latitudes in degrees, of the Earth or of a rotated pole.

    Raises
    ------
    ValueError
        If they are in radians.
    """
    role = domain.roles.get(dim)
    if domain.coordinate(dim) is None or role not in ("longitude", "latitude", "X", "Y"):
        return False
    attrs = domain.template.coords[dim].attrs if dim in domain.template.coords else {}
    if role in ("longitude", "latitude"):
        check_degrees(domain, [dim])
        return True
    known = str(attrs.get("standard_name", "")) in ("grid_longitude", "grid_latitude")
    return known or (domain.crs is not None and bool(domain.crs.is_geographic))


def is_longitude(domain: Any, dim: Hashable) -> bool:
    """Whether cells along ``dim`` are the narrower the nearer to a pole."""
    return in_degrees(domain, dim) and domain.roles.get(dim) in ("longitude", "X")


def goes_with_latitude(domain: Any, dim: Hashable, size: Any) -> bool:
    """Whether a size along ``dim`` is another number of cells in each row: km of longitude."""
    return isinstance(size, Length) and not size.degrees and is_longitude(domain, dim)


def units_per(domain: Any, dim: Hashable, length: Length, what: str) -> float:
    """Give a length in the units of the labels of ``dim``; in degrees it is that along a meridian.

    Raises
    ------
    ValueError
        If nothing says what these are.
    """
    if in_degrees(domain, dim):
        return length.value if length.degrees else length.value / KM_PER_DEGREE
    if length.degrees:
        raise ValueError(
            f"{what} of {length.text!r} along {dim!r} is in degrees, and {dim!r} is not; use km, 'm' or a float "
            "in units of the coordinate"
        )
    return length.value / km_per_unit(domain, dim, length, what)


def km_per_unit(domain: Any, dim: Hashable, length: Length, what: str) -> float:
    """Give how many km one unit of the labels of ``dim`` is, by the CRS or by their attributes."""
    straight = domain.roles.get(dim) in ("X", "Y") and not domain.curved
    crs = domain.crs if straight else None
    said = km_said(domain.template.coords, dim, crs)
    if said is not None:
        return said
    if crs is not None:
        return km_of_crs(crs)
    mend = (
        "the cells of a curvilinear grid lie in no straight boxes: lists of those in a box around each are "
        "Rectangular(lat='300km', lon='300km'), in a circle SphericalCap(150); or give an int, in cells"
        if domain.curvilinear
        else f"name the dimensions lat and lon, write a CRS (field.rio.write_crs(…)) or the attribute "
        f"units='m' of {dim!r}, or give an int, in cells"
    )
    raise ValueError(
        f"{what} of {length.text!r} along {dim!r} needs to know how long a cell is, and nothing says it: {mend}"
    )


def km_said(coords: Any, name: Hashable, crs: Any = None) -> float | None:
    """Give how many km one unit of a coordinate is by its attributes; None if they do not say.

    Raises
    ------
    ValueError
        If they say a unit that is neither known nor that of the CRS.
    """
    unit = str(coords[name].attrs.get("units", "")) if name in coords else ""
    meters = meters_of(unit)
    if not unit or (crs is not None and unit.lower() == crs.axis_info[0].unit_name.lower()):
        return None
    if meters is None:
        raise ValueError(
            f"labels along {name!r} are in {unit!r}, which is no length that is known: {SHORT}; convert them, and set "
            "attrs['units'] = 'm', or give the size as a float, in units of the coordinate"
        )
    own = None if crs is None else km_of_crs(crs)
    return meters / 1000 if own is None or abs(meters / 1000 - own) > LIKE_OWN * own else own


def km_of_crs(crs: Any) -> float:
    """Give how many km one unit of a projected CRS is."""
    return float(crs.axis_info[0].unit_conversion_factor) / 1000


def step_of(domain: Any, dim: Hashable, what: str) -> float:
    """Give the distance of labels along ``dim``; Gaussian latitudes are taken as even.

    Raises
    ------
    ValueError
        If they are uneven, or there are none.
    """
    values, step = domain.coordinate(dim), domain.spacing(dim)
    if step is None and domain.rotated is not None and dim in domain.rotated:
        return float(domain.side(dim))
    if step is None and values is not None and len(values) > 1 and values.dtype.kind in "iuf":
        steps = np.diff(values.astype(float))
        mean = float(steps.mean())
        if mean and np.abs(steps - mean).max() <= UNEVEN * abs(mean):
            step = mean
    if step is None or isinstance(step, np.timedelta64):
        raise ValueError(
            f"{what} along {dim!r} is a length, but {dim!r} has no evenly spaced numeric coordinate; give an "
            "int, in cells"
        )
    return abs(float(step))


def length_in_cells(domain: Any, dim: Hashable, length: Length, what: str) -> int:
    """Give the nearest number of cells of a length along ``dim``.

    Raises
    ------
    ValueError
        If it is less than half a cell.
    """
    units = units_per(domain, dim, length, what)
    step = step_of(domain, dim, what)
    cells = round(units / step)
    if cells < 1:
        raise ValueError(
            f"{what} of {length.text!r} along {dim!r} is less than half a cell, which is {step:g} of its units; "
            "use a larger one"
        )
    return cells


def cells_of(domain: Any, dim: Hashable, size: Any, what: str) -> int:
    """Turn a size into cells: a length on the ground, an int (cells) or a float (coordinate units)."""
    if isinstance(size, Length):
        return length_in_cells(domain, dim, size, what)
    cells: int = domain.cells(dim, size, what)
    return cells


def cells_per_km(domain: Any, dim: Hashable, lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give how many cells of longitude one km is at some latitudes; at the poles without bound."""
    cos = np.cos(np.deg2rad(np.minimum(np.abs(lat), 90.0)))
    step = step_of(domain, dim, "a size in km")
    return np.asarray(1 / (KM_PER_DEGREE * step * np.maximum(cos, 1e-12)))
