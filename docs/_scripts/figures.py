"""Draw the pictures of the documentation: ``python docs/_scripts/figures.py``.

They are committed in ``docs/_static``.
"""

import io
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import matplotlib.tri as mtri
import numpy as np
import rioxarray  # noqa: F401  registers .rio
import shapely
import uxarray as ux
import xarray as xr
from matplotlib.patches import Rectangle
from PIL import Image

import xpatch
from xpatch.demo import elevation

STATIC = Path(__file__).parent.parent / "_static"
INK, SOFT, ALERT = "#20262c", "#9aa5b1", "#c8372d"
COLORS = ["#3b6fb6", "#d98032", "#4c9a5f", "#8a62a8", "#b0893a"]


def save(fig, name, dpi=90, colors=128):
    """Write a picture of few colors to where the documentation looks for it."""
    STATIC.mkdir(exist_ok=True)
    path = STATIC / f"{name}.png"
    buffer = io.BytesIO()
    fig.savefig(buffer, dpi=dpi)
    plt.close(fig)
    Image.open(buffer).convert("RGB").quantize(colors, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def detrend(patches):
    """Subtract from each patch the plane that fits it best in the sense of least squares."""
    mean = plane = patches.mean(("y", "x"))
    for dim in ("y", "x"):
        n = patches.sizes[dim]
        offset = xr.DataArray(np.arange(n) - (n - 1) / 2, dims=dim)
        plane = plane + offset * ((patches - mean) * offset).mean(("y", "x")) / (offset**2).mean()
    return patches - plane


# Field, patches, model, field


def spread(ax, patches, one, **scale):
    """Draw patches on a canvas, apart from each other; frame one of them."""
    anchors = patches.patch.anchors
    row, column = (np.unique(anchors[f"cell_{d}"], return_inverse=True)[1] for d in ("y", "x"))
    size = patches.sizes["y"]
    corners = np.stack([row, column], axis=1) * (size + size // 6)
    canvas = np.full(corners.max(axis=0) + size, np.nan)
    for (i, j), patch in zip(corners, patches.values, strict=True):
        canvas[i : i + size, j : j + size] = patch
    ax.imshow(canvas, interpolation="antialiased", **scale)
    i, j = corners[one]
    ax.add_patch(Rectangle((j - 0.5, i - 0.5), size, size, fc="none", ec=INK, lw=2))


def frame(ax, patches, one):
    """Frame one patch on the field it was cut from."""
    size = patches.sizes["y"]
    cells = patches.patch.anchors.isel(patch=one)
    i, j = (int(cells[f"cell_{d}"]) - size // 2 for d in ("y", "x"))
    ax.add_patch(Rectangle((j - 0.5, i - 0.5), size, size, fc="none", ec=INK, lw=2))


def stages():
    """The picture of the README."""
    dem = elevation()
    patches = dem.patch.split(
        geometry=xpatch.Rectangular(y=96, x=96), sampler=xpatch.RegularStride(y=48, x=48)
    )
    modeled = detrend(patches)
    merged = modeled.patch.merge(xpatch.OverlapAdd("hann"))
    before = {"cmap": "gist_earth", "vmin": 200, "vmax": 1000}
    after = {"cmap": "RdBu_r", "vmin": -150, "vmax": 150}
    one = 18
    fig, axes = plt.subplots(1, 4, figsize=(13, 2.95))
    fig.subplots_adjust(0.005, 0.01, 0.995, 0.91, wspace=0.22)
    axes[0].imshow(dem, **before)
    frame(axes[0], patches, one)
    spread(axes[1], patches, one, **before)
    spread(axes[2], modeled, one, **after)
    axes[3].imshow(merged, **after)
    frame(axes[3], patches, one)
    titles = ["a field", f"{patches.sizes['patch']} patches that overlap", "any model", "the field"]
    for ax, title in zip(axes, titles, strict=True):
        ax.set(xticks=[], yticks=[])
        box = ax.get_position()  # its own, not that of the picture, which is less high in some
        middle = (box.x0 + box.x1) / 2
        fig.text(middle, 0.905, title, ha="center", fontsize=12, color=INK)
        ax.spines[:].set_visible(False)
    for ax, word in zip(axes, ["split", "map", "merge"], strict=False):
        ax.annotate(
            "",
            (1.19, 0.5),
            (1.03, 0.5),
            "axes fraction",
            arrowprops={"arrowstyle": "-|>", "color": INK},
        )
        ax.text(1.11, 0.53, word, transform=ax.transAxes, ha="center", color=INK, fontsize=10)
    save(fig, "stages", 100)


def seams():
    """The same model on tiles side by side and on overlapping patches."""
    dem = elevation()
    box = xpatch.Rectangular(y=96, x=96)
    tiled = detrend(dem.patch.split(geometry=box)).patch.merge("last")
    patches = dem.patch.split(geometry=box, sampler=xpatch.RegularStride(y=48, x=48))
    blended = detrend(patches).patch.merge(xpatch.OverlapAdd("hann"))
    fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.7), layout="constrained")
    for ax, field, title in zip(
        axes, (tiled, blended), ("tiles side by side", "overlap and a Hann window"), strict=True
    ):
        ax.imshow(field, cmap="RdBu_r", vmin=-150, vmax=150)
        ax.set(xticks=[], yticks=[], title=title)
    save(fig, "seams", 80)


# Boundaries


def boundary(word, n=11, size=4, step=3):
    """Patches of one boundary below the cells of a one-dimensional field."""
    field = xr.DataArray(np.arange(n), dims="x")
    failed = None
    try:
        geometry = xpatch.Rectangular(x=size, boundary=word)
        patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(step))
    except ValueError as error:
        failed = str(error)
        geometry = xpatch.Rectangular(x=size, boundary="drop")
        patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(step))
    starts = patches.patch.anchors["cell_x"].values - size // 2
    cover = patches.patch.mask.patch.merge("sum", fill_value=0).values.astype(int)
    fig, ax = plt.subplots(figsize=(7.2, 0.34 * (len(starts) + 2.6)))
    fig.subplots_adjust(0, 0, 1, 1)
    for i in range(n):
        fill = "#f6d5d1" if cover[i] == 0 else "#e9edf1"
        ax.add_patch(Rectangle((i, 0), 1, 0.8, fc=fill, ec="white", lw=1.5))
        ax.text(i + 0.5, 0.4, i, ha="center", va="center", fontsize=9, color=INK)
        color = ALERT if cover[i] == 0 else SOFT
        ax.text(i + 0.5, 1.15, cover[i], ha="center", va="center", fontsize=8, color=color)
    ax.text(-1.6, 0.4, "cells", ha="right", va="center", fontsize=9, color=INK)
    ax.text(-1.6, 1.15, "patches on a cell", ha="right", va="center", fontsize=8, color=SOFT)
    for k, start in enumerate(starts):
        draw_patch(ax, start, patches.values[k], n, -1.0 * (k + 1), COLORS[k], word)
        ax.text(
            -1.6,
            -1.0 * (k + 1) + 0.35,
            f"patch {k}",
            ha="right",
            va="center",
            fontsize=9,
            color=INK,
        )
    if failed is not None:
        ax.text(n + 0.3, 0.4, "left over: ValueError", va="center", fontsize=9, color=ALERT)
    ax.set(xlim=(-5.2, n + 4.6), ylim=(-len(starts) - 0.3, 1.7))
    ax.axis("off")
    save(fig, f"boundary-{word}")


def draw_patch(ax, start, values, n, y, color, word):
    """Draw a patch where it lies; each cell shows the number of the cell its value comes from."""
    for i, value in zip(range(start, start + len(values)), values, strict=True):
        inside, at = 0 <= i < n, i
        if word == "wrap" and not inside:
            ax.add_patch(Rectangle((i, y), 1, 0.7, lw=1.2, fc="none", ec=color, ls=":"))
            inside, at = True, i % n
        style = (
            {"fc": color, "ec": "white"} if inside else {"fc": "none", "ec": color, "hatch": "////"}
        )
        ax.add_patch(Rectangle((at, y), 1, 0.7, lw=1.5, **style))
        look = (
            {"color": "white"}
            if inside
            else {"color": color, "bbox": {"fc": "white", "ec": "none", "pad": 1}}
        )
        ax.text(at + 0.5, y + 0.35, int(value), ha="center", va="center", fontsize=8, **look)


# Windows


def windows(size=32, step=16):
    """Profiles, and their sums over a stride."""
    shown = [
        xpatch.Boxcar(),
        xpatch.Boxcar(margin=4),
        xpatch.Tukey(0.5),
        xpatch.Hann(),
        xpatch.Gaussian(0.4),
    ]
    field = xr.DataArray(np.ones(80), dims="x")
    fig, axes = plt.subplots(1, 5, figsize=(12, 2.2), sharey=True, layout="constrained")
    for ax, window in zip(axes, shown, strict=True):
        patches = field.patch.split(
            geometry={"x": size}, sampler=xpatch.RegularStride(step), window=window
        )
        weights = patches.patch.weights
        starts = patches.patch.anchors["cell_x"].values - size // 2
        for k, start in enumerate(starts):
            ax.plot(np.arange(start, start + size), weights[k], color=COLORS[k], lw=1.4)
        ax.plot(patches.patch.merge("sum"), color=INK, lw=1, ls="--")
        ax.set_title(repr(window), fontsize=9)
        ax.set(ylim=(0, 2.1), xlim=(0, 79), xticks=[0, 40, 79])
        ax.spines[["top", "right"]].set_visible(False)
    save(fig, "windows")


def plan(chunks=3, chunk=4, size=4, step=2):
    """Which chunks a patch block is cut from, and which output chunks its pieces go to."""
    n, mine = chunks * chunk, (4, 8)  # the chunk in the middle
    starts = [a for a in range(0, n - size + 1, step) if mine[0] <= a < mine[1]]
    low, high = starts[0], starts[-1] + size
    fig, axes = plt.subplots(1, 4, figsize=(11, 3.1), layout="constrained")
    titles = ["source: read once", "split: one patch block", "merge: its pieces", "output chunks"]
    for k, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        ax.set_title(title, fontsize=10, color=INK)
        ax.set(xlim=(-0.3, n + 0.3), ylim=(n + 0.3, -0.3), aspect="equal", xticks=[], yticks=[])
        ax.set_frame_on(False)
        for i in range(chunks):
            for j in range(chunks):
                at = (j * chunk, i * chunk)
                touched = i > 0 and j > 0
                color = COLORS[0] if touched and k in (0, 3) else "white"
                alpha = (0.45 if i == j == 1 else 0.18) if color != "white" else 1
                ax.add_patch(Rectangle(at, chunk, chunk, fc=color, ec=SOFT, lw=1, alpha=alpha))
                ax.add_patch(Rectangle(at, chunk, chunk, fc="none", ec=SOFT, lw=1))
    for ax in axes[:2]:
        ax.add_patch(Rectangle((low, low), high - low, high - low, fc="none", ec=ALERT, lw=1.5))
    for i, y in enumerate(starts):
        for j, x in enumerate(starts):
            color = COLORS[(i * 2 + j) % len(COLORS)]
            rim = Rectangle((x + 0.12, y + 0.12), size - 0.24, size - 0.24, fc=color, alpha=0.25)
            axes[1].add_patch(rim)
            axes[1].add_patch(
                Rectangle(
                    (x + 0.12, y + 0.12), size - 0.24, size - 0.24, fc="none", ec=color, lw=1.3
                )
            )
    cuts = [(low, mine[1]), (mine[1], high)]
    for i, (y0, y1) in enumerate(cuts):
        for j, (x0, x1) in enumerate(cuts):
            color = COLORS[i * 2 + j]
            box = (x0 + 0.1, y0 + 0.1), x1 - x0 - 0.2, y1 - y0 - 0.2
            axes[2].add_patch(Rectangle(*box, fc=color, alpha=0.5))
    save(fig, "chunks", dpi=80)


def neighborhoods(seed=3):
    """Five geometries around one anchor each, on what they are for."""
    rng = np.random.default_rng(seed)
    fig, axes = plt.subplots(1, 5, figsize=(13, 2.9), layout="constrained")
    lat, lon = np.arange(51, 90, 3.0), np.arange(-180, 180, 6.0)
    grid = xr.DataArray(np.zeros((len(lat), len(lon))), {"lat": lat, "lon": lon}, ("lat", "lon"))
    xy = rng.uniform(0, 10, (130, 2))
    points = xr.DataArray(np.zeros(130), {"x": ("id", xy[:, 0]), "y": ("id", xy[:, 1])}, ("id",))
    triangles = mtri.Triangulation(*rng.uniform(0, 10, (2, 90)))
    mesh = ux.Grid.from_topology(triangles.x, triangles.y, triangles.triangles, fill_value=-1)
    faces = ux.UxDataArray(xr.DataArray(np.zeros(mesh.n_face), dims="n_face"), uxgrid=mesh)
    raster = xr.DataArray(
        np.zeros((11, 11)), {"y": np.arange(11) - 0.5, "x": np.arange(11) - 0.5}, ("y", "x")
    )
    shape = shapely.Polygon([(1, 1), (8.5, 2), (9, 7), (5, 5), (3, 9)])
    pole = xpatch.Explicit({"lat": [80.0], "lon": [60.0]})
    middle = xpatch.Explicit({"x": [5.0], "y": [5.0]})
    for ax, field, geometry, sampler in zip(
        axes,
        (grid, points, points, faces, raster),
        (
            xpatch.SphericalCap(1700.0),
            xpatch.KNNGraph(12),
            xpatch.RadiusGraph(2.2),
            xpatch.KHopGraph(2),
            xpatch.PolygonIntersection([shape]),
        ),
        (pole, middle, middle, xpatch.Explicit({"lon": [5.0], "lat": [5.0]}), None),
        strict=True,
    ):
        patches = field.patch.split(geometry=geometry, sampler=sampler)
        (plan,) = patches.xindexes["patch"].plans
        sites, found = plan.domain.sites(), plan.hood.elements
        x, y = sites.x, sites.y
        if isinstance(geometry, xpatch.SphericalCap):  # seen from above the pole
            x, y = ((90 - sites.y) * f(np.deg2rad(sites.x)) for f in (np.sin, np.cos))
        ax.scatter(x, y, s=9, color=SOFT, linewidths=0)
        if field is faces:
            ax.triplot(triangles, color=SOFT, linewidth=0.5)
            chosen = triangles.triangles[found]
            ax.tripcolor(
                triangles.x,
                triangles.y,
                chosen,
                facecolors=patches.patch.distance.values[0, : len(found)],
                cmap="Blues_r",
                vmin=-1,
                vmax=4,
            )
        if field is raster:
            ax.plot(*shape.exterior.xy, color=INK, linewidth=1)
        ax.scatter(x[found], y[found], s=16, color=COLORS[0], linewidths=0)
        ax.set_title(repr(geometry) if field is not raster else "PolygonIntersection(…)", size=9)
        ax.set_aspect("equal")
        ax.set_axis_off()
    save(fig, "neighborhoods")


# Time


def record(n, **kwargs):
    """Give a series on which every value is the number of its step."""
    time = xr.date_range("2001-01-01", periods=n, **kwargs)
    return xr.DataArray(np.arange(float(n)), {"time": time}, ("time",))


def held(patches, k=0):
    """Give the numbers of the steps that a window holds."""
    values = patches.isel(patch=k).values
    return values[~np.isnan(values)].astype(int)


def cells(ax, steps, y, color, **style):
    """Draw steps as cells of a row."""
    for step in steps:
        look = {"fc": color, "ec": "white", "lw": 1.2} | style
        ax.add_patch(Rectangle((step, y), 1, 0.74, **look))


def time_geometries(n=25, at=14):
    """The windows of one anchor, one geometry in each row."""
    stride, rolling = xpatch.RegularTimeStride(), xpatch.CausalRolling()
    rows = [
        ("FixedLookback(5)", xpatch.FixedLookback(5), stride),
        ("closed='left'", xpatch.FixedLookback(5, closed="left"), stride),
        ("closed='both'", xpatch.FixedLookback(5, closed="both"), stride),
        ("closed='neither'", xpatch.FixedLookback(5, closed="neither"), stride),
        ("expanding=True", xpatch.FixedLookback(5, expanding=True), stride),
        ("LookbackHorizon(5, 3)", xpatch.LookbackHorizon(5, 3), stride),
        ("gap=2", xpatch.LookbackHorizon(5, 3, gap=2), stride),
        ("with CausalRolling()", xpatch.LookbackHorizon(5, 3), rolling),
        ("PhaseWindow(8, 3)", xpatch.PhaseWindow(8, 3), stride),
        ("causal=True", xpatch.PhaseWindow(8, 3, causal=True), stride),
    ]
    fig, ax = plt.subplots(figsize=(8.6, 3.9))
    fig.subplots_adjust(0, 0, 1, 1)
    tops = -np.arange(len(rows)) - 0.5 * np.cumsum([k in (5, 8) for k in range(len(rows))])
    for y, (name, geometry, sampler) in zip(tops, rows, strict=True):
        patches = record(n).patch.split(xpatch.TimePatcher(geometry, sampler))
        steps = held(patches, int(np.flatnonzero(patches.patch.anchors.cell_time == at)[0]))
        first = at if sampler is rolling else at + 1
        cells(ax, range(n), y, "#e9edf1")

        cells(ax, steps[steps < first], y, COLORS[0])
        cells(ax, steps[steps >= first], y, COLORS[1])
        ax.add_patch(Rectangle((at, y), 1, 0.74, fc="none", ec=INK, lw=1.6, zorder=3))
        ax.text(
            -0.4, y + 0.37, name, ha="right", va="center", fontsize=9, color=INK, family="monospace"
        )
    y = tops[-1] - 0.45
    for lead in range(-12, 11, 2):
        ax.text(
            at + lead + 0.5,
            y,
            f"{lead:+d}".replace("-", "−") if lead else "0",
            ha="center",
            va="center",
            size=8,
            color=SOFT,
        )
    ax.text(-0.4, y, "lead", ha="right", va="center", fontsize=8, color=SOFT)
    ax.text(at + 0.5, 1.1, "anchor", ha="center", va="center", fontsize=9, color=INK)
    ax.text(at - 4.5, 1.1, "past", ha="center", va="center", fontsize=9, color=COLORS[0])
    ax.text(at + 5.5, 1.1, "future", ha="center", va="center", fontsize=9, color=COLORS[1])
    ax.set(xlim=(-8.2, n + 0.3), ylim=(y - 0.5, 1.6))
    ax.axis("off")
    save(fig, "time-geometries")


def time_strides(n=14, size=4, step=3):
    """Windows on a stride, up to their anchors and before them."""
    fig, axes = plt.subplots(1, 2, figsize=(9.2, 2.1))
    fig.subplots_adjust(0.01, 0, 0.99, 0.9, wspace=0.03)
    for ax, sampler in zip(
        axes, (xpatch.RegularTimeStride(step), xpatch.CausalRolling(step)), strict=True
    ):
        patches = record(n).patch.split(xpatch.TimePatcher(xpatch.FixedLookback(size), sampler))
        cells(ax, range(n), 0, "#e9edf1")
        for step_ in range(n):
            ax.text(step_ + 0.5, 0.37, step_, ha="center", va="center", fontsize=8, color=INK)
        for k, at in enumerate(patches.patch.anchors.cell_time.values):
            cells(ax, held(patches, k), -k - 1, COLORS[k])
            ax.add_patch(Rectangle((at, -k - 1), 1, 0.74, fc="none", ec=INK, lw=1.6, zorder=3))
            ax.text(-0.3, -k - 0.63, f"patch {k}", ha="right", va="center", fontsize=8, color=INK)
        ax.set_title(repr(sampler), fontsize=9, family="monospace", color=INK)
        ax.set(xlim=(-2.6, n + 0.2), ylim=(-4.2, 1))
        ax.axis("off")
    save(fig, "time-strides")


def time_gaps(n=16, gap=(7, 10)):
    """Windows of days on a record with a gap: complete ones, and what they hold."""
    whole = record(n)
    field = whole.isel(time=[k for k in range(n) if not gap[0] <= k < gap[1]])
    every = field.patch.split(xpatch.TimePatcher(xpatch.FixedLookback("4D")))
    good = field.patch.split(xpatch.TimePatcher(xpatch.FixedLookback("4D", gaps="drop")))
    unbroken = set(good.patch.anchors.time.values.tolist())
    fig, ax = plt.subplots(figsize=(8.2, 2.5))
    fig.subplots_adjust(0, 0, 1, 1)
    for k in range(n):
        there = not gap[0] <= k < gap[1]
        cells(
            ax,
            [k],
            0,
            "#e9edf1" if there else "white",
            ec="white" if there else SOFT,
            ls="-" if there else ":",
        )
        if there:
            ax.text(k + 0.5, 0.37, k + 1, ha="center", va="center", fontsize=8, color=INK)
    ax.text(-0.3, 0.37, "day", ha="right", va="center", fontsize=9, color=INK)
    anchors = every.patch.anchors.time.values
    for row, at in enumerate((1, 3, 6, 10, 12, 14)):
        y, days = -row - 1, range(at - 3, at + 1)
        here = np.flatnonzero(anchors == whole.time.values[at])
        cells(ax, days, y, "none", ec=SOFT, ls=":")
        if len(here):
            steps = held(every, int(here[0]))
            cells(ax, steps, y, COLORS[0])
            told = f"{len(steps)} step{'s' * (len(steps) > 1)}" + (
                "" if whole.time.values[at].item() in unbroken else ", not with gaps='drop'"
            )
        else:
            told = "begins before the record: left out"
        color = ALERT if not len(here) else INK
        ax.add_patch(Rectangle((at, y), 1, 0.74, fc="none", ec=INK, lw=1.6, zorder=3))
        ax.text(n + 0.4, y + 0.37, told, va="center", fontsize=9, color=color)
    ax.set(xlim=(-2.3, n + 8.2), ylim=(-6.3, 1))
    ax.axis("off")
    save(fig, "time-gaps")


def time_months():
    """One month back from the same dates on three calendars."""
    fig, ax = plt.subplots(figsize=(8.2, 2.0))
    fig.subplots_adjust(0, 0, 1, 1)
    for row, calendar in enumerate(("standard", "noleap", "360_day")):
        field = record(130, calendar=calendar, use_cftime=True)
        field["time"] = xr.date_range("2000-01-01", periods=130, calendar=calendar, use_cftime=True)
        sampler = xpatch.ExplicitTimes(["2000-02-15", "2000-03-15", "2000-04-15"])
        patches = field.patch.split(xpatch.TimePatcher(xpatch.FixedLookback("1MS"), sampler))
        y = -row
        ax.add_patch(Rectangle((0, y), 110, 0.74, fc="#e9edf1", ec="none"))
        for k in range(3):
            steps = held(patches, k)
            ax.add_patch(
                Rectangle((steps[0], y), len(steps), 0.74, fc=COLORS[k], ec="white", lw=1.2)
            )
            ax.text(
                steps.mean() + 0.5,
                y + 0.37,
                f"{len(steps)} days",
                ha="center",
                va="center",
                size=9,
                color="white",
            )
        ax.text(
            -2,
            y + 0.37,
            calendar,
            ha="right",
            va="center",
            fontsize=9,
            color=INK,
            family="monospace",
        )
    for day, name in ((15, "15 Jan"), (45.5, "15 Feb"), (74.8, "15 Mar"), (105.5, "15 Apr")):
        ax.text(day, 1.0, name, ha="center", va="center", fontsize=8, color=SOFT)
    ax.set(xlim=(-18, 112), ylim=(-2.2, 1.3))
    ax.axis("off")
    save(fig, "time-months")


def time_windows():
    """Weights over the lead."""
    shown = [
        xpatch.CausalBoxcar(),
        xpatch.ExponentialDecay(6),
        xpatch.TaperedTukey(0.5),
        xpatch.Periodic(12),
    ]
    fig, axes = plt.subplots(1, 4, figsize=(11, 2.2), sharey=True, layout="constrained")
    for ax, window in zip(axes, shown, strict=True):
        geometry = xpatch.LookbackHorizon(25, 12)
        patches = record(60).patch.split(xpatch.TimePatcher(geometry, window=window))
        lead, weights = patches.lead.values, patches.patch.weights.values[0]
        ax.axvline(0, color=SOFT, lw=1, zorder=0)
        for part, color in ((lead <= 0, COLORS[0]), (lead > 0, COLORS[1])):
            ax.vlines(lead[part], 0, weights[part], color=color, lw=1)
            ax.plot(lead[part], weights[part], ".", color=color, ms=5)
        ax.set_title(repr(window), fontsize=9)
        ax.set(ylim=(0, 1.08), xticks=[-24, -12, 0, 12], yticks=[0, 0.5, 1])
        ax.set_xlabel("lead", fontsize=8, color=INK)
        ax.spines[["top", "right"]].set_visible(False)
    save(fig, "time-windows")


def time_coupling():
    """Which pairs of a place and a window are patches."""
    time, places = record(16).time, np.arange(4)
    field = xr.DataArray(np.zeros((16, 4)), {"time": time, "x": places}, ("time", "x"))
    product = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"x": 1}),
        xpatch.TimePatcher(xpatch.FixedLookback(4), xpatch.RegularTimeStride(4)),
    )
    coupled = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"x": 1}, xpatch.Explicit([(1,), (3,), (0,)])),
        xpatch.TimePatcher(xpatch.FixedLookback(4), xpatch.EventTriggered(time[[4, 8, 13]])),
        coupling="coupled",
    )
    fig, axes = plt.subplots(1, 2, figsize=(7.6, 2.0))
    fig.subplots_adjust(0.06, 0.12, 0.99, 0.88, wspace=0.14)
    for ax, patcher in zip(axes, (product, coupled), strict=True):
        at = field.patch.split(patcher).patch.anchors
        ax.add_patch(Rectangle((0, 0), 16, 4, fc="#f4f6f8", ec="none"))
        for k, (x, t) in enumerate(zip(at.cell_x.values, at.cell_time.values, strict=True)):
            color = COLORS[int(x) % len(COLORS)]
            ax.add_patch(Rectangle((t - 3, 3 - x), 4, 1, fc=color, ec="white", lw=1.5))
            ax.text(t - 1, 3.5 - x, k, ha="center", va="center", fontsize=9, color="white")
        ax.set(xlim=(-0.1, 16.1), ylim=(-0.1, 4.1), xticks=[], yticks=[])
        ax.set_title(f"coupling={patcher.coupling!r}", fontsize=9, color=INK, family="monospace")
        ax.set_xlabel("time", fontsize=9, color=INK)
        ax.set_ylabel("place", fontsize=9, color=INK)
        ax.set_frame_on(False)
    save(fig, "time-coupling")


# What patches share when a model is fitted to them


def pooling():
    """Draw six patches with their own lines, pooled lines, and one for all."""
    rng = np.random.default_rng(4)
    count, samples = 6, 7
    x = rng.uniform(0, 1, (count, samples)) * np.linspace(0.35, 1, count)[:, None]
    slope = rng.normal(2.0, 0.7, count)
    t = slope[:, None] * x + rng.normal(0, 0.45, x.shape)
    field = xr.Dataset({"x": ("i", x.ravel()), "t": ("i", t.ravel())})
    patches = field.patch.split(geometry={"i": samples})
    model = xpatch.LeastSquares()
    own = patches.patch.fit(model, y="t", x="x")
    every = patches.patch.fit(model, y="t", x="x", over="patch")
    titles = ["none: fit(…)", "partial: fit(…).patch.pool()", 'complete: fit(…, over="patch")']
    fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.1), sharey=True, layout="constrained")
    line = np.array([0.0, 1.0])
    for ax, title, theta in zip(axes, titles, (own, own.patch.pool(), every), strict=True):
        for k in range(count):
            color = COLORS[k % len(COLORS)] if k < len(COLORS) else INK
            ax.plot(x[k], t[k], "o", ms=3.5, color=color, alpha=0.55)
            coef = theta.coef if "patch" not in theta.dims else theta.coef.isel(patch=k)
            a, b = coef.values
            ax.plot(line, a + b * line, color=color if "patch" in theta.dims else INK, lw=1.6)
        ax.set(title=title, xlabel="x", ylim=(-1.3, 3.6), xlim=(0, 1))
        ax.title.set_fontsize(10)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("t")
    save(fig, "pooling", dpi=100)


def main():
    """Draw all pictures."""
    neighborhoods()
    stages()
    seams()
    for word in ("shift", "drop", "pad", "wrap", "raise"):
        boundary(word)
    windows()
    plan()
    time_geometries()
    time_strides()
    time_gaps()
    time_months()
    time_windows()
    time_coupling()
    pooling()


if __name__ == "__main__":
    main()
