"""Pictures of each domain: what is drawn is where it is, counts are right, and artists are few."""

from __future__ import annotations

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

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


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
