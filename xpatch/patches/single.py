"""One patch as a field of its own."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain import Lattice, domain_of
from xpatch.domain import affine as af
from xpatch.domain.dggs import grid_attrs, redecoded
from xpatch.domain.lattice import RasterDomain
from xpatch.neighborhood import Members
from xpatch.patches.coords import refined
from xpatch.patches.decoding import find_recipe
from xpatch.patches.fields import best_plan
from xpatch.patches.index import patch_index, splits_of, whole_of
from xpatch.patches.mapping import in_space
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import NEVER_SPLIT, Provenance, provenance
from xpatch.patches.recall import indexed
from xpatch.patches.scene import alone, scenes_written

__all__ = ["patch_at"]


class Known:
    """Patches that got an index from their recipe, so that each `patch_at` need not compare all."""

    def __init__(self) -> None:
        self.state: list[tuple[Any, ...]] = []
        self.found: Any = None

    def indexed(self, obj: Any) -> Any:
        """Give patches with an index, which is found anew if they were changed in place."""
        if patch_index(obj) is not None:
            return obj
        state = _state(obj)
        same = len(state) == len(self.state) and all(map(_unchanged, state, self.state))
        if self.found is None or not same:
            self.found, self.state = indexed(obj), state
        return self.found


def _state(obj: Any) -> list[tuple[Any, ...]]:
    """Give what changes if an object is changed in place, but for single values of an array."""
    variables = {**obj.coords.variables, **getattr(obj, "data_vars", {})}
    data = [(n, getattr(v, "variable", v)) for n, v in variables.items()]
    data += [(obj.name, obj.variable)] if isinstance(obj, xr.DataArray) else []
    each = [(n, v.dims, v._data, *_items(v.attrs), *_items(v.encoding)) for n, v in data]
    return [*each, (None, (), None, *_items(obj.attrs))]


def _items(mapping: Any) -> list[Any]:
    return [x for item in mapping.items() for x in item]


def _unchanged(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    pairs = zip(a[2:], b[2:], strict=False)
    return a[:2] == b[:2] and len(a) == len(b) and all(x is y for x, y in pairs)


def patch_at(obj: Any, number: Any, known: Known) -> Any:
    """Give one patch with the labels, the grid mapping and the indexes that it has as a field."""
    dim = _checked(obj, number)
    if scenes_written(obj) is None:
        obj = known.indexed(obj)  # of all patches: a few without labels would not be known
    some, one = obj.isel({dim: [number]}), obj.isel({dim: number})
    index = patch_index(some)
    if (
        index is not None and index.mixed
    ):  # of xr.concat: what the patches say themselves is all there is
        return _georeferenced(_indexed(one), domain_of(one), None)
    some = alone(some)
    source = provenance(some)
    if (
        "crs" in one.coords and "crs" not in some.coords
    ):  # of a scene, which now has a CRS of its own
        one = one.drop_vars("crs")
    one = one.isel({d: slice(0, n) for d, n in some.sizes.items() if one.sizes.get(d, 0) > n})
    one = _of_its_grid(one, some)
    for plan in _plans(source, some):
        rows, ratio = _cells(one, plan, source)
        one = _without_unfilled(one, plan, source)
        for members in plan.lists:
            one = _without_empty(one, members, plan, source.ordinals)
        one = _labeled(one, plan, rows, ratio)
        one = _georeferenced(_indexed(one), plan.domain, (rows, ratio))
        for d in plan.inner:
            one = plan.domain.indexed(one, d) if d in one.dims else one
        one = redecoded(one) if plan.recalled is not None else one
    return one


def _of_its_grid(one: Any, some: Any) -> Any:
    """Let cell ids say which grid they are of, which in patches of several scenes they do not."""
    said = {n: c.attrs for n, c in some.coords.items() if grid_attrs(c.attrs) and n in one.coords}
    coords = one.coords.variables
    new = {n: coords[n]._replace(attrs=a) for n, a in said.items() if a != coords[n].attrs}
    return one.assign_coords(new) if new else one


def _checked(obj: Any, number: Any) -> Hashable:
    """Give the patch dimension.

    Raises
    ------
    TypeError, IndexError, ValueError
        As `PatchAccessor.__getitem__` says.
    """
    if isinstance(number, bool | np.bool_) or not isinstance(number, int | np.integer):
        raise TypeError(
            f"patches.patch[i] gives one patch and takes an int, got {number!r}; the coordinate is "
            "patches['patch'], and patches.isel(patch=…) selects several patches"
        )
    index = patch_index(obj)
    found = scenes_written(obj) or find_recipe(obj) if index is None else None
    if index is None and found is None:
        raise ValueError(NEVER_SPLIT)
    dim = index.dim if index is not None else found[0]  # type: ignore[index]
    if dim not in obj.dims:
        raise ValueError(
            f"this is one patch already: {dim!r} is {int(obj.coords[dim])}, and no dimension; take "
            "patches.patch[i] of the patches that it was selected from"
        )
    above = [d for d in splits_of(obj) if d != dim]
    if above:
        raise ValueError(
            f"these are patches of patches, of which there is one along {dim!r} in each along {above}; select one of "
            f"those first: patches.isel({above[-1]}=0).patch[{number}]"
        )
    n = obj.sizes[dim]
    if not -n <= number < n:
        raise IndexError(f"there is no patch {number}: there are {n} patches, counted from 0")
    return dim


def _plans(source: Provenance, some: Any) -> tuple[Plan, ...]:
    """Give the plans of the fields that the patch has cells of."""
    if len(source.plans) < 2:
        return source.plans
    if isinstance(some, xr.DataArray):
        return (best_plan(source.plans, some.sizes, name=some.name),)
    return tuple(p for p in source.plans if {*p.inner} & {*some.sizes})


def _cells(
    one: Any, plan: Plan, source: Provenance
) -> tuple[dict[Hashable, int], dict[Hashable, int]]:
    """Give the first cell of the patch along each dimension, and how much finer its cells are.

    Of dimensions of which nothing says which cells they are, none is given.
    """
    boxed = plan.boxed
    rows: dict[Hashable, int] = {}
    ratio: dict[Hashable, int] = {}
    if boxed is None:
        return rows, ratio
    starts = boxed.boxes.starts(source.ordinals)[0]
    for d, start, size in zip(boxed.dims, starts.tolist(), boxed.boxes.sizes, strict=True):
        low, high = source.crop.get(d, (0, 0))
        kept, n = size - low - high, one.sizes.get(d, 0)
        if n and n % kept == 0 and d not in plan.hood.coarse:
            rows[d], ratio[d] = start + low, n // kept
    return rows, ratio


def _without_unfilled(one: Any, plan: Plan, source: Provenance) -> Any:
    """Leave out the slots in which a box in km has fewer cells than the widest."""
    for part in () if plan.boxed is None else plan.boxed.boxes.slices:
        low, high = source.crop.get(part.dim, (0, 0))
        if part.filled is None or one.sizes.get(part.dim) != part.size - low - high:
            continue
        filled = int(part.filled[source.ordinals[0]]) - low
        one = one.isel({part.dim: slice(0, max(filled, 0))})
    return one


def _labeled(one: Any, plan: Plan, rows: dict[Hashable, int], ratio: dict[Hashable, int]) -> Any:
    """Give the labels that the patch lost, or that reading would run the model for."""
    found = {}
    for d, first in rows.items():
        if d in one.coords and one.coords[d].chunks is None:
            continue
        assert plan.boxed is not None
        wrap = plan.boxed.boxes.wrap[plan.boxed.dims.index(d)]
        n = one.sizes[d] // ratio[d]
        values = plan.domain.labels_at(d, first + np.arange(n), wrap)
        if values is None:
            continue
        coords = plan.domain.template.coords
        attrs = coords[d].attrs if d in coords else {}
        found[d] = refined(Variable((d,), values, attrs), {d: ratio[d]})
    return one.assign_coords(found) if found else one


def _indexed(one: Any) -> Any:
    """Give labels an index, so that they select."""
    plain = {
        d: one.coords[d].variable for d in one.dims if d in one.coords and d not in one.xindexes
    }
    flat = {d: v.to_base_variable() for d, v in plain.items() if v.dims == (d,)}
    return one.assign_coords(flat) if flat else one


def _without_empty(one: Any, members: Members, plan: Plan, ordinals: NDArray[Any]) -> Any:
    """Leave empty slots of a list of members out, and give geometries back."""
    space, entries = plan.in_space(ordinals)
    if members.numbers is not None or space.members is None:
        return one
    own = space.members.take(entries)
    d = members.dim
    if one.sizes.get(d) not in (members.width, None):
        return one
    numbers = own.elements
    one = one.isel({d: slice(0, len(numbers))}) if d in one.dims else one
    return _with_geometries(one, plan.domain, d, numbers) if d in one.dims else one


def _with_geometries(one: Any, domain: Lattice, d: Hashable, numbers: NDArray[Any]) -> Any:
    """Give members the shapely geometries of the field, and the index of xvec if it had one."""
    found = {
        name: c.variable
        for name, c in domain.template.coords.items()
        if c.dims == (d,) and str(c.dtype) in ("object", "geometry")
    }
    for name, variable in found.items():
        if not any(hasattr(v, "geom_type") for v in np.asarray(variable.values)[:1]):
            continue
        shapes = Variable((d,), np.asarray(variable.values, dtype=object)[numbers], variable.attrs)
        one = one.drop_vars([n for n in (name,) if n in one.coords]).assign_coords({name: shapes})
        index = domain.template.xindexes.get(name)
        if getattr(index, "crs", None) is not None:
            one = one.drop_indexes(name, errors="ignore")
            one = one.set_xindex(name, type(index), crs=index.crs)  # type: ignore[union-attr]
    return one


def _georeferenced(
    one: Any, domain: Lattice, cells: tuple[dict[Hashable, Any], dict[Hashable, Any]] | None
) -> Any:
    """Give the patch its grid mapping, with its own transform."""
    mapping = domain.mapping
    if mapping is None:
        return one
    name, whole = mapping.name, whole_of(one)
    held = whole.variables.get(name)
    if held is not None and held.ndim:
        return one
    attrs = dict(mapping.attrs if held is None or not held.attrs else held.attrs)
    raster = mapping.transform is not None or isinstance(domain, RasterDomain)
    moved = cells is None or in_space(domain, tuple(cells[0])) or name not in whole.variables
    if raster and (moved or af.TRANSFORM not in attrs):
        attrs.pop(af.TRANSFORM, None)
        own = _transform(one, domain, *(cells or ({}, {})))
        attrs |= {} if own is None else {af.TRANSFORM: af.written(own)}
    known = held is not None and held.chunks is None  # a lazy one would run the model
    variable = Variable((), held.values if known and held is not None else 0, attrs)
    index = domain.template.xindexes.get(name)
    coords = xr.Coordinates({name: variable}, indexes={} if index is None else {name: index})
    return _named(one.assign_coords(coords), name)


def _named(one: Any, name: Hashable) -> Any:
    """Let variables say where their CRS is."""
    arrays = [one] if isinstance(one, xr.DataArray) else list(one.data_vars.values())
    for array in arrays:
        if array.ndim and "grid_mapping" not in array.attrs:
            array.encoding = {**array.encoding, "grid_mapping": name}
    return one


def _transform(
    one: Any, domain: Lattice, rows: dict[Hashable, int], ratio: dict[Hashable, int]
) -> af.Affine | None:
    """Give the affine of the patch: that of the field, moved; or else that of its labels."""
    dims = af.raster_dims(domain)
    if dims is None or any(d not in one.dims for d in dims):
        return None
    labels = [one.coords[d].values if d in one.coords else None for d in dims]
    whole = af.read(domain.transform)
    found = None
    if whole is not None and all(d in rows or one.sizes[d] == domain.sizes[d] for d in dims):
        found = af.moved(whole, *(rows.get(d, 0) for d in dims))
        found = af.finer(found, *(ratio.get(d, 1) for d in dims))
    y, x = labels
    if y is None or x is None or (found is not None and af.fits(found, y, x)):
        return found
    return af.of_labels(y, x, tuple(domain.spacing(d) for d in dims))
