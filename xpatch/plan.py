"""`Plan`: everything that merge must know of a split."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.neighborhood import Boxes

__all__ = ["Plan"]


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Domain, anchors, neighborhoods and analysis window of a split. Immutable; copies are itself.

    Parameters
    ----------
    domain : Lattice
        What the field lay on.
    boxes : Boxes
        The neighborhood of each anchor.
    window : Window, optional
        The analysis window, which the patches are multiplied by.
    aggregation : Aggregation, optional
        The default of merge.
    spec : mapping
        The specifications as JSON-able values.
    origin : str, optional
        Identity of the anchors, if they were taken from other patches.
    """

    domain: Lattice
    boxes: Boxes
    window: Any = None
    aggregation: Any = None
    spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    origin: str | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The dimensions that were cut."""
        return self.boxes.dims

    def anchor_cells(self, ordinals: NDArray | None = None) -> dict[Hashable, NDArray[np.int64]]:
        """Give the middle cell of patches along each dimension: cell ``size // 2`` of the patch."""
        starts = self.boxes.starts(ordinals)
        halves = [s // 2 for s in self.boxes.sizes]
        return {d: starts[:, k] + h for k, (d, h) in enumerate(zip(self.dims, halves, strict=True))}

    def anchor_labels(self, ordinals: NDArray | None = None) -> dict[Hashable, NDArray]:
        """Give the labels of the middle cells, of the dimensions that have labels."""
        wraps = dict(zip(self.dims, self.boxes.wrap, strict=True))
        cells = self.anchor_cells(ordinals).items()
        labels = {d: self.domain.labels_at(d, c, wraps[d]) for d, c in cells}
        return {d: values for d, values in labels.items() if values is not None}

    @cached_property
    def anchor_id(self) -> str:
        """Identity of the anchors: plans with the same have patches that belong together."""
        if self.origin is not None:
            return self.origin
        digest = hashlib.sha1(str((len(self), self.dims)).encode())
        where = self.anchor_cells() | self.anchor_labels()
        for values in where.values():
            data = values if values.dtype != object else values.astype(str)
            digest.update(np.ascontiguousarray(data).tobytes())
        return digest.hexdigest()

    def renamed(self, names: Mapping[Hashable, Hashable]) -> Plan:
        """Give the plan with other names of dimensions and coordinates."""
        dims = tuple(names.get(d, d) for d in self.dims)
        boxes = dataclasses.replace(self.boxes, dims=dims)
        domain = self.domain.renamed(names)
        return dataclasses.replace(self, domain=domain, boxes=boxes, origin=self.anchor_id)

    def equals(self, other: Plan) -> bool:
        """Whether both cut the same patches of the same lattice in the same way."""
        return self is other or (
            self.boxes.equals(other.boxes)
            and self.window == other.window
            and self.domain.same_lattice(other.domain, self.dims) is None
        )

    def __copy__(self) -> Plan:
        return self

    def __deepcopy__(self, memo: object) -> Plan:
        return self
