"""Where patches are: two fields of one ground, places in any CRS, anchors that lie outside."""

from __future__ import annotations

import geopandas
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import shapely
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

import xpatch
from xpatch import Explicit, KNNGraph, Random, Rectangular, RegularStride, SphericalCap

REFUSED = (ValueError, TypeError, KeyError)
quiet = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def axis(start, step, n):
    """Centers of cells whose first edge is at ``start``."""
    return start + step * (np.arange(n) + 0.5)


def plane(ny=24, nx=32, res=10.0, x0=500_000.0, y0=6_000_000.0, crs=32633, *, flip=(True, False)):
    """A field of the easting and northing of its cells, stacked."""
    y, x = axis(y0 - res * ny, res, ny), axis(x0, res, nx)
    y, x = y[::-1] if flip[0] else y, x[::-1] if flip[1] else x
    data = np.stack(np.broadcast_arrays(y[:, None], x))
    field = xr.DataArray(data, {"y": y, "x": x}, ("part", "y", "x"), name="t")
    return field if crs is None else field.rio.write_crs(crs)


def extent(patches, dim):
    """Lower and upper edge of the ground of each patch along a dimension."""
    labels = patches[dim].values
    step = abs(labels[0, 1] - labels[0, 0]) if labels.shape[1] > 1 else None
    half = 0 if step is None else step / 2
    return np.stack([labels.min(1) - half, labels.max(1) + half])


# ---------------------------------------------------------------------- the law of two fields


@st.composite
def pairs(draw):
    """Two fields of one ground: one finer by an integer, either of them first, any directions."""
    ratio = draw(st.integers(1, 6))
    coarse = draw(st.integers(2, 5))
    cells = coarse + draw(st.integers(0, 5)), coarse + draw(st.integers(0, 6))
    step = draw(st.sampled_from([10.0, 0.1, 1 / 12, 30.0]))
    origin = draw(st.sampled_from([0.0, 499_980.0, -7.3]))
    flips = draw(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()))
    fine_first = draw(st.booleans())
    return ratio, coarse, cells, step, origin, flips, fine_first


def stored(field, backend, folder):
    if backend == "dask":
        return field.chunk({d: max(1, n // 2) for d, n in field.sizes.items()})
    if backend == "disk":
        field.to_dataset(name="t").to_zarr(folder, mode="w")
        return xr.open_zarr(folder, chunks=None).t
    return field


@pytest.mark.parametrize(("backend", "draws"), [("numpy", 100), ("dask", 30), ("disk", 15)])
def test_nested_boxes_cover_the_same_ground(backend, draws, tmp_path):
    @settings(quiet, max_examples=draws)
    @given(pairs(), st.data())
    def law(pair, data):
        ratio, n, (ny, nx), step, origin, flips, fine_first = pair
        shared = {"x0": origin, "y0": origin + step * ny * ratio, "crs": None}
        coarse = plane(ny, nx, step * ratio, flip=flips[:2], **shared).isel(part=0)
        fine = plane(ny * ratio, nx * ratio, step, flip=flips[2:], **shared).isel(part=0)
        coarse, fine = (
            stored(coarse, backend, tmp_path / "c"),
            stored(fine, backend, tmp_path / "f"),
        )
        seed = data.draw(st.integers(0, 9))
        if fine_first:
            sampler = data.draw(
                st.sampled_from([Random(4, seed, replace=True, snap=ratio), RegularStride(ratio)])
            )
            p = fine.patch.split(geometry=(n * ratio,) * 2, sampler=sampler)
            q = coarse.patch.split(geometry=(n, n), sampler=Explicit(p))
        else:
            sampler = data.draw(
                st.sampled_from([Random(4, seed, replace=True), RegularStride(max(1, n - 1))])
            )
            q = coarse.patch.split(geometry=(n, n), sampler=sampler)
            p = fine.patch.split(geometry=(n * ratio,) * 2, sampler=Explicit(q))
        p, q = p.sortby("patch"), q.sortby("patch")  # dask orders them by chunks
        for d in ("y", "x"):
            np.testing.assert_allclose(
                p[d].values.mean(1), q[d].values.mean(1), rtol=0, atol=1e-6 * step
            )
        np.testing.assert_array_equal(p["patch"], q["patch"])
        other, mine = (coarse, p) if fine_first else (fine, q)
        lists = other.patch.split(geometry=KNNGraph(2), sampler=Explicit(mine)).sortby("patch")
        for d in ("y", "x"):
            at = lists.patch.places[d].values
            np.testing.assert_allclose(at, mine[d].values.mean(1), rtol=0, atol=1e-6 * step)
            # of two neighbors the nearer lies within the cell that the place is in
            near = lists[d].values[:, 0]
            far = step * (ratio if fine_first else 1)
            assert (abs(near - at) <= far * (0.5 + 1e-6)).all()

    law()


@settings(quiet, max_examples=150)
@given(
    st.integers(2, 9),
    st.sampled_from([1 / 12, 0.1, 0.25, 1.0]),
    st.sampled_from([0.0, 5.0, -179.95, 300.0]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 5),
    st.sampled_from(["f8", "f4"]),
)
def test_staggered_grids_frame_each_other(n, step, start, down, up, seed, dtype):
    centers = (start + step * np.arange(40)).astype(dtype)
    faces = (np.append(centers - step / 2, centers[-1] + step / 2)).astype(dtype)
    centers, faces = centers[:: -1 if down else 1], faces[:: -1 if up else 1]
    t = xr.DataArray(np.zeros(40), {"x": centers}, ("x",))
    u = xr.DataArray(np.zeros(41), {"x_u": faces}, ("x_u",))
    tiles = t.patch.split(geometry={"x": n}, sampler=Random(5, seed))
    around = u.patch.split(geometry={"x_u": n + 1}, sampler=Explicit(tiles))
    far = abs(around.x_u.mean("x_u") - tiles.x.mean("x")).max()
    assert float(far) <= step * (1e-6 if dtype == "f8" else 1e-2)
    back = t.patch.split(geometry={"x": n}, sampler=Explicit(around))
    np.testing.assert_array_equal(back.x, tiles.x)


@settings(quiet, max_examples=120)
@given(st.data())
def test_grids_that_do_not_nest_are_half_a_cell_off_at_most(data):
    n, m = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 9))
    step = data.draw(st.floats(0.3, 3.0))
    shift = data.draw(st.floats(-5, 3))
    a = xr.DataArray(np.zeros(30), {"x": axis(0.0, 1.0, 30)}, ("x",))
    b = xr.DataArray(np.zeros(60), {"x": axis(shift, step, 60)}, ("x",))
    p = a.patch.split(geometry={"x": n}, sampler=RegularStride(1))
    q = b.patch.split(geometry={"x": m}, sampler=Explicit(p, outside="drop"))
    same = p.sel(patch=q["patch"].values)
    far = abs(q.x.mean("x") - same.x.mean("x"))
    assert float(far.max()) <= step * (0.5 + 1e-5)
    dropped = np.setdiff1d(p["patch"], q["patch"])
    low, high = shift + m * step / 2, shift + 60 * step - m * step / 2
    middles = p.x.mean("x").sel(patch=dropped).values
    assert np.all((middles < low + step / 2 + 1e-9) | (middles > high - step / 2 - 1e-9))


@settings(quiet, max_examples=60)
@given(st.integers(1, 4), st.integers(2, 4), st.booleans(), st.integers(0, 9))
def test_fields_in_crs_of_an_exact_affine(ratio, n, fine_first, seed):
    """A CRS whose coordinates are those of another, moved: false easting and northing."""
    base = "+proj=utm +zone=33 +datum=WGS84 +units=m"
    moved = (
        "+proj=tmerc +lat_0=0 +lon_0=15 +k=0.9996 +x_0=100000 +y_0=-250000 +datum=WGS84 +units=m"
    )
    a = plane(10, 12, 10.0 * ratio, crs=CRS(base).to_wkt()).isel(part=0)
    b = plane(10 * ratio, 12 * ratio, 10.0, crs=None).isel(part=0)
    north = 6_000_000.0 - 10 * ratio * 10  # the lower edges of both
    b = b.assign_coords(
        x=axis(100_000.0, 10.0, 12 * ratio),
        y=axis(north - 250_000.0, 10.0, 10 * ratio)[::-1],
    ).rio.write_crs(CRS(moved).to_wkt())
    sampler = Random(3, seed, replace=True, snap=ratio if fine_first else None)
    if fine_first:
        p = b.patch.split(geometry=(n * ratio,) * 2, sampler=sampler)
        q = a.patch.split(geometry=(n, n), sampler=Explicit(p))
    else:
        q = a.patch.split(geometry=(n, n), sampler=sampler)
        p = b.patch.split(geometry=(n * ratio,) * 2, sampler=Explicit(q))
    np.testing.assert_allclose(p.x.mean("x") + 400_000, q.x.mean("x"), rtol=0, atol=1e-3)
    np.testing.assert_allclose(p.y.mean("y") + 250_000, q.y.mean("y"), rtol=0, atol=1e-3)


@pytest.mark.parametrize("geometry", [SphericalCap(0.06), KNNGraph(9)])
def test_lists_around_boxes_are_anchored_at_their_mid_points(geometry):
    field = plane()
    tiles = field.isel(part=0).patch.split(geometry=(4, 6), sampler=RegularStride(2))
    lists = field.isel(part=0).patch.split(geometry=geometry, sampler=Explicit(tiles))
    places = tiles.patch.places
    np.testing.assert_allclose(lists.patch.anchors.x, places.x)
    np.testing.assert_allclose(lists.patch.anchors.y, places.y)
    back = field.isel(part=0).patch.split(geometry=(4, 6), sampler=Explicit(lists))
    np.testing.assert_array_equal(back.x, tiles.x)


# ------------------------------------------------------------------------------ CRS both ways


def test_places_of_another_zone_are_transformed():
    a, b = plane(60, 60, 1000.0), plane(100, 700, 1000.0, x0=0.0, y0=6_050_000.0, crs=32634)
    p = a.patch.split(geometry=(10, 10))
    q = b.patch.split(geometry=(11, 11), sampler=Explicit(p, outside="drop"))
    assert 0 < q.sizes["patch"] <= p.sizes["patch"]
    move = Transformer.from_crs(32633, 32634, always_xy=True).transform
    mine = p.sel(patch=q["patch"].values)
    x, y = move(mine.x.mean("x").values, mine.y.mean("y").values)
    assert abs(q.x.mean("x") - x).max() <= 500
    assert abs(q.y.mean("y") - y).max() <= 500


@pytest.mark.parametrize("first", ["known", "unknown"])
@pytest.mark.parametrize("geometry", [Rectangular((4, 4)), KNNGraph(3)])
def test_one_crs_alone_says_nothing(first, geometry):
    with_crs, without = plane().isel(part=0), plane(crs=None).isel(part=0)
    a, b = (with_crs, without) if first == "known" else (without, with_crs)
    p = a.patch.split(geometry=(4, 4))
    with pytest.raises(ValueError, match=r"no CRS.*write_crs"):
        b.patch.split(geometry=geometry, sampler=Explicit(p))


def test_fields_without_crs_go_by_their_numbers():
    a, b = plane(crs=None).isel(part=0), plane(crs=None).isel(part=0).rename(y="row", x="col")
    p = a.patch.split(geometry=(4, 6))
    with pytest.raises(KeyError, match="lack dimension"):  # two of each, and nothing says which
        b.patch.split(geometry={"row": 4, "col": 6}, sampler=Explicit(p))
    b.row.attrs["axis"], b.col.attrs["axis"] = "Y", "X"
    q = b.patch.split(geometry={"row": 4, "col": 6}, sampler=Explicit(p))
    np.testing.assert_array_equal(q.values, p.values)


def test_axes_that_are_swapped_or_reversed_go_by_name_and_label():
    a = plane().isel(part=0)
    b = a.transpose("x", "y").isel(x=slice(None, None, -1), y=slice(None, None, -1))
    p = a.patch.split(geometry={"y": 5, "x": 6}, sampler=RegularStride(3))
    q = b.patch.split(geometry={"y": 5, "x": 6}, sampler=Explicit(p))
    assert q.dims == ("patch", "x", "y")
    for d in ("y", "x"):
        np.testing.assert_allclose(q[d].mean(d), p[d].mean(d))


@pytest.mark.parametrize("flip", [(True, False), (False, True)])
def test_the_first_edge_lies_on_the_same_side(flip):
    a, b = plane(20, 20, 20.0), plane(40, 40, 10.0, flip=flip)
    p = a.patch.split(geometry=(8, 8), sampler=RegularStride(3))
    q = b.patch.split(geometry=(4, 4), sampler=Explicit(p, at="start"))
    np.testing.assert_allclose(
        extent(q, "y")[1], extent(p, "y")[1]
    )  # y falls: the first is the top
    np.testing.assert_allclose(extent(q, "x")[0], extent(p, "x")[0])


def test_boxes_that_the_border_would_move_are_no_match():
    a, b = plane(20, 20), plane(16, 16, y0=6_000_000.0 - 20)
    p = a.patch.split(geometry=(4, 4))
    with pytest.raises(ValueError, match=r"patch 0.*outside='drop'"):
        b.patch.split(geometry=(4, 4), sampler=Explicit(p))
    q = b.patch.split(geometry=(4, 4), sampler=Explicit(p, outside="drop"))
    same = p.sel(patch=q["patch"].values)
    assert q.sizes["patch"] < p.sizes["patch"]
    np.testing.assert_allclose(q.x, same.x)
    np.testing.assert_allclose(q.y, same.y)
    assert (q - same).notnull().all()  # the labels align
    padded = Rectangular((4, 4), boundary="pad")
    every = b.patch.split(geometry=padded, sampler=Explicit(p, outside="drop"))
    np.testing.assert_allclose(every.y.mean("y"), p.y.sel(patch=every["patch"].values).mean("y"))


def test_patches_across_the_seam_are_found_on_another_grid():
    def globe(step):
        lon = axis(0.0, step, int(360 / step))
        lat = axis(-90.0, step, int(180 / step))
        return xr.DataArray(np.zeros((len(lat), len(lon))), {"lat": lat, "lon": lon})

    wrap = {"lon": "wrap"}
    p = globe(10.0).patch.split(geometry=Rectangular(lat=4, lon=4, boundary=wrap))
    turned = globe(5.0).assign_coords(lon=axis(-180.0, 5.0, 72))
    q = turned.patch.split(geometry=Rectangular(lat=8, lon=8, boundary=wrap), sampler=Explicit(p))
    apart = (q.lon.mean("lon") - p.lon.mean("lon") + 180) % 360 - 180
    np.testing.assert_allclose(apart, 0, atol=1e-9)


def test_curvilinear_boxes_go_by_their_mid_point_on_the_sphere():
    j, i = np.meshgrid(np.arange(20.0), np.arange(30.0), indexing="ij")
    lat, lon = 50 + 0.5 * j + 0.05 * i, 5 + 0.7 * i - 0.1 * j
    coords = {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}
    field = xr.DataArray(lat, coords, ("j", "i"))
    odd = field.patch.split(geometry={"j": 5, "i": 7}, sampler=RegularStride(2))
    even = field.patch.split(geometry={"j": 4, "i": 6}, sampler=RegularStride(3))
    for patches, size in ((odd, {"j": 5, "i": 7}), (even, {"j": 4, "i": 6})):
        places = patches.patch.places
        again = field.patch.split(
            geometry=size, sampler=Explicit({"lon": places.lon.values, "lat": places.lat.values})
        )
        np.testing.assert_array_equal(again.values, patches.values)
    grid = xr.DataArray(
        np.zeros((60, 90)), {"lat": axis(48.0, 0.25, 60), "lon": axis(3.0, 0.25, 90)}
    )
    near = grid.patch.split(geometry={"lat": 3, "lon": 3}, sampler=Explicit(even, outside="drop"))
    mine = even.patch.places.sel(patch=near["patch"].values)
    assert abs(near.lat.mean("lat") - mine.lat).max() <= 0.1251
    with pytest.raises(ValueError, match="outside of the field"):
        field.patch.split(
            geometry={"j": 3, "i": 3}, sampler=Explicit({"lon": [90.0], "lat": [0.0]})
        )


# -------------------------------------------------------------------------------- what is given


def test_longitude_and_latitude_by_name_are_degrees_on_every_field():
    field = plane(200, 300, 1000.0, 300_000.0, 5_600_000.0, crs=32632)
    x, y = Transformer.from_crs(4326, 32632, always_xy=True).transform(8.0, 49.8)
    table = pd.DataFrame({"name": ["a"], "LON": [8.0], "Latitude": [49.8]}, index=["site 7"])
    for given_places in ({"lon": [8.0], "lat": [49.8]}, table, table.to_xarray()):
        p = field.patch.split(geometry=(3, 3), sampler=Explicit(given_places))
        assert abs(float(p.x.mean()) - x) <= 500
        assert abs(float(p.y.mean()) - y) <= 500
    track = xpatch.AlongTrack({"lon": [8.0, 8.2], "lat": [49.8, 49.7]}, 5000.0)
    first = field.patch.split(geometry=(3, 3), sampler=track).isel(patch=0)
    assert abs(float(first.x.mean()) - x) <= 500
    bare = plane(crs=None).isel(part=0)
    with pytest.raises(REFUSED, match="CRS"):
        bare.patch.split(geometry=KNNGraph(2), sampler=Explicit({"lon": [8.0], "lat": [49.8]}))


def test_ids_come_along(tmp_path):
    field = plane().isel(part=0)
    at = geopandas.GeoSeries.from_xy(
        [500_045.0, 0.0, 500_155.0],
        [5_999_905.0, 0.0, 5_999_855.0],
        index=["mill", "nowhere", "dam"],
        crs=32633,
    )
    p = field.patch.split(geometry=(3, 3), sampler=Explicit(at, outside="drop"))
    assert p.anchor.values.tolist() == ["mill", "dam"]
    members = field.patch.split(geometry=SphericalCap(0.03), sampler=Explicit(at, empty="keep"))
    assert members.anchor.values.tolist() == ["mill", "nowhere", "dam"]
    assert members.isel(patch=1).isnull().all()
    for k, patches in enumerate((p, members)):
        patches.to_netcdf(tmp_path / f"{k}.nc")
        with xr.open_dataset(tmp_path / f"{k}.nc") as back:
            assert back.patch.places.anchor.values.tolist() == patches.anchor.values.tolist()
    dropped = field.patch.split(geometry=SphericalCap(0.03), sampler=Explicit(at, empty="drop"))
    assert dropped.anchor.values.tolist() == ["mill", "dam"]
    with pytest.raises(ValueError, match=r"empty='drop'"):
        field.patch.split(geometry=SphericalCap(0.03), sampler=Explicit(at))
    xr.testing.assert_allclose(
        p.patch.merge().sel(x=500_045.0),
        field.sel(x=500_045.0).where((field.y >= 5_999_895) & (field.y <= 5_999_915)),
    )


def test_sites_of_a_field_are_places():
    grid = plane(20, 20, 1000.0).isel(part=0)
    coarse = grid.coarsen(y=5, x=5).mean()
    around = grid.patch.split(geometry=(5, 5), sampler=Explicit(coarse))
    assert around.sizes["patch"] == 16
    np.testing.assert_allclose(around.mean(("y", "x")), coarse.values.ravel())
    lon, lat = np.array([15.04, 15.08]), np.array([54.06, 54.05])
    stations = xr.DataArray(
        [1.0, 2.0],
        {"lon": ("id", lon), "lat": ("id", lat), "id": ["north", "south"]},
        ("id",),
    )
    p = grid.patch.split(geometry=(3, 3), sampler=Explicit(stations))
    x, y = Transformer.from_crs(4326, 32633, always_xy=True).transform(lon, lat)
    assert abs(p.x.mean("x") - x).max() <= 500
    assert abs(p.y.mean("y") - y).max() <= 500
    assert p.anchor.values.tolist() == ["north", "south"]
    near = stations.patch.split(geometry=KNNGraph(1), sampler=Explicit(coarse))
    assert near.sizes["patch"] == 16


def test_labels_by_keyword_and_what_is_not_cut():
    field = plane(crs=None).isel(part=0)
    y, x = field.y.values[[5, 9]], field.x.values[[7, 8]]
    p = field.patch.split(geometry=(3, 3), sampler=Explicit(y=y, x=x))
    np.testing.assert_array_equal(p.y[:, 1], y)
    with pytest.raises(KeyError, match=r"'z'.*not cut"):
        field.patch.split(geometry=(3, 3), sampler=Explicit(y=y, x=x, z=[1, 2]))
    with pytest.raises(TypeError, match="give one of them"):
        Explicit([(1, 2)], y=[3])
    with pytest.raises(ValueError, match="same length"):
        field.patch.split(geometry=(3, 3), sampler=Explicit([(1, 2), (3,)]))


def test_places_in_the_crs_of_the_patches_are_places_again():
    field = plane(40, 40).isel(part=0)
    p = field.patch.split(geometry=(6, 6), sampler=Random(7, 1))
    places = p.patch.places
    assert places.rio.crs.to_epsg() == 32633
    q = field.patch.split(geometry=(6, 6), sampler=Explicit(places))
    np.testing.assert_array_equal(q.values, p.values)
    degrees = field.rio.write_crs(32633).rio.reproject(4326)
    there = degrees.patch.split(geometry=(3, 3), sampler=Explicit(places, outside="drop"))
    assert there.sizes["patch"] > 0


def test_patches_from_a_file_are_places(tmp_path):
    fine, coarse = plane(40, 40).isel(part=0), plane(20, 20, 20.0).isel(part=0)
    p = coarse.patch.split(geometry=(6, 6), sampler=Random(5, 1))
    p.to_netcdf(tmp_path / "p.nc")
    read = xr.open_dataset(tmp_path / "p.nc", decode_coords="all").t
    q = fine.patch.split(geometry=(12, 12), sampler=Explicit(read))
    np.testing.assert_allclose(q.x.mean("x"), p.x.mean("x"))
    np.testing.assert_allclose(q.y.mean("y"), p.y.mean("y"))


def test_a_point_between_two_cells_takes_the_lower_start():
    for values in (np.arange(10.0), np.arange(10.0)[::-1]):
        field = xr.DataArray(np.arange(10), {"x": values}, ("x",))
        p = field.patch.split(geometry={"x": 3}, sampler=Explicit({"x": [4.5]}))
        assert p.values[0].tolist() == [3, 4, 5]
        even = field.patch.split(geometry={"x": 4}, sampler=Explicit({"x": [4.5]}))
        assert even.values[0].tolist() == [3, 4, 5, 6]


def test_dates_and_calendars_are_places_along_time():
    for dates in (
        pd.date_range("2000-01-01", periods=40),
        xr.date_range("2000-01-01", periods=40, calendar="noleap", use_cftime=True),
    ):
        days = xr.DataArray(np.arange(40.0), {"time": dates}, ("time",))
        pairs_of_days = days[::2].assign_coords(time=dates[::2] + pd.Timedelta("12h"))
        p = pairs_of_days.patch.split(geometry={"time": 4}, sampler=RegularStride(2))
        q = days.patch.split(geometry={"time": 8}, sampler=Explicit(p))
        np.testing.assert_array_equal(q.values[:, 0], p.values[:, 0])


# ----------------------------------------------------------------------------------------- snap


@pytest.mark.parametrize(
    "sampler",
    [
        Random(30, 0, replace=True, snap=4),
        xpatch.JitteredStride(8, seed=0, snap={"y": 4, "x": 4}),
        xpatch.PoissonDisk(6, 0, snap=4),
        RegularStride(8, snap=4),
    ],
)
@pytest.mark.filterwarnings("ignore:the last")
@pytest.mark.parametrize("boundary", ["shift", "pad", "drop"])
def test_starts_are_multiples(sampler, boundary):
    field = xr.DataArray(np.zeros((30, 44)), dims=("y", "x"))
    p = field.patch.split(geometry=Rectangular((8, 8), boundary=boundary), sampler=sampler)
    plan = p.xindexes["patch"].plans[0]
    starts = plan.boxes.starts(p["patch"].values)
    assert len(starts) > 3
    assert not (starts % 4).any()


def test_the_far_edge_goes_to_the_last_multiple():
    field = xr.DataArray(np.zeros(30), dims=("x",))
    with pytest.warns(UserWarning, match="last 2 cells along 'x' stay uncovered"):
        p = field.patch.split(geometry={"x": 8}, sampler=RegularStride(8, snap=4))
    assert p.xindexes["patch"].plans[0].boxes.slices[0].starts.tolist() == [0, 8, 16, 20]
    with pytest.raises(ValueError, match="no multiple of snap=4"):
        field.patch.split(geometry={"x": 8}, sampler=RegularStride(6, snap=4))
    with pytest.raises(ValueError, match="snap is that of boxes"):
        plane().patch.split(geometry=KNNGraph(2), sampler=Random(2, snap=2))


def test_boxes_at_shapely_points_of_two_crs_agree():
    field = plane(60, 60, 1000.0).isel(part=0)
    utm = geopandas.GeoSeries([shapely.Point(520_300, 5_970_400)], crs=32633)
    for size in ((4, 4), (5, 5), (4, 5)):
        a = field.patch.split(geometry=size, sampler=Explicit(utm))
        b = field.patch.split(geometry=size, sampler=Explicit(utm.to_crs(4326)))
        np.testing.assert_array_equal(a.values, b.values)
        assert abs(float(a.x.mean()) - 520_300) <= 500
        assert abs(float(a.y.mean()) - 5_970_400) <= 500


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("dims", [("y", "x"), ("j", "i")])
def test_rows_and_columns_of_a_curved_grid_may_be_called_x_and_y(dims, labels):
    geopandas, shapely = pytest.importorskip("geopandas"), pytest.importorskip("shapely")
    j, i = np.meshgrid(np.arange(60), np.arange(50), indexing="ij")
    lat, lon = 20 + 0.5 * j + 0.02 * i, 5 + 0.5 * i - 0.03 * j
    own = {"nav_lat": (dims, lat), "nav_lon": (dims, lon)}
    own |= dict(zip(dims, (np.arange(60), np.arange(50)), strict=True)) if labels else {}
    field = xr.DataArray(lat, own, dims)
    points = geopandas.GeoSeries([shapely.Point(25, 43)], crs=4326)
    square = xr.DataArray(
        np.ones((3, 3)), {"lat": [42.0, 43, 44], "lon": [24.0, 25, 26]}, ("lat", "lon")
    )
    others = square.patch.split(geometry={"lat": 3, "lon": 3})
    for at in (
        points,
        points.to_crs(3857),
        [shapely.Point(25, 43)],
        {"lon": [25], "lat": [43]},
        others,
    ):
        sampler = xpatch.Explicit(at)
        box = field.patch.split(geometry=dict.fromkeys(dims, 1), sampler=sampler)
        nearest = field.patch.split(geometry=xpatch.KNNGraph(1), sampler=sampler)
        assert abs(float(box.squeeze()) - 43) < 0.3
        assert float(box.squeeze()) == float(nearest.squeeze())


@pytest.mark.parametrize("step", [1.0, 0.25])
@pytest.mark.parametrize("west", [0.0, 176.0])
def test_curvilinear_grids_end_half_a_cell_past_the_rim(step, west):
    lat, lon = np.meshgrid(40 + step * np.arange(8), west + step * np.arange(9), indexing="ij")
    lat[3, 4] = np.nan
    places = {"lat": ("j", "i"), "lon": ("j", "i")}
    coords = {n: (d, v) for (n, d), v in zip(places.items(), (lat, lon), strict=True)}
    field = xr.DataArray(np.zeros(lat.shape), coords, ("j", "i"))
    rows, columns = np.array([-0.6, -0.45, 7.45, 7.6, 3.0, 2.6]), np.array([2.0, 8.45, 0, 8, 4, 4])
    at = {"lat": 40 + step * rows, "lon": (west + step * columns + 180) % 360 - 180}
    sampler = Explicit(at, outside="drop")
    p = field.patch.split(geometry={"j": 1, "i": 1}, sampler=sampler)
    np.testing.assert_allclose(p.lat.values.ravel(), [40, 40 + 7 * step])
    np.testing.assert_allclose(p.lon.values.ravel(), [west + 8 * step, west])
    with pytest.raises(ValueError, match="outside of the field"):
        field.patch.split(geometry={"j": 1, "i": 1}, sampler=Explicit(at))


def test_grids_around_the_earth_have_no_rim_in_longitude():
    lat, lon = np.meshgrid(np.arange(-75, 76, 30.0), np.arange(15, 360, 30.0), indexing="ij")
    coords = {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}
    field = xr.DataArray(np.zeros(lat.shape), coords, ("j", "i"))
    around = np.linspace(-180, 180, 50)
    at = {"lat": np.repeat([-89.0, 0.0, 89.0], 50), "lon": np.tile(around, 3)}
    p = field.patch.split(geometry={"j": 1, "i": 1}, sampler=Explicit(at))
    assert p.sizes["patch"] == 150


def test_fields_without_a_crs_take_the_one_that_is_given():
    field = xr.DataArray(np.zeros((6, 6)), {"y": np.arange(6.0), "x": np.arange(6.0)}, ("y", "x"))
    known = field.rio.write_crs(32633)
    other = field[2:4, 1:3]
    with pytest.raises(ValueError, match="no CRS"):
        known.patch.split(geometry={"y": 1, "x": 1}, sampler=Explicit(other))
    p = known.patch.split(geometry={"y": 1, "x": 1}, sampler=Explicit(other, crs=32633))
    np.testing.assert_array_equal(p.y.values.ravel(), [2, 2, 3, 3])
    far = field.rio.write_crs(32632)  # it knows its own
    with pytest.raises(ValueError, match="outside"):
        known.patch.split(geometry={"y": 1, "x": 1}, sampler=Explicit(far, crs=32633))


def test_places_outside_are_named():
    field = xr.DataArray(np.zeros((6, 6)), {"y": np.arange(6.0), "x": np.arange(6.0)}, ("y", "x"))
    at = pd.DataFrame({"y": [1.0, 30.0], "x": [2.0, 2.0]}, index=["mill", "dam"])
    with pytest.raises(ValueError, match=r"anchor dam at .*'y': 30\.0.*which spans 0\.0 to 5\.0"):
        field.patch.split(geometry={"y": 1, "x": 1}, sampler=Explicit(at))
