"""The recipe: a plan as one JSON attribute, so that patches read back from a file still merge."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from xarray import Dataset

from xpatch.domain import Lattice, dates
from xpatch.domain import places as pl
from xpatch.domain.dates import zone_of
from xpatch.engine.distinct import distinct
from xpatch.neighborhood import Members, Neighborhood
from xpatch.patches.landmarks import Landmarks, landmarks_of
from xpatch.patches.mapping import mapping_written
from xpatch.patches.names import unusual_names
from xpatch.patches.plan import Plan, start_name
from xpatch.spec import encode

RECIPE = "xpatch_recipe"  # the attribute
VERSION = 3
SPEC = ("class", "geometry", "sampler", "window", "aggregation", "spatial", "temporal", "coupling")
ANCHOR = "anchor_element"  # coordinate with the element that a list of members is anchored at
HUGE = 2**62  # integers from which on a ramp may leave int64
MOST_TEXT = 4096  # labels that are text and are written

_written: WeakKeyDictionary[Plan, str] = WeakKeyDictionary()


def recipe_of(plans: Sequence[Plan], dim: Hashable) -> str:
    """Give the recipe of patches along ``dim``, of one field or of several. Each is written once."""
    texts = []
    for plan in plans:
        if plan not in _written:
            _written[plan] = write_recipe(plan)
        texts.append(_written[plan])
    own = f'{{"dim": {json.dumps(str(dim))}, {texts[0][1:]}'
    return own if len(texts) == 1 else f'{own[:-1]}, "others": [{", ".join(texts[1:])}]}}'


def write_recipe(plan: Plan) -> str:
    """Write ``plan`` as JSON."""
    own = _hoods(plan)
    return json.dumps(
        {
            "version": VERSION,
            "fingerprint": fingerprint(plan, own),
            **own,
            "orders": [[n, list(map(str, dims))] for n, dims in plan.domain.orders.items()],
            "coordinates": [[str(n), list(map(str, dims))] for n, dims in unwritten(plan).items()],
            "given": plan.given,
            "origin": plan.origin or (plan.anchor_id if pl.curved(plan.domain) else None),
            **_without_anchors(plan.spec),
            **_averaged(plan),
            **mapping_written(plan.domain),
            **_renamed(plan),
            **_marked(plan),
            **({} if plan.variable is None else {"variable": plan.variable}),
            **({} if plan.closed is None else {"closed": plan.closed}),
        }
    )


def read_text(text: Any) -> dict[str, Any]:
    """Read a recipe that nobody has checked; empty if it is none, which is said where it is read."""
    try:
        recipe = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return recipe if isinstance(recipe, dict) else {}


def recipes_in(text: Any) -> list[Mapping[str, Any]]:
    """Give the recipes of all fields that one of patches holds, as far as it can be read."""
    recipe = read_text(text)
    others, scenes = recipe.get("others"), recipe.get("scenes")
    found = [recipe, recipe.get("common")]
    found += others if isinstance(others, list) else []
    found += [s.get("recipe") for s in scenes] if isinstance(scenes, list) else []
    return [part for part in found if isinstance(part, Mapping)]


def _hoods(plan: Plan) -> dict[str, Any]:
    boxed, parts = plan.hood.boxed, [_list(plan, m) for m in plan.lists]
    if boxed is not None:
        parts.append(_boxes(plan, boxed))
    return parts[0] if len(parts) == 1 else {"parts": parts}


def unwritten(plan: Plan) -> Mapping[Hashable, tuple[Hashable, ...]]:
    """Give the dimensions, in order, of coordinates along cut dimensions that are not written as labels."""
    if plan.recalled is not None:
        return plan.recalled
    above = plan.domain.above
    coords = {**({} if above is None else above.coords.variables), **plan.domain.template.variables}
    numbered = {m.dim for m in plan.lists}  # whose labels stand beside the numbers of elements
    own = {n: v.dims for n, v in coords.items() if v.dims != (n,) or n in numbered}
    return {n: dims for n, dims in own.items() if set(dims) & set(plan.dims)}


def fingerprint(plan: Plan, own: Mapping[str, Any] | None = None) -> str:
    """Identify the field: its labels and shape along cut dimensions; its CRS and where elements lie."""
    lattice = lattice_print(_hoods(plan) if own is None else own)
    return f"{lattice}-{plan.place_print or _place_print(plan)}"


def lattice_print(recipe: Mapping[str, Any]) -> str:
    """Identify the labels and the shape, which the recipe holds."""
    parts = recipe.get("parts") or [recipe]
    return _digest(json.dumps([[p["shape"], p["labels"]] for p in parts]).encode())


def _place_print(plan: Plan) -> str:
    """Identify the CRS, and the places of elements that are in lists."""
    crs = plan.domain._crs
    if not isinstance(crs, str | Mapping | None):
        crs = getattr(crs, "srs", crs)
    text = crs if isinstance(crs, str | None) else json.dumps(crs, default=str, sort_keys=True)
    found: list[bytes | memoryview] = [str(text).encode()]
    for members in plan.lists:
        if members.numbers is None and members.dims[0] in plan.domain.element_dims:
            sites = plan.domain.sites(members.dims[0])
            found += [np.ascontiguousarray(v, float).data for v in (sites.x, sites.y)]
    return _digest(*found)


def _digest(*found: bytes | memoryview) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in found:
        digest.update(part)
    return digest.hexdigest()


def told_apart(ordinals: NDArray[Any]) -> str:
    """Identify the set of patches that split gave."""
    own = distinct(np.asarray(ordinals, dtype="<i8"))
    return f"{len(own)}-{_digest(own.tobytes())}"


def named_apart(plan: Plan) -> dict[str, Hashable]:
    """Name the coordinates that only serve files by the field: anchors came from other patches."""
    found = [fingerprint(plan).encode(), str(list(plan.inner.values())).encode()]
    boxed = plan.boxed
    arrays: tuple[NDArray[Any], ...] = () if boxed is None else _axes(boxed.boxes)
    places = plan.places
    arrays += () if places is None else (places.elements, places.x, places.y)
    arrays += tuple(m.anchors for m in plan.lists if m.anchors is not None)
    found += [np.ascontiguousarray(a).tobytes() for a in arrays]
    mark = _digest(*found)[:6]
    return {n: f"{n}_{mark}" for n in helper_names(plan)}


def helper_names(plan: Plan) -> list[str]:
    """Give the names that coordinates have which only serve files."""
    return [*map(start_name, plan.dims), ANCHOR, f"{ANCHOR}_x", f"{ANCHOR}_y"]


def _renamed(plan: Plan) -> dict[str, Any]:
    """Say what coordinates are called where the field has names of its own."""
    names = unusual_names(plan.hood, plan.own_names)
    return {"names": names} if names else {}


def _marked(plan: Plan) -> dict[str, Any]:
    """Say where a few elements lie, where labels do not say it of all."""
    marks = plan.landmarks
    if plan.recalled is None and not plan.hood.coarse:
        marks = landmarks_of(plan.domain, plan.hood)
    if marks is None:
        return {}
    values = [[str(n), list(map(str, marks.dims[n])), pack(v)] for n, v in marks.values.items()]
    return {"landmarks": {"elements": pack(marks.elements), "values": values}}


def landmarks_read(recipe: Mapping[str, Any]) -> Landmarks | None:
    """Undo it."""
    found = recipe.get("landmarks")
    if found is None:
        return None
    elements = unpack(found["elements"])
    assert elements is not None  # of which the rules make sure
    values = {n: unpack(packed) for n, _, packed in found["values"]}
    dims = {n: tuple(order) for n, order, _ in found["values"]}
    return Landmarks(elements, {n: v for n, v in values.items() if v is not None}, dims)


def _averaged(plan: Plan) -> dict[str, Any]:
    """Say of how many cells patches hold the mean, and what merge asks for."""
    coarse = {str(d): factor for d, factor in plan.hood.coarse.items()}
    if not coarse:
        return {}
    return {
        "coarse": coarse,
        "window": encode(plan.window),
        "aggregation": encode(plan.aggregation),
    }


def _axes(boxes: Neighborhood) -> tuple[NDArray[Any], ...]:
    """Give the starts along each dimension: of an outer product, or of each box."""
    if boxes.product:
        return tuple(p.starts for p in boxes.slices)
    return tuple(np.ascontiguousarray(c) for c in boxes.starts().T)


def _boxes(plan: Plan, boxes: Neighborhood) -> dict[str, Any]:
    """Say what boxes there are; where these are no outer product, starts stand in coordinates."""
    product, first = boxes.product, boxes.slices[0]
    named = [plan.called(start_name(d)) for d in boxes.dims]
    return {
        "sizes": list(boxes.sizes),
        "wrap": list(boxes.wrap),
        "anchor": list(boxes.anchors),
        "pad_mode": first.pad_mode,
        "pad_value": first.pad_value,
        "starts": [pack(a) for a in _axes(boxes)] if product else None,
        **({"filled": [pack(c) for c in boxes.cells().T]} if boxes.ragged else {}),
        "at": None if product and plan.domain.above is None else [*map(str, named)],
        **_lattice(plan, boxes, True),
    }


def _list(plan: Plan, part: Members) -> dict[str, Any]:
    """Say what lists there are; their members stand in their numbers."""
    labeled = not plan.domain.element_dims or part.timed
    name = "step" if part.timed else ANCHOR
    numbers = None if part.numbers is None else str(part.numbers)
    own: dict[str, Any] = {
        "members": str(part.dim),
        "numbers": numbers,
        "at": str(plan.called(name)),
    }
    if part.is_part is not None:
        own |= {"runs": not part.is_part, "halves": part.halves_at(plan.first_future)}
    elif part.positions is not None:  # runs that were read back
        cells = np.repeat(part.counts, part.counts)
        own["runs"] = np.array_equal(part.positions, (2 * part.slots + 1 - cells) / cells)
        own["halves"] = part.halves
    elif part.halves is not None:
        own |= {"runs": False, "halves": part.halves}
    return {**own, **_lattice(plan, part, labeled)}


def _lattice(plan: Plan, part: Members | Neighborhood, labeled: bool) -> dict[str, Any]:
    """Say along what dimensions of the field neighborhoods are."""
    return {
        "count": len(plan),
        "dims": list(map(str, part.dims)),
        "shape": list(part.shape),
        "labels": [_labels(plan.domain, d) if labeled else None for d in part.dims],
    }


def _without_anchors(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Anchors stand in a coordinate; in the attribute they would be too long."""
    out = {}
    for name, value in spec.items():
        if name in ("spatial", "temporal") and value is not None:
            value = _without_anchors(value)
        elif name == "sampler" and "anchors" in (value or {}):
            value = {"class": value["class"], "anchors": None}
        elif name == "sampler" and isinstance((value or {}).get("sampler"), Mapping):
            value = {**value, **_without_anchors({"sampler": value["sampler"]})}  # one in another
        out[name] = value
    return out


def _labels(domain: Lattice, dim: Hashable) -> Any:
    values = None if dim in domain.made_labels else domain.coordinate(dim)
    if values is None:
        return None
    zone = zone_of(domain.template.coords[dim].variable)
    packed = pack(values, domain.counted.get(dim))
    return packed if zone is None else {**packed, "zone": zone}


def pack(values: NDArray[Any], counted: NDArray[np.int64] | None = None) -> Any:
    """Pack a vector: (start, step, n) where that is bit-exact, else its values, compressed.

    Dates of cftime are counted in microseconds, if they are not yet. Long text and other objects
    cannot be packed and become ``{"n": length}``.
    """
    n = len(values)
    if n and hasattr(values.flat[0], "calendar"):
        return {
            "calendar": values.flat[0].calendar,
            **pack(dates.counted(values, values.flat[0].calendar) if counted is None else counted),
        }
    head = {"dtype": values.dtype.str, "n": n}
    if values.dtype == object and n <= MOST_TEXT and all(isinstance(v, str) for v in values):
        values = values.astype(str)
        head = {"dtype": values.dtype.str, "n": n, "object": True}
    if values.dtype.kind not in "iufmMbU" or (values.dtype.kind == "U" and n > MOST_TEXT):
        return {"n": n}
    whole = values.view("i8") if values.dtype.kind in "mM" else values
    huge = whole.dtype.kind in "iu" and n and max(map(abs, whole[[0, -1]].tolist())) >= HUGE
    if n and whole.dtype.kind in "iuf" and not huge:
        start, stop = whole[0].item(), whole[-1].item()
        float_ = whole.dtype.kind == "f"  # in its precision; unsigned integers cannot go down
        steps = [
            0 if n < 2 else (whole[1] - whole[0]).item() if float_ else whole[1].item() - start
        ]
        if n > 1 and whole.dtype.kind == "f":
            steps.append((stop - start) / (n - 1))
        for step in steps:
            ramp = {"start": start, "step": step, "stop": stop}
            if np.array_equal(_ramp(ramp, n, whole.dtype), whole):
                return {**head, **ramp}
    data = zlib.compress(np.ascontiguousarray(values).tobytes())
    return {**head, "zlib": base64.b64encode(data).decode()}


def _ramp(ramp: Mapping[str, Any], n: int, dtype: np.dtype) -> NDArray[Any]:
    out: NDArray[Any] = (ramp["start"] + ramp["step"] * np.arange(n)).astype(dtype)
    out[-1:] = ramp["stop"]  # which `numpy.linspace` sets as well
    return out


def unpack(packed: Mapping[str, Any]) -> NDArray[Any] | None:
    """Undo `pack`; None if the values were not written."""
    if "dtype" not in packed:
        return None
    if "calendar" in packed:
        ticks = unpack({k: v for k, v in packed.items() if k != "calendar"})
        return None if ticks is None else dates.dated(ticks, packed["calendar"])
    dtype = np.dtype(packed["dtype"])
    if "zlib" in packed:
        values = np.frombuffer(_inflated(packed["zlib"], packed["n"] * dtype.itemsize), dtype)
        return values.astype(object if packed.get("object") else dtype)
    whole = np.dtype("i8") if dtype.kind in "mM" else dtype
    ramp: NDArray[Any] = _ramp(packed, packed["n"], whole).view(dtype)
    return ramp


def _inflated(text: str, size: int) -> bytes:
    """Decompress what must have some bytes, and no more of it.

    Raises
    ------
    ValueError
        If it is damaged, or has another size.
    """
    data = zlib.decompressobj()
    try:
        out = data.decompress(base64.b64decode(text, validate=True), size + 1)
    except (zlib.error, ValueError) as error:
        raise ValueError(f"compressed numbers are damaged ({error})") from None
    if len(out) != size or not data.eof:
        raise ValueError(f"compressed numbers do not have the {size} bytes that they should have")
    return out


def without_recipes(ds: Dataset) -> Dataset:
    """Drop recipes from data variables: what is computed with the numbers of patches has their attributes."""
    found = {n: v.variable.copy(deep=False) for n, v in ds.data_vars.items() if RECIPE in v.attrs}
    for variable in found.values():
        variable.attrs = {n: value for n, value in variable.attrs.items() if n != RECIPE}
    return ds.assign(found) if found else ds
