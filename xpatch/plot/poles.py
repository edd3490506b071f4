"""Outlines of cells at a pole, which is a point on Earth and a side of a map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NEAR = 1e-3  # of the height of a cell: a corner so near to a pole is at it


def at_pole(rings: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which corners are at a pole, rings of shape (…, corner, 2) in degrees."""
    lat = rings[..., 1]
    return np.asarray(90 - np.abs(lat) <= NEAR * np.ptp(lat, axis=-1, keepdims=True))


def turns(rings: NDArray[Any]) -> NDArray[np.float64]:
    """Give by how many degrees of longitude rings go around: 360 around a pole, else 0."""
    steps = np.diff(rings[..., 0], axis=-1, append=rings[..., :1, 0])
    return np.asarray((steps - 360 * np.round(steps / 360)).sum(axis=-1))


def on_map(ring: NDArray[Any]) -> NDArray[np.float64]:
    """Give a ring as it is on a map: all the way up to the pole that it touches or goes around.

    A corner at the pole has the longitudes of both its neighbors.
    """
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    (poles,) = np.nonzero(at_pole(ring))
    if len(poles) == 1:
        k = int(poles[0])
        pole, beside = np.copysign(90, ring[k, 1]), ring[[k - 1, (k + 1) % len(ring)], 0]
        ring = np.concatenate([ring[:k], [(x, pole) for x in beside], ring[k + 1 :]])
    elif not len(poles) and abs(turns(ring)) > 180:
        around = np.concatenate([ring, ring[:1]])
        x = np.unwrap(around[:, 0], period=360)
        pole = np.copysign(90, ring[:, 1].mean())
        ring = np.concatenate([np.stack([x, around[:, 1]], -1), [(x[-1], pole), (x[0], pole)]])
    return np.concatenate([ring, ring[:1]])


def quads_on_map(quads: NDArray[Any]) -> tuple[NDArray[Any], list[NDArray[Any]], NDArray[np.intp]]:
    """Tell quadrangles that have nothing to do with a pole from the others, and give these as rings.

    Returns
    -------
    usual, polar, order
        The quadrangles and the rings, and where each, the rings last, stood among those that were given.
    """
    polar = at_pole(quads).any(axis=-1) | (np.abs(turns(quads)) > 180)
    order = np.concatenate([np.flatnonzero(~polar), np.flatnonzero(polar)])
    return quads[~polar], [on_map(q) for q in quads[polar]], order
