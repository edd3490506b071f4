"""Geometries in other CRSs: against pyproj at points that are drawn, and geopandas at dense edges."""

from __future__ import annotations

import numpy as np
import pytest

from xpatch.domain.areas import cap, cut, moved

geopandas = pytest.importorskip("geopandas")
pyproj = pytest.importorskip("pyproj")
shapely = pytest.importorskip("shapely")

TURNS = (-720, -360, 0, 360, 720)


def disc(radius, x=0.0, y=0.0):
    return shapely.Point(x, y).buffer(radius, 32)


def box(west, south, east, north):
    return shapely.Polygon([(west, south), (east, south), (east, north), (west, north)])


ROTATED = pyproj.CRS.from_cf(
    {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
    }
)
POLAR = {
    "around the pole in degrees of a rotated pole": (
        box(-30, 20, 30, 60) - disc(3, 0, 50),
        ROTATED,
    ),
    "off the pole": (box(1e6, 1e6, 2e6, 3e6), 3413),
    "around the pole": (disc(2e6, 3e5, -2e5), 3413),
    "around the south pole": (disc(2e6, -3e5, 8e5), 3031),
    "with a hole around the pole": (disc(3e6) - disc(1.1e6, 2e5, 4e5), 3413),
    "with a hole around the south pole": (disc(3e6) - disc(1.1e6, 2e5, 4e5), 3031),
    "with holes around the pole and at the dateline": (
        disc(3e6) - disc(9e5) - disc(5e5, -1.5e6, 1.5e6) - disc(4e5, 1.5e6, 1.5e6),
        3413,
    ),
    "with a hole a turn further than its shell": (
        box(-3e6, 2e5, 3e6, 3e6) - disc(3e5, -9e5, 1e6) - disc(3e5, 1.5e6, 1e6),
        3413,
    ),
    "with a corner at the pole": (box(0, 0, 2e6, 1e6), 3413),
    "with a reentrant corner at the pole": (box(-2e6, -1e6, 2e6, 1e6) - box(0, 0, 3e6, 2e6), 3413),
    "with a right angle at the pole where it starts": (
        shapely.Polygon([(1e6, 0), (0, 0), (0, 1e6), (1e6, 1e6)]),
        3031,
    ),
    "with a corner at the pole of Europe's projection": (
        shapely.Polygon([(-1e6, 6e6), (4321000, 8390190.613816), (6e6, 6e6)]),
        3035,
    ),
    "across the dateline": (box(1e5, 5e6, 9e5, 7.5e6), 32601),
    "of several parts": (
        shapely.MultiPolygon([disc(4e5, 1e6, 0), disc(5e5), disc(6e5, -2e6, 2e6)]),
        3413,
    ),
}


@pytest.mark.parametrize("name", POLAR)
def test_polygons_hold_the_same_places_in_degrees(name):
    area, crs = POLAR[name]
    if name.endswith("projection"):  # its corner is as near to the pole as can be written
        x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(0, 90)
        area = shapely.Polygon([(x - 3e6, y - 2e6), (x, y), (x + 2e6, y - 2e6)])
    random = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(random.uniform(-1, 1, 60_000)))
    lat[::3] = np.sign(lat[::3]) * random.uniform(85, 90, 20_000)
    lon = random.uniform(-180, 180, len(lat))
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    x, y = np.where(np.isfinite([x, y]), [x, y], 1e12)
    inside = shapely.contains_xy(area, x, y)
    near = shapely.distance(area.boundary, shapely.points(x, y)) < 1e-6 * shapely.length(area)
    assert inside.sum() > 100
    parts = moved(area, crs, 4326)
    assert shapely.is_valid(parts).all()
    found = [shapely.contains_xy(p, lon + turn, lat) for p in parts for turn in TURNS]
    np.testing.assert_array_equal(np.any(found, axis=0)[~near], inside[~near])


def test_caps_reach_from_dateline_to_dateline_without_a_seam():
    [whole] = moved(disc(2e6, 3e5, -2e5), 3413, 4326)
    assert whole.geom_type == "Polygon"
    assert whole.bounds[0::2] == (-180, 180)
    assert whole.bounds[3] == 90
    ring = np.array([[10.0, 80], [130, 70], [250, 75]])
    assert cap(ring, 90).equals(cap(ring[::-1], 90))
    assert cap(ring, 90).area == pytest.approx((15 + 17.5 + 12.5) * 120)
    [band] = moved(disc(3e6) - disc(2e6), 3031, 4326)
    assert not shapely.intersects_xy(band, [-180, 0, 180], -89.0).any()
    assert shapely.intersects_xy(band, [-180, -90, 0, 90, 180], -67.0).all()


@pytest.mark.parametrize("near", [1.0, 1000.0])
def test_edges_are_followed_to_a_tolerance(near):
    area = box(10, 52, 20, 52.4)
    [found] = moved(area, 4326, 32633, near)
    dense = geopandas.GeoSeries([area], crs=4326).segmentize(1e-3).to_crs(32633)[0]
    assert dense.hausdorff_distance(found) < 1.5 * near + 0.01
    assert shapely.get_num_coordinates(found) < 900 / np.sqrt(near)
    [by_default] = moved(area, 4326, 32633)
    assert dense.hausdorff_distance(by_default) < 0.2


def test_points_and_lines():
    shapes = shapely.GeometryCollection(
        [
            shapely.Point(4e5, 5e6),
            shapely.GeometryCollection([shapely.LineString([(4e5, 5e6), (5e5, 6e6)])]),
            shapely.MultiPoint([(5e5, 5e6), (6e5, 5.5e6)]),
            shapely.LinearRing([(4e5, 5e6), (5e5, 5e6), (5e5, 6e6)]),
            shapely.Polygon(),
        ]
    )
    found = moved([shapes, None], 32632, 4326)
    assert sorted(p.geom_type for p in found) == ["LineString"] * 2 + ["Point"] * 3
    move = pyproj.Transformer.from_crs(32632, 4326, always_xy=True)
    expected = {move.transform(*p) for p in ((4e5, 5e6), (5e5, 5e6), (6e5, 5.5e6))}
    assert {p.coords[0] for p in found if p.geom_type == "Point"} == expected
    given = [shapely.LineString(shapes.geoms[3]), shapes.geoms[1].geoms[0]]
    dense = geopandas.GeoSeries(given, crs=32632).segmentize(100).to_crs(4326)
    lines = shapely.union_all([p for p in found if p.geom_type == "LineString"])
    assert lines.hausdorff_distance(dense.union_all()) < 1e-5
    assert len(moved(shapely.Polygon(), 32632, 4326)) == 0
    across = moved(shapely.LineString([(-1e6, 1e6), (-2e6, 1e6), (0, 2e6)]), 3413, 4326)[0]
    assert np.abs(np.diff(shapely.get_coordinates(across)[:, 0])).max() < 20
    to_pole = moved(shapely.LineString([(0, 0), (1e6, 0)]), 3413, 4326)[0]
    np.testing.assert_allclose(shapely.get_coordinates(to_pole)[:, 0], 45)


@pytest.mark.parametrize(
    ("area", "source", "target", "says"),
    [
        (box(-5, -5, 5, 5), 4326, "+proj=merc +lon_0=180", "torn"),
        (box(-180, -90, 180, 90), 4326, 32632, "torn"),
        (box(-1, 80, 1, 90), 4326, "+proj=lcc +lat_1=-33 +lat_2=-45", "no coordinates"),
        (box(0, -1e6, 1e6, 1e6), 3413, 4326, "goes through a pole"),
        (disc(1.27e7), "+proj=laea +lat_0=0 +lon_0=0", 4326, "both poles"),
    ],
)
def test_areas_that_cannot_be_moved(area, source, target, says):
    with pytest.raises(ValueError, match=says):
        moved(area, source, target)


def test_longitudes_are_cut_at_the_dateline():
    parts = cut([box(170, 0, 190, 1), box(-200, 3, -170, 4), shapely.Point(185, 2)])
    there = shapely.union_all(parts)
    expected = [box(170, 0, 180, 1), box(-180, 0, -170, 1), box(160, 3, 180, 4)]
    expected += [box(-180, 3, -170, 4), shapely.Point(-175, 2)]
    assert there.equals(shapely.union_all(expected))
    assert len(cut(box(10, 10, 20, 20), (-30, -30, 5, 5))) == 0
