"""What runs in the tasks of apply: func on the patches of one block, batch by batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.patches.index import patch_index, whole_of
from xpatch.report import Ticker, unread
from xpatch.run.full import joined


class Shipped:
    """Something that is unpickled only where it is used.

    So schedulers need none of its packages, and a worker that lacks one fails in the task, where it
    can say so.
    """

    def __init__(self, value: Any):
        self._value, self._bytes = value, b""

    def __getstate__(self) -> bytes:
        import cloudpickle  # type: ignore[import-untyped]  # dask requires it

        return self._bytes or cloudpickle.dumps(self._value)

    def __setstate__(self, state: bytes) -> None:
        self._value, self._bytes = None, state

    def load(self) -> Any:
        """Give the value."""
        import pickle

        if self._value is None and self._bytes:
            try:
                self._value = pickle.loads(self._bytes)
            except RuntimeError as error:
                error.add_note(
                    "raised while this worker loaded the function of apply; a network must be on a device that every "
                    "worker has: net.cpu() before apply, or workers with a GPU"
                )
                raise
            except ImportError as error:
                raise ImportError(
                    f"this worker cannot load the function or the patches of apply: {error}; install "
                    "on every worker what runs where apply was called"
                ) from error
        return self._value


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """The patches without their chunked arrays: one node of the graph that all tasks share."""

    rest: xr.Dataset  # coordinates and all that is not chunked, put off until it is indexed
    order: tuple[Hashable, ...]  # of the data variables
    single: bool
    name: Hashable
    dim: Hashable

    @classmethod
    def of(cls, patches: xr.DataArray | xr.Dataset, dim: Hashable) -> Frame:
        """Take a Dataset, or a DataArray, of patches."""
        single = isinstance(patches, xr.DataArray)
        name = patches.name if isinstance(patches, xr.DataArray) else None
        whole = whole_of(patches)
        order = tuple(whole.data_vars)
        chunked = [n for n, v in whole.variables.items() if v.chunks is not None]
        return cls(whole.drop_vars(chunked), order, single, name, dim)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The labels of all patches."""
        return self.rest[self.dim].values

    def patches(self, which: slice, parts: Mapping[Hashable, Variable]) -> Any:
        """Give the patches at positions ``which``, loaded, with their chunked arrays."""
        whole = self.rest.isel({self.dim: which}).load()
        whole = whole.assign({n: v for n, v in parts.items() if n in self.order})
        whole = whole.assign_coords({n: v for n, v in parts.items() if n not in self.order})
        whole = whole[list(self.order)]
        if not self.single:
            return whole
        return whole[self.order[0]].rename(self.name)


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """What func gives for one variable: dims without that of the patches, sizes and dtypes."""

    dims: tuple[Hashable, ...]
    sizes: tuple[int, ...]
    dtype: np.dtype
    filled: np.dtype  # that can also say that a patch is missing
    attrs: dict[Any, Any]
    null: Any = None  # what says so


@dataclasses.dataclass(frozen=True, eq=False)
class Agreed:
    """What func returned for the probe and must return for every batch, because merge takes it so."""

    dim: Hashable
    cut: tuple[Hashable, ...]
    crop: Mapping[Hashable, tuple[int, int]]
    shared: Mapping[Hashable, Variable]  # that has no patch dimension and is not the source's

    def check(self, result: Any, batch: Any) -> None:
        """Raise a ValueError if something else came back for a batch."""
        dim = self.dim
        given = whole_of(batch).variables
        for name, mine in whole_of(result).variables.items():
            known = self.shared.get(name, given.get(name))
            if known is None or name in self.cut or dim in mine.dims or dim in known.dims:
                continue
            if not mine.equals(known):
                raise ValueError(
                    f"func returned another {name!r} for the patches {_few(batch, dim)} than for "
                    f"the probe or template. What lacks the dimension {dim!r} belongs to all "
                    f"patches: keep that dimension, with one value per patch, or leave {name!r} out"
                )
        for d in self.cut:
            self._check_labels(d, result, batch)

    def _check_labels(self, d: Hashable, result: Any, batch: Any) -> None:
        """Compare the labels of cells with those of the cells that the probe returned."""
        dim = self.dim
        low, high = self.crop.get(d, (0, 0))
        index = patch_index(result)
        told = None if index is None else index.crop.get(d)
        same = told is None or not any(told) or tuple(told) == (low, high)
        if d in batch.coords and d in result.coords and d in result.coords[d].dims:
            mine, given = result.coords[d].variable, batch.coords[d].variable
            given = given.isel({d: slice(low, given.sizes[d] - high)})
            if dim not in mine.dims:
                given = given.isel({dim: 0})
            if set(mine.dims) == set(given.dims) and mine.sizes == given.sizes:
                a, b = mine.transpose(*given.dims).to_numpy(), given.to_numpy()
                within = told is None or (told[0] <= low and told[1] <= high)
                same = within and bool(((a == b) | (a != a) | (b != b)).all())
        if not same:
            raise ValueError(
                f"the labels along {d!r} that func returned for the patches {_few(batch, dim)} are "
                f"not of the cells that it returned for the probe or template, which are all but "
                f"{low} at the start and {high} at the end: in-patch cells were reordered, shifted, "
                f"thinned out or relabeled. Undo it in func, or drop the labels with "
                f"drop_vars({d!r}) if the cells are in order"
            )


def _few(batch: Any, dim: Hashable) -> str:
    labels = batch[dim].values.tolist()
    return f"{labels[:5]}{' and more' if len(labels) > 5 else ''}"


@dataclasses.dataclass(frozen=True, eq=False)
class Apply:
    """Runs func on the patches of one run, batch by batch."""

    which: slice
    sizes: tuple[int, ...]  # how many patches of each of the blocks that are joined
    inputs: tuple[tuple[Hashable, tuple[Hashable, ...], dict[Any, Any]], ...]
    forms: dict[Hashable, Form]
    batch: int | None
    on_error: str
    report: Callable[[Mapping[int, str]], None]
    tick: Ticker | None

    def __call__(
        self, func: Shipped, shipped: Shipped, blocks: list[list[NDArray]], after: list[NDArray]
    ) -> list[NDArray]:
        if self.tick is not None:
            self.tick.begin()
        model, (frame, agreed) = func.load(), shipped.load()
        parts = self._parts(blocks, frame.dim)
        size = self.which.stop - self.which.start
        out = {n: np.empty((size, *f.sizes), f.filled) for n, f in self.forms.items()}
        present = np.ones(size, bool)
        failures: dict[int, str] = {}
        for run, given in self._read(frame, parts, slice(0, size)):
            own, there = {n: values[run] for n, values in out.items()}, present[run]
            if isinstance(given, Exception):
                failures[int(frame.labels[self.which][run][0])] = unread(given)
                self._leave_out(own, there)
                self._tick(1)
                continue
            step = self.batch or max(1, len(there))
            for low in range(0, len(there), step):
                which = slice(low, min(low + step, len(there)))
                self._run(model, given, agreed, which, own, there, failures)
                self._tick(which.stop - which.start)
        if failures:
            self.report(failures)
        return [*out.values(), present]

    def _parts(self, blocks: list[list[NDArray]], dim: Hashable) -> dict[Hashable, Variable]:
        """Put the chunked variables of the patches together."""
        parts = {}
        for (name, dims, attrs), own in zip(self.inputs, blocks, strict=True):
            values = joined(own, self.sizes, dims.index(dim)) if dim in dims else own[0]
            parts[name] = Variable(dims, values, attrs)
        return parts

    def _leave_out(self, out: Mapping[Hashable, NDArray], present: NDArray) -> None:
        """Say, in place, that patches are missing."""
        present[...] = False
        for name, values in out.items():
            values[...] = self.forms[name].null

    def _tick(self, count: int) -> None:
        if self.tick is not None:
            self.tick(count)

    def _read(
        self, frame: Frame, parts: Mapping[Hashable, Variable], run: slice
    ) -> Iterator[tuple[slice, Any]]:
        """Load patches in runs that can be read; of each that cannot, give the error."""
        start = self.which.start
        own = {n: v.isel({frame.dim: run}) if frame.dim in v.dims else v for n, v in parts.items()}
        try:
            found: Any = frame.patches(slice(start + run.start, start + run.stop), own)
        except Exception as error:
            if self.on_error == "raise":
                raise
            found = error
        if not isinstance(found, Exception) or run.stop - run.start <= 1:
            yield run, found
            return
        middle = (run.start + run.stop) // 2
        yield from self._read(frame, parts, slice(run.start, middle))
        yield from self._read(frame, parts, slice(middle, run.stop))

    def _run(
        self,
        func: Callable[[Any], Any],
        given: Any,
        agreed: Agreed,
        which: slice,
        out: dict[Hashable, NDArray],
        present: NDArray,
        failures: dict[int, str],
    ) -> None:
        dim = agreed.dim
        batch = given.isel({dim: which})
        if self.on_error != "raise":  # func may work in place, and fail after that
            batch = batch.copy()
        labels = batch[dim].values.tolist()
        try:
            result = func(batch)
        except Exception as error:
            if self.on_error == "raise":
                error.add_note(f"raised for the patches with labels {labels}")
                raise
            if len(labels) > 1:  # find out which of them
                for k in range(which.start, which.stop):
                    self._run(func, given, agreed, slice(k, k + 1), out, present, failures)
                return
            failures[labels[0]] = f"{type(error).__name__}: {error}"
            self._leave_out({n: values[which] for n, values in out.items()}, present[which])
            return
        variables = as_variables(result, batch, dim, agreed)
        lost = [n for n in self.forms if n not in variables]
        if lost:
            raise ValueError(f"func returned no {lost[0]!r}, which it returned for the probe")
        for name, values in out.items():
            values[which] = fitting(name, variables[name], self.forms[name], dim)


def as_variables(
    result: Any, given: Any, dim: Hashable, agreed: Agreed | None = None
) -> dict[Hashable, Variable]:
    """Give what func returned as variables, in the order of the patches that it was given."""
    n = given.sizes[dim]
    if not isinstance(result, xr.DataArray | xr.Dataset):
        raise TypeError(
            "func must return a DataArray, a Dataset, an array, or a dict of arrays, got "
            f"{type(result).__name__}"
        )
    if dim not in result.dims:
        raise ValueError(
            f"func must keep the dimension {dim!r}, but returned dims {tuple(result.dims)}"
        )
    if result.sizes[dim] != n:
        raise ValueError(f"func returned {result.sizes[dim]} patches for {n} along {dim!r}")
    if dim in result.coords:
        result = _in_order(result, given, dim)
    if agreed is not None:
        agreed.check(result, given)
    if isinstance(result, xr.DataArray):
        return {None: result.variable}
    return {name: array.variable for name, array in result.data_vars.items()}


def _in_order(result: Any, given: Any, dim: Hashable) -> Any:
    """Put patches that func shuffled back by their labels."""
    mine, theirs = given[dim].values, result[dim].values
    if np.array_equal(mine, theirs):
        return result
    if np.array_equal(np.sort(mine), np.sort(theirs)):
        where = np.empty(len(mine), np.intp)
        where[np.argsort(mine, kind="stable")] = np.argsort(theirs, kind="stable")
        return result.isel({dim: where})
    raise ValueError(
        f"func changed the labels of the patches along {dim!r} from {mine.tolist()[:5]} to "
        f"{theirs.tolist()[:5]}; keep the coordinate as it is"
    )


def fitting(name: Hashable, variable: Variable, form: Form, dim: Hashable) -> NDArray:
    """Give the values that func returned, if they fit what it returned for the probe."""
    what = "func returned" if name is None else f"func returned {name!r}"
    dims = (dim, *form.dims)
    if set(variable.dims) != set(dims):
        raise ValueError(f"{what} with dims {variable.dims}, but {dims} for the probe or template")
    variable = variable.transpose(*dims)
    if variable.shape[1:] != form.sizes:
        raise ValueError(
            f"{what} with {variable.shape[1:]} cells a patch, but {form.sizes} for the probe or "
            "template: every patch must come back with one size"
        )
    if variable.dtype != form.dtype:
        raise TypeError(
            f"{what} as {variable.dtype}, but {form.dtype} for the probe or template: the dtype must "
            "not depend on the values; cast in func"
        )
    return variable.to_numpy()
