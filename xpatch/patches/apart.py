"""Which patches have nothing to do with others: what scores that do not leak are made of."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.patches.encoding import RECIPE
from xpatch.patches.index import labels_of, patch_index
from xpatch.patches.nearness import Nearness
from xpatch.patches.placed import placed_plan_of
from xpatch.patches.provenance import Provenance
from xpatch.patches.recall import indexed


def apart(patches: Any, test: Any, buffer: Any = 0) -> xr.DataArray:
    """Say which patches share no cell with any of some others, nor come near them.

    A model that is fitted on these, and scored on the others, has seen nothing of what it is scored on.

    Parameters
    ----------
    patches : DataArray or Dataset
        All of them.
    test : bool array (patch,), sequence of int, or DataArray or Dataset of patches
        The others: which of these patches, or their labels, or patches selected from these.
    buffer : number, duration, or mapping of these by dimension
        How far to stay away. Of boxes an int counts cells between two, a float is a length in units of
        evenly spaced labels; a number holds along all dimensions in space, and a box is near if it is so
        along every dimension. Of lists of members a distance between members, in km on the sphere,
        else in units of the coordinates. Of windows in time, by the name of their dimension, steps or
        a duration: ``{"time": "30D"}``. The default keeps patches without a common cell.

    Returns
    -------
    DataArray
        True for patches that are apart, shape (patch,); never for those of ``test``.

    Raises
    ------
    KeyError, TypeError, ValueError
        If ``test`` or ``buffer`` does not fit.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(20), dims="x")
    >>> patches = field.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    >>> patches.patch.apart([0]).values
    array([False, False,  True,  True,  True,  True,  True,  True,  True])
    >>> patches.patch.apart([0], buffer=3).values
    array([False, False, False, False,  True,  True,  True,  True,  True])
    """
    source, plan = placed_plan_of(patches)
    if plan.domain.above is not None:
        above = plan.domain.above.dims[-1]
        raise ValueError(
            f"patches along {source.dim!r} may share cells with those in other patches along {above!r}; ask the "
            f"patches before they are split again, and select those of {above!r} that are apart"
        )
    chosen = _chosen(patches, source, test)
    near = Nearness(source, plan, buffer)(chosen)
    kept = ~(near | chosen)
    return xr.DataArray(kept, labels_of(patches, (source.dim,)), (source.dim,), "apart")


def _chosen(obj: Any, source: Provenance, test: Any) -> NDArray[np.bool_]:
    """Tell which patches are those of the test."""
    dim = source.dim
    if isinstance(test, xr.DataArray | xr.Dataset):
        yes = isinstance(test, xr.DataArray) and test.dtype == bool
        mask = yes and test.dims == (dim,)
        # patches of yes and no are patches, too, but all of these are none that are meant
        if yes and not mask and test.sizes.get(dim) == len(source.ordinals):
            raise ValueError(
                f"test says True or False along {list(test.dims)}, and must for each patch, along {dim!r} alone; "
                + " or ".join(f"test.any({d!r}), test.isel({d}=0)" for d in test.dims if d != dim)
                + " says which patches are meant: those with any such cell, or that begin with one"
            )
        if mask and dim in test.coords:
            _check_same(obj, test)
            labels = test.coords[dim].to_numpy()[test.to_numpy()]
            lost = ~np.isin(source.ordinals, test.coords[dim].values)
            if lost.any():
                raise ValueError(f"test says nothing of patch {source.ordinals[lost][0]}")
        elif mask:
            return _as_mask(source, test.to_numpy())
        else:
            labels = _labels_of(obj, test, dim)
    else:
        labels = np.atleast_1d(np.asarray(test))
        if labels.dtype == bool:
            return _as_mask(source, labels)
    if labels.size and labels.dtype.kind not in "iu":
        raise TypeError(
            f"test must be patches, their labels, or True for each of them, got {type(test).__name__} of "
            f"{labels.dtype}"
        )
    known = np.isin(labels, source.ordinals)
    if not known.all():
        raise KeyError(f"test names patch {labels[~known].flat[0]}, which is none of these")
    return np.isin(source.ordinals, labels)


def _as_mask(source: Provenance, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Give True and False for each patch by position."""
    count = len(source.ordinals)
    if values.shape != (count,):
        raise ValueError(
            f"test has shape {values.shape}, and there are {count} patches along {source.dim!r}"
        )
    return np.asarray(values, bool)


def _labels_of(obj: Any, test: Any, dim: Hashable) -> NDArray[Any]:
    """Give the labels of patches, or an array of labels as it is."""
    coord = test.coords.get(dim)
    recipe = None if coord is None or patch_index(test) is not None else coord.attrs.get(RECIPE)
    if coord is not None and recipe is not None and recipe == obj.coords[dim].attrs.get(RECIPE):
        return np.ravel(coord.values)  # of the same split, whichever they are
    own = indexed(test)
    index = patch_index(own)
    if index is not None:
        _check_same(obj, own)
        return np.asarray(index.ordinals)
    if isinstance(test, xr.Dataset):
        raise TypeError("test is a Dataset without patches; give patches selected from these")
    return np.atleast_1d(test.values)


def _check_same(obj: Any, test: Any) -> None:
    """Raise a ValueError if patches are those of another split."""
    mine, index = patch_index(obj), patch_index(test)
    if mine is not None and index is not None and not mine._same_anchors(index):
        raise ValueError("test holds patches of another split, whose labels mean other places")
