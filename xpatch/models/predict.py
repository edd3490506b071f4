"""Predict with fitted parameters: on patches (local), or merged to parameters of the field (global)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.aggregation import as_aggregation
from xpatch.domain.nodata import masked
from xpatch.models.cells import check_cells
from xpatch.models.design import as_patches, design_of, spread
from xpatch.models.estimators import table_of
from xpatch.models.least_squares import INTERCEPT
from xpatch.models.merge import merge_both
from xpatch.models.parts import part_of
from xpatch.patches.arguments import Options
from xpatch.patches.index import PatchIndex, patch_index, whole_of
from xpatch.patches.merge import Merge, resolved
from xpatch.patches.provenance import Provenance
from xpatch.patches.recall import indexed
from xpatch.patches.record import run
from xpatch.patches.sides import is_product
from xpatch.report import noted

__all__ = ["predict"]


def predict(theta: Any, obj: Any, aggregation: Any = None) -> xr.DataArray:
    """Predict with the parameters that `fit` or `pool` gave.

    Parameters
    ----------
    theta : Dataset
        The parameters.
    obj : DataArray or Dataset
        Patches, which are predicted each by its own parameters: the local prediction, to be merged. Or
        a field: the parameters are merged, and evaluated on it: the global prediction. For linear
        models and aggregations both are the same, where each place has as many windows.
    aggregation : Aggregation or str, optional
        How parameters are merged on a field: a linear one, or one that picks a patch by its place, such as
        "most_central". Default: that of the split.

    Returns
    -------
    DataArray
        Named y. Of patches with their dimensions, coordinates and index; of a field NaN where no patch
        with parameters covers it.

    Raises
    ------
    KeyError
        If `obj` lacks a variable that is one of the terms.
    TypeError, ValueError
        If the parameters are those of another split, or cannot be evaluated or merged so.

    Examples
    --------
    >>> field = xr.Dataset(
    ...     {"x": ("i", np.arange(12.0)), "t": ("i", np.arange(12.0) ** 2)}
    ... )
    >>> patches = field.patch.split(geometry={"i": 6}, sampler=xpatch.RegularStride(3))
    >>> theta = patches.patch.fit(xpatch.LeastSquares(), y="t", x="x")
    >>> local = theta.patch.predict(patches).patch.merge()
    >>> bool(np.allclose(local, theta.patch.predict(field)))
    True
    """
    known = isinstance(theta, xr.Dataset) and (
        "model" in theta.data_vars or ("coef" in theta.data_vars and "term" in theta["coef"].dims)
    )
    if not known or (isinstance(theta, xr.Dataset) and "x" not in theta.attrs):
        raise TypeError(
            "predict is asked of the parameters that fit gives, with their attributes, theta = patches.patch.fit(…): "
            "theta.patch.predict(obj); of others evaluate the model on the patches, which align with them"
        )
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        raise TypeError(f"predict takes patches or a field, got {type(obj).__name__}")
    theta = indexed(theta)
    index = patch_index(theta)
    black_box = "coef" not in theta or "term" not in theta["coef"].dims
    dim = index.dim if index is not None else "patch"
    if dim in obj.dims:
        return _on_patches(theta, index, obj, aggregation, black_box)
    if index is None:
        if aggregation is not None:
            raise ValueError(
                "these parameters are the same everywhere and are not merged: leave aggregation out"
            )
        data = _as_dataset(obj)
        return _by_object(theta, data) if black_box else _linear(theta["coef"], data, theta)
    if black_box:
        raise ValueError(
            "a model of each patch cannot be merged, only its predictions: evaluate on patches, then merge, "
            "theta.patch.predict(patches).patch.merge(); parameters of LeastSquares can be"
        )
    return _on_field(theta, index, obj, aggregation)


def _on_field(theta: xr.Dataset, index: PatchIndex, obj: Any, aggregation: Any) -> xr.DataArray:
    """Merge the parameters, and evaluate them on the field."""
    source = Provenance.of(index)
    how = resolved(aggregation, source)
    each = [as_aggregation(h) for h in how] if isinstance(how, tuple | list) else [how]
    if not all((h.linear or h.by_place) and h.preprocess is None for h in each):
        raise ValueError(
            f"{how!r} is not linear, so that a merge of parameters would not be one of predictions; predict on "
            "the patches and merge these, or name a linear one, predict(field, 'mean'), or one that picks a "
            "patch by its place, 'most_central'"
        )
    data = _as_dataset(obj)
    _check_labels(index, theta)
    coef = _merged(theta, source, how)
    shared = [d for d in coef.dims if d in data.dims]
    lacking = [d for d in coef.dims if d not in data.dims and d != "term"]
    if lacking:
        raise ValueError(
            f"the parameters lie along {lacking[0]!r}, which this field has not: it has {list(data.dims)}; predict "
            "on the field that was split, or on one with its cells"
        )
    check_cells(source.plans[0], data, shared)
    return _as_split(_linear(coef, data, theta), source, theta)


def _as_split(found: xr.DataArray, source: Provenance, theta: xr.Dataset) -> xr.DataArray:
    """Put the dimensions in the order that y had when it was split."""
    orders = {str(n): dims for n, dims in source.plans[0].domain.orders.items()}
    known = orders.get(str(theta.attrs.get("y"))) or orders.get("None") or ()
    own = [d for d in known if d in found.dims]
    return found.transpose(*own, ...) if len(own) == found.ndim else found


def _merged(theta: xr.Dataset, source: Provenance, how: Any) -> xr.DataArray:
    """Merge the coefficients."""
    others: list[Any] = [n for n in theta.data_vars if n != "coef"]
    kept, options = theta.drop_vars(others), Options(None, None, None, None)
    if isinstance(how, tuple | list):
        found = merge_both(kept, source, how, options)
    else:
        found = run(Merge(kept, source, how, options))
    coef: xr.DataArray = found["coef"]
    return coef


def _check_labels(index: PatchIndex, theta: xr.Dataset) -> None:
    """Raise a ValueError if an x is a label that goes on past the edge in patches, but not on the field."""
    names = {str(n) for n in theta["term"].values}
    for plan in index.plans:
        for part in plan.hood.slices:
            if part.wrap and str(part.dim) in names:
                raise ValueError(
                    f"the term {part.dim!r} is the label of a dimension that wraps: in patches across the seam it "
                    "goes on, 360, 362, and on the field it begins again, where parameters of these patches mean "
                    "something else; predict on the patches and merge these"
                )


def _on_patches(
    theta: xr.Dataset,
    index: PatchIndex | None,
    obj: Any,
    aggregation: Any,
    black_box: bool,
) -> xr.DataArray:
    """Evaluate on each patch."""
    if aggregation is not None:
        raise ValueError(
            "on patches nothing is merged yet: theta.patch.predict(patches).patch.merge(aggregation)"
        )
    patches, own = as_patches(obj, "predict")
    if index is None:
        if black_box:
            return _by_object(theta, patches, own)
        return _linear(theta["coef"], patches, theta, own)
    rows = _rows_of(index, own)
    if black_box:
        return _by_object(theta, patches, own, rows)
    if not np.array_equal(rows, np.arange(len(index.ordinals))):
        coef = theta["coef"].variable.isel({index.dim: rows})
        return _linear(xr.DataArray(coef), patches, theta, own)
    return _linear(theta["coef"], patches, theta, own)


def _rows_of(index: PatchIndex, own: PatchIndex) -> NDArray[np.intp]:
    """Find the parameters of each patch.

    Raises
    ------
    ValueError
        If these are patches of another split.
    """
    known, wanted = index.to_pandas_index(), _labels_in(index, own)
    if wanted is None:
        raise ValueError(
            "these parameters are of another split than the patches, whose anchors lie elsewhere; predict on "
            "the patches that were fitted, or on others with the same anchors: Explicit(patches)"
        )
    labels, first = np.unique(known, return_index=True)  # of repeated ones the first
    wanted = np.asarray(wanted)
    at = np.minimum(np.searchsorted(labels, wanted), max(len(labels) - 1, 0))
    lost = labels[at] != wanted if len(labels) else np.ones(len(wanted), bool)
    if lost.any():
        more = f", nor of {lost.sum() - 1} more" if lost.sum() > 1 else ""
        raise ValueError(f"there are no parameters of patch {wanted[lost][0]}{more}")
    return np.asarray(first[at], np.intp)


def _labels_in(index: PatchIndex, own: PatchIndex) -> Any:
    """Give the labels that patches have among those of parameters; None: they are of another split."""
    if index._same_anchors(own):
        return own.to_pandas_index()
    if own.mixed:
        return None
    plan = own.plans[0]
    spans = [(s.plans[0], s.first) for s in index.scenes] or [(p, 0) for p in index.plans[:1]]
    for theirs, first in spans:  # one of several scenes is as good as that scene alone
        if theirs.anchor_id == plan.anchor_id and not theirs.domain.in_other_crs(plan.domain):
            return own.ordinals + first
    for over in ("time", "space") if is_product(plan) else ():
        part = part_of(plan, own.ordinals, over)
        if spans and part.plan.anchor_id == spans[0][0].anchor_id:
            return part.codes
    return None


def _names_of(theta: xr.Dataset) -> list[str]:
    """Give the names of the x; a file may have made a list of one a text."""
    names = theta.attrs.get("x", ())
    return [names] if isinstance(names, str) else [str(n) for n in np.atleast_1d(names)]


def _as_dataset(obj: Any) -> xr.Dataset:
    if isinstance(obj, xr.Dataset):
        return obj
    return whole_of(obj) if obj.name is None else obj.to_dataset(name=obj.name)


def _known(data: xr.Dataset, name: Any) -> xr.DataArray:
    """Give one of the terms."""
    found = [n for n in data.variables if str(n) == str(name)]
    if not found:
        raise KeyError(
            f"the parameters have a term {str(name)!r}, which this object has not: it has "
            f"{[*data.data_vars, *data.coords]}"
        )
    array = data[found[0]]
    return masked(array) if array.dtype.kind in "iuf" else array


def _linear(
    coef: xr.DataArray, data: xr.Dataset, theta: xr.Dataset, index: PatchIndex | None = None
) -> xr.DataArray:
    """Sum up the terms times their coefficients, in the dims of y where there is one, else of the x."""
    parts: list[Variable] = []
    intercept = INTERCEPT not in _names_of(theta)  # a model without one may have an x of that name
    for k, name in enumerate(theta["term"].values):
        own = coef.variable.isel(term=k)
        if str(name) == INTERCEPT and intercept:
            parts.append(own)
        else:
            parts.append(_known(data, name).variable * own)
    total: Variable = sum(parts[1:], parts[0])
    y = theta.attrs.get("y")
    order = _order(data, y, parts, None if index is None else index.dim)
    sizes = {d: total.sizes[d] if d in total.dims else data.sizes[d] for d in order}
    total = total.set_dims(sizes).transpose(*order)
    total.attrs = {}
    return _named(total, data, y)


def _order(
    data: xr.Dataset, y: Any, parts: Sequence[Variable], dim: Hashable | None
) -> list[Hashable]:
    """Give the dimensions of predictions: those of y where there is one, else of the x, patches first."""
    like = next((v for n, v in data.data_vars.items() if str(n) == str(y)), None)
    first = [] if like is None else list(like.dims)
    if dim is not None and dim not in first:
        first = [dim]
    every = dict.fromkeys(d for part in sorted(parts, key=lambda v: -v.ndim) for d in part.dims)
    return [*first, *(d for d in every if d not in first)]


def _named(values: Variable, data: xr.Dataset, y: Any) -> xr.DataArray:
    """Give predictions the coordinates of what they are of, and the name of y."""
    known: xr.Dataset = data.coords.to_dataset()
    lost = [n for n, c in known.coords.items() if not {*c.dims} <= {*values.dims}]
    return xr.DataArray(values, known.drop_vars(lost).coords, name=y)


# -------------------------------------------------------------------------------- objects


def _by_object(
    theta: xr.Dataset,
    data: xr.Dataset,
    index: PatchIndex | None = None,
    rows: NDArray[Any] | None = None,
) -> xr.DataArray:
    """Let the fitted objects predict, those of patches each its own."""
    if "features" in theta.attrs:
        return _of_maps(theta, data, index, rows)
    arrays = [_known(data, n) for n in _names_of(theta)]
    y = theta.attrs.get("y")
    dim = None if index is None else index.dim
    wanted = _order(data, y, [a.variable for a in arrays], dim)
    order = wanted if dim is None else [dim, *(d for d in wanted if d != dim)]
    sizes = {d: data.sizes[d] for d in order}
    models = np.ravel(theta["model"].values)
    lead = sizes[dim] if dim is not None else 1
    core = {d: sizes[d] for d in order if d != dim}
    columns = [spread(a.variable, dim, lead, core).reshape(lead, -1) for a in arrays]
    outputs: list[Any] = [None] * lead
    for k in range(lead):
        model = models[0 if dim is None or rows is None else rows[k]]
        with noted("on the field" if index is None else f"on patch {int(index.ordinals[k])}"):
            outputs[k] = _predicted(model, [c[k] for c in columns])
    values = _stacked(outputs, columns[0].shape[1])
    out = Variable(tuple(order), values.reshape(tuple(sizes.values()))).transpose(*wanted)
    return _named(out, data, y)


def _of_maps(
    theta: xr.Dataset, data: xr.Dataset, index: PatchIndex | None, rows: NDArray[Any] | None
) -> xr.DataArray:
    """Predict one value for each sample that is a map: the features of the fit."""
    if index is None:
        raise ValueError(
            "a sample of these models is the map of a patch (features=), of which a field has none; predict on "
            "patches"
        )
    features = [str(d) for d in np.atleast_1d(theta.attrs["features"])]
    design = design_of(data, index, None, _names_of(theta), None)
    table = table_of(design, [d for d in design.core if str(d) in features], design.count)
    models = np.ravel(theta["model"].values)
    outputs: list[Any] = [None] * design.count
    for k, X in enumerate(table.X):
        model = models[0 if rows is None else rows[k]]
        known = getattr(model, "n_features_in_", X.shape[1])
        columns = slice(None) if known == X.shape[1] else ~np.isnan(X).all(axis=0)
        with noted(f"on patch {int(index.ordinals[k])}"):
            outputs[k] = _predicted(model, X[:, columns].T)
    samples = {d: n for d, n in design.core.items() if str(d) not in features}
    values = _stacked(outputs, table.X.shape[1])
    out = Variable((index.dim, *samples), values.reshape(design.count, *samples.values()))
    return _named(out, data, theta.attrs.get("y"))


def _predicted(
    model: Any, columns: Sequence[NDArray[Any]] | NDArray[Any]
) -> tuple[Any, NDArray[np.bool_]] | None:
    """Give the predictions for the samples that are complete, and which these are."""
    if model is None:
        return None
    if not callable(getattr(model, "predict", None)):
        raise TypeError(
            f"{type(model).__name__} has no predict(X); use what it has, such as the scores of a PCA, "
            "((patches - theta.mean_) * theta.components_).sum(features)"
        )
    X = np.stack(list(columns), axis=-1)
    X = X if X.dtype.kind == "f" else X.astype(float)
    there = ~np.isnan(X).any(axis=1)
    found = np.asarray(model.predict(X[there])) if there.any() else None
    if found is None:
        return None
    if found.shape[:1] != (int(there.sum()),) or found.ndim > 2 or found[:1].size != 1:
        raise ValueError(
            f"predict of {type(model).__name__} gave shape {found.shape} for {int(there.sum())} samples; one value a "
            "sample is expected"
        )
    return found.reshape(-1), there


def _stacked(outputs: list[Any], width: int) -> NDArray[Any]:
    """Put predictions together; where there are none they are missing."""
    found = [o for o in outputs if o is not None]
    dtype = np.result_type(*(o[0].dtype for o in found)) if found else np.dtype(float)
    whole = len(found) == len(outputs) and all(o[1].all() for o in found)
    if not whole and dtype.kind not in "fcOUS":
        dtype = np.dtype(float)
    empty: Any = "" if dtype.kind in "US" else np.nan
    out = np.full((len(outputs), width), 0 if dtype.kind in "biu" else empty, dtype)
    for k, output in enumerate(outputs):
        if output is not None:
            out[k, output[1]] = output[0]
    return out
