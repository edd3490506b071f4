"""Where the patches of another field lie on this one."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain import Lattice
from xpatch.domain import places as pl
from xpatch.domain import positions as ps
from xpatch.domain.bounds import same
from xpatch.geometry import Frame
from xpatch.sampler.reading import same_sites

WHAT = "the patches given to Explicit"


def patches_of(given: Any) -> tuple[Any, NDArray[np.int64]] | None:
    """Give the plan of patches in space, and their labels; None where something else was given.

    Patches answer by their accessor: a sampler need not know what they carry.
    """
    return given.patch._as_places() if isinstance(given, xr.DataArray | xr.Dataset) else None


def positions_of_patches(
    plan: Any, kept: NDArray, domain: Lattice, frame: Frame, edge: bool
) -> ps.Located:
    """Find where the places of patches, or the edges of their first cells, lie on a field."""
    boxed = plan.places is None
    if boxed and set(frame.dims) <= set(plan.dims) and same_ground(plan.domain, domain, frame):
        found = edges_at(plan, kept) if edge else plan.mid_positions(kept)
        shift = 0.5 if edge else 0.0
        positions = np.stack([found[d] + shift for d in frame.dims], axis=-1).astype(float)
        return ps.Located(positions, np.zeros(len(kept), bool), np.full(len(frame.dims), ps.TINY))
    if edge:
        return _edges(plan, kept, domain, frame)
    points = plan.points(kept)
    located = pl.locate(points, domain, frame.dims, frame.sizes, frame.boundary, WHAT)
    if boxed or not set(frame.dims) <= set(plan.dims) or not same_sites(plan, domain.sites()):
        return located
    # Anchors that are cells of this field stay these: cells may coincide, as at the fold of ocean grids
    elements = plan.places.elements[kept]
    cells = np.unravel_index(np.maximum(elements, 0), plan.hood.shape)
    at = dict(zip(plan.dims, cells, strict=True))
    own = np.stack([at[d] for d in frame.dims], axis=-1)
    known = elements >= 0
    positions = np.where(known[:, None], own, located.positions)
    return ps.Located(positions, located.outside & ~known, located.tolerance)


def same_ground(theirs: Lattice, domain: Lattice, frame: Frame) -> bool:
    """Whether fields have the same cells along the dimensions of boxes, so that positions are places."""
    if theirs.same_lattice(domain, frame.dims) is not None:
        return False
    flat = {d for d in frame.dims if pl.axis_role(domain.roles, d) in ("X", "Y")}
    if not flat:
        return True
    return same(pl.crs_of_field(theirs), pl.crs_of_field(domain))


def edges_at(plan: Any, kept: NDArray) -> dict[Any, NDArray]:
    """Give the position of the first edge of boxes along each dimension."""
    starts = plan.boxes.starts(kept)
    return {d: starts[:, k] - 0.5 for k, d in enumerate(plan.dims)}


def _edges(plan: Any, kept: NDArray, domain: Lattice, frame: Frame) -> ps.Located:
    """Find the starts of boxes one of whose edges is the first edge of other boxes.

    It is the edge on the same geographic side: the last one where an axis runs the other way.
    """
    if plan.places is not None or pl.curved(plan.domain) or pl.curved(domain):
        raise ValueError(
            "at='start' means the first edge of boxes on straight axes; these patches, or this field, have "
            "none: use at='center'"
        )
    points = plan._points_at(edges_at(plan, kept), None)
    # An edge at the rim is half a cell beyond the last center, which is still in the field
    located = pl.locate(points, domain, frame.dims, frame.sizes, ("pad",) * len(frame.dims), WHAT)
    names = {d: name for d, (name, _) in pl.assigned(points, domain, frame.dims, WHAT).items()}
    starts = located.positions + 0.5
    for k, d in enumerate(frame.dims):
        if direction(domain, d) != direction(plan.domain, names[d]):
            starts[:, k] -= frame.sizes[k]
    return ps.Located(starts, located.outside, located.tolerance)


def direction(domain: Lattice, dim: Any) -> float:
    """Give 1 where labels rise, −1 where they fall."""
    values = domain.coordinate(dim)
    if values is None or len(values) < 2:
        return 1.0
    exact = ps.numbers(values[[0, -1]], dim)
    return float(np.sign(exact[1] - exact[0]))
