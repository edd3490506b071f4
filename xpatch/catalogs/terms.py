"""Parts of conditions on columns, each written for Arrow and for duckdb at once, so that both mean the same.

The semantics are told in `where`.
"""

from __future__ import annotations

import dataclasses
import decimal
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpatch.catalogs.moments import ticks
from xpatch.catalogs.optional import optional

PYTHON: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
KINDS = {"number": "numbers", "text": "strings", "time": "times", "truth": "truth values"}


@dataclasses.dataclass(frozen=True, eq=False)
class Term:
    """A part of an expression: a column, a literal, or what is made of them.

    Parameters
    ----------
    kind : str
        "number", "text", "time", "truth", "nothing" (a column of missing values), or "None".
    arrow, sql
        The same for Arrow and for duckdb.
    type : optional
        Type of Arrow; None of literals.
    value : optional
        What a literal is.
    name : str
        What to call it in messages.
    """

    kind: str
    arrow: Any
    sql: str
    type: Any = None
    value: Any = None
    name: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Condition:
    """A condition on rows.

    Parameters
    ----------
    arrow, sql
        The condition for Arrow and for duckdb.
    columns : tuple of str
        The columns it is on.
    skips : optional
        For Arrow, what groups of rows may be left out by; None if any of the columns may hold NaN, of
        which the statistics of a group do not know.
    """

    arrow: Any
    sql: str
    columns: tuple[str, ...]
    skips: Any = None

    def __and__(self, other: Condition) -> Condition:
        columns = tuple(dict.fromkeys((*self.columns, *other.columns)))
        skips = [c.skips for c in (self, other) if c.skips is not None]
        both = skips[0] & skips[1] if len(skips) == 2 else (skips or [None])[0]
        return Condition(self.arrow & other.arrow, f"({self.sql} AND {other.sql})", columns, both)


# ------------------------------------------------------------------------------------- columns


def column_of(name: str, schema: Any) -> Term:
    """Give a column as one of the kinds that can be compared; NaN is missing."""
    pc, pa = optional("pyarrow.compute"), optional("pyarrow")
    if schema.names.count(name) > 1:
        raise ValueError(f"{schema.names.count(name)} columns are named {name!r}; rename them")
    field, sql, of = pc.field(name), identifier(name), pa.types
    kind = schema.field(name).type
    if of.is_dictionary(kind):
        kind = kind.value_type
        field = field.cast(kind)
    what = f"the column {name!r}"
    if of.is_null(kind):
        return Term("nothing", None, "", kind, name=what)
    if of.is_boolean(kind):
        return Term("truth", field, sql, kind, name=what)
    if of.is_integer(kind):
        return Term("number", field, sql, kind, name=what)
    if of.is_floating(kind) or of.is_decimal(kind):
        arrow, sql = field.cast(pa.float64(), safe=False), f"CAST({sql} AS DOUBLE)"
        # duckdb folds nullif(…) by statistics, which leave NaN out
        sql = f"(CASE WHEN isnan({sql}) THEN NULL ELSE {sql} END)"
        return Term("number", without_nan(arrow), sql, pa.float64(), name=what)
    if of.is_string(kind) or of.is_large_string(kind):
        return Term("text", field, sql, kind, name=what)
    if of.is_date(kind):
        kind = pa.timestamp("s" if of.is_date32(kind) else "ms")
        return Term("time", field.cast(kind), f"CAST({sql} AS TIMESTAMP)", kind, name=what)
    if of.is_timestamp(kind):
        return Term("time", field, sql, kind, name=what)
    raise TypeError(
        f"the column {name!r} holds {kind}, which cannot be compared; conditions are on columns of "
        "numbers, strings, times and truth values"
    )


def identifier(name: str) -> str:
    """Quote the name of a column for SQL."""
    return '"' + name.replace('"', '""') + '"'


def quoted(value: str) -> str:
    """Quote a text for SQL."""
    return "'" + value.replace("'", "''") + "'"


def plural(term: Term) -> str:
    """Name what a column holds, for messages."""
    return KINDS.get(term.kind, term.kind)


def named(term: Term) -> str:
    """Name a term for messages."""
    if term.type is not None:
        return f"{term.name or 'a result'} of {plural(term)}"
    return f"the {term.kind} {term.name}" if term.value is not None else term.name or "a condition"


# --------------------------------------------------------------------------------------- steps


def scalar(value: Any, kind: str) -> Any:
    """Give a literal of Arrow."""
    pa = optional("pyarrow")
    return optional("pyarrow.compute").scalar(pa.scalar(value, getattr(pa, kind)()))


def nothing() -> tuple[Any, str]:
    """What is neither true nor false."""
    return scalar(None, "bool_"), "CAST(NULL AS BOOLEAN)"


def as_double(value: float) -> float:
    """Give a number in double precision; what is too large is infinite."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def without_nan(arrow: Any) -> Any:
    """Make NaN missing."""
    pc = optional("pyarrow.compute")
    return pc.if_else(pc.is_nan(arrow), scalar(None, "float64"), arrow)


def null_test(found: Term, is_null: bool) -> Term:
    """Ask whether values are missing, or whether they are not."""
    arrow = found.arrow.is_null() if is_null else found.arrow.is_valid()
    return Term("truth", arrow, f"({found.sql} IS {'' if is_null else 'NOT '}NULL)")


def joined(word: str, terms: Sequence[Term]) -> Term:
    """Join conditions by AND or OR."""
    if len(terms) == 1:
        return terms[0]
    join = operator.and_ if word == "AND" else operator.or_
    arrow = terms[0].arrow
    for other in terms[1:]:
        arrow = join(arrow, other.arrow)
    return Term("truth", arrow, f"({f' {word} '.join(t.sql for t in terms)})")


def negated(term: Term) -> Term:
    """Negate a condition."""
    return Term("truth", ~term.arrow, f"(NOT {term.sql})")


def common_type(terms: Sequence[Term]) -> Any:
    """Give the type of Arrow in which values of one kind are compared."""
    pa = optional("pyarrow")
    types = [t.type for t in terms if t.type is not None]
    if terms[0].kind != "number":
        default = pa.bool_() if terms[0].kind == "truth" else pa.large_string()
        return types[0] if types and all(t == types[0] for t in types) else default
    if pa.float64() in types or any(isinstance(t.value, float) for t in terms):
        return pa.float64()
    wide = any(t.value is not None and not -(2**63) <= t.value < 2**63 for t in terms)
    return pa.decimal128(20, 0) if wide or pa.uint64() in types else pa.int64()


def written_as(term: Term, kind: Any) -> tuple[Any, str]:
    """Write a term as a type of Arrow, and of duckdb."""
    pa = optional("pyarrow")
    if pa.types.is_boolean(kind):
        return term.arrow, term.sql
    sql_types = {
        pa.float64(): "DOUBLE",
        pa.int64(): "BIGINT",
        pa.decimal128(20, 0): "DECIMAL(20,0)",
    }
    name = sql_types.get(kind, "VARCHAR")
    if term.type is None:
        value = _value(term, kind)
        text = quoted(value) if name == "VARCHAR" else f"CAST('{value}' AS {name})"
        return optional("pyarrow.compute").scalar(pa.scalar(value, kind)), text
    arrow = term.arrow if term.type == kind else term.arrow.cast(kind, safe=False)
    return arrow, term.sql if name == "VARCHAR" else f"CAST({term.sql} AS {name})"


def _value(literal: Term, kind: Any) -> Any:
    types = optional("pyarrow").types
    if types.is_floating(kind):
        return as_double(literal.value)
    return decimal.Decimal(literal.value) if types.is_decimal(kind) else literal.value


def in_list(found: Term, values: Sequence[Term]) -> Term:
    """Whether a value is one of a list; that of a missing value is not known."""
    pa, pc = optional("pyarrow"), optional("pyarrow.compute")
    kind = common_type([found, *values])
    arrow, sql = written_as(found, kind)
    members = pa.array([_value(v, kind) for v in values], kind)
    if pa.types.is_floating(kind):  # of which Arrow compares bits, and zero has two
        arrow, members = arrow + scalar(0.0, "float64"), pc.add(members, 0.0)
    one_of = pc.if_else(arrow.is_valid(), arrow.isin(members), scalar(None, "bool_"))
    texts = ", ".join(written_as(v, kind)[1] for v in values)
    none = f"(CASE WHEN {sql} IS NULL THEN NULL ELSE FALSE END)"
    return Term("truth", one_of, f"({sql} IN ({texts}))" if values else none)


# --------------------------------------------------------------------------------------- times


def at_moment(column: Term, sign: str, nanoseconds: int) -> Term:
    """Compare times with a moment, which may lie between two that the column can hold."""
    if sign == "==":
        return joined(
            "AND", [at_moment(column, ">=", nanoseconds), at_moment(column, "<=", nanoseconds)]
        )
    if sign == "!=":
        return negated(at_moment(column, "==", nanoseconds))
    pa = optional("pyarrow")
    count = ticks(nanoseconds, column.type.unit, up=sign in ("<", ">="))
    moment = optional("pyarrow.compute").scalar(pa.scalar(count, column.type))
    sql = f"({column.sql} {sign} {_sql_moment(count, column.type)})"
    return Term("truth", PYTHON[sign](column.arrow, moment), sql)


def _sql_moment(count: int, kind: Any) -> str:
    text = str(np.datetime64(count, kind.unit)).replace("T", " ")
    name = "TIMESTAMP" if kind.tz is None else "TIMESTAMPTZ"
    suffix = "_NS" if kind.unit == "ns" else ""
    return f"CAST('{text}{'' if kind.tz is None else '+00'}' AS {name}{suffix})"


def ticked(term: Term, other: Term) -> tuple[Any, str]:
    """Write a column of times so that it compares with another: in the finer unit, in UTC."""
    fine = "ns" in (term.type.unit, other.type.unit)
    kind = optional("pyarrow").timestamp("ns" if fine else "us", "UTC")
    return term.arrow.cast(kind), f"epoch_{'ns' if fine else 'us'}({term.sql})"
