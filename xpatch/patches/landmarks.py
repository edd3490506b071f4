"""Landmarks: where a few elements of a field lie, so that patches of another place are told apart.

Rows and columns with labels are told by them. Of curvilinear grids and of stations only latitude and
longitude say where they are, which a recipe does not hold: it holds them of a few elements.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.joint import Joint, space_part
from xpatch.neighborhood import Boxes, Members

if TYPE_CHECKING:
    from xpatch.patches.plan import Plan

FEW = 256  # patches, spread evenly over all, that have a landmark each
MOST = 10_000_000  # values of a coordinate that are read for them
POSITIONS = ("X", "Y", "longitude", "latitude")  # roles
ROUNDING = 5e-7  # of the largest value: what files and float32 do to them


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


def landmarks_of(plan: Plan) -> Landmarks | None:
    """Choose landmarks; None if labels say where all cells are, or positions are of dask."""
    part = space_part(plan.hood)
    if part is None or not len(plan) or plan.coarse:
        return None
    found = {n: v for n, v in plan.domain.template.variables.items() if _tells(n, v, part)}
    roles = plan.domain.roles if found else {}
    found = {n: v for n, v in found.items() if roles.get(n) in POSITIONS}
    if not found:
        return None
    elements = _chosen(plan, part)
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


def _tells(name: Hashable, variable: Variable, part: Boxes | Members) -> bool:
    """Whether a coordinate is numbers along what is cut, and no labels, and cheap to read."""
    return (
        variable.dims != (name,)
        and len(variable.dims) > 0
        and set(variable.dims) <= set(part.dims)
        and variable.dtype.kind in "iuf"
        and variable.chunks is None
        and variable.size <= MOST
    )


def _chosen(plan: Plan, part: Boxes | Members) -> NDArray[np.int64]:
    """Give the middle element, or of lists the first, of some patches."""
    some = np.unique(np.linspace(0, len(plan) - 1, FEW).astype(np.int64))
    entries = _entries(plan, part, some)
    if isinstance(part, Members):
        own = part.take(entries)
        first = np.unique(own.patches, return_index=True)[1]
        return np.unique(own.elements[first]).astype(np.int64)
    middle = part.starts(entries) + np.array(part.sizes) // 2
    inside = ((middle >= 0) & (middle < np.array(part.shape))).all(axis=1)
    return np.unique(np.ravel_multi_index(tuple(middle[inside].T), part.shape)).astype(np.int64)


def _entries(plan: Plan, part: Boxes | Members, ordinals: NDArray) -> NDArray[np.int64]:
    hood = plan.hood
    return hood.entries(ordinals)[hood.parts.index(part)] if isinstance(hood, Joint) else ordinals


# ------------------------------------------------------------------------------- comparing


@dataclasses.dataclass(frozen=True, eq=False)
class PlaceCheck:
    """Compares the positions that some patches have at landmarks with those of the field."""

    name: Hashable
    dims: tuple[Hashable, ...]
    plan: Plan
    low: tuple[int, ...]

    def __call__(self, ordinals: NDArray, given: NDArray) -> None:
        marks = self.plan.landmarks
        assert marks is not None
        known = marks.values[self.name]
        within = ROUNDING * float(np.abs(known).max(initial=0.0))
        which, at = self._held(np.asarray(ordinals), given.shape)
        found = np.asarray(given[at], float)
        off = np.abs(found - known[which]) > within  # missing values say nothing
        if off.any():
            k = int(np.flatnonzero(off)[0])
            raise ValueError(
                f"patches have different values of {self.name!r} than the field that their recipe is of: patch "
                f"{ordinals[at[0][k]]} has {found[k]:g} where the field has {known[which[k]]:g}; were patches "
                "of different fields put together, cells reordered, or positions changed? Merge the patches "
                "of each split on their own; merge(like=field) takes the field that was split, and "
                f"drop_vars({self.name!r}) leaves out positions that were changed on purpose"
            )

    def _held(self, ordinals: NDArray, sizes: tuple[int, ...]) -> tuple[NDArray, Any]:
        """Give the landmarks that patches hold, and where in their values these stand."""
        marks, part = self.plan.landmarks, space_part(self.plan.hood)
        assert marks is not None
        assert part is not None
        entries = _entries(self.plan, part, ordinals)
        if isinstance(part, Members):
            own = part.take(entries)
            which = np.searchsorted(marks.elements, own.elements).clip(max=len(marks.elements) - 1)
            hit = (marks.elements[which] == own.elements) & (own.slots < sizes[1])
            return which[hit], (own.patches[hit], own.slots[hit])
        dims = self.dims[1:]
        starts, cells = part.starts(entries), np.unravel_index(marks.elements, part.shape)
        along = {d: (starts[:, k], cells[k]) for k, d in enumerate(part.dims) if d in dims}
        found: list[tuple[NDArray, ...]] = []
        for mark in range(len(marks.elements)):
            ats = [
                along[d][1][mark] - along[d][0] - cut for d, cut in zip(dims, self.low, strict=True)
            ]
            pairs = zip(ats, sizes[1:], strict=True)
            rows = np.flatnonzero(np.all([(a >= 0) & (a < n) for a, n in pairs], axis=0))
            found.append((np.full(len(rows), mark), rows, *(a[rows] for a in ats)))
        which, *at = map(np.concatenate, zip(*found, strict=True))
        return which, tuple(at)


def place_checks(
    obj: Any, dim: Hashable, plan: Plan, crop: Mapping[Hashable, tuple[int, int]]
) -> list[PlaceCheck]:
    """Give what compares the positions that patches carry, where they have all cells of theirs."""
    marks, part = plan.landmarks, space_part(plan.hood)
    if marks is None or part is None or plan.coarse:
        return []
    if marks.elements.max(initial=-1) >= math.prod(part.shape):
        raise ValueError(
            f"the recipe of these patches says where elements beyond the {part.shape} of the field are: "
            "it is damaged; merge with like=field"
        )
    checks = []
    for name, order in marks.dims.items():
        own = (part.dim,) if isinstance(part, Members) else order
        given = obj.coords[name].variable if name in obj.coords else None
        if given is None or set(given.dims) not in ({dim, *own}, {*own}):
            continue
        if (
            given.dtype.kind not in "iuf"
            or not {*own} <= {*plan.inner}
            or not {*order} <= {*part.dims}
        ):
            continue
        cuts = [crop.get(d, (0, 0)) for d in own]
        whole = all(
            given.sizes[d] == plan.inner[d] - sum(c) for d, c in zip(own, cuts, strict=True)
        )
        if whole or isinstance(part, Members):
            checks.append(PlaceCheck(name, (dim, *own), plan, tuple(c[0] for c in cuts)))
    return checks
