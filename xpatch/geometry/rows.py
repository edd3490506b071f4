"""`RowFrame`: boxes of so many km, which have the more cells of longitude the nearer to a pole they lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.geometry.base import Anchors, Frame
from xpatch.geometry.lengths import Length, cells_per_km, step_of
from xpatch.neighborhood import Neighborhood

TURN = 360.0
Starts = NDArray[np.int64]  # first cells of boxes, shape (patch, dim)


@dataclasses.dataclass(frozen=True, eq=False)
class RowFrame(Frame):
    """A frame in which the size along one dimension goes with where the box lies along another.

    ``sizes`` has one cell there: samplers that know of no sizes that differ place the cell in the
    middle, ``size // 2``, which `widened` makes a box.

    Parameters
    ----------
    across : int
        Number of the dimension of longitude.
    down : int, optional
        Number of that of latitude; None: it is not cut, and all boxes are as wide.
    per_km : float64 array (row,)
        Cells of longitude of one km, for each start along latitude from ``first`` on.
    km : float
        Width of the boxes.
    most : int
        Cells of one turn, which no box exceeds.
    first : int
        The start that the first of ``per_km`` is of.
    lat : float64 array (row,)
        The latitudes that ``per_km`` is at.
    text : str
        The width as it was given.
    """

    across: int = 0
    down: int | None = None
    per_km: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.ones(1))
    km: float = 1.0
    most: int = 1
    first: int = 0
    lat: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(1))
    text: str = ""

    # ------------------------------------------------------------------------------------ sizes

    def cells_at(self, starts: Starts, km: float | None = None) -> NDArray[np.int64]:
        """Give the cells of longitude of boxes with some starts, shape (patch,): at least one."""
        at = np.zeros(len(starts), np.int64) if self.down is None else starts[:, self.down]
        per_km = self.per_km[np.clip(at - self.first, 0, len(self.per_km) - 1)]
        cells = np.minimum(np.rint(per_km * (self.km if km is None else km)), self.most)
        return np.asarray(np.maximum(cells, 1), np.int64)

    def cells(self, k: int, starts: Starts) -> Any:
        """Give the size of boxes along dimension number ``k``."""
        return self.cells_at(starts) if k == self.across else self.sizes[k]

    @property
    def order(self) -> list[int]:
        """Dimensions by number: that of longitude comes after that of latitude."""
        others = [k for k in range(len(self.dims)) if k != self.across]
        return [*others, self.across]

    def snapped(self, snap: Any) -> RowFrame:
        """Refuse starts at multiples along longitude, where sizes differ."""
        out = super().snapped(snap)
        if out.multiple(self.across) > 1:
            raise ValueError(
                f"snap along {self.dims[self.across]!r} needs boxes of one size, and those of so many km differ "
                "from row to row; give the size in cells"
            )
        assert isinstance(out, RowFrame)
        return out

    # ---------------------------------------------------------------------------------- starts

    def nearest(self, located: Any) -> Starts:
        """Give the starts of the boxes whose mid-points are nearest."""
        starts = super().nearest(located)
        half = (self.cells_at(starts) - 1) / 2
        exact = np.nan_to_num(located.positions[:, self.across]) - half
        edge = exact - 0.5 - located.tolerance[self.across]
        starts[:, self.across] = np.ceil(edge)
        return starts

    def centered(self, cells: NDArray[Any]) -> Starts:
        """Give the starts of boxes around cells."""
        return self.widened(super().centered(cells))

    def widened(self, starts: Starts) -> Starts:
        """Give the starts of boxes around the one column that each has."""
        out = np.array(starts, np.int64)
        out[:, self.across] -= self.cells_at(out) // 2
        if self.boundary[self.across] == "wrap":
            out[:, self.across] %= self.shape[self.across]
        return out

    def fits(self, starts: Starts) -> NDArray[np.bool_]:
        """Say which boxes are where the boundary lets them be."""
        if self.boundary[self.across] in ("wrap", "pad"):
            return np.ones(len(starts), bool)
        low = starts[:, self.across]
        return np.asarray((low >= 0) & (low + self.cells_at(starts) <= self.shape[self.across]))

    def check_room(self, starts: Starts | None = None) -> None:
        """Raise a ValueError if boxes with some starts, or any, are wider than a region that they may not leave."""
        dim, n = self.dims[self.across], self.shape[self.across]
        if self.boundary[self.across] not in ("shift", "raise"):
            return
        cells = np.minimum(np.rint(self.per_km * self.km), self.most)
        rows = np.arange(len(cells))
        if starts is not None:
            at = np.zeros(len(starts), np.int64) if self.down is None else starts[:, self.down]
            rows = np.unique(np.clip(at - self.first, 0, len(cells) - 1))
        if len(rows) and (cells[rows] > n).any():
            worst = rows[np.argmax(cells[rows])]
            fits = np.abs(self.lat[cells <= n])
            far = f" beyond {fits.max():.4g} degrees" if len(fits) else ""
            raise ValueError(
                f"{self.text!r} along {dim!r} at {self.lat[worst]:.4g} degrees of latitude are {int(cells[worst]):,} "
                f"cells, more than the {n} of the field: leave out rows{far}, drop boxes that do not fit, "
                f"boundary={{{dim!r}: 'drop'}}, or let them overhang, 'pad'"
            )

    def keeping(self, keep: Callable[..., Any] | None) -> Callable[..., Any]:
        """Keep what fits, of that what ``keep`` takes."""
        self.check_room()

        def both(starts: Starts) -> NDArray[np.bool_]:
            out = self.fits(starts)
            if keep is not None and out.any():
                out[out] = keep(starts[out])
            return out

        return both

    # ------------------------------------------------------------------------------------ rows

    def row(self, start: int) -> Frame:
        """Give the frame, of one size, of the boxes that begin at ``start`` along latitude."""
        size = self.step_at(start, self.km)
        sizes = [size if k == self.across else n for k, n in enumerate(self.sizes)]
        return Frame(self.dims, tuple(sizes), self.shape, self.boundary, self.snap)

    def step_at(self, start: int, km: float) -> int:
        """Give a stride of so many km, in cells, in the row that begins at ``start``."""
        at = np.zeros((1, len(self.dims)), np.int64)
        if self.down is not None:
            at[:, self.down] = start
        return int(self.cells_at(at, km)[0])

    def neighborhood(self, places: Anchors, **pad: Any) -> Neighborhood:
        """Give the boxes, of which those that have fewer cells of longitude than others end in empty slots.

        Raises
        ------
        ValueError
            If the boundary does not let one be where it is.
        """
        starts = each_of(places)
        wanted = starts if places.ordinals is None else starts[places.ordinals]
        self.check_room(wanted)
        if not self.fits(wanted).all():
            raise ValueError(
                f"boxes of {self.km:g} km of {self.dims[self.across]!r} were placed over the edge of the field; "
                "place them with RegularStride, Random or Explicit, or use boundary={…: 'pad'}"
            )
        size = int(self.cells_at(wanted).max(initial=1))
        sizes = [size if k == self.across else n for k, n in enumerate(self.sizes)]
        wrap = [word == "wrap" for word in self.boundary]
        axes = list(np.ascontiguousarray(starts.T))
        boxes = Neighborhood.boxes(self.dims, sizes, self.shape, axes, False, wrap, **pad)
        filled = np.minimum(self.cells_at(starts), size)
        if (filled == size).all():
            return boxes
        part = boxes.slices[self.across]
        return boxes.replaced(part, dataclasses.replace(part, filled=filled))


def each_of(places: Anchors) -> Starts:
    """Give the start of each box, shape (patch, dim)."""
    axes = [np.asarray(a, np.int64) for a in places.axes]
    if places.product:
        axes = [a.ravel() for a in np.meshgrid(*axes, indexing="ij")]
    return np.stack(axes, axis=-1)


def row_frame(domain: Lattice, frame: Frame, across: int, length: Length) -> RowFrame:
    """Let the size along longitude go with the latitude of the middle of boxes.

    Raises
    ------
    ValueError
        If there is no latitude.
    """
    dim = frame.dims[across]
    lat = _latitude(domain, dim)
    down = frame.dims.index(lat) if lat in frame.dims else None
    first, last = (0, 0) if down is None else frame.limits(down)
    height = domain.sizes[lat] if down is None else frame.sizes[down]
    middles = np.arange(first, max(first, last) + 1) + (height - 1) / 2
    values = domain.coordinate(lat)
    assert values is not None
    labels = _labels_at(values, middles)
    per_km = cells_per_km(domain, dim, labels)
    most = max(1, round(TURN / step_of(domain, dim, "a size in km")))
    sizes = tuple(1 if k == across else n for k, n in enumerate(frame.sizes))
    given = (frame.dims, sizes, frame.shape, frame.boundary, frame.snap)
    return RowFrame(*given, across, down, per_km, length.value, most, first, labels, length.text)


def _labels_at(values: NDArray[Any], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give labels at positions, also beyond the edge, where boxes overhang and uneven labels have none."""
    values = values.astype(float)
    if len(values) < 2:
        return np.full(len(positions), values[0])
    low = np.clip(np.floor(positions), 0, len(values) - 2).astype(np.int64)
    part = positions - low
    return np.asarray(values[low] * (1 - part) + values[low + 1] * part)


def _latitude(domain: Lattice, dim: Any) -> Any:
    """Give the dimension of latitude that goes with one of longitude."""
    role = "latitude" if domain.roles.get(dim) == "longitude" else "Y"
    found = [d for d in domain.dims if domain.roles.get(d) == role]
    if len(found) != 1 or domain.coordinate(found[0]) is None:
        raise ValueError(
            f"how long a cell is along {dim!r} hangs on the latitude, and the field has no dimension of "
            f"latitude with labels among {list(domain.dims)}; give an int, in cells, or '2deg'"
        )
    return found[0]
