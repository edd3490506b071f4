"""Anchors at random that keep a distance."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import Lattice
from xpatch.geometry import Anchors, Geometry, MemberGeometry, Places
from xpatch.sampler.base import (
    Sampler,
    check_empty,
    check_positive,
    checked_snap,
    limits_of,
    listed,
    no_snap,
)
from xpatch.spec import check_amount, check_number, check_seed


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

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(100), dims="x")
    >>> far = xpatch.PoissonDisk(12, seed=0)
    >>> anchors = field.patch.split(10, sampler=far).patch.anchors["x"]
    >>> gaps = np.diff(np.sort(anchors))
    >>> bool(gaps.min() >= 12), bool(gaps.max() < 24)
    (True, True)
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
        if (keep := frame.keeping(None)) is not None:
            points = points[keep(frame.widened(points + limits[:, 0]))]
        period = [n if b == "wrap" else 0 for n, b in zip(frame.shape, frame.boundary, strict=True)]
        kept = thin(points, self.min_dist, period)
        return listed(frame.widened(points[kept] + limits[:, 0]))

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
