"""CenteredGrid: lattices of offsets around anchors, turned by their heading."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pyproj import Geod
from scipy.spatial import cKDTree

import xpatch

SPHERE = Geod(a=6371008.8, b=6371008.8)
BOX = {"dy": "1200km", "dx": "800km", "step": "100km"}


def globe(step=2.0, first=0.0):
    """A global field whose cells all differ."""
    lat, lon = np.arange(90 - step / 2, -90, -step), np.arange(first, first + 360, step)
    values = np.random.default_rng(0).normal(size=(len(lat), len(lon)))
    return xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"), name="t")


def vectors(lon, lat):
    lam, phi = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)


def expected(field, lon0, lat0, dy, dx, heading):
    """Values of the cells nearest to where Geod arrives."""
    lat, lon = np.meshgrid(field.lat, field.lon, indexing="ij")
    turn = np.rad2deg(np.arctan2(dx, dy)) + heading
    far = 1000 * np.hypot(dx, dy)
    x, y, _ = SPHERE.fwd(np.full(len(dx), lon0), np.full(len(dx), lat0), turn, far)
    _, near = cKDTree(vectors(lon, lat).reshape(-1, 3)).query(vectors(np.array(x), np.array(y)))
    return field.transpose("lat", "lon").values.ravel()[near]


@pytest.mark.parametrize("heading", [None, 0, 37.5, -120.0])
@pytest.mark.parametrize("first", [0.0, -180.0])
def test_slots_take_the_cells_where_geod_arrives(heading, first):
    field = globe(first=first)
    at = {"lon": [179.1, 5.3, -60.2, 10.0], "lat": [10.2, 88.9, -45.3, -89.7]}
    grid = xpatch.CenteredGrid(**BOX, heading=heading)
    patches = field.patch.split(geometry=grid, sampler=xpatch.Explicit(at))
    assert patches.sizes["cell"] == 13 * 9
    dy, dx = patches.dy.values, patches.dx.values
    assert (dy.min(), dy.max(), dx.min(), dx.max()) == (-600, 600, -400, 400)
    assert patches.dy.attrs["units"] == patches.dx.attrs["units"] == "km"
    for k, (lon, lat) in enumerate(zip(*at.values(), strict=True)):
        known = expected(field, lon, lat, dy, dx, heading or 0)
        np.testing.assert_array_equal(patches.isel(patch=k).values, known)


def test_headings_of_a_track_are_azimuths():
    lon, lat = (
        np.array([-30.3, -35.2, -42.1, -48.7, -50.4]),
        np.array([12.3, 14.4, 19.2, 27.1, 36.3]),
    )
    grid = xpatch.CenteredGrid(**BOX, heading="track")
    table = pd.DataFrame({"lon": lon, "lat": lat})
    patches = globe().patch.split(geometry=grid, sampler=xpatch.Explicit(table))
    found = patches.heading.values
    first, _, _ = SPHERE.inv(lon[0], lat[0], lon[1], lat[1])
    _, back, _ = SPHERE.inv(lon[-2], lat[-2], lon[-1], lat[-1])
    assert found[0] == pytest.approx(first % 360)
    assert found[-1] == pytest.approx((back + 180) % 360)
    for k in (1, 2, 3):  # within is between what arrives and what leaves
        _, arrives, _ = SPHERE.inv(lon[k - 1], lat[k - 1], lon[k], lat[k])
        leaves, _, _ = SPHERE.inv(lon[k], lat[k], lon[k + 1], lat[k + 1])
        low, high = sorted([(arrives + 180) % 360, leaves % 360])
        assert low - 1e-9 <= found[k] <= high + 1e-9
    for k in range(5):
        known = expected(globe(), lon[k], lat[k], patches.dy.values, patches.dx.values, found[k])
        np.testing.assert_array_equal(patches.isel(patch=k).values, known)


def test_several_tracks_in_one_table():
    lon, lat = [0.0, 10, 100, 100], [0.0, 0, 10, 20]
    time = pd.to_datetime(["2000-01-05", "2000-01-06", "2000-01-01", "2000-01-02"])
    table = pd.DataFrame({"lon": lon, "lat": lat, "time": time, "sid": list("aabb")})
    field, sampler = globe(), xpatch.Explicit(table)
    apart = xpatch.CenteredGrid(**BOX, heading="track", storm="sid")
    found = field.patch.split(geometry=apart, sampler=sampler)
    np.testing.assert_allclose(found.heading, [90, 90, 0, 0], atol=1e-9)
    mixed = table.iloc[[2, 0, 3, 1]]
    found = field.patch.split(geometry=apart, sampler=xpatch.Explicit(mixed))
    np.testing.assert_allclose(found.heading, [0, 90, 0, 90], atol=1e-9)
    together = xpatch.CenteredGrid(**BOX, heading="track")
    with pytest.raises(ValueError, match=r"'time' goes back from row 1 to row 2.*storm="):
        field.patch.split(geometry=together, sampler=sampler)


@pytest.mark.parametrize("kind", ["mapping", "frame", "geo", "dataset"])
def test_headings_of_a_column(kind):
    columns = {"lon": [3.3, 40.4], "lat": [5.2, 50.3], "course": [30.0, 250.0]}
    table = {
        "mapping": lambda: columns,
        "frame": lambda: pd.DataFrame(columns, index=["p", "q"]),
        "geo": lambda: gpd.GeoDataFrame(
            {"course": columns["course"]},
            geometry=gpd.points_from_xy(columns["lon"], columns["lat"]),
            crs=4326,
        ),
        "dataset": lambda: xr.Dataset({n: ("fix", v) for n, v in columns.items()}),
    }[kind]()
    grid = xpatch.CenteredGrid(**BOX, heading="course")
    field = globe()
    patches = field.patch.split(geometry=grid, sampler=xpatch.Explicit(table))
    np.testing.assert_array_equal(patches.heading, [30, 250])
    dy, dx = patches.dy.values, patches.dx.values
    for k in (0, 1):
        lon, lat, turn = (columns[n][k] for n in ("lon", "lat", "course"))
        np.testing.assert_array_equal(
            patches.isel(patch=k).values, expected(field, lon, lat, dy, dx, turn)
        )


def test_along_a_track_the_direction_is_that_of_the_track():
    track = {"lon": [0.0, 60.0], "lat": [0.0, 0.0]}
    grid = xpatch.CenteredGrid(**BOX, heading="track")
    sampler = xpatch.AlongTrack(track, spacing=500)
    patches = globe().patch.split(geometry=grid, sampler=sampler)
    np.testing.assert_allclose(patches.heading, 90, atol=1e-9)


def test_refusals():
    field, at = globe(), {"lon": [0.0, 0.0], "lat": [10.0, 10.0]}

    def split(sampler=at, field=field, **given):
        sampler = sampler if isinstance(sampler, xpatch.Sampler) else xpatch.Explicit(sampler)
        return field.patch.split(geometry=xpatch.CenteredGrid(**{**BOX, **given}), sampler=sampler)

    with pytest.raises(ValueError, match=r"track stands still.*empty='drop'"):
        split(heading="track")
    with pytest.raises(KeyError, match="column 'course'"):
        split(heading="course")
    with pytest.raises(TypeError, match="degrees clockwise"):
        split({**at, "course": ["N", "S"]}, heading="course")
    with pytest.raises(ValueError, match="AlongTrack, or Explicit"):
        split(xpatch.Random(3), heading="track")
    with pytest.raises(ValueError, match="to its corners"):
        split(dy=41000)
    flat = xr.DataArray(np.zeros((4, 4)), {"y": np.arange(4.0), "x": np.arange(4.0)})
    with pytest.raises(ValueError, match="nothing says in what units"):
        split({"x": [1.0], "y": [1.0]}, flat)
    for wrong in ("12 furlongs", "km", "1.2.3km", "2deg", "-3km"):
        with pytest.raises(ValueError, match=f"dy of CenteredGrid .*got '{wrong}'"):
            xpatch.CenteredGrid(dy=wrong, dx=1, step=1)
    for wrong in (True, None):
        with pytest.raises(TypeError, match="is a length such as"):
            xpatch.CenteredGrid(dy=wrong, dx=1, step=1)
    with pytest.raises(ValueError, match="must be positive"):
        xpatch.CenteredGrid(dy=-1, dx=1, step=1)
    with pytest.raises(ValueError, match="tells tracks apart"):
        xpatch.CenteredGrid(dy=1, dx=1, step=1, storm="sid")


def test_slots_outside_of_the_field_are_empty_and_keep_their_place():
    lat, lon = np.arange(40, 50.0), np.arange(0, 10.0)
    field = xr.DataArray(np.add.outer(lat, 0 * lon), {"lat": lat, "lon": lon})
    grid = xpatch.CenteredGrid(dy="1000km", dx="1000km", step="100km")
    patches = field.patch.split(geometry=grid, sampler=xpatch.Explicit(lon=[5.0], lat=[40.0]))
    composite = patches[0].set_index(cell=("dy", "dx")).unstack("cell")
    x, y, _ = SPHERE.fwd(
        *(np.full(121, v) for v in (5.0, 40.0)),
        np.rad2deg(np.arctan2(patches.dx, patches.dy)),
        1000 * np.hypot(patches.dx, patches.dy),
    )
    x, y = np.array(x), np.array(y)
    inside = (y > 39.55) & (y < 49.45) & (x > -0.45) & (x < 9.45)
    beyond = (y < 39.45) | (y > 49.55) | (x < -0.55) | (x > 9.55)
    values = patches.values[0]
    assert np.isfinite(values[inside]).all()
    assert np.isnan(values[beyond]).all()
    assert 0 < np.isnan(values).sum() < 121
    np.testing.assert_array_equal(composite.sel(dx=0, dy=[-500, 0, 500]), [np.nan, 40, 44])
    assert patches.patch.merge().notnull().sum() == len(np.unique(patches.cell)) - 1


def of_all_kinds():
    """Fields with an even one, holes and other orders of dimensions: in memory, on disk, dask."""
    field = globe(4.0)
    yield "memory", field
    yield "turned", field.transpose("lon", "lat")
    yield "dask", field.chunk({"lat": 20, "lon": 30})


@pytest.mark.parametrize(("kind", "field"), list(of_all_kinds()), ids=["memory", "turned", "dask"])
@pytest.mark.parametrize("how", ["mean", "sum", "count", "max", "first", "last", "median", "std"])
def test_cells_that_several_slots_took_merge_as_contributions(kind, field, how):
    rng = np.random.default_rng(1)
    at = {"lon": rng.uniform(-180, 180, 6), "lat": rng.uniform(-60, 60, 6)}
    grid = xpatch.CenteredGrid("2000km", "1600km", "150km", heading=20)
    patches = field.patch.split(geometry=grid, sampler=xpatch.Explicit(at))
    numbers = patches.cell.values
    each = [np.unique(row, return_counts=True)[1].max() for row in numbers]
    assert max(each) > 2  # the trap is set
    noisy = patches + rng.normal(size=patches.shape)
    merged = noisy.patch.merge(how).transpose(*field.dims)
    frame = pd.DataFrame({"cell": numbers.ravel(), "value": np.asarray(noisy).ravel()})
    if how == "std":
        known = frame.groupby("cell").value.std(ddof=0)
    elif how == "last":  # of the last patch the first slot
        frame["patch"] = np.repeat(np.arange(6), numbers.shape[1])
        known = frame.drop_duplicates(["cell", "patch"]).groupby("cell").value.last()
    else:
        known = getattr(frame.groupby("cell").value, how)()
    out = np.asarray(merged).ravel()
    np.testing.assert_allclose(out[known.index], known.values, rtol=1e-10, atol=1e-12)
    covered = np.isin(np.arange(out.size), known.index)
    assert (out[~covered] == 0).all() if how == "count" else np.isnan(out[~covered]).all()


@pytest.mark.parametrize(
    "how", ["most_central", xpatch.OverlapAdd("hann")], ids=["central", "hann"]
)
def test_windows_go_by_the_distance_of_the_cell(how):
    field = globe(4.0)
    at = {"lon": [0.0, 8.0], "lat": [0.0, 0.0]}
    grid = xpatch.CenteredGrid("2000km", "2000km", "150km")
    patches = field.patch.split(geometry=grid, sampler=xpatch.Explicit(at))
    merged = patches.patch.merge(how)
    dask = field.chunk({"lat": 10}).patch.split(geometry=grid, sampler=xpatch.Explicit(at))
    xr.testing.assert_allclose(merged, dask.patch.merge(how).compute())
    there = merged.notnull()
    np.testing.assert_allclose(merged.where(there), field.where(there))
    if how == "most_central":
        marked = patches * 0 + xr.DataArray([1.0, 2.0], dims="patch")
        central = marked.patch.merge(how).sel(lat=0)
        assert (central.sel(lon=0) == 1).all()
        assert (central.sel(lon=8) == 2).all()


def test_files_disk_and_datasets(tmp_path):
    field = globe(4.0).to_dataset().assign(u=2 * globe(4.0), other=("k", [1, 2]))
    lat = slice(60, -60)
    field = field.sel(lat=lat)
    table = pd.DataFrame({"lon": [0.0, 10, 20], "lat": [50.0, 54, 60]})
    grid = xpatch.CenteredGrid("1500km", "1500km", "200km", heading="track")
    patches = field.patch.split(geometry=grid, sampler=xpatch.Explicit(table))
    assert (patches.cell == -1).any()
    assert (np.diff((patches.cell.values >= 0).astype(int)) > 0).any()  # between others
    merged = patches.patch.merge()
    assert "dx" not in merged.coords
    assert "heading" not in merged.coords
    field.to_netcdf(tmp_path / "field.nc")
    with xr.open_dataset(tmp_path / "field.nc", chunks=None) as stored:
        again = stored.patch.split(geometry=grid, sampler=xpatch.Explicit(table))
        xr.testing.assert_allclose(again.drop_vars("patch"), patches.drop_vars("patch"))
        xr.testing.assert_allclose(again.isel(patch=[2, 0]).load(), patches.isel(patch=[2, 0]))
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataset(tmp_path / "patches.nc") as back:
        xr.testing.assert_identical(back.patch.merge()["t"].load(), merged["t"])
        xr.testing.assert_allclose(back.patch.merge(like=field)["u"].load(), merged["u"])
        part = back.isel(patch=[2, 0])
        xr.testing.assert_allclose(
            part.patch.merge()["t"], patches.isel(patch=[2, 0]).patch.merge()["t"]
        )
        np.testing.assert_array_equal(back.dx, patches.dx)
    field.chunk({"lat": 7}).patch.split(geometry=grid, sampler=xpatch.Explicit(table)).to_zarr(
        tmp_path / "patches.zarr", consolidated=False
    )
    with xr.open_zarr(tmp_path / "patches.zarr", consolidated=False) as back:
        xr.testing.assert_allclose(back.patch.merge()["t"].load(), merged["t"])


def test_rotated_curvilinear_projected_and_scattered_fields_agree():
    """The same smooth field on other cells gives the same composite, but for cells."""
    lat, lon = np.meshgrid(np.arange(30, 60, 0.5), np.arange(-10, 30, 0.5), indexing="ij")

    def smooth(lon, lat):
        return np.sin(np.deg2rad(6 * lat)) + np.cos(np.deg2rad(5 * lon))

    curved = xr.DataArray(
        smooth(lon + 0.2 * lat, lat),
        {
            "lat": (("j", "i"), lat, {"units": "degrees_north"}),
            "lon": (("j", "i"), lon + 0.2 * lat, {"units": "degrees_east"}),
        },
        ("j", "i"),
    )
    pytest.importorskip("rioxarray")
    x, y = np.arange(2.5e6, 5.5e6, 4e4), np.arange(4e6, 1.5e6, -4e4)
    from pyproj import Transformer

    geo = Transformer.from_crs(3035, 4326, always_xy=True).transform(*np.meshgrid(x, y))
    raster = xr.DataArray(smooth(*geo), {"y": y, "x": x}, ("y", "x")).rio.write_crs(3035)
    rng = np.random.default_rng(2)
    plon, plat = rng.uniform(-10, 30, 20000), rng.uniform(30, 60, 20000)
    points = xr.DataArray(
        smooth(plon, plat), {"lon": ("site", plon), "lat": ("site", plat)}, ("site",)
    )
    at = {"lon": [10.0, 12.0], "lat": [48.0, 45.0]}
    grid = xpatch.CenteredGrid("800km", "800km", "100km", heading=30)
    for field in (curved, raster, points):
        patches = field.patch.split(geometry=grid, sampler=xpatch.Explicit(at))
        turn = np.rad2deg(np.arctan2(patches.dx, patches.dy)) + 30
        far = 1000 * np.hypot(patches.dx, patches.dy)
        for k in (0, 1):
            start = [np.full(81, at[n][k]) for n in ("lon", "lat")]
            xs, ys, _ = SPHERE.fwd(*start, turn, far)
            known = smooth(np.array(xs), np.array(ys))
            np.testing.assert_allclose(patches.values[k], known, atol=0.06)


def test_in_the_plane_of_coordinates_without_a_crs():
    y, x = np.arange(20.0), np.arange(30.0)
    field = xr.DataArray(np.add.outer(100 * y, x), {"y": y, "x": x}, ("y", "x"))
    field.y.attrs["units"] = field.x.attrs["units"] = "m"
    grid = xpatch.CenteredGrid(4, 2, 1, heading="track")
    at = {"x": [5.0, 10.0, 10.0], "y": [5.0, 5.0, 15.0]}
    patches = field.patch.split(geometry=grid, sampler=xpatch.Explicit(at))
    np.testing.assert_allclose(patches.heading, [90, np.rad2deg(np.arctan2(5, 10)), 0])
    assert patches.dy.attrs["units"] == "m"
    east = patches[0].set_index(cell=("dy", "dx")).unstack("cell")
    assert east.sel(dy=2, dx=0) == 507  # ahead is to the east
    assert east.sel(dy=0, dx=1) == 405  # and the south to the right
    north = patches[2].set_index(cell=("dy", "dx")).unstack("cell")
    assert (north.sel(dy=2, dx=0), north.sel(dy=0, dx=1)) == (1710, 1511)


def moving_storm():
    """Rain ahead and to the right of the center of a storm that turns from west to north."""
    lat, lon = np.arange(0, 50, 0.5), np.arange(-60, 0, 0.5)
    time = pd.date_range("2001-09-01", periods=9, freq="12h")
    turn = np.linspace(270, 360, 9)
    x, y = [-15.0], [12.0]
    for bearing in turn[:-1] + 360 / 64:
        east, north, _ = SPHERE.fwd(x[-1], y[-1], bearing, 4e5)
        x.append(east)
        y.append(north)
    grid_lon, grid_lat = np.meshgrid(lon, lat)
    rain = []
    for k in range(9):
        here = [np.full(grid_lon.size, v) for v in (x[k], y[k])]
        bearing, _, far = SPHERE.inv(*here, grid_lon.ravel(), grid_lat.ravel())
        angle = np.deg2rad(bearing - turn[k])
        ahead, right = far / 1e3 * np.cos(angle), far / 1e3 * np.sin(angle)
        rain.append(np.exp(-((ahead - 200) ** 2 + (right - 200) ** 2) / 120**2))
    rain = np.reshape(rain, (9, *grid_lon.shape))
    field = xr.DataArray(rain, {"time": time, "lat": lat, "lon": lon}, ("time", "lat", "lon"))
    return field, pd.DataFrame({"time": time, "lon": x, "lat": y, "course": turn})


def test_what_lies_ahead_and_right_is_smeared_to_the_north_and_found_by_heading():
    field, track = moving_storm()

    def composite(heading):
        grid = xpatch.CenteredGrid("1000km", "1000km", "50km", heading=heading)
        patches = field.patch.split(
            xpatch.SpatioTemporalPatcher(
                xpatch.Patcher(grid, xpatch.Explicit(track)),
                xpatch.TimePatcher(xpatch.FixedLookback(1), xpatch.EventTriggered(track["time"])),
                coupling="coupled",
            )
        )
        assert dict(patches.sizes) == {"patch": 9, "time": 1, "cell": 441}
        if heading is not None:
            assert patches.heading.dims == ("patch",)
        mean = patches.mean(("patch", "time"))
        return mean.set_index(cell=("dy", "dx")).unstack("cell")

    smeared, known, tracked = (composite(h) for h in (None, "course", "track"))
    assert known.max() > 0.95
    assert known.sel(dy=200, dx=200) > 0.95
    assert abs(tracked - known).max() < 0.2
    assert smeared.max() < 0.7
    peak = known.where(known == known.max(), drop=True)
    assert abs(peak.dy.item() - 200) <= 50
    assert abs(peak.dx.item() - 200) <= 50
    weighted = (known * known.dy).sum() / known.sum(), (known * known.dx).sum() / known.sum()
    np.testing.assert_allclose(weighted, 200, atol=15)


def test_patches_of_a_track_are_those_of_its_parts():
    """What was taken of patches, or put together again, merges to the same."""
    field, track = moving_storm()
    field = field.isel(time=0, drop=True)
    grid = xpatch.CenteredGrid("3000km", "3000km", "200km", heading="course")
    patches = field.patch.split(geometry=grid, sampler=xpatch.Explicit(track))
    merged = patches.patch.merge()
    some = [patches.isel(patch=[0, 3]), patches.isel(patch=[1, 2, 4, 5, 6, 7, 8])]
    xr.testing.assert_allclose(xr.concat(some, "patch").patch.merge(), merged)
    assert {"dy", "dx"} <= set(xr.concat(some, "patch").coords)
    one = patches.isel(patch=4)
    xr.testing.assert_allclose(
        one.expand_dims("patch").patch.merge().reset_coords(drop=True),
        patches.isel(patch=[4]).patch.merge(),
    )
    away = patches.patch.offsets
    north = np.hypot(away.north, away.east)
    np.testing.assert_allclose(north, patches.patch.distance, rtol=1e-6, atol=1e-3)
    assert abs(north - np.hypot(patches.dx, patches.dy)).max() < 80


@pytest.mark.parametrize("lazy", [False, True])
def test_maps_of_slots_merge_like_lists(lazy):
    field = globe(4.0)
    field = (field.chunk({"lat": 10}) if lazy else field).to_dataset().assign(u=-field)
    at = xpatch.Explicit(lon=[0.0, 8.0], lat=[0.0, 20.0])
    patches = field.patch.split(
        geometry=xpatch.CenteredGrid("2000km", "1500km", "150km"), sampler=at
    )
    maps = patches.set_index(cell=("dy", "dx")).unstack("cell")
    assert maps["t"].dims == ("patch", "dy", "dx")
    assert dict(maps.sizes) == {"patch": 2, "dy": 13, "dx": 11}
    merged = patches.patch.merge()
    for given in (maps, maps.transpose("patch", "dx", "dy"), maps.sortby("dy", ascending=False)):
        xr.testing.assert_allclose(given.patch.merge().compute(), merged.compute())
    bare = maps["t"].drop_vars(["dy", "dx"])
    xr.testing.assert_allclose(bare.patch.merge().compute(), merged["t"].compute())
    value = patches["t"].mean("cell")  # one value a patch is still one
    assert value.patch.merge().dims == ("lat", "lon")


def test_faces_of_a_mesh():
    ux = pytest.importorskip("uxarray")
    from tests.element_strategies import mesh

    grid = mesh()
    lon, lat = grid.face_lon.values, grid.face_lat.values
    field = ux.UxDataArray(np.arange(len(lon), dtype=float), dims=("n_face",), uxgrid=grid)
    far = xpatch.sphere.haversine(lon[:, None], lat[:, None], lon, lat)
    step = float(np.sort(far, axis=1)[:, 1].mean())
    at = xpatch.Explicit({"lon": lon[[0, -1]], "lat": lat[[0, -1]]})
    patches = field.patch.split(geometry=xpatch.CenteredGrid(4 * step, 4 * step, step), sampler=at)
    assert patches.dx.dims == ("n_face",)
    middle = (patches.dx == 0) & (patches.dy == 0)
    np.testing.assert_array_equal(patches.values[:, middle], [[0], [len(lon) - 1]])
    for k, (x, y) in enumerate(zip(lon[[0, -1]], lat[[0, -1]], strict=True)):
        turn, reach = (
            np.rad2deg(np.arctan2(patches.dx, patches.dy)),
            np.hypot(patches.dx, patches.dy),
        )
        xs, ys, _ = SPHERE.fwd(*(np.full(25, v) for v in (x, y)), turn, 1000 * reach)
        near = xpatch.sphere.haversine(np.array(xs)[:, None], np.array(ys)[:, None], lon, lat)
        found = patches.values[k]
        known = np.isfinite(found)
        best = near[np.arange(25)[known], found[known].astype(int)]
        np.testing.assert_allclose(best, near.min(axis=1)[known], rtol=1e-9, atol=1e-6)
        assert (near.min(axis=1)[~known] > 0.9 * step).all()


@pytest.mark.parametrize("chunks", [None, {"lat": 7, "lon": 11}])
def test_what_is_said_of_slots_is_a_map_where_patches_are(chunks):
    lat, lon = np.arange(-85, 90, 10.0), np.arange(0, 360, 10.0)
    values = np.random.default_rng(0).random((18, 36))
    field = xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"))
    field = field if chunks is None else field.chunk(chunks)
    places = xpatch.Explicit({"lon": [50.0, 120.0, 300.0], "lat": [0.0, 30.0, 60.0]})
    geometry = xpatch.CenteredGrid(dy="4000km", dx="2000km", step="1000km")
    patches = field.patch.split(geometry=geometry, sampler=places)
    maps = patches.set_index(cell=("dy", "dx")).unstack("cell")
    for one in (maps, maps.transpose("dx", "patch", "dy"), maps.sortby("dy", ascending=False)):
        for name in ("mask", "distance", "weights", "area"):
            said, listed = getattr(one.patch, name), getattr(patches.patch, name)
            assert said.dims == one.dims
            for dy, dx in ((-2000.0, 1000.0), (1000.0, 0.0)):
                slot = np.flatnonzero((patches.dy == dy) & (patches.dx == dx))[0]
                np.testing.assert_array_equal(said.sel(dy=dy, dx=dx), listed.isel(cell=slot))
        north = one.patch.offsets.north
        assert north.dims == one.dims
        far = np.hypot(north, one.patch.offsets.east)
        np.testing.assert_allclose(far, one.patch.distance, rtol=1e-6)
        mean = one.weighted(one.patch.area).mean(("dy", "dx"))
        np.testing.assert_allclose(mean, patches.weighted(patches.patch.area).mean("cell"))


def test_slots_in_gaps_between_scattered_elements_are_empty():
    x, y = (v.ravel().astype(float) for v in np.meshgrid(np.arange(8), np.arange(8)))
    at = {"lon": ("station", x), "lat": ("station", y)}
    field = xr.DataArray(x, at, ("station",))
    degree = np.pi * 6371.0088 / 180
    # the fourth neighbor of a station at the rim is √2 degrees away, so slots up to 2.1 degrees are filled
    grid = xpatch.CenteredGrid(dy=0.0001 * degree, dx=8 * degree, step=0.5 * degree)
    far = xpatch.Explicit({"lon": [7.0], "lat": [3.0]})
    found = field.patch.split(grid, sampler=far).isel(patch=0)
    east = found.dx.values / degree
    np.testing.assert_array_equal(found.notnull(), east <= 2.1)
