"""What is asked of the cells of a discrete global grid (xdggs): centers, areas, neighbors, parents, outlines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere

PARAMETERS = ("level", "resolution", "order", "depth", "nside", "indexing_scheme", "nest")
KNOWN = ("healpix", "h3")  # grids that are known by the attributes of cell ids alone
MOST, FEWEST = 64, 2  # points along an edge of HEALPix, of the coarsest cells and of the finest
AT_POLE = 1e-9  # degrees
NEEDED = "cells of a discrete global grid need xdggs: pip install 'xarray-patch[dggs]'"

Ids = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class GlobalGrid:
    """Some cells of a discrete global grid.

    Parameters
    ----------
    info : xdggs.DGGSInfo
        Which grid it is, of which level.
    ids : integer array (cell,)
        Their numbers in the grid.
    """

    info: Any
    ids: Ids

    @property
    def name(self) -> str:
        """The name of the grid, as xdggs has it."""
        return str(self.info.to_dict().get("grid_name", type(self.info).__name__))

    @property
    def level(self) -> int | None:
        """The level of all cells; None where each has its own."""
        level = self.info.level
        return None if level is None else int(level)

    @property
    def scheme(self) -> str | None:
        """How cells are numbered, where there are several ways."""
        return getattr(self.info, "indexing_scheme", None)

    @property
    def total(self) -> int | None:
        """The number of cells on the whole globe; None where it is not known."""
        if self.level is None or self.name not in KNOWN:
            return None
        return 12 * 4**self.level if self.name == "healpix" else 2 + 120 * 7**self.level

    def __str__(self) -> str:
        scheme = "" if self.scheme is None else f", {self.scheme}"
        return f"{self.name} level {self.level}{scheme}"

    # ------------------------------------------------------------------------------ places

    @cached_property
    def centers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude of the centers in degrees."""
        lon, lat = self.info.cell_ids2geographic(self.ids)
        return np.array(lon, float), np.array(lat, float)

    def at(self, lon: Any, lat: Any) -> Ids:
        """Give the numbers of the cells that hold some places, whether they are among these or not."""
        found = self.info.geographic2cell_ids(
            lon=np.asarray(lon, float), lat=np.asarray(lat, float)
        )
        return np.asarray(found).astype(self.ids.dtype)

    def find(self, lon: Any, lat: Any) -> NDArray[np.int64]:
        """Give which of these cells hold some places, −1 where none does."""
        return self._positions(self.at(lon, lat))

    def _positions(self, ids: Ids) -> NDArray[np.int64]:
        """Give where cells stand among these, −1 of others."""
        order = np.argsort(self.ids, kind="stable")
        ranked = self.ids[order]
        where = np.minimum(np.searchsorted(ranked, ids), len(ranked) - 1)
        return np.where(ranked[where] == ids, order[where], -1)

    def outlines(self, which: NDArray[Any]) -> NDArray[Any]:
        """Give the polygons of cells, whose longitudes go on past the dateline; one at a pole reaches it."""
        import shapely

        if self.name == "healpix":
            return self._curved_outlines(which)
        shapes = np.array(self.info.cell_boundaries(self.ids[which]), dtype=object)
        points, owner = shapely.get_coordinates(shapes, return_index=True)
        middle = self.centers[0][which][owner]
        points[:, 0] -= 360 * np.round((points[:, 0] - middle) / 360)
        shapes = shapely.set_coordinates(shapes, points)
        for k in np.flatnonzero(_torn(shapes)):
            shapes[k] = _around_pole(shapes[k])
        return shapes

    def _curved_outlines(self, which: NDArray[Any]) -> NDArray[Any]:
        """Give the outlines of cells of HEALPix, whose edges are curves: the coarser, the more points.

        Corners at a pole are two, on both meridians that lead there.
        """
        import healpix_geo
        import shapely

        level = {} if self.level is None else {"depth": self.level}
        on = getattr(self.info, "_format_ellipsoid", lambda: "sphere")()
        step = max(FEWEST, MOST >> (self.level or 0))
        vertices = getattr(healpix_geo, str(self.scheme)).vertices
        lon, lat = vertices(self.ids[which].astype("u8"), ellipsoid=on, step=step, **level)
        middle = self.centers[0][which][:, None]
        lon, lat = (np.reshape(v, (len(middle), 4 * step)) for v in (lon, lat))
        lon = lon - 360 * np.round((lon - middle) / 360)
        sides = np.stack([lon, lon], axis=-1)
        polar = np.abs(lat) > 90 - AT_POLE
        sides[polar] = np.stack([np.roll(lon, 1, axis=1), np.roll(lon, -1, axis=1)], -1)[polar]
        kept = np.stack([np.ones_like(polar), polar], axis=-1)
        points = np.stack([sides, np.broadcast_to(lat[..., None], sides.shape)], -1)
        owner = np.nonzero(kept)[0]
        return np.asarray(shapely.polygons(shapely.linearrings(points[kept], indices=owner)))

    @property
    def areas(self) -> NDArray[np.float64]:
        """Areas on the unit sphere: of HEALPix equal shares of it, else within the outlines.

        References
        ----------
        Górski, K. M., et al. (2005). HEALPix: a framework for high-resolution discretization and fast
        analysis of data distributed on the sphere. The Astrophysical Journal, 622, 759–771.
        """
        if self.name == "healpix":
            return np.pi / 3 / 4.0 ** np.broadcast_to(self._levels, len(self.ids))
        if self.name == "h3":
            import h3ronpy

            return np.asarray(h3ronpy.cells_area_rads2(self.ids.astype("u8")), float)
        import shapely

        shapes = np.array(self.info.cell_boundaries(self.ids), dtype=object)
        points, owner = shapely.get_coordinates(shapes, return_index=True)
        count = np.bincount(owner, minlength=len(shapes))
        slots = np.arange(count.max(initial=0))
        first = np.cumsum(count) - count
        nodes = first[:, None] + np.where(slots < count[:, None], slots, 0)
        return sphere.excess(sphere.unit_vectors(*points.T)[nodes])

    @property
    def _levels(self) -> Any:
        """The level of all cells of HEALPix, or of each."""
        if self.level is not None:
            return self.level
        import healpix_geo

        return healpix_geo.zuniq.to_nested(self.ids.astype("u8"))[1].astype(int)

    # ------------------------------------------------------------------------------ checks

    def check(self, where: str) -> None:
        """Raise a ValueError unless each cell is one of the grid and there once."""
        wrong = np.flatnonzero(~self._exist())
        if len(wrong):
            k = int(wrong[0])
            raise ValueError(
                f"{len(wrong)} of the {len(self.ids)} cell ids {where} are no cells of {self}, the first at "
                f"position {k} is {self.ids[k]}; leave them out, or say which grid they are of: "
                "field.drop_indexes(…).dggs.decode({'grid_name': …, 'level': …})"
            )
        values, counts = np.unique(self.ids, return_counts=True)
        if len(values) < len(self.ids):
            twice = values[counts > 1]
            raise ValueError(
                f"the cell ids {where} have {len(twice)} cells more than once, the first is {twice[0]}; keep one "
                "of each: field.drop_duplicates(…), or a mean, field.groupby('cell_ids').mean()"
            )

    def _exist(self) -> NDArray[np.bool_]:
        """Say which ids are cells of the grid at its level."""
        if self.name == "healpix" and self.total is not None:
            return (self.ids >= 0) & (self.ids < self.total)
        if self.name == "h3":
            import h3ronpy

            ids = self.ids.astype("u8")
            out = np.array(list(h3ronpy.cells_valid(ids, booleanarray=True).to_pylist()), bool)
            out[out] = np.asarray(h3ronpy.cells_resolution(ids[out])) == self.level
            return out
        return np.ones(len(self.ids), bool)

    # --------------------------------------------------------------------------- neighbors

    def adjacency(self) -> Any:
        """Give the sparse matrix of neighbors: cells of HEALPix with a common corner, of H3 a common side.

        Raises
        ------
        ValueError
            If the grid does not say which cells are neighbors.
        """
        from scipy.sparse import coo_matrix

        around = AROUND.get((self.name, self.scheme))
        if around is None:
            raise ValueError(
                f"nothing says which cells of {self} are neighbors; take one level, "
                "nested or ring, or go by distance: KNNGraph, RadiusGraph"
            )
        cells, others = around(self.ids, self.level)
        where = self._positions(others)
        there = (where >= 0) & (where != cells)
        pairs = cells[there], where[there]
        n = len(self.ids)
        out = coo_matrix((np.ones(len(pairs[0]), np.int8), pairs), shape=(n, n)).tocsr()
        out.data[:] = 1  # two cells of HEALPix level 0 may meet at two corners
        return out

    # ----------------------------------------------------------------------------- parents

    def coarser(self, level: int) -> GlobalGrid:
        """Give the grid at a lower level, with the parents of the cells, each once in ascending order.

        Raises
        ------
        ValueError
            If the level is higher, or the grid has no levels.
        """
        parents = np.unique(self.parents(level))
        return GlobalGrid(dataclasses.replace(self.info, level=level), parents)

    def parents(self, level: int) -> Ids:
        """Give the parent of each cell at a lower level; at the same level itself."""
        own = self.level
        if own is None or level > own:
            finest = "cells of several levels" if own is None else f"cells of level {own}"
            raise ValueError(
                f"Parents(level={level}) asks for parents of level {level}, but the field has {finest}; "
                "parents have a lower level"
                + ("" if own is None else f": Parents({max(own - 1, 0)})")
            )
        if level == own:
            return self.ids
        if self.scheme == "ring":
            import healpix_geo as hg

            nested = hg.ring.to_nested(self.ids.astype("u8"), own)
            found = hg.nested.to_ring(hg.nested.zoom_to(nested, own, level), level)
        else:
            found = self.info.zoom_to(self.ids.astype("u8"), level)
        return np.asarray(found).astype(self.ids.dtype)


Pairs = tuple[NDArray[np.int64], Ids]


def _around_healpix(scheme: str) -> Callable[[Ids, Any], Pairs]:
    def around(ids: Ids, level: Any) -> Pairs:
        import healpix_geo

        module = getattr(healpix_geo, scheme)
        table = np.asarray(module.kth_neighbourhood(ids.astype("u8"), level, 1)).astype("i8")
        there = table >= 0
        cells = np.repeat(np.arange(len(ids)), there.sum(axis=1))
        return cells, table[there].astype(ids.dtype)

    return around


def _around_h3(ids: Ids, level: Any) -> Pairs:
    import h3ronpy
    from arro3.core import list_flatten, list_offsets

    disks = h3ronpy.grid_disk(ids.astype("u8"), 1)
    counts = np.diff(np.asarray(list_offsets(disks)))
    return np.repeat(np.arange(len(ids)), counts), np.asarray(list_flatten(disks)).astype(ids.dtype)


AROUND: Mapping[tuple[str, str | None], Callable[[Ids, Any], Pairs]] = {
    ("healpix", "nested"): _around_healpix("nested"),
    ("healpix", "ring"): _around_healpix("ring"),
    ("h3", None): _around_h3,
}


def info_of(attrs: Mapping[Any, Any]) -> Any:
    """Give what xdggs knows of a grid by the attributes of cell ids.

    Raises
    ------
    ImportError
        If xdggs is not installed.
    ValueError
        If they do not say which grid it is.
    """
    try:
        import xdggs
    except ImportError as error:
        raise ImportError(NEEDED) from error
    known = {n: _plain(attrs[n]) for n in PARAMETERS if n in attrs}
    if "ellipsoid" in attrs:
        shape = attrs["ellipsoid"]
        named = not isinstance(shape, str) or not shape.startswith("{")
        known["ellipsoid"] = shape if named else json.loads(shape)
    kinds = {"healpix": xdggs.HealpixInfo, "h3": xdggs.H3Info}
    try:
        return kinds[attrs["grid_name"]].from_dict(known)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the attributes of the cell ids say grid_name={attrs['grid_name']!r} and {known}, which is no grid of "
            f"xdggs ({error}); give them all: {{'grid_name': 'healpix', 'level': 3, 'indexing_scheme': 'nested'}}"
        ) from None


def attrs_of(info: Any) -> dict[str, Any]:
    """Give the attributes that say of cell ids which grid they are of, as any file can hold them."""
    found = {n: v for n, v in info.to_dict().items() if v is not None}
    return {n: json.dumps(v) if isinstance(v, dict) else v for n, v in found.items()}


def _plain(value: Any) -> Any:
    """Give Python's own number or text in place of NumPy's, which files have."""
    return value.item() if isinstance(value, np.generic) else value


def _torn(shapes: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which outlines leap by more than half a turn: they go around a pole."""
    import shapely

    points, owner = shapely.get_coordinates(shapes, return_index=True)
    leap = (np.abs(np.diff(points[:, 0])) > 180) & (owner[1:] == owner[:-1])
    return np.asarray(np.bincount(owner[1:], leap, minlength=len(shapes)) > 0)


def _around_pole(shape: Any) -> Any:
    """Give an outline around a pole as a strip up to the pole, one turn long."""
    import shapely

    points = shapely.get_coordinates(shape)
    x = np.unwrap(points[:, 0], period=360)
    if abs(x[-1] - x[0]) < 180:  # which leaps and comes back
        return shapely.polygons(np.stack([x, points[:, 1]], axis=-1))
    pole = 90.0 if points[:, 1].mean() > 0 else -90.0
    ends = [(x[-1], pole), (x[0], pole)]
    return shapely.polygons([*zip(x, points[:, 1], strict=True), *ends])
