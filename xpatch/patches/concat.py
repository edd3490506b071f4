"""Patches of several fields: put together by `concat`, and taken apart again."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex

from xpatch.domain.axes import crs_name, crs_names
from xpatch.patches.concat_variables import (
    absent,
    all_equal,
    assembled,
    common_attrs,
    joined,
    own_grids,
    per_patch,
)
from xpatch.patches.encoding import VERSION, recipe_of
from xpatch.patches.index import RECIPE, PatchIndex, as_given, patch_index, splits_of, whole_of
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance, provenance
from xpatch.patches.scene import CRS_ATTRS, alone, scene_rows
from xpatch.patches.united import Scene
from xpatch.spec import is_number

__all__ = ["concat"]


def concat(sets: Sequence[Any], scenes: Sequence[Any] | None = None) -> Any:
    """Put patches of several fields one after the other; see `xpatch.concat`."""
    parts = [part for k, obj in enumerate(_listed(sets)) for part in _parts_of(obj, k)]
    groups = list(range(len(parts))) if scenes is not None else _groups(parts)
    heads = [groups.index(g) for g in range(max(groups) + 1)]  # the first set of each scene
    names = _names(scenes, [parts[k] for k in heads])
    sources = [source for _, source, _ in parts]
    wholes = [whole_of(obj) for obj, _, _ in parts]
    dim = _check_dims(sources)
    _check_kinds([obj for obj, _, _ in parts], wholes)
    widths = _common_sizes(wholes, sources)
    kept = [sources[k] for k in heads]
    firsts = np.cumsum([0, *(len(s.plans[0]) for s in kept)])
    own_crs = _several_crs([s.plans[0].domain for s in sources])
    wholes = [_without_own(w, s, own_crs) for w, s in zip(wholes, sources, strict=True)]
    mappings = {s.plans[0].domain.mapping.name for s in sources if s.plans[0].domain.mapping}
    joined, shared, grids = _joined(wholes, dim, widths, mappings)
    counts = [w.sizes[dim] for w in wholes]
    joined |= {"scene": Variable(dim, np.repeat(_text(names)[groups], counts))}
    if own_crs:
        texts = [_crs_text(s.plans[0]) for s in sources]
        joined |= {"crs": Variable(dim, np.repeat(_text(texts), counts), CRS_ATTRS)}
    each = [
        Scene(name, int(first), s.plans, s.crop, shared, grids[k])
        for name, first, s, k in zip(names, firsts, kept, heads, strict=False)
    ]
    recipes = [_recipe(wholes[k], sources[k]) for k in heads]
    labels = np.concatenate([s.ordinals + firsts[g] for s, g in zip(sources, groups, strict=True)])
    leads = {_leads(s) for s in sources}
    index = PatchIndex(
        PandasIndex(labels, dim), (), {}, leads.pop() if len(leads) == 1 else None, tuple(each)
    )
    attrs = {**wholes[0][dim].attrs, RECIPE: _written(recipes, each)}
    out = assembled(wholes[0], joined, index, Variable(dim, labels, attrs))
    return as_given(out, parts[0][0])


def _listed(sets: Any) -> list[Any]:
    """Check that these are several objects."""
    if isinstance(sets, xr.DataArray | xr.Dataset | xr.DataTree | str) or not hasattr(
        sets, "__iter__"
    ):
        raise TypeError(
            f"concat takes a list of patches, got {type(sets).__name__}: xpatch.concat([a, b])"
        )
    found = list(sets)
    if not found:
        raise ValueError("concat needs at least one set of patches, got none")
    for obj in found:
        if not isinstance(obj, xr.DataArray | xr.Dataset):
            hint = ""
            if isinstance(obj, xr.DataTree):
                hint = "; put each scale together: xpatch.concat([a[scale], b[scale]])"
            elif isinstance(sets, Mapping):
                hint = "; of a mapping: xpatch.concat(list(sets.values()), scenes=list(sets))"
            raise TypeError(
                f"concat takes DataArrays or Datasets of patches, got {type(obj).__name__}{hint}"
            )
    return found


def _parts_of(obj: Any, number: int) -> list[tuple[Any, Provenance, Any]]:
    """Give patches scene by scene, with where they are from, and the names that they have."""
    index, splits = patch_index(obj), splits_of(obj)
    if len(splits) > 1:
        raise ValueError(
            f"set {number} of concat has patches of patches, along {list(splits)}; put the patches together before "
            "they are split again: xpatch.concat([…]).patch.split(…, dim='inner')"
        )
    if index is not None and index.mixed and not index.scenes:
        raise ValueError(
            f"set {number} of concat was put together by xr.concat and does not know where its patches "
            "are from; give the sets that it was made of to xpatch.concat"
        )
    found = []
    for name, part in _taken_apart(obj):
        source = provenance(part)
        if source.dim not in part.dims:
            raise ValueError(
                f"set {number} of concat is a single patch; select it as a set, patches.isel({source.dim}=[k])"
            )
        found.append((part, source, name))
    return found


def _taken_apart(obj: Any) -> list[tuple[Any, Any]]:
    """Give the patches of each scene and its name, which is None of those that were split alone."""
    found = scene_rows(obj)
    if found is None:
        return [(None, alone(obj))]
    dim, each = found
    return [(name, alone(obj.isel({dim: rows}))) for name, rows in each]


def _groups(parts: list[Any]) -> list[int]:
    """Number the scenes that sets are of: parts of one scene that was cut apart are one again.

    Raises
    ------
    ValueError
        If a name is that of several scenes.
    """
    found: list[list[Any]] = []
    groups = []
    for part in parts:
        own = [g for g, one in enumerate(found) if part[2] is not None and _one_scene(one, part)]
        if not own:
            clash = [one for one in found if isinstance(part[2], str) and one[0][2] == part[2]]
            if clash:
                raise ValueError(
                    f"several scenes are called {part[2]!r}: their patches are of different splits, or some "
                    "patch is in both; name them, xpatch.concat([…], scenes=[…]), one name for each scene "
                    "of each set"
                )
            own = [len(found)]
            found.append([])
        found[own[0]].append(part)
        groups.append(own[0])
    return groups


def _one_scene(known: list[Any], part: Any) -> bool:
    """Whether patches are more of a scene: it has the name and the plans, and not yet these patches.

    Names that are numbers are those that concat gave, and say nothing: the plans must be the same ones.
    """
    obj, source, name = part
    first, model, said = known[0]
    if name != said or isinstance(name, str) != isinstance(said, str) or source.crop != model.crop:
        return False
    pairs = list(zip(source.plans, model.plans, strict=False))
    same = [a is b or (isinstance(name, str) and a.equals(b)) for a, b in pairs]
    if len(source.plans) != len(model.plans) or not all(same):
        return False
    if any(np.isin(source.ordinals, other.ordinals).any() for _, other, _ in known):
        return False
    common = [(obj[n].variable, first[n].variable) for n in obj.coords if n in first.coords]
    return all(all_equal([a, b]) for a, b in common if source.dim not in a.dims and a._in_memory)


def _names(scenes: Sequence[Any] | None, parts: list[Any]) -> list[Any]:
    """Give each set a name."""
    if scenes is None:
        named = [name for _, _, name in parts]
        unique = None not in named and len(set(named)) == len(named)
        return named if unique else list(range(len(parts)))
    names = [scenes] if isinstance(scenes, str) else _writable(scenes)
    if len(names) != len(parts):
        raise ValueError(f"scenes gives {len(names)} names for {len(parts)} sets of patches")
    if len(set(names)) != len(names):
        raise ValueError(f"scenes must have a name of its own for each set, got {names!r}")
    if len({isinstance(n, str) for n in names}) > 1:
        raise TypeError(f"scenes must be text, or numbers, not both: {names!r}")
    return names


def _writable(scenes: Sequence[Any]) -> list[Any]:
    """Give names that can be written: text, numbers or dates.

    Raises
    ------
    TypeError
        If they are anything else.
    """
    names = list(np.asarray(scenes)) if isinstance(scenes, xr.DataArray) else list(scenes)
    names = [np.datetime64(n) if isinstance(n, datetime) else n for n in names]
    kinds = int | np.integer | np.str_ | str | np.datetime64
    wrong = [n for n in names if not isinstance(n, kinds) and not (is_number(n) and np.isfinite(n))]
    if wrong or any(isinstance(n, bool) or n != n for n in names):
        raise TypeError(f"scenes must be text, numbers or dates, got {(wrong or names)[0]!r}")
    return names


def _check_dims(sources: list[Provenance]) -> Hashable:
    dims = list(dict.fromkeys(s.dim for s in sources))
    if len(dims) > 1:
        raise ValueError(
            f"the patches lie along different dimensions, {dims}; rename them: "
            f"patches.rename({{{dims[1]!r}: {dims[0]!r}}})"
        )
    return dims[0]


def _check_kinds(objs: list[Any], wholes: list[xr.Dataset]) -> None:
    """Raise unless all are DataArrays, or Datasets with the same variables."""
    if len({isinstance(o, xr.DataArray) for o in objs}) > 1:
        raise TypeError(
            "concat was given DataArrays and Datasets; give one kind: array.to_dataset(name=…)"
        )
    for k, whole in enumerate(wholes[1:], 1):
        other = set(map(str, wholes[0].data_vars)) ^ set(map(str, whole.data_vars))
        if other and isinstance(objs[0], xr.Dataset):
            raise ValueError(
                f"set {k} of concat does not have the variables of set 0: they differ in {sorted(other)}; "
                "select those that all have, patches[[…]]"
            )
    taken = next((w for w in wholes if "scene" in w.variables), None)
    if taken is not None:
        raise ValueError(
            "concat calls the fields that patches are from 'scene', and the patches have a variable of "
            "that name; rename it: patches.rename(scene='scene_id')"
        )


def _common_sizes(wholes: list[xr.Dataset], sources: list[Provenance]) -> dict[Hashable, int]:
    """Give the sizes of all dimensions; lists of members are filled up.

    Raises
    ------
    ValueError
        If others differ.
    """
    slots = {m.dim for s in sources for p in s.plans for m in p.lists}
    sizes: dict[Hashable, int] = {}
    for k, whole in enumerate(wholes):
        for d, n in whole.sizes.items():
            if d in slots:
                sizes[d] = max(n, sizes.get(d, 0))
            elif sizes.setdefault(d, n) != n and d != sources[0].dim:
                raise ValueError(
                    f"set {k} of concat has patches of {n} along {d!r}, and set 0 of {sizes[d]}; split "
                    "all fields with the same sizes, or crop the larger patches: patches.patch.crop"
                    f"({d}=…)"
                )
        missing = set(sizes) ^ set(whole.sizes)
        if missing:
            raise ValueError(
                f"set {k} of concat does not have the dimensions of set 0: they differ in "
                f"{sorted(map(str, missing))}"
            )
    return sizes


def _several_crs(domains: list[Any]) -> bool:
    """Whether one grid mapping does not do for all."""
    some = [d for d in domains if d._crs is not None]
    names = {None if d.mapping is None else d.mapping.name for d in domains}
    return bool(some) and (len(some) < len(domains) or len(names) > 1 or len(crs_names(some)) > 1)


def _without_own(whole: xr.Dataset, source: Provenance, own_crs: bool) -> xr.Dataset:
    """Leave out the grid mapping, where each patch says its CRS itself."""
    mapping = source.plans[0].domain.mapping
    if not own_crs:
        return whole
    name = None if mapping is None else mapping.name
    whole = whole.drop_vars([n for n in (name,) if n in whole.variables])
    if "crs" in whole.variables:
        raise ValueError(
            "these patches lie in several CRSs, which concat says in a coordinate 'crs', and they have a "
            "variable of that name; rename it: patches.rename(crs='crs_name')"
        )
    variables = {}
    for n, v in whole.variables.items():
        encoding = {k: e for k, e in v.encoding.items() if k != "grid_mapping"}
        if len(encoding) < len(v.encoding) or "grid_mapping" in v.attrs:
            attrs = {k: a for k, a in v.attrs.items() if k != "grid_mapping"}
            variables[n] = v._replace(attrs=attrs, encoding=encoding)
    return whole._replace({**whole._variables, **variables}) if variables else whole


def _crs_text(plan: Plan) -> str:
    """Write the CRS of a scene: an authority code, or else WKT."""
    crs = plan.domain.crs
    if crs is None:
        return ""
    return crs_name(crs) if crs.to_authority() else crs.to_wkt()


def _text(values: list[Any]) -> NDArray[Any]:
    found = np.asarray(values)
    return found if found.dtype.kind in "iufUbM" else np.asarray(list(map(str, values)))


def _leads(source: Provenance) -> Any:
    plain = len(source.plans) == 1 and not any(source.crop.values())
    return source.plans[0].leads if plain else None


# ------------------------------------------------------------------------------ variables


def _joined(
    wholes: list[xr.Dataset], dim: Hashable, sizes: dict[Hashable, int], mappings: set[Hashable]
) -> tuple[dict[Hashable, Variable], tuple[Hashable, ...], list[dict[Hashable, Any]]]:
    """Join all variables; also name those that became one value per patch, and give the grids of each set."""
    names = dict.fromkeys(n for w in wholes for n in w.variables if n != dim)
    out, shared = {}, []
    grids: list[dict[Hashable, Any]] = [{} for _ in wholes]
    for name in names:
        found = [w.variables.get(name) for w in wholes]
        if any(v is None for v in found):
            found = [
                absent(v, found, dim, w.sizes[dim]) for v, w in zip(found, wholes, strict=True)
            ]
        plain = [v.to_base_variable() for v in found if v is not None]
        if name in mappings:
            out[name] = plain[0]._replace(attrs=common_attrs(name, plain))
            continue
        if not any(dim in v.dims for v in plain):
            if all_equal(plain):
                out[name] = wholes[0].variables[name]
                continue
            shared.append(name)
        for own, grid in zip(grids, own_grids(plain), strict=True):
            own |= {name: grid} if grid else {}
        counts = [w.sizes[dim] for w in wholes]
        rows = [per_patch(v, dim, n) for v, n in zip(plain, counts, strict=True)]
        out[name] = joined(rows, sizes)._replace(attrs=common_attrs(name, plain))
    return out, tuple(shared), grids


def _recipe(whole: xr.Dataset, source: Provenance) -> dict[str, Any]:
    """Give the recipe of one set, as it was written or else anew."""
    text = whole[source.dim].attrs.get(RECIPE)
    if text is None:
        text = recipe_of(source.plans, source.dim)
    found: dict[str, Any] = json.loads(text)
    return found


def _written(recipes: list[dict[str, Any]], scenes: list[Scene]) -> str:
    """Write the recipes of all scenes: once what is the same, and for each what differs."""
    keys = dict.fromkeys(k for recipe in recipes for k in recipe)
    texts = {k: {json.dumps(r[k]) if k in r else "" for r in recipes} for k in keys}
    common = {k: recipes[0][k] for k in keys if len(texts[k]) == 1}
    each = []
    for scene, recipe in zip(scenes, recipes, strict=True):
        head = {"name": _plain(scene.name), "first": scene.first, "stop": scene.stop}
        shared = {"shared": list(map(str, scene.shared))} if scene.shared else {}
        grids = {str(n): {k: _plain(v) for k, v in grid.items()} for n, grid in scene.grids.items()}
        own = {k: v for k, v in recipe.items() if k not in common}
        each.append({**head, **shared, **({"grids": grids} if grids else {}), "recipe": own})
    return json.dumps({"version": VERSION, "scenes": each, "common": common})


def _plain(name: Any) -> Any:
    if isinstance(name, np.datetime64):
        return str(name)
    return name.item() if isinstance(name, np.generic) else name
