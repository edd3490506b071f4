"""Valid: fractions of valid cells against a count by hand."""

from __future__ import annotations

import tracemalloc

import hypothesis.strategies as st
import numpy as np
import xarray as xr
from hypothesis import given

import xpatch
from xpatch.neighborhood import Neighborhood
from xpatch.sampler.valid import box_fractions


@st.composite
def masks_and_boxes(draw):
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 7)) for _ in range(ndim))
    wrap = tuple(draw(st.booleans()) for _ in range(ndim))
    sizes = tuple(draw(st.integers(1, n if w else n + 2)) for n, w in zip(shape, wrap, strict=True))
    count = draw(st.integers(0, 6))
    starts = np.array(
        [
            [draw(st.integers(0, n - 1) if w else st.integers(-3, n + 1)) for n, w in rows]
            for rows in [list(zip(shape, wrap, strict=True))] * count
        ],
        np.int64,
    ).reshape(count, ndim)
    values = np.random.default_rng(draw(st.integers(0, 99))).random(shape)
    mask = values < 0.6 if draw(st.booleans()) else values
    dims = tuple("abc"[:ndim])
    return mask, starts, Neighborhood.boxes(dims, sizes, shape, starts.T, False, wrap)


@given(masks_and_boxes())
def test_fractions_are_those_counted_by_hand(case):
    mask, starts, boxes = case
    expected = []
    for start in starts:
        total = 0.0
        for offset in np.ndindex(*boxes.sizes):
            at = [
                c % n if w else c
                for c, n, w in zip(start + offset, mask.shape, boxes.wrap, strict=True)
            ]
            inside = all(0 <= c < n for c, n in zip(at, mask.shape, strict=True))
            total += mask[tuple(at)] if inside else 0
        expected.append(total / np.prod(boxes.sizes))
    np.testing.assert_allclose(box_fractions(mask, starts, boxes), expected, atol=1e-12)


def test_no_number_is_held_for_each_cell():
    n = 1000
    field = xr.DataArray(np.zeros((n, n), "f4"), dims=("y", "x"))
    field[:500] = np.nan
    split = {"geometry": {"y": 100, "x": 100}, "sampler": xpatch.RegularStride(50)}
    geometry, domain = xpatch.Rectangular(y=100, x=100), xpatch.domain_of(field)
    sampler = xpatch.Valid(split["sampler"], 0.5)
    tracemalloc.start()
    anchors = sampler.places(domain, geometry, field)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * n * n  # the mask takes a byte for each, numbers would take eight
    every = field.patch.split(**split)
    wanted = every.notnull().mean(["y", "x"]).values >= 0.5
    kept = field.patch.split(geometry=geometry, sampler=sampler)
    assert len(anchors.axes[0]) == wanted.sum()
    np.testing.assert_array_equal(kept.values, every.values[wanted])


def test_fractions_over_other_dimensions():
    rng = np.random.default_rng(0)
    field = xr.DataArray(rng.random((3, 12, 10)), dims=("time", "y", "x"))
    field = field.where(rng.random(field.shape) < 0.7)
    split = {"geometry": {"y": 4, "x": 5}, "sampler": xpatch.RegularStride(y=2, x=1)}
    every = field.patch.split(**split)
    wanted = every.notnull().mean(["time", "y", "x"]).values >= 0.7
    kept = field.patch.split(
        geometry=split["geometry"], sampler=xpatch.Valid(split["sampler"], 0.7)
    )
    assert 0 < wanted.sum() < len(wanted)
    np.testing.assert_array_equal(kept.values, every.values[wanted])
