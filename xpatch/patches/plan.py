"""`Plan`: everything that merge must know of a split."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain import Lattice
from xpatch.domain import places as pl
from xpatch.domain import positions as ps
from xpatch.geometry import Places
from xpatch.neighborhood import Members, Neighborhood, Part, lead_of
from xpatch.patches.landmarks import MOST, Landmarks
from xpatch.patches.names import known_names

__all__ = ["NO_WINDOWS", "Plan", "is_carried", "start_name"]

NO_WINDOWS = "these patches have no windows in time; split with TimePatcher(LookbackHorizon(…))"


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Domain, anchors, neighborhoods and analysis window of a split. Immutable; copies are itself.

    Parameters
    ----------
    domain : Lattice
        What the field lay on.
    hood : Neighborhood
        The neighborhood of each anchor.
    window : Window, optional
        The analysis window, which the patches are multiplied by.
    aggregation : Aggregation, optional
        The default of merge.
    spec : mapping
        The specifications as JSON-able values.
    origin : str, optional
        Identity of the anchors, if they were taken from other patches.
    places : Places, optional
        Where lists of members are anchored.
    events : int64 array (patch,), optional
        Which pair of coupled anchors each patch comes from.
    ids : array (patch,), optional
        Names of the anchors, such as the index of a GeoSeries.
    given : str, optional
        What tells the patches that split gave from others, if it gave but some of the plan.
    helpers : mapping
        Names of the coordinates that only serve files, where they are not the usual ones.
    recalled : mapping, optional
        Of a plan that was read from a recipe: the dimensions, in order, of coordinates of the field
        that the recipe does not hold.
    place_print : str, optional
        Of a plan that was read from a recipe: what identifies the CRS and the places of elements.
    landmarks : Landmarks, optional
        Of a plan that was read from a recipe: where a few elements of the field lie.
    variable : str, optional
        The name of the field, if that was a DataArray; those of a Dataset stand in the domain.
    names : mapping, optional
        What coordinates of windows in time are called where the field has names of its own: "lead",
        "event", "step", "number".
    closed : {"left"}, optional
        Which end windows in time keep, where the sampler says it: "left" leaves the anchor out.
    around : mapping
        Coordinates of the slots of all patches: dx and dy, how far they are from the anchor.
    """

    domain: Lattice
    hood: Neighborhood
    window: Any = None
    aggregation: Any = None
    spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    origin: str | None = None
    places: Places | None = None
    events: NDArray[np.int64] | None = None
    ids: NDArray[Any] | None = None
    given: str | None = None
    helpers: Mapping[str, Hashable] = dataclasses.field(default_factory=dict)
    recalled: Mapping[Hashable, tuple[Hashable, ...]] | None = None
    place_print: str | None = None
    landmarks: Landmarks | None = None
    variable: str | None = None
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    closed: str | None = None
    around: Mapping[Hashable, Variable] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.hood)

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The dimensions that were cut."""
        return self.hood.dims

    @property
    def inner(self) -> dict[Hashable, int]:
        """In-patch dimensions and their sizes."""
        return self.hood.inner

    @property
    def time_dim(self) -> Hashable:
        """The in-patch dimension of time.

        Raises
        ------
        ValueError
            If there is none.
        """
        for d in self.hood.time_dims:
            return d
        raise ValueError(NO_WINDOWS)

    def offsets(self, dim: Hashable) -> NDArray[np.int64]:
        """Give which cells of a box label its in-patch cells along ``dim``: the last of coarse ones."""
        return next(p.last for p in self.hood.slices if p.dim == dim)

    @property
    def boxes(self) -> Neighborhood:
        """The neighborhoods, where they are boxes.

        Raises
        ------
        TypeError
            If they are lists of members.
        """
        _ = self.hood.sizes  # which says what is wrong
        return self.hood

    @property
    def lists(self) -> tuple[Members, ...]:
        """The neighborhoods, or parts of them, that are lists of members."""
        return self.hood.lists

    @property
    def members(self) -> Members | None:
        """The lists of elements in space, where patches are nothing else."""
        lists, space = self.lists, self.hood.in_space
        return lists[0] if space is self.hood and lists and len(self.hood.parts) == 1 else None

    @property
    def boxed(self) -> Plan | None:
        """The same patches along the dimensions in which they are boxes."""
        boxes = self.hood.boxed
        if boxes is self.hood:
            return self
        return None if boxes is None else dataclasses.replace(self, hood=boxes, places=None)

    def in_space(self, ordinals: NDArray[Any]) -> tuple[Plan, NDArray[Any]]:
        """Give the plan in space alone, and which of its patches those with ``ordinals`` are."""
        hood, ordinals = self.hood.in_space, np.asarray(ordinals)
        if hood is None or hood is self.hood or not self.hood.lists:
            return self, ordinals
        spec = self.spec.get("spatial") or self.spec
        plan = dataclasses.replace(self, hood=hood, spec=spec, ids=None)
        return plan, self.hood.in_space_of(ordinals)

    @cached_property
    def own_names(self) -> dict[str, str]:
        """What the coordinates of windows in time are called; empty if there are none."""
        return known_names(self.hood, self.names)

    def called(self, kind: str) -> Hashable:
        """Give the name of a coordinate of windows in time, or of one that only serves files."""
        return self.own_names.get(kind) or self.helpers.get(kind, kind)

    @property
    def placed(self) -> Plan:
        """The same patches in space alone, each with a place of its own."""
        plan, entries = self.in_space(np.arange(len(self)))
        if plan is self:
            return self
        places = None if plan.places is None else plan.places.take(entries)
        hood, ids = plan.hood.alone(entries), self.ids
        return dataclasses.replace(plan, hood=hood, places=places, origin=self.anchor_id, ids=ids)

    def part(self, crop: Mapping[Hashable, tuple[int, int]]) -> Plan:
        """The same patches without the cells that were cut off at the ends of boxes."""
        if self.hood.lists or self.places is not None:
            return self
        hood = self.hood.cropped(crop)
        return (
            self
            if hood is self.hood
            else dataclasses.replace(self, hood=hood, origin=self.anchor_id)
        )

    def in_time(self, ordinals: NDArray[Any]) -> tuple[Part, NDArray[np.int64]]:
        """Give the windows in time, and which of them the patches with ``ordinals`` take."""
        part = self.hood.in_time
        assert part is not None
        return part, self.hood.of_part(part, np.asarray(ordinals))

    def steps(self, ordinals: NDArray[Any]) -> NDArray[np.int64]:
        """Give the steps that windows in time are anchored at."""
        part, entries = self.in_time(ordinals)
        assert part.anchors is not None
        return part.anchors[entries]

    @property
    def leads(self) -> tuple[Any, ...] | None:
        """Time, leads of the steps, and where the future begins, if windows in time are alike."""
        found = lead_of(self.hood.in_time)
        if found is None:
            return None
        dim, lead = found
        return dim, tuple(lead.tolist()), self.first_future

    @property
    def first_future(self) -> int:
        """The lead at which the future begins: 1, or 0 where the anchor is left out of the past."""
        return 0 if self.closed == "left" else 1

    def points(self, ordinals: NDArray[Any]) -> pl.Points:
        """Give the places of patches, with the CRS they are in: of boxes their mid-points."""
        plan, entries = self.in_space(ordinals)
        if plan is not self:
            return plan.points(entries)
        ids = None if self.ids is None else self.ids[ordinals]
        domain = self.domain
        if self.places is not None and self.hood.lists:
            sites = domain.sites(self.hood.dims[0] if domain.element_dims else None)
            at = self.places.x[ordinals], self.places.y[ordinals]
            return pl.Points.of(*at, sites, ids)
        return self._points_at(self.mid_positions(ordinals), ids)

    def _points_at(
        self, positions: dict[Hashable, NDArray[Any]], ids: NDArray[Any] | None
    ) -> pl.Points:
        """Give the places at positions along the dimensions of boxes."""
        domain = self.domain
        if domain.above is not None:
            domain.above.check_placed(positions)
        pair: tuple[Hashable, Hashable] | None = None
        columns: dict[Hashable, NDArray[Any]] = {}
        flat: tuple[Hashable, ...] = ()
        if pl.curved(domain) and set(domain.spatial_dims) <= set(positions):
            flat, pair = domain.sites().dims, ("lon", "lat")
            whole_dims = [d for d in flat if d not in positions]
            if whole_dims:
                raise ValueError(
                    f"these patches hold all of {whole_dims[0]!r} and have no place; cut it, too: "
                    f"Rectangular({{{whole_dims[0]!r}: 1, …}})"
                )
            spans = {d: (np.floor(p), np.ceil(p)) for d, p in positions.items()}
            whole = {d: (a.astype(np.int64), b.astype(np.int64)) for d, (a, b) in spans.items()}
            columns = dict(zip(pair, ps.middle_of(domain, whole), strict=True))
        elif (xy := pl.by_affine(domain, positions)) is not None:
            assert domain.rotated is not None
            flat, pair = domain.rotated, ("x", "y")
            columns = dict(zip(pair, xy, strict=True))
        counted = set()
        wraps = dict(zip(self.dims, self.boxes.wrap, strict=True))
        for d in (d for d in positions if d not in flat):
            labels = ps.labels_between(domain, d, positions[d], wraps[d])
            columns[d] = positions[d] if labels is None else labels
            counted |= {d} if labels is None else set()
        pair = pair or pl.horizontal_dims_of(domain, tuple(positions))
        crs = pl.crs_of_field(domain)
        return pl.Points(columns, pair, crs, False, domain.roles, frozenset(counted), ids)

    def mid_positions(self, ordinals: NDArray[Any] | None = None) -> dict[Hashable, NDArray[Any]]:
        """Give the mid-point of boxes along each dimension, in cells; of windows in time the anchor."""
        starts = self.boxes.starts(ordinals)
        pairs = zip(self.boxes.cells(ordinals).T, self.boxes.anchors, strict=True)
        halves = [(s - 1) / 2 if at is None else at for s, at in pairs]
        return {d: starts[:, k] + h for k, (d, h) in enumerate(zip(self.dims, halves, strict=True))}

    def anchor_cells(
        self, ordinals: NDArray[Any] | None = None
    ) -> dict[Hashable, NDArray[np.int64]]:
        """Give the middle cell of patches along each dimension: cell ``size // 2`` of the patch."""
        starts = self.boxes.starts(ordinals)
        pairs = zip(self.boxes.cells(ordinals).T, self.boxes.anchors, strict=True)
        halves = [s // 2 if at is None else at for s, at in pairs]
        return {d: starts[:, k] + h for k, (d, h) in enumerate(zip(self.dims, halves, strict=True))}

    def anchor_labels(self, ordinals: NDArray[Any] | None = None) -> dict[Hashable, NDArray[Any]]:
        """Give the labels of the middle cells, of the dimensions that have labels."""
        wraps = dict(zip(self.dims, self.boxes.wrap, strict=True))
        cells = self.anchor_cells(ordinals).items()
        labels = {d: self.domain.labels_at(d, c, wraps[d]) for d, c in cells}
        return {d: values for d, values in labels.items() if values is not None}

    def anchor_places(self) -> dict[Hashable, NDArray[Any]]:
        """Give longitude and latitude of the middle cells of boxes of a curvilinear grid.

        None where that would compute chunks, or read many cells.
        """
        domain, cells = self.domain, self.anchor_cells()
        found: dict[Hashable, NDArray[Any]] = {}
        for coord in domain.latlon if pl.curved(domain) else ():
            cheap = coord.chunks is None and coord.size <= MOST
            if cheap and set(coord.dims) <= set(cells):
                at = tuple(cells[d] % domain.sizes[d] for d in coord.dims)
                found[coord.name] = np.asarray(coord.values)[at]
        return found

    @cached_property
    def anchor_id(self) -> str:
        """Identity of the anchors: plans with the same have patches that belong together."""
        if self.origin is not None:
            return self.origin
        digest = hashlib.sha1(str((len(self), self.dims)).encode())
        where: dict[Hashable, NDArray[Any]] = {}
        if self.places is not None:
            p = self.places
            where |= {"x": p.x, "y": p.y, "element": p.elements}
        if self.boxed is not None:
            where |= {**self.boxed.anchor_cells()}
            where |= {("label", d): values for d, values in self.boxed.anchor_labels().items()}
            where |= self.boxed.anchor_places()
        for values in where.values():
            data = values if values.dtype != object else values.astype(str)
            digest.update(np.ascontiguousarray(data).tobytes())
        return digest.hexdigest()

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Plan:
        """Give the plan with other names of dimensions and coordinates."""
        hood = self.hood.renamed(names)
        domain = self.domain.renamed(names)
        known = self.recalled
        if known is not None:
            new = {names.get(n, n): dims for n, dims in known.items()}
            known = {n: tuple(names.get(d, d) for d in dims) for n, dims in new.items()}
        own = {kind: str(names.get(n, n)) for kind, n in self.own_names.items()}
        return dataclasses.replace(
            self,
            domain=domain,
            hood=hood,
            origin=self.anchor_id,
            helpers=self._helpers_renamed(names),
            recalled=known,
            variable=_text(names.get(self.variable, self.variable)),
            landmarks=None if self.landmarks is None else self.landmarks.renamed(names),
            names=own,
        )

    def _helpers_renamed(self, names: Mapping[Hashable, Hashable]) -> dict[str, Hashable]:
        """Starts are asked for by dimension, and keep their names when it is renamed."""
        starts = {start_name(d): start_name(names.get(d, d)) for d in self.dims}
        old = {**{n: n for n in starts}, **self.helpers}
        return {starts.get(n, n): names.get(now, now) for n, now in old.items()}

    def equals(self, other: Plan) -> bool:
        """Whether both cut the same patches of the same lattice in the same way."""
        return self is other or (
            self.hood.equals(other.hood)
            and self.window == other.window
            and self.domain.same_lattice(other.domain, self.dims) is None
        )

    def __copy__(self) -> Plan:
        return self

    def __deepcopy__(self, memo: object) -> Plan:
        return self


def _text(name: Hashable) -> str | None:
    return None if name is None else str(name)


def start_name(dim: Hashable) -> str:
    """Name of the coordinate that holds the starts of anchors that are not an outer product."""
    return f"start_{dim}"


def is_carried(
    plan: Plan, name: Hashable, dims: Iterable[Hashable], cut: Iterable[Hashable] = ()
) -> bool:
    """Whether a variable of patches has none of the cut dimensions, and in the field had none.

    ``cut`` are those of the field, where the plan has but a part of them.
    """
    order = None if name is None else plan.domain.orders.get(name)
    return order is not None and not {*plan.dims, *plan.inner, *cut} & {*order, *dims}
