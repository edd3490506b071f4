"""Fields on fewer cells: those of outputs of which one cell stands for several of the field."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain import affine as af
from xpatch.domain.dates import calendar_of, counted, dated
from xpatch.domain.lattice import Lattice
from xpatch.domain.lonlat import bounds_name
from xpatch.domain.turns import TURN
from xpatch.domain.units import in_radians
from xpatch.engine.coarsen import PICKED, mean_of

Factors = Mapping[Hashable, int]


def coarser(domain: Lattice, factors: Factors) -> Lattice:
    """Give the domain of cells that each stand for so many along each dimension.

    Cells at the end that fill none are left out. The label of a cell is the mean of those it stands for.
    """
    sizes = {d: n // factors.get(d, 1) for d, n in domain.sizes.items()}
    chunks = {name: coarser_chunks(own, factors) for name, own in domain.chunks.items()}
    template, mapping = coarser_coords(domain, factors), _coarser_mapping(domain, factors)
    held = {n: _averaged(v, n, domain, factors) for n, v in domain.held.items()}
    out = domain.regridded(template, sizes, chunks, mapping)
    return out.with_held({n: v for n, v in held.items() if v is not None})


def as_dates(dates: NDArray[Any], calendar: str) -> NDArray[np.datetime64]:
    """Give dates of cftime as if they were those of NumPy, which have a mean."""
    return counted(dates.ravel(), calendar).view("M8[us]").reshape(dates.shape)


def coarser_chunks(chunks: Mapping[Hashable, tuple[int, ...]], factors: Factors) -> dict[Any, Any]:
    """Give the chunks of coarse cells: each cell is in the chunk that its last fine cell is in."""
    out: dict[Hashable, tuple[int, ...]] = {}
    for d, own in chunks.items():
        edges = np.cumsum((0, *own)) // factors.get(d, 1)
        out[d] = tuple(n for n in np.diff(edges).tolist() if n) or (0,)
    return out


def coarser_coords(domain: Lattice, factors: Factors) -> xr.Dataset:
    """Give the coordinates on coarse cells; those that have no mean, such as text, are left out."""
    template = domain.template
    cut = {n for n, c in template.coords.items() if {*c.dims} & {*factors}}
    kept = template.drop_vars(cut)
    found = {n: _averaged(template.variables[n], n, domain, factors) for n in cut}
    return kept.assign_coords({n: found[n] for n in template.coords if found.get(n) is not None})


def _averaged(
    variable: Variable, name: Hashable, domain: Lattice, factors: Factors
) -> Variable | None:
    """Average one coordinate; the corners of curvilinear cells have no mean."""
    values = variable.to_numpy()
    bounds = name in {bounds_name(c) for c in domain.template.coords.values()}
    if bounds and variable.ndim == 2 and variable.shape[-1] == 2:
        return Variable(
            variable.dims, _outermost(values, factors[variable.dims[0]]), variable.attrs
        )
    calendar = calendar_of(variable)
    if bounds or (values.dtype.kind in PICKED + "b" and calendar is None):
        return None
    if calendar is not None:
        values = as_dates(values, calendar)
    turn = 2 * np.pi if in_radians(variable) else TURN
    turns = turn if domain.roles.get(name) == "longitude" else None
    for axis, d in enumerate(variable.dims):
        if d in factors:
            values = _mean(values, axis, factors[d], turns)
    if calendar is not None:
        values = dated(values.ravel().view("i8"), calendar).reshape(values.shape)
    return Variable(variable.dims, values, variable.attrs, variable.encoding)


def _mean(values: NDArray[Any], axis: int, factor: int, turns: float | None) -> NDArray[Any]:
    """Average along an axis; longitudes by how far they are from the first, around the dateline."""
    whole = np.take(values, np.arange(values.shape[axis] // factor * factor), axis)
    if turns is None or values.dtype.kind not in "iuf":
        return mean_of(whole, axis, factor)
    first = np.take(whole, np.arange(0, whole.shape[axis], factor), axis)
    far = (whole - np.repeat(first, factor, axis) + turns / 2) % turns - turns / 2
    return first + mean_of(far, axis, factor)


def _outermost(bounds: NDArray[Any], factor: int) -> NDArray[Any]:
    """Give the bounds of coarse cells, shape (cell, 2): from the first to the last of what they hold."""
    own = bounds[: len(bounds) // factor * factor].reshape(-1, factor, 2)
    forth, back = own[:, [0, -1], [0, 1]], own[:, [-1, 0], [0, 1]]
    return np.where(
        abs(forth[:, 1] - forth[:, 0]) >= abs(back[:, 1] - back[:, 0]), forth.T, back.T
    ).T


def _coarser_mapping(domain: Lattice, factors: Factors) -> af.GridMapping | None:
    mapping = domain.mapping
    affine = None if mapping is None else af.read(domain.transform)
    dims = af.raster_dims(domain)
    if mapping is None or affine is None or dims is None:
        return mapping
    rows, columns = (1 / factors.get(d, 1) for d in dims)
    return dataclasses.replace(mapping, transform=af.written(af.finer(affine, rows, columns)))
