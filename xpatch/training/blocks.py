"""Which block each patch belongs to: that which holds its mid-point, of lists of members its anchor."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain.places import horizontal_dims_of
from xpatch.geometry.lengths import KM_PER_DEGREE, TEXT
from xpatch.neighborhood import Neighborhood, Slices
from xpatch.patches.nearness import Nearness, in_steps
from xpatch.patches.placed import placed_plan_of
from xpatch.patches.plan import Plan
from xpatch.patches.told import points_of
from xpatch.spec import is_integer, is_number
from xpatch.time.axis import Duration
from xpatch.time.finding import time_axis

TURN = 360.0


@dataclasses.dataclass(frozen=True, eq=False)
class Lengths:
    """Lengths by dimension, as they were given.

    Parameters
    ----------
    given : mapping
        Cells, units or durations by dimension.
    """

    given: Mapping[Hashable, Any]

    @classmethod
    def of(cls, block: Any, space: list[Hashable], time: list[Hashable]) -> Lengths:
        """Read blocks: one number for all dimensions in space, a duration for time, or a mapping.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it names other dimensions, or is not positive.
        """
        for value in block.values() if isinstance(block, Mapping) else (block,):
            check_no_length(value)
        if not isinstance(block, Mapping):
            dims = space if is_number(block) else time
            if not dims:
                kind, others = ("a duration", time) if is_number(block) else ("a number", space)
                raise ValueError(
                    f"block={block!r} fits none of the dimensions {others}, which take {kind}; name them: "
                    f"block={{{others[0]!r}: …}}, an int in cells, a float in units of the labels"
                )
            block = dict.fromkeys(dims, block)
        if not block:
            raise ValueError(f"block names no dimension; there are {[*space, *time]}")
        for d, value in block.items():
            if d not in (*space, *time):
                raise KeyError(
                    f"block names {d!r}, along which the patches were not cut; give {[*space, *time]}"
                )
            if is_number(value):
                if not 0 < value < math.inf:
                    raise ValueError(f"block along {d!r} must be a positive number, got {value!r}")
            else:
                Duration.of(value, f"block along {d!r}")
        return cls(dict(block))


def is_duration(value: Any) -> bool:
    """Whether a length is one in time."""
    return not is_number(value)


def check_no_length(value: Any) -> None:
    """Raise a ValueError if a block is text of a length on the ground, which is no duration."""
    found = TEXT.fullmatch(value) if isinstance(value, str) else None
    if found is not None and found[2] in ("km", "deg", "degree", "degrees", "°"):
        number = float(found[1])
        degrees = number / KM_PER_DEGREE if found[2] == "km" else number
        meters = f", in a projection in its units, block={1000 * number} of m" * (found[2] == "km")
        raise ValueError(
            f"block={value!r} is a length in text, and blocks in space are numbers in units of the labels: along "
            f"longitude and latitude in degrees, block={float(f'{degrees:.3g}')}{meters}"
        )


class OneField:
    """Patches of one field: their blocks, and which are near others."""

    def __init__(self, patches: Any, block: Any, buffer: Any):
        source, self.plan = placed_plan_of(patches)
        check_alone(self.plan, source.dim)
        self.dim, self.ordinals = source.dim, source.ordinals
        self.hood: Neighborhood = self.plan.hood.cropped(source.crop)
        self.nearness = [
            Nearness(source, plan, buffer if plan is self.plan else 0, seam=True)
            for plan in (self.plan, *_others(patches, self.plan))
        ]
        for one in self.nearness:
            one.check()
        time = [d for p in self.hood.parts if p.timed for d in p.dims]
        boxes = [p.dim for p in self.hood.slices if not p.timed]
        self.columns = self._columns(patches, source)
        self.block = Lengths.of(block, [*boxes, *self.columns], time)

    def near(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find the patches that share a cell with some, or come near them, on any grid of a Dataset."""
        found = [one(chosen) for one in self.nearness]
        return np.asarray(np.logical_or.reduce(found))

    def numbers(self) -> NDArray[np.int64]:
        """Give the number of the block of each patch along each dimension, shape (patch, dim)."""
        return np.stack([self._along(d, v) for d, v in self.block.given.items()], axis=-1)

    def _along(self, d: Hashable, value: Any) -> NDArray[np.int64]:
        if d in self.columns:
            return self._of_places(d, value)
        part = next(p for p in self.hood.parts if d in p.dims)
        entries = self.hood.of_part(part, self.ordinals)
        if not part.box:
            assert part.anchors is not None
            return in_time(self.plan, d, part.anchors[entries].astype(float), value)
        check_size(self.plan, part, value)
        middle = middles_of(part, entries)
        if is_duration(value) or part.timed:
            return in_time(self.plan, d, middle, value)
        return np.floor(middle / cells_of(self.plan, d, value) + 1e-9).astype(np.int64)

    # ---------------------------------------------------------------------------------- lists

    def _columns(
        self, patches: Any, source: Any
    ) -> dict[Hashable, tuple[NDArray[Any], Any, bool | None]]:
        """Give where lists are anchored: coordinates by name, the length of a cell, whether these are turns.

        None of the last are no degrees.
        """
        lists = [p for p in self.hood.lists if not p.timed]
        if not lists:
            return {}
        points = points_of(patches, source, self.plan)
        assert points.pair is not None
        domain, dims = self.plan.domain, lists[0].dims
        pair = None if domain.element_dims else horizontal_dims_of(domain, dims)
        out = {}
        for k, name in enumerate(points.pair):
            d = name if pair is None else pair[k]
            step = None if pair is None else _step(domain, d)
            turns = name == "lon" if points.pair == ("lon", "lat") else None
            out[d] = (np.asarray(points.columns[name], float), step, turns)
        return out

    def _of_places(self, d: Hashable, value: Any) -> NDArray[np.int64]:
        at, step, turns = self.columns[d]
        if is_duration(value):
            raise TypeError(f"block along {d!r} must be a number, got {value!r}")
        if is_integer(value) and step is not None:  # cells of a grid; stations have none
            value = value * step
        elif turns is not None and value > (TURN if turns else TURN / 2):
            raise ValueError(
                f"block along {d!r} is {value!r} degrees, more than the Earth has: blocks of lists of members are in "
                f"degrees of longitude and latitude. In km they are about {value / KM_PER_DEGREE:.1f} degrees, "
                f"block={value / KM_PER_DEGREE:.1f}; for one block, leave {d!r} out"
            )
        at = (at + TURN / 2) % TURN - TURN / 2 if turns else at
        return np.floor(at / float(value)).astype(np.int64)


def _step(domain: Any, d: Hashable) -> float | None:
    if domain.coordinate(d) is None:
        return 1.0
    step = domain.spacing(d)
    return None if step is None else abs(float(step))


def _others(patches: Any, plan: Plan) -> list[Plan]:
    """Give the plans of other grids of a Dataset, whose patches may reach farther on the ground."""
    if not isinstance(patches, xr.Dataset):
        return []
    plans = placed_plan_of(patches)[0].plans
    return [p for p in plans if p is not plan and p.dims != plan.dims and p.domain.above is None]


def check_alone(plan: Plan, dim: Hashable) -> None:
    """Raise a ValueError if patches lie in others, with which they may share cells."""
    if plan.domain.above is not None:
        above = plan.domain.above.dims[-1]
        raise ValueError(
            f"patches along {dim!r} may share cells with those in other patches along {above!r}; divide the patches "
            f"before they are split again, patches.patch.sets(…), and select those of {above!r}"
        )


def middles_of(part: Slices, entries: NDArray[Any]) -> NDArray[np.float64]:
    """Give the mid-points of boxes, counted in cells from the first edge of the field, within it."""
    middle = part.starts[entries] + part.counts[entries] / 2
    if part.wrap:
        return np.asarray(middle % part.n)
    return np.clip(middle, 0, part.n - 0.5)


def cells_of(plan: Plan, d: Hashable, value: Any) -> float:
    """Give the length of a block in cells, which need not be whole."""
    if is_integer(value):
        return float(value)
    plan.domain.cells(d, float(value), "block")  # says what is wrong with a length
    step = plan.domain.spacing(d)
    return (
        float(value) / abs(float(step))
        if step is not None
        else float(plan.domain.cells(d, float(value), "block"))
    )


def check_size(plan: Plan, part: Slices, value: Any) -> None:
    """Raise a ValueError if a block is smaller than the patches."""
    d = part.dim
    if is_duration(value):
        axis, duration = time_axis(plan.domain, d), Duration.of(value, f"block along {d!r}")
        axis_has_dates(axis, d, value)
        cells: float = in_steps(axis, duration)
    elif part.timed:
        cells = Duration.of(value, f"block along {d!r}").steps or 0
    else:
        cells = cells_of(plan, d, value)
    if cells < part.size - 1e-6:
        raise ValueError(
            f"a block of {value!r} along {d!r} is smaller than a patch, {part.size} cells, so that patches of several "
            f"sets would overlap everywhere; give blocks several times as large, such as {4 * part.size}"
        )


def axis_has_dates(axis: Any, d: Hashable, value: Any) -> None:
    """Raise a ValueError if steps have no dates."""
    from xpatch.time.steps import StepAxis

    if isinstance(axis, StepAxis):
        raise ValueError(
            f"{value!r} is a duration, and steps along {d!r} have no dates; give steps"
        )


def in_time(plan: Plan, d: Hashable, middle: NDArray[np.float64], value: Any) -> NDArray[np.int64]:
    """Give the block in time of each step: by steps, by months of the calendar, or by what passed."""
    duration = Duration.of(value, f"block along {d!r}")
    if duration.steps is not None:
        return np.floor(middle / duration.steps).astype(np.int64)
    axis = time_axis(plan.domain, d)
    axis_has_dates(axis, d, value)
    step = np.clip(np.floor(middle).astype(np.int64), 0, len(axis) - 1)
    if duration.months is not None:
        return np.asarray(axis.month_numbers[step] // duration.months)
    assert duration.seconds is not None
    passed = (axis.ticks[step] - axis.ticks.min()) / axis.rate
    return np.floor(passed / duration.seconds + 1e-9).astype(np.int64)
