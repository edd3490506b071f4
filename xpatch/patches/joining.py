"""Split and merge of neighborhoods in time and in space at once, where one of them is lists."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.aggregation import Learned
from xpatch.domain.nodata import Nodata, beside, nodata_of
from xpatch.engine import dtypes
from xpatch.engine import joint as engine
from xpatch.engine import reduce as r
from xpatch.engine.coarsen import mean_dtype, mean_of
from xpatch.engine.lazy import Deferred, lazily
from xpatch.engine.members import added, put_together
from xpatch.engine.memory import weigh
from xpatch.engine.reading import Stored
from xpatch.joint import Joint, in_time
from xpatch.neighborhood import Boxes, Members
from xpatch.patches.listing import MemberJob
from xpatch.runs import Runs
from xpatch.time.window import Stepwise, stepwise
from xpatch.window import Boxcar, ByDim, Window, box_weights, member_weights

BATCH = 1 << 24  # cells of patches that are looked at together in memory

# ---------------------------------------------------------------------------------------- split


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """Makes patches of one variable: what to take, of what type, and what to do to it."""

    joint: Joint
    dims: tuple[Hashable, ...]
    dtype: np.dtype  # of gathered cells
    fills: tuple[Any, ...]
    window: Window | None
    coarse: Mapping[Hashable, int]  # every how many cells are averaged
    nodata: Nodata | None = None

    @classmethod
    def of(cls, variable: Variable, joint: Joint, window: Window | None, coarse: Any) -> Cut:
        nodata, empty = nodata_of(variable), None
        if nodata is not None:
            joint, empty = padded_alike(joint, nodata), nodata.empty
        dtype, fills = engine.dtype_and_fills(variable.dtype, joint, empty)
        own = {d: f for d, f in (coarse or {}).items() if d in variable.dims}
        how = (stepwise(window, own), own, nodata)
        return cls(joint, variable.dims, dtype, tuple(fills), *how)

    @property
    def final(self) -> np.dtype:
        """The dtype of the patches."""
        dtype = self.dtype if self.window is None else dtypes.average(self.dtype)
        return mean_dtype(dtype) if self.coarse else dtype

    @property
    def sizes(self) -> dict[Hashable, int]:
        """In-patch dimensions of patches and their sizes."""
        return {d: n // self.coarse.get(d, 1) for d, n in self.joint.slots.items()}

    @property
    def patch_dims(self) -> tuple[Hashable, ...]:
        """The dims of patches, behind the patch dimension."""
        return engine.in_patch_dims(self.joint, self.dims)

    def region(self, found: list[engine.Table]) -> dict[Hashable, tuple[int, int]]:
        """Give the first cell, and that behind the last one, that patches hold along each dim."""
        out: dict[Hashable, tuple[int, int]] = {}
        for t in found:
            there = t.cells[t.cells >= 0]
            for d, cells in zip(t.dims, np.unravel_index(there, t.shape), strict=True):
                out[d] = (int(cells.min()), int(cells.max()) + 1) if len(cells) else (0, 1)
        return out

    def tables(self, ordinals: NDArray) -> list[engine.Table]:
        """Give the cells that patches hold."""
        found = engine.tables(self.joint, ordinals, mirrored=True)
        if self.dtype == object:  # cftime and text know no missing value that can be written
            found = [t.filled() for t in found]
        return found

    def __call__(
        self,
        part: NDArray,
        ordinals: NDArray,
        found: list[engine.Table],
        region: dict[Hashable, tuple[int, int]] | None = None,
    ) -> NDArray:
        """Cut patches out of a field, or out of a region of it."""
        if region is not None:
            low = {d: a for d, (a, _) in region.items()}
            size = {d: b - a for d, (a, b) in region.items()}
            found = [t.within([low[d] for d in t.dims], [size[d] for d in t.dims]) for t in found]
        out = engine.gather(part, self.dims, self.joint, found, self.dtype, self.fills)
        if self.window is not None:
            out = self._tapered(out, ordinals, found)
        for d, factor in self.coarse.items():
            out = mean_of(out, 1 + self.patch_dims.index(d), factor, self.nodata)
        return out

    def _tapered(self, patches: NDArray, ordinals: NDArray, found: list[engine.Table]) -> NDArray:
        out = patches.astype(dtypes.average(self.dtype))
        dims = self.patch_dims
        for t, w in zip(found, weight_tables(self.window, self.joint, ordinals), strict=True):
            if w is not None:
                sizes = dict(t.inner)
                shape = [len(out), *(sizes.get(d, 1) for d in dims)]
                order = [d for d in dims if d in sizes]
                names = list(sizes)
                w = w.reshape(len(out), *sizes.values())
                w = w.transpose(0, *(1 + names.index(d) for d in order))
                weigh(out, w.reshape(shape).astype(out.real.dtype))
        return out if self.nodata is None else self.nodata.kept(out, patches)


def padded_alike(joint: Joint, nodata: Nodata) -> Joint:
    """Let cells of boxes outside of a field be missing as those inside are."""
    parts = tuple(beside(p, nodata) if isinstance(p, Boxes) else p for p in joint.parts)
    return dataclasses.replace(joint, parts=parts)


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Makes patches of a field that may still be on disk, of which it reads what lies around them."""

    source: Any
    cut: Cut

    def __call__(self, ordinals: NDArray) -> NDArray:
        found = self.cut.tables(ordinals)
        if isinstance(self.source, np.ndarray):
            return self.cut(self.source, ordinals, found)
        region = self.cut.region(found)
        key = tuple(slice(*region[d]) if d in region else slice(None) for d in self.cut.dims)
        data = self.source.read(key)
        return self.cut(data, ordinals, found, region)


def cut_jointly(
    variable: Variable,
    joint: Joint,
    dim: Hashable,
    ordinals: NDArray,
    groups: list[NDArray] | None,
    window: Window | None = None,
    defer: bool = False,
    coarse: Mapping[Hashable, int] | None = None,
    name: Hashable | None = None,
) -> Variable:
    """Take what the patches with ``ordinals`` hold out of one variable, which has all its dims."""
    cut = Cut.of(variable, joint, window, coarse)
    dims = (dim, *cut.patch_dims)
    if variable.chunks is not None:
        from xpatch.engine import chunked_joint

        array = chunked_joint.gather(variable.data, cut, groups or [ordinals])
        return Variable(dims, array, variable.attrs)
    stored = Stored(variable._data, variable.dims, name)
    source = variable.to_numpy() if variable._in_memory else stored
    rows = Rows(source, cut)
    if variable._in_memory and not defer:
        return Variable(dims, rows(ordinals), variable.attrs)
    sizes = {**variable.sizes, **cut.sizes}
    data = Deferred(rows, ordinals, tuple(sizes[d] for d in dims[1:]), cut.final)
    return Variable(dims, lazily(data), variable.attrs)


# -------------------------------------------------------------------------------------- weights


def weight_tables(
    window: Window | None, joint: Joint, ordinals: NDArray
) -> list[NDArray[np.float64] | None]:
    """Sample a window on each part, shape (patch, slot); None where every weight is one."""
    out: list[NDArray[np.float64] | None] = []
    for part, entries in zip(joint.parts, joint.entries(ordinals), strict=True):
        own = _window_of(window, part)
        if own is None or own == Boxcar():
            out.append(None)
            continue
        which, inverse = np.unique(entries, return_inverse=True)
        table = _sampled(own, part.take(which))
        out.append(None if table is None else table[inverse.reshape(-1)])
    return out


def _window_of(window: Window | None, part: Boxes | Members) -> Window | None:
    """Give what a window is along the dims of one part: a window in time is one only there."""
    if isinstance(window, Stepwise):
        inner = _window_of(window.window, part)
        lists = isinstance(part, Members) or inner is None
        return inner if lists else Stepwise(inner, window.factors)
    if isinstance(window, ByDim):
        own = {d: window.dims.get(d) for d in part.dims}
        return window if any(own.values()) else None
    if window is not None and window.temporal and not in_time(part):
        return None
    return window


def _sampled(window: Window, part: Boxes | Members) -> NDArray[np.float64] | None:
    if isinstance(part, Members):
        weights = member_weights(window, part)
        return None if weights is None else part.padded(weights, 0.0)
    out = np.ones((len(part), 1))
    for w in box_weights(window, part):
        full = w.full()
        width = out.shape[1] * full.shape[1]
        out = (out[:, :, None] * full[:, None]).reshape(len(part), width)
    return out


def offset_tables(joint: Joint, ordinals: NDArray) -> list[NDArray[np.float64]]:
    """Give how far slots are from the middle of their patch, in [0, 1), for each part."""
    out = []
    for part, entries in zip(joint.parts, joint.entries(ordinals), strict=True):
        if isinstance(part, Members):
            which, inverse = np.unique(entries, return_inverse=True)
            own = part.take(which)
            out.append(own.padded(own.radial, 0.0)[inverse.reshape(-1)])
            continue
        far = np.zeros(1)
        for size in part.sizes:
            offset = np.abs((2 * np.arange(size) + 1 - size) / size)
            far = np.maximum(far[:, None], offset).reshape(-1)
        out.append(np.broadcast_to(far, (len(ordinals), len(far))))
    return out


# ---------------------------------------------------------------------------------------- merge


@dataclasses.dataclass(frozen=True, eq=False)
class JointJob(MemberJob):
    """The merge of one array (patch, *dims), the slots of all parts flattened at ``axis`` of dims."""

    members: Any  # the Joint

    def group(self, ordinals: NDArray) -> engine.Layout:
        """Give what some patches hold and weigh."""
        found = engine.tables(self.members, ordinals)
        weights = weight_tables(self.aggregation.synthesis, self.members, ordinals)
        tapered = weight_tables(self.analysis, self.members, ordinals)
        mass = [_times(a, b) for a, b in zip(weights, tapered, strict=True)]
        reducer = self.reducer(np.dtype(float), False)
        central = isinstance(reducer, r.Choose) and reducer.by == "central"
        needs = central or getattr(reducer, "needs_offsets", False)
        offsets = offset_tables(self.members, ordinals) if needs else None
        return engine.Layout(found, np.asarray(ordinals), weights, mass, offsets)

    def _batches(self) -> list[slice]:
        """Cut the patches into runs that hold at most so many cells."""
        step = max(1, BATCH // self.members.width)
        return [slice(a, a + step) for a in range(0, max(1, len(self.ordinals)), step)]

    def _cover(self) -> tuple[NDArray[np.bool_], bool]:
        joint: Joint = self.members
        every = len(self.ordinals) == len(joint) and (np.diff(self.ordinals) > 0).all()
        if joint.picks is None and every:  # of an outer product each part on its own
            total, plain = np.ones(1), True
            for part in joint.parts:
                alone = dataclasses.replace(
                    self, members=Joint((part,)), ordinals=np.arange(len(part))
                )
                own, even = alone._added()
                total, plain = np.multiply.outer(total, own).reshape(-1), plain and even
        else:
            total, plain = self._added()
        return total > 0, plain and bool((total <= 1).all())

    def _weighs(self, part: Boxes | Members) -> bool:
        """Whether some members of a part have another weight than others."""
        own = [_window_of(w, part) for w in (self.analysis, self.aggregation.synthesis)]
        return any(w is not None and w != Boxcar() for w in own)

    def _added(self) -> tuple[NDArray[np.float64], bool]:
        """Sum the mass over the patches, for each element, and say if all of it is one."""
        (first, *others) = self.members.parts
        if not others and isinstance(first, Runs) and not self._weighs(first):
            return first.cover(self.members.entries(self.ordinals)[0]), True
        total, plain = np.zeros(self.n), True
        for part in self._batches():
            group = self.group(self.ordinals[part])
            total += group.cover()
            plain &= group.mass is None
        return total, plain

    def in_memory(self, patches: NDArray) -> NDArray:
        """Merge a NumPy array; in batches, where the reducer can put parts together."""
        from xpatch.engine.stacked import Stacked

        batches = self._batches()
        at_once = isinstance(self.aggregation, Learned) or isinstance(
            self.reducer(patches.dtype, False), Stacked
        )
        if len(batches) == 1 or at_once:
            return super().in_memory(patches)
        reducer, fill = self._planned(patches.dtype)
        parts = (
            added(self.group(self.ordinals[b]).contributions(patches[b], self.axis), reducer)
            for b in batches
        )
        others = tuple(n for k, n in enumerate(patches.shape[1:]) if k != self.axis)
        shape = self.members.shape
        return put_together(parts, reducer, self.axis, shape, others, fill, fill.dtype)

    def chunked(
        self, patches: Any, present: Any = None, chunks: tuple[tuple[int, ...], ...] | None = None
    ) -> Any:
        """Merge a dask array, but for the patches that are not ``present``."""
        from xpatch.engine import chunked_joint

        if isinstance(self.aggregation, Learned) and self.aggregation.fits:
            return self._whole(patches, present)
        reducer, fill = self._planned(patches.dtype, present)
        chunks = chunks or tuple((n,) for n in self.members.shape)
        return chunked_joint.reduce(patches, self, chunks, reducer, fill, present)


def _times(a: NDArray | None, b: NDArray | None) -> NDArray | None:
    return b if a is None else a if b is None else a * b


def flattened(variable: Variable, joint: Joint, place: int) -> Any:
    """Flatten the slots of all parts, which stand together behind ``place`` other dims."""
    begin = 1 + place
    stop = begin + len(joint.slots)
    data = variable.data
    shape = (*data.shape[:begin], math.prod(data.shape[begin:stop]), *data.shape[stop:])
    if variable.chunks is not None:
        data = data.rechunk(dict.fromkeys(range(begin, stop), -1))
    return data.reshape(shape)
