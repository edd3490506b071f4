"""MostCentral: each cell from the patch whose center is nearest, against a loop over all patches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr

import xpatch

NAMES = ("z", "y", "x")
LAYOUTS = {  # cells of the field, of a patch, and from patch to patch
    "1-D": ((23,), (7,), (2,)),
    "even": ((20,), (6,), (3,)),
    "dense": ((17, 15), (7, 7), (1, 1)),
    "uneven": ((22, 19), (9, 4), (4, 2)),
    "3-D": ((9, 8, 10), (5, 4, 3), (2, 2, 1)),
}


def by_hand(patches, shape, skipna=True):
    """Choose by the largest offset, then the sum of squares, then the label."""
    plan = patches.xindexes["patch"].plans[0]
    size = patches.shape[1:]
    offsets = [np.abs(2 * np.arange(n) + 1 - n) / n for n in size]
    best: dict[tuple, tuple] = {}
    for label, values in zip(patches["patch"].values, patches.values, strict=True):
        (start,) = plan.hood.starts(np.array([label]))
        for inner in np.ndindex(*size):
            value = values[inner]
            if skipna and np.isnan(value):
                continue
            far = [o[i] for o, i in zip(offsets, inner, strict=True)]
            rank = (round(max(far), 9), round(sum(f * f for f in far), 9), int(label))
            cell = tuple(np.add(start, inner))
            if cell not in best or rank < best[cell][0]:
                best[cell] = (rank, value)
    out = np.full(shape, np.nan)
    for cell, (_, value) in best.items():
        out[cell] = value
    return out


def split(layout, kind="label"):
    shape, size, step = LAYOUTS[layout]
    names = NAMES[-len(shape) :]
    field = xr.DataArray(np.zeros(shape), dims=names)
    sampler = xpatch.RegularStride(dict(zip(names, step, strict=True)))
    patches = field.patch.split(geometry=dict(zip(names, size, strict=True)), sampler=sampler)
    labels = patches["patch"].values.reshape(-1, *(1,) * len(shape))
    return patches.copy(data=np.broadcast_to(labels, patches.shape).astype(float)), shape


def changed(patches, how):
    rng = np.random.default_rng(7)
    if how == "shuffled":
        return patches.isel(patch=rng.permutation(patches.sizes["patch"]))
    if how == "gaps":
        return patches.where(rng.random(patches.shape) > 0.2)
    if how == "left out":
        keep = np.flatnonzero(rng.random(patches.sizes["patch"]) > 0.2)
        return patches.isel(patch=rng.permutation(keep))
    return patches


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("how", ["all", "shuffled", "gaps", "left out"])
@pytest.mark.parametrize("chunks", [None, 5])
def test_as_by_hand(layout, how, chunks):
    patches, shape = split(layout)
    patches = changed(patches, how)
    given = patches if chunks is None else patches.chunk(patch=chunks)
    merged = given.patch.merge("most_central").values
    np.testing.assert_array_equal(merged, by_hand(patches, shape))


@pytest.mark.parametrize("chunks", [None, {"patch": 70}])
@pytest.mark.parametrize("how", ["all", "shuffled", "left out"])
def test_every_cell_takes_the_patch_that_is_centered_on_it(chunks, how):
    """A model that gives the column of its center gives each cell its own column."""
    column = np.broadcast_to(np.arange(60.0), (60, 60))
    field = xr.DataArray(column, dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 21, "x": 21}, sampler=xpatch.RegularStride(1))
    patches = changed(patches, how)
    model = patches.mean(["y", "x"])
    given = model if chunks is None else model.chunk(chunks)
    merged = given.patch.merge("most_central").values
    nearest = np.clip(column, 10, 49)
    if how != "left out":
        np.testing.assert_array_equal(merged, nearest)
        assert (merged[50] == merged[0]).all()
        return
    labels = patches["patch"].values
    centers = {(int(i) // 40 + 10, int(i) % 40 + 10) for i in labels}
    for y, x in itertools.product(range(60), range(60)):
        if (min(max(y, 10), 49), min(max(x, 10), 49)) in centers and 10 <= y < 50 and 10 <= x < 50:
            assert merged[y, x] == x


def test_columns_and_rows_alike():
    row = xr.DataArray(np.broadcast_to(np.arange(60.0)[:, None], (60, 60)), dims=("y", "x"))
    patches = row.patch.split(geometry={"y": 21, "x": 21}, sampler=xpatch.RegularStride(1))
    merged = patches.mean(["y", "x"]).patch.merge("most_central")
    np.testing.assert_array_equal(merged, np.clip(row, 10, 49))


def test_boxes_anywhere():
    field = xr.DataArray(np.zeros((30, 26)), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 9, "x": 8}, sampler=xpatch.Random(60, seed=0))
    labels = patches["patch"].values[:, None, None]
    patches = patches.copy(data=np.broadcast_to(labels, patches.shape).astype(float))
    want = by_hand(patches, field.shape)
    for how in (patches, patches.isel(patch=slice(None, None, -1)), patches.chunk(patch=7)):
        np.testing.assert_array_equal(how.patch.merge("most_central"), want)


@pytest.mark.parametrize("chunks", [None, {"patch": 4}])
def test_wide_boxes_anywhere(chunks):
    """Boxes of more cells than are merged cell by cell."""
    field = xr.DataArray(np.zeros((50, 45)), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 20, "x": 17}, sampler=xpatch.Random(25, seed=1))
    labels = patches["patch"].values[:, None, None]
    patches = patches.copy(data=np.broadcast_to(labels, patches.shape).astype(float))
    want = by_hand(patches, field.shape)
    given = patches if chunks is None else patches.chunk(chunks)
    np.testing.assert_array_equal(given.patch.merge("most_central"), want)
