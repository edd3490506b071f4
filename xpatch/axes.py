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
                f"{self.geometry!r} is a geometry in time; split with a TimePatcher: "
                "split(xpatch.TimePatcher(geometry, sampler)), and with space SpatioTemporalPatcher"
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
                    "sampler)), or RegularStride(time=…) for boxes along time"
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
                "a TimePatcher needs a sampler in time, such as RegularTimeStride(step), or "
                f"ExplicitTimes(times or patches), got {reprlib.repr(self.sampler)}"
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


def several_scales(patcher: Any) -> bool:
    """Whether windows in time have several scales, so that a split gives a DataTree."""
    temporal = patcher.temporal if isinstance(patcher, SpaceTimeAxes) else patcher
    return isinstance(temporal, TimeAxes) and isinstance(temporal.geometry, MultiScale)
