"""Where cells begin and end along straight axes."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import affine as af


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
    step = _step_told(domain, dim) if len(exact) == 1 else domain.spacing(dim)
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


def _step_told(domain: Any, dim: Hashable) -> float | None:
    """Give the size of the only cell along a dimension, if the transform of the raster tells it."""
    affine = domain.affine or af.read(domain.transform)
    dims = af.raster_dims(domain)
    if affine is None or dims is None:
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
