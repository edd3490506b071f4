"""What happens to patches between split and merge, and that they still find their way back."""

from __future__ import annotations

import copy
import pickle

import dask
import numpy as np
import pytest
import xarray as xr

import xpatch

MEAN = "mean"


def make_field(dask=False):
    """Give a small raster with bands, a CRS and auxiliary coordinates."""
    y, x = np.arange(12)[::-1] * 10.0 + 100, np.arange(14) * 10.0 + 500
    field = xr.DataArray(
        np.random.default_rng(0).normal(size=(2, 12, 14)),
        {
            "band": ("band", [4, 8], {"long_name": "band number"}),
            "y": ("y", y, {"units": "m", "axis": "Y"}),
            "x": ("x", x, {"units": "m", "axis": "X"}),
            "spatial_ref": ((), 0, {"crs_wkt": "EPSG:32719", "spatial_ref": "EPSG:32719"}),
            "lat": (("y", "x"), np.hypot.outer(y, x), {"units": "degrees_north"}),
            "wavelength": ("band", [0.6, 0.8]),
        },
        ("band", "y", "x"),
        name="scene",
        attrs={"units": "1"},
    )
    return field.chunk(y=7, x=8) if dask else field


def make_patches(dask=False, **kwargs):
    return make_field(dask).patch.split(
        geometry={"y": 6, "x": 6}, sampler=xpatch.RegularStride(y=3, x=4), **kwargs
    )


def same(patches):
    return patches


def halves(p, shuffle=False):
    order = np.random.default_rng(1).permutation(p.sizes["patch"])
    order = order if shuffle else np.arange(p.sizes["patch"])
    k = len(order) // 3
    return xr.concat([p.isel(patch=order[:k]), p.isel(patch=order[k:])], "patch")


def one_by_one(p):
    return xr.concat([p.isel(patch=[i]) for i in range(p.sizes["patch"])], "patch")


def from_single_patches(p):
    return xr.concat(
        [p.isel(patch=i) for i in range(p.sizes["patch"])],
        "patch",
        coords="different",
        compat="equals",
    )


def apply_moved(p):
    return xr.apply_ufunc(
        lambda a: a,
        p,
        input_core_dims=[["band"]],
        output_core_dims=[["band"]],
        keep_attrs=True,
        dask="parallelized",
        output_dtypes=[p.dtype],
    )


def apply_vectorized(p):
    dims = ["y", "x"]
    return xr.apply_ufunc(
        lambda a: a,
        p,
        input_core_dims=[dims],
        output_core_dims=[dims],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[p.dtype],
    )


def apply_dask(p):
    return xr.apply_ufunc(
        np.negative, -p, dask="parallelized", output_dtypes=[p.dtype], keep_attrs=True
    )


def grouped(p):
    return p.assign_coords(kind=("patch", np.arange(p.sizes["patch"]) % 3)).groupby("kind")


def aligned(p):
    a, b = xr.align(p, p.isel(patch=slice(None, None, -1)), join="inner")
    return (a + b) / 2


def node(p):
    tree = xr.DataTree.from_dict({"/": xr.Dataset(), "/fine": p.to_dataset(name="scene")})
    return tree["/fine"]["scene"]


def node_by_map(p):
    tree = xr.DataTree.from_dict({"/fine": p.to_dataset(name="scene")})
    return tree.map_over_datasets(lambda ds: ds * 1)["/fine"]["scene"]


UNCHANGED = {
    "nothing": same,
    "plus": lambda p: p + 1 - 1,
    "multiply": lambda p: 2 * p / 2,
    "negative": lambda p: -1 * (-p),
    "patches plus patches": lambda p: (p + p) / 2,
    "numpy ufunc": lambda p: np.negative(np.negative(p)),
    "numpy ufunc without attrs": lambda p: xr.apply_ufunc(
        np.positive, p, keep_attrs=False, dask="allowed"
    ),
    "numpy where": lambda p: xr.where(p == p, p, 0, keep_attrs=True),
    "where": lambda p: p.where(p > -99),
    "where other": lambda p: p.where(p > -99, 0.0),
    "fillna": lambda p: p.fillna(0),
    "clip": lambda p: p.clip(-99, 99),
    "round": lambda p: p.round(12),
    "astype": lambda p: p.astype("f8"),
    "isnull": lambda p: p.where(~p.isnull()),
    "copy": lambda p: p.copy(),
    "deep copy": lambda p: p.copy(deep=True),
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda p: pickle.loads(pickle.dumps(p)),
    "load": lambda p: p.load(),
    "compute": lambda p: p.compute(),
    "persist": lambda p: p.persist(),
    "chunk": lambda p: p.chunk(patch=2),
    "chunk in-patch": lambda p: p.chunk(patch=3, y=2),
    "apply_ufunc": lambda p: xr.apply_ufunc(lambda a: a + 0, p, dask="allowed", keep_attrs=True),
    "apply_ufunc core dims moved": apply_moved,
    "apply_ufunc vectorized": apply_vectorized,
    "apply_ufunc parallelized": apply_dask,
    "map_blocks": lambda p: p.map_blocks(same),
    "map_blocks with template": lambda p: p.map_blocks(same, template=p),
    "map_blocks on chunks": lambda p: p.chunk(patch=4).map_blocks(lambda b: b * 1),
    "map_blocks on chunks with template": lambda p: xr.map_blocks(
        same, p.chunk(patch=4), template=p.chunk(patch=4)
    ),
    "map_blocks twice": lambda p: p.chunk(patch=4).map_blocks(same).map_blocks(same),
    "pipe": lambda p: p.pipe(same),
    "isel all": lambda p: p.isel(patch=slice(None)),
    "isel permuted": lambda p: p.isel(patch=np.random.default_rng(0).permutation(p.sizes["patch"])),
    "isel reversed": lambda p: p.isel(patch=slice(None, None, -1)),
    "sel": lambda p: p.sel(patch=p["patch"].values),
    "sel reversed": lambda p: p.sel(patch=p["patch"].values[::-1]),
    "sortby": lambda p: p.isel(patch=slice(None, None, -1)).sortby("patch"),
    "sortby values": lambda p: p.sortby(p.mean(["band", "y", "x"])),
    "boolean mask": lambda p: p[np.ones(p.sizes["patch"], bool)],
    "head and tail": lambda p: xr.concat([p.head(patch=3), p.isel(patch=slice(3, None))], "patch"),
    "concat": halves,
    "concat shuffled": lambda p: halves(p, True),
    "concat of lists": one_by_one,
    "concat of single patches": from_single_patches,
    "batches": lambda p: xr.concat(list(p.patch.batches(5)), "patch"),
    "roll": lambda p: p.roll(patch=3, roll_coords=True),
    "reindex_like": lambda p: p.reindex_like(p.isel(patch=slice(None, None, -1))),
    "transpose": lambda p: p.transpose("x", "patch", "band", "y"),
    "reverse dims": lambda p: p.T,
    "expand_dims and squeeze": lambda p: p.expand_dims("extra").squeeze("extra"),
    "groupby map": lambda p: grouped(p).map(same),
    "groupby arithmetic": lambda p: (
        grouped(p) - xr.DataArray([0, 0, 0], dims="kind", coords={"kind": [0, 1, 2]})
    ),
    "groupby loop": lambda p: xr.concat([g for _, g in grouped(p)], "patch"),
    "rename the data": lambda p: p.rename("other").rename("scene"),
    "assign_coords": lambda p: p.assign_coords(score=("patch", np.arange(p.sizes["patch"]))),
    "assign_attrs": lambda p: p.assign_attrs(units="1"),
    "drop scalar coordinate": lambda p: p.drop_vars("spatial_ref"),
    "drop auxiliary coordinate": lambda p: p.drop_vars("lat"),
    "drop labels": lambda p: p.drop_vars(["y", "x"]),
    "reset_coords": lambda p: p.reset_coords("lat", drop=True),
    "to_dataset and back": lambda p: p.to_dataset(name="scene")["scene"],
    "to_dataset of bands": lambda p: p.to_dataset("band").to_dataarray("band").rename("scene"),
    "merge": lambda p: xr.merge([p.to_dataset(name="scene"), (p * 2).to_dataset(name="b")])[
        "scene"
    ],
    "align": aligned,
    "broadcast": lambda p: xr.broadcast(p, p * 2)[0],
    "combine_first": lambda p: p.isel(patch=slice(0, 4)).combine_first(p),
    "DataTree node": node,
    "DataTree map": node_by_map,
    "swap to a view and back": lambda p: p.rename(patch="tile").rename(tile="patch"),
    "rename the dimension": lambda p: p.rename(patch="tile"),
    "weighted": lambda p: p * xr.ones_like(p["patch"], float),
    "stack bands and unstack": lambda p: p.stack(z=["band"]).unstack("z"),
    "rolling mean of one": lambda p: p.rolling(band=1).mean(),
    "cumsum of one": lambda p: p.isel(band=[0, 1]),
    "interpolate nothing": lambda p: p.interpolate_na("band", use_coordinate=False),
}


@pytest.mark.parametrize("dask", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("operation", UNCHANGED)
def test_operation_that_changes_nothing(operation, dask):
    field = make_field(dask)
    patches = UNCHANGED[operation](make_patches(dask))
    merged = patches.patch.merge(MEAN).load()
    assert merged.dims == field.dims
    np.testing.assert_allclose(merged.values, field.values, rtol=1e-9, atol=1e-12)
    for name, coord in field.coords.items():
        if operation == "to_dataset of bands" and name in ("band", "wavelength"):
            continue
        xr.testing.assert_identical(merged.coords[name].variable.load(), coord.variable.load())
    assert merged.dtype == field.dtype


REDUCED = {
    "mean of bands": (lambda o: o.mean("band"), lambda o: o.mean("band")),
    "max of bands": (lambda o: o.max("band"), lambda o: o.max("band")),
    "quantile": (lambda o: o.quantile(0.3, "band"), lambda o: o.quantile(0.3, "band")),
    "one band": (lambda o: o.isel(band=0), lambda o: o.isel(band=0)),
    "one band by label": (lambda o: o.sel(band=8), lambda o: o.sel(band=8)),
    "argmax": (lambda o: o.argmax("band"), lambda o: o.argmax("band")),
    "diff of bands": (lambda o: o.diff("band"), lambda o: o.diff("band")),
    "dot": (lambda o: o.dot(o.wavelength), lambda o: o.dot(o.wavelength)),
    "threshold": (lambda o: o > 0, lambda o: o > 0),
    "new dim": (lambda o: o.expand_dims(member=2), lambda o: o.expand_dims(member=2)),
    "coarsen bands": (lambda o: o.coarsen(band=2).mean(), lambda o: o.coarsen(band=2).mean()),
    "integers": (lambda o: (o * 9).astype("i2"), lambda o: (o * 9).astype("i2")),
}


@pytest.mark.parametrize("dask", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("operation", REDUCED)
def test_operation_on_other_dims(operation, dask):
    on_patches, on_field = REDUCED[operation]
    patches, field = make_patches(dask).load(), make_field().load()
    patches = patches.chunk(patch=4) if dask and operation != "quantile" else patches
    merged = on_patches(patches).patch.merge("first").load()
    expected = on_field(field)
    np.testing.assert_allclose(merged.values, expected.values, rtol=1e-12)
    assert merged.dtype == expected.dtype
    assert set(merged.dims) == set(expected.dims)
    for name in ("y", "x", "spatial_ref"):
        xr.testing.assert_identical(merged.coords[name].variable, field.coords[name].variable)


def netcdf(p, path):
    p.to_netcdf(path / "p.nc")
    return xr.open_dataarray(path / "p.nc", decode_coords="all")


def netcdf_chunked(p, path):
    p.to_netcdf(path / "p.nc")
    return xr.open_dataarray(path / "p.nc", decode_coords="all", chunks={"patch": 3})


def zarr(p, path):
    p.to_zarr(path / "p.zarr")
    return xr.open_dataarray(path / "p.zarr", engine="zarr", chunks=None, decode_coords="all")


def zarr_chunked(p, path):
    p.chunk(patch=5).to_zarr(path / "p.zarr")
    return xr.open_dataarray(path / "p.zarr", engine="zarr", chunks={}, decode_coords="all")


def zarr_appended(p, path):
    ds = p.to_dataset(name="scene")
    ds.isel(patch=slice(0, 5)).to_zarr(path / "p.zarr")
    ds.isel(patch=slice(5, None)).to_zarr(path / "p.zarr", append_dim="patch")
    return xr.open_zarr(path / "p.zarr", decode_coords="all")["scene"]


SAMPLERS = [xpatch.RegularStride(3), xpatch.Random(40, seed=0), xpatch.PoissonDisk(2, seed=0)]


@pytest.mark.filterwarnings("ignore:.*zarr.*")
@pytest.mark.parametrize("window", [None, "hann"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("store", [netcdf, netcdf_chunked, zarr, zarr_chunked, zarr_appended])
def test_files(store, sampler, window, tmp_path):
    field = make_field()
    patches = field.patch.split(geometry={"y": 6, "x": 6}, sampler=sampler, window=window)
    read = store(patches, tmp_path)
    expected = patches.patch.merge(MEAN)
    covered = (patches.patch.merge("count") > 0).any("band")
    for merged in (read.patch.merge(MEAN), read.patch.merge(MEAN, like=field)):
        np.testing.assert_allclose(merged, expected)
        assert merged.dims == field.dims
        for name in ("band", "y", "x", "wavelength"):
            np.testing.assert_array_equal(merged.coords[name], field.coords[name])
            assert merged.coords[name].attrs == field.coords[name].attrs
        np.testing.assert_array_equal(merged.lat.where(covered), field.lat.where(covered))
    read.close()


def test_functions_are_not_stored(tmp_path):
    field = make_field()
    window = xpatch.Custom(lambda u: 1.5 - abs(u))
    patches = field.patch.split(geometry={"y": 6, "x": 6}, window=window)
    read = netcdf(patches, tmp_path)
    with pytest.raises(ValueError, match=r"Custom.*split the field again.*copy\(data=stored\)"):
        read.patch.merge()
    xr.testing.assert_allclose(patches.copy(data=read.values).patch.merge(), field)
    read.close()


def test_shuffled_file(tmp_path):
    patches = make_patches()
    order = np.random.default_rng(0).permutation(patches.sizes["patch"])
    read = netcdf(patches.isel(patch=order), tmp_path)
    xr.testing.assert_allclose(read.patch.merge(MEAN), make_field())
    part = read.isel(patch=slice(0, 3)).patch.merge("count")
    assert int((part > 0).sum()) < part.size
    read.close()


def test_single_patch_is_a_georeferenced_raster():
    import rioxarray  # noqa: F401

    patch = make_patches().isel(patch=5)
    field = make_field()
    window = field.sel(y=patch.y, x=patch.x)
    np.testing.assert_array_equal(patch, window)
    assert patch.rio.crs == "EPSG:32719"
    assert patch.rio.transform() == window.rio.transform()
    assert patch.rio.reproject("EPSG:4326").sizes["band"] == 2
    assert float(patch.set_xindex("y").sel(y=float(patch.y[2])).y) == float(patch.y[2])


def test_a_field_and_its_patches_do_not_mix_silently():
    with pytest.raises(xr.AlignmentError):
        _ = make_patches() - make_field()


def test_patches_of_other_anchors_do_not_align():
    other = make_field().patch.split(geometry={"y": 6, "x": 6}, sampler=xpatch.RegularStride(2))
    with pytest.raises(ValueError, match=r"anchors along 'patch' differ.*Explicit"):
        _ = make_patches() + other


def test_patches_of_two_splits_make_a_training_set_but_no_field(tmp_path):
    field = make_field()
    other = field.patch.split(geometry={"y": 6, "x": 6}, sampler=xpatch.RegularStride(2))
    both = xr.concat([make_patches(), other], "patch")
    assert both.sizes["patch"] == make_patches().sizes["patch"] + other.sizes["patch"]
    with pytest.raises(ValueError, match="different splits"):
        both.patch.merge()
    with pytest.raises(ValueError, match="different splits"):
        both.isel(patch=slice(0, 3)).patch.merge()
    assert "xpatch_recipe" not in both.isel(patch=slice(0, 30))["patch"].attrs
    read = netcdf(both, tmp_path)
    with pytest.raises(ValueError, match=r"patch labels run from|labels along 'y' are not those"):
        read.patch.merge()
    read.close()


def test_copies_share_the_plan():
    patches = make_patches()
    plan = patches.xindexes["patch"].plans[0]
    assert copy.deepcopy(patches).xindexes["patch"].plans[0] is plan
    assert patches.map_blocks(same).xindexes["patch"].plans[0] is plan


def test_methods_are_pickled_as_those_of_the_accessor():
    field = xr.DataArray(np.arange(64.0).reshape(8, 8), dims=("y", "x"), name="a")
    patches = field.to_dataset().patch.split({"y": 4, "x": 4})
    merge = pickle.loads(pickle.dumps(patches.patch.merge))
    xr.testing.assert_identical(merge(), field.to_dataset())
    assert type(patches.patch.merge.__self__) is type(patches.patch)
    late = dask.delayed(field.patch.split)({"y": 4, "x": 4}).compute(scheduler="threads")
    xr.testing.assert_identical(late.patch.merge(), field)
