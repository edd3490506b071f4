"""Partial pooling by restricted maximum likelihood: estimates with known covariances, of groups that share one spread.

est_i ~ N(θ_i, V_i), θ_i ~ N(φ_group, T): the multivariate random-effects model of DerSimonian and Laird
(1986), with T by REML (Patterson and Thompson 1971), and its gradient in closed form. All matrices are
small and there are many of them, so that the patch stands last: each step is one over all patches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpatch.report import tell

Floats = NDArray[np.float64]
FLAT = 1e-4  # slope of the criterion a patch at its minimum
SURE = 1e-12  # of the largest variance: below it all estimates are the same
LEAST = 0.05  # of what estimates vary by, that the search begins with: at zero it could not leave


class Pooled(NamedTuple):
    """What pooling gives."""

    mean: Floats  # posterior (patch, term)
    cov: Floats  # posterior (patch, term, term)
    population: Floats  # (group, term)
    between: Floats  # (term, term)


def pooled(estimate: Floats, cov: Floats, groups: NDArray[np.int64], count: int) -> Pooled:
    """Shrink estimates towards the mean of their group.

    Parameters
    ----------
    estimate : array (patch, term)
        NaN where there is none; it becomes the mean of its group.
    cov : array (patch, term, term)
        Its covariance.
    groups : int array (patch,)
        The group of each patch.
    count : int
        How many groups there are.
    """
    known = np.isfinite(estimate).all(axis=1) & np.isfinite(cov).all(axis=(1, 2))
    if not known.any():
        raise ValueError("no patch has an estimate with a covariance")
    center = estimate[known].mean(axis=0)
    root, back = _units(estimate[known] - center, cov[known])
    own = np.ascontiguousarray(back @ (estimate[known] - center).T)
    noise = np.ascontiguousarray(np.moveaxis(back @ cov[known] @ back.T, 0, -1))
    if not len(own):  # all are the same, and sure
        posterior = np.where(np.isfinite(cov), cov, 0.0)
        same = np.tile(center, (count, 1))
        return Pooled(np.tile(center, (len(cov), 1)), posterior, same, np.zeros_like(cov[0]))
    problem = Problem(own, noise, groups[known], count)
    spread = problem.fitted()
    found = problem.at(spread)
    mean, full = np.array(found.phi.T), np.empty((count, *spread.shape))
    full[:] = spread + np.moveaxis(found.phi_cov, -1, 0)
    out, posterior = mean[groups], full[groups]
    out[known], posterior[known] = problem.posterior(found, spread)
    return Pooled(
        center + out @ root.T,
        root @ posterior @ root.T,
        center + mean @ root.T,
        root @ spread @ root.T,
    )


def _units(differ: Floats, cov: Floats) -> tuple[Floats, Floats]:
    """Give units in which estimates vary by about one, and the way back: (term, unit) and (unit, term).

    So neither the units nor the zero of an x matter. Directions in which all estimates are the same, and
    sure, have none.
    """
    total = differ.T @ differ / max(len(differ) - 1, 1) + cov.mean(axis=0)
    scale = np.sqrt(np.diag(total))
    scale[~(scale > 0)] = 1
    values, vectors = np.linalg.eigh(total / np.outer(scale, scale))
    kept = values > SURE * max(values.max(initial=0), np.finfo(float).tiny)
    size = np.sqrt(values[kept])
    return scale[:, None] * vectors[:, kept] * size, (vectors[:, kept] / size).T / scale


class State(NamedTuple):
    """What follows from one spread between patches."""

    weight: Floats  # (V + T)⁻¹ (term, term, patch)
    phi: Floats  # (term, group)
    phi_cov: Floats  # (term, term, group)
    residual: Floats  # (term, patch)
    pull: Floats  # weight · residual (term, patch)
    criterion: float


class Problem:
    """The restricted likelihood of the spread between patches."""

    def __init__(self, estimate: Floats, noise: Floats, groups: NDArray[np.int64], count: int):
        self.estimate, self.noise, self.groups, self.count = estimate, noise, groups, count
        self.terms = len(estimate)
        self.there = np.bincount(groups, minlength=count) > 0
        self.lower = np.tril_indices(self.terms)

    def at(self, spread: Floats) -> State:
        """Give the means of groups and minus twice the restricted log-likelihood."""
        weight, logdet = inverted(self.noise + spread[:, :, None])
        precision = self._by_group(weight)
        precision[:, :, ~self.there] = np.eye(self.terms)[:, :, None]
        phi_cov, log_precision = inverted(precision)
        phi_cov[:, :, ~self.there] = np.nan
        right = self._by_group(product(weight, self.estimate))
        phi = product(phi_cov, right)
        residual = self.estimate - phi[:, self.groups]
        pull = product(weight, residual)
        fit = float((residual * pull).sum())
        total = float(logdet.sum()) + fit + float(log_precision[self.there].sum())
        return State(weight, phi, phi_cov, residual, pull, total)

    def _by_group(self, values: Floats) -> Floats:
        """Add up over the patches of each group, along the last axis."""
        flat = values.reshape(-1, values.shape[-1])
        if self.count == 1:
            return flat.sum(axis=1).reshape(*values.shape[:-1], 1)
        out = np.stack([np.bincount(self.groups, row, self.count) for row in flat])
        return np.asarray(out.reshape(*values.shape[:-1], self.count), float)

    def gradient(self, found: State) -> Floats:
        """Give the derivative of the criterion by the spread (term, term)."""
        own = found.phi_cov[:, :, self.groups]
        half = np.einsum("ijn,jkn->ikn", found.weight, own)
        out = found.weight.sum(axis=-1) - found.pull @ found.pull.T
        return np.asarray(out - np.einsum("ijn,jkn->ik", half, found.weight))

    def fitted(self) -> Floats:
        """Find the spread, by its Cholesky factor: where that is zero the spread is, without a bound."""
        from scipy import optimize

        size = self.estimate.shape[1]

        def criterion(numbers: Floats) -> tuple[float, Floats]:
            root = np.zeros((self.terms, self.terms))
            root[self.lower] = numbers
            found = self.at(root @ root.T)
            slope = 2 * self.gradient(found) @ root
            return found.criterion / size, slope[self.lower] / size

        options = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-15, "gtol": 1e-9}
        near_zero = np.sqrt(LEAST) * 0.1 * np.eye(self.terms)[self.lower]
        found = [  # the likelihood may have a second maximum at or near zero
            optimize.minimize(criterion, start, jac=True, method="L-BFGS-B", options=options)
            for start in (self._start(), near_zero)
        ]
        best = min(found, key=lambda result: float(result.fun))
        if not np.abs(best.jac).max() < FLAT:
            tell(
                "the spread between patches was not found to the last digits (REML did not converge); are the "
                "covariances those of the estimates?"
            )
        root = np.zeros((self.terms, self.terms))
        root[self.lower] = best.x
        return root @ root.T

    def _start(self) -> Floats:
        """Give a first factor: what estimates of a group differ by beyond their noise."""
        many = np.bincount(self.groups, minlength=self.count)
        mean = self._by_group(self.estimate) / np.maximum(many, 1)
        differ = self.estimate - mean[:, self.groups]
        freedom = max(self.estimate.shape[1] - int(self.there.sum()), 1)
        beyond = differ @ differ.T / freedom - self.noise.mean(axis=-1)
        values, vectors = np.linalg.eigh(beyond)
        start = (vectors * np.maximum(values, LEAST)) @ vectors.T
        root: Floats = np.linalg.cholesky((start + start.T) / 2)[self.lower]
        return root

    def posterior(self, found: State, spread: Floats) -> tuple[Floats, Floats]:
        """Give mean and covariance of each patch, with what is not known of the mean of its group.

        The empirical Bayes variance of Kackar and Harville (1984) for a given spread.
        """
        mean = found.phi[:, self.groups] + spread @ found.pull
        gain = np.einsum("ij,jkn->ikn", spread, found.weight)
        rest = np.eye(self.terms)[:, :, None] - gain
        cov = spread[:, :, None] - np.einsum("ijn,jk->ikn", gain, spread)
        half = np.einsum("ijn,jkn->ikn", rest, found.phi_cov[:, :, self.groups])
        cov = cov + np.einsum("ijn,kjn->ikn", half, rest)
        return mean.T, np.moveaxis((cov + cov.transpose(1, 0, 2)) / 2, -1, 0)


def product(matrices: Floats, vectors: Floats) -> Floats:
    """Multiply matrices (term, term, n) by vectors (term, n)."""
    return np.asarray(np.einsum("ijn,jn->in", matrices, vectors))


def inverted(matrices: Floats) -> tuple[Floats, Floats]:
    """Give the inverses of positive definite matrices (term, term, n), and their log determinants.

    By Cholesky factors whose every step is one over all n: LAPACK, called n times for matrices this
    small, takes ten times as long.
    """
    p = len(matrices)
    factor = np.zeros_like(matrices)
    for j in range(p):
        rest = matrices[j, j] - (factor[j, :j] ** 2).sum(axis=0)
        factor[j, j] = np.sqrt(np.maximum(rest, np.finfo(float).tiny))
        for i in range(j + 1, p):
            own = matrices[i, j] - (factor[i, :j] * factor[j, :j]).sum(axis=0)
            factor[i, j] = own / factor[j, j]
    logdet = 2 * np.log(np.stack([factor[j, j] for j in range(p)])).sum(axis=0)
    back = np.zeros_like(matrices)  # the inverse of the factor
    for j in range(p):
        back[j, j] = 1 / factor[j, j]
        for i in range(j + 1, p):
            back[i, j] = -(factor[i, j:i] * back[j:i, j]).sum(axis=0) / factor[i, i]
    out = np.empty_like(matrices)
    for i in range(p):
        for j in range(i, p):
            out[i, j] = out[j, i] = (back[j:, i] * back[j:, j]).sum(axis=0)
    return out, logdet
