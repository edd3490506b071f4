"""Traps that an identity model reveals in patching tools, one test each."""

from __future__ import annotations

import statistics
import warnings

import numpy as np
import pytest
import xarray as xr

import xpatch


def random_field(shape=(30, 44), dtype="f8", seed=0):
    values = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    return xr.DataArray(values, dims=("y", "x")[-len(shape) :])


def roundtrip(field, size, step, aggregation=None, boundary="shift", window=None):
    patches = field.patch.split(
        geometry=xpatch.Rectangular(size, boundary=boundary),
        sampler=xpatch.RegularStride(step),
        window=window,
    )
    return patches.patch.merge(aggregation)


@pytest.mark.parametrize("where", ["analysis", "synthesis", "both"])
def test_hann_leaves_no_ring_of_zeros(where):
    field = random_field() + 100
    window = "hann" if where != "synthesis" else None
    aggregation = xpatch.OverlapAdd("hann") if where != "analysis" else "overlap_add"
    merged = roundtrip(field, (16, 16), 8, aggregation, window=window)
    xr.testing.assert_allclose(merged, field)


def test_nan_neither_becomes_zero_nor_spreads():
    field = random_field()
    field[10, 20] = np.nan
    for aggregation in ("mean", "median", "max", xpatch.OverlapAdd("hann")):
        merged = roundtrip(field, (8, 8), 4, aggregation)
        np.testing.assert_array_equal(merged.isnull(), field.isnull())


@pytest.mark.parametrize("boundary", ["shift", "drop", "pad", "wrap"])
def test_remainder_strips_are_right_or_missing_never_zero(boundary):
    field = random_field((31, 45)) + 100
    merged = roundtrip(field, (8, 8), 8, boundary=boundary)
    xr.testing.assert_allclose(merged.where(merged.notnull(), field), field)
    assert bool(merged.notnull().all()) == (boundary != "drop")
    if boundary == "drop":
        assert merged[24:].isnull().all()
        assert merged[:, 40:].isnull().all()
        assert merged[:24, :40].notnull().all()


def test_wrap_and_reflect_extend_the_domain_not_the_tile():
    field = xr.DataArray(np.arange(10.0), dims="x")
    wrapped = field.patch.split(
        geometry=xpatch.Rectangular(x=4, boundary="wrap"), sampler=xpatch.RegularStride(4)
    )
    assert wrapped.values[-1].tolist() == [8, 9, 0, 1]
    padded = field.patch.split(
        geometry=xpatch.Rectangular(x=4, boundary="pad"), sampler=xpatch.RegularStride(2)
    )
    assert padded.values[0].tolist() == [2, 1, 0, 1]
    assert padded.values[-1].tolist() == [8, 9, 8, 7]


@pytest.mark.parametrize("dtype", ["i2", "u1", "i8", "?"])
def test_integer_tiles_stay_integers(dtype):
    field = xr.DataArray(np.arange(64).reshape(8, 8).astype(dtype), dims=("y", "x"))
    merged = roundtrip(field, (4, 4), 4)
    xr.testing.assert_identical(merged, field)


def test_nodata_of_integers_is_not_averaged_in():
    field = xr.DataArray(np.full((8, 8), 10, "i2"), dims=("y", "x"))
    field[3, 3] = -9999
    masked = field.where(field != -9999)
    merged = roundtrip(masked, (4, 4), 2)
    assert float(merged.min()) == 10
    assert roundtrip(field, (4, 4), 2, "most_central").dtype == np.int16


def test_zero_is_a_value():
    field = xr.zeros_like(random_field())
    field[:, ::2] = 4.0
    xr.testing.assert_allclose(roundtrip(field, (8, 8), 2, "mean"), field)


def test_max_of_negative_data():
    field = -abs(random_field()) - 1
    xr.testing.assert_identical(roundtrip(field, (8, 8), 4, "max"), field)
    patches = field.astype("i4").patch.split(geometry={"y": 8, "x": 8}).isel(patch=[0])
    assert int(patches.patch.merge("max", fill_value=-(2**31)).max()) < 0


def test_more_overlaps_than_a_byte_counts():
    field = random_field((40, 40))
    patches = field.patch.split(geometry={"y": 20, "x": 20}, sampler=xpatch.RegularStride(1))
    assert int(patches.patch.merge("count").max()) == 400
    xr.testing.assert_allclose(patches.patch.merge(), field)


def test_height_and_width_are_not_swapped():
    field = xr.DataArray(
        np.random.default_rng(0).random((12, 30)), {"y": np.arange(12), "x": np.arange(30)}
    )
    patches = field.patch.split(geometry={"x": 10, "y": 3})
    assert patches.dims == ("patch", "y", "x")
    assert patches.sizes["y"] == 3
    xr.testing.assert_identical(patches.isel(patch=1, drop=True).drop_attrs(), field[:3, 10:20])
    assert field.T.patch.split(geometry={"x": 10, "y": 3}).dims == ("patch", "x", "y")
    tuple_sized = field.patch.split(geometry=(3, 10))
    assert dict(tuple_sized.sizes) == {"patch": 12, "y": 3, "x": 10}


def test_batches_are_not_joined_by_their_labels():
    field = xr.DataArray(
        np.random.default_rng(0).random((12, 30)), {"y": np.arange(12), "x": np.arange(30)}
    )
    patches = field.patch.split(geometry={"y": 3, "x": 10})
    batch = xr.concat(list(patches.patch.batches(5)), "patch")
    assert batch.shape == patches.shape
    xr.testing.assert_identical(batch.patch.merge(), field)


@pytest.mark.parametrize("size", range(1, 13))
@pytest.mark.parametrize("step", range(1, 13))
def test_every_pair_of_size_and_step(size, step):
    field = random_field((23,)) + 50
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        merged = roundtrip(field, (size,), step)
    covered = merged.notnull()
    xr.testing.assert_allclose(merged.where(covered), field.where(covered))
    if step <= size:
        assert bool(covered.all())


class Counting:
    """An array that counts how often its chunks are read."""

    def __init__(self, values):
        self.values, self.reads = values, 0
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key):
        self.reads += 1
        return self.values[key]


@pytest.mark.parametrize("boundary", ["shift", "wrap", "pad"])
def test_dask_is_not_computed_in_split_and_read_once_in_merge(boundary):
    import dask.array as da

    source = Counting(np.random.default_rng(0).random((32, 32)))
    lazy = da.from_array(source, chunks=16, asarray=False, name=False, meta=np.empty((0, 0)))
    field = xr.DataArray(lazy, dims=("y", "x"))
    patches = field.patch.split(
        geometry=xpatch.Rectangular(y=8, x=8, boundary=boundary), sampler=xpatch.RegularStride(4)
    )
    merged = patches.patch.merge(xpatch.OverlapAdd("hann"))
    assert source.reads == 0
    np.testing.assert_allclose(merged.values, source.values)
    assert source.reads == 4


def test_the_model_runs_once_per_patch_block():
    calls = []

    def model(block):
        calls.append(block.sizes["patch"])
        return block + 1

    field = xr.DataArray(
        np.random.default_rng(0).random((32, 32)), {"y": np.arange(32), "x": np.arange(32)}
    )
    lazy = field.chunk(y=16, x=16)
    patches = lazy.patch.split(geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(4))
    merged = patches.map_blocks(model, template=patches).patch.merge("mean")
    calls.clear()
    xr.testing.assert_allclose(merged.compute(), field + 1)
    assert sum(calls) == patches.sizes["patch"]
    assert len(calls) == len(patches.chunks[0])


def test_fields_on_disk_are_not_read_by_split(tmp_path):
    field = xr.DataArray(np.random.default_rng(0).random((64, 64)), dims=("y", "x"), name="f")
    field.to_netcdf(tmp_path / "f.nc")
    with xr.open_dataarray(tmp_path / "f.nc") as lazy:
        patches = lazy.patch.split(geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(4))
        assert not patches.variable._in_memory
        assert not lazy.variable._in_memory
        part = patches.isel(patch=slice(30, 40))
        expected = field.patch.split(
            geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(4)
        ).isel(patch=slice(30, 40))
        xr.testing.assert_identical(part.load(), expected)
        assert not lazy.variable._in_memory
        xr.testing.assert_allclose(patches.patch.merge(), field)


@pytest.mark.parametrize("boundary", ["shift", "pad", "wrap", "drop"])
@pytest.mark.parametrize("chunks", [None, 3])
@pytest.mark.parametrize("which", [slice(None), slice(None, None, -1), [0, 0, 2, 0], [1, 3]])
def test_a_mode_of_tiles_is_that_of_every_cell(boundary, chunks, which):
    """Tiles are placed without counting; where patches overlap, or repeat, values are counted."""
    rng = np.random.default_rng(0)
    field = xr.DataArray(rng.integers(0, 4, (11, 9)).astype("i2"), dims=("y", "x"))
    patches = field.patch.split(xpatch.Rectangular(y=3, x=4, boundary=boundary)).isel(patch=which)
    patches = patches + xr.DataArray(np.arange(patches.sizes["patch"]) % 2, dims="patch")
    merged = (patches.chunk(patch=chunks) if chunks else patches).patch.merge("mode").compute()
    boxes, said = patches.xindexes["patch"].plans[0].hood, {}
    for value, (a, b) in zip(patches.values, boxes.starts(patches["patch"].values), strict=True):
        for (j, i), v in np.ndenumerate(value):
            at = (a + j, b + i) if boundary != "wrap" else ((a + j) % 11, (b + i) % 9)
            said.setdefault(at, []).append(int(v))
    for at, cell in np.ndenumerate(merged.values):
        votes = said.get(at)
        assert np.isnan(cell) if votes is None else cell == statistics.mode(sorted(votes))
