"""The starts of the README run as they stand there; that of the network needs torch."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xpatch

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Give a function that runs a start in a folder of its own, and gives its names."""
    text = README.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run(name):
        (code,) = re.findall(rf"^<!-- {name} -->\n```python\n(.*?)^```", text, flags=re.S | re.M)
        assert len(code.splitlines()) <= 16
        names = {"np": np, "xr": xr, "xpatch": xpatch}
        exec(code, names)
        return names

    return run


def test_the_climatology(start):
    time = xr.date_range("2001-01-01", "2008-12-31", freq="D")
    season = 10 * np.cos(2 * np.pi * time.day_of_year.values / 365.25)
    noise = np.random.default_rng(0).normal(size=(len(time), 20, 20))
    coords = {"time": time, "lat": np.arange(20.0), "lon": np.arange(20.0)}
    sst = xr.DataArray(season[:, None, None] + noise, coords, name="sst")
    land = xr.zeros_like(sst[0], bool)
    land[3:6, 2:9] = True
    sst = sst.where(~land)
    sst.to_netcdf("sst.nc")
    found = start("climatology")
    day = (time.day == 5) & (time.month == 7)
    around = np.unique(np.flatnonzero(day)[:, None] + np.arange(-5, 6))
    want = np.quantile(sst.values[around], 0.9, axis=0)
    assert len(around) == 88
    np.testing.assert_allclose(found["limit"].values[day], np.broadcast_to(want, (8, 20, 20)))
    assert found["limit"].dims == sst.dims
    assert 0.08 < float(found["hot"].mean()) < 0.12
    weights = np.cos(np.deg2rad(np.arange(10.0)))[:, None] * ~land.values[:10, :10]
    hot = (sst > found["limit"]).values[:, :10, :10]
    np.testing.assert_allclose(
        found["share"].isel(patch=0), (hot * weights).sum(axis=(1, 2)) / weights.sum()
    )


def test_the_stations(start):
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-20, 40, 300), rng.uniform(35, 70, 300)
    t = xr.DataArray(30 - lat / 2, {"lon": ("station", lon), "lat": ("station", lat)}, "station")
    t.rename("t").to_netcdf("stations.nc")
    found = start("stations")
    field, grid = found["field"], found["grid"]
    assert dict(field.sizes) == dict(grid.sizes)
    assert float(abs(field - (30 - field.lat / 2)).mean()) < 0.5
    i, j = 30, 50
    p, q = np.deg2rad(float(grid.lat[i])), np.deg2rad(lat)
    turn = np.deg2rad(lon - float(grid.lon[j]))
    cosine = np.sin(p) * np.sin(q) + np.cos(p) * np.cos(q) * np.cos(turn)
    km = 6371.0088 * np.arccos(cosine)
    own = np.argsort(km)[:8]
    want = np.average(t.values[own], weights=1 / km[own].clip(1) ** 2)
    np.testing.assert_allclose(float(field[i, j]), want)


def test_the_first_lines(start):
    text = README.read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(patches = .*?)^```", text, flags=re.S | re.M)
    y, x = np.arange(300.0), np.arange(400.0)
    field = xr.DataArray(np.hypot.outer(y, x), {"y": y, "x": x})
    names = {"xpatch": xpatch, "field": field, "model": lambda patches: patches + 1}
    exec(code, names)
    xr.testing.assert_allclose(names["result"], field + 1)


@pytest.mark.parametrize("package", ["xarray", "dask", "xbatcher", "xpatch"])
def test_the_table_of_tools_is_as_it_is_run(package):
    pytest.importorskip("rioxarray")
    pytest.importorskip(package)
    from tests.benchmarks import peers_readme

    text = README.read_text(encoding="utf-8")
    for name, (needed, cells) in peers_readme.ROWS.items():
        if needed == package:
            assert f"| {' | '.join((name, *cells()))} |" in text
