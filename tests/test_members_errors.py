"""Bad input to geometries of members is told what was expected, what came and how to mend it."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import xarray as xr

import xpatch
from tests.test_members import globe, stations

BOX = shapely.box(0, 0, 50, 50)


def plane(n=30):
    x, y = np.random.default_rng(0).uniform(0, 100, (2, n))
    return xr.DataArray(np.arange(float(n)), {"x": ("p", x), "y": ("p", y)}, ("p",))


def shapes(*geometries):
    return xr.DataArray(np.arange(float(len(geometries))), {"g": list(geometries)}, ("g",))


def raster(crs=32633):
    field = xr.DataArray(np.zeros((4, 5)), {"y": np.arange(4.0), "x": np.arange(5.0)}, ("y", "x"))
    import rioxarray  # noqa: F401

    return field.rio.write_crs(crs)


def unlocated(n=4):
    return xr.DataArray(np.zeros(n), dims="n_face")


def mesh_field():
    import uxarray as ux

    from tests.element_strategies import mesh

    return ux.UxDataArray(xr.DataArray(np.zeros(44), dims="n_face"), uxgrid=mesh())


SPECS = [
    (lambda: xpatch.KNNGraph(0), ValueError, "k of KNNGraph must be at least 1, got 0"),
    (lambda: xpatch.KNNGraph(2.0), TypeError, "must be an int, got 2.0"),
    (lambda: xpatch.KNNGraph(3, "manhattan"), ValueError, "'haversine'.* or a callable"),
    (lambda: xpatch.RadiusGraph(0), ValueError, "radius of RadiusGraph must be positive"),
    (lambda: xpatch.RadiusGraph("5km"), TypeError, "must be a number, got '5km'"),
    (lambda: xpatch.SphericalCap(-1.0), ValueError, "radius_km of SphericalCap must be positive"),
    (lambda: xpatch.SphericalCap(np.nan), ValueError, "positive and finite"),
    (lambda: xpatch.KHopGraph(0), ValueError, "hops of KHopGraph must be at least 1"),
    (lambda: xpatch.PolygonIntersection(), TypeError, "needs polygons"),
    (lambda: xpatch.FibonacciSphere(0), ValueError, "n of FibonacciSphere must be at least 1"),
]


@pytest.mark.parametrize(("make", "error", "message"), SPECS)
def test_specifications(make, error, message):
    with pytest.raises(error, match=message):
        make()


SPLITS = {
    "k larger than n": (
        stations,
        xpatch.KNNGraph(301),
        None,
        "more neighbors than the 300 .* at most 300",
    ),
    "caps without CRS": (plane, xpatch.SphericalCap(5), None, "have no CRS; write one"),
    "degrees as a length": (
        stations,
        xpatch.RadiusGraph(5, "euclidean"),
        None,
        "would measure degrees.*haversine",
    ),
    "metres as km": (
        stations,
        xpatch.RadiusGraph(50_000),
        None,
        "half around the Earth.*are in km",
    ),
    "hops off a mesh": (stations, xpatch.KHopGraph(1), None, "lies on PointDomain.*uxarray"),
    "a mesh without grid": (unlocated, xpatch.KNNGraph(2), None, "grid of uxarray is missing"),
    "a mesh without grid, hops": (
        unlocated,
        xpatch.KHopGraph(2),
        None,
        "grid of uxarray is missing",
    ),
    "boxes of points": (
        stations,
        xpatch.Rectangular(obs=3),
        None,
        "no order in space; use KNNGraph",
    ),
    "boxes of a mesh": (mesh_field, xpatch.Rectangular(n_face=3), None, "on a mesh KHopGraph"),
    "boxes by a bare size": (plane, xpatch.Rectangular(3), None, "no order in space"),
    "strides of points": (
        stations,
        xpatch.KNNGraph(2),
        xpatch.RegularStride(2),
        "use PoissonDisk.*FibonacciSphere",
    ),
    "jitter of points": (stations, xpatch.KNNGraph(2), xpatch.JitteredStride(2), "use PoissonDisk"),
    "an overlap of caps": (
        globe,
        xpatch.SphericalCap(900),
        xpatch.RegularStride(overlap=2),
        "no size",
    ),
    "a number too large": (
        stations,
        xpatch.KNNGraph(2),
        xpatch.Explicit([300]),
        "300 is not one of",
    ),
    "numbers that are floats": (
        stations,
        xpatch.KNNGraph(2),
        xpatch.Explicit([1.5]),
        "must be ints",
    ),
    "no anchors": (stations, xpatch.KNNGraph(2), xpatch.Explicit([]), "no anchors"),
    "starts": (stations, xpatch.KNNGraph(2), xpatch.Explicit([1], at="start"), "are centers"),
    "a latitude of 95": (
        stations,
        xpatch.KNNGraph(2),
        xpatch.Explicit({"lon": [0], "lat": [95]}),
        "outside of ±90",
    ),
    "labels without latitude": (
        stations,
        xpatch.KNNGraph(2),
        xpatch.Explicit({"lon": [0]}),
        "need one latitude",
    ),
    "an anchor far from all": (
        plane,
        xpatch.RadiusGraph(1.0),
        xpatch.Explicit({"x": [900], "y": [900]}),
        r"finds no element around 1 of 1 anchors, the first at \(900, 900\)",
    ),
    "too many samples": (plane, xpatch.KNNGraph(2), xpatch.Random(31), "more than the 30 anchors"),
    "nothing valid": (
        lambda: plane().where(False),
        xpatch.KNNGraph(2),
        xpatch.Valid(xpatch.EveryElement()),
        "lower min",
    ),
    "a metric that gives NaN": (
        plane,
        xpatch.KNNGraph(2, metric=lambda a, b: np.nan),
        None,
        "gave NaN for the distance",
    ),
    "a latitude out of range": (
        lambda: stations().assign_coords(lat=stations().lat + 60),
        xpatch.KNNGraph(2),
        None,
        "latitude of .* is outside of ±90",
    ),
    "an empty geometry": (
        lambda: shapes(shapely.Point(0, 0), shapely.Point()),
        xpatch.KNNGraph(1),
        None,
        "1 of the geometries along 'g' are missing or empty, the first at position 1",
    ),
    "mixed geometries": (
        lambda: shapes(shapely.Point(0, 0), BOX),
        xpatch.KNNGraph(1),
        None,
        "of mixed types",
    ),
    "polygons in degrees": (
        lambda: shapes(BOX, BOX).pipe(in_degrees),
        xpatch.RadiusGraph(5),
        None,
        "reproject.*SphericalCap",
    ),
    "points for polygons": (
        plane,
        xpatch.PolygonIntersection([shapely.Point(0, 0)]),
        None,
        "expects polygons, got a Point",
    ),
    "no polygons": (plane, xpatch.PolygonIntersection([]), None, "non-empty series"),
    "polygons with a CRS, a field without": (
        plane,
        xpatch.PolygonIntersection([BOX], crs=4326),
        None,
        "the field has no CRS; write one",
    ),
    "a grid without coordinates": (
        lambda: xr.DataArray(np.zeros((3, 4)), dims=("y", "x")),
        xpatch.KNNGraph(2),
        None,
        "numeric coordinates along 'x'",
    ),
    "a field without a horizontal": (
        lambda: xr.DataArray(np.zeros(3), {"z": [1, 2, 3]}, ("z",)),
        xpatch.KNNGraph(2),
        None,
        "need horizontal coordinates",
    ),
    "a margin": (stations, xpatch.KNNGraph(3), None, "have no sides"),
    "outlines of a curvilinear grid": (
        lambda: xr.DataArray(
            np.zeros((2, 2)),
            {"lat": (("j", "i"), [[0, 1], [0, 1.0]]), "lon": (("j", "i"), [[0, 1], [0, 1.0]])},
            ("j", "i"),
        ),
        xpatch.PolygonIntersection([BOX], all_touched=True),
        None,
        "outlines of cells",
    ),
}


def in_degrees(field):
    import xvec  # noqa: F401

    return field.xvec.set_geom_indexes("g", crs=4326)


@pytest.mark.parametrize("name", SPLITS)
def test_splits(name):
    make, geometry, sampler, message = SPLITS[name]
    window = xpatch.Boxcar(2) if name == "a margin" else None
    with pytest.raises((ValueError, KeyError, TypeError), match=message):
        make().patch.split(geometry=geometry, sampler=sampler, window=window)


def test_several_element_dims_are_asked_for():
    import xvec  # noqa: F401

    points = shapely.points(np.random.default_rng(0).random((6, 2)))
    field = xr.DataArray(
        np.random.default_rng(0).random((6, 6)),
        {"origin": points, "goal": points},
        ("origin", "goal"),
    ).xvec.set_geom_indexes(["origin", "goal"], crs=32633)
    with pytest.raises(ValueError, match=r"along \['origin', 'goal'\]; say which are meant"):
        field.patch.split(geometry=xpatch.KNNGraph(2))
    with pytest.raises(ValueError, match="not along 'x'"):
        field.patch.split(geometry=xpatch.KNNGraph(2, dim="x"))
    patches = field.patch.split(geometry=xpatch.KNNGraph(2, dim="goal"))
    assert patches.dims == ("patch", "origin", "goal")
    merged = patches.patch.merge("median")
    xr.testing.assert_allclose(merged, field)
    assert set(merged.xindexes) == set(field.xindexes)


def test_polygons_that_know_no_crs():
    import geopandas

    zones = geopandas.GeoSeries([shapely.box(0, 0, 3, 3)])
    with pytest.raises(ValueError, match=r"know no CRS, but the field is in EPSG:32633.*set_crs"):
        raster().patch.split(geometry=xpatch.PolygonIntersection(zones))
    patches = raster().patch.split(geometry=xpatch.PolygonIntersection(zones, crs=32633))
    assert int(patches.patch.mask.sum()) == 16


def test_anchors_in_another_crs_are_transformed():
    import geopandas

    field = stations(50, 1).isel(time=0)
    points = geopandas.GeoSeries(shapely.points([[1.4e6, 6e6]]), crs=3857)
    patches = field.patch.split(geometry=xpatch.KNNGraph(3), sampler=xpatch.Explicit(points))
    at = points.to_crs(4326).iloc[0]
    assert float(patches.patch.anchors.lon[0]) == pytest.approx(at.x)
    assert float(patches.patch.anchors.lat[0]) == pytest.approx(at.y)
    bare = xpatch.Explicit(shapely.points([[1.4e6, 6e6]]))
    with pytest.raises(
        ValueError, match=r"outside of ±720 degrees.*projected coordinates need a CRS"
    ):
        field.patch.split(geometry=xpatch.KNNGraph(3), sampler=bare)


MERGES = {
    "fewer slots": (
        lambda p: p.isel(obs=slice(0, 3)),
        {},
        "have 3 slots along 'obs', but .* with 5",
    ),
    "slots in another order": (
        lambda p: p.isel(obs=[1, 0, 2, 3, 4]).load(),
        {},
        "member numbers along 'obs' are not those",
    ),
    "a scale": (lambda p: p, {"scale": {"obs": 2}}, "no finer cells"),
    "a median of tapered values": (
        lambda p: stations().patch.split(geometry=xpatch.KNNGraph(5), window="hann"),
        {"aggregation": "median"},
        "multiplied by the analysis window",
    ),
}


@pytest.mark.parametrize("name", MERGES)
def test_merges(name):
    change, arguments, message = MERGES[name]
    patches = stations().patch.split(geometry=xpatch.KNNGraph(5))
    with pytest.raises((ValueError, KeyError), match=message):
        change(patches).patch.merge(**arguments)


def test_what_boxes_have_and_lists_have_not():
    patches = stations().patch.split(geometry=xpatch.KNNGraph(5))
    with pytest.raises(ValueError, match=r"lists of members along 'obs' have none.*patch.distance"):
        patches.patch.crop(obs=1)
    boxes = globe().patch.split(geometry={"lat": 4, "lon": 4})
    with pytest.raises(ValueError, match="boxes have no distances"):
        _ = boxes.patch.distance
    with pytest.raises(ValueError, match="footprints"):
        _ = boxes.patch.geometries


def test_elements_without_a_place_are_never_members():
    field = stations(40, 1).isel(time=0)
    lost = field.assign_coords(lat=field.lat.where(field.lat != field.lat[7]))
    patches = lost.patch.split(geometry=xpatch.KNNGraph(3))
    assert patches.sizes["patch"] == 39
    assert not (patches.obs == 7).any()
    merged = patches.patch.merge("median")
    assert np.isnan(merged[7])
    assert merged.notnull().sum() == 39


def test_trajectories_of_cf():
    lon, lat = np.array([[0, 1, 2], [5, 6, np.nan]]), np.array([[0, 0, 0], [5, 5, np.nan]])
    ds = xr.Dataset(
        {"t": (("trajectory", "obs"), np.arange(6.0).reshape(2, 3))},
        {
            "lon": (("trajectory", "obs"), lon, {"standard_name": "longitude"}),
            "lat": (("trajectory", "obs"), lat, {"standard_name": "latitude"}),
            "trajectory": ("trajectory", ["a", "b"], {"cf_role": "trajectory_id"}),
        },
        attrs={"featureType": "trajectory"},
    )
    assert type(xpatch.domain_of(ds)) is xpatch.PointDomain
    patches = ds.patch.split(geometry=xpatch.KNNGraph(2))
    assert dict(patches.t.sizes) == {"patch": 5, "cell": 2}
    merged = patches.patch.merge()
    assert merged.t.dims == ("trajectory", "obs")
    xr.testing.assert_allclose(merged, ds.where(ds.lon.notnull()))
    boxes = ds.isel(trajectory=0).drop_vars("trajectory")
    with pytest.raises(ValueError, match="no order in space"):
        boxes.patch.split(geometry={"obs": 2})


def crowded(n=400):
    """Give stations of which some are crowded, and the others alone."""
    rng = np.random.default_rng(0)
    places = np.concatenate([rng.uniform(0, 1, (40, 2)), rng.uniform(100, 10_000, (n - 40, 2))])
    return xr.DataArray(
        rng.random((2, n)), {"x": ("s", places[:, 0]), "y": ("s", places[:, 1])}, ("time", "s")
    )


def test_patches_of_mostly_empty_slots_are_refused(monkeypatch):
    from xpatch.patches import chunks

    field, geometry = crowded(), xpatch.RadiusGraph(2.0)
    whole = field.patch.split(geometry=geometry)  # small as they are
    monkeypatch.setattr(chunks, "MOST_PADDED", 100_000)
    text = (
        r"the field would take 0.0 GiB, of which 12.\d% are used: each of 400 has as many slots along 's' as "
        r"the largest has members, 40, on average there are 5. Use a smaller radius, KNNGraph\(k\)"
    )
    with pytest.raises(ValueError, match=text):
        field.patch.split(geometry=geometry)
    with pytest.raises(ValueError, match="the patches of 'v' would take"):
        field.to_dataset(name="v").patch.split(geometry=geometry)
    # what it says helps
    assert field.patch.split(geometry=xpatch.KNNGraph(40)).sizes["s"] == 40
    parts = [
        field.patch.split(geometry=geometry, sampler=xpatch.Explicit(range(k, k + 100)))
        for k in range(0, 400, 100)
    ]
    for k, part in enumerate(parts):
        mine = whole.isel(patch=slice(100 * k, 100 * k + 100), s=slice(part.sizes["s"]))
        np.testing.assert_array_equal(part, mine)
    lazy = field.chunk().patch.split(geometry=geometry)
    for batch, k in zip(lazy.patch.batches(150), (0, 150, 300), strict=True):
        np.testing.assert_array_equal(batch, whole[k : k + 150])
    applied = field.patch.apply(lambda p: p * 2, geometry=geometry, aggregation="mean")
    np.testing.assert_allclose(applied, field * 2)
