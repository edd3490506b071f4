"""What a GeoTIFF holds of a field: bands of one dtype, and where they lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xpatch.domain import Lattice, domain_of
from xpatch.domain import affine as af
from xpatch.domain import axes as ax
from xpatch.domain import places as pl
from xpatch.domain.cells import evenly
from xpatch.domain.nodata import NAMES
from xpatch.patches.index import splits_of
from xpatch.run.packing import Packing, named, packed

__all__ = ["Bands", "bands_of"]

MOST = 65535  # bands of a TIFF
MERGE = "merge them first, patches.patch.merge(), or write one, patches.patch[i].rio.to_raster(…)"


@dataclasses.dataclass(frozen=True, eq=False)
class Bands:
    """What is written.

    Parameters
    ----------
    parts : tuple of (int, Variable)
        The number of the first band of each variable, and the variable, (y, x) or (band, y, x).
    names, units : tuple of str
        Of each band.
    packing : Packing
        How values become numbers.
    crs : pyproj.CRS, optional
        The CRS.
    affine : Affine, optional
        Where cells are.
    tags : mapping
        Attributes as text.
    options : mapping
        Creation options of GDAL's COG driver.
    """

    parts: tuple[tuple[int, xr.Variable], ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    packing: Packing
    crs: Any
    affine: af.Affine | None
    tags: Mapping[str, str]
    options: Mapping[str, Any]

    @property
    def dtype(self) -> np.dtype:
        return self.packing.dtype

    @property
    def nodata(self) -> Any:
        return self.packing.fill

    @property
    def height(self) -> int:
        return self.parts[0][1].shape[-2]

    @property
    def width(self) -> int:
        return self.parts[0][1].shape[-1]


def bands_of(obj: Any, encoding: Mapping[Hashable, Mapping[str, Any]]) -> Bands:
    """Give what is written of a field.

    Raises
    ------
    TypeError, ValueError
        If a raster cannot hold it.
    """
    domain = _raster(obj)
    arrays = _variables(obj)
    y, x = _plane(arrays, domain)
    parts: list[tuple[int, xr.Variable]] = []
    names: list[str] = []
    units: list[str] = []
    number = 0
    for array in arrays:
        own = _ordered(array, y, x)
        many = own.dims[0] if own.ndim == 3 else None
        parts.append((number, own.variable))
        names += [named(array.name)] if many is None else _labels(own, many)
        number += 1 if many is None else own.sizes[many]
        units += [str(array.attrs.get("units", ""))] * (number - len(units))
    if number > MOST:
        raise ValueError(f"a GeoTIFF holds at most {MOST} bands, and this field has {number}")
    packing, options = packed(arrays, encoding)
    crs, affine = pl.crs_of_field(domain), _affine(domain, y, x)
    crs = None if crs is None else ax.as_crs(crs)
    tags = _tags(obj)
    return Bands(tuple(parts), tuple(names), tuple(units), packing, crs, affine, tags, options)


def _raster(obj: Any) -> Lattice:
    """Give the domain of a field that is a raster."""
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        raise TypeError(f"write takes a DataArray or a Dataset, got {type(obj).__name__}")
    splits = splits_of(obj)
    if splits:
        raise TypeError(
            f"these are patches along {splits[-1]!r}, which are no raster; {MERGE}; patches are stored in zarr"
        )
    domain = domain_of(obj)
    if domain.element_dims:
        raise TypeError(
            f"a GeoTIFF holds rasters, and this field lies on elements along {list(domain.element_dims)}; write "
            "it to zarr, or put it on a grid first"
        )
    if pl.curved(domain):
        raise ValueError(
            f"a GeoTIFF has rows and columns that are straight, and this grid is curvilinear, with the positions "
            f"{list(domain.curvilinear)}; put it on a straight grid first, or write it to zarr"
        )
    return domain


def _variables(obj: Any) -> list[xr.DataArray]:
    """Give the arrays that become bands: that of a DataArray, those of a Dataset."""
    if isinstance(obj, xr.DataArray):
        return [obj]
    arrays = [a for a in obj.data_vars.values() if a.ndim]
    if not arrays:
        raise ValueError("the Dataset has no variable to write")
    dims = {frozenset(a.dims): a.name for a in arrays}
    if len(dims) > 1 or (len(arrays) > 1 and arrays[0].ndim > 2):
        sizes = {str(a.name): a.dims for a in arrays}
        raise ValueError(
            f"variables of a Dataset become the bands of a GeoTIFF if all are (y, x), got {sizes}; write them one by "
            f"one: xpatch.write(field[{arrays[0].name!r}], …)"
        )
    return arrays


def _plane(arrays: list[xr.DataArray], domain: Lattice) -> tuple[Hashable, Hashable]:
    """Give the dimensions of rows and columns."""
    dims = arrays[0].dims
    found = af.raster_dims(domain) or domain.spatial_dims
    if len(dims) == 2 and not set(found) - set(dims):
        found = tuple(found) if len(found) == 2 else dims
    if len(found) != 2 or set(found) - set(dims):
        raise ValueError(
            f"a GeoTIFF has rows and columns, and nothing says which of the dimensions {list(dims)} they are; call "
            "them y and x: field.rename({…: 'y', …: 'x'})"
        )
    rest = [d for d in dims if d not in found]
    if len(rest) > 1:
        some = ", ".join(f"{d}=0" for d in rest[1:])
        raise ValueError(
            f"a GeoTIFF has one dimension of bands, and this field has {rest} beside {list(found)}; select one of "
            f"the others: field.isel({some})"
        )
    if 0 in arrays[0].shape:
        raise ValueError(f"there are no cells to write: the sizes are {dict(arrays[0].sizes)}")
    return found


def _ordered(array: xr.DataArray, y: Hashable, x: Hashable) -> xr.DataArray:
    return array.transpose(..., y, x)


def _labels(array: xr.DataArray, dim: Hashable) -> list[str]:
    """Give the descriptions of bands: their labels, the long names that readers give, or nothing."""
    n = array.sizes[dim]
    names = array.attrs.get("long_name")
    if isinstance(names, list | tuple) and len(names) == n:
        return [str(v) for v in names]
    if dim not in array.coords or array.coords[dim].dims != (dim,):
        return [named(array.name)] * n
    values = array.coords[dim].values
    if values.dtype.kind == "M":
        values = np.datetime_as_string(values, unit="auto")
    return [str(v) for v in values]


def _affine(domain: Lattice, y: Hashable, x: Hashable) -> af.Affine | None:
    """Give where cells are; None of a raster that says nothing about it."""
    told = domain.affine or af.read(domain.transform)
    if told is not None and af.raster_dims(domain) == (y, x):
        return told
    if domain.coordinate(y) is None and domain.coordinate(x) is None:
        return None
    found = {}
    for dim in (y, x):
        even = evenly(domain, dim)
        if even is None:
            raise ValueError(
                f"cells of a GeoTIFF have one size, and the labels along {dim!r} are not evenly spaced; put the field "
                f"on even ones first, such as field.interp({dim}=np.linspace(…)), or write it to zarr"
            )
        found[dim] = even
    (f, e), (c, a) = found[y], found[x]
    return a, 0.0, c, 0.0, e, f


def _tags(obj: Any) -> dict[str, str]:
    """Give plain attributes as text; those with a place of their own, and lists, are left out."""
    skip = {*NAMES, "scale_factor", "add_offset", "units", "grid_mapping", "transform"}
    return {
        str(k): str(v)
        for k, v in obj.attrs.items()
        if k not in skip and isinstance(v, str | int | float | np.number) and str(v)
    }
