"""Patches as a matrix of samples and features, and back."""

from __future__ import annotations

import ast
import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray import Variable

from xpatch.patches.index import patch_index, splits_of
from xpatch.patches.labels import label_variable
from xpatch.patches.nested import with_indexes_of
from xpatch.patches.provenance import NEVER_SPLIT
from xpatch.patches.recall import indexed

SAMPLE, FEATURE = "sample", "feature"
SHAPE = "flattened"  # attribute: which dimensions became which, and their sizes


def flatten(obj: Any, sample: Any = None, feature: Any = None) -> xr.DataArray:
    """Give patches as a matrix with one row a sample and one column a feature.

    Parameters
    ----------
    obj : DataArray
        Patches.
    sample, feature : hashable or sequence of hashable, optional
        The dimensions that number the rows, the patch dimension among them, and those that number the
        columns. Of one that is not given it is all others; default: a sample a patch.

    Returns
    -------
    DataArray
        Shape (sample, feature), without a MultiIndex, so that it goes to any estimator. Both are
        numbered; coordinates along dimensions of samples, such as the labels of patches, stand along
        ``sample``, and those of features along ``feature``. `unflatten` goes back.

    Raises
    ------
    TypeError, ValueError
        If `obj` is no DataArray of patches, or dimensions are missing or named twice.

    Examples
    --------
    >>> field = xr.DataArray(np.arange(24.0).reshape(4, 6), dims=("y", "x"), name="t")
    >>> patches = field.patch.split(geometry={"y": 2, "x": 3})
    >>> matrix = patches.patch.flatten(sample="patch", feature=("y", "x"))
    >>> matrix.shape
    (4, 6)
    >>> bool(matrix.patch.unflatten().equals(patches))
    True
    """
    if not isinstance(obj, xr.DataArray):
        raise TypeError(
            "flatten takes one variable: patches[name].patch.flatten(…), or patches.to_dataarray() for several, "
            "of which 'variable' becomes a dimension"
        )
    patches = indexed(obj)
    index = patch_index(patches)
    if index is None or index.dim not in patches.dims:
        raise ValueError(NEVER_SPLIT)
    rows, columns = _split(patches.dims, index.dim, splits_of(patches), sample, feature)
    for name in (SAMPLE, FEATURE):
        if name in patches.dims or name in patches.coords:
            raise ValueError(
                f"the patches have {name!r} already, as a dimension of the matrix is called; rename it first"
            )
    sizes = patches.sizes
    ordered = patches.variable.transpose(*rows, *columns)
    shape = math.prod(sizes[d] for d in rows), math.prod(sizes[d] for d in columns)
    data = ordered.data.reshape(shape)
    said = [[[str(d), sizes[d]] for d in dims] for dims in (rows, columns)]
    coords: dict[Hashable, Variable] = {}
    for target, dims in ((SAMPLE, rows), (FEATURE, columns)):
        for name, coord in patches.coords.items():
            if coord.ndim and set(coord.dims) <= set(dims) and name not in (SAMPLE, FEATURE):
                coords[name] = _along(coord.variable.to_base_variable(), dims, sizes, target)
        coords[target] = Variable(target, np.arange(math.prod(sizes[d] for d in dims)))
    coords |= {n: c.variable for n, c in patches.coords.items() if not c.ndim}
    attrs = {**patches.attrs, SHAPE: repr(said)}
    return xr.DataArray(Variable((SAMPLE, FEATURE), data, attrs), coords, name=patches.name)


def _along(variable: Variable, dims: Sequence[Hashable], sizes: Any, target: Hashable) -> Variable:
    """Repeat a coordinate along all of the dimensions that become one."""
    full = variable.set_dims({d: sizes[d] for d in dims}).transpose(*dims)
    return Variable(target, full.data.reshape(-1), variable.attrs)


def _split(
    dims: tuple[Hashable, ...],
    patch: Hashable,
    splits: tuple[Hashable, ...],
    sample: Any,
    feature: Any,
) -> tuple[list[Hashable], list[Hashable]]:
    """Share the dimensions out among rows and columns."""
    rows, columns = (_names(v, what) for v, what in ((sample, SAMPLE), (feature, FEATURE)))
    if rows is None:
        rows = [d for d in dims if d not in columns] if columns else [*splits]
    if columns is None:
        columns = [d for d in dims if d not in rows]
    both = [*rows, *columns]
    unknown = [d for d in both if d not in dims]
    lost = [d for d in dims if d not in both]
    if unknown or lost or len(set(both)) < len(both):
        raise ValueError(
            f"sample={rows} and feature={columns} must name each of the dimensions {list(dims)} once"
        )
    if patch not in rows:
        raise ValueError(
            f"the patch dimension {patch!r} must be among the samples: sample=({patch!r}, …)"
        )
    return rows, columns


def _names(value: Any, what: str) -> list[Hashable] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Iterable):
        raise TypeError(f"{what} must be a name or a sequence of names, got {value!r}")
    return list(value)


def unflatten(matrix: xr.DataArray, patches: Any = None) -> xr.DataArray:
    """Undo `flatten`: give rows their dimensions back, and columns if there are as many.

    Parameters
    ----------
    matrix : DataArray
        What `flatten` gave, or an array like it with other columns: with ``feature`` of another size, or
        another dimension in its place, or none (one value a sample).
    patches : DataArray or Dataset, optional
        The patches that were flattened. Needed for lists of members, and for patches of which some
        were left out before; of others the recipe in the labels of patches says enough.

    Returns
    -------
    DataArray
        Patches, with their index.

    Raises
    ------
    ValueError
        If rows were left out or moved.

    Examples
    --------
    >>> field = xr.DataArray(np.arange(24.0).reshape(4, 6), dims=("y", "x"))
    >>> patches = field.patch.split(geometry={"y": 2, "x": 3})
    >>> matrix = patches.patch.flatten()
    >>> matrix.shape, matrix.patch.unflatten().sizes
    ((4, 6), Frozen({'patch': 4, 'y': 2, 'x': 3}))
    """
    text = matrix.attrs.get(SHAPE)
    if text is None or SAMPLE not in matrix.dims:
        raise ValueError(
            "unflatten takes what patches.patch.flatten(…) gave, with its attributes; of an array of numbers make "
            "matrix.copy(data=…), or matrix.isel(feature=0, drop=True).copy(data=…) for one value a sample"
        )
    rows, columns = ast.literal_eval(text)
    _check_order(matrix, SAMPLE, math.prod(n for _, n in rows), "rows")
    if matrix.sizes.get(FEATURE) == math.prod(n for _, n in columns):
        _check_order(matrix, FEATURE, matrix.sizes[FEATURE], "columns")
    bare = _reshaped(matrix, rows, columns)
    if patches is None:
        return _labeled(indexed(bare))
    patches = indexed(patches)
    index = patch_index(patches)
    if index is None:
        raise ValueError(NEVER_SPLIT)
    own = bare.coords[index.dim].values if index.dim in bare.coords else None
    if own is None or not np.array_equal(own, index.to_pandas_index()):
        raise ValueError(
            f"the rows of the matrix are not those of these patches: their labels along {index.dim!r} differ"
        )
    known = {
        n: c.variable
        for n, c in patches.coords.items()
        if {*c.dims} <= {*bare.dims} and all(bare.sizes[d] == c.sizes[d] for d in c.dims)
    }
    known.pop(index.dim, None)
    order = [d for d in patches.dims if d in bare.dims]
    out = bare.transpose(*order, *(d for d in bare.dims if d not in order))
    found: xr.DataArray = with_indexes_of(patches, out.assign_coords(known))
    return found


def _check_order(matrix: xr.DataArray, d: Hashable, count: int, what: str) -> None:
    """Raise a ValueError if rows or columns were left out or moved."""
    if matrix.sizes[d] != count:
        raise ValueError(
            f"the matrix has {matrix.sizes[d]} {what}, and was made of {count}; keep all {what}, or put the results "
            "into a matrix of all: matrix.copy(data=…)"
        )
    if d in matrix.coords and not np.array_equal(matrix.coords[d].values, np.arange(count)):
        raise ValueError(
            f"the {what} of the matrix were moved: {d!r} does not count from 0; matrix.sortby({d!r}) undoes it"
        )


def _reshaped(matrix: xr.DataArray, rows: Any, columns: Any) -> xr.DataArray:
    """Give rows and columns their dimensions, and samples and features their labels."""
    own = dict(map(tuple, rows))
    others = [d for d in matrix.dims if d != SAMPLE]
    values = matrix.variable.transpose(SAMPLE, *others)
    sizes: dict[Hashable, int] = {**own}
    sides: dict[Hashable, dict[Hashable, int]] = {SAMPLE: own}
    for d in others:
        whole = d == FEATURE and math.prod(n for _, n in columns) == matrix.sizes[d]
        sides |= {d: dict(map(tuple, columns))} if whole else {}
        sizes |= sides.get(d, {d: matrix.sizes[d]})
    attrs = {n: v for n, v in matrix.attrs.items() if n != SHAPE}
    out = Variable(list(sizes), values.data.reshape(list(sizes.values())), attrs)
    coords: dict[Hashable, Variable] = {}
    for name, coord in matrix.coords.items():
        if name in sides:
            continue
        if coord.dims and coord.dims[0] in sides and coord.ndim == 1:
            side = sides[coord.dims[0]]
            full = Variable(list(side), coord.values.reshape(list(side.values())), coord.attrs)
            coords[name] = _without_repeats(full, {name})
        elif not coord.ndim or {*coord.dims} <= {*sizes}:
            coords[name] = coord.variable
    return xr.DataArray(out, coords, name=matrix.name)


def _without_repeats(variable: Variable, kept: set[Hashable]) -> Variable:
    """Leave dimensions out along which values are all the same."""
    for d in variable.dims:
        if variable.ndim > 1 and d not in kept:
            first = variable.isel({d: slice(0, 1)})
            if bool((variable.values == first.values).all()):
                variable = variable.isel({d: 0})
    return variable


def _labeled(patches: xr.DataArray) -> xr.DataArray:
    """Give patches the labels of their cells, as their index knows them."""
    index = patch_index(patches)
    if index is None:
        raise ValueError(NEVER_SPLIT)
    found = {}
    for plan in index.plans:
        boxed = plan.boxed
        for d in () if boxed is None else boxed.dims:
            whole = patches.sizes.get(d) == plan.inner[d] and not plan.hood.coarse
            if boxed is not None and whole and plan.domain.coordinate(d) is not None:
                attrs = plan.domain.template.coords[d].attrs
                found[d] = label_variable(d, attrs, boxed, index.dim, index.ordinals)
    known = (d for p in index.plans for d in p.domain.dims)
    first = dict.fromkeys([*splits_of(patches), index.dim, *known])
    order = [d for d in first if d in patches.dims]
    out = patches.transpose(*order, *(d for d in patches.dims if d not in order))
    return out.assign_coords(found)
