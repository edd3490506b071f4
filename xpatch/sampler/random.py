"""Samplers that draw anchors at random."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain.nodata import nodata_of
from xpatch.geometry import Anchors, Frame, Geometry, MemberGeometry, Places
from xpatch.sampler.base import (
    check_empty,
    check_integer,
    checked_snap,
    limits_of,
    listed,
    no_snap,
)
from xpatch.sampler.cells import as_rates, cells_of, check_positive_cells, rates_at, written
from xpatch.sampler.filters import Draws, KeepAny, first_kept, taken
from xpatch.sampler.race import WAITING, Arrivals, Spots, arrivals, key_of, uniforms
from xpatch.spec import check_flag, check_seed

FEW = 1 << 20  # starts that are put in order rather than tried
MOST_STARTS = 10**10  # that are looked at one by one
TRIES = 16  # starts that are tried for each that is asked for, before all are looked at


@dataclasses.dataclass(frozen=True, repr=False)
class Random(Draws):
    """Anchors drawn from the allowed starts: uniformly, or by weights of their centers.

    Parameters
    ----------
    n_samples : int
        Number of patches.
    seed : int, optional
        The same seed gives the same anchors, whether the field is in memory, of dask or on disk; None:
        different ones at each call. A seed for each epoch, ``Random(n, seed=epoch)``, makes other draws.
    replace : bool, default: False
        Whether the same anchor may be drawn twice.
    weights : DataArray or str, optional
        Weight of each cell, or the name of a variable of the field: the chance of a patch is that of its
        center, cell ``size // 2`` of it, which ``patches.patch.anchors`` names; of lists of members that
        of the element they are anchored at. Along some or all dimensions that are cut; cells without a
        value have the weight 0. It is read chunk by chunk, each once. Only centers of allowed patches
        are drawn: with ``boundary="shift"`` none within half a patch of the edge.
    snap : int, tuple or mapping, optional
        Starts are multiples of so many cells, counted from the first, so that the patches of a coarser
        field nest.
    empty : {"raise", "keep", "drop"}, optional
        What becomes of lists without any member.

    Notes
    -----
    The label ``patch`` counts the draw. Patches of a field of dask come in the order of its chunks, so that
    each is read once; ``patches.sortby("patch")`` puts them in the order of the draw.

    Weighted draws without replacement are successive: each has the chance of its weight among those that
    are left. Every cell gets a time of arrival from the seed and its number, and the first are drawn.

    References
    ----------
    Efraimidis, P. S. & Spirakis, P. G. (2006). Weighted random sampling with a reservoir. Information
    Processing Letters, 97, 181–185.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((64, 64)), dims=("y", "x"))
    >>> loss = xr.zeros_like(field)
    >>> loss[20, 30] = 1
    >>> hard = field.patch.split(8, sampler=xpatch.Random(1, weights=loss))
    >>> hard.patch.anchors.cell_y.item(), hard.patch.anchors.cell_x.item()
    (20, 30)
    """

    n_samples: int
    seed: int | None = None
    replace: bool = False
    weights: Any = None
    snap: Any = None
    empty: str | None = None

    def __post_init__(self) -> None:
        check_empty(self.empty)
        object.__setattr__(self, "snap", checked_snap(self.snap))
        check_integer(self.n_samples, "n_samples of Random", 1)
        check_seed(self.seed, "Random")
        check_flag(self.replace, "replace of Random")
        if not isinstance(self.weights, xr.DataArray | str | None):
            raise TypeError(
                f"weights of Random must be a DataArray or the name of a variable, got {self.weights!r}"
            )

    def draw(
        self, domain: Lattice, geometry: Geometry, field: Any, keep: KeepAny | None = None
    ) -> Anchors:
        """Draw anchors.

        Raises
        ------
        ValueError
            If more are asked for than there are, without replacement.
        """
        frame = geometry.outline(domain).snapped(self.snap)
        rng, keep = np.random.default_rng(self.seed), frame.keeping(keep)
        if self.weights is not None:
            return self._weighted(domain, frame, field, rng, keep)
        limits, cells = limits_of(frame)
        counts = ((limits[:, 1] - limits[:, 0]) // cells + 1).tolist()
        total = int(np.prod(counts, dtype=object))
        self._check(total, f"the {total} different patches there are")

        def starts(numbers: NDArray) -> NDArray[np.int64]:
            at = np.stack(np.unravel_index(numbers, counts), axis=-1) * cells + limits[:, 0]
            return frame.widened(at)

        if keep is None:
            return listed(starts(self._first(rng, total)))
        found = self._tried(rng, total, lambda numbers: keep(starts(numbers)))
        if found is not None:
            return listed(starts(found))
        if total > MOST_STARTS:
            raise ValueError(
                f"of {total:.3g} starts that {self!r} may draw hardly any is kept; use a snap, or smaller patches"
            )
        return self._arrived(Spots.every(frame), None, rng, keep)[0]

    def _check(self, total: int, what: str) -> None:
        """Raise a ValueError if more are asked for than there are."""
        if self.n_samples > total and not self.replace:
            raise ValueError(
                f"n_samples={self.n_samples} is more than {what}; draw fewer, or use replace=True"
            )

    def _first(self, rng: np.random.Generator, total: int) -> NDArray[np.int64]:
        return rng.choice(total, self.n_samples, replace=self.replace, shuffle=True)

    def _tried(
        self, rng: np.random.Generator, total: int, keep: KeepAny
    ) -> NDArray[np.int64] | None:
        """Draw on until enough are kept, or there are no more; None if too many would have to be tried."""
        seen = self._first(rng, total)
        found, tried = seen[keep(seen)], len(seen)
        while len(found) < self.n_samples:
            if not self.replace and total <= max(FEW, 2 * tried):
                rest = rng.permutation(np.setdiff1d(np.arange(total), seen))
                more = first_kept(rest, keep, self.n_samples - len(found))
                return np.concatenate([found, more])
            if tried > TRIES * self.n_samples + WAITING:
                return None
            more = rng.integers(total, size=min(tried, WAITING))
            tried += len(more)
            if not self.replace:
                more = more[np.sort(np.unique(more, return_index=True)[1])]
                more = more[~np.isin(more, seen)]
                seen = np.concatenate([seen, more])
            found = np.concatenate([found, more[keep(more)]])
        return found[: self.n_samples]

    def _weighted(
        self,
        domain: Lattice,
        frame: Frame,
        field: Any,
        rng: np.random.Generator,
        keep: KeepAny | None,
    ) -> Anchors:
        weights = cells_of(self.weights, field, domain, frame.dims, "weights of Random")
        anchors, positive = self._arrived(Spots.centers(frame), weights, rng, keep)
        check_positive_cells(positive)
        self._check(positive, f"the {positive} cells of positive weight that are centers")
        return anchors

    def _arrived(
        self,
        spots: Spots,
        weights: xr.DataArray | None,
        rng: np.random.Generator,
        keep: KeepAny | None,
    ) -> tuple[Anchors, int]:
        """Draw in one pass over the cells; and say how many have a weight."""
        nodata = None if weights is None else nodata_of(weights)
        weigh = functools.partial(as_rates, nodata=nodata)
        found = arrivals(spots, weights, weigh, self.n_samples, key_of(rng), keep, self.replace)
        numbers = found.numbers
        if self.replace and len(numbers):
            numbers = found.with_replacement(self.n_samples, rng)
        return listed(spots.at(numbers)), found.positive

    def draw_lists(
        self, domain: Lattice, geometry: MemberGeometry, field: Any, keep: KeepAny | None = None
    ) -> Places:
        """Draw elements, or other candidates that the geometry has."""
        no_snap(self.snap, geometry)
        candidates = dataclasses.replace(geometry.candidates(domain), empty=self.empty)
        rng = np.random.default_rng(self.seed)
        if self.weights is not None:
            rates = rates_at(self.weights, field, domain, geometry, candidates)
            positive = int((rates > 0).sum())
            check_positive_cells(positive)
            self._check(positive, f"the {positive} elements of positive weight")
            return candidates.take(self._ordered(rng, candidates, rates, keep))
        self._check(len(candidates), f"the {len(candidates)} anchors there are")
        drawn = self._first(rng, len(candidates))
        if keep is None:
            return candidates.take(drawn)
        kept = drawn[keep(candidates.take(drawn))]
        if len(kept) == self.n_samples:
            return candidates.take(kept)
        if self.replace:
            rates = np.ones(len(candidates))
            return candidates.take(self._ordered(rng, candidates, rates, keep))
        rest = rng.permutation(np.setdiff1d(np.arange(len(candidates)), drawn))
        more = first_kept(rest, taken(keep, candidates), self.n_samples - len(kept))
        return candidates.take(np.concatenate([kept, more]))

    def _ordered(
        self,
        rng: np.random.Generator,
        candidates: Places,
        rates: NDArray[np.float64],
        keep: KeepAny | None,
    ) -> NDArray[np.intp]:
        """Draw some of the candidates by weights."""
        there = np.flatnonzero(rates)
        numbers = candidates.elements[there] if (candidates.elements >= 0).all() else there
        u = uniforms(key_of(rng), numbers.astype(np.uint64))
        order = there[np.argsort(-np.log1p(-u) / rates[there], kind="stable")]
        if not self.replace:
            if keep is None:
                return order[: self.n_samples]
            return first_kept(order, taken(keep, candidates), self.n_samples)
        if keep is not None:
            order = order[keep(candidates.take(order))]
        if not len(order):
            return order
        found = Arrivals(order.astype(np.uint64), rates[order], len(there), rates[order].sum())
        return found.with_replacement(self.n_samples, rng).astype(np.intp)

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-able values; of a field of weights only that there was one."""
        return {**super().to_dict(), "weights": written(self.weights)}
