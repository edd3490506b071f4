"""Grouping: rows are reduced by the element that they fall on, in one call of flox."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def by_flox(
    values: NDArray[Any], codes: NDArray[Any], n: int, func: Any, fill: Any, **more: Any
) -> NDArray[Any]:
    """Group rows (row, other) by ``codes`` and reduce each group by flox: (n, other).

    ``func`` is the name of a reduction, of which bools give bools, or an aggregation of flox. ``fill`` is
    always given, because defaults of flox differ between its functions; it also stands for groups in
    which all is NaN, whether or not the function leaves NaN out.
    """
    import flox
    import pandas as pd

    if not values.size:  # of which flox cannot make groups
        picks = isinstance(func, str) and func.endswith("argmax")
        return np.full((n, values.shape[1]), fill, np.int64 if picks else values.dtype)
    truth = values.dtype.kind == "b" and isinstance(func, str)
    found, *_ = flox.groupby_reduce(
        (values.astype("u1") if truth else values).T,
        codes,
        func=func,
        expected_groups=pd.RangeIndex(n),
        engine="numpy",
        fill_value=fill,
        finalize_kwargs=more or None,
    )
    out = np.ascontiguousarray(found.T)
    return out.astype(bool) if truth else out
