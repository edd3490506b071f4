"""Merge patches of one scale: each coarse step paints the steps of the field that it stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from xarray import Variable

from xpatch.models.merge import MergeField
from xpatch.patches.arguments import Options, Scale, factors
from xpatch.patches.index import PatchIndex, patch_index, with_index
from xpatch.patches.labels import part_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.time.scales import HierarchicalCombine
from xpatch.time.window import stepwise

BLOCK_BYTES = 1 << 26  # of painted patches in memory at a time


def merge_coarse(
    patches: Any,
    source: Provenance,
    aggregation: Any,
    options: Options,
    merge_field: MergeField,
) -> Any:
    """Merge patches of one scale."""
    if isinstance(aggregation, HierarchicalCombine):
        aggregation = aggregation.of_one
    fine, at = painted(patches, source, options.scale)
    aggregation = within_of(source.plans[0]) if aggregation is None else aggregation
    merged = merge_field(fine, at, aggregation, options)
    if isinstance(patches, xr.DataArray):
        put_off = patches.chunks is None and merged.chunks is not None
        return merged.compute() if put_off else merged
    late = [n for n, v in patches.data_vars.items() if v.chunks is None and n in merged]
    return merged.assign({n: merged[n].compute() for n in late if merged[n].chunks is not None})


def painted(patches: Any, source: Provenance, scale: Scale) -> tuple[Any, Provenance]:
    """Give coarse patches at the steps of the field: each coarse step stands for all of its own.

    Raises
    ------
    ValueError
        If steps of the patches were left out or reordered, or patches of several scales were joined.
    """
    if len(source.plans) > 1:
        raise ValueError(
            "these patches are of several scales, or fields, and nothing says which of them shall be "
            "merged; keep scales apart, as the nodes of the DataTree, or merge variables one by one"
        )
    plan, index = source.plans[0], patch_index(patches)
    assert index is not None  # what has no recipe is not known to be of a scale
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
    crop = {**source.crop, d: (low * factor, high * factor)}
    fine = PatchIndex(index._index, (fine_plan(plan),), crop)
    return with_index(out, fine), Provenance.of(fine)


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
        found = None
        if plan.boxed is not None and labels.sizes[d] <= size:
            found = part_of(labels.variable, source.ordinals, source.dim, plan.boxed, d)
        if found is None:
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
