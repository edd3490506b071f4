"""The words of merge: which missing values are left out, what fills cells, how much finer patches are."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xpatch.domain.axes import NOT_SPATIAL
from xpatch.patches.plan import Plan
from xpatch.spec import check_flag, is_integer

Scale = int | Mapping[Hashable, int] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Options:
    """What merge was asked for, beside the aggregation; see `xpatch.merge`."""

    like: Any = None
    skipna: bool | None = None
    fill_value: Any = None
    scale: Scale = None


def check_words(skipna: Any, fill_value: Any, scale: Any) -> None:
    """Raise unless these are words that merge knows, whatever the patches are."""
    if skipna is not None:
        check_flag(skipna, "skipna", " (or None: skip where the dtype can hold missing values)")
    if isinstance(fill_value, Mapping | xr.Dataset):
        raise TypeError(
            f"fill_value must be one value for all variables, got {fill_value!r}; merge them one by "
            "one: patches[name].patch.merge(fill_value=…)"
        )
    if isinstance(fill_value, list | tuple) or np.ndim(fill_value):
        raise TypeError(
            "fill_value must be one value for all cells that no patch covers, got "
            f"{type(fill_value).__name__} of shape {_shape(fill_value)}; to take others from a field, "
            "merge and then merged.fillna(field)"
        )
    if scale is not None and not isinstance(scale, Mapping):
        if not is_integer(scale):
            raise TypeError(
                "scale must be an int, by which patches are finer along all dimensions in space, or a "
                f"mapping such as {{'y': 2, 'x': 2}}, got {scale!r}"
            )
        _check_factor(scale, "scale")


def _shape(value: Any) -> Any:
    return (len(value),) if isinstance(value, list | tuple) else np.shape(value)


def _check_factor(factor: Any, what: str) -> None:
    if not is_integer(factor) or factor < 1:
        raise ValueError(f"{what} must be an int of at least 1, got {factor!r}")


def factors(scale: Scale, plan: Plan) -> dict[Hashable, int]:
    """Give by how much patches are finer along each dimension.

    Raises
    ------
    KeyError
        If a mapping names a dimension that was not cut.
    ValueError
        If a factor is no int of at least 1, or a number is given where nothing was cut in space.
    """
    if scale is None:
        return {}
    if isinstance(scale, Mapping):
        for d, factor in scale.items():
            if d not in plan.dims:
                raise KeyError(
                    f"scale names dimension {d!r}, but the patches were cut along {list(plan.dims)}"
                )
            _check_factor(factor, f"scale along {d!r}")
        return {d: int(f) for d, f in scale.items()}
    _check_factor(scale, "scale")
    dims = dims_in_space(plan)
    if scale > 1 and not dims:
        raise ValueError(
            f"scale={scale} is along the sides of boxes in space, and these patches were cut along "
            f"{list(plan.dims)} otherwise: name the dimensions, scale={{dim: {scale}}}"
        )
    return {d: int(scale) for d in dims if scale > 1}


def dims_in_space(plan: Plan) -> tuple[Hashable, ...]:
    """Give the dimensions that boxes were cut along, but for time and those such as bands."""
    if plan.boxed is None:
        return ()
    roles, timed = plan.domain.roles, plan.hood.time_dims
    return tuple(
        d
        for d in plan.boxed.dims
        if d not in timed and roles.get(d) != "T" and str(d).lower() not in NOT_SPATIAL
    )
