"""Boxes in kilometers: as many cells of longitude as the latitude asks for, against loops over cells."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xpatch
from xpatch import Explicit, FibonacciSphere, Random, Rectangular, RegularStride, Valid
from xpatch.patches.index import patch_index

KM_PER_DEGREE = np.pi * 6371.0088 / 180
AROUND = {"lon": "wrap"}


def globe(step=3.0, first=0.0, down=False):
    lat = np.arange(-90 + step / 2, 90, step)
    lon = np.arange(first, first + 360, step)
    values = np.random.default_rng(0).random((len(lat), len(lon)))
    field = xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"), name="t")
    return field.isel(lat=slice(None, None, -1)) if down else field


def region():
    return globe(1.0, -180).sel(lat=slice(30, 70), lon=slice(-30, 30))


def boxes_of(patches):
    """Rows, columns and their numbers of all boxes."""
    hood = patch_index(patches).plans[0].hood
    return list(zip(hood.starts().tolist(), hood.cells().tolist(), strict=True))


def width(km, lat, step):
    """What the docstring of Rectangular promises."""
    with np.errstate(divide="ignore"):
        cells = np.rint(km / (KM_PER_DEGREE * step * np.cos(np.deg2rad(lat))))
    return int(np.clip(cells, 1, round(360 / step)))


# ------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("first", [0.0, -180.0])
def test_each_box_is_as_wide_as_its_latitude_asks_for(first, down):
    field = globe(3.0, first, down)
    patches = field.patch.split(geometry=Rectangular(lat="1300km", lon="1000km", boundary=AROUND))
    assert patches.dims == ("patch", "lat", "lon")
    rows = round(1300 / (KM_PER_DEGREE * 3))
    values, lon = patches.values, patches.lon.values
    for k, ((top, left), (n, m)) in enumerate(boxes_of(patches)):
        middle = field.lat.values[top : top + n].mean()
        assert (n, m) == (rows, width(1000, middle, 3.0))
        columns = (left + np.arange(m)) % len(field.lon)
        np.testing.assert_array_equal(values[k, :, :m], field.values[top : top + n, columns])
        assert np.isnan(values[k, :, m:]).all()
        assert np.isnan(lon[k, m:]).all()
        assert len(set(columns)) == m
    counts = patches.patch.mask.sum(["lat", "lon"]).values
    np.testing.assert_array_equal(counts, [n * m for _, (n, m) in boxes_of(patches)])


def test_longitudes_of_a_box_go_on_past_the_seam():
    field = globe(3.0, -180)
    at = Explicit(lat=[61.0], lon=[179.0])
    patch = field.patch.split(geometry=Rectangular("1000km", boundary=AROUND), sampler=at)
    lon = patch.lon.values[0]
    assert lon.min() < 180 < lon.max()
    np.testing.assert_allclose(np.diff(lon), 3)


def test_at_the_poles_a_box_holds_each_longitude_once():
    field = xr.DataArray(
        np.zeros((19, 36)), {"lat": np.arange(-90, 91, 10.0), "lon": np.arange(0, 360, 10.0)}
    )
    patches = field.patch.split(geometry=Rectangular(lat=1, lon="2000km", boundary=AROUND))
    whole = [m for (top, _), (_, m) in boxes_of(patches) if top in (0, 18)]
    assert set(whole) == {36}
    assert max(m for _, (_, m) in boxes_of(patches)) == 36


def test_gaussian_latitudes_and_descending_longitudes():
    lat = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    field = xr.DataArray(
        np.random.default_rng(0).random((64, 128)),
        {"lat": lat, "lon": np.arange(128)[::-1] * 360 / 128},
    )
    assert xpatch.domain_of(field).spacing("lat") is None
    patches = field.patch.split(geometry=Rectangular("1500km", boundary=AROUND), window="hann")
    assert patches.sizes["lat"] == 5
    xr.testing.assert_allclose(patches.patch.merge(), field)


@pytest.mark.parametrize("ends", [("wrap", 3), ("shift", 1), ("pad", 2)])
def test_boxes_that_overhang_uneven_latitudes_go_on_at_the_step_of_the_edge(ends):
    word, step = ends
    lat = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(16)[0]))[:10]
    lon = np.arange(0, 360, 11.25)
    values = np.random.default_rng(0).random((10, 32))
    field = xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"))
    boundary = {"lat": "pad", "lon": word}
    geometry = Rectangular(lat=3, lon="4000km", boundary=boundary, pad_mode="constant")
    patches = field.patch.split(geometry=geometry, sampler=RegularStride(lat=step))
    xr.testing.assert_allclose(patches.patch.merge(), field)
    beyond = [lat[0] - (lat[1] - lat[0]), *lat, lat[-1] + (lat[-1] - lat[-2])]
    for (top, _), (_, m) in boxes_of(patches):
        assert m == width(4000, min(abs(beyond[top + 2]), 90), 11.25)


@pytest.mark.parametrize(
    "size",
    ["300km", "300 km", "300000m", "300e3 m", " 300.0km", {"lat": "300km", "lon": "0.3e3km"}],
)
def test_units(size):
    field = region()
    one = field.patch.split(geometry=Rectangular(size))
    other = field.patch.split(geometry=Rectangular(lat="300km", lon="300km"))
    assert one.equals(other)


def test_degrees_in_text_are_those_of_floats():
    field = region()
    one = field.patch.split(geometry=Rectangular(lat="4deg", lon="6°"))
    assert one.equals(field.patch.split(geometry=Rectangular(lat=4.0, lon=6.0)))


def test_a_rotated_pole_has_narrow_cells_at_its_own_pole():
    pyproj = pytest.importorskip("pyproj")
    crs = pyproj.CRS.from_cf(
        {
            "grid_mapping_name": "rotated_latitude_longitude",
            "grid_north_pole_latitude": 39.25,
            "grid_north_pole_longitude": -162.0,
        }
    )
    names = {"rlat": "grid_latitude", "rlon": "grid_longitude"}
    field = xr.DataArray(
        np.random.default_rng(0).random((60, 50)),
        {"rlat": np.arange(60.0), "rlon": np.arange(50.0), "crs": ((), 0, crs.to_cf())},
        ("rlat", "rlon"),
    )
    for dim, name in names.items():
        field[dim].attrs.update(standard_name=name, units="degrees")
    field.attrs["grid_mapping"] = "crs"
    patches = field.patch.split(geometry=Rectangular("600km"))
    for (top, _), (n, m) in boxes_of(patches):
        assert m == width(600, field.rlat.values[top : top + n].mean(), 1.0)
    xr.testing.assert_allclose(patches.patch.merge(), field)


@pytest.mark.parametrize(("code", "unit"), [(32632, 1.0), (2263, 1200 / 3937)])
def test_a_raster_goes_by_the_units_of_its_crs(code, unit):
    pyproj = pytest.importorskip("pyproj")
    wkt = pyproj.CRS(code).to_wkt()
    coords = {"y": np.arange(40) * -100.0, "x": np.arange(50) * 100.0}
    field = xr.DataArray(np.zeros((40, 50)), coords, ("y", "x"))
    field = field.assign_coords(spatial_ref=((), 0, {"crs_wkt": wkt}))
    patches = field.patch.split(geometry=Rectangular("0.6km"), sampler=RegularStride("300m"))
    n = round(600 / unit / 100)
    assert patches.sizes["y"] == patches.sizes["x"] == n
    assert patches.x[1, 0] - patches.x[0, 0] == 100 * round(300 / unit / 100)


# ------------------------------------------------------------------------------------- merges


@settings(max_examples=8, deadline=None)
@given(
    km=st.sampled_from([700, 2500, 9000, 40000]),
    overlap=st.sampled_from([None, "50%", "70%"]),
    window=st.sampled_from([None, "hann"]),
    boundary=st.sampled_from(["shift", AROUND, {"lat": "pad", "lon": "wrap"}]),
    chunks=st.sampled_from([None, {"lat": 11, "lon": 17}]),
)
def test_an_identity_gives_the_field_back(km, overlap, window, boundary, chunks):
    field = globe(6.0)
    cut = field if chunks is None else field.chunk(chunks)
    geometry = Rectangular(lat=f"{min(km, 15000)}km", lon=f"{km}km", boundary=boundary)
    patches = cut.patch.split(
        geometry=geometry, sampler=RegularStride(overlap=overlap), window=window
    )
    for skipna in (None, False):
        xr.testing.assert_allclose(patches.patch.merge(skipna=skipna).compute(), field)


PICKS = {
    "mean": lambda cell: np.mean([v for _, v in cell]),
    "median": lambda cell: np.median([v for _, v in cell]),
    "max": lambda cell: max(v for _, v in cell),
    "mode": lambda cell: min(v for _, v in cell),  # all differ
    "first": lambda cell: cell[0][1],
    "last": lambda cell: cell[-1][1],
    "most_central": lambda cell: min(cell)[1],
}


@pytest.mark.parametrize("km", ["1600km", "6000km"])
def test_aggregations_look_at_the_cells_that_there_are(km):
    field = globe(8.0)
    split = {"geometry": Rectangular(km, boundary=AROUND), "sampler": RegularStride(overlap="50%")}
    patches = field.patch.split(**split)
    off = patches + xr.DataArray(
        np.random.default_rng(1).random(patches.sizes["patch"]), dims="patch"
    )
    cells: dict = {}
    for k, ((top, left), (n, m)) in enumerate(boxes_of(patches)):
        for i, j in np.ndindex(n, m):
            far = abs(2 * i + 1 - n) / n, abs(2 * j + 1 - m) / m
            rank = round(max(far), 9), round(far[0] ** 2 + far[1] ** 2, 9), k
            at = top + i, (left + j) % len(field.lon)
            cells.setdefault(at, []).append((rank, off.values[k, i, j]))
    for how, pick in PICKS.items():
        expected = np.array([pick(cells[at]) for at in np.ndindex(field.shape)])
        merged = off.patch.merge(how), off.chunk(patch=37).patch.merge(how)
        for found in merged:
            np.testing.assert_allclose(found, expected.reshape(field.shape), err_msg=how)


def test_what_is_missing_stays_missing_and_counts_are_counts():
    field = globe(4.0).where(lambda f: f > 0.3)
    patches = field.patch.split(geometry=Rectangular("1500km", boundary=AROUND))
    xr.testing.assert_allclose(patches.patch.merge(), field)
    held = np.zeros(field.shape, int)
    for (top, left), (n, m) in boxes_of(patches):
        held[np.ix_(np.arange(top, top + n), (left + np.arange(m)) % len(field.lon))] += 1
    count = xr.ones_like(patches).where(patches.patch.mask).patch.merge("sum")
    np.testing.assert_array_equal(count, held)
    assert (held > 0).all()


def test_integers_and_datasets():
    field = globe(4.0)
    whole = (field * 100).astype("i2")
    zonal, single = field.mean("lon"), xr.DataArray(3.0)
    ds = xr.Dataset({"a": field, "b": whole, "c": zonal, "d": single})
    patches = ds.patch.split(geometry=Rectangular("1500km", boundary=AROUND))
    assert patches.c.dims == ("patch", "lat")
    assert patches.b.dtype == np.float32
    xr.testing.assert_allclose(patches.patch.merge(), ds)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_files(tmp_path, suffix):
    ds = globe(6.0).to_dataset()
    stored, path = tmp_path / f"f.{suffix}", tmp_path / f"p.{suffix}"

    def write(obj, where):
        obj.to_netcdf(where) if suffix == "nc" else obj.to_zarr(where, zarr_format=2)

    write(ds, stored)
    disk = xr.open_dataset(stored, chunks=None, engine="zarr" if suffix == "zarr" else None)
    geometry = Rectangular("2500km", boundary=AROUND)
    patches = disk.patch.split(
        geometry=geometry, sampler=RegularStride(overlap="40%"), window="hann"
    )
    write(patches, path)
    again = xr.open_dataset(path, engine="zarr" if suffix == "zarr" else None)
    xr.testing.assert_allclose(again.patch.merge(), ds)
    mixed = again.isel(patch=np.random.default_rng(0).permutation(again.sizes["patch"]))
    xr.testing.assert_allclose(mixed.patch.merge(), ds)
    xr.testing.assert_equal(again.patch.anchors, patches.patch.anchors)
    few = again.isel(patch=[5, 60]).patch.merge()
    assert int(few.t.notnull().sum()) == int(patches.patch.mask[[5, 60]].sum())


def test_a_recipe_with_sizes_beyond_the_slots_is_damaged(tmp_path):
    patches = globe(6.0).patch.split(geometry=Rectangular("2500km"))
    patches.to_netcdf(tmp_path / "p.nc")
    again = xr.open_dataset(tmp_path / "p.nc")
    (name,) = [
        n for n, c in again.coords.items() if any("filled" in str(v) for v in c.attrs.values())
    ]
    (key,) = [k for k, v in again[name].attrs.items() if "filled" in str(v)]
    text = again[name].attrs[key]
    again[name].attrs[key] = text.replace('"filled": [', '"filled": [{"n": 3}, ', 1)
    with pytest.raises(ValueError, match="filled"):
        again.patch.merge()


def test_space_and_time():
    field = globe(6.0).expand_dims(time=5).assign_coords(time=np.arange(5))
    field = (field * xr.DataArray(np.arange(1, 6), dims="time")).transpose("lon", "time", "lat")
    space = Rectangular("2500km", boundary=AROUND)
    both = field.patch.split(geometry=[space, xpatch.FixedLookback(2)])
    assert both.dims == ("patch", "lon", "time", "lat")
    xr.testing.assert_allclose(both.patch.merge(), field)
    boxes = field.patch.split(geometry=Rectangular({"time": 2, "lat": "2500km", "lon": "2500km"}))
    xr.testing.assert_allclose(boxes.patch.merge(), field)
    lazy = field.chunk(time=2).patch.split(geometry=[space, xpatch.FixedLookback(2)])
    xr.testing.assert_allclose(lazy.patch.merge("median").compute(), field)


def test_patches_of_patches():
    field = globe(6.0)
    patches = field.patch.split(geometry=Rectangular("2500km", boundary=AROUND))
    inner = patches.patch.split(geometry={"lon": 4}, dim="inner")
    xr.testing.assert_allclose(inner.patch.merge().patch.merge(), field)


def test_a_merger_takes_batches():
    field = globe(3.0)
    patches = field.patch.split(geometry=Rectangular("6000km", boundary=AROUND))
    patches = patches + xr.DataArray(np.arange(patches.sizes["patch"]), dims="patch")
    for how in ("mean", "most_central"):
        merger = patches.patch.merger(how)
        for low in range(0, patches.sizes["patch"], 7):
            merger.add(patches.isel(patch=slice(low, low + 7)))
        np.testing.assert_allclose(merger.result(), patches.patch.merge(how))


# ----------------------------------------------------------------------------------- samplers


def test_side_by_side_is_rows_and_in_each_as_many_as_lie_there():
    field = globe(3.0)
    patches = field.patch.split(geometry=Rectangular("1000km", boundary=AROUND))
    rows = {}
    for (top, left), (_, m) in boxes_of(patches):
        rows.setdefault((top, m), []).append(left)
    for (_, m), lefts in rows.items():
        assert lefts == list(range(0, 120, m))
    assert [top for top, _ in rows] == list(range(0, 60, 3))


def test_strides_in_km():
    field = globe(1.0)
    stride = RegularStride(lat="500km", lon="500km")
    patches = field.patch.split(geometry=Rectangular("1000km", boundary=AROUND), sampler=stride)
    rows = {}
    for (top, left), (n, _) in boxes_of(patches):
        rows.setdefault(top, []).append(left)
        middle = field.lat.values[top : top + n].mean()
        assert left % width(500, middle, 1.0) == 0
    assert set(np.diff(list(rows))) == {4, 3} or set(np.diff(list(rows))) == {4}
    xr.testing.assert_allclose(patches.patch.merge(), field)
    assert repr(stride) == "RegularStride(lat='500km', lon='500km')"


@settings(max_examples=15, deadline=None)
@given(st.floats(-89, 89), st.floats(-400, 400), st.sampled_from([500, 900, 1700]))
def test_a_box_lies_around_its_place(lat, lon, km):
    field = globe(2.0)
    at = Explicit(lat=[lat], lon=[lon])
    patches = field.patch.split(geometry=Rectangular(f"{km}km", boundary=AROUND), sampler=at)
    (((top, left), (n, m)),) = boxes_of(patches)
    assert m == width(km, field.lat.values[top : top + n].mean(), 2.0)
    middle = left + (m - 1) / 2
    off = (middle - (lon - field.lon.values[0]) / 2.0 + 90) % 180 - 90
    assert abs(off) <= 0.5 + 1e-6 or m == 180
    best = np.clip(round((lat + 89) / 2 - (n - 1) / 2), 0, 90 - n)
    assert abs(top - best) <= 1


def test_other_samplers():
    field = globe(3.0)
    geometry = Rectangular("1000km", boundary=AROUND)
    for sampler, count in [
        (Random(25, seed=0), 25),
        (Random(25, seed=0, weights=field), 25),
        (xpatch.ByClass(10, (field > 0.9).astype(int), seed=0), 10),
        (Valid(Random(25, seed=0), where=field > 0.01), 25),
        (FibonacciSphere(60), 60),
        (xpatch.AlongTrack({"lon": [170.0, 190.0], "lat": [0.0, 70.0]}, 500.0), 16),
    ]:
        sampler = (
            Valid(sampler.sampler, 0.5, sampler.where) if isinstance(sampler, Valid) else sampler
        )
        patches = field.patch.split(geometry=geometry, sampler=sampler)
        assert patches.sizes["patch"] == count
        merged = patches.patch.merge()
        xr.testing.assert_allclose(merged, field.where(merged.notnull()))
        for (top, _), (n, m) in boxes_of(patches):
            assert m == width(1000, field.lat.values[top : top + n].mean(), 3.0)


def test_the_center_of_a_weighted_draw_is_the_cell_of_the_weight():
    field = globe(3.0)
    loss = xr.zeros_like(field)
    loss[50, 1] = 1
    patches = field.patch.split(
        geometry=Rectangular("1000km", boundary=AROUND), sampler=Random(1, weights=loss)
    )
    assert patches.patch.anchors.cell_lat.item() == 50
    assert patches.patch.anchors.cell_lon.item() % 120 == 1


def test_valid_fractions_are_those_of_the_cells_of_each_box():
    field = globe(3.0)
    holes = field.where(field > 0.4)
    geometry = Rectangular("1500km", boundary=AROUND)
    every = holes.patch.split(geometry=geometry)
    share = every.notnull().sum(["lat", "lon"]) / every.patch.mask.sum(["lat", "lon"])
    kept = holes.patch.split(geometry=geometry, sampler=Valid(RegularStride(), 0.6))
    assert kept.sizes["patch"] == int((share >= 0.6).sum()) > 10


def test_places_are_taken_by_another_grid():
    fine, coarse = globe(2.0), globe(4.0)
    geometry = Rectangular("1500km", boundary=AROUND)
    tiles = coarse.patch.split(geometry=geometry)
    same = fine.patch.split(geometry=geometry, sampler=Explicit(tiles, outside="drop"))
    assert same.sizes["patch"] == tiles.sizes["patch"] - 3  # higher by a cell, and at the edge
    there = tiles.sel(patch=same["patch"])
    np.testing.assert_allclose(same.patch.places.lat, there.patch.places.lat, atol=1)
    east = same.patch.places.lon - there.patch.places.lon
    assert float(abs((east + 180) % 360 - 180).max()) <= 1
    again = xpatch.Patcher.from_spec(tiles.patch.spec)
    assert coarse.patch.split(again).equals(tiles)


# --------------------------------------------------------------------------------- boundaries


@pytest.mark.parametrize("boundary", ["shift", "drop", "pad"])
def test_at_the_edge_of_a_region(boundary):
    field = region()
    patches = field.patch.split(geometry=Rectangular("800km", boundary=boundary))
    inside = [
        top >= 0 and left >= 0 and top + n <= 41 and left + m <= 61
        for (top, left), (n, m) in boxes_of(patches)
    ]
    assert all(inside) == (boundary != "pad")
    merged = patches.patch.merge()
    assert bool(merged.notnull().all()) == (boundary != "drop")
    xr.testing.assert_allclose(merged, field.where(merged.notnull()))


def test_padding_and_empty_slots_are_two_things():
    field = (region() * 100).astype("i2")
    geometry = Rectangular("800km", boundary="pad", pad_mode="constant", pad_value=-7)
    patches = field.patch.split(geometry=geometry)
    mask = patches.patch.mask
    assert set(np.unique(patches.where(~mask))[:1]) == {-7.0}
    np.testing.assert_array_equal(patches.patch.merge(), field)


def test_outlines_and_places_are_those_of_the_cells():
    pytest.importorskip("geopandas")
    field = region()
    patches = field.patch.split(geometry=Rectangular("800km"))
    outlines = patches.patch.footprints().bounds
    for k, ((top, left), (n, m)) in enumerate(boxes_of(patches)):
        lon, lat = field.lon.values[left : left + m], field.lat.values[top : top + n]
        expected = [lon[0] - 0.5, lat[0] - 0.5, lon[-1] + 0.5, lat[-1] + 0.5]
        np.testing.assert_allclose(outlines.iloc[k], expected)
        np.testing.assert_allclose(patches.patch.places.lon[k], lon.mean())
    east = patches.patch.offsets.east
    assert bool((east.notnull() == patches.patch.mask.transpose(*east.dims)).all())


def test_sets_that_share_no_cell():
    field = globe(3.0)
    patches = field.patch.split(geometry=Rectangular("1000km", boundary=AROUND))
    parts = patches.patch.sets(
        {"train": 0.7, "test": 0.3}, block={"lat": 36.0, "lon": 120.0}, seed=0
    )
    held = {
        name: patches.isel(patch=(parts == name).values).patch.merge().notnull().values
        for name in ("train", "test")
    }
    assert held["train"].any()
    assert held["test"].any()
    assert not (held["train"] & held["test"]).any()


# --------------------------------------------------------------------------------- refusals


def curved():
    y, x = np.mgrid[0:12, 0:15]
    coords = {"lat": (("y", "x"), 40 + 0.5 * y + 0.1 * x), "lon": (("y", "x"), 0.6 * x - 0.1 * y)}
    return xr.DataArray(np.zeros((12, 15)), coords, ("y", "x"))


BARE = xr.DataArray(np.zeros((8, 8)), {"y": np.arange(8.0), "x": np.arange(8.0)})
REFUSED = {
    "no unit": (lambda: Rectangular("300"), ValueError, "positive length with its unit.*'300'"),
    "unknown unit": (lambda: Rectangular(lat="3li"), ValueError, "'3li'"),
    "negative": (lambda: Rectangular("-3km"), ValueError, "'-3km'"),
    "zero": (lambda: Rectangular("0km"), ValueError, "'0km'"),
    "less than half a cell": (
        lambda: globe().patch.split(geometry=Rectangular("100km")),
        ValueError,
        "'100km' along 'lat' is less than half a cell",
    ),
    "no CRS": (
        lambda: BARE.patch.split(geometry=Rectangular("3km")),
        ValueError,
        r"nothing says it.*rio.write_crs.*units='m'",
    ),
    "degrees on a raster": (
        lambda: BARE.patch.split(geometry=Rectangular("3deg")),
        ValueError,
        "'y' is not",
    ),
    "curvilinear": (
        lambda: curved().patch.split(geometry=Rectangular("300km")),
        ValueError,
        r"Rectangular\(lat='300km', lon='300km'\).*SphericalCap",
    ),
    "wider than a region": (
        lambda: region().patch.split(geometry=Rectangular(lat="900km", lon="4000km")),
        ValueError,
        r"cells, more than the 61 of the field: leave out rows.*'drop'.*'pad'",
    ),
    "a snap": (
        lambda: globe().patch.split(geometry=Rectangular("900km"), sampler=RegularStride(snap=2)),
        ValueError,
        "snap along 'lon' needs boxes of one size",
    ),
    "a stride in km for boxes of cells": (
        lambda: globe().patch.split(geometry={"lat": 4, "lon": 4}, sampler=RegularStride("900km")),
        ValueError,
        r"another number of cells in each row.*Rectangular\(lat='300km', lon='300km'\)",
    ),
    "jitter": (
        lambda: globe().patch.split(
            geometry=Rectangular("900km"), sampler=xpatch.JitteredStride(4, seed=0)
        ),
        ValueError,
        "JitteredStride moves boxes of one size",
    ),
    "coarser outputs": (
        lambda: (
            globe().patch.split(geometry=Rectangular(lat=2, lon="900km")).patch.merge(scale=1 / 2)
        ),
        ValueError,
        "needs patches of one size along 'lon'",
    ),
    "one value at the anchors": (
        lambda: (
            globe()
            .patch.split(geometry=Rectangular("900km"))
            .mean(["lat", "lon"])
            .patch.merge(to="anchors")
        ),
        ValueError,
        "patches.patch.places has them as points",
    ),
    "no latitude": (
        lambda: globe().isel(lat=0, drop=True).patch.split(geometry=Rectangular(lon="900km")),
        ValueError,
        "hangs on the latitude",
    ),
}


def test_kilometers_of_labels_go_before_the_unit_of_the_crs():
    """Files of satellites have x and y in km beside a CRS in meters."""
    axis = ("p", np.arange(40.0) * 3, {"units": "km"})
    points = xr.DataArray(np.arange(40.0), {"x": axis, "y": axis}, "p").rio.write_crs(32633)
    around = Rectangular(x="30km", y="30km")
    found = points.patch.split(geometry=around, sampler=Explicit({"x": [60.0], "y": [60.0]}))
    assert found.isel(patch=0).values.tolist() == list(range(15, 26))


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=f"(?s){message}"):
        call()


def test_columns_say_how_far_they_are_from_the_anchor():
    lat, lon = np.arange(-87.5, 90, 5), np.arange(2.5, 360, 5)
    field = xr.DataArray(np.zeros((36, 72)), {"lat": lat, "lon": lon}, ("lat", "lon"), name="t")
    box = Rectangular(lat="2500km", lon="2500km", boundary={"lon": "wrap"})
    at = Explicit(lat=[2.5, 62.5], lon=[102.5, 2.5])
    patches = field.patch.split(box, sampler=at)
    assert patches.dx.dims == ("patch", "lon")
    assert patches.dy.dims == ("lat",)
    np.testing.assert_array_equal(patches.dx.isnull(), ~patches.patch.mask.any("lat"))
    for k, place in enumerate([(2.5, 102.5), (62.5, 362.5)]):
        one = patches.patch[k]
        middle = one.where((one.dx == 0) & (one.dy == 0), drop=True)
        assert (middle.lat.item(), middle.lon.item()) == place
        np.testing.assert_allclose(one.lon - place[1], one.dx)
    assert "dx" not in patches.patch.merge().coords
    chunked = field.chunk(lat=9).patch.split(box, sampler=at)
    xr.testing.assert_identical(chunked.dx, patches.dx)


def test_columns_of_files_do_not_come_to_the_field(tmp_path):
    lat, lon = np.arange(-62.5, 65, 5), np.arange(2.5, 360, 5)
    field = xr.DataArray(np.ones((26, 72)), {"lat": lat, "lon": lon}, ("lat", "lon"), name="t")
    box = Rectangular(lat="1000km", lon="1000km", boundary={"lon": "wrap"})
    every = Explicit(lat=lat[1:-1].repeat(72), lon=np.tile(lon, 24))
    patches = field.patch.split(box, sampler=every)
    assert "dx" in patches.coords
    patches.to_netcdf(tmp_path / "p.nc")
    with xr.open_dataarray(tmp_path / "p.nc") as read:
        assert {*read.patch.merge().coords} == {"lat", "lon"}


def test_only_rows_that_are_used_need_room():
    """At 85 degrees a box of 1,500 km is wider than a region; one at the equator is not."""
    field = globe().sel(lon=slice(0, 90))
    boxes = Rectangular("1500km")
    at = xpatch.Explicit(lat=[0.0], lon=[45.0])
    assert field.patch.split(geometry=boxes, sampler=at).sizes["patch"] == 1
    for sampler in (None, xpatch.Random(3, seed=0), xpatch.Explicit(lat=[85.0], lon=[45.0])):
        with pytest.raises(ValueError, match=r"cells, more than the .* leave out rows beyond"):
            field.patch.split(geometry=boxes, sampler=sampler)


def test_one_patch_has_no_empty_slots():
    field = globe().sortby("lat").sel(lat=slice(-70, 70))
    patches = field.patch.split(geometry=Rectangular("1500km", boundary={"lon": "wrap"}))
    counts = patches.patch.mask.isel(lat=0).sum("lon").values
    for k in (0, int(counts.argmin())):
        one = patches.patch[k]
        assert one.sizes["lon"] == counts[k]
        assert one.notnull().all()
        assert one.lon.notnull().all()
        assert int(one.patch.merge().notnull().sum()) == one.size
