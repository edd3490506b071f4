"""Labels of dask: compared with those of the plan in the tasks that give the patches."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.joint import along
from xpatch.neighborhood import Members
from xpatch.patches.index import whole_of, with_variables
from xpatch.patches.labels import agree, tolerance
from xpatch.patches.landmarks import PlaceCheck
from xpatch.patches.plan import Plan


@dataclasses.dataclass(frozen=True, eq=False)
class ListExpected:
    """The labels of members along one of their dimensions."""

    plan: Plan
    part: Members
    dim: Hashable

    @cached_property
    def values(self) -> NDArray | None:
        """The labels of the field."""
        return self.plan.domain.coordinate(self.dim)

    def __call__(self, ordinals: NDArray, slots: NDArray) -> NDArray | None:
        values = self.values
        if values is None:
            return None
        own = along(self.plan.hood, self.part).take(ordinals)
        cells = np.unravel_index(own.elements, own.shape)[own.dims.index(self.dim)]
        table = np.full((len(own), own.width), -1)
        table[own.patches, own.slots] = cells
        out = values[table]
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

    def __call__(self, ordinals: NDArray, given: NDArray) -> None:
        known = self.expected(ordinals, self.offsets)
        within = tolerance(self.expected.plan.domain, self.expected.dim)
        if known is not None and not agree(given, known, within).all():
            raise ValueError(
                f"the labels along {self.name!r} are not those that the recipe gives for these patches; "
                "were patches of different splits put together, or renumbered, or cells reordered? Merge "
                "the patches of each split on their own, and undo what moved cells before"
            )


def passed(
    block: NDArray, ordinals: NDArray, checks: Sequence[Check | PlaceCheck], *labels: NDArray
) -> NDArray:
    """Give a block of patches once its labels were compared."""
    if len(ordinals):
        for check, given in zip(checks, labels, strict=True):
            check(ordinals, given)
    return block


def guarded(
    obj: Any,
    dim: Hashable,
    ordinals: NDArray,
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
    ordinals: NDArray,
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
