"""The four axes together, checked and completed with defaults."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Mapping
from typing import Any

from xpatch.aggregation import as_aggregation
from xpatch.first_words import sampler_hint
from xpatch.geometry import MemberGeometry, as_geometry
from xpatch.sampler import EveryElement, RegularStride, Sampler
from xpatch.spec import Spec
from xpatch.time.aggregation import TemporalMean
from xpatch.time.geometry import TimeGeometry
from xpatch.time.sampler import RegularTimeStride, TimeSampler
from xpatch.time.scales import HierarchicalCombine, MultiScale
from xpatch.window import as_window


@dataclasses.dataclass(frozen=True, repr=False)
class Axes(Spec):
    """Geometry, sampler, analysis window and default aggregation of a split."""

    geometry: Any
    sampler: Any = None
    window: Any = None
    aggregation: Any = None

    def __post_init__(self) -> None:
        if self.geometry is None:
            raise TypeError(
                "split needs a geometry: split(geometry={'y': 64, 'x': 64}), Rectangular(…), "
                "KNNGraph(k), SphericalCap(radius_km), …"
            )
        if isinstance(self.geometry, TimeGeometry):
            raise TypeError(
                f"{self.geometry!r} is a geometry in time, which a TimePatcher takes: "
                "xpatch.TimePatcher(geometry, sampler), or split(geometry=…, sampler=…); and with space "
                "SpatioTemporalPatcher, or split(geometry=[Rectangular(…), FixedLookback(…)])"
            )
        geometry = as_geometry(self.geometry)
        sampler = self.sampler
        if sampler is None:
            listed = isinstance(geometry, MemberGeometry)
            sampler = EveryElement() if listed else RegularStride()
        if isinstance(sampler, Mapping):
            sampler = RegularStride(sampler)
        if not isinstance(sampler, Sampler):
            what = reprlib.repr(self.sampler)
            if isinstance(self.sampler, TimeSampler):
                what = (
                    f"{what}, which is one in time: split(xpatch.TimePatcher(FixedLookback(31), "
                    "sampler)), or split(geometry=FixedLookback(31), sampler=…), or RegularStride(time=…) "
                    f"for boxes along time such as {geometry!r}"
                )
            else:
                what += sampler_hint(self.sampler)
            raise TypeError(f"sampler must be a Sampler, got {what}")
        aggregation = None if self.aggregation is None else as_aggregation(self.aggregation)
        object.__setattr__(self, "geometry", geometry)
        object.__setattr__(self, "sampler", sampler)
        object.__setattr__(self, "window", as_window(self.window))
        object.__setattr__(self, "aggregation", aggregation)


@dataclasses.dataclass(frozen=True, repr=False)
class TimeAxes(Spec):
    """Geometry, sampler, analysis window and default aggregation in time."""

    geometry: Any
    sampler: Any = None
    window: Any = None
    aggregation: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.geometry, TimeGeometry):
            raise TypeError(
                "a TimePatcher needs a geometry in time, such as FixedLookback('30D'), got "
                f"{reprlib.repr(self.geometry)}"
            )
        sampler = RegularTimeStride() if self.sampler is None else self.sampler
        if not isinstance(sampler, TimeSampler):
            raise TypeError(
                f"{self.geometry!r} is a geometry in time and needs a sampler in time, such as "
                "RegularTimeStride(step), or ExplicitTimes(times or patches), got "
                f"{reprlib.repr(self.sampler)}"
            )
        several = isinstance(self.geometry, MultiScale)
        aggregation: Any = HierarchicalCombine() if several else TemporalMean()
        if self.aggregation is not None:
            aggregation = as_aggregation(self.aggregation)
        if several and not isinstance(aggregation, HierarchicalCombine):
            raise ValueError(
                f"the scales of MultiScale are put together by HierarchicalCombine, got {aggregation!r}; "
                f"to merge each scale so, give HierarchicalCombine(within={aggregation!r})"
            )
        object.__setattr__(self, "sampler", sampler)
        object.__setattr__(self, "window", as_window(self.window))
        object.__setattr__(self, "aggregation", aggregation)


@dataclasses.dataclass(frozen=True, repr=False)
class SpaceTimeAxes(Spec):
    """Axes in space and axes in time, and how their anchors go together."""

    spatial: Any
    temporal: Any
    coupling: str = "product"

    def __post_init__(self) -> None:
        if not isinstance(self.spatial, Axes) or not isinstance(self.temporal, TimeAxes):
            raise TypeError(
                "SpatioTemporalPatcher takes a Patcher and a TimePatcher, got "
                f"{self.spatial!r} and {self.temporal!r}"
            )
        if self.coupling not in ("product", "coupled"):
            raise ValueError(f"coupling must be 'product' or 'coupled', got {self.coupling!r}")

    @property
    def aggregation(self) -> Any:
        """Default of merge: that in space, unless it is given only in time."""
        mine, other = self.spatial.aggregation, self.temporal.aggregation
        if isinstance(other, HierarchicalCombine):
            return dataclasses.replace(other, within=other.within or mine)
        return mine or other


def composed(geometry: Any, sampler: Any, window: Any) -> Axes | TimeAxes | SpaceTimeAxes:
    """Put axes together: in space, in time, or of a pair of geometries in both.

    Raises
    ------
    TypeError, ValueError
        If they do not go together.
    """
    if isinstance(geometry, TimeGeometry):
        return TimeAxes(geometry, sampler, window)
    pair = isinstance(geometry, list | tuple)
    if not pair or not any(isinstance(g, TimeGeometry) for g in geometry):
        return Axes(geometry, sampler, window)
    timed = [isinstance(g, TimeGeometry) for g in geometry]
    if len(timed) != 2 or all(timed):
        raise ValueError(
            "several geometries are one in space and one in time, such as geometry=[Rectangular(y=64, "
            f"x=64), FixedLookback('30D')], got {reprlib.repr(geometry)}"
        )
    pairs = (geometry, _pair(sampler, "sampler"), _pair(window, "window"))
    space, time = zip(*pairs, strict=True) if timed[1] else list(zip(*pairs, strict=True))[::-1]
    return SpaceTimeAxes(Axes(*space), TimeAxes(*time))


def _pair(value: Any, what: str) -> Any:
    """Give what goes with each of two geometries."""
    if value is None:
        return None, None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise TypeError(
            f"{what} of two geometries is a pair in their order, or None, such as {what}=[one in space, "
            f"one in time], in which None is the default; got {reprlib.repr(value)}"
        )
    return value


def several_scales(patcher: Any) -> bool:
    """Whether windows in time have several scales, so that a split gives a DataTree."""
    temporal = patcher.temporal if isinstance(patcher, SpaceTimeAxes) else patcher
    return isinstance(temporal, TimeAxes) and isinstance(temporal.geometry, MultiScale)
