"""Aggregations: how the contributions of overlapping patches become one value per cell."""

from __future__ import annotations

import dataclasses
import sys
import typing as t
from collections.abc import Callable, Hashable, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes, stacked
from xpatch.engine import reducers as r
from xpatch.spec import check_flag, check_seed, is_integer, named
from xpatch.statistics import (
    Aggregation,
    All,
    Any,
    ArgMax,
    Count,
    First,
    HardVote,
    Last,
    Max,
    Mean,
    Median,
    Min,
    Mode,
    MostCentral,
    Quantile,
    Std,
    Sum,
    Var,
)
from xpatch.window import WINDOWS, Window, as_window


class Windowed(Aggregation):
    """Base of the weighted means, whose weights are the synthesis window ``window``."""

    window: t.Any
    linear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", as_window(self.window))

    @property
    def synthesis(self) -> Window | None:
        return self.window

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.WeightedMean(dtype, skipna, dtypes.average(dtype), self.normalize)


@dataclasses.dataclass(frozen=True, repr=False)
class OverlapAdd(Windowed):
    """Weighted overlap-add: contributions are weighted, summed and divided by the summed weights.

    Parameters
    ----------
    window : Window, str, tuple, function or array, optional
        The synthesis window; default: equal weights. A name, a name with its parameter,
        ``("tukey", 0.25)``, or weights of the shape of a patch (see `WeightMap`).
    normalize_by_window : bool, default: True
        Divide by the summed weights (analysis times synthesis window). Without it the windows
        themselves must add up to one.

    References
    ----------
    Crochiere, R. E. (1980). A weighted overlap-add method of short-time Fourier
    analysis/synthesis. IEEE Transactions on Acoustics, Speech, and Signal Processing, 28, 99–102.

    Examples
    --------
    >>> xpatch.OverlapAdd("hann")
    OverlapAdd(window=Hann())
    """

    window: t.Any = None
    normalize_by_window: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self.normalize_by_window, "normalize_by_window of OverlapAdd")

    @property
    def normalize(self) -> bool:
        return self.normalize_by_window


@dataclasses.dataclass(frozen=True, repr=False)
class WeightedSum(Aggregation):
    """The sum of the contributions times a function of their offset in the patch, not divided.

    Parameters
    ----------
    weight_fn : callable, Window, str, tuple or array
        A function takes normalized offsets in (−1, 1) and gives weights ≥ 0; over several dimensions
        the product is taken. Or a window, as `OverlapAdd` takes it.

    Raises
    ------
    TypeError
        If ``weight_fn`` is neither a function nor a window.

    Examples
    --------
    >>> field = xr.DataArray([1.0, 5.0, 9.0], dims="x")
    >>> pairs = field.patch.split(2, sampler=xpatch.RegularStride(1))
    >>> pairs.patch.merge(xpatch.WeightedSum(lambda u: 1 - abs(u))).values
    array([0.5, 5. , 4.5])
    """

    weight_fn: t.Any
    linear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        try:
            window = as_window(self.weight_fn)
        except TypeError as error:
            raise TypeError(
                f"WeightedSum needs a function of the offset or a window: {error}"
            ) from None
        if window is None:
            raise TypeError("WeightedSum needs a function of the offset or a window, got None")
        object.__setattr__(self, "weight_fn", window)

    @property
    def synthesis(self) -> Window | None:
        window: Window = self.weight_fn
        return window

    @property
    def normalize(self) -> bool:
        return False

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.WeightedMean(dtype, skipna, dtypes.average(dtype), normalize=False)


@dataclasses.dataclass(frozen=True, repr=False)
class SoftVote(Windowed):
    """Average class probabilities and take the most probable class.

    Parameters
    ----------
    dim : hashable, default: "class"
        Dimension of the patches that holds the classes; its labels, if any, are the result.
    keep_probabilities : bool, default: False
        Give a Dataset of ``label`` and ``probability`` instead of the labels; of a Dataset of
        patches, ``t`` with the labels and ``t_probability`` for each variable ``t``.
    window : Window, str, tuple, function or array, optional
        Synthesis window of the average, as in `OverlapAdd`.

    Notes
    -----
    Labels have the dtype of the coordinate of the classes; without one they are positions, int64. Cells
    that no patch covers, or of which a probability is missing, hold ``fill_value``; by default NaN, which
    makes floats of integers. Of dask patches that cover the whole field the dtype is settled before any
    value is known: labels keep it, and a missing probability raises unless merge has a ``fill_value``.

    References
    ----------
    Kittler, J., Hatef, M., Duin, R. P. W. and Matas, J. (1998). On combining classifiers. IEEE
    Transactions on Pattern Analysis and Machine Intelligence, 20, 226–239 (the sum rule).

    Examples
    --------
    >>> shares = [[0.9, 0.4, 0.2], [0.1, 0.6, 0.8]]
    >>> field = xr.DataArray(shares, {"class": ["sea", "ice"]}, ("class", "x"))
    >>> pairs = field.patch.split({"x": 2}, sampler=xpatch.RegularStride(1))
    >>> pairs.patch.merge("softvote").values
    array(['sea', 'ice', 'ice'], dtype='<U3')
    """

    dim: Hashable = "class"
    keep_probabilities: bool = False
    window: t.Any = None
    finalize: ClassVar[str | None] = "argmax"


@dataclasses.dataclass(frozen=True, repr=False)
class InvVarWeightedMean(Aggregation):
    """Mean weighted by inverse variance; takes and gives a Dataset of mean and variance.

    Parameters
    ----------
    mean, variance : hashable
        Names of the two variables.
    window : Window, str, tuple, function or array, optional
        Synthesis window, as in `OverlapAdd`, by which the inverse variances are multiplied.

    Notes
    -----
    With weights ``w`` of the window the mean is ``Σ (w/σ²) x / Σ (w/σ²)`` and its variance
    ``Σ (w²/σ²) / (Σ w/σ²)²``, without one ``1 / Σ 1/σ²``.

    References
    ----------
    Hartung, J., Knapp, G. and Sinha, B. K. (2008). Statistical meta-analysis with applications.
    Wiley. The variance of the result, ``1 / Σ 1/σ²``, takes the patches as independent.

    Examples
    --------
    Two patches, of which the first is three times as sure of what is common to them:

    >>> field = xr.Dataset({"mean": ("x", np.zeros(3)), "variance": ("x", np.ones(3))})
    >>> pairs = field.patch.split({"x": 2}, sampler=xpatch.RegularStride(1))
    >>> pairs["mean"][:], pairs["variance"][:] = [[4.0], [8.0]], [[1.0], [3.0]]
    >>> merged = pairs.patch.merge(xpatch.InvVarWeightedMean())
    >>> merged["mean"].values, merged["variance"].values
    (array([4., 5., 8.]), array([1.  , 0.75, 3.  ]))
    """

    mean: Hashable = "mean"
    variance: Hashable = "variance"
    window: t.Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", as_window(self.window))

    @property
    def variables(self) -> tuple[Hashable, ...]:
        return self.mean, self.variance

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.WeightedMean(dtype, skipna, dtypes.average(dtype), normalize=False)


@dataclasses.dataclass(frozen=True, repr=False)
class Learned(Aggregation):
    """A model of the stacked contributions and their offsets within the patch.

    Parameters
    ----------
    model : estimator or callable
        An estimator with ``fit(X, y)`` and ``predict(X)`` (scikit-learn style). ``X`` has shape
        (cell, slot · (1 + dim)): the contributions of a cell, the most central first, then
        their normalized offsets from the patch's center, dimension by dimension; where a cell has
        fewer contributions than slots, the mean of its contributions with offset 1 stands in. Or a
        callable ``model(values, offsets)`` of arrays (slot, cell) and (dim, slot, cell), NaN in
        empty slots, that gives the value of each cell.
    target : array-like or DataArray, optional
        The field that the estimator is fitted to, of the merged shape (NaN: not used). Default:
        the mean of the contributions.
    max_samples : int, default: 100_000
        Largest number of cells used to fit, drawn at random.
    seed : int, default: 0
        Seed of that draw.

    Raises
    ------
    TypeError
        If ``model`` can neither be called nor predict.
    ValueError
        If ``max_samples`` is no int of at least 1.

    References
    ----------
    Wolpert, D. H. (1992). Stacked generalization. Neural Networks, 5, 241–259.

    Examples
    --------
    >>> field = xr.DataArray([1.0, 5.0, 9.0], dims="x")
    >>> pairs = field.patch.split(2, sampler=xpatch.RegularStride(1))
    >>> highest = xpatch.Learned(lambda values, offsets: np.nanmax(values, axis=0))
    >>> pairs.mean("x").patch.merge(highest).values
    array([3., 7., 7.])
    """

    model: t.Any
    target: t.Any = None
    max_samples: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not (callable(self.model) or hasattr(self.model, "predict")):
            raise TypeError(
                "Learned needs an estimator with fit and predict, or a callable of "
                f"(values, offsets); got {self.model!r}"
            )
        if not is_integer(self.max_samples) or self.max_samples < 1:
            raise ValueError(f"max_samples must be an int of at least 1, got {self.max_samples!r}")
        check_seed(self.seed, "Learned")

    @property
    def fits(self) -> bool:
        """Whether the model is an estimator that is fitted first."""
        return hasattr(self.model, "fit") and hasattr(self.model, "predict")

    def reducer(
        self, dtype: np.dtype, skipna: bool, predict: Callable[..., NDArray] | None = None
    ) -> r.Reducer:
        return stacked.Modeled(dtype, skipna, predict or self.model)


@dataclasses.dataclass(frozen=True, repr=False)
class Grouped(Aggregation):
    """What a ``flox.Aggregation`` makes of the contributions of each cell, in the order of labels.

    Parameters
    ----------
    aggregation : flox.Aggregation
        Its reduction of NumPy arrays is used. Missing contributions are left out before, where they are.
    """

    aggregation: t.Any

    def __repr__(self) -> str:
        return f"Grouped({self.aggregation.name!r})"

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return stacked.Grouped(dtype, skipna, self.aggregation)


_MEANS = (OverlapAdd, Mean, Sum, WeightedSum, InvVarWeightedMean, SoftVote, Learned)
_CHOICES = (Median, Quantile, Min, Max, ArgMax, Any, All, First, Last, MostCentral, Mode, HardVote)
AGGREGATIONS: dict[str, type[Aggregation]] = {
    c.__name__.lower(): c for c in (*_MEANS, *_CHOICES, Var, Std, Count)
}


def as_aggregation(value: t.Any) -> Aggregation:
    """Turn None (overlap-add), a name, an Aggregation, or one of flox, into an Aggregation."""
    if value is None:
        return OverlapAdd()
    if isinstance(value, Window) or (isinstance(value, str) and value.lower() in WINDOWS):
        raise TypeError(f"{value!r} is a window, not an aggregation; use OverlapAdd({value!r})")
    if isinstance(value, Mapping):
        raise TypeError(
            f"one aggregation for each variable is what merge and apply of a Dataset take, got {value!r}"
        )
    if "flox" in sys.modules and isinstance(value, sys.modules["flox"].Aggregation):
        return Grouped(value)  # without an import of flox, of which nobody had an object before
    return named(value, Aggregation, AGGREGATIONS, "aggregation")
