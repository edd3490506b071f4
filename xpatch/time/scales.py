"""Windows of several lengths that end at the same anchor, and how their fields become one."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.aggregation import Aggregation, as_aggregation
from xpatch.engine import reducers as r
from xpatch.neighborhood import Part
from xpatch.registry import register_aggregation
from xpatch.spec import DimMap
from xpatch.time.aggregation import TemporalMean
from xpatch.time.axis import Duration, TimeAxis
from xpatch.time.geometry import FixedLookback, TimeGeometry

UNITS = (("D", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6))
LOST = "a function that is not stored"  # what is left of `combine` in patches read from a file


def named_scale(scale: Any) -> Any:
    """Give a scale as it is written: a number of steps, or text such as "7D".

    Raises
    ------
    TypeError, ValueError
        If it is neither a number of steps nor a duration, or not positive.
    """
    duration = Duration.of(scale, "a scale of MultiScale")
    if isinstance(scale, str):
        return scale
    if duration.steps is not None:
        return duration.steps
    if duration.months is not None:
        return f"{duration.months}MS"
    assert duration.seconds is not None
    for unit, seconds in UNITS:
        count = duration.seconds / seconds
        if abs(count - round(count)) < 1e-9 * count:
            return f"{round(count)}{unit}"
    raise ValueError(f"a scale of MultiScale must be whole microseconds, got {scale!r}")


def node_name(scale: Any) -> str:
    """Give the name of the node of a scale."""
    return scale if isinstance(scale, str) else str(named_scale(scale))


@dataclasses.dataclass(frozen=True, repr=False)
class MultiScale(TimeGeometry):
    """Windows of several lengths before each anchor, all coarsened to the same number of steps.

    A split gives an `xarray.DataTree` with one node for each scale: the same anchors (those whose
    longest window is complete), the same patch labels, and the mean over every so many steps as the
    scale is longer than the smallest, missing values left out.

    Parameters
    ----------
    scales : sequence of int, str, timedelta or offset
        Lengths, as in `FixedLookback`; whole multiples of the smallest, counted in steps. ``str`` of
        each is the name of its node.
    closed : {"right", "left"}, default: "right"
        ``"right"`` is (anchor − length, anchor], ``"left"`` [anchor − length, anchor).
    gaps : {"keep", "drop"}, default: "keep"
        Whether anchors whose longest window has a gap, a step longer than usual, are kept.
    dim : hashable, optional
        The time dimension, where the field has several.

    Notes
    -----
    The labels of a coarse cell, and ``lead``, are those of its last step, the newest that it knows
    of; bounds span all its steps. Integers and bool are averaged in float64, dates stay dates; text
    is that of the last step.

    Examples
    --------
    >>> time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
    >>> series = xr.DataArray(np.arange(60.0), {"time": time}, ("time",), name="t")
    >>> tree = series.patch.split(xpatch.TimePatcher(xpatch.MultiScale(["7D", "28D"])))
    >>> {name: dict(node.sizes) for name, node in tree.items()}
    {'7D': {'patch': 33, 'time': 7}, '28D': {'patch': 33, 'time': 7}}
    >>> tree["7D"].lead.values, tree["28D"].lead.values
    (array([-6, -5, -4, -3, -2, -1,  0]), array([-24, -20, -16, -12,  -8,  -4,   0]))
    >>> weekly = tree.patch.merge(xpatch.HierarchicalCombine(["7D"]))
    >>> bool(np.allclose(weekly[21:], series[21:]))
    True
    """

    scales: Any
    closed: str = "right"
    gaps: str = "keep"
    dim: Hashable | None = None

    def __post_init__(self) -> None:
        if isinstance(self.scales, str | Mapping) or not isinstance(self.scales, Iterable):
            raise TypeError(
                f"scales of MultiScale must be a sequence of lengths, such as ['7D', '28D'], got "
                f"{self.scales!r}"
            )
        object.__setattr__(self, "scales", tuple(map(named_scale, self.scales)))
        names = self.names
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"scales of MultiScale must be one or more different lengths, got {list(names)}"
            )
        if self.closed not in ("right", "left"):
            raise ValueError(
                f"closed of MultiScale must be 'right' or 'left', got {self.closed!r}; with the other "
                "words windows are a step longer or shorter, and no multiples of each other"
            )
        self._lookbacks()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(map(str, self.scales))

    def _lookbacks(self) -> dict[str, FixedLookback]:
        args = (self.closed, self.gaps, self.dim)
        return {str(s): FixedLookback(s, *args) for s in self.scales}

    def complete(self, axis: TimeAxis, closed: str | None = None) -> NDArray[np.bool_]:
        whole = [g.complete(axis, closed) for g in self._lookbacks().values()]
        return np.logical_and.reduce(whole)

    def neighborhood(
        self, axis: TimeAxis, anchors: NDArray[np.int64], closed: str | None = None
    ) -> Part:
        """Give the longest window of each anchor."""
        steps = self.steps(axis, anchors, closed)
        longest = max(steps, key=steps.__getitem__)
        return self._lookbacks()[longest].neighborhood(axis, anchors, closed)

    def steps(
        self, axis: TimeAxis, anchors: NDArray[np.int64], closed: str | None = None
    ) -> dict[str, int]:
        """Give the steps in the windows of each scale.

        Raises
        ------
        ValueError
            If windows of one scale differ in length, or a scale is no multiple of the smallest.
        """
        out = {}
        for name, lookback in self._lookbacks().items():
            window = lookback._window(axis, closed)
            lengths = (window.stop - window.start)[anchors]
            low, high = int(lengths.min()), int(lengths.max())
            if low != high:
                raise ValueError(
                    f"the windows of scale {name!r} of MultiScale hold {low} to {high} steps along "
                    f"{axis.dim!r}, and only windows of equal length are coarsened alike; give scales "
                    "in steps or days, or resample the field to even steps or to months"
                )
            out[name] = low
        small = min(out, key=out.__getitem__)
        for name, n in out.items():
            if n % out[small]:
                down = n // out[small] * out[small]
                raise ValueError(
                    f"scales of MultiScale must be whole multiples of the smallest, {small!r}, which "
                    f"has {out[small]} steps along {axis.dim!r}; {name!r} has {n}. Take one of {down} "
                    f"or {down + out[small]} steps instead"
                )
        return out


@dataclasses.dataclass(frozen=True, repr=False)
class HierarchicalCombine(Aggregation):
    """Merge the patches of each scale to a field, and combine these fields.

    Each coarse step paints the steps that it stands for.

    Parameters
    ----------
    scales : sequence of int or str, optional
        Which of the scales; default: all.
    combine : {"mean", "stack"}, sequence, mapping or callable, default: "mean"
        How fields of the scales become one, leaving missing values out: their mean; or the mean with
        weights, in the order of the scales or by name. ``"stack"`` or None keeps them, along a new
        first dimension ``scale``. A function takes this stack and returns the field.
    within : Aggregation, str or pair of them, optional
        How the patches of one scale become a field, as for `merge`; default: `TemporalMean`, or the
        aggregation in space of a SpatioTemporalPatcher.

    Examples
    --------
    >>> time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
    >>> series = xr.DataArray(np.arange(60.0), {"time": time}, ("time",), name="t")
    >>> tree = series.patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
    >>> dict(tree.patch.merge(xpatch.HierarchicalCombine(combine="stack")).sizes)
    {'scale': 2, 'time': 60}
    >>> detail = xpatch.HierarchicalCombine(
    ...     combine=lambda f: f.sel(scale="5") - f.sel(scale="20")
    ... )
    >>> tree.patch.merge(detail).dims
    ('time',)
    """

    scales: Any = None
    combine: Any = "mean"
    within: Any = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        if self.scales is not None:
            several = isinstance(self.scales, Iterable) and not isinstance(self.scales, str)
            given = self.scales if several else (self.scales,)
            set_(self, "scales", tuple(map(node_name, given)))
        if self.within is not None:
            pair = isinstance(self.within, tuple | list)
            given = self.within if pair else (self.within,)
            found = tuple(map(as_aggregation, given))
            set_(self, "within", found if pair else found[0])
            if any(isinstance(a, HierarchicalCombine) for a in found):
                raise TypeError("within of HierarchicalCombine is the aggregation of one scale")
        set_(self, "combine", _checked_combine(self.combine, self.scales))

    @property
    def of_one(self) -> Any:
        """The aggregation of one scale."""
        return TemporalMean() if self.within is None else self.within

    def to_dict(self) -> dict[str, Any]:
        """Give the specification as JSON-able values; a function leaves a note behind."""
        known = dataclasses.replace(self, combine=LOST) if callable(self.combine) else self
        return super(HierarchicalCombine, known).to_dict()

    def reducer(self, dtype: np.dtype, skipna: bool) -> r.Reducer:
        raise ValueError(
            "HierarchicalCombine merges a DataTree of scales, and these patches have one: split with "
            "TimePatcher(MultiScale([…])), or merge with another aggregation"
        )


def _checked_combine(combine: Any, scales: tuple[str, ...] | None) -> Any:
    """Check, and make weights hashable."""
    if combine is None:
        return "stack"
    if combine in ("mean", "stack", LOST) if isinstance(combine, str) else callable(combine):
        return combine
    if isinstance(combine, Mapping):
        combine = DimMap({node_name(s): w for s, w in combine.items()})
        weights = list(combine.values())
    elif isinstance(combine, Iterable) and not isinstance(combine, str):
        combine = weights = list(combine)
        if scales is not None and len(weights) != len(scales):
            raise ValueError(f"combine has {len(weights)} weights for the scales {list(scales)}")
        combine = tuple(weights)
    else:
        raise TypeError(
            "combine of HierarchicalCombine must be 'mean', 'stack', weights, or a function of the "
            f"stacked fields, got {combine!r}"
        )
    numbers = all(isinstance(w, int | float | np.number) for w in weights)
    if not numbers or any(not 0 <= w < np.inf for w in weights) or not sum(weights):
        raise ValueError(
            f"weights of HierarchicalCombine must be numbers of at least 0, not all 0, got {combine!r}"
        )
    return combine


register_aggregation("HierarchicalCombine", HierarchicalCombine)
