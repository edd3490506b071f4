"""The grid of a field over files: whole multiples, other fields, degrees, zones, the whole Earth."""

from __future__ import annotations

import numpy as np
import pytest
import rioxarray  # noqa: F401  registers .rio
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

import xpatch
from tests.catalog_files import centers, counting, scenes, write
from xpatch.catalogs.gridding import narrowest

CRS = "EPSG:32632"
NORTH_UP = Affine(10, 0, 500000, 0, -10, 5200000)


def numbered(shape, dtype="float32"):
    return np.arange(np.prod(shape), dtype=dtype).reshape(1, *shape) + 1


@pytest.fixture(scope="module")
def cat(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid")
    scenes(path, size=60, lap=6)
    return xpatch.catalog(path / "*.tif", time=r"_(\d{8})\.tif")


def test_edges_are_whole_multiples_of_the_resolution(cat):
    for resolution in (10, 7.5, (20, 10), 1 / 3):
        field = cat.patch.field(crs=CRS, resolution=resolution)
        dx, dy = resolution if isinstance(resolution, tuple) else (resolution, resolution)
        for labels, step in ((field.x.values, dx), (field.y.values, dy)):
            counts = labels / step - 0.5
            np.testing.assert_allclose(counts, np.rint(counts), atol=1e-5)
            np.testing.assert_allclose(np.abs(np.diff(labels)), step)


def test_the_field_knows_its_crs_and_its_transform(cat):
    field = cat.patch.field(crs=CRS, resolution=10)
    assert field.rio.crs == CRS
    assert field.rio.transform() == field.rio.transform(recalc=True)
    assert field.encoding["grid_mapping"] == "spatial_ref"
    assert isinstance(xpatch.domain_of(field), xpatch.RasterDomain)
    degrees = cat.patch.field(crs=4326, resolution=1e-4)
    assert degrees.x.attrs["standard_name"] == "longitude"
    assert degrees.rio.crs == 4326


def test_files_on_one_lattice_need_no_grid(tmp_path):
    """Cells of Landsat begin at odd multiples of 15 m: they are not moved by half a cell."""
    start = Affine(30, 0, 500015, 0, -30, 5200005)
    a = write(tmp_path / "a.tif", numbered((20, 30)), start, CRS)
    b = write(tmp_path / "b.tif", numbered((20, 30)), start @ Affine.translation(25, 10), CRS)
    field = xpatch.catalog([a, b]).patch.field()
    assert (float(field.x[0]), float(field.y[0])) == (500030.0, 5199990.0)
    assert field.shape == (1, 30, 55)
    np.testing.assert_array_equal(field.values[0, :20, :30], numbered((20, 30))[0])
    c = write(tmp_path / "c.tif", numbered((20, 30)), start @ Affine.translation(0.5, 0), CRS)
    with pytest.raises(ValueError, match=r"do not lie on one lattice: row 2, .*c\.tif.*resolution"):
        xpatch.catalog([a, b, c]).patch.field()


def test_a_grid_that_is_upside_down_or_rotated_is_read_as_it_is(tmp_path):
    values = numbered((20, 30))
    for name, transform in (
        ("up", Affine(10, 0, 500000, 0, 10, 5200000)),
        ("turned", Affine(6, 8, 500000, 8, -6, 5200000)),
    ):
        path = write(tmp_path / f"{name}.tif", values, transform, CRS)
        (scene,) = xpatch.catalog(path).patch.scenes()
        np.testing.assert_array_equal(scene.values, values)
    up = xpatch.catalog(tmp_path / "up.tif").patch.field(crs=CRS, resolution=10)
    np.testing.assert_array_equal(up.values[0], values[0, ::-1])


def test_like_another_field(cat):
    field = cat.patch.field(crs=CRS, resolution=10)
    part = field.isel(y=slice(10, 50), x=slice(20, 80))
    same = cat.patch.field(like=part)
    assert same.x.equals(part.x)
    assert same.y.equals(part.y)
    np.testing.assert_array_equal(same.values, part.values)
    renamed = part.rename(y="northing", x="easting").drop_attrs(deep=False)
    assert xpatch.domain_of(renamed).spatial_dims == ("northing", "easting")
    assert cat.patch.field(like=renamed).dims == ("time", "band", "northing", "easting")
    flipped = part.isel(y=slice(None, None, -1))
    np.testing.assert_array_equal(cat.patch.field(like=flipped).values, part.values[:, :, ::-1])


def test_like_a_grid_of_longitude_and_latitude(cat):
    west, south, east, north = cat.total_bounds
    grid = xr.DataArray(
        np.zeros((5, 8)),
        {"lat": np.linspace(south, north, 5), "lon": np.linspace(west, east, 8)},
        ("lat", "lon"),
    )
    field = cat.patch.field(like=grid, resampling="average")
    assert field.dims == ("time", "band", "lat", "lon")
    assert field.lon.values.tolist() == grid.lon.values.tolist()
    assert np.isfinite(field.values).any()


def test_like_a_slice_or_a_geobox(cat):
    field = cat.patch.field(crs=CRS, resolution=10)
    left, top = float(field.x[10]) - 5, float(field.y[10]) + 5
    part = xpatch.GeoSlice(
        (left, top - 200, left + 300, top), ("2024-06-05", None), resolution=10, crs=CRS
    )
    got = cat.patch.field(like=part)
    assert got.sizes["time"] == 1
    np.testing.assert_array_equal(got.values, field.values[1:, :, 10:30, 10:40])
    np.testing.assert_array_equal(cat.patch.field(bounds=part).values, got.values)

    class GeoBox:  # as odc.geo has it
        crs, shape = CRS, (20, 30)
        transform = affine = Affine(10, 0, left, 0, -10, top)

    np.testing.assert_array_equal(cat.patch.field(like=GeoBox())[1:].values, got.values)
    with pytest.raises(ValueError, match="no file is of the interval"):
        cat.patch.field(like=xpatch.GeoSlice(part.bounds, ("1999", "2000"), 10, CRS))


def test_files_beside_a_window_are_not_asked(tmp_path, monkeypatch):
    paths = [
        write(
            tmp_path / f"{k}.tif", numbered((20, 20)), NORTH_UP @ Affine.translation(20 * k, 0), CRS
        )
        for k in range(3)
    ]
    field = xpatch.catalog(paths).patch.field()
    found = counting(monkeypatch)
    field[:, :, 20:40].load()
    assert [(href, cells) for href, cells in found] == [(paths[1], (0, 20, 20, 40))]


def test_the_resolution_of_a_slice_is_that_of_its_crs(cat):
    part = xpatch.GeoSlice((11.995, 46.495, 11.999, 46.497), resolution=1e-4, crs=4326)
    assert cat.patch.field(bounds=part).sizes["x"] == 40
    with pytest.raises(ValueError, match="needs a resolution in its units"):
        cat.patch.field(crs=CRS, bounds=part)
    assert cat.patch.field(crs=CRS, resolution=10, bounds=part).sizes["x"] > 25


def test_bounds_in_degrees_as_a_slice(cat):
    west, south = cat.total_bounds[:2]
    middle = xpatch.GeoSlice((west + 1e-3, south + 1e-3, west + 3e-3, south + 2e-3), crs=4326)
    field = cat.patch.field(crs=CRS, resolution=10, bounds=middle)
    assert 10 < field.sizes["x"] < 30
    assert 8 < field.sizes["y"] < 20


def test_a_resolution_in_other_units_says_the_size(cat):
    with pytest.raises(
        ValueError,
        match=r"10 × 10 in EPSG:4326, which counts degrees: row 0.*60 × 60 cells would be 0\.000",
    ):
        cat.patch.field(crs=4326, resolution=10)
    with pytest.raises(
        ValueError, match=r"which counts meters or feet.*give the resolution in meters"
    ):
        cat.patch.field(crs=CRS, resolution=1e-4)
    with pytest.raises(ValueError, match=r"no file lies in bounds.*look like degrees.*GeoSlice"):
        cat.patch.field(crs=CRS, resolution=10, bounds=(11, 46, 12, 47))


def test_what_says_no_grid(cat):
    with pytest.raises(
        ValueError, match=r"several CRSs, 'EPSG:32632' in 8 .*'EPSG:32633' in 8.*field\(crs="
    ):
        cat.patch.field()
    with pytest.raises(ValueError, match="needs a resolution in its units"):
        cat.patch.field(crs=CRS)
    with pytest.raises(ValueError, match="like is the grid of the field, so leave out crs"):
        cat.patch.field(like=cat.patch.field(crs=CRS, resolution=10), crs=CRS)
    with pytest.raises(ValueError, match="resolution must be positive"):
        cat.patch.field(crs=CRS, resolution=-10)
    with pytest.raises(TypeError, match=r"resolution must be a number, \(x, y\)"):
        cat.patch.field(crs=CRS, resolution="10")
    with pytest.raises(ValueError, match="like has no CRS"):
        cat.patch.field(like=xr.DataArray(np.zeros((3, 3)), {"y": [1, 2, 3], "x": [1, 2, 3]}))
    uneven = cat.patch.field(crs=CRS, resolution=10).isel(x=[0, 1, 3])
    with pytest.raises(ValueError, match="uneven or single labels along 'x'"):
        cat.patch.field(like=uneven)
    with pytest.raises(ValueError, match="each resolution must be given once"):
        cat.patch.field(crs=CRS, resolution=[10, 10])
    with pytest.raises(ValueError, match="empty list"):
        cat.patch.field(crs=CRS, resolution=[])


# ------------------------------------------------------------------ degrees


def test_files_at_the_dateline_are_one_field_the_short_way(tmp_path):
    values = numbered((100, 100))
    west = write(
        tmp_path / "w.tif", values, Affine(1000, 0, 700000, 0, -1000, 1000000), "EPSG:32660"
    )
    east = write(
        tmp_path / "e.tif", values, Affine(1000, 0, 200000, 0, -1000, 1000000), "EPSG:32601"
    )
    cat = xpatch.catalog([west, east])
    field = cat.patch.field(crs=4326, resolution=0.01)
    assert field.sizes["x"] < 250
    assert 178 < float(field.x[0]) < 179 < 181 < float(field.x[-1]) < 182
    # the same cells from −180 to 180, and from 0 to 360
    rows = {"y": slice(float(field.y[0]), float(field.y[-1]))}
    for left in (-180, 0):
        whole = cat.patch.field(crs=4326, resolution=0.01, bounds=(left, 8, left + 360, 10))
        assert whole.sizes["x"] == 36000
        turned = whole.sel(rows).roll(x=18000) if left else whole.sel(rows)
        there = np.isfinite(turned.values)
        assert there.sum() == np.isfinite(field.values).sum()
        both = [np.sort(v[np.isfinite(v)]) for v in (turned.values, field.values)]
        np.testing.assert_array_equal(*both)
    across = cat.patch.field(
        crs=4326, resolution=0.01, bounds=xpatch.GeoSlice((179, 8.5, -179, 9), crs=4326)
    )
    assert across.sizes["x"] == 200
    assert np.isfinite(across.values).mean() > 0.7


def test_longitudes_from_0_to_360_of_a_file_from_minus_180(tmp_path):
    values = numbered((18, 36))
    path = write(tmp_path / "g.tif", values, Affine(10, 0, -180, 0, -10, 90), "EPSG:4326")
    cat = xpatch.catalog(path)
    turned = cat.patch.field(crs=4326, resolution=10, bounds=(0, -90, 360, 90))
    np.testing.assert_array_equal(turned.values, np.roll(values, 18, axis=2))
    across = cat.patch.field(crs=4326, resolution=10, bounds=(170, -90, 190, 90))
    np.testing.assert_array_equal(across.values, values[:, :, [35, 0]])


@pytest.mark.parametrize("crs", [32660, 32701, 3413, 3031, 3857])
def test_a_file_of_the_whole_earth_is_the_same_from_0_to_360(tmp_path, crs):
    """GDAL looks for longitudes from −180 to 180 only, and finds half of such a file."""
    values = numbered((90, 180))
    west = write(tmp_path / "w.tif", values, Affine(2, 0, -180, 0, -2, 90), "EPSG:4326")
    turned = np.roll(values, 90, axis=2)
    east = write(tmp_path / "e.tif", turned, Affine(2, 0, 0, 0, -2, 90), "EPSG:4326")
    bounds = (-2e6, -2e6, 3e6, 3e6) if crs in (3413, 3031) else (2e5, 5e6, 1e6, 5.8e6)
    words = {"crs": crs, "resolution": 5e4, "bounds": bounds}
    a, b = (xpatch.catalog(path).patch.field(**words).values for path in (west, east))
    assert np.isfinite(b).all()
    assert (a == b).mean() > 0.95  # others lie at borders of cells
    part = xpatch.catalog(east).patch.field(**words)[:, 2:5, 3:7].values
    np.testing.assert_array_equal(part, b[:, 2:5, 3:7])


@pytest.mark.parametrize(
    ("crs", "bounds", "step"),
    [
        (32632, (400000, 5100000, 900000, 5500000), 10000),
        (3413, (-2000000, -2000000, 2000000, 2000000), 50000),
    ],
)
def test_a_file_of_the_whole_earth_on_a_projected_grid(tmp_path, crs, bounds, step):
    values = numbered((180, 360))
    path = write(tmp_path / "g.tif", values, Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
    field = xpatch.catalog(path).patch.field(crs=crs, resolution=step, bounds=bounds)
    transform = Affine(step, 0, bounds[0], 0, -step, bounds[3])
    lon, lat = centers(transform, field.shape[1:], crs)
    row, column = np.floor(90 - lat).astype(int).clip(0, 179), np.floor(lon + 180).astype(int) % 360
    assert (field.values[0] == values[0, row, column]).mean() > 0.97  # others lie at borders
    with pytest.raises(ValueError, match=r"reaches beyond the area of EPSG.*bounds="):
        xpatch.catalog(path).patch.field(crs=crs, resolution=step)


def test_a_file_around_the_pole_in_degrees(tmp_path):
    transform = Affine(1000, 0, -50000, 0, -1000, 50000)
    values = numbered((100, 100))
    path = write(tmp_path / "p.tif", values, transform, "EPSG:3413")
    field = xpatch.catalog(path).patch.field(crs=4326, resolution=(5, 0.02))
    assert field.sizes["x"] == 72
    assert float(field.y[0]) == pytest.approx(89.99)
    assert np.isfinite(field.values[0, :20]).all()


@given(st.lists(st.tuples(st.floats(-180, 180), st.floats(0.1, 90)), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_narrowest_bounds_hold_all_and_no_more(boxes):
    each = np.array([(left, 0.0, left + width, 1.0) for left, width in boxes])
    left, _, right, _ = narrowest(each)
    assert right - left <= 360 + 1e-6
    for a, _, b, _ in each:
        shift = 360 * np.ceil((left - a - 1e-6) / 360)
        assert right - left > 359.999 or a + shift + (b - a) <= right + 1e-6
    # brute force: no bounds that begin at a box are narrower
    best = min(max((a - start) % 360 + (b - a) for a, _, b, _ in each) for start in each[:, 0])
    assert right - left <= min(max(best, 0), 360) + 1e-6


# ------------------------------------------------------------------ size


def test_all_of_europe_at_10_m_plans_without_reading(cat, monkeypatch):
    found = counting(monkeypatch)
    field = cat.patch.field(crs=3035, resolution=10, bounds=(2e6, 1e6, 7e6, 6e6))
    assert field.size == 2 * 500_000**2
    patches = cat.patch.split(
        {"y": 256, "x": 256}, crs=3035, resolution=10, bounds=(2e6, 1e6, 7e6, 6e6)
    )
    assert 1 <= patches.sizes["patch"] <= 12
    repr(patches)
    len(patches.patch.anchors["patch"])
    patches.patch.footprints()
    assert found == []
    assert np.isfinite(patches.isel(patch=slice(0, 4)).values).any()
