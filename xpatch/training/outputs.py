"""Outputs of networks as patches: arrays of any library, by name, with the labels of their patches."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.engine.duck import is_array, numpy_of
from xpatch.patches.index import whole_of

__all__ = ["Naming", "as_numpy", "labels_of"]


def as_numpy(values: Any) -> NDArray[Any]:
    """Give an array of any library as one of NumPy: by ``__array__`` or DLPack, from any device.

    One with a mask keeps it, which xarray turns into missing values.

    Raises
    ------
    TypeError
        If it is none, or has units.
    """
    if is_array(values):
        return numpy_of(values)
    if not isinstance(values, list | tuple | int | float):
        raise TypeError(
            "add takes patches, arrays (patch, …) or a mapping of arrays by name, got "
            f"{type(values).__name__}"
        )
    return np.asanyarray(values) if np.ma.isMaskedArray(values) else np.asarray(values)


def labels_of(labels: Any, count: int | None, dim: Hashable) -> NDArray[np.int64]:
    """Give the labels of patches.

    Raises
    ------
    TypeError, ValueError
        If they are no integers, or not one for each patch.
    """
    numbers = np.atleast_1d(as_numpy(labels))
    if numbers.dtype.kind not in "iu" and numbers.size:
        raise TypeError(
            f"labels of patches are integers, as in patches[{dim!r}], got {numbers.dtype}: {labels!r}"
        )
    if numbers.ndim != 1 or count not in (None, len(numbers)):
        raise ValueError(
            f"patch= takes one label for each of {count} patches along {dim!r}, got an array of shape "
            f"{numbers.shape}"
        )
    return numbers.astype(np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class Naming:
    """How bare arrays become patches.

    Parameters
    ----------
    patches : DataArray or Dataset
        Whose dims they have.
    inner : set of hashable
        The dims of slots, which may be fewer or more.
    dims : sequence or mapping, optional
        Those of all, or of each variable, where they are others.
    coords : mapping
        Coordinates of further dimensions.
    """

    patches: Any
    inner: Set[Hashable]
    dims: Any
    coords: Mapping[Hashable, Any]

    @classmethod
    def of(cls, patches: Any, inner: Set[Hashable], dims: Any, coords: Any) -> Naming:
        """Check the words.

        Raises
        ------
        TypeError
            If the dimensions are no sequence and no mapping.
        """
        if isinstance(dims, str) or not isinstance(dims, Sequence | Mapping | None):
            raise TypeError(
                'output_dims takes the dimensions of the outputs, such as ("patch", "class", "y", "x"), '
                f"or these by name, got {dims!r}"
            )
        return cls(patches, inner, dims, dict(coords or {}))

    def __call__(self, batch: Any, dim: Hashable, patch: Any) -> Any:
        """Give a batch as a DataArray or a Dataset; labels that come along become coordinates."""
        if isinstance(batch, xr.DataArray | xr.Dataset):
            return batch
        lone = isinstance(self.patches, xr.DataArray)
        if not isinstance(batch, Mapping):
            name = self.patches.name if lone else None
            return self._array(batch, name, dim)
        arrays = {n: v for n, v in batch.items() if n not in self.patches.coords}
        if not arrays:
            raise ValueError(f"the batch has no outputs, only {[*batch]}")
        if lone and len(arrays) == 1:
            (one,) = arrays.values()
            out: Any = self._array(one, self.patches.name, dim)
        else:
            out = xr.Dataset({n: self._array(v, n, dim) for n, v in arrays.items()})
        if patch is None and dim in batch:
            return out.assign_coords({dim: labels_of(batch[dim], out.sizes[dim], dim)})
        return out

    def _array(self, values: Any, name: Hashable, dim: Hashable) -> xr.DataArray:
        data = as_numpy(values)
        dims = self._dims(data, name, dim)
        coords = {n: c for n, c in self.coords.items() if n in dims}
        return xr.DataArray(data, coords, dims, name)

    def _dims(self, data: NDArray[Any], name: Hashable, dim: Hashable) -> tuple[Hashable, ...]:
        given = self.dims.get(name) if isinstance(self.dims, Mapping) else self.dims
        if given is not None:
            return tuple(given)
        if data.ndim == 1:
            return (dim,)
        whole = whole_of(self.patches)
        known = [v for n, v in whole.data_vars.items() if n == name and dim in v.dims]
        known = known or [v for v in whole.data_vars.values() if dim in v.dims]
        fit = {v.dims for v in known if v.ndim == data.ndim and self._fits(v, data, dim)}
        if len(fit) == 1:
            return fit.pop()
        raise ValueError(
            f"an output of shape {data.shape} is not of the dims of the patches, "
            f"{' or '.join(str(dict(v.sizes)) for v in known)}; name its own: "
            f'merger(output_dims=({dim!r}, "class", …)), or give a DataArray'
        )

    def _fits(self, variable: Any, data: NDArray[Any], dim: Hashable) -> bool:
        """Whether sizes agree, but for those of patches and slots."""
        free = {dim, *self.inner}
        each = zip(variable.dims, variable.shape, data.shape, strict=True)
        return all(d in free or n == m for d, n, m in each)


def emptied(path: Any) -> Path | None:
    """Make a directory for contributions.

    Raises
    ------
    FileExistsError
        If something is there.
    """
    if path is None:
        return None
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"path={path!r} must be a new or an empty directory, in which the contributions are kept"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder
