"""Split and merge."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import xarray as xr

from xpatch.aggregation import Aggregation
from xpatch.catalogs.geodata import as_field
from xpatch.domain import variables_of
from xpatch.domain.ragged import counts_of
from xpatch.geometry import several_grids
from xpatch.patcher import several_scales

if TYPE_CHECKING:
    from xpatch.patches.arguments import Options, Scale
    from xpatch.patches.planning import First
    from xpatch.patches.provenance import Provenance

__all__ = ["concat", "merge", "split"]

Field = TypeVar("Field", xr.DataArray, xr.Dataset)
How = Aggregation | str | tuple[Any, Any] | Mapping[Any, Any] | None


def split(
    obj: Field,
    patcher: First | None = None,
    *,
    geometry: Any = None,
    sampler: Any = None,
    window: Any = None,
    dim: Hashable = "patch",
    chunks: Any = "auto",
) -> Field:
    """Cut a field into patches along a new dimension.

    Parameters
    ----------
    obj : DataArray or Dataset
        The field, or a reader or tensor of georeader. Of a Dataset every variable with a cut dimension is
        cut, along those it has; the others are carried. Of CF ragged arrays the samples are cut with their instances.
    patcher : Patcher, or Geometry, int or mapping
        The composed axes, in place of ``geometry``, ``sampler`` and ``window``; or the geometry,
        which may come first without its name.
    geometry : Geometry, TimeGeometry, mapping, int or sequence, or pair of them
        Shape of a patch; ``{"y": 64, "x": 64}`` is short for ``Rectangular(y=64, x=64)``, and 64
        for that size along all spatial dimensions. One in space and one in time are every patch in
        space with every window in time: ``[{"y": 64, "x": 64}, FixedLookback(31)]``.
    sampler : Sampler, TimeSampler, or pair of them, optional
        Where the patches are; default: side by side, in time at every step.
    window : Window, str, tuple, function or array, or pair of them, optional
        Analysis window: the patches are multiplied by it, and `merge` divides by its sum. Of two
        geometries samplers and windows are pairs in the same order.
    dim : str, default: "patch"
        Name of the new dimension; patches are split again along another, such as ``dim="inner"``.
    chunks : "auto", "even", int or None, default: "auto"
        For dask arrays, the most patches in a chunk; "auto" follows dask's ``array.chunk-size``. "even" joins
        those of neighboring chunks to blocks of one length, as ``to_zarr`` has them.

    Returns
    -------
    DataArray or Dataset, or DataTree
        Patches with dims ``(dim, *dims of obj)``, of patches ``("patch", dim, …)``; of a `MultiScale` a DataTree with a node of patches
        for each scale. Coordinates of cut dimensions become per-patch
        labels such as ``y(patch, y)``, so that one patch, ``patches.isel(patch=0)``, is an
        ordinary small field. NumPy gives NumPy, dask gives dask, data on disk stay there.

    Raises
    ------
    KeyError
        If a dimension is unknown.
    ValueError
        If sizes or anchors do not fit the field.
    TypeError
        If the values cannot be cut (objects) or an argument is of the wrong kind.

    Examples
    --------
    >>> field = xr.DataArray(np.arange(12.0).reshape(3, 4), dims=("y", "x"))
    >>> patches = xpatch.split(field, {"y": 3, "x": 2})
    >>> dict(patches.sizes)
    {'patch': 2, 'y': 3, 'x': 2}
    >>> bool(xpatch.merge(patches).equals(field))
    True
    """
    from xpatch.patches.arrays import on_numpy
    from xpatch.patches.chunks import check_room, patch_groups
    from xpatch.patches.planning import chosen, make_plan
    from xpatch.patches.samples import sample_plans
    from xpatch.patches.split import cut_field

    obj = on_numpy(as_field(obj))
    shape = getattr(patcher, "geometry", geometry if patcher is None else patcher)
    axes = chosen(patcher, geometry, sampler, window)
    if several_grids(shape, getattr(obj, "dims", ())):
        from xpatch.patches.grids import split_grids

        cut: Any = split_grids(obj, axes, dim, chunks)
        return cut
    plan, ordinals = make_plan(obj, axes, dim)
    more: Any = sample_plans(obj, plan) if counts_of(obj) else ()
    if more:
        from xpatch.patches.ragged import split_ragged

        return split_ragged(obj, (plan, *more), ordinals, dim, chunks)
    check_room(variables_of(obj), plan, ordinals)
    groups = patch_groups(variables_of(obj), plan, ordinals, chunks)
    if several_scales(axes):
        from xpatch.multiscale import split_scales

        tree: Any = split_scales(obj, axes, plan, dim, ordinals, groups)
        return tree
    return cut_field(obj, plan, dim, ordinals, groups)


@overload
def merge(
    patches: Field,
    aggregation: How = None,
    *,
    like: xr.DataArray | xr.Dataset | None = None,
    skipna: bool | None = None,
    fill_value: Any = None,
    scale: Scale = None,
    dim: Hashable | None = None,
    to: str | None = None,
) -> Field: ...
@overload
def merge(
    patches: xr.DataTree,
    aggregation: Aggregation | str | None = None,
    *,
    like: xr.DataArray | xr.Dataset | None = None,
    skipna: bool | None = None,
    fill_value: Any = None,
    scale: Scale = None,
) -> Any: ...
def merge(
    patches: Any,
    aggregation: How = None,
    *,
    like: xr.DataArray | xr.Dataset | None = None,
    skipna: bool | None = None,
    fill_value: Any = None,
    scale: Scale = None,
    dim: Hashable | None = None,
    to: str | None = None,
) -> Any:
    """Put patches back together to a field.

    Parameters
    ----------
    patches : DataArray or Dataset, or DataTree
        What `split` gave, after any model. Dimensions may be new (channels), cropped, finer or
        coarser by ``scale``, or reduced away (one value per patch paints its footprint, as it is, also after an
        analysis window); patches may be in any order, be left out, or be repeated. A variable that the field has without any cut
        dimension comes back as it was: it must be the same for all patches, missing values aside,
        and one value per patch needs a name of its own.
    aggregation : Aggregation, str, pair of them or mapping, optional
        How overlapping patches become one value; default: that of the Patcher, or overlap-add. Of
        patches in space and time ``(spatial, temporal)`` merges time first, within each place, and
        then space. Of a Dataset ``{"height": OverlapAdd("hann"), "label": "mode"}`` is one for each variable;
        that of the rest stands under ``...``.
    like : DataArray or Dataset, optional
        The field that was split, for patches that lost their index: its coordinates are taken.
    skipna : bool, optional
        Leave missing contributions out; default: for dtypes that can hold them. Numbers that the
        attributes of the patches name (``_FillValue``, ``missing_value``) are missing as NaN is.
    fill_value : scalar, optional
        Value of cells that no patch covers; of a cube of forecasts, of places that none covers.
        Default: the number for missing that attributes of the patches name, otherwise NaN.
    scale : number or mapping, optional
        How much finer the patches are than the field along each dimension: an int, or one over an int where
        they are coarser, such as ``1/4`` or ``{"y": Fraction(1, 3)}``. Then the field has coarser cells, of
        which the labels are the means of those of the cells they stand for, and sizes and starts of
        patches must be multiples of these. A number means the dimensions in space along which boxes
        were cut: all but time, bands and the like. Margins of a synthesis window are in cells of the patches.
    dim : str, optional
        Which split to merge of patches that were split again; default: the last. An earlier one is merged
        where the later ones cut along other dimensions.
    to : {"anchors"}, optional
        Give one value per patch as a field of its own in place of painting footprints: on the grid of the
        anchors, labeled with the mid-points of patches, in time with the anchors; of lists of members at the
        elements that are the anchors.

    Returns
    -------
    DataArray or Dataset
        The field with the dims, coordinates, CRS and chunks of what was split.

    Raises
    ------
    ValueError
        If the patches are not of one split, or do not fit it.
    TypeError
        If the values cannot be aggregated so.

    Examples
    --------
    >>> field = xr.DataArray(np.arange(10), {"x": np.arange(10)})
    >>> patches = field.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    >>> patches.patch.merge("max").values
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    >>> patches.isel(patch=[0]).patch.merge("max").values
    array([ 0.,  1.,  2.,  3., nan, nan, nan, nan, nan, nan])

    A network of stride 2 gives half as many cells, one of no stride at all one value.

    >>> patches.coarsen(x=2).mean().patch.merge(scale=1 / 2)
    <xarray.DataArray (x: 5)> Size: 40B
    array([0.5, 2.5, 4.5, 6.5, 8.5])
    Coordinates:
      * x        (x) float64 40B 0.5 2.5 4.5 6.5 8.5
    >>> patches.mean("x").patch.merge(to="anchors").x.values
    array([1.5, 3.5, 5.5, 7.5])
    """
    from xpatch.patches.arguments import Options, check_words
    from xpatch.patches.around import with_slots
    from xpatch.patches.nested import focused
    from xpatch.patches.provenance import identified

    check_words(skipna, fill_value, scale, to)
    options = Options(like, skipna, fill_value, scale, to)
    patches, hidden = focused(patches, dim)
    if isinstance(patches, xr.DataTree):
        from xpatch.multiscale import merge_scales

        return merge_scales(patches, aggregation, options, _merge_field)
    patches, source = identified(patches, like)
    patches = with_slots(patches, source)
    if isinstance(aggregation, Mapping):
        from xpatch.patches.by_variable import by_variable

        merged = by_variable(
            patches, aggregation, lambda p, how: _merge_all(p, source, how, options)
        )
        merged = source.plans[0].domain.wrap(merged)
    else:
        merged = _merge_all(patches, source, aggregation, options)
    return merged.assign_coords(hidden) if hidden else merged


def _merge_all(patches: Any, source: Provenance, aggregation: Any, options: Options) -> Any:
    """Merge patches by one aggregation, of one field or of several."""
    if len(source.plans) > 1 and not source.coarse:
        from xpatch.models.merge import merge_each

        return merge_each(patches, source, aggregation, options, _merge_field)
    return _merge_field(patches, source, aggregation, options)


def _merge_field(patches: Any, source: Provenance, aggregation: Any, options: Options) -> Any:
    """Merge patches of one field: of time and space in turn, to a cube, or after the horizon or a scan."""
    from xpatch.models.merge import merge_both, merge_cube, preprocessed
    from xpatch.patches.merge import Merge, check_one_scale, resolved
    from xpatch.patches.record import run

    check_one_scale(source)
    how = resolved(aggregation, source)
    if isinstance(how, tuple | list):
        return merge_both(patches, source, how, options)
    if how.preprocess == "cube":
        return merge_cube(patches, source, how, options)
    patches, source, _ = preprocessed(patches, source, how, options.scale)
    merge = Merge(patches, source, how, options)
    return merge.domain.wrap(run(merge))


def concat(sets: Sequence[Field], scenes: Sequence[Any] | None = None) -> Field:
    """Put patches of several fields one after the other, each with its own CRS and labels.

    Data on disk stay there, dask stays dask. `xr.concat` does the same in memory for patches in one CRS,
    but forgets where they are from.

    Parameters
    ----------
    sets : sequence of DataArray or Dataset
        Patches of several fields, all with the same in-patch sizes; lists of members may be longer in
        some. Patches that `concat` gave are taken scene by scene, with the names that they have; parts
        of one scene that was cut apart are one again.
    scenes : sequence, optional
        Names of the fields; default: they are counted from 0.

    Returns
    -------
    DataArray or Dataset
        All patches along their dimension. Labels are those of each set, counted on from one to the
        next: number k of scene j is labeled with the sum of the lengths of the *splits* before, plus k,
        so that labels stay unique, and the same when patches are selected. Coordinates:

        - ``scene(patch)``, the names;
        - ``crs(patch)``, authority codes or WKT, in place of the scalar grid mapping, where the CRSs differ;
        - other coordinates that are the same for a set and differ between sets, such as the date of
          each scene or wavelengths, get a value per patch.

    Raises
    ------
    ValueError
        If sizes, variables or dimensions of patches differ, names are not one per set, or one is that of several scenes.
    TypeError
        If these are no patches, or DataArrays and Datasets are mixed.

    Examples
    --------
    >>> west, east = (
    ...     xr.DataArray(np.full((4, 4), v), {"x": v + np.arange(4.0)}, ("y", "x"))
    ...     for v in (0.0, 9.0)
    ... )
    >>> cut = [f.patch.split(geometry={"y": 2, "x": 2}) for f in (west, east)]
    >>> patches = xpatch.concat(cut, scenes=["west", "east"])
    >>> dict(patches.sizes)
    {'patch': 8, 'y': 2, 'x': 2}
    >>> merged = patches.isel(patch=patches["scene"] == "east").patch.merge()
    >>> bool(merged.equals(east))
    True
    """
    from xpatch.patches import concat as scenewise

    return scenewise.concat(sets, scenes)
