"""What importing xpatch costs, and that imports point one way.

``python -m tests.house`` prints the figures that these tests bound.
"""

from __future__ import annotations

import subprocess
import sys

import xpatch
from tests import house

OPTIONAL = ["rioxarray", "xvec", "geopandas", "shapely", "uxarray", "matplotlib", "pyproj", "flox"]
OPTIONAL += ["duckdb", "rasterio"]
LEFT = """
"""  # imports that still point up; none comes to them


def test_imports_are_found_wherever_they_stand(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "from xpatch import sphere\n"
        "if TYPE_CHECKING:\n    from xpatch.domain import places\n"
        "def f():\n    from xpatch.engine.lazy import lazily\n    import_module('xpatch.spec')\n"
    )
    known = {"xpatch.sphere", "xpatch.domain.places", "xpatch.engine.lazy", "xpatch.spec"}
    root, house.ROOT = house.ROOT, tmp_path
    try:
        assert house.imports_of(file, known) == known
    finally:
        house.ROOT = root


def test_circles_are_found():
    assert house.circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_no_import_circle():
    assert not house.circles(house.graph())


def test_imports_point_down():
    left = {tuple(line.split()) for line in LEFT.split("\n") if line}
    found = set(house.upward(house.graph()))
    assert not found - left
    assert not left - found, "strike them from the list"


def test_no_optional_package_is_imported():
    code = f"import sys, xpatch; print([m for m in {OPTIONAL} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_verbs_are_imported_when_they_are_called():
    verbs = ["patches.split", "patches.merge", "patches.provenance", "models.merge", "models.scan"]
    verbs += ["run.application", "run.batches", "multiscale", "plot.plot"]
    late = [f"xpatch.{verb}" for verb in verbs] + ["dask.array", "scipy.sparse", "scipy.spatial"]
    code = f"import sys, xpatch; print([m for m in {late} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_files_hold_one_idea():
    lengths = {house.module_of(p): len(p.read_text().splitlines()) for p in house.files()}
    long = {module for module, lines in lengths.items() if lines > 400}
    assert not long, sorted(long)


def test_every_public_name_is_documented():
    for name in xpatch.__all__:
        assert (getattr(xpatch, name).__doc__ or "").strip(), name
