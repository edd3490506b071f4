"""Aggregations: how the contributions of overlapping patches become one value per cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xpatch.engine import dtypes, stacked
from xpatch.engine import reducers as r
from xpatch.spec import (
    Spec,
    check_flag,
    check_fraction,
    check_number,
    check_seed,
    is_integer,
    named,
)
from xpatch.window import WINDOWS, Custom, Window, as_window


class Aggregation(Spec):
    """Base of the aggregations.

    Attributes
    ----------
    linear : bool
        Whether the result is a weighted sum of the contributions. Only linear aggregations can
        undo an analysis window; the others need untapered values.
    normalize : bool
        Whether a linear result is divided by the sum of the weights.
    preprocess : str, optional
        What is done to the patches before: "horizon" leaves what comes after the anchor, "cube" does so
        and keeps all forecasts apart, "scan" runs a function on one patch after the other.
    variables : tuple of hashable
        Names of the variables of a Dataset that go in together; empty: each goes in alone.
    finalize : str, optional
        What becomes of the merged values: "argmax" takes the most probable class.
    """

    linear: ClassVar[bool] = False
    finalize: ClassVar[str | None] = None

    @property
    def preprocess(self) -> str | None:
        return None

    @property
    def variables(self) -> tuple[Hashable, ...]:
        return ()

    @property
    def normalize(self) -> bool:
        return True

    @property
    def synthesis(self) -> Window | None:
        """Window by which contributions are weighted."""
        return None

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        """Give the reducer for contributions of ``dtype``."""
        raise NotImplementedError

    @property
    def covers_zero(self) -> bool:
        """Whether a cell that no patch covers is 0 rather than missing."""
        return False


class Windowed(Aggregation):
    """Base of the weighted means, whose weights are the synthesis window ``window``."""

    window: Any
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
    window : Window or str, optional
        The synthesis window; default: equal weights.
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

    window: Any = None
    normalize_by_window: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self.normalize_by_window, "normalize_by_window of OverlapAdd")

    @property
    def normalize(self) -> bool:
        return self.normalize_by_window


@dataclasses.dataclass(frozen=True, repr=False)
class Mean(Aggregation):
    """The plain mean of the contributions; after an analysis window, divided by its sum."""

    linear: ClassVar[bool] = True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.WeightedMean(dtype, skipna, dtypes.average(dtype))


@dataclasses.dataclass(frozen=True, repr=False)
class Sum(Aggregation):
    """The sum of the contributions; a cell whose contributions are all missing is missing."""

    linear: ClassVar[bool] = True

    @property
    def normalize(self) -> bool:
        return False

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.WeightedMean(dtype, skipna, dtypes.total(dtype), normalize=False)


@dataclasses.dataclass(frozen=True, repr=False)
class WeightedSum(Aggregation):
    """The sum of the contributions times a function of their offset in the patch, not divided.

    Parameters
    ----------
    weight_fn : callable or Window
        Takes normalized offsets in (−1, 1) and gives weights ≥ 0; over several dimensions the
        product is taken.
    """

    weight_fn: Any
    linear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (callable(self.weight_fn) or isinstance(self.weight_fn, Window | str)):
            raise TypeError(f"WeightedSum needs a function of the offset, got {self.weight_fn!r}")

    @property
    def synthesis(self) -> Window | None:
        named_or_window = isinstance(self.weight_fn, Window | str)
        return as_window(self.weight_fn) if named_or_window else Custom(self.weight_fn)

    @property
    def normalize(self) -> bool:
        return False

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.WeightedMean(dtype, skipna, dtypes.average(dtype), normalize=False)


@dataclasses.dataclass(frozen=True, repr=False)
class Quantile(Aggregation):
    """A quantile of the contributions, interpolated linearly between ranks.

    Parameters
    ----------
    q : float
        Between 0 and 1.

    References
    ----------
    Hyndman, R. J. and Fan, Y. (1996). Sample quantiles in statistical packages. The American
    Statistician, 50, 361–365 (definition 7).
    """

    q: float

    def __post_init__(self) -> None:
        check_fraction(self.q, "Quantile q")

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return stacked.Quantiles(dtype, skipna, self.q)


@dataclasses.dataclass(frozen=True, repr=False)
class Median(Aggregation):
    """The median of the contributions."""

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return stacked.Quantiles(dtype, skipna, 0.5)


@dataclasses.dataclass(frozen=True, repr=False)
class Min(Aggregation):
    """The smallest contribution."""

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Extreme(dtype, skipna, largest=False)


@dataclasses.dataclass(frozen=True, repr=False)
class Max(Aggregation):
    """The largest contribution."""

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Extreme(dtype, skipna, largest=True)


@dataclasses.dataclass(frozen=True, repr=False)
class Var(Aggregation):
    """The variance of the contributions: how much overlapping patches disagree.

    Parameters
    ----------
    ddof : int, default: 0
        Delta degrees of freedom, as in `numpy.var`.

    References
    ----------
    Chan, T. F., Golub, G. H. and LeVeque, R. J. (1983). Algorithms for computing the sample
    variance. The American Statistician, 37, 242–247.
    """

    ddof: int = 0

    def __post_init__(self) -> None:
        check_number(self.ddof, "ddof of Var")

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Moments(dtype, skipna, self.ddof, root=False)


@dataclasses.dataclass(frozen=True, repr=False)
class Std(Aggregation):
    """The standard deviation of the contributions; see `Var`."""

    ddof: int = 0

    def __post_init__(self) -> None:
        check_number(self.ddof, "ddof of Std")

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Moments(dtype, skipna, self.ddof, root=True)


@dataclasses.dataclass(frozen=True, repr=False)
class Count(Aggregation):
    """The number of contributions that are not missing, 0 where no patch covers a cell."""

    @property
    def covers_zero(self) -> bool:
        return True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Counted(dtype, skipna)


@dataclasses.dataclass(frozen=True, repr=False)
class First(Aggregation):
    """The contribution of the patch with the lowest label; of equal labels that which comes first."""

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Choose(dtype, skipna, "first")


@dataclasses.dataclass(frozen=True, repr=False)
class Last(Aggregation):
    """The contribution of the patch with the highest label; of equal labels that which comes last."""

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Choose(dtype, skipna, "last")


@dataclasses.dataclass(frozen=True, repr=False)
class MostCentral(Aggregation):
    """The contribution of the patch in which the cell is most central: safe for labels.

    The distance from the center is the largest of the normalized offsets over the dimensions; of
    equals the lowest patch label wins.
    """

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Choose(dtype, skipna, "central")


@dataclasses.dataclass(frozen=True, repr=False)
class Mode(Aggregation):
    """The most frequent contribution; of those equally frequent the smallest."""

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return stacked.Modal(dtype, skipna)


@dataclasses.dataclass(frozen=True, repr=False)
class HardVote(Mode):
    """Majority vote over class labels: another name of `Mode`."""


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
    window : Window or str, optional
        Synthesis window of the average.
    """

    dim: Hashable = "class"
    keep_probabilities: bool = False
    window: Any = None
    finalize: ClassVar[str | None] = "argmax"


@dataclasses.dataclass(frozen=True, repr=False)
class InvVarWeightedMean(Aggregation):
    """Mean weighted by inverse variance; takes and gives a Dataset of mean and variance.

    Parameters
    ----------
    mean, variance : hashable
        Names of the two variables.

    References
    ----------
    Hartung, J., Knapp, G. and Sinha, B. K. (2008). Statistical meta-analysis with applications.
    Wiley. The variance of the result, ``1 / Σ 1/σ²``, takes the patches as independent.
    """

    mean: Hashable = "mean"
    variance: Hashable = "variance"

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

    References
    ----------
    Wolpert, D. H. (1992). Stacked generalization. Neural Networks, 5, 241–259.
    """

    model: Any
    target: Any = None
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


_MEANS = (OverlapAdd, Mean, Sum, WeightedSum, InvVarWeightedMean, SoftVote, Learned)
_CHOICES = (Median, Quantile, Min, Max, First, Last, MostCentral, Mode, HardVote)
AGGREGATIONS: dict[str, type[Aggregation]] = {
    c.__name__.lower(): c for c in (*_MEANS, *_CHOICES, Var, Std, Count)
}


def as_aggregation(value: Any) -> Aggregation:
    """Turn None (overlap-add), a name, a window or an Aggregation into an Aggregation."""
    if value is None:
        return OverlapAdd()
    if isinstance(value, Window) or (isinstance(value, str) and value.lower() in WINDOWS):
        raise TypeError(f"{value!r} is a window, not an aggregation; use OverlapAdd({value!r})")
    if isinstance(value, Mapping):
        raise TypeError(f"merge variables one by one, patches[name].patch.merge(…), got {value!r}")
    return named(value, Aggregation, AGGREGATIONS, "aggregation")
