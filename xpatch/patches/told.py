"""Where patches are whose field is not at hand: by where they say that they are anchored."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from xpatch.domain import places as pl
from xpatch.patches.member_properties import anchors
from xpatch.patches.plan import Plan
from xpatch.patches.provenance import Provenance

__all__ = ["points_of"]


def points_of(obj: Any, source: Provenance, plan: Plan) -> pl.Points:
    """Give the places of patches; lists of a file do not know those of all elements, but their anchors.

    Raises
    ------
    ValueError
        If nothing says whether these are longitude and latitude.
    """
    try:
        return plan.points(source.ordinals)
    except ValueError:
        if plan.recalled is None or plan.places is None:
            raise
        at = anchors(obj, source, plan)
        if not {"lon", "lat"} <= {*at.data_vars}:
            raise ValueError(
                "single patches, and patches of a file, do not know the CRS of the elements of their field: x and y "
                "of their anchors are patches.patch.anchors; ask the patches that split gave for places"
            ) from None
        columns: dict[Hashable, Any] = {n: at[n].values for n in ("lon", "lat")}
        return pl.Points(columns, ("lon", "lat"), pl.DEGREES)
