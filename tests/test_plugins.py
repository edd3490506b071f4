"""What other packages add: a geometry of boxes and one of lists, a sampler, an aggregation, a domain.

Each is as long as theirs would be, knows nothing of backends, and runs on all of them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

import xpatch
from xpatch.aggregation import AGGREGATIONS
from xpatch.domain import Sites, detect
from xpatch.engine.stacked import Averaging
from xpatch.geometry import Anchors, Frame, MemberGeometry, Places
from xpatch.geometry.base import members_of
from xpatch.neighborhood import Neighborhood


@dataclasses.dataclass(frozen=True, repr=False)
class Stripes(xpatch.Geometry):
    """Whole rows, so many at a time."""

    rows: int

    def outline(self, domain):
        dims = domain.spatial_dims
        shape = tuple(domain.sizes[d] for d in dims)
        return Frame(dims, (self.rows, *shape[1:]), shape, ("shift",) * len(dims))

    def neighborhood(self, domain, places):
        frame = self.outline(domain)
        lattice = (frame.dims, frame.sizes, frame.shape)
        return Neighborhood.boxes(*lattice, places.axes, places.product)


@dataclasses.dataclass(frozen=True, repr=False)
class Ring(MemberGeometry):
    """The anchor and what lies between two distances from it, in units of the coordinates."""

    inner: float
    outer: float
    dim: str | None = None

    def neighborhood(self, domain, places):
        sites = self.outline(domain)
        at = np.stack([places.x, places.y], axis=-1)
        lists = sites.tree.query_ball_point(at, self.outer, return_sorted=True)
        patches = np.repeat(np.arange(len(places)), [len(one) for one in lists])
        elements = sites.known[np.concatenate(lists)]
        far = np.hypot(*(at[patches] - np.stack([sites.x, sites.y], axis=-1)[elements]).T)
        keep = (far >= self.inner) | (elements == places.elements[patches])
        found = (patches[keep], elements[keep], far[keep])
        scales = np.full(len(places), self.outer)
        return members_of(sites, *found, scales, len(places), places.elements)


@dataclasses.dataclass(frozen=True, repr=False)
class Checkerboard(xpatch.Sampler):
    """Every second place of a stride, as on the black squares of a board."""

    step: int

    def places(self, domain, geometry):
        outline = geometry.outline(domain)
        counts = [-(-n // self.step) for n in outline.shape]
        board = np.stack(np.unravel_index(np.arange(np.prod(counts)), counts), axis=-1)
        cells = board[board.sum(axis=1) % 2 == 0] * self.step
        if isinstance(outline, Frame):
            starts, keep = outline.settle(cells, "Checkerboard")
            return Anchors(tuple(starts[keep].T))
        return Places.at(outline, np.ravel_multi_index(tuple(cells.T), outline.shape))


class TrimmedValues(Averaging):
    """The mean without the smallest and the largest contribution, where there are three."""

    def reduce(self, stack, count, offsets, where):
        ranked = np.sort(stack, axis=0)  # empty slots are NaN, and sort last
        slot = np.arange(len(stack)).reshape(-1, *[1] * count.ndim)
        few = count < 3
        kept = (slot < count - 1 + few) & (slot >= 1 - few)
        total = np.where(kept, ranked, 0).sum(axis=0)
        return total / np.maximum(kept.sum(axis=0), 1)


@dataclasses.dataclass(frozen=True, repr=False)
class Trimmed(xpatch.Aggregation):
    """The mean without the smallest and the largest contribution."""

    def reducer(self, dtype, skipna):
        return TrimmedValues(dtype, skipna)


class RadarDomain(xpatch.GridDomain):
    """The rays of a weather radar: azimuth clockwise from north, range in meters."""

    spatial_dims = ("azimuth", "range")

    def sites(self, dim=None):
        angle, far = (self.coordinate(d) for d in self.spatial_dims)
        angle, far = np.meshgrid(np.deg2rad(angle), far, indexing="ij")
        shape = tuple(self.sizes[d] for d in self.spatial_dims)
        x, y = (far * np.sin(angle)).ravel(), (far * np.cos(angle)).ravel()
        return Sites(self.spatial_dims, shape, "cell", x, y, geographic=False)


def is_radar(obj):
    return {"azimuth", "range"} <= set(obj.dims)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(detect, "REGISTERED", [*detect.REGISTERED])
    monkeypatch.setitem(AGGREGATIONS, "trimmed", Trimmed)
    xpatch.register_aggregation("trimmed", Trimmed)
    xpatch.register_domain(is_radar, RadarDomain)


TIME = xr.date_range("2020-01-01", periods=6)


def values(*shape):
    return np.random.default_rng(0).normal(size=shape)


GRID = xr.DataArray(
    values(6, 12, 16),
    {"time": TIME, "y": np.arange(12.0), "x": np.arange(16.0)},
    name="t",
    attrs={"units": "K"},
)
RADAR = xr.DataArray(
    values(6, 18, 8),
    {"time": TIME, "azimuth": np.arange(0, 360, 20.0), "range": np.arange(500.0, 8500, 1000)},
    name="dbz",
)
BOXES = {"y": 4, "x": 4}
CASES = {
    "geometry of boxes": (GRID, Stripes(4), xpatch.RegularStride({"y": 2}), "mean"),
    "geometry of lists": (GRID, Ring(2.0, 4.0), xpatch.RegularStride(2), "mean"),
    "sampler of boxes": (
        GRID,
        xpatch.Rectangular(BOXES),
        Checkerboard(2),
        xpatch.OverlapAdd("hann"),
    ),
    "sampler of lists": (GRID, xpatch.RadiusGraph(3.0), Checkerboard(2), "max"),
    "aggregation of boxes": (GRID, xpatch.Rectangular(BOXES), xpatch.RegularStride(1), "trimmed"),
    "aggregation of lists": (GRID, xpatch.KNNGraph(9), None, "trimmed"),
    "domain, boxes": (RADAR, xpatch.Rectangular(6), xpatch.RegularStride(3), "median"),
    "domain, lists": (RADAR, xpatch.RadiusGraph(1500.0), xpatch.RegularStride(2), "mean"),
    "all at once": (RADAR, Stripes(6), Checkerboard(3), "trimmed"),
    "all at once, of lists": (RADAR, Ring(900.0, 2500.0), Checkerboard(2), "trimmed"),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(params=["memory", "disk", "dask"])
def backed(request, case, tmp_path):
    """The field of a case, wherever its values are."""
    field, *axes = case
    if request.param == "disk":
        field.to_netcdf(tmp_path / "field.nc")
        field = xr.open_dataarray(tmp_path / "field.nc")
    elif request.param == "dask":
        field = field.chunk({field.dims[1]: 7, "time": 4})
    yield field, *axes
    field.close()


def assert_field(merged, field):
    """The law: what a patch covers comes back, with its coordinates."""
    covered = merged.notnull().compute()
    assert covered.any()
    xr.testing.assert_allclose(merged.compute(), field.load().where(covered))
    assert merged.sizes == field.sizes
    assert set(merged.coords) == set(field.coords)
    return covered


def covered_by(field, geometry, sampler):
    """Cells that are in a patch, by the count of contributions."""
    loaded = xr.zeros_like(field).load()
    return loaded.patch.split(geometry=geometry, sampler=sampler).patch.merge("count") > 0


def test_in_space(backed):
    field, geometry, sampler, aggregation = backed
    patches = field.patch.split(geometry=geometry, sampler=sampler)
    merged = patches.patch.merge(aggregation)
    assert type(merged.data) is type(patches.data)
    whole = covered_by(field, geometry, sampler)
    xr.testing.assert_equal(assert_field(merged, field), whole)


def test_in_space_and_time(backed):
    field, geometry, sampler, aggregation = backed
    patches = field.patch.split(
        geometry=[geometry, xpatch.FixedLookback(3)], sampler=[sampler, xpatch.RegularTimeStride(1)]
    )
    assert patches.sizes["time"] == 3
    assert_field(patches.patch.merge(aggregation), field)


@pytest.mark.parametrize("timed", [False, True])
def test_in_files(backed, timed, tmp_path):
    field, geometry, sampler, aggregation = backed
    axes = {"geometry": geometry, "sampler": sampler}
    if timed:
        axes = {k: [v, None] for k, v in axes.items()}
        axes["geometry"][1] = xpatch.FixedLookback(3)
    patches = field.patch.split(**axes)
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as stored:
        assert_field(stored.patch.merge(aggregation), field)
        assert_field(stored.patch.merge(aggregation, like=field), field)
        spec = stored.patch.spec
    assert spec == patches.patch.spec
    if not timed:
        assert xpatch.Patcher.from_spec(spec).geometry == geometry


def test_a_file_of_a_geometry_that_is_not_defined_says_so(tmp_path):
    patches = GRID.patch.split(geometry=Stripes(4), sampler=xpatch.RegularStride({"y": 4}))
    patches.to_netcdf(tmp_path / "patches.nc")
    with xr.open_dataarray(tmp_path / "patches.nc") as stored:
        stored = stored.load()
    stored["patch"].attrs = {
        n: v.replace("Stripes", "Bands") if isinstance(v, str) else v
        for n, v in stored["patch"].attrs.items()
    }
    with pytest.raises(
        ValueError, match=r"no specification is called 'Bands' here: import the module"
    ):
        stored.patch.merge()
    xr.testing.assert_equal(stored.patch.merge("first", like=GRID), GRID)


@pytest.mark.parametrize("geometry", [xpatch.Rectangular(BOXES), xpatch.RadiusGraph(3.0)])
def test_valid_looks_at_the_data_for_a_sampler_that_does_not(geometry):
    cloudy = GRID.where((GRID.y > 3) | (GRID.x > 3))
    plain = cloudy.patch.split(geometry=geometry, sampler=Checkerboard(2))
    valid = cloudy.patch.split(geometry=geometry, sampler=xpatch.Valid(Checkerboard(2)))
    whole = (
        plain.notnull().where(plain.patch.mask, True).all([d for d in plain.dims if d != "patch"])
    )
    assert 0 < valid.sizes["patch"] == int(whole.sum()) < plain.sizes["patch"]


# --------------------------------------------------------------------------- values of each


def test_stripes_take_whole_rows():
    patches = GRID.patch.split(geometry=Stripes(4), sampler=xpatch.RegularStride({"y": 4}))
    np.testing.assert_array_equal(patches.isel(patch=1), GRID.isel(y=slice(4, 8)))


def test_a_ring_leaves_out_what_is_near():
    patches = GRID.patch.split(geometry=Ring(2.0, 2.5), sampler=xpatch.Explicit([5 * 16 + 5]))
    members = patches.cell.values.ravel()
    rows, columns = members // 16 - 5, members % 16 - 5
    assert members[0] == 5 * 16 + 5
    assert sorted(np.hypot(rows, columns)[1:] ** 2) == pytest.approx([4] * 4 + [5] * 8)


def test_a_checkerboard_has_every_second_place():
    patches = GRID.patch.split(geometry=BOXES, sampler=Checkerboard(4))
    found = list(zip(patches.y.values[:, 0], patches.x.values[:, 0], strict=True))
    assert found == [(0, 0), (0, 8), (4, 4), (4, 12), (8, 0), (8, 8)]


def test_a_trimmed_mean_leaves_out_the_extremes():
    patches = xr.DataArray(np.zeros(8), dims="x").patch.split(
        geometry={"x": 4}, sampler=xpatch.RegularStride(1)
    )
    one = patches.copy(data=np.broadcast_to([[0.0], [1.0], [2.0], [30.0], [4.0]], (5, 4)).copy())
    np.testing.assert_allclose(one.patch.merge("trimmed"), [0, 0.5, 1, 1.5, 3, 4, 17, 4])


def test_a_radar_measures_in_meters():
    assert isinstance(xpatch.domain_of(RADAR), RadarDomain)
    patches = RADAR.patch.split(geometry=xpatch.KNNGraph(5), sampler=xpatch.Explicit([4 * 8]))
    apart = 2 * 500 * np.sin(np.deg2rad(10))  # of two rays at the first gate
    np.testing.assert_allclose(patches.patch.distance[0, :3], [0, apart, apart])


# ------------------------------------------------------------------------------- registering


def test_the_last_domain_wins():
    class Other(RadarDomain):
        pass

    xpatch.register_domain(is_radar, Other)
    assert type(xpatch.domain_of(RADAR)) is Other
    xpatch.register_domain(lambda obj: "beam" in obj.dims, RadarDomain)
    assert type(xpatch.domain_of(RADAR)) is Other
    assert type(xpatch.domain_of(GRID)) is xpatch.GridDomain


@pytest.mark.parametrize(
    ("predicate", "cls", "match"),
    [
        ("azimuth", RadarDomain, "must be a function of a field, got 'azimuth'"),
        (is_radar, xr.Dataset, "takes a subclass of GridDomain"),
        (is_radar, "RadarDomain", "takes a subclass of GridDomain"),
    ],
)
def test_what_is_no_domain_is_refused(predicate, cls, match):
    with pytest.raises(TypeError, match=match):
        xpatch.register_domain(predicate, cls)


def test_names_are_listed_and_written():
    patches = GRID.patch.split(xpatch.Patcher(BOXES, aggregation="Trimmed"))
    assert patches.patch.spec["aggregation"] == {"class": "Trimmed"}
    assert xpatch.Patcher.from_spec(patches.patch.spec).aggregation == Trimmed()
    xr.testing.assert_allclose(patches.patch.merge(), GRID)
    with pytest.raises(ValueError, match=r"known are .*'trimmed'"):
        patches.patch.merge("trimed")


@pytest.mark.parametrize("name", ["median", "Most_Central", "temporal-mean", "hann"])
def test_names_that_are_taken_are_refused(name):
    with pytest.raises(ValueError, match=f"the name '{name}' is that of xpatch"):
        xpatch.register_aggregation(name, Trimmed)


def test_classes_of_one_name_are_refused():
    class Median(xpatch.Aggregation):
        pass

    with pytest.raises(ValueError, match=r"there is a class xpatch\.statistics\.Median already"):
        xpatch.register_aggregation("my_median", Median)


@pytest.mark.parametrize(
    ("name", "cls", "match"),
    [
        ("trim", Trimmed(), "takes a subclass of xpatch.Aggregation, got Trimmed()"),
        ("trim", xpatch.Hann, "takes a subclass of xpatch.Aggregation"),
        (3, Trimmed, "must be a str that is not empty, got 3"),
        ("_", Trimmed, "must be a str that is not empty, got '_'"),
    ],
)
def test_what_is_no_aggregation_is_refused(name, cls, match):
    with pytest.raises(TypeError, match=match.replace("(", r"\(").replace(")", r"\)")):
        xpatch.register_aggregation(name, cls)
