"""Patches are small copies of the field, and what the accessor tells of them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from xarray.indexes import PandasIndex, PandasMultiIndex

import xpatch


def grid(**coords):
    values = np.random.default_rng(0).normal(size=(3, 12, 16))
    return xr.DataArray(
        values,
        {"y": np.arange(12)[::-1] * 1.0, "x": np.arange(16) * 2.0, **coords},
        ("t", "y", "x"),
    )


def patches_of(field, **kwargs):
    return field.patch.split(
        geometry={"y": 6, "x": 8}, sampler=xpatch.RegularStride(y=3, x=4), **kwargs
    )


@pytest.mark.parametrize("order", [("t", "y", "x"), ("y", "t", "x"), ("x", "y", "t")])
def test_patch_comes_first_then_the_order_of_the_field(order):
    field = grid().transpose(*order)
    patches = patches_of(field)
    assert patches.dims == ("patch", *order)
    merged = patches.patch.merge()
    assert merged.dims == order
    xr.testing.assert_allclose(merged, field)


def test_labels_are_those_of_the_cells():
    patches = patches_of(grid())
    assert patches.y.dims == ("patch", "y")
    assert patches.y[0].values.tolist() == [11, 10, 9, 8, 7, 6]
    assert patches.x[1].values.tolist() == list(range(8, 24, 2))
    assert patches["patch"].values.tolist() == list(range(9))


def test_auxiliary_coordinates_are_gathered_and_come_back():
    lat = xr.DataArray(np.hypot.outer(np.arange(12), np.arange(16)), dims=("y", "x"))
    field = grid(
        lat=(("y", "x"), lat.data, {"units": "degrees_north"}),
        row=("y", [f"row {k}" for k in range(12)]),
        height=2.0,
        time=("t", pd.date_range("2000", periods=3)),
    )
    field.lat.encoding["dtype"] = "float32"
    patches = patches_of(field)
    assert patches.lat.dims == ("patch", "y", "x")
    assert patches.row.dims == ("patch", "y")
    one = patches.isel(patch=4)
    cut = field.sel(y=one.y, x=one.x)
    np.testing.assert_array_equal(one.lat, cut.lat)
    assert one.row.values.tolist() == cut.row.values.tolist()
    merged = patches.patch.merge()
    xr.testing.assert_identical(merged.coords.to_dataset(), field.coords.to_dataset())
    assert merged.lat.encoding == {"dtype": "float32"}


@pytest.mark.parametrize(
    "coordinate",
    [
        None,
        np.array([1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144]),
        np.arange(12)[::-1],
        np.array(list("abcdefghijkl")),
        pd.date_range("2000-01-30", periods=12, freq="ME"),
        np.array([3.0, 3, 3, 3, 1, 1, 1, 2, 2, 9, 9, 9]),
        xr.date_range("2000-01-30", periods=12, freq="ME", calendar="360_day", use_cftime=True),
    ],
)
@pytest.mark.parametrize("boundary", ["shift", "pad", "wrap"])
def test_any_labels_come_back(coordinate, boundary):
    field = grid().drop_vars("y")
    field = field if coordinate is None else field.assign_coords(y=coordinate)
    geometry = xpatch.Rectangular(y=5, x=8, boundary=boundary)
    patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(y=3, x=4))
    merged = patches.patch.merge()
    xr.testing.assert_allclose(merged, field)
    xr.testing.assert_identical(merged.coords.to_dataset(), field.coords.to_dataset())
    if coordinate is not None:
        assert patches.y.values.shape == (*patches.shape[:1], 5)


def test_name_and_attributes_are_those_of_the_patches():
    field = grid().assign_attrs(units="K").rename("t2m")
    field.encoding["scale_factor"] = 0.01
    patches = patches_of(field)
    assert patches.encoding == {}
    merged = patches.rename("anomaly").assign_attrs(units="1").patch.merge()
    assert merged.name == "anomaly"
    assert merged.attrs == {"units": "1"}
    assert merged.encoding == {}


def test_multi_index_on_another_dimension():
    index = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["kind", "number"])
    field = grid().assign_coords(xr.Coordinates.from_pandas_multiindex(index, "t"))
    patches = patches_of(field)
    assert patches.sel(kind="b").sizes["number"] == 1
    merged = patches.map_blocks(lambda p: p * 1).patch.merge()
    xr.testing.assert_allclose(merged, field)
    assert isinstance(merged.xindexes["kind"], PandasMultiIndex)


def with_crs_index(field):
    xproj = pytest.importorskip("xproj")
    return field.proj.assign_crs(spatial_ref="EPSG:32719"), xproj.CRSIndex


def with_second_index(field):
    field = field.assign_coords(lead=("t", [10, 20, 30])).set_xindex("lead")
    return field, PandasIndex


def with_geometry_index(field):
    import shapely
    import xvec

    points = np.array([shapely.Point(k, 0) for k in range(3)])
    field = field.rename(t="place").assign_coords(place=points)
    return field.xvec.set_geom_indexes("place", crs="EPSG:4326"), xvec.GeometryIndex


@pytest.mark.parametrize("make", [with_crs_index, with_second_index, with_geometry_index])
def test_indexes_that_map_blocks_cannot_take_come_back_at_merge(make):
    field, kind = make(grid())
    name = next(n for n, i in field.xindexes.items() if type(i) is kind and n not in ("x", "y"))
    patches = patches_of(field)
    assert name not in patches.xindexes
    assert name in patches.coords
    out = patches.chunk(patch=2).map_blocks(lambda p: p + 0)
    merged = out.patch.merge()
    assert type(merged.xindexes[name]) is kind
    np.testing.assert_allclose(merged, field)


def test_the_patch_dimension_may_have_another_name():
    patches = patches_of(grid(), dim="tile")
    assert patches.dims[0] == "tile"
    xr.testing.assert_allclose(patches.patch.merge(), grid())


def test_dask_chunks_come_back_exactly():
    field = grid().chunk(t=2, y=(5, 4, 3), x=7)
    patches = patches_of(field)
    assert sorted(patches["patch"].values.tolist()) == list(range(9))
    merged = patches.patch.merge("median")
    assert merged.chunks == field.chunks
    xr.testing.assert_allclose(merged.compute(), field.compute())
    few = patches_of(field, chunks=1)
    assert few.chunks[0] == (1,) * 9


def test_graph_does_not_grow_with_the_number_of_patches():
    field = xr.DataArray(np.zeros((64, 64)), dims=("y", "x")).chunk(y=16, x=16)
    tasks = []
    for step in (4, 1):
        patches = field.patch.split(geometry={"y": 8, "x": 8}, sampler=xpatch.RegularStride(step))
        tasks.append(len(patches.patch.merge().__dask_graph__()))
    assert tasks[1] <= 1.5 * tasks[0]


# ------------------------------------------------------------------------------ accessor


def test_anchors():
    patches = patches_of(grid()).isel(patch=[4, 0])
    anchors = patches.patch.anchors
    assert anchors["cell_y"].values.tolist() == [6, 3]
    assert anchors["cell_x"].values.tolist() == [8, 4]
    assert anchors["y"].values.tolist() == [5, 8]
    assert anchors["x"].values.tolist() == [16, 8]
    bare = patches_of(grid().drop_vars(["y", "x"])).patch.anchors
    assert bare["y"].values[:3].tolist() == [3, 3, 3]


def test_mask_and_weights():
    geometry = xpatch.Rectangular(y=6, x=8, boundary={"y": "pad"})
    field = grid()
    patches = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(3), window="hann")
    mask = patches.patch.mask
    assert mask.dims == ("patch", "y", "x")
    assert not mask[0, :3].any()
    assert mask[0, 3:].all()
    weights = patches.patch.weights
    hann = xpatch.Hann().profile((2 * np.arange(6) + 1 - 6) / 6)
    assert (weights.where(~mask, 0) == 0).all()
    across = xpatch.Hann().profile((2 * np.arange(8) + 1 - 8) / 8)
    inside = np.flatnonzero(mask.all(["y", "x"]))[0]
    np.testing.assert_allclose(weights[inside], np.multiply.outer(hann, across))
    raw = field.patch.split(geometry=geometry, sampler=xpatch.RegularStride(3))
    xr.testing.assert_allclose(patches.where(mask), (raw * weights).where(mask))
    assert (patches_of(grid()).patch.weights == 1).all()


def test_crop_twice_equals_crop_once():
    patches = patches_of(grid())
    twice = patches.patch.crop(y=1).patch.crop({"y": (0, 1), "x": 2})
    once = patches.patch.crop(y=(1, 2), x=2)
    xr.testing.assert_identical(twice, once)
    assert twice.xindexes["patch"].crop == once.xindexes["patch"].crop
    assert twice.patch.mask.shape == (9, 3, 4)
    merged = once.drop_vars(["y", "x"]).map_blocks(lambda p: p).patch.merge()
    expected = patches.isel(y=slice(1, -2), x=slice(2, -2)).patch.merge()
    xr.testing.assert_identical(merged, expected)


def test_batches():
    patches = patches_of(grid().chunk(y=6))
    batches = list(patches.patch.batches(4, drop_last=True))
    assert [b.sizes["patch"] for b in batches] == [4, 4]
    assert all(b.variable._in_memory for b in batches)
    np.testing.assert_array_equal(batches[1], patches[4:8])


def test_footprints():
    import rioxarray  # noqa: F401

    frame = patches_of(grid().rio.write_crs("EPSG:32719")).isel(patch=[8, 0]).patch.footprints()
    assert frame.crs == "EPSG:32719"
    assert frame.index.tolist() == [8, 0]
    assert frame.geometry.iloc[1].bounds == (-1, 5.5, 15, 11.5)
    assert frame.geometry.area.tolist() == [96.0, 96.0]


def test_footprints_are_outlines_in_space_alone():
    time = np.arange("2000-01-01", "2000-01-11", dtype="M8[D]").astype("M8[ns]")
    lat, lon = np.arange(6.0), np.arange(8.0)
    field = xr.DataArray(
        np.zeros((10, 6, 8)), {"time": time, "lat": lat, "lon": lon}, ("time", "lat", "lon")
    )
    with pytest.raises(ValueError, match=r"in space over \['lat', 'lon'\].*patch\.plot\(\)"):
        field.patch.split(geometry={"lat": 3, "time": 5}).patch.footprints()
    frame = field.patch.split(geometry={"lat": 3, "lon": 4, "time": 5}).patch.footprints()
    assert frame.total_bounds.tolist() == [-0.5, -0.5, 7.5, 5.5]
    series = field.isel(lat=0, lon=0, drop=True)
    windows = series.patch.split(xpatch.TimePatcher(xpatch.FixedLookback(3)))
    with pytest.raises(ValueError, match=r"in space, and .*\['time'\].*patch\.plot\(\)"):
        windows.patch.footprints()
    phases = series.patch.split(xpatch.TimePatcher(xpatch.PhaseWindow("3D", "1D")))
    for patches, where in ((windows, r"patches\['lead'\]"), (phases, "'anchor_step'")):
        with pytest.raises(ValueError, match=where):
            _ = patches.patch.distance
        with pytest.raises(ValueError, match="windows in time have no geometries"):
            _ = patches.patch.geometries


def test_repr_of_patches_in_space_and_time():
    time = np.arange("2000-01-01", "2000-01-11", dtype="M8[D]").astype("M8[ns]")
    field = xr.DataArray(np.zeros((10, 6)), {"time": time}, ("time", "x"))
    space = xpatch.Patcher({"x": 3}, window="hann")
    windows = xpatch.TimePatcher(xpatch.FixedLookback(4), xpatch.RegularTimeStride(3))
    patches = field.patch.split(xpatch.SpatioTemporalPatcher(space, windows))
    assert repr(patches.patch).splitlines() == [
        "<6 of 6 patches (x: 3 of 6, time: 4 of 10)>",
        "  spatial:",
        "    geometry: Rectangular",
        "    sampler: RegularStride",
        "    window: Hann",
        "  temporal:",
        "    geometry: FixedLookback",
        "    sampler: RegularTimeStride",
        "    aggregation: TemporalMean",
        "  coupling: product",
    ]


def test_footprints_of_a_curvilinear_grid_follow_its_cells():
    lon, lat = np.meshgrid(np.linspace(0, 30, 16), np.linspace(40, 60, 12))
    field = grid().drop_vars(["y", "x"])
    field = field.assign_coords(lat=(("y", "x"), lat), lon=(("y", "x"), lon + lat / 10))
    frame = patches_of(field).patch.footprints()
    assert frame.crs == "EPSG:4326"
    patches = patches_of(field)
    west, south, east, north = frame.geometry.iloc[0].bounds
    assert west == pytest.approx(float(patches.lon[0].min()))
    assert north == pytest.approx(float(patches.lat[0].max()))
    assert south < north < 60
    assert east > west


def test_repr_is_short_and_says_what_there_is():
    patches = patches_of(grid(), window="hann").isel(patch=slice(4))
    assert repr(patches.patch).splitlines() == [
        "<4 of 9 patches (y: 6 of 12, x: 8 of 16)>",
        "  geometry: Rectangular",
        "  sampler: RegularStride",
        "  window: Hann",
    ]
    assert repr(patches.xindexes["patch"]) == "PatchIndex(4 of 9 patches, y: 6, x: 8)"
    assert "GridDomain" in repr(grid().patch)


def test_recipe_is_json_and_small():
    field = xr.DataArray(
        np.zeros((400, 500)), {"y": np.arange(400.0), "x": np.linspace(0, 1, 500)}, ("y", "x")
    )
    patches = field.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(2))
    recipe = patches["patch"].attrs["xpatch_recipe"]
    assert len(recipe) < 2000
    assert json.loads(recipe)["sizes"] == [4, 4]


def test_merge_by_labels_alone():
    field = grid()
    patches = patches_of(field).load().drop_indexes("patch").drop_vars("patch")
    plain = xr.DataArray(patches.values, {"y": patches.y, "x": patches.x}, patches.dims)
    merged = plain.patch.merge(like=field)
    xr.testing.assert_allclose(merged, field)
    with pytest.raises(ValueError, match=r"do not occur in like|outside of the field"):
        plain.assign_coords(x=plain.x + 0.4).patch.merge(like=field)


def test_two_grids_in_one_dataset_merge_each_on_its_own():
    fine = grid()
    coarse = fine.isel(t=0, drop=True).coarsen(y=2, x=2).mean()
    tiles = fine.patch.split(geometry={"y": 4, "x": 4})
    geometry = xpatch.Rectangular(y=3, x=5, boundary="pad")
    around = coarse.patch.split(geometry=geometry, sampler=xpatch.Explicit(tiles))
    around = around.rename(y="v", x="u")
    both = xr.Dataset({"fine": tiles, "coarse": around})
    assert len(both.xindexes["patch"].plans) == 2
    merged = both.patch.merge()
    coarse = coarse.rename(y="v", x="u")
    xr.testing.assert_allclose(merged["fine"], fine)
    xr.testing.assert_allclose(merged["coarse"], coarse)
    xr.testing.assert_allclose(both["coarse"].patch.merge(), coarse)
    shuffled = both.isel(patch=[3, 1, 0, 2, *range(4, 12)]).patch.merge()
    xr.testing.assert_identical(shuffled, merged)


def test_renamed_dimensions_and_coordinates_stay_renamed():
    patches = patches_of(grid(lat=(("y", "x"), np.ones((12, 16)))))
    renamed = patches.rename(y="north", lat="latitude", t="time")
    merged = renamed.patch.merge()
    assert merged.dims == ("time", "north", "x")
    assert set(merged.coords) == {"north", "x", "latitude"}
    xr.testing.assert_allclose(
        merged.rename(north="y", latitude="lat", time="t"), patches.patch.merge()
    )
