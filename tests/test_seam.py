"""Past the edge of a field: longitudes that close, and bounds that go on with their labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch


def globe(lon, **attrs):
    lon = np.asarray(lon)
    return xr.DataArray(lon % 360.0, {"lon": ("lon", lon, attrs)}, ("lon",), name="t")


def wrapped(field, size=4, step=2, **kwargs):
    geometry = xpatch.Rectangular(lon=size, boundary="wrap")
    return field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(step), **kwargs)


# ------------------------------------------------------------------------------ closing


@pytest.mark.parametrize(
    "lon",
    [
        np.arange(0, 360, 10.0),
        np.arange(-180, 180, 10),
        np.arange(179.5, -180, -1),
        np.arange(0.125, 360, 0.25).astype("f4"),
        np.arange(4320) * np.float32(1 / 12),
        np.linspace(0, 360, 97)[:-1],
        np.arange(0, 356, 10.0) * (359.9 / 360),
    ],
)
@pytest.mark.parametrize("units", ["degrees_east", None])
def test_longitudes_that_close(lon, units):
    field = globe(lon, **({} if units is None else {"units": units}))
    patches = wrapped(field)
    np.testing.assert_allclose(patches.patch.merge(), field)


@pytest.mark.parametrize(
    "lon", [np.arange(100, 191, 10.0), np.arange(0, 720, 10.0), [0.0, 1.0, 2.0, 50.0, 90.0]]
)
@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(
    "sampler", [xpatch.RegularStride(2), xpatch.Random(3, seed=0), xpatch.Explicit([(0,)])]
)
def test_regions_do_not_close(lon, turn, sampler):
    field = globe(np.asarray(lon)[::turn], standard_name="longitude")
    geometry = xpatch.Rectangular(lon=4, boundary={"lon": "wrap"})
    with pytest.raises(ValueError, match=r"360 degrees.*'shift'"):
        field.patch.split(geometry=geometry, sampler=sampler)


@pytest.mark.parametrize(
    "lon", [np.arange(0, 361, 10.0), np.arange(180, -181, -2.5), np.arange(0, 361, 90)]
)
def test_a_cyclic_column_is_named(lon):
    field = globe(lon, units="degrees_east")
    with pytest.raises(ValueError, match=r"360.*repeats the first.*isel\(lon=slice\(-1\)\)"):
        wrapped(field)
    short = field.isel(lon=slice(-1))
    np.testing.assert_allclose(wrapped(short).patch.merge(), short)


def test_other_dims_are_free():
    free = {
        "hour": np.arange(24),
        "x": np.arange(0, 1000, 100.0),
        "lon": np.linspace(0, 2 * np.pi, 9)[:-1],
        "azimuth": np.arange(0, 100, 10),
    }
    for dim, labels in free.items():
        attrs = {"units": "radians", "standard_name": "longitude"} if dim == "lon" else {}
        field = xr.DataArray(np.arange(len(labels)), {dim: (dim, labels, attrs)}, (dim,))
        patches = field.patch.split(geometry=xpatch.Rectangular({dim: 4}, boundary="wrap"))
        np.testing.assert_array_equal(patches.patch.merge(), field)
    bare = xr.DataArray(np.arange(10), dims="lon")
    np.testing.assert_array_equal(wrapped(bare).patch.merge(), bare)
    region = globe(np.arange(100, 191, 10.0), units="degrees_east")
    for boundary in ("shift", "drop", "pad"):
        region.patch.split(geometry=xpatch.Rectangular(lon=4, boundary=boundary))


def test_x_of_a_geographic_crs():
    pytest.importorskip("rioxarray")
    coords = {"y": np.arange(5.0), "x": np.arange(100, 191, 10.0)}
    field = xr.DataArray(np.zeros((5, 10)), coords, ("y", "x"))
    cut = {"geometry": xpatch.Rectangular(x=4, boundary="wrap")}
    field.rio.write_crs(32633).patch.split(**cut)
    with pytest.raises(ValueError, match="360"):
        field.rio.write_crs(4326).patch.split(**cut)


# ------------------------------------------------------------------------------ bounds


def bounded(lon, kind=float, order=("lon", "b")):
    lon = np.asarray(lon)
    half = np.diff(lon)[0] / 2
    bounds = np.stack([lon - half, lon + half], 1).astype(kind)
    field = globe(lon, bounds="lon_bnds").to_dataset()
    return field.assign_coords(lon_bnds=xr.Variable(("lon", "b"), bounds).transpose(*order))


@pytest.mark.parametrize("chunks", [None, {"lon": 7}])
@pytest.mark.parametrize("order", [("lon", "b"), ("b", "lon")])
@pytest.mark.parametrize(
    "lon", [np.arange(0, 360, 10), np.arange(175, -180, -10.0)], ids=["up", "down"]
)
@pytest.mark.parametrize("boundary", ["wrap", "pad"])
def test_bounds_go_on(lon, order, chunks, boundary):
    ds = bounded(lon, order=order)
    ds = ds.chunk(chunks) if chunks else ds
    if chunks:
        ds = ds.assign_coords(lon_bnds=ds.lon_bnds.chunk(chunks))
    geometry = xpatch.Rectangular(lon=6, boundary=boundary)
    for sampler in (
        xpatch.RegularStride(2),
        xpatch.Explicit([(35,), (-2 if boundary == "pad" else 33,)]),
    ):
        p = ds.patch.split(geometry=geometry, sampler=sampler)
        assert p.lon_bnds.dims == ("patch", *order)
        np.testing.assert_allclose(p.lon_bnds.mean("b"), p.lon)
        np.testing.assert_allclose(np.ptp(p.lon_bnds.values, p.lon_bnds.get_axis_num("b")), 10)
        if isinstance(sampler, xpatch.RegularStride):
            xr.testing.assert_identical(p.patch.merge().lon_bnds.compute(), ds.lon_bnds.compute())


def test_bounds_are_computed_when_they_are_looked_at():
    ds = bounded(np.arange(0, 360, 0.25))
    p = wrapped(ds, 100, 1)
    assert not p.lon_bnds.variable._in_memory
    np.testing.assert_allclose(
        p.lon_bnds.isel(patch=-1, lon=-1), [360 + 24.5 - 0.125, 360 + 24.5 + 0.125]
    )


@pytest.mark.parametrize("kind", ["i4", "f4"])
def test_bounds_keep_their_dtype(kind):
    p = wrapped(bounded(np.arange(0, 360, 10), kind))
    assert p.lon_bnds.dtype == ("i8" if kind == "i4" else p.lon_bnds.dtype)
    np.testing.assert_allclose(p.lon_bnds.mean("b"), p.lon)


def test_bounds_of_times_go_on_in_padding():
    t = pd.date_range("2000-01-01", periods=20)
    bounds = np.stack([t, t + pd.Timedelta("1D")], 1)
    coords = {"time": ("time", t, {"bounds": "time_bnds"}), "time_bnds": (("time", "b"), bounds)}
    s = xr.Dataset({"v": ("time", np.arange(20.0))}, coords)
    geometry = xpatch.Rectangular(time=6, boundary="pad")
    p = s.patch.split(geometry=geometry, sampler=xpatch.RegularStride(3))
    np.testing.assert_array_equal(p.time_bnds[..., 0], p.time)
    np.testing.assert_array_equal(p.time_bnds[..., 1], p.time + np.timedelta64(1, "D"))
    xr.testing.assert_identical(p.patch.merge(), s)
    uneven = s.isel(time=[0, 1, 2, 4, 5, 8, 9, 11, 15, 19])
    q = uneven.patch.split(geometry=geometry, sampler=xpatch.RegularStride(3))
    outside = q.time.isnull()
    assert outside.any()
    assert (q.time_bnds.isnull().any("b") == outside).all()
    xr.testing.assert_identical(q.patch.merge(), uneven)


def test_bounds_of_uneven_axes_are_missing():
    x = np.array([0.0, 1, 3, 6, 10, 15])
    edges = np.array([-0.5, 0.5, 2, 4, 8, 12, 18])
    ds = xr.Dataset(
        {"v": ("x", x)},
        {
            "x": ("x", x, {"bounds": "x_bnds"}),
            "x_bnds": (("x", "b"), np.stack([edges[:-1], edges[1:]], 1)),
        },
    )
    geometry = xpatch.Rectangular(x=4, boundary="pad")
    p = ds.patch.split(geometry=geometry, sampler=xpatch.RegularStride(2))
    np.testing.assert_array_equal(np.isnan(p.x_bnds).all("b"), np.isnan(p.x))
    np.testing.assert_array_equal(p.patch.merge().x_bnds, ds.x_bnds)


@pytest.mark.parametrize("decode", [True, "all"])
@pytest.mark.parametrize("few", [slice(None), slice(17, 18), slice(None, None, -1)])
def test_bounds_survive_files(tmp_path, decode, few):
    ds = bounded(np.arange(0, 360, 10.0))
    ds.to_netcdf(tmp_path / "f.nc")
    source = xr.open_dataset(tmp_path / "f.nc", decode_coords=decode).set_coords("lon_bnds")
    p = wrapped(source)
    np.testing.assert_allclose(p.lon_bnds.mean("b"), p.lon)
    p.isel(patch=few).to_netcdf(tmp_path / "p.nc")
    back = xr.open_dataset(tmp_path / "p.nc", decode_coords=decode).set_coords("lon_bnds")
    merged = back.patch.merge()
    there = np.asarray(merged.t.notnull())
    np.testing.assert_array_equal(merged.lon_bnds[there], ds.lon_bnds[there])
    assert there.sum() == (4 if few == slice(17, 18) else 36)


def test_other_dims_of_the_field_do_not_matter():
    ds = bounded(np.arange(0, 360, 10.0)).expand_dims(lat=np.arange(8.0))
    lat = xr.Variable("lat", np.arange(8.0), {"bounds": "lat_bnds"})
    ds = ds.assign_coords(
        lat=lat, lat_bnds=(("lat", "b"), np.stack([np.arange(8) - 0.5, np.arange(8) + 0.5], 1))
    )
    geometry = xpatch.Rectangular(lat=4, lon=6, boundary={"lat": "pad", "lon": "wrap"})
    for where in (xpatch.RegularStride(2), xpatch.Random(9, seed=0)):
        p = ds.patch.split(geometry=geometry, sampler=where)
        np.testing.assert_allclose(p.lon_bnds.mean("b"), p.lon)
        np.testing.assert_allclose(p.lat_bnds.mean("b"), p.lat)


@pytest.mark.parametrize("chunks", [None, 9, "disk"])
@pytest.mark.parametrize("boundary", ["wrap", "pad"])
def test_bounds_that_are_data_variables_go_on(tmp_path, boundary, chunks):
    lon = np.arange(0, 360 if boundary == "wrap" else 200, 10.0)
    field = xr.Dataset(
        {"t": ("lon", lon), "lon_bnds": (("lon", "b"), np.stack([lon - 5, lon + 5], 1))},
        {"lon": ("lon", lon, {"bounds": "lon_bnds", "units": "degrees_east"})},
    )
    if chunks == "disk":
        field.to_netcdf(tmp_path / "field.nc")
        field = xr.open_dataset(tmp_path / "field.nc")
    elif chunks:
        field = field.chunk(lon=chunks)
    geometry = xpatch.Rectangular(lon=4, boundary=boundary)
    patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(3), window="hann")
    np.testing.assert_allclose(patches.lon_bnds.mean("b"), patches.lon)
    np.testing.assert_array_equal(patches.patch.merge().lon_bnds, field.lon_bnds)
    applied = field.patch.apply(lambda patch: patch, geometry=geometry)
    np.testing.assert_array_equal(applied.lon_bnds, field.lon_bnds)
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataset(tmp_path / "patches.nc") as back:
        np.testing.assert_array_equal(back.patch.merge().lon_bnds, field.lon_bnds)
    field.close()


@pytest.mark.parametrize("dtype", ["u1", "u8", "i1"])
@pytest.mark.parametrize("boundary", ["pad", "wrap"])
def test_labels_of_small_integers_go_on_past_their_dtype(dtype, boundary, tmp_path):
    highest = np.iinfo(dtype).max if dtype != "u8" else 11
    labels = (highest - 11 + np.arange(12)).astype(dtype)
    e = xr.DataArray(np.arange(12.0), {"x": labels}, name="v")
    p = e.patch.split(xpatch.Rectangular(x=4, boundary=boundary), sampler=xpatch.RegularStride(x=3))
    first = int(labels[0]) - (boundary == "pad")
    np.testing.assert_array_equal(p.x, first + p["patch"].values[:, None] * 3 + np.arange(4))
    assert p.x.dtype == p.x.values.dtype == p.isel(patch=1).x.values.dtype
    p.to_dataset().to_zarr(tmp_path / "p.zarr", consolidated=False)
    merged = xr.open_zarr(tmp_path / "p.zarr", consolidated=False)["v"].patch.merge()
    xr.testing.assert_identical(merged.drop_attrs().compute(), e)
    assert merged.x.dtype == dtype


@pytest.mark.parametrize("boundary", ["wrap", {"lat": "wrap"}, {"lat": "wrap", "lon": "wrap"}])
@pytest.mark.parametrize("named", [True, False])
def test_latitudes_do_not_close(boundary, named):
    """A box past one pole would go on at the other one."""
    coords = {"lat": np.arange(-85, 90, 10.0), "lon": np.arange(5, 365, 10.0)}
    field = xr.DataArray(np.zeros((18, 36)), coords, ("lat", "lon"))
    if not named:
        field = field.rename(lat="a", lon="b")
        field.a.attrs, field.b.attrs = {"units": "degrees_north"}, {"units": "degrees_east"}
        new = {"lat": "a", "lon": "b"}
        boundary = "wrap" if boundary == "wrap" else {new[d]: w for d, w in boundary.items()}
    size = dict.fromkeys(field.dims, 4)
    with pytest.raises(ValueError, match=r"join one pole to the other.*boundary=\{"):
        field.patch.split(geometry=xpatch.Rectangular(size, boundary=boundary))
    _, lon = field.dims
    patches = field.patch.split(geometry=xpatch.Rectangular(size, boundary={lon: "wrap"}))
    xr.testing.assert_identical(patches.patch.merge("first"), field)


# --------------------------------------------------------------------- boxes at given places

LAT, LON = np.arange(-89.5, 90), np.arange(0.5, 360)
EARTH = xr.DataArray(np.zeros((180, 360)), {"lat": LAT, "lon": LON}, ("lat", "lon"))
LONDON = xpatch.Explicit(lat=[51.5, 0.5], lon=[-0.5, 100.5])


@pytest.mark.parametrize("size", [{"lat": 11, "lon": 21}, {"lat": "800km", "lon": "800km"}])
def test_boxes_that_are_moved_from_their_places_are_told_of(size):
    with pytest.warns(UserWarning, match=r"1 of 2 boxes .* \['lon'\] .*'lon': 'wrap'.* seam"):
        moved = EARTH.patch.split(xpatch.Rectangular(size), sampler=LONDON)
    assert 359.5 in moved.lon[0]
    assert float(moved.lon[0].max()) == 359.5
    wrapped = xpatch.Rectangular(size, boundary={"lon": "wrap"})
    whole = EARTH.patch.split(wrapped, sampler=LONDON)  # of which nothing is told
    columns = whole.lon[0].dropna("lon")
    assert float(columns[columns.size // 2]) == 359.5
    north = xpatch.Explicit(lat=[88.5], lon=[100.5])
    with pytest.warns(UserWarning, match=r"1 of 1 boxes .* \['lat'\] .*boundary='pad'"):
        EARTH.patch.split({"lat": 9, "lon": 9}, sampler=north)
    with pytest.warns(UserWarning, match="1 of 2 boxes"):
        xpatch.Patcher({"lat": 11, "lon": 21}, LONDON).anchors(EARTH)


def test_boxes_that_stay_at_their_places_are_not_told_of(recwarn):
    EARTH.patch.split({"lat": 11, "lon": 21}, sampler=xpatch.Explicit(lat=[51.5], lon=[12.5]))
    for boundary, outside in (("pad", "raise"), ("drop", "drop")):
        sampler = xpatch.Explicit(lat=[51.5, 1.5], lon=[-0.5, 90.5], outside=outside)
        box = xpatch.Rectangular(lat=11, lon=21, boundary=boundary)
        EARTH.patch.split(box, sampler=sampler)
    assert not [w for w in recwarn if "moved inward" in str(w.message)]
