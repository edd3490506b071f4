"""Aggregations that have nothing to decide, because no cell has two contributions."""

from __future__ import annotations

import dataclasses

import numpy as np

from xpatch.aggregation import First, Mode
from xpatch.patches.reduction import Reduction

__all__ = ["settled"]


def settled(job: Reduction) -> Reduction:
    """Give a cheaper reduction of tiles: the most frequent contribution is the only one."""
    if not isinstance(job.aggregation, Mode) or not job.hood.tiles:
        return job
    labels = job.ordinals
    once = bool((labels[1:] > labels[:-1]).all()) or len(np.unique(labels)) == len(labels)
    return dataclasses.replace(job, aggregation=First()) if once else job
