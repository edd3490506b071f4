"""Statistics of the contributions to a cell that need no weights of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import ClassVar

import numpy as np

from xpatch.engine import dtypes, largest, stacked
from xpatch.engine import reducers as r
from xpatch.engine.moments import Moments
from xpatch.spec import Spec, check_fraction, check_number
from xpatch.window import Window


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
    alike : bool
        Whether the result is of the kind of the contributions, so that what stands for missing there
        does so in it, too.
    by_place : bool
        Whether a cell takes the value of one patch, which the place of the patches alone decides.
    numbered : bool
        Whether the result counts patches in the order of their labels, from one, and becomes labels:
        −1 where it is 0.
    """

    linear: ClassVar[bool] = False
    finalize: ClassVar[str | None] = None
    alike: ClassVar[bool] = True
    by_place: ClassVar[bool] = False
    numbered: ClassVar[bool] = False

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

    @property
    def of_one(self) -> Aggregation:
        """The aggregation of the patches of one scale."""
        return self


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
class ArgMax(Aggregation):
    """The label of the patch with the largest contribution, as in ``patches["patch"]``.

    Of equals the lowest label wins; −1 where no patch covers a cell, or all contributions are missing.
    """

    alike: ClassVar[bool] = False
    numbered: ClassVar[bool] = True

    @property
    def covers_zero(self) -> bool:
        return True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return largest.Largest(dtype, skipna)


@dataclasses.dataclass(frozen=True, repr=False)
class Any(Aggregation):
    """Whether any contribution is true, that is not zero; False if all of them are missing."""

    alike: ClassVar[bool] = False

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return largest.Truth(dtype, skipna, largest=True)


@dataclasses.dataclass(frozen=True, repr=False)
class All(Aggregation):
    """Whether all contributions are true, that is not zero; True if all of them are missing."""

    alike: ClassVar[bool] = False

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return largest.Truth(dtype, skipna, largest=False)


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
        return Moments(dtype, skipna, self.ddof, root=False)


@dataclasses.dataclass(frozen=True, repr=False)
class Std(Aggregation):
    """The standard deviation of the contributions; see `Var`."""

    ddof: int = 0

    def __post_init__(self) -> None:
        check_number(self.ddof, "ddof of Std")

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return Moments(dtype, skipna, self.ddof, root=True)


@dataclasses.dataclass(frozen=True, repr=False)
class Count(Aggregation):
    """The number of contributions that are not missing, 0 where no patch covers a cell."""

    alike: ClassVar[bool] = False

    @property
    def covers_zero(self) -> bool:
        return True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Counted(dtype, skipna)


@dataclasses.dataclass(frozen=True, repr=False)
class First(Aggregation):
    """The contribution of the patch with the lowest label; of equal labels that which comes first."""

    by_place: ClassVar[bool] = True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Choose(dtype, skipna, "first")


@dataclasses.dataclass(frozen=True, repr=False)
class Last(Aggregation):
    """The contribution of the patch with the highest label; of equal labels that which comes last."""

    by_place: ClassVar[bool] = True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Choose(dtype, skipna, "last")


@dataclasses.dataclass(frozen=True, repr=False)
class MostCentral(Aggregation):
    """The contribution of the patch in which the cell is most central: safe for labels.

    The distance from the center is the largest of the normalized offsets over the dimensions, then
    the sum of their squares; of equals the lowest patch label wins. So a cell of an outer product of
    boxes is taken from the box that is nearest along every dimension.
    """

    by_place: ClassVar[bool] = True

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
