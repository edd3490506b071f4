"""Merge of one array: weights, the choice of a kernel, and what is uncovered."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.aggregation import Aggregation, Learned
from xpatch.domain.nodata import as_floats
from xpatch.engine import dtypes, memory
from xpatch.engine import reduce as r
from xpatch.engine.nodata import Nodata, filling, placing, reading
from xpatch.engine.placement import AxisWeights, Placement
from xpatch.engine.stacked import Modeled
from xpatch.engine.threads import available_threads
from xpatch.neighborhood import Boxes, arrange, arranged
from xpatch.patches.composite import fitted_model
from xpatch.window import Window, box_weights, is_boxcar

AxesWeights = tuple[AxisWeights, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """The synthesis window, and the analysis times the synthesis window, on arranged boxes.

    The analysis window is that of the whole patch, of which a crop keeps the inner part; the
    synthesis window spans what came back.
    """

    analysis: Window | None
    synthesis: Window | None
    whole: Boxes
    crop: Mapping[Hashable, tuple[int, int]]
    scale: Mapping[Hashable, int]

    def __call__(self, boxes: Boxes) -> tuple[AxesWeights, AxesWeights]:
        """Give what values are multiplied by, and what that adds to the denominator."""
        inner = box_weights(self.synthesis, boxes)
        mass = []
        for a, s in zip(self._analysis(boxes), inner, strict=True):
            kinds = a.pick * len(s.rows) + s.pick
            which, pick = np.unique(kinds, return_inverse=True)
            rows = a.rows[which // len(s.rows)] * s.rows[which % len(s.rows)]
            mass.append(AxisWeights(rows, pick.reshape(-1)))
        return inner, inner if self.analysis is None else tuple(mass)

    def _analysis(self, boxes: Boxes) -> AxesWeights:
        axes = []
        for x, d in zip(boxes.axes, boxes.dims, strict=True):
            axes.append(x // self.scale.get(d, 1) - self.crop.get(d, (0, 0))[0])
        whole = dataclasses.replace(self.whole, axes=tuple(axes), product=boxes.product)
        out = []
        for w, d, size in zip(
            box_weights(self.analysis, whole), whole.dims, whole.sizes, strict=True
        ):
            low, high = self.crop.get(d, (0, 0))
            rows = np.repeat(w.rows[:, low : size - high], self.scale.get(d, 1), axis=1)
            out.append(AxisWeights(rows, w.pick))
        return tuple(out)


@dataclasses.dataclass(frozen=True, eq=False)
class Fill:
    """Writes the fill value where nothing covers a cell."""

    value: Any
    dtype: np.dtype
    reducer: r.Reducer

    def __call__(self, merged: NDArray, axes: tuple[int, ...], cover: NDArray[np.bool_]) -> NDArray:
        out = self.reducer.back(merged).astype(self.dtype, copy=False)
        if cover.all():
            return out
        shape = [out.shape[k] if k in axes else 1 for k in range(out.ndim)]
        empty = ~cover.transpose(np.argsort(axes)) if axes else ~cover
        np.copyto(out, self.value, where=empty.reshape(shape))
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """The merge of one array (patch, *dims) whose cut dimensions are at ``axes``."""

    boxes: Boxes
    ordinals: NDArray
    axes: tuple[int, ...]
    weights: Weights
    aggregation: Aggregation
    skipna: bool
    fill_value: Any
    nodata: Nodata | None = None  # the numbers that stand for missing

    def reducer(self, dtype: np.dtype, tiled: bool) -> r.Reducer:
        """Choose the reducer; tiles that do not overlap are placed bit by bit."""
        aggregation = self.aggregation
        boxcar = is_boxcar(self.weights.analysis) and is_boxcar(aggregation.synthesis)
        mean = aggregation.linear and aggregation.normalize
        if tiled and boxcar and mean:
            return placing(r.Place(dtype, self.skipna), self.nodata)
        return reading(aggregation.reducer, dtype, self.skipna, self.nodata)

    def in_memory(self, patches: NDArray) -> NDArray:
        """Merge a NumPy array."""
        boxes, position = arrange(self.boxes, self.ordinals)
        weights, mass = self.weights(boxes)
        placement = Placement(boxes, position, weights, mass)
        cover = placement.cover()
        reducer = self.reducer(patches.dtype, _tiled(cover, placement))
        if isinstance(reducer, r.Place):
            pass
        elif isinstance(reducer, r.WeightedMean) and reducer.normalize and isinstance(cover, list):
            shares = normalized(boxes, weights, cover), normalized(boxes, mass, cover)
            placement = Placement(boxes, position, *shares)
        elif isinstance(reducer, Modeled) and isinstance(self.aggregation, Learned):
            args = (self.aggregation, reducer, placement.shape)
            look = partial(memory.reduce, patches, self.axes, placement)
            reducer = fitted_model(*args, look, self._target(patches, placement))
        threads = available_threads()
        merged = memory.reduce(patches, self.axes, placement, reducer, threads)
        return self._filled(reducer.back(merged), cover)

    def _target(self, patches: NDArray, placement: Placement) -> NDArray | None:
        target = getattr(self.aggregation, "target", None)
        if target is None:
            return None
        shape = list(patches.shape[1:])
        for axis, n in zip(self.axes, placement.shape, strict=True):
            shape[axis] = n
        values = as_floats(target)
        if values.shape != tuple(shape):
            raise ValueError(
                f"the target of Learned has shape {values.shape}, the merged field {tuple(shape)}"
            )
        return values

    def _filled(self, merged: NDArray, cover: list[NDArray] | NDArray) -> NDArray:
        vectors = cover if isinstance(cover, list) else [cover]
        if self.aggregation.covers_zero or all((v > 0).all() for v in vectors):
            return merged
        dtype, value = filling(merged.dtype, self.fill_value, self.nodata)
        out = merged.astype(dtype, copy=False)
        if not isinstance(cover, list):
            return Fill(value, dtype, r.Reducer(dtype, False))(out, self.axes, cover > 0)
        for axis, vector in zip(self.axes, cover, strict=True):
            out[(slice(None),) * axis + (vector <= 0,)] = value
        return out

    def chunked(self, patches: Any, chunks: dict[int, tuple[int, ...]], present: Any = None) -> Any:
        """Merge a dask array, but for the patches that are not ``present``."""
        from dask.base import tokenize

        from xpatch.engine.partial import reduce
        from xpatch.engine.spans import coverage

        if isinstance(self.aggregation, Learned) and self.aggregation.fits:
            return self._whole(patches, chunks, present)
        weights, mass = self.weights(self.boxes)
        edges = [np.concatenate([[0], np.cumsum(chunks[a])]) for a in self.axes]
        boxes, _, picks = arranged(self.boxes, self.ordinals)
        own = tuple(m.take(p) for m, p in zip(mass, picks, strict=True))
        full, twice = coverage(boxes, own, edges)
        full &= present is None
        reducer = self.reducer(patches.dtype, not twice)
        mean = isinstance(reducer, r.WeightedMean) and reducer.normalize
        shares = mean and boxes.product and present is None
        if shares:
            cover: Any = Placement(boxes, None, own).cover()
            above = own
            if mass is not weights:
                above = tuple(w.take(p) for w, p in zip(weights, picks, strict=True))
            size = [len(a) for a in self.boxes.axes]
            mass = spread(normalized(boxes, own, cover), picks, size)
            weights = mass if above is own else spread(normalized(boxes, above, cover), picks, size)
        dtype, value = reducer.final, None
        if not self.aggregation.covers_zero and not full:
            dtype, value = filling(dtype, self.fill_value, self.nodata)
        fill = Fill(value if value is not None else np.zeros((), dtype)[()], dtype, reducer)
        token = tokenize(self)
        args = (self.axes, self.boxes, self.ordinals, weights, mass, reducer, fill, chunks, dtype)
        return reduce(patches, *args, token, shares, full, present)

    def _whole(self, patches: Any, chunks: dict[int, tuple[int, ...]], present: Any) -> Any:
        """Merge in one task, for models that are fitted on all contributions at once."""
        import dask
        import dask.array as da

        sizes = dict(zip(self.axes, self.boxes.shape, strict=True))
        dtype = dtypes.average(patches.dtype)
        shape = tuple(sizes.get(k, n) for k, n in enumerate(patches.shape[1:]))
        merged = dask.delayed(self._of_present)(patches, present)
        out = [chunks.get(k, c) for k, c in enumerate(patches.chunks[1:])]
        return da.from_delayed(merged, shape, dtype).rechunk(out)

    def _of_present(self, patches: NDArray, present: NDArray | None) -> NDArray:
        if present is None:
            return self.in_memory(patches)
        job = dataclasses.replace(self, ordinals=self.ordinals[present])
        return job.in_memory(patches[present])


def spread(weights: AxesWeights, picks: Any, sizes: Any) -> AxesWeights:
    """Give the weights of some entries of the axes as those of all."""
    return tuple(w.spread(p, n) for w, p, n in zip(weights, picks, sizes, strict=True))


def _tiled(cover: list[NDArray] | NDArray, placement: Placement) -> bool:
    """Whether no cell has more than one contribution."""
    if placement.mass is not None:
        binary = all(np.isin(w.rows, (0, 1)).all() for w in placement.mass)
        if not binary:
            return False
    vectors = cover if isinstance(cover, list) else [cover]
    return all(bool((v <= 1).all()) for v in vectors)


def normalized(boxes: Boxes, weights: AxesWeights, cover: list[NDArray]) -> AxesWeights:
    """Divide the weights of an outer product by their sum, dimension by dimension."""
    out = []
    for starts, size, n, wrap, w, total in zip(
        boxes.axes, boxes.sizes, boxes.shape, boxes.wrap, weights, cover, strict=True
    ):
        cells = starts[:, None] + np.arange(size)
        inside = np.ones(cells.shape, bool) if wrap else (cells >= 0) & (cells < n)
        below = total[cells % n if wrap else np.clip(cells, 0, n - 1)]
        full = w.full()
        share = np.divide(full, below, out=np.zeros_like(full), where=inside & (below > 0))
        out.append(AxisWeights.of(share))
    return tuple(out)
