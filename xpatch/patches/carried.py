"""Variables that lie on no cut dimension: they are the same for all patches, and come back as they were."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain.nodata import nodata_of
from xpatch.engine.nodata import Nodata, filling
from xpatch.neighborhood import Neighborhood
from xpatch.patches.reduction import Reduction
from xpatch.patches.weights import Weights

CELL = "__cell__"  # of a patch, the only one


def carried(variable: Variable, name: Hashable, dim: Hashable, present: Any = None) -> Variable:
    """Give what all patches have alike, but for missing values.

    Of dask it is found out when it is computed, because to look would run the model.

    Raises
    ------
    ValueError
        If patches differ.
    """
    if dim not in variable.dims:
        return variable
    variable = variable.transpose(dim, ...)
    data: Any = variable.data if variable.chunks is not None else variable.to_numpy()
    nodata = nodata_of(variable)
    empty, null = _missing(variable.dtype, nodata)
    if present is not None:  # rows of patches that failed hold anything
        rows = present.reshape(-1, *(1,) * (variable.ndim - 1))
        data = np.where(rows, data.astype(empty), null)
    if not len(data):
        return Variable(variable.dims[1:], np.full(data.shape[1:], null, empty), variable.attrs)
    if variable.chunks is None:
        found = common(data, 0, name=name, nodata=nodata)
        return Variable(variable.dims[1:], found, variable.attrs)
    import dask.array as da

    every = partial(common, name=name, nodata=nodata)
    found = da.reduction(data, every, every, axis=0, dtype=data.dtype, concatenate=True)
    return Variable(variable.dims[1:], found, variable.attrs)


def common(
    values: NDArray[Any],
    axis: Any = 0,
    keepdims: bool = False,
    *,
    name: Hashable = None,
    nodata: Nodata | None = None,
) -> NDArray[Any]:
    """Give the one value along the first axis that is not missing.

    Raises
    ------
    ValueError
        If there are several.
    """
    if not len(values):  # dask looks what becomes of nothing
        return np.zeros((1,) * keepdims + values.shape[1:], values.dtype)
    known = ~pd.isnull(values)
    if nodata is not None:
        known &= ~nodata.where(values)
    first = np.take_along_axis(values, known.argmax(0)[None], 0)
    if (known & (values != first)).any():
        raise ValueError(
            f"{name!r} lies on no cut dimension, so that it must be the same for all patches, but they "
            f"differ; as one value per patch it needs a name that the field does not have, "
            f"patches.rename({{{name!r}: …}}), and drop_vars({name!r}) leaves it out"
        )
    return first if keepdims else first[0]


def _missing(dtype: np.dtype, nodata: Nodata | None) -> tuple[Any, Any]:
    if dtype.kind in "OUST":
        return np.dtype(object), np.nan
    return filling(dtype, None, nodata)


def on_cells(
    variable: Variable,
    dim: Hashable,
    cells: NDArray[np.int64],
    count: int,
    aggregation: Any,
    skipna: bool,
    fill_value: Any = None,
    present: Any = None,
) -> Variable:
    """Merge patches each of which is one of ``count`` cells along ``dim``, which take their place."""
    hood = Neighborhood.boxes((dim,), (1,), (count,), (cells,), product=False)
    others = tuple(d for d in variable.dims if d != dim)
    values = variable.set_dims((CELL, *variable.dims)).transpose(dim, CELL, *others)
    weights = Weights(None, None, hood, {}, {})
    every = np.arange(len(cells))
    how = (aggregation, skipna, fill_value, nodata_of(variable))
    job = Reduction(hood, every, (0,), weights, *how)
    if variable.chunks is None:
        data = job.in_memory(values.to_numpy())
    else:
        most = max(variable.chunksizes[dim])
        blocks = (most,) * (count // most) + ((count % most,) if count % most else ())
        data = job.chunked(values.data, [blocks], present)
    return Variable((dim, *others), data, variable.attrs)
