"""Positions along the dimensions of a field: where labels, and points on a curvilinear grid, lie.

They are counted in cells: 2.0 is the center of cell 2, 2.5 the border to the next one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain.cells import outer_edges

TINY = 1e-6  # of a cell: starts that differ by less in their distance from a place are equally near
HALF = 0.51  # of a cell that ends at the rim of a curvilinear grid, whose positions are rounded
DATE_UNITS = "microseconds since 0001-01-01"
Floats = NDArray[np.float64]


class Located(NamedTuple):
    """Where points lie along dimensions of a field."""

    positions: Floats  # (point, dim), in cells
    outside: NDArray[np.bool_]  # (point,): in no cell of the field
    tolerance: Floats  # (dim,): positions that differ by less are the same


# -------------------------------------------------------------------------------------- labels


def numbers(values: NDArray, dim: Hashable) -> Floats:
    """Give labels as numbers: dates in the units of their dtype, those of cftime in microseconds.

    Raises
    ------
    ValueError
        If they are neither numbers nor dates.
    """
    if values.dtype.kind in "mM":
        out = values.astype("i8").astype(float)
        out[np.isnat(values)] = np.nan
        return out
    if values.dtype == object and values.size and hasattr(values.flat[0], "calendar"):
        import cftime

        calendar = values.flat[0].calendar
        return np.asarray(cftime.date2num(values, DATE_UNITS, calendar=calendar), float)
    try:
        return values.astype(float)
    except (TypeError, ValueError):
        raise ValueError(
            f"anchors by label need numbers or dates along {dim!r}, not {values.dtype}; "
            "give index positions"
        ) from None


def turns(domain: Any, dim: Hashable) -> bool:
    """Whether labels of a dimension are longitudes, so that a turn more is the same place."""
    role = domain.roles.get(dim)
    if role != "X":
        return bool(role == "longitude")
    attrs = domain.template.coords[dim].attrs if dim in domain.template.coords else {}
    rotated = str(attrs.get("standard_name")) == "grid_longitude"
    return rotated or (domain.geographic and not domain.curved)


def along(domain: Any, dim: Hashable, labels: Any, beyond: bool = False) -> Located:
    """Find the positions of labels along one dimension, between cells by linear interpolation.

    Longitudes are also looked for one turn further east or west. With ``beyond``, positions past the
    edge of an evenly spaced dimension are in the field, too.

    Raises
    ------
    ValueError
        If the dimension has no strictly monotonic labels, or one that is looked for is NaN.
    """
    values = domain.coordinate(dim)
    if values is None:
        raise ValueError(
            f"anchors are given by label, but dimension {dim!r} has no coordinate; "
            "give index positions, or assign a coordinate"
        )
    exact = numbers(values, dim)
    steps = np.diff(exact)
    if np.isnan(exact).any() or not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError(
            f"anchors by label need a strictly monotonic coordinate without NaN along {dim!r}; "
            f"sort it first (sortby({dim!r})) or give index positions"
        )
    given = np.atleast_1d(np.asarray(labels))
    wanted = numbers(given.astype(values.dtype) if values.dtype.kind in "mM" else given, dim)
    if turns(domain, dim):
        wanted = _turned(wanted, exact)
    if len(exact) < 2:
        inside = _between(wanted, outer_edges(domain, dim, exact), _rounding(values, given, exact))
        return Located(np.zeros((len(wanted), 1)), ~inside, np.full(1, TINY))
    step = domain.spacing(dim)
    if step is not None:  # over all cells at once: single steps of rounded labels are rough
        length = (exact[-1] - exact[0]) / (len(exact) - 1)
        found = (wanted - exact[0]) / length
    else:
        length = np.abs(steps).min()
        rising = exact * np.sign(steps[0])
        at = np.clip(np.searchsorted(rising, wanted * np.sign(steps[0])) - 1, 0, len(steps) - 1)
        found = at + (wanted - exact[at]) / steps[at]
    rounding = _rounding(values, given, exact)
    tolerance = min(max(TINY, rounding / abs(length)), 0.25)
    ends = outer_edges(domain, dim, np.sort(exact), 360.0 * turns(domain, dim))
    outside = ~_between(wanted, ends, max(tolerance * abs(length), rounding))
    if beyond and step is not None:
        outside = np.isnan(found)
    return Located(found[:, None], outside, np.array([tolerance]))


def _rounding(labels: NDArray, given: NDArray, exact: Floats) -> float:
    """Give by how much labels, and those that are looked for, may be off."""
    rough = [v.dtype for v in (labels, given) if v.dtype.kind == "f"] or [np.dtype(float)]
    return float(4 * max(np.finfo(d).eps for d in rough) * np.abs(exact).max(initial=0.0))


def _between(wanted: Floats, ends: tuple[float, float], rounding: float) -> NDArray[np.bool_]:
    """Whether labels lie between outer edges; NaN does not."""
    return (wanted >= ends[0] - rounding) & (wanted <= ends[1] + rounding)


def _turned(wanted: Floats, exact: Floats) -> Floats:
    """Turn longitudes that lie outside of labels by as many turns as bring them near."""
    low, high = min(exact[0], exact[-1]), max(exact[0], exact[-1])
    middle = (low + high) / 2
    turned = wanted - 360 * np.round((wanted - middle) / 360)
    return np.where((wanted < low) | (wanted > high), turned, wanted)


def labels_between(domain: Any, dim: Hashable, positions: Floats, wrap: bool) -> NDArray | None:
    """Give the labels at positions, between two cells by linear interpolation; None if there are none.

    Text has none between two cells.
    """
    values = domain.coordinate(dim)
    if values is None:
        return None
    low = np.floor(positions).astype(np.int64)
    part = positions - low
    if not part.any():
        return np.asarray(domain.labels_at(dim, low, wrap))
    if values.dtype.kind in "SUV" or (len(values) and isinstance(values[0], str)):
        return None
    if not wrap and domain.spacing(dim) is None and len(values) > 1:  # go on as at the edge
        low = np.clip(low, 0, len(values) - 2)
        part = positions - low
    first, second = (np.asarray(domain.labels_at(dim, c, wrap)) for c in (low, low + 1))
    if first.dtype.kind in "mM" or first.dtype == object:
        return np.asarray(first + _share(second - first, part))
    return np.asarray(first + (second.astype(float) - first.astype(float)) * part)


def _share(lengths: NDArray, part: Floats) -> NDArray:
    """Give fractions of lengths of time."""
    if lengths.dtype == object:
        return np.array([n * p for n, p in zip(lengths, part, strict=True)], dtype=object)
    return np.rint(lengths.astype(float) * part).astype("i8").astype(lengths.dtype)


# ------------------------------------------------------------------------------- on curved grids


def middles(domain: Any, flags: tuple[tuple[bool, bool], ...]) -> tuple[Any, NDArray, tuple]:
    """Give a tree of the mid-points of all boxes of even or odd sizes, their numbers and shape.

    ``flags`` say for each dimension whether the size is even, and whether the dimension is periodic.
    """
    from scipy.spatial import cKDTree

    if flags not in domain.trees:
        sites = domain.sites()
        vectors = sphere.unit_vectors(*sites.lonlat).reshape(*sites.shape, 3)
        for axis, (even, periodic) in enumerate(flags):
            if even:
                vectors = vectors + np.roll(vectors, -1, axis)
                if not periodic:
                    vectors = np.delete(vectors, -1, axis)
        shape, flat = vectors.shape[:-1], vectors.reshape(-1, 3)
        with np.errstate(invalid="ignore", divide="ignore"):
            flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        known = np.flatnonzero(np.isfinite(flat).all(axis=1))
        domain.trees[flags] = cKDTree(flat[known]), known, shape
    return domain.trees[flags]


def middle_of(
    domain: Any, spans: Mapping[Hashable, tuple[NDArray, NDArray]]
) -> tuple[Floats, Floats]:
    """Give longitude and latitude between cells of a curvilinear grid: their mean on the sphere.

    ``spans`` give the lower and the upper middle cell of each box along each dimension.
    """
    sites = domain.sites()
    lon, lat = sites.lonlat
    total: Any = 0.0
    for corner in range(1 << len(sites.dims)):
        cells = [spans[d][(corner >> k) & 1] % n for k, (d, n) in enumerate(_sized(sites))]
        at = np.ravel_multi_index(tuple(cells), sites.shape)
        total = total + np.nan_to_num(sphere.unit_vectors(lon[at], lat[at]), nan=0.0)
    known = np.linalg.norm(total, axis=-1) > 0
    out = sphere.degrees_of(total)
    return np.where(known, out[0], np.nan), np.where(known, out[1], np.nan)


def _sized(sites: Any) -> list[tuple[Hashable, int]]:
    return list(zip(sites.dims, sites.shape, strict=True))


def near_cells(lon: NDArray, lat: NDArray, sites: Any, reach: float = 1.0) -> NDArray[np.bool_]:
    """Whether places lie in a cell: no more than half a cell beyond the rim of rows and columns.

    Elements that are no rows and columns reach ``reach`` times as far as to their fourth neighbor.
    """
    if not len(lon):
        return np.zeros(0, bool)
    places = sphere.unit_vectors(lon, lat)
    far, near = sites.globe.query(places)
    spacing, _ = sites.globe.query(sites.globe.data[near], [min(5, len(sites.known))])
    loose = np.asarray(far <= reach * spacing[:, 0])
    if len(sites.shape) != 2:
        return loose
    tight, told = _in_cell(places, sites, sites.known[near])
    return np.where(told, tight, loose)


def _in_cell(
    places: Floats, sites: Any, cells: NDArray
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether places lie in the cells nearest to them, and whether neighbors tell how large these are.

    Only where a cell has no neighbor it has an end: otherwise the place would be nearer to that one.
    """
    center = sphere.unit_vectors(*(a[cells] for a in sites.lonlat))
    to = _seen(center, places)
    sides = [[_toward(center, sites, cells, k, way) for way in (1, -1)] for k in (0, 1)]
    steps, bends = zip(*(_step(*pair) for pair in sides), strict=True)
    long = [np.linalg.norm(s, axis=-1) for s in steps]
    for k in (0, 1):  # a single row is as high as its cells are wide
        none = long[k] <= TINY * long[1 - k]
        steps[k][none] = np.cross(center, steps[1 - k])[none]
    part = _solved(to, steps)
    bent = sum(0.5 * p[:, None] ** 2 * b for p, b in zip(part, bends, strict=True))
    part = _solved(to - bent, steps)
    inside = np.ones(len(places), bool)
    for (up, down), p in zip(sides, part, strict=True):
        inside &= (p <= HALF) | np.isfinite(up[:, 0])
        inside &= (p >= -HALF) | np.isfinite(down[:, 0])
    return inside, np.asarray(np.isfinite(part).all(axis=0))


def _seen(center: Floats, other: Floats) -> Floats:
    """Give where points are, seen from others: in the plane that touches the sphere, at true distance."""
    flat = other - (other * center).sum(-1, keepdims=True) * center
    high = np.linalg.norm(flat, axis=-1, keepdims=True)
    angle = np.arctan2(high, (other * center).sum(-1, keepdims=True))
    return np.asarray(flat * np.where(high > 0, angle / np.where(high > 0, high, 1), 1))


def _toward(center: Floats, sites: Any, cells: NDArray, axis: int, way: int) -> Floats:
    """Give where the next cells along one dimension are; NaN where there are none.

    Past the rim it is the first cell again, if that is near: of grids around the Earth.
    """
    n, at = sites.shape[axis], list(np.unravel_index(cells, sites.shape))

    def seen(by: int) -> tuple[Floats, NDArray[np.bool_]]:
        moved = [a if k != axis else a + by for k, a in enumerate(at)]
        past = (moved[axis] < 0) | (moved[axis] >= n)
        moved[axis] = moved[axis] % n
        flat = np.ravel_multi_index(tuple(moved), sites.shape)
        return _seen(center, sphere.unit_vectors(*(a[flat] for a in sites.lonlat))), past

    (next_, past), (other, _) = seen(way), seen(-way)
    near = np.linalg.norm(next_, axis=-1) <= 1.5 * np.linalg.norm(other, axis=-1)
    next_[past & ~(near & (n > 2))] = np.nan
    return next_


def _step(up: Floats, down: Floats) -> tuple[Floats, Floats]:
    """Give the length of a cell from where the next and the last ones are, and how it changes."""
    one_sided = np.where(np.isfinite(up), up, -down)
    both = np.isfinite(up) & np.isfinite(down)
    step = np.nan_to_num(np.where(both, (up - down) / 2, one_sided))
    return step, np.where(both, up + down, 0.0)


def _solved(to: Floats, steps: Any) -> Floats:
    """Give how many steps of both kinds lead to places; NaN where that cannot be told."""
    a, b = steps
    aa, ab, bb = (a * a).sum(-1), (a * b).sum(-1), (b * b).sum(-1)
    ta, tb = (to * a).sum(-1), (to * b).sum(-1)
    det = aa * bb - ab * ab
    det = np.where(det > TINY * aa * bb, det, np.nan)
    return np.stack([(ta * bb - tb * ab) / det, (tb * aa - ta * ab) / det])
