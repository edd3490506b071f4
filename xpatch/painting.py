"""Merge patches of one scale: each coarse step paints the steps of the field that it stands for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.index import RECIPE, PatchIndex, patch_index, with_index
from xpatch.merge_calls import merge_one
from xpatch.merge_words import Scale, factors
from xpatch.plan import Plan
from xpatch.recipe import find_recipe, pack
from xpatch.restoring import Provenance, provenance
from xpatch.spec import encode
from xpatch.time.scales import HierarchicalCombine
from xpatch.time.window import stepwise

BLOCK_BYTES = 1 << 26  # of painted patches in memory at a time


def merge_scale(
    patches: Any, aggregation: Any, like: Any, skipna: Any, fill_value: Any, scale: Any
) -> Any:
    """Merge patches of one scale."""
    if isinstance(aggregation, HierarchicalCombine):
        aggregation = aggregation.of_one
    fine, own = painted(patches, like, scale)
    aggregation = own if aggregation is None else aggregation
    merged = merge_one(fine, aggregation, like, skipna, fill_value, scale)
    if isinstance(patches, xr.DataArray):
        put_off = patches.chunks is None and merged.chunks is not None
        return merged.compute() if put_off else merged
    late = [n for n, v in patches.data_vars.items() if v.chunks is None and n in merged]
    return merged.assign({n: merged[n].compute() for n in late if merged[n].chunks is not None})


def painted(patches: Any, like: Any, scale: Scale) -> tuple[Any, Any]:
    """Give coarse patches at the steps of the field, and how they are merged by default.

    Each coarse step stands for all of its own.

    Raises
    ------
    ValueError
        If steps of the patches were left out or reordered, or patches of several scales were joined.
    """
    index = patch_index(patches)
    if index is not None and len(index.plans) > 1:
        raise ValueError(
            "these patches are of several scales, or fields, and nothing says which of them shall be "
            "merged; keep scales apart, as the nodes of the DataTree, or merge variables one by one"
        )
    source = provenance(patches, like)
    plan = source.plans[0]
    ((d, factor),) = (plan.coarse or {}).items()
    lost = [n for n, c in patches.coords.items() if d in c.dims and factor > 1]
    kept = patches.drop_vars(lost)  # coordinates of coarse steps are not those of the field
    if isinstance(patches, xr.DataArray):
        variable = repeated(patches.variable, d, factor)
        out: Any = xr.DataArray(variable, kept.coords, name=patches.name)
    else:
        variables = {n: repeated(v.variable, d, factor) for n, v in patches.data_vars.items()}
        out = xr.Dataset(variables, kept.coords, patches.attrs)
    low, high = crop_of(patches, source, plan, d, factors(scale, plan).get(d, 1))
    fine = fine_plan(plan)
    if index is not None:
        crop = {**index.crop, d: (low * factor, high * factor)}
        return with_index(out, PatchIndex(index._index, (fine,), crop)), within_of(plan)
    if low or high:  # without an index, labels tell
        cells = np.arange(low * factor, fine.inner[d] - high * factor)
        out = labeled(out, source, fine, d, cells)
    return with_recipe(out, source.dim, fine), within_of(plan)


def first_cells(plan: Plan, ordinals: NDArray, d: Hashable) -> NDArray[np.int64]:
    """Give the first cell of patches along a dimension in which they are boxes, (patch, 1)."""
    assert plan.boxed is not None
    boxes = plan.boxed.boxes
    return boxes.starts(ordinals)[:, boxes.dims.index(d), None]


def labeled(patches: Any, source: Provenance, plan: Plan, d: Hashable, cells: NDArray) -> Any:
    """Give patches the labels of some of their cells."""
    starts = first_cells(plan, source.ordinals, d)
    values = np.asarray(plan.domain.labels_at(d, starts + cells, False))
    single = source.dim not in patches.dims
    return patches.assign_coords({d: (d, values[0]) if single else ((source.dim, d), values)})


def repeated(variable: Variable, dim: Hashable, factor: int) -> Variable:
    """Repeat each cell along a dimension: of large arrays in memory, put off, some patches at a time."""
    if dim not in variable.dims or factor == 1:
        return variable
    axis, data = variable.get_axis_num(dim), variable.data
    if variable.chunks is None:
        data = variable.to_numpy()
        if data.nbytes * factor <= BLOCK_BYTES or axis == 0:
            return Variable(variable.dims, np.repeat(data, factor, axis), variable.attrs)
        import dask.array as da

        rows = max(1, BLOCK_BYTES // (data[:1].nbytes * factor))
        data = da.from_array(data, (rows, *data.shape[1:]), name=False)
    chunks = list(data.chunks)
    chunks[axis] = tuple(c * factor for c in chunks[axis])
    data = data.map_blocks(np.repeat, factor, axis, dtype=data.dtype, chunks=tuple(chunks))
    return Variable(variable.dims, data, variable.attrs)


def fine_plan(plan: Plan) -> Plan:
    """Give the plan of the same windows at the steps of the field."""
    window = stepwise(plan.window, plan.coarse)
    return dataclasses.replace(plan, window=window, aggregation=None, coarse=None)


def within_of(plan: Plan) -> Any:
    """Give how patches of one scale are merged."""
    how = plan.aggregation
    return how.of_one if isinstance(how, HierarchicalCombine) else how


def with_recipe(patches: Any, dim: Hashable, plan: Plan) -> Any:
    """Give patches without an index the recipe of the fine plan."""
    found = find_recipe(patches)
    assert found is not None
    recipe = {k: v for k, v in found[1].items() if k != "coarse"}
    recipe |= {"window": encode(plan.window), "aggregation": None}
    labels = [plan.domain.coordinate(d) for d in plan.dims]  # as the file was decoded
    recipe["labels"] = [None if values is None else pack(values) for values in labels]
    coord = patches.coords[dim].variable
    attrs = {**coord.attrs, RECIPE: json.dumps(recipe)}
    return patches.assign_coords({dim: Variable(coord.dims, coord.values, attrs)})


def crop_of(
    patches: Any, source: Provenance, plan: Plan, d: Hashable, scale: int
) -> tuple[int, int]:
    """Find how many coarse cells were cut off at both ends: from the index, else from the labels."""
    low, high = source.crop.get(d, (0, 0))
    if d not in patches.dims:
        return low, high
    size, got = plan.inner[d], patches.sizes[d]
    known = (size - low - high) * scale
    labels = patches.coords[d] if d in patches.coords and scale == 1 else None
    if labels is not None and labels.chunks is None and set(labels.dims) <= {source.dim, d}:
        found = run_of(labels.variable, source, plan, d)
        if found is None and (source.indexed or got != known):
            raise ValueError(
                f"the labels along {d!r} are not a run of those of their patch: steps were reordered, "
                "thinned out or relabeled; undo it before merge, or drop the labels with "
                f"drop_vars({d!r}) if the steps are in order"
            )
        return found or (low, high)
    if got != known:
        raise ValueError(
            f"the patches have {got} steps along {d!r}, but were split with {known}, and nothing says "
            f"which part these are: crop with patches.patch.crop({d}=…), or keep the labels {d!r}"
        )
    return low, high


def run_of(labels: Variable, source: Provenance, plan: Plan, d: Hashable) -> tuple[int, int] | None:
    """Find labels among those of their patch; cells before and behind them."""
    rows = slice(None) if labels._in_memory else slice(0, 1)  # our own, put off: a look will do
    ordinals = source.ordinals[rows]
    if source.dim in labels.dims:
        labels = labels.isel({source.dim: rows}).transpose(source.dim, d)
    given = np.broadcast_to(labels.to_numpy(), (len(ordinals), labels.sizes[d]))
    cells = first_cells(plan, ordinals, d) + plan.offsets(d)
    expected = plan.domain.labels_at(d, cells, False)
    if expected is None:
        return None
    spare = expected.shape[1] - given.shape[1]
    for low in range(spare + 1):
        if (given == expected[:, low : low + given.shape[1]]).all():
            return low, spare - low
    return None
