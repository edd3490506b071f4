"""`Explicit`: anchors at given places."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice, Sites
from xpatch.domain import places as pl
from xpatch.domain import positions as ps
from xpatch.domain.turns import closes
from xpatch.engine.distinct import distinct
from xpatch.geometry import (
    Anchors,
    Frame,
    Geometry,
    MemberGeometry,
    Places,
)
from xpatch.report import tell
from xpatch.sampler.base import (
    Sampler,
    check_empty,
    check_outside,
    listed,
    moved,
    not_empty,
    unmoved,
)
from xpatch.sampler.matching import patches_of, positions_of_patches
from xpatch.sampler.reading import (
    as_numbers,
    free_places,
    labeled_elements,
    numbered_places,
    read_points,
    same_sites,
    xy_on_sites,
)
from xpatch.spec import DimMap

ENDS = (None, "start", "center")


@dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)
class Explicit(Sampler):
    """Anchors at given places.

    A box is put at a place by its mid-point, which lies between two cells where its size is even: the
    start whose mid-point is nearest, the lower one of two that are equally near. So boxes of equal size
    in ground units cover the same ground on nested, staggered and reprojected grids.

    Parameters
    ----------
    anchors : array-like, mapping, data frame, shapely points, GeoSeries, slices, field or patches
        - Index positions, shape (patch, dim) in the order of the field's dimensions (of a Dataset: of
          the variable with most of them), or (patch,) for one dimension.
        - A mapping, a data frame or a Dataset whose columns share a dimension: labels for each cut
          dimension, ``lon`` and ``lat`` in degrees whatever the CRS of the field, or ``x`` and ``y``.
        - Shapely points, a GeoSeries or a GeoDataFrame.
        - A `GeoSlice`, or a list of them in one CRS or several: their mid-points. The geometry says how
          large patches are; the resolution and the interval are not looked at.
        - A field: its sites (stations, or the cells of a grid).
        - The patches of another field, whose places are taken and whose labels then align with the
          new patches.
    at : {"start", "center"}, optional
        Whether an anchor is where its patch begins, or its middle. Default: start for index positions,
        center for all else. Of other patches ``"start"`` is the edge of their first cell.
    crs : optional
        CRS of x and y, or of shapely points, that do not know it; default: that of the field.
    outside : {"raise", "drop"}, default: "raise"
        What becomes of places outside of the field, and of boxes at the places of other patches that the
        boundary would move to other ground.
    empty : {"raise", "keep", "drop"}, optional
        What becomes of lists without any member: default "raise"; "keep" gives patches of missing values.
    **dims
        Labels by dimension, in place of ``anchors``.

    Notes
    -----
    The index of a GeoSeries or data frame comes along as the coordinate ``anchor`` of the patches.

    Examples
    --------
    >>> xpatch.Explicit([(0, 0), (8, 4)])
    Explicit([(0, 0), (8, 4)])
    >>> fine = xr.DataArray(
    ...     np.zeros((8, 8)), {"y": np.arange(8) + 0.5, "x": np.arange(8) + 0.5}
    ... )
    >>> coarse = fine.coarsen(y=2, x=2).mean()
    >>> tiles = coarse.patch.split(geometry={"y": 2, "x": 2})
    >>> same = fine.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.Explicit(tiles))
    >>> bool((same.y.mean("y") == tiles.y.mean("y")).all())
    True
    """

    anchors_: Any
    at: str | None = None
    crs: Any = None
    outside: str = "raise"
    empty: str | None = None

    def __init__(
        self,
        anchors: Any = None,
        at: str | None = None,
        crs: Any = None,
        outside: str = "raise",
        empty: str | None = None,
        **dims: Any,
    ):
        if anchors is None:
            anchors = dims.pop("anchors_", None)
        if anchors is not None and dims:
            raise TypeError(
                f"Explicit was given anchors and labels of {list(dims)}; give one of them, "
                "Explicit({'y': …, 'x': …})"
            )
        if anchors is None and not dims:
            raise TypeError(
                "Explicit needs anchors: index positions, labels by dimension such as "
                "Explicit({'y': …, 'x': …}), {'lon': …, 'lat': …} in degrees, points, a field or patches"
            )
        if at not in ENDS:
            raise ValueError(f"at must be 'start' or 'center', got {at!r}")
        check_outside(outside)
        check_empty(empty)
        values = {
            "anchors_": DimMap(dims) if dims else anchors,
            "at": at,
            "crs": crs,
            "outside": outside,
            "empty": empty,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Find the start of each box and apply the boundary of the geometry."""
        frame = geometry.outline(domain)
        source = patches_of(self.anchors_)
        if source is not None:
            return self._matched(*source, domain, frame)
        drop = self.outside == "drop"
        points = read_points(self.anchors_, domain, frame.dims, self.crs, drop)
        if points is None:
            return self._numbered(frame)
        args = (domain, frame.dims, frame.sizes, frame.boundary)
        first = (1,) * len(frame.dims) if self.at == "start" else None
        located = pl.locate(points, domain, frame.dims, first or frame.sizes, frame.boundary)
        kept = self._inside(located, points, *args[:2])
        starts = (pl.nearest_starts(located, first) if first else frame.nearest(located))[kept]
        ids = None if points.ids is None else points.ids[kept]
        found = self._settled(starts, frame, ids)
        away = moved(starts, frame)
        if away.any():
            tell(_moved(away, domain, frame))
        return dataclasses.replace(found, centered=self.at != "start" and not away.any())

    def _inside(
        self, located: ps.Located, points: pl.Points, domain: Lattice, dims: tuple
    ) -> NDArray[np.intp]:
        """Give the points that lie in the field.

        Raises
        ------
        ValueError
            If some do not, unless these are dropped.
        """
        if located.outside.any() and self.outside == "raise":
            raise ValueError(_outside(located, points, domain, dims))
        return np.flatnonzero(~located.outside)

    def _numbered(self, frame: Frame) -> Anchors:
        """Take index positions."""
        names = ", ".join(f"{d!r}: …" for d in frame.dims)
        cells = as_numbers(
            self.anchors_, "index positions", f"give labels as a mapping {{{names}}}"
        )
        if cells.ndim == 1 and len(frame.dims) == 1:
            cells = cells[:, None]
        if cells.ndim != 2 or cells.shape[1] != len(frame.dims):
            raise ValueError(
                f"Explicit index positions must have shape (patch, {len(frame.dims)}) for the "
                f"dimensions {list(frame.dims)}, got shape {cells.shape}"
            )
        cells = cells.astype(np.int64)
        bad = np.zeros(len(cells), bool)
        for k, dim in enumerate(frame.dims):
            n = frame.shape[k]
            low, high = frame.limits(k) if frame.boundary[k] == "pad" else (0, n - 1)
            out = (cells[:, k] < low) | (cells[:, k] > high)
            if frame.boundary[k] == "wrap":
                continue
            if out.any() and self.outside == "raise":
                raise ValueError(
                    f"Explicit anchor {int(cells[:, k][out][0])} along {dim!r} is out of range; "
                    f"the field has cells 0 to {n - 1}. outside='drop' leaves such anchors out"
                )
            bad |= out
        starts = cells[~bad]
        if self.at == "center":
            starts = frame.centered(starts)
        found = self._settled(starts, frame, None)
        return dataclasses.replace(found, centered=self.at == "center" and unmoved(starts, frame))

    def _settled(self, starts: NDArray[np.int64], frame: Frame, ids: NDArray | None) -> Anchors:
        """Apply the boundary."""
        settled, keep = frame.settle(starts, "Explicit")
        if not keep.all() and self.outside == "raise":
            raise ValueError(
                f"{int((~keep).sum())} patches at Explicit anchors overhang the field and "
                "boundary='drop' would leave them out; use boundary='shift' or 'pad', or leave these "
                "anchors out with outside='drop'"
            )
        found = listed(not_empty(settled[keep], "Explicit"))
        return dataclasses.replace(found, ids=None if ids is None else ids[keep])

    def _matched(self, plan: Any, ordinals: NDArray, domain: Lattice, frame: Frame) -> Anchors:
        """Put boxes at the places of other patches; they must lie there, or are no match."""
        kept = distinct(ordinals)
        located = positions_of_patches(plan, kept, domain, frame, self.at == "start")
        if self.at == "start":
            starts = np.ceil(located.positions - 0.5 - located.tolerance).astype(np.int64)
        else:
            starts = frame.nearest(located)
        settled, _ = frame.settle(starts, "Explicit")
        away = moved(starts, frame)
        lost = located.outside | away.any(axis=1)
        if lost.any() and self.outside == "raise":
            raise ValueError(_unmatched(lost, away, plan, kept, frame))
        full = np.zeros((len(plan), len(frame.dims)), np.int64)
        full[kept] = settled
        wanted = ordinals[np.isin(ordinals, kept[~lost])]
        not_empty(wanted, "Explicit")
        return dataclasses.replace(
            listed(full), ordinals=wanted, origin=plan.anchor_id, ids=plan.ids
        )

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Find the anchors of lists of members: elements stay elements, places stay where they are."""
        given, sites = self.anchors_, geometry.outline(domain)
        if self.at == "start":
            raise ValueError(
                f"at='start' means boxes; the anchors of {type(geometry).__name__} are centers"
            )
        source = patches_of(given)
        if source is not None:
            found = matched_places(*source, sites)
        elif (
            isinstance(given, Mapping)
            and len(given) == 1
            and next(iter(given)) in (domain.element_dims)
        ):
            ((dim, labels),) = given.items()
            found = Places.at(sites, labeled_elements(dim, labels, domain))
        else:
            drop = self.outside == "drop"
            points = read_points(_places_in(given, geometry.columns), domain, (), self.crs, drop)
            if points is None:
                found = numbered_places(given, geometry.candidates(domain), sites)
            else:
                found = free_places(*xy_on_sites(points, sites), sites, points.ids)
        found = dataclasses.replace(found, empty=self.empty)
        return geometry.headed(domain, found, given)

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-able values; objects that are not numbers or labels become None."""
        out = super().to_dict()
        return {("anchors" if k == "anchors_" else k): v for k, v in out.items()}


def _places_in(given: Any, columns: tuple[str, ...]) -> Any:
    """Leave what says no place out of a mapping, in which every other name has to be known."""
    if not columns or not isinstance(given, Mapping) or isinstance(given, xr.Dataset):
        return given
    return {n: v for n, v in given.items() if n not in columns}


def _shown(value: Any) -> Any:
    """Give a label for a message, a date without zeros behind it."""
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, unit="auto"))
    return value.item() if isinstance(value, np.generic) else value


def _outside(located: ps.Located, points: pl.Points, domain: Lattice, dims: tuple[Any, ...]) -> str:
    """Say which place lies outside of the field."""
    k = int(np.flatnonzero(located.outside)[0])
    place = {str(n): _shown(c[k]) for n, c in points.columns.items()}
    far = np.abs(located.positions[k] - np.array([(domain.sizes[d] - 1) / 2 for d in dims]))
    d = dims[int(np.argmax(far - np.array([domain.sizes[d] / 2 for d in dims])))]
    values = domain.coordinate(d)
    what = f"anchor {place}" if points.ids is None else f"anchor {points.ids[k]} at {place}"
    if values is not None and len(values) and not pl.curved(domain):
        what = (
            f"{what} along {d!r} lies outside of the field, which spans {_shown(values[0])} to "
            f"{_shown(values[-1])}"
        )
    else:
        what = f"{what} lies outside of the field"
    return (
        f"{what} ({int(located.outside.sum())} of {len(points)} places do, this is number {k}); are they in "
        "the CRS and the units of the field? outside='drop' leaves them out"
    )


def _moved(away: NDArray[np.bool_], domain: Lattice, frame: Frame) -> str:
    """Say which boxes are not around their places."""
    dims = [d for d, column in zip(frame.dims, away.T, strict=True) if column.any()]
    around = dict.fromkeys((d for d in dims if closes(domain, d)), "wrap")
    wrapped = f"boundary={around} goes on across the seam, " if around else ""
    return (
        f"{int(away.any(axis=1).sum())} of {len(away)} boxes at the places given to Explicit overhang the field along "
        f"{dims} and were moved inward, so that their places are not in their middle (the first is number "
        f"{int(np.flatnonzero(away.any(axis=1))[0])}); {wrapped}boundary='pad' fills what lies beyond, and "
        "boundary='drop' with Explicit(…, outside='drop') leaves them out"
    )


def _unmatched(lost: NDArray, moved: NDArray, plan: Any, kept: NDArray, frame: Frame) -> str:
    k = int(np.flatnonzero(lost)[0])
    where = [d for d, m in zip(frame.dims, moved[k], strict=True) if m]
    how = f"overhangs it along {where}" if where else "lies outside of it"
    return (
        f"{int(lost.sum())} of {len(kept)} patches lie, in part or whole, outside of this field, the first is "
        f"patch {int(kept[k])}, which {how}: moved inwards they would align with patches of other ground. "
        "Leave them out with outside='drop', or let them overhang with boundary='pad'"
    )


def matched_places(plan: Any, ordinals: NDArray[np.int64], sites: Sites) -> Places:
    """Take the places of other patches, in whatever coordinates they are."""
    kept = distinct(ordinals)
    x, y = xy_on_sites(plan.points(kept), sites, "the patches given to Explicit")
    free_places(x, y, sites)  # checks them
    elements = np.full(len(plan), -1, np.int64)
    all_x, all_y = np.full(len(plan), np.nan), np.full(len(plan), np.nan)
    all_x[kept], all_y[kept] = x, y
    if plan.places is not None and same_sites(plan, sites):
        elements[kept] = plan.places.elements[kept]
    return Places(
        elements,
        all_x,
        all_y,
        ordinals=ordinals,
        origin=plan.anchor_id,
        polygons=None if plan.places is None else plan.places.polygons,
        ids=plan.ids,
        headings=None if plan.places is None else plan.places.headings,
    )
