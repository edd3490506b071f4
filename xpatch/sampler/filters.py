"""Samplers that draw, and those that keep some of what another one proposes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.geometry import Anchors, Geometry, MemberGeometry, Places
from xpatch.sampler.base import Sampler

KeepAny = Callable[[Any], NDArray[np.bool_]]  # of starts (patch, dim), or of Places


class Draws(Sampler):
    """Base of the samplers that draw ``n_samples`` anchors, of all or of those that are kept."""

    n_samples: int

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Draw boxes."""
        found = self.draw(domain, geometry, field)
        if len(found.axes[0]) < self.n_samples:
            raise ValueError(
                f"{self!r} asks for more patches than the {len(found.axes[0])} that fit in the field"
            )
        return found

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Draw the anchors of lists of members."""
        return self.draw_lists(domain, geometry, field)

    def draw(
        self, domain: Lattice, geometry: Geometry, field: Any, keep: KeepAny | None = None
    ) -> Anchors:
        """Draw boxes of which ``keep`` takes the starts; fewer than asked for if there are no more."""
        raise NotImplementedError

    def draw_lists(
        self, domain: Lattice, geometry: MemberGeometry, field: Any, keep: KeepAny | None = None
    ) -> Places:
        """Draw anchors that ``keep`` takes; fewer than asked for if there are no more."""
        raise NotImplementedError


class Filter(Sampler):
    """Base of the samplers that keep some of the anchors of another one.

    If that draws, it draws until there are as many as it was asked for.
    """

    sampler: Sampler

    def keeps(self, domain: Lattice, geometry: Geometry, field: Any) -> KeepAny:
        """Give the function that says which are kept: of starts (patch, dim) of boxes, or `Places`."""
        raise NotImplementedError

    def drawn(
        self,
        last: Draws,
        others: Sequence[Filter],
        domain: Lattice,
        geometry: Geometry,
        field: Any,
    ) -> Anchors | None:
        """Draw what this one and others keep, where there is a faster way than to try."""
        return None

    def places(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Any:
        """Give the anchors that are kept.

        Raises
        ------
        ValueError
            If there are none, or fewer than a sampler that draws was asked for.
        """
        *filters, last = chain_of(self)
        if not isinstance(last, Draws):
            return super().places(domain, geometry, field)
        for k, one in enumerate(filters):
            found = one.drawn(last, filters[:k] + filters[k + 1 :], domain, geometry, field)
            if found is not None:
                return found
        keep = both([f.keeps(domain, geometry, field) for f in filters])
        drawn: Any
        if isinstance(geometry, MemberGeometry):
            drawn = last.draw_lists(domain, geometry, field, keep)
            count = len(drawn)
        else:
            drawn = last.draw(domain, geometry, field, keep)
            count = len(drawn.axes[0])
        if count < last.n_samples:
            raise ValueError(
                f"{self!r} asks for {last.n_samples} patches, and there are {count} that it keeps: ask for no "
                "more, lower min_fraction, or use smaller patches"
            )
        return drawn


def chain_of(sampler: Any) -> list[Any]:
    """Give a sampler and those inside of it; the last proposes."""
    inner = [] if not isinstance(sampler, Filter) else chain_of(sampler.sampler)
    return [sampler, *inner]


def both(keeps: Sequence[KeepAny]) -> KeepAny:
    """Keep what all keep; what one leaves out the next is not asked for."""
    return functools.partial(_both, list(keeps))


def _both(keeps: Sequence[KeepAny], given: Any) -> NDArray[np.bool_]:
    out = np.ones(len(given), bool)
    for keep in keeps:
        left = np.flatnonzero(out)
        if not len(left):
            break
        out[left] = keep(given.take(left) if isinstance(given, Places) else given[left])
    return out


def taken(keep: KeepAny, candidates: Places) -> KeepAny:
    """Let candidates be told by number."""
    return lambda numbers: keep(candidates.take(numbers))


def first_kept(order: NDArray[np.int64], keep: KeepAny, n: int) -> NDArray[np.int64]:
    """Take the first ``n`` that are kept, in order."""
    found: list[NDArray] = []
    low, step = 0, n
    while low < len(order) and sum(map(len, found)) < n:
        batch = order[low : low + step]
        found.append(batch[keep(batch)])
        low, step = low + step, min(2 * step, 1 << 18)
    return np.concatenate([np.empty(0, np.int64), *found])[:n]
