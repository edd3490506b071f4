"""Outputs that are coarser than the patches they were made of: where their cells lie in the field."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain import Lattice
from xpatch.domain.axes import even_spacing
from xpatch.domain.coarser import Factors, as_dates, coarser, coarser_chunks
from xpatch.domain.dates import calendar_of
from xpatch.engine.coarsen import mean_of
from xpatch.neighborhood import Slices
from xpatch.patches.labels import agree, tolerance
from xpatch.patches.plan import Plan
from xpatch.spec import DimMap
from xpatch.window import Boxcar, Window

Crop = Mapping[Hashable, tuple[int, int]]


class Target(NamedTuple):
    """What merge puts patches on: the plan, the field, who they are, the patches, and the chunks of the result."""

    plan: Plan
    domain: Lattice
    source: Any
    patches: Any
    chunks: Mapping[Hashable, tuple[int, ...]] | None


def on_coarse_cells(target: Target, factors: Factors) -> Target:
    """Count in the cells of outputs that are coarser than the patches."""
    plan, domain, source, patches, chunks = target
    coarse = coarser_plan(plan, factors)
    whole = {d for d, n in coarse.inner.items() if patches.sizes.get(d) == n}
    # the mean of labels may be one of them, and look like that of a part
    given = {d: c for d, c in source.crop.items() if d not in whole}
    source = dataclasses.replace(source, crop=coarser_crop(given, factors))
    patches = without_labels(patches, coarse, source, factors)
    own = coarse.domain if domain is plan.domain else coarser(domain, factors)
    return Target(coarse, own, source, patches, chunks and coarser_chunks(chunks, factors))


def coarser_plan(plan: Plan, factors: Factors) -> Plan:
    """Give the plan of outputs of which a cell stands for so many of the field along each dimension.

    Raises
    ------
    ValueError
        If the borders of patches do not fall on those of coarse cells.
    """
    known = {p.dim: p for p in plan.hood.slices}
    for d in factors:
        if d not in known or plan.hood.coarse:
            raise ValueError(
                f"scale={_shown(factors)} is for boxes; patches along {d!r} are lists of members, or means over "
                "windows of several scales, which have no coarser cells: give one value a patch, or one a member"
            )
    hood = plan.hood.with_parts(
        _coarser_part(p, factors[p.dim]) if p.box and p.dim in factors else p
        for p in plan.hood.parts
    )
    plain = plan.window is None or plan.window == Boxcar()
    window = plan.window if plain else Pooled(plan.window, DimMap(factors))
    return dataclasses.replace(
        plan, domain=coarser(plan.domain, factors), hood=hood, window=window, origin=plan.anchor_id
    )


def _coarser_part(part: Slices, factor: int) -> Slices:
    """Count along one dimension in coarse cells."""
    what = f"scale={{{part.dim!r}: 1/{factor}}}"
    if part.ragged:
        raise ValueError(
            f"{what} needs patches of one size along {part.dim!r}, and these have {part.counts.min()} to {part.size} "
            "cells, as boxes in km do: split with sizes in cells or degrees"
        )
    if part.size % factor:
        raise ValueError(
            f"{what} needs patches of a multiple of {factor} cells along {part.dim!r}, and these have "
            f"{part.size}: split with {part.size // factor * factor or factor} or {-(-part.size // factor) * factor}"
        )
    wrong = part.starts[part.starts % factor != 0]
    if len(wrong):
        raise ValueError(
            f"{what} needs patches that start at multiples of {factor} cells along {part.dim!r}, and "
            f"{len(wrong)} of {len(part)} do not, such as the one at {wrong[0]}: {_starting(part, factor)}"
        )
    if part.n % factor and (part.wrap or _reaches_past(part, part.n // factor * factor)):
        raise ValueError(
            f"{what}: the field has {part.n} cells along {part.dim!r}, no multiple of {factor}, so that the last "
            f"coarse cell would lie across its edge: cut the field, isel({part.dim}=slice({part.n // factor * factor})), "
            "or use boundary='drop'"
        )
    at = part.anchor
    if at is not None and (at + 1) % factor:
        raise ValueError(
            f"{what}: windows in time reach from {-at} to {part.size - 1 - at} steps from their anchor, so that a "
            f"coarse step would hold steps on both sides of it: use a lookback of a multiple of {factor} steps"
        )
    return dataclasses.replace(
        part,
        n=part.n // factor,
        size=part.size // factor,
        starts=part.starts // factor,
        anchor=None if at is None else (at + 1) // factor - 1,
    )


def _starting(part: Slices, factor: int) -> str:
    """Say what makes patches start at multiples: of a stride that does, the last one alone was moved in."""
    off = part.starts % factor != 0
    if part.n % factor and (part.starts[off] == part.n - part.size).all():
        whole = part.n // factor * factor
        return f"the last one was moved in: cut the field, isel({part.dim}=slice({whole})), or use boundary='drop'"
    return f"give a stride that is a multiple of {factor}, or to samplers that draw snap={factor}"


def _reaches_past(part: Slices, end: int) -> bool:
    return bool(len(part) and part.starts.max() + part.size > end)


def coarser_crop(crop: Crop, factors: Factors) -> dict[Hashable, tuple[int, int]]:
    """Count the cells that were cut off in coarse ones.

    Raises
    ------
    ValueError
        If that leaves parts of coarse cells.
    """
    out = dict(crop)
    for d, factor in factors.items():
        low, high = crop.get(d, (0, 0))
        if low % factor or high % factor:
            raise ValueError(
                f"the patches were cropped by {low} and {high} cells along {d!r}, and scale={_shown(factors)} needs "
                f"multiples of {factor}"
            )
        out[d] = low // factor, high // factor
    return out


def without_labels(patches: Any, plan: Plan, source: Any, factors: Factors) -> Any:
    """Drop labels along coarse dimensions that lie in their coarse cell: the plan knows where these are.

    A model that takes every fourth cell leaves the label of the first; that of the coarse cell is the mean.
    """
    own = dataclasses.replace(plan, hood=plan.hood.cropped(source.crop))
    given = [d for d in factors if d in patches.coords]
    stray = [d for d in given if _in_cells(patches, own, source.ordinals, d)]
    return patches.drop_vars(stray)


def _in_cells(patches: Any, plan: Plan, ordinals: NDArray[Any], d: Hashable) -> bool:
    """Whether the labels of a few patches are within half a coarse cell of the mean."""
    labels, part = patches.coords[d].variable, _part(plan, d)
    dim = next((e for e in labels.dims if e != d), None)
    if dim is None or labels.sizes.get(d) != part.size:
        return False
    found = _few(labels, ordinals, dim, plan, d)
    known = plan.domain.coordinate(d)
    if found is None or known is None:
        return False
    theirs, mine, calendar = found
    step = even_spacing(as_dates(known, calendar) if calendar else known)
    return step is not None and bool((np.abs(theirs - mine) < abs(step) / 2 * (1 + 1e-6)).all())


def are_means(
    labels: Variable, ordinals: NDArray[Any], dim: Hashable, plan: Plan, d: Hashable
) -> bool:
    """Whether labels are the means of those of so many cells each, in a few patches."""
    size, whole = labels.sizes[d], _part(plan, d).size
    if not size or whole % size or size == whole:
        return False
    found = _few(labels, ordinals, dim, plan, d)
    if found is None:
        return False
    given, expected, _ = found
    return bool(agree(given, mean_of(expected, 1, whole // size), tolerance(plan.domain, d)).all())


def _part(plan: Plan, d: Hashable) -> Slices:
    return next(p for p in plan.hood.slices if p.dim == d)


def _few(
    labels: Variable, ordinals: NDArray[Any], dim: Hashable, plan: Plan, d: Hashable
) -> tuple[NDArray[Any], NDArray[Any], str | None] | None:
    """Give the labels of a few patches, those that the plan has for them, and the calendar of both.

    Dates of cftime come as those of NumPy, which have a mean. None: there are none, or they have none.
    """
    if labels.chunks is not None or not len(ordinals):
        return None
    few, part = np.unique(np.linspace(0, len(ordinals) - 1, 3).astype(int)), _part(plan, d)
    cells = part.starts[plan.hood.of_part(part, ordinals[few])][:, None] + np.arange(part.size)
    mine = plan.domain.labels_at(d, cells, part.wrap)
    calendar = calendar_of(labels)
    kinds = "O" if calendar else "iufmM"
    if mine is None or mine.dtype.kind not in kinds or labels.dtype.kind not in kinds:
        return None
    theirs = labels.transpose(dim, d).isel({dim: few}).to_numpy()
    if calendar:
        return as_dates(theirs, calendar), as_dates(mine, calendar), calendar
    return theirs, mine, None


@dataclasses.dataclass(frozen=True, repr=False)
class Pooled(Window):
    """The mean of a window over the cells that each coarse cell stands for."""

    window: Any
    factors: DimMap

    def rows(
        self, size: int, dim: Any, low: NDArray[Any], high: NDArray[Any], anchor: int | None = None
    ) -> NDArray[np.float64]:
        factor = self.factors.get(dim, 1)
        at = None if anchor is None else (anchor + 1) * factor - 1
        fine = self.window.rows(size * factor, dim, low, high, at)
        pooled: NDArray[np.float64] = (
            np.asarray(fine, float).reshape(len(fine), size, factor).mean(-1)
        )
        return pooled

    @property
    def unnamed(self) -> bool:  # type: ignore[override]
        """Whether `table` goes by the order of dimensions."""
        return bool(self.window.unnamed)

    def _fine(self, sizes: Mapping[Any, int]) -> dict[Any, int]:
        return {d: n * self.factors.get(d, 1) for d, n in sizes.items()}

    def fits(self, sizes: Mapping[Any, int]) -> bool:
        return bool(self.window.fits(self._fine(sizes)))

    def table(self, sizes: Mapping[Any, int]) -> NDArray[np.float64] | None:
        found: NDArray[np.float64] | None = self.window.table(self._fine(sizes))
        for axis, d in enumerate(sizes) if found is not None else ():
            assert found is not None
            if found.shape[axis] > 1:
                found = mean_of(found, axis, self.factors.get(d, 1))
        return found

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.window.profile(offset), float)

    def radial(self, members: Any) -> NDArray[np.float64]:
        return np.asarray(self.window.radial(members), float)


def _shown(factors: Factors) -> str:
    return "{" + ", ".join(f"{d!r}: 1/{f}" for d, f in factors.items()) + "}"
