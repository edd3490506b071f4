"""Which patches are cut in one go: the blocks of the patch dimension."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable

from xpatch.domain import Lattice
from xpatch.engine.reading import regular
from xpatch.patches.plan import Plan
from xpatch.patches.split import cut_dims, is_lazy
from xpatch.spec import check_patches

MOST_PADDED = 4 << 30  # bytes of patches in memory, from which on empty slots may not prevail
LEAST_USED = 0.25
OUTPUT_CELLS = 1 << 22  # of an output chunk along the cut dimensions, where the field had no chunks


def check_room(
    variables: Mapping[Hashable | None, Variable], plan: Plan, ordinals: NDArray[Any]
) -> None:
    """Raise a ValueError if patches in memory would be large, and hold mostly empty slots."""
    lists = [m for m in plan.lists if len(m)]
    used = math.prod(float(m.counts.mean()) / m.width for m in lists)
    if used >= LEAST_USED:
        return
    for name, v in variables.items():
        patches = len(ordinals) * cells_of_patch(plan, v.sizes) * v.dtype.itemsize
        if v._in_memory and cut_dims(v, plan) and patches > MOST_PADDED:
            widest = min(lists, key=lambda m: m.counts.mean() / m.width)
            raise ValueError(
                f"the patches of {'the field' if name is None else repr(name)} would take "
                f"{patches / 2**30:,.1f} GiB, of which {used:.1%} are used: each of {len(ordinals):,} has as "
                f"many slots along {widest.dim!r} as the largest has members, {widest.width:,}, on average "
                f"there are {widest.counts.mean():,.0f}. Use a smaller radius, KNNGraph(k), or polygons of "
                "more equal size; cut some anchors after the other, sampler=Explicit(range(0, 1000)); or cut "
                "in batches: field.patch.apply(…), or field.chunk() and patches.patch.batches(…)"
            )


def patch_groups(
    variables: Mapping[Hashable | None, Variable], plan: Plan, ordinals: NDArray[Any], chunks: Any
) -> list[NDArray[Any]] | None:
    """Group the patches of chunked variables by source chunk; None if nothing is chunked.

    Groups that are "even" are joined to blocks of one length, as zarr has them: no longer than "auto"
    ones, of neighboring chunks.
    """
    check_patches(chunks, "chunks", "even")
    chunked = [v for v in variables.values() if v.chunks is not None and cut_dims(v, plan)]
    if not chunked:
        return None
    sizes = {d: c for v in reversed(chunked) for d, c in v.chunksizes.items()}
    most = _most_patches(chunked, plan, "auto" if chunks == "even" else chunks)
    groups = groups_within(sizes, plan, ordinals, most)
    return evened(sizes, plan, groups) if chunks == "even" and groups else groups


def evened(
    chunks: Mapping[Hashable, tuple[int, ...]], plan: Plan, groups: list[NDArray[Any]]
) -> list[NDArray[Any]]:
    """Join groups to blocks of one length."""
    from xpatch.engine.chunked_gather import Joined, winding

    return Joined.of(winding(plan.hood, _along(chunks, plan), groups))


def groups_within(
    chunks: Mapping[Hashable, tuple[int, ...]], plan: Plan, ordinals: NDArray[Any], most: int
) -> list[NDArray[Any]]:
    """Group patches by the chunk that they start in, at most ``most`` in a group."""
    from xpatch.engine.chunked_gather import chunk_order

    return chunk_order(plan.hood, _along(chunks, plan), ordinals, min(most, len(ordinals) or 1))


def _along(chunks: Mapping[Hashable, tuple[int, ...]], plan: Plan) -> list[tuple[int, ...]]:
    return [chunks.get(d, (n,)) for d, n in zip(plan.dims, plan.hood.shape, strict=True)]


def virtual_chunks(
    variables: Mapping[Hashable | None, Variable], plan: Plan, limit: int
) -> tuple[dict[Hashable, tuple[int, ...]], int]:
    """Chunk a field that is not chunked, so that the patches of a chunk take about ``limit`` bytes.

    Chunks of data on disk are multiples of the stored ones. Gives the chunks along the cut
    dimensions, and how many patches at most shall be in a group.
    """
    from dask.array.core import normalize_chunks

    cut = [v for v in variables.values() if cut_dims(v, plan)]
    patch = sum(v.dtype.itemsize * cells_of_patch(plan, v.sizes) for v in cut)
    if plan.lists:
        return {}, max(1, 2 * limit // max(1, patch))
    stored: dict[Hashable, int] = {}
    for v in cut:
        stored |= v.encoding.get("preferred_chunks", {}) if is_lazy(v) else {}
    cells = math.prod(plan.boxes.shape)
    wanted = max(1, limit * cells // max(1, patch * len(plan)))  # cells of a chunk
    previous = tuple(
        regular(stored.get(d, 1), n) for d, n in zip(plan.dims, plan.boxes.shape, strict=True)
    )
    chunks = normalize_chunks(
        ("auto",) * len(plan.dims),
        plan.boxes.shape,
        wanted,
        np.dtype("u1"),
        previous if stored else None,
    )
    return dict(zip(plan.dims, chunks, strict=True)), max(1, 2 * limit // max(1, patch))


def cells_of_patch(plan: Plan, sizes: Mapping[Hashable, int]) -> int:
    """Give the cells of a patch of a variable with ``sizes`` (of a block of the other dims)."""
    slots = {m.dim for m in plan.lists}
    own = [n for d, n in plan.inner.items() if d in sizes or d in slots]
    return math.prod(own) * math.prod(n for d, n in sizes.items() if d not in plan.dims)


def _most_patches(variables: list[Variable], plan: Plan, chunks: Any) -> int:
    if chunks is None:
        return np.iinfo(np.int64).max
    if chunks != "auto":
        return int(chunks)
    import dask.config
    from dask.utils import parse_bytes

    limit: int = parse_bytes(dask.config.get("array.chunk-size"))
    most: list[int] = []
    for v in variables:
        block = {d: max(c, default=1) for d, c in v.chunksizes.items()}
        most.append(limit // max(1, v.dtype.itemsize * cells_of_patch(plan, block)))
    return max(1, min(most))


def output_chunks(
    domain: Lattice,
    given: Mapping[Hashable, tuple[int, ...]] | None,
    dims: tuple[Hashable, ...],
    scale: Mapping[Hashable, int],
) -> list[tuple[int, ...]]:
    """Give the chunks of a merged field along cut dimensions: those that the field had."""
    known = dict(given or next(iter(domain.chunks.values()), {}))
    unknown = {d: "auto" for d in dims if d not in known}
    if unknown:
        from dask.array.core import normalize_chunks

        sizes = tuple(domain.sizes[d] for d in unknown)
        auto = normalize_chunks(tuple(unknown.values()), sizes, OUTPUT_CELLS, np.dtype("u1"))
        known |= dict(zip(unknown, auto, strict=True))
    return [tuple(c * scale.get(d, 1) for c in known[d]) for d in dims]
