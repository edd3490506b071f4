"""Lattices: rasters, latitude-longitude and curvilinear grids, any other labeled array."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch import sphere
from xpatch.domain.base import Domain
from xpatch.domain.dates import continued, counted, values_of
from xpatch.domain.sites import Sites, lattice_sites


class Lattice(Domain):
    """A field whose cells are an outer product of its dimensions."""

    def coordinate(self, dim: Hashable) -> NDArray | None:
        """Give the labels of ``dim``; None if it has none, or only a MultiIndex."""
        if dim not in self.template.coords:
            return None
        values = self._labels.get(dim)
        if values is None:
            variable = self.template.coords[dim].variable
            values = self._labels[dim] = values_of(variable)
        return None if values.dtype == object and isinstance(values.flat[0], tuple) else values

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
        return None if values is None else ax.even_spacing(values)

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
        if isinstance(value, int | np.integer):
            return int(value)
        step = self.spacing(dim)
        if step is None or isinstance(step, np.timedelta64):
            raise ValueError(
                f"{what} along {dim!r} is the float {value!r}, a length in coordinate units, but "
                f"{dim!r} has no evenly spaced numeric coordinate; give an int, in cells"
            )
        cells = round(float(value) / abs(float(step)))
        if cells < 1:
            raise ValueError(
                f"{what} of {value!r} along {dim!r} is less than one cell of {abs(step):g}; "
                "give at least the spacing"
            )
        return cells

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
        values = self.coordinate(dim)
        if values is None:
            raise ValueError(
                f"anchors are given by label, but dimension {dim!r} has no coordinate; "
                "give index positions, or assign a coordinate"
            )
        exact = _as_number(values, dim)
        steps = np.diff(exact)
        if np.isnan(exact).any() or not ((steps > 0).all() or (steps < 0).all()):
            raise ValueError(
                f"anchors by label need a strictly monotonic coordinate without NaN along {dim!r}; "
                f"sort it first (sortby({dim!r})) or give index positions"
            )
        wanted = _as_number(
            np.atleast_1d(np.asarray(labels)).astype(values.dtype, copy=False)
            if values.dtype.kind in "mM"
            else np.atleast_1d(labels),
            dim,
        )
        if np.isnan(wanted).any():
            raise ValueError(f"an anchor label along {dim!r} is NaN")
        if self.roles.get(dim) == "longitude":
            middle = (exact[0] + exact[-1]) / 2
            turned = wanted - 360 * np.round((wanted - middle) / 360)
            outside = (wanted < min(exact[0], exact[-1])) | (wanted > max(exact[0], exact[-1]))
            wanted = np.where(outside, turned, wanted)
        ordered = exact if len(exact) < 2 or steps[0] > 0 else exact[::-1]
        upper = np.clip(np.searchsorted(ordered, wanted), 1, max(len(ordered) - 1, 1))
        if len(ordered) > 1:
            left, right = ordered[upper - 1], ordered[upper]
            cell = np.where(wanted - left <= right - wanted, upper - 1, upper)
            halves = (ordered[1] - ordered[0]) / 2, (ordered[-1] - ordered[-2]) / 2
        else:
            cell, halves = np.zeros(len(wanted), int), (np.inf, np.inf)
        tiny = 1e-9 * max(abs(ordered[0]), abs(ordered[-1]), 1)
        outside = (wanted < ordered[0] - halves[0] - tiny) | (
            wanted > ordered[-1] + halves[1] + tiny
        )
        if beyond and outside.any() and self.spacing(dim) is not None:
            step = (ordered[-1] - ordered[0]) / (len(ordered) - 1)
            cell = np.where(outside, np.rint((wanted - ordered[0]) / step).astype(int), cell)
        elif outside.any():
            raise ValueError(
                f"anchor label {np.atleast_1d(labels)[outside][0]!r} along {dim!r} lies outside of "
                f"the field, which spans {values[0]!r} to {values[-1]!r}; are the points in the "
                "CRS and the units of the field?"
            )
        return (cell if ordered is exact else len(exact) - 1 - cell).astype(np.int64)

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
            if values.dtype.kind in "iu" and not isinstance(step, int):
                out = out.astype(float)
            return (out + beyond * step).astype(out.dtype, copy=False)
        if values.dtype.kind in "mM":
            out[~inside] = np.array("NaT", values.dtype)
            return out
        if values.dtype.kind in "iufb":
            return np.where(inside, out, np.nan)
        out = out.astype(object)
        out[~inside] = None
        return out

    @cached_property
    def curvilinear(self) -> tuple[Hashable, ...]:
        """Names of two-dimensional latitude and longitude; empty if there are none."""
        return ax.curvilinear(self.template, self.roles)

    def nearest_on_sphere(self, lat: NDArray, lon: NDArray) -> dict[Hashable, NDArray[np.int64]]:
        """Find the cells of a curvilinear grid that are nearest to points, by great circle."""
        sites = self.sites()
        _, found = sites.globe.query(sphere.unit_vectors(lon, lat))
        cells = np.unravel_index(sites.known[found], sites.shape)
        return dict(zip(sites.dims, cells, strict=True))

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
    def element_dims(self) -> tuple[Hashable, ...]:
        """Dimensions whose entries have no order in space: none."""
        return ()

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
        for name in self.curvilinear if set(dims) & set(self.spatial_dims) else ():
            theirs = other.template.coords.get(name)
            if theirs is not None and not theirs.variable.equals(
                self.template.coords[name].variable
            ):
                return f"its {name!r} differs"
        return None

    def _findings(self) -> list[str]:
        found = super()._findings()
        for dim in self.spatial_dims:
            values = self.coordinate(dim)
            if values is None:
                found.append(f"  {dim}: no labels")
                continue
            step = self.spacing(dim)
            how = ", uneven" if step is None else f", step {_show(step)}"
            how = how if values.dtype.kind in "iufmM" else ""
            found.append(f"  {dim}: {_show(values[0])} to {_show(values[-1])}{how}")
        if self.curvilinear:
            found.append(f"  curvilinear: {', '.join(map(str, self.curvilinear))}")
        return found


class GridDomain(Lattice):
    """A latitude-longitude, rotated or curvilinear grid, or any other array."""


class RasterDomain(Lattice):
    """A raster: projection x and y, and a CRS."""

    def _findings(self) -> list[str]:
        try:
            name = "none" if self.crs is None else (ax.crs_name(self.crs))
        except ImportError:
            name = "not parsed (needs pyproj)"
        return [*super()._findings(), f"  crs: {name if len(name) < 60 else name[:57] + '...'}"]


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)


def _as_number(values: NDArray, dim: Hashable) -> NDArray[np.float64]:
    if values.dtype.kind in "mM":
        out = values.astype("i8").astype(float)
        out[np.isnat(values)] = np.nan
        return out
    try:
        return values.astype(float)
    except (TypeError, ValueError):
        raise ValueError(
            f"anchors by label need numbers or dates along {dim!r}, not {values.dtype}; "
            "give index positions"
        ) from None


def projected_axes(sizes: Mapping[Hashable, int], coords: Any, roles: Mapping) -> bool:
    """Whether the field has projection x and y axes rather than longitude and latitude."""
    axes = {roles.get(d) for d in sizes if d in coords}
    if not {"X", "Y"} <= axes:
        return False
    standard = [str(coords[d].attrs.get("standard_name", "")) for d in sizes if d in coords]
    return not any(s.startswith(("grid_l", "lat", "lon")) for s in standard)
