"""The order in which patches are walked over, and how readers share it: positions alone, nothing is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.spec import is_integer

Positions = NDArray[np.intp]


def by_chunk(homes: Positions, random: np.random.Generator) -> Positions:
    """Shuffle chunks, and the patches of each; ``homes`` number the chunk of each patch."""
    turn = random.permutation(int(homes.max(initial=-1)) + 1)
    return np.lexsort((random.random(len(homes)), turn[homes]))


def mixed(n: int, buffer: int, random: np.random.Generator) -> Positions:
    """Give an order in which none of n comes earlier, or later, by ``buffer`` places."""
    return np.argsort(np.arange(n) + random.uniform(0, buffer, n))


def batch_edges(
    n: int,
    size: int,
    drop_last: bool = False,
    shard: tuple[int, int] = (0, 1),
    worker: tuple[int, int] = (0, 1),
) -> Positions:
    """Cut an order of patches into batches: those of one reader of several.

    All shards have as many batches. With ``drop_last`` all of these are full, and fewer than
    ``size`` patches a shard are left out; else each patch is in one batch, and the last ones are
    smaller. The workers of a shard share its batches; some may have one more than others.

    Parameters
    ----------
    n : int
        Patches.
    size : int
        Patches in a batch.
    drop_last : bool
        Leave out what makes no full batch.
    shard, worker : tuple of int
        Which one of how many, counted from 0.

    Returns
    -------
    array of int
        Borders of the batches in the order of all patches, one more than batches.

    Raises
    ------
    ValueError
        If there is no batch for each shard, or they cannot have as many.
    """
    (k, shards), (w, workers) = shard, worker
    if drop_last:
        count, low = n // shards // size, k * (n // shards)
        edges = low + size * np.arange(count + 1)
    else:
        most = (n + shards - 1) // shards
        count = (most + size - 1) // size
        low, high = k * n // shards, (k + 1) * n // shards
        each = np.arange(count + 1)
        # as many batches in a shard that has one patch less: the last ones are smaller
        edges = low + np.minimum(size * each, high - low - count + each)
    if shards > 1:
        _check_counts(n, size, drop_last, shards, count)
    return edges[w * count // workers : (w + 1) * count // workers + 1]


def _check_counts(n: int, size: int, drop_last: bool, shards: int, count: int) -> None:
    least = n // shards
    if drop_last and not count:
        raise ValueError(
            f"{n} patches over {shards} shards are {least} each, less than one batch of {size}; use batch_size={least} or "
            "less, or drop_last=False"
            if least
            else f"there are {n} patches for {shards} shards, fewer than one each"
        )
    if not drop_last and least < count:
        raise ValueError(
            f"{n} patches in batches of {size} are not as many batches for each of {shards} shards, and a network that "
            "is trained on several devices waits for the one that has none; use drop_last=True, or another batch_size"
        )


def check_shard(shard: Any) -> tuple[int, int]:
    """Give which shard of how many.

    Raises
    ------
    TypeError, ValueError
        If it is no pair of ints, the first of which is less than the second.
    """
    if not isinstance(shard, tuple | list) or len(shard) != 2 or not all(map(is_integer, shard)):
        raise TypeError(
            f"shard must be a pair of ints (k, n), the k-th of n shards, got {shard!r}; shard=(0, 2) is the first of two"
        )
    k, n = map(int, shard)
    if not 0 <= k < n:
        raise ValueError(
            f"shard=({k}, {n}) must count from 0: the {n} shards are (0, {n}) to ({n - 1}, {n})"
            if n > 0
            else f"shard=({k}, {n}) must be one of at least one shard"
        )
    return k, n
