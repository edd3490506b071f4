"""Malformed calls: each is told what was expected, what came, and how to mend it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xpatch
from xpatch import (
    Custom,
    FibonacciSphere,
    Gaussian,
    JitteredStride,
    KNNGraph,
    Learned,
    OverlapAdd,
    PoissonDisk,
    Quantile,
    RadiusGraph,
    Random,
    Rectangular,
    RegularStride,
    Std,
    Tukey,
    Valid,
    Var,
    WeightedSum,
    sphere,
)

RANDOM = np.random.default_rng(0)
FIELD = xr.DataArray(
    np.arange(80.0).reshape(8, 10), {"y": np.arange(8) * 2.0, "x": np.arange(10) * 5.0}, ("y", "x")
)
LAZY = FIELD.chunk(y=4)
BOXES = {"y": 4, "x": 4}
PATCHES = FIELD.patch.split(BOXES, sampler=RegularStride(2))
ONE = PATCHES.isel(patch=[0])
STATIONS = xr.DataArray(
    RANDOM.random(30),
    {"lon": ("id", RANDOM.uniform(0, 10, 30)), "lat": ("id", RANDOM.uniform(0, 10, 30))},
    ("id",),
)
HUGE = 10**12


def zeros(shape, dims):
    """Give a field that takes no memory."""
    return xr.DataArray(np.broadcast_to(np.float32(0), shape), dims=dims)


def split(geometry=BOXES, sampler=None, field=FIELD, **kwargs):
    return lambda: field.patch.split(geometry, sampler=sampler, **kwargs)


def window(fn, field=FIELD, geometry=BOXES):
    return lambda: field.patch.split(geometry, window=Custom(fn))


def merge(*args, patches=PATCHES, **kwargs):
    return lambda: patches.patch.merge(*args, **kwargs)


def learned(model, patches=PATCHES):
    return lambda: patches.patch.merge(Learned(model))


def apply(**kwargs):
    return lambda: FIELD.patch.apply(lambda p: p, BOXES, **kwargs)


def valid(where):
    return lambda: FIELD.patch.split(BOXES, sampler=Valid(RegularStride(), 0.5, where=where))


class Estimator:
    """Predicts what it is told to."""

    def __init__(self, predicted):
        self.predicted = predicted

    def fit(self, features, target):
        return self

    def predict(self, features):
        return self.predicted(len(features))


ASIDE = (FIELD > 2).assign_coords(x=np.arange(10.0))

CASES = {
    # sizes
    "infinite size": (
        split({"y": np.inf}),
        ValueError,
        r"size along 'y' must be finite, got inf.*8 c",
    ),
    "infinite size of all": (split(np.inf), ValueError, r"along 'y' must be finite, got inf"),
    "a length beyond all fields": (split({"y": 1e300}), ValueError, r"finite, got 1e\+300"),
    "minus infinity": (split({"y": -np.inf}), ValueError, "must be positive, got -inf"),
    "NaN size": (split({"y": np.nan}), ValueError, "size along 'y' must be positive, got nan"),
    "NaN size of all": (split(np.nan), ValueError, "must be positive, got nan"),
    "infinite step": (
        split(sampler=RegularStride(np.inf)),
        ValueError,
        "step along 'y' must be finite",
    ),
    "NaN step": (lambda: RegularStride(np.nan), ValueError, "must be positive, got nan"),
    "infinite overlap": (
        split(sampler=RegularStride(overlap=np.inf)),
        ValueError,
        "overlap along 'y' must be finite",
    ),
    "complex size": (split({"y": 4j}), TypeError, "must be an int.*got 4j"),
    "list in a mapping": (split({"y": [4]}), TypeError, r"must be an int.*got \(4,\)"),
    "array of two dimensions": (split(np.array([[4, 4]])), ValueError, "has 1 entries for the 2"),
    "array of text": (
        split(geometry=BOXES, sampler=np.array(["a"])),
        TypeError,
        "must be a Sampler",
    ),
    "a field for a geometry": (
        lambda: FIELD.patch.split(geometry=FIELD.to_dataset(name="a")),
        TypeError,
        "geometry must be a Geometry or sizes",
    ),
    "a class for a geometry": (
        lambda: FIELD.patch.split(geometry=KNNGraph),
        TypeError,
        r"call it, KNNGraph\(…\)",
    ),
    "several pad values": (
        lambda: Rectangular(4, boundary="pad", pad_mode="constant", pad_value=[1, 2]),
        TypeError,
        r"pad_value must be one value.*\[1, 2\]",
    ),
    # seeds
    "text seed": (
        lambda: Random(3, seed="a"),
        TypeError,
        "seed of Random must be an int ≥ 0.*got 'a'",
    ),
    "float seed": (lambda: Random(3, seed=1.5), TypeError, "got 1.5"),
    "negative seed": (lambda: Random(3, seed=-1), ValueError, "must be an int ≥ 0, got -1"),
    "a seed that was meant for replace": (lambda: Random(3, True), TypeError, "got True"),
    "text among seeds": (lambda: Random(3, seed=[1, "a"]), TypeError, r"got \[1, 'a'\]"),
    "seed of jitter": (lambda: JitteredStride(2, seed="a"), TypeError, "seed of JitteredStride"),
    "seed of disks": (lambda: PoissonDisk(2, seed=-3), ValueError, "seed of PoissonDisk.*got -3"),
    "seed of a model": (lambda: Learned(max, seed=0.5), TypeError, "seed of Learned"),
    "seed of batches": (
        lambda: PATCHES.patch.batches(2, shuffle=True, seed="a"),
        TypeError,
        "seed of batches",
    ),
    # numbers
    "jitter that is text": (
        lambda: JitteredStride(2, "a"),
        TypeError,
        "fraction of the step.*got 'a'",
    ),
    "jitter of each dim": (
        lambda: JitteredStride(2, [0.1, 0.2]),
        TypeError,
        r"number between 0 and 1, got \[0.1, 0.2\]",
    ),
    "quantiles": (
        lambda: Quantile([0.1, 0.9]),
        TypeError,
        r"Quantile q must be a number between 0 and 1, got \[0.1, 0.9\]; give one",
    ),
    "array of quantiles": (lambda: Quantile(np.array([0.1, 0.9])), TypeError, "give one number"),
    "text quantile": (lambda: Quantile("a"), TypeError, "got 'a'$"),
    "percent": (lambda: Quantile(50), ValueError, "between 0 and 1, got 50"),
    "no alpha": (lambda: Tukey(None), TypeError, "Tukey alpha must be a number between 0 and 1"),
    "text sigma": (lambda: Gaussian("a"), TypeError, "Gaussian sigma must be one number, got 'a'"),
    "several sigmas": (lambda: Gaussian(np.array([1, 2])), TypeError, "one number, got array"),
    "text ddof": (lambda: Var("a"), TypeError, "ddof of Var must be one number, got 'a'"),
    "several ddof": (lambda: Std([1]), TypeError, r"ddof of Std must be one number, got \[1\]"),
    "fraction that is text": (
        lambda: Valid(RegularStride(), "half"),
        TypeError,
        "min_fraction of Valid must be a number between 0 and 1, got 'half'",
    ),
    "distance of each dim": (
        lambda: PoissonDisk({"y": 2}),
        TypeError,
        "min_dist of PoissonDisk must be one number, got {'y': 2}",
    ),
    "no sample to fit": (
        lambda: Learned(max, max_samples=0),
        ValueError,
        "max_samples must be an int",
    ),
    # flags
    "text for replace": (
        lambda: Random(3, replace="no"),
        TypeError,
        "replace of Random must be True",
    ),
    "text for normalize": (
        lambda: OverlapAdd(normalize_by_window="no"),
        TypeError,
        "normalize_by_window of OverlapAdd must be True or False, got 'no'",
    ),
    "text for skipna": (merge(skipna="yes"), TypeError, "skipna must be True or False.*got 'yes'"),
    "a number for skipna": (merge(skipna=1), TypeError, "skipna must be True or False.*got 1"),
    "skipna of apply": (apply(skipna="yes"), TypeError, "skipna must be True or False"),
    "text for progress": (apply(progress="yes"), TypeError, "progress must be True or False"),
    "on_error in a list": (
        apply(on_error=["nan"]),
        ValueError,
        r"on_error must be one of.*\['nan'\]",
    ),
    "text for drop_last": (
        lambda: PATCHES.patch.batches(2, "yes"),
        TypeError,
        "drop_last must be True",
    ),
    "text for shuffle": (
        lambda: PATCHES.patch.batches(2, shuffle="yes"),
        TypeError,
        "shuffle must be True or False",
    ),
    # how many
    "samples": (
        lambda: Random(HUGE),
        ValueError,
        "n_samples of Random must be at most 100,000,000",
    ),
    "samples with replacement": (
        lambda: Random(10**30, replace=True),
        ValueError,
        "at most 100,000,000",
    ),
    "anchors of the sphere": (
        lambda: FibonacciSphere(HUGE),
        ValueError,
        "n of FibonacciSphere must be",
    ),
    "disks": (
        split(4, PoissonDisk(1e-3), zeros((10**6, 10**6), ("y", "x"))),
        ValueError,
        r"PoissonDisk\(0.001\) gives 1e\+12 anchors.*larger min_dist",
    ),
    "jittered anchors": (
        split(4, JitteredStride(1), zeros((10**6, 10**6), ("y", "x"))),
        ValueError,
        r"JitteredStride\(1\) gives 1e\+12 anchors.*larger step",
    ),
    "anchors that are looked at": (
        split(4, Valid(RegularStride(1)), zeros((10**6, 10**6), ("y", "x"))),
        ValueError,
        r"RegularStride\(step=1\) gives 1e\+12 anchors.*Valid looks at each",
    ),
    "patches": (
        split(4, RegularStride(1), zeros((10**6, 10**6), ("y", "x"))),
        ValueError,
        r"these are 1e\+12 patches.*larger step",
    ),
    "a track in tiny steps": (
        lambda: sphere.along(np.array([0.0, 90.0]), np.array([0.0, 45.0]), 1e-9),
        ValueError,
        r"the track gives .* anchors.*larger spacing",
    ),
    "a track through nowhere": (
        lambda: sphere.along(np.array([0.0, np.nan]), np.array([0.0, 45.0]), 9.0),
        ValueError,
        "a vertex without a place",
    ),
    # functions of windows
    "one weight for all": (
        window(lambda u: 1.0),
        ValueError,
        r"shape \(\) for offsets of shape \(4,\)",
    ),
    "a column of weights": (window(lambda u: u[:, None]), ValueError, r"gave shape \(4, 1\)"),
    "NaN weights": (
        window(lambda u: u * np.nan),
        ValueError,
        "negative or non-finite.*finite and ≥ 0",
    ),
    "negative weights": (window(lambda u: u), ValueError, "negative or non-finite"),
    "complex weights": (window(lambda u: u * 1j), TypeError, "one real number.*dtype complex128"),
    "text weights": (window(lambda u: "a"), TypeError, "one real number ≥ 0 for each.*<U1"),
    "ragged weights": (
        window(lambda u: [[1], [1, 2]]),
        TypeError,
        r"one real number.*\[\[1\], \[1, 2",
    ),
    "no weights": (window(lambda u: None), ValueError, r"gave shape \(\)"),
    "complex weights of members": (
        window(lambda u: u * 1j, STATIONS, KNNGraph(3)),
        TypeError,
        "one real number.*complex128",
    ),
    "complex weights of a sum": (
        merge(WeightedSum(lambda u: u * 1j)),
        TypeError,
        "one real number",
    ),
    # models
    "a model that keeps slots": (
        learned(lambda values, offsets: values),
        ValueError,
        r"one real number for each of the 80 cells, shape \(80,\).*float64 and shape \(4, 80\)",
    ),
    "a model that gives one number": (
        learned(lambda values, offsets: np.nanmean(values)),
        ValueError,
        r"each of the 80 cells.*shape \(\)",
    ),
    "a model that gives nothing": (
        learned(lambda values, offsets: None),
        ValueError,
        "dtype object",
    ),
    "a complex model": (learned(lambda values, offsets: values[0] * 1j), ValueError, "complex128"),
    "a model of text": (learned(lambda v, o: np.array(["a"] * v.shape[1])), ValueError, "<U1"),
    "a ragged model": (learned(lambda values, offsets: [[1], [2, 3]]), ValueError, "a ragged list"),
    "a model of members": (
        learned(lambda v, o: v, STATIONS.patch.split(KNNGraph(3))),
        ValueError,
        "one real number for each of the",
    ),
    "a model on dask": (
        lambda: LAZY.patch.split(BOXES).patch.merge(Learned(lambda v, o: v)).compute(),
        ValueError,
        "for each of the",
    ),
    "an estimator of two outputs": (
        learned(Estimator(lambda n: np.zeros((n, 2)))),
        ValueError,
        r"each of the 80 cells.*\(160,\)",
    ),
    # fill values
    "array of fill values": (
        merge(patches=ONE, fill_value=np.array([1.0, 2.0])),
        TypeError,
        r"fill_value must be one value.*ndarray of shape \(2,\).*merged\.fillna\(field\)",
    ),
    "list of fill values": (merge(fill_value=[1, 2]), TypeError, r"list of shape \(2,\)"),
    "field of fill values": (merge(fill_value=FIELD), TypeError, r"DataArray of shape \(8, 10\)"),
    "fill value by variable": (
        merge(fill_value={"a": 1}),
        TypeError,
        "one value for all variables",
    ),
    "fill values of apply": (apply(fill_value=[1]), TypeError, "fill_value must be one value"),
    "text fill value": (merge(patches=ONE, fill_value="a"), TypeError, "filled with 'a'"),
    # crop
    "float crop": (lambda: PATCHES.patch.crop(y=1.5), ValueError, "crop along 'y'.*pair.*got 1.5"),
    "NumPy float crop": (lambda: PATCHES.patch.crop(y=np.float64(1)), ValueError, "crop along 'y'"),
    "boolean crop": (lambda: PATCHES.patch.crop(y=True), ValueError, "crop along 'y'.*got True"),
    "crop by None": (lambda: PATCHES.patch.crop(y=None), ValueError, "crop along 'y'.*got None"),
    "crop by a slice": (lambda: PATCHES.patch.crop(y=slice(1, 2)), ValueError, "crop along 'y'"),
    "crop of no dim": (lambda: PATCHES.patch.crop(1), TypeError, r"crop\(y=2, x=\(0, 1\)\), got 1"),
    "crop of a name": (lambda: PATCHES.patch.crop("y"), TypeError, "cells by dimension.*got 'y'"),
    # names
    "a dimension twice": (
        lambda: xr.DataArray(np.zeros((4, 4)), dims=("x", "x")).patch.split(2),
        ValueError,
        r"a dimension twice, \['x', 'x'\].*dims=\(…\)",
    ),
    "a tuple for a dimension": (
        split({("a", "b"): 2}, field=xr.DataArray(np.zeros((4, 4)), dims=(("a", "b"), "y"))),
        ValueError,
        r"\('a', 'b'\) has a tuple for a name.*rename",
    ),
    "a list for the new dim": (split(dim=["patch"]), TypeError, r"must be a str, got \['patch'\]"),
    "no new dim": (split(dim=None), TypeError, "must be a str, got None"),
    "a number for the new dim": (split(dim=3), TypeError, "must be a str, got 3"),
    "a tuple for the new dim": (split(dim=("a", "b")), TypeError, "must be a str"),
    # chunks, whatever the field
    "chunks by a word": (split(chunks="foo"), TypeError, "'auto', None or a number.*got 'foo'"),
    "chunks by a word on dask": (split(field=LAZY, chunks="foo"), TypeError, "got 'foo'"),
    "chunks by dimension": (split(chunks={"patch": 2}), TypeError, "got {'patch': 2}"),
    "no chunk": (split(chunks=0), ValueError, "positive number of patches, got 0"),
    "chunks of apply": (apply(chunks=[1, 2]), TypeError, r"got \[1, 2\]"),
    # masks
    "a mask of another dim": (
        valid(xr.DataArray([True, False], dims="z")),
        ValueError,
        r"dimensions \['z'\].*some of those that are cut, \['y', 'x'\]",
    ),
    "a mask of a dim too many": (
        valid((FIELD > 2).expand_dims(member=3)),
        ValueError,
        r"dimensions \['member', 'y', 'x'\].*where\.all",
    ),
    "a mask without dims": (valid(xr.DataArray(True)), ValueError, r"dimensions \[\]"),
    "a mask with a dim twice": (
        lambda: valid(xr.DataArray(np.ones((8, 8), bool), dims=("y", "y")))(),
        ValueError,
        "each once",
    ),
    "a mask on other labels": (valid(ASIDE), ValueError, "other labels along 'x'.*reindex_like"),
    "a mask upside down": (
        valid((FIELD > 2)[::-1]),
        ValueError,
        "labels along 'y' in another order.*reindex_like",
    ),
    "a mask of text": (valid("land"), TypeError, "boolean DataArray, got str"),
    # metrics
    "a metric of text": (
        split(KNNGraph(3, lambda a, b: "x"), None, STATIONS),
        TypeError,
        r"one number ≥ 0 for two points of shape \(2,\), got 'x'",
    ),
    "a metric of vectors": (
        split(RadiusGraph(3, lambda a, b: abs(a - b)), None, STATIONS),
        TypeError,
        "one number ≥ 0 for two points",
    ),
    "a negative metric": (
        split(RadiusGraph(3, lambda a, b: -1.0), None, STATIONS),
        ValueError,
        "the metric gave -1 for the distance",
    ),
    # samplers and aggregations of another kind
    "a number for a sampler": (
        split(sampler=2),
        TypeError,
        r"got 2; a stride is RegularStride\(2\)",
    ),
    "a class for a sampler": (split(sampler=Random), TypeError, r"call it, Random\(…\)"),
    "a word for a sampler": (split(sampler="random"), TypeError, r"or Random\(n_samples\)"),
    "a function for an aggregation": (merge(np.mean), TypeError, "object of Aggregation.*'median'"),
    "a mapping of aggregations": (merge({"a": "mean"}), TypeError, "one by one"),
    "a window for an aggregation": (merge("hann"), TypeError, r"use OverlapAdd\('hann'\)"),
    "a profile for a window": (
        split(window=np.hamming(4)),
        ValueError,
        r"shape \(4,\) do not fit patches of \{'y': 4, 'x': 4\}.*of a profile .*np.outer",
    ),
    # other calls
    "an array for a field": (
        lambda: xpatch.split(FIELD.values, 4),
        TypeError,
        r"DataArray or a Dataset, got ndarray: xr.DataArray\(values, dims",
    ),
    "text for a specification": (
        lambda: xpatch.Patcher.from_spec("tiles"),
        ValueError,
        r"patches.patch.spec gives, has geometry; got 'tiles'",
    ),
    "an empty specification": (
        lambda: xpatch.SpatioTemporalPatcher.from_spec({}),
        ValueError,
        "has spatial and temporal; got {}",
    ),
    "a number for a field to draw": (
        lambda: PATCHES.patch.plot(3),
        TypeError,
        "field must be the DataArray to draw underneath, got int",
    ),
    "a field to draw of other dims": (
        lambda: PATCHES.patch.plot(FIELD.rename(y="z")),
        ValueError,
        r"field must lie over \['y', 'x'\].*got \['z', 'x'\]",
    ),
    "a number of outlines to draw": (lambda: PATCHES.patch.plot(most=0), ValueError, "got 0"),
    "a number for axes to draw on": (
        lambda: PATCHES.patch.plot(axes=3),
        TypeError,
        "an Axes of matp",
    ),
    "a number for patches": (
        lambda: xpatch.fit_predict(3, max, max),
        TypeError,
        "fit_predict takes patches, got int",
    ),
    "no function to fit": (
        lambda: xpatch.fit_predict(PATCHES, None, max),
        TypeError,
        "fit must be a function, or a model with fit\\(X, y\\), got None",
    ),
    "a number for what is known": (
        lambda: xpatch.fit_predict(PATCHES, max, max, known=3),
        TypeError,
        "known must be a name or a sequence of names, got 3",
    ),
    "text for progress of a fit": (
        lambda: xpatch.fit_predict(PATCHES, max, max, progress="yes"),
        TypeError,
        "progress must be True or False",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate dimension names")
@pytest.mark.parametrize("name", CASES)
def test_messages(name):
    call, error, message = CASES[name]
    if "draw" in name:
        pytest.importorskip("matplotlib").use("agg")
    with pytest.raises(error, match=f"(?s){message}"):
        call()


# ------------------------------------------------------------------ what stays as it was

RIGHT = {
    "several seeds": lambda: FIELD.patch.split(BOXES, sampler=Random(3, seed=[1, 2])),
    "seed sequence": lambda: FIELD.patch.split(
        BOXES, sampler=Random(3, seed=np.random.SeedSequence(1))
    ),
    "generator": lambda: FIELD.patch.split(BOXES, sampler=Random(3, seed=np.random.default_rng(1))),
    "NumPy seed": lambda: FIELD.patch.split(BOXES, sampler=Random(3, seed=np.uint8(4))),
    "a radius beyond the field": lambda: FIELD.patch.split(RadiusGraph(1e300)),
    "infinite distance": lambda: FIELD.patch.split(BOXES, sampler=PoissonDisk(np.inf)),
    "fraction without dims": lambda: PATCHES.patch.merge(Quantile(np.array(0.5))),
    "NumPy flag": lambda: PATCHES.patch.merge(skipna=np.True_),
    "fill value without dims": lambda: ONE.patch.merge(fill_value=np.array(3.0)),
    "no fill value": lambda: ONE.patch.merge(fill_value=None),
    "weights of objects": lambda: FIELD.patch.split(
        BOXES, window=Custom(lambda u: np.array([1.0] * len(u), object))
    ),
    "weights that are booleans": lambda: FIELD.patch.split(BOXES, window=Custom(lambda u: u > -2)),
    "weights in a list": lambda: FIELD.patch.split(BOXES, window=Custom(lambda u: [1] * len(u))),
    "predictions in a list": lambda: PATCHES.patch.merge(Learned(lambda v, o: v[0].tolist())),
    "missing predictions": lambda: PATCHES.patch.merge(Learned(lambda v, o: v[0] * np.nan)),
    "crop by a mapping and a keyword": lambda: PATCHES.patch.crop({"y": 1}, x=(0, 1)),
    "crop by an array": lambda: PATCHES.patch.crop(y=np.array([1, 0])),
    "a mask of one dim": lambda: FIELD.patch.split(
        BOXES, sampler=Valid(RegularStride(), 0.1, where=xr.DataArray([True] * 8, dims="y"))
    ),
    "a mask that is rounded": lambda: FIELD.patch.split(
        BOXES,
        sampler=Valid(RegularStride(), 0.1, where=(FIELD > 2).assign_coords(y=FIELD.y + 1e-5)),
    ),
    "a mask with labels of its own": lambda: FIELD.drop_vars(["y", "x"]).patch.split(
        BOXES, sampler=Valid(RegularStride(), 0.1, where=FIELD > 2)
    ),
    "a tuple for a dimension that is not cut": lambda: xr.DataArray(
        np.zeros((4, 4)), dims=(("a", "b"), "y")
    ).patch.split({"y": 2}),
    "a number for a dimension": lambda: xr.DataArray(np.zeros((4, 4)), dims=(0, 1)).patch.split(
        {0: 2, 1: 2}
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right(name):
    assert RIGHT[name]().size


def test_a_mask_is_of_the_cells_and_not_of_their_order():
    land = FIELD > 39  # the lower half
    kept = FIELD.patch.split(BOXES, sampler=Valid(RegularStride(), 1.0, where=land))
    assert (kept["y"] >= 8).all()
    flipped = FIELD[::-1]
    also = flipped.patch.split(BOXES, sampler=Valid(RegularStride(), 1.0, where=land[::-1]))
    assert (also["y"] >= 8).all()


def test_patches_say_how_many_elements_have_no_place():
    lost = STATIONS.assign_coords(lat=STATIONS.lat.where(STATIONS.lat != STATIONS.lat[7]))
    with pytest.warns(UserWarning, match=r"'id' 1 of 30 without a place.*isel") as told:
        patches = lost.patch.split(KNNGraph(3))
    assert len(told) == 1
    assert told[0].filename == __file__
    assert "without a place: 1 of 30 elements along id, in no patch" in repr(patches.patch)
    assert int(patches.patch.merge().isnull().sum()) == 1
    assert "without a place" not in repr(STATIONS.patch.split(KNNGraph(3)).patch)


def test_land_of_a_grid_is_meant_to_have_no_place(recwarn):
    lat, lon = np.meshgrid(np.arange(8.0), np.arange(8.0), indexing="ij")
    lat[2, 3] = np.nan
    coords = {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}
    xr.DataArray(np.zeros((8, 8)), coords, ("j", "i")).patch.split(KNNGraph(2))
    assert not recwarn.list


def test_names_that_are_no_text_do_not_come_back_from_a_recipe():
    field = xr.DataArray(np.arange(16.0).reshape(4, 4), dims=(0, 1))
    p = field.patch.split({0: 2, 1: 2})
    assert p.patch.merge().equals(field)
    numbers = {"patch": ("patch", p["patch"].values, p["patch"].attrs)}
    read = xr.DataArray(p.values, numbers, p.dims)
    with pytest.raises(ValueError, match=r"the dimension 0, whose name is no text.*rename"):
        read.patch.merge()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: xpatch.AlongTrack([(0.0, 0.0), (9.0, 9.0)], 1e-12),
            ValueError,
            "anchors, more than.*larger",
        ),
        (
            lambda: xpatch.AlongTrack([(0.0, 0.0), (np.nan, 9.0)], 1.0),
            ValueError,
            "without a place.*drop",
        ),
        (lambda: xpatch.RandomTime(2, seed="a"), TypeError, "seed of RandomTime must be an int"),
        (lambda: xpatch.RandomTime(2, seed=-1), ValueError, "seed of RandomTime must be an int"),
        (lambda: xpatch.TaperedTukey("a"), TypeError, "alpha must be a number between 0 and 1"),
        (lambda: xpatch.PhaseWindow("365D", 2), ValueError, "odd number.*use 1 or 3"),
    ],
)
def test_arguments_that_came_raw(make, error, match):
    with pytest.raises(error, match=match):
        FIELD.patch.split(BOXES, sampler=make())


def test_padding_without_end():
    geometry = Rectangular(y=10**9, boundary="pad")
    with pytest.raises(ValueError, match=r"cells of padding.*smaller size"):
        FIELD.patch.split(geometry)


@pytest.mark.parametrize("dims", [("patch",), ("patch", "k")])
def test_stacked_patches_are_unstacked_first(dims):
    patches = FIELD.patch.split(BOXES).expand_dims(k=2).stack(z=dims)
    with pytest.raises(ValueError, match=r"'patch' is a level of 'z'.*unstack\('z'\)"):
        patches.patch.merge()


def test_geometries_in_space_are_split_one_after_the_other():
    field = xr.DataArray(np.zeros((5, 6, 4)), dims=("y", "x", "z"))
    match = r"patch\.split\(KHopGraph\(1\)\)\.patch\.split\(\{'z': 2\}, dim='inner'\)"
    with pytest.raises(ValueError, match=match):
        field.patch.split([xpatch.KHopGraph(1), {"z": 2}])
    two = field.patch.split(xpatch.KHopGraph(1)).patch.split({"z": 2}, dim="inner")
    assert two.sizes == {"patch": 30, "inner": 2, "cell": 5, "z": 2}


def test_all_names_that_are_taken_are_named_at_once():
    field = xr.DataArray(np.zeros((3, 3)), {"lat": [0, 1, 2], "lon": [0, 1, 2]}, ("lat", "lon"))
    field = field.assign_coords(anchor_element=0, anchor_element_x=1.0)
    with pytest.raises(ValueError, match="'anchor_element', 'anchor_element_x' of its own"):
        field.patch.split(xpatch.KNNGraph(2))


@pytest.mark.parametrize("name", ["edge_index", "adjacency", "hops"])
def test_words_of_graphs(name):
    patches = xr.DataArray(np.zeros((3, 3)), dims=("y", "x")).patch.split(xpatch.KHopGraph(1))
    with pytest.raises(AttributeError, match=r"patches\.patch\.(edges|distance)"):
        getattr(patches.patch, name)
