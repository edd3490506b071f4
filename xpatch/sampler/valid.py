"""`Valid`: keep the patches that hold enough data."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain.nodata import valid
from xpatch.domain.on_cells import check_cells
from xpatch.engine.distinct import distinct
from xpatch.geometry import Anchors, Geometry, MemberGeometry, Places
from xpatch.sampler.base import Sampler, asked, listed
from xpatch.sampler.cells import in_stored_chunks, written
from xpatch.sampler.filters import Filter, KeepAny
from xpatch.spec import check_amount, check_fraction


@dataclasses.dataclass(frozen=True, repr=False)
class Valid(Filter):
    """Keep the anchors whose patch holds enough valid cells.

    Parameters
    ----------
    sampler : Sampler
        Proposes the anchors. `Random` and `ByClass` draw on until as many are kept as they were asked for.
    min_fraction : float, default: 1.0
        Smallest fraction of valid cells in a patch, 0 to 1, over all dimensions of the field.
    where : DataArray of bool, optional
        Which cells are valid; default: those that are not missing (NaN, or a number that the
        attributes name, such as ``_FillValue``), in a Dataset those missing in no variable. A field on
        disk is read chunk by chunk, each once.

    Examples
    --------
    >>> field = xr.DataArray(np.arange(64.0).reshape(8, 8), dims=("y", "x"))
    >>> clear = xpatch.Valid(xpatch.Random(10, seed=0))
    >>> field.where(field > 20).patch.split(3, sampler=clear).sizes["patch"]
    10
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
        mask = self._mask(domain, field, boxes.dims)
        fraction = box_fractions(mask, boxes.starts(), boxes)
        keep = self._enough(fraction)
        if proposed.ordinals is not None:
            wanted = np.zeros(len(keep), bool)
            wanted[proposed.ordinals] = True
            keep &= wanted
        self._some(keep, fraction)
        if proposed.ordinals is not None:  # those of other patches: they keep their labels
            labels = proposed.ordinals[keep[proposed.ordinals]]
            return dataclasses.replace(proposed, ordinals=labels)
        ids = None if proposed.ids is None else proposed.ids[keep]
        found = listed(boxes.starts()[keep])
        return dataclasses.replace(found, ids=ids, centered=proposed.centered)

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
        dims = geometry.outline(domain).dims
        fraction = self._of_members(self._mask(domain, field, dims), domain, geometry, proposed)
        return np.flatnonzero(self._some(self._enough(fraction), fraction))

    def keeps(self, domain: Lattice, geometry: Geometry, field: Any) -> KeepAny:
        """Give the function that says which have enough valid cells."""
        if isinstance(geometry, MemberGeometry):
            mask = self._mask(domain, field, geometry.outline(domain).dims)
            return lambda places: self._enough(self._of_members(mask, domain, geometry, places))
        mask = self._mask(domain, field, geometry.outline(domain).dims)

        def keep(starts: NDArray) -> NDArray[np.bool_]:
            boxes: Any = geometry.neighborhood(domain, listed(starts))
            return self._enough(box_fractions(mask, starts, boxes))

        return keep

    def _enough(self, fraction: NDArray) -> NDArray[np.bool_]:
        return np.asarray(fraction >= self.min_fraction - 1e-12)

    def _of_members(
        self, mask: NDArray, domain: Lattice, geometry: MemberGeometry, places: Places
    ) -> NDArray[np.float64]:
        """Give the fractions of valid members; less than any of lists without members."""
        members = geometry.neighborhood(domain, places)
        part = mask.astype(float).ravel()
        total = np.bincount(members.patches, part[members.elements], len(members))
        return np.where(members.counts > 0, total / np.maximum(members.counts, 1), -1.0)

    def _some(self, keep: NDArray[np.bool_], fraction: NDArray) -> NDArray[np.bool_]:
        if not keep.any():
            raise ValueError(
                f"no patch has a fraction of valid cells of {self.min_fraction}; the best has "
                f"{fraction.max(initial=0):.3f}: lower min_fraction, or use smaller patches"
            )
        return keep

    def _mask(self, domain: Lattice, field: Any, dims: tuple) -> NDArray[Any]:
        """Give the valid fraction of each cell of ``dims``, or whether it is valid."""
        mask = self.where
        if mask is None:
            if field is None:
                raise ValueError("Valid needs the field, or where=mask")
            every = field.data_vars.values() if isinstance(field, xr.Dataset) else [field]
            cut = [v for v in every if set(v.dims) & set(dims)]
            if not cut:
                raise ValueError(
                    f"no variable of the Dataset has any of the dimensions {list(dims)}"
                )
            mask = _all([valid(in_stored_chunks(v)) for v in cut])
        elif not isinstance(mask, xr.DataArray):
            raise TypeError(
                f"where of Valid must be a boolean DataArray, got {type(mask).__name__}"
            )
        elif mask.dtype != bool:
            raise TypeError(f"where of Valid must be boolean, got dtype {mask.dtype}")
        if self.where is not None:
            check_cells(mask, domain, dims, "where of Valid")
        missing = {d: domain.sizes[d] for d in dims if d not in mask.dims}
        bare = mask.drop_vars(list(mask.coords))
        others = [d for d in mask.dims if d not in dims]
        part = bare.mean(others) if others else bare
        return part.expand_dims(missing).transpose(*dims).to_numpy()

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-able values; of a mask only that there was one."""
        return {**super().to_dict(), "where": written(self.where)}


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
    cells = boxes.cells()
    pads = [(b * s, b * s) for b, s in zip(boxes.wrap, boxes.sizes, strict=True)]
    part = np.pad(part, pads, mode="wrap") if any(boxes.wrap) else part
    first = starts + np.array([p[0] for p in pads])
    table, corners = part, []
    for axis, n in enumerate(part.shape):
        low = np.clip(first[:, axis], 0, n)
        high = np.clip(first[:, axis] + cells[:, axis], 0, n)
        edges = np.flatnonzero(np.bincount(np.concatenate([low, high])))
        table = sums_between(table, edges, axis)
        corners.append((np.searchsorted(edges, low), np.searchsorted(edges, high)))
    total = np.zeros(len(starts))
    for ends in itertools.product((0, 1), repeat=part.ndim):
        sign = (-1) ** (part.ndim - sum(ends))
        total += sign * table[tuple(pair[end] for pair, end in zip(corners, ends, strict=True))]
    return total / np.prod(cells, axis=1)


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
