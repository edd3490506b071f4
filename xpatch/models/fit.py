"""Fit models to patches: one for each, for each place or window, or one for all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.models.design import Design, as_patches, design_of, names_of
from xpatch.models.estimators import Groups, How, estimated
from xpatch.models.least_squares import LeastSquares
from xpatch.models.parts import WORDS, coordinates, file_coordinates, part_of, unweighted
from xpatch.models.regression import regression
from xpatch.patches.index import PatchIndex, labels_of, splits_of
from xpatch.patches.plan import Plan
from xpatch.spec import check_flag

__all__ = ["fit"]

NAMES = ("coef", "cov", "n", "rss", "term", "term_")


def fit(
    patches: Any,
    model: Any,
    y: Hashable | None = None,
    x: Any = (),
    *,
    over: str | None = None,
    features: Any = None,
    independent: Any = None,
    weights: Any = None,
    min_samples: int | None = None,
    on_error: str = "raise",
    progress: bool = False,
) -> xr.Dataset:
    """Fit a model to each patch, to each place or window, or to all patches at once.

    Parameters
    ----------
    patches : DataArray or Dataset
        Patches of any kind.
    model : LeastSquares, or any object with ``fit(X, y)``
        `LeastSquares` is solved for all patches at once. Of anything else there is one copy a patch,
        ``sklearn.base.clone`` of an estimator of scikit-learn, otherwise a deep copy.
    y : hashable, optional
        What is predicted: a variable or coordinate of the patches; None: the model is unsupervised.
    x : hashable or sequence of hashable
        What it is predicted from: variables or coordinates of the patches, broadcast by name.
    over : {"time", "space", "patch"}, optional
        What shares parameters. None: nothing, each patch has its own. Of patches in space and time,
        "time": the windows of a place, so that the result is one patch a place; "space": the places
        of a window. "patch": all patches, and the result has no patch dimension.
    features : hashable or sequence of hashable, optional
        In-patch dimensions that make one sample, for models other than `LeastSquares`: with
        ``features=("lat", "lon")`` a sample is a map, and the steps of a patch are the samples.
    independent : hashable or sequence of hashable, optional
        In-patch dimensions whose labels are independent of each other; all cells of a label are one
        cluster. Or a coordinate along one, such as the year of each month, or blocks of years that are
        longer than the memory of residuals. It changes ``cov`` alone: by one design effect for all
        patches, that of the sandwich of clusters (Liang and Zeger 1986).
    weights : DataArray, array or hashable, optional
        What samples count, such as ``1 / patches.patch.coverage`` or a kernel of
        ``patches.patch.distance``. Samples without a weight, or of weight 0, are left out, as are those
        with a missing value, and padding. ``cov`` takes them for inverse variances, the same in all patches:
        of kernels it says little.
    min_samples : int, optional
        Fewer samples give no fit, but NaN. Default: one more than terms; of other models 1.
    on_error : {"raise", "nan"}, default: "raise"
        What becomes of a patch whose model raises: the error goes on, with the label of the patch, or
        its parameters are missing, and a `PatchFailure` warning lists such patches.
    progress : bool, default: False
        Draw a bar on stderr.

    Returns
    -------
    Dataset
        The parameters, with the patch dimension (without it for ``over="patch"``), that merge, plot and
        are written as any values of patches. Of `LeastSquares`: ``coef(patch, term)``,
        ``cov(patch, term, term_)`` by one residual variance for all, ``n(patch)`` samples and ``rss(patch)``, with terms "1" and the
        names of x; of dask patches these are lazy. Of other models ``model(patch)``, the fitted objects,
        and every numeric attribute whose name ends in "_" and whose shape is the same for all patches.

    Raises
    ------
    KeyError
        If a name is unknown.
    TypeError, ValueError
        If arguments do not fit, no patch has a fit, or the patches have no part that ``over`` names.

    Warns
    -----
    UserWarning
        Once, with the number of patches that have no fit.

    Notes
    -----
    Of patches of dask or on disk a model other than `LeastSquares` is fitted in memory, block by block; with
    ``over="patch"`` one that has ``partial_fit`` learns from one batch after the other, in one pass, which is
    not what its ``fit`` does if that takes many: load the patches for that.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> field = xr.Dataset({"x": (("i", "j"), rng.random((8, 8)))})
    >>> field["t"] = 2 * field.x + 1
    >>> theta = field.patch.split(geometry={"i": 4, "j": 4}).patch.fit(
    ...     xpatch.LeastSquares(), y="t", x=["x"]
    ... )
    >>> theta.coef.dims, theta.term.values.tolist()
    (('patch', 'term'), ['1', 'x'])
    >>> bool(np.allclose(theta.patch.predict(field), field.t))
    True
    """
    _check_words(over, min_samples, on_error, progress)
    own, index = as_patches(patches, "fit")
    _check_one_split(own, index, over)
    linear = isinstance(model, LeastSquares)
    if not own.sizes[index.dim]:
        raise ValueError(f"there is no patch to fit: {index.dim!r} has size 0")
    if y is None and linear and isinstance(patches, xr.DataArray):
        y = patches.name
    design = design_of(own, index, y, x, weights)
    _check_window(linear, design, index)
    _check_free(own, index.dim, NAMES if linear else ("model", "feature"))
    clusters = _labels(design, independent)
    maps = _in_patch(design, features, "features")
    _check_kind(linear, design, y, maps, clusters)
    codes, count, coords = _groups(design, index, over)
    if linear:
        found = regression(model, design, (codes, count), clusters, min_samples, progress)
        more = _terms(model.terms(design.names))
    else:
        labels = coords[design.dim].values if design.dim in coords else np.zeros(1, np.int64)
        groups = Groups(codes, labels, index.to_pandas_index().to_numpy())
        how = How(over, maps, min_samples or 1, on_error, progress)
        found, more = estimated(model, design, groups, how)
    if over == "patch":
        found = {n: v.isel({design.dim: 0}) for n, v in found.items()}
    known = {
        "x": list(design.names),
        "y": y if isinstance(y, int | None) else str(y),
        "over": over,
        "features": [str(d) for d in maps] or None,
    }
    attrs = {n: value for n, value in known.items() if value is not None}
    return xr.Dataset(found, attrs=attrs).assign_coords(coords | more)


def _check_one_split(patches: xr.Dataset, index: PatchIndex, over: str | None) -> None:
    """Raise a ValueError if a model of a patch of patches would be one of those in all patches above."""
    above = [d for d in splits_of(patches) if d != index.dim]
    if above and over != "patch":
        raise ValueError(
            f"these are patches of patches, and a model for each along {index.dim!r} would be one for all along "
            f"{above}; fit those of one, patches.isel({above[-1]}=k).patch.fit(…), the patches before they were "
            "split again, or over='patch' for all"
        )


def _check_free(patches: xr.Dataset, dim: Hashable, names: Sequence[str]) -> None:
    """Raise a ValueError if coordinates or dimensions have the names of what fit gives."""
    for name in names:
        coord = patches.coords.get(name)
        taken = coord is not None and {*coord.dims} <= {dim}
        if taken or name == dim or name in patches.dims:
            raise ValueError(
                f"the patches have a coordinate or dimension {name!r}, as fit calls a part of its result; rename it, "
                f"or leave it out: patches.drop_vars({name!r})"
            )


def _check_words(over: Any, min_samples: Any, on_error: Any, progress: Any) -> None:
    if over is not None and over not in WORDS:
        meant = {"place": "time", "window": "space"}.get(over)
        raise ValueError(
            f"over names what is shared across: None, {', '.join(map(repr, WORDS))}; got {over!r}"
            f"{'' if meant is None else f'. One set of parameters a {over} is over={meant!r}'}"
        )
    if on_error not in ("raise", "nan"):
        raise ValueError(f"on_error must be 'raise' or 'nan', got {on_error!r}")
    whole = isinstance(min_samples, int | np.integer) and not isinstance(min_samples, bool)
    if min_samples is not None and not (whole and min_samples >= 1):
        raise ValueError(f"min_samples must be an int of at least 1, got {min_samples!r}")
    check_flag(progress, "progress")


def _check_window(linear: bool, design: Design, index: PatchIndex) -> None:
    """Raise a ValueError if values were multiplied by a window, which would bend a regression."""
    plans = [p for s in (index.scenes or (index,)) for p in s.plans]
    tapered = [p.window for p in plans if p.window is not None and {*p.inner} & {*design.core}]
    if linear and tapered:
        raise ValueError(
            f"these patches were multiplied by the analysis window {tapered[0]!r}, and a regression of "
            "what is left is none of the values; split without window=, and give the window as "
            "weights=patches.patch.weights of patches that were split with it"
        )


def _check_kind(
    linear: bool,
    design: Design,
    y: Hashable | None,
    features: tuple[Hashable, ...],
    clusters: Mapping[Hashable, Hashable],
) -> None:
    """Raise an error if arguments are not those of the kind of model, or values no numbers."""
    if not linear:
        if clusters:
            raise ValueError(
                "independent= changes the cov of LeastSquares, which other models have not"
            )
        return
    if y is None:
        names = list(design.patches.data_vars)
        raise ValueError(f"LeastSquares predicts something: name y, one of {names}")
    if features:
        raise ValueError(
            "features are for models that take a matrix of their own, such as PCA; LeastSquares has one "
            "coefficient for each x: name several x, or average over the dimensions"
        )
    for name, v in zip([*design.names, y], design.columns, strict=True):
        if v.dtype.kind not in "biuf":
            raise TypeError(f"LeastSquares takes numbers, and {name!r} holds {v.dtype}")


def _in_patch(design: Design, given: Any, what: str) -> tuple[Hashable, ...]:
    """Give in-patch dimensions by name.

    Raises
    ------
    ValueError
        If samples have no such dimension.
    """
    if given is None:
        return ()
    names = tuple(names_of(given, what))
    unknown = [d for d in names if d not in design.core]
    if unknown or not names:
        raise ValueError(
            f"{what} names in-patch dimensions of the samples, which have {list(design.core)}; got {given!r}"
        )
    return tuple(d for d in design.core if d in names)


def _labels(design: Design, given: Any) -> dict[Hashable, Hashable]:
    """Give the in-patch dimensions of clusters, and what labels them: themselves, or a coordinate along them."""
    if given is None:
        return {}
    found: dict[Hashable, Hashable] = {}
    for name in names_of(given, "independent"):
        coord = design.patches.coords.get(name)
        along = [] if coord is None else [d for d in coord.dims if d != design.dim]
        d = name if name in design.core else along[0] if len(along) == 1 else None
        if d not in design.core or d in found:
            raise ValueError(
                f"independent names in-patch dimensions of the samples, which have {list(design.core)}, or a "
                f"coordinate along one of them whose labels are the clusters; got {given!r}"
            )
        found[d] = name
    if not found:
        raise ValueError(
            "independent names no dimension; independent=None is for independent samples"
        )
    return {d: found[d] for d in design.core if d in found}


def _terms(terms: list[str]) -> xr.Coordinates:
    return xr.Coordinates({"term": ("term", terms), "term_": ("term_", terms)})


def _groups(
    design: Design, index: PatchIndex, over: str | None
) -> tuple[NDArray[np.int64], int, xr.Coordinates]:
    """Give the group of each patch, how many groups there are, and the coordinates of these."""
    n, dim = design.count, design.dim
    if over is None:
        return np.arange(n), n, _own_coordinates(design, index)
    scalars = xr.Coordinates(
        {k: c.variable for k, c in design.patches.coords.items() if not c.ndim}
    )
    if over == "patch":
        return np.zeros(n, np.int64), 1, scalars
    if index.mixed:
        raise ValueError(
            f"over={over!r} is for patches of one field, and these are of several; fit them one by one"
        )
    plan = plan_of(design, index)
    part = part_of(plan, index.ordinals, over)
    entries, codes = np.unique(part.codes, return_inverse=True)
    coords = coordinates(part.plan, dim, entries, index.crop)
    return codes.reshape(-1), len(entries), coords | scalars


def plan_of(design: Design, index: PatchIndex) -> Plan:
    """Give the plan of the field that the samples are of."""
    own = [p for p in index.plans if set(p.inner) & set(design.core)]
    return own[0] if own else index.plans[0]


def _own_coordinates(design: Design, index: PatchIndex) -> xr.Coordinates:
    """Give the coordinates that patches keep when all their dimensions are reduced, and find members by."""
    if len(index.plans) > 1:
        index = index.only(plan_of(design, index))
    index = unweighted(index)
    dim, patches = design.dim, design.patches
    kept = {n: c.variable for n, c in patches.coords.items() if set(c.dims) <= {dim} and n != dim}
    for plan in index.plans:
        found = file_coordinates(plan, dim, index.ordinals)
        kept = {n: v for n, v in found.items() if n in patches.coords or n not in patches} | kept
    labels = labels_of(patches, (dim,)).to_dataset().variables[dim]
    kept |= index.create_variables({dim: labels})
    return xr.Coordinates(kept, indexes={dim: index})
