"""`LeastSquares`: linear regression of all patches at once, from their Gram matrices."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpatch.models.gram import Floats, Gram, summed
from xpatch.spec import Spec, check_flag

RANK = 1e-12  # of the largest eigenvalue of correlations: below it regressors depend on each other
SPREAD = (64 * np.finfo(float).eps) ** 2  # of the mean square: below it a regressor is constant
INTERCEPT = "1"


@dataclasses.dataclass(frozen=True, repr=False)
class LeastSquares(Spec):
    """Linear regression, of all patches at once.

    `fit` solves it from one Gram matrix a patch, in one pass over the data, in float64. Samples in
    which any value is missing are left out. A patch with too few samples, or whose regressors depend
    on each other, has no coefficients: NaN, and one warning that counts such patches.

    ``cov`` is that of one residual variance, which all patches share: their ``rss`` over their ``n``
    less the terms, summed up first. Where patches are unlike each other in noise, give each its own:
    ``cov * (rss / (n - terms)) / (rss.sum() / (n - terms).sum())``.

    Parameters
    ----------
    intercept : bool, default: True
        Whether there is a constant term, called ``"1"``.
    ridge : float, default: 0.0
        What is added to the diagonal of the Gram matrix, apart from that of the intercept: the penalty
        of ridge regression (Hoerl and Kennard 1970), ``alpha`` of `sklearn.linear_model.Ridge`.

    Examples
    --------
    >>> field = xr.Dataset(
    ...     {"x": ("i", np.arange(8.0)), "t": ("i", 3 * np.arange(8.0) + 1)}
    ... )
    >>> theta = field.patch.split(geometry={"i": 4}).patch.fit(
    ...     xpatch.LeastSquares(), y="t", x="x"
    ... )
    >>> theta.coef.sel(term="x").values.round(6)
    array([3., 3.])
    """

    intercept: bool = True
    ridge: float = 0.0

    def __post_init__(self) -> None:
        check_flag(self.intercept, "intercept of LeastSquares")
        number = isinstance(self.ridge, int | float | np.number)
        if isinstance(self.ridge, bool) or not number or not 0 <= self.ridge < np.inf:
            raise ValueError(f"ridge of LeastSquares must be a number ≥ 0, got {self.ridge!r}")

    def terms(self, names: list[str]) -> list[str]:
        """Name the coefficients."""
        if self.intercept and INTERCEPT in names:
            raise ValueError(
                f"x names {INTERCEPT!r}, as the intercept is called; rename the variable, or use "
                "LeastSquares(intercept=False)"
            )
        return [*([INTERCEPT] if self.intercept else []), *names]

    def samples_needed(self, names: list[str], asked: int | None) -> int:
        """Give how many samples a fit needs: one more than there are terms, if nobody says."""
        return len(self.terms(names)) + 1 if asked is None else asked


class Solution(NamedTuple):
    """Coefficients of each group (group, term), and what they are made of."""

    coef: Floats
    inverse: Floats  # of the Gram matrix of the terms (group, term, term)
    bread: Floats  # the same about the mean
    rss: Floats  # residual sum of squares
    samples: NDArray[np.int64]
    few: NDArray[np.bool_]  # of too few samples
    tied: NDArray[np.bool_]  # whose regressors depend on each other


def solve(model: LeastSquares, gram: Gram, least: int) -> Solution:
    """Solve the normal equations of each group about its mean."""
    gram, design = centered(model, gram)
    size = gram.columns - 1
    normal = gram.second[:, :size, :size] + model.ridge * np.eye(size)
    right, square = gram.second[:, :size, size], gram.second[:, size, size]
    few = (gram.count < least) | ~(gram.weight > 0)
    scale, tied = _scaled(model, gram, normal)
    tied &= ~few
    good = np.flatnonzero(~few & ~tied)
    slopes, inverse = np.full((len(few), size), np.nan), np.full((len(few), size, size), np.nan)
    own = scale[good]
    if size and len(good):
        unit = np.linalg.inv(normal[good] / own[:, :, None] / own[:, None])
        inverse[good] = unit / own[:, :, None] / own[:, None]
        slopes[good] = _matvec(inverse[good], right[good])
        # a second step of iterative refinement takes what the inverse lost of nearly dependent columns
        rest = right[good] - _matvec(normal[good], slopes[good])
        slopes[good] += _matvec(inverse[good], rest)
    fitted = (slopes * right).sum(axis=1)
    curved = np.einsum("gi,gij,gj->g", slopes, gram.second[:, :size, :size], slopes)
    rss = np.maximum(square - 2 * fitted + curved, 0.0)
    rss[few | tied] = np.nan
    coef, block, whole = slopes, inverse, inverse
    if model.intercept:
        means = gram.center
        coef = np.column_stack([means[:, size] - (slopes * means[:, :size]).sum(axis=1), slopes])
        block = np.full((len(few), size + 1, size + 1), 0.0)
        block[:, 0, 0] = 1 / np.where(gram.weight > 0, gram.weight, 1)
        block[:, 1:, 1:] = inverse
        whole = design @ block @ design.transpose(0, 2, 1)
    lost = few | tied
    coef[lost], whole[lost] = np.nan, np.nan
    return Solution(coef, whole, block, rss, gram.count.astype(np.int64), few, tied)


def centered(model: LeastSquares, gram: Gram) -> tuple[Gram, Floats]:
    """Give sums about the mean, or without intercept about zero, and what turns coefficients back."""
    rows, size = len(gram.count), gram.columns - 1
    if not model.intercept:
        return gram.moved(np.zeros_like(gram.center)), np.broadcast_to(
            np.eye(size), (rows, size, size)
        )
    weight = np.where(gram.weight > 0, gram.weight, 1)
    gram = gram.moved(gram.center + gram.first / weight[:, None])
    design = np.tile(np.eye(size + 1), (rows, 1, 1))
    design[:, 0, 1:] = -gram.center[:, :size]
    return gram, design


def _scaled(model: LeastSquares, gram: Gram, normal: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Give the sizes of the regressors, and in which groups they depend on each other."""
    size = normal.shape[-1]
    diagonal = np.einsum("gii->gi", normal)
    level = gram.weight[:, None] * gram.center[:, :size] ** 2
    flat = ~(diagonal > SPREAD * level) if model.intercept else ~(diagonal > 0)
    scale = np.sqrt(np.where(flat, 1, diagonal))
    tied = flat.any(axis=1)
    if size > 1:
        unit = normal / scale[:, :, None] / scale[:, None]
        unit[~np.isfinite(unit).all(axis=(1, 2))] = 0
        values = np.linalg.eigvalsh(unit)
        tied |= values[:, 0] <= RANK * values[:, -1]
    return scale, tied


def _matvec(matrices: Floats, vectors: Floats) -> Floats:
    return np.einsum("gij,gj->gi", matrices, vectors)


def residual_variance(solution: Solution) -> float:
    """Give one variance of residuals of all groups: those of few samples are noise.

    NaN where no group has more samples than terms, as a ridge allows.
    """
    freedom = solution.samples - solution.coef.shape[1]
    good = ~(solution.few | solution.tied) & (freedom > 0)
    return float(solution.rss[good].sum() / freedom[good].sum()) if good.any() else np.nan


def design_effect(
    model: LeastSquares, solution: Solution, whole: Gram, clusters: Gram, of: NDArray[np.int64]
) -> float:
    """Give how many times larger variances are because samples of a cluster are not independent.

    The sandwich of the scores of clusters (Liang and Zeger 1986) relative to the covariance of
    independent samples: the mean over terms of tr(iid⁻¹ sandwich), and over groups. A ratio of traces
    would depend on the units of the x. ``of`` says which group each cluster is of.
    """
    groups, terms = solution.coef.shape
    size = clusters.columns - 1
    middle, _ = centered(model, whole)
    own = clusters.moved(middle.center[of])
    slopes = solution.coef[of][:, terms - size :]
    fitted = np.einsum("cij,cj->ci", own.second[:, :size, :size], slopes)
    scores = own.second[:, :size, size] - fitted
    if model.intercept:
        level = own.first[:, size] - (own.first[:, :size] * slopes).sum(axis=1)
        scores = np.column_stack([level, scores])
    there = own.weight > 0
    scores[~there] = 0
    products = scores[:, :, None] * scores[:, None, :]
    meat = summed(products.reshape(len(of), -1), of, groups).reshape(groups, terms, terms)
    count = np.bincount(of, there, groups)
    variance = residual_variance(solution)
    good = np.isfinite(solution.coef).all(axis=1) & (count > terms)
    if not variance > 0:
        return 1.0
    if not good.any():
        raise ValueError(
            f"independent= leaves at most {int(count.max(initial=0))} clusters in a patch, and a sandwich "
            f"of {terms} terms needs more than {terms}; take longer patches, fewer x, or independent=None"
        )
    few = count[good] / (count[good] - terms)
    ratios = np.einsum("gij,gji->g", meat[good], solution.bread[good]) / (terms * variance)
    return float((ratios * few).mean())


def no_fit(solution: Solution, least: int) -> str | None:
    """Say how many groups have no fit, and why; None if all have one."""
    few, tied = int(solution.few.sum()), int(solution.tied.sum())
    if not few + tied:
        return None
    why = [f"{few} have fewer than {least} samples"] if few else []
    why += [f"{tied} have x that are constant or depend on each other"] if tied else []
    return f"{few + tied} of {len(solution.few)} patches have no fit and are NaN: {', '.join(why)}"


def fitted(
    model: LeastSquares,
    gram: Gram,
    least: int,
    clusters: tuple[Gram, Any] | None,
) -> dict[str, Any]:
    """Give ``coef``, ``cov``, ``n`` and ``rss`` of each group, and what there is to be warned of."""
    solution = solve(model, gram, least)
    if not np.isfinite(solution.coef).all(axis=1).any():
        few = bool(solution.few.all())
        raise ValueError(
            f"no patch has a fit: all have fewer than {least} samples without missing values"
            if few
            else "no patch has a fit: their x are constant or depend on each other, or have too few samples"
        )
    variance = residual_variance(solution)
    warning = no_fit(solution, least)
    if np.isnan(variance):
        more = "no patch has more samples than terms, so that cov is not known, and NaN"
        warning = more if warning is None else f"{warning}; {more}"
    if clusters is not None:
        variance *= design_effect(model, solution, gram, *clusters)
    return {
        "coef": solution.coef,
        "cov": solution.inverse * variance,
        "n": solution.samples,
        "rss": solution.rss,
        "warning": warning,
    }
