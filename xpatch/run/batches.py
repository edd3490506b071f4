"""Batches: walk over patches, reading every chunk of the source as seldom as the order allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
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
from xpatch.spec import check_flag, check_seed

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
        parts = [order[k : k + self.size] for k in range(0, self.stop, self.size)]
        edges = self._edges()
        if edges is not None:
            yield from self._from_chunks(parts, edges)
            return
        arrays = [v._data for v in whole_of(self.obj).variables.values()]
        with keeping(arrays, KEPT_BYTES):
            for part in parts:
                yield self.obj.isel({self.dim: as_slice(part)}).load()

    def _stored(self) -> list[Rows]:
        """Find what reads the variables that are on disk."""
        found = (rows_of(v._data) for v in variables_of(self.obj).values())
        return [rows for rows in found if rows is not None]

    def _shuffled(self) -> NDArray[np.intp]:
        """Shuffle the chunks, and then the patches within a buffer that moves over them."""
        random = np.random.default_rng(self.seed)
        groups = self._groups()
        random.shuffle(groups)
        order = np.concatenate([np.empty(0, np.intp), *groups]).astype(np.intp)
        late = np.arange(len(order)) + random.uniform(0, self.buffer, len(order))
        return order[np.argsort(late)]

    def _groups(self) -> list[NDArray[np.intp]]:
        """Give the positions of patches that come from one chunk."""
        n = self.obj.sizes[self.dim]
        edges, stored = self._edges(), self._stored()
        if edges is not None and len(edges) > 2:
            return np.split(np.arange(n), edges[1:-1])
        if self.source is None or not stored:
            return [np.array([k]) for k in range(n)]
        plan, labels = self.source.plans[0], self.source.ordinals
        if set(np.bincount(labels, minlength=1)) - {0, 1}:
            return [np.array([k]) for k in range(n)]
        rows = max(stored, key=lambda r: len(r.axes))
        sizes = dict(zip(rows.boxes.dims, rows.stored, strict=False))
        where = np.empty(len(plan), np.intp)
        where[labels] = np.arange(n)
        return [where[g] for g in groups_within(sizes, plan, labels, len(plan))]

    def _edges(self) -> NDArray[np.intp] | None:
        """Give the borders of patch blocks that all chunked variables share; None if none is."""
        chunked = (v for v in whole_of(self.obj).variables.values() if v.chunks is not None)
        borders = [set(np.cumsum(v.chunksizes[self.dim])) for v in chunked if self.dim in v.dims]
        if not borders:
            return None
        return np.array(sorted(set.intersection(*borders) | {0}), np.intp)

    def _from_chunks(self, parts: list[NDArray], edges: NDArray[np.intp]) -> Iterator[Any]:
        """Load each block of patches once, and keep it until its last patch was given."""
        homes = [np.searchsorted(edges, part, side="right") - 1 for part in parts]
        left = Counter(int(c) for home in homes for c in np.unique(home))
        held: dict[int, Any] = {}
        for part, home in zip(parts, homes, strict=True):
            wanted = list(dict.fromkeys(home.tolist()))
            new = [c for c in wanted if c not in held]
            for run in np.split(new, np.flatnonzero(np.diff(new) != 1) + 1) if new else []:
                low = int(edges[run[0]])
                loaded = self._loaded(low, int(edges[run[-1] + 1]))
                for c in run.tolist():
                    cells = slice(int(edges[c]) - low, int(edges[c + 1]) - low)
                    held[c] = loaded.isel({self.dim: cells})
            pieces = [
                held[c].isel({self.dim: as_slice(part[home == c] - edges[c])}) for c in wanted
            ]
            batch = pieces[0] if len(pieces) == 1 else xr.concat(pieces, self.dim)
            back = np.argsort(np.concatenate([np.flatnonzero(home == c) for c in wanted]))
            yield batch if len(pieces) == 1 else batch.isel({self.dim: as_slice(back)})
            for c in wanted:
                left[c] -= 1
                if not left[c]:
                    del held[c]

    def _loaded(self, low: int, high: int) -> Any:
        """Load patches of a dask array; errors tell which, and where these are in the field."""
        try:
            return self.obj.isel({self.dim: slice(low, high)}).load()
        except Exception as error:
            labels = listed(self.obj[self.dim].values[low:high].tolist())
            error.add_note(f"raised for the patches with labels {labels}{self._region(low, high)}")
            raise

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
    if len(positions) and (np.diff(positions) == 1).all():
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions
