"""`Picture`: what is asked of a picture of patches, and what all pictures share."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.plot.canvas import Canvas
from xpatch.plot.coverage import places_once

WIDTH, BESIDE = 5.4, 1.6  # of a panel, and of its labels and colorbar, in inches
MARGIN = 0.12  # inches beside panels: the layout is not exact where squares stay squares
LETTER = 0.08  # inches of a label that one takes
BOXES, OUTLINES = 400, 50  # that are drawn: rectangles side by side, outlines that lie across


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """What is asked of a picture of patches.

    Parameters
    ----------
    patches, source
        The patches, and where they come from.
    field : DataArray, optional
        What is drawn underneath.
    coverage : bool
        Whether there is a second panel.
    given : array of Axes, optional
        Where to draw; None: on a new figure.
    most : int, optional
        Largest number of outlines.
    color : str
        Color of the outlines.
    kwargs : mapping
        How the field is drawn.
    """

    patches: Any
    source: Provenance
    field: xr.DataArray | None
    coverage: bool
    given: NDArray[Any] | None
    most: int | None
    color: str
    kwargs: Mapping[str, Any]

    @cached_property
    def _rows(self) -> tuple[NDArray[np.int64], int]:
        return places_once(self.source.plans[0], self.source.ordinals)

    @cached_property
    def placed(self) -> tuple[Plan, NDArray[np.int64]]:
        """The plan in space, and which of its patches are drawn: each place once."""
        plan, entries = self.source.plans[0].in_space(self.source.ordinals)
        return plan, np.asarray(entries)[self.rows]

    @property
    def rows(self) -> NDArray[np.int64]:
        """Which patches are drawn."""
        return self._rows[0]

    def shown(self, most: int) -> NDArray[np.int64]:
        """Give an even choice of those, for each of which there is an outline."""
        n, most = len(self.rows), self.most or most
        return np.unique(np.linspace(0, max(n - 1, 0), min(most, max(n, 1))).astype(int))[:n]

    def title(self, drawn: int) -> str:
        """Say how many patches there are, and how many of them are drawn."""
        n, windows = len(self.source.ordinals), self._rows[1]
        told = f"{n:,} patches"
        if windows:
            told += f": {len(self.rows):,} places, {windows:,} windows in time"
        return told if drawn == len(self.rows) else f"{told}, {drawn:,} drawn"

    def panels(self, wide: float, high: float, canvas: Canvas) -> NDArray[Any]:
        """Give the axes: new ones have the shape of the region that is drawn."""
        many = 2 if self.coverage else 1
        if self.given is not None:
            return self.given[:many]
        import matplotlib.pyplot as plt

        slant = high / wide if canvas.level and wide and high else 0.75
        height = float(np.clip((WIDTH - BESIDE) * slant, 1.8, 4))
        width = min(WIDTH, max(height / slant + BESIDE, 3.4))
        size = (width * many, height + 0.9)
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        engine = ConstrainedLayoutEngine(w_pad=MARGIN)
        grid: NDArray[Any] = plt.subplots(1, many, figsize=size, squeeze=False, layout=engine)[1]
        return grid.ravel()

    @property
    def counted(self) -> str:
        """What is counted on a cell."""
        return "places" if self._rows[1] else "patches"

    def color_bar(self, ax: Any, drawn: Any, label: str, counts: bool = False) -> None:
        """Say what colors mean."""
        from matplotlib.ticker import MaxNLocator

        if drawn is not None:
            ticks = {"ticks": MaxNLocator(integer=True, min_n_ticks=1)} if counts else {}
            bar = ax.figure.colorbar(drawn, ax=ax, label=label, shrink=0.85, **ticks)
            inches = bar.ax.get_position().height * ax.figure.get_figheight()
            bar.set_label(textwrap.fill(label, max(int(inches / LETTER), 12)))


def label_of(field: Any, name: Hashable) -> str:
    """Give what a field is called, with its units; readers of rasters name all bands at once."""
    said = field.attrs.get("long_name", name or "")
    if isinstance(said, list | tuple):
        band = np.asarray(field.coords.get("band", 0))
        known = band.ndim == 0 and band.dtype.kind in "iu" and 1 <= band <= len(said)
        said = said[int(band) - 1] if known else name or ""
    return _with_units(str(said), field)


def axis_label(coord: Any, name: Hashable, unit: str | None = None) -> str:
    """Give what a dimension is called, with its units, or else the given one."""
    return _with_units(str(name), coord, unit)


def _with_units(name: str, array: Any, unit: str | None = None) -> str:
    units = unit if array is None else array.attrs.get("units", unit)
    return f"{name} ({units})" if units not in (None, "", "1") else name


def check_dims(field: xr.DataArray, dims: Any) -> None:
    """Raise a ValueError unless a field lies over exactly the dimensions that are drawn."""
    dims = list(dims)
    if not set(dims) <= set(field.dims):
        raise ValueError(
            f"field must lie over {dims}, along which the patches were cut, got {list(field.dims)}"
        )
    others = [d for d in field.dims if d not in dims]
    if others:
        raise ValueError(
            f"only a field over {dims} can be drawn, this one also has {others}; "
            f"select from it: field.isel({others[0]}=0)"
        )
