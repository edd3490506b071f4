"""Where patches are, also of a split that is not made."""

from __future__ import annotations

from typing import Any

import xarray as xr
from xarray.indexes import PandasIndex

from xpatch.geometry.boxes import several_grids
from xpatch.patches.grids import first_grid
from xpatch.patches.index import PatchIndex, with_index
from xpatch.patches.planning import AnyAxes, make_plan
from xpatch.patches.properties import anchors


def anchors_of(obj: Any, patcher: AnyAxes) -> xr.Dataset:
    """Place the patches of a field, of which none is cut.

    Of a Dataset of several grids those of the first.
    """
    if several_grids(getattr(patcher, "geometry", None), getattr(obj, "dims", ())):
        obj, patcher = first_grid(obj, patcher)
    plan, ordinals = make_plan(obj, patcher, "patch")
    index = PatchIndex(PandasIndex(ordinals, "patch"), (plan,))
    return anchors(with_index(xr.Dataset(coords={"patch": ("patch", ordinals)}), index))
