"""How far the slots of all patches are from their anchor, where they are equally far in each: dx and dy."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import Coordinates, DataArray, Variable

from xpatch.domain import Lattice
from xpatch.domain.places import axis_role
from xpatch.geometry import MemberGeometry
from xpatch.neighborhood import Neighborhood, Slices
from xpatch.patches.labels import tolerance

__all__ = ["is_offset", "on_maps", "slots_around", "slots_of", "with_slots"]

NAMES = {"Y": "dy", "X": "dx"}
MAP = ("dy", "dx")
FROM = " from the anchor"


def slots_around(
    domain: Lattice, hood: Neighborhood, patcher: Any, centered: bool, taken: Collection[Hashable]
) -> dict[Hashable, Variable]:
    """Give dy and dx of the slots, which composites keep; names that the field has are left to it.

    Of lists as their geometry says; of boxes whose anchors are their middle along each horizontal
    dimension with labels that are evenly spaced, relative to the middle cell.
    """
    found: dict[Hashable, Variable] = {}
    geometry = getattr(patcher, "spatial", patcher).geometry
    if isinstance(geometry, MemberGeometry):
        (part, *_) = (p for p in hood.lists if not p.timed)
        said = geometry.slot_offsets(domain)
        found = {n: Variable((part.dim,), values, attrs) for n, (values, attrs) in said.items()}
    elif centered:
        along = {NAMES[r]: _along(domain, p) for r, p in _horizontal(domain, hood).items()}
        found = {n: v for n, v in along.items() if v is not None}
    return {n: v for n, v in found.items() if n not in taken}


def slots_of(plan: Any, dim: Hashable, ordinals: NDArray[Any]) -> dict[Hashable, Variable]:
    """Give dy and dx of some patches; of boxes in km, whose middle is not in the same slot in all, (patch, slot)."""
    out: dict[Hashable, Variable] = {}
    for name, variable in plan.around.items():
        if variable.dims:
            out[name] = variable
            continue
        (part,) = (p for p in plan.hood.slices if p.dim == variable.attrs["dim"])
        entries = plan.hood.of_part(part, ordinals)
        slots = np.arange(part.size) - part.counts[entries, None] // 2
        offsets = np.where(part.empty(entries), np.nan, slots * float(variable) + 0.0)
        attrs = {n: v for n, v in variable.attrs.items() if n != "dim"}
        out[name] = Variable((dim, part.dim), offsets, attrs)
    return out


def is_offset(coord: Any) -> bool:
    """Whether a coordinate says how far the slots of each patch are from its anchor."""
    return coord.attrs.get("long_name") in [f"{d}{FROM}" for d in coord.dims]


def with_slots(patches: Any, source: Any) -> Any:
    """Give patches whose slots were unstacked to maps, (patch, dy, dx), their list of slots back.

    Merge would take maps for patches that have one value each.
    """
    for part in (p for plan in source.plans for p in plan.lists if not p.timed):
        sizes = [patches.sizes.get(d, 0) for d in MAP]
        own = part.dim not in patches.dims and not {*MAP} & {*source.plans[0].domain.sizes}
        if own and int(np.prod(sizes)) == part.width:
            labeled = [d for d in MAP if d in patches.coords]  # of which some may have been turned
            return patches.sortby(labeled).stack({part.dim: MAP})
    return patches


def on_maps(said: DataArray, patches: Any) -> DataArray:
    """Give what is said of slots the maps, (patch, dy, dx), that those of patches were unstacked to."""
    count = int(np.prod([patches.sizes.get(d, 0) for d in MAP]))
    slots = [d for d in said.dims if d not in patches.dims and said.sizes[d] == count]
    if len(slots) != 1:
        return said
    labels = {d: np.sort(patches[d].values) for d in MAP}
    index = pd.MultiIndex.from_product(labels.values(), names=MAP)
    bare = said.drop_vars([n for n, c in said.coords.items() if slots[0] in c.dims])
    maps = bare.assign_coords(Coordinates.from_pandas_multiindex(index, slots[0]))
    maps = maps.unstack([slots[0]]).sel({d: patches[d].values for d in MAP})
    return maps.transpose(*(d for d in patches.dims if d in maps.dims), ...)


def _horizontal(domain: Lattice, hood: Neighborhood) -> Mapping[str, Slices]:
    """Give the boxes along the only dimensions of x and of y."""
    roles = [(axis_role(domain.roles, p.dim), p) for p in hood.slices if not p.timed]
    kinds = [role for role, _ in roles]
    return {role: p for role, p in roles if role in NAMES and kinds.count(role) == 1}


def _along(domain: Lattice, part: Slices) -> Variable | None:
    """Give labels relative to that of the middle cell; None where they are not evenly spaced."""
    values = domain.coordinate(part.dim)
    uneven = values is None or part.coarse is not None
    step = None if uneven else even_step(domain, part.dim)
    if step is None:
        return None
    attrs = {"long_name": f"{part.dim}{FROM}", **_units(domain, part.dim)}
    if part.ragged:  # the step alone: what `slots_of` makes of it is as large as the labels
        return Variable((), step, {**attrs, "dim": part.dim})
    offsets = np.arange(part.size) - part.size // 2
    return Variable((part.dim,), offsets * step + 0.0, attrs)  # no −0.0


def _units(domain: Lattice, dim: Hashable) -> dict[str, Any]:
    """Give the units that labels say they have, or their CRS: of differences, degrees of no direction."""
    coords = domain.template.coords
    said = coords[dim].attrs.get("units") if dim in coords else None
    if domain.geographic or str(said).lower().startswith("degree"):
        return {"units": "degrees"}
    if said is None and domain.crs is not None:
        said = domain.crs.axis_info[0].unit_name
        said = {"metre": "m"}.get(said, said)
    return {} if said is None else {"units": said}


def even_step(domain: Lattice, dim: Hashable) -> float | None:
    """Give the step between labels, with its sign; None if there is no one step."""
    values = domain.coordinate(dim)
    if values is None or values.dtype.kind not in "iuf" or len(values) < 2:
        return None
    if not np.isfinite(values).all():
        return None
    labels: NDArray[np.float64] = values.astype(float)
    step = (labels[-1] - labels[0]) / (len(labels) - 1)
    off = np.abs(labels - (labels[0] + np.arange(len(labels)) * step)).max()
    most = max(tolerance(domain, dim), 1e-9 * np.abs(labels).max())
    if not step or not off <= most:
        return None
    digits = 7 if values.dtype.itemsize <= 4 else 15  # 0.1, of which float32 makes 0.0999994
    short = float(f"{step:.{digits}g}")
    return short if abs(short - step) * len(labels) <= most else float(step)
