"""`Plan`: everything that merge must know of a split."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice, domain_of
from xpatch.domain.sites import horizontal_dims
from xpatch.geometry import Places
from xpatch.joint import Hood, Joint, inner_sizes, lead_of, space_part, time_dims, time_part
from xpatch.naming import known_names
from xpatch.neighborhood import Boxes, Members

__all__ = ["Plan", "best_plan", "is_carried"]


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Domain, anchors, neighborhoods and analysis window of a split. Immutable; copies are itself.

    Parameters
    ----------
    domain : Lattice
        What the field lay on.
    hood : Boxes, Members or Joint
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
    coarse : mapping, optional
        How many cells of the field each in-patch cell is the mean of, by dimension.
    names : mapping, optional
        What coordinates of windows in time are called where the field has names of its own: "lead",
        "event", "step", "number".
    """

    domain: Lattice
    hood: Hood
    window: Any = None
    aggregation: Any = None
    spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    origin: str | None = None
    places: Places | None = None
    events: NDArray[np.int64] | None = None
    coarse: Mapping[Hashable, int] | None = None
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.hood)

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The dimensions that were cut."""
        return self.hood.dims

    @property
    def inner(self) -> dict[Hashable, int]:
        """In-patch dimensions and their sizes."""
        coarse = self.coarse or {}
        return {d: n // coarse.get(d, 1) for d, n in inner_sizes(self.hood).items()}

    def offsets(self, dim: Hashable) -> NDArray[np.int64]:
        """Give which cells of a box label its in-patch cells along ``dim``: the last of coarse ones."""
        factor = (self.coarse or {}).get(dim, 1)
        return np.arange(factor - 1, inner_sizes(self.hood)[dim], factor)

    @property
    def boxes(self) -> Boxes:
        """The neighborhoods, where they are boxes.

        Raises
        ------
        TypeError
            If they are lists of members.
        """
        if not isinstance(self.hood, Boxes):
            dims = [m.dim for m in self.lists]
            raise TypeError(
                f"this needs patches that are boxes; these are lists of members along {dims}"
            )
        return self.hood

    @property
    def lists(self) -> tuple[Members, ...]:
        """The neighborhoods, or parts of them, that are lists of members."""
        if isinstance(self.hood, Joint):
            return self.hood.lists
        return (self.hood,) if isinstance(self.hood, Members) else ()

    @property
    def boxed(self) -> Plan | None:
        """The same patches along the dimensions in which they are boxes."""
        if isinstance(self.hood, Boxes):
            return self
        boxes = self.hood.boxed if isinstance(self.hood, Joint) else None
        return None if boxes is None else dataclasses.replace(self, hood=boxes, places=None)

    def in_space(self, ordinals: NDArray) -> tuple[Plan, NDArray]:
        """Give the plan in space alone, and which of its patches those with ``ordinals`` are."""
        part = space_part(self.hood)
        if part is None or not isinstance(self.hood, Joint):
            return self, ordinals
        k = self.hood.parts.index(part)
        spec = self.spec.get("spatial") or self.spec
        plan = dataclasses.replace(self, hood=part, spec=spec)
        return plan, self.hood.entries(np.asarray(ordinals))[k]

    @cached_property
    def own_names(self) -> dict[str, str]:
        """What the coordinates of windows in time are called; empty if there are none."""
        return known_names(self.hood, self.names)

    def called(self, kind: str) -> str:
        """Give the name of one of the coordinates of windows in time."""
        return self.own_names.get(kind, kind)

    @property
    def placed(self) -> Plan:
        """The same patches in space alone, each with a place of its own."""
        plan, entries = self.in_space(np.arange(len(self)))
        if plan is self:
            return self
        places = None if plan.places is None else plan.places.take(entries)
        hood = plan.hood.take(entries)
        return dataclasses.replace(plan, hood=hood, places=places, origin=self.anchor_id)

    def in_time(self, ordinals: NDArray) -> tuple[Boxes | Members, NDArray[np.int64]]:
        """Give the windows in time, and which of them the patches with ``ordinals`` take."""
        part, entries = time_part(self.hood), np.asarray(ordinals)
        assert part is not None
        if isinstance(self.hood, Joint):
            entries = self.hood.entries(entries)[self.hood.parts.index(part)]
        return part, entries

    def steps(self, ordinals: NDArray) -> NDArray[np.int64]:
        """Give the steps that windows in time are anchored at."""
        part, entries = self.in_time(ordinals)
        if isinstance(part, Members):
            assert part.anchors is not None
            return part.anchors[entries]
        (dim,) = time_dims(part)
        k = part.dims.index(dim)
        at = part.anchors[k]
        assert at is not None
        return part.starts(entries)[:, k] + at

    @property
    def leads(self) -> tuple[Any, ...] | None:
        """Time, leads of the steps, and where the future begins, if windows in time are alike."""
        part = time_part(self.hood)
        found = None if part is None else lead_of(part)
        if found is None:
            return None
        dim, lead = found
        return dim, tuple(lead.tolist()), self.first_future

    @property
    def first_future(self) -> int:
        """The lead at which the future begins: 1, or 0 where the anchor is left out of the past."""
        spec = self.spec.get("temporal") or self.spec
        return 0 if (spec.get("sampler") or {}).get("class") == "CausalRolling" else 1

    def points(self, ordinals: NDArray) -> tuple[NDArray, NDArray, Any]:
        """Give x and y of anchors, and the CRS (None: that of the field is not known).

        Raises
        ------
        ValueError
            If the patches were not cut in space.
        """
        if isinstance(self.hood, Joint):
            plan, entries = self.in_space(ordinals)
            return plan.points(entries)
        if self.places is not None and isinstance(self.hood, Members):
            sites = self.domain.sites(self.hood.dims[0] if self.domain.element_dims else None)
            return self.places.x[ordinals], self.places.y[ordinals], sites.known_crs
        cells = self.anchor_cells(ordinals)
        if self.domain.curvilinear and all(d in cells for d in self.domain.spatial_dims):
            sites = self.domain.sites()
            at = np.ravel_multi_index(
                tuple(cells[d] % n for d, n in zip(sites.dims, sites.shape, strict=True)),
                sites.shape,
            )
            return sites.x[at], sites.y[at], sites.known_crs
        x, y = horizontal_dims(self.domain)
        labels = self.anchor_labels(ordinals)
        if x not in labels or y not in labels:
            raise ValueError(
                f"these patches have no place: they were cut along {list(self.dims)}, not along "
                f"{[y, x]}"
            )
        geographic = self.domain.geographic
        crs = (
            self.domain.crs if self.domain.crs is not None else "EPSG:4326" if geographic else None
        )
        return labels[x].astype(float), labels[y].astype(float), crs

    def anchor_cells(self, ordinals: NDArray | None = None) -> dict[Hashable, NDArray[np.int64]]:
        """Give the middle cell of patches along each dimension: cell ``size // 2`` of the patch."""
        starts = self.boxes.starts(ordinals)
        pairs = zip(self.boxes.sizes, self.boxes.anchors, strict=True)
        halves = [s // 2 if at is None else at for s, at in pairs]
        return {d: starts[:, k] + h for k, (d, h) in enumerate(zip(self.dims, halves, strict=True))}

    def anchor_labels(self, ordinals: NDArray | None = None) -> dict[Hashable, NDArray]:
        """Give the labels of the middle cells, of the dimensions that have labels."""
        wraps = dict(zip(self.dims, self.boxes.wrap, strict=True))
        cells = self.anchor_cells(ordinals).items()
        labels = {d: self.domain.labels_at(d, c, wraps[d]) for d, c in cells}
        return {d: values for d, values in labels.items() if values is not None}

    @cached_property
    def anchor_id(self) -> str:
        """Identity of the anchors: plans with the same have patches that belong together."""
        if self.origin is not None:
            return self.origin
        digest = hashlib.sha1(str((len(self), self.dims)).encode())
        where: dict[Hashable, NDArray] = {}
        if self.places is not None:
            p = self.places
            where |= {"x": p.x, "y": p.y, "element": p.elements}
        if self.boxed is not None:
            where |= {**self.boxed.anchor_cells()}
            where |= {("label", d): values for d, values in self.boxed.anchor_labels().items()}
        for values in where.values():
            data = values if values.dtype != object else values.astype(str)
            digest.update(np.ascontiguousarray(data).tobytes())
        return digest.hexdigest()

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Plan:
        """Give the plan with other names of dimensions and coordinates."""
        hood = self.hood.renamed(names)
        domain = self.domain.renamed(names)
        coarse = (
            None if self.coarse is None else {names.get(d, d): f for d, f in self.coarse.items()}
        )
        own = {kind: str(names.get(n, n)) for kind, n in self.own_names.items()}
        return dataclasses.replace(
            self, domain=domain, hood=hood, origin=self.anchor_id, coarse=coarse, names=own
        )

    def equals(self, other: Plan) -> bool:
        """Whether both cut the same patches of the same lattice in the same way."""
        return self is other or (
            type(self.hood) is type(other.hood)
            and self.hood.equals(other.hood)  # type: ignore[arg-type]
            and self.window == other.window
            and self.coarse == other.coarse
            and self.domain.same_lattice(other.domain, self.dims) is None
        )

    def __copy__(self) -> Plan:
        return self

    def __deepcopy__(self, memo: object) -> Plan:
        return self


def is_carried(
    plan: Plan, name: Hashable, dims: Iterable[Hashable], cut: Iterable[Hashable] = ()
) -> bool:
    """Whether a variable of patches has none of the cut dimensions, and in the field had none.

    ``cut`` are those of the field, where the plan has but a part of them.
    """
    order = None if name is None else plan.domain.orders.get(name)
    return order is not None and not {*plan.dims, *plan.inner, *cut} & {*order, *dims}


def best_plan(plans: tuple[Plan, ...], sizes: Mapping[Hashable, int], like: Any = None) -> Plan:
    """Choose the plan with most in-patch dimensions, and of these sizes, among ``sizes``.

    Raises
    ------
    ValueError
        If several fit alike, as where a model reduced all of them away, and ``like`` is not given.
    """
    if like is not None and len(plans) > 1:
        domain = domain_of(like)
        plans = tuple(p for p in plans if p.domain.same_lattice(domain, p.dims) is None) or plans

    def fit(plan: Plan) -> tuple[int, int]:
        own = plan.inner
        return len(set(own) & set(sizes)), sum(sizes.get(d) == n for d, n in own.items())

    best = max(plans, key=fit)
    alike = [p for p in plans if fit(p) == fit(best)]
    if len(alike) > 1:
        raise ValueError(
            "these are patches of several fields at the same anchors, over "
            f"{[list(p.dims) for p in alike]}, and nothing says on which of them they shall be "
            "merged. merge(like=field) does, and where they are parts of one field, such as lookback "
            "and horizon, the coordinates of the one that is meant: "
            "patches.patch.horizon.copy(data=values)"
        )
    return best
