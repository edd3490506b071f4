"""CF bounds of cells along a cut dimension: they go on past the edge as labels do, and reach over coarse cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain import Lattice
from xpatch.domain.lonlat import bounds_name
from xpatch.engine.cut import Cut
from xpatch.engine.lazy import Deferred, Rows, lazily
from xpatch.engine.reading import Stored
from xpatch.neighborhood import Neighborhood
from xpatch.patches.plan import Plan

__all__ = ["bounded_by", "bounds_of", "cut_bounds", "remember", "thinned", "turned_back"]


def bounds_of(coords: Mapping[Any, xr.DataArray], dims: tuple[Hashable, ...]) -> dict[Any, Any]:
    """Give the coordinates that are bounds of the labels of some dimensions: name and dimension."""
    found = {}
    for d in dims:
        if d in coords:
            name = bounds_name(coords[d])
            if name in coords and coords[name].dtype.kind in "iufmM":
                found[name] = d
    return found


def remember(
    variables: Mapping[Any, Variable], bounds: Mapping[Any, Any], coords: Mapping[Any, xr.DataArray]
) -> None:
    """Let labels of patches name their bounds as those of the field do: decoded, in the encoding."""
    for name, d in bounds.items():
        if d in variables and "bounds" not in coords[d].attrs:
            variables[d].encoding = {"bounds": name}


@dataclasses.dataclass(frozen=True, eq=False)
class Continued:
    """Moves bounds of cells past the edge on by even steps; where steps are uneven they are missing."""

    axis: int
    step: Any

    def __call__(self, patches: NDArray[Any], hood: Neighborhood) -> NDArray[Any]:
        (part,), n = hood.slices, hood.shape[0]
        wrap = part.wrap
        cells = hood.starts() + np.arange(part.size)
        beyond = cells // n * n if wrap else cells - np.clip(cells, 0, n - 1)
        shape = [1] * patches.ndim
        shape[0], shape[self.axis + 1] = beyond.shape
        beyond = beyond.reshape(shape)
        if self.step is not None:
            return np.asarray(patches + beyond * self.step)
        if patches.dtype.kind in "mM":
            return np.where(beyond != 0, np.array("NaT", patches.dtype), patches)
        return np.where(beyond != 0, np.nan, patches)


def cut_bounds(
    variable: Variable,
    plan: Plan,
    dim: Hashable,
    d: Hashable,
    ordinals: NDArray[Any],
    groups: list[NDArray[Any]] | None,
) -> Variable:
    """Cut bounds of the labels of ``d``, computed when they are looked at."""
    hood = plan.boxes.only((d,)).padded_by(pad_mode="edge", pad_value=None)
    finish = Continued(variable.get_axis_num(d), plan.domain.spacing(d))
    cut = Cut.of(hood, variable.dims, variable.dtype, finish)
    if variable.chunks is not None:
        from xpatch.engine import chunked_gather

        array = chunked_gather.gather(variable.data, cut, groups or [ordinals])
        return Variable((dim, *variable.dims), array, variable.attrs)
    stored = Stored(variable._data, variable.dims, f"bounds of {d}")
    source = variable.to_numpy() if variable._in_memory else stored
    sizes = {**variable.sizes, **cut.sizes}
    data = Deferred(Rows(source, cut), ordinals, tuple(sizes[x] for x in variable.dims), cut.final)
    return Variable((dim, *variable.dims), lazily(data), variable.attrs)


def bounded_by(domain: Lattice, name: Hashable, dims: tuple[Hashable, ...]) -> Hashable | None:
    """Give the dimension whose labels a data variable is the bounds of, as files are opened."""
    coords = domain.template.coords
    if name is None:  # of a DataArray
        return None
    return next((d for d in dims if d in coords and bounds_name(coords[d]) == name), None)


def turned_back(
    variable: Variable,
    d: Hashable | None,
    plan: Plan,
    ordinals: NDArray[Any],
    crop: Any,
    dim: Hashable,
) -> Variable:
    """Give bounds of ``d`` past the seam of a periodic dimension as on this side; others as they are."""
    step = None if d is None else plan.domain.spacing(d)
    if d is None or step is None or set(variable.dims) & set(plan.dims) != {d}:
        return variable
    boxes = plan.boxes.only((d,)).cropped(crop)
    if not boxes.wrap[0] or variable.sizes[d] != boxes.sizes[0]:
        return variable
    n = boxes.shape[0]
    turns = Variable((dim, d), (boxes.starts(ordinals) + np.arange(boxes.sizes[0])) // n * n)
    out: Variable = (variable - turns * step).transpose(*variable.dims)
    out.attrs = variable.attrs
    return out


def thinned(
    variables: dict[Hashable, Variable], plan: Plan, bounds: Collection[Hashable] = ()
) -> dict[Hashable, Variable]:
    """Give coarse cells the coordinates of their last step; bounds reach from the first to the last.

    These are the ones that are given, and those that the labels name.
    """
    out = {} if plan.hood.coarse else variables
    for d in plan.hood.coarse:
        last = plan.offsets(d)
        named = {*bounds, bounds_name(plan.domain.template.coords.get(d))}
        for name, v in variables.items():
            out[name] = v.isel({d: last}) if d in v.dims else v
            if name in named and d in v.dims and v.shape[-1] == 2:
                first = v.isel({d: last - last[0]}).to_numpy()[..., :1]
                ends = np.concatenate([first, out[name].to_numpy()[..., 1:]], axis=-1)
                out[name] = Variable(v.dims, ends, v.attrs)
    return out
