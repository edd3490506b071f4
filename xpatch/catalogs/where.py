"""Conditions on columns, written as pandas' query writes them, for Arrow and duckdb alike.

The logic is that of SQL with three values: a comparison with a missing value is not true, and neither is
its negation; NaN is a missing value. Numbers are calculated in double precision.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable
from typing import Any

from xpatch.catalogs.moments import interval_of, moment
from xpatch.catalogs.optional import optional
from xpatch.catalogs.terms import (
    PYTHON,
    Condition,
    Term,
    as_double,
    at_moment,
    column_of,
    common_type,
    in_list,
    joined,
    named,
    negated,
    nothing,
    null_test,
    plural,
    scalar,
    ticked,
    without_nan,
    written_as,
)

MAY_BE = (
    "an expression of columns compares them (<, <=, ==, !=, >=, >, in and not in lists, is None), "
    "calculates with + - * /, and joins with and, or, not; other names than identifiers stand in "
    "backticks: \"`eo:cloud_cover` < 20 and platform in ['sentinel-2a', 'sentinel-2b']\""
)
TOKENS = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|`([^`]*)`|([&|])|(#)|\s+""")
COMPARED = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
CALCULATED = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
ARROW_NAMES = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}


def condition(where: str, schema: Any, known: Iterable[str] = ()) -> Condition:
    """Compile an expression of columns.

    Parameters
    ----------
    where : str
        The expression.
    schema : pyarrow.Schema
        Types of the columns.
    known : iterable of str, optional
        Which columns may be named, if not all of the schema.

    Raises
    ------
    KeyError
        If it names a column that is not there.
    TypeError
        If it compares values of different kinds, or columns that hold lists or the like.
    ValueError
        If it is no expression of columns.
    """
    tree, names = parsed(where)
    compiler = _Compiler(where, schema, names, tuple(known) or tuple(schema.names))
    try:
        found = compiler.term(tree)
    except RecursionError:
        raise ValueError(f"where of {len(where)} characters is nested too deeply") from None
    if found.kind != "truth":
        raise compiler.refused(f"gives {named(found)}, which is neither true nor false")
    if not compiler.columns:
        raise compiler.refused("names no column")
    # Arrow skips by statistics that know no NaN, and casts those of large integers safely, that is, not at all.
    doubles = any(isinstance(n, ast.BinOp) or _is_float(n) for n in ast.walk(tree))
    may_be_nan = any(c.type == optional("pyarrow").float64() for c in compiler.columns.values())
    skips = None if may_be_nan or doubles else found.arrow
    return Condition(found.arrow, found.sql, tuple(compiler.columns), skips)


def _is_float(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def during(interval: Any, schema: Any, name: str = "datetime") -> Condition:
    """Compile the condition that a column of times lies in [start, end); equal ends are one moment.

    Raises
    ------
    KeyError
        If there is no such column.
    TypeError, ValueError
        If it is no column of times, or the interval is none.
    """
    start, end = interval_of(interval)
    if name not in schema.names:
        raise KeyError(
            f"time= asks for dates in the column {name!r}, and the columns are {schema.names}; "
            "name yours so: gdf.rename(columns={…: 'datetime'})"
        )
    column = column_of(name, schema)
    if column.kind == "nothing":
        return Condition(*nothing(), (name,))
    if column.kind != "time":
        raise TypeError(
            f"time= needs times in the column {name!r}, and it holds {plural(column)}; make "
            f"them times: pandas.to_datetime(gdf[{name!r}], utc=True)"
        )
    if start is not None and start == end:
        found = [at_moment(column, "==", start)]
    else:
        sides = ((">=", start), ("<", end))
        found = [at_moment(column, op, value) for op, value in sides if value is not None]
    found = found or [null_test(column, False)]
    both = joined("AND", found)
    return Condition(both.arrow, both.sql, (name,), both.arrow)


def names_in(where: str) -> list[str]:
    """Give the names of columns in an expression, in order."""
    tree, names = parsed(where)
    found = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name)]
    return list(dict.fromkeys(names.get(n, n) for n in found))


def parsed(where: str) -> tuple[ast.expr, dict[str, str]]:
    """Parse an expression; names in backticks become identifiers, which the mapping explains."""
    if not isinstance(where, str):
        raise TypeError(f"where must be a text, an expression of columns, got {where!r}; {MAY_BE}")
    prefix = "_"
    while prefix in where:
        prefix += "_"
    names: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        text, name, joint, comment = match.groups()
        if comment:
            raise ValueError("it holds a comment")
        if text is not None:
            return text
        if name is not None:
            names[f"{prefix}{len(names)}"] = name
            return f" {prefix}{len(names) - 1} "
        # pandas gives & and | the precedence of words, not of Python's operators
        return {"&": " and ", "|": " or "}.get(joint, " ")

    try:
        where.encode()  # lone surrogates are no text of Arrow
        tree = ast.parse(TOKENS.sub(plain, where).strip(), mode="eval").body
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value.encode()
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or str(error)
        raise ValueError(f"where={where!r} cannot be read ({reason}); {MAY_BE}") from None
    return tree, names


class _Compiler:
    """Turns a syntax tree into a term, and remembers the columns that it meets."""

    def __init__(self, where: str, schema: Any, names: dict[str, str], known: tuple[str, ...]):
        self.where, self.schema, self.names, self.known = where, schema, names, known
        self.columns: dict[str, Term] = {}

    def refused(self, why: str) -> ValueError:
        return ValueError(f"where={self.where!r} {why}; {MAY_BE}")

    def mixed(self, verb: str, a: Term, b: Term) -> TypeError:
        return TypeError(f"where={self.where!r} {verb} {named(a)} with {named(b)}")

    def term(self, node: ast.AST) -> Term:
        match node:
            case ast.Name():
                return self.column(self.names.get(node.id, node.id))
            case ast.Constant():
                return self.literal(node.value)
            case ast.BoolOp():
                word = "AND" if isinstance(node.op, ast.And) else "OR"
                return joined(word, [self.truth(n) for n in node.values])
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                return negated(self.truth(node.operand))
            case ast.UnaryOp(op=ast.UAdd() | ast.USub()):
                return self.signed(node)
            case ast.BinOp() if type(node.op) in CALCULATED:
                return self.calculated(node)
            case ast.Compare():
                return self.compared(node)
        raise self.refused(f"holds {ast.unparse(node)!r} ({type(node).__name__})")

    def column(self, name: str) -> Term:
        if name not in self.columns:
            if name not in self.known:
                near = difflib.get_close_matches(name, self.known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise KeyError(
                    f"where={self.where!r} names the column {name!r}, and the columns are "
                    f"{list(self.known)}{hint}"
                )
            self.columns[name] = column_of(name, self.schema)
        return self.columns[name]

    def literal(self, value: Any) -> Term:
        kinds = {bool: "truth", int: "number", float: "number", str: "text", type(None): "None"}
        kind = kinds.get(type(value))
        if kind is None:
            raise self.refused(f"holds {value!r}")
        if kind == "number" and abs(value) >= 10**20:
            value = as_double(value)
        if kind == "truth":
            return Term(kind, scalar(value, "bool_"), str(value).upper(), None, value, repr(value))
        return Term(kind, None, "", None, value, repr(value))

    def truth(self, node: ast.AST) -> Term:
        found = self.term(node)
        if found.kind == "nothing":
            return Term("truth", *nothing(), name=found.name)
        if found.kind != "truth":
            raise self.refused(f"joins {named(found)}, which is neither true nor false")
        return found

    def number(self, node: ast.AST) -> Term:
        found = self.term(node)
        if found.kind == "nothing":
            pa = optional("pyarrow")
            null = optional("pyarrow.compute").scalar(pa.scalar(None, pa.float64()))
            return Term("number", null, "CAST(NULL AS DOUBLE)", pa.float64(), name=found.name)
        if found.kind != "number":
            raise TypeError(f"where={self.where!r} calculates with {named(found)}, no number")
        return found

    def signed(self, node: ast.UnaryOp) -> Term:
        found = self.number(node.operand)
        if isinstance(node.op, ast.UAdd):
            return found
        if found.type is None:
            return self.literal(-found.value)
        arrow, sql = written_as(found, optional("pyarrow").float64())
        negated = optional("pyarrow.compute").negate(arrow)
        return Term("number", negated, f"(-{sql})", optional("pyarrow").float64(), name="a sum")

    def calculated(self, node: ast.BinOp) -> Term:
        left, right = self.number(node.left), self.number(node.right)
        sign = CALCULATED[type(node.op)]
        double = optional("pyarrow").float64()
        (a, a_sql), (b, b_sql) = written_as(left, double), written_as(right, double)
        found = getattr(optional("pyarrow.compute"), ARROW_NAMES[sign])(a, b)
        sql = f"nullif({a_sql} {sign} {b_sql}, CAST('nan' AS DOUBLE))"
        return Term("number", without_nan(found), sql, double)

    def compared(self, node: ast.Compare) -> Term:
        sides = [node.left, *node.comparators]
        pairs = zip(node.ops, sides[:-1], sides[1:], strict=True)
        return joined("AND", [self.pair(op, a, b) for op, a, b in pairs])

    def pair(self, op: ast.cmpop, left: ast.AST, right: ast.AST) -> Term:
        if isinstance(op, ast.In | ast.NotIn):
            found = self.listed(self.term(left), right)
            return found if isinstance(op, ast.In) else negated(found)
        a, b = self.term(left), self.term(right)
        if "None" in (a.kind, b.kind):
            return self.missing(op, *((a, b) if b.kind == "None" else (b, a)))
        if type(op) not in COMPARED:
            raise self.refused(f"asks whether something is {named(b)}; compare with ==")
        return self.two(COMPARED[type(op)], a, b)

    def missing(self, op: ast.cmpop, found: Term, none: Term) -> Term:
        if found.kind == "None" or not isinstance(op, ast.Is | ast.IsNot | ast.Eq | ast.NotEq):
            raise self.refused("compares with None; missing values are asked for by `is None`")
        if found.kind == "nothing" or found.arrow is None:
            is_null = (found.kind == "nothing") is isinstance(op, ast.Is | ast.Eq)
            return Term("truth", scalar(is_null, "bool_"), str(is_null).upper())
        return null_test(found, isinstance(op, ast.Is | ast.Eq))

    def two(self, sign: str, a: Term, b: Term) -> Term:
        if "nothing" in (a.kind, b.kind):
            return Term("truth", *nothing())
        if b.kind == "time" and a.kind == "text":
            a, b, sign = b, a, FLIPPED[sign]
        if a.kind == "time" and b.kind == "text" and b.type is None:
            return at_moment(a, sign, self.moment(a, b.value))
        if a.kind != b.kind:
            raise self.mixed("compares", a, b)
        if a.kind == "truth" and sign not in ("==", "!="):
            raise TypeError(f"where={self.where!r} orders {named(a)} and {named(b)} by {sign}")
        if a.kind == "time":
            (x, x_sql), (y, y_sql) = ticked(a, b), ticked(b, a)
        else:
            common = common_type([a, b])
            (x, x_sql), (y, y_sql) = written_as(a, common), written_as(b, common)
        sql = "<>" if sign == "!=" else "=" if sign == "==" else sign
        return Term("truth", PYTHON[sign](x, y), f"({x_sql} {sql} {y_sql})")

    def moment(self, column: Term, value: str) -> int:
        return moment(value, f"where={self.where!r}: what is compared with {named(column)}")

    def listed(self, found: Term, node: ast.AST) -> Term:
        if not isinstance(node, ast.List | ast.Tuple | ast.Set):
            raise self.refused(f"asks for `in {ast.unparse(node)}`, which is no list of values")
        values = [self.term(n) for n in node.elts]
        if any(v.type is not None or (v.arrow is not None and v.value is None) for v in values):
            raise self.refused("asks for `in` a list that holds columns; join == by or")
        if any(v.kind == "None" for v in values):
            raise self.refused("asks for None in a list; missing values are asked for by `is None`")
        if found.kind == "nothing":
            return Term("truth", *nothing())
        if found.kind == "None":
            raise self.refused("asks whether None is in a list")
        wanted = "text" if found.kind == "time" else found.kind
        for value in values:
            if value.kind != wanted:
                raise self.mixed("compares", found, value)
        if found.kind == "time" and values:
            each = [at_moment(found, "==", self.moment(found, v.value)) for v in values]
            return joined("OR", each)
        return in_list(found, values)
