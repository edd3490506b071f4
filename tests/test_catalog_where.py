"""Conditions on columns: the same rows by Arrow, duckdb and pandas; missing values; what is refused."""

from __future__ import annotations

import datetime

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpatch.catalogs.where import condition, during, names_in

BIG = 2**53 + 1  # no number in double precision
TABLE = pa.table(
    {
        "i": pa.array([1, 2, None, BIG]),
        "u": pa.array([1, 2**64 - 1, 3, None], pa.uint64()),
        "f": pa.array([1.5, np.nan, None, np.inf], from_pandas=False),
        "single": pa.array([0.1, 2, np.nan, None], pa.float32()),
        "s": pa.array(["a", "b'", None, ""]),
        "code": pa.array(["a", "b", None, "a"]).dictionary_encode(),
        "flag": pa.array([True, False, None, True]),
        "nothing": pa.nulls(4),
        "t": pa.array([0, 1, None, 5 * 10**9], pa.timestamp("ms", "UTC")),
        "ns": pa.array([0, 1, None, 5], pa.timestamp("ns", "UTC")),
        "naive": pa.array([0, 1, None, 5], pa.timestamp("us")),
        "day": pa.array([0, 1, None, 5], pa.date32()),
        'eo:c "d"': pa.array([1, 2, 3, 4]),
        "list": pa.array([[1], [], None, [2]]),
    }
)


@pytest.fixture(scope="module")
def by_sql(tmp_path_factory):
    path = tmp_path_factory.mktemp("where") / "table.parquet"
    pq.write_table(TABLE, path, row_group_size=2)
    connection = duckdb.connect()
    settings = connection.sql("SELECT name FROM duckdb_settings()").fetchall()
    if ("parquet_can_have_nan",) in settings:  # older versions do not ask
        connection.execute("SET parquet_can_have_nan = true")

    def rows(found):
        text = f"SELECT file_row_number FROM read_parquet('{path}', file_row_number=true)"
        given = connection.sql(f"{text} WHERE {found.sql} ORDER BY 1").fetchall()
        return [row[0] for row in given]

    return rows


def by_arrow(found, table=TABLE):
    numbered = table.append_column("row", pa.array(range(len(table))))
    return numbered.filter(found.arrow)["row"].to_pylist()


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("i < 2", [0]),
        ("not i < 2", [1, 3]),  # a missing value is neither less nor not less
        ("~(i < 2)", [1, 3]),
        ("i != 1", [1, 3]),
        (f"i == {BIG}", [3]),
        (f"i == {BIG - 1}", []),  # as numbers in double precision they were the same
        ("u == 18446744073709551615", [1]),
        ("u in [18446744073709551615, -1]", [1]),
        ("u > i", [1]),
        ("i < 1e400", [0, 1, 3]),
        ("f > 1", [0, 3]),
        ("not f > 1", []),
        ("f != f", []),
        ("f == None", [1, 2]),
        ("f is not None", [0, 3]),
        ("f + 0 is None", [1, 2]),
        ("(f > 1) is None", [1, 2]),
        ("single < 0.2", [0]),
        ("single is None", [2, 3]),
        ("s == 'a' or s is None", [0, 2]),
        ("s in ['a', \"b'\"]", [0, 1]),
        ("s not in ['a']", [1, 3]),
        ("s not in []", [0, 1, 3]),
        ("s in ()", []),
        ("'a' < s", [1]),
        ("code == 'a'", [0, 3]),
        ("code in ['b']", [1]),
        ("code != s", [1, 3]),
        ("flag", [0, 3]),
        ("not flag", [1]),
        ("flag == False", [1]),
        ("flag | i == 2", [0, 1, 3]),  # | has the precedence of or, as in pandas
        ("i == 1 & s == 'a' | flag", [0, 3]),
        ("nothing < 2", []),
        ("not nothing == 'a'", []),
        ("nothing is None and i > 0", [0, 1, 3]),
        ("1 < i <= 2", [1]),
        ("i / 0 > 5", [0, 1, 3]),
        ("(i - i) / 0 is None", [0, 1, 2, 3]),
        ("-i + 1 < -0.5", [1, 3]),
        ("t > '1970-01-01'", [1, 3]),
        ("t < '1970-01-01T00:00:00.0005'", [0]),  # between two moments of the column
        ("t >= '1970-01-01T00:00:00.0005'", [1, 3]),
        ("t == '1970-01-01T00:00:00.0005'", []),
        ("t != '1970-01-01T00:00:00.0005'", [0, 1, 3]),
        ("t == '1970-01-01T01:00+01:00'", [0]),
        ("'1970-01-02' > t", [0, 1]),
        ("t in ['1970', '1970-02-27T20:53:20']", [0, 3]),
        ("ns <= '1970-01-01T00:00:00.000000001'", [0, 1]),
        ("ns < '9999'", [0, 1, 3]),
        ("naive > '1970-01-01T01:00:00.000001+01:00'", [3]),
        ("t > ns", [1, 3]),
        ("day > naive", [1, 3]),
        ("day == '1970-01-02'", [1]),
        ('`eo:c "d"` * 2 > 5', [2, 3]),
    ],
)
def test_rows_are_those_of_sql(where, rows, by_sql):
    found = condition(where, TABLE.schema)
    assert by_arrow(found) == rows
    assert by_sql(found) == rows


@pytest.mark.parametrize(
    ("interval", "rows"),
    [
        (("1970", None), [0, 1, 3]),
        ((None, "1970-01-01T00:00:00.001"), [0]),  # the end is outside
        (("1970-01-01T00:00:00.001", "1971"), [1, 3]),
        (("1970", "1970"), [0]),  # one moment
        ((np.datetime64(1, "ms"), pd.Timestamp("1971", tz="Asia/Tokyo")), [1, 3]),
        ((datetime.date(1970, 1, 1), datetime.datetime(1970, 1, 2)), [0, 1]),
        ((None, None), [0, 1, 3]),  # a missing date never lies in an interval
    ],
)
def test_intervals(interval, rows, by_sql):
    found = during(interval, TABLE.schema, "t")
    assert by_arrow(found) == rows
    assert by_sql(found) == rows


def test_intervals_of_columns_without_dates(by_sql):
    assert by_sql(during(("1970", None), TABLE.schema, "nothing")) == []
    assert by_arrow(during(("1970", None), TABLE.schema, "nothing")) == []
    with pytest.raises(TypeError, match=r"needs times in the column 's', and it holds strings"):
        during(("1970", None), TABLE.schema, "s")
    with pytest.raises(KeyError, match=r"datetime.*gdf.rename"):
        during(("1970", None), TABLE.schema)


@pytest.mark.parametrize(
    ("interval", "error", "message"),
    [
        (("2024", "2023"), ValueError, "after its end"),
        ("2024", ValueError, "names a period"),
        (("2024",), TypeError, "start, end"),
        ((1, 2), TypeError, "a time must be text, a datetime.*got 1"),
        ((None, "today"), ValueError, "'today' is no time.*ISO 8601"),
        (("01/02/2024", None), ValueError, "ISO 8601"),
        ((pd.NaT, None), ValueError, "no time"),
        (("2024-13", None), ValueError, "month must be in 1..12"),
    ],
)
def test_intervals_that_are_none(interval, error, message):
    with pytest.raises(error, match=message):
        during(interval, TABLE.schema, "t")


@pytest.mark.parametrize(
    "where",
    [
        "",
        "i",
        "i + 1",
        "1 < 2",
        "s.str < 'a'",
        "len(s) < 2",
        "s[0] == 'a'",
        "@x < 2",
        "i <",
        "i = 1",
        "i is 1",
        "i < None",
        "i in s",
        "i in [u]",
        "i in [None]",
        "i ** 2 < 3",
        "i // 2 == 1",
        "(x := 3) < i",
        "lambda: i",
        "i if flag else u",
        "f'{i}' == s",
        "b'a' == s",
        "i < 2j",
        "flag and i",
        "~i < 2",
        "eo:c < 1",
        "`i < 2",
        "i < 2 # all",
        "i < 2; i",
        "s == '\\ud800'",
        "(" * 300 + "i" + ")" * 300 + "< 1",
        "i" + "+ i" * 5000 + "< 1",
    ],
)
def test_what_is_no_expression_of_columns(where):
    with pytest.raises(ValueError, match="where") as caught:
        condition(where, TABLE.schema)
    assert "an expression of columns" in str(caught.value) or "deeply" in str(caught.value)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("s < 20", "the column 's' of strings with the number 20"),
        ("20 > s", "column 's' of strings"),
        ("i == 'a'", "the column 'i' of numbers with the text 'a'"),
        ("flag == 1", "the column 'flag' of truth values with the number 1"),
        ("flag < True", "orders the column 'flag'"),
        ("t < 3", "the column 't' of times with the number 3"),
        ("t > i", "the column 't' of times with the column 'i' of numbers"),
        ("t == s", "the column 't' of times with the column 's' of strings"),
        ("s in ['a', 1]", "the column 's' of strings with the number 1"),
        ("s + 'a' == 'b'", "calculates with the column 's' of strings"),
        ("list == 1", "'list' holds list.*cannot be compared"),
    ],
)
def test_kinds_that_do_not_mix(where, message):
    with pytest.raises(TypeError, match=message):
        condition(where, TABLE.schema)


def test_unknown_columns_and_other_values():
    with pytest.raises(KeyError, match=r"names the column .*cod.*did you mean .*code"):
        condition("cod == 'a'", TABLE.schema)
    with pytest.raises(ValueError, match=r"column 't' of times must be a date"):
        condition("t < 'yesterday'", TABLE.schema)
    with pytest.raises(TypeError, match="must be a text"):
        condition(3, TABLE.schema)
    assert names_in("`a b` < 1 and c in ['`d`'] or `a b` > c") == ["a b", "c"]


# ----------------------------------------------------------------------- any expression at all

NUMBERS = st.one_of(st.integers(-5, 5).map(str), st.sampled_from(["0.5", "-1.25", "1e3"]))
VALUES = st.recursive(
    st.one_of(st.sampled_from(["x", "y", "`a b`"]), NUMBERS),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({' '.join(t)})"),
    max_leaves=3,
)
SIGNS = st.sampled_from(["<", "<=", "==", "!=", ">", ">="])
TESTS = st.one_of(
    st.tuples(VALUES, SIGNS, VALUES).map(" ".join).filter(names_in),
    st.tuples(
        st.sampled_from(["x", "y"]),
        st.sampled_from(["in", "not in"]),
        st.lists(NUMBERS, min_size=1, max_size=3).map(lambda v: f"[{', '.join(v)}]"),
    ).map(" ".join),
    st.tuples(st.just("s"), SIGNS, st.sampled_from(["'a'", "'b'", '"it\'s"', "'ä'", "''"])).map(
        " ".join
    ),
)
CONDITIONS = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        inner.map(lambda c: f"not ({c})"),
        st.tuples(inner, st.sampled_from(["and", "or", "&", "|"]), inner).map(
            lambda t: f"({t[0]}) {t[1]} ({t[2]})"
        ),
    ),
    max_leaves=4,
)


def table(missing):
    random = np.random.default_rng(3)
    x = pd.Series(random.integers(-5, 5, 40))
    y = pd.Series(random.integers(-8, 8, 40) / 4)
    s = pd.Series(random.choice(["a", "b", "it's", "ä", ""], 40))
    if missing:
        x, y, s = (v.where(random.uniform(size=40) < 0.8) for v in (x.astype("Int64"), y, s))
    return pd.DataFrame({"x": x, "y": y, "s": s, "a b": np.arange(40) % 7, "t": 0})


WHOLE, GAPS = table(False), table(True)


def sql_rows(found, arrow):
    connection = duckdb.connect()
    connection.register("given", arrow.append_column("row", pa.array(range(len(arrow)))))
    return [
        r[0]
        for r in connection.sql(f"SELECT row FROM given WHERE {found.sql} ORDER BY 1").fetchall()
    ]


@given(CONDITIONS)
@settings(max_examples=60, deadline=None)
def test_any_expression_is_that_of_pandas_and_duckdb(where):
    arrow = pa.Table.from_pandas(WHOLE)
    found = condition(where, arrow.schema)
    expected = WHOLE.query(where, engine="python").index.tolist()
    assert by_arrow(found, arrow) == expected
    assert sql_rows(found, arrow) == expected


@given(CONDITIONS)
@settings(max_examples=60, deadline=None)
def test_any_expression_is_that_of_duckdb_where_values_are_missing(where):
    arrow = pa.Table.from_pandas(GAPS)
    found = condition(where, arrow.schema)
    rows = by_arrow(found, arrow)
    assert rows == sql_rows(found, arrow)
    # the columns as they are, by duckdb's own reading of the text
    own = where.replace("`", '"').replace("==", "=").replace("&", "AND").replace("|", "OR")
    own = own.replace("[", "(").replace("]", ")").replace('"it\'s"', "'it''s'")
    connection = duckdb.connect()
    connection.register("given", arrow.append_column("row", pa.array(range(len(arrow)))))
    text = f"SELECT row FROM given WHERE {own} ORDER BY 1"
    assert rows == [r[0] for r in connection.sql(text).fetchall()]
