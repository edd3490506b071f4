"""dx and dy: how far the slots of boxes are from their anchor, which composites keep."""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch

AT = {"lon": [100.2, 358.9, 20.0], "lat": [-10.1, 40.2, 30.4]}
BOX = {"lat": 5, "lon": 8}
AROUND = {"lat": 20, "lon": 30}


def globe(step=0.5, dtype=float):
    lat = (90 - step / 2 - step * np.arange(180 / step)).astype(dtype)
    lon = (step * np.arange(360 / step)).astype(dtype)
    values = np.random.default_rng(0).random((len(lat), len(lon)), "f4")
    field = xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"), name="t")
    field.lat.attrs["units"], field.lon.attrs["units"] = "degrees_north", "degrees_east"
    return field


def cut(field, sampler=None, **given):
    size = xpatch.Rectangular(BOX, boundary={"lat": "pad", "lon": "wrap"})
    return field.patch.split(
        geometry=given.pop("geometry", size), sampler=sampler or xpatch.Explicit(AT)
    )


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("up", [True, False])
def test_offsets_are_labels_relative_to_that_of_the_middle_cell(dtype, up):
    field = globe(0.1, dtype).isel(lat=slice(450, 1050))
    field = field.sortby("lat") if up else field
    patches = cut(field)
    assert patches.dy.dims == ("lat",)
    assert patches.dx.dims == ("lon",)
    dy = np.array([-0.2, -0.1, 0, 0.1, 0.2])
    np.testing.assert_allclose(patches.dy, dy if up else dy[::-1], rtol=1e-12)
    np.testing.assert_allclose(patches.dx, np.arange(-4, 4) * 0.1, rtol=1e-12)
    assert patches.dx.attrs == {
        "units": "degrees",
        "long_name": "lon from the anchor",
    }
    away = patches.lat - patches.lat.isel(lat=2)
    np.testing.assert_allclose(away, np.broadcast_to(patches.dy, away.shape), atol=3e-5)
    anchors = patches.patch.anchors
    lon = anchors.lon.values[:, None] + patches.dx.values
    np.testing.assert_allclose((lon - patches.lon + 180) % 360 - 180, 0, atol=6e-5)


def test_a_composite_keeps_and_plots_them():
    composite = cut(globe()).mean("patch")
    assert set(composite.coords) == {"dx", "dy"}
    composite.plot(x="dx", y="dy")
    axes = plt.gca()
    assert axes.get_xlabel() == "lon from the anchor [degrees]"
    plt.close()
    assert composite.isel(lat=slice(1, 3)).dy.values.tolist() == [0.5, 0.0]
    assert composite.swap_dims(lat="dy", lon="dx").sel(dx=0, dy=0.5).ndim == 0


@pytest.mark.parametrize(
    "kind", ["table", "points", "track", "cells", "events", "lookback", "valid"]
)
def test_all_that_place_boxes_in_their_middle_have_them(kind):
    field = globe(2.0)
    time = pd.date_range("2000-01-01", periods=5)
    box = xpatch.Rectangular(lat=3, lon=3, boundary={"lat": "pad", "lon": "wrap"})
    if kind in ("events", "lookback"):
        field = field.expand_dims(time=time).copy()
        days = xpatch.FixedLookback(2) if kind == "lookback" else xpatch.LookbackHorizon(1, 1)
        patcher = xpatch.SpatioTemporalPatcher(
            xpatch.Patcher(box, xpatch.Explicit(AT)),
            xpatch.TimePatcher(days, xpatch.EventTriggered(time[1:4])),
            coupling="coupled",
        )
        patches = field.patch.split(patcher)
        assert set(patches.mean("patch").coords) == {"dx", "dy", "lead"}
    else:
        import shapely

        sampler = {
            "table": lambda: xpatch.Explicit(pd.DataFrame(AT)),
            "points": lambda: xpatch.Explicit(shapely.points(AT["lon"], AT["lat"])),
            "track": lambda: xpatch.AlongTrack({"lon": [0.0, 30], "lat": [0.0, 5]}, 500),
            "valid": lambda: xpatch.Valid(xpatch.Explicit(AT)),
            "cells": lambda: xpatch.Explicit([(3, 4), (0, 0)], at="center"),
        }[kind]()
        patches = field.patch.split(geometry=box, sampler=sampler)
        assert set(patches.mean("patch").coords) == {"dx", "dy"}
    assert patches.dx.values.tolist() == [-2, 0, 2]
    merged = patches.patch.merge()
    assert set(merged.coords) == set(field.coords)
    there = merged.notnull()
    np.testing.assert_array_equal(merged.where(there), field.where(there))


def test_left_out_where_anchors_are_not_the_middle():
    field = globe(2.0)
    assert "dx" not in field.patch.split(geometry=BOX).coords  # a grid of boxes
    assert "dx" not in field.patch.split(geometry=BOX, sampler=xpatch.Random(3)).coords
    corners = xpatch.Explicit([(0, 0), (5, 5)])
    assert "dx" not in field.patch.split(geometry=BOX, sampler=corners).coords
    assert (
        "dx" not in field.patch.split(geometry=BOX, sampler=xpatch.Explicit(AT, at="start")).coords
    )
    moved = xpatch.Rectangular(BOX, boundary="shift")  # that at 359 east is moved to the west
    assert "dx" not in cut(field, geometry=moved).coords
    left = xpatch.Rectangular(BOX, boundary="drop")
    few = cut(field, xpatch.Explicit(AT, outside="drop"), geometry=left)
    assert few.sizes["patch"] == 2
    assert few.dx.sizes == {"lon": 8}
    patches = cut(field)
    same = cut(
        field, xpatch.Explicit(patches)
    )  # of fields on other cells that stand beside each other
    assert "dx" not in same.coords


def test_left_out_where_labels_are_not_even():
    field = globe(2.0)
    lat = np.rad2deg(np.arcsin(np.linspace(0.99, -0.99, 90)))
    patches = cut(field.assign_coords(lat=lat))
    assert "dy" not in patches.coords
    assert "dx" in patches.coords
    lon = field.lon.values.copy()
    lon[50] += 0.05
    assert "dx" not in cut(field.assign_coords(lon=lon)).coords


def test_names_of_the_field_are_left_to_it():
    field = globe(2.0)
    aux = field.assign_coords(dx=("lon", np.arange(180)), dy=7.0)
    patches = cut(aux)
    assert patches.dx.dims == ("patch", "lon")
    assert patches.dy.item() == 7
    xr.testing.assert_identical(patches.patch.merge().dx, aux.dx)
    data = cut(xr.Dataset({"t": field, "dy": field * 2}))
    assert data.dy.dims == ("patch", "lat", "lon")
    assert data.dx.dims == ("lon",)
    assert set(data.patch.merge().coords) == {"lat", "lon"}


def test_what_survives(tmp_path):
    field = globe(2.0)
    patches = cut(field)
    some = patches.isel(patch=[2, 0])
    assert some.dx.identical(patches.dx)
    parts = [patches.isel(patch=[0]), patches.isel(patch=[1, 2])]
    together = xr.concat(parts, "patch")
    assert together.dx.dims == ("lon",)
    merged = patches.patch.merge()
    xr.testing.assert_identical(together.patch.merge(), merged)
    xr.testing.assert_identical((patches * 1).patch.merge(), merged)
    inner = patches.isel(lat=slice(1, 4)).patch.merge()
    assert set(inner.coords) == {"lat", "lon"}
    assert set(patches.patch.merge("count").coords) == {"lat", "lon"}
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as back:
        np.testing.assert_array_equal(back.dx, patches.dx)
        xr.testing.assert_identical(back.load().patch.merge().drop_attrs(), merged.drop_attrs())
    lazy = cut(field.chunk({"lat": 20}))
    xr.testing.assert_identical(lazy.mean("patch").compute().dx, patches.mean("patch").dx)
    xr.testing.assert_identical(lazy.patch.merge().compute(), merged)
    again = patches.isel(patch=0).patch.split(geometry={"lat": 5, "lon": 4}, dim="inner")
    assert again.dx.dims == ("inner", "lon")  # still from the first anchor
    doubled = xr.map_blocks(lambda block: 2 * block, lazy)
    xr.testing.assert_allclose(doubled.patch.merge().compute(), 2 * merged)
    both = xpatch.concat([patches, cut(field + 1)])
    assert both.dx.dims == ("lon",)


def test_fields_of_other_cells_are_put_together_without_them():
    fine, coarse = cut(globe(1.0)), cut(globe(2.0))
    both = xpatch.concat([fine, coarse])
    assert "dx" not in both.coords or both.dx.dims != ("lon",)


def test_projected_rasters_have_meters():
    pytest.importorskip("rioxarray")
    x, y = np.arange(5e5, 5.02e5, 20.0), np.arange(6.002e6, 6e6, -20.0)
    scene = xr.DataArray(np.zeros((100, 100)), {"y": y, "x": x}, ("y", "x")).rio.write_crs(32633)
    at = xpatch.Explicit({"x": [501000.0], "y": [6001000.0]})
    bare = scene.rio.write_transform().drop_vars(["x", "y"])  # told by the transform alone
    assert bare.patch.split(geometry={"y": 3, "x": 3}, sampler=at).dy.values.tolist() == [
        20,
        0,
        -20,
    ]
    patches = scene.patch.split(geometry={"y": 3, "x": 3}, sampler=at)
    assert patches.dy.values.tolist() == [20, 0, -20]
    assert patches.dx.values.tolist() == [-20, 0, 20]
    assert patches.dx.attrs["units"] == "m"


def test_times_of_a_table_that_are_not_looked_at_are_told():
    time = pd.date_range("2000-01-01", periods=3)
    field = xr.DataArray(
        np.zeros((3, 9, 12)),
        {"time": time, "lat": np.arange(9.0), "lon": np.arange(12.0)},
        ("time", "lat", "lon"),
    )
    table = pd.DataFrame({"time": time, "lat": [3.0, 4, 5], "lon": [4.0, 5, 6]})
    sampler = xpatch.Explicit(table)
    with pytest.warns(UserWarning, match="times in 'time'.*all 3 steps.*coupling='coupled'"):
        field.patch.split({"lat": 3, "lon": 3}, sampler=sampler)
    windows = xpatch.TimePatcher(xpatch.FixedLookback(1), xpatch.EventTriggered(table["time"]))
    coupled = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"lat": 3, "lon": 3}, sampler), windows, coupling="coupled"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        field.patch.split(coupled)
        field.isel(time=0).patch.split({"lat": 3, "lon": 3}, sampler=sampler)
        field.patch.split({"time": 1, "lat": 3, "lon": 3}, sampler=xpatch.Random(3, seed=0))
        places = table.drop(columns="time")
        field.patch.split({"lat": 3, "lon": 3}, sampler=xpatch.Explicit(places))


def test_steps_of_doubles_are_not_rounded():
    field = xr.DataArray(
        np.zeros((30, 30)),
        {"lat": 50 - np.arange(30) / 120, "lon": 10 + np.arange(30) / 120},
        ("lat", "lon"),
    )
    at = xpatch.Explicit({"lat": [49.9], "lon": [10.1]})
    patches = field.patch.split({"lat": 9, "lon": 9}, sampler=at)
    np.testing.assert_allclose(patches.dx, np.arange(-4, 5) / 120, rtol=1e-13, atol=1e-16)
