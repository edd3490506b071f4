"""Pictures: as many rectangles as patches, where they belong, and coverage that counts right."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import xpatch
from xpatch.plot.coverage import coverage_of

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


def test_periodic_patches_are_drawn_at_both_ends_of_a_map_and_counted_there():
    globe = xr.DataArray(
        np.zeros((6, 12)), {"lat": np.arange(-75, 90, 30), "lon": np.arange(0, 360, 30)}
    )
    patches = globe.patch.split(
        geometry=xpatch.Rectangular(lat=6, lon=5, boundary={"lon": "wrap"}),
        sampler=xpatch.RegularStride(lat=6, lon=4),
    )
    ax = patches.patch.plot(globe, coverage=False).axes[0]
    found = outlines(ax)  # the last box goes from 225 to 375, the map from −15 to 345
    assert [225, -90, 375, 90] in found.tolist()
    assert [-135, -90, 15, 90] in found.tolist()
    np.testing.assert_allclose(ax.get_xlim(), [-15, 345])
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


def test_boxes_along_one_dimension_are_bars(field):
    """Cells of 5 from 100 on, of which the last box takes one from the other end."""
    ring = xpatch.Rectangular(x=6, boundary="wrap")
    patches = field.patch.split(
        geometry=ring, sampler=xpatch.Explicit([[0], [10], [26]], at="start")
    )
    ax, other, line = patches.patch.plot(field.isel(y=0, drop=True)).axes
    (found,) = bars(ax)
    assert sorted(found) == [(100, 110, 2), (100, 130, 0), (150, 180, 1), (230, 250, 2)]
    assert ax.get_title(loc="left") == "3 patches"
    assert other.get_xlabel() == "x"
    (steps,) = other.patches
    counts = np.zeros(30, int)
    for start in (0, 10, 26):
        counts[np.arange(start, start + 6) % 30] += 1
    assert steps.get_data().values.tolist() == counts.tolist()
    np.testing.assert_array_equal(line.lines[0].get_ydata(), field.values[0])
    with pytest.raises(ValueError, match=r"also has \['y'\]"):
        patches.patch.plot(field)


def test_dates_along_one_dimension():
    patches = series().patch.split(geometry={"time": 10})
    ax = patches.patch.plot(coverage=False).axes[0]
    assert bars(ax)[0][0][:2] == (DAY0 - 0.5, DAY0 + 9.5)
    assert "Concise" in type(ax.xaxis.get_major_formatter()).__name__


# ---------------------------------------------------------------------------------- windows in time


def series(calendar=None, n=40):
    time = xr.date_range("2001-01-01", periods=n, calendar=calendar or "standard")
    return xr.DataArray(np.zeros(n), {"time": time}, ("time",), name="v")


def bars(ax):
    """Give (x0, x1, row) of the bars, those of the past and those of the future."""
    from matplotlib.collections import PatchCollection

    found = []
    for collection in (c for c in ax.collections if isinstance(c, PatchCollection)):
        boxes = [path.get_extents() for path in collection.get_paths()]
        found.append([(b.x0, b.x1, (b.y0 + b.y1) / 2) for b in boxes])
    return found


def drawn_counts(ax):
    """Give the coverage of each day, of which only the changes are drawn, and the edges."""
    from matplotlib.patches import StepPatch

    (steps,) = (p for p in ax.patches if isinstance(p, StepPatch))
    counts, edges = np.asarray(steps.get_data().values), np.asarray(steps.get_data().edges)
    assert (np.diff(counts) != 0).all()
    return np.repeat(counts, np.diff(edges).round().astype(int)), edges


DAY0 = 11323  # 2001-01-01 in days since 1970
DAYS = np.array([DAY0, DAY0, 0])
FORECASTS = xpatch.TimePatcher(xpatch.LookbackHorizon(5, 3), xpatch.RegularTimeStride(10))


def test_windows_in_time_are_bars():
    patches = series().patch.split(FORECASTS)
    fig = patches.patch.plot()
    assert [ax.get_ylabel() for ax in fig.axes] == ["patch", "coverage"]
    past, future = bars(fig.axes[0])  # windows begin on day 0, 10, 20, 30
    np.testing.assert_allclose(past, [(10 * k - 0.5, 10 * k + 4.5, k) for k in range(4)] + DAYS)
    np.testing.assert_allclose(future, [(10 * k + 4.5, 10 * k + 7.5, k) for k in range(4)] + DAYS)
    counts, edges = drawn_counts(fig.axes[1])
    assert counts.tolist() == ([1] * 8 + [0] * 2) * 4
    np.testing.assert_allclose(edges[[0, -1]], [DAY0 - 0.5, DAY0 + 39.5])
    fig.canvas.draw()
    some = patches.isel(patch=[3, 0, 0]).patch
    counts, _ = drawn_counts(some.plot().axes[1])
    assert counts[:10].tolist() == [2] * 8 + [0] * 2
    assert counts[30:38].tolist() == [1] * 8
    assert len(bars(some.plot(most=2).axes[0])[0]) == 2
    assert len(bars(some.horizon.patch.plot(coverage=False).axes[0])) == 1


def test_lists_in_time_are_bars_with_gaps():
    patches = series().patch.split(
        xpatch.TimePatcher(xpatch.PhaseWindow("10D", "2D"), xpatch.RegularTimeStride(20))
    )
    fig = patches.patch.plot()
    first = sorted(
        (a - DAY0, b - DAY0) for part in bars(fig.axes[0]) for a, b, row in part if row == 0
    )
    # around day 0, 10, 20, 30, of which there is no past and no future
    assert first == [(-0.5, 1.5), (8.5, 11.5), (18.5, 21.5), (28.5, 31.5), (38.5, 39.5)]
    assert drawn_counts(fig.axes[1])[0][:5].tolist() == [2, 2, 0, 0, 0]


def told_in(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_past_and_future_are_told_of_what_looks_back_and_ahead():
    stride = xpatch.RegularTimeStride(10)
    assert told_in(series().patch.split(FORECASTS).patch.plot().axes[0]) == [
        "past",
        "future",
        "anchor",
    ]
    back = series().patch.split(xpatch.TimePatcher(xpatch.FixedLookback(5), stride))
    assert told_in(back.patch.plot().axes[0]) == ["past", "anchor"]
    months = series(n=90).patch.split(xpatch.TimePatcher(xpatch.CalendarPeriod("1MS")))
    ax = months.patch.plot().axes[0]
    assert told_in(ax) == ["anchor"]
    assert len(bars(ax)) == 1  # in one color


def test_rows_are_labeled_by_even_steps_and_many_touch():
    stride = xpatch.RegularTimeStride(1)
    many = series(n=93).patch.split(xpatch.TimePatcher(xpatch.FixedLookback(5), stride))
    ax = many.patch.plot().axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == [str(10 * k) for k in range(9)]
    from matplotlib.collections import PatchCollection

    (drawn,) = (c for c in ax.collections if isinstance(c, PatchCollection))
    ends = [(p.get_extents().y0, p.get_extents().y1) for p in drawn.get_paths()]
    assert len(ends) == 89
    assert ends[1][0] == ends[0][1]  # no gap, which would be less than a pixel


def test_a_series_lies_behind_the_bars_and_has_its_units():
    field = series().assign_attrs(units="K", long_name="temperature")
    ax, _, other = field.patch.split(FORECASTS).patch.plot(field).axes
    assert other.get_ylabel() == "temperature (K)"
    assert ax.get_zorder() > other.get_zorder()
    assert not ax.patch.get_visible()


def test_northings_are_written_in_full_with_their_unit():
    pytest.importorskip("rioxarray")
    y, x = 5e6 - 10.0 * np.arange(40), 4e5 + 10.0 * np.arange(60)
    scene = xr.DataArray(np.zeros((40, 60)), {"y": y, "x": x}, ("y", "x")).rio.write_crs(32632)
    fig = scene.patch.split({"y": 20, "x": 20}).patch.plot()
    fig.canvas.draw()
    for ax in fig.axes[:2]:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (m)", "y (m)")
        assert ax.yaxis.get_offset_text().get_text() == ""
        assert all(len(text.get_text()) == 7 for text in ax.get_yticklabels())


def test_a_long_name_is_broken_where_the_bar_ends(field):
    named = field.assign_attrs(long_name="Sea Surface Temperature of the mixed layer", units="K")
    fig = named.patch.split(geometry={"y": 10, "x": 10}).patch.plot(named)
    fig.canvas.draw()
    label = fig.axes[2].yaxis.label
    assert "\n" in label.get_text()
    assert label.get_window_extent().height <= fig.bbox.height


def test_the_more_outlines_the_paler(field):
    from matplotlib.collections import PatchCollection

    def width(n):
        patches = field.patch.split({"y": 4, "x": 4}, sampler=xpatch.Random(n, seed=0))
        ax = patches.patch.plot(coverage=False).axes[0]
        (drawn,) = (c for c in ax.collections if isinstance(c, PatchCollection))
        return drawn.get_linewidth()[0], drawn.get_alpha()

    assert width(100) == (0.8, 0.7)
    assert width(400) == (0.4, 0.35)


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_years_of_other_calendars(calendar):
    days = 360 if calendar == "360_day" else 365
    patches = series(calendar, n=2 * days).patch.split(
        xpatch.TimePatcher(xpatch.FixedLookback(days), xpatch.RegularTimeStride(days))
    )
    fig = patches.patch.plot()
    (past,) = bars(fig.axes[0])
    np.testing.assert_allclose(past, [(2001, 2002, 0), (2002, 2003, 1)], atol=1 / days)
    assert fig.axes[1].get_xlabel() == f"time (years, {calendar})"


def test_windows_over_their_series_and_on_given_axes():
    import matplotlib.pyplot as plt

    field = series() + 3
    patches = field.patch.split(FORECASTS)
    fig, ax = plt.subplots()
    assert patches.patch.plot(field.rename("v"), axes=ax) is fig
    (line,) = fig.axes[1].lines
    assert set(line.get_ydata()) == {3}
    assert fig.axes[1].get_ylabel() == "v"
    with pytest.raises(ValueError, match="series of 40 steps along 'time'"):
        patches.patch.plot(field.expand_dims(x=2))


def test_windows_that_were_read_and_no_windows(tmp_path):
    patches = series().rename(time="obs").assign_coords(date=("obs", series().time.values))
    patches = patches.drop_vars("obs").patch.split(FORECASTS)
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as read:
        fig = read.isel(patch=[1]).patch.plot()
    past, _ = bars(fig.axes[0])
    assert past == [(9.5, 14.5, 0)]  # not the time of every step is known
    assert fig.axes[1].get_xlabel() == "obs (steps)"
    fig = patches.isel(patch=[]).patch.plot()
    assert bars(fig.axes[0]) == []
    assert drawn_counts(fig.axes[1])[0].sum() == 0


def test_without_matplotlib_the_extra_is_named(field, monkeypatch):
    import sys

    patches = field.patch.split(geometry={"y": 10, "x": 10})
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"xarray-patch\[plot\]"):
        patches.patch.plot(field)
