"""Fit `LeastSquares`: the Gram matrices of all patches, in memory or in one pass of dask, and their solution."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain.nodata import NAMES
from xpatch.models.design import Design, product, spread
from xpatch.models.gram import Floats, Gram, gram_of
from xpatch.models.least_squares import LeastSquares, fitted
from xpatch.report import Bar, tell

Groups = tuple[NDArray[np.int64], int]  # the group of each patch, and how many there are


def regression(
    model: LeastSquares,
    design: Design,
    groups: Groups,
    independent: Mapping[Hashable, Hashable],
    min_samples: int | None,
    progress: bool,
) -> dict[Hashable, Variable]:
    """Give ``coef``, ``cov``, ``n`` and ``rss`` of each group, (group, …)."""
    terms = model.terms(design.names)
    if not terms:
        raise ValueError("LeastSquares(intercept=False) without x has nothing to fit; name x")
    least = model.samples_needed(design.names, min_samples)
    order = [*independent, *(d for d in design.core if d not in independent)]
    core = {d: design.core[d] for d in order}
    sizes = tuple(core[d] for d in independent)
    keys = _cluster_keys(design, groups, independent) if independent else None
    found = partial(_solved, model=model, groups=groups, least=least, keys=keys, clusters=sizes)
    if design.chunked:
        numbers = _chunked(found, design, core, independent, len(terms))
    else:
        numbers = found(_in_memory(design, core, 1 + len(independent), progress))
        if numbers["warning"] is not None:
            tell(numbers["warning"])
    dims = {"coef": ("term",), "cov": ("term", "term_"), "n": (), "rss": ()}
    return {n: Variable((design.dim, *more), numbers[n]) for n, more in dims.items()}


def _in_memory(design: Design, core: dict[Hashable, int], axes: int, progress: bool) -> Floats:
    """Give the Gram matrices, packed, (patch, *clusters, numbers), reading some patches at a time."""
    bar = Bar(design.count) if progress else None
    parts = []
    for rows, block in design.blocks():
        count = rows.stop - rows.start
        columns = [spread(v, design.dim, count, core) for v in block.columns]
        weights = product(block.weighing, design.dim, count, core)
        parts.append(gram_of(columns, weights, axes).packed())
        if bar is not None:
            bar(count)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _solved(
    packed: Floats,
    model: LeastSquares,
    groups: Groups,
    least: int,
    keys: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
    clusters: tuple[int, ...],
) -> dict[str, Any]:
    """Add up the Gram matrices of each group, and solve them."""
    codes, count = groups
    rows = Gram.unpacked(packed.reshape(-1, packed.shape[-1]))
    # clusters stand before the pieces of patches that lie in several chunks
    each = len(rows.count) // max(len(codes), 1)
    whole = rows.grouped(np.repeat(codes, each), count)
    if keys is None:
        return fitted(model, whole, least, None)
    names, of = keys
    pieces = each // math.prod(clusters)
    own = rows.grouped(np.repeat(names, pieces), len(of))
    return fitted(model, whole, least, (own, of))


def _cluster_keys(
    design: Design, groups: Groups, independent: Mapping[Hashable, Hashable]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the clusters: give which each label of each patch is, and the group of each cluster.

    A label that several patches of a group have is one cluster.
    """
    codes, count = groups
    sizes = tuple(design.core[d] for d in independent)
    number = np.zeros((design.count, *sizes), np.int64)
    alone = count == design.count
    for k, (d, label) in enumerate(independent.items()):
        shape = (1, *(n if j == k else 1 for j, n in enumerate(sizes)))
        if not alone and label not in design.patches.coords:
            raise ValueError(
                f"independent={label!r} has no labels, so that it is not known which clusters several patches "
                f"share; give the field some before it is split: field.assign_coords({label}=…)"
            )
        if alone and label == d:
            own, most = np.arange(sizes[k]).reshape(shape), sizes[k]
        else:
            coord = design.patches.coords[label].variable
            labels = spread(coord, design.dim, design.count, {d: sizes[k]})
            found, values = pd.factorize(labels.reshape(-1))
            own = found.reshape(design.count, *shape[1:])
            most = len(values) + 1
        number = number * most + own
    number = number - number.min(initial=0)
    key = codes.reshape(-1, *(1,) * len(sizes)) * (number.max(initial=0) + 1) + number
    every, name = np.unique(key, return_inverse=True)
    return name.reshape(-1), every // (number.max(initial=0) + 1)


# ------------------------------------------------------------------------------------- dask


def _chunked(
    found: Any,
    design: Design,
    core: dict[Hashable, int],
    independent: Mapping[Hashable, Hashable],
    terms: int,
) -> dict[str, Any]:
    """Give the same of dask: one task a block of patches, and one that solves all of them."""
    import dask
    import dask.array as da

    letters = {d: k for k, d in enumerate((design.dim, *core))}
    variables = [*design.columns, *design.weighing]
    every = tuple(tuple(d for d in letters if d in v.dims) for v in variables)
    args: list[Any] = []
    for v, order in zip(variables, every, strict=True):
        ordered = v.transpose(*order)
        chunked = ordered if ordered.chunks is not None else ordered.chunk()
        args += [chunked.data, tuple(letters[d] for d in order)]
    q = len(design.columns)
    table = da.blockwise(
        partial(
            _gram_block,
            dim=design.dim,
            core=tuple(core),
            orders=every,
            axes=1 + len(independent),
            marks=tuple({n: v.attrs[n] for n in NAMES if n in v.attrs} for v in variables),
            weights=len(design.weighing),
        ),
        (*letters.values(), len(letters)),
        *args,
        new_axes={len(letters): 2 + 2 * q + q * q},
        adjust_chunks={letters[d]: _to_one for d in core if d not in independent},
        dtype=float,
        meta=np.empty((0,) * (len(letters) + 1)),
    )
    numbers = dask.delayed(_told)(found, table)
    shapes = {"coef": (terms,), "cov": (terms, terms), "n": (), "rss": ()}
    groups = found.keywords["groups"][1]
    kinds = {"n": np.int64}
    return {
        n: da.from_delayed(numbers[n], (groups, *more), kinds.get(n, float))
        for n, more in shapes.items()
    }


def _to_one(size: int) -> int:
    """Say that a chunk becomes one number."""
    return 1


def _gram_block(
    *blocks: NDArray[Any],
    dim: Hashable,
    core: tuple[Hashable, ...],
    orders: tuple[tuple[Hashable, ...], ...],
    axes: int,
    marks: tuple[dict[str, Any], ...],
    weights: int,
) -> Floats:
    """Give the Gram matrices of a block, (patch, *clusters, 1…, numbers)."""
    each = zip(orders, blocks, marks, strict=True)
    every = [Variable(order, block, attrs) for order, block, attrs in each]
    columns, weighing = every[: len(every) - weights], every[len(every) - weights :]
    sizes = dict(columns[-1].sizes)  # of the y, which has all dimensions
    rows, inner = sizes[dim], {d: sizes[d] for d in core}
    arrays = [spread(v, dim, rows, inner) for v in columns]
    packed = gram_of(arrays, product(weighing, dim, rows, inner), axes).packed()
    ones = (1,) * (len(core) + 1 - axes)
    return packed.reshape(*packed.shape[:-1], *ones, packed.shape[-1])


def _told(found: Any, table: Floats) -> dict[str, Any]:
    """Solve in a task, and warn from there."""
    numbers: dict[str, Any] = found(table)
    if numbers["warning"] is not None:
        tell(numbers["warning"])
    return numbers
