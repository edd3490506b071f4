"""`PatchRows`: one row a patch."""

from __future__ import annotations

import xarray as xr


class PatchRows(xr.Dataset):
    """A Dataset whose variables have one value a patch, and whose length is the number of patches.

    That of other Datasets is the number of their variables, which nobody means who asks how many
    patches there are; so it is here where there is not just one dimension. All else is as in other
    Datasets: iteration gives names of variables, which ``len(rows.data_vars)`` counts. What is joined
    with others by ``xr.merge`` is a Dataset again.
    """

    __slots__ = ()

    def __len__(self) -> int:
        sizes = tuple(self.sizes.values())
        return sizes[0] if len(sizes) == 1 else super().__len__()
