"""Split of CF ragged arrays: samples are cut with the profile, trajectory or station that they are of."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import variables_of
from xpatch.domain.ragged import counts_of
from xpatch.patches.chunks import patch_groups
from xpatch.patches.index import PatchIndex, patch_index, with_index
from xpatch.patches.plan import Plan
from xpatch.patches.planning import check_values
from xpatch.patches.samples import in_order, ragged_domain, refusal
from xpatch.patches.split import cut_field


def split_ragged(
    obj: Any,
    plans: tuple[Plan, ...],
    ordinals: NDArray[np.int64],
    dim: Hashable,
    chunks: Any,
) -> Any:
    """Cut a Dataset: the instances by the first of ``plans``, their samples by the others.

    Raises
    ------
    ValueError
        If there is a variable that cannot be cut.
    """
    counts = [c.name for c in counts_of(obj)]
    domain = ragged_domain(obj)
    plans = tuple(dataclasses.replace(p, domain=domain, origin=p.anchor_id) for p in plans)
    parts = _parts(obj.set_coords(counts), plans)
    groups = _groups(parts, plans, ordinals, chunks)
    pieces = [
        cut_field(part, p, dim, ordinals, groups) for part, p in zip(parts, plans, strict=True)
    ]
    out = pieces[0]
    for piece in pieces[1:]:
        coords = {n: c.variable for n, c in piece.coords.items() if n != dim}
        out = out.assign({n: v.variable for n, v in piece.data_vars.items()}).assign_coords(coords)
    index = patch_index(out)
    assert index is not None
    out = with_index(out, PatchIndex(index._index, plans))
    return in_order(out.reset_coords([n for n in counts if n in obj.data_vars]), obj)


def _parts(obj: xr.Dataset, plans: tuple[Plan, ...]) -> list[xr.Dataset]:
    """Give what lies on the samples of each plan, and first the rest."""
    dims = [p.dims[0] for p in plans[1:]]
    homes = {n: [d for d in dims if d in v.dims] for n, v in obj.variables.items()}
    cut = {*plans[0].dims, *dims}
    for name, variable in obj.variables.items():
        both = [d for d in variable.dims if d in cut]
        if homes[name] and len(both) > 1:
            raise ValueError(
                f"{name!r} lies along {both}, of which one counts the samples of the other, so that it "
                f"cannot be cut with them; leave it out: field.drop_vars({name!r})"
            )
    rest = obj.drop_vars([n for n, home in homes.items() if home])
    own = [obj.drop_vars([n for n, home in homes.items() if home != [d]]) for d in dims]
    for part, plan in zip(own, plans[1:], strict=True):
        if part.data_vars:
            check_values(part, plan.dims)
    return [rest, *own]


def _groups(
    parts: list[xr.Dataset], plans: tuple[Plan, ...], ordinals: NDArray[Any], chunks: Any
) -> list[NDArray[Any]] | None:
    """Group the patches alike for all, so that no block is too large for any."""
    each = [
        patch_groups(variables_of(part), p, ordinals, chunks)
        for part, p in zip(parts, plans, strict=True)
    ]
    if all(g is None for g in each):
        return None
    from xpatch.engine.chunked_gather import subdivide

    most = min(max(map(len, g)) for g in each if g)
    return subdivide(each[0] or [ordinals], most)


def check_apply(obj: Any, plan: Plan) -> None:
    """Raise a ValueError if apply would hand samples on that are not those of its patches."""
    cut = [c for c in counts_of(obj) if c.instance in plan.dims and c.sample not in plan.dims]
    if cut:
        raise refusal(
            cut[0], "apply does not take them apart; split, map over the patches, and merge"
        )
