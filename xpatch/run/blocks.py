"""Blocks of patches that are loaded together, and kept until the last of them was given."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Load = Callable[[list[int]], Iterator[tuple[int, Mapping[Hashable, NDArray[Any]]]]]


class Blocks:
    """Gives batches of patches out of blocks.

    Parameters
    ----------
    home, local : array of int
        The block of each patch, and where it is in that, in the order in which they are given.
    cuts : array of int
        Borders of the batches in that order; only their distances count.
    load : callable
        Gives the numbers and variables, patches first, of the blocks with given numbers.
    """

    def __init__(
        self, home: NDArray[np.intp], local: NDArray[np.intp], cuts: NDArray[np.intp], load: Load
    ):
        self.home, self.local, self.load = home, local, load
        self.last = np.zeros(int(home.max(initial=-1)) + 1, np.intp)
        self.last[home] = np.repeat(
            cuts[1:] - cuts[0], np.diff(cuts)
        )  # of several the last is kept
        self.held: dict[int, Mapping[Hashable, NDArray[Any]]] = {}

    def take(self, batch: slice) -> dict[Hashable, NDArray[Any]]:
        """Give the patches of a batch; batches are taken one after the other."""
        own, local = self.home[batch], self.local[batch]
        blocks = list(dict.fromkeys(own.tolist()))
        new = [c for c in blocks if c not in self.held]
        if new:
            self.held.update(self.load(new))
        where = [np.flatnonzero(own == c) for c in blocks] if len(blocks) > 1 else []
        out = {n: self._gathered(n, blocks, where, local) for n in self.held[blocks[0]]}
        for c in blocks:
            if self.last[c] <= batch.stop:
                del self.held[c]
        return out

    def _gathered(
        self,
        name: Hashable,
        blocks: list[int],
        where: list[NDArray[np.intp]],
        local: NDArray[np.intp],
    ) -> NDArray[Any]:
        values = self.held[blocks[0]][name]
        if len(blocks) == 1:
            return values[as_slice(local)]
        out = np.empty((len(local), *values.shape[1:]), values.dtype)
        for c, at in zip(blocks, where, strict=True):
            out[at] = self.held[c][name][local[at]]
        return out


def blocks_of(
    homes: NDArray[np.intp], order: NDArray[np.intp], most: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], list[NDArray[np.intp]]]:
    """Cut an order of patches where their chunk changes, and after at most ``most``.

    Gives the block of each, its place there, and the sorted positions in each block.
    """
    n = len(order)
    starts = np.flatnonzero(np.diff(homes, prepend=-1))
    since = np.arange(n) - np.repeat(starts, np.diff([*starts, n]))
    starts = np.flatnonzero(since % most == 0)
    home = np.repeat(np.arange(len(starts)), np.diff([*starts, n]))
    turn = np.lexsort((order, home))  # blocks stay where they are
    local = np.empty(n, np.intp)
    local[turn] = np.arange(n) - starts[home]
    return home, local, np.split(order[turn], starts[1:])


def as_slice(positions: NDArray[np.intp]) -> Any:
    """Give consecutive positions as a slice, which is indexed without a copy."""
    n = len(positions)
    if n and positions[-1] - positions[0] == n - 1 and (np.diff(positions) == 1).all():
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions
