"""Read a recipe: find it, check it, and rebuild the plan of patches."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.aggregation import Aggregation
from xpatch.domain import GridDomain, Lattice, dates
from xpatch.domain.affine import GridMapping
from xpatch.domain.lattice import lattice_of
from xpatch.geometry import Places
from xpatch.neighborhood import Members, Neighborhood, Part
from xpatch.patches.encoding import ANCHOR, RECIPE, SPEC, VERSION, landmarks_read, unpack
from xpatch.patches.index import splits_of
from xpatch.patches.mapping import crs_of, mapping_read
from xpatch.patches.nested import above_of
from xpatch.patches.plan import Plan, start_name
from xpatch.patches.rules import (
    MOST_TEXT,
    DamagedRecipe,
    check,
    check_filled,
    check_listed,
    check_starts,
)
from xpatch.spec import decode_as
from xpatch.window import ByDim, Window


def find_recipe(obj: xr.DataArray | xr.Dataset) -> tuple[Hashable, dict[str, Any]] | None:
    """Give the name of the patch coordinate that carries a recipe, and the recipe.

    Coordinates that were computed from that of patches carry it as well, and are not taken for it.

    Raises
    ------
    DamagedRecipe
        If it cannot be read.
    """
    found = {n: c for n, c in obj.coords.items() if RECIPE in c.attrs and c.ndim <= 1}
    if not found:
        return None
    along = [n for n, c in found.items() if c.dims == (n,)]
    along = [n for n in splits_of(obj)[-1:] if n in along] or along
    known = {n: parsed(n, found[n].attrs[RECIPE]) for n in (along or found)}
    for name, recipe in known.items():
        wanted = recipe.get("dim", name)
        if name == wanted or (name in along and wanted not in found):
            return name, recipe
        if wanted in found and found[wanted].ndim:
            raise ValueError(
                f"the dimension of the patches is {found[wanted].dims[0]!r}, whose labels are not the "
                f"numbers of patches; these are {wanted!r}: swap_dims({found[wanted].dims[0]}={wanted!r})"
            )
    return None


def parsed(name: Hashable, text: Any) -> dict[str, Any]:
    """Read a recipe and check it."""
    try:
        if not isinstance(text, str) or len(text) > MOST_TEXT:
            raise DamagedRecipe("it is no text, or too long")
        recipe: dict[str, Any] = json.loads(text)
        version = recipe.get("version") if isinstance(recipe, dict) else VERSION
        if version == VERSION:
            check(recipe)
            for other in recipe.get("others", []):
                check(other)
    except (DamagedRecipe, ValueError, RecursionError) as error:
        raise DamagedRecipe(
            f"the recipe in the attributes of {name!r} is damaged ({error}); merge with like=field"
        ) from None
    if version != VERSION:
        raise DamagedRecipe(
            f"the recipe of these patches has version {version!r}, this xpatch reads version "
            f"{VERSION}; merge with like=field"
        )
    return recipe


def _check_names(obj: xr.DataArray | xr.Dataset, dims: Sequence[Hashable]) -> None:
    """Raise a ValueError if cut dimensions have names that are no text, as the recipe has them."""
    for d in obj.dims:
        if d not in dims and str(d) in dims:
            raise ValueError(
                f"these patches were cut along the dimension {d!r}, whose name is no text, and lost their "
                f"index: keep this, or rename the dimension before the split, field.rename({{{d!r}: 'name'}})"
            )


def read_plan(obj: xr.DataArray | xr.Dataset, dim: Hashable, recipe: Mapping[str, Any]) -> Plan:
    """Rebuild the plan of patches from their recipe and label coordinates.

    Raises
    ------
    ValueError
        If the anchors or a window were not written.
    """
    parts = [{**part, "dims": tuple(part["dims"])} for part in recipe.get("parts") or [recipe]]
    dims = tuple(d for part in parts for d in part["dims"])
    shape = {d: n for part in parts for d, n in zip(part["dims"], part["shape"], strict=True)}
    _check_names(obj, dims)
    hood, places = _read_hood(obj, dim, parts)
    coords = {}
    for d, packed in ((d, p) for x in parts for d, p in zip(x["dims"], x["labels"], strict=True)):
        values = unpack(packed) if packed is not None else None
        if values is not None and "calendar" in packed and d in obj.coords:
            values = _dates_like(values, obj.coords[d])
        if values is not None:
            attrs = obj.coords[d].attrs if d in obj.coords else {}
            zone = packed.get("zone")
            labels = values if zone is None else dates.in_zone(values, zone)
            coords[d] = xr.Variable((d,), labels, attrs)
    orders = {n: tuple(order) for n, order in recipe["orders"]}
    carried = {d: n for d, n in obj.sizes.items() if d not in dims and d != dim}
    every = dict.fromkeys(d for order in orders.values() for d in order)
    sizes = {d: shape.get(str(d), carried.get(d, 0)) for d in every}
    domain = _domain(coords, sizes, orders, mapping_read(recipe))
    splits = splits_of(obj)
    domain = domain.with_above(above_of(obj, splits[: splits.index(dim)] if dim in splits else ()))
    try:
        window, aggregation = _decoded(recipe, hood)
    except ValueError as error:
        raise ValueError(
            f"{error}. Functions are not stored with patches: split the field again in the same way "
            "and put the stored values in, field.patch.split(…).copy(data=stored), then merge"
        ) from None
    spec = {k: recipe[k] for k in SPEC if k in recipe}
    origin = recipe.get("origin")
    return Plan(
        domain,
        hood.averaged(recipe.get("coarse") or {}),
        window,
        aggregation,
        spec,
        origin,
        places,
        given=recipe.get("given"),
        helpers=helpers_of(parts),
        recalled={n: tuple(dims) for n, dims in recipe.get("coordinates", [])},
        place_print=recipe["fingerprint"].partition("-")[2],
        landmarks=landmarks_read(recipe),
        variable=recipe.get("variable"),
        names=recipe.get("names") or {},
        closed=recipe.get("closed"),
    )


def _domain(
    coords: dict[Hashable, xr.Variable],
    sizes: dict[Hashable, int],
    orders: dict[Hashable, tuple[Hashable, ...]],
    mapping: GridMapping | None,
) -> Lattice:
    """Give the lattice that patches were cut from, as far as it was written."""
    template, names = xr.Dataset(coords=coords), {}
    if mapping is not None:
        template = template.assign_coords({mapping.name: xr.Variable((), 0, mapping.attrs)})
        names = dict.fromkeys((None, *orders), mapping.name)
    args: Any = (template, sizes, orders, {}, crs_of(mapping), names, mapping)
    return lattice_of(GridDomain(*args), *args)


def helpers_of(parts: list[dict[str, Any]]) -> dict[str, Hashable]:
    """Give the names of the coordinates that only serve files."""
    found: dict[str, Hashable] = {}
    for part in parts:
        if "members" not in part:
            starts = zip(part["dims"], part["at"] or (), strict=False)
            found |= {start_name(d): n for d, n in starts}
        elif part["numbers"] is None:
            found |= {f"{ANCHOR}{end}": f"{part['at']}{end}" for end in ("", "_x", "_y")}
    return found


def _dates_like(values: NDArray[Any], coord: xr.DataArray) -> NDArray[Any] | None:
    """Give dates of cftime as a coordinate was decoded: standard calendars become datetime64."""
    if coord.dtype.kind == "M":
        unit: Any = np.datetime_data(coord.dtype)[0]
        return np.asarray(xr.CFTimeIndex(values).to_datetimeindex(unsafe=True, time_unit=unit))
    return values if coord.dtype == object else None


def _decoded(recipe: Mapping[str, Any], hood: Neighborhood) -> tuple[Any, Any]:
    """Read the analysis window and the aggregation."""
    if recipe.get("spatial") is None or "window" in recipe:
        return decode_as(recipe.get("window"), Window), _aggregation(recipe.get("aggregation"))
    space, time = recipe["spatial"], recipe.get("temporal") or {}
    windows = decode_as(space.get("window"), Window), decode_as(time.get("window"), Window)
    timed = hood.time_dims
    by_dim = {d: windows[d in timed] for d in hood.dims}
    found = _aggregation(space.get("aggregation")), _aggregation(time.get("aggregation"))
    window = None if windows == (None, None) else ByDim.of(by_dim)
    return window, found[0] or found[1]


def _aggregation(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(decode_as(v, Aggregation) for v in value)
    return decode_as(value, Aggregation)


def _read_hood(
    obj: Any, dim: Hashable, parts: list[dict[str, Any]]
) -> tuple[Neighborhood, Places | None]:
    """Rebuild the neighborhoods, and where lists in space are anchored."""
    found: list[Part] = []
    places = None
    for part in parts:
        if "members" in part:
            hood, where = _read_members(obj, dim, part)
            places = where if where is not None else places
            found.append(hood)
        else:
            boxes = _read_boxes(obj, dim, part)
            if len(parts) == 1:
                return boxes, None
            found += boxes.parts
    found.sort(key=lambda part: part.timed)
    if len(found) == 1:
        return Neighborhood(tuple(found)), places
    return Neighborhood(tuple(found), (np.arange(parts[0]["count"]),) * len(found)), places


def _read_boxes(obj: Any, dim: Hashable, recipe: Mapping[str, Any]) -> Neighborhood:
    dims = tuple(recipe["dims"])
    axes, product = _read_starts(obj, dim, recipe)
    check_starts(axes, recipe["sizes"], recipe["shape"], recipe["wrap"])
    pad = {"pad_mode": recipe["pad_mode"], "pad_value": recipe["pad_value"]}
    lattice = (recipe["sizes"], recipe["shape"], axes, product, recipe["wrap"])
    boxes = Neighborhood.boxes(dims, *lattice, **pad)
    each = zip(boxes.slices, recipe["anchor"], _read_filled(recipe), strict=True)
    return boxes.with_parts(dataclasses.replace(p, anchor=at, filled=c) for p, at, c in each)


def _read_filled(recipe: Mapping[str, Any]) -> list[NDArray[Any] | None]:
    """Give how many slots of each box have a cell, along each dimension; None: all."""
    found: list[NDArray[Any] | None] = []
    for size, packed in zip(recipe["sizes"], recipe.get("filled", recipe["sizes"]), strict=True):
        cells = unpack(packed) if isinstance(packed, dict) else None
        if cells is not None:
            check_filled(cells, size)
        found.append(None if cells is None or bool((cells == size).all()) else cells)
    return found


def _read_members(
    obj: xr.DataArray | xr.Dataset, dim: Hashable, recipe: Mapping[str, Any]
) -> tuple[Members, Places | None]:
    """Rebuild the lists from the member numbers; their distances are not known.

    Those of time have steps for anchors, those of space places.

    Raises
    ------
    ValueError
        If the numbers or the anchors are lost, or are not those of this split.
    """
    slot, count = recipe["members"], recipe["count"]
    number, timed = recipe["numbers"] or slot, recipe["numbers"] is not None
    for name in (number, recipe["at"]):
        if name not in obj.coords:
            raise ValueError(
                f"these patches lost the coordinate {name!r}, which says which elements they hold; "
                "keep it when patches are written, or rebuilt from single patches. Of a Dataset with it merge "
                "all variables, ds.patch.merge(): one that is taken out loses it. A value for "
                "each patch is merged by those of the split, field.patch.split(…).mean(…).copy(data=values)"
            )
    labels = np.asarray(obj.coords[dim].values, dtype=np.int64).ravel()
    check_ordinals(labels, count)
    check_listed(count, len(labels))
    given = obj.coords[number]
    if given.dims not in ((dim, slot), (slot, dim), (slot,)):
        raise ValueError(
            f"the member numbers {number!r} lie along {list(given.dims)}, not along {[dim, slot]}"
        )
    table = given.transpose(..., slot).values.reshape(-1, given.sizes[slot])
    table = _as_numbers(table, number)
    if len(table) != len(labels):
        table = np.broadcast_to(table, (len(labels), table.shape[1]))
    if table.max(initial=-1) >= math.prod(recipe["shape"]):
        raise ValueError(
            f"the member numbers along {slot!r} are larger than the {recipe['shape']} elements of the "
            "field that was split; were patches of different splits put together?"
        )
    kept, first = np.unique(labels, return_index=True)
    table = table[first]
    dims, shape = tuple(recipe["dims"]), tuple(recipe["shape"])
    members = Members.from_table(dims, shape, slot, table, recipe["numbers"]).spread(kept, count)
    # the slots that there are: the longest patch may not be among those that are left
    members = dataclasses.replace(members, width=max(members.width, table.shape[1]))

    def column(name: str, empty: Any) -> NDArray[Any]:
        out = np.full(count, empty)
        if name in obj.coords:
            values = np.ravel(obj.coords[name].values)
            values = _as_numbers(values, name) if isinstance(empty, int) else values
            out[kept] = np.broadcast_to(values, len(labels))[first]
        return out

    if timed:
        steps = column(recipe["at"], -1).astype(np.int64)
        _check_within(steps, recipe["shape"], recipe["at"])
        members = dataclasses.replace(members, halves=recipe.get("halves"))
        if recipe.get("runs"):
            lead = dataclasses.replace(members, anchors=steps).leads.astype(float)
            cells = np.repeat(members.counts, members.counts)
            within = (2 * members.slots + 1 - cells) / cells
            members = dataclasses.replace(members, distances=lead, positions=within)
        return dataclasses.replace(members, anchors=steps), None
    at = recipe["at"]
    elements = column(at, -1).astype(np.int64)
    _check_within(elements, recipe["shape"], at)
    return members, Places(elements, column(f"{at}_x", np.nan), column(f"{at}_y", np.nan))


def _as_numbers(values: NDArray[Any], name: Hashable) -> NDArray[np.int64]:
    """Give numbers that a file may have made float; -1 where they are missing.

    Raises
    ------
    ValueError
        If they are no whole numbers.
    """
    kept = np.where(values == values, values, -1) if values.dtype.kind == "f" else values
    if kept.dtype.kind not in "iuf" or (kept.dtype.kind == "f" and (kept != np.rint(kept)).any()):
        raise ValueError(
            f"{name!r} holds no whole numbers, which it has to: averages over patches are no patches"
        )
    return kept.astype(np.int64)


def _check_within(numbers: NDArray[Any], shape: Any, name: Hashable) -> None:
    if numbers.max(initial=-1) >= math.prod(shape):
        raise ValueError(f"{name!r} has numbers beyond the {shape} elements of the field")


def check_ordinals(ordinals: NDArray[Any], count: int) -> None:
    """Raise a ValueError unless patch labels are those of ``count`` patches."""
    if len(ordinals) and (ordinals.min() < 0 or ordinals.max() >= count):
        raise ValueError(
            f"patch labels run from {ordinals.min()} to {ordinals.max()}, but the split made "
            f"{count} patches: the patch coordinate was overwritten; do not renumber patches"
        )


def _read_starts(
    obj: xr.DataArray | xr.Dataset, dim: Hashable, recipe: Mapping[str, Any]
) -> tuple[tuple[NDArray[Any], ...], bool]:
    if recipe["starts"] is not None:
        starts = [unpack(p) for p in recipe["starts"]]
        return tuple(s for s in starts if s is not None), True
    names = recipe["at"]
    missing = [n for n in names if n not in obj.coords]
    if missing:
        raise ValueError(
            f"these patches lost the coordinate {missing[0]!r}, which holds where they were cut; "
            "keep it when patches are written, or rebuilt from single patches"
        )
    labels = np.asarray(obj.coords[dim].values, dtype=np.int64).ravel()
    check_ordinals(labels, recipe["count"])
    check_listed(recipe["count"], len(labels))
    columns = []
    for name in names:
        if obj.coords[name].size not in (1, len(labels)):
            raise ValueError(f"{name!r} has not one value for each patch")
        column = np.zeros(recipe["count"], np.int64)
        column[labels] = _as_numbers(np.ravel(obj.coords[name].values), name)
        columns.append(column)
    return tuple(columns), False
