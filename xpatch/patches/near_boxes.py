"""Which boxes share a cell with some, or come near them along every dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.neighborhood import Neighborhood

FEW = 8  # neighbors that are looked at before all of them are
ROWS = 1024  # boxes of which all neighbors are looked at together


def near_boxes(
    hood: Neighborhood,
    ordinals: NDArray[Any],
    chosen: NDArray[np.bool_],
    buffers: list[int],
    turns: list[bool],
) -> NDArray[np.bool_]:
    """Find boxes whose starts differ by less than size and buffer along every dimension.

    Parameters
    ----------
    hood : Neighborhood
        Boxes.
    ordinals : int array (patch,)
        Which of them there are.
    chosen : bool array (patch,)
        Which of these are asked for.
    buffers : list of int
        Cells between boxes that are near no longer, along each dimension.
    turns : list of bool
        Along which dimensions both ends are neighbors.

    Returns
    -------
    bool array (patch,)
        Also True for those that are asked for.
    """
    reach = [p.size + b for p, b in zip(hood.slices, buffers, strict=True)]
    starts = hood.starts(ordinals)
    scaled, period = np.empty(starts.shape), np.zeros(len(reach))
    over = np.zeros(len(starts), bool)
    for k, (part, far) in enumerate(zip(hood.slices, reach, strict=True)):
        # a box that is padded holds no cell beyond those of the box that is moved in
        inside = np.clip(starts[:, k], 0, part.n - part.size)
        if turns[k]:
            inside, period[k] = starts[:, k] % part.n, part.n / far
        elif part.ragged:
            over[:] = True  # how far each reaches is looked at, pair by pair
        elif part.overhangs:
            over |= inside != starts[:, k]
        scaled[:, k] = inside / far
    least = 1 - 0.5 / max(reach)  # starts are whole numbers
    near, box = np.zeros(len(starts), bool), period if period.any() else None
    near[~over] = _nearest(scaled[chosen & ~over], scaled[~over], 1, least, box)[0][:, -1] < least
    share = _Shares(hood, ordinals, buffers, turns)
    for some, others in ((over, chosen), (~over & ~near, chosen & over)):
        share.mark(near, scaled, some, others, least, box)
    return near


def _nearest(
    points: NDArray[Any], asked: NDArray[Any], few: int, far: float, period: Any
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Give the distances of the nearest few of some points, and which they are; infinite beyond ``far``."""
    from scipy.spatial import cKDTree

    if not len(points) or not len(asked):
        return np.full((len(asked), few), np.inf), np.zeros((len(asked), few), np.int64)
    tree = cKDTree(points, boxsize=period)
    ranks = list(range(1, few + 1))
    distance, at = tree.query(asked, ranks, p=np.inf, distance_upper_bound=far)
    return distance, at


class _Shares:
    """Looks at pairs of boxes, of which some overhang, by the cells that they really hold."""

    def __init__(
        self,
        hood: Neighborhood,
        ordinals: NDArray[Any],
        buffers: list[int],
        turns: list[bool],
    ):
        self.ends = []
        each = zip(hood.slices, hood.entries(ordinals), buffers, turns, strict=True)
        for part, entries, buffer, around in each:
            if around or not part.overhangs:
                continue  # as the search has it
            kinds, which = np.unique(entries, return_inverse=True)
            cells = part.cells(kinds, mirrored=True)
            low = np.where(cells < 0, part.n, cells).min(axis=1)
            which = which.reshape(-1)
            self.ends.append((low[which], cells.max(axis=1)[which], buffer))

    def near(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which pairs, near as far as boxes that are moved in tell, really are."""
        out = np.ones(len(first), bool)
        for low, high, buffer in self.ends:
            out &= (low[first] - high[second] <= buffer) & (low[second] - high[first] <= buffer)
        return out

    def mark(
        self,
        near: NDArray[np.bool_],
        points: NDArray[np.float64],
        some: NDArray[np.bool_],
        others: NDArray[np.bool_],
        far: float,
        period: Any,
    ) -> None:
        """Mark those of ``some`` that come near one of ``others``.

        All pairs would be hundreds of millions: they are looked at where the nearest few do not decide.
        """
        from scipy.spatial import cKDTree

        first, second = np.flatnonzero(some), np.flatnonzero(others)
        if not len(first) or not len(second):
            return
        distance, at = _nearest(points[second], points[first], min(FEW, len(second)), far, period)
        rows, ranks = np.nonzero(distance < far)
        self._mark(near, first[rows], second[at[rows, ranks]])
        left = first[(distance[:, -1] < far) & ~near[first]]
        tree = cKDTree(points[second], boxsize=period)
        for part in np.array_split(left, -(-len(left) // ROWS)) if len(left) else []:
            around = tree.query_ball_point(points[part], far, p=np.inf)
            found = np.concatenate([[], *around]).astype(np.int64)
            self._mark(near, np.repeat(part, [len(a) for a in around]), second[found])

    def _mark(
        self, near: NDArray[np.bool_], first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> None:
        near[first[self.near(first, second)]] = True
