"""`Within`: keep the patches that lie in an area."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain.areas import shifted
from xpatch.domain.bounds import Bounds, crs_text, moved_bounds, same
from xpatch.domain.turns import TURN
from xpatch.engine.distinct import distinct
from xpatch.geometry import Anchors, Frame, Geometry, MemberGeometry, Places
from xpatch.sampler.area import on_ground, read_area
from xpatch.sampler.base import Sampler, asked
from xpatch.sampler.drawing import drawn
from xpatch.sampler.filters import Draws, Filter, KeepAny, both
from xpatch.sampler.plane import Plane
from xpatch.sampler.random import Random
from xpatch.sampler.regions import Shares, meeting
from xpatch.sampler.slices import slices_in
from xpatch.spec import check_amount, check_fraction

NEAR = 1e-2  # of a cell, by which an edge that was bent by a transformation may be off
ROUNDING = 1e-9
MOST_TEXT = 4096  # characters of an area that is written with patches


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Within(Filter):
    """Keep the anchors whose patch lies in an area, or reaches into it.

    No cell is read, and of a stride, or of random anchors, only those near the area are looked at: large
    grids of which little is needed are planned as fast as small ones.

    Parameters
    ----------
    sampler : Sampler
        Proposes the anchors. `Random` and `ByClass` draw on until as many are kept as they were asked for;
        of `Random` all starts that are kept are equally likely.
    area : polygons of shapely or geopandas, GeoSlice, bounds, or WKT
        The area, or several that may overlap: a region of interest, the footprints of files. Polygons in
        another CRS keep their edges straight in their own.
    min_fraction : float, default: 0
        Smallest share of a patch that lies in the area, 0 to 1; 0: any overlap, but not a mere touch. Of
        lists of members the anchor counts, in the area or on its border.
    crs : optional
        CRS of an area that does not know it; default: that of the field.

    Notes
    -----
    Longitudes are also looked for a turn further east or west.

    Examples
    --------
    >>> field = xr.DataArray(
    ...     np.zeros((64, 64)), {"y": np.arange(64) + 0.5, "x": np.arange(64) + 0.5}
    ... )
    >>> some = xpatch.Within(xpatch.RegularStride(16), (10, 10, 20, 16))
    >>> field.patch.split(16, sampler=some).patch.places.x.values
    array([ 8., 24.])
    """

    sampler: Sampler
    area: Any
    min_fraction: float = 0
    crs: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.sampler, Sampler):
            raise TypeError(
                f"Within wraps a sampler, got {self.sampler!r}; windows in time are chosen after the split, "
                "patches.isel(patch=…)"
            )
        check_fraction(self.min_fraction, "min_fraction of Within")

    # --------------------------------------------------------------------------------- of boxes

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Keep the anchors of ``sampler`` whose box has enough of the area.

        Raises
        ------
        ValueError
            If none has.
        """
        frame = geometry.outline(domain)
        plane = Plane.of(domain, frame)
        shapes = self._shapes(plane)
        proposed = asked(self.sampler.places, domain, geometry, field)
        if proposed.product and all((np.diff(axis) > 0).all() for axis in proposed.axes):
            return self._some(self._of_product(proposed, frame, plane, shapes), plane)
        return self._some(self._listed(proposed, frame, plane, shapes), plane)

    def drawn(
        self,
        last: Draws,
        others: Sequence[Filter],
        domain: Lattice,
        geometry: Geometry,
        field: Any,
    ) -> Anchors | None:
        """Draw starts of `Random` near the area; None of others."""
        if isinstance(geometry, MemberGeometry) or not isinstance(last, Random):
            return None
        if last.weights is not None:
            return None
        frame = geometry.outline(domain)
        plane = Plane.of(domain, frame)
        shapes = self._shapes(plane)
        areas = [(o, Shares(o._shapes(plane))) for o in others if isinstance(o, Within)]
        rest = [o.keeps(domain, geometry, field) for o in others if not isinstance(o, Within)]
        keep = both(rest) if rest else None
        enough = functools.partial(self._in_all, areas)
        return self._some(drawn(last, frame, plane, shapes, enough, keep), plane)

    def keeps(self, domain: Lattice, geometry: Geometry, field: Any) -> KeepAny:
        """Give the function that says which have enough of the area."""
        if isinstance(geometry, MemberGeometry):
            self._check_members(geometry)
            sites = geometry.outline(domain)
            return lambda places: self._inside(self._placed(places, geometry), sites)
        frame = geometry.outline(domain)
        plane = Plane.of(domain, frame)
        shares = Shares(self._shapes(plane))
        at = [frame.dims.index(d) if d in frame.dims else None for d in plane.dims]

        def keep(starts: NDArray) -> NDArray[np.bool_]:
            none = np.zeros(len(starts), np.int64)
            sides = [plane.spans(none if k is None else starts[:, k], j) for j, k in enumerate(at)]
            return self._enough(shares, *_corners(sides))

        return keep

    def _in_all(
        self, others: list[tuple[Within, Shares]], shares: Shares, low: NDArray, high: NDArray
    ) -> NDArray[np.bool_]:
        """Tell which boxes have enough of this area and of those inside."""
        kept = self._enough(shares, low, high)
        for each, own in others:
            kept[kept] = each._enough(own, low[kept], high[kept])
        return kept

    def _of_product(
        self, proposed: Anchors, frame: Frame, plane: Plane, shapes: NDArray[Any]
    ) -> Anchors | None:
        """Keep some of an outer product, in its order."""
        given = dict(zip(frame.dims, proposed.axes, strict=True))
        starts = [given.get(d, np.zeros(1, np.int64)) for d in plane.dims]
        spans = [plane.spans(own, k) for k, own in enumerate(starts)]
        touched, whole = meeting(shapes, *spans)
        kept = np.stack(touched.every())
        if self.min_fraction:
            enough = whole.holds(*kept)
            rest = kept[:, ~enough]
            sides = [(low[k], high[k]) for k, (low, high) in zip(rest, spans, strict=True)]
            enough[~enough] = self._enough(Shares(shapes), *_corners(sides))
            kept = kept[:, enough]
        if kept.shape[1] == len(starts[0]) * len(starts[1]):
            return proposed
        others = [d for d in frame.dims if d not in plane.dims]
        count = int(np.prod([len(given[d]) for d in others], dtype=object))
        rest = np.indices([len(given[d]) for d in others]).reshape(len(others), count)
        check_amount(kept.shape[1] * count, repr(self.sampler), "use a larger step")
        at = {d: np.repeat(k, count) for d, k in zip(plane.dims, kept, strict=True)}
        at |= {d: np.tile(k, kept.shape[1]) for d, k in zip(others, rest, strict=True)}
        if frame.dims != plane.dims:
            order = np.lexsort([at[d] for d in frame.dims[::-1]])
            at = {d: k[order] for d, k in at.items()}
        return Anchors(tuple(given[d][at[d]] for d in frame.dims)) if len(kept.T) else None

    def _listed(
        self, proposed: Anchors, frame: Frame, plane: Plane, shapes: NDArray[Any]
    ) -> Anchors | None:
        """Keep some of a list."""
        axes = proposed.axes
        if proposed.product:
            check_amount(
                np.prod([len(a) for a in axes], dtype=float), repr(self.sampler), "use fewer"
            )
            axes = tuple(a.ravel() for a in np.meshgrid(*axes, indexing="ij"))
        own = np.arange(len(axes[0]))
        if proposed.ordinals is not None:
            own = distinct(proposed.ordinals)
        at = dict(zip(frame.dims, (a[own] for a in axes), strict=True))
        starts = [at.get(d, np.zeros(len(own), np.int64)) for d in plane.dims]
        sides = [plane.spans(s, k) for k, s in enumerate(starts)]
        kept = own[self._enough(Shares(shapes), *_corners(sides))]
        if proposed.ordinals is not None:  # those of other patches: they keep their labels
            labels = proposed.ordinals[np.isin(proposed.ordinals, kept)]
            return dataclasses.replace(proposed, ordinals=labels) if len(labels) else None
        ids = None if proposed.ids is None else proposed.ids[kept]
        found = Anchors(tuple(a[kept] for a in axes), ids=ids, centered=proposed.centered)
        return found if len(kept) else None

    def _enough(self, shares: Shares, low: NDArray, high: NDArray) -> NDArray[np.bool_]:
        """Tell which boxes have enough of the area."""
        if not self.min_fraction:
            return shares.meets(low, high)
        return np.asarray(shares(low, high) >= self.min_fraction - ROUNDING)

    # ------------------------------------------------------------------------------ where it is

    def _shapes(self, plane: Plane) -> NDArray[Any]:
        """Give the polygons as rows and columns of a field, those that may lie on it."""
        import shapely

        shapes = self._on_ground(plane.crs, plane.bounds, NEAR * plane.cell, plane.period)
        shapes = shapely.transform(shapes, plane.from_ground)
        left, bottom, right, top = shapely.bounds(shapes).T
        (first, behind), (low, high) = (
            axis.at([a, b])
            for axis, a, b in zip(
                (plane.columns, plane.rows), plane.low[::-1], plane.high[::-1], strict=True
            )
        )
        near = (left < behind) & (right > first) & (bottom < high) & (top > low)
        if not near.any():
            raise ValueError(self._apart(plane.crs, plane.bounds))
        return np.asarray(shapes[near])

    def _on_ground(
        self, crs: Any, around: Bounds, near: float, period: float | None
    ) -> NDArray[Any]:
        """Give the polygons in a CRS, also a period further to both sides."""
        import shapely

        groups = [on_ground(g, crs, around, near) for g in read_area(self.area, self.crs, crs)]
        shapes = np.concatenate(groups)
        if period is None or not len(shapes):
            return shapes
        left, _, right, _ = shapely.bounds(shapes).T
        turns = range(
            int(np.floor((around[0] - right.max()) / period)),
            int(np.ceil((around[2] - left.min()) / period)) + 1,
        )
        return np.concatenate([shifted(shapes, k * period) for k in turns])

    def _some(self, anchors: Anchors | None, plane: Plane) -> Anchors:
        """Raise a ValueError if no anchor is left."""
        if anchors is None:
            raise ValueError(self._apart(plane.crs, plane.bounds))
        return anchors

    def _apart(self, crs: Any, around: Bounds) -> str:
        """Say where the area and the field are."""
        import shapely

        found = []
        for shapes, source in read_area(self.area, self.crs, crs):
            bounds = tuple(shapely.total_bounds(shapes).tolist())
            try:
                own = bounds if source is None else moved_bounds(bounds, source, crs)
                found.append(f"{_told(own)}")
            except ValueError:
                found.append(f"{_told(bounds)} in {crs_text(source)}")
        share = f" by a share of {self.min_fraction}" if self.min_fraction else ""
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        return (
            f"no patch of {self.sampler!r} lies in the area{share}: its bounds are {', '.join(found[:3])}{more}, "
            f"those of the field {_told(around)} (left, bottom, right, top); check its CRS, x or longitude "
            "first, or use another min_fraction or sampler"
        )

    # ---------------------------------------------------------------------- of lists of members

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Keep the anchors that lie in the area, or on its border.

        Raises
        ------
        ValueError
            If none does, or anchors are no places.
        """
        self._check_members(geometry)
        proposed = asked(self.sampler.places, domain, geometry, field)
        sites = geometry.outline(domain)
        held = self._inside(self._placed(proposed, geometry), sites)
        if not held.any():
            known = np.isfinite(proposed.x) & np.isfinite(proposed.y)
            around = _around(proposed.x[known], proposed.y[known])
            raise ValueError(self._apart(sites.known_crs, around))
        kept = np.flatnonzero(held)
        if proposed.ordinals is None:
            return proposed.take(kept)
        labels = proposed.ordinals[np.isin(proposed.ordinals, kept)]
        return dataclasses.replace(proposed, ordinals=labels)

    def _check_members(self, geometry: MemberGeometry) -> None:
        if self.min_fraction:
            raise ValueError(
                f"min_fraction is that of boxes; of {type(geometry).__name__} the anchors are kept that lie in "
                "the area: leave it out"
            )

    def _placed(self, places: Places, geometry: MemberGeometry) -> Places:
        """Raise a ValueError if anchors are no places."""
        if places.polygons is not None:
            raise ValueError(
                f"the anchors of {type(geometry).__name__} are polygons, not places; choose among these: "
                "polygons[polygons.intersects(area)]"
            )
        return places

    def _inside(self, places: Places, sites: Any) -> NDArray[np.bool_]:
        """Tell which anchors lie in the area; those without a place do not."""
        import shapely

        out = np.zeros(len(places), bool)
        known = np.flatnonzero(np.isfinite(places.x) & np.isfinite(places.y))
        x, y = places.x[known], places.y[known]
        if not len(known):
            return out
        around = _around(x, y)
        near = ROUNDING * max(1.0, *np.abs(around))
        period = TURN if sites.geographic else None
        shapes = self._on_ground(sites.known_crs, around, near, period)
        if len(shapes):
            found, _ = shapely.STRtree(shapes).query(shapely.points(x, y), predicate="intersects")
            out[known[found]] = True
        return out

    # --------------------------------------------------------------------------------- as a value

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-able values; an area of more than a few thousand characters is not written."""
        area, crs = self._written()
        return {**super().to_dict(), "area": area, "crs": crs}

    def _written(self) -> tuple[Any, Any]:
        import shapely

        crs = None if self.crs is None else crs_text(self.crs)
        slices = slices_in(self.area)
        if slices is not None:
            return [s.to_dict() for s in slices] if len(slices) <= 32 else None, crs
        ((shapes, known),) = read_area(self.area, self.crs, None)
        if shapely.get_num_coordinates(shapes).sum() * 10 > MOST_TEXT:
            return None, crs
        text = shapely.to_wkt(shapely.geometrycollections(shapes), rounding_precision=-1)
        return text if len(text) <= MOST_TEXT else None, None if known is None else crs_text(known)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Within):
            return NotImplemented
        if self.sampler != other.sampler or self.min_fraction != other.min_fraction:
            return False
        if self.area is other.area:
            return same(self.crs, other.crs)
        pairs = read_area(self.area, self.crs, None), read_area(other.area, other.crs, None)
        return len(pairs[0]) == len(pairs[1]) and all(
            same(a[1], b[1]) and np.array_equal(a[0], b[0]) for a, b in zip(*pairs, strict=True)
        )

    def __hash__(self) -> int:
        return hash((self.sampler, self.min_fraction))


def _around(x: NDArray, y: NDArray) -> Bounds:
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _corners(sides: list[tuple[NDArray, NDArray]]) -> tuple[NDArray, NDArray]:
    """Give the lower and the upper corner (x, y) of boxes, from their edges along rows and columns."""
    (bottom, top), (left, right) = sides
    return np.stack([left, bottom], axis=-1), np.stack([right, top], axis=-1)


def _told(bounds: Bounds) -> str:
    return f"({', '.join(f'{v:.7g}' for v in bounds)})"
