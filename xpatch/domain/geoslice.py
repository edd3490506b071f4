"""`GeoSlice`: a box on the ground and an interval of time."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch.domain.bounds import Bounds, checked_bounds, crs_text, moved_bounds, read_crs, same
from xpatch.domain.interval import Interval, as_interval, within, written
from xpatch.domain.turns import TURN
from xpatch.spec import Spec, is_number

NEAR = 1e-6  # of a cell, by which an extent may differ from whole cells


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class GeoSlice(Spec):
    """A box on the ground, and an interval of time.

    Parameters
    ----------
    bounds : tuple of float
        Outer edges (left, bottom, right, top), in units of the CRS. In a geographic CRS a left that is
        larger than right means across the date line, as in GeoJSON (RFC 7946).
    interval : (start, end), time or None
        Half-open, [start, end), in UTC; naive times count as UTC. Equal ends, or one time, are that
        instant; None as one end is open, and None is all time.
    resolution : float or (x, y), optional
        Size of a cell, in units of the CRS. The extent must be a whole number of cells.
    crs : optional
        Anything that pyproj takes; None where it is not known.

    Raises
    ------
    ValueError
        If edges are swapped or not finite, the extent is no whole number of cells (to 1e-6 of one), or the
        interval ends before it starts.

    Notes
    -----
    Compared by value: CRSs are equal however they are written.

    Examples
    --------
    >>> tile = xpatch.GeoSlice(
    ...     (500000, 5200000, 502560, 5201280), resolution=10, crs="EPSG:32632"
    ... )
    >>> tile.shape
    (128, 256)
    >>> xpatch.GeoSlice((7, 46, 8, 47), ("2024-06", "2024-09"), crs=4326)
    GeoSlice((7, 46, 8, 47), interval=('2024-06-01', '2024-09-01'), crs=4326)
    """

    bounds: Bounds
    interval: Any = None
    resolution: Any = None
    crs: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", checked_bounds(self.bounds, self.crs))
        object.__setattr__(self, "interval", as_interval(self.interval))
        object.__setattr__(self, "resolution", _checked_resolution(self.resolution))
        if self.resolution is not None:
            self.shape  # noqa: B018  it raises

    def __repr__(self) -> str:
        parts = [repr(self.bounds)]
        if self.interval is not None:
            parts.append(f"interval={tuple(map(written, self.interval))!r}")
        parts += [f"resolution={self.resolution!r}"] if self.resolution is not None else []
        parts += [] if self.crs is None else [f"crs={_short(crs_text(self.crs))}"]
        return f"GeoSlice({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GeoSlice):
            return NotImplemented
        return self._plain == other._plain and same(self.crs, other.crs)

    def __hash__(self) -> int:
        return hash(self._plain)  # equal CRSs are written in many ways

    @property
    def _plain(self) -> tuple[Bounds, Interval | None, tuple[float, float] | None]:
        return self.bounds, self.interval, None if self.resolution is None else self.cell

    def to_dict(self) -> dict[str, Any]:
        """Give the slice as JSON-able values."""
        resolution = self.resolution
        return {
            "class": "GeoSlice",
            "bounds": list(self.bounds),
            "interval": None if self.interval is None else list(map(written, self.interval)),
            "resolution": list(resolution) if isinstance(resolution, tuple) else resolution,
            "crs": None if self.crs is None else crs_text(self.crs),
        }

    # ------------------------------------------------------------------------------- on the ground

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height, in units of the CRS; across the date line the short way."""
        left, bottom, right, top = self.bounds
        return (right - left if left < right else right + TURN - left), top - bottom

    @property
    def center(self) -> tuple[float, float]:
        """X and y of the mid-point; across the date line x may exceed 180."""
        (width, height), (left, bottom, _, _) = self.extent, self.bounds
        return left + width / 2, bottom + height / 2

    @property
    def cell(self) -> tuple[float, float]:
        """Size of a cell along x and y.

        Raises
        ------
        ValueError
            If the slice has no resolution.
        """
        if self.resolution is None:
            raise ValueError(
                f"{self!r} has no resolution; give one: GeoSlice(bounds, resolution=…)"
            )
        both = self.resolution if isinstance(self.resolution, tuple) else (self.resolution,) * 2
        return both[0], both[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns: extent / resolution.

        Raises
        ------
        ValueError
            If it has no resolution.
        """
        columns, rows = (e / c for e, c in zip(self.extent, self.cell, strict=True))
        for name, n, extent, cell in zip(
            "xy", (columns, rows), self.extent, self.cell, strict=True
        ):
            if abs(n - round(n)) > NEAR or round(n) < 1:
                raise ValueError(
                    f"the extent of {extent:.12g} along {name} is {n:.9g} cells of {cell:.12g}, which is no "
                    "whole number of them; choose edges on whole cells, or another resolution"
                )
        return round(rows), round(columns)

    @property
    def transform(self) -> Any:
        """The `affine.Affine` from (column, row) to (x, y), north up.

        Raises
        ------
        ValueError
            If the slice has no resolution.
        """
        from affine import Affine

        x, y = self.cell
        return Affine(x, 0.0, float(self.bounds[0]), 0.0, -y, float(self.bounds[3]))

    def to_window(self, transform: Any) -> Any:
        """Give the `rasterio.windows.Window` of the slice on a raster in the same CRS.

        Parameters
        ----------
        transform : affine.Affine or six numbers
            From (column, row) to (x, y), in the order of `affine.Affine`; rows may run north or south.

        Returns
        -------
        rasterio.windows.Window
            Whole numbers where edges are those of cells (to 1e-6 of one), fractions elsewhere. It may
            overhang the raster, whose size is not known here.

        Raises
        ------
        ValueError
            If the raster is rotated.

        Examples
        --------
        >>> xpatch.GeoSlice((20, 70, 50, 90)).to_window((10, 0, 0, 0, -10, 100))
        Window(col_off=2, row_off=1, width=3, height=2)
        """
        from rasterio.windows import Window

        numbers = tuple(map(float, transform))[:6]
        if (
            len(numbers) != 6
            or numbers[0] == 0
            or numbers[4] == 0
            or not np.isfinite(numbers).all()
        ):
            raise ValueError(
                f"expected a transform of six numbers (a, b, c, d, e, f), got {transform!r}"
            )
        a, b, c, d, e, f = numbers
        if b or d:
            raise ValueError(
                f"the raster with the transform {numbers} is rotated, on which a box along x and y is no window"
            )
        left, bottom = self.bounds[:2]
        width, height = self.extent
        column, columns = _span((left - c) / a, (left + width - c) / a)
        row, rows = _span((bottom - f) / e, (bottom + height - f) / e)
        return Window(column, row, columns, rows)

    def to_crs(self, crs: Any) -> GeoSlice:
        """Give the bounds of the box in another CRS.

        Edges are followed at 1001 points each, so that bent ones stay inside; a pole within, and the date
        line, are seen. The resolution is dropped, unless the CRS is the same.

        Raises
        ------
        ValueError
            If the slice has no CRS, or reaches where the other has no coordinates.

        Examples
        --------
        >>> polar = xpatch.GeoSlice((-1e6, -1e6, 1e6, 1e6), crs="EPSG:3413")
        >>> [round(v, 3) for v in polar.to_crs(4326).bounds]
        [-180.0, 76.999, 180.0, 90.0]
        """
        if self.crs is None:
            raise ValueError(f"{self!r} has no crs; give the one that its bounds are in")
        if same(self.crs, crs):
            return dataclasses.replace(self, crs=crs)
        return GeoSlice(moved_bounds(self.bounds, self.crs, crs), self.interval, crs=crs)

    # ------------------------------------------------------------------------------------- in time

    def during(self, times: Any) -> NDArray[np.bool_]:
        """Tell which times lie in the interval.

        Parameters
        ----------
        times : array-like of times
            Naive ones count as UTC; NaT lies in no interval.

        Examples
        --------
        >>> summer = xpatch.GeoSlice((7, 46, 8, 47), ("2024-06", "2024-09"))
        >>> summer.during(np.array(["2024-05-31", "2024-06-01", "2024-09-01"], "M8[s]"))
        array([False,  True, False])
        """
        return within(times, self.interval)


# -------------------------------------------------------------------------------------- checking


def _checked_resolution(value: Any) -> Any:
    """Check of a number, or one along x and one along y."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    value = tuple(value) if isinstance(value, list) else value
    both = value if isinstance(value, tuple) else (value,)
    if value is None:
        return None
    if not all(map(is_number, both)) or (isinstance(value, tuple) and len(both) != 2):
        raise TypeError(f"resolution must be a number or (x, y), got {value!r}")
    if not all(math.isfinite(v) and v > 0 for v in both):
        raise ValueError(f"resolution must be positive, also that of y, got {value!r}")
    plain = tuple(v.item() if isinstance(v, np.generic) else v for v in both)
    return plain if isinstance(value, tuple) else plain[0]


def _short(crs: Any) -> str:
    """Write text that is no WKT as it is; a CRS that has no code by its name."""
    whole = isinstance(crs, str) and len(crs) > 60
    return f"<CRS {ax.crs_name(read_crs(crs))}>" if whole else repr(crs)


def _span(one: float, other: float) -> tuple[float, float]:
    """Give the first edge and the length, whole where the edges are."""
    ends = [round(v) if abs(v - round(v)) <= NEAR else v for v in (one, other)]
    return min(ends), abs(ends[1] - ends[0])


# -------------------------------------------------------------------------------------- as bounds


def as_bounds(value: Any, crs: Any = None) -> Bounds:
    """Give bounds (left, bottom, right, top) in ``crs``.

    Parameters
    ----------
    value : GeoSlice, four numbers, shapely geometries, GeoSeries or GeoDataFrame
        What does not know its CRS is in ``crs``.
    crs : optional
        Anything that pyproj takes.

    Raises
    ------
    TypeError
        If it has no bounds.
    ValueError
        If bounds are swapped or empty, or in a known CRS and ``crs`` is None.
    """
    if isinstance(value, GeoSlice):
        found, known = value.bounds, value.crs
    elif hasattr(value, "total_bounds"):
        found, known = _not_empty(value.total_bounds, value), value.crs
    elif hasattr(value, "geom_type"):
        found, known = _not_empty(value.bounds, value), None
    else:
        found, known = checked_bounds(value, crs), None
    if known is None or same(known, crs):
        return found
    if crs is None:
        raise ValueError(
            f"bounds are in {ax.crs_name(read_crs(known))}, and nothing says the CRS they shall be in"
        )
    return moved_bounds(found, known, crs)


def _not_empty(bounds: Any, value: Any) -> Bounds:
    left, bottom, right, top = (float(v) for v in bounds)
    if not all(map(math.isfinite, (left, bottom, right, top))):
        raise ValueError(f"{type(value).__name__} is empty, and has no bounds")
    return left, bottom, right, top
