"""Benchmark of fit, pool and predict: ``python -m tests.benchmarks.models``.

Each against a copy of the patches, or against what would be run without xpatch: scikit-learn in a loop,
statsmodels, mgwr, functions of NumPy on slices.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import xarray as xr

import xpatch
from tests.benchmarks.measure import ratio, timed
from xpatch.models.reml import pooled

SIDE = 2048


def regressions(repeats: int) -> None:
    """Print how least squares compare with a copy of the patches, y and one or two x."""
    random = np.random.default_rng(0)
    field = xr.Dataset({n: (("y", "x"), random.random((SIDE, SIDE), "f4")) for n in "tab"})
    print(f"\nfit of least squares, float32 {SIDE}², ratios to a copy of the patches")
    print(f"{'size/step':>10} {'one x':>7} {'two x':>7}")
    for size, step in [(32, 16), (16, 8), (16, 16)]:
        patches = field.patch.split({"y": size, "x": size}, sampler=xpatch.RegularStride(step))
        found = []
        for names in (["a"], ["a", "b"]):
            own = patches[["t", *names]]

            def fit(own: Any = own, names: Any = names) -> Any:
                return own.patch.fit(xpatch.LeastSquares(), y="t", x=names)

            def copy(own: Any = own) -> Any:
                return [v.values.copy() for v in own.data_vars.values()]

            found.append(ratio(fit, copy, repeats))
        print(f"{f'{size}/{step}':>10} {found[0]:7.2f} {found[1]:7.2f}", flush=True)


def estimators(repeats: int) -> None:
    """Print how one estimator a patch compares with a bare loop over NumPy slices."""
    from sklearn.base import clone
    from sklearn.linear_model import Ridge

    random = np.random.default_rng(0)
    field = xr.Dataset({n: (("y", "x"), random.random((1024, 1024), "f4")) for n in "tab"})
    patches = field.patch.split({"y": 32, "x": 32})
    count = patches.sizes["patch"]

    def bare() -> list[Any]:
        x = np.stack([patches.a.values, patches.b.values], -1).reshape(count, -1, 2)
        y = patches.t.values.reshape(count, -1)
        return [clone(Ridge(1.0)).fit(x[k], y[k]) for k in range(count)]

    found = ratio(lambda: patches.patch.fit(Ridge(1.0), y="t", x=["a", "b"]), bare, repeats)
    print(f"\n{count} estimators of scikit-learn / clone().fit on slices: {found:.2f}")


def pools() -> None:
    """Print how long pooling takes, and statsmodels of the same."""
    random = np.random.default_rng(0)
    count, terms = 65_000, 4
    factor = random.normal(size=(count, terms, terms))
    noise = factor @ factor.transpose(0, 2, 1) / 8 + 0.1 * np.eye(terms)
    drawn = np.einsum("gij,gj->gi", np.linalg.cholesky(noise), random.normal(size=(count, terms)))
    estimate = random.normal(size=(count, terms)) * [1, 2, 0.1, 0] + drawn
    groups = np.zeros(count, np.int64)
    seconds = timed(pooled, estimate, noise, groups, 1)
    print(f"pool, 65,000 patches, 4 terms: {seconds:.1f} s")
    try:
        import statsmodels.api as sm
    except ImportError:
        return
    groups_, samples = 1000, 12
    x = random.normal(size=(groups_, samples))
    own = random.normal(size=(groups_, 2)) @ np.linalg.cholesky([[0.5, 0.1], [0.1, 0.3]]).T
    y = own[:, :1] + own[:, 1:] * x + random.normal(size=x.shape)
    field = xr.Dataset({"x": ("i", x.ravel()), "t": ("i", y.ravel())})
    patches = field.patch.split(geometry={"i": samples})
    mine = timed(lambda: patches.patch.fit(xpatch.LeastSquares(), y="t", x="x").patch.pool())
    design = sm.add_constant(x.ravel())
    labels = np.repeat(np.arange(groups_), samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = timed(lambda: sm.MixedLM(y.ravel(), design, labels, exog_re=design).fit(reml=True))
    print(f"statsmodels MixedLM / fit and pool, 1,000 groups of 12: {theirs / mine:.0f}")


def weighted() -> None:
    """Print how geographically weighted regression compares with mgwr."""
    try:
        from mgwr.gwr import GWR
    except ImportError:
        return
    random = np.random.default_rng(0)
    count, near = 2000, 60
    places = random.random((count, 2)) * 100
    x, y = random.normal(size=(count, 1)), random.normal(size=(count, 1))
    field = xr.Dataset(
        {"a": ("site", x[:, 0]), "t": ("site", y[:, 0])},
        {"x": ("site", places[:, 0]), "y": ("site", places[:, 1])},
    )

    def mine() -> Any:
        patches = field.patch.split(geometry=xpatch.KNNGraph(near, dim="site"))
        far = patches.patch.distance
        kernel = (1 - (far / (far.max(far.dims[1]) * 1.0000001)) ** 2) ** 2
        return patches.patch.fit(xpatch.LeastSquares(), y="t", x="a", weights=kernel)

    def theirs() -> Any:
        return GWR(places, y, x, near, kernel="bisquare", fixed=False, n_jobs=1).fit()

    mine()
    print(f"mgwr GWR / the same by KNNGraph and weights: {timed(theirs) / timed(mine):.0f}")


def windows() -> None:
    """Print what a window of rolling fits takes."""
    days = np.datetime64("2000-01-01", "ns") + np.arange(3000) * np.timedelta64(1, "D")
    series = xr.DataArray(np.random.default_rng(0).random(3000), {"time": days}, name="t")
    patcher = xpatch.TimePatcher(xpatch.LookbackHorizon(30, 7), xpatch.RegularTimeStride(7))
    patches = series.patch.split(patcher)
    count = patches.sizes["patch"]

    def callables() -> Any:
        return xpatch.fit_predict(
            patches,
            lambda past: np.polyfit(past.lead, past, 1),
            lambda model, future: np.polyval(model, future.lead),
        )

    def batched() -> Any:
        return xpatch.fit_predict(patches, xpatch.LeastSquares(), x="lead")

    callables(), batched()
    each = [1e3 * min(timed(f) for _ in range(3)) / count for f in (callables, batched)]
    print(f"fit_predict: {each[0]:.2f} ms a window, of least squares {each[1]:.3f} ms")


def table(repeats: int) -> None:
    """Print everything."""
    start = time.perf_counter()
    regressions(repeats)
    estimators(min(repeats, 3))
    pools()
    weighted()
    windows()
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    table(5)
