"""The merge of a batch up to where values are aggregated, and that of all batches from there on."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.neighborhood import Neighborhood
from xpatch.patches.composite import inverse_variance
from xpatch.patches.merge import Merge
from xpatch.patches.plan import is_carried
from xpatch.patches.reduction import Reduction
from xpatch.window import Squared

__all__ = ["Collect", "Give", "Pending", "same_reduction"]


def same_reduction(known: Reduction, job: Reduction) -> bool:
    """Whether patches of a batch lie in the field as those of the first."""
    a, b = known.weights, job.weights
    crops = [{d: c for d, c in w.crop.items() if any(c)} for w in (a, b)]
    same = (known.slots, known.skipna, known.nodata) == (job.slots, job.skipna, job.nodata)
    return same and (a.analysis, a.synthesis, crops[0]) == (b.analysis, b.synthesis, crops[1])


def key_of(field: int, name: Hashable, job: Reduction) -> tuple[int, Hashable, bool]:
    """Name the state of a variable; a mean by weighted inverse variances has one more, of squared weights."""
    return field, name, isinstance(job.aggregation.synthesis, Squared)


@dataclasses.dataclass(frozen=True, eq=False)
class Pending:
    """One variable of a batch, on its way to the state."""

    key: tuple[int, Hashable, bool]
    job: Reduction
    rows: NDArray[Any]

    @property
    def kind(self) -> tuple[tuple[int, ...], np.dtype]:
        """Shape of a patch, and dtype."""
        return self.rows.shape[1:], self.rows.dtype

    @property
    def called(self) -> str:
        """The variable in words."""
        return "the array" if self.key[1] is None else repr(self.key[1])


class Collect(Merge):
    """A merge of one batch that stops where values would be aggregated, and hands them over."""

    into: list[Pending]
    field: int

    def needs_slots_together(self, job: Reduction, variable: Variable) -> bool:
        """Whether the slots of several parts shall stand side by side, whichever patches come."""
        return bool(job.hood.lists)

    def run(self) -> None:
        """Hand over what goes into the states."""
        if self.aggregation.variables:
            inverse_variance(self.patches, self.aggregation, self.variable, self.asked)
        elif isinstance(self.patches, xr.DataArray):
            self.variable(self.patches.variable, None)
        else:
            for name, array in self.patches.data_vars.items():
                if self.dim in array.dims and not is_carried(self.plan, name, array.dims, self.cut):
                    self.variable(array.variable, name)

    def aggregated(
        self, job: Reduction, variable: Variable, name: Hashable, hood: Neighborhood
    ) -> NDArray[Any]:
        """Give an array without cells, of as many dims as the result."""
        self.into.append(Pending(key_of(self.field, name, job), job, variable.to_numpy()))
        dims = variable.ndim - 1 - len(hood.inner) + len(hood.dims)
        return np.empty((0,) * dims, np.int64 if job.aggregation.numbered else variable.dtype)


class Give(Merge):
    """A merge that takes the values of all batches where it would aggregate those of its patches."""

    owner: Any  # the merger
    field: int
    placing = False  # coordinates, which are merged as ever

    def needs_slots_together(self, job: Reduction, variable: Variable) -> bool:
        """Whether the slots of several parts shall stand side by side, as in a merge of all patches."""
        if not self.placing:
            job = dataclasses.replace(job, ordinals=np.concatenate(self.owner.batches))
        return job.by_element

    @property
    def ordinals(self) -> NDArray[np.int64]:
        """The labels by which the states tell patches."""
        return np.arange(len(self.owner.expected))

    def aggregated(
        self, job: Reduction, variable: Variable, name: Hashable, hood: Neighborhood
    ) -> Any:
        """Give what the state of a variable comes to."""
        if self.placing:
            return super().aggregated(job, variable, name, hood)
        stream = self.owner.streams[key_of(self.field, name, job)]
        every = np.concatenate(self.owner.batches)
        found = stream.result(every, partial(self.chunks_of, name, hood.dims))
        return np.moveaxis(found, stream.job.axes, job.axes)

    def _wrap(self, merged: xr.Dataset) -> xr.Dataset:
        self.placing, given = True, self.patches
        if self.plan.recalled is not None or self.domain.above is not None:
            self._take_coordinates()
        out = super()._wrap(merged)
        self.patches = given
        return out

    def _take_coordinates(self) -> None:
        """Take the coordinates of all patches that came, which the field is given back from."""
        owner, dim = self.owner, self.dim
        came = np.unique(np.concatenate(owner.batches))
        at = np.flatnonzero(np.isin(owner.source.ordinals, came))
        known = owner.patches.coords.to_dataset().isel({dim: at})
        cropped = any(any(c) for c in self.crop.values())
        known = known.patch.crop(self.crop) if cropped else known
        mine = self.patches.coords.to_dataset()
        mine = mine.drop_vars([n for n, c in mine.coords.items() if dim in c.dims])
        own = {n: c for n, c in known.coords.items() if dim in c.dims and n not in mine}
        self.patches = mine.assign_coords(own)
        self.source = dataclasses.replace(self.source, ordinals=owner.source.ordinals[at])
