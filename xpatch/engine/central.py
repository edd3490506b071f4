"""Which of several contributions comes first: by label, or by how central it is in its patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABEL_BITS = 31
FAR, MEAN = 1 << 17, (1 << 14) - 1  # steps of the largest offset, and of the mean of all
ALONE = 1 << 22  # steps of an offset that is the only one
EXACT = 1e12  # squares of offsets that differ by less are equal


class Keys:
    """What `Choose` compares: the label, its negative, or the distance from the center."""

    def __init__(self, by: str | None, layout: Any, ndim: int):
        self.by, self.layout, self.ndim = by, layout, ndim
        self.far: NDArray[np.int64] | None = None
        if by == "central":
            self.far = layout.kept(("central", ndim), self._distance)

    def __call__(self, visit: Sequence[Any]) -> Any:
        if self.by is None:
            return None
        labels = self.layout.labels[tuple([s.entries for s in visit])]
        labels = labels.reshape(*labels.shape, *(1,) * self.ndim)
        if self.far is None:
            return -labels if self.by == "last" else labels
        index: list[slice] = [slice(None)] * self.ndim
        for axis, s in zip(self.layout.axes, visit, strict=True):
            index[axis] = s.inner
        return central_key(self.far[tuple(index)], labels)

    def _distance(self) -> NDArray[np.int64]:
        offsets = []
        for axis, lane in zip(self.layout.axes, self.layout.lanes, strict=True):
            shape = [1] * self.ndim
            shape[axis] = -1
            offsets.append(half_sample_offsets(lane.size).reshape(shape))
        return ranked_distance(offsets)


def half_sample_offsets(size: int) -> NDArray[np.float64]:
    """Offsets from the center of a window at half-sample points, in (−1, 1)."""
    return (2 * np.arange(size) + 1 - size) / size


def ranked_distance(offsets: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Rank cells of a patch by the largest of their offsets, and then by all of them together."""
    far: Any = np.zeros(())
    total: Any = np.zeros(())
    for offset in offsets:
        far = np.maximum(far, np.abs(offset))
        total = total + offset**2
    ranks: Any = np.zeros(far.shape, np.int64)
    for values in (far, total):
        known, which = np.unique(np.rint(values * EXACT), return_inverse=True)
        ranks = ranks * len(known) + which.reshape(far.shape)
    return np.unique(ranks, return_inverse=True)[1].reshape(far.shape)


def central_key(far: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Put a rank of distance before a label, of which the lowest wins among equals."""
    found: NDArray[np.int64] = (far << LABEL_BITS) + labels
    return found
