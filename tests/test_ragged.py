"""CF ragged arrays: observations are cut with the profile, trajectory or station that they are of."""

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch

CONTIGUOUS, INDEXED = "contiguous", "indexed"


def ragged(kind=CONTIGUOUS, n=9, seed=0, coordinate=False):
    """Profiles with 0 to 6 observations each, as CF writes them."""
    rng = np.random.default_rng(seed)
    size = rng.integers(0, 7, n)
    size[0], size[3] = 4, 0
    count = int(size.sum())
    of = np.repeat(np.arange(n), size)
    if kind == INDEXED:
        of = rng.permutation(of)
    time = np.datetime64("2020-01-01", "ns") + np.arange(count) * np.timedelta64(1, "h")
    ds = xr.Dataset(
        {
            "temp": ("obs", rng.normal(size=count).astype("f4"), {"units": "K"}),
            "spectrum": (("band", "obs"), rng.normal(size=(3, count))),
            "quality": ("obs", rng.integers(0, 9, count).astype("i2")),
            "depth": ("profile", rng.uniform(0, 4000, n)),
        },
        {
            "lon": ("profile", rng.uniform(-30, 30, n), {"standard_name": "longitude"}),
            "lat": ("profile", rng.uniform(-30, 30, n), {"standard_name": "latitude"}),
            "pressure": ("obs", rng.uniform(0, 1000, count)),
            "time": ("obs", time),
            "cast": ("profile", [f"c{k}" for k in range(n)], {"cf_role": "profile_id"}),
            "band": ["a", "b", "c"],
        },
        {"featureType": "profile", "title": "casts"},
    )
    if kind == CONTIGUOUS:
        ds["row_size"] = ("profile", size, {"sample_dimension": "obs", "long_name": "number"})
    else:
        ds["index"] = ("obs", of.astype("i4"), {"instance_dimension": "profile"})
    if coordinate:
        ds = ds.set_coords([n for n in ("row_size", "index") if n in ds])
    return ds, [np.flatnonzero(of == k) for k in range(n)]


def check(patches, ds, samples):
    """Each patch has the observations of its profiles, in the order of these."""
    numbers = patches["profile"].values
    for k in range(patches.sizes["patch"]):
        one = patches.isel(patch=k)
        instances = numbers[k][numbers[k] >= 0]
        want = np.concatenate([samples[i] for i in instances]).astype(int)
        there = one["obs"].values >= 0
        np.testing.assert_array_equal(one["obs"].values[there], want)
        assert there[: len(want)].all()
        assert not there[len(want) :].any()
        for name in ("temp", "quality", "pressure", "time"):
            np.testing.assert_array_equal(one[name].values[: len(want)], ds[name].values[want])
            assert pd.isnull(one[name].values[len(want) :]).all()
        np.testing.assert_array_equal(
            one["spectrum"].values[:, : len(want)], ds["spectrum"].values[:, want]
        )
        np.testing.assert_array_equal(
            one["depth"].values[: len(instances)], ds["depth"].values[instances]
        )


GEOMETRIES = {
    "knn": xpatch.KNNGraph(3),
    "one": xpatch.KNNGraph(1),
    "cap": xpatch.SphericalCap(2500),
}


@pytest.mark.parametrize("kind", [CONTIGUOUS, INDEXED])
@pytest.mark.parametrize("coordinate", [False, True])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_observations_go_with_their_profiles(kind, coordinate, name):
    ds, samples = ragged(kind, coordinate=coordinate)
    patches = ds.patch.split(geometry=GEOMETRIES[name])
    assert patches.temp.dims == ("patch", "obs")
    assert patches.spectrum.dims == ("patch", "band", "obs")
    assert patches.depth.dims == ("patch", "profile")
    assert list(patches.data_vars) == list(ds.data_vars)
    check(patches, ds, samples)
    merged = patches.patch.merge()
    assert list(merged.data_vars) == list(ds.data_vars)
    xr.testing.assert_allclose(merged, ds)
    for own in ("row_size", "index", "time", "pressure", "cast"):
        if own in ds.variables:
            xr.testing.assert_identical(merged[own].variable, ds[own].variable)
    merged.patch.split(geometry=xpatch.KNNGraph(1))  # is a ragged array again


@pytest.mark.parametrize("kind", [CONTIGUOUS, INDEXED])
def test_values_that_are_only_picked(kind):
    ds, _ = ragged(kind)
    seen = ds.time.variable.copy()
    flag = ("obs", np.array(["good", "bad"])[np.arange(ds.sizes["obs"]) % 2])
    ds = ds.drop_vars(["spectrum", "band", "quality", "depth"]).assign(seen=seen, flag=flag)
    patches = ds.patch.split(geometry=xpatch.KNNGraph(3))
    xr.testing.assert_identical(patches.patch.merge("first"), ds)


def test_counts_alone_say_what_is_cut():
    """Nothing but the number of observations lies along the profiles, and that may be a coordinate."""
    ds, samples = ragged(coordinate=True)
    ds = ds.drop_vars("depth")
    patches = ds.patch.split(geometry=xpatch.KNNGraph(2))
    one = patches.temp.isel(patch=5)
    own = np.concatenate([samples[i] for i in patches["profile"].values[5]])
    np.testing.assert_array_equal(one.values[: len(own)], ds.temp.values[own])
    xr.testing.assert_allclose(patches.patch.merge(), ds)


@pytest.mark.parametrize("kind", [CONTIGUOUS, INDEXED])
def test_boxes_of_profiles(kind):
    ds, samples = ragged(kind, n=12)
    ds = ds.drop_vars(["lon", "lat", "cast"])
    boxes = ds.patch.split(geometry={"profile": 4}, sampler=xpatch.RegularStride(profile=2))
    for k, first in enumerate([0, 2, 4, 6, 8]):
        want = np.concatenate([samples[i] for i in range(first, first + 4)])
        given = boxes.isel(patch=k)
        np.testing.assert_array_equal(given["obs"].values[: len(want)], want)
        np.testing.assert_array_equal(given.temp.values[: len(want)], ds.temp.values[want])
        assert np.isnan(given.temp.values[len(want) :]).all()
    xr.testing.assert_allclose(boxes.patch.merge(), ds)
    xr.testing.assert_allclose(boxes.patch.merge(xpatch.OverlapAdd("hann")), ds)
    wrapped = xpatch.Rectangular(profile=5, boundary="wrap")
    around = ds.patch.split(geometry=wrapped, sampler=xpatch.RegularStride(profile=3))
    xr.testing.assert_allclose(around.patch.merge(), ds)
    want = np.concatenate([samples[i % 12] for i in range(9, 14)])
    np.testing.assert_array_equal(around["obs"].values[3][: len(want)], want)


def test_profiles_of_stations():
    """Indexed profiles with contiguous observations (CF H.5.3): cut with the stations."""
    station, size = np.array([1, 0, 1, 2]), np.array([2, 3, 0, 4])
    ds = xr.Dataset(
        {
            "temp": ("obs", np.arange(9.0)),
            "when": ("profile", np.arange(4.0)),
            "height": ("station", [5.0, 6, 7]),
            "row_size": ("profile", size, {"sample_dimension": "obs"}),
            "station_index": ("profile", station, {"instance_dimension": "station"}),
        },
        {
            "lon": ("station", [0.0, 1, 50], {"standard_name": "longitude"}),
            "lat": ("station", [0.0, 0, 0], {"standard_name": "latitude"}),
        },
        {"featureType": "timeSeriesProfile"},
    )
    patches = ds.patch.split(geometry=xpatch.KNNGraph(2))
    numbers = patches["obs"].values
    assert numbers.tolist() == [[2, 3, 4, 0, 1, -1], [0, 1, 2, 3, 4, -1], [5, 6, 7, 8, 0, 1]]
    assert patches.when.values[2][:3].tolist() == [3, 0, 2]
    xr.testing.assert_identical(patches.patch.merge(), ds)


def test_positions_of_the_observations_are_cut_as_they_are():
    """Trajectories whose observations have places: these are the elements, the counts are carried."""
    ds, _ = ragged()
    ds = ds.drop_vars(["lon", "lat", "cast"])
    n = ds.sizes["obs"]
    ds = ds.assign_coords(
        lon=("obs", np.linspace(0, 9, n), {"standard_name": "longitude"}),
        lat=("obs", np.zeros(n), {"standard_name": "latitude"}),
    )
    patches = ds.patch.split(geometry=xpatch.KNNGraph(2))
    assert patches.row_size.dims == ("profile",)
    assert dict(patches.temp.sizes) == {"patch": n, "obs": 2}
    xr.testing.assert_allclose(patches.patch.merge(), ds)


def test_models_on_observations():
    ds, samples = ragged()
    patches = ds.patch.split(geometry=xpatch.KNNGraph(3))
    doubled = patches.assign(temp=patches.temp * 2).patch.merge()
    np.testing.assert_allclose(doubled.temp, ds.temp * 2, rtol=1e-6)
    alone = patches["temp"].patch.merge()
    assert alone.dims == ("obs",)
    np.testing.assert_allclose(alone, ds.temp, rtol=1e-6)
    depth = patches["depth"].patch.merge()
    np.testing.assert_allclose(depth, ds.depth)
    few = patches[["temp"]].patch.merge()
    assert dict(few.sizes) == {"obs": ds.sizes["obs"]}
    own = ds.patch.split(geometry=xpatch.KNNGraph(1))
    mean = own.mean("obs")  # one value a patch: it goes where the variable was
    want = np.concatenate([np.full(len(s), ds.temp.values[s].mean()) for s in samples if len(s)])
    np.testing.assert_allclose(mean.patch.merge().temp, want, rtol=1e-5)
    np.testing.assert_allclose(own.temp.mean("obs").patch.merge(), want, rtol=1e-5)
    channels = patches.temp.expand_dims(channel=2).patch.merge()
    assert dict(channels.sizes) == {"channel": 2, "obs": ds.sizes["obs"]}


def test_patches_in_any_order_and_number():
    ds, samples = ragged()
    patches = ds.patch.split(geometry=xpatch.KNNGraph(2))
    parts = [patches.isel(patch=[5, 7, 0]), patches.isel(patch=[1, 2, 3, 4, 6, 8])]
    xr.testing.assert_allclose(xr.concat(parts, "patch").patch.merge(), ds)
    some = patches.isel(patch=[2]).patch.merge()
    held = np.concatenate([samples[i] for i in patches["profile"].values[2]])
    assert set(np.flatnonzero(some.temp.notnull())) == set(held)
    xr.testing.assert_identical(some.row_size, ds.row_size.drop_vars([]))  # counts stay whole
    xr.testing.assert_allclose(patches.patch.merge(like=ds), ds)
    batches = xr.concat(list(patches.patch.batches(4)), "patch")
    xr.testing.assert_allclose(batches.patch.merge(), ds)
    renamed = patches.rename(obs="sample").patch.merge()
    np.testing.assert_allclose(renamed.temp, ds.temp, rtol=1e-6)


def test_windows_weigh_observations_as_their_profile():
    ds, _ = ragged(n=14)
    geometry = xpatch.SphericalCap(3000)
    tapered = ds.patch.split(geometry=geometry, window="hann")
    xr.testing.assert_allclose(tapered.patch.merge(), ds)
    patches = ds.patch.split(geometry=geometry)
    distance, far = patches["temp"].patch.distance, patches["depth"].patch.distance
    assert distance.dims == ("patch", "obs")
    for k in range(4):
        size = patches.row_size.values[k]
        size = np.nan_to_num(size).astype(int)
        want = np.repeat(far.values[k], size)
        np.testing.assert_array_equal(distance.values[k][: len(want)], want)
    assert patches["temp"].patch.mask.sum() == patches.temp.notnull().sum()
    assert patches.patch.anchors.sizes["patch"] == 14


def test_time_and_pressure_of_profiles():
    """With within=, profiles are found in space and time, and their observations come along."""
    ds, samples = ragged(n=30)
    when = np.datetime64("2020-01-01", "ns") + np.arange(30) * np.timedelta64(1, "D")
    ds = ds.assign_coords(launch=("profile", when))
    geometry = xpatch.KNNGraph(3, within={"launch": "3D"})
    patches = ds.patch.split(geometry=geometry)
    check(patches, ds, samples)
    assert np.abs(patches["profile"].values - np.arange(30)[:, None]).max() <= 3


@pytest.mark.parametrize("kind", [CONTIGUOUS, INDEXED])
@pytest.mark.parametrize("chunks", [None, {"obs": 7}, {"obs": 7, "profile": 4}])
def test_dask(kind, chunks):
    ds, samples = ragged(kind, n=20)
    lazy = ds.chunk(chunks or {})
    if chunks == {"obs": 7}:
        lazy["depth"] = ds["depth"]
    patches = lazy.patch.split(geometry=xpatch.KNNGraph(3), chunks=6)
    assert patches.temp.chunks[0] == patches.spectrum.chunks[0]
    assert max(patches.temp.chunks[0]) <= 6
    check(patches.compute(), ds, samples)
    merged = patches.patch.merge()
    assert merged.temp.chunks is not None
    xr.testing.assert_allclose(merged.compute(), ds)


@pytest.mark.parametrize("kind", [CONTIGUOUS, INDEXED])
@pytest.mark.parametrize("chunks", [None, {}])
def test_files_of_ragged_arrays(tmp_path, kind, chunks):
    ds, samples = ragged(kind)
    ds = ds.drop_vars(["cast", "band"])
    ds.to_netcdf(tmp_path / "casts.nc")
    with xr.open_dataset(tmp_path / "casts.nc", chunks=chunks) as stored:
        patches = stored.patch.split(geometry=xpatch.KNNGraph(3))
        assert not patches.temp.variable._in_memory  # nothing was read
        check(patches.compute(), ds, samples)
        xr.testing.assert_allclose(patches.patch.merge().compute(), ds)


@pytest.mark.parametrize("format", ["zarr", "netcdf"])
@pytest.mark.parametrize("kind", [CONTIGUOUS, INDEXED])
def test_patches_from_files(tmp_path, kind, format):
    ds, _ = ragged(kind)
    ds = ds.drop_vars(["cast", "band"])
    patches = ds.patch.split(geometry=xpatch.KNNGraph(3)).load()
    path = tmp_path / "patches"
    if format == "zarr":
        patches.to_zarr(path, consolidated=False)
        back = xr.open_zarr(path, consolidated=False)
    else:
        patches.to_netcdf(path)
        back = xr.open_dataset(path)
    xr.testing.assert_allclose(back.patch.merge().compute(), ds)
    xr.testing.assert_allclose(back.patch.merge(like=ds).compute(), ds)
    near = back.patch.merge(
        xpatch.OverlapAdd(xpatch.Gaussian(sigma=500.0)), like=ds
    )  # the distances are those of profiles
    xr.testing.assert_allclose(near.compute(), ds)
    np.testing.assert_allclose(back["temp"].patch.merge(), ds["temp"])
    with pytest.raises(ValueError, match="lost the coordinate 'profile'"):
        back["temp"].patch.merge(like=ds)
    profiles = back.drop_dims("obs").patch.merge()
    np.testing.assert_allclose(profiles["depth"], ds["depth"])
    other = ragged(kind, seed=0)[0]
    if kind == CONTIGUOUS:
        other["row_size"].values[[2, 3]] = other["row_size"].values[[3, 2]]
    else:
        other["index"].values[:] = other["index"].values[::-1].copy()
    with pytest.raises(ValueError, match="have other samples along 'obs'"):
        back.patch.merge(like=other)
    back.close()


def test_one_patch_alone():
    ds, _ = ragged()
    patches = ds.patch.split(geometry=xpatch.KNNGraph(2))
    kept = patches.isel(patch=[4]).patch.merge()
    assert 0 < kept["temp"].notnull().sum() < ds.sizes["obs"]
    for merged in (patches.isel(patch=4).patch.merge(), patches.isel(patch=4).patch.merge(like=ds)):
        for name in ("temp", "depth"):
            np.testing.assert_array_equal(merged[name], kept[name])


def test_profiles_without_a_place():
    ds, samples = ragged()
    ds["lon"].values[0] = np.nan
    patches = ds.patch.split(geometry=xpatch.KNNGraph(2))
    merged = patches.patch.merge()
    assert set(np.flatnonzero(merged.temp.isnull())) == set(samples[0])
    xr.testing.assert_identical(merged.row_size.variable, ds.row_size.variable)


def test_profiles_around_tiles():
    """Patches of another field at the same anchors stand in one Dataset with those of a ragged array."""
    ds, samples = ragged()
    axis = np.linspace(-30, 30, 20)
    grid = xr.DataArray(np.ones((20, 20)), {"y": axis, "x": axis}, ("y", "x"), name="sst")
    grid["y"].attrs["standard_name"], grid["x"].attrs["standard_name"] = "latitude", "longitude"
    tiles = grid.patch.split(geometry={"y": 10, "x": 10})
    geometry = xpatch.SphericalCap(2000)
    around = ds.patch.split(geometry=geometry, sampler=xpatch.Explicit(tiles.isel(patch=[2, 0])))
    check(around, ds, samples)
    around = ds.patch.split(geometry=xpatch.SphericalCap(5000), sampler=xpatch.Explicit(tiles))
    both = xr.merge([tiles, around], join="outer", compat="override")
    merged = both.patch.merge()
    xr.testing.assert_allclose(merged["sst"], grid)
    xr.testing.assert_allclose(
        merged[list(ds.data_vars)].drop_vars(["x", "y"], errors="ignore"), ds
    )


def test_windows_in_time_beside_samples():
    ds, _ = ragged()
    ds = ds.drop_vars(["lon", "lat", "cast"]).assign_coords(day=pd.date_range("2000", periods=6))
    ds["series"] = (("profile", "day"), np.arange(54.0).reshape(9, 6))
    space, time = xpatch.Patcher({"profile": 3}), xpatch.LookbackHorizon(2, 1, dim="day")
    patches = ds.patch.split(xpatch.SpatioTemporalPatcher(space, xpatch.TimePatcher(time)))
    xr.testing.assert_allclose(patches.patch.merge(), ds)
    ahead = patches.patch.horizon.patch.merge()
    np.testing.assert_allclose(ahead["series"][:, 2:], ds["series"][:, 2:])
    np.testing.assert_allclose(ahead["temp"], ds["temp"])


WRONG = {
    "too many": ({"row_size": lambda v: v + 1}, CONTIGUOUS, r"'row_size' says.*in all \d+, but"),
    "negative": ({"row_size": lambda v: v - 3}, CONTIGUOUS, "'row_size'.*negative number"),
    "missing": ({"row_size": lambda v: np.where(v == 4, np.nan, v)}, CONTIGUOUS, "missing number"),
    "not whole": ({"row_size": lambda v: v + 0.5}, CONTIGUOUS, "no whole number"),
    "beyond": (
        {"index": lambda v: v + 1},
        INDEXED,
        r"'index' says of which.*up to 9, but there are 9",
    ),
    "before": ({"index": lambda v: v - 1}, INDEXED, "'index'.*negative number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_counts_that_do_not_fit(name):
    change, kind, message = WRONG[name]
    ds, _ = ragged(kind)
    ds["index" if kind == INDEXED else "row_size"]
    for own, function in change.items():
        ds[own] = ds[own].copy(data=function(ds[own].values))
    with pytest.raises(ValueError, match=message):
        ds.patch.split(geometry=xpatch.KNNGraph(2))


def test_instances_that_were_selected_without_their_observations():
    ds, _ = ragged()
    with pytest.raises(ValueError, match=r"left out on their own.*drop_dims\('obs'\)"):
        ds.isel(profile=[0, 1]).patch.split(geometry=xpatch.KNNGraph(1))
    alone = ds.isel(profile=[0, 1]).drop_dims("obs").patch.split(geometry=xpatch.KNNGraph(1))
    assert alone.row_size.dims == ("patch", "profile")


def test_whole_numbers_that_a_file_made_floats():
    ds, samples = ragged()
    ds["row_size"] = ds["row_size"].astype(float)
    check(ds.patch.split(geometry=xpatch.KNNGraph(2)), ds, samples)


REFUSED = {
    "padding": lambda ds: ds.drop_vars(["lon", "lat"]).patch.split(
        geometry=xpatch.Rectangular(profile=4, boundary="pad"),
        sampler=xpatch.RegularStride(profile=2),
    ),
    "time": lambda ds: ds.drop_vars(["lon", "lat"]).patch.split(
        xpatch.TimePatcher(xpatch.FixedLookback(2, dim="profile"))
    ),
    "both": lambda ds: (
        ds.assign(series=(("profile", "day"), np.ones((9, 6))))
        .assign_coords(day=pd.date_range("2000", periods=6))
        .patch.split(
            xpatch.SpatioTemporalPatcher(
                xpatch.Patcher(xpatch.KNNGraph(2)),
                xpatch.TimePatcher(xpatch.FixedLookback(2, dim="day")),
            )
        )
    ),
    "apply": lambda ds: ds.patch.apply(lambda p: p, geometry=xpatch.KNNGraph(2)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_samples_that_cannot_be_cut(name):
    ds, _ = ragged()
    launch = pd.date_range("2000", periods=9) if name == "time" else None
    if launch is not None:
        ds = ds.assign_coords(profile=launch)
    with pytest.raises(ValueError, match=r"'row_size' says which samples along 'obs'.*drop_dims"):
        REFUSED[name](ds)


def test_variables_that_cannot_be_cut():
    ds, _ = ragged()
    both = ds.assign(grid=(("profile", "obs"), np.ones((9, ds.sizes["obs"]))))
    with pytest.raises(ValueError, match=r"'grid' lies along \['profile', 'obs'\]"):
        both.patch.split(geometry=xpatch.KNNGraph(2))
    things = np.array([{"flag": 1}] * ds.sizes["obs"], dtype=object)
    with pytest.raises(TypeError, match="'flags' has object dtype"):
        ds.assign(flags=("obs", things)).patch.split(geometry=xpatch.KNNGraph(2))


def test_calendar_dates_of_samples():
    ds, _ = ragged()
    dates = np.array(
        [cftime.DatetimeNoLeap(2000, 1, 1 + i) for i in range(ds.sizes["obs"])], dtype=object
    )
    ds = ds.assign(date=("obs", dates))
    merged = ds.patch.split(geometry=xpatch.KNNGraph(2)).patch.merge("first")
    np.testing.assert_array_equal(merged["date"], dates)
