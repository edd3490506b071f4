"""`Mosaic`: files on a grid as one array that is read when it is indexed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from xpatch.catalogs.grid import Grid, Placement
from xpatch.catalogs.scenes import SceneFile
from xpatch.catalogs.storage import MEND
from xpatch.catalogs.warping import View

APART = 64  # cells between two wanted ones, from which on they are read on their own
SPAN = 1 << 11  # cells along a side that are read at a time, of which memory holds a square
OVERLAPS = ("first", "last", "mean", "min", "max", "count")


class Mosaic(BackendArray):
    """The values (time, band, row, column) of many files on one grid. Copies are itself.

    Parameters
    ----------
    scenes : sequence of SceneFile
        The files, the first ones first.
    numbers : int array (scene, band)
        Which band of each file each band of the array is; 0: it has none.
    steps : int array (scene,)
        Which time each file is of.
    grid : Grid
        Where the cells lie.
    boxes : Placement
        In which of them each file lies.
    resampling, overlap : str
        How cells are warped, and how those of several files become one.
    dtype, fill : dtype, scalar
        Of the array, and its value where there is none; a fill of None: there are no such cells.
    """

    def __init__(
        self,
        scenes: Sequence[SceneFile],
        numbers: NDArray[np.int64],
        steps: NDArray[np.int64],
        grid: Grid,
        boxes: Placement,
        resampling: str,
        overlap: str,
        dtype: np.dtype,
        fill: Any,
    ):
        self.scenes, self.numbers, self.steps = tuple(scenes), numbers, steps
        self.grid, self.boxes = grid, boxes
        self.resampling, self.overlap = resampling, overlap
        self.dtype, self.fill = np.dtype(dtype), fill
        self.shape = (int(steps.max(initial=0)) + 1, numbers.shape[1], *grid.shape)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def __getstate__(self) -> dict[str, Any]:
        # By what is pickled dask names arrays: one of a file that was written anew is another.
        versions = [scene.known_version for scene in self.scenes]
        state = {n: v for n, v in self.__dict__.items() if n != "_tree"}
        return {**state, "versions": versions}

    def __copy__(self) -> Mosaic:
        return self

    def __deepcopy__(self, memo: object) -> Mosaic:
        return self

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Read what is asked for, in runs of cells that lie close together."""
        wanted = [numbers_of(k, n) for k, n in zip(key, self.shape, strict=True)]
        out = np.empty(tuple(map(len, wanted)), self.dtype)
        for rows in runs(wanted[2]):
            for columns in runs(wanted[3]):
                y, x = wanted[2][rows], wanted[3][columns]
                if not len(y) or not len(x):
                    continue
                span = (int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1)
                some = np.ix_(y - span[0], x - span[1])
                found = self.hits(wanted[1], span)
                steps = self.steps[self.boxes.files[found]]
                for k, step in enumerate(wanted[0].tolist()):
                    own = found[steps == step]
                    out[k][:, rows, columns] = self.window(own, wanted[1], span)[(..., *some)]
        dropped = tuple(
            0 if np.ndim(k) == 0 and not isinstance(k, slice) else slice(None) for k in key
        )
        return np.asarray(out[dropped])

    @cached_property
    def _tree(self) -> Any:
        import shapely

        r0, c0, r1, c1 = self.boxes.cells.T.astype(float)
        return shapely.STRtree(shapely.box(c0, r0, c1, r1))

    def hits(self, bands: NDArray[Any], span: Sequence[int]) -> NDArray[np.intp]:
        """Give the boxes that lie in some cells, of all times, those of the first files first."""
        import shapely

        top, left, bottom, right = span
        found = self._tree.query(shapely.box(left, top, right, bottom))
        cells, files = self.boxes.cells[found], self.boxes.files[found]
        inside = (cells[:, :2] < [bottom, right]).all(axis=1)
        inside &= (cells[:, 2:] > [top, left]).all(axis=1)
        inside &= (self.numbers[files][:, bands] > 0).any(axis=1)
        out: NDArray[np.intp] = found[inside][np.argsort(files[inside], kind="stable")]
        return out

    def _view(self, box: int) -> View:
        file = int(self.boxes.files[box])
        r0, c0, r1, c1 = self.boxes.cells[box].tolist()
        turn, (x, y) = float(self.boxes.turns[box]), self.boxes.scales[file].tolist()
        cells, scene = (r0, c0, r1, c1), self.scenes[file]
        return View.on(self.grid, scene, cells, turn, (x, y), self.resampling)

    def window(
        self, found: NDArray[np.intp], bands: NDArray[Any], span: Sequence[int]
    ) -> NDArray[Any]:
        """Give the values (band, row, column) of boxes of one time in some cells."""
        shape = (len(bands), span[2] - span[0], span[3] - span[1])
        together = Together(self.overlap, shape, self.dtype, self.fill)
        order = found[::-1] if self.overlap == "last" else found
        for file, view in ((int(self.boxes.files[k]), self._view(k)) for k in order.tolist()):
            top, left = max(span[0], view.cells[0]), max(span[1], view.cells[1])
            bottom, right = min(span[2], view.cells[2]), min(span[3], view.cells[3])
            part = (slice(top - span[0], bottom - span[0]), slice(left - span[1], right - span[1]))
            numbers = self.numbers[file][bands]
            own = np.flatnonzero(numbers)
            if not together.open(own, part):
                continue
            values, there = view.read(numbers[own].tolist(), (top, left, bottom, right))
            together.add(own, part, values, there)
        return together.finished()


def numbers_of(key: Any, n: int) -> NDArray[Any]:
    """Give the positions that a slice, an array or a number selects."""
    if isinstance(key, slice):
        return np.arange(*key.indices(n))
    key = np.atleast_1d(np.asarray(key))
    return np.where(key < 0, key + n, key)


def runs(wanted: NDArray[Any]) -> list[Any]:
    """Give slices of positions that lie close together, and span no more than `SPAN` cells."""
    edges, start = [0], 0
    for k in range(1, len(wanted)):
        apart = abs(int(wanted[k]) - int(wanted[k - 1])) > APART
        if apart or abs(int(wanted[k]) - int(wanted[start])) >= SPAN:
            edges.append(k)
            start = k
    return [slice(a, b) for a, b in itertools.pairwise([*edges, len(wanted)])]


class Together:
    """Makes one value of those that several files have in a cell, in their order."""

    def __init__(self, overlap: str, shape: tuple[int, ...], dtype: np.dtype, fill: Any):
        self.overlap, self.fill = overlap, fill
        self.values = np.full(shape, 0 if fill is None else fill, dtype)
        self.count = np.zeros(shape, np.int64 if overlap in ("mean", "count") else bool)
        total = np.result_type(dtype, float)
        self.sum = np.zeros(shape, total) if overlap == "mean" else None

    def open(self, bands: NDArray[Any], part: tuple[slice, slice]) -> bool:
        """Whether a further file can change cells of a part."""
        picking = self.overlap in ("first", "last")
        return not picking or not all(self.count[band][part].all() for band in bands.tolist())

    def add(self, bands: NDArray[Any], part: Any, values: NDArray, there: NDArray) -> None:
        """Take the values of a file where they are there."""
        for k, band in enumerate(bands.tolist()):
            self._add(band, part, values[k], there[k])

    def _add(self, band: int, part: Any, new: NDArray, there: NDArray) -> None:
        held, count = self.values[band][part], self.count[band][part]  # views
        if self.sum is not None:
            self.sum[band][part] += np.where(there, new, 0)
        if self.overlap in ("mean", "count"):
            count += there
            return
        if self.overlap in ("min", "max"):
            smaller = np.minimum if self.overlap == "min" else np.maximum
            smaller(held, new, out=held, where=there & count)
        np.copyto(held, new, where=there & ~count)
        count |= there

    def finished(self) -> NDArray[Any]:
        """Give the values.

        Raises
        ------
        ValueError
            If cells have none, and there is no number for that.
        """
        if self.fill is None and not self.count.all():
            raise ValueError(
                f"the files leave {int((self.count == 0).sum())} cells of {self.values.dtype} without a value, by "
                f"their masks or outlines, and have no nodata: say what {MEND}"
            )
        if self.overlap == "count":
            return self.count
        if self.sum is not None:
            there = self.count > 0
            np.divide(self.sum, self.count, out=self.sum, where=there)
            return np.where(there, self.sum, self.fill).astype(self.values.dtype)
        return self.values
