"""Merger: merge what a loop that is not xpatch's own gives, batch by batch, in any order."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable
from xarray.indexes import PandasIndex

from xpatch.models.merge import merge_each, preprocessed
from xpatch.patches.arguments import Options, check_words
from xpatch.patches.by_variable import by_variable, grouped
from xpatch.patches.carried import carried
from xpatch.patches.fields import by_field
from xpatch.patches.index import PatchIndex, patch_index, whole_of
from xpatch.patches.merge import check_one_scale, resolved
from xpatch.patches.plan import is_carried
from xpatch.patches.provenance import Provenance, identified
from xpatch.patches.recall import indexed
from xpatch.patches.streaming import Before, Kept, Streamed, held, stream_of
from xpatch.spec import is_integer
from xpatch.training.outputs import Naming, emptied, labels_of
from xpatch.training.stages import Collect, Give, Pending, same_reduction

__all__ = ["merger"]

MOST_BYTES = 1 << 30
IN_TURN = {
    "cube": "keeps all forecasts apart, and has no state that they add up to",
    "scan": "goes through the patches in the order of time",
}


def merger(
    patches: xr.DataArray | xr.Dataset,
    aggregation: Any = None,
    *,
    skipna: bool | None = None,
    fill_value: Any = None,
    scale: Any = None,
    max_bytes: int = MOST_BYTES,
    path: Any = None,
    output_dims: Sequence[Hashable] | Mapping[Hashable, Sequence[Hashable]] | None = None,
    output_coords: Mapping[Hashable, Any] | None = None,
) -> Merger:
    """Merge what comes batch by batch, in any order, of a loop that is not xpatch's own.

    ``add`` takes the outputs of a batch and ``result`` gives what `merge` gives of all of them. Memory is that
    of the field: of every variable one state is held, and none of the patches. Only aggregations that look at all
    contributions of a cell together (median, quantile, mode, learned ones) keep what is added.

    Parameters
    ----------
    patches : DataArray or Dataset
        The patches that the loop goes over, or some of them: they tell the split, and where the
        result lies.
    aggregation, skipna, fill_value, scale
        As in `merge`.
    max_bytes : int, default: 2**30
        How much of contributions may be kept in memory, where an aggregation keeps them.
    path : path, optional
        A new or empty directory, in which contributions are kept instead. Then the result is lazy, and
        reads them when it is computed.
    output_dims : sequence of hashable, or mapping, optional
        Dimensions of bare arrays, where they are not those of the patches, such as ``("patch", "class", "y",
        "x")``; of several variables by name.
    output_coords : mapping, optional
        Coordinates of further dimensions of bare arrays, such as ``{"class": ["water", "wood"]}``.

    Returns
    -------
    Merger
        With ``add(batch, patch=None)`` and ``result()``.

    Raises
    ------
    ValueError
        If these are no patches, or those of several splits; if the aggregation goes through patches in
        the order of time; if the directory holds something.

    Examples
    --------
    >>> field = xr.DataArray(np.arange(16.0).reshape(4, 4), dims=("y", "x"))
    >>> patches = field.patch.split(
    ...     geometry={"y": 2, "x": 2}, sampler=xpatch.RegularStride(1)
    ... )
    >>> merger = patches.patch.merger(xpatch.OverlapAdd("hann"))
    >>> for batch in patches.patch.batches(4, shuffle=True, seed=0):
    ...     merger.add(2 * batch)
    >>> xr.testing.assert_allclose(merger.result(), 2 * field)

    A loop of arrays adds these with the labels of their patches:

    >>> merger = patches.patch.merger("max")
    >>> merger.add(patches.values[[8, 0]], patch=[8, 0])
    >>> merger.result().values[0]
    array([ 0.,  1., nan, nan])
    """
    check_words(skipna, fill_value, scale)
    if not is_integer(max_bytes) or max_bytes < 0:
        raise ValueError(f"max_bytes must be an int of at least 0, got {max_bytes!r}")
    options = Options(skipna=skipna, fill_value=fill_value, scale=scale)
    out = Merger(patches, aggregation, options, int(max_bytes))
    out.naming = Naming.of(out.patches, out.inner, output_dims, output_coords)
    out.path = emptied(path)
    return out


class Merger:
    """The merge of patches that come batch by batch; see `merger`."""

    naming: Naming
    path: Path | None = None

    def __init__(self, patches: Any, aggregation: Any, options: Options, max_bytes: int):
        labels = patch_index(indexed(patches))
        patches, source = identified(patches, None)
        check_one_scale(source)
        assert labels is not None
        self.labels: PatchIndex = labels  # of several scenes those of all
        self.patches, self.source, self.dim = patches, source, source.dim
        self.aggregation, self.options, self.max_bytes = aggregation, options, max_bytes
        self.inner = {d for plan in source.plans for d in plan.inner}
        self.streams: dict[Any, Any] = {}
        self.carried: dict[Hashable, Variable] = {}
        self.batches: list[NDArray[np.int64]] = []
        self.expected = np.zeros(len(source.plans[0]), bool)  # and not come yet
        self.expected[source.ordinals] = True
        self.again = False
        self.sample: Any = None
        every = [*aggregation.values()] if isinstance(aggregation, Mapping) else [aggregation]
        for plan in source.plans:
            own = dataclasses.replace(source, plans=(plan,))
            for how in every:
                check_streams(resolved(how, own))

    # ------------------------------------------------------------------------------- add

    def add(self, batch: Any, *, patch: Any = None) -> None:
        """Add a batch of outputs.

        Parameters
        ----------
        batch : DataArray, Dataset, array or mapping of arrays
            Patches, as `merge` takes them, or arrays of any library (patch, …), of several variables
            by name; tensors come to the CPU. A mapping may hold the labels, under the name of
            the patch dimension.
        patch : array (patch,), optional
            The labels of the patches, as in ``patches["patch"]``.

        Raises
        ------
        ValueError
            If labels are missing, or not those of these patches; if these are patches of another split, or
            not like those of the first batch; if more is kept than ``max_bytes``.
        """
        given, came = self._identified(batch, patch)
        pending: list[Pending] = []
        ordinals = came.ordinals
        self._check_known(ordinals)
        for k, part, source in self._fields(given, came):
            for asked, own in grouped(part, self.aggregation):
                how = resolved(asked, source)
                there, whose, _ = preprocessed(own, source, how, self.options.scale)
                merge = Collect(there, whose, how, self.options)
                merge.into, merge.field = pending, k
                merge.run()
        rest = self._carried(given)
        self._check_like_first(given, pending)
        self._check_room(pending)
        before = Before(self.batches, self.again or self._comes_again(ordinals))
        for item in pending:
            stream = self._stream(item)
            stream.add(item.rows, ordinals, before)
        self.again = before.again
        self.expected[ordinals] = False
        self.batches.append(ordinals)
        self.carried = rest
        if self.sample is None:
            self.sample = given.isel({self.dim: slice(0, 1)}).copy(deep=True)

    def _identified(self, batch: Any, patch: Any) -> tuple[Any, Provenance]:
        """Give a batch as patches with the index of their split, and say which they are.

        Raises
        ------
        ValueError
            If nothing says which patches they are, or they are of another split.
        """
        given = self.naming(batch, self.dim, patch)
        if patch is not None or (patch_index(given) is None and self.dim in given.coords):
            labels = given.coords[self.dim].values if patch is None else patch
            numbers = labels_of(labels, given.sizes.get(self.dim), self.dim)
            given = given.drop_vars(self.dim, errors="ignore")
            own = self.labels._replace(PandasIndex(numbers, self.dim))
            coords = own.create_variables()
            given = given.assign_coords(xr.Coordinates(coords, indexes={self.dim: own}))
        given = indexed(given)
        index = patch_index(given)
        if index is None or index.dim != self.dim:
            raise ValueError(
                f"nothing says which patches these are: keep the labels {self.dim!r}, "
                f"xr.DataArray(…, coords={{{self.dim!r}: batch[{self.dim!r}]}}), or give them, "
                "add(outputs, patch=labels)"
            )
        given, source = identified(given, None)
        if not self._same_split(given):
            raise ValueError(
                "these are patches of another split than those that this merger was made of; each has "
                "one of its own: patches.patch.merger(…)"
            )
        return given.compute(), source

    def _same_split(self, given: Any) -> bool:
        own, index = patch_index(self.patches), patch_index(given)
        if own is None or index is None or not own._same_anchors(index):
            return False
        a, b = index.plans[0], self.source.plans[0]
        return a.domain is b.domain or b.domain.same_lattice(a.domain, b.dims) is None

    def _check_known(self, ordinals: NDArray[np.int64]) -> None:
        """Raise a ValueError if labels are none of the split."""
        n = len(self.expected)
        if len(ordinals) and (ordinals.min() < 0 or ordinals.max() >= n):
            wrong = ordinals[(ordinals < 0) | (ordinals >= n)][:5].tolist()
            raise ValueError(
                f"the split has {n} patches, labeled from 0 on, and none labeled {wrong}; give the labels that the "
                f"loader gives with each batch, patches[{self.dim!r}]"
            )

    def _fields(self, given: Any, source: Provenance) -> Any:
        """Give the variables field by field: patches of several fields may stand at the same anchors."""
        if len(source.plans) < 2 or source.coarse:
            yield 0, given, source
            return
        for plan, part in by_field(given, source.plans, None).items():
            own = dataclasses.replace(source, plans=(plan,))
            yield self.source.plans.index(plan), part, own

    def _comes_again(self, ordinals: NDArray[np.int64]) -> bool:
        """Whether a patch comes that was not expected, or was there."""
        return len(np.unique(ordinals)) < len(ordinals) or not self.expected[ordinals].all()

    def _stream(self, item: Pending) -> Any:
        if item.key not in self.streams:
            self.streams[item.key] = stream_of(
                Streamed.of(item.job).some(self.source.ordinals), *item.kind, self._file()
            )
        return self.streams[item.key]

    def _file(self) -> Path | None:
        return None if self.path is None else self.path / f"{len(self.streams)}.bin"

    # ---------------------------------------------------------------------------- checks

    def _check_like_first(self, given: Any, pending: list[Pending]) -> None:
        """Raise a ValueError unless a batch has the variables, sizes, dtypes and labels of the first."""
        if self.sample is None:
            return
        if type(given) is not type(self.sample) or {p.key for p in pending} != {*self.streams}:
            names = [[*whole_of(x).data_vars] for x in (self.sample, given)]
            raise ValueError(
                f"the first batch was a {type(self.sample).__name__} of {names[0]}, and this is a "
                f"{type(given).__name__} of {names[1]}: all batches must have the same variables"
            )
        for item in pending:
            known = self.streams[item.key]
            if (known.patch, known.dtype) != item.kind or not same_reduction(known.job, item.job):
                raise ValueError(
                    f"{item.called} has patches of shape {item.kind[0]} and dtype {item.kind[1]} in this batch, "
                    f"{known.patch} and {known.dtype} in the first: all batches must be alike, also in dims "
                    "and crop; give the model whole patches, and cast what it gives"
                )
        for d in self.sample.xindexes:
            if d == self.dim or self.dim in self.sample.coords[d].dims:
                continue
            if d in given.coords and not given.coords[d].equals(self.sample.coords[d]):
                raise ValueError(
                    f"the labels along {d!r} are {given.coords[d].values.tolist()} in this batch, "
                    f"{self.sample.coords[d].values.tolist()} in the first"
                )

    def _check_room(self, pending: list[Pending]) -> None:
        """Raise a ValueError if more would be kept in memory than was allowed."""
        if self.path is not None:
            return
        kept = sum(s.nbytes for s in self.streams.values() if isinstance(s, Kept))
        kept += sum(held(p.rows) for p in pending if Streamed.of(p.job).takes_all)
        if kept > self.max_bytes:
            how = next(p.job.aggregation for p in pending if Streamed.of(p.job).takes_all)
            raise ValueError(
                f"{how!r} looks at all contributions of a cell together, and those that were added take "
                f"{kept / 2**20:,.1f} MiB, more than max_bytes={self.max_bytes:,}: keep them on disk, "
                "merger(path=directory), allow more, or take an aggregation that adds up, such as 'mean', 'max' "
                "or 'most_central'"
            )

    def _carried(self, given: Any) -> dict[Hashable, Variable]:
        """Give what all patches have alike, of the batches before and of this one."""
        found: dict[Hashable, Variable] = {}
        for name, v in given.data_vars.items() if isinstance(given, xr.Dataset) else ():
            plans = [p for p in self.source.plans if is_carried(p, name, v.dims)]
            if self.dim in v.dims and not plans:
                continue
            old: Variable | None = self.carried.get(name)
            own: Variable = v.variable
            if self.dim not in v.dims:
                if old is not None and not own.equals(old):
                    raise ValueError(f"{name!r} has no patches, and differs between batches")
                found[name] = own.copy(deep=True)
                continue
            own = own.transpose(self.dim, ...)
            if old is not None:
                own = Variable.concat([old, own], self.dim)
            if len(own):
                alike = carried(own, name, self.dim)
                own = alike.set_dims({self.dim: 1, **alike.sizes})
            found[name] = own
        return found

    # ---------------------------------------------------------------------------- result

    def result(self) -> Any:
        """Give the merge of all that was added; more may be added afterwards.

        Returns
        -------
        DataArray or Dataset
            What `merge` gives of all patches together, in memory; from ``path`` lazily.

        Raises
        ------
        ValueError
            If nothing was added.
        """
        if self.sample is None:
            raise ValueError(
                "nothing was added, so that nothing says what the result has: merger.add(outputs) first"
            )
        patches = self.sample
        if self.carried:
            count = patches.sizes[self.dim]
            rows = {n: v[:count] if self.dim in v.dims else v for n, v in self.carried.items()}
            patches = patches.assign(rows)
        patches, source = identified(patches, None)
        merged = by_variable(patches, self.aggregation, partial(self._merged, source=source))
        return source.plans[0].domain.wrap(merged)

    def _merged(self, patches: Any, aggregation: Any, source: Provenance) -> Any:
        if len(source.plans) > 1 and not source.coarse:
            return merge_each(patches, source, aggregation, self.options, self._given)
        return self._given(patches, source, aggregation, self.options)

    def _given(self, patches: Any, source: Provenance, aggregation: Any, options: Options) -> Any:
        how = resolved(aggregation, source)
        field = self.source.plans.index(source.plans[0]) if len(self.source.plans) > 1 else 0
        patches, source, _ = preprocessed(patches, source, how, options.scale)
        merge = Give(patches, source, how, options)
        merge.owner, merge.field = self, field
        return merge.domain.wrap(merge.run())

    def __repr__(self) -> str:
        came = sum(map(len, self.batches))
        return f"<Merger of {len(self.source.ordinals)} patches, {came} added in {len(self.batches)} batches>"


def check_streams(how: Any) -> None:
    """Raise a ValueError if an aggregation cannot take patches in any order."""
    if isinstance(how, tuple | list):
        raise ValueError(
            "merger takes one aggregation; (spatial, temporal) merges the steps of each place first, for which all "
            "of them must be there: collect the outputs, xr.concat(batches, dim).patch.merge((…, …))"
        )
    if how.preprocess in IN_TURN:
        raise ValueError(
            f"{how!r} {IN_TURN[how.preprocess]}: collect the outputs, "
            f"xr.concat(batches, dim).patch.merge({how!r})"
        )
