"""What can be asked of patches by their accessor: properties that forward to the functions."""

from __future__ import annotations

from typing import Any

import xarray as xr

from xpatch.domain import Domain, GeoSlice
from xpatch.patches.operators import NotTheCoordinate


class Asked(NotTheCoordinate):
    """The properties of patches."""

    _obj: Any

    @property
    def domain(self) -> Domain:
        """What the field lies on, or the patches were cut from."""
        from xpatch.patches.properties import domain

        return domain(self._obj)

    @property
    def anchors(self) -> xr.Dataset:
        """Where patches are: the middle cell of boxes, the place of members; see `properties.anchors`."""
        from xpatch.patches.properties import anchors

        return anchors(self._obj)

    @property
    def places(self) -> xr.Dataset:
        """The places of patches with their CRS: mid-points of boxes; see `properties.places`."""
        from xpatch.patches.properties import places

        return places(self._obj)

    @property
    def weights(self) -> xr.DataArray:
        """The analysis window on each cell of each patch, 0 outside of the field and in empty slots."""
        from xpatch.patches.properties import weights

        return weights(self._obj)

    @property
    def mask(self) -> xr.DataArray:
        """Which cells of each patch lie in the field (others are padding), which slots hold a member."""
        from xpatch.patches.properties import mask

        return mask(self._obj)

    @property
    def distance(self) -> xr.DataArray:
        """Distance of each member from its anchor, NaN in empty slots; see `properties.distance`."""
        from xpatch.patches.properties import distance

        return distance(self._obj)

    @property
    def geometries(self) -> xr.DataArray:
        """The shapely geometry of each member, None in empty slots (needs shapely)."""
        from xpatch.patches.properties import geometries

        return geometries(self._obj)

    @property
    def offsets(self) -> xr.Dataset:
        """How far cells are from the anchor of their patch, in km on the sphere; see `offsets.offsets`."""
        from xpatch.patches.offsets import offsets

        return offsets(self._obj)

    @property
    def edges(self) -> xr.DataArray:
        """The pairs of neighbors within each patch, as slots (2, edge); see `edges.edges`."""
        from xpatch.patches.edges import edges

        return edges(self._obj)

    @property
    def area(self) -> xr.DataArray:
        """The area of each cell in m², 0 outside of the field and in empty slots; see `area.area`."""
        from xpatch.patches.area import area

        return area(self._obj)

    @property
    def coverage(self) -> xr.DataArray:
        """How many patches hold each cell, as patches; see `coverage.coverage`."""
        from xpatch.patches.coverage import coverage

        return coverage(self._obj)

    @property
    def spec(self) -> dict[str, Any]:
        """The specification of the split as JSON-able values; `Patcher.from_spec` rebuilds it."""
        from xpatch.patches.properties import spec

        return spec(self._obj)

    def footprints(self, to_crs: Any = None) -> Any:
        """Outlines of the patches as a GeoDataFrame in the CRS of the field (needs geopandas).

        Parameters
        ----------
        to_crs : optional
            CRS to transform them to, anything that pyproj takes; patches of scenes in several CRSs need one.

        Returns
        -------
        GeoDataFrame
            One polygon a patch, indexed by its label; of several scenes with a column ``scene``.
        """
        from xpatch.patches import outlines

        return outlines.footprints(self._obj, to_crs)

    def slices(self) -> list[GeoSlice]:
        """The patches as boxes on the ground with times, resolution and CRS; see `slices.slices`."""
        from xpatch.patches.slices import slices

        return slices(self._obj)
