"""`Patcher`: the four axes in one object."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Mapping
from typing import Any, Self, cast

from xpatch.api import merge, split
from xpatch.axes import Axes, SpaceTimeAxes, TimeAxes
from xpatch.spec import decode

__all__ = ["Patcher", "SpatioTemporalPatcher", "TimePatcher"]


class Splits:
    """What patchers of every kind can do."""

    aggregation: Any

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Rebuild a patcher from ``patches.patch.spec``.

        Raises
        ------
        ValueError
            If the specification holds a function, which cannot be written.
        """
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        names = [f.name for f in fields]
        needed = [f.name for f in fields if f.default is dataclasses.MISSING]
        if not isinstance(spec, Mapping) or not set(needed) <= set(spec):
            raise ValueError(
                f"a specification of {cls.__name__}, which patches.patch.spec gives, has "
                f"{' and '.join(needed)}; got {reprlib.repr(spec)}"
            )
        return cls(**{name: decode(spec[name]) for name in names if name in spec})

    def split(self, obj: Any, **kwargs: Any) -> Any:
        """Split a field; see `xpatch.split`."""
        return split(obj, cast(Any, self), **kwargs)

    def merge(self, patches: Any, **kwargs: Any) -> Any:
        """Merge patches with the aggregation of this patcher; see `xpatch.merge`."""
        return merge(patches, self.aggregation, **kwargs)


@dataclasses.dataclass(frozen=True, repr=False)
class Patcher(Splits, Axes):
    """Geometry, sampler, window and aggregation, to be used on many fields.

    Parameters
    ----------
    geometry : Geometry or mapping
        Shape of a patch.
    sampler : Sampler, optional
        Where the patches are; default: side by side.
    window : Window or str, optional
        Analysis window.
    aggregation : Aggregation or str, optional
        Default of merge; default: overlap-add.

    Examples
    --------
    >>> patcher = xpatch.Patcher({"y": 4, "x": 4}, xpatch.RegularStride(2), aggregation="median")
    >>> field = xr.DataArray(np.ones((8, 8)), dims=("y", "x"))
    >>> patcher.merge(patcher.split(field)).equals(field)
    True
    >>> xpatch.Patcher.from_spec(patcher.to_dict()) == patcher
    True
    """


@dataclasses.dataclass(frozen=True, repr=False)
class TimePatcher(Splits, TimeAxes):
    """Geometry, sampler, window and aggregation in time.

    Parameters
    ----------
    geometry : TimeGeometry
        `FixedLookback`, `LookbackHorizon`, `PhaseWindow` or `MultiScale`.
    sampler : TimeSampler, optional
        Where windows are anchored; default: at every step.
    window : Window or str, optional
        Analysis window.
    aggregation : Aggregation or str, optional
        Default of merge; default: `TemporalMean`, of a `MultiScale` `HierarchicalCombine`.

    Examples
    --------
    >>> time = np.arange("2000-01-01", "2000-02-01", dtype="M8[D]").astype("M8[ns]")
    >>> series = xr.DataArray(np.arange(31.0), {"time": time}, ("time",))
    >>> weeks = series.patch.split(xpatch.TimePatcher(xpatch.FixedLookback("7D")))
    >>> dict(weeks.sizes), weeks.lead.values
    ({'patch': 25, 'time': 7}, array([-6, -5, -4, -3, -2, -1,  0]))
    >>> bool(np.allclose(weeks.patch.merge(), series))
    True
    """


@dataclasses.dataclass(frozen=True, repr=False)
class SpatioTemporalPatcher(Splits, SpaceTimeAxes):
    """A Patcher in space and a TimePatcher, together.

    Parameters
    ----------
    spatial : Patcher
        The axes in space.
    temporal : TimePatcher
        The axes in time.
    coupling : {"product", "coupled"}, default: "product"
        Every patch in space with every window in time, space outer and time inner; or the anchors
        one to one, such as events with a place and a time.

    Examples
    --------
    >>> time = np.arange("2000-01-01", "2000-01-11", dtype="M8[D]").astype("M8[ns]")
    >>> field = xr.DataArray(np.ones((10, 6, 8)), {"time": time}, ("time", "y", "x"))
    >>> patcher = xpatch.SpatioTemporalPatcher(
    ...     xpatch.Patcher({"y": 3, "x": 4}), xpatch.TimePatcher(xpatch.FixedLookback(5))
    ... )
    >>> dict(field.patch.split(patcher).sizes)
    {'patch': 24, 'time': 5, 'y': 3, 'x': 4}
    """
