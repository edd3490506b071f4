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
        for label in _labels_of(array, domain, dim):
            mine, theirs = domain.coordinate(label), array[label].to_numpy()
            if label != dim:  # cell ids, which have an index under a name of their own
                mine = domain.template[label].to_numpy()
            if mine is None or same_labels(mine, theirs):
                continue
            ordered = {mine.dtype.kind, theirs.dtype.kind} <= {*"iuf"}
            turned = ordered and same_labels(np.sort(mine), np.sort(theirs))
            said = (
                f"labels along {label!r} in another order"
                if turned
                else f"other labels along {label!r}"
            )
            raise ValueError(
                f"{what} has {said} than the field: put it on its cells, "
                f"{name}.reindex_like(field), or drop the labels if the cells are the same, "
                f"{name}.drop_vars({label!r})"
            )


def _labels_of(array: xr.DataArray, domain: Any, dim: Hashable) -> list[Hashable]:
    """Name the labels along a dimension that both have, and one of them finds cells by."""
    theirs, mine = array.coords.variables, domain.template.variables
    found = [n for n in (*array.xindexes, *domain.template.xindexes) if n != dim and n in theirs]
    found = [n for n in found if n in mine and theirs[n].dims == mine[n].dims == (dim,)]
    return list(dict.fromkeys([dim] if dim in array.xindexes else [])) + list(dict.fromkeys(found))


def same_labels(mine: NDArray, theirs: NDArray) -> bool:
    """Whether labels are equal, numbers to a thousandth of their distance, or the rounding of single precision."""
    kinds = {mine.dtype.kind, theirs.dtype.kind}
    if kinds <= {*"iu"}:  # ids of cells are larger than floats hold
        return np.array_equal(mine, theirs)
    if not kinds <= {*"iuf"}:
        return mine.dtype.kind != theirs.dtype.kind or np.array_equal(mine, theirs)
    step = np.abs(np.diff(mine.astype(float))).min(initial=np.inf) if len(mine) > 1 else 1.0
    rounding = 1e-6 * np.abs(mine[mine == mine]).max(initial=0)
    near = max(
        1e-3 * step, min(rounding, step / 4)
    )  # of large labels the step may be less than that
    return np.allclose(mine, theirs, rtol=0, atol=near, equal_nan=True)
