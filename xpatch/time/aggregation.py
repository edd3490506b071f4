"""How windows in time become a series again."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xpatch.aggregation import AGGREGATIONS, Aggregation, Windowed
from xpatch.engine import dtypes
from xpatch.engine import reduce as r
from xpatch.later import Later
from xpatch.report import noted
from xpatch.window import Window, as_window

if TYPE_CHECKING:
    from xpatch.models import horizon as parts
    from xpatch.models import scan as looping
    from xpatch.models import spacetime as folding
else:
    looping = Later("xpatch.models.scan")
    folding, parts = Later("xpatch.models.spacetime"), Later("xpatch.models.horizon")

SELECT = ("latest", "mean", "cube")


@dataclasses.dataclass(frozen=True, repr=False)
class TemporalMean(Windowed):
    """The weighted mean of all windows that hold a step.

    Parameters
    ----------
    window : TimeWindow, Window or str, optional
        The synthesis window; default: equal weights.
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

    def prepared(self, patches: Any, source: Any, present: Any = None) -> tuple[Any, Any]:
        """Give the horizons of patches, the later made after the earlier, and which are present."""
        return parts.in_time_order(parts.horizon(patches)), present

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

    Notes
    -----
    Patches of a dask field are computed one block after the other, and the result is in memory.
    """

    step: Callable[[Any, Any], tuple[Any, Any]]
    init: Any = None

    def __post_init__(self) -> None:
        if not callable(self.step):
            raise TypeError(
                f"step of Sequential must be a function (state, patch), got {self.step!r}"
            )

    def prepared(self, patches: Any, source: Any, present: Any = None) -> tuple[Any, None]:
        """Run the fold, patch by patch, each place on its own, and give the outputs as patches.

        Those that are not present, because the function of `apply` failed on them, are left out.
        """
        dim, plan = source.dim, source.plans[0]
        places = (
            folding.sides_of(plan, source.ordinals).where
            if folding.is_both(plan)
            else source.ordinals * 0
        )
        order = np.argsort(plan.steps(source.ordinals), kind="stable")
        states: dict[int, Any] = {}
        count = len(np.unique(places))
        outputs: list[Any] = [None] * len(order)
        given = (patches,) if present is None else (patches, xr.DataArray(present, dims=dim))
        for k, (patch, *there) in looping.one_by_one(given, dim, order):
            if there and not there[0]:
                continue
            place = int(places[k])
            if place not in states:
                states[place] = self._first(count)
            with noted(f"in step of Sequential, on patch {int(source.ordinals[k])}"):
                states[place], outputs[k] = self._checked(self.step(states[place], patch), patch)
        kept = [k for k, output in enumerate(outputs) if output is not None]
        if not kept:
            return patches.isel({dim: kept}), None
        made = [outputs[k] for k in kept]
        return looping.as_patches(made, patches.isel({dim: kept}), dim), None

    def _first(self, places: int) -> Any:
        """Give the first state of each of so many places."""
        try:
            return copy.deepcopy(self.init)
        except Exception as error:
            if places == 1:
                return self.init
            raise TypeError(
                f"init of Sequential must be copied for each of {places} places, but {self.init!r} "
                f"cannot be: {error}; give None, and make the state in step"
            ) from error

    def _checked(self, result: Any, patch: Any) -> tuple[Any, Any]:
        """Raise if a step did not return a state and an output of the shape of a patch."""
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"step of Sequential must return a state and an output, got {type(result).__name__}"
            )
        output = result[1]
        if not isinstance(output, xr.DataArray | xr.Dataset):
            raise TypeError(
                "the output of step of Sequential must be a DataArray or Dataset, got "
                f"{type(output).__name__}; patch.copy(data=…) makes one"
            )
        if any(output.sizes.get(d) != n for d, n in patch.sizes.items()):
            raise ValueError(
                f"the output of step of Sequential has sizes {dict(output.sizes)}, the patch "
                f"{dict(patch.sizes)}; one value a window is put into it by xr.zeros_like(patch) + value"
            )
        looping.check_order(output, patch)
        return result

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        return r.WeightedMean(dtype, skipna, dtypes.average(dtype))


AGGREGATIONS.update({"temporalmean": TemporalMean, "forecast": Forecast, "sequential": Sequential})
