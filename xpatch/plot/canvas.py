"""`Canvas`: what places mean on the axes of a picture: degrees on a map, or a plane."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain.turns import west_of

Lines = list[NDArray[np.float64]]

STEEPEST = 85.0  # latitude beyond which maps are not stretched any more
UNITS = {"metre": "m", "kilometre": "km", "degree": "°"}
COLORS = (
    "#c8372d",
    "#3b6fb6",
    "#d98032",
    "#8a62a8",
    "#4c9a5f",
)  # of the few patches that are highlighted


@dataclasses.dataclass(frozen=True)
class Canvas:
    """A plane, or a map that begins at some longitude.

    Parameters
    ----------
    names : pair of str
        What the axes are called, x first.
    degrees : bool
        Whether x and y are longitude and latitude.
    level : bool
        Whether x and y are lengths of one unit, so that squares are drawn as squares.
    west : float, optional
        Where a map begins, in degrees; longitudes are turned into the 360 degrees from there on.
        None: they are drawn as they are.
    crs : object, optional
        The CRS of x and y, for axes of cartopy.
    """

    names: tuple[str, str]
    degrees: bool = False
    level: bool = False
    west: float | None = None
    crs: Any = None

    @classmethod
    def of_map(cls, lon: NDArray[Any]) -> Canvas:
        """Give the map of places: it begins where they leave a gap."""
        return cls(("longitude", "latitude"), True, True, west_of(lon))

    def turned(self, x: NDArray[Any]) -> NDArray[Any]:
        """Give longitudes on this map; x of a plane as it is."""
        return x if self.west is None else self.west + (x - self.west) % 360

    def stretch(self, middle: float) -> float:
        """Give how many times as long as a step along x one along y is drawn."""
        return stretch((middle, middle)) if self.degrees else 1.0

    def extent(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
        """Give how wide and how high the picture of places is."""
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            return 1.0, 1.0
        x, y = self.turned(x[known]), y[known]
        return float(np.ptp(x)), float(np.ptp(y)) * self.stretch(float(y.max() + y.min()) / 2)

    def lines(self, lines: Sequence[NDArray[Any]]) -> Lines:
        """Give lines where they are on this map; what goes on past its end also begins there."""
        if self.west is None:
            return list(lines)
        out: Lines = []
        for line in lines:
            if not len(line):
                continue
            by = 360 * np.floor((line[:, 0].min() - self.west) / 360)
            own = line - [by, 0]
            out.append(own)
            if own[:, 0].max() > self.west + 360 + 1e-9:
                out.append(own - [360, 0])
        return out

    def boxes(self, boxes: NDArray[Any]) -> NDArray[Any]:
        """Give boxes (x0, y0, x1, y1) where they are on this map, those across its end at both."""
        if self.west is None:
            return boxes
        sides = np.array([1, 0, 1, 0])
        boxes = boxes - 360 * np.floor((boxes[:, :1] - self.west) / 360) * sides
        across = boxes[:, 2] > self.west + 360 + 1e-9
        return np.concatenate([boxes, boxes[across] - 360 * sides])

    def transform(self, ax: Any) -> dict[str, Any]:
        """Give what artists on axes of cartopy are told: which CRS their places are in.

        Raises
        ------
        ValueError
            If that is not known.
        """
        if not hasattr(ax, "projection"):
            return {}
        import cartopy.crs as ccrs

        if self.degrees:
            return {"transform": ccrs.PlateCarree()}
        if self.crs is None:
            raise ValueError(
                "axes of cartopy draw places on Earth, and this field has no CRS; write one before it is split, "
                "field.rio.write_crs(…), or draw on plain axes"
            )
        return {"transform": ccrs.Projection(self.crs)}

    def dress(self, ax: Any, title: str) -> None:
        """Label the axes, and let squares on the ground be squares."""
        ax.set_title(title)
        if hasattr(ax, "projection"):
            return
        ax.set(xlabel=self.names[0], ylabel=self.names[1])
        write_numbers(ax)
        if self.degrees:
            ax.xaxis.set_major_formatter(lambda x, _: degrees((x + 180) % 360 - 180, "EW"))
            ax.yaxis.set_major_formatter(lambda y, _: degrees(y, "NS"))
            self._keep_on_earth(ax)
            for axis in (ax.xaxis, ax.yaxis):
                wide = np.ptp(axis.get_view_interval()) > 6  # else with decimals, which are long
                how = (6, [1, 2, 3, 6, 9, 10]) if wide else (4, [1, 2, 5, 10])
                axis.get_major_locator().set_params(nbins=how[0], steps=how[1])
        elif self.level:
            ax.xaxis.get_major_locator().set_params(nbins=4)  # numbers of a projection are long
        if self.level:
            ax.set_aspect(stretch(ax.get_ybound()) if self.degrees else 1)

    def _keep_on_earth(self, ax: Any) -> None:
        south, north = ax.get_ybound()
        ax.set_ybound(max(south, -90), min(north, 90))
        west, east = ax.get_xbound()
        if self.west is not None and (west < self.west or east > self.west + 360):
            ax.set_xbound(max(west, self.west), min(east, self.west + 360))


def write_numbers(ax: Any) -> None:
    """Write northings in full: 4998010, not 4.99801 and somewhere else 1e6."""
    from matplotlib.ticker import ScalarFormatter

    for axis in (ax.xaxis, ax.yaxis):
        formatter = axis.get_major_formatter()
        if isinstance(formatter, ScalarFormatter):
            formatter.set_useOffset(False)
            formatter.set_scientific(False)


def around(edges: NDArray[np.float64]) -> float | None:
    """Give where cells begin that go around the globe; None if they do not."""
    low, high = float(edges.min()), float(edges.max())
    return low if high - low > 359 else None


def in_plane(crs: Any) -> tuple[str, str]:
    """Give what the axes of a plane are called, with the unit of its CRS."""
    unit = unit_of(crs)
    return ("x", "y") if unit is None else (f"x ({unit})", f"y ({unit})")


def unit_of(crs: Any) -> str | None:
    """Give the unit of the axes of a CRS, as it is written behind a number; None without a CRS."""
    names = [] if crs is None else sorted({str(axis.unit_name) for axis in crs.axis_info})
    return UNITS.get(names[0], names[0]) if len(names) == 1 else None


def same_bounds(axes: Any) -> None:
    """Let a second panel show what the first one does."""
    for ax in axes[1:]:
        if not hasattr(ax, "projection"):
            ax.set(xlim=axes[0].get_xlim(), ylim=axes[0].get_ylim(), aspect=axes[0].get_aspect())


def stretch(bounds: tuple[float, float]) -> float:
    """Give how many times as long as a degree of longitude one of latitude is in the middle."""
    middle = min(abs(sum(bounds) / 2), STEEPEST)
    return 1 / float(np.cos(np.deg2rad(middle)))


def degrees(value: float, sides: str) -> str:
    """Write degrees east or west, north or south."""
    value = round(value, 6)
    side = "" if value == 0 or abs(value) == 180 else sides[int(value < 0)]
    return f"{abs(value):g}°{side}"
