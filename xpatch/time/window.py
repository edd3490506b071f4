"""Windows in time: functions of the lead, the steps from the anchor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.neighborhood import Members, Slices
from xpatch.spec import check_fraction
from xpatch.window import SMALLEST, Window


def _check_steps(value: Any, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(
            f"{what} must be a number of steps, got {value!r}; windows are functions of the lead, which "
            "is counted in steps"
        )
    if not value > 0:
        raise ValueError(f"{what} must be positive, got {value!r}")


class TimeWindow(Window):
    """Base of the windows of the lead: negative in the past, positive in the future.

    In a `PhaseWindow` tapers are functions of the phase instead: the steps from the anchor's phase.
    """

    temporal = True
    by_lead = False  # whether leads count where distances are those of phases

    def weights(self, lead: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight at leads in steps; the past reaches back to ``lead.min()``."""
        raise NotImplementedError

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        raise ValueError(
            f"{self!r} is a window in time: it needs to know where the anchor is, so it goes with the "
            "geometries in time (FixedLookback, …), not with boxes in space"
        )

    def check(self, parts: Sequence[Slices]) -> None:
        if all(p.anchor is None for p in parts):
            self.profile(np.zeros(0))

    def rows(
        self, size: int, dim: Any, low: NDArray, high: NDArray, anchor: int | None = None
    ) -> NDArray[np.float64]:
        if anchor is None:  # a dimension of space beside that of time
            return np.ones((len(low), size))
        lead = np.arange(size, dtype=float) - anchor
        return np.broadcast_to(self.weights(lead), (len(low), size))

    def radial(self, members: Members) -> NDArray[np.float64]:
        if members.numbers is None or members.distances is None:
            self.profile(np.zeros(0))
        assert members.distances is not None
        return self.weights(members.leads.astype(float) if self.by_lead else members.distances)


@dataclasses.dataclass(frozen=True, repr=False)
class CausalBoxcar(TimeWindow):
    """Equal weights up to the anchor, none after it.

    Examples
    --------
    >>> xpatch.CausalBoxcar().weights(np.arange(-2, 3.0))
    array([1., 1., 1., 0., 0.])
    """

    by_lead = True

    def weights(self, lead: NDArray[np.float64]) -> NDArray[np.float64]:
        return (lead <= 0).astype(float)


@dataclasses.dataclass(frozen=True, repr=False)
class ExponentialDecay(TimeWindow):
    """``exp(−|lead| / tau)``: what is nearer to the anchor counts more, in a `PhaseWindow` too.

    Parameters
    ----------
    tau : float
        In steps: where the weight has fallen to 1/e.

    Raises
    ------
    TypeError
        If ``tau`` is no number of steps.
    ValueError
        If it is not positive.

    Examples
    --------
    >>> xpatch.ExponentialDecay(2).weights(np.arange(-4, 1.0)).round(2)
    array([0.14, 0.22, 0.37, 0.61, 1.  ])
    """

    by_lead = True

    tau: float

    def __post_init__(self) -> None:
        _check_steps(self.tau, "ExponentialDecay tau")

    def weights(self, lead: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(np.exp(-np.abs(lead) / self.tau), SMALLEST)


@dataclasses.dataclass(frozen=True, repr=False)
class TaperedTukey(TimeWindow):
    """Flat near the anchor, with a cosine flank at the far end of the past and of the future.

    Parameters
    ----------
    alpha : float, default: 0.5
        Fraction of the reach that is tapered.

    Raises
    ------
    ValueError
        If ``alpha`` is not between 0 and 1.

    References
    ----------
    Harris (1978), see `Hann`; here the flanks are those far from the anchor.

    Examples
    --------
    Of a lookback of six steps and a horizon of two:

    >>> xpatch.TaperedTukey(0.5).weights(np.arange(-5, 3.0)).round(2)
    array([0.08, 0.57, 0.98, 1.  , 1.  , 1.  , 1.  , 0.35])
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        check_fraction(self.alpha, "TaperedTukey alpha")

    def weights(self, lead: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(lead):
            return np.ones_like(lead)
        return self._tapered(lead, max(-lead.min(), 0), max(lead.max(), 0))

    def radial(self, members: Members) -> NDArray[np.float64]:
        super().radial(members)  # which checks
        lead, patches = np.asarray(members.distances), members.patches
        past, future = np.zeros(len(members)), np.zeros(len(members))  # each list has its own reach
        np.maximum.at(past, patches, -lead)
        np.maximum.at(future, patches, lead)
        return self._tapered(lead, past[patches], future[patches])

    def _tapered(self, lead: NDArray[np.float64], past: Any, future: Any) -> NDArray[np.float64]:
        if not self.alpha:
            return np.ones_like(lead)
        offset = np.abs(lead) / (np.where(lead <= 0, past, future) + 0.5)
        flank = np.clip((offset - (1 - self.alpha)) / self.alpha, 0, 1)
        return np.maximum(0.5 * (1 + np.cos(np.pi * flank)), SMALLEST)


@dataclasses.dataclass(frozen=True, repr=False)
class Periodic(TimeWindow):
    """A cyclic taper: one at the phase of the anchor, least half a period away from it.

    ``(1 + cos(2π · lead / period)) / 2``, in every cycle.

    Parameters
    ----------
    period : float
        In steps.

    Raises
    ------
    TypeError
        If ``period`` is no number of steps.
    ValueError
        If it is not positive.

    Examples
    --------
    Of monthly data in the month of the anchor, and a quarter, half and a whole year later:

    >>> xpatch.Periodic(12).weights(np.array([0.0, 3, 6, 12])).round(2)
    array([1. , 0.5, 0. , 1. ])
    """

    period: float

    def __post_init__(self) -> None:
        _check_steps(self.period, "Periodic period")

    def weights(self, lead: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(0.5 * (1 + np.cos(2 * np.pi * lead / self.period)), SMALLEST)
