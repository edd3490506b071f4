"""The coordinates of cells that are means of several cells of the field."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from xarray import Variable

from xpatch.plan import Plan


def thinned(variables: dict[Hashable, Variable], plan: Plan) -> dict[Hashable, Variable]:
    """Give coarse cells the coordinates of their last step; bounds reach from the first to the last."""
    out = {}
    for d in plan.coarse or ():
        last = plan.offsets(d)
        label = variables.get(d)
        bounds = None if label is None else label.attrs.get("bounds")
        for name, v in variables.items():
            out[name] = v.isel({d: last}) if d in v.dims else v
            if name == bounds and d in v.dims and v.shape[-1] == 2:
                first = v.isel({d: last - last[0]}).to_numpy()[..., :1]
                ends = np.concatenate([first, out[name].to_numpy()[..., 1:]], axis=-1)
                out[name] = Variable(v.dims, ends, v.attrs)
    return out
