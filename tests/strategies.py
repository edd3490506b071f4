"""Hypothesis strategies for fields, geometries, samplers and windows."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import xarray as xr

import xpatch

FLOATS = ("f2", "f4", "f8")
COMPLEX = ("c8", "c16")
INTEGERS = ("i1", "u1", "i2", "i4", "i8", "u8")
DATES = ("M8[ns]", "m8[s]")

PICKING = ["min", "max", "first", "last", "most_central", "mode"]
AVERAGING = [
    "overlap_add",
    "mean",
    "median",
    xpatch.Quantile(0.25),
    xpatch.OverlapAdd(xpatch.Hann()),
    xpatch.OverlapAdd(xpatch.Tukey(0.3)),
    xpatch.OverlapAdd(xpatch.Gaussian(0.3)),
    xpatch.OverlapAdd(xpatch.Boxcar(1)),
]
LINEAR = [
    "overlap_add",
    "mean",
    xpatch.OverlapAdd(xpatch.Hann()),
    xpatch.OverlapAdd(xpatch.Gaussian(0.5)),
]
ANALYSIS = [None, xpatch.Hann(), xpatch.Tukey(0.7), xpatch.Gaussian(0.4), xpatch.Custom(np.cos)]


@st.composite
def values(draw, shape, dtype):
    """Values of any dtype, with missing ones and infinities where there can be."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        high = min(int(info.max), 2**52)
        return rng.integers(max(int(info.min), -high), high, shape, endpoint=True).astype(dtype)
    if dtype.kind in "mM":
        out = rng.integers(-(2**40), 2**40, shape).astype("i8").view(dtype)
        return np.where(rng.random(shape) < 0.1, np.array("NaT", dtype), out)
    out = (rng.standard_normal(shape) * 10).astype(dtype)
    if dtype.kind == "c":
        out = out + 1j * rng.standard_normal(shape).astype(dtype)
    share = draw(st.sampled_from([0.0, 0.0, 0.1, 0.6]))
    out = np.where(rng.random(shape) < share, dtype.type(np.nan), out).astype(dtype)
    if draw(st.booleans()) and dtype.kind == "f" and out.size:
        out.flat[draw(st.integers(0, out.size - 1))] = draw(st.sampled_from([np.inf, -np.inf]))
    return out


@st.composite
def fields(draw, dtypes=(*FLOATS, *COMPLEX, *INTEGERS, "?")):
    """Small fields of one to three dimensions in any order, with or without labels."""
    dims = draw(st.permutations(["y", "x", "band"]))[: draw(st.integers(1, 3))]
    shape = tuple(draw(st.integers(1, 11)) for _ in dims)
    data = draw(values(shape, draw(st.sampled_from(dtypes))))
    coords = {}
    for dim, n in zip(dims, shape, strict=True):
        kind = draw(st.sampled_from(["none", "up", "down", "uneven"]))
        if kind == "uneven":
            coords[dim] = np.cumsum(np.arange(1, n + 1)) * 1.5
        elif kind != "none":
            coords[dim] = np.arange(n)[:: 1 if kind == "up" else -1] * 10.0
    return xr.DataArray(data, coords=coords, dims=dims, name="field", attrs={"units": "K"})


@st.composite
def geometries(draw, field):
    """Boxes along some of the dimensions, with a boundary for each."""
    dims = draw(st.permutations(list(field.dims)))[: draw(st.integers(1, field.ndim))]
    boundary = {d: draw(st.sampled_from(["shift", "drop", "pad", "wrap"])) for d in dims}
    size = {}
    for d in dims:
        most = field.sizes[d] + (3 if boundary[d] == "pad" else 0)
        size[d] = draw(st.integers(1, most))
    mode = draw(st.sampled_from(["reflect", "edge", "symmetric", "wrap"]))
    return xpatch.Rectangular(size, boundary=boundary, pad_mode=mode)


@st.composite
def samplers(draw, geometry):
    """Regular strides most of the time, else random ones."""
    step = {d: draw(st.integers(1, s)) for d, s in geometry.size.items()}
    seed = draw(st.integers(0, 100))
    kind = draw(st.sampled_from(["regular", "regular", "regular", "jitter", "random", "poisson"]))
    if kind == "regular":
        return xpatch.RegularStride(step)
    if kind == "jitter":
        return xpatch.JitteredStride(step, 1.0, seed)
    if kind == "random":
        return xpatch.Random(draw(st.integers(1, 12)), seed, replace=True)
    return xpatch.PoissonDisk(draw(st.floats(1, 4)), seed)
