"""Places of slices, which may be in several CRSs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import GeoSlice, Lattice
from xpatch.domain.bounds import crs_text, read_crs, same
from xpatch.domain.places import Points, check_known, crs_of_field, mover


def slices_in(given: Any) -> list[GeoSlice] | None:
    """Give a slice, or a list of slices, as a list; None of anything else."""
    several = given if isinstance(given, list | tuple) else [given]
    return list(several) if any(isinstance(s, GeoSlice) for s in several) else None


def points_of_slices(slices: list[GeoSlice], domain: Lattice, crs: Any = None) -> Points:
    """Take the mid-points of slices, which may be in several CRSs.

    Raises
    ------
    TypeError
        If something else is among them.
    ValueError
        If some know their CRS and others do not.
    """
    other = next((s for s in slices if not isinstance(s, GeoSlice)), None)
    if other is not None:
        raise TypeError(f"expected a list of GeoSlice, got {other!r} among them")
    x, y = np.array([s.center for s in slices], float).T
    known = [crs if s.crs is None else s.crs for s in slices]
    first = known[0]
    if not all(same(first, other) for other in known):
        if None in known:
            raise ValueError(
                f"slice {known.index(None)} has no crs, and others have one; give it, GeoSlice(…, crs=…), or "
                "one for all that lack it, Explicit(slices, crs=…)"
            )
        first, (x, y) = crs_of_field(domain), _in_one(x, y, known, domain)
    return Points({"x": x, "y": y}, ("x", "y"), first, first is None)


def _in_one(x: NDArray, y: NDArray, crss: list[Any], domain: Lattice) -> NDArray:
    """Give places that are in several CRSs in that of the field."""
    target, out = crs_of_field(domain), np.stack([x, y])
    check_known(crss[0], target, "slices")
    texts = np.array([str(crs_text(crs)) for crs in crss])
    for text in np.unique(texts):
        rows = texts == text
        own = crss[int(np.argmax(rows))]
        out[:, rows] = mover(read_crs(own), target)(x[rows], y[rows])
    return out
