"""Rows of catalogs: the same by duckdb, Arrow and the spatial index, as geopandas reads them."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys

import duckdb
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal

from xpatch.catalogs.query import read, select

ENGINES = ["pyarrow", "duckdb"]
N = 1_000_000


def across(west, south, east, north):
    """A footprint across the dateline, as RFC 7946 cuts it."""
    pieces = [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
    return shapely.MultiPolygon(pieces)


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """A table of a million footprints, and its file."""
    random = np.random.default_rng(11)
    west = random.integers(-1800, 1790, N) / 10  # edges on a grid, so that many touch
    south = random.integers(-900, 890, N) / 10
    width = random.integers(1, 11, N) / 10
    east, north = np.minimum(west + width, 180), np.minimum(south + width, 90)
    geometry = shapely.box(west, south, east, north)
    wrapped = random.choice(N, 2000, replace=False)
    for k in wrapped:
        geometry[k] = across(179.5, south[k], -179.5, north[k])
    hours = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(
        random.integers(0, 40000, N), "h"
    )
    cloud = np.where(random.uniform(size=N) < 0.1, np.nan, random.integers(0, 101, N))
    catalog = gpd.GeoDataFrame(
        {
            "href": np.char.add("scene-", np.arange(N).astype(str)),
            "datetime": pd.Series(hours).where(random.uniform(size=N) < 0.95),
            "eo:cloud_cover": cloud,
            "platform": pd.Categorical(random.choice(["a", "b", "c"], N)),
        },
        geometry=geometry,
        crs=4326,
    )
    path = tmp_path_factory.mktemp("million") / "it's *one*.parquet"
    catalog.to_parquet(path, write_covering_bbox=True, row_group_size=100_000)
    return catalog, path


WHERE = "`eo:cloud_cover` < 20 and platform in ['a', 'c']"
AUTUMN = ("2021-09-01", "2021-12-01")


def oracle(catalog, area, interval=None, mask=True):
    keep = (catalog.intersects(area) if area is not None else True) & mask
    if interval is not None:
        start, end = (pd.Timestamp(v, tz="UTC") for v in interval)
        keep &= (catalog["datetime"] >= start) & (catalog["datetime"] < end)
    return catalog[keep]


CASES = {
    "interior": ({"bounds": (7.03, 46.07, 9.51, 47.33)}, shapely.box(7.03, 46.07, 9.51, 47.33)),
    "edges": ({"bounds": (7.0, 46.0, 7.1, 46.1)}, shapely.box(7.0, 46.0, 7.1, 46.1)),
    "point": ({"bounds": (8.5, 47.5, 8.5, 47.5)}, shapely.Point(8.5, 47.5)),
    "dateline": ({"bounds": (179.25, -10, -179.75, 10)}, across(179.25, -10, -179.75, 10)),
    "beyond 180": ({"bounds": (179.25, -10, 180.25, 10)}, across(179.25, -10, -179.75, 10)),
    "pole": ({"bounds": (-180, 89.5, 180, 90)}, shapely.box(-180, 89.5, 180, 90)),
    "triangle": (
        {"bounds": shapely.Polygon([(0, 0), (9, 0), (0, 9)])},
        shapely.Polygon([(0, 0), (9, 0), (0, 9)]),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_million_rows_by_bounds(million, case):
    catalog, path = million
    asked, area = CASES[case]
    expected = oracle(catalog, area)
    assert len(expected) > (0 if case == "point" else 10)
    assert_geodataframe_equal(select(catalog, **asked), expected)
    for engine in ENGINES:
        found = read(path, engine=engine, **asked)
        assert_geodataframe_equal(found, expected, check_crs=False)
        assert found.crs == expected.crs


def test_a_million_rows_by_dates_and_columns(million):
    catalog, path = million
    mask = (catalog["eo:cloud_cover"] < 20) & catalog["platform"].isin(["a", "c"])
    asked = {"bounds": (0, 40, 20, 60), "interval": AUTUMN, "where": WHERE}
    expected = oracle(catalog, shapely.box(0, 40, 20, 60), AUTUMN, mask)
    assert len(expected) > 10
    others = {"where": "not `eo:cloud_cover` <= 98", "interval": ("2024-07-01", None)}
    high = catalog[(catalog["eo:cloud_cover"] > 98) & (catalog["datetime"] >= "2024-07-01")]
    for one, rows in ((asked, expected), (others, high)):
        assert_geodataframe_equal(select(catalog, **one), rows)
        for engine in ENGINES:
            assert_geodataframe_equal(read(path, engine=engine, **one), rows)


def test_ends_of_intervals_among_a_million(million):
    catalog, path = million
    first = catalog["datetime"].min()
    for interval, keep in (
        ((first, first), catalog["datetime"] == first),
        ((None, first + pd.Timedelta("1h")), catalog["datetime"] == first),
        (
            (first + pd.Timedelta("1h"), first + pd.Timedelta("2h")),
            catalog["datetime"] == first + pd.Timedelta("1h"),
        ),
    ):
        index = catalog.index[keep].tolist()
        assert index
        assert select(catalog, interval=interval).index.tolist() == index
        for engine in ENGINES:
            assert read(path, interval=interval, engine=engine).index.tolist() == index


def test_no_row_among_a_million(million):
    catalog, path = million
    asked = {"bounds": (7, 46, 8, 47), "interval": ("1999", "2000")}
    calls = [lambda e=e: read(path, engine=e, **asked) for e in ENGINES]
    for call in [*calls, lambda: select(catalog, **asked)]:
        with pytest.raises(
            ValueError, match=r"no row of .* matches bounds=\(7, 46, 8, 47\)"
        ) as caught:
            call()
        assert "bounds (-180, -90, 180, 89.9) in EPSG:4326" in str(caught.value)
        assert "dates from 2020-01-01 00:00:00" in str(caught.value)
        assert "to 2024-07-2" in str(caught.value)


# ----------------------------------------------------------------------------- small tables


def small(**columns):
    """Four boxes in a row, 1 degree wide, from 0 E."""
    count = 4
    times = pd.to_datetime(["2024-01-01", "2024-02-01", None, "2024-03-01"], utc=True)
    geometry = shapely.box(np.arange(count), 0, np.arange(count) + 1, 1)
    return gpd.GeoDataFrame({"datetime": times, **columns}, geometry=geometry, crs=4326)


def written(catalog, path, **options):
    catalog.to_parquet(path, write_covering_bbox=True, **options)
    return path


def rows_of(path, **asked):
    """The index of the rows, the same by both engines."""
    first, second = (read(path, engine=e, **asked).index.tolist() for e in ENGINES)
    assert first == second
    return first


def test_columns_are_those_of_geopandas(tmp_path):
    catalog = small(
        **{
            "proj:transform": [np.array([10.0, 0, 5]), np.array([1.0]), None, np.array([])],
            "assets": [
                {"b": {"href": "x", "n": 1}},
                None,
                {"b": None},
                {"b": {"href": "y", "n": None}},
            ],
            "names": [["a"], [], None, [None, "b"]],
            "whole": pd.array([1, None, 3, 4], "Int64"),
            "small": np.arange(4, dtype="u1"),
            "single": np.array([0.1, np.nan, 1, 2], "f4"),
            "truth": [True, None, False, True],
            "class": pd.Categorical(["u", "v", "w", "u"], categories=["w", "v", "u", "x"]),
            "nothing": [None] * 4,
            "day": [datetime.date(2020, 1, 1)] * 4,
            "ns": pd.to_datetime([1, 2, 3, 4], unit="ns", utc=True).as_unit("ns"),
            "naive": pd.to_datetime([1, 2, 3, 4], unit="s").as_unit("s"),
            "long": pd.to_timedelta([1, 2, 3, 4], "h"),
            "raw": [b"\x00a", None, b"", b"b"],
            'it\'s "q"': ["ä", None, "", "'"],
            "a.b": [1, 2, 3, 4],
        }
    )
    catalog["second"] = gpd.GeoSeries(shapely.points(np.arange(4), 60.0), crs=3857)
    catalog = catalog[[*catalog.columns[:3], "geometry", *catalog.columns[3:].drop("geometry")]]
    catalog.attrs = {"license": "CC0"}
    for k, index in enumerate(
        (
            None,
            pd.Index(list("abcd"), name="id"),
            pd.RangeIndex(5, 13, 2, name="n"),
            pd.Index([3, 1, 1, 0]),
        )
    ):
        indexed = catalog if index is None else catalog.set_axis(index)
        path = written(indexed, tmp_path / f"{k}.parquet", row_group_size=3)
        whole = gpd.read_parquet(path)
        for engine in ENGINES:
            for asked, rows in (({"bounds": (2.5, 0.5, 9, 1)}, [2, 3]), ({}, [0, 1, 2, 3])):
                found = read(path, engine=engine, **asked)
                assert_geodataframe_equal(found, whole.iloc[rows])
                assert found.index.name == whole.index.name
                assert found.attrs == whole.attrs
                assert found["second"].crs == whole["second"].crs
                assert [type(v) for v in found["names"]] == [
                    type(v) for v in whole["names"].iloc[rows]
                ]


def test_integers_are_floats_where_others_are_missing(tmp_path):
    table = pa.table({"n": pa.array([1, 2, None, 4]), "ok": pa.array([True, False, None, True])})
    path = written(small(), tmp_path / "a.parquet")
    whole = pq.read_table(path)
    for name in table.column_names:
        whole = whole.append_column(name, table[name])
    bare = {b"geo": whole.schema.metadata[b"geo"]}  # as others than pandas write it
    pq.write_table(whole.replace_schema_metadata(bare), path, row_group_size=2)
    expected = gpd.read_parquet(path).iloc[[3]]
    assert expected["n"].dtype == float
    for engine in ENGINES:
        assert_geodataframe_equal(read(path, bounds=(3.5, 0, 4, 1), engine=engine), expected)


def test_touching_corners_edges_and_empty_footprints(tmp_path):
    catalog = small()
    catalog.loc[1, "geometry"] = None
    catalog.loc[2, "geometry"] = shapely.Polygon()
    path = written(catalog, tmp_path / "a.parquet")
    assert rows_of(path, bounds=(1, 1, 3, 2)) == [0, 3]  # by one corner each
    assert select(catalog, bounds=(1, 1, 3, 2)).index.tolist() == [0, 3]
    assert rows_of(path, bounds=(np.nextafter(1, 2), 0, 3, 2)) == [3]
    assert rows_of(path) == [0, 1, 2, 3]


def test_footprints_count_and_not_their_bounds(tmp_path):
    catalog = small()
    catalog.loc[0, "geometry"] = shapely.Polygon([(0, 0), (1, 0), (0, 1)])
    path = written(catalog, tmp_path / "a.parquet")
    for asked in ((0.6, 0.6, 0.9, 0.9), shapely.Point(0.6, 0.6).buffer(0.1)):
        for engine in ENGINES:
            with pytest.raises(ValueError, match="no row"):
                read(path, bounds=asked, engine=engine)
        with pytest.raises(ValueError, match="no row"):
            select(catalog, bounds=asked)
    assert rows_of(path, bounds=(0.5, 0.5, 0.9, 0.9)) == [0]


def test_bounds_in_single_precision_are_rounded(tmp_path):
    catalog = small()
    catalog.loc[1, "geometry"] = shapely.box(1.1, 0.1, 1.3, 0.7)
    path = written(catalog, tmp_path / "a.parquet")
    table = pq.read_table(path)
    kind = pa.struct([(side, pa.float32()) for side in ("xmin", "ymin", "xmax", "ymax")])
    k = table.schema.get_field_index("bbox")
    pq.write_table(table.set_column(k, "bbox", table["bbox"].cast(kind, safe=False)), path)
    assert np.float32(1.1).item() > 1.1
    assert np.float32(1.3).item() < 1.3
    assert rows_of(path, bounds=(1.05, 0.3, 1.1, 0.4)) == [1]
    assert rows_of(path, bounds=(1.3, 0.3, 1.75, 0.4)) == [1]


def test_bounds_of_rows_across_the_dateline(tmp_path):
    """Others write bounds from east to west, as GeoJSON does."""
    catalog = small()
    catalog.loc[1, "geometry"] = across(179, 0, -179, 1)
    path = written(catalog, tmp_path / "a.parquet")
    table = pq.read_table(path)
    boxes = table["bbox"].to_pylist()
    boxes[1] |= {"xmin": 179.0, "xmax": -179.0}
    k = table.schema.get_field_index("bbox")
    kind = table.schema.field("bbox").type
    pq.write_table(table.set_column(k, "bbox", pa.array(boxes, kind)), path, row_group_size=1)
    assert rows_of(path, bounds=(179.5, 0, 179.6, 1)) == [1]
    assert rows_of(path, bounds=(-179.5, 0, -179.4, 1)) == [1]
    assert rows_of(path, bounds=(-1, 0, 0.5, 1)) == [0]


def test_the_column_of_bounds_is_found_by_the_metadata(tmp_path):
    path = written(small(), tmp_path / "a.parquet")
    table = pq.read_table(path)
    names = ["extent" if n == "bbox" else n for n in table.column_names]
    geo = json.loads(table.schema.metadata[b"geo"])
    covering = geo["columns"]["geometry"]["covering"]["bbox"]
    for side in covering:
        covering[side][0] = "extent"
    meta = {**table.schema.metadata, b"geo": json.dumps(geo).encode()}
    pq.write_table(table.rename_columns(names).replace_schema_metadata(meta), path)
    assert rows_of(path, bounds=(1.2, 0, 1.3, 1)) == [1]
    assert "extent" not in read(path).columns


def test_other_crs(tmp_path):
    squares = shapely.box(4e5 + 1e4 * np.arange(10), 5e6, 4e5 + 1e4 * np.arange(1, 11), 5.01e6)
    catalog = gpd.GeoDataFrame({"k": range(10)}, geometry=squares, crs=32632)
    path = written(catalog, tmp_path / "a.parquet")
    move = pyproj.Transformer.from_crs(32632, 4326, always_xy=True).transform
    west, south = move(425e3, 5004e3)
    east, north = move(445e3, 5006e3)
    asked = {"bounds": (west, south, east, north)}
    assert rows_of(path, **asked) == [2, 3, 4]
    assert read(path, **asked).crs == catalog.crs
    assert select(catalog, **asked).index.tolist() == [2, 3, 4]
    series = gpd.GeoSeries([shapely.Point(west, south), shapely.Point(east, north)], crs=4326)
    assert rows_of(path, bounds=series) == [2, 4]
    assert rows_of(path, bounds=series.to_crs(3857)) == [2, 4]
    assert rows_of(path, bounds=(west, south, west, south)) == [2]  # a point
    assert rows_of(path, bounds=(west, south, east, south)) == [2, 3, 4]  # a line
    assert rows_of(path, bounds=(42e4, 5e6, 42e4, 5e6), crs=None) == [1, 2]
    with pytest.raises(
        ValueError, match=r"it has bounds \(7\.\d+, 45\.\d+, 9, 45\.\d+\) in EPSG:4326"
    ):
        read(path, bounds=(50, 0, 51, 1))
    with pytest.raises(ValueError, match="EPSG:32632 is torn"):
        read(path, bounds=(-180, -90, 180, 90))
    with pytest.raises(ValueError, match="the table has no CRS"):
        select(catalog.set_crs(None, allow_override=True), bounds=(0, 0, 1, 1))
    bare = written(catalog.set_crs(None, allow_override=True), tmp_path / "bare.parquet")
    assert rows_of(bare, bounds=(42e4, 5e6, 42e4, 5e6), crs=None) == [1, 2]


@pytest.mark.parametrize(
    ("bounds", "crs"),
    [
        ((-1e6, -1e6, 2e6, 1e6), 3413),  # holds the pole
        ((0, 0, 2e6, 1e6), 3413),  # has a corner at the pole
        ((-2e6, -2e6, -1e6, 1e6), 3413),  # lies across the dateline
        ((-3e6, -1e6, 1e6, 1e6), 3031),
        ((1e5, 1e6, 9e5, 5e6), 32601),
    ],
)
def test_areas_at_poles_and_the_dateline(bounds, crs):
    random = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(random.uniform(-1, 1, 40000)))
    lon = random.uniform(-180, 180, 40000)
    catalog = gpd.GeoDataFrame(geometry=shapely.points(lon, lat), crs=4326)
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    west, south, east, north = bounds
    inside = (x >= west) & (x <= east) & (y >= south) & (y <= north)
    assert inside.sum() > 100
    assert select(catalog, bounds=bounds, crs=crs).index.tolist() == np.flatnonzero(inside).tolist()
    ring = shapely.Polygon(
        [(west, south), (east, south), (east, north), (west, north)],
        [[(west + 1e5, south + 1e5), (west + 2e5, south + 1e5), (west + 2e5, south + 3e5)]],
    )
    holed = shapely.contains_xy(ring, x, y)
    assert select(catalog, bounds=ring, crs=crs).index.tolist() == np.flatnonzero(holed).tolist()


def test_an_edge_through_a_pole_is_refused():
    with pytest.raises(ValueError, match="goes through a pole"):
        select(small(), bounds=(0, -1e6, 1e6, 1e6), crs=3413)


@pytest.mark.parametrize(
    ("bounds", "error", "message"),
    [
        ((1, 2, 3), TypeError, r"four numbers \(left, bottom, right, top\), got \(1, 2, 3\)"),
        ("abcd", TypeError, "four numbers"),
        ((0, 2, 1, 1), ValueError, "bottom 2 is not smaller than top 1"),
        ((0, 0, np.nan, 1), ValueError, "finite"),
        ((4e5, 5e6, 5e5, 6e6), ValueError, "degrees; name their CRS"),
        (shapely.Polygon(), ValueError, "not empty"),
    ],
)
def test_bounds_that_are_none(bounds, error, message):
    with pytest.raises(error, match=message):
        select(small(), bounds=bounds)


def test_west_of_east_in_meters():
    with pytest.raises(ValueError, match="left 3 is not smaller than right 1"):
        select(small().to_crs(3857), bounds=(3, 0, 1, 1), crs=3857)


def test_conditions_in_memory():
    catalog = small(cloud=[5.0, np.nan, 30.0, 80.0], tags=[["a"]] * 4, mixed=[1, "a", None, 2])
    assert select(catalog, where="not cloud < 20").index.tolist() == [2, 3]
    assert select(catalog, where="cloud is None").index.tolist() == [1]
    assert select(catalog, interval=("2024-02-01", None)).index.tolist() == [1, 3]
    assert select(catalog, interval=(None, "2024-02-01")).index.tolist() == [0]
    assert select(catalog.set_index("cloud"), where="cloud < 40").index.tolist() == [5, 30]
    for where in ("tags == 'a'", "mixed == 1"):
        with pytest.raises(TypeError, match="cannot be compared"):
            select(catalog, where=where)
    with pytest.raises(KeyError, match="geometry"):
        select(catalog, where="geometry == 1")
    naive = catalog.assign(datetime=catalog["datetime"].dt.tz_localize(None))
    assert select(naive, interval=("2024-01-01T01:00+01:00", "2024-02")).index.tolist() == [0]
    zoned = catalog.assign(datetime=catalog["datetime"].dt.tz_convert("Asia/Tokyo"))
    assert select(zoned, interval=("2024-01", "2024-02")).index.tolist() == [0]


def test_times_in_nanoseconds(tmp_path):
    times = pd.to_datetime([0, 999, 1000, 1001], unit="ns", utc=True).as_unit("ns")
    path = written(small().assign(datetime=times), tmp_path / "a.parquet")
    ends = ("1970-01-01T00:00:00.000000999", "1970-01-01T00:00:00.000001001")
    for engine in (None, "pyarrow"):  # duckdb, if its version holds nanoseconds
        found = read(path, interval=ends, engine=engine)
        assert found["datetime"].tolist() == times[1:3].tolist()
        assert found["datetime"].dtype == times.dtype


def test_statistics_do_not_know_of_nan(tmp_path):
    cloud = np.array([1.0, np.nan, 3, 4])
    table = pa.Table.from_pandas(small()[["datetime"]]).append_column("cloud", pa.array(cloud))
    path = written(small(), tmp_path / "a.parquet")
    whole = pq.read_table(path).append_column("cloud", table["cloud"])
    assert whole["cloud"].null_count == 0  # NaN, as others write it
    for size in (1, 2, 4):
        pq.write_table(whole, path, row_group_size=size)
        assert rows_of(path, where="cloud is None") == [1]
        assert rows_of(path, where="not cloud < 3") == [2, 3]


def test_several_files(tmp_path):
    catalog = small(kind=pd.Categorical(list("abca")), n=list("defg")).set_index("n")
    plain = small(kind=pd.Categorical(list("abca")))
    for name, table in (("named", catalog), ("plain", plain)):
        folder = tmp_path / name / "[more]"
        folder.mkdir(parents=True)
        written(table.iloc[:3], folder / "p?rt-0.parquet", row_group_size=2)
        written(table.iloc[3:], tmp_path / name / "part-1.parquet")
    whole = gpd.read_parquet(tmp_path / "plain")
    for source in (tmp_path / "plain", str(tmp_path / "plain" / "**" / "*.parquet")):
        for engine in ENGINES:
            found = read(source, bounds=(1.5, 0, 4, 1), engine=engine)
            assert found["geometry"].tolist() == catalog["geometry"].tolist()[1:]
            assert found.index.tolist() == [1, 2, 3]
            assert found["kind"].tolist() == ["b", "c", "a"]
            assert sorted(found["kind"].cat.categories) == sorted(whole["kind"].cat.categories)
    assert rows_of(tmp_path / "named", bounds=(1.5, 0, 4, 1)) == list("efg")
    written(small(other=1), tmp_path / "plain" / "z.parquet")
    with pytest.raises(ValueError, match=r"z.parquet' has other columns, types or CRS"):
        read(tmp_path / "plain")


def test_files_that_cannot_be_asked(tmp_path):
    catalog = small()
    catalog.to_parquet(tmp_path / "bare.parquet")
    assert rows_of(tmp_path / "bare.parquet", interval=("2024-02", None)) == [1, 3]
    with pytest.raises(
        ValueError, match=r"bare.parquet' has no column of them; .*write_covering_bbox=True"
    ):
        read(tmp_path / "bare.parquet", bounds=(0, 0, 1, 1))
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "table.parquet")
    with pytest.raises(ValueError, match=r"table.parquet' is no GeoParquet"):
        read(tmp_path / "table.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(ValueError, match=r"text.parquet' is no parquet file"):
        read(tmp_path / "text.parquet")
    with pytest.raises(FileNotFoundError, match="no parquet file at"):
        read(tmp_path / "missing.parquet")
    with pytest.raises(TypeError, match="one path"):
        read([tmp_path / "bare.parquet"])
    with pytest.raises(
        ValueError, match=r"engine must be one of \['duckdb', 'pyarrow'\] or None, got 'polars'"
    ):
        read(tmp_path / "bare.parquet", engine="polars")
    (tmp_path / "hive" / "year=2020").mkdir(parents=True)
    written(catalog, tmp_path / "hive" / "year=2020" / "a.parquet")
    with pytest.raises(ValueError, match="key=value"):
        read(tmp_path / "hive")
    assert "year" not in read(tmp_path / "hive" / "year=2020" / "a.parquet", engine="duckdb")
    written(catalog.iloc[:0], tmp_path / "empty.parquet")
    for engine in ENGINES:
        with pytest.raises(
            ValueError, match=r"no row of .*empty.parquet' \(0 rows\) matches anything"
        ):
            read(tmp_path / "empty.parquet", engine=engine)
        with pytest.raises(ValueError, match="no dates"):
            read(
                tmp_path / "empty.parquet",
                engine=engine,
                interval=("2024", None),
                bounds=(0, 0, 1, 1),
            )


def test_names_that_duckdb_does_not_tell_apart(tmp_path):
    path = written(small(A=[1, 2, 3, 4], a=[4, 3, 2, 1]), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"differ only in their case.*engine='pyarrow'"):
        read(path, where="a < 2", engine="duckdb")
    for engine in (None, "pyarrow"):
        assert read(path, where="a < 2", engine=engine).index.tolist() == [3]


# --------------------------------------------------------------------------------- packages


def test_duckdb_loads_no_extension(tmp_path, monkeypatch):
    path = written(small(cloud=[1.0, 2, 3, 4]), tmp_path / "a.parquet")
    seen = []
    connect = duckdb.connect

    class Watched:
        def __init__(self, *args, **options):
            self.connection = connect(*args, **options)

        def __getattr__(self, name):
            return getattr(self.connection, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            text = "SELECT extension_name, install_mode FROM duckdb_extensions() WHERE loaded"
            seen.extend(self.connection.sql(text).fetchall())
            text = "SELECT value FROM duckdb_settings() WHERE name LIKE 'auto%known_extensions'"
            seen.extend(self.connection.sql(text).fetchall())
            self.connection.close()

    monkeypatch.setattr(duckdb, "connect", Watched)
    asked = {"bounds": (0, 0, 2, 1), "interval": ("2024", "2025"), "where": "cloud < 9"}
    assert read(path, engine="duckdb", **asked).index.tolist() == [0, 1]
    modes = {row[1] for row in seen if len(row) == 2}
    assert modes == {"STATICALLY_LINKED"}
    assert "spatial" not in {row[0] for row in seen}
    assert [row[0] for row in seen if len(row) == 1] == ["false", "false"]


def test_duckdb_is_taken_where_it_is_installed(tmp_path, monkeypatch):
    path = written(small(), tmp_path / "a.parquet")
    monkeypatch.setattr(duckdb, "connect", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        read(path)
    assert len(read(path, engine="pyarrow")) == 4


@pytest.mark.parametrize(("module", "extra"), [("duckdb", "duckdb"), ("pyarrow", "catalog")])
def test_missing_packages_name_the_extra(tmp_path, monkeypatch, module, extra):
    path = written(small(), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, module, None)
    for name in [n for n in sys.modules if n.startswith(f"{module}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ImportError, match=rf"needs? {module}: pip install 'xarray-patch\[{extra}\]'"
    ):
        read(path, engine="duckdb")


def test_nothing_is_imported_before_it_is_used():
    optional = ["geopandas", "pyarrow", "duckdb", "rasterio", "shapely", "pyproj"]
    for module in ("xpatch", "xpatch.catalogs.query"):  # pandas imports pyarrow itself
        code = f"import sys, xarray; before = set(sys.modules); import {module}; "
        code += f"print([m for m in {optional} if m in set(sys.modules) - before])"
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert out.stdout.strip() == "[]"
