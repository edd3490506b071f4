"""Whether a field has the cells that parameters are of, as far as its coordinates tell."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import xarray as xr

from xpatch.domain import Elements, domain_of
from xpatch.patches.labels import agree, tolerance
from xpatch.patches.plan import Plan


def check_cells(plan: Plan, field: xr.Dataset, dims: Sequence[Hashable]) -> None:
    """Raise a ValueError if cells of a field along ``dims`` lie elsewhere than those that were split.

    Coordinates are compared that both have; where the field has none it goes by position.
    """
    different = _difference(plan, field, dims)
    if different is not None:
        raise ValueError(
            f"this is not the field that was split: {different}, so that parameters would go to other places; "
            "predict on a field with the same cells, or bring it there: field.reindex_like(…), field.interp(…)"
        )


def _difference(plan: Plan, field: xr.Dataset, dims: Sequence[Hashable]) -> str | None:
    domain = plan.domain
    for d in dims:
        if domain.sizes[d] != field.sizes[d]:
            return f"it has {field.sizes[d]} cells along {d!r}, not {domain.sizes[d]}"
    for name, coord in domain.template.coords.items():
        given = field.coords.get(name)
        if given is None or not coord.dims or not {*coord.dims} <= {*dims}:
            continue
        if {*given.dims} != {*coord.dims} or coord.dtype == object != given.dtype:
            continue
        within = tolerance(domain, name) if coord.dims == (name,) else 0.0
        if not agree(given.transpose(*coord.dims).values, coord.values, within).all():
            return f"its {name!r} differs"
    marks = plan.landmarks
    for name, values in (marks.values if marks is not None else {}).items():
        assert marks is not None
        given = field.coords.get(name)
        if given is None or {*given.dims} != {*marks.dims[name]} or not {*given.dims} <= {*dims}:
            continue
        order = [d for p in plan.hood.parts for d in p.dims if d in given.dims]
        flat = given.transpose(*order).values.reshape(-1)
        fits = len(order) == given.ndim and marks.elements.max(initial=-1) < flat.size
        if fits and not agree(flat[marks.elements], np.asarray(values), 0.0).all():
            return f"its {name!r} differs"
    if isinstance(domain, Elements) and {*domain.element_dims} & {*dims}:
        known = [n for n, v in field.variables.items() if {*v.dims} & {*dims}]
        other = domain_of(field[known])
        own = tuple(d for d in domain.element_dims if d in dims)
        if isinstance(other, Elements) and type(other) is type(domain):
            return domain.same_lattice(other, own)
    return None
