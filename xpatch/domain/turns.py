"""Periodic longitudes: whether they close after one turn, and where that begins."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

TURN = 360.0
SAME = 0.01  # of a cell, by which the labels of one cell may differ
GAP = 30  # degrees without a place, in which a turn may begin
DEGREES = ("", "deg", "degree", "degrees")
EAST = ("degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese")  # of CF


def check_closes(domain: Any, dim: Hashable) -> None:
    """Raise a ValueError if ``dim`` is a longitude whose cells do not make one turn, or a latitude."""
    if domain.roles.get(dim) == "latitude":
        raise ValueError(
            f"boundary='wrap' along {dim!r} would join one pole to the other: a latitude does not close; "
            "let the longitude alone be periodic, boundary={'lon': 'wrap'} with its name"
        )
    if not is_degrees_east(domain, dim):
        return
    values = domain.coordinate(dim)
    if values is None or len(values) < 2 or values.dtype.kind not in "iuf":
        return
    span = abs(float(values[-1]) - float(values[0]))
    step = span / (len(values) - 1)
    if not span > 0 or abs(span + step - TURN) <= step * (0.5 + 1e-6):
        return
    if abs(span - TURN) <= step * (0.5 + 1e-6):
        mend = (
            f"the last column repeats the first: drop it, field.isel({dim}=slice(-1)), and put it back "
            "afterwards if it is needed"
        )
    else:
        mend = "use boundary='shift', 'pad' or 'drop' for a region"
    raise ValueError(
        f"boundary='wrap' along {dim!r} needs a longitude that closes, cells that make 360 degrees; "
        f"{len(values)} cells of {step:g} degrees from {values[0]:g} to {values[-1]:g} make "
        f"{span + step:g}: {mend}"
    )


def closes(domain: Any, dim: Hashable) -> bool:
    """Whether the labels of ``dim`` are longitudes that go once around, so that both ends are neighbors."""
    if not is_degrees_east(domain, dim):
        return False
    step = domain.spacing(dim)
    return step is not None and abs(abs(step) * domain.sizes[dim] - TURN) <= abs(step) * 0.5


def repeats(domain: Any, dim: Hashable) -> bool:
    """Whether the last label of ``dim`` is a longitude one turn from the first: the same cell again."""
    values = domain.coordinate(dim) if is_degrees_east(domain, dim) else None
    if values is None or len(values) < 3 or values.dtype.kind not in "iuf":
        return False
    span = abs(float(values[-1]) - float(values[0]))
    return abs(span - TURN) <= SAME * span / (len(values) - 1)


def is_degrees_east(domain: Any, dim: Hashable) -> bool:
    """Whether the labels of ``dim`` are longitudes in degrees, geographic or rotated."""
    if dim not in domain.template.coords:
        return False
    attrs = domain.template.coords[dim].attrs
    units = str(attrs.get("units", "")).lower()
    if units not in (*DEGREES, *EAST):
        return False
    if units in EAST or str(attrs.get("standard_name", "")) in ("longitude", "grid_longitude"):
        return True
    role = domain.roles.get(dim)
    return role == "longitude" or (role == "X" and _is_geographic(domain))


def _is_geographic(domain: Any) -> bool:
    """Whether the CRS, if there is one that can be read, has longitudes."""
    if domain._crs is None:
        return False
    try:
        return bool(domain.crs.is_geographic)
    except (ImportError, ValueError):
        return False


def west_of(lon: NDArray[Any]) -> float:
    """Give where a turn around the Earth begins: in the widest gap of places, or at −180 or 0, as they are counted.

    Of whole turns the one that leaves most of them as they are.
    """
    lon = np.asarray(lon, float).ravel()
    lon = lon[np.isfinite(lon)]
    if not len(lon):
        return -180.0
    empty = np.bincount((lon % 360).astype(int) % 360, minlength=360) == 0
    ends = np.flatnonzero(~empty)
    gaps = np.diff(ends, append=ends[0] + 360) - 1
    widest = int(np.argmax(gaps))
    if gaps[widest] < GAP:
        return -180.0 if lon.min() < 0 else 0.0
    west = float(ends[widest] + 1 + gaps[widest] // 2)
    turns = [west + 360 * k for k in (-1, 0, -2)]
    return max(turns, key=lambda w: int(((lon >= w) & (lon < w + 360)).sum()))


def begun_at_gap(lon: NDArray[Any]) -> NDArray[np.float64]:
    """Give longitudes within one turn that begins in their widest gap; those that lie there stay as they are."""
    lon = np.asarray(lon, float)
    return lon - TURN * np.floor((lon - west_of(lon)) / TURN)
