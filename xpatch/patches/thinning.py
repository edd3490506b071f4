"""The coordinates of cells that are means of several cells of the field."""

from __future__ import annotations

from collections.abc import Collection, Hashable

import numpy as np
from xarray import Variable

from xpatch.domain.lonlat import bounds_name
from xpatch.patches.plan import Plan


def thinned(
    variables: dict[Hashable, Variable], plan: Plan, bounds: Collection[Hashable] = ()
) -> dict[Hashable, Variable]:
    """Give coarse cells the coordinates of their last step; bounds reach from the first to the last.

    These are the ones that are given, and those that the labels name.
    """
    out = {} if plan.coarse else variables
    for d in plan.coarse or ():
        last = plan.offsets(d)
        named = {*bounds, bounds_name(plan.domain.template.coords.get(d))}
        for name, v in variables.items():
            out[name] = v.isel({d: last}) if d in v.dims else v
            if name in named and d in v.dims and v.shape[-1] == 2:
                first = v.isel({d: last - last[0]}).to_numpy()[..., :1]
                ends = np.concatenate([first, out[name].to_numpy()[..., 1:]], axis=-1)
                out[name] = Variable(v.dims, ends, v.attrs)
    return out
