"""Where rasters lie in another CRS: outlines with bent edges, across the dateline and around a pole."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain.areas import WORLD, cap, cut
from xpatch.domain.bounds import read_crs, same
from xpatch.domain.turns import TURN

STEPS = 16  # points along each side: 1e-4 of a cell of 10 m on a tile of 110 km


@functools.lru_cache(1024)
def between(source: str, target: str) -> Any:
    """Give the transformer between two CRSs, in the order x, y; None if they are the same."""
    import pyproj

    if same(source, target):
        return None
    return pyproj.Transformer.from_crs(read_crs(source), read_crs(target), always_xy=True)


def rings(transforms: NDArray, shapes: NDArray, steps: int = STEPS) -> NDArray[np.float64]:
    """Give points around rasters, (raster, point, 2), in their own CRSs.

    Parameters
    ----------
    transforms : array of float (raster, 6)
        Affines, in the order of rasterio.
    shapes : array of int (raster, 2)
        Rows and columns.
    """
    k = np.arange(steps) / steps
    zero, one = np.zeros(steps), np.ones(steps)
    column = np.concatenate([k, one, 1 - k, zero])
    row = np.concatenate([zero, k, one, 1 - k])
    height, width = np.asarray(shapes, float).T[..., None]
    a, b, c, d, e, f = np.asarray(transforms, float).T[..., None]
    column, row = column * width, row * height
    return np.stack([a * column + b * row + c, d * column + e * row + f], axis=-1)


def moved(points: NDArray, source: str, target: str) -> NDArray[np.float64]:
    """Transform points (…, 2); what does not come back to where it was is NaN."""
    transformer = between(source, target)
    if transformer is None:
        return points
    x, y = points[..., 0], points[..., 1]
    out = np.stack(transformer.transform(x, y), axis=-1)
    back = np.stack(transformer.transform(out[..., 0], out[..., 1], direction="INVERSE"), axis=-1)
    back[~np.isfinite(back)] = np.nan  # the remainder of infinity warns
    apart = np.abs(back - points)
    if read_crs(source).is_geographic:
        apart[..., 0] = np.minimum(apart[..., 0] % TURN, -apart[..., 0] % TURN)
        apart[..., 0] *= np.abs(y) < 90 - 1e-9  # a pole is at every longitude
    near = 1e-5 * np.maximum(np.ptp(points, axis=-2, keepdims=True), 1e-9)
    out[~(apart <= near).all(axis=-1)] = np.nan
    return out


def unwrapped(points: NDArray) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Let longitudes of rings (ring, point, 2) go on past ±180; and say how often each goes around."""
    lon = np.unwrap(points[..., 0], period=TURN, axis=-1)
    gap = points[..., 0][..., :1] - lon[..., -1:]
    last = lon[..., -1:] + (gap + TURN / 2) % TURN - TURN / 2
    turns = np.rint((last - lon[..., :1])[..., 0] / TURN)
    known = np.isfinite(turns)
    out = np.stack([lon, points[..., 1]], axis=-1)
    middle = np.nanmean(np.where(known[:, None], lon, 0.0), axis=-1, keepdims=True)
    out[..., 0] -= np.floor((middle + TURN / 2) / TURN) * TURN
    return out, np.where(known, turns, 0).astype(np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class Rasters:
    """Where rasters lie: their outlines in any CRS, each found once.

    Parameters
    ----------
    codes : tuple of str
        CRSs, as `crs_code` writes them.
    transforms : float array (raster, 6)
        Affines (a, b, c, d, e, f), in the order of rasterio.
    shapes : int array (raster, 2)
        Rows and columns.
    """

    codes: tuple[str, ...]
    transforms: NDArray[np.float64]
    shapes: NDArray[np.int64]
    known: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.codes)

    def outlines(self, crs: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Give rings (raster, point, 2), and how often each goes around the Earth: not 0 around a pole.

        Longitudes go on past ±180. A ring that cannot be transformed, because it leaves the area of the CRS,
        is NaN.
        """
        if crs not in self.known:
            self.known[crs] = self._outlines(crs)
        found: tuple[NDArray[np.float64], NDArray[np.int64]] = self.known[crs]
        return found

    def _outlines(self, crs: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        points, geographic = rings(self.transforms, self.shapes), read_crs(crs).is_geographic
        out, turns = self.moved(points, crs), np.zeros(len(points), np.int64)
        out[~np.isfinite(out).all(axis=(1, 2))] = np.nan
        own = np.array([read_crs(code).is_geographic for code in self.codes], bool)
        if geographic:
            out[~own], turns[~own] = unwrapped(out[~own])
        else:  # edges of half the Earth enclose nothing
            out[own & (np.ptp(points[..., 0], axis=1) >= TURN / 2)] = np.nan
        return out, turns

    def moved(self, points: NDArray, crs: str) -> NDArray[np.float64]:
        """Transform points (raster, point, 2), those of each raster from its CRS; NaN where that is not defined."""
        out, names = np.empty_like(points), np.asarray(self.codes, object)
        for code in dict.fromkeys(self.codes):
            own = names == code
            out[own] = moved(points[own], code, crs)
        return out

    def bounds(self, crs: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give left, bottom, right, top (raster, 4) in a CRS; NaN where they are unknown.

        Longitudes of one across ±180 go on, so that left is less than right. What comes second is how far
        edges may bend beyond the bounds: the outline through every other point tells, whose error is four times
        that of all.
        """
        points, turns = self.outlines(crs)
        low, high = points.min(axis=1), points.max(axis=1)
        coarse = points[:, ::2]
        bend = np.maximum(coarse.min(axis=1) - low, high - coarse.max(axis=1)).max(axis=1)
        out = np.concatenate([low, high], axis=1)
        for k in np.flatnonzero(turns).tolist():
            pole = self.pole(k, crs)
            out[k, 0], out[k, 2] = -TURN / 2, TURN / 2
            out[k, 3 if pole > 0 else 1] = pole
        return out, bend

    def pole(self, k: int, crs: str) -> float:
        """Give the latitude of the pole that a raster which goes around the Earth holds."""
        a, b, c, d, e, f = self.transforms[k]
        rows, columns = self.shapes[k]
        for pole in (90.0, -90.0):
            x, y = of_pole(self.codes[k], crs, pole)
            column = (e * (x - c) - b * (y - f)) / (a * e - b * d)
            row = (a * (y - f) - d * (x - c)) / (a * e - b * d)
            if 0 <= column <= columns and 0 <= row <= rows:
                return pole
        raise ValueError(f"a raster in {self.codes[k]} goes around the Earth, and holds no pole")

    def footprints(self, crs: str) -> NDArray[Any]:
        """Give the outlines as polygons.

        In degrees one across ±180 is two polygons, and one around a pole reaches up to it, as RFC 7946 has it; one
        that cannot be transformed is the whole Earth. In other CRSs that one is empty.
        """
        import shapely

        points, turns = self.outlines(crs)
        lost = np.asarray(~np.isfinite(points).all(axis=(1, 2)))
        geographic = read_crs(crs).is_geographic
        out = shapely.polygons(np.where(lost[:, None, None], 0.0, points))
        out[lost] = shapely.box(*WORLD) if geographic else shapely.Polygon()
        if geographic:
            for k in np.flatnonzero(turns).tolist():
                out[k] = cap(points[k], self.pole(k, crs))
            beyond = (np.abs(points[..., 0]) > TURN / 2).any(axis=1)
            for k in np.flatnonzero(beyond & (turns == 0) & ~lost).tolist():
                out[k] = split(out[k])
        return out


@functools.lru_cache(1024)
def of_pole(code: str, crs: str, pole: float) -> tuple[float, float]:
    """Give x and y of a pole in a CRS, NaN where it has none."""
    transformer = between(code, crs)
    if transformer is None:
        return np.nan, np.nan
    x, y = transformer.transform(0.0, pole, direction="INVERSE")
    return (x, y) if np.isfinite(x) and np.isfinite(y) else (np.nan, np.nan)


def split(polygon: Any) -> Any:
    """Cut a polygon whose longitudes go on past ±180 at the dateline."""
    import shapely

    if not polygon.is_valid:
        polygon = shapely.make_valid(polygon)
    parts = cut(polygon)
    parts = parts[shapely.area(parts) > 0]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(list(parts))
