"""The plane in which boxes have straight sides, and where it is on the ground."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain import affine as af
from xpatch.domain import places as pl
from xpatch.domain import positions as ps
from xpatch.domain.cells import Axis
from xpatch.domain.turns import TURN
from xpatch.geometry import Frame
from xpatch.geometry.rows import RowFrame


@dataclasses.dataclass(frozen=True, eq=False)
class Plane:
    """Rows and columns of a field, and how x and y become those.

    Parameters
    ----------
    dims : tuple of hashable
        The dimensions of rows and columns.
    rows, columns : Axis
        Where cells are.
    sizes : tuple of int
        Cells of a box: rows, columns.
    low, high : tuple of int
        The first cell, and the one behind the last, that any box holds.
    crs : optional
        Of x and y.
    affine : six numbers, optional
        That of a rotated raster.
    period : float, optional
        After which x comes again.
    """

    dims: tuple[Hashable, Hashable]
    rows: Axis
    columns: Axis
    sizes: tuple[int, int]
    low: tuple[int, int]
    high: tuple[int, int]
    crs: Any = None
    affine: af.Affine | None = None
    period: float | None = None

    @classmethod
    def of(cls, domain: Lattice, frame: Frame) -> Plane:
        """Give the plane of boxes on a field.

        Raises
        ------
        ValueError
            If the field, or a box, has no straight sides on the ground.
        """
        what = "Within looks where boxes along x and y are"
        if isinstance(frame, RowFrame):
            raise ValueError(
                f"{what}, and needs boxes of one size: those in km have more cells of longitude near the poles. "
                "Mark the cells of the area and use Valid(sampler, where=mask), or give sizes in cells or degrees"
            )
        if pl.curved(domain):
            raise ValueError(
                f"{what}, and those of a curvilinear grid have no straight sides; mark its cells and use "
                "Valid(sampler, where=mask)"
            )
        dims = af.raster_dims(domain)
        if dims is None or not set(dims) & set(frame.dims):
            raise ValueError(
                f"{what}, and these are cut along {list(frame.dims)} of a field with the dimensions "
                f"{list(domain.dims)}"
            )
        rotated = domain.rotated is not None
        rows, columns = (Axis() if rotated else Axis.of(domain, d) for d in dims)
        spans = [_span(domain, frame, d) for d in dims]
        sizes, low, high = zip(*spans, strict=True)
        period = TURN if ps.turns(domain, dims[1]) and not rotated else None
        if period is None and _wraps(frame, dims[1]):
            period = domain.sizes[dims[1]] * abs(columns.step)
        affine = domain.affine if rotated else None
        crs = pl.crs_of_field(domain)
        return cls(dims, rows, columns, sizes, low, high, crs, affine, period)

    def from_ground(self, xy: NDArray[Any]) -> NDArray[np.float64]:
        """Give the column and the row of x and y, shape (point, 2), counted at the edges of cells."""
        if self.affine is not None:
            row, column = af.positions(self.affine, xy[:, 0], xy[:, 1])
            return np.stack([column + 0.5, row + 0.5], axis=-1)
        return np.stack([self.columns.find(xy[:, 0]), self.rows.find(xy[:, 1])], axis=-1)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Bounds on the ground of all that boxes hold."""
        rows = self.rows.at([self.low[0], self.high[0]])
        columns = self.columns.at([self.low[1], self.high[1]])
        if self.affine is None:
            x, y = self.columns.label(columns), self.rows.label(rows)
        else:
            at = np.meshgrid(rows - 0.5, columns - 0.5)
            x, y = af.centers(self.affine, *at)
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    @property
    def cell(self) -> float:
        """The shorter side of the smallest cell, on the ground."""
        if self.affine is not None:
            a, b, _, d, e, _ = self.affine
            return float(min(np.hypot(a, d), np.hypot(b, e)))
        sides = (abs(a.step) * a.smallest for a in (self.rows, self.columns))
        return float(min(sides))

    def spans(self, starts: Any, axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the lower and the upper edge of boxes along rows (0) or columns (1)."""
        along = (self.rows, self.columns)[axis]
        starts = np.asarray(starts)
        return along.at(starts), along.at(starts + self.sizes[axis])


def _span(domain: Lattice, frame: Frame, dim: Hashable) -> tuple[int, int, int]:
    """Give the size of boxes along a dimension, the first cell that any holds, and that behind the last."""
    n = domain.sizes[dim]
    if dim not in frame.dims:
        return n, 0, n
    k = frame.dims.index(dim)
    first, last = frame.limits(k)
    return frame.sizes[k], min(first, 0), max(last + frame.sizes[k], n)


def _wraps(frame: Frame, dim: Hashable) -> bool:
    return dim in frame.dims and frame.boundary[frame.dims.index(dim)] == "wrap"
