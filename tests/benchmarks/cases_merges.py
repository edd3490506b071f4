"""Slow corners: merging boxes in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

import xpatch
from tests.benchmarks.case import Timed, boxes, corner, field, noise, rng, starts_of

LOOP = "NumPy loop of adds"
Starts = list[tuple[int, int]]


def hann(size: int) -> np.ndarray:
    """Give the weights of a square at half-sample offsets."""
    profile = (np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2).astype("f4")
    return np.outer(profile, profile)


def added(values: np.ndarray, starts: Starts, n: int, window: Any = None) -> tuple[Any, Any]:
    """Add up patches, and their weights, one after the other."""
    size = values.shape[-1]
    total = np.zeros((*values.shape[1:-2], n, n), "f4")
    weight = np.zeros((n, n), "f4")
    for patch, (y, x) in zip(values, starts, strict=True):
        total[..., y : y + size, x : x + size] += patch if window is None else patch * window
        weight[y : y + size, x : x + size] += 1 if window is None else window
    return total, weight


def averaged(values: np.ndarray, starts: Starts, n: int, window: Any = None) -> np.ndarray:
    """Average patches in a loop."""
    total, weight = added(values, starts, n, window)
    with np.errstate(invalid="ignore"):
        return total / weight


def summed(values: np.ndarray, starts: Starts, n: int) -> np.ndarray:
    """Add up patches in a loop; cells without any are missing."""
    total, weight = added(values, starts, n)
    return np.where(weight > 0, total, np.nan)


def first_of(values: np.ndarray, starts: Starts, n: int) -> np.ndarray:
    """Write the last patch first."""
    size = values.shape[-1]
    out = np.full((n, n), np.nan, "f4")
    for k in range(len(starts) - 1, -1, -1):
        y, x = starts[k]
        out[y : y + size, x : x + size] = values[k]
    return out


def medians(values: np.ndarray, starts: Starts, n: int) -> np.ndarray:
    """Sort all values by cell and size, and take the middle of each cell.

    A loop over patches cannot give a median, and one over cells is a hundred times slower.
    """
    y, x = np.array(starts).T
    offsets = np.arange(values.shape[-1])
    cells = (y[:, None, None] + offsets[:, None]) * n + x[:, None, None] + offsets
    order = np.lexsort((values.ravel(), cells.ravel()))
    ranked, counts = values.ravel()[order], np.bincount(cells.ravel(), minlength=n * n)
    last = np.cumsum(counts)
    low, high = last - counts + (counts - 1) // 2, last - counts + counts // 2
    ranked = np.append(ranked, np.float32(np.nan))
    middle = (ranked[np.minimum(low, len(order))] + ranked[np.minimum(high, len(order))]) / 2
    return np.where(counts > 0, middle, np.nan).reshape(n, n)


def noisy(split: Callable[[], xr.DataArray]) -> tuple[Callable[[], Any], np.ndarray, Starts]:
    """Give what splits anew and puts other values in, so that patches disagree; these; the starts."""
    patches = split()
    values = noise(*patches.shape)
    return lambda: split().copy(data=values), values, starts_of(patches)


@corner("merge mean, 20 % of a grid left out", LOOP, 1.0, word="mean")
@corner("merge hann, 20 % of a grid left out", LOOP, 1.0, word="hann")
def thinned(word: str) -> Timed:
    source = field(1024)
    n = source.patch.split(**boxes(32, 16)).sizes["patch"]
    kept = np.sort(rng().choice(n, int(0.8 * n), replace=False))
    return _merged(lambda: source.patch.split(**boxes(32, 16)).isel(patch=kept), word)


@corner("merge mean, Valid left 20 % out for clouds", LOOP, 1.0, word="mean")
@corner("merge hann, Valid left 20 % out for clouds", LOOP, 1.0, word="hann")
def cloudy(word: str) -> Timed:
    clouds = np.kron(rng().random((64, 64)) < 0.054, np.ones((16, 16), bool))
    source = field(1024)
    source = source.where(~clouds)
    sampler = xpatch.Valid(xpatch.RegularStride(16))
    return _merged(lambda: source.patch.split(geometry={"y": 32, "x": 32}, sampler=sampler), word)


def _merged(split: Callable[[], xr.DataArray], word: str) -> Timed:
    fresh, values, starts = noisy(split)
    window = hann(values.shape[-1]) if word == "hann" else None
    aggregation = xpatch.OverlapAdd("hann") if word == "hann" else word
    return Timed(
        lambda p: p.patch.merge(aggregation),
        lambda: averaged(values, starts, 1024, window),
        fresh=fresh,
    )


MANY: Any = {"count": 20_000, "size": 9, "n": 1024}
FEW: Any = {"count": 5_000, "size": 32, "n": 2048}
SORT = "np.lexsort by cell and value"


@corner("merge mean, 20,000 Random boxes 9² on 1024²", LOOP, 1.0, word="mean", **MANY)
@corner("merge first, 20,000 Random boxes 9²", "NumPy loop, backwards", 1.0, word="first", **MANY)
@corner("merge sum, 20,000 Random boxes 9²", LOOP, 1.0, word="sum", **MANY)
@corner("merge median, 20,000 Random boxes 9²", SORT, 1.0, word="median", **MANY)
@corner("merge mean, 20,000 Explicit boxes 9²", LOOP, 1.0, word="mean", explicit=True, **MANY)
@corner("merge mean, 5,000 Random boxes 32² on 2048²", LOOP, 1.0, word="mean", **FEW)
@corner("merge first, 5,000 Random boxes 32²", "NumPy loop, backwards", 1.0, word="first", **FEW)
def scattered(word: str, count: int, size: int, n: int, explicit: bool = False) -> Timed:
    source = field(n)
    places = rng().integers(0, n - size + 1, (count, 2))
    sampler = xpatch.Explicit(places) if explicit else xpatch.Random(count, seed=0)
    fresh, values, starts = noisy(
        lambda: source.patch.split(geometry={"y": size, "x": size}, sampler=sampler)
    )
    alone = {"mean": averaged, "first": first_of, "sum": summed, "median": medians}[word]
    return Timed(lambda p: p.patch.merge(word), lambda: alone(values, starts, n), fresh=fresh)


@corner("merge first, 2048² 64/32", "NumPy loop, backwards", 1.2)
def first() -> Timed:
    source = field(2048)
    fresh, values, starts = noisy(lambda: source.patch.split(**boxes(64, 32)))
    return Timed(
        lambda p: p.patch.merge("first"), lambda: first_of(values, starts, 2048), fresh=fresh
    )


@corner("merge mean, 30 % NaN, 2048² 64/32", "xpatch without NaN", 2.0)
def missing() -> Timed:
    whole = field(2048)
    holes = np.kron(rng().random((64, 64)) < 0.3, np.ones((32, 32), bool))
    full, pierced = (f.patch.split(**boxes(64, 32)) for f in (whole, whole.where(~holes)))

    def same(a: xr.DataArray, b: xr.DataArray) -> bool:
        return bool(
            np.allclose(a.values[~holes], b.values[~holes]) and a.isnull().values[holes].all()
        )

    return Timed(lambda: pierced.patch.merge("mean"), lambda: full.patch.merge("mean"), same)


@corner("merge SoftVote, 4 classes, 1024² 64/32", "NumPy loop of adds, argmax", 1.0)
def votes() -> Timed:
    source = xr.DataArray(noise(4, 1024, 1024), field(1024).coords, ("class", "y", "x"))
    fresh, values, starts = noisy(lambda: source.patch.split(**boxes(64, 32)))
    return Timed(
        lambda p: p.patch.merge(xpatch.SoftVote()),
        lambda: averaged(values, starts, 1024).argmax(0),
        fresh=fresh,
    )


@corner("merge InvVarWeightedMean, 2048² 64/32", "NumPy loop of adds", 1.0)
def weighted() -> Timed:
    source = xr.Dataset({"mean": field(2048), "variance": field(2048) + 1})
    patches = source.patch.split(**boxes(64, 32))
    means, starts = noise(*patches["mean"].shape), starts_of(patches["mean"])
    variances = 0.5 + means[::-1]

    def fresh() -> xr.Dataset:
        return source.patch.split(**boxes(64, 32)).copy(data={"mean": means, "variance": variances})

    def loop() -> tuple[np.ndarray, np.ndarray]:
        total, weight = np.zeros((2048, 2048), "f4"), np.zeros((2048, 2048), "f4")
        for mean, variance, (y, x) in zip(means, variances, starts, strict=True):
            precision = 1 / variance
            total[y : y + 64, x : x + 64] += mean * precision
            weight[y : y + 64, x : x + 64] += precision
        return total / weight, 1 / weight

    def same(a: xr.Dataset, b: tuple[np.ndarray, np.ndarray]) -> bool:
        return np.allclose(a["mean"], b[0], 1e-4) and np.allclose(a["variance"], b[1], 1e-4)

    return Timed(lambda p: p.patch.merge(xpatch.InvVarWeightedMean()), loop, same, fresh)


@corner("merge mean, 3² at stride 1 on 256²", "shifted adds", 2.0, size=3)
@corner("merge mean, 7² at stride 1 on 256²", "shifted adds", 2.0, size=7)
def dense(size: int, n: int = 256) -> Timed:
    source, k = field(n), n - size + 1
    fresh, values, _ = noisy(lambda: source.patch.split(**boxes(size, 1)))
    grid = values.reshape(k, k, size, size)

    def shifted() -> np.ndarray:
        total, count = np.zeros((n, n), "f4"), np.zeros((n, n), "f4")
        for y in range(size):
            for x in range(size):
                total[y : y + k, x : x + k] += grid[:, :, y, x]
                count[y : y + k, x : x + k] += 1
        return total / count

    return Timed(lambda p: p.patch.merge("mean"), shifted, fresh=fresh)


def one_value(n: int, size: int) -> tuple[Callable[[], Any], np.ndarray]:
    """Give what makes one value a patch at stride 1, and these on their grid."""
    source, k = field(n), n - size + 1
    values = noise(k, k)

    def fresh() -> xr.DataArray:
        patches = source.patch.split(**boxes(size, 1)).isel(y=0, x=0, drop=True)
        return patches.drop_vars(["y", "x"], errors="ignore").copy(data=values.ravel())

    return fresh, values


@corner("merge mean, one value a patch, 21²/1 on 300²", "2·21 adds", 3.0, n=300, size=21)
@corner("merge mean, one value a patch, 9²/1 on 512²", "2·9 adds", 3.0, n=512, size=9)
def painted(n: int, size: int) -> Timed:
    fresh, values = one_value(n, size)
    k = n - size + 1

    def adds() -> np.ndarray:
        along, both = np.zeros((k, n), "f4"), np.zeros((n, n), "f4")
        for x in range(size):
            along[:, x : x + k] += values
        for y in range(size):
            both[y : y + k] += along
        count = np.convolve(np.ones(k, "f4"), np.ones(size, "f4"))
        return both / np.outer(count, count)

    return Timed(lambda p: p.patch.merge("mean"), adds, fresh=fresh)


@corner("merge most_central, one value a patch, 21²/1 on 300²", "take", 5.0)
def central(n: int = 300, size: int = 21) -> Timed:
    fresh, values = one_value(n, size)
    inner = (slice(size // 2, -(size // 2)),) * 2  # on the rim several are as central

    def take() -> np.ndarray:
        nearest = np.clip(np.arange(n) - size // 2, 0, n - size)
        return values[nearest[:, None], nearest]

    return Timed(
        lambda p: p.patch.merge("most_central"),
        take,
        lambda a, b: np.array_equal(a.values[inner], b[inner]),
        fresh,
    )
