"""Landmarks: where a few elements of a field lie, so that patches of another place are told apart.

Rows and columns with labels are told by them. Of curvilinear grids and of stations only latitude and
longitude say where they are, which a recipe does not hold: it holds them of a few elements.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain import Lattice
from xpatch.neighborhood import Neighborhood

FEW = 256  # patches, spread evenly over all, that have a landmark each
MOST = 10_000_000  # values of a coordinate that are read for them
POSITIONS = ("X", "Y", "longitude", "latitude")  # roles


@dataclasses.dataclass(frozen=True, eq=False)
class Landmarks:
    """Some elements of a field, and the values that coordinates have there.

    Parameters
    ----------
    elements : int64 array (landmark,)
        Row-major numbers, in ascending order, along the dimensions of the part in space.
    values : mapping of float64 arrays (landmark,)
        By the name of the coordinate.
    dims : mapping
        Along which dimensions each coordinate lies in the field.
    """

    elements: NDArray[np.int64]
    values: Mapping[Hashable, NDArray[np.float64]]
    dims: Mapping[Hashable, tuple[Hashable, ...]]

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Landmarks:
        """Give the same with other names of dimensions and coordinates."""
        return Landmarks(
            self.elements,
            {names.get(n, n): v for n, v in self.values.items()},
            {names.get(n, n): tuple(names.get(d, d) for d in ds) for n, ds in self.dims.items()},
        )


def landmarks_of(domain: Lattice, hood: Neighborhood) -> Landmarks | None:
    """Choose landmarks; None if labels say where all cells are, or positions are of dask."""
    part = hood.in_space
    if part is None or not len(hood):
        return None
    found = {n: v for n, v in domain.template.variables.items() if _tells(n, v, part)}
    roles = domain.roles if found else {}
    found = {n: v for n, v in found.items() if roles.get(n) in POSITIONS}
    if not found:
        return None
    elements = _chosen(hood, part)
    cells = dict(zip(part.dims, np.unravel_index(elements, part.shape), strict=True))
    values = {
        n: np.asarray(v.to_numpy()[tuple(cells[d] for d in v.dims)], float)
        for n, v in found.items()
    }
    known = np.all([np.isfinite(v) for v in values.values()], axis=0)
    if not known.any():
        return None
    values = {n: v[known] for n, v in values.items()}
    return Landmarks(elements[known], values, {n: v.dims for n, v in found.items()})


def _tells(name: Hashable, variable: Variable, part: Neighborhood) -> bool:
    """Whether a coordinate is numbers along what is cut, and no labels, and cheap to read."""
    return (
        variable.dims != (name,)
        and len(variable.dims) > 0
        and set(variable.dims) <= set(part.dims)
        and variable.dtype.kind in "iuf"
        and variable.chunks is None
        and variable.size <= MOST
    )


def _chosen(hood: Neighborhood, part: Neighborhood) -> NDArray[np.int64]:
    """Give the middle element, or of lists the first, of some patches."""
    some = np.unique(np.linspace(0, len(hood) - 1, FEW).astype(np.int64))
    entries = hood.in_space_of(some)
    if part.lists:
        own = part.members(entries)
        first = np.unique(own.patches, return_index=True)[1]
        return np.unique(own.elements[first]).astype(np.int64)
    middle = part.starts(entries) + part.cells(entries) // 2
    inside = ((middle >= 0) & (middle < np.array(part.shape))).all(axis=1)
    return np.unique(np.ravel_multi_index(tuple(middle[inside].T), part.shape)).astype(np.int64)
