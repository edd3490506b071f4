"""Fit on the past of each window, predict what comes after it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xpatch.patches.names import LEAD_ATTRS
from xpatch.report import Bar, noted
from xpatch.spec import check_flag

__all__ = ["fit_predict"]


def fit_predict(
    patches: Any,
    fit: Callable[[Any], Any],
    predict: Callable[[Any, Any], Any],
    *,
    known: str | Sequence[Hashable] = (),
    progress: bool = False,
) -> Any:
    """Fit a model on the past of each patch, and predict its future, which it never sees.

    With `LookbackHorizon` of a fixed lookback these are rolling fits; with ``expanding=True`` each
    fit takes all that came before. One patch after the other is loaded, each fit stands alone; for
    a state that is carried from one to the next see `Sequential`.

    Parameters
    ----------
    patches : DataArray or Dataset
        Patches of `LookbackHorizon`, in time or in space and time.
    fit : callable
        Takes the past of one patch, without patch dimension and without empty slots, and returns a
        model of any kind. There is always a coordinate ``lead``, whether windows are equally long
        or not.
    predict : callable
        Takes the model and the future: the horizon of the patch with its times, places and leads,
        whose values are missing. Returns the values for it, as an array of the same shape or as
        an object like it; dimensions may be new (members of an ensemble) or left out.
    known : str or sequence of hashable
        Variables of a Dataset, and coordinates along time, that are known beforehand (a forcing, a
        calendar) and keep their values.
    progress : bool, default: False
        Draw a bar on stderr.

    Returns
    -------
    DataArray or Dataset
        The predictions, as the horizons of the patches: ``merge(Forecast(…))`` puts them on the
        time axis. Of a Dataset, what ``predict`` returns.

    Raises
    ------
    ValueError
        If the patches have no past or no future, or a prediction does not fit its horizon.

    Notes
    -----
    Patches of a dask field are computed one block after the other, and the predictions are in
    memory.

    Examples
    --------
    >>> time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
    >>> series = xr.DataArray(np.arange(60.0), {"time": time}, ("time",))
    >>> windows = series.patch.split(
    ...     xpatch.TimePatcher(xpatch.LookbackHorizon(14, 7), xpatch.RegularTimeStride(7))
    ... )
    >>> line = xpatch.fit_predict(
    ...     windows,
    ...     lambda past: np.polyfit(past.lead, past, 1),
    ...     lambda model, future: np.polyval(model, future.lead),
    ... )
    >>> bool(np.allclose(line, windows.patch.horizon))
    True
    >>> forecast = line.patch.merge(xpatch.Forecast("latest"))
    >>> int(forecast.isnull().sum())  # the first lookback, and the rest of the record
    18
    """
    from xpatch.models.horizon import horizon, lookback
    from xpatch.models.scan import as_patches, one_by_one
    from xpatch.patches.provenance import provenance

    known = _checked(patches, fit, predict, known, progress)
    past, future = lookback(patches), horizon(patches)
    source = provenance(patches)
    dim = source.dim
    times = {p.time_dim: p for p in source.plans if p.hood.time_dims}
    steps = {d: plan.steps(source.ordinals) for d, plan in times.items()}
    leads = {plan.called("lead") for plan in times.values()}
    unknown = [
        n for n in known if n not in future.coords and n not in getattr(future, "data_vars", ())
    ]
    if unknown:
        raise ValueError(f"known names {unknown[0]!r}, which the patches have not")
    outputs = []
    bar = Bar(len(source.ordinals)) if progress else None
    for k, both in one_by_one((past, future), dim, np.arange(len(source.ordinals))):
        at = {d: int(own[k]) for d, own in steps.items()}
        before, after = (_alone(p, times, at) for p in both)
        hidden = _hidden(after, times, set(known))
        with noted(f"on patch {int(source.ordinals[k])}"):
            output = _like(predict(fit(before), hidden), hidden, k)
        differ = [n for n in leads if n not in future.coords]  # from patch to patch
        output = output.drop_vars(differ, errors="ignore")
        outputs.append(output)
        if bar is not None:
            bar(1)
    return as_patches(outputs, future, dim) if outputs else future


def _checked(patches: Any, fit: Any, predict: Any, known: Any, progress: Any) -> list[Hashable]:
    """Give the names that are known, if all arguments are of their kinds."""
    if not isinstance(patches, xr.DataArray | xr.Dataset):
        raise TypeError(f"fit_predict takes patches, got {type(patches).__name__}")
    for what, func in (("fit", fit), ("predict", predict)):
        if not callable(func):
            raise TypeError(f"{what} must be a function, got {func!r}")
    check_flag(progress, "progress")
    if isinstance(known, str):
        return [known]
    if not isinstance(known, Iterable):
        raise TypeError(f"known must be a name or a sequence of names, got {known!r}")
    return list(known)


def _alone(patch: Any, times: Mapping[Hashable, Any], steps: Mapping[Hashable, int]) -> Any:
    """Give one patch, anchored at a step of each time axis, without the slots that are empty."""
    for time, plan in times.items():
        number, name = plan.called("number"), plan.called("lead")
        if number not in patch.coords or patch.coords[number].dims != (time,):
            continue
        patch = patch.isel({time: np.flatnonzero(patch.coords[number].values >= 0)})
        if name not in patch.coords:
            lead = patch.coords[number].values - steps[time]
            patch = patch.assign_coords({name: (time, lead, LEAD_ATTRS)})
    return patch


def _hidden(future: Any, plans: Mapping[Hashable, Any], known: set[Hashable]) -> Any:
    """Leave only what is known beforehand of a horizon."""
    times = set(plans)
    own = {*times, *known, *(plan.called(n) for plan in plans.values() for n in ("lead", "number"))}
    lost = [n for n, c in future.coords.items() if times & {*c.dims} and n not in own]
    future = future.drop_vars(lost)
    if isinstance(future, xr.DataArray):
        return future.where(False)
    items = future.data_vars.items()
    data = {n: v if n in known or not times & {*v.dims} else v.where(False) for n, v in items}
    return future.assign(data)


def _like(predicted: Any, hidden: Any, k: int) -> Any:
    """Check a prediction against its horizon."""
    if not isinstance(predicted, xr.DataArray | xr.Dataset):
        values = np.asarray(predicted)
        if not isinstance(hidden, xr.DataArray):
            raise ValueError(
                "predict must return a Dataset or a DataArray for patches that are a Dataset, got "
                f"{type(predicted).__name__}"
            )
        if values.shape != hidden.shape:
            raise ValueError(
                f"predict returned shape {values.shape} for patch {k}, whose horizon has "
                f"{dict(hidden.sizes)}; return that shape, or a DataArray with named dims"
            )
        return hidden.copy(data=values)
    for d, n in predicted.sizes.items():
        if d in hidden.sizes and hidden.sizes[d] != n:
            raise ValueError(
                f"predict returned {n} values along {d!r} for patch {k}, whose horizon has "
                f"{hidden.sizes[d]}"
            )
    from xpatch.models.scan import check_order

    check_order(predicted, hidden)
    return predicted
