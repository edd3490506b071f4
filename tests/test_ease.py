"""Tab completion: what it shows is there to be used, and it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch

TIME = pd.date_range("2000", "2003", freq="14D")
WEEKS = xpatch.LookbackHorizon(5, 2)


def grid():
    data = np.random.default_rng(0).random((len(TIME), 6, 12))
    coords = {"time": TIME, "lat": np.arange(-75.0, 90, 30), "lon": np.arange(0.0, 360, 30)}
    return xr.DataArray(data, coords, ("time", "lat", "lon"), name="t")


def now():
    return grid().isel(time=0, drop=True)


def plain():
    return xr.DataArray(np.zeros((8, 8)), dims=("y", "x"))


def stations():
    lon, lat = np.random.default_rng(0).uniform(0, 9, (2, 20))
    return xr.DataArray(np.zeros(20), {"lon": ("obs", lon), "lat": ("obs", lat)}, ("obs",))


def polygons():
    shapely = pytest.importorskip("shapely")
    boxes = shapely.box(np.arange(9), 0, np.arange(9) + 1, 1)
    return xr.DataArray(np.zeros(9), {"geometry": boxes}, ("geometry",))


def faces():
    ux = pytest.importorskip("uxarray")
    from tests.element_strategies import mesh

    return ux.UxDataArray(xr.DataArray(np.zeros(mesh().n_face), dims="n_face"), uxgrid=mesh())


def two_scenes():
    other = now().assign_coords(lat=now().lat / 2)
    parts = [f.patch.split(geometry={"lat": 2, "lon": 3}) for f in (now(), other)]
    return xpatch.concat(parts, scenes=["a", "b"])


def theta():
    both = xr.Dataset({"a": now(), "b": now() ** 2})
    patches = both.patch.split(geometry={"lat": 3, "lon": 4})
    return patches.patch.fit(xpatch.LeastSquares(), y="a", x="b")


def scales():
    return grid().patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))


def over(*axes):
    return grid().patch.split(xpatch.TimePatcher(*axes))


def in_both(geometry):
    space, time = xpatch.Patcher(geometry), xpatch.TimePatcher(WEEKS)
    return grid().patch.split(xpatch.SpatioTemporalPatcher(space, time))


def curved():
    lat, lon = np.meshgrid(np.arange(8.0), np.arange(9.0), indexing="ij")
    at = {"lat": (("j", "i"), lat + lon / 9), "lon": (("j", "i"), lon - lat / 9)}
    return xr.DataArray(np.zeros((8, 9)), at, ("j", "i"))


BOXES = {"lat": 2, "lon": 3}
FIELDS = {"grid": grid, "plain": plain, "stations": stations, "polygons": polygons, "mesh": faces}
PATCHES = {
    "boxes": lambda: now().patch.split(geometry=BOXES),
    "dask": lambda: now().chunk(lat=2).patch.split(geometry=BOXES),
    "caps": lambda: now().patch.split(geometry=xpatch.SphericalCap(3000)),
    "hops": lambda: faces().patch.split(geometry=xpatch.KHopGraph(1)),
    "plain": lambda: plain().patch.split(geometry=4),
    "curved": lambda: curved().patch.split(geometry=3),
    "unlabeled hops": lambda: plain().patch.split(geometry=xpatch.KHopGraph(1)),
    "boxes around": lambda: stations().patch.split(geometry=xpatch.Rectangular(lat=9.0, lon=9.0)),
    "near": lambda: stations().patch.split(geometry=xpatch.KNNGraph(3)),
    "districts": lambda: polygons().patch.split(geometry=xpatch.KNNGraph(3)),
    "lookback and horizon": lambda: over(WEEKS),
    "lookback": lambda: over(xpatch.FixedLookback(5)),
    "the horizon alone": lambda: over(WEEKS).patch.horizon,
    "phase": lambda: over(xpatch.PhaseWindow("1YS", "30D")),
    "causal phase": lambda: over(xpatch.PhaseWindow("1YS", "30D", causal=True)),
    "seasons": lambda: over(xpatch.CalendarPeriod("3MS")),
    "boxes in time": lambda: in_both(BOXES),
    "caps in time": lambda: in_both(xpatch.SphericalCap(3000)),
    "scenes": two_scenes,
    "parameters": theta,
    "one": lambda: now().patch.split(geometry=BOXES).isel(patch=1),
    "without index": lambda: now().patch.split(geometry=BOXES).drop_indexes("patch"),
    "matrix": lambda: now().patch.split(geometry=BOXES).patch.flatten(),
    "scale": lambda: scales()["5"].to_dataset(),
    "dataset": lambda: xr.Dataset({"a": now()}).patch.split(geometry=BOXES),
}


def names(obj):
    return {n for n in dir(obj.patch) if not n.startswith("_")}


@pytest.mark.parametrize("kind", [*FIELDS, *PATCHES])
def test_every_name_that_is_shown_works(kind):
    obj = {**PATCHES, **FIELDS}[kind]()
    for name in names(obj):
        getattr(obj.patch, name)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("grid", {"area"}), ("mesh", {"area"}), ("plain", ()), ("stations", ()), ("polygons", ())],
)
def test_a_field_can_be_split(kind, more):
    assert names(FIELDS[kind]()) == {"split", "apply", "domain", *more}


@pytest.mark.parametrize(
    ("kind", "shown", "hidden"),
    [
        ("boxes", "merge fit anchors area slices crop footprints", "pool predict horizon distance"),
        ("caps", "merge distance geometries edges area", "slices crop lookback"),
        ("near", "merge distance geometries edges", "area slices crop"),
        ("plain", "merge mask plot", "slices"),
        ("curved", "merge footprints area", "slices to_features"),
        ("unlabeled hops", "merge distance edges", "plot places offsets footprints geometries"),
        ("boxes around", "merge distance footprints", "edges slices to_features"),
        ("lookback and horizon", "lookback horizon crop", "distance footprints to_features"),
        ("lookback", "lookback merge", "horizon"),
        ("the horizon alone", "horizon merge", "lookback"),
        ("phase", "lookback horizon", "crop"),
        ("causal phase", "lookback", "horizon"),
        ("caps in time", "lookback horizon distance", "crop pool"),
        ("scenes", "batches sets footprints area fit", "merge anchors plot"),
        ("parameters", "pool predict merge anchors", "fit lookback area unflatten"),
        ("matrix", "unflatten", "merge split"),
        ("dataset", "merge", "flatten unflatten"),
    ],
)
def test_what_is_shown(kind, shown, hidden):
    found = names(PATCHES[kind]())
    assert {*shown.split()} <= found
    assert not {*hidden.split()} & found


def test_what_is_not_shown_is_there_and_says_why():
    with pytest.raises(ValueError, match="these are not patches"):
        _ = grid().patch.anchors
    with pytest.raises(ValueError, match="boxes have no distances"):
        _ = PATCHES["boxes"]().patch.distance


def test_completion_never_raises():
    twice = xr.DataArray(np.zeros((2, 2)), dims=("x", "x"))
    assert {"split", "domain"} <= names(twice)


def test_nothing_is_computed():
    def fail(block):
        raise AssertionError("read")

    field = now().copy(data=da.zeros((6, 12), chunks=3).map_blocks(fail, dtype=float))
    patches = field.patch.split(geometry=BOXES)
    assert "merge" in names(patches)
    assert "split" in names(field)


CHEAP = """
import sys
import numpy as np, xarray as xr, xpatch
field = xr.DataArray(np.zeros((4, 8)), {"lat": np.arange(4.0), "lon": np.arange(8.0)})
before = {*sys.modules}
dir(field.patch)
new = {m for m in {*sys.modules} - before if not m.startswith(("cf_xarray", "rich", "xarray"))}
print(sorted(new - {"colorsys"}))  # roles are told by cf_xarray
patches = field.patch.split(geometry=2)
before = {*sys.modules}
dir(patches.patch), dir(field.patch)
print(sorted({*sys.modules} - before))
"""


def test_completion_imports_nothing_heavy():
    run = subprocess.run([sys.executable, "-c", CHEAP], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["['xpatch.patches.completion']", "[]"]
