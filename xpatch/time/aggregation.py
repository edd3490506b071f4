"""How windows in time become a series again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from xpatch.aggregation import Aggregation, Windowed
from xpatch.engine import dtypes
from xpatch.engine import reducers as r
from xpatch.registry import register_aggregation
from xpatch.window import Window, as_window

SELECT = ("latest", "mean", "cube")


@dataclasses.dataclass(frozen=True, repr=False)
class TemporalMean(Windowed):
    """The weighted mean of all windows that hold a step.

    Parameters
    ----------
    window : TimeWindow, Window, str, tuple, function or array, optional
        The synthesis window; default: equal weights.

    Examples
    --------
    >>> field = xr.DataArray(np.arange(5.0), dims="time")
    >>> windows = field.patch.split(xpatch.FixedLookback(3))
    >>> means = windows.mean("time")
    >>> means.patch.merge(xpatch.TemporalMean()).values
    array([1. , 1.5, 2. , 2.5, 3. ])
    >>> means.patch.merge(xpatch.TemporalMean(xpatch.ExponentialDecay(1))).values.round(1)
    array([1. , 1.3, 1.4, 2.3, 3. ])
    """

    window: Any = None


@dataclasses.dataclass(frozen=True, repr=False)
class Forecast(Aggregation):
    """Put the horizons of forecasts together; only lead > 0 counts (from 0 on for CausalRolling).

    Parameters
    ----------
    select : {"latest", "mean", "cube"}, default: "latest"
        For each valid time the latest forecast, or the mean of all; or all of them, as a cube over
        ``forecast_reference_time``, in its order, and ``forecast_period`` (steps), with several of
        one time averaged.
    window : TimeWindow or function, optional
        Weights of the mean by lead.

    Raises
    ------
    ValueError
        If ``select`` is another word, or there is a window and no mean.

    Examples
    --------
    Persistence, two steps ahead of each anchor:

    >>> field = xr.DataArray(np.arange(5.0), dims="time")
    >>> both = field.patch.split(xpatch.LookbackHorizon(1, 2))
    >>> persistent = both * 0 + both.isel(time=0)
    >>> persistent.patch.merge(xpatch.Forecast("latest")).values
    array([nan,  0.,  1.,  2.,  2.])
    >>> persistent.patch.merge(xpatch.Forecast("mean")).values
    array([nan, 0. , 0.5, 1.5, 2. ])
    >>> dict(persistent.patch.merge(xpatch.Forecast("cube")).sizes)
    {'forecast_reference_time': 3, 'forecast_period': 2}
    """

    select: str = "latest"
    window: Any = None

    def __post_init__(self) -> None:
        if self.select not in SELECT:
            raise ValueError(
                f"select of Forecast must be one of {list(SELECT)}, got {self.select!r}"
            )
        if self.window is not None and self.select != "mean":
            raise ValueError("the window of Forecast weighs a mean: Forecast('mean', window=…)")
        object.__setattr__(self, "window", as_window(self.window))

    @property
    def preprocess(self) -> str:
        return "cube" if self.select == "cube" else "horizon"

    @property
    def synthesis(self) -> Window | None:
        return self.window

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        if self.select == "mean":
            return r.WeightedMean(dtype, skipna, dtypes.average(dtype))
        return r.Choose(dtype, skipna, "last")


@dataclasses.dataclass(frozen=True, repr=False)
class Sequential(Aggregation):
    """Fold a state through the patches in time order; their outputs are averaged where they overlap.

    Parameters
    ----------
    step : callable
        ``step(state, patch) -> (state, output)``; a patch is a DataArray or Dataset without patch
        dimension, the output has its shape.
    init : object, optional
        The first state; for patches in space and time, each place begins with a copy of it.

    Raises
    ------
    TypeError
        If ``step`` is no function.

    Notes
    -----
    Patches of a dask field are computed one block after the other, and the result is in memory.

    Examples
    --------
    A running total, of which each patch is one step:

    >>> field = xr.DataArray(np.arange(5.0), dims="time")
    >>> steps = field.patch.split(xpatch.FixedLookback(1))
    >>> def add(total, patch):
    ...     return total + patch.sum(), patch + total
    >>> steps.patch.merge(xpatch.Sequential(add, init=0.0)).values
    array([ 0.,  1.,  3.,  6., 10.])
    """

    step: Callable[[Any, Any], tuple[Any, Any]]
    init: Any = None

    def __post_init__(self) -> None:
        if not callable(self.step):
            raise TypeError(
                f"step of Sequential must be a function (state, patch), got {self.step!r}"
            )

    @property
    def preprocess(self) -> str:
        return "scan"

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.WeightedMean(dtype, skipna, dtypes.average(dtype))


for _cls in (TemporalMean, Forecast, Sequential):
    register_aggregation(_cls.__name__, _cls)
