"""Infinite values: dask gives what NumPy gives, without a warning."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xpatch

VALUES = np.array([np.inf, 1, 2, -np.inf, np.inf, 3, np.nan, -np.inf], "f4")
FIELDS = {
    "boxes": (
        xr.DataArray(VALUES, {"x": np.arange(8.0)}, ("x",)),
        {"geometry": {"x": 3}, "sampler": xpatch.RegularStride(1)},
    ),
    "members": (
        xr.DataArray(
            VALUES, {"lon": ("obs", np.arange(8.0)), "lat": ("obs", np.arange(8.0))}, ("obs",)
        ),
        {"geometry": xpatch.KNNGraph(3)},
    ),
}


def signs(patches):
    """Let patches that overlap disagree, so that sums of several blocks are inf − inf."""
    return patches * xr.where(patches["patch"] % 2 == 0, 1, -1).astype("f4")


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(
    "aggregation", ["mean", "sum", "overlap_add", "var", "std", "max", "first"]
)
@pytest.mark.parametrize("skipna", [None, False])
@pytest.mark.parametrize("model", [None, signs])
def test_dask_gives_what_numpy_gives(name, aggregation, skipna, model):
    field, cut = FIELDS[name]

    def merged(some, chunks="auto"):
        patches = some.patch.split(**cut, chunks=chunks)
        patches = patches if model is None else model(patches)
        return patches.patch.merge(aggregation, skipna=skipna)

    for size in (1, 3):
        lazy = merged(field.chunk(size), 2).compute(scheduler="synchronous")
        np.testing.assert_allclose(lazy, merged(field), rtol=1e-6)
