"""Bad input: what is raised, and whether the message says what to do about it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xpatch
from xpatch import (
    AlongTrack,
    Boxcar,
    Custom,
    Explicit,
    Gaussian,
    InvVarWeightedMean,
    JitteredStride,
    Learned,
    OverlapAdd,
    PoissonDisk,
    Quantile,
    Random,
    Rectangular,
    RegularStride,
    Tukey,
    Valid,
)

FIELD = xr.DataArray(
    np.arange(80.0).reshape(8, 10),
    {"y": np.arange(8) * 2.0, "x": np.arange(10) * 5.0},
    ("y", "x"),
)
BARE = FIELD.drop_vars(["y", "x"])
UNEVEN = FIELD.assign_coords(x=np.arange(10.0) ** 2)
NANS = FIELD.assign_coords(x=np.where(np.arange(10) == 4, np.nan, np.arange(10.0)))
TWICE = FIELD.assign_coords(x=np.arange(10.0) // 2)
BOXES = {"y": 4, "x": 4}
PATCHES = FIELD.patch.split(geometry=BOXES, sampler=RegularStride(2))
TAPERED = FIELD.patch.split(geometry=BOXES, sampler=RegularStride(2), window="hann")
INTEGERS = FIELD.astype(int).patch.split(geometry=BOXES, sampler=RegularStride(2))
DATES = FIELD.astype("M8[s]").patch.split(geometry=BOXES, sampler=RegularStride(2))


def split(field=FIELD, geometry=BOXES, sampler=None, **kwargs):
    return lambda: field.patch.split(geometry=geometry, sampler=sampler, **kwargs)


def merge(patches=PATCHES, *args, **kwargs):
    return lambda: patches.patch.merge(*args, **kwargs)


def pair(variance):
    return xr.Dataset({"mean": PATCHES, "variance": PATCHES * 0 + variance})


def points(crs):
    import geopandas

    return geopandas.GeoSeries.from_xy([11.0], [45.0], crs=crs)


CASES = {
    # sizes
    "size larger than the field": (
        split(geometry={"y": 9, "x": 4}),
        ValueError,
        r"9 cells does not fit in the 8 cells of 'y'.*boundary='pad'",
    ),
    "size in cells that is meant in units of labels": (
        lambda: FIELD.assign_coords(y=10.0 * np.arange(8)).patch.split({"y": 40, "x": 4}),
        ValueError,
        r"does not fit in the 8 cells of 'y'.*; 40 is in cells, and 40.0 in units of 'y'",
    ),
    "a share as a step": (
        lambda: xpatch.RegularStride("50%"),
        ValueError,
        r"that is an overlap, RegularStride\(overlap='50%'\)",
    ),
    "sizes by keyword": (
        lambda: FIELD.patch.split(y=4, x=4),
        TypeError,
        r"split has no y=.*Rectangular\(y=64, x=64\)",
    ),
    "a path for a field": (
        lambda: xpatch.split("a.tif", 4),
        TypeError,
        r"got str: of a raster rioxarray.open_rasterio\(path\)",
    ),
    "objects without a name": (
        lambda: FIELD.astype(object).rename(None).patch.split({"y": 4, "x": 4}),
        TypeError,
        r"the field has object dtype, .* or leave it out$",
    ),
    "another library's sets": (
        lambda: PATCHES.patch.train_test_split,
        AttributeError,
        r"'train_test_split': patches\.patch\.sets\(\{'train': 0\.8",
    ),
    "a block on the ground": (
        lambda: PATCHES.patch.sets({"a": 0.5, "b": 0.5}, block="1km"),
        ValueError,
        r"in degrees, block=0\.00899, in a projection in its units, block=1000\.0 of m",
    ),
    "size larger than the period": (
        split(geometry=Rectangular(y=9, boundary="wrap")),
        ValueError,
        r"does not fit in the 8 cells of 'y'",
    ),
    "zero size": (split(geometry={"y": 0}), ValueError, r"size along 'y' must be positive, got 0"),
    "negative size": (split(geometry={"y": -3}), ValueError, r"'y' must be positive, got -3"),
    "boolean size": (split(geometry={"y": True}), TypeError, r"'y' must be an int.*got True"),
    "text size": (split(geometry={"y": "4"}), ValueError, r"with its unit, '300km'.*got '4'"),
    "missing size": (split(geometry={"y": None}), TypeError, r"'y' must be an int.*got None"),
    "float size without labels": (
        split(BARE, {"y": 4.0, "x": 4}),
        ValueError,
        r"size along 'y' is the float 4.0.*no evenly spaced.*give an int",
    ),
    "float size on uneven labels": (
        split(UNEVEN, {"x": 4.0}),
        ValueError,
        r"size along 'x'.*no evenly spaced",
    ),
    "float size below a cell": (split(geometry={"x": 1.0}), ValueError, r"less than one cell of 5"),
    "unknown dim": (split(geometry={"z": 4}), KeyError, r"'z'.*its dimensions are \['y', 'x'\]"),
    "tuple of the wrong length": (
        split(geometry=(4, 4, 4)),
        ValueError,
        r"3 entries for the 2 dimensions \['y', 'x'\]",
    ),
    "size twice": (lambda: Rectangular(4, y=4), TypeError, r"both as 4 and by dimension \(y\)"),
    "no size": (lambda: Rectangular(), TypeError, r"needs a size: Rectangular\(256\)"),
    "unknown boundary": (
        lambda: Rectangular(4, boundary="mirror"),
        ValueError,
        r"one of \['shift', 'drop', 'pad', 'wrap', 'raise'\], got 'mirror'",
    ),
    "boundary of an unknown dim": (
        split(geometry=Rectangular(y=4, boundary={"z": "pad"})),
        KeyError,
        r"boundary names dimension 'z'",
    ),
    "unknown pad_mode": (
        lambda: Rectangular(4, pad_mode="zero"),
        ValueError,
        r"pad_mode must be one of .*'reflect'.*got 'zero'",
    ),
    "stride that does not tile": (
        split(geometry=Rectangular(x=4, boundary="raise")),
        ValueError,
        r"do not tile the 10 cells of 'x': 2 are left over.*boundary='shift'",
    ),
    "no geometry": (lambda: FIELD.patch.split(), TypeError, r"needs a geometry"),
    "geometry of the wrong kind": (split(geometry="big"), TypeError, r"geometry must be.*'big'"),
    "patcher and geometry": (
        lambda: FIELD.patch.split(xpatch.Patcher(BOXES), geometry=BOXES),
        TypeError,
        r"a patcher, or geometry",
    ),
    "patcher of the wrong kind": (
        lambda: FIELD.patch.split("tiles"),
        TypeError,
        r"expected a Patcher, got 'tiles'",
    ),
    # fields
    "objects": (split(FIELD.astype(object)), TypeError, r"object dtype"),
    "no cells": (split(FIELD.isel(x=slice(0))), ValueError, r"no cells along 'x'"),
    "dimension that exists": (split(dim="y"), ValueError, r"already has 'y'.*split\(…, dim=…\)"),
    "not xarray": (
        lambda: xpatch.split(FIELD.values, geometry=BOXES),
        TypeError,
        r"DataArray.*ndarray",
    ),
    "dataset without the dims": (
        split(xr.Dataset({"a": ("z", [1, 2])}, {"y": np.arange(8), "x": np.arange(10)})),
        ValueError,
        r"no variable .* \['y', 'x'\]",
    ),
    # samplers
    "step and overlap": (
        lambda: RegularStride(2, overlap=2),
        TypeError,
        r"step or overlap, not both",
    ),
    "zero step": (lambda: RegularStride(0), ValueError, r"must be positive, got 0"),
    "negative step": (lambda: RegularStride(y=-1), ValueError, r"must be positive, got -1"),
    "text step": (lambda: RegularStride("2"), ValueError, r"with its unit, '300km'.*got '2'"),
    "step of an unknown dim": (
        split(sampler=RegularStride(z=2)),
        KeyError,
        r"step names dimension 'z', which is not one of \['y', 'x'\]",
    ),
    "overlap as large as the patch": (
        split(sampler=RegularStride(overlap=4)),
        ValueError,
        r"overlap of 4 cells along 'y' is not smaller than the patches of 4",
    ),
    "jitter above one": (lambda: JitteredStride(2, 1.5), ValueError, r"fraction of the step.*1.5"),
    "no samples": (lambda: Random(0), ValueError, r"n_samples of Random must be at least 1, got 0"),
    "float samples": (lambda: Random(2.5), TypeError, r"n_samples of Random must be an int"),
    "more samples than patches": (
        split(sampler=Random(36)),
        ValueError,
        r"n_samples=36 is more than the 35 different patches.*replace=True",
    ),
    "negative distance": (lambda: PoissonDisk(-1), ValueError, r"min_dist.*positive"),
    "no spacing": (lambda: AlongTrack([(0, 0), (5, 5)], 0), ValueError, r"spacing.*positive"),
    "track of the wrong shape": (
        split(sampler=AlongTrack([1, 2, 3], 2)),
        ValueError,
        r"shape \(vertex, 2\), got \(3,\)",
    ),
    "anchor out of range": (
        split(sampler=Explicit([(0, 10)])),
        ValueError,
        r"anchor 10 along 'x' is out of range.*0 to 9",
    ),
    "negative anchor": (
        split(sampler=Explicit([(-1, 0)])),
        ValueError,
        r"-1 along 'y'.*out of range",
    ),
    "anchors of the wrong shape": (
        split(sampler=Explicit([1, 2, 3])),
        ValueError,
        r"shape \(patch, 2\).*got shape \(3,\)",
    ),
    "float anchors": (split(sampler=Explicit([(0.5, 1.0)])), TypeError, r"must be ints.*mapping"),
    "no anchors": (split(sampler=Explicit([])), ValueError, r"no anchors"),
    "labels of one dim only": (
        split(sampler=Explicit({"y": [2.0]})),
        KeyError,
        r"lack dimension 'x'",
    ),
    "labels of unequal number": (
        split(sampler=Explicit({"y": [2.0], "x": [5.0, 10.0]})),
        ValueError,
        r"equally many.*\[1, 2\]",
    ),
    "labels out of range": (
        split(sampler=Explicit({"y": [2.0], "x": [500.0]})),
        ValueError,
        r"500.0.*'x' lies outside of the field",
    ),
    "labels without coordinate": (
        split(BARE, sampler=Explicit({"y": [2.0], "x": [5.0]})),
        ValueError,
        r"'y' has no coordinate",
    ),
    "labels with NaN coordinate": (
        split(NANS, sampler=Explicit({"y": [2.0], "x": [5.0]})),
        ValueError,
        r"monotonic coordinate without NaN along 'x'",
    ),
    "labels with duplicate coordinate": (
        split(TWICE, sampler=Explicit({"y": [2.0], "x": [2.0]})),
        ValueError,
        r"strictly monotonic.*'x'",
    ),
    "NaN label": (
        split(sampler=Explicit({"y": [np.nan], "x": [2.0]})),
        ValueError,
        r"label along 'y' is NaN",
    ),
    "explicit patches that drop would lose": (
        split(geometry=Rectangular(y=4, x=4, boundary="drop"), sampler=Explicit([(6, 0)])),
        ValueError,
        r"1 patches at Explicit anchors overhang.*boundary='shift'",
    ),
    "explicit patches that raise": (
        split(geometry=Rectangular(y=4, x=4, boundary="raise"), sampler=Explicit([(6, 0)])),
        ValueError,
        r"starting at 6 along 'y' overhangs",
    ),
    "points with a CRS on a field without": (
        split(sampler=Explicit(points("EPSG:4326"))),
        ValueError,
        r"EPSG:4326, but the field has no CRS.*write_crs",
    ),
    "points in another CRS": (
        split(sampler=Explicit(points(None).translate(5000))),
        ValueError,
        r"lies outside of the field.*CRS",
    ),
    "at of the wrong kind": (
        lambda: Explicit([(0, 0)], at="end"),
        ValueError,
        r"'start' or 'center'",
    ),
    "nothing valid": (
        split(FIELD * np.nan, sampler=Valid(RegularStride(), 0.5)),
        ValueError,
        r"no patch has a fraction of valid cells of 0.5; the best has 0.000",
    ),
    "valid of no sampler": (lambda: Valid(4), TypeError, r"wraps a sampler, got 4"),
    "valid fraction above one": (lambda: Valid(RegularStride(), 2), ValueError, r"between 0 and 1"),
    "mask that is no mask": (
        split(sampler=Valid(RegularStride(), where=FIELD)),
        TypeError,
        r"must be boolean, got dtype float64",
    ),
    "mask of another size": (
        split(sampler=Valid(RegularStride(), where=FIELD.isel(x=slice(5)) > 0)),
        ValueError,
        r"5 cells along 'x', the field has 10",
    ),
    # windows
    "unknown window": (split(window="hamning"), ValueError, r"unknown window 'hamning'.*'hann'"),
    "window that needs arguments": (
        split(window=Gaussian),
        ValueError,
        r"Gaussian.*needs arguments",
    ),
    "negative margin": (lambda: Boxcar(-1), ValueError, r"margin must be an int.*-1"),
    "margin that leaves nothing": (
        merge(PATCHES, OverlapAdd(Boxcar(2))),
        ValueError,
        r"Boxcar\(margin=2\) leaves nothing of patches of 4 cells along 'y'",
    ),
    "alpha above one": (lambda: Tukey(2), ValueError, r"alpha must lie between 0 and 1, got 2"),
    "zero sigma": (lambda: Gaussian(0), ValueError, r"sigma must be positive, got 0"),
    "distances on a lattice": (
        split(window=Gaussian(3, units="distance")),
        ValueError,
        r"needs neighborhoods with distances",
    ),
    "custom window of no function": (lambda: Custom(3), TypeError, r"needs a function"),
    "custom window of another shape": (
        split(window=Custom(lambda u: np.ones(2))),
        ValueError,
        r"gave shape \(2,\) for offsets of shape \(4,\)",
    ),
    "negative custom window": (split(window=Custom(lambda u: u)), ValueError, r"negative"),
    "window over integers that are dates": (
        split(FIELD.astype("M8[s]"), window="hann"),
        TypeError,
        r"datetime64\[s\] cannot be averaged",
    ),
    # aggregations
    "unknown aggregation": (
        merge(PATCHES, "average"),
        ValueError,
        r"unknown aggregation 'average'; it is 'mean' here; known are",
    ),
    "a vote": (merge(PATCHES, "majority"), ValueError, r"it is 'mode' here"),
    "window in place of an aggregation": (
        merge(PATCHES, xpatch.Hann()),
        TypeError,
        r"use OverlapAdd\(Hann\(\)\)",
    ),
    "quantile above one": (lambda: Quantile(5), ValueError, r"q must lie between 0 and 1, got 5"),
    "quantile by name": (merge(PATCHES, "quantile"), ValueError, r"'Quantile' needs arguments"),
    "median after an analysis window": (
        merge(TAPERED, "median"),
        ValueError,
        r"Median\(\).*analysis window Hann\(\).*split without window=",
    ),
    "mode after an analysis window": (merge(TAPERED, "mode"), ValueError, r"analysis window"),
    "mean of dates": (merge(DATES, "mean"), TypeError, r"cannot be averaged.*'most_central'"),
    "median of dates": (merge(DATES, "median"), TypeError, r"cannot be interpolated"),
    "maximum of text": (merge(PATCHES.astype("U8"), "max"), TypeError, r"no smallest or largest"),
    "fill that does not fit": (
        merge(DATES.isel(patch=[0]), "first", fill_value=3.5),
        TypeError,
        r"cannot be filled with 3.5 in dtype datetime64",
    ),
    "variance of a DataArray": (
        merge(PATCHES, "inv_var_weighted_mean"),
        TypeError,
        r"needs a Dataset with variables 'mean' and 'variance'",
    ),
    "no variance": (
        merge(PATCHES.to_dataset(name="mean"), InvVarWeightedMean()),
        KeyError,
        r"'variance' is missing among \['mean'\]",
    ),
    "negative variance": (
        merge(pair(-1.0), InvVarWeightedMean()),
        ValueError,
        r"positive variances, got -1",
    ),
    "zero variance": (merge(pair(0.0), InvVarWeightedMean()), ValueError, r"nugget"),
    "vote without classes": (
        merge(PATCHES, "soft_vote"),
        ValueError,
        r"'class', which the patches do not",
    ),
    "learned of nothing": (lambda: Learned(3), TypeError, r"needs an estimator"),
    "weights of nothing": (lambda: xpatch.WeightedSum(3), TypeError, r"needs a function"),
    # merge
    "a field": (merge(FIELD), ValueError, r"these are not patches"),
    "an array": (
        lambda: xpatch.merge(FIELD.values),
        TypeError,
        r"merge takes patches, got ndarray",
    ),
    "reversed in-patch dimension": (
        merge(PATCHES.isel(y=slice(None, None, -1))),
        ValueError,
        r"labels along 'y' are not a run",
    ),
    "thinned in-patch dimension": (
        merge(PATCHES.isel(x=[0, 2])),
        ValueError,
        r"along 'x' are not a run",
    ),
    "size changed without labels": (
        merge(PATCHES.isel(x=slice(1, 3)).drop_vars("x")),
        ValueError,
        r"2 cells along 'x', but were cut with 4.*patch.crop",
    ),
    "finer without scale": (
        merge(xr.concat([PATCHES.drop_vars("x")] * 2, "x")),
        ValueError,
        r"merge\(scale=\{'x': 2\}\)",
    ),
    "scale of an unknown dim": (merge(PATCHES, scale={"z": 2}), KeyError, r"'z'.*\['y', 'x'\]"),
    "scale of zero": (merge(PATCHES, scale={"y": 0}), ValueError, r"int of at least 1, got 0"),
    "like of another size": (
        merge(PATCHES, like=FIELD.isel(x=slice(5))),
        ValueError,
        r"5 cells along 'x', not 10",
    ),
    "like with other labels": (
        merge(PATCHES, like=FIELD.assign_coords(x=np.arange(10))),
        ValueError,
        r"its labels along 'x' differ",
    ),
    "patches of objects": (merge(PATCHES.astype(object)), TypeError, r"object dtype"),
    "renumbered": (
        merge(
            PATCHES.drop_indexes("patch").assign_coords(
                patch=("patch", np.arange(12) + 50, PATCHES["patch"].attrs)
            )
        ),
        ValueError,
        r"50 to 61, but the split made 12 patches",
    ),
    # the accessor
    "crop of an unknown dim": (lambda: PATCHES.patch.crop(z=1), KeyError, r"'z'.*\['y', 'x'\]"),
    "negative crop": (lambda: PATCHES.patch.crop(y=-1), ValueError, r"'y' must be an int ≥ 0"),
    "crop that leaves nothing": (
        lambda: PATCHES.patch.crop(y=2),
        ValueError,
        r"leaves nothing of 4",
    ),
    "empty batches": (lambda: PATCHES.patch.batches(0), ValueError, r"at least 1, got 0"),
    "float batches": (lambda: PATCHES.patch.batches(2.5), TypeError, r"must be an int, got 2.5"),
    "anchors of a field": (
        lambda: FIELD.patch.anchors,
        ValueError,
        r"Patcher\(…\)\.anchors\(field\)",
    ),
    "specification of a class that is not there": (
        lambda: xpatch.Patcher.from_spec({"geometry": {"class": "Cube"}}),
        ValueError,
        r"unknown specification class 'Cube'",
    ),
    "specification of a function": (
        lambda: xpatch.Patcher.from_spec(xpatch.Patcher(BOXES, window=Custom(np.cos)).to_dict()),
        ValueError,
        r"Custom holds a 'fn' that cannot be written",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    call, error, message = CASES[case]
    with pytest.raises(error, match=f"(?s){message}"):
        call()


@pytest.mark.parametrize("boundary", ["shift", "pad", "wrap"])
def test_gaps_are_told_not_refused(boundary):
    geometry = Rectangular(x=3, boundary=boundary)
    with pytest.warns(
        UserWarning, match=r"step of 5 along 'x'.*2 of every 5 cells stay uncovered"
    ) as told:
        patches = FIELD.patch.split(geometry=geometry, sampler=RegularStride(x=5))
    assert told[0].filename == __file__
    merged = patches.patch.merge()
    assert bool(merged.isnull().any())
    xr.testing.assert_identical(merged.where(merged.notnull(), FIELD), FIELD)


def test_the_boundary_that_is_named_allows_it():
    patches = FIELD.patch.split(geometry=Rectangular(y=9, x=4, boundary={"y": "pad"}))
    xr.testing.assert_allclose(patches.patch.merge(), FIELD)
