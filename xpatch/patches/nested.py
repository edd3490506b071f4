"""Patches of patches: what the splits above know, and one split of several as if it were alone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray import Variable

from xpatch.domain import Lattice, domain_of
from xpatch.domain.axes import even_spacing
from xpatch.domain.nested import Above
from xpatch.engine.lazy import Turned, lazily
from xpatch.geometry import Geometry, MemberGeometry
from xpatch.neighborhood import Neighborhood
from xpatch.patches.coords import refined
from xpatch.patches.encoding import RECIPE, recipes_in
from xpatch.patches.index import PatchIndex, splits_of, with_index
from xpatch.patches.plan import Plan
from xpatch.sampler import Valid
from xpatch.sampler.filters import chain_of

__all__ = [
    "above_coordinates",
    "above_of",
    "behind",
    "check_asked",
    "check_order",
    "domain_in",
    "focused",
    "with_indexes_of",
]


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
    steps = {d: _step(plans, d, v) for d, v in own.items() if d not in slots}
    known = {d: step for d, step in steps.items() if step is not None}
    return Above(dims, frozenset(differ), frozenset(slots), known, held)


def _step(plans: list[Plan], d: Hashable, labels: Variable) -> Any:
    """Give the distance of labels, where that of all fields is the same and a model left it."""
    own = [p.domain.spacing(d) for p in plans if d in p.inner and d not in p.hood.coarse]
    step = own[0] if own and all(other == own[0] for other in own) else None
    if step is None or isinstance(step, np.timedelta64) or labels.chunks is not None:
        return None
    sizes = {e: n for e, n in labels.sizes.items() if e != d}
    few = {e: sorted({0, n // 2, n - 1} & {*range(n)}) for e, n in sizes.items()}
    rows = labels.isel(few).transpose(..., d).to_numpy().reshape(-1, labels.sizes[d])
    far = [even_spacing(row) for row in rows]
    same = [found is not None and np.isclose(found, step, rtol=1e-3) for found in far]
    return step if all(same) else None


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
    if any(isinstance(s, Valid) for s in chain_of(axes.sampler)):
        raise ValueError(
            f"Valid would keep other patches in each patch along {above.dims[-1]!r}. "
            f"{above.way_out}; or leave them out after the split, patches.where(…)"
        )
    space = isinstance(axes.geometry, Geometry)
    if space and isinstance(axes.geometry.on(domain), MemberGeometry):
        above.check_placed((*domain.spatial_dims, *domain.element_dims))


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


def with_indexes_of(patches: Any, obj: Any) -> Any:
    """Give an object that has patch dimensions the indexes that patches have along them."""
    for d in splits_of(patches):
        index = patches.xindexes.get(d)
        if isinstance(index, PatchIndex) and d in obj.dims:
            obj = with_index(obj, index)
    return obj


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
    if dim is not None and isinstance(patches, xr.DataTree):
        raise TypeError(
            f"merge(dim={dim!r}) names a split of a DataArray or a Dataset; the scales of a DataTree are merged "
            "together, and then the patches that were split: tree.patch.merge().patch.merge()"
        )
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
                f"that these are in pieces: merge {other!r} first, merge(dim={other!r})"
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
    if above is None:
        return {}
    rows = {d: _rows(above.coords, patches, d) for d in above.dims}
    found = {}
    for name, coord in above.coords.variables.items():
        own = {d: rows[d] for d in coord.dims if d in rows}
        if name in rows or any(at is None for at in own.values()):
            continue
        some = coord.isel(own)
        some = refined(some, scale) if any(scale.get(d, 1) > 1 for d in some.dims) else some
        if all(sizes.get(d) == n for d, n in some.sizes.items()):
            found[name] = some
    return found


def _rows(held: xr.Dataset, patches: Any, dim: Hashable) -> Any:
    """Give which of the patches that were split those are that there are; None if nothing says so."""
    if dim not in held.coords or dim not in patches.coords:
        return None
    known, here = pd.Index(held.coords[dim].values), np.asarray(patches.coords[dim].values)
    if here.ndim and known.equals(pd.Index(here)):
        return slice(None)
    if not known.is_unique:  # of several fields
        return None
    at = known.get_indexer(np.ravel(here))
    if (at < 0).any():
        return None
    return at if here.ndim else int(at[0])
