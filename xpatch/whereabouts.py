"""The places of patches: points in continuous coordinates, with their CRS."""

from __future__ import annotations

from typing import Any

import xarray as xr

from xpatch.domain.places import DEGREES
from xpatch.restoring import provenance, with_part


def places(obj: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Give the place of each patch, and the CRS of all.

    The place of a box is its mid-point, between two cells where its size is even, and on a curvilinear
    grid the mean on the sphere of its middle cells; that of a list of members where it is anchored. Of
    windows in time it is the time of the anchor.

    Returns
    -------
    Dataset
        Variables of shape (patch,) by dimension (``lon`` and ``lat``, or ``x`` and ``y``, of lists and of
        curvilinear grids), and where the CRS is known a coordinate ``spatial_ref`` that rioxarray reads.
        `Explicit` takes it for any other field.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(8), {"x": np.arange(8.0)})
    >>> field.patch.split(geometry={"x": 4}).patch.places.x.values
    array([1.5, 5.5])
    """
    source = with_part(obj, provenance(obj, None))
    plan = source.plans[0].part(source.crop)
    found = plan.points(source.ordinals)
    attrs = {n: dict(c.attrs) for n, c in plan.domain.template.coords.items()}
    data = {n: (source.dim, c, attrs.get(n, {})) for n, c in found.columns.items()}
    coords: dict[Any, Any] = {source.dim: source.ordinals}
    if found.ids is not None:
        coords["anchor"] = (source.dim, found.ids)
    elif "anchor" in obj.coords and obj.coords["anchor"].dims == (source.dim,):  # of a file
        coords["anchor"] = obj.coords["anchor"].variable
    if found.crs is not None and found.pair is not None:
        coords["spatial_ref"] = ((), 0, crs_attrs(found.crs))
    return xr.Dataset(data, coords)


def crs_attrs(crs: Any) -> dict[str, Any]:
    """Give the attributes by which rioxarray and CF know a CRS."""
    from xpatch.domain.axes import as_crs

    if crs == DEGREES:
        try:
            crs = as_crs(crs)
        except ImportError:
            return {"grid_mapping_name": "latitude_longitude"}
    wkt = crs.to_wkt()
    return {"crs_wkt": wkt, "spatial_ref": wkt}
