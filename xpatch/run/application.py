"""Apply: run a function on batches of patches, one patch block after the other."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.aggregation import Aggregation, as_aggregation
from xpatch.domain import variables_of
from xpatch.engine.lazy import Rows, keeping
from xpatch.engine.stacked import Stacked
from xpatch.models.merge import preprocessed
from xpatch.patches.arguments import Options
from xpatch.patches.by_variable import by_variable
from xpatch.patches.chunks import groups_within, patch_groups, virtual_chunks
from xpatch.patches.index import as_given, patch_index, whole_of
from xpatch.patches.merge import Merge, resolved
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import of_index
from xpatch.patches.record import run as run_merge
from xpatch.patches.split import cut_field
from xpatch.report import PatchFailure, Ticker, tell, warn_of
from xpatch.run.arrays import Outputs
from xpatch.run.block import Agreed, Apply, Frame, Shipped
from xpatch.run.full import Item, Sources, runs_of, shares_of
from xpatch.run.probe import probed
from xpatch.spec import check_flag, check_patches

BLOCK_BYTES = 1 << 25  # of the patches that are cut at a time from a field that is not chunked
KEPT_BYTES = 1 << 29  # of stored chunks that are kept while a field is read from disk
ON_ERROR = ("raise", "nan", "skip")


class Application:
    """One call of `apply`, step by step."""

    def __init__(
        self,
        func: Callable[[Any], Any],
        plan: Plan,
        patches: Any,
        blocks: list[int],
        options: Mapping[str, Any],
        scale: Any,
        template: Any,
        eager: bool,
    ):
        self.func, self.plan, self.patches, self.blocks = func, plan, patches, blocks
        self.options, self.eager = options, eager
        index = patch_index(patches)
        assert index is not None
        self.index, self.dim = index, index.dim
        self.failures: dict[int, str] = {}
        on_error = options["on_error"]
        self.skeleton = probed(func, patches, self.dim, on_error, scale, template)
        carried = [n for n, v in self._whole().data_vars.items() if self.dim not in v.dims]
        lost = [n for n in carried if self._whole()[n].chunks is not None]
        if lost and isinstance(self.skeleton.like, xr.Dataset) and lost[0] in self.skeleton.like:
            raise ValueError(
                f"{lost[0]!r} has no cut dimension and is chunked, so that func would get it with "
                "every patch block; load it, or leave it out"
            )

    def _whole(self) -> xr.Dataset:
        return whole_of(self.patches)

    def _identity(self) -> list[Any]:
        """Give what tells these patches from others, without making the labels of every patch.

        Labels that are put off follow from where the patches were cut, which the names of their
        arrays say, and from the coordinates of the field.
        """
        found: list[Any] = []
        for name, v in self._whole().variables.items():
            values = v.data.name if v.chunks is not None else v.values if v._in_memory else v.shape
            found.append((name, v.dims, v.attrs, values))
        coords = self.plan.domain.template.variables
        return [found, [(n, v.dims, v.values) for n, v in coords.items() if v._in_memory]]

    def lazily(self) -> tuple[Any, Any]:
        """Give the patches that func makes, and which of them are present, on dask."""
        import dask.array as da
        from dask.base import tokenize
        from dask.highlevelgraph import HighLevelGraph

        from xpatch.engine.graph import layered

        whole, dim, on_error = self._whole(), self.dim, self.options["on_error"]
        chunked = {n: v for n, v in whole.variables.items() if v.chunks is not None}
        sources = Sources(chunked, dim, self.blocks)
        frame = Frame.of(self.patches, dim)
        agreed = Agreed(dim, self.plan.dims, self.skeleton.crop, self.skeleton.shared)
        forms, batch = self.skeleton.forms, self.options["batch_size"]
        token = uuid.uuid4().hex
        if not self.eager:
            token = tokenize(
                self.func, self._identity(), forms, batch, on_error, self.skeleton.like
            )
        name = f"xpatch-apply-{token}"
        tick = Ticker(token, sum(self.blocks)) if self.options["progress"] else None
        report = self.failures.update if self.eager else warn_of
        inputs = tuple((n, v.dims, v.attrs) for n, v in sources.variables.items())
        func_key, frame_key = (f"{name}-func",), (f"{name}-frame",)
        graph: dict[Any, Any] = {func_key: Shipped(self.func), frame_key: Shipped((frame, agreed))}
        runs = runs_of(self.blocks, batch)
        stops = np.cumsum(runs).tolist()
        taken = shares_of(runs, self.blocks)
        for r, (size, stop, shares) in enumerate(zip(runs, stops, taken, strict=True)):
            which, sizes = slice(stop - size, stop), tuple(s.high - s.low for s in shares)
            job = Apply(which, sizes, inputs, forms, batch, on_error, report, tick)
            keys = sources.add(name, shares, graph)
            graph[(name, r)] = (job, func_key, frame_key, keys, sources.left(name, shares))
        layers = layered(name, graph, [v.data for v in sources.variables.values()])
        given = shares_of(self.blocks, runs)

        def output(k: int, sizes: tuple[int, ...], dtype: np.dtype) -> da.Array:
            part = f"{name}-{k}"
            zeros = (0,) * len(sizes)
            items: dict[Any, Any] = {
                (part, b, *zeros): (Item(tuple(shares), k), [(name, s.source) for s in shares])
                for b, shares in enumerate(given)
            }
            both = HighLevelGraph(
                {**layers.layers, part: items}, {**layers.dependencies, part: {name}}
            )
            chunks = (tuple(self.blocks), *((n,) for n in sizes))
            return da.Array(both, part, chunks, meta=np.empty((0,) * (len(sizes) + 1), dtype))

        out = {}
        for k, (variable, form) in enumerate(forms.items()):
            array = output(k, form.sizes, form.filled)
            out[variable] = Variable((dim, *form.dims), array, form.attrs)
        present = output(len(forms), (), np.dtype(bool)) if on_error == "skip" else None
        return self.skeleton.patches(out, self.index), present


def apply_in_blocks(
    obj: Any,
    func: Callable[[Any], Any],
    plan: Plan,
    ordinals: NDArray,
    dim: Hashable,
    chunks: Any,
    template: Any,
    options: dict[str, Any],
    aggregation: Any,
    merging: Options,
    outputs: tuple[Any, Any],
) -> Any:
    """Split, run func and merge; see `xpatch.apply`."""
    _check(func, options)
    func = Outputs.of(func, dim, *outputs)
    asked = aggregation or plan.aggregation
    _check_aggregation(asked)
    check_patches(chunks, "chunks")
    variables = variables_of(obj)
    groups = patch_groups(variables, plan, ordinals, chunks)
    eager = groups is None
    out_chunks = None
    if groups is None:
        out_chunks, most = virtual_chunks(variables, plan, _block_bytes(asked))
        groups = groups_within(out_chunks, plan, ordinals, most)
    patches = cut_field(obj, plan, dim, ordinals, groups, defer=True)
    blocks = [len(g) for g in groups] or [0]
    run = Application(func, plan, patches, blocks, options, merging.scale, template, eager)
    made, present = run.lazily()
    source = of_index(made)

    def merged_by(patches: Any, asked: Any) -> Any:
        how = resolved(asked, source)
        part, own, there = preprocessed(patches, source, how, merging.scale, present)
        return run_merge(Merge(part, own, how, merging, chunks=out_chunks, present=there))

    merged = by_variable(made, aggregation, merged_by)
    if eager:
        arrays = [v._data for v in whole_of(patches).variables.values()]
        with keeping(arrays, KEPT_BYTES, partial(_of_a_row, chunks=out_chunks or {})):
            merged = _stored(merged)
        if run.failures:
            tell(PatchFailure(run.failures))
    return plan.domain.wrap(merged)


def _check(func: Any, options: Mapping[str, Any]) -> None:
    if not callable(func):
        raise TypeError(f"apply takes a function of patches, got {type(func).__name__}")
    if options["on_error"] not in ON_ERROR:
        raise ValueError(f"on_error must be one of {ON_ERROR}, got {options['on_error']!r}")
    check_flag(options["progress"], "progress")
    size = options["batch_size"]
    if size is None:
        return
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise TypeError(f"batch_size must be an int or None, got {size!r}")
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, got {size}")


def _check_aggregation(aggregation: Any) -> None:
    """Raise a ValueError if patches are not merged to the field at once."""
    if isinstance(aggregation, Mapping):
        for one in aggregation.values():
            _check_aggregation(one)
    cube = isinstance(aggregation, Aggregation) and aggregation.preprocess == "cube"
    if cube or isinstance(aggregation, tuple | list):
        raise ValueError(
            f"apply merges patches to the field block by block, which {aggregation!r} does not; of a dask "
            "field patches are lazy: func(field.patch.split(patcher)).patch.merge(aggregation)"
        )


def _block_bytes(asked: Any) -> int:
    """Give how large blocks are; modes and order statistics keep a row of numbers for each cell of them."""
    several = asked.values() if isinstance(asked, Mapping) else [asked]
    reducers = [as_aggregation(how).reducer(np.dtype(float), False) for how in several]
    return BLOCK_BYTES // (4 if any(isinstance(r, Stacked) for r in reducers) else 1)


def _of_a_row(rows: Rows, chunks: Mapping[Hashable, tuple[int, ...]]) -> float:
    """Give the bytes of the stored chunks that blocks of one row read, which those of the next read again."""
    dims, hood = rows.cut.hood.dims, rows.cut.hood
    if not dims or hood.lists or not rows.stored or any(p.wrap for p in hood.slices):
        return math.inf
    d, n = dims[0], hood.shape[0]
    around = 2 * max(rows.stored[0]) + hood.fine.inner[d]
    span = max(chunks.get(d, (n,))) + around
    return math.prod(rows.source.shape) * rows.source.dtype.itemsize * min(1.0, span / n)


def _stored(merged: Any) -> Any:
    """Compute one task after the other, each chunk into its place."""
    import dask.array as da
    from dask.local import get_sync  # by its name dask would import distributed to find it

    whole = whole_of(merged)
    lazy = {n: v for n, v in whole.variables.items() if v.chunks is not None}
    targets = [np.empty(v.shape, v.dtype) for v in lazy.values()]
    sources = [v.data for v in lazy.values()]
    da.store(sources, targets, lock=False, scheduler=get_sync)
    for (name, v), target in zip(lazy.items(), targets, strict=True):
        whole[name] = Variable(v.dims, target, v.attrs, v.encoding)
    return as_given(whole, merged)
