"""`ByClass`: as many patches of rare classes as of common ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain.nodata import Nodata, nodata_of
from xpatch.geometry import Anchors, Geometry, MemberGeometry, Places
from xpatch.sampler.base import check_integer, checked_snap, listed, no_snap
from xpatch.sampler.cells import at_elements, cells_of, written
from xpatch.sampler.filters import Draws, KeepAny
from xpatch.sampler.race import SLAB, WIDE, Keep, Race, Spots, kept_of, key_of, uniforms
from xpatch.spec import DimMap, check_seed, is_number

MOST_CLASSES = 1 << 16
FEW = 12  # classes that a message names
LABELS = "labels of ByClass"
WEIGHTS = "weights of ByClass"


@dataclasses.dataclass(frozen=True, repr=False)
class ByClass(Draws):
    """Anchors drawn by class: a class, a cell of it, and the patch around the cell.

    Parameters
    ----------
    n_samples : int
        Number of patches.
    labels : DataArray or str
        The class of each cell, or the name of a variable of the field: numbers or text along some or all
        dimensions that are cut. NaN and the numbers that attributes name, such as ``_FillValue``, are no
        class. It is read chunk by chunk, each once.
    weights : "uniform", mapping or DataArray, default: "uniform"
        Weights of the classes, by class; a DataArray has the classes as labels of its dimension. Classes
        that are not named are not drawn.
    seed : int, optional
        The same seed gives the same anchors, whether the field is in memory, of dask or on disk; None:
        different ones at each call.
    snap : int, tuple or mapping, optional
        Starts are multiples of so many cells, counted from the first.

    Notes
    -----
    The cell is the center of its patch, cell ``size // 2``. Near the edge of the field, and with ``snap``,
    the patch moves as little as it must and still holds the cell; with ``boundary="drop"`` or ``"raise"``
    cells near the edge are not drawn. Of lists of members the cell is the element they are anchored at.

    No cell is drawn twice before all of its class have been; a class with fewer cells than its share comes
    again. The class of each patch is its coordinate ``anchor``. The label ``patch`` counts the draw; see
    `Random` for the order of patches of dask.

    Examples
    --------
    >>> labels = xr.DataArray(np.zeros((64, 64), int), dims=("y", "x"))
    >>> labels[20, 30] = 7
    >>> chips = labels.patch.split(8, sampler=xpatch.ByClass(100, labels, seed=0))
    >>> int((chips.anchor == 7).sum())  # of 100: one cell in 4,096 has this class
    55
    """

    n_samples: int
    labels: Any
    weights: Any = "uniform"
    seed: int | None = None
    snap: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "snap", checked_snap(self.snap))
        check_integer(self.n_samples, "n_samples of ByClass", 1)
        check_seed(self.seed, "ByClass")
        if not isinstance(self.labels, xr.DataArray | str):
            raise TypeError(
                f"{LABELS} must be a DataArray or the name of a variable, got {self.labels!r}"
            )
        object.__setattr__(self, "weights", checked_weights(self.weights))

    def draw(
        self, domain: Lattice, geometry: Geometry, field: Any, keep: KeepAny | None = None
    ) -> Anchors:
        """Draw a class, a cell of it, and the patch around it, so often.

        Raises
        ------
        ValueError
            If there is no class, or one that ``weights`` names is not there.
        """
        frame = geometry.outline(domain).snapped(self.snap)
        labels = cells_of(self.labels, field, domain, frame.dims, LABELS)
        rng, spots = np.random.default_rng(self.seed), Spots.around(frame)
        keep = frame.keeping(keep)
        classes, cells = first_of_each(spots, labels, self.n_samples, key_of(rng), keep)
        which = self._chosen(classes, rng)
        return dataclasses.replace(
            listed(spots.at(_in_turn(cells, which))), ids=np.asarray(classes)[which]
        )

    def draw_lists(
        self, domain: Lattice, geometry: MemberGeometry, field: Any, keep: KeepAny | None = None
    ) -> Places:
        """Draw a class, and an element of it, so often."""
        no_snap(self.snap, geometry)
        candidates = geometry.candidates(domain)
        labels = at_elements(self.labels, field, domain, geometry, candidates, LABELS)
        rng = np.random.default_rng(self.seed)
        codes, classes = factorized(labels.values, nodata_of(labels))
        there = np.flatnonzero(codes >= 0)
        if keep is not None:
            there = there[keep(candidates.take(there))]
        times = uniforms(key_of(rng), candidates.elements[there].astype(np.uint64))
        there = there[np.argsort(times, kind="stable")]
        cells = {c: there[codes[there] == k] for k, c in enumerate(classes)}
        names = _in_order([c for c, own in cells.items() if len(own)])
        which = self._chosen(names, rng)
        drawn = _in_turn([cells[c] for c in names], which)
        return dataclasses.replace(candidates.take(drawn), ids=np.asarray(names)[which])

    def _chosen(self, classes: list[Any], rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw classes by number."""
        if not classes:
            raise ValueError(
                f"{LABELS} hold no class at any cell that may be drawn: all are missing, or no patch around "
                "one is kept"
            )
        if isinstance(self.weights, str):
            return rng.integers(len(classes), size=self.n_samples)
        absent = [c for c in self.weights if c not in classes]
        if absent:
            more = f" and {len(classes) - FEW} more" if len(classes) > FEW else ""
            raise ValueError(
                f"{WEIGHTS} name {absent[0]!r}, which no cell that may be drawn has; the classes are "
                f"{classes[:FEW]}{more}: leave it out"
            )
        weights = np.array([self.weights.get(c, 0.0) for c in classes], float)
        return rng.choice(len(classes), self.n_samples, p=weights / weights.sum())

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-able values; of a field of labels only that there was one."""
        weights = self.weights
        if not isinstance(weights, str):
            weights = {"class": "DimMap", "items": [list(item) for item in weights.items()]}
        return {**super().to_dict(), "labels": written(self.labels), "weights": weights}


def checked_weights(weights: Any) -> Any:
    """Give weights of classes by class, or "uniform"."""
    if isinstance(weights, str) and weights == "uniform":
        return weights
    if (
        isinstance(weights, xr.DataArray)
        and weights.ndim == 1
        and weights.dims[0] in weights.coords
    ):
        labels = weights[weights.dims[0]].values.tolist()
        weights = dict(zip(labels, weights.values.tolist(), strict=True))
    if not isinstance(weights, Mapping):
        raise TypeError(
            f"{WEIGHTS} must be 'uniform', a mapping from class to weight, or a DataArray along labeled "
            f"classes, got {weights!r}"
        )
    out = {_plain(c): w for c, w in weights.items()}
    for c, w in out.items():
        if not is_number(w):
            raise TypeError(f"{WEIGHTS} must be numbers, got {w!r} for the class {c!r}")
        if not 0 <= w < np.inf:
            raise ValueError(
                f"{WEIGHTS} must be finite and not negative, got {w!r} for the class {c!r}"
            )
    if not any(out.values()):
        raise ValueError(f"{WEIGHTS} must have a class of positive weight, got {weights!r}")
    return DimMap({c: float(w) for c, w in out.items()})


def first_of_each(
    spots: Spots, labels: xr.DataArray, n: int, key: np.uint64, keep: Keep | None
) -> tuple[list[Any], list[NDArray[np.uint64]]]:
    """Find, in one pass, the classes in order, and up to ``n`` random cells of each."""
    race, nodata, known = Race(n), nodata_of(labels), dict[Hashable, int]()
    for numbers, values in spots.slabs(labels, SLAB if keep is None else WIDE):
        codes, classes = factorized(values, nodata)
        groups = np.array([*(known.setdefault(c, len(known)) for c in classes), -1], np.int64)
        if len(known) > MOST_CLASSES:
            raise ValueError(
                f"{LABELS} hold more than {MOST_CLASSES:,} classes; if these are measured values, draw by "
                "Random(weights=…), or make classes of them, np.digitize(labels, edges)"
            )
        race.grow(len(known))
        own, times = groups[codes], uniforms(key, numbers)
        near = np.flatnonzero(times <= race.bounds[own])
        near = kept_of(spots, numbers, near, keep)
        race.add(own[near], times[near], numbers[near], np.ones(len(near)))
    race.finish()
    found = {c: race.of_group(k) for c, k in known.items()}
    classes = _in_order([c for c, cells in found.items() if len(cells)])
    return classes, [found[c] for c in classes]


def factorized(values: NDArray, nodata: Nodata | None) -> tuple[NDArray[np.intp], list[Any]]:
    """Give the number of the class of each value, −1 where there is none, and the classes."""
    if values.dtype.kind in "mMc":
        raise TypeError(
            f"{LABELS} must be numbers or text, got dtype {values.dtype}; of dates take a part, such as labels.dt.month"
        )
    codes, classes = pd.factorize(values)
    if nodata is not None and len(classes):
        missing = nodata.where(classes)
        codes = np.append(np.where(missing, -1, np.cumsum(~missing) - 1), -1)[codes]
        classes = classes[~missing]
    return codes, [_plain(c) for c in classes]


def _in_order(classes: list[Any]) -> list[Any]:
    try:
        return sorted(classes)
    except TypeError:
        kinds = sorted({type(c).__name__ for c in classes})
        raise TypeError(
            f"{LABELS} must be all numbers or all text, got {' and '.join(kinds)}; labels.astype(str) makes all text"
        ) from None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _in_turn(cells: list[NDArray], which: NDArray[np.intp]) -> NDArray[Any]:
    """Take the cells of each class one after the other, and again from the first."""
    order = np.argsort(which, kind="stable")
    ordered = which[order]
    turn = np.empty(len(which), np.int64)
    turn[order] = np.arange(len(which)) - np.searchsorted(ordered, ordered)
    out = np.empty(len(which), cells[0].dtype)
    for k, own in enumerate(cells):
        mine = which == k
        out[mine] = own[turn[mine] % len(own)]
    return out
