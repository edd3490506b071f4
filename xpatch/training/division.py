"""Patches of one field or of several scenes, to be divided."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.patches.index import labels_of, patch_index
from xpatch.patches.scene import alone, scene_rows
from xpatch.training.blocks import OneField
from xpatch.training.scenes import Scenes


def division_of(patches: Any, block: Any, buffer: Any) -> OneField | Scenes:
    """Give the blocks of patches, and what tells which are near others.

    Raises
    ------
    TypeError, ValueError
        If they are no patches, or nothing says where they are.
    """
    index = patch_index(patches)
    if index is not None and index.mixed and not index.scenes:
        raise ValueError(
            "these patches were put together by xr.concat and do not know where they are from; "
            "xpatch.concat([…]) remembers it"
        )
    found = scene_rows(patches)
    if found is None or len(found[1]) == 1:
        return _checked(OneField(alone(patches), block, buffer), patches)
    return _checked(Scenes(patches, *found, block, buffer), patches)


def _checked(found: Any, patches: Any) -> Any:
    if found.dim not in patches.dims:
        raise ValueError(
            f"there is no dimension {found.dim!r} to divide along; give the patches, not a single one, nor flattened ones"
        )
    if not patches.sizes[found.dim]:
        raise ValueError("there are no patches to be divided")
    return found


def apart_of(homes: NDArray[np.int64], division: Any, count: int) -> NDArray[np.int64]:
    """Leave out patches that come near those of later sets, which keep theirs: −1."""
    out = homes.copy()
    held = np.zeros(len(homes), bool)
    for k in reversed(range(count)):
        own = homes == k
        if held.any() and own.any():
            near = division.near(held)
            out[own & near] = -1
        held |= out == k
    return out


def as_array(patches: Any, dim: Any, values: NDArray[Any], name: str) -> xr.DataArray:
    """Give values as patches are labeled."""
    return xr.DataArray(values, labels_of(patches, (dim,)), (dim,), name)
