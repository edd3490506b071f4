"""What a catalog is, in a few lines: no file is opened for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def summary(table: Any) -> str:
    """Say how many files there are, in which CRSs, of which dates, and where."""
    if "href" not in table:
        return "<no catalog: .field(), .split(geometry), .scenes()>"
    first = f"<{len(table)} files: .field(), .split(geometry), .scenes()>"
    return "\n".join([first, *_lines(table)])


def _lines(table: Any) -> Iterator[str]:
    if not len(table):
        return
    if "proj:code" in table:
        named = sorted({str(code) for code in table["proj:code"].dropna()})
        more = f", {len(named) - 3} more" if len(named) > 3 else ""
        yield f"  crs: {', '.join(named[:3])}{more}"
    if "datetime" in table and table["datetime"].notna().any():
        ends = table["datetime"].min(), table["datetime"].max()
        days = dict.fromkeys(f"{end:%Y-%m-%d}" for end in ends)
        yield f"  times: {' to '.join(days)}"
    bounds = getattr(table, "total_bounds", None)
    if bounds is not None and not any(b != b for b in bounds):
        west, south, east, north = (f"{b:.5g}" for b in bounds)
        of = f" ({table.crs.to_string()})" if table.crs is not None else ""
        yield f"  extent: {west} to {east}, {south} to {north}{of}"
