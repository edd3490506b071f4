"""The recipe: a plan as one JSON attribute, so that patches read back from a file still merge."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import GridDomain, Lattice
from xpatch.geometry import Places
from xpatch.index import RECIPE
from xpatch.neighborhood import Boxes, Members
from xpatch.plan import Plan
from xpatch.spec import decode

VERSION = 1
ANCHOR = "anchor_element"  # coordinate with the element that a list of members is anchored at


def start_name(dim: Hashable) -> str:
    """Name of the coordinate that holds the starts of anchors that are not an outer product."""
    return f"start_{dim}"


def write_recipe(plan: Plan, orders: Mapping[Hashable | None, tuple]) -> str:
    """Write ``plan`` as JSON."""
    if isinstance(plan.hood, Members):
        return json.dumps(_of_members(plan, plan.hood, orders))
    boxes = plan.boxes
    return json.dumps(
        {
            "version": VERSION,
            "dims": list(map(str, boxes.dims)),
            "sizes": list(boxes.sizes),
            "shape": list(boxes.shape),
            "wrap": list(boxes.wrap),
            "anchor": list(boxes.anchors),
            "pad_mode": boxes.pad_mode,
            "starts": [pack(a) for a in boxes.axes] if boxes.product else None,
            "labels": [_labels(plan.domain, d) for d in boxes.dims],
            "orders": [[n, list(map(str, dims))] for n, dims in orders.items()],
            "origin": plan.origin,
            **plan.spec,
            "sampler": _without_anchors(plan.spec.get("sampler")),
        }
    )


def _of_members(
    plan: Plan, members: Members, orders: Mapping[Hashable | None, tuple]
) -> dict[str, Any]:
    """Say which elements there are; which of them each patch holds stands in the member numbers."""
    lattice = not plan.domain.element_dims or members.numbers is not None
    return {
        "version": VERSION,
        "members": str(members.dim),
        "numbers": None if members.numbers is None else str(members.numbers),
        "count": len(members),
        "dims": list(map(str, members.dims)),
        "shape": list(members.shape),
        "labels": [_labels(plan.domain, d) if lattice else None for d in members.dims],
        "orders": [[n, list(map(str, dims))] for n, dims in orders.items()],
        "origin": plan.origin,
        **plan.spec,
        "sampler": _without_anchors(plan.spec.get("sampler")),
    }


def _without_anchors(sampler: Any) -> Any:
    """Anchors stand in a coordinate; in the attribute they would be too long."""
    if isinstance(sampler, Mapping) and sampler.get("class") == "Explicit":
        return {"class": "Explicit"}
    return sampler


def _labels(domain: Lattice, dim: Hashable) -> Any:
    values = domain.coordinate(dim)
    return None if values is None else pack(values)


def pack(values: NDArray) -> Any:
    """Pack a vector: (start, step, n) where that is bit-exact, else its values, compressed.

    Objects (cftime, text) cannot be packed and become ``{"n": length}``.
    """
    n = len(values)
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
    dims = tuple(recipe["dims"])
    shape = dict(zip(dims, recipe["shape"], strict=True))
    hood: Boxes | Members
    if "members" in recipe:
        hood, places = _read_members(obj, dim, recipe)
    else:
        hood, places = _read_boxes(obj, dim, recipe), None
    coords = {}
    for d, packed in zip(dims, recipe["labels"], strict=True):
        values = unpack(packed) if packed is not None else None
        if values is not None:
            attrs = obj.coords[d].attrs if d in obj.coords else {}
            coords[d] = xr.Variable((d,), values, attrs)
    orders = {n: tuple(order) for n, order in recipe["orders"]}
    carried = {d: n for d, n in obj.sizes.items() if d not in dims and d != dim}
    every = dict.fromkeys(d for order in orders.values() for d in order)
    sizes = {d: shape.get(str(d), carried.get(d, 0)) for d in every}
    domain = GridDomain(xr.Dataset(coords=coords), sizes, orders)
    try:
        window, aggregation = decode(recipe.get("window")), decode(recipe.get("aggregation"))
    except ValueError as error:
        raise ValueError(
            f"{error}. Functions are not stored with patches: split the field again in the same way "
            "and put the stored values in, field.patch.split(…).copy(data=stored), then merge"
        ) from None
    spec = {k: recipe.get(k) for k in ("geometry", "sampler", "window", "aggregation")}
    return Plan(domain, hood, window, aggregation, spec, recipe.get("origin"), places)


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
        (recipe.get("geometry") or {}).get("pad_value"),
        tuple(recipe["anchor"]),
    )


def _read_members(
    obj: xr.DataArray | xr.Dataset, dim: Hashable, recipe: Mapping[str, Any]
) -> tuple[Members, Places]:
    """Rebuild the lists from the member numbers; their distances are not known.

    Raises
    ------
    ValueError
        If the numbers or the anchors are lost, or are not those of this split.
    """
    slot, count = recipe["members"], recipe["count"]
    number = recipe["numbers"] or slot
    for name in (number, ANCHOR):
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
    table = given.transpose(..., slot).values.reshape(len(labels), -1)
    table = np.where(table == table, table, -1).astype(np.int64)  # files may have made it float
    if table.max(initial=-1) >= np.prod(recipe["shape"], dtype=np.int64):
        raise ValueError(
            f"the member numbers along {slot!r} are larger than the {recipe['shape']} elements of the "
            "field that was split; were patches of different splits put together?"
        )
    kept, first = np.unique(labels, return_index=True)
    table = table[first]
    there = table >= 0
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    members = Members(
        tuple(recipe["dims"]),
        tuple(recipe["shape"]),
        slot,
        offsets,
        table[there].astype(np.int32),
        None,
        np.zeros(len(kept)),
        table.shape[1],
        recipe["numbers"],
    ).spread(kept, count)

    def column(name: str, empty: Any) -> NDArray:
        out = np.full(count, empty)
        if name in obj.coords:
            out[kept] = np.ravel(obj.coords[name].values)[first]
        return out

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
        column = np.zeros(labels.max(initial=-1) + 1, np.int64)
        column[labels] = np.ravel(obj.coords[name].values)
        columns.append(column)
    return tuple(columns), False
