"""Patches of several scenes: blocks and distances on the ground, which scenes may share."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import places as pl
from xpatch.domain.bounds import read_crs, same
from xpatch.neighborhood import Neighborhood, Slices
from xpatch.patches.nearness import Nearness
from xpatch.patches.placed import placed_plan_of
from xpatch.patches.plan import Plan
from xpatch.patches.scene import alone
from xpatch.time.axis import Duration
from xpatch.time.finding import is_time, time_axis
from xpatch.training.blocks import (
    TURN,
    Lengths,
    check_alone,
    check_size,
    in_time,
    is_duration,
    middles_of,
)
from xpatch.training.ground import Extents, moved_extents, near_extents

DAYS = 31 * 86_400.0  # seconds of the longest month
EVEN = 1e-3  # of a cell, by which labels of two scenes may be off


@dataclasses.dataclass(frozen=True, eq=False)
class OnGround:
    """The patches of one scene, in the coordinates of its labels.

    Parameters
    ----------
    name : object
        What the scene is called.
    rows : int64 array
        Which patches these are.
    plan : Plan
        Where they come from.
    hood : Neighborhood
        The part of them that there is.
    ordinals : int64 array
        Which of the plan they are.
    others : tuple of OnGround
        The same patches on other grids of a Dataset, where they may reach farther.
    """

    name: Any
    rows: NDArray[np.int64]
    plan: Plan
    hood: Neighborhood
    ordinals: NDArray[np.int64]
    others: tuple[OnGround, ...] = ()

    @cached_property
    def crs(self) -> Any:
        """The CRS of the labels; None if nothing says."""
        return pl.crs_of_field(self.plan.domain)

    @cached_property
    def pair(self) -> tuple[Hashable, Hashable] | None:
        """The x and the y dimension, where both are cut."""
        return pl.horizontal_dims_of(self.plan.domain, self.hood.dims)

    @cached_property
    def edges(self) -> dict[Hashable, NDArray[np.float64]]:
        """Where cells begin and end along each dimension: by labels, seconds, or numbers of cells."""
        return {p.dim: _edges(self.plan, p) for p in self.hood.slices}

    def step(self, d: Hashable) -> float:
        """Give the usual length of a cell."""
        return float(np.median(np.abs(np.diff(self.edges[d]))))

    @cached_property
    def periods(self) -> NDArray[np.float64]:
        """After what length each dimension begins again; 0: never."""
        roles, cut = self.plan.domain.roles, self.hood.slices
        geographic = self.plan.domain.geographic
        turns = [
            geographic and pl.axis_role(roles, p.dim) == "X" and self.crs is not None for p in cut
        ]
        own = [abs(float(e[-1] - e[0])) for e in (self.edges[p.dim] for p in cut)]
        wraps = [p.wrap or p.pad_mode == "wrap" for p in cut]
        return np.array(
            [TURN if t else n if w else 0.0 for t, n, w in zip(turns, own, wraps, strict=True)]
        )

    @cached_property
    def extents(self) -> Extents:
        """From where to where each patch reaches."""
        entries = self.hood.entries(self.ordinals)
        each = [self._ends(p, e) for p, e in zip(self.hood.slices, entries, strict=True)]
        low, high = (np.stack(v, axis=-1) for v in zip(*each, strict=True))
        for other in self.others:
            for k, j in self._columns(other):
                np.minimum(low[:, k], other.extents.low[:, j], out=low[:, k])
                np.maximum(high[:, k], other.extents.high[:, j], out=high[:, k])
        return Extents(low, high, np.array([self.step(p.dim) for p in self.hood.slices]))

    def _columns(self, other: OnGround) -> list[tuple[int, int]]:
        """Pair the dimensions with those of another grid that has labels."""
        mine, theirs = self.hood.dims, other.hood.dims
        if self.pair is not None and other.pair is not None:
            mine, theirs = self.pair, other.pair
        labeled = all(other.plan.domain.coordinate(d) is not None for d in theirs)
        if len(mine) != len(theirs) or not labeled:
            return []
        pairs = zip(mine, theirs, strict=True)
        return [(self.hood.dims.index(a), other.hood.dims.index(b)) for a, b in pairs]

    def _ends(self, part: Slices, entries: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        edges, n = self.edges[part.dim], part.n
        start, cells = part.starts[entries], part.counts[entries]
        if part.wrap or part.pad_mode == "wrap":
            ends = [
                edges[s % n] + (s // n) * (edges[-1] - edges[0]) for s in (start, start + cells)
            ]
        else:  # padding holds no cell beyond those of the box that is moved in
            inside = np.clip(start, 0, np.maximum(n - cells, 0))
            ends = [edges[inside], edges[np.minimum(inside + cells, n)]]
        return np.minimum(*ends), np.maximum(*ends)


def _edges(plan: Plan, part: Slices) -> NDArray[np.float64]:
    """Give the edges of cells: half way between labels, or by number where there are no such labels."""
    d = part.dim
    labels = plan.domain.coordinate(d)
    if labels is not None and is_time(labels):
        axis = time_axis(plan.domain, d)
        rate = 1e9 if axis.calendar is None else axis.rate
        labels = axis.exact(np.arange(len(axis))) / rate
    if labels is None or labels.dtype.kind not in "iuf":
        return np.arange(part.n + 1.0)
    values = np.asarray(labels, float)
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


class Scenes:
    """Patches of several scenes: their blocks, and which are near others, on the ground.

    Scenes in one CRS have blocks in common, and so have those of another that overlap them. Scenes without
    labels are taken to lie upon each other.
    """

    def __init__(self, patches: Any, dim: Hashable, rows: list[Any], block: Any, buffer: Any):
        self.dim, self.count = dim, patches.sizes[dim]
        self.scenes = []
        for name, which in rows:
            source, plan = placed_plan_of(alone(patches.isel({dim: which})))
            check_alone(plan, dim)
            hood = plan.hood.cropped(source.crop)
            _check_boxes(name, plan, hood)
            Nearness(source, plan, buffer).check()
            grids = [p for p in source.plans if p.dims != plan.dims and not p.hood.lists]
            others = tuple(OnGround(name, which, p, p.hood, source.ordinals) for p in grids)
            self.scenes.append(OnGround(name, which, plan, hood, source.ordinals, others))
            self.buffer = Nearness(source, plan, buffer).buffer
        first = self.scenes[0]
        self.dims = first.hood.dims
        _check_alike(self.scenes)
        time = [p.dim for p in first.hood.slices if p.timed]
        self.block = Lengths.of(block, [d for d in self.dims if d not in time], time)
        self.group = self._groups()
        self.home = self._homes()

    def _groups(self) -> list[int]:
        """Number the CRS of each scene."""
        kinds: list[Any] = []
        out = []
        for scene in self.scenes:
            found = [k for k, crs in enumerate(kinds) if same(crs, scene.crs)]
            out.append(found[0] if found else len(kinds))
            kinds += [] if found else [scene.crs]
        if len(kinds) > 1 and None in kinds:
            lost = next(s.name for s in self.scenes if s.crs is None)
            raise ValueError(
                f"the scene {lost!r} has no CRS, so that nothing says whether it lies on the ground of others; write "
                "it, field.rio.write_crs(…), before the split"
            )
        if len(kinds) > 1 and any(s.pair is None for s in self.scenes):
            raise ValueError(
                "scenes in several CRSs may share ground, which patches that are cut along x or y alone do not tell; "
                "cut both"
            )
        return out

    # --------------------------------------------------------------------------------- blocks

    def _homes(self) -> list[int]:
        """Give the scene in whose coordinates the blocks of each are: the first that it overlaps, or itself."""
        homes: list[int] = []
        for k, scene in enumerate(self.scenes):
            head = self.group.index(self.group[k])
            found = homes[head] if head < k else k
            for j in range(k) if found == k else ():
                if self._meet(scene, self.scenes[j]) and self._comparable(k, homes[j]):
                    found = homes[j]
                    break
            homes.append(found)
        return homes

    def _meet(self, scene: OnGround, other: OnGround) -> bool:
        """Whether scenes in two CRSs overlap on the ground."""
        moved = moved_extents(scene.extents.around, scene, other)
        return bool(near_extents(moved, other.extents.around, 0.0, other.periods)[0])

    def _comparable(self, k: int, home: int) -> bool:
        """Whether blocks of a scene can be counted in the coordinates of another."""
        a, b = (self.scenes[i] for i in (k, home))
        units = (
            [read_crs(s.crs).axis_info[0].unit_name for s in (a, b)] if a.crs is not None else []
        )
        moved = moved_extents(a.extents, a, b)
        return len(set(units)) < 2 and bool(np.isfinite(moved.middle).all())

    def numbers(self) -> NDArray[np.int64]:
        """Give the number of the block of each patch along each dimension, and of the scenes that have it."""
        out = np.empty((self.count, len(self.block.given) + 1), np.int64)
        origins = [self._origin(k) for k in range(len(self.scenes))]
        for k, scene in enumerate(self.scenes):
            home = self.scenes[self.home[k]]
            beside = self.group[k] == self.group[self.home[k]]
            moved = scene.extents if beside else moved_extents(scene.extents, scene, home)
            out[scene.rows, 0] = self.home[k]
            for column, (d, value) in enumerate(self.block.given.items(), 1):
                out[scene.rows, column] = self._along(
                    scene, home, moved.middle - origins[self.home[k]], d, value
                )
        return out

    def _along(
        self, scene: OnGround, home: OnGround, passed: NDArray[Any], d: Hashable, value: Any
    ) -> NDArray[np.int64]:
        k = self.dims.index(d)
        part = scene.hood.slices[k]
        check_size(scene.plan, part, value)
        if is_duration(value) and Duration.of(value, "block").months is not None:
            entries = scene.hood.of_part(part, scene.ordinals)
            return in_time(scene.plan, d, middles_of(part, entries), value)
        far = self._length(home, d, value)
        if abs(far - self._length(scene, d, value)) > EVEN * home.step(d):
            raise ValueError(
                f"{value!r} cells along {d!r} are of another length in the scenes {home.name!r} and {scene.name!r}; "
                "give the length, a float in units of the labels"
            )
        passed, period = passed[:, k], home.periods[k]
        passed = passed % period if period else passed
        return np.floor(passed / far + EVEN * home.step(d) / far).astype(np.int64)

    def _origin(self, home: int) -> NDArray[np.float64]:
        """Give where blocks are counted from: the lowest edge of the scenes in the CRS of one."""
        group = self.group[home]
        peers = [
            s for k, s in enumerate(self.scenes) if self.group[k] == group and self.home[k] == home
        ]
        return np.array(
            [min(float(s.edges[d].min()) for s in peers or [self.scenes[home]]) for d in self.dims]
        )

    def _length(self, scene: OnGround, d: Hashable, value: Any) -> float:
        """Give a length in units of the labels of a scene."""
        if is_duration(value):
            found = Duration.or_none(value, str(d))
            return 0.0 if found is None else found.seconds or (found.months or 0) * DAYS
        return float(value) * (scene.step(d) if isinstance(value, int | np.integer) else 1.0)

    # --------------------------------------------------------------------------------- nearness

    def near(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find the patches that share ground with some, or come near them."""
        out = np.zeros(self.count, bool)
        for g in range(max(self.group) + 1):
            own = [s for s in self._of(g) if chosen[s.rows].any()]
            if not own:
                continue
            test = Extents.joined([s.extents.take(chosen[s.rows]) for s in own])
            far = [max(self._length(s, d, self.buffer.get(d, 0)) for s in own) for d in self.dims]
            for h in range(max(self.group) + 1):
                others = self._of(h) if h == g else self._beside(h, own, np.array(far))
                if not others:
                    continue
                moved = Extents.joined([s.extents for s in others])
                moved = moved if h == g else moved_extents(moved, others[0], own[0])
                rows = np.concatenate([s.rows for s in others])
                out[rows] |= near_extents(moved, test, np.array(far), own[0].periods)
        return out

    def _of(self, group: int) -> list[OnGround]:
        """Give the scenes in one CRS."""
        return [s for s, k in zip(self.scenes, self.group, strict=True) if k == group]

    def _beside(self, group: int, own: list[OnGround], far: Any) -> list[OnGround]:
        """Give the scenes in another CRS that overlap some, or come near them."""
        others = self._of(group)
        each, test = (Extents.joined([s.extents.around for s in some]) for some in (others, own))
        near = near_extents(moved_extents(each, others[0], own[0]), test, far, own[0].periods)
        return [s for s, k in zip(others, near.tolist(), strict=True) if k]


def _check_boxes(name: Any, plan: Plan, hood: Neighborhood) -> None:
    """Raise a ValueError if labels do not say where patches are."""
    curved = pl.curved(plan.domain) and {*plan.domain.spatial_dims} & {*hood.dims}
    if hood.lists or curved or plan.domain.rotated is not None:
        kind = "lists of members" if hood.lists else "of a grid that is curved or rotated"
        raise ValueError(
            f"the patches of the scene {name!r} are {kind}, and whether they share ground with those of other scenes "
            "is not known; divide each scene on its own if they do not, patches.isel(patch=patches['scene'] == "
            f"{name!r}).patch.sets(…), or put whole scenes into sets"
        )


def _check_alike(scenes: list[OnGround]) -> None:
    """Raise a ValueError if patches of scenes were not cut along the same dimensions, or in other calendars."""
    first = scenes[0]
    for scene in scenes[1:]:
        if scene.hood.dims != first.hood.dims:
            raise ValueError(
                f"the scenes {first.name!r} and {scene.name!r} were cut along {list(first.hood.dims)} and "
                f"{list(scene.hood.dims)}; cut all along the same, in the same order"
            )
        for d in first.hood.dims:
            kinds = [_kind(s.plan, d) for s in (first, scene)]
            if kinds[0] != kinds[1]:
                raise ValueError(
                    f"labels along {d!r} are {kinds[0]} in the scene {first.name!r} and {kinds[1]} in "
                    f"{scene.name!r}, so that nothing says which lie where"
                )


def _kind(plan: Plan, d: Hashable) -> str:
    """Say what labels are."""
    labels = plan.domain.coordinate(d)
    if labels is None:
        return "missing"
    if is_time(labels):
        return f"times ({time_axis(plan.domain, d).calendar or 'standard'})"
    return "numbers" if labels.dtype.kind in "iuf" else "names"
