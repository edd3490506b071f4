"""What coordinates of windows in time are called, and that they are found by these names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch
from xpatch import EventTriggered, ExplicitTimes, FixedLookback, LookbackHorizon, RegularTimeStride

DAYS = pd.date_range("2001-01-01", periods=60)
SERIES = xr.DataArray(np.arange(60.0), {"time": DAYS}, ("time",), name="t")
GEOMETRIES = [
    FixedLookback(5),
    FixedLookback("1MS"),
    LookbackHorizon(5, 3),
    LookbackHorizon(5, 3, gap=2),
    xpatch.PhaseWindow("7D", 3),
]


@pytest.mark.parametrize("chunks", [None, {"time": 20}], ids=["numpy", "dask"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_steps_are_always_there(geometry, chunks):
    field = SERIES if chunks is None else SERIES.chunk(chunks)
    space = field.expand_dims(x=6).transpose("time", "x")
    for patches in (field.patch.split(geometry), space.patch.split(geometry=[{"x": 2}, geometry])):
        assert patches.anchor_step.dims == ("patch",)
        assert not patches.coords["time_number"].variable._in_memory
        number = patches.time_number.transpose("patch", "time").values
        values = patches.isel(x=0) if "x" in patches.dims else patches
        there = number >= 0
        np.testing.assert_array_equal(values.values[there], number[there])
        assert pd.isnull(values.values[~there]).all()
        if "lead" in patches.coords:
            np.testing.assert_array_equal(
                number - patches.anchor_step.values[:, None], number * 0 + patches.lead.values
            )
        few = patches.isel(patch=[3, 1])
        np.testing.assert_array_equal(few.time_number, number[[3, 1]])
    for part in ("lookback", "horizon"):
        if isinstance(geometry, LookbackHorizon):
            own = getattr(field.patch.split(geometry).patch, part)
            np.testing.assert_array_equal(own.time_number, own.fillna(-1))


def test_planning_looks_at_no_step():
    long = xr.DataArray(
        np.zeros(1_000_000, "f4"),
        {"time": pd.date_range("1900", periods=1_000_000, freq="h")},
        ("time",),
    )
    patches = long.chunk(time=100_000).patch.split(FixedLookback(365))
    assert not patches.coords["time_number"].variable._in_memory
    assert not patches.coords["anchor_step"].variable._in_memory


def taken(kind, geometry):
    names = ["lead", "event", "anchor_step", "time_number"]
    field = SERIES.to_dataset()
    if kind == "dim":
        return field.expand_dims({"lead": np.arange(3)})
    if kind == "scalar":
        return field.assign_coords({n: k for k, n in enumerate(names)})
    along = {n: ("time", 100 * k + np.arange(60)) for k, n in enumerate(names)}
    found = field.assign(along)
    return found.set_coords(names) if kind == "coordinate" else found


@pytest.mark.parametrize("kind", ["dim", "scalar", "coordinate", "variable"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_names_of_the_field_come_first(kind, geometry, tmp_path):
    field = taken(kind, geometry)
    at = EventTriggered(DAYS[[35, 41, 50]])
    patches = field.patch.split(geometry, sampler=at)
    plain = SERIES.patch.split(geometry, sampler=at)
    for name in ("lead", "event", "anchor_step", "time_number"):
        other = f"patch_{name}" if name in field.variables or name in field.dims else name
        if name in plain.coords:
            np.testing.assert_array_equal(patches[other], plain[name])
    merged = patches.patch.merge()
    xr.testing.assert_allclose(merged.t, field.t.where(merged.t.notnull()))
    patches.to_netcdf(tmp_path / "p.nc")
    back = xr.open_dataset(tmp_path / "p.nc")
    again = back.patch.merge()
    xr.testing.assert_allclose(again.t.variable, merged.t.variable)
    assert set(again.coords) == set(merged.coords)
    if isinstance(geometry, LookbackHorizon):
        for part in ("lookback", "horizon"):
            for some in (patches, back, patches.isel(patch=[2, 0])):
                own = getattr(some.patch, part)
                expected = getattr(plain.patch, part).sel(patch=own["patch"].values)
                values = own.t.isel(lead=0) if kind == "dim" else own.t
                np.testing.assert_array_equal(values.transpose("patch", "time"), expected)
        cut = patches.isel(time=slice(2, None))  # found by the lead, whatever its name
        if not geometry.gap:
            assert cut.patch.lookback.sizes["time"] == 3


def test_a_model_sees_the_lead_under_its_name():
    field = SERIES.assign_coords(lead=7)
    for geometry in (LookbackHorizon(5, 3), LookbackHorizon("1MS", 3)):
        patches = field.patch.split(geometry, sampler=RegularTimeStride(5))
        line = xpatch.fit_predict(
            patches,
            lambda past: np.polyfit(past.patch_lead, past, 1),
            lambda model, future: np.polyval(model, future.patch_lead),
        )
        np.testing.assert_allclose(line, patches.patch.horizon)
        assert line.lead.item() == 7
        found = line.patch.merge("forecast")
        xr.testing.assert_allclose(found, field.where(found.notnull()))


def test_a_product_of_runs_and_leads():
    field = xr.DataArray(
        np.random.default_rng(0).random((12, 10)),
        {"init": pd.date_range("2000", periods=12, freq="MS"), "lead": np.arange(10)},
        ("init", "lead"),
    )
    patches = field.patch.split(FixedLookback(3, dim="init"))
    assert patches.patch_lead.dims == ("init",)
    xr.testing.assert_allclose(patches.patch.merge(), field)
    along = field.patch.split(FixedLookback(3, dim="lead"))  # the dimension itself
    assert along.lead.dims == ("patch", "lead")
    assert along.patch_lead.values.tolist() == [-2, -1, 0]
    xr.testing.assert_allclose(along.patch.merge(), field)


# -------------------------------------------------------------------- two fields at the same anchors


def hourly(dim):
    hours = pd.date_range("2001-01-01", periods=60 * 24, freq="h")
    return xr.DataArray(np.arange(1440.0), {dim: hours}, (dim,), name="h")


@pytest.mark.parametrize("geometry", [FixedLookback("2D"), FixedLookback("1MS")], ids=str)
@pytest.mark.parametrize("days", [FixedLookback(5), FixedLookback("1MS")], ids=str)
@pytest.mark.parametrize("given", ["patches", "anchors", "times"])
def test_days_and_hours_in_one_dataset(geometry, days, given):
    daily = SERIES.patch.split(days, sampler=ExplicitTimes(DAYS[32:50:4]))
    times = {"patches": daily, "anchors": daily.patch.anchors.time, "times": DAYS[32:50:4]}[given]
    fine = hourly("hour").patch.split(geometry, sampler=ExplicitTimes(times))
    both = xr.Dataset({"d": daily.drop_vars("lead", errors="ignore"), "h": fine})
    np.testing.assert_array_equal(both.hour_anchor_step, 24 * both.anchor_step)
    merged = both.patch.merge()
    for name, field in (("d", SERIES), ("h", hourly("hour"))):
        xr.testing.assert_allclose(merged[name], field.where(merged[name].notnull()).rename(name))
        xr.testing.assert_allclose(both[name].patch.merge(), merged[name])


@pytest.mark.parametrize("geometry", [FixedLookback("2D"), FixedLookback("1MS")], ids=str)
def test_two_dimensions_called_time(geometry, tmp_path):
    daily = SERIES.patch.split(FixedLookback("1MS"), sampler=ExplicitTimes(DAYS[32:50:4]))
    fine = hourly("time").patch.split(geometry, sampler=ExplicitTimes(daily))
    names = {"time": "t2"} | ({"lead": "lead2"} if "lead" in fine.coords else {})
    both = xr.Dataset({"d": daily, "h": fine.rename(names)})
    assert {"time_number", "time_number_2", "anchor_step", "anchor_step_2"} <= set(both.coords)
    merged = both.patch.merge()
    xr.testing.assert_allclose(merged.h, hourly("t2").where(merged.h.notnull()))
    fine.to_netcdf(tmp_path / "h.nc")
    back = xr.open_dataset(tmp_path / "h.nc")["h"].patch.merge()
    xr.testing.assert_allclose(back, hourly("time").where(back.notnull()))


# ------------------------------------------------------------------------------- geometries of split


def test_geometries_in_time_are_geometries():
    geometry, sampler = FixedLookback("5D"), RegularTimeStride("5D")
    expected = SERIES.patch.split(xpatch.TimePatcher(geometry, sampler, "hann"))
    for found in (
        SERIES.patch.split(geometry, sampler=sampler, window="hann"),
        SERIES.patch.split(geometry=geometry, sampler=sampler, window="hann"),
        xpatch.split(SERIES, geometry=geometry, sampler=sampler, window="hann"),
    ):
        xr.testing.assert_equal(found, expected)
    doubled = SERIES.patch.apply(lambda p: 2 * p, geometry, sampler=sampler)
    np.testing.assert_allclose(doubled, 2 * SERIES)
    tree = SERIES.patch.split(xpatch.MultiScale([5, 10]))
    assert set(tree.children) == {"5", "10"}
    with pytest.raises(ValueError, match="DataTree"):
        SERIES.patch.apply(lambda p: p, xpatch.MultiScale([5, 10]))


def test_a_pair_of_geometries_is_the_product():
    field = SERIES.expand_dims(y=6, x=8).transpose("time", "y", "x")
    space, time = {"y": 3, "x": 4}, FixedLookback(7)
    strides = xpatch.RegularStride(y=3, x=2), RegularTimeStride(7)
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher(space, strides[0], "hann"), xpatch.TimePatcher(time, strides[1])
    )
    expected = field.patch.split(patcher)
    pairs = {"sampler": strides, "window": ["hann", None]}
    xr.testing.assert_equal(field.patch.split(geometry=[space, time], **pairs), expected)
    xr.testing.assert_equal(field.patch.split((space, time), **pairs), expected)
    turned = {k: list(v)[::-1] for k, v in pairs.items()}
    xr.testing.assert_equal(field.patch.split(geometry=(time, space), **turned), expected)
    assert field.patch.split(geometry=[time, space]).sizes["patch"] == 54 * 4
    tree = field.patch.split(geometry=[space, xpatch.MultiScale([2, 4])])
    assert set(tree.children) == {"2", "4"}


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        (
            {"geometry": FixedLookback(3), "sampler": xpatch.RegularStride(3)},
            "needs a sampler in time.*RegularTimeStride",
        ),
        (
            {"geometry": {"y": 3}, "sampler": RegularTimeStride(3)},
            "one in time.*geometry=FixedLookback",
        ),
        ({"geometry": [FixedLookback(3), FixedLookback(5)]}, "one in space and one in time"),
        (
            {"geometry": [{"y": 3}, FixedLookback(3)], "sampler": RegularTimeStride(3)},
            "sampler of two geometries is a pair",
        ),
        (
            {"geometry": [{"y": 3}, FixedLookback(3)], "window": "hann"},
            "window of two geometries is a pair",
        ),
        (
            {"geometry": [{"y": 3}, FixedLookback(3)], "sampler": [RegularTimeStride(3), None]},
            "one in time",
        ),
    ],
)
def test_pairs_that_do_not_fit(axes, says):
    field = SERIES.expand_dims(y=6)
    with pytest.raises((TypeError, ValueError), match=says):
        field.patch.split(**axes)
