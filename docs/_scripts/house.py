"""Draw the rooms of the package and what they import: ``python docs/_scripts/house.py``.

Everything is counted from the source by `tests.house`. The picture is committed in ``docs/_static``.
"""

import sys
from collections import Counter
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests import house  # noqa: E402

INK, PAPER, HEIGHT = "#20262c", "#eef2f6", 0.86
COLORS = ["#3b6fb6", "#4c9a5f", "#8a62a8", "#d98032", "#c8372d"]
PURPOSE = {
    "accessor": ".patch on fields and patches",
    "torch": "loaders",
    "training": "sets, sources, features",
    "api": "split, merge: who does it",
    "run": "apply, batches, write",
    "models": "forecasts, scans, fits",
    "multiscale": "windows of many lengths",
    "plot": "maps of patches",
    "patches": "plan, cut, remember, merge, files",
    "catalogs": "tables of files",
    "patcher": "the four axes in one object",
    "time": "all axes in time",
    "sampler": "where anchors are",
    "geometry": "shape of a patch",
    "registry": "names of others",
    "aggregation": "overlaps to values",
    "statistics": "mean, count …",
    "window": "weights in a patch",
    "domain": "what a field lies on",
    "neighborhood": "which cells each patch has",
    "engine": "gather and scatter arrays",
}
FLOORS = (  # as in tests/house.py, where imports are checked; the lower floors in the order of a split
    ("torch",),
    ("accessor",),
    ("api",),
    ("run", "models", "training", "multiscale", "plot"),
    ("patches", "catalogs"),
    ("patcher",),
    (
        "time",
        "sampler",
        "geometry",
        "registry",
        "statistics",
        "aggregation",
        "window",
    ),
    ("domain",),
    ("neighborhood",),
    ("engine",),
)
ASIDE = {"xpatch", "demo", "report", "spec", "sphere"}  # which all may import, or none does
STRONG = 10  # arrows of so many imports are drawn even if they follow from others


def room_of(module):
    """Give the room of a module: the folder or the file at the top of the package."""
    return [*module.split("."), "xpatch"][1]


def counted():
    """Give the lines of code of each room, and the imports of one by another."""
    lines, arrows = Counter(), Counter()
    for path in house.files():
        lines[room_of(house.module_of(path))] += len(house.code_lines(path))
    for module, others in house.graph().items():
        for other in others:
            arrows[room_of(module), room_of(other)] += 1
    return lines, {(a, b): n for (a, b), n in arrows.items() if a != b and not {a, b} & ASIDE}


def telling(arrows):
    """Leave out arrows that follow from others: what a room reaches through the floors in between."""
    floor_of = {room: k for k, floor in enumerate(FLOORS) for room in floor}

    def reaches(a, b):
        """Whether arrows lead from ``a`` to ``b``, each a floor or more down."""
        return (a, b) in arrows or any(
            reaches(c, b) for x, c in arrows if x == a and floor_of[a] < floor_of[c] < floor_of[b]
        )

    def follows(a, b):
        between = [c for x, c in arrows if x == a and floor_of[a] < floor_of[c] < floor_of[b]]
        return any(reaches(c, b) for c in between)

    return {pair: n for pair, n in arrows.items() if n >= STRONG or not follows(*pair)}


def placed(lines):
    """Give (x, y, width) of each room: floors from the top down, rooms as wide as their names need."""
    unknown = set(lines) - ASIDE - {room for floor in FLOORS for room in floor}
    if unknown:
        raise ValueError(f"say on which floor {sorted(unknown)} are, in FLOORS")
    out = {}
    for k, floor in enumerate(FLOORS):
        step = 12 / len(floor)
        for i, room in enumerate(floor):
            width = min(step - 0.3, 3.5)
            out[room] = ((i + 0.5) * step, -1.5 * k, width)
    return out


def arrow(start, end, bend, n, color):
    """Draw an arrow, as thick as it has imports."""
    return FancyArrowPatch(
        start,
        end,
        connectionstyle=f"arc3,rad={bend}",
        arrowstyle="-|>",
        mutation_scale=13,
        lw=1 + 0.07 * min(n, 40),
        color=color,
        alpha=0.8,
        zorder=1,
    )


def draw():
    """Draw it."""
    lines, arrows = counted()
    at = placed(lines)
    fig, ax = plt.subplots(figsize=(11, 10.5), layout="constrained")
    floor_of = {room: k for k, floor in enumerate(FLOORS) for room in floor}
    sides = {}
    for (a, b), n in sorted(telling(arrows).items()):
        (xa, ya, _), (xb, yb, _) = at[a], at[b]
        color, low = COLORS[floor_of[a] % len(COLORS)], HEIGHT / 2
        if ya == yb:
            bend = 0.9 / (xa - xb)  # all are equally high
            ax.add_patch(arrow((xa, ya + low), (xb, yb + low), bend, n, color))
        elif xa == xb and floor_of[b] - floor_of[a] > 1:  # around the rooms in between
            side = sides[a] = -sides.get(a, 1)
            x, out = xa + side * 1.75, 0.45 * side * (1 - 0.04 * (floor_of[b] - floor_of[a]))
            ax.add_patch(arrow((x, ya), (x, yb + 0.1), -out, n, color))
        else:
            out, into = (np.clip(xb - xa, -4, 4) * 0.1 * at[room][2] for room in (a, b))
            ax.add_patch(arrow((xa + out, ya - low), (xb - into, yb + low), 0, n, color))
    for room, (x, y, width) in at.items():
        box = (x - width / 2, y - HEIGHT / 2), width, HEIGHT
        style = "round,pad=0,rounding_size=0.12"
        ax.add_patch(FancyBboxPatch(*box, boxstyle=style, fc=PAPER, ec=INK, lw=1, zorder=2))
        put = {"ha": "center", "va": "center", "zorder": 3}
        ax.text(x, y + 0.2, room, color=INK, size=12, weight="bold", **put)
        ax.text(x, y - 0.04, PURPOSE[room], color=INK, size=8, **put)
        ax.text(x, y - 0.25, f"{lines[room]:,} lines", color="#5c6873", size=8, **put)
    note = "An arrow leads to what a room imports, in the color of the floor it comes from; thicker is more imports."
    ax.text(6, -1.5 * (len(FLOORS) - 1) - 0.7, note, color="#5c6873", size=9, ha="center")
    ax.set_xlim(-0.2, 12.2)
    ax.set_ylim(-1.5 * (len(FLOORS) - 1) - 0.85, 0.95)
    ax.axis("off")
    path = ROOT / "docs" / "_static" / "house.png"
    fig.savefig(path, dpi=90)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    draw()
