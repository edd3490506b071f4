"""`Domain`: what merge must know about the field that was split."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

import xpatch.domain.axes as ax
from xpatch.domain.affine import Affine, GridMapping, affine_of, right_transform
from xpatch.domain.describe import described
from xpatch.domain.lonlat import flat_pair
from xpatch.domain.nested import Above
from xpatch.domain.units import in_units_of_labels
from xpatch.spec import hint_of

Chunks = dict[Hashable, tuple[int, ...]]


class Domain:
    """The coordinates, dimension orders and chunks of a field. Immutable; copies are itself.

    Parameters
    ----------
    template : Dataset
        The coordinates of the field with their indexes, and no data variables.
    sizes : mapping
        Cells along each dimension, in the order of the field.
    orders : mapping, optional
        Dimensions of each variable by name, in order.
    chunks : mapping, optional
        Chunk sizes of each chunked variable by name.
    crs : object, optional
        What the CRS is parsed from, when it is needed.
    mappings : mapping, optional
        Name of the ``grid_mapping`` in the encoding of each variable that has one.
    mapping : GridMapping, optional
        What holds the CRS, and the transform of a raster.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((4, 6)), {"lat": np.arange(4), "lon": np.arange(6)})
    >>> domain = field.patch.split({"lat": 2, "lon": 3}).patch.domain
    >>> domain.sizes, domain.spatial_dims, domain.geographic
    ({'lat': 4, 'lon': 6}, ('lat', 'lon'), True)
    """

    def __init__(
        self,
        template: xr.Dataset,
        sizes: Mapping[Hashable, int],
        orders: Mapping[Hashable | None, tuple[Hashable, ...]] | None = None,
        chunks: Mapping[Hashable | None, Chunks] | None = None,
        crs: Any = None,
        mappings: Mapping[Hashable | None, Hashable] | None = None,
        mapping: GridMapping | None = None,
    ):
        self.template = template
        self.sizes = dict(sizes)
        self.orders = dict(orders or {})
        self.chunks = dict(chunks or {})
        self._crs = crs
        self.mappings = dict(mappings or {})
        self.mapping = mapping
        self.held: dict[Hashable, xr.Variable] = {}
        self.borders: dict[Hashable, xr.Variable] = {}
        self.above: Above | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is found again when it is asked for: sites and trees are larger than labels."""
        own = vars(self).items()
        return {
            n: v for n, v in own if not isinstance(getattr(type(self), n, None), cached_property)
        }

    @classmethod
    def of(cls, obj: xr.DataArray | xr.Dataset) -> Self:
        """Build the domain of a field."""
        return cls(*described(obj))

    def with_held(self, held: Mapping[Hashable, xr.Variable]) -> Self:
        """Give the domain with the latitude and longitude that are data variables of the field."""
        self.held = dict(held)
        return self

    def with_borders(self, borders: Mapping[Hashable, xr.Variable]) -> Self:
        """Give the domain with the CF bounds that are data variables of the field."""
        self.borders = dict(borders)
        return self

    def with_above(self, above: Above | None) -> Self:
        """Give the domain of patches that are split again with what the splits above know."""
        self.above = above
        self.__dict__.pop("spatial_dims", None)  # among which patches are not
        return self

    @cached_property
    def located(self) -> xr.Dataset:
        """The coordinates of the field, and the positions that it holds as data variables."""
        return self.template.assign_coords(self.held) if self.held else self.template

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """Dimensions in the order of the field."""
        return tuple(self.sizes)

    @cached_property
    def roles(self) -> dict[Hashable, str]:
        """CF roles of the coordinates and bare dimensions."""
        held = zip(self.held, ("latitude", "longitude"), strict=False)
        return ax.coordinate_roles(self.located, self.dims) | dict(held)

    @cached_property
    def spatial_dims(self) -> tuple[Hashable, ...]:
        """Horizontal dimensions in the order of the field."""
        above = () if self.above is None else self.above.dims
        dims = tuple(d for d in self.dims if d not in above)
        return ax.spatial_dims(self.located, dims, self.roles, self.curvilinear)

    @cached_property
    def curvilinear(self) -> tuple[Hashable, ...]:
        """Names of latitude and longitude of several dimensions; empty if there are none."""
        return flat_pair(self.located, self.roles, self.orders.values() or [self.dims])

    @cached_property
    def crs(self) -> Any:
        """The coordinate reference system of the labels as `pyproj.CRS`, or None.

        In the unit that the labels say, where it is not that of the grid mapping. None also where the
        attributes of a grid mapping name a projection that has no CRS, such as that of a cubed sphere.
        """
        try:
            if self._crs is None:
                return None
            return in_units_of_labels(ax.as_crs(self._crs), self.located, self.roles)
        except ValueError:
            if isinstance(self._crs, dict):
                return None
            raise

    @property
    def geographic(self) -> bool:
        """Whether the horizontal coordinates are longitude and latitude in degrees."""
        if any(self.roles.get(d) in ("longitude", "latitude") for d in self.spatial_dims):
            return True
        return self.crs is not None and bool(self.crs.is_geographic)

    @cached_property
    def affine(self) -> Affine | None:
        """The affine (a, b, c, d, e, f) of a raster whose labels are missing or two-dimensional.

        x = a·column + b·row + c and y = d·column + e·row + f, at the corners of cells, as of rasterio
        and ``affine.Affine``. None where there are labels, or no transform.
        """
        return affine_of(self)

    @cached_property
    def transform(self) -> str | None:
        """The transform of the grid mapping, if it is that of the labels, as GDAL writes it."""
        return right_transform(self)

    def regridded(
        self,
        template: xr.Dataset,
        sizes: Mapping[Hashable, int],
        chunks: Mapping[Hashable | None, Chunks],
        mapping: GridMapping | None,
    ) -> Self:
        """Give the domain of the same variables on other cells; what its axes are is known."""
        out = type(self)(
            template, sizes, self.orders, chunks, self._crs, self.mappings, mapping
        ).with_above(self.above)
        out.roles = self.roles
        return out

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Self:
        """Give the domain with other names of dimensions and coordinates."""

        def new(dims: Iterable[Hashable]) -> tuple[Hashable, ...]:
            return tuple(names.get(d, d) for d in dims)

        template, mapping = self.template, self.mapping
        if mapping is not None:
            mapping = dataclasses.replace(mapping, name=names.get(mapping.name, mapping.name))
        known = {n: m for n, m in names.items() if n in template.variables or n in template.dims}
        out = type(self)(
            template.rename(known),
            dict(zip(new(self.sizes), self.sizes.values(), strict=True)),
            {name: new(dims) for name, dims in self.orders.items()},
            {
                name: dict(zip(new(chunks), chunks.values(), strict=True))
                for name, chunks in self.chunks.items()
            },
            self._crs,
            {name: names.get(known, known) for name, known in self.mappings.items()},
            mapping,
        ).with_held({names.get(n, n): _renamed(v, names) for n, v in self.held.items()})
        borders = {names.get(n, n): _renamed(v, names) for n, v in self.borders.items()}
        above = None if self.above is None else self.above.renamed(names)
        return out.with_borders(borders).with_above(above)

    def check_dims(self, dims: Iterable[Hashable], what: str) -> None:
        """Raise a KeyError if any of ``dims`` is not a dimension of the field."""
        for dim in dims:
            if dim not in self.sizes:
                raise KeyError(
                    f"{what} names dimension {dim!r}, which the field does not have; "
                    f"its dimensions are {list(self.dims)}{hint_of([dim]) or self._along(dim)}"
                )

    def _along(self, name: Hashable) -> str:
        """Say along what dimension a coordinate lies that was taken for one, or what is horizontal."""
        coord = self.template.coords.get(name)
        if coord is not None and coord.ndim == 1:
            return f"; {name!r} is a coordinate along {coord.dims[0]!r}: name that"
        horizontal = str(name).lower() in ("lat", "latitude", "lon", "longitude", "y", "x")
        if not horizontal or not self.spatial_dims:
            return ""
        return f"; its horizontal dimensions are {list(self.spatial_dims)}: name those, or give one size for all"

    def check_cells(self, dims: Iterable[Hashable]) -> None:
        """Raise a ValueError if there is no cell along any of ``dims``."""
        none = next((d for d in dims if not self.sizes[d]), None)
        if none is not None:
            raise ValueError(f"the field has no cells along {none!r}; there is nothing to split")

    def __repr__(self) -> str:
        sizes = ", ".join(f"{d}: {n}" for d, n in self.sizes.items())
        return f"<{type(self).__name__} ({sizes})>\n" + "\n".join(
            [*self._findings(), *self._times()]
        )

    def _findings(self) -> list[str]:
        return [f"  spatial dims: {', '.join(map(str, self.spatial_dims)) or 'none'}"]

    def _times(self) -> list[str]:
        """Say from when to when the times along each dimension reach, and by which steps."""
        out = []
        for name, coord in self.template.coords.items():
            values = coord.values if coord.dims == (name,) and coord.size else None
            calendar = None if values is None else getattr(values[0], "calendar", None)
            if values is None or (values.dtype.kind != "M" and calendar is None):
                continue
            steps = np.unique(np.diff(values))[[0, -1][: coord.size - 1]]
            ends = dict.fromkeys(_brief(pd.Timedelta(s)) for s in steps)
            first, last = (_brief(str(t)[:19].replace("T", " ")) for t in values[[0, -1]])
            how = [f"steps of {' to '.join(ends)}"] if ends else []
            out.append(", ".join([f"  {name}: {first} to {last}", *how, calendar or "datetime64"]))
        return out

    def __copy__(self) -> Domain:
        return self

    def __deepcopy__(self, memo: object) -> Domain:
        return self


def _renamed(variable: xr.Variable, names: Mapping[Hashable, Hashable]) -> xr.Variable:
    out = variable.copy(deep=False)
    out.dims = tuple(names.get(d, d) for d in variable.dims)
    return out


def _brief(time: Any) -> str:
    """Leave out what is zero."""
    return str(time).removesuffix(" 00:00:00").removeprefix("0 days ")
