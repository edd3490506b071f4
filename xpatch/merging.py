"""Merge: aggregate each variable of the patches on the lattice that was split."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.aggregation import (
    Aggregation,
    InvVarWeightedMean,
    Learned,
    OverlapAdd,
    SoftVote,
    Sum,
    as_aggregation,
)
from xpatch.combining import fitted_model, inverse_variance, most_probable
from xpatch.domain import Lattice, domain_of
from xpatch.engine import dtypes, memory
from xpatch.engine import reduce as r
from xpatch.engine.placement import AxisWeights, Placement
from xpatch.neighborhood import Boxes, arrange
from xpatch.plan import Plan
from xpatch.restoring import check_like, ordered, provenance, restored_coords
from xpatch.window import Window, box_weights, is_boxcar


class Merge:
    """One call of `merge`, step by step."""

    def __init__(
        self,
        patches: xr.DataArray | xr.Dataset,
        aggregation: Any,
        like: Any,
        skipna: bool | None,
        fill_value: Any,
        scale: Mapping[Hashable, int] | None,
    ):
        if not isinstance(patches, xr.DataArray | xr.Dataset):
            raise TypeError(f"merge takes patches, got {type(patches).__name__}")
        self.source = provenance(patches, like)
        self.dim = self.source.dim
        if self.dim not in patches.dims:
            patches = patches.expand_dims(self.dim)
        self.patches = patches
        self.plan = self._choose_plan()
        self.domain: Lattice = self.plan.domain
        if like is not None:
            self.domain = domain_of(like)
            check_like(self.plan, self.domain)
        default = self.plan.aggregation or OverlapAdd()
        self.aggregation = default if aggregation is None else as_aggregation(aggregation)
        self.skipna = skipna
        self.fill_value = fill_value
        self.scale = self._checked_scale(scale)
        self.crop = self._find_crop()
        self._check_window()

    # ------------------------------------------------------------------------------ checks

    def _choose_plan(self) -> Plan:
        """Take the plan whose in-patch dimensions the patches have."""
        fitting = [p for p in self.source.plans if set(p.dims) & set(self.patches.dims)]
        return (fitting or list(self.source.plans))[0]

    def _checked_scale(self, scale: Mapping[Hashable, int] | None) -> dict[Hashable, int]:
        for d, factor in (scale or {}).items():
            if d not in self.plan.dims:
                raise KeyError(
                    f"scale names dimension {d!r}, but the patches were cut along "
                    f"{list(self.plan.dims)}"
                )
            if isinstance(factor, bool) or not isinstance(factor, int | np.integer) or factor < 1:
                raise ValueError(f"scale along {d!r} must be an int of at least 1, got {factor!r}")
        return {d: int(f) for d, f in (scale or {}).items()}

    def _check_window(self) -> None:
        if not is_boxcar(self.plan.window) and not (
            self.aggregation.linear or self.aggregation.covers_zero
        ):
            raise ValueError(
                f"{self.aggregation!r} needs the values themselves, but these patches were "
                f"multiplied by the analysis window {self.plan.window!r} when they were split; "
                "split without window=, or merge with 'overlap_add', 'mean' or 'sum'"
            )

    def _find_crop(self) -> dict[Hashable, tuple[int, int]]:
        """Find which part of each patch came back: from the index, else from the labels."""
        crop = dict(self.source.crop)
        for d, size in zip(self.plan.dims, self.plan.boxes.sizes, strict=True):
            if d not in self.patches.dims:
                continue
            low, high = crop.get(d, (0, 0))
            known = (size - low - high) * self.scale.get(d, 1)
            labels = self._label_part(d)
            if labels is not None and self.scale.get(d, 1) == 1:
                crop[d] = labels
            elif self.patches.sizes[d] != known:
                raise ValueError(self._size_message(d, size, known))
        return crop

    def _size_message(self, d: Hashable, size: int, known: int) -> str:
        got = self.patches.sizes[d]
        hint = f"crop with patches.patch.crop({d}=…) before map_blocks, or keep the labels {d!r}"
        if got % size == 0:
            hint += f", or if the model refines the grid pass merge(scale={{{d!r}: {got // size}}})"
        return (
            f"the patches have {got} cells along {d!r}, but were cut with {known}, and nothing says "
            f"which part these are: {hint}"
        )

    def _label_part(self, d: Hashable) -> tuple[int, int] | None:
        """Cells cut off at both ends according to labels in memory; None if there are none.

        Raises
        ------
        ValueError
            If the labels are not a run of those of the patch.
        """
        labels = self.patches.coords.get(d)
        if labels is None or labels.chunks is not None or not self.source.ordinals.size:
            return None
        if d not in labels.dims or set(labels.dims) - {d, self.dim}:
            return None
        ours = not labels.variable._in_memory
        rows = slice(0, 1) if ours or self.dim not in labels.dims else slice(None)
        picked = self.source.ordinals[rows]
        given = labels.variable
        if self.dim in given.dims:
            given = given.isel({self.dim: rows}).transpose(self.dim, d)
        values = np.broadcast_to(given.to_numpy(), (len(picked), labels.sizes[d]))
        k = self.plan.dims.index(d)
        boxes = self.plan.boxes
        cells = boxes.starts(picked)[:, k, None] + np.arange(boxes.sizes[k])
        known = self.plan.domain.labels_at(d, cells, boxes.wrap[k])
        if known is None:
            return None
        m, n = values.shape[1], known.shape[1]
        for low in range(n - m + 1):
            part = known[:, low : low + m]
            if ((values == part) | (part != part)).all():
                return low, n - m - low
        if m == n and not self.source.indexed:
            return None  # checked within rounding when the recipe was read
        if m > n:
            return None
        raise ValueError(
            f"the labels along {d!r} are not a run of those of their patch: in-patch cells were "
            "reordered, thinned out or relabeled; undo it before merge, or drop the labels with "
            f"drop_vars({d!r}) if the cells are in order"
        )

    # --------------------------------------------------------------------------------- run

    def run(self) -> Any:
        """Merge."""
        aggregation = self.aggregation
        if isinstance(self.patches, xr.DataArray):
            if isinstance(aggregation, InvVarWeightedMean):
                raise TypeError(
                    "InvVarWeightedMean needs a Dataset with variables "
                    f"{aggregation.mean!r} and {aggregation.variance!r}, got a DataArray"
                )
            patches = self.patches
            merged = self.variable(patches.variable, None)
            out = self._wrap(xr.Dataset({"_": merged}))["_"].rename(patches.name)
            if isinstance(aggregation, SoftVote):
                return most_probable(out, aggregation, self.fill_value)
            return out
        if isinstance(aggregation, InvVarWeightedMean):
            return self._wrap(inverse_variance(self, aggregation))
        parts = {}
        for name, array in self.patches.data_vars.items():
            touched = self.dim in array.dims
            parts[name] = self.variable(array.variable, name) if touched else array.variable
        out = self._wrap(xr.Dataset(parts, attrs=self.patches.attrs))
        if isinstance(aggregation, SoftVote):
            votes = {n: most_probable(a, aggregation, self.fill_value) for n, a in out.items()}
            return out.assign(votes)
        return out

    def _wrap(self, merged: xr.Dataset) -> xr.Dataset:
        cut = self.plan.dims
        coords = restored_coords(
            self.patches, self.domain, cut, self.dim, merged.sizes, self.scale
        )
        out = merged.assign_coords(coords)
        if self.source.indexed:
            return out
        return out.assign_coords(self._read_back(out))

    def _read_back(self, merged: xr.Dataset) -> dict[Hashable, Variable]:
        """Merge coordinates that no recipe holds: auxiliary ones, labels that are not numbers."""
        part = dataclasses.replace  # the coordinates are placed, not averaged
        found = {}
        for name, coord in self.patches.coords.items():
            dims = [d for d in coord.dims if d in self.plan.dims]
            if self.dim not in coord.dims or not dims or name in merged.coords:
                continue
            if coord.dtype == object and name not in self.plan.dims:
                continue
            plan = part(self.plan, boxes=self.plan.boxes.only(dims), window=None)
            found[name] = place(coord.variable, plan, self.source.ordinals, self.crop, self.dim)
        return found

    def variable(self, variable: Variable, name: Hashable, aggregation: Any = None) -> Variable:
        """Merge one variable."""
        aggregation = self.aggregation if aggregation is None else aggregation
        own = self._own_dims(variable, name)
        boxes = self.plan.boxes.only(own).inner(self.crop).scaled(self.scale)
        variable = self._spread(variable, boxes)
        order = self.domain.orders.get(name, self.domain.dims)
        dims = ordered(tuple(d for d in variable.dims if d != self.dim), order)
        variable = variable.transpose(self.dim, *dims)
        axes = tuple(dims.index(d) for d in own)
        skipna = variable.dtype.kind in "fcmM" if self.skipna is None else bool(self.skipna)
        if variable.dtype == object:
            raise TypeError(
                f"the patches{'' if name is None else f' of {name!r}'} have object dtype, which "
                "cannot be merged; convert them to numbers, dates or fixed-width text"
            )
        weights = Weights(
            self.plan.window, aggregation.synthesis, self.plan.boxes.only(own), self.crop, self.scale
        )
        job = Job(boxes, self.source.ordinals, axes, weights, aggregation, skipna, self.fill_value)
        if variable.chunks is not None:
            chunks = self._chunks(name, own, dims)
            return Variable(dims, job.chunked(variable.data, chunks), variable.attrs)
        return Variable(dims, job.in_memory(variable.to_numpy()), variable.attrs)

    def _own_dims(self, variable: Variable, name: Hashable) -> tuple[Hashable, ...]:
        """Give the cut dimensions that the variable has, or had before the model reduced them."""
        order = self.domain.orders.get(name) if name is not None else None
        had = self.plan.dims if order is None else order
        return tuple(d for d in self.plan.dims if d in had or d in variable.dims)

    def _spread(self, variable: Variable, boxes: Boxes) -> Variable:
        """Let dimensions that the model reduced away paint the footprint."""
        missing = {d: n for d, n in zip(boxes.dims, boxes.sizes, strict=True) if d not in variable.dims}
        if not missing:
            return variable
        order = (self.dim, *(d for d in self.domain.dims if d in missing or d in variable.dims))
        order += tuple(d for d in variable.dims if d not in order)
        every = {self.dim: variable.sizes[self.dim], **missing}
        every |= {d: variable.sizes[d] for d in variable.dims}
        return variable.set_dims({d: every[d] for d in order})

    def _chunks(self, name: Hashable, own: tuple, dims: tuple) -> dict[int, tuple[int, ...]]:
        known = self.domain.chunks.get(name) or next(iter(self.domain.chunks.values()), {})
        out = {}
        for d in own:
            sizes = known.get(d, (self.domain.sizes[d],))
            factor = self.scale.get(d, 1)
            out[dims.index(d)] = tuple(c * factor for c in sizes)
        return out


@dataclasses.dataclass(frozen=True)
class Weights:
    """Analysis times synthesis window on arranged boxes.

    The analysis window is that of the whole patch, of which a crop keeps the inner part; the
    synthesis window spans what came back.
    """

    analysis: Window | None
    synthesis: Window | None
    whole: Boxes
    crop: Mapping[Hashable, tuple[int, int]]
    scale: Mapping[Hashable, int]

    def __call__(self, boxes: Boxes) -> tuple[AxisWeights, ...]:
        outer = self._analysis(boxes)
        inner = box_weights(self.synthesis, boxes)
        out = []
        for a, s in zip(outer, inner, strict=True):
            kinds = a.pick * len(s.rows) + s.pick
            which, pick = np.unique(kinds, return_inverse=True)
            rows = a.rows[which // len(s.rows)] * s.rows[which % len(s.rows)]
            out.append(AxisWeights(rows, pick.reshape(-1)))
        return tuple(out)

    def _analysis(self, boxes: Boxes) -> tuple[AxisWeights, ...]:
        axes = []
        for x, d in zip(boxes.axes, boxes.dims, strict=True):
            axes.append(x // self.scale.get(d, 1) - self.crop.get(d, (0, 0))[0])
        whole = dataclasses.replace(self.whole, axes=tuple(axes), product=boxes.product)
        out = []
        for w, d, size in zip(box_weights(self.analysis, whole), whole.dims, whole.sizes, strict=True):
            low, high = self.crop.get(d, (0, 0))
            rows = np.repeat(w.rows[:, low : size - high], self.scale.get(d, 1), axis=1)
            out.append(AxisWeights(rows, w.pick))
        return tuple(out)


@dataclasses.dataclass(frozen=True)
class Fill:
    """Writes the fill value where nothing covers a cell."""

    value: Any
    dtype: np.dtype

    def __call__(self, merged: NDArray, axes: tuple[int, ...], cover: NDArray[np.bool_]) -> NDArray:
        out = merged.astype(self.dtype, copy=False)
        if cover.all():
            return out
        shape = [out.shape[k] if k in axes else 1 for k in range(out.ndim)]
        order = np.argsort(np.argsort(axes))
        empty = ~cover.transpose(np.argsort(axes)) if len(axes) else ~cover
        del order
        np.copyto(out, self.value, where=empty.reshape(shape))
        return out


@dataclasses.dataclass(frozen=True)
class Job:
    """The merge of one array (patch, *dims) whose cut dimensions are at ``axes``."""

    boxes: Boxes
    ordinals: NDArray
    axes: tuple[int, ...]
    weights: Weights
    aggregation: Aggregation
    skipna: bool
    fill_value: Any

    def reducer(self, dtype: np.dtype, tiled: bool) -> r.Reducer:
        """Choose the reducer; tiles that do not overlap are placed bit by bit."""
        aggregation = self.aggregation
        boxcar = is_boxcar(self.weights.analysis) and is_boxcar(aggregation.synthesis)
        mean = aggregation.linear and aggregation.normalize
        if tiled and boxcar and mean:
            return r.Place(dtype, self.skipna)
        return aggregation.reducer(dtype, self.skipna)

    def in_memory(self, patches: NDArray) -> NDArray:
        """Merge a NumPy array."""
        boxes, position = arrange(self.boxes, self.ordinals)
        weights = self.weights(boxes)
        placement = Placement(boxes, position, weights)
        cover = placement.cover()
        reducer = self.reducer(patches.dtype, _tiled(cover, placement))
        if isinstance(reducer, r.Place):
            pass
        elif isinstance(reducer, r.WeightedMean) and reducer.normalize and isinstance(cover, list):
            placement = Placement(boxes, position, normalized(boxes, weights, cover))
        elif isinstance(reducer, r.Modeled) and isinstance(self.aggregation, Learned):
            reducer = fitted_model(self, patches, placement, reducer)
        merged = memory.reduce(patches, self.axes, placement, reducer)
        return self._filled(merged, cover)

    def _filled(self, merged: NDArray, cover: list[NDArray] | NDArray) -> NDArray:
        vectors = cover if isinstance(cover, list) else [cover]
        if self.aggregation.covers_zero or all((v > 0).all() for v in vectors):
            return merged
        dtype, value = dtypes.filled(merged.dtype, self.fill_value)
        out = merged.astype(dtype, copy=False)
        if not isinstance(cover, list):
            return Fill(value, dtype)(out, self.axes, cover > 0)
        for axis, vector in zip(self.axes, cover, strict=True):
            out[(slice(None),) * axis + (vector <= 0,)] = value
        return out

    def chunked(self, patches: Any, chunks: dict[int, tuple[int, ...]]) -> Any:
        """Merge a dask array."""
        from xpatch.engine import chunked

        boxes, _ = arrange(self.boxes, self.ordinals)
        placement = Placement(boxes, None, self.weights(boxes))
        cover = placement.cover()
        reducer = self.reducer(patches.dtype, _tiled(cover, placement))
        if isinstance(self.aggregation, Learned) and self.aggregation.fits:
            raise NotImplementedError(
                "Learned fits an estimator on all contributions at once, which are still lazy here; "
                "load the patches first (patches.load()), or pass a callable of (values, offsets)"
            )
        dtype, value = reducer.dtype, None
        vectors = cover if isinstance(cover, list) else [cover]
        if not self.aggregation.covers_zero and not all((v > 0).all() for v in vectors):
            dtype, value = dtypes.filled(dtype, self.fill_value)
        fill = Fill(value if value is not None else np.zeros((), dtype)[()], dtype)
        return chunked.reduce(
            patches, self.axes, self.boxes, self.ordinals, self.weights, reducer, fill, chunks, dtype
        )


def _tiled(cover: list[NDArray] | NDArray, placement: Placement) -> bool:
    """Whether no cell has more than one contribution."""
    if placement.weights is not None:
        binary = all(np.isin(w.rows, (0, 1)).all() for w in placement.weights)
        if not binary:
            return False
    vectors = cover if isinstance(cover, list) else [cover]
    return all(bool((v <= 1).all()) for v in vectors)


def normalized(
    boxes: Boxes, weights: tuple[AxisWeights, ...], cover: list[NDArray]
) -> tuple[AxisWeights, ...]:
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


def place(
    variable: Variable, plan: Plan, ordinals: NDArray, crop: Mapping, dim: Hashable
) -> Variable:
    """Put values that agree wherever patches overlap, such as coordinates, back on the lattice."""
    boxes = plan.boxes.inner(crop)
    others = tuple(d for d in variable.dims if d not in (dim, *boxes.dims))
    values = variable.transpose(dim, *boxes.dims, *others).to_numpy()
    starts = boxes.starts(ordinals)
    shape = [*boxes.shape, *(variable.sizes[d] for d in others)]
    dtype, fill = dtypes.filled(values.dtype, None) if values.dtype != object else (object, None)
    out = np.full(shape, fill, dtype)
    for value, start in zip(values, starts, strict=True):
        cells = [s + np.arange(n) for s, n in zip(start, boxes.sizes, strict=True)]
        inside = [
            np.ones(len(c), bool) if w else (c >= 0) & (c < n)
            for c, w, n in zip(cells, boxes.wrap, boxes.shape, strict=True)
        ]
        at = [c[i] % n for c, i, n in zip(cells, inside, boxes.shape, strict=True)]
        out[np.ix_(*at)] = value[np.ix_(*map(np.flatnonzero, inside))]
    return Variable((*boxes.dims, *others), out, variable.attrs)


__all__ = ["Job", "Merge", "Sum", "Weights"]
