"""Plan a split: inspect the domain, place the anchors, find their neighborhoods."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain import Lattice, PointDomain, variables_of
from xpatch.domain.dates import calendar_of
from xpatch.domain.ragged import counts_of
from xpatch.engine.distinct import distinct
from xpatch.engine.slices import INDEX_PADS
from xpatch.geometry import Geometry, MemberGeometry, Places
from xpatch.neighborhood import Members, Neighborhood, Part
from xpatch.patcher import Axes, SpaceTimeAxes, TimeAxes, check_first, check_name, composed
from xpatch.patches.around import slots_around
from xpatch.patches.encoding import helper_names, named_apart, told_apart
from xpatch.patches.index import splits_of
from xpatch.patches.names import free_names, renumbered, unusual_names
from xpatch.patches.nested import check_asked, check_order, domain_in
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import with_indexes
from xpatch.patches.split import check_chunks, taken_names
from xpatch.patches.untimed import axis_beside, tell_product, tell_untimed
from xpatch.patches.weights import box_table
from xpatch.report import tell
from xpatch.sampler.base import asked
from xpatch.spec import MOST
from xpatch.time.axis import TimeAxis
from xpatch.time.finding import is_time
from xpatch.time.geometry import TimeGeometry
from xpatch.time.sampler import EventTriggered, ExplicitTimes
from xpatch.window import Boxcar, ByDim

AnyAxes = Axes | TimeAxes | SpaceTimeAxes
First = (
    AnyAxes | Geometry | TimeGeometry | Mapping[Any, Any] | Sequence[float] | NDArray[Any] | float
)


def make_plan(
    obj: xr.DataArray | xr.Dataset, patcher: AnyAxes, dim: Hashable
) -> tuple[Plan, NDArray[np.int64]]:
    """Plan a split. Gives the plan, and the labels of the patches."""
    check_name(dim)
    domain = domain_in(with_indexes(obj))
    check_chunks(obj, "split")
    check_free(obj, domain, dim)
    check_asked(domain, patcher)
    found = found_on(domain, patcher, obj)
    check_cut(found.hood)
    check_order(found.hood, domain.above)
    check_values(obj, found.hood.dims)
    hood, names = named(found.hood, obj, patcher)
    box_table(found.window, hood)  # which raises if an array is of another shape
    plan = Plan(
        domain,
        hood,
        None if found.window == Boxcar() else found.window,
        patcher.aggregation,
        patcher.to_dict(),
        found.origin,
        found.places,
        found.events,
        ids=found.ids,
        given=None if found.ordinals is None else told_apart(found.ordinals),
        names=names,
        variable=None if isinstance(obj, xr.Dataset) or obj.name is None else str(obj.name),
        closed=found.closed,
        around=slots_around(domain, hood, patcher, found.centered, taken_names(obj)),
    )
    if found.matched:
        plan = dataclasses.replace(plan, helpers=named_apart(plan))
    elif domain.above is not None:
        plan = dataclasses.replace(plan, helpers={n: f"{n}_{dim}" for n in helper_names(plan)})
    return plan, np.arange(len(plan)) if found.ordinals is None else found.ordinals


def check_free(obj: Any, domain: Lattice, dim: Hashable) -> None:
    """Raise a ValueError if there is something called as the new dimension shall be."""
    if dim in splits_of(obj):
        raise ValueError(
            f"these are patches along {dim!r} already; patches of patches need a dimension of their own: "
            "patches.patch.split(…, dim='inner')"
        )
    taken = dim in obj.coords and obj.coords[dim].ndim  # also along patches that are split again
    if taken or dim in domain.sizes or dim in domain.template.variables:
        raise ValueError(
            f"the field already has {dim!r}; name the patch dimension otherwise: split(…, dim=…)"
        )


def chosen(patcher: Any, geometry: Any, sampler: Any, window: Any) -> AnyAxes:
    """Take the patcher, or compose one of the axes; a geometry may stand in place of the patcher."""
    if patcher is not None and not isinstance(patcher, AnyAxes):
        if geometry is not None or not in_time_first(patcher):
            check_first(patcher, geometry)
        patcher, geometry = None, patcher
    if not isinstance(patcher, AnyAxes):
        return composed(geometry, sampler, window)
    if not (geometry is None and sampler is None and window is None):
        raise TypeError("split takes a patcher, or geometry, sampler and window, not both")
    return patcher


def in_time_first(value: Any) -> bool:
    """Whether a value is a geometry in time, or several geometries with one in time."""
    several = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(g, TimeGeometry) for g in several)


def named(hood: Neighborhood, obj: Any, patcher: AnyAxes) -> tuple[Neighborhood, dict[str, str]]:
    """Give the coordinates of windows in time names that the field has not."""
    dims = hood.time_dims
    if not dims:
        return hood, {}
    temporal: Any = getattr(patcher, "temporal", patcher)
    sampler = temporal.sampler
    others = getattr(sampler, "others", None)
    if not others and not (dims[0] in obj.coords and is_time(obj.coords[dims[0]])):
        others = None  # fields without dates have no times in common
    names = free_names(taken_names(obj), dims[0], others)
    return renumbered(hood, names["number"]), unusual_names(hood, names)


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """Neighborhoods, and what else a plan needs to know."""

    hood: Neighborhood
    window: Any = None
    ordinals: NDArray[np.int64] | None = None
    origin: str | None = None
    places: Places | None = None
    events: NDArray[np.int64] | None = None
    ids: NDArray[Any] | None = None
    matched: bool = False  # whether anchors are those of other patches
    closed: str | None = None  # what the sampler in time says of its windows
    centered: bool = False  # whether the places of anchors are the middle of boxes


def found_on(domain: Lattice, patcher: AnyAxes, obj: Any) -> Found:
    """Find the neighborhoods of a patcher of any kind."""
    try:
        if isinstance(patcher, SpaceTimeAxes):
            return in_space_and_time(domain, patcher, obj)
        if isinstance(patcher, TimeAxes):
            return in_time(domain, patcher)
        found = in_space(domain, patcher, obj)
        tell_untimed(domain, patcher.sampler, found.hood.dims)
        return found
    except (KeyError, TypeError, ValueError) as error:
        if domain.above is not None:
            error.add_note(domain.above.note)
        raise


def in_space(domain: Lattice, axes: Axes, obj: Any) -> Found:
    """Find the neighborhoods of a Patcher."""
    geometry = axes.geometry.on(domain)
    if isinstance(geometry, MemberGeometry):
        places, members = members_at(domain, geometry, axes.sampler, obj)
        rest = (places.ordinals, places.origin, places)
        matched = places.origin is not None
        tell_placeless(domain, geometry)
        hood = Neighborhood((members,))
        return Found(hood, axes.window, *rest, ids=places.ids, matched=matched)
    anchors = asked(axes.sampler.places, domain, geometry, obj)
    boxes: Any = geometry.neighborhood(domain, anchors)
    found = Found(boxes, axes.window, anchors.ordinals, anchors.origin, ids=anchors.ids)
    matched, centered = anchors.origin is not None, anchors.centered
    return dataclasses.replace(found, matched=matched, centered=centered)


def in_time(domain: Lattice, axes: TimeAxes) -> Found:
    """Find the windows of a TimePatcher."""
    axis = axes.geometry.outline(domain)
    anchors, which = anchor_steps(axis, axes)
    closed = axes.sampler.closed
    hood = axes.geometry.neighborhood(axis, anchors, closed)
    origin, matched = identity_of(axis, anchors), of_patches(axes.sampler)
    alone = Neighborhood((hood,))
    return Found(alone, axes.window, None, origin, None, which, matched=matched, closed=closed)


def of_patches(sampler: Any) -> bool:
    """Whether a sampler in time takes the anchors of other patches."""
    return isinstance(sampler, ExplicitTimes) and sampler.of_patches


def anchor_steps(axis: TimeAxis, axes: TimeAxes) -> tuple[NDArray[np.int64], NDArray[Any] | None]:
    """Give the steps that are anchors, and which of the events they are, if there are events."""
    sampler = axes.sampler
    if isinstance(sampler, EventTriggered):
        steps, which = sampler.kept(axis, axes.geometry)
        return steps, None if isinstance(sampler, ExplicitTimes) else which
    return sampler.places(axis, axes.geometry), None


def identity_of(axis: TimeAxis, anchors: NDArray[np.int64], *more: Any) -> str:
    """Give the identity of anchors in time: fields with other steps may have the same."""
    digest = hashlib.sha1(str((axis.calendar, axis.values.dtype.kind, *more)).encode())
    digest.update(np.ascontiguousarray(axis.exact(anchors)).tobytes())
    return digest.hexdigest()


def in_space_and_time(domain: Lattice, axes: SpaceTimeAxes, obj: Any) -> Found:
    """Find the patches of a SpatioTemporalPatcher: space outer, time inner; or one to one."""
    spatial, temporal = axes.spatial, axes.temporal
    space = in_space(domain, spatial, obj)
    known = Plan(domain, space.hood, places=space.places, origin=space.origin).anchor_id
    if space.ordinals is not None:  # anchors of some of another field's patches
        if not np.array_equal(space.ordinals, np.arange(len(space.hood))):
            known += hashlib.sha1(np.ascontiguousarray(space.ordinals).tobytes()).hexdigest()
        places = None if space.places is None else space.places.take(space.ordinals)
        ids = None if space.ids is None else space.ids[space.ordinals]
        hood = space.hood.alone(space.ordinals)
        space = Found(hood, space.window, places=places, ids=ids, matched=True)
    axis = axis_beside(domain, temporal.geometry, spatial.geometry, space.hood.dims)
    kept: NDArray[Any] | None = None
    events: NDArray[Any] | None
    if axes.coupling == "coupled":
        anchors, events = coupled_steps(axis, temporal, len(space.hood))
        kept = events
    else:
        anchors, events = anchor_steps(axis, temporal)
        tell_product(domain, spatial.sampler, len(anchors))
        events = None if events is None else np.tile(events, len(space.hood))
    hood = temporal.geometry.neighborhood(axis, anchors, temporal.sampler.closed)
    window = joint_window(space, temporal.window, space.hood.dims, axis.dim)
    which = None if kept is None else kept.tobytes()
    ids = space.ids
    if ids is not None:
        ids = np.repeat(ids, len(anchors)) if kept is None else ids[kept]
    origin = identity_of(axis, anchors, known, which)
    matched = space.matched or of_patches(temporal.sampler)
    if not hood.box:
        check_padding(space.hood)
    rest = (space.places, events, ids, matched, temporal.sampler.closed, space.centered)
    return Found(joined(space.hood, hood, kept), window, None, origin, *rest)


def tell_placeless(domain: Lattice, geometry: MemberGeometry) -> None:
    """Warn of stations without a place; land of grids and the padding of profiles are meant to have none."""
    if not isinstance(domain, PointDomain):
        return
    sites = geometry.outline(domain)
    if sites.left_out and len(sites.dims) == 1:
        dim = sites.dims[0]
        tell(
            f"of the elements along {dim!r} {sites.left_out}: they are in no patch, and missing after merge. "
            f"Give them places, or split those that have one, field.isel({{{dim!r}: known}})",
        )


def check_padding(space: Neighborhood) -> None:
    """Raise a ValueError if boxes that go with lists in time are padded by what is no cell."""
    modes = {p.pad_mode for p in space.slices if p.overhangs and not p.wrap}
    if modes.difference(INDEX_PADS):
        raise ValueError(
            f"pad_mode={modes.pop()!r} needs whole axes, which windows in time of unequal length do "
            f"not have; use one of {list(INDEX_PADS)}, or windows of equal length"
        )


def joint_window(space: Found, temporal: Any, dims: tuple[Hashable, ...], time: Hashable) -> Any:
    """Give the analysis windows of space and time, each along its own dimensions."""
    if space.window is None and temporal is None:
        return None
    return ByDim.of({**dict.fromkeys(dims, space.window), time: temporal})


def joined(space: Neighborhood, time: Part, kept: NDArray[Any] | None) -> Neighborhood:
    """Combine patches: every place with every window in time, or the ``kept`` ones one to one."""
    parts = (*space.parts, time)
    if kept is None and space.product:
        return Neighborhood(parts)
    n, m = len(space), len(time)
    where = np.repeat(np.arange(n), m) if kept is None else kept
    when = np.tile(np.arange(m), n) if kept is None else np.arange(m)
    return Neighborhood(parts, (*space.entries(where), when))


def coupled_steps(
    axis: TimeAxis, temporal: TimeAxes, count: int
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Give the steps of events whose window is complete, and which of the events these are."""
    sampler, geometry = temporal.sampler, temporal.geometry
    if isinstance(sampler, EventTriggered):
        steps = sampler.steps(axis)
    else:
        steps = sampler.places(axis, geometry)
    if len(steps) != count:
        raise ValueError(
            f"coupling='coupled' takes anchors one to one, but there are {count} in space and "
            f"{len(steps)} in time; use coupling='product' for every combination"
        )
    geometry.check_anchors(axis, steps, sampler)
    kept = np.flatnonzero(geometry.complete(axis, sampler.closed)[steps])
    if not len(kept):
        raise ValueError(f"none of the {count} events has a complete window of {geometry!r}")
    return steps[kept], kept


def members_at(
    domain: Lattice, geometry: MemberGeometry, sampler: Any, obj: Any
) -> tuple[Places, Members]:
    """Place anchors and find their members; of patches of another field only those that are asked for.

    Raises
    ------
    ValueError
        If there is no anchor, or one without any member. Samplers that do not look at the field may
        place some beyond it; these are left out.
    """
    domain.check_cells(domain.spatial_dims)
    places = geometry.named(domain, asked(sampler.places, domain, geometry, obj))
    word = places.empty or geometry.empty
    if places.ordinals is None:
        members = geometry.neighborhood(domain, places)
        if word == "drop":
            kept = np.flatnonzero(members.counts)
            places, members = places.take(kept), members.take(kept)
    else:
        kept = distinct(places.ordinals)
        members = geometry.neighborhood(domain, places.take(kept)).spread(kept, len(places))
        if word == "drop":
            some = places.ordinals[members.counts[places.ordinals] > 0]
            places = dataclasses.replace(places, ordinals=some)
    if not len(places) or (places.ordinals is not None and not len(places.ordinals)):
        raise ValueError(f"{sampler!r} leaves no anchor with any member on {domain!r}")
    empty = np.flatnonzero(members.counts == 0)
    empty = empty if places.ordinals is None else np.intersect1d(empty, places.ordinals)
    if len(empty) and word == "raise":
        k = empty[0]
        raise ValueError(
            f"{geometry!r} finds no element around {len(empty)} of {len(places)} anchors, the first at "
            f"({places.x[k]:g}, {places.y[k]:g}): leave them out with empty='drop', keep them as missing "
            f"with empty='keep', {geometry.lonely}, or check that the anchors are in the CRS of the field, "
            "x or longitude first"
        )
    return places, members


def check_cut(hood: Neighborhood) -> None:
    """Raise a ValueError if dimensions cannot be cut, or there are too many patches to label."""
    paired = [d for d in hood.dims if isinstance(d, tuple)]
    if paired:
        raise ValueError(
            f"the dimension {paired[0]!r} has a tuple for a name, along which patches cannot be cut; "
            f"rename it: field.rename({{{paired[0]!r}: 'name'}})"
        )
    count = len(hood)
    if count > 10 * MOST:
        raise ValueError(
            f"these are {count:.3g} patches, more than {10 * MOST:,}; use a larger step, or split a part "
            "of the field after the other"
        )


def _check_product(variables: Mapping[Any, Variable], dims: tuple[Hashable, ...]) -> None:
    """Raise a ValueError if patches would be every place of one grid with every place of another."""
    grids: list[set[Hashable]] = []
    for variable in variables.values():
        own = {d for d in variable.dims if d in dims}
        near = [g for g in grids if g & own]
        grids = [g for g in grids if not g & own] + [own.union(*near)]
    planes = [tuple(d for d in dims if d in g) for g in grids if len(g) > 1]
    if len(planes) > 1:
        raise ValueError(
            f"no variable lies along both {list(planes[0])} and {list(planes[1])}, so that each patch of one "
            "grid would come with every patch of the other; cut them at common places, with "
            f"Rectangular({{{planes[0]!r}: …, {planes[1]!r}: …}}), or split the variables of each grid alone"
        )


def check_values(obj: xr.DataArray | xr.Dataset, dims: tuple[Hashable, ...]) -> None:
    """Raise if nothing has the dimensions that are cut, or its values cannot be cut."""
    cut = {n: v for n, v in variables_of(obj).items() if set(v.dims) & set(dims)}
    if not cut and not any(c.instance in dims for c in counts_of(obj)):
        raise ValueError(f"no variable of the Dataset has any of the dimensions {list(dims)}")
    _check_product(cut, dims)
    for name, variable in cut.items():
        if variable.dtype == object and calendar_of(variable) is None:
            raise TypeError(
                f"{'the field' if name is None else repr(name)} has object dtype, which cannot be "
                "cut into patches; convert it to numbers, dates or fixed-width text first, or leave it "
                "out" + ("" if name is None else f", drop_vars({name!r})")
            )
