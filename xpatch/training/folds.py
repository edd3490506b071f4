"""Folds of a cross-validation that share no cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.spec import check_seed, is_integer
from xpatch.training.division import division_of
from xpatch.training.sharing import codes_of, shared_out

Pair = tuple[NDArray[np.int64], NDArray[np.int64]]


def folds(patches: Any, k: int, *, block: Any, buffer: Any = 0, seed: Any = 0) -> Iterator[Pair]:
    """Give folds for a cross-validation, by blocks of the field: what ``cv=`` of scikit-learn takes.

    Every patch is tested once. Each time the model is trained on all others that share no cell with the
    test, nor come near it.

    Parameters
    ----------
    patches : DataArray or Dataset
        Patches of one field, or of several scenes that `concat` put together. No values are read.
    k : int
        How many folds, of about as many patches each.
    block : number, duration, or mapping of these by dimension
        How large blocks are. Of boxes an int counts cells, a float is a length in units of the labels.
        Along time steps, or a duration: ``{"time": "30D"}``.
    buffer : number, duration, or mapping of these by dimension
        How far the patches to train on stay away from those to test on.
    seed : int or others that `numpy.random.default_rng` takes
        The same seed gives the same folds.

    Returns
    -------
    iterator of tuples of int64 arrays
        Positions along the patch dimension, to train on and to test on.

    Raises
    ------
    KeyError, TypeError, ValueError
        If an argument does not fit, there are fewer blocks than folds, or nothing is left to train on.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(40), dims="x")
    >>> patches = field.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    >>> [
    ...     (len(train), len(test))
    ...     for train, test in patches.patch.folds(2, block={"x": 10})
    ... ]
    [(8, 10), (9, 9)]
    """
    if not is_integer(k):
        raise TypeError(f"folds takes the number of folds, an int, got {k!r}")
    if k < 2:
        raise ValueError(f"folds needs at least 2, one to test on and one to train on, got {k!r}")
    check_seed(seed, "seed")
    division = division_of(patches, block, buffer)
    blocks = codes_of(division.numbers())
    count = int(blocks.max()) + 1
    if count < k:
        raise ValueError(
            f"{k} folds need as many blocks, and there are {count}; make blocks smaller, or ask for fewer folds"
        )
    return _pairs(
        division, shared_out(blocks, np.zeros_like(blocks), [1 / k] * int(k), seed), int(k)
    )


def _pairs(division: Any, homes: NDArray[np.int64], k: int) -> Iterator[Pair]:
    for fold in range(k):
        test = homes == fold
        train = ~(test | division.near(test))
        if not train.any():
            raise ValueError(
                f"nothing is left to train on in fold {fold}: all other patches come near its test; make the "
                "buffer or the blocks smaller, or ask for more folds"
            )
        yield np.flatnonzero(train), np.flatnonzero(test)
