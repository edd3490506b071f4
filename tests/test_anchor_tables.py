"""Tables of anchors: fill values and missing places, times beside geometries, and what is said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch


def stations(**coords):
    place = {
        "lon": ("id", [0.0, 1, 3, 7]),
        "lat": ("id", [0.0, 1, 0, 2]),
        "code": ("id", list("abcd")),
    }
    return xr.DataArray(np.arange(4.0), {**place, **coords}, "id")


def cube():
    rng = np.random.default_rng(0)
    coords = {
        "time": pd.date_range("2010", periods=5),
        "lat": np.arange(-85.0, 90, 10),
        "lon": np.arange(0.0, 360, 10),
    }
    return xr.DataArray(rng.random((5, 18, 36)), coords, tuple(coords))


def table():
    times = pd.to_datetime(["2010-01-02", "2010-01-04", "2010-01-05"])
    return pd.DataFrame({"lon": [33.0, 42, 50], "lat": [2.0, 3, 4], "time": times}, list("abc"))


BOXES = {"time": 1, "lat": 3, "lon": 3}


@pytest.mark.parametrize(("name", "value"), [("lon", 99999.0), ("lat", 99999.0), ("lon", -999.0)])
def test_a_fill_value_is_no_place(name, value):
    filled = stations(**{name: ("id", [0.0, 1, value, 7], {"_FillValue": value})})
    with pytest.raises(
        ValueError, match=r"itude of -?9+ along .* a fill value .*decode_cf"
    ) as error:
        filled.patch.split(xpatch.KNNGraph(2))
    assert "swapped" not in str(error.value)
    bare = filled.to_dataset(name="v").reset_coords(["lon", "lat"])
    decoded = xr.decode_cf(bare).set_coords(["lon", "lat"])
    with pytest.warns(UserWarning, match="1 of 4 without a place"):
        found = decoded.patch.split(xpatch.KNNGraph(2))
    assert found.sizes["patch"] == 3


def test_longitudes_may_go_around_the_earth():
    turned = stations().assign_coords(lon=stations().lon + 540)
    found = turned.patch.split(xpatch.KNNGraph(3))
    np.testing.assert_array_equal(found.id, stations().patch.split(xpatch.KNNGraph(3)).id)


def test_anchors_off_the_earth_are_refused_or_dropped():
    places = {"lon": [99999.0, 2, np.nan], "lat": [0.0, 1, 1]}
    wrapped = xpatch.Rectangular(lat=3, lon=3, boundary={"lon": "wrap"})
    for field, geometry in ((stations(), xpatch.KNNGraph(2)), (cube(), wrapped)):
        with pytest.raises(ValueError, match=r"longitude of 99999 of an anchor .* fill value"):
            field.patch.split(geometry, sampler=xpatch.Explicit(lon=[99999.0], lat=[0.0]))
        with pytest.raises(ValueError, match=r"'lon' is NaN \(number 2\).*outside='drop'.*dropna"):
            field.patch.split(geometry, sampler=xpatch.Explicit(places))
        kept = field.patch.split(geometry, sampler=xpatch.Explicit(places, outside="drop"))
        assert kept.sizes["patch"] == 1


def test_a_frame_with_geometries_is_the_table_that_it_is():
    geopandas = pytest.importorskip("geopandas")
    points = geopandas.points_from_xy(table().lon, table().lat)
    frame = geopandas.GeoDataFrame(table(), geometry=points, crs=4326)
    for given in (frame, frame.drop(columns=["lon", "lat"])):
        found = cube().patch.split(BOXES, sampler=xpatch.Explicit(given))
        expected = cube().patch.split(BOXES, sampler=xpatch.Explicit(table()))
        xr.testing.assert_identical(found.drop_vars("patch"), expected.drop_vars("patch"))


def test_dates_are_shown_as_dates():
    late = table().assign(time=table().time + pd.Timedelta("800D"))
    with pytest.raises(
        ValueError, match=r"'time': '2012-03-12'.* spans 2010-01-01 to 2010-01-05 \("
    ):
        cube().patch.split(BOXES, sampler=xpatch.Explicit(late))


def test_labels_that_say_no_place():
    with pytest.raises(KeyError, match=r"'code'.*np\.flatnonzero\(field\['code'\]\.isin"):
        stations().patch.split(xpatch.KNNGraph(2), sampler=xpatch.Explicit(code=["c"]))
    with pytest.raises(KeyError, match="'depth', which says no place; give 'lon' and 'lat'"):
        stations().patch.split(xpatch.KNNGraph(2), sampler=xpatch.Explicit(depth=[3.0]))


def dated():
    """Give profiles that have a time each."""
    times = pd.to_datetime(["2010-01-02", "2010-01-04", "2010-01-01", "2010-01-05"])
    return stations(JULD=("id", times))


SPLIT = {"lat": 3, "lon": 3}


@pytest.mark.parametrize("given", [dated(), dated().to_dataset(name="v"), table()])
def test_times_beside_places_are_told_of_whatever_the_table_is(given):
    geometry = xpatch.Rectangular(lat=3, lon=3, boundary={"lon": "wrap"})
    with pytest.warns(UserWarning, match="has times in '(JULD|time)'.*coupling='coupled'"):
        cube().patch.split(geometry, sampler=xpatch.Explicit(given))


def test_as_many_windows_as_places_with_times_are_told_of():
    space, time = xpatch.Explicit(table()), xpatch.EventTriggered(table()["time"])
    geometry = [SPLIT, xpatch.FixedLookback(1)]
    with pytest.warns(UserWarning, match=r"3 places .* 3 windows in time, 9 .*coupling='coupled'"):
        cube().patch.split(geometry, sampler=[space, time])
    bare = xpatch.Explicit(table().drop(columns="time"))
    assert cube().patch.split(geometry, sampler=[bare, time]).sizes["patch"] == 9


def test_a_grid_of_anchors_with_times_is_no_table_of_times():
    other = cube().isel(lat=[4, 5], lon=[6, 7])
    assert cube().patch.split(SPLIT, sampler=xpatch.Explicit(other)).sizes["patch"] == 4


def test_elements_with_times_of_their_own_are_compared_by_within():
    both = [xpatch.KNNGraph(2), xpatch.FixedLookback("2D")]
    ordered = dated().sortby("JULD").swap_dims(id="JULD")
    for field in (dated(), ordered):
        with pytest.raises(ValueError, match=r"KNNGraph\(…, within=\{'JULD': '30D'\}\)"):
            field.patch.split(both)


def test_a_mask_of_members_says_not_which_patches_are_meant():
    patches = stations().patch.split(xpatch.KNNGraph(2))
    chosen = patches["code"].isin(["d"])
    with pytest.raises(ValueError, match=r"test\.any\('id'\), test\.isel\(id=0\)"):
        patches.patch.apart(chosen)
    found = patches.patch.apart(chosen.isel(id=0))
    np.testing.assert_array_equal(found, [True, True, False, False])


MESSAGES = {
    "a plural": (lambda p: p.patch.distances, r"did you mean \.patch\.distance\?"),
    "the labels": (lambda p: p.patch.values, r"patches\['patch'\]\.values"),
    "kriging": (lambda p: p.patch.krige(), r"'krige': cut the field where"),
    "one patch": (lambda p: p.patch[3].patch.distance, r"patches\.isel\(patch=\[3\]\)"),
    "slots cut off": (lambda p: p.patch.crop(id=1), r"patches\.isel\(id=slice\(1, None\)\)"),
    "raw times": (
        lambda p: stations(JULD=("id", [1.0, 2, 3, 4])).patch.split(
            xpatch.KNNGraph(2, within={"JULD": "30D"})
        ),
        "decode_cf",
    ),
    "a distance within": (
        lambda p: xpatch.KNNGraph(2, within={"distance": "300km"}),
        r"RadiusGraph\(300\.0\)",
    ),
    "spacing with a unit": (
        lambda p: xpatch.AlongTrack({"lon": [0, 1], "lat": [0, 1]}, "100km"),
        "km on longitude and latitude.*'100km'",
    ),
    "overlap on points": (
        lambda p: stations().patch.split(SPLIT5, sampler=xpatch.RegularStride(overlap="50%")),
        r"RegularStride\(lat=5\.0, lon=5\.0\)",
    ),
}
SPLIT5 = {"lat": 5.0, "lon": 5.0}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_say_what_to_type(name):
    ask, message = MESSAGES[name]
    with pytest.raises((AttributeError, TypeError, ValueError), match=message):
        ask(stations().patch.split(xpatch.KNNGraph(2)))
