"""Patches of several scales: the nodes of a DataTree, made and walked over."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xpatch.aggregation import as_aggregation
from xpatch.domain.nodata import masked, refilled
from xpatch.models.merge import MergeField
from xpatch.patches.arguments import Options
from xpatch.patches.plan import Plan, is_carried
from xpatch.patches.provenance import Provenance, identified, is_coarse, provenance
from xpatch.patches.split import cut_field
from xpatch.time.scales import LOST, HierarchicalCombine

NO_SCALES = (
    "no child of this DataTree has patches of a scale: expected the tree that a split with MultiScale "
    "gave, or one of its nodes. Ordinary patches are merged as they are, node.to_dataset().patch.merge()"
)
UNNAMED = "unnamed"  # the variable of a field without a name


def split_scales(
    obj: xr.DataArray | xr.Dataset,
    patcher: Any,
    plan: Plan,
    dim: Hashable,
    ordinals: NDArray,
    groups: list[NDArray] | None,
) -> xr.DataTree:
    """Cut the windows of each scale, given the plan of the longest."""
    temporal = getattr(patcher, "temporal", patcher)
    nodes = {}
    for name, own in plans_of(plan, temporal).items():
        patches = cut_field(obj, own, dim, ordinals, groups)
        if isinstance(patches, xr.DataArray):
            patches = patches.to_dataset(name=UNNAMED if obj.name is None else obj.name)
        nodes[name] = patches
    return xr.DataTree.from_dict(nodes)


def plans_of(plan: Plan, temporal: Any) -> dict[str, Plan]:
    """Give the plan of each scale: the last steps of the longest windows, averaged."""
    geometry, hood = temporal.geometry, plan.hood
    axis = geometry.outline(plan.domain)
    part = hood.in_time
    assert part is not None
    assert part.anchors is not None
    steps = geometry.steps(axis, np.unique(part.anchors), temporal.sampler.closed)
    small, longest = min(steps.values()), max(steps.values())
    out = {}
    for name, n in steps.items():
        own = hood.cropped({axis.dim: (longest - n, 0)}).averaged({axis.dim: n // small})
        out[name] = dataclasses.replace(plan, hood=own)
    return out


def nodes_of(tree: xr.DataTree, like: Any = None) -> dict[str, tuple[Any, Provenance]]:
    """Give the patches of each scale, and where they come from.

    They are a DataArray where one was split and one came back.
    """
    out: dict[str, tuple[Any, Provenance]] = {}
    for name, node in tree.children.items():
        if not is_coarse(node.to_dataset()):
            continue
        patches, source = identified(node.to_dataset(), like)
        single = set(source.plans[0].domain.orders) == {None} and len(patches.data_vars) == 1
        out[name] = next(iter(patches.data_vars.values())) if single else patches, source
    return out


def first_of(tree: xr.DataTree) -> Any:
    """Give the patches of the first scale, or of this one.

    Raises
    ------
    ValueError
        If there is none.
    """
    if is_coarse(tree.to_dataset()):
        return tree.to_dataset()
    for node in tree.children.values():
        patches = node.to_dataset()
        if is_coarse(patches):
            return patches
    raise ValueError(NO_SCALES)


def summary(tree: xr.DataTree) -> str:
    """One line about the patches of each scale."""
    lines = []
    own = tree.to_dataset()
    nodes = {str(tree.name): identified(own, None)} if is_coarse(own) else nodes_of(tree)
    for name, (_, source) in nodes.items():
        plan = source.plans[0]
        ((d, factor),) = plan.hood.coarse.items()
        lines.append(
            f"  {name}: {len(source.ordinals)} of {len(plan)} patches, {d}: {plan.inner[d]} means of "
            f"{factor} steps"
        )
    return "\n".join(["<patches of several scales>", *lines]) if lines else "<no patches>"


class TreeBatches:
    """Loaded batches of the patches of all scales, which can be walked over as often as needed."""

    def __init__(self, tree: xr.DataTree, batch_size: int, drop_last: bool = False):
        from xpatch.run.batches import Batches

        first_of(tree)
        nodes = {n: c.to_dataset() for n, c in tree.children.items() if is_coarse(c.to_dataset())}
        self.parts = {n: Batches(node, batch_size, drop_last) for n, node in nodes.items()}
        labels = {n: provenance(node).ordinals for n, node in nodes.items()}
        first, *others = labels
        different = [n for n in others if not np.array_equal(labels[n], labels[first])]
        if different:
            raise ValueError(
                f"the patches of {different[0]!r} are not those of {first!r}, or in another order; select "
                "from the whole tree, tree.isel(patch=…)"
            )

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def __iter__(self) -> Iterator[xr.DataTree]:
        for rows in zip(*self.parts.values(), strict=True):
            yield xr.DataTree.from_dict(dict(zip(self.parts, rows, strict=True)))


SCALE = "scale"


def merge_scales(
    tree: xr.DataTree, aggregation: Any, options: Options, merge_field: MergeField
) -> Any:
    """Merge a DataTree of patches: each scale to a field, and these to one.

    Raises
    ------
    ValueError, KeyError, TypeError
        If there are no patches, the aggregation is not that of scales, or scales do not fit together.
    """
    parts = nodes_of(tree, options.like)
    if not parts and is_coarse(tree.to_dataset()):
        alone = identified(tree.to_dataset(), options.like)
        return merge_field(*alone, aggregation, options)
    if not parts:
        raise ValueError(NO_SCALES)
    how = checked(aggregation, next(iter(parts.values()))[1])
    names = chosen(how, parts)
    fill_value = options.fill_value
    own = fill_value if len(names) == 1 or _is_nan(fill_value) else None
    each = dataclasses.replace(options, fill_value=own)
    fields = {n: merge_field(*parts[n], how.of_one, each) for n in names}
    check_alike(fields)
    out = combined(fields, how, touched(*parts[names[0]]))
    if len(names) > 1 and fill_value is not None and not _is_nan(fill_value):
        cover = {n: coverage(*parts[n], options, merge_field) for n in names}
        out = filled(out, cover, fill_value)
    if isinstance(out, xr.DataArray) and out.name == UNNAMED:
        out = out.rename(None)
    return out


def checked(aggregation: Any, source: Provenance) -> HierarchicalCombine:
    """Give how scales are combined: as asked for, or as said when they were split."""
    if aggregation is None:
        aggregation = source.plans[0].aggregation
    if not isinstance(aggregation, tuple | list):
        aggregation = as_aggregation(aggregation)
    if not isinstance(aggregation, HierarchicalCombine):
        raise ValueError(
            f"the scales of a DataTree are put together by HierarchicalCombine, got {aggregation!r}; to "
            f"merge each scale so, and take their mean, HierarchicalCombine(within={aggregation!r})"
        )
    if aggregation.combine == LOST:
        raise ValueError(
            "combine of HierarchicalCombine was a function, which is not stored with patches; give it "
            "again, merge(HierarchicalCombine(combine=…))"
        )
    return aggregation


def chosen(how: HierarchicalCombine, parts: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the names of the scales that are asked for."""
    names = tuple(parts) if how.scales is None else how.scales
    unknown = [n for n in names if n not in parts]
    if unknown:
        raise KeyError(
            f"HierarchicalCombine asks for scale {unknown[0]!r}; the patches have {list(parts)}"
        )
    return names


def touched(patches: Any, source: Provenance) -> list[Hashable]:
    """Give the variables that are merged; the others are carried."""
    if isinstance(patches, xr.DataArray):
        return []
    own = {n: v.dims for n, v in patches.data_vars.items() if source.dim in v.dims}
    return [n for n, dims in own.items() if not is_carried(source.plans[0], n, dims)]


def variables(field: Any) -> set[Hashable]:
    """Give the names of the variables of a field."""
    return set(field.data_vars) if isinstance(field, xr.Dataset) else {field.name}


def check_alike(fields: Mapping[str, Any]) -> None:
    """Raise a ValueError if the scales have different variables."""
    first, *others = fields
    for name in others:
        mine, theirs = variables(fields[first]), variables(fields[name])
        if mine != theirs:
            raise ValueError(
                f"the scales have different variables, {first!r} has {sorted(map(str, mine))} and "
                f"{name!r} has {sorted(map(str, theirs))}; merge each on its own, "
                f"tree[{name!r}].patch.merge(), or leave variables out of both"
            )


def combined(fields: Mapping[str, Any], how: HierarchicalCombine, own: list[Hashable]) -> Any:
    """Make one field of those of the scales."""
    first = next(iter(fields.values()))
    simple = not callable(how.combine) and how.combine != "stack"
    if simple and len(fields) == 1:
        return first
    index = pd.Index(list(fields), name=SCALE, dtype=object)
    whole = isinstance(first, xr.Dataset)
    parts = [f[own] if whole else f for f in fields.values()]
    if how.combine == "stack":
        out = stacked(parts, index)
    else:  # a mean, or a function, takes no number for data that stands for missing
        out = joined(stacked([without_numbers(f) for f in parts], index), how)
        out = out if callable(how.combine) else with_numbers(out, parts[0])
    if isinstance(out, xr.DataArray) and not whole:
        out = out.rename(first.name)
    for field in fields.values():  # patches from a file know fewer of the coarse coordinates
        out = out.assign_coords({n: c for n, c in field.coords.items() if fits(c, out)})
    if not whole or not isinstance(out, xr.Dataset):
        return out
    rest = {n: v for n, v in first.data_vars.items() if n not in own and n not in out}
    out = out.assign(rest)
    return out[[n for n in first.data_vars if n in out]] if set(out) <= set(first) else out


def without_numbers(field: Any) -> Any:
    """Give a field with NaN where numbers stand for missing."""
    return field.map(masked) if isinstance(field, xr.Dataset) else masked(field)


def with_numbers(field: Any, like: Any) -> Any:
    """Give a field with the numbers that stand for missing in another one."""
    if isinstance(field, xr.DataArray):
        return refilled(field, like)
    return field.assign({n: refilled(v, like[n]) for n, v in field.data_vars.items()})


def stacked(fields: list[Any], index: pd.Index) -> Any:
    """Put the fields one after the other along a new dimension, with the coordinates that all have."""
    common = set.intersection(*(set(f.coords) for f in fields))
    rules: Any = {"coords": "minimal", "compat": "override", "join": "exact"}
    rules |= {"data_vars": "all"} if isinstance(fields[0], xr.Dataset) else {}
    return xr.concat([f.drop_vars(set(f.coords) - common) for f in fields], index, **rules)


def joined(stack: Any, how: HierarchicalCombine) -> Any:
    """Make one field of the stack."""
    if how.combine == "mean":
        return stack.mean(SCALE, skipna=True, keep_attrs=True)
    if not callable(how.combine):
        return weighted(stack, weights_of(how, tuple(stack[SCALE].values)))
    out = how.combine(stack)
    if not isinstance(out, xr.DataArray | xr.Dataset):
        raise TypeError(
            f"combine of HierarchicalCombine takes the fields along {SCALE!r} and must return a "
            f"DataArray or a Dataset, got {type(out).__name__}"
        )
    return out


def fits(coord: xr.DataArray, out: Any) -> bool:
    """Whether a coordinate is missing and could be one of the result."""
    return coord.name not in out.coords and all(
        out.sizes.get(d) == n for d, n in coord.sizes.items()
    )


def weights_of(how: HierarchicalCombine, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Give the weight of each scale."""
    given = (
        how.combine
        if isinstance(how.combine, Mapping)
        else dict(zip(names, how.combine, strict=len(how.combine) == len(names)))
    )
    if set(given) != set(names) or len(how.combine) != len(names):
        raise ValueError(
            f"combine of HierarchicalCombine must have a weight for each of the scales {list(names)}, "
            f"got {how.combine!r}"
        )
    return np.array([given[n] for n in names], float)


def weighted(stack: Any, weights: NDArray[np.float64]) -> Any:
    """Give the weighted mean over scales, of those that are there, in the dtype of the fields."""
    mean = stack.weighted(xr.DataArray(weights, dims=SCALE)).mean(SCALE, keep_attrs=True)
    if isinstance(stack, xr.DataArray):
        return mean.astype(stack.dtype)
    return mean.assign({n: mean[n].astype(stack[n].dtype) for n in stack.data_vars})


def coverage(
    patches: Any, source: Provenance, options: Options, merge_field: MergeField
) -> xr.DataArray:
    """Say which cells any patch covers."""
    ones = xr.ones_like(patches.coords[source.dim], dtype=float)
    bare = dataclasses.replace(options, skipna=None, fill_value=None)
    covered: xr.DataArray = merge_field(ones, source, "count", bare) > 0
    return covered


def filled(out: Any, cover: Mapping[str, xr.DataArray], fill_value: Any) -> Any:
    """Write the fill value where no scale covers a cell."""
    index = pd.Index(list(cover), name=SCALE, dtype=object)
    each = xr.concat(list(cover.values()), index, coords="minimal", compat="override")

    def one(array: xr.DataArray) -> xr.DataArray:
        if not set(each.dims) & set(array.dims):
            return array
        inside = each.any([d for d in each.dims if d not in array.dims])
        return array.where(inside.drop_vars(set(inside.coords) - set(inside.dims)), fill_value)

    return out.map(one, keep_attrs=True) if isinstance(out, xr.Dataset) else one(out)


def _is_nan(value: Any) -> bool:
    return value is not None and np.ndim(value) == 0 and bool(value != value)
