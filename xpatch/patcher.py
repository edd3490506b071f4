"""`Patcher`: the four axes in one object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from xpatch.api import merge, split
from xpatch.axes import Axes
from xpatch.spec import decode

__all__ = ["Patcher"]


@dataclasses.dataclass(frozen=True, repr=False)
class Patcher(Axes):
    """Geometry, sampler, window and aggregation, to be used on many fields.

    Parameters
    ----------
    geometry : Geometry or mapping
        Shape of a patch.
    sampler : Sampler, optional
        Where the patches are; default: side by side.
    window : Window or str, optional
        Analysis window.
    aggregation : Aggregation or str, optional
        Default of merge; default: overlap-add.

    Examples
    --------
    >>> patcher = xpatch.Patcher({"y": 4, "x": 4}, xpatch.RegularStride(2), aggregation="median")
    >>> field = xr.DataArray(np.ones((8, 8)), dims=("y", "x"))
    >>> patcher.merge(patcher.split(field)).equals(field)
    True
    >>> xpatch.Patcher.from_spec(patcher.to_dict()) == patcher
    True
    """

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Patcher:
        """Rebuild a patcher from ``patches.patch.spec``.

        Raises
        ------
        ValueError
            If the specification holds a function, which cannot be written.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        return cls(**{name: decode(spec.get(name)) for name in names})

    def split(self, obj: Any, **kwargs: Any) -> Any:
        """Split a field; see `xpatch.split`."""
        return split(obj, self, **kwargs)

    def merge(self, patches: Any, **kwargs: Any) -> Any:
        """Merge patches with the aggregation of this patcher; see `xpatch.merge`."""
        return merge(patches, self.aggregation, **kwargs)
