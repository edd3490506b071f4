"""Apply: split, run a function, merge, block by block."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import xarray as xr

from xpatch.aggregation import Aggregation
from xpatch.patcher import several_scales

if TYPE_CHECKING:
    from xpatch.patches.arguments import Scale
    from xpatch.patches.planning import First

__all__ = ["apply"]

Field = TypeVar("Field", xr.DataArray, xr.Dataset)


def apply(
    obj: Field,
    func: Callable[[Any], Any],
    patcher: First | None = None,
    *,
    geometry: Any = None,
    sampler: Any = None,
    window: Any = None,
    aggregation: Aggregation | str | Mapping[Any, Any] | None = None,
    batch_size: int | None = None,
    on_error: str = "raise",
    progress: bool = False,
    template: Any = None,
    output_dims: Any = None,
    output_coords: Mapping[Hashable, Any] | None = None,
    skipna: bool | None = None,
    fill_value: Any = None,
    scale: Scale = None,
    to: str | None = None,
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
    func : callable or torch.nn.Module
        Takes loaded patches, as `split` gives them, and returns a DataArray or a Dataset with the
        patch dimension; or an array of any library, which is moved to NumPy (``__array__``, DLPack, tensors on
        any device, bfloat16 as float32): of the shape of the patches, one value per patch, or named by
        `output_dims`; or a dict of arrays, which becomes a Dataset. Arrays get no attributes: those of the
        field are not about them. A module gets the values of a DataArray as a
        tensor of the dtype and on the device of its first parameter, and records no gradients. One in
        training mode is evaluated, on a copy that shares its parameters; one in evaluation mode is
        called as it is, with single layers that are still in training mode. Of dask the parameters are
        those at the time of `compute`.
        Other dims, another dtype, several variables, cropped patches and patches that are finer by
        ``scale`` are merged as by `merge`. Every batch must return the same cells of its patches,
        as far as labels tell. Variables need the patch dimension unless the field has them without;
        coordinates without it, such as the names of new channels, must be the same for every batch:
        what depends on the data is returned per patch. To see what comes back `func` is called
        first on no patch, and if it fails on one: of the field (of up to ten, if ``on_error`` lets
        patches fail), or of zeros for dask.
    patcher, geometry, sampler, window, dim, chunks
        As in `split`.
    aggregation, skipna, fill_value, scale, to
        As in `merge`.
    batch_size : int, optional
        Patches in a call of `func`: all batches are full but the last of the run, however the field is
        chunked; smaller blocks are joined, and held in memory together. Default: all of a block.
    on_error : {"raise", "nan", "skip"}, default: "raise"
        What becomes of patches for which `func` raises, and of those that cannot be read from disk:
        the error goes on, they are missing values, or they are left out as if they had not been
        sampled. A batch that fails is tried again patch by patch. A `PatchFailure` warning lists
        the failed patches. A chunk of a dask field is read in a task of the field's own graph,
        before ours: where that fails the run ends, with the error that its reader raises. Opened
        with ``chunks=None`` files are read here, and errors name variable, cells and patches.
    progress : bool, default: False
        Draw a bar on stderr: one for each process that works, so it is for threads, or for one
        process; of a cluster see the dashboard of dask instead.
    template : DataArray or Dataset, optional
        What `func` returns for the first few patches (values do not matter), so that it is not
        called to find out.
    output_dims : tuple of str, or mapping from names to tuples, optional
        Names of the dimensions of the arrays that `func` returns, the patch dimension among them, in the order
        of their axes; of a dict by name. Coordinates of the patches along them are kept.
    output_coords : mapping, optional
        Labels of new dimensions, as in ``{"class": ["water", "land"]}``, or ``(dims, labels)``.

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

    Two classes, as an array with a new dimension:

    >>> classes = xpatch.apply(
    ...     field,
    ...     lambda p: np.stack([p.values < 8, p.values >= 8], axis=1),
    ...     {"y": 2, "x": 2},
    ...     output_dims=("patch", "class", "y", "x"),
    ...     output_coords={"class": ["low", "high"]},
    ...     aggregation="first",
    ... )
    >>> classes.sel({"class": "high"}).values[:, 0]
    array([False, False,  True,  True])
    """
    from xpatch.patches.arguments import Options, check_words
    from xpatch.patches.arrays import on_numpy
    from xpatch.patches.planning import chosen, make_plan
    from xpatch.patches.ragged import check_apply
    from xpatch.run.application import apply_in_blocks

    check_words(skipna, fill_value, scale, to)
    axes = chosen(patcher, geometry, sampler, window)
    if several_scales(axes):
        raise ValueError(
            "apply works on one kind of patches, and MultiScale gives a DataTree with one for each scale: "
            "tree = field.patch.split(patcher), then tree.map_over_datasets(func).patch.merge(); of a dask "
            "field that is lazy, too"
        )
    obj = on_numpy(obj)
    plan, ordinals = make_plan(obj, axes, dim)
    check_apply(obj, plan)
    return apply_in_blocks(
        obj,
        func,
        plan,
        ordinals,
        dim,
        chunks,
        template,
        {"batch_size": batch_size, "on_error": on_error, "progress": progress},
        aggregation,
        Options(None, skipna, fill_value, scale, to),
        (output_dims, output_coords),
    )
