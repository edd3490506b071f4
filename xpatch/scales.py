"""Patches of several scales: the nodes of a DataTree, made and walked over."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.cutting import cut_field
from xpatch.joint import time_part
from xpatch.neighborhood import Boxes, Members
from xpatch.plan import Plan
from xpatch.restoring import is_coarse, provenance

NO_SCALES = (
    "no child of this DataTree has patches of a scale: expected the tree that a split with MultiScale "
    "gave, or one of its nodes. Ordinary patches are merged as they are, node.to_dataset().patch.merge()"
)
UNNAMED = "unnamed"  # the variable of a field without a name


def split_scales(
    obj: xr.DataArray | xr.Dataset,
    patcher: Any,
    plan: Plan,
    dim: Hashable,
    ordinals: NDArray,
    groups: list[NDArray] | None,
) -> xr.DataTree:
    """Cut the windows of each scale, given the plan of the longest."""
    temporal = getattr(patcher, "temporal", patcher)
    nodes = {}
    for name, own in plans_of(plan, temporal).items():
        patches = cut_field(obj, own, dim, ordinals, groups)
        if isinstance(patches, xr.DataArray):
            patches = patches.to_dataset(name=UNNAMED if obj.name is None else obj.name)
        nodes[name] = patches
    return xr.DataTree.from_dict(nodes)


def plans_of(plan: Plan, temporal: Any) -> dict[str, Plan]:
    """Give the plan of each scale: the last steps of the longest windows, averaged."""
    geometry, hood = temporal.geometry, plan.hood
    axis = geometry.axis(plan.domain)
    part = time_part(hood)
    assert isinstance(part, Boxes)
    assert not isinstance(hood, Members)
    k = part.dims.index(axis.dim)
    at = part.anchors[k]
    assert at is not None
    steps = geometry.steps(axis, np.unique(part.axes[k]) + at, temporal.sampler.closed)
    small, longest = min(steps.values()), max(steps.values())
    out = {}
    for name, n in steps.items():
        own = hood.inner({axis.dim: (longest - n, 0)})
        out[name] = dataclasses.replace(plan, hood=own, coarse={axis.dim: n // small})
    return out


def nodes_of(tree: xr.DataTree) -> dict[str, Any]:
    """Give the patches of each scale: as a DataArray where one was split and one came back."""
    out: dict[str, Any] = {}
    for name, node in tree.children.items():
        patches: Any = node.to_dataset()
        if not is_coarse(patches):
            continue
        orders = provenance(patches, None).plans[0].domain.orders
        single = set(orders) == {None} and len(patches.data_vars) == 1
        out[name] = next(iter(patches.data_vars.values())) if single else patches
    return out


def first_of(tree: xr.DataTree) -> Any:
    """Give the patches of the first scale, or of this one.

    Raises
    ------
    ValueError
        If there is none.
    """
    if is_coarse(tree.to_dataset()):
        return tree.to_dataset()
    for node in tree.children.values():
        patches = node.to_dataset()
        if is_coarse(patches):
            return patches
    raise ValueError(NO_SCALES)


def summary(tree: xr.DataTree) -> str:
    """One line about the patches of each scale."""
    lines = []
    own = {str(tree.name): tree.to_dataset()} if is_coarse(tree.to_dataset()) else {}
    for name, patches in (own or nodes_of(tree)).items():
        source = provenance(patches, None)
        plan = source.plans[0]
        ((d, factor),) = (plan.coarse or {}).items()
        lines.append(
            f"  {name}: {len(source.ordinals)} of {len(plan)} patches, {d}: {plan.inner[d]} means of "
            f"{factor} steps"
        )
    return "\n".join(["<patches of several scales>", *lines]) if lines else "<no patches>"


class TreeBatches:
    """Loaded batches of the patches of all scales, which can be walked over as often as needed."""

    def __init__(self, tree: xr.DataTree, batch_size: int, drop_last: bool = False):
        from xpatch.batching import Batches

        first_of(tree)
        nodes = {n: c.to_dataset() for n, c in tree.children.items() if is_coarse(c.to_dataset())}
        self.parts = {n: Batches(node, batch_size, drop_last) for n, node in nodes.items()}
        labels = {n: provenance(node, None).ordinals for n, node in nodes.items()}
        first, *others = labels
        different = [n for n in others if not np.array_equal(labels[n], labels[first])]
        if different:
            raise ValueError(
                f"the patches of {different[0]!r} are not those of {first!r}, or in another order; select "
                "from the whole tree, tree.isel(patch=…)"
            )

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def __iter__(self) -> Iterator[xr.DataTree]:
        for rows in zip(*self.parts.values(), strict=True):
            yield xr.DataTree.from_dict(dict(zip(self.parts, rows, strict=True)))
