"""What a function of patches returned as arrays, with the dimensions and coordinates that it has as a field."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xpatch.engine.duck import check_units, is_array, numpy_of
from xpatch.patches.arrays import on_numpy
from xpatch.patches.index import whole_of
from xpatch.run.network import Network, is_network

Dims = tuple[Hashable, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Outputs:
    """A function whose arrays are given names.

    Parameters
    ----------
    func : callable
        Of patches.
    dim : hashable
        The patch dimension.
    dims : tuple of hashable, or mapping from names to them, optional
        Dimensions of the arrays.
    coords : mapping
        New coordinates.
    """

    func: Callable[[Any], Any]
    dim: Hashable
    dims: Dims | Mapping[Hashable, Dims] | None
    coords: Mapping[Hashable, Any]

    @classmethod
    def of(cls, func: Any, dim: Hashable, dims: Any, coords: Any) -> Outputs:
        """Check what apply was given, and let a network be a function."""
        if isinstance(dims, Mapping):
            dims = {
                name: _checked(own, dim, f"output_dims[{name!r}]") for name, own in dims.items()
            }
        elif dims is not None:
            dims = _checked(dims, dim, "output_dims")
        if coords and dims is None:
            raise ValueError(
                f"output_coords are those of new dimensions: name all that func returns, {_example(dim)}"
            )
        known = [dims] if isinstance(dims, tuple) else list((dims or {}).values())
        coords = {n: _coordinate(n, c, dim, known) for n, c in dict(coords or {}).items()}
        return cls(Network.of(func) if is_network(func) else func, dim, dims, coords)

    def __call__(self, batch: Any) -> Any:
        """Call func and give arrays the coordinates of the batch, and the new ones."""
        result = self.func(batch)
        if isinstance(result, xr.DataArray | xr.Dataset):
            return self._named_already(result)
        if isinstance(result, Mapping):
            if not result:
                raise ValueError(
                    "func returned an empty dict; it must have an array or more by name"
                )
            self._check_names(result)
            return _together({n: self._array(a, batch, n) for n, a in result.items()})
        if not is_array(result):
            return result
        return self._array(result, batch, None)

    def _named_already(self, result: Any) -> Any:
        if self.dims is not None:
            raise TypeError(
                f"output_dims names the dimensions of arrays, but func returned a {type(result).__name__} with dims "
                f"{tuple(result.dims)}, which has names: leave output_dims out, or return its values"
            )
        return on_numpy(result, "what func returned")

    def _check_names(self, result: Mapping[Hashable, Any]) -> None:
        unknown = (
            [n for n in self.dims if n not in result] if isinstance(self.dims, Mapping) else []
        )
        if unknown:
            raise KeyError(
                f"output_dims names the dimensions of {unknown[0]!r}, but func returned {list(result)}"
            )

    def _array(self, array: Any, batch: Any, name: Hashable | None) -> xr.DataArray:
        what = "" if name is None else f" {name!r}"
        if not is_array(array):
            raise TypeError(
                f"func returned a dict whose{what} is no array, but {type(array).__name__}; return arrays by name, "
                "or an xr.Dataset"
            )
        check_units(array, f"what func returned{what}")
        values = numpy_of(array)
        dims = self.dims.get(name) if isinstance(self.dims, Mapping) else self.dims
        if dims is None:
            return self._shaped(values, batch, what)
        if values.ndim != len(dims):
            raise ValueError(
                f"func returned an array{what} of shape {values.shape}, which has {values.ndim} dimensions, but "
                f"output_dims names {len(dims)}: {dims}"
            )
        return self._with_coords(values, dims, batch)

    def _shaped(self, values: Any, batch: Any, what: str) -> xr.DataArray:
        """Take an array that is shaped like the patches, or has one value per patch."""
        n = batch.sizes[self.dim]
        if isinstance(batch, xr.DataArray):
            if values.shape == batch.shape:
                return self._with_coords(values, batch.dims, batch).rename(batch.name)
            shape: Any = f"patches of shape {batch.shape} with dims {batch.dims}"
        else:
            shape = f"{n} patches of a Dataset"
        if values.shape == (n,):
            return self._with_coords(values, (self.dim,), batch)
        raise ValueError(
            f"func returned an array{what} of shape {values.shape} for {shape}; name its dimensions, "
            f"{_example(self.dim)}, or return a DataArray"
        )

    def _with_coords(self, values: Any, dims: Dims, batch: Any) -> xr.DataArray:
        """Give the array what coordinates of the patches lie along its dimensions, and the new ones."""
        sizes = dict(zip(dims, values.shape, strict=True))
        if sizes[self.dim] != batch.sizes[self.dim]:
            raise ValueError(
                f"func returned an array of shape {values.shape} with dims {dims}, which has {sizes[self.dim]} "
                f"patches for {batch.sizes[self.dim]} along {self.dim!r}"
            )
        kept = [d for d in dims if batch.sizes.get(d) == sizes[d]]
        base = whole_of(batch)
        lost = [n for n, v in base.variables.items() if not set(v.dims) <= set(kept)]
        base = base.drop_vars([*lost, *(n for n in base.data_vars if n not in lost)])
        out = xr.Dataset({"_": (dims, values)}, coords=base.coords)["_"].rename(None)
        own = {n: v for n, v in self.coords.items() if set(v.dims) <= set(dims)}
        for name, v in own.items():
            wrong = [d for d in v.dims if v.sizes[d] != sizes[d]]
            if wrong:
                raise ValueError(
                    f"output_coords has {v.sizes[wrong[0]]} labels {name!r} along {wrong[0]!r}, but func returned an "
                    f"array of shape {values.shape} with dims {dims}"
                )
        return out.assign_coords(own)


def _together(arrays: Mapping[Hashable, xr.DataArray]) -> xr.Dataset:
    """Make a Dataset of arrays, which lie on one grid.

    Raises
    ------
    ValueError
        If a dimension has several sizes.
    """
    sizes: dict[Hashable, int] = {}
    for name, array in arrays.items():
        for d, n in array.sizes.items():
            if sizes.setdefault(d, n) != n:
                raise ValueError(
                    f"func returned a dict whose {name!r} has {n} cells along {d!r}, and others {sizes[d]}: what is "
                    "merged together lies on one grid; return them in calls of apply of their own, with a scale each"
                )
    return xr.Dataset(arrays)


def _checked(dims: Any, dim: Hashable, what: str) -> Dims:
    if isinstance(dims, str) or not isinstance(dims, tuple | list):
        raise TypeError(f"{what} must be a tuple of the names of all dimensions, got {dims!r}")
    if len(set(dims)) != len(dims) or dim not in dims:
        raise ValueError(
            f"{what} must name {dim!r}, the dimension of the patches, and each dimension once; got {dims!r}"
        )
    return tuple(dims)


def _coordinate(name: Hashable, given: Any, dim: Hashable, known: list[Dims]) -> xr.Variable:
    """Give a new coordinate, of labels along the dimension of its name, or of ``(dims, labels)``."""
    pair = isinstance(given, tuple) and len(given) in (2, 3) and not np.isscalar(given[1])
    if isinstance(given, xr.DataArray | xr.Variable):
        made = xr.Variable(given.dims, given.values, given.attrs)
    elif pair:
        made = xr.Variable(*given)
    else:
        values = np.asarray(given)
        made = xr.Variable((name,) * values.ndim if values.ndim < 2 else (), values)
    if dim in made.dims or not any(set(made.dims) <= set(own) for own in known):
        raise ValueError(
            f"output_coords {name!r} has dims {made.dims}, which must be among the new ones of output_dims, "
            f"{known}, without {dim!r}"
        )
    return made


def _example(dim: Hashable) -> str:
    return f"as in output_dims=({dim!r}, 'class', 'y', 'x')"
