"""Patches of patches: `split(dim="inner")` of patches, and the way back split by split."""

from __future__ import annotations

import copy
import pickle

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from xarray.backends import BackendArray
from xarray.core import indexing

import xpatch
from xpatch.engine.joined import outer as outer_key

RNG = np.random.default_rng(7)


def field(**coords):
    """A field of 16 by 24 cells, with an auxiliary coordinate."""
    known = {"y": np.arange(16) * 10.0, "x": 100 + np.arange(24) * 5}
    known |= {"height": (("y", "x"), RNG.random((16, 24)), {"units": "m"}), **coords}
    return xr.DataArray(
        RNG.random((2, 16, 24)), known, ("band", "y", "x"), name="t", attrs={"units": "K"}
    )


def series(n=20):
    time = pd.date_range("2000-01-01", periods=n)
    known = {"time": time, "y": np.arange(8.0), "x": np.arange(12.0)}
    return xr.DataArray(RNG.random((n, 8, 12)), known, ("time", "y", "x"), name="t")


def stations(n=20):
    known = {"time": pd.date_range("2000-01-01", periods=n)}
    known |= {"lat": ("obs", RNG.random(12) * 10), "lon": ("obs", RNG.random(12) * 10)}
    return xr.DataArray(RNG.random((n, 12)), known, ("time", "obs"), name="t")


def check_same(found, expected):
    """Values to rounding; dims, coordinates with dtype and attributes, and attributes exactly."""
    assert found.dims == expected.dims
    assert found.attrs == expected.attrs
    assert set(found.coords) == set(expected.coords)
    for name, coord in expected.coords.items():
        own = found.coords[name]
        assert (own.dims, own.dtype) == (coord.dims, coord.dtype), name
        assert name in found.xindexes or name not in expected.xindexes
        np.testing.assert_array_equal(own.values, coord.values, err_msg=str(name))
        if name != "patch":
            assert own.attrs == coord.attrs, name
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)


@pytest.fixture
def whole():
    return field()


@pytest.fixture
def tiles(whole):
    return whole.patch.split({"y": 8, "x": 8})


@pytest.fixture
def chips(tiles):
    sampler = xpatch.RegularStride(overlap=2)
    return tiles.patch.split({"y": 4, "x": 4}, sampler=sampler, dim="inner")


# ------------------------------------------------------------------------------- what split gives


def test_patches_of_patches_are_slices_of_the_field(whole, tiles, chips):
    assert chips.dims == ("patch", "inner", "band", "y", "x")
    assert chips.shape == (6, 9, 2, 4, 4)
    for k, i in ((0, 0), (4, 5), (5, 8)):
        y, x = 8 * (k // 3) + 2 * (i // 3), 8 * (k % 3) + 2 * (i % 3)
        own = whole.isel(y=slice(y, y + 4), x=slice(x, x + 4))
        one = chips.isel(patch=k, inner=i)
        np.testing.assert_array_equal(one.values, own.values)
        for name in ("y", "x", "height"):
            np.testing.assert_array_equal(one[name].values, own[name].values)
    assert chips["y"].dims == ("patch", "inner", "y")
    assert chips["height"].dims == ("patch", "inner", "y", "x")
    assert chips["x"].dtype == whole["x"].dtype
    assert chips["start_y_inner"].values.tolist() == [0, 0, 0, 2, 2, 2, 4, 4, 4]


def test_a_field_is_cut_twice_in_one_expression(whole):
    once = whole.patch.split({"y": 8, "x": 8}).patch.split({"y": 4, "x": 2}, dim="inner")
    assert dict(once.sizes) == {"patch": 6, "inner": 8, "band": 2, "y": 4, "x": 2}
    check_same(once.patch.merge().patch.merge(), whole)


def test_merge_gives_the_patches_and_then_the_field(whole, tiles, chips):
    back = chips.patch.merge()
    check_same(back, tiles)
    assert back.patch.spec == tiles.patch.spec
    assert back["patch"].attrs == tiles["patch"].attrs
    check_same(back.patch.merge(), whole)
    check_same(chips.patch.merge(like=tiles), tiles)


def test_three_levels(whole, tiles, chips):
    bits = chips.patch.split({"y": 2, "x": 2}, dim="third")
    assert bits.dims == ("patch", "inner", "third", "band", "y", "x")
    check_same(bits.patch.merge(), chips)
    check_same(bits.patch.merge().patch.merge().patch.merge(), whole)
    some = {"patch": [2, 0], "inner": [8, 1, 0, 2, 3, 4, 5, 6, 7]}
    mixed = bits.isel(some).isel(third=[3, 1, 0, 2])
    check_same(mixed.patch.merge(), chips.isel(some))
    check_same(mixed.patch.merge().patch.merge(), tiles.isel(patch=[2, 0]))
    assert chips.patch.split({"y": 20.0}, dim="third").sizes["y"] == 2  # in units of the labels


BOUNDARIES = st.sampled_from(["shift", "drop", "pad"])


@st.composite
def boxes(draw, sizes):
    """A geometry and a sampler of boxes on so many cells."""
    size = {d: draw(st.integers(1, n)) for d, n in sizes.items()}
    boundary = {d: draw(BOUNDARIES) for d in sizes}
    step = {d: draw(st.integers(1, n)) for d, n in size.items()}
    geometry = xpatch.Rectangular(size, boundary=boundary)
    if draw(st.booleans()):
        return geometry, xpatch.RegularStride(step)
    return geometry, xpatch.Random(draw(st.integers(1, 6)), draw(st.integers(0, 99)), replace=True)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_is_cut_comes_back(data):
    whole = field().isel(y=slice(0, data.draw(st.integers(3, 9))), x=slice(0, 7), band=[0])
    first = data.draw(boxes({d: whole.sizes[d] for d in ("y", "x")}))
    analysis = data.draw(st.sampled_from([None, "hann"]))
    tiles = whole.patch.split(*[first[0]], sampler=first[1], window=analysis)
    second = data.draw(boxes({d: tiles.sizes[d] for d in ("y", "x")}))
    window = data.draw(st.sampled_from([None, "hann"]))
    chips = tiles.patch.split(second[0], sampler=second[1], window=window, dim="inner")
    rows = data.draw(st.lists(st.integers(0, tiles.sizes["patch"] - 1), min_size=1, max_size=5))
    order = data.draw(st.permutations(range(chips.sizes["inner"])))
    expected = tiles.isel(patch=rows)
    back = chips.isel(patch=rows, inner=order).patch.merge()
    # cells along in-patch dimensions that a patch holds, counted by hand
    cover = np.zeros([tiles.sizes[d] for d in ("y", "x")], int)
    starts = [chips[f"start_{d}_inner"].values for d in ("y", "x")]
    for y, x in zip(*starts, strict=True):
        cover[max(y, 0) : y + chips.sizes["y"], max(x, 0) : x + chips.sizes["x"]] += 1
    seen = back.transpose(..., "y", "x").values
    known = expected.transpose(..., "y", "x").values
    np.testing.assert_allclose(seen[..., cover > 0], known[..., cover > 0], rtol=1e-9, atol=1e-12)
    assert np.isnan(seen[..., cover == 0]).all()
    for name in ("y", "x", "height"):
        np.testing.assert_array_equal(back[name].values, expected[name].values)
    if (cover > 0).all():
        xr.testing.assert_allclose(back.patch.merge(), expected.patch.merge(), atol=1e-12)


@pytest.mark.parametrize(
    "sampler",
    [
        xpatch.JitteredStride(2, 1.0, 3),
        xpatch.Random(20, 3),
        xpatch.Explicit([[0, 0], [4, 4], [1, 3]]),
        xpatch.PoissonDisk(2.0, 1),
    ],
    ids=repr,
)
def test_samplers_go_by_cells(tiles, sampler):
    chips = tiles.patch.split({"y": 4, "x": 4}, sampler=sampler, dim="inner")
    back = chips.patch.merge()
    known = back.notnull().values
    assert known.any()
    np.testing.assert_allclose(back.values[known], tiles.values[known])
    np.testing.assert_array_equal(back["y"].values, tiles["y"].values)


def test_sizes_in_units_of_the_labels(tiles):
    chips = tiles.patch.split({"y": 40.0, "x": 20.0}, dim="inner")
    assert (chips.sizes["y"], chips.sizes["x"]) == (4, 4)
    thinned = tiles.isel(y=slice(None, None, 2))  # whose steps are 20
    with pytest.raises(ValueError, match="no evenly spaced numeric coordinate"):
        thinned.patch.split({"y": 40.0}, dim="inner")
    uneven = field(y=np.arange(16.0) ** 2).patch.split({"y": 8})
    with pytest.raises(ValueError, match="no evenly spaced numeric coordinate"):
        uneven.patch.split({"y": 8.0}, dim="inner")


def test_one_size_is_that_of_dimensions_in_space():
    plain = xr.DataArray(np.arange(64.0).reshape(8, 8), dims=("row", "column"))
    chips = plain.patch.split(4).patch.split(2, dim="inner")
    assert dict(chips.sizes) == {"patch": 4, "inner": 4, "row": 2, "column": 2}
    assert chips[3, 1].values.tolist() == [[38, 39], [46, 47]]
    xr.testing.assert_identical(chips.patch.merge().patch.merge(), plain)


# ------------------------------------------------------------------------- between split and merge


def test_patches_are_selected_shuffled_repeated(whole, tiles, chips):
    mixed = chips.isel(patch=[3, 1, 5, 0], inner=RNG.permutation(9))
    check_same(mixed.patch.merge(), tiles.isel(patch=[3, 1, 5, 0]))
    check_same(mixed.sortby("patch").patch.merge(), tiles.isel(patch=[0, 1, 3, 5]))
    check_same(chips.isel(patch=[1, 1, 2]).patch.merge(), tiles.isel(patch=[1, 1, 2]))
    check_same(chips.isel(inner=[0, 0, *range(1, 9)]).patch.merge(), tiles)
    check_same(chips.isel(patch=3).patch.merge(), tiles.isel(patch=3))
    repeated = tiles.isel(patch=[0, 0, 2])
    again = repeated.patch.split({"y": 4, "x": 4}, dim="inner")
    check_same(again.patch.merge(), repeated)
    check_same(chips.transpose("inner", "x", "patch", "band", "y").patch.merge(), tiles)
    kept = chips.where(chips["patch"] > 2, drop=True)
    check_same(kept.patch.merge(), tiles.isel(patch=[3, 4, 5]))


def test_what_no_inner_patch_covers_is_missing_and_labels_stay(tiles, chips):
    back = chips.isel(inner=[0, 8]).patch.merge()
    assert int(back.isel(patch=0, band=0).isnull().sum()) == 64 - 32
    np.testing.assert_array_equal(back["height"].values, tiles["height"].values)
    assert back.patch.merge().sizes == {"band": 2, "y": 16, "x": 24}


def test_parts_are_put_together(whole, tiles, chips):
    by_tile = xr.concat([chips.isel(patch=[0, 1]), chips.isel(patch=[2, 3])], "patch")
    check_same(by_tile.patch.merge(), tiles.isel(patch=range(4)))
    by_chip = xr.concat(
        [chips.isel(inner=[3, 4]), chips.isel(inner=[0, 1, 2, 5, 6, 7, 8])], "inner"
    )
    check_same(by_chip.patch.merge(), tiles)
    each = [
        tiles.isel(patch=k).patch.split({"y": 4, "x": 4}, dim="inner") for k in ([0, 1], [2, 3])
    ]
    check_same(xr.concat(each, "patch").patch.merge(), tiles.isel(patch=range(4)))
    groups = [one.patch.merge() for _, one in chips.groupby("patch")]
    check_same(xr.concat(groups, "patch"), tiles)


def test_patches_align_by_both_numbers(whole, tiles, chips):
    total = chips.isel(patch=[0, 1, 2]) + chips.isel(patch=[2, 1], inner=[4, 3])
    assert (total.sizes["patch"], total.sizes["inner"]) == (2, 2)
    np.testing.assert_array_equal(
        total.sel(patch=1, inner=3).values, 2 * chips.values[1, 3], strict=True
    )
    moved = whole.assign_coords(x=whole.x + 1000).patch.split({"y": 8, "x": 8})
    other = moved.patch.split(
        {"y": 4, "x": 4}, sampler=xpatch.RegularStride(overlap=2), dim="inner"
    )
    with pytest.raises(ValueError, match="the anchors along 'patch' differ"):
        chips - other


def test_models_reduce_crop_add_and_refine(whole, tiles, chips):
    one = chips.patch.split({"y": 2, "x": 2}, dim="third").mean(("y", "x"))
    painted = one.patch.merge("mean")
    assert painted.sizes == chips.sizes
    blocks = chips.values.reshape(6, 9, 2, 2, 2, 2, 2).mean((4, 6))
    np.testing.assert_allclose(painted.values, blocks.repeat(2, 3).repeat(2, 4))

    side = tiles.patch.split({"y": 4, "x": 4}, sampler=xpatch.RegularStride(2), dim="inner")
    cropped = side.patch.crop(y=1, x=1).patch.merge()
    assert cropped.sizes == tiles.sizes
    within = {"y": slice(1, -1), "x": slice(1, -1)}
    np.testing.assert_allclose(cropped.isel(within), tiles.isel(within))
    assert bool(cropped.isel(y=0).isnull().all())

    channels = chips.expand_dims(channel=3, axis=-1) * xr.DataArray([1, 2, 3], dims="channel")
    merged = channels.patch.merge().patch.merge()
    assert merged.dims == ("band", "y", "x", "channel")
    np.testing.assert_allclose(merged.isel(channel=2), 3 * whole)

    finer = chips.drop_vars(["y", "x", "height"]).isel(
        y=np.repeat(range(4), 2), x=np.repeat(range(4), 2)
    )
    fine = finer.patch.merge(scale=2)
    np.testing.assert_allclose(fine["y"].values[0, :3], [-2.5, 2.5, 7.5])
    np.testing.assert_allclose(
        fine.patch.merge(scale=2), whole.values.repeat(2, 1).repeat(2, 2), rtol=1e-12
    )


def test_patches_that_were_cropped_are_split_again(tiles):
    inside = tiles.patch.crop(y=1)
    chips = inside.patch.split({"y": 30.0, "x": 4}, dim="inner")
    assert chips.sizes["y"] == 3
    check_same(chips.patch.merge(), inside)
    xr.testing.assert_allclose(chips.patch.merge().patch.merge(), inside.patch.merge())


def test_windows(tiles):
    sampler = xpatch.RegularStride(2)
    tapered = tiles.patch.split({"y": 4, "x": 4}, sampler=sampler, window="hann", dim="inner")
    np.testing.assert_allclose(
        tapered.values / tiles.patch.split({"y": 4, "x": 4}, sampler=sampler, dim="inner").values,
        np.broadcast_to(tapered.patch.weights.values[:, None], tapered.shape),
    )
    check_same(tapered.patch.merge(), tiles)
    chips = tiles.patch.split({"y": 4, "x": 4}, sampler=sampler, dim="inner")
    check_same(chips.patch.merge(xpatch.OverlapAdd(xpatch.Hann())), tiles)


def test_datasets_with_carried_variables(whole):
    ds = xr.Dataset({"t": whole, "row": ("y", np.arange(16)), "weight": ("band", [1.0, 2.0])})
    tiles = ds.patch.split({"y": 8, "x": 8})
    tiles["score"] = "patch", np.arange(6.0)
    chips = tiles.patch.split({"y": 4, "x": 4}, dim="inner")
    assert {n: v.dims for n, v in chips.items()} == {
        "t": ("patch", "inner", "band", "y", "x"),
        "row": ("patch", "inner", "y"),
        "weight": ("band",),
        "score": ("patch",),
    }
    back = chips.patch.merge()
    xr.testing.assert_allclose(back, tiles)
    xr.testing.assert_allclose(back.drop_vars("score").patch.merge(), ds)


def test_bounds_and_integers_keep_what_they_are(whole):
    y = np.arange(16)
    ds = xr.Dataset(
        {"n": (("y", "x"), np.arange(16 * 24, dtype="i2").reshape(16, 24))},
        {
            "y": ("y", y, {"bounds": "y_bnds"}),
            "y_bnds": (("y", "bnds"), np.stack([y, y + 1], -1)),
        },
    )
    tiles = ds.patch.split({"y": 8, "x": 8})
    for boundary in ("shift", "pad"):
        geometry = xpatch.Rectangular(y=5, x=5, boundary=boundary)
        back = tiles.patch.split(geometry, dim="inner").patch.merge()
        assert back["n"].dtype == np.int16 or boundary == "pad" or not tiles.n.isnull().any()
        for name in ("y", "y_bnds"):
            xr.testing.assert_identical(back[name].compute(), tiles[name].compute())
    xr.testing.assert_equal(tiles.patch.split({"y": 4, "x": 4}, dim="inner").patch.merge(), tiles)


def test_renamed_copied_and_pickled(whole, tiles, chips):
    renamed = chips.rename(patch="tile", inner="chip", y="row")
    check_same(renamed.patch.merge().rename(tile="patch", row="y"), tiles)
    check_same(renamed.patch.merge().patch.merge(), whole.rename(y="row"))
    check_same(pickle.loads(pickle.dumps(chips)).patch.merge(), tiles)
    check_same(copy.deepcopy(chips).patch.merge().patch.merge(), whole)


# ---------------------------------------------------------------------------------- space and time


@pytest.mark.parametrize("length", ["5D", 5], ids=str)
def test_windows_in_time_in_boxes(length):
    whole = series()
    tiles = whole.patch.split({"y": 4, "x": 4})
    weeks = tiles.patch.split(xpatch.FixedLookback(length), dim="inner")
    assert dict(weeks.sizes) == {"patch": 6, "inner": 16, "time": 5, "y": 4, "x": 4}
    assert weeks["time"].dims == ("inner", "time")  # the same in all boxes
    np.testing.assert_array_equal(
        weeks.sel(patch=4, inner=2).values, whole.values[2:7, 4:8, 4:8], strict=True
    )
    check_same(weeks.patch.merge(), tiles)
    alone = weeks.patch.merge(dim="patch")
    xr.testing.assert_allclose(alone, whole.patch.split(xpatch.FixedLookback(length), dim="inner"))
    check_same(alone.patch.merge(), whole)


def test_months_of_a_calendar_in_boxes():
    dates = xr.date_range("2000-01-01", periods=90, calendar="360_day", use_cftime=True)
    whole = series(90).assign_coords(time=dates)
    tiles = whole.patch.split({"y": 4, "x": 4})
    months = tiles.patch.split(xpatch.FixedLookback("30D"), dim="inner")
    assert months.sizes["time"] == 30
    check_same(months.patch.merge(), tiles)


def test_boxes_in_windows_in_time():
    whole = series()
    weeks = whole.patch.split(xpatch.FixedLookback(6))
    tiles = weeks.patch.split({"y": 4, "x": 4}, dim="inner")
    np.testing.assert_array_equal(
        tiles.isel(patch=3, inner=4).values, whole.values[3:9, 4:8, 4:8], strict=True
    )
    assert tiles["y"].dims == ("inner", "y")
    check_same(tiles.patch.merge(), weeks)
    first = tiles.patch.merge(dim="patch")
    assert first.dims == ("inner", "time", "y", "x")
    check_same(first.patch.merge(), whole)


def test_windows_in_windows_go_by_steps():
    whole = series()
    weeks = whole.patch.split(xpatch.FixedLookback(6))
    days = weeks.patch.split(xpatch.FixedLookback(3), dim="inner")
    np.testing.assert_array_equal(
        days.isel(patch=2, inner=1).values, whole.values[3:6], strict=True
    )
    check_same(days.patch.merge(), weeks)
    check_same(days.patch.merge().patch.merge(), whole)
    with pytest.raises(ValueError, match="windows along it are counted in steps") as error:
        weeks.patch.split(xpatch.FixedLookback("3D"), dim="inner")
    assert "along ['time'] have no labels in common" in error.value.__notes__[0]


def test_past_and_future_of_windows_in_boxes():
    tiles = series().patch.split({"y": 4, "x": 4})
    pairs = tiles.patch.split(xpatch.LookbackHorizon("3D", "2D"), dim="inner")
    assert (pairs.patch.lookback.sizes["time"], pairs.patch.horizon.sizes["time"]) == (3, 2)
    merged = pairs.patch.horizon.patch.merge(xpatch.Forecast(select="mean"))
    inner = {"time": slice(4, -1)}
    xr.testing.assert_allclose(merged.isel(inner), tiles.isel(inner))


def test_boxes_and_windows_in_boxes():
    tiles = series().patch.split({"y": 4, "x": 4})
    geometry = [xpatch.Rectangular(y=2, x=2), xpatch.FixedLookback("5D")]
    both = tiles.patch.split(geometry=geometry, dim="inner")
    check_same(both.patch.merge(), tiles)
    cubes = series().patch.split(geometry=[xpatch.Rectangular(y=4, x=4), xpatch.FixedLookback(5)])
    check_same(cubes.patch.split({"y": 2, "x": 2}, dim="inner").patch.merge(), cubes)


def test_scales_in_boxes():
    tiles = series().patch.split({"y": 4, "x": 4})
    tree = tiles.patch.split(xpatch.MultiScale(["2D", "4D"]), dim="inner")
    merged = tree.patch.merge()
    assert merged.sizes == tiles.sizes
    np.testing.assert_array_equal(merged["y"].values, tiles["y"].values)


# ----------------------------------------------------------------------------- lists of members


def test_time_is_cut_in_lists_of_members():
    time = pd.date_range("2000-01-01", periods=6)
    known = {"time": time, "lat": np.arange(-85, 90, 10.0), "lon": np.arange(0, 360, 10.0)}
    whole = xr.DataArray(RNG.random((6, 18, 36)), known, ("time", "lat", "lon"), name="t")
    caps = whole.patch.split(xpatch.SphericalCap(2500), sampler=xpatch.FibonacciSphere(20))
    for inner in ({"time": 3}, xpatch.FixedLookback("2D")):
        parts = caps.patch.split(inner, dim="inner")
        np.testing.assert_array_equal(
            parts.isel(patch=7, inner=1).values,
            caps.values[7, slice(3, 6) if isinstance(inner, dict) else slice(1, 3)],
        )
        check_same(parts.patch.merge(), caps)
        xr.testing.assert_allclose(parts.patch.merge().patch.merge(), caps.patch.merge())
        xr.testing.assert_allclose(parts.patch.merge(dim="patch").patch.merge(), caps.patch.merge())
    with pytest.raises(ValueError, match="'cell' is a list of members, which have no order"):
        caps.patch.split({"cell": 3}, dim="inner")


def test_places_that_are_the_same_for_all_patches():
    whole = stations()
    weeks = whole.patch.split(xpatch.FixedLookback(5))
    near = weeks.patch.split(xpatch.KNNGraph(3), dim="inner")
    assert near.dims == ("patch", "inner", "time", "obs")
    alone = whole.patch.split(xpatch.KNNGraph(3))
    np.testing.assert_array_equal(near["obs"].values, alone["obs"].values)
    np.testing.assert_allclose(near.patch.distance.values, alone.patch.distance.values)
    np.testing.assert_array_equal(near.values[4], alone.values[:, 4:9])
    check_same(near.patch.merge(), weeks)
    check_same(near.patch.merge(dim="patch").patch.merge(), whole)


def test_places_that_differ_are_refused(tiles):
    out = r"patches\.patch\[k\]\.patch\.split"
    for geometry in (xpatch.SphericalCap(100), xpatch.KNNGraph(3), xpatch.RadiusGraph(3.0)):
        with pytest.raises(ValueError, match=rf"\['y', 'x'\] lie elsewhere in each patch.*{out}"):
            tiles.patch.split(geometry, dim="inner")
    near = stations().patch.split(xpatch.KNNGraph(4))
    with pytest.raises(ValueError, match=r"\['obs'\] lie elsewhere in each patch"):
        near.patch.split(xpatch.KNNGraph(3), dim="inner")
    with pytest.raises(ValueError, match="'obs' is a list of members"):
        near.patch.split({"obs": 2}, dim="inner")
    check_same(near.patch.split(xpatch.FixedLookback("5D"), dim="inner").patch.merge(), near)


def test_one_patch_is_split_as_a_field(whole, tiles):
    chips = tiles.patch[4].patch.split({"y": 4, "x": 4}, dim="inner")
    assert chips.patch.places["y"].values.tolist() == [95, 95, 135, 135]
    np.testing.assert_allclose(chips.patch.merge(), tiles.isel(patch=4))


# -------------------------------------------------------------------------------- several scenes


def test_scenes_are_split_again(tmp_path):
    west, east = field(), field(x=1000 + np.arange(24) * 5)
    sets = [f.patch.split({"y": 8, "x": 8}) for f in (west, east)]
    both = xpatch.concat(sets, ["west", "east"])
    chips = both.patch.split({"y": 4, "x": 4}, dim="inner")
    check_same(chips.patch.merge(), both)
    mixed = chips.isel(patch=RNG.permutation(12)).patch.merge()
    check_same(mixed.isel(patch=(mixed["scene"] == "east").values).patch.merge(), east)
    chips.to_netcdf(tmp_path / "chips.nc")
    read = xr.open_dataset(tmp_path / "chips.nc")["t"].patch.merge()
    xr.testing.assert_allclose(
        read.isel(patch=(read["scene"] == "west").values).patch.merge(), west
    )
    with pytest.raises(ValueError, match="set 0 of concat has patches of patches"):
        xpatch.concat([chips, chips])


def test_a_chip_of_a_tile_is_georeferenced():
    pytest.importorskip("rioxarray")
    known = {"y": 155.0 - 10 * np.arange(16), "x": 5 + 10.0 * np.arange(24)}
    whole = xr.DataArray(RNG.random((16, 24)), known, ("y", "x"), name="t").rio.write_crs(32633)
    whole = whole.rio.write_transform()
    tiles = whole.patch.split({"y": 8, "x": 8})
    chips = tiles.patch.split({"y": 4, "x": 4}, dim="inner")
    chip = chips.isel(patch=4).patch[3]
    own = whole.isel(y=slice(12, 16), x=slice(12, 16))
    assert chip.rio.bounds() == own.rio.bounds() == (120, 0, 160, 40)
    assert chip.rio.crs.to_epsg() == 32633
    assert chips.patch.merge().patch[4].rio.bounds() == tiles.patch[4].rio.bounds()
    xr.testing.assert_identical(chips.patch.merge().patch.merge().compute(), whole)
    bare = whole.drop_vars(["y", "x"])  # placed by its affine
    cut = bare.patch.split({"y": 8, "x": 8}).patch.split({"y": 4, "x": 4}, dim="inner")
    xr.testing.assert_identical(cut.patch.merge().patch.merge().compute(), bare)


# --------------------------------------------------------------------------------- dask and disk


def test_dask_stays_dask(whole):
    lazy = whole.chunk(y=8, x=8)
    tiles = lazy.patch.split({"y": 8, "x": 8})
    chips = tiles.patch.split({"y": 4, "x": 4}, dim="inner")
    assert chips.chunksizes["patch"] == tiles.chunksizes["patch"] == (1,) * 6
    merged = (chips.map_blocks(lambda p: p * 2, template=chips)).patch.merge()
    assert merged.chunks is not None
    assert merged.chunksizes["patch"] == tiles.chunksizes["patch"]
    field_again = merged.patch.merge()
    assert field_again.chunks is not None
    np.testing.assert_allclose(field_again.values, 2 * whole.values)
    # one chip needs one chunk of the field
    one = chips.isel(patch=4, inner=1).data
    read = [
        k for k in one.__dask_graph__().cull(one.__dask_keys__()) if str(k[0]) == lazy.data.name
    ]
    assert len(read) == 1


class Counted(BackendArray):
    """An array on disk that counts the cells that are read."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.reads = []

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key):
        found = outer_key(self.values, key)
        self.reads.append(found.size)
        return found


def test_data_on_disk_are_read_where_they_are_needed():
    disk = Counted(RNG.random((2, 64, 64)))
    variable = xr.Variable(("band", "y", "x"), indexing.LazilyIndexedArray(disk))
    whole = xr.DataArray(variable, {"y": np.arange(64.0), "x": np.arange(64.0)}, name="t")
    tiles = whole.patch.split({"y": 16, "x": 16})
    chips = tiles.patch.split({"y": 4, "x": 4}, dim="inner")
    one = chips.isel(patch=5, inner=3)
    turned = chips.transpose("inner", "band", ...)
    assert disk.reads == []

    one.load()
    assert disk.reads == [2 * 16 * 16]  # its tile
    np.testing.assert_array_equal(one.values, disk.values[:, 16:20, 28:32])

    disk.reads.clear()
    few = chips.isel(patch=[5, 0], inner=[3, 2], band=1).load()
    assert sum(disk.reads) == 32 * 32  # the region around both tiles, of one band
    np.testing.assert_array_equal(few.values[1, 1], disk.values[1, 0:4, 8:12])

    bits = chips.patch.split({"y": 2}, dim="third")
    disk.reads.clear()
    bit = bits.isel(patch=5, inner=3, third=1).load()
    assert disk.reads == [2 * 16 * 16]
    np.testing.assert_array_equal(bit.values, disk.values[:, 18:20, 28:32])
    np.testing.assert_array_equal(
        turned.isel(inner=3, patch=5).values.transpose(0, 1, 2), disk.values[:, 16:20, 28:32]
    )

    disk.reads.clear()
    batches = list(chips.patch.batches(5))
    assert sum(disk.reads) <= 2 * disk.values.size
    check_same(xr.concat(batches, "inner").patch.merge(), tiles.compute())


def test_dimensions_that_are_carried_are_read_in_part():
    disk = Counted(RNG.random((30, 16, 16)))
    variable = xr.Variable(("time", "y", "x"), indexing.LazilyIndexedArray(disk))
    tiles = xr.DataArray(variable).patch.split({"y": 8, "x": 8})
    for key in (4, slice(3, 9, 2), [7, 1, 1], slice(9, 3, -1), [], -1):
        disk.reads.clear()
        found = tiles.isel(patch=2, time=key, x=slice(2, 5)).values
        np.testing.assert_array_equal(found, disk.values[:, 8:, :8][key][..., 2:5])
        steps = np.unique(np.arange(30)[key]).size
        assert sum(disk.reads) == 64 * (steps or 30)


# ------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("some", [{}, {"patch": [3, 1]}, {"inner": [0, 2, 5]}, {"patch": [2]}])
@pytest.mark.parametrize("kind", ["nc", "zarr"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_files(tmp_path, chips, some, kind):
    chosen, path = chips.isel(some), tmp_path / f"chips.{kind}"
    if kind == "nc":
        chosen.to_netcdf(path)
        read = xr.open_dataset(path)["t"]
    else:
        chosen.to_zarr(path)
        read = xr.open_zarr(path)["t"]
    back, known = read.patch.merge(), chosen.patch.merge()
    assert back.dims == known.dims
    assert set(back.coords) == set(known.coords)
    np.testing.assert_allclose(back.values, known.values)
    held = ~np.isnan(back["y"].values)  # a file knows labels of what patches hold
    np.testing.assert_array_equal(back["y"].values[held], known["y"].values[held])
    assert held.all() or "inner" in some
    again, expected = back.patch.merge(), known.patch.merge()
    np.testing.assert_allclose(again.values, expected.values)
    np.testing.assert_array_equal(again["y"].values, expected["y"].values)
    assert again["x"].dtype == expected["x"].dtype


def test_files_of_three_levels_and_of_one_tile(tmp_path, whole, tiles, chips):
    bits = chips.patch.split({"y": 2, "x": 2}, dim="third")
    bits.to_netcdf(tmp_path / "bits.nc")
    read = xr.open_dataset(tmp_path / "bits.nc")["t"]
    xr.testing.assert_allclose(read.patch.merge().patch.merge().patch.merge(), whole)
    chips.to_netcdf(tmp_path / "chips.nc")
    one = xr.open_dataset(tmp_path / "chips.nc")["t"].isel(patch=2)
    xr.testing.assert_allclose(one.patch.merge(), tiles.isel(patch=2))
    tiles.to_netcdf(tmp_path / "tiles.nc")
    again = xr.open_dataset(tmp_path / "tiles.nc")["t"].patch.split(
        {"y": 40.0, "x": 4}, dim="inner"
    )
    assert again.sizes["y"] == 4
    xr.testing.assert_allclose(again.patch.merge().patch.merge(), whole)


def test_files_of_windows_in_boxes_and_of_lists(tmp_path):
    whole = series()
    weeks = whole.patch.split({"y": 4, "x": 4}).patch.split(xpatch.FixedLookback(5), dim="inner")
    weeks.to_netcdf(tmp_path / "weeks.nc")
    read = xr.open_dataset(tmp_path / "weeks.nc")["t"]
    xr.testing.assert_allclose(read.patch.merge().patch.merge(), whole)
    xr.testing.assert_allclose(read.patch.merge(dim="patch").patch.merge(), whole)
    near, days = xpatch.KNNGraph(3), xpatch.FixedLookback(5)
    for k, (first, second) in enumerate(((near, days), (days, near))):
        whole = stations()
        both = whole.patch.split(first).patch.split(second, dim="inner")
        both.to_netcdf(tmp_path / f"{k}.nc")
        read = xr.open_dataset(tmp_path / f"{k}.nc")["t"]
        xr.testing.assert_allclose(read.patch.merge().patch.merge(), whole)


# ----------------------------------------------------------------------------------------- which


def test_merge_names_a_split(whole, tiles, chips):
    check_same(tiles.patch.merge(dim="patch"), whole)
    check_same(xpatch.merge(chips, dim="inner"), tiles)
    with pytest.raises(KeyError, match=r"names no split of these patches.*\['patch', 'inner'\]"):
        chips.patch.merge(dim="chip")
    with pytest.raises(KeyError, match=r"names no split of these patches.*\['patch'\]"):
        tiles.patch.merge(dim="chip")
    with pytest.raises(ValueError, match="merge 'inner' first"):
        chips.patch.merge(dim="patch")


def test_an_earlier_split_of_files_is_in_pieces_too(tmp_path, chips):
    chips.to_netcdf(tmp_path / "chips.nc")
    with pytest.raises(ValueError, match="merge 'inner' first"):
        xr.open_dataset(tmp_path / "chips.nc")["t"].patch.merge(dim="patch")


def test_the_last_split_is_told_by_what_it_knows(tiles, chips):
    swapped = chips.transpose("inner", ..., "patch")
    assert swapped.dims[0] == "inner"
    assert repr(swapped.patch).startswith("<9 of 9 patches (y: 4 of 8, x: 4 of 8)>")
    assert "in each of 6 along patch" in repr(swapped.patch)
    check_same(swapped.patch.merge(), tiles)


def test_properties_are_those_of_the_last_split(tiles, chips):
    assert chips.patch.anchors["y"].values.tolist() == [2, 2, 2, 4, 4, 4, 6, 6, 6]
    assert chips.patch.mask.dims == chips.patch.weights.dims == ("inner", "y", "x")
    count = chips.patch.coverage
    assert count.dims == ("inner", "y", "x")
    assert count[4].values.tolist() == [[4, 4, 4, 4]] * 4
    assert chips.patch.spec["geometry"]["size"]["items"] == [["y", 4], ["x", 4]]
    assert [b.sizes["inner"] for b in chips.patch.batches(5)] == [5, 4]
    shuffled = xr.concat(list(chips.patch.batches(2, shuffle=True, seed=1)), "inner")
    check_same(shuffled.patch.merge(), tiles)
    assert chips.patch.quantile(0.5, "y").dims == ("patch", "inner", "band", "x")


def test_places_in_patches_are_refused(chips):
    for ask in (
        lambda: chips.patch.places,
        lambda: chips.patch.offsets,
        lambda: chips.patch.footprints(),
        lambda: chips.patch.plot(),
    ):
        with pytest.raises(ValueError, match="lie elsewhere in each patch along 'patch'"):
            ask()
    with pytest.raises(ValueError, match="ask the patches before they are split again"):
        chips.patch.apart([0])
    with pytest.raises(ValueError, match=r"patches\.isel\(patch=0\)\.patch\[2\]"):
        chips.patch[2]


def test_matrices_and_bare_arrays_become_patches_of_patches(chips):
    matrix = chips.patch.flatten()
    assert matrix.shape == (54, 32)
    np.testing.assert_array_equal(matrix.values, chips.values.reshape(54, 32))
    xr.testing.assert_identical(matrix.patch.unflatten(chips).compute(), chips.compute())
    bare = xr.DataArray(np.arange(54.0).reshape(6, 9), dims=("patch", "inner"))
    merged = chips.patch.like(bare).patch.merge("max").patch.merge()
    assert merged.values[0, :3].tolist() == [0, 0, 1]
    assert merged.values[15, 23] == 53
    with pytest.raises(ValueError, match="the labels along 'patch' are not those"):
        chips.patch.like(bare.assign_coords(patch=np.arange(6)[::-1]))


def test_apply_on_patches(tiles):
    for patches in (tiles, tiles.chunk(patch=2)):
        found = xpatch.apply(patches, lambda p: p * 2, {"y": 4, "x": 4}, dim="inner")
        np.testing.assert_allclose(found.transpose(*tiles.dims), 2 * tiles)
        assert found.patch.merge().sizes["y"] == 16


def test_what_cannot_be_cut_says_so(tiles):
    with pytest.raises(ValueError, match=r"split\(…, dim='inner'\)"):
        tiles.patch.split({"y": 4, "x": 4})
    with pytest.raises(ValueError, match="'patch' counts the patches themselves"):
        tiles.patch.split({"patch": 2}, dim="inner")
    with pytest.raises(ValueError, match="a patch is no circle"):
        tiles.patch.split(xpatch.Rectangular(x=3, boundary="wrap"), dim="inner")
    with pytest.raises(ValueError, match=r"Valid would keep other patches in each patch"):
        tiles.patch.split(4, sampler=xpatch.Valid(xpatch.RegularStride(4)), dim="inner")
    with pytest.raises(ValueError, match="dimension 'y' has no coordinate; give index positions"):
        tiles.patch.split(4, sampler=xpatch.Explicit({"y": [30.0], "x": [110.0]}), dim="inner")


def test_a_dimension_that_is_carried_whole_is_periodic(whole):
    bands = whole.patch.split({"y": 8})
    around = bands.patch.split(xpatch.Rectangular(x=5, boundary="wrap"), dim="inner")
    assert around["x"].values[-1].tolist() == [200, 205, 210, 215, 220]
    check_same(around.patch.merge(), bands)


def test_models_are_fitted_to_patches_of_one_patch(tiles):
    truth = 2 * tiles + xr.DataArray(np.arange(6.0), dims="patch")
    chips = xr.Dataset({"a": tiles, "b": truth}).patch.split({"y": 4, "x": 4}, dim="inner")
    with pytest.raises(ValueError, match=r"patches\.isel\(patch=k\)\.patch\.fit"):
        chips.patch.fit(xpatch.LeastSquares(), y="b", x="a")
    own = chips.isel(patch=3).patch.fit(xpatch.LeastSquares(), y="b", x="a")
    np.testing.assert_allclose(own["coef"].values, [[3, 2]] * 4)
    assert chips.patch.fit(xpatch.LeastSquares(), y="b", x="a", over="patch")["n"] == 6 * 128


def test_what_xr_concat_put_together_is_split_again(whole, tiles):
    moved = whole.assign_coords(x=whole.x + 1000).patch.split({"y": 8, "x": 8})
    mixed = xr.concat([tiles, moved], "patch")
    chips = mixed.patch.split({"y": 4, "x": 4}, dim="inner")
    check_same(chips.patch.merge(), mixed)
    some = [7, 0]  # of which one label is that of two patches: labels come from the chips
    np.testing.assert_array_equal(
        chips.isel(patch=some).patch.merge()["x"].values, mixed["x"].values[some]
    )


def test_numbers_for_missing_values_stay(whole):
    counts = (whole * 100).astype("i2").assign_attrs(_FillValue=-1)
    tiles = counts.patch.split({"y": 8, "x": 8})
    geometry = xpatch.Rectangular(y=5, x=5, boundary="pad", pad_mode="constant")
    chips = tiles.patch.split(geometry, dim="inner")
    assert chips.dtype == np.int16
    assert bool((chips == -1).any())
    check_same(chips.patch.merge("first"), tiles)


def test_lists_of_steps_have_no_order_to_cut():
    uneven = series().isel(time=np.delete(np.arange(20), [5, 6, 13]))
    weeks = uneven.patch.split(xpatch.FixedLookback("7D"))
    with pytest.raises(ValueError, match="'time' is a list of members"):
        weeks.patch.split({"time": 3}, dim="inner")
    tiles = weeks.patch.split({"y": 4, "x": 4}, dim="inner")
    check_same(tiles.patch.merge(), weeks)
    xr.testing.assert_allclose(
        tiles.patch.merge(dim="patch").patch.merge(), weeks.patch.merge("mean")
    )


def test_coordinates_are_renamed_between(whole, tiles, chips):
    back = chips.rename(height="h").patch.merge()
    np.testing.assert_array_equal(back["h"].values, tiles["height"].values)
    assert "height" not in back.coords


def test_numbers_that_were_computed_from_those_of_patches_count_none(whole, tiles):
    members = xr.DataArray(np.arange(3), {"member": ("member", np.arange(3), tiles["patch"].attrs)})
    several = tiles.expand_dims(member=3).assign_coords(member=members["member"])
    chips = several.patch.split({"y": 4, "x": 4}, dim="inner")
    assert chips.dims[:3] == ("patch", "inner", "member")
    merged = chips.patch.merge().patch.merge()
    np.testing.assert_allclose(merged.isel(member=1), whole)


def test_some_windows_of_a_file(tmp_path):
    whole = series()
    weeks = whole.patch.split({"y": 4, "x": 4}).patch.split(xpatch.FixedLookback(5), dim="inner")
    weeks.isel(inner=[3, 9], patch=[4, 0]).to_netcdf(tmp_path / "some.nc")
    read = xr.open_dataset(tmp_path / "some.nc")["t"].patch.merge()
    known = np.isfinite(read.values[0]).all((1, 2))
    assert known.sum() == 10
    np.testing.assert_allclose(
        read.values[0][known], whole.values[[*range(3, 8), *range(9, 14)], 4:8, 4:8]
    )
