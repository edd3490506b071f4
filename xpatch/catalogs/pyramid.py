"""The grids of a pyramid: several resolutions of the same ground."""

from __future__ import annotations

from typing import Any

from xpatch.catalogs.grid import Grid
from xpatch.catalogs.gridding import area_of, code_of, pair_of
from xpatch.catalogs.table import rasters_of


def pyramid(
    table: Any, crs: Any, resolutions: list[Any], bounds: Any, like: Any
) -> dict[str, Grid]:
    """Give a grid for each resolution, by its name; all cover what whole cells of the coarsest cover.

    Raises
    ------
    ValueError
        If a resolution is given twice, there is none, or there is another grid.
    """
    if like is not None:
        raise ValueError("like is one grid, and a list of resolutions several: give crs and bounds")
    if not resolutions:
        raise ValueError("resolution is an empty list; give numbers, such as [10, 20, 40]")
    pairs = {_name(r): pair_of(r) for r in resolutions}
    if len(pairs) < len(resolutions):
        raise ValueError(f"each resolution must be given once, got {resolutions!r}")
    rasters = rasters_of(table)
    code = code_of(table, rasters, crs, bounds)
    area = area_of(table, rasters, code, bounds)
    coarsest = (max(p[0] for p in pairs.values()), max(p[1] for p in pairs.values()))
    area = Grid.over(area, coarsest, code).bounds
    return {name: Grid.over(area, pair, code) for name, pair in pairs.items()}


def _name(resolution: Any) -> str:
    both = resolution if isinstance(resolution, tuple) else (resolution,)
    return "x".join(f"{r:g}" for r in both)
