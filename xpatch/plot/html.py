"""Cards: what ``patches.patch`` shows in a notebook. No value of a field is read for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from xpatch.domain import Lattice, domain_of
from xpatch.neighborhood import Members
from xpatch.patches.encoding import RECIPE, recipes_in
from xpatch.patches.index import PatchIndex, patch_index, splits_of
from xpatch.patches.plan import Plan
from xpatch.patches.scene import scene_rows
from xpatch.plot.boxes import is_rotated
from xpatch.plot.held import held_by
from xpatch.plot.thumbnail import thumbnail
from xpatch.spec import decode

LONGEST = 160  # characters of a text
AXES = ("geometry", "sampler", "window", "aggregation")
STYLE = (
    ".xpatch-card{display:flex;flex-wrap:wrap;gap:0 1.2em;align-items:flex-start;"
    "color:var(--xr-font-color0,currentColor);font-size:13px;line-height:1.45;padding:4px 0}"
    ".xpatch-card b{font-weight:600}.xpatch-card table{border:0;margin:2px 0;border-collapse:collapse}"
    ".xpatch-card tr,.xpatch-card td,.xpatch-card th{background:none!important;border:0;padding:0 .8em 0 0;"
    "text-align:left;vertical-align:top;color:inherit;font-size:13px;font-weight:400}"
    ".xpatch-card th{opacity:.62}.xpatch-card code{font-size:12px;background:none;color:inherit;white-space:pre-wrap}"
    ".xpatch-card figure{margin:2px 0}.xpatch-card figcaption{opacity:.62;font-size:11px}"
    ".xpatch-card img,.xpatch-card svg{display:block;border:1px solid;border-color:rgba(128,128,128,.5)}"
    ".xpatch-card img{image-rendering:pixelated}"
)

Row = tuple[str, str]


def card(obj: Any) -> str:
    """Give the card of patches, or of a field that could be split, as HTML.

    What cannot be told, such as of patches that lost their index, is left out.
    """
    try:
        return _card(obj)
    except Exception as error:  # a notebook shows a traceback in place of the object
        return framed("patches" if splits_of(obj) else "a field", [("not told", str(error))])


def _card(obj: Any) -> str:
    index = patch_index(obj)
    if index is not None and index.plans:
        return _of_patches(obj, index)
    groups = scene_rows(obj)
    if groups is not None:
        return _of_scenes(obj, *groups)
    if index is not None:
        said = (
            "they were put together and make no one field; merge those of each split on their own"
        )
        return framed(f"{obj.sizes[index.dim]:,} patches of different splits", [("merge", said)])
    if splits_of(obj):
        return _of_recipe(obj, splits_of(obj)[-1])
    lost = [d for d, c in obj.coords.items() if d in c.dims and c.ndim == 2]
    return _of_labels(obj, lost) if lost else _of_field(obj)


def framed(title: str, rows: list[Row], picture: str = "") -> str:
    """Give a card as HTML, of which each text is escaped."""
    lines = "".join(f"<tr><th>{escape(a)}</th><td>{_cell(b)}</td></tr>" for a, b in rows)
    body = f"<div><b>{_cell(title)}</b><table><tbody>{lines}</tbody></table></div>"
    return f'<div class="xpatch-card"><style>{STYLE}</style>{body}{picture}</div>'


def _cell(text: str) -> str:
    own = escape(short(text.removeprefix("`")))
    return f"<code>{own}</code>" if text.startswith("`") else own


def short(text: str) -> str:
    """Leave out the middle of a long text."""
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"


# -------------------------------------------------------------------------------------- patches


def _of_patches(obj: Any, index: PatchIndex) -> str:
    plan, n = index.plans[0], len(index.ordinals)
    held = held_by(plan, index)
    rows = [*axes_of(plan.spec), ("domain", _kind(plan.domain)), *_crs(plan.domain)]
    rows += [(f"coverage{h.where}", h.told) for h in held]
    rows += _slots(plan, index)
    many = f"{n:,}" if n == len(plan) else f"{n:,} of {len(plan):,}"
    title = f"{many} patch{'' if n == 1 else 'es'}{_sizes(plan, index)}"
    return framed(title, rows, thumbnail(plan, index, held))


def _sizes(plan: Plan, index: PatchIndex) -> str:
    cut = {d: sum(index.crop.get(d, (0, 0))) for d in plan.inner}
    ragged = {d for p in plan.hood.parts if p.ragged for d in p.inner}
    found = [f"{d}: {'≤ ' if d in ragged else ''}{n - cut[d]:,}" for d, n in plan.inner.items()]
    return f" of {', '.join(found)}" if found else ""


def axes_of(spec: Mapping[str, Any], side: str = "") -> Iterator[Row]:
    """Say what each axis of a patcher is."""
    for part in ("spatial", "temporal"):
        if spec.get(part) is not None:
            yield from axes_of(spec[part], f", {part}")
    for name in AXES:
        if spec.get(name) is not None:
            yield f"{name}{side}", f"`{_written(spec[name])}"
    if spec.get("coupling") is not None:
        yield "coupling", str(spec["coupling"])


def _written(spec: Any) -> str:
    """Write a specification as it is typed; of a long one only the class."""
    if not isinstance(spec, Mapping):
        return str(spec)
    name = str(spec.get("class"))
    if any(isinstance(v, list | tuple) and len(v) > 20 for v in spec.values()):
        return f"{name}(…)"
    try:
        return repr(decode(spec))
    except (TypeError, ValueError, KeyError):  # a class that is not defined here
        return name


def _kind(domain: Lattice) -> str:
    """Say what a field lies on, in words, and how large it is."""
    sizes = ", ".join(f"{d}: {n:,}" for d, n in domain.sizes.items())
    return f"{kind_of(domain)} ({sizes})"


def kind_of(domain: Lattice) -> str:
    """Name a domain in words."""
    kind = type(domain).__name__.removesuffix("Domain").lower()
    words = {"mesh": "unstructured mesh", "vector": "geometries", "point": "points"}
    words |= {"dggs": "cells of a discrete global grid"}
    if kind != "grid":
        return words.get(kind, kind)
    if is_rotated(domain):
        return "rotated latitude–longitude grid"
    if domain.curvilinear:
        cube = set(domain.latlon[0].dims) - set(domain.spatial_dims)
        return "cubed sphere" if cube else "curvilinear grid"
    roles = {domain.roles.get(d) for d in domain.spatial_dims}
    if {"longitude", "latitude"} <= roles:
        return "latitude–longitude grid"
    return "grid" if any(domain.coordinate(d) is not None for d in domain.dims) else "array"


def _crs(domain: Lattice) -> list[Row]:
    if domain._crs is None:
        return []
    return [("CRS", domain._crs_line().strip().removeprefix("crs: "))]


def _slots(plan: Plan, index: PatchIndex) -> list[Row]:
    """Say how many slots are empty, which hold NaN."""
    out = []
    for part in (p for p in plan.hood.parts if p.ragged and len(index.ordinals)):
        counts = part.counts[plan.hood.of_part(part, index.ordinals)]
        slots = part.width * len(counts)
        told = f"{counts.min():,} to {counts.max():,} a patch; {slots - counts.sum():,} of {slots:,} slots are empty (NaN)"
        what = "steps" if part.timed else "members" if isinstance(part, Members) else "cells"
        out.append((f"{what} along {next(iter(part.inner))}", told))
    return out


def _of_scenes(obj: Any, dim: Any, scenes: list[tuple[Any, Any]]) -> str:
    """Give the card of patches of several scenes: each with how many there are."""
    rows = [(str(name), f"{len(which):,} patches") for name, which in scenes[:8]]
    rows += [("…", f"{len(scenes) - 8:,} more")] if len(scenes) > 8 else []
    rows.append(("one of them", f"`patches.isel({dim}=(patches['scene'] == {scenes[0][0]!r}))"))
    return framed(f"{obj.sizes.get(dim, 1):,} patches of {len(scenes):,} scenes", rows)


def _of_recipe(obj: Any, dim: Any) -> str:
    """Give the card of patches that know no more than their recipe, as those of a file."""
    recipe = next(iter(recipes_in(obj.coords[dim].attrs.get(RECIPE))), {})
    sizes = ", ".join(f"{d}: {n:,}" for d, n in obj.sizes.items() if d != dim)
    rows = [*axes_of(recipe)]
    if recipe.get("dims") and recipe.get("shape"):
        cells = zip(recipe["dims"], recipe["shape"], strict=False)
        rows.append(("cut from", ", ".join(f"{d}: {n:,}" for d, n in cells)))
    rows.append(("known", "by the recipe in the attributes of the coordinate, which merge reads"))
    return framed(f"{obj.coords[dim].size:,} patches of {sizes}", rows)


def _of_labels(obj: Any, dims: list[Any]) -> str:
    """Give the card of what has labels of its own in each patch, and nothing that says of what."""
    sizes = ", ".join(f"{d}: {n:,}" for d, n in obj.sizes.items())
    told = f"labels along {', '.join(map(str, dims))} are those of patches, whose index was lost"
    rows = [("sizes", sizes), ("known", told), ("to merge", "`patches.patch.merge(like=field)")]
    return framed("patches without an index", rows)


# ---------------------------------------------------------------------------------------- field


def _of_field(obj: Any) -> str:
    domain = domain_of(obj)
    rows = [("domain", _kind(domain)), *_crs(domain), *_findings(domain)]
    rows += [("to split it", f"`{example(domain)}"), ("and back", "`patches.patch.merge()")]
    return framed("a field, not patches", rows)


def _findings(domain: Lattice) -> list[Row]:
    """Give what the domain says of itself, unless positions would be read for it."""
    names = domain.curvilinear
    if any(not domain.located.coords[n].variable._in_memory for n in names):
        return [("positions", f"{', '.join(map(str, names))}, not in memory")]
    lines = [line.strip().split(": ", 1) for line in repr(domain).splitlines()[1:]]
    return [(a, b) for a, b, *_ in (line for line in lines if len(line) == 2) if a != "crs"]


def example(domain: Lattice) -> str:
    """Give a call that splits such a field."""
    dims = domain.spatial_dims
    if domain.element_dims:
        many = min(8, domain.sizes[dims[0]])
        along = f", dim={dims[0]!r}" if len(domain.element_dims) > 1 else ""
        return f"field.patch.split(geometry=xpatch.KNNGraph({many}{along}))"
    timed = [d for d in domain.dims if domain.roles.get(d) == "T"]
    if not dims and timed:
        many = min(30, domain.sizes[timed[0]])
        return f"field.patch.split(xpatch.TimePatcher(xpatch.FixedLookback({many})))"
    sizes = {d: min(64, max(1, domain.sizes[d] // 4)) for d in dims or domain.dims[-2:]}
    return f"field.patch.split(geometry={sizes!r})"


# ------------------------------------------------------------------------------ trees and tables


def card_of_lines(text: str) -> str:
    """Give the card of what a text says line by line: patches of several scales, a table of files."""
    first, *lines = text.replace("<", "").replace(">", "").splitlines()
    rows = [line.strip().partition(": ") for line in lines]
    return framed(first, [(a, b) for a, _, b in rows])
