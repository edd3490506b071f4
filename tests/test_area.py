"""Areas of cells: sums of 4πR², spherical triangles by l'Huilier, pyproj, uxarray, brute force."""

from __future__ import annotations

import itertools

import dask.array as da
import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

import xpatch
from tests.element_strategies import mesh

R = 6371008.8
GLOBE = 4 * np.pi * R**2
BOTH = ("lat", "lon")


def grid(lat, lon, name="t", **dims):
    sizes = {**dims, "lat": len(lat), "lon": len(lon)}
    data = np.random.default_rng(0).random(tuple(sizes.values()))
    return xr.DataArray(data, {"lat": lat, "lon": lon}, tuple(sizes), name=name)


def coarse(time=None):
    field = grid(np.linspace(90, -90, 13), np.arange(0, 360, 20.0), time=3)
    return field if time else field.isel(time=0)


def lhuilier(a, b, c):
    """The excess of one spherical triangle of unit vectors, by its sides."""
    sides = [np.arctan2(np.linalg.norm(np.cross(p, q)), p @ q) for p, q in ((b, c), (c, a), (a, b))]
    s = sum(sides) / 2
    tans = np.prod([np.tan((s - x) / 2) for x in sides]) * np.tan(s / 2)
    return 4 * np.arctan(np.sqrt(max(tans, 0)))


def quads(lon, lat):
    """The areas of polygons with four corners in degrees, shape (…, 4): two triangles each."""
    at = xpatch.sphere.unit_vectors(lon, lat)
    out = np.empty(at.shape[:-2])
    for k in np.ndindex(out.shape):
        a, b, c, d = at[k]
        out[k] = lhuilier(a, b, c) + lhuilier(a, c, d)
    return R**2 * out


# ------------------------------------------------------------------------------ straight axes


LATITUDES = {
    "centers": np.arange(-88.75, 90, 2.5),
    "poles, falling": np.linspace(90, -90, 73),
    "gaussian": np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(32)[0])),
    "gaussian, falling": np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(47)[0]))[::-1],
    "float32": np.arange(89.875, -90, -0.25).astype("f4"),
}
LONGITUDES = {
    "0 to 360": np.arange(0, 360, 5.0),
    "-180 to 180": np.arange(-180, 180, 7.5),
    "seam within": np.concatenate([np.arange(0, 180, 30.0), np.arange(-180, 0, 30.0)]),
    "falling": np.arange(355, -5, -10.0),
}


@pytest.mark.parametrize("lat", LATITUDES)
@pytest.mark.parametrize("lon", LONGITUDES)
def test_cells_cover_the_globe(lat, lon):
    area = grid(LATITUDES[lat], LONGITUDES[lon]).patch.area
    assert area.dims == BOTH
    np.testing.assert_allclose(area.sum(), GLOBE, rtol=1e-12 if lat != "float32" else 1e-6)
    assert float(area.min()) > 0


def test_points_at_the_poles_have_half_a_cell():
    area = grid(np.linspace(90, -90, 181), np.arange(360.0)).patch.area
    cap = 2 * np.pi * R**2 * (1 - np.sin(np.deg2rad(89.5)))
    np.testing.assert_allclose(area.isel(lat=[0, -1]).sum("lon"), cap, rtol=1e-9)


def test_each_cell_is_a_rectangle_of_pyproj():
    """Parallels as edges of many points on a sphere."""
    pyproj = pytest.importorskip("pyproj")
    geod = pyproj.Geod(a=R, b=R)
    area = grid(np.array([-40.0, -38, -35, -31]), np.array([10.0, 11, 13])).patch.area
    south, west = np.array([-41, -39, -36.5, -33, -29]), np.array([9.5, 10.5, 12, 14])
    for j, i in np.ndindex(area.shape):
        lon = np.linspace(west[i], west[i + 1], 2001)
        ring = np.concatenate([lon, lon[::-1]]), np.repeat(south[[j, j + 1]], 2001)
        np.testing.assert_allclose(
            area[j, i], abs(geod.polygon_area_perimeter(*ring)[0]), rtol=1e-6
        )


def test_bounds_come_before_the_middle():
    ds = grid(np.array([10.0, 20]), np.array([0.0, 350])).to_dataset()
    ds["lat_bnds"] = (("lat", "bnds"), [[4.0, 14], [14, 30]])
    ds["lon_bnds"] = (("lon", "bnds"), [[355.0, 5], [345, 355]])
    for d in BOTH:
        ds[d].attrs["bounds"] = f"{d}_bnds"
    sines = np.sin(np.deg2rad([4, 14, 30]))
    expected = np.multiply.outer(R**2 * np.diff(sines), np.deg2rad([10.0, 10]))
    held = ds.set_coords(["lat_bnds", "lon_bnds"])
    patches = ds.patch.split(geometry={"lat": 1, "lon": 2})
    for area in (ds, held, patches.t, patches, held.patch.split(geometry={"lat": 1})):
        found = area.patch.area
        np.testing.assert_allclose(found.values.reshape(2, 2), expected)
    far = held.t.patch.area  # whose bounds xarray leaves behind
    assert not np.allclose(far, expected)


@given(
    st.lists(st.floats(-89, 89).map(lambda v: round(v, 2)), min_size=2, max_size=6, unique=True),
    st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_cells_tile_what_lies_between_the_outer_edges(labels, falling):
    lat = np.array(sorted(labels, reverse=falling))
    area = grid(lat, np.array([0.0, 30, 60])).patch.area.isel(lon=1).values
    middle = (lat[1:] + lat[:-1]) / 2
    inner = np.abs(np.diff(np.sin(np.deg2rad(middle)))) * np.deg2rad(30) * R**2
    np.testing.assert_allclose(area[1:-1], inner)
    assert area.sum() <= GLOBE / 12 * (1 + 1e-12)


def test_means_are_those_of_areas():
    field = coarse(time=True)
    weights = field.patch.area
    by_hand = (field * weights).sum(BOTH) / GLOBE
    np.testing.assert_allclose(field.weighted(weights).mean(BOTH), by_hand)
    assert weights.attrs == {"standard_name": "cell_area", "units": "m2"}
    assert weights.name == "cell_area"
    xr.testing.assert_equal(weights.lat, field.lat)


def test_dims_are_those_of_the_field():
    field = coarse(time=True)
    turned = field.transpose("lon", "time", "lat").patch.area
    assert turned.dims == ("lon", "lat")
    xr.testing.assert_equal(turned.transpose(*BOTH), field.patch.area)


def rotated_pole():
    attrs = {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
    }
    rows, columns = np.arange(-20, 20.0), np.arange(-25, 18.0)
    axes = {
        "rlat": ("rlat", rows, {"standard_name": "grid_latitude", "units": "degrees"}),
        "rlon": ("rlon", columns, {"standard_name": "grid_longitude", "units": "degrees"}),
    }
    field = xr.DataArray(np.zeros((40, 43)), axes, ("rlat", "rlon"), attrs={"grid_mapping": "pole"})
    return field.assign_coords(pole=((), 0, attrs)), grid(rows, columns).patch.area


def test_rotated_poles():
    field, expected = rotated_pole()
    np.testing.assert_allclose(field.patch.area, expected)
    bare = field.drop_vars("pole")
    np.testing.assert_allclose(bare.patch.area, expected)


# --------------------------------------------------------------------------------- projections


def raster(crs, step=(10.0, -20.0), **units):
    pytest.importorskip("rioxarray")
    y, x = 5e6 + step[1] * np.arange(4), 3e5 + step[0] * np.arange(5)
    field = xr.DataArray(np.zeros((4, 5)), {"y": y, "x": x}, ("y", "x")).rio.write_crs(crs)
    for d, unit in units.items():
        field[d].attrs["units"] = unit
    return field


def test_rasters_have_the_area_in_their_projection():
    area = raster(32633).patch.area
    np.testing.assert_allclose(area, 200.0)
    assert area.attrs["long_name"] == "area of cells in the projection, EPSG:32633"
    assert area.rio.crs == "EPSG:32633"
    feet = raster(2263).patch.area  # US survey feet
    np.testing.assert_allclose(feet, 200 * (1200 / 3937) ** 2)
    km = raster(32633, y="km", x="km").patch.area
    np.testing.assert_allclose(km, 200e6)
    uneven = raster(32633).isel(x=[0, 1, 4]).patch.area
    np.testing.assert_allclose(uneven.isel(y=0), 20 * np.array([10.0, 20, 30]))


def test_a_raster_in_degrees_is_on_the_sphere():
    pytest.importorskip("rioxarray")
    found = grid(np.arange(50, 40, -1.0), np.arange(5.0)).rename(lat="y", lon="x")
    area = found.rio.write_crs(4326).patch.area
    np.testing.assert_allclose(area, grid(np.arange(50, 40, -1.0), np.arange(5.0)).patch.area)


@pytest.mark.parametrize("crs", [32633, 4326])
def test_rotated_rasters(crs):
    affine = pytest.importorskip("affine")
    size = 10.0 if crs == 32633 else 0.1
    c, s = size * np.cos(np.pi / 6), size * np.sin(np.pi / 6)
    turn = affine.Affine(c, 2 * s, 5.0, s, -2 * c, 45.0)
    field = xr.DataArray(np.zeros((3, 4)), dims=("y", "x")).rio.write_crs(crs)
    area = field.rio.write_transform(turn).patch.area
    if crs == 32633:
        np.testing.assert_allclose(area, 200.0)
        return
    corner = np.array([[turn @ (i + a, j + b) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))]
                       for j in range(3) for i in range(4)])  # fmt: skip
    np.testing.assert_allclose(
        area.values.ravel(), quads(corner[..., 0], corner[..., 1]), rtol=1e-6
    )


# --------------------------------------------------------------------------------- curvilinear


def bent(n=6, m=9):
    """A grid of which rows and columns are no parallels and meridians, and its true corners."""
    at = np.meshgrid(np.arange(m + 1) - 0.5, np.arange(n + 1) - 0.5)
    lon, lat = 10 + 2.0 * at[0] + 0.3 * at[1], 50 + 1.0 * at[1] - 0.2 * at[0]

    def four(v):
        return np.stack([v[:-1, :-1], v[:-1, 1:], v[1:, 1:], v[1:, :-1]], axis=-1)

    lon, lat = four(lon), four(lat)
    center = {"lat": (("j", "i"), lat.mean(-1)), "lon": (("j", "i"), lon.mean(-1))}
    field = xr.DataArray(np.zeros((n, m)), center, ("j", "i"), name="t")
    return field, lon, lat


def test_corners_midway_on_curvilinear_grids():
    field, lon, lat = bent()
    area = field.patch.area
    assert area.dims == ("j", "i")
    assert {"lat", "lon"} <= {*area.coords}
    expected = quads(lon, lat)
    np.testing.assert_allclose(area[1:-1, 1:-1], expected[1:-1, 1:-1], rtol=2e-4)
    np.testing.assert_allclose(area, expected, rtol=3e-3)  # beyond the rim along great circles
    turned = field.transpose("i", "j").patch.area
    np.testing.assert_allclose(turned.transpose("j", "i"), area, rtol=1e-5)


def test_corners_of_bounds_on_curvilinear_grids():
    field, lon, lat = bent()
    ds = field.to_dataset()
    for name, values in (("lat", lat), ("lon", lon)):
        ds[f"{name}_bnds"] = (("j", "i", "corner"), values)
        ds[name].attrs["bounds"] = f"{name}_bnds"
    np.testing.assert_allclose(ds.patch.area, quads(lon, lat), rtol=1e-9)
    patches = ds.t.to_dataset().assign(ds[["lat_bnds", "lon_bnds"]]).patch.split(geometry=3)
    whole = patches.t.patch.area.isel(patch=0)
    np.testing.assert_allclose(whole, quads(lon, lat)[:3, :3], rtol=1e-9)


def test_bounds_that_joined_files_repeat_in_time():
    """As `xr.open_mfdataset` gives them: Gaussian rows end where only their bounds know."""
    ds = grid(np.array([10.0, 20]), np.array([0.0, 10])).to_dataset()
    ds["lat_bnds"] = (("lat", "bnds"), [[4.0, 14], [14, 30]])
    ds.lat.attrs["bounds"] = "lat_bnds"
    steps = [ds.expand_dims(time=[k]).chunk() for k in range(4)]
    joined = xr.concat(steps, "time", data_vars="all")
    assert joined.lat_bnds.dims[0] == "time"
    for one in (joined, joined.set_coords("lat_bnds")):
        xr.testing.assert_allclose(one.patch.area, ds.patch.area)
        patches = one.patch.split(geometry={"lat": 2, "lon": 1}).patch.area
        np.testing.assert_allclose(patches[0, :, 0], ds.patch.area[:, 0])

    moving = joined.assign(lat_bnds=joined.lat_bnds + 0.1 * joined.time)
    with pytest.raises(
        ValueError, match=r"'lat_bnds' of 'lat' change along 'time'.*isel\(time=0\)"
    ):
        _ = moving.patch.area

    field, lon, lat = bent()
    ds = field.to_dataset()
    for name, values in (("lat", lat), ("lon", lon)):
        ds[f"{name}_bnds"] = (("j", "i", "corner"), values)
        ds[name].attrs["bounds"] = f"{name}_bnds"
    joined = xr.concat([ds, ds, ds], "time", data_vars="all")
    np.testing.assert_allclose(joined.patch.area, quads(lon, lat), rtol=1e-9)


def test_a_straight_grid_with_positions_of_two_dimensions():
    lat, lon = np.linspace(-90, 90, 13), np.arange(0, 360, 20.0)
    expected = grid(lat, lon).patch.area
    at = np.meshgrid(lat, lon, indexing="ij")
    coords = {n: (("j", "i"), v) for n, v in zip(BOTH, at, strict=True)}
    field = xr.DataArray(np.zeros((13, 18)), coords, ("j", "i"))
    np.testing.assert_allclose(field.patch.area, expected)
    np.testing.assert_allclose(field.transpose("i", "j").patch.area, expected.T)


def cube(n=8):
    """An equiangular cubed sphere: positions of three dimensions."""
    edge = np.tan(np.linspace(-np.pi / 4, np.pi / 4, 2 * n + 1)[1::2])
    a, b = np.meshgrid(edge, edge, indexing="ij")
    one = np.ones_like(a)
    sides = [(one, a, b), (-a, one, b), (-one, -a, b), (a, -one, b), (-b, a, one), (b, a, -one)]
    lon, lat = xpatch.sphere.degrees_of(np.stack([np.stack(s, axis=-1) for s in sides]))
    dims = ("nf", "y", "x")
    return xr.DataArray(np.zeros(lon.shape), {"lat": (dims, lat), "lon": (dims, lon)}, dims)


def test_cubed_spheres_cover_the_globe():
    area = cube().patch.area
    assert area.dims == ("nf", "y", "x")
    np.testing.assert_allclose(area.sum(), GLOBE, rtol=0.01)
    np.testing.assert_allclose(area.sum(("y", "x")), GLOBE / 6, rtol=0.01)


def test_an_ocean_grid_with_a_fold():
    samples = pytest.importorskip("iris_sample_data")
    ds = xr.open_dataset(f"{samples.path}/orca2_votemper.nc").isel(dim0=slice(20, 60))
    corner = ds.nav_lon_bnds.values, ds.nav_lat_bnds.values
    expected = quads(*(v[::5, ::20] for v in corner))
    np.testing.assert_allclose(ds.patch.area.values[::5, ::20], expected, rtol=1e-6)
    np.testing.assert_allclose(
        ds.votemper.patch.area[1:-1, 1:-1], ds.patch.area[1:-1, 1:-1], rtol=0.01
    )


def test_small_cells_keep_their_digits():
    """Of cells of 10 m the product of three unit vectors has none left."""
    step = np.rad2deg(10 / R)
    j, i = np.meshgrid(np.arange(5), np.arange(6), indexing="ij")
    skew = {"lat": (("j", "i"), step * (j + 0.1 * i)), "lon": (("j", "i"), step * (i - 0.1 * j))}
    area = xr.DataArray(np.zeros((5, 6)), skew, ("j", "i")).patch.area
    np.testing.assert_allclose(area, 101.0, rtol=1e-6)


# --------------------------------------------------------------------------------- elements


def on_mesh(kind="n_face"):
    ux = pytest.importorskip("uxarray")
    n = getattr(mesh(), kind)
    field = xr.DataArray(np.random.default_rng(0).random((2, n)), dims=("time", kind), name="t")
    return ux.UxDataArray(field, uxgrid=mesh())


def test_faces_are_those_of_uxarray():
    field = on_mesh()
    area = field.patch.area
    assert area.dims == ("n_face",)
    np.testing.assert_allclose(area.sum(), GLOBE, rtol=1e-12)
    np.testing.assert_allclose(area / R**2, mesh().face_areas.values, rtol=2e-3)  # by quadrature
    at = xpatch.sphere.unit_vectors(mesh().node_lon.values, mesh().node_lat.values)
    corners = at[mesh().face_node_connectivity.values]
    np.testing.assert_allclose(area, [R**2 * lhuilier(*c) for c in corners], rtol=1e-9)


def test_faces_of_unequally_many_corners():
    ux = pytest.importorskip("uxarray")
    lon, lat = np.array([0.0, 10, 10, 0, 20, 25]), np.array([0.0, 0, 10, 10, 0, 5])
    faces = np.array([[0, 1, 2, 3, -1], [1, 4, 2, -1, -1], [1, 4, 5, 2, 3]])
    own = ux.Grid.from_topology(lon, lat, faces, fill_value=-1)
    field = ux.UxDataArray(xr.DataArray(np.zeros(3), dims="n_face"), uxgrid=own)
    geod = pytest.importorskip("pyproj").Geod(a=R, b=R)
    rings = [f[f >= 0] for f in faces]
    expected = [abs(geod.polygon_area_perimeter(lon[r], lat[r])[0]) for r in rings]
    np.testing.assert_allclose(field.patch.area, expected, rtol=1e-6)


def districts(crs):
    shapely = pytest.importorskip("shapely")
    pytest.importorskip("xvec")
    hole = shapely.box(10, 40, 20, 50) - shapely.box(12, 42, 14, 44)
    both = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(5, 5, 7, 6)])
    field = xr.DataArray(np.zeros(2), {"geometry": [hole, both]}, ("geometry",))
    return field.xvec.set_geom_indexes("geometry", crs=crs)


def test_polygons():
    plane = districts(32633).patch.area
    np.testing.assert_allclose(plane, [96.0, 3.0])
    geod = pytest.importorskip("pyproj").Geod(a=R, b=R)
    parts = [[(10, 40, 20, 50), (12, 42, 14, 44)], [(0, 0, 1, 1), (5, 5, 7, 6)]]

    def box(w, s, e, n):
        return abs(geod.polygon_area_perimeter([w, e, e, w], [s, s, n, n])[0])

    expected = [box(*parts[0][0]) - box(*parts[0][1]), sum(box(*p) for p in parts[1])]
    np.testing.assert_allclose(districts(4326).patch.area, expected, rtol=1e-9)


def on_cells(ids, **attrs):
    pytest.importorskip("xdggs")
    coords = {"cell_ids": ("cells", np.asarray(ids), attrs)}
    return xr.DataArray(np.random.default_rng(0).random(len(ids)), coords, ("cells",), name="t")


def base_cells_of_h3():
    pytest.importorskip("h3ronpy")
    numbers = np.arange(122, dtype="u8")
    return on_cells(0x8001FFFFFFFFFFF + (numbers << np.uint64(45)), grid_name="h3", level=0)


@pytest.mark.parametrize("scheme", ["nested", "ring"])
def test_cells_of_healpix_are_equal_shares(scheme):
    field = on_cells(np.arange(192), grid_name="healpix", level=2, indexing_scheme=scheme)
    area = field.patch.area
    assert area.dims == ("cells",)
    assert area.attrs["units"] == "m2"
    np.testing.assert_allclose(area, GLOBE / 192, rtol=1e-12)
    some = field.isel(cells=[5, 100]).pipe(pytest.importorskip("xdggs").decode)
    np.testing.assert_allclose(some.patch.area, GLOBE / 192, rtol=1e-12)


def test_cells_of_healpix_of_several_levels():
    nested = pytest.importorskip("healpix_geo").nested
    levels = np.array([0] * 11 + [2] * 16)
    numbers = np.r_[np.arange(11), np.arange(176, 192)].astype("u8")
    ids = [nested.to_zuniq(n[None], int(k))[0] for n, k in zip(numbers, levels, strict=True)]
    field = on_cells(ids, grid_name="healpix", level=None, indexing_scheme="zuniq")
    area = field.patch.area
    np.testing.assert_allclose(area, GLOBE / np.where(levels == 0, 12, 192), rtol=1e-12)
    np.testing.assert_allclose(area.sum(), GLOBE, rtol=1e-12)


def test_cells_of_h3_cover_the_globe():
    field = base_cells_of_h3()
    area = field.patch.area
    np.testing.assert_allclose(area.sum(), GLOBE, rtol=1e-12)
    info = xpatch.domain_of(field).grid().info
    rings = [np.array(s.exterior.coords)[:-1] for s in info.cell_boundaries(field.cell_ids.values)]
    expected = []
    for ring in rings:
        first, *others = xpatch.sphere.unit_vectors(*ring.T)
        expected.append(sum(lhuilier(first, *pair) for pair in itertools.pairwise(others)))
    np.testing.assert_allclose(area, R**2 * np.array(expected), rtol=1e-9)
    assert area.max() / area.min() > 1.5


def test_cells_of_grids_that_only_have_outlines(monkeypatch):
    grid = xpatch.domain_of(base_cells_of_h3()).grid()
    expected = grid.areas
    monkeypatch.setattr(type(grid), "name", "another")
    np.testing.assert_allclose(grid.areas, expected, rtol=1e-12)


# ---------------------------------------------------------------------------------- patches


def by_hand(patches, field):
    """The area of each cell of boxes by its labels, 0 of padding."""
    area = field.patch.area
    there = patches.patch.mask.values
    out = np.zeros(there.shape)
    turned = dict(zip(np.round(area.lon.values % 360, 6), range(area.sizes["lon"]), strict=True))
    rows = dict(zip(area.lat.values, range(area.sizes["lat"]), strict=True))
    for p, j, i in itertools.product(*map(range, out.shape)):
        if there[p, j, i]:
            lat, lon = patches.lat.values[p, j], patches.lon.values[p, i]
            out[p, j, i] = area.values[rows[lat], turned[np.round(lon % 360, 6)]]
    return out


@pytest.mark.parametrize("kind", ["memory", "dask", "isel", "crop", "time"])
def test_boxes_that_wrap_and_overhang(kind):
    field = coarse()
    boxes = xpatch.Rectangular(lat=4, lon=5, boundary={"lat": "pad", "lon": "wrap"})
    source = field.chunk(lat=5) if kind == "dask" else coarse(True) if kind == "time" else field
    patches = source.patch.split(geometry=boxes, sampler=xpatch.RegularStride(3))
    if kind == "isel":
        patches = patches.isel(patch=[5, 2, 20, 3])
    if kind == "crop":
        patches = patches.patch.crop(lat=1, lon=(0, 2))
    area = patches.patch.area
    assert area.dims == ("patch", "lat", "lon")
    assert (area.chunks is not None) == (kind == "dask")
    np.testing.assert_allclose(area, by_hand(patches, field))
    assert int((area == 0).sum()) == int((~patches.patch.mask).sum())
    assert (~patches.patch.mask).any()
    ours = patches.weighted(area).mean(BOTH)
    theirs = (patches.fillna(0) * area).sum(BOTH) / area.sum(BOTH)
    np.testing.assert_allclose(ours.transpose(*theirs.dims), theirs)


def test_lists_of_cells():
    field = coarse()
    patches = field.patch.split(
        geometry=xpatch.SphericalCap(2500), sampler=xpatch.FibonacciSphere(9)
    )
    area, numbers = patches.patch.area, patches["cell"].values
    flat = field.patch.area.values.ravel()
    np.testing.assert_allclose(area, np.where(numbers >= 0, flat[numbers], 0))
    assert (numbers < 0).any()
    some = patches.isel(patch=[4, 1])
    np.testing.assert_allclose(some.patch.area, area.isel(patch=[4, 1]))


def test_lists_of_faces():
    field = on_mesh()
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    numbers = patches["n_face"].values
    expected = np.where(numbers >= 0, field.patch.area.values[numbers], 0)
    np.testing.assert_allclose(patches.patch.area, expected)
    merged = patches.patch.area.patch.merge()
    np.testing.assert_allclose(merged, field.patch.area)


@pytest.mark.parametrize("kind", ["memory", "dask"])
def test_lists_of_cells_of_global_grids(kind):
    field = base_cells_of_h3()
    patches = (field.chunk() if kind == "dask" else field).patch.split(geometry=xpatch.KHopGraph(1))
    mask, area = patches.patch.mask.values, patches.patch.area
    assert not mask.all()  # pentagons have five neighbors
    numbers = xpatch.domain_of(field).grid()
    at = dict(zip(numbers.ids, field.patch.area.values, strict=True))
    expected = [[at.get(c, 0) for c in row] for row in patches.cell_ids.values]
    np.testing.assert_allclose(area, expected)
    ours = patches.weighted(area).mean("cells")
    weights = np.where(mask, area, 0)
    filled = np.where(mask, patches, 0)
    np.testing.assert_allclose(ours, np.average(filled, axis=1, weights=weights))


def test_space_and_time():
    field = coarse(time=True)
    time = xpatch.TimePatcher(xpatch.FixedLookback(2))
    patches = field.patch.split(
        xpatch.SpatioTemporalPatcher(xpatch.Patcher(geometry={"lat": 6, "lon": 9}), time)
    )
    area = patches.patch.area
    assert set(area.dims) == {"patch", "lat", "lon"}
    whole = field.isel(time=0).patch.area
    for k in range(0, patches.sizes["patch"], 3):
        expected = whole.sel(lat=patches.lat[k].values, lon=patches.lon[k].values)
        np.testing.assert_allclose(area[k], expected)
    alone = field.patch.split(time).patch.area
    xr.testing.assert_allclose(
        alone, field.isel(time=0).patch.area.drop_vars("time", errors="ignore")
    )


def test_bands_of_latitude():
    field = coarse()
    area = field.patch.split(geometry={"lat": 4}, sampler=xpatch.RegularStride(3)).patch.area
    assert area.dims == ("patch", "lat", "lon")
    np.testing.assert_allclose(area.isel(patch=1), field.patch.area.isel(lat=slice(3, 7)))


def test_several_scenes():
    fields = coarse(), grid(np.arange(10, 0, -1.0), np.arange(0, 18.0))
    sets = [f.patch.split(geometry={"lat": 3, "lon": 6}) for f in fields]
    both = xpatch.concat(sets, scenes=["a", "b"])
    area = both.patch.area
    assert area.dims == both.dims
    expected = np.concatenate([s.patch.area for s in sets])
    np.testing.assert_allclose(area, expected)
    order = np.random.default_rng(0).permutation(both.sizes["patch"])
    np.testing.assert_allclose(both.isel(patch=order).patch.area, expected[order])


def test_scenes_of_unequally_many_members():
    fields = coarse(), grid(np.arange(10, 0, -1.0), np.arange(0, 18.0))
    sets = [f.patch.split(geometry=xpatch.KNNGraph(k)) for f, k in zip(fields, (3, 5), strict=True)]
    area = xpatch.concat(sets).patch.area
    assert area.sizes["cell"] == 5
    first = area.isel(patch=slice(0, sets[0].sizes["patch"]))
    np.testing.assert_allclose(first.isel(cell=slice(3)), sets[0].patch.area)
    assert (first.isel(cell=slice(3, None)) == 0).all()


@pytest.mark.parametrize("form", ["zarr", "netcdf"])
@pytest.mark.parametrize("cap", [False, True])
def test_patches_of_files(tmp_path, form, cap):
    field = coarse(time=True)
    geometry = xpatch.SphericalCap(3000) if cap else {"lat": 4, "lon": 6}
    patches = field.patch.split(geometry=geometry)
    path = tmp_path / f"patches.{form}"
    (patches.to_netcdf if form == "netcdf" else patches.to_zarr)(path)
    with xr.open_dataset(path, chunks=None if form == "netcdf" else {}, engine=None) as back:
        np.testing.assert_allclose(back.patch.area, patches.patch.area)
        np.testing.assert_allclose(back.t.patch.area, patches.patch.area)


def test_one_patch():
    field = coarse()
    patches = field.patch.split(geometry={"lat": 4, "lon": 6})
    area = patches.patch.area
    np.testing.assert_allclose(patches.isel(patch=2).patch.area, area.isel(patch=2))
    np.testing.assert_allclose(patches.patch[2].patch.area, area.isel(patch=2))


def test_no_data_are_read(tmp_path):
    def fail(block):
        raise AssertionError("read")

    field = coarse(True)
    never = da.zeros(field.shape, chunks=5).map_blocks(fail, dtype=float)
    lazy = field.copy(data=never)
    np.testing.assert_allclose(lazy.patch.area, field.patch.area)
    lazy.patch.split(geometry={"lat": 4, "lon": 6}).patch.area.compute()
    field.to_netcdf(tmp_path / "t.nc")
    with xr.open_dataarray(tmp_path / "t.nc") as on_disk:
        patches = on_disk.patch.split(geometry={"lat": 4, "lon": 6})
        area = patches.patch.area
        np.testing.assert_allclose(
            area, field.patch.split(geometry={"lat": 4, "lon": 6}).patch.area
        )
        assert not on_disk.variable._in_memory
        assert not patches.variable._in_memory


# ---------------------------------------------------------------------------------- refusals


def stations():
    at = {"lon": ("obs", np.arange(5.0)), "lat": ("obs", np.arange(5.0))}
    return xr.DataArray(np.zeros(5), at, ("obs",))


def geostationary():
    pytest.importorskip("rioxarray")
    crs = "+proj=geos +h=35786023 +lon_0=-75 +sweep=x +ellps=GRS80"
    return raster(crs)


def lines():
    shapely = pytest.importorskip("shapely")
    shapes = shapely.points(np.arange(3), 0)
    return xr.DataArray(np.zeros(3), {"geometry": shapes}, ("geometry",))


def positions_missing():
    field, _, _ = bent()
    lat = field.lat.where(field.lat < field.lat.max())
    return field.assign_coords(lat=lat)


REFUSED = {
    "points": (stations, "have no area; say what each stands for"),
    "a plain array": (lambda: xr.DataArray(np.zeros((3, 4)), dims=("y", "x")), "write_crs"),
    "no CRS": (lambda: raster(32633).drop_vars("spatial_ref"), "write_crs"),
    "a zonal mean": (lambda: coarse().mean("lon"), r"np\.cos\(np\.deg2rad\(field\.lat\)\)"),
    "one latitude": (lambda: coarse().isel(lat=[3]), "how large the one cell along 'lat' is"),
    "unsorted": (lambda: coarse().isel(lat=[3, 1, 2]), "neither rise nor fall"),
    "radians": (lambda: radians(), "areas need degrees"),
    "beyond the pole": (lambda: grid(np.arange(80, 100, 5.0), np.arange(4.0)), "no latitudes"),
    "nodes": (lambda: on_mesh("n_node"), "nodes and edges of a mesh.*faces do"),
    "a view of a satellite": (geostationary, "geostationary satellite"),
    "angles in a projection": (lambda: raster(32633, y="rad", x="rad"), "no length that is known"),
    "shapes without extent": (lines, "points or lines, which have no area"),
    "positions missing": (positions_missing, "as CF bounds"),
}


def radians():
    field = grid(np.arange(-1, 1, 0.1), np.arange(0, 3, 0.1))
    field.lat.attrs["units"] = "radian"
    return field


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        _ = make().patch.area


def test_polygons_without_a_crs():
    shapely = pytest.importorskip("shapely")
    field = xr.DataArray(np.zeros(1), {"geometry": [shapely.box(0, 0, 1, 1)]}, ("geometry",))
    with pytest.raises(ValueError, match=r"no CRS.*set_geom_indexes"):
        _ = field.patch.area


def test_patches_of_a_file_that_do_not_know_corners(tmp_path):
    field, _, _ = bent()
    field.patch.split(geometry=3).to_netcdf(tmp_path / "p.nc")
    back = xr.load_dataarray(tmp_path / "p.nc")
    with pytest.raises(ValueError, match=r"take areas along, patches\.assign_coords"):
        _ = back.patch.area


@pytest.mark.parametrize("geometry", [{"lat": 2, "lon": 2}, xpatch.KNNGraph(3)], ids=repr)
def test_patches_of_a_file_do_not_know_uneven_bounds(tmp_path, geometry):
    ds = grid(np.array([10.0, 20, 25]), np.array([0.0, 5, 10])).to_dataset()
    ds["lat_bnds"] = (("lat", "bnds"), [[4.0, 14], [14, 22], [22, 30]])
    ds.lat.attrs["bounds"] = "lat_bnds"
    ds.patch.split(geometry=geometry).to_netcdf(tmp_path / "p.nc")
    back = xr.load_dataset(tmp_path / "p.nc")
    with pytest.raises(ValueError, match=r"take areas along, patches\.assign_coords"):
        _ = back.patch.area


def test_cells_in_another_order_are_refused():
    patches = coarse().patch.split(geometry={"lat": 4, "lon": 6})
    with pytest.raises(ValueError, match="not those of their patch, in order"):
        _ = patches.isel(lat=[2, 0, 1, 3]).patch.area


@pytest.mark.parametrize(
    "none", [{"lat": slice(0)}, {"lon": slice(0)}, {"lat": slice(0), "lon": slice(0)}]
)
def test_no_cells_have_no_areas(none):
    field = coarse().isel(none)
    assert field.patch.area.shape == tuple(field.sizes[d] for d in field.patch.area.dims)
    assert field.patch.area.size == 0
