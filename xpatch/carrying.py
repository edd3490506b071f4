"""Variables that lie on no cut dimension: they are the same for all patches, and come back as they were."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import Variable

from xpatch.engine import dtypes
from xpatch.neighborhood import Boxes
from xpatch.scattering import Job, Weights

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
    empty, null = _missing(variable.dtype)
    if present is not None:  # rows of patches that failed hold anything
        rows = present.reshape(-1, *(1,) * (variable.ndim - 1))
        data = np.where(rows, data.astype(empty), null)
    if not len(data):
        return Variable(variable.dims[1:], np.full(data.shape[1:], null, empty), variable.attrs)
    if variable.chunks is None:
        return Variable(variable.dims[1:], common(data, 0, name=name), variable.attrs)
    import dask.array as da

    every = partial(common, name=name)
    found = da.reduction(data, every, every, axis=0, dtype=data.dtype, concatenate=True)
    return Variable(variable.dims[1:], found, variable.attrs)


def common(
    values: NDArray, axis: Any = 0, keepdims: bool = False, *, name: Hashable = None
) -> NDArray:
    """Give the one value along the first axis that is not missing.

    Raises
    ------
    ValueError
        If there are several.
    """
    if not len(values):  # dask looks what becomes of nothing
        return np.zeros((1,) * keepdims + values.shape[1:], values.dtype)
    known = ~pd.isnull(values)
    first = np.take_along_axis(values, known.argmax(0)[None], 0)
    if (known & (values != first)).any():
        raise ValueError(
            f"{name!r} lies on no cut dimension, so that it must be the same for all patches, but they "
            f"differ; as one value per patch it needs a name that the field does not have, "
            f"patches.rename({{{name!r}: …}}), and drop_vars({name!r}) leaves it out"
        )
    return first if keepdims else first[0]


def _missing(dtype: np.dtype) -> tuple[Any, Any]:
    return (np.dtype(object), np.nan) if dtype.kind in "OUST" else dtypes.filled(dtype, None)


def on_cells(
    variable: Variable,
    dim: Hashable,
    cells: NDArray[np.int64],
    count: int,
    aggregation: Any,
    skipna: bool,
    fill_value: Any = np.nan,
    present: Any = None,
) -> Variable:
    """Merge patches each of which is one of ``count`` cells along ``dim``, which take their place."""
    boxes = Boxes((dim,), (1,), (count,), (cells,), False, (False,))
    others = tuple(d for d in variable.dims if d != dim)
    values = variable.set_dims((CELL, *variable.dims)).transpose(dim, CELL, *others)
    weights = Weights(None, None, boxes, {}, {})
    every = np.arange(len(cells))
    job = Job(boxes, every, (0,), weights, aggregation, skipna, fill_value)
    if variable.chunks is None:
        data = job.in_memory(values.to_numpy())
    else:
        most = max(variable.chunksizes[dim])
        blocks = (most,) * (count // most) + ((count % most,) if count % most else ())
        data = job.chunked(values.data, {0: blocks}, present)
    return Variable((dim, *others), data, variable.attrs)
