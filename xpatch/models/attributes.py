"""What fitted objects know, as variables: the numeric attributes whose name ends in an underscore."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.models.design import Design

WAY_OUT = (
    "fitted objects, which no file can hold; theta.drop_vars('model') can be written, and joblib or "
    "pickle keeps theta['model'].values"
)

PROPERTIES = ("coef_", "intercept_", "feature_importances_")  # that some compute when asked
# Attributes of scikit-learn whose last axis are the features; of others a length may be so by chance
BY_FEATURE = {
    *("coef_", "components_", "mean_", "means_", "var_", "vars_", "scale_", "theta_", "center_"),
    *("centers_", "cluster_centers_", "subcluster_centers_", "feature_importances_", "max_abs_"),
    *("data_min_", "data_max_", "data_range_", "min_", "support_mask_", "lambdas_", "x_mean_"),
}


def variables_of(
    models: NDArray[Any],
    columns: Mapping[int, NDArray[np.bool_]],
    design: Design,
    features: Sequence[Hashable],
) -> tuple[dict[Hashable, Variable], xr.Coordinates]:
    """Give models, and their attributes that are numbers of the same shape in all.

    ``columns``: of models that were not given all features, which they were given; others are NaN.
    """
    dim = design.dim
    # xarray asks for a dtype when it writes objects, and NumPy quotes the one that it refuses
    objects = Variable(dim, models, {"comment": WAY_OUT}, {"dtype": WAY_OUT})
    out: dict[Hashable, Variable] = {"model": objects}
    fitted = [k for k, m in enumerate(models) if m is not None]
    sizes: dict[Hashable, int] = {d: design.core[d] for d in features}
    if not sizes or len(design.x) > 1:
        sizes["feature"] = len(design.x)
    width = math.prod(sizes.values())
    for name in _numeric(models[fitted[0]]):
        values = [
            _whole(_number(getattr(models[k], name, None)), name, columns.get(k)) for k in fitted
        ]
        known = [v for v in values if v is not None]
        if len(known) == len(values) and len({v.shape for v in known}) == 1:
            full = _in_all(np.stack(known), fitted, len(models))
            by_feature = name in BY_FEATURE and full.ndim > 1 and full.shape[-1] == width
            out[name] = _named(name, dim, full, sizes if by_feature else {})
    used = any("feature" in v.dims for v in out.values())
    return out, xr.Coordinates({"feature": ("feature", design.names)} if used else {})


def _whole(
    value: NDArray[Any] | None, name: str, there: NDArray[np.bool_] | None
) -> NDArray[Any] | None:
    """Give an attribute with NaN for features that the model was not given."""
    if value is None or there is None or name not in BY_FEATURE or not value.ndim:
        return value
    if value.shape[-1] != there.sum():
        return value
    out = np.full((*value.shape[:-1], len(there)), np.nan)
    out[..., there] = value
    return out


def _in_all(values: NDArray[Any], fitted: Sequence[int], count: int) -> NDArray[Any]:
    """Give the values of all groups, NaN of those that have no model."""
    if len(fitted) == count:
        return values
    values = values if values.dtype.kind in "fc" else values.astype(float)
    out = np.full((count, *values.shape[1:]), np.nan, values.dtype)
    out[list(fitted)] = values
    return out


def _named(
    name: str, dim: Hashable, values: NDArray[Any], features: Mapping[Hashable, int]
) -> Variable:
    """Give an attribute dimensions: those of the features come last, others are numbered."""
    lead = values.shape[1:-1] if features else values.shape[1:]
    dims = (dim, *(f"{name}{k}" for k in range(len(lead))), *features)
    return Variable(dims, values.reshape(len(values), *lead, *features.values()))


def _numeric(model: Any) -> list[str]:
    """Name the attributes of a fitted model that are numbers."""
    names = [n for n in getattr(model, "__dict__", ()) if n.endswith("_") and n[0] != "_"]
    more = [n for n in PROPERTIES if n not in names and hasattr(model, n)]
    return sorted(n for n in (*names, *more) if _number(getattr(model, n, None)) is not None)


def _number(value: Any) -> NDArray[Any] | None:
    """Give a value as an array of numbers; None if it is none."""
    if not isinstance(value, bool | int | float | complex | np.ndarray | np.generic):
        return None
    out = np.asarray(value)
    return out if out.dtype.kind in "biufc" else None
