"""Which patches have nothing to do with others: what scores that do not leak are made of."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch import sphere
from xpatch.neighborhood import Members, Neighborhood, Part
from xpatch.patches.encoding import RECIPE
from xpatch.patches.index import labels_of, patch_index
from xpatch.patches.member_properties import sites_of
from xpatch.patches.offsets import on_sphere
from xpatch.patches.plan import Plan
from xpatch.patches.properties import placed_plan_of
from xpatch.patches.provenance import Provenance
from xpatch.patches.recall import indexed
from xpatch.patches.sides import is_both, sides_of
from xpatch.time.axis import Duration, TimeAxis
from xpatch.time.finding import time_axis


def is_number(value: Any) -> bool:
    """Whether something is a number; to NumPy a timedelta64 is a signed integer."""
    known = isinstance(value, int | float | np.integer | np.floating)
    return known and not isinstance(value, bool | np.timedelta64)


def apart(patches: Any, test: Any, buffer: Any = 0) -> xr.DataArray:
    """Say which patches share no cell with any of some others, nor come near them.

    A model that is fitted on these, and scored on the others, has seen nothing of what it is scored on.

    Parameters
    ----------
    patches : DataArray or Dataset
        All of them.
    test : bool array (patch,), sequence of int, or DataArray or Dataset of patches
        The others: which of these patches, or their labels, or patches selected from these.
    buffer : number, duration, or mapping of these by dimension
        How far to stay away. Of boxes an int counts cells between two, a float is a length in units of
        evenly spaced labels; a number holds along all dimensions in space, and a box is near if it is so
        along every dimension. Of lists of members a distance between members, in km on the sphere,
        else in units of the coordinates. Of windows in time, by the name of their dimension, steps or
        a duration: ``{"time": "30D"}``. The default keeps patches without a common cell.

    Returns
    -------
    DataArray
        True for patches that are apart, shape (patch,); never for those of ``test``.

    Raises
    ------
    KeyError, TypeError, ValueError
        If ``test`` or ``buffer`` does not fit.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros(20), dims="x")
    >>> patches = field.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
    >>> patches.patch.apart([0]).values
    array([False, False,  True,  True,  True,  True,  True,  True,  True])
    >>> patches.patch.apart([0], buffer=3).values
    array([False, False, False, False,  True,  True,  True,  True,  True])
    """
    source, plan = placed_plan_of(patches)
    if plan.domain.above is not None:
        above = plan.domain.above.dims[-1]
        raise ValueError(
            f"patches along {source.dim!r} may share cells with those in other patches along {above!r}; ask the "
            f"patches before they are split again, and select those of {above!r} that are apart"
        )
    chosen = _chosen(patches, source, test)
    near = Nearness(source, plan, buffer)(chosen)
    kept = ~(near | chosen)
    return xr.DataArray(kept, labels_of(patches, (source.dim,)), (source.dim,), "apart")


def _chosen(obj: Any, source: Provenance, test: Any) -> NDArray[np.bool_]:
    """Tell which patches are those of the test."""
    dim = source.dim
    if isinstance(test, xr.DataArray | xr.Dataset):
        mask = isinstance(test, xr.DataArray) and test.dtype == bool and test.dims == (dim,)
        if mask and dim in test.coords:
            _check_same(obj, test)
            labels = test.coords[dim].to_numpy()[test.to_numpy()]
            lost = ~np.isin(source.ordinals, test.coords[dim].values)
            if lost.any():
                raise ValueError(f"test says nothing of patch {source.ordinals[lost][0]}")
        elif mask:
            return _as_mask(source, test.to_numpy())
        else:
            labels = _labels_of(obj, test, dim)
    else:
        labels = np.atleast_1d(np.asarray(test))
        if labels.dtype == bool:
            return _as_mask(source, labels)
    if labels.size and labels.dtype.kind not in "iu":
        raise TypeError(
            f"test must be patches, their labels, or True for each of them, got {type(test).__name__} of "
            f"{labels.dtype}"
        )
    known = np.isin(labels, source.ordinals)
    if not known.all():
        raise KeyError(f"test names patch {labels[~known].flat[0]}, which is none of these")
    return np.isin(source.ordinals, labels)


def _as_mask(source: Provenance, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Give True and False for each patch by position."""
    count = len(source.ordinals)
    if values.shape != (count,):
        raise ValueError(
            f"test has shape {values.shape}, and there are {count} patches along {source.dim!r}"
        )
    return np.asarray(values, bool)


def _labels_of(obj: Any, test: Any, dim: Hashable) -> NDArray[Any]:
    """Give the labels of patches, or an array of labels as it is."""
    coord = test.coords.get(dim)
    recipe = None if coord is None or patch_index(test) is not None else coord.attrs.get(RECIPE)
    if coord is not None and recipe is not None and recipe == obj.coords[dim].attrs.get(RECIPE):
        return np.ravel(coord.values)  # of the same split, whichever they are
    own = indexed(test)
    index = patch_index(own)
    if index is not None:
        _check_same(obj, own)
        return np.asarray(index.ordinals)
    if isinstance(test, xr.Dataset):
        raise TypeError("test is a Dataset without patches; give patches selected from these")
    return np.atleast_1d(test.values)


def _check_same(obj: Any, test: Any) -> None:
    """Raise a ValueError if patches are those of another split."""
    mine, index = patch_index(obj), patch_index(test)
    if mine is not None and index is not None and not mine._same_anchors(index):
        raise ValueError("test holds patches of another split, whose labels mean other places")


class Nearness:
    """Finds the patches that share a cell with some, or come near them."""

    def __init__(self, source: Provenance, plan: Plan, buffer: Any):
        self.plan, self.ordinals = plan, source.ordinals
        self.hood = plan.hood.cropped(source.crop)
        self.buffer = self._by_dim(buffer)

    def _by_dim(self, buffer: Any) -> dict[Hashable, Any]:
        """Give the buffer of each dimension of patches."""
        space = [d for p in self.hood.parts if not p.timed for d in p.inner]
        if not isinstance(buffer, Mapping):
            if not is_number(buffer):
                raise TypeError(
                    f"buffer must be a number, or numbers and durations by dimension, got {buffer!r}"
                )
            if buffer and not space:
                raise ValueError(
                    f"these are windows in time; name it: buffer={{{self.hood.time_dims[0]!r}: {buffer!r}}}"
                )
            buffer = dict.fromkeys(space, buffer)
        unknown = [d for d in buffer if d not in self.hood.inner]
        if unknown:
            raise KeyError(
                f"buffer names {unknown[0]!r}, but the patches were cut along {list(self.hood.inner)}"
            )
        for d, value in buffer.items():
            if isinstance(value, bool | np.bool_):
                raise TypeError(f"buffer along {d!r} must be a number or a duration, got {value!r}")
            if is_number(value) and not 0 <= value < math.inf:
                raise ValueError(f"buffer along {d!r} must be a number ≥ 0, got {value!r}")
        return dict(buffer)

    def __call__(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if not chosen.any():
            return np.zeros_like(chosen)
        if not self.hood.lists:
            return self._boxes(self.hood, self.ordinals, chosen)
        if not is_both(self.plan):
            return self._alone(self.hood.parts[0], self._entries(self.hood.parts[0]), chosen)
        sides = sides_of(self.plan, self.ordinals)
        near = np.zeros_like(chosen)
        known: dict[bytes, NDArray[np.bool_]] = {}
        for window in np.unique(sides.when[chosen]):  # of each the places that are tested then
            here = chosen & (sides.when == window)
            places = np.unique(sides.where[here])
            key = places.tobytes()
            if key not in known:
                known[key] = self._space(np.isin(sides.where, places))
            near |= known[key] & self._time(sides.when == window)
        return near

    def _entries(self, part: Part) -> NDArray[np.int64]:
        return self.hood.of_part(part, self.ordinals)

    def _space(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find patches in places that are near."""
        lists = [p for p in self.hood.lists if not p.timed]
        if lists:
            return self._alone(lists[0], self._entries(lists[0]), chosen)
        dims = [d for d in self.hood.dims if d not in self.hood.time_dims]
        return self._boxes(self.hood.only(dims), self.ordinals, chosen)

    def _time(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find patches whose windows are near."""
        part = self.hood.in_time
        assert part is not None
        if part.box:
            return self._boxes(self.hood.only(part.dims), self.ordinals, chosen)
        return self._alone(part, self._entries(part), chosen)

    # -------------------------------------------------------------------------------- boxes

    def _boxes(
        self, hood: Neighborhood, ordinals: NDArray[Any], chosen: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Find boxes whose starts differ by less than size and buffer along every dimension."""
        from scipy.spatial import cKDTree

        buffers = [self._cells(p.dim, p.timed) for p in hood.slices]
        reach = [p.size + b for p, b in zip(hood.slices, buffers, strict=True)]
        starts = hood.starts(ordinals)
        scaled, period = np.empty(starts.shape), np.zeros(len(reach))
        for k, (part, far) in enumerate(zip(hood.slices, reach, strict=True)):
            turns = part.wrap or part.pad_mode == "wrap"  # padding of cells from the other end
            # a box that is padded holds no cell beyond those of the box that is moved in
            inside = starts[:, k] if turns else np.clip(starts[:, k], 0, part.n - part.size)
            scaled[:, k] = (inside % part.n if turns else inside) / far
            if turns:
                period[k] = part.n / far
        least = 1 - 0.5 / max(reach)  # starts are whole numbers
        tree = cKDTree(scaled[chosen], boxsize=period if period.any() else None)
        if not any(p.overhangs and not p.wrap for p in hood.slices):
            distance, _ = tree.query(scaled, p=np.inf, distance_upper_bound=2.0)
            return np.asarray(distance < least)
        around = tree.query_ball_point(scaled, least, p=np.inf)
        pairs = np.repeat(np.arange(len(scaled)), [len(near) for near in around])
        others = np.flatnonzero(chosen)[np.concatenate([[], *around]).astype(np.int64)]
        return _share(hood, ordinals, pairs, others, buffers)

    def _cells(self, d: Hashable, timed: bool) -> int:
        """Give the buffer along a dimension in cells."""
        value = self.buffer.get(d, 0)
        if timed:
            return self._steps(d, value)
        if isinstance(value, int | np.integer):
            self._check_within(d, int(value))
            return int(value)
        if not isinstance(value, float | np.floating):
            raise TypeError(f"buffer along {d!r} must be a number, got {value!r}")
        step = self.plan.domain.spacing(d)
        if value and step is None:
            raise ValueError(
                f"the labels along {d!r} are not evenly spaced, or there are none, so that {value!r} is no number "
                "of cells; give cells, an int"
            )
        return math.ceil(value / abs(float(step)) - 1e-9) if value else 0

    def _check_within(self, d: Hashable, cells: int) -> None:
        """Raise a ValueError if nothing could be so far away: meters are no cells."""
        size = self.plan.domain.sizes[d]
        if cells >= size:
            raise ValueError(
                f"a buffer of {cells} cells along {d!r} leaves nothing of a field of {size}; a length in the units "
                f"of labels is a float: {float(cells)}"
            )

    def _steps(self, d: Hashable, value: Any) -> int:
        """Give a duration in steps of a regular axis, rounded up."""
        if isinstance(value, int | np.integer) and not isinstance(value, np.timedelta64):
            return int(value)
        axis = time_axis(self.plan.domain, d)
        duration = Duration.or_none(value, f"buffer along {d!r}")
        if duration is None:
            return 0
        if not isinstance(axis, TimeAxis):
            raise ValueError(f"steps along {d!r} have no dates; give the buffer in steps")
        return _in_steps(axis, duration)

    # -------------------------------------------------------------------------------- lists

    def _alone(
        self, part: Part, entries: NDArray[np.int64], chosen: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Find lists with an element that some have, or one that is near."""
        if part.box:
            return self._boxes(self.hood.only(part.dims), self.ordinals, chosen)
        some = np.unique(entries[chosen])
        own = np.zeros(math.prod(part.shape), bool)
        own[part.elements[part.rows(some)]] = True
        near = own | (self._later(part, own) if part.timed else self._close(part, own))
        kinds, which = np.unique(entries, return_inverse=True)
        counts = part.counts[kinds]
        at = np.repeat(np.arange(len(kinds)), counts)
        found = np.bincount(at, near[part.elements[part.rows(kinds)]], len(kinds)) > 0
        return np.asarray(found[which.reshape(-1)])

    def _later(self, part: Members, own: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark steps within the buffer of some."""
        far = self._steps(part.dim, self.buffer.get(part.dim, 0))
        at = np.flatnonzero(own)
        steps = np.arange(len(own))
        right = np.searchsorted(at, steps)
        after = at[np.minimum(right, len(at) - 1)] - steps
        before = steps - at[np.maximum(right - 1, 0)]
        after[right == len(at)] = len(own)
        before[right == 0] = len(own)
        return np.asarray(np.minimum(after, before) <= far)

    def _close(self, part: Members, own: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark elements within the buffer of some."""
        from scipy.spatial import cKDTree

        far = self.buffer.get(part.dim, 0)
        if not is_number(far):
            raise TypeError(f"buffer along {part.dim!r} must be a distance, got {far!r}")
        near = np.zeros(len(own), bool)
        if not far:
            return near
        space, _ = self.plan.in_space(self.ordinals)
        sites = sites_of(space)
        if on_sphere(space, sites):
            lon, lat = sites.lonlat
            points, limit = sphere.unit_vectors(lon, lat), float(sphere.chord(far))
        else:
            points, limit = np.stack([sites.x, sites.y], axis=-1), float(far)
        known = sites.known
        tree = cKDTree(points[np.intersect1d(known, np.flatnonzero(own))])
        distance, _ = tree.query(points[known], distance_upper_bound=limit * (1 + 1e-12))
        near[known] = distance < limit
        return near


def _share(
    hood: Neighborhood,
    ordinals: NDArray[Any],
    patches: NDArray[np.int64],
    others: NDArray[np.int64],
    buffers: list[int],
) -> NDArray[np.bool_]:
    """Say which patches come near the other one of any of their pairs, by the cells that they really hold."""
    near = np.ones(len(patches), bool)
    each = zip(hood.slices, hood.entries(ordinals), buffers, strict=True)
    for part, entries, buffer in each:
        if part.pad_mode == "wrap" or part.wrap:
            continue  # as the search has it
        cells = part.cells(entries, mirrored=True)
        low = np.where(cells < 0, part.n, cells).min(axis=1)
        high = cells.max(axis=1)
        near &= (low[patches] - high[others] <= buffer) & (low[others] - high[patches] <= buffer)
    out = np.zeros(len(ordinals), bool)
    out[patches[near]] = True
    return out


def _in_steps(axis: TimeAxis, duration: Duration) -> int:
    """Give how many steps a duration has at most."""
    if duration.steps is not None:
        return duration.steps
    if duration.months is not None and axis.months:
        return math.ceil(duration.months / axis.months)
    seconds = duration.seconds
    if seconds is None:
        assert duration.months is not None
        seconds = duration.months * 31 * 86_400.0  # of the longest month
    steps = np.diff(axis.ticks)
    shortest = float(steps.min()) if len(steps) else 1.0
    return math.ceil(seconds * axis.rate / shortest - 1e-9)
