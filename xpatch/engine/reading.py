"""Reading: a region of an array on disk, and words for what could not be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable
from xarray.core import indexing

from xpatch.engine.joined import read

FEW = 10  # labels that a message lists
GRANULE = 1 << 22  # bytes that are read at a time of data on disk that are not stored in chunks


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """The data of one variable that are still on disk."""

    data: Any
    dims: tuple[Hashable, ...]
    name: Hashable | None
    kept: Mapping[int, NDArray[np.int64]] = dataclasses.field(default_factory=dict)  # by axis

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each of ``dims``: those that are kept."""
        return tuple(
            len(self.kept[k]) if k in self.kept else n for k, n in enumerate(self.data.shape)
        )

    @property
    def dtype(self) -> np.dtype:
        """The dtype of what is read."""
        found: np.dtype = self.data.dtype
        return found

    def keeping(self, cells: Mapping[int, NDArray[np.int64]]) -> Stored:
        """Leave out all but some cells along axes that are read whole."""
        return dataclasses.replace(self, kept={**self.kept, **cells})

    def read(self, key: Sequence[slice]) -> NDArray[Any]:
        """Read a region; errors tell which, and of what."""
        own = tuple(_as_run(self.kept[k]) if k in self.kept else s for k, s in enumerate(key))
        try:
            if not all(isinstance(s, slice) for s in own):
                return read(self.data, own)
            array = self.data[indexing.BasicIndexer(own)]
            return np.asarray(array.get_duck_array() if hasattr(array, "get_duck_array") else array)
        except Exception as error:
            what = "the field" if self.name is None else repr(self.name)
            error.add_note(f"raised while {what} was read{self._region(key)}")
            raise

    def _region(self, key: Sequence[slice]) -> str:
        runs = [s.indices(n)[:2] for s, n in zip(key, self.shape, strict=True)]
        every = zip(self.dims, runs, self.shape, strict=True)
        parts = [f"{d}={a}:{b}" for d, (a, b), n in every if (a, b) != (0, n)]
        return f" at the cells {', '.join(parts)}" if parts else ""


def _as_run(cells: NDArray[np.int64]) -> Any:
    """Give cells that follow each other as a slice."""
    run = len(cells) and (np.diff(cells) == 1).all()
    return slice(int(cells[0]), int(cells[-1]) + 1) if run else cells


def listed(labels: Sequence[int]) -> str:
    """List labels, the first of many."""
    rest = len(labels) - FEW
    return f"{list(labels[:FEW])}{f' and {rest} more' if rest > 0 else ''}"


def stored_chunks(variable: Variable, dims: tuple[Hashable, ...]) -> list[tuple[int, ...]]:
    """Give the chunks along ``dims`` in which data on disk are best read whole."""
    from dask.array.core import normalize_chunks

    known = variable.encoding.get("preferred_chunks", {})
    if any(known.get(d, n) != n for d, n in variable.sizes.items()):
        return [regular(known.get(d, variable.sizes[d]), variable.sizes[d]) for d in dims]
    wanted = ["auto" if d in dims else n for d, n in variable.sizes.items()]
    dtype = np.dtype("M8[us]") if variable.dtype == object else variable.dtype
    auto = normalize_chunks(wanted, variable.shape, GRANULE, dtype)
    return [auto[variable.get_axis_num(d)] for d in dims]


def regular(chunk: Any, n: int) -> tuple[int, ...]:
    """Give the sizes of chunks along a dimension of ``n`` cells, of which one size may be given."""
    if not isinstance(chunk, int | np.integer):
        return tuple(chunk)
    whole, rest = divmod(n, int(chunk))
    return (int(chunk),) * whole + ((rest,) if rest else ())
