"""Split and merge."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import xarray as xr

from xpatch.aggregation import Aggregation
from xpatch.axes import several_scales
from xpatch.domain import variables_of
from xpatch.index import patch_index
from xpatch.later import Later

if TYPE_CHECKING:
    from xpatch import cutting, merge_calls, parts, planning, restoring
    from xpatch.planning import AnyAxes
else:
    cutting, merge_calls = Later("xpatch.cutting"), Later("xpatch.merge_calls")
    parts = Later("xpatch.parts")
    planning, restoring = Later("xpatch.planning"), Later("xpatch.restoring")

__all__ = ["apply", "merge", "split"]

Field = TypeVar("Field", xr.DataArray, xr.Dataset)


def split(
    obj: Field,
    patcher: AnyAxes | None = None,
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
        The field. Of a Dataset every variable with a cut dimension is cut, along those it has;
        the others are carried.
    patcher : Patcher, optional
        The composed axes, in place of ``geometry``, ``sampler`` and ``window``.
    geometry : Geometry or mapping
        Shape of a patch; ``{"y": 64, "x": 64}`` is short for ``Rectangular(y=64, x=64)``.
    sampler : Sampler, optional
        Where the patches are; default: side by side.
    window : Window or str, optional
        Analysis window: the patches are multiplied by it, and `merge` divides by its sum.
    dim : hashable, default: "patch"
        Name of the new dimension.
    chunks : "auto", int or None, default: "auto"
        For dask arrays, the most patches in a chunk; "auto" follows dask's ``array.chunk-size``.

    Returns
    -------
    DataArray or Dataset, or DataTree
        Patches with dims ``(dim, *dims of obj)``; of a `MultiScale` a DataTree with a node of patches
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
    >>> patches = xpatch.split(field, geometry={"y": 3, "x": 2})
    >>> dict(patches.sizes)
    {'patch': 2, 'y': 3, 'x': 2}
    >>> bool(xpatch.merge(patches).equals(field))
    True
    """
    plan, ordinals = planning.make_plan(obj, patcher, geometry, sampler, window, dim)
    groups = cutting.patch_groups(variables_of(obj), plan, ordinals, chunks)
    if several_scales(patcher):
        from xpatch.scales import split_scales

        tree: Any = split_scales(obj, patcher, plan, dim, ordinals, groups)
        return tree
    return cutting.cut_field(obj, plan, dim, ordinals, groups)


@overload
def merge(
    patches: Field,
    aggregation: Aggregation | str | tuple[Any, Any] | None = None,
    *,
    like: xr.DataArray | xr.Dataset | None = None,
    skipna: bool | None = None,
    fill_value: Any = np.nan,
    scale: Mapping[Hashable, int] | None = None,
) -> Field: ...
@overload
def merge(
    patches: xr.DataTree,
    aggregation: Aggregation | str | None = None,
    *,
    like: xr.DataArray | xr.Dataset | None = None,
    skipna: bool | None = None,
    fill_value: Any = np.nan,
    scale: Mapping[Hashable, int] | None = None,
) -> Any: ...
def merge(
    patches: Any,
    aggregation: Aggregation | str | tuple[Any, Any] | None = None,
    *,
    like: xr.DataArray | xr.Dataset | None = None,
    skipna: bool | None = None,
    fill_value: Any = np.nan,
    scale: Mapping[Hashable, int] | None = None,
) -> Any:
    """Put patches back together to a field.

    Parameters
    ----------
    patches : DataArray or Dataset, or DataTree
        What `split` gave, after any model. Dimensions may be new (channels), cropped, scaled by
        an integer, or reduced away (one value per patch paints its footprint); patches may be in
        any order, be left out, or be repeated. A variable that the field has without any cut
        dimension comes back as it was: it must be the same for all patches, missing values aside,
        and one value per patch needs a name of its own.
    aggregation : Aggregation, str or pair of them, optional
        How overlapping patches become one value; default: that of the Patcher, or overlap-add. Of
        patches in space and time ``(spatial, temporal)`` merges time first, within each place, and
        then space.
    like : DataArray or Dataset, optional
        The field that was split, for patches that lost their index: its coordinates are taken.
    skipna : bool, optional
        Leave missing contributions out; default: for dtypes that can hold them.
    fill_value : scalar, default: NaN
        Value of cells that no patch covers; of a cube of forecasts, of places that none covers.
    scale : mapping, optional
        By which integer the patches are finer than the field along each dimension.

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
    """
    if isinstance(patches, xr.DataTree):
        from xpatch.combining_scales import merge_scales

        return merge_scales(patches, aggregation, like, skipna, fill_value, scale)
    patches = parts.of_one_field(patches, like)
    if restoring.is_coarse(patches):
        from xpatch.painting import merge_scale

        return merge_scale(patches, aggregation, like, skipna, fill_value, scale)
    given = (aggregation, like, skipna, fill_value, scale)
    index = patch_index(patches) if isinstance(patches, xr.Dataset) else None
    if index is not None and len(index.plans) > 1:
        return merge_calls.merge_each(patches, index.plans, *given)
    return merge_calls.merge_one(patches, *given)


def apply(
    obj: Field,
    func: Callable[[Any], Any],
    patcher: AnyAxes | None = None,
    *,
    geometry: Any = None,
    sampler: Any = None,
    window: Any = None,
    aggregation: Aggregation | str | None = None,
    batch_size: int | None = None,
    on_error: str = "raise",
    progress: bool = False,
    template: Any = None,
    skipna: bool | None = None,
    fill_value: Any = np.nan,
    scale: Mapping[Hashable, int] | None = None,
    dim: Hashable = "patch",
    chunks: Any = "auto",
) -> Any:
    """Split a field, run a function on batches of its patches, and merge what it returns.

    The patches exist block by block only. NumPy and fields on disk are worked through at once,
    one block after the other, and give NumPy; dask gives dask, one call of `func` after the other
    in each block and blocks in parallel.

    Parameters
    ----------
    obj : DataArray or Dataset
        The field.
    func : callable
        Takes loaded patches, as `split` gives them, and returns a DataArray or a Dataset with the
        patch dimension; or, of a DataArray, an array of the same shape or one value per patch.
        Other dims, another dtype, several variables, cropped patches and patches that are finer by
        ``scale`` are merged as by `merge`. Every batch must return the same cells of its patches,
        as far as labels tell. Variables need the patch dimension unless the field has them without;
        coordinates without it, such as the names of new channels, must be the same for every batch:
        what depends on the data is returned per patch. To see what comes back `func` is called
        first on no patch, and if it fails on one: of the field (of up to ten, if ``on_error`` lets
        patches fail), or of zeros for dask.
    patcher, geometry, sampler, window, dim, chunks
        As in `split`.
    aggregation, skipna, fill_value, scale
        As in `merge`.
    batch_size : int, optional
        The most patches in a call of `func`; default: all of a block.
    on_error : {"raise", "nan", "skip"}, default: "raise"
        What becomes of patches for which `func` raises, and of those that cannot be read from disk:
        the error goes on, they are missing values, or they are left out as if they had not been
        sampled. A batch that fails is tried again patch by patch. A `PatchFailure` warning lists
        the failed patches. A chunk of a dask field that cannot be computed ends the run.
    progress : bool, default: False
        Draw a bar on stderr: one for each process that works, so it is for threads, or for one
        process; of a cluster see the dashboard of dask instead.
    template : DataArray or Dataset, optional
        What `func` returns for the first few patches (values do not matter), so that it is not
        called to find out.

    Returns
    -------
    DataArray or Dataset
        The merged field.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or `func` returns patches of another number, size or dtype
        than at first.

    Warns
    -----
    PatchFailure
        With ``failures``, the message for the label of each failed patch. For dask once per block.

    Examples
    --------
    >>> field = xr.DataArray(np.arange(16.0).reshape(4, 4), dims=("y", "x"))
    >>> xpatch.apply(field, lambda p: p.max(("y", "x")), geometry={"y": 2, "x": 2}).values
    array([[ 5.,  5.,  7.,  7.],
           [ 5.,  5.,  7.,  7.],
           [13., 13., 15., 15.],
           [13., 13., 15., 15.]])
    """
    from xpatch.applying import apply_in_blocks

    if several_scales(patcher):
        raise ValueError(
            "apply works on one kind of patches, and MultiScale gives a DataTree with one for each scale: "
            "tree = field.patch.split(patcher), then tree.map_over_datasets(func).patch.merge(); of a dask "
            "field that is lazy, too"
        )
    plan, ordinals = planning.make_plan(obj, patcher, geometry, sampler, window, dim)
    return apply_in_blocks(
        obj,
        func,
        plan,
        ordinals,
        dim,
        chunks,
        template,
        {"batch_size": batch_size, "on_error": on_error, "progress": progress},
        {
            "aggregation": aggregation,
            "skipna": skipna,
            "fill_value": fill_value,
            "scale": scale,
        },
    )
