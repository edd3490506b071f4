"""Pictures: as many rectangles as patches, where they belong, and coverage that counts right."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import xpatch
from xpatch.plot import coverage_of

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


@pytest.fixture
def field():
    """Cells of 10 by 5, y falling; the corner of the first cell is (100, 400)."""
    y, x = 395.0 - 10 * np.arange(20), 102.5 + 5 * np.arange(30)
    return xr.DataArray(np.random.default_rng(0).random((20, 30)), {"y": y, "x": x}, ("y", "x"))


def outlines(ax):
    """Bounds (x0, y0, x1, y1) of the drawn rectangles."""
    from matplotlib.collections import PatchCollection

    (collection,) = (c for c in ax.collections if isinstance(c, PatchCollection))
    return np.array([path.get_extents().extents for path in collection.get_paths()])


def drawn_coverage(ax):
    from matplotlib.collections import QuadMesh

    (mesh,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    return np.asarray(mesh.get_array()), np.asarray(mesh.get_coordinates())


def test_a_rectangle_for_each_patch_even_with_descending_y(field):
    patches = field.patch.split(geometry={"y": 10, "x": 10}, sampler=xpatch.RegularStride(5))
    fig = patches.patch.plot(field)
    found = outlines(fig.axes[0])
    assert len(found) == patches.sizes["patch"] == 3 * 5
    np.testing.assert_allclose(found[0], [100, 300, 150, 400])
    np.testing.assert_allclose(found[-1], [200, 200, 250, 300])
    assert fig.axes[0].get_title() == "15 patches"
    assert (fig.axes[0].get_xlabel(), fig.axes[0].get_ylabel()) == ("x", "y")


def test_the_outlines_are_the_extents_of_the_patches(field):
    patches = field.patch.split(geometry={"y": 8, "x": 6}, sampler=xpatch.Random(7, seed=0))
    ax = patches.patch.plot(coverage=False).axes[0]
    for patch, (x0, y0, x1, y1) in zip(patches, outlines(ax), strict=True):
        assert (x0, x1) == (float(patch.x.min()) - 2.5, float(patch.x.max()) + 2.5)
        assert (y0, y1) == (float(patch.y.min()) - 5, float(patch.y.max()) + 5)


def test_coverage_counts_patches_whatever_their_values(field):
    patches = field.where(False).patch.split(
        geometry={"y": 8, "x": 7}, sampler=xpatch.JitteredStride(5, seed=1)
    )
    expected = np.zeros((20, 30))
    for i, j in zip(
        patches.patch.anchors.cell_y - 4, patches.patch.anchors.cell_x - 3, strict=True
    ):
        expected[int(i) : int(i) + 8, int(j) : int(j) + 7] += 1
    np.testing.assert_array_equal(coverage_of(patches, ("y", "x")), expected)
    values, corners = drawn_coverage(patches.patch.plot().axes[1])
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_allclose(corners[0, 0], [100, 400])
    np.testing.assert_allclose(corners[-1, -1], [250, 200])


def test_coverage_of_a_selection_with_a_repeated_patch(field):
    patches = field.patch.split(geometry={"y": 10, "x": 10}).isel(patch=[0, 5, 5])
    count = coverage_of(patches, ("y", "x"))
    assert (count[:10, :10] == 1).all()
    assert (count[10:, 20:] == 2).all()
    assert count.sum() == 300


def test_periodic_patches_are_drawn_past_the_edge_and_counted_on_the_other_side():
    globe = xr.DataArray(
        np.zeros((6, 12)), {"lat": np.arange(-75, 90, 30), "lon": np.arange(0, 360, 30)}
    )
    patches = globe.patch.split(
        geometry=xpatch.Rectangular(lat=6, lon=5, boundary={"lon": "wrap"}),
        sampler=xpatch.RegularStride(lat=6, lon=4),
    )
    ax = patches.patch.plot(globe, coverage=False).axes[0]
    np.testing.assert_allclose(outlines(ax)[-1], [225, -90, 375, 90])
    assert ax.get_xlim()[1] >= 375
    assert coverage_of(patches, ("lat", "lon"))[0].tolist() == [2, 1, 1, 1] * 3


def test_padding_is_drawn_and_not_counted(field):
    patches = field.patch.split(
        geometry=xpatch.Rectangular(y=10, x=10, boundary="pad"), sampler=xpatch.RegularStride(5)
    )
    ax = patches.patch.plot(field, coverage=False).axes[0]
    assert outlines(ax)[:, 0].min() == 75
    assert ax.get_xlim()[0] <= 75
    assert (coverage_of(patches, ("y", "x")) == 4).all()


def test_cropped_patches_are_drawn_cropped(field):
    patches = field.patch.split(geometry={"y": 10, "x": 10}).patch.crop(y=1, x=(2, 3))
    ax = patches.patch.plot(coverage=False).axes[0]
    np.testing.assert_allclose(outlines(ax)[0], [110, 310, 135, 390])
    count = coverage_of(patches, ("y", "x"))
    assert count.sum() == 6 * 8 * 5
    assert count[0].sum() == 0


def test_dates_and_unlabeled_dimensions():
    months = xr.DataArray(
        np.zeros((6, 8)),
        {"time": np.arange("2020-01-01", "2020-01-07", dtype="M8[D]")},
        ("time", "x"),
    ).astype(float)
    patches = months.patch.split(geometry={"time": 3, "x": 4})
    fig = patches.patch.plot(months)
    day = (np.datetime64("2020-01-01") - np.datetime64("1970-01-01")).astype(int)
    np.testing.assert_allclose(outlines(fig.axes[0])[0], [-0.5, day - 0.5, 3.5, day + 2.5])


def test_many_patches_are_thinned(field):
    patches = field.patch.split(geometry={"y": 4, "x": 4}, sampler=xpatch.RegularStride(1))
    ax = patches.patch.plot(coverage=False, most=10).axes[0]
    assert len(outlines(ax)) == 10
    assert ax.get_title() == f"{17 * 27} patches, 10 drawn"


def test_axes_that_are_given_are_drawn_on(field):
    import matplotlib.pyplot as plt

    patches = field.patch.split(geometry={"y": 10, "x": 10})
    fig, ax = plt.subplots()
    assert patches.patch.plot(field, axes=ax) is fig
    assert len(outlines(ax)) == 6
    assert not fig.axes[0].images
    assert len(plt.get_fignums()) == 1


def test_a_field_with_other_dimensions_is_refused(field):
    cube = field.expand_dims(band=3)
    patches = cube.patch.split(geometry={"y": 10, "x": 10})
    with pytest.raises(ValueError, match=r"also has \['band'\].*isel\(band=0\)"):
        patches.patch.plot(cube)


def test_patches_along_one_dimension_have_no_outline(field):
    patches = field.patch.split(geometry={"x": 10})
    with pytest.raises(ValueError, match="two cut dimensions"):
        patches.patch.plot(field)


def test_without_matplotlib_the_extra_is_named(field, monkeypatch):
    import sys

    patches = field.patch.split(geometry={"y": 10, "x": 10})
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"xarray-patch\[plot\]"):
        patches.patch.plot(field)
