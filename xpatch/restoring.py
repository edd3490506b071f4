"""Merge: find the plan of patches, and put the coordinates of the field back."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex

from xpatch.dating import through_counts
from xpatch.domain import Lattice, Sites, domain_of
from xpatch.domain.dates import calendar_of
from xpatch.engine import dtypes
from xpatch.fields import told_plans
from xpatch.geometry import Places
from xpatch.index import RECIPE, patch_index
from xpatch.joint import Joint
from xpatch.neighborhood import Boxes, Members
from xpatch.plan import Plan
from xpatch.recipe import find_recipe, read_plan
from xpatch.spec import decode

NEVER_SPLIT = (
    "these are not patches: they carry neither a PatchIndex nor a recipe in the attributes of the "
    "patch coordinate. Merge takes what split gave; if the patches lost their index, pass "
    "like=field and keep their label coordinates. A template for map_blocks is made from the patches, "
    "such as xr.zeros_like(patches)"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Provenance:
    """Where patches come from."""

    dim: Hashable
    ordinals: NDArray[np.int64]
    plans: tuple[Plan, ...]
    crop: Mapping[Hashable, tuple[int, int]]
    indexed: bool


def provenance(obj: xr.DataArray | xr.Dataset, like: Any) -> Provenance:
    """Find the plan of patches: from the index, else the recipe, else the labels and ``like``.

    Raises
    ------
    ValueError
        If there is none, or the patches come from different splits.
    """
    index = patch_index(obj)
    if index is not None:
        if index.mixed:
            raise ValueError(
                "these patches come from different splits and cannot be merged into one field; "
                "merge the patches of each split on their own"
            )
        return Provenance(index.dim, index.ordinals, told_plans(obj, index), index.crop, True)
    found = find_recipe(obj)
    if found is not None:
        dim, recipe = found
        ordinals = np.asarray(obj.coords[dim].values, dtype=np.int64).reshape(-1)
        plan = read_plan(obj, dim, recipe)
        plan = measured(plan, recipe, like)
        if plan.boxed is not None:
            _check_ordinals(ordinals, plan)
            _check_labels(obj, dim, ordinals, plan.boxed)
        return Provenance(dim, ordinals, (plan,), {}, False)
    if like is not None:
        return _from_labels(obj, domain_of(like))
    raise ValueError(NEVER_SPLIT)


def is_coarse(obj: Any) -> bool:
    """Whether these are patches of one scale, which were averaged over several steps."""
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        return False
    index = patch_index(obj)
    if index is not None:
        return any(plan.coarse for plan in index.plans)
    return any('"coarse": {' in str(c.attrs.get(RECIPE, "")) for c in obj.coords.values())


def measured(plan: Plan, recipe: Mapping[str, Any], like: Any) -> Plan:
    """Find the members again on ``like``, with their distances, which were not written.

    Raises
    ------
    ValueError
        If they are not those of the patches.
    """
    if like is None or not plan.lists:
        return plan
    domain, hood = domain_of(like), plan.hood
    for part in plan.lists:
        if part.numbers is not None:
            different = plan.domain.same_lattice(domain, part.dims)
            if different is not None:
                raise ValueError(f"like is not the field that was split: {different}")
            found = timed(part, recipe, domain)
        else:
            assert plan.places is not None
            found = around(part, plan.places, recipe, domain)
        hood = hood.replaced(part, found) if isinstance(hood, Joint) else found
    return dataclasses.replace(plan, hood=hood, domain=domain)


def around(members: Members, places: Places, recipe: Mapping[str, Any], domain: Lattice) -> Members:
    """Find lists in space again."""
    for d, n in zip(members.dims, members.shape, strict=True):
        if domain.sizes.get(d) != n:
            raise ValueError(
                f"like is not the field that was split: it has {domain.sizes.get(d)} cells along "
                f"{d!r}, not {n}"
            )
    spec = recipe.get("spatial") or recipe
    try:
        geometry = decode(spec.get("geometry"))
    except (ValueError, TypeError):  # polygons and functions are not written
        return members
    kept = np.flatnonzero(members.counts)
    at = located(places.take(kept), geometry.sites(domain))
    return same_lists(members, geometry.neighborhood(domain, at), kept, geometry)


def timed(members: Members, recipe: Mapping[str, Any], domain: Lattice) -> Members:
    """Find lists in time again."""
    from xpatch.time.geometry import listed

    spec = recipe.get("temporal") or recipe
    geometry = decode(spec.get("geometry"))
    closed = "left" if (spec.get("sampler") or {}).get("class") == "CausalRolling" else None
    assert members.anchors is not None
    kept = np.flatnonzero(members.anchors >= 0)
    axis = geometry.axis(domain)
    if len(axis) != members.shape[0]:
        raise ValueError(
            f"like is not the field that was split: it has {len(axis)} steps along {axis.dim!r}, not "
            f"{members.shape[0]}"
        )
    found = geometry.neighborhood(axis, members.anchors[kept], closed)
    if isinstance(found, Boxes):  # of the few patches that there are
        cells = found.starts() + np.arange(found.sizes[0])
        counts = np.full(len(kept), found.sizes[0])
        found = listed(axis, members.anchors[kept], counts, cells.reshape(-1))
    return same_lists(members, found, kept, geometry)


def same_lists(members: Members, found: Members, kept: NDArray, geometry: Any) -> Members:
    """Give the lists that were found again, with their distances.

    Raises
    ------
    ValueError
        If they are others.
    """
    found = found.take(np.arange(len(found))).spread(kept, len(members))
    same = np.array_equal(found.offsets, members.offsets)
    if not same or not np.array_equal(found.elements, members.elements):
        raise ValueError(
            f"like is not the field that was split: there {geometry!r} finds other members around "
            "the anchors of these patches"
        )
    return dataclasses.replace(found, width=members.width)


def located(places: Places, sites: Sites) -> Places:
    """Give anchors that are elements the places of these."""
    known = (places.elements >= 0) & (places.elements < len(sites))
    at = np.where(known, places.elements, 0)
    x, y = np.where(known, sites.x[at], places.x), np.where(known, sites.y[at], places.y)
    return dataclasses.replace(places, x=x, y=y)


def _check_ordinals(ordinals: NDArray, plan: Plan) -> None:
    if len(ordinals) and (ordinals.min() < 0 or ordinals.max() >= len(plan)):
        raise ValueError(
            f"patch labels run from {ordinals.min()} to {ordinals.max()}, but the split made "
            f"{len(plan)} patches: the patch coordinate was overwritten; do not renumber patches"
        )


def _check_labels(obj: Any, dim: Hashable, ordinals: NDArray, plan: Plan) -> None:
    """The labels must be those of the recipe: patches of two splits may have been put together."""
    for d in plan.dims:
        if d not in obj.coords or obj.coords[d].chunks is not None:
            continue
        labels = obj.coords[d]
        if set(labels.dims) - {dim, d} or d not in labels.dims:
            continue
        k = plan.dims.index(d)
        cells = plan.boxes.starts(ordinals)[:, k, None] + plan.offsets(d)
        expected = plan.domain.labels_at(d, cells, plan.boxes.wrap[k])
        shape = (len(ordinals), labels.sizes[d])
        given = labels.transpose(..., d).values.reshape(shape)
        if expected is None or shape[1] != expected.shape[1]:
            continue
        if not _same(given, expected):
            raise ValueError(
                f"the labels along {d!r} are not those that the recipe gives for these patches; "
                "were patches of different splits put together, or renumbered? Merge the patches "
                "of each split on their own"
            )


def _same(a: NDArray, b: NDArray) -> bool:
    if a.dtype.kind in "fc" and b.dtype.kind in "iufc":
        return bool(np.allclose(a, b, rtol=1e-6, atol=0, equal_nan=True))
    null = b != b
    return bool(((a == b) | null).all())


def _from_labels(obj: xr.DataArray | xr.Dataset, domain: Lattice) -> Provenance:
    """Find where patches lie in a field by their labels alone."""
    cut = [d for d, c in obj.coords.items() if d in c.dims and c.ndim == 2 and d in domain.sizes]
    dims = {d for c in cut for d in obj.coords[c].dims if d != c}
    if not cut or len(dims) != 1:
        raise ValueError(NEVER_SPLIT)
    dim = dims.pop()
    cut = [d for d in domain.dims if d in cut]
    cells = [_cells(obj.coords[d].transpose(dim, d).values, d, domain) for d in cut]
    whole = np.arange(obj.sizes[dim])
    runs = [bool((at == at[:, :1] + np.arange(at.shape[1])).all()) for at in cells]
    if not all(runs):
        if len(cut) > 1:
            d = cut[runs.index(False)]
            raise ValueError(f"the labels of the patches along {d!r} do not occur in like as runs")
        (d,), (table,) = cut, cells  # of lists whose anchors and distances are not known
        listed = Members.from_table((d,), (domain.sizes[d],), d, table, f"{d}_number")
        plan = Plan(domain, Joint((listed,)))
        return Provenance(dim, whole, (plan,), {}, False)
    boxes = Boxes(
        tuple(cut),
        tuple(obj.sizes[d] for d in cut),
        tuple(domain.sizes[d] for d in cut),
        tuple(at[:, 0] for at in cells),
        False,
        (False,) * len(cut),
    )
    return Provenance(dim, whole, (Plan(domain, boxes),), {}, False)


def _cells(labels: NDArray, d: Hashable, domain: Lattice) -> NDArray[np.int64]:
    """Find the cells that have the labels of patches; −1 where a slot is empty."""
    known = domain.coordinate(d)
    empty = np.asarray(pd.isnull(labels))
    if known is None or labels.shape[1] == 0:
        raise ValueError(f"the labels of the patches along {d!r} do not occur in like")
    if known.dtype.kind in "iufM" and not empty.any():  # to rounding, and around the seam
        try:
            first = domain.nearest(d, labels[:, 0])
        except ValueError as error:
            raise ValueError(f"the labels of the patches do not occur in like: {error}") from None
        at = first[:, None] + np.arange(labels.shape[1])
        expected = domain.labels_at(d, at, False)
        if expected is not None and _same(labels, expected):
            return at
    index = pd.Index(known)
    exact = index.is_unique and index.dtype.kind != "f"
    found = index.get_indexer(labels.ravel()) if exact else np.full(labels.size, -1)
    found = found.reshape(labels.shape)
    if ((found < 0) & ~empty).any() or (empty[:, :-1] & ~empty[:, 1:]).any():
        raise ValueError(f"the labels of the patches along {d!r} do not occur in like")
    return found


def check_like(plan: Plan, like: Lattice) -> None:
    """Raise a ValueError if ``like`` is not the lattice that was split."""
    different = plan.domain.same_lattice(like, plan.dims)
    if different is not None:
        raise ValueError(f"like is not the field that was split: {different}")


def ordered(dims: tuple[Hashable, ...], order: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    """Put the dims that ``order`` knows in its order; others (channels) keep their places."""
    known = iter(sorted((d for d in dims if d in order), key=order.index))
    return tuple(next(known) if d in order else d for d in dims)


def restored_coords(
    patches: xr.DataArray | xr.Dataset,
    domain: Lattice,
    cut: tuple[Hashable, ...],
    dim: Hashable,
    sizes: Mapping[Hashable, int],
    scale: Mapping[Hashable, int],
) -> xr.Coordinates:
    """Give the coordinates of the merged field.

    Those with a cut dimension come from the domain. The others come from the patches, because a
    model may have selected or added some; where they are equal, or lazy so that reading them
    would run the model again, or lost, those of the domain are taken, with attrs and encoding.
    """
    template = domain.template
    variables: dict[Hashable, Variable] = {}
    indexes: dict[Hashable, Any] = {}

    def take(source: Any, name: Hashable) -> None:
        variables[name] = source.coords[name].variable
        indexes.pop(name, None)
        if name in source.xindexes:
            indexes[name] = source.xindexes[name]

    for name, coord in template.coords.items():
        if set(coord.dims) & set(cut):
            if all(sizes.get(d) == domain.sizes[d] * scale.get(d, 1) for d in coord.dims):
                if any(scale.get(d, 1) != 1 for d in coord.dims):
                    variables[name] = refined(coord.variable, scale)
                else:
                    take(template, name)
        elif name not in patches.coords and all(sizes.get(d) == coord.sizes[d] for d in coord.dims):
            take(template, name)
    for name, coord in patches.coords.items():
        if dim in coord.dims or name == dim or name in variables:
            continue
        if name not in template.coords and set(coord.dims) & set(cut):
            continue  # of cells in a patch, such as the lead
        if any(sizes.get(d) != coord.sizes[d] for d in coord.dims):
            continue
        known = name in template.coords and template.coords[name].dims == coord.dims
        if known and _stands_for(coord.variable, template.coords[name].variable):
            take(template, name)
        else:
            take(patches, name)
    for name, variable in variables.items():
        if variable.dims == (name,) and name in cut and any(scale.get(d, 1) != 1 for d in cut):
            indexes.setdefault(name, PandasIndex.from_variables({name: variable}, options={}))
    kept = {id(i): i for i in indexes.values()}
    for key, index in kept.items():  # an index over several coordinates needs them all
        names = [n for n, i in indexes.items() if id(i) == key]
        every = index.create_variables({n: variables[n] for n in names})
        if set(every) - set(names):
            for n in names:
                del indexes[n]
    return xr.Coordinates(variables, indexes=indexes)


def _stands_for(mine: Variable, original: Variable) -> bool:
    """Whether the original coordinate may be taken in place of that of the patches."""
    if mine.shape != original.shape:
        return False
    if mine.chunks is not None or not mine._in_memory:
        return True
    return bool(mine.equals(original))


def refined(variable: Variable, scale: Mapping[Hashable, int]) -> Variable:
    """Give a coordinate on cells that are finer by integer factors: their centers."""
    out = variable.load()
    for axis, d in enumerate(variable.dims):
        factor = scale.get(d, 1)
        if factor == 1:
            continue
        n = out.shape[axis]
        if n > 1 and calendar_of(out) is not None:
            out = through_counts(out, partial(refined, scale={d: factor}))
            continue
        position = (np.arange(n * factor) + 0.5) / factor - 0.5
        if out.dtype.kind not in "iufmM" or n < 2:
            cells = np.arange(n * factor) // factor
            out = out.isel({d: cells})
            continue
        left = np.clip(np.floor(position).astype(int), 0, n - 2)
        part = position - left
        along = [1] * out.ndim
        along[axis] = -1
        low, high = out.isel({d: left}).to_numpy(), out.isel({d: left + 1}).to_numpy()
        part = part.reshape(along)
        if out.dtype.kind in "mM":
            data = low + ((high - low).astype(float) * part).astype("i8").astype((high - low).dtype)
        else:
            kind = out.dtype if out.dtype.kind == "f" else np.dtype(float)
            data = (low + (high - low) * part).astype(kind)
        out = Variable(out.dims, data, out.attrs)
    return out


def place(
    variable: Variable, plan: Plan, ordinals: NDArray, crop: Mapping, dim: Hashable
) -> Variable:
    """Put values that agree wherever patches overlap, such as coordinates, back on the lattice."""
    boxes = plan.boxes.inner(crop)
    others = tuple(d for d in variable.dims if d not in (dim, *boxes.dims))
    values = variable.transpose(dim, *boxes.dims, *others).to_numpy()
    starts = boxes.starts(ordinals)
    shape = [*boxes.shape, *(variable.sizes[d] for d in others)]
    dtype, fill = np.dtype(object), None
    if values.dtype.kind not in "OT":
        dtype, fill = dtypes.filled(values.dtype, "" if values.dtype.kind in "US" else None)
    out = np.full(shape, fill, dtype)
    for value, start in zip(values, starts, strict=True):
        cells = [s + np.arange(n) for s, n in zip(start, boxes.sizes, strict=True)]
        inside = [
            np.ones(len(c), bool) if w else (c >= 0) & (c < n)
            for c, w, n in zip(cells, boxes.wrap, boxes.shape, strict=True)
        ]
        at = [c[i] % n for c, i, n in zip(cells, inside, boxes.shape, strict=True)]
        out[np.ix_(*at)] = value[np.ix_(*map(np.flatnonzero, inside))]
    return Variable((*boxes.dims, *others), out, variable.attrs)
