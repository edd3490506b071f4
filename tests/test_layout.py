"""What importing xpatch costs, and that imports point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import xpatch

ROOT = Path(xpatch.__file__).parent
OPTIONAL = ["rioxarray", "xvec", "geopandas", "shapely", "uxarray", "matplotlib", "pyproj", "flox"]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Give the modules of xpatch that a file imports when it is imported."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("xpatch.")}
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("xpatch"):
            parts = [f"{node.module}.{name.name}" for name in node.names]
            inner = {p for p in parts if (ROOT.parent / f"{p.replace('.', '/')}.py").exists()}
            found |= inner or {str(node.module)}
    return found


def test_no_import_circle():
    graph = {module_name(p): imported(p) for p in ROOT.rglob("*.py")}

    def walk(module, path):
        assert module not in path, " -> ".join([*path, module])
        for other in graph.get(module, ()):
            walk(other, [*path, module])

    for module in graph:
        walk(module, [])


def test_the_engine_knows_no_coordinates():
    for path in (ROOT / "engine").glob("*.py"):
        allowed = {"xpatch.engine", "xpatch.neighborhood", "xpatch.joint", "xpatch.runs"}
        for module in imported(path):
            assert any(module.startswith(a) for a in allowed), (path.name, module)


def test_no_optional_package_is_imported():
    code = f"import sys, xpatch; print([m for m in {OPTIONAL} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_files_hold_one_idea():
    lengths = {p.name: len(p.read_text().splitlines()) for p in ROOT.rglob("*.py")}
    assert max(lengths.values()) < 450, lengths


def test_every_public_name_is_documented():
    for name in xpatch.__all__:
        assert (getattr(xpatch, name).__doc__ or "").strip(), name
