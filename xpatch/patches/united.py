"""`Scene`: one of several fields whose patches stand in one index, and what of two is the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

from xpatch.patches.plan import Plan


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """One of several fields whose patches were put together by `xpatch.concat`.

    Parameters
    ----------
    name : hashable
        What ``scene`` calls it.
    first : int
        The label of its patch 0: its labels are ordinals from there on.
    plans, crop
        As of `PatchIndex`.
    shared : tuple of hashable
        Coordinates that were the same for all its patches, and differ from those of other scenes.
    grids : mapping of hashable to mapping
        What cell ids say of their grid, where those of other scenes are of another.
    """

    name: Any
    first: int
    plans: tuple[Plan, ...]
    crop: Mapping[Hashable, tuple[int, int]]
    shared: tuple[Hashable, ...] = ()
    grids: Mapping[Hashable, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def stop(self) -> int:
        """The label behind its last one."""
        return self.first + len(self.plans[0])

    @property
    def anchors(self) -> tuple[Any, int, str]:
        """Identity of its patches."""
        return self.name, self.first, self.plans[0].anchor_id

    def equals(self, other: Scene) -> bool:
        """Whether both are of the same patches."""
        return (
            (self.name, self.first, self.crop) == (other.name, other.first, other.crop)
            and len(self.plans) == len(other.plans)
            and all(a.equals(b) for a, b in zip(self.plans, other.plans, strict=True))
        )


def united(plans: tuple[Plan, ...], others: tuple[Plan, ...]) -> tuple[Plan, ...]:
    """Give all plans, equal ones once."""
    extra = [p for p in others if not any(p.equals(q) for q in plans)]
    return plans if not extra else (*plans, *extra)


def scenes_united(scene: Scene, other: Scene) -> dict[str, Any]:
    """Give what changes of a scene when that of another index joins it."""
    return {"plans": united(scene.plans, other.plans), "crop": {**other.crop, **scene.crop}}


def scene_renamed(scene: Scene, names: Mapping[Any, Hashable]) -> dict[str, Any]:
    """Give what changes of a scene when dimensions and coordinates get other names."""
    plans = tuple(p.renamed(names) for p in scene.plans)
    crop = {names.get(d, d): cut for d, cut in scene.crop.items()}
    shared = tuple(names.get(n, n) for n in scene.shared)
    grids = {names.get(n, n): grid for n, grid in scene.grids.items()}
    return {"plans": plans, "crop": crop, "shared": shared, "grids": grids}


def cut_further(
    old: Mapping[Hashable, tuple[int, int]], crop: Mapping[Hashable, tuple[int, int]]
) -> dict[Hashable, tuple[int, int]]:
    """Add cells that are cut off to those that were."""
    both = {d: (old.get(d, (0, 0)), cut) for d, cut in crop.items()}
    return {**old, **{d: (a[0] + b[0], a[1] + b[1]) for d, (a, b) in both.items()}}
