"""What fields lie on, on real data and synthetic."""

from __future__ import annotations

import itertools
from pathlib import Path

import iris_sample_data
import numpy as np
import pytest
import xarray as xr

import xpatch
from xpatch.domain.axes import even_spacing
from xpatch.domain.places import DEGREES, Points, locate

SAMPLES = Path(iris_sample_data.__file__).parent / "sample_data"


def sample(name, **kwargs):
    return xr.open_dataset(SAMPLES / name, decode_coords="all", **kwargs)


@pytest.mark.filterwarnings("ignore:Variable.*cell_measures")
@pytest.mark.parametrize(
    ("name", "kind", "dims", "geographic"),
    [
        ("ostia_monthly.nc", xpatch.GridDomain, ("latitude", "longitude"), True),
        ("rotated_pole.nc", xpatch.GridDomain, ("grid_latitude", "grid_longitude"), None),
        ("toa_brightness_stereographic.nc", xpatch.RasterDomain, ("y", "x"), False),
        ("orca2_votemper.nc", xpatch.GridDomain, ("dim0", "dim1"), None),
        ("NEMO/nemo_1m_20150101-20150201_grid-T.nc", xpatch.GridDomain, ("y", "x"), None),
        ("A1B_north_america.nc", xpatch.GridDomain, ("latitude", "longitude"), True),
    ],
)
def test_real_data(name, kind, dims, geographic):
    with sample(name) as ds:
        main = max(ds.data_vars.values(), key=lambda v: v.size)
        domain = xpatch.domain_of(main)
        assert type(domain) is kind
        assert domain.spatial_dims == dims
        if geographic is not None:
            assert domain.geographic == geographic
        assert type(domain).__name__ in repr(domain)


@pytest.mark.filterwarnings("ignore:Variable.*cell_measures")
@pytest.mark.parametrize(
    "name",
    ["ostia_monthly.nc", "rotated_pole.nc", "toa_brightness_stereographic.nc", "orca2_votemper.nc"],
)
def test_identity_on_real_data(name):
    with sample(name) as ds:
        field = max(ds.data_vars.values(), key=lambda v: v.size).load()
        dims = xpatch.domain_of(field).spatial_dims
        size = tuple(max(2, field.sizes[d] // 3) for d in dims)
        patches = field.patch.split(geometry=size, sampler=xpatch.RegularStride(size[0] // 2))
        merged = patches.patch.merge(xpatch.OverlapAdd("hann"))
        xr.testing.assert_allclose(merged, field)
        xr.testing.assert_identical(
            merged.coords.to_dataset().load(), field.coords.to_dataset().load()
        )
        np.testing.assert_array_equal(merged.isnull(), field.isnull())
        assert merged.attrs == field.attrs


def test_curvilinear_names_and_nearest_cell():
    with sample("orca2_votemper.nc") as ds:
        domain = xpatch.domain_of(ds["votemper"])
        assert domain.curvilinear == ("nav_lat", "nav_lon")
        lat, lon = ds["nav_lat"].values, ds["nav_lon"].values
        points = Points({"lon": lon[100:101, 50], "lat": lat[100:101, 50]}, ("lon", "lat"), DEGREES)
        found = locate(points, domain, ("dim0", "dim1"), (1, 1), ("shift", "shift"))
        assert found.positions.tolist() == [[100, 50]]
        patches = ds["votemper"].patch.split(
            geometry=(5, 5), sampler=xpatch.Explicit({"nav_lat": [0.0], "nav_lon": [-30.0]})
        )
        middle = patches.isel(patch=0, dim0=2, dim1=2)
        assert abs(float(middle.nav_lat)) < 1.5
        assert abs(float(middle.nav_lon) + 30) < 2.5


def test_a_crs_under_another_name_stays_with_patches_and_field():
    import rioxarray  # noqa: F401

    field = xr.DataArray(
        np.ones((8, 8)), {"y": np.arange(8.0)[::-1], "x": np.arange(8.0)}, ("y", "x"), name="t"
    ).rio.write_crs(32632, grid_mapping_name="utm")
    for source in (field, field.to_dataset(), field.chunk(y=4)):
        patches = source.patch.split(geometry={"y": 4, "x": 4})
        assert patches.isel(patch=0).rio.crs == 32632
        assert (patches * 2).patch.merge().rio.crs == 32632
    plain = xr.Dataset({"t": field.drop_vars("utm"), "utm": field.utm.variable})
    plain["t"].attrs["grid_mapping"] = "utm"
    plain["t"].encoding.clear()
    assert type(xpatch.domain_of(plain)) is xpatch.RasterDomain
    assert "EPSG:32632" in repr(xpatch.domain_of(plain))


def test_longitude_wraps_both_ways():
    with sample("ostia_monthly.nc") as ds:
        domain = xpatch.domain_of(ds["surface_temperature"])
        assert domain.nearest("longitude", [-10.0])[0] == domain.nearest("longitude", [350.0])[0]
        assert domain.nearest("longitude", [5.0])[0] == domain.nearest("longitude", [365.0])[0]


def test_wrapped_month_of_global_temperature():
    with sample("ostia_monthly.nc") as ds:
        sst = ds["surface_temperature"].isel(time=0).load()
        geometry = xpatch.Rectangular(latitude=18, longitude=48, boundary={"longitude": "wrap"})
        patches = sst.patch.split(geometry=geometry, sampler=xpatch.RegularStride(longitude=32))
        last = patches.isel(patch=-1)
        step = float(sst.longitude[1])
        np.testing.assert_allclose(np.diff(last.longitude), step, rtol=1e-4)
        assert float(last.longitude.max()) > 360
        np.testing.assert_array_equal(last[:, -32:], sst[:, :32])
        xr.testing.assert_allclose(patches.patch.merge(xpatch.OverlapAdd("hann")), sst)


def test_axes_by_attributes_alone():
    coords = {
        "north": ("north", np.arange(4.0), {"axis": "Y"}),
        "east": ("east", np.arange(5.0), {"standard_name": "projection_x_coordinate"}),
        "lev": [1, 2],
    }
    field = xr.DataArray(np.zeros((2, 5, 4)), coords, ("lev", "east", "north"))
    assert xpatch.domain_of(field).spatial_dims == ("east", "north")
    assert field.patch.split(geometry=3).dims == ("patch", "lev", "east", "north")
    assert dict(field.patch.split(geometry=(5, 2)).sizes)["north"] == 2


@pytest.mark.parametrize(
    ("dims", "spatial"),
    [
        (("time", "y", "x"), ("y", "x")),
        (("x", "time", "y"), ("x", "y")),
        (("band", "lat", "lon"), ("lat", "lon")),
        (("a", "b"), ("a", "b")),
        (("time", "level", "i", "j"), ("i", "j")),
        (("profile",), ("profile",)),
    ],
)
def test_bare_dimensions_are_told_by_name(dims, spatial):
    field = xr.DataArray(np.zeros((2,) * len(dims)), dims=dims)
    assert xpatch.domain_of(field).spatial_dims == spatial


def test_crs_is_found_however_it_is_written():
    import rioxarray  # noqa: F401

    field = xr.DataArray(np.zeros((3, 4)), {"y": [3.0, 2, 1], "x": [0.0, 1, 2, 3]}, ("y", "x"))
    assert type(xpatch.domain_of(field)) is xpatch.GridDomain
    written = field.rio.write_crs("EPSG:32719")
    assert type(xpatch.domain_of(written)) is xpatch.RasterDomain
    assert xpatch.domain_of(written).crs == "EPSG:32719"
    old = field.assign_attrs(crs="+init=epsg:32719")
    assert type(xpatch.domain_of(old)) is xpatch.RasterDomain
    assert xpatch.domain_of(old).crs.to_epsg() == 32719
    geographic = field.rio.write_crs("EPSG:4326")
    assert xpatch.domain_of(geographic).geographic


def test_crs_is_not_parsed_before_it_is_needed():
    field = xr.DataArray(
        np.zeros((3, 4)),
        {"y": [3.0, 2, 1], "x": [0.0, 1, 2, 3], "spatial_ref": ((), 0, {"crs_wkt": "nonsense"})},
        ("y", "x"),
    )
    patches = field.patch.split(geometry={"y": 2, "x": 2})
    xr.testing.assert_identical(patches.patch.merge("first"), field)


def test_repr_says_what_was_found():
    field = xr.DataArray(np.zeros((3, 4)), {"lat": [1, 2, 4], "lon": [0, 1, 2, 3]})
    assert repr(xpatch.domain_of(field)).splitlines() == [
        "<GridDomain (lat: 3, lon: 4)>",
        "  spatial dims: lat, lon",
        "  lat: 1 to 4, uneven",
        "  lon: 0 to 3, step 1",
    ]


def test_repr_says_when():
    days = xr.date_range("2000-01-01", periods=6, freq="MS")
    field = xr.DataArray(np.zeros((2, 6)), {"run": ["a", "b"], "time": days}, ("run", "time"))
    assert repr(xpatch.domain_of(field)).splitlines()[2:] == [
        "  run: a to b",
        "  time: 2000-01-01 to 2000-06-01, steps of 29 days to 31 days, datetime64",
    ]
    hours = xr.date_range("2000-02-29", periods=6, freq="6h", calendar="360_day", use_cftime=True)
    text = repr(xpatch.domain_of(field.assign_coords(time=hours)))
    assert "time: 2000-02-29 to 2000-02-30 06:00:00, steps of 06:00:00, 360_day" in text
    one = repr(xpatch.domain_of(field.isel(time=[0])))
    assert "time: 2000-01-01 to 2000-01-01, datetime64" in one


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (np.arange(5) * 2, 2),
        (np.arange(5)[::-1] * 0.5, -0.5),
        (np.linspace(0, 359.2, 432).astype("f4"), 359.2 / 431),
        (np.arange(5.0) ** 2, None),
        (np.array([1.0]), None),
        (np.array([1.0, np.nan, 3.0]), None),
        (np.array(["a", "b"]), None),
        (np.array([2.0, 2.0]), None),
    ],
)
def test_even_spacing(values, step):
    found = even_spacing(values)
    assert found is None if step is None else found == pytest.approx(step, rel=1e-6)


def test_labels_go_on_evenly_past_the_edge():
    field = xr.DataArray(np.zeros(4), {"x": [10.0, 12, 14, 16]}, "x")
    cells = np.array([-2, -1, 0, 3, 4, 5])
    domain = xpatch.domain_of(field)
    assert domain.labels_at("x", cells, wrap=False).tolist() == [6, 8, 10, 16, 18, 20]
    uneven = xpatch.domain_of(field.assign_coords(x=[0.0, 1, 4, 9]))
    np.testing.assert_array_equal(
        uneven.labels_at("x", cells, wrap=False), [np.nan, np.nan, 0, 9, np.nan, np.nan]
    )
    dates = field.assign_coords(x=np.arange(4).astype("M8[D]").astype("M8[ns]"))
    labels = xpatch.domain_of(dates).labels_at("x", cells, wrap=False)
    assert labels[0] == np.datetime64("1969-12-30")
    assert labels[-1] == np.datetime64("1970-01-06")


def test_descending_rows_and_dates_are_found_by_label():
    field = xr.DataArray(
        np.zeros((4, 3)),
        {"time": np.arange(4).astype("M8[D]").astype("M8[ns]"), "y": [30.0, 20, 10]},
        ("time", "y"),
    )
    domain = xpatch.domain_of(field)
    assert domain.nearest("y", [29, 11, 15.1]).tolist() == [0, 2, 1]
    assert domain.nearest("time", np.array(["1970-01-03"], "M8[D]")).tolist() == [2]


def test_the_dims_of_a_dataset_do_not_depend_on_the_order_of_its_variables():
    ds = xr.Dataset(
        {
            "column": ("x", np.ones(6)),
            "t": (("time", "y", "x"), np.ones((2, 4, 6))),
            "turned": (("x", "y"), np.ones((6, 4))),
        }
    )
    for names in itertools.permutations(ds.data_vars):
        assert xpatch.domain_of(ds[list(names)]).dims == ("time", "y", "x")
        sampler = xpatch.Explicit([(0, 3)])
        patches = ds[list(names)].patch.split(geometry={"y": 2, "x": 2}, sampler=sampler)
        assert patches.patch.merge("count")["t"].isel(time=0, y=0, x=3) == 1


def test_coordinates_are_taken_as_they_are(monkeypatch):
    made = []
    init = xr.Dataset.__init__
    monkeypatch.setattr(
        xr.Dataset, "__init__", lambda self, *args, **kw: made.append(1) or init(self, *args, **kw)
    )
    field = xr.DataArray(np.zeros((3, 4)), {"y": np.arange(3.0), "x": np.arange(4.0)}, ("y", "x"))
    field = field.assign_coords(run=("y", list("abc"))).assign_attrs(title="t")
    made.clear()
    domain = xpatch.domain_of(field)
    assert not made
    xr.testing.assert_identical(domain.template, xr.Dataset(coords=field.coords))
    xr.testing.assert_identical(
        domain.template, xpatch.domain_of(field.to_dataset(name="a")).template
    )
    field.coords["y"].attrs["units"] = "km"
    field.coords["x"] = field.x + 1
    assert not domain.template.y.attrs
    np.testing.assert_array_equal(domain.coordinate("x"), np.arange(4.0))
