"""`BoxOfElements`: what `Rectangular` is on stations, polygons and meshes, lists of what lies in a box."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.geometry import search
from xpatch.geometry.base import MemberGeometry, Places, members_of
from xpatch.geometry.lengths import KM_PER_DEGREE, Length, km_of_crs, km_said, length_of
from xpatch.geometry.search import BLOCK, Found
from xpatch.neighborhood import Members
from xpatch.spec import DimMap

EAST = ("lon", "longitude", "x")
NORTH = ("lat", "latitude", "y")
TURN = 360.0
TINY = 1e-9  # of coordinates: what lies on the edge is inside
BINS = 1 << 20


@dataclasses.dataclass(frozen=True, repr=False)
class BoxOfElements(MemberGeometry):
    """All elements in a box around each anchor, its edges included.

    Parameters
    ----------
    size : DimMap
        Whole widths by name of a coordinate: floats in its units, text in km, m or degrees. Along a
        coordinate that is not named the box has no end.
    dim : hashable, optional
        Dimension of the elements, where the field has several.
    """

    size: Mapping[Any, Any]
    dim: Hashable | None = None

    def halves(self, domain: Lattice, lat: NDArray[Any]) -> tuple[Any, NDArray[np.float64]]:
        """Give half the width of boxes at some latitudes, and half their height, in coordinate units."""
        sites = self.outline(domain)
        found: dict[bool, Any] = {True: np.full(len(lat), np.inf), False: np.inf}
        for name, value in self.size.items():
            east = is_east(name, domain, sites)
            half = in_units(value, name, east, domain, sites, lat) / 2
            found[east] = np.broadcast_to(half, len(lat)) if east else float(half)
        return found[True], np.full(len(lat), found[False])

    def neighborhood(self, domain: Lattice, places: Places) -> Members:
        """Give the elements in each box."""
        sites = self.outline(domain)
        wide, high = self.halves(domain, places.y)
        patches, elements = _inside(sites, places, wide, high)
        metric = "haversine" if sites.geographic else "euclidean"
        far = search.distance_of(sites, places, patches, elements, metric)
        scales = self._corners(sites, places, wide, high, patches, far)
        found: Found = (patches, elements, far)
        return members_of(sites, *found, scales, len(places), places.elements)

    def _corners(
        self,
        sites: Sites,
        places: Places,
        wide: NDArray[Any],
        high: NDArray[Any],
        patches: NDArray[Any],
        far: NDArray[Any],
    ) -> NDArray[np.float64]:
        """Give the distance of the corners, at which windows end; of endless boxes that of the last member."""
        last = np.zeros(len(places))
        np.maximum.at(last, patches, far)
        across = wide
        if sites.geographic:
            wide, high = np.minimum(wide, TURN / 2), np.minimum(high, 90.0) * KM_PER_DEGREE
            across = wide * KM_PER_DEGREE * np.cos(np.deg2rad(np.clip(places.y, -90, 90)))
        corner = np.hypot(across, high)
        return np.where(np.isfinite(corner), np.maximum(corner, last), last)


def is_east(name: Any, domain: Lattice, sites: Sites) -> bool:
    """Whether a size is that along x, or along y.

    Raises
    ------
    KeyError
        If it is neither.
    """
    word, role = str(name).lower(), domain.roles.get(name)
    east = word in EAST or role in ("longitude", "X")
    north = word in NORTH or role in ("latitude", "Y")
    degrees = word in ("lon", "longitude", "lat", "latitude") or role in ("longitude", "latitude")
    if not (east or north) or (degrees and not sites.geographic):
        names = "lat and lon" if sites.geographic else "x and y, in units of their CRS"
        raise KeyError(
            f"Rectangular names {name!r}; boxes around elements along {list(sites.dims)} are of {names}: "
            f"Rectangular({'lat=2.0, lon=2.0' if sites.geographic else 'x=5000.0, y=5000.0'})"
        )
    return east


def in_units(
    value: Any, name: Any, east: bool, domain: Lattice, sites: Sites, lat: NDArray[Any]
) -> Any:
    """Give a width in coordinate units: in km of longitude the more the nearer to a pole.

    Raises
    ------
    TypeError
        If it is an int: elements have no cells.
    ValueError
        If nothing says how long a unit is.
    """
    if isinstance(value, bool | int | np.integer | np.bool_):
        if not domain.element_dims:
            cells = ", ".join(f"{d!r}: {value}" for d in sites.dims)
            raise TypeError(
                f"size along {name!r} is the int {value!r}, which counts cells, and cells lie along {list(sites.dims)}: "
                f"{{{cells}}}; what lies in so many degrees is a float, {float(value)!r}, or text, '300km'"
            )
        raise TypeError(
            f"size along {name!r} is the int {value!r}, which counts cells, and elements along {list(sites.dims)} "
            f"have no order in space; give a float in units of the coordinate, {float(value)!r}, or text, '300km'"
        )
    if not isinstance(value, str):
        search.check_positive(value, f"size along {name!r}")
        return float(value)
    length = length_of(value, "size")
    if not sites.geographic:
        return length.value / _km_per_unit(name, length, domain, sites)
    if length.degrees:
        return length.value
    degrees = length.value / KM_PER_DEGREE
    if not east:
        return degrees
    with np.errstate(divide="ignore"):
        return degrees / np.maximum(np.cos(np.deg2rad(np.minimum(np.abs(lat), 90.0))), 1e-15)


def _km_per_unit(name: Any, length: Length, domain: Lattice, sites: Sites) -> float:
    """Give how many km one unit of projected coordinates is."""
    if length.degrees:
        raise ValueError(
            f"size of {length.text!r} along {name!r} is in degrees, and {name!r} is not"
        )
    said = km_said(domain.located.coords, name, sites.crs)
    if said is not None:
        return said
    if sites.crs is not None:
        return km_of_crs(sites.crs)
    raise ValueError(
        f"size of {length.text!r} along {name!r} needs to know how long a unit of {name!r} is, and nothing says it: "
        f"write a CRS, or the attribute units='m' of {name!r}, or give a float in units of the coordinate"
    )


# ---------------------------------------------------------------------------------------- search


def _inside(
    sites: Sites, anchors: Places, wide: NDArray[Any], high: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the elements in boxes, sorted by patch, then by element."""
    table = _Table.of(sites, float(high.max(initial=0)))
    found = [np.empty((0, 2), np.int64), *table.pairs(anchors, wide, high)]
    pairs = np.concatenate(found)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order, 0], pairs[order, 1]


@dataclasses.dataclass(frozen=True, eq=False)
class _Table:
    """Elements by rows as high as a box, in each row from west to east.

    Parameters
    ----------
    elements : int64 array (element,)
        Their numbers, in this order.
    x, y : float64 arrays (element,)
        Where they are.
    keys : float64 array (element,)
        ``row * width + x − west``, by which they are in order; longitudes within one turn.
    south, west, height, width : float
        Where rows begin, how high they are, and by what keys of rows differ.
    turn : float
        After what x is the same again; 0: never.
    slack : pair of float
        Along x and y, by which more is looked at than is inside: edges are rounded.
    """

    elements: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    keys: NDArray[np.float64]
    south: float
    west: float
    height: float
    width: float
    turn: float
    slack: tuple[float, float]

    @classmethod
    def of(cls, sites: Sites, half: float) -> _Table:
        """Sort the elements that have a place."""
        known = sites.known
        x, y = sites.x[known], sites.y[known]
        west, east, south, north = 0.0, 0.0, 0.0, 0.0
        turn = TURN if sites.geographic else 0.0
        along = x % turn if turn else x
        if len(known):
            west, east = float(along.min()), float(along.max())
            south, north = float(y.min()), float(y.max())
        height = 2 * half if math.isfinite(half) else north - south + 1.0
        height = max(height, (north - south) / BINS, np.finfo(float).tiny)
        width = 2 * (east - west) + 10.0
        keys = np.floor((y - south) / height) * width + (along - west)
        order = np.argsort(keys, kind="stable")
        slack = [2 * TINY * max(1.0, float(np.abs(v).max(initial=0))) for v in (x, y)]
        slack[0] += 4 * np.finfo(float).eps * float(np.abs(keys).max(initial=0))
        rest = (south, west, height, width, turn, (slack[0], slack[1]))
        return cls(known[order].astype(np.int64), x[order], y[order], keys[order], *rest)

    def pairs(
        self, anchors: Places, wide: NDArray[Any], high: NDArray[Any]
    ) -> Iterator[NDArray[np.int64]]:
        """Give (patch, element) of what is inside, some at a time."""
        first = np.floor((anchors.y - high - self.slack[1] - self.south) / self.height)
        last = np.floor((anchors.y + high + self.slack[1] - self.south) / self.height)
        top = math.floor(self.keys[-1] / self.width) if len(self.keys) else -1
        first, last = np.maximum(first, 0), np.minimum(last, top)
        x0, turns = anchors.x, [0.0]
        if self.turn:
            middle = self.west + (self.width - 10.0) / 4
            x0 = x0 - self.turn * np.round((x0 - middle) / self.turn)
            turns = [-self.turn, 0.0, self.turn]
        whole = (wide >= self.turn / 2) & bool(self.turn)
        for step in range(int((last - first).max(initial=-1)) + 1):
            row = first + step
            for turn in turns:
                asked = np.flatnonzero((row <= last) & (~whole | (turn == 0.0)))
                reach = np.where(whole, np.inf, wide)[asked] + self.slack[0]
                at = x0[asked] + turn - self.west
                ends = [np.clip(at + s * reach, -1.0, self.width - 2.0) for s in (-1, 1)]
                base = row[asked] * self.width
                low = np.searchsorted(self.keys, base + ends[0])
                high_ = np.searchsorted(self.keys, base + ends[1], side="right")
                yield from self._checked(asked, low, high_, anchors, wide, high)

    def _checked(
        self,
        patches: NDArray[Any],
        low: NDArray[Any],
        behind: NDArray[Any],
        anchors: Places,
        wide: NDArray[Any],
        high: NDArray[Any],
    ) -> Iterator[NDArray[np.int64]]:
        """Keep of runs of elements those that lie inside."""
        counts = np.maximum(behind - low, 0)
        ends = np.cumsum(counts)
        start = 0
        while start < len(patches):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + BLOCK, side="right")))
            own = counts[start:stop]
            at = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own - low[start:stop], own)
            patch = np.repeat(patches[start:stop], own)
            dx = np.abs(self.x[at] - anchors.x[patch])
            if self.turn:
                dx = np.abs(dx - self.turn * np.round(dx / self.turn))
            dy = np.abs(self.y[at] - anchors.y[patch])
            edge = TINY * np.maximum(1.0, np.abs(self.y[at]))
            kept = dx <= wide[patch] + TINY * np.maximum(1.0, np.abs(self.x[at]))
            kept &= dy <= high[patch] + edge
            yield np.stack([patch[kept], self.elements[at[kept]]], axis=-1)
            start = stop


def on_elements(size: Any, domain: Lattice, boundary: Any) -> BoxOfElements | None:
    """Give boxes around elements, if sizes name coordinates that are no dimensions; None: they do not.

    Raises
    ------
    TypeError, ValueError
        If sizes are cells, of both kinds, or the boundary would move boxes.
    """
    if isinstance(size, Mapping):
        names = [d for d in size if d not in domain.sizes]
        if not names or not _placed(domain, names):
            return None
        others = [d for d in size if d in domain.sizes]
        if others:
            raise ValueError(
                f"Rectangular names {names[0]!r}, of boxes around elements, and the dimension {others[0]!r}; windows "
                f"along {others[0]!r} are a geometry of their own: split(geometry=[Rectangular(…), FixedLookback(…)])"
            )
    elif not domain.element_dims:
        return None
    elif isinstance(size, tuple):
        raise ValueError(
            f"size {size!r} does not say which of them is along x; name them: Rectangular(lat=2.0, lon=2.0), or x and y"
        )
    words = set(boundary.values()) if isinstance(boundary, Mapping) else {boundary}
    if words - {"shift", "wrap"}:
        raise ValueError(
            f"boundary={boundary!r} is that of boxes of cells; boxes around elements hold what there is in them, "
            "across the dateline, too: leave it out, and empty='drop' of the sampler leaves out those without any"
        )
    if not isinstance(size, Mapping):
        size = dict.fromkeys(("y", "x"), size)
    return BoxOfElements(DimMap(size))


def _placed(domain: Lattice, names: list[Any]) -> bool:
    """Whether names are those of coordinates of elements, or of a curvilinear grid."""
    if not domain.element_dims and not domain.curved:
        return False
    roles = ("longitude", "latitude", "X", "Y")
    return all(str(n).lower() in EAST + NORTH or domain.roles.get(n) in roles for n in names)
