"""Several grids in one Dataset, such as bands of 10 m and of 20 m, cut at common places."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.indexes import PandasIndex

from xpatch.domain import Lattice, domain_of, variables_of
from xpatch.geometry import Rectangular
from xpatch.patches.chunks import patch_groups
from xpatch.patches.index import PatchIndex, patch_index, with_index
from xpatch.patches.plan import Plan
from xpatch.patches.planning import make_plan
from xpatch.patches.split import cut_field
from xpatch.sampler import Explicit
from xpatch.spec import per_dim


def split_grids(obj: Any, patcher: Any, dim: Hashable, chunks: Any) -> xr.Dataset:
    """Cut the first grid where the sampler says, and the others at the same places.

    Raises
    ------
    TypeError
        If there is only one grid, that of a DataArray.
    KeyError, ValueError
        If a dimension is unknown, or named twice, or a variable lies on several grids.
    """
    grids, parts = by_grid(obj, patcher)
    plans: list[Plan] = []
    for own, part in zip(grids, parts, strict=True):
        axes = dataclasses.replace(patcher, geometry=on_dims(patcher.geometry, own, part))
        if plans:
            check_labels(plans[0].domain, own, domain_of(part))
            places = labels_of(plans[0], grids[0], own, dim)
            axes = dataclasses.replace(axes, sampler=Explicit(places))
        plan, ordinals = make_plan(part, axes, dim)
        plans.append(plan)
    found = (
        patch_groups(variables_of(part), plan, ordinals, chunks)
        for part, plan in zip(parts, plans, strict=True)
    )
    groups = next((g for g in found if g is not None), None)  # one order of patches for all
    cut = [
        cut_field(part, plan, dim, ordinals, groups)
        for part, plan in zip(parts, plans, strict=True)
    ]
    return joined(cut, dim)


def by_grid(obj: Any, patcher: Any) -> tuple[list[dict[Hashable, Any]], list[xr.Dataset]]:
    """Give the sizes of patches on each grid, and the variables of each."""
    if not isinstance(obj, xr.Dataset):
        raise TypeError(
            f"{patcher.geometry!r} names several grids, which are those of a Dataset; a DataArray has "
            "one: name its dimensions alone, Rectangular(y=64, x=64)"
        )
    grids = sizes_by_grid(patcher.geometry)
    check_grids(obj, grids)
    return grids, [on_grid(obj, own, grids, carried=not k) for k, own in enumerate(grids)]


def first_grid(obj: Any, patcher: Any) -> tuple[xr.Dataset, Any]:
    """Give the variables of the first grid, and the patcher of it alone, which places all patches."""
    (own, *_), (part, *_) = by_grid(obj, patcher)
    return part, dataclasses.replace(patcher, geometry=on_dims(patcher.geometry, own, part))


def sizes_by_grid(geometry: Rectangular) -> list[dict[Hashable, Any]]:
    """Give the sizes of patches by dimension for each grid; dimensions named alone belong to all."""
    size = geometry.size
    common = {d: n for d, n in size.items() if not isinstance(d, tuple)}
    groups = [(dims, n) for dims, n in size.items() if isinstance(dims, tuple)]
    grids = []
    for dims, n in groups:
        own = per_dim(n, dims, f"the size along {list(dims)}")
        lost = [d for d in dims if d not in own]
        if lost:
            raise ValueError(f"the size along {list(dims)} lacks {lost[0]!r}; got {n!r}")
        grids.append({**{d: own[d] for d in dims}, **common})
    named = [d for dims, _ in groups for d in dims] + list(common)
    twice = [d for d in named if named.count(d) > 1]
    if twice:
        raise ValueError(
            f"Rectangular names dimension {twice[0]!r} twice; each grid has dimensions of its own, and "
            "what is named alone is common to all"
        )
    return grids


def check_grids(obj: xr.Dataset, grids: list[dict[Hashable, Any]]) -> None:
    """Raise if a dimension is unknown, or something lies on several grids."""
    for d in (d for own in grids for d in own):
        if d not in obj.sizes:
            raise KeyError(
                f"Rectangular names dimension {d!r}, which the field does not have; its dimensions are "
                f"{list(obj.sizes)}"
            )
    alone = [own_dims(own, grids) for own in grids]
    for name, variable in obj.variables.items():
        if sum(bool(own & set(variable.dims)) for own in alone) > 1:
            raise ValueError(
                f"{name!r} has the dimensions {list(variable.dims)}, which are those of several grids, so "
                f"that it would be cut twice; leave it out: drop_vars({name!r})"
            )


def own_dims(own: Mapping[Hashable, Any], grids: list[dict[Hashable, Any]]) -> set[Hashable]:
    """Give the dimensions that only one grid has."""
    return {d for d in own if sum(d in other for other in grids) == 1}


def on_grid(
    obj: xr.Dataset,
    own: Mapping[Hashable, Any],
    grids: list[dict[Hashable, Any]],
    carried: bool,
) -> xr.Dataset:
    """Give what lies on one grid; with ``carried`` also what lies on none."""
    mine = own_dims(own, grids)
    others = {d for grid in grids for d in own_dims(grid, grids)} - mine
    part = obj.drop_dims(others)
    if carried:
        return part
    return part.drop_vars([n for n, v in part.data_vars.items() if not mine & set(v.dims)])


def on_dims(geometry: Rectangular, own: Mapping[Hashable, Any], part: xr.Dataset) -> Rectangular:
    """Give the boxes of one grid."""
    boundary = geometry.boundary
    if isinstance(boundary, Mapping):
        boundary = {d: word for d, word in boundary.items() if d in own}
    size = {d: n for d, n in own.items() if d in part.sizes}
    return Rectangular(
        size, boundary=boundary, pad_mode=geometry.pad_mode, pad_value=geometry.pad_value
    )


def check_labels(first: Lattice, own: Mapping[Hashable, Any], domain: Lattice) -> None:
    """Raise a ValueError if nothing says where the cells of another grid are."""
    bare = [d for d in own if d in domain.sizes and domain.coordinate(d) is None]
    if bare and not domain.curvilinear and getattr(domain, "affine", None) is None:
        raise ValueError(
            f"{bare[0]!r} has no coordinate, so that nothing says where the cells of this grid are among "
            f"those along {list(first.spatial_dims)}; assign one: assign_coords({{{bare[0]!r}: …}})"
        )


def labels_of(
    plan: Plan, first: Mapping[Hashable, Any], own: Mapping[Hashable, Any], dim: Hashable
) -> xr.Dataset:
    """Give patches of which nothing is known but where they are, with the names of another grid."""
    if len(first) != len(own):
        raise ValueError(
            f"the grids of Rectangular have dimensions one by one, got {list(first)} and {list(own)}"
        )
    plan = plan.renamed(dict(zip(first, own, strict=True)))
    index = PatchIndex(PandasIndex(np.arange(len(plan)), dim), (plan,))
    return xr.Dataset(coords=xr.Coordinates(index.create_variables(), indexes={dim: index}))


def joined(cut: list[xr.Dataset], dim: Hashable) -> xr.Dataset:
    """Put the patches of all grids into one Dataset."""
    out = cut[0]
    for other in cut[1:]:
        known = [n for n in other.coords if n in out.coords and n != dim]
        other = other.drop_vars(known)
        out = out.merge(other, compat="override", join="outer", combine_attrs="override")
    index = patch_index(out)
    assert index is not None
    whole: xr.Dataset = with_index(out, index)  # which says of all plans what there is to say
    return whole
