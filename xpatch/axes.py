"""The four axes together, checked and completed with defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from xpatch.aggregation import as_aggregation
from xpatch.geometry import MemberGeometry, as_geometry
from xpatch.sampler import EveryElement, RegularStride, Sampler
from xpatch.spec import Spec
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
        geometry = as_geometry(self.geometry)
        sampler = self.sampler
        if sampler is None:
            listed = isinstance(geometry, MemberGeometry)
            sampler = EveryElement() if listed else RegularStride()
        if isinstance(sampler, Mapping):
            sampler = RegularStride(sampler)
        if not isinstance(sampler, Sampler):
            raise TypeError(f"sampler must be a Sampler, got {self.sampler!r}")
        aggregation = None if self.aggregation is None else as_aggregation(self.aggregation)
        object.__setattr__(self, "geometry", geometry)
        object.__setattr__(self, "sampler", sampler)
        object.__setattr__(self, "window", as_window(self.window))
        object.__setattr__(self, "aggregation", aggregation)
