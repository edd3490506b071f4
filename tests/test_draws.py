"""Draws: by weights, by class, and until enough are kept."""

from __future__ import annotations

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given, settings
from shapely.geometry import box
from xarray.backends import BackendArray
from xarray.core import indexing

import xpatch
from xpatch import ByClass, Random, Valid, Within
from xpatch.geometry import Frame
from xpatch.sampler.race import Spots

RNG = np.random.default_rng(0)
N = 24
COORDS = {"y": np.arange(N) + 0.5, "x": np.arange(N) + 0.5}
FIELD = xr.DataArray(RNG.random((N, N)), COORDS, ("y", "x"), "v")
WEIGHTS = xr.DataArray(RNG.random((N, N)) ** 2, COORDS, ("y", "x"), "w")
WEIGHTS = WEIGHTS.where(WEIGHTS > 0.1, 0)
LABELS = xr.DataArray(RNG.choice([1, 2, 5], (N, N), p=[0.9, 0.08, 0.02]).astype("u1"), COORDS)
LABELS = LABELS.rename("labels")


class Disk(BackendArray):
    """Data on disk that count how often each stored chunk is read."""

    def __init__(self, values, chunk):
        self.values, self.chunk, self.reads = values, chunk, {}
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key):
        every = zip(self.shape, key, self.chunk, strict=True)
        cells = [np.unique(np.arange(n)[k] // c) for n, k, c in every]
        for at in np.stack(np.meshgrid(*cells), axis=-1).reshape(-1, len(cells)).tolist():
            self.reads[tuple(at)] = self.reads.get(tuple(at), 0) + 1
        return self.values[key]


def on_disk(array, *chunk):
    disk = Disk(array.values, chunk)
    lazy = xr.Variable(array.dims, indexing.LazilyIndexedArray(disk), array.attrs)
    out = xr.DataArray(lazy, array.coords, name=array.name)
    out.encoding = {"preferred_chunks": dict(zip(array.dims, chunk, strict=True))}
    return disk, out


def centers(patches):
    """Give the cells that are centers, in the order of the draw."""
    at = patches.patch.anchors.sortby("patch")
    return np.stack([at.cell_y, at.cell_x], axis=-1)


def starts(patches):
    own = patches.sortby("patch")
    return np.stack([own.start_y, own.start_x], axis=-1)


# --------------------------------------------------------------------------------------- weights


def drawn_often(times, n, weights, **kwargs):
    """Count how often each cell is a center in many draws, by cells of one row."""
    line = xr.DataArray(np.zeros(len(weights)), dims="x")
    weights = xr.DataArray(np.asarray(weights, float), dims="x")
    domain, geometry = xpatch.domain_of(line), xpatch.Rectangular(x=1)
    every = [Random(n, seed=k, weights=weights, **kwargs) for k in range(times)]
    return np.array([r.places(domain, geometry, line).axes[0] for r in every])


def test_first_draws_have_the_shares_of_the_weights():
    weights = np.array([5.0, 1, 0, 3, np.nan, 1])
    first = drawn_often(600, 2, weights)
    shares = np.nan_to_num(weights) / np.nansum(weights)
    counts = np.bincount(first[:, 0], minlength=6)
    there = shares > 0
    assert not counts[~there].any()
    assert scipy.stats.chisquare(counts[there], 600 * shares[there]).pvalue > 1e-3
    # the second has the share among those that are left
    second = np.array(
        [sum(shares[i] * shares[j] / (1 - shares[i]) for i in range(6) if i != j) for j in range(6)]
    )
    counts = np.bincount(first[:, 1], minlength=6)
    assert scipy.stats.chisquare(counts[there], 600 * second[there]).pvalue > 1e-3
    assert (first[:, 0] != first[:, 1]).all()


def test_draws_with_replacement_are_independent():
    weights = np.array([4.0, 1, 0, 2])
    pairs = drawn_often(600, 3, weights, replace=True)
    shares = weights / weights.sum()
    for k in range(3):
        counts = np.bincount(pairs[:, k], minlength=4)[[0, 1, 3]]
        assert scipy.stats.chisquare(counts, 600 * shares[[0, 1, 3]]).pvalue > 1e-3
    joint = np.zeros((4, 4))
    np.add.at(joint, (pairs[:, 1], pairs[:, 2]), 1)
    known = np.outer(shares, shares)[np.ix_([0, 1, 3], [0, 1, 3])].ravel()
    own = joint[np.ix_([0, 1, 3], [0, 1, 3])].ravel()
    assert scipy.stats.chisquare(own, 600 * known).pvalue > 1e-3


@pytest.mark.parametrize("size", [1, 4, 5])
def test_all_cells_of_positive_weight_are_centers_in_the_end(size):
    low, high = size // 2, N - size + size // 2
    inside = WEIGHTS.where((FIELD.y > low) & (FIELD.y < high + 1), 0)
    inside = inside.where((FIELD.x > low) & (FIELD.x < high + 1), 0)
    wanted = np.argwhere(inside.values > 0)
    patches = FIELD.patch.split(size, sampler=Random(len(wanted), seed=1, weights=WEIGHTS))
    found = centers(patches)
    assert sorted(map(tuple, found)) == list(map(tuple, wanted))
    with pytest.raises(ValueError, match=rf"n_samples={N * N}.*{len(wanted)} cells of positive"):
        FIELD.patch.split(size, sampler=Random(N * N, seed=1, weights=WEIGHTS))
    many = FIELD.patch.split(size, sampler=Random(N * N, seed=1, weights=WEIGHTS, replace=True))
    assert set(map(tuple, centers(many))) <= set(map(tuple, wanted))
    assert many.sizes["patch"] == N * N


@pytest.mark.parametrize("boundary", ["shift", "drop", "pad", "wrap"])
@pytest.mark.parametrize("snap", [None, 3, {"x": 4}])
def test_a_single_cell_is_the_center_if_a_start_has_it(boundary, snap):
    geometry = xpatch.Rectangular(y=6, x=5, boundary=boundary)
    frame = geometry.outline(xpatch.domain_of(FIELD)).snapped(snap)
    limits = [frame.limits(k) for k in range(2)]
    for cell in [(0, 0), (6, 6), (12, 10), (3, 22), (23, 23)]:
        one = xr.zeros_like(FIELD)
        one[cell] = 7
        sampler = Random(1, seed=0, weights=one, snap=snap)
        start = np.array(cell) - [3, 2]
        if boundary == "wrap":
            start %= N
        allowed = all(
            low <= s <= high and s % frame.multiple(k) == 0
            for k, (s, (low, high)) in enumerate(zip(start, limits, strict=True))
        )
        if not allowed:
            with pytest.raises(ValueError, match="0 or missing wherever a patch may be centered"):
                FIELD.patch.split(geometry, sampler=sampler)
            continue
        patches = FIELD.patch.split(geometry, sampler=sampler)
        assert starts(patches).tolist() == [start.tolist()]
        assert (centers(patches) % N).tolist() == [list(cell)]


@given(
    n=st.integers(1, 9),
    size=st.integers(1, 9),
    boundary=st.sampled_from(["shift", "drop", "pad", "wrap", "raise"]),
    snap=st.sampled_from([None, 1, 2, 3]),
)
@settings(max_examples=60, deadline=None)
def test_cells_and_their_patches_by_hand(n, size, boundary, snap):
    if (size > n and boundary != "pad") or (boundary == "wrap" and snap and n % snap):
        return
    frame = Frame(("x",), (size,), (n,), (boundary,)).snapped(snap)
    low, high = frame.limits(0)
    allowed = [s for s in range(low, high + 1) if s % (snap or 1) == 0]
    period = n if boundary == "wrap" else 10**6
    by_center = {(s + size // 2) % period: s for s in allowed}
    spots = Spots.centers(frame)
    found = dict(zip(spots.cells[0].tolist(), spots.starts[0].tolist(), strict=True))
    assert found == {c: s for c, s in by_center.items() if 0 <= c < n}
    spots = Spots.around(frame)
    found = dict(zip(spots.cells[0].tolist(), spots.starts[0].tolist(), strict=True))
    for cell in range(n):
        off = {
            s: min(abs(s + size // 2 - cell), abs(s + size // 2 - cell - period))
            for s in allowed
            if (cell - s) % period < size
        }
        if boundary in ("drop", "raise"):
            off = {s: d for s, d in off.items() if d <= (snap or 1) // 2}
        if not off:
            assert cell not in found
        else:
            assert off[found[cell]] == min(off.values())


def test_weights_along_some_of_the_dimensions_and_in_another_order():
    cube = xr.DataArray(np.zeros((5, N, N)), dims=("time", "y", "x"))
    row = xr.DataArray(np.arange(N) == 9, dims="y").astype(float)
    patches = cube.patch.split({"y": 4, "x": 4}, sampler=Random(21, seed=0, weights=row))
    assert sorted(centers(patches).tolist()) == [[9, x] for x in range(2, 23)]
    a = FIELD.patch.split(4, sampler=Random(9, seed=0, weights=WEIGHTS))
    b = FIELD.patch.split(4, sampler=Random(9, seed=0, weights=WEIGHTS.T))
    np.testing.assert_array_equal(centers(a), centers(b))
    band = WEIGHTS.drop_vars(["y", "x"]).expand_dims("band")
    bands = FIELD.expand_dims(band=3).patch.split(
        {"y": 4, "x": 4}, sampler=Random(9, seed=0, weights=band)
    )
    np.testing.assert_array_equal(centers(a), centers(bands))


def test_numbers_that_mean_missing_have_no_weight():
    weights = xr.full_like(WEIGHTS, -9999)
    weights[8, 8] = 2
    weights.attrs["_FillValue"] = -9999.0
    patches = FIELD.patch.split(4, sampler=Random(1, weights=weights))
    assert centers(patches).tolist() == [[8, 8]]
    with pytest.raises(ValueError, match="finite and not negative, got -9999"):
        FIELD.patch.split(4, sampler=Random(1, weights=weights.drop_attrs()))


WRONG = {
    "zero": (WEIGHTS * 0, ValueError, "0 or missing wherever"),
    "missing": (WEIGHTS * np.nan, ValueError, "0 or missing wherever"),
    "infinite": (WEIGHTS / 0, ValueError, "finite and not negative, got inf"),
    "text": (WEIGHTS.astype(str), TypeError, "must be numbers, got dtype"),
    "dates": (WEIGHTS.astype("M8[ns]"), TypeError, "must be numbers, got dtype"),
    "labels": (WEIGHTS.assign_coords(y=COORDS["y"] + 9), ValueError, "other labels along 'y'"),
    "shape": (WEIGHTS[:9], ValueError, "has 9 cells along 'y', the field has 24"),
    "dims": (WEIGHTS.rename(y="lat"), ValueError, r"dimensions \['lat', 'x'\]"),
    "no name": ("losses", ValueError, "'losses', which is no variable of the field"),
    "carried": (
        WEIGHTS.drop_vars(["y", "x"]).expand_dims(time=3),
        ValueError,
        r"differs along \['time'\]",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_cannot_be(case):
    weights, error, words = WRONG[case]
    field = FIELD.expand_dims(time=3)
    with pytest.raises(error, match=words):
        field.patch.split({"y": 4, "x": 4}, sampler=Random(3, weights=weights))


@pytest.mark.parametrize("kind", ["weights", "labels", "where"])
def test_cells_beside_those_of_the_field_are_refused_however_far_north(kind):
    y, x = 5e6 + 0.3 - 2 * np.arange(24.0), 4e5 + 2 * np.arange(24.0)
    field = xr.DataArray(np.ones((24, 24)), {"y": y, "x": x}, ("y", "x"))

    def split(given):
        made = {
            "weights": lambda: Random(2, seed=0, weights=given),
            "labels": lambda: ByClass(2, given, seed=0),
            "where": lambda: xpatch.Valid(xpatch.RegularStride(8), where=given > 0),
        }
        return field.patch.split(8, sampler=made[kind]())

    with pytest.raises(ValueError, match="other labels along 'y'"):
        split(field.assign_coords(y=y + 2))
    assert split(field.assign_coords(y=y.astype("f4"))).sizes[
        "patch"
    ]  # which rounds to half meters


def test_weights_that_are_no_field():
    for wrong in (0.5, [1, 2], WEIGHTS.values, WEIGHTS.to_dataset(name="w")):
        with pytest.raises(TypeError, match="weights of Random must be a DataArray or the name"):
            Random(3, weights=wrong)


# --------------------------------------------------------------------------------------- classes


def test_classes_come_equally_often_and_their_cells_too():
    n = 3000
    patches = FIELD.patch.split(5, sampler=ByClass(n, LABELS, seed=0))
    drawn = patches.anchor.values
    classes, counts = np.unique(drawn, return_counts=True)
    assert classes.tolist() == [1, 2, 5]
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    first = starts(patches)
    for c in classes:  # all cells of a class equally often, but for one
        cells = np.argwhere(LABELS.values == c)
        wanted = (cells - 2).clip(0, N - 5)
        own, often = np.unique(first[drawn == c], axis=0, return_counts=True)
        every, several = np.unique(wanted, axis=0, return_counts=True)
        np.testing.assert_array_equal(own, every)
        rounds = (drawn == c).sum() // len(cells)
        assert (rounds * several <= often).all()
        assert (often <= (rounds + 1) * several).all()


def test_each_patch_holds_its_class_at_the_center_but_near_the_edge():
    both = xr.Dataset({"v": FIELD, "labels": LABELS})
    patches = both.patch.split(6, sampler=ByClass(200, "labels", seed=3))
    own = patches.labels
    assert (own == patches.anchor).any(["y", "x"]).all()
    first = starts(patches)
    inside = ((first > 0) & (first < N - 6)).all(axis=1)
    assert 50 < inside.sum() < 200
    assert (own[inside, 3, 3] == patches.anchor[inside]).all()
    dropped = xpatch.Rectangular(6, boundary="drop")
    own = both.patch.split(dropped, sampler=ByClass(200, "labels", seed=3)).labels
    assert (own[:, 3, 3] == own.anchor).all()
    snapped = both.patch.split(6, sampler=ByClass(200, "labels", seed=3, snap=4))
    assert not (starts(snapped) % 4).any()
    assert (snapped.labels == snapped.anchor).any(["y", "x"]).all()


def test_weights_of_classes():
    n = 2000
    weights = {1: 1, 5: 3.0, 2: 0}
    drawn = FIELD.patch.split(5, sampler=ByClass(n, LABELS, weights, seed=0)).anchor.values
    counts = np.bincount(drawn, minlength=6)
    assert counts.sum() == counts[1] + counts[5]
    assert scipy.stats.chisquare(counts[[1, 5]], [n / 4, 3 * n / 4]).pvalue > 1e-3
    by_class = xr.DataArray([3.0, 1, 0], {"class": [5, 1, 2]}, "class")
    also = FIELD.patch.split(5, sampler=ByClass(n, LABELS, by_class, seed=0)).anchor.values
    np.testing.assert_array_equal(also, drawn)
    with pytest.raises(ValueError, match=r"name 7, which no cell .* the classes are \[1, 2, 5\]"):
        FIELD.patch.split(5, sampler=ByClass(3, LABELS, {1: 1, 7: 1}))


def test_what_is_no_class():
    floats = LABELS.astype(float).where(LABELS != 2)
    drawn = FIELD.patch.split(3, sampler=ByClass(50, floats, seed=0)).anchor
    assert set(drawn.values) == {1.0, 5.0}
    numbers = LABELS.assign_attrs(_FillValue=1)
    drawn = FIELD.patch.split(3, sampler=ByClass(50, numbers, seed=0)).anchor
    assert set(drawn.values) == {2, 5}
    words = xr.DataArray(np.array(["sea", "land"])[(LABELS == 1).values.astype(int)], COORDS)
    drawn = FIELD.patch.split(3, sampler=ByClass(50, words, {"sea": 1}, seed=0)).anchor
    assert set(drawn.values) == {"sea"}
    with pytest.raises(ValueError, match="hold no class at any cell"):
        FIELD.patch.split(3, sampler=ByClass(50, floats * np.nan, seed=0))


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ({1: -1}, ValueError, "not negative, got -1 for the class 1"),
        ({1: np.nan}, ValueError, "finite"),
        ({1: 0, 2: 0}, ValueError, "a class of positive weight"),
        ({}, ValueError, "a class of positive weight"),
        ({1: "half"}, TypeError, "must be numbers, got 'half'"),
        ("rare", TypeError, "must be 'uniform', a mapping"),
        (xr.DataArray([1.0], dims="class"), TypeError, "along labeled"),
    ],
)
def test_weights_of_classes_that_cannot_be(weights, error, words):
    with pytest.raises(error, match=words):
        ByClass(3, LABELS, weights)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array(["a", 1] * 8, object), "all numbers or all text, got int and str"),
        (np.arange(16).astype("M8[D]").astype("M8[ns]"), "labels.dt.month"),
        (np.arange(16) * 1j, "numbers or text, got dtype complex"),
    ],
)
def test_classes_are_numbers_or_text(values, words):
    labels = xr.DataArray(values, dims="x")
    field = xr.DataArray(np.zeros(16), dims="x")
    places = {"x": ("obs", np.arange(16.0)), "y": ("obs", np.zeros(16))}
    stations = xr.DataArray(np.zeros(16), places, dims="obs")
    with pytest.raises(TypeError, match=words):
        field.patch.split({"x": 2}, sampler=ByClass(4, labels))
    with pytest.raises(TypeError, match=words):
        stations.patch.split(xpatch.KNNGraph(2), sampler=ByClass(4, labels.rename(x="obs")))


def test_measured_values_are_no_classes(monkeypatch):
    monkeypatch.setattr("xpatch.sampler.classes.MOST_CLASSES", 100)
    with pytest.raises(ValueError, match="more than 100 classes; if these are measured values"):
        FIELD.patch.split(3, sampler=ByClass(3, FIELD))


def test_a_rare_class_fills_more_of_the_patches():
    labels = np.zeros((200, 200), "u1")
    labels[60:77, 40:57] = 1  # 0.7 %
    labels[:, 150:] = 2
    field = xr.DataArray(labels, dims=("y", "x"))
    assert 0.007 < (field == 1).mean() < 0.008
    uniform = field.patch.split(32, sampler=Random(300, seed=0))
    by_class = field.patch.split(32, sampler=ByClass(300, field, seed=0))
    assert float((by_class == 1).mean()) > 5 * float((uniform == 1).mean())


# ------------------------------------------------------------------- wherever the data are


SAMPLERS = {
    "uniform": lambda w, c: Random(40, seed=5),
    "weights": lambda w, c: Random(40, seed=5, weights=w),
    "again": lambda w, c: Random(90, seed=5, weights=w, replace=True),
    "snapped": lambda w, c: Random(20, seed=5, weights=w, snap=2),
    "classes": lambda w, c: ByClass(40, c, seed=5),
    "valid": lambda w, c: Valid(Random(40, seed=5), 0.9),
    "valid weights": lambda w, c: Valid(Random(40, seed=5, weights=w), 0.9),
    "valid classes": lambda w, c: Valid(ByClass(40, c, seed=5), 0.9),
}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_same_seed_gives_the_same_anchors_on_every_backend(kind):
    make = SAMPLERS[kind]
    field = FIELD.where(FIELD > 0.05)
    expected = field.patch.split(4, sampler=make(WEIGHTS, LABELS))
    where = starts(expected) if kind != "uniform" else centers(expected)
    for sizes in ({"y": 7, "x": 5}, {"y": 24, "x": 3}, {"y": 1, "x": 24}):
        lazy = (field.chunk(sizes), make(WEIGHTS.chunk(sizes), LABELS.chunk(sizes)))
        disks = [on_disk(a, *sizes.values()) for a in (field, WEIGHTS, LABELS)]
        stored = (disks[0][1], make(disks[1][1], disks[2][1]))
        for one, sampler in (lazy, stored):
            patches = one.patch.split(4, sampler=sampler)
            found = starts(patches) if kind != "uniform" else centers(patches)
            np.testing.assert_array_equal(found, where)
            np.testing.assert_array_equal(patches.sortby("patch"), expected)
            if kind.endswith("classes"):
                own = patches.anchor.sortby("patch")
                np.testing.assert_array_equal(own, expected.anchor)


def test_each_chunk_of_weights_labels_and_mask_is_read_once():
    field = FIELD.where(FIELD > 0.05)
    for make in (SAMPLERS["valid weights"], SAMPLERS["valid classes"]):
        disks = [on_disk(a, 7, 5) for a in (field, WEIGHTS, LABELS)]
        (mask, one), (a, weights), (b, labels) = disks
        sampler = make(weights, labels)
        geometry, domain = xpatch.Rectangular(4), xpatch.domain_of(one)
        sampler.places(domain, geometry, one)
        read = [d for d in (mask, a, b) if d.reads]
        assert len(read) == 2
        assert all(set(d.reads.values()) == {1} and len(d.reads) == 20 for d in read)


def test_valid_reads_each_chunk_of_several_variables_once():
    cube = xr.DataArray(RNG.random((4, N, N)), dims=("time", "y", "x"))
    cube = cube.where(cube > 0.02)
    (a, first), (b, second) = on_disk(cube, 2, 7, 5), on_disk(FIELD.drop_vars(["y", "x"]), 9, 24)
    ds = xr.Dataset({"a": first, "b": second})
    geometry, sampler = xpatch.Rectangular(y=4, x=4), Valid(xpatch.RegularStride(4), 0.98)
    anchors = sampler.places(xpatch.domain_of(ds), geometry, ds)
    assert set(a.reads.values()) == set(b.reads.values()) == {1}
    assert (len(a.reads), len(b.reads)) == (2 * 4 * 5, 3)
    whole = xr.Dataset({"a": cube, "b": FIELD.drop_vars(["y", "x"])})
    every = whole.a.patch.split(geometry)
    kept = every.notnull().mean(["time", "y", "x"]).values >= 0.98
    assert 0 < kept.sum() < len(kept)
    assert len(anchors.axes[0]) == kept.sum()


def test_patches_of_dask_come_in_the_order_of_chunks():
    lazy = FIELD.chunk({"y": 8, "x": 24})
    patches = lazy.patch.split(4, sampler=Random(30, seed=0, weights=WEIGHTS))
    rows = patches.start_y.values // 8
    assert (np.diff(rows) >= 0).all()
    assert (np.diff(patches["patch"].values) < 0).any()
    expected = FIELD.patch.split(4, sampler=Random(30, seed=0, weights=WEIGHTS))
    np.testing.assert_array_equal(patches.sortby("patch"), expected)


# ------------------------------------------------------------------------------------ topping up


def valid_starts(field, size):
    windows = np.lib.stride_tricks.sliding_window_view(field.values, (size, size))
    return np.isfinite(windows).all(axis=(2, 3))


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_valid_gives_as_many_as_asked_for_or_says_how_many_there_are(weights, replace):
    field = FIELD.where(FIELD > 0.06)
    ok = valid_starts(field, 4)
    if weights is not None:
        ok &= weights.values[2 : N - 1, 2 : N - 1] > 0
    count = int(ok.sum())
    assert 20 < count < ok.size / 2

    def cut(n):
        inner = Random(n, seed=2, weights=weights, replace=replace)
        return field.patch.split(4, sampler=Valid(inner))

    for n in (1, 10, count):
        first = starts(cut(n))
        assert len(first) == n
        assert ok[tuple(first.T)].all()
        assert replace or len(np.unique(first, axis=0)) == n
    if replace:
        assert len(starts(cut(500))) == 500
        return
    with pytest.raises(ValueError, match=rf"asks for {count + 1} patches, and there are {count} "):
        cut(count + 1)


def test_what_is_drawn_first_comes_first():
    field = FIELD.where(FIELD > 0.06)
    ok = valid_starts(field, 4)
    for weights in (None, WEIGHTS):
        some = starts(FIELD.patch.split(4, sampler=Random(60, seed=4, weights=weights)))
        kept = some[ok[tuple(some.T)]]
        more = starts(
            field.patch.split(4, sampler=Valid(Random(60, seed=4, weights=weights))),
        )
        np.testing.assert_array_equal(more[: len(kept)], kept)


def test_valid_draws_are_equally_likely():
    field = FIELD.where(FIELD > 0.12)
    ok = valid_starts(field, 4)
    counts = np.zeros(ok.shape, int)
    geometry, domain = xpatch.Rectangular(4), xpatch.domain_of(field)
    where = field.notnull()
    for seed in range(80):
        found = Valid(Random(5, seed=seed), where=where).places(domain, geometry)
        np.add.at(counts, found.axes, 1)
    assert not counts[~ok].any()
    assert scipy.stats.chisquare(counts[ok]).pvalue > 1e-3


def test_few_valid_starts_of_very_many_are_found(monkeypatch):
    monkeypatch.setattr("xpatch.sampler.random.FEW", 10)
    monkeypatch.setattr("xpatch.sampler.random.WAITING", 16)
    monkeypatch.setattr("xpatch.sampler.random.TRIES", 1)
    field = xr.full_like(FIELD, np.nan)
    field[3:8, 9:14] = 1
    patches = field.patch.split(4, sampler=Valid(Random(4, seed=0)))
    assert sorted(starts(patches).tolist()) == [[3, 9], [3, 10], [4, 9], [4, 10]]
    with pytest.raises(ValueError, match="asks for 5 patches, and there are 4 that"):
        field.patch.split(4, sampler=Valid(Random(5, seed=0)))
    snapped = field.patch.split(4, sampler=Valid(Random(1, seed=0, snap=2)))
    assert starts(snapped).tolist() == [[4, 10]]
    again = field.patch.split(4, sampler=Valid(Random(9, seed=0, replace=True)))
    assert again.sizes["patch"] == 9
    assert (again == 1).all()


def test_classes_are_topped_up():
    field = FIELD.where(FIELD > 0.06)
    patches = field.patch.split(4, sampler=Valid(ByClass(300, LABELS, seed=0)))
    assert patches.sizes["patch"] == 300
    assert patches.notnull().all()
    _, counts = np.unique(patches.anchor, return_counts=True)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    blind = field.where(LABELS != 5)  # no valid patch holds the class 5
    patches = blind.patch.split(4, sampler=Valid(ByClass(300, LABELS, seed=0)))
    assert set(patches.anchor.values) == {1, 2}
    with pytest.raises(ValueError, match=r"name 5, which no cell .* the classes are \[1, 2\]"):
        blind.patch.split(4, sampler=Valid(ByClass(300, LABELS, {5: 1}, seed=0)))


AREA = box(4, 4, 20, 16)


@pytest.mark.parametrize("kind", ["uniform", "weights", "classes"])
@pytest.mark.parametrize("order", ["valid within", "within valid", "within valid within"])
def test_valid_and_within_of_each_other(kind, order):
    field = FIELD.where(FIELD > 0.04)
    ok = valid_starts(field, 4)
    inner = SAMPLERS[kind](WEIGHTS, LABELS)
    sampler = {
        "valid within": Valid(Within(inner, AREA, 1)),
        "within valid": Within(Valid(inner), AREA, 1),
        "within valid within": Within(Valid(Within(inner, box(0, 0, 20, 20), 1)), AREA, 1),
    }[order]
    first = starts(field.patch.split(4, sampler=sampler))
    assert len(first) == 40
    assert ok[tuple(first.T)].all()
    assert (first >= 4).all()
    assert (first <= [12, 16]).all()
    few = {"uniform": Random(900, seed=0), "weights": Random(300, seed=0, weights=WEIGHTS)}
    if kind != "classes":
        inside = ok[4:13, 4:17]
        if kind == "weights":
            inside = inside & (WEIGHTS.values[6:15, 6:19] > 0)
        count = int(inside.sum())
        few = dataclasses.replace(few[kind], n_samples=count + 1)
        nested = around(sampler, few)
        with pytest.raises(ValueError, match=rf"{count + 1}\b.*\b{count}\b"):
            field.patch.split(4, sampler=nested)


def around(sampler, last):
    """Put another sampler inside of all the others."""
    inner = getattr(sampler, "sampler", None)
    return last if inner is None else dataclasses.replace(sampler, sampler=around(inner, last))


def test_strides_are_not_topped_up():
    field = FIELD.where(FIELD > 0.06)
    every = field.patch.split(4)
    kept = field.patch.split(4, sampler=Valid(xpatch.RegularStride()))
    np.testing.assert_array_equal(kept, every[every.notnull().all(["y", "x"]).values])


# ------------------------------------------------------------------------------ lists, time, files


def stations(n=60):
    rng = np.random.default_rng(3)
    coords = {"lon": ("station", rng.uniform(0, 20, n)), "lat": ("station", rng.uniform(40, 55, n))}
    temp = ("station", rng.random(n))
    use = ("station", np.where(np.arange(n) < 4, "city", "field"))
    return xr.Dataset({"temp": temp, "use": use}, coords)


def test_stations_by_weights_and_by_class():
    ds = stations()
    near = xpatch.KNNGraph(3)
    weights = xr.DataArray(np.isin(np.arange(60), [4, 17, 40]) * 1.0, dims="station")
    patches = ds.patch.split(near, sampler=Random(3, seed=0, weights=weights))
    assert sorted(patches.anchor_element.values) == [4, 17, 40]
    with pytest.raises(ValueError, match="n_samples=4 is more than the 3 elements of positive"):
        ds.patch.split(near, sampler=Random(4, seed=0, weights=weights))
    again = ds.patch.split(near, sampler=Random(9, seed=0, weights=weights, replace=True))
    assert set(again.anchor_element.values) <= {4, 17, 40}
    patches = ds.patch.split(near, sampler=ByClass(400, "use", seed=0))
    names, counts = np.unique(patches.anchor, return_counts=True)
    assert names.tolist() == ["city", "field"]
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    np.testing.assert_array_equal(ds.use.values[patches.anchor_element], patches.anchor)
    with pytest.raises(ValueError, match="snap is that of boxes"):
        ds.patch.split(near, sampler=ByClass(3, "use", snap=2))


@pytest.mark.parametrize(
    "make",
    [
        lambda n, w: Random(n, seed=1),
        lambda n, w: Random(n, seed=1, weights=w),
        lambda n, w: ByClass(n, "use", seed=1),
    ],
)
def test_lists_are_topped_up(make):
    ds = stations()
    ds["temp"] = ds.temp.where(np.arange(60) % 7 > 0)
    weights = xr.DataArray(np.arange(60.0) % 5, dims="station")
    near = xpatch.KNNGraph(2)
    every = ds.temp.patch.split(near, sampler=xpatch.EveryElement())
    ok = every.notnull().all("station").values
    if getattr(make(1, weights), "weights", None) is weights:
        ok &= weights.values > 0
    field = ds.assign(use=ds.use)[["temp", "use"]]
    where = ds.temp.notnull()
    n = int(ok.sum())
    patches = field.patch.split(near, sampler=Valid(make(n, weights), where=where))
    assert patches.sizes["patch"] == n
    assert ok[patches.anchor_element.values].all()
    if not isinstance(make(1, weights), ByClass):
        assert sorted(patches.anchor_element.values) == np.flatnonzero(ok).tolist()
        with pytest.raises(ValueError, match=rf"asks for {n + 1} patches, and there are {n} "):
            field.patch.split(near, sampler=Valid(make(n + 1, weights), where=where))
    inside = Within(make(5, weights), box(0, 40, 12, 55))
    found = field.patch.split(near, sampler=inside)
    assert found.sizes["patch"] == 5
    assert (ds.lon.values[found.anchor_element] <= 12).all()


def test_polygons_are_no_cells():
    polygons = [box(0, 0, 5, 5), box(6, 6, 10, 10)]
    geometry = xpatch.PolygonIntersection(polygons)
    with pytest.raises(ValueError, match="values of elements, but the patches of Polygon"):
        FIELD.patch.split(geometry, sampler=Random(1, weights=WEIGHTS))


def test_caps_on_a_grid_by_class():
    grid = xr.DataArray(
        np.zeros((9, 18)), {"lat": np.arange(-80, 81, 20.0), "lon": np.arange(0, 360, 20.0)}
    )
    labels = xr.zeros_like(grid, int)
    labels[3, 5] = labels[7, 2] = 4
    caps = grid.patch.split(xpatch.SphericalCap(2500), sampler=ByClass(40, labels, {4: 1}, seed=0))
    assert set(caps.anchor_element.values) == {3 * 18 + 5, 7 * 18 + 2}


def test_space_and_time():
    times = xr.date_range("2000-01-01", periods=20)
    cube = xr.DataArray(RNG.random((20, N, N)), {"time": times, **COORDS}, name="v")
    patcher = xpatch.SpatioTemporalPatcher(
        spatial=xpatch.Patcher(xpatch.Rectangular(4), ByClass(6, LABELS, seed=1)),
        temporal=xpatch.TimePatcher(xpatch.FixedLookback(5), xpatch.RegularTimeStride(5)),
    )
    patches = cube.patch.split(patcher)
    alone = FIELD.patch.split(4, sampler=ByClass(6, LABELS, seed=1))
    windows = patches.sizes["patch"] // 6
    np.testing.assert_array_equal(patches.anchor, np.repeat(alone.anchor, windows))
    np.testing.assert_array_equal(patches.start_y, np.repeat(alone.start_y, windows))
    moving = LABELS.drop_vars(["y", "x"]).expand_dims(time=20)
    with pytest.raises(ValueError, match=r"differs along \['time'\], which is not cut"):
        cube.patch.split({"y": 4, "x": 4}, sampler=ByClass(6, moving))
    boxes = cube.patch.split({"time": 2, "y": 4, "x": 4}, sampler=ByClass(9, moving, seed=0))
    assert boxes.sizes["patch"] == 9


@pytest.mark.parametrize(
    "sampler",
    [
        Random(80, seed=1, weights=WEIGHTS),
        ByClass(80, LABELS, seed=1),
        Valid(Random(80, seed=1), where=FIELD > 0.01),
    ],
)
def test_patches_read_back_from_files_merge(sampler, tmp_path):
    patches = FIELD.patch.split(6, sampler=sampler)
    patches.to_dataset(name="v").to_zarr(tmp_path / "a.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)["v"]
    xr.testing.assert_allclose(again.patch.merge().compute(), patches.patch.merge())
    patcher = xpatch.Patcher(xpatch.Rectangular(6), sampler)
    with pytest.raises(ValueError, match=r"holds a DataArray .* build it again in code"):
        xpatch.Patcher.from_spec(patcher.to_dict())


def test_specifications_with_names_are_written():
    for sampler in (ByClass(3, "labels", {1: 2, 5: 0.5}, 0, 2), Random(3, 0, weights="w")):
        patcher = xpatch.Patcher(xpatch.Rectangular(4), sampler)
        assert xpatch.Patcher.from_spec(patcher.to_dict()) == patcher


def test_patches_of_scenes_keep_their_classes():
    cut = [FIELD.patch.split(4, sampler=ByClass(9, LABELS, seed=k)) for k in range(2)]
    both = xpatch.concat(cut)
    np.testing.assert_array_equal(both.anchor, np.concatenate([c.anchor for c in cut]))


def test_patches_of_patches_have_no_labels_in_common():
    both = xr.Dataset({"v": FIELD, "labels": LABELS}).patch.split(12)
    with pytest.raises(ValueError, match=r"differs along \['patch'\]"):
        both.patch.split(4, sampler=ByClass(3, "labels"), dim="inner")
    for nested in (Valid(Random(3)), Within(Valid(Random(3)), AREA)):
        with pytest.raises(
            ValueError, match=r"Valid would keep other patches in each patch along .patch"
        ):
            both.patch.split(4, sampler=nested, dim="inner")
