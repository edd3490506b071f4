"""`Within`: the anchors whose patch lies in an area, against shapely over all anchors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xpatch
from xpatch import (
    EveryElement,
    Explicit,
    GeoSlice,
    JitteredStride,
    KNNGraph,
    Patcher,
    PoissonDisk,
    Random,
    Rectangular,
    RegularStride,
    SphericalCap,
    Valid,
    Within,
)
from xpatch.spec import decode

rioxarray = pytest.importorskip("rioxarray")
shapely = pytest.importorskip("shapely")
geopandas = pytest.importorskip("geopandas")
affinity = pytest.importorskip("shapely.affinity")
pyproj = pytest.importorskip("pyproj")
rasterio = pytest.importorskip("rasterio")

rng = np.random.default_rng(0)


def plane(ny=40, nx=50, res=10.0, x0=500_000.0, y0=6_000_000.0, crs=32633, flip=False):
    y, x = y0 - res * (np.arange(ny) + 0.5), x0 + res * (np.arange(nx) + 0.5)
    y = y[::-1] if flip else y
    field = xr.DataArray(np.zeros((ny, nx), "u1"), {"y": y, "x": x}, ("y", "x"), name="t")
    return field if crs is None else field.rio.write_crs(crs)


def blob(cx, cy, size, n=7, seed=0):
    """A star-shaped polygon with dents."""
    r = size * np.random.default_rng(seed).uniform(0.2, 1, n)
    a = np.sort(np.random.default_rng(seed + 1).uniform(0, 2 * np.pi, n))
    return shapely.make_valid(
        shapely.Polygon(np.stack([cx + r * np.cos(a), cy + r * np.sin(a)], 1))
    )


def shares(patches, area):
    """The share of each patch that lies in an area, by shapely."""
    boxes = patches.patch.footprints().geometry.values
    return shapely.area(shapely.intersection(np.asarray(boxes), area)) / shapely.area(boxes)


def starts(patches):
    """First label of each patch along y and x."""
    return np.stack([patches.x.values[:, 0], patches.y.values[:, 0]], axis=-1)


# ----------------------------------------------------------------- those of the sampler, in order


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(["shift", "drop", "pad", "wrap"]),
    st.booleans(),
    st.integers(0, 10_000),
    st.sampled_from([0, 0.25, 0.5, 1.0]),
    st.integers(1, 3),
)
def test_a_stride_is_brute_force(rows, columns, step, boundary, flip, seed, fraction, count):
    field = plane(23, 31, 1.0, 0.0, 23.0, crs=None, flip=flip)
    draw = np.random.default_rng(seed)
    area = [
        blob(*draw.uniform(-3, 33, 2), draw.uniform(0.3, 15), draw.integers(3, 90), seed + k)
        for k in range(count)
    ]
    area = [
        p for s in area for p in shapely.get_parts(shapely.get_parts(s)) if p.geom_type == "Polygon"
    ]
    geometry = Rectangular({"y": rows, "x": columns}, boundary={"x": boundary, "y": "shift"})
    sampler = RegularStride(min(step, rows, columns))
    every = field.patch.split(geometry=geometry, sampler=sampler)
    union = shapely.union_all(area)
    if boundary == "wrap":
        union = shapely.union_all([affinity.translate(union, k * 31) for k in (-1, 0, 1, 2)])
    share = shares(every, union)
    near = np.abs(share - fraction) < 1e-7  # by rounding, either is right
    wanted = share >= fraction if fraction else share > 0
    if not wanted[~near].any():
        return
    kept = field.patch.split(geometry=geometry, sampler=Within(sampler, area, fraction))
    labels = starts(every).tolist()
    found = [labels.index(s) for s in starts(kept).tolist()]
    assert found == sorted(found)
    assert set(np.flatnonzero(wanted & ~near)) <= set(found) <= set(np.flatnonzero(wanted | near))


def test_what_only_touches_is_left_out():
    field = plane(8, 8, 1.0, 0.0, 8.0, crs=None)

    def kept(area, **how):
        patches = field.patch.split(4, sampler=Within(RegularStride(4), area, **how))
        return patches.patch.anchors.x.values.tolist()

    assert kept((0, 4, 4, 8)) == [2.5]
    assert kept((0, 4, 4 + 1e-6, 8)) == [2.5, 6.5]
    assert kept(shapely.box(0, 4, 4, 8).union(shapely.Point(6, 6).buffer(0.01))) == [2.5, 6.5]
    assert kept((1, 5, 6, 8), min_fraction=9 / 16) == [2.5]
    assert kept((1, 5, 6, 8), min_fraction=6 / 16) == [2.5, 6.5]
    with pytest.raises(ValueError, match="lies in the area"):
        kept((8, 0, 12, 8))  # beside the field, touching it


def test_one_side_may_stay_whole_and_others_be_cut():
    field = plane(12, 12, 1.0, 0.0, 12.0, crs=None).expand_dims(time=5).copy()
    columns = field.patch.split({"x": 4}, sampler=Within(RegularStride(4), (5, 3, 6, 4)))
    assert columns.x.values[:, 0].tolist() == [4.5]
    for dims in (("time", "y", "x"), ("x", "time", "y"), ("y", "x", "time")):
        own = field.transpose(*dims)
        every = own.patch.split({"time": 2, "y": 4, "x": 4}, sampler=RegularStride(2))
        some = own.patch.split(
            {"time": 2, "y": 4, "x": 4}, sampler=Within(RegularStride(2), (5, 3, 6, 4))
        )
        inside = shares(every, shapely.box(5, 3, 6, 4)) > 0
        for cell in ("start_time", "start_y", "start_x"):
            d = cell.removeprefix("start_")
            expected = every.patch.anchors[f"cell_{d}"].values[inside]
            np.testing.assert_array_equal(some.patch.anchors[f"cell_{d}"].values, expected)


def test_all_patches_are_those_of_the_sampler():
    field = plane()
    every = field.patch.split(8)
    same = field.patch.split(8, sampler=Within(RegularStride(), tuple(field.rio.bounds())))
    xr.testing.assert_equal(same, every)
    assert set(same.coords) == set(every.coords)  # no start of each one is written


def test_labels_that_are_not_even():
    lat = np.array([-80.0, -50, -40, -10, 0, 20, 30, 70])
    field = xr.DataArray(
        np.zeros((8, 12)), {"lat": lat[::-1], "lon": np.arange(12) * 30 + 15.0}, ("lat", "lon")
    )
    every = field.patch.split({"lat": 2, "lon": 2})
    for area in (shapely.box(31, -46, 100, 24), shapely.box(31, -44, 100, 26)):
        some = field.patch.split({"lat": 2, "lon": 2}, sampler=Within(RegularStride(), area))
        inside = shares(every, area) > 0
        np.testing.assert_array_equal(some.lat.values, every.lat.values[inside])
        np.testing.assert_array_equal(some.lon.values, every.lon.values[inside])


def test_rotated_rasters():
    affine = rasterio.Affine(10, 3, 500_000, 4, -10, 6_000_000)
    field = plane().drop_vars(["x", "y"]).rio.write_transform(affine)
    every = field.patch.split({"y": 8, "x": 8})
    area = blob(500_300, 5_999_900, 150, 9)
    some = field.patch.split({"y": 8, "x": 8}, sampler=Within(RegularStride(), area))
    inside = shares(every, area) > 0
    assert 0 < inside.sum() < len(inside)
    for d in ("y", "x"):
        cells = every.patch.anchors[f"cell_{d}"].values[inside]
        np.testing.assert_array_equal(some.patch.anchors[f"cell_{d}"].values, cells)


# ------------------------------------------------------------------------------- other samplers


@pytest.mark.parametrize(
    "sampler",
    [
        EveryElement(),
        JitteredStride(5, seed=1),
        PoissonDisk(4.0, seed=1),
        Explicit([(0, 0), (30, 40), (16, 8), (20, 14), (10, 20)]),
        Valid(RegularStride(4), 0.5),
        Within(RegularStride(4), (500_000, 5_999_600, 500_400, 6_000_000)),
    ],
)
@pytest.mark.parametrize("fraction", [0, 0.5])
def test_proposed_anchors_are_filtered(sampler, fraction):
    field = plane()
    area = blob(500_200, 5_999_800, 190, 12)
    every = field.patch.split(8, sampler=sampler)
    some = field.patch.split(8, sampler=Within(sampler, area, fraction))
    share = shares(every, area)
    inside = share >= fraction if fraction else share > 0
    assert inside.sum() > 0
    np.testing.assert_array_equal(starts(some), starts(every)[inside])


def test_places_keep_their_names_and_patches_their_labels():
    field = plane()
    points = geopandas.GeoSeries(
        shapely.points([500_050, 500_250, 500_450], [5_999_900] * 3),
        index=["a", "b", "c"],
        crs=32633,
    )
    area = shapely.box(500_200, 5_999_600, 500_500, 6_000_000)
    named = field.patch.split(4, sampler=Within(Explicit(points), area))
    assert named.anchor.values.tolist() == ["b", "c"]
    tiles = plane(20, 25, 20.0).patch.split(4)
    some = field.patch.split(8, sampler=Within(Explicit(tiles), area))
    inside = shares(tiles, area) > 0
    np.testing.assert_array_equal(some["patch"].values, np.flatnonzero(inside))


# --------------------------------------------------------------------------------------- random


def coverage(field, geometry, area, fraction=0):
    """The starts whose box is in the area."""
    every = field.patch.split(geometry, sampler=RegularStride(1))
    share = shares(every, area)
    return starts(every)[share >= fraction if fraction else share > 1e-9]


def chi_square(counts):
    expected = counts.sum() / len(counts)
    return ((counts - expected) ** 2 / expected).sum(), len(counts) - 1


@pytest.mark.parametrize("fraction", [0, 0.6])
@pytest.mark.parametrize("few", [True, False])
def test_random_starts_are_equally_likely(monkeypatch, fraction, few):
    if not few:  # tried one by one, not listed
        monkeypatch.setattr("xpatch.sampler.drawing.FEW", 0)
    field = plane(20, 24, 1.0, 0.0, 20.0, crs=None)
    area = [shapely.box(1, 1, 9, 9), shapely.box(2, 2, 9, 9), blob(17, 12, 6, 9)]
    possible = coverage(field, 3, shapely.union_all(area), fraction)
    sampler = Random(40 * len(possible), seed=3, replace=True)
    patches = field.patch.split(3, sampler=Within(sampler, area, fraction))
    found, counts = np.unique(starts(patches), axis=0, return_counts=True)
    assert {tuple(s) for s in found} == {tuple(s) for s in possible}
    value, degrees = chi_square(counts)
    assert value < degrees + 5 * np.sqrt(2 * degrees)


def test_where_files_overlap_starts_count_once():
    field = plane(100, 1000, 1.0, 0.0, 100.0, crs=None)
    one, other = shapely.box(0, 0, 900, 100), shapely.box(900, 0, 1000, 100)
    files = [one, other, other]  # by their area the second region would have twice its share
    sampler = Random(20_000, seed=0, replace=True)
    drawn = field.patch.split(1, sampler=Within(sampler, files))
    assert (starts(drawn)[:, 0] < 900).mean() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("few", [True, False])
def test_random_without_replacement(monkeypatch, few):
    if not few:
        monkeypatch.setattr("xpatch.sampler.drawing.FEW", 0)
    field = plane(20, 24, 1.0, 0.0, 20.0, crs=None)
    area = blob(12, 10, 9, 9)
    possible = {tuple(s) for s in coverage(field, 3, area)}
    n = len(possible) // 8

    def draw(n, seed, **how):
        sampler = Within(Random(n, seed=seed, **how), area)
        return [tuple(s) for s in starts(field.patch.split(3, sampler=sampler))]

    found = draw(n, 5)
    assert len(set(found)) == n
    assert set(found) <= possible
    assert draw(n, 5) == found != draw(n, 6)
    assert set(draw(len(possible), 0)) == possible
    with pytest.raises(ValueError, match=f"more than the {len(possible)} different"):
        draw(len(possible) + 1, 0)


def test_random_snaps_and_draws_other_dimensions():
    field = plane(20, 24, 1.0, 0.0, 20.0, crs=None).expand_dims(time=6).copy()
    sampler = Within(Random(60, seed=0, snap={"x": 3}), (4, 4, 12, 12))
    patches = field.patch.split({"time": 2, "y": 3, "x": 3}, sampler=sampler)
    cells = patches.patch.anchors
    assert set(np.unique(cells.cell_x)) <= {1 + 3 * k for k in range(1, 4)}
    assert set(np.unique(cells.cell_time)) == {1, 2, 3, 4, 5}
    assert (shares(patches, shapely.box(4, 4, 12, 12)) > 0).all()
    every = np.stack([cells[f"cell_{d}"] for d in ("time", "y", "x")])
    assert len(np.unique(every, axis=1).T) == 60


def test_hardly_any_start_is_said(monkeypatch):
    monkeypatch.setattr("xpatch.sampler.drawing.FEW", 10_000)
    field = plane(4000, 4000, 1.0, 0.0, 4000.0, crs=None)
    area = shapely.LineString([(0, 0), (4000, 4000)]).buffer(1)
    with pytest.raises(ValueError, match="hardly any"):
        field.patch.split(100, sampler=Within(Random(1, seed=0), area, 0.9))


# ---------------------------------------------------------------------------------- other CRSs


def moved(area, source, target):
    """An area with dense edges, transformed by geopandas."""
    size = max(np.ptp(shapely.bounds(area)[::2]), np.ptp(shapely.bounds(area)[1::2]))
    return geopandas.GeoSeries([area], crs=source).segmentize(size / 5000).to_crs(target)[0]


def check_against(field, size, area, source, **how):
    every = field.patch.split(size)
    some = field.patch.split(size, sampler=Within(RegularStride(), area, **how))
    crs = every.patch.footprints().crs
    share = shares(every, moved(area, source, crs))
    clear = (share > 1e-3) | (share == 0)
    labels = starts(every).tolist()
    found = np.zeros(len(share), bool)
    found[[labels.index(s) for s in starts(some).tolist()]] = True
    assert 0 < found.sum() < len(found)
    np.testing.assert_array_equal(found[clear], share[clear] > 0)


def test_edges_of_long_polygons_bend():
    field = plane(200, 200, 5000.0, 0.0, 6_500_000.0)
    area = shapely.Polygon([(10, 52), (20, 52), (20, 52.4), (10, 52.4)])  # four corners, 700 km
    check_against(field, 8, geopandas.GeoSeries([area], crs=4326).iloc[0], 4326, crs=4326)
    series = field.patch.split(
        8, sampler=Within(RegularStride(), geopandas.GeoSeries([area], crs=4326))
    )
    plain = field.patch.split(8, sampler=Within(RegularStride(), area, crs="EPSG:4326"))
    frame = geopandas.GeoDataFrame(geometry=[area], crs=4326)
    table = field.patch.split(8, sampler=Within(RegularStride(), frame))
    slices = field.patch.split(
        8, sampler=Within(RegularStride(), [GeoSlice(area.bounds, crs=4326)])
    )
    for other in (plain, table, slices):
        np.testing.assert_array_equal(starts(series), starts(other))


def test_areas_far_beyond_the_field():
    field = plane(40, 40, 1000.0)
    world = GeoSlice((-180, -90, 180, 90), crs=4326)
    assert field.patch.split(8, sampler=Within(RegularStride(), world)).sizes["patch"] == 25
    north = shapely.box(-180, 54, 180, 90)
    check_against(field, 8, shapely.box(10, 54, 20, 60), 4326, crs=4326)
    every = field.patch.split(8, sampler=Within(RegularStride(), north, crs=4326))
    near = field.patch.split(
        8, sampler=Within(RegularStride(), shapely.box(10, 54, 20, 60), crs=4326)
    )
    np.testing.assert_array_equal(starts(every), starts(near))


def globe(first=0.0, res=5.0):
    lon, lat = first + res * (np.arange(360 / res) + 0.5), 90 - res * (np.arange(180 / res) + 0.5)
    return xr.DataArray(
        np.zeros((len(lat), len(lon))), {"y": lat, "x": lon}, ("y", "x")
    ).rio.write_crs(4326)


@pytest.mark.parametrize("first", [0.0, -180.0])
@pytest.mark.parametrize(
    "area",
    [
        GeoSlice((171, -19, -171, -11), crs=4326),
        shapely.box(171, -19, 189, -11),
        shapely.box(-189, -19, -171, -11),
        shapely.MultiPolygon([shapely.box(171, -19, 180, -11), shapely.box(-180, -19, -171, -11)]),
    ],
)
def test_across_the_date_line_on_globes(first, area):
    some = globe(first).patch.split(2, sampler=Within(RegularStride(), area))
    x, y = starts(some).T  # boxes of 10 degrees
    assert sorted(set((x - 2.5) % 360)) == [170, 180]
    assert set(y) == {-12.5}


def test_across_the_date_line_on_projected_fields():
    field = plane(
        80, 160, 25_000.0, -2_000_000.0, 1_000_000.0, crs="+proj=laea +lat_0=0 +lon_0=180"
    )
    split = [GeoSlice((175, -3, 180, 3), crs=4326), GeoSlice((-180, -3, -175, 3), crs=4326)]
    whole = field.patch.split(
        8, sampler=Within(RegularStride(), GeoSlice((175, -3, -175, 3), crs=4326))
    )
    parts = field.patch.split(8, sampler=Within(RegularStride(), split))
    np.testing.assert_array_equal(starts(whole), starts(parts))
    assert whole.patch.footprints().total_bounds[0] < 0 < whole.patch.footprints().total_bounds[2]


@pytest.mark.parametrize("first", [0.0, -180.0])
@pytest.mark.parametrize(
    ("bounds", "crs"),
    [
        ((-1.5e6, -1.5e6, 1.5e6, 1.5e6), 3413),
        ((-0.4e6, -1.9e6, 2.6e6, 1.1e6), 3031),  # around the south pole, off its center
        ((500_000, 8_000_000, 900_000, 8_100_000), 32760),  # across the date line
    ],
)
def test_footprints_over_a_pole_or_the_date_line_on_globes(first, bounds, crs):
    some = globe(first).patch.split(2, sampler=Within(RegularStride(), GeoSlice(bounds, crs=crs)))
    x, y = np.meshgrid(np.linspace(*bounds[::2], 401), np.linspace(*bounds[1::2], 401))
    lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    points = np.stack([(lon - first) % 360 // 10, (90 - lat) // 10]).reshape(2, -1).astype(int)
    expected = {tuple(p) for p in np.unique(points, axis=1).T.tolist()}
    anchors = some.patch.anchors
    found = zip((anchors.cell_x.values - 1) // 2, (anchors.cell_y.values - 1) // 2, strict=True)
    assert set(found) == expected


def test_a_ring_around_a_pole_leaves_it_out():
    ring = shapely.Point(0, 0).buffer(3.2e6, 200) - shapely.Point(0, 0).buffer(2.3e6, 200)
    area = geopandas.GeoSeries([ring], crs=3413)  # of 61 to 69 degrees north
    some = globe().patch.split(2, sampler=Within(RegularStride(), area))
    assert some.sizes["patch"] == 36
    assert set(starts(some)[:, 1]) == {67.5}


def test_across_the_seam_of_a_periodic_field():
    boxes = Rectangular({"y": 2, "x": 4}, boundary={"x": "wrap"})
    some = globe().patch.split(boxes, sampler=Within(RegularStride(2), (1, 1, 4, 4)))
    assert starts(some).tolist() == [[2.5, 7.5], [352.5, 7.5]]


# ------------------------------------------------------------------------------ lists of members


def test_members_are_kept_by_their_anchor():
    lon, lat = rng.uniform(0, 20, 60), rng.uniform(40, 60, 60)
    stations = xr.DataArray(np.zeros(60), {"lon": ("s", lon), "lat": ("s", lat)}, ("s",))
    area = blob(10, 50, 8, 9)
    every = stations.patch.split(KNNGraph(3))
    some = stations.patch.split(KNNGraph(3), sampler=Within(EveryElement(), area, crs=4326))
    inside = shapely.intersects_xy(area, lon, lat)
    np.testing.assert_array_equal(some.anchor_element, every.anchor_element.values[inside])
    on_border = (lon[3], 0, 30, 90)
    kept = stations.patch.split(KNNGraph(1), sampler=Within(EveryElement(), on_border))
    assert 3 in kept.anchor_element.values
    with pytest.raises(ValueError, match="min_fraction is that of boxes"):
        stations.patch.split(KNNGraph(3), sampler=Within(EveryElement(), area, 0.5))
    with pytest.raises(ValueError, match="lies in the area"):
        stations.patch.split(KNNGraph(3), sampler=Within(EveryElement(), (50, 50, 51, 51)))


def test_caps_across_the_date_line():
    sampler = Within(xpatch.FibonacciSphere(400), GeoSlice((170, -30, -170, 30), crs=4326))
    places = (
        globe()
        .rename(y="lat", x="lon")
        .drop_vars("spatial_ref")
        .patch.split(SphericalCap(800), sampler=sampler)
        .patch.places
    )
    assert ((places.lon.values % 360 >= 170) & (places.lon.values % 360 <= 190)).all()
    assert len(set(places.lon.values % 360 > 180)) == 2


# --------------------------------------------------------------------------- large grids, files


class Bare(xr.backends.BackendArray):
    """An array on disk that must not be read."""

    def __init__(self, shape):
        self.shape, self.dtype = shape, np.dtype("u1")

    def __getitem__(self, key):
        raise AssertionError("read")


def europe(ny=400_000, nx=500_000):
    data = xr.core.indexing.LazilyIndexedArray(Bare((ny, nx)))
    y, x = 5_500_000 - 10 * (np.arange(ny) + 0.5), 2_000_000 + 10 * (np.arange(nx) + 0.5)
    coords = {"y": y, "x": x}
    return xr.DataArray(xr.Variable(("y", "x"), data), coords).rio.write_crs(3035)


def files(count, size=109_800.0):
    corners = np.random.default_rng(1).uniform((2e6, 1.6e6), (6.9e6, 5.3e6), (count, 2))
    return np.array([affinity.rotate(shapely.box(x, y, x + size, y + size), 3) for x, y in corners])


def test_a_continent_at_ten_meters_is_planned_where_files_are():
    footprints = files(20)
    domain = xpatch.domain_of(europe())
    geometry = Rectangular({"y": 256, "x": 256})
    anchors = Within(RegularStride(256), footprints).places(domain, geometry)
    assert not anchors.product
    y, x = anchors.axes
    boxes = shapely.box(
        2e6 + 10.0 * x, 5.5e6 - 10.0 * (y + 256), 2e6 + 10.0 * (x + 256), 5.5e6 - 10.0 * y
    )
    tree = shapely.STRtree(footprints)
    assert len(np.unique(tree.query(boxes, predicate="intersects")[0])) == len(boxes)
    # the first file has no box beside those that were kept
    left, bottom, right, top = footprints[0].bounds
    rows = (
        np.unique(np.arange((5.5e6 - top) // 10, (5.5e6 - bottom) // 10) // 256).astype(int) * 256
    )
    columns = np.unique(np.arange((left - 2e6) // 10, (right - 2e6) // 10) // 256).astype(int) * 256
    yy, xx = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
    near = shapely.box(
        2e6 + 10.0 * xx, 5.5e6 - 10.0 * (yy + 256), 2e6 + 10.0 * (xx + 256), 5.5e6 - 10.0 * yy
    )
    meets = shapely.area(shapely.intersection(near, footprints[0])) > 0
    assert {*zip(yy[meets], xx[meets], strict=True)} <= {*zip(y, x, strict=True)}
    drawn = Within(Random(500, seed=0), footprints).places(domain, geometry)
    assert len(drawn.axes[0]) == 500


def test_patches_come_back_from_files(tmp_path):
    field = plane()
    area = geopandas.GeoSeries([blob(500_200, 5_999_800, 150, 9)], crs=32633)
    patches = field.patch.split(8, sampler=Within(RegularStride(4), area))
    patches.to_netcdf(tmp_path / "p.nc")
    with xr.open_dataarray(tmp_path / "p.nc", decode_coords="all") as back:
        merged = back.load().patch.merge()
        np.testing.assert_array_equal(merged.values, patches.patch.merge().values)
        assert back.patch.spec == patches.patch.spec


@pytest.mark.parametrize(
    "area",
    [
        (500_000, 5_999_700, 500_200, 5_999_900),
        GeoSlice((500_000, 5_999_700, 500_200, 5_999_900), crs=32633),
        [GeoSlice((14.99, 54.14, 15.01, 54.16), crs=4326)],
        blob(500_200, 5_999_800, 150, 9),
        geopandas.GeoSeries([blob(500_200, 5_999_800, 150, 9)], crs=32633),
    ],
)
def test_the_area_is_written_with_the_specification(area):
    field = plane()
    sampler = Within(RegularStride(4), area, 0.25)
    patches = field.patch.split(8, sampler=sampler)
    spec = json.loads(json.dumps(patches.patch.spec))
    again = field.patch.split(Patcher.from_spec(spec))
    np.testing.assert_array_equal(starts(again), starts(patches))
    assert decode(json.loads(json.dumps(sampler.to_dict()))).min_fraction == 0.25


def test_large_areas_do_not_swell_the_recipe():
    field = plane()
    many = [blob(500_200, 5_999_800, 150, 9, k) for k in range(0, 300, 9)]
    many = (
        shapely.union_all(many),
        *[shapely.box(5e5 + k, 5_999_600, 5e5 + k + 3, 6e6) for k in range(0, 300, 9)],
    )
    nested = Within(Valid(Explicit([(a, b) for a in range(32) for b in range(42)])), list(many))
    patches = field.patch.split(8, sampler=nested)
    assert len(patches["patch"].attrs["xpatch_recipe"]) < 6000
    with pytest.raises(ValueError, match="cannot be written"):
        Patcher.from_spec(patches.patch.spec)


def test_compares_by_value():
    area = blob(0, 0, 5)
    one = Within(RegularStride(4), area, crs=4326)
    assert one == Within(RegularStride(4), shapely.from_wkb(area.wkb), crs="EPSG:4326")
    assert hash(one) == hash(Within(RegularStride(4), area, crs="EPSG:4326"))
    assert one != Within(RegularStride(4), area)
    assert one != Within(RegularStride(4), blob(0, 0, 6), crs=4326)
    assert one != Within(RegularStride(4), area, 0.5, crs=4326)
    assert (
        repr(Within(RegularStride(4), (0, 0, 1, 1)))
        == "Within(RegularStride(step=4), (0, 0, 1, 1))"
    )


# ----------------------------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("area", "how", "error", "says"),
    [
        (shapely.Point(0, 0), {}, TypeError, "got a Point; buffer it"),
        (
            shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]),
            {},
            ValueError,
            "not valid .*make_valid",
        ),
        (shapely.Polygon(), {}, ValueError, "empty"),
        ([None, shapely.box(0, 0, 1, 1)], {}, TypeError, "area must be polygons"),
        ([shapely.box(0, 0, 1, 1), None], {}, ValueError, "missing"),
        (7, {}, TypeError, "area must be polygons"),
        ([], {}, ValueError, "area is empty"),
        ("everywhere", {}, ValueError, "no WKT of polygons"),
        ((4, 0, 1, 1), {}, ValueError, "left 4"),
        (geopandas.GeoSeries([shapely.box(0, 0, 1, 1)]), {}, ValueError, "knows no CRS"),
        (shapely.box(0, 0, 1, 1), {"min_fraction": 2}, ValueError, "between 0 and 1"),
    ],
)
def test_areas_are_checked(area, how, error, says):
    with pytest.raises(error, match=says):
        plane().patch.split(8, sampler=Within(RegularStride(), area, **how))


def test_an_area_elsewhere_says_where_both_are():
    field = plane()
    says = r"bounds are \(5000, 0, 6000, 1000\), those of the field \(500000, 5999600, 500500, 6000000\)"
    with pytest.raises(ValueError, match=says):
        field.patch.split(8, sampler=Within(RegularStride(), (5000, 0, 6000, 1000)))
    degrees = GeoSlice((14.9, 53, 15.1, 53.1), crs=4326)
    with pytest.raises(ValueError, match=r"bounds are \(49\d{4}\.?\d*, 58"):
        field.patch.split(8, sampler=Within(RegularStride(), degrees))
    for sampler in (Random(5, seed=0), Explicit([(0, 0)])):
        with pytest.raises(ValueError, match="lies in the area"):
            field.patch.split(
                8, sampler=Within(sampler, (500_400, 5_999_600, 500_401, 5_999_601), 0.9)
            )


def test_fields_without_places_are_refused():
    bare = xr.DataArray(np.zeros((8, 8)), dims=("y", "x"))
    with pytest.raises(ValueError, match="where the cells along 'y' are"):
        bare.patch.split(4, sampler=Within(RegularStride(), (0, 0, 1, 1)))
    unknown = plane(crs=None)
    with pytest.raises(ValueError, match="field has no CRS"):
        unknown.patch.split(8, sampler=Within(RegularStride(), GeoSlice((0, 0, 1, 1), crs=4326)))
    depth = xr.DataArray(np.zeros(8), {"z": np.arange(8.0)}, ("z",))
    with pytest.raises(ValueError, match="cut along"):
        depth.patch.split({"z": 2}, sampler=Within(RegularStride(), (0, 0, 1, 1)))
    lon, lat = np.meshgrid(np.arange(8.0), np.arange(8.0))
    swath = xr.DataArray(
        np.zeros((8, 8)), {"lon": (("j", "i"), lon + lat / 9), "lat": (("j", "i"), lat)}, ("j", "i")
    )
    with pytest.raises(ValueError, match="curvilinear"):
        swath.patch.split({"j": 4, "i": 4}, sampler=Within(RegularStride(), (0, 0, 1, 1)))
    with pytest.raises(TypeError, match="wraps a sampler"):
        Within(xpatch.RegularTimeStride(2), (0, 0, 1, 1))


def test_where_the_crs_of_the_field_is_torn():
    field = plane(80, 160, 250_000.0, -2.01e7, 1e7, crs="+proj=merc +lon_0=180")
    across = shapely.box(-5, -5, 5, 5)  # both ends of the axis of the field
    with pytest.raises(ValueError, match="torn"):
        field.patch.split(8, sampler=Within(RegularStride(), across, crs=4326))
