"""Space and time together, where one of them is lists: stations, meshes, months, phases."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings

import xpatch
from tests.element_strategies import mesh

STEPS = 48


def axis(calendar=None, irregular=False):
    if calendar is not None:
        return xr.date_range(
            "2001-01-20", periods=STEPS, freq="D", calendar=calendar, use_cftime=True
        )
    days = pd.date_range("2001-01-20", periods=2 * STEPS, freq="D")
    if irregular:
        return days[np.sort(np.random.default_rng(1).choice(2 * STEPS, STEPS, replace=False))]
    return days[:STEPS]


def field(kind, calendar=None, irregular=False, dtype="f8", chunks=None, band=False):
    """A field of 48 days, time first or last, on stations, polygons, a mesh or a grid."""
    rng = np.random.default_rng(3)
    time = axis(calendar, irregular)
    if kind == "stations":
        dims, sizes = ["time", "obs"], [STEPS, 9]
        coords = {"lon": ("obs", rng.uniform(0, 60, 9)), "lat": ("obs", rng.uniform(-60, 60, 9))}
    elif kind == "polygons":
        dims, sizes = ["geometry", "time"], [8, STEPS]
        corner = rng.integers(0, 5, (8, 2)) * 1.0
        coords = {"geometry": shapely.box(*corner.T, *(corner + 1).T)}
    elif kind == "mesh":
        dims, sizes, coords = ["time", "n_face"], [STEPS, mesh().n_face], {}
    else:
        dims, sizes = ["y", "time", "x"], [7, STEPS, 8]
        coords = {"y": np.arange(7.0), "x": np.arange(8.0)}
    if band:
        dims, sizes = [*dims, "band"], [*sizes, 2]
    values = rng.integers(-99, 99, sizes).astype(dtype)
    out = xr.DataArray(values, {"time": time, **coords}, dims, name="v", attrs={"units": "K"})
    if kind == "mesh":
        import uxarray as ux

        out = ux.UxDataArray(out, uxgrid=mesh())
    return out if chunks is None else out.chunk(chunks)


SPACE = {
    "stations": [xpatch.KNNGraph(3), xpatch.SphericalCap(4000.0), xpatch.RadiusGraph(3000.0)],
    "polygons": [xpatch.KNNGraph(2), xpatch.PolygonIntersection([shapely.box(0, 0, 3, 3)])],
    "mesh": [xpatch.KHopGraph(1), xpatch.KNNGraph(4)],
    "grid": [xpatch.KNNGraph(5), xpatch.RadiusGraph(1.5), xpatch.Rectangular(y=3, x=4)],
}
CASES = [(kind, space) for kind, several in SPACE.items() for space in several]
TIME = [
    xpatch.FixedLookback(6),
    xpatch.FixedLookback("1MS"),
    xpatch.LookbackHorizon("5D", "2D", gap=1),
    xpatch.PhaseWindow("7D", "1D"),
    xpatch.PhaseWindow("7D", "1D", causal=True),
]


def patcher(space, time, sampler=None, coupling="product", **windows):
    return xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(space, window=windows.get("place")),
        xpatch.TimePatcher(
            time, sampler or xpatch.RegularTimeStride(4), window=windows.get("lead")
        ),
        coupling,
    )


def alone(one, space, time, sampler=None):
    """Split in time, and each of these patches in space: what the product must be."""
    windows = one.patch.split(
        xpatch.TimePatcher(time, sampler or xpatch.RegularTimeStride(4)), dim="window"
    )
    places = one.patch.split(geometry=space, dim="place")
    return windows, places


@pytest.mark.parametrize(("kind", "space"), CASES, ids=str)
@pytest.mark.parametrize("time", TIME, ids=str)
def test_a_patch_is_a_window_of_a_place(kind, space, time):
    one = field(kind)
    patches = one.patch.split(patcher(space, time))
    windows, places = alone(one, space, time)
    assert patches.sizes["patch"] == windows.sizes["window"] * places.sizes["place"]
    slots = set(patches.dims) - {"patch", "time"}
    assert patches.dims[0] == "patch"
    for k in range(0, patches.sizes["patch"], 5):
        place, window = divmod(k, windows.sizes["window"])
        ours = patches.isel(patch=k)
        steps = np.flatnonzero(np.isin(one.time.values, windows.time.values[window]))
        if "time_number" in windows.coords:
            steps = windows.time_number.values[window]
        whole = places.isel(place=place).isel(time=np.maximum(steps, 0))
        whole = whole.where(xr.DataArray(steps >= 0, dims="time"))
        whole = whole.transpose(*ours.dims)
        np.testing.assert_array_equal(ours.values, whole.values)
        for name in slots:
            if name in ours.coords:
                np.testing.assert_array_equal(ours[name], places[name].isel(place=place))
    np.testing.assert_array_equal(
        patches.time, windows.time.values[np.arange(len(patches)) % windows.sizes["window"]]
    )


@pytest.mark.parametrize(("kind", "space"), CASES, ids=str)
@pytest.mark.parametrize("time", TIME, ids=str)
@pytest.mark.parametrize("calendar", [None, "360_day"])
def test_identity_and_cover(kind, space, time, calendar):
    one = field(kind, calendar, band=kind == "grid")
    patches = one.patch.split(
        patcher(space, time, place=xpatch.Tukey(), lead=xpatch.ExponentialDecay(2.0))
    )
    merged = patches.patch.merge()
    windows, places = alone(one, space, time)
    covered = windows.patch.merge("count").astype(bool) & places.patch.merge("count").astype(bool)
    assert merged.dims == one.dims
    assert merged.attrs == one.attrs
    xr.testing.assert_allclose(merged, one.where(covered).transpose(*one.dims))
    np.testing.assert_array_equal(merged.notnull().values, covered.transpose(*one.dims).values)
    xr.testing.assert_equal(merged.coords.to_dataset(), one.coords.to_dataset())


@pytest.mark.parametrize(("kind", "space"), CASES, ids=str)
@pytest.mark.parametrize("time", TIME, ids=str)
def test_numpy_and_dask_agree(kind, space, time):
    one = field(kind, dtype="f4", band=True)
    chunked = one.chunk(dict(zip(one.dims, (5, 7, 4, 1), strict=False)))
    many = patcher(space, time)
    patches, lazy = one.patch.split(many), chunked.patch.split(many)
    assert lazy.chunks is not None
    xr.testing.assert_equal(lazy.sortby("patch").compute(), patches)
    several = ("mean", "median", "max", "last", "most_central", "var")
    first = (CASES.index((kind, space)) + TIME.index(time)) % 3
    for aggregation in several[first::3]:
        merged = lazy.patch.merge(aggregation)
        assert merged.chunks == chunked.chunks
        xr.testing.assert_allclose(merged.compute(), patches.patch.merge(aggregation))
    xr.testing.assert_allclose(
        chunked.patch.apply(lambda p: p + 1, many, batch_size=7).compute(),
        one.patch.apply(lambda p: p + 1, many),
    )


AGGREGATIONS = ["mean", "median", "min", "max", "first", "last", "mode", "most_central"]


@pytest.mark.parametrize("kind", list(SPACE))
@pytest.mark.parametrize("dtype", ["f4", "i2", "?"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_every_aggregation_is_the_identity(kind, dtype, aggregation):
    one = field(kind, dtype=dtype)
    merged = one.patch.split(patcher(SPACE[kind][0], TIME[1])).patch.merge(aggregation)
    covered = merged.notnull()
    assert 0 < int(covered.sum()) <= one.size
    xr.testing.assert_allclose(merged.astype(float), one.astype(float).where(covered))


@pytest.mark.parametrize("calendar", [None, "noleap", "360_day", "julian", "all_leap"])
@pytest.mark.parametrize("irregular", [False, True])
def test_months_at_stations_on_every_calendar(calendar, irregular):
    one = field("stations", calendar, irregular)
    patches = one.patch.split(patcher(xpatch.KNNGraph(2), xpatch.FixedLookback("1MS")))
    merged = patches.patch.merge()
    xr.testing.assert_allclose(merged, one.where(merged.notnull()))
    steps = patches.patch.anchors.cell_time.values
    for k in range(0, len(steps), 3):
        held = patches.isel(patch=k).time.values
        assert max(t for t in held if t is not None and t == t) == one.time.values[steps[k]]


@pytest.mark.parametrize(("kind", "space"), CASES, ids=str)
@pytest.mark.parametrize(
    "time",
    [
        xpatch.FixedLookback("6D"),
        xpatch.FixedLookback("1MS"),
        xpatch.PhaseWindow("7D", "1D", causal=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("sampler", [xpatch.RegularTimeStride(9), xpatch.CausalRolling(9)], ids=str)
def test_nothing_leaks_from_the_future(kind, space, time, sampler):
    one = field(kind, irregular=True)
    many = patcher(space, time, sampler)
    patches = one.patch.split(many)
    steps = patches.patch.anchors.cell_time.values
    last = 0 if isinstance(sampler, xpatch.CausalRolling) else 1
    for step in np.unique(steps):
        poisoned = one.copy(
            data=np.where(np.arange(STEPS) < step + last, 0.0, np.nan).reshape(
                [-1 if d == "time" else 1 for d in one.dims]
            )
            + one.values
        )
        again = poisoned.patch.split(many)
        which = np.flatnonzero(steps == step)
        np.testing.assert_array_equal(again.isel(patch=which), patches.isel(patch=which))


@pytest.mark.parametrize(
    "time", [xpatch.LookbackHorizon(6, 3), xpatch.LookbackHorizon("1MS", "3D", gap="1D")], ids=str
)
@pytest.mark.parametrize("chunks", [None, {"time": 7}])
def test_lookback_and_horizon_share_no_step(time, chunks):
    one = field("stations", chunks=chunks)
    patches = one.patch.split(patcher(xpatch.KNNGraph(3), time))
    past, future = patches.patch.lookback, patches.patch.horizon
    at = patches.patch.anchors.time.values
    for part, after in ((past, False), (future, True)):
        times = part.time.values
        known = ~np.isnat(times)
        assert ((times > at[:, None]) == after)[known].all()
        merged = part.patch.merge().compute()
        xr.testing.assert_allclose(merged, one.compute().where(merged.notnull()))
    both = past.patch.merge("count") + future.patch.merge("count")
    assert int(both.sum()) == int(patches.patch.merge("count").sum())


@pytest.mark.parametrize("coupled", ["stations", "grid", "mesh"])
def test_coupled_events(coupled):
    one = field(coupled)
    times = one.time.values[[10, 30, 33, 40]]
    space = {
        "stations": xpatch.KNNGraph(3),
        "grid": xpatch.RadiusGraph(1.5),
        "mesh": xpatch.KHopGraph(1),
    }[coupled]
    at = [(1, 2), (3, 3), (5, 1), (0, 0)] if coupled == "grid" else [2, 5, 5, 7]
    many = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(space, xpatch.Explicit(at)),
        xpatch.TimePatcher(xpatch.FixedLookback("1MS"), xpatch.EventTriggered(times)),
        "coupled",
    )
    patches = one.patch.split(many)  # the first has no whole month behind it
    assert patches.patch.anchors.time.values.tolist() == times[1:].tolist()
    assert patches.sizes["patch"] == 3
    merged = patches.patch.merge()
    xr.testing.assert_allclose(merged, one.where(merged.notnull()))
    assert 0 < int(merged.notnull().sum()) < one.size


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize(("kind", "space"), [c for c in CASES if c[0] != "mesh"], ids=str)
@pytest.mark.parametrize("time", TIME, ids=str)
def test_patches_come_back_from_files(kind, space, time, tmp_path):
    one = field(kind)
    known = not isinstance(space, xpatch.PolygonIntersection)  # distances are, of other geometries
    patches = one.patch.split(patcher(space, time, place=xpatch.Tukey() if known else None))
    stored = patches.drop_encoding()
    stored.to_netcdf(tmp_path / "p.nc")
    back = xr.open_dataarray(tmp_path / "p.nc").load()
    expected = patches.patch.merge()
    xr.testing.assert_allclose(back.patch.merge(like=one), expected)
    few = back.isel(patch=[3, 1, 4])
    xr.testing.assert_allclose(
        few.patch.merge(like=one), patches.isel(patch=[3, 1, 4]).patch.merge()
    )


def test_fields_on_disk_are_read_where_they_are_needed(tmp_path):
    one = field("stations")
    one.to_netcdf(tmp_path / "f.nc")
    disk = xr.open_dataarray(tmp_path / "f.nc")
    patches = disk.patch.split(patcher(xpatch.KNNGraph(3), xpatch.FixedLookback("1MS")))
    assert not patches.variable._in_memory
    xr.testing.assert_equal(
        patches.isel(patch=[4]).load(),
        one.patch.split(patcher(xpatch.KNNGraph(3), xpatch.FixedLookback("1MS"))).isel(patch=[4]),
    )


def test_a_dataset_keeps_what_has_only_space_or_only_time():
    one = field("stations")
    static = xr.DataArray(np.arange(9.0), dims="obs")
    index = xr.DataArray(np.arange(STEPS) * 1.0, dims="time")
    ds = xr.Dataset({"v": one, "height": static, "index": index, "year": 2001})
    patches = ds.patch.split(patcher(xpatch.KNNGraph(3), xpatch.FixedLookback("1MS")))
    assert patches.height.dims == ("patch", "obs")
    assert patches["index"].dims == ("patch", "time")
    merged = patches.patch.merge()
    xr.testing.assert_allclose(merged.v, one.where(merged.v.notnull()))
    np.testing.assert_allclose(merged.height, static)
    covered = merged["index"].notnull()
    xr.testing.assert_allclose(
        merged["index"].drop_vars("time"), index.where(covered.drop_vars("time"))
    )
    assert int(merged.year) == 2001


def test_what_can_be_asked_of_patches():
    one = field("stations")
    patches = one.patch.split(
        patcher(xpatch.KNNGraph(3), TIME[1], lead=xpatch.ExponentialDecay(2.0))
    )
    mask, weights = patches.patch.mask, patches.patch.weights
    assert mask.dims == weights.dims == ("patch", "time", "obs")
    np.testing.assert_array_equal(mask, patches.notnull())
    assert float(weights.where(mask).max()) == 1.0
    assert patches.patch.distance.dims == ("patch", "obs")
    assert set(patches.patch.anchors) == {"time", "lon", "lat"}
    assert len(patches.patch.footprints()) == patches.sizes["patch"]
    assert patches.patch.spec["coupling"] == "product"
    assert "of 48" in repr(patches.patch)
    assert patches.patch.geometries.dims == ("patch", "obs")


def test_one_value_a_patch_paints_its_window_and_place():
    one = field("stations")
    patches = one.patch.split(patcher(xpatch.KNNGraph(3), TIME[1]))
    painted = patches.mean(("time", "obs")).patch.merge("count")
    xr.testing.assert_equal(
        painted, patches.notnull().where(patches.patch.mask).patch.merge("count")
    )
    lines = patches.mean("obs").patch.merge()
    assert lines.dims == one.dims


def test_shuffled_patches_merge_to_the_same():
    one = field("grid")
    patches = one.patch.split(patcher(xpatch.RadiusGraph(1.5), TIME[1]))
    order = np.random.default_rng(0).permutation(patches.sizes["patch"])
    for aggregation in ("mean", "last", "median"):
        xr.testing.assert_equal(
            patches.isel(patch=order).patch.merge(aggregation), patches.patch.merge(aggregation)
        )


# -------------------------------------------------------------------------- one after the other


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**20), boxes=st.booleans())
def test_time_first_is_the_mean_of_means(seed, boxes):
    one = field("grid")
    space = xpatch.Rectangular(y=3, x=4) if boxes else xpatch.RadiusGraph(1.5)
    patches = one.patch.split(patcher(space, xpatch.FixedLookback(6)))
    rng = np.random.default_rng(seed)
    model = patches.copy(data=rng.normal(size=patches.shape)).where(patches.notnull())
    merged = model.patch.merge(("mean", "max"))
    n = len(np.unique(patches.patch.anchors.cell_time))
    places = model.sizes["patch"] // n
    assert places == one.patch.split(geometry=space, dim="place").sizes["place"]
    parts = []
    for place in range(places):
        own = model.isel(patch=slice(place * n, place * n + n))
        whole = own.patch.merge("max")
        parts.append(whole)
    stack = xr.concat(parts, "place")
    xr.testing.assert_allclose(merged, stack.mean("place").transpose(*one.dims))


def test_time_first_of_coupled_and_shuffled_patches():
    one = field("stations")
    patches = one.patch.split(patcher(xpatch.KNNGraph(3), TIME[1]))
    rng = np.random.default_rng(0)
    some = patches.isel(patch=rng.permutation(patches.sizes["patch"])[:-5])
    merged = some.patch.merge(("median", "mean"))
    xr.testing.assert_allclose(merged, one.where(merged.notnull()))
    lazy = one.chunk(time=9).patch.split(patcher(xpatch.KNNGraph(3), TIME[1]))
    xr.testing.assert_allclose(
        lazy.patch.merge(("median", "mean")).compute(), patches.patch.merge(("median", "mean"))
    )


def test_time_first_errors():
    one = field("grid")
    patches = one.patch.split(patcher(xpatch.Rectangular(y=3, x=4), xpatch.FixedLookback(6)))
    with pytest.raises(ValueError, match="two of them"):
        patches.patch.merge(("mean", "mean", "mean"))
    with pytest.raises(ValueError, match="fillna"):
        patches.patch.merge(("mean", "mean"), fill_value=0)
    with pytest.raises(ValueError, match="SpatioTemporalPatcher"):
        one.patch.split(geometry={"y": 3, "x": 4}).patch.merge(("mean", "mean"))


# -------------------------------------------------------------------------------------- forecasts


@pytest.mark.parametrize("space", [xpatch.Rectangular(y=3, x=4), xpatch.RadiusGraph(1.5)], ids=str)
@pytest.mark.parametrize("chunks", [None, {"time": 13, "y": 3}])
def test_the_latest_forecast_is_the_latest_of_all_places(space, chunks):
    one = field("grid", chunks=chunks)
    many = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(
            space, None if isinstance(space, xpatch.RadiusGraph) else xpatch.RegularStride(2)
        ),
        xpatch.TimePatcher(xpatch.LookbackHorizon(4, 6), xpatch.RegularTimeStride(3)),
    )
    patches = one.patch.split(many)
    made = patches.patch.anchors.cell_time
    model = patches * 0 + xr.DataArray(made.values, dims="patch")
    latest = model.patch.merge(xpatch.Forecast("latest")).compute()
    newest = model.patch.horizon.patch.merge("max").compute()
    xr.testing.assert_equal(latest, newest)


@pytest.mark.parametrize("space", [xpatch.Rectangular(y=3, x=4), xpatch.RadiusGraph(1.5)], ids=str)
@pytest.mark.parametrize("chunks", [None, {"time": 13, "y": 3}])
def test_a_cube_of_forecasts_in_space(space, chunks):
    one = field("grid", chunks=chunks)
    patches = one.patch.split(
        patcher(space, xpatch.LookbackHorizon(5, 3), xpatch.RegularTimeStride(6))
    )
    cube = patches.patch.merge(xpatch.Forecast("cube")).compute()
    assert cube.dims == ("forecast_reference_time", "forecast_period", "y", "x")
    assert cube.forecast_period.values.tolist() == [1, 2, 3]
    for k in range(cube.sizes["forecast_reference_time"]):
        made = cube.isel(forecast_reference_time=k)
        truth = one.compute().sel(time=made.valid_time.values).transpose("time", "y", "x")
        np.testing.assert_allclose(made.values, truth.values)
        step = pd.to_timedelta(made.forecast_period.values, "D")
        assert (
            made.valid_time.values == pd.Timestamp(made.forecast_reference_time.values) + step
        ).all()


@pytest.mark.parametrize("temporal", ["latest", "cube"])
@pytest.mark.parametrize(
    "new",
    [
        pd.Index(["ridge", "persistence"], name="model"),
        pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["run", "kind"]),
    ],
    ids=["plain", "multi"],
)
def test_new_dimensions_keep_their_index_in_turn(temporal, new):
    one = field("grid")
    patches = one.patch.split(
        patcher(xpatch.Rectangular(y=3, x=4), xpatch.LookbackHorizon(5, 3))
    ).patch.horizon
    coords = (
        xr.Coordinates.from_pandas_multiindex(new, "model") if new.nlevels > 1 else {"model": new}
    )
    members = (patches + xr.DataArray([0.0, 1.0], dims="model")).assign_coords(coords)
    found = members.patch.merge((xpatch.OverlapAdd("hann"), xpatch.Forecast(temporal)))
    expected = patches.patch.merge((xpatch.OverlapAdd("hann"), xpatch.Forecast(temporal)))
    assert found.indexes["model"].equals(new)
    second = found.sel(model=new[1]).drop_vars(["model", *new.names], errors="ignore")
    xr.testing.assert_allclose(second, expected + 1)


def test_states_are_carried_on_in_each_place_on_its_own():
    one = field("stations")
    patches = one.patch.split(patcher(xpatch.KNNGraph(2), xpatch.FixedLookback(4)))
    seen = {}

    def step(state, patch):
        place = int(patch.anchor_element)
        assert state == seen.get(place, 0)
        seen[place] = state + 1
        return state + 1, patch * 0 + state

    merged = patches.isel(patch=slice(None, None, -1)).patch.merge(xpatch.Sequential(step, 0))
    assert merged.dims == one.dims
    assert len(seen) == 9


# ------------------------------------------------------------------------------------------ graph


def test_chunks_along_time_are_read_once():
    import dask.array as da

    counts = {}

    def count(block, block_info=None):
        if block.size and block_info:
            key = block_info[0]["chunk-location"]
            counts[key] = counts.get(key, 0) + 1
        return block

    one = field("stations", chunks={"time": 6})
    one = one.copy(data=da.map_blocks(count, one.data, dtype=one.dtype, meta=np.empty((0, 0))))
    many = patcher(xpatch.KNNGraph(3), xpatch.FixedLookback(6))
    merged = one.patch.split(many).patch.merge()
    merged.compute(scheduler="synchronous")
    assert counts == {(k, 0): 1 for k in range(8)}
    own = [k for k in merged.__dask_graph__() if str(k[0]).startswith("xpatch-")]
    assert len(own) <= 8 * 4


def test_padding_that_needs_whole_axes_is_refused():
    box = xpatch.Rectangular(y=3, x=4, boundary="pad", pad_mode="mean")
    with pytest.raises(ValueError, match="pad_mode='mean'"):
        field("grid").patch.split(patcher(box, xpatch.FixedLookback("1MS")))
    with pytest.raises(ValueError, match="cuts 'time'"):
        field("grid").patch.split(patcher(xpatch.Rectangular(time=3, x=4), xpatch.FixedLookback(3)))


@pytest.mark.parametrize("boundary", ["shift", "drop", "pad", "wrap"])
@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_boxes_at_the_border_with_months(boundary, mode):
    one = field("grid")
    box = xpatch.Rectangular(y=3, x=5, boundary=boundary, pad_mode=mode)
    many = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(box, xpatch.RegularStride(2), window="hann"),
        xpatch.TimePatcher(xpatch.FixedLookback("1MS"), xpatch.RegularTimeStride(3)),
    )
    patches = one.patch.split(many)
    merged = patches.patch.merge()
    xr.testing.assert_allclose(merged, one.where(merged.notnull()))
    space = one.patch.split(many.spatial, dim="place")
    ours = patches.isel(patch=slice(None, None, patches.sizes["patch"] // space.sizes["place"]))
    first = ours.isel(time=0).values
    at = patches.time_number.values[0, 0]
    np.testing.assert_allclose(first, space.isel(time=at).values)


def test_many_lists_on_a_lattice_with_windows_in_time():
    """NumPy 2.4 unravels more than 8,192 numbers wrongly where the last axis has one entry."""
    rng = np.random.default_rng(0)
    labels = {"time": np.arange(6), "y": np.arange(20.0), "x": np.arange(20.0)}
    one = xr.DataArray(rng.random((6, 20, 20)), labels, ("time", "y", "x"))
    patches = one.patch.split(geometry=[xpatch.RadiusGraph(1.5), xpatch.FixedLookback(3)])
    assert patches.size > 8192 * 3
    (cell,) = {*patches.xindexes["patch"].plans[0].inner} - {"time"}
    number, step = patches[cell].values, patches["time_number"].values
    there = number >= 0
    rows, columns = np.divmod(np.where(there, number, 0), 20)
    known = one.values[step[:, :, None], rows[:, None], columns[:, None]]
    given = patches.transpose("patch", "time", cell).values
    np.testing.assert_array_equal(given, np.where(there[:, None], known, np.nan))
    xr.testing.assert_allclose(patches.patch.merge(), one)
