"""`StepAxis`: an axis that has no dates, along which windows are counted in steps."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xpatch.time.axis import Duration, TimeAxis


@dataclasses.dataclass(frozen=True, eq=False)
class StepAxis(TimeAxis):
    """The steps along a dimension: positions, whatever its labels are, and whether it has any.

    Parameters
    ----------
    dim : hashable
        The dimension.
    values : array
        Its labels, or positions.
    name : hashable, optional
        The coordinate that the labels are; None if there is none.
    """

    def __post_init__(self) -> None:
        pass

    @property
    def calendar(self) -> None:
        """None: there are no dates."""
        return None

    @property
    def rate(self) -> int:
        """Ticks in a second, of which there are none."""
        self._refuse()

    @property
    def month_numbers(self) -> NDArray[np.int64]:
        """Months, of which there are none."""
        self._refuse()

    @cached_property
    def ticks(self) -> NDArray[np.int64]:
        """The positions."""
        return np.arange(len(self))

    @property
    def step(self) -> int:
        """One position."""
        return 1

    @property
    def months(self) -> int:
        """0: steps are no months."""
        return 0

    @property
    def ends(self) -> tuple[int, int]:
        """The positions before the first and after the last."""
        return -1, len(self)

    @property
    def pauses(self) -> tuple[NDArray, Any]:
        """Distances of labels that are numbers, and the usual one."""
        if self.values.dtype.kind not in "iufm":
            return super().pauses
        apart = np.abs(np.diff(_as_numbers(self.values).astype(float)))
        return apart, np.median(apart) if len(apart) else 1

    def exact(self, steps: NDArray[np.int64]) -> NDArray:
        """Give what tells steps of different fields apart: their labels."""
        labels = self.values[steps]
        return labels.astype(str) if labels.dtype == object else labels

    def shifted(
        self, ticks: NDArray[np.int64], duration: Duration, sign: int, up: bool | None = None
    ) -> NDArray[np.int64]:
        """Refuse to move by a duration."""
        self._refuse()

    def multiples(self, tick: int, months: int) -> NDArray[np.int64]:
        """Refuse to count in months."""
        self._refuse()

    def whole_ticks(self, times: Any) -> tuple[NDArray, NDArray[np.bool_]]:
        """Turn labels into positions; between two labels that are numbers into a fraction.

        Raises
        ------
        TypeError, ValueError
            If they are no labels of the axis.
        """
        given = np.atleast_1d(np.asarray(times))
        if self.values.dtype.kind == "m":
            given = np.atleast_1d(np.asarray(pd.to_timedelta(given), self.values.dtype))
        numbers = self.values.dtype.kind in "iufm"
        if numbers != (given.dtype.kind in "iufm"):
            raise TypeError(
                f"expected labels along {self.dim!r} such as {self.values[:1]}, which has no dates, got "
                f"{given[:3]}"
            )
        ordered = np.diff(_as_numbers(self.values)) if numbers else np.zeros(0)
        if numbers and ((ordered > 0).all() or (ordered < 0).all()):
            found = _between(_as_numbers(self.values), _as_numbers(given))
        else:
            found = self._among(given)
        return found, np.zeros(found.shape, bool)

    def _among(self, given: NDArray) -> NDArray[np.int64]:
        index = pd.Index(self.values)
        if not index.is_unique:
            raise ValueError(
                f"labels along {self.dim!r} occur twice, so that they do not say which step is meant: "
                f"drop_duplicates({self.dim!r}), or drop_vars({self.name!r}) and give positions"
            )
        found = index.get_indexer(given)
        if (found < 0).any():
            raise ValueError(f"{given[found < 0][0]!r} is no label along {self.dim!r}")
        return found.astype(np.int64)

    def _refuse(self) -> NoReturn:
        raise ValueError(
            f"{self.dim!r} has no dates, so that windows along it are counted in steps: give numbers of "
            f"steps, such as FixedLookback(30, dim={self.dim!r}), in place of durations, or give it dates "
            "(datetime64 or cftime; decode_times=True, if they were not decoded)"
        )


def _as_numbers(values: NDArray) -> NDArray:
    return values.view("i8") if values.dtype.kind == "m" else values


def _between(labels: NDArray, given: NDArray) -> NDArray:
    """Give positions among sorted labels; past the ends they go on by the step there."""
    down = len(labels) > 1 and labels[-1] < labels[0]
    labels, n = labels[::-1] if down else labels, len(labels)
    low = np.clip(np.searchsorted(labels, given, side="right") - 1, 0, max(n - 2, 0))
    high = np.minimum(low + 1, n - 1)
    width = (labels[high] - labels[low]).astype(float)
    at = low + (given - labels[low]).astype(float) / np.where(width > 0, width, 1.0)
    at = n - 1 - at if down else at
    return at.astype(np.int64) if (at == np.rint(at)).all() else at
