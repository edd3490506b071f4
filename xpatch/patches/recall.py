"""Patches that lost their index: give them one from their recipe, once it is known to be theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex, PandasMultiIndex

from xpatch.patches.coarser import are_means
from xpatch.patches.decoding import check_ordinals, find_recipe, read_plan
from xpatch.patches.encoding import told_apart
from xpatch.patches.guards import Check, ListExpected, PlaceCheck, guarded, place_checks
from xpatch.patches.index import PatchIndex, patch_index, with_index, with_variables
from xpatch.patches.labels import Expected, few_tell, label_variable, missing, part_of
from xpatch.patches.plan import Plan, start_name
from xpatch.patches.rules import DamagedRecipe
from xpatch.patches.samples import found_again

MEND = "merge(like=field) takes the field that was split"


@dataclasses.dataclass(eq=False)
class Recalled:
    """What recipe and coordinates of patches say."""

    index: PatchIndex
    labels: dict[Hashable, Variable]  # our own, in place of those that were found to be the same
    pending: list[Check | PlaceCheck]  # of labels of dask, in the tasks that need the patches


def indexed(obj: Any, like: Any = None) -> Any:
    """Give patches that lost their index one from their recipe.

    Labels of dask are compared in the tasks that give the patches; the others are by then.

    Raises
    ------
    ValueError
        If they are not, or not known to be, the patches of the field that the recipe is of.
    """
    if not isinstance(obj, xr.DataArray | xr.Dataset) or patch_index(obj) is not None:
        return obj
    found = recalled(obj, like)
    if found is None:
        return obj
    index = found.index
    rows = {index.dim: len(index.ordinals)}
    given = {c.name: obj.coords[c.name].variable for c in found.pending}
    given = {  # of a single patch, or the same for all
        n: v if index.dim in v.dims else v.set_dims({**rows, **v.sizes}) for n, v in given.items()
    }
    if index.dim not in obj.dims:
        obj = as_one(obj, index.dim, index.plans)
    if found.pending:
        obj = guarded(obj, index.dim, index.ordinals, found.pending, given)
    return with_index(with_variables(obj, found.labels), index)


def recalled(obj: Any, like: Any) -> Recalled | None:
    """Rebuild the index of patches; None if there is no recipe, or it is damaged and ``like`` given."""
    try:
        found = find_recipe(obj)
    except DamagedRecipe:
        if like is None:
            raise
        return None
    if found is None:
        return None
    dim, recipe = found
    numbers = obj.coords[dim]
    _check_unstacked(obj, dim)
    if numbers.dtype.kind not in "iu":
        if like is not None:
            return None
        raise ValueError(
            f"the labels of {dim!r} are no integers, but {numbers.dtype}: averages of patches, as "
            f"coarsen gives, are no patches of the field. {MEND}, and finds patches by labels that they kept"
        )
    ordinals = np.asarray(numbers.values, dtype=np.int64).reshape(-1)
    out = Recalled(PatchIndex(PandasIndex(ordinals, dim), ()), {}, [])
    plans: list[Plan] = []
    crop: dict[Hashable, tuple[int, int]] = {}
    evidence = False
    every = [recipe, *recipe.get("others", [])]
    for one, present in relevant(obj, dim, every):
        own = obj.rename({now: old for old, now in present.items()}) if present else obj
        plan = read_plan(own, dim, one)
        check_ordinals(ordinals, len(plan))
        present = swapped(own, dim, ordinals, plan, present)
        plan = plan.renamed(present) if present else plan
        evidence |= _compare(obj, dim, ordinals, plan, crop, out)
        if like is None:  # else who gives the field says whose patches these are
            _compare_places(obj, dim, ordinals, place_checks(obj, dim, plan, crop), out)
        plans.append(plan)
    _check_known(dim, ordinals, plans, evidence, like)
    _check_alone(obj, dim, plans)
    plans = found_again(plans, like)
    out.index = PatchIndex(PandasIndex(ordinals, dim), tuple(plans), crop)
    return out


def _check_unstacked(obj: Any, dim: Hashable) -> None:
    """Raise a ValueError if the patches are a level of stacked dimensions."""
    if isinstance(obj.xindexes.get(dim), PandasMultiIndex):
        (stacked,) = obj.coords[dim].dims
        raise ValueError(
            f"the patches are stacked: {dim!r} is a level of {stacked!r}; unstack them before, "
            f"patches.unstack({stacked!r})"
        )


def as_one(patch: Any, dim: Hashable, plans: tuple[Plan, ...]) -> Any:
    """Give a single patch its dimension back; what was carried stays without."""
    helpers = {n for p in plans for n in (*p.helpers, *p.helpers.values())}
    patch = patch.drop_vars(helpers, errors="ignore")
    if isinstance(patch, xr.DataArray):
        return patch.expand_dims(dim)
    names: dict[Hashable, None] = {}
    for plan in plans:
        cut, orders = {*plan.dims, *plan.inner}, plan.domain.orders
        data = patch.data_vars.items()
        names |= {n: None for n, v in data if cut & {*v.dims, *orders.get(n, plan.dims)}}
    rest = {n: v for n, v in patch.data_vars.items() if n not in names}
    return patch[list(names)].expand_dims(dim).assign(rest)[list(patch.data_vars)]


# ------------------------------------------------------------------------------ other names


def relevant(
    obj: Any, dim: Hashable, every: list[dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[Hashable, Hashable]]]:
    """Give the recipes of fields whose patches these are, and names that are others now."""
    taken: set[Hashable] = set()
    found = [(one, renamed_dims(obj, dim, one, every, taken)) for one in every]
    here = [(one, names) for one, names in found if names or set(inner_dims(one)) & set(obj.dims)]
    return here or found


def inner_dims(recipe: Mapping[str, Any]) -> list[Hashable]:
    """Give the in-patch dimensions that a recipe knows."""
    parts = recipe.get("parts", [recipe])
    return [d for p in parts for d in ([p["members"]] if "members" in p else p["dims"])]


def renamed_dims(
    obj: Any,
    dim: Hashable,
    recipe: Mapping[str, Any],
    every: Sequence[Mapping[str, Any]],
    taken: set[Hashable],
) -> dict[Hashable, Hashable]:
    """Find what in-patch dimensions of the recipe are called now, if they were renamed."""
    known = {d for r in every for _, order in r["orders"] for d in order}
    known |= {d for r in every for d in inner_dims(r)}
    parts, inner = recipe.get("parts", [recipe]), inner_dims(recipe)
    slots = {p["members"] for p in parts if "members" in p and p["numbers"] is None}
    lost = [d for d in inner if d not in obj.dims and d not in obj.coords]
    new = [d for d in obj.dims if d not in known and d != dim and d not in taken]
    new = [d for d in new if d in obj.coords and set(obj.coords[d].dims) == {dim, d}]
    found: dict[Hashable, Hashable] = {}
    for d in lost:
        numbered = [e for e in new if ("empty_slot" in obj.coords[e].attrs) == (d in slots)]
        if numbered:
            found[d] = numbered[0]
            new.remove(numbered[0])
    taken |= set(found.values())
    return found


def swapped(
    obj: Any, dim: Hashable, ordinals: NDArray[Any], plan: Plan, present: dict[Hashable, Hashable]
) -> dict[Hashable, Hashable]:
    """Let the labels say which of several renamed dimensions is which."""
    boxed = plan.boxed
    old = [d for d in present if boxed is not None and d in boxed.dims]
    if boxed is None or len(old) < 2:
        return present
    left, found = list(old), dict(present)
    for d in old:
        fits = [e for e in left if _may_be(obj.coords[e].variable, dim, ordinals, boxed, d, e)]
        own = fits[0] if fits else left[0]
        found[d] = present[own]
        left.remove(own)
    return found


def _may_be(
    labels: Variable, dim: Hashable, ordinals: NDArray[Any], plan: Plan, d: Hashable, e: Hashable
) -> bool:
    """Whether labels that are called ``e`` are those of some patches along ``d``."""
    if (
        labels.chunks is not None
        or plan.domain.coordinate(d) is None
        or labels.sizes[e] > plan.inner[d]
    ):
        return False
    some = Variable((dim, d), labels.transpose(dim, e)[:3].to_numpy())
    return part_of(some, ordinals[:3], dim, plan, d) is not None


# --------------------------------------------------------------------------------- checks


def _compare(
    obj: Any,
    dim: Hashable,
    ordinals: NDArray[Any],
    plan: Plan,
    crop: dict[Hashable, tuple[int, int]],
    out: Recalled,
) -> bool:
    """Compare labels with those of the plan. Gives whether there are any."""
    evidence = bool(plan.lists)
    boxed = plan.boxed
    for d in () if boxed is None else boxed.dims:
        labels = _labels(obj, dim, d)
        if boxed is None or labels is None or boxed.domain.coordinate(d) is None:
            continue
        inner = plan.inner[d]
        if not 0 < labels.sizes[d] <= inner:  # finer cells
            continue
        if labels.chunks is None:
            part = part_of(labels, ordinals, dim, boxed, d)
        else:
            part = few_tell(labels, ordinals, dim, boxed, d)
        if part is None and are_means(labels, ordinals, dim, boxed, d):
            evidence = True  # of coarse cells, as ``coarsen`` gives
            continue
        if part is None:
            raise ValueError(
                f"the labels along {d!r} are not those that the recipe gives for these patches, nor a run "
                "of them; were patches of different splits put together, renumbered, or cells reordered? "
                f"Merge the patches of each split on their own, and undo what moved cells; {MEND}"
            )
        crop |= {d: part} if any(part) else {}
        if labels.chunks is not None:
            offsets = boxed.offsets(d)[part[0] : inner - part[1]]
            out.pending.append(Check(d, (dim, d), Expected(boxed, d), offsets))
            out.labels[d] = _own(labels, boxed, d, dim, ordinals, part)
            evidence = True
            continue
        evidence |= not _lost(labels, ordinals, dim, boxed, d, part[0])
        out.labels[d] = _own(labels, boxed, d, dim, ordinals, part)
    for members in plan.lists:
        for d in members.dims:
            _compare_listed(obj, dim, ordinals, ListExpected(plan, members, d), out)
    same = _same_steps(obj, dim, ordinals, plan)
    return _same_starts(obj, dim, ordinals, plan) or evidence or same


def _same_steps(obj: Any, dim: Hashable, ordinals: NDArray[Any], plan: Plan) -> bool:
    """Whether windows along a time without labels say which step each is anchored at.

    Raises
    ------
    ValueError
        If these are other steps.
    """
    name = plan.called("step") if plan.hood.time_dims else None
    given = obj.coords[name].variable if name in obj.coords else None
    if given is None or given.chunks is not None or given.dims != (dim,):
        return False
    if not np.array_equal(given.to_numpy(), plan.steps(ordinals)):
        raise ValueError(
            f"the steps {name!r} are not those that the recipe gives for these patches; were patches of "
            f"different splits put together, or averaged? {MEND}"
        )
    return True


def _same_starts(obj: Any, dim: Hashable, ordinals: NDArray[Any], plan: Plan) -> bool:
    """Whether boxes of an outer product say where each begins; a ValueError: elsewhere."""
    boxed = plan.boxed
    if boxed is None or not boxed.boxes.product:
        return False
    names = [plan.called(start_name(d)) for d in boxed.dims]
    given = [obj.coords[n].variable if n in obj.coords else None for n in names]
    read = plan.domain.above is not None  # whose labels say nothing of patches in patches
    if any(v is None or (v.chunks and not read) or not {*v.dims} <= {dim} for v in given):
        return False
    starts = boxed.boxes.starts(ordinals)
    for k, (name, v) in enumerate(zip(names, given, strict=True)):
        if v is not None and not np.array_equal(np.ravel(v.to_numpy()), starts[:, k]):
            raise ValueError(
                f"the first cells {name!r} are not those that the recipe gives for these patches; were patches of "
                f"different splits put together, or averaged? {MEND}"
            )
    return True


def _labels(obj: Any, dim: Hashable, d: Hashable) -> Variable | None:
    labels = obj.coords[d].variable if d in obj.coords else None
    return labels if labels is not None and set(labels.dims) in ({dim, d}, {d}) else None


def _own(
    labels: Variable,
    plan: Plan,
    d: Hashable,
    dim: Hashable,
    ordinals: NDArray[Any],
    part: tuple[int, int],
) -> Variable:
    cells = plan.offsets(d)
    cells = cells[part[0] : len(cells) - part[1]]
    own = label_variable(d, labels.attrs, plan, dim, ordinals).isel({d: cells})
    own.encoding = dict(labels.encoding)  # which may name the bounds
    return own


def _lost(
    labels: Variable, ordinals: NDArray[Any], dim: Hashable, plan: Plan, d: Hashable, low: int
) -> bool:
    """Whether some patches have no labels at all, as those that reindex made."""
    size = labels.sizes[d]
    at = np.unique([0, size // 2, size - 1])
    few = labels.isel({d: at})
    given = few.transpose(dim, d).to_numpy() if dim in few.dims else few.to_numpy()[None]
    empty = missing(given).all(axis=1)
    if not empty.any():
        return False
    known = Expected(plan, d)(ordinals, plan.offsets(d)[low:][at])
    return known is None or bool((~missing(known)[np.broadcast_to(empty, len(known))]).any())


def _compare_listed(
    obj: Any, dim: Hashable, ordinals: NDArray[Any], expected: ListExpected, out: Recalled
) -> None:
    d, slot = expected.dim, expected.part.dim
    labels = obj.coords[d].variable if d in obj.coords else None
    if labels is None or set(labels.dims) != {dim, slot} or expected.values is None:
        return
    if d == slot and expected.part.numbers is None:  # these are the numbers
        return
    check = Check(d, (dim, slot), expected, np.arange(labels.sizes[slot]))
    if labels.chunks is None:
        check(ordinals, labels.transpose(dim, slot).to_numpy())
    else:
        out.pending.append(check)


def _compare_places(
    obj: Any, dim: Hashable, ordinals: NDArray[Any], checks: list[PlaceCheck], out: Recalled
) -> None:
    """Compare positions now, or where they are of dask in the tasks that need the patches."""
    for check in checks:
        given = obj.coords[check.name].variable
        if given.chunks is not None:
            out.pending.append(check)
            continue
        rows = {} if dim in given.dims else {dim: len(ordinals)}
        check(ordinals, given.set_dims({**rows, **given.sizes}).transpose(*check.dims).to_numpy())


def _check_known(
    dim: Hashable, ordinals: NDArray[Any], plans: list[Plan], evidence: bool, like: Any
) -> None:
    """Raise a ValueError if nothing says that patches are those of the field."""
    if like is not None:
        return
    unique, counts = np.unique(ordinals, return_counts=True)
    if len(unique) < len(ordinals):
        raise ValueError(
            f"patch {unique[counts > 1][0]} occurs more than once along {dim!r}, and without their index "
            "it cannot be known whether patches of two fields were joined, or appended to a store, or a "
            f"chunk of {dim!r} was lost. Merge the patches of each split on their own; if they are of one, "
            f"{MEND}"
        )
    if evidence or any(plan.hood.coarse for plan in plans):
        return
    plan = plans[0]
    whole = len(unique) == len(plan) if plan.given is None else told_apart(unique) == plan.given
    if not whole:
        raise ValueError(
            f"these are {len(unique)} patches, not all that split gave, and no labels along "
            f"{list(plan.dims)} say which; averages of groups of patches look the same. {MEND}"
        )


def _check_alone(obj: Any, dim: Hashable, plans: list[Plan]) -> None:
    """Raise a ValueError if variables are patches of a field that the recipe does not know."""
    known = {d for p in plans for d in (*p.dims, *p.inner)}
    own = [d for d in obj.dims if d not in known and d != dim and d in obj.coords]
    foreign = [d for d in own if set(obj.coords[d].dims) == {dim, d}]
    data = obj.data_vars.items() if isinstance(obj, xr.Dataset) else [(obj.name, obj)]
    for name, v in data:
        strange = [d for d in foreign if d in v.dims]
        if strange and not known & set(v.dims):
            raise ValueError(
                f"{name!r} has patches along {strange[0]!r}, of which the recipe of {dim!r} says nothing: "
                "they are of another field, and were put beside these after they were read. Merge the "
                "patches of each field on their own, or put them together before they are written"
            )
