"""`Source`: patches one by one, or some at once, as arrays of NumPy, for the loaders of any framework."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import variables_of
from xpatch.engine.homes import homes_of
from xpatch.engine.lazy import apart, keeping
from xpatch.patches.index import patch_index
from xpatch.patches.provenance import provenance
from xpatch.patches.recall import indexed
from xpatch.run.draw import Column, column, first
from xpatch.spec import is_integer

__all__ = ["source"]

KEPT_BYTES = 1 << 29  # of stored chunks that are kept while the patches of one batch are read
NUMBERS = "biufc"
UNNAMED = "values"

Sample = dict[str, Any]

_ready: set[int] = set()  # processes that were made ready to read


class Source:
    """Patches by number, as dicts of arrays; see `source`."""

    def __init__(self, patches: Any, transform: Callable[[Sample], Any] | None = None):
        self.patches, self.dim = numeric(patches)
        if transform is not None and not callable(transform):
            raise TypeError(
                f"transform must be a function of the dict of arrays of one patch, got {transform!r}"
            )
        self.transform = transform
        self.variables = patch_variables(self.patches, self.dim)
        self.labels = np.asarray(self.patches[self.dim].values)
        # some loaders ask for single patches from several threads; what keeps chunks is for one at a time
        single, together = self._apart(), self._apart()
        self.stored = [v for v in together.values() if v.chunks is None and not v._in_memory]
        self.columns = {n: column(v, self.dim, False) for n, v in single.items()}
        self.together = {n: column(v, self.dim, False) for n, v in together.items()}
        self.lock, self.process = threading.Lock(), os.getpid()

    def _apart(self) -> dict[str, xr.Variable]:
        return {n: v._replace(data=apart(v._data)) for n, v in self.variables.items()}

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<Source: {len(self)} patches of {', '.join(self.variables)}>"

    def __getstate__(self) -> tuple[Any, Any]:
        return self.patches, self.transform

    def __setstate__(self, state: tuple[Any, Any]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __getitem__(self, number: int) -> Any:
        k = self._position(number)
        return self._given(self._loaded(self.columns, slice(k, k + 1)), 0)

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        """Give several patches, each stored chunk read once."""
        rows = np.array([self._position(k) for k in numbers], np.intp)
        if not len(rows):
            return []
        order = np.lexsort((rows, self._homes(rows)))
        with self.lock, keeping([v._data for v in self.stored], KEPT_BYTES):
            found = self._loaded(self.together, rows[order])
        return [self._given(found, k) for k in np.argsort(order).tolist()]

    def _position(self, number: Any) -> int:
        if not is_integer(number):
            raise TypeError(
                f"a source is asked for one patch by its number, source[3], got {number!r}; for patches as an "
                "xarray object use patches.isel"
            )
        n = len(self)
        if not -n <= number < n:
            raise IndexError(f"patch {number} is not among the {n} patches of the source")
        return int(number) % n

    def _homes(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Number the chunks that patches come from, so that these are asked one after the other."""
        for v in self.stored:
            homes = homes_of(v.isel({self.dim: rows})._data, v.get_axis_num(self.dim))
            if homes is not None:
                return homes
        return np.zeros(len(rows), np.intp)

    def _loaded(self, columns: Mapping[str, Column], rows: Any) -> dict[str, NDArray[Any]]:
        if os.getpid() != self.process:
            make_ready()
        found = {n: own_array(first(read(rows), self.dim)) for n, read in columns.items()}
        return found | {str(self.dim): self.labels[rows].copy()}

    def _given(self, found: Mapping[str, NDArray[Any]], k: int) -> Any:
        sample = {n: values[k, ...] for n, values in found.items()}
        return sample if self.transform is None else self.transform(sample)


def make_ready() -> None:
    """Make a worker ready to read: what its parent had open, or running, is of no use after a fork."""
    if os.getpid() in _ready:
        return
    import dask
    from xarray.backends.file_manager import FILE_CACHE

    FILE_CACHE.clear()  # readers that share the place in a file with their parent get bytes of elsewhere
    dask.config.set(scheduler="synchronous")  # threads do not come along
    _ready.add(os.getpid())


def own_array(values: NDArray[Any]) -> NDArray[Any]:
    """Give values that may be written to without harm to the field, in the byte order of the machine."""
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    return native if native.flags.owndata and native.flags.writeable else native.copy()


def patch_variables(patches: Any, dim: Hashable) -> dict[str, xr.Variable]:
    """Give the data variables that differ between patches, by the names that loaders give them."""
    found = variables_of(patches)
    if isinstance(patches, xr.DataArray):
        return {UNNAMED if patches.name is None else str(patches.name): patches.variable}
    return {str(n): v for n, v in found.items() if dim in v.dims}


def numeric(patches: Any) -> tuple[Any, Hashable]:
    """Give patches without coordinates but their labels, and their dimension.

    Raises
    ------
    TypeError
        If a variable holds no numbers, as texts and dates.
    ValueError
        If these are no patches, or no variable is along their dimension.
    """
    patches = indexed(patches)
    index = patch_index(patches)
    mixed = index is not None and index.mixed
    dim = index.dim if index is not None and mixed else provenance(patches).dim
    found = patch_variables(patches, dim)
    wrong = {n: v.dtype for n, v in found.items() if v.dtype.kind not in NUMBERS}
    if wrong:
        n, dtype = next(iter(wrong.items()))
        raise TypeError(
            f"networks take numbers, and {n!r} is of dtype {dtype}; leave it out, patches.drop_vars({n!r}), or make it "
            f"a number, patches.assign({n}=patches[{n!r}].astype('int64'))"
        )
    if not found:
        raise ValueError(
            f"no data variable of these patches lies along {dim!r}, so there is nothing to load"
        )
    if str(dim) in found:
        raise ValueError(f"a variable is called {dim!r} like the labels of patches; rename it")
    return patches.drop_vars([n for n in patches.coords if n != dim]), dim


def source(patches: Any, transform: Callable[[Sample], Any] | None = None) -> Source:
    """Give the patches by number, as dicts of NumPy arrays: what loaders of torch, grain and keras ask.

    It is a map-style dataset of torch and a ``RandomAccessDataSource`` of grain, with ``len``,
    ``[i]``, and ``__getitems__``, by which torch's loader reads a batch at once, each stored chunk
    once. No framework is imported, and it can be pickled. Of data on disk patches in random order
    read a chunk again in each batch; to read it once an epoch use `xpatch.torch.Stream`, or
    ``patches.patch.batches(…, shuffle=True)``.

    Parameters
    ----------
    patches : DataArray or Dataset
        The patches, of one scene or several; in memory, on disk, or of dask.
    transform : callable, optional
        What is done to the dict of one patch, as augmentation; it gives what the loader gets. The
        arrays are copies that may be written to.

    Returns
    -------
    Source
        Each patch is a dict: of each data variable along the patch dimension the array of that
        patch, under its name (a DataArray without a name: ``"values"``), and under the name of the
        patch dimension, ``"patch"``, the label of the patch, an int64, by which predictions are put
        back: ``patches.sel(patch=labels).copy(data=predictions)``.

    Raises
    ------
    TypeError
        If a variable holds texts or dates.

    Examples
    --------
    >>> field = xr.DataArray(np.arange(64.0).reshape(8, 8), dims=("y", "x"), name="t")
    >>> source = field.patch.split(geometry={"y": 4, "x": 4}).patch.source()
    >>> len(source), source[-1]["t"].shape, int(source[-1]["patch"])
    (4, (4, 4), 3)
    """
    return Source(patches, transform)
