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
    finalize : str, optional
        What becomes of the merged values: "argmax" takes the most probable class.
    alike : bool
        Whether the result is of the kind of the contributions: what is missing there is so in it, too.
    by_place : bool
        Whether a cell takes the value of one patch, which the place of the patches alone decides.
    numbered : bool
        Whether the result numbers patches by label, from one, and becomes labels: −1 where it is 0.

    Examples
    --------
    >>> [a.linear for a in (xpatch.OverlapAdd("hann"), xpatch.Median())]
    [True, False]
    """

    linear: ClassVar[bool] = False
    finalize: ClassVar[str | None] = None
    alike: ClassVar[bool] = True
    by_place: ClassVar[bool] = False
    numbered: ClassVar[bool] = False

    @property
    def preprocess(self) -> str | None:
        """What is done before: "horizon" takes what is after the anchor, "cube" each forecast, "scan" folds."""
        return None

    @property
    def variables(self) -> tuple[Hashable, ...]:
        """Names of the variables of a Dataset that go in together; empty: each goes in alone."""
        return ()

    @property
    def normalize(self) -> bool:
        """Whether a linear result is divided by the sum of the weights."""
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
    """The plain mean of the contributions; after an analysis window, divided by its sum.

    Examples
    --------
    >>> pairs = xr.DataArray([1, 5, 9], dims="x").patch.split(2)
    >>> pairs.max("x").patch.merge("mean").values
    array([5., 7., 9.])
    """

    linear: ClassVar[bool] = True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.WeightedMean(dtype, skipna, dtypes.average(dtype))


@dataclasses.dataclass(frozen=True, repr=False)
class Sum(Aggregation):
    """The sum of the contributions; a cell whose contributions are all missing is missing.

    Examples
    --------
    >>> xr.DataArray([1, 5, 9], dims="x").patch.split(2).patch.merge("sum").values
    array([ 1, 10,  9])
    """

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

    Examples
    --------
    >>> pairs = xr.DataArray([1, 5, 9], dims="x").patch.split(2)
    >>> pairs.mean("x").patch.merge(xpatch.Quantile(0.25)).values
    array([3., 4., 7.])
    """

    q: float

    def __post_init__(self) -> None:
        check_fraction(self.q, "Quantile q")

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return stacked.Quantiles(dtype, skipna, self.q)


@dataclasses.dataclass(frozen=True, repr=False)
class Median(Aggregation):
    """The median of the contributions.

    Examples
    --------
    >>> runs = xr.DataArray(np.zeros(5), dims="time").patch.split(xpatch.FixedLookback(3))
    >>> (runs + runs["patch"] ** 2).patch.merge("median").values
    array([0. , 0.5, 1. , 2.5, 4. ])
    """

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return stacked.Quantiles(dtype, skipna, 0.5)


@dataclasses.dataclass(frozen=True, repr=False)
class Min(Aggregation):
    """The smallest contribution.

    Examples
    --------
    >>> pairs = xr.DataArray([1, 5, 9], dims="x").patch.split(2)
    >>> pairs.mean("x").patch.merge("min").values
    array([3., 3., 7.])
    """

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Extreme(dtype, skipna, largest=False)


@dataclasses.dataclass(frozen=True, repr=False)
class Max(Aggregation):
    """The largest contribution.

    Examples
    --------
    >>> pairs = xr.DataArray([1, 5, 9], dims="x").patch.split(2)
    >>> pairs.mean("x").patch.merge("max").values
    array([3., 7., 7.])
    """

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Extreme(dtype, skipna, largest=True)


@dataclasses.dataclass(frozen=True, repr=False)
class ArgMax(Aggregation):
    """The label of the patch with the largest contribution, as in ``patches["patch"]``.

    Of equals the lowest label wins; −1 where no patch covers a cell, or all contributions are missing.

    Examples
    --------
    >>> pairs = xr.DataArray([1, 5, 9], dims="x").patch.split(2)
    >>> pairs.mean("x").patch.merge("argmax").values
    array([0, 1, 1])
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
    """Whether any contribution is true, that is not zero; False if all of them are missing.

    Examples
    --------
    >>> wet = xr.DataArray([1, 0, 0], dims="x").patch.split(2)
    >>> wet.any("x").patch.merge("any").values
    array([ True,  True, False])
    """

    alike: ClassVar[bool] = False

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return largest.Truth(dtype, skipna, largest=True)


@dataclasses.dataclass(frozen=True, repr=False)
class All(Aggregation):
    """Whether all contributions are true, that is not zero; True if all of them are missing.

    Examples
    --------
    >>> wet = xr.DataArray([1, 0, 0], dims="x").patch.split(2)
    >>> wet.any("x").patch.merge("all").values
    array([ True, False, False])
    """

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

    Examples
    --------
    >>> pairs = xr.DataArray([1, 5, 9], dims="x").patch.split(2)
    >>> pairs.mean("x").patch.merge("var").values
    array([0., 4., 0.])
    """

    ddof: int = 0

    def __post_init__(self) -> None:
        check_number(self.ddof, "ddof of Var")

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return Moments(dtype, skipna, self.ddof, root=False)


@dataclasses.dataclass(frozen=True, repr=False)
class Std(Aggregation):
    """The standard deviation of the contributions; see `Var`.

    Examples
    --------
    >>> pairs = xr.DataArray([1, 5, 9], dims="x").patch.split(2)
    >>> pairs.mean("x").patch.merge("std").values
    array([0., 2., 0.])
    """

    ddof: int = 0

    def __post_init__(self) -> None:
        check_number(self.ddof, "ddof of Std")

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return Moments(dtype, skipna, self.ddof, root=True)


@dataclasses.dataclass(frozen=True, repr=False)
class Count(Aggregation):
    """The number of contributions that are not missing, 0 where no patch covers a cell.

    Examples
    --------
    >>> xr.DataArray([1, 5, 9], dims="x").patch.split(2).patch.merge("count").values
    array([1, 2, 1])
    """

    alike: ClassVar[bool] = False

    @property
    def covers_zero(self) -> bool:
        return True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Counted(dtype, skipna)


@dataclasses.dataclass(frozen=True, repr=False)
class First(Aggregation):
    """The contribution of the patch with the lowest label; of equal labels that which comes first.

    Examples
    --------
    >>> pairs = xr.DataArray([9, 5, 1], dims="x").patch.split(2)
    >>> pairs.mean("x").patch.merge("first").values
    array([7., 7., 3.])
    """

    by_place: ClassVar[bool] = True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Choose(dtype, skipna, "first")


@dataclasses.dataclass(frozen=True, repr=False)
class Last(Aggregation):
    """The contribution of the patch with the highest label; of equal labels that which comes last.

    Examples
    --------
    >>> pairs = xr.DataArray([9, 5, 1], dims="x").patch.split(2)
    >>> pairs.mean("x").patch.merge("last").values
    array([7., 3., 3.])
    """

    by_place: ClassVar[bool] = True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Choose(dtype, skipna, "last")


@dataclasses.dataclass(frozen=True, repr=False)
class MostCentral(Aggregation):
    """The contribution of the patch in which the cell is most central: safe for labels.

    The distance from the center is the largest normalized offset of all dimensions, then the sum of their
    squares; of equals the lowest label wins. So an outer product takes the nearest box of every dimension.

    Examples
    --------
    >>> runs = xr.DataArray(np.zeros(5), dims="time").patch.split(xpatch.FixedLookback(3))
    >>> (runs + runs["patch"]).patch.merge("mostcentral").values
    array([0., 0., 1., 2., 2.])
    """

    by_place: ClassVar[bool] = True

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.Choose(dtype, skipna, "central")


@dataclasses.dataclass(frozen=True, repr=False)
class Mode(Aggregation):
    """The most frequent contribution; of those equally frequent the smallest.

    Examples
    --------
    >>> runs = xr.DataArray(np.zeros(5), dims="time").patch.split(xpatch.FixedLookback(3))
    >>> (runs + [[4], [7], [7]]).patch.merge("mode").values
    array([4., 4., 7., 7., 7.])
    """

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return stacked.Modal(dtype, skipna)


@dataclasses.dataclass(frozen=True, repr=False)
class HardVote(Mode):
    """Majority vote over class labels: another name of `Mode`.

    Examples
    --------
    >>> runs = xr.DataArray(np.zeros(5), dims="time").patch.split(xpatch.FixedLookback(3))
    >>> (runs + [[4], [7], [7]]).patch.merge("hardvote").values
    array([4., 4., 7., 7., 7.])
    """
