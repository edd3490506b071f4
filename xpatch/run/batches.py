"""Batches: walk over patches, reading every chunk of the source as seldom as the order allows."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import variables_of
from xpatch.engine.lazy import Rows, keeping, rows_of
from xpatch.engine.reading import listed
from xpatch.patches.chunks import groups_within
from xpatch.patches.index import patch_index, whole_of
from xpatch.patches.provenance import Provenance, provenance
from xpatch.patches.recall import indexed
from xpatch.run.draw import Draw
from xpatch.spec import check_flag, check_seed

__all__ = ["batches"]

KEPT_BYTES = 1 << 29  # of stored chunks that are kept while batches are read from disk
BUFFER = 16  # batches that shuffled patches are mixed within


class Batches:
    """Loaded batches of patches, which can be walked over as often as needed."""

    def __init__(
        self,
        obj: Any,
        batch_size: int,
        drop_last: bool = False,
        shuffle: bool = False,
        seed: int | None = None,
        buffer_size: int | None = None,
    ):
        for name, value in (("batch_size", batch_size), ("buffer_size", buffer_size)):
            if value is None and name == "buffer_size":
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{name} must be an int, got {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        check_flag(drop_last, "drop_last")
        check_flag(shuffle, "shuffle")
        check_seed(seed, "batches")
        if not shuffle and (seed is not None or buffer_size is not None):
            raise ValueError("seed and buffer_size are those of shuffle=True")
        obj = indexed(obj)
        self.obj, self.size, self.shuffle, self.seed = obj, int(batch_size), shuffle, seed
        self.buffer = int(buffer_size or BUFFER * batch_size)
        index = patch_index(obj)
        self.source: Provenance | None = None
        if index is not None and index.mixed:  # patches of several scenes are as good
            self.dim: Hashable = index.dim
        else:
            self.source = provenance(obj)
            self.dim = self.source.dim
        n = obj.sizes[self.dim]
        self.stop = n - n % self.size if drop_last else n

    def __len__(self) -> int:
        return -(-self.stop // self.size)

    def __iter__(self) -> Iterator[Any]:
        order = self._shuffled() if self.shuffle else np.arange(self.obj.sizes[self.dim])
        order = order[: self.stop]
        draw, edges = Draw(self.obj, self.dim), self._edges()
        arrays = [v._data for v in whole_of(self.obj).variables.values()]
        with keeping(arrays, KEPT_BYTES):
            if edges is not None:
                yield from self._from_chunks(draw, order, edges)
                return
            for low in range(0, self.stop, self.size):
                yield draw(as_slice(order[low : low + self.size]))

    def _stored(self) -> list[Rows]:
        """Find what reads the variables that are on disk."""
        found = (rows_of(v._data) for v in variables_of(self.obj).values())
        return [rows for rows in found if rows is not None]

    def _shuffled(self) -> NDArray[np.intp]:
        """Shuffle the chunks, and then the patches within a buffer that moves over them."""
        random = np.random.default_rng(self.seed)
        groups = self._groups()
        if groups is None:  # a permutation is mixed as it is; a buffer would only add a sort
            return random.permutation(self.obj.sizes[self.dim])
        random.shuffle(groups)
        order = np.concatenate([np.empty(0, np.intp), *groups]).astype(np.intp)
        late = np.arange(len(order)) + random.uniform(0, self.buffer, len(order))
        return order[np.argsort(late)]

    def _groups(self) -> list[NDArray[np.intp]] | None:
        """Give the positions of patches that come from one chunk; None if each is read on its own."""
        n = self.obj.sizes[self.dim]
        edges, stored = self._edges(), self._stored()
        if edges is not None and len(edges) > 2:
            return np.split(np.arange(n), edges[1:-1])
        if self.source is None or not stored:
            return None
        plan, labels = self.source.plans[0], self.source.ordinals
        if np.bincount(labels, minlength=1).max() > 1:
            return None
        rows = max(stored, key=lambda r: len(r.cut.axes))
        sizes = dict(zip(rows.cut.hood.dims, rows.stored, strict=False))
        where = np.empty(len(plan), np.intp)
        where[labels] = np.arange(n)
        return [where[g] for g in groups_within(sizes, plan, labels, len(plan))]

    def _edges(self) -> NDArray[np.intp] | None:
        """Give the borders of patch blocks that all chunked variables share; None if none is."""
        chunked = filter(self._is_chunked, whole_of(self.obj).variables.values())
        borders = [set(np.cumsum(v.chunksizes[self.dim])) for v in chunked]
        if not borders:
            return None
        return np.array(sorted(set.intersection(*borders) | {0}), np.intp)

    def _is_chunked(self, variable: xr.Variable) -> bool:
        return variable.chunks is not None and self.dim in variable.dims

    def _from_chunks(
        self, draw: Draw, order: NDArray[np.intp], edges: NDArray[np.intp]
    ) -> Iterator[Any]:
        """Load each block of patches once, and keep it until its last patch was given."""
        home = np.searchsorted(edges, order, side="right") - 1
        last = np.zeros(len(edges), np.intp)
        last[home] = np.arange(len(order)) // self.size  # of several batches the last is kept
        held: dict[int, Mapping[Hashable, NDArray]] = {}
        for low in range(0, len(order), self.size):
            rows, own = order[low : low + self.size], home[low : low + self.size]
            blocks = list(dict.fromkeys(own.tolist()))
            self._hold([c for c in blocks if c not in held], held, edges)
            local = {c: as_slice(rows[own == c] - edges[c]) for c in blocks}
            back = np.argsort(np.concatenate([np.flatnonzero(own == c) for c in blocks]))
            chunked = {}
            for n in held[blocks[0]]:
                found = [held[c][n][local[c]] for c in blocks]
                chunked[n] = found[0] if len(found) == 1 else np.concatenate(found)[back]
            yield draw(as_slice(rows), chunked)
            for c in blocks:
                if last[c] * self.size <= low:
                    del held[c]

    def _hold(self, new: list[int], held: dict[int, Any], edges: NDArray[np.intp]) -> None:
        """Load blocks of patches; those that lie side by side at once."""
        for run in np.split(new, np.flatnonzero(np.diff(new) != 1) + 1) if new else []:
            low = int(edges[run[0]])
            loaded = self._loaded(low, int(edges[run[-1] + 1]))
            for c in run.tolist():
                cells = slice(int(edges[c]) - low, int(edges[c + 1]) - low)
                held[c] = {n: v[cells] for n, v in loaded.items()}

    def _loaded(self, low: int, high: int) -> dict[Hashable, NDArray]:
        """Load patches of dask arrays; errors tell which, and where these are in the field."""
        chunked = {n: v for n, v in whole_of(self.obj).variables.items() if self._is_chunked(v)}
        some = {k: v.isel({self.dim: slice(low, high)}) for k, v in enumerate(chunked.values())}
        try:
            loaded = xr.Dataset(some).load()
        except Exception as error:
            labels = listed(self.obj[self.dim].values[low:high].tolist())
            error.add_note(f"raised for the patches with labels {labels}{self._region(low, high)}")
            raise
        axes = {n: v.get_axis_num(self.dim) for n, v in chunked.items()}
        return {n: np.moveaxis(loaded[k].data, axes[n], 0) for k, n in enumerate(chunked)}

    def _region(self, low: int, high: int) -> str:
        """Say in which cells of the field boxes lie."""
        boxed = None if self.source is None else self.source.plans[0].boxed
        if self.source is None or boxed is None:
            return ""
        starts = boxed.boxes.starts(self.source.ordinals[low:high])
        stops = starts + boxed.boxes.sizes
        ends = zip(boxed.dims, starts.min(axis=0).tolist(), stops.max(axis=0).tolist(), strict=True)
        return f", at the cells {', '.join(f'{d}={a}:{b}' for d, a, b in ends)}"


def as_slice(positions: NDArray) -> Any:
    """Give consecutive positions as a slice, which is indexed without a copy."""
    n = len(positions)
    if n and positions[-1] - positions[0] == n - 1 and (np.diff(positions) == 1).all():
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions


def batches(
    obj: Any,
    batch_size: int,
    drop_last: bool = False,
    *,
    shuffle: bool = False,
    seed: int | None = None,
    buffer_size: int | None = None,
) -> Batches:
    """Walk over the patches in loaded batches.

    Of a dask array each patch block is computed once, and kept until its last patch was given;
    a source chunk is computed again for each later block whose patches reach into it. Of data
    on disk a stored chunk is read once as long as the chunks of one row of patches fit into
    512 MiB.

    Parameters
    ----------
    obj : DataArray or Dataset
        The patches.
    batch_size : int
        Patches in a batch.
    drop_last : bool, default: False
        Leave out the last batch if it is smaller.
    shuffle : bool, default: False
        Random order instead of that of the patches: chunks are shuffled, and then patches
        within a buffer, so that chunks are read no more often. Patches in memory are shuffled
        freely.
    seed : int, optional
        The same seed gives the same order; default: another one in each walk.
    buffer_size : int, optional
        How many patches a patch may be moved by within the order of the chunks; default:
        ``16 * batch_size``.

    Returns
    -------
    Batches
        An iterable with a length. ``xr.concat(batches, "patch")`` merges as usual.

    Examples
    --------
    >>> field = xr.DataArray(np.ones((8, 8)), dims=("y", "x"))
    >>> patches = field.patch.split(geometry={"y": 4, "x": 4})
    >>> [batch.sizes["patch"] for batch in patches.patch.batches(3)]
    [3, 1]
    """
    return Batches(obj, batch_size, drop_last, shuffle, seed, buffer_size)
