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
        """What the field lies on, or the patches were cut from.

        Returns
        -------
        Domain
            `RasterDomain`, `GridDomain`, `PointDomain`, `VectorDomain` or `MeshDomain`, without values.

        Examples
        --------
        >>> field = xr.DataArray(np.zeros((4, 6)), {"lat": np.arange(4), "lon": np.arange(6)})
        >>> field.patch.domain.spatial_dims
        ('lat', 'lon')
        """
        from xpatch.patches.properties import domain

        return domain(self._obj)

    @property
    def anchors(self) -> xr.Dataset:
        """Where patches are: the middle cell of boxes, the place of members.

        Returns
        -------
        Dataset
            Variables ``y``, ``x`` … (patch): labels, or positions where there are none; coordinates
            ``cell_y``, ``cell_x`` … (patch) are the positions. Of windows in time also the times of
            their anchors. Of patches in space and time coordinates ``place`` and ``window`` (patch)
            number the places and the windows.

        Examples
        --------
        >>> field = xr.DataArray(np.zeros(8), {"x": 10.0 * np.arange(8)})
        >>> field.patch.split(geometry={"x": 4}).patch.anchors.x.values
        array([20., 60.])
        """
        from xpatch.patches.properties import anchors

        return anchors(self._obj)

    @property
    def places(self) -> xr.Dataset:
        """The places of patches with their CRS, for `Explicit` on any other field.

        The place of a box is its mid-point, between two cells where its size is even, and on a
        curvilinear grid the mean on the sphere of its middle cells; that of a list of members where it
        is anchored. Of windows in time it is the time of the anchor.

        Returns
        -------
        Dataset
            Variables ``lon`` and ``lat``, or those of the dimensions (patch), and where the CRS is
            known a coordinate ``spatial_ref`` without dimensions that rioxarray reads.

        Examples
        --------
        >>> field = xr.DataArray(np.zeros(8), {"x": np.arange(8.0)})
        >>> field.patch.split(geometry={"x": 4}).patch.places.x.values
        array([1.5, 5.5])
        """
        from xpatch.patches.properties import places

        return places(self._obj)

    @property
    def weights(self) -> xr.DataArray:
        """The analysis window on each cell of each patch, 0 outside of the field and in empty slots.

        Returns
        -------
        DataArray
            Floats (patch, in-patch dims), by which `split` multiplied the patches and merge divides.

        Examples
        --------
        >>> field = xr.DataArray(np.zeros(8), dims="x")
        >>> field.patch.split(geometry={"x": 4}, window="hann").patch.weights.values[0].round(
        ...     2
        ... )
        array([0.15, 0.85, 0.85, 0.15])
        """
        from xpatch.patches.properties import weights

        return weights(self._obj)

    @property
    def mask(self) -> xr.DataArray:
        """Which cells of each patch lie in the field (others are padding), which slots hold a member.

        Returns
        -------
        DataArray
            Booleans (patch, in-patch dims).

        Examples
        --------
        >>> field = xr.DataArray(np.zeros(5), dims="x")
        >>> geometry = xpatch.Rectangular(x=3, boundary="pad")
        >>> field.patch.split(geometry=geometry).patch.mask.sum("x").values
        array([3, 2])
        """
        from xpatch.patches.properties import mask

        return mask(self._obj)

    @property
    def distance(self) -> xr.DataArray:
        """Distance of each member from its anchor, NaN in empty slots.

        Returns
        -------
        DataArray
            Floats (patch, dimension of the members): km by great circles on longitude and latitude,
            steps for `KHopGraph`, units of the CRS otherwise.

        Examples
        --------
        >>> place = {"lon": ("id", [0, 1, 5]), "lat": ("id", [0, 0, 0])}
        >>> stations = xr.DataArray(np.zeros(3), place, dims="id")
        >>> near = stations.patch.split(geometry=xpatch.KNNGraph(2))
        >>> near.patch.distance.values.round()
        array([[  0., 111.],
               [  0., 111.],
               [  0., 445.]])
        """
        from xpatch.patches.properties import distance

        return distance(self._obj)

    @property
    def geometries(self) -> xr.DataArray:
        """The shapely geometry of each member, None in empty slots (needs shapely).

        Returns
        -------
        DataArray
            Objects (patch, dimension of the members): points, polygons, or faces of a mesh.

        Examples
        --------
        >>> place = {"lon": ("id", [0, 1, 5]), "lat": ("id", [0, 0, 0])}
        >>> stations = xr.DataArray(np.zeros(3), place, dims="id")
        >>> near = stations.patch.split(geometry=xpatch.KNNGraph(2))
        >>> near.patch.geometries.values[2, 1]
        <POINT (1 0)>
        """
        from xpatch.patches.properties import geometries

        return geometries(self._obj)

    @property
    def offsets(self) -> xr.Dataset:
        """How far cells are from the anchor of their patch: east and north in km, or along each dimension.

        Returns
        -------
        Dataset
            On the sphere ``east`` and ``north`` in km, of which `numpy.hypot` is the great-circle
            distance; otherwise ``d_y``, ``d_x`` … in units of the labels, or in cells where there are
            none. Dimensions (patch, …) of the cells that differ in them; NaN in empty slots.

        Raises
        ------
        ValueError
            If patches that were read from a file do not know where their members are.

        Examples
        --------
        >>> field = xr.DataArray(np.zeros(8), {"x": 10.0 * np.arange(8)})
        >>> field.patch.split(geometry={"x": 4}).patch.offsets.d_x.values[0]
        array([-20., -10.,   0.,  10.])
        """
        from xpatch.patches.offsets import offsets

        return offsets(self._obj)

    @property
    def edges(self) -> xr.DataArray:
        """The pairs of cells that are neighbors within each patch.

        Faces, nodes or edges of a mesh are neighbors as in `KHopGraph`; cells of a lattice along each
        dimension that was cut in space, around the seam of a global longitude as well; scattered
        elements as the geometry has it: an element and the members of its own neighborhood.

        Returns
        -------
        DataArray
            Slots (2, edge) of cells flattened in the order of the in-patch dimensions, both ways for
            each pair of a symmetric graph, sorted; and a coordinate ``patch`` (edge), the position of
            their patch. With ``width`` slots a patch, ``edges + edges["patch"] * width`` is the
            ``edge_index`` of torch-geometric.

        Raises
        ------
        ValueError
            If nothing says who is a neighbor, as among points in polygons.

        Examples
        --------
        >>> field = xr.DataArray(np.zeros((2, 4)), dims=("y", "x"))
        >>> patches = field.patch.split(geometry={"y": 2, "x": 2})
        >>> patches.patch.edges.isel(edge=slice(4)).values
        array([[0, 0, 1, 1],
               [1, 2, 0, 3]])
        """
        from xpatch.patches.edges import edges

        return edges(self._obj)

    @property
    def area(self) -> xr.DataArray:
        """The area of each cell in m², for means that weigh by it.

        Cells of patches outside of the field, and empty slots, have none: 0. On the sphere of radius
        6371.0088 km, where cells lie in longitude and latitude: between meridians and parallels, as CF
        bounds say, else midway between labels; on curvilinear grids and meshes polygons of great
        circles. In a projection the area there. xarray leaves the bounds of a Dataset behind where a
        variable is taken out of it: ask the Dataset, or its patches.

        Returns
        -------
        DataArray
            Of a field with its horizontal dimensions, of patches (patch, in-patch dims of these). On
            dask if the patches are. No data are read.

        Raises
        ------
        ValueError
            If cells have no area, such as stations, or nothing says how large they are.

        Examples
        --------
        >>> lat, lon = [-67.5, -22.5, 22.5, 67.5], np.arange(0, 360, 45)
        >>> field = xr.DataArray(np.ones((4, 8)), {"lat": lat, "lon": lon}, ("lat", "lon"))
        >>> patches = field.patch.split(geometry={"lat": 2, "lon": 4})
        >>> patches.weighted(patches.patch.area).mean(("lat", "lon")).values
        array([1., 1., 1., 1.])
        """
        from xpatch.patches.area import area

        return area(self._obj)

    @property
    def coverage(self) -> xr.DataArray:
        """How many of these patches hold each cell, itself included.

        ``weights=1 / patches.patch.coverage`` lets each cell of the field count once.

        Returns
        -------
        DataArray
            Integers (patch, in-patch dims that were cut), or floats with NaN for cells outside of the
            field and empty slots.

        Raises
        ------
        ValueError
            If these are patches of several scales.

        Examples
        --------
        >>> field = xr.DataArray(np.zeros(6), dims="x")
        >>> patches = field.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
        >>> patches.patch.coverage.values
        array([[1, 1, 2, 2],
               [2, 2, 1, 1]])
        """
        from xpatch.patches.coverage import coverage

        return coverage(self._obj)

    @property
    def spec(self) -> dict[str, Any]:
        """The specification of the split as JSON-able values; `Patcher.from_spec` rebuilds it.

        Returns
        -------
        dict
            Geometry, sampler with explicit anchors, window and aggregation; it has no dimensions.

        Examples
        --------
        >>> field = xr.DataArray(np.zeros(6), dims="x")
        >>> spec = field.patch.split(geometry={"x": 4}).patch.spec
        >>> xpatch.Patcher.from_spec(spec).geometry
        Rectangular(x=4)
        """
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

        Examples
        --------
        >>> field = xr.DataArray(np.zeros((4, 6)), {"y": np.arange(4), "x": np.arange(6)})
        >>> field.patch.split(geometry={"y": 4, "x": 3}).patch.footprints().area.tolist()
        [12.0, 12.0]
        """
        from xpatch.patches import outlines

        return outlines.footprints(self._obj, to_crs)

    def slices(self) -> list[GeoSlice]:
        """The patches as boxes on the ground: outer edges, times, resolution and CRS.

        Returns
        -------
        list of GeoSlice
            One a patch, in order. Bounds are the outer edges of the cells that there are, half a cell
            beyond their centers: without what was cropped, with padding, and across the seam of a
            periodic longitude they go on (350 to 370). The interval is None without times, one time is
            that instant, evenly spaced ones end one step after the last. `Explicit` takes the list.

        Raises
        ------
        ValueError
            If patches are no boxes along x and y: lists of members, rotated or curvilinear rasters,
            windows in time alone; if labels are not evenly spaced, or times are of a calendar that is
            not that of UTC.

        Examples
        --------
        >>> axis = np.arange(4) + 0.5
        >>> field = xr.DataArray(np.zeros((4, 4)), {"y": axis[::-1], "x": axis})
        >>> field.patch.split(geometry={"y": 2, "x": 4}).patch.slices()[0]
        GeoSlice((0.0, 2.0, 4.0, 4.0), resolution=1.0)
        """
        from xpatch.patches.slices import slices

        return slices(self._obj)
