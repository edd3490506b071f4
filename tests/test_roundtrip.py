"""The law: split and merge give the field back, on every covered cell."""

from __future__ import annotations

import os
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings

import xpatch
from tests import strategies as own

# The gate draws the same examples every time; elsewhere every run looks for new ones.
common = settings(
    deadline=None, suppress_health_check=list(HealthCheck), derandomize="CI" in os.environ
)
many = settings(common, max_examples=400)
some = settings(common, max_examples=100)
EPS = {2: 2e-2, 4: 3e-5, 8: 1e-9}


def split(field, geometry, sampler, window=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a step larger than a patch
        return field.patch.split(geometry=geometry, sampler=sampler, window=window)


def draw_patches(data, field, window=None):
    geometry = data.draw(own.geometries(field))
    sampler = data.draw(own.samplers(geometry))
    try:
        return split(field, geometry, sampler, window)
    except ValueError as error:  # all jittered patches overhang and are dropped
        if "leaves no patch" not in str(error):
            raise
        return split(field, geometry, xpatch.RegularStride())


def assert_field(merged, field, covered):
    """Dims, coordinates and attributes exactly, values to rounding, missing where not covered."""
    assert merged.dims == field.dims
    assert merged.attrs == field.attrs
    assert merged.name == field.name
    xr.testing.assert_identical(merged.coords.to_dataset(), field.coords.to_dataset())
    expected = field.values
    got = merged.values
    if not covered.all():
        dtype = got.dtype
        outside = got[np.broadcast_to(~covered, got.shape)]
        assert (outside != outside).all(), "a cell that nothing covers must be missing"
        got, expected = got[covered], expected[covered].astype(dtype)
    if expected.dtype.kind in "fc":
        bits = np.empty(0, expected.dtype).real.dtype.itemsize
        with np.errstate(invalid="ignore"):
            scale = np.nanmax(np.abs(np.where(np.isfinite(expected), expected, 0)), initial=1)
        np.testing.assert_allclose(got, expected, rtol=EPS[bits], atol=EPS[bits] * scale)
    else:
        np.testing.assert_allclose(
            got.astype(float), expected.astype(float), rtol=1e-12
        ) if got.dtype.kind in "fiub" else np.testing.assert_array_equal(got, expected)


def coverage(patches, field):
    """Count by hand how many patches fall on each cell."""
    plan = patches.xindexes["patch"].plans[0]
    boxes = plan.boxes
    count = np.zeros(boxes.shape, int)
    for start in boxes.starts(patches["patch"].values):
        index = []
        for s, size, n, wrap in zip(start, boxes.sizes, boxes.shape, boxes.wrap, strict=True):
            cells = s + np.arange(size)
            index.append(cells % n if wrap else cells[(cells >= 0) & (cells < n)])
        count[np.ix_(*index)] += 1
    order = [d for d in field.dims if d in boxes.dims]
    here = xr.DataArray(count, dims=boxes.dims).transpose(*order)
    return here.broadcast_like(xr.DataArray(np.ones(field.shape), dims=field.dims)).transpose(
        *field.dims
    )


@many
@given(data=st.data())
def test_identity_for_averages(data):
    field = data.draw(own.fields())
    patches = draw_patches(data, field)
    aggregations = own.AVERAGING
    if field.dtype.kind == "c":
        aggregations = own.LINEAR
    aggregation = data.draw(st.sampled_from(aggregations))
    if aggregation == xpatch.OverlapAdd(xpatch.Boxcar(1)):
        sizes = patches.xindexes["patch"].plans[0].boxes.sizes
        aggregation = aggregation if min(sizes) > 2 else "mean"
    merged = patches.patch.merge(aggregation)
    covered = coverage(patches, field).values > 0
    if isinstance(getattr(aggregation, "window", None), xpatch.Boxcar):
        covered &= ~np.isnan(patches.patch.merge(aggregation).notnull().where(True)).values
        covered &= merged.notnull().values | field.isnull().values
    assert_field(merged, field, covered)


@many
@given(data=st.data())
def test_identity_for_picks(data):
    field = data.draw(own.fields((*own.FLOATS, *own.COMPLEX, *own.INTEGERS, "?", *own.DATES)))
    patches = draw_patches(data, field)
    aggregation = data.draw(st.sampled_from(own.PICKING))
    merged = patches.patch.merge(aggregation)
    covered = coverage(patches, field).values > 0
    assert_field(merged, field, covered)
    if covered.all():
        assert merged.dtype == field.dtype


@many
@given(data=st.data())
def test_identity_for_analysis_and_synthesis_windows(data):
    field = data.draw(own.fields((*own.FLOATS, *own.COMPLEX)))
    window = data.draw(st.sampled_from(own.ANALYSIS))
    patches = draw_patches(data, field, window)
    merged = patches.patch.merge(data.draw(st.sampled_from(own.LINEAR)))
    assert_field(merged, field, coverage(patches, field).values > 0)
    assert merged.dtype == field.dtype


@some
@given(data=st.data())
def test_dask_gives_what_numpy_gives(data):
    field = data.draw(own.fields())
    geometry = data.draw(own.geometries(field))
    sampler = data.draw(own.samplers(geometry))
    picks = own.PICKING if field.dtype.kind == "c" else [*own.PICKING, "var", "count", "median"]
    aggregation = data.draw(st.sampled_from([*own.LINEAR, *picks]))
    chunks = {d: data.draw(st.integers(1, n)) for d, n in field.sizes.items()}
    try:
        plain = split(field, geometry, sampler)
    except ValueError:
        return
    lazy = split(field.chunk(chunks), geometry, sampler)
    xr.testing.assert_equal(lazy.sortby("patch").compute(), plain)
    expected = plain.patch.merge(aggregation)
    merged = lazy.patch.merge(aggregation)
    assert merged.chunks == field.chunk(chunks).chunks
    with np.errstate(invalid="ignore"):
        got = merged.compute()
    assert got.dtype == merged.dtype == expected.dtype
    rtol = (
        EPS[max(2, np.empty(0, expected.dtype).real.dtype.itemsize)]
        if got.dtype.kind in "fc"
        else 0
    )
    finite = np.abs(np.where(np.isfinite(field.values), field.values, 0)).astype(float)
    atol = rtol * max(1.0, float(finite.max(initial=1)) ** (2 if aggregation == "var" else 1))
    np.testing.assert_allclose(got.values, expected.values, rtol=max(rtol, 1e-7), atol=atol)


@some
@given(data=st.data())
def test_order_of_patches_does_not_matter(data):
    field = data.draw(own.fields((*own.FLOATS, *own.INTEGERS)))
    patches = draw_patches(data, field)
    aggregation = data.draw(st.sampled_from([*own.PICKING, *own.LINEAR, "median", "var"]))
    order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(patches.sizes["patch"])
    with np.errstate(invalid="ignore"):
        merged = patches.patch.merge(aggregation)
        shuffled = patches.isel(patch=order).patch.merge(aggregation)
    xr.testing.assert_identical(shuffled, merged)


@some
@given(data=st.data())
def test_merge_is_linear(data):
    field = data.draw(own.fields(("f8",))).fillna(0.0)
    field = field.where(np.isfinite(field), 1.0)
    patches = draw_patches(data, field)
    aggregation = data.draw(st.sampled_from([*own.LINEAR, "sum"]))
    noise = patches.copy(data=np.random.default_rng(0).standard_normal(patches.shape))
    joint = (2 * patches + 3 * noise).patch.merge(aggregation)
    apart = 2 * patches.patch.merge(aggregation) + 3 * noise.patch.merge(aggregation)
    np.testing.assert_allclose(joint.values, apart.values, rtol=1e-9, atol=1e-9)


@some
@given(data=st.data())
def test_windows_are_a_partition_of_unity(data):
    field = xr.ones_like(data.draw(own.fields(("f8",))))
    patches = draw_patches(data, field)
    merged = patches.patch.merge(data.draw(st.sampled_from(own.LINEAR)))
    covered = coverage(patches, field).values > 0
    np.testing.assert_allclose(merged.values[covered], 1, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["f4", "i2", "u1", "?", "M8[ns]", "m8[s]", "c8", "U3", "S2"])
@pytest.mark.parametrize("shape", [(8, 12), (4, 4)])
def test_tiles_are_bit_exact(dtype, shape):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 2**31, shape).astype("i8").astype(dtype)
    field = xr.DataArray(data, dims=("y", "x"))
    merged = field.patch.split(geometry={"y": 4, "x": 4}).patch.merge()
    assert merged.dtype == field.dtype
    assert merged.values.tobytes() == field.values.tobytes()


def test_tiles_keep_the_payload_of_nan_and_negative_zero():
    field = xr.DataArray(np.array([-0.0, np.nan, np.inf, 1.0]), dims="x")
    merged = field.patch.split(geometry={"x": 2}).patch.merge()
    assert merged.values.tobytes() == field.values.tobytes()


@pytest.mark.parametrize("boundary", ["shift", "wrap"])
def test_order_of_few_weighted_boxes_does_not_matter(boundary):
    """Their weights are summed one by one, in the order of labels, whatever order they come in."""
    values = np.random.default_rng(0).integers(-128, 127, (8, 7, 5)).astype("i1")
    field = xr.DataArray(values, dims=("y", "x", "band"))
    geometry = xpatch.Rectangular({"y": 5, "x": 3, "band": 3}, boundary=boundary)
    sampler = xpatch.JitteredStride({"y": 3, "x": 3, "band": 3}, jitter=1.0, seed=0)
    patches = field.patch.split(geometry=geometry, sampler=sampler)
    order = np.random.default_rng(1).permutation(patches.sizes["patch"])
    merged = patches.patch.merge(xpatch.OverlapAdd("hann"))
    shuffled = patches.isel(patch=order).patch.merge(xpatch.OverlapAdd("hann"))
    xr.testing.assert_identical(shuffled, merged)


@pytest.mark.parametrize("size", [(3,), (9, 4), (20, 14), (2, 3, 4)])
@pytest.mark.parametrize("word", ["mean", "first", "last", "sum"])
def test_scattered_boxes_as_in_a_loop(size, word):
    """Small and large boxes, of which many overlap, against one after the other."""
    shape = {1: (400,), 2: (60, 50), 3: (12, 16, 18)}[len(size)]
    dims = ("z", "y", "x")[-len(size) :]
    field = xr.DataArray(np.zeros(shape), dims=dims)
    patches = field.patch.split(
        geometry=dict(zip(dims, size, strict=True)), sampler=xpatch.Random(300, seed=0)
    )
    rng = np.random.default_rng(1)
    patches = patches.copy(data=rng.normal(size=patches.shape))
    patches = patches.isel(patch=rng.permutation(300))
    total, count, last = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)
    labels = patches["patch"].values
    for i in np.argsort(labels)[:: -1 if word == "first" else 1]:
        start = [int(patches[f"start_{d}"].values[i]) for d in dims]
        cells = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        total[cells] += patches.values[i]
        count[cells] += 1
        last[cells] = patches.values[i]
    with np.errstate(invalid="ignore"):
        expected = {"mean": total / count, "sum": np.where(count, total, np.nan)}.get(word, last)
    np.testing.assert_allclose(patches.patch.merge(word), expected, rtol=1e-12, atol=1e-12)
