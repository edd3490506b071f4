"""Values of the cells that a sampler looks at: on the cells of the field, read chunk by chunk."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain.nodata import nodata_of
from xpatch.domain.on_cells import check_cells
from xpatch.engine.reading import stored_chunks
from xpatch.geometry import MemberGeometry, Places

AT_ONCE = 1 << 24  # cells of chunks that dask is asked for together

Block = tuple[tuple[slice, ...], NDArray[Any]]


def cells_of(
    given: Any, field: Any, domain: Lattice, dims: tuple[Hashable, ...], what: str
) -> xr.DataArray:
    """Give a field on the cells of ``domain``, or the variable of that name.

    Dimensions that are not cut and hold one cell are left out, such as the band of rasters.

    Raises
    ------
    TypeError, ValueError
        If it is no field, there is no such variable, or it lies on other cells.
    """
    array = _named(given, field, what)
    if not isinstance(array, xr.DataArray):
        raise TypeError(
            f"{what} must be a DataArray or the name of a variable, got {type(array).__name__}"
        )
    single = [d for d in array.dims if d not in dims and array.sizes[d] == 1]
    array = array.squeeze(single, drop=True)
    check_cells(array, domain, dims, what)
    extra = [d for d in array.dims if d not in dims]
    if extra:
        raise ValueError(
            f"{what} differs along {extra}, which is not cut into patches; take one value for each of "
            f"{list(dims)}: {what.split()[0]}.isel(…), or a reduction"
        )
    return array


def _named(given: Any, field: Any, what: str) -> Any:
    """Look a name up in the field."""
    if not isinstance(given, str):
        return given
    known = list(getattr(field, "data_vars", ())) + list(getattr(field, "coords", ()))
    if given not in known:
        raise ValueError(
            f"{what} is {given!r}, which is no variable of the field; it has {[str(n) for n in known]}: "
            "name one, or give a DataArray"
        )
    return field[given]


def in_stored_chunks(array: xr.DataArray) -> xr.DataArray:
    """Let dask read what is on disk, in the chunks in which it is stored; all else stays as it is."""
    variable = array.variable
    if variable._in_memory or variable.chunks is not None:
        return array
    sizes = dict(zip(variable.dims, stored_chunks(variable, variable.dims), strict=True))
    return xr.DataArray(variable.chunk(sizes), name=array.name)


def blocks(array: xr.DataArray) -> Iterator[Block]:
    """Read an array block by block, each chunk once: where a block lies, and its values."""
    array = in_stored_chunks(array)
    if array.chunks is None:
        yield tuple(slice(0, n) for n in array.shape), array.to_numpy()
        return
    import dask

    edges = [np.cumsum([0, *sizes]).tolist() for sizes in array.chunks]
    places = itertools.product(*([slice(*p) for p in itertools.pairwise(e)] for e in edges))
    parts = array.data.to_delayed().ravel()
    largest = int(np.prod([max(sizes, default=1) for sizes in array.chunks]))
    several = max(1, AT_ONCE // max(1, largest))
    for low in range(0, len(parts), several):
        values = dask.compute(*parts[low : low + several])
        yield from zip(itertools.islice(places, len(values)), values, strict=True)


def at_elements(
    given: Any, field: Any, domain: Lattice, geometry: MemberGeometry, places: Places, what: str
) -> xr.Variable:
    """Give the values at the elements that lists of members are anchored at.

    Raises
    ------
    ValueError
        If they are anchored at no elements.
    """
    if places.polygons is not None or (places.elements < 0).any():
        those = "polygons" if places.polygons is not None else "anchored at none"
        raise ValueError(
            f"{what} are values of elements, but the patches of {type(geometry).__name__} are {those}; draw "
            "some of these by number, Explicit(numbers)"
        )
    sites = geometry.outline(domain)
    array = in_stored_chunks(cells_of(given, field, domain, sites.dims, what))
    missing = {d: n for d, n in zip(sites.dims, sites.shape, strict=True) if d not in array.dims}
    whole = array.variable.compute().set_dims({**missing, **array.sizes}).transpose(*sites.dims)
    return xr.Variable("element", whole.values.ravel()[places.elements], array.attrs)


def written(given: Any) -> Any:
    """Write the name of a variable; of a field that there was one."""
    return {"class": "DataArray"} if isinstance(given, xr.DataArray) else given


def rates_at(
    given: Any, field: Any, domain: Lattice, geometry: MemberGeometry, places: Places
) -> NDArray[np.float64]:
    """Give the weights of elements."""
    array = at_elements(given, field, domain, geometry, places, "weights of Random")
    return as_rates(array.values, nodata_of(array))


def as_rates(values: NDArray, nodata: Any = None) -> NDArray[np.float64]:
    """Turn values into weights, 0 where they are missing.

    Raises
    ------
    TypeError, ValueError
        If they are no numbers, negative or infinite.
    """
    if values.dtype.kind not in "iufb":
        raise TypeError(f"weights of Random must be numbers, got dtype {values.dtype}")
    out = values.astype(float)
    if nodata is not None:
        out[nodata.where(values)] = 0
    out[out != out] = 0
    if len(out) and not (out.min() >= 0 and np.isfinite(out.max())):
        wrong = out[(out < 0) | ~np.isfinite(out)][0]
        raise ValueError(f"weights of Random must be finite and not negative, got {wrong:g}")
    return out


def check_positive_cells(count: int) -> None:
    """Raise a ValueError if there is nothing to draw."""
    if not count:
        raise ValueError(
            "weights of Random are 0 or missing wherever a patch may be centered, so that there is nothing to draw; "
            "give some cells a positive weight, weights.clip(min=…), or use a smaller patch"
        )
