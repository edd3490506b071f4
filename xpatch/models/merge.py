"""Merges that are more than one: after a model, of time and space in turn, to a cube, of several fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr
from xarray.indexes import PandasIndex

from xpatch.aggregation import OverlapAdd, as_aggregation
from xpatch.domain import domain_of
from xpatch.models.cube import check_same_times, forecast_cube
from xpatch.models.horizon import ahead, forecasts
from xpatch.models.scan import scanned
from xpatch.models.spacetime import Merger, merge_in_turn
from xpatch.patches.arguments import Options, factors
from xpatch.patches.fields import by_field
from xpatch.patches.index import PatchIndex, as_given, whole_of, with_index
from xpatch.patches.merge import Merge, resolved
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance, check_like, of_index
from xpatch.patches.record import run
from xpatch.patches.samples import completed
from xpatch.patches.sides import is_both
from xpatch.patches.times import times_of
from xpatch.time.aggregation import TemporalMean

MergeField = Callable[[Any, Provenance, Any, Options], Any]  # merges the patches of one field
PREPROCESS: dict[str, Callable[..., Any]] = {"horizon": forecasts, "scan": scanned}


def preprocessed(
    patches: Any, source: Provenance, how: Any, scale: Any, present: Any = None
) -> tuple[Any, Provenance, Any]:
    """Do to patches what their aggregation asks for first: give them, who and which are present then."""
    if how.preprocess is None:
        return patches, source, present
    check_steps(how, source, scale)
    return PREPROCESS[how.preprocess](patches, source, how, present)


def check_steps(aggregation: Any, source: Provenance, scale: Any) -> None:
    """Raise a ValueError if patches have finer steps than the field, by whose steps an aggregation goes."""
    timed = source.plans[0].hood.time_dims
    if isinstance(scale, Mapping) and set(scale) & set(timed):
        raise ValueError(
            f"{aggregation!r} goes by the steps of the field, and scale={dict(scale)!r} says that "
            "the patches have finer ones; take patches.patch.horizon before the model refines "
            "it, and merge with 'last' or TemporalMean()"
        )


# -------------------------------------------------------------------------- time and space


def merge_both(patches: Any, source: Provenance, aggregations: Any, options: Options) -> Any:
    """Merge time first within each place, and then space.

    Raises
    ------
    ValueError
        If the patches were not cut in both, or there are not two aggregations.
    """
    spatial, temporal = _pair(aggregations, source)
    first = Merge(patches, source, TemporalMean(), options)
    if temporal.preprocess == "cube":
        return as_cube(patches, source, spatial, options, first.crop)
    _check_missing(options)
    if temporal.preprocess == "scan":
        patches, _, _ = scanned(patches, source, temporal)
        temporal = TemporalMean()
    found = merge_in_turn(
        whole_of(patches),
        _on(source, options.like),
        first.crop,
        _merger(temporal, dataclasses.replace(options, fill_value=None), first.plan, "time"),
        _merger(spatial, dataclasses.replace(options, fill_value=None), first.plan, "space"),
    )
    return _back(patches, found, first)


def _pair(aggregations: Any, source: Provenance) -> list[Any]:
    """Give the aggregations over space and over time."""
    if len(aggregations) != 2:
        raise ValueError(
            f"merge takes one aggregation, or two of them, (spatial, temporal), got {aggregations!r}"
        )
    given = spatial, temporal = [as_aggregation(a) for a in aggregations]
    if spatial.preprocess is not None:
        raise ValueError(
            f"merge takes (spatial, temporal), in this order, and got {spatial!r}, which is over time, "
            f"first: merge(({temporal!r}, {spatial!r}))"
        )
    if not is_both(source.plans[0]):
        raise ValueError(
            "merge((spatial, temporal)) is for patches of a SpatioTemporalPatcher; these were cut along "
            f"{list(source.plans[0].dims)} only: merge({spatial!r})"
        )
    return given


def _check_missing(options: Options) -> None:
    """Raise a ValueError if missing values have to be told from what is not covered in time."""
    fill_value = options.fill_value
    if fill_value is not None and fill_value == fill_value:
        raise ValueError(
            f"merge((spatial, temporal)) leaves what is not covered missing, so that fill_value="
            f"{fill_value!r} cannot be told from data in between; fill it afterwards, merged.fillna(…)"
        )
    if options.skipna is False:
        raise ValueError(
            "merge((spatial, temporal)) leaves out what a place does not cover in time, which skipna="
            "False cannot tell from missing data; merge at once, or mark them yourself"
        )


def _on(source: Provenance, like: Any) -> Provenance:
    """Put patches on the field that is given."""
    if like is None:
        return source
    plan, domain = source.plans[0], domain_of(like)
    check_like(plan, domain)
    plans = (dataclasses.replace(plan, domain=domain), *source.plans[1:])
    return dataclasses.replace(source, plans=plans)


def _merger(aggregation: Any, options: Options, plan: Plan, over: str) -> Merger:
    """Give a merge over time, or over space."""
    timed = {d for d in plan.dims if d == plan.time_dim}
    scale = {
        d: f for d, f in factors(options.scale, plan).items() if (d in timed) == (over == "time")
    }
    own = dataclasses.replace(options, like=None, scale=scale)

    def merged(patches: xr.Dataset) -> xr.Dataset:
        part, source, _ = preprocessed(patches, of_index(patches), aggregation, own.scale)
        return run(Merge(part, source, aggregation, own, cut=plan.dims))

    return merged


def _back(patches: Any, found: xr.Dataset, merge: Merge) -> Any:
    """Give the result the type and the order of dims of the field."""
    merged = as_given(found, patches)
    order = merge.domain.dims
    return merge.domain.wrap(merged.transpose(*(d for d in order if d in merged.dims), ...))


# ------------------------------------------------------------------------------------ cube


def merge_cube(patches: Any, source: Provenance, how: Any, options: Options) -> Any:
    """Give forecasts as a cube, each as it was made."""
    check_steps(how, source, options.scale)
    crop = Merge(*ahead(patches, source), how, options).crop
    return as_cube(patches, source, OverlapAdd(), options, crop)


def as_cube(
    patches: Any, source: Provenance, spatial: Any, options: Options, crop: Mapping[Any, Any]
) -> Any:
    """Give forecasts as a cube, merged in space where they were cut there as well."""
    source = _on(source, options.like)
    if options.like is not None:
        own = PatchIndex(PandasIndex(source.ordinals, source.dim), source.plans, source.crop)
        patches = with_index(patches, own)
    plan = source.plans[0]
    in_space = _merger(spatial, options, plan, "space")
    _, times = times_of(patches, source)
    part, there = ahead(patches, source)
    return plan.domain.wrap(forecast_cube(part, there, times, crop, in_space, options.skipna))


# -------------------------------------------------------------------------- several fields


def merge_each(
    patches: xr.Dataset,
    source: Provenance,
    aggregation: Any,
    options: Options,
    merge_field: MergeField,
) -> xr.Dataset:
    """Merge a Dataset of patches of several fields at the same anchors, each on its own field."""
    if isinstance(aggregation, tuple | list):
        raise ValueError(
            "these are patches of several fields; merge((spatial, temporal)) takes those of one: "
            "patches[name].patch.merge((spatial, temporal))"
        )
    asked = dataclasses.replace(options, like=None)  # by which each variable finds its field
    parts: list[xr.Dataset] = []
    cubes: list[xr.Dataset] = []
    for plan, part in by_field(patches, source.plans, options.like).items():
        own = dataclasses.replace(source, plans=(plan,))
        how = resolved(aggregation, own)
        (cubes if how.preprocess == "cube" else parts).append(merge_field(part, own, how, asked))
    check_same_times(cubes)
    merged = xr.merge([*parts, *cubes], combine_attrs="override", compat="override", join="outer")
    for plan in source.plans:
        merged = plan.domain.wrap(merged)
    return completed(merged, patches, source.plans)
