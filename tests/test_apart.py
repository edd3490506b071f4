"""Patches that are apart from others: against the cells that each patch holds."""

from __future__ import annotations

import datetime

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings

import xpatch
from tests import element_strategies as own
from tests.test_offsets import grid, raster, series, stations


def cells(patches):
    """Give the numbers of cells whose values each patch has, also as padding."""
    values = np.where(patches.notnull(), patches, -1).reshape(patches.sizes["patch"], -1)
    return [{*row[row >= 0].astype(int).tolist()} for row in values]


def numbered(**sizes):
    values = np.arange(float(np.prod(list(sizes.values())))).reshape(*sizes.values())
    return xr.DataArray(values, dims=tuple(sizes), name="t")


def by_hand(patches, labels):
    """Which patches hold none of the cells that some hold."""
    held, mine = cells(patches), patches["patch"].values
    some = set().union(*(held[k] for k in np.flatnonzero(np.isin(mine, labels))))
    return np.array([not (own & some) for own in held])


# -------------------------------------------------------------------------------------- boxes


@settings(deadline=None, max_examples=30)
@given(
    n=st.tuples(st.integers(6, 11), st.integers(6, 11)),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    step=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    boundary=st.tuples(*[st.sampled_from(["shift", "drop", "pad", "wrap"])] * 2),
    data=st.data(),
)
def test_boxes_that_are_kept_share_no_cell(n, size, step, boundary, data):
    field = numbered(y=n[0], x=n[1])
    geometry = xpatch.Rectangular(
        dict(zip("yx", size, strict=True)), boundary=dict(zip("yx", boundary, strict=True))
    )
    steps = {d: min(s, k) for d, s, k in zip("yx", step, size, strict=True)}
    patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(steps))
    count = patches.sizes["patch"]
    test = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=3))
    np.testing.assert_array_equal(patches.patch.apart(test), by_hand(patches, test))


def gaps(starts, size, n=None):
    """Count the cells between intervals, all with all; negative where they overlap."""
    far = np.abs(starts[:, None] - starts)
    far = far if n is None else np.minimum(far % n, -far % n)
    return far - size


@settings(deadline=None, max_examples=30)
@given(
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    buffer=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    wrap=st.booleans(),
    test=st.sets(st.integers(0, 15), min_size=1, max_size=3),
)
def test_boxes_that_are_kept_have_a_gap_along_some_dimension(size, buffer, wrap, test):
    field = numbered(y=13, x=12)
    boundary = {"x": "wrap" if wrap else "shift", "y": "shift"}
    geometry = xpatch.Rectangular({"y": size[0], "x": size[1]}, boundary=boundary)
    patches = field.patch.split(geometry=geometry, sampler=xpatch.Random(16, 3, replace=True))
    first = patches.values[:, 0, 0].astype(int)
    between = (
        gaps(first // 12, size[0]),
        gaps(first % 12, size[1], 12 if wrap else None),
    )
    near = (between[0] < buffer[0]) & (between[1] < buffer[1])
    expected = ~near[:, sorted(test)].any(axis=1) & ~np.isin(np.arange(16), sorted(test))
    found = patches.patch.apart(sorted(test), {"y": buffer[0], "x": buffer[1]})
    np.testing.assert_array_equal(found, expected)
    if buffer[0] == buffer[1]:
        np.testing.assert_array_equal(patches.patch.apart(sorted(test), buffer[0]), expected)


def test_a_length_is_in_units_of_the_labels():
    patches = raster().patch.split(geometry={"y": 2, "x": 9}, sampler=xpatch.RegularStride(1))
    found = {b: patches.patch.apart([0], b).values.tolist() for b in (0, 1500.0, 2000.0, 2)}
    assert found[0] == [False] * 2 + [True] * 7
    assert found[1500.0] == found[2000.0] == found[2] == [False] * 4 + [True] * 5
    only_y = patches.patch.apart([0], {"y": 1000.0}).values
    assert only_y.tolist() == [False] * 3 + [True] * 6


def test_a_length_needs_labels_that_are_evenly_spaced():
    for field in (numbered(x=9), numbered(x=9).assign_coords(x=np.arange(9.0) ** 2)):
        patches = field.patch.split(geometry={"x": 2})
        with pytest.raises(ValueError, match="evenly spaced, or there are none"):
            patches.patch.apart([0], 1.5)
        assert patches.patch.apart([0], 0.0).values.tolist() == [False, True, True, True, True]


def test_what_is_cropped_away_is_not_shared():
    patches = numbered(x=20).patch.split(geometry={"x": 6}, sampler=xpatch.RegularStride(2))
    inner = patches.patch.crop(x=2)
    for some in (patches, inner):
        np.testing.assert_array_equal(some.patch.apart([3]), by_hand(some, [3]))
    assert int(inner.patch.apart([3]).sum()) > int(patches.patch.apart([3]).sum())


def test_dimensions_that_were_not_cut_separate_nothing():
    field = numbered(time=3, y=6, x=6)
    patches = field.patch.split(geometry={"y": 3, "x": 3})
    assert patches.patch.apart([0]).values.tolist() == [False, True, True, True]
    assert not patches.patch.apart([0], 1).any()


# -------------------------------------------------------------------------------------- lists


def separation(patches, between):
    """Give the least distance of any member of one patch from any of another, all with all."""
    (slot,) = patches.xindexes["patch"].plans[0].inner
    held = [row[row >= 0] for row in patches[slot].values]
    return np.array([[between[np.ix_(a, b)].min() for b in held] for a in held])


def great_circles(field):
    lon, lat = xpatch.domain_of(field).sites().lonlat
    return xpatch.sphere.haversine(lon[:, None], lat[:, None], lon, lat)


def globe():
    import uxarray as ux

    values = xr.DataArray(np.arange(float(own.mesh().n_face)), dims="n_face")
    return ux.UxDataArray(values, uxgrid=own.mesh())


ON_THE_SPHERE = [
    (stations, xpatch.KNNGraph(4)),
    (stations, xpatch.SphericalCap(1500.0)),
    (lambda: grid(20.0), xpatch.SphericalCap(2000.0)),
    (globe, xpatch.KHopGraph(1)),
    (globe, xpatch.KNNGraph(3)),
]


@pytest.mark.parametrize(("make", "geometry"), ON_THE_SPHERE)
@pytest.mark.parametrize("buffer", [0, 1200.0, 5000])
def test_lists_that_are_kept_are_as_far_away_on_the_sphere(make, geometry, buffer):
    field = make()
    patches = field.patch.split(geometry=geometry)
    between = great_circles(field)
    np.fill_diagonal(between, -1)  # a common member is near whatever the buffer
    far = separation(patches, between)
    for test in ([0], [7, 30]):
        expected = (far[:, test] >= max(buffer, 0)).all(axis=1)
        expected[test] = False
        found = patches.patch.apart(test, buffer)
        np.testing.assert_array_equal(found, expected)
        assert buffer == 5000 or found.any()


@pytest.mark.parametrize("buffer", [0, 8.0, 25])
def test_lists_in_the_plane_are_as_far_away_in_its_units(buffer):
    xy = np.random.default_rng(0).uniform(0, 100, (60, 2))
    field = xr.DataArray(
        np.arange(60.0), {"x": ("obs", xy[:, 0]), "y": ("obs", xy[:, 1])}, ("obs",)
    )
    patches = field.patch.split(geometry=xpatch.KNNGraph(5))
    between = np.linalg.norm(xy[:, None] - xy, axis=-1)
    np.fill_diagonal(between, -1)
    expected = separation(patches, between)[:, 11] >= buffer
    np.testing.assert_array_equal(patches.patch.apart([11], buffer), expected)
    by_name = patches.patch.apart([11], {"obs": buffer})
    np.testing.assert_array_equal(by_name, expected)


def test_a_member_at_the_very_distance_of_the_buffer_is_apart():
    coords = {"x": ("obs", [0.0, 1, 4, 5]), "y": ("obs", [0.0] * 4)}
    patches = xr.DataArray(np.zeros(4), coords, ("obs",)).patch.split(geometry=xpatch.KNNGraph(2))
    assert patches.patch.apart([0], 3.0).values.tolist() == [False, False, True, True]
    assert not patches.patch.apart([0], 3.001).any()


# --------------------------------------------------------------------------------------- time


def windows(geometry, step=3, field=None):
    field = series() if field is None else field
    return field.patch.split(xpatch.TimePatcher(geometry, xpatch.RegularTimeStride(step)))


GAPPY = [k for k in range(40) if k not in (7, 8, 20, 21, 22, 30)]


@pytest.mark.parametrize("pick", [range(40), GAPPY], ids=["even", "with gaps"])
@pytest.mark.parametrize("length", [5, "5D"])
@pytest.mark.parametrize("buffer", [0, 1, 4])
def test_windows_have_steps_between(pick, length, buffer):
    field = series().isel(time=list(pick))
    field = field.copy(data=np.arange(float(field.size)))
    patches = windows(xpatch.FixedLookback(length), field=field)
    held = cells(patches)
    for k in (0, 4):
        near = set().union(*(set(range(c - buffer, c + buffer + 1)) for c in held[k]))
        expected = [not (own & near) for own in held]
        found = patches.patch.apart([k], {"time": buffer})
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("calendar", [None, "noleap", "360_day"])
@pytest.mark.parametrize("pick", [range(40), GAPPY], ids=["even", "with gaps"])
@pytest.mark.parametrize("buffer", ["3D", "36h", "1W"])
def test_windows_are_a_duration_apart(calendar, pick, buffer):
    field = series(calendar).isel(time=list(pick))
    field = field.copy(data=np.arange(float(field.size)))
    patches = windows(xpatch.FixedLookback(4), 2, field)
    found = patches.patch.apart([3], {"time": buffer})
    held = cells(patches)
    days = np.array([pd.Timedelta(t - field.time.values[0]) for t in field.time.values])
    for k, kept in enumerate(found.values):
        least = min(abs(days[a] - days[b]) for a in held[k] for b in held[3])
        assert not kept or least >= pd.Timedelta(buffer)
        assert kept or least < pd.Timedelta(buffer) + pd.Timedelta("8D")
    assert found.any()


@pytest.mark.parametrize(
    "same",
    [5, np.timedelta64(5, "D"), pd.Timedelta("5D"), datetime.timedelta(5), pd.offsets.Day(5)],
    ids=lambda v: type(v).__name__,
)
def test_durations_are_of_any_kind(same):
    patches = windows(xpatch.FixedLookback(2), 1, series(n=60))
    by_text = patches.patch.apart([0], {"time": "5D"})
    xr.testing.assert_equal(patches.patch.apart([0], {"time": same}), by_text)
    assert by_text.values.tolist() == [False] * 7 + [True] * 52


def test_months_of_daily_steps_are_the_longest():
    patches = windows(xpatch.FixedLookback(2), 1, series(n=60))
    by_month = patches.patch.apart([0], {"time": "1MS"})
    xr.testing.assert_equal(by_month, patches.patch.apart([0], {"time": 31}))


def test_months_of_monthly_steps_are_counted():
    time = pd.date_range("2000-01-01", periods=30, freq="MS")
    field = xr.DataArray(np.arange(30.0), {"time": time}, ("time",))
    patches = windows(xpatch.FixedLookback(2), 1, field)
    xr.testing.assert_equal(
        patches.patch.apart([0], {"time": "3MS"}), patches.patch.apart([0], {"time": 3})
    )


def test_past_and_future_count():
    patches = windows(xpatch.LookbackHorizon(3, 2))
    np.testing.assert_array_equal(patches.patch.apart([2]), by_hand(patches, [2]))
    past = patches.patch.lookback
    np.testing.assert_array_equal(past.patch.apart([2]), by_hand(past, [2]))


def cube(gappy=False):
    field = numbered(time=14, lat=7, lon=12)
    time = pd.date_range("2000-01-01", periods=14).delete([4] if gappy else [])
    field = field.isel(time=slice(len(time))).assign_coords(
        time=time, lat=np.arange(-90, 91, 30.0), lon=np.arange(0, 360, 30.0)
    )
    return field.copy(data=np.arange(float(field.size)).reshape(field.shape))


PLACES = [
    xpatch.Rectangular({"lat": 3, "lon": 4}, boundary={"lon": "wrap"}),
    xpatch.Rectangular({"lat": 3, "lon": 5}, boundary={"lat": "pad"}),
    xpatch.KNNGraph(4),
    xpatch.SphericalCap(2000.0),
]


@pytest.mark.parametrize("gappy", [False, True])
@pytest.mark.parametrize("geometry", PLACES, ids=str)
@pytest.mark.parametrize("coupled", [False, True])
def test_patches_in_space_and_time_share_no_cell_of_both(gappy, geometry, coupled):
    field = cube(gappy)
    boxes = isinstance(geometry, xpatch.Rectangular)
    sampler = xpatch.RegularStride(2) if boxes else xpatch.Random(9, 0)
    stride = xpatch.RegularTimeStride(2)
    if coupled:
        count = field.isel(time=0).patch.split(geometry=geometry, sampler=sampler).sizes["patch"]
        stride = xpatch.ExplicitTimes(np.resize(field.time.values[:3:-2], count))
    length = 4 if not gappy else "4D"
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(geometry, sampler),
        xpatch.TimePatcher(xpatch.FixedLookback(length), stride),
        "coupled" if coupled else "product",
    )
    patches = field.patch.split(patcher)
    last = patches.sizes["patch"] - 1
    for test in ([0], [last // 2, last], [3, 4]):
        found, expected = patches.patch.apart(test), by_hand(patches, test)
        np.testing.assert_array_equal(found, expected)
        assert found.any()


def test_buffers_in_space_and_in_time_both_count():
    patches = cube().patch.split(
        xpatch.SpatioTemporalPatcher(
            xpatch.Patcher({"lat": 1, "lon": 1}),
            xpatch.TimePatcher(xpatch.FixedLookback(1)),
        )
    )
    at = patches.patch.anchors
    first = at.isel(patch=0)
    far = [abs(at[f"cell_{d}"] - first[f"cell_{d}"]).values for d in ("time", "lat", "lon")]
    found = patches.patch.apart([0], {"time": "2D", "lat": 1, "lon": 3})
    np.testing.assert_array_equal(found, (far[0] > 2) | (far[1] > 1) | (far[2] > 3))


# --------------------------------------------------------------------------- what may be given


def boxes():
    return numbered(y=6, x=8).patch.split(
        geometry={"y": 2, "x": 4}, sampler=xpatch.RegularStride(1)
    )


def test_tests_are_masks_labels_or_patches():
    patches = boxes()
    expected = patches.patch.apart([3, 11])
    assert expected.dims == ("patch",)
    assert expected.dtype == bool
    mask = np.isin(np.arange(25), [3, 11])
    for test in (
        mask,
        xr.DataArray(mask, dims="patch"),
        np.array([3, 11]),
        (11, 3, 3),
        patches["patch"][[3, 11]],
        patches.isel(patch=[3, 11]),
        patches.isel(patch=[11, 3]).to_dataset(),
    ):
        xr.testing.assert_equal(patches.patch.apart(test), expected)
    assert bool(patches.patch.apart(mask[:0].tolist()).all())
    assert bool(patches.patch.apart(~np.ones(25, bool)).all())
    assert patches.where(expected, drop=True).sizes["patch"] == int(expected.sum())


def test_labels_are_not_positions():
    patches = boxes()
    some = patches.isel(patch=[20, 3, 11, 0])
    expected = patches.patch.apart([11]).isel(patch=[20, 3, 11, 0])
    xr.testing.assert_equal(some.patch.apart([11]), expected)
    with pytest.raises(KeyError, match="test names patch 7, which is none of these"):
        some.patch.apart([7])


def test_patches_of_yes_and_no_are_patches():
    patches = (boxes() > 20).isel(patch=slice(None))
    xr.testing.assert_equal(patches.patch.apart(patches.isel(patch=[3])), boxes().patch.apart([3]))


def test_patches_of_files_are_patches(tmp_path):
    patches = boxes()
    patches.to_netcdf(tmp_path / "p.nc")
    again = xr.load_dataset(tmp_path / "p.nc")["t"]
    expected = patches.patch.apart([3, 11], 1)
    xr.testing.assert_equal(again.patch.apart([3, 11], 1), expected)
    xr.testing.assert_equal(patches.patch.apart(again.isel(patch=[3, 11]), 1), expected)


def test_the_values_of_patches_of_files_are_no_labels(tmp_path):
    patches = boxes().astype(int)
    patches.to_netcdf(tmp_path / "p.nc")
    again = xr.load_dataset(tmp_path / "p.nc")["t"]
    xr.testing.assert_equal(
        patches.patch.apart(again.isel(patch=[0])), patches.patch.apart(patches.isel(patch=[0]))
    )


def test_a_single_patch_is_one_of_them():
    patches = boxes().astype(int)
    xr.testing.assert_equal(patches.patch.apart(patches.isel(patch=0)), patches.patch.apart([0]))


@pytest.mark.parametrize("geometry", [xpatch.KNNGraph(4), xpatch.SphericalCap(2000.0)], ids=str)
def test_stations_that_were_read_back_do_not_forget_a_buffer(tmp_path, geometry):
    patches = stations().patch.split(geometry=geometry)
    patches.to_netcdf(tmp_path / "p.nc")
    again = xr.load_dataset(tmp_path / "p.nc")["t"]
    xr.testing.assert_equal(again.patch.apart([0]), patches.patch.apart([0]))
    with pytest.raises(ValueError, match="read from a file do not know where"):
        again.patch.apart([0], 4000.0)


@pytest.mark.parametrize(
    ("test", "buffer", "error", "message"),
    [
        (np.ones(3, bool), 0, ValueError, r"test has shape \(3,\), and there are 25"),
        ([99], 0, KeyError, "patch 99"),
        ([0.5], 0, TypeError, "must be patches, their labels"),
        (["a"], 0, TypeError, "must be patches, their labels"),
        ([0], "3D", TypeError, "buffer must be a number"),
        ([0], True, TypeError, "buffer must be a number"),
        ([0], {"x": True}, TypeError, "must be a number"),
        ([0], {"x": "3D"}, TypeError, "along 'x' must be a number"),
        ([0], -1, ValueError, "must be a number ≥ 0, got -1"),
        ([0], {"y": -0.5}, ValueError, "along 'y' must be a number ≥ 0"),
        ([0], np.nan, ValueError, "≥ 0, got nan"),
        ([0], np.inf, ValueError, "≥ 0, got inf"),
        ([0], {"time": 1}, KeyError, "buffer names 'time'"),
        ([0], 2.5, ValueError, "evenly spaced"),
    ],
)
def test_wrong_arguments(test, buffer, error, message):
    with pytest.raises(error, match=message):
        boxes().patch.apart(test, buffer)


def test_wrong_tests_and_buffers_of_other_kinds():
    other = numbered(y=6, x=8).patch.split(geometry={"y": 3, "x": 3})
    with pytest.raises(ValueError, match="patches of another split"):
        boxes().patch.apart(other.isel(patch=[0]))
    with pytest.raises(ValueError, match=r"name it: buffer=\{'time': 3\}"):
        windows(xpatch.FixedLookback(3)).patch.apart([0], 3)
    with pytest.raises(TypeError, match="must be a number of steps or a duration"):
        windows(xpatch.FixedLookback(3)).patch.apart([0], {"time": 1.5})
    numbers = numbered(time=20).assign_coords(time=np.arange(20))
    with pytest.raises(ValueError, match="has no dates"):
        windows(xpatch.FixedLookback(3), field=numbers).patch.apart([0], {"time": "3D"})
    with pytest.raises(TypeError, match="must be a distance"):
        stations().patch.split(geometry=xpatch.KNNGraph(3)).patch.apart([0], {"obs": "3D"})


def test_a_mask_along_members_is_not_taken_for_patches():
    near = stations().patch.split(geometry=xpatch.KNNGraph(3))
    with pytest.raises(ValueError, match=r"along \['patch', .*'obs'\].*test\.any\('obs'\)"):
        near.patch.apart(near > 20)
