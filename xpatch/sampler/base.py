"""What the samplers share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.geometry import Anchors, Frame, Geometry, MemberGeometry, Places
from xpatch.geometry.lengths import cells_of, goes_with_latitude, length_of, size_of
from xpatch.spec import MOST, Spec, by_dim, is_integer, per_dim


class Sampler(Spec):
    """Base of the samplers.

    A sampler says where the anchors are: ``places(domain, geometry)``, which goes by `boxes` or by `lists`,
    whichever the geometry has. Those that look at the data take ``field`` as well.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(10), dims="x")
    >>> stride = xpatch.RegularStride(3)
    >>> stride.places(field.patch.domain, xpatch.Rectangular(4)).axes
    (array([0, 3, 6]),)
    """

    def places(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Any:
        """Give the `Anchors` of boxes on ``domain``, or the `Places` of lists of members."""
        if isinstance(geometry, MemberGeometry):
            return asked(self.lists, domain, geometry, field)
        return asked(self.boxes, domain, geometry, field)

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Place boxes."""
        raise TypeError(
            f"{type(self).__name__} places the anchors of lists of members; those of "
            f"{type(geometry).__name__} are placed by RegularStride, Random, PoissonDisk or Explicit"
        )

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Place the anchors of lists of members."""
        raise TypeError(
            f"{type(self).__name__} places boxes; the anchors of {type(geometry).__name__} are placed "
            "by EveryElement, Random, PoissonDisk, FibonacciSphere, AlongTrack or Explicit"
        )


def asked(places: Callable[..., Any], domain: Lattice, geometry: Geometry, field: Any) -> Any:
    """Ask a method of a sampler for the anchors; it is given the field if it has a place for it."""
    looks = len(inspect.signature(places).parameters) > 2
    return places(domain, geometry, *((field,) if looks else ()))


def listed(starts: NDArray) -> Anchors:
    """Turn starts of shape (patch, dim) into anchors."""
    return Anchors(tuple(np.ascontiguousarray(column) for column in starts.T))


def moved(starts: NDArray, frame: Frame) -> NDArray[np.bool_]:
    """Tell which boxes that start at ``starts`` the boundary moves, shape (patch, dim); dropped ones are not there."""
    out = np.zeros(starts.shape, bool)
    for k, word in enumerate(frame.boundary):
        low, high = frame.limits(k, frame.cells(k, starts))
        out[:, k] = (word in ("shift", "pad")) & ((starts[:, k] < low) | (starts[:, k] > high))
    return out


def unmoved(starts: NDArray, frame: Frame) -> bool:
    """Whether the boundary moves none of the boxes."""
    return not moved(starts, frame).any()


def limits_of(frame: Frame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the first and last allowed start along each dimension, and of what all are multiples."""
    dims = range(len(frame.dims))
    limits = np.array([frame.limits(k) for k in dims], np.int64)
    return limits, np.array([frame.multiple(k) for k in dims], np.int64)


def check_positive(value: Any, what: str, lengths: bool = False) -> None:
    """Raise unless every number in ``value`` is positive; with ``lengths`` it may be text, "300km"."""
    for one in (
        value.values() if isinstance(value, Mapping) else np.ravel(np.asarray(value, object))
    ):
        if lengths and isinstance(one, str):
            length_of(one, what)
            continue
        if isinstance(one, bool) or not isinstance(one, int | float | np.number):
            raise TypeError(f"{what} must be an int (cells) or a float (units), got {one!r}")
        if not one > 0:
            raise ValueError(f"{what} must be positive, got {one!r}")


def check_integer(value: Any, what: str, least: int) -> None:
    """Raise unless ``value`` is an int of at least ``least``, and not more than can be listed."""
    if not is_integer(value):
        raise TypeError(f"{what} must be an int, got {value!r}")
    if value < least:
        raise ValueError(f"{what} must be at least {least}, got {value!r}")
    if value > MOST:
        raise ValueError(f"{what} must be at most {MOST:,}, got {value!r}; draw several times")


def check_outside(value: Any) -> None:
    """Raise unless ``value`` says what becomes of places outside of the field."""
    if value not in ("raise", "drop"):
        raise ValueError(f"outside must be 'raise' or 'drop', got {value!r}")


def check_empty(value: Any) -> None:
    """Raise unless ``value`` says what becomes of lists without members."""
    if value not in (None, "raise", "keep", "drop"):
        raise ValueError(f"empty must be 'raise', 'keep' or 'drop', got {value!r}")


def checked_snap(snap: Any) -> Any:
    """Check of what starts shall be multiples: ints of at least 1, for all dimensions or by name."""
    snap = by_dim(snap, {}, "snap")
    if snap is None:
        return None
    each = (
        snap.values() if isinstance(snap, Mapping) else snap if isinstance(snap, tuple) else [snap]
    )
    for one in each:
        check_integer(one, "snap", 1)
    return snap


def no_snap(snap: Any, geometry: Any) -> None:
    """Raise a ValueError if lists of members shall snap."""
    if snap is not None:
        raise ValueError(
            f"snap is that of boxes; {type(geometry).__name__} has no first cell: leave it out"
        )


def steps_in_cells(step: Any, domain: Lattice, frame: Frame, what: str) -> list[int]:
    """Give the stride along each dimension in cells; default: the size."""
    value = per_dim(in_frame(step, domain, frame), frame.dims, what)
    return [
        _cells_of(domain, d, value[d], what) if value.get(d) is not None else size
        for d, size in zip(frame.dims, frame.sizes, strict=True)
    ]


def _cells_of(domain: Lattice, dim: Any, step: Any, what: str) -> int:
    """Give a stride in cells; one in km of longitude is none."""
    length = size_of(step, what)
    if goes_with_latitude(domain, dim, length):
        raise ValueError(
            f"{what} of {step!r} along {dim!r} is another number of cells in each row, which goes with boxes in km "
            "of longitude: Rectangular(lat='300km', lon='300km'); use '2deg', an int or a float"
        )
    return cells_of(domain, dim, length, what)


def in_frame(value: Any, domain: Lattice, frame: Frame) -> Any:
    """Let a tuple mean the spatial dimensions where these are some of the cut ones."""
    if isinstance(value, tuple) and len(value) != len(frame.dims):
        return per_dim(value, domain.spatial_dims, "a tuple")
    return value


def not_empty(starts: NDArray, what: str) -> NDArray:
    """Raise if no patch is left."""
    if not len(starts):
        raise ValueError(f"{what} leaves no patch: all overhang the field and were dropped")
    return starts
