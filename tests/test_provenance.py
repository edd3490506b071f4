"""Whose patches these are: without their index, what says so is compared."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from xpatch import Rectangular

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")
CUT = {"geometry": {"x": 8}, "sampler": xpatch.RegularStride(4)}
KINDS = ["memory", "disk", "dask"]


def line(x0=0.0, value=None, n=40, step=1.0, name="t"):
    data = np.random.default_rng(0).random(n) if value is None else np.full(n, float(value))
    return xr.DataArray(data, {"x": np.arange(n) * step + x0}, ("x",), name=name)


def plane(**coords):
    y, x = np.arange(12)[::-1] * 10.0 + 6e6, np.arange(14) * 10.0 + 5e5
    values = np.random.default_rng(0).random((12, 14))
    return xr.DataArray(values, {"y": y, "x": x, **coords}, ("y", "x"), name="t")


TILES = {"geometry": {"y": 6, "x": 6}, "sampler": xpatch.RegularStride(3)}


def opened(path, kind):
    """Open patches as they are in memory, lazily on disk, or as dask."""
    got = xr.open_zarr(path, chunks={} if kind == "dask" else None)["t"]
    return got.load() if kind == "memory" else got


def stored(patches, path, kind):
    """Write patches, and read them."""
    patches.to_zarr(path)
    return opened(path, kind)


# ---------------------------------------------------------------------------- of two fields


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["all", "some of each"])
@pytest.mark.parametrize("joined", ["concat", "append"])
def test_patches_of_two_fields_are_refused(tmp_path, kind, how, joined):
    one, two = line(0, 1).patch.split(**CUT), line(1000, 3).patch.split(**CUT)
    if how != "all":
        one, two = one.isel(patch=slice(4)), two.isel(patch=slice(4, None))
    one.to_zarr(tmp_path / "a.zarr")
    if joined == "append":
        two.to_zarr(tmp_path / "a.zarr", append_dim="patch")
        both = opened(tmp_path / "a.zarr", kind)
    else:
        both = xr.concat(
            [opened(tmp_path / "a.zarr", kind), stored(two, tmp_path / "b.zarr", kind)], "patch"
        )
    with pytest.raises(ValueError, match=r"more than once|labels along 'x' are not those"):
        both.patch.merge().load()


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_dask_are_not_read_before_they_are_needed(tmp_path, kind):
    z = stored(line().patch.split(**CUT), tmp_path / "p.zarr", kind)
    merged = z.patch.merge()
    assert (merged.chunks is not None) == (kind == "dask")
    np.testing.assert_allclose(merged, line())


def test_labels_of_a_model_are_compared_in_its_tasks(tmp_path):
    line().patch.split(**CUT).to_zarr(tmp_path / "p.zarr", encoding={"t": {"chunks": (2, 8)}})
    calls = []

    def model(block, moved):
        calls.append(block.sizes["patch"])
        return block.assign_coords(x=block.x + moved)

    z = xr.open_zarr(tmp_path / "p.zarr")["t"].unify_chunks()
    for moved in (0, 1):
        out = z.map_blocks(model, kwargs={"moved": moved}, template=z)
        calls.clear()
        merged = out.patch.merge()
        assert not calls
        if moved:
            with pytest.raises(ValueError, match="not those that the recipe gives"):
                merged.load(scheduler="sync")
        else:
            np.testing.assert_allclose(merged.load(scheduler="sync"), line())
            assert sum(calls) == z.sizes["patch"]


def test_repeated_patches_are_merged_by_who_means_it(tmp_path):
    z = stored(line().patch.split(**CUT), tmp_path / "p.zarr", "memory")
    twice = z.isel(patch=[*range(9), 0, 1])
    with pytest.raises(ValueError, match=r"occurs more than once.*like=field"):
        twice.patch.merge()
    np.testing.assert_allclose(twice.patch.merge(like=line()), line())
    with pytest.raises(ValueError, match="not those that the recipe gives"):
        xr.concat([z, z.assign_coords(x=z.x + 3)], "patch").patch.merge(like=line())


def test_a_lost_chunk_of_patch_labels_is_noticed(tmp_path):
    import shutil

    p = line().patch.split(**CUT)
    p.to_zarr(tmp_path / "p.zarr", encoding={"patch": {"chunks": (3,)}})
    shutil.rmtree(tmp_path / "p.zarr" / "patch" / "c")
    with pytest.raises(ValueError, match=r"occurs more than once|not those that the recipe"):
        opened(tmp_path / "p.zarr", "disk").patch.merge()


def test_lists_of_two_fields_are_refused(tmp_path):
    def stations(shift):
        r = np.random.default_rng(1)
        where = {"lon": ("obs", r.uniform(0, 5, 20) + shift), "lat": ("obs", r.uniform(0, 5, 20))}
        return xr.DataArray(r.random(20), where, ("obs",), name="t")

    cut = {"geometry": xpatch.KNNGraph(4)}
    a, b = stations(0).patch.split(**cut), stations(20).patch.split(**cut)
    a, b = a.isel(patch=slice(10)), b.isel(patch=slice(10, None))
    a.to_netcdf(tmp_path / "a.nc")
    b.to_netcdf(tmp_path / "b.nc")
    both = [xr.open_dataarray(tmp_path / f"{n}.nc").load() for n in "ab"]
    with pytest.raises(ValueError, match="different values of 'lon'"):
        xr.concat(both, "patch").patch.merge()
    assert both[0].patch.merge().notnull().sum() > 10


def curved(shift):
    lat, lon = np.meshgrid(np.arange(8.0) + shift, np.arange(8.0), indexing="ij")
    where = {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}
    return xr.DataArray(np.random.default_rng(0).random((8, 8)), where, ("j", "i"), name="t")


def row(shift):
    where = {"lat": ("s", np.arange(6.0) + shift), "lon": ("s", np.arange(6.0))}
    return xr.DataArray(np.arange(6.0) + shift, where, ("s",), name="t")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("field", "how"), [(curved, {"j": 4, "i": 4}), (row, xpatch.KNNGraph(2))])
def test_positions_tell_fields_without_labels_apart(tmp_path, kind, field, how):
    one, two = (
        stored(field(shift).patch.split(how), tmp_path / f"{shift}.zarr", kind) for shift in (0, 40)
    )
    np.testing.assert_allclose(one.patch.merge("mean"), field(0))
    both = xr.concat([one[:2], two[-2:]], "patch")
    with pytest.raises(ValueError, match=r"different values of 'lat' .* patch . has 4\d where"):
        both.patch.merge("mean").load()
    again = tmp_path / "again.zarr"  # what was read back and written tells it still
    one.to_zarr(again)
    mixed = xr.concat([opened(again, kind)[:2], two[-2:]], "patch")
    with pytest.raises(ValueError, match="different values of 'lat'"):
        mixed.patch.merge("mean").load()


def test_positions_that_went_through_float32(tmp_path):
    p = curved(0.1).patch.split({"j": 4, "i": 4})
    z = stored(p.assign_coords(lat=p.lat.astype("f4")), tmp_path / "p.zarr", "memory")
    np.testing.assert_allclose(z.patch.merge(), curved(0.1))
    moved = z.assign_coords(lon=z.lon + 360)
    with pytest.raises(ValueError, match=r"like=field.*drop_vars\('lon'\)"):
        moved.patch.merge()
    np.testing.assert_allclose(moved.patch.merge(like=curved(0.1)), curved(0.1))


@pytest.mark.parametrize("kind", KINDS)
def test_lists_on_a_grid_are_compared_by_their_labels(tmp_path, kind):
    def grid(shift):
        at = {"lat": np.arange(10.0), "lon": np.arange(12.0) + shift}
        return xr.DataArray(np.ones((10, 12)), at, ("lat", "lon"), name="t")

    cut = {"geometry": xpatch.SphericalCap(200.0), "sampler": xpatch.Random(12, seed=0)}
    a, b = grid(0).patch.split(**cut), grid(40).patch.split(**cut)
    a, b = a.isel(patch=slice(6)), b.isel(patch=slice(6, None))
    both = [stored(p, tmp_path / f"{n}.zarr", kind) for n, p in (("a", a), ("b", b))]
    with pytest.raises(ValueError, match="labels along 'lon' are not those"):
        xr.concat(both, "patch").patch.merge().load()
    assert float(both[0].patch.merge().max()) == 1


# ---------------------------------------------------------------------------- moved cells


def swap(p):
    """Flip the cells of some patches, values and labels."""
    out = p.copy(deep=True).load()
    out.values[3:5] = out.values[3:5, ::-1]
    labels = out.x.values.copy()
    labels[3:5] = labels[3:5, ::-1]
    return out.assign_coords(x=(out.x.dims, labels, out.x.attrs))


MOVED = {
    "flipped": lambda p: p.isel(x=slice(None, None, -1)),
    "sorted": lambda p: p.isel(x=[1, 0, *range(2, 8)]),
    "rolled": lambda p: p.roll(x=1, roll_coords=True),
    "thinned": lambda p: p.isel(x=slice(None, None, 2)),
    "some patches flipped": swap,
}


@pytest.mark.parametrize("origin", [0.0, 6e6], ids=["small", "large"])
@pytest.mark.parametrize("kind", ["indexed", *KINDS])
@pytest.mark.parametrize("moved", MOVED)
def test_moved_cells_are_refused(tmp_path, moved, kind, origin):
    p = line(origin).patch.split(**CUT)
    p = p if kind == "indexed" else stored(p, tmp_path / "p.zarr", kind)
    with pytest.raises(ValueError, match=r"not a run|not those|nothing says"):
        MOVED[moved](p).patch.merge().load()


@pytest.mark.parametrize("kind", ["indexed", "memory", "disk"])
def test_a_run_of_cells_is_found_by_labels(tmp_path, kind):
    p = line(6e6).patch.split(**CUT)
    p = p if kind == "indexed" else stored(p, tmp_path / "p.zarr", kind)
    merged = p.isel(x=slice(2, 7)).patch.merge()
    np.testing.assert_allclose(merged[2:], [*line()[2:-1].values, np.nan])


@pytest.mark.parametrize("indexed", [False, True])
def test_labels_that_went_through_float32(tmp_path, indexed):
    f = line(100.1, step=0.1)
    p = f.patch.split(**CUT)
    p = p if indexed else stored(p, tmp_path / "p.zarr", "memory")
    labels = p.x.astype("f4")
    np.testing.assert_allclose(p.assign_coords(x=labels).patch.merge(), f)
    np.testing.assert_allclose(p.assign_coords(x=labels.astype(float)).patch.merge(), f)
    cropped = p.assign_coords(x=labels).isel(x=slice(1, 7)).patch.merge()
    np.testing.assert_allclose(cropped[1:-1], f[1:-1])
    with pytest.raises(ValueError, match=r"not a run|not those"):
        p.assign_coords(x=labels + 0.06).patch.merge()


def test_many_labels_are_compared_in_part(monkeypatch):
    import xpatch.patches.labels

    monkeypatch.setattr(xpatch.patches.labels, "MOST", 20)
    p = line().patch.split(**CUT).load()
    np.testing.assert_allclose(p.patch.merge(), line())
    np.testing.assert_allclose(p.isel(x=slice(1, 7)).patch.merge()[1:-1], line()[1:-1])
    for moved in ("flipped", "rolled", "some patches flipped"):
        with pytest.raises(ValueError, match="not a run"):
            MOVED[moved](p).patch.merge()


@pytest.mark.parametrize("kind", KINDS)
def test_patches_in_a_loop_are_compared_once(tmp_path, kind, monkeypatch):
    from xpatch.patches import single

    calls = []
    real = single.indexed
    monkeypatch.setattr(single, "indexed", lambda obj: (calls.append(1), real(obj))[1])
    p = plane().patch.split(**TILES)
    z = stored(p, tmp_path / "p.zarr", kind)
    for k in range(z.sizes["patch"]):
        xr.testing.assert_allclose(z.patch[k], p.patch[k])
    assert len(calls) == 1
    z.attrs["units"] = "K"  # in place: what is known is found anew
    assert z.patch[0].attrs == {"units": "K"}
    z.name = "s"
    assert z.patch[0].name == "s"
    z["x"] = z.x + 1
    with pytest.raises(ValueError, match="labels along 'x' are not those"):
        z.patch[0].load()
    assert len(calls) == 4


def test_our_own_labels_are_not_computed(monkeypatch):
    import xpatch.patches.labels

    p = plane().patch.split(**TILES)
    monkeypatch.setattr(xpatch.patches.labels.Labels, "__call__", None)
    order = np.random.default_rng(0).permutation(p.sizes["patch"])
    for q in (p, p.isel(patch=order), p.isel(y=slice(1, 5)), p.rename(y="lat")):
        assert q.patch.merge().notnull().any()


@pytest.mark.parametrize("indexed", [False, True])
def test_slots_of_lists_that_moved_are_refused(tmp_path, indexed):
    f = xr.DataArray(
        np.arange(30.0),
        {"lon": ("obs", np.arange(30.0)), "lat": ("obs", np.zeros(30))},
        ("obs",),
        name="t",
    )
    p = f.patch.split(geometry=xpatch.KNNGraph(4))
    late = p.copy()
    late[{"patch": slice(5, None)}] = late.isel(
        patch=slice(5, None), obs=slice(None, None, -1)
    ).values
    numbers = late.obs.values.copy()
    numbers[5:] = numbers[5:, ::-1]
    moved = late.assign_coords(obs=(("patch", "obs"), numbers, p.obs.attrs))
    if indexed:
        with pytest.raises(ValueError, match="member numbers"):
            moved.patch.merge()
    else:  # lists are read from the numbers
        moved.drop_vars(["lon", "lat"]).to_netcdf(tmp_path / "p.nc")
        np.testing.assert_allclose(xr.open_dataarray(tmp_path / "p.nc").patch.merge("first"), f)


# ---------------------------------------------------------------------------- no patches at all


NO_PATCHES = {
    "groups": lambda p: p.groupby(p["patch"] // 2).mean(),
    "coarsened": lambda p: p.coarsen(patch=3).mean(),
    "in floats": lambda p: p.assign_coords(patch=p["patch"] / 1.0),
}


@pytest.mark.parametrize("what", NO_PATCHES)
@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("labels", [False, True])
def test_averages_are_no_patches(tmp_path, what, read, labels):
    f = line() if labels else line().drop_vars("x")
    p = f.patch.split(**CUT)
    p = stored(p, tmp_path / "p.zarr", "memory") if read else p
    with pytest.raises(ValueError, match=r"no integers|not all that split gave"):
        NO_PATCHES[what](p).patch.merge()


def test_patches_without_labels_merge_as_a_whole(tmp_path):
    f = line().drop_vars("x")
    for name, patches in (("bare", f.patch.split(**CUT)), ("labeled", line().patch.split(**CUT))):
        patches.to_netcdf(tmp_path / f"{name}.nc")
        z = xr.open_dataarray(tmp_path / f"{name}.nc").load().drop_vars("x", errors="ignore")
        shuffled = z.isel(patch=[4, 2, 0, 1, 3, 8, 7, 5, 6])
        np.testing.assert_allclose(shuffled.patch.merge(), f)
        with pytest.raises(ValueError, match=r"5 patches, not all.*like=field"):
            z.isel(patch=slice(5)).patch.merge()
        like = f if name == "bare" else line()
        part = z.isel(patch=slice(5)).patch.merge(like=like)
        np.testing.assert_allclose(part[:24], f[:24])
        assert part[24:].isnull().all()


def test_all_that_split_gave_may_be_some_of_a_plan(tmp_path):
    p = line().drop_vars("x").patch.split(**CUT).isel(patch=[1, 3, 5])
    q = line(name="t").drop_vars("x").patch.split(geometry={"x": 4}, sampler=xpatch.Explicit(p))
    q.to_netcdf(tmp_path / "q.nc")
    z = xr.open_dataarray(tmp_path / "q.nc").load()
    assert int(z.patch.merge().notnull().sum()) == 12
    with pytest.raises(ValueError, match="2 patches, not all"):
        z.isel(patch=[0, 1]).patch.merge()


def test_reindex_after_reading(tmp_path):
    z = stored(line().patch.split(**CUT), tmp_path / "p.zarr", "memory")
    np.testing.assert_allclose(z.reindex(patch=np.arange(9)[::-1]).patch.merge(), line())
    some = z.isel(patch=[0, 1, 8])
    again = some.reindex(patch=np.arange(9)).patch.merge()
    np.testing.assert_allclose(again[:12], line()[:12])
    assert again[12:32].isnull().all()
    with pytest.raises(ValueError, match="like=field"):
        some.reindex(patch=[0, 1, 4]).patch.merge()


@pytest.mark.parametrize("read", [False, True])
def test_what_is_computed_from_patch_is_not_taken_for_it(tmp_path, read):
    p = line().patch.split(**CUT)
    p = p.assign_coords(fold=p["patch"] % 3, a=p["patch"] * 0)
    p = stored(p, tmp_path / "p.zarr", "disk") if read else p
    merged = p.patch.merge()
    np.testing.assert_allclose(merged, line())
    np.testing.assert_allclose(p.isel(patch=2).patch.merge()[8:16], line()[8:16])
    if read:
        with pytest.raises(ValueError, match="swap_dims"):
            p.drop_vars("x").swap_dims(patch="fold").patch.merge()
        with pytest.raises(ValueError, match="these are not patches"):
            p.drop_vars("patch").patch.merge()


# ---------------------------------------------------------------------------- other names


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("sampler", [xpatch.RegularStride(3), xpatch.Random(30, seed=0)], ids=str)
def test_renamed_dims(tmp_path, kind, when, sampler):
    f = plane().assign_coords(lab=(("x", "y"), plane().values.T)).expand_dims(band=2)
    p = f.patch.split(geometry={"y": 6, "x": 6}, sampler=sampler)
    names = {"y": "lat", "x": "lon", "patch": "tile"}
    p = p.rename(names) if when == "before" else p
    z = stored(p, tmp_path / "p.zarr", kind)
    z = z if when == "before" else z.rename(names)
    turned = z if (kind, when) == ("dask", "after") else z.transpose("lon", "lat", ...)
    for got in (z, turned):
        merged = got.patch.merge().load()
        covered = merged.notnull()
        assert merged.dims == ("band", "lat", "lon")
        np.testing.assert_allclose(merged.where(covered), f.where(covered.values).values)
        np.testing.assert_array_equal(merged.lat, f.y)
        assert merged.lab.dims == ("lon", "lat")


def test_renamed_dims_of_lists(tmp_path):
    f = xr.DataArray(
        np.arange(30.0),
        {"lon": ("obs", np.arange(30.0)), "lat": ("obs", np.zeros(30))},
        ("obs",),
        name="t",
    )
    f.patch.split(geometry=xpatch.KNNGraph(4)).to_netcdf(tmp_path / "p.nc")
    z = xr.open_dataarray(tmp_path / "p.nc").load().rename(obs="station")
    merged = z.patch.merge("first")
    assert merged.dims == ("station",)
    np.testing.assert_allclose(merged, f)
    np.testing.assert_allclose(merged.lon, f.lon)


@pytest.mark.parametrize("when", ["before", "after"])
def test_renamed_windows_of_unequal_length(tmp_path, when):
    time = pd.date_range("2001-01-01", periods=120)
    f = xr.DataArray(np.arange(120.0), {"time": time}, ("time",), name="t")
    p = f.patch.split(xpatch.TimePatcher(xpatch.FixedLookback("1MS")))
    names = {"time": "t2", "time_number": "numbers"}
    p = p.rename(names) if when == "before" else p
    p.to_netcdf(tmp_path / "p.nc")
    z = xr.open_dataarray(tmp_path / "p.nc").load()
    z = z if when == "before" else z.rename(time="t2")
    merged = z.patch.merge()
    covered = merged.notnull()
    assert merged.dims == ("t2",)
    np.testing.assert_allclose(merged[covered], f[covered.values])


@pytest.mark.parametrize("kind", KINDS)
def test_auxiliary_coordinates_keep_the_order_of_their_dims(tmp_path, kind):
    f = plane(lab=(("x", "y"), np.arange(168.0).reshape(14, 12)), q=("y", np.arange(12)))
    z = stored(f.patch.split(**TILES), tmp_path / "p.zarr", kind)
    merged = z.patch.merge().load()
    xr.testing.assert_equal(merged.lab.drop_vars("q"), f.lab.drop_vars("q"))
    assert merged.lab.dims == ("x", "y")
    np.testing.assert_array_equal(merged.q, f.q)
    mixed = xr.concat(
        [z.load().isel(patch=slice(4)), z.load().isel(patch=slice(4, None)) * 1], "patch"
    )
    mixed.lab.values[:4] += 1
    with pytest.raises(ValueError, match="different values of 'lab'"):
        mixed.patch.merge()


@pytest.mark.parametrize("dtype", ["U", "O"])
@pytest.mark.parametrize("boundary", ["pad", "wrap", "shift"])
@pytest.mark.parametrize("store", ["netcdf", "zarr"])
def test_text_labels_survive_files(tmp_path, dtype, boundary, store):
    names = np.array([f"level {k}" for k in range(9)]).astype(dtype)
    f = xr.DataArray(np.arange(9.0), {"x": names}, ("x",), name="t")
    cut = xpatch.Rectangular(x=4, boundary=boundary)
    p = f.patch.split(geometry=cut, sampler=xpatch.RegularStride(2))
    if store == "netcdf":
        p.to_netcdf(tmp_path / "p.nc")
        z = xr.open_dataarray(tmp_path / "p.nc")
    else:
        z = stored(p, tmp_path / "p.zarr", "disk")
    merged = z.patch.merge()
    np.testing.assert_allclose(merged, f)
    assert merged.x.values.tolist() == names.tolist()
    half = z.isel(patch=slice(2)).patch.merge()
    assert half.x.values.tolist() == names.tolist()
    other = f.assign_coords(x=names[::-1]).patch.split(
        geometry=cut, sampler=xpatch.RegularStride(2)
    )
    other = stored(other, tmp_path / "q.zarr", "memory")
    mixed = [z.load().isel(patch=slice(2)), other.isel(patch=slice(2, None))]
    mixed = xr.concat(mixed, "patch")
    with pytest.raises(ValueError, match="labels along 'x'"):
        mixed.patch.merge()


# ---------------------------------------------------------------------------- parts


def test_different_parts_are_not_added():
    p = plane().patch.split(**TILES)
    a, b = p.patch.crop(y=(2, 0)), p.patch.crop(y=(0, 2))
    with pytest.raises(ValueError, match=r"different parts of patches.*crop both"):
        _ = a + b
    np.testing.assert_allclose(((a + a) / 2).patch.merge()[2:], plane()[2:])
    mean = p.mean(("y", "x"))
    np.testing.assert_allclose((a - mean + mean).patch.merge()[2:], plane()[2:])
    np.testing.assert_allclose((mean + (a - mean)).patch.merge()[2:], plane()[2:])


# ---------------------------------------------------------------------------- several fields


def two(sampler, geometry=None):
    """Give a coarse and a fine field, and their patches at the same anchors."""
    coarse = line(step=2.0, n=30, name="coarse")
    fine = line(-0.5, step=1.0, n=60, name="fine").rename(x="xf")
    p = coarse.patch.split(geometry={"x": 6}, sampler=sampler)
    q = fine.rename(xf="x").patch.split(geometry={"x": 12}, sampler=xpatch.Explicit(p))
    return coarse, fine, xr.Dataset({"coarse": p, "fine": q.rename(x="xf")})


SAMPLERS = [
    xpatch.RegularStride(3),
    xpatch.Random(16, seed=0),
    xpatch.Explicit([(3,), (20,), (9,)]),
]


@pytest.mark.parametrize("kind", ["indexed", "netcdf", *KINDS])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_matched_fields_share_a_dataset_and_a_file(tmp_path, kind, sampler):
    coarse, fine, both = two(sampler)
    if kind == "netcdf":
        both.to_netcdf(tmp_path / "b.nc")
        both = xr.open_dataset(tmp_path / "b.nc")
    elif kind != "indexed":
        both.to_zarr(tmp_path / "b.zarr")
        both = xr.open_zarr(tmp_path / "b.zarr", chunks={} if kind == "dask" else None)
        both = both.load() if kind == "memory" else both
    for got in (both, both.isel(patch=slice(None, None, -1)), both.rename(x="x2")):
        merged = got.patch.merge().load()
        for name, field in (("coarse", coarse), ("fine", fine)):
            covered = merged[name].notnull().values
            assert covered.sum() > 10
            np.testing.assert_allclose(merged[name].values[covered], field.values[covered])
        np.testing.assert_array_equal(merged.xf, fine.xf)
    one = both.isel(patch=1).patch.merge()
    assert int(one.fine.notnull().sum()) == 12
    assert int(one.coarse.notnull().sum()) == 6


@pytest.mark.parametrize("kind", ["indexed", *KINDS])
def test_matched_fields_over_equal_dims_are_told_by_their_names(tmp_path, kind):
    one, other = plane().rename("one"), plane().rename("other")
    other = (other + 5).assign_coords(x=other.x + 10)
    a = one.patch.split({"y": 4, "x": 4}, sampler=xpatch.Random(4, seed=0))
    padded = Rectangular(y=4, x=4, boundary="pad")
    both = xr.Dataset({"one": a, "other": other.patch.split(padded, sampler=xpatch.Explicit(a))})
    if kind != "indexed":
        both.to_zarr(tmp_path / "p.zarr")
        both = xr.open_zarr(tmp_path / "p.zarr", chunks={} if kind == "dask" else None)
        both = both.load() if kind == "memory" else both
    for field in (one, other):
        merged = both[field.name].patch.merge().load()
        there = merged.notnull()
        assert there.sum() > 20
        xr.testing.assert_allclose(merged, field.where(there))
    with pytest.raises(ValueError, match="nothing says on which"):
        both["other"].rename("model").patch.merge()
    if kind == "indexed":  # other ground, of which only one labels can be in the Dataset
        other = other.assign_coords(x=other.x - 3)
        b = other.patch.split(padded, sampler=xpatch.Explicit(a))
        both = xr.merge([a, b], compat="override", join="outer")
        with pytest.raises(ValueError, match="labels along 'x' are not"):
            both["other"].patch.merge()


def test_three_matched_fields_of_which_two_are_alike(tmp_path):
    f = line(n=60)
    p = f.patch.split(geometry={"x": 6}, sampler=xpatch.Random(9, seed=0))
    wide, near = (
        f.patch.split(geometry=Rectangular(x=n, boundary="pad"), sampler=xpatch.Explicit(p))
        for n in (12, 4)
    )
    both = xr.Dataset({"p": p, "wide": wide.rename(x="xw"), "near": near.rename(x="xn")})
    assert sum(str(n).startswith("start_x") for n in both.coords) == 3
    both.to_netcdf(tmp_path / "b.nc")
    merged = xr.open_dataset(tmp_path / "b.nc").patch.merge()
    for name in ("p", "wide", "near"):
        there = merged[name].notnull().values
        np.testing.assert_allclose(merged[name].values[there], f.values[there])


def test_lists_and_boxes_share_a_file(tmp_path):
    f = plane().rename(y="lat", x="lon").assign_coords(lat=np.arange(12.0), lon=np.arange(14.0))
    r = np.random.default_rng(0)
    at = {"lon": ("obs", r.uniform(0, 13, 40)), "lat": ("obs", r.uniform(0, 11, 40))}
    s = xr.DataArray(r.random(40), at, ("obs",), name="s")
    p = f.patch.split(geometry={"lat": 4, "lon": 4}, sampler=xpatch.Random(20, seed=0))
    q = s.patch.split(geometry=xpatch.KNNGraph(3), sampler=xpatch.Explicit(p))
    u = (
        s[:30]
        .rename(obs="buoy")
        .patch.split(geometry=xpatch.KNNGraph(2), sampler=xpatch.Explicit(p))
    )
    both = xr.Dataset({"t": p, "s": q.drop_vars(["lon", "lat"]), "u": u.drop_vars(["lon", "lat"])})
    both.to_netcdf(tmp_path / "b.nc")
    merged = xr.open_dataset(tmp_path / "b.nc").patch.merge("first")
    for name, field in (("t", f), ("s", s), ("u", s[:30])):
        there = merged[name].notnull().values
        assert there.any()
        np.testing.assert_allclose(merged[name].values[there], field.values[there])


def test_fields_put_together_after_reading_are_refused(tmp_path):
    coarse, fine, both = two(xpatch.RegularStride(3))
    for name in both:
        both[name].to_netcdf(tmp_path / f"{name}.nc")
    parts = [xr.open_dataarray(tmp_path / f"{n}.nc").load() for n in both]
    read = xr.merge(
        [p.drop_vars([c for c in p.coords if c not in p.dims and p.name == "x"]) for p in parts],
        compat="override",
        combine_attrs="override",
    )
    read["patch"].attrs = parts[0]["patch"].attrs
    merged = read.patch.merge()  # each knows of both, as they were together before
    np.testing.assert_allclose(merged.fine, fine)
    alone = coarse.patch.split(geometry={"x": 6}, sampler=xpatch.RegularStride(3))
    read["patch"].attrs = alone["patch"].attrs
    with pytest.raises(ValueError, match=r"'fine' has patches along 'xf'"):
        read.patch.merge()


# ------------------------------------------------------------------- parts, and cells half a cell away


def merged(patches):
    return patches.patch.merge().compute()


@pytest.mark.parametrize("kind", KINDS)
def test_scenes_half_a_cell_apart_are_refused(tmp_path, kind):
    one, other = plane(), plane()
    other = other.assign_coords(y=other.y + 5.0)
    a = stored(one.patch.split(**TILES), tmp_path / "a.zarr", kind)
    b = stored(other.patch.split(**TILES), tmp_path / "b.zarr", kind)
    half = a.sizes["patch"] // 2
    both = xr.concat([a.isel(patch=slice(half)), b.isel(patch=slice(half, None))], "patch")
    with pytest.raises(ValueError, match="labels along 'y' are not those"):
        merged(both)


@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize("how", ["crop", "isel"])
def test_places_of_parts_are_those_of_the_cells_that_are_left(tmp_path, kind, how):
    f = plane()
    patches = f.patch.split(**TILES)
    patches = patches if kind is None else stored(patches, tmp_path / "p.zarr", kind)
    if how == "crop":
        part = patches.patch.crop(y=(0, 4), x=(0, 4))
    else:
        part = patches.isel(y=slice(2), x=slice(2))
    same = f.patch.split(geometry={"y": 2, "x": 2}, sampler=xpatch.Explicit(part))
    np.testing.assert_array_equal(same, part)
    np.testing.assert_array_equal(part.patch.places.y, part.y.mean("y"))
    outline = part.patch.footprints().geometry.iloc[0]
    assert outline.centroid.y == pytest.approx(float(part.y[0].mean()))


@pytest.mark.parametrize("how", ["crop", "isel"])
def test_parts_of_dask_patches_that_were_read_are_merged(tmp_path, how):
    f = plane()
    patches = stored(f.patch.split(**TILES), tmp_path / "p.zarr", "dask")
    part = (
        patches.patch.crop(y=1, x=1)
        if how == "crop"
        else patches.isel(y=slice(1, 5), x=slice(1, 5))
    )
    field = merged(part)
    assert field.notnull().sum() > 60
    np.testing.assert_allclose(field, f.where(field.notnull()))


def test_a_part_that_may_be_several_is_refused():
    f = line().assign_coords(x=np.repeat(np.arange(10.0), 4))
    patches = f.patch.split(geometry={"x": 4})
    with pytest.raises(ValueError, match=r"repeat within a patch.*patch.crop\(x=…\)"):
        patches.load().isel(x=slice(2, 4)).patch.merge()
    found = merged(patches.patch.crop(x=(2, 0))).notnull()
    np.testing.assert_array_equal(found, np.tile([False, False, True, True], 10))


def test_lists_on_integer_labels_survive_files(tmp_path):
    f = xr.DataArray(
        np.random.default_rng(0).random((8, 9)), {"y": range(8), "x": range(9)}, ("y", "x")
    )
    patches = f.rename("v").patch.split(geometry=xpatch.KNNGraph(4))
    patches.to_netcdf(tmp_path / "p.nc")
    with xr.open_dataarray(tmp_path / "p.nc") as back:
        xr.testing.assert_allclose(back.patch.merge(), f)


def test_one_patch_gets_its_labels_back():
    f = plane()
    patches = f.patch.split(**TILES)
    np.testing.assert_array_equal(patches.drop_vars(["y", "x"]).patch[1].y, patches.y[1])


def test_labels_half_a_cell_off_are_not_those_of_like():
    one = plane()
    bare = one.patch.split(**TILES).drop_vars("patch").load()
    np.testing.assert_allclose(bare.patch.merge(like=one), one)
    with pytest.raises(ValueError, match="do not occur in like"):
        bare.patch.merge(like=one.assign_coords(y=one.y + 5.0))


# ----------------------------------------------------------------------------- asked once

STEPS = pd.date_range("2000-01-01", periods=40)
SERIES = xr.DataArray(np.arange(40.0), {"time": STEPS}, ("time",), name="t")
AHEAD = xpatch.TimePatcher(xpatch.LookbackHorizon(5, 3), xpatch.RegularTimeStride(4))
BOTH = xpatch.SpatioTemporalPatcher(xpatch.Patcher({"x": 8}), AHEAD)


def windows():
    return SERIES.patch.split(AHEAD)


def places():
    return (SERIES * line()).rename("t").patch.split(BOTH)


def two_fields(freq):
    """Give the horizons of two series with axes of their own, at the same anchors."""
    days, steps = windows(), pd.date_range("2000-01-01", "2000-02-09", freq=freq)
    other = xr.DataArray(np.arange(len(steps)) * 1.0, {"step": steps}, ("step",), name="u")
    geometry = xpatch.LookbackHorizon(5, 3, dim="step")
    cut = other.patch.split(geometry, sampler=xpatch.ExplicitTimes(days))
    both = xr.merge([days, cut], join="outer", compat="override").patch.horizon
    assert len(both.xindexes["patch"].plans) == 2
    return both


def fold(state, patch):
    return state, patch


CUBE = xpatch.Forecast("cube")
MERGES = {
    "boxes": (lambda: plane().patch.split(**TILES), xpatch.OverlapAdd("hann")),
    "members": (lambda: plane().patch.split(geometry=xpatch.KNNGraph(4)), "mean"),
    "a forecast": (windows, "forecast"),
    "a cube": (windows, CUBE),
    "a cube in space": (places, CUBE),
    "a scan": (places, xpatch.Sequential(fold)),
    "space and time": (places, ("mean", "forecast")),
    "space and a cube": (places, ("mean", CUBE)),
    "space and a scan": (places, ("mean", xpatch.Sequential(fold))),
    "two fields": (lambda: two_fields("12h"), None),
    "two cubes": (lambda: two_fields("1D"), CUBE),
    "a recipe": (lambda: plane().patch.split(**TILES).drop_indexes("patch"), None),
    "a recipe of a cube": (lambda: places().drop_indexes("patch"), CUBE),
    "one scene": (lambda: xpatch.concat([plane().patch.split(**TILES)]), None),
    "two scales": (lambda: SERIES.patch.split(xpatch.TimePatcher(xpatch.MultiScale([2, 8]))), None),
}


@pytest.mark.parametrize("name", MERGES)
def test_who_patches_are_is_asked_once(name):
    make, how = MERGES[name]
    patches, asked, times = make(), Counter(), 2 if name == "two scales" else 1

    def watch(frame, event, _):
        if event == "call" and frame.f_code.co_filename.endswith(("provenance.py", "recall.py")):
            asked[frame.f_code.co_name] += 1

    sys.setprofile(watch)
    try:
        patches.patch.merge(how)
    finally:
        sys.setprofile(None)
    assert asked["identified"] == times
    assert asked["provenance"] == 0
    assert asked["indexed"] == times
    assert asked["recalled"] == ("recipe" in name)
