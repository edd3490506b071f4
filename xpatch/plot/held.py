"""`Held`: on how many patches cells are, in space and in time, and what to say of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.patches.index import PatchIndex
from xpatch.patches.plan import Plan
from xpatch.patches.sides import is_product, numbered
from xpatch.plot.coverage import box_counts, element_counts, steps_for
from xpatch.plot.time import coverage_of as steps_counts

MOST_MEMBERS = 1 << 23  # that are counted for a card


@dataclasses.dataclass(frozen=True, eq=False)
class Held:
    """How many patches hold each cell, or each ``step``-th one.

    Parameters
    ----------
    where : str
        What is added to "coverage": nothing, or which side of patches in space and time it is.
    dims : tuple of hashable
        The dimensions.
    counts : int64 array, optional
        One axis for each; None where it would take long.
    steps : tuple of int
        How many cells it is from one that was counted to the next.
    total : int
        Cells of the field along the dimensions.
    element : str
        What one of them is, in words.
    """

    where: str
    dims: tuple[Hashable, ...]
    counts: NDArray[np.int64] | None
    steps: tuple[int, ...]
    total: int
    element: str = "cell"

    @property
    def caption(self) -> str:
        """Say what is counted."""
        return f"patches on {with_article(self.element)}"

    @property
    def told(self) -> str:
        """Give the least, the median and the largest count, and how many cells no patch holds."""
        if self.counts is None or not self.counts.size:
            return "not counted" if self.counts is None else f"no {several(self.element)}"
        c = self.counts
        low, middle, high = int(c.min()), float(np.median(c)), int(c.max())
        out = f"{low:,} / {middle:,g} / {high:,} {self.caption} (min / median / max)"
        cells = several(self.element)
        every = math.prod(self.steps)
        none = int((c == 0).sum())
        if every > 1:
            out += f", of one in {every:,} {cells}"
            return f"{out}; about {none / c.size:.1%} of the {cells} in none" if none else out
        return f"{out}; {none:,} of {self.total:,} {cells} in none" if none else out


def element_of(domain: Lattice, dims: Sequence[Hashable]) -> str:
    """Give a word for what patches of a field hold along some dimensions."""
    if not set(dims) <= set(domain.element_dims):
        return "cell"
    kind = type(domain).__name__.removesuffix("Domain").lower()
    words = {"dggs": "cell", "vector": "geometry", "point": "point"}
    own = {"n_face": "face", "n_node": "node", "n_edge": "edge"} if kind == "mesh" else {}
    return own.get(str(dims[0])) or words.get(kind, "element")


def with_article(word: str) -> str:
    """Write a word with its article."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def several(word: str) -> str:
    """Write a word in the plural."""
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def held_by(plan: Plan, index: PatchIndex) -> list[Held]:
    """Count on how many patches cells are: of places and windows each on their own."""
    return list(_each(plan, index))


def _each(plan: Plan, index: PatchIndex) -> Iterator[Held]:
    at = index.ordinals
    when = where = at
    both = bool(plan.hood.time_dims) and len(plan.dims) > 1
    if is_product(plan) and len(at):
        sides = numbered(plan, at)
        where, when = (at[np.unique(s, return_index=True)[1]] for s in (sides.where, sides.when))
    names = (", places", ", windows") if both else ("", "")
    dims = tuple(p.dim for p in plan.hood.slices if not p.timed)
    if dims and plan.boxed is not None:
        hood = plan.boxed.hood.cropped(index.crop)
        shape = [plan.domain.sizes[d] for d in dims]
        steps = steps_for(shape)
        counts = box_counts(hood, where, dims, steps)
        yield Held(names[0], dims, counts, tuple(steps), math.prod(shape))
    for part in (p for p in plan.lists if not p.timed):
        found = element_counts(plan, part, where, MOST_MEMBERS)
        n = math.prod(part.shape)
        yield Held(names[0], part.dims, found, (1,), n, element_of(plan.domain, part.dims))
    if plan.hood.time_dims:
        steps_held: Any = steps_counts(plan, when, index.crop)
        yield Held(names[1], plan.hood.time_dims, steps_held, (1,), len(steps_held), "step")
