"""Give bare arrays with a patch dimension the index of patches."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from xpatch.patches.index import patch_index, splits_of
from xpatch.patches.nested import with_indexes_of
from xpatch.patches.provenance import NEVER_SPLIT
from xpatch.patches.recall import indexed


def like(patches: Any, bare: Any) -> Any:
    """Give an array or Dataset that has the patch dimension the index and labels of patches.

    What a network, a library or a file gives back by position becomes patches again, which align with
    these and merge.

    Parameters
    ----------
    patches : DataArray or Dataset
        Whose index it gets.
    bare : DataArray or Dataset
        With the patch dimension, of the same size, in the same order. Labels that it has must be those
        of the patches. Coordinates of the patches whose dimensions it has come with the index.

    Returns
    -------
    DataArray or Dataset
        `bare` as patches.

    Raises
    ------
    TypeError, ValueError
        If it is no xarray object, or is of other patches.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((4, 6)), dims=("y", "x"))
    >>> patches = field.patch.split(geometry={"y": 2, "x": 3})
    >>> score = patches.patch.like(xr.DataArray(np.arange(4.0), dims="patch"))
    >>> score.patch.merge().values[0]
    array([0., 0., 0., 1., 1., 1.])
    """
    if not isinstance(bare, xr.DataArray | xr.Dataset):
        raise TypeError(
            f"like takes a DataArray or Dataset with the patch dimension, got {type(bare).__name__}; name the "
            'dimensions: xr.DataArray(values, dims=("patch", …))'
        )
    own = indexed(patches)
    index = patch_index(own)
    if index is None:
        raise ValueError(NEVER_SPLIT)
    dim, labels = index.dim, index.to_pandas_index()
    above = [d for d in splits_of(own) if d != dim and d in bare.dims]
    for d in above:
        _check_labels(bare, d, own.coords[d].values)
    if dim not in bare.dims:
        raise ValueError(
            f"like takes what has {len(labels)} patches along {dim!r}, got {dict(bare.sizes)}"
        )
    given = patch_index(bare)
    if given is not None and not given._same_anchors(index):
        raise ValueError("these are patches of another split already, which lie elsewhere")
    _check_labels(bare, dim, labels)
    names = {*bare.coords, *(bare.data_vars if isinstance(bare, xr.Dataset) else ())}
    known = {
        n: c.variable
        for n, c in own.coords.items()
        if n not in names
        and {dim, *above} & {*c.dims}
        and n not in (dim, *above)
        and all(bare.sizes.get(d) == k for d, k in c.sizes.items())
    }
    labeled = {d: own.coords[d].variable for d in (dim, *above)}
    return with_indexes_of(own, bare.assign_coords(known).assign_coords(labeled))


def _check_labels(bare: Any, dim: Hashable, labels: Any) -> None:
    """Raise a ValueError if labels are there, and others than those of the patches."""
    if bare.sizes[dim] != len(labels):
        raise ValueError(
            f"like takes what has {len(labels)} patches along {dim!r}, got {dict(bare.sizes)}; of fewer patches "
            "select the same first, patches.isel(…)"
        )
    if dim in bare.coords and not np.array_equal(bare.coords[dim].values, labels):
        raise ValueError(
            f"the labels along {dim!r} are not those of the patches, or in another order: "
            f"bare.sel({dim}=patches[{dim!r}]) puts them in order, drop_vars({dim!r}) goes by position"
        )
