"""Tables of places and times of which a split in space takes the places alone."""

from __future__ import annotations

from typing import Any

from xpatch.domain import Lattice
from xpatch.report import tell
from xpatch.time.finding import is_time

__all__ = ["tell_untimed"]


def tell_untimed(domain: Lattice, sampler: Any, cut: tuple[Any, ...]) -> None:
    """Warn of anchors that have times, where the field has times and each place would come with all of them."""
    given: Any = getattr(sampler, "anchors_", None)
    dated = [c for c in getattr(given, "columns", ()) if given[c].dtype.kind == "M"]
    if not dated:  # as nearly always: whether the field has times takes longer to see
        return
    coords = domain.template.coords
    dims = [d for d, n in domain.sizes.items() if n > 1 and d in coords and is_time(coords[d])]
    if left := [d for d in dims if d not in cut]:
        tell(
            f"the table of Explicit has times in {dated[0]!r}, which a split in space does not look at: each place "
            f"comes with all {domain.sizes[left[0]]} steps of {left[0]!r}. For each place at its own time: "
            "SpatioTemporalPatcher(Patcher(geometry, Explicit(table)), TimePatcher(FixedLookback(1), "
            f"EventTriggered(table[{dated[0]!r}])), coupling='coupled'); to take the places alone leave the column "
            f"out, Explicit(table.drop(columns={dated[0]!r}))"
        )
