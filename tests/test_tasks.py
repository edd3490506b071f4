"""What strangers type first: it works, or the error says what to type."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch

SCENE = xr.DataArray(
    np.zeros((64, 64)), {"y": np.arange(64)[::-1] * 10.0, "x": np.arange(64) * 10.0}, ("y", "x")
)
CHIPS = SCENE.patch.split(16)
DAYS = xr.DataArray(np.zeros(60), {"time": pd.date_range("2001-01-01", periods=60)}, ("time",))
TABLE = pd.DataFrame({"lon": [0.0, 1, 2], "lat": [50.0, 50, 51], "t": [1.0, 2, 3]})
STATIONS = TABLE.to_xarray().set_coords(["lon", "lat"])["t"]
TRACK = pd.DataFrame(
    {"time": pd.date_range("2001-01-01", periods=3), "lon": [0.0, 3, 6], "lat": [0.0, 1, 2]}
)
GLOBE = xr.DataArray(
    np.zeros((18, 36)), {"lat": np.arange(-85.0, 90, 10), "lon": np.arange(0.0, 360, 10)}
)
# What was typed, its error, and what of its message says what to type.
TYPED = {
    "scene.patch.split(32, overlap=8)": (TypeError, "RegularStride(overlap=8)"),
    "scene.patch.split(32, stride=8)": (TypeError, "RegularStride(32)"),
    "scene.patch.split(size=32)": (TypeError, "Rectangular(64)"),
    "scene.patch.split(32, boundary='pad')": (TypeError, "Rectangular(64, boundary='pad')"),
    "scene.patch.apply(abs, 32, overlap=8)": (TypeError, "RegularStride(overlap=8)"),
    "scene.patch.split('300km')": (TypeError, "Rectangular('300km')"),
    "scene.patch.split(32, sampler=xpatch.RegularStride(overlap=0.5))": (
        ValueError,
        "RegularStride(overlap='50%')",
    ),
    "chips.patch.merge('hann')": (TypeError, "OverlapAdd('hann')"),
    "chips.patch.merge(window='hann')": (TypeError, "OverlapAdd('hann')"),
    "chips.patch.sets(train=0.8, test=0.2, block=32)": (TypeError, "sets({'train': 0.8"),
    "chips.patch.loader(8)": (AttributeError, "xpatch.torch.Stream(patches, 16)"),
    "scene.patch.write('map.tif')": (AttributeError, "xpatch.write(field, 'map.tif')"),
    "scene.patch.split(xpatch.SphericalCap(300))": (ValueError, "decode_coords='all'"),
    "globe.patch.split(xpatch.SphericalCap('300km'))": (TypeError, "the number alone"),
    "globe.patch.split(xpatch.SphericalCap(radius=300))": (
        TypeError,
        "SphericalCap(radius_km=300)",
    ),
    "globe.patch.split(xpatch.SphericalCap(300e3))": (ValueError, "radii are in km"),
    "days.patch.split({'time': '11D'})": (ValueError, "windows in time FixedLookback('30D')"),
    "days.patch.split(xpatch.PhaseWindow('1Y', '11D'))": (ValueError, "years are '1YS'"),
    "globe.patch.split([4, xpatch.FixedLookback(1)], coupling='coupled')": (
        TypeError,
        "SpatioTemporalPatcher(",
    ),
    "globe.patch.split(xpatch.CenteredGrid(900, 900, 300, heading='motion'), "
    "sampler=xpatch.Explicit(track))": (KeyError, "heading='track'"),
    "table.patch.split(xpatch.KNNGraph(2))": (KeyError, "table.to_xarray().set_coords"),
    "table.to_xarray()['t'].patch.split(xpatch.KNNGraph(2))": (ValueError, "ds.set_coords(["),
    "stations.patch.split({'lat': 2, 'lon': 2})": (TypeError, "2.0"),
    "stations.patch.split({'index': 2})": (ValueError, "KNNGraph(k)"),
    "stations.patch.split(xpatch.KNNGraph(2), sampler=xpatch.Explicit(lat=[50.0], lon=[0.0, 1]))": (
        ValueError,
        "Explicit(grid)",
    ),
    "stations.patch.split(xpatch.RadiusGraph(9), sampler=xpatch.Explicit(lat=[0.0], lon=[0.0]))": (
        ValueError,
        "empty='keep'",
    ),
    "stations.patch.krige()": (AttributeError, "sampler=Explicit(grid)"),
    "cells.patch.split(xpatch.KHopGraph(1))": (ValueError, "xdggs.decode"),
    "cells.patch.split(xpatch.Parents(1))": (ValueError, "xdggs.decode"),
    "cells.patch.area": (ValueError, "HEALPix are all equally large"),
}
FIELDS = {
    "xpatch": xpatch,
    "scene": SCENE,
    "chips": CHIPS,
    "days": DAYS,
    "table": TABLE,
    "stations": STATIONS,
    "track": TRACK,
    "globe": GLOBE,
    "cells": xr.DataArray(np.zeros(48), dims="cells"),
}
PAGE = Path(__file__).parent.parent / "docs" / "tasks.md"


@pytest.mark.parametrize("typed", TYPED)
def test_the_error_says_what_to_type(typed):
    kind, words = TYPED[typed]
    with pytest.raises(kind) as caught:
        eval(typed, FIELDS)
    assert words in str(caught.value)


@pytest.mark.skipif(not PAGE.exists(), reason="no docs beside the tests")
def test_the_page_says_what_the_errors_say():
    rows = re.findall(r"^\| `(.+?)` \| … (.+?) … \|$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    assert len(rows) > 20
    assert dict(rows).items() <= {t: w for t, (_, w) in TYPED.items()}.items()


def test_polygons_are_no_geometry_by_themselves():
    shapely = pytest.importorskip("shapely")
    with pytest.raises(TypeError, match="PolygonIntersection"):
        STATIONS.patch.split(shapely.box(0, 0, 1, 1))


def test_a_word_that_nobody_knows_names_those_that_there_are():
    with pytest.raises(
        TypeError, match="split has no colour=; it takes patcher, geometry, sampler"
    ):
        SCENE.patch.split(8, colour=3)
    with pytest.raises(AttributeError, match=r"\.patch has no 'colour'$"):
        SCENE.patch.colour  # noqa: B018
    assert not hasattr(SCENE.patch, "colour")


def test_methods_keep_their_signatures_and_the_accessor_its_copies():
    assert list(inspect.signature(SCENE.patch.split).parameters)[:2] == ["patcher", "geometry"]
    assert pickle.loads(pickle.dumps(SCENE.patch)).split(16).equals(CHIPS)


def test_a_property_that_fails_says_why_and_not_that_it_is_missing(monkeypatch):
    def broken(self):
        raise AttributeError("of the inside")

    monkeypatch.setattr(type(SCENE.patch), "domain", property(broken))
    with pytest.raises(AttributeError, match="of the inside"):
        SCENE.patch.domain  # noqa: B018


@pytest.mark.parametrize("how", ["method", "function"])
def test_failures_are_told_where_the_user_called(how):
    def picky(patches):
        if 3 in patches["patch"]:
            raise RuntimeError("does not converge")
        return patches

    asked = {"method": [SCENE.patch.apply], "function": [xpatch.apply, SCENE]}[how]
    with pytest.warns(xpatch.PatchFailure) as caught:
        asked[0](*asked[1:], picky, 16, on_error="nan")
    assert caught[0].filename == __file__


@pytest.mark.skipif(not PAGE.exists(), reason="no docs beside the tests")
def test_trends_of_the_page_are_as_sure_where_years_differ_more():
    """Of windows without a trend 5 % are two standard errors off, be they noisy or calm."""
    rng = np.random.default_rng(0)
    axes = {"time": xr.date_range("1961", "1990", freq="YS"), "lat": np.arange(8.0)}
    warming = xr.DataArray(rng.normal(size=(30, 8, 400)), axes, ("time", "lat", "lon"))
    sd = xr.where(warming.lat < 2, 2.0, 0.2)
    names = {"xr": xr, "np": np, "xpatch": xpatch, "warming": warming * sd}
    text = PAGE.read_text(encoding="utf-8")
    (lines,) = re.findall(r'^(>>> both = xr.Dataset\({"t".*?^>>> error = .*?\n)', text, re.S | re.M)
    exec(re.sub(r"^>>> ", "", lines, flags=re.M), names)
    sure = abs(names["trend"] / names["error"]).values.reshape(4, 200) > 2
    np.testing.assert_allclose(sure.mean(axis=1), 0.05, atol=0.045)
