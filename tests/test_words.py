"""The first words that people type: what may be short, and what is not the coordinate."""

from __future__ import annotations

import copy
import inspect
import operator
import pickle

import numpy as np
import pytest
import xarray as xr

import xpatch
from xpatch import KNNGraph, Rectangular, RegularStride

FIELD = xr.DataArray(
    np.random.default_rng(0).random((12, 16)),
    {"y": 120.0 - 10 * np.arange(12), "x": 10.0 * np.arange(16)},
    ("y", "x"),
    name="t",
)
CUT = {"geometry": {"y": 4, "x": 4}, "sampler": RegularStride(2)}
PATCHES = FIELD.patch.split(**CUT)
KINDS = {
    "array": PATCHES,
    "dataset": PATCHES.to_dataset(),
    "dask": FIELD.chunk(y=6).patch.split(**CUT),
    "field": FIELD,
    "without index": PATCHES.drop_indexes("patch"),
}

# ------------------------------------------------------------------ the accessor is no coordinate

OPERATIONS = {
    "==": lambda p: p.patch == 3,
    "reflected ==": lambda p: 3 == p.patch,  # noqa: SIM300
    "!=": lambda p: p.where(p.patch != 3),
    "<": lambda p: p.patch < 3,
    ">=": lambda p: p.patch >= p.patch,
    "selection": lambda p: p.isel(patch=p.patch == 3),
    "+": lambda p: p.patch + 1,
    "reflected +": lambda p: 1 + p.patch,
    "+=": lambda p: operator.iadd(p.patch, 1),
    "%": lambda p: p.patch % 2,
    "**": lambda p: 2**p.patch,
    "divmod": lambda p: divmod(7, p.patch),
    "&": lambda p: p.patch & True,
    "-": lambda p: -p.patch,
    "~": lambda p: ~p.patch,
    "round": lambda p: round(p.patch),
    "len": lambda p: len(p.patch),
    "iteration": lambda p: list(p.patch),
    "in": lambda p: 3 in p.patch,
    "int": lambda p: int(p.patch),
    "an array": lambda p: np.asarray(p.patch),
    "an array of a dtype": lambda p: np.array(p.patch, dtype=float),
    "a ufunc": lambda p: np.add(p.patch, 1),
    "a reduction": lambda p: np.max(p.patch),
    "unique": lambda p: np.unique(p.patch),
    "NumPy on the left": lambda p: np.arange(3) + p.patch,
    "a NumPy scalar on the left": lambda p: np.int64(1) - p.patch,
    "NumPy compared": lambda p: np.arange(3) == p.patch,
    "xarray on the left": lambda p: p["x"] + p.patch,
    "xarray on the right": lambda p: p.patch * p,
    "xr.where": lambda p: xr.where(p.patch > 1, 1, 0),
    "isin": lambda p: p["x"].isin(p.patch),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_accessor_is_not_the_coordinate(operation, kind):
    with pytest.raises(TypeError, match=r'accessor of xpatch.*labels.*obj\["patch"\]'):
        OPERATIONS[operation](KINDS[kind])


def test_labels_are_not_asked_of_the_accessor():
    with pytest.raises(TypeError, match=r'obj\["patch"\]'):
        PATCHES.sel(patch=PATCHES.patch)


def test_the_message_names_the_dimension_of_the_patches():
    chips = FIELD.patch.split(**CUT, dim="chip")
    with pytest.raises(TypeError, match=r'obj\["chip"\]'):
        _ = chips.patch == 3


def test_what_the_coordinate_does():
    labels = PATCHES["patch"]
    assert PATCHES.isel(patch=labels == 3)["patch"].values == [3]
    assert PATCHES.where(labels != 3).isnull().any(("y", "x")).sum() == 1
    assert len(labels) == PATCHES.sizes["patch"]


def test_an_accessor_is_still_an_object():
    accessor = PATCHES.patch
    assert accessor is PATCHES.patch
    assert {accessor: 1}[PATCHES.patch] == 1
    assert bool(accessor)
    assert bool(FIELD.patch)
    for other in (copy.deepcopy(PATCHES), pickle.loads(pickle.dumps(PATCHES))):
        xr.testing.assert_identical(other, PATCHES)
        assert repr(other.patch) == repr(PATCHES.patch)


def test_the_accessor_of_a_tree():
    time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
    series = xr.DataArray(np.ones(60), {"time": time}, ("time",), name="t")
    tree = series.patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
    for use in (lambda t: t.patch == 3, lambda t: len(t.patch), lambda t: 1 + t.patch):
        with pytest.raises(TypeError, match=r'tree\[scale\]\["patch"\]'):
            use(tree)
    assert bool(np.allclose(tree.patch.merge(), series))


# ------------------------------------------------------------------ a geometry may come first

WANTED = FIELD.patch.split(geometry=Rectangular(y=4, x=4))
FIRST = {
    "geometry": Rectangular(y=4, x=4),
    "mapping": {"y": 4, "x": 4},
    "int": 4,
    "NumPy int": np.int64(4),
    "tuple": (4, 4),
    "list": [4, 4],
    "array": np.array([4, 4]),
    "array of one number": np.array(4),
    "geometry of a list": Rectangular([4, 4]),
    "geometry of an array": Rectangular(np.array([4, 4])),
    "geometry of a NumPy int": Rectangular(np.int32(4)),
    "float": 40.0,
    "NumPy float": np.float32(40),
}


@pytest.mark.parametrize("name", FIRST)
def test_first_words(name):
    first = FIRST[name]
    xr.testing.assert_equal(FIELD.patch.split(first), WANTED)
    xr.testing.assert_equal(FIELD.patch.split(geometry=first), WANTED)
    xr.testing.assert_equal(xpatch.split(FIELD, first), WANTED)
    assert FIELD.patch.split(first).patch.merge().equals(FIELD)


def test_first_words_go_with_the_other_axes():
    patches = FIELD.patch.split([4, 8], sampler=RegularStride([2, 4]), window="hann")
    assert dict(patches.sizes) == {"patch": 15, "y": 4, "x": 8}
    np.testing.assert_allclose(patches.patch.merge(), FIELD)
    ds = FIELD.to_dataset().assign(flat=("y", np.arange(12.0)))
    assert dict(ds.patch.split(4).sizes) == {"patch": 12, "y": 4, "x": 4}
    stations = xr.DataArray(
        np.arange(9.0), {"lon": ("id", np.arange(9.0)), "lat": ("id", np.zeros(9))}, ("id",)
    )
    assert stations.patch.split(KNNGraph(3)).sizes["id"] == 3


def test_apply_takes_a_geometry_first():
    assert FIELD.patch.apply(lambda p: 2 * p, 4).equals(2 * FIELD)
    assert xpatch.apply(FIELD.chunk(y=6), lambda p: 2 * p, {"y": 4}).equals(2 * FIELD)


def test_sizes_given_as_numpy_print_as_numbers():
    assert repr(Rectangular(np.array([4, 8]))) == repr(Rectangular([4, 8])) == "Rectangular((4, 8))"
    assert repr(Rectangular(np.int64(4))) == "Rectangular(4)"
    patcher = xpatch.Patcher(np.int64(4), RegularStride(np.array([2, 2])))
    assert xpatch.Patcher.from_spec(patcher.to_dict()) == patcher


@pytest.mark.parametrize(
    ("first", "mend"),
    [
        ("hann", r"split\(geometry, window='hann'\)"),
        (xpatch.Hann(), r"window=Hann\(\)"),
        (RegularStride(2), r"sampler=RegularStride\(step=2\)"),
        (xpatch.RegularTimeStride(2), r"sampler=RegularTimeStride"),
        ("median", r"patch\.merge\('median'\)"),
        (xpatch.Mean(), r"patch\.merge\(Mean\(\)\)"),
        (Rectangular, r"call it, Rectangular\(…\)"),
        (PATCHES, r"sampler=Explicit\(patches\)"),
        ("big", r"Rectangular\(y=64, x=64\), {'y': 64, 'x': 64} or 64"),
        (True, "Rectangular"),
        ({4}, "Rectangular"),
    ],
)
def test_other_first_words(first, mend):
    with pytest.raises(TypeError, match=f"expected a Patcher, got .*{mend}"):
        FIELD.patch.split(first)
    with pytest.raises(TypeError, match="expected a Patcher, got"):
        FIELD.patch.apply(lambda p: p, first)


def test_two_geometries():
    with pytest.raises(TypeError, match="one geometry, got 4 first and geometry=8"):
        FIELD.patch.split(4, geometry=8)
    with pytest.raises(TypeError, match="a patcher, or geometry"):
        FIELD.patch.split(xpatch.Patcher(4), sampler=RegularStride(2))


# ------------------------------------------------------------------ scale


def finer(factor):
    """Give patches with finer cells."""
    coarse = PATCHES.drop_vars(["y", "x"]).isel(y=np.arange(4).repeat(factor))
    return coarse.isel(x=np.arange(4).repeat(factor))


@pytest.mark.parametrize("factor", [2, np.int64(3)])
@pytest.mark.parametrize("chunks", [None, 6])
def test_scale_as_a_number(factor, chunks):
    field = FIELD if chunks is None else FIELD.chunk(y=chunks)
    out = field.patch.apply(
        lambda p: xr.DataArray(
            p.values.repeat(factor, 1).repeat(factor, 2), dims=p.dims, coords={"patch": p["patch"]}
        ),
        **CUT,
        scale=factor,
    )
    named = finer(factor).patch.merge(scale={"y": factor, "x": factor})
    assert out.shape == (12 * factor, 16 * factor)
    np.testing.assert_allclose(out, FIELD.values.repeat(factor, 0).repeat(factor, 1))
    xr.testing.assert_allclose(finer(factor).patch.merge(scale=factor), named)
    xr.testing.assert_identical(named.y, finer(factor).patch.merge(scale=factor).y)


def test_scale_is_of_space_and_not_of_time_or_bands():
    cube = xr.DataArray(
        np.random.default_rng(0).random((6, 2, 8, 8)),
        {"time": np.arange("2000-01-01", "2000-01-07", dtype="M8[D]").astype("M8[ns]")},
        ("time", "band", "y", "x"),
    )
    cut = cube.patch.split({"time": 3, "band": 1, "y": 4, "x": 4})
    fine = cut.isel(y=np.arange(4).repeat(2), x=np.arange(4).repeat(2))
    merged = fine.patch.merge(scale=2)
    assert dict(merged.sizes) == {"time": 6, "band": 2, "y": 16, "x": 16}
    np.testing.assert_array_equal(merged, cube.values.repeat(2, 2).repeat(2, 3))
    both = cube.patch.split(
        xpatch.SpatioTemporalPatcher(
            xpatch.Patcher({"y": 4, "x": 4}), xpatch.TimePatcher(xpatch.FixedLookback(3))
        )
    )
    fine = both.isel(y=np.arange(4).repeat(2), x=np.arange(4).repeat(2))
    for aggregation in (None, ("mean", "mean")):
        merged = fine.patch.merge(aggregation, scale=2)
        np.testing.assert_allclose(merged, cube.values.repeat(2, 2).repeat(2, 3))


def test_scale_of_several_variables_and_of_one():
    flat = FIELD.to_dataset().assign(row=("y", np.arange(12.0)))
    fine = flat.patch.split(**CUT).drop_vars(["y", "x"])
    fine = fine.isel(y=np.arange(4).repeat(2), x=np.arange(4).repeat(2))
    merged = fine.patch.merge(scale=2)
    assert merged.t.shape == (24, 32)
    assert merged.row.shape == (24,)
    np.testing.assert_allclose(merged.row, np.arange(12.0).repeat(2))
    assert PATCHES.patch.merge(scale=1).equals(PATCHES.patch.merge())
    assert PATCHES.mean("x").patch.merge(scale=1).shape == (12, 16)


def test_scale_where_there_is_no_box_in_space():
    series = FIELD.isel(x=0, drop=True).rename(y="time")
    series["time"] = np.arange("2000-01-01", "2000-01-13", dtype="M8[D]").astype("M8[ns]")
    windows = series.patch.split({"time": 4})
    with pytest.raises(ValueError, match=r"cut along \['time'\] otherwise: name the dimensions"):
        windows.patch.merge(scale=2)
    stations = xr.DataArray(
        np.arange(9.0), {"lon": ("id", np.arange(9.0)), "lat": ("id", np.zeros(9))}, ("id",)
    ).patch.split(KNNGraph(3))
    with pytest.raises(ValueError, match=r"scale=2 is along the sides of boxes in space"):
        stations.patch.merge(scale=2)
    assert stations.patch.merge(scale=1).notnull().all()


@pytest.mark.parametrize(
    ("scale", "error", "message"),
    [
        (0, ValueError, "at least 1, got 0"),
        (-2, ValueError, "at least 1, got -2"),
        (2.5, ValueError, "at least 1, got 2.5"),
        ("2", TypeError, "got '2'"),
        (True, TypeError, "got True"),
        ((2, 2), TypeError, r"got \(2, 2\)"),
        ({"y": 2.5}, ValueError, "scale along 'y' must be .* an int of at least 1, got 2.5"),
        ({"z": 2}, KeyError, r"names dimension 'z'.*\['y', 'x'\]"),
    ],
)
def test_scale_that_is_none(scale, error, message):
    with pytest.raises(error, match=message):
        PATCHES.patch.merge(scale=scale)
    with pytest.raises(error, match=message):
        FIELD.patch.apply(lambda p: p, **CUT, scale=scale)


# ------------------------------------------------------------------ keywords


@pytest.mark.parametrize(
    ("make", "mend"),
    [
        (
            lambda: xpatch.Random(n=3),
            r"Random has no n=; it takes n_samples, .*: Random\(n_samples=3\)",
        ),
        (lambda: xpatch.KNNGraph(n_neighbors=3), r"KNNGraph\(k=3\)"),
        (lambda: xpatch.KNNGraph(n=3), r"KNNGraph\(k=3\)"),
        (lambda: xpatch.SphericalCap(radius=3), r"SphericalCap\(radius_km=3\)"),
        (lambda: xpatch.PoissonDisk(radius=3), r"PoissonDisk\(min_dist=3\)"),
        (lambda: xpatch.FixedLookback(window=3), r"FixedLookback\(length=3\)"),
        (lambda: xpatch.AlongTrack([(0, 0)], step=2), r"AlongTrack\(spacing=2\)"),
        (lambda: xpatch.Random(3, random_state=1), r"no random_state=; it takes .*seed"),
        (lambda: xpatch.Hann(alpha=1), r"Hann has no alpha=; it takes nothing"),
        (lambda: xpatch.OverlapAdd(normalize=True), "normalize_by_window"),
        (lambda: Rectangular(4, overlap=2), r"sampler, RegularStride\(overlap=8\)"),
        (lambda: Rectangular(4, stride=2), r"sampler, RegularStride\(32\)"),
    ],
)
def test_keywords_of_other_libraries(make, mend):
    with pytest.raises(TypeError, match=mend):
        make()


@pytest.mark.parametrize(
    ("geometry", "sampler", "mend"),
    [
        (Rectangular(shape=4), None, r"'shape'.*one size for all is Rectangular\(64\)"),
        (Rectangular(patch_size=4), None, r"'patch_size'.*Rectangular\(y=64, x=64\)"),
        (4, RegularStride(stride=2), r"'stride'.*RegularStride\(32\) or RegularStride\(y=32"),
        (PATCHES.patch.spec, None, r"Patcher\.from_spec\(spec\)"),
    ],
)
def test_words_that_are_taken_for_dimensions(geometry, sampler, mend):
    with pytest.raises(KeyError, match=mend):
        FIELD.patch.split(geometry, sampler=sampler)


def test_a_dimension_may_have_any_of_these_names():
    field = xr.DataArray(np.arange(12.0), dims="shape")
    assert field.patch.split(Rectangular(shape=4)).sizes["patch"] == 3


def test_signatures_are_those_of_the_classes():
    names = ["n_samples", "seed", "replace", "weights", "snap", "empty"]
    assert list(inspect.signature(xpatch.Random).parameters) == names
    assert "dims" in inspect.signature(Rectangular).parameters
    assert not inspect.signature(xpatch.Hann).parameters
    for spec in (xpatch.Random(3), xpatch.Explicit([(0, 0)]), xpatch.Patcher(4)):
        assert repr(pickle.loads(pickle.dumps(spec))) == repr(copy.deepcopy(spec)) == repr(spec)


@pytest.mark.parametrize(
    ("call", "mend"),
    [
        (lambda: xpatch.FixedLookback(days=30), "durations are text, '30D'"),
        (lambda: xpatch.KHopGraph(2, mask=FIELD), r"KHopGraph\(hops, where=sea\)"),
        (lambda: xpatch.SphericalCap(300, where=FIELD), r"KHopGraph\(hops, where=sea\)"),
        (lambda: xpatch.RegularStride("5D"), r"RegularTimeStride\('5D'\)"),
        (lambda: FIELD.patch.split(4, sampler=PATCHES), r"sampler=Explicit\(places\)"),
        (
            lambda: xpatch.Patcher([{"y": 4}, xpatch.FixedLookback("30D")]),
            r"SpatioTemporalPatcher\(Patcher\(",
        ),
    ],
)
def test_what_is_meant_instead(call, mend):
    with pytest.raises((TypeError, ValueError), match=mend):
        call()


def test_a_call_is_named_for_one_other_word_alone():
    with pytest.raises(TypeError, match=r"SphericalCap\(radius_km=300\)"):
        xpatch.SphericalCap(radius=300)
    with pytest.raises(TypeError) as two:
        xpatch.AlongTrack(lon=[1, 2], lat=[3, 4])
    assert "AlongTrack(track=" not in str(two.value)


def test_coordinates_that_are_taken_for_dimensions():
    lat, lon = np.meshgrid(np.arange(9.0), np.arange(9.0), indexing="ij")
    bent = xr.DataArray(
        np.zeros((9, 9)), {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}, ("j", "i")
    )
    with pytest.raises(TypeError, match=r"\{'j': 3, 'i': 3\}; .*float, 3.0"):
        bent.patch.split({"lat": 3, "lon": 3})
    named = FIELD.assign_coords(row=("y", np.arange(12)))
    with pytest.raises(KeyError, match="'row' is a coordinate along 'y': name that"):
        named.patch.split({"row": 3})
    with pytest.raises(KeyError, match=r"horizontal dimensions are \['y', 'x'\]"):
        FIELD.patch.split({"lat": 3, "lon": 3})
    gaussian = xr.DataArray(
        np.zeros((8, 4)),
        {"lat": 80 * np.sin(np.linspace(-1.4, 1.4, 8)), "lon": np.arange(4.0)},
        ("lat", "lon"),
    )
    with pytest.raises(ValueError, match="in cells, or '10deg' if steps are nearly even"):
        gaussian.patch.split({"lat": 10.0, "lon": 2.0})


def test_where_patches_would_be_takes_the_field_by_name():
    assert len(xpatch.Patcher({"y": 4, "x": 4}).anchors(field=FIELD)) == 12


def test_fit_takes_what_is_predicted_and_from_what_in_order():
    both = xr.Dataset({"t": FIELD, "z": FIELD**2}).patch.split({"y": 4, "x": 4})
    by_name = both.patch.fit(xpatch.LeastSquares(), y="t", x="z")
    xr.testing.assert_identical(both.patch.fit(xpatch.LeastSquares(), "t", "z"), by_name)
