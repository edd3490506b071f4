"""Blocks shared out among sets, so that each set comes near its share of the patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xpatch.spec import is_number

Numbers = NDArray[np.int64]


def checked_shares(parts: Any) -> dict[str, float]:
    """Give the share of each set.

    Raises
    ------
    TypeError, ValueError
        If these are no positive fractions by name that sum to one.
    """
    if not isinstance(parts, Mapping):
        raise TypeError(
            f"sets takes fractions by name, such as {{'train': 0.8, 'test': 0.2}}, got {parts!r}"
        )
    for name, share in parts.items():
        if not isinstance(name, str):
            raise TypeError(f"names of sets must be text, got {name!r}; write {str(name)!r}")
        if not name:
            raise ValueError("'' stands for patches in no set; give the set another name")
        if not is_number(share):
            raise TypeError(f"the share of {name!r} must be a number, got {share!r}")
        if not 0 < share <= 1:
            raise ValueError(f"the share of {name!r} must lie above 0 and up to 1, got {share!r}")
    total = sum(map(float, parts.values()))
    if not abs(total - 1) <= 1e-6:
        mend = {n: round(float(s) / total, 4) for n, s in parts.items()} if total else "…"
        raise ValueError(f"the shares of {[*parts]} sum to {total:.6g}, not to 1; give {mend}")
    return {n: float(s) for n, s in parts.items()}


def codes_of(numbers: Numbers) -> Numbers:
    """Number the distinct rows from 0 on, in their order."""
    out = np.zeros(len(numbers), np.int64)
    for column in numbers.T:
        kinds, found = np.unique(column, return_inverse=True)
        out = np.unique(out * len(kinds) + found.reshape(-1), return_inverse=True)[1].reshape(-1)
    return out


def strata_of(patches: Any, dim: Any, by: Any) -> Numbers:
    """Number the value of a coordinate that each patch has; one for all where none is asked for.

    Raises
    ------
    KeyError, TypeError, ValueError
        If there is no such coordinate, or it is not one value a patch.
    """
    count = patches.sizes[dim]
    if by is None:
        return np.zeros(count, np.int64)
    if isinstance(by, xr.DataArray):
        values, name = by, f"by ({by.name!r})"
    elif by not in patches.coords:
        known = [n for n, c in patches.coords.items() if c.dims == (dim,) and n != dim]
        raise KeyError(f"by names {by!r}, which is no coordinate along {dim!r}; there are {known}")
    else:
        values, name = patches.coords[by], f"by={by!r}"
    if values.dims != (dim,) or values.size != count:
        raise ValueError(
            f"{name} must be one value for each of {count} patches, shape ({dim},); got {dict(values.sizes)}"
        )
    if dim in values.coords and not np.array_equal(values[dim], patches[dim]):
        raise ValueError(
            f"{name} is of other patches than these: their labels along {dim!r} differ"
        )
    found, _ = pd.factorize(values.to_numpy(), sort=True, use_na_sentinel=False)
    return found.astype(np.int64)


def shared_out(
    blocks: Numbers, strata: Numbers, shares: Sequence[float], seed: Any
) -> NDArray[np.int64]:
    """Give each patch the set of its block: block by block to the set furthest below its share.

    Shares are to hold within each stratum. Strata with too few blocks for every set are one together.
    """
    strata = _pooled(blocks, strata, min(shares))
    kinds = int(strata.max()) + 1
    pairs, counts = np.unique(blocks * kinds + strata, return_counts=True)
    begin = np.searchsorted(pairs // kinds, np.arange(int(blocks.max()) + 2)).tolist()
    which, many = (pairs % kinds).tolist(), counts.tolist()
    total = np.bincount(strata, minlength=kinds)
    lacking = np.outer(total, shares).tolist()  # patches that each set lacks in each stratum
    behind = [0.0] * len(shares)  # those that it lacks of its share of all that were given so far
    out = np.empty(len(begin) - 1, np.int64)
    for block in np.random.default_rng(seed).permutation(len(out)).tolist():
        own = range(begin[block], begin[block + 1])
        size = sum(many[i] for i in own)
        need = [sum(many[i] * lacking[which[i]][k] for i in own) / size for k in range(len(shares))]
        if kinds > 1:  # else all strata would round a share in the same direction
            need = [n + max(-size / 4, min(size / 4, b)) for n, b in zip(need, behind, strict=True)]
        best = need.index(max(need))
        out[block] = best
        behind = [b + s * size for b, s in zip(behind, shares, strict=True)]
        behind[best] -= size
        for i in own:
            lacking[which[i]][best] -= many[i]
    return out[blocks]


def _pooled(blocks: Numbers, strata: Numbers, least: float) -> Numbers:
    """Make those strata one in which a set could not have half a block."""
    kinds = int(strata.max()) + 1
    pairs = np.unique(blocks * kinds + strata)
    few = np.bincount(pairs % kinds, minlength=kinds) * least < 0.5
    return codes_of(np.where(few, -1, np.arange(kinds))[strata][:, None])
