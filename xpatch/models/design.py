"""What a model is fitted to: the y, the x and the weights of patches, by name."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain.nodata import nodata_of
from xpatch.patches.index import PatchIndex, labels_of, patch_index, whole_of
from xpatch.patches.labels import agree
from xpatch.patches.recall import indexed
from xpatch.patches.scene import alone
from xpatch.run.batches import Batches

READ_BYTES = 1 << 26  # of patches that are read from disk at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """The variables that a model is fitted to.

    Parameters
    ----------
    patches : Dataset
        What they are of.
    dim : hashable
        The patch dimension.
    core : dict of hashable to int
        In-patch dimensions of the samples, and their sizes.
    y : Variable, optional
        What is predicted.
    x : tuple of Variable
        What it is predicted from.
    weights : Variable, optional
        What samples count.
    names : list of str
        What the x are called.
    inside : tuple of Variable
        Along which dimensions cells of patches lie in the field; none where all do. Padding is no sample.
    """

    patches: xr.Dataset
    dim: Hashable
    core: dict[Hashable, int]
    y: Variable | None
    x: tuple[Variable, ...]
    weights: Variable | None
    names: list[str]
    inside: tuple[Variable, ...] = ()

    @property
    def columns(self) -> tuple[Variable, ...]:
        """The x, and then the y."""
        return (*self.x, *(() if self.y is None else (self.y,)))

    @property
    def count(self) -> int:
        """The number of patches."""
        return int(self.patches.sizes[self.dim])

    @property
    def chunked(self) -> bool:
        """Whether any of it is of dask."""
        return any(v.chunks is not None for v in self._all)

    @property
    def _all(self) -> tuple[Variable, ...]:
        return (*self.columns, *self.weighing)

    @property
    def weighing(self) -> tuple[Variable, ...]:
        """What samples count: the product of all these."""
        return (*self.inside, *(() if self.weights is None else (self.weights,)))

    def blocks(self) -> Iterator[tuple[slice, Design]]:
        """Give the patches in memory, whole or some at a time where they are on disk, or of dask."""
        on_disk = [v for v in self._all if not v._in_memory]
        if not on_disk:
            yield slice(0, self.count), self
            return
        data = {f"v{k}": v for k, v in enumerate(self._all)}
        width = sum(v.size * v.dtype.itemsize for v in on_disk)
        size = max(1, READ_BYTES * self.count // max(width, 1))
        carried = {n: v for n, v in data.items() if self.dim not in v.dims}
        labels = xr.Dataset({n: v for n, v in data.items() if n not in carried})
        labels = labels.assign_coords(labels_of(self.patches, (self.dim,)))
        known = {n: v.load() for n, v in carried.items()}
        low = 0
        for batch in Batches(labels, min(size, max(self.count, 1))):
            high = low + batch.sizes[self.dim]
            own = {**known, **{n: v.variable for n, v in batch.data_vars.items()}}
            yield slice(low, high), self._of([own[n] for n in data], slice(low, high))
            low = high

    def _of(self, variables: Sequence[Variable], rows: slice) -> Design:
        found = list(variables)
        weights = found.pop() if self.weights is not None else None
        inside = tuple(found.pop() for _ in self.inside)[::-1]
        y = found.pop() if self.y is not None else None
        patches = labels_of(self.patches, (self.dim,)).to_dataset().isel({self.dim: rows})
        own = dataclasses.replace(self, patches=patches, y=y, x=tuple(found))
        return dataclasses.replace(own, weights=weights, inside=inside)


def spread(
    variable: Variable, dim: Hashable, rows: int, core: Mapping[Hashable, int]
) -> NDArray[Any]:
    """Broadcast values to (patch, *core), as a view, with NaN for numbers that stand for missing."""
    order = [d for d in (dim, *core) if d in variable.dims]
    values = variable.transpose(*order).to_numpy()
    nodata = nodata_of(variable)
    if nodata is not None:
        values = nodata.masked(values)
    shape = [n if d in order else 1 for d, n in ((dim, rows), *core.items())]
    return np.broadcast_to(values.reshape(shape), (rows, *core.values()))


def product(
    variables: Sequence[Variable], dim: Hashable, rows: int, core: Mapping[Hashable, int]
) -> NDArray[Any] | None:
    """Multiply weights in memory, shape (patch, *core); None: there are none.

    Raises
    ------
    ValueError
        If one is negative.
    """
    found = [check_positive(spread(v, dim, rows, core)) for v in variables]
    return functools.reduce(np.multiply, found).astype(float) if found else None


def as_patches(obj: Any, what: str) -> tuple[xr.Dataset, PatchIndex]:
    """Give patches as a Dataset, and their index.

    Raises
    ------
    TypeError, ValueError
        If they are none.
    """
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        raise TypeError(f"{what} takes patches, got {type(obj).__name__}")
    own = indexed(alone(obj) if patch_index(obj) is None else obj)
    index = patch_index(own)
    if index is None or index.dim not in own.dims:
        raise ValueError(
            f"{what} takes patches, and these are none: split first, field.patch.split(…).patch.{what}(…); what "
            "lost its index becomes patches again by patches.patch.like(…)"
        )
    if isinstance(own, xr.Dataset):
        return own, index
    if own.name is None:
        return whole_of(own), index
    if own.name in own.coords:
        raise ValueError(
            f"the patches are called {own.name!r}, and so is a coordinate of theirs; rename one of them: "
            "patches.rename('t')"
        )
    return own.to_dataset(name=own.name), index


def design_of(
    patches: xr.Dataset,
    index: PatchIndex,
    y: Hashable | None,
    x: Any,
    weights: Any,
) -> Design:
    """Look up what is asked for.

    Raises
    ------
    KeyError, TypeError, ValueError
        If a name is unknown, or occurs twice, or values are no numbers, or weights do not fit.
    """
    dim, names = index.dim, names_of(x, "x")
    if y is None and not names and len(patches.data_vars) == 1:
        names = list(patches.data_vars)
    if y in names:
        raise ValueError(
            f"y={y!r} is among x={names}, from which it would be predicted without error; leave it out"
        )
    if len(set(map(str, names))) < len(names):
        raise ValueError(f"x={names} names a variable twice")
    if y is None and not names:
        raise ValueError("without y the x must be named, x=[…], of which the model learns")
    first = None if y is None else _named(patches, y, "y")
    rest = tuple(_named(patches, n, "x") for n in names)
    core = _core(patches, dim, first, y, dict(zip(names, rest, strict=True)))
    given = None if weights is None else _weights(patches, dim, core, weights)
    inside = inside_of(patches, index, core)
    return Design(patches, dim, core, first, rest, given, [str(n) for n in names], inside)


def inside_of(
    patches: xr.Dataset, index: PatchIndex, core: Mapping[Hashable, int]
) -> tuple[Variable, ...]:
    """Say along each dimension that is padded which cells of patches lie in the field, (patch, cell)."""
    labels = index.to_pandas_index().to_numpy()
    found: dict[Hashable, NDArray[np.bool_]] = {}
    for plans, crop, first, stop in [(s.plans, s.crop, s.first, s.stop) for s in index.scenes] or [
        (index.plans, index.crop, 0, len(labels) and labels.max() + 1)
    ]:
        rows = np.flatnonzero((labels >= first) & (labels < stop))
        for plan in plans:
            for part in plan.hood.slices:
                low, high = crop.get(part.dim, (0, 0))
                size = part.size - low - high
                if not part.overhangs or part.wrap or core.get(part.dim) != size:
                    continue
                cells = part.cells(plan.hood.of_part(part, labels[rows] - first))
                own = found.setdefault(part.dim, np.ones((len(labels), size), bool))
                own[rows] = cells[:, low : part.size - high] >= 0
    return tuple(Variable((index.dim, d), v) for d, v in found.items() if not v.all())


def names_of(value: Any, what: str) -> list[Hashable]:
    """Give names, of which one may be given alone."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, xr.DataArray):
        raise TypeError(
            f"{what} must be a name, or a sequence of names, of what the patches have, got a DataArray: "
            f"{what}={value.name!r}"
        )
    if not isinstance(value, Iterable):
        raise TypeError(
            f"{what} must be a name or a sequence of names, got {value!r}; one that is no text is {what}=[{value!r}]"
        )
    return list(value)


def _named(patches: xr.Dataset, name: Hashable, what: str) -> Variable:
    """Give a variable or coordinate, as it is stored."""
    if name not in patches.variables:
        if any("<this-array>" in str(n) for n in patches.data_vars):
            raise KeyError(
                f"{what} names {name!r}, and the patches have no name: patches.rename('t')"
            )
        known = [*patches.data_vars, *(n for n, c in patches.coords.items() if c.ndim)]
        raise KeyError(f"{what} names {name!r}, which the patches have not; they have {known}")
    array = patches[name]
    if array.dtype.kind in "mM" or (array.dtype == object and what == "x"):
        leads = [n for n in patches.coords if n == "lead"]
        raise TypeError(
            f"{what}={name!r} holds {'dates' if array.dtype != object else array.dtype}, and a model takes numbers: "
            f"give the field one before it is split, field.assign_coords(year=field[{name!r}].dt.year), and name "
            f"that{', or the steps from the anchor, ' + repr(leads[0]) if leads else ''}"
        )
    if array.dtype.kind in "SUOc" and (what == "x" or array.dtype.kind == "c"):
        raise TypeError(f"{what}={name!r} holds {array.dtype}, not real numbers; encode it first")
    return array.variable


def _core(
    patches: xr.Dataset,
    dim: Hashable,
    y: Variable | None,
    name: Hashable,
    x: Mapping[Hashable, Variable],
) -> dict[Hashable, int]:
    """Give the in-patch dimensions of samples: those of y, which all x must have, or of all x."""
    if y is not None and dim not in y.dims:
        raise ValueError(
            f"y={name!r} has no dimension {dim!r}: it was not cut, and is the same for all patches; cut "
            "a dimension that it has"
        )
    dims = {} if y is None else {d: y.sizes[d] for d in y.dims if d != dim}
    for other, variable in x.items():
        more = [d for d in variable.dims if d != dim and d not in dims]
        if more and y is not None:
            raise ValueError(
                f"x={other!r} lies along {more[0]!r}, along which y={name!r} does not; select or average, "
                f"or take its entries as several x"
            )
        dims |= {d: variable.sizes[d] for d in more}
    if y is None and dims:
        order = [d for d in patches.dims if d in dims]
        dims = {d: dims[d] for d in order}
    return dims


def _weights(
    patches: xr.Dataset, dim: Hashable, core: Mapping[Hashable, int], given: Any
) -> Variable:
    """Check weights, and put them in the order of the patches."""
    if isinstance(given, str):
        if given not in patches.variables:
            raise KeyError(f"weights names {given!r}, which the patches have not")
        given = patches[given]
    shape = (patches.sizes[dim], *core.values())
    if not isinstance(given, xr.DataArray):
        values = np.asarray(given)
        if values.shape != shape:
            raise ValueError(
                f"weights have shape {values.shape}, and the samples {dict(zip((dim, *core), shape, strict=True))}; "
                "give a DataArray with named dimensions, such as patches.patch.weights"
            )
        variable = Variable((dim, *core), values)
    else:
        variable = _in_order(patches, _aligned(patches, given, dim), core).variable
        wrong = [d for d, n in variable.sizes.items() if d != dim and core.get(d) != n]
        if wrong:
            raise ValueError(
                f"weights have sizes {dict(variable.sizes)}, and the samples {dict(zip((dim, *core), shape, strict=True))}: "
                f"they differ along {wrong[0]!r}"
            )
    if variable.dtype.kind not in "biuf":
        raise TypeError(f"weights must be numbers, got {variable.dtype}")
    if variable._in_memory:  # others when they are read
        check_positive(spread(variable, dim, patches.sizes[dim], core))
    return variable


def _in_order(
    patches: xr.Dataset, given: xr.DataArray, core: Mapping[Hashable, int]
) -> xr.DataArray:
    """Put weights in the order that the labels of in-patch dimensions have.

    Raises
    ------
    ValueError
        If they are those of other cells.
    """
    for d in core:
        mine, theirs = patches.coords.get(d), given.coords.get(d)
        if (
            mine is None
            or theirs is None
            or mine.chunks
            or theirs.chunks
            or mine.dims != theirs.dims
        ):
            continue
        if mine.sizes != theirs.sizes or agree(theirs.values, mine.values, 0.0).all():
            continue
        at = given.indexes[d].get_indexer(patches.indexes[d]) if d in given.indexes else [-1]
        if (np.asarray(at) < 0).any():
            raise ValueError(
                f"weights are those of other cells: their labels along {d!r} are not those of the patches"
            )
        given = given.isel({d: at})
    return given


def check_positive(values: NDArray[Any]) -> NDArray[Any]:
    """Raise a ValueError if weights are negative or infinite."""
    if (values < 0).any() or np.isinf(values).any():
        worst = values[(values < 0) | np.isinf(values)].flat[0]
        raise ValueError(f"weights must be finite and not negative, got {worst}")
    return values


def _aligned(patches: xr.Dataset, given: xr.DataArray, dim: Hashable) -> xr.DataArray:
    """Put what belongs to patches in their order.

    Raises
    ------
    ValueError
        If it belongs to others.
    """
    if dim not in given.dims:
        return given
    own = patches.indexes[dim]
    if dim not in given.coords:
        if given.sizes[dim] != len(own):
            raise ValueError(f"weights are of {given.sizes[dim]} patches, and these are {len(own)}")
        return given
    mine, theirs = patch_index(patches), patch_index(given)
    if mine is not None and theirs is not None and not mine._same_anchors(theirs):
        raise ValueError("weights are those of another split, whose patches lie elsewhere")
    other = given.indexes[dim]
    if own.equals(other):
        return given
    at = other.get_indexer(own) if other.is_unique else np.full(len(own), -1)
    if (at < 0).any():
        raise ValueError(
            f"weights lack patches that there are, the first is {own[np.flatnonzero(at < 0)[0]]!r}; make them of "
            "the same patches"
        )
    return given.isel({dim: at})
