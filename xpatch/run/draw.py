"""Rows of patches, drawn again and again: what ``isel`` and ``load`` find out each time is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable
from xarray.core import indexing
from xarray.indexes import Index

from xpatch.engine.lazy import Deferred
from xpatch.engine.reading import Stored
from xpatch.patches.index import as_given, whole_of


class Draw:
    """Gives loaded rows of patches; coordinates that need nothing from disk are made when asked for.

    Parameters
    ----------
    obj : DataArray or Dataset
        The patches.
    dim : hashable
        Their dimension.
    """

    def __init__(self, obj: Any, dim: Hashable):
        self.obj, self.dim = obj, dim
        self.whole = whole_of(obj)
        self.indexes = dict(self.whole.xindexes)
        groups = self.whole.xindexes.group_by_index()
        self.taken = [(i, own) for i, own in groups if any(dim in v.dims for v in own.values())]
        self.columns: dict[Hashable, Column] = {}
        self.shared: dict[Hashable, Variable] = {}
        for name, variable in self.whole.variables.items():
            if dim not in variable.dims:
                self.shared[name] = variable.copy(deep=False).load()
            elif variable.chunks is None:
                self.columns[name] = column(variable, dim, name in self.whole.coords)

    @property
    def stored(self) -> dict[Hashable, OnDisk]:
        """What reads the data variables that are not in memory, nor chunked."""
        own = self.whole.data_vars
        return {n: c for n, c in self.columns.items() if n in own and isinstance(c, OnDisk)}

    def __call__(self, rows: Any, chunked: Mapping[Hashable, NDArray] | None = None) -> Any:
        """Give the patches at positions ``rows``; those of some variables are given, rows first."""
        indexes, variables = self._indexed(rows)
        found = {n: self._variable(n, rows, variables, chunked or {}) for n in self.whole.variables}
        sizes = {**self.whole.sizes, self.dim: _count(rows)}
        own = self.whole._replace(variables=found, dims=sizes, indexes=indexes)
        return as_given(own, self.obj)

    def _indexed(self, rows: Any) -> tuple[dict[Hashable, Index], dict[Any, Variable]]:
        """Give the indexes, and the variables of those that are taken rows of."""
        indexes: dict[Hashable, Index] = dict(self.indexes)
        variables: dict[Any, Variable] = {}
        for index, own in self.taken:
            some = index.isel({self.dim: rows})
            for name in own:
                indexes.pop(name)
            if some is not None:
                indexes |= dict.fromkeys(own, some)
                variables |= some.create_variables(own)
        return indexes, variables

    def _variable(
        self,
        name: Hashable,
        rows: Any,
        variables: Mapping[Any, Variable],
        chunked: Mapping[Hashable, NDArray],
    ) -> Variable:
        if name in self.shared:
            return self.shared[name]
        if name in variables:
            return variables[name]
        if name in chunked:
            variable = self.whole.variables[name]
            return like(variable, np.moveaxis(chunked[name], 0, variable.get_axis_num(self.dim)))
        return self.columns[name](rows)


Column = Callable[[Any], Variable]


def column(variable: Variable, dim: Hashable, coordinate: bool) -> Column:
    """Give what takes rows of a variable."""
    if type(variable._data) is np.ndarray:
        return InMemory(variable, variable.get_axis_num(dim))
    late = put_off(variable, dim) if coordinate else None
    if late is None:
        return OnDisk(variable, dim)
    return Late(variable, late, indexing.BasicIndexer((slice(None),) * variable.ndim))


@dataclasses.dataclass(frozen=True, eq=False)
class InMemory:
    """Takes rows of an array of NumPy."""

    variable: Variable
    axis: int

    def __call__(self, rows: Any) -> Variable:
        key = (*[slice(None)] * self.axis, rows)
        return like(self.variable, self.variable._data[key])


@dataclasses.dataclass(frozen=True, eq=False)
class Late:
    """Takes rows that are computed, from nothing on disk, when they are looked at."""

    variable: Variable
    made: Deferred
    every: indexing.BasicIndexer

    def __call__(self, rows: Any) -> Variable:
        made = self.made
        own = Deferred(made.make, made.ordinals[rows], made.shape[1:], made.dtype)
        return like(self.variable, indexing.LazilyIndexedArray(own, self.every))


@dataclasses.dataclass(frozen=True, eq=False)
class OnDisk:
    """Reads rows of any array."""

    variable: Variable
    dim: Hashable

    def __call__(self, rows: Any) -> Variable:
        return self.variable.isel({self.dim: rows}).load()


def put_off(variable: Variable, dim: Hashable) -> Deferred | None:
    """Give what makes a variable of whole rows; None if it reads from disk, or was cropped."""
    data = variable._data
    if variable.dims[:1] != (dim,) or not isinstance(data, indexing.LazilyIndexedArray):
        return None
    made = data.array
    if not isinstance(made, Deferred) or isinstance(getattr(made.make, "source", None), Stored):
        return None
    rows, *cells = data.key.tuple
    if any(not isinstance(c, slice) or c != slice(None) for c in cells):
        return None
    return Deferred(made.make, np.atleast_1d(made.ordinals[rows]), made.shape[1:], made.dtype)


def first(variable: Variable, dim: Hashable) -> NDArray:
    """Give the loaded values with the patches along the first axis."""
    return np.moveaxis(np.asarray(variable._data), variable.get_axis_num(dim), 0)


def like(variable: Variable, data: Any) -> Variable:
    """Give a variable with other data; the class of its own is not asked, which would look at them."""
    return Variable(variable.dims, data, variable._attrs, variable._encoding, fastpath=True)


def _count(rows: Any) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)
