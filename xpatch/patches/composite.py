"""Aggregations that are made of others: votes, inverse variance, learned models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.aggregation import Aggregation, InvVarWeightedMean, SoftVote, Sum, WeightedSum
from xpatch.domain.nodata import masked, nodata_of, refilled, valid, without_nodata
from xpatch.engine import dtypes
from xpatch.engine.buffers import THREADED_BYTES, available_threads, in_threads
from xpatch.engine.nodata import Nodata, filling
from xpatch.engine.stacked import Modeled
from xpatch.window import Squared

BLOCK_BYTES = 1 << 19  # of patches that are weighted at a time
Merged = Callable[[Variable, Hashable, Aggregation], Variable]  # merges one variable


def most_probable(
    probability: xr.DataArray, vote: SoftVote, fill_value: Any, covered: bool = False
) -> Any:
    """Take the most probable class of merged probabilities.

    ``covered`` says of dask that patches cover every cell, so that labels need not hold what is missing.
    """
    dim: Any = vote.dim
    if dim not in probability.dims:
        raise ValueError(
            f"SoftVote averages probabilities along the class dimension {dim!r}, which the patches "
            f"do not have; their other dimensions are {list(probability.dims)}: SoftVote(dim=…)"
        )
    best, known = _largest(probability, dim)
    names = _classes(probability, dim)
    nodata = nodata_of(Variable((dim,), names, probability.attrs))
    if nodata is not None and nodata.where(names).any():
        nodata = None  # a class has that number
    dtype, value = _lacking(names.dtype, fill_value, nodata)
    lazy = known.chunks is not None
    settled = lazy and covered and fill_value is None and dtype != names.dtype
    labels = xr.apply_ufunc(
        partial(_named, names, settled),
        best,
        known,
        dask="parallelized",
        output_dtypes=[names.dtype],
    )
    if not settled and (lazy or not bool(known.all())):
        labels = labels.astype(dtype).where(known, value)
    labels.attrs = probability.attrs if nodata is not None else without_nodata(probability.attrs)
    labels = labels.rename(probability.name)
    if not vote.keep_probabilities:
        return labels
    number = None if isinstance(fill_value, str) else fill_value
    filled = refilled(masked(probability), probability, number)
    return xr.Dataset({"label": labels, "probability": filled})


def _classes(probability: xr.DataArray, dim: Any) -> NDArray[Any]:
    """Give the labels of the classes; without any their positions."""
    if dim not in probability.coords:
        return np.arange(probability.sizes[dim], dtype=np.int64)
    names: NDArray[Any] = probability.coords[dim].values
    return names


def _lacking(dtype: np.dtype, fill_value: Any, nodata: Nodata | None) -> tuple[np.dtype, Any]:
    """Give the dtype that also holds labels that are missing, and what these are."""
    asked = fill_value is not None and fill_value == fill_value
    if dtype.kind in "UTO" and not asked:  # as in xarray, text with missing values is objects
        return np.dtype(object), np.nan
    return (dtype, fill_value) if dtype.kind == "O" else filling(dtype, fill_value, nodata)


def _named(
    names: NDArray[Any], settled: bool, best: NDArray[Any], known: NDArray[np.bool_]
) -> NDArray[Any]:
    """Give the labels of the most probable classes; if all are ``settled`` none may be missing."""
    if settled and not known.all():
        raise ValueError(
            "some cells have missing probabilities, and labels of patches that cover the whole field, which are read "
            f"later, are {names.dtype}, which cannot be missing; say what they hold there, fill_value=255 of apply or "
            "merge: a value of that dtype, or np.nan for floats"
        )
    return np.asarray(names[best])


def _largest(probability: xr.DataArray, dim: Any) -> tuple[xr.DataArray, xr.DataArray]:
    """Give the place of the largest value along a dimension, and whether none is missing."""
    if probability.chunks is not None or nodata_of(probability) is not None:
        known = valid(probability).all(dim)
        return probability.where(known, -np.inf).argmax(dim), known

    out: tuple[list[Hashable], ...] = ([], [])
    found: tuple[xr.DataArray, xr.DataArray] = xr.apply_ufunc(
        _places, probability, input_core_dims=[[dim]], output_core_dims=out
    )
    return found


def _places(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the place of the largest value along the last axis, and whether none is missing.

    Few classes and many cells: argmax would walk over each cell alone.
    """
    shape, classes = values.shape[:-1], range(1, values.shape[-1])
    best = np.zeros(shape, np.uint8 if len(classes) < 256 else np.intp)
    known = np.ones(shape, bool)
    for rows in _blocks(values):
        top = values[(*rows, 0)].copy()
        own = top == top
        for k in classes:
            value = values[(*rows, k)]
            own &= value == value
            np.copyto(best[rows], k, where=value > top, casting="unsafe")
            np.fmax(top, value, out=top)
        known[rows] = own
    return best, known


def _blocks(values: NDArray[Any]) -> Iterator[tuple[Any, ...]]:
    """Cut rows of an array into blocks that are small enough to stay at hand between steps."""
    n = len(values) if values.ndim else 0
    step = max(1, BLOCK_BYTES * n // max(1, values.nbytes))
    for low in range(0, n, step):
        yield slice(low, low + step), ...
    if not values.ndim:
        yield (...,)


def most_probable_each(
    merged: xr.Dataset,
    names: list[Hashable],
    vote: SoftVote,
    fill_value: Any,
    covered: Collection[Hashable] = (),
) -> xr.Dataset:
    """Take the most probable class of some variables; probabilities get names of their own."""
    out: dict[Hashable, xr.DataArray] = {}
    for name in names:
        best = most_probable(merged[name], vote, fill_value, name in covered)
        if not vote.keep_probabilities:
            out[name] = best
            continue
        kept = f"{name}_probability"
        if kept in merged.variables:
            raise ValueError(
                f"SoftVote(keep_probabilities=True) names the probabilities of {name!r} {kept!r}, "
                "but the patches have that already; rename it first"
            )
        out |= {name: best["label"], kept: best["probability"]}
    voted = merged.assign(out)
    if any(vote.dim in v.dims for v in voted.data_vars.values()):
        return voted
    return voted.drop_vars([n for n, c in voted.coords.items() if vote.dim in c.dims])


def inverse_variance(
    patches: xr.DataArray | xr.Dataset,
    aggregation: InvVarWeightedMean,
    merged: Merged,
    fill_value: Any,
) -> xr.Dataset:
    """Merge a Dataset of mean and variance; other variables are left out of the result.

    Raises
    ------
    TypeError
        If it is a DataArray.
    KeyError
        If mean or variance is missing.
    ValueError
        If a variance is not positive.
    """
    names = mean_name, variance_name = aggregation.variables
    if isinstance(patches, xr.DataArray):
        raise TypeError(
            "InvVarWeightedMean needs a Dataset with variables "
            f"{mean_name!r} and {variance_name!r}, got a DataArray"
        )
    for name in names:
        if name not in patches:
            raise KeyError(
                f"InvVarWeightedMean needs variables {mean_name!r} and {variance_name!r}; {name!r} is "
                f"missing among {list(patches.data_vars)}"
            )
    given = [patches[name] for name in names]
    known = mean, variance = [masked(v) for v in given]
    own = np.result_type(dtypes.average(mean.dtype), dtypes.average(variance.dtype))
    both = np.result_type(own, np.complex64)
    own = np.empty(0, both).real.dtype
    pairs = xr.apply_ufunc(_weighted, mean, variance, dask="parallelized", output_dtypes=[both])
    pairs = pairs.transpose(*mean.dims)
    window = aggregation.window
    sums = [merged(pairs.variable, mean_name, Sum() if window is None else WeightedSum(window))]
    if window is not None:
        meta = {"meta": np.empty((0,) * pairs.ndim, own)}
        precision = xr.apply_ufunc(_precision, pairs, dask="parallelized", dask_gufunc_kwargs=meta)
        sums.append(merged(precision.variable, mean_name, WeightedSum(Squared(window))))
    found = xr.apply_ufunc(
        _apart,
        *sums,
        output_core_dims=((), ()),
        dask="parallelized",
        dask_gufunc_kwargs={"meta": (np.empty((0,) * sums[0].ndim, own),) * 2},
    )
    parts = {}
    for name, out, one, source in zip(names, found, known, given, strict=True):
        out.attrs = one.attrs
        parts[name] = refilled(out, source, fill_value)
    return xr.Dataset(parts, attrs=patches.attrs)


def _weighted(mean: NDArray[Any], variance: NDArray[Any]) -> NDArray[Any]:
    """Give the mean times its precision, and the precision, as one complex number.

    So both are added up in one go, and are missing together.
    """
    mean, variance = np.broadcast_arrays(mean, variance)
    real = np.result_type(dtypes.average(mean.dtype), dtypes.average(variance.dtype))
    out = np.empty(mean.shape, np.result_type(real, np.complex64))

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")  # which threads do not inherit
    def weigh(blocks: list[Any]) -> None:
        for rows in blocks:  # each is read once
            block = np.asarray(variance[rows])
            if block.size and not block.min() > 0 and (block <= 0).any():  # NaN is a missing one
                raise ValueError(
                    f"InvVarWeightedMean needs positive variances, got {np.nanmin(variance)}; "
                    "add the noise variance (a nugget) before merging"
                )
            precision = np.divide(1, block, dtype=out.real.dtype)
            out.imag[rows] = precision
            np.multiply(mean[rows], precision, out=precision, casting="unsafe")
            out.real[rows] = precision

    threads = available_threads() if out.nbytes >= THREADED_BYTES else 1
    in_threads(weigh, list(_blocks(out)), threads)
    return out


def _precision(pairs: NDArray[Any]) -> NDArray[Any]:
    """Give precisions, missing where the mean is."""
    return np.where(np.isnan(pairs.real), pairs.dtype.type(np.nan).real, pairs.imag)


def _apart(
    total: NDArray[Any], squared: NDArray[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the mean and its variance, of the sums of weighted means and of precisions.

    ``squared`` is the sum of precisions times squared weights; None: all weights are one.
    """
    mean, variance = (
        np.empty(total.shape, total.real.dtype),
        np.empty(total.shape, total.real.dtype),
    )
    with np.errstate(invalid="ignore", divide="ignore"):  # of cells that nothing covers
        for rows in _blocks(total):
            weighted, precision = total.real[rows].copy(), total.imag[rows].copy()
            null = np.isnan(weighted) | np.isnan(precision)
            np.copyto(precision, np.nan, where=null)
            np.divide(weighted, precision, out=mean[rows])
            np.divide(1, precision, out=variance[rows])
            if squared is not None:
                variance[rows] *= squared[rows] / precision
    return mean, variance


def fitted_model(
    spec: Any,
    reducer: Modeled,
    shape: tuple[int, ...],
    run: Callable[[Modeled], Any],
    target: NDArray[Any] | None,
) -> Modeled:
    """Fit the estimator of `Learned` on a sample of cells and give the reducer that predicts.

    ``run`` shows all contributions to a reducer; ``shape`` is that of the cells, ``target`` the field
    that is fitted to.
    """
    if not spec.fits:
        return reducer
    rng = np.random.default_rng(spec.seed)
    share = min(1.0, spec.max_samples / (int(np.prod(shape)) or 1))
    seen: list[tuple[NDArray[Any], NDArray[Any]]] = []
    truth: list[NDArray[Any]] = []

    def collect(
        values: NDArray[Any], offsets: NDArray[Any], where: tuple[Any, ...], cells: NDArray[Any]
    ) -> None:
        wanted = np.nanmean(values, axis=0) if target is None else target[where][cells]
        keep = (rng.random(len(wanted)) < share) & ~np.isnan(wanted)
        seen.append((values[:, keep], offsets[:, :, keep]))
        truth.append(wanted[keep])

    run(reducer.again(spec.model, collect))
    width = max((len(values) * (1 + len(offsets)) for values, offsets in seen), default=0)
    rows = [stack_features(*_widened(values, offsets, width)) for values, offsets in seen]
    if not sum(map(len, rows)):
        raise ValueError("Learned has no cell to fit on: all contributions or targets are missing")
    model = spec.model
    model.fit(np.concatenate(rows), np.concatenate(truth))

    def predict(values: NDArray[Any], offsets: NDArray[Any]) -> NDArray[Any]:
        features = stack_features(*_widened(values, offsets, width))
        return np.asarray(model.predict(features)).reshape(-1)

    return reducer.again(predict)


def stack_features(values: NDArray[Any], offsets: NDArray[Any]) -> NDArray[np.float64]:
    """Lay contributions (slot, cell) and offsets (dim, slot, cell) out as rows of features."""
    far = np.abs(offsets).max(axis=0)
    order = np.argsort(far, axis=0, kind="stable")  # NaN, an empty slot, comes last
    values = np.take_along_axis(values, order, 0)
    offsets = np.take_along_axis(offsets, order[None], 1)
    empty = np.isnan(values)
    mean = np.where(empty, 0, values).sum(0) / np.maximum((~empty).sum(0), 1)
    values = np.where(empty, mean, values)
    offsets = np.where(np.isnan(offsets), 1.0, offsets)
    return np.concatenate([values, *offsets]).T


def _widened(
    values: NDArray[Any], offsets: NDArray[Any], width: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Add empty slots, so that every part of the field has as many features as were fitted."""
    missing = width // (1 + len(offsets)) - len(values)
    if missing <= 0:
        return values, offsets
    values = np.pad(values, [(0, missing), (0, 0)], constant_values=np.nan)
    return values, np.pad(offsets, [(0, 0), (0, missing), (0, 0)], constant_values=np.nan)
