"""How the package is built, counted from its source: ``python -m tests.house`` prints the figures.

Every import counts, wherever it stands: at the top of a file, in a function, under TYPE_CHECKING, or
as the text that `importlib.import_module` is given.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import xpatch

ROOT = Path(xpatch.__file__).parent

# From the top floor down: a room may import those of its own floor and of those below.
FLOORS = (
    ("__init__", "demo"),
    ("torch",),
    ("accessor",),
    ("api",),
    ("run", "models", "training", "multiscale", "plot"),
    ("patches", "catalogs"),
    ("patcher",),
    (
        "time",
        "sampler",
        "geometry",
        "window",
        "aggregation",
        "statistics",
        "registry",
    ),
    ("domain",),
    ("neighborhood",),
    ("engine",),
    ("spec", "sphere", "report"),
)
KINDS = {"Slices", "Members", "Runs", "Neighborhood", "Boxes", "Joint"}


def files() -> list[Path]:
    """Give the files of the package."""
    return sorted(ROOT.rglob("*.py"))


def module_of(path: Path) -> str:
    """Give the name of a module: ``xpatch.engine.lazy``; a package has that of its folder."""
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, known: set[str]) -> set[str]:
    """Give the modules of the package that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{name.name}" for name in node.names}
            found |= parts & known or {node.module}
            found |= {node.module} if parts - known else set()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value}  # what import_module is given
    return (found & known) - {module_of(path)}


def graph() -> dict[str, set[str]]:
    """Give, for each module, those that it imports."""
    known = {module_of(p) for p in files()}
    return {module_of(p): imports_of(p, known) - {"xpatch"} for p in files()}


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Give the groups of modules that import each other in a loop (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    out: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in arrows.get(module, ()):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = [stack.pop()]
            while group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                out.append(sorted(group))

    for module in arrows:
        if module not in index:
            visit(module)
    return out


def floor_of(module: str) -> int:
    """Give the floor of a module, 0 at the top."""
    room = [*module.split("."), "__init__"][1]
    return next(k for k, rooms in enumerate(FLOORS) if room in rooms)


def upward(arrows: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Give the imports of a module of a higher floor."""
    return sorted(
        (a, b) for a, others in arrows.items() for b in others if floor_of(b) < floor_of(a)
    )


def code_lines(path: Path) -> set[int]:
    """Give the lines that hold code: no docstring, no comment, not blank."""
    text = path.read_text()
    docs = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            value = getattr(first, "value", None) if isinstance(first, ast.Expr) else None
            if isinstance(getattr(value, "value", None), str):
                docs |= set(range(first.lineno, first.end_lineno + 1))
    code = set()
    idle = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in idle | {tokenize.ENDMARKER}:
            code |= set(range(token.start[0], token.end[0] + 1))
    return code - docs


def comments(path: Path) -> int:
    """Count the lines of code with a comment of their own or beside them."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return len(
        {
            t.start[0]
            for t in tokens
            if t.type == tokenize.COMMENT and "type: ignore" not in t.string
        }
    )


def kind_checks() -> dict[str, int]:
    """Count, for each file, the calls of isinstance on kinds of neighborhoods."""
    out = {}
    for path in files():
        calls = [
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and getattr(node.func, "id", None) == "isinstance"
            and {getattr(n, "id", getattr(n, "attr", None)) for n in ast.walk(node.args[1])} & KINDS
        ]
        if calls:
            out[module_of(path)] = len(calls)
    return out


def readme_path() -> tuple[set[str], set[str]]:
    """Give the files and functions that run in a split and a merge with a Hann window."""
    import numpy as np
    import xarray as xr

    field = xr.DataArray(
        np.ones((64, 64), "f4"), {"y": np.arange(64.0), "x": np.arange(64.0)}, ("y", "x")
    )

    def job() -> None:
        patches = field.patch.split(geometry={"y": 16, "x": 16}, sampler=xpatch.RegularStride(8))
        patches.patch.merge(xpatch.OverlapAdd("hann"))

    job()  # what is imported, or computed once, is not on the path
    seen: set[tuple[str, str]] = set()

    def watch(frame: object, event: str, _: object) -> None:
        code = frame.f_code  # type: ignore[attr-defined]
        if event == "call" and code.co_filename.startswith(str(ROOT)) and code.co_name[0] != "<":
            seen.add((code.co_filename, code.co_qualname))

    sys.setprofile(watch)
    try:
        job()
    finally:
        sys.setprofile(None)
    return {file for file, _ in seen}, {f"{file}:{name}" for file, name in seen}


def figures() -> Iterator[tuple[str, object]]:
    """Give what the house is measured by."""
    arrows = graph()
    lines = {p: len(p.read_text().splitlines()) for p in files()}
    code = {p: len(code_lines(p)) for p in files()}
    checks = kind_checks()
    paths, functions = readme_path()
    largest = max(lines, key=lines.__getitem__)
    yield "lines of code", sum(code.values())
    yield "files", len(lines)
    yield "circles of imports", len(circles(arrows))
    yield "upward imports", len(upward(arrows))
    yield "modules at the top", len([p for p in lines if p.parent == ROOT])
    yield "largest file", f"{lines[largest]} ({module_of(largest)})"
    yield "isinstance on kinds of neighborhoods", f"{sum(checks.values())} in {len(checks)}"
    yield "files, functions of split and merge with Hann", f"{len(paths)}, {len(functions)}"
    yield "comments", f"{sum(map(comments, files())) / sum(code.values()):.1%}"


if __name__ == "__main__":
    for name, value in figures():
        print(f"{name:>50}  {value}")
