"""Coordinates of the field that no recipe holds: merged from those of patches that were read back."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from xarray import Variable

from xpatch.aggregation import First
from xpatch.domain.dggs import redecoded
from xpatch.patches.around import is_offset
from xpatch.patches.bounds import bounds_of, turned_back
from xpatch.patches.centers import is_center
from xpatch.patches.coords import through_counts
from xpatch.patches.provenance import in_order, place, same_everywhere, unlike
from xpatch.patches.weights import Weights
from xpatch.time.finding import is_time

__all__ = ["put_back"]


def put_back(merge: Any, merged: xr.Dataset, patches: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Put the coordinates of patches on the field, and the index of cells of a global grid."""
    merged = merged.assign_coords(element_coordinates(merge, merged, patches))
    merged = merged.assign_coords(box_coordinates(merge, merged, patches))
    out: xr.Dataset = redecoded(merged)
    return out


def element_coordinates(
    merge: Any, merged: xr.Dataset, patches: xr.DataArray | xr.Dataset
) -> dict[Hashable, Variable]:
    """Put coordinates of the elements, which stand beside their numbers, back."""
    found: dict[Hashable, Variable] = {}
    hood, slots = merge.plan.hood, {m.dim for m in merge.plan.lists}
    own_names = slots | {m.numbers for m in merge.plan.lists}
    recalled = merge.plan.recalled or {}
    labels: dict[Hashable, Hashable] = {
        f"{d}_label": d for d in slots & set(recalled)
    }  # that made way for the numbers
    for name, coord in patches.coords.items():
        known = name in merged.coords or name in own_names or merge.dim not in coord.dims
        if known or not slots & set(coord.dims) or not _is_placed(coord) or is_center(coord):
            continue
        names = {*coord.dims}
        own = [d for p in hood.parts for d in p.dims if d in names or names & {*p.inner}]
        part = hood.only(own)
        values = coord.variable.compute()
        fill = "" if values.dtype.kind in "US" else None
        weights = Weights(None, None, part, merge.crop, {})
        rest = (None, First(), weights, fill)
        placed = through_counts(values, lambda v, *_, r=rest: merge.reduced(v, *r))
        name = labels.get(name, name)
        dims = recalled.get(name)
        if dims is not None and not same_everywhere(placed, values, part, merge.source):
            raise ValueError(unlike(name))
        found[name] = in_order(placed, dims)
    return found


def box_coordinates(
    merge: Any, merged: xr.Dataset, patches: xr.DataArray | xr.Dataset
) -> dict[Hashable, Variable]:
    """Put auxiliary coordinates of boxes back, and labels that are not numbers."""
    boxed, found, above = merge.boxed, {}, merge.domain.above
    placed = {*merged.coords, *merge.domain.made_labels}
    held = {} if above is None else {n: c.dims for n, c in above.coords.variables.items()}
    recalled = held if merge.plan.recalled is None else merge.plan.recalled
    for name, coord in patches.coords.items() if boxed is not None else ():
        dims = [d for d in coord.dims if d in boxed.dims]
        if merge.dim not in coord.dims or not dims or name in placed:
            continue
        if is_offset(coord) or (name not in boxed.dims and not _is_placed(coord)):
            continue
        if merge.plan.recalled is None and name not in held:  # which a model added
            continue
        if set(coord.dims) & {m.dim for m in merge.plan.lists}:
            continue
        plan = dataclasses.replace(boxed, hood=boxed.boxes.only(dims), window=None)
        known = recalled.get(name)
        own = name if known is not None or name in dims else None
        where = (plan, merge.source.ordinals, merge.crop, merge.dim)
        bounded = bounds_of(patches.coords, plan.dims).get(name)
        values = turned_back(coord.variable, bounded, *where)
        found[name] = in_order(_as_was(place(values, *where, own), coord.dtype), known)
    return found


def _as_was(placed: Variable, dtype: np.dtype) -> Variable:
    """Give integers back their dtype, if none is missing."""
    if placed.chunks is not None or dtype.kind not in "iu" or placed.isnull().any():
        return placed
    return placed.astype(dtype)


def _is_placed(coord: xr.DataArray) -> bool:
    """Whether the values of a coordinate can be placed: not those of objects, other than dates."""
    return coord.dtype.kind not in "OT" or is_time(coord)
