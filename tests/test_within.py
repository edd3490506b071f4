"""Members that lie near their anchor in coordinates of the elements, such as time and pressure."""

import datetime
import tracemalloc

import cftime
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from sklearn.neighbors import BallTree

import xpatch
from xpatch.sphere import EARTH_RADIUS_KM

DAY = np.timedelta64(1, "D")


def profiles(n=300, seed=0, days=200.0, spread=20.0, unit="ns"):
    """Profiles of floats in a part of the ocean, some at one place, across the dateline."""
    rng = np.random.default_rng(seed)
    lon = (180 + rng.uniform(-spread, spread, n) + 180) % 360 - 180
    lat = rng.uniform(-spread, spread, n)
    lon[: n // 10], lat[: n // 10] = 179.5, 3.0  # a mooring
    seconds = np.rint(rng.uniform(0, days * 86_400, n)).astype("m8[s]")
    time = np.datetime64("2010-01-01", "s") + seconds
    return xr.DataArray(
        rng.normal(size=(n, 2)),
        {
            "lon": ("profile", lon),
            "lat": ("profile", lat),
            "time": ("profile", time.astype(f"M8[{unit}]")),
            "pressure": ("profile", rng.uniform(0, 1000, n)),
        },
        ("profile", "level"),
        name="t",
    )


def ball(field, radius):
    """Give who is within a radius of whom, and how far, by scikit-learn."""
    places = np.deg2rad(np.stack([field.lat, field.lon], axis=-1))
    tree = BallTree(places, metric="haversine")
    near, far = tree.query_radius(places, radius / EARTH_RADIUS_KM, return_distance=True)
    return near, [f * EARTH_RADIUS_KM for f in far]


def members(patches, dim="profile"):
    """Give the member numbers of each patch without empty slots."""
    numbers = patches[dim].values
    assert ((numbers >= 0)[:, :-1] >= (numbers >= 0)[:, 1:]).all()  # empty slots come last
    return [row[row >= 0] for row in numbers]


def wanted(field, radius, days=None, pressure=None):
    found = []
    for k, near in enumerate(ball(field, radius)[0]):
        keep = np.ones(len(near), bool)
        if days is not None:
            keep &= np.abs(field.time.values[near] - field.time.values[k]) <= days
        if pressure is not None:
            keep &= np.abs(field.pressure.values[near] - field.pressure.values[k]) <= pressure
        found.append(np.sort(near[keep]))
    return found


GEOMETRIES = {
    "cap": lambda within: xpatch.SphericalCap(600, within=within),
    "radius": lambda within: xpatch.RadiusGraph(600, within=within),
    "function": lambda within: xpatch.RadiusGraph(600, great_circle, within=within),
}


def great_circle(a, b):
    return float(xpatch.sphere.haversine(*a, *b))


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize(
    ("within", "limits"),
    [
        ({"time": "10D"}, (10 * DAY, None)),
        ({"pressure": 50.0}, (None, 50.0)),
        ({"time": "36h", "pressure": 120}, (np.timedelta64(36, "h"), 120)),
    ],
)
def test_members_within_a_radius(name, within, limits):
    field = profiles(80 if name == "function" else 300)
    patches = field.patch.split(geometry=GEOMETRIES[name](within))
    assert patches.sizes["patch"] == len(field)
    counts = []
    for k, (own, want) in enumerate(
        zip(members(patches), wanted(field, 600, *limits), strict=True)
    ):
        assert own[0] == k  # the anchor comes first, the others in the order of the field
        np.testing.assert_array_equal(own[1:], want[want != k])
        counts.append(len(own))
    assert max(counts) == patches.sizes["profile"] < max(map(len, ball(field, 600)[0]))
    xr.testing.assert_allclose(patches.patch.merge(), field)


@pytest.mark.parametrize("metric", ["auto", great_circle])
@pytest.mark.parametrize("k", [1, 4, 30])
def test_the_nearest_of_those_within(k, metric):
    field = profiles(120)
    within = {"time": "20D", "pressure": 400.0}
    patches = field.patch.split(geometry=xpatch.KNNGraph(k, metric, within=within))
    assert patches.sizes["profile"] == k
    everywhere = wanted(field, 20_000, 20 * DAY, 400.0)
    distance = patches.patch.distance.values
    assert k < 30 or min(map(len, everywhere)) < k  # some have fewer, and are not refused
    for i, (own, want) in enumerate(zip(members(patches), everywhere, strict=True)):
        lon, lat = field.lon.values, field.lat.values
        far = xpatch.sphere.haversine(lon[want], lat[want], lon[i], lat[i])
        far = np.where(want == i, -1, np.round(far, 6))
        order = np.lexsort((want, far))[:k]
        np.testing.assert_array_equal(own, want[order])
        assert np.isnan(distance[i, len(own) :]).all()
        np.testing.assert_allclose(distance[i, : len(own)], np.maximum(far[order], 0), atol=1e-5)
    xr.testing.assert_allclose(patches.patch.merge("median"), field)


@pytest.mark.parametrize("spread", [0.0, 1e-4, 60.0])
def test_nearest_wherever_the_elements_are(spread):
    """All at one place, very close to each other, far apart and next to a crowd."""
    rng = np.random.default_rng(3)
    field = profiles(200, spread=spread)
    field["lon"][:40] = rng.uniform(-180, 180, 40)
    patches = field.patch.split(geometry=xpatch.KNNGraph(5, within={"time": "8D"}))
    lon, lat, time = (field[n].values for n in ("lon", "lat", "time"))
    for i, own in enumerate(members(patches)):
        near = np.abs(time - time[i]) <= 8 * DAY
        far = np.where(near, xpatch.sphere.haversine(lon, lat, lon[i], lat[i]), np.inf)
        want = np.sort(far)[: min(5, near.sum())]
        np.testing.assert_allclose(np.sort(far[own]), want, atol=2e-4)
        assert len(set(own)) == len(want)
        assert own[0] == i


def test_projected_coordinates():
    rng = np.random.default_rng(1)
    (x, y), t = rng.uniform(0, 1e6, (2, 150)) + 5e6, np.arange(150) % 40
    field = xr.DataArray(np.arange(150.0), {"x": ("s", x), "y": ("s", y), "t": ("s", t)}, ("s",))
    patches = field.patch.split(geometry=xpatch.RadiusGraph(2e5, within={"t": 3}))
    far = np.hypot(x[:, None] - x, y[:, None] - y)
    near = np.abs(t[:, None] - t) <= 3  # the rim is inside
    for i, own in enumerate(members(patches, "s")):
        assert set(own) == set(np.flatnonzero((far[i] <= 2e5) & near[i]))
    nearest = field.patch.split(geometry=xpatch.KNNGraph(4, within={"t": 3}))
    for i, own in enumerate(members(nearest, "s")):
        np.testing.assert_allclose(far[i][own], np.sort(far[i][near[i]])[:4])


def test_polygons_and_their_years():
    boxes = shapely.box(
        *(np.array([[i, j, i + 1, j + 1] for i in range(6) for j in range(6)]).T * 1.0)
    )
    year = np.arange(36) % 5
    field = xr.DataArray(
        np.arange(36.0), {"geometry": boxes, "year": ("geometry", year)}, ("geometry",)
    )
    patches = field.patch.split(geometry=xpatch.RadiusGraph(1.0, within={"year": 1}))
    far = shapely.distance(boxes[:, None], boxes[None])
    for i, own in enumerate(members(patches, "geometry")):
        assert set(own) == set(np.flatnonzero((far[i] <= 1) & (np.abs(year - year[i]) <= 1)))


def test_a_swath_has_times_of_its_own():
    """The cells of a curvilinear grid are elements, too, whose time has the other order of dims."""
    lat, lon = np.meshgrid(np.linspace(-4, 4, 8), np.linspace(0, 9, 10), indexing="ij")
    minutes = np.arange(80).reshape(8, 10)
    time = np.datetime64("2020-01-01", "ns") + minutes * np.timedelta64(1, "m")
    field = xr.DataArray(
        minutes * 1.0,
        {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon), "time": (("i", "j"), time.T)},
        ("j", "i"),
    )
    caps = field.patch.split(geometry=xpatch.SphericalCap(400, within={"time": "10min"}))
    assert float(np.abs(caps - minutes.ravel()[:, None]).max()) == 10
    xr.testing.assert_allclose(caps.patch.merge(), field)


TIMES = {
    "ns": lambda t: t.astype("M8[ns]"),
    "s": lambda t: t.astype("M8[s]"),
    "elapsed": lambda t: (t - t[0]).astype("m8[ms]"),
    "noleap": lambda t: np.array(
        [cftime.DatetimeNoLeap(2001, 1, 1) + datetime.timedelta(int(d)) for d in (t - t[0]) / DAY],
        dtype=object,
    ),
    "zone": lambda t: pd.DatetimeIndex(t.astype("M8[ns]")).tz_localize("UTC").to_numpy(),
}


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize(
    "width", ["5D", datetime.timedelta(5), np.timedelta64(5, "D"), pd.Timedelta("120h"), "7200min"]
)
def test_kinds_of_times(kind, width):
    days = np.datetime64("2001-01-01") + np.arange(30) * DAY
    coords = {
        "lon": ("s", np.zeros(30)),
        "lat": ("s", np.zeros(30)),
        "time": ("s", TIMES[kind](days)),
    }
    field = xr.DataArray(np.arange(30.0), coords, ("s",))
    patches = field.patch.split(geometry=xpatch.SphericalCap(1.0, within={"time": width}))
    assert set(members(patches, "s")[10]) == set(range(5, 16))  # both ends are inside
    assert set(members(patches, "s")[0]) == set(range(6))


def test_widths_between_two_ticks():
    times = np.array(["2000-01-01T00:00:00", "2000-01-01T00:00:01"], "M8[s]")
    coords = {"lon": ("s", [0.0, 0]), "lat": ("s", [0.0, 0]), "time": ("s", times)}
    field = xr.DataArray([1.0, 2.0], coords, ("s",))
    for width, most in {"999ms": 1, "1s": 2, "1500ms": 2}.items():
        patches = field.patch.split(geometry=xpatch.SphericalCap(1.0, within={"time": width}))
        assert patches.sizes["s"] == most


def test_ends_of_time():
    ends = np.array([np.iinfo("i8").min + 1, np.iinfo("i8").max]).view("M8[ns]")
    coords = {"lon": ("s", [0.0, 0]), "lat": ("s", [0.0, 0]), "time": ("s", ends)}
    field = xr.DataArray([1.0, 2.0], coords, ("s",))
    assert (
        field.patch.split(geometry=xpatch.KNNGraph(2, within={"time": "1ns"})).notnull().sum() == 2
    )
    metric = xpatch.KNNGraph(2, great_circle, within={"time": "1ns"})
    assert field.patch.split(geometry=metric).notnull().sum() == 2


def test_decimals_on_the_rim_are_inside():
    for dtype in ("f8", "f4"):
        depth = np.array([0.9, 1.1, 0.7], dtype)
        coords = {"lon": ("s", [0.0] * 3), "lat": ("s", [0.0] * 3), "depth": ("s", depth)}
        field = xr.DataArray([0.0, 1, 2], coords, ("s",))
        patches = field.patch.split(geometry=xpatch.SphericalCap(1, within={"depth": 0.2}))
        assert set(members(patches, "s")[0]) == {0, 1, 2}


@pytest.mark.parametrize("what", ["time", "pressure", "lon", "dates"])
def test_without_a_value_members_of_nobody(what):
    field = profiles(60)
    if what == "dates":
        dates = np.array(
            [cftime.DatetimeNoLeap(2001, 1, 1 + k % 20) for k in range(60)], dtype=object
        )
        dates[7] = None
        field = field.assign_coords(time=("profile", dates))
    else:
        gone = np.array("NaT", "M8[ns]") if what == "time" else np.nan
        field[what].values[7] = gone
    within = {"time": "30D", "pressure": 500}
    for geometry in (xpatch.SphericalCap(900, within=within), xpatch.KNNGraph(3, within=within)):
        patches = field.patch.split(geometry=geometry)
        assert patches.sizes["patch"] == 59
        assert not (patches.profile == 7).any()
        assert np.isnan(patches.patch.merge()[7]).all()
        sampler = xpatch.Random(59, seed=0)  # is not drawn either
        assert 7 not in field.patch.split(geometry=geometry, sampler=sampler).anchor_element
        with pytest.raises(ValueError, match="7 is not one of the 59 elements"):
            field.patch.split(geometry=geometry, sampler=xpatch.Explicit([3, 7]))


def test_more_neighbors_than_there_are():
    field = profiles(12)
    patches = field.patch.split(geometry=xpatch.KNNGraph(20, within={"time": "400D"}))
    assert dict(patches.sizes) == {"patch": 12, "profile": 20, "level": 2}
    assert int(patches.patch.mask.sum("profile").min()) == 12


def test_some_anchors():
    field = profiles()
    geometry = xpatch.KNNGraph(4, within={"time": "10D"})
    every = field.patch.split(geometry=geometry)
    some = field.patch.split(geometry=geometry, sampler=xpatch.Explicit([200, 3, 70]))
    np.testing.assert_array_equal(some.profile, every.profile[[200, 3, 70]])
    again = field.patch.split(geometry=geometry, sampler=xpatch.Explicit(some[[2, 0]]))
    np.testing.assert_array_equal(again.profile, some.profile[[2, 0]])
    thin = field.patch.split(geometry=geometry, sampler=xpatch.PoissonDisk(500, seed=0))
    np.testing.assert_array_equal(thin.profile, every.profile[thin.anchor_element.values])


def test_windows_go_by_the_farthest_member():
    field = profiles(60)
    patches = field.patch.split(geometry=xpatch.KNNGraph(6, within={"time": "12D"}))
    xr.testing.assert_allclose(patches.patch.merge(xpatch.OverlapAdd("hann")), field)
    tapered = field.patch.split(geometry=xpatch.KNNGraph(6, within={"time": "12D"}), window="hann")
    xr.testing.assert_allclose(tapered.patch.merge(), field)


@pytest.mark.parametrize("format", ["zarr", "netcdf"])
def test_files(tmp_path, format):
    field = profiles(80)
    within = {"time": datetime.timedelta(10), "pressure": 300}
    patches = field.patch.split(geometry=xpatch.KNNGraph(6, within=within)).to_dataset()
    path = tmp_path / "patches"
    if format == "zarr":
        patches.to_zarr(path, consolidated=False)
        back = xr.open_zarr(path, consolidated=False)
    else:
        patches.to_netcdf(path)
        back = xr.open_dataset(path)
    xr.testing.assert_allclose(back.patch.merge().t, field)
    windowed = back.patch.merge(xpatch.OverlapAdd("hann"), like=field)  # finds the members again
    xr.testing.assert_allclose(windowed.t, field)
    other = field.assign_coords(time=field.time + np.arange(80) * DAY)
    with pytest.raises(ValueError, match="finds other members"):
        back.patch.merge(xpatch.OverlapAdd("hann"), like=other)
    back.close()


def test_written_as_a_specification():
    for geometry in (
        xpatch.KNNGraph(3, within={"time": "10D", "pressure": 50.0}),
        xpatch.RadiusGraph(3.0, within={"time": "10D"}),
        xpatch.SphericalCap(3.0, within={"depth": np.float32(2)}),
    ):
        patcher = xpatch.Patcher(geometry)
        assert xpatch.Patcher.from_spec(patcher.to_dict()) == patcher
        assert hash(geometry) == hash(eval(repr(geometry), {**vars(xpatch), "np": np}))
    shown = "KNNGraph(3, within={'time': '10D', 'pressure': 50.0})"
    assert repr(xpatch.KNNGraph(3, within={"time": "10D", "pressure": 50.0})) == shown
    assert repr(xpatch.KNNGraph(3)) == "KNNGraph(3)"


@pytest.mark.parametrize("kind", ["dask", "disk", "dataset"])
def test_backends(kind, tmp_path):
    field = profiles(90)
    geometry = xpatch.SphericalCap(700, within={"time": "15D"})
    memory = field.patch.split(geometry=geometry)
    if kind == "dask":
        lazy = field.chunk(level=1).patch.split(geometry=geometry)
        assert lazy.chunks is not None
    elif kind == "disk":
        field.to_dataset().to_netcdf(tmp_path / "field.nc")
        with xr.open_dataset(tmp_path / "field.nc") as stored:
            lazy = stored.t.patch.split(geometry=geometry)
            assert not lazy.variable._in_memory
            lazy = lazy.load()
    else:
        dataset = field.to_dataset().assign(q=field.isel(level=0) * 2)
        lazy = dataset.patch.split(geometry=geometry).t
    xr.testing.assert_allclose(lazy, memory)
    xr.testing.assert_allclose(lazy.patch.merge(), field)


def test_what_is_kept_in_memory():
    """Elements near in space and not in time are never candidates: 4,000 at one place for 20 years."""
    n = 4000
    time = np.datetime64("2000-01-01", "ns") + np.sort(
        np.random.default_rng(0).uniform(0, 7300 * 86_400e9, n)
    ).astype("m8[ns]")
    coords = {"lon": ("s", np.zeros(n)), "lat": ("s", np.zeros(n)), "time": ("s", time)}
    field = xr.DataArray(np.zeros(n, "f4"), coords, ("s",))
    domain = xpatch.domain_of(field)
    geometry = xpatch.SphericalCap(300, within={"time": "10D"})
    found = geometry.neighborhood(domain, geometry.candidates(domain))
    tracemalloc.start()
    again = geometry.neighborhood(domain, geometry.candidates(domain))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(again.elements) == len(found.elements) < 15 * n
    assert peak < 400 * len(found.elements)  # all pairs would take 24 bytes × 4,000 × 4,000


CONSTRUCTIONS = [
    ("time", TypeError, "must be a mapping"),
    ({}, ValueError, "names no coordinate"),
    ({"time": "0D"}, ValueError, "'time' must be positive"),
    ({"time": "-3D"}, ValueError, "'time' must be positive"),
    ({"pressure": -1.0}, ValueError, "'pressure' must be positive"),
    ({"pressure": 0}, ValueError, "'pressure' must be positive"),
    ({"pressure": np.inf}, ValueError, "positive and finite"),
    ({"pressure": True}, TypeError, "must be a number, or a duration"),
    ({"pressure": None}, TypeError, "must be a number, or a duration"),
    ({"time": "soon"}, ValueError, "duration such as '10D'"),
    ({"time": "1MS"}, ValueError, "counted in months.*in days"),
    ({"time": np.timedelta64(1, "M")}, ValueError, "counted in months"),
    ({"time": pd.DateOffset(months=1)}, ValueError, "counted in months"),
]


@pytest.mark.parametrize(("within", "error", "message"), CONSTRUCTIONS)
def test_specifications_that_are_refused(within, error, message):
    for make in (xpatch.KNNGraph, xpatch.RadiusGraph, xpatch.SphericalCap):
        with pytest.raises(error, match=message):
            make(3, within=within)


SPLITS = [
    ({"date": "3D"}, KeyError, r"no coordinate of the field; there are .*'time'"),
    ({"quality": 1}, KeyError, r"data variable: field.set_coords\('quality'\)"),
    ({"level": 1}, ValueError, r"lies along \['level'\] and not along the elements, \['profile'\]"),
    ({"time": 10}, TypeError, r"'time' holds times.*'10D'"),
    ({"pressure": "10D"}, TypeError, "'pressure' holds numbers.*50.0"),
    ({"code": 1}, TypeError, "'code' has"),
]


@pytest.mark.parametrize(("within", "error", "message"), SPLITS)
def test_coordinates_that_are_refused(within, error, message):
    field = profiles(20).assign_coords(level=[0, 1], code=("profile", [f"a{k}" for k in range(20)]))
    field = field.to_dataset().assign(quality=("profile", np.ones(20)))
    with pytest.raises(error, match=message):
        field.patch.split(geometry=xpatch.KNNGraph(3, within=within))


@pytest.mark.parametrize(
    "sampler", [xpatch.FibonacciSphere(50), xpatch.Explicit({"lon": [179.0], "lat": [0.0]})]
)
def test_anchors_that_are_no_elements_have_no_time(sampler):
    geometry = xpatch.SphericalCap(3000, within={"time": "10D"})
    with pytest.raises(ValueError, match=r"places without 'time'; anchor at elements"):
        profiles().patch.split(geometry=geometry, sampler=sampler)


def test_elements_without_a_place_are_counted():
    field = profiles(20)
    assert "without a place" not in repr(xpatch.domain_of(field))
    assert "without a place" not in repr(field.patch.split(geometry=xpatch.KNNGraph(2)).patch)
    field["lon"].values[[3, 8]] = np.nan
    assert "lon, lat (longitude and latitude); 2 of 20 without a place" in repr(field.patch.domain)
    patches = field.patch.split(geometry=xpatch.KNNGraph(2))
    assert "without a place: 2 of 20 elements along profile" in repr(patches.patch)
    assert int(patches.patch.merge().isnull().all("level").sum()) == 2
    with pytest.raises(ValueError, match="the 18 elements that have a place, of 20"):
        field.patch.split(geometry=xpatch.KNNGraph(19))
    chunked = field.assign_coords(lon=field.lon.chunk())
    assert "without a place" not in repr(xpatch.domain_of(chunked))  # to look would compute it
