"""Lists of members: the law of identity, oracles, and what survives."""

from __future__ import annotations

import pickle
from pathlib import Path

import hypothesis.strategies as st
import iris_sample_data
import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given
from scipy import sparse
from sklearn.neighbors import BallTree, KDTree

import xpatch
from tests import element_strategies as own
from tests.test_roundtrip import some
from xpatch.geometry import search

SAMPLES = Path(iris_sample_data.__file__).parent / "sample_data"
EARTH = 6371.0088
AVERAGES = ["mean", "overlap_add", "median", xpatch.Quantile(0.3)]
WINDOWED = [xpatch.OverlapAdd(w) for w in ("hann", xpatch.Tukey(0.4), xpatch.Gaussian(0.4))]
PICKS = ["min", "max", "first", "last", "most_central", "mode"]


def stations(n=300, times=3, seed=0):
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-180, 180, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    return xr.DataArray(
        rng.random((times, n)),
        {
            "lon": ("obs", lon, {"units": "degrees_east"}),
            "lat": ("obs", lat, {"units": "degrees_north"}),
            "name": ("obs", [f"s{k}" for k in range(n)]),
            "time": np.arange(times),
        },
        ("time", "obs"),
        name="t",
        attrs={"units": "K"},
    )


def globe(lat=None, lon=None, dims=("lat", "lon"), seed=0):
    lat = np.arange(-87.5, 90, 5.0) if lat is None else lat
    lon = np.arange(0, 360, 5.0) if lon is None else lon
    values = np.random.default_rng(seed).random((len(lat), len(lon)))
    return xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"), name="t").transpose(*dims)


def members(patches):
    """Give the member numbers of each patch as arrays."""
    (slot,) = patches.xindexes["patch"].plans[0].inner
    return [row[row >= 0] for row in patches[slot].values]


# ------------------------------------------------------------------------------------- the law


def draw_patches(data, dtypes, window=None):
    kind = data.draw(st.sampled_from(own.KINDS))
    field = data.draw(own.element_fields(kind, dtypes))
    n = int(np.prod([s for d, s in field.sizes.items() if d != "band"]))
    geometry = data.draw(own.member_geometries(kind, n))
    count = 4 if isinstance(geometry, xpatch.PolygonIntersection) else n
    sampler = data.draw(own.element_samplers(kind, count))
    if kind == "polygons" and isinstance(geometry, xpatch.KNNGraph):
        sampler = None
    return field, field.patch.split(geometry=geometry, sampler=sampler, window=window)


def covered_by(patches, field):
    plan = patches.xindexes["patch"].plans[0]
    found = np.zeros(int(np.prod(plan.hood.shape)), bool)
    for row in members(patches):
        found[row] = True
    part = xr.DataArray(found.reshape(plan.hood.shape), dims=plan.hood.dims)
    plain = xr.DataArray(np.ones(field.shape, bool), dims=field.dims)
    return (plain & part).transpose(*field.dims).values


def assert_restored(merged, field, covered):
    assert type(merged) is type(field)
    assert (merged.dims, merged.name, merged.attrs) == (field.dims, field.name, field.attrs)
    mine, theirs = (
        xr.Dataset(coords={n: c.variable for n, c in f.coords.items()}) for f in (merged, field)
    )
    xr.testing.assert_identical(mine, theirs)
    outside = merged.values[~covered]
    assert (outside != outside).all(), "an element that no patch holds must be missing"
    got, want = merged.values[covered].astype(float), field.values[covered].astype(float)
    np.testing.assert_allclose(
        got, want, rtol=2e-5, atol=2e-5 * max(1, np.nanmax(abs(want[np.isfinite(want)]), initial=0))
    )
    if hasattr(field, "uxgrid"):
        assert merged.uxgrid is field.uxgrid


@some
@given(data=st.data())
def test_identity_for_averages(data):
    field, patches = draw_patches(data, ("f4", "f8", "i2", "?"))
    merged = patches.patch.merge(data.draw(st.sampled_from([*AVERAGES, *WINDOWED])))
    assert_restored(merged, field, covered_by(patches, field))


@some
@given(data=st.data())
def test_identity_for_picks(data):
    field, patches = draw_patches(data, ("f4", "f8", "i2", "i8", "?", "M8[ns]"))
    merged = patches.patch.merge(data.draw(st.sampled_from(PICKS)))
    covered = covered_by(patches, field)
    if field.dtype.kind == "M":
        assert (np.isnat(merged.values) | (merged.values == field.values)).all()
        assert np.isnat(merged.values[~covered]).all()
    else:
        assert_restored(merged, field, covered)
    if covered.all() and not patches.xindexes["patch"].plans[0].hood.ragged:
        assert merged.dtype == field.dtype


@some
@given(data=st.data())
def test_identity_for_analysis_and_synthesis_windows(data):
    window = data.draw(
        st.sampled_from([xpatch.Hann(), xpatch.Gaussian(0.5), xpatch.Custom(np.cos)])
    )
    field, patches = draw_patches(data, ("f4", "f8"), window)
    merged = patches.patch.merge(data.draw(st.sampled_from(["overlap_add", "mean", *WINDOWED])))
    assert_restored(merged, field, covered_by(patches, field))


@some
@given(data=st.data())
def test_dask_gives_what_numpy_gives(data):
    field, patches = draw_patches(data, ("f4", "f8", "i2"))
    window = data.draw(st.sampled_from([None, xpatch.Hann()]))
    linear = ["mean", xpatch.OverlapAdd("hann"), "sum", "count"]
    choices = linear if window is not None else [*linear, *PICKS, "median", "var"]
    aggregation = data.draw(st.sampled_from(choices))
    chunks = {d: data.draw(st.integers(1, n)) for d, n in field.sizes.items()}
    plan = patches.xindexes["patch"].plans[0]
    places = plan.places
    anchors = places.elements if places.polygons is None else places.polygons
    geometry = data.draw(st.just(None)) or own_geometry(patches)
    axes = {"geometry": geometry, "sampler": xpatch.Explicit(anchors), "window": window}
    plain = field.patch.split(**axes)
    lazy = field.chunk(chunks).patch.split(**axes, chunks=data.draw(st.integers(1, 9)))
    assert lazy.chunks is not None
    xr.testing.assert_equal(lazy.compute(), plain)
    expected, got = plain.patch.merge(aggregation), lazy.patch.merge(aggregation)
    assert got.chunks == field.chunk(chunks).chunks
    assert got.dtype == expected.dtype
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(
            got.values.astype(float), expected.values.astype(float), rtol=1e-4, atol=1e-4
        )


def own_geometry(patches):
    """Rebuild the geometry of patches, polygons included."""
    plan = patches.xindexes["patch"].plans[0]
    spec = plan.spec["geometry"]
    if spec["class"] == "PolygonIntersection":
        numbers = plan.places.polygons
        shapes = np.full(4, shapely.box(700, 300, 701, 301), dtype=object)
        shapes[numbers] = plan.places.shapes
        return xpatch.PolygonIntersection(shapes, all_touched=spec["all_touched"])
    return getattr(xpatch, spec["class"])(**{k: v for k, v in spec.items() if k != "class"})


# ------------------------------------------------------------------------------------- oracles


@pytest.mark.parametrize("lon", ["0 to 360", "-180 to 180", "descending", "uneven"])
@pytest.mark.parametrize("dims", [("lat", "lon"), ("lon", "lat")])
@pytest.mark.parametrize("down", [False, True])
def test_caps_on_a_grid_are_those_of_a_ball_tree(lon, dims, down):
    x = {
        "0 to 360": np.arange(0, 360, 5.0),
        "-180 to 180": np.arange(-180, 180, 5.0),
        "descending": np.arange(355, -1, -5.0),
        "uneven": np.cumsum(np.random.default_rng(0).uniform(1, 6, 100)) - 170,
    }[lon]
    field = globe(np.arange(-90, 91, 4.0)[:: -1 if down else 1], x, dims)
    sampler = xpatch.Explicit(
        {
            "lat": [90, -90, 0, 45.3, -89, 10, 88, 60],
            "lon": [0, 30, 180, -179.9, 12, 359.9, 200, 500],
        }
    )
    patches = field.patch.split(geometry=xpatch.SphericalCap(1500), sampler=sampler)
    grid = np.stack([c.values.ravel() for c in xr.broadcast(field.lat, field.lon)], axis=-1)
    grid = np.stack(
        [c.transpose(*dims).values.ravel() for c in xr.broadcast(field.lat, field.lon)], -1
    )
    tree = BallTree(np.deg2rad(grid), metric="haversine")
    at = patches.patch.anchors
    near, far = tree.query_radius(
        np.deg2rad(np.stack([at.lat, at.lon], axis=-1)), 1500 / EARTH, return_distance=True
    )
    distance = patches.patch.distance.values
    for mine, theirs, d, e in zip(members(patches), near, distance, far, strict=True):
        assert mine.tolist() == sorted(theirs.tolist())
        np.testing.assert_allclose(d[: len(mine)], e[np.argsort(theirs)] * EARTH, atol=1e-6)


@pytest.mark.parametrize("metric", ["auto", "haversine"])
def test_neighbors_on_the_sphere_are_those_of_a_ball_tree(metric):
    field = stations()
    patches = field.patch.split(geometry=xpatch.KNNGraph(7, metric))
    places = np.deg2rad(np.stack([field.lat, field.lon], axis=-1))
    far, near = BallTree(places, metric="haversine").query(places, 7)
    np.testing.assert_array_equal(patches.obs, near)
    np.testing.assert_allclose(patches.patch.distance, far * EARTH, atol=1e-3)
    ball = field.patch.split(geometry=xpatch.RadiusGraph(900.0))
    within = BallTree(places, metric="haversine").query_radius(places, 900 / EARTH)
    assert [sorted(m) for m in members(ball)] == [sorted(w) for w in within]
    assert all(m[0] == k for k, m in enumerate(members(ball)))


def test_neighbors_in_the_plane_are_those_of_a_kd_tree():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 100, (200, 2))
    field = xr.DataArray(
        rng.random(200), {"x": ("obs", xy[:, 0]), "y": ("obs", xy[:, 1])}, ("obs",)
    )
    far, near = KDTree(xy).query(xy, 5)
    patches = field.patch.split(geometry=xpatch.KNNGraph(5))
    np.testing.assert_array_equal(patches.obs, near)
    np.testing.assert_allclose(patches.patch.distance, far)
    city = field.patch.split(geometry=xpatch.KNNGraph(5, metric=lambda a, b: abs(a - b).sum()))
    np.testing.assert_array_equal(city.obs, KDTree(xy, metric="manhattan").query(xy, 5)[1])
    ball = field.patch.split(geometry=xpatch.RadiusGraph(9, metric=lambda a, b: abs(a - b).sum()))
    within = KDTree(xy, metric="manhattan").query_radius(xy, 9)
    assert [sorted(m) for m in members(ball)] == [sorted(w) for w in within]


@pytest.mark.parametrize("k", [2, 5, 9, 13])
def test_equally_near_neighbors_come_by_number(k):
    field = xr.DataArray(np.zeros((7, 9)), {"y": np.arange(7.0), "x": np.arange(9.0)}, ("y", "x"))
    patches = field.patch.split(geometry=xpatch.KNNGraph(k))
    y, x = (a.ravel() for a in np.meshgrid(np.arange(7), np.arange(9), indexing="ij"))
    for row, found in enumerate(patches.cell.values):
        far = (y - y[row]) ** 2 + (x - x[row]) ** 2
        assert found.tolist() == np.lexsort((np.arange(63), far))[:k].tolist()


def test_points_at_one_place_are_their_own_first_members():
    field = xr.DataArray(np.arange(6.0), {"x": ("p", [0.0] * 6), "y": ("p", [0.0] * 6)}, ("p",))
    for geometry in (xpatch.KNNGraph(6), xpatch.RadiusGraph(1.0)):
        assert [m[0] for m in members(field.patch.split(geometry=geometry))] == list(range(6))


def test_discs_on_a_raster_are_those_of_a_kd_tree():
    field = xr.DataArray(
        np.zeros((20, 30)), {"y": np.arange(20)[::-1] * 10.0, "x": np.arange(30) * 10.0}, ("y", "x")
    )
    patches = field.patch.split(geometry=xpatch.RadiusGraph(35.0), sampler=xpatch.RegularStride(7))
    grid = np.stack([c.values.ravel() for c in xr.broadcast(field.x, field.y)], -1)
    grid = np.stack(
        [c.transpose("y", "x").values.ravel() for c in xr.broadcast(field.x, field.y)], -1
    )
    within = KDTree(grid).query_radius(grid[patches.anchor_element], 35.0)
    assert [sorted(m) for m in members(patches)] == [sorted(w) for w in within]


@pytest.mark.parametrize("all_touched", [False, True])
@pytest.mark.parametrize("up", [False, True])
def test_polygons_on_a_raster_are_the_zones_of_xvec(all_touched, up):
    import geopandas
    import rioxarray  # noqa: F401
    import xvec  # noqa: F401

    rng = np.random.default_rng(0)
    y = np.arange(60) * 30.0 + 5000
    field = xr.DataArray(
        rng.random((60, 80)), {"y": y if up else y[::-1], "x": np.arange(80) * 30.0}, ("y", "x")
    ).rio.write_crs(32633)
    shapes = shapely.buffer(shapely.points(rng.uniform((200, 5200), (2100, 6500), (7, 2))), 190.3)
    shapes[3] = shapely.difference(shapes[3], shapely.buffer(shapely.centroid(shapes[3]), 80.1))
    shapes[4] = shapely.union(shapes[4], shapes[5])
    zones = geopandas.GeoSeries(shapes, crs=32633)
    patches = field.patch.split(geometry=xpatch.PolygonIntersection(zones, all_touched))
    north_up = field.sortby("y", ascending=False)
    for stat in ("mean", "max", "count"):
        theirs = north_up.xvec.zonal_stats(
            zones, "x", "y", stats=stat, method="iterate", all_touched=all_touched
        )
        mine = patches.count("cell") if stat == "count" else getattr(patches, stat)("cell")
        np.testing.assert_allclose(mine, theirs)


def test_polygons_in_another_crs_and_across_the_dateline():
    import geopandas

    field = globe()
    east = shapely.box(170, -20, 190, 20)
    parts = shapely.multipolygons(
        [shapely.box(170, -20, 180, 20), shapely.box(-180, -20, -170, 20)]
    )
    west = shapely.box(-190, -20, -170, 20)
    for longitudes in (np.arange(0, 360, 5.0), np.arange(-180, 180, 5.0)):
        grid = globe(lon=longitudes)
        found = members(grid.patch.split(geometry=xpatch.PolygonIntersection([east, parts, west])))
        assert found[0].tolist() == found[1].tolist() == found[2].tolist()
        lon = np.unique(longitudes[found[0] % 72] % 360)
        assert lon.tolist() == [170, 175, 180, 185, 190]
    square = geopandas.GeoSeries([shapely.box(-2e6, 5e6, 2e6, 7e6)], crs=3857)
    mine = members(field.patch.split(geometry=xpatch.PolygonIntersection(square)))[0]
    inside = square.to_crs(4326).iloc[0]
    lat, lon = (
        c.transpose("lat", "lon").values.ravel() for c in xr.broadcast(field.lat, field.lon)
    )
    lon = (lon + 180) % 360 - 180
    assert mine.tolist() == np.flatnonzero(shapely.contains_xy(inside, lon, lat)).tolist()


def test_an_empty_footprint_is_an_empty_patch():
    field = globe().assign_coords(lon=np.arange(-180, 180, 5.0))
    shapes = [shapely.box(0, 0, 20, 20), shapely.box(1, 1, 2, 2), shapely.Polygon()]
    patches = field.patch.split(geometry=xpatch.PolygonIntersection(shapes))
    assert patches.patch.mask.sum("cell").values.tolist() == [
        len(members(patches)[0]),
        0,
        0,
    ]
    assert patches.isel(patch=[1, 2]).isnull().all()
    assert int(patches.patch.merge("count").sum()) == len(members(patches)[0])
    lone = patches.isel(patch=[1]).patch.merge()
    assert lone.isnull().all()


def test_polygons_within_a_radius_are_those_that_meet_the_buffer():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 100, (60, 2))
    shapes = shapely.box(*corner.T, *(corner + rng.uniform(1, 8, (60, 2))).T)
    field = xr.DataArray(rng.random(60), {"geometry": shapes}, ("geometry",))
    patches = field.patch.split(geometry=xpatch.RadiusGraph(5.0))
    for k, found in enumerate(members(patches)):
        meets = shapely.intersects(shapely.buffer(shapes[k], 5.0, quad_segs=64), shapes)
        assert sorted(found) == np.flatnonzero(meets).tolist()
        assert found[0] == k
    xr.testing.assert_allclose(patches.patch.merge("median"), field)


@pytest.mark.parametrize("kind", ["n_face", "n_node", "n_edge"])
def test_hops_follow_the_connectivity_of_the_mesh(kind):
    import uxarray as ux

    grid = own.mesh()
    n = getattr(grid, kind)
    field = ux.UxDataArray(xr.DataArray(np.arange(float(n)), dims=kind), uxgrid=grid)
    patches = field.patch.split(geometry=xpatch.KHopGraph(3))
    if kind == "n_face":
        table = np.asarray(grid.face_face_connectivity.values)
        pairs = [(a, b) for a, row in enumerate(table) for b in row if 0 <= b < n]
    elif kind == "n_node":
        pairs = np.asarray(grid.edge_node_connectivity.values).tolist()
    else:
        ends = np.asarray(grid.edge_node_connectivity.values)
        pairs = [
            (a, b) for a in range(n) for b in range(n) if a != b and set(ends[a]) & set(ends[b])
        ]
    a, b = np.array(pairs).T
    graph = sparse.coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n)).tocsr()
    hops = sparse.csgraph.shortest_path(graph, directed=False, unweighted=True)
    distance = patches.patch.distance.values
    for k, found in enumerate(members(patches)):
        expected = sorted((hops[k, e], e) for e in np.flatnonzero(hops[k] <= 3))
        assert found.tolist() == [e for _, e in expected]
        assert distance[k, : len(found)].tolist() == [h for h, _ in expected]
    assert patches.patch.merge("median").uxgrid is grid


def test_hops_on_a_real_mesh():
    ux = pytest.importorskip("uxarray")
    path = SAMPLES / "mesh_C4_synthetic_float.nc"
    field = ux.open_dataset(path, path)["synthetic"]
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    assert type(patches) is xr.DataArray
    assert patches.patch.mask.sum("n_face").values.tolist() == [5] * 96
    merged = patches.patch.merge(xpatch.OverlapAdd("hann"))
    assert type(merged) is ux.UxDataArray
    assert merged.uxgrid is field.uxgrid
    np.testing.assert_allclose(merged, field, rtol=1e-6)


def test_merge_is_that_of_flox():
    import flox.xarray

    field = stations()
    patches = field.patch.split(geometry=xpatch.RadiusGraph(1500.0))
    noise = patches + np.random.default_rng(1).normal(size=patches.shape)
    flat = noise.transpose("time", "patch", "obs").values.reshape(3, -1)
    numbers = patches.obs.values.ravel()
    keep = numbers >= 0
    flat = xr.DataArray(flat[:, keep], dims=("time", "i"))
    by = xr.DataArray(numbers[keep], dims="i", name="obs")
    for name in ("mean", "max", "min", "var", "std", "count", "sum", "median", "first", "last"):
        theirs = flox.xarray.xarray_reduce(
            flat, by, func=name, expected_groups=np.arange(300), fill_value=np.nan
        )
        mine = noise.patch.merge(name).transpose("time", "obs")
        np.testing.assert_allclose(mine, theirs.values, rtol=1e-9, err_msg=name)


def test_radial_windows_weigh_by_distance():
    field = stations(80, 1).isel(time=0)
    patches = field.patch.split(geometry=xpatch.KNNGraph(6))
    noise = patches + np.random.default_rng(0).normal(size=patches.shape)
    for window, scale in ((xpatch.Hann(), None), (xpatch.Gaussian(400, units="distance"), 400)):
        merged = noise.patch.merge(xpatch.OverlapAdd(window))
        far = patches.patch.distance.values
        if scale is None:
            end = far[:, -1:] * 7 / 6
            weight = 0.5 * (1 + np.cos(np.pi * np.minimum(far / end, 1 - 1 / 12)))
        else:
            weight = np.maximum(np.exp(-0.5 * (far / scale) ** 2), 1e-12)
        total, below = np.zeros(80), np.zeros(80)
        np.add.at(total, patches.obs.values.ravel(), (weight * noise.values).ravel())
        np.add.at(below, patches.obs.values.ravel(), weight.ravel())
        np.testing.assert_allclose(merged, total / below)
        assert not np.allclose(merged, noise.patch.merge("mean"))
        tapered = field.patch.split(geometry=xpatch.KNNGraph(6), window=window)
        np.testing.assert_allclose(tapered, patches * weight)
        np.testing.assert_allclose(tapered.patch.weights, weight)


def test_the_most_central_patch_is_the_nearest():
    field = stations(60, 1).isel(time=0)
    patches = field.patch.split(geometry=xpatch.RadiusGraph(4000.0))
    anchors = patches.copy(data=np.broadcast_to(np.arange(60.0)[:, None], patches.shape))
    assert anchors.patch.merge("most_central").values.tolist() == list(range(60))


def test_a_nan_does_not_spread():
    field = stations(100, 2)
    field = field.where(np.random.default_rng(0).random(field.shape) > 0.2)
    patches = field.patch.split(geometry=xpatch.KNNGraph(5))
    for aggregation in ("mean", "median", "max", xpatch.OverlapAdd("hann"), "first"):
        xr.testing.assert_allclose(patches.patch.merge(aggregation), field)
    spoiled = patches.where(patches["patch"] != 7)
    assert spoiled.patch.merge("mean").isnull().sum() <= field.isnull().sum() + 2
    assert spoiled.patch.merge("mean", skipna=False).isnull().sum() > field.isnull().sum() + 2


# ------------------------------------------------------------------------------------ samplers


def test_poisson_disk_keeps_its_distance_exactly():
    field = stations(2000, 1)
    patches = field.patch.split(
        geometry=xpatch.KNNGraph(1), sampler=xpatch.PoissonDisk(700.0, seed=0)
    )
    at = np.deg2rad(np.stack([patches.patch.anchors.lat, patches.patch.anchors.lon], -1))
    far, _ = BallTree(at, metric="haversine").query(at, 2)
    assert far[:, 1].min() * EARTH >= 700
    every = np.deg2rad(np.stack([field.lat, field.lon], -1))
    gap, _ = BallTree(at, metric="haversine").query(every, 1)
    assert gap.max() * EARTH < 700  # no gap in which another would fit


def test_fibonacci_anchors_stand_for_equal_areas():
    field = globe()
    patches = field.patch.split(
        geometry=xpatch.SphericalCap(600), sampler=xpatch.FibonacciSphere(500)
    )
    at = patches.patch.anchors
    assert patches.sizes["patch"] == 500
    bands = np.histogram(np.sin(np.deg2rad(at.lat)), 10, (-1, 1))[0]
    assert bands.tolist() == [50] * 10
    boxes = field.patch.split(geometry={"lat": 3, "lon": 3}, sampler=xpatch.FibonacciSphere(500))
    assert boxes.sizes["patch"] == 500
    north = field.sel(lat=slice(20, 70), lon=slice(10, 80))
    some_boxes = north.patch.split(
        geometry={"lat": 3, "lon": 3}, sampler=xpatch.FibonacciSphere(500)
    )
    assert 10 < some_boxes.sizes["patch"] < 60


def test_tracks_strides_and_valid_anchors():
    field = globe().where(lambda f: f.lat > -30)
    line = shapely.LineString([(10, 0), (10, 40)])
    track = field.patch.split(
        geometry=xpatch.SphericalCap(800), sampler=xpatch.AlongTrack(line, 500.0)
    )
    at = track.patch.anchors
    np.testing.assert_allclose(np.diff(at.lat), np.rad2deg(500 / EARTH))
    np.testing.assert_allclose(at.lon, 10)
    stride = field.patch.split(
        geometry=xpatch.KNNGraph(3), sampler=xpatch.RegularStride(lat=4, lon=9)
    )
    assert stride.sizes["patch"] == 9 * 8
    jitter = [
        field.patch.split(
            geometry=xpatch.KNNGraph(3), sampler=xpatch.JitteredStride(4, 1.0, seed=1)
        )
        for _ in range(2)
    ]
    assert jitter[0].anchor_element.equals(jitter[1].anchor_element)
    valid = field.patch.split(
        geometry=xpatch.SphericalCap(1000), sampler=xpatch.Valid(xpatch.EveryElement(), 0.5)
    )
    share = valid.notnull().sum("cell") / valid.patch.mask.sum("cell")
    assert float(share.min()) >= 0.5
    assert float(valid.lat.max("cell").min()) > -45


@pytest.mark.parametrize("chunk", [None, {"time": 1}])
def test_the_same_seed_gives_the_same_anchors_on_every_backend(chunk):
    field = stations()
    field = field if chunk is None else field.chunk(chunk)
    cut = {"geometry": xpatch.KNNGraph(4), "sampler": xpatch.Random(9, seed=3)}
    assert field.patch.split(**cut).anchor_element.values.tolist() == (
        stations().patch.split(**cut).anchor_element.values.tolist()
    )


# ------------------------------------------------------------------------------------- matched


def test_stations_around_each_tile_and_tiles_around_each_station():
    field, points = globe(), stations(400, 1).isel(time=0).rename("s")
    tiles = field.patch.split(geometry={"lat": 6, "lon": 6}, sampler=xpatch.RegularStride(3))
    near = points.patch.split(geometry=xpatch.KNNGraph(8), sampler=xpatch.Explicit(tiles))
    at = near.patch.anchors
    np.testing.assert_allclose(at.lat, tiles.patch.places.lat)
    np.testing.assert_allclose(at.lon, tiles.patch.places.lon)
    both = xr.merge([tiles.to_dataset(), near.to_dataset()], compat="override", join="outer")
    merged = both.patch.merge()
    np.testing.assert_allclose(merged.t, field)
    held = near.patch.merge("count") > 0
    np.testing.assert_allclose(merged.s.where(held), points.where(held))
    alone = (both.t * 0 + both.s.mean("obs")).patch.merge(xpatch.OverlapAdd("hann"))
    assert alone.dims == ("lat", "lon")
    assert alone.notnull().all()
    back = field.patch.split(geometry={"lat": 3, "lon": 3}, sampler=xpatch.Explicit(near))
    np.testing.assert_array_equal(back["patch"], near["patch"])
    few = points.patch.split(
        geometry=xpatch.KNNGraph(8), sampler=xpatch.Explicit(tiles.isel(patch=[7, 3, 5]))
    )
    np.testing.assert_array_equal(few.obs, near.obs.isel(patch=[7, 3, 5]))
    with pytest.raises(ValueError, match="do not belong together"):
        tiles + points.patch.split(geometry=xpatch.KNNGraph(8))


def test_values_without_a_dimension_of_either_field_ask_for_one():
    field, points = globe(), stations(40, 1).isel(time=0).rename("s")
    tiles = field.patch.split(geometry={"lat": 6, "lon": 6})
    near = points.patch.split(geometry=xpatch.KNNGraph(2), sampler=xpatch.Explicit(tiles))
    both = xr.merge([tiles.to_dataset(), near.to_dataset()], compat="override", join="outer")
    one_value = both.s.mean("obs")
    with pytest.raises(ValueError, match=r"\[\['lat', 'lon'\], \['obs'\]\].*merge\(like=field\)"):
        one_value.patch.merge()
    assert one_value.patch.merge(like=field).dims == ("lat", "lon")
    assert one_value.patch.merge(like=points).dims == ("obs",)
    on_tiles = xr.Dataset({"mean": both.t * 0 + one_value, "scale": one_value})
    assert {v.dims for v in on_tiles.patch.merge().data_vars.values()} == {("lat", "lon")}
    with pytest.raises(ValueError, match="several fields"):
        both.assign(scale=one_value).patch.merge()
    assert both.assign(scale=one_value).patch.merge(like=points).scale.dims == ("obs",)


def test_boxes_at_cells_that_coincide():
    lat = np.array([[0.0] * 4, [10.0] * 4, [20.0] * 4])
    lon = np.array([[0.0, 10, 20, 30], [0, 10, 20, 30], [0, 10, 10, 0]])  # folded in the last row
    field = xr.DataArray(
        np.arange(12.0).reshape(3, 4),
        {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)},
        ("j", "i"),
    )
    caps = field.patch.split(geometry=xpatch.SphericalCap(1))
    boxes = field.patch.split(geometry={"j": 1, "i": 1}, sampler=xpatch.Explicit(caps))
    assert boxes.values.ravel().tolist() == list(range(12))


def test_a_mesh_and_a_grid_at_the_same_anchors():
    import uxarray as ux

    grid = own.mesh()
    faces = ux.UxDataArray(xr.DataArray(np.arange(44.0), dims="n_face", name="m"), uxgrid=grid)
    field = globe()
    caps = field.patch.split(geometry=xpatch.SphericalCap(1500), sampler=xpatch.FibonacciSphere(60))
    near = faces.patch.split(geometry=xpatch.KNNGraph(3), sampler=xpatch.Explicit(caps))
    both = xr.merge([caps.to_dataset(), near.to_dataset()], compat="override", join="outer")
    merged = both.patch.merge()
    assert type(merged) is ux.UxDataset
    assert merged.uxgrid is grid
    assert (merged.m.isnull() | (merged.m == np.arange(44))).all()


# ------------------------------------------------------------------------------------ survival


SURVIVES = {
    "arithmetic": lambda p: p * 2 / 2,
    "ufunc": lambda p: np.sqrt(p**2),
    "shuffle": lambda p: p.isel(patch=np.random.default_rng(0).permutation(p.sizes["patch"])),
    "concat": lambda p: xr.concat(
        [p.isel(patch=slice(0, 50)), p.isel(patch=slice(50, None))], "patch"
    ),
    "single patches": lambda p: xr.concat([p.isel(patch=[k]) for k in range(100)], "patch"),
    "where": lambda p: p.where(p > -1),
    "sortby": lambda p: p.sortby("patch", ascending=False),
    "pickle": lambda p: pickle.loads(pickle.dumps(p)),
    "chunk": lambda p: p.chunk(patch=30),
    "map_blocks": lambda p: p.chunk(patch=30).map_blocks(
        lambda b: b + 0, template=p.chunk(patch=30)
    ),
    "transpose": lambda p: p.transpose("obs", "time", "patch"),
    "rename": lambda p: p.rename(obs="station").rename(station="obs"),
    "batches": lambda p: xr.concat(list(p.patch.batches(17)), "patch"),
    "reindexed": lambda p: p.isel(patch=slice(None, None, -1)).reindex_like(p),
}


@pytest.mark.parametrize("name", SURVIVES)
def test_survives(name):
    field = stations(100)
    patches = field.patch.split(geometry=xpatch.KNNGraph(5))
    for aggregation in ("median", xpatch.OverlapAdd("hann")):
        merged = SURVIVES[name](patches).patch.merge(aggregation)
        xr.testing.assert_allclose(merged.compute(), field)
        xr.testing.assert_identical(merged.coords.to_dataset(), field.coords.to_dataset())


@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
@pytest.mark.parametrize("geometry", [xpatch.KNNGraph(5), xpatch.RadiusGraph(2500.0)], ids=str)
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_files(kind, geometry, tmp_path):
    field = stations(100)
    patches = field.patch.split(geometry=geometry)
    if kind == "zarr":
        patches.to_zarr(tmp_path / "p.zarr")
        back = xr.open_zarr(tmp_path / "p.zarr")["t"]
    else:
        patches.to_netcdf(tmp_path / "p.nc")
        back = xr.open_dataset(tmp_path / "p.nc")["t"]
    np.testing.assert_allclose(back.patch.merge("median"), field)
    few = back.isel(patch=[5, 3, 90])
    np.testing.assert_allclose(
        few.patch.merge("mean"), patches.isel(patch=[5, 3, 90]).patch.merge("mean")
    )
    with pytest.raises(ValueError, match=r"distances .* not written .* merge\(like=field\)"):
        back.patch.merge(xpatch.OverlapAdd("hann"))
    merged = back.patch.merge(xpatch.OverlapAdd("hann"), like=field)
    np.testing.assert_allclose(merged, field)
    xr.testing.assert_identical(merged.coords.to_dataset(), field.coords.to_dataset())
    with pytest.raises(ValueError, match="not the field that was split"):
        back.patch.merge("mean", like=stations(100, seed=1))


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_data_on_disk_are_read_when_they_are_looked_at(tmp_path):
    field = globe().expand_dims(time=3)
    field.to_netcdf(tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc", chunks=None) as ds:
        cut = {"geometry": xpatch.SphericalCap(900), "sampler": xpatch.FibonacciSphere(40)}
        patches = ds["t"].patch.split(**cut)
        assert not patches.variable._in_memory
        expected = field.patch.split(**cut)
        xr.testing.assert_equal(patches.isel(patch=[3, 30]).load(), expected.isel(patch=[3, 30]))
        xr.testing.assert_allclose(patches.patch.merge(), expected.patch.merge())


def test_apply_on_every_backend():
    field = stations(120)

    def model(p):
        return p.mean("obs")

    cut = {"geometry": xpatch.KNNGraph(6)}
    expected = model(field.patch.split(**cut)).patch.merge()
    xr.testing.assert_allclose(field.patch.apply(model, **cut, batch_size=11), expected)
    lazy = field.chunk(time=2, obs=50).patch.apply(model, **cut, batch_size=11)
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), expected)

    def picky(p):
        if 5 in p["patch"]:
            raise RuntimeError("no")
        return p

    with pytest.warns(xpatch.PatchFailure):
        skipped = field.patch.apply(picky, **cut, on_error="skip")
    xr.testing.assert_allclose(skipped, field)


def test_the_model_runs_once_and_a_block_of_time_is_read_once():
    import dask.array as da

    field = stations(200, 8)
    reads = []

    def read(block, block_info=None):
        if block_info:
            reads.append(tuple(block_info[0]["chunk-location"]))
        return block

    lazy = da.map_blocks(read, da.from_array(field.values, chunks=(2, 50)), dtype=field.dtype)
    patches = field.copy(data=lazy).patch.split(geometry=xpatch.KNNGraph(9), chunks=40)
    seen = []

    def model(block):
        seen.extend(block["patch"].values.tolist() if block.size else [])
        return block

    merged = patches.map_blocks(model, template=patches).patch.merge(xpatch.OverlapAdd("hann"))
    assert len(merged.__dask_graph__()) < 25 * 4 * 5
    xr.testing.assert_allclose(merged.compute(scheduler="synchronous"), field)
    assert sorted(reads) == sorted(set(reads))
    assert len(reads) == 4 * 4
    assert sorted(seen) == sorted([k for k in range(200) for _ in range(4)])


def test_datasets_split_what_has_the_elements_and_carry_the_rest():
    field = globe()
    ds = xr.Dataset(
        {"t": field, "zonal": ("lat", np.arange(36.0)), "level": ("z", [1.0, 2.0])},
        attrs={"title": "a"},
    )
    patches = ds.patch.split(geometry=xpatch.SphericalCap(900))
    assert patches.zonal.dims == ("patch", "cell")
    assert patches.level.dims == ("z",)
    for k in (0, 700, 2591):
        one = patches.isel(patch=k)
        there = one.cell.values >= 0
        np.testing.assert_array_equal(
            one.zonal.values[there], ds.zonal.values[one.cell.values[there] // 72]
        )
    merged = patches.patch.merge()
    xr.testing.assert_allclose(merged, ds)
    assert merged.attrs == ds.attrs


def test_one_value_per_patch_paints_its_members():
    field = stations(50, 1).isel(time=0)
    patches = field.patch.split(geometry=xpatch.KNNGraph(4), sampler=xpatch.Explicit([10, 20]))
    painted = patches.mean("obs").patch.merge()
    for k in range(2):
        own_members = set(members(patches)[k]) - set(members(patches)[1 - k])
        got = painted.isel(obs=sorted(own_members))
        np.testing.assert_allclose(got, float(patches.isel(patch=k).mean()))
    channels = xr.concat([patches, -patches], xr.Variable("channel", ["a", "b"]))
    merged = channels.patch.merge()
    assert set(merged.dims) == {"channel", "obs"}
    np.testing.assert_allclose(merged.sel(channel="b"), -merged.sel(channel="a"))


def test_learned_and_votes_on_members():
    from sklearn.linear_model import LinearRegression

    field = stations(150, 1).isel(time=0)
    patches = field.patch.split(geometry=xpatch.KNNGraph(4))
    fitted = patches.patch.merge(xpatch.Learned(LinearRegression()))
    np.testing.assert_allclose(fitted, field, atol=1e-9)
    lazy = field.chunk(obs=60).patch.split(geometry=xpatch.KNNGraph(4))
    np.testing.assert_allclose(
        lazy.patch.merge(xpatch.Learned(LinearRegression())).compute(), field, atol=1e-9
    )
    called = patches.patch.merge(xpatch.Learned(lambda values, offsets: np.nanmax(values, axis=0)))
    np.testing.assert_allclose(called, field)
    classes = xr.concat([patches, 1 - patches], xr.Variable("class", ["low", "high"]))
    vote = classes.transpose("patch", "class", "obs").patch.merge(xpatch.SoftVote())
    np.testing.assert_array_equal(vote == "low", field >= 0.5)
    ds = xr.Dataset({"mean": patches, "variance": patches * 0 + 2.0})
    np.testing.assert_allclose(ds.patch.merge("inv_var_weighted_mean")["mean"], field)


def test_what_the_accessor_tells():
    field = stations(60, 1).isel(time=0)
    patches = field.patch.split(geometry=xpatch.KNNGraph(4), sampler=xpatch.Explicit([3, 9]))
    assert "4 to 4 of 60 elements of obs" in repr(patches.patch)
    assert patches.patch.anchors.anchor_element.values.tolist() == [3, 9]
    shapes = patches.patch.geometries
    assert shapes.shape == (2, 4)
    assert shapely.get_x(shapes.values[0, 0]) == float(field.lon[3])
    assert len(patches.patch.footprints()) == 2
    assert patches.patch.domain.places == {("obs",): ("lon", "lat", True)}
    again = xpatch.Patcher.from_spec(patches.patch.spec).split(field)
    xr.testing.assert_equal(again, patches)
    figure = patches.patch.plot(field)
    assert [ax.get_title() for ax in figure.axes[:2]] == ["2 patches", "coverage"]


def test_caps_are_drawn_as_rings():
    field = globe()
    caps = field.patch.split(
        geometry=xpatch.SphericalCap(1200.0),
        sampler=xpatch.Explicit({"lat": [0, 88], "lon": [10, 10]}),
    )
    flat, polar = caps.patch.footprints().geometry
    assert flat.bounds == pytest.approx((10 - 10.79, -10.79, 10 + 10.79, 10.79), abs=0.05)
    assert polar.is_valid
    assert polar.bounds[3] == 90
    assert polar.bounds[2] - polar.bounds[0] == pytest.approx(360)


def test_real_ocean():
    with xr.open_dataset(SAMPLES / "orca2_votemper.nc", decode_times=False) as ds:
        field = ds["votemper"].load()
        caps = field.patch.split(
            geometry=xpatch.SphericalCap(700.0), sampler=xpatch.FibonacciSphere(400)
        )
        merged = caps.patch.merge(xpatch.OverlapAdd("hann"))
        held = caps.patch.merge("count") > 0
        assert merged.dims == field.dims
        np.testing.assert_allclose(
            merged.where(held), field.where(held.values | field.isnull()).where(held), rtol=1e-5
        )
        lat = caps.nav_lat.values
        assert np.nanmax(lat) > 85


# -------------------------------------------------------------------- what is easily taken wrong


def test_dask_names_tell_lists_of_equal_elements_apart():
    field = globe(np.linspace(-90, 90, 7), np.arange(0, 360, 30.0)).chunk()
    cuts = [
        field.patch.split(geometry=xpatch.RadiusGraph(r), window="hann") for r in (3400.0, 3700.0)
    ]
    assert cuts[0].data.name != cuts[1].data.name
    together = abs(cuts[0] - cuts[1].drop_vars("patch").values).max()
    assert float(together) > 0.01
    plain = [field.patch.split(geometry=xpatch.RadiusGraph(r)) for r in (3400.0, 3700.0)]
    merged = [
        (p * np.arange(p.sizes["patch"])[:, None]).patch.merge(xpatch.OverlapAdd("hann"))
        for p in plain
    ]
    assert merged[0].data.name != merged[1].data.name
    assert float(abs(merged[0] - merged[1]).max()) == float(
        abs(merged[0].compute() - merged[1].compute()).max()
    )


def test_polygons_are_anchors_of_their_own():
    field = globe()
    shapes = [
        shapely.box(0, -20, 40, 20),
        shapely.box(100, -20, 140, 20),
        shapely.box(200, 30, 260, 70),
    ]
    zones = field.patch.split(geometry=xpatch.PolygonIntersection(shapes))
    assert (zones.anchor_element == -1).all()
    fine = globe(lon=np.arange(0, 360, 2.5))
    same = fine.patch.split(
        geometry=xpatch.PolygonIntersection(shapes), sampler=xpatch.Explicit(zones)
    )
    alone = fine.patch.split(geometry=xpatch.PolygonIntersection(shapes))
    np.testing.assert_array_equal(same.cell, alone.cell)
    boxes = field.patch.split(geometry={"lat": 3, "lon": 3}, sampler=xpatch.Explicit(zones))
    middle = boxes.isel(lat=1, lon=1)
    assert [
        shape.buffer(5).contains(shapely.Point(float(p.lon), float(p.lat)))
        for shape, p in zip(shapes, (middle.isel(patch=k) for k in range(3)), strict=True)
    ] == [True] * 3
    near = field.patch.split(geometry=xpatch.KNNGraph(3), sampler=xpatch.Explicit(zones))
    assert (near.patch.anchors.anchor_element == -1).all()
    for free in (
        xpatch.Explicit([shapely.Point(20, 0)]),
        xpatch.FibonacciSphere(9),
        xpatch.RegularStride(3),
        xpatch.Explicit(field.patch.split(geometry=xpatch.KNNGraph(3))),
    ):
        with pytest.raises(ValueError, match=r"are its 3 polygons; choose some of them by number"):
            field.patch.split(geometry=xpatch.PolygonIntersection(shapes), sampler=free)
    chosen = field.patch.split(
        geometry=xpatch.PolygonIntersection(shapes), sampler=xpatch.Explicit([2, 0])
    )
    np.testing.assert_array_equal(
        chosen.patch.mask.sum("cell"), zones.patch.mask.sum("cell")[[2, 0]]
    )


def test_slots_in_another_order_are_noticed_before_labels_are_loaded():
    patches = stations().patch.split(geometry=xpatch.KNNGraph(3))
    assert not patches["obs"].variable._in_memory
    with pytest.raises(ValueError, match="member numbers along 'obs'"):
        patches.isel(obs=[2, 1, 0]).patch.merge()


def test_two_networks_of_stations_are_not_mixed_up():
    a, b = stations(12, 1).isel(time=0), stations(15, 1, seed=1).isel(time=0).rename("b")
    pa = a.patch.split(geometry=xpatch.KNNGraph(4))
    pb = b.patch.split(geometry=xpatch.KNNGraph(4), sampler=xpatch.Explicit(pa))
    both = xr.merge([pa.to_dataset(), pb.to_dataset()], compat="override", join="outer")
    with pytest.raises(ValueError, match="member numbers along 'obs' are not those of their patch"):
        both.patch.merge()  # names tell the networks, and there is but one table of members
    one = pa.to_dataset()
    with pytest.raises(ValueError, match=r"would lose where they belong.*xr.merge"):
        one["b"] = pb
    with pytest.raises(ValueError, match="lie elsewhere"):
        pa.patch.merge(like=stations(12, 1, seed=2).isel(time=0))
    other = stations(12, 1, seed=2).isel(time=0).patch.split(geometry=xpatch.KNNGraph(4))
    mixed = xr.concat(
        [pa.drop_vars(["lon", "lat", "name"]), other.drop_vars(["lon", "lat", "name"])], "patch"
    )
    assert mixed.xindexes["patch"].mixed
    with pytest.raises(ValueError, match="different splits"):
        mixed.patch.merge()


def test_anchors_of_an_xvec_object_bring_their_crs():
    import geopandas
    import xvec  # noqa: F401

    points = geopandas.points_from_xy([4e5, 5e5, 6e5], [5e6] * 3)
    field = xr.DataArray(np.arange(3.0), {"geometry": points}, ("geometry",))
    field = field.xvec.set_geom_indexes("geometry", crs=32633)
    moved = field.isel(geometry=[0, 2]).xvec.to_crs(geometry=4326)
    for given_anchors in (moved, moved.geometry):
        patches = field.patch.split(
            geometry=xpatch.KNNGraph(1), sampler=xpatch.Explicit(given_anchors)
        )
        assert patches.geometry.values.tolist() == [[0], [2]]


def test_more_elements_at_one_place_than_neighbors():
    field = xr.DataArray(
        np.arange(8.0),
        {"lon": ("obs", np.repeat([0.0, 5], 4)), "lat": ("obs", np.zeros(8))},
        ("obs",),
    )
    patches = field.patch.split(geometry=xpatch.KNNGraph(3))
    assert patches.obs.values[:, 0].tolist() == list(range(8))
    np.testing.assert_array_equal(patches.patch.merge("median"), field)


def test_fibonacci_anchors_stay_in_the_field():
    rng = np.random.default_rng(0)
    field = xr.DataArray(
        rng.random(300),
        {"lon": ("obs", rng.uniform(0, 20, 300)), "lat": ("obs", rng.uniform(40, 60, 300))},
        ("obs",),
    )
    patches = field.patch.split(geometry=xpatch.KNNGraph(4), sampler=xpatch.FibonacciSphere(5000))
    assert 20 < patches.sizes["patch"] < 80
    assert float(patches.patch.distance.max()) < 600


def test_files_bring_coordinates_and_anchors_back(tmp_path):
    field = stations(60)
    patches = field.patch.split(geometry=xpatch.KNNGraph(4), sampler=xpatch.Explicit([3, 9]))
    patches.to_netcdf(tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc") as ds:
        merged = ds["t"].patch.merge("median")
        held = (patches.patch.merge("count").isel(time=0) > 0).values
        np.testing.assert_allclose(merged.lon[held], field.lon[held])
        assert np.isnan(merged.lon[~held]).all()
        np.testing.assert_allclose(ds["t"].patch.anchors.x, field.lon[[3, 9]])
        with pytest.raises(ValueError, match="read from a file do not know"):
            _ = ds["t"].patch.geometries


def test_patches_of_a_mesh_pickle():
    import uxarray as ux

    field = ux.UxDataArray(xr.DataArray(np.arange(44.0), dims="n_face"), uxgrid=own.mesh())
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    again = pickle.loads(pickle.dumps(patches))
    np.testing.assert_allclose(again.patch.merge(), field)


def test_valid_on_the_anchors_of_other_patches():
    field = globe()
    boxes = field.patch.split(geometry={"lat": 6, "lon": 6}).isel(patch=slice(1, 60, 3))
    holes = field.where(field.lon > 100)
    for geometry in (xpatch.KNNGraph(3), {"lat": 4, "lon": 4}):
        sampler = xpatch.Valid(xpatch.Explicit(boxes), 0.5)
        valid = holes.patch.split(geometry=geometry, sampler=sampler)
        every = holes.patch.split(geometry=geometry, sampler=xpatch.Explicit(boxes))
        dims = [d for d in every.dims if d != "patch"]
        share = every.notnull().mean(dims)
        assert valid["patch"].values.tolist() == every["patch"].values[share >= 0.5].tolist()
        xr.testing.assert_equal(valid, every.sel(patch=valid["patch"].values))


@pytest.mark.parametrize("geometry", [xpatch.KNNGraph(3), {"obs": 3}], ids=str)
def test_one_patch_of_a_dataset_with_a_carried_variable(geometry):
    field = (
        stations(30) if not isinstance(geometry, dict) else stations(30).drop_vars(["lon", "lat"])
    )
    ds = xr.Dataset({"t": field, "c": ("time", [1.0, 2.0, 3.0])})
    patches = ds.patch.split(geometry=geometry)
    merged = patches.isel(patch=0).patch.merge(like=ds)
    xr.testing.assert_allclose(merged, patches.isel(patch=[0]).patch.merge())


def test_like_with_polygons_and_functions(tmp_path):
    field = stations(40).assign_coords(obs=[f"n{k}" for k in range(40)])
    shapes = [shapely.box(-90, -60, 90, 60), shapely.box(90, -60, 180, 60)]
    for geometry in (
        xpatch.PolygonIntersection(shapes),
        xpatch.KNNGraph(3, metric=lambda a, b: abs(a - b).sum()),
    ):
        patches = field.patch.split(geometry=geometry)
        patches.drop_vars("obs_label").to_netcdf(tmp_path / "p.nc")
        with xr.open_dataset(tmp_path / "p.nc") as ds:
            merged = ds["t"].patch.merge("median", like=field)
            xr.testing.assert_allclose(merged, patches.patch.merge("median"))
            with pytest.raises(ValueError, match="has 30 cells along 'obs', not 40"):
                ds["t"].patch.merge("median", like=field.isel(obs=slice(30)))
        (tmp_path / "p.nc").unlink()
    with pytest.raises(ValueError, match="cannot be written"):
        xpatch.Patcher.from_spec(
            field.patch.split(geometry=xpatch.PolygonIntersection(shapes)).patch.spec
        )


def test_dates_of_cftime_in_ragged_lists_can_be_written(tmp_path):
    dates = xr.date_range("2001-01-01", periods=60, calendar="noleap", use_cftime=True)
    field = stations(60).assign_coords(seen=("obs", dates))
    field.patch.split(geometry=xpatch.RadiusGraph(3000.0)).to_netcdf(tmp_path / "p.nc")
    even = field.patch.split(geometry=xpatch.KNNGraph(3))
    assert even.seen.values[7, 0] == dates[7]


def test_a_field_with_a_dimension_called_cell():
    field = globe().expand_dims(cell=2)
    patches = field.patch.split(geometry=xpatch.KNNGraph(3))
    assert patches.dims == ("patch", "cell", "member")
    xr.testing.assert_allclose(patches.patch.merge("median"), field)


def test_stations_by_name_and_transects():
    field = stations(20).assign_coords(obs=[f"n{k}" for k in range(20)])
    patches = field.patch.split(
        geometry=xpatch.KNNGraph(2), sampler=xpatch.Explicit({"obs": ["n7", "n3"]})
    )
    assert patches.anchor_element.values.tolist() == [7, 3]
    assert patches.obs_label.values[0, 0] == "n7"
    with pytest.raises(KeyError, match="no element along 'obs' is called 'n99'"):
        field.patch.split(geometry=xpatch.KNNGraph(2), sampler=xpatch.Explicit({"obs": ["n99"]}))
    places = xr.Dataset(coords={"lon": ("p", [0.0, 50]), "lat": ("p", [0.0, 10])})
    assert (
        field.patch.split(geometry=xpatch.KNNGraph(2), sampler=xpatch.Explicit(places)).sizes[
            "patch"
        ]
        == 2
    )
    transect = xr.DataArray(
        np.arange(5.0), {"lon": ("x", np.arange(5.0)), "lat": ("x", np.arange(5.0))}, ("x",)
    )
    assert type(xpatch.domain_of(transect)) is xpatch.PointDomain
    odd = globe().assign_attrs(crs="local grid")
    with pytest.raises(ValueError, match="'local grid' is no CRS"):
        odd.rename(lat="y", lon="x").patch.split(geometry=xpatch.SphericalCap(5))


def test_stations_at_one_place_keep_the_value_of_their_own_patch():
    field = xr.DataArray(
        [0.0, 10, 20, 30], {"lon": ("id", [0.0, 0, 5, 9]), "lat": ("id", [0.0] * 4)}, ("id",)
    )
    for source in (field, field.chunk(id=2)):
        patches = source.patch.split(geometry=xpatch.KNNGraph(2))
        merged = patches.isel(id=0).patch.merge("most_central")
        assert merged.values.tolist() == [0, 10, 20, 30]


def test_polygons_in_metres_across_the_dateline():
    import geopandas

    field = globe(np.arange(-87.5, 90, 1.0), np.arange(0, 360, 1.0))
    across = geopandas.GeoSeries([shapely.box(1.95e7, -4e5, 2.05e7, 4e5)], crs=3857)
    found = members(field.patch.split(geometry=xpatch.PolygonIntersection(across)))[0]
    lon, lat = field.lon.values[found % 360], field.lat.values[found // 360]
    scale = np.rad2deg(1 / 6378137.0)
    assert (lon.min(), lon.max()) == (np.ceil(1.95e7 * scale), np.floor(2.05e7 * scale))
    assert np.abs(lat).max() < 4e5 * scale
    bare = xpatch.PolygonIntersection(np.array(list(across)))
    with pytest.raises(ValueError, match=r"without CRS reach to x = 2.05e\+07"):
        field.patch.split(geometry=bare)


def test_points_are_their_own_centroids(monkeypatch):
    made = []
    centroid = shapely.centroid
    monkeypatch.setattr(shapely, "centroid", lambda g: made.append(len(g)) or centroid(g))
    places = np.random.default_rng(0).uniform(0, 100, (50, 2))
    points, disks = shapely.points(places), shapely.buffer(shapely.points(places), 1.0)
    for shapes, number in ((points, 0), (disks, 50)):
        made.clear()
        field = xr.DataArray(np.arange(50.0), {"geom": shapes}, ("geom",))
        sites = xpatch.domain_of(field).sites()
        np.testing.assert_allclose(np.stack([sites.x, sites.y], axis=-1), places)
        assert sum(made) == number
    patches = xr.DataArray(np.arange(50.0), {"geom": points}, ("geom",)).patch.split(
        geometry=xpatch.KNNGraph(3), sampler=xpatch.Explicit(points[5:9])
    )
    np.testing.assert_array_equal(
        np.sort(patches), np.sort(KDTree(places).query(places[5:9], 3)[1])
    )


def test_of_stations_that_are_called_alike_the_first_is_meant():
    field = stations(40).assign_coords(obs=[f"s{k % 30}" for k in range(40)])
    sampler = xpatch.Explicit({"obs": ["s29", "s3", "s3", "s0"]})
    patches = field.patch.split(geometry=xpatch.KNNGraph(2), sampler=sampler)
    assert patches["anchor_element"].values.tolist() == [29, 3, 3, 0]


@given(st.lists(st.integers(-20, 20)))
def test_distinct_values_are_those_of_numpy(values):
    from xpatch.engine.distinct import distinct

    given_values = np.array(values, np.int64)
    np.testing.assert_array_equal(distinct(given_values), np.unique(given_values))
    np.testing.assert_array_equal(given_values, np.array(values, np.int64))


def test_cells_in_polygons_are_found_in_order(monkeypatch):
    shapes = [
        shapely.box(1.2, 1.2, 5.8, 7.9),
        shapely.Point(4, 4).buffer(3),
        shapely.box(3, 0, 9, 2),
    ]
    sorts = []
    sort = np.sort
    for dims in (("y", "x"), ("x", "y")):
        field = xr.DataArray(
            np.arange(100.0).reshape(10, 10),
            {"y": np.arange(10.0)[::-1], "x": np.arange(10.0)},
            dims,
        )
        with monkeypatch.context() as patch:
            patch.setattr(
                np, "sort", lambda v, *args, **kw: sorts.append(len(v)) or sort(v, *args, **kw)
            )
            patches = field.patch.split(geometry=xpatch.PolygonIntersection(shapes))
        long = [n for n in sorts if n > 2]  # not the edges of cells
        assert bool(long) == (dims == ("x", "y"))  # rows come first, and so in order
        for shape, found in zip(shapes, members(patches), strict=True):
            y, x = np.meshgrid(field.y, field.x, indexing="ij")
            hit = shapely.intersects_xy(shape, x, y)
            hit = hit if dims[0] == "y" else hit.T
            np.testing.assert_array_equal(found, np.flatnonzero(hit))


def test_the_nearest_of_elements_at_few_places_come_by_number_without_looking_at_all(monkeypatch):
    rng = np.random.default_rng(0)
    which = rng.integers(0, 7, 700)  # moorings, each of which has about a hundred
    lon, lat = rng.uniform(-20, 20, 7)[which], rng.uniform(30, 60, 7)[which]
    field = xr.DataArray(np.zeros(700), {"lon": ("obs", lon), "lat": ("obs", lat)}, "obs")
    widest = []
    monkeypatch.setattr(
        search,
        "ranked",
        lambda d, n, k, own=search.ranked: widest.append(d.shape[1]) or own(d, n, k),
    )
    patches = field.patch.split(geometry=xpatch.KNNGraph(5))
    for k in range(0, 700, 23):
        here = np.flatnonzero(which == which[k])
        expected = (
            [k, *here[here != k][:4]]
            if k not in here[:5]
            else [k, *(h for h in here[:5] if h != k)]
        )
        assert patches.obs.values[k].tolist() == expected
    assert max(widest) <= 20
