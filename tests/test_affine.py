"""Rasters whose place only an affine says, and the transform of patches and of merged fields; GDAL is the oracle."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

import xpatch

gpd = pytest.importorskip("geopandas")
rasterio = pytest.importorskip("rasterio")
rioxarray = pytest.importorskip("rioxarray")
shapely = pytest.importorskip("shapely")
from affine import Affine  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
NORTH = Affine(10, 0, 500000, 0, -10, 6000000)
TURNED = Affine.translation(500000, 6000000) @ Affine.rotation(20) @ Affine.scale(10, -10)
TILES = {"y": 20, "x": 20}


def values(ny=60, nx=80, dtype="f4"):
    return np.arange(ny * nx, dtype=dtype).reshape(ny, nx)


def raster(transform=NORTH, crs=32633, ny=60, nx=80):
    x, y = (
        transform.c + transform.a * (np.arange(nx) + 0.5),
        transform.f + transform.e * (np.arange(ny) + 0.5),
    )
    f = xr.DataArray(values(ny, nx), {"y": y, "x": x}, ("y", "x"), name="r")
    return f.rio.write_crs(crs).rio.write_transform(transform)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A north-up and a rotated GeoTIFF of the same values."""
    where = tmp_path_factory.mktemp("rasters")
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, transform in (("north", NORTH), ("turned", TURNED)):
            found[name] = where / f"{name}.tif"
            options = {
                "height": 60,
                "width": 80,
                "count": 1,
                "dtype": "float32",
                "crs": "EPSG:32633",
            }
            with rasterio.open(
                found[name], "w", driver="GTiff", transform=transform, **options
            ) as d:
                d.write(values()[None])
    return found


def opened(files, name, parse=True, chunks=None):
    f = rioxarray.open_rasterio(files[name], parse_coordinates=parse, chunks=chunks)
    return f.squeeze("band", drop=True).rename("r")


def of_gdal(field, path):
    """Give the transform and the CRS that GDAL reads from what was written."""
    field.rio.to_raster(path)
    with rasterio.open(path) as d:
        return d.transform, d.crs.to_epsg()


# ------------------------------------------------------------------ domains


def test_the_affine_is_that_of_rasterio_where_labels_are_missing(files):
    for name, transform in (("north", NORTH), ("turned", TURNED)):
        np.testing.assert_allclose(opened(files, name, False).patch.domain.affine, transform[:6])
    np.testing.assert_allclose(opened(files, "turned").patch.domain.affine, TURNED[:6])
    assert opened(files, "north").patch.domain.affine is None  # labels say it
    assert xr.DataArray(np.zeros((4, 4)), dims=("y", "x")).patch.domain.affine is None
    assert "placed by its affine" in repr(opened(files, "turned").patch.domain)


def test_two_dimensional_coordinates_are_believed_after_a_selection(files):
    f = opened(files, "turned")
    part = f.isel(y=slice(10, 50), x=slice(5, None))  # xarray leaves the transform of the whole
    np.testing.assert_allclose(part.patch.domain.affine, (TURNED @ Affine.translation(5, 10))[:6])
    coarse = f.isel(y=slice(0, None, 2), x=slice(0, None, 2))
    expected = (
        TURNED @ Affine.translation(0.5, 0.5) @ Affine.scale(2) @ Affine.translation(-0.5, -0.5)
    )
    np.testing.assert_allclose(coarse.patch.domain.affine, expected[:6])
    merged = part.patch.split(geometry=TILES).patch.merge()
    np.testing.assert_allclose(merged.rio.transform(), TURNED @ Affine.translation(5, 10))
    bent = f.xc + 500 * np.sin(f.xc / 100)
    curved = f.assign_coords(xc=bent)
    assert curved.patch.domain.affine is None


def test_cells_and_places_by_the_affine(files):
    domain = opened(files, "turned").patch.domain
    rows, columns = np.array([0, 7, 59]), np.array([3, 0, 79])
    x, y = domain.xy_at(rows, columns)
    np.testing.assert_allclose((x, y), rasterio.transform.xy(TURNED, rows, columns))
    np.testing.assert_allclose(domain.rows_and_columns(x, y), (rows, columns), atol=1e-6)


@pytest.mark.parametrize("name", ["north", "turned"])
def test_sizes_in_units(files, name):
    f = opened(files, name, False)
    p = f.patch.split(geometry=xpatch.Rectangular(y=200.0, x=100.0))
    assert dict(p.sizes) == {"patch": 24, "y": 20, "x": 10}
    xr.testing.assert_identical(p.patch.merge(), f)


@pytest.mark.parametrize("name", ["north", "turned"])
@pytest.mark.parametrize("given", ["series", "degrees", "mapping"])
def test_points(files, name, given):
    f = opened(files, name, False)
    transform = NORTH if name == "north" else TURNED
    x, y = transform @ (30.5, 20.5)
    at = gpd.GeoSeries([shapely.Point(x, y)], crs=32633)
    at = (
        at.to_crs(4326)
        if given == "degrees"
        else {"x": [x], "y": [y]}
        if given == "mapping"
        else at
    )
    p = f.patch.split(geometry={"y": 3, "x": 3}, sampler=xpatch.Explicit(at))
    assert float(p[0, 1, 1]) == 20 * 80 + 30
    with pytest.raises(ValueError, match="outside"):
        f.patch.split(
            geometry={"y": 3, "x": 3}, sampler=xpatch.Explicit({"x": [x + 9999], "y": [y]})
        )


@pytest.mark.parametrize(
    "geometry", [xpatch.KNNGraph(9), xpatch.RadiusGraph(25.0), xpatch.SphericalCap(0.025)]
)
def test_radii_of_a_rotated_raster_are_on_the_ground(files, geometry):
    f = opened(files, "turned", False)
    at = xpatch.Explicit([(20, 30), (40, 50)])
    p = f.patch.split(geometry=geometry, sampler=at)
    j, i = np.mgrid[:60, :80]
    x, y = rasterio.transform.xy(TURNED, j.ravel(), i.ravel())
    for k, cell in enumerate((20 * 80 + 30, 40 * 80 + 50)):
        far = np.hypot(np.array(x) - x[cell], np.array(y) - y[cell])
        expected = (
            np.argsort(far, kind="stable")[:9]
            if "KNN" in repr(geometry)
            else np.flatnonzero(far <= 25)
        )
        members = p[p.dims[1]].values[k] if p.dims[1] in p.coords else None
        assert set(members[members >= 0].astype(int)) == set(expected.tolist())


@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize("name", ["north", "turned"])
def test_polygons_are_those_of_rasterio(files, name, touched):
    from rasterio.features import geometry_mask

    f = opened(files, name, False)
    transform = NORTH if name == "north" else TURNED
    shape = shapely.Polygon([transform @ c for c in ((10.2, 5.3), (40.4, 8.2), (22.6, 33.7))])
    p = f.patch.split(
        geometry=xpatch.PolygonIntersection(gpd.GeoSeries([shape], crs=32633), all_touched=touched)
    )
    inside = ~geometry_mask([shape], (60, 80), transform, all_touched=touched)
    own = p["cell"].values[0]
    missed = set(own[own >= 0].astype(int)) ^ set(np.flatnonzero(inside))
    assert len(missed) <= (
        12 if touched else 0
    )  # GDAL follows the line, and leaves cells out that it only grazes


def test_patches_of_a_rotated_raster_on_another_raster(files):
    turned, north = opened(files, "turned", False), opened(files, "north")
    p = turned.patch.split(geometry={"y": 5, "x": 5}, sampler=xpatch.Explicit([(0, 40)]))
    anchor = p.patch.anchors
    x, y = TURNED @ (42.5, 2.5)
    assert anchor["cell_y"].item() == 2
    assert anchor["cell_x"].item() == 42
    caps = north.patch.split(geometry=xpatch.KNNGraph(1), sampler=xpatch.Explicit(p))
    row, column = np.unravel_index(int(caps["cell"][0, 0]), north.shape)
    far = np.hypot(north.x.values[None, :] - x, north.y.values[:, None] - y)
    assert (row, column) == np.unravel_index(far.argmin(), far.shape)


# ------------------------------------------------------------------ patches


@pytest.mark.parametrize("parse", [True, False])
@pytest.mark.parametrize("chunks", [None, {"y": 30, "x": 40}])
def test_patches_never_have_the_transform_of_the_field(files, parse, chunks):
    f = opened(files, "north", parse, chunks)
    p = f.patch.split(geometry=TILES, sampler=xpatch.RegularStride(y=15, x=20))
    for k in range(p.sizes["patch"]):
        labels = p.sel(patch=k)
        own = Affine(10, 0, float(labels.x[0]) - 5, 0, -10, float(labels.y[0]) + 5)
        for one in (
            p.isel(patch=int(np.flatnonzero(p["patch"] == k)[0])),
            p.patch[int(np.flatnonzero(p["patch"] == k)[0])],
        ):
            assert one.rio.transform().almost_equals(own)
            assert one.rio.crs.to_epsg() == 32633
    xr.testing.assert_identical(p.sortby("patch").patch.merge().compute(), f.compute())


def test_labels_of_the_affine_are_not_the_fields(files):
    f = opened(files, "north", False)
    for geometry in (TILES, {"y": 20}, xpatch.SphericalCap(0.05)):
        p = f.patch.split(
            geometry=geometry,
            **(
                {} if isinstance(geometry, dict) else {"sampler": xpatch.Explicit([(5, 5), (6, 9)])}
            ),
        )
        assert {"y", "x"} <= set(p.coords)
        merged = p.patch.merge()
        assert not {"y", "x"} & set(merged.coords)
        assert merged.rio.transform() == NORTH


@pytest.mark.parametrize("name", ["north", "turned"])
@pytest.mark.parametrize("kind", ["array", "dataset", "data_variable"])
def test_one_patch_is_a_field(files, name, kind, tmp_path):
    f = opened(files, name, name == "turned")
    obj = f if kind == "array" else f.to_dataset()
    obj = obj.reset_coords("spatial_ref") if kind == "data_variable" else obj
    transform = NORTH if name == "north" else TURNED
    p = obj.patch.split(geometry=TILES, sampler=xpatch.RegularStride(10))
    starts = [(j, i) for j in range(0, 50, 10) for i in range(0, 70, 10)][: p.sizes["patch"]]
    for k in (0, 8, -1):
        one = p.patch[k]
        found = (
            one.rio.transform()
            if kind != "data_variable"
            else Affine.from_gdal(*map(float, one.spatial_ref.attrs["GeoTransform"].split()))
        )
        j, i = starts[k]
        np.testing.assert_allclose(found, transform @ Affine.translation(i, j), atol=1e-6)
        np.testing.assert_array_equal(one if kind == "array" else one.r, f[j : j + 20, i : i + 20])
    if kind != "data_variable":
        own, epsg = of_gdal((p if kind == "array" else p.r).patch[8], tmp_path / "p.tif")
        np.testing.assert_allclose(own[:6], (transform @ Affine.translation(10, 10))[:6])
        assert epsg == 32633


def test_one_patch_by_number():
    p = raster().patch.split(geometry=TILES)
    assert p.patch[-1].identical(p.patch[11])
    assert p.patch[np.int64(3)].identical(p.patch[3])
    assert float(p.patch[7].sel(x=500605.0, y=5999795.0)) == 20 * 80 + 60  # labels select
    for k in (12, -13):
        with pytest.raises(IndexError, match="12 patches"):
            p.patch[k]
    for wrong in (slice(2), "a", True, [0], 1.0):
        with pytest.raises(TypeError, match=r"isel.*|patches\['patch'\]"):
            p.patch[wrong]
    with pytest.raises(ValueError, match="not patches"):
        raster().patch[0]
    with pytest.raises(ValueError, match="one patch already"):
        p.isel(patch=0).patch[0]


def test_one_patch_of_a_bare_or_refined_or_cropped_output(files):
    for f in (raster(), opened(files, "turned")):
        whole = f.rio.transform()
        p = f.patch.split(geometry=TILES)
        bare = xr.DataArray(p.values, dims=p.dims, coords={"patch": p["patch"]})
        shift = whole @ Affine.translation(20, 20)
        np.testing.assert_allclose(bare.patch[5].rio.transform(), shift)
        finer = xr.DataArray(
            np.kron(p.values, np.ones((1, 2, 2))), dims=p.dims, coords={"patch": p["patch"]}
        )
        np.testing.assert_allclose(finer.patch[5].rio.transform(), shift @ Affine.scale(0.5))
        cropped = p.patch.crop(y=3, x=(2, 4)).patch[5]
        np.testing.assert_allclose(cropped.rio.transform(), whole @ Affine.translation(22, 23))


def test_one_patch_does_not_run_the_model():
    p = raster().chunk({"y": 20, "x": 20}).patch.split(geometry=TILES)

    def model(block):
        raise AssertionError("the model ran")

    out = p.map_blocks(model, template=p)
    assert out.patch[3].rio.transform() == p.patch[3].rio.transform()


def test_a_patch_of_one_row_knows_its_cells():
    one = raster().patch.split(geometry={"y": 1, "x": 1}).patch[81]
    assert one.rio.transform() == NORTH @ Affine.translation(1, 1)


def test_one_patch_of_geometries_has_their_index():
    xvec = pytest.importorskip("xvec")
    points = gpd.points_from_xy(np.arange(12.0), np.zeros(12), crs=32633)
    f = xr.DataArray(
        np.arange(12.0), {"geometry": np.array(points)}, ("geometry",)
    ).xvec.set_geom_indexes("geometry", crs=32633)
    p = f.patch.split(geometry=xpatch.RadiusGraph(1.5))
    one, edge = p.patch[4], p.patch[0]
    assert isinstance(one.xindexes["geometry"], xvec.GeometryIndex)
    assert one.xvec.geom_coords_indexed
    assert one.xindexes["geometry"].crs.to_epsg() == 32633
    assert sorted(g.x for g in one.geometry.values) == [3, 4, 5]
    assert sorted(edge.values) == [0, 1]
    assert isinstance(edge.patch.domain, xpatch.VectorDomain)


def test_one_patch_of_an_index_of_xproj():
    pytest.importorskip("xproj")
    f = raster().drop_vars("spatial_ref").proj.assign_crs(spatial_ref="EPSG:32633")
    p = f.patch.split(geometry=TILES)
    assert p.patch[3].proj.crs.to_epsg() == 32633
    assert p.patch.merge().proj.crs.to_epsg() == 32633


# ------------------------------------------------------------------ merged


@pytest.mark.parametrize("name", ["labels", "north", "turned"])
@pytest.mark.parametrize("chunks", [None, {"y": 30, "x": 40}])
@pytest.mark.parametrize("factor", [1, 2])
def test_merged_fields_are_where_gdal_finds_them(files, tmp_path, name, chunks, factor):
    f = opened(files, "turned" if name == "turned" else "north", name == "labels", chunks)

    def finer(p):
        data = np.kron(p.values, np.ones((1, factor, factor), p.dtype))
        return xr.DataArray(data, dims=p.dims, coords={"patch": p["patch"]})

    scale = {"y": factor, "x": factor}
    m = f.patch.apply(finer, geometry={"y": 20, "x": 20}, scale=scale).compute().rename("r")
    expected = (TURNED if name == "turned" else NORTH) @ Affine.scale(1 / factor)
    assert m.rio.transform().almost_equals(expected, 1e-6)
    np.testing.assert_allclose(m.rio.bounds(), f.rio.bounds(recalc=name == "labels"))
    own, epsg = of_gdal(m, tmp_path / "m.tif")
    np.testing.assert_allclose(own[:6], expected[:6])
    assert epsg == 32633


def test_cropped_patches_merge_to_the_transform_of_the_field():
    f = raster()
    p = f.patch.split(geometry=TILES, sampler=xpatch.RegularStride(10)).patch.crop(y=3, x=3)
    assert p.patch.merge().rio.transform() == NORTH


def test_a_transform_that_a_selection_left_behind_is_dropped():
    part = raster().isel(y=slice(10, 50), x=slice(20, None))
    left = part.spatial_ref.attrs["GeoTransform"]
    assert left == raster().spatial_ref.attrs["GeoTransform"]  # which is wrong, and none of ours
    p = part.patch.split(geometry=TILES)
    assert "GeoTransform" not in p.patch.merge().spatial_ref.attrs
    expected = NORTH @ Affine.translation(20, 10)
    assert p.patch[0].rio.transform() == p.isel(patch=0).rio.transform() == expected
    assert p.patch.merge().rio.transform() == expected


def test_windows_in_time_keep_the_transform(files):
    t = np.arange("2000-01-01", "2000-01-07", dtype="M8[D]").astype("M8[ns]")
    f = opened(files, "north", False).expand_dims(time=t)
    p = f.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(3)))
    assert p.isel(patch=0).rio.transform() == p.patch[0].rio.transform() == NORTH
    assert p.patch.merge().rio.transform() == NORTH


def test_old_transforms_in_the_attributes():
    f = raster().rio.write_crs(32633)
    f.spatial_ref.attrs.pop("GeoTransform")
    f.attrs["transform"] = tuple(NORTH)[:6]
    p = f.patch.split(geometry=TILES)
    assert "transform" not in p.attrs
    assert p.isel(patch=7).rio.transform() == NORTH @ Affine.translation(60, 20)
    bare = f.drop_vars(["y", "x"])
    p = bare.patch.split(geometry=TILES)
    assert p.isel(patch=7).rio.transform() == NORTH @ Affine.translation(60, 20)
    assert p.patch.merge().rio.transform() == NORTH


def test_images_that_lie_nowhere_get_no_labels(tmp_path):
    f = xr.DataArray(values(), dims=("y", "x")).assign_coords(
        spatial_ref=((), 0, {"GeoTransform": "0.0 1.0 0.0 0.0 0.0 1.0"})
    )
    p = f.patch.split(geometry=TILES)
    assert f.patch.domain.affine is None
    assert not {"x", "y"} & set(p.coords)
    placed = f.assign_coords(
        spatial_ref=((), 0, {"GeoTransform": "5.0 1.0 0.0 9.0 0.0 -1.0"})
    )  # no CRS
    q = placed.patch.split(geometry=TILES)
    assert q.isel(patch=0).rio.bounds() == (5, -11, 25, 9)


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("decode", ["all", True])
@pytest.mark.parametrize("name", ["labels", "north", "turned"])
@pytest.mark.parametrize("store", ["netcdf", "zarr"])
def test_patches_read_back(files, tmp_path, name, decode, store):
    f = opened(files, "turned" if name == "turned" else "north", name == "labels")
    p = f.patch.split(geometry=TILES)
    if store == "netcdf":
        p.to_netcdf(tmp_path / "p.nc")
        q = xr.open_dataset(tmp_path / "p.nc", decode_coords=decode).r
    else:
        p.to_zarr(tmp_path / "p.zarr")
        q = xr.open_zarr(tmp_path / "p.zarr", decode_coords=decode).r
    m = q.patch.merge()
    expected = TURNED if name == "turned" else NORTH
    assert m.rio.crs.to_epsg() == 32633
    assert m.rio.transform().almost_equals(expected, 1e-6)
    assert set(m.coords) - {"xc", "yc"} == set(f.coords) - {"xc", "yc"}
    one = q.patch[5]
    assert one.rio.crs.to_epsg() == 32633
    assert one.rio.transform().almost_equals(expected @ Affine.translation(20, 20), 1e-6)
    foot = q.patch.footprints()
    assert foot.crs.to_epsg() == 32633
    corners = shapely.Polygon([expected @ c for c in ((0, 0), (80, 0), (80, 60), (0, 60))])
    assert shapely.union_all(foot.geometry.values).symmetric_difference(corners).area < 1
    own, epsg = of_gdal(m.compute(), tmp_path / "m.tif")
    np.testing.assert_allclose(own[:6], expected[:6])
    assert epsg == 32633


def test_a_crs_that_is_a_data_variable_is_kept(tmp_path):
    raster().to_netcdf(tmp_path / "f.nc")
    ds = xr.open_dataset(tmp_path / "f.nc")
    assert "spatial_ref" in ds.data_vars
    p = ds.patch.split(geometry=TILES)
    assert p.patch.domain.crs.to_epsg() == 32633
    assert "GeoTransform" not in p.spatial_ref.attrs
    assert p.patch.footprints().crs.to_epsg() == 32633
    xr.testing.assert_identical(p.patch.merge(), ds.load())
    bare = xr.Dataset({"r": (p.r.dims, p.r.values)}, {"patch": p["patch"]})
    assert bare.patch.merge().rio.write_grid_mapping("spatial_ref").rio.crs.to_epsg() == 32633
    assert p.r.patch.merge().rio.crs.to_epsg() == 32633
    assert p.r.patch[2].rio.transform() == NORTH @ Affine.translation(40, 0)


def test_grid_mappings_of_another_name():
    f = raster().drop_vars("spatial_ref").rio.write_crs(32633, grid_mapping_name="utm")
    p = f.patch.split(geometry=TILES)
    bare = xr.DataArray(p.values, dims=p.dims, coords={"patch": p["patch"]})
    assert bare.patch.merge().rio.crs.to_epsg() == 32633
    assert bare.patch[3].rio.crs.to_epsg() == 32633


def test_a_field_in_another_crs_is_not_the_one_that_was_split():
    p = raster().patch.split(geometry=TILES)
    with pytest.raises(ValueError, match="another CRS, EPSG:32633 and EPSG:32634"):
        p.patch.merge(like=raster(crs=32634))
    with pytest.raises(ValueError, match="do not belong together"):
        p + raster(crs=32634).patch.split(geometry=TILES)
    wkt = raster().rio.write_crs(raster().rio.crs.to_wkt("WKT1_GDAL"))
    assert p.patch.merge(like=wkt).equals(raster())  # the same, written otherwise


def test_renamed_and_padded_patches_know_where_they_lie():
    p = raster().patch.split(geometry=TILES).rename(spatial_ref="utm")
    assert (
        p.patch.merge()["utm"].attrs["GeoTransform"] == raster().spatial_ref.attrs["GeoTransform"]
    )
    expected = NORTH @ Affine.translation(60, 0)
    assert Affine.from_gdal(*map(float, p.patch[3].utm.attrs["GeoTransform"].split())) == expected
    padded = xpatch.Rectangular(y=20, x=20, boundary="pad")
    q = raster().patch.split(geometry=padded, sampler=xpatch.RegularStride(10))
    assert (
        q.patch[0].rio.transform()
        == q.isel(patch=0).rio.transform()
        == NORTH @ Affine.translation(-10, -10)
    )


def test_an_unread_part_of_a_file_is_not_asked_for(files):
    """Readers of rasters fail on empty windows of a squeezed band."""
    f = rioxarray.open_rasterio(files["north"]).squeeze("band", drop=True)
    p = f.patch.split(geometry=TILES)
    assert p.isel(patch=[]).load().shape == (0, 20, 20)
    assert f.patch.apply(lambda b: b, geometry=TILES).shape == (60, 80)


@pytest.mark.parametrize("name", ["spatial_ref", "albers"])
@pytest.mark.parametrize("decode", [True, "all"])
def test_a_dataset_that_was_read_knows_its_crs(tmp_path, name, decode):
    coords = {"y": 6e6 - 10 * np.arange(12.0), "x": 5e5 + 10 * np.arange(12.0)}
    field = xr.DataArray(np.arange(144.0).reshape(12, 12), coords, ("y", "x"), name="r")
    field = field.rio.write_crs(3035, grid_mapping_name=name)
    field.patch.split({"y": 6, "x": 6}).to_netcdf(tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc", decode_coords=decode) as back:
        for found in (back.patch.merge(), back.patch[1]):
            assert found.rio.crs.to_epsg() == found.r.rio.crs.to_epsg() == 3035
