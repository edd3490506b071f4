"""The grid mapping of patches: what they leave of it, and what merge and files put back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray import Variable

from xpatch.domain import Lattice
from xpatch.domain import affine as af
from xpatch.domain import axes as ax

__all__ = ["labeled", "mapping_read", "mapping_written", "with_mapping", "without_transform"]


def in_space(domain: Lattice, dims: tuple[Hashable, ...]) -> bool:
    """Whether patches cut along ``dims`` lie elsewhere than their field."""
    return domain.mapping is not None and bool({*domain.spatial_dims} & {*dims})


def without_transform(
    variables: Mapping[Any, Variable], domain: Lattice, dims: tuple[Hashable, ...]
) -> dict[Any, Variable]:
    """Leave the transform of the field out of what patches take from it: it is not theirs."""
    out = dict(variables)
    if not in_space(domain, dims):
        return out
    assert domain.mapping is not None
    for name, variable in variables.items():
        held = name == domain.mapping.name and af.TRANSFORM in variable.attrs
        key = af.TRANSFORM if held else "transform"
        if held or af.is_transform(variable.attrs.get(key)):
            attrs = {k: v for k, v in variable.attrs.items() if k != key}
            out[name] = variable._replace(attrs=attrs)
    return out


def labeled(obj: Any, domain: Lattice, dims: tuple[Hashable, ...]) -> Any:
    """Give a raster without labels those of its affine, if patches along ``dims`` need them."""
    made = domain.made_labels if in_space(domain, dims) else {}
    return obj.assign_coords({d: (d, values) for d, values in made.items()}) if made else obj


def with_mapping(
    merged: xr.Dataset, domain: Lattice, scale: Mapping[Hashable, int], patches: Any
) -> xr.Dataset:
    """Give what was merged from patches its grid mapping, with the transform of its cells.

    A Dataset may hold it as a data variable.
    """
    mapping = domain.mapping
    if mapping is None:
        return merged
    name = mapping.name
    held = merged.variables.get(name)
    if held is not None and held.ndim:
        return merged
    attrs = dict((mapping if held is None else held).attrs)
    given = attrs.pop(af.TRANSFORM, mapping.transform)
    affine = af.read(domain.transform)
    if affine is not None and given is not None:
        attrs[af.TRANSFORM] = _refined(domain, affine, scale)
    if held is not None and held.attrs == attrs:
        return merged
    variable = Variable((), 0) if held is None else held.to_base_variable()
    variable = variable._replace(attrs=attrs)
    own = name in merged.data_vars or (held is None and name in domain.orders)
    if own and isinstance(patches, xr.Dataset):
        return merged.assign({name: variable})
    source = merged if held is not None else domain.template
    indexes = {name: source.xindexes[name]} if name in source.xindexes else {}
    return merged.assign_coords(xr.Coordinates({name: variable}, indexes=indexes))


def _refined(domain: Lattice, affine: af.Affine, scale: Mapping[Hashable, int]) -> str | None:
    rows, columns = (scale.get(d, 1) for d in af.raster_dims(domain) or (None, None))
    if rows == columns == 1:
        return domain.transform
    return af.written(af.finer(affine, rows, columns))


def mapping_written(domain: Lattice) -> dict[str, Any]:
    """Write the grid mapping as JSON-able values, for the recipe."""
    mapping = domain.mapping
    if mapping is None:
        return {}
    attrs = {str(k): _plain(v) for k, v in mapping.attrs.items() if _is_plain(_plain(v))}
    if domain._crs is not None and not any(a in attrs for a in ax.CRS_ATTRS):
        attrs |= {"crs_wkt": domain.crs.to_wkt()}  # which an index knew
    return {"mapping": {"name": str(mapping.name), "attrs": attrs}, "transform": domain.transform}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return list(map(_plain, value)) if isinstance(value, list | tuple) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float)


def mapping_read(recipe: Mapping[str, Any]) -> af.GridMapping | None:
    """Read the grid mapping from a recipe; None if none was written, or it is damaged."""
    found = recipe.get("mapping")
    if not isinstance(found, Mapping) or not isinstance(found.get("attrs"), Mapping):
        return None
    name, text = found.get("name"), recipe.get("transform")
    dims = {d for part in recipe.get("parts") or [recipe] for d in part["dims"]}
    if not isinstance(name, str) or name in dims:
        return None
    return af.GridMapping(name, dict(found["attrs"]), None if text is None else str(text))


def crs_of(mapping: af.GridMapping | None) -> Any:
    """Give what the CRS of a grid mapping can be parsed from; None if it holds none."""
    attrs = {} if mapping is None else mapping.attrs
    if not any(a in attrs for a in ax.CRS_ATTRS):
        return None
    text = attrs.get("crs_wkt") or attrs.get("spatial_ref") or attrs.get("proj4_string")
    return text or dict(attrs)
