"""Split: make the patches of each variable and the coordinates that go with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex, PandasMultiIndex

from xpatch.domain import variables_of
from xpatch.domain.dates import first_value, has_zone, values_of
from xpatch.domain.nodata import Nodata, beside, nodata_of
from xpatch.engine.coarsen import mean_of
from xpatch.engine.cut import Cut
from xpatch.engine.duck import check_units
from xpatch.engine.gather import patch_dims
from xpatch.engine.lazy import Deferred, Rows, lazily
from xpatch.engine.reading import Stored, stored_chunks
from xpatch.neighborhood import Members, Neighborhood
from xpatch.patches.around import slots_of
from xpatch.patches.bounds import bounded_by, bounds_of, cut_bounds, remember, thinned
from xpatch.patches.centers import center_variables
from xpatch.patches.coords import is_bounds
from xpatch.patches.encoding import ANCHOR
from xpatch.patches.index import RECIPE, PatchIndex
from xpatch.patches.labels import Numbers, label_variable
from xpatch.patches.mapping import labeled, without_transform
from xpatch.patches.names import is_lead
from xpatch.patches.nested import behind
from xpatch.patches.plan import Plan, start_name
from xpatch.patches.steps import lead_coordinate, number_attrs, step_coordinates
from xpatch.patches.weights import Taper

HEADING_ATTRS = {"long_name": "heading of the anchor, clockwise from north", "units": "degrees"}


@dataclasses.dataclass(frozen=True, eq=False)
class Finish:
    """Multiplies patches by the analysis window, and averages cells that are coarse."""

    taper: Taper | None
    dims: tuple[Hashable, ...]  # of patches, behind the patch dimension
    nodata: Nodata | None

    def __call__(self, patches: NDArray[Any], hood: Neighborhood) -> NDArray[Any]:
        out = patches if self.taper is None else self.taper(patches, hood)
        for d, factor in hood.coarse.items():
            out = mean_of(out, 1 + self.dims.index(d), factor, self.nodata)
        return out


def is_lazy(variable: Variable) -> bool:
    """Whether the data of ``variable`` are still on disk (neither in memory nor chunked)."""
    return not variable._in_memory and variable.chunks is None


def check_chunks(obj: xr.DataArray | xr.Dataset, call: str) -> None:
    """Raise a ValueError if chunk sizes are unknown, as they are after boolean indexing.

    And a TypeError if there are units of the array itself, which would be lost.
    """
    for name, v in variables_of(obj).items():
        check_units(v._data, "the field" if name is None else repr(name))
        unknown = [d for d, sizes in v.chunksizes.items() if any(n != n for n in sizes)]
        if unknown:
            what = "the array" if name is None else repr(name)
            raise ValueError(
                f"{call} needs to know the chunk sizes, but those of {what} along {unknown} are "
                "unknown (NaN), as after indexing with a lazy condition; compute them with "
                "obj.data.compute_chunk_sizes() first"
            )


def cut_dims(variable: Variable, plan: Plan) -> tuple[Hashable, ...]:
    """Give the dimensions of ``variable`` that are cut, in the order of the plan."""
    return tuple(d for d in plan.dims if d in variable.dims)


def cut_variable(
    variable: Variable,
    plan: Plan,
    dim: Hashable,
    ordinals: NDArray[Any],
    groups: list[NDArray[Any]] | None,
    window: Any = None,
    defer: bool = False,
    name: Hashable | None = None,
) -> Variable:
    """Cut the patches with ``ordinals`` out of one variable, called ``name`` in messages.

    NumPy stays NumPy (lazy with ``defer``), data on disk stay there, dask stays dask.
    """
    hood, nodata = plan.hood.only(cut_dims(variable, plan)), nodata_of(variable)
    empty = None
    if nodata is not None:
        hood, empty = beside(hood, nodata), nodata.empty
    dims = patch_dims(hood, variable.dims)
    finish = None
    if window is not None or hood.coarse:
        finish = Finish(None if window is None else Taper(window, dims, nodata), dims, nodata)
    cut = Cut.of(hood, variable.dims, variable.dtype, finish, empty)
    return made(variable, cut, dim, ordinals, groups, defer, name)


def made(
    variable: Variable,
    cut: Cut,
    dim: Hashable,
    ordinals: NDArray[Any],
    groups: list[NDArray[Any]] | None,
    defer: bool = True,
    name: Hashable | None = None,
) -> Variable:
    """Make patches where the data are: of NumPy in memory, or put off; on disk; in the graph of dask."""
    dims = (dim, *cut.patch_dims)
    if variable.chunks is not None:
        from xpatch.engine import chunked_gather

        array = chunked_gather.gather(variable.data, cut, groups or [ordinals])
        return Variable(dims, array, variable.attrs)
    if variable._in_memory and not defer:
        return Variable(dims, Rows(variable.to_numpy(), cut)(ordinals), variable.attrs)
    on_disk = Stored(variable._data, variable.dims, name)
    source = variable.to_numpy() if variable._in_memory else on_disk
    stored = [] if variable._in_memory else stored_chunks(variable, cut.hood.dims)
    sizes = {**variable.sizes, **cut.sizes}
    rows = Rows(source, cut, stored)
    data = Deferred(rows, ordinals, tuple(sizes[d] for d in dims[1:]), cut.final)
    return Variable(dims, lazily(data), variable.attrs)


def number_variable(
    hood: Neighborhood, part: Members, dim: Hashable, ordinals: NDArray[Any]
) -> Variable:
    """Member numbers (patch, slot) of one part, computed when they are looked at."""
    data = Deferred(Numbers(hood, part), ordinals, (part.width,), np.dtype(np.int32))
    return Variable((dim, part.dim), lazily(data), number_attrs(part.dims))


def cut_field(
    obj: Any,
    plan: Plan,
    dim: Hashable,
    ordinals: NDArray[Any],
    groups: list[NDArray[Any]] | None,
    defer: bool = False,
) -> Any:
    """Cut the patches out of a DataArray or Dataset, group by group."""
    if groups is not None:
        ordinals = np.concatenate([np.empty(0, np.int64), *groups]).astype(np.int64)
    args = (dim, ordinals, groups, defer)
    parts = {
        name: cut_named(v, name, plan, *args, obj.name if name is None else name)
        if cut_dims(v, plan)
        else v
        for name, v in variables_of(obj).items()
    }
    parts = behind(without_transform(parts, plan.domain, plan.dims), plan.domain.above)
    coords = cut_coordinates(labeled(obj, plan.domain, plan.dims), plan, dim, ordinals, groups)
    if isinstance(obj, xr.DataArray):
        out: Any = xr.DataArray(parts[None], coords=coords, name=obj.name)
    else:
        out = xr.Dataset(parts, coords=coords, attrs=obj.attrs)
    for name, mapping in plan.domain.mappings.items():  # by which rioxarray finds the CRS
        if name is not None and name not in out:
            continue
        array = out if name is None else out[name]
        array.encoding = {**array.encoding, "grid_mapping": mapping}
    return out


def cut_named(variable: Variable, name: Hashable, plan: Plan, *args: Any) -> Variable:
    """Cut a variable of a field; bounds of coordinates are neither multiplied by the window nor averaged."""
    dim, ordinals, groups, defer, called = args
    if not is_bounds(plan.domain, name, variable):
        return cut_variable(variable, plan, dim, ordinals, groups, plan.window, defer, called)
    own, d = cut_dims(variable, plan), bounded_by(plan.domain, name, plan.dims)
    part = _along(plan, own)
    beyond = own == (d,) and not part.lists and part.hood.overhangs
    if beyond and variable.dtype.kind != "O":
        found = cut_bounds(variable, part, dim, d, ordinals, groups)
        return thinned({name: found}, plan, {name})[name]
    whole = dataclasses.replace(plan, hood=plan.hood.fine)
    bounds = cut_variable(variable, whole, dim, ordinals, groups, None, defer, called)
    return thinned({name: bounds}, plan, {name})[name]


def cut_coordinates(
    obj: xr.DataArray | xr.Dataset,
    plan: Plan,
    dim: Hashable,
    ordinals: NDArray[Any],
    groups: list[NDArray[Any]] | None,
) -> xr.Coordinates:
    """Give the coordinates of patches: labels, auxiliary ones gathered, the others carried.

    Indexes other than those of pandas on whole dimensions become plain coordinates, because
    `xarray.map_blocks` cannot take them.
    """
    variables: dict[Hashable, Variable] = {}
    indexes: dict[Hashable, Any] = {}
    bounds = bounds_of(obj.coords, plan.dims)
    for name, coord in obj.coords.variables.items():
        variable = coord.to_base_variable()
        own = cut_dims(variable, plan)
        if own and has_zone(variable):  # which no array of two dimensions can have
            variable = Variable(variable.dims, values_of(variable), variable.attrs)
        if not own:
            variables[name] = variable.copy(deep=False)
            index = obj.xindexes.get(name)
            if isinstance(index, PandasMultiIndex | PatchIndex) or (
                type(index) is PandasIndex and variable.dims == (name,)
            ):
                indexes[name] = index
                variables[name] = coord
            continue
        part = _along(plan, own)
        if part.lists:
            variables |= member_coordinate(name, variable, part, dim, ordinals, groups)
        elif variable.dims == (name,):
            if plan.domain.coordinate(name) is not None:
                variables[name] = label_variable(name, variable.attrs, part, dim, ordinals)
        elif own == (bounds.get(name),) and part.boxes.only(own).overhangs:
            variables[name] = cut_bounds(variable, part, dim, own[0], ordinals, groups)
        else:
            padded = missing_outside(variable, part)
            padded = dataclasses.replace(padded, hood=padded.hood.fine)
            variables[name] = cut_variable(
                variable, padded, dim, ordinals, groups, defer=True, name=name
            )
    for name, at in center_variables(plan, taken_names(obj)).items():
        variables[name] = cut_variable(at, plan, dim, ordinals, groups, defer=True, name=name)
    added = anchor_coordinates(plan, dim, ordinals) | lead_coordinate(plan)
    added |= step_coordinates(plan, dim, ordinals)
    for members in plan.lists:
        number = number_variable(plan.hood, members, dim, ordinals)
        (variables if members.numbers is None else added)[members.numbers or members.dim] = number
    check_names(obj, added)
    variables |= {**slots_of(plan, dim, ordinals), **added}
    if plan.hood.coarse:
        variables = thinned(variables, plan)
    index = PandasIndex(np.asarray(ordinals, dtype=np.int64), dim)
    patch = PatchIndex(index, (plan,))
    variables |= patch.create_variables({dim: Variable(dim, ordinals)})
    indexes[dim] = patch
    variables = behind(without_transform(variables, plan.domain, plan.dims), plan.domain.above)
    for variable in variables.values():
        variable.encoding = {}
    remember(variables, bounds, obj.coords)
    return xr.Coordinates(variables, indexes=indexes)


def check_names(obj: xr.DataArray | xr.Dataset, added: Mapping[Hashable, Variable]) -> None:
    """Raise a ValueError if the field has names of its own that coordinates of patches have."""
    taken = taken_names(obj).intersection(added)
    if taken:
        names = [n for n in added if n in taken]
        anew = ", ".join(f"{n!r}: …" for n in names)
        each = "is the name of a coordinate" if len(names) == 1 else "are names of coordinates"
        raise ValueError(
            f"the field has {', '.join(map(repr, names))} of its own, which {each} of its patches; rename "
            f"{'it' if len(names) == 1 else 'them'} first: field.rename({{{anew}}}), or drop what earlier patches "
            f"left, field.drop_vars({names!r})"
        )


def taken_names(obj: xr.DataArray | xr.Dataset) -> set[Hashable]:
    """Give the names of a field; what a patch that is split again has from the first time makes way."""
    coords = obj.coords.variables
    again = any(RECIPE in c.attrs and not c.ndim for c in coords.values())
    own = [
        n
        for n, c in coords.items()
        if again and (not c.ndim or is_lead(c) or "empty_slot" in c.attrs)
    ]
    data = obj.data_vars if isinstance(obj, xr.Dataset) else ()
    return {*coords, *data, *obj.dims}.difference(own)


def _along(plan: Plan, dims: tuple[Hashable, ...]) -> Plan:
    """Give the plan along some of the cut dimensions, with those that lists share with them."""
    if not plan.lists or len(plan.hood.parts) == 1:
        return plan
    return dataclasses.replace(plan, hood=plan.hood.only(dims), places=None)


def member_coordinate(
    name: Hashable,
    variable: Variable,
    plan: Plan,
    dim: Hashable,
    ordinals: NDArray[Any],
    groups: list[NDArray[Any]] | None,
) -> dict[Hashable, Variable]:
    """Gather a coordinate of the elements beside their numbers, if it can be written to files.

    One that is named like the in-patch dimension makes way for the numbers and is called a label.
    """
    plain = isinstance(variable.dtype, np.dtype)
    if not plain or (variable.dtype == object and not _is_text_or_date(variable)):
        return {}  # shapely: patches.patch.geometries
    in_space = [m for m in plan.lists if m.numbers is None]
    if variable.dtype == object and any(m.ragged for m in in_space):
        return {}  # cftime has no missing date, and text mixed with None cannot be written
    attrs = plan.domain.member_attrs(name, any(m.ragged for m in in_space))
    if attrs:
        variable = Variable(variable.dims, variable._data, {**variable.attrs, **attrs})
    if any(name == m.dim for m in in_space):
        name = f"{name}_label"
    own = cut_variable(variable, plan, dim, ordinals, groups, defer=True, name=name)
    return {name: own}


def _is_text_or_date(variable: Variable) -> bool:
    first = first_value(variable)
    return isinstance(first, str) or hasattr(first, "calendar")


def missing_outside(variable: Variable, plan: Plan) -> Plan:
    """Auxiliary coordinates are unknown outside of the field rather than mirrored."""
    if not plan.hood.overhangs:
        return plan
    mode = "constant" if variable.dtype.kind in "iufcmM" else "edge"
    return dataclasses.replace(plan, hood=plan.hood.padded_by(pad_mode=mode, pad_value=None))


def anchor_coordinates(
    plan: Plan, dim: Hashable, ordinals: NDArray[Any]
) -> dict[Hashable, Variable]:
    """Starts of patches that are not an outer product, and anchors of lists of members."""
    found: dict[Hashable, Variable] = {}
    if plan.events is not None:
        attrs = {"long_name": "number of the event, or pair of coupled anchors"}
        found[plan.called("event")] = Variable(dim, plan.events[ordinals], attrs)
    if plan.ids is not None:
        found["anchor"] = Variable(dim, plan.ids[ordinals], {"long_name": "name of the anchor"})
    space, entries = plan.in_space(ordinals)
    if space.places is not None:
        places = space.places.take(entries)
        at = {ANCHOR: places.elements, f"{ANCHOR}_x": places.x, f"{ANCHOR}_y": places.y}
        found |= {plan.called(n): Variable(dim, values) for n, values in at.items()}
        if places.headings is not None:
            found["heading"] = Variable(dim, places.headings, HEADING_ATTRS)
    boxed = plan.boxed
    told = plan.domain.above is None or plan.hood.time_dims  # by labels, or by steps
    if boxed is None or (boxed.boxes.product and told):
        return found
    return found | start_coordinates(plan, dim, ordinals)


def start_coordinates(
    plan: Plan, dim: Hashable, ordinals: NDArray[Any]
) -> dict[Hashable, Variable]:
    """Starts of boxes, which say of patches without labels which they are."""
    boxed = plan.boxed
    if boxed is None:
        return {}
    starts = boxed.boxes.starts(ordinals)
    return {
        plan.called(start_name(d)): Variable(
            dim, starts[:, k].copy(), {"long_name": f"first cell of the patch along {d}"}
        )
        for k, d in enumerate(boxed.dims)
    }
