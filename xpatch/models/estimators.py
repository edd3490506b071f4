"""Fit objects that have ``fit(X, y)``: one copy for each group of patches, by duck typing."""

from __future__ import annotations

import copy
import inspect
import math
import re
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.models.design import Design, check_positive, spread
from xpatch.report import Bar, PatchFailure, noted, tell

WAY_OUT = (
    "fitted objects, which no file can hold; theta.drop_vars('model') can be written, and joblib or "
    "pickle keeps theta['model'].values"
)


PROPERTIES = ("coef_", "intercept_", "feature_importances_")  # that some compute when asked
# Attributes of scikit-learn that are not by feature, however many of them there are
OTHERS = re.compile(
    "(n_|classes|class_|explained|singular|intercept|labels|alpha|lambda|eigen|noise|weights|priors|core)"
)


class Table(NamedTuple):
    """The samples of some patches: X (patch, sample, feature), y and weights (patch, sample)."""

    X: NDArray[Any]
    y: NDArray[Any] | None
    weights: NDArray[Any] | None

    def whole(self) -> NDArray[np.bool_]:
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


def estimated(
    model: Any,
    design: Design,
    groups: tuple[NDArray[np.int64], int],
    labels: NDArray[np.int64],
    named: NDArray[np.int64],
    over: str | None,
    features: Sequence[Hashable],
    least: int,
    on_error: str,
    progress: bool,
) -> tuple[dict[Hashable, Variable], xr.Coordinates]:
    """Give ``model`` and the numeric attributes of each group, and the coordinates of their dimensions."""
    check_model(model)
    copied(model)  # which says at once if it cannot be
    takes = "sample_weight" in inspect.signature(model.fit).parameters
    if design.weights is not None and not takes:
        raise ValueError(f"{type(model).__name__}.fit takes no sample_weight, which weights= are")
    codes, count = groups
    run = Run(model, named, least, on_error, Bar(count) if progress else None)
    out_of_core = not all(v._in_memory for v in design.columns)
    if over == "patch" and out_of_core and callable(getattr(model, "partial_fit", None)):
        run.partial(design, features)
    elif over is None:
        for rows, block in design.blocks():
            table = table_of(block, features, rows.stop - rows.start)
            whole = table.whole().tolist()
            for k, at in enumerate(range(rows.start, rows.stop)):
                where = f"on patch {int(labels[at])}"
                run.one(at, _rows(table, slice(k, k + 1)), where, whole[k])
    else:
        table = _joined([table_of(b, features, r.stop - r.start) for r, b in design.blocks()])
        order = np.argsort(codes, kind="stable")
        for g, own in enumerate(
            np.split(order, np.cumsum(np.bincount(codes, minlength=count))[:-1])
        ):
            where = (
                "on all patches" if over == "patch" else f"on the patches {labels[own].tolist()}"
            )
            run.one(g, _rows(table, own), where)
    run.finish()
    return run.variables(design, features)


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


class Run:
    """Fits one model after the other, and keeps what became of each."""

    def __init__(
        self, model: Any, labels: NDArray[Any], least: int, on_error: str, bar: Bar | None
    ):
        self.model, self.least, self.on_error, self.bar = model, least, on_error, bar
        self.labels = labels  # of the groups
        self.models: NDArray[Any] = np.full(len(labels), None, object)
        self.columns: dict[
            int, NDArray[np.bool_]
        ] = {}  # features that are there, where some are not
        self.few = 0
        self.failures: dict[int, str] = {}

    def one(self, k: int, table: Table, where: str, whole: bool = False) -> None:
        """Fit the model of one group; ``whole``: nothing is missing."""
        X, y, weights, columns = (*table, None) if whole else complete(table)
        if self.bar is not None:
            self.bar(1)
        if len(X) < self.least or not X.shape[1]:
            self.few += 1
            return
        own = copied(self.model)
        more = {} if weights is None else {"sample_weight": weights}
        try:
            with noted(where):
                found = own.fit(X, **more) if y is None else own.fit(X, y, **more)
        except Exception as error:
            if self.on_error == "raise":
                raise
            self.failures[int(self.labels[k])] = f"{type(error).__name__}: {error}"
            return
        self.models[k] = own if found is None else found
        if columns is not None and not columns.all():
            self.columns[k] = columns

    def partial(self, design: Design, features: Sequence[Hashable]) -> None:
        """Fit one model batch by batch, each of which is read once."""
        own, seen = copied(self.model), 0
        more: dict[str, Any] = {}
        if "classes" in inspect.signature(own.partial_fit).parameters and design.y is not None:
            found = [np.unique(b.y.to_numpy()) for _, b in _only_y(design)]
            classes = np.unique(np.concatenate(found))
            more["classes"] = classes[classes == classes]
        for rows, block in design.blocks():
            table = table_of(block, features, rows.stop - rows.start)
            X, y, weights, _ = complete(_rows(table, slice(None)), every=True)
            if not len(X):
                continue
            extra = more | ({} if weights is None else {"sample_weight": weights})
            with noted(f"in the patches {rows.start} to {rows.stop - 1}"):
                own.partial_fit(X, **extra) if y is None else own.partial_fit(X, y, **extra)
            seen += len(X)
        if self.bar is not None:
            self.bar(1)
        self.models[0] = own if seen >= self.least else None
        self.few = int(seen < self.least)

    def finish(self) -> None:
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
                f"{self.least}"
                if first is None
                else f"no patch has a fit, the first failed with {first}"
            )
        if self.failures:
            tell(PatchFailure(self.failures, "fit"))
        if self.few:
            tell(
                f"{self.few} of {len(self.models)} patches have no fit and are missing: they have fewer than "
                f"{self.least} samples without missing values"
            )

    def variables(
        self, design: Design, features: Sequence[Hashable]
    ) -> tuple[dict[Hashable, Variable], xr.Coordinates]:
        """Give the models, and their attributes that are numbers."""
        dim = design.dim
        # xarray asks for a dtype when it writes objects, and NumPy quotes the one that it refuses
        model = Variable(dim, self.models, {"comment": WAY_OUT}, {"dtype": WAY_OUT})
        out: dict[Hashable, Variable] = {"model": model}
        fitted = [k for k, m in enumerate(self.models) if m is not None]
        names = _feature_dims(design, features)
        used = False
        for name in _numeric(self.models[fitted[0]]):
            values = [self._full(k, name, math.prod(names.values())) for k in fitted]
            if any(v is None or v.shape != values[0].shape for v in values):  # type: ignore[union-attr]
                continue
            stacked = np.stack(values)  # type: ignore[arg-type]
            if len(fitted) < len(self.models):
                stacked = stacked if stacked.dtype.kind in "fc" else stacked.astype(float)
                full = np.full((len(self.models), *stacked.shape[1:]), np.nan, stacked.dtype)
                full[fitted] = stacked
                stacked = full
            variable, of_features = _named_axes(name, dim, stacked, names)
            out[name] = variable
            used |= of_features
        coords: dict[Hashable, Any] = {}
        if used and "feature" in names:
            coords["feature"] = ("feature", design.names)
        return out, xr.Coordinates(coords)

    def _full(self, k: int, name: str, width: int) -> NDArray[Any] | None:
        """Give an attribute of a model, with NaN for features that it was not given."""
        value = _number(getattr(self.models[k], name, None))
        there = self.columns.get(k)
        if value is None or there is None or not value.ndim or value.shape[-1] != there.sum():
            return value
        out = np.full((*value.shape[:-1], width), np.nan)
        out[..., there] = value
        return out


def complete(table: Table, every: bool = False) -> tuple[Any, Any, Any, NDArray[np.bool_]]:
    """Leave samples out that are missing anywhere, and features that all samples lack (land of maps).

    ``every``: keep all features, as models that are fitted in batches need.
    """
    X, y, weights = table
    missing = np.isnan(X)
    columns = np.ones(X.shape[1], bool) if every else ~missing.all(axis=0)
    if not columns.all():
        X, missing = X[:, columns], missing[:, columns]
    ok = ~missing.any(axis=1)
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
    return X, y, weights, columns


def _only_y(design: Design) -> Iterator[tuple[slice, Any]]:
    import dataclasses

    yield from dataclasses.replace(design, x=(), weights=None, names=[]).blocks()


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


def _feature_dims(design: Design, features: Sequence[Hashable]) -> dict[Hashable, int]:
    """Give the dimensions that the features of a sample have."""
    own = {d: design.core[d] for d in features}
    return own if own and len(design.x) == 1 else {**own, "feature": len(design.x)}


def _named_axes(
    name: str, dim: Hashable, values: NDArray[Any], features: dict[Hashable, int]
) -> tuple[Variable, bool]:
    """Give an attribute the dimensions of the features, where its last axis is as long as these."""
    width, shape = math.prod(features.values()), values.shape[1:]
    of_features = bool(shape) and shape[-1] == width and not OTHERS.match(name)
    lead = shape[:-1] if of_features else shape
    dims = (dim, *(f"{name}{k}" for k in range(len(lead))), *(features if of_features else ()))
    full = (len(values), *lead, *(features.values() if of_features else ()))
    return Variable(dims, values.reshape(full)), of_features
