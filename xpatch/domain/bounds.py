"""Bounds: the outer edges of boxes, and what they are in other CRSs."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

import xpatch.domain.axes as ax
from xpatch.domain.turns import TURN
from xpatch.spec import is_number

Bounds = tuple[float, float, float, float]
ALONG = 1001  # points on each edge that is bent into another CRS
ORDER = "(left, bottom, right, top)"


def checked_bounds(bounds: Any, crs: Any = None, flat: bool = False) -> Bounds:
    """Check of outer edges; with ``flat`` a point and a line have some, too."""
    values = bounds.tolist() if isinstance(bounds, np.ndarray) else bounds
    if not isinstance(values, tuple | list) or len(values) != 4 or not all(map(is_number, values)):
        raise TypeError(f"bounds must be four numbers {ORDER}, got {bounds!r}")
    values = [v.item() if isinstance(v, np.generic) else v for v in values]
    if not all(map(math.isfinite, values)):
        raise ValueError(f"bounds {ORDER} must be finite, got {bounds!r}")
    left, bottom, right, top = values
    if not (bottom < top or (flat and bottom == top)):
        raise ValueError(f"bounds are {ORDER}: bottom {bottom!r} is not smaller than top {top!r}")
    geographic = crs is not None and read_crs(crs).is_geographic
    width = right - left + TURN * (geographic and left > right)
    if not (width > 0 or (flat and width == 0)):
        across = "" if geographic else ", which means across the date line in a geographic CRS only"
        raise ValueError(
            f"bounds are {ORDER}: left {left!r} is not smaller than right {right!r}{across}"
        )
    return left, bottom, right, top


# -------------------------------------------------------------------------------------- in CRSs


def read_crs(crs: Any) -> Any:
    """Give the `pyproj.CRS`; what many slices and files name by text is read once."""
    if hasattr(crs, "to_wkt") and not hasattr(crs, "equals"):
        return _read(crs.to_wkt())  # of rasterio
    if hasattr(crs, "to_wkt"):
        return crs
    return _read(crs) if isinstance(crs, str | int) else ax.as_crs(crs)


_read = functools.lru_cache(maxsize=1024)(ax.as_crs)


def same(a: Any, b: Any) -> bool:
    """Whether two CRSs are the same, or both not known."""
    if a is None or b is None:
        return a is b
    if a is b or (isinstance(a, str) and a == b):
        return True
    return ax.same_crs(read_crs(a), read_crs(b))


def crs_text(crs: Any) -> Any:
    """Give text, or a number, as it was given; of a CRS its code, or else itself in WKT."""
    return crs if isinstance(crs, str | int) else crs_code(crs)


def crs_code(crs: Any) -> str:
    """Write a CRS as an authority code where it has one, which keeps it whole, else as WKT."""
    return _crs_code(read_crs(crs))


@functools.lru_cache(maxsize=1024)
def _crs_code(crs: Any) -> str:
    authority = crs.to_authority()
    code = None if authority is None else ":".join(authority)
    if code is not None and crs.equals(ax.as_crs(code), ignore_axis_order=True):
        return code
    return str(crs.to_wkt())


def moved_bounds(bounds: Bounds, source: Any, target: Any) -> Bounds:
    """Give the bounds in another CRS of a box whose edges are straight in its own.

    Raises
    ------
    ValueError
        If the box reaches where the other CRS has no coordinates.
    """
    if same(source, target):
        return bounds
    pyproj = ax.import_pyproj()
    own, other = read_crs(source), read_crs(target)
    move = pyproj.Transformer.from_crs(own, other, always_xy=True).transform_bounds
    parts = halves(bounds) if own.is_geographic else [bounds]
    try:
        moved = [move(*part, densify_pts=ALONG, errcheck=True) for part in parts]
    except pyproj.exceptions.ProjError as error:
        raise ValueError(_nowhere(bounds, own, other, error)) from None
    if not np.isfinite(moved).all():
        raise ValueError(_nowhere(bounds, own, other, "infinity"))
    lefts, bottoms, rights, tops = zip(*moved, strict=True)
    if other.is_geographic:
        return lefts[0], min(bottoms), rights[-1], max(tops)
    return min(lefts), min(bottoms), max(rights), max(tops)


def halves(bounds: Bounds) -> list[Bounds]:
    """Give a box in longitude and latitude within ±180 and ±90, in two parts if it crosses the date line."""
    left, bottom, right, top = bounds
    bottom, top = max(bottom, -90.0), min(top, 90.0)  # edges of cells that are centered on a pole
    width = right - left if left < right else right + TURN - left
    if width >= TURN:
        return [(-180.0, bottom, 180.0, top)]
    if not (left >= -180 and left + width <= 180):
        left = (left + 180) % TURN - 180
    if left + width <= 180:
        return [(left, bottom, left + width, top)]
    return [(left, bottom, 180.0, top), (-180.0, bottom, left + width - TURN, top)]


def _nowhere(bounds: Bounds, own: Any, other: Any, error: Any) -> str:
    return (
        f"the bounds {bounds} in {ax.crs_name(own)} reach where {ax.crs_name(other)} has no coordinates "
        f"({error}); take a smaller box, or another CRS"
    )
