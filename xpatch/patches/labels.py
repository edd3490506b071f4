"""The labels of patches: what they are, and whether those that patches have are theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import Variable
from xarray.core import indexing

from xpatch.domain import Lattice
from xpatch.engine import dtypes
from xpatch.engine.lazy import Deferred, lazily
from xpatch.neighborhood import Members, Neighborhood
from xpatch.patches.plan import Plan

MOST = 10_000_000  # labels that are all compared; of more the first, middle and last of each patch
ROUNDING = 3e-7  # of the largest label: what files and float32 do to them
APART = 0.1  # of a cell: labels that are further off are of other cells; scenes may be half a cell apart
SAMPLE = 3  # patches that tell which run of cells labels may be


class Labels:
    """Makes the labels of patches along one dimension."""

    def __init__(self, plan: Plan, dim: Hashable):
        self.plan, self.k = plan, plan.dims.index(dim)

    def __call__(self, ordinals: NDArray[Any]) -> NDArray[Any]:
        boxes = self.plan.boxes
        entries = boxes.entries(ordinals)[self.k]
        which, inverse = np.unique(entries, return_inverse=True)
        part = boxes.slices[self.k]
        cells = part.starts[which][:, None] + np.arange(part.size)
        dim = self.plan.dims[self.k]
        labels = np.asarray(self.plan.domain.labels_at(dim, cells, boxes.wrap[self.k]))
        labels = labels.astype(self.dtype, copy=part.ragged)
        if part.ragged and (lost := dtypes.missing(self.dtype)) is not None:
            labels[part.empty(which)] = lost
        return labels[inverse.reshape(-1)]

    @cached_property
    def dtype(self) -> np.dtype:
        """The dtype of the labels of all patches: those past the edge may need a wider one."""
        boxes, domain, dim = self.plan.boxes, self.plan.domain, self.plan.dims[self.k]
        values, starts = domain.coordinate(dim), boxes.slices[self.k].starts
        assert values is not None
        if not len(starts):
            return values.dtype
        ends = np.array([starts.min(), starts.max() + boxes.sizes[self.k] - 1])
        found = np.asarray(domain.labels_at(dim, ends, boxes.wrap[self.k])).dtype
        return dtypes.of_empty(found, None)[0] if boxes.slices[self.k].ragged else found


def label_variable(
    name: Hashable, attrs: Any, plan: Plan, dim: Hashable, ordinals: NDArray[Any]
) -> Variable:
    """Labels ``y(patch, y)``, computed when they are looked at."""
    make = Labels(plan, name)
    size = plan.boxes.sizes[plan.dims.index(name)]
    data = Deferred(make, ordinals, (size,), make.dtype)
    return Variable((dim, name), lazily(data), attrs)


class Numbers:
    """Makes the member numbers of patches: those of one part of their neighborhoods."""

    def __init__(self, hood: Neighborhood, part: Members):
        self.hood, self.part = hood, part

    def __call__(self, ordinals: NDArray[Any]) -> NDArray[Any]:
        return self.part.cells(self.hood.of_part(self.part, ordinals)).astype(np.int32)


# ------------------------------------------------------------------------------ which part it is


def part_of(
    labels: Variable,
    ordinals: NDArray[Any],
    dim: Hashable,
    plan: Plan,
    d: Hashable,
    cropped: tuple[int, int] | None = None,
) -> tuple[int, int] | None:
    """Say how many in-patch cells were cut off at both ends along ``d``, as the labels tell.

    Our own labels that nobody looked at tell by how they were indexed; others are compared with
    those of the plan, within rounding. None: they are not a run of those of their patch. ``cropped`` is
    what is remembered, which tells between several runs.

    Raises
    ------
    ValueError
        If they are several runs, as where the labels of the field repeat.
    """
    offsets = plan.offsets(d)
    cells = own_cells(labels, ordinals, plan, d)
    if cells is not None:
        spare = len(offsets) - len(cells)
        for low in range(spare + 1):
            if np.array_equal(cells, offsets[low : low + len(cells)]):
                return low, spare - low
        return None
    rows = dim in labels.dims
    size = labels.sizes[d]
    many = labels.size > MOST
    columns = np.unique([0, size // 2, size - 1]) if many else np.arange(size)
    given = labels.isel({d: columns}) if many else labels
    values = given.transpose(dim, d).to_numpy() if rows else given.to_numpy()[None]
    expected, within = Expected(plan, d), tolerance(plan.domain, d)
    fits = []
    for low in _likely(values, ordinals, offsets, columns, size, expected, within):
        known = expected(ordinals, offsets[low : low + size][columns])
        if known is None or agree(values, known, within).all():
            fits.append(low)
    if cropped is not None and cropped[0] in fits and size == len(offsets) - sum(cropped):
        return cropped
    if len(fits) > 1 and not missing(values).all():
        raise ValueError(
            f"labels along {d!r} repeat within a patch, so that {size} of its {len(offsets)} cells may be "
            f"those from number {fits[0]} or {fits[1]}: crop with patches.patch.crop({d}=…), which remembers "
            "it, or give the field labels that differ"
        )
    return (fits[0], len(offsets) - fits[0] - size) if fits else None


def few_tell(
    labels: Variable, ordinals: NDArray[Any], dim: Hashable, plan: Plan, d: Hashable
) -> tuple[int, int] | None:
    """Say which part of patches there is, as the labels of the first few tell."""
    if labels.sizes[d] == plan.inner[d]:
        return 0, 0
    rows = {dim: slice(SAMPLE)} if dim in labels.dims else {}
    few = labels.isel(rows).compute()
    return part_of(few, ordinals[: few.sizes.get(dim, 1)], dim, plan, d)


def _likely(
    values: NDArray[Any],
    ordinals: NDArray[Any],
    offsets: NDArray[Any],
    columns: NDArray[Any],
    size: int,
    expected: Expected,
    within: float,
) -> list[int]:
    """Give the runs of cells that labels of the first few patches may be."""
    found = []
    some = values[:SAMPLE]
    for low in range(len(offsets) - size + 1):
        known = expected(
            ordinals[: len(some)] if len(values) > 1 else ordinals[:1], offsets[low:][columns]
        )
        if known is None:
            return [0]
        if agree(some, known, within).all():
            found.append(low)
    return found


def own_cells(
    labels: Variable, ordinals: NDArray[Any], plan: Plan, d: Hashable
) -> NDArray[np.int64] | None:
    """Give which cells of their boxes labels are, if they are still those that were put off."""
    data = labels._data
    if not isinstance(data, indexing.LazilyIndexedArray) or not isinstance(data.array, Deferred):
        return None
    make = data.array.make
    if not isinstance(make, Labels) or labels.dims[-1:] != (d,) or len(data.key.tuple) != 2:
        return None
    rows, cells = data.key.tuple
    at = np.atleast_1d(data.array.ordinals[rows])
    if len(at) == 1 < len(ordinals) or not np.array_equal(at, ordinals):
        return None
    if not _same_axis(make, plan, d, ordinals):
        return None
    return np.atleast_1d(np.arange(data.array.shape[1])[cells])


def _same_axis(make: Labels, plan: Plan, d: Hashable, ordinals: NDArray[Any]) -> bool:
    """Whether labels were made of the same boxes along ``d`` of a field with the same labels."""
    a, b, k = make.plan.boxes, plan.boxes, plan.dims.index(d)
    if a is b and make.plan.domain is plan.domain:
        return make.k == k
    mine = make.plan.domain.coordinate(make.plan.dims[make.k])
    theirs = plan.domain.coordinate(d)
    if a.sizes[make.k] != b.sizes[k] or mine is None or theirs is None:
        return False
    if mine is not theirs and not np.array_equal(mine, theirs):
        return False
    same = a.slices[make.k].starts is b.slices[k].starts
    if same and a.product and b.product and a.grid == b.grid:
        return True
    return bool(np.array_equal(a.starts(ordinals)[:, make.k], b.starts(ordinals)[:, k]))


def same_numbers(
    given: Variable, ordinals: NDArray[Any], dim: Hashable, plan: Plan, members: Members
) -> bool:
    """Whether member numbers are those of the plan; our own that nobody looked at are."""
    hood, slot = plan.hood, members.dim
    data = given._data
    if isinstance(data, indexing.LazilyIndexedArray) and isinstance(data.array, Deferred):
        make, key = data.array.make, data.key.tuple
        if isinstance(make, Numbers) and given.dims == (dim, slot) and len(key) == 2:
            kept = np.arange(data.array.shape[1])[key[1]]
            whole = np.array_equal(kept, np.arange(members.width))
            at = np.atleast_1d(data.array.ordinals[key[0]])
            if whole and np.array_equal(at, ordinals) and _same_lists(make, hood, members):
                return True
    many = given.size > MOST
    slots = np.unique([0, members.width // 2, members.width - 1]) if many else slice(None)
    values = given.transpose(dim, slot).isel({slot: slots}).to_numpy()
    block = max(1, MOST // max(1, members.width))
    for first in range(0, len(ordinals), block):
        own = hood.of_part(members, ordinals[first : first + block])
        known = members.cells(own)[:, slots]
        if not np.array_equal(values[first : first + block], known):
            return False
    return True


def _same_lists(make: Numbers, hood: Neighborhood, members: Members) -> bool:
    """Whether numbers were made of the same lists, of which patches take the same."""
    if make.part is not members:
        return False
    if make.hood is hood:
        return True
    every = np.arange(len(hood))
    own = make.hood.of_part(members, every) if len(make.hood) == len(hood) else None
    return own is not None and bool(np.array_equal(own, hood.of_part(members, every)))


# --------------------------------------------------------------------------------- comparing


@dataclasses.dataclass(frozen=True, eq=False)
class Expected:
    """The labels that the plan has for patches, along one dimension."""

    plan: Plan  # of boxes
    dim: Hashable

    def __call__(self, ordinals: NDArray[Any], offsets: NDArray[Any]) -> NDArray[Any] | None:
        boxes = self.plan.boxes
        k = boxes.dims.index(self.dim)
        cells = boxes.starts(ordinals)[:, k, None] + offsets
        return self.plan.domain.labels_at(self.dim, cells, boxes.wrap[k])


def tolerance(domain: Lattice, d: Hashable) -> float:
    """By how much labels may differ: a little, and far less than half a cell."""
    values = domain.coordinate(d)
    if values is None or values.dtype.kind != "f" or not len(values):
        return 0.0
    with np.errstate(invalid="ignore"):
        largest = float(np.nanmax(np.abs(values), initial=0))
        steps = np.abs(np.diff(values.astype(float)))
        step = float(np.nanmin(steps[steps > 0], initial=np.inf))
    return min(ROUNDING * largest, APART * step)


def agree(given: NDArray[Any], known: NDArray[Any], within: float) -> NDArray[np.bool_]:
    """Say where labels agree, or there is nothing to compare."""
    if given.dtype.kind in "iufb" and known.dtype.kind in "iufb":
        if given.dtype == known.dtype and np.array_equal(given, known):
            return np.ones(np.broadcast_shapes(given.shape, known.shape), bool)
        same: NDArray[np.bool_] = given == known
        if within or "f" in given.dtype.kind + known.dtype.kind:
            with np.errstate(invalid="ignore"):
                same |= np.abs(given.astype(float) - known) <= within
            same |= (given != given) | (known != known)
        return same
    try:
        same = np.asarray(given == known)
    except TypeError:
        same = np.zeros((), bool)
    same = np.broadcast_to(same, np.broadcast_shapes(given.shape, known.shape)) | missing(known)
    return same | missing(given)


def missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which labels are missing; text past the edge is empty."""
    null: NDArray[np.bool_] = np.asarray(pd.isnull(values))
    if values.dtype.kind in "US":
        null |= values == values.dtype.type()
    return null | (values == "") if values.dtype == object else null
