"""`Valid`: keep the patches that hold enough data."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain.nodata import valid
from xpatch.engine.distinct import distinct
from xpatch.geometry import Anchors, Geometry, MemberGeometry, Places
from xpatch.sampler.base import Sampler, asked, listed
from xpatch.spec import check_amount, check_fraction


@dataclasses.dataclass(frozen=True, repr=False)
class Valid(Sampler):
    """Keep the anchors whose patch holds enough valid cells.

    Parameters
    ----------
    sampler : Sampler
        Proposes the anchors.
    min_fraction : float, default: 1.0
        Smallest fraction of valid cells in a patch, 0 to 1, over all dimensions of the field.
    where : DataArray of bool, optional
        Which cells are valid; default: those that are not missing (NaN, or a number that the
        attributes name, such as ``_FillValue``), in a Dataset those missing in no variable.
    """

    sampler: Sampler
    min_fraction: float = 1.0
    where: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.sampler, Sampler):
            raise TypeError(
                f"Valid wraps a sampler, got {self.sampler!r}; windows in time are chosen after the split, "
                "patches.isel(patch=…)"
            )
        check_fraction(self.min_fraction, "min_fraction of Valid")

    def boxes(self, domain: Lattice, geometry: Geometry, field: Any = None) -> Anchors:
        """Keep the anchors of ``sampler`` that are valid enough.

        Raises
        ------
        ValueError
            If none is.
        """
        proposed = asked(self.sampler.places, domain, geometry, field)
        boxes: Any = geometry.neighborhood(domain, proposed)
        check_amount(len(boxes), repr(self.sampler), "Valid looks at each: use a larger step")
        fraction = box_fractions(self._mask(domain, field, boxes.dims), boxes.starts(), boxes)
        keep = fraction >= self.min_fraction - 1e-12
        if proposed.ordinals is not None:
            wanted = np.zeros(len(keep), bool)
            wanted[proposed.ordinals] = True
            keep &= wanted
        self._some(keep, fraction)
        if proposed.ordinals is not None:  # those of other patches: they keep their labels
            labels = proposed.ordinals[keep[proposed.ordinals]]
            return dataclasses.replace(proposed, ordinals=labels)
        ids = None if proposed.ids is None else proposed.ids[keep]
        return dataclasses.replace(listed(boxes.starts()[keep]), ids=ids)

    def lists(self, domain: Lattice, geometry: MemberGeometry, field: Any = None) -> Places:
        """Keep the anchors whose members are valid enough; those without members are not."""
        proposed = asked(self.sampler.places, domain, geometry, field)
        if proposed.ordinals is not None:  # those of other patches: they keep their labels
            kept = distinct(proposed.ordinals)
            few = dataclasses.replace(proposed.take(kept), ordinals=None)
            enough = kept[self._valid(few, domain, geometry, field)]
            labels = proposed.ordinals[np.isin(proposed.ordinals, enough)]
            return dataclasses.replace(proposed, ordinals=labels)
        return proposed.take(self._valid(proposed, domain, geometry, field))

    def _valid(
        self, proposed: Places, domain: Lattice, geometry: MemberGeometry, field: Any
    ) -> NDArray[np.intp]:
        members = geometry.neighborhood(domain, proposed)
        part = self._mask(domain, field, members.dims).astype(float).ravel()
        total = np.bincount(members.patches, part[members.elements], len(members))
        fraction = total / np.maximum(members.counts, 1)
        keep = (fraction >= self.min_fraction - 1e-12) & (members.counts > 0)
        return np.flatnonzero(self._some(keep, fraction))

    def _some(self, keep: NDArray[np.bool_], fraction: NDArray) -> NDArray[np.bool_]:
        if not keep.any():
            raise ValueError(
                f"no patch has a fraction of valid cells of {self.min_fraction}; the best has "
                f"{fraction.max(initial=0):.3f}: lower min_fraction, or use smaller patches"
            )
        return keep

    def _mask(self, domain: Lattice, field: Any, dims: tuple) -> NDArray:
        """Give the valid fraction of each cell of ``dims``, or whether it is valid."""
        mask = self.where
        if mask is None:
            if field is None:
                raise ValueError("Valid needs the field, or where=mask")
            mask = field.map(valid) if isinstance(field, xr.Dataset) else valid(field)
            if isinstance(mask, xr.Dataset):
                cut = [v for v in mask.data_vars.values() if set(v.dims) & set(dims)]
                mask = xr.broadcast(*cut)[0] if len(cut) == 1 else _all(cut)
        elif not isinstance(mask, xr.DataArray):
            raise TypeError(
                f"where of Valid must be a boolean DataArray, got {type(mask).__name__}"
            )
        elif mask.dtype != bool:
            raise TypeError(f"where of Valid must be boolean, got dtype {mask.dtype}")
        if self.where is not None:
            check_mask(mask, domain, dims)
        missing = {d: domain.sizes[d] for d in dims if d not in mask.dims}
        bare = mask.drop_vars(list(mask.coords))
        others = [d for d in mask.dims if d not in dims]
        part = bare.mean(others) if others else bare
        return part.expand_dims(missing).transpose(*dims).to_numpy()


def check_mask(mask: xr.DataArray, domain: Lattice, dims: tuple[Hashable, ...]) -> None:
    """Raise a ValueError unless a mask lies on the cells of the field."""
    own = set(mask.dims)
    if not own <= set(domain.sizes) or not own & set(dims) or len(own) < mask.ndim:
        raise ValueError(
            f"where of Valid has the dimensions {list(mask.dims)}; it must have some of those that are "
            f"cut, {list(dims)}, and none but those of the field, {list(domain.dims)}, each once: "
            "rename them, where.rename(…), or reduce the others, where.all(…)"
        )
    for dim in mask.dims:
        if mask.sizes[dim] != domain.sizes[dim]:
            raise ValueError(
                f"where of Valid has {mask.sizes[dim]} cells along {dim!r}, the field has "
                f"{domain.sizes[dim]}"
            )
        labels = domain.coordinate(dim) if dim in mask.indexes else None
        if labels is not None and not same_labels(labels, mask[dim].to_numpy()):
            raise ValueError(
                f"where of Valid has other labels along {dim!r} than the field: put it on its cells, "
                f"where.reindex_like(field), or drop the labels if the cells are the same, "
                f"where.drop_vars({dim!r})"
            )


def same_labels(mine: NDArray, theirs: NDArray) -> bool:
    """Whether labels are equal, numbers to a thousandth of their distance."""
    if mine.dtype.kind not in "iuf" or theirs.dtype.kind not in "iuf":
        return mine.dtype.kind != theirs.dtype.kind or np.array_equal(mine, theirs)
    near = 1e-3 * np.abs(np.diff(mine)).min(initial=np.inf) if len(mine) > 1 else 1e-3
    return np.allclose(mine, theirs, rtol=1e-6, atol=near, equal_nan=True)


def _all(masks: list[xr.DataArray]) -> xr.DataArray:
    out = masks[0]
    for mask in masks[1:]:
        out = out & mask
    return out


def box_fractions(part: NDArray, starts: NDArray, boxes: Any) -> NDArray[np.float64]:
    """Average ``part`` over boxes by a summed-area table; cells outside of the field are invalid.

    The table has a row and a column for each place at which a box begins or ends, not for each cell:
    what lies between them is added up along the rows, as they are stored.
    """
    if not len(starts):
        return np.zeros(0)
    pads = [(b * s, b * s) for b, s in zip(boxes.wrap, boxes.sizes, strict=True)]
    part = np.pad(part, pads, mode="wrap") if any(boxes.wrap) else part
    first = starts + np.array([p[0] for p in pads])
    table, corners = part, []
    for axis, n in enumerate(part.shape):
        low = np.clip(first[:, axis], 0, n)
        high = np.clip(first[:, axis] + boxes.sizes[axis], 0, n)
        edges = np.flatnonzero(np.bincount(np.concatenate([low, high])))
        table = sums_between(table, edges, axis)
        corners.append((np.searchsorted(edges, low), np.searchsorted(edges, high)))
    total = np.zeros(len(starts))
    for ends in itertools.product((0, 1), repeat=part.ndim):
        sign = (-1) ** (part.ndim - sum(ends))
        total += sign * table[tuple(pair[end] for pair, end in zip(corners, ends, strict=True))]
    return total / np.prod(boxes.sizes)


def sums_between(values: NDArray, edges: NDArray[np.intp], axis: int) -> NDArray:
    """Add up along an axis from the first edge to each: as many sums as edges, the first is 0."""
    dtype = float if values.dtype.kind == "f" else np.int64
    values = values.view("u1") if values.dtype == bool else values
    out = np.zeros((*values.shape[:axis], len(edges), *values.shape[axis + 1 :]), dtype)
    if axis == values.ndim - 1:  # along the last axis reduceat is the faster way, else the slower
        part = values[..., edges[0] : edges[-1]]
        if part.shape[-1]:
            np.add.reduceat(part, edges[:-1] - edges[0], axis=-1, dtype=dtype, out=out[..., 1:])
        return np.cumsum(out, axis=-1, out=out)
    rows, sums = np.moveaxis(values, axis, 0), np.moveaxis(out, axis, 0)
    for k, (low, high) in enumerate(itertools.pairwise(edges.tolist())):
        np.add(sums[k], rows[low:high].sum(axis=0, dtype=dtype), out=sums[k + 1])
    return out
