"""Split and merge of lists of members: what is cut, weighed and put back of one variable."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.aggregation import Aggregation, Learned
from xpatch.domain.nodata import as_floats, nodata_of
from xpatch.engine import dtypes
from xpatch.engine import members as engine
from xpatch.engine import reduce as r
from xpatch.engine.lazy import Deferred, lazily
from xpatch.engine.memory import weigh
from xpatch.engine.nodata import Nodata, filling, placing, reading
from xpatch.engine.reading import Stored
from xpatch.engine.stacked import Modeled
from xpatch.neighborhood import Members
from xpatch.patches.composite import fitted_model
from xpatch.patches.labels import Numbers
from xpatch.window import Window, is_boxcar, member_weights

# ---------------------------------------------------------------------------------------- split


@dataclasses.dataclass(frozen=True, eq=False)
class Taper:
    """Multiplies patches (patch, *dims), the slots at ``axis`` of dims, by the analysis window."""

    window: Window
    axis: int
    nodata: Nodata | None = None

    def __call__(self, patches: NDArray, members: Members) -> NDArray:
        out = patches.astype(dtypes.average(patches.dtype))
        weights = member_weights(self.window, members)
        if weights is not None:
            shape = [len(members)] + [1] * (out.ndim - 1)
            shape[self.axis + 1] = members.width
            weigh(out, members.padded(weights, 1.0).reshape(shape).astype(out.real.dtype))
        return out if self.nodata is None else self.nodata.kept(out, patches)


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Makes patches of a field that may still be on disk, of which it reads what lies around them."""

    source: Any
    axes: tuple[int, ...]
    dims: tuple[Hashable, ...]  # those of the members that the source has
    members: Members
    finish: Taper | None
    dtype: np.dtype
    empty: Any = None  # what empty slots hold; None: a missing value

    def __call__(self, ordinals: NDArray) -> NDArray:
        part = self.members.take(ordinals).only(self.dims)
        if isinstance(self.source, np.ndarray):
            out = engine.gather(self.source, self.axes, part, self.dtype, self.empty)
        else:
            out = self._from_disk(part)
        return out if self.finish is None else self.finish(out, part)

    def _from_disk(self, part: Members) -> NDArray:
        key: list[Any] = [slice(None)] * len(self.source.shape)
        shape = []
        cells = np.unravel_index(part.elements, part.shape) if len(part.elements) else None
        local = np.zeros(len(part.elements), np.int64)
        for k, axis in enumerate(self.axes):
            low, high = (0, 1) if cells is None else (int(cells[k].min()), int(cells[k].max()) + 1)
            key[axis] = slice(low, high)
            shape.append(high - low)
            if cells is not None:
                local = local * (high - low) + cells[k] - low
        data = self.source.read(key)
        elements = local.astype(np.int32)
        near = dataclasses.replace(part, shape=tuple(shape), elements=elements)
        return engine.gather(data, self.axes, near, self.dtype, self.empty)


def cut_members(
    variable: Variable,
    members: Members,
    own: tuple[Hashable, ...],
    dim: Hashable,
    ordinals: NDArray,
    groups: list[NDArray] | None,
    window: Window | None = None,
    defer: bool = False,
    name: Hashable | None = None,
) -> Variable:
    """Take the members of the patches with ``ordinals`` out of one variable.

    ``own`` are the dimensions of the members that the variable has.
    """
    axes = tuple(variable.get_axis_num(d) for d in own)
    dims = [d for d in variable.dims if d not in own]
    place = sum(variable.get_axis_num(d) < min(axes) for d in dims)
    nodata = nodata_of(variable)
    empty = None if nodata is None else nodata.empty
    finish = None if window is None else Taper(window, place, nodata)
    dims.insert(place, members.dim)
    dtype = engine.gather_fill(variable.dtype, members, empty)[0]
    dtype = dtype if finish is None else dtypes.average(variable.dtype)
    if variable.chunks is not None:
        from xpatch.engine import chunked_members

        groups = groups or [ordinals]
        array = chunked_members.gather(
            variable.data, axes, members.only(own), groups, dtype, finish, empty
        )
        return Variable((dim, *dims), array, variable.attrs)
    in_memory = variable._in_memory
    stored = Stored(variable._data, variable.dims, name)
    source = variable.to_numpy() if in_memory else stored
    rows = Rows(source, axes, own, members, finish, dtype, empty)
    if in_memory and not defer:
        return Variable((dim, *dims), rows(ordinals), variable.attrs)
    sizes = {**variable.sizes, members.dim: members.width}
    data = Deferred(rows, ordinals, tuple(sizes[d] for d in dims), dtype)
    return Variable((dim, *dims), lazily(data), variable.attrs)


def number_variable(hood: Any, members: Members, dim: Hashable, ordinals: NDArray) -> Variable:
    """Member numbers (patch, slot), computed when they are looked at.

    ``hood`` gives the lists of patches with any ordinals, ``members`` are the lists that there are.
    """
    data = Deferred(Numbers(hood), ordinals, (members.width,), np.dtype(np.int32))
    return Variable((dim, members.dim), lazily(data), number_attrs(members.dims))


def number_attrs(dims: tuple[Hashable, ...]) -> dict[str, Any]:
    """Give the attributes of numbers of elements, or of steps."""
    along = ", ".join(map(str, dims))
    return {"long_name": f"number of the element along {along}", "empty_slot": -1}


# ---------------------------------------------------------------------------------------- merge


@dataclasses.dataclass(frozen=True, eq=False)
class MemberFill:
    """Writes the fill value where nothing covers an element, (element, other)."""

    value: Any
    dtype: np.dtype
    reducer: r.Reducer

    def __call__(self, merged: NDArray, covered: NDArray[np.bool_]) -> NDArray:
        out = self.reducer.back(merged).astype(self.dtype, copy=False)
        if not covered.all():
            out[~covered] = self.value
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class MemberJob:
    """The merge of one array (patch, *dims) whose slots are at ``axis`` of dims."""

    members: Members
    ordinals: NDArray
    axis: int
    analysis: Window | None
    aggregation: Aggregation
    skipna: bool
    fill_value: Any
    nodata: Nodata | None = None  # the numbers that stand for missing
    anchors: NDArray[np.int64] | None = None  # the element of each patch of the plan, or −1

    @property
    def n(self) -> int:
        """Number of elements."""
        return int(np.prod(self.members.shape, dtype=np.int64))

    def group(self, ordinals: NDArray) -> Any:
        """Give the members of some patches, and what they weigh."""
        from xpatch.engine.chunked_members import Group

        part = self.members.take(ordinals)
        weights = member_weights(self.aggregation.synthesis, part)
        tapered = member_weights(self.analysis, part)
        mass = weights
        if tapered is not None:
            mass = tapered if weights is None else weights * tapered
        reducer = self.reducer(np.dtype(float), False)
        central = isinstance(reducer, r.Choose) and reducer.by == "central"
        needs = central or getattr(reducer, "needs_offsets", False)
        radial = part.radial if needs else None
        if central and radial is not None and self.anchors is not None:
            own = part.elements == self.anchors[ordinals][part.patches]
            radial = np.where(own, -1.0, radial)  # before others that lie at the same place
        return Group(part, np.asarray(ordinals), weights, mass, radial)

    def reducer(self, dtype: np.dtype, lone: bool) -> r.Reducer:
        """Choose the reducer; where no element occurs twice values are placed bit by bit."""
        plain = is_boxcar(self.analysis) and is_boxcar(self.aggregation.synthesis)
        if lone and plain and self.aggregation.linear and self.aggregation.normalize:
            return placing(r.Choose(dtype, self.skipna, "first"), self.nodata)
        return reading(self.aggregation.reducer, dtype, self.skipna, self.nodata)

    def _cover(self) -> tuple[NDArray[np.bool_], bool]:
        """Give which elements are covered, and whether none is twice."""
        group = self.group(self.ordinals)
        total = engine.cover(group.members, group.mass)
        lone = group.mass is None and bool((total <= 1).all())
        return total > 0, lone

    def _fill(self, reducer: r.Reducer, full: bool) -> MemberFill:
        dtype = reducer.final
        if self.aggregation.covers_zero or full:
            return MemberFill(np.zeros((), dtype)[()], dtype, reducer)
        dtype, value = filling(dtype, self.fill_value, self.nodata)
        return MemberFill(value, dtype, reducer)

    def _planned(self, dtype: np.dtype, present: Any = None) -> tuple[r.Reducer, MemberFill]:
        """Choose the reducer, and what is written where nothing covers an element."""
        covered, lone = self._cover()
        reducer = self.reducer(dtype, lone)
        full = bool(covered.all()) and present is None
        return reducer, self._fill(reducer, full)

    def in_memory(self, patches: NDArray) -> NDArray:
        """Merge a NumPy array."""
        covered, lone = self._cover()
        group = self.group(self.ordinals)
        given = group.contributions(patches, self.axis)
        reducer = self.reducer(patches.dtype, lone)
        shape = self.members.shape
        if isinstance(reducer, Modeled) and isinstance(self.aggregation, Learned):
            target = self._target(given)
            cells = (self.n, given.values.shape[1])
            args = (self.aggregation, reducer, cells)
            reducer = fitted_model(*args, lambda look: engine.reduce(given, self.n, look), target)
        merged = engine.reduce(given, self.n, reducer)
        fill = self._fill(reducer, bool(covered.all()))
        return given.unflattened(fill(merged, covered), shape)

    def _target(self, given: engine.Contributions) -> NDArray | None:
        target = getattr(self.aggregation, "target", None)
        if target is None:
            return None
        values = as_floats(target)
        place = given.place
        shape = (*given.shape[:place], *self.members.shape, *given.shape[place:])
        if values.shape != shape:
            raise ValueError(
                f"the target of Learned has shape {values.shape}, the merged field {shape}"
            )
        flat = values.reshape(*given.shape[:place], self.n, *given.shape[place:])
        return np.moveaxis(flat, place, 0).reshape(self.n, -1)

    def chunked(self, patches: Any, present: Any = None) -> Any:
        """Merge a dask array, but for the patches that are not ``present``."""
        from dask.base import tokenize

        from xpatch.engine import chunked_members

        if isinstance(self.aggregation, Learned) and self.aggregation.fits:
            return self._whole(patches, present)
        reducer, fill = self._planned(patches.dtype, present)
        bounds = np.concatenate([[0], np.cumsum(patches.chunks[0])])
        groups = [self.group(self.ordinals[a:b]) for a, b in itertools.pairwise(bounds)]
        token = tokenize(
            self.members.identity,
            self.ordinals,
            self.axis,
            self.analysis,
            self.aggregation,
            self.skipna,
            self.fill_value,
            self.nodata,
        )
        return chunked_members.reduce(
            patches,
            self.axis,
            groups,
            self.members.shape,
            reducer,
            fill,
            fill.dtype,
            token,
            present,
        )

    def _whole(self, patches: Any, present: Any) -> Any:
        """Merge in one task, for models that are fitted on all contributions at once."""
        import dask
        import dask.array as da

        shape = list(patches.shape[1:])
        shape[self.axis : self.axis + 1] = self.members.shape
        merged = dask.delayed(self._of_present)(patches, present)
        return da.from_delayed(merged, tuple(shape), dtypes.average(patches.dtype))

    def _of_present(self, patches: NDArray, present: NDArray | None) -> NDArray:
        if present is None:
            return self.in_memory(patches)
        job = dataclasses.replace(self, ordinals=self.ordinals[present])
        return job.in_memory(patches[present])
