"""Fit on the past of each window, predict what comes after it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray import Variable

from xpatch.engine import dtypes
from xpatch.models.least_squares import LeastSquares
from xpatch.patches.index import whole_of, with_variables
from xpatch.patches.names import LEAD_ATTRS
from xpatch.report import Bar, noted
from xpatch.spec import check_flag

__all__ = ["fit_predict"]

LABEL_BYTES = 1 << 27  # of a coordinate that is read for all windows at once


def fit_predict(
    patches: Any,
    fit: Any,
    predict: Callable[[Any, Any], Any] | None = None,
    *,
    y: Hashable | None = None,
    x: Any = (),
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
    fit : LeastSquares, any object with ``fit(X, y)``, or callable
        A model as `fit` takes it, one copy for each window, of ``y`` and ``x``; `LeastSquares` is solved
        for all windows at once. Or a function that takes the past of one patch, without patch dimension
        and without empty slots, and returns a model of any kind. There is always a coordinate
        ``lead``, whether windows are equally long or not.
    predict : callable, optional
        Of a function `fit`: takes the model and the future: the horizon of the patch with its times,
        places and leads, whose values are missing. Returns the values for it, as an array of the same
        shape or as an object like it; dimensions may be new (members of an ensemble) or left out.
    y : hashable, optional
        Of a model: what is predicted; of a DataArray its own name, as default.
    x : hashable or sequence of hashable, optional
        Of a model: what it is predicted from, all known in the future: ``lead``, coordinates that
        have no time, and what ``known`` names.
    known : str or sequence of hashable
        Variables of a Dataset, and coordinates along time, that are known beforehand (a forcing, a
        calendar) and keep their values.
    progress : bool, default: False
        Draw a bar on stderr.

    Returns
    -------
    DataArray or Dataset
        The predictions, of a model a DataArray named y, as the horizons of the patches: ``merge(Forecast(…))`` puts them on the
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
    >>> same = xpatch.fit_predict(windows.rename("t"), xpatch.LeastSquares(), x="lead")
    >>> bool(np.allclose(same, line))
    True
    >>> forecast = line.patch.merge(xpatch.Forecast("latest"))
    >>> int(forecast.isnull().sum())  # the first lookback, and the rest of the record
    18
    """
    from xpatch.models.horizon import horizon, lookback
    from xpatch.models.scan import as_patches, one_by_one
    from xpatch.patches.provenance import provenance

    by_name = not callable(fit) or callable(getattr(fit, "fit", None))
    known = _checked(patches, fit, predict, known, progress, by_name)
    past, future = lookback(patches), horizon(patches)
    source = provenance(patches)
    dim = source.dim
    times = {p.time_dim: p for p in source.plans if p.hood.time_dims}
    unknown = [
        n for n in known if n not in future.coords and n not in getattr(future, "data_vars", ())
    ]
    if unknown:
        raise ValueError(f"known names {unknown[0]!r}, which the patches have not")
    if by_name:
        return _modeled(past, future, times, fit, y, x, known, progress)
    if y is not None or x != ():
        raise TypeError("y and x are for models; a function fit takes what it needs from the past")
    steps = {d: plan.steps(source.ordinals) for d, plan in times.items()}
    leads = {plan.called("lead") for plan in times.values()}
    assert predict is not None
    outputs = []
    bar = Bar(len(source.ordinals)) if progress else None
    past, hollow = _labels_read(past), _labels_read(_hidden(future, times, set(known)))
    for k, both in one_by_one((past, hollow), dim, np.arange(len(source.ordinals))):
        at = {d: int(own[k]) for d, own in steps.items()}
        before, hidden = (_alone(p, times, at) for p in both)
        hidden = _writable(hidden)
        with noted(f"on patch {int(source.ordinals[k])}"):
            output = _like(predict(fit(before), hidden), hidden, k)
        differ = [n for n in leads if n not in future.coords]  # from patch to patch
        output = output.drop_vars(differ, errors="ignore")
        outputs.append(output)
        if bar is not None:
            bar(1)
    return as_patches(outputs, future, dim) if outputs else future


def _checked(
    patches: Any, fit: Any, predict: Any, known: Any, progress: Any, by_name: bool
) -> list[Hashable]:
    """Give the names that are known, if all arguments are of their kinds."""
    if not isinstance(patches, xr.DataArray | xr.Dataset):
        raise TypeError(f"fit_predict takes patches, got {type(patches).__name__}")
    if by_name and not _is_model(fit):
        raise TypeError(f"fit must be a function, or a model with fit(X, y), got {fit!r}")
    if by_name and predict is not None:
        raise TypeError(
            f"{type(fit).__name__} predicts itself; leave predict out, and name y and x"
        )
    if not by_name and not callable(predict):
        raise TypeError(f"predict must be a function, got {predict!r}")
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


def _is_model(fit: Any) -> bool:
    return isinstance(fit, LeastSquares) or callable(getattr(fit, "fit", None))


def _modeled(
    past: Any,
    future: Any,
    times: Mapping[Hashable, Any],
    model: Any,
    y: Hashable | None,
    x: Any,
    known: list[Hashable],
    progress: bool,
) -> Any:
    """Fit a model to the past of all windows, and predict from what is known of the future."""
    from xpatch.models.design import names_of
    from xpatch.models.fit import fit
    from xpatch.models.predict import predict

    y = past.name if y is None and isinstance(past, xr.DataArray) else y
    if y is None:
        raise ValueError(
            "name y, which is predicted; a DataArray needs a name: patches.rename('t')"
        )
    past, future = (_with_leads(part, times) for part in (past, future))
    x = names_of(x, "x")
    allowed = {*known, *(plan.called(n) for plan in times.values() for n in ("lead", "number"))}
    for name in x:
        coord = name in future.coords and not {*times} & {*future.coords[name].dims}
        if name not in allowed and not coord and _has_time(future, name, times):
            raise ValueError(
                f"x={name!r} changes in time, and nothing says that it is known in the future: if it is, as a "
                f"calendar or a forcing, fit_predict(…, known=[{name!r}])"
            )
    theta = fit(past, model, y=y, x=x, progress=progress)
    return predict(theta, future)


def _has_time(part: Any, name: Hashable, times: Mapping[Hashable, Any]) -> bool:
    dataset = part if isinstance(part, xr.Dataset) else part.to_dataset(name=part.name)
    return name in dataset.variables and bool({*times} & {*dataset.variables[name].dims})


def _with_leads(part: Any, times: Mapping[Hashable, Any]) -> Any:
    """Give windows that differ in length the leads of their steps; NaN in empty slots."""
    for time, plan in times.items():
        name, number, step = (plan.called(n) for n in ("lead", "number", "step"))
        if name in part.coords or number not in part.coords or step not in part.coords:
            continue
        numbers = part.coords[number]
        if time in numbers.dims:
            lead = (numbers - part.coords[step]).where(numbers >= 0)
            part = part.assign_coords({name: lead.variable})
    return part


def _labels_read(part: Any) -> Any:
    """Give patches whose labels are in memory: made one by one they take longer than a fit."""
    found = {n: c.variable for n, c in part.coords.items() if c.chunks is None}
    small = {n: v for n, v in found.items() if not v._in_memory and v.nbytes <= LABEL_BYTES}
    return with_variables(part, {n: v.copy(deep=False).load() for n, v in small.items()})


def _writable(hidden: Any) -> Any:
    """Give one horizon its own memory: a prediction may be written into it."""
    whole = whole_of(hidden)
    shared = {n: v.variable for n, v in whole.data_vars.items() if _is_hollow(v.variable)}
    own = {n: v.copy(data=np.array(v.data)) for n, v in shared.items()}
    return with_variables(hidden, own) if own else hidden


def _is_hollow(variable: Variable) -> bool:
    data = variable.data
    return isinstance(data, np.ndarray) and not data.flags.writeable


def _hollow(array: xr.DataArray) -> xr.DataArray:
    """Give an array of missing values, which takes no memory and reads nothing."""
    dtype, fill = dtypes.filled(array.dtype, None)
    values = np.broadcast_to(np.array(fill, dtype), array.shape)
    return array.copy(data=values, deep=False)


def _hidden(future: Any, plans: Mapping[Hashable, Any], known: set[Hashable]) -> Any:
    """Leave only what is known beforehand of horizons."""
    times = set(plans)
    own = {*times, *known, *(plan.called(n) for plan in plans.values() for n in ("lead", "number"))}
    lost = [n for n, c in future.coords.items() if times & {*c.dims} and n not in own]
    future = future.drop_vars(lost)
    if isinstance(future, xr.DataArray):
        return _hollow(future)
    items = future.data_vars.items()
    data = {n: v if n in known or not times & {*v.dims} else _hollow(v) for n, v in items}
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
