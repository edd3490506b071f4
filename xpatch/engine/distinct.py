"""The different values of integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def distinct(values: Any) -> NDArray[Any]:
    """Give the different values of integers in one row, sorted.

    `numpy.unique` puts them in a hash table, which takes ten times as long where most differ, and a hundred
    times where they are sorted already, as labels of patches and numbers of cells mostly are.
    """
    values = np.ravel(values)
    if (values[1:] > values[:-1]).all():
        found: NDArray[Any] = values
        return found
    values = np.sort(values)
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    found = values[first]
    return found
