"""Windows: one profile of the normalized offset from a patch's center."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.members import Members
from xpatch.engine.slices import AxisWeights, Slices
from xpatch.spec import DimMap, Spec, check_fraction, check_number, per_dim

__all__ = [
    "Blackman",
    "Boxcar",
    "Custom",
    "Gaussian",
    "Hamming",
    "Hann",
    "Tukey",
    "Window",
]

# Weights this small relative to the peak still merge exactly and do not vanish in float32.
SMALLEST = 1e-12


class Window(Spec):
    """Base of the windows.

    A window is sampled at half-sample offsets, ``(2 i + 1 − n) / n`` for cell ``i`` of ``n``: never at ±1,
    so that cells on the rim of the field keep a weight. Over the dimensions of a box it is a separable
    product; on lists of members radial, of the distance from the anchor as a fraction of the radius.

    Examples
    --------
    >>> xr.DataArray(np.ones(4), dims="x").patch.split(4, window="hann").values.round(2)
    array([[0.15, 0.85, 0.85, 0.15]])
    """

    temporal: ClassVar[bool] = False  # whether it weighs along time only
    unnamed: ClassVar[bool] = False  # whether `table` goes by the order of dimensions

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight at normalized offsets in (−1, 1) from the center."""
        raise NotImplementedError

    def rows(
        self, size: int, dim: Any, low: NDArray, high: NDArray, anchor: int | None = None
    ) -> NDArray[np.float64]:
        """Weights of boxes along one dimension, shape (box, size).

        ``low``, ``high``: which boxes lie on these edges of the field; ``anchor``: its cell, of windows in time.
        """
        offset = (2 * np.arange(size) + 1 - size) / size
        return np.broadcast_to(self.profile(offset), (len(low), size))

    def table(self, sizes: Mapping[Any, int]) -> NDArray[np.float64] | None:
        """Weights of a box that are no product, by which those of `rows` are multiplied.

        Shape is that of ``sizes``, or 1 along a dimension that makes no difference; None: all one.
        """
        return None

    def fits(self, sizes: Mapping[Any, int]) -> bool:
        """Whether `table` has weights of boxes of these sizes."""
        return True

    def check(self, parts: Sequence[Slices]) -> None:
        """Raise a ValueError if the window means nothing on these boxes."""

    def radial(self, members: Members) -> NDArray[np.float64]:
        """Weight of each member by its distance from the anchor, shape (member,)."""
        return np.asarray(self.profile(members.radial), float)


@dataclasses.dataclass(frozen=True, repr=False)
class Boxcar(Window):
    """Equal weights, optionally without a margin.

    Parameters
    ----------
    margin : int or mapping, default: 0
        Cells at each side of a patch that get weight zero: what a convolution spoils. The margin
        is kept on sides that lie on the edge of the field, where nothing else covers it.

    Examples
    --------
    >>> xr.DataArray(np.ones(6), dims="x").patch.split(3, window=xpatch.Boxcar(1)).values
    array([[1., 1., 0.],
           [0., 1., 1.]])
    """

    margin: Any = 0

    def __post_init__(self) -> None:
        values = self.margin.values() if isinstance(self.margin, Mapping) else [self.margin]
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise ValueError(f"Boxcar margin must be an int of cells ≥ 0, got {self.margin!r}")

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ones_like(offset)

    def rows(
        self, size: int, dim: Any, low: NDArray, high: NDArray, anchor: int | None = None
    ) -> NDArray[np.float64]:
        margin = self.margin.get(dim, 0) if isinstance(self.margin, Mapping) else self.margin
        if margin and 2 * margin >= size:
            raise ValueError(
                f"Boxcar(margin={margin}) leaves nothing of patches of {size} cells along {dim!r}; "
                f"use a margin below {(size + 1) // 2}"
            )
        out = np.ones((len(low), size))
        if margin:
            out[~low, :margin] = 0
            out[~high, size - margin :] = 0
        return out

    def radial(self, members: Members) -> NDArray[np.float64]:
        if self.margin:
            raise ValueError(
                f"{self!r} leaves cells at the sides of a box out, and lists of members have no "
                "sides; use Tukey or Custom, which go by the distance from the anchor"
            )
        return np.ones(len(members.elements))


@dataclasses.dataclass(frozen=True, repr=False)
class Hann(Window):
    """Raised cosine, ``(1 + cos π u) / 2``; the sum is constant at an overlap of one half.

    References
    ----------
    Harris, F. J. (1978). On the use of windows for harmonic analysis with the discrete Fourier
    transform. Proceedings of the IEEE, 66(1), 51–83.

    Examples
    --------
    >>> xpatch.Hann().profile(np.array([-0.5, 0.0, 0.5])).round(3)
    array([0.5, 1. , 0.5])
    """

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.5 * (1 + np.cos(np.pi * offset))


@dataclasses.dataclass(frozen=True, repr=False)
class Hamming(Window):
    """Raised cosine on a pedestal, ``0.54 + 0.46 cos π u``; the rim keeps 0.08 (Harris, 1978, see `Hann`).

    Examples
    --------
    >>> xpatch.Hamming().profile(np.array([-0.5, 0.0, 0.5])).round(3)
    array([0.54, 1.  , 0.54])
    """

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.54 + 0.46 * np.cos(np.pi * offset)


@dataclasses.dataclass(frozen=True, repr=False)
class Blackman(Window):
    """Two cosines, ``0.42 + 0.5 cos π u + 0.08 cos 2π u``: narrower than `Hann`, lower side lobes (Harris, 1978).

    Examples
    --------
    >>> xpatch.Blackman().profile(np.array([-0.5, 0.0, 0.5])).round(3)
    array([0.34, 1.  , 0.34])
    """

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        cosine = np.cos(np.pi * offset)
        weights = 0.34 + cosine * (0.5 + 0.16 * cosine)  # cos 2x = 2 cos² x − 1
        return np.maximum(weights, SMALLEST)


@dataclasses.dataclass(frozen=True, repr=False)
class Tukey(Window):
    """Flat in the middle with cosine flanks (Harris, 1978, see `Hann`).

    Parameters
    ----------
    alpha : float, default: 0.5
        Fraction of the patch that is tapered: 0 is Boxcar, 1 is Hann.

    Examples
    --------
    >>> xpatch.Tukey(0.5).profile(np.array([0.0, 0.5, 0.75])).round(3)
    array([1. , 1. , 0.5])
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        check_fraction(self.alpha, "Tukey alpha")

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.alpha == 0:
            return np.ones_like(offset)
        flank = (np.abs(offset) - (1 - self.alpha)) / self.alpha
        return 0.5 * (1 + np.cos(np.pi * np.clip(flank, 0, 1)))


@dataclasses.dataclass(frozen=True, repr=False)
class Gaussian(Window):
    """Gaussian weights, ``exp(−u² / 2σ²)`` (Harris, 1978, see `Hann`).

    Parameters
    ----------
    sigma : float
        Standard deviation, positive, in ``units``.
    units : {"fraction", "distance"}, default: "fraction"
        The half-size of the patch; or km or CRS units (of neighborhoods that have distances).

    Examples
    --------
    >>> xpatch.Gaussian(0.5).profile(np.array([-0.5, 0.0, 0.5])).round(3)
    array([0.607, 1.   , 0.607])
    """

    sigma: float
    units: str = "fraction"

    def __post_init__(self) -> None:
        check_number(self.sigma, "Gaussian sigma")
        if not self.sigma > 0:
            raise ValueError(f"Gaussian sigma must be positive, got {self.sigma!r}")
        if self.units not in ("fraction", "distance"):
            raise ValueError(f"Gaussian units are 'fraction' or 'distance', got {self.units!r}")

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.units == "distance":
            raise ValueError(
                "Gaussian(units='distance') needs neighborhoods with distances; boxes on a lattice "
                "have none: give sigma as a fraction of the half-size"
            )
        return np.maximum(np.exp(-0.5 * (offset / self.sigma) ** 2), SMALLEST)

    def radial(self, members: Members) -> NDArray[np.float64]:
        if self.units == "fraction":
            return super().radial(members)
        if members.distances is None:
            _ = members.radial  # says that distances are not known
        assert members.distances is not None
        return np.maximum(np.exp(-0.5 * (members.distances / self.sigma) ** 2), SMALLEST)


@dataclasses.dataclass(frozen=True, repr=False)
class Custom(Window):
    """Any profile.

    Parameters
    ----------
    fn : callable
        Takes an array of normalized offsets in (−1, 1) and gives finite weights ≥ 0 of its shape.

    Examples
    --------
    >>> xpatch.Custom(lambda u: 1 - abs(u)).profile(np.array([-0.5, 0.0, 0.5]))
    array([0.5, 1. , 0.5])
    """

    fn: Callable[[NDArray], Any]

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise TypeError(f"Custom needs a function of the normalized offset, got {self.fn!r}")

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = _as_floats(self.fn(offset))
        if weights.shape != np.shape(offset):
            raise ValueError(
                f"the function of Custom gave shape {weights.shape} for offsets of shape "
                f"{np.shape(offset)}; it must give one weight for each offset"
            )
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ValueError(
                "the function of Custom gave negative or non-finite weights; they must be finite and ≥ 0"
            )
        return weights


def _as_floats(values: Any) -> NDArray[np.float64]:
    """Give the weights that the function of Custom gave as floats."""
    try:
        given = np.asarray(values)
        if given.dtype.kind in "biufO":
            return given.astype(float)
        what = f"an array of dtype {given.dtype}"
    except (TypeError, ValueError):  # ragged, or objects that are no numbers
        what = reprlib.repr(values)
    raise TypeError(
        f"the function of Custom must give one real number ≥ 0 for each offset, got {what}"
    )


@dataclasses.dataclass(frozen=True, repr=False)
class ByDim(Window):
    """A window for each dimension: of space and of time."""

    dims: Mapping[Any, Any]

    @classmethod
    def of(cls, dims: Mapping[Any, Any]) -> ByDim:
        return cls(DimMap(dims))

    def profile(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        raise ValueError(f"{self!r} has no single profile")

    def rows(
        self, size: int, dim: Any, low: NDArray, high: NDArray, anchor: int | None = None
    ) -> NDArray[np.float64]:
        window = self.dims.get(dim) or Boxcar()
        return window.rows(size, dim, low, high, anchor)

    def table(self, sizes: Mapping[Any, int]) -> NDArray[np.float64] | None:
        out = None
        for window in dict.fromkeys(w for w in self.dims.values() if w is not None):
            own = {d: n for d, n in sizes.items() if self.dims.get(d) == window}
            if (found := window.table(own)) is not None:
                wide = np.expand_dims(found, [k for k, d in enumerate(sizes) if d not in own])
                out = wide if out is None else out * wide
        return out

    def radial(self, members: Members) -> NDArray[np.float64]:
        window = self.dims.get(members.dims[0]) or Boxcar()
        return window.radial(members)


@dataclasses.dataclass(frozen=True, repr=False)
class Squared(Window):
    """The square of a window, by which the variance of a weighted mean is weighted."""

    window: Window

    @property
    def temporal(self) -> bool:  # type: ignore[override]
        """Whether it weighs along time only."""
        return self.window.temporal

    @property
    def unnamed(self) -> bool:  # type: ignore[override]
        """Whether `table` goes by the order of dimensions."""
        return self.window.unnamed

    def rows(
        self, size: int, dim: Any, low: NDArray, high: NDArray, anchor: int | None = None
    ) -> NDArray[np.float64]:
        return self.window.rows(size, dim, low, high, anchor) ** 2

    def table(self, sizes: Mapping[Any, int]) -> NDArray[np.float64] | None:
        found = self.window.table(sizes)
        return None if found is None else found**2

    def fits(self, sizes: Mapping[Any, int]) -> bool:
        return self.window.fits(sizes)

    def check(self, parts: Sequence[Slices]) -> None:
        self.window.check(parts)

    def radial(self, members: Members) -> NDArray[np.float64]:
        return self.window.radial(members) ** 2


def is_boxcar(window: Window | None) -> bool:
    """Whether the window leaves values as they are or zero."""
    return window is None or isinstance(window, Boxcar)


def slice_weights(window: Window | None, parts: Sequence[Slices]) -> tuple[AxisWeights | None, ...]:
    """Sample a window on boxes: weights along each dimension; None where every weight is one."""
    window = window or Boxcar()
    window.check(parts)
    if isinstance(getattr(window, "margin", None), Mapping):
        per_dim(window.margin, tuple(p.dim for p in parts), "Boxcar margin")  # type: ignore[attr-defined]
    out: list[AxisWeights | None] = []
    for p in parts:
        low = (p.starts <= 0) & (not p.wrap)
        high = (p.starts + p.counts >= p.n) & (not p.wrap)
        each = p.counts * 4 + low * 2 + high
        _, first, pick = np.unique(each, return_index=True, return_inverse=True)
        rows = np.zeros((len(first), p.size))  # empty slots weigh nothing
        for size in np.unique(p.counts[first]):
            own = p.counts[first] == size
            at = first[own]
            rows[own, :size] = window.rows(int(size), p.dim, low[at], high[at], p.anchor)
        out.append(None if (rows == 1).all() else AxisWeights(rows, pick.reshape(-1)))
    return tuple(out)


def member_weights(window: Window | None, members: Members) -> NDArray[np.float64] | None:
    """Sample ``window`` on members, shape (member,); None where every weight is one."""
    if window is None or window == Boxcar():
        return None
    return window.radial(members)
