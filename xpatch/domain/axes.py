"""Which dimensions and coordinates are horizontal, vertical or time; which CRS they are in."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import xarray as xr

from xpatch.domain.lonlat import corrected, plane_dims

NOT_SPATIAL = {
    "band",
    "bands",
    "channel",
    "channels",
    "member",
    "realization",
    "ensemble",
    "number",
}
CRS_ATTRS = ("crs_wkt", "spatial_ref", "grid_mapping_name", "proj4_string")


def coordinate_roles(coords: xr.Dataset, dims: Iterable[Hashable]) -> dict[Hashable, str]:
    """Give the CF role (X, Y, Z, T, longitude, latitude) of coordinates and of bare dimensions.

    CF attributes come first, common names second; the tables are those of cf-xarray.
    """
    import cf_xarray  # noqa: F401
    from cf_xarray.criteria import regex

    roles: dict[Hashable, str] = {}
    described = any(v.attrs or hasattr(v._data, "units") for v in coords.variables.values())
    for found in (coords.cf.axes, coords.cf.coordinates) if described else ():
        for role, names in found.items():
            if role in ("X", "Y", "Z", "T", "longitude", "latitude"):
                roles.update(dict.fromkeys(names, role))
    for name in [*coords.coords, *dims]:
        if name in roles or not isinstance(name, str):
            continue
        matches = (role for role, pattern in regex.items() if pattern.fullmatch(name.lower()))
        if (role := next(matches, None)) is not None:
            roles[name] = "T" if role == "time" else role
    return corrected(roles, coords) if described else roles


def spatial_dims(
    coords: xr.Dataset,
    dims: tuple[Hashable, ...],
    roles: dict[Hashable, str],
    flat: tuple[Hashable, ...] = (),
) -> tuple[Hashable, ...]:
    """Give the horizontal dimensions in the order of the field.

    ``flat`` are latitude and longitude of several dimensions. Where none is recognized they are all
    that are neither time, vertical nor bands.
    """
    if flat:
        plane = plane_dims(coords[flat[0]].dims, roles)
        return tuple(d for d in dims if d in plane)
    horizontal = {"X", "Y", "longitude", "latitude"}
    known = tuple(d for d in dims if roles.get(d) in horizontal)
    if known:
        return known
    other = {"T", "Z"}
    return tuple(d for d in dims if roles.get(d) not in other and str(d).lower() not in NOT_SPATIAL)


def grid_mapping(obj: xr.DataArray | xr.Dataset) -> Hashable | None:
    """Give the name of the coordinate that holds the CRS, as rioxarray and CF write it."""
    arrays = [obj] if isinstance(obj, xr.DataArray) else list(obj.data_vars.values())
    said = [a.encoding.get("grid_mapping", a.attrs.get("grid_mapping")) for a in arrays]
    named = [name for text in said for name in mapping_names(text, obj.dims)]
    scalars = [n for n, c in obj.coords.variables.items() if c.ndim == 0]
    for name in [*named, "spatial_ref", *scalars]:
        found = variable_of(obj, name)
        if found is not None and any(a in found.attrs for a in CRS_ATTRS):
            return name
    indexed = (n for n, i in obj.xindexes.items() if getattr(i, "crs", None) is not None)
    return next(indexed, None)


def mapping_names(text: Any, dims: Iterable[Hashable]) -> list[Hashable]:
    """Read the attribute ``grid_mapping``; of its long form ``utm: y x wgs: lat lon`` that of dims first."""
    if not isinstance(text, str) or ":" not in text:
        return [text]
    found: dict[Hashable, list[str]] = {}
    for word in text.split():
        if word.endswith(":"):
            found[word[:-1]] = []
        elif found:
            found[next(reversed(found))].append(word)
    return sorted(found, key=lambda name: not set(found[name]) & set(dims))


def variable_of(obj: xr.DataArray | xr.Dataset, name: Hashable) -> xr.DataArray | None:
    """Give a coordinate, or a data variable as which files opened without decode_coords hold it."""
    if name in obj.coords:
        return obj.coords[name]
    return obj[name] if isinstance(obj, xr.Dataset) and name in obj.data_vars else None


def crs_source(obj: xr.DataArray | xr.Dataset, mapping: Hashable | None) -> Any:
    """Give what the CRS of a field can be parsed from; None if it has none."""
    if mapping is None:
        return obj.attrs.get("crs")
    index = obj.xindexes.get(mapping)
    if getattr(index, "crs", None) is not None:
        return index.crs  # type: ignore[union-attr]
    found = variable_of(obj, mapping)
    assert found is not None
    attrs = found.attrs
    text = attrs.get("crs_wkt") or attrs.get("spatial_ref") or attrs.get("proj4_string")
    return text or dict(attrs)


def as_crs(value: Any) -> Any:
    """Turn anything that names a CRS into a `pyproj.CRS`."""
    import warnings

    crs = import_pyproj().CRS
    if isinstance(value, dict):
        try:
            return crs.from_cf(value)
        except import_pyproj().exceptions.CRSError as error:
            raise ValueError(f"the attributes of the grid mapping are no CRS: {error}") from None
    with warnings.catch_warnings():  # pyproj warns of the old "+init=" form
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return crs.from_user_input(value)
        except import_pyproj().exceptions.CRSError as error:
            raise ValueError(
                f"{value!r} is no CRS that pyproj can read; write one (field.rio.write_crs(…)), or "
                f"leave it out (del field.attrs['crs']). It says: {error}"
            ) from None


def crs_name(crs: Any) -> str:
    """Name a CRS in few words: its authority code, or else its name, or its projection."""
    authority = crs.to_authority()
    if authority:
        return ":".join(authority)
    operation = crs.coordinate_operation
    if crs.name in ("undefined", "unknown", "") and operation is not None:
        return f"unnamed {operation.method_name}"
    return str(crs.name)


def crs_names(domains: Iterable[Any]) -> list[str]:
    """Name the CRSs of domains, each once; those without one are left out.

    They are compared as text first, so that pyproj is not needed where all are the same.
    """
    raw: list[Any] = []
    for domain in domains:
        if domain._crs is not None and not any(_equal(domain._crs, other) for other in raw):
            raw.append(domain._crs)
    if len(raw) < 2:
        return [] if not raw else [str(raw[0])]
    found: list[Any] = []
    try:
        import_pyproj()
    except ImportError:  # then what is written differently is taken for different
        return [str(value)[:60] for value in raw]
    for value in raw:
        crs = as_crs(value)
        if not any(same_crs(crs, other) for other in found):
            found.append(crs)
    return [crs_name(crs) for crs in found]


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):  # whose values may be arrays
        return str(a) == str(b)
    return a is b or (type(a) is type(b) and bool(a == b))


def same_crs(a: Any, b: Any) -> bool:
    """Whether two CRSs of pyproj are the same, however they are written."""
    if a is b or a.equals(b, ignore_axis_order=True):
        return True
    authority = a.to_authority()
    return authority is not None and authority == b.to_authority()


def import_pyproj() -> Any:
    """Import pyproj, or say how to get it."""
    try:
        import pyproj
    except ImportError as error:
        raise ImportError(
            "coordinate reference systems need pyproj: pip install 'xarray-patch[raster]'"
        ) from error
    return pyproj


def import_shapely() -> Any:
    """Import shapely, or say how to get it."""
    try:
        import shapely
    except ImportError as error:
        raise ImportError(
            "points and polygons need shapely: pip install 'xarray-patch[vector]'"
        ) from error
    return shapely


def even_spacing(values: np.ndarray) -> Any:
    """Give the distance of evenly spaced values, None if they are uneven or fewer than two."""
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "iufmM":
        return None
    if values.dtype.kind in "mM":
        steps = np.diff(values)
        return steps[0] if (steps == steps[0]).all() and steps[0].astype(int) else None
    exact = values.astype(float)
    step = (exact[-1] - exact[0]) / (len(exact) - 1)
    if not np.isfinite(step) or step == 0:
        return None
    rounding = (
        4 * np.finfo(values.dtype).eps * np.abs(exact).max() if values.dtype.kind == "f" else 0
    )
    ideal = exact[0] + step * np.arange(len(exact))
    if not np.abs(exact - ideal).max() <= max(1e-3 * abs(step), rounding):  # NaN is not even
        return None
    return int(step) if values.dtype.kind in "iu" and float(step).is_integer() else step
