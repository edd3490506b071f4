"""What stands for a window: a name, a name with its parameters, a function, an array of weights."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.members import Members
from xpatch.spec import folded, keywords, named
from xpatch.window.profiles import Blackman, Boxcar, Custom, Gaussian, Hamming, Hann, Tukey, Window

__all__ = ["WINDOWS", "WeightMap", "as_window"]

MOST_WRITTEN = 1 << 18  # weights, which are some megabytes of text

WINDOWS: dict[str, type[Window]] = {
    "blackman": Blackman,
    "boxcar": Boxcar,
    "gaussian": Gaussian,
    "hamming": Hamming,
    "hann": Hann,
    "tukey": Tukey,
}
DEFAULTS: dict[str, tuple[Any, ...]] = {"gaussian": (0.25,)}  # of those that have none


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class WeightMap(Window):
    """A weight for each cell of a patch, which need be no product: an importance map.

    Parameters
    ----------
    weights : array or DataArray
        Finite weights ≥ 0 of the shape of a patch along the dimensions that are cut, in the order in
        which patches have them; or of what a model returned, where that is cropped or finer. Cells
        that have only weights of zero are uncovered. A DataArray names its dimensions, and may leave
        some out, along which weights are the same.
    dims : tuple of hashable, optional
        The dimensions of ``weights``; default: those of a DataArray.

    Raises
    ------
    TypeError
        If these are no real numbers.
    ValueError
        If a weight is negative or not finite, if all are zero, or if names do not fit the shape.

    Examples
    --------
    >>> far = np.hypot(*np.mgrid[-1:1:8j, -1:1:8j])
    >>> xpatch.OverlapAdd(np.exp(-(far**2)))
    OverlapAdd(window=WeightMap(<ndarray (8, 8)>))
    """

    weights: Any
    dims: Any = None

    def __post_init__(self) -> None:
        dims = getattr(self.weights, "dims", None) if self.dims is None else self.dims
        values = np.asarray(self.weights)
        if values.dtype.kind not in "biuf":
            raise TypeError(f"weights must be real numbers, got an array of dtype {values.dtype}")
        values = values.astype(float)
        if not values.size or not values.ndim:
            raise ValueError(
                f"weights must be of the shape of a patch, got an array of shape {values.shape}"
            )
        if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
            raise ValueError(
                "weights must be finite and ≥ 0, and not all 0, got an array from "
                f"{values.min()} to {values.max()}"
            )
        if dims is not None and len(set(dims)) != values.ndim:
            raise ValueError(
                f"weights of shape {values.shape} need {values.ndim} names of dimensions, got {dims!r}"
            )
        values.flags.writeable = False
        object.__setattr__(self, "weights", values)
        object.__setattr__(self, "dims", None if dims is None else tuple(dims))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeightMap):
            return NotImplemented
        return self.dims == other.dims and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash((self.weights.shape, self.dims, self.weights.tobytes()))

    @property
    def unnamed(self) -> bool:  # type: ignore[override]
        """Whether the dimensions have no names."""
        return self.dims is None

    def to_dict(self) -> dict[str, Any]:
        """Give the specification as JSON-able values; a large map is not written."""
        found = super().to_dict()
        return found if self.weights.size <= MOST_WRITTEN else {**found, "weights": None}

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        raise ValueError(f"{self!r} has no profile: it gives weights of cells, not of offsets")

    def rows(
        self, size: int, dim: Any, low: NDArray, high: NDArray, anchor: int | None = None
    ) -> NDArray[np.float64]:
        return np.ones((len(low), size))

    def radial(self, members: Members) -> NDArray[np.float64]:
        raise ValueError(
            f"{self!r} weighs the cells of boxes, and lists of members along {members.dim!r} have no "
            "shape; use Hann, Gaussian or Custom, which go by the distance from the anchor"
        )

    def fits(self, sizes: Mapping[Any, int]) -> bool:
        if self.dims is None:
            return bool(self.weights.shape == tuple(sizes.values()))
        return all(sizes.get(d) == n for d, n in zip(self.dims, self.weights.shape, strict=True))

    def table(self, sizes: Mapping[Any, int]) -> NDArray[np.float64]:
        if not self.fits(sizes):
            own = self.weights.shape
            mine = own if self.dims is None else dict(zip(self.dims, own, strict=True))
            several = self.weights.ndim == 1 < len(sizes)
            hint = (
                "; of a profile along each dimension the product, np.outer(y, x)" if several else ""
            )
            raise ValueError(
                f"weights of shape {mine} do not fit patches of {dict(sizes)}; give an array of shape "
                f"{tuple(sizes.values())}, or a DataArray with some of these dimensions{hint}"
            )
        if self.dims is None:
            return np.asarray(self.weights)
        there = [d for d in sizes if d in self.dims]
        ordered = self.weights.transpose([self.dims.index(d) for d in there])
        return np.expand_dims(ordered, [k for k, d in enumerate(sizes) if d not in there])


def as_window(value: Any) -> Window | None:
    """Turn None, a name, a name with parameters, a function, an array or a Window into a Window.

    Raises
    ------
    TypeError, ValueError
        If it is none of these.
    """
    if value is None or isinstance(value, Window):
        return value
    if hasattr(value, "__array__") and not isinstance(value, str | type):
        return WeightMap(value)
    if callable(value) and not isinstance(value, type):
        return Custom(value)
    if isinstance(value, tuple | list) and value and isinstance(value[0], str):
        return _with_parameters(value)
    if isinstance(value, str) and folded(value) in DEFAULTS:
        return _with_parameters((value, *DEFAULTS[folded(value)]))
    return named(value, Window, WINDOWS, "window")


def _with_parameters(value: Sequence[Any]) -> Window:
    """Make a window of its name and its parameters, such as ``("tukey", 0.25)``."""
    name, *given = value
    if any(v is None or isinstance(v, Window) or _is_name(v) for v in given):
        raise TypeError(
            f"a pair of windows, {reprlib.repr(value)}, goes with two geometries, one in space and one "
            "in time; otherwise give one window"
        )
    if folded(name) not in WINDOWS:
        raise ValueError(f"unknown window {name!r}; known are {sorted(WINDOWS)}")
    cls = WINDOWS[folded(name)]
    known = keywords(cls)[0]  # type: ignore[arg-type]
    if len(given) > len(known):
        takes = f"takes {', '.join(known)}" if known else "has no parameter"
        raise ValueError(f"window {name!r} {takes}, got {reprlib.repr(value)}")
    return cls(*given) if given else named(name, Window, WINDOWS, "window")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and folded(value) in WINDOWS
