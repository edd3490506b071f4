"""Small pictures without matplotlib: counts as a PNG, places as dots, windows in time as a skyline."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Hashable, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.patches import member_properties as listed
from xpatch.patches.index import PatchIndex
from xpatch.patches.outlines import plane
from xpatch.patches.plan import Plan
from xpatch.plot.held import Held
from xpatch.plot.members import canvas_of

SIDE = 64  # pixels of a thumbnail at most
WIDE = 150  # on the page
DOTS = 300
BLUE = (59, 111, 182)


def thumbnail(plan: Plan, index: PatchIndex, held: Sequence[Held]) -> str:
    """Give the first picture that there is: coverage of boxes, anchors of lists, coverage in time."""
    if not len(index.ordinals):
        return ""
    if held and plan.hood.slices and held[0].counts is not None and held[0].counts.ndim >= 2:
        return _figure(_heat(plan, held[0]), held[0].caption)
    if plan.places is not None:
        entries = np.unique(plan.in_space(index.ordinals)[1])  # each place once
        x, y = plan.places.x[entries], plan.places.y[entries]
        return _figure(_dots(_turned(plan, x), y), "anchors")
    own = held[0].counts if held else None
    if own is None or not own.size:
        return ""
    return _figure(_skyline(own.ravel()), held[0].caption)


def _turned(plan: Plan, x: NDArray[Any]) -> NDArray[Any]:
    """Give longitudes as on the map of the elements, in one piece across the dateline."""
    try:
        return canvas_of(listed.sites_of(plan)).turned(x)
    except ValueError:  # read from a file, which does not say where all of them are
        return x


def _figure(picture: str, caption: str) -> str:
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def _heat(plan: Plan, held: Held) -> str:
    """Draw counts on a map, north up; the deeper the more."""
    counts = held.counts
    assert counts is not None
    y, x = plane(plan.domain, held.dims)
    counts = counts.mean(axis=tuple(k for k, d in enumerate(held.dims) if d not in (y, x)))
    if held.dims.index(y) > held.dims.index(x):
        counts = counts.T
    small = binned(binned(counts, 0), 1)
    up = slice(None, None, -1 if _ascends(plan, y) else 1)
    along = slice(None, None, -1 if _ascends(plan, x) is False else 1)
    small = small[up, along]
    rows, columns = (plan.domain.sizes[d] for d in (y, x))
    high = int(np.clip(WIDE * rows / max(columns, 1), 30, WIDE))
    source = base64.b64encode(png(small)).decode()
    return (
        f'<img width="{WIDE}" height="{high}" alt="patches on a cell" '
        f'src="data:image/png;base64,{source}"/>'
    )


def _ascends(plan: Plan, dim: Hashable) -> bool | None:
    """Whether labels rise with the cells; None without labels, which are counted from the top left."""
    values = plan.domain.coordinate(dim)
    if values is None or values.dtype.kind not in "iuf" or len(values) < 2:
        return None
    return bool(values[-1] > values[0])


def binned(values: NDArray[Any], axis: int, most: int = SIDE) -> NDArray[np.float64]:
    """Give means of neighbors, so that there are at most so many."""
    n = values.shape[axis]
    if n <= most:
        return values.astype(float)
    edges = np.linspace(0, n, most + 1).astype(int)
    sums = np.add.reduceat(values.astype(float), edges[:-1], axis=axis)
    shape = [1] * values.ndim
    shape[axis] = most
    return sums / np.diff(edges).reshape(shape)


def png(values: NDArray[Any]) -> bytes:
    """Give an image in one color, the less transparent the larger the value.

    It is seen on light and on dark pages.

    References
    ----------
    ISO/IEC 15948: Portable Network Graphics; color type 3 is a palette, tRNS its opacity.
    """
    most = float(values.max(initial=0)) or 1.0
    levels = np.rint(values / most * 255).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    size = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 8, 3, 0, 0, 0)
    parts = [(b"IHDR", size), (b"PLTE", bytes(BLUE) * 256), (b"tRNS", bytes(range(256)))]
    parts += [(b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


def _dots(x: NDArray[Any], y: NDArray[Any]) -> str:
    """Draw an even choice of places."""
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    some = (
        known[np.unique(np.linspace(0, len(known) - 1, DOTS).astype(int))] if len(known) else known
    )
    x, y = x[some], y[some]
    wide = float(np.ptp(x)) if len(x) else 0.0
    high = float(np.ptp(y)) if len(y) else 0.0
    scale = (WIDE - 10) / (max(wide, high) or 1.0)
    tall = int(max(high * scale + 10, 30))
    left = 5 + (x - x.min(initial=np.inf)) * scale if len(x) else x
    top = tall - 5 - (y - y.min(initial=np.inf)) * scale if len(y) else y
    path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(left, top, strict=True))
    return _svg(
        tall, f'<path d="{path}" stroke="currentColor" stroke-width="3" stroke-linecap="round"/>'
    )


def _skyline(counts: NDArray[Any]) -> str:
    """Draw counts along one dimension."""
    small = binned(counts, 0, 2 * SIDE)
    tops = 46 - small / (small.max() or 1) * 42
    step = WIDE / len(small)
    path = "".join(f"V{t:.1f}h{step:.2f}" for t in tops)
    return _svg(46, f'<path d="M0 46{path}V46Z" fill="currentColor" fill-opacity="0.6"/>')


def _svg(high: int, inner: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE}" height="{high}" '
        f'viewBox="0 0 {WIDE} {high}" role="img">{inner}</svg>'
    )
