"""Patches of several fields in one set: each keeps its CRS, its labels and the way back."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch

rioxarray = pytest.importorskip("rioxarray")
pyproj = pytest.importorskip("pyproj")
TILES = {"y": 10, "x": 10}
rng = np.random.default_rng(0)


def raster(crs=32633, ny=20, nx=30, x0=500000.0, name="r", **attrs):
    x, y = x0 + 10 * (np.arange(nx) + 0.5), 6000000 - 10 * (np.arange(ny) + 0.5)
    f = xr.DataArray(rng.random((ny, nx)), {"y": y, "x": x}, ("y", "x"), name=name, attrs=attrs)
    return f if crs is None else f.rio.write_crs(crs).rio.write_transform()


@pytest.fixture(scope="module")
def zones():
    return [raster(32633), raster(32634, ny=30, nx=20)]


def cut(fields, **how):
    return [f.patch.split(geometry=TILES, **how) for f in fields]


def check_scenes(t, fields, names=(0, 1)):
    """Each scene merges to its field, selected in several ways, also from a shuffled set."""
    for name, f in zip(names, fields, strict=True):
        for some in (t, t.isel(patch=rng.permutation(t.sizes["patch"]))):
            own = some.isel(patch=(some["scene"] == name).values).patch.merge()
            xr.testing.assert_allclose(own, f)
            assert own.dims == f.dims
            assert own.rio.crs == f.rio.crs
            assert own.rio.transform() == f.rio.transform()
            assert set(own.coords) == set(f.coords)
    merged = {name: group.patch.merge() for name, group in t.groupby("scene")}
    for name, f in zip(names, fields, strict=True):
        xr.testing.assert_allclose(merged[name], f)


# ------------------------------------------------------------------ concat


@pytest.mark.parametrize("chunks", [None, {"y": 10, "x": 20}])
@pytest.mark.parametrize("dataset", [False, True])
@pytest.mark.parametrize(
    "sampler", [None, xpatch.RegularStride(5), xpatch.Random(40, seed=0, replace=True)]
)
def test_scenes_of_two_zones(zones, chunks, dataset, sampler):
    fields = zones if chunks is None else [f.chunk(chunks) for f in zones]
    fields = [f.to_dataset() for f in fields] if dataset else fields
    sets = cut(fields, **({} if sampler is None else {"sampler": sampler}))
    t = xpatch.concat(sets)
    assert t["patch"].to_index().is_unique
    assert "spatial_ref" not in t.coords
    np.testing.assert_array_equal(np.unique(t["crs"]), ["EPSG:32633", "EPSG:32634"])
    array = t.r if dataset else t
    assert (array.chunks is None) == (chunks is None)
    np.testing.assert_array_equal(array, np.concatenate([s.r if dataset else s for s in sets]))
    if sampler is None or "Random" not in repr(sampler):
        check_scenes(t.compute(), [f.compute() for f in fields])


def test_labels_are_counted_on_by_the_length_of_the_splits(zones):
    a, b = cut(zones)
    t = xpatch.concat([a.isel(patch=[4, 2]), b.isel(patch=[5, 0])], scenes=["a", "b"])
    np.testing.assert_array_equal(t["patch"], [4, 2, 6 + 5, 6 + 0])
    np.testing.assert_array_equal(t["scene"], ["a", "a", "b", "b"])
    one = t.isel(patch=slice(2, None)).patch.merge()
    assert one.rio.crs.to_epsg() == 32634
    assert int(one.notnull().sum()) == 200


def test_one_patch_of_a_scene_has_its_own_crs_labels_and_transform(zones):
    a, b = cut(zones)
    t = xpatch.concat([a, b], scenes=["west", "east"])
    for k, (p, i) in {0: (a, 0), 5: (a, 5), 6: (b, 0), -1: (b, 5)}.items():
        one, alone = t.patch[k], p.patch[i]
        assert one.rio.crs == alone.rio.crs
        assert one.rio.transform() == alone.rio.transform()
        xr.testing.assert_identical(one.y, alone.y.assign_coords(one.y.drop_vars("y").coords))
        np.testing.assert_array_equal(one, alone)
        assert one["scene"].item() == ("east" if p is b else "west")
        assert "crs" not in one.coords
        assert one["patch"].item() == t["patch"].values[k]
    back = t.isel(patch=7).patch.merge()  # a single patch still knows where it lies
    assert back.rio.crs.to_epsg() == 32634
    assert int(back.notnull().sum()) == 100


def test_data_on_disk_stay_there(zones, tmp_path):
    fields = []
    for k, f in enumerate(zones):
        f.to_netcdf(tmp_path / f"{k}.nc")
        fields.append(xr.open_dataset(tmp_path / f"{k}.nc", decode_coords="all", cache=False).r)
    t = xpatch.concat(cut(fields))
    assert not t.variable._in_memory
    assert t.chunks is None
    assert not t.y.variable._in_memory
    assert not t.x.variable._in_memory
    whole = np.concatenate(cut(zones))
    for key in (slice(3, 9), [7, 0, 7, 11], 4, slice(None, None, -2), []):
        np.testing.assert_array_equal(t.isel(patch=key), whole[key])
        np.testing.assert_array_equal(t.isel(patch=key, y=[3, 1], x=2), whole[key][..., [3, 1], 2])
    np.testing.assert_array_equal(t.transpose("y", "patch", "x").isel(y=1), whole[:, 1])
    batches = list(t.patch.batches(5))
    assert [b.sizes["patch"] for b in batches] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate(batches), whole)
    check_scenes(t, zones)
    mixed = xpatch.concat([cut(fields)[0], cut(zones)[1]])
    assert not mixed.variable._in_memory
    np.testing.assert_array_equal(mixed, whole)
    lazy = xpatch.concat([cut(fields)[0], cut([zones[1].chunk()])[0]])
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy, whole)


@pytest.mark.parametrize("store", ["netcdf", "zarr"])
@pytest.mark.parametrize("decode", ["all", True])
@pytest.mark.parametrize("sampler", [None, xpatch.Random(60, seed=0, replace=True)])
def test_scenes_are_written_and_read(zones, tmp_path, store, decode, sampler):
    sets = cut(zones, **({} if sampler is None else {"sampler": sampler}))
    t = xpatch.concat(sets, scenes=["west", "east"])
    if store == "netcdf":
        t.to_netcdf(tmp_path / "t.nc")
        back = xr.open_dataset(tmp_path / "t.nc", decode_coords=decode).r
    else:
        t.to_zarr(tmp_path / "t.zarr", consolidated=False)
        back = xr.open_zarr(tmp_path / "t.zarr", decode_coords=decode, consolidated=False).r
    for name, f, own in zip(("west", "east"), zones, sets, strict=True):
        m = back.isel(patch=(back["scene"] == name).values).patch.merge()
        xr.testing.assert_allclose(m, own.patch.merge())
        assert m.rio.crs == f.rio.crs
        assert set(m.coords) == set(f.coords)
        assert m.rio.transform() == f.rio.transform()
    assert back.patch[-1].rio.crs.to_epsg() == 32634
    with pytest.raises(ValueError, match=r"2 different scenes \('west', 'east'\).*groupby"):
        back.patch.merge()
    again = xpatch.concat(
        [back.isel(patch=(back["scene"] == n).values) for n in ("east", "west")], ["e", "w"]
    )
    assert again.isel(patch=(again["scene"] == "w").values).patch.merge().rio.crs.to_epsg() == 32633


def test_patches_of_several_scenes_make_no_field(zones):
    t = xpatch.concat(cut(zones))
    with pytest.raises(ValueError, match=r"2 different scenes.*groupby"):
        t.patch.merge()
    with pytest.raises(ValueError, match="2 different scenes"):
        t.to_dataset().patch.merge()


def test_footprints_in_one_crs(zones):
    gpd = pytest.importorskip("geopandas")
    a, b = cut(zones)
    t = xpatch.concat([a, b], scenes=["west", "east"]).isel(patch=[8, 1, 6])
    with pytest.raises(ValueError, match="to_crs"):
        t.patch.footprints()
    found = t.patch.footprints(to_crs=3035)
    expected = [a.patch.footprints().iloc[[1]], b.patch.footprints().iloc[[2, 0]]]
    expected = pd.concat([e.to_crs(3035) for e in expected]).iloc[[1, 0, 2]]
    assert found.crs.to_epsg() == 3035
    assert list(found.index) == [8, 1, 6]
    assert list(found["scene"]) == ["east", "west", "east"]
    assert (
        gpd.GeoSeries(found.geometry.values)
        .geom_equals_exact(gpd.GeoSeries(expected.geometry.values), 1e-6)
        .all()
    )
    assert a.patch.footprints(to_crs=4326).crs.to_epsg() == 4326
    with pytest.raises(ValueError, match="write_crs"):
        raster(None).patch.split(geometry=TILES).patch.footprints(to_crs=4326)


def test_scenes_in_one_crs_keep_their_grid_mapping():
    fields = [raster(), raster(x0=700000.0)]
    t = xpatch.concat(cut(fields))
    assert t.rio.crs.to_epsg() == 32633
    assert "crs" not in t.coords
    assert "GeoTransform" not in t.spatial_ref.attrs
    check_scenes(t, fields)
    assert t.patch.footprints().crs.to_epsg() == 32633
    # one CRS, written in two ways
    wkt = fields[1].rio.write_crs(pyproj.CRS(32633).to_wkt("WKT1_GDAL")).rio.write_transform()
    assert xpatch.concat(cut([fields[0], wkt])).rio.crs.to_epsg() == 32633
    # one of them without
    bare = xpatch.concat(cut([fields[0], raster(None)]))
    assert list(np.unique(bare["crs"])) == ["", "EPSG:32633"]
    assert bare.patch[-1].rio.crs is None
    assert bare.patch[0].rio.crs.to_epsg() == 32633


def test_windows_in_time_of_one_raster_each():
    time = pd.date_range("2000", periods=8)
    fields = [
        raster().expand_dims(time=time),
        raster(32634).expand_dims(time=time + pd.Timedelta("9D")),
    ]
    sets = [f.patch.split(xpatch.TimePatcher(xpatch.LookbackHorizon(3, 2))) for f in fields]
    t = xpatch.concat(sets)
    assert t["lead"].dims == ("time",)
    assert t.patch.lookback.sizes["time"] == 3
    for k, f in enumerate(fields):
        own = t.isel(patch=(t["scene"] == k).values)
        xr.testing.assert_allclose(own.patch.merge(), f)
        assert own.patch.merge().rio.transform() == f.rio.transform()
        assert own.patch[0].rio.transform() == f.rio.transform()
        horizon = own.patch.horizon
        assert horizon.sizes["time"] == 2
        assert horizon.patch.merge().notnull().any("time").all()
    with pytest.raises(ValueError, match="different scenes"):
        t.patch.lookback.patch.merge()


def stations(n, shift=0.0):
    coords = {"lon": ("obs", shift + rng.uniform(0, 5, n)), "lat": ("obs", rng.uniform(0, 5, n))}
    return xr.DataArray(np.arange(float(n)), coords, ("obs",), name="v")


@pytest.mark.parametrize("kind", ["memory", "dask", "disk"])
def test_lists_of_members_of_unequal_lengths(kind, tmp_path):
    fields = [stations(12), stations(30, 40.0)]
    given = fields if kind == "memory" else [f.chunk(obs=10) for f in fields]
    if kind == "disk":
        for k, f in enumerate(fields):
            f.to_netcdf(tmp_path / f"{k}.nc")
        given = [
            xr.open_dataset(tmp_path / f"{k}.nc", cache=False).set_coords(["lon", "lat"]).v
            for k in (0, 1)
        ]
    sets = [f.patch.split(geometry=xpatch.SphericalCap(150.0)) for f in given]
    assert sets[0].sizes["obs"] != sets[1].sizes["obs"]
    t = xpatch.concat(sets)
    assert t.sizes["obs"] == max(s.sizes["obs"] for s in sets)
    assert t["obs"].dtype.kind == "i"
    assert bool((t["obs"].values >= -1).all())
    assert (t.chunks is not None) == (kind == "dask")
    assert t.variable._in_memory == (kind == "memory")
    for k, f in enumerate(fields):
        own = t.isel(patch=(t["scene"] == k).values)
        xr.testing.assert_allclose(own.patch.merge().compute(), f)
        np.testing.assert_allclose(t.patch[12 * k + 3], sets[k].patch[3])
    t.to_netcdf(tmp_path / "t.nc")
    back = xr.open_dataset(tmp_path / "t.nc").v
    np.testing.assert_allclose(back.isel(patch=slice(12, None)).patch.merge(), fields[1])


def test_what_scenes_differ_in_is_kept_for_each_patch():
    bands = [xr.DataArray(w, dims="band") for w in ([0.4, 0.5], [0.45, 0.55])]
    fields = [
        raster(32633 + k)
        .expand_dims(band=b.values)
        .assign_coords(date=np.datetime64(f"200{k}-01-01", "ns"), sensor="S2")
        for k, b in enumerate(bands)
    ]
    t = xpatch.concat(cut(fields))
    assert t["date"].dims == ("patch",)
    assert t["sensor"].ndim == 0
    assert t["band"].dims == ("patch", "band")
    for k, f in enumerate(fields):
        m = t.isel(patch=(t["scene"] == k).values).patch.merge()
        xr.testing.assert_allclose(m, f)
        assert m["date"] == f["date"]
        assert m.indexes["band"].equals(f.indexes["band"])
        assert t.patch[6 * k]["date"] == f["date"]
        np.testing.assert_array_equal(t.patch[6 * k].indexes["band"], f.band)


def test_a_dataset_whose_crs_is_a_data_variable(zones):
    fields = [f.to_dataset().reset_coords("spatial_ref") for f in zones]
    t = xpatch.concat(cut(fields))
    assert "spatial_ref" not in t
    assert set(t["crs"].values) == {"EPSG:32633", "EPSG:32634"}
    for k, f in enumerate(fields):
        m = t.isel(patch=(t["scene"] == k).values).patch.merge()
        assert m["spatial_ref"].attrs == f["spatial_ref"].attrs
        xr.testing.assert_allclose(m, f)


def test_models_between(zones):
    t = xpatch.concat(cut([f.chunk() for f in zones]))
    out = t.map_blocks(lambda p: 2 * p, template=xr.zeros_like(t)) + 1
    np.testing.assert_allclose(out.isel(patch=slice(6, None)).patch.merge(), 2 * zones[1] + 1)
    bare = xr.DataArray(t.values, dims=t.dims, coords={"patch": t["patch"]})
    m = bare.isel(patch=slice(6, None)).patch.merge()
    assert m.rio.crs.to_epsg() == 32634
    finer = xr.DataArray(
        np.kron(t.values, np.ones((1, 2, 2))), dims=t.dims, coords={"patch": t["patch"]}
    )
    m = finer.isel(patch=slice(6)).patch.merge(scale={"y": 2, "x": 2})
    assert m.rio.resolution() == (5, -5)
    assert m.rio.crs.to_epsg() == 32633
    crop = t.patch.crop(y=2, x=2).isel(patch=slice(6, None)).patch.merge()
    assert int(crop.notnull().sum()) == 6 * 36
    painted = t.mean(("y", "x")).isel(patch=slice(6, None)).patch.merge()
    assert painted.shape == zones[1].shape


def test_scenes_align_with_scenes(zones):
    t = xpatch.concat(cut(zones))
    both = xr.Dataset({"image": t, "label": t.isel(patch=slice(None, None, -1)) > 0.5})
    assert both.sizes["patch"] == 12
    assert bool((both.label == (both.image > 0.5)).all())
    m = both.isel(patch=slice(6, None)).patch.merge()
    xr.testing.assert_allclose(m.image, zones[1].rename("image"))
    again = xr.concat([t.isel(patch=slice(6, None)), t.isel(patch=slice(6))], "patch")
    check_scenes(again, zones)
    with pytest.raises(ValueError, match="do not belong together"):
        t.isel(patch=slice(6, None)) + cut(zones)[1]  # labels 6 to 11, and 0 to 5
    renamed = t.rename(y="north")
    assert renamed.isel(patch=slice(6)).patch.merge().dims == ("north", "x")


def test_a_label_field_at_the_anchors_of_each_scene(zones):
    coarse = [f.coarsen(y=2, x=2).mean() for f in zones]
    images = cut(zones)
    labels = [
        c.patch.split(geometry={"y": 5, "x": 5}, sampler=xpatch.Explicit(p)).rename(y="yc", x="xc")
        for c, p in zip(coarse, images, strict=True)
    ]
    ds = xr.Dataset({"image": xpatch.concat(images), "label": xpatch.concat(labels)})
    own = ds.isel(patch=(ds["scene"] == 1).values)
    assert own.sizes["patch"] == 6
    assert own.image.patch.merge().rio.crs.to_epsg() == 32634
    np.testing.assert_allclose(own.label.patch.merge(), coarse[1])


def test_sets_of_sets(zones):
    third = raster(32635)
    t = xpatch.concat(cut(zones), scenes=["a", "b"])
    every = xpatch.concat([t, cut([third])[0]], scenes=["a", "b", "c"])
    assert list(every.groupby("scene").groups) == ["a", "b", "c"]
    check_scenes(every, [*zones, third], ["a", "b", "c"])
    assert list(np.unique(xpatch.concat([t])["scene"])) == ["a", "b"]
    some = xpatch.concat([t.isel(patch=[7])])
    assert some.patch.merge().rio.crs.to_epsg() == 32634


def test_sets_read_from_files(zones, tmp_path):
    for k, p in enumerate(cut(zones)):
        p.to_netcdf(tmp_path / f"{k}.nc")
    sets = [xr.open_dataset(tmp_path / f"{k}.nc").r for k in (0, 1)]
    t = xpatch.concat(sets)
    assert set(t["crs"].values) == {"EPSG:32633", "EPSG:32634"}
    for k, f in enumerate(zones):
        m = t.isel(patch=(t["scene"] == k).values).patch.merge()
        xr.testing.assert_allclose(m, f)
        assert m.rio.crs == f.rio.crs


def test_recipes_hold_what_is_the_same_once():
    fields = [raster(x0=500000.0 + 1000 * k) for k in range(50)]
    t = xpatch.concat(cut(fields))
    text = t["patch"].attrs["xpatch_recipe"]
    assert text.count("crs_wkt") == 1
    assert len(text) < 50_000
    assert len(json.loads(text)["scenes"]) == 50
    xr.testing.assert_allclose(t.isel(patch=slice(6 * 17, 6 * 18)).patch.merge(), fields[17])


def test_scenes_that_were_cut_apart_are_one_again(tmp_path):
    f = xr.DataArray(np.arange(144.0).reshape(12, 12), dims=("y", "x"), name="v")
    f = f.assign_coords(y=np.arange(12.0), x=np.arange(12.0))
    p, q = (g.patch.split({"y": 4, "x": 4}) for g in (f, f + 1))
    for names in (["A", "B"], None):
        t = xpatch.concat([p, q], scenes=names)
        again = xpatch.concat([t[12:], t[:5], t[5:12]])
        xr.testing.assert_identical(
            again.groupby("scene").count(...), t.groupby("scene").count(...)
        )
        for k, g in enumerate((f, f + 1)):
            own = again[again.scene == (names or [0, 1])[k]]
            xr.testing.assert_allclose(own.patch.merge(), g)
    t = xpatch.concat([p, q], scenes=["A", "B"])
    t.to_zarr(tmp_path / "t.zarr")
    read = xr.open_zarr(tmp_path / "t.zarr", chunks=None)["v"]
    again = xpatch.concat([read[:5], read[5:]])
    assert sorted(set(again.scene.values)) == ["A", "B"]
    xr.testing.assert_allclose(again[again.scene == "A"].patch.merge(), f)
    with pytest.raises(ValueError, match=r"several scenes are called 'A'.*scenes="):
        xpatch.concat([t, t])
    numbered = xpatch.concat([xpatch.concat([p, q]), xpatch.concat([p + 2, q + 2])])
    assert sorted(set(numbered.scene.values)) == [0, 1, 2, 3]


# ------------------------------------------------------------------ refused


def test_xr_concat_of_several_crs_names_concat(zones):
    a, b = cut(zones)
    with pytest.raises(ValueError, match=r"EPSG:32633 and EPSG:32634.*xpatch\.concat"):
        xr.concat([a, b], "patch")
    same = xr.concat([a, cut([raster(x0=0.0)])[0]], "patch")  # as before
    assert same.sizes["patch"] == 12
    assert same.rio.crs.to_epsg() == 32633
    assert same.patch[7].rio.bounds() == (100, 5999900, 200, 6000000)
    with pytest.raises(ValueError, match=r"xpatch\.concat"):
        xpatch.concat([same, b])


def test_what_concat_refuses(zones):
    a, b = cut(zones)
    small = zones[1].patch.split(geometry={"y": 5, "x": 10})
    with pytest.raises(ValueError, match=r"5 along 'y'.*crop"):
        xpatch.concat([a, small])
    with pytest.raises(TypeError, match="one kind"):
        xpatch.concat([a, b.to_dataset()])
    with pytest.raises(ValueError, match=r"differ in \['q', 'r'\]"):
        xpatch.concat([a.to_dataset(), b.to_dataset(name="q")])
    with pytest.raises(ValueError, match="rename"):
        xpatch.concat([a, b.rename(patch="sample")])
    with pytest.raises(ValueError, match="1 names for 2"):
        xpatch.concat([a, b], scenes=["a"])
    with pytest.raises(ValueError, match="of its own"):
        xpatch.concat([a, b], scenes=["a", "a"])
    with pytest.raises(TypeError, match=r"xpatch\.concat\(\[a, b\]\)"):
        xpatch.concat(a)
    with pytest.raises(ValueError, match="at least one"):
        xpatch.concat([])
    with pytest.raises(TypeError, match="DataArrays or Datasets"):
        xpatch.concat([a, 3])
    with pytest.raises(ValueError, match="not patches"):
        xpatch.concat([zones[0], b])
    with pytest.raises(ValueError, match="single patch"):
        xpatch.concat([a.isel(patch=0), b])
    with pytest.raises(ValueError, match=r"rename\(scene="):
        xpatch.concat(cut([f.assign_coords(scene="x") for f in zones]))
    with pytest.raises(ValueError, match=r"'units' of 'r' differs.*K and degC"):
        xpatch.concat([s.assign_attrs(units=u).to_dataset() for s, u in ((a, "K"), (b, "degC"))])
    tree = xr.DataArray(
        np.arange(20.0), {"time": pd.date_range("2000", periods=20)}, ("time",), name="t"
    )
    tree = tree.patch.split(xpatch.TimePatcher(xpatch.MultiScale([2, 4])))
    with pytest.raises(TypeError, match="each scale"):
        xpatch.concat([tree, tree])


# ------------------------------------------------------------------ selections


@pytest.mark.parametrize(
    "select",
    [
        lambda t: t.where(t["scene"] == "b", drop=True),
        lambda t: t.sel(patch=slice(6, 11)),
        lambda t: t.sortby("scene", ascending=False).isel(patch=slice(6)),
        lambda t: t.isel(patch=t["crs"] == "EPSG:32634"),
        lambda t: pickle.loads(pickle.dumps(t)).isel(patch=slice(6, None)),
        lambda t: xr.concat(list(t.isel(patch=slice(6, None)).patch.batches(4)), "patch"),
        lambda t: t.copy(deep=True).isel(patch=slice(6, None)),
    ],
)
def test_scenes_are_selected(zones, select):
    own = select(xpatch.concat(cut(zones), ["a", "b"]))
    xr.testing.assert_allclose(own.patch.merge(), zones[1])
    assert own.patch.merge().rio.crs.to_epsg() == 32634
    xr.testing.assert_allclose(own.patch.merge(like=zones[1]), zones[1])


def test_what_is_asked_of_one_scene_has_its_labels(zones):
    own = xpatch.concat(cut(zones), ["a", "b"]).isel(patch=slice(6, None))
    np.testing.assert_array_equal(own.patch.anchors["patch"], np.arange(6, 12))
    assert bool(own.where(own.patch.mask).notnull().all())
    assert own.patch.domain.crs.to_epsg() == 32634
    fine = zones[1].patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.Explicit(own))
    assert fine.sizes["patch"] == 6


def test_crs_that_cf_describes_by_arrays():
    def lambert(parallels):
        attrs = pyproj.CRS.from_proj4(
            f"+proj=lcc +lat_1={parallels[0]} +lat_2={parallels[1]} +lat_0=50 +lon_0=10"
        ).to_cf()
        attrs = {
            k: np.array(v) if isinstance(v, list | tuple) else v
            for k, v in attrs.items()
            if k != "crs_wkt"
        }
        return (
            raster(None).assign_coords(lambert=((), 0, attrs)).assign_attrs(grid_mapping="lambert")
        )

    sets = cut([lambert((40, 60)), lambert((40, 60)), lambert((30, 60))])
    assert xr.concat(sets[:2], "patch").sizes["patch"] == 12
    with pytest.raises(ValueError, match=r"xpatch\.concat"):
        xr.concat(sets[1:], "patch")
    t = xpatch.concat(sets)
    assert "lambert" not in t.coords
    assert t["crs"].values[0].startswith("PROJCRS")
    assert t.isel(patch=slice(12, None)).patch.merge()["lambert"].attrs[
        "standard_parallel"
    ].tolist() == [30, 60]
    assert xpatch.concat(sets[:2])["lambert"].ndim == 0


@pytest.mark.parametrize(
    "names",
    [
        [pd.Timestamp("2000-01-01"), pd.Timestamp("2001-01-01")],
        np.array(["2000-01-01", "2001-01-01"], "M8[D]"),
        xr.DataArray(["a", "b"]),
        np.array([3, 1]),
        (0.5, 1.5),
    ],
)
def test_names_of_scenes_come_back(tmp_path, names):
    line = xr.DataArray(np.arange(8.0), {"x": np.arange(8.0)}, name="t")
    patches = line.patch.split({"x": 4})
    t = xpatch.concat([patches, patches], scenes=names)
    np.testing.assert_array_equal(t.scene, np.repeat(np.asarray(names), 2))
    t.to_netcdf(tmp_path / "t.nc")
    with xr.open_dataarray(tmp_path / "t.nc") as back:
        np.testing.assert_array_equal(back.scene, t.scene)
        xr.testing.assert_allclose(back.patch[3], t.patch[3])


@pytest.mark.parametrize(
    "names", [[b"a", b"b"], [("a", 1), ("b", 2)], [np.nan, 1.0], [True, False]]
)
def test_names_that_say_nothing_are_refused(names):
    line = xr.DataArray(np.arange(8.0), {"x": np.arange(8.0)}, name="t")
    patches = line.patch.split({"x": 4})
    with pytest.raises(TypeError, match="scenes must be text, numbers or dates"):
        xpatch.concat([patches, patches], scenes=names)


def test_crss_of_outlines_are_named_in_few_words():
    field = xr.DataArray(np.zeros((6, 6)), {"y": np.arange(6.0), "x": np.arange(6.0)}, ("y", "x"))
    systems = "+proj=laea +lat_0=50 +lon_0=10", "EPSG:32633"
    sets = [field.rio.write_crs(c).patch.split(geometry={"y": 3, "x": 3}) for c in systems]
    named = r"CRSs, EPSG:32633 and unnamed Lambert Azimuthal Equal Area; say"
    with pytest.raises(ValueError, match=named):
        xpatch.concat(sets).patch.footprints()


def test_a_scene_whose_writer_says_that_nan_is_missing():
    west = xr.DataArray(np.ones((4, 4), "f4"), {"x": np.arange(4.0)}, ("y", "x"))
    east = west.assign_coords(x=west.x + 9).assign_attrs(_FillValue=np.float32("nan"))
    east["x"].attrs["units"] = "metre"
    patches = xpatch.concat([f.patch.split(geometry={"y": 2, "x": 2}) for f in (west, east)])
    assert patches.sizes["patch"] == 8
    assert not {"_FillValue"} & {*patches.attrs}
    feet = west.assign_coords(x=("x", west.x.values, {"units": "ft"}))
    with pytest.raises(ValueError, match="'units' of 'x' differs"):
        xpatch.concat([f.patch.split(geometry={"y": 2, "x": 2}) for f in (feet, east)])
    numbered = east.assign_attrs(_FillValue=-9999.0)
    with pytest.raises(ValueError, match=r"'_FillValue' of .* differs"):
        xpatch.concat([f.patch.split(geometry={"y": 2, "x": 2}) for f in (west, numbered)])


def test_a_mapping_of_scenes_is_told_how_to_write_it(zones):
    with pytest.raises(TypeError, match=r"list\(sets\.values\(\)\), scenes=list\(sets\)"):
        xpatch.concat(dict(zip("ab", cut(zones), strict=True)))


def test_a_field_that_was_not_split_is_told_to_be(zones):
    with pytest.raises(ValueError, match=r"these are not patches.*field\.patch\.split"):
        xpatch.concat(zones)
