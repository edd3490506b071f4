"""`Patcher`: the four axes in one object."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Mapping
from typing import Any, Self

import xarray as xr

from xpatch.aggregation import AGGREGATIONS, Aggregation, as_aggregation
from xpatch.geometry import Geometry, MemberGeometry, as_geometry
from xpatch.geometry.boxes import is_size
from xpatch.geometry.lengths import TEXT
from xpatch.sampler import EveryElement, RegularStride, Sampler
from xpatch.spec import Spec, decode, is_number
from xpatch.time.aggregation import TemporalMean
from xpatch.time.geometry import TimeGeometry
from xpatch.time.sampler import RegularTimeStride, TimeSampler
from xpatch.time.scales import HierarchicalCombine, MultiScale
from xpatch.window import WINDOWS, Window, as_window

__all__ = ["Patcher", "SpatioTemporalPatcher", "TimePatcher"]


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
        if isinstance(self.geometry, list | tuple) and any(
            isinstance(g, Geometry | TimeGeometry | Mapping) for g in self.geometry
        ):
            raise TypeError(
                f"a Patcher has one geometry, got {reprlib.repr(self.geometry)}; one in space and one in time are "
                "SpatioTemporalPatcher(Patcher({'y': 64, 'x': 64}), TimePatcher(FixedLookback('30D')))"
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

    def anchors(self, field: Any) -> xr.Dataset:
        """Give where the patches of a field would be, of which none is cut yet.

        Reads coordinates alone, and of the values what the sampler asks for: `Valid`, `ByClass`,
        weights of `Random`.

        Parameters
        ----------
        field : DataArray or Dataset
            What would be split.

        Returns
        -------
        Dataset
            What ``patches.patch.anchors`` gives of the patches: labels and positions of their middle
            cells, or the places of lists of members, shape (patch,). Its length, ``len``, is the number
            of patches.

        Raises
        ------
        KeyError, ValueError, TypeError
            As `split`.

        Examples
        --------
        >>> field = xr.DataArray(
        ...     np.zeros((60, 80)), {"y": np.arange(60.0), "x": np.arange(80.0)}
        ... )
        >>> patcher = xpatch.Patcher({"y": 16, "x": 16}, xpatch.RegularStride(overlap="50%"))
        >>> anchors = patcher.anchors(field)
        >>> len(anchors), anchors.y.values[[0, -1]], anchors.x.values[[0, -1]]
        (63, array([ 8., 52.]), array([ 8., 72.]))
        """
        if not isinstance(field, xr.DataArray | xr.Dataset):
            raise TypeError(
                f"anchors are placed on a field, a DataArray or a Dataset, got {type(field).__name__}; of a "
                "catalog of files patcher.anchors(table.patch.field(…))"
            )
        found: xr.Dataset = field.patch._anchors_of(self)
        return found

    def split(self, obj: Any, **kwargs: Any) -> Any:
        """Split a field; see `xpatch.split`."""
        return obj.patch.split(self, **kwargs)

    def merge(self, patches: Any, **kwargs: Any) -> Any:
        """Merge patches with the aggregation of this patcher; see `xpatch.merge`."""
        return patches.patch.merge(self.aggregation, **kwargs)


@dataclasses.dataclass(frozen=True, repr=False)
class Patcher(Splits, Axes):
    """Geometry, sampler, window and aggregation, to be used on many fields.

    Parameters
    ----------
    geometry : Geometry or mapping
        Shape of a patch.
    sampler : Sampler, optional
        Where the patches are; default: side by side.
    window : Window, str, tuple, function or array, optional
        Analysis window.
    aggregation : Aggregation or str, optional
        Default of merge; default: overlap-add.

    Examples
    --------
    >>> patcher = xpatch.Patcher(
    ...     {"y": 4, "x": 4}, xpatch.RegularStride(2), aggregation="median"
    ... )
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
    window : Window, str, tuple, function or array, optional
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
        if pair and any(isinstance(g, Geometry) for g in geometry):
            second = reprlib.repr(geometry[1]) if len(geometry) > 1 else "…"
            raise ValueError(
                f"{reprlib.repr(geometry)} are geometries in space, which are split one after the other: "
                f"field.patch.split({geometry[0]!r}).patch.split({second}, dim='inner')"
            )
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
    if not isinstance(value, list | tuple) or len(value) != 2 or is_number(value[1]):
        raise TypeError(
            f"{what} of two geometries is a pair in their order, or None, such as {what}=[one in space, "
            f"one in time], in which None is the default; got {reprlib.repr(value)}"
        )
    return value


def several_scales(patcher: Any) -> bool:
    """Whether windows in time have several scales, so that a split gives a DataTree."""
    temporal = patcher.temporal if isinstance(patcher, SpaceTimeAxes) else patcher
    return isinstance(temporal, TimeAxes) and isinstance(temporal.geometry, MultiScale)


def check_first(value: Any, geometry: Any) -> None:
    """Raise a TypeError unless ``value`` may stand in place of a patcher: a geometry, or sizes.

    Parameters
    ----------
    value : object
        The first argument of a split, which is no patcher.
    geometry : object
        The geometry that was given as well, if there was one.
    """
    if not (isinstance(value, Geometry | TimeGeometry) or is_size(value)):
        raise TypeError(
            f"expected a Patcher, got {reprlib.repr(value)}, which is no geometry or size either, such as "
            f"Rectangular(y=64, x=64), {{'y': 64, 'x': 64}} or 64{_hint(value)}"
        )
    if geometry is not None:
        raise TypeError(
            f"split takes one geometry, got {reprlib.repr(value)} first and geometry="
            f"{reprlib.repr(geometry)}; leave one out"
        )


def _hint(value: Any) -> str:
    """Say where ``value`` belongs."""
    if isinstance(value, type):
        return f"; call it, {value.__name__}(…)"
    name = value.lower() if isinstance(value, str) else ""
    if isinstance(value, Window) or name in WINDOWS:
        return f"; windows are named, split(geometry, window={value!r})"
    if isinstance(value, Sampler | TimeSampler):
        return f"; samplers are named, split(geometry, sampler={value!r})"
    if isinstance(value, Aggregation) or name in AGGREGATIONS:
        return f"; aggregations are those of merge, patches.patch.merge({value!r})"
    if isinstance(value, xr.DataArray | xr.Dataset):
        return "; to cut where other patches are, split(geometry, sampler=Explicit(patches))"
    if hasattr(value, "geometry") or hasattr(value, "geom_type"):
        return "; what lies in polygons is PolygonIntersection(polygons)"
    return f"; a length is Rectangular({value!r})" if TEXT.fullmatch(name) else ""


def sampler_hint(value: Any) -> str:
    """Say what is meant by something that is no sampler."""
    if isinstance(value, type):
        return f"; call it, {value.__name__}(…)"
    if hasattr(value, "columns") or isinstance(value, xr.DataArray | xr.Dataset):
        return "; anchors of a table, a field or patches are Explicit(…): split(geometry, sampler=Explicit(places))"
    if is_size(value):
        return f"; a stride is RegularStride({value!r})"
    return "; such as RegularStride(32), RegularStride(overlap=8) or Random(n_samples)"


def check_name(dim: Any) -> None:
    """Raise a TypeError unless ``dim`` can be the name of the new dimension."""
    if not isinstance(dim, str):
        raise TypeError(f"dim, the name of the patch dimension, must be a str, got {dim!r}")
