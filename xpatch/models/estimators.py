"""Fit objects that have ``fit(X, y)``: one copy for each group of patches, by duck typing."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.engine.reading import listed
from xpatch.models.attributes import variables_of
from xpatch.models.design import Design, check_positive, product, spread
from xpatch.report import Bar, PatchFailure, noted, tell


class Table(NamedTuple):
    """The samples of some patches: X (patch, sample, feature), y and weights (patch, sample)."""

    X: NDArray[Any]
    y: NDArray[Any] | None
    weights: NDArray[Any] | None

    def complete(self) -> NDArray[np.bool_]:
        """Give the patches in which nothing is missing."""
        found = ~np.isnan(self.X).any(axis=(1, 2))
        if self.y is not None and self.y.dtype.kind in "fO":
            found &= (self.y == self.y).all(axis=1)
        return found if self.weights is None else found & (self.weights > 0).all(axis=1)


def copied(model: Any) -> Any:
    """Give an estimator that has learned nothing: ``sklearn.base.clone`` of those of scikit-learn.

    Raises
    ------
    TypeError
        If it cannot be copied.
    """
    try:
        if hasattr(model, "__sklearn_clone__") or hasattr(model, "get_params"):
            from sklearn.base import clone

            return clone(model)
        return copy.deepcopy(model)
    except Exception as error:
        raise TypeError(
            f"{model!r} cannot be copied, so that all patches would share one model: {error}; give the class "
            "a __deepcopy__, or fit it with over='patch' on your own"
        ) from error


def check_model(model: Any) -> None:
    """Raise a TypeError if something has no ``fit``."""
    if isinstance(model, type):
        raise TypeError(f"model must be an object, not the class: {model.__name__}()")
    if not callable(getattr(model, "fit", None)):
        raise TypeError(
            f"model must be LeastSquares() or have fit(X, y), got {model!r}; a function of patches is run by "
            "patches.map_blocks, and fitted to the past of windows by xpatch.fit_predict"
        )


class Groups(NamedTuple):
    """Which patches share a model."""

    codes: NDArray[np.int64]  # of each patch, the number of its group
    labels: NDArray[np.int64]  # of each group, as the result labels it
    patches: NDArray[np.int64]  # the labels of patches, for messages


class How(NamedTuple):
    """What else fit was asked for."""

    over: str | None
    features: Sequence[Hashable]
    least: int
    on_error: str
    progress: bool


def estimated(
    model: Any, design: Design, groups: Groups, how: How
) -> tuple[dict[Hashable, Variable], xr.Coordinates]:
    """Give ``model`` and the numeric attributes of each group, and the coordinates of their dimensions."""
    check_model(model)
    copied(model)  # which says at once if it cannot be
    if not design.x:
        raise ValueError("name x, of which the model learns: a variable or coordinate, or several")
    parameters = inspect.signature(model.fit).parameters.values()
    takes = any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)
    if design.weights is not None and not takes:
        raise ValueError(f"{type(model).__name__}.fit takes no sample_weight, which weights= are")
    run = Run(model, groups.labels, how)
    out_of_core = not all(v._in_memory for v in design.columns)
    if how.over == "patch" and out_of_core and callable(getattr(model, "partial_fit", None)):
        _in_batches(run, design)
    elif how.over is None:
        _one_by_one(run, design, groups)
    else:
        _by_group(run, design, groups)
    run.tell()
    return variables_of(run.models, run.columns, design, how.features)


def _one_by_one(run: Run, design: Design, groups: Groups) -> None:
    """Fit a model to each patch, block by block."""
    for rows, block in design.blocks():
        table = table_of(block, run.how.features, rows.stop - rows.start)
        complete = table.complete().tolist()
        for k, at in enumerate(range(rows.start, rows.stop)):
            where = f"on patch {int(groups.patches[at])}"
            run.one(at, _rows(table, slice(k, k + 1)), where, complete[k])


def _by_group(run: Run, design: Design, groups: Groups) -> None:
    """Fit a model to each group of patches, of which all are in memory."""
    features, count = run.how.features, len(groups.labels)
    table = _joined([table_of(b, features, r.stop - r.start) for r, b in design.blocks()])
    order = np.argsort(groups.codes, kind="stable")
    ends = np.cumsum(np.bincount(groups.codes, minlength=count))[:-1]
    for k, own in enumerate(np.split(order, ends)):
        some = f"the patches {listed(groups.patches[own].tolist())}"
        run.one(k, _rows(table, own), "on all patches" if count == 1 else f"on {some}")


def _in_batches(run: Run, design: Design) -> None:
    """Let one model learn from one batch of patches after the other, each of which is read once."""
    tell(
        f"{type(run.model).__name__} learns by partial_fit, in one pass over batches of patches that are not in "
        "memory; if its fit takes several passes, load them: patches.load().patch.fit(…)"
    )
    own, seen, columns = copied(run.model), 0, None
    more: dict[str, Any] = {}
    if "classes" in inspect.signature(own.partial_fit).parameters and design.y is not None:
        only = dataclasses.replace(design, x=(), weights=None, inside=(), names=[])
        found = [np.unique(b.columns[0].to_numpy()) for _, b in only.blocks()]
        classes = np.unique(np.concatenate(found))
        more["classes"] = classes[classes == classes]
    for rows, block in design.blocks():
        table = _rows(table_of(block, run.how.features, rows.stop - rows.start), slice(None))
        if columns is None and run.how.features:  # land of the first batch
            columns = ~np.isnan(table.X).all(axis=0)
        X, y, weights = without_missing(table, columns)
        if not len(X):
            continue
        extra = more | ({} if weights is None else {"sample_weight": weights})
        with noted(f"in the patches {rows.start} to {rows.stop - 1}"):
            own.partial_fit(X, **extra) if y is None else own.partial_fit(X, y, **extra)
        seen += len(X)
    run.keep(0, own if seen >= run.how.least else None, columns)


class Run:
    """Fits one model after the other, and keeps what became of each."""

    def __init__(self, model: Any, labels: NDArray[Any], how: How):
        self.model, self.labels, self.how = model, labels, how
        self.bar = Bar(len(labels)) if how.progress else None
        self.models: NDArray[Any] = np.full(len(labels), None, object)
        self.columns: dict[int, NDArray[np.bool_]] = {}  # features that there are, of some
        self.few = 0
        self.failures: dict[int, str] = {}

    def one(self, k: int, table: Table, where: str, complete: bool = False) -> None:
        """Fit the model of one group; ``complete``: nothing is missing."""
        columns = None
        if self.how.features and not complete:  # cells that all samples lack, such as land
            columns = ~np.isnan(table.X).all(axis=0)
        X, y, weights = table if complete else without_missing(table, columns)
        if len(X) < self.how.least or not X.shape[1]:
            self.keep(k, None, None)
            return
        own = copied(self.model)
        more = {} if weights is None else {"sample_weight": weights}
        try:
            with noted(where):
                found = own.fit(X, **more) if y is None else own.fit(X, y, **more)
        except Exception as error:
            if self.how.on_error == "raise":
                raise
            self.failures[int(self.labels[k])] = f"{type(error).__name__}: {error}"
            found = None
        else:
            found = own if found is None else found
        self.keep(k, found, columns)

    def keep(self, k: int, found: Any, columns: NDArray[np.bool_] | None) -> None:
        """Keep a fitted model, without the data that some hold on to."""
        if self.bar is not None:
            self.bar(1)
        self.models[k] = found
        if found is None:
            self.few += int(self.labels[k]) not in self.failures
            return
        if columns is not None and not columns.all():
            self.columns[k] = columns
        for name, value in list(getattr(found, "__dict__", {}).items()):
            # coef_ of scikit-learn is a view of an array like y
            base = getattr(value, "base", None)
            if isinstance(base, np.ndarray) and base.nbytes > 2 * value.nbytes:
                setattr(found, name, value.copy())

    def tell(self) -> None:
        """Tell of groups that have no model.

        Raises
        ------
        ValueError
            If none has.
        """
        if not any(m is not None for m in self.models):
            first = next(iter(self.failures.values()), None)
            raise ValueError(
                "no patch has a fit: all have fewer samples without missing values than min_samples="
                f"{self.how.least}"
                if first is None
                else f"no patch has a fit, the first failed with {first}"
            )
        if self.failures:
            tell(PatchFailure(self.failures, "fit"))
        if self.few:
            tell(
                f"{self.few} of {len(self.models)} patches have no fit and are missing: they have fewer than "
                f"{self.how.least} samples without missing values"
            )


def table_of(design: Design, features: Sequence[Hashable], rows: int) -> Table:
    """Give the samples of patches in memory."""
    samples = [d for d in design.core if d not in features]
    core = {d: design.core[d] for d in (*samples, *features)}
    width = math.prod(design.core[d] for d in features)
    x = [spread(v, design.dim, rows, core) for v in design.x]
    dtype = np.result_type(*(v.dtype for v in x)) if x else np.dtype(float)
    dtype = dtype if dtype.kind == "f" else np.dtype(float)
    many = math.prod(design.core[d] for d in samples)
    table = np.empty((rows, many, width, len(x)), dtype)
    for k, values in enumerate(x):
        table[..., k].reshape(values.shape)[...] = values
    inside = product(design.inside, design.dim, rows, core)
    if inside is not None:
        table[~inside.astype(bool).reshape(table.shape[:3])] = np.nan
    own = {d: design.core[d] for d in samples}
    y = None if design.y is None else _of_samples(design, design.y, own, rows, "y")
    weights = None
    if design.weights is not None:
        weights = check_positive(_of_samples(design, design.weights, own, rows, "weights"))
    return Table(table.reshape(rows, many, width * len(x)), y, weights)


def _of_samples(
    design: Design, variable: Variable, samples: dict[Hashable, int], rows: int, what: str
) -> NDArray[Any]:
    """Give one value a sample."""
    more = [d for d in variable.dims if d != design.dim and d not in samples]
    if more:
        raise ValueError(
            f"{what} lies along {more[0]!r}, which features= make part of a sample, so that it has not one "
            f"value a sample; average it over {more[0]!r}"
        )
    return spread(variable, design.dim, rows, samples).reshape(rows, -1)


def _joined(tables: list[Table]) -> Table:
    if len(tables) == 1:
        return tables[0]
    X, y, weights = zip(*tables, strict=True)
    rest = (None if c[0] is None else np.concatenate(c) for c in (y, weights))
    return Table(np.concatenate(X), *rest)


def _rows(table: Table, rows: Any) -> Table:
    """Give the samples of some patches as one matrix."""
    X = table.X[rows].reshape(-1, table.X.shape[-1])
    y, weights = (None if v is None else v[rows].reshape(-1) for v in (table.y, table.weights))
    return Table(X, y, weights)


def without_missing(table: Table, columns: NDArray[np.bool_] | None) -> Table:
    """Leave samples out that are missing anywhere in some columns."""
    X, y, weights = table
    if columns is not None and not columns.all():
        X = X[:, columns]
    ok = ~np.isnan(X).any(axis=1)
    if y is not None:
        ok &= y == y if y.dtype.kind in "fO" else True
    if weights is not None:
        ok &= weights > 0
    if not ok.all():
        X, y, weights = (
            X[ok],
            None if y is None else y[ok],
            None if weights is None else weights[ok],
        )
    return Table(X, y, weights)
