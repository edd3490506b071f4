"""`Above`: what a field of patches knows of the splits that it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import xarray as xr

__all__ = ["Above"]


@dataclasses.dataclass(frozen=True, eq=False)
class Above:
    """The splits above that of patches of patches.

    Parameters
    ----------
    dims : tuple of hashable
        Their patch dimensions, that of the first split first. They are carried.
    differ : frozenset of hashable
        In-patch dimensions whose cells lie elsewhere in each patch: they have no labels in common.
    slots : frozenset of hashable
        Those of them that are lists of members, which have no order.
    steps : mapping
        The distance of labels along dimensions that differ, where it is the same everywhere.
    coords : Dataset
        Coordinates along patch dimensions and dimensions that differ, as they were; those of a file
        are in its patches alone.
    """

    dims: tuple[Hashable, ...]
    differ: frozenset[Hashable]
    slots: frozenset[Hashable] = frozenset()
    steps: Mapping[Hashable, Any] = dataclasses.field(default_factory=dict)
    coords: xr.Dataset = dataclasses.field(default_factory=xr.Dataset)

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Above:
        """Give the same with other names of dimensions and coordinates."""

        def new(dims: Iterable[Hashable]) -> tuple[Hashable, ...]:
            return tuple(names.get(d, d) for d in dims)

        known = {*self.coords.variables, *self.coords.dims}
        return Above(
            new(self.dims),
            frozenset(new(self.differ)),
            frozenset(new(self.slots)),
            {names.get(d, d): step for d, step in self.steps.items()},
            self.coords.rename({n: m for n, m in names.items() if n in known}),
        )

    def check_placed(self, dims: Iterable[Hashable]) -> None:
        """Raise a ValueError if what is cut along ``dims`` lies elsewhere in each patch above."""
        moving = [d for d in dict.fromkeys(dims) if d in self.differ]
        if moving:
            raise ValueError(
                f"cells along {moving} lie elsewhere in each patch along {self.dims[-1]!r}, so that patches in "
                f"them have no place in common. {self.way_out}"
            )

    @property
    def note(self) -> str:
        """What errors of other rooms do not know."""
        moving = sorted(map(str, self.differ))
        return (
            f"these are patches along {self.dims[-1]!r}, whose cells along {moving} have no labels in common and are "
            f"counted. {self.way_out}"
        )

    @property
    def way_out(self) -> str:
        """What to do instead."""
        return (
            "Split one patch, patches.patch[k].patch.split(…, dim='inner'), which is a field with places of its own, "
            "or cut the field itself"
        )
