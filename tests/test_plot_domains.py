"""Pictures of each domain: what is drawn is where it is, counts are right, and artists are few."""

from __future__ import annotations

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection, PatchCollection, PathCollection, PolyCollection

import xpatch
from xpatch import sphere
from xpatch.domain.turns import west_of
from xpatch.neighborhood import Neighborhood
from xpatch.plot.canvas import degrees
from xpatch.plot.cells import corners
from xpatch.plot.coverage import box_counts, steps_for
from xpatch.plot.poles import on_map

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def filled(ax):
    """Give the outlines of the members of each patch that is highlighted, and their color."""
    from matplotlib.colors import to_hex

    found = drawn(ax, PathCollection)
    return [
        ([np.asarray(p.vertices) for p in c.get_paths()], to_hex(c.get_facecolor()[0]))
        for c in found
        if c.get_array() is None and len(c.get_facecolor()) == 1 and c.get_linewidth()[0] < 1
    ]


def shoelace(ring):
    (x, y), (u, v) = ring.T, np.roll(ring, -1, axis=0).T
    return abs((x * v - u * y).sum()) / 2


def on_the_map(rings, west):
    """Give the area of rings within a map of the globe, in square degrees; they must not overlap."""
    shapely = pytest.importorskip("shapely")
    cut = shapely.box(west, -90, west + 360, 90)
    return sum((shapely.Polygon(r).buffer(0) & cut).area for r in rings)


def drawn(ax, kind):
    return [c for c in ax.collections if type(c) is kind]


def lines_of(ax):
    return [np.asarray(s) for c in drawn(ax, LineCollection) for s in c.get_segments()]


def tilted(lon0, lat0, ny=12, nx=16, half=(20, 30)):
    """A grid around a rotated pole, given by latitude and longitude alone."""
    rows, columns = (np.linspace(-h, h, n) for h, n in zip(half, (ny, nx), strict=True))
    j, i = np.meshgrid(rows, columns, indexing="ij")
    a = np.deg2rad(lat0)
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    lon, lat = sphere.degrees_of(sphere.unit_vectors(i, j) @ turn.T)
    coords = {
        "lat": (("y", "x"), lat, {"standard_name": "latitude", "units": "degrees_north"}),
        "lon": (
            ("y", "x"),
            (lon + lon0 + 180) % 360 - 180,
            {"standard_name": "longitude", "units": "degrees_east"},
        ),
    }
    return xr.DataArray(np.arange(ny * nx, dtype=float).reshape(ny, nx), coords, ("y", "x"), "v")


# ------------------------------------------------------------------------------------- counting


@given(
    st.lists(st.tuples(st.integers(-4, 9), st.integers(-3, 6)), max_size=6),
    st.tuples(st.integers(1, 5), st.integers(1, 4)),
    st.tuples(st.booleans(), st.booleans()),
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
)
def test_counts_are_those_of_brute_force(starts, sizes, wrap, steps):
    shape = (10, 7)
    axes = [np.array([s[k] for s in starts], np.int64) for k in (0, 1)]
    hood = Neighborhood.boxes(("y", "x"), sizes, shape, axes, product=False, wrap=wrap)
    expected = np.zeros(shape, int)
    for start in starts:
        cells = [s + np.arange(n) for s, n in zip(start, sizes, strict=True)]
        inside = [
            c % n if w else c[(c >= 0) & (c < n)]
            for c, n, w in zip(cells, shape, wrap, strict=True)
        ]
        expected[np.ix_(*inside)] += 1
    ordinals = np.arange(len(starts))
    every = expected[:: steps[0], :: steps[1]]
    np.testing.assert_array_equal(box_counts(hood, ordinals, ("y", "x"), steps), every)
    np.testing.assert_array_equal(box_counts(hood, ordinals, ("x", "y"), steps[::-1]), every.T)


def test_fewer_cells_are_counted_of_many():
    steps = steps_for((100_000, 3, 50_000), 10_000)
    counted = [-(-n // s) for n, s in zip((100_000, 3, 50_000), steps, strict=True)]
    assert np.prod(counted) <= 10_000
    assert steps[1] == 1
    assert steps_for((10, 10), 100) == [1, 1]


# ------------------------------------------------------------------------------------------ maps


@pytest.mark.parametrize(
    ("lon", "west"),
    [
        (np.arange(-180.0, 180), -180),
        (np.arange(0.0, 360), 0),
        ([10, 20, 30], -160),  # the gap from 30 to 370 is halved at 200
        ([170, 179, -170], 0),
        ([350, 355, 359], 174),
        ([np.nan], -180),
    ],
)
def test_maps_begin_in_the_widest_gap(lon, west):
    found = west_of(np.asarray(lon, float))
    assert abs(found - west) <= 1
    turned = found + (np.asarray(lon, float) - found) % 360
    if not np.isnan(turned).any() and len(turned) < 10:
        assert np.ptp(turned) <= 30


def test_degrees_are_written_with_their_side():
    assert [degrees(v, "EW") for v in (-170, 0, 12.5, 180, -180)] == [
        "170°W",
        "0°",
        "12.5°E",
        "180°",
        "180°",
    ]


def test_a_map_has_degrees_and_the_aspect_of_its_latitude():
    field = xr.DataArray(
        np.zeros((10, 12)), {"lat": np.linspace(55.5, 64.5, 10), "lon": np.arange(12.0)}
    )
    ax = field.patch.split(geometry={"lat": 5, "lon": 4}).patch.plot(field).axes[0]
    assert ax.get_aspect() == pytest.approx(2)  # 1 / cos(60°)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("longitude", "latitude")
    assert ax.xaxis.get_major_formatter()(5, 0) == "5°E"


# ------------------------------------------------------------------------------------ bent grids


def test_quadrangles_are_the_cells_of_a_straight_grid():
    lon, lat = np.meshgrid(np.arange(170, 190, 2.0), np.arange(-3, 4, 1.0))
    quads = corners((lon + 180) % 360 - 180, lat, True)
    off = quads[..., 0] - (((lon + 180) % 360) - 180)[..., None]
    np.testing.assert_allclose(off, np.broadcast_to([-1, 1, 1, -1], off.shape), atol=2e-3)
    edges = np.broadcast_to([-0.5, -0.5, 0.5, 0.5], off.shape)
    np.testing.assert_allclose(quads[..., 1] - lat[..., None], edges, atol=2e-3)


@pytest.mark.parametrize("lon0", [0, 175, -180])
def test_outlines_of_a_curvilinear_grid_are_in_degrees_and_cross_the_dateline(lon0):
    field = tilted(lon0, 10)
    patches = field.patch.split(geometry={"y": 6, "x": 8})
    ax, other, *_ = patches.patch.plot(field).axes
    lines = lines_of(ax)
    assert len(lines) == 4 + 1  # one is thicker
    for line in lines:
        assert np.abs(np.diff(line[:, 0])).max() < 10  # no streaks
    lon, lat = field.lon.values[:6, :8], field.lat.values[:6, :8]
    west, east = lines[0][:, 0].min(), lines[0][:, 0].max()
    near = lon - 360 * np.round((lon - (west + east) / 2) / 360)
    np.testing.assert_allclose([west, east], [near.min(), near.max()])
    np.testing.assert_allclose(lines[0][:, 1].max(), lat.max())
    (cells,) = drawn(ax, PolyCollection)
    np.testing.assert_array_equal(cells.get_array(), field.values.ravel())
    wide = [np.ptp(path.vertices[:, 0]) for path in cells.get_paths()]
    assert max(wide) < 12
    (counted,) = drawn(other, PolyCollection)
    np.testing.assert_array_equal(counted.get_array(), np.ones(12 * 16))


def test_a_box_around_the_pole_is_not_closed_across_the_map():
    field = tilted(0, 90, 15, 15, (10, 10))
    patches = field.patch.split(geometry={"y": 5, "x": 5})
    for line in lines_of(patches.patch.plot(coverage=False).axes[0]):
        assert np.abs(np.diff(line[:, 0])).max() < 180


def test_a_projection_is_drawn_in_its_own_coordinates():
    pyproj = pytest.importorskip("pyproj")
    y, x = 3e6 + 4e4 * np.arange(8), 4e6 + 4e4 * np.arange(10)
    move = pyproj.Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True)
    lon, lat = move.transform(*np.meshgrid(x, y))
    coords = {"y": y, "x": x, "spatial_ref": ((), 0, pyproj.CRS("EPSG:3035").to_cf())}
    coords["lat"] = (("y", "x"), lat, {"standard_name": "latitude"})
    coords["lon"] = (("y", "x"), lon, {"standard_name": "longitude"})
    field = xr.DataArray(np.zeros((8, 10)), coords, ("y", "x"))
    ax = field.patch.split(geometry={"y": 4, "x": 5}).patch.plot(coverage=False).axes[0]
    (boxes,) = drawn(ax, PatchCollection)
    np.testing.assert_allclose(
        boxes.get_paths()[0].get_extents().extents, [3.98e6, 2.98e6, 4.18e6, 3.14e6]
    )
    assert ax.get_aspect() == 1


def test_outlines_of_a_rotated_raster_in_meters_are_closed():
    pytest.importorskip("rioxarray")
    affine = pytest.importorskip("affine")
    raster = xr.DataArray(np.zeros((8, 8)), dims=("y", "x")).rio.write_crs(32632)
    raster = raster.rio.write_transform(affine.Affine(300, 90, 6e5, 90, -300, 5.2e6))
    figure = raster.patch.split({"y": 4, "x": 4}).patch.plot()
    lines = lines_of(figure.axes[0])
    assert len(lines) == 5  # one of them twice
    for line in lines:
        np.testing.assert_allclose(line[0], line[-1])


def test_numbers_of_a_projection_leave_each_other_room():
    """A scene of 4 km: nine labels of six digits lay on each other."""
    at = {"y": 5.2e6 - 10.0 * np.arange(300), "x": 6e5 + 10.0 * np.arange(400)}
    scene = xr.DataArray(np.zeros((300, 400)), at, ("y", "x")).rio.write_crs(32632)
    figure = scene.patch.split(64).patch.plot(scene)
    figure.canvas.draw()
    for ax in figure.axes[:2]:
        boxes = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text()]
        assert len(boxes) > 2
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_a_band_of_several_is_called_by_its_own_name():
    names = {"long_name": ("blue", "green", "red"), "units": "1"}
    raster = xr.DataArray(np.zeros((3, 8, 8)), {"band": [1, 2, 3]}, ("band", "y", "x"), attrs=names)
    patches = raster.patch.split({"y": 4, "x": 4})
    labels = [ax.get_ylabel() for ax in patches.patch.plot(raster.sel(band=3)).axes]
    assert "red" in labels
    bare = raster.isel(band=0, drop=True).rename("b")
    labels = [ax.get_ylabel() for ax in patches.patch.plot(bare).axes]
    assert "b" in labels


def test_footprints_across_the_dateline_are_whole():
    pytest.importorskip("geopandas")
    frame = tilted(175, 0).patch.split(geometry={"y": 12, "x": 16}).patch.footprints()
    west, _, east, _ = frame.total_bounds
    assert (east - west) == pytest.approx(60, abs=4)


def test_faces_of_a_cubed_sphere_are_drawn_where_they_are():
    lon = np.stack([np.tile(np.arange(4.0), (4, 1)) + 90 * k for k in range(3)])
    lat = np.broadcast_to(np.arange(4.0)[:, None], (3, 4, 4))
    names = {"lons": (lon, "longitude"), "lats": (lat, "latitude")}
    dims = ("nf", "Ydim", "Xdim")
    coords = {n: (dims, v, {"standard_name": s}) for n, (v, s) in names.items()}
    field = xr.DataArray(np.arange(48.0).reshape(3, 4, 4), coords, dims)
    patches = field.patch.split(geometry=xpatch.Rectangular(nf=1, Ydim=2, Xdim=4))
    ax, other = patches.isel(patch=slice(0, 3)).patch.plot().axes[:2]
    middles = sorted((line[:, 0].min() + line[:, 0].max()) / 2 for line in lines_of(ax))
    assert middles[0] == pytest.approx(1.5, abs=0.1)
    assert middles[-1] == pytest.approx(91.5, abs=0.1)
    (cells,) = drawn(other, PolyCollection)
    assert cells.get_array().tolist() == [1] * 24 + [0] * 24


# ----------------------------------------------------------------------------- members and poles


def globe(step=10.0):
    lat, lon = np.arange(-90 + step / 2, 90, step), np.arange(0, 360, step)
    return xr.DataArray(np.zeros((lat.size, lon.size)), {"lat": lat, "lon": lon}, ("lat", "lon"))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 50])
def test_all_of_few_patches_are_highlighted(n):
    patches = globe().patch.split(xpatch.SphericalCap(2500), sampler=xpatch.FibonacciSphere(n))
    found = filled(patches.patch.plot(coverage=False).axes[0])
    assert len(found) == min(n, 5) == len({color for _, color in found})


def test_members_of_a_straight_grid_are_filled_cells():
    field = xr.DataArray(np.zeros((8, 9)), {"y": 2.0 * np.arange(8), "x": np.arange(9.0)})
    for grid in (field, field.transpose("x", "y")):
        patches = grid.patch.split(
            xpatch.RadiusGraph(2.0), sampler=xpatch.Explicit({"y": [4.0], "x": [3.0]})
        )
        ((rings, _),) = filled(patches.patch.plot(coverage=False).axes[0])
        middles = sorted(tuple(r[:4].mean(axis=0).tolist()) for r in rings)
        assert middles == [(1, 4), (2, 4), (3, 2), (3, 4), (3, 6), (4, 4), (5, 4)]
        assert {shoelace(r[:4]) for r in rings} == {2.0}


def test_of_many_members_every_so_many_is_drawn_larger():
    field = xr.DataArray(np.zeros((300, 300)), {"y": np.arange(300.0), "x": np.arange(300.0)})
    patches = field.patch.split(
        xpatch.RadiusGraph(100.0), sampler=xpatch.Explicit({"y": [150.0], "x": [150.0]})
    )
    ((rings, _),) = filled(patches.patch.plot(coverage=False).axes[0])
    assert len(rings) < 6000
    area = sum(shoelace(r[:4]) for r in rings)
    assert area == pytest.approx(np.pi * 100**2, rel=0.02)


def test_members_of_a_bent_grid_are_its_cells():
    field = tilted(175, 10)
    patches = field.patch.split(xpatch.KHopGraph(1), sampler=xpatch.Random(3, seed=0))
    ax = patches.patch.plot(coverage=False).axes[0]
    (cells,) = drawn(ax, PolyCollection)
    every = np.stack([p.vertices[:4].mean(axis=0) for p in cells.get_paths()])
    for k, (rings, _) in enumerate(filled(ax)):
        assert len(rings) == int(patches.patch.mask[k].sum())
        for ring in rings:
            assert np.abs(every - ring[:4].mean(axis=0)).sum(axis=1).min() < 1e-6


def cube(n=4):
    """An equiangular cubed sphere; with even n four cells of a face meet at each pole."""
    edges = np.linspace(-np.pi / 4, np.pi / 4, n + 1)
    a, b = np.meshgrid(*[np.tan((edges[1:] + edges[:-1]) / 2)] * 2)
    one = np.ones_like(a)
    faces = [(one, a, b), (-a, one, b), (-b, a, one), (-one, -b, -a), (b, -one, -a), (b, a, -one)]
    x, y, z = np.moveaxis(np.stack([np.stack(f) for f in faces]), 1, 0)
    dims = ("nf", "Ydim", "Xdim")
    lon, lat = np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    names = {"lons": (lon, "longitude"), "lats": (lat, "latitude")}
    coords = {m: (dims, v, {"standard_name": s}) for m, (v, s) in names.items()}
    return xr.DataArray(lat, coords, dims, "v")


@pytest.mark.parametrize("n", [4, 5])
def test_cells_of_a_cubed_sphere_reach_the_poles(n):
    field = cube(n)
    ax = field.patch.split(xpatch.KHopGraph(1)).patch.plot(field, coverage=False).axes[0]
    (cells,) = drawn(ax, PolyCollection)
    shapely = pytest.importorskip("shapely")
    own = [shapely.Polygon(p.vertices).buffer(0) for p in cells.get_paths()]
    west = 0.0
    for south, north in ((88, 90), (-90, -88)):
        band = shapely.box(west, south, west + 360, north)
        assert shapely.union_all(own).intersection(band).area == pytest.approx(720, rel=1e-3)


@pytest.mark.parametrize("scheme", ["nested", "ring"])
def test_cells_of_healpix_cover_the_map(scheme):
    xdggs = pytest.importorskip("xdggs")
    grid = {"grid_name": "healpix", "level": 1, "indexing_scheme": scheme}
    field = xr.DataArray(np.zeros(48), {"cell_ids": ("cells", np.arange(48), grid)}, ("cells",))
    field = field.pipe(xdggs.decode)
    ax = field.patch.split(xpatch.KHopGraph(1)).patch.plot(field, coverage=False).axes[0]
    cells = drawn(ax, PathCollection)[0]
    found = on_the_map([p.vertices for p in cells.get_paths()], 0.0)
    assert found == pytest.approx(360 * 180, rel=1e-9)


def test_faces_at_a_pole_cover_the_map():
    ux = pytest.importorskip("uxarray")
    lon = np.array([0.0, 90, 180, 270, 45, 45])
    lat = np.array([0.0, 0, 0, 0, 90, -90])
    faces = np.array([[k, (k + 1) % 4, pole] for pole in (4, 5) for k in range(4)])
    grid = ux.Grid.from_topology(lon, lat, faces, fill_value=-1)
    field = ux.UxDataArray(np.arange(8.0), dims=("n_face",), uxgrid=grid)
    ax = field.patch.split(xpatch.KHopGraph(1)).patch.plot(field, coverage=False).axes[0]
    cells = drawn(ax, PathCollection)[0]
    west = ax.get_xlim()[0]
    assert on_the_map([p.vertices for p in cells.get_paths()], west) == pytest.approx(360 * 180)


def test_rings_at_poles_by_hand():
    touching = np.array([[0.0, 80], [90, 80], [33, 90]])
    expected = [[0, 80], [90, 80], [90, 90], [0, 90], [0, 80]]
    assert on_map(touching).tolist() == expected
    around = np.array([[10.0, 80], [100, 80], [-170, 80], [-80, 80]])
    expected = [[10, 80], [100, 80], [190, 80], [280, 80], [370, 80], [370, 90], [10, 90], [10, 80]]
    assert on_map(around).tolist() == expected
    plain = [[0.0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]
    assert on_map(np.array(plain)).tolist() == plain


def test_what_is_counted_is_named():
    field = globe()
    patches = field.patch.split(xpatch.SphericalCap(2500), sampler=xpatch.FibonacciSphere(4))
    assert patches.patch.plot().axes[-1].get_ylabel() == "patches on a cell"
    assert stations().patch.split(xpatch.KNNGraph(3)).patch.plot().axes[-1].get_ylabel() == (
        "patches on a point"
    )


@pytest.mark.parametrize("wide", [0.3, 3, 30, 300])
def test_degrees_do_not_touch(wide):
    lat, lon = np.linspace(36, 36 + wide / 10, 8), np.linspace(-84, -84 + wide, 12)
    field = xr.DataArray(np.zeros((8, 12)), {"lat": lat, "lon": lon}, ("lat", "lon"))
    fig = field.patch.split({"lat": 4, "lon": 4}).patch.plot()
    fig.canvas.draw()
    ax = fig.axes[0]
    shown = [t for t in ax.get_xticklabels() if ax.get_xlim()[0] <= t.get_position()[0]]
    boxes = [t.get_window_extent() for t in shown if t.get_position()[0] <= ax.get_xlim()[1]]
    assert all(b.x0 - a.x1 > 3 for a, b in pairwise(boxes))


def test_labels_of_narrow_maps_are_whole():
    rng = np.random.default_rng(0)
    where = {"lon": ("station", rng.normal(10, 4, 250)), "lat": ("station", rng.normal(60, 3, 250))}
    field = xr.DataArray(rng.random(250), where, ("station",), "v")
    fig = field.patch.split(xpatch.KNNGraph(3)).patch.plot(field)
    fig.canvas.draw()
    assert min(ax.get_tightbbox().x0 for ax in fig.axes) > 4


# -------------------------------------------------------------------------------------- elements


def stations(n=20, lon0=0.0):
    rng = np.random.default_rng(0)
    lon = (rng.uniform(-5, 5, n) + lon0 + 180) % 360 - 180
    where = {"lon": ("station", lon), "lat": ("station", rng.uniform(50, 60, n))}
    return xr.DataArray(rng.random(n), where, ("station",), "v")


@pytest.mark.parametrize("lon0", [0, 180])
def test_members_of_stations_are_joined_to_their_anchor(lon0):
    field = stations(lon0=lon0)
    patches = field.patch.split(geometry=xpatch.KNNGraph(4))
    ax, other, *_ = patches.patch.plot(field).axes
    spokes = lines_of(ax)
    assert len(spokes) == 5 * 4  # of five patches
    dots = np.asarray(drawn(ax, PathCollection)[0].get_offsets())
    assert np.ptp(dots[:, 0]) < 10  # also across the dateline
    for spoke in spokes:
        for end in spoke:
            assert np.abs(dots - end).sum(axis=1).min() < 1e-9
    counts = np.bincount(patches["station"].values.ravel(), minlength=20)
    np.testing.assert_array_equal(drawn(other, PathCollection)[0].get_array(), counts)


def test_faces_of_a_mesh_are_polygons_with_their_coverage():
    ux = pytest.importorskip("uxarray")
    from scipy.spatial import ConvexHull

    lon, lat = sphere.fibonacci(60)
    hull = ConvexHull(sphere.unit_vectors(lon, lat))
    grid = ux.Grid.from_topology(lon, lat, hull.simplices.astype(np.int64), fill_value=-1)
    field = ux.UxDataArray(np.arange(grid.n_face, dtype=float), dims=("n_face",), uxgrid=grid)
    patches = field.patch.split(geometry=xpatch.KHopGraph(1), sampler=xpatch.Random(9, seed=0))
    ax, other, *_ = patches.patch.plot(field).axes
    faces = drawn(ax, PathCollection)[0]
    assert len(faces.get_paths()) >= grid.n_face  # those across the end of the map twice
    assert set(faces.get_array()) == set(range(grid.n_face))
    widths = [np.ptp(p.vertices[:, 0]) for p in faces.get_paths()]
    assert np.percentile(widths, 90) < 90
    number = patches["n_face"].values.ravel()
    counts = np.bincount(number[number >= 0], minlength=grid.n_face)
    shown = drawn(other, PathCollection)[0].get_array()
    np.testing.assert_array_equal(shown, counts[faces.get_array().astype(int)])


def test_polygons_keep_their_holes():
    shapely = pytest.importorskip("shapely")
    square = shapely.box(0, 0, 4, 4) - shapely.box(1, 1, 3, 3)
    shapes = [square, shapely.box(1, 1, 3, 3), shapely.box(4, 0, 5, 4)]
    field = xr.DataArray([1.0, 2.0, 3.0], {"zone": shapes}, ("zone",))
    patches = field.patch.split(geometry=xpatch.RadiusGraph(1.0))
    ax = patches.patch.plot(field, coverage=False).axes[0]
    ring = drawn(ax, PathCollection)[0].get_paths()[0]
    assert not ring.contains_point((2, 2)) or len(ring.vertices) == 10
    np.testing.assert_array_equal(drawn(ax, PathCollection)[0].get_array(), [1, 2, 3])


def test_a_hundred_thousand_patches_are_few_artists():
    field = xr.DataArray(np.zeros((400, 600), "f4"), dims=("y", "x"))
    patches = field.chunk().patch.split(
        geometry={"y": 4, "x": 4}, sampler=xpatch.Random(100_000, seed=0)
    )
    ax, other = patches.patch.plot().axes[:2]
    (boxes,) = drawn(ax, PatchCollection)
    assert len(boxes.get_paths()) == 400
    assert len(ax.get_children()) + len(other.get_children()) < 40
    assert ax.get_title() == "100,000 patches, 400 drawn"
    (counted,) = [c for c in other.collections if c.get_array() is not None]
    assert counted.get_array().sum() == 100_000 * 16


def test_many_lists_are_few_artists():
    lon, lat = sphere.fibonacci(20_000)
    field = xr.DataArray(np.zeros(20_000), {"lon": ("s", lon), "lat": ("s", lat)}, ("s",))
    patches = field.patch.split(geometry=xpatch.KNNGraph(5))
    ax = patches.patch.plot().axes[0]
    assert ax.get_title() == "20,000 patches, 50 drawn"
    assert len(lines_of(ax)) <= 5 * 5 * 2
    assert len(ax.get_children()) < 40


# ----------------------------------------------------------------------------- what else there is


def test_places_with_every_window_are_drawn_once():
    time = np.arange("2000-01-01", "2000-01-21", dtype="M8[D]").astype("M8[ns]")
    field = xr.DataArray(np.zeros((20, 8, 8)), {"time": time}, ("time", "y", "x"))
    patcher = xpatch.SpatioTemporalPatcher(
        spatial=xpatch.Patcher({"y": 4, "x": 4}, xpatch.RegularStride(2)),
        temporal=xpatch.TimePatcher(xpatch.FixedLookback(5), xpatch.RegularTimeStride(5)),
    )
    ax, other = field.patch.split(patcher).patch.plot().axes[:2]
    assert ax.get_title() == "36 patches: 9 places, 4 windows in time"
    assert len(drawn(ax, PatchCollection)[0].get_paths()) == 9
    (counted,) = [c for c in other.collections if c.get_array() is not None]
    assert counted.get_array().max() == 4


def test_scenes_have_axes_of_their_own():
    import matplotlib.pyplot as plt

    field = xr.DataArray(np.zeros((8, 8)), {"y": np.arange(8.0), "x": np.arange(8.0)})
    sets = [field.patch.split(geometry={"y": n, "x": n}) for n in (4, 4)]
    both = xpatch.concat(sets, scenes=["north", "south"])
    fig = both.patch.plot()
    assert [ax.get_title() for ax in fig.axes] == ["north: 4 patches", "south: 4 patches"]
    with pytest.raises(ValueError, match=r"2 scenes.*patches\['scene'\] == 'north'"):
        both.patch.plot(field)
    with pytest.raises(ValueError, match="as many axes, got 1"):
        both.patch.plot(ax=plt.subplots()[1])
    one = both.isel(patch=slice(0, 4))
    assert one.patch.plot(field).axes[0].get_title() == "4 patches"


def test_a_field_says_how_to_look_before_it_is_cut():
    field = xr.DataArray(np.zeros((8, 8)), dims=("y", "x"))
    with pytest.raises(ValueError, match=r"has not been split, .*anchors\(field\)"):
        field.patch.plot()
    with pytest.raises(TypeError, match="not both"):
        field.patch.split(geometry={"y": 4}).patch.plot(ax=1, axes=2)


def test_rows_without_labels_are_counted_from_the_top():
    field = xr.DataArray(np.zeros((8, 8)), dims=("y", "x"))
    ax = field.patch.split(geometry={"y": 4, "x": 4}).patch.plot(field).axes[0]
    assert ax.yaxis_inverted()
    assert ax.get_aspect() == 1


def test_axes_of_cartopy():
    ccrs = pytest.importorskip("cartopy.crs")
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(subplot_kw={"projection": ccrs.NorthPolarStereo()})
    field = tilted(0, 80)
    field.patch.split(geometry={"y": 6, "x": 8}).patch.plot(field, ax=ax)
    (cells,) = drawn(ax, PolyCollection)
    assert isinstance(ax.projection, ccrs.NorthPolarStereo)
    assert np.abs(cells.get_datalim(ax.transData).extents).max() > 1e5  # m, not degrees
    bare = xr.DataArray(np.zeros((8, 8)), dims=("y", "x")).patch.split(geometry={"y": 4, "x": 4})
    with pytest.raises(ValueError, match="no CRS"):
        bare.patch.plot(ax=ax)
