"""Labels and positions that are compared with those of the plan: of dask, in the tasks of the patches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.neighborhood import Members
from xpatch.patches.index import whole_of, with_variables
from xpatch.patches.labels import agree, tolerance
from xpatch.patches.plan import Plan

ROUNDING = 5e-7  # of the largest position: what files and float32 do to it


@dataclasses.dataclass(frozen=True, eq=False)
class ListExpected:
    """The labels of members along one of their dimensions."""

    plan: Plan
    part: Members
    dim: Hashable

    @cached_property
    def values(self) -> NDArray[Any] | None:
        """The labels of the field."""
        return self.plan.domain.coordinate(self.dim)

    def __call__(self, ordinals: NDArray[Any], slots: NDArray[Any]) -> NDArray[Any] | None:
        values = self.values
        if values is None:
            return None
        own = self.plan.hood.members(ordinals, self.part)
        cells = np.unravel_index(own.elements, own.shape)[own.dims.index(self.dim)]
        table = np.full((len(own), own.width), -1)
        table[own.patches, own.slots] = cells
        out: NDArray[Any] = values[table]
        empty = table < 0
        if out.dtype.kind in "iub" and empty.any():
            out = out.astype(float)
        none: Any = {"f": np.nan, "M": np.datetime64("NaT"), "m": np.timedelta64("NaT"), "U": ""}
        if empty.any():  # integers have nothing for it
            out[empty] = none.get(out.dtype.kind)
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class Check:
    """Compares the labels of some patches with those of the plan."""

    name: Hashable
    dims: tuple[Hashable, Hashable]
    expected: Any
    offsets: NDArray[np.int64]

    def __call__(self, ordinals: NDArray[Any], given: NDArray[Any]) -> None:
        known = self.expected(ordinals, self.offsets)
        within = tolerance(self.expected.plan.domain, self.expected.dim)
        if known is not None and not agree(given, known, within).all():
            raise ValueError(
                f"the labels along {self.name!r} are not those that the recipe gives for these patches; "
                "were patches of different splits put together, or renumbered, or cells reordered? Merge "
                "the patches of each split on their own, and undo what moved cells before"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class PlaceCheck:
    """Compares the positions that some patches have at landmarks with those of the field."""

    name: Hashable
    dims: tuple[Hashable, ...]
    plan: Plan
    low: tuple[int, ...]

    def __call__(self, ordinals: NDArray[Any], given: NDArray[Any]) -> None:
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

    def _held(self, ordinals: NDArray[Any], sizes: tuple[int, ...]) -> tuple[NDArray[Any], Any]:
        """Give the landmarks that patches hold, and where in their values these stand."""
        marks, space = self.plan.landmarks, self.plan.hood.in_space
        assert marks is not None
        assert space is not None
        entries = self.plan.hood.in_space_of(ordinals)
        if space.lists:
            own = space.members(entries)
            which = np.searchsorted(marks.elements, own.elements).clip(max=len(marks.elements) - 1)
            hit = (marks.elements[which] == own.elements) & (own.slots < sizes[1])
            return which[hit], (own.patches[hit], own.slots[hit])
        dims = self.dims[1:]
        starts, cells = space.starts(entries), np.unravel_index(marks.elements, space.shape)
        ends = starts + space.cells(entries)
        along = {d: (starts[:, k], cells[k]) for k, d in enumerate(space.dims) if d in dims}
        behind = {d: ends[:, k] for k, d in enumerate(space.dims) if d in dims}
        found: list[tuple[NDArray[Any], ...]] = []
        for mark in range(len(marks.elements)):
            ats = [
                along[d][1][mark] - along[d][0] - cut for d, cut in zip(dims, self.low, strict=True)
            ]
            pairs = zip(ats, sizes[1:], strict=True)
            inside = [(a >= 0) & (a < n) for a, n in pairs]
            inside += [along[d][1][mark] < behind[d] for d in dims]
            rows = np.flatnonzero(np.all(inside, axis=0))
            found.append((np.full(len(rows), mark), rows, *(a[rows] for a in ats)))
        which, *at = map(np.concatenate, zip(*found, strict=True))
        return which, tuple(at)


def place_checks(
    obj: Any, dim: Hashable, plan: Plan, crop: Mapping[Hashable, tuple[int, int]]
) -> list[PlaceCheck]:
    """Give what compares the positions that patches carry, where they have all cells of theirs."""
    marks, space = plan.landmarks, plan.hood.in_space
    if marks is None or space is None or plan.hood.coarse:
        return []
    if marks.elements.max(initial=-1) >= math.prod(space.shape):
        raise ValueError(
            f"the recipe of these patches says where elements beyond the {space.shape} of the field are: "
            "it is damaged; merge with like=field"
        )
    checks = []
    for name, order in marks.dims.items():
        own = tuple(space.inner) if space.lists else order
        given = obj.coords[name].variable if name in obj.coords else None
        if given is None or set(given.dims) not in ({dim, *own}, {*own}):
            continue
        if (
            given.dtype.kind not in "iuf"
            or not {*own} <= {*plan.inner}
            or not {*order} <= {*space.dims}
        ):
            continue
        cuts = [crop.get(d, (0, 0)) for d in own]
        whole = all(
            given.sizes[d] == plan.inner[d] - sum(c) for d, c in zip(own, cuts, strict=True)
        )
        if whole or space.lists:
            checks.append(PlaceCheck(name, (dim, *own), plan, tuple(c[0] for c in cuts)))
    return checks


def passed(
    block: NDArray[Any],
    ordinals: NDArray[Any],
    checks: Sequence[Check | PlaceCheck],
    *labels: NDArray[Any],
) -> NDArray[Any]:
    """Give a block of patches once its labels were compared."""
    if len(ordinals):
        for check, given in zip(checks, labels, strict=True):
            check(ordinals, given)
    return block


def guarded(
    obj: Any,
    dim: Hashable,
    ordinals: NDArray[Any],
    checks: Sequence[Check | PlaceCheck],
    labels: Mapping[Hashable, Variable],
) -> Any:
    """Let the tasks of patches compare their labels, which are of dask.

    Patches in memory wait for it: the labels are read, in one go.
    """
    whole = whole_of(obj)
    data = {n: v.variable for n, v in whole.data_vars.items() if dim in v.dims}
    lazy = {n: v for n, v in data.items() if v.chunks is not None}
    if len(lazy) < len(data):
        import dask

        rows = [labels[c.name].transpose(*c.dims).data for c in checks]
        passed(np.empty(0), ordinals, checks, *dask.compute(*rows))
    return with_variables(
        obj, {n: _guard(v, dim, ordinals, checks, labels) for n, v in lazy.items()}
    )


def _guard(
    variable: Variable,
    dim: Hashable,
    ordinals: NDArray[Any],
    checks: Sequence[Check | PlaceCheck],
    labels: Mapping[Hashable, Variable],
) -> Variable:
    import dask
    import dask.array as da

    rows, axes = variable.chunksizes[dim], tuple(range(variable.ndim))
    first = variable.get_axis_num(dim)
    args: list[Any] = [variable.data, axes]
    args += [da.from_array(ordinals, (rows,)), (first,)]
    args += [dask.delayed(list(checks), pure=False, traverse=False), None]
    free = variable.ndim  # of axes that the patches do not have
    for check in checks:
        own = labels[check.name].transpose(*check.dims).data
        args += [own.rechunk((rows, *[-1] * (own.ndim - 1)))]
        args += [(first, *range(free, free + own.ndim - 1))]
        free += own.ndim - 1
    data = da.blockwise(
        passed,
        axes,
        *args,
        dtype=variable.dtype,
        meta=variable.data._meta,
        concatenate=True,
        align_arrays=False,
    )
    return Variable(variable.dims, data, variable.attrs, variable.encoding)
