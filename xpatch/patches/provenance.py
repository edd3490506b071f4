"""Where patches come from, and the values on which they agree put back there."""

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

from xpatch.domain import Lattice, domain_of
from xpatch.engine import dtypes
from xpatch.neighborhood import Members, Neighborhood
from xpatch.patches.encoding import RECIPE, recipes_in
from xpatch.patches.fields import of_one_field, told_plans
from xpatch.patches.index import PatchIndex, patch_index, splits_of
from xpatch.patches.labels import agree, few_tell, missing, tolerance
from xpatch.patches.plan import Plan
from xpatch.patches.recall import indexed, recalled
from xpatch.patches.scene import alone, scenes_written

NEVER_SPLIT = (
    "these are not patches: they carry neither a PatchIndex nor a recipe in the attributes of the "
    "patch coordinate. Of a field patches are cut first, field.patch.split(…), and Patcher(…).anchors(field) says where; if patches lost their index, "
    "pass like=field to merge and keep their label coordinates. A template for map_blocks is made from the patches, "
    "such as xr.zeros_like(patches)"
)
MIXED = (
    "these patches come from different splits and cannot be merged into one field; merge the patches of "
    "each split on their own"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Provenance:
    """Where patches come from."""

    dim: Hashable
    ordinals: NDArray[np.int64]
    plans: tuple[Plan, ...]
    crop: Mapping[Hashable, tuple[int, int]]

    @classmethod
    def of(cls, index: PatchIndex) -> Provenance:
        """Take what an index says.

        Raises
        ------
        ValueError
            If the patches come from different splits.
        """
        if index.mixed:
            raise ValueError(MIXED)
        return cls(index.dim, index.ordinals, index.plans, index.crop)

    @property
    def coarse(self) -> bool:
        """Whether these are patches of one scale, which were averaged over several steps."""
        return any(plan.hood.coarse for plan in self.plans)


def of_index(patches: xr.DataArray | xr.Dataset) -> Provenance:
    """Give where patches come from that have an index."""
    index = patch_index(patches)
    assert index is not None
    return Provenance.of(index)


def provenance(obj: xr.DataArray | xr.Dataset) -> Provenance:
    """Find the plan of patches: from the index, else the recipe.

    Raises
    ------
    ValueError
        If there is none, or the patches come from different splits.
    """
    obj = alone(obj)
    index = patch_index(obj)
    if index is not None:
        source = Provenance.of(index)
        return dataclasses.replace(source, plans=told_plans(obj, index))
    found = recalled(obj, None)
    if found is None:
        raise ValueError(NEVER_SPLIT)
    return Provenance.of(found.index)


def with_indexes(obj: Any) -> Any:
    """Give patches that are split again their index, if they lost it; other fields as they are."""
    known = isinstance(obj, xr.DataArray | xr.Dataset) and splits_of(obj)
    if not known or scenes_written(obj) is not None:
        return obj
    try:
        return indexed(obj)
    except ValueError:  # which merge raises; cells are cut without it
        return obj


def identified(patches: Any, like: Any) -> tuple[Any, Provenance]:
    """Ask, once for a merge, who patches are: from the index, else the recipe, else the labels and ``like``.

    Gives them as patches of one scene, with an index where one could be found, and where they come
    from: of a DataArray one field, of a Dataset it may be several.

    Raises
    ------
    TypeError
        If these are no xarray objects.
    ValueError
        If they are no patches, or come from different splits.
    """
    if not isinstance(patches, xr.DataArray | xr.Dataset):
        raise TypeError(f"merge takes patches, got {type(patches).__name__}")
    patches = of_one_field(indexed(alone(patches), like), like)
    index = patch_index(patches)
    if index is not None:
        return patches, Provenance.of(index)
    if like is None:
        raise ValueError(NEVER_SPLIT)
    return patches, _from_labels(patches, domain_of(like))


def with_part(obj: xr.DataArray | xr.Dataset, source: Provenance) -> Provenance:
    """Tell which part of the patches there is, also where only labels know, as after ``isel``.

    Patches that are smaller and have no labels that say why, as a model may give that strides, lie where
    they were cut.

    Raises
    ------
    ValueError
        If labels of a field that repeat fit several parts.
    """
    boxed = source.plans[0].boxed
    crop = dict(source.crop)
    if boxed is None:
        return source
    for d in boxed.dims:
        low, high = crop.get(d, (0, 0))
        if d not in obj.coords or boxed.domain.coordinate(d) is None:
            continue
        labels = obj.coords[d].variable
        if d not in labels.dims or set(labels.dims) - {d, source.dim}:
            continue
        if 0 < labels.sizes[d] < boxed.inner[d] - low - high:
            found = few_tell(labels, source.ordinals, source.dim, boxed, d)
            crop |= {} if found is None else {d: found}
    return dataclasses.replace(source, crop=crop)


def is_coarse(obj: Any) -> bool:
    """Whether these are patches of one scale, which were averaged over several steps."""
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        return False
    index = patch_index(obj)
    if index is not None:
        return any(plan.hood.coarse for plan in index.plans)
    own = [c for c in obj.coords.values() if c.dims == (c.name,) or not c.ndim]
    recipes = [part for c in own for part in recipes_in(c.attrs.get(RECIPE))]
    return any(recipe.get("coarse") for recipe in recipes)


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
        plan = Plan(domain, Neighborhood((listed,)))
        return Provenance(dim, whole, (plan,), {})
    sizes, shape = [obj.sizes[d] for d in cut], [domain.sizes[d] for d in cut]
    boxes = Neighborhood.boxes(cut, sizes, shape, [at[:, 0] for at in cells], product=False)
    return Provenance(dim, whole, (Plan(domain, boxes),), {})


def _cells(labels: NDArray[Any], d: Hashable, domain: Lattice) -> NDArray[np.int64]:
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
        within = tolerance(domain, d)
        if expected is not None and (agree(labels, expected, within) & ~missing(expected)).all():
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


def place(
    variable: Variable,
    plan: Plan,
    ordinals: NDArray[Any],
    crop: Mapping[Hashable, tuple[int, int]],
    dim: Hashable,
    name: Hashable = None,
) -> Variable:
    """Put values that agree wherever patches overlap, such as coordinates, back on the lattice.

    Those of dask are put back when they are looked at. ``name``: they are those of a coordinate of
    the field, and must agree.
    """
    boxes = plan.boxes.cropped(crop)
    others = tuple(d for d in variable.dims if d not in (dim, *boxes.dims))
    ordered = variable.transpose(dim, *boxes.dims, *others)
    dtype, fill = np.dtype(object), None
    if variable.dtype.kind not in "OT":
        dtype, fill = dtypes.filled(variable.dtype, "" if variable.dtype.kind in "US" else None)
    shape = (*boxes.shape, *(variable.sizes[d] for d in others))
    put = partial(_put, ordinals=ordinals, boxes=boxes, out=(shape, dtype, fill), name=name)
    if variable.chunks is None or dtype.kind not in "iufbmM":
        return Variable((*boxes.dims, *others), put(ordered.to_numpy()), variable.attrs)
    import dask
    import dask.array as da

    late = da.from_delayed(dask.delayed(put)(ordered.data), shape, dtype)
    return Variable((*boxes.dims, *others), late, variable.attrs)


def _put(
    values: NDArray[Any],
    ordinals: NDArray[Any],
    boxes: Neighborhood,
    out: tuple[Any, ...],
    name: Hashable,
) -> NDArray[Any]:
    """Write the values of each patch; if they have a name, make sure that they agree."""
    field = np.full(out[0], out[2], out[1])
    starts, counts = boxes.starts(ordinals), boxes.cells(ordinals)
    ends = starts + counts  # those that lie in the field as they are come last
    order = np.argsort(((starts >= 0) & (ends <= np.array(boxes.shape))).all(axis=1), kind="stable")
    within = _rounding(values)
    for again in (False, True):
        for value, start, count in zip(values[order], starts[order], counts[order], strict=True):
            cells = [s + np.arange(n) for s, n in zip(start, count, strict=True)]
            inside = [
                np.ones(len(c), bool) if w else (c >= 0) & (c < n)
                for c, w, n in zip(cells, boxes.wrap, boxes.shape, strict=True)
            ]
            rest = zip(cells, inside, boxes.shape, strict=True)
            at = np.ix_(*(c[i] % n for c, i, n in rest))
            own = value[np.ix_(*map(np.flatnonzero, inside))]
            if not again:
                field[at] = own
            elif not agree(own, field[at], within).all():
                raise ValueError(unlike(name))
        if name is None:
            break
    return field


def _rounding(values: NDArray[Any]) -> float:
    """Give by how much numbers may differ that went around the seam and back."""
    if values.dtype.kind != "f" or not values.size:
        return 0.0
    most = float(np.nanmax(np.abs(values), initial=0))
    return 8 * float(np.finfo(values.dtype).eps) * max(most, 360.0)


def unlike(name: Hashable) -> str:
    """Say that patches hold different values of a coordinate of the field."""
    return (
        f"patches have different values of {name!r} in the same cells, which the field cannot have; were "
        "patches of different fields put together, or cells reordered? Merge the patches of each split on "
        f"their own, or leave the coordinate out: drop_vars({name!r})"
    )


def in_order(variable: Variable, dims: tuple[Hashable, ...] | None) -> Variable:
    """Put the dims of a coordinate in the order that the field has."""
    return (
        variable if dims is None or set(dims) != set(variable.dims) else variable.transpose(*dims)
    )


def same_everywhere(placed: Variable, values: Variable, hood: Any, source: Provenance) -> bool:
    """Whether all patches have the same values of an element."""
    own = hood.members(source.ordinals) if len(hood.parts) == 1 else None
    if own is None or own.dim not in values.dims:
        return True
    others = tuple(d for d in values.dims if d not in (source.dim, own.dim))
    if not set(own.dims) <= set(placed.dims):
        return True
    field = placed.transpose(*own.dims, *others).to_numpy()
    field = field.reshape(-1, *field.shape[len(own.dims) :])
    given = values.transpose(source.dim, own.dim, *others).to_numpy()[own.patches, own.slots]
    return bool(agree(given, field[own.elements], 0.0).all())
