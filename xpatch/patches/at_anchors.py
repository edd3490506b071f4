"""One value per patch as a field of its own: on the grid of the anchors, or at the elements they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain import positions as ps
from xpatch.neighborhood import Members, Slices
from xpatch.patches.coarser import Target
from xpatch.patches.plan import Plan

SPARSEST = 16  # cells of the grid of anchors for each patch: with more, the anchors are no grid


def at_anchors(target: Target) -> Target:
    """Put one value per patch where its anchor is."""
    plan, domain, source, patches, _ = target
    check_reduced(patches, plan)
    own = anchor_plan(dataclasses.replace(plan, domain=domain))
    return Target(own, own.domain, dataclasses.replace(source, crop={}), patches, None)


def check_reduced(patches: Any, plan: Plan) -> None:
    """Raise a ValueError if patches still have cells."""
    kept = {str(d): patches.sizes[d] for d in plan.inner if patches.sizes.get(d, 1) != 1}
    if kept:
        raise ValueError(
            f"merge(to='anchors') takes one value per patch, and these have cells along {kept}: reduce over "
            f"{list(kept)} first, or merge to the field, on coarser cells with merge(scale=1/n)"
        )


def anchor_plan(plan: Plan) -> Plan:
    """Give the plan of one value per patch: each patch is one cell of the grid of anchors.

    Raises
    ------
    ValueError
        If the anchors are no grid.
    """
    if plan.domain.rotated and {*plan.domain.rotated} & {*plan.dims}:
        raise ValueError(
            "merge(to='anchors') needs labels along rows and columns, and this raster is rotated: give the values "
            "to patches.patch.footprints(), or merge(scale=1/n) outputs that have cells"
        )
    parts: list[Any] = []
    axes: dict[Hashable, NDArray[np.int64]] = {}
    for part in plan.hood.parts:
        if not part.box and part.anchors is None:
            parts.append(_at_elements(plan, part))
            continue
        cells, starts = _axis(part, plan.hood.product or len(plan.hood.parts) == 1)
        (d,) = part.dims
        axes[d] = cells
        at = 0 if part.timed else None
        parts.append(Slices(d, len(cells), starts, 1, anchor=at))
    _check_dense(plan, {d: len(cells) for d, cells in axes.items()})
    middle = {p.dims[0]: _middle(p) for p in plan.hood.parts if p.dims[0] in axes}
    domain = _domain_at(plan.domain, axes, middle, plan.hood)
    hood = plan.hood.with_parts(parts)
    return dataclasses.replace(
        plan, domain=domain, hood=hood, window=None, recalled=None, origin=plan.anchor_id
    )


def _axis(part: Any, whole: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give where patches start along one dimension, each once, and which of these each entry is.

    Where some patches of a grid were left out, whole rows of them may lack; along a line none does.
    """
    own = part.anchors if part.timed else part.starts
    cells = np.unique(own)
    gaps = np.diff(cells)
    if not whole and len(gaps) > 1:
        step = gaps[:-1].min()  # the last patch may have been moved in
        few = gaps[:-1].sum() // step < SPARSEST * len(cells)
        if few and (gaps[:-1] % step == 0).all():
            cells = np.append(np.arange(cells[0], cells[-2] + 1, step), cells[-1])
    return cells, np.searchsorted(cells, own)


def _middle(part: Any) -> float:
    """Give how far from its start the place of a window is."""
    if part.ragged and not part.timed:
        raise ValueError(
            f"merge(to='anchors') needs anchors on a grid, and those of boxes in km of {part.dim!r} are other ones in "
            "each row: patches.patch.places has them as points, patches.patch.footprints() as outlines"
        )
    return 0.0 if part.timed else (part.size - 1) / 2


def _check_dense(plan: Plan, sizes: Mapping[Hashable, int]) -> None:
    cells = int(np.prod(list(sizes.values()), dtype=object))
    if len(sizes) > 1 and cells > SPARSEST * len(plan):
        raise ValueError(
            f"merge(to='anchors') needs anchors on a grid, as strides give, and these {len(plan)} are scattered over "
            f"{cells} crossings of rows and columns: patches.patch.places has them as points, "
            "patches.patch.footprints() as outlines"
        )


def _at_elements(plan: Plan, part: Members) -> Members:
    """Give lists of one member each: the element that is the anchor."""
    places = plan.places
    if places is None or len(places) != len(part) or (places.elements < 0).any():
        raise ValueError(
            f"merge(to='anchors') needs anchors that are elements of the field, along {list(part.dims)}, and some of "
            "these lie between them, or are polygons: patches.patch.places says where, and the values have one row a "
            "patch already"
        )
    table = places.elements[:, None]
    return Members.from_table(part.dims, part.shape, part.dim, table, part.numbers)


def _domain_at(
    domain: Lattice,
    axes: Mapping[Hashable, NDArray[np.int64]],
    middle: Mapping[Hashable, float],
    hood: Any,
) -> Lattice:
    """Give the domain of the anchors; other coordinates are those of the middle cells."""
    if not axes:
        return domain
    wraps = {p.dims[0]: p.wrap for p in hood.parts}
    template = domain.template
    labels = {
        d: ps.labels_between(domain, d, (cells + middle[d]).astype(float), wraps[d])
        for d, cells in axes.items()
    }
    at = {d: _cells(domain.sizes[d], c + int(middle[d] + 0.5), wraps[d]) for d, c in axes.items()}
    cut = {n: v for n, v in template.variables.items() if {*v.dims} & {*axes} and n not in axes}
    kept = template.drop_vars([n for n, v in template.variables.items() if {*v.dims} & {*axes}])
    known = {d: (d, own, _attrs(template, d)) for d, own in labels.items() if own is not None}
    placed = {n: v.isel({d: c for d, c in at.items() if d in v.dims}) for n, v in cut.items()}
    mapping = domain.mapping
    if mapping is not None:  # whose transform is that of the cells of the field
        mapping = dataclasses.replace(mapping, transform=None)
    sizes = {d: len(axes[d]) if d in axes else n for d, n in domain.sizes.items()}
    return domain.regridded(kept.assign_coords(known | placed), sizes, {}, mapping)


def _cells(n: int, cells: NDArray[np.int64], wrap: bool) -> NDArray[np.int64]:
    return cells % n if wrap else np.clip(cells, 0, n - 1)


def _attrs(template: Any, d: Hashable) -> dict[Any, Any]:
    return dict(template.variables[d].attrs) if d in template.variables else {}
