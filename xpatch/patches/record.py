"""How merged arrays were made: a note beside the graph, by which `write` tells one run from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.patches.index import whole_of
from xpatch.patches.plan import Plan
from xpatch.spec import encode

__all__ = ["Made", "differences", "made_of", "run"]

NOTE = "xpatch_made"  # attribute of a layer of a graph
PARTS = ("geometry", "sampler", "window", "aggregation", "spatial", "temporal", "coupling")


class Made:
    """How one array was merged; looked at only where it is written, and left out of pickles.

    Parameters
    ----------
    plan : Plan
        What was merged.
    ordinals : int64 array
        Which patches of it.
    options : mapping
        The aggregation and the other arguments of merge.
    """

    def __init__(self, plan: Plan, ordinals: NDArray[np.int64], options: Mapping[str, Any]):
        self.plan, self.ordinals, self.options = plan, ordinals, options

    def words(self) -> dict[str, str]:
        """Give the geometry, the sampler, the aggregation and the rest in words."""
        plan = self.plan
        said = {**dict(_flat(plan.spec)), "anchors": plan.anchor_id}
        if len(self.ordinals) != len(plan):
            some = np.ascontiguousarray(np.sort(self.ordinals)).tobytes()
            said["patches"] = f"{len(self.ordinals)}, {hashlib.sha1(some).hexdigest()}"
        said |= {name: _words(encode(v)) for name, v in self.options.items() if v is not None}
        return said

    def __reduce__(self) -> Any:
        return type(None), ()


def _flat(spec: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Say each axis of a split; anchors stand for themselves, and are too long for words."""
    for name in PARTS:
        value = spec.get(name)
        if value is None:
            continue
        if name in ("spatial", "temporal"):
            yield from _flat(value, f"{name} ")
            continue
        if name == "sampler" and "anchors" in value:
            value = {"class": value["class"]}
        yield f"{prefix}{name}", _words(value)


def _words(value: Any) -> str:
    """Write an encoded specification as it may have been given."""
    if isinstance(value, Mapping):
        if value.get("class") == "DimMap":
            return "{" + ", ".join(f"{k}: {_words(v)}" for k, v in value["items"]) + "}"
        own = {k: v for k, v in value.items() if k != "class" and v is not None}
        inner = ", ".join(f"{k}={_words(v)}" for k, v in own.items())
        return f"{value.get('class', '')}({inner})"
    if isinstance(value, list):
        return f"[{', '.join(map(_words, value))}]"
    return str(value)


def remember(array: Any, made: Made) -> None:
    """Note beside the graph of a dask array how it was made."""
    layer = getattr(array.dask, "layers", {}).get(array.name)
    if layer is not None:
        setattr(layer, NOTE, made)


def run(merge: Any) -> Any:
    """Run a merge, and note beside the arrays that it gives how they were made."""
    merged = merge.run()
    fill = None if merge.fill_value is None else str(merge.fill_value)
    options = {"aggregation": merge.aggregation, "skipna": merge.skipna, "fill_value": fill}
    made = Made(merge.plan, merge.source.ordinals, options | {"scale": merge.scale or None})
    for variable in whole_of(merged).data_vars.values():
        if variable.chunks is not None and set(variable.dims) & set(merge.plan.dims):
            remember(variable.data, made)
    return merged


def made_of(array: Any) -> list[dict[str, str]]:
    """Give how all that a dask array is computed from was merged, as far as that is known."""
    layers = getattr(array.__dask_graph__(), "layers", {}).values()
    notes = (getattr(layer, NOTE, None) for layer in layers)
    found = {json.dumps(note.words(), sort_keys=True) for note in notes if note is not None}
    return [json.loads(words) for words in sorted(found)]


def differences(
    there: Mapping[Hashable, list[dict[str, str]]], here: Mapping[Hashable, list[dict[str, str]]]
) -> list[str]:
    """Say in what two fields were made differently, where it is known of both."""
    found = []
    for name in [n for n in there if n in here and there[n] != here[n]]:
        if len(there[name]) != len(here[name]):
            counts = len(there[name]), len(here[name])
            found.append(f"{name!r} was merged {counts[0]} times there, {counts[1]} times here")
            continue
        for old, new in zip(there[name], here[name], strict=True):
            parts = [p for p in {**old, **new} if old.get(p) != new.get(p)]
            if parts == ["anchors"]:
                found.append("other places of the anchors")
            words = [p for p in parts if p != "anchors"]  # which follow from the rest
            found += [f"{p} {old.get(p)} there, {new.get(p)} here" for p in words]
    return list(dict.fromkeys(found))
