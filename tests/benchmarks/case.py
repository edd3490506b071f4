"""What a case of the slow corners is: a job with xpatch, and what would be written without it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

import xpatch
from tests.benchmarks.measure import least, traced

CASES: dict[str, Case] = {}


def close(a: Any, b: Any) -> bool:
    """Whether two results agree to rounding."""
    return bool(np.allclose(np.asarray(a), np.asarray(b), atol=1e-5, equal_nan=True))


@dataclasses.dataclass(frozen=True)
class Timed:
    """Two ways to do a job, of which the seconds are compared.

    Parameters
    ----------
    ours, beside : callable
        With xpatch, and without.
    same : callable, optional
        Whether the two results agree; None where they are not the same by intent.
    fresh : callable, optional
        Gives what `ours` takes, anew for each call and not timed, so that nothing that a call leaves
        behind on its patches speeds up the next.
    note : str
        What has to be known of the row.
    """

    ours: Callable[..., Any]
    beside: Callable[[], Any]
    same: Callable[[Any, Any], bool] | None = close
    fresh: Callable[[], Any] | None = None
    note: str = ""

    def measured(self, repeats: int) -> tuple[float, float]:
        """Give the shortest seconds of both, once they agree."""
        arguments = list if self.fresh is None else lambda: [self.fresh()]
        if self.same is not None and not self.same(self.ours(*arguments()), self.beside()):
            raise AssertionError("the results differ")
        ours, beside = least([(self.ours, arguments), (self.beside, list)], repeats)
        return ours, beside


@dataclasses.dataclass(frozen=True)
class Held:
    """A job of which the peak memory beyond its result is compared with some bytes."""

    ours: Callable[[], Any]
    nbytes: Callable[[Any], int]
    note: str = ""

    def measured(self, repeats: int) -> tuple[float, float]:
        """Give both in bytes."""
        peak, result = traced(self.ours)
        return peak - result.nbytes, self.nbytes(result)


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of the table.

    Parameters
    ----------
    name : str
        The job.
    beside : str
        What it is compared with.
    bar : float, optional
        The most that the ratio may be; None if it is only shown.
    make : callable
        Gives the two ways, `Timed` or `Held`, with the data that they work on.
    most : float, optional
        The most seconds of our own, in place of a ratio.
    """

    name: str
    beside: str
    bar: float | None
    make: Callable[[], Any]
    most: float | None = None

    def run(self, repeats: int) -> dict[str, Any]:
        """Give both figures and their unit, or the error."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pair = self.make()
                ours, beside = pair.measured(repeats)
        except Exception as error:  # a row that fails says why, and the others go on
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        unit = "MB" if isinstance(pair, Held) else "s"
        return {"ours": ours, "beside": beside, "unit": unit, "note": pair.note}


def corner(
    name: str, beside: str, bar: float | None = None, most: float | None = None, **arguments: Any
) -> Callable[[Any], Any]:
    """Add a case, which the decorated function makes of the arguments."""

    def add(make: Callable[..., Any]) -> Any:
        CASES[name] = Case(name, beside, bar, lambda: make(**arguments), most)
        return make

    return add


def rng() -> np.random.Generator:
    """Give the same random numbers to every case."""
    return np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    """Give random float32."""
    return rng().random(shape, dtype="f4")


def field(n: int) -> xr.DataArray:
    """Give a square of random float32, whose labels are the numbers of its cells."""
    return xr.DataArray(
        noise(n, n), {"y": np.arange(float(n)), "x": np.arange(float(n))}, ("y", "x")
    )


def record(years: int, *shape: int) -> xr.DataArray:
    """Give daily fields of random float32 from 1980 on."""
    days = np.arange("1980", str(1980 + years), dtype="M8[D]").astype("M8[ns]")
    return xr.DataArray(noise(len(days), *shape), {"time": days}, ("time", "y", "x"))


def boxes(size: int, step: int) -> dict[str, Any]:
    """Give the axes of squares on a regular grid."""
    return {"geometry": {"y": size, "x": size}, "sampler": xpatch.RegularStride(step)}


def starts_of(patches: xr.DataArray) -> list[tuple[int, int]]:
    """Give the first cells of patches of a `field`."""
    first = (patches[d].values[:, 0].astype(int).tolist() for d in ("y", "x"))
    return list(zip(*first, strict=True))
