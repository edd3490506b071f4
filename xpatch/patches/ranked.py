"""Results that name patches by their rank, given the labels of these patches."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable


def labeled(merged: Variable, aggregation: Any, labels: NDArray[Any]) -> Variable:
    """Give the labels of patches, which the result of an aggregation counts from one in their order."""
    if not aggregation.numbered:
        return merged
    label = partial(np.take, np.concatenate([[-1], np.sort(labels)]))
    if merged.chunks is None:
        return merged.copy(data=label(merged.to_numpy()))
    return merged.copy(data=merged.data.map_blocks(label, dtype=np.int64))
