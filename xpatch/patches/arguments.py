"""The words of merge: which missing values are left out, what fills cells, how much finer patches are."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from xpatch.domain.axes import NOT_SPATIAL
from xpatch.patches.plan import Plan
from xpatch.spec import check_flag

Scale = float | Fraction | Mapping[Hashable, float | Fraction] | None
FINEST = 10_000  # cells of the field that one of an output may stand for


@dataclasses.dataclass(frozen=True, eq=False)
class Options:
    """What merge was asked for, beside the aggregation; see `xpatch.merge`."""

    like: Any = None
    skipna: bool | None = None
    fill_value: Any = None
    scale: Scale = None
    to: str | None = None


def check_words(skipna: Any, fill_value: Any, scale: Any, to: Any = None) -> None:
    """Raise unless these are words that merge knows, whatever the patches are."""
    if to not in (None, "anchors"):
        raise ValueError(f"to must be 'anchors', or None for the field itself, got {to!r}")
    if to is not None and scale is not None:
        raise ValueError(
            f"to={to!r} puts one value per patch, which has no scale, got scale={scale!r}"
        )
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
        if isinstance(scale, bool | np.bool_) or not isinstance(scale, Real):
            raise TypeError(
                "scale must be a number, by which patches are finer along all dimensions in space, or a "
                f"mapping such as {{'y': 2, 'x': 2}}, got {scale!r}"
            )
        factor_of(scale, "scale")


def _shape(value: Any) -> Any:
    return (len(value),) if isinstance(value, list | tuple) else np.shape(value)


def factor_of(scale: Any, what: str) -> Fraction:
    """Give by how much patches are finer, as a whole number or one over a whole number.

    Raises
    ------
    ValueError
        If it is neither.
    """
    number = isinstance(scale, Real) and not isinstance(scale, bool | np.bool_)
    if number and 0 < float(scale) < np.inf:
        found = Fraction(scale if isinstance(scale, Fraction) else float(scale))
        found = found.limit_denominator(FINEST)
        exact = abs(float(found) - float(scale)) <= 1e-9 * float(scale)
        if exact and 1 in (found.numerator, found.denominator):
            return found
    raise ValueError(
        f"{what} must be one over an int, such as 1/4, where patches are coarser than the field, or where they are "
        f"finer an int of at least 1, got {scale!r}"
    )


def factors(scale: Scale, plan: Plan) -> dict[Hashable, Fraction]:
    """Give by how much patches are finer along each dimension, as an int or one over an int.

    Raises
    ------
    KeyError
        If a mapping names a dimension that was not cut.
    ValueError
        If a factor is neither, or a number is given where nothing was cut in space.
    """
    if scale is None:
        return {}
    if isinstance(scale, Mapping):
        for d in scale:
            if d not in plan.dims:
                raise KeyError(
                    f"scale names dimension {d!r}, but the patches were cut along {list(plan.dims)}"
                )
        return {d: factor_of(f, f"scale along {d!r}") for d, f in scale.items()}
    factor = factor_of(scale, "scale")
    dims = dims_in_space(plan)
    if factor != 1 and not dims:
        raise ValueError(
            f"scale={scale} is along the sides of boxes in space, and these patches were cut along "
            f"{list(plan.dims)} otherwise: name the dimensions, scale={{dim: {scale}}}"
        )
    return {d: factor for d in dims if factor != 1}


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


def size_message(d: Hashable, size: int, known: int, got: int, scale: Fraction) -> str:
    """Say that patches of so many cells of the field came back with another size, and what may mend it."""
    fit = Fraction(got, size)
    fits = got > 0 and 1 in (fit.numerator, fit.denominator)
    mend = f"scale={{{d!r}: {fit}}}"
    if scale != 1:
        told = f"scale={{{d!r}: {scale}}} makes {known} cells along {d!r} of patches of {size}, and these have {got}"
        return f"{told}: {mend if fits else 'give the scale that they have'}"
    hint = f"crop with patches.patch.crop({d}=…) before map_blocks, or keep the labels {d!r}"
    if fits and fit != 1:
        hint += (
            f", or if the model {'refines' if fit >= 1 else 'coarsens'} the grid pass merge({mend})"
        )
    return (
        f"the patches have {got} cells along {d!r}, but were cut with {known}, and nothing says "
        f"which part these are: {hint}"
    )
