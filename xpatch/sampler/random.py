"""Samplers that draw anchors at random."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import Lattice
from xpatch.geometry import Anchors, Frame, Geometry, MemberGeometry, Places
from xpatch.sampler.base import (
    Sampler,
    check_empty,
    check_integer,
    check_positive,
    checked_snap,
    listed,
    no_snap,
)
from xpatch.spec import check_amount, check_flag, check_number, check_seed


@dataclasses.dataclass(frozen=True, repr=False)
class Random(Sampler):
    """Anchors drawn uniformly from the allowed starts.

    Parameters
    ----------
    n_samples : int
        Number of patches.
    seed : int, optional
        The same seed gives the same anchors; None: different ones at each call.
    replace : bool, default: False
        Whether the same anchor may be drawn twice.
    snap : int, tuple or mapping, optional
        Starts are multiples of so many cells, counted from the first, so that the patches of a coarser
        field nest.
    empty : {"raise", "keep", "drop"}, optional
        What becomes of lists without any member.
    """

    n_samples: int
    seed: int | None = None
    replace: bool = False
    snap: Any = None
    empty: str | None = None

    def __post_init__(self) -> None:
        check_empty(self.empty)
        object.__setattr__(self, "snap", checked_snap(self.snap))
        check_integer(self.n_samples, "n_samples of Random", 1)
        check_seed(self.seed, "Random")
        check_flag(self.replace, "replace of Random")

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Draw anchors.

        Raises
        ------
        ValueError
            If more are asked for than there are, without replacement.
        """
        frame = geometry.outline(domain).snapped(self.snap)
        limits, cells = limits_of(frame)
        counts = ((limits[:, 1] - limits[:, 0]) // cells + 1).tolist()
        total = int(np.prod(counts, dtype=object))
        if self.n_samples > total and not self.replace:
            raise ValueError(
                f"n_samples={self.n_samples} is more than the {total} different patches there are; "
                "draw fewer, or use replace=True"
            )
        drawn = np.random.default_rng(self.seed).choice(
            total, self.n_samples, replace=self.replace, shuffle=True
        )
        starts = np.stack(np.unravel_index(drawn, counts), axis=-1)
        return listed(starts * cells + limits[:, 0])

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        no_snap(self.snap, geometry)
        candidates = dataclasses.replace(geometry.candidates(domain), empty=self.empty)
        if self.n_samples > len(candidates) and not self.replace:
            raise ValueError(
                f"n_samples={self.n_samples} is more than the {len(candidates)} anchors there are; "
                "draw fewer, or use replace=True"
            )
        drawn = np.random.default_rng(self.seed).choice(
            len(candidates), self.n_samples, replace=self.replace, shuffle=True
        )
        return candidates.take(drawn)


@dataclasses.dataclass(frozen=True, repr=False)
class PoissonDisk(Sampler):
    """Random anchors that keep a distance, and leave no gap in which another would fit.

    Parameters
    ----------
    min_dist : float
        Smallest distance of two anchors: in cells for boxes on a lattice; for lists of members in
        km on longitude and latitude, in CRS units otherwise.
    seed : int, optional
        The same seed gives the same anchors; None: different ones at each call.
    snap, empty
        As in `Random`.

    References
    ----------
    Cook, R. L. (1986). Stochastic sampling in computer graphics. ACM Transactions on Graphics, 5,
    51–72 (dart throwing).
    """

    min_dist: float
    seed: int | None = None
    snap: Any = None
    empty: str | None = None

    def __post_init__(self) -> None:
        check_empty(self.empty)
        object.__setattr__(self, "snap", checked_snap(self.snap))
        check_number(self.min_dist, "min_dist of PoissonDisk")
        check_positive(self.min_dist, "min_dist of PoissonDisk")
        check_seed(self.seed, "PoissonDisk")

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Thin the allowed starts, in random order, until all keep the distance."""
        frame = geometry.outline(domain).snapped(self.snap)
        limits, cells = limits_of(frame)
        counts = (limits[:, 1] - limits[:, 0]) // cells + 1
        rng = np.random.default_rng(self.seed)
        total = int(np.prod(counts, dtype=object))
        # beyond a hundred darts per disk the chance that one more would fit is negligible
        disks = float(np.prod(counts * cells / self.min_dist + 1))
        check_amount(min(total, disks), repr(self), "use a larger min_dist")
        darts = int(min(total, max(10_000, 100 * disks)))
        drawn = (
            rng.permutation(total) if darts == total else rng.choice(total, darts, replace=False)
        )
        points = np.stack(np.unravel_index(drawn, counts), axis=-1) * cells
        period = [n if b == "wrap" else 0 for n, b in zip(frame.shape, frame.boundary, strict=True)]
        kept = thin(points, self.min_dist, period)
        return listed(points[kept] + limits[:, 0])

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Thin the elements, in random order: in km on longitude and latitude, else CRS units."""
        no_snap(self.snap, geometry)
        sites = geometry.outline(domain)
        candidates = dataclasses.replace(geometry.candidates(domain), empty=self.empty)
        order = np.random.default_rng(self.seed).permutation(len(candidates))
        shuffled = candidates.take(order)
        if not sites.geographic:
            points, distance = np.stack([shuffled.x, shuffled.y], axis=-1), float(self.min_dist)
        else:
            points = sphere.unit_vectors(shuffled.x, shuffled.y)
            distance = float(sphere.chord(self.min_dist))
        return shuffled.take(thin(points, distance))


def limits_of(frame: Frame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the first and last allowed start along each dimension, and of what all are multiples."""
    dims = range(len(frame.dims))
    limits = np.array([frame.limits(k) for k in dims], np.int64)
    return limits, np.array([frame.multiple(k) for k in dims], np.int64)


def thin(points: NDArray, distance: float, period: Any = None) -> NDArray[np.intp]:
    """Keep, in order, the points that are at least ``distance`` from all that were kept.

    ``period`` gives the length of periodic dimensions, 0 for others.
    """
    from scipy.spatial import cKDTree

    box = period if period is not None and any(period) else None
    reach = np.nextafter(distance, 0)  # a pair at exactly the distance is allowed
    kept = np.empty(0, np.intp)
    start, size = 0, 1024
    while start < len(points):
        batch = np.arange(start, min(start + size, len(points)))
        if len(kept):
            near, _ = cKDTree(points[kept], boxsize=box).query(
                points[batch], distance_upper_bound=distance
            )
            batch = batch[~(near < distance)]
        pairs = cKDTree(points[batch], boxsize=box).query_pairs(reach, output_type="ndarray")
        alive = np.ones(len(batch), bool)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        for first, second in pairs[order]:  # pairs are (lower, higher)
            if alive[first]:
                alive[second] = False
        kept = np.concatenate([kept, batch[alive]])
        start, size = start + size, min(2 * size, 1 << 15)
    return kept
