"""The sphere: unit vectors, chords and great circles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.spec import check_amount

EARTH_RADIUS_KM = 6371.0088  # mean radius R1 of GRS 80


def unit_vectors(lon: Any, lat: Any) -> NDArray[np.float64]:
    """Give unit vectors of points in degrees, shape (…, 3)."""
    lam, phi = np.deg2rad(np.asarray(lon, float)), np.deg2rad(np.asarray(lat, float))
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def degrees_of(vectors: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give longitude and latitude in degrees of vectors of any length."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arctan2(z, np.hypot(x, y)))


def chord(km: Any) -> Any:
    """Give the chord on the unit sphere of a great-circle distance; no distance is beyond π R."""
    return 2 * np.sin(np.minimum(np.asarray(km) / EARTH_RADIUS_KM, np.pi) / 2)


def arc(chord: Any) -> Any:
    """Give the great-circle distance in km of a chord on the unit sphere."""
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(np.asarray(chord) / 2, 0, 1))


def haversine(lon: Any, lat: Any, lon0: Any, lat0: Any) -> NDArray[np.float64]:
    """Give the great-circle distance in km between points in degrees.

    References
    ----------
    Sinnott, R. W. (1984). Virtues of the haversine. Sky and Telescope, 68, 159.
    """
    lam, phi, lam0, phi0 = (np.deg2rad(np.asarray(v, float)) for v in (lon, lat, lon0, lat0))
    a = np.sin((phi - phi0) / 2) ** 2
    b = np.cos(phi) * np.cos(phi0) * np.sin((lam - lam0) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(a + b, 0, 1)))


def fibonacci(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give longitude and latitude of ``n`` points that each stand for an equal area.

    References
    ----------
    González, Á. (2010). Measurement of areas on a sphere using Fibonacci and latitude–longitude
    lattices. Mathematical Geosciences, 42, 49–64.
    """
    k = np.arange(n)
    lat = np.rad2deg(np.arcsin((2 * k + 1) / n - 1))
    golden = (1 + np.sqrt(5)) / 2
    return (k * 360 / golden + 180) % 360 - 180, lat


def along(
    lon: NDArray, lat: NDArray, spacing: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give longitude and latitude at every ``spacing`` km along great-circle segments."""
    xyz = unit_vectors(lon, lat)
    cross = np.linalg.norm(np.cross(xyz[:-1], xyz[1:]), axis=1)
    angle = np.arctan2(cross, (xyz[:-1] * xyz[1:]).sum(axis=1))
    total = np.concatenate([[0], np.cumsum(angle)])
    if not total[-1]:
        return np.asarray(lon, float)[:1], np.asarray(lat, float)[:1]
    if not np.isfinite(total[-1]):
        raise ValueError("the track has a vertex without a place (NaN); drop it: dropna")
    check_amount(total[-1] * EARTH_RADIUS_KM / spacing, "the track", "use a larger spacing")
    at = np.arange(0, total[-1] * (1 + 1e-12), spacing / EARTH_RADIUS_KM)
    segment = np.clip(np.searchsorted(total, at, side="right") - 1, 0, len(angle) - 1)
    part = at - total[segment]
    whole = np.where(angle[segment] > 0, angle[segment], 1)
    a = np.where(angle[segment] > 0, np.sin(whole - part) / np.sin(whole), 1)
    b = np.where(angle[segment] > 0, np.sin(part) / np.sin(whole), 0)
    return degrees_of(a[:, None] * xyz[segment] + b[:, None] * xyz[segment + 1])


def reached(
    lon: Any, lat: Any, km: Any, direction: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give where great circles lead that leave places in a ``direction``, degrees clockwise from north.

    This is the inverse of the azimuthal equidistant projection around each place.

    References
    ----------
    Snyder, J. P. (1987). Map projections: a working manual. USGS Professional Paper 1395, 191–202.
    """
    center, east, north = _compass(lon, lat)
    angle, turn = np.asarray(km, float) / EARTH_RADIUS_KM, np.deg2rad(direction)
    along = np.cos(turn)[..., None] * north + np.sin(turn)[..., None] * east
    return degrees_of(np.cos(angle)[..., None] * center + np.sin(angle)[..., None] * along)


def directions(lon: NDArray, lat: NDArray) -> NDArray[np.float64]:
    """Give the direction in which a track leads at each of its places, degrees clockwise from north.

    From the place before to the one after, as seen from the place; at the ends that of the great
    circle to the only neighbor. NaN where these two coincide.
    """
    center, east, north = _compass(lon, lat)
    here = np.arange(len(center))
    to = center[np.minimum(here + 1, len(here) - 1)] - center[np.maximum(here - 1, 0)]
    x, y = (to * east).sum(axis=-1), (to * north).sum(axis=-1)
    return np.where(np.hypot(x, y) > 1e-12, bearing(x, y), np.nan)


def bearing(east: NDArray, north: NDArray) -> NDArray[np.float64]:
    """Give directions in degrees clockwise from north, in [0, 360)."""
    return np.rad2deg(np.arctan2(east, north)) % 360 % 360  # twice: −1e-20 % 360 is 360


def _compass(lon: Any, lat: Any) -> tuple[NDArray[np.float64], ...]:
    """Give places on the unit sphere, and the unit vectors to the east and to the north of them."""
    lam, phi = np.deg2rad(np.asarray(lon, float)), np.deg2rad(np.asarray(lat, float))
    east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)], axis=-1)
    up = [-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)]
    return unit_vectors(lon, lat), east, np.stack(up, axis=-1)


def azimuthal(
    lon: Any, lat: Any, lon0: Any, lat0: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give km to the east and to the north of an origin: the azimuthal equidistant projection.

    Distances from the origin are those of great circles, and so are directions.

    References
    ----------
    Snyder, J. P. (1987). Map projections: a working manual. USGS Professional Paper 1395, 191–202.
    """
    lam, phi, lam0, phi0 = (np.deg2rad(np.asarray(v, float)) for v in (lon, lat, lon0, lat0))
    turn = lam - lam0
    east = np.cos(phi) * np.sin(turn)
    # without the difference of two numbers near one, which loses meters in a small patch
    north = np.sin(phi - phi0) + 2 * np.sin(phi0) * np.cos(phi) * np.sin(turn / 2) ** 2
    up = np.sin(phi0) * np.sin(phi) + np.cos(phi0) * np.cos(phi) * np.cos(turn)
    far = np.hypot(east, north)
    angle = np.arctan2(far, up)
    north = np.where((far == 0) & (up < 0), 1.0, north)  # of the antipode any direction is as good
    scale = EARTH_RADIUS_KM * angle / np.where(far == 0, 1.0, far)
    return east * scale, north * scale


def excess(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the areas on the unit sphere of polygons of unit vectors, shape (…, corner, 3).

    Edges are great circles. The excess of each triangle of a fan is added with its sign, so that
    polygons need not be convex, and corners may repeat.

    References
    ----------
    Van Oosterom, A., & Strackee, J. (1983). The solid angle of a plane triangle. IEEE Transactions on
    Biomedical Engineering, BME-30, 125–126.
    """
    a, b, c = corners[..., :1, :], corners[..., 1:-1, :], corners[..., 2:, :]
    # of differences: the product of three vectors that hardly differ has no digits left
    triple = (a * np.cross(b - a, c - a)).sum(axis=-1)
    rest = 1 + (a * b).sum(axis=-1) + (b * c).sum(axis=-1) + (c * a).sum(axis=-1)
    return np.abs(2 * np.arctan2(triple, rest).sum(axis=-1))


def corners_between(centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the four corners of cells, midway between centers (…, y, x, 3); beyond the last, mirrored."""
    whole = _mirrored(_mirrored(centers, -3), -2)
    sums = whole[..., :-1, :, :] + whole[..., 1:, :, :]
    sums = sums[..., :-1, :] + sums[..., 1:, :]
    at = sums / np.linalg.norm(sums, axis=-1, keepdims=True)
    four = at[..., :-1, :-1, :], at[..., :-1, 1:, :], at[..., 1:, 1:, :], at[..., 1:, :-1, :]
    return np.stack(four, axis=-2)


def _mirrored(vectors: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Go on by one vector at both ends of an axis, along great circles."""

    def beyond(last: int, before: int) -> NDArray[np.float64]:
        end, other = vectors.take([last], axis), vectors.take([before], axis)
        return 2 * (end * other).sum(axis=-1, keepdims=True) * end - other

    return np.concatenate([beyond(0, 1), vectors, beyond(-1, -2)], axis)
