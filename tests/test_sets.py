"""Sets that do not leak: against the cells that each patch holds, and distances by hand."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

import xpatch
from tests.test_apart import cells, numbered
from tests.test_offsets import series, stations

THREE = {"train": 0.6, "val": 0.2, "test": 0.2}
TWO = {"train": 0.7, "test": 0.3}


def members_of(patches, sets):
    """Give the cells that each set holds."""
    held = cells(patches)
    return {
        n: set().union(*(held[k] for k in np.flatnonzero(sets == n)))
        for n in np.unique(sets.values)
        if n
    }


def assert_disjoint(patches, sets):
    found = [*members_of(patches, sets).values()]
    assert len(set().union(*found)) == sum(map(len, found))


def boxes(n=48, size=8, step=4, **kwargs):
    geometry = xpatch.Rectangular({"y": size, "x": size}, **kwargs)
    return numbered(y=n, x=n).patch.split(geometry=geometry, sampler=xpatch.RegularStride(step))


# -------------------------------------------------------------------------------------- boxes


@settings(deadline=None, max_examples=20)
@given(
    n=st.tuples(st.integers(20, 30), st.integers(20, 30)),
    size=st.integers(1, 4),
    step=st.integers(1, 4),
    block=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    buffer=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    boundary=st.tuples(*[st.sampled_from(["shift", "drop", "pad", "wrap"])] * 2),
    seed=st.integers(0, 9),
    parts=st.sampled_from([THREE, TWO, {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}]),
)
def test_sets_share_no_cell_and_keep_their_distance(
    n, size, step, block, buffer, boundary, seed, parts
):
    field = numbered(y=n[0], x=n[1])
    geometry = xpatch.Rectangular(
        {"y": size, "x": size}, boundary=dict(zip("yx", boundary, strict=True))
    )
    patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(min(step, size)))
    by_dim = dict(zip("yx", block, strict=True))
    far = dict(zip("yx", buffer, strict=True))
    try:
        sets = patches.patch.sets(parts, block=by_dim, buffer=far, seed=seed)
    except ValueError:  # a set comes out empty, of which there are tests below
        return
    assert_disjoint(patches, sets)
    held, names = cells(patches), [*parts]
    spans = []
    for own in held:
        at = np.unravel_index([*own], field.shape)
        spans.append([{*c.tolist()} for c in at])
    for k, first in enumerate(names):
        for second in names[k + 1 :]:
            for i in np.flatnonzero(sets == first)[::3]:
                for j in np.flatnonzero(sets == second)[::5]:
                    assert any(
                        _gap(spans[i][d], spans[j][d], n[d], boundary[d] == "wrap") >= far["yx"[d]]
                        and not spans[i][d] & spans[j][d]
                        for d in (0, 1)
                    )


def _gap(a, b, n, wrap):
    far = np.abs(np.subtract.outer([*a], [*b]))
    return (np.minimum(far, n - far) if wrap else far).min() - 1


@settings(deadline=None, max_examples=20)
@given(
    block=st.integers(8, 16),
    seed=st.integers(0, 99),
    shares=st.lists(st.integers(1, 9), min_size=2, max_size=4),
)
def test_shares_are_met_before_patches_are_left_out(block, seed, shares):
    from xpatch.training.division import division_of
    from xpatch.training.sharing import codes_of, shared_out

    patches = boxes(96)
    blocks = codes_of(division_of(patches, {"y": block, "x": block}, 0).numbers())
    shares = np.array(shares) / sum(shares)
    homes = shared_out(blocks, np.zeros_like(blocks), shares, seed)
    off = np.abs(np.bincount(homes, minlength=len(shares)) - shares * len(blocks))
    largest = np.bincount(blocks).max()
    assert off.max() <= (1 - 1 / len(shares)) * largest + 1e-6
    assert all(len(set(homes[blocks == b])) == 1 for b in np.unique(blocks))


def test_shares_lie_within_five_percent():
    patches = boxes(256)
    sets = patches.patch.sets({"train": 0.7, "val": 0.15, "test": 0.15}, block={"y": 16, "x": 16})
    share = {n: float((sets == n).mean()) for n in ("train", "val", "test", "")}
    assert abs(share["test"] - 0.15) < 0.01  # which loses none
    patches = boxes(256, 8, 8)  # that do not overlap, on whole blocks
    sets = patches.patch.sets({"train": 0.7, "val": 0.15, "test": 0.15}, block={"y": 16, "x": 16})
    share = {n: float((sets == n).mean()) for n in ("train", "val", "test", "")}
    assert share == pytest.approx({"train": 0.7, "val": 0.15, "test": 0.15, "": 0}, abs=0.005)


def test_blocks_hold_mid_points():
    patches = boxes(64, 8, 4)
    sets = patches.patch.sets(TWO, block={"y": 16, "x": 16})
    middle = patches.patch.anchors  # cell 4 of 8 begins at the mid-point
    block = (middle.cell_y // 16 * 100 + middle.cell_x // 16).values
    for b in np.unique(block):
        assert len(set(sets.values[block == b].tolist()) - {""}) <= 1


def test_the_last_set_keeps_its_patches_and_the_first_loses_most():
    patches = boxes(96)
    for names in (["train", "val", "test"], ["zeta", "alpha", "mid"]):
        parts = dict(zip(names, [0.6, 0.2, 0.2], strict=True))
        few, many = (patches.patch.sets(parts, block={"y": 16, "x": 16}, buffer=b) for b in (0, 4))
        assert ((few == names[2]) == (many == names[2])).all()
        assert (many == names[0]).sum() < (few == names[0]).sum()
    only = patches.patch.sets({"train": 0.6, "val": 0.2, "test": 0.2}, block={"y": 16, "x": 16})
    lost = only == ""
    apart = patches.patch.apart(only == "test")
    assert (apart | lost | (only == "test")).all()


def test_a_random_division_leaks():
    patches = boxes(64, 16, 4)
    rng = np.random.default_rng(0)
    random = np.where(rng.random(patches.sizes["patch"]) < 0.8, "train", "test")
    near = ~patches.patch.apart(random == "train").values
    assert near[random == "test"].all()
    sets = patches.patch.sets(TWO, block={"y": 32, "x": 32})
    assert patches.patch.apart((sets == "train").values)[(sets == "test").values].all()


def test_units_are_those_of_the_labels_and_seconds_of_dates():
    field = numbered(y=60, x=60).assign_coords(y=np.arange(60)[::-1] * 10.0, x=np.arange(60) * 20.0)
    patches = field.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(2))
    by_cells = patches.patch.sets(TWO, block={"y": 12, "x": 12}, buffer={"y": 2, "x": 1})
    by_units = patches.patch.sets(
        TWO, block={"y": 120.0, "x": 240.0}, buffer={"y": 20.0, "x": 20.0}
    )
    assert (by_cells == by_units).all()
    one = patches.patch.sets(TWO, block=12, buffer={"y": 2, "x": 1})
    assert (one == by_cells).all()


def test_a_longitude_has_no_ends():
    lon, lat = np.arange(0.0, 360, 5), np.arange(-40.0, 40, 5)
    field = xr.DataArray(np.zeros((16, 72)), {"lat": lat, "lon": lon}, ("lat", "lon"))
    for boundary in ("wrap", "shift"):
        geometry = xpatch.Rectangular(
            {"lat": 16, "lon": 4}, boundary={"lon": boundary, "lat": "shift"}
        )
        patches = field.patch.split(
            geometry=geometry, sampler=xpatch.RegularStride({"lat": 16, "lon": 2})
        )
        for seed in range(5):
            sets = patches.patch.sets(TWO, block={"lon": 12}, buffer={"lon": 10.0}, seed=seed)
            west = lon[patches.patch.anchors.cell_lon.values % 72]
            a, b = (west[(sets == n).values] for n in TWO)
            far = np.abs(np.subtract.outer(a, b))
            assert np.minimum(far, 360 - far).min() >= 20 + 10


@pytest.mark.parametrize("scenes", [1, 2])
def test_patches_that_reach_farther_on_a_coarse_grid_do_not_leak_there(scenes):
    fine, coarse = np.arange(96) * 10.0 + 5, np.arange(48) * 20.0 + 10
    field = xr.Dataset(
        {
            "a": (("y", "x"), np.arange(96.0 * 96).reshape(96, 96)),
            "b": (("y20", "x20"), np.arange(48.0 * 48).reshape(48, 48)),
        },
        {"y": fine, "x": fine, "y20": coarse, "x20": coarse},
    )
    patches = field.patch.split(
        geometry=xpatch.Rectangular({("y", "x"): 8, ("y20", "x20"): 8}, boundary="pad"),
        sampler=xpatch.RegularStride({"y": 8, "x": 8}),
    )
    whole = xpatch.concat([patches] * scenes) if scenes > 1 else patches
    sets = whole.patch.sets(TWO, block={"y": 24, "x": 24})
    assert_disjoint(whole["a"], sets)
    assert_disjoint(whole["b"], sets)
    assert (sets == "train").sum() > 50


# ---------------------------------------------------------------------- the same, whatever else


def test_sets_are_the_same_on_every_backend_in_any_order_and_from_a_file(tmp_path):
    patches = boxes(48)
    asked = {"parts": THREE, "block": {"y": 16, "x": 16}, "buffer": 1, "seed": 3}
    sets = patches.patch.sets(**asked)
    assert sets.dims == ("patch",)
    assert sets.dtype.kind == "U"
    assert (sets["patch"] == patches["patch"]).all()
    order = np.random.default_rng(0).permutation(patches.sizes["patch"])
    mixed = patches.isel(patch=order).patch.sets(**asked)
    np.testing.assert_array_equal(mixed, sets.isel(patch=order))
    lazy = (
        numbered(y=48, x=48)
        .chunk(y=16)
        .patch.split(geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(4))
    )
    assert (lazy.patch.sets(**asked) == sets).all()
    patches.rename("t").to_dataset().to_zarr(tmp_path / "p.zarr")
    back = xr.open_zarr(tmp_path / "p.zarr")
    assert (back.patch.sets(**asked) == sets).all()
    assert (back["t"].patch.sets(**asked) == sets).all()
    assert patches.isel(patch=sets == "test").patch.merge() is not None
    assert (patches.to_dataset(name="t").patch.sets(**asked) == sets).all()
    assert not (patches.patch.sets(**{**asked, "seed": 4}) == sets).all()


def test_nothing_is_read():
    class Never:
        shape, dtype, ndim = (48, 48), np.dtype("f4"), 2

        def __getitem__(self, key):
            raise AssertionError("was read")

    import dask.array as da

    field = xr.DataArray(
        da.from_array(Never(), chunks=16, meta=np.empty((0, 0), "f4")), dims=("y", "x")
    )
    patches = field.patch.split(geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(4))
    patches.patch.sets(TWO, block=16)
    list(patches.patch.folds(3, block=16))


def test_sets_follow_the_patches_after_a_crop():
    patches = boxes(48, 8, 4).patch.crop(y=2, x=2)
    sets = patches.patch.sets(THREE, block=12)
    assert_disjoint(patches, sets)
    assert (sets != "").all()  # they do not overlap any more, and blocks end between them


# ------------------------------------------------------------------------------ time, and both


@pytest.mark.parametrize("calendar", [None, "360_day"])
@pytest.mark.parametrize("block", ["30D", "1MS", 30])
def test_windows_in_time_share_no_step(calendar, block):
    record = series(calendar, n=400)
    windows = record.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(10)))
    sets = windows.patch.sets(TWO, block={"time": block}, buffer={"time": "5D"})
    held = members_of(windows, sets)
    a, b = (np.array([*held[n]]) for n in TWO)
    assert np.abs(np.subtract.outer(a, b)).min() > 5
    assert (sets == "test").mean() == pytest.approx(0.3, abs=0.06)
    if isinstance(block, str):
        assert (windows.patch.sets(TWO, block=block, buffer={"time": "5D"}) == sets).all()


def test_runs_tell_which_are_marked_as_lists_do():
    windows = series(n=200).patch.split(xpatch.TimePatcher(xpatch.FixedLookback("1MS")))
    part = windows.xindexes["patch"].plans[0].hood.parts[0]
    marked = np.random.default_rng(0).random(200) < 0.03
    entries = np.random.default_rng(1).permutation(len(part))[:50]
    held = part.cells(entries)
    expected = (marked[held] & (held >= 0)).any(axis=1)
    np.testing.assert_array_equal(part.holds(marked, entries), expected)
    np.testing.assert_array_equal(part.take(entries).holds(marked, np.arange(50)), expected)
    assert 0 < expected.sum() < 50


def test_windows_of_unequal_length_share_no_step():
    record = series(n=400)
    windows = record.patch.split(xpatch.TimePatcher(xpatch.FixedLookback("1MS")))
    sets = windows.patch.sets(TWO, block={"time": "3MS"})
    assert_disjoint(windows, sets)


def test_boxes_along_time_take_durations():
    field = xr.DataArray(np.arange(400.0), {"time": xr.date_range("2000-01-01", periods=400)})
    patches = field.patch.split(geometry={"time": 10}, sampler=xpatch.RegularStride(5))
    sets = patches.patch.sets(TWO, block={"time": "40D"}, buffer={"time": "3D"})
    same = patches.patch.sets(TWO, block={"time": 40}, buffer={"time": 3})
    assert (sets == same).all()
    assert_disjoint(patches, sets)


def test_durations_may_be_those_of_numpy():
    time = xr.date_range("2000-01-01", periods=200)
    field = xr.DataArray(np.arange(200.0), {"time": time}, ("time",))
    patches = field.patch.split({"time": 4}, sampler=xpatch.RegularStride(2))
    text = patches.patch.sets(TWO, block={"time": "20D"}, buffer={"time": "3D"})
    block, buffer = np.timedelta64(20, "D"), np.timedelta64(3, "D")
    xr.testing.assert_identical(
        patches.patch.sets(TWO, block={"time": block}, buffer={"time": buffer}), text
    )


@pytest.mark.parametrize("lists", [False, True])
def test_patches_in_space_and_time_are_divided_in_both(lists):
    if lists:
        rng = np.random.default_rng(0)
        coords = {"x": ("obs", rng.uniform(0, 9, 20)), "y": ("obs", rng.uniform(0, 9, 20))}
        values, dims, block = (
            np.arange(60 * 20.0).reshape(60, 20),
            ("time", "obs"),
            {"x": 3.0, "y": 3.0},
        )
        space = xpatch.Patcher(xpatch.KNNGraph(3))
    else:
        coords, values, dims, block = (
            {},
            np.arange(60 * 20.0).reshape(60, 20),
            ("time", "x"),
            {"x": 5},
        )
        space = xpatch.Patcher({"x": 3}, xpatch.RegularStride(2))
    time = xr.date_range("2000-01-01", periods=60)
    field = xr.DataArray(values, {"time": time, **coords}, dims)
    patches = field.patch.split(
        xpatch.SpatioTemporalPatcher(space, xpatch.TimePatcher(xpatch.FixedLookback(4)))
    )
    sets = patches.patch.sets(TWO, block={**block, "time": "15D"})
    assert_disjoint(patches, sets)
    anchors = patches.patch.anchors
    assert len(set(anchors.window.values[sets == "test"])) > 4
    assert len(set(anchors.place.values[sets == "test"])) > 2
    assert (sets == "train").sum() > 20


# --------------------------------------------------------------------------------------- lists


def test_lists_share_no_member_and_keep_members_apart():
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 200), np.rad2deg(np.arcsin(rng.uniform(-1, 1, 200)))
    field = xr.DataArray(np.zeros(200), {"lon": ("obs", lon), "lat": ("obs", lat)}, ("obs",))
    patches = field.patch.split(geometry=xpatch.KNNGraph(4))
    numbers = field.copy(data=np.arange(200.0)).patch.split(geometry=xpatch.KNNGraph(4))
    sets = patches.patch.sets(THREE, block={"lon": 60.0, "lat": 60.0})
    assert_disjoint(numbers, sets)
    sets = patches.patch.sets(TWO, block={"lon": 90.0, "lat": 60.0}, buffer=500.0)
    a, b = ([*members_of(numbers, sets)[n]] for n in TWO)
    a, b = np.array(a, int), np.array(b, int)
    far = xpatch.sphere.haversine(lon[a][:, None], lat[a][:, None], lon[b], lat[b])
    assert far.min() >= 500


LARGE = {
    "km as degrees": (3000, "degrees, more than the Earth has.*block=27.0"),
    "one of them": ({"lat": 200.0}, "'lat' is 200.0 degrees"),
    "km in text": ("3000km", "length in text.*block=27.0"),
    "degrees in text": ({"lon": "30deg"}, "length in text.*block=30.0"),
}


@pytest.mark.parametrize("name", LARGE)
def test_blocks_of_lists_are_in_degrees(name):
    block, match = LARGE[name]
    lon, lat = np.arange(-170.0, 180, 20), np.linspace(-80, 80, 18)
    field = xr.DataArray(np.zeros(18), {"lon": ("obs", lon), "lat": ("obs", lat)}, ("obs",))
    patches = field.patch.split(geometry=xpatch.KNNGraph(2))
    with pytest.raises(ValueError, match=match):
        patches.patch.sets(TWO, block=block)
    assert (patches.patch.sets(TWO, block=27.0) != "").any()


# -------------------------------------------------------------------------------------- scenes


def scene(epsg, x0=500_000.0, y0=5_600_000.0, n=60, step=10.0):
    rioxarray = pytest.importorskip("rioxarray")
    assert rioxarray
    y, x = y0 - step * (np.arange(n) + 0.5), x0 + step * (np.arange(n) + 0.5)
    field = xr.DataArray(np.zeros((n, n)), {"y": y, "x": x}, ("y", "x"), name="b")
    return field.rio.write_crs(epsg).patch.split(
        geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(4)
    )


def overlaps(patches, sets, far=0.0):
    """Give the largest area that patches of two sets have in common, and their least distance."""
    import shapely

    shapes = patches.patch.footprints(to_crs=32632).geometry.values
    names = [n for n in np.unique(sets.values) if n]
    each = [np.asarray(shapes[(sets == n).values]) for n in names]
    most, least = 0.0, np.inf
    for k, a in enumerate(each):
        for b in each[:k]:
            tree = shapely.STRtree(a)
            q, t = tree.query(b, "intersects")
            most = max(most, *shapely.area(shapely.intersection(a[t], b[q])), 0.0)
            least = min(least, tree.query_nearest(b, return_distance=True)[1].min())
    return most, least


def test_dates_of_a_tile_have_the_same_sets():
    a = scene(32632)
    patches = xpatch.concat([a, a, scene(32632, 500_205.0)], scenes=["may", "june", "beside"])
    for by in (None, "scene"):
        sets = patches.patch.sets(TWO, block={"y": 160.0, "x": 160.0}, by=by)
        may, june = (sets[(patches.scene == n).values].values for n in ("may", "june"))
        np.testing.assert_array_equal(may, june)
        assert overlaps(patches, sets)[0] < 1e-3
    far = patches.patch.sets(TWO, block={"y": 160.0, "x": 160.0}, buffer=3)
    assert overlaps(patches, far)[1] >= 30 - 1e-6


def test_scenes_along_time_and_one_dimension_share_no_step_there():
    def cut(x0, day):
        time = xr.date_range(day, periods=40)
        coords = {"time": time, "x": x0 + np.arange(24.0)}
        field = xr.DataArray(np.zeros((40, 24)), coords, ("time", "x"), name="a")
        return field.patch.split({"time": 4, "x": 4}, sampler=xpatch.RegularStride(2))

    each = [cut(0, "2000-01-01"), cut(5, "2000-01-20"), cut(100, "2000-01-01")]
    patches = xpatch.concat(each, scenes=["a", "b", "beside"])
    sets = patches.patch.sets(TWO, block={"time": "10D", "x": 8}, buffer={"time": "2D"})
    a, b = (np.flatnonzero(sets == n) for n in TWO)
    day, x = (patches.time.values - np.datetime64("2000-01-01")) / np.timedelta64(1, "D"), patches.x

    def gap(values):
        low, high = np.min(values, axis=1), np.max(values, axis=1)
        return np.maximum(np.subtract.outer(low[a], high[b]), np.subtract.outer(low[b], high[a]).T)

    assert not ((gap(day) <= 2) & (gap(x.values) <= 0)).any()
    assert min(len(a), len(b)) > 50


def test_scenes_in_two_zones_share_no_ground():
    pyproj = pytest.importorskip("pyproj")
    x, y = pyproj.Transformer.from_crs(32632, 32633, always_xy=True).transform(700_000, 5_600_000)
    sets_ = [scene(32632, 700_000.0), scene(32633, round(x, -1), round(y, -1)), scene(32635)]
    patches = xpatch.concat(sets_, scenes=["west", "east", "far"])
    for buffer in (0, 2):
        for by in (None, "scene"):
            sets = patches.patch.sets(TWO, block=16, buffer=buffer, by=by)
            area, gap = overlaps(
                patches.isel(patch=(patches.scene != "far").values),
                sets[(patches.scene != "far").values],
            )
            assert area < 1e-2
            assert gap >= 10 * buffer * 0.99
            assert 0.1 < (sets == "test").mean() < 0.4
    shuffled = patches.isel(patch=np.random.default_rng(0).permutation(patches.sizes["patch"]))
    again = shuffled.patch.sets(TWO, block=16, buffer=2, by="scene")
    np.testing.assert_array_equal(again.sortby("patch"), sets)


def test_scenes_meet_across_the_date_line():
    def cut(lon):
        coords = {"lat": 10 - 0.25 * np.arange(24), "lon": lon + 0.25 * np.arange(40)}
        field = xr.DataArray(np.zeros((24, 40)), coords, ("lat", "lon"), name="a")
        return field.patch.split(geometry={"lat": 4, "lon": 4}, sampler=xpatch.RegularStride(2))

    patches = xpatch.concat([cut(175.0), cut(-180.0)], scenes=["west", "east"])
    sets = patches.patch.sets(TWO, block=2.0, buffer=0.5)
    lon, lat = patches.lon.values[:, 0] % 360, patches.lat.values[:, 0]
    a, b = (np.flatnonzero(sets == n) for n in TWO)
    east = np.abs(np.subtract.outer(lon[a], lon[b]))
    far = np.maximum(np.minimum(east, 360 - east), np.abs(np.subtract.outer(lat[a], lat[b])))
    assert far.min() >= 1 + 0.5
    assert {"east", "west"} == {*patches.scene.values[a]} == {*patches.scene.values[b]}


def test_scenes_around_a_pole_share_no_ground():
    pyproj = pytest.importorskip("pyproj")
    pytest.importorskip("rioxarray")
    x = -1e6 + 25_000.0 * np.arange(80)
    polar = xr.DataArray(np.zeros((80, 80)), {"y": x[::-1], "x": x}, ("y", "x"), name="a")
    degrees = {"y": 89.5 - np.arange(20.0), "x": -179.5 + np.arange(360.0)}
    globe = xr.DataArray(np.zeros((20, 360)), degrees, ("y", "x"), name="a")
    each = [polar.rio.write_crs(3413), globe.rio.write_crs(4326)]
    each = [f.patch.split(geometry={"y": 4, "x": 4}) for f in each]
    patches = xpatch.concat(each, scenes=["polar", "globe"])
    sets = patches.patch.sets(TWO, block=16)
    move = pyproj.Transformer.from_crs(3413, 4326, always_xy=True).transform
    for first, second in (("train", "test"), ("test", "train")):
        mine, theirs = (
            patches.isel(patch=((patches.scene == n) & (sets == s)).values)
            for n, s in (("polar", first), ("globe", second))
        )
        lon, lat = (
            v.ravel()
            for v in move(*np.broadcast_arrays(mine.x.values[:, None], mine.y.values[..., None]))
        )
        edges = [theirs[d].values for d in "xy"]
        inside = [
            (v[:, None] > e.min(1) - 0.5) & (v[:, None] < e.max(1) + 0.5)
            for v, e in zip((lon, lat), edges, strict=True)
        ]
        assert mine.sizes["patch"] > 20
        assert theirs.sizes["patch"] > 20
        assert not (inside[0] & inside[1]).any()


def test_scenes_are_the_same_from_a_file(tmp_path):
    patches = xpatch.concat([scene(32632), scene(32633)], scenes=["a", "b"])
    sets = patches.patch.sets(TWO, block=16, by="scene")
    patches.to_dataset(name="b").to_zarr(tmp_path / "p.zarr")
    again = xr.open_zarr(tmp_path / "p.zarr").patch.sets(TWO, block=16, by="scene")
    np.testing.assert_array_equal(sets, again)


def test_shares_hold_within_each_scene():
    sizes = [40, 60, 100]
    each = [scene(32632, 500_000.0 + 10_000 * k, n=n) for k, n in enumerate(sizes)]
    patches = xpatch.concat(each, scenes=["a", "b", "c"])
    for seed in range(4):
        sets = patches.patch.sets(TWO, block=8, by="scene", seed=seed)
        for name, own in sets.groupby(patches.scene):
            assert (own == "test").mean() == pytest.approx(0.3, abs=0.05), name


def test_strata_with_few_blocks_are_one_together():
    each = [scene(32632, 500_000.0 + 9_600 * k, n=16) for k in range(20)]  # a block each
    patches = xpatch.concat(each)
    sets = patches.patch.sets(TWO, block=16, by="scene")
    assert (sets == "test").mean() == pytest.approx(0.3, abs=0.03)


def test_strata_do_not_all_round_a_share_in_the_same_direction():
    each = [scene(32632, 500_000.0 + 9_600 * k, n=36) for k in range(20)]  # nine blocks each
    patches = xpatch.concat(each)
    held = patches.sizes["patch"]
    for seed in range(3):
        sets = patches.patch.sets({"a": 0.7, "b": 0.15, "c": 0.15}, block=12, by="scene", seed=seed)
        assert (sets == "c").sum() / held == pytest.approx(0.15, abs=0.02)


def test_images_without_labels_are_divided_alike():
    each = [boxes(32, 8, 4) for _ in range(3)]
    patches = xpatch.concat(each, scenes=["a", "b", "c"])
    sets = patches.patch.sets(TWO, block=16).values.reshape(3, -1)
    assert (sets == sets[0]).all()


def test_scenes_of_which_nothing_says_where_they_are_are_refused():
    bare = scene(32632).drop_vars("spatial_ref")
    y, x = bare.y.values[0], bare.x.values[0]
    field = xr.DataArray(np.zeros((8, 8)), {"y": y, "x": x}, ("y", "x"), name="b")
    nowhere = field.patch.split(geometry={"y": 8, "x": 8})
    both = xpatch.concat([scene(32632), nowhere], scenes=["a", "b"])
    with pytest.raises(ValueError, match="'b' has no CRS"):
        both.patch.sets(TWO, block=16)
    lists = xpatch.concat(
        [stations(30).patch.split(geometry=xpatch.KNNGraph(3))] * 2, scenes=["a", "b"]
    )
    with pytest.raises(ValueError, match="lists of members"):
        lists.patch.sets(TWO, block={"lon": 9.0})
    plain = xr.concat(
        [boxes(32), numbered(y=24, x=24).patch.split(geometry={"y": 8, "x": 8})], "patch"
    )
    with pytest.raises(ValueError, match=r"xpatch\.concat"):
        plain.patch.sets(TWO, block=16)


# --------------------------------------------------------------------------------------- folds


@pytest.mark.parametrize("buffer", [0, 3])
def test_folds_test_each_patch_once_and_train_on_what_is_apart(buffer):
    patches = boxes(64)
    found = list(patches.patch.folds(4, block={"y": 16, "x": 16}, buffer=buffer))
    assert len(found) == 4
    np.testing.assert_array_equal(np.sort(np.concatenate([t for _, t in found])), np.arange(225))
    held = cells(patches)
    for train, test in found:
        assert (
            set().union(*(held[k] for k in train)).isdisjoint(set().union(*(held[k] for k in test)))
        )
        expected = patches.patch.apart(patches["patch"].values[test], buffer=buffer)
        np.testing.assert_array_equal(train, np.flatnonzero(expected))
        assert abs(len(test) - 225 / 4) <= 16
    again = list(patches.patch.folds(4, block={"y": 16, "x": 16}, buffer=buffer))
    assert all(
        (a == b).all() for x, y in zip(found, again, strict=True) for a, b in zip(x, y, strict=True)
    )


def test_scikit_learn_takes_folds():
    sklearn = pytest.importorskip("sklearn.model_selection")
    from sklearn.neighbors import KNeighborsRegressor

    rng = np.random.default_rng(0)
    field = xr.DataArray(rng.normal(size=(64, 64)), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 16, "x": 16}, sampler=xpatch.RegularStride(4))
    at = patches.patch.anchors
    where = np.stack([at.cell_y, at.cell_x], axis=-1)
    mean = patches.mean(("y", "x")).values
    model = KNeighborsRegressor(4, weights="distance")
    honest = sklearn.cross_val_score(model, where, mean, cv=patches.patch.folds(4, block=16))
    random = sklearn.cross_val_score(
        model, where, mean, cv=sklearn.KFold(4, shuffle=True, random_state=0)
    )
    assert len(honest) == 4
    assert random.mean() > 0.5  # noise, of which nothing can be known
    assert honest.mean() < 0


# ----------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"parts": {"train": 0.7, "test": 0.2}}, ValueError, "sum to 0.9"),
        ({"parts": {"train": 1.2, "test": -0.2}}, ValueError, "'train' must lie above 0"),
        ({"parts": {"train": 1.0, "test": 0.0}}, ValueError, "'test' must lie above 0"),
        ({"parts": {"train": "70%", "test": 0.3}}, TypeError, "share of 'train'"),
        ({"parts": {"": 0.5, "test": 0.5}}, ValueError, "no set"),
        ({"parts": {0: 0.5, 1: 0.5}}, TypeError, "must be text"),
        ({"parts": [0.5, 0.5]}, TypeError, "by name"),
        ({"parts": {}}, ValueError, "sum to 0"),
        ({"block": {"z": 8}}, KeyError, r"'z'.*\['y', 'x'\]"),
        ({"block": {}}, ValueError, "no dimension"),
        ({"block": {"y": 4}}, ValueError, "smaller than a patch, 8 cells"),
        ({"block": {"y": 4.0}}, ValueError, "evenly spaced"),
        ({"block": -8}, ValueError, "positive"),
        ({"block": "30D"}, ValueError, "fits none"),
        ({"block": {"y": "30D"}}, ValueError, "no dates"),
        ({"block": None}, ValueError, "fits none"),
        ({"block": {"y": True}}, TypeError, "duration"),
        ({"block": 48}, ValueError, "'test' comes out empty: of 1 block"),
        ({"buffer": 30}, ValueError, "'train' comes out empty: all"),
        ({"buffer": -1}, ValueError, "≥ 0"),
        ({"buffer": {"z": 1}}, KeyError, "'z'"),
        ({"buffer": {"y": "3D"}}, TypeError, "must be a number"),
        ({"by": "scene"}, KeyError, "'scene'.*no coordinate"),
        ({"by": xr.DataArray(np.zeros(3), dims="patch")}, ValueError, "each of 121"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": "a"}, TypeError, "seed"),
    ],
)
def test_what_does_not_fit_is_refused(given, error, match):
    with pytest.raises(error, match=match):
        boxes(48).patch.sets(**{"parts": TWO, "block": 16, **given})


@pytest.mark.parametrize(
    ("k", "given", "error", "match"),
    [
        (1, {}, ValueError, "at least 2"),
        (2.5, {}, TypeError, "an int"),
        (10, {}, ValueError, "10 folds need as many blocks, and there are 9"),
        (2, {"buffer": {"y": -2}}, ValueError, "≥ 0"),
        (2, {"block": 2}, ValueError, "smaller than a patch"),
    ],
)
def test_folds_that_do_not_fit_are_refused_at_once(k, given, error, match):
    with pytest.raises(error, match=match):
        boxes(48).patch.folds(k, **{"block": 16, **given})


def test_folds_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(ValueError, match="nothing is left to train on in fold 0"):
        list(boxes(48).patch.folds(2, block=16, buffer=40))


def test_what_is_no_set_of_patches_is_refused():
    field = numbered(y=8, x=8)
    with pytest.raises(ValueError, match="not patches"):
        field.patch.sets(TWO, block=4)
    with pytest.raises(ValueError, match="not a single one"):
        scene(32632).isel(patch=0).patch.sets(TWO, block=16)
    inner = boxes(48, 16, 8).patch.split({"y": 4, "x": 4}, dim="inner")
    with pytest.raises(ValueError, match="before they are split again"):
        inner.patch.sets(TWO, block=8)
