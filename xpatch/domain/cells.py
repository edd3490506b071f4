"""Where cells begin and end along straight axes."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import affine as af
from xpatch.domain.lonlat import bounds_in, steady
from xpatch.domain.turns import begun_at_gap

TINY = 1e-6  # of a cell, by which a place beside its edge is on it
SIDES = (("X", "longitude"), ("Y", "latitude"))


def evenly(domain: Any, dim: Hashable) -> tuple[float, float] | None:
    """Give the outer edge of the first cell along a dimension, and the step; None if cells differ.

    Raises
    ------
    ValueError
        If labels do not tell.
    """
    values = domain.coordinate(dim)
    if values is None or values.dtype.kind not in "iuf" or not len(values):
        raise ValueError(
            f"nothing says where the cells along {dim!r} are: it needs labels that are numbers"
        )
    exact = values.astype(float)
    step = step_told(domain, dim) if len(exact) == 1 else domain.spacing(dim)
    if step is None and len(exact) == 1:
        raise ValueError(
            f"nothing says how large the one cell along {dim!r} is; write the transform of the raster, "
            "field.rio.write_transform(…)"
        )
    if step is None:
        return None
    if len(exact) > 1:  # over all cells: single steps of rounded labels are rough
        step = (exact[-1] - exact[0]) / (len(exact) - 1)
    return float(exact[0] - step / 2), float(step)


def step_told(domain: Any, dim: Hashable) -> float | None:
    """Give the size of the only cell along a dimension, if the transform of the raster tells it."""
    affine = domain.affine or af.read(domain.transform)
    dims = af.raster_dims(domain)
    if affine is None or dims is None or dim not in dims:
        return None
    return float(affine[4] if dim == dims[0] else affine[0])


@dataclasses.dataclass(frozen=True, eq=False)
class Axis:
    """Edges of cells along one axis, in a coordinate that rises with the cells.

    That is the number of cells from the first edge where cells are even, and the label where they are
    not, negative where labels fall.

    Parameters
    ----------
    origin, step : float
        The label there is at 0, and by how much labels grow with 1.
    edges : float64 array (cell + 1,), optional
        Edges of cells that are not even.
    """

    origin: float = 0.0
    step: float = 1.0
    edges: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, domain: Any, dim: Hashable) -> Axis:
        """Give the axis of a dimension with labels.

        Raises
        ------
        ValueError
            If these are not monotonic, or no numbers.
        """
        even = evenly(domain, dim)
        if even is not None:
            return cls(*even)
        exact = domain.coordinate(dim).astype(float)
        sign = np.sign(exact[-1] - exact[0])
        rising = exact * sign
        if not (np.diff(rising) > 0).all():
            raise ValueError(
                f"labels along {dim!r} neither rise nor fall; sort them: sortby({dim!r})"
            )
        middle = (rising[1:] + rising[:-1]) / 2
        ends = 2 * rising[0] - middle[0], 2 * rising[-1] - middle[-1]
        return cls(0.0, float(sign), np.concatenate([ends[:1], middle, ends[1:]]))

    @property
    def smallest(self) -> float:
        """Size of the smallest cell."""
        return 1.0 if self.edges is None else float(np.diff(self.edges).min())

    def at(self, cells: Any) -> NDArray[np.float64]:
        """Give where the lower edges of cells are; beyond the last ones cells are as large as these."""
        cells = np.asarray(cells, float)
        if self.edges is None:
            return cells
        n = len(self.edges) - 1
        inside = np.interp(cells, np.arange(n + 1), self.edges)
        below, above = self.edges[1] - self.edges[0], self.edges[-1] - self.edges[-2]
        return inside + np.minimum(cells, 0) * below + np.maximum(cells - n, 0) * above

    def find(self, labels: Any) -> NDArray[np.float64]:
        """Give where labels are."""
        return (np.asarray(labels, float) - self.origin) / self.step

    def label(self, at: Any) -> NDArray[np.float64]:
        """Undo it."""
        return self.origin + np.asarray(at, float) * self.step


# ------------------------------------------------------------------------------ which cell it is


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """The cells side by side along a straight axis, whose labels may be in any order.

    Parameters
    ----------
    labels : float64 array (cell,)
        Their labels, rising; longitudes of a field around the Earth from its widest gap on.
    order : int64 array (cell,)
        Which cells these are.
    low, high : float
        Where the first cell begins, and the last one ends.
    rounding : float
        By how much labels may be off.
    turn : float
        After what labels are the same again; 0: never.
    """

    labels: NDArray[np.float64]
    order: NDArray[np.int64]
    low: float
    high: float
    rounding: float
    turn: float

    @classmethod
    def of(cls, domain: Any, dim: Hashable, turn: float) -> Line:
        """Give the cells along a dimension whose labels are numbers."""
        values = domain.coordinate(dim)
        labels = np.asarray(values, float)
        steps = np.diff(labels)
        if turn and not ((steps > 0).all() or (steps < 0).all()):
            labels = begun_at_gap(labels)
        order = np.argsort(labels, kind="stable")
        rising = labels[order]
        low, high = outer_edges(domain, dim, rising, turn)
        eps = np.finfo(values.dtype if values.dtype.kind == "f" else float).eps
        rounding = TINY * float(np.diff(rising).min(initial=high - low))
        rounding = max(rounding, 4 * eps * float(np.abs(rising).max(initial=0.0)))
        return cls(rising, order, low, high, rounding, turn)

    def find(self, at: NDArray[np.float64]) -> NDArray[np.int64]:
        """Give the cells that hold some places, −1 where none does: they end midway between labels."""
        if not len(self.labels):
            return np.full(np.shape(at), -1)
        if self.turn:
            at = at - self.turn * np.round((at - (self.low + self.high) / 2) / self.turn)
        middle = (self.labels[1:] + self.labels[:-1]) / 2
        inside = (at >= self.low - self.rounding) & (at <= self.high + self.rounding)
        return np.where(inside, self.order[np.searchsorted(middle, at)], -1)


def outer_edges(
    domain: Any, dim: Hashable, rising: NDArray[np.float64], turn: float = 0.0
) -> tuple[float, float]:
    """Give where the cells of rising labels begin and end: as bounds say, else half a step beyond the last.

    Of one cell the transform may tell the size; else a row is as high as its cells are wide. Where
    nothing tells, it is there at its label only.
    """
    if not len(rising):
        return np.inf, -np.inf
    said = _beyond_labels(domain, dim, turn)
    if said is not None:
        return float(rising[0] - said[0]), float(rising[-1] + said[1])
    if len(rising) == 1:
        half = _size_of_one(domain, dim) / 2
        return float(rising[0] - half), float(rising[0] + half)
    below, above = rising[1] - rising[0], rising[-1] - rising[-2]
    if domain.spacing(dim) is not None:  # over all cells: single steps of rounded labels are rough
        below = above = (rising[-1] - rising[0]) / (len(rising) - 1)
    return float(rising[0] - below / 2), float(rising[-1] + above / 2)


def _beyond_labels(domain: Any, dim: Hashable, turn: float) -> tuple[float, float] | None:
    """Give how far CF bounds lie below the lowest label and above the highest, if there are some."""
    coord, found = domain.located.coords.get(dim), bounds_in(domain, dim)
    if found is None or coord.dtype.kind not in "iuf" or found.dtype.kind not in "iuf":
        return None
    extra = [d for d in found.dims[:-1] if d != dim]
    if (
        dim not in found.dims[:-1]
        or found.shape[-1] != 2
        or not all(steady(found, d) for d in extra)
    ):
        return None
    off = found.isel(dict.fromkeys(extra, 0)).to_numpy() - coord.to_numpy()[:, None].astype(float)
    if turn:  # bounds may lie on both sides of the seam
        off = off - turn * np.round(off / turn)
    labels = begun_at_gap(coord.to_numpy()) if turn else coord.to_numpy()
    below, above = -off[np.argmin(labels)].min(), off[np.argmax(labels)].max()
    return (float(below), float(above)) if below >= 0 and above >= 0 else None


def _size_of_one(domain: Any, dim: Hashable) -> float:
    """Give the size of the only cell along a dimension; 0 where nothing tells."""
    told = step_told(domain, dim)
    if told is not None:
        return abs(told)
    roles = domain.roles
    other = [kinds for kinds in SIDES if roles.get(dim) not in kinds]
    across = [d for d in domain.dims if len(other) == 1 and roles.get(d) in other[0]]
    values = domain.coordinate(across[0]) if len(across) == 1 else None
    if values is None or values.dtype.kind not in "iuf" or len(values) < 2:
        return 0.0
    return float(np.median(np.abs(np.diff(values.astype(float)))))
