"""Partial pooling of the parameters of patches."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.models.parts import part_of
from xpatch.models.reml import pooled
from xpatch.patches.index import PatchIndex, patch_index, with_index
from xpatch.patches.provenance import NEVER_SPLIT
from xpatch.patches.recall import indexed
from xpatch.patches.scene import scenes_written

__all__ = ["pool"]

NAMES = {"time": "place", "space": "window"}


def pool(
    theta: Any, over: str | None = None, *, coef: Hashable = "coef", cov: Hashable = "cov"
) -> xr.Dataset:
    """Let the parameters of patches tell of each other: partial pooling, by empirical Bayes.

    Each estimate is noise around a parameter, and the parameters of a population scatter around its
    mean: est_i ~ N(θ_i, V_i), θ_i ~ N(φ, T). The spread T and the means φ are found by restricted
    maximum likelihood; what comes back is the posterior, near its own estimate where that is sure, near
    the population where it is not. Neither units nor the zero of an x matter.

    Parameters
    ----------
    theta : Dataset
        Parameters with a patch dimension, such as `fit` or ``patches.curvefit(…)`` gives.
    over : {"time", "space"}, optional
        Which patches share one population. None: all; "time": the windows of a place; "space": the
        places of a window. One T for all populations.
    coef, cov : hashable
        Names of the estimates (patch, term) and of their covariances (patch, term, term).

    Returns
    -------
    Dataset
        `theta` with the posterior mean and covariance in place of ``coef`` and ``cov``, and with
        ``population(term)``, φ, with a dimension "place" or "window" where there are several, and
        ``between(term, term)``, T. A patch without an estimate has the population; where no patch of a
        population has one, that is missing.

    Raises
    ------
    KeyError, ValueError
        If there is no covariance, there are fewer estimates than terms + 2 beyond the populations, or
        the patches have no part that ``over`` names.

    Notes
    -----
    Empirical Bayes (Efron and Morris 1975), the best linear unbiased predictor of mixed models, as
    ``statsmodels.MixedLM(…).fit(reml=True)`` gives it; covariances hold what is not known of φ, not what
    is not known of T. Estimates count as independent: of patches that overlap much they are less so.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> field = xr.Dataset({"t": ("i", rng.normal(3.0, 1.0, 600))})
    >>> theta = field.patch.split(geometry={"i": 20}).patch.fit(
    ...     xpatch.LeastSquares(), y="t"
    ... )
    >>> pooled = theta.patch.pool()
    >>> bool(pooled.coef.std() < 0.5 * theta.coef.std())  # means of one population
    True
    """
    if over not in (None, *NAMES):
        raise ValueError(
            f"over must be None, 'time' (the windows of a place are one population) or 'space' (the places of "
            f"a window), got {over!r}"
        )
    if not isinstance(theta, xr.Dataset):
        raise TypeError(f"pool takes the Dataset that fit gives, got {type(theta).__name__}")
    if coef in theta and theta[coef].dims in ((), ("term",)):
        raise ValueError(
            "there is nothing to pool: these parameters have no patch dimension; fit with over=None, so "
            "that each patch has its own"
        )
    if {"population", "between"} <= {*theta.data_vars}:
        raise ValueError(
            "these parameters were pooled before, and are no independent estimates any more; pool what fit gave"
        )
    theta, index, dim = _of_patches(theta)
    term, rows, columns = _checked(theta, dim, coef, cov)
    _check_free(theta, over)
    loaded = theta[[coef, cov]].compute()
    loaded = _by_label(loaded, cov, term, (rows, columns))
    estimate = loaded[coef].transpose(dim, term).values.astype(float)
    noise = loaded[cov].transpose(dim, rows, columns).values.astype(float)
    groups, labels = np.zeros(len(estimate), np.int64), np.zeros(1, np.int64)
    if over is not None:
        if index is None or index.mixed:
            raise ValueError(f"over={over!r} is for patches of one field, and these are of several")
        codes = part_of(index.plans[0], index.ordinals, over).codes
        labels, groups = np.unique(codes, return_inverse=True)
    _check_count(estimate, noise, groups, over)
    found = pooled(estimate, noise, groups.reshape(-1), len(labels))
    population: Any = (term, found.population[0])
    coords: dict[Hashable, Any] = {}
    if over is not None:
        population = ((NAMES[over], term), found.population)
        coords[NAMES[over]] = (NAMES[over], labels)
    out = theta.assign(
        {
            coef: ((dim, term), found.mean, theta[coef].attrs),
            cov: ((dim, rows, columns), found.cov, theta[cov].attrs),
            "population": population,
            "between": ((rows, columns), found.between),
        }
    )
    out = out.assign_coords(
        {d: loaded.coords[d].variable for d in (rows, columns) if d in loaded.coords}
    )
    out = out.assign_coords(coords)
    return out if index is None else with_index(out, index)


def _of_patches(theta: xr.Dataset) -> tuple[xr.Dataset, PatchIndex | None, Hashable]:
    """Give parameters with their index, and the patch dimension; those of several scenes of a file have none."""
    scenes = None if patch_index(theta) is not None else scenes_written(theta)
    if scenes is not None:
        return theta, None, scenes[0]
    theta = indexed(theta)
    index = patch_index(theta)
    if index is None or index.dim not in theta.dims:
        raise ValueError(NEVER_SPLIT)
    return theta, index, index.dim


def _checked(
    theta: xr.Dataset, dim: Hashable, coef: Hashable, cov: Hashable
) -> tuple[Hashable, Hashable, Hashable]:
    """Give the dimension of terms, and both of covariances."""
    if coef not in theta:
        names = map(str, theta.data_vars)
        fitted = [n for n in names if n.endswith("curvefit_coefficients")]
        other = [n.replace("coefficients", "covariance") for n in fitted]
        hint = f"; pool(coef={fitted[0]!r}, cov={other[0]!r})" if fitted else ""
        raise KeyError(
            f"these parameters have no {coef!r}, and only estimates with covariances can be pooled: they have "
            f"{list(theta.data_vars)}{hint}"
        )
    if cov not in theta:
        raise KeyError(
            f"pool needs the covariance of each estimate, and there is no {cov!r}; fit with LeastSquares, or pass "
            "cov=, the name of it"
        )
    terms = [d for d in theta[coef].dims if d != dim]
    square = [d for d in theta[cov].dims if d != dim]
    sizes = theta.sizes
    fits = len(terms) == 1 and len(square) == 2 and all(sizes[d] == sizes[terms[0]] for d in square)
    if not fits or not all(dim in theta[n].dims for n in (coef, cov)):
        raise ValueError(
            f"{coef!r} must have dims (patch, term) and {cov!r} (patch, term, term), got {theta[coef].dims} and "
            f"{theta[cov].dims}, with sizes {dict(sizes)}"
        )
    rows = terms[0] if terms[0] in square else square[0]
    (columns,) = (d for d in square if d != rows)
    return terms[0], rows, columns


def _check_free(theta: xr.Dataset, over: str | None) -> None:
    """Raise a ValueError if coordinates have the names of what pool gives."""
    for name in ("population", "between", *([NAMES[over]] if over is not None else [])):
        if name in theta.coords:
            raise ValueError(
                f"the parameters have a coordinate {name!r}, as pool calls a part of its result; rename it, or "
                f"leave it out: theta.drop_vars({name!r})"
            )


def _by_label(
    theta: xr.Dataset, cov: Hashable, term: Hashable, square: tuple[Hashable, Hashable]
) -> xr.Dataset:
    """Put rows and columns of covariances in the order of the terms.

    Raises
    ------
    ValueError
        If they are those of other terms.
    """
    for d in square:
        if d == term or d not in theta.coords or term not in theta.coords:
            continue
        own, wanted = theta.indexes[d], theta.indexes[term]
        at = own.get_indexer(wanted)
        if (at < 0).any():
            raise ValueError(
                f"the covariances {cov!r} are those of other terms than the estimates: {list(own)} along {d!r}, "
                f"{list(wanted)} along {term!r}"
            )
        theta = theta.isel({d: at})
    return theta


def _check_count(
    estimate: NDArray[Any], noise: NDArray[Any], groups: NDArray[Any], over: str | None
) -> None:
    """Raise a ValueError if there are too few estimates to tell how parameters scatter."""
    known = np.isfinite(estimate).all(axis=1) & np.isfinite(noise).all(axis=(1, 2))
    used = len(np.unique(groups[known]))
    needed = estimate.shape[1] + 2 + used
    if known.sum() < needed:
        raise ValueError(
            f"{int(known.sum())} patches with an estimate, of {used} population{'s'[: used > 1]}, do not tell how "
            f"{estimate.shape[1]} terms scatter, which takes at least {needed}; "
            + (
                "pool over None, as one population"
                if over
                else "use smaller patches, or over='patch'"
            )
        )
    turned = noise[known].transpose(0, 2, 1)
    if not np.allclose(noise[known], turned, rtol=1e-6, atol=1e-9 * np.abs(turned).max(initial=0)):
        raise ValueError("covariances are not symmetric; are rows and columns of other terms?")
    scale = np.sqrt(np.abs(np.einsum("gii->gi", noise[known])))
    scale[~(scale > 0)] = 1
    values = np.linalg.eigvalsh(noise[known] / scale[:, :, None] / scale[:, None])
    if (values[:, 0] < -1e-8 * values[:, -1]).any() or (values[:, -1] < 0).any():
        raise ValueError(
            "covariances have negative variances, or correlations beyond one; they must be those of the estimates"
        )
