"""`PatchIndex`: the index of the patch dimension, which carries the plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import Index, PandasIndex

from xpatch.domain.axes import crs_names
from xpatch.patches.encoding import RECIPE, read_text, recipe_of, recipes_in
from xpatch.patches.numbered import Numbered
from xpatch.patches.plan import Plan
from xpatch.patches.united import Scene, cut_further, scene_renamed, scenes_united, united

__all__ = ["RECIPE", "PatchIndex", "patch_index", "splits_of", "with_index", "with_variables"]


class PatchIndex(Index):
    """Patch labels and the plans that they are ordinals of: who patches are, through selections.

    `split` makes it; ``patches.xindexes["patch"]`` gives it.

    Parameters
    ----------
    index : PandasIndex
        The labels.
    plans : tuple
        One plan per source domain, all with the same anchors; none where patches of different
        splits were put together.
    crop : mapping, optional
        Cells that were cut off at both ends of in-patch dimensions.
    leads : tuple, optional
        Of patches of different splits the leads of their windows in time, if they are the same for all.
    scenes : tuple, optional
        The fields that patches were put together of. Plans and crop are those of the one that all
        labels are of, or none.

    Examples
    --------
    >>> patches = xr.DataArray(np.arange(8), dims="x").patch.split(geometry={"x": 2})
    >>> some = patches.isel(patch=[3, 1])
    >>> some.xindexes["patch"]
    PatchIndex(2 of 4 patches, x: 2)
    >>> some.xindexes["patch"].ordinals
    array([3, 1])
    """

    def __init__(
        self,
        index: PandasIndex,
        plans: tuple[Plan, ...],
        crop: Mapping[Hashable, tuple[int, int]] | None = None,
        leads: tuple[Any, ...] | None = None,
        scenes: tuple[Scene, ...] = (),
    ):
        self._index = index
        self.scenes = scenes
        self.scene = self._only_scene()
        if scenes:
            plans, crop = ((), {}) if self.scene is None else (self.scene.plans, self.scene.crop)
        self.plans = plans
        self.crop = dict(crop or {})
        self.leads = leads

    def _only_scene(self) -> Scene | None:
        """Give the scene that all patches are of."""
        labels = self._index.index
        if not self.scenes or not len(labels):
            return None
        low, high = labels.min(), labels.max()
        return next((s for s in self.scenes if s.first <= low and high < s.stop), None)

    @classmethod
    def from_variables(
        cls, variables: Mapping[Any, Variable], *, options: Mapping[str, Any]
    ) -> PatchIndex:
        return cls(PandasIndex.from_variables(variables, options={}), options["plans"])

    def _replace(self, index: PandasIndex, plans: tuple[Plan, ...] | None = None) -> PatchIndex:
        plans = self.plans if plans is None else plans
        return type(self)(index, plans, self.crop, self.leads, self.scenes)

    def _of_scenes(self, change: Any, index: PandasIndex | None = None) -> PatchIndex:
        """Give the index with other scenes."""
        scenes = tuple(dataclasses.replace(s, **change(s)) for s in self.scenes)
        return type(self)(self._index if index is None else index, (), {}, self.leads, scenes)

    @property
    def mixed(self) -> bool:
        """Whether the patches come from different splits."""
        return not self.plans

    @property
    def dim(self) -> Hashable:
        """The patch dimension."""
        return self._index.dim

    @property
    def ordinals(self) -> NDArray[np.int64]:
        """Ordinals into the plan: the labels, of one of several scenes counted from its first one."""
        labels = np.asarray(self._index.index, dtype=np.int64)
        return labels if self.scene is None else labels - self.scene.first

    def create_variables(
        self, variables: Mapping[Any, Variable] | None = None
    ) -> dict[Hashable, Variable]:
        """Give the labels; their attributes say what the plans are, as they are called now."""
        out = self._index.create_variables(variables)
        if self.scenes:  # the recipes of all of them stay as they were written
            return out
        for name, variable in out.items():
            if self.mixed:
                variable.attrs.pop(RECIPE, None)
                continue
            recipe = recipe_of(self.plans, self.dim)
            variable.attrs = {**variable.attrs, RECIPE: recipe}
            if len(self.plans) > 1:
                out[name] = Numbered.of(variable, recipe)
        return out

    def to_pandas_index(self) -> pd.Index:
        return self._index.index

    def isel(self, indexers: Mapping[Any, Any]) -> PatchIndex | None:
        index = self._index.isel(indexers)
        return None if index is None else self._replace(index)

    def sel(self, labels: dict[Any, Any], **kwargs: Any) -> Any:
        return self._index.sel(labels, **kwargs)

    def __getitem__(self, indexer: Any) -> Any:
        return self._index[indexer]  # the labels of a block of map_blocks, without the plan

    def roll(self, shifts: Mapping[Any, int]) -> PatchIndex:
        return self._replace(self._index.roll(shifts))

    def rename(
        self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]
    ) -> PatchIndex:
        names = {**name_dict, **dims_dict}
        if self.scenes:
            index = self._index.rename(name_dict, dims_dict)
            return self._of_scenes(lambda s: scene_renamed(s, names), index)
        touched = any(n in known for n in names for known in map(_names, self.plans))
        plans = tuple(p.renamed(names) for p in self.plans) if touched else self.plans
        crop = {dims_dict.get(d, d): cut for d, cut in self.crop.items()}
        return type(self)(self._index.rename(name_dict, dims_dict), plans, crop, self.leads)

    @classmethod
    def concat(
        cls,
        indexes: Sequence[PatchIndex],
        dim: Hashable,
        positions: Iterable[Iterable[int]] | None = None,
    ) -> PatchIndex:
        first = indexes[0]
        parts = [i._index if isinstance(i, cls) else i for i in indexes]
        index = PandasIndex.concat(parts, dim, positions)  # type: ignore[arg-type]
        same = all(isinstance(i, cls) and first._same_plans(i) for i in indexes)
        if same:
            return cls(index, first.plans, first.crop, first.leads, first.scenes)
        check_one_crs([i for i in indexes if isinstance(i, cls)], dim)
        leads = {i._own_leads() if isinstance(i, cls) else None for i in indexes}
        return cls(index, (), {}, leads.pop() if len(leads) == 1 else None)

    def _own_leads(self) -> tuple[Any, ...] | None:
        if self.mixed:
            return self.leads
        return self.plans[0].leads if len(self.plans) == 1 and not any(self.crop.values()) else None

    def _same_plans(self, other: PatchIndex) -> bool:
        if self.scenes or other.scenes:
            return len(self.scenes) == len(other.scenes) and (
                self.scenes is other.scenes
                or all(a.equals(b) for a, b in zip(self.scenes, other.scenes, strict=True))
            )
        return (
            self.crop == other.crop
            and len(self.plans) == len(other.plans)
            and all(a.equals(b) for a, b in zip(self.plans, other.plans, strict=True))
        )

    def _same_anchors(self, other: PatchIndex) -> bool:
        if self.scenes and other.scenes:
            own, theirs = ([s.anchors for s in i.scenes] for i in (self, other))
            return self.scenes is other.scenes or own == theirs
        if self.mixed and other.mixed:
            return True
        if self.scenes or other.scenes:
            return False
        if self.plans is other.plans:
            return True
        if self.mixed or other.mixed:
            return False
        a, b = self.plans[0], other.plans[0]
        if a.origin is None and b.origin is None and a.domain.in_other_crs(b.domain):
            return False
        return a.anchor_id == b.anchor_id

    def equals(self, other: Index, *, exclude: frozenset[Hashable] | None = None) -> bool:
        if isinstance(other, PandasIndex):  # a block of map_blocks knows labels alone
            return bool(self._index.equals(other, exclude=exclude))
        if not isinstance(other, PatchIndex):
            return False
        return self._index.equals(other._index) and self._plans_within(other)

    def _plans_within(self, other: PatchIndex) -> bool:
        """Whether joining would add no plan on either side."""
        if self.plans is other.plans and self.scenes is other.scenes:
            self._check_parts(other)  # else merge looks at labels, as where one is reduced
            return True
        return self._same_anchors(other) and self._same_plans(other)

    def join(self, other: PatchIndex, how: str = "inner") -> PatchIndex:
        if not self._same_anchors(other):
            raise ValueError(
                f"these patches do not belong together: the anchors along {self.dim!r} differ, so "
                "equal labels mean different places. Split both fields at the same anchors, "
                "sampler=xpatch.Explicit(patches), in time xpatch.ExplicitTimes(patches), or put the "
                f"patches one after the other with xr.concat([…], {self.dim!r})"
            )
        mine, theirs = self._index.index, other._index.index
        index = self._index if mine.equals(theirs) else self._index.join(other._index, how=how)
        if self.scenes and other.scenes:
            by_name = {s.first: s for s in other.scenes}
            return self._of_scenes(lambda s: scenes_united(s, by_name[s.first]), index)
        self._check_parts(other)
        plans = united(self.plans, other.plans)
        return type(self)(index, plans, {**other.crop, **self.crop})

    def _check_parts(self, other: PatchIndex) -> None:
        """Raise a ValueError if other cells of the patches were cut off.

        Of windows in time the past and the future may meet: merge looks which of them labels are of.
        """
        timed = {d for p in self.plans for d in p.hood.time_dims}
        for d in set(self.crop) & set(other.crop) - timed:
            a, b = self.crop[d], other.crop[d]
            if a != b and any(a) and any(b):
                raise ValueError(
                    f"these are different parts of patches: along {d!r} {a} cells were cut off at the ends "
                    f"of some, and {b} of others, so that equal positions mean different places; crop both "
                    "alike"
                )

    def reindex_like(self, other: PatchIndex, **kwargs: Any) -> dict[Hashable, Any]:
        if isinstance(other, PatchIndex) and not self._same_anchors(other):
            self.join(other)
        if isinstance(other, PatchIndex) and not (self.mixed or other.mixed):
            self._check_kept(other)
        inner = other._index if isinstance(other, PatchIndex) else other
        return self._index.reindex_like(inner, **kwargs)

    def _check_kept(self, other: PatchIndex) -> None:
        """Raise a ValueError if the other index would lose what is known of these patches."""
        if any(not any(p.equals(q) for q in other.plans) for p in self.plans):
            raise ValueError(
                f"these patches were cut from another field than those along {self.dim!r} that they are "
                "put to, and would lose where they belong; put both together with "
                "xr.merge([a, b], join='outer', compat='override'), or xr.Dataset({…})"
            )

    def only(self, plan: Plan) -> PatchIndex:
        """Leave out all plans but one."""
        return type(self)(self._index, (plan,), self.crop)

    def cropped(self, crop: Mapping[Hashable, tuple[int, int]]) -> PatchIndex:
        """Tell the index that in-patch dimensions were cropped further."""
        if self.scenes:
            return self._of_scenes(lambda s: {"crop": cut_further(s.crop, crop)})
        return type(self)(self._index, self.plans, cut_further(self.crop, crop))

    def _repr_inline_(self, max_width: int) -> str:
        return repr(self)[:max_width] if max_width else repr(self)

    def __repr__(self) -> str:
        if self.mixed and self.scenes:
            return f"PatchIndex({len(self._index.index)} patches of {len(self.scenes)} scenes)"
        if self.mixed:
            return f"PatchIndex({len(self._index.index)} patches of different splits)"
        plan = self.plans[0]
        size = ", ".join(f"{d}: {s}" for d, s in plan.inner.items())
        return f"PatchIndex({len(self._index.index)} of {len(plan)} patches, {size})"


def check_one_crs(indexes: Sequence[PatchIndex], dim: Hashable) -> None:
    """Raise a ValueError if patches would be put together that lie in several CRSs."""
    domains = [p.domain for i in indexes for s in (i.scenes or (i,)) for p in s.plans]
    names = crs_names(domains)
    if len(names) > 1:
        raise ValueError(
            f"these are patches in several CRSs, {' and '.join(names)}, and xr.concat would give all "
            f"of them the first one; xpatch.concat([…]) keeps the CRS of each along {dim!r}"
        )


def _names(plan: Plan) -> set[Hashable]:
    """Give all names that a plan knows."""
    known = {*plan.domain.template.variables, *plan.dims, *plan.inner, *plan.domain.sizes}
    known |= {plan.variable}
    known |= set() if plan.domain.above is None else {*plan.domain.above.coords.variables}
    return (
        known | {m.numbers for m in plan.lists} | {*plan.helpers.values(), *(plan.recalled or ())}
    )


def patch_index(obj: xr.DataArray | xr.Dataset) -> PatchIndex | None:
    """Give the PatchIndex of patches, that of the last split; None if they have none."""
    found = {i.dim: i for i in obj.xindexes.values() if isinstance(i, PatchIndex)}
    if len(found) < 2:
        return next(iter(found.values()), None)
    return next(found[d] for d in reversed(splits_of(obj)) if d in found)


def splits_of(obj: xr.DataArray | xr.Dataset) -> tuple[Hashable, ...]:
    """Give the patch dimensions, that of the first split first: later ones carry those before."""
    coords = obj.coords.variables
    found = [d for d in obj.dims if d in coords and _counts_patches(coords[d], obj.xindexes.get(d))]
    if len(found) < 2:
        return tuple(found)
    found = [d for d in found if _is_own(coords[d], obj.xindexes.get(d), found)]
    known = {d: _carried(coords[d], obj.xindexes.get(d)) for d in found}
    return tuple(sorted(found, key=lambda d: len(known[d].intersection(found))))


def _counts_patches(coord: Variable, index: Any) -> bool:
    return isinstance(index, PatchIndex) or (coord.ndim == 1 and RECIPE in coord.attrs)


def _is_own(coord: Variable, index: Any, others: Iterable[Hashable]) -> bool:
    """Whether numbers are those of patches, and not computed from others, whose attributes they have."""
    if isinstance(index, PatchIndex):
        return True
    said = read_text(coord.attrs[RECIPE]).get("dim", *coord.dims)
    return said == coord.dims[0] or said not in others


def _carried(coord: Variable, index: Any) -> set[Hashable]:
    """Give the dimensions of what was split; none where patches of different splits were put together."""
    if isinstance(index, PatchIndex):
        plans = index.plans or [p for s in index.scenes for p in s.plans]
        return {d for p in plans for d in p.domain.sizes} - {index.dim}
    orders = [order for r in recipes_in(coord.attrs[RECIPE]) for _, order in r.get("orders", ())]
    return {d for order in orders for d in order}


def with_index(obj: Any, index: PatchIndex) -> Any:
    """Give patches with another index on their patch dimension."""
    coords = index.create_variables({index.dim: obj.coords[index.dim].variable})
    plain = obj.drop_vars(index.dim)
    return plain.assign_coords(xr.Coordinates(coords, indexes={index.dim: index}))


def labels_of(obj: Any, names: Iterable[Hashable]) -> xr.Coordinates:
    """Give those of some coordinates that patches have, with their indexes."""
    known: xr.Dataset = obj.coords.to_dataset()
    names = [*names]
    return known[[n for n in names if n in known and {*known[n].dims} <= {*names}]].coords


def whole_of(obj: Any) -> xr.Dataset:
    """Give a DataArray as a Dataset of one variable."""
    return obj._to_temp_dataset() if isinstance(obj, xr.DataArray) else obj


def as_given(whole: xr.Dataset, given: Any) -> Any:
    """Undo `whole_of`: give a DataArray if ``given`` is one."""
    return given._from_temp_dataset(whole) if isinstance(given, xr.DataArray) else whole


def with_variables(obj: Any, variables: Mapping[Hashable, Any]) -> Any:
    """Put other variables in the place of some, data or coordinates."""
    dataset = whole_of(obj)
    data = {n: v for n, v in variables.items() if n not in dataset.coords}
    coords = {n: v for n, v in variables.items() if n in dataset.coords}
    return as_given(dataset.assign(data).assign_coords(coords), obj)
