"""The recipe: what it says, that it is written as patches are called now, and damage of any kind."""

from __future__ import annotations

import copy
import functools
import json
import pickle
import subprocess
import sys
import zlib
from base64 import b64encode

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xpatch
from xpatch.patches.encoding import RECIPE, VERSION, fingerprint, pack, unpack
from xpatch.patches.rules import DamagedRecipe, check


def field(**coords):
    at = {"time": pd.date_range("2001-01-01", periods=24, freq="MS"), "y": np.arange(6.0)}
    at |= {"x": np.array([0.0, 1, 3, 4, 7, 8, 9, 11]), **coords}
    values = np.random.default_rng(0).random((24, 6, 8))
    return xr.DataArray(values, at, ("time", "y", "x"), name="t")


def globe():
    at = {"lat": np.arange(-50.0, 60, 10), "lon": np.arange(0.0, 360, 10)}
    return xr.DataArray(np.random.default_rng(0).random((11, 36)), at, ("lat", "lon"), name="t")


LOOKBACK = xpatch.TimePatcher(xpatch.FixedLookback("90D"), xpatch.RegularTimeStride(2))
MAKE = {
    "boxes": lambda: field().patch.split(
        geometry=xpatch.Rectangular(y=3, x=4, boundary="pad"),
        sampler=xpatch.RegularStride(2),
        window="hann",
    ),
    "random": lambda: field().patch.split(
        geometry={"y": 3, "x": 4}, sampler=xpatch.Random(9, seed=0)
    ),
    "members": lambda: globe().patch.split(
        geometry=xpatch.SphericalCap(1500.0), sampler=xpatch.RegularStride(3)
    ),
    "time": lambda: field().patch.split(LOOKBACK),
    "joint": lambda: field().patch.split(
        xpatch.SpatioTemporalPatcher(xpatch.Patcher({"y": 3, "x": 4}), LOOKBACK)
    ),
    "coarse": lambda: (
        field().patch.split(xpatch.TimePatcher(xpatch.MultiScale([2, 4])))["4"].to_dataset()["t"]
    ),
    "several": lambda: several(),
}


def several():
    p = field().patch.split(geometry={"y": 3, "x": 4}, sampler=xpatch.Random(9, seed=0))
    q = (
        field()
        .isel(time=0, drop=True)
        .patch.split(geometry={"y": 2, "x": 2}, sampler=xpatch.Explicit(p))
    )
    return xr.Dataset({"t": p, "q": q.rename(y="y2", x="x2")})


@functools.cache
def made_as(name):
    return MAKE[name]().load()


def recipe_of(patches):
    return json.loads(patches["patch"].attrs[RECIPE])


def bare(patches, recipe):
    """Give patches without an index, with another recipe."""
    text = recipe if isinstance(recipe, str) else json.dumps(recipe)
    labels = ("patch", patches["patch"].values, {RECIPE: text})
    return patches.drop_indexes("patch").assign_coords(patch=labels)


@pytest.mark.parametrize("name", MAKE)
def test_recipes_are_read(name):
    patches = made_as(name)
    merged = bare(patches, recipe_of(patches)).patch.merge()
    for a, b in zip(
        *(
            m.data_vars.values() if isinstance(m, xr.Dataset) else [m]
            for m in (merged, patches.patch.merge())
        ),
        strict=True,
    ):
        np.testing.assert_allclose(a, b)


@pytest.mark.parametrize("name", MAKE)
def test_a_recipe_that_was_read_is_written_again(name):
    from xpatch.patches.recall import indexed

    patches = made_as(name)
    again = indexed(bare(patches, recipe_of(patches)))
    assert recipe_of(again.isel(patch=slice(None))) == recipe_of(patches)


# ---------------------------------------------------------------------------- fingerprint


def test_fingerprints_tell_fields_apart():
    import rioxarray  # noqa: F401

    def of(f, geometry=None):
        plan = f.patch.split(geometry=geometry or {"y": 3}).xindexes["patch"].plans[0]
        return fingerprint(plan)

    base = field().isel(time=0, drop=True)
    same = of(base)
    assert of(base * 2) == same
    assert of(base.rename(y="lat"), {"lat": 3}) == same
    shifted = of(base.assign_coords(y=base.y + 1))
    zones = [of(base.rio.write_crs(crs)) for crs in (32633, 32634)]
    assert len({same, shifted, of(base[:5]), of(base.drop_vars("y")), *zones}) == 6


def test_fingerprints_are_the_same_in_other_processes():
    code = (
        "import numpy as np, xarray as xr, xpatch;"
        "f = xr.DataArray(np.zeros((4, 9)), {'y': [1.0, 2, 4, 8], 'x': np.arange(9)});"
        "print(f.patch.split(geometry={'y': 2, 'x': 3})['patch'].attrs['xpatch_recipe'])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=None
        ).stdout
        for _ in range(2)
    }
    assert len(found) == 1
    assert json.loads(found.pop())["fingerprint"]


def test_elements_that_lie_elsewhere_have_another_fingerprint():
    def of(shift):
        at = {"lon": ("obs", np.arange(9.0) + shift), "lat": ("obs", np.zeros(9))}
        p = xr.DataArray(np.zeros(9), at, ("obs",)).patch.split(geometry=xpatch.KNNGraph(2))
        return recipe_of(p)["fingerprint"]

    assert of(0) == of(0) != of(5)


# ---------------------------------------------------------------------------- writing


def test_the_recipe_is_written_once(monkeypatch):
    import xpatch.patches.encoding

    p = field().patch.split(geometry={"y": 3, "x": 4})
    monkeypatch.setattr(xpatch.patches.encoding, "write_recipe", None)
    q = (p * 2 + p).isel(patch=[2, 1]).isel(y=0)
    assert recipe_of(q) == recipe_of(p)


def test_recipes_say_how_dims_and_helpers_are_called():
    p = field().patch.split(geometry={"y": 3, "x": 4}, sampler=xpatch.Random(9, seed=0))
    r = recipe_of(p.rename(y="lat", patch="tile", start_x="first").rename(tile="patch"))
    assert (r["dims"], r["at"], r["dim"]) == (["lat", "x"], ["start_y", "first"], "patch")
    both = recipe_of(several())
    names = [*both["at"], *both["others"][0]["at"]]
    assert len(set(names)) == 4
    assert set(names) <= set(several().coords)
    assert recipe_of(several().drop_vars("q").isel(patch=[0]))["others"]


@pytest.mark.parametrize(
    "values",
    [
        np.arange(5.0) / 3,
        np.array([1, 2, 4]),
        np.array(["a", "bcd", ""]),
        np.array(["a", "bcd"], object),
        np.array([True, False]),
        np.array(["2001-01-01", "2001-01-03"], "M8[s]"),
        np.arange(0),
        np.array([np.nan, np.inf]),
    ],
    ids=lambda v: str(v.dtype),
)
def test_packed_vectors(values):
    packed = pack(values)
    again = unpack(json.loads(json.dumps(packed)))
    assert again.dtype == values.dtype
    np.testing.assert_array_equal(again, values)


def test_labels_of_several_fields_are_copied_and_pickled():
    both = several()
    for again in (copy.deepcopy(both), pickle.loads(pickle.dumps(both)), both.copy(), both + 0):
        assert recipe_of(again) == recipe_of(both)
    assert not both["patch"].drop_attrs().attrs
    assert "others" not in recipe_of(several()["t"].patch.merge().patch.split(geometry={"y": 3}))


# ---------------------------------------------------------------------------- damage


def tampered(recipe, path, value):
    out = copy.deepcopy(recipe)
    at = out
    for key in path[:-1]:
        at = at[key]
    if value is DELETED:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return out


DELETED = object()


def paths(value, depth=5):
    """Give the ways to all values in a recipe."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield (key,)
        if depth:
            yield from ((key, *rest) for rest in paths(value[key], depth - 1))


JUNK = st.one_of(
    st.just(DELETED),
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(
        [10**9, 10**12, 10**30, -1, 2**63, 1e400, float("nan"), [], {}, "x", "<f8", "|O"]
    ),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-3, 3), max_size=3),
    st.dictionaries(
        st.sampled_from(["class", "n", "dtype", "zlib"]), st.text(max_size=3), max_size=3
    ),
    st.sampled_from(["Random", "Hann", "Mean", "Rectangular", "Custom"]).map(
        lambda c: {"class": c}
    ),
)


@pytest.mark.parametrize("name", MAKE)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_of_any_kind_is_a_value_error_or_does_no_harm(name, data):
    patches = made_as(name)
    recipe = recipe_of(patches)
    path = data.draw(st.sampled_from(list(paths(recipe))))
    value = data.draw(JUNK)
    try:
        merged = bare(patches, tampered(recipe, path, value)).patch.merge("mean")
    except ValueError:
        return
    expected = patches.patch.merge("mean")
    pairs = [(merged, expected)]
    if isinstance(merged, xr.Dataset):
        pairs = [(merged[n], expected[n]) for n in expected.data_vars]
    for a, b in pairs:
        assert a.shape == b.shape or path[0] in ("dim", "dims", "orders", "others", "parts")


WRONG = {
    "shape": [10**9, 8],
    "sizes": [10**9, 4],
    "dims": 3,
    "count": 10**12,
    "labels": [None, None],
    "starts": [{"dtype": "<i8", "n": 10**9, "start": 0, "step": 0, "stop": 0}] * 2,
    "wrap": [0, 0],
    "pad_mode": "__import__('os')",
    "pad_value": "1",
    "window": {"class": "Random", "n_samples": 5, "seed": 0},
    "aggregation": {"class": "Hann"},
    "geometry": {"class": "Hann"},
    "orders": [[1, 2]],
    "fingerprint": "0",
    "parts": [],
    "others": 5,
}


@pytest.mark.parametrize("key", WRONG)
@pytest.mark.parametrize("like", [False, True])
def test_damage_says_what_and_the_mend(key, like):
    patches = made_as("boxes").copy()
    damaged = bare(patches, {**recipe_of(patches), key: WRONG[key]})
    if like:
        plain = (
            field().patch.split(geometry={"y": 3, "x": 4}, sampler=xpatch.RegularStride(1)).load()
        )
        damaged = bare(plain, {**recipe_of(plain), key: WRONG[key]})
        np.testing.assert_allclose(damaged.patch.merge(like=field()), field())
        return
    with pytest.raises(ValueError, match=r"damaged.*like=field"):
        damaged.patch.merge()


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "{}", "[]", "1", "null", '{"version": 3}']
)
def test_text_that_is_no_recipe(text):
    with pytest.raises(ValueError, match="like=field"):
        bare(made_as("boxes"), text).patch.merge()


@pytest.mark.parametrize("version", [1, 2, 4, None, "3"])
def test_other_versions_are_refused_with_the_mend(version):
    plain = field().patch.split(geometry={"y": 3, "x": 4})
    old = bare(plain, {**recipe_of(plain), "version": version})
    with pytest.raises(
        ValueError, match=rf"has version.*reads version {VERSION}; merge with like=field"
    ):
        old.patch.merge()
    np.testing.assert_allclose(old.patch.merge(like=field()), field())


class RollingElsewhere(xpatch.CausalRolling):
    """A sampler of a third party."""


class CapElsewhere(xpatch.SphericalCap):
    """A geometry of a third party."""


class PlacesElsewhere(xpatch.Explicit):
    """A sampler of a third party that takes anchors."""


def test_a_subclass_does_what_its_base_does():
    days = pd.date_range("2001-01-01", periods=40)
    series = xr.DataArray(np.arange(40.0), {"time": days}, ("time",))
    horizon = xpatch.LookbackHorizon(5, 3)
    for split in (series.patch.split, series.chunk(time=9).patch.split):
        patches = split(horizon, sampler=RollingElsewhere(2)).load()
        for made in (patches, bare(patches, recipe_of(patches))):
            assert made.patch.horizon.lead.values.tolist() == [0, 1, 2]
            assert made.patch.lookback.lead.values.tolist() == [-5, -4, -3, -2, -1]


def test_the_outline_of_a_subclass_is_that_of_its_base():
    pytest.importorskip("geopandas")
    grid = xr.DataArray(np.zeros((3, 4)), {"lat": [-1, 0, 1], "lon": [0, 90, 180, 270]})
    outlines = [
        grid.patch.split(geometry=cap(150.0)).patch.footprints().geometry
        for cap in (xpatch.SphericalCap, CapElsewhere)
    ]
    assert outlines[0].geom_equals(outlines[1]).all()


def test_anchors_are_left_out_of_the_recipe_of_a_subclass():
    places = [(0, 0), (2, 3), (1, 1)]
    patches = field().patch.split(geometry={"y": 3, "x": 4}, sampler=PlacesElsewhere(places))
    assert recipe_of(patches)["sampler"] == {"class": "PlacesElsewhere", "anchors": None}
    again = bare(patches, recipe_of(patches))
    assert again.patch.spec["sampler"]["anchors"] == [list(place) for place in places]
    np.testing.assert_array_equal(again.patch.merge(), patches.patch.merge())


def test_nothing_is_decompressed_beyond_what_is_needed():
    recipe = recipe_of(made_as("boxes"))
    bomb = b64encode(zlib.compress(bytes(10**7), 9)).decode()
    with pytest.raises(ValueError, match="64 bytes"):
        unpack({**recipe["labels"][1], "zlib": bomb})
    with pytest.raises(DamagedRecipe, match="labels or shape"):
        check(tampered(recipe, ("labels", 1, "zlib"), bomb))


@pytest.mark.parametrize("dtype", ["|O", "O", "object", "<c16", "V8", "i4,f8", "<U99999999"])
def test_dtypes_are_those_of_labels(dtype):
    recipe = recipe_of(made_as("boxes"))
    with pytest.raises(DamagedRecipe):
        check(tampered(recipe, ("labels", 1, "dtype"), dtype))


def test_keys_of_others_are_not_looked_at():
    patches = made_as("boxes")
    more = {**recipe_of(patches), "mapping": {"name": "spatial_ref", "attrs": {}}}
    np.testing.assert_allclose(bare(patches, more).patch.merge(), patches.patch.merge())


@pytest.mark.parametrize("name", ["random", "members"])
def test_lists_are_not_longer_than_patches_can_be(name):
    patches = made_as(name)
    with pytest.raises(ValueError, match=r"damaged.*like=field"):
        bare(patches, {**recipe_of(patches), "count": 1 << 26}).patch.merge()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["u1", "u8", "i1"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_integers_that_fall_or_are_large_come_back(dtype, size):
    labels = np.arange(6)[::-1].astype(dtype)
    labels = labels if size == "small" else np.iinfo(dtype).max - labels
    field = xr.DataArray(np.arange(6.0), {"x": labels}, name="v")
    p = field.patch.split(geometry={"x": 2})
    coords = {n: (c.dims, c.values, c.attrs) for n, c in p.coords.items()}
    merged = xr.DataArray(p.values, coords, p.dims, name="v").patch.merge()
    xr.testing.assert_identical(merged, field)
    assert merged.x.dtype == dtype
