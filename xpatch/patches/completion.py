"""What of the accessor applies to an object: what tab completion shows. All else is there, and says why not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import PointDomain, VectorDomain, domain_of
from xpatch.engine.slices import Slices
from xpatch.geometry import KNNGraph, RadiusGraph, SphericalCap
from xpatch.patches.index import RECIPE, PatchIndex, patch_index
from xpatch.patches.names import is_lead
from xpatch.patches.plan import Plan
from xpatch.spec import kind_of

__all__ = ["names_for"]

FIELD = {"split", "apply", "domain", "area"}
PARAMETERS = {
    "merge",
    "pool",
    "predict",
    "anchors",
    "places",
    "footprints",
    "spec",
    "domain",
    "plot",
}
SEVERAL = {
    "anchors",
    "places",
    "weights",
    "mask",
    "offsets",
    "edges",
    "coverage",
    "spec",
    "domain",
    "merge",
    "merger",
    "plot",
}
WINDOWS = {"lookback", "horizon"}
LISTS = {"distance", "geometries"}
BOXES = {"crop", "slices"}
PLACED = {"places", "offsets", "footprints", "geometries", "plot"}
IN_SPACE = {"footprints", "slices", "edges"}


def names_for(obj: xr.DataArray | xr.Dataset, every: Iterable[str]) -> set[str]:
    """Give those of ``every`` public name that apply to a field, to patches, or to parameters.

    Nothing is read but the names, attributes and plans of what ``obj`` is.
    """
    names = set(every)
    index = patch_index(obj)
    if isinstance(obj, xr.DataArray) and "flattened" in obj.attrs:
        return names & {"unflatten"}
    written = [c for c in obj.coords.values() if RECIPE in c.attrs]
    if index is None and not written:
        return names & (FIELD - _without_areas(obj))
    if isinstance(obj, xr.Dataset) and _are_parameters(obj):
        return names & (PARAMETERS if "cov" in obj.data_vars else PARAMETERS - {"pool"})
    names -= {"pool", "predict", "unflatten", *({"flatten"} if isinstance(obj, xr.Dataset) else ())}
    if index is None:
        timed = any(is_lead(c.variable) for c in obj.coords.values())
        return names - LISTS - BOXES - {"area"} - (set() if timed else WINDOWS)
    if index.mixed:
        return names - SEVERAL - WINDOWS - LISTS
    return names - _beside(index, index.plans[0])


def _without_areas(field: Any) -> set[str]:
    """Give the name of areas where there are none, or nobody can tell: completion never raises."""
    try:
        return set() if domain_of(field).has_areas else {"area"}
    except (ImportError, TypeError, ValueError):
        return {"area"}


def _are_parameters(obj: xr.Dataset) -> bool:
    linear = "coef" in obj.data_vars and "term" in obj["coef"].dims
    return "x" in obj.attrs and (linear or "model" in obj.data_vars)


def _beside(index: PatchIndex, plan: Plan) -> set[str]:
    """Give what is not for patches such as these."""
    lists = [m for m in plan.lists if not m.timed]
    out = {name for name, there in _windows(index, plan).items() if not there}
    out |= _without_areas(plan.domain)
    out |= {"coverage"} if plan.hood.coarse else set()
    if set(plan.hood.time_dims) == set(plan.dims):
        out |= IN_SPACE | LISTS | {"to_features"} | ({"places"} if plan.lists else set())
    if not lists or plan.places is None:
        out |= LISTS
    elif any(m.distances is None for m in lists):
        out |= {"distance"}
    if lists or plan.domain.element_dims or plan.domain.curved:
        out |= {"to_features", "slices"}
    return out | (BOXES if plan.lists else set()) | _without_places(plan)


def _without_places(plan: Plan) -> set[str]:
    """Give what asks where cells or elements are, or who their neighbors are, where nothing says it."""
    domain, lists = plan.domain, [m for m in plan.lists if not m.timed]
    if domain.element_dims:
        geometry = kind_of(plan.spec.get("geometry"))
        linked = issubclass(geometry, KNNGraph | RadiusGraph | SphericalCap)
        scattered = isinstance(domain, PointDomain | VectorDomain)
        return {"edges"} if lists and scattered and not linked else set()
    if domain.curved or domain.rotated is not None:
        return {"slices"}
    labels = [domain.coordinate(d) for d in domain.spatial_dims]
    if all(v is not None and v.dtype.kind in "iuf" for v in labels):
        return set()
    return {"slices", *(PLACED if lists else ())}


def _windows(index: PatchIndex, plan: Plan) -> dict[str, bool]:
    """Say whether windows have a past and a future."""
    part = plan.hood.in_time
    if part is None:
        return dict.fromkeys(WINDOWS, False)
    if plan.hood.coarse:  # scales end with their anchor
        return {"lookback": True, "horizon": False}
    begin = plan.first_future
    if isinstance(part, Slices):
        low, high = index.crop.get(part.dim, (0, 0))
        return _sides(part.lead[low : part.size - high], begin)
    halves = part.halves_at(begin)
    if halves is not None:
        return dict(zip(("lookback", "horizon"), (n > 0 for n, _ in halves), strict=True))
    return _sides(part.leads, begin)


def _sides(leads: NDArray[Any], begin: int) -> dict[str, bool]:
    return {"lookback": bool((leads < begin).any()), "horizon": bool((leads >= begin).any())}
