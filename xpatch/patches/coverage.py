"""How many patches hold each cell."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import xarray as xr
from xarray import Variable

from xpatch.aggregation import Count
from xpatch.patches.arguments import Options
from xpatch.patches.index import labels_of
from xpatch.patches.merge import Merge
from xpatch.patches.placed import left_plan_of
from xpatch.patches.split import cut_variable, missing_outside


def coverage(obj: Any) -> xr.DataArray:
    """How many of these patches hold each cell, itself included.

    ``weights=1 / patches.patch.coverage`` lets each cell of the field count once.

    Returns
    -------
    DataArray
        Integers (patch, in-patch dims that were cut), or floats with NaN for cells outside of the
        field and empty slots.

    Raises
    ------
    ValueError
        If these are patches of several scales.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(6), dims="x")
    >>> patches = field.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    >>> patches.patch.coverage.values
    array([[1, 1, 2, 2],
           [2, 2, 1, 1]])
    """
    source, plan = left_plan_of(obj)
    if plan.hood.coarse:
        raise ValueError("cells of several scales are means of cells, of which none is held alone")
    bare = dataclasses.replace(plan, window=None, aggregation=None)
    own = dataclasses.replace(source, plans=(bare,))
    ones = xr.DataArray(np.ones(len(source.ordinals)), {source.dim: source.ordinals}, (source.dim,))
    counts = Merge(ones, own, Count(), Options(None, None, None, None)).variable(
        ones.variable, None
    )
    values = Variable(counts.dims, counts.to_numpy().astype(np.int64))
    cut = cut_variable(values, missing_outside(values, bare), source.dim, source.ordinals, None)
    cells = {}
    for d, n in cut.sizes.items():
        low, high = source.crop.get(d, (0, 0))
        cells[d] = slice(low, n - high)
    found = cut.isel(cells)
    order = [d for d in obj.dims if d in found.dims] or list(found.dims)
    order = [source.dim, *(d for d in order if d != source.dim)]
    order += [d for d in found.dims if d not in order]
    found = found.transpose(*order)
    return xr.DataArray(found, labels_of(obj, found.dims), name="coverage")
