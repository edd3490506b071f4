"""What is published: one version everywhere, extras that exist, and a wheel of the package alone."""

import itertools
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import xpatch

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_one():
    assert PROJECT["version"] == xpatch.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == xpatch.__version__
    assert citation["license"] == PROJECT["license"]
    assert f"## [{xpatch.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_has_what_the_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert all(
        "name" in a or {"given-names", "family-names"} <= set(a) for a in citation["authors"]
    )


@pytest.mark.parametrize("page", ["README.md", *(ROOT / "docs").glob("**/*.md")])
def test_extras_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    named = re.findall(r"(?:xarray-patch|\s'?\.|\.whl\)?)\[([a-z,]+)\]", text)
    assert {extra for group in named for extra in group.split(",")} <= set(
        PROJECT["optional-dependencies"]
    )


def test_extras_ask_for_themselves_by_their_own_name():
    extras = PROJECT["optional-dependencies"]
    for requirements in extras.values():
        for requirement in requirements:
            if requirement.startswith(PROJECT["name"]):
                own = re.fullmatch(r"xarray-patch\[([a-z,]+)\]", requirement)
                assert own, requirement
                assert set(own[1].split(",")) <= set(extras)


def test_every_requirement_has_a_floor():
    every = [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]
    for requirement in every:
        assert requirement.startswith("xarray-patch[") or ">=" in requirement, requirement


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = f"import hatchling.build as b; print(b.build_wheel({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_the_package_alone(wheel):
    names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"xpatch", f"xarray_patch-{xpatch.__version__}.dist-info"}
    assert "xpatch/py.typed" in names
    source = {str(p.relative_to(ROOT)) for p in (ROOT / "xpatch").rglob("*.py")}
    assert source <= set(names)


def test_the_wheel_says_what_it_is(wheel):
    info = f"xarray_patch-{xpatch.__version__}.dist-info"
    text = wheel.read(f"{info}/METADATA").decode()
    assert "Name: xarray-patch\n" in text
    assert "License-Expression: MIT\n" in text
    assert "Requires-Python: >=3.11\n" in text
    assert "Description-Content-Type: text/markdown\n" in text
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
