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
from xpatch.engine.slices import AxisWeights
from xpatch.neighborhood import Members, Neighborhood, Part
from xpatch.window import Boxcar, ByDim, Window, member_weights, slice_weights


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
        out = np.zeros((len(entries), self.part.width))
        there = np.arange(self.part.width) < self.part.counts[entries][:, None]
        out[there] = self.values[self.part.rows(entries)]
        return out


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
            far = np.abs(half_sample_offsets(part.size))
            out.append(AxisWeights(far[None], np.zeros(len(part), np.intp)))
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

    def __call__(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Give what values are multiplied by, and what that adds to the denominator."""
        inner = self.whole.cropped(self.crop).scaled(self.scale)
        weights = part_weights(self.synthesis, inner.fine)
        if self.analysis is None or self.analysis == Boxcar():
            return weights, weights
        tapered = part_weights(self.analysis, self.whole)
        each = zip(weights, tapered, self.whole.parts, strict=True)
        return weights, tuple(self._times(w, a, part) for w, a, part in each)

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
        return out if self.nodata is None else self.nodata.kept(out, patches)


def _weigh(patches: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Multiply patches by weights in place; zero times infinity is zero."""
    weights = weights.astype(patches.real.dtype)
    if (zeros := weights == 0).any():
        np.copyto(patches, 0, where=zeros & np.isinf(patches))
    patches *= weights
    return patches
