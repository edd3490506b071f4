"""Whether an array that comes along lies on the cells of a field."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray


def check_cells(array: xr.DataArray, domain: Any, dims: tuple[Hashable, ...], what: str) -> None:
    """Raise a ValueError unless an array, called ``what``, lies on the cells of the field."""
    own, name = set(array.dims), what.split()[0]
    if not own <= set(domain.sizes) or not own & set(dims) or len(own) < array.ndim:
        raise ValueError(
            f"{what} has the dimensions {list(array.dims)}; it must have some of those that are "
            f"cut, {list(dims)}, and none but those of the field, {list(domain.dims)}, each once: "
            f"rename them, {name}.rename(…), or reduce the others, {name}.all(…)"
        )
    for dim in array.dims:
        if array.sizes[dim] != domain.sizes[dim]:
            raise ValueError(
                f"{what} has {array.sizes[dim]} cells along {dim!r}, the field has "
                f"{domain.sizes[dim]}"
            )
        labels = domain.coordinate(dim) if dim in array.xindexes else None
        if labels is not None and not same_labels(labels, array[dim].to_numpy()):
            raise ValueError(
                f"{what} has other labels along {dim!r} than the field: put it on its cells, "
                f"{name}.reindex_like(field), or drop the labels if the cells are the same, "
                f"{name}.drop_vars({dim!r})"
            )


def same_labels(mine: NDArray, theirs: NDArray) -> bool:
    """Whether labels are equal, numbers to a thousandth of their distance, or the rounding of single precision."""
    if mine.dtype.kind not in "iuf" or theirs.dtype.kind not in "iuf":
        return mine.dtype.kind != theirs.dtype.kind or np.array_equal(mine, theirs)
    step = np.abs(np.diff(mine.astype(float))).min(initial=np.inf) if len(mine) > 1 else 1.0
    rounding = 1e-6 * np.abs(mine[mine == mine]).max(initial=0)
    near = max(
        1e-3 * step, min(rounding, step / 4)
    )  # of large labels the step may be less than that
    return np.allclose(mine, theirs, rtol=0, atol=near, equal_nan=True)
