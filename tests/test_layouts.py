"""Fields as files lay them out: rotated poles, WRF, cubed spheres, positions as data variables, two grids."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import xarray as xr
from pyproj import CRS, Transformer

import xpatch
from xpatch.domain.lonlat import matched_pair

RADIUS = 6371.0088
POLE = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}
LCC = CRS("+proj=lcc +lat_1=45 +lat_2=45 +lat_0=45 +lon_0=10 +datum=WGS84")
rng = np.random.default_rng(0)


def far(lon, lat, lon0, lat0):
    """Great-circle distance in km, written out."""
    phi, phi0 = np.deg2rad(lat), np.deg2rad(lat0)
    a = np.sin((phi - phi0) / 2) ** 2
    b = np.cos(phi) * np.cos(phi0) * np.sin(np.deg2rad(lon - lon0) / 2) ** 2
    return 2 * RADIUS * np.arcsin(np.sqrt(a + b))


def cordex(ny=30, nx=40):
    """Rotated labels, longitude and latitude of two dimensions, and a grid mapping; values count cells."""
    rlon, rlat = 0.44 * np.arange(nx) - 9.0, 0.44 * np.arange(ny) - 8.0
    move = Transformer.from_crs(CRS.from_cf(POLE), 4326, always_xy=True).transform
    lon, lat = move(*np.meshgrid(rlon, rlat))
    coords = {
        "rlon": ("rlon", rlon, {"standard_name": "grid_longitude", "units": "degrees"}),
        "rlat": ("rlat", rlat, {"standard_name": "grid_latitude", "units": "degrees"}),
        "lon": (("rlat", "rlon"), lon, {"standard_name": "longitude", "units": "degrees_east"}),
        "lat": (("rlat", "rlon"), lat, {"standard_name": "latitude", "units": "degrees_north"}),
        "rotated_pole": ((), 0, POLE),
    }
    data = np.arange(ny * nx, dtype=float).reshape(ny, nx)
    attrs = {"grid_mapping": "rotated_pole"}
    return xr.DataArray(data, coords, ("rlat", "rlon"), name="tas", attrs=attrs)


def lambert(scale=1.0):
    """Projected labels, in m or scaled, beside longitude and latitude of two dimensions."""
    x, y = 12000.0 * np.arange(24) - 1e5, 12000.0 * np.arange(20) - 1e5
    lon, lat = Transformer.from_crs(LCC, 4326, always_xy=True).transform(*np.meshgrid(x, y))
    coords = {
        "x": ("x", x * scale, {"standard_name": "projection_x_coordinate"}),
        "y": ("y", y * scale, {"standard_name": "projection_y_coordinate"}),
        "lon": (("y", "x"), lon, {"standard_name": "longitude"}),
        "lat": (("y", "x"), lat, {"standard_name": "latitude"}),
        "crs": ((), 0, LCC.to_cf()),
    }
    data = np.arange(480.0).reshape(20, 24)
    return xr.DataArray(data, coords, ("y", "x"), name="t", attrs={"grid_mapping": "crs"})


def wrf(n=3, moving=0.0):
    dims = ("Time", "south_north", "west_east")
    lat = 40 + np.linspace(0, 1, 10)[:, None] + 0.1 * np.sin(np.arange(12.0))
    lon = 5 + np.linspace(0, 1, 12) + 0.1 * np.cos(np.arange(10.0))[:, None]
    shift = moving * np.arange(n)[:, None, None]
    coords = {
        "XLAT": (dims, lat + shift, {"units": "degree_north", "description": "LATITUDE"}),
        "XLONG": (dims, lon + 0 * shift, {"units": "degree_east", "description": "LONGITUDE"}),
    }
    return xr.DataArray(rng.random((n, 10, 12)), coords, dims, name="T2")


def cubed(n=6, fake=True):
    """An equiangular cubed sphere as GEOS writes it; values count cells."""
    edges = np.linspace(-np.pi / 4, np.pi / 4, n + 1)
    at = np.tan((edges[1:] + edges[:-1]) / 2)
    a, b = np.meshgrid(at, at)
    one = np.ones_like(a)
    faces = [(one, a, b), (-a, one, b), (-b, a, one), (-one, -b, -a), (b, -one, -a), (b, a, -one)]
    v = np.stack([np.stack(face, -1) for face in faces])
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    lon, lat = np.rad2deg(np.arctan2(v[..., 1], v[..., 0])) % 360, np.rad2deg(np.arcsin(v[..., 2]))
    dims = ("nf", "Ydim", "Xdim")
    said = "Fake {} for GrADS Compatibility"
    east = {"long_name": said.format("Longitude"), "units": "degrees_east"}
    north = {"long_name": said.format("Latitude"), "units": "degrees_north"}
    coords = {
        "lons": (dims, lon, {"long_name": "longitude", "units": "degrees_east"}),
        "lats": (dims, lat, {"long_name": "latitude", "units": "degrees_north"}),
        "cubed_sphere": ((), 0, {"grid_mapping_name": "gnomonic cubed-sphere"}),
    }
    if fake:
        coords |= {"Xdim": ("Xdim", lon[0, 0], east), "Ydim": ("Ydim", lat[0, :, 0], north)}
    data = np.arange(6.0 * n * n).reshape(6, n, n)
    return xr.DataArray(data, coords, dims, name="T", attrs={"grid_mapping": "cubed_sphere"})


def argo(n=40):
    east = {"standard_name": "longitude", "units": "degree_east", "axis": "X"}
    north = {"standard_name": "latitude", "units": "degree_north", "axis": "Y"}
    return xr.Dataset(
        {
            "TEMP": (("N_PROF", "N_LEVELS"), rng.random((n, 3))),
            "LONGITUDE": ("N_PROF", rng.uniform(-20, 20, n), east),
            "LATITUDE": ("N_PROF", rng.uniform(-20, 20, n), north),
        }
    )


def nearest_by_hand(f, lon, lat):
    return int(np.argmin(far(f.lon.values, f.lat.values, lon, lat)))


def of_tas(p):
    return (p.tas if isinstance(p, xr.Dataset) else p).sortby("patch")


# ------------------------------------------------------------------------ several coordinate systems


LAYOUTS = {
    "array": lambda f: f,
    "dataset": lambda f: f.to_dataset(),
    "mapping as data": lambda f: f.to_dataset().reset_coords("rotated_pole"),
    "no mapping": lambda f: f.drop_vars("rotated_pole"),
    "dask": lambda f: f.chunk(rlat=7),
    "turned": lambda f: f.transpose("rlon", "rlat"),
    "south up": lambda f: f.isel(rlat=slice(None, None, -1)),
    "single": lambda f: f.assign_coords(lon=f.lon.astype("f4"), lat=f.lat.astype("f4")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_boxes_and_lists_of_a_rotated_grid_agree_to_the_cell(layout):
    f = cordex()
    obj = LAYOUTS[layout](f)
    lon, lat = np.array([14.0, 18.5, 21.3]), np.array([48.0, 51.2, 46.9])
    wanted = [nearest_by_hand(f, *place) for place in zip(lon, lat, strict=True)]
    at = xpatch.Explicit({"lon": lon, "lat": lat})
    near = obj.patch.split(geometry=xpatch.KNNGraph(1), sampler=at)
    boxes = obj.patch.split(geometry={"rlat": 3, "rlon": 3}, sampler=at)
    near, boxes = (of_tas(p) for p in (near, boxes))
    np.testing.assert_array_equal(near.values.ravel(), wanted)
    np.testing.assert_array_equal(boxes.isel(rlat=1, rlon=1).values, wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_points_with_a_crs_lie_in_the_same_cells(layout):
    import geopandas as gpd

    f = cordex()
    obj = LAYOUTS[layout](f)
    points = gpd.GeoSeries.from_xy([14.0, 21.3], [48.0, 46.9], crs=4326)
    wanted = [nearest_by_hand(f, 14.0, 48.0), nearest_by_hand(f, 21.3, 46.9)]
    for given in (points, points.to_crs(3035)):
        at = xpatch.Explicit(given)
        near = obj.patch.split(geometry=xpatch.KNNGraph(1), sampler=at)
        boxes = obj.patch.split(geometry={"rlat": 3, "rlon": 3}, sampler=at)
        near, boxes = (of_tas(p) for p in (near, boxes))
        np.testing.assert_array_equal(near.values.ravel(), wanted)
        np.testing.assert_array_equal(boxes.isel(rlat=1, rlon=1).values, wanted)


def test_caps_of_a_rotated_grid_are_great_circles():
    f = cordex()
    p = f.patch.split(
        geometry=xpatch.SphericalCap(150.0), sampler=xpatch.Explicit({"lon": [16.0], "lat": [50.0]})
    )
    inside = far(f.lon.values, f.lat.values, 16.0, 50.0) <= 150.0
    members = p.values[0][np.isfinite(p.values[0])]
    np.testing.assert_array_equal(np.sort(members), f.values[inside])
    radius = f.patch.split(
        geometry=xpatch.RadiusGraph(150.0), sampler=xpatch.Explicit({"lon": [16.0], "lat": [50.0]})
    )
    np.testing.assert_array_equal(radius, p)


def test_what_a_rotated_grid_says_of_itself():
    f = cordex()
    for obj in (f, f.to_dataset().reset_coords("rotated_pole")):
        domain = xpatch.domain_of(obj)
        assert domain.curvilinear == ("lat", "lon")
        assert not domain.curved
        assert domain.spatial_dims == ("rlat", "rlon")
        assert domain.geographic
        assert domain.sites().geographic
        assert domain.sites().crs is None
        assert domain.roles["rlon"] == "X"
        assert domain.roles["lon"] == "longitude"
        assert "curvilinear: lat, lon" in repr(domain)
        assert "crs: " in repr(domain)
    bare = xpatch.domain_of(f.drop_vars("rotated_pole"))
    assert bare.curved
    assert bare.crs is None


def test_a_rotated_grid_without_positions_knows_true_ones():
    f = cordex()
    bare = f.drop_vars(["lon", "lat"])
    lon, lat = xpatch.domain_of(bare).sites().lonlat
    np.testing.assert_allclose(lon, f.lon.values.ravel())
    np.testing.assert_allclose(lat, f.lat.values.ravel())
    cap = {"geometry": xpatch.SphericalCap(200.0), "sampler": xpatch.FibonacciSphere(3000)}
    p, q = bare.patch.split(**cap), f.patch.split(**cap)
    np.testing.assert_array_equal(p, q)
    boxes = {"geometry": {"rlat": 5, "rlon": 5}, "sampler": xpatch.FibonacciSphere(3000)}
    assert bare.patch.split(**boxes).sizes["patch"] > 5


def test_labels_of_a_rotated_pole_may_count_to_360():
    f = cordex()
    turned = f.assign_coords(rlon=("rlon", f.rlon.values + 360, f.rlon.attrs))
    at = xpatch.Explicit([shapely.Point(14.0, 48.0)], crs=4326)
    for obj in (turned, turned.drop_vars(["lon", "lat"])):
        near = obj.patch.split(geometry=xpatch.KNNGraph(1), sampler=at)
        assert near.values[0, 0] == nearest_by_hand(f, 14.0, 48.0)
    boxes = turned.patch.split(
        geometry={"rlat": 1, "rlon": 1}, sampler=xpatch.Explicit({"rlon": [-1.0], "rlat": [0.0]})
    )
    assert float(boxes.rlon.values[0, 0]) == pytest.approx(359.0, abs=0.23)


def test_labels_of_a_rotated_pole_are_no_longitudes():
    f = cordex()
    at = xpatch.Explicit({"rlon": [f.rlon.values[7]], "rlat": [f.rlat.values[4]]})
    for obj in (f, f.to_dataset().reset_coords("rotated_pole").tas.assign_coords(f.coords)):
        near = obj.patch.split(geometry=xpatch.KNNGraph(1), sampler=at)
        assert near.item() == f.values[4, 7]
    box = f.patch.split(geometry={"rlat": 1, "rlon": 1}, sampler=at)
    assert box.item() == f.values[4, 7]
    with pytest.raises(ValueError, match="no CRS"):
        f.drop_vars("rotated_pole").patch.split(geometry=xpatch.KNNGraph(1), sampler=at)


def test_curvilinear_grids_of_equal_sizes_are_not_the_same():
    f = wrf()
    g = f.rename(XLAT="lat", XLONG="lon").assign_coords(lat=f.XLAT.variable + 0.3)
    p = f.patch.split(geometry={"south_north": 3, "west_east": 3})
    q = g.patch.split(
        geometry={"south_north": 3, "west_east": 3},
        sampler=xpatch.Explicit(p.isel(patch=[8])),
    )
    assert abs(float(q.lat[0, 0, 1, 1] - p.XLAT[8, 0, 1, 1])) < 0.07
    assert f.patch.domain.same_lattice(g.patch.domain, ("south_north", "west_east")) is not None


def test_outlines_of_a_rotated_grid():
    f = cordex()
    p = f.patch.split(geometry={"rlat": 10, "rlon": 10})
    outlines = p.patch.footprints().to_crs(4326)
    lon, lat = (p[c].isel(patch=5).values.ravel() for c in ("lon", "lat"))
    x0, y0, x1, y1 = outlines.geometry.iloc[5].bounds
    assert x0 < lon.min()
    assert lon.max() < x1
    assert y0 < lat.min()
    assert lat.max() < y1


def test_projected_grids_beside_positions_stay_in_units_of_the_crs():
    f = lambert()
    domain = xpatch.domain_of(f)
    assert not domain.curved
    assert not domain.geographic
    assert not domain.sites().geographic
    p = f.patch.split(
        geometry=xpatch.RadiusGraph(12000.0),
        sampler=xpatch.Explicit({"x": [8000.0], "y": [8000.0]}),
    )
    assert p.sizes["cell"] == 5
    cap = f.patch.split(
        geometry=xpatch.SphericalCap(50.0), sampler=xpatch.Explicit([(10, 12)])
    ).values[0]
    inside = far(f.lon.values, f.lat.values, f.lon.values[10, 12], f.lat.values[10, 12]) <= 50.0
    np.testing.assert_array_equal(np.sort(cap), f.values[inside])


@pytest.mark.parametrize("scale", [1e-3, 2.0])
def test_labels_that_do_not_fit_their_mapping_lose_against_positions(scale):
    f = lambert(scale)  # in km, as some models write them beside a mapping in m
    assert xpatch.domain_of(f).curved
    at = xpatch.Explicit({"lon": [10.5], "lat": [45.3]})
    wanted = nearest_by_hand(f, 10.5, 45.3)
    assert f.patch.split(geometry=xpatch.KNNGraph(1), sampler=at).item() == wanted
    assert int(f.patch.split(geometry={"y": 3, "x": 3}, sampler=at)[0, 1, 1]) == wanted


def test_a_swath_in_degrees_with_numbered_rows():
    f = lambert().drop_vars(["x", "y", "crs"])
    f = f.assign_coords(x=np.arange(24), y=np.arange(20), crs=((), 0, CRS(4326).to_cf()))
    f.attrs["grid_mapping"] = "crs"
    at = xpatch.Explicit({"lon": [10.5], "lat": [45.3]})
    wanted = nearest_by_hand(f, 10.5, 45.3)
    assert f.patch.split(geometry=xpatch.KNNGraph(1), sampler=at).item() == wanted
    assert int(f.patch.split(geometry={"y": 3, "x": 3}, sampler=at)[0, 1, 1]) == wanted


def test_a_mapping_that_says_of_which_coordinates():
    f = lambert().assign_coords(wgs=((), 0, CRS(4326).to_cf()))
    f.attrs["grid_mapping"] = "wgs: lat lon crs: x y"
    assert xpatch.domain_of(f).crs == LCC
    plain = lambert().to_dataset().reset_coords("crs")
    plain["t"].attrs["grid_mapping"] = "crs: x y"
    assert xpatch.domain_of(plain).crs == LCC


def test_a_rotated_field_comes_back():
    f = cordex()
    for obj in (f, f.to_dataset().reset_coords("rotated_pole")):
        for geometry in ({"rlat": 8, "rlon": 8}, xpatch.SphericalCap(120.0)):
            xr.testing.assert_allclose(obj.patch.split(geometry=geometry).patch.merge(), obj)


# --------------------------------------------------------------------------------------------- WRF


@pytest.mark.parametrize("kind", ["array", "dataset", "dask", "turned", "one step"])
def test_positions_of_wrf_are_the_same_at_all_times(kind):
    f = wrf(1 if kind == "one step" else 3)
    obj = {
        "array": f,
        "dataset": f.to_dataset(),
        "dask": f.chunk(Time=1),
        "turned": f.transpose("west_east", "Time", "south_north"),
        "one step": f,
    }[kind]
    p = obj.patch.split(geometry=xpatch.SphericalCap(20.0))
    one = p.T2 if kind == "dataset" else p
    assert one.sizes["patch"] == 120
    assert one.sizes["Time"] == f.sizes["Time"]
    lat, lon = f.XLAT.values[0], f.XLONG.values[0]
    inside = far(lon, lat, lon[4, 5], lat[4, 5]) <= 20.0
    own = one.transpose("patch", "Time", "cell").values[
        4 * 12 + 5 if kind != "turned" else 5 * 10 + 4
    ]
    for step in range(f.sizes["Time"]):
        found = np.sort(own[step][np.isfinite(own[step])])
        np.testing.assert_array_equal(found, np.sort(f.values[step][inside]))
    xr.testing.assert_allclose(p.patch.merge(), obj)


def test_what_wrf_says_of_itself():
    domain = xpatch.domain_of(wrf())
    assert domain.spatial_dims == ("south_north", "west_east")
    assert domain.curved
    assert domain.geographic
    assert "curvilinear: XLAT, XLONG (the same for all Time)" in repr(domain)


def test_boxes_of_wrf_by_place():
    f = wrf()
    at = xpatch.Explicit({"XLONG": [5.5], "XLAT": [40.5]})
    p = f.patch.split(geometry={"south_north": 3, "west_east": 3}, sampler=at)
    assert p.dims == ("patch", "Time", "south_north", "west_east")
    k = np.argmin(far(f.XLONG.values[0], f.XLAT.values[0], 5.5, 40.5))
    np.testing.assert_array_equal(p[0, :, 1, 1], f.values.reshape(3, -1)[:, k])
    assert len(f.patch.split(geometry=5).patch.footprints()) == 6


def test_positions_that_move_are_elements_of_all_dimensions():
    f = wrf(moving=2.0)
    p = f.patch.split(geometry=xpatch.SphericalCap(20.0))
    assert p.sizes["patch"] == 360
    assert "Time" not in p.dims
    assert "along Time, south_north, west_east" in repr(xpatch.domain_of(f))
    xr.testing.assert_allclose(p.patch.merge(), f)


def test_positions_unknown_in_places_are_the_same_too():
    f = wrf()
    f["XLAT"][:, 0, 0] = np.nan
    assert f.patch.split(geometry=xpatch.SphericalCap(20.0)).sizes["patch"] == 119


def test_three_steps_are_read_of_positions_that_repeat(tmp_path):
    f = wrf(9)
    f.to_dataset().to_netcdf(tmp_path / "w.nc")
    with xr.open_dataset(tmp_path / "w.nc") as ds:
        p = ds.T2.patch.split(geometry=xpatch.SphericalCap(20.0))
        assert not ds.XLAT.variable._in_memory  # not read whole
        xr.testing.assert_allclose(p.patch.merge().load(), f)


def test_the_grid_on_which_most_variables_lie():
    f = wrf().to_dataset()
    stag = ("Time", "south_north", "west_east_stag")
    edges = {"XLAT_U": 0.0, "XLONG_U": 0.0}
    f = f.assign_coords({n: (stag, np.full((3, 10, 13), v)) for n, v in edges.items()})
    f["XLAT_U"].attrs["units"], f["XLONG_U"].attrs["units"] = "degree_north", "degree_east"
    f["U"], f["Q2"] = (stag, np.zeros((3, 10, 13))), f.T2 * 2
    assert xpatch.domain_of(f).curvilinear == ("XLAT", "XLONG")
    assert xpatch.domain_of(f.U).curvilinear == ("XLAT_U", "XLONG_U")


# ------------------------------------------------------------------------------------ cubed spheres


@pytest.mark.parametrize("fake", [True, False])
@pytest.mark.parametrize("dataset", [True, False])
def test_caps_cross_the_faces_of_a_cubed_sphere(fake, dataset):
    f = cubed(fake=fake)
    p = (f.to_dataset() if dataset else f).patch.split(geometry=xpatch.SphericalCap(2000.0))
    p = p["T"] if dataset else p
    assert p.sizes["patch"] == f.size
    lon, lat = f.lons.values.ravel(), f.lats.values.ravel()
    for k in (0, 20, 35, 100, 215):  # corners, an edge, the middle
        inside = np.flatnonzero(far(lon, lat, lon[k], lat[k]) <= 2000.0)
        found = p.values[k][np.isfinite(p.values[k])]
        np.testing.assert_array_equal(np.sort(found), inside)
    assert len({int(m) // 36 for m in p.values[0] if np.isfinite(m)}) == 3
    xr.testing.assert_allclose(p.patch.merge(), f)


def test_what_a_cubed_sphere_says_of_itself():
    domain = xpatch.domain_of(cubed())
    assert type(domain) is xpatch.GridDomain
    assert domain.spatial_dims == ("Ydim", "Xdim")
    assert domain.curvilinear == ("lats", "lons")
    assert domain.curved
    assert domain.geographic
    assert domain.roles["Xdim"] == "X"
    assert domain.crs is None
    assert "curvilinear: lats, lons (along nf, Ydim, Xdim)" in repr(domain)
    assert "gnomonic cubed-sphere is not known" in repr(domain)


def test_boxes_of_a_cubed_sphere_by_index():
    f = cubed()
    whole = f.patch.split(geometry={"Ydim": 3, "Xdim": 3})
    assert dict(whole.sizes) == {"patch": 4, "nf": 6, "Ydim": 3, "Xdim": 3}
    assert f.patch.split(geometry=3).sizes == whole.sizes
    each = f.patch.split(geometry={"nf": 1, "Ydim": 3, "Xdim": 3})
    assert each.sizes["patch"] == 24
    assert len(each.patch.footprints()) == 24
    for p in (whole, each):
        xr.testing.assert_identical(p.patch.merge("first"), f)
    with pytest.raises(ValueError, match="'nf'"):
        whole.patch.footprints()


def test_boxes_of_a_cubed_sphere_by_place():
    f = cubed()
    at = xpatch.Explicit({"lons": [100.0], "lats": [50.0]})
    p = f.patch.split(geometry={"nf": 1, "Ydim": 1, "Xdim": 1}, sampler=at)
    assert p.item() == np.argmin(far(f.lons.values, f.lats.values, 100.0, 50.0))
    with pytest.raises(ValueError, match="'nf': 1"):
        f.patch.split(geometry={"Ydim": 1, "Xdim": 1}, sampler=at)


def test_lists_at_the_boxes_of_a_cubed_sphere():
    f = cubed()
    each = f.patch.split(geometry={"nf": 1, "Ydim": 3, "Xdim": 3})
    near = f.patch.split(geometry=xpatch.KNNGraph(1), sampler=xpatch.Explicit(each))
    np.testing.assert_array_equal(near[:, 0], each[:, 0, 1, 1])
    whole = f.patch.split(geometry={"Ydim": 3, "Xdim": 3})
    with pytest.raises(ValueError, match="'nf'"):
        f.patch.split(geometry=xpatch.KNNGraph(1), sampler=xpatch.Explicit(whole))


def test_fake_longitudes_are_none():
    f = cubed().drop_vars(["lons", "lats"])
    assert not xpatch.domain_of(f).geographic
    with pytest.raises(ValueError, match="longitude and latitude"):
        f.isel(nf=0).patch.split(geometry=xpatch.SphericalCap(2000.0))
    assert f.patch.split(geometry={"Ydim": 3, "Xdim": 3}).sizes["patch"] == 4


def test_a_cubed_sphere_goes_through_files(tmp_path):
    f = cubed().to_dataset()
    f.to_netcdf(tmp_path / "c.nc")
    with xr.open_dataset(
        tmp_path / "c.nc", decode_coords=False
    ) as ds:  # positions as data variables
        p = ds.patch.split(geometry=xpatch.SphericalCap(2000.0))
        assert p.sizes["patch"] == 216
        assert "lons" in p.data_vars
        p.to_netcdf(tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc") as back:
        np.testing.assert_allclose(back["T"].patch.merge(), f["T"])


# ------------------------------------------------------------------ positions that are data variables


@pytest.mark.parametrize("chunks", [None, {}])
def test_positions_of_argo(chunks, tmp_path):
    ds = argo()
    obj = ds if chunks is None else ds.chunk()
    p = obj.patch.split(geometry=xpatch.KNNGraph(5))
    assert p.TEMP.dims == ("patch", "N_PROF", "N_LEVELS")
    assert "LONGITUDE" in p.data_vars
    lon, lat = ds.LONGITUDE.values, ds.LATITUDE.values
    wanted = np.argsort(far(lon, lat, lon[7], lat[7]))[:5]
    np.testing.assert_array_equal(p["N_PROF"].values[7], wanted)
    np.testing.assert_array_equal(p.LONGITUDE.values[7], lon[wanted])
    merged = p.patch.merge()
    xr.testing.assert_allclose(merged, ds)
    assert set(merged.data_vars) == set(ds.data_vars)
    assert "LONGITUDE, LATITUDE (longitude and latitude, data variables)" in repr(p.patch.domain)
    p.to_netcdf(tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc") as back:
        xr.testing.assert_allclose(back.patch.merge(), ds)
        xr.testing.assert_allclose(back.patch.merge(like=ds), ds)
    renamed = p.rename(N_PROF="profile").patch.merge()
    np.testing.assert_allclose(renamed.TEMP, ds.TEMP)


def test_boxes_of_profiles_stay_boxes():
    ds = argo()
    p = ds.patch.split(geometry={"N_PROF": 8})
    assert p.sizes["patch"] == 5
    xr.testing.assert_allclose(p.patch.merge(), ds)


def fesom():
    ds = argo().rename(LONGITUDE="lon", LATITUDE="lat", N_PROF="nod2")
    ds["lon"].attrs, ds["lat"].attrs = {"units": "degrees_east"}, {"units": "degrees_north"}
    return ds


def named_only():
    ds = argo().rename(LONGITUDE="nav_lon", LATITUDE="nav_lat")
    ds["nav_lon"].attrs.clear()
    ds["nav_lat"].attrs.clear()
    ds["TEMP"].encoding["coordinates"] = "nav_lon nav_lat"
    return ds


@pytest.mark.parametrize("make", [fesom, named_only])
def test_positions_are_told_by_units_or_by_name(make):
    ds = make()
    assert type(xpatch.domain_of(ds)) is xpatch.PointDomain
    assert ds.patch.split(geometry=xpatch.SphericalCap(500.0)).sizes["patch"] == 40


def met_em():
    dims, stag = ("Time", "south_north", "west_east"), ("Time", "south_north_stag", "west_east")
    lat, lon = (wrf()[n].values for n in ("XLAT", "XLONG"))
    north, east = "degrees latitude", "degrees longitude"
    said = {"description": "Computational latitude on mass grid"}
    other = {"description": "Computational longitude on mass grid"}
    return xr.Dataset(
        {
            "CLAT": (dims, lat - 9, {"units": north, **said}),
            "CLONG": (dims, lon - 9, {"units": east, **other}),
            "XLAT_V": (stag, np.zeros((3, 11, 12)), {"units": north}),
            "XLONG_V": (stag, np.zeros((3, 11, 12)), {"units": east}),
            "XLAT_M": (dims, lat, {"units": north, "description": "Latitude on mass grid"}),
            "XLONG_M": (dims, lon, {"units": east, "description": "Longitude on mass grid"}),
            "TT": (dims, rng.random((3, 10, 12))),
            "GHT": (dims, rng.random((3, 10, 12))),
            "VV": (stag, rng.random((3, 11, 12))),
        }
    )


def test_positions_of_met_em():
    ds = met_em()
    domain = xpatch.domain_of(ds)
    assert domain.curvilinear == ("XLAT_M", "XLONG_M")
    assert "(the same for all Time; data variables)" in repr(domain)
    p = ds[["TT", "XLAT_M", "XLONG_M"]].patch.split(geometry=xpatch.SphericalCap(20.0))
    lat, lon = ds.XLAT_M.values[0], ds.XLONG_M.values[0]
    inside = far(lon, lat, lon[4, 5], lat[4, 5]) <= 20.0
    found = p.TT.values[53, 1][np.isfinite(p.TT.values[53, 1])]
    np.testing.assert_array_equal(np.sort(found), np.sort(ds.TT.values[1][inside]))
    assert set(p.patch.merge().data_vars) == {"TT", "XLAT_M", "XLONG_M"}


def test_names_alike_make_a_pair():
    dims = ("y", "x")
    lats, lons = {"CLAT": dims, "XLAT_M": dims}, {"XLONG_M": dims, "CLONG": dims}
    assert matched_pair(lats, lons, [dims]) in (("CLAT", "CLONG"), ("XLAT_M", "XLONG_M"))
    assert matched_pair({"a_lat": ("y",)}, {"a_lon": ("x",)}, [dims]) == ()


def unplaced():
    """Datasets in which data variables are no positions, though units might say so."""
    y, x = np.arange(4.0), np.arange(5.0)
    grid = {"lat": ("lat", y), "lon": ("lon", x)}
    east, north = {"units": "degrees_east"}, {"units": "degrees_north"}
    values = ("lat", "lon"), np.zeros((4, 5))
    borders = {
        "lat_bnds": (("lat", "b"), np.zeros((4, 2)), north),
        "lon_bnds": (("lon", "b"), np.zeros((5, 2)), east),
    }
    named = {"lat": (*grid["lat"], {"bounds": "edges"}), "lon": grid["lon"]}
    plane = {"y": ("y", y), "x": ("x", x)}
    flat = ("y", "x"), np.zeros((4, 5))
    yield "a grid with labels", xr.Dataset({"t": values, **borders}, named)
    yield (
        "projected labels",
        xr.Dataset({"t": flat, "glat": (*flat, north), "glon": (*flat, east)}, plane),
    )
    yield (
        "corners alone",
        xr.Dataset(
            {
                "t": flat,
                "lat_vertices": (("y", "x", "v"), np.zeros((4, 5, 4)), north),
                "lon_vertices": (("y", "x", "v"), np.zeros((4, 5, 4)), east),
            }
        ),
    )
    yield "nothing but positions", xr.Dataset({"a": ("s", y, north), "b": ("s", y, east)})
    yield "one of them", xr.Dataset({"t": ("s", y), "a": ("s", y, north)})
    yield "text", xr.Dataset({"t": ("s", y), "a": ("s", list("abcd"), north), "b": ("s", y, east)})


@pytest.mark.parametrize(("what", "ds"), list(unplaced()))
def test_data_variables_that_are_no_positions(what, ds):
    assert not xpatch.domain_of(ds).held, what


# ------------------------------------------------------------------------------------- two grids


def two_grids(n=12, m=10, attrs=True):
    """Bands of 10 m and of 20 m over the same ground, and what lies on neither."""

    def at(res, count, sign):
        return sign * res * (np.arange(count) + 0.5)

    coords = {
        "y": ("y", 6e6 + at(10, 4 * n, -1)),
        "x": ("x", 5e5 + at(10, 4 * m, 1)),
        "y20": ("y20", 6e6 + at(20, 2 * n, -1), {"axis": "Y"} if attrs else {}),
        "x20": ("x20", 5e5 + at(20, 2 * m, 1), {"axis": "X"} if attrs else {}),
        "cloud": (("y20", "x20"), rng.random((2 * n, 2 * m))),
        "time": [0, 1],
    }
    return xr.Dataset(
        {
            "B02": (("y", "x"), rng.random((4 * n, 4 * m)).astype("f4")),
            "B03": (("time", "y", "x"), rng.random((2, 4 * n, 4 * m))),
            "B05": (("y20", "x20"), rng.random((2 * n, 2 * m))),
            "SCL": (("y20", "x20"), rng.integers(0, 9, (2 * n, 2 * m)).astype("u1")),
            "sun": ("time", [30.0, 31.0]),
        },
        coords,
        {"platform": "S2A"},
    )


BOTH = {("y", "x"): 16, ("y20", "x20"): 8}
CHUNKS = {
    "numpy": {},
    "both": {"y": 20, "x": 20, "y20": 9},
    "fine": {"y": 20},
    "coarse": {"y20": 9, "x20": 9},
}


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("attrs", [True, False])
def test_two_grids_are_cut_at_common_places(chunks, attrs):
    ds = two_grids(attrs=attrs)
    obj = ds.chunk(CHUNKS[chunks]) if CHUNKS[chunks] else ds
    p = obj.patch.split(geometry=xpatch.Rectangular(BOTH), sampler=xpatch.RegularStride(8))
    assert p.B02.dims == ("patch", "y", "x")
    assert p.B05.dims == ("patch", "y20", "x20")
    assert p.sizes["patch"] == 20
    assert p.attrs == ds.attrs
    assert p.sun.dims == ("time",)
    np.testing.assert_allclose(p.y.mean("y"), p.y20.mean("y20"))
    np.testing.assert_allclose(p.x.mean("x"), p.x20.mean("x20"))
    np.testing.assert_allclose(p.B02.isel(patch=3), ds.B02.sel(y=p.y[3], x=p.x[3]))
    np.testing.assert_allclose(p.B05.isel(patch=3), ds.B05.sel(y20=p.y20[3], x20=p.x20[3]))
    merged = p.patch.merge()
    xr.testing.assert_allclose(merged, ds)
    first = p.patch.merge("first").load()
    xr.testing.assert_equal(first, ds)
    assert first.B02.dtype == "f4"
    assert first.SCL.dtype == "u1"
    assert not CHUNKS[chunks] or any(v.chunks for v in p.data_vars.values())


@pytest.mark.parametrize(
    "size",
    [
        BOTH,
        {("y", "x"): (16, 16), ("y20", "x20"): [8, 8]},
        {("y", "x"): {"y": 16, "x": 16}, ("y20", "x20"): {"x20": 8, "y20": 8}},
        {("y", "x"): 160.0, ("y20", "x20"): 160.0},
        {("x", "y"): 16, ("x20", "y20"): 8},
    ],
)
def test_sizes_of_two_grids(size):
    ds = two_grids()
    want = ds.patch.split(geometry=xpatch.Rectangular(BOTH))
    for geometry in (size, xpatch.Rectangular(size)):
        xr.testing.assert_equal(ds.patch.split(geometry=geometry), want)
    assert "y20" in repr(xpatch.Rectangular(size))
    assert hash(xpatch.Rectangular(size))
    for first in (size, xpatch.Rectangular(size), xpatch.Patcher(size)):
        xr.testing.assert_equal(ds.patch.split(first), want)


def test_a_dimension_that_is_common_to_two_grids():
    ds = two_grids()
    ds["B06"] = ("time", "y20", "x20"), rng.random((2, 24, 20))
    p = ds.patch.split(geometry={**BOTH, "time": 1})
    assert p.sizes["patch"] == 18
    assert p.B03.sizes["time"] == p.B06.sizes["time"] == 1
    xr.testing.assert_allclose(p.patch.merge(), ds)


@pytest.mark.parametrize(
    "sampler",
    [
        xpatch.Random(9, seed=0, snap={"y": 2, "x": 2}),
        xpatch.Explicit([(0, 0), (32, 24), (8, 2)]),
        xpatch.JitteredStride(8, 0.5, seed=0),
    ],
)
def test_any_sampler_places_the_first_grid(sampler):
    ds = two_grids()
    p = ds.patch.split(geometry=BOTH, sampler=sampler)
    want = ds[["B02"]].drop_dims(["y20", "x20"], errors="ignore").B02
    alone = want.patch.split(geometry={"y": 16, "x": 16}, sampler=sampler)
    np.testing.assert_array_equal(p.B02, alone)
    off = 0 if not isinstance(sampler, xpatch.JitteredStride) else 10.0  # half a coarse cell
    assert float(abs(p.y.mean("y") - p.y20.mean("y20")).max()) <= off + 1e-6
    xr.testing.assert_allclose(p.patch.merge("first").fillna(ds), ds)


def test_patches_of_two_grids_in_batches():
    p = two_grids().patch.split(geometry=BOTH)
    batches = list(p.patch.batches(4))
    assert [b.sizes["patch"] for b in batches] == [4, 4, 1]
    np.testing.assert_array_equal(xr.concat([b.B05 for b in batches], "patch"), p.B05)
    assert len(p.patch.footprints()) == 9


def test_three_grids_and_some_of_the_patches():
    ds = two_grids()
    y60, x60 = 6e6 - 40 * (np.arange(12) + 0.5), 5e5 + 40 * (np.arange(10) + 0.5)
    ds["B01"] = ("y60", "x60"), rng.random((12, 10))
    ds = ds.assign_coords(y60=y60, x60=x60)
    p = ds.patch.split(geometry={**BOTH, ("y60", "x60"): 4})
    np.testing.assert_allclose(p.y.mean("y"), p.y60.mean("y60"))
    xr.testing.assert_allclose(p.patch.merge(), ds)
    some = p.isel(patch=[3, 0]).patch.merge()
    np.testing.assert_array_equal(some.B05.notnull().sum(), 2 * 64)
    xr.testing.assert_allclose(p[["B01", "B05"]].patch.merge().B05, ds.B05)
    np.testing.assert_allclose(p.B01.patch.merge(), ds.B01)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda ds: (ds.B02, BOTH), TypeError, "Dataset"),
        (lambda ds: (ds, {("y", "x"): 16, ("y20", "z"): 8}), KeyError, "'z'"),
        (lambda ds: (ds, {("y", "x"): 16, ("y", "x20"): 8}), ValueError, "'y' twice"),
        (lambda ds: (ds, {("y", "x"): 16, ("y20", "x20"): (8, 8, 8)}), ValueError, "3 entries"),
        (lambda ds: (ds, {("y", "x"): 16, ("y20", "x20"): {"y20": 8}}), ValueError, "lacks 'x20'"),
        (lambda ds: (ds.drop_vars("y20"), BOTH), ValueError, "'y20' has no coordinate"),
        (lambda ds: (ds.assign(both=ds.B02[:, 0] * ds.B05[:, 0]), BOTH), ValueError, "'both'"),
    ],
)
def test_two_grids_that_cannot_be_cut(change, error, match):
    obj, size = change(two_grids(5, 5))
    with pytest.raises(error, match=match):
        obj.patch.split(geometry=xpatch.Rectangular(size), sampler=xpatch.RegularStride(4))


def test_two_grids_are_for_split_alone():
    ds = two_grids()
    with pytest.raises(ValueError, match="several grids"):
        ds.patch.apply(lambda p: p, geometry=xpatch.Rectangular(BOTH))


def test_two_grids_are_never_a_product():
    with pytest.raises(
        ValueError, match=r"Rectangular\(\{\('y', 'x'\): …, \('y20', 'x20'\): …\}\)"
    ):
        two_grids().patch.split(geometry={"y": 16, "x": 16, "y20": 8, "x20": 8})


@pytest.mark.parametrize("format", ["netcdf", "zarr"])
def test_two_grids_come_back_from_files(tmp_path, format):
    ds = two_grids()
    patches = ds.patch.split(geometry=xpatch.Rectangular(BOTH), sampler=xpatch.RegularStride(8))
    if format == "netcdf":
        patches.to_netcdf(tmp_path / "p.nc")
        back = xr.open_dataset(tmp_path / "p.nc")
    else:
        patches.to_zarr(tmp_path / "p.zarr", consolidated=False)
        back = xr.open_zarr(tmp_path / "p.zarr", consolidated=False)
    merged = back.patch.merge("first")
    for name in ("B02", "B05", "SCL"):
        np.testing.assert_array_equal(merged[name], ds[name])
        np.testing.assert_array_equal(back[name].patch.merge("first"), ds[name])
    back.close()
