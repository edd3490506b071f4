"""The calls of merge: of one field, of several, of time and space in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import xarray as xr
from xarray.indexes import PandasIndex

from xpatch.aggregation import OverlapAdd, as_aggregation
from xpatch.domain import domain_of
from xpatch.joint import time_dims, time_part
from xpatch.models.cube import check_same_times, forecast_cube
from xpatch.models.horizon import forecasts
from xpatch.models.scan import scanned
from xpatch.models.spacetime import Merger, is_both, merge_in_turn
from xpatch.patches import record as made
from xpatch.patches.arguments import factors
from xpatch.patches.fields import by_field
from xpatch.patches.index import PatchIndex, as_given, whole_of, with_index
from xpatch.patches.merge import Merge
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import check_like, provenance
from xpatch.patches.recall import indexed
from xpatch.patches.samples import completed
from xpatch.time.aggregation import TemporalMean


def preprocessed(
    patches: Any, aggregation: Any, like: Any, scale: Any, present: Any = None
) -> tuple[Any, Any]:
    """Do to patches what their aggregation asks for first, and say which of them are present then."""
    patches = indexed(patches, like)
    source = provenance(patches, like)
    default = source.plans[0].aggregation or OverlapAdd()
    how = default if aggregation is None else as_aggregation(aggregation)
    if how.preprocess is None:
        return patches, present
    _check_steps(how, source, scale)
    if how.preprocess == "scan":
        return scanned(patches, source, how, present)
    return forecasts(patches), present


def _check_steps(aggregation: Any, source: Any, scale: Any) -> None:
    """Raise a ValueError if patches have finer steps than the field, by whose steps an aggregation goes."""
    timed = time_dims(time_part(source.plans[0].hood))
    if isinstance(scale, Mapping) and set(scale) & set(timed):
        raise ValueError(
            f"{aggregation!r} goes by the steps of the field, and scale={dict(scale)!r} says that "
            "the patches have finer ones; take patches.patch.horizon before the model refines "
            "it, and merge with 'last' or TemporalMean()"
        )


def merge_one(
    patches: Any, aggregation: Any, like: Any, skipna: Any, fill_value: Any, scale: Any
) -> Any:
    """Merge patches of one field, and give them the type of the field."""
    rest = (like, skipna, fill_value, scale)
    if isinstance(aggregation, tuple | list):
        return merge_both(patches, aggregation, *rest)
    first, _ = preprocessed(patches, aggregation, like, scale)
    merge = Merge(first, aggregation, *rest)
    if merge.aggregation.preprocess == "cube":
        return as_cube(patches, None, merge.crop, *rest)
    return merge.domain.wrap(made.run(merge))


def merge_both(
    patches: Any, aggregations: Any, like: Any, skipna: Any, fill_value: Any, scale: Any
) -> Any:
    """Merge time first within each place, and then space.

    Raises
    ------
    ValueError
        If the patches were not cut in both, or there are not two aggregations.
    """
    if len(aggregations) != 2:
        raise ValueError(
            f"merge takes one aggregation, or two of them, (spatial, temporal), got {aggregations!r}"
        )
    given = spatial, temporal = [as_aggregation(a) for a in aggregations]
    _check_order(spatial, temporal)
    source = provenance(patches, like)
    if not is_both(source.plans[0]):
        raise ValueError(
            "merge((spatial, temporal)) is for patches of a SpatioTemporalPatcher; these were cut along "
            f"{list(source.plans[0].dims)} only: merge({given[0]!r})"
        )
    first = Merge(patches, TemporalMean(), like, skipna, fill_value, scale)
    if temporal.preprocess == "cube":
        return as_cube(patches, spatial, first.crop, like, skipna, fill_value, scale)
    _check_missing(skipna, fill_value)
    if temporal.preprocess == "scan":
        (patches, _), temporal = scanned(patches, source, temporal), TemporalMean()
    found = merge_in_turn(
        whole_of(patches),
        _on(source, like),
        first.crop,
        _merger(temporal, skipna, scale, first.plan, "time"),
        _merger(spatial, skipna, scale, first.plan, "space"),
    )
    return _back(patches, found, first)


def _check_order(spatial: Any, temporal: Any) -> None:
    """Raise a ValueError if the aggregation over time stands first."""
    if spatial.preprocess is not None:
        raise ValueError(
            f"merge takes (spatial, temporal), in this order, and got {spatial!r}, which is over time, "
            f"first: merge(({temporal!r}, {spatial!r}))"
        )


def _check_missing(skipna: Any, fill_value: Any) -> None:
    """Raise a ValueError if missing values have to be told from what is not covered in time."""
    if fill_value is not None and fill_value == fill_value:
        raise ValueError(
            f"merge((spatial, temporal)) leaves what is not covered missing, so that fill_value="
            f"{fill_value!r} cannot be told from data in between; fill it afterwards, merged.fillna(…)"
        )
    if skipna is False:
        raise ValueError(
            "merge((spatial, temporal)) leaves out what a place does not cover in time, which skipna="
            "False cannot tell from missing data; merge at once, or mark them yourself"
        )


def as_cube(
    patches: Any, spatial: Any, crop: Any, like: Any, skipna: Any, fill_value: Any, scale: Any
) -> Any:
    """Give forecasts as a cube, merged in space where they were cut there as well."""
    source = _on(provenance(patches, like), like)
    plan = source.plans[0]
    if like is not None:
        own = PatchIndex(PandasIndex(source.ordinals, source.dim), source.plans, source.crop)
        patches = with_index(patches, own)
    spatial = OverlapAdd() if spatial is None else spatial
    in_space = _merger(spatial, skipna, scale, plan, "space", fill_value)
    cube = forecast_cube(patches, crop, in_space, skipna)
    return plan.domain.wrap(cube)


def _on(source: Any, like: Any) -> Any:
    """Put patches on the field that is given."""
    if like is None:
        return source
    plan, domain = source.plans[0], domain_of(like)
    check_like(plan, domain)
    plans = (dataclasses.replace(plan, domain=domain), *source.plans[1:])
    return dataclasses.replace(source, plans=plans)


def _merger(
    aggregation: Any, skipna: Any, scale: Any, plan: Plan, over: str, fill_value: Any = None
) -> Merger:
    """Give a merge over time, or over space."""
    timed = {d for d in plan.dims if d == plan.time_dim}

    def merged(patches: xr.Dataset) -> xr.Dataset:
        own = {d: f for d, f in factors(scale, plan).items() if (d in timed) == (over == "time")}
        patches, _ = preprocessed(patches, aggregation, None, own)
        return made.run(Merge(patches, aggregation, None, skipna, fill_value, own, cut=plan.dims))

    return merged


def _back(patches: Any, found: xr.Dataset, merge: Merge) -> Any:
    """Give the result the type and the order of dims of the field."""
    merged = as_given(found, patches)
    order = merge.domain.dims
    return merge.domain.wrap(merged.transpose(*(d for d in order if d in merged.dims), ...))


def merge_each(
    patches: xr.Dataset, plans: tuple[Plan, ...], aggregation: Any, like: Any, *args: Any
) -> xr.Dataset:
    """Merge a Dataset of patches of several fields at the same anchors, each on its own field."""
    if isinstance(aggregation, tuple | list):
        raise ValueError(
            "these are patches of several fields; merge((spatial, temporal)) takes those of one: "
            "patches[name].patch.merge((spatial, temporal))"
        )
    parts, cubes = [], []
    for part in by_field(patches, plans, like).values():
        first, _ = preprocessed(part, aggregation, None, args[-1])
        merge = Merge(first, aggregation, None, *args)
        if merge.aggregation.preprocess == "cube":
            cubes.append(as_cube(part, None, merge.crop, None, *args))
        else:
            parts.append(made.run(merge))
    check_same_times(cubes)
    merged = xr.merge([*parts, *cubes], combine_attrs="override", compat="override", join="outer")
    for plan in plans:
        merged = plan.domain.wrap(merged)
    return completed(merged, patches, plans)
