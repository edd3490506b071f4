"""Variables that lie on no cut dimension, or on those of time or of space alone, in a Dataset."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xpatch

DAYS = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
WINDOWS = xpatch.TimePatcher(xpatch.FixedLookback(10), xpatch.RegularTimeStride(10))
PHASES = xpatch.TimePatcher(xpatch.PhaseWindow("7D", "1D"), xpatch.RegularTimeStride(3))
SPACE = xpatch.Patcher({"y": 4, "x": 4})
FORECASTS = xpatch.TimePatcher(xpatch.LookbackHorizon(6, 4), xpatch.RegularTimeStride(4))


def record(chunks=None):
    """A series, and numbers and names that have nothing to do with time."""
    field = xr.Dataset(
        {"t": ("time", np.arange(60.0)), "s": ("x", [1, 2]), "name": ("x", ["a", "bc"])},
        {"time": DAYS},
    )
    return field if chunks is None else field.chunk(chunks)


def grid(chunks=None):
    """A field, an index series, a mountain, and what lies on none of the dimensions."""
    t, y, x = np.arange(60.0), np.arange(8.0), np.arange(8.0)
    field = xr.Dataset(
        {
            "a": (("time", "y", "x"), t[:, None, None] + 100 * y[:, None] + 1000 * x),
            "index": ("time", 3 * t),
            "height": (("y", "x"), 10 * y[:, None] + x),
            "levels": ("level", [1.0, 2.0]),
        },
        {"time": DAYS, "y": y, "x": x},
    )
    return field if chunks is None else field.chunk(chunks)


def stations(chunks=None):
    field = grid().isel(y=0).rename(x="id")
    lat = xr.Variable("id", np.arange(8.0))
    field = field.assign_coords(lat=lat, lon=lat).drop_vars(["y", "id"])
    return field if chunks is None else field.chunk(chunks)


TOUCHED = {
    "concat": lambda p: xr.concat(
        [p.isel(patch=slice(0, 3)), p.isel(patch=slice(3, None))], "patch", data_vars="all"
    ),
    "where": lambda p: p.where(p["patch"] >= 0),
    "where some": lambda p: xr.where(p["patch"] == 1, np.nan, p[["t", "s"]]),
    "groupby": lambda p: p.groupby("patch").map(lambda v: v),
}


@pytest.mark.parametrize("how", TOUCHED)
@pytest.mark.parametrize("chunks", [None, {"time": 20}], ids=["numpy", "dask"])
@pytest.mark.parametrize("patcher", [WINDOWS, PHASES], ids=["boxes", "lists"])
def test_what_has_no_cut_dimension_comes_back_as_it_was(patcher, chunks, how):
    patches = record(chunks).patch.split(patcher)
    merged = TOUCHED[how](patches).patch.merge()
    assert merged["s"].dims == ("x",)
    assert merged["s"].values.tolist() == [1, 2]
    assert (merged["s"].chunks is None) == (chunks is None)
    if "name" in merged:
        assert merged["name"].values.tolist() == ["a", "bc"]
    days = slice(0, 10) if how == "where some" and patcher is WINDOWS else slice(None)
    np.testing.assert_allclose(merged["t"].values[days], np.arange(60.0)[days])


def test_a_fold_leaves_it_alone():
    same = xpatch.Sequential(lambda state, window: (state, window))
    merged = record()[["t", "s"]].patch.split(WINDOWS).patch.merge(same)
    assert merged["s"].values.tolist() == [1, 2]
    tree = record()[["t", "s"]].patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
    merged = tree.patch.merge(xpatch.HierarchicalCombine(within=same))
    assert merged["s"].values.tolist() == [1, 2]
    assert merged["s"].dtype == int


def test_scales_carry_names_that_got_the_patch_dimension():
    tree = record().patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
    nodes = {n: TOUCHED["where"](node.to_dataset()) for n, node in tree.children.items()}
    merged = xr.DataTree.from_dict(nodes).patch.merge()
    assert merged["name"].values.tolist() == ["a", "bc"]
    assert merged["s"].values.tolist() == [1, 2]


@pytest.mark.parametrize("chunks", [None, {"time": 20}], ids=["numpy", "dask"])
def test_patches_that_differ_are_no_field(chunks):
    patches = record(chunks)[["t", "s"]].patch.split(WINDOWS)
    scaled = patches.map(lambda v: v * patches["patch"])
    with pytest.raises(ValueError, match=r"'s' lies on no cut dimension.*a name that the field"):
        scaled.patch.merge().compute()
    painted = scaled.rename(s="weight").patch.merge()["weight"]
    assert painted.sizes == {"x": 2, "time": 60}
    for day in range(60):  # windows of ten days, side by side
        assert painted.isel(time=day).values.tolist() == [day // 10, 2 * (day // 10)]


def test_no_patch_says_nothing():
    patches = TOUCHED["where"](record()[["t", "s"]].patch.split(WINDOWS)).isel(patch=[])
    assert bool(patches.patch.merge()["s"].isnull().all())


@pytest.mark.parametrize("chunks", [None, {"time": 20}], ids=["numpy", "dask"])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_apply_carries_it(chunks, on_error):
    def func(patches):
        if on_error == "skip" and 2 in patches["patch"]:
            raise RuntimeError("no such window")
        return patches.where(patches["patch"] >= 0)

    field = record()[["t"]] if chunks is None else record()[["t"]].chunk(chunks)
    field = field.assign(s=("x", [1, 2]))
    if on_error == "skip":
        with pytest.warns(xpatch.PatchFailure):
            merged = field.patch.apply(func, WINDOWS, on_error=on_error).compute()
    else:
        merged = field.patch.apply(func, WINDOWS).compute()
    assert merged["s"].values.tolist() == [1, 2]


@pytest.mark.parametrize("chunks", [None, {"time": 20}], ids=["numpy", "dask"])
def test_patches_in_space_carry_a_series(chunks):
    merged = TOUCHED["where"](grid(chunks).patch.split(SPACE)).patch.merge()
    np.testing.assert_array_equal(merged["index"], 3 * np.arange(60.0))
    np.testing.assert_array_equal(merged["levels"], [1, 2])


FOLDS = {
    "max": ("mean", "max"),
    "forecast": ("mean", "forecast"),
    "fold": ("mean", xpatch.Sequential(lambda state, window: (state, window))),
    "cube": xpatch.Forecast("cube"),
    "cube of pairs": ("mean", xpatch.Forecast("cube")),
}


@pytest.mark.parametrize("how", FOLDS)
@pytest.mark.parametrize("kind", ["boxes", "points"])
@pytest.mark.parametrize("chunks", [None, {"time": 20}], ids=["numpy", "dask"])
def test_time_first_keeps_what_has_only_time_or_only_space(chunks, kind, how):
    if kind == "boxes":
        field, space = grid(chunks), SPACE
    else:
        field, space = stations(chunks), xpatch.Patcher(xpatch.KNNGraph(3))
    patches = field.patch.split(xpatch.SpatioTemporalPatcher(space, FORECASTS))
    patches = patches.assign(levels=patches["levels"].where(patches["patch"] >= 0))
    merged = patches.patch.merge(FOLDS[how]).compute()
    assert list(merged.data_vars) == ["a", "index", "height", "levels"]
    np.testing.assert_allclose(merged["height"], field["height"])
    np.testing.assert_array_equal(merged["levels"], [1, 2])
    if "cube" in how:
        step = 5 + 4 * np.arange(13)[:, None] + np.arange(1, 5)  # anchors are day 5, 9 … 53
        np.testing.assert_allclose(merged["index"], 3 * step)
    else:
        first = 6 if how == "forecast" else 0
        np.testing.assert_allclose(merged["index"][first:58], 3 * np.arange(60.0)[first:58])
    assert merged["index"].ndim == (2 if "cube" in how else 1)


def test_errors_name_the_variable():
    field = record()[["t"]].assign(word=("time", np.array(["aa", "b"] * 30)))
    overlapping = xpatch.TimePatcher(xpatch.FixedLookback(10), xpatch.RegularTimeStride(5))
    patches = field.patch.split(overlapping)
    with pytest.raises(TypeError, match=r"variable 'word': values of dtype <U2 cannot be averaged"):
        patches.patch.merge()
    with pytest.raises(TypeError, match=r"variable 'word': cells that no patch covers"):
        patches.isel(patch=[0]).patch.merge("last")
    with pytest.raises(TypeError, match=r"^values of dtype <U2"):
        patches["word"].patch.merge()
