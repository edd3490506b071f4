"""Quantiles within patches against those of xarray."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

import xpatch
from xpatch.domain.nodata import masked

pytestmark = pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")


def patches_of(dtype="f8", seed=0, missing=0.3, n=12, **attrs):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(3, n, n)) * 20).astype(dtype)
    if values.dtype.kind == "f":
        values[rng.random(values.shape) < missing] = np.nan
        values[rng.random(values.shape) < 0.05] = np.inf
    field = xr.DataArray(
        values,
        {"y": np.arange(n) * 2.0, "x": np.arange(float(n)), "band": list("abc"), "run": 7},
        ("band", "y", "x"),
        attrs={"units": "K", **attrs},
        name="t",
    )
    return field.patch.split(geometry={"y": 4, "x": 3}, sampler=xpatch.RegularStride(2))


def by_xarray(patches, q, dim, skipna=None):
    with np.errstate(invalid="ignore"):
        return patches.quantile(q, dim, skipna=skipna)


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(["f2", "f4", "f8", "i2", "i8", "u1"]),
    seed=st.integers(0, 99),
    missing=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    q=st.floats(0, 1)
    | st.lists(st.floats(0, 1), max_size=4)
    | st.sampled_from([0, 1, 0.5, [0, 1]]),
    dim=st.sampled_from(
        ["x", ["y", "x"], ("x", "y"), ["band"], ["patch", "x"], ["x", "band", "y"]]
    ),
    skipna=st.sampled_from([None, True, False]),
    dataset=st.booleans(),
)
def test_quantiles_are_those_of_xarray(dtype, seed, missing, q, dim, skipna, dataset):
    patches = patches_of(dtype, seed, missing)
    if dataset:
        patches = xr.Dataset({"a": patches, "b": patches.isel(x=0).drop_vars("x"), "one": 3.0})
        patches.attrs["title"] = "several"
    found = patches.patch.quantile(q, dim, skipna=skipna)
    # numpy interpolates in the precision of the values, and gives float32 back as it is if the first patch
    # has no value at all
    wide = patches.astype("f8")
    xr.testing.assert_identical(found, by_xarray(wide, q, dim, skipna))
    assert (found["a"] if dataset else found).dtype == "f8"


def test_other_dtypes_are_left_to_xarray():
    dates = patches_of("i4").astype("M8[s]").astype("M8[ns]")
    xr.testing.assert_identical(dates.patch.quantile(0.3, "x"), dates.quantile(0.3, "x"))


@pytest.mark.parametrize("q", [0.9, [0.1, 0.9]])
def test_dask_is_reduced_block_by_block(q):
    patches = patches_of(n=24)
    lazy = patches.chunk(patch=20, x=2)
    found = lazy.patch.quantile(q, ["y", "x"])
    assert found.chunks is not None
    assert found.chunksizes["patch"] == lazy.chunksizes["patch"]
    xr.testing.assert_identical(found.compute(), by_xarray(patches, q, ["y", "x"]))
    merged = found.patch.merge("mean")
    xr.testing.assert_allclose(
        merged.compute(), by_xarray(patches, q, ["y", "x"]).patch.merge("mean")
    )


def test_what_is_given_stays_as_it_is():
    for source in (patches_of(), patches_of().transpose("band", "y", "patch", "x")):
        before = source.copy(deep=True)
        source.patch.quantile(0.5, ["y", "x"])
        source.patch.quantile(0.5, "x")
        xr.testing.assert_identical(source, before)


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_numbers_for_missing_are_skipped(dtype):
    patches = patches_of(dtype, missing=0, _FillValue=np.dtype(dtype).type(-3))
    patches = patches.where(np.isfinite(patches), 5).round().astype(dtype)
    assert (patches == -3).any()
    found = patches.patch.quantile([0.2, 0.7], ["y", "x"])
    xr.testing.assert_identical(found, masked(patches).quantile([0.2, 0.7], ["y", "x"]))
    assert (found != patches.quantile([0.2, 0.7], ["y", "x"])).any()
    every = patches.patch.quantile(0.2, "x", skipna=False)
    xr.testing.assert_identical(every, patches.quantile(0.2, "x", skipna=False))


def test_attributes_follow_the_option_of_xarray():
    patches = patches_of()
    with xr.set_options(keep_attrs=False):
        xr.testing.assert_identical(patches.patch.quantile(0.5, "x"), by_xarray(patches, 0.5, "x"))


def test_phases_of_a_climatology():
    time = np.arange("2000-01-01", "2010-01-01", dtype="M8[D]").astype("M8[ns]")
    series = xr.DataArray(np.random.default_rng(0).random(len(time)), {"time": time}, ("time",))
    patches = series.patch.split(
        xpatch.TimePatcher(xpatch.PhaseWindow("1YS", "11D"), xpatch.ExplicitTimes(time[365:400]))
    )
    found = patches.patch.quantile(0.9, "time")
    xr.testing.assert_identical(found, patches.quantile(0.9, "time"))


@pytest.mark.parametrize(
    ("q", "dim", "message"),
    [
        (1.5, "x", "between 0 and 1, or a list of them, got 1.5"),
        ([[0.1]], "x", "got \\[\\[0.1\\]\\]"),
        (np.nan, "x", "between 0 and 1"),
        (0.5, "z", "takes dimensions of the patches, .* got 'z'"),
        (0.5, None, "got None"),
        (0.5, [], "got none"),
    ],
)
def test_wrong_arguments(q, dim, message):
    with pytest.raises(ValueError, match=message):
        patches_of().patch.quantile(q, dim)
