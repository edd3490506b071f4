"""Patches one after the other, and what a function made of them as patches again."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.patches.index import patch_index, whole_of, with_index, with_variables
from xpatch.patches.names import is_lead
from xpatch.patches.provenance import Provenance
from xpatch.patches.sides import is_both, sides_of
from xpatch.report import noted

__all__ = ["as_patches", "check_order", "one_by_one", "scanned"]


def scanned(
    patches: Any, source: Provenance, scan: Any, present: Any = None
) -> tuple[Any, Provenance, None]:
    """Fold a state through patches, each place on its own, and give the outputs as patches.

    Those that are not present, because the function of `apply` failed on them, are left out.
    """
    dim, ordinals = source.dim, source.ordinals
    order = np.argsort(source.plans[0].steps(ordinals), kind="stable")
    places = _places_of(source)
    count = len(np.unique(places))
    states: dict[int, Any] = {}
    outputs: list[Any] = [None] * len(order)
    given = (patches,) if present is None else (patches, xr.DataArray(present, dims=[dim]))
    for k, (patch, *there) in one_by_one(given, dim, order):
        if there and not there[0]:
            continue
        place = int(places[k])
        if place not in states:
            states[place] = _first_state(scan.init, count)
        with noted(f"in step of Sequential, on patch {int(ordinals[k])}"):
            states[place], outputs[k] = _checked(scan.step(states[place], patch), patch)
    kept = [k for k, output in enumerate(outputs) if output is not None]
    out = patches.isel({dim: kept})
    if kept:
        out = as_patches([outputs[k] for k in kept], out, dim)
    return out, dataclasses.replace(source, ordinals=ordinals[kept]), None


def _places_of(source: Provenance) -> NDArray[np.int64]:
    """Give the place that each patch is of; 0 for all that were cut in time alone."""
    plan, ordinals = source.plans[0], source.ordinals
    return sides_of(plan, ordinals).where if is_both(plan) else np.zeros_like(ordinals)


def _first_state(init: Any, places: int) -> Any:
    """Give the first state of each of so many places."""
    try:
        return copy.deepcopy(init)
    except Exception as error:
        if places == 1:
            return init
        raise TypeError(
            f"init of Sequential must be copied for each of {places} places, but {init!r} "
            f"cannot be: {error}; give None, and make the state in step"
        ) from error


def _checked(result: Any, patch: Any) -> tuple[Any, Any]:
    """Raise if a step did not return a state and an output of the shape of a patch."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"step of Sequential must return a state and an output, got {type(result).__name__}"
        )
    output = result[1]
    if not isinstance(output, xr.DataArray | xr.Dataset):
        raise TypeError(
            "the output of step of Sequential must be a DataArray or Dataset, got "
            f"{type(output).__name__}; patch.copy(data=…) makes one"
        )
    if any(output.sizes.get(d) != n for d, n in patch.sizes.items()):
        raise ValueError(
            f"the output of step of Sequential has sizes {dict(output.sizes)}, the patch "
            f"{dict(patch.sizes)}; one value a window is put into it by xr.zeros_like(patch) + value"
        )
    check_order(output, patch)
    return result


def one_by_one(
    parts: tuple[Any, ...], dim: Hashable, order: NDArray
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Load patches one after the other; a block of dask is made once, and kept until it is used up."""
    parts = tuple(p if isinstance(p, xr.DataArray) else p.unify_chunks() for p in parts)
    sizes = next((p.chunksizes[dim] for p in parts if dim in p.chunksizes), None)
    if sizes is None:
        for k in order.tolist():
            yield k, tuple(p.isel({dim: k}).load() for p in parts)
        return
    import dask

    edges = np.concatenate([[0], np.cumsum(sizes)])
    block = np.searchsorted(edges, order, side="right") - 1
    left = np.bincount(block, minlength=len(sizes))
    made: dict[int, Any] = {}
    shared = [_shared(p, dim) for p in parts]
    if any(shared):  # it is made, by `xarray.map_blocks`, with the last block: in one go
        last = [p.isel({dim: slice(edges[-2], None)}) for p in parts]
        made[len(sizes) - 1], shared = dask.compute(last, shared)
        parts = tuple(with_variables(p, known) for p, known in zip(parts, shared, strict=True))
    for k, b in zip(order.tolist(), block.tolist(), strict=True):
        if b not in made:
            rows = slice(edges[b], edges[b + 1])
            made[b] = dask.compute(*(p.isel({dim: rows}) for p in parts))
        yield k, tuple(p.isel({dim: k - edges[b]}).load() for p in made[b])
        left[b] -= 1
        if not left[b]:
            del made[b]


def _shared(patches: Any, dim: Hashable) -> dict[Hashable, Variable]:
    """Give the chunked variables that all patches share."""
    variables = whole_of(patches).variables.items()
    return {n: v for n, v in variables if dim not in v.dims and v.chunks is not None}


def as_patches(outputs: list[Any], patches: Any, dim: Hashable) -> Any:
    """Put what a function made of single patches together, as patches like those it was given.

    Outputs with fewer slots than the patches have, because the others are empty, are filled up.
    """
    full = []
    for output in outputs:
        short = {d: (0, n - output.sizes[d]) for d, n in patches.sizes.items() if d in output.sizes}
        short = {d: pair for d, pair in short.items() if pair[1] > 0}
        bare = output.drop_vars([n for n in output.coords if n in patches.coords])
        full.append(bare.pad(short) if short else bare)
    carried = [n for n, v in whole_of(patches).data_vars.items() if dim not in v.dims]
    many: Any = "all"
    if carried and isinstance(patches, xr.Dataset):
        many = [n for n in full[0].data_vars if n not in carried or _differs(full, n)]
    whole = xr.concat(full, dim, many, coords="minimal", compat="override", join="override")
    whole = whole.transpose(dim, *(d for d in patches.dims if d in whole.dims and d != dim), ...)
    sizes = whole.sizes
    kept = {
        n: c
        for n, c in patches.coords.items()
        if c.chunks is None and all(sizes.get(d) == m for d, m in c.sizes.items())
    }
    index = patch_index(patches)
    out = whole.assign_coords({n: c.variable for n, c in kept.items() if n != dim})
    if index is None:
        return out.assign_coords({dim: patches.coords[dim]})
    return with_index(out.assign_coords({dim: index.ordinals}), index)


def _differs(outputs: list[Any], name: Hashable) -> bool:
    """Whether a variable is not the same in all outputs."""
    first = outputs[0][name].variable
    return not all(name in o and o[name].variable.equals(first) for o in outputs[1:])


def check_order(output: Any, patch: Any) -> None:
    """Raise a ValueError if a function gave the cells of a patch back in another order."""
    for name in (*patch.dims, *(n for n, c in patch.coords.items() if is_lead(c))):
        if name not in output.coords or name not in patch.coords:
            continue
        given, own = output.coords[name].variable, patch.coords[name].variable
        if given.dims != own.dims or given.shape != own.shape:
            continue
        a, b = given.to_numpy(), own.to_numpy()
        numbers = a.dtype.kind == b.dtype.kind == "f"
        if not (np.allclose(a, b, 1e-5, 0, equal_nan=True) if numbers else given.equals(own)):
            raise ValueError(
                f"the function gave a patch back whose {name!r} is {a[:3]} …, not {b[:3]} …; keep the "
                "order and the labels of the patch"
            )
