"""`CenteredGrid`: a lattice of offsets around each anchor, which may turn with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.domain import Lattice, Sites
from xpatch.domain import positions as ps
from xpatch.geometry import search
from xpatch.geometry.base import MemberGeometry, Places
from xpatch.geometry.lengths import km_of_crs, length_of
from xpatch.neighborhood import Members
from xpatch.spec import check_amount, is_number

MOST = 1 << 18  # slots that are looked for in one go
TRACK = "track"
REACH = (
    1.5  # of the distance of the fourth neighbor: gaps between scattered elements are hardly longer
)
HALF_ROUND = np.pi * sphere.EARTH_RADIUS_KM


@dataclasses.dataclass(frozen=True, repr=False)
class CenteredGrid(MemberGeometry):
    """A lattice of offsets around each anchor: every slot takes the nearest cell of the field.

    All patches have the same slots, ``dy`` to the north and ``dx`` to the east of their anchor, so
    that their mean is a composite. With ``heading`` the lattice turns: ``dy`` is ahead, and ``dx`` to
    the right. Slots are found along great circles from the anchor on a sphere of radius 6371.0088 km,
    which is the azimuthal equidistant projection around each anchor; on coordinates of which
    nothing says where on Earth they are, in their plane. Slots outside of the field are empty; among
    scattered elements those are that lie 1.5 times as far from the nearest as its fourth neighbor.

    Parameters
    ----------
    dy, dx : str or float
        Length of the lattice along both directions, with the anchor in the middle: ``"1000km"``
        reaches 500 km to both sides. Numbers are km on geographic coordinates, and units of the CRS
        on projected ones.
    step : str or float
        Distance of slots. About that of the cells: where it is shorter several slots of a patch take
        the same cell.
    heading : float or str, optional
        Where ``dy`` points, in degrees clockwise from north (of the plane: from its y axis). A
        number for all; the name of a column of the table of anchors; or ``"track"``: where the track
        leads from the anchor before to the one after, as seen from the anchor; at both ends to or
        from the only neighbor. None: to the north.
    storm : str, optional
        Column that tells the tracks of a table apart, whose rows are in the order of each track.
    dim : hashable, optional
        Dimension of the elements, where the field has several.

    Notes
    -----
    Patches are lists of slots, row by row, with coordinates ``dy`` and ``dx`` in km (in units of the
    plane). ``.set_index(cell=("dy", "dx")).unstack("cell")`` makes a map of a composite. Headings
    come along as the coordinate ``heading``.

    Every slot is a contribution to merge: a cell that several slots of a patch took counts
    so many times in means, sums and counts.

    References
    ----------
    Snyder, J. P. (1987). Map projections: a working manual. USGS Professional Paper 1395, 191–202.

    Examples
    --------
    >>> lat, lon = np.arange(-30, 31.0), np.arange(0, 60.0)
    >>> field = xr.DataArray(np.add.outer(lat, 0 * lon), {"lat": lat, "lon": lon})
    >>> track = {"lon": [20.0, 25.0, 30.0], "lat": [10.0, 10.0, 10.0]}
    >>> ahead = xpatch.CenteredGrid(
    ...     dy="1000km", dx="600km", step="100km", heading="track"
    ... )
    >>> patches = field.patch.split(geometry=ahead, sampler=xpatch.Explicit(track))
    >>> dict(patches.sizes), patches.heading.values.round()
    ({'patch': 3, 'cell': 77}, array([90., 90., 90.]))
    >>> composite = patches.mean("patch").set_index(cell=("dy", "dx")).unstack("cell")
    >>> composite.sel(dy=0).values  # the south is to the right of what goes east
    array([13., 12., 11., 10.,  9.,  8.,  7.])
    """

    dy: str | float
    dx: str | float
    step: str | float
    heading: float | str | None = None
    storm: str | None = None
    dim: Hashable | None = None

    def __post_init__(self) -> None:
        for name in ("dy", "dx", "step"):
            _check_length(getattr(self, name), name)
        known = self.heading is None or isinstance(self.heading, str) or is_number(self.heading)
        if not known:
            raise TypeError(
                "heading of CenteredGrid is a number of degrees clockwise from north, the name of a column "
                f"of the anchors, 'track' or None, got {self.heading!r}"
            )
        if is_number(self.heading) and not np.isfinite(float(self.heading)):  # type: ignore[arg-type]
            raise ValueError(f"heading of CenteredGrid must be finite, got {self.heading!r}")
        if self.storm is not None and self.heading != TRACK:
            raise ValueError(
                f"storm={self.storm!r} tells tracks apart, which heading='track' asks for, got heading="
                f"{self.heading!r}"
            )

    # ------------------------------------------------------------------------------ the lattice

    def axes(self, sites: Sites) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the offsets along dy and dx, in km, or in units of the plane."""
        step = _length(self.step, sites, "step")
        counts = []
        for name in ("dy", "dx"):
            half = _length(getattr(self, name), sites, name) / 2 / step
            check_amount(2 * half, f"{name} of CenteredGrid", "use a longer step")
            counts.append(int(half * (1 + 1e-9)))
        check_amount(float(np.prod([2 * n + 1.0 for n in counts])), "CenteredGrid", "a longer step")
        dy, dx = (np.asarray(np.arange(-n, n + 1) * step, float) for n in counts)
        if on_earth(sites) and np.hypot(dy[-1], dx[-1]) > HALF_ROUND:
            raise ValueError(
                f"{self!r} reaches {np.hypot(dy[-1], dx[-1]):.0f} km to its corners, and no place is "
                f"farther than {HALF_ROUND:.0f} km; numbers are km on geographic coordinates"
            )
        return dy, dx

    def slot_offsets(
        self, domain: Lattice
    ) -> dict[str, tuple[NDArray[np.float64], dict[str, str]]]:
        """Give dy and dx of the slots."""
        sites = self.outline(domain)
        units = {"units": "km"} if on_earth(sites) else _units_of(domain)
        words = ("to the north", "to the east")
        words = words if self.heading is None else ("ahead", "to the right")
        values = np.meshgrid(*self.axes(sites), indexing="ij")
        return {
            name: (v.ravel(), {"long_name": f"distance from the anchor {word}", **units})
            for name, v, word in zip(("dy", "dx"), values, words, strict=True)
        }

    # ---------------------------------------------------------------------------------- headings

    @property
    def turns(self) -> bool:
        """Whether each anchor has a heading of its own."""
        return isinstance(self.heading, str)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a table of anchors that are looked at."""
        named = (self.heading if self.heading != TRACK else None, self.storm)
        return tuple(n for n in named if isinstance(n, str))

    def headed(self, domain: Lattice, places: Places, given: Any = None) -> Places:
        """Read where anchors head from their table, or from their order."""
        if not isinstance(self.heading, str):
            return dataclasses.replace(places, headings=None)
        if places.headings is not None:
            return places
        if places.ordinals is not None:
            raise ValueError(
                f"heading={self.heading!r} is not known of the patches that were given as anchors; give "
                "the track or the table that they are from"
            )
        n = len(places)
        if self.heading != TRACK:
            return dataclasses.replace(places, headings=_column(given, self.heading, n, float))
        tracks = np.zeros(n, int) if self.storm is None else _column(given, self.storm, n)
        sites, out = self.outline(domain), np.empty(n)
        for which in _apart(tracks):
            _check_order(given, which, self.storm)
            out[which] = _directions(sites, places.take(which))
        return dataclasses.replace(places, headings=out)

    def _turns(self, places: Places) -> NDArray[np.float64]:
        """Give the heading of each anchor; NaN of those that are left without slots."""
        if self.heading is None or is_number(self.heading):
            return np.full(len(places), float(self.heading or 0.0))
        if places.headings is None:
            raise ValueError(
                f"heading={self.heading!r} needs anchors that say where they head: AlongTrack, or Explicit "
                "with the places of a track in order, or a table with that column"
            )
        lost = ~np.isfinite(places.headings)
        if lost.any() and (places.empty or self.empty) == "raise":
            raise ValueError(
                f"{int(lost.sum())} of {len(places)} anchors have no heading, the first is number "
                f"{int(np.argmax(lost))}: its column has none, or its track stands still; leave them out "
                "with empty='drop', or give headings as a column"
            )
        return places.headings

    # ----------------------------------------------------------------------------------- members

    def neighborhood(self, domain: Lattice, places: Places) -> Members:
        sites = self.outline(domain)
        dy, dx = (v.ravel() for v in np.meshgrid(*self.axes(sites), indexing="ij"))
        turns = self._turns(places)
        check_amount(len(dy) * float(len(places)), "CenteredGrid", "use fewer anchors at a time")
        blocks = list(_looked_up(sites, places, turns, dy, dx))
        table, far = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        members = Members.from_table(sites.dims, sites.shape, sites.dim, table, None)
        reach = float(np.hypot(dy, dx).max()) + _length(self.step, sites, "step") / 2
        scales = np.full(len(places), reach)
        return dataclasses.replace(members, distances=far[table >= 0], scales=scales)


def on_earth(sites: Sites) -> bool:
    """Whether it is known where on Earth elements are."""
    return bool(sites.geographic) or sites.crs is not None


def _looked_up(
    sites: Sites, places: Places, turns: NDArray, dy: NDArray, dx: NDArray
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Give the element of each slot, −1 for none, and how far it is from the anchor, (patch, slot)."""
    metric = "haversine" if on_earth(sites) else "euclidean"
    far, bearing = np.hypot(dx, dy), np.rad2deg(np.arctan2(dx, dy))
    place = sites.to_lonlat(places.x, places.y) if on_earth(sites) else (places.x, places.y)
    rows = max(1, MOST // len(dy))
    for low in range(0, len(places), rows):
        x, y, turn = (v[low : low + rows, None] for v in (*place, turns))
        known = np.broadcast_to(np.isfinite(turn), (len(turn), len(far)))
        toward = np.where(known, bearing + turn, 0.0)
        x0, y0 = np.broadcast_to(x, known.shape), np.broadcast_to(y, known.shape)
        if metric == "haversine":
            lon, lat = (v.ravel() for v in sphere.reached(x0, y0, far, toward))
            points, near = sphere.unit_vectors(lon, lat), _near_on_earth(lon, lat, sites)
        else:
            angle = np.deg2rad(toward)
            points = np.stack([x0 + far * np.sin(angle), y0 + far * np.cos(angle)], axis=-1)
            points = points.reshape(-1, 2)
            near = _near_in_plane(points, sites)
        elements = search.nearest_to(sites, points, 1, metric)[0].reshape(known.shape)
        sx, sy = (v[elements] for v in (sites.lonlat if on_earth(sites) else (sites.x, sites.y)))
        if metric == "haversine":
            distances = sphere.haversine(sx, sy, x, y)
        else:
            distances = np.hypot(sx - x, sy - y)
        yield np.where(near.reshape(known.shape) & known, elements, -1), distances


def _near_on_earth(lon: NDArray, lat: NDArray, sites: Sites) -> NDArray[np.bool_]:
    """Whether places lie in a cell; of scattered elements, hardly farther than their fourth neighbor."""
    if sites.axes is not None:
        return sites.holding(*sites.from_lonlat(lon, lat)) >= 0
    return ps.near_cells(lon, lat, sites, REACH)


def _near_in_plane(points: NDArray, sites: Sites) -> NDArray[np.bool_]:
    """Whether points lie in a cell; of scattered elements, hardly farther than their fourth neighbor."""
    if sites.axes is not None:
        return sites.holding(points[:, 0], points[:, 1]) >= 0
    far, at = sites.tree.query(points)
    spacing, _ = sites.tree.query(sites.tree.data[at], [min(5, len(sites.known))])
    return np.asarray(far <= REACH * spacing[:, 0])


# ------------------------------------------------------------------------------------- headings


def _directions(sites: Sites, places: Places) -> NDArray[np.float64]:
    """Give where a track leads at each of its places, degrees clockwise from north, or from y."""
    if on_earth(sites):
        return sphere.directions(*sites.to_lonlat(places.x, places.y))
    here = np.arange(len(places))
    after, before = np.minimum(here + 1, len(here) - 1), np.maximum(here - 1, 0)
    x, y = (v[after] - v[before] for v in (places.x, places.y))
    return np.where((x == 0) & (y == 0), np.nan, sphere.bearing(x, y))


def _apart(tracks: NDArray) -> list[NDArray[np.intp]]:
    """Give the rows of each track, in their order."""
    _, which = np.unique(tracks, return_inverse=True)
    order = np.argsort(which.reshape(-1), kind="stable")
    return np.split(order, np.flatnonzero(np.diff(which.reshape(-1)[order])) + 1)


def _names(given: Any) -> list[Any]:
    """Give the columns of a table of anchors."""
    if hasattr(given, "columns"):
        return list(given.columns)
    return list(getattr(given, "variables", given if isinstance(given, dict) else ()))


def _column(given: Any, name: str, n: int, dtype: Any = None) -> NDArray[Any]:
    """Read a column of a table of anchors."""
    names = _names(given)
    if name not in names:
        what = f"has only {names}" if names else f"is a {type(given).__name__} without columns"
        raise KeyError(
            f"CenteredGrid looks for the column {name!r} of the anchors, which {what}; give Explicit a table "
            "with it, or heading='track' for the direction of a track"
        )
    values = np.ravel(np.asarray(given[name]))
    if len(values) != n:
        raise ValueError(f"the column {name!r} has {len(values)} values for {n} anchors")
    try:
        return values if dtype is None else values.astype(dtype)
    except (TypeError, ValueError):
        raise TypeError(
            f"the column {name!r} must hold degrees clockwise from north, got dtype {values.dtype}"
        ) from None


def _check_order(given: Any, which: NDArray[np.intp], storm: str | None) -> None:
    """Raise a ValueError if the rows of a track go back in time."""
    for name in _names(given):
        values = np.asarray(given[name])
        if values.dtype.kind != "M" or values.ndim != 1:
            continue
        back = np.flatnonzero(np.diff(values[which]) < np.timedelta64(0))
        if len(back):
            apart = "storm='the column that tells them apart'" if storm is None else "sorted rows"
            raise ValueError(
                f"heading='track' takes rows in the order of the track, but {name!r} goes back from row "
                f"{which[back[0]]} to row {which[back[0] + 1]}: sort the table, and of several tracks "
                f"give {apart}"
            )


# -------------------------------------------------------------------------------------- lengths


def _check_length(value: Any, name: str) -> None:
    if isinstance(value, str):
        if length_of(value, f"{name} of CenteredGrid").degrees:
            raise ValueError(f"{name} of CenteredGrid is a length in km or m, got {value!r}")
        return
    if not is_number(value) or isinstance(value, bool):
        raise TypeError(
            f"{name} of CenteredGrid is a length such as '500km' or '300m', or a number (km, or units of the "
            f"CRS), got {value!r}"
        )
    if not 0 < float(value) < np.inf:
        raise ValueError(f"{name} of CenteredGrid must be positive, got {value!r}")


def _length(value: Any, sites: Sites, name: str) -> float:
    """Give a length in km, or in units of the plane."""
    if not isinstance(value, str):
        unit = 1.0 if sites.geographic or sites.crs is None else km_of_crs(sites.crs)
        return float(value) * unit
    if not on_earth(sites):
        raise ValueError(
            f"{name}={value!r} is a length on Earth, but nothing says in what units the coordinates along "
            f"{list(sites.dims)} are; write a CRS (field.rio.write_crs(…)), or give numbers in their units"
        )
    return length_of(value, name).value


def _units_of(domain: Lattice) -> dict[str, str]:
    """Give the units that the coordinates of a plane say they have."""
    said = [
        domain.template.coords[d].attrs.get("units")
        for d in domain.spatial_dims
        if d in domain.template.coords
    ]
    return {"units": str(said[0])} if said and said[0] and len(set(said)) == 1 else {}
