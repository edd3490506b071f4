"""Lattices: rasters, latitude-longitude and curvilinear grids, any other labeled array."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch.domain import affine as af
from xpatch.domain.base import Domain
from xpatch.domain.cell_areas import lattice_areas, measured
from xpatch.domain.dates import continued, counted, values_of
from xpatch.domain.lonlat import distinct, projected_axes
from xpatch.domain.positions import along
from xpatch.domain.sites import Sites, labels_fit, lattice_sites
from xpatch.domain.units import to_degrees

MOST_CELLS = 1e18  # larger lengths are taken for infinite


class Lattice(Domain):
    """A field whose cells are an outer product of its dimensions."""

    def coordinate(self, dim: Hashable) -> NDArray | None:
        """Give the labels of ``dim``; None if it has none, or only a MultiIndex.

        Rows and columns of a raster without labels are where its affine puts them, unless it is rotated.
        """
        values = self._labels.get(dim)
        if values is None:
            if dim not in self.template.variables:
                return self.made_labels.get(dim)
            variable = self.template.variables[dim]
            if variable.dims != (dim,):  # which has the name alone in common
                return None
            values = self._labels[dim] = values_of(variable)
        return None if values.dtype == object and isinstance(values.flat[0], tuple) else values

    @cached_property
    def made_labels(self) -> dict[Hashable, NDArray]:
        """Labels of rows and columns that the field lacks, by its affine; none of a rotated one."""
        dims = None if self.affine is None else af.raster_dims(self)
        if self.affine is None or dims is None or not af.is_straight(self.affine):
            return {}
        rows, columns = (np.arange(self.sizes[d]) for d in dims)
        x, _ = af.centers(self.affine, 0, columns)
        _, y = af.centers(self.affine, rows, 0)
        return dict(zip(dims, (y, x), strict=True))

    @property
    def rotated(self) -> tuple[Hashable, Hashable] | None:
        """The dimensions of rows and columns of a raster that only an affine says the place of."""
        skew = self.affine is not None and not af.is_straight(self.affine)
        return af.raster_dims(self) if skew else None

    def xy_at(self, rows: Any, columns: Any) -> tuple[NDArray, NDArray]:
        """Give x and y by the affine: whole numbers are centers of cells, others between them."""
        assert self.affine is not None
        return af.centers(self.affine, rows, columns)

    def rows_and_columns(self, x: Any, y: Any) -> tuple[NDArray, NDArray]:
        """Give the row and the column of places by the affine, whole numbers at centers of cells."""
        assert self.affine is not None
        return af.positions(self.affine, x, y)

    @cached_property
    def _labels(self) -> dict[Hashable, NDArray]:
        return {}

    @cached_property
    def counted(self) -> dict[Hashable, NDArray[np.int64]]:
        """Dates of cftime that were counted, in microseconds since the year 1: it takes long."""
        return {}

    def _counts(self, dim: Hashable, dates: NDArray) -> NDArray[np.int64]:
        if dim not in self.counted:
            self.counted[dim] = counted(dates, dates[0].calendar)
        return self.counted[dim]

    def spacing(self, dim: Hashable) -> Any:
        """Give the distance of labels along ``dim``; None where they are uneven or missing."""
        values = self.coordinate(dim)
        if values is None:
            return None if self.above is None else self.above.steps.get(dim)
        return ax.even_spacing(values)

    def cells(self, dim: Hashable, value: Any, what: str) -> int:
        """Turn a length along ``dim`` into cells: ints are cells, floats coordinate units.

        Raises
        ------
        TypeError
            If it is neither an int nor a float.
        ValueError
            If it is not positive, or a float where labels are not evenly spaced.
        """
        if isinstance(value, bool | np.bool_) or not isinstance(
            value, int | float | np.integer | np.floating
        ):
            raise TypeError(
                f"{what} along {dim!r} must be an int (cells) or a float (coordinate units), "
                f"got {value!r}"
            )
        if not value > 0:
            raise ValueError(f"{what} along {dim!r} must be positive, got {value!r}")
        if not value < MOST_CELLS:
            raise ValueError(
                f"{what} along {dim!r} must be finite, got {value!r}; the whole dimension is "
                f"{self.sizes[dim]} cells, and dimensions that are not named are carried whole"
            )
        if isinstance(value, int | np.integer):
            return int(value)
        step = self.spacing(dim)
        if step is None and self.rotated is not None and dim in self.rotated:
            step = self.side(dim)
        if step is None or isinstance(step, np.timedelta64):
            near = self.roles.get(dim) in ("longitude", "latitude") and dim in self.template.coords
            degrees = f", or '{value:g}deg' if steps are nearly even" if near else ""
            raise ValueError(
                f"{what} along {dim!r} is the float {value!r}, a length in coordinate units, but "
                f"{dim!r} has no evenly spaced numeric coordinate; give an int, in cells{degrees}"
            )
        cells = round(float(value) / abs(float(step)))
        if cells < 1:
            raise ValueError(
                f"{what} of {value!r} along {dim!r} is less than one cell of {abs(step):g}; "
                "give at least the spacing"
            )
        return cells

    def side(self, dim: Hashable) -> float:
        """Give the length of the side of a cell of a rotated raster along ``dim``."""
        assert self.affine is not None
        assert self.rotated is not None
        a, b, _, d, e, _ = self.affine
        return float(np.hypot(b, e) if dim == self.rotated[0] else np.hypot(a, d))

    def nearest(self, dim: Hashable, labels: Any, beyond: bool = False) -> NDArray[np.int64]:
        """Find the cells nearest to ``labels`` along ``dim``.

        Longitudes are also looked for one turn further east or west. With ``beyond``, cells past
        the edge of an evenly spaced dimension are allowed.

        Raises
        ------
        ValueError
            If the dimension has no strictly monotonic labels, or a label lies more than half a
            cell outside of them.
        """
        found = along(self, dim, labels, beyond)
        if found.outside.any():
            raise ValueError(outside_message(self, dim, np.atleast_1d(labels)[found.outside][0]))
        return np.ceil(found.positions[:, 0] - 0.5 - found.tolerance).astype(np.int64)

    @cached_property
    def trees(self) -> dict[Any, Any]:
        """Search trees of the mid-points of boxes on a curvilinear grid."""
        return {}

    def labels_at(self, dim: Hashable, cells: NDArray, wrap: bool) -> NDArray | None:
        """Give labels at any positions; past the edge they go on evenly, or are missing."""
        values = self.coordinate(dim)
        if values is None:
            return None
        n = len(values)
        inside = (cells >= 0) & (cells < n)
        if inside.all():
            return values[cells]
        if not wrap and values.dtype == object and hasattr(values[0], "calendar"):
            return continued(values, self._counts(dim, values), cells)
        step = self.spacing(dim)
        clipped = np.clip(cells, 0, n - 1)
        out = values[cells % n] if wrap else values[clipped]
        if step is not None:
            beyond = (cells // n) * n if wrap else cells - clipped
            if values.dtype.kind in "iu":
                return _integers_at(out, beyond, step)
            return (out + beyond * step).astype(out.dtype, copy=False)
        if values.dtype.kind in "mM":
            out[~inside] = np.array("NaT", values.dtype)
            return out
        if values.dtype.kind in "iufb":
            return np.where(inside, out, np.nan)
        if values.dtype.kind not in "US":
            out = out.astype(object)
        out[~inside] = "" if isinstance(values.flat[0], str) else out.dtype.type()
        return out

    @cached_property
    def latlon(self) -> tuple[Any, Any]:
        """Latitude and longitude of several dimensions in degrees, without those along which they do not change."""
        lat, lon = (to_degrees(self.located.coords[n]) for n in self.curvilinear)
        return distinct(lat, lon, self.spatial_dims)

    @cached_property
    def curved(self) -> bool:
        """Whether a place on Earth is looked for among positions of several dimensions.

        Otherwise among the labels of rows and columns: those are longitude and latitude, or in a
        CRS that puts cells where the positions of several dimensions are, if there are some.
        """
        return bool(self.curvilinear) and not labels_fit(self)

    @property
    def geographic(self) -> bool:
        return super().geographic or self.curved

    def sites(self, dim: Hashable | None = None) -> Sites:
        """Give the cells, or the elements along ``dim``, with their positions."""
        if dim is not None and dim not in self._cells.dims:
            raise ValueError(
                f"the field has no elements along {dim!r}; its cells lie along {list(self._cells.dims)}"
            )
        return self._cells

    @cached_property
    def _cells(self) -> Sites:
        return lattice_sites(self)

    @property
    def has_areas(self) -> bool:
        """Whether cells have areas on Earth, as far as names and the CRS tell."""
        return measured(self)

    def cell_areas(self, dim: Hashable | None = None) -> xr.Variable:
        """Give the area of each cell, or of the elements along ``dim``, in m², with spatial dimensions.

        Raises
        ------
        ValueError
            If cells have no area, or nothing says how large they are.
        """
        return lattice_areas(self)

    def centers(self, dim: Hashable) -> tuple[NDArray[np.float64], ...]:
        """Give latitude and longitude of elements of which no coordinate of the field says them: none."""
        return ()

    @property
    def element_dims(self) -> tuple[Hashable, ...]:
        """Dimensions whose entries have no order in space: none."""
        return ()

    def member_attrs(self, name: Hashable, ragged: bool) -> Mapping[str, Any]:
        """Give attributes that a coordinate of elements needs on patches, beside its own: none."""
        return {}

    def indexed(self, one: Any, dim: Hashable) -> Any:
        """Give a single patch of elements along ``dim`` the indexes that only they have: none."""
        return one

    def wrap(self, merged: Any) -> Any:
        """Give a merged field the type that the source had."""
        return merged

    def same_lattice(self, other: Lattice, dims: tuple[Hashable, ...]) -> str | None:
        """Say in what the lattices differ along ``dims``; None if they are the same."""
        for dim in dims:
            if dim not in other.sizes:
                return f"it has no dimension {dim!r}"
            if self.sizes[dim] != other.sizes[dim]:
                return f"it has {other.sizes[dim]} cells along {dim!r}, not {self.sizes[dim]}"
            mine, theirs = self.coordinate(dim), other.coordinate(dim)
            if (mine is None) != (theirs is None):
                return f"only one of them has labels along {dim!r}"
            if mine is not None and theirs is not None and not np.array_equal(mine, theirs):
                return f"its labels along {dim!r} differ"
        if self.rotated and set(dims) & set(self.rotated) and self.affine != other.affine:
            return "its affine differs"
        if set(dims) & set(self.spatial_dims) and self.in_other_crs(other):
            return f"it is in another CRS, {' and '.join(ax.crs_names([self, other]))}"
        if set(dims) & set(self.spatial_dims):
            for name, called in zip(self.curvilinear, other.curvilinear, strict=False):
                given = other.located.coords[called].variable
                if not given.equals(self.located.coords[name].variable):
                    return f"its {called!r} differs"
        return None

    def in_other_crs(self, other: Lattice) -> bool:
        """Whether both have a CRS, and not the same one."""
        known = self._crs is not None and other._crs is not None
        return known and len(ax.crs_names([self, other])) > 1

    def _findings(self) -> list[str]:
        found = super()._findings()
        for dim in self.spatial_dims:
            values = self.coordinate(dim)
            if values is None:
                by = ", placed by its affine" if self.affine is not None else ""
                found.append(f"  {dim}: no labels{by}")
                continue
            step = self.spacing(dim)
            how = ", uneven" if step is None else f", step {_show(step)}"
            how = how if values.dtype.kind in "iufmM" else ""
            found.append(f"  {dim}: {_show(values[0])} to {_show(values[-1])}{how}")
        if self.curvilinear:
            found.append(f"  curvilinear: {', '.join(map(str, self.curvilinear))}{self._where()}")
        return found

    def _crs_line(self) -> str:
        try:
            name = "none" if self.crs is None else (ax.crs_name(self.crs))
        except ImportError:
            name = "not parsed (needs pyproj)"
        if self.crs is None and isinstance(self._crs, dict):
            name = f"none ({self._crs.get('grid_mapping_name')} is not known)"
        return f"  crs: {name if len(name) < 60 else name[:57] + '...'}"

    def _where(self) -> str:
        """Say what is special of positions of several dimensions."""
        said = []
        own, dims = self.latlon[0].dims, self.located.coords[self.curvilinear[0]].dims
        if same := [str(d) for d in dims if d not in own]:
            said.append(f"the same for all {', '.join(same)}")
        if len(own) > 2:
            said.append(f"along {', '.join(map(str, own))}")
        if self.held:
            said.append("data variables")
        return f" ({'; '.join(said)})" if said else ""


class GridDomain(Lattice):
    """A latitude-longitude, rotated or curvilinear grid, or any other array.

    Examples
    --------
    >>> xr.DataArray(np.zeros(3), {"lat": [-45, 0, 45]}).patch.domain
    <GridDomain (lat: 3)>
      spatial dims: lat
      lat: -45 to 45, step 45
    """

    def _findings(self) -> list[str]:
        return [*super()._findings(), *([self._crs_line()] if self._crs is not None else [])]


class RasterDomain(Lattice):
    """A raster: projection x and y, and a CRS.

    Examples
    --------
    >>> import rioxarray
    >>> field = xr.DataArray([[7, 8]], {"y": [50], "x": [0, 100]}).rio.write_crs(32633)
    >>> field.patch.domain.spatial_dims, field.patch.domain.crs.to_epsg()
    (('y', 'x'), 32633)
    """

    def _findings(self) -> list[str]:
        return [*super()._findings(), self._crs_line()]


def lattice_of(found: GridDomain, *args: Any) -> Lattice:
    """Give a grid that has a CRS and projection axes as a raster."""
    straight = projected_axes(found.sizes, found.template.variables, found.roles)
    if found._crs is not None and (straight or (found.affine is not None and not found.geographic)):
        raster = RasterDomain(*args).with_held(found.held)
        raster.roles = found.roles  # which take long to find
        return raster
    return found


def _integers_at(labels: NDArray, beyond: NDArray, step: float) -> NDArray:
    """Go on with integer labels, in a wider dtype where they leave their own: 0 - 1 is -1, never 255."""
    if not isinstance(step, int):
        return labels.astype(float) + beyond * step
    own, most = np.iinfo(labels.dtype), np.iinfo("i8")
    reach = step * int(beyond.min(initial=0)), step * int(beyond.max(initial=0))
    ends = [int(labels.min()) + min(reach), int(labels.max()) + max(reach)]
    if not most.min <= ends[0] <= ends[1] <= most.max:
        return labels.astype(float) + beyond.astype(float) * step
    out = labels.astype("i8") + beyond * step
    fit = own.min <= out.min() and out.max() <= own.max
    return out.astype(labels.dtype, copy=False) if fit else out


def _show(value: Any) -> str:
    if not isinstance(value, int | float | np.number):
        return str(value)
    return f"{value:g}" if abs(float(value)) < 1e5 else f"{value:.10g}"  # northings in full


def outside_message(domain: Lattice, dim: Hashable, label: Any) -> str:
    """Say that a label lies outside of a field."""
    values = domain.coordinate(dim)
    assert values is not None
    return (
        f"anchor label {label} along {dim!r} lies outside of the field, which spans {values[0]} to "
        f"{values[-1]}; are the points in the CRS and the units of the field?"
    )
