"""What is new in one place met with what is new in another: each geometry on each kind of field."""

import functools

import numpy as np
import pytest
import xarray as xr

import xpatch
from tests.element_strategies import mesh

GLOBE = 4 * np.pi * 6371008.8**2
STORMS = {"lat": ("storm", [20.0, 40.0, -80.0]), "lon": ("storm", [130.0, 359.0, 10.0])}
AT_STORMS = xpatch.Explicit(xr.Dataset(STORMS))
KM = xpatch.Rectangular(lat="3000km", lon="3000km")
WIDE = xpatch.Rectangular(lat="1800km", lon="1800km", boundary={"lon": "wrap"})
TURNED = xpatch.CenteredGrid(dy="3000km", dx="2000km", step="500km", heading=30.0)


def values(*shape):
    return np.random.default_rng(0).random(shape) + 1


@functools.cache
def healpix(level=3):
    xdggs = pytest.importorskip("xdggs")
    attrs = {"grid_name": "healpix", "level": level, "indexing_scheme": "nested"}
    n = 12 * 4**level
    coords = {"cell_ids": ("cells", np.arange(n), attrs)}
    return xdggs.decode(xr.DataArray(values(n), coords, ("cells",), name="t"))


@functools.cache
def h3():
    xdggs, _ = pytest.importorskip("xdggs"), pytest.importorskip("h3ronpy")
    ids = 0x8001FFFFFFFFFFF + (np.arange(122, dtype="u8") << np.uint64(45))
    coords = {"cell_ids": ("cells", ids, {"grid_name": "h3", "level": 0})}
    return xdggs.decode(xr.DataArray(values(122), coords, ("cells",), name="t"))


@functools.cache
def faces():
    ux = pytest.importorskip("uxarray")
    return ux.UxDataArray(
        xr.DataArray(values(mesh().n_face), dims=("n_face",), name="t"), uxgrid=mesh()
    )


@functools.cache
def globe():
    lat, lon = np.arange(-87.5, 90, 5.0), np.arange(0, 360, 5.0)
    return xr.DataArray(values(36, 72), {"lat": lat, "lon": lon}, ("lat", "lon"), name="t")


def sea(field):
    return field > 1.2


FIELDS = {"healpix": healpix, "h3": h3, "mesh": faces, "grid": globe}
CASES = {
    "healpix, rings": (xpatch.KHopGraph(1), None),
    "healpix, rings by water": (lambda f: xpatch.KHopGraph(2, where=sea(f)), None),
    "healpix, parents": (xpatch.Parents(1), None),
    "healpix, km": (KM, AT_STORMS),
    "healpix, slots": (TURNED, AT_STORMS),
    "h3, rings": (xpatch.KHopGraph(1), None),
    "h3, km": (xpatch.Rectangular(lat="4000km", lon="6000km"), AT_STORMS),
    "mesh, hops by water": (lambda f: xpatch.KHopGraph(2, where=sea(f)), None),
    "mesh, km": (xpatch.Rectangular(lat="5000km", lon="5000km"), None),
    "mesh, slots": (xpatch.CenteredGrid(dy="6000km", dx="6000km", step="3000km"), AT_STORMS),
    "grid, hops by water": (lambda f: xpatch.KHopGraph(1, where=sea(f)), None),
    "grid, km": (WIDE, None),
    "grid, km at places": (WIDE, AT_STORMS),
    "grid, slots": (TURNED, AT_STORMS),
}
EVERY = pytest.mark.parametrize("case", CASES)


def field_of(case):
    return FIELDS[case.split(",")[0]]()


def patcher_of(case):
    geometry, sampler = CASES[case]
    geometry = geometry if isinstance(geometry, xpatch.Geometry) else geometry(field_of(case))
    return xpatch.Patcher(geometry=geometry, **({} if sampler is None else {"sampler": sampler}))


@functools.cache
def patches_of(case):
    return field_of(case).patch.split(patcher_of(case))


def inner(patches):
    return [d for d in patches.dims if d != "patch"]


@EVERY
def test_cells_come_back_where_they_were(case):
    field, merged = field_of(case), patches_of(case).patch.merge("mean")
    covered = merged.notnull()
    np.testing.assert_allclose(merged.where(covered, 0), field.where(covered, 0), rtol=1e-12)
    assert covered.any()


@EVERY
def test_areas_are_those_of_the_members(case):
    field, patches = field_of(case), patches_of(case)
    area, there = patches.patch.area, patches.patch.mask
    assert area.dims == patches.dims
    np.testing.assert_array_equal(area == 0, ~there)
    of_value = dict(zip(field.values.ravel(), np.ravel(whole(field)), strict=True))
    expected = [of_value.get(v, 0) for v in patches.values.ravel()]  # each value is there once
    np.testing.assert_allclose(area.values.ravel(), expected)
    means = patches.weighted(area).mean(inner(patches)).values
    for k in range(0, len(means), 97):
        own = there.values[k]
        by_hand = np.average(patches.values[k][own], weights=area.values[k][own])
        np.testing.assert_allclose(means[k], by_hand)


def whole(field):
    """The area of each cell, in the order of the values."""
    return np.broadcast_to(field.patch.area.values, field.shape)


@EVERY
def test_areas_of_files_and_of_one_patch(case, tmp_path):
    patches = patches_of(case)
    patches.to_zarr(tmp_path / "p.zarr", consolidated=False)
    with xr.open_dataset(tmp_path / "p.zarr", engine="zarr", consolidated=False) as back:
        if case.startswith("mesh"):
            with pytest.raises(ValueError, match=r"assign_coords\(area=patches\.patch\.area\)"):
                _ = back.t.patch.area
            return
        np.testing.assert_allclose(back.t.patch.area, patches.patch.area)
    one = patches.patch[1].patch.area
    np.testing.assert_allclose(one.sum(), patches.patch.area[1].sum())


@EVERY
def test_files_merge_and_name_the_same_anchors(case, tmp_path):
    field, patches = field_of(case), patches_of(case)
    patches.to_zarr(tmp_path / "p.zarr", consolidated=False)
    with xr.open_dataset(tmp_path / "p.zarr", engine="zarr", consolidated=False) as back:
        xr.testing.assert_identical(back.t.patch.anchors, patches.patch.anchors)
        merged = back.t.patch.merge("mean", like=field)
        np.testing.assert_allclose(merged, patches.patch.merge("mean"))


@EVERY
def test_a_patcher_names_the_anchors_that_its_patches_have(case):
    mine, theirs = patcher_of(case).anchors(field_of(case)), patches_of(case).patch.anchors
    assert mine.sizes == theirs.sizes
    for name in ("lat", "lon"):
        np.testing.assert_allclose(mine[name], theirs[name])


@EVERY
def test_dask_gives_what_numpy_gives(case):
    patches = patches_of(case)
    lazy = field_of(case).chunk().patch.split(patcher_of(case), chunks=50)
    assert lazy.chunks is not None
    xr.testing.assert_allclose(xr.DataArray(lazy.compute()), xr.DataArray(patches))
    np.testing.assert_allclose(lazy.patch.area, patches.patch.area)
    np.testing.assert_allclose(lazy.patch.merge("mean"), patches.patch.merge("mean"))


@EVERY
def test_pictures_cards_and_names(case):
    plt = pytest.importorskip("matplotlib.pyplot")
    patches = patches_of(case)
    patches.patch.plot()
    plt.close("all")
    assert "<svg" in patches.patch._repr_html_() or "<table" in patches.patch._repr_html_()
    for name in dir(patches.patch):
        getattr(patches.patch, name)


@EVERY
def test_scenes(case):
    patches = patches_of(case)
    other = patches.isel(patch=slice(0, 2)) + 1
    both = xpatch.concat([patches, other], scenes=["a", "b"])
    assert both.sizes["patch"] == patches.sizes["patch"] + 2
    np.testing.assert_allclose(both.patch.area[:-2], patches.patch.area)
    first, second = (p.patch.merge("mean") for _, p in both.groupby("scene"))
    np.testing.assert_allclose(first, patches.patch.merge("mean"))
    np.testing.assert_allclose(second, other.patch.merge("mean"))
