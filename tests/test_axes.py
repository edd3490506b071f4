"""Geometry, samplers and windows, each line of their contract."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import scipy.signal.windows
import xarray as xr
from scipy.spatial.distance import pdist

import xpatch
from xpatch import Explicit, Random, Rectangular, RegularStride

FIELD = xr.DataArray(
    np.random.default_rng(0).normal(size=(20, 30)),
    {"y": np.arange(20)[::-1] * 10.0, "x": np.arange(30) * 5.0},
    ("y", "x"),
)


def starts(field, geometry, sampler):
    patches = field.patch.split(geometry=geometry, sampler=sampler)
    return patches.xindexes["patch"].plans[0].boxes.starts()


# ------------------------------------------------------------------------------ geometry


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"y": 4, "x": 6}, (4, 6)),
        ((4, 6), (4, 6)),
        (5, (5, 5)),
        ({"y": 40.0, "x": 6}, (4, 6)),
        ({"y": 40.0, "x": 32.0}, (4, 6)),
        ({"x": 6}, (20, 6)),
    ],
)
def test_sizes(size, expected):
    patches = FIELD.patch.split(geometry=Rectangular(size))
    assert patches.shape[1:] == expected


def test_vertical_and_time_may_be_cut():
    field = xr.DataArray(np.zeros((6, 4, 8)), dims=("time", "level", "x"))
    patches = field.patch.split(geometry={"time": 3, "level": 2})
    assert dict(patches.sizes) == {"patch": 4, "time": 3, "level": 2, "x": 8}


@pytest.mark.parametrize("step", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 2, 4, 7, 11])
@pytest.mark.parametrize("n", [1, 5, 9, 12])
def test_padding_covers_the_rim_as_often_as_the_interior(n, size, step):
    if step > size:
        return
    field = xr.DataArray(np.zeros(n), dims="x")
    geometry = Rectangular(x=size, boundary="pad", pad_mode="edge")
    begin = starts(field, geometry, RegularStride(step))[:, 0]
    count = [((begin <= c) & (c < begin + size)).sum() for c in range(n)]
    interior = [-(-size // step), size // step]
    assert set(count) <= set(interior)
    assert begin[0] == -(size - step)
    assert begin[-1] < n


@pytest.mark.parametrize("step", [1, 3, 4, 7])
def test_wrap_has_one_anchor_per_step(step):
    field = xr.DataArray(np.arange(10.0), dims="x")
    begin = starts(field, Rectangular(x=8, boundary="wrap"), RegularStride(step))[:, 0]
    assert begin.tolist() == list(range(0, 10, step))


@pytest.mark.parametrize(
    "mode", ["reflect", "symmetric", "edge", "wrap", "constant", "mean", "minimum", "linear_ramp"]
)
@pytest.mark.parametrize("dtype", ["f8", "i2"])
def test_padding_is_that_of_xarray(mode, dtype):
    field = xr.DataArray((np.arange(35) ** 2 % 17).reshape(5, 7).astype(dtype), dims=("y", "x"))
    geometry = Rectangular(y=4, x=4, boundary="pad", pad_mode=mode)
    patches = field.patch.split(geometry=geometry, sampler=RegularStride(2))
    padded = field.pad(y=(2, 3), x=(2, 3), mode=mode)
    assert patches.dtype == padded.dtype
    begin = patches.xindexes["patch"].plans[0].boxes.starts()
    for patch, (y, x) in zip(patches.values, begin, strict=True):
        np.testing.assert_allclose(patch, padded[y + 2 : y + 6, x + 2 : x + 6], rtol=1e-14)
    lazy = field.chunk(y=2, x=3).patch.split(geometry=geometry, sampler=RegularStride(2))
    np.testing.assert_allclose(lazy.sortby("patch"), patches, rtol=1e-14)


def test_boundary_by_dimension():
    geometry = Rectangular(y=8, x=8, boundary={"x": "wrap"})
    begin = starts(FIELD, geometry, RegularStride())
    assert sorted(set(begin[:, 0].tolist())) == [0, 8, 12]
    assert sorted(set(begin[:, 1].tolist())) == [0, 8, 16, 24]


# ------------------------------------------------------------------------------ samplers


@pytest.mark.parametrize(
    "sampler",
    [
        RegularStride(y=2, x=3),
        RegularStride((2, 3)),
        RegularStride(overlap={"y": 4, "x": 3}),
        RegularStride({"y": 20.0, "x": 15.0}),
    ],
)
def test_strides_are_written_in_many_ways(sampler):
    begin = starts(FIELD, Rectangular(6), sampler)
    expected = list(itertools.product(range(0, 15, 2), range(0, 25, 3)))
    assert begin.tolist() == [list(e) for e in expected]


def test_every_element_is_a_stride_of_one():
    assert len(starts(FIELD, Rectangular(4), xpatch.EveryElement())) == 17 * 27


@pytest.mark.filterwarnings("ignore:a step of 20")
def test_jitter_is_unbiased_and_bounded():
    field = xr.DataArray(np.zeros(4000), dims="x")
    geometry = Rectangular(x=10, boundary="wrap")
    sampler = xpatch.JitteredStride(20, jitter=0.5, seed=0)
    moves = starts(field, geometry, sampler)[:, 0] - np.arange(0, 4000, 20)
    moves = (moves + 2000) % 4000 - 2000
    assert abs(moves).max() == 5
    assert abs(moves.mean()) < 0.7
    assert len(set(moves.tolist())) == 11


def test_random_starts_are_uniform_and_distinct():
    field = xr.DataArray(np.zeros(30), dims="x")
    every = starts(field, {"x": 11}, Random(20, seed=3))[:, 0]
    assert sorted(every.tolist()) == list(range(20))
    drawn = np.concatenate(
        [starts(field, {"x": 11}, Random(200, seed=s, replace=True))[:, 0] for s in range(20)]
    )
    count = np.bincount(drawn, minlength=20)
    assert len(count) == 20
    assert abs(count - 200).max() < 60


@pytest.mark.parametrize(
    "sampler",
    [Random(9, seed=5), xpatch.PoissonDisk(3.5, seed=5), xpatch.JitteredStride(4, 1.0, seed=5)],
)
def test_seeds_give_the_same_anchors_everywhere(sampler):
    first = FIELD.patch.split(geometry={"y": 5, "x": 5}, sampler=sampler)
    again = FIELD.chunk(y=7).patch.split(geometry={"y": 5, "x": 5}, sampler=sampler)
    xr.testing.assert_identical(again.sortby("patch").compute(), first)


@pytest.mark.parametrize("distance", [1.5, 3, 7.3])
def test_poisson_disk_keeps_its_distance_and_leaves_no_hole(distance):
    field = xr.DataArray(np.zeros((40, 50)), dims=("y", "x"))
    points = starts(field, Rectangular(1), xpatch.PoissonDisk(distance, seed=1))
    assert pdist(points).min() >= distance
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(50), indexing="ij"), -1).reshape(-1, 1, 2)
    nearest = np.sqrt(((grid - points) ** 2).sum(-1)).min(1)
    assert nearest.max() < distance


def test_poisson_disk_across_the_seam():
    field = xr.DataArray(np.zeros(100), dims="x")
    points = starts(field, Rectangular(x=4, boundary="wrap"), xpatch.PoissonDisk(9, seed=0))[:, 0]
    gaps = np.diff(np.sort(points), append=np.sort(points)[0] + 100)
    assert gaps.min() >= 9


def test_explicit_positions_labels_and_points_mean_the_same():
    import geopandas

    geometry = Rectangular(y=5, x=4)
    cells = [(7, 9), (12, 20)]
    # the mid-point of four cells lies between two of them
    labels = {"y": FIELD.y.values[[7, 12]], "x": FIELD.x.values[[9, 20]] - 1.0}
    points = geopandas.GeoSeries.from_xy(labels["x"], labels["y"])
    for sampler in (
        Explicit(cells, at="center"),
        Explicit([(5, 7), (10, 18)]),
        Explicit(labels),
        Explicit(points),
        Explicit(list(points)),
    ):
        assert starts(FIELD, geometry, sampler).tolist() == [[5, 7], [10, 18]]


def test_points_are_transformed_to_the_crs_of_the_field():
    import geopandas
    import rioxarray  # noqa: F401

    field = FIELD.assign_coords(x=FIELD.x + 500000, y=FIELD.y + 4500000).rio.write_crs("EPSG:32719")
    points = geopandas.GeoSeries.from_xy(field.x[[5, 9]], field.y[[4, 8]], crs="EPSG:32719")
    degrees = points.to_crs("EPSG:4326")
    geometry = Rectangular(3)
    expected = [[3, 4], [7, 8]]
    assert starts(field, geometry, Explicit(degrees)).tolist() == expected
    assert starts(field, geometry, Explicit(list(degrees), crs="EPSG:4326")).tolist() == expected


def test_anchors_of_other_patches_align_a_coarse_and_a_fine_grid():
    fine = FIELD.patch.split(geometry={"y": 4, "x": 4}, sampler=RegularStride(4))
    coarse_field = FIELD.coarsen(y=2, x=2).mean()
    some = fine.isel(patch=[17, 9, 11])
    coarse = coarse_field.patch.split(geometry={"y": 6, "x": 6}, sampler=Explicit(some))
    assert coarse["patch"].values.tolist() == some["patch"].values.tolist()
    for k in range(3):
        for d in ("y", "x"):
            middle = float(some[d][k, 2])
            assert abs(float(coarse[d][k].mean()) - middle) <= 25
    both = xr.Dataset({"fine": some, "coarse": coarse.rename(y="v", x="u")})
    assert len(both.xindexes["patch"].plans) == 2


def test_anchors_of_its_own_patches_give_the_same_patches():
    patches = FIELD.patch.split(geometry={"y": 5, "x": 4}, sampler=Random(7, seed=0))
    again = FIELD.patch.split(geometry={"y": 5, "x": 4}, sampler=Explicit(patches))
    np.testing.assert_array_equal(again, patches)
    np.testing.assert_allclose((again + patches) / 2, patches)


def test_tracks():
    cells = starts(FIELD, Rectangular(3), xpatch.AlongTrack([(3, 3), (3, 23)], 5)) + 1
    assert cells.tolist() == [[3, 3], [3, 8], [3, 13], [3, 18], [3, 23]]
    line = {"x": [15.0, 115.0], "y": [100.0, 100.0]}
    cells = starts(FIELD, Rectangular(3), xpatch.AlongTrack(line, 25.0)) + 1
    assert cells[:, 1].tolist() == [3, 8, 13, 18, 23]
    globe = xr.DataArray(
        np.zeros((181, 360)), {"lat": np.arange(-90.0, 91), "lon": np.arange(0.0, 360)}
    )
    degree = 6371.0088 * np.pi / 180
    track = xpatch.AlongTrack({"lon": [10.0, 40.0], "lat": [60.0, 60.0]}, 3 * degree)
    cells = starts(globe, Rectangular(3), track) + 1
    assert len(cells) == 5  # the great circle is 14.9 degrees long, the parallel 15
    assert (cells[1:, 0] - 90 >= 60).all()


def test_valid_keeps_the_fraction():
    field = FIELD.where(FIELD > -0.3)
    geometry = {"y": 5, "x": 6}
    proposed = field.patch.split(geometry=geometry, sampler=RegularStride(3))
    fraction = proposed.notnull().mean(["y", "x"])
    for kind in (field, field.chunk(y=6, x=7)):
        kept = kind.patch.split(geometry=geometry, sampler=xpatch.Valid(RegularStride(3), 0.6))
        assert kept.sizes["patch"] == int((fraction >= 0.6).sum())
        expected = proposed.isel(patch=np.flatnonzero(fraction >= 0.6))
        np.testing.assert_array_equal(kept.sortby("patch"), expected)
    mask = xr.zeros_like(FIELD, bool)
    mask[:10] = True
    part = FIELD.patch.split(geometry=geometry, sampler=xpatch.Valid(RegularStride(), where=mask))
    assert part.sizes["patch"] == 2 * 5


# ------------------------------------------------------------------------------- windows


@pytest.mark.parametrize("n", [1, 2, 5, 16, 255])
def test_windows_are_those_of_scipy_at_half_samples(n):
    offset = (2 * np.arange(n) + 1 - n) / n
    hann = scipy.signal.windows.hann(2 * n + 1)[1::2]
    np.testing.assert_allclose(xpatch.Hann().profile(offset), hann, atol=1e-14)
    tukey = scipy.signal.windows.tukey(2 * n + 1, 0.4)[1::2]
    np.testing.assert_allclose(xpatch.Tukey(0.4).profile(offset), tukey, atol=1e-14)
    gaussian = scipy.signal.windows.gaussian(2 * n + 1, 0.3 * n)[1::2]
    np.testing.assert_allclose(xpatch.Gaussian(0.3).profile(offset), gaussian, rtol=1e-10)


@pytest.mark.parametrize("window", [xpatch.Hann(), xpatch.Tukey(1), xpatch.Gaussian(0.02)])
def test_weights_are_positive_and_a_narrow_window_still_merges(window):
    offset = (2 * np.arange(512) + 1 - 512) / 512
    assert (window.profile(offset) > 0).all()
    field = FIELD.astype("f4")
    for sampler in (RegularStride(3), Random(200, seed=0, replace=True)):
        patches = field.patch.split(geometry={"y": 16, "x": 16}, sampler=sampler)
        merged = patches.patch.merge(xpatch.OverlapAdd(window))
        assert merged.dtype == np.float32
        xr.testing.assert_allclose(merged.where(merged.notnull(), field), field, rtol=1e-4)


def test_margin_is_kept_at_the_edge_of_the_field():
    patches = FIELD.patch.split(geometry={"y": 8, "x": 8}, sampler=RegularStride(4))
    spoiled = patches.copy()
    inner = patches.y.isin(FIELD.y[[0, 1, -2, -1]]), patches.x.isin(FIELD.x[[0, 1, -2, -1]])
    rim_y = xr.DataArray([True] * 2 + [False] * 4 + [True] * 2, dims="y") & ~inner[0]
    rim_x = xr.DataArray([True] * 2 + [False] * 4 + [True] * 2, dims="x") & ~inner[1]
    spoiled = spoiled.where(~(rim_y | rim_x), 1e9)
    merged = spoiled.patch.merge(xpatch.OverlapAdd(xpatch.Boxcar(margin=2)))
    xr.testing.assert_allclose(merged, FIELD)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_cells_of_weight_zero_do_not_count(bad):
    patches = FIELD.patch.split(geometry={"y": 20, "x": 10}, sampler=RegularStride(x=5))
    spoiled = patches.copy()
    spoiled[1:, :, 0] = bad
    merged = spoiled.patch.merge(xpatch.OverlapAdd(xpatch.Boxcar({"x": 1})), skipna=False)
    xr.testing.assert_allclose(merged, FIELD)


# --------------------------------------------------------------------------------- specs

SPECS = [
    (Rectangular(y=256, x=256), "Rectangular(y=256, x=256)"),
    (Rectangular(64, boundary="pad"), "Rectangular(64, boundary='pad')"),
    (
        Rectangular({"lon": 4}, boundary={"lon": "wrap"}),
        "Rectangular(lon=4, boundary={'lon': 'wrap'})",
    ),
    (RegularStride(y=128), "RegularStride(y=128)"),
    (RegularStride(overlap=3), "RegularStride(overlap=3)"),
    (RegularStride(), "RegularStride()"),
    (Random(10, seed=3), "Random(10, seed=3)"),
    (xpatch.JitteredStride(4, 0.5, 1), "JitteredStride(4, jitter=0.5, seed=1)"),
    (xpatch.PoissonDisk(4.5, seed=1), "PoissonDisk(4.5, seed=1)"),
    (xpatch.Valid(RegularStride(4), 0.5), "Valid(RegularStride(step=4), min_fraction=0.5)"),
    (xpatch.Hann(), "Hann()"),
    (xpatch.Tukey(0.3), "Tukey(alpha=0.3)"),
    (xpatch.Boxcar(2), "Boxcar(margin=2)"),
    (xpatch.OverlapAdd("hann"), "OverlapAdd(window=Hann())"),
    (xpatch.Quantile(0.9), "Quantile(0.9)"),
    (xpatch.SoftVote(dim="k"), "SoftVote(dim='k')"),
]


@pytest.mark.parametrize(("spec", "text"), SPECS)
def test_specifications_print_as_written_and_compare_by_value(spec, text):
    assert repr(spec) == text
    again = eval(text, vars(xpatch))
    assert again == spec
    assert hash(again) == hash(spec)
    from xpatch.spec import decode

    assert decode(json.loads(json.dumps(spec.to_dict()))) == spec
    field = next(iter(spec.to_dict()), None)
    with pytest.raises(AttributeError):
        spec.anything = field


SAMPLERS = [
    RegularStride(3),
    RegularStride(overlap={"y": 2}),
    Random(5, seed=1),
    xpatch.JitteredStride(4, seed=2),
    xpatch.PoissonDisk(4, seed=0),
    Explicit([(0, 0), (3, 5)]),
    Explicit({"y": [50.0], "x": [20.0]}),
    xpatch.Valid(RegularStride(3), 0.2),
]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_specification_of_patches_rebuilds_their_patcher(sampler):
    geometry = Rectangular(y=5, x=6, boundary={"x": "wrap"})
    patcher = xpatch.Patcher(geometry, sampler, "hann", xpatch.OverlapAdd("tukey"))
    patches = FIELD.patch.split(patcher)
    again = xpatch.Patcher.from_spec(json.loads(json.dumps(patches.patch.spec)))
    np.testing.assert_array_equal(FIELD.patch.split(again), patches)
    assert again.aggregation == patcher.aggregation
    xr.testing.assert_allclose(patches.patch.merge(), patcher.merge(patches))


def test_valid_looks_over_labeled_dimensions_that_are_carried():
    field = xr.DataArray(
        np.ones((2, 8, 8)), {"time": [0, 1], "z": ("time", [1, 2])}, ("time", "y", "x")
    )
    field[0, :4] = np.nan
    cut = {"geometry": {"y": 4, "x": 4}, "sampler": xpatch.Valid(xpatch.RegularStride(4), 0.6)}
    patches = field.patch.split(**cut)
    assert patches.patch.anchors.cell_y.values.tolist() == [6, 6]


@pytest.mark.parametrize(
    ("anchors", "written"),
    [
        ([(0, 1), (2, 3)], [[0, 1], [2, 3]]),
        (((0, 1.5), [True, None]), [[0, 1.5], [True, None]]),
        ([np.float64(1.5), 2, "a"], [1.5, 2, "a"]),
        ([(np.int64(3), 4)], [[3, 4]]),
        ([[(1, 2)], [(3,)]], [[[1, 2]], [[3]]]),
        ([object(), object()], [None, None]),
        ([object(), np.datetime64("2000-01-01")], [None, "2000-01-01"]),
        ([], []),
        ([[], [1]], [[], [1]]),
    ],
)
def test_anchors_are_written_by_the_types_that_there_are(anchors, written):
    found = xpatch.Explicit(anchors).to_dict()["anchors"]
    assert found == written
    assert json.dumps(found) == json.dumps(written)


def test_a_million_anchors_are_not_written_one_by_one(monkeypatch):
    from xpatch import spec

    seen = []
    encode = spec.encode
    monkeypatch.setattr(spec, "encode", lambda value: seen.append(1) or encode(value))
    for anchors in ([(k, k) for k in range(1000)], list(range(1000)), [object()] * 1000):
        xpatch.Explicit(anchors).to_dict()
    assert len(seen) < 20
