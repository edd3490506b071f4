"""`Patcher`: the four axes in one object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from xpatch.aggregation import as_aggregation
from xpatch.geometry import as_geometry
from xpatch.sampler import RegularStride, Sampler
from xpatch.spec import Spec, decode
from xpatch.window import as_window

__all__ = ["Patcher"]


@dataclasses.dataclass(frozen=True, repr=False)
class Patcher(Spec):
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

    geometry: Any
    sampler: Any = None
    window: Any = None
    aggregation: Any = None

    def __post_init__(self) -> None:
        if self.geometry is None:
            raise TypeError(
                "split needs a geometry: split(geometry={'y': 64, 'x': 64}) or Rectangular(…)"
            )
        sampler = RegularStride() if self.sampler is None else self.sampler
        if isinstance(sampler, Mapping):
            sampler = RegularStride(sampler)
        if not isinstance(sampler, Sampler):
            raise TypeError(f"sampler must be a Sampler, got {self.sampler!r}")
        aggregation = None if self.aggregation is None else as_aggregation(self.aggregation)
        object.__setattr__(self, "geometry", as_geometry(self.geometry))
        object.__setattr__(self, "sampler", sampler)
        object.__setattr__(self, "window", as_window(self.window))
        object.__setattr__(self, "aggregation", aggregation)

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
        from xpatch.api import split

        return split(obj, self, **kwargs)

    def merge(self, patches: Any, **kwargs: Any) -> Any:
        """Merge patches with the aggregation of this patcher; see `xpatch.merge`."""
        from xpatch.api import merge

        return merge(patches, self.aggregation, **kwargs)
