"""What a recipe may hold: one line for each key. What breaks a rule is damage."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from xpatch.aggregation import Aggregation
from xpatch.geometry.base import Geometry
from xpatch.patches.encoding import lattice_print
from xpatch.sampler.base import Sampler
from xpatch.spec import classes
from xpatch.time.geometry import TimeGeometry
from xpatch.time.sampler import TimeSampler
from xpatch.window import Window

MOST_TEXT = 1 << 27  # characters of a recipe
MOST_CELLS = 1 << 62  # of a field
MOST_LABELS = 1 << 31  # along one dimension
FEW_LISTED = 1 << 24  # of which there may be a few
MOST_LISTED = 1 << 27  # patches that are no outer product: each has an entry in memory
PADS = {"constant", "edge", "linear_ramp", "maximum", "mean", "median", "minimum", "reflect"}
PADS |= {"symmetric", "wrap"}
DTYPE = re.compile(r"[<>|]([iufb](1|2|4|8|16)|U\d{1,6}|[mM]8(\[\d{0,6}[a-zA-Zμ]{1,7}\])?)")
CALENDARS = {"standard", "gregorian", "proleptic_gregorian", "noleap", "365_day", "360_day"}
CALENDARS |= {"julian", "all_leap", "366_day"}
CLOCK = 1 << 63

Rule = Callable[[Any], bool]


class DamagedRecipe(ValueError):
    """A recipe that cannot be read."""


def whole(low: int = 0, high: int = MOST_CELLS) -> Rule:
    """Give the rule of an int from ``low`` to ``high``."""
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high


def text(v: Any) -> bool:
    """Whether it is a name."""
    return isinstance(v, str) and len(v) <= 10_000


def yes_or_no(v: Any) -> bool:
    """Whether it is a bool."""
    return isinstance(v, bool)


def number(v: Any) -> bool:
    """Whether it is a number, in the bounds of those of 64 bits."""
    return isinstance(v, int | float) and not isinstance(v, bool) and not abs(v) > 1.8e308


def maybe(rule: Rule) -> Rule:
    """Give the rule of something that may be None."""
    return lambda v: v is None or rule(v)


def many(rule: Rule, most: int = 64) -> Rule:
    """Give the rule of a list."""
    return lambda v: isinstance(v, list) and len(v) <= most and all(map(rule, v))


def pairs(first: Rule, second: Rule, most: int = 100_000) -> Rule:
    """Give the rule of a list of pairs."""
    return many(
        lambda v: isinstance(v, list) and len(v) == 2 and first(v[0]) and second(v[1]), most
    )


def spec(*bases: type) -> Rule:
    """Give the rule of a specification: of a known class, and of the right kind."""

    def rule(v: Any) -> bool:
        if not isinstance(v, dict):
            return False
        found = classes().get(str(v.get("class")))
        return found is not None and issubclass(found, bases)

    return rule


def packed(v: Any) -> bool:
    """Whether it is a vector of `xpatch.patches.encoding.pack`."""
    if not isinstance(v, dict) or not whole(0, MOST_LABELS)(v.get("n")):
        return False
    if not text(v.get("zone", "")):
        return False
    if "dtype" not in v:
        return set(v) - {"zone"} == {"n"}
    if not isinstance(v["dtype"], str) or not DTYPE.fullmatch(v["dtype"]):
        return False
    if "calendar" in v and (v["calendar"] not in CALENDARS or v["dtype"] != "<i8"):
        return False
    if "zlib" in v:
        return isinstance(v["zlib"], str) and yes_or_no(v.get("object", False))
    ramp = [v.get(k) for k in ("start", "step", "stop")]
    if "f" in v["dtype"]:
        return all(isinstance(x, int | float) and number(x) and math.isfinite(x) for x in ramp)
    fits = all(whole(-CLOCK, CLOCK - 1)(x) for x in ramp)
    return fits and "U" not in v["dtype"] and _ends(v)


def _ends(v: Mapping[str, int]) -> bool:
    """Whether no int of a ramp is out of bounds; its last may be another."""
    return -CLOCK <= v["start"] + v["step"] * v["n"] < CLOCK


def landmarks(v: Any) -> bool:
    """Whether it is a few elements, and coordinates with as many numbers."""
    if not isinstance(v, dict) or not packed(v.get("elements")):
        return False
    own, values = v["elements"], v.get("values")
    if own.get("dtype") != "<i8" or "calendar" in own or not 0 < own["n"] <= 100_000:
        return False
    return many(lambda one: _landmark(one, own["n"]))(values)


def _landmark(v: Any, n: int) -> bool:
    if not isinstance(v, list) or len(v) != 3 or not text(v[0]) or not many(text)(v[1]):
        return False
    return packed(v[2]) and v[2].get("dtype") == "<f8" and v[2]["n"] == n


def spatial(v: Any) -> bool:
    """Whether it is a Patcher, or one in time."""
    return isinstance(v, dict) and all(k not in v or rule(v[k]) for k, rule in AXES.items())


GEOMETRY, SAMPLER = spec(Geometry, TimeGeometry), spec(Sampler, TimeSampler)
AGGREGATION = spec(Aggregation)

AXES: dict[str, Rule] = {  # of a patcher
    "geometry": maybe(GEOMETRY),
    "sampler": maybe(SAMPLER),
    "window": maybe(spec(Window)),
    "aggregation": maybe(lambda v: AGGREGATION(v) or many(AGGREGATION, 2)(v)),
    "spatial": maybe(spatial),
    "temporal": maybe(spatial),
}
NEEDED: dict[str, Rule] = {  # of the patches of one field
    "fingerprint": text,
    "orders": pairs(maybe(text), many(text)),
}
OPTIONAL: dict[str, Rule] = {  # other keys are not looked at
    **AXES,
    "dim": text,
    "coordinates": pairs(text, many(text)),
    "given": maybe(
        lambda v: isinstance(v, str) and re.fullmatch(r"\d{1,18}-[0-9a-f]+", v) is not None
    ),
    "origin": maybe(text),
    "landmarks": landmarks,
    "variable": text,
    "names": lambda v: isinstance(v, dict) and len(v) < 64 and all(map(text, v.values())),
    "closed": lambda v: v == "left",
    "coupling": maybe(lambda v: v in ("product", "coupled")),
    "coarse": lambda v: isinstance(v, dict) and all(map(whole(1, 1 << 31), v.values())),
}
PART: dict[str, Rule] = {  # of each group of dimensions
    "dims": many(text),
    "shape": many(whole()),
    "labels": many(maybe(packed)),
    "count": whole(),
}
BOXES: dict[str, Rule] = {
    "sizes": many(whole(1)),
    "wrap": many(yes_or_no),
    "anchor": many(maybe(whole(-(1 << 40), 1 << 40))),
    "pad_mode": lambda v: isinstance(v, str) and v in PADS,
    "pad_value": maybe(number),
    "starts": maybe(many(packed)),
    "at": maybe(many(text)),
}
LISTS: dict[str, Rule] = {
    "members": text,
    "numbers": maybe(text),
    "at": text,
    "count": whole(0, MOST_LISTED),
}


SOMETIMES: dict[str, Rule] = {
    "runs": yes_or_no,
    "halves": maybe(pairs(whole(), yes_or_no, 2)),
    "filled": many(packed),
}


def check(recipe: Any) -> None:
    """Raise a `DamagedRecipe` unless a recipe can be read: before anything is allocated."""
    if not isinstance(recipe, dict):
        raise DamagedRecipe(f"it is no mapping but {_short(recipe)}")
    _keys(recipe, NEEDED, OPTIONAL)
    parts = recipe.get("parts", [recipe])
    if not isinstance(parts, list) or not 0 < len(parts) <= 64:
        raise DamagedRecipe(f"'parts' is {_short(parts)}")
    for part in parts:
        if not isinstance(part, dict):
            raise DamagedRecipe(f"one of its parts is {_short(part)}")
        _check_part(part)
    known = {d for _, order in recipe["orders"] for d in order}
    lost = [d for part in parts for d in part["dims"] if d not in known]
    if lost or len(set(map(str, (n for n, _ in recipe["orders"])))) < len(recipe["orders"]):
        raise DamagedRecipe(f"'orders' is {_short(recipe['orders'])}")
    every = [d for part in parts for d in part["dims"]]
    if set(recipe.get("coarse", ())) - set(every):
        raise DamagedRecipe(f"'coarse' is {_short(recipe['coarse'])}")
    if len(set(every)) < len(every):
        raise DamagedRecipe(f"its parts share dimensions, {every}")
    counts = {part["count"] for part in parts}
    if len(counts) > 1:
        raise DamagedRecipe(f"its parts have different numbers of patches, {sorted(counts)}")
    if recipe["fingerprint"].split("-")[0] != lattice_print(recipe):
        raise DamagedRecipe("labels or shape are not those of the field that it is of")
    others = recipe.get("others", [])
    if not isinstance(others, list) or len(others) > 64:
        raise DamagedRecipe(f"'others' is {_short(others)}")


def check_listed(count: int, at_hand: int) -> None:
    """Raise a `DamagedRecipe` if far more patches would be listed than there are."""
    if count > FEW_LISTED and count > 1000 * at_hand:
        raise DamagedRecipe(
            f"the recipe says that split gave {count} patches, of which there are {at_hand}: it is "
            "damaged; merge with like=field"
        )


def _check_part(part: Mapping[str, Any]) -> None:
    own = LISTS if "members" in part else BOXES
    _keys(part, {**PART, **own}, SOMETIMES)
    each = ["dims", "shape", "labels"]
    each += [] if "members" in part else ["sizes", "wrap", "anchor"]
    each += [] if "members" in part else ["at" if part["starts"] is None else "starts"]
    if "members" not in part and part["starts"] is None and part["at"] is None:
        raise DamagedRecipe("it has neither starts nor names of where they are")
    n = len(part["dims"])
    for key in each:
        if len(part[key]) != n:
            raise DamagedRecipe(f"{key!r} has {len(part[key])} entries for {n} dimensions")
    if len(set(part["dims"])) != n or not n:
        raise DamagedRecipe(f"'dims' is {_short(part['dims'])}")
    for d, cells, labels in zip(part["dims"], part["shape"], part["labels"], strict=True):
        if labels is not None and labels["n"] != cells:
            raise DamagedRecipe(f"there are {labels['n']} labels of {cells} cells along {d!r}")
    if math.prod(part["shape"]) > MOST_CELLS:
        raise DamagedRecipe(f"the field has {part['shape']} cells")
    if "members" not in part:
        _check_boxes(part)


def _check_boxes(part: Mapping[str, Any]) -> None:
    starts, count = part["starts"], part["count"]
    filled = part.get("filled", [])
    if filled and (len(filled) != len(part["sizes"]) or any(p["n"] != count for p in filled)):
        raise DamagedRecipe("'filled' has not a number of cells for each patch")
    if any(p.get("dtype") != "<i8" or "calendar" in p for p in filled):
        raise DamagedRecipe("'filled' are no ints")
    for size, cells in zip(part["sizes"], part["shape"], strict=True):
        if size > 16 * cells + 1024:
            raise DamagedRecipe(f"patches of {size} cells do not lie on {cells} cells")
    if starts is None:
        if count > MOST_LISTED:
            raise DamagedRecipe(f"'count' is {count}")
        return
    if any(p.get("dtype") != "<i8" or "calendar" in p for p in starts):
        raise DamagedRecipe("'starts' are no ints")
    if math.prod(p["n"] for p in starts) != count:
        raise DamagedRecipe(f"'count' is {count}, and starts are {[p['n'] for p in starts]}")
    for p, size, cells in zip(starts, part["sizes"], part["shape"], strict=True):
        if p["n"] > size + 2 * cells + 2:
            raise DamagedRecipe(f"there are {p['n']} starts along a dimension of {cells} cells")


def _keys(
    found: Mapping[str, Any], needed: Mapping[str, Rule], optional: Mapping[str, Rule]
) -> None:
    for key, rule in needed.items():
        if key not in found:
            raise DamagedRecipe(f"it has no {key!r}")
        if not _holds(rule, found[key]):
            raise DamagedRecipe(f"{key!r} is {_short(found[key])}{_unknown(found[key])}")
    for key, rule in optional.items():
        if key in found and not _holds(rule, found[key]):
            raise DamagedRecipe(f"{key!r} is {_short(found[key])}{_unknown(found[key])}")


def _unknown(value: Any) -> str:
    """Say if a specification is of a class that nobody has defined here."""
    name = value.get("class") if isinstance(value, dict) else None
    if not isinstance(name, str) or name in classes():
        return ""
    return f", and no specification is called {name!r} here: import the module that defines it"


def _holds(rule: Rule, value: Any) -> bool:
    try:
        return bool(rule(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False


def _short(value: Any) -> str:
    shown = (
        repr(value) if not isinstance(value, dict | list) or len(value) < 20 else f"{value!r:.200}"
    )
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def check_filled(filled: Any, size: int) -> None:
    """Raise a `DamagedRecipe` if boxes hold more cells than there are slots, or none."""
    if len(filled) and not 0 < filled.min() <= filled.max() <= size:
        raise DamagedRecipe(f"patches of {size} slots hold {filled.min()} to {filled.max()} cells")


def check_starts(starts: Any, sizes: Any, shape: Any, wrap: Any) -> None:
    """Raise a `DamagedRecipe` if boxes lie outside of the field."""
    for a, size, n, around in zip(starts, sizes, shape, wrap, strict=True):
        beyond = n + size if around else 0
        if len(a) and (a.min() <= -size - beyond or a.max() >= n + beyond):
            raise DamagedRecipe(f"patches of {size} cells start at {a.min()} to {a.max()}, of {n}")


__all__ = ["DamagedRecipe", "check", "check_filled", "check_starts"]
