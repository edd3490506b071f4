"""Samplers on a stride."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.geometry import Anchors, Frame, Geometry, MemberGeometry, Places
from xpatch.geometry.around import BoxOfElements
from xpatch.geometry.rows import RowFrame
from xpatch.report import tell
from xpatch.sampler.base import (
    Sampler,
    check_empty,
    check_positive,
    checked_snap,
    in_frame,
    listed,
    no_snap,
    not_empty,
    steps_in_cells,
)
from xpatch.sampler.extent import is_over_extent, over_extent
from xpatch.sampler.rows import row_by_row, step_across
from xpatch.spec import by_dim, check_amount, check_fraction, check_seed, per_dim


def regular_starts(frame: Frame, k: int, step: int) -> NDArray[np.int64]:
    """Give the starts of a regular stride along dimension number ``k``.

    Raises
    ------
    ValueError
        If the boundary is "raise" and the stride does not tile the dimension.
    """
    dim, size, n, boundary = frame.dims[k], frame.sizes[k], frame.shape[k], frame.boundary[k]
    if step > size and boundary != "drop" and n > size:
        tell(
            f"a step of {step} along {dim!r} is larger than the patches of {size} cells: "
            f"{step - size} of every {step} cells stay uncovered; use a step of at most {size} to "
            "cover the field"
        )
    multiple = frame.multiple(k)
    if step % multiple:
        raise ValueError(
            f"a step of {step} along {dim!r} is no multiple of snap={multiple}, of which every start shall be "
            "one; use a multiple of it"
        )
    if boundary == "wrap":
        return np.arange(0, n, step)
    if boundary == "pad":
        return np.arange(-max(size - step, 0) // multiple * multiple, n, step)
    starts = np.arange(0, n - size + 1, step)
    rest = n - size - starts[-1]
    if rest and boundary == "raise":
        raise ValueError(
            f"patches of {size} cells with a step of {step} do not tile the {n} cells of {dim!r}: "
            f"{rest} are left over; choose another size or step, or boundary='shift'"
        )
    if rest and boundary == "shift":
        last = frame.limits(k)[1]
        if last > starts[-1]:
            starts = np.append(starts, last)
        warn_uncovered(frame, k, n - size - last)
    return starts


def warn_uncovered(frame: Frame, k: int, left: int) -> None:
    """Warn that cells at the far edge stay uncovered, because starts are multiples."""
    if left > 0:
        tell(
            f"the last {left} cells along {frame.dims[k]!r} stay uncovered: patches start at multiples of "
            f"snap={frame.multiple(k)}; boundary='pad' covers them"
        )


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class RegularStride(Sampler):
    """Anchors at an even distance.

    Parameters
    ----------
    step : int, float, str, tuple or mapping, optional
        Distance of anchors: an int in cells, a float in coordinate units, text a length, "300km". Default:
        the size of a patch. Dimensions that are not named step by their size. Boxes in km lie in rows of
        latitude, in each of which they have strides of their own. Of lists on stations and other scattered
        elements it is named by coordinates, ``RegularStride(lat=1.0, lon=1.0)``: anchors over their extent,
        from the lowest coordinates on, of which those without any member are left out.
    overlap : int, float, str, tuple or mapping, optional
        Overlap of neighboring patches, in place of ``step``: step = size − overlap. Text is a share
        of the size below 100 %, rounded down to whole cells: ``"50%"`` of 5 cells are 2.
    snap : int, tuple or mapping, optional
        Starts are multiples of so many cells, counted from the first, so that the patches of a coarser
        field nest. At the far edge the last patch goes to the last multiple.
    empty : {"raise", "keep", "drop"}, optional
        What becomes of lists without any member.
    **dims
        Steps by dimension, in place of ``step``.

    Examples
    --------
    >>> xpatch.RegularStride(y=128, x=128)
    RegularStride(y=128, x=128)
    >>> xpatch.RegularStride(overlap="50%")
    RegularStride(overlap='50%')
    """

    step: Any = None
    overlap: Any = None
    snap: Any = None
    empty: str | None = None

    def __init__(
        self,
        step: Any = None,
        overlap: Any = None,
        snap: Any = None,
        empty: str | None = None,
        **dims: Any,
    ):
        step = by_dim(step, dims, "the step of RegularStride")
        if step is not None and overlap is not None:
            raise TypeError(
                f"RegularStride takes step or overlap, not both (step={step!r}, overlap={overlap!r})"
            )
        for one in each_of(step):
            if isinstance(one, str) and one.strip().endswith("%"):
                raise ValueError(
                    f"the step of RegularStride is no share of the size, got {one!r}; that is an overlap, "
                    f"RegularStride(overlap={one!r})"
                )
        if step is not None:
            check_positive(step, "the step of RegularStride", lengths=True)
        object.__setattr__(self, "step", step)
        check_empty(empty)
        overlap = by_dim(overlap, {}, "overlap")
        for one in each_of(overlap):
            if isinstance(one, str):
                share_of(one)  # which raises
        object.__setattr__(self, "overlap", overlap)
        object.__setattr__(self, "snap", checked_snap(snap))
        object.__setattr__(self, "empty", empty)

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Place anchors on every stride; they are an outer product."""
        frame = geometry.outline(domain).snapped(self.snap)
        if isinstance(frame, RowFrame):
            step, km = step_across(self.step, domain, frame)
            plain = dataclasses.replace(self, step=step)
            return row_by_row(frame, lambda row: plain.steps(domain, row), km, regular_starts)
        axes = tuple(regular_starts(frame, k, n) for k, n in enumerate(self.steps(domain, frame)))
        return Anchors(axes, product=True)

    def steps(self, domain: Lattice, frame: Frame) -> list[int]:
        """Give the stride along each dimension in cells."""
        steps = steps_in_cells(self.step, domain, frame, "step")
        if self.overlap is None:
            return steps
        asked = per_dim(in_frame(self.overlap, domain, frame), frame.dims, "overlap")
        for k, dim in enumerate(frame.dims):
            cells = overlap_in_cells(asked.get(dim, 0), domain, dim, frame.sizes[k])
            if cells >= frame.sizes[k]:
                raise ValueError(
                    f"an overlap of {cells} cells along {dim!r} is not smaller than the patches "
                    f"of {frame.sizes[k]} cells"
                )
            steps[k] = frame.sizes[k] - cells
        return steps

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Anchor at every so many rows and columns of a lattice."""
        if self.overlap is not None:
            what = (
                "a box around places"
                if isinstance(geometry, BoxOfElements)
                else type(geometry).__name__
            )
            raise ValueError(
                f"overlap is that of boxes of cells; {what} has no size in cells: give the step, in cells of a "
                "lattice RegularStride(2), between places RegularStride(lat=5.0, lon=5.0)"
            )
        no_snap(self.snap, geometry)
        sites = geometry.outline(domain)
        if domain.element_dims and self.step is None and isinstance(geometry, BoxOfElements):
            return dataclasses.replace(geometry.candidates(domain), empty=self.empty)
        if is_over_extent(self.step, domain):
            found = over_extent(self.step, domain, sites)
            return dataclasses.replace(found, empty=self.empty or "drop")
        cells = [
            np.arange(0, n, s)
            for n, s in zip(sites.shape, strides(self, domain, sites), strict=True)
        ]
        found = lattice_places(sites, np.stack(np.meshgrid(*cells, indexing="ij"), axis=-1))
        return dataclasses.replace(found, empty=self.empty)


def each_of(value: Any) -> list[Any]:
    """Give what is said of each dimension."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, tuple) else [value]


def share_of(text: str) -> Fraction:
    """Read a share below one, "50%".

    Raises
    ------
    ValueError
        If it is none.
    """
    found = re.fullmatch(r"\s*(\d+(\.\d*)?|\.\d+)\s*%\s*", text)
    if found is None or not (share := Fraction(found[1]) / 100) < 1:
        raise ValueError(
            "an overlap in text is a share of the size, from '0%' to below '100%', such as '50%', got "
            f"{text!r}; lengths are those of strides, RegularStride('150km')"
        )
    return share


def overlap_in_cells(value: Any, domain: Lattice, dim: Hashable, size: int) -> int:
    """Give an overlap in cells; that in text is rounded down."""
    if isinstance(value, str):
        return math.floor(share_of(value) * size)
    if not value:
        return 0
    try:
        return domain.cells(dim, value, "overlap")
    except ValueError as error:
        if not 0 < value < 1:
            raise
        hint = f"a share of the size is text, RegularStride(overlap='{100 * float(value):g}%')"
        raise ValueError(f"{error}; {hint}") from None


@dataclasses.dataclass(frozen=True, repr=False)
class EveryElement(Sampler):
    """An anchor at every element, or every polygon; at every cell for boxes: a stride of one.

    Parameters
    ----------
    empty : {"raise", "keep", "drop"}, optional
        What becomes of lists without any member, such as those of polygons beside the field.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((4, 4)), dims=("y", "x"))
    >>> moving = field.patch.split({"y": 2, "x": 2}, sampler=xpatch.EveryElement())
    >>> dict(moving.sizes)
    {'patch': 9, 'y': 2, 'x': 2}
    """

    empty: str | None = None

    def __post_init__(self) -> None:
        check_empty(self.empty)

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Place an anchor at every cell."""
        return RegularStride(1).boxes(domain, geometry, field)

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        return dataclasses.replace(geometry.candidates(domain), empty=self.empty)


@dataclasses.dataclass(frozen=True, repr=False)
class JitteredStride(Sampler):
    """A regular stride whose anchors are moved at random, each on its own.

    Parameters
    ----------
    step : int, float, tuple or mapping
        Distance of the unmoved anchors, see `RegularStride`.
    jitter : float, default: 1.0
        Width of the move as a fraction of the step: uniform in ±jitter·step/2.
    seed : int, optional
        The same seed gives the same anchors; None: different ones at each call.
    snap, empty
        As in `RegularStride`.

    Raises
    ------
    ValueError
        If ``jitter`` is not between 0 and 1, or ``step`` not positive; in the split, if boxes are in
        km, or lists of members have no rows and columns.

    References
    ----------
    Cook (1986), see `PoissonDisk`.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(40), dims="x")
    >>> moved = xpatch.JitteredStride(8, jitter=0.5, seed=0)
    >>> anchors = field.patch.split(8, sampler=moved).patch.anchors["x"]
    >>> moves = anchors - [4, 12, 20, 28, 36]
    >>> len(anchors), bool((abs(moves) <= 2).all())
    (5, True)
    """

    step: Any
    jitter: float = 1.0
    seed: int | None = None
    snap: Any = None
    empty: str | None = None

    def __post_init__(self) -> None:
        check_empty(self.empty)
        object.__setattr__(self, "snap", checked_snap(self.snap))
        object.__setattr__(self, "step", by_dim(self.step, {}, "step"))
        if self.step is not None:
            check_positive(self.step, "the step of JitteredStride")
        check_fraction(self.jitter, "jitter, which is a fraction of the step,")
        check_seed(self.seed, "JitteredStride")

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Place jittered anchors; the boundary of the geometry moves or drops what overhangs."""
        frame = geometry.outline(domain).snapped(self.snap)
        if isinstance(frame, RowFrame):
            raise ValueError(
                "JitteredStride moves boxes of one size, and those in km have more cells of longitude near the poles; "
                "use RegularStride() or Random(n), or sizes in cells or degrees"
            )
        steps = steps_in_cells(self.step, domain, frame, "step")
        axes = [regular_starts(frame, k, step) for k, step in enumerate(steps)]
        check_amount(math.prod(map(len, axes)), repr(self), "use a larger step")
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        half = self.jitter * np.array(steps) / 2
        moves = np.random.default_rng(self.seed).uniform(-half, half, grid.shape)
        cells = np.array([frame.multiple(k) for k in range(len(axes))])
        moved = grid + np.rint(moves / cells).astype(np.int64) * cells
        settled, keep = frame.settle(moved, "JitteredStride")
        return listed(not_empty(settled[keep], "JitteredStride"))

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Move the anchors of a stride, at most to the border."""
        no_snap(self.snap, geometry)
        sites = geometry.outline(domain)
        steps = np.array(strides(self, domain, sites))
        cells = [np.arange(0, n, s) for n, s in zip(sites.shape, steps, strict=True)]
        grid = np.stack(np.meshgrid(*cells, indexing="ij"), axis=-1).reshape(-1, len(cells))
        half = self.jitter * steps / 2
        moves = np.random.default_rng(self.seed).uniform(-half, half, grid.shape)
        moved = grid + np.rint(moves).astype(np.int64)
        found = lattice_places(sites, np.clip(moved, 0, np.array(sites.shape) - 1))
        return dataclasses.replace(found, empty=self.empty)


def strides(sampler: Any, domain: Lattice, sites: Sites) -> list[int]:
    """Give the stride along each dimension of a lattice whose cells are elements; default: 1."""
    if domain.element_dims:
        raise ValueError(
            f"{type(sampler).__name__} strides over rows and columns, but {list(sites.dims)} counts "
            "elements, which have no order in space; use PoissonDisk(min_dist), Random(n), "
            "FibonacciSphere(n), EveryElement(), or a stride over their extent, RegularStride(lat=1.0, lon=1.0)"
        )
    asked = per_dim(sampler.step, sites.dims, "step")
    return [1 if asked.get(d) is None else domain.cells(d, asked[d], "step") for d in sites.dims]


def lattice_places(sites: Sites, cells: NDArray) -> Places:
    """Anchor at cells (…, dim) that have a place."""
    numbers = np.ravel_multi_index(tuple(np.moveaxis(cells, -1, 0)), sites.shape).ravel()
    there = np.isfinite(sites.x[numbers]) & np.isfinite(sites.y[numbers])
    return Places.at(sites, numbers[there])
