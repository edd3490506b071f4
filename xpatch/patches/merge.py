"""Merge: aggregate each variable of the patches on the lattice that was split."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.aggregation import as_aggregation
from xpatch.domain import Lattice
from xpatch.domain.nodata import nodata_of, without_nodata
from xpatch.neighborhood import Members, Neighborhood
from xpatch.patches.arguments import Options, factors, size_message
from xpatch.patches.at_anchors import at_anchors
from xpatch.patches.bounds import bounded_by, turned_back
from xpatch.patches.carried import carried, on_cells
from xpatch.patches.chunks import output_chunks
from xpatch.patches.coarser import Target, on_coarse_cells
from xpatch.patches.composite import inverse_variance, most_probable, most_probable_each
from xpatch.patches.coords import merge_dates, restored_coords
from xpatch.patches.encoding import without_recipes
from xpatch.patches.fields import best_plan
from xpatch.patches.labels import part_of, same_numbers
from xpatch.patches.mapping import with_mapping
from xpatch.patches.nested import above_coordinates, domain_in
from xpatch.patches.plan import is_carried
from xpatch.patches.provenance import Provenance, check_like, ordered
from xpatch.patches.ranked import labeled
from xpatch.patches.read_back import put_back
from xpatch.patches.reduction import Reduction
from xpatch.patches.settled import settled
from xpatch.patches.split import check_chunks
from xpatch.patches.weights import Weights, remaining
from xpatch.window import is_boxcar


def resolved(aggregation: Any, source: Provenance) -> Any:
    """Give the aggregation that is asked for, one or two of them, else that of the split."""
    how = source.plans[0].aggregation if aggregation is None else aggregation
    if not isinstance(how, tuple | list):
        how = as_aggregation(how)
        how = how.of_one if source.coarse else how
    return how


def check_one_scale(source: Provenance) -> None:
    """Raise a ValueError if patches are of several scales."""
    if source.coarse and len(source.plans) > 1:
        raise ValueError(
            "these patches are of several scales, or fields, and nothing says which of them shall be "
            "merged; keep scales apart, as the nodes of the DataTree, or merge variables one by one"
        )


class Merge:
    """The merge of the patches of one field, step by step.

    Parameters
    ----------
    patches : DataArray or Dataset
        The patches, and
    source : Provenance
        where they come from.
    aggregation : Aggregation
        What overlapping patches become.
    options : Options
        What else merge was asked for.
    chunks : mapping, optional
        Those of the result; default: as the field had.
    present : array (patch,), optional
        Which patches there are, of a function that may fail on some.
    cut : tuple of hashable
        Further dimensions along which the field was cut, where this is a merge of time or space alone.
    """

    def __init__(
        self,
        patches: xr.DataArray | xr.Dataset,
        source: Provenance,
        aggregation: Any,
        options: Options,
        *,
        chunks: Mapping[Hashable, tuple[int, ...]] | None = None,
        present: Any = None,
        cut: tuple[Hashable, ...] = (),
    ):
        check_chunks(patches, "merge")
        self.patches, self.source, self.dim = patches, source, source.dim
        self.aggregation = aggregation
        self.plan = best_plan(source.plans, patches.sizes, options.like)
        self.domain: Lattice = self.plan.domain
        if options.like is not None:
            self.domain = domain_in(options.like)
            check_like(self.plan, self.domain)
        self.chunks, self.present = chunks, present
        self.covered: set[Hashable] = set()  # of dask: which variables have a value in every cell
        self.cut = (*self.plan.dims, *cut)
        self.skipna = options.skipna
        composed = aggregation.variables or aggregation.finalize  # which fill at the end
        self.asked = options.fill_value
        self.fill_value = None if composed else options.fill_value
        if self.asked is None and not aggregation.alike:  # no number stands for missing there
            self.fill_value = np.nan
        asked = factors(options.scale, self.plan)
        self.scale = {d: int(f) for d, f in asked.items() if f >= 1}
        self.coarser = {d: f.denominator for d, f in asked.items() if f < 1}
        if self.coarser or options.to is not None:
            self._move(options.to)
        self.crop = self._find_crop()
        self.patches = self._without_coarse()
        self._check_window()

    def _move(self, to: str | None) -> None:
        """Put patches on coarser cells than those of the field, or one value per patch at the anchors."""
        target = Target(self.plan, self.domain, self.source, self.patches, self.chunks)
        target = at_anchors(target) if to is not None else on_coarse_cells(target, self.coarser)
        self.plan, self.domain, self.source, self.patches, self.chunks = target

    @property
    def ordinals(self) -> NDArray[np.int64]:
        """Which patches take part."""
        return self.source.ordinals

    @property
    def fine_crop(self) -> dict[Hashable, tuple[int, int]]:
        """Which part of each patch came back, in cells of the field."""
        return {d: (a * (f := self.coarser.get(d, 1)), b * f) for d, (a, b) in self.crop.items()}

    # ------------------------------------------------------------------------------ checks

    def _check_window(self) -> None:
        how = self.aggregation
        counts = how.covers_zero and not how.numbered
        if not is_boxcar(self.plan.window) and not (how.linear or counts):
            raise ValueError(
                f"{self.aggregation!r} needs the values themselves, but these patches were "
                f"multiplied by the analysis window {self.plan.window!r} when they were split; "
                "split without window=, or merge with 'overlap_add', 'mean' or 'sum'"
            )

    def _find_crop(self) -> dict[Hashable, tuple[int, int]]:
        """Find which part of each patch came back: from the index, else from the labels."""
        crop = dict(self.source.crop)
        for members in self.plan.lists:
            self._check_slots(members)
        self.boxed = self.plan.boxed
        if self.boxed is None:
            return {}
        for d, size in self.boxed.inner.items():
            if d not in self.patches.dims:
                continue
            low, high = crop.get(d, (0, 0))
            known = (size - low - high) * self.scale.get(d, 1)
            labels = self._label_part(d)
            if labels is not None and self.scale.get(d, 1) == 1:
                crop[d] = labels
            elif self.patches.sizes[d] != known:
                scale = Fraction(self.scale.get(d, 1), self.coarser.get(d, 1))
                whole = size * self.coarser.get(d, 1)
                raise ValueError(size_message(d, whole, known, self.patches.sizes[d], scale))
        return crop

    def _check_slots(self, members: Members) -> None:
        """Raise a ValueError unless each patch has its slots, or one value."""
        d = members.dim
        if self.scale:
            raise ValueError(
                f"scale refines boxes; lists of members along {d!r} have no finer cells"
            )
        if d not in self.patches.dims:
            return
        if self.patches.sizes[d] != members.width:
            raise ValueError(
                f"the patches have {self.patches.sizes[d]} slots along {d!r}, but were split with "
                f"{members.width}: a model must keep all slots, in order, or reduce them to one value "
                f"a patch (over {d!r})"
            )
        name = members.numbers or d
        labels = self.patches.coords[name].variable if name in self.patches.coords else None
        if labels is None or set(labels.dims) != {self.dim, d} or labels.chunks is not None:
            return
        if not same_numbers(labels, self.source.ordinals, self.dim, self.plan, members):
            raise ValueError(
                f"the member numbers along {d!r} are not those of their patch: slots were reordered "
                f"or relabeled; undo it before merge, or drop them with drop_vars({d!r}) if the "
                "slots are in order"
            )

    def _label_part(self, d: Hashable) -> tuple[int, int] | None:
        """Cells cut off at both ends according to labels; None if there are none, or of dask.

        Raises
        ------
        ValueError
            If the labels are not a run of those of the patch.
        """
        if d not in self.patches.coords or not self.source.ordinals.size:
            return None
        labels = self.patches.coords[d].variable
        if labels.chunks is not None or d not in labels.dims or set(labels.dims) - {d, self.dim}:
            return None
        assert self.boxed is not None
        if self.plan.domain.coordinate(d) is None or labels.sizes[d] > self.boxed.inner[d]:
            return None
        where = (self.source.ordinals, self.dim, self.boxed, d)
        found = part_of(labels, *where, self.source.crop.get(d))
        if found is not None or not labels.sizes[d]:
            return found
        raise ValueError(
            f"the labels along {d!r} are not a run of those of their patch: in-patch cells were "
            "reordered, thinned out or relabeled; undo it before merge, or drop the labels with "
            f"drop_vars({d!r}) if the cells are in order"
        )

    def _without_coarse(self) -> Any:
        """Drop the coordinates of coarse cells, which are not those of the field."""
        averaged = {d for d, factor in self.plan.hood.coarse.items() if factor > 1}
        if not averaged:
            return self.patches
        coords = self.patches.coords.items()
        return self.patches.drop_vars([n for n, c in coords if averaged & {*c.dims}])

    # --------------------------------------------------------------------------------- run

    def run(self) -> Any:
        """Merge."""
        aggregation = self.aggregation
        if aggregation.variables:
            together = inverse_variance(self.patches, aggregation, self.variable, self.asked)
            return self._wrap(together)
        if isinstance(self.patches, xr.DataArray):
            merged = self.variable(self.patches.variable, None)
            out = self._wrap(xr.Dataset({"_": merged}))["_"].rename(self.patches.name)
            if not aggregation.finalize:
                return out
            return most_probable(out, aggregation, self.asked, None in self.covered)
        parts, alone = {}, []
        for name, array in self.patches.data_vars.items():
            if self.dim not in array.dims or is_carried(self.plan, name, array.dims, self.cut):
                parts[name] = carried(array.variable, name, self.dim, self.present)
                continue
            alone.append(name)
            parts[name] = self.variable(array.variable, name)
        whole = self._wrap(xr.Dataset(parts, attrs=self.patches.attrs))
        if aggregation.finalize:
            return most_probable_each(whole, alone, aggregation, self.asked, self.covered)
        return whole

    def _wrap(self, merged: xr.Dataset) -> xr.Dataset:
        cut, inner = self.plan.dims, {self.dim, *self.plan.dims, *self.plan.inner}
        sizes = {d: n for d, n in self.patches.sizes.items() if d not in inner}
        sizes |= merged.sizes
        ours = [n for n in self.plan.own_names.values() if n in self.patches.coords]
        bare = self.patches.drop_vars(ours) if ours else self.patches
        coords = restored_coords(bare, self.domain, cut, self.dim, sizes, self.scale)
        merged = without_recipes(merged)
        out = with_mapping(merged.assign_coords(coords), self.domain, self.scale, self.patches)
        above = self.domain.above
        known = above_coordinates(above, bare, {**sizes, **merged.sizes}, self.scale)
        out = out.assign_coords({n: v for n, v in known.items() if n not in out.coords})
        if self.plan.recalled is None and (above is None or self.scale):
            return out
        return put_back(self, out, bare)

    def variable(self, variable: Variable, name: Hashable, aggregation: Any = None) -> Variable:
        """Merge one variable."""
        if self.boxed is not None:
            d = bounded_by(self.domain, name, self.boxed.dims)
            where = (self.boxed, self.source.ordinals, self.crop, self.dim)
            variable = turned_back(variable, d, *where)
        try:
            merged = merge_dates(self._merged, variable, name, aggregation, self.domain)
        except TypeError as error:
            if not isinstance(name, str):  # of a DataArray
                raise
            raise TypeError(f"variable {name!r}: {error}") from error
        numbered = variable.dtype.kind == "b" != merged.dtype.kind  # of which none was missing
        if numbered or not self.aggregation.alike:  # a count may be any number
            merged.attrs = without_nodata(merged.attrs)
        mappings = (
            self.domain.mappings
        )  # by which rioxarray finds the CRS; of a DataArray without a name
        mapping = mappings.get(name, mappings.get(None))
        if mapping is not None and "grid_mapping" not in merged.attrs:
            merged.encoding = {"grid_mapping": mapping}
        return merged

    def _merged(self, variable: Variable, name: Hashable, aggregation: Any) -> Variable:
        aggregation = self.aggregation if aggregation is None else aggregation
        if is_carried(self.plan, name, variable.dims):
            every, how = np.zeros_like(self.source.ordinals), (aggregation, self._skips(variable))
            found = on_cells(variable, self.dim, every, 1, *how, self.fill_value, self.present)
            return labeled(found, aggregation, self.ordinals).isel({self.dim: 0})
        whole = self.plan.hood.only(self._own_dims(variable, name))
        tapered = remaining(self.plan.window, whole, variable.dims)
        weights = Weights(tapered, aggregation.synthesis, whole, self.crop, self.scale)
        merged = self.reduced(variable, name, aggregation, weights, self.fill_value)
        return labeled(merged, aggregation, self.ordinals)

    def reduced(
        self,
        variable: Variable,
        name: Hashable,
        aggregation: Any,
        weights: Weights,
        fill_value: Any,
    ) -> Variable:
        """Merge one variable along the dimensions of the neighborhoods of ``weights``."""
        hood = weights.whole.cropped(self.crop).scaled(self.scale)
        variable = self._spread(variable, hood)
        order = self.domain.orders.get(name, self.domain.dims)
        places = None if self.plan.members is None else self.plan.places
        anchors = None if places is None else places.elements
        how = (weights, aggregation, self._skips(variable), fill_value, nodata_of(variable))
        repeats = tuple(p.factor for p in hood.parts)
        job = Reduction(hood.fine, self.source.ordinals, (), *how, anchors, repeats)
        dims = ordered(tuple(d for d in variable.dims if d != self.dim), order)
        if self.needs_slots_together(job, variable):
            dims = self._together(dims, hood, order)
        variable = variable.transpose(self.dim, *dims)
        job = job.at(tuple(dims.index(d) for d in hood.inner))
        if hood.lists:
            first = min(job.slots)
            after = [d for d in dims[first:] if d not in hood.inner]
            dims = (*dims[:first], *hood.dims, *after)
        data = self.aggregated(job, variable, name, hood)
        return Variable(dims, data, variable.attrs).transpose(*ordered(dims, order))

    def needs_slots_together(self, job: Reduction, variable: Variable) -> bool:
        """Whether the slots of several parts shall stand side by side."""
        return job.by_element or (job.takes_all and variable.chunks is not None)

    def aggregated(
        self, job: Reduction, variable: Variable, name: Hashable, hood: Neighborhood
    ) -> Any:
        """Aggregate the values of one variable, which has the dims that its reduction takes."""
        job = settled(job)
        if variable.chunks is None:
            return job.in_memory(variable.to_numpy())
        merged = job.chunked(variable.data, self.chunks_of(name, hood.dims), self.present)
        if job.aggregation.finalize and self.present is None and job.covers[0]:
            self.covered.add(name)
        return merged

    def _together(
        self, dims: tuple[Hashable, ...], hood: Neighborhood, order: tuple[Hashable, ...]
    ) -> tuple[Hashable, ...]:
        """Let the slots stand together, in their order, where the first of them lies in the field."""
        others = tuple(d for d in dims if d not in hood.inner)
        known = [d for d in order if d in (*others, *hood.dims)]
        first = min((known.index(d) for d in hood.dims if d in known), default=0)
        place = sum(d in others for d in known[:first])
        return (*others[:place], *hood.inner, *others[place:])

    def _skips(self, variable: Variable) -> bool:
        """Whether missing contributions are left out."""
        if variable.dtype == object:
            raise TypeError(
                "the patches have object dtype, which cannot be merged; convert them to numbers, dates "
                "or fixed-width text"
            )
        known = variable.dtype.kind in "fcmM" or nodata_of(variable) is not None
        return known if self.skipna is None else bool(self.skipna)

    def _own_dims(self, variable: Variable, name: Hashable) -> tuple[Hashable, ...]:
        """Give the cut dimensions that the variable has, or had before the model reduced them."""
        order = self.domain.orders.get(name) if name is not None else None
        had = self.plan.dims if order is None else order
        if self.plan.lists and not set(self.plan.dims) & set(had):
            had = self.plan.dims
        return tuple(d for d in self.plan.dims if d in had or d in variable.dims)

    def _spread(self, variable: Variable, hood: Neighborhood) -> Variable:
        """Let dimensions that the model reduced away paint the footprint."""
        missing = {d: n for d, n in hood.inner.items() if d not in variable.dims}
        if not missing:
            return variable
        order = (self.dim, *(d for d in self.domain.dims if d in missing or d in variable.dims))
        order += tuple(d for d in (*variable.dims, *missing) if d not in order)
        every = {self.dim: variable.sizes[self.dim], **missing}
        every |= {d: variable.sizes[d] for d in variable.dims}
        spread: Variable = variable.set_dims({d: every[d] for d in order})
        return spread

    def chunks_of(self, name: Hashable, dims: tuple[Hashable, ...]) -> list[tuple[int, ...]]:
        """Give the chunks of the result along cut dimensions."""
        known = self.chunks or self.domain.chunks.get(name)
        return output_chunks(self.domain, known, dims, self.scale)
