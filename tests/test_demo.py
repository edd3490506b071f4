"""The demo: its files, its numbers, and where the results lie on the ground."""

import sys

import numpy as np
import pytest
import xarray as xr

from xpatch import demo


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "results"
    demo.main(["--out", str(folder)])
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return demo.run(tmp_path_factory.mktemp("demo"))


@pytest.mark.parametrize("name", ["elevation.png", "sst.png"])
def test_pictures_are_drawn(out, name):
    data = (out / name).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 20_000


def test_identity_errors_are_rounding(rows):
    dem, sst = rows
    assert dem["error"] < 1e-11  # m, float64
    assert sst["error"] < 1e-4  # K, float32
    assert dem["covered"] == sst["covered"] == 1


def test_the_table_names_both_fields_and_the_files(tmp_path, capsys):
    demo.main(["--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "elevation (DEM)" in printed
    assert "sea surface temperature" in printed
    for path in tmp_path.iterdir():
        assert str(path) in printed


def test_relief_is_a_georeferenced_raster(out):
    import rioxarray

    dem = demo.elevation()
    with rioxarray.open_rasterio(out / "relief.tif", masked=True) as raster:
        relief = raster.squeeze("band", drop=True).load()
    assert relief.rio.crs.to_epsg() == 4326
    assert relief.shape == dem.shape == (344, 403)
    np.testing.assert_allclose(relief.rio.transform()[:6], dem.rio.transform()[:6], rtol=1e-9)
    assert relief.rio.transform().e < 0
    assert not relief.isnull().any()
    assert abs(float(relief.mean())) < 1  # local planes were taken away
    assert 20 < float(relief.std()) < 0.6 * float(dem.std())


def test_elevation_is_where_it_is():
    dem = demo.elevation()
    assert dem.dtype == np.int16
    assert dem.rio.crs.to_epsg() == 4326
    np.testing.assert_allclose(
        dem.rio.bounds(), [-84.41375, 36.44625, -84.07791667, 36.73291667], atol=1e-6
    )


def test_low_pass_keeps_land_missing_and_coordinates(out):
    sst = demo.sea_surface()
    with xr.open_dataset(out / "sst_low_pass.nc", decode_coords="all") as stored:
        assert list(stored.data_vars) == ["surface_temperature"]
        assert set(stored.coords) == set(sst.coords)
        smooth = stored["surface_temperature"].load()
    assert smooth.dims == sst.dims
    assert smooth.isnull().equals(sst.isnull())
    np.testing.assert_array_equal(smooth["longitude"], sst["longitude"])
    rough, calm = (float(abs(f.diff("longitude")).mean()) for f in (sst, smooth))
    assert calm < rough


def test_the_low_pass_is_as_smooth_across_longitude_0_as_elsewhere(out):
    with xr.open_dataset(out / "sst_low_pass.nc") as stored:
        smooth = stored["surface_temperature"].load()
    across = abs(smooth.isel(longitude=0) - smooth.isel(longitude=-1))
    elsewhere = abs(smooth.diff("longitude"))
    assert float(across.mean()) < 2 * float(elsewhere.mean())


def test_models_do_what_they_say():
    y, x = np.mgrid[0:16, 0:16]
    plane = xr.DataArray(3.0 + 2 * y - x, dims=("y", "x"))
    patches = plane.patch.split(geometry={"y": 8, "x": 8})
    assert float(abs(demo.detrend(patches)).max()) < 1e-10


@pytest.mark.parametrize("name", ["iris_sample_data", "matplotlib", "rioxarray"])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit, match=rf"{name}: pip install 'xarray-patch\[demo\]'"):
        demo.main(["--out", str(tmp_path)])
