"""What is said of members follows the slots that are left, by the numbers of the members."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xpatch
from xpatch import sphere

ASKED = ["distance", "mask", "geometries", "weights"]


def stations(n=60, seed=0):
    rng = np.random.default_rng(seed)
    place = {"lon": ("id", rng.uniform(-20, 20, n)), "lat": ("id", rng.uniform(30, 60, n))}
    return xr.DataArray(rng.random(n), place, "id")


def near(geometry=None, window=None):
    return stations().patch.split(geometry=geometry or xpatch.RadiusGraph(700), window=window)


SELECTED = {
    "without the anchor": lambda p: p.isel(id=slice(1, None)),
    "reversed": lambda p: p.isel(id=slice(None, None, -1)),
    "some of some patches": lambda p: p.isel(patch=[7, 3, 20], id=[2, 0, 5]),
    "looked at": lambda p: p.load().isel(id=[1, 0]),
    "on dask": lambda p: p.chunk(patch=20).isel(id=slice(1, None)),
}


@pytest.mark.parametrize("name", SELECTED)
@pytest.mark.parametrize("asked", ASKED)
def test_what_is_said_of_slots_is_selected_with_them(name, asked):
    patches = near(window="hann")
    change = SELECTED[name]
    whole = getattr(patches.patch, asked)
    found = getattr(change(patches).patch, asked)
    expected = change(whole)
    assert found.dims == expected.dims
    np.testing.assert_array_equal(found.values, expected.values)


def test_each_patch_may_have_an_order_of_its_own():
    patches = near(xpatch.KNNGraph(6))
    rng = np.random.default_rng(1)
    order = xr.DataArray([rng.permutation(6) for _ in range(60)], dims=("patch", "id"))
    mixed = patches.isel(id=order)
    lon, lat = stations().lon.values, stations().lat.values
    own, here = mixed.id.values, np.arange(60)[:, None]
    expected = sphere.haversine(lon[own], lat[own], lon[here], lat[here])
    np.testing.assert_allclose(mixed.patch.distance, expected, atol=1e-9)
    offsets = mixed.patch.offsets
    np.testing.assert_allclose(np.hypot(offsets.east, offsets.north), expected, atol=1e-9)


def test_leaving_one_out_weighs_by_the_distances_of_the_others():
    patches = near(xpatch.KNNGraph(4))
    others = patches.isel(id=slice(1, None))
    found = others.weighted(1 / others.patch.distance**2).mean("id")
    lon, lat, values = stations().lon.values, stations().lat.values, stations().values
    for k in range(60):
        far = sphere.haversine(lon, lat, lon[k], lat[k])
        own = np.argsort(far)[1:4]
        expected = np.average(values[own], weights=far[own] ** -2.0)
        assert found.values[k] == pytest.approx(expected, rel=1e-9)


def test_a_single_patch_follows_too():
    patches = near(xpatch.KNNGraph(4))
    one = patches.isel(patch=[5]).isel(id=[3, 1])
    np.testing.assert_array_equal(one.patch.distance, patches.patch.distance[[5], [3, 1]])
    alone = patches.isel(patch=5).isel(id=[3, 1])
    np.testing.assert_array_equal(np.squeeze(alone.patch.mask), [True, True])


def test_edges_lie_between_the_members_that_are_left():
    patches = near(xpatch.KNNGraph(5))
    edges, turned = patches.patch.edges, patches.isel(id=slice(None, None, -1)).patch.edges

    def pairs(found, of):
        numbers = of.id.values
        rows = found["patch"].values
        return {
            (r, numbers[r, a], numbers[r, b]) for r, a, b in zip(rows, *found.values, strict=True)
        }

    assert pairs(edges, patches) == pairs(turned, patches.isel(id=slice(None, None, -1)))


@pytest.mark.parametrize("asked", [*ASKED, "offsets", "edges", "coverage"])
def test_without_numbers_they_are_not_known(asked):
    left = near().isel(id=slice(1, None)).drop_vars("id")
    with pytest.raises(ValueError, match=r"no numbers.*patch\.distance\.isel\(id=…\)"):
        getattr(left.patch, asked)


def test_the_mask_of_boxes_knows_which_cells_are_left():
    field = xr.DataArray(np.zeros(5), {"x": np.arange(5.0)})
    patches = field.patch.split(geometry=xpatch.Rectangular(x=3, boundary="pad"))
    assert patches.isel(x=slice(1, None)).patch.mask.values.tolist() == [
        [True, True],
        [True, False],
    ]
    with pytest.raises(ValueError, match="reordered"):
        _ = patches.isel(x=[2, 1, 0]).patch.mask
