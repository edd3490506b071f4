"""Sets to train on, to validate with and to test on, which share no cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xpatch.spec import check_seed
from xpatch.training.division import apart_of, as_array, division_of
from xpatch.training.sharing import checked_shares, codes_of, shared_out, strata_of


def sets(
    patches: Any,
    parts: Mapping[str, float],
    *,
    block: Any,
    buffer: Any = 0,
    by: Any = None,
    seed: Any = 0,
) -> xr.DataArray:
    """Divide patches into sets that share no cell, by blocks of the field.

    A patch belongs to the block that holds its mid-point; of lists of members, and of windows in time
    that are lists, that which holds the anchor. Blocks are shuffled, and each goes to the set that is
    furthest below its share. Then patches that reach into a later set are left out: the set that is
    named last keeps all of its patches, each one before loses those that share a cell with a later one,
    or come near it.

    Parameters
    ----------
    patches : DataArray or Dataset
        Patches of one field, or of several scenes that `concat` put together. No values are read.
    parts : mapping of str to float
        The share of each set, of all patches before any is left out; they sum to 1. A share is met to
        within about half a block.
    block : number, duration, or mapping of these by dimension
        How large blocks are. Of boxes an int counts cells, a float is a length in units of the labels; a
        number holds along all dimensions in space. Along time steps, or a duration: ``{"time": "30D"}``.
        Of lists of members by ``lon`` and ``lat``, or ``x`` and ``y``. Dimensions that are not named are
        not divided.
    buffer : number, duration, or mapping of these by dimension
        How far sets stay away from each other, as in `apart`: patches come near that do so along all
        dimensions.
    by : str or DataArray (patch,), optional
        Strata: a coordinate with a value for each patch, such as ``"scene"``. Shares hold within each
        value as well. Blocks stay whole, so scenes on the same ground have the same sets there. Values
        with too few blocks for every set are divided together.
    seed : int or others that `numpy.random.default_rng` takes
        The same seed gives the same sets, in whatever order patches are, and on every backend.

    Returns
    -------
    DataArray
        The name of the set of each patch, shape (patch,), and ``""`` for those that are left out.

    Raises
    ------
    KeyError, TypeError, ValueError
        If an argument does not fit, a block is smaller than a patch, a set comes out empty, or nothing
        says whether patches of two scenes share ground.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((64, 64)), dims=("y", "x"))
    >>> patches = field.patch.split(
    ...     geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(4)
    ... )
    >>> sets = patches.patch.sets(
    ...     {"train": 0.5, "val": 0.25, "test": 0.25}, block={"y": 16, "x": 16}
    ... )
    >>> {name: int((sets == name).sum()) for name in ["train", "val", "test", ""]}
    {'train': 56, 'val': 44, 'test': 60, '': 65}
    >>> patches.isel(patch=sets == "test").sizes
    Frozen({'patch': 60, 'y': 8, 'x': 8})
    """
    shares = checked_shares(parts)
    check_seed(seed, "seed")
    division = division_of(patches, block, buffer)
    strata = strata_of(patches, division.dim, by)
    blocks = codes_of(division.numbers())
    homes = shared_out(blocks, strata, [*shares.values()], seed)
    names = np.array([*shares, ""])
    count = int(blocks.max()) + 1
    _check_filled(
        names,
        homes,
        f"of {count} block{'s' * (count > 1)}; make blocks smaller, or its share larger",
    )
    found = apart_of(homes, division, len(shares))
    lost = "all of its patches come near later sets; make blocks larger, or the buffer smaller"
    _check_filled(names, found, lost)
    return as_array(patches, division.dim, names[found], "sets")


def _check_filled(names: Any, found: Any, why: str) -> None:
    """Raise a ValueError if a set has no patch."""
    for k, name in enumerate(names[:-1]):
        if not (found == k).any():
            raise ValueError(f"the set {str(name)!r} comes out empty: {why}")
