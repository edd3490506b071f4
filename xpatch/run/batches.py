"""Batches: walk over patches, reading every chunk of the source as seldom as the order allows."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import variables_of
from xpatch.engine.homes import homes_of
from xpatch.engine.lazy import keeping, parts_of, rows_of
from xpatch.engine.reading import listed
from xpatch.patches.index import patch_index, whole_of
from xpatch.patches.provenance import Provenance, provenance
from xpatch.patches.recall import indexed
from xpatch.run.blocks import Blocks, as_slice, blocks_of
from xpatch.run.draw import Draw, first
from xpatch.run.order import batch_edges, by_chunk, check_shard, mixed
from xpatch.spec import check_flag, check_seed

__all__ = ["batches"]

KEPT_BYTES = 1 << 29  # of stored chunks that are kept while batches are read from disk
BLOCK_BYTES = 1 << 25  # of patches of one chunk that are cut at a time
BUFFER = 16  # batches that shuffled patches are mixed within


class Batches:
    """Loaded batches of patches, which can be walked over as often as needed."""

    def __init__(
        self,
        obj: Any,
        batch_size: int,
        drop_last: bool = False,
        shuffle: bool = False,
        seed: Any = None,
        buffer_size: int | None = None,
        shard: tuple[int, int] | None = None,
        worker: tuple[int, int] = (0, 1),
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
        if shuffle and seed is None and shard is not None:
            raise ValueError(
                "shards of shuffled patches need a seed, the same for all: each would shuffle in another way, and some "
                f"patches would be in two of them, others in none; use batches(…, seed=0, shard={shard!r})"
            )
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
        own = (0, 1) if shard is None else check_shard(shard)
        n, self.kept = obj.sizes[self.dim], KEPT_BYTES // worker[1]
        self.cuts = batch_edges(n, self.size, drop_last, own, worker)

    def __len__(self) -> int:
        return len(self.cuts) - 1

    def __iter__(self) -> Iterator[Any]:
        draw, arrays = Draw(self.obj, self.dim), whole_of(self.obj).variables.values()
        low, high = self.cuts[0], self.cuts[-1]
        with keeping([v._data for v in arrays], self.kept):
            order, blocks = self._shuffled(draw, low, high) if self.shuffle else (None, None)
            order = np.arange(low, high) if order is None else order
            blocks = self._of_dask(order) if blocks is None else blocks
            for rows in map(slice, self.cuts[:-1] - low, self.cuts[1:] - low):
                if blocks is None:
                    yield draw(as_slice(order[rows]))
                else:
                    yield draw(as_slice(order[rows]), blocks.take(rows))

    def _shuffled(self, draw: Draw, low: int, high: int) -> tuple[NDArray[np.intp], Blocks | None]:
        """Shuffle the chunks, and then the patches within a buffer that moves over them."""
        random = np.random.default_rng(self.seed)
        homes = self._homes()
        if homes is None:  # a permutation is mixed as it is; a buffer would only add a sort
            return random.permutation(self.obj.sizes[self.dim])[low:high], None
        order = by_chunk(homes, random)[low:high]
        turn = mixed(len(order), self.buffer, random)
        stored = draw.stored
        if self._edges() is not None or not stored:
            return order[turn], None
        patch = sum(stored[n].variable.nbytes for n in stored) // max(1, len(homes))
        most = min(self.buffer, max(1, BLOCK_BYTES // max(1, patch)))
        home, local, parts = blocks_of(homes[order], order, most)

        def load(new: list[int]) -> Iterator[tuple[int, dict[Hashable, NDArray]]]:
            for k in new:
                rows = as_slice(parts[k])
                yield k, {n: first(read(rows), self.dim) for n, read in stored.items()}

        return order[turn], Blocks(home[turn], local[turn], self.cuts, load)

    def _homes(self) -> NDArray[np.intp] | None:
        """Number the chunks that patches come from; None if each is read on its own."""
        edges = self._edges()
        if edges is not None and len(edges) > 2:
            return np.repeat(np.arange(len(edges) - 1), np.diff(edges))
        found = [
            (len(rows.cut.axes), homes)
            for v in variables_of(self.obj).values()
            if self.dim in v.dims
            and (rows := next(filter(None, map(rows_of, parts_of(v._data))), None)) is not None
            and (homes := homes_of(v._data, v.get_axis_num(self.dim))) is not None
        ]
        return max(found, key=lambda f: f[0])[1] if found else None

    def _edges(self) -> NDArray[np.intp] | None:
        """Give the borders of patch blocks that all chunked variables share; None if none is."""
        chunked = filter(self._is_chunked, whole_of(self.obj).variables.values())
        borders = [set(np.cumsum(v.chunksizes[self.dim])) for v in chunked]
        if not borders:
            return None
        return np.array(sorted(set.intersection(*borders) | {0}), np.intp)

    def _is_chunked(self, variable: xr.Variable) -> bool:
        return variable.chunks is not None and self.dim in variable.dims

    def _of_dask(self, order: NDArray[np.intp]) -> Blocks | None:
        """Give the blocks of patches that lie in dask's arrays."""
        edges = self._edges()
        if edges is None:
            return None
        home = np.searchsorted(edges, order, side="right") - 1

        def load(new: list[int]) -> Iterator[tuple[int, dict[Hashable, NDArray]]]:
            # those that lie side by side at once
            for run in np.split(new, np.flatnonzero(np.diff(new) != 1) + 1):
                low = int(edges[run[0]])
                loaded = self._loaded(low, int(edges[run[-1] + 1]))
                for c in run.tolist():
                    cells = slice(int(edges[c]) - low, int(edges[c + 1]) - low)
                    yield c, {n: v[cells] for n, v in loaded.items()}

        return Blocks(home, order - edges[home], self.cuts, load)

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


def batches(
    obj: Any,
    batch_size: int,
    drop_last: bool = False,
    *,
    shuffle: bool = False,
    seed: int | None = None,
    buffer_size: int | None = None,
    shard: tuple[int, int] | None = None,
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
    shard : tuple of int, optional
        ``(k, n)``: the k-th, from 0, of n equal parts of the batches, for n processes or devices; a run of the order of
        the (shuffled) chunks. All have equally many batches. Together they have each patch once; with
        ``drop_last=True`` up to ``n * batch_size - 1`` patches are left out, else the last batches may be smaller.
        Shuffled shards need the same ``seed``; vary it by epoch.

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
    >>> [
    ...     batch["patch"].values.tolist()
    ...     for batch in patches.patch.batches(2, shard=(1, 2))
    ... ]
    [[2, 3]]
    """
    return Batches(obj, batch_size, drop_last, shuffle, seed, buffer_size, shard)
