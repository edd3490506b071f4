"""Fields on the cells of discrete global grids: HEALPix, H3 and other grids of xdggs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xpatch.domain.cell_areas import ON_SPHERE, RADIUS
from xpatch.domain.elements import Elements
from xpatch.domain.global_grid import KNOWN, PARAMETERS, GlobalGrid, attrs_of, info_of
from xpatch.domain.lattice import Lattice
from xpatch.domain.sites import Sites


class DGGSDomain(Elements):
    """Cells of a discrete global grid (xdggs): HEALPix, H3.

    Cells lie at their centers, on a sphere; neighbors and parents are those of the grid. Cells that the
    field does not have are no neighbors of those that it has.

    References
    ----------
    Górski, K. M., et al. (2005). HEALPix: a framework for high-resolution discretization and fast
    analysis of data distributed on the sphere. The Astrophysical Journal, 622, 759–771.

    Examples
    --------
    >>> attrs = {"grid_name": "healpix", "level": 0, "indexing_scheme": "nested"}
    >>> ids = {"cell_ids": ("cells", np.arange(12), attrs)}
    >>> field = xr.DataArray(np.zeros(12), ids, dims="cells")
    >>> field.patch.domain
    <DGGSDomain (cells: 12)>
      12 of 12 cells along cells (cell_ids): healpix level 0, nested
    >>> dict(field.patch.split(xpatch.KHopGraph(1)).sizes)
    {'patch': 12, 'cells': 7}
    """

    def _renamed_place(self, what: Any, names: Mapping[Hashable, Hashable]) -> Any:
        return names.get(what, what)

    def grid(self, dim: Hashable | None = None) -> GlobalGrid:
        """Give the cells along ``dim``.

        Raises
        ------
        ValueError
            If cell ids are no cells of the grid, or are there twice.
        ImportError
            If xdggs is not installed.
        """
        grid = self.sites(dim).cells
        assert grid is not None
        return grid

    has_areas = True

    def cell_areas(self, dim: Hashable | None = None) -> xr.Variable:
        sites = self.sites(dim)
        assert sites.cells is not None
        return xr.Variable(sites.dims, RADIUS**2 * sites.cells.areas, ON_SPHERE)

    def same_lattice(self, other: Lattice, dims: tuple[Hashable, ...]) -> str | None:
        for own in (own for own in self.places if set(own) & set(dims)):
            if isinstance(other, DGGSDomain) and own in other.places:
                mine, theirs = self.grid(own[0]), other.grid(own[0])
                if mine.info != theirs.info:
                    return f"it lies on another grid, {theirs}, not {mine}"
        return super().same_lattice(other, dims)

    def member_attrs(self, name: Hashable, ragged: bool) -> Mapping[str, Any]:
        """Let cell ids of patches say what grid they are of, and what empty slots hold.

        Floats, which else have room for what is missing, do not hold all ids of H3.
        """
        dims = self.template.variables[name].dims
        if self.places.get(dims) != name:
            return {}
        grid = self.grid(dims[0])
        attrs = attrs_of(grid.info)
        return {**attrs, "nodata": no_cell(grid.name, grid.ids.dtype)} if ragged else attrs

    def indexed(self, one: Any, dim: Hashable) -> Any:
        name = self.places.get((dim,))
        if name is None:
            return one
        variable = self.template.variables[name]
        label = f"{name}_label"
        if name == dim and label in one.coords:  # which the numbers of members made way for
            one = one.drop_vars(name).assign_coords({name: (dim, one.coords[label].values)})
            one = one.drop_vars(label)
        if name not in one.coords:
            return one
        one.coords[name].attrs = dict(variable.attrs)
        index = self.template.xindexes.get(name)
        return one if not is_dggs_index(index) else decoded(one, name, self.grid(dim).info)

    def wrap(self, merged: Any) -> Any:
        for dims, name in self.places.items():  # an index of xdggs is lost where it is renamed
            source = is_dggs_index(self.template.xindexes.get(name))
            if source and name in merged.coords and not is_dggs_index(merged.xindexes.get(name)):
                merged = decoded(merged, name, self._cells_of(dims).info)
        return merged

    def _sites(self, dims: tuple[Hashable, ...]) -> Sites:
        grid = self._cells_of(dims)
        grid.check(f"along {dims[0]!r}")
        x, y = grid.centers
        return Sites(
            dims,
            (len(x),),
            dims[0],
            x,
            y,
            True,
            adjacency=grid.adjacency,
            outlines=grid.outlines,
            cells=grid,
        )

    def _cells_of(self, dims: tuple[Hashable, ...]) -> GlobalGrid:
        name = self.places[dims]
        index, variable = self.template.xindexes.get(name), self.template.variables[name]
        if is_dggs_index(index):
            return GlobalGrid(index.grid_info, np.asarray(index.values()))  # type: ignore[union-attr]
        return GlobalGrid(info_of(variable.attrs), np.asarray(variable.values))

    def _findings(self) -> list[str]:
        found = []
        for dims, name in self.places.items():
            try:
                grid = self._cells_of(dims)
            except (ImportError, ValueError) as error:
                found.append(f"  cells along {dims[0]} ({name}): {error}")
                continue
            of = "" if grid.total is None else f" of {grid.total}"
            found.append(f"  {len(grid.ids)}{of} cells along {dims[0]} ({name}): {grid}")
        return found


def no_cell(name: str, kind: np.dtype) -> Any:
    """Give an id that no cell has: 0 of H3, of others −1 or the largest."""
    if name == "h3":
        return kind.type(0)
    return kind.type(-1) if kind.kind == "i" else np.iinfo(kind).max


def grid_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Give those attributes of cell ids that say which grid they are of, and what empty slots hold."""
    if attrs.get("grid_name") not in KNOWN:
        return {}
    return {n: attrs[n] for n in ("grid_name", *PARAMETERS, "ellipsoid", "nodata") if n in attrs}


def is_dggs_index(index: Any) -> bool:
    """Whether an index is that of xdggs, without importing it."""
    classes = type(index).__mro__
    return any(c.__name__ == "DGGSIndex" and c.__module__.split(".")[0] == "xdggs" for c in classes)


def cell_places(obj: xr.DataArray | xr.Dataset) -> dict[tuple[Hashable, ...], Hashable]:
    """Find the coordinates of cell ids: by their index, or by their attributes if they have none."""
    found: dict[tuple[Hashable, ...], Hashable] = {}
    indexed = {n for n, index in obj.xindexes.items() if is_dggs_index(index)}
    for name, coord in obj.coords.variables.items():
        told = (
            coord.ndim == 1 and coord.attrs.get("grid_name") in KNOWN and coord.dtype.kind in "iu"
        )
        if name in indexed:
            found[coord.dims] = name
        elif told and found.get(coord.dims) not in indexed:
            found.setdefault(coord.dims, name)
    return found


def areas_told(obj: Any, dim: Hashable) -> xr.Variable | None:
    """Give the areas of the cells that patches name by ids along ``dim``, 0 of empty slots.

    None if they do not, or not say of which grid.
    """
    for name, coord in obj.coords.items():
        if dim not in coord.dims or coord.dtype.kind not in "iu":
            continue
        index = obj.xindexes.get(name)
        if not is_dggs_index(index) and coord.attrs.get("grid_name") not in KNOWN:
            continue
        info = index.grid_info if is_dggs_index(index) else info_of(coord.attrs)
        slots = GlobalGrid(info, coord.values)
        there = slots.ids != coord.attrs.get("nodata", no_cell(slots.name, slots.ids.dtype))
        areas = np.zeros(coord.shape)
        areas[there] = RADIUS**2 * GlobalGrid(info, slots.ids[there]).areas
        return xr.Variable(coord.dims, areas, ON_SPHERE)
    return None


def decoded(obj: Any, name: Hashable, info: Any) -> Any:
    """Give cell ids the index of xdggs; their attributes stay, but for those of the grid."""
    import xdggs

    attrs = {
        n: v for n, v in obj.coords[name].attrs.items() if n not in (*info.to_dict(), "nodata")
    }
    out = xdggs.decode(obj, info.to_dict(), name=name)
    out.coords[name].attrs.update(attrs)
    return out


def redecoded(obj: Any) -> Any:
    """Give cell ids that a file has the index of xdggs, if it is installed and none is missing."""
    for name in cell_places(obj).values():
        coord = obj.coords[name]
        if is_dggs_index(obj.xindexes.get(name)) or bool(
            (coord == coord.attrs.get("nodata")).any()
        ):
            continue
        try:
            info = info_of(coord.attrs)
        except ImportError:
            return obj
        except ValueError:  # of scenes on several grids, of which attributes say what is common
            continue
        plain = obj.drop_indexes(name) if name in obj.xindexes else obj
        obj = decoded(plain, name, info)
    return obj
