"""Latitude and longitude that lie on several dimensions, or that a file keeps as data variables."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch import sphere

Dims = tuple[Hashable, ...]
KINDS = {"latitude": "Y", "longitude": "X"}
GRID = {"grid_latitude": "Y", "grid_longitude": "X"}  # of rotated poles: no places on Earth
UNITS = {
    f"{unit}{end}": role
    for unit in ("degree", "degrees")
    for role, ends in {
        "latitude": ("_north", "_n", "n", " north", " latitude"),
        "longitude": ("_east", "_e", "e", " east", " longitude"),
    }.items()
    for end in ends
}
UNTRUE = re.compile(r"\b(fake|dummy|computational)\b", re.IGNORECASE)
PARTS = re.compile(r"lon(g(itude)?)?|lat(itude)?", re.IGNORECASE)


FARTHEST = {"longitude": 720.0, "latitude": 90.0}  # longitudes of tracks may go around twice


def off_earth(lon: NDArray[Any], lat: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which degrees are no place on Earth, such as the fill values of files; missing ones are not."""
    x, y = (
        v > most + 1e-9
        for v, most in zip((np.abs(lon), np.abs(lat)), FARTHEST.values(), strict=True)
    )
    return np.asarray(x | y)


def said_off_earth(lon: NDArray[Any], lat: NDArray[Any], where: str) -> str:
    """Say which value is no longitude or latitude, and what it may be instead."""
    for (name, most), values in zip(FARTHEST.items(), (lon, lat), strict=True):
        worst = float(values[np.nanargmax(np.abs(values))]) if np.isfinite(values).any() else 0.0
        if abs(worst) <= most + 1e-9:
            continue
        said = f"a {name} of {worst:g}{where} is outside of ±{most:g} degrees"
        if abs(worst) <= 360:
            return f"{said}; are longitude and latitude swapped, or are the coordinates projected (write a CRS)?"
        turns = "; tracks that go around more often are longitude % 360" * (name == "longitude")
        return (
            f"{said}: a fill value stands for a place that is missing, and is masked by xr.decode_cf(field), if "
            f"_FillValue in its attributes says so, or by {name}.where(abs({name}) <= {most:g}){turns}; projected "
            "coordinates need a CRS"
        )
    return f"a place{where} is infinitely far away"


def untrue(attrs: Mapping[str, Any]) -> bool:
    """Whether a coordinate says of itself that it is no longitude or latitude of a place."""
    said = (attrs.get(n) for n in ("long_name", "description"))
    return any(isinstance(text, str) and UNTRUE.search(text) is not None for text in said)


def said_role(attrs: Mapping[str, Any]) -> str | None:
    """Give latitude or longitude, or the X or Y of a rotated grid, where attributes say so."""
    standard = str(attrs.get("standard_name", "")).lower()
    if standard in GRID:
        return GRID[standard]
    role = standard if standard in KINDS else UNITS.get(str(attrs.get("units", "")).lower())
    if role is None and str(attrs.get("long_name", "")).lower() in KINDS:
        role = str(attrs["long_name"]).lower()
    return KINDS[role] if role is not None and untrue(attrs) else role


def corrected(roles: Mapping[Hashable, str], coords: xr.Dataset) -> dict[Hashable, str]:
    """Give roles with what the tables of cf-xarray do not know."""
    out = dict(roles)
    for name, variable in coords.variables.items():
        if not (attrs := variable.attrs):
            continue
        said = said_role(attrs)
        if said is not None:
            out[name] = said
        elif untrue(attrs) and out.get(name) in KINDS:
            out[name] = KINDS[out[name]]
    return out


def bounds_name(coord: Any) -> Hashable | None:
    """Give the name of the bounds of a coordinate; files may have been opened so that it is encoding."""
    if coord is None:
        return None
    name: Hashable | None = coord.attrs.get("bounds", coord.encoding.get("bounds"))
    return name


def bounds_in(domain: Any, name: Hashable) -> xr.Variable | None:
    """Give the bounds of a coordinate of a domain, if its field has them."""
    bounds = bounds_name(domain.located.coords.get(name))
    found = (
        None
        if bounds is None
        else domain.template.variables.get(bounds, domain.borders.get(bounds))
    )
    return None if found is None else found.to_base_variable()


def held_bounds(obj: xr.Dataset) -> dict[Hashable, xr.Variable]:
    """Find the bounds of positions that a Dataset keeps as data variables."""
    named = (bounds_name(c) for c in obj.variables.values() if c.dtype.kind in "iuf")
    return {n: obj[n].variable for n in named if n in obj.data_vars}


def bounds_of(variables: Mapping[Any, xr.Variable]) -> set[Hashable]:
    """Give the names of what holds the borders of cells."""
    said = map(bounds_name, variables.values())
    by_name = (n for n in variables if re.search("bnds|bounds|vertices|vertex", str(n).lower()))
    return {*said, *by_name}


def matched_pair(
    latitudes: Mapping[Hashable, Dims], longitudes: Mapping[Hashable, Dims], orders: Iterable[Dims]
) -> tuple[Hashable, ...]:
    """Choose the latitude and the longitude on which most variables lie; empty if none match.

    Of several on the same dimensions those with names alike, such as XLAT_M and XLONG_M.
    """
    each = [set(order) for order in orders]
    found = []
    for lat, dims in latitudes.items():
        for lon, others in longitudes.items():
            if set(dims) == set(others):
                alike = PARTS.sub("", str(lat)) == PARTS.sub("", str(lon))
                on = sum(set(dims) <= order for order in each)
                found.append(((-on, not alike), (lat, lon)))
    return min(found, key=lambda pair: pair[0])[1] if found else ()


def flat_pair(
    coords: xr.Dataset, roles: Mapping[Hashable, str], orders: Iterable[Dims]
) -> tuple[Hashable, ...]:
    """Give the names of latitude and longitude of several dimensions, if the field has them."""
    named: dict[str, dict[Hashable, Dims]] = {role: {} for role in KINDS}
    several = {n: v for n, v in coords.variables.items() if v.ndim > 1}
    borders = bounds_of(coords.variables) if several else set()
    for name, variable in several.items():
        if roles.get(name) in KINDS and name not in borders:
            named[roles[name]][name] = variable.dims
    return matched_pair(named["latitude"], named["longitude"], orders)


def plane_dims(dims: Dims, roles: Mapping[Hashable, str]) -> Dims:
    """Give the two dimensions of rows and columns, among those of latitude and longitude."""
    told = tuple(d for d in dims if roles.get(d) in ("X", "Y", "longitude", "latitude"))
    return told if len(told) == 2 else tuple(d for d in dims if roles.get(d) != "T")[-2:]


def distinct(
    lat: xr.DataArray, lon: xr.DataArray, plane: Dims
) -> tuple[xr.DataArray, xr.DataArray]:
    """Leave out the dimensions along which positions do not change, such as time."""
    lon = lon.transpose(*lat.dims)
    for dim in [d for d in lat.dims if d not in plane]:
        if all(steady(c.variable, dim) for c in (lat, lon)):
            lat, lon = lat.isel({dim: 0}, drop=True), lon.isel({dim: 0}, drop=True)
    return lat, lon


def steady(variable: xr.Variable, dim: Hashable) -> bool:
    """Whether values do not change along a dimension: its first, middle and last step are compared."""
    n = variable.sizes[dim]
    some = variable.isel({dim: sorted({0, n // 2, n - 1})}) if n else variable
    values = some.transpose(dim, ...).to_numpy()
    return n > 0 and all(np.array_equal(values[0], v, equal_nan=True) for v in values[1:])


def held_positions(
    obj: xr.DataArray | xr.Dataset, roles: Mapping[Hashable, str]
) -> dict[Hashable, xr.Variable]:
    """Find latitude and longitude among the data variables of a Dataset without other positions.

    By ``standard_name`` or units, or because ``coordinates`` of another variable names them; never
    borders of cells, and nothing on which no other variable lies.
    """
    if not isinstance(obj, xr.Dataset) or _has_positions(obj, roles):
        return {}
    variables = {n: a.variable for n, a in obj.data_vars.items()}
    named = _named_as_coordinates(variables)
    borders = bounds_of({n: obj[n].variable for n in obj.variables})
    found: dict[str, dict[Hashable, Dims]] = {role: {} for role in KINDS}
    for name, v in variables.items():
        role = said_role(v.attrs)
        if role is None and name in named:
            role = _role_by_name(name)
        if role in KINDS and v.ndim and v.dtype.kind in "iuf" and name not in borders:
            found[role][name] = v.dims
    both = {*found["latitude"], *found["longitude"]}
    orders = [v.dims for n, v in variables.items() if n not in both]
    on = [set(order) for order in orders]
    kept = {
        role: {n: dims for n, dims in own.items() if any(set(dims) <= order for order in on)}
        for role, own in found.items()
    }
    pair = matched_pair(kept["latitude"], kept["longitude"], orders)
    return {n: variables[n] for n in pair}


def _has_positions(obj: xr.Dataset, roles: Mapping[Hashable, str]) -> bool:
    horizontal = {"X", "Y", *KINDS}
    coords = (c for n, c in obj.coords.items() if roles.get(n) in horizontal)
    return any(c.ndim and not untrue(c.attrs) for c in coords)


def _named_as_coordinates(variables: Mapping[Any, xr.Variable]) -> set[str]:
    """Give the names that variables, by their attribute ``coordinates``, say are their coordinates."""
    said = (v.attrs.get("coordinates", v.encoding.get("coordinates")) for v in variables.values())
    return {name for text in said if isinstance(text, str) for name in text.split()}


def _role_by_name(name: Hashable) -> str | None:
    words = {"lat": "latitude", "xlat": "latitude", "lon": "longitude", "xlong": "longitude"}
    first = re.split(r"[^a-z]", str(name).lower().removeprefix("nav_"))[0]
    return first if first in KINDS else words.get(first)


def off_by(
    lon: xr.Variable, lat: xr.Variable, x: NDArray, y: NDArray, to_lonlat: Any
) -> tuple[float, float]:
    """Say how far positions are at most from where labels and CRS put them, and how far cells are apart.

    Both in km, of the first, middle and last rows and columns; no others are read. ``lon`` and ``lat``
    have the dims (y, x).
    """
    rows, columns = (np.unique([0, len(a) // 2, len(a) - 1]) for a in (y, x))
    j, i = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
    there = to_lonlat(x[i], y[j])
    some = dict(zip(lon.dims, (rows, columns), strict=True))
    said = [np.asarray(v.isel(some).values, float).ravel() for v in (lon, lat)]
    far = sphere.haversine(there[0], there[1], said[0], said[1])
    far = far[np.isfinite(far)]
    apart = [np.inf]
    for n, moved in ((len(x), (0, 1)), (len(y), (1, 0))):
        if n > 1:
            dj, di = (
                np.where(k + d < len(a), d, -d)
                for k, d, a in zip((j, i), moved, (y, x), strict=True)
            )
            next_x, next_y = to_lonlat(x[i + di], y[j + dj])
            size = sphere.haversine(there[0], there[1], next_x, next_y)
            apart.append(float(np.min(size[np.isfinite(size)], initial=np.inf)))
    return float(far.max(initial=0)), min(apart)


def projected_axes(sizes: Mapping[Hashable, int], coords: Any, roles: Mapping) -> bool:
    """Whether the field has projection x and y axes rather than longitude and latitude."""
    axes = {roles.get(d) for d in sizes if d in coords}
    if not {"X", "Y"} <= axes:
        return False
    if any(untrue(coords[d].attrs) for d in sizes if d in coords):
        return False
    standard = [str(coords[d].attrs.get("standard_name", "")) for d in sizes if d in coords]
    return not any(s.startswith(("grid_l", "lat", "lon")) for s in standard)
