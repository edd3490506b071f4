"""What a function makes of patches, found out from a few of them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray import Variable

from xpatch.aggregation import OverlapAdd
from xpatch.domain import variables_of
from xpatch.domain.nodata import nodata_of
from xpatch.engine.nodata import filling
from xpatch.patches.arguments import Options
from xpatch.patches.fields import of_one_field
from xpatch.patches.index import PatchIndex, patch_index, whole_of, with_index
from xpatch.patches.merge import Merge
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance
from xpatch.run.block import Form, Frame, as_variables

ATTEMPTS = 10  # patches, spread over all, by which what func returns is found if it fails on some


@dataclasses.dataclass(frozen=True, eq=False)
class Skeleton:
    """What func makes of patches, without values."""

    like: Any  # some patches as they come back
    forms: dict[Hashable, Form]
    crop: dict[Hashable, tuple[int, int]]
    plans: tuple[Plan, ...]  # of which part of the patches it is
    shared: dict[Hashable, Variable]  # of what has no patch dimension: what func made or changed

    @classmethod
    def of(
        cls, result: Any, given: Any, source: Any, dim: Hashable, on_error: str, scale: Any
    ) -> Skeleton:
        """Look at what func gave for some patches of ``source``."""
        variables = as_variables(result, given, dim)
        result = with_carried(result, given, source, dim)
        shared = shared_of(result, source, dim)
        if patch_index(result) is None:
            rest = result.drop_vars(dim, errors="ignore")
            index = patch_index(given)
            assert index is not None
            result = with_index(rest.assign_coords({dim: given[dim].values}), index)
        result = of_one_field(result)
        index = patch_index(result)
        assert index is not None
        options = Options(scale=scale)
        crop = Merge(result, Provenance.of(index), OverlapAdd(), options).fine_crop
        forms = {}
        for name, v in variables.items():
            if dim not in v.dims:
                continue
            dims = tuple(d for d in v.dims if d != dim)
            filled, null = v.dtype, np.zeros((), v.dtype)[()]
            if on_error == "nan":
                filled, null = filling(v.dtype, None, nodata_of(v))
            sizes = tuple(v.sizes[d] for d in dims)
            forms[name] = Form(dims, sizes, v.dtype, filled, v.attrs, null)
        return cls(result, forms, crop, index.plans, shared)

    def patches(self, arrays: Mapping[Hashable, Variable], index: PatchIndex) -> Any:
        """Give the patches that will come back."""
        dim = index.dim
        cut = {
            d for plan in self.plans for d in plan.dims
        }  # labels of these are those of one patch
        kept = {n: c for n, c in self.like.coords.items() if dim not in c.dims and n not in cut}
        whole = xr.Dataset(coords=kept)
        if isinstance(self.like, xr.Dataset):
            carried = {n: v for n, v in self.like.data_vars.items() if dim not in v.dims}
            whole = whole.assign(carried).assign_attrs(self.like.attrs)
        names = {n: "_" if n is None else n for n in arrays}
        whole = whole.assign({names[n]: v for n, v in arrays.items()})
        own = PatchIndex(index._index, self.plans, self.crop)
        whole = with_index(whole.assign_coords({dim: (dim, index.ordinals)}), own)
        if isinstance(self.like, xr.Dataset):
            order = [n for n in self.like.data_vars if n in whole.data_vars]
            return whole[order]
        return whole["_"].rename(self.like.name)


def with_carried(result: Any, given: Any, source: Any, dim: Hashable) -> Any:
    """Take chunked coordinates that are not cut from the source: func was not given their values.

    Raises
    ------
    ValueError
        If func changed one of them, to what is unknown.
    """
    known, carried = whole_of(given).variables, {}
    for name, coord in source.coords.items():
        mine = result.coords.get(name)
        if coord.chunks is None or dim in coord.dims or mine is None:
            continue
        old, new = known[name], mine.variable
        if (old.dims, old.shape) == (new.dims, new.shape) and (old.chunks or old.equals(new)):
            carried[name] = Variable(coord.dims, coord.variable.data, new.attrs)
        elif old.chunks is None:
            raise ValueError(
                f"func changed the coordinate {name!r}, which is chunked, so that its values are not "
                f"known yet: load it first, field.assign_coords({name}=field[{name!r}].compute())"
            )
    return result.assign_coords(carried)


def shared_of(result: Any, source: Any, dim: Hashable) -> dict[Hashable, Variable]:
    """Give what func returned without the patch dimension and is not that of the source.

    Raises
    ------
    ValueError
        If there is a variable that the source has not, or has for each patch: it cannot be told
        whether it is the same for all patches, or only lost their dimension.
    """
    known, shared = whole_of(source).variables, {}
    for name, variable in whole_of(result).variables.items():
        if dim in variable.dims:
            continue
        carried = name in known and dim not in known[name].dims
        if name in whole_of(result).data_vars and not carried:
            raise ValueError(
                f"func returned the variable {name!r} without the dimension {dim!r}, with dims "
                f"{variable.dims}: keep that dimension, with one value per patch (reduce over the "
                f"others only, as in mean(('y', 'x'))), or leave {name!r} out"
            )
        if variable.chunks is None and not (carried and variable.identical(known[name])):
            shared[name] = variable.load()
    return shared


def probed(
    func: Callable, patches: Any, dim: Hashable, on_error: str, scale: Any, template: Any
) -> Skeleton:
    """Find what func returns, from a template, from no patch, or from one.

    Patches that are not chunked lend one; of others one is made up of zeros.
    """
    if template is not None:
        n = template.sizes.get(dim, 0) if isinstance(template, xr.DataArray | xr.Dataset) else 0
        given = patches.isel({dim: slice(0, n)})
        return Skeleton.of(template, given, patches, dim, on_error, scale)
    failed: Exception | None = None
    for which in _attempts(patches, dim, on_error):
        some = which.stop > which.start
        try:
            given = _blank(patches.isel({dim: which}), dim)
        except Exception as error:  # of reading
            if on_error == "raise":
                raise
            failed = error
            continue
        try:
            with warnings.catch_warnings():
                if not some:
                    warnings.simplefilter("ignore")  # of means of nothing
                result = func(given)
        except Exception as error:
            failed = error
            continue
        try:
            return Skeleton.of(result, given, patches, dim, on_error, scale)
        except Exception as error:
            failed = error
            if some:
                raise
    assert failed is not None
    failed.add_note(_unprobed(patches, dim, on_error))
    raise failed


def _attempts(patches: Any, dim: Hashable, on_error: str) -> list[slice]:
    """Give the patches to try: none, one, and where single ones may fail some of the others."""
    n = patches.sizes[dim]
    places = [0]
    if on_error != "raise" and not _chunked(patches, dim):
        places = np.unique(np.linspace(0, max(n - 1, 0), ATTEMPTS).astype(int)).tolist()
    return [slice(0, 0), *(slice(k, k + 1) for k in places)]


def _chunked(patches: Any, dim: Hashable) -> bool:
    return any(v.chunks is not None and dim in v.dims for v in variables_of(patches).values())


def _unprobed(patches: Any, dim: Hashable, on_error: str) -> str:
    what = "one patch of zeros" if _chunked(patches, dim) else "one patch"
    note = (
        f"raised for {what}, by which apply finds out what func returns; if func cannot take that, "
        "pass template=, what it returns for some patches"
    )
    return note if on_error == "raise" else f"{note}. on_error={on_error!r} comes after that"


def _blank(patches: Any, dim: Hashable) -> Any:
    """Load what is not chunked; the rest is zeros, or numbers that tell if func changed them."""
    blank = {}
    for n, v in whole_of(patches).variables.items():
        if v.chunks is not None:
            values = np.zeros(v.shape, v.dtype)
            if dim not in v.dims:
                values = np.arange(1, v.size + 1).astype(v.dtype).reshape(v.shape)
            blank[n] = Variable(v.dims, values, v.attrs)
    return Frame.of(patches, dim).patches(slice(None), blank)
