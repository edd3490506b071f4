"""What the slots of patches weigh: windows sampled on the parts of neighborhoods."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain.nodata import Nodata
from xpatch.engine import dtypes
from xpatch.engine.central import half_sample_offsets
from xpatch.engine.slices import AxisWeights, Factors
from xpatch.neighborhood import Members, Neighborhood, Part
from xpatch.window import Boxcar, ByDim, Window, is_boxcar, member_weights, slice_weights


@dataclasses.dataclass(frozen=True, eq=False)
class ListWeights:
    """Values of the members of lists, such as weights, laid out where they are asked for."""

    part: Members
    values: NDArray[np.float64]

    def members(self, entries: NDArray[Any]) -> NDArray[np.float64]:
        """Values of the members of entries, one after the other."""
        if len(entries) == len(self.part) and (entries == np.arange(len(entries))).all():
            return self.values
        return self.values[self.part.rows(entries)]

    def full(self, entries: NDArray[Any]) -> NDArray[np.float64]:
        """Values of entries, shape (entry, slot), 0 in empty slots."""
        return self.part.laid_out(self.values, entries, 0.0, float)


def part_weights(window: Window | None, hood: Neighborhood) -> tuple[Any, ...]:
    """Sample a window on each part, by what gives weights ``full(entries)``; None: all are one.

    The cells of a coarse slot have the mean of their weights.
    """
    boxes = iter(
        slice_weights(_window_of(window, hood, hood.slices), hood.slices) if hood.slices else ()
    )
    out: list[Any] = []
    for part in hood.parts:
        if part.box:
            found = next(boxes)
            out.append(None if found is None else found.averaged(part.factor))
            continue
        values = member_weights(_window_of(window, hood, (part,)), part)
        out.append(None if values is None else ListWeights(part, values))
    return tuple(out)


def box_table(window: Window | None, hood: Neighborhood) -> NDArray[np.float64] | None:
    """Sample a window on boxes where it is no product, shape (slots of each part); None: it is one.

    Raises
    ------
    ValueError
        If it does not have the shape of a patch, or if these are no boxes, or of several scales.
    """
    if window is None or not hood.slices:
        return None
    timed = [p.timed for p in hood.slices]
    if window.unnamed and any(timed) and not all(timed):  # which patches may have in any order
        raise ValueError(
            f"{window!r} does not say which of its dimensions are those of {list(hood.dims)}; name them: "
            "xr.DataArray(weights, dims=[…])"
        )
    table = window.table({p.dim: p.size for p in hood.slices})
    if table is not None and (hood.lists or hood.coarse):
        what = "lists of members" if hood.lists else "windows in time of several scales"
        raise ValueError(
            f"an array of weights goes with boxes of one shape, and these patches are {what}; give a "
            "window by name or as a function"
        )
    return None if table is None else np.broadcast_to(table, [p.size for p in hood.slices])


def _window_of(window: Window | None, hood: Neighborhood, parts: tuple[Part, ...]) -> Window | None:
    """Give what a window is along some parts: one in time weighs only there."""
    if not hood.lists or len(hood.parts) == 1 or window is None:
        return window
    if isinstance(window, ByDim):
        return window if any(window.dims.get(d) for p in parts for d in p.dims) else None
    return None if window.temporal and not any(p.timed for p in parts) else window


def remaining(window: Window | None, hood: Neighborhood, dims: Iterable[Hashable]) -> Window | None:
    """Give the analysis window along the dimensions that values still have.

    What a model reduced a patch to was not multiplied by the window, and is not divided by it.
    """
    lost = {d for p in hood.parts for d in p.inner}.difference(dims)
    if window is None or not lost:
        return window
    kept = {d: window for p in hood.parts for d in p.dims if not {*p.inner} & lost}
    if isinstance(window, ByDim):
        kept = {d: w for d, w in window.dims.items() if d in kept and w is not None}
    return ByDim.of(kept) if kept else None


def offsets(hood: Neighborhood) -> tuple[Any, ...]:
    """Give how far slots are from the middle of their patch, in [0, 1), for each part."""
    out: list[Any] = []
    for part in hood.parts:
        if not part.box:
            out.append(ListWeights(part, part.radial))
        else:
            sizes, pick = np.unique(part.counts, return_inverse=True)
            far = np.zeros((len(sizes), part.size))
            for row, size in zip(far, sizes, strict=True):
                row[:size] = np.abs(half_sample_offsets(int(size)))
            out.append(AxisWeights(far, pick.reshape(-1)))
    return tuple(out)


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """The synthesis window, and the analysis times the synthesis window, on what came back.

    The analysis window is that of the whole patch, of which a crop keeps the inner part; the
    synthesis window spans what came back.
    """

    analysis: Window | None
    synthesis: Window | None
    whole: Neighborhood
    crop: Mapping[Hashable, tuple[int, int]]
    scale: Mapping[Hashable, int]

    @property
    def plain(self) -> bool:
        """Whether both windows are one wherever they are not left out."""
        return is_boxcar(self.analysis) and is_boxcar(self.synthesis)

    def __call__(self) -> tuple[Factors, Factors]:
        """Give what values are multiplied by, and what that adds to the denominator."""
        inner = self.whole.cropped(self.crop).scaled(self.scale)
        weights = Factors.of(part_weights(self.synthesis, inner.fine), self._synthesis_table(inner))
        if self.analysis is None or self.analysis == Boxcar():
            return weights, weights
        tapered = part_weights(self.analysis, self.whole)
        each = zip(weights, tapered, self.whole.parts, strict=True)
        table, own = weights.table, self._inner(box_table(self.analysis, self.whole))
        if own is not None:
            table = own if table is None else table * own
        return weights, Factors.of([self._times(w, a, part) for w, a, part in each], table)

    def _synthesis_table(self, inner: Neighborhood) -> NDArray[np.float64] | None:
        """Sample the synthesis window; weights of the shape of the whole patch are cropped with it."""
        window, sizes = self.synthesis, {p.dim: p.size for p in inner.slices}
        if window is not None and not window.fits(sizes):
            whole = {p.dim: p.size for p in self.whole.slices}
            if window.fits(whole):
                return self._inner(box_table(window, self.whole))
        return box_table(window, inner)

    def _inner(self, table: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        """Take the part of a table that came back, at its scale."""
        if table is None:
            return None
        for k, part in enumerate(self.whole.slices):
            low, high = self.crop.get(part.dim, (0, 0))
            table = table.take(range(low, part.size - high), axis=k)
            table = np.repeat(table, self.scale.get(part.dim, 1), axis=k)
        return table

    def _times(self, weight: Any, taper: Any, part: Part) -> Any:
        if taper is None:
            return weight
        if not part.box:
            values = taper.values if weight is None else taper.values * weight.values
            return ListWeights(part, values)
        low, high = self.crop.get(part.dim, (0, 0))
        rows = taper.rows[:, low * part.factor : part.size - high * part.factor]
        rows = np.repeat(rows, self.scale.get(part.dim, 1), axis=1)
        own = AxisWeights(rows, taper.pick)
        return own if weight is None else weight.times(own)


@dataclasses.dataclass(frozen=True, eq=False)
class Taper:
    """Multiplies patches by the analysis window."""

    window: Window
    dims: tuple[Hashable, ...]  # of patches, behind the patch dimension
    nodata: Nodata | None = None

    def __call__(self, patches: NDArray[Any], hood: Neighborhood) -> NDArray[Any]:
        out = patches.astype(dtypes.average(patches.dtype))
        entries = hood.entries(np.arange(len(hood)))
        for part, w, which in zip(
            hood.parts, part_weights(self.window, hood), entries, strict=True
        ):
            if w is None:
                continue
            (d,) = part.inner
            shape = [1] * out.ndim
            shape[1 + self.dims.index(d)] = part.size if part.box else part.width
            if part.box and len(w.rows) == 1:
                _weigh(out, w.rows.reshape(shape))
                continue
            shape[0] = len(out)
            _weigh(out, w.full(which).reshape(shape))
        if (table := box_table(self.window, hood)) is not None:
            axes = [self.dims.index(p.dim) for p in hood.slices]
            _weigh(out, Factors.of((), table).wide(axes, out.ndim - 1))
        return out if self.nodata is None else self.nodata.kept(out, patches)


def _weigh(patches: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Multiply patches by weights in place; zero times infinity is zero."""
    weights = weights.astype(patches.real.dtype)
    if (zeros := weights == 0).any():
        np.copyto(patches, 0, where=zeros & np.isinf(patches))
    patches *= weights
    return patches
