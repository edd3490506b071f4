"""Patches of patches: what the splits above know, and one split of several as if it were alone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray import Variable

from xpatch.domain import Lattice, domain_of
from xpatch.domain.nested import Above
from xpatch.engine.lazy import Turned, lazily
from xpatch.geometry import MemberGeometry
from xpatch.neighborhood import Neighborhood
from xpatch.patches.coords import refined
from xpatch.patches.encoding import RECIPE, recipes_in
from xpatch.patches.index import PatchIndex, splits_of
from xpatch.patches.plan import Plan
from xpatch.sampler import Valid

__all__ = ["above_coordinates", "behind", "check_asked", "check_order", "domain_in", "focused"]


def plans_along(obj: Any, dim: Hashable) -> tuple[Plan, ...]:
    """Give the plans of one split, of all scenes; none of patches without an index."""
    index = obj.xindexes.get(dim)
    if not isinstance(index, PatchIndex):
        return ()
    return index.plans or tuple(p for s in index.scenes for p in s.plans)


def above_of(obj: Any, dims: tuple[Hashable, ...]) -> Above | None:
    """Give what is known of the splits along ``dims``; None if there are none."""
    if not dims:
        return None
    plans = [p for d in dims for p in plans_along(obj, d)]
    coords = {n: c for n, c in obj.coords.variables.items() if {*c.dims} & {*dims}}
    own = {n: c for n, c in coords.items() if n in c.dims and n not in dims}
    differ = {d for p in plans for d in p.inner} | {*own}
    slots = {m.dim for p in plans for m in p.lists}
    slots |= {n for n, c in own.items() if "empty_slot" in c.attrs}
    held = obj.coords.to_dataset()[[n for n, c in coords.items() if {*c.dims} - {*dims}]]
    labels = {d: obj.coords[d].variable.to_base_variable() for d in dims if d in obj.coords}
    held = held.drop_vars(dims, errors="ignore").assign_coords(labels)
    return Above(dims, frozenset(differ), frozenset(slots), _steps(plans, slots), held)


def _steps(plans: list[Plan], slots: set[Hashable]) -> dict[Hashable, Any]:
    """Give the distance of labels where all fields have the same."""
    found: dict[Hashable, list[Any]] = {}
    for plan in plans:
        for d in {*plan.inner} - slots - {*plan.hood.coarse}:
            found.setdefault(d, []).append(plan.domain.spacing(d))
    return {d: steps[0] for d, steps in found.items() if None not in steps and len({*steps}) == 1}


def domain_in(obj: Any) -> Lattice:
    """Tell what a field lies on; of patches, what they have in common: their cells."""
    dims = splits_of(obj) if isinstance(obj, xr.DataArray | xr.Dataset) else ()
    above = above_of(obj, dims)
    if above is None:
        return domain_of(obj)
    moving = [n for n, c in obj.coords.variables.items() if {*c.dims} & {*dims}]
    domain = domain_of(obj.drop_vars(moving))
    if any({*v.dims} & {*dims} for v in domain.held.values()):
        domain.held = {}
    return domain.with_above(above)


# --------------------------------------------------------------------------------------- checks


def check_asked(domain: Lattice, axes: Any) -> None:
    """Raise a ValueError for a geometry or a sampler that needs places where patches have none in common."""
    above = domain.above
    if above is None:
        return
    axes = getattr(axes, "spatial", axes)
    if isinstance(axes.sampler, Valid):
        raise ValueError(
            f"{type(axes.sampler).__name__} would keep other patches in each patch along {above.dims[-1]!r}. "
            f"{above.way_out}; or leave them out after the split, patches.where(…)"
        )
    if isinstance(axes.geometry, MemberGeometry):
        where = (*domain.spatial_dims, *domain.element_dims)
        lost = [d for d in domain.sizes if d in above.slots]
        above.check_placed([*where, *lost] if set(where) & above.differ else where)


def check_order(hood: Neighborhood, above: Above | None) -> None:
    """Raise a ValueError if patches shall be cut along dimensions that they have no order in."""
    if above is None:
        return
    for d in hood.dims:
        if d in above.dims:
            raise ValueError(
                f"{d!r} counts the patches themselves; patches of patches are cut along dimensions in a patch, "
                f"and patches.isel({{{d!r}: …}}) selects some"
            )
        if d in above.slots:
            raise ValueError(
                f"{d!r} is a list of members, which have no order, so that patches of patches cannot be cut "
                f"along it; cut along others, such as time, or cut the field itself"
            )
    around = [p.dim for p in hood.slices if p.wrap and p.dim in above.differ]
    if around:
        raise ValueError(
            f"boundary='wrap' along {around[0]!r}: a patch is no circle. Use 'shift', 'drop' or 'pad', or leave "
            f"{around[0]!r} out of the first split, which carries it whole"
        )


# --------------------------------------------------------------------------------------- split


def behind(variables: Mapping[Any, Variable], above: Above | None) -> dict[Any, Variable]:
    """Let the patch dimensions stand first, that of the first split ahead."""
    return {n: v if above is None else _behind(v, above.dims) for n, v in variables.items()}


def _behind(variable: Variable, dims: tuple[Hashable, ...]) -> Variable:
    first = [d for d in dims if d in variable.dims]
    order = [*first, *(d for d in variable.dims if d not in first)]
    if tuple(order) == variable.dims:
        return variable
    if variable._in_memory or variable.chunks is not None:
        return variable.transpose(*order)
    axes = tuple(variable.dims.index(d) for d in order)
    return Variable(order, lazily(Turned(variable._data, axes)), variable.attrs, variable.encoding)


# --------------------------------------------------------------------------------------- merge


def focused(patches: Any, dim: Hashable | None) -> tuple[Any, xr.Coordinates]:
    """Give patches as if those along ``dim`` were of the last split, and what to put back after merge.

    Raises
    ------
    KeyError
        If no split is called so.
    ValueError
        If a later split cut what this one did.
    """
    none = xr.Coordinates()
    splits = splits_of(patches) if isinstance(patches, xr.DataArray | xr.Dataset) else ()
    if dim is None or not splits or dim == splits[-1]:
        return patches, none
    if dim not in splits:
        raise KeyError(
            f"merge(dim={dim!r}) names no split of these patches; those that there are: {list(splits)}"
        )
    later = splits[splits.index(dim) + 1 :]
    own = _touched(patches, dim)
    for other in reversed(later):
        both = own & _touched(patches, other)
        if both:
            raise ValueError(
                f"patches along {other!r} were cut out of those along {dim!r}, along {sorted(map(str, both))}, so "
                f"that these are in pieces: merge {splits[-1]!r} first"
            )
    names = [d for d in later if d in patches.coords]
    hidden = patches.coords.to_dataset()[names].coords
    return patches.drop_vars(names), hidden


def _touched(obj: Any, dim: Hashable) -> set[Hashable]:
    """Give the dimensions that a split cut, and those that it made."""
    plans = plans_along(obj, dim)
    found: set[Hashable] = {d for p in plans for d in (*p.dims, *p.inner)}
    for recipe in [] if plans else recipes_in(obj.coords[dim].attrs.get(RECIPE)):
        for part in recipe.get("parts") or [recipe]:
            found |= {*part.get("dims", ()), part.get("members")} - {None}
    return found


def above_coordinates(
    above: Above | None, patches: Any, sizes: Mapping[Hashable, int], scale: Mapping[Hashable, int]
) -> dict[Hashable, Variable]:
    """Give the coordinates that the patches above had along what was cut out of them."""
    rows: dict[Hashable, Any] = {}
    for d in () if above is None else above.dims:
        at = _rows(above, patches, d)
        if at is not None:
            rows[d] = at
    if above is None or not rows:
        return {}
    found = {}
    for name, coord in above.coords.variables.items():
        own = [d for d in coord.dims if d in above.dims]
        if name in above.dims or not all(d in rows for d in own):
            continue
        some = coord.isel({d: rows[d] for d in own})
        some = refined(some, scale) if any(scale.get(d, 1) > 1 for d in some.dims) else some
        if all(sizes.get(d) == n for d, n in some.sizes.items()):
            found[name] = some
    return found


def _rows(above: Above | None, patches: Any, dim: Hashable) -> Any:
    """Give which of the patches that were split those are that there are; None if nothing says so."""
    if above is None or dim not in above.coords or dim not in patches.coords:
        return None
    held, here = (np.asarray(c.coords[dim].values) for c in (above.coords, patches))
    if np.array_equal(held, here):
        return slice(None)
    first = {label: k for k, label in reversed([*enumerate(held.tolist())])}
    if len(first) < len(held) or not {*np.ravel(here).tolist()} <= {*first}:
        return None
    return np.array([first[k] for k in here.tolist()]) if here.ndim else first[here.item()]
