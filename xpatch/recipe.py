"""The recipe: a plan as one JSON attribute, so that patches read back from a file still merge."""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import GridDomain, Lattice, dates
from xpatch.domain.dates import zone_of
from xpatch.geometry import Places
from xpatch.index import RECIPE
from xpatch.joint import Hood, Joint, in_time, time_dims, time_part
from xpatch.naming import unusual_names, usual_names
from xpatch.neighborhood import Boxes, Members
from xpatch.plan import Plan
from xpatch.runs import Runs
from xpatch.spec import decode, encode
from xpatch.window import ByDim

VERSION = 1
SPEC = ("geometry", "sampler", "window", "aggregation", "spatial", "temporal", "coupling")
ANCHOR = "anchor_element"  # coordinate with the element that a list of members is anchored at


def start_name(dim: Hashable) -> str:
    """Name of the coordinate that holds the starts of anchors that are not an outer product."""
    return f"start_{dim}"


def write_recipe(plan: Plan, orders: Mapping[Hashable | None, tuple]) -> str:
    """Write ``plan`` as JSON."""
    if isinstance(plan.hood, Joint):
        boxed = plan.hood.boxed
        parts: list[Boxes | Members] = [*plan.hood.lists]
        if boxed is not None:
            parts.append(boxed)
        own: dict[str, Any] = {"parts": [_hood(plan, p) for p in parts]}
    else:
        own = _hood(plan, plan.hood)
    return json.dumps(
        {
            "version": VERSION,
            **own,
            "orders": [[n, list(map(str, dims))] for n, dims in orders.items()],
            "origin": plan.origin,
            **_without_anchors(plan.spec),
            **_averaged(plan),
            **_renamed(plan),
        }
    )


def _renamed(plan: Plan) -> dict[str, Any]:
    """Say what coordinates are called where the field has names of its own."""
    names = unusual_names(plan.hood, plan.own_names)
    return {"names": names} if names else {}


def _averaged(plan: Plan) -> dict[str, Any]:
    """Say of how many cells patches hold the mean, and what merge asks for."""
    if plan.coarse is None:
        return {}
    coarse = {str(d): factor for d, factor in plan.coarse.items()}
    return {
        "coarse": coarse,
        "window": encode(plan.window),
        "aggregation": encode(plan.aggregation),
    }


def _hood(plan: Plan, hood: Boxes | Members) -> dict[str, Any]:
    """Say what neighborhoods there are; the members of lists stand in their numbers."""
    domain = plan.domain
    own: dict[str, Any]
    if isinstance(hood, Members):
        labeled = not domain.element_dims or hood.numbers is not None
        numbers = None if hood.numbers is None else str(hood.numbers)
        own = {"members": str(hood.dim), "numbers": numbers}
        if isinstance(hood, Runs):
            own["runs"] = not hood.is_part
            own["halves"] = hood.halves_at(plan.first_future)
    else:
        labeled = True
        own = {
            "sizes": list(hood.sizes),
            "wrap": list(hood.wrap),
            "anchor": list(hood.anchors),
            "pad_mode": hood.pad_mode,
            "pad_value": hood.pad_value,
            "starts": [pack(a) for a in hood.axes] if hood.product else None,
        }
    return {
        **own,
        "count": len(plan),
        "dims": list(map(str, hood.dims)),
        "shape": list(hood.shape),
        "labels": [_labels(domain, d) if labeled else None for d in hood.dims],
    }


def _without_anchors(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Anchors stand in a coordinate; in the attribute they would be too long."""
    out = {}
    for name, value in spec.items():
        if name in ("spatial", "temporal"):
            value = _without_anchors(value)
        elif name == "sampler" and (value or {}).get("class") == "Explicit":
            value = {"class": "Explicit"}
        out[name] = value
    return out


def _labels(domain: Lattice, dim: Hashable) -> Any:
    values = domain.coordinate(dim)
    if values is None:
        return None
    zone = zone_of(domain.template.coords[dim].variable)
    packed = pack(values, domain.counted.get(dim))
    return packed if zone is None else {**packed, "zone": zone}


def pack(values: NDArray, counted: NDArray[np.int64] | None = None) -> Any:
    """Pack a vector: (start, step, n) where that is bit-exact, else its values, compressed.

    Dates of cftime are counted in microseconds, if they are not yet. Text cannot be packed and
    becomes ``{"n": length}``.
    """
    n = len(values)
    if n and hasattr(values.flat[0], "calendar"):
        return {
            "calendar": values.flat[0].calendar,
            **pack(dates.counted(values, values.flat[0].calendar) if counted is None else counted),
        }
    if values.dtype.kind not in "iufmMb":
        return {"n": n}
    head = {"dtype": values.dtype.str, "n": n}
    whole = values.view("i8") if values.dtype.kind in "mM" else values
    if n and whole.dtype.kind in "iuf":
        start, stop = whole[0].item(), whole[-1].item()
        steps = [(whole[1] - whole[0]).item() if n > 1 else 0]
        if n > 1 and whole.dtype.kind == "f":
            steps.append((stop - start) / (n - 1))
        for step in steps:
            ramp = {"start": start, "step": step, "stop": stop}
            if np.array_equal(_ramp(ramp, n, whole.dtype), whole):
                return {**head, **ramp}
    data = zlib.compress(np.ascontiguousarray(values).tobytes())
    return {**head, "zlib": base64.b64encode(data).decode()}


def _ramp(ramp: Mapping[str, Any], n: int, dtype: np.dtype) -> NDArray:
    out = (ramp["start"] + ramp["step"] * np.arange(n)).astype(dtype)
    out[-1:] = ramp["stop"]  # which `numpy.linspace` sets as well
    return out


def unpack(packed: Mapping[str, Any]) -> NDArray | None:
    """Undo `pack`; None if the values were not written."""
    if "dtype" not in packed:
        return None
    if "calendar" in packed:
        ticks = unpack({k: v for k, v in packed.items() if k != "calendar"})
        return None if ticks is None else dates.dated(ticks, packed["calendar"])
    dtype = np.dtype(packed["dtype"])
    if "zlib" in packed:
        return np.frombuffer(zlib.decompress(base64.b64decode(packed["zlib"])), dtype).copy()
    whole = np.dtype("i8") if dtype.kind in "mM" else dtype
    return _ramp(packed, packed["n"], whole).view(dtype)


def find_recipe(obj: xr.DataArray | xr.Dataset) -> tuple[Hashable, dict[str, Any]] | None:
    """Give the name of the patch coordinate that carries a recipe, and the recipe."""
    for name, coord in obj.coords.items():
        if RECIPE in coord.attrs and coord.ndim <= 1:
            try:
                recipe = json.loads(coord.attrs[RECIPE])
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"the recipe in the attributes of {name!r} is damaged ({error}); merge with "
                    "like=field"
                ) from None
            if recipe.get("version") != VERSION:
                raise ValueError(
                    f"the recipe of these patches has version {recipe.get('version')!r}, this "
                    f"xpatch reads version {VERSION}; merge with like=field"
                )
            return name, recipe
    return None


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
    names = recipe.get("names") or {}
    hood, places = _read_hood(obj, dim, parts, names)
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
    domain = GridDomain(xr.Dataset(coords=coords), sizes, orders)
    try:
        window, aggregation = _decoded(recipe, hood)
    except ValueError as error:
        raise ValueError(
            f"{error}. Functions are not stored with patches: split the field again in the same way "
            "and put the stored values in, field.patch.split(…).copy(data=stored), then merge"
        ) from None
    spec = {k: recipe[k] for k in SPEC if k in recipe}
    origin, coarse = recipe.get("origin"), recipe.get("coarse")
    rest: dict[str, Any] = {"coarse": coarse, "names": names}
    return Plan(domain, hood, window, aggregation, spec, origin, places, **rest)


def _dates_like(values: NDArray, coord: xr.DataArray) -> NDArray | None:
    """Give dates of cftime as a coordinate was decoded: standard calendars become datetime64."""
    if coord.dtype.kind == "M":
        unit: Any = np.datetime_data(coord.dtype)[0]
        return np.asarray(xr.CFTimeIndex(values).to_datetimeindex(unsafe=True, time_unit=unit))
    return values if coord.dtype == object else None


def _decoded(recipe: Mapping[str, Any], hood: Hood) -> tuple[Any, Any]:
    """Read the analysis window and the aggregation."""
    if "spatial" not in recipe or "window" in recipe:
        return decode(recipe.get("window")), decode(recipe.get("aggregation"))
    space, time = recipe["spatial"], recipe["temporal"]
    windows = decode(space.get("window")), decode(time.get("window"))
    timed = time_dims(time_part(hood))
    by_dim = {d: windows[d in timed] for d in hood.dims}
    found = decode(space.get("aggregation")), decode(time.get("aggregation"))
    window = None if windows == (None, None) else ByDim.of(by_dim)
    return window, found[0] or found[1]


def _read_hood(
    obj: Any, dim: Hashable, parts: list[dict[str, Any]], names: Mapping[str, str]
) -> tuple[Hood, Places | None]:
    """Rebuild the neighborhoods, and where lists in space are anchored."""
    found: list[Boxes | Members] = []
    places = None
    for part in parts:
        if "members" in part:
            hood, where = _read_members(obj, dim, part, names)
            places = where if where is not None else places
            found.append(hood)
        else:
            found.append(_read_boxes(obj, dim, part))
    if len(found) == 1 and not (isinstance(found[0], Members) and in_time(found[0])):
        return found[0], places
    found.sort(key=in_time, reverse=True)
    return Joint(tuple(found), (np.arange(parts[0]["count"]),) * len(found)), places


def _read_boxes(obj: Any, dim: Hashable, recipe: Mapping[str, Any]) -> Boxes:
    dims = tuple(recipe["dims"])
    axes, product = _read_starts(obj, dim, dims, recipe)
    return Boxes(
        dims,
        tuple(recipe["sizes"]),
        tuple(recipe["shape"]),
        axes,
        product,
        tuple(recipe["wrap"]),
        recipe["pad_mode"],
        recipe["pad_value"],
        tuple(recipe["anchor"]),
    )


def _read_members(
    obj: xr.DataArray | xr.Dataset,
    dim: Hashable,
    recipe: Mapping[str, Any],
    names: Mapping[str, str],
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
    step = {**usual_names(slot), **names}["step"]
    for name in (number, step if timed else ANCHOR):
        if name not in obj.coords:
            raise ValueError(
                f"these patches lost the coordinate {name!r}, which says which elements they hold; "
                "keep it when patches are written, or rebuilt from single patches. Predictions are "
                "best put into the patches: patches.mean(…).copy(data=predictions)"
            )
    labels = np.asarray(obj.coords[dim].values, dtype=np.int64).ravel()
    if len(labels) and (labels.min() < 0 or labels.max() >= count):
        raise ValueError(
            f"patch labels run from {labels.min()} to {labels.max()}, but the split made {count} "
            "patches: the patch coordinate was overwritten; do not renumber patches"
        )
    given = obj.coords[number]
    table = given.transpose(..., slot).values.reshape(len(labels), given.sizes[slot])
    table = np.where(table == table, table, -1).astype(np.int64)  # files may have made it float
    if table.max(initial=-1) >= np.prod(recipe["shape"], dtype=np.int64):
        raise ValueError(
            f"the member numbers along {slot!r} are larger than the {recipe['shape']} elements of the "
            "field that was split; were patches of different splits put together?"
        )
    kept, first = np.unique(labels, return_index=True)
    table = table[first]
    dims, shape = tuple(recipe["dims"]), tuple(recipe["shape"])
    members = Members.from_table(dims, shape, slot, table, recipe["numbers"]).spread(kept, count)

    def column(name: str, empty: Any) -> NDArray:
        out = np.full(count, empty)
        if name in obj.coords:
            out[kept] = np.ravel(obj.coords[name].values)[first]
        return out

    if timed:
        steps = column(step, -1).astype(np.int64)
        members = dataclasses.replace(members, halves=recipe.get("halves"))
        if recipe.get("runs"):
            lead = dataclasses.replace(members, anchors=steps).leads.astype(float)
            cells = np.repeat(members.counts, members.counts)
            within = (2 * members.slots + 1 - cells) / cells
            members = dataclasses.replace(members, distances=lead, positions=within)
        return dataclasses.replace(members, anchors=steps), None
    elements = column(ANCHOR, -1).astype(np.int64)
    places = Places(elements, column(f"{ANCHOR}_x", np.nan), column(f"{ANCHOR}_y", np.nan))
    return members, places


def _read_starts(
    obj: xr.DataArray | xr.Dataset, dim: Hashable, dims: tuple, recipe: Mapping[str, Any]
) -> tuple[tuple[NDArray, ...], bool]:
    if recipe["starts"] is not None:
        starts = [unpack(p) for p in recipe["starts"]]
        return tuple(s for s in starts if s is not None), True
    names = [start_name(d) for d in dims]
    missing = [n for n in names if n not in obj.coords]
    if missing:
        raise ValueError(
            f"these patches lost the coordinate {missing[0]!r}, which holds where they were cut; "
            "keep it when patches are written, or rebuilt from single patches"
        )
    labels = np.asarray(obj.coords[dim].values, dtype=np.int64).ravel()
    columns = []
    for name in names:
        column = np.zeros(recipe["count"], np.int64)
        column[labels] = np.ravel(obj.coords[name].values)
        columns.append(column)
    return tuple(columns), False
