"""Print the lowest versions that pyproject.toml allows, each as ``name==version``.

    python .ci/floors.py GROUP...

prints those of the dependencies and of the extras GROUP, with the extras that these name. All of
them have a floor, so that what is declared is what is tested.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)(\[(?P<extras>[\w,-]+)\])?(>=(?P<floor>[\w.]+))?$")


def floors(groups: list[str]) -> dict[str, str]:
    """Give the floor of each package that is required directly."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found: dict[str, str] = {}
    todo = [*project["dependencies"], *(r for g in groups for r in extras[g])]
    for requirement in todo:
        match = REQUIREMENT.match(requirement)
        if match and match["name"] == project["name"]:
            todo += [r for g in match["extras"].split(",") for r in extras[g]]
            continue
        if not match or not match["floor"]:
            sys.exit(f"pyproject.toml: {requirement!r} has no floor; write 'name>=version'")
        if found.setdefault(match["name"], match["floor"]) != match["floor"]:
            sys.exit(f"pyproject.toml: {match['name']} has several floors")
    return found


if __name__ == "__main__":
    for name, floor in sorted(floors(sys.argv[1:]).items()):
        print(f"{name}=={floor}")
