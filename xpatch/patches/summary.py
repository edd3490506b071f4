"""What ``patches.patch`` prints: how many patches there are, of what, and the axes of their split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xpatch.domain import domain_of
from xpatch.patches.decoding import find_recipe
from xpatch.patches.index import patch_index, splits_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance, provenance


def summary(obj: Any) -> str:
    """One line about the patches, or about the field that could be split."""
    index = patch_index(obj)
    if index is not None and not index.plans:
        return f"<{index!r}>"
    source = index if index is not None else _of_file(obj)
    if source is None:
        return f"<xpatch accessor>\n{domain_of(obj)!r}"
    plan = source.plans[0]
    found = []
    for own in plan.lists:
        counts, elements = own.counts, int(np.prod(own.shape))
        found.append(f"{counts.min()} to {counts.max()} of {elements} elements of {own.dim}")
    found += [f"{p.dim}: {p.size} of {p.n}" for p in plan.hood.slices]
    sizes = ", ".join(found)
    lines = [f"<{len(source.ordinals)} of {len(plan)} patches ({sizes})>", *_without_place(plan)]
    above = [d for d in splits_of(obj) if d != source.dim]
    lines += [f"  in each of {obj.sizes[d]} along {d}" for d in reversed(above)]
    for part in ("spatial", "temporal"):
        if plan.spec.get(part) is not None:
            lines += [f"  {part}:", *(f"  {line}" for line in _axes(plan.spec[part]))]
    lines += _axes(plan.spec)
    if plan.spec.get("coupling") is not None:
        lines.append(f"  coupling: {plan.spec['coupling']}")
    return "\n".join(lines)


def _of_file(obj: Any) -> Provenance | None:
    """Give what patches say of themselves that have no index, such as those of a file; None of a field."""
    if find_recipe(obj) is None:
        return None
    try:
        return provenance(obj)
    except ValueError:  # what is wrong with them is said where they are used
        return None


def _without_place(plan: Plan) -> list[str]:
    """Say how many elements are in no patch, and missing after merge, for want of a place."""
    told = plan.places is not None and plan.recalled is None
    lists = [m for m in plan.lists if told and not m.timed]
    every = [plan.domain.sites(m.dims[0]) for m in lists]
    lost = [(len(s) - len(s.known), len(s), m) for m, s in zip(lists, every, strict=True)]
    return [
        f"  without a place: {k} of {n} elements along {', '.join(map(str, m.dims))}, in no patch"
        for k, n, m in lost
        if k
    ]


def _axes(spec: Mapping[str, Any]) -> list[str]:
    """Say what each axis of a patcher is."""
    names = ("geometry", "sampler", "window", "aggregation")
    return [f"  {n}: {spec[n]['class']}" for n in names if spec.get(n) is not None]
