"""Boxes in km on a stride: rows by latitude, and in each as many as lie side by side there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.geometry import Anchors, Frame
from xpatch.geometry.lengths import length_of
from xpatch.geometry.rows import RowFrame
from xpatch.sampler.base import in_frame, listed, not_empty
from xpatch.spec import DimMap, per_dim

Starts = Callable[[Frame, int, int], NDArray[np.int64]]  # of a frame, a dimension, and a stride


def step_across(step: Any, domain: Lattice, frame: RowFrame) -> tuple[Any, float | None]:
    """Take the stride in km along longitude out of the strides: these, and the km."""
    asked = per_dim(in_frame(step, domain, frame), frame.dims, "step")
    text = asked.get(frame.dims[frame.across])
    length = length_of(text, "step") if isinstance(text, str) else None
    if length is None or length.degrees:
        return step, None
    others = {d: n for d, n in asked.items() if d != frame.dims[frame.across]}
    return DimMap(others) if others else None, length.value


def row_by_row(
    frame: RowFrame, steps: Callable[[Frame], list[int]], km: float | None, starts: Starts
) -> Anchors:
    """Place boxes on a stride, ``km`` of longitude where that is given.

    Raises
    ------
    ValueError
        If none fits.
    """
    across, down, any_row = frame.across, frame.down, frame.row(frame.first)
    every = steps(any_row)
    rows = np.array([frame.first]) if down is None else starts(any_row, down, every[down])
    used = np.zeros((len(rows), len(frame.dims)), np.int64)
    used[:, across if down is None else down] = rows
    frame.check_room(used)
    pairs = [np.empty((0, 2), np.int64)]
    for start in rows.tolist():
        row = frame.row(start)
        if row.boundary[across] == "drop" and row.sizes[across] > row.shape[across]:
            continue
        step = steps(row)[across] if km is None else frame.step_at(start, km)
        own = starts(row, across, step)
        pairs.append(np.stack([np.full(len(own), start), own], axis=-1))
    found = np.concatenate(pairs)
    others = [k for k in range(len(frame.dims)) if k not in (across, down)]
    axes = [starts(any_row, k, every[k]) for k in others]
    *index, at = np.meshgrid(*axes, np.arange(len(found)), indexing="ij")
    columns: dict[Any, Any] = {k: i.ravel() for k, i in zip(others, index, strict=True)}
    columns |= {down: found[at.ravel(), 0], across: found[at.ravel(), 1]}
    each = np.stack([columns[k] for k in range(len(frame.dims))], axis=-1)
    return listed(not_empty(each, "RegularStride"))
