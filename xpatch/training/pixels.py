"""Where the pixels of patches are on the field, and on the ground."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain import affine as af
from xpatch.domain import places as pl
from xpatch.domain.cells import Axis
from xpatch.neighborhood import Slices
from xpatch.patches.placed import only_time, placed_plan_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.patches.recall import indexed
from xpatch.patches.scene import alone

__all__ = ["View"]


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """Where the pixels of the patches of one field are.

    Parameters
    ----------
    domain : Lattice
        What the field lies on.
    dims : tuple of hashable
        Rows and columns.
    corners : int64 array (patch, 2)
        Row and column of the first cell of each patch.
    size, shape : tuple of int
        Rows and columns of a patch, and of the field.
    wrap : tuple of bool
        Whether rows and columns go on around the seam.
    beside : mapping
        Where patches begin along other dimensions that were cut, and the labels there, or None.
    """

    domain: Lattice
    dims: tuple[Hashable, Hashable]
    corners: NDArray[np.int64]
    size: tuple[int, int]
    shape: tuple[int, int]
    wrap: tuple[bool, bool]
    beside: dict[Hashable, tuple[NDArray[np.int64], Any]]

    @classmethod
    def of(cls, obj: Any) -> View:
        """Ask patches of one field.

        Raises
        ------
        TypeError, ValueError
            If they are no boxes on a plane.
        """
        source, plan = placed_plan_of(indexed(alone(obj)))
        dims = _plane(plan)
        _check_one_grid(obj, source, dims)
        _check_order(obj, dims)
        sides = [_side(plan, source, d) for d in dims]
        domain = plan.domain
        return cls(
            domain,
            dims,
            np.stack([s[0] for s in sides], axis=-1),
            (sides[0][1], sides[1][1]),
            (domain.sizes[dims[0]], domain.sizes[dims[1]]),
            (sides[0][2], sides[1][2]),
            _beside(plan, source, dims),
        )

    @property
    def crs(self) -> Any:
        return pl.crs_of_field(self.domain)

    def ground(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give x and y of places (column, row) that are counted from the outer edge of the field."""
        (column, row), (y, x) = cells.T, self.dims
        domain = self.domain
        told = domain.affine or af.read(domain.transform)
        if told is not None and af.raster_dims(domain) == self.dims:
            return np.stack(af.centers(told, row - 0.5, column - 0.5), axis=-1)
        each = [_labels(domain, d, at) for d, at in ((x, column), (y, row))]
        return np.stack(each, axis=-1)


def _labels(domain: Lattice, dim: Hashable, cells: NDArray[np.float64]) -> NDArray[np.float64]:
    if domain.coordinate(dim) is None:
        return cells - 0.5
    axis = Axis.of(domain, dim)
    return axis.label(axis.at(cells))


def _plane(plan: Plan) -> tuple[Hashable, Hashable]:
    """Give the dimensions of rows and columns.

    Raises
    ------
    TypeError, ValueError
        If patches are no boxes along them.
    """
    domain, what = plan.domain, "boxes and masks lie in patches with rows and columns of pixels"
    if any(not p.timed for p in plan.lists):
        raise TypeError(f"{what}, and these patches are lists of members")
    if domain.element_dims:
        raise TypeError(
            f"{what}, and these are patches of elements along {list(domain.element_dims)}"
        )
    if only_time(plan):
        raise TypeError(f"{what}, and these patches are windows in time alone")
    if pl.curved(domain):
        raise TypeError(
            f"{what} that are straight, and this grid is curvilinear, with the positions {list(domain.curvilinear)}; "
            "put the field on a straight grid first"
        )
    if domain.above is not None:
        raise ValueError(
            "these are patches of patches, which do not know where they lie; split one as a field of its own: "
            "patches.patch[i].patch.split(…)"
        )
    found: tuple[Hashable, ...] = tuple(af.raster_dims(domain) or domain.spatial_dims)
    if len(found) != 2:
        found = tuple(d for d in plan.dims if d not in plan.hood.time_dims)[-2:]
    if len(found) != 2 or not set(found) & set(plan.dims):
        raise TypeError(
            f"{what}, and these patches were cut along {list(plan.dims)} of a field with the dimensions "
            f"{list(domain.dims)}"
        )
    return found[0], found[1]


def _check_one_grid(obj: Any, source: Provenance, dims: tuple[Hashable, ...]) -> None:
    plans = source.plans
    if isinstance(obj, xr.DataArray) or len(plans) < 2:
        return
    first = plans[0]
    alike = (
        set(dims) <= set(p.domain.sizes) and first.domain.same_lattice(p.domain, dims) is None
        for p in plans[1:]
    )  # fmt: skip
    if not all(alike):
        raise ValueError(
            f"these patches lie on {len(plans)} grids, and nothing says of which the pixels are; ask those of one "
            "variable: patches[name].patch.to_features(…)"
        )


def _check_order(obj: Any, dims: tuple[Hashable, Hashable]) -> None:
    """Raise a ValueError if rows come after columns: pixels may mean either."""
    y, x = dims
    for array in [obj] if isinstance(obj, xr.DataArray) else obj.data_vars.values():
        if {y, x} <= set(array.dims) and array.dims.index(y) > array.dims.index(x):
            raise ValueError(
                f"images have rows before columns, and {x!r} comes before {y!r} here, so that the first number of a "
                f"box may mean either; put them in order before the network sees them: "
                f"patches.transpose(..., {y!r}, {x!r})"
            )


def _side(plan: Plan, source: Provenance, dim: Hashable) -> tuple[NDArray[np.int64], int, bool]:
    """Give where patches begin along a dimension, their cells, and whether it closes."""
    part = next((p for p in plan.hood.slices if p.dim == dim), None)
    if part is None:
        return np.zeros(len(source.ordinals), np.int64), plan.domain.sizes[dim], False
    low, high = source.crop.get(dim, (0, 0))
    starts = part.starts[plan.hood.of_part(part, source.ordinals)] + low
    return starts, part.size - low - high, part.wrap


def _beside(
    plan: Plan, source: Provenance, dims: tuple[Hashable, ...]
) -> dict[Hashable, tuple[NDArray[np.int64], Any]]:
    """Give where patches begin along the other dimensions, of windows in time the anchor."""
    out: dict[Hashable, tuple[NDArray[np.int64], Any]] = {}
    for part in plan.hood.parts:
        (dim,) = part.dims
        if dim in dims:
            continue
        entries = plan.hood.of_part(part, source.ordinals)
        at, single = part.anchors, True
        if isinstance(part, Slices):
            at, single = part.starts + (part.anchor or 0), part.timed or part.size == 1
        assert at is not None
        labels = plan.domain.labels_at(dim, at[entries], False) if single else None
        out[dim] = at[entries], labels
    return out
