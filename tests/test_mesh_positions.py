"""Members of a mesh say where they are, and merge gives back no more than the field had."""

from __future__ import annotations

import itertools
import types

import numpy as np
import pytest
import xarray as xr

import xpatch
from tests.element_strategies import mesh

ux = pytest.importorskip("uxarray")

GEOMETRIES = [xpatch.KHopGraph(1), xpatch.SphericalCap(2500), xpatch.KNNGraph(3)]


def faces(kind="n_face", **coords):
    data = np.random.default_rng(0).random((2, getattr(mesh(), kind)))
    field = xr.DataArray(data, coords, ("time", kind), name="t")
    return ux.UxDataArray(field, uxgrid=mesh())


def check(patches, kind="n_face", names=("lat", "lon")):
    """Positions are those that the grid has of the members."""
    numbers, what = patches[kind].values, kind.removeprefix("n_")
    for name, said in zip(names, ("lat", "lon"), strict=True):
        at = patches[name]
        assert at.dims == ("patch", kind)
        known = getattr(mesh(), f"{what}_{said}").values
        np.testing.assert_array_equal(at, np.where(numbers >= 0, known[numbers], np.nan))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=repr)
@pytest.mark.parametrize("chunked", [False, True])
def test_faces(geometry, chunked):
    field = faces()
    field = field.chunk(n_face=9) if chunked else field
    patches = field.patch.split(geometry=geometry)
    check(patches)
    assert patches.lat.attrs["units"] == "degrees_north"
    assert patches.lon.attrs["standard_name"] == "longitude"
    check(patches.isel(patch=[5, 1]))
    merged = (patches * 2).patch.merge()
    assert type(merged) is ux.UxDataArray
    assert not merged.coords
    np.testing.assert_allclose(merged, field * 2)


@pytest.mark.parametrize("kind", ["n_node", "n_edge"])
def test_nodes_and_edges(kind):
    patches = faces(kind).patch.split(geometry=xpatch.KNNGraph(4))
    check(patches, kind)


def test_space_and_time():
    space = xpatch.Patcher(xpatch.KHopGraph(1), sampler=xpatch.Random(5, seed=0))
    both = xpatch.SpatioTemporalPatcher(space, xpatch.TimePatcher(xpatch.FixedLookback(2)))
    patches = faces().patch.split(both)
    check(patches)
    assert not {"lat", "lon"} & {*patches.patch.merge().coords}


def test_windows_in_time_have_no_positions():
    patches = faces().patch.split(xpatch.TimePatcher(xpatch.FixedLookback(2)))
    assert "lat" not in patches.coords


def test_a_dataset_of_faces_and_nodes():
    both = {"a": faces().isel(time=0), "b": faces("n_node").isel(time=0)}
    ds = ux.UxDataset(both, uxgrid=mesh())
    for kind in ("n_face", "n_node"):
        patches = ds.patch.split(geometry=xpatch.KNNGraph(3, dim=kind))
        check(patches, kind)
        assert not patches.patch.merge().coords


@pytest.mark.parametrize(
    ("taken", "names"),
    [
        (["lat"], ("latitude", "longitude")),
        (["lon", "latitude"], ("lat_n_face", "lon_n_face")),
    ],
)
def test_names_of_the_field_stay_its_own(taken, names):
    field = faces().isel(time=0)
    ds = ux.UxDataset({"t": field, **dict.fromkeys(taken, field)}, uxgrid=mesh())
    patches = ds.patch.split(geometry=xpatch.KHopGraph(1))
    check(patches, names=names)
    merged = patches.patch.merge()
    assert {*merged.variables} == {"t", *taken}
    for name in taken:
        np.testing.assert_allclose(merged[name], field)


def test_positions_that_the_field_has_are_kept():
    own = {"clat": ("n_face", np.linspace(-80, 80, mesh().n_face), {"units": "degrees_north"})}
    own |= {"clon": ("n_face", np.linspace(0, 350, mesh().n_face), {"units": "degrees_east"})}
    field = faces(**own)
    patches = field.patch.split(geometry=xpatch.KHopGraph(1))
    assert not {"lat", "lon"} & {*patches.coords}
    xr.testing.assert_equal(
        patches.patch.merge().clat.drop_vars("n_face", errors="ignore"), field.clat
    )


@pytest.mark.parametrize("form", ["zarr", "netcdf"])
def test_files(tmp_path, form):
    patches = faces().patch.split(geometry=xpatch.KHopGraph(1))
    path = tmp_path / f"p.{form}"
    (patches.to_netcdf if form == "netcdf" else patches.to_zarr)(path)
    with xr.open_dataset(path, engine=form.replace("netcdf", "netcdf4"), chunks=None) as back:
        check(back.t)
        assert not back.t.patch.merge().coords
        merged = back.t.patch.merge(like=faces())
        assert not merged.coords
        np.testing.assert_allclose(merged, faces())


def test_one_patch_is_a_field_with_places():
    one = faces().patch.split(geometry=xpatch.KHopGraph(2)).patch[3]
    assert isinstance(xpatch.domain_of(one), xpatch.PointDomain)
    near = one.patch.split(geometry=xpatch.SphericalCap(1000), dim="near")
    assert near.sizes["near"] == one.sizes["n_face"]


def test_positions_are_not_made_before_they_are_looked_at():
    patches = faces().patch.split(geometry=xpatch.KHopGraph(1))
    assert not patches.coords["lat"].variable._in_memory


def test_fields_that_are_no_mesh_have_what_they_had():
    at = {"x": ("obs", np.arange(9.0)), "y": ("obs", np.arange(9.0))}
    points = xr.DataArray(np.zeros(9), at, ("obs",)).patch.split(geometry=xpatch.KNNGraph(3))
    assert not {"lat", "lon"} & {*points.coords}
    shapely = pytest.importorskip("shapely")
    shapes = shapely.points(np.arange(9.0), 0)
    vector = xr.DataArray(np.zeros(9), {"geometry": shapes}, ("geometry",))
    assert "lat" not in vector.patch.split(geometry=xpatch.KNNGraph(3)).coords


def test_a_domain_of_another_package_gets_them_by_its_sites(monkeypatch):
    """The rule is that of elements, and not of the class of meshes."""
    from xpatch.domain import Sites, detect

    lat = np.linspace(-60, 60, 8)

    class Cells(xpatch.MeshDomain):
        places = types.MappingProxyType({("cell",): "cell"})

        def _sites(self, dims):
            return Sites(dims, (8,), "cell", np.arange(8.0), lat, True)

        def wrap(self, merged):
            return merged

    monkeypatch.setattr(detect, "REGISTERED", [(lambda obj: "cell" in obj.dims, Cells)])
    field = xr.DataArray(np.arange(8.0), dims="cell")
    patches = field.patch.split(geometry=xpatch.KNNGraph(2))
    np.testing.assert_array_equal(patches.lat, lat[patches["cell"].values])
    assert not patches.patch.merge().coords


# ----------------------------------------------------------------------------- places beside a mesh


@pytest.mark.parametrize("kind", ["n_face", "n_node", "n_edge"])
def test_hops_at_places_beside_a_region_have_no_members(kind):
    """A place is in a region where any of the triangles of its faces holds it."""
    grid = mesh()
    south = np.flatnonzero(grid.face_lat.values < 10)
    field = ux.UxDataArray(np.zeros(grid.n_face), dims="n_face", uxgrid=grid).isel(n_face=south)
    field = ux.UxDataArray(np.zeros(getattr(field.uxgrid, kind)), dims=kind, uxgrid=field.uxgrid)
    r = np.random.default_rng(3)
    lon, lat = r.uniform(-180, 180, 200), np.rad2deg(np.arcsin(r.uniform(-1, 1, 200)))
    at = xpatch.Explicit({"lon": lon, "lat": lat}, empty="keep")
    patches = field.patch.split(geometry=xpatch.KHopGraph(1), sampler=at)
    mine = patches.notnull().any(kind).values
    np.testing.assert_array_equal(mine, in_any_face(field.uxgrid, lon, lat))
    assert 50 < mine.sum() < 150
    with pytest.raises(ValueError, match="finds no element around"):
        field.patch.split(
            geometry=xpatch.KHopGraph(1), sampler=xpatch.Explicit(lon=lon[~mine], lat=lat[~mine])
        )


def test_hops_at_corners_and_on_edges_of_a_region():
    grid = mesh()
    south = np.flatnonzero(grid.face_lat.values < 10)
    field = ux.UxDataArray(np.zeros(grid.n_face), dims="n_face", uxgrid=grid).isel(n_face=south)
    for kind in ("node", "edge"):
        places = {n: getattr(field.uxgrid, f"{kind}_{n}").values for n in ("lon", "lat")}
        patches = field.patch.split(geometry=xpatch.KHopGraph(1), sampler=xpatch.Explicit(places))
        assert patches.notnull().any("n_face").all()


def in_any_face(grid, lon, lat):
    """Solve for the weights of the three corners of a triangle: none is negative inside."""

    def xyz(lon, lat):
        lon, lat = np.deg2rad(lon), np.deg2rad(lat)
        return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)

    nodes = grid.face_node_connectivity.values
    at, places = xyz(grid.node_lon.values, grid.node_lat.values), xyz(lon, lat)
    out = np.zeros(len(places), bool)
    for face in nodes:
        own = [n for n in face if 0 <= n < grid.n_node]
        for a, b in itertools.pairwise(own[1:]):
            part = np.linalg.solve(np.stack([at[own[0]], at[a], at[b]], -1), places.T)
            out |= (part >= 0).all(axis=0)
    return out
