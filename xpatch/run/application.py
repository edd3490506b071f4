"""Apply: run a function on batches of patches, one patch block after the other."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.aggregation import Aggregation
from xpatch.domain import variables_of
from xpatch.engine.lazy import keeping
from xpatch.models.merge import preprocessed
from xpatch.patches.arguments import Options
from xpatch.patches.chunks import groups_within, patch_groups, virtual_chunks
from xpatch.patches.index import as_given, patch_index, whole_of
from xpatch.patches.merge import Merge, resolved
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import of_index
from xpatch.patches.record import run as run_merge
from xpatch.patches.split import cut_field
from xpatch.report import PatchFailure, Ticker, warn_of
from xpatch.run.block import Agreed, Apply, Frame, Shipped
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
        chunked = {
            n: v.chunk(
                {d: -1 for d in v.dims if d != dim}
                | ({dim: tuple(self.blocks)} if dim in v.dims else {})
            )
            for n, v in chunked.items()
        }
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
        inputs = tuple((n, v.dims, v.attrs) for n, v in chunked.items())
        func_key, frame_key = (f"{name}-func",), (f"{name}-frame",)
        graph: dict[Any, Any] = {func_key: Shipped(self.func), frame_key: Shipped((frame, agreed))}
        stops = np.cumsum(self.blocks).tolist()
        for b, (size, stop) in enumerate(zip(self.blocks, stops, strict=True)):
            which = slice(stop - size, stop)
            job = Apply(which, inputs, forms, batch, on_error, report, tick)
            keys = []
            for v in chunked.values():
                at = [b if d == dim else 0 for d in v.dims]
                keys.append((v.data.name, *at))
            graph[(name, b)] = (job, func_key, frame_key, keys)
        sources = [v.data for v in chunked.values()]
        layers = layered(name, graph, sources)

        def output(k: int, sizes: tuple[int, ...], dtype: np.dtype) -> da.Array:
            part = f"{name}-{k}"
            zeros = (0,) * len(sizes)
            items: dict[Any, Any] = {
                (part, b, *zeros): (_item, (name, b), k) for b in range(len(self.blocks))
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


def _item(values: list[Any], k: int) -> Any:
    return values[k]


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
) -> Any:
    """Split, run func and merge; see `xpatch.apply`."""
    _check(func, options)
    _check_aggregation(aggregation or plan.aggregation)
    check_patches(chunks, "chunks")
    variables = variables_of(obj)
    groups = patch_groups(variables, plan, ordinals, chunks)
    eager = groups is None
    out_chunks = None
    if groups is None:
        out_chunks, most = virtual_chunks(variables, plan, BLOCK_BYTES)
        groups = groups_within(out_chunks, plan, ordinals, most)
    patches = cut_field(obj, plan, dim, ordinals, groups, defer=True)
    blocks = [len(g) for g in groups] or [0]
    run = Application(func, plan, patches, blocks, options, merging.scale, template, eager)
    made, present = run.lazily()
    source = of_index(made)
    how = resolved(aggregation, source)
    made, source, present = preprocessed(made, source, how, merging.scale, present)
    merge = Merge(made, source, how, merging, chunks=out_chunks, present=present)
    merged = run_merge(merge)
    if eager:
        with keeping([v._data for v in whole_of(patches).variables.values()], KEPT_BYTES):
            merged = _stored(merged)
        if run.failures:
            warnings.warn(PatchFailure(run.failures), stacklevel=4)
    return merge.domain.wrap(merged)


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
    cube = isinstance(aggregation, Aggregation) and aggregation.preprocess == "cube"
    if cube or isinstance(aggregation, tuple | list):
        raise ValueError(
            f"apply merges patches to the field block by block, which {aggregation!r} does not; of a dask "
            "field patches are lazy: func(field.patch.split(patcher)).patch.merge(aggregation)"
        )


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
