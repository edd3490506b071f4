"""Patches of one of several scenes, as if they had been split alone."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex

from xpatch.patches.encoding import read_text
from xpatch.patches.index import RECIPE, PatchIndex, patch_index, splits_of, with_index

__all__ = ["CRS_ATTRS", "alone", "scene_rows", "scenes_written"]

CRS_ATTRS = {"long_name": "coordinate reference system of the field that the patch is from"}


def alone(obj: Any) -> Any:
    """Give the patches of one scene as if they had been split alone; others as they are.

    Raises
    ------
    ValueError
        If they are of several scenes.
    """
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        return obj
    index = patch_index(obj)
    if index is not None:
        return obj if not index.scenes else _indexed(obj, index)
    found = scenes_written(obj)
    return obj if found is None else _read(obj, *found)


def _indexed(obj: Any, index: PatchIndex) -> Any:
    scene = index.scene
    if scene is None:
        labels = np.asarray(index._index.index)
        names = [s.name for s in index.scenes if ((labels >= s.first) & (labels < s.stop)).any()]
        raise ValueError(several(names, index.dim))
    out = _as_split(obj, index.dim, scene.shared, scene.grids)
    lists = {m.dim: m.width for p in scene.plans for m in p.lists}
    slots = {d: slice(0, n) for d, n in lists.items() if out.sizes.get(d, 0) > n}
    out = out.isel(slots) if slots else out
    ordinals = PandasIndex(index.ordinals, index.dim)
    return with_index(out, PatchIndex(ordinals, scene.plans, scene.crop))


def scenes_written(obj: Any) -> tuple[Hashable, dict[str, Any]] | None:
    """Give the patch coordinate of what `xpatch.concat` put together, and the recipes of its scenes."""
    last = splits_of(obj)[-1:]
    for name, coord in obj.coords.items():
        if last and name not in last:  # patches of which these are patches
            continue
        recipe = read_text(coord.attrs.get(RECIPE)) if coord.ndim <= 1 else {}
        if isinstance(recipe.get("scenes"), list):
            return name, recipe
    return None


def _read(obj: Any, dim: Hashable, recipe: Mapping[str, Any]) -> Any:
    coord = obj.coords[dim].variable
    labels = np.asarray(coord.values, dtype=np.int64)
    here = [s for s in recipe["scenes"] if ((labels >= s["first"]) & (labels < s["stop"])).any()]
    if len(here) > 1:
        raise ValueError(several([s["name"] for s in here], dim))
    if not here:
        raise ValueError(
            f"none of the patch labels {labels.ravel()[:3].tolist()} … belongs to one of the "
            f"{len(recipe['scenes'])} scenes: the patch coordinate was overwritten; do not renumber patches"
        )
    scene = here[0]
    text = json.dumps({**recipe["common"], **scene["recipe"]})
    attrs = {**coord.attrs, RECIPE: text}
    out = _as_split(obj, dim, scene.get("shared", ()), scene.get("grids", {}))
    own = Variable(coord.dims, labels - scene["first"], attrs)
    return out.drop_indexes(dim, errors="ignore").assign_coords({dim: own})


def scene_rows(obj: Any) -> tuple[Hashable, list[tuple[Any, NDArray[Any]]]] | None:
    """Give which rows are of which scene; None of patches that were split alone."""
    index = patch_index(obj)
    if index is not None:
        dim: Hashable = index.dim
        spans = [(s.name, s.first, s.stop) for s in index.scenes]
    else:
        found = scenes_written(obj)
        if found is None:
            return None
        dim = found[0]
        spans = [(s["name"], s["first"], s["stop"]) for s in found[1]["scenes"]]
    labels = np.asarray(obj.coords[dim].values)
    if not spans or not labels.ndim:
        return None
    rows = [(name, np.flatnonzero((labels >= a) & (labels < b))) for name, a, b in spans]
    return dim, [(name, which) for name, which in rows if len(which)]


def _as_split(
    obj: Any, dim: Hashable, shared: Iterable[Hashable], grids: Mapping[Hashable, Any]
) -> Any:
    """Leave out what tells scenes apart, and let what was the same for all patches be so again.

    Cell ids say again which grid they are of.
    """
    told = ["scene"]
    if "crs" in obj.coords and obj.coords["crs"].attrs == CRS_ATTRS:
        told.append("crs")
    out = obj.drop_vars(told, errors="ignore")
    coords = {n: out.coords[n].variable for n in shared if n in out.coords}
    some = {n: v.isel({dim: 0}) for n, v in coords.items() if dim in v.dims and v.sizes[dim]}
    for n in {*grids} & {*out.coords}:
        ids = out.coords[n].variable
        own = {k: ids.dtype.type(v) if k == "nodata" else v for k, v in grids[n].items()}
        some[n] = ids._replace(attrs={**ids.attrs, **own})
    return out.assign_coords(some) if some else out


def several(names: list[Any], dim: Hashable) -> str:
    """Say that patches of several scenes make no field."""
    shown = ", ".join(map(repr, names[:4])) + (" …" if len(names) > 4 else "")
    return (
        f"these are patches of {len(names)} different scenes ({shown}), which make no one field; take them "
        f"scene by scene: {{name: p.patch.merge() for name, p in patches.groupby('scene')}}, or "
        f"patches.isel({dim}=(patches['scene'] == {names[0]!r}))"
    )
