"""Places as they were given, without those that are missing or none on Earth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xpatch.domain.lonlat import off_earth, said_off_earth
from xpatch.domain.places import DEGREES, KINDS, Points


def checked(points: Points, drop: bool) -> Points:
    """Leave out places that are missing, or none on Earth.

    Raises
    ------
    ValueError
        If there are such, and they are not to be left out; or if columns do not fit together.
    """
    lengths = {n: len(c) for n, c in points.columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"anchor labels must be equally many along {list(lengths)}, got {list(lengths.values())}; "
            "they are taken one by one, not as a product; all places of a grid are Explicit(grid), where "
            "grid is a field on it"
        )
    if 0 in lengths.values():
        raise ValueError("Explicit was given no anchors")
    lost = np.zeros(len(points), bool)
    for name, column in points.columns.items():
        bad = np.isnan(column) if column.dtype.kind == "f" else column != column
        if column.dtype.kind == "M":
            bad = np.isnat(column)
        if np.any(bad) and not drop:
            raise ValueError(
                f"an anchor label along {name!r} is NaN (number {int(np.argmax(bad))}); leave such places out by "
                f"outside='drop', or before, table.dropna(subset=[{name!r}])"
            )
        lost |= np.asarray(bad, bool)
    lon, lat = _degrees(points)
    astray = off_earth(lon, lat)
    if astray.any() and not drop:
        raise ValueError(said_off_earth(lon, lat, " of an anchor"))
    lost |= astray
    if lost.all():
        raise ValueError(f"none of the {len(points)} places given as anchors is one on Earth")
    return points.take(np.flatnonzero(~lost)) if lost.any() else points


def _degrees(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give longitude and latitude, 0 where there are none."""
    if points.pair is not None:
        return points.xy if points.crs == DEGREES else (np.zeros(len(points)),) * 2
    found = {points.roles.get(n): c for n, c in points.columns.items() if c.dtype.kind in "iuf"}
    lon, lat = (np.asarray(found.get(k, np.zeros(len(points))), float) for k in KINDS)
    return lon, lat
